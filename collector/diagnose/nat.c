/*
 * The answer to `nat`: connection tracking knows every translation of a connection without anybody tracing it. Where one of its
 * packets was traced as well, the rule that translates it is named.
 */
#include "collector/diagnose/diagnose.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>

#include "collector/diagnose/answer.h"
#include "collector/diagnose/coverage.h"
#include "collector/diagnose/question.h"
#include "collector/stitch/translations.h"

enum {
	HEAP_MAX = 128 << 20,
	RULES_ASKED_MAX = 40,      /* translations whose rule is looked for */
	BIRTH_NS = 2 * 1000000000, /* between the first packet and conntrack's word of it */
	PACKETS_MAX = 64,          /* of each */
};

struct nat_answer {
	const struct inquiry *q;
	size_t rules_asked;
};

static bool names_a_rule(const json_t *nat)
{
	const json_t *one;
	size_t i;

	json_array_foreach(nat, i, one)
		if (json_is_string(json_object_get(one, "rule_text")))
			return true;
	return false;
}

/*
 * As a packet that was traced through this very translation shows it; NULL: none was. Only a connection's first packet meets
 * the rule.
 */
static json_t *json_by_packet(struct nat_answer *n, const struct translation *t)
{
	const struct inquiry *q = n->q;
	struct flow f = flow_of_tuple(&t->in);
	struct journey_query query = { .since = { t->conn->from.v - BIRTH_NS },
				       .until = { t->conn->from.v + BIRTH_NS },
				       .flow = &f,
				       .limit = PACKETS_MAX };
	struct stored_journey *list;
	json_t *nat = NULL;
	size_t count = 0;
	bool cut;

	if (n->rules_asked++ >= RULES_ASKED_MAX ||
	    reader_journeys(q->fleet->reader, &query, q->arena, &list, &count, &cut) < 0)
		return NULL;
	for (size_t i = 0; i < count && !names_a_rule(nat); i++) {
		const struct hop h = { .sj = &list[i] };
		json_t *hop;

		if (list[i].host != t->conn->host || !list[i].j.tuple_count ||
		    !list[i].j.step_count || !tuple_equal(hop_tuple_in(&h), &t->in) ||
		    !tuple_equal(hop_tuple_out(&h), &t->out))
			continue;
		hop = json_hop(q, &h, NULL, NULL, DIRECTION_ORIGINAL);
		json_decref(nat);
		nat = json_incref(json_object_get(hop, "nat"));
		json_decref(hop);
	}
	return nat;
}

static const char *host_name(const struct inquiry *q, uint64_t host)
{
	const struct fleet_host *h = fleet_host(q->fleet, host);

	return h ? h->id : "?";
}

static json_t *json_gateway(struct nat_answer *n, const struct translation *t, bool first)
{
	json_t *nat = json_by_packet(n, t);

	return json_pack("{s:s,s:o,s:o,s:i,s:o,s:o,s:o,s:o}", "host",
			 host_name(n->q, t->conn->host), "from", json_wall(t->conn->from), "until",
			 json_wall(t->conn->until), "zone", t->conn->c.zone, "tuple_in",
			 json_tuple(&t->in), "tuple_out", json_tuple(&t->out), "nat",
			 nat ? nat : json_translation(&t->in, &t->out, DIRECTION_ORIGINAL), "link",
			 first ? json_null() : json_string("nat"));
}

/* An entry tells of replies once it was dumped or has ended. */
static json_t *json_state(const struct translated *t)
{
	const struct stored_conn *c = t->count ? t->list[t->count - 1].conn : t->seen[0];

	if (c->c.status & IPS_ASSURED)
		return json_string("assured");
	if (c->c.status & IPS_SEEN_REPLY)
		return json_string("replied");
	return c->c.event == CONN_NEW ? json_null() : json_string("unreplied");
}

static json_t *json_seen(const struct inquiry *q, const struct translated *t)
{
	json_t *seen = json_array();

	for (size_t i = 0; i < t->seen_count; i++) {
		bool told = false;

		for (size_t k = 0; k < i && !told; k++)
			told = t->seen[k]->host == t->seen[i]->host;
		if (!told)
			json_array_append_new(seen, json_string(host_name(q, t->seen[i]->host)));
	}
	return seen;
}

static json_t *json_translated(struct nat_answer *n, const struct translated *t)
{
	const struct tuple *end = t->count ? &t->list[t->count - 1].out : &t->first;
	json_t *hops = json_array();

	for (size_t i = 0; i < t->count; i++)
		json_array_append_new(hops, json_gateway(n, &t->list[i], i == 0));
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o}", "flow", json_flow(&t->first),
			 "becomes", json_tuple(end), "from", json_wall(t->from), "until",
			 json_wall(t->until), "last_known", json_wall(t->told), "state",
			 json_state(t), "ambiguous", t->ambiguous, "seen", json_seen(n->q, t),
			 "hops", hops);
}

static int answer_with(json_t **answer, const struct inquiry *q)
{
	const struct where_ask *ask = q->ask;
	struct nat_answer n = { .q = q };
	struct translations t;
	json_t *flows;
	int r = translations_find(&t, q->fleet->reader, q->arena, ask->flow, ask->since, ask->until,
				  NAT_FLOWS_MAX);

	if (r < 0)
		return r;
	flows = json_array();
	for (size_t i = 0; i < t.count; i++)
		json_array_append_new(flows, json_translated(&n, &t.list[i]));
	*answer =
		json_pack("{s:I,s:o,s:I,s:{s:o,s:o},s:o,s:b}", "matched",
			  (json_int_t)(t.count + t.omitted), "flows", flows, "omitted",
			  (json_int_t)t.omitted, "window", "since", json_wall(ask->since), "until",
			  json_wall(ask->until), "coverage", json_coverage(ask), "cut", t.cut);
	if (!*answer)
		return -ENOMEM;
	json_put_losses(*answer, q->fleet, ask->since, ask->until);
	return 0;
}

int diagnose_nat(json_t **answer, const struct where_ask *ask, struct reader *r)
{
	struct question question;
	int ret = question_open(&question, ask, r, NULL, HEAP_MAX);

	*answer = NULL;
	if (ret == 0)
		ret = answer_with(answer, &question.q);
	question_clear(&question);
	return ret;
}
