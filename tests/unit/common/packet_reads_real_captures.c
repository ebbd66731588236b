/*
 * Packets as a kernel sent them, each cut to the 128 bytes that NFLOG copies, decode to the text beside them:
 * tests/data/packet/NAME.bin and NAME.txt. After a wanted change of the decoder, run this program with --update and read
 * the difference. No cut of a capture, in one piece or in two as nft trace delivers it, may contradict the whole.
 */
#include <glob.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/packet.h"

enum { CAPTURE_MAX = 128, NFT_NET = 40, NFT_TRANSPORT = 20, TEXT_MAX = 4096 };

struct capture {
	uint8_t bytes[CAPTURE_MAX];
	size_t len;
};

static void capture_read(struct capture *c, const char *path)
{
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	c->len = fread(c->bytes, 1, sizeof(c->bytes), f);
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
}

static void tuple_print(struct buf *out, const char *what, const struct tuple *t)
{
	char src[ENDPOINT_TEXT_MAX], dst[ENDPOINT_TEXT_MAX], number[4];

	endpoint_print(&t->src, t->sport, t->proto, src);
	endpoint_print(&t->dst, t->dport, t->proto, dst);
	buf_addf(out, "%s %s %s %s", what, proto_name(t->proto, number), src, dst);
	if (!proto_has_ports(t->proto) && t->dport)
		buf_addf(out, " id %u of %u", t->sport, t->dport);
	buf_addf(out, "\n");
}

static void packet_print(struct buf *out, const struct packet *p)
{
	char kind[32];

	packet_kind(p, kind);
	tuple_print(out, "tuple", &p->tuple);
	buf_addf(out, "kind %s\n", kind);
	buf_addf(out, "ip version %u ttl %u length %u id %u frag 0x%04x\n", p->ip_version, p->ttl,
		 p->total_len, p->ip_id, p->frag);
	if (p->has_l4 && p->tuple.proto == IPPROTO_TCP)
		buf_addf(out, "tcp seq %u ack %u flags 0x%02x window %u\n", p->tcp_seq, p->tcp_ack,
			 p->tcp_flags, p->tcp_window);
	if (p->has_l4 && proto_is_icmp(p->tuple.proto))
		buf_addf(out, "icmp type %u code %u seq %u%s\n", p->icmp_type, p->icmp_code,
			 p->icmp_seq, p->is_icmp_error ? " error" : "");
	if (p->has_inner)
		buf_addf(out, "inner length %u id %u ttl %u protocol %u\n", p->inner_len,
			 p->inner_id, p->inner_ttl, p->inner_proto);
	if (p->has_inner_tuple)
		tuple_print(out, "inner", &p->inner);
	buf_addf(out, "fingerprint %016" PRIx64 "\nlong %016" PRIx64 "\n", p->fp, p->fp_long);
}

static void captures_find(glob_t *g)
{
	assert_int_equal(glob(TEST_DATA "/packet/*.bin", 0, NULL, g), 0);
	assert_true(g->gl_pathc >= 30);
}

static void text_path(char path[static TEXT_MAX], const char *capture)
{
	int stem = (int)strlen(capture) - 4;

	assert_true(snprintf(path, TEXT_MAX, "%.*s.txt", stem, capture) < TEXT_MAX);
}

static void captures_decode_to_their_text(void **state)
{
	glob_t g;

	(void)state;
	captures_find(&g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		char path[TEXT_MAX], want[TEXT_MAX] = "";
		struct capture c;
		struct packet p;
		struct buf out;
		FILE *f;

		capture_read(&c, g.gl_pathv[i]);
		assert_int_equal(packet_decode(&p, c.bytes, c.len, NULL, 0), 0);
		buf_init(&out, TEXT_MAX);
		packet_print(&out, &p);
		assert_int_equal(buf_add(&out, "", 1), 0);
		text_path(path, g.gl_pathv[i]);
		f = fopen(path, "r");
		assert_non_null(f);
		want[fread(want, 1, sizeof(want) - 1, f)] = '\0';
		fclose(f);
		if (strcmp((char *)out.p, want))
			print_message("%s\n", g.gl_pathv[i]);
		assert_string_equal((char *)out.p, want);
		buf_clear(&out);
	}
	globfree(&g);
}

/* What a shorter capture says must be what the whole one says, or nothing. */
static void must_agree(const struct packet *part, const struct packet *whole)
{
	assert_true(addr_equal(&part->tuple.src, &whole->tuple.src));
	assert_true(addr_equal(&part->tuple.dst, &whole->tuple.dst));
	assert_int_equal(part->total_len, whole->total_len);
	assert_true(part->fp == 0 || part->fp == whole->fp);
	assert_true(part->fp_long == 0 || part->fp_long == whole->fp_long);
	assert_true(!part->has_l4 || whole->has_l4);
	if (part->has_l4)
		assert_true(tuple_equal(&part->tuple, &whole->tuple));
	if (part->has_inner_tuple)
		assert_true(tuple_equal(&part->inner, &whole->inner));
}

static void every_cut_agrees_with_the_whole(void **state)
{
	glob_t g;

	(void)state;
	captures_find(&g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct packet whole, part;
		struct capture c;

		capture_read(&c, g.gl_pathv[i]);
		packet_decode(&whole, c.bytes, c.len, NULL, 0);
		for (size_t cut = 0; cut < c.len; cut++) {
			uint8_t *exact = malloc(cut ? cut : 1);

			memcpy(exact, c.bytes, cut);
			if (packet_decode(&part, exact, cut, NULL, 0) == 0)
				must_agree(&part, &whole);
			else
				assert_true(cut < (c.bytes[0] >> 4 == 4 ? 20 : 40));
			free(exact);
		}
	}
	globfree(&g);
}

static void two_pieces_make_the_same_fingerprint(void **state)
{
	size_t made = 0;
	glob_t g;

	(void)state;
	captures_find(&g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct packet whole, part;
		struct capture c;
		size_t head, net, th;
		uint8_t *n, *t;

		capture_read(&c, g.gl_pathv[i]);
		packet_decode(&whole, c.bytes, c.len, NULL, 0);
		head = c.bytes[0] >> 4 == 4 ? 4 * (size_t)(c.bytes[0] & 15) : 40;
		net = head < NFT_NET ? head : NFT_NET;
		th = c.len - head < NFT_TRANSPORT ? c.len - head : NFT_TRANSPORT;
		n = malloc(net);
		t = malloc(th ? th : 1);
		memcpy(n, c.bytes, net);
		memcpy(t, c.bytes + head, th);
		assert_int_equal(packet_decode(&part, n, net, t, th), 0);
		must_agree(&part, &whole);
		assert_true(part.fp_long == 0);
		if (whole.fp &&
		    whole.tuple.proto == (c.bytes[0] >> 4 == 4 ? c.bytes[9] : c.bytes[6])) {
			assert_true(part.fp == whole.fp);
			made++;
		}
		free(n);
		free(t);
	}
	assert_true(made >= 20);
	globfree(&g);
}

static int update(void)
{
	glob_t g;

	if (glob(TEST_DATA "/packet/*.bin", 0, NULL, &g))
		return 1;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		char path[TEXT_MAX];
		struct capture c;
		struct packet p;
		struct buf out;
		FILE *f;

		capture_read(&c, g.gl_pathv[i]);
		packet_decode(&p, c.bytes, c.len, NULL, 0);
		buf_init(&out, TEXT_MAX);
		packet_print(&out, &p);
		text_path(path, g.gl_pathv[i]);
		f = fopen(path, "w");
		if (!f || fwrite(out.p, 1, out.len, f) != out.len || fclose(f))
			return 1;
		buf_clear(&out);
	}
	globfree(&g);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captures_decode_to_their_text),
		cmocka_unit_test(every_cut_agrees_with_the_whole),
		cmocka_unit_test(two_pieces_make_the_same_fingerprint),
	};

	if (argc == 2 && !strcmp(argv[1], "--update"))
		return update();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
