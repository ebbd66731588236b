/*
 * Journeys of a flow, packet by packet, for `path` and for those who follow a flow while it runs.
 */
#include "collector/diagnose/diagnose.h"

#include <errno.h>

#include "collector/diagnose/answer.h"
#include "collector/diagnose/question.h"
#include "collector/diagnose/tracked.h"
#include "collector/stitch/clocks.h"
#include "collector/stitch/entries.h"
#include "collector/stitch/gather.h"

enum {
	TRACKED_MAX = 20, /* connections that connection tracking alone knows */
	HEAP_MAX = 256 << 20,
};

/* One host's part of a packet's way. */
struct passage {
	struct hop hop;
	const struct hop *before; /* NULL: the first that is known */
};

/* Journeys of the flow on every host, also where NAT gave it other addresses: packet by packet, in the order of the way. */
static int whole_flow(const struct inquiry *q, size_t limit, struct passage **list, size_t *n)
{
	struct clocks clocks = { 0 };
	struct entries entries;
	struct gathered g;
	struct paths paths;
	int r = gather(&g, q->fleet, q->ask->flow, limit);

	if (r == 0)
		r = entries_init(&entries, g.conns, g.conn_count, q->arena);
	if (r == 0)
		r = paths_join(&paths, g.list, g.count, &(struct around){ q->fleet, &entries },
			       q->arena);
	if (r < 0)
		return r;
	*list = arena_alloc(q->arena, (g.count + 1) * sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (size_t i = 0; i < paths.count; i++)
		clocks_note(&clocks, &paths.list[i]);
	clocks_solve(&clocks);
	for (size_t i = 0; i < paths.count; i++) {
		const struct hop *hops = paths.list[i].hops;

		clocks_apply(&clocks, &paths.list[i]);
		for (size_t k = 0; k < paths.list[i].hop_count; k++)
			(*list)[(*n)++] = (struct passage){ hops[k], k ? &hops[k - 1] : NULL };
	}
	clocks_clear(&clocks);
	/* The newest packets, whole ones but perhaps for the first. */
	if (*n > limit) {
		*list += *n - limit;
		*n = limit;
	}
	return 0;
}

/* A journey belongs to no direction, and no fate is told of it. */
static void add_hop(json_t *journeys, json_t *hop, const struct tuple *flow)
{
	json_put(hop, "direction", json_null());
	json_put(hop, "outcome", json_null());
	json_put(hop, "flow", json_flow(flow));
	json_array_append_new(journeys, hop);
}

/* Nobody traced it: the hosts that connection tracking saw it pass, connection by connection. */
static int add_tracked(json_t *journeys, const struct inquiry *q)
{
	const struct where_ask *ask = q->ask;
	struct translations t;
	int r = translations_find(&t, q->fleet->reader, q->arena, ask->flow, ask->since, ask->until,
				  TRACKED_MAX);

	for (size_t i = 0; r == 0 && i < t.count; i++) {
		struct stops s;

		r = stops_of(&s, q, &t.list[i]);
		for (size_t k = 0; r == 0 && k < s.count; k++)
			add_hop(journeys, json_stop(q, &s.list[k], k == 0), &s.list[k].in);
	}
	return r;
}

/* What arrived after that row and bears the flow's own addresses, by time. */
static int arrived(const struct inquiry *q, uint64_t after, size_t limit, struct passage **list,
		   size_t *n)
{
	struct journey_query query = { .since = q->ask->since,
				       .until = q->ask->until,
				       .flow = q->ask->flow,
				       .after_row = after,
				       .limit = limit };
	struct stored_journey *journeys = NULL;
	size_t count = 0;
	bool cut;
	int r = reader_journeys(q->fleet->reader, &query, q->arena, &journeys, &count, &cut);

	if (r < 0)
		return r;
	*list = arena_alloc(q->arena, (count + 1) * sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		(*list)[i] = (struct passage){ .hop = { .sj = &journeys[i] } };
	*n = count;
	return 0;
}

static int answer_with(json_t **answer, struct inquiry *q, uint64_t after, size_t limit)
{
	struct passage *list = NULL;
	json_t *journeys;
	uint64_t next = after;
	size_t n = 0;
	int r = after ? arrived(q, after, limit, &list, &n) : whole_flow(q, limit, &list, &n);

	if (r < 0)
		return r;
	journeys = json_array();
	if (!after && !n)
		r = add_tracked(journeys, q);
	if (r < 0) {
		json_decref(journeys);
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		const struct hop *h = &list[i].hop;
		json_t *hop;

		if (h->sj->row > next)
			next = h->sj->row;
		if (!h->sj->j.tuple_count || !h->sj->j.step_count)
			continue;
		hop = json_hop(q, h, NULL, NULL, DIRECTION_UNKNOWN);
		json_put(hop, "stranger", json_stranger(q, list[i].before, h, DIRECTION_ORIGINAL));
		add_hop(journeys, hop, &h->sj->j.tuples[0]);
	}
	*answer = json_pack("{s:I,s:o}", "next", (json_int_t)next, "journeys", journeys);
	return *answer ? 0 : -ENOMEM;
}

int diagnose_journeys(json_t **answer, const struct where_ask *ask, struct reader *r,
		      uint64_t after, size_t limit)
{
	struct question question;
	int ret = question_open(&question, ask, r, NULL, HEAP_MAX);

	*answer = NULL;
	if (ret == 0)
		ret = answer_with(answer, &question.q, after, limit);
	question_clear(&question);
	return ret;
}
