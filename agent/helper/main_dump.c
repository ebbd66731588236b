/*
 * Text exactly as iptables-save prints it, but for comments and counters. The descriptor that
 * libxtables prints to is the memfd itself; each table's header is written again when its length is
 * known.
 */
#include "agent/helper/main_dump.h"

/* Ours first: the headers of libiptc have a macro icmp_id. */
#include "agent/helper/ipc.h"
#include "agent/helper/rawchains.h"
#include "common/journey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h> /* before the kernel's, which know how to follow it */
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xtables.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { OUT_BUFFER = 64 << 10, RAW_SHOWN = 128 };

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

/* What differs between the families. */
struct reader {
	enum family family;
	uint8_t nfproto;
	void (*view)(struct view *v, const void *entry);
	void (*print_ends)(const struct view *v);
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

static void view4(struct view *v, const void *entry)
{
	const struct ipt_entry *e = entry;

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
	};
}

static void view6(struct view *v, const void *entry)
{
	const struct ip6t_entry *e = entry;

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
	};
}

static const struct reader readers[] = {
	{ FAMILY_IPV4, NFPROTO_IPV4, view4, print_ends4 },
	{ FAMILY_IPV6, NFPROTO_IPV6, view6, print_ends6 },
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

/* False: what it asks for cannot be read here. */
static bool put_match(const void *ip, const struct xt_entry_match *m)
{
	struct xtables_match *any = xtables_find_match(m->u.user.name, XTF_TRY_LOAD, NULL);
	struct xtables_match *same = any ? xtables_find_match_revision(m->u.user.name, XTF_TRY_LOAD,
								       any, m->u.user.revision)
					 : NULL;

	printf(" -m %s", same && same->alias ? same->alias(m) : m->u.user.name);
	if (same && same->save)
		same->save(ip, m);
	if ((same && same->save) || (any && !any->save))
		return true;
	put_raw(m->u.user.revision, m->data, m->u.match_size - sizeof(*m));
	return false;
}

static bool put_target(const struct view *v)
{
	const struct xt_entry_target *t = v->target;
	const char *name = t->u.user.name;
	struct xtables_target *any, *same;

	if (name[0] == '\0') { /* a verdict or a chain */
		if (v->target_name && v->target_name[0])
			printf(" -%c %s", v->is_goto ? 'g' : 'j', v->target_name);
		return true;
	}
	any = xtables_find_target(name, XTF_TRY_LOAD);
	same = any ? xtables_find_target_revision(name, XTF_TRY_LOAD, any, t->u.user.revision)
		   : NULL;
	printf(" -j %s", same && same->alias ? same->alias(t) : name);
	if (same && same->save)
		same->save(v->ip, t);
	if ((same && same->save) || (any && !any->save))
		return true;
	put_raw(t->u.user.revision, t->data, t->u.target_size - sizeof(*t));
	return false;
}

static bool put_rule(const struct reader *r, const char *chain, const struct view *v)
{
	const char *at = v->matches;
	bool whole = true;

	printf("-A %s", chain);
	r->print_ends(v);
	put_interface('i', v->inverse & IPT_INV_VIA_IN, v->in_if, v->in_mask);
	put_interface('o', v->inverse & IPT_INV_VIA_OUT, v->out_if, v->out_mask);
	put_proto(v->inverse & IPT_INV_PROTO, v->proto);
	if (v->frag)
		printf("%s -f", v->inverse & IPT_INV_FRAG ? " !" : "");
	while (at < v->matches_end) {
		const struct xt_entry_match *m = (const void *)at;

		whole &= put_match(v->ip, m);
		at += m->u.match_size;
	}
	whole &= put_target(v);
	putchar('\n');
	return whole;
}

/* Returns how many of its rules could not be read to their end. */
static uint32_t put_chain(const struct reader *r, const struct rawchains *c,
			  const struct rawchain *chain)
{
	const char *base = c->entries->entries;
	struct rawentry entry;
	uint32_t at, raw = 0;
	struct view v;

	for (at = chain->first; at < chain->end; at = entry.next) {
		entry = rawchains_entry(c, at);
		r->view(&v, base + at);
		if (v.target->u.user.name[0] == '\0')
			v.target_name = rawchains_verdict(
				c, ((const struct xt_standard_target *)v.target)->verdict,
				entry.next);
		raw += !put_rule(r, chain->name, &v);
	}
	return raw;
}

static uint32_t put_table(const struct reader *r, const struct rawchains *c, const char *table)
{
	uint32_t i, raw = 0;

	printf("*%s\n", table);
	for (i = 0; i < c->count; i++)
		printf(":%s %s [0:0]\n", c->list[i].name,
		       c->list[i].policy ? c->list[i].policy : "-");
	for (i = 0; i < c->count; i++)
		raw += put_chain(r, c, &c->list[i]);
	puts("COMMIT");
	return raw;
}

struct dump {
	const struct reader *reader;
	off_t parts[RAWTABLES_MAX]; /* where their headers are */
	uint32_t count;
	uint32_t raw; /* rules that could not be read to their end */
};

/* One table, as it was at the moment in which the kernel gave it. */
static int dump_table(void *arg, const struct rawentries *e)
{
	struct ruleset_part part = { .backend = BACKEND_LEGACY, .family = e->family };
	struct dump *d = arg;
	struct rawchains chains;
	off_t start, end;
	int ret;

	if (d->count == RAWTABLES_MAX)
		return -E2BIG;
	ret = rawchains_open(&chains, e);
	if (ret < 0)
		return ret;
	snprintf(part.table, sizeof(part.table), "%s", e->name);
	start = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	fwrite(&part, sizeof(part), 1, stdout);
	d->raw += put_table(d->reader, &chains, e->name);
	rawchains_clear(&chains);

	if (fflush(stdout) != 0 || ferror(stdout))
		return -EIO;
	end = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	if (start < 0 || end - start - (off_t)sizeof(part) > CONTENT_MAX)
		return -EFBIG;
	part.len = (uint32_t)(end - start - (off_t)sizeof(part));
	d->parts[d->count++] = start;
	return pwrite(STDOUT_FILENO, &part, sizeof(part), start) == sizeof(part) ? 0 : -EIO;
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

/* The digests, which are known when all of a table's bytes have been seen. */
static int digests_put(const struct dump *d, const struct rawtables *t)
{
	uint32_t i;

	for (i = 0; i < d->count; i++)
		if (pwrite(STDOUT_FILENO, &t->list[i].digest, sizeof(t->list[i].digest),
			   d->parts[i] + (off_t)offsetof(struct ruleset_part, digest)) !=
		    sizeof(t->list[i].digest))
			return -EIO;
	return 0;
}

int dump_main(const char *family)
{
	struct xtables_globals globals = {
		.program_name = "lasthop-helper",
		.program_version = LASTHOP_VERSION,
		.exit_err = give_up,
		.compat_rev = every_revision,
	};
	static char buffer[OUT_BUFFER];
	struct rawsockets sockets = { -1, -1 };
	const struct reader *r = NULL;
	struct why why = { "" };
	struct rawtables tables;
	struct dump d = { .count = 0 };
	int i, status;

	for (i = 0; i < (int)(sizeof(readers) / sizeof(readers[0])); i++)
		if (strcmp(family, family_name(readers[i].family)) == 0)
			r = &readers[i];
	if (!r)
		return 2;

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	xtables_modprobe_program = "/dev/null"; /* not a program: nothing is ever loaded */
	if (xtables_init_all(&globals, r->nfproto) < 0)
		return 1;
	d.reader = r;
	status = rawtables_read(&tables, &sockets, r->family, dump_table, &d, &why);
	if (status == 0)
		status = digests_put(&d, &tables);
	if (status < 0)
		fprintf(stderr, "%s\n", why.text[0] ? why.text : strerror(-status));
	else if (d.raw)
		fprintf(stderr,
			"%u rules of %s are shown in part only: the programs of iptables here do not know all of it\n",
			d.raw, family);
	rawsockets_clear(&sockets);
	return status < 0 ? 1 : 0;
}
