#include "collector/ingest/greet.h"

#include <errno.h>
#include <string.h>

#include "collector/ingest/hello.h"

enum { FIRST_ERROR_NS = 50 * NS_PER_MS }; /* of an offset that rests on the Hello alone */

static int refuse(struct session *s, const struct msg_hello *h, const char *why)
{
	struct msg m = { .kind = MSG_WELCOME, .welcome = { .refused = true, .why = why } };
	char line[WHY_MAX + 2 * ID_MAX];
	int r;

	s->ingest->counts.refused++;
	snprintf(line, sizeof(line), "refused %.*s: %s", ID_MAX, h->id ? h->id : "", why);
	r = session_send(s, &m);
	if (r == 0)
		session_greeted(s, false, line);
	return r;
}

static int welcome(struct session *s, const struct store_agent *a)
{
	struct msg m = { .kind = MSG_WELCOME,
			 .welcome = { .epoch = a->epoch,
				      .seq = a->seq,
				      .why = "",
				      .backends = BACKEND_COUNT } };

	return session_send(s, &m);
}

/*
 * Who is taken, in this order:
 *  1. only well-formed ids, and only hosts of the agent's own
 *  2. of two with the same id, the one that is connected stays; the other is a clone, unless it is the same instance
 *     again, whose newer connection stands (the older is dead and does not know it yet)
 *  3. the store's word: a clone that was here a moment ago, a full disk
 *  4. an epoch that the store has gone beyond would name batches that are stored already: they would be taken for them
 */
int session_greet(struct session *s, const struct msg_hello *h)
{
	struct ingest *g = s->ingest;
	struct wall_ns received = wall_now();
	struct store_agent a = { 0 };
	struct clock_offset o;
	struct why why = { "" };
	struct session *older;
	struct peer *p;
	char line[128];
	int r;

	r = hello_check(h, &why); /* 1 */
	if (r < 0)
		return refuse(s, h, why.text);
	p = peer_by_id(g, h->id); /* 2 */
	if (p && p->session && memcmp(p->instance, h->instance, sizeof(p->instance)))
		return refuse(
			s, h,
			"another agent with this id is connected: give each its own --id and --state");
	if (p)
		a.heard.v = received.v - ((int64_t)uv_now(g->loop) - p->heard_ms) * NS_PER_MS;
	r = store_hello(g->store, h, &a, &why); /* 3 */
	if (r < 0)
		return refuse(s, h, why.text[0] ? why.text : strerror(-r));
	if (h->epoch < a.epoch ||
	    (p && p->epoch == h->epoch && memcmp(p->instance, h->instance, sizeof(p->instance)))) {
		snprintf(
			line, sizeof(line),
			"its epoch %llu is behind: its --state was lost or restored; %llu is stored",
			(unsigned long long)h->epoch, (unsigned long long)a.epoch);
		return refuse(s, h, line); /* 4 */
	}
	r = peer_take(&p, g, &a, h);
	if (r < 0)
		return refuse(s, h, "the collector has no room for another agent");

	older = p->session;
	p->session = NULL;
	if (older)
		session_close(older, "a newer connection of the same agent took its place");
	s->peer = p;
	p->session = s;
	p->heard_ms = (int64_t)uv_now(g->loop);
	o.offset = received.v - h->boot.v;
	o.error = FIRST_ERROR_NS;
	o.at = h->boot;
	peer_offset(p, &o);
	s->got = p->resumed ? a.seq : 0;
	r = welcome(s, &a);
	if (r < 0)
		return r;
	snprintf(line, sizeof(line), "%u host%s, epoch %llu, %s", h->host_count,
		 h->host_count == 1 ? "" : "s", (unsigned long long)h->epoch,
		 p->resumed ? "goes on" : "is new");
	session_greeted(s, true, line);
	peer_hello(p);
	return 0;
}
