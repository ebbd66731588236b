/* Any bytes as a capture: whole, and in an nft trace event's two pieces. */
#include <stdlib.h>
#include <string.h>

#include "common/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	size_t cut = len ? p[0] % 41 : 0;
	struct packet d;
	char kind[32];

	if (len)
		p++, len--;
	if (packet_decode(&d, p, len, NULL, 0) == 0)
		packet_kind(&d, kind);
	if (cut > len)
		cut = len;
	packet_decode(&d, p, cut, p + cut, len - cut);
	return 0;
}
