/*
 * Text exactly as iptables-save prints it, but for comments and counters. The descriptor that
 * libxtables prints to is the memfd itself; each table's header is written again when its length is
 * known.
 */
#include "agent/helper/main_dump.h"

/* Ours first: the headers of libiptc have a macro icmp_id. */
#include "agent/helper/ipc.h"
#include "agent/helper/ours.h"
#include "common/journey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xtables.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { TABLES_MAX = 16, OUT_BUFFER = 64 << 10, RAW_SHOWN = 128 };

#define UNSUPPORTED "[unsupported revision]"

/* One rule, without its family. */
struct view {
	const void *ip; /* what save functions are given: struct ipt_ip, struct ip6t_ip6 */
	const char *in_if, *out_if;
	const unsigned char *in_mask, *out_mask;
	uint16_t proto;
	uint8_t inverse; /* IPT_INV_*, the same bits in both families */
	bool frag, is_goto;
	const char *matches, *matches_end;
	const struct xt_entry_target *target;
	const char *target_name;
};

/* libiptc, once for both families. */
struct reader {
	enum family family;
	uint8_t nfproto;
	const char *names;
	struct xtc_handle *(*init)(const char *table);
	const char *(*first_chain)(struct xtc_handle *h);
	const char *(*next_chain)(struct xtc_handle *h);
	int (*builtin)(const char *chain, struct xtc_handle *const h);
	const char *(*policy)(const char *chain, struct xt_counters *c, struct xtc_handle *h);
	const void *(*first_rule)(const char *chain, struct xtc_handle *h);
	const void *(*next_rule)(const void *rule, struct xtc_handle *h);
	void (*view)(struct view *v, const void *rule, struct xtc_handle *h);
	void (*print_ends)(const struct view *v);
	void (*free)(struct xtc_handle *h);
	const char *(*strerror)(int err);
};

static void put_prefix(char letter, bool inverse, int family, const void *addr, const void *mask,
		       uint32_t len)
{
	static const uint8_t zero[16];
	char text[INET6_ADDRSTRLEN];
	const uint8_t *m = mask;
	uint32_t bits = 0, i;

	if (!inverse && memcmp(mask, zero, len) == 0 &&
	    (family == AF_INET6 || memcmp(addr, zero, len) == 0))
		return;
	printf("%s -%c %s", inverse ? " !" : "", letter,
	       inet_ntop(family, addr, text, sizeof(text)));
	while (bits < len * 8 && (m[bits / 8] & (0x80 >> bits % 8)))
		bits++;
	for (i = bits; i < len * 8; i++)
		if (m[i / 8] & (0x80 >> i % 8))
			break;
	if (i == len * 8)
		printf("/%u", bits);
	else
		printf("/%s", inet_ntop(family, mask, text, sizeof(text)));
}

static void print_ends4(const struct view *v)
{
	const struct ipt_ip *ip = v->ip;

	put_prefix('s', v->inverse & IPT_INV_SRCIP, AF_INET, &ip->src, &ip->smsk, 4);
	put_prefix('d', v->inverse & IPT_INV_DSTIP, AF_INET, &ip->dst, &ip->dmsk, 4);
}

static void print_ends6(const struct view *v)
{
	const struct ip6t_ip6 *ip = v->ip;

	put_prefix('s', v->inverse & IP6T_INV_SRCIP, AF_INET6, &ip->src, &ip->smsk, 16);
	put_prefix('d', v->inverse & IP6T_INV_DSTIP, AF_INET6, &ip->dst, &ip->dmsk, 16);
}

static void view4(struct view *v, const void *rule, struct xtc_handle *h)
{
	const struct ipt_entry *e = rule;

	*v = (struct view){
		.ip = &e->ip,
		.in_if = e->ip.iniface,
		.out_if = e->ip.outiface,
		.in_mask = e->ip.iniface_mask,
		.out_mask = e->ip.outiface_mask,
		.proto = e->ip.proto,
		.inverse = e->ip.invflags,
		.frag = e->ip.flags & IPT_F_FRAG,
		.is_goto = e->ip.flags & IPT_F_GOTO,
		.matches = (const char *)e + sizeof(*e),
		.matches_end = (const char *)e + e->target_offset,
		.target = (const void *)((const char *)e + e->target_offset),
		.target_name = iptc_get_target(e, h),
	};
}

static void view6(struct view *v, const void *rule, struct xtc_handle *h)
{
	const struct ip6t_entry *e = rule;

	*v = (struct view){
		.ip = &e->ipv6,
		.in_if = e->ipv6.iniface,
		.out_if = e->ipv6.outiface,
		.in_mask = e->ipv6.iniface_mask,
		.out_mask = e->ipv6.outiface_mask,
		.proto = e->ipv6.proto,
		.inverse = e->ipv6.invflags,
		.is_goto = e->ipv6.flags & IP6T_F_GOTO,
		.matches = (const char *)e + sizeof(*e),
		.matches_end = (const char *)e + e->target_offset,
		.target = (const void *)((const char *)e + e->target_offset),
		.target_name = ip6tc_get_target(e, h),
	};
}

static const void *first4(const char *chain, struct xtc_handle *h)
{
	return iptc_first_rule(chain, h);
}

static const void *next4(const void *rule, struct xtc_handle *h)
{
	return iptc_next_rule(rule, h);
}

static const void *first6(const char *chain, struct xtc_handle *h)
{
	return ip6tc_first_rule(chain, h);
}

static const void *next6(const void *rule, struct xtc_handle *h)
{
	return ip6tc_next_rule(rule, h);
}

static const struct reader readers[] = {
	{
		.family = FAMILY_IPV4,
		.nfproto = NFPROTO_IPV4,
		.names = "/proc/self/net/ip_tables_names",
		.init = iptc_init,
		.first_chain = iptc_first_chain,
		.next_chain = iptc_next_chain,
		.builtin = iptc_builtin,
		.policy = iptc_get_policy,
		.first_rule = first4,
		.next_rule = next4,
		.view = view4,
		.print_ends = print_ends4,
		.free = iptc_free,
		.strerror = iptc_strerror,
	},
	{
		.family = FAMILY_IPV6,
		.nfproto = NFPROTO_IPV6,
		.names = "/proc/self/net/ip6_tables_names",
		.init = ip6tc_init,
		.first_chain = ip6tc_first_chain,
		.next_chain = ip6tc_next_chain,
		.builtin = ip6tc_builtin,
		.policy = ip6tc_get_policy,
		.first_rule = first6,
		.next_rule = next6,
		.view = view6,
		.print_ends = print_ends6,
		.free = ip6tc_free,
		.strerror = ip6tc_strerror,
	},
};

static void put_interface(char letter, bool inverse, const char *name, const unsigned char *mask)
{
	int len = 0;

	/*
	 * The name may end with the '+' that was typed; the mask of a whole name covers its final
	 * zero, too.
	 */
	while (len < IFNAMSIZ && mask[len])
		len++;
	if (len == 0)
		return;
	printf("%s -%c %.*s%s", inverse ? " !" : "", letter, len, name, name[len - 1] ? "+" : "");
}

static void put_proto(bool inverse, uint16_t proto)
{
	const struct xtables_pprot *p;
	const struct protoent *known;

	if (proto == 0)
		return;
	printf("%s -p ", inverse ? " !" : "");
	for (p = xtables_chain_protos; p->name; p++) {
		if (p->num == proto) {
			fputs(p->name, stdout);
			return;
		}
	}
	known = getprotobynumber(proto);
	if (known)
		fputs(known->p_name, stdout);
	else
		printf("%u", proto);
}

/*
 * What nobody here can read: revision and contents, so that different rules differ. Of long contents the
 * first bytes, and a hash of all.
 */
static void put_raw(uint8_t revision, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t i, shown = len < RAW_SHOWN ? len : RAW_SHOWN;

	printf(" %s %u:", UNSUPPORTED, revision);
	for (i = 0; i < shown; i++)
		printf("%02x", p[i]);
	if (shown < len)
		printf("+%zu.%016" PRIx64, len, XXH3_64bits(data, len));
}

static void put_match(const void *ip, const struct xt_entry_match *m)
{
	struct xtables_match *any = xtables_find_match(m->u.user.name, XTF_TRY_LOAD, NULL);
	struct xtables_match *same = any ? xtables_find_match_revision(m->u.user.name, XTF_TRY_LOAD,
								       any, m->u.user.revision)
					 : NULL;

	printf(" -m %s", same && same->alias ? same->alias(m) : m->u.user.name);
	if (same && same->save)
		same->save(ip, m);
	else if (!any || any->save)
		put_raw(m->u.user.revision, m->data, m->u.match_size - sizeof(*m));
}

static void put_target(const struct view *v)
{
	const struct xt_entry_target *t = v->target;
	const char *name = t->u.user.name;
	struct xtables_target *any, *same;

	if (name[0] == '\0') { /* a verdict or a chain */
		if (v->target_name && v->target_name[0])
			printf(" -%c %s", v->is_goto ? 'g' : 'j', v->target_name);
		return;
	}
	any = xtables_find_target(name, XTF_TRY_LOAD);
	same = any ? xtables_find_target_revision(name, XTF_TRY_LOAD, any, t->u.user.revision)
		   : NULL;
	printf(" -j %s", same && same->alias ? same->alias(t) : name);
	if (same && same->save)
		same->save(v->ip, t);
	else if (!any || any->save)
		put_raw(t->u.user.revision, t->data, t->u.target_size - sizeof(*t));
}

static void put_rule(const struct reader *r, const char *chain, const struct view *v)
{
	const char *at = v->matches;

	printf("-A %s", chain);
	r->print_ends(v);
	put_interface('i', v->inverse & IPT_INV_VIA_IN, v->in_if, v->in_mask);
	put_interface('o', v->inverse & IPT_INV_VIA_OUT, v->out_if, v->out_mask);
	put_proto(v->inverse & IPT_INV_PROTO, v->proto);
	if (v->frag)
		printf("%s -f", v->inverse & IPT_INV_FRAG ? " !" : "");
	while (at < v->matches_end) {
		const struct xt_entry_match *m = (const void *)at;

		put_match(v->ip, m);
		at += m->u.match_size;
	}
	put_target(v);
	putchar('\n');
}

static void put_table(const struct reader *r, struct xtc_handle *h, const char *table)
{
	struct xt_counters ignored;
	const char *chain;
	const void *rule;
	struct view v;

	printf("*%s\n", table);
	for (chain = r->first_chain(h); chain; chain = r->next_chain(h))
		printf(":%s %s [0:0]\n", chain,
		       r->builtin(chain, h) ? r->policy(chain, &ignored, h) : "-");
	for (chain = r->first_chain(h); chain; chain = r->next_chain(h)) {
		for (rule = r->first_rule(chain, h); rule; rule = r->next_rule(rule, h)) {
			r->view(&v, rule, h);
			if (!ours_is(v.matches, v.matches_end, v.target, 0))
				put_rule(r, chain, &v);
		}
	}
	puts("COMMIT");
}

static int dump_table(const struct reader *r, const char *table)
{
	struct ruleset_part part = { .backend = BACKEND_LEGACY, .family = r->family };
	struct xtc_handle *h = r->init(table);
	off_t start, end;

	if (!h) {
		fprintf(stderr, "cannot read table %s: %s\n", table, r->strerror(errno));
		return 1;
	}
	snprintf(part.table, sizeof(part.table), "%.*s", XT_TABLE_MAXNAMELEN - 1, table);
	start = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	fwrite(&part, sizeof(part), 1, stdout);
	put_table(r, h, table);
	r->free(h);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "cannot write table %s: %s\n", table, strerror(errno));
		return 1;
	}
	end = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	if (start < 0 || end - start - (off_t)sizeof(part) > CONTENT_MAX) {
		fprintf(stderr, "table %s has more than %d MiB of text\n", table,
			CONTENT_MAX >> 20);
		return 1;
	}
	part.len = (uint32_t)(end - start - (off_t)sizeof(part));
	return pwrite(STDOUT_FILENO, &part, sizeof(part), start) == sizeof(part) ? 0 : 1;
}

/* The order in which packets meet them; what is none of these comes after. */
static int place(const char *table)
{
	static const char *const order[] = { "raw", "mangle", "nat", "filter", "security" };
	int i, count = (int)(sizeof(order) / sizeof(order[0]));

	for (i = 0; i < count; i++)
		if (strcmp(order[i], table) == 0)
			break;
	return i;
}

static int by_place(const void *a, const void *b)
{
	const char *x = a, *y = b;

	return place(x) != place(y) ? place(x) - place(y) : strcmp(x, y);
}

static int list_tables(const struct reader *r, char names[static TABLES_MAX][XT_TABLE_MAXNAMELEN])
{
	FILE *f = fopen(r->names, "re");
	char line[XT_TABLE_MAXNAMELEN + 2];
	int count = 0;

	if (!f)
		return 0;
	while (count < TABLES_MAX && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(names[count++], XT_TABLE_MAXNAMELEN, "%.*s", XT_TABLE_MAXNAMELEN - 1,
			 line);
	}
	fclose(f);
	qsort(names, (size_t)count, sizeof(names[0]), by_place);
	return count;
}

static void __attribute__((noreturn, format(printf, 2, 3)))
give_up(enum xtables_exittype status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status ? (int)status : 1);
}

/*
 * The rule at hand was accepted by this kernel: asking which revisions it knows could only load
 * modules.
 */
static int every_revision(const char *name, uint8_t revision, int option)
{
	(void)name, (void)revision, (void)option;
	return 1;
}

int dump_main(const char *family)
{
	struct xtables_globals globals = {
		.program_name = "lasthop-helper",
		.program_version = LASTHOP_VERSION,
		.exit_err = give_up,
		.compat_rev = every_revision,
	};
	char names[TABLES_MAX][XT_TABLE_MAXNAMELEN];
	const struct reader *r = NULL;
	int i, count, status = 0;

	for (i = 0; i < (int)(sizeof(readers) / sizeof(readers[0])); i++)
		if (strcmp(family, family_name(readers[i].family)) == 0)
			r = &readers[i];
	if (!r)
		return 2;

	setvbuf(stdout, NULL, _IOFBF, OUT_BUFFER);
	xtables_modprobe_program = "/dev/null"; /* not a program: nothing is ever loaded */
	if (xtables_init_all(&globals, r->nfproto) < 0)
		return 1;
	count = list_tables(r, names);
	for (i = 0; i < count && status == 0; i++)
		status = dump_table(r, names[i]);
	return status;
}
