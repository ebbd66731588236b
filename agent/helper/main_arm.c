/*
 * A short-lived process, as the dump is: libiptc prints and ends where it likes. All changes of one
 * family are one commit, made under the lock that iptables takes, since libiptc takes none.
 */
#include "agent/helper/arm.h"

/* Ours first: the headers of libiptc have a macro icmp_id. */
#include "agent/helper/ours.h"
#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_limit.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter/xt_time.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LOCK_FD = 1, TRIES = 5, LOCK_STEP_MS = 20, LIMIT_BURST_MAX = 10000 };

static const char *const chains[] = { "PREROUTING", "OUTPUT" };

static int say(const char *text)
{
	fprintf(stderr, "%s\n", text);
	return 1;
}

static bool lock(void)
{
	int ms;

	for (ms = 0; ms <= ARM_LOCK_MS; ms += LOCK_STEP_MS) {
		if (flock(LOCK_FD, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK)
			return false;
		poll(NULL, 0, LOCK_STEP_MS);
	}
	return false;
}

/* Reading a table that is not there would make it. */
static bool raw_exists(bool v6)
{
	FILE *f = fopen(v6 ? "/proc/self/net/ip6_tables_names" : "/proc/self/net/ip_tables_names",
			"re");
	char line[XT_TABLE_MAXNAMELEN + 2];
	bool there = false;

	while (f && !there && fgets(line, sizeof(line), f))
		there = strcmp(line, "raw\n") == 0;
	if (f)
		fclose(f);
	return there;
}

/* --- a rule -------------------------------------------------------------------------------------- */

union rule {
	struct ipt_entry v4;
	struct ip6t_entry v6;
	char room[2048];
};

struct draft {
	union rule *rule; /* borrowed */
	uint32_t len;
};

static void *add_match(struct draft *d, const char *name, size_t size)
{
	struct xt_entry_match *m = (void *)(d->rule->room + d->len);

	m->u.match_size = (uint16_t)(XT_ALIGN(sizeof(*m)) + XT_ALIGN(size));
	snprintf(m->u.user.name, sizeof(m->u.user.name), "%s", name);
	d->len += m->u.match_size;
	return m->data;
}

static void mask_set(uint8_t *mask, uint8_t len, size_t bytes)
{
	for (size_t i = 0; i<bytes; i++, len = len> 8 ? len - 8 : 0)
		mask[i] = len >= 8 ? 0xff : (uint8_t)(0xff00 >> len);
}

static void addr_set(void *addr, void *mask, const struct prefix *p, size_t bytes)
{
	uint8_t *a = addr, *m = mask;

	mask_set(m, p->len, bytes);
	for (size_t i = 0; i < bytes; i++)
		a[i] = p->addr.b[i] & m[i];
}

static void put_ends(struct draft *d, const struct arm_rule *r)
{
	const struct pattern *p = &r->pattern;
	const struct prefix *src = r->reverse ? &p->dst : &p->src;
	const struct prefix *dst = r->reverse ? &p->src : &p->dst;

	if (p->family == 4) {
		struct ipt_ip *ip = &d->rule->v4.ip;

		addr_set(&ip->src, &ip->smsk, src, 4);
		addr_set(&ip->dst, &ip->dmsk, dst, 4);
		ip->proto = p->proto;
		d->len = sizeof(struct ipt_entry);
	} else {
		struct ip6t_ip6 *ip = &d->rule->v6.ipv6;

		addr_set(&ip->src, &ip->smsk, src, 16);
		addr_set(&ip->dst, &ip->dmsk, dst, 16);
		ip->proto = p->proto;
		ip->flags = p->proto ? IP6T_F_PROTO : 0;
		d->len = sizeof(struct ip6t_entry);
	}
}

static void ports_set(uint16_t range[static 2], uint16_t port)
{
	range[0] = port;
	range[1] = port ? port : UINT16_MAX;
}

static void put_ports(struct draft *d, const struct arm_rule *r)
{
	uint16_t sport = r->reverse ? r->pattern.dport : r->pattern.sport;
	uint16_t dport = r->reverse ? r->pattern.sport : r->pattern.dport;

	if (sport == 0 && dport == 0)
		return;
	if (r->pattern.proto == IPPROTO_TCP) {
		struct xt_tcp *tcp = add_match(d, "tcp", sizeof(*tcp));

		ports_set(tcp->spts, sport);
		ports_set(tcp->dpts, dport);
	} else if (r->pattern.proto == IPPROTO_UDP) {
		struct xt_udp *udp = add_match(d, "udp", sizeof(*udp));

		ports_set(udp->spts, sport);
		ports_set(udp->dpts, dport);
	}
}

static void put_bounds(struct draft *d, const struct arm_rule *r, uint64_t agent)
{
	struct xt_time_info *until = add_match(d, "time", sizeof(*until));
	struct xt_rateinfo *limit;
	struct xt_comment_info *comment;

	*until = (struct xt_time_info){
		.date_stop = (uint32_t)r->until,
		.daytime_stop = XT_TIME_MAX_DAYTIME,
		.monthdays_match = XT_TIME_ALL_MONTHDAYS,
		.weekdays_match = XT_TIME_ALL_WEEKDAYS,
	};
	limit = add_match(d, "limit", sizeof(*limit));
	limit->avg = XT_LIMIT_SCALE / r->rate;
	limit->burst = r->rate < LIMIT_BURST_MAX ? r->rate : LIMIT_BURST_MAX;
	comment = add_match(d, "comment", sizeof(*comment));
	ours_comment(comment->comment, agent, r->lease);
}

static void rule_make(union rule *rule, const struct arm_rule *r, uint64_t agent)
{
	struct draft d = { .rule = rule };
	struct xt_entry_target *t;

	memset(rule, 0, sizeof(*rule));
	put_ends(&d, r);
	put_ports(&d, r);
	put_bounds(&d, r, agent);
	t = (void *)(rule->room + d.len);
	t->u.target_size = (uint16_t)XT_ALIGN(sizeof(*t));
	snprintf(t->u.user.name, sizeof(t->u.user.name), "TRACE");
	if (r->pattern.family == 4) {
		rule->v4.target_offset = (uint16_t)d.len;
		rule->v4.next_offset = (uint16_t)(d.len + t->u.target_size);
	} else {
		rule->v6.target_offset = (uint16_t)d.len;
		rule->v6.next_offset = (uint16_t)(d.len + t->u.target_size);
	}
}

/* --- a table -------------------------------------------------------------------------------------- */

static bool is_ours4(const struct ipt_entry *e, uint64_t agent)
{
	const char *p = (const char *)e;

	return ours_is(p + sizeof(*e), p + e->target_offset, p + e->target_offset, agent);
}

static bool is_ours6(const struct ip6t_entry *e, uint64_t agent)
{
	const char *p = (const char *)e;

	return ours_is(p + sizeof(*e), p + e->target_offset, p + e->target_offset, agent);
}

/* Number of the first rule of ours in the chain; -1 none. */
static int first_ours(struct xtc_handle *h, bool v6, const char *chain, uint64_t agent)
{
	int n = 0;

	if (v6) {
		for (const struct ip6t_entry *e = ip6tc_first_rule(chain, h); e;
		     e = ip6tc_next_rule(e, h), n++)
			if (is_ours6(e, agent))
				return n;
	} else {
		for (const struct ipt_entry *e = iptc_first_rule(chain, h); e;
		     e = iptc_next_rule(e, h), n++)
			if (is_ours4(e, agent))
				return n;
	}
	return -1;
}

static bool edit(struct xtc_handle *h, bool v6, const char *chain, const struct arm *a, bool *any)
{
	union rule rule;
	uint32_t i, at = 0;
	int n;

	while ((n = first_ours(h, v6, chain, a->agent)) >= 0) {
		*any = true;
		if (!(v6 ? ip6tc_delete_num_entry(chain, (unsigned int)n, h)
			 : iptc_delete_num_entry(chain, (unsigned int)n, h)))
			return false;
	}
	for (i = 0; i < a->count; i++) {
		if ((a->rules[i].pattern.family == 6) != v6)
			continue;
		*any = true;
		rule_make(&rule, &a->rules[i], a->agent);
		if (!(v6 ? ip6tc_insert_entry(chain, &rule.v6, at, h)
			 : iptc_insert_entry(chain, &rule.v4, at, h)))
			return false;
		at++;
	}
	return true;
}

/* 0, or errno. */
static int try_once(bool v6, const struct arm *a)
{
	struct xtc_handle *h = v6 ? ip6tc_init("raw") : iptc_init("raw");
	bool ok = h, any = false;
	size_t i;
	int r;

	for (i = 0; ok && i < sizeof(chains) / sizeof(chains[0]); i++)
		ok = edit(h, v6, chains[i], a, &any);
	if (ok && any)
		ok = v6 ? ip6tc_commit(h) : iptc_commit(h);
	r = ok ? 0 : errno ? errno : EIO;
	if (h) {
		if (v6)
			ip6tc_free(h);
		else
			iptc_free(h);
	}
	return r;
}

static struct arm *arm_read(void)
{
	struct arm *a = calloc(1, sizeof(*a) + ARM_RULES_MAX * sizeof(a->rules[0]));
	ssize_t n;

	if (!a)
		return NULL;
	n = pread(STDIN_FILENO, a, sizeof(*a) + ARM_RULES_MAX * sizeof(a->rules[0]), 0);
	if (n < (ssize_t)sizeof(*a) || a->count > ARM_RULES_MAX ||
	    n != (ssize_t)(sizeof(*a) + a->count * sizeof(a->rules[0]))) {
		free(a);
		return NULL;
	}
	return a;
}

int arm_main(const char *family)
{
	bool v6 = strcmp(family, "ipv6") == 0;
	struct arm *a = arm_read();
	bool wanted = false;
	uint32_t i;
	int r, tries;

	if (!a)
		return say("the rules could not be read");
	for (i = 0; i < a->count; i++)
		wanted |= (a->rules[i].pattern.family == 6) == v6;
	if (!raw_exists(v6)) {
		if (wanted)
			say(v6 ? "table raw of ip6tables-legacy does not exist here, and is not made for a lease"
			       : "table raw of iptables-legacy does not exist here, and is not made for a lease");
		free(a);
		return wanted;
	}
	if (!lock()) {
		free(a);
		return say("somebody else holds the lock of iptables");
	}
	/* EAGAIN: somebody without the lock changed it meanwhile. */
	for (tries = 0, r = EAGAIN; r == EAGAIN && tries < TRIES; tries++)
		r = try_once(v6, a);
	if (r)
		fprintf(stderr, "table raw refused our rules: %s\n",
			v6 ? ip6tc_strerror(r) : iptc_strerror(r));
	free(a);
	return r ? 1 : 0;
}
