/*
 * Reading and walking a table nat. A match has three answers: what the pattern leaves open, interfaces, and matches
 * that nobody reads here could go either way; only a rule that matches for sure ends its chain.
 */
#include "collector/lease/nat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "common/statement.h"

enum answer { NO, MAYBE, YES };

struct by_name {
	UT_hash_handle hh;
	uint32_t chain;
};

static int kind_of(const char *target)
{
	static const struct {
		const char *target;
		enum nat_kind kind;
	} kinds[] = { { "DNAT", NAT_DNAT },
		      { "SNAT", NAT_SNAT },
		      { "MASQUERADE", NAT_MASQUERADE },
		      { "REDIRECT", NAT_REDIRECT },
		      { "NETMAP", NAT_NETMAP },
		      { "RETURN", NAT_END } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(kinds[i].target, target))
			return kinds[i].kind;
	}
	return target_is_terminal(target) ? NAT_END : -1;
}

/* False: the rule neither translates nor leads anywhere (LOG, MARK, no target). */
static bool take_rule(struct nat_rule *n, const struct rule *r, const struct by_name *chains)
{
	const struct by_name *to;
	int kind;

	HASH_FIND_STR(chains, r->target, to);
	kind = to ? NAT_JUMP : kind_of(r->target);
	if (kind < 0)
		return false;
	memset(n, 0, sizeof(*n));
	n->kind = (uint8_t)kind;
	n->jump = to ? to->chain : 0;
	n->src = r->src;
	n->dst = r->dst;
	n->proto = r->proto;
	n->proto_negate = r->proto_negate;
	n->other = r->other;
	n->sport_count = r->sport_count;
	n->dport_count = r->dport_count;
	n->sport_negate = r->sport_negate;
	n->dport_negate = r->dport_negate;
	memcpy(n->sports, r->sports, sizeof(n->sports));
	memcpy(n->dports, r->dports, sizeof(n->dports));
	memcpy(n->in_if, r->in_if, sizeof(n->in_if));
	memcpy(n->out_if, r->out_if, sizeof(n->out_if));
	n->in_negate = r->in_negate;
	n->out_negate = r->out_negate;
	n->to_from = r->to_from;
	n->to_until = r->to_until;
	n->to_port_from = r->to_port_from;
	n->to_port_until = r->to_port_until;
	n->to_net = r->to_net;
	return true;
}

/* Sure of nothing in nft's rules but of what they must match. */
static int read_rule(struct rule *r, const struct table *t, const struct rule_text *text)
{
	bool jump;

	if (!t->native)
		return rule_parse(r, text->text, text->len);
	statement_translation(r, &jump, text->text, text->len);
	return 0;
}

static uint8_t hook_of(const struct table *t, const struct chain *c)
{
	int hook;

	if (t->native)
		return c->nat ? c->hook : HOOK_NONE;
	hook = strcmp(c->policy, "-") ? hook_parse(c->name) : -1;
	return (uint8_t)(hook < 0 ? HOOK_NONE : hook);
}

static int read_rules(struct nat *n, const struct table *t, const struct by_name *chains,
		      uint32_t max, bool *left)
{
	uint32_t cap = 0;

	for (uint32_t c = 0; c < t->chain_count; c++) {
		const struct chain *chain = &t->chains[c];

		n->chains[c].first = n->rule_count;
		for (uint32_t i = 0; i < chain->rule_count; i++) {
			struct rule r;
			int ret;

			if (n->rule_count == max) {
				*left = true;
				break;
			}
			if (n->rule_count == cap) {
				uint32_t next = cap ? cap * 2 : 64;
				struct nat_rule *bigger = realloc(n->rules, next * sizeof(*bigger));

				if (!bigger)
					return -ENOMEM;
				n->rules = bigger;
				cap = next;
			}
			ret = read_rule(&r, t, &chain->rules[i]);
			if (ret == -ENOMEM)
				return ret;
			if (ret < 0)
				*left = true; /* nobody can say what it does */
			else if (take_rule(&n->rules[n->rule_count], &r, chains))
				n->rule_count++;
		}
		n->chains[c].count = n->rule_count - n->chains[c].first;
	}
	return 0;
}

int nat_read(struct nat *n, const struct table *t, uint32_t max, bool *left)
{
	struct by_name *chains = NULL, *list = NULL;
	uint32_t count = t ? t->chain_count : 0;
	int r = -ENOMEM;

	memset(n, 0, sizeof(*n));
	if (count == 0)
		return 0;
	list = calloc(count, sizeof(*list));
	n->chains = calloc(count, sizeof(*n->chains));
	n->todo = calloc(count, sizeof(*n->todo));
	if (!list || !n->chains || !n->todo)
		goto out;
	n->chain_count = count;
	for (uint32_t c = 0; c < count; c++) {
		n->chains[c].hook = hook_of(t, &t->chains[c]);
		list[c].chain = c;
		HASH_ADD_KEYPTR(hh, chains, t->chains[c].name, strlen(t->chains[c].name), &list[c]);
	}
	r = read_rules(n, t, chains, max, left);
out:
	HASH_CLEAR(hh, chains);
	free(list);
	if (r < 0)
		nat_clear(n);
	return r;
}

void nat_clear(struct nat *n)
{
	free(n->chains);
	free(n->rules);
	free(n->todo);
	memset(n, 0, sizeof(*n));
}

/* --- matching ---------------------------------------------------------------------------------------------- */

static enum answer negated(enum answer a, bool negate)
{
	return negate ? (enum answer)(YES - a) : a;
}

static enum answer match_prefix(const struct rule_prefix *rule, const struct prefix *have)
{
	enum answer a = NO;

	if (!rule->prefix.len)
		return YES;
	if (!have->len)
		return MAYBE;
	if (rule->prefix.len <= have->len)
		a = prefix_has(&rule->prefix, &have->addr) ? YES : NO;
	else if (prefix_has(have, &rule->prefix.addr))
		a = MAYBE;
	return negated(a, rule->negate);
}

static enum answer match_port(const uint16_t (*ranges)[2], uint8_t n, bool negate, uint16_t port)
{
	enum answer a = NO;

	if (n == 0)
		return YES;
	if (!port)
		return MAYBE;
	for (uint8_t i = 0; i < n; i++) {
		if (port >= ranges[i][0] && port <= ranges[i][1])
			a = YES;
	}
	return negated(a, negate);
}

static enum answer match(const struct nat_rule *r, const struct pattern *p)
{
	enum answer all[] = {
		YES,
		match_prefix(&r->src, &p->src),
		match_prefix(&r->dst, &p->dst),
		match_port(r->sports, r->sport_count, r->sport_negate, p->sport),
		match_port(r->dports, r->dport_count, r->dport_negate, p->dport),
		r->other || r->in_if[0] || r->out_if[0] ? MAYBE : YES,
	};
	enum answer least = YES;

	if (r->proto)
		all[0] = p->proto ? negated(r->proto == p->proto ? YES : NO, r->proto_negate)
				  : MAYBE;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		least = all[i] < least ? all[i] : least;
	return least;
}

static void walk_hook(struct nat *n, uint32_t start, const struct pattern *p, nat_each *each,
		      void *arg)
{
	enum hook hook = n->chains[start].hook;
	uint32_t left = 0;

	n->walks++;
	n->chains[start].seen = n->walks;
	n->todo[left++] = start;
	while (left > 0) {
		const struct nat_chain *c = &n->chains[n->todo[--left]];

		for (uint32_t i = c->first; i < c->first + c->count; i++) {
			const struct nat_rule *r = &n->rules[i];
			enum answer a = match(r, p);

			if (a == NO)
				continue;
			if (r->kind == NAT_JUMP) {
				if (n->chains[r->jump].seen != n->walks)
					n->todo[left++] = r->jump;
				n->chains[r->jump].seen = n->walks;
				continue; /* it may come back */
			}
			if (r->kind != NAT_END)
				each(arg, r, hook);
			if (a == YES)
				break;
		}
	}
}

void nat_walk(struct nat *n, const struct pattern *p, nat_each *each, void *arg)
{
	for (uint32_t c = 0; c < n->chain_count; c++) {
		if (n->chains[c].hook != HOOK_NONE)
			walk_hook(n, c, p, each, arg);
	}
}
