/*
 * From structs to the JSON of `where`.
 */
#include "collector/diagnose/answer.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "collector/diagnose/ends.h"
#include "collector/diagnose/logger.h"
#include "collector/diagnose/origin.h"
#include "collector/diagnose/unanswered.h"
#include "collector/stitch/stranger.h"
#include "common/content.h"
#include "common/packet.h"
#include "common/reasons.h"

enum { CHAIN_DEPTH_MAX = 64 }; /* jumps that an answer tells */

const char *direction_name(enum direction d)
{
	return d == DIRECTION_REPLY ? "reply" : "original";
}

static json_t *json_step(const struct inquiry *q, const struct hop *h, const struct step *s,
			 const struct resolved *r)
{
	static const char *const kinds[] = {
		[RESOLVED_UNKNOWN] = "rule",          [RESOLVED_RULE] = "rule",
		[RESOLVED_POLICY] = "policy",         [RESOLVED_RETURN] = "return",
		[RESOLVED_CHECKPOINT] = "checkpoint", [RESOLVED_LOG] = "log",
		[RESOLVED_KERNEL] = "kernel",
	};
	enum step_verdict v = resolved_verdict(r, s);
	bool ours = s->label == LABEL_CHECKPOINT, kernel = s->label == LABEL_KERNEL;
	bool log = s->label == LABEL_LOG || kernel;
	const struct journey *j = &h->sj->j;

	bool placed = !ours && (!log || r->chain); /* a log line's rule may be known */
	const char *table = r->chain ? r->table->table : s->table;
	uint8_t family = r->chain ? r->table->family : s->family;

	(void)q;
	return json_pack(
		"{s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o}", "at",
		s->kernel_time ? json_wall(hop_shown(h, hop_step_at(h, s))) : json_null(),
		"backend", placed ? json_string(backend_name(resolved_backend(r, s))) : json_null(),
		"family", placed ? json_text(family_name(family)) : json_null(), "table",
		ours ? json_null() : json_text(table), "chain",
		ours ? json_string(hook_name(s->hook)) : json_text(r->chain ?: s->chain), "kind",
		kinds[r->kind], "rule",
		(r->kind == RESOLVED_RULE || r->chain) && r->number ? json_integer(r->number)
								    : json_null(),
		"handle", s->handle ? json_integer((json_int_t)s->handle) : json_null(), "target",
		json_text(resolved_target(r)), "verdict",
		ours ? json_null()
		     : json_text(step_verdict_name(v == STEP_VERDICT_GOTO ? STEP_VERDICT_JUMP : v)),
		"rule_text", json_text(r->text), "hook", json_text(hook_name(s->hook)),
		"checkpoint", ours ? json_string(checkpoint_name(s->checkpoint)) : json_null(),
		"prefix", log && !kernel ? json_text(s->prefix) : json_null(), "kernel_time",
		s->kernel_time, "tuple",
		s->ttl ? json_tuple(&j->tuples[s->tuple < j->tuple_count ? s->tuple : 0])
		       : json_null(),
		"reason", json_text(kernel ? s->prefix : r->reason));
}

/* --- NAT --------------------------------------------------------------------------------------------------- */

static const char *nat_target_kind(const char *target, bool source)
{
	static const struct {
		const char *target, *kind;
		bool source, destination;
	} known[] = {
		{ "MASQUERADE", "masquerade", true, false },
		{ "SNAT", "snat", true, false },
		{ "DNAT", "dnat", false, true },
		{ "REDIRECT", "redirect", false, true },
		{ "NETMAP", "netmap", true, true },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(known[i].target, target) &&
		    (source ? known[i].source : known[i].destination))
			return known[i].kind;
	}
	return NULL;
}

/* Of a table of the admin's: neither ours, nor a log line, nor the kernel's own. */
static bool step_of_table(const struct step *s)
{
	return s->label == LABEL_RULE || s->label == LABEL_POLICY || s->label == LABEL_RETURN;
}

/* The NAT rule that a journey met and that changes the source (or destination) of its connection. */
static const char *nat_rule(const struct inquiry *q, const struct hop *h, bool source,
			    struct resolved *r)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = 0; i < j->step_count; i++) {
		const struct step *s = &j->steps[i];
		const char *kind;

		if (!step_of_table(s) || (s->backend == BACKEND_LEGACY && strcmp(s->table, "nat")))
			continue;
		resolve_step(r, q, h, s);
		kind = r->kind == RESOLVED_RULE ? nat_target_kind(r->rule.target, source) : NULL;
		if (kind)
			return kind;
	}
	return NULL;
}

/* The rule that this host translates the conversation by, from whichever of its packets met it. */
static const char *nat_kind(const struct inquiry *q, const struct hop *h,
			    const struct conversation *c, bool source, struct resolved *r)
{
	const char *kind = nat_rule(q, h, source, r);

	for (size_t i = 0; !kind && c && i < c->original_count; i++) {
		for (size_t k = 0; !kind && k < c->original[i]->hop_count; k++) {
			const struct hop *other = &c->original[i]->hops[k];

			if (other->sj->host == h->sj->host && other != h)
				kind = nat_rule(q, other, source, r);
		}
	}
	if (!kind) {
		memset(r, 0, sizeof(*r));
		kind = source ? "snat" : "dnat";
	}
	return kind;
}

static json_t *json_nat_change(const struct inquiry *q, const struct hop *h,
			       const struct conversation *c, enum direction d, bool source,
			       const struct tuple *a, const struct tuple *b)
{
	char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	struct resolved r;
	/* A reply's destination is translated back by the rule that changed the request's source. */
	const char *kind = nat_kind(q, h, c, d == DIRECTION_REPLY ? !source : source, &r);

	endpoint_print(source ? &a->src : &a->dst, source ? a->sport : a->dport, a->proto, from);
	endpoint_print(source ? &b->src : &b->dst, source ? b->sport : b->dport, b->proto, to);
	return json_pack("{s:s,s:s,s:s,s:o}", "kind", kind, "from", from, "to", to, "rule_text",
			 json_text(r.text));
}

static json_t *json_change(const char *kind, const struct addr *from, uint16_t from_port,
			   const struct addr *to, uint16_t to_port, uint8_t proto)
{
	char a[ENDPOINT_TEXT_MAX], b[ENDPOINT_TEXT_MAX];

	endpoint_print(from, from_port, proto, a);
	endpoint_print(to, to_port, proto, b);
	return json_pack("{s:s,s:s,s:s,s:n}", "kind", kind, "from", a, "to", b, "rule_text");
}

static bool src_differs(const struct tuple *a, const struct tuple *b)
{
	return !addr_equal(&a->src, &b->src) || a->sport != b->sport;
}

static bool dst_differs(const struct tuple *a, const struct tuple *b)
{
	return !addr_equal(&a->dst, &b->dst) || a->dport != b->dport;
}

json_t *json_translation(const struct tuple *a, const struct tuple *b, enum direction d)
{
	json_t *nat = json_array();
	bool back = d == DIRECTION_REPLY;

	if (dst_differs(a, b))
		json_array_append_new(nat, json_change(back ? "snat" : "dnat", &a->dst, a->dport,
						       &b->dst, b->dport, a->proto));
	if (src_differs(a, b))
		json_array_append_new(nat, json_change(back ? "dnat" : "snat", &a->src, a->sport,
						       &b->src, b->sport, a->proto));
	return nat;
}

static json_t *json_nat(const struct inquiry *q, const struct hop *h, const struct conversation *c,
			enum direction d)
{
	const struct journey *j = &h->sj->j;
	json_t *nat = json_array();

	for (uint8_t i = 1; i < j->tuple_count; i++) {
		const struct tuple *a = &j->tuples[i - 1], *b = &j->tuples[i];

		if (dst_differs(a, b))
			json_array_append_new(nat, json_nat_change(q, h, c, d, false, a, b));
		if (src_differs(a, b))
			json_array_append_new(nat, json_nat_change(q, h, c, d, true, a, b));
	}
	return nat;
}

/* --- hops ------------------------------------------------------------------------------------------------ */

/* What ended on a link, or behind hosts that nobody watches, had left the host; so had what an answer proves to have arrived. */
static const char *outcome_of(const struct inquiry *q, const struct hop *h, const struct fate *f)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	if (!f)
		return "accepted";
	if (f->death == DEATH_LINK)
		return "left";
	if (f->verdict != VERDICT_DELIVERED || hop_reached(h, CHECKPOINT_IN_LAST) ||
	    (fh && fleet_owns(fh, &hop_tuple_out(h)->dst)))
		return verdict_name(f->verdict);
	return hop_reached(h, CHECKPOINT_POST_LAST) ? "left" : "accepted";
}

void packet_text(const struct journey *j, char text[static 32])
{
	struct packet p = { .tuple = j->tuples[0],
			    .ip_version = j->ip_version,
			    .total_len = j->total_len,
			    .has_l4 = j->fp != 0 };

	p.tcp_flags = j->tcp_flags;
	p.icmp_type = j->icmp_type;
	p.icmp_code = j->icmp_code;
	p.is_icmp_error = j->is_icmp_error;
	packet_kind(&p, text);
}

static json_t *json_mac(const uint8_t mac[static 6])
{
	static const uint8_t none[6];

	return memcmp(mac, none, sizeof(none)) == 0
		       ? json_null()
		       : json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
				      mac[3], mac[4], mac[5]);
}

static json_t *json_ether(const struct ether *e)
{
	if (!ether_known(e))
		return json_null();
	return json_pack("{s:o,s:o,s:o,s:o}", "src", json_mac(e->src), "dst", json_mac(e->dst),
			 "ethertype", e->type ? json_sprintf("0x%04x", e->type) : json_null(),
			 "vlan", e->vlan ? json_integer(e->vlan) : json_null());
}

json_t *json_hop(const struct inquiry *q, const struct hop *h, const struct conversation *c,
		 const struct fate *f, enum direction d)
{
	const struct journey *j = &h->sj->j;
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);
	uint8_t in = hop_ttl_in(h), out = hop_ttl_out(h);
	json_t *steps = json_array();
	char kind[32];

	for (uint16_t i = 0; i < j->step_count; i++) {
		struct resolved r;

		resolve_step(&r, q, h, &j->steps[i]);
		if (r.kind == RESOLVED_LOG)
			(void)logger_find(&r, q, h,
					  &j->steps[i]); /* it says itself what is missing */
		json_array_append_new(steps, json_step(q, h, &j->steps[i], &r));
	}
	packet_text(j, kind);
	return json_pack(
		"{s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:I,s:n,s:I,s:o}",
		"host", fh ? fh->id : "?", "direction", direction_name(d), "in",
		json_text(j->in_if), "out", json_text(j->out_if), "ttl_in",
		in ? json_integer(in) : json_null(), "ttl_out",
		out ? json_integer(out) : json_null(), "outcome", outcome_of(q, h, f), "at",
		json_wall(hop_shown(h, h->sj->at)), "tuple_in", json_tuple(hop_tuple_in(h)),
		"tuple_out",
		hop_reached(h, CHECKPOINT_IN_LAST) || out ? json_tuple(hop_tuple_out(h))
							  : json_null(),
		"nat", json_nat(q, h, c, d), "link", json_text(link_kind_name(h->link)),
		"link_confidence", json_text(link_surety_name(h->surety)), "steps", steps, "packet",
		kind, "clock_error_ns", (json_int_t)h->sj->error, "stranger", "row",
		(json_int_t)h->sj->row, "link_layer", json_ether(&j->ether));
}

json_t *json_stranger(const struct inquiry *q, const struct hop *before, const struct hop *h,
		      enum direction d)
{
	struct stranger s;

	if (!before || !stranger_between(&s, q->fleet, before, h))
		return json_null();
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "addr", json_addr(&s.addr), "host",
			 s.host ? json_string(s.host->id) : json_null(), "ttl_steps",
			 s.ttl_known ? json_integer(s.ttl) : json_null(), "tuple_in",
			 json_tuple(&s.in), "tuple_out", json_tuple(&s.out), "nat",
			 json_translation(&s.in, &s.out, d));
}

/* --- the end ----------------------------------------------------------------------------------------------- */

/* The jumps and gotos that a packet has not come back from, outermost first. */
struct way_in {
	json_t *jumps;
	size_t depth;
	bool is_goto[CHAIN_DEPTH_MAX];
	const char *chain[CHAIN_DEPTH_MAX]; /* in which each stands */
};

static void way_cut(struct way_in *w, size_t depth)
{
	while (w->depth > depth)
		json_array_remove(w->jumps, --w->depth);
}

/* nft does not tell the end of a chain that was jumped to: what is met in a chain on the way has come back to it. */
static void way_met(struct way_in *w, const char *chain)
{
	for (size_t i = 0; i < w->depth; i++) {
		if (!strcmp(w->chain[i], chain))
			way_cut(w, i);
	}
}

static void way_return(struct way_in *w)
{
	bool past = true;

	while (w->depth && past) {
		past = w->is_goto[w->depth - 1];
		way_cut(w, w->depth - 1);
	}
}

static void way_step(struct way_in *w, const struct resolved *r, const struct step *s)
{
	enum step_verdict v = resolved_verdict(r, s);

	if (r->kind == RESOLVED_RULE && r->is_jump && w->depth < CHAIN_DEPTH_MAX) {
		w->is_goto[w->depth] = r->rule.is_goto;
		w->chain[w->depth++] = s->chain;
		json_array_append_new(w->jumps,
				      json_pack("{s:o,s:I,s:o}", "chain", json_text(s->chain),
						"rule", (json_int_t)r->number, "rule_text",
						json_text(r->text)));
	} else if (v == STEP_VERDICT_RETURN) {
		way_return(w);
	} else if (v == STEP_VERDICT_ACCEPT) {
		way_cut(w, 0); /* another base chain follows */
	}
}

/*
 * The way into the chain that ended the packet: each jump or goto that was not returned from, outermost first. A
 * return goes to where the last jump stood, past every goto since.
 */
static json_t *json_jumps(const struct inquiry *q, const struct fate *f)
{
	const struct journey *j = &f->hop->sj->j;
	struct way_in way = { .jumps = json_array() };

	for (uint16_t i = 0; i < j->step_count && &j->steps[i] != f->step; i++) {
		const struct step *s = &j->steps[i];
		struct resolved r;

		if (!step_of_table(s) || s->hook != f->step->hook ||
		    s->backend != f->step->backend || s->family != f->step->family ||
		    strcmp(s->table, f->step->table))
			continue;
		resolve_step(&r, q, f->hop, s);
		way_met(&way, s->chain);
		way_step(&way, &r, s);
	}
	way_met(&way, f->step->chain);
	return way.jumps;
}

static json_t *json_id(uint32_t id)
{
	return id == AUTHOR_NOBODY ? json_null() : json_integer(id);
}

static json_t *json_author(const struct author *a)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "user", json_text(a->user), "program",
			 json_text(a->program), "command", json_text(a->command), "pid",
			 json_id(a->pid), "uid", json_id(a->uid), "loginuid", json_id(a->loginuid),
			 "via", json_text(via_name((enum via)a->via)));
}

/* One author, or several who may have been it: then they stand in `one_of`, and nobody is named. */
json_t *json_changed_by(const struct stored_table *t)
{
	static const struct author nobody = { .pid = AUTHOR_NOBODY,
					      .uid = AUTHOR_NOBODY,
					      .loginuid = AUTHOR_NOBODY,
					      .via = VIA_COUNT };
	json_t *by, *one_of = json_array();

	if (!t || t->author_count == 0) {
		json_decref(one_of);
		return json_null();
	}
	by = json_author(t->author_count == 1 ? &t->authors[0] : &nobody);
	for (uint32_t i = 0; t->author_count > 1 && i < t->author_count; i++)
		json_array_append_new(one_of, json_author(&t->authors[i]));
	json_object_set_new(by, "one_of", one_of);
	return by;
}

json_t *json_uncertainty(struct wall_ns before, struct wall_ns since, const struct stored_table *by)
{
	if (!before.v || (by && by->author_count > 0))
		return json_null();
	return json_integer((since.v - before.v) / NS_PER_MS);
}

static json_t *json_hooks(const struct fate *f)
{
	json_t *hooks = json_array();

	for (int h = HOOK_NONE + 1; h < HOOK_COUNT; h++)
		if (f->freed && f->freed->number & 1u << h)
			json_array_append_new(hooks, json_string(hook_name((enum hook)h)));
	return hooks;
}

/* Rules that may have done it, where the kernel said only that some rule did. */
static json_t *json_candidates(const struct fate *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->suspects.count; i++) {
		const struct suspect *s = &f->suspects.list[i];

		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "backend",
						backend_name(s->table->backend), "family",
						family_name(s->table->family), "table",
						json_text(s->table->table), "chain",
						json_text(s->chain), "rule",
						s->number ? json_integer(s->number) : json_null(),
						"rule_text", json_text(s->text), "packets",
						s->counted ? json_integer((json_int_t)s->packets)
							   : json_null()));
	}
	return list;
}

static void set_origin(json_t *died, const struct origin_of_rule *o)
{
	bool known = o->before.v != 0;

	json_object_set_new(died, "since", known ? json_wall(o->since) : json_null());
	json_object_set_new(died, "changed_by", known ? json_changed_by(o->by) : json_null());
	json_object_set_new(died, "since_before", known ? json_null() : json_wall(o->since));
	json_object_set_new(died, "since_uncertainty_ms",
			    known ? json_uncertainty(o->before, o->since, o->by) : json_null());
}

/* A rule or policy that the counters and texts leave as the only one. */
static json_t *json_died_by(const struct inquiry *q, const struct fate *f)
{
	const struct fleet_host *fh = fleet_host(q->fleet, f->hop->sj->host);
	const struct suspect *s = f->culprit;
	struct origin_of_rule o;
	char content[CONTENT_TEXT_MAX] = "";
	json_t *died;

	content_id_print(&s->table->content, content);
	origin_find(&o, q, s->table, s->chain, s->number, s->text);
	died = json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:n,s:o,s:[],s:o,s:n,s:o,s:s}", "host",
			 fh ? fh->id : "?", "backend", backend_name(s->table->backend), "family",
			 family_name(s->table->family), "table", json_text(s->table->table),
			 "chain", json_text(s->chain), "kind", death_name(f->death), "rule",
			 s->number ? json_integer(s->number) : json_null(), "handle", "rule_text",
			 json_text(s->text), "jumps", "reason", json_text(f->reason), "between",
			 "reject_with", json_text(f->reject_with), "content", content);
	set_origin(died, &o);
	return died;
}

static json_t *json_died(const struct inquiry *q, const struct fate *f)
{
	const struct fleet_host *fh;
	struct origin_of_rule o = { 0 };
	const struct stored_table *t;
	char content[CONTENT_TEXT_MAX] = "";
	json_t *died;
	bool by_rule;

	if (f->culprit)
		return json_died_by(q, f);
	by_rule = f->death == DEATH_RULE || f->death == DEATH_POLICY;
	fh = fleet_host(q->fleet, f->hop->sj->host);
	t = by_rule ? f->resolved.table : NULL;
	if (t) {
		content_id_print(&t->content, content);
		origin_find(&o, q, t, f->step->chain,
			    f->death == DEATH_RULE ? f->resolved.number : 0, f->resolved.text);
	}
	died = json_pack("{s:s,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "host",
			 fh ? fh->id : "?", "backend",
			 by_rule ? json_string(
					   backend_name(resolved_backend(&f->resolved, f->step)))
				 : json_null(),
			 "family", by_rule ? json_text(family_name(f->step->family)) : json_null(),
			 "table", by_rule ? json_text(f->step->table) : json_null(), "chain",
			 by_rule ? json_text(f->step->chain) : json_null(), "kind",
			 death_name(f->death), "rule",
			 f->death == DEATH_RULE && f->resolved.number
				 ? json_integer(f->resolved.number)
				 : json_null(),
			 "handle",
			 by_rule && f->step->handle ? json_integer((json_int_t)f->step->handle)
						    : json_null(),
			 "rule_text", by_rule ? json_text(f->resolved.text) : json_null(), "jumps",
			 by_rule ? json_jumps(q, f) : json_array(), "reason", json_text(f->reason),
			 "between",
			 (f->next || f->answered_by) && f->death == DEATH_LINK
				 ? json_pack("[s,s?]", fh ? fh->id : "?",
					     f->next_sure ? f->next : NULL)
				 : json_null(),
			 "reject_with", json_text(f->reject_with), "content", json_text(content));
	set_origin(died, &o);
	return died;
}

/* Our own names of what the kernel ended without a word: AFTER_PREROUTING and its like. */
static json_t *json_reason_text(const struct inquiry *q, const struct fate *f)
{
	const struct reason *told =
		f->death == DEATH_KERNEL && f->reason ? reason_find(f->reason) : NULL;

	if (told)
		return json_text(told->text);
	if (f->death == DEATH_KERNEL && f->reason && !strcmp(f->reason, NO_ANSWER))
		return json_string("its TCP took the SYN, and answered nothing");
	if (f->death == DEATH_KERNEL && f->reason && !strcmp(f->reason, NO_ROUTE_BACK))
		return json_string("no route leads back to its sender");
	if (f->death != DEATH_KERNEL || !f->reason || strncmp(f->reason, "AFTER_", 6))
		return json_null();
	return json_sprintf("%s ended it behind %s, in no rule, and does not say why",
			    hop_host_id(q, f->hop), f->reason + 6);
}

json_t *json_died_at(const struct inquiry *q, const struct fate *f)
{
	json_t *died;

	if (!f || f->death == DEATH_NONE)
		return json_null();
	died = json_died(q, f);
	json_object_set_new(died, "reason_text", json_reason_text(q, f));
	json_object_set_new(died, "answered_by", json_text(f->answered_by));
	json_object_set_new(died, "hooks", json_hooks(f));
	json_object_set_new(died, "candidates", json_candidates(f));
	return died;
}
