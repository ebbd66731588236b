#include "collector/lease/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "collector/lease/past.h"
#include "collector/lease/running.h"
#include "common/must.h"

enum {
	TICK_MS = 100,
	ANSWER_MS = 5000,  /* until who asked is told */
	CONNS_MS = 5000,   /* new connections are looked for so often */
	DEBOUNCE_MS = 300, /* rulesets change in bursts */
	SAMPLE_MS = 2000,
	LOSS_SPAN_MS = 1000, /* of one loss record: those of the modulus before do not count */
	MODULUS_MAX = 4096,
	NAMED_AFTER_S = 3600, /* `all` and globs mean hosts that were seen since */
};

static bool is_glob(const char *text)
{
	return text[strcspn(text, "*?[")] != '\0' || !strcmp(text, "all");
}

/* --- its end ------------------------------------------------------------------------------------------------ */

/* Ends a lease; its agents are told now, or when they come back. */
static void lease_end(struct lease *l)
{
	struct leases *ls = l->leases;
	struct msg m = { .kind = MSG_LEASE_STOP, .lease_stop = { .id = l->id } };
	struct wall_ns deadline = l->until;
	size_t i;

	l->ended = true;
	if (!l->dry_run) {
		if (wall_now().v < l->until.v)
			l->until = wall_now();
		/* A store in trouble says so itself; the deadline stands there anyway. */
		(void)lease_store(l);
		ls->ended[ls->ended_next].id = l->id;
		ls->ended[ls->ended_next].until = deadline;
		ls->ended_next = (ls->ended_next + 1) % ENDED_KEPT;
		for (i = 0; i < l->host_count; i++)
			ingest_send(ls->ingest, l->hosts[i].id, &m);
	}
	lease_answer(l);
	DL_DELETE(ls->list, l);
	if (!l->planning)
		lease_free(l);
}

/* --- planning ------------------------------------------------------------------------------------------- */

static void on_survey(void *arg, struct reader *r)
{
	struct lease *l = arg;

	survey_run(&l->survey, r);
}

/* Hosts that the lease names and that are not here: people want to know. */
static void lease_join_absent(struct lease *l)
{
	struct wall_ns since = { wall_now().v - (int64_t)NAMED_AFTER_S * NS_PER_S };
	struct ingest_live live;
	size_t i, at;

	for (i = 0; i < l->survey.host_count; i++) {
		const struct survey_host *h = &l->survey.hosts[i];

		if (!h->retired && h->last_seen.v >= since.v && lease_wants(l, h->id))
			lease_join(l, h->id);
	}
	for (i = 0; i < l->on_count; i++) {
		if (is_glob(l->on[i]))
			continue;
		at = lease_join(l, l->on[i]);
		if (at < l->host_count)
			l->members[at].named = true;
	}
	for (i = 0; i < l->host_count; i++) {
		if (ingest_live(l->leases->ingest, l->hosts[i].id, &live) && live.connected)
			continue;
		if (l->dry_run || !l->members[i].named)
			lease_host_is(&l->hosts[i], LEASE_SILENT, "its agent is not connected");
	}
}

static void join_live(void *arg, const struct ingest_live *live)
{
	struct lease *l = arg;

	if (live->connected && lease_wants(l, live->id))
		lease_join(l, live->id);
}

static bool plan_is_same(const struct lease *l)
{
	size_t i;

	if (l->pattern_count != l->survey.pattern_count)
		return false;
	for (i = 0; i < l->pattern_count; i++)
		if (!pattern_equal(&l->patterns[i], &l->survey.patterns[i]))
			return false;
	return true;
}

static void on_surveyed(void *arg)
{
	struct lease *l = arg;
	bool first = !l->planned, same;

	l->planning = false;
	if (l->ended) {
		lease_free(l);
		return;
	}
	same = plan_is_same(l);
	if (first || l->survey.error == 0) {
		memcpy(l->patterns, l->survey.patterns, sizeof(l->patterns));
		l->pattern_count = l->survey.pattern_count;
		l->cut = l->survey.cut;
	} else {
		same = true; /* the plan that stands is better than none */
	}
	l->planned = true;
	if (first) {
		ingest_each(l->leases->ingest, join_live, l);
		lease_join_absent(l);
	}
	survey_clear(&l->survey);
	if (first || !same)
		lease_send_all(l);
	if (l->dry_run)
		lease_end(l);
	else
		lease_look(l);
}

static void lease_plan(struct lease *l)
{
	if (l->planning)
		return; /* plan_ms stays due */
	memcpy(l->survey.named, l->named, sizeof(l->named));
	l->survey.named_count = l->named_count;
	if (asks_run(l->leases->asks, on_survey, on_surveyed, l) < 0)
		return;
	l->planning = true;
	l->plan_ms = leases_now_ms(l->leases) + CONNS_MS;
}

/* Something that plans rest on has changed. */
static void plan_soon(struct leases *ls)
{
	int64_t at = leases_now_ms(ls) + DEBOUNCE_MS;
	struct lease *l;

	DL_FOREACH(ls->list, l)
		if (l->plan_ms > at)
			l->plan_ms = at;
}

/* --- what agents say ------------------------------------------------------------------------------------- */

static void on_hello(void *arg, const char *host)
{
	struct leases *ls = arg;
	struct ingest_live live;
	struct lease *l;
	size_t i;

	for (i = 0; i < ENDED_KEPT; i++) {
		struct msg m = { .kind = MSG_LEASE_STOP, .lease_stop = { .id = ls->ended[i].id } };

		if (ls->ended[i].id && ls->ended[i].until.v > wall_now().v)
			ingest_send(ls->ingest, host, &m);
	}
	if (!ingest_live(ls->ingest, host, &live) || !live.resumed)
		return; /* a new agent: its lease begins when its first rulesets are known */
	DL_FOREACH(ls->list, l) {
		i = lease_find(l, host);
		if (l->planned && i < l->host_count)
			lease_send(l, i);
	}
}

static void on_gone(void *arg, const char *host)
{
	struct leases *ls = arg;
	struct lease *l;
	size_t i;

	DL_FOREACH(ls->list, l) {
		i = lease_find(l, host);
		if (i == l->host_count)
			continue;
		l->members[i].sent = false;
		if (!l->done)
			lease_host_is(&l->hosts[i], LEASE_SILENT, "its agent is not connected");
	}
}

/* A host whose sources and rulesets are known takes part in the leases that name it. */
static void host_ready(struct leases *ls, const char *host)
{
	struct ingest_live live;
	struct lease *l;
	size_t i;

	if (!ingest_live(ls->ingest, host, &live) || !live.connected)
		return;
	if (!live.resumed && !(live.sources_told && live.rulesets_told))
		return;
	DL_FOREACH(ls->list, l) {
		if (!l->planned || !(lease_find(l, host) < l->host_count || lease_wants(l, host)))
			continue;
		i = lease_join(l, host);
		if (i < l->host_count && !l->members[i].sent)
			lease_send(l, i);
	}
}

static void take_lease(struct leases *ls, const struct ingest_note *n)
{
	struct member *m;
	struct lease *l;
	size_t i;

	DL_FOREACH(ls->list, l)
		if (l->id == n->lease.id)
			break;
	if (!l)
		return;
	i = lease_find(l, n->host);
	if (i == l->host_count)
		return;
	if (n->lease.state != LEASE_PENDING || l->hosts[i].state != LEASE_ARMED)
		lease_host_is(&l->hosts[i], n->lease.state, n->lease.why);
	m = &l->members[i];
	m->refused = n->lease.refused;
	if (m->modulus != n->lease.modulus) {
		m->modulus = n->lease.modulus;
		m->refused_before = m->refused;
	}
	lease_look(l);
}

static void on_note(void *arg, const struct ingest_note *n)
{
	struct leases *ls = arg;
	struct lease *l;
	size_t i;

	switch (n->kind) {
	case RECORD_LEASE:
		take_lease(ls, n);
		break;
	case RECORD_LOSS:
		DL_FOREACH(ls->list, l) {
			i = lease_find(l, n->host);
			if (i < l->host_count &&
			    n->at.v >= l->thinned.v + (int64_t)LOSS_SPAN_MS * NS_PER_MS)
				l->members[i].limited = true;
		}
		break;
	case RECORD_RULESET:
	case RECORD_FACTS:
		plan_soon(ls);
		host_ready(ls, n->host);
		break;
	default:
		host_ready(ls, n->host);
		break;
	}
}

/* --- time ----------------------------------------------------------------------------------------------- */

/*
 * While any host's limit refuses packets all hosts sample more thinly, and the same packets: a limit alone would pick other
 * packets on each of them, and what one host skipped would look lost.
 */
static void lease_sample(struct lease *l)
{
	bool thin = false;
	size_t i;

	l->sample_ms = leases_now_ms(l->leases) + SAMPLE_MS;
	for (i = 0; i < l->host_count; i++) {
		struct member *m = &l->members[i];

		thin |= m->limited;
		thin |= m->modulus == l->modulus && m->refused > m->refused_before;
		m->limited = false;
		m->refused_before = m->refused;
	}
	if (!thin || l->modulus >= MODULUS_MAX)
		return;
	l->modulus *= 2;
	l->thinned = wall_now();
	lease_send_all(l);
}

static void on_tick(uv_timer_t *t)
{
	struct leases *ls = t->data;
	struct lease *l, *tmp;
	int64_t now = leases_now_ms(ls);

	DL_FOREACH_SAFE(ls->list, l, tmp) {
		if (now >= l->ends_ms) {
			lease_end(l);
			continue;
		}
		if (l->done && now >= l->answer_ms)
			lease_answer(l);
		if (now >= l->plan_ms)
			lease_plan(l);
		if (!l->planned)
			continue;
		if (now >= l->sample_ms)
			lease_sample(l);
		if (now >= l->renew_ms)
			lease_send_all(l);
	}
	if (!ls->list)
		uv_timer_stop(&ls->tick);
}

static void lease_begin(struct leases *ls, struct lease *l)
{
	int64_t now = leases_now_ms(ls);

	l->leases = ls;
	l->ends_ms = now + (l->until.v - wall_now().v) / NS_PER_MS;
	l->answer_ms = now + ANSWER_MS;
	l->sample_ms = now + SAMPLE_MS;
	l->renew_ms = now + RENEW_MS;
	if (l->modulus == 0)
		l->modulus = 1;
	DL_APPEND(ls->list, l);
	lease_plan(l);
	if (!uv_is_active((uv_handle_t *)&ls->tick))
		uv_timer_start(&ls->tick, on_tick, TICK_MS, TICK_MS);
}

/* --- what an earlier collector left ------------------------------------------------------------------------ */

/* The thread's until it is read. */
struct taking {
	struct leases *leases;
	struct past past;
};

static void on_past(void *arg, struct reader *r)
{
	struct taking *t = arg;

	past_read(&t->past, r);
}

/* One lease of the past, with the hosts that had armed it. */
static struct lease *past_lease(const struct past *p, const struct store_lease *s)
{
	const char *words[1] = { s->flow };
	struct lease *l = calloc(1, sizeof(*l));
	struct flow flow;
	const char *host;
	uint32_t modulus;
	size_t at, next = 0;

	if (!l)
		return NULL;
	l->id = s->id;
	l->from = s->from;
	l->until = s->until;
	l->rate = s->rate;
	strncpy(l->flow, s->flow, sizeof(l->flow) - 1);
	strncpy(l->by, s->by ? s->by : "", WHY_MAX);
	if (flow_parse(&flow, 1, words, NULL) < 0 ||
	    flow_patterns(&flow, l->named, &l->named_count, NULL) < 0) {
		lease_free(l);
		return NULL;
	}
	while ((host = past_armed(p, s->id, &next, &modulus))) {
		at = lease_join(l, host);
		if (at < l->host_count)
			l->members[at].modulus = modulus;
		if (modulus > l->modulus)
			l->modulus = modulus;
	}
	return l;
}

static void on_past_read(void *arg)
{
	struct taking *t = arg;
	struct leases *ls = t->leases;
	struct past *p = &t->past;
	struct lease *l, *known;
	size_t i;

	for (i = 0; p->error == 0 && !ls->closed && i < p->count; i++) {
		if (p->list[i].ended || p->list[i].until.v <= wall_now().v)
			continue;
		DL_FOREACH(ls->list, known)
			if (known->id == p->list[i].id)
				break;
		l = known ? NULL : past_lease(p, &p->list[i]);
		if (!l)
			continue;
		lease_begin(ls, l);
	}
	past_clear(p);
	free(t);
}

/* --- the manager ---------------------------------------------------------------------------------------- */

int leases_open(struct leases **out, uv_loop_t *loop, struct store *s, struct ingest *g,
		struct asks *a)
{
	struct leases *ls = calloc(1, sizeof(*ls));
	struct taking *t = calloc(1, sizeof(*t));
	int r;

	if (!ls || !t) {
		r = -ENOMEM;
		goto out;
	}
	ls->loop = loop;
	ls->store = s;
	ls->ingest = g;
	ls->asks = a;
	t->leases = ls;
	past_init(&t->past);
	r = asks_run(a, on_past, on_past_read, t);
	if (r < 0)
		goto out;
	ls->tick.data = ls;
	must(uv_timer_init(loop, &ls->tick) == 0);
	ls->watch = (struct ingest_observer){
		.hello = on_hello, .gone = on_gone, .note = on_note, .arg = ls
	};
	ingest_watch(g, &ls->watch);
	*out = ls;
	return 0;
out:
	free(t);
	free(ls);
	return r;
}

void leases_close(struct leases *ls)
{
	struct lease *l;

	if (ls->closed)
		return;
	ls->closed = true;
	ingest_unwatch(ls->ingest, &ls->watch);
	uv_close((uv_handle_t *)&ls->tick, NULL);
	DL_FOREACH(ls->list, l) {
		if (l->done)
			l->done(l->arg, NULL);
		l->done = NULL;
	}
}

void leases_free(struct leases *ls)
{
	struct lease *l, *tmp;

	if (!ls)
		return;
	DL_FOREACH_SAFE(ls->list, l, tmp)
		lease_free(l);
	free(ls);
}

/* A random id, short enough to be typed; it also seeds which packets are sampled. */
static uint64_t new_id(const struct leases *ls)
{
	const struct lease *l;
	uint32_t id = 0;

	do {
		if (getrandom(&id, sizeof(id), 0) != sizeof(id))
			id = (uint32_t)boot_now().v;
		DL_FOREACH(ls->list, l)
			if (l->id == id)
				id = 0;
	} while (id < 0x1000);
	return id;
}

static int lease_fill(struct lease *l, const struct lease_request *q, struct why *why)
{
	size_t i;
	int r = flow_patterns(q->flow, l->named, &l->named_count, why);

	if (r < 0)
		return r;
	if (q->for_ms < 1000 || q->for_ms > LEASE_SECONDS_MAX * 1000)
		return why_set(why, -EINVAL, "a lease lasts 1 second to %d minutes",
			       LEASE_SECONDS_MAX / 60);
	if (q->rate < 1 || q->rate > LEASE_RATE_MAX)
		return why_set(why, -EINVAL, "a rate is 1 to %d packets a second", LEASE_RATE_MAX);
	if (q->on_count < 1 || q->on_count > LEASE_NAMES_MAX)
		return why_set(why, -EINVAL, "a lease names 1 to %d hosts or globs",
			       LEASE_NAMES_MAX);
	for (i = 0; i < q->on_count; i++) {
		if (strlen(q->on[i]) < 1 || strlen(q->on[i]) > HOST_MAX)
			return why_set(why, -EINVAL, "'%.40s' is no host's name", q->on[i]);
		l->on[i] = strdup(q->on[i]);
		if (!l->on[i])
			return -ENOMEM;
		l->on_count++;
	}
	flow_print(q->flow, l->flow);
	strncpy(l->by, q->by, WHY_MAX);
	l->from = wall_now();
	l->until.v = l->from.v + (int64_t)q->for_ms * NS_PER_MS;
	l->rate = q->rate;
	l->dry_run = q->dry_run;
	return 0;
}

int leases_start(struct leases *ls, const struct lease_request *q,
		 void (*done)(void *arg, const struct lease_view *v), void *arg, struct why *why)
{
	struct lease *l, *each;
	int count = 0;
	int r;

	DL_COUNT(ls->list, each, count);
	if (count >= LEASES_MAX)
		return why_set(why, -ENOSPC, "%d leases run already, the most that hosts take",
			       count);
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	r = lease_fill(l, q, why);
	if (r < 0)
		goto out;
	l->leases = ls;
	l->id = new_id(ls);
	r = lease_store(l);
	if (r < 0) {
		why_set(why, r, "the store does not take the lease: %s", strerror(-r));
		goto out;
	}
	l->done = done;
	l->arg = arg;
	lease_begin(ls, l);
	return 0;
out:
	lease_free(l);
	return r;
}

int leases_stop(struct leases *ls, uint64_t id)
{
	struct lease *l, *tmp;
	int count = 0;

	DL_FOREACH_SAFE(ls->list, l, tmp) {
		if (l->dry_run || (id && l->id != id))
			continue;
		lease_end(l);
		count++;
	}
	return count == 0 && id ? -ENOENT : count;
}

void leases_each(struct leases *ls, void (*fn)(void *arg, const struct lease_view *v), void *arg)
{
	struct lease_view v;
	struct lease *l;

	DL_FOREACH(ls->list, l) {
		if (l->dry_run)
			continue;
		lease_view(l, &v);
		fn(arg, &v);
	}
}
