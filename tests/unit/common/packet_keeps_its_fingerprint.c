/*
 * The fingerprint of a packet is the same captured whole and in an nft trace event's two pieces, before and after
 * routing and NAT; and no capture, however short, is read beyond its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/packet.h"

enum { NFT_NET = 40, NFT_TRANSPORT = 20 };

static size_t ipv4(uint8_t *p, uint8_t proto, const uint8_t *l4, size_t len)
{
	static const uint8_t head[20] = { 0x45, 0,    0,  0, 0x12, 0x34, 0x40, 0, 64, 0,
					  0xaa, 0xbb, 10, 0, 1,    2,    10,   0, 3,  2 };

	memcpy(p, head, 20);
	p[2] = (uint8_t)((20 + len) >> 8);
	p[3] = (uint8_t)(20 + len);
	p[9] = proto;
	memcpy(p + 20, l4, len);
	return 20 + len;
}

static size_t ipv6(uint8_t *p, uint8_t next, const uint8_t *l4, size_t len)
{
	memset(p, 0, 40);
	p[0] = 0x60;
	p[4] = (uint8_t)(len >> 8);
	p[5] = (uint8_t)len;
	p[6] = next;
	p[7] = 64;
	p[8] = 0x20;
	p[24] = 0x20;
	p[39] = 9;
	memcpy(p + 40, l4, len);
	return 40 + len;
}

/* Decodes both ways, in heap blocks of the exact size so that a sanitizer sees any step beyond. */
static uint64_t both_ways(const uint8_t *p, size_t len)
{
	size_t head = p[0] >> 4 == 4 ? 20 : 40;
	size_t whole = len < 128 ? len : 128,
	       l4 = len - head < NFT_TRANSPORT ? len - head : NFT_TRANSPORT;
	uint8_t *a = malloc(whole), *n = malloc(head), *t = malloc(l4 ? l4 : 1);
	struct packet one, two;

	memcpy(a, p, whole);
	memcpy(n, p, head);
	memcpy(t, p + head, l4);
	assert_int_equal(packet_decode(&one, a, whole, NULL, 0), 0);
	assert_int_equal(packet_decode(&two, n, head, t, l4), 0);
	assert_true(one.fp == two.fp);
	assert_true(one.fp != 0);
	assert_true(tuple_equal(&one.tuple, &two.tuple));
	free(a);
	free(n);
	free(t);
	return one.fp;
}

static void translate(uint8_t *p, size_t port_at)
{
	p[8]--;        /* TTL */
	p[10] ^= 0x55; /* checksum */
	p[12] = 198;   /* source */
	p[19] = 77;    /* destination */
	p[1] = 0x10;   /* TOS */
	if (port_at) {
		p[port_at] ^= 0x33;
		p[port_at + 2] ^= 0x11;
	}
}

static void tcp_survives_nat(void **state)
{
	uint8_t tcp[60] = { 0x9c, 0x40, 0x01, 0xbb, 1, 2, 3, 4,    0, 0, 0, 0,  0xa0, 2, 0xfa, 0xf0,
			    7,    7,    0,    0,    2, 4, 5, 0xb4, 4, 2, 8, 10, 9,    9, 9,    9 };
	uint8_t p[128];
	size_t len = ipv4(p, 6, tcp, 40);
	uint64_t before = both_ways(p, len);

	(void)state;
	translate(p, 20);
	p[20 + 16] ^= 0xff; /* TCP checksum */
	p[20 + 13] ^= 0xc0; /* ECE, CWR: -j ECN --ecn-tcp-remove */
	assert_true(both_ways(p, len) == before);
	p[20 + 7] ^= 1; /* another sequence number */
	assert_true(both_ways(p, len) != before);
}

static void udp_of_any_length_survives_nat(void **state)
{
	uint8_t udp[200] = { 0x9c, 0x40, 0, 53, 0, 0, 1, 1 }, p[256];

	(void)state;
	for (size_t payload = 0; payload < 100; payload++) {
		uint64_t before;
		size_t len;

		memset(udp + 8, 0x5a, payload);
		udp[5] = (uint8_t)(8 + payload);
		len = ipv4(p, 17, udp, 8 + payload);
		before = both_ways(p, len);
		translate(p, 20);
		p[20 + 6] ^= 0xff;
		assert_true(both_ways(p, len) == before);
	}
}

static void echo_survives_nat(void **state)
{
	uint8_t icmp[64] = { 8, 0, 1, 2, 0x12, 0x34, 0, 1, 'a', 'b', 'c' }, p[128];
	size_t len = ipv4(p, 1, icmp, 64);
	uint64_t before = both_ways(p, len);
	struct packet d;

	(void)state;
	translate(p, 0);
	p[24] ^= 0x77; /* ICMP id */
	assert_true(both_ways(p, len) == before);
	packet_decode(&d, p, len, NULL, 0);
	assert_int_equal(d.tuple.dport, 8);
	assert_int_equal(d.tuple.sport, 0x1234 ^ 0x7700);
	assert_int_equal(d.icmp_seq, 1);
}

static void icmp_errors_tell_what_they_embed(void **state)
{
	uint8_t udp[20] = { 0x9c, 0x40, 0, 53, 0, 20, 1, 1 }, inner[64],
		icmp[128] = { 3, 3, 9, 9, 0, 0, 0, 0 }, p[256];
	size_t in = ipv4(inner, 17, udp, 20), len;
	struct packet d;
	uint64_t before;

	(void)state;
	memcpy(icmp + 8, inner, in);
	len = ipv4(p, 1, icmp, 8 + in);
	before = both_ways(p, len);
	packet_decode(&d, p, len, NULL, 0);
	assert_true(d.is_icmp_error && d.has_inner && d.has_inner_tuple);
	assert_int_equal(d.inner.sport, 40000);
	assert_int_equal(d.inner.dport, 53);
	assert_int_equal(d.inner_id, 0x1234);
	assert_int_equal(d.tuple.sport, 0);
	/* NAT rewrites the embedded addresses and their checksum. */
	translate(p, 0);
	p[20 + 8 + 10] ^= 1;
	p[20 + 8 + 12] ^= 1;
	assert_true(both_ways(p, len) == before);
	packet_decode(&d, p, 20, p + 20, NFT_TRANSPORT);
	assert_true(d.has_inner && !d.has_inner_tuple);
}

/* Tunnels, IPsec, SCTP: without a header that is known, but not without contents. */
static void others_survive_nat(void **state)
{
	static const struct {
		uint8_t proto, changes[3]; /* offsets that NAT changes; 0 none */
	} known[] = { { 47, { 6, 7 } }, { 50, { 0 } },        { 51, { 0 } },
		      { 89, { 0 } },    { 132, { 1, 3, 9 } }, { 33, { 1, 3, 6 } } };
	uint8_t l4[40], p[64];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		for (size_t len = known[i].proto == 132 ? 16 : 8; len <= sizeof(l4); len += 4) {
			uint64_t before;
			size_t n;

			for (size_t k = 0; k < sizeof(l4); k++)
				l4[k] = (uint8_t)(k * 7);
			n = ipv4(p, known[i].proto, l4, len);
			before = both_ways(p, n);
			translate(p, 0);
			for (size_t k = 0; k < 3 && known[i].changes[k]; k++)
				p[20 + known[i].changes[k]] ^= 0x21;
			assert_true(both_ways(p, n) == before);
			p[20 + 4] ^= 1;
			assert_true(both_ways(p, n) != before);
		}
	}
}

static void ipv6_and_its_extensions(void **state)
{
	uint8_t tcp[40] = { 0x9c, 0x40, 0x01, 0xbb, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0 },
		chain[64] = { 6, 0 }, p[128];
	size_t len = ipv6(p, 6, tcp, 20);
	struct packet d;

	(void)state;
	both_ways(p, len);
	memcpy(chain + 8, tcp, 20);
	len = ipv6(p, 60, chain, 28); /* destination options before TCP */
	assert_int_equal(packet_decode(&d, p, len, NULL, 0), 0);
	assert_int_equal(d.tuple.proto, 6);
	assert_int_equal(d.tuple.dport, 443);
	assert_true(d.fp != 0);
	assert_int_equal(packet_decode(&d, p, 40, p + 40, 20), 0);
	assert_true(d.fp == 0);
}

static void retransmissions_differ_where_the_capture_is_long(void **state)
{
	uint8_t tcp[40] = { 0x9c, 0x40, 1, 0xbb, 1, 2, 3, 4,  0, 0, 0, 0, 0x80, 2, 0xfa, 0xf0,
			    0,    0,    0, 0,    1, 1, 8, 10, 0, 0, 0, 1, 0,    0, 0,    0 };
	uint8_t p[128];
	struct packet a, b;
	size_t len = ipv6(p, 6, tcp, 32);

	(void)state;
	packet_decode(&a, p, len, NULL, 0);
	p[40 + 27] = 2; /* a later timestamp */
	packet_decode(&b, p, len, NULL, 0);
	assert_true(a.fp == b.fp);
	assert_true(a.fp_long && b.fp_long && a.fp_long != b.fp_long);
}

static void any_cut_is_read_safely(void **state)
{
	uint8_t bytes[96];
	struct packet d;

	(void)state;
	for (unsigned seed = 0; seed < 4000; seed++) {
		srand(seed);
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rand();
		bytes[0] = seed & 1 ? 0x45 : 0x60;
		bytes[seed & 1 ? 9 : 6] = (uint8_t[]){ 1, 6, 17, 58, 0, 43, 44, 51, 60 }[seed % 9];
		for (size_t cut = 0; cut <= sizeof(bytes); cut += 1 + seed % 7) {
			uint8_t *exact = malloc(cut ? cut : 1);

			memcpy(exact, bytes, cut);
			packet_decode(&d, exact, cut, NULL, 0);
			packet_decode(&d, exact, cut / 2, exact + cut / 2, cut - cut / 2);
			free(exact);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_survives_nat),
		cmocka_unit_test(udp_of_any_length_survives_nat),
		cmocka_unit_test(echo_survives_nat),
		cmocka_unit_test(icmp_errors_tell_what_they_embed),
		cmocka_unit_test(others_survive_nat),
		cmocka_unit_test(ipv6_and_its_extensions),
		cmocka_unit_test(retransmissions_differ_where_the_capture_is_long),
		cmocka_unit_test(any_cut_is_read_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
