/*
 * GET /api/v1/where, /api/v1/journeys, /api/v1/groups, /api/v1/nat, /api/v1/counters and /api/v1/drops. A question that asks what a rule number meant right now may need the
 * rulesets to be read once more: then the agents are asked to, and the question is put again when they have, or
 * after a second. One whose evidence may still be on its way is put again when that must have come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/api/live.h"
#include "collector/api/route.h"
#include "common/must.h"

enum {
	WINDOW_S = 15 * 60,
	WAIT_MS = 1000,    /* for rulesets to be read once more */
	EVIDENCE_MS = 800, /* for what agents have seen until now to be stored */
	JOURNEYS_DEFAULT = 100,
	JOURNEYS_MAX = 10000,
	COUNTERS_MAX = 10000,
	ANSWER_MEMORY = 16 << 20, /* of the hosts; diagnose has its own */
};

struct needed {
	char id[HOST_MAX + 1];
	bool read; /* since we asked */
};

struct answer_where;
typedef int answer_make(struct answer_where *q, const struct where_ask *w, struct reader *r,
			struct where_need *need);

struct answer_where {
	struct exchange *x; /* a reference */
	struct flow flow;
	struct counters_ask counters; /* its texts live in x */
	struct drops_ask drops;
	char *on;                                /* owned: the names that drops.on points into */
	const char **on_list;                    /* owned */
	bool any_flow;                           /* nobody named one */
	struct wall_ns since, until, now, first; /* first: when it was put */
	bool until_now;                          /* nobody named the end of the window */
	answer_make *make;                       /* q->answer; 0 or -errno */
	bool again;
	uint64_t after;
	size_t limit;
	struct live_copies live;

	json_t *answer; /* NULL: error says why not */
	int error;
	struct needed need[HOSTS_PER_AGENT];
	size_t need_count;
	bool patient; /* evidence is on its way */

	bool waiting; /* the three below are in use */
	struct wall_ns asked;
	struct ingest_observer watch;
	uv_timer_t patience;
	struct answer_where *prev, *next; /* in api.waiting */
};

static void ask(struct answer_where *q);
static answer_make answer_counters;

static void question_free(struct answer_where *q)
{
	json_decref(q->answer);
	live_clear(&q->live);
	free(q->on_list);
	free(q->on);
	exchange_unref(q->x);
	free(q);
}

static void finish(struct answer_where *q)
{
	json_t *answer = q->answer;

	q->answer = NULL;
	if (answer)
		exchange_answer(q->x, 200, answer);
	else if (q->error == -ENOENT)
		exchange_error(q->x, 404, "lasthop hosts", "there is no such host");
	else if (q->error == -EAGAIN)
		exchange_error(q->x, 503, "ask again in a moment", "too many questions at once");
	else
		exchange_error(q->x, 503, "the collector's messages say why",
			       "the store does not answer: %s", strerror(-q->error));
	question_free(q);
}

/* --- waiting for rulesets -------------------------------------------------------------------------------- */

static void on_patience_closed(uv_handle_t *h)
{
	struct answer_where *q = h->data;

	if (q->x->api->stopping)
		finish(q);
	else
		ask(q);
}

static void wait_end(struct answer_where *q)
{
	if (!q->waiting)
		return;
	q->waiting = false;
	ingest_unwatch(q->x->api->o.ingest, &q->watch);
	DL_DELETE(q->x->api->waiting, q);
	uv_close((uv_handle_t *)&q->patience, on_patience_closed);
}

static void on_patience(uv_timer_t *t)
{
	wait_end(t->data);
}

/* A host has its rulesets read, or has gone. */
static void host_done(struct answer_where *q, const char *host)
{
	size_t i, left = 0;

	for (i = 0; i < q->need_count; i++) {
		if (!strcmp(q->need[i].id, host))
			q->need[i].read = true;
		left += !q->need[i].read;
	}
	if (left == 0 && !q->patient)
		wait_end(q);
}

static void on_note(void *arg, const struct ingest_note *n)
{
	struct answer_where *q = arg;

	/* Counters come with the check; a ruleset that has changed is checked once more. */
	if ((n->kind == RECORD_RULESET_CHECKED ||
	     (n->kind == RECORD_RULESET && q->make != answer_counters)) &&
	    n->at.v + n->error >= q->asked.v)
		host_done(q, n->host);
}

static void on_gone(void *arg, const char *host)
{
	host_done(arg, host);
}

/* Asks each agent once that has one of the hosts. Returns how many hosts are worth waiting for. */
static size_t send_snapshots(struct answer_where *q)
{
	struct ingest *g = q->x->api->o.ingest;
	struct ingest_live live, other;
	size_t i, k, waiting = 0;

	for (i = 0; i < q->need_count; i++) {
		struct msg m = { .kind = MSG_SNAPSHOT_NOW };
		bool asked = false;

		q->need[i].read = !ingest_live(g, q->need[i].id, &live) || !live.connected;
		if (q->need[i].read)
			continue;
		for (k = 0; k < i; k++)
			if (!q->need[k].read && ingest_live(g, q->need[k].id, &other))
				asked |= !strcmp(other.agent, live.agent);
		if (!asked)
			q->need[i].read = ingest_send(g, q->need[i].id, &m) < 0;
		waiting += !q->need[i].read;
	}
	return waiting;
}

static bool wait_begin(struct answer_where *q)
{
	struct api *a = q->x->api;

	q->again = true;
	if (a->stopping)
		return false;
	q->asked = wall_now();
	if (send_snapshots(q) == 0 && !q->patient)
		return false;
	q->waiting = true;
	q->watch = (struct ingest_observer){ .note = on_note, .gone = on_gone, .arg = q };
	ingest_watch(a->o.ingest, &q->watch);
	DL_APPEND(a->waiting, q);
	q->patience.data = q;
	must(uv_timer_init(a->o.loop, &q->patience) == 0);
	uv_timer_start(&q->patience, on_patience, q->patient ? EVIDENCE_MS : WAIT_MS, 0);
	return true;
}

void where_stop(struct api *a)
{
	struct answer_where *q, *tmp;

	DL_FOREACH_SAFE(a->waiting, q, tmp)
		wait_end(q);
}

/* --- asking ---------------------------------------------------------------------------------------------- */

static void name_needed(struct answer_where *q, const struct where_need *need,
			const struct stored_host *hosts, size_t count)
{
	size_t i, k;

	q->need_count = 0;
	for (i = 0; i < need->count && i < HOSTS_PER_AGENT; i++)
		for (k = 0; k < count; k++)
			if (hosts[k].host == need->hosts[i])
				strncpy(q->need[q->need_count++].id, hosts[k].id, HOST_MAX);
}

static int answer(struct answer_where *q, struct reader *r, struct arena *arena)
{
	struct where_ask w = { .flow = q->any_flow ? NULL : &q->flow,
			       .since = q->since,
			       .until = q->until,
			       .now = q->now,
			       .asked = q->first };
	struct where_need need = { 0 };
	struct stored_host *hosts = NULL;
	size_t count = 0;
	int err = reader_hosts(r, arena, &hosts, &count);

	if (err < 0)
		return err;
	w.live = live_hosts(&q->live, hosts, count, (q->now.v - q->until.v) / NS_PER_MS, arena,
			    &w.live_count);
	if (!w.live)
		return -ENOMEM;
	err = q->make(q, &w, r, &need);
	if (err == 0)
		name_needed(q, &need, hosts, count);
	q->patient = err == 0 && need.patience;
	return err;
}

static void on_work(void *arg, struct reader *r)
{
	struct answer_where *q = arg;
	struct arena arena;

	json_decref(q->answer);
	q->answer = NULL;
	arena_init(&arena, ANSWER_MEMORY);
	q->error = r ? answer(q, r, &arena) : -EIO;
	if (q->error < 0) {
		json_decref(q->answer);
		q->answer = NULL;
	}
	arena_free(&arena);
}

static void on_done(void *arg)
{
	struct answer_where *q = arg;

	if (q->answer && !q->again && (q->need_count > 0 || q->patient) && wait_begin(q))
		return;
	finish(q);
}

static void ask(struct answer_where *q)
{
	struct api *a = q->x->api;
	int r;

	q->now = wall_now();
	if (!q->again)
		q->first = q->now;
	if (q->until_now)
		q->until = q->now;
	r = live_take(&q->live, a->o.ingest);
	if (r == 0)
		r = asks_run(a->o.asks, on_work, on_done, q);
	if (r < 0) {
		q->error = r; /* a first answer, if there was one, still stands */
		finish(q);
	}
}

static const char *read_window(struct answer_where *q, const struct exchange *x)
{
	int since = exchange_number(x, "since", &q->since.v),
	    until = exchange_number(x, "until", &q->until.v);

	if (since == -EINVAL || until == -EINVAL)
		return "since and until are nanoseconds since 1970";
	q->until_now = until == -ENOENT;
	if (q->until_now)
		q->until = wall_now();
	if (since == -ENOENT)
		q->since.v = q->until.v - (int64_t)WINDOW_S * NS_PER_S;
	return q->since.v <= q->until.v ? NULL : "since is later than until";
}

static const char *read_follow(struct answer_where *q, const struct exchange *x)
{
	int64_t after = 0, limit = JOURNEYS_DEFAULT;

	if (exchange_number(x, "after", &after) == -EINVAL ||
	    exchange_number(x, "limit", &limit) == -EINVAL || limit < 1 || limit > JOURNEYS_MAX)
		return "after is a row, limit 1 to 10000";
	q->after = (uint64_t)after;
	q->limit = (size_t)limit;
	return NULL;
}

static int answer_where(struct answer_where *q, const struct where_ask *w, struct reader *r,
			struct where_need *need)
{
	return diagnose_where(&q->answer, w, r, need);
}

static int answer_journeys(struct answer_where *q, const struct where_ask *w, struct reader *r,
			   struct where_need *need)
{
	(void)need;
	return diagnose_journeys(&q->answer, w, r, q->after, q->limit);
}

static int answer_groups(struct answer_where *q, const struct where_ask *w, struct reader *r,
			 struct where_need *need)
{
	return diagnose_groups(&q->answer, w, r, need);
}

static int answer_nat(struct answer_where *q, const struct where_ask *w, struct reader *r,
		      struct where_need *need)
{
	(void)need;
	return diagnose_nat(&q->answer, w, r);
}

static int answer_counters(struct answer_where *q, const struct where_ask *w, struct reader *r,
			   struct where_need *need)
{
	return diagnose_counters(&q->answer, &q->counters, w, r, need);
}

static const char *read_flow(struct answer_where *q, const struct exchange *x, struct why *why)
{
	const char *words[1] = { exchange_query(x, "flow") };

	if (!words[0])
		return "there is no flow";
	return flow_parse(&q->flow, 1, words, why) < 0 ? why->text : NULL;
}

static const char *read_counters(struct answer_where *q, const struct exchange *x)
{
	const char *family = exchange_query(x, "family"), *backend = exchange_query(x, "backend");
	const char *only = exchange_query(x, "only");
	int64_t limit = COUNTERS_MAX;

	q->counters = (struct counters_ask){
		.host = exchange_query(x, "host"),
		.table = exchange_query(x, "table"),
		.chain = exchange_query(x, "chain"),
		.family = family ? family_parse(family) : -1,
		.backend = backend ? backend_parse(backend) : -1,
	};
	if (!q->counters.host)
		return "there is no host";
	if ((family && q->counters.family < 0) || (backend && q->counters.backend < 0))
		return "family or backend is wrong";
	if (only && strcmp(only, "moved") != 0 && strcmp(only, "idle") != 0)
		return "only is moved or idle";
	if (only)
		q->counters.only = only[0] == 'm' ? COUNTERS_MOVED : COUNTERS_IDLE;
	if (exchange_number(x, "limit", &limit) == -EINVAL || limit < 1 || limit > COUNTERS_MAX)
		return "limit is 1 to 10000";
	q->counters.limit = (size_t)limit;
	return NULL;
}

static int answer_drops(struct answer_where *q, const struct where_ask *w, struct reader *r,
			struct where_need *need)
{
	return diagnose_drops(&q->answer, &q->drops, w, r, need);
}

/* "a,b,c" as a list of names. */
static int split_on(struct answer_where *q, const char *on)
{
	char *p;

	q->on = strdup(on);
	q->on_list = calloc(strlen(on) + 1, sizeof(*q->on_list));
	if (!q->on || !q->on_list)
		return -ENOMEM;
	for (p = q->on; *p;) {
		size_t len = strcspn(p, ",");
		bool more = p[len];

		if (len)
			q->on_list[q->drops.on_count++] = p;
		p[len] = '\0';
		p += len + more;
	}
	q->drops.on = q->on_list;
	return 0;
}

static const char *read_drops(struct answer_where *q, const struct exchange *x, struct why *why)
{
	const char *on = exchange_query(x, "on");
	int64_t follow = 0;

	q->any_flow = !exchange_query(x, "flow");
	if (exchange_number(x, "follow", &follow) == -EINVAL)
		return "follow is 0 or 1";
	q->drops.follow = follow != 0;
	q->drops.after = q->after;
	if (on && strcmp(on, "all") != 0 && split_on(q, on) < 0)
		return "no memory";
	return q->any_flow ? NULL : read_flow(q, x, why);
}

static void question(struct exchange *x, answer_make *make)
{
	struct answer_where *q = calloc(1, sizeof(*q));
	const char *wrong, *hint;
	struct why why = { "" };

	if (!q) {
		exchange_error(x, 503, "ask again in a moment", "no memory");
		return;
	}
	q->x = exchange_ref(x);
	q->make = make;
	hint = "leave them out for the last 15 minutes";
	wrong = read_window(q, x);
	if (!wrong)
		wrong = read_follow(q, x);
	if (!wrong && make == answer_counters) {
		hint = "host=ID, as lasthop hosts shows it; family=ipv4|ipv6, backend=legacy|nft|native";
		wrong = read_counters(q, x);
	} else if (!wrong && make == answer_drops) {
		hint = "flow=WORDS or none for all; on=HOST,...; follow=1 with after=ROW";
		wrong = read_drops(q, x, &why);
	} else if (!wrong) {
		hint = "flow=WORDS that name it: tcp 10.0.1.2 10.0.3.2:443";
		wrong = read_flow(q, x, &why);
	}
	if (!wrong) {
		ask(q);
		return;
	}
	exchange_error(x, 400, hint, "%s", wrong);
	question_free(q);
}

void get_where(struct exchange *x)
{
	question(x, answer_where);
}

void get_journeys(struct exchange *x)
{
	question(x, answer_journeys);
}

void get_groups(struct exchange *x)
{
	question(x, answer_groups);
}

void get_nat(struct exchange *x)
{
	question(x, answer_nat);
}

void get_counters(struct exchange *x)
{
	question(x, answer_counters);
}

void get_drops(struct exchange *x)
{
	question(x, answer_drops);
}
