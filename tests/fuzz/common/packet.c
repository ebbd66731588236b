/*
 * Any bytes as a capture: whole, cut at any place into two pieces, and as an nft trace event copies it. The whole and
 * the event must make the same fingerprint, or a packet would be two.
 */
#include <string.h>

#include "common/must.h"
#include "common/packet.h"

enum { NFT_NET = 40, NFT_TRANSPORT = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void as_nft_copies_it(const struct packet *whole, const uint8_t *p, size_t len)
{
	size_t head = p[0] >> 4 == 4 ? 4 * (size_t)(p[0] & 15) : 40, th;
	struct packet event;

	if (head > len)
		return;
	th = len - head < NFT_TRANSPORT ? len - head : NFT_TRANSPORT;
	must(packet_decode(&event, p, head < NFT_NET ? head : NFT_NET, p + head, th) == 0);
	must(event.fp == 0 || event.fp == whole->fp);
	must(event.fp_long == 0);
	/* Without extension headers the event has all that the fingerprint needs. */
	if (whole->fp && whole->tuple.proto == p[p[0] >> 4 == 4 ? 9 : 6])
		must(event.fp == whole->fp && tuple_equal(&event.tuple, &whole->tuple));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	size_t cut = len ? p[0] % 41 : 0;
	struct packet d;
	char kind[32];

	if (len)
		p++, len--;
	if (packet_decode(&d, p, len, NULL, 0) == 0) {
		packet_kind(&d, kind);
		must(strlen(kind) < sizeof(kind));
		as_nft_copies_it(&d, p, len);
	}
	if (cut > len)
		cut = len;
	packet_decode(&d, p, cut, p + cut, len - cut);
	return 0;
}
