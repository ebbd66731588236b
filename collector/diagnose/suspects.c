#include "collector/diagnose/suspects.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/diagnose/sets.h"
#include "collector/stitch/span.h"
#include "common/nftmatch.h"
#include "common/statement.h"

enum { VISITED_MAX = 512 };

static const int64_t EDGE_NS = 500LL * NS_PER_MS;
static const int64_t COUNTED_NS =
	60LL * NS_PER_S; /* counters are read that often, or say nothing */

struct search {
	const struct inquiry *q;
	const struct hop *hop;
	const struct journey *j;
	const struct step *step; /* the kernel's word */
	const struct tuple *t;
	enum hook hook;
	bool queues; /* who handed it to a queue, not who dropped it */
	struct suspects *out;
	struct fleet_table *table;
	const struct chain *visited[VISITED_MAX];
	size_t visited_count;
	bool sets; /* an ipset was asked */
};

static bool prefix_may(const struct rule_prefix *p, const struct addr *a)
{
	return !p->prefix.len || prefix_has(&p->prefix, a) != p->negate;
}

/* Interfaces that are not known may be any. */
static bool interface_may(const char *rule, bool negate, const char *have)
{
	size_t n = strlen(rule);
	bool same;

	if (!n || !have[0])
		return true;
	same = rule[n - 1] == '+' ? !strncmp(rule, have, n - 1) : !strcmp(rule, have);
	return same != negate;
}

static bool rule_may(const struct search *s, const struct rule *r)
{
	const struct tuple *t = s->t;
	bool ports = proto_has_ports(t->proto), hit;

	if (!prefix_may(&r->src, &t->src) || !prefix_may(&r->dst, &t->dst))
		return false;
	if (r->proto && (r->proto == t->proto) == r->proto_negate)
		return false;
	if (!interface_may(r->in_if, r->in_negate, s->j->in_if) ||
	    !interface_may(r->out_if, r->out_negate, s->j->out_if))
		return false;
	if (r->sport_count) {
		hit = false;
		for (uint8_t i = 0; i < r->sport_count; i++)
			hit |= t->sport >= r->sports[i].from && t->sport <= r->sports[i].to;
		if (!ports || hit == r->sport_negate)
			return false;
	}
	if (r->dport_count) {
		hit = false;
		for (uint8_t i = 0; i < r->dport_count; i++)
			hit |= t->dport >= r->dports[i].from && t->dport <= r->dports[i].to;
		if (!ports || hit == r->dport_negate)
			return false;
	}
	return true;
}

static enum set_answer sets_of(struct search *s, const struct rule *r)
{
	struct set_place p = { .q = s->q,
			       .hop = s->hop,
			       .tuple = s->t,
			       .hook = s->hook,
			       .at = hop_step_at(s->hop, s->step),
			       .kernel_time = s->step->kernel_time };

	if (r->set_count == 0)
		return SET_YES;
	s->sets = true;
	return sets_ask(&p, r);
}

/* Targets that never drop a packet, beside those that end in a verdict of their own. */
static bool target_spares(const char *target)
{
	static const char *const known[] = {
		"ACCEPT",  "RETURN",    "DNAT",     "SNAT", "MASQUERADE",  "REDIRECT",
		"NETMAP",  "LOG",       "NFLOG",    "MARK", "CONNMARK",    "CT",
		"NOTRACK", "TRACE",     "TCPMSS",   "TTL",  "HL",          "DSCP",
		"TOS",     "CLASSIFY",  "CHECKSUM", "SET",  "CONNSECMARK", "SECMARK",
		"AUDIT",   "TPROXY",    "RATEEST",  "TEE",  "LED",         "TCPOPTSTRIP",
		"ECN",     "IDLETIMER", "",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i], target))
			return true;
	return false;
}

/* Does the rule end the packet in the way that is asked about? */
static bool ends(const struct search *s, const struct rule *r, const struct rule_text *text)
{
	if (!s->queues)
		return !strcmp(r->target, "DROP") || !strcmp(r->target, "REJECT");
	return (!strcmp(r->target, "NFQUEUE") || !strcmp(r->target, "QUEUE")) &&
	       !memmem(text->text, text->len, "bypass", strlen("bypass"));
}

static void add(struct search *s, const struct chain *c, uint32_t number, const char *text,
		const struct rule *rule, bool counts)
{
	struct suspects *o = s->out;

	for (size_t i = 0; i < o->count; i++) /* reached by two ways */
		if (o->list[i].table == &s->table->entry && o->list[i].number == number &&
		    !strcmp(o->list[i].chain, c->name))
			return;
	if (o->count == SUSPECTS_MAX) {
		o->complete = false;
		return;
	}
	o->list[o->count] = (struct suspect){
		.table = &s->table->entry,
		.chain = c->name,
		.number = number,
		.text = text,
		.counts = counts,
	};
	if (rule)
		o->list[o->count].rule = *rule;
	o->count++;
}

/* False: the search was in that chain, or goes no further. */
static bool enter(struct search *s, const struct chain *c)
{
	for (size_t i = 0; i < s->visited_count; i++)
		if (s->visited[i] == c)
			return false;
	if (s->visited_count == VISITED_MAX) {
		s->out->complete = false;
		return false;
	}
	s->visited[s->visited_count++] = c;
	return true;
}

/* 2, 3 */
static void search_chain(struct search *s, const struct chain *c)
{
	if (!enter(s, c))
		return;
	for (uint32_t n = 1; n <= c->rule_count; n++) {
		const struct rule_text *text = chain_rule(c, n);
		const struct chain *jump;
		enum set_answer sets;
		struct rule rule;
		bool all;

		if (rule_parse(&rule, text->text, text->len) < 0) {
			s->out->complete = false;
			continue;
		}
		if (!rule_may(s, &rule) || (sets = sets_of(s, &rule)) == SET_NO)
			continue;
		jump = table_chain(&s->table->parsed, rule.target);
		if (jump && rule.target[0])
			search_chain(s, jump);
		else if (ends(s, &rule, text))
			add(s, c, n, arena_strndup(s->q->arena, text->text, text->len), &rule,
			    true);
		else if (!target_spares(rule.target))
			s->out->complete = false;
		/* What every packet matches ends the chain for all. */
		all = !rule.other || (!rule.unread && sets == SET_YES);
		if (all && !jump && target_is_terminal(rule.target) && rule.target[0] &&
		    !rule.in_if[0] && !rule.out_if[0])
			return;
	}
	if (!s->queues && !strcmp(c->policy, "DROP")) {
		char line[CHAIN_NAME_MAX + 32];

		snprintf(line, sizeof(line), "-P %s DROP", c->name);
		add(s, c, 0, arena_strndup(s->q->arena, line, strlen(line)), NULL,
		    s->table->entry.backend == BACKEND_LEGACY);
	}
}

/*
 * While it changed (or came to be) either content was in force: all that drop in one of them are suspects. What may have stood
 * there that nobody has read is not known.
 */
static void contents_then(struct search *s, struct span *out, const struct fleet_table *known,
			  enum span_whose whose)
{
	const struct stored_table *t = &known->entry;
	struct wall_ns at = s->hop->sj->at;

	span_of(out, s->q->fleet, t->host, whose, t->family, t->table, at, at);
	if (out->others)
		s->out->complete = false;
}

/* 1 */
static void search_table(struct search *s, const struct fleet_table *known)
{
	struct span then;

	contents_then(s, &then, known,
		      known->entry.backend == BACKEND_LEGACY ? SPAN_LEGACY : SPAN_NFT);
	for (size_t i = 0; i < then.count; i++) {
		const struct chain *c;

		s->table = then.tables[i];
		s->visited_count = 0;
		c = s->hook == HOOK_INGRESS || s->hook == HOOK_EGRESS
			    ? NULL
			    : table_chain(&s->table->parsed, hook_name(s->hook));
		if (c)
			search_chain(s, c);
	}
}

/* In the order in which a hook calls the tables. */
static int rank(const char *table)
{
	static const char *const order[] = { "raw", "mangle", "nat", "filter", "security" };
	int i = 0;

	while (i < 5 && strcmp(order[i], table) != 0)
		i++;
	return i;
}

/* 2, 3 of what nft itself keeps. */
static void search_native_chain(struct search *s, const struct chain *c)
{
	const struct nft_packet packet = { s->j->ip_version, s->t, s->j->in_if, s->j->out_if };

	if (!enter(s, c))
		return;
	for (uint32_t n = 1; n <= c->rule_count; n++) {
		const struct rule_text *text = chain_rule(c, n);
		struct nft_match match = nft_match(&s->table->parsed, text, &packet);
		struct rule_text does =
			match.verdict
				? (struct rule_text){ match.verdict, (uint32_t)match.verdict_len }
				: *text;
		struct statement_ends end = statement_ends(does.text, does.len);
		const char *at = does.text;
		char name[CHAIN_NAME_MAX + 1];
		struct rule rule;
		bool jump;

		statement_translation(&rule, &jump, text->text, text->len);
		if (match.never || !rule_may(s, &rule))
			continue;
		if (match.verdict) {
			end.counted = statement_ends(text->text, text->len).counted;
			end.always = end.always && match.certain;
		} else {
			end.always |= match.certain && (!jump || rule.is_goto);
		}
		while (statement_jump(&at, does.text + does.len, name)) {
			const struct chain *to = table_chain(&s->table->parsed, name);

			if (to)
				search_native_chain(s, to);
			else
				s->out->complete = false;
		}
		if (end.unclear)
			s->out->complete = false;
		if (s->queues ? ends(s, &rule, text) : end.drops)
			add(s, c, n, arena_strndup(s->q->arena, text->text, text->len), &rule,
			    end.counted);
		if (end.always)
			return;
	}
	if (!s->queues && !strcmp(c->policy, "drop"))
		/* Policies of nftables count only where somebody has asked for it. */
		add(s, c, 0, "policy drop;", NULL, false);
}

/* A device's chain names its devices. */
static bool device_may(const struct search *s, const struct chain *c)
{
	const char *name = s->hook == HOOK_INGRESS ? s->j->in_if : s->j->out_if;
	char quoted[IFNAME_MAX + 3];
	int len = snprintf(quoted, sizeof(quoted), "\"%s\"", name);

	if ((c->hook != HOOK_INGRESS && c->hook != HOOK_EGRESS) || !name[0])
		return true;
	return memmem(c->base.text, c->base.len, quoted, (size_t)len) ||
	       memchr(c->base.text, '*', c->base.len);
}

/* 1. The hooks of bridges have the names of those of IP, and are others: where a packet was among them is not told. */
static void search_native(struct search *s, const struct fleet_table *known)
{
	bool bridge = known->entry.family == FAMILY_BRIDGE;
	struct span then;

	contents_then(s, &then, known, SPAN_NATIVE);
	for (size_t i = 0; i < then.count; i++) {
		s->table = then.tables[i];
		s->visited_count = 0;
		for (uint32_t k = 0; k < s->table->parsed.chain_count; k++) {
			const struct chain *c = &s->table->parsed.chains[k];

			if (bridge ? c->hook != HOOK_NONE : c->hook == s->hook && device_may(s, c))
				search_native_chain(s, c);
		}
	}
}

static void search_hook(struct search *s)
{
	struct fleet *f = s->q->fleet;
	uint8_t family = s->j->ip_version == 6 ? FAMILY_IPV6 : FAMILY_IPV4;

	for (int want = 0; want <= 5; want++) {
		for (size_t i = 0; i < f->table_count; i++) {
			const struct stored_table *t = &f->tables[i].entry;

			if (t->host != s->hop->sj->host || rank(t->table) != want ||
			    !fleet_heads_history(f, i))
				continue;
			if (t->backend == BACKEND_IPSET)
				continue;
			if (t->backend != BACKEND_NATIVE && t->family == family)
				search_table(s, &f->tables[i]);
			else if (t->backend == BACKEND_NATIVE &&
				 (t->family == family || t->family == FAMILY_INET ||
				  t->family == FAMILY_NETDEV || t->family == FAMILY_BRIDGE))
				search_native(s, &f->tables[i]);
		}
	}
}

/* 4 */
struct counting {
	struct suspects *out;
	struct wall_ns at;
	bool moved[SUSPECTS_MAX];
	uint64_t grown[SUSPECTS_MAX];
	struct wall_ns from[SUSPECTS_MAX], until[SUSPECTS_MAX]; /* what was read of its table */
};

static bool same_table(const struct stored_table *t, const struct counters *c)
{
	return t->backend == c->backend && t->family == c->family && !strcmp(t->table, c->table) &&
	       !memcmp(&t->content, &c->content, sizeof(t->content));
}

/* Counters are stamped a little after the kernel copied them: what was counted near an edge may stand on its other side. */
static bool on_counters(void *arg, const struct stored_counters *sc)
{
	struct counting *n = arg;
	int64_t margin = EDGE_NS + sc->error;

	if (sc->c.baseline || sc->before.v > n->at.v + margin || sc->at.v < n->at.v - margin ||
	    sc->at.v - sc->before.v > COUNTED_NS)
		return true;
	for (size_t i = 0; i < n->out->count; i++) {
		const struct suspect *s = &n->out->list[i];

		if (!same_table(s->table, &sc->c))
			continue;
		if (!s->counts)
			continue;
		if (!n->from[i].v || sc->before.v < n->from[i].v)
			n->from[i] = sc->before;
		if (sc->at.v > n->until[i].v)
			n->until[i] = sc->at;
		for (uint32_t k = 0; k < sc->c.count; k++) {
			const struct counter_entry *e = &sc->c.entries[k];

			if (e->rule != s->number || strcmp(e->chain, s->chain) != 0)
				continue;
			n->grown[i] += e->packets;
			n->moved[i] |= e->packets > 0 || e->mark != COUNTER_EXACT;
		}
	}
	return true;
}

static int narrow(struct suspects *o, const struct inquiry *q, const struct hop *h)
{
	int64_t at = h->sj->at.v;
	struct counting n = { .out = o, .at = { at } };
	struct wall_ns from = { at - COUNTED_NS }, until = { at + COUNTED_NS };
	size_t kept = 0;
	int r = reader_counters(q->fleet->reader, h->sj->host, from, until, on_counters, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < o->count; i++) {
		bool counted =
			n.from[i].v && n.from[i].v <= at - EDGE_NS && n.until[i].v >= at + EDGE_NS;

		if (!counted && o->list[i].counts && o->count > 1)
			need_read(q, h->sj->host);
		o->list[i].counted = counted;
		o->list[i].packets = n.grown[i];
		if (counted && !n.moved[i])
			continue;
		o->list[kept++] = o->list[i];
	}
	/* All of them innocent: a counter was reset, or something else did it. */
	if (kept == 0 && o->count > 0)
		o->complete = false;
	o->count = kept;
	return 0;
}

/* Did the host say later that its tables stood so? */
static bool was_read_since(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	if (fh && fh->checked.v >= h->sj->at.v)
		return true;
	need_read(q, h->sj->host);
	return false;
}

/* Nothing that they depend on is another than last time. */
static bool remembered(const struct search *s, const struct suspects_memo *m, uint32_t hooks)
{
	struct wall_ns at = s->hop->sj->at, from = at.v < m->at.v ? at : m->at,
		       until = at.v < m->at.v ? m->at : at;

	return !m->sets && m->host == s->hop->sj->host && m->hooks == hooks &&
	       tuple_equal(&m->tuple, s->t) && !strcmp(m->in_if, s->j->in_if) &&
	       !strcmp(m->out_if, s->j->out_if) &&
	       !fleet_changed(s->q->fleet, m->host, from, until);
}

static void remember(const struct search *s, struct suspects_memo *m, uint32_t hooks)
{
	*m = (struct suspects_memo){ .host = s->hop->sj->host,
				     .hooks = hooks,
				     .tuple = *s->t,
				     .at = s->hop->sj->at,
				     .sets = s->sets,
				     .found = *s->out };
	memcpy(m->in_if, s->j->in_if, sizeof(m->in_if));
	memcpy(m->out_if, s->j->out_if, sizeof(m->out_if));
	/* What is given away is narrowed down; this stays. */
	m->found.list = arena_alloc(s->q->arena, (s->out->count + 1) * sizeof(*m->found.list));
	if (!m->found.list) {
		m->host = 0;
		return;
	}
	if (s->out->count)
		memcpy(m->found.list, s->out->list, s->out->count * sizeof(*m->found.list));
}

/* 1 to 3 */
static int search_all(struct search *s, uint32_t hooks)
{
	struct suspects_memo *m = s->queues ? NULL : s->q->memo;
	struct suspects *out = s->out;

	if (m && remembered(s, m, hooks)) {
		out->complete = m->found.complete;
		out->count = m->found.count;
		out->list = arena_alloc(s->q->arena, (out->count + 1) * sizeof(*out->list));
		if (!out->list)
			return -ENOMEM;
		if (out->count)
			memcpy(out->list, m->found.list, out->count * sizeof(*out->list));
		return 0;
	}
	out->list = arena_alloc(s->q->arena, SUSPECTS_MAX * sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	for (int k = HOOK_INGRESS; k < HOOK_COUNT; k++) {
		if (hooks && !(hooks & 1u << k))
			continue;
		s->hook = (enum hook)k;
		search_hook(s);
	}
	if (m)
		remember(s, m, hooks);
	return 0;
}

static int find(struct suspects *out, const struct inquiry *q, const struct hop *h,
		const struct step *s, uint32_t hooks, bool queues)
{
	const struct journey *j = &h->sj->j;
	struct search search = { .q = q,
				 .hop = h,
				 .j = j,
				 .step = s,
				 .t = &j->tuples[s->tuple < j->tuple_count ? s->tuple : 0],
				 .queues = queues,
				 .out = out };
	int r;

	*out = (struct suspects){ .complete = true };
	r = search_all(&search, hooks);
	if (r < 0)
		return r;
	if (hooks == 0 || !was_read_since(q, h))
		out->complete = false;
	return narrow(out, q, h);
}

int suspects_find(struct suspects *out, const struct inquiry *q, const struct hop *h,
		  const struct step *s)
{
	return find(out, q, h, s, s->number, false);
}

int suspects_queues(struct suspects *out, const struct inquiry *q, const struct hop *h,
		    const struct step *s, uint32_t hooks)
{
	return find(out, q, h, s, hooks, true);
}
