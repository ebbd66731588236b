/*
 * The kernel's label lies (an unconditional rule is printed as policy or return), its number does not: up to the
 * chain's rule count it is that rule, one beyond is the policy or the end of a user chain.
 * Source: get_chainname_rulenum() in the kernel's net/ipv4/netfilter/ip_tables.c.
 */
#include "collector/diagnose/resolve.h"

#include <stdio.h>
#include <string.h>

#include "collector/stitch/span.h"
#include "common/statement.h"

/* A time of receipt is later than the event by no more than this, unless the agent was stopped. */
static const int64_t RECEIPT_NS = 100LL * NS_PER_MS;

static void resolve_in(struct resolved *out, const struct inquiry *q, struct fleet_table *t,
		       const struct step *s)
{
	const struct chain *c = table_chain(&t->parsed, s->chain);
	const struct rule_text *text;
	char line[CHAIN_NAME_MAX + 32];

	memset(out, 0, sizeof(*out));
	out->table = &t->entry;
	if (!c || s->number == 0 || s->number > c->rule_count + 1) {
		out->reason = "ruleset-mismatch";
		return;
	}
	text = chain_rule(c, s->number);
	if (text) {
		if (rule_parse(&out->rule, text->text, text->len) < 0) {
			out->reason = "ruleset-mismatch";
			return;
		}
		out->kind = RESOLVED_RULE;
		out->is_jump = out->rule.target[0] && table_chain(&t->parsed, out->rule.target);
		out->number = s->number;
		out->text = arena_strndup(q->arena, text->text, text->len);
		return;
	}
	if (!strcmp(c->policy, "-")) {
		out->kind = RESOLVED_RETURN;
		return;
	}
	out->kind = RESOLVED_POLICY;
	snprintf(out->policy, sizeof(out->policy), "%s", c->policy);
	snprintf(line, sizeof(line), "-P %s %s", c->name, c->policy);
	out->text = arena_strndup(q->arena, line, strlen(line));
}

static bool same_meaning(const struct resolved *a, const struct resolved *b)
{
	if (a->kind != b->kind)
		return false;
	if (!a->text || !b->text)
		return a->text == b->text;
	return !strcmp(a->text, b->text);
}

static bool ends_packet(const struct resolved *r)
{
	if (r->kind == RESOLVED_POLICY)
		return !strcmp(r->policy, "DROP");
	return r->kind == RESOLVED_RULE &&
	       (!strcmp(r->rule.target, "DROP") || !strcmp(r->rule.target, "REJECT"));
}

void need_read(const struct inquiry *q, uint64_t host)
{
	struct where_need *n = q->need;

	if (!n)
		return;
	for (size_t i = 0; i < n->count; i++) {
		if (n->hosts[i] == host)
			return;
	}
	if (n->count < sizeof(n->hosts) / sizeof(n->hosts[0]))
		n->hosts[n->count++] = host;
}

static void resolve_legacy(struct resolved *out, const struct inquiry *q, const struct hop *h,
			   const struct step *s)
{
	struct wall_ns at = hop_step_at(h, s);
	struct wall_ns earliest = { s->kernel_time ? at.v : at.v - RECEIPT_NS };
	struct table_at now, then;
	struct fleet_table *other = NULL;
	struct resolved second;

	now = fleet_table_at(q->fleet, h->sj->host, s->backend, s->family, s->table, at);
	then = fleet_table_at(q->fleet, h->sj->host, s->backend, s->family, s->table, earliest);
	if (now.state == TABLE_NONE) {
		memset(out, 0, sizeof(*out));
		out->reason = "no-ruleset";
		need_read(q, h->sj->host);
		return;
	}
	resolve_in(out, q, now.tables[0], s);
	out->sure = now.state == TABLE_SURE;
	out->unchecked = now.state == TABLE_UNCHECKED;
	if (out->unchecked || now.state == TABLE_CHANGING)
		need_read(q, h->sj->host);

	if (now.tables[1])
		other = now.tables[1];
	else if (then.tables[0] && then.tables[0] != now.tables[0])
		other = then.tables[0];
	if (!other)
		return;
	out->sure = false;
	resolve_in(&second, q, other, s);
	if (same_meaning(out, &second))
		return;
	out->may_drop = ends_packet(out) || ends_packet(&second);
	out->kind = RESOLVED_UNKNOWN;
	out->number = 0;
	out->text = NULL;
	out->reason = "ruleset-changed";
}

/* The rule with the step's handle, as the content at that time has it. False: it is not in there. */
static bool resolve_handle(struct resolved *out, const struct inquiry *q, struct fleet_table *t,
			   const struct step *s)
{
	const struct chain *c = table_chain(&t->parsed, s->chain);
	uint32_t number = c ? fleet_handle(q->fleet, t, s->chain, s->handle) : 0;
	const struct rule_text *text = number ? chain_rule(c, number) : NULL;

	if (!text)
		return false;
	out->table = &t->entry;
	out->number = number;
	out->text = arena_strndup(q->arena, text->text, text->len);
	if (t->entry.backend == BACKEND_NATIVE)
		statement_parse(&out->rule, &out->is_jump, text->text, text->len);
	else if (rule_parse(&out->rule, text->text, text->len) == 0)
		out->is_jump = out->rule.target[0] && table_chain(&t->parsed, out->rule.target);
	/* Which chain a verdict map leads to, the rule's text does not tell. */
	if (s->verdict == STEP_VERDICT_JUMP || s->verdict == STEP_VERDICT_GOTO) {
		out->is_jump = true;
		out->rule.is_goto = s->verdict == STEP_VERDICT_GOTO;
	}
	return true;
}

static void policy_text(struct resolved *out, const struct inquiry *q, const struct step *s)
{
	char line[CHAIN_NAME_MAX + 32];

	snprintf(out->policy, sizeof(out->policy), "%s",
		 s->verdict == STEP_VERDICT_DROP ? "DROP" : "ACCEPT");
	snprintf(line, sizeof(line), "-P %s %s", s->chain, out->policy);
	if (out->table && out->table->backend == BACKEND_NATIVE)
		snprintf(line, sizeof(line), "policy %s;",
			 s->verdict == STEP_VERDICT_DROP ? "drop" : "accept");
	out->text = arena_strndup(q->arena, line, strlen(line));
}

/* Can this rule have given the verdict that nft told? */
static bool gives(const struct resolved *r, const struct step *s)
{
	const char *target = r->rule.target;

	if (!strcmp(target, "ACCEPT"))
		return s->verdict == STEP_VERDICT_ACCEPT;
	if (!strcmp(target, "DROP") || !strcmp(target, "REJECT"))
		return s->verdict == STEP_VERDICT_DROP || s->verdict == STEP_VERDICT_CONTINUE;
	if (!strcmp(target, "RETURN"))
		return s->verdict == STEP_VERDICT_RETURN;
	return true;
}

/*
 * nft tells the verdict itself, and the rule by its handle: where it stands and what it says is in the contents of that time. Of
 * several in which the handle is another rule, one may be out of the question by the verdict; else neither is told. Where the table
 * may have been another one, which nobody has read, all that is known must say the same.
 */
static void resolve_by_handle(struct resolved *out, const struct inquiry *q, const struct span *at,
			      const struct step *s)
{
	const struct resolved nothing = *out;
	bool excluded = false, differ = false;
	size_t found = 0;

	for (size_t i = 0; i < at->count; i++) {
		struct resolved r = nothing;

		if (!resolve_handle(&r, q, at->tables[i], s))
			continue;
		if ((at->count > 1 || at->remade) && !gives(&r, s)) {
			excluded = true;
			continue;
		}
		differ |= found && !same_meaning(out, &r);
		*out = r; /* as it says last */
		found++;
	}
	if (differ || (at->remade && (found < at->count || at->unread)))
		*out = nothing;
	out->sure = !excluded && !at->remade;
	if (!out->text)
		out->reason = at->count ? "ruleset-changed" : "no-ruleset";
}

static void resolve_nft(struct resolved *out, const struct inquiry *q, const struct hop *h,
			const struct step *s)
{
	struct wall_ns t = hop_step_at(h, s);
	struct wall_ns earliest = { s->kernel_time ? t.v : t.v - RECEIPT_NS };
	struct span at;

	memset(out, 0, sizeof(*out));
	span_of(&at, q->fleet, h->sj->host, SPAN_NFTABLES, s->family, s->table, earliest, t);
	out->sure = true;
	out->kind = s->label == LABEL_RULE     ? RESOLVED_RULE
		    : s->label == LABEL_POLICY ? RESOLVED_POLICY
					       : RESOLVED_RETURN;
	if (at.count)
		out->table = &at.tables[at.count - 1]->entry;
	if (out->kind == RESOLVED_POLICY)
		policy_text(out, q, s);
	if (out->kind != RESOLVED_RULE)
		return;
	resolve_by_handle(out, q, &at, s);
	if (out->reason || at.unchecked)
		need_read(q, h->sj->host);
}

void resolve_step(struct resolved *out, const struct inquiry *q, const struct hop *h,
		  const struct step *s)
{
	if (s->label == LABEL_CHECKPOINT || s->label == LABEL_LOG || s->label == LABEL_KERNEL) {
		memset(out, 0, sizeof(*out));
		out->kind = s->label == LABEL_LOG      ? RESOLVED_LOG
			    : s->label == LABEL_KERNEL ? RESOLVED_KERNEL
						       : RESOLVED_CHECKPOINT;
		out->sure = true;
		return;
	}
	if (s->backend == BACKEND_LEGACY) {
		resolve_legacy(out, q, h, s);
		return;
	}
	resolve_nft(out, q, h, s);
}

enum step_verdict resolved_verdict(const struct resolved *r, const struct step *s)
{
	static const struct {
		const char *target;
		enum step_verdict verdict;
	} known[] = {
		{ "ACCEPT", STEP_VERDICT_ACCEPT },     { "DROP", STEP_VERDICT_DROP },
		{ "REJECT", STEP_VERDICT_REJECT },     { "RETURN", STEP_VERDICT_RETURN },
		{ "QUEUE", STEP_VERDICT_QUEUE },       { "NFQUEUE", STEP_VERDICT_QUEUE },
		{ "DNAT", STEP_VERDICT_ACCEPT },       { "SNAT", STEP_VERDICT_ACCEPT },
		{ "MASQUERADE", STEP_VERDICT_ACCEPT }, { "REDIRECT", STEP_VERDICT_ACCEPT },
		{ "NETMAP", STEP_VERDICT_ACCEPT },     { "TPROXY", STEP_VERDICT_ACCEPT },
		{ "SYNPROXY", STEP_VERDICT_STOLEN },   { "", STEP_VERDICT_CONTINUE },
	};
	const char *target = r->rule.target;

	if (s->label == LABEL_KERNEL)
		return STEP_VERDICT_NONE;
	if (s->backend != BACKEND_LEGACY) /* its REJECT answers, and drops */
		return s->verdict == STEP_VERDICT_DROP && !strcmp(target, "REJECT")
			       ? STEP_VERDICT_REJECT
			       : s->verdict;
	if (r->kind == RESOLVED_POLICY)
		return strcmp(r->policy, "DROP") ? STEP_VERDICT_ACCEPT : STEP_VERDICT_DROP;
	if (r->kind == RESOLVED_RETURN)
		return STEP_VERDICT_RETURN;
	if (r->kind != RESOLVED_RULE)
		return STEP_VERDICT_NONE;
	if (r->is_jump)
		return STEP_VERDICT_JUMP;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(known[i].target, target))
			return known[i].verdict;
	}
	return target_is_terminal(target) ? STEP_VERDICT_ACCEPT : STEP_VERDICT_CONTINUE;
}

const char *resolved_target(const struct resolved *r)
{
	if (r->kind == RESOLVED_POLICY)
		return r->policy;
	if (r->kind == RESOLVED_RULE && r->rule.target[0])
		return r->rule.target;
	return NULL;
}

enum backend resolved_backend(const struct resolved *r, const struct step *s)
{
	return r->table ? (enum backend)r->table->backend : (enum backend)s->backend;
}
