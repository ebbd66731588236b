/*
 * The fingerprint: 64 bits that stay the same while one packet is routed and translated. It hashes only
 * fields that neither NAT nor routing changes and that every source delivers (an nft trace event copies
 * 40 bytes of network and 20 of transport header):
 *
 *   offset  bytes  field (big-endian, as on the wire; zero where it does not apply)
 *        0      1  IP version (4 or 6)
 *        1      1  protocol (IPv6: the transport's, after extension headers)
 *        2      2  total length (IPv6: payload length)
 *        4      2  IPv4 identification
 *        6      2  IPv4 fragment field
 *        8     16  TCP:  seq 4, ack 4, flags 1 (without ECN's two), window 2
 *                  UDP:  length 2, first 12 payload bytes (fewer: zero filled)
 *                  ICMP: type 1, code 1, bytes 6..7 of the header, then 12 bytes after the header
 *                        (errors: 10, since NAT rewrites the embedded header's checksum behind them)
 *                  ICMPv6: the same; errors: 8 (the embedded header as far as its hop limit)
 *                  others: of the first 20 bytes what NAT leaves alone (GRE: not 6..7, its PPTP call id; SCTP: 4..7 and
 *                        12..19; DCCP: 4..5 and 8..19), as much as finds room (fewer: zero filled)
 *
 * hashed by XXH3-64 with the seed below. 0 never comes out (it means "none"): a hash of 0 becomes 1.
 * Packets without a whole transport header (cut) have none, and fragments: hosts put them together.
 *
 * fp_long adds, where the capture is long enough, the TCP timestamp option (8 bytes) and the first
 * 32 payload bytes; two packets whose fp_long are both known and differ are different packets.
 *
 * Test vectors: tests/data/packet holds captures (NAME.bin) and their fingerprints (NAME.txt).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FINGERPRINT_SEED UINT64_C(0x6c617374686f7031) /* "lasthop1" */

enum { FINGERPRINT_LEN = 24, FINGERPRINT_LONG_LEN = 40 };

uint64_t fingerprint(const uint8_t fields[static FINGERPRINT_LEN]);
uint64_t fingerprint_long(uint64_t fp, const uint8_t fields[static FINGERPRINT_LONG_LEN]);
/* Of two uint64_t, for qsort and bsearch. */
int fingerprint_cmp(const void *pa, const void *pb);
