#include "agent/source/seen.h"

#include <string.h>

/* By the ends of what tells packets apart: identification and fragment, and the last bytes captured. */
static size_t slot_of(const uint8_t *net, size_t len)
{
	uint64_t head, tail;

	memcpy(&head, net + 2, sizeof(head));
	memcpy(&tail, net + len - sizeof(tail), sizeof(tail));
	return (size_t)((head ^ tail) * UINT64_C(0x9e3779b97f4a7c15) >> 61) % SEEN_PACKETS;
}

int seen_decode(struct seen *s, struct packet *p, const uint8_t *net, size_t len)
{
	size_t i;
	int r;

	if (len < 20 || len > SEEN_BYTES)
		return packet_decode(p, net, len, NULL, 0);
	i = slot_of(net, len);
	if (s->list[i].len == len && memcmp(s->list[i].bytes, net, len) == 0) {
		*p = s->list[i].packet;
		return 0;
	}
	r = packet_decode(p, net, len, NULL, 0);
	if (r < 0)
		return r;
	s->list[i].packet = *p;
	s->list[i].len = len;
	memcpy(s->list[i].bytes, net, len);
	return 0;
}
