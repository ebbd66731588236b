/*
 * Only what was seen: the rule that ended it, the policy, the answer, the gap. Explanations that need the rules
 * to be evaluated (a later rule would have accepted it) build on these.
 */
#include "collector/diagnose/cause.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SENTENCE_MAX = 768 };

/* Appends a cause and returns its evidence array (borrowed). */
static json_t *add_cause(json_t *causes, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static json_t *add_cause(json_t *causes, const char *id, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	json_t *evidence = json_array();
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(causes, json_pack("{s:s,s:s%,s:o,s:n,s:n,s:[],s:b}", "id", id,
						"summary", text, strlen(text), "evidence", evidence,
						"near_miss", "culprit", "fix", "fix_checked", 0));
	return evidence;
}

static void add_evidence(json_t *evidence, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_evidence(json_t *evidence, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(evidence, json_string_nocheck(text));
}

static void rule_causes(json_t *causes, const struct ruling *r, const char *host)
{
	const struct fate *f = r->decisive;
	const struct step *s = f->step;
	const char *text = f->resolved.text ? f->resolved.text : "";
	json_t *evidence;

	if (f->verdict == VERDICT_REJECTED)
		evidence = add_cause(causes, "reject", "%s %s/%s rule %u rejects it (%s)", host,
				     s->table, s->chain, f->resolved.number, f->reject_with);
	else if (f->death == DEATH_POLICY)
		evidence = add_cause(causes, "default-policy",
				     "no rule of %s %s/%s accepts it, and its policy is DROP", host,
				     s->table, s->chain);
	else if (f->resolved.number)
		evidence = add_cause(causes, "explicit-drop", "%s %s/%s rule %u drops it", host,
				     s->table, s->chain, f->resolved.number);
	else
		evidence = add_cause(causes, "explicit-drop", "a rule of %s %s/%s drops it", host,
				     s->table, s->chain);
	if (text[0])
		add_evidence(evidence, "%s", text);
	if (f->resolved.reason)
		add_evidence(evidence, "the rule's number is not certain: %s", f->resolved.reason);
	add_evidence(evidence, "it is the last step that was seen of %zu packet%s", r->packets,
		     r->packets == 1 ? "" : "s");
}

static void kernel_causes(json_t *causes, const struct fate *f, const char *host)
{
	const char *id = f->cause;
	json_t *evidence;

	if (!id)
		return;
	if (!strcmp(id, "not-listening"))
		evidence = add_cause(causes, id, "nobody listens on that port of %s", host);
	else if (!strcmp(id, "lost-between-hosts"))
		evidence = add_cause(
			causes, id,
			"it left %s and did not reach %s: the wire, a route, or a firewall nobody watches",
			host, f->next);
	else if (!strcmp(id, "forwarding-disabled"))
		evidence = add_cause(causes, id, "%s does not forward packets (ip_forward is 0)",
				     host);
	else if (!strcmp(id, "ttl-expired"))
		evidence = add_cause(causes, id, "its TTL ended at %s", host);
	else if (!strcmp(id, "no-route"))
		evidence = add_cause(causes, id, "%s has no route to its destination", host);
	else if (!strcmp(id, "neighbor-unreachable"))
		evidence = add_cause(causes, id,
				     "%s got no answer from the next hop's link address", host);
	else if (!strcmp(id, "mtu"))
		evidence =
			add_cause(causes, id, "it is larger than the next link of %s takes", host);
	else
		return;
	if (f->verdict == VERDICT_REFUSED)
		add_evidence(
			evidence,
			"it passed INPUT of %s, whose own OUTPUT answered with a reset or port unreachable",
			host);
	else if (f->verdict == VERDICT_LOST)
		add_evidence(evidence,
			     "%s traced such packets then, lost no evidence, and saw nothing",
			     f->next);
	else
		add_evidence(
			evidence,
			f->observed
				? "an ICMP error of %s says so"
				: "every step seen at %s accepted it, and its routes and settings say so",
			host);
}

json_t *causes_of(const struct inquiry *q, const struct ruling *r)
{
	const struct fate *f = r->decisive;
	json_t *causes = json_array();
	const struct fleet_host *fh;
	json_t *evidence;

	if (!causes || !f || f->death == DEATH_NONE)
		return causes;
	fh = fleet_host(q->fleet, f->hop->sj->host);
	if (f->death == DEATH_RULE || f->death == DEATH_POLICY)
		rule_causes(causes, r, fh ? fh->id : "?");
	else
		kernel_causes(causes, f, fh ? fh->id : "?");
	if (r->direction == DIRECTION_REPLY) {
		evidence = add_cause(causes, "return-path",
				     "the request arrived; its answer died at %s on the way back",
				     fh ? fh->id : "?");
		add_evidence(
			evidence,
			"packets of the request were delivered, packets of the reply were not");
	}
	return causes;
}
