#include "collector/diagnose/beyond.h"

#include <string.h>

#include "collector/diagnose/ends.h"
#include "collector/diagnose/foreign.h"
#include "collector/stitch/next.h"

static const int64_t SELECT_NS = 50LL * NS_PER_MS;

static const struct path *path_at(const struct conversation *c, size_t i)
{
	return i < c->original_count ? c->original[i] : c->reply[i - c->original_count];
}

/* Did the host see it come, another packet than p's, and nobody before? */
static bool from_nowhere(const struct path *other, const struct path *p, uint64_t host)
{
	return other != p && other->hops[0].sj->host == host &&
	       hop_first_hook(&other->hops[0]) == HOOK_PREROUTING;
}

/* Did the host see such a packet come from nowhere? One whose time of receipt is far too late, after the agent hung. */
static bool seen_late(const struct conversation *c, const struct path *p, uint64_t host)
{
	for (size_t i = 0; i < c->original_count + c->reply_count; i++) {
		const struct path *other = path_at(c, i);

		if (from_nowhere(other, p, host) && path_packet(other)->fp == path_packet(p)->fp)
			return true;
	}
	return false;
}

/*
 * Did the host see a packet with its addresses and flags come from nowhere then? Behind all checkpoints connection tracking may
 * still have given it other numbers (SYNPROXY, helpers that change its contents), and nothing tells whether it is the same.
 */
static bool seen_otherwise(const struct conversation *c, const struct fate *f, uint64_t host,
			   struct wall_ns begin, struct wall_ns end)
{
	const struct journey *j = &f->hop->sj->j;

	for (size_t i = 0; i < c->original_count + c->reply_count; i++) {
		const struct path *other = path_at(c, i);
		const struct hop *first = &other->hops[0];

		if (from_nowhere(other, f->path, host) &&
		    tuple_equal(hop_tuple_in(first), hop_tuple_out(f->hop)) &&
		    path_packet(other)->tcp_flags == j->tcp_flags &&
		    hop_ttl_in(first) == hop_ttl_out(f->hop) && first->sj->at.v >= begin.v &&
		    first->sj->at.v <= end.v)
			return true;
	}
	return false;
}

/* A checkpoint whose event with the headers was lost does not say what became of the packet's addresses. */
static bool shows_how_it_left(const struct journey *j)
{
	for (uint16_t i = j->step_count; i-- > 0;) {
		const struct step *s = &j->steps[i];

		if (s->label == LABEL_CHECKPOINT && s->checkpoint == CHECKPOINT_POST_LAST)
			return s->ttl != 0;
	}
	return true;
}

static bool is_answering(const struct inquiry *q, const struct fleet_host *h)
{
	for (size_t i = 0; i < q->ask->live_count; i++) {
		if (!strcmp(q->ask->live[i].id, h->id))
			return q->ask->live[i].answering;
	}
	return false;
}

/* 5d: why it says nothing that the next host told nothing of it; NULL: it says that it did not get there. */
static const char *hidden(const struct inquiry *q, const struct fate *f,
			  const struct conversation *c, const struct fleet_host *next)
{
	const struct hop *h = f->hop;
	const struct journey *j = &h->sj->j;
	const struct tuple *out = hop_tuple_out(h);
	const char *from = hop_host_id(q, h);
	struct wall_ns at = hop_last_at(h);
	/* The other host's clock is known about as well as this one's. */
	int64_t margin = SELECT_NS + 2 * h->sj->error;
	struct wall_ns begin = { at.v - margin }, end = { at.v + margin };
	const struct stored_loss *loss = fleet_lost(q->fleet, next->host, begin, end);
	uint32_t modulus = fleet_modulus(q->fleet, h->sj->host, out, at);

	if (!shows_how_it_left(j))
		return inquiry_say(q, "it left %s, which did not tell how it looked then", from);
	if (!fleet_armed(q->fleet, next->host, out, journey_is_control(j), modulus, begin, end))
		return inquiry_say(
			q, "it left %s for %s, which was not tracing such packets at that moment",
			from, next->id);
	if (seen_late(c, f->path, next->host))
		return inquiry_say(q,
				   "it left %s for %s, which told of such a packet at another time",
				   from, next->id);
	if (seen_otherwise(c, f, next->host, begin, end))
		return inquiry_say(
			q,
			"it left %s for %s, which told of one with its addresses and other contents: something may have rewritten it in between",
			from, next->id);
	if (loss)
		return inquiry_say(q, "it left %s for %s, which lost evidence then (%s)", from,
				   next->id, loss->source);
	if (!is_answering(q, next))
		return inquiry_say(q, "it left %s for %s, whose agent is silent", from, next->id);
	if (next->checked.v < at.v + SETTLE_NS) {
		need_read(q, next->host);
		return inquiry_say(q, "it left %s for %s, whose agent has not been heard of since",
				   from, next->id);
	}
	return NULL;
}

/* Of several next hops the one that the conversation's other packets went to; NULL: none, or more than one. */
static const struct fleet_host *usual_next(const struct inquiry *q, const struct conversation *c,
					   const struct hop *from, const struct fleet_next *n)
{
	const struct fleet_host *found = NULL;

	for (size_t i = 0; i < c->original_count + c->reply_count; i++) {
		const struct path *p = path_at(c, i);

		for (size_t k = 0; k + 1 < p->hop_count; k++) {
			const struct fleet_host *to;

			if (p->hops[k].sj->host != from->sj->host ||
			    !tuple_equal(hop_tuple_out(&p->hops[k]), hop_tuple_out(from)))
				continue;
			to = fleet_host(q->fleet, p->hops[k + 1].sj->host);
			for (size_t m = 0; m < n->count && m < FLEET_NEXT_MAX; m++) {
				if (to != n->hosts[m] || to == found)
					continue;
				if (found)
					return NULL;
				found = to;
			}
		}
	}
	return found;
}

/* 5a */
static bool own_error(struct fate *f, const struct journey *e)
{
	if (says_unreachable(e))
		fate_is_discarded(f, "NEIGH_FAILED", "neighbor-unreachable", true);
	else if (says_too_big(e))
		fate_is_discarded(f, "PKT_TOO_BIG", "mtu", true);
	else
		return false;
	f->provisional = false;
	return true;
}

/* 5 */
static void left_for(struct fate *f, const struct inquiry *q, const struct conversation *c)
{
	const struct hop *h = f->hop;
	const struct journey *j = &h->sj->j;
	const struct fleet_host *from = fleet_host(q->fleet, h->sj->host), *to;
	const struct tuple *out = hop_tuple_out(h);
	const struct journey *e = hop_icmp_error(c, h);
	struct fleet_next next;
	const char *why = NULL;
	uint32_t mtu;

	f->observed = true;
	if (e && own_error(f, e)) /* 5a */
		return;
	f->verdict = VERDICT_LEFT;
	if (!from)
		return;
	if (fleet_owns(from, &out->dst)) {
		fate_is_unknown(
			f,
			inquiry_say(q,
				    "it went to %s itself by %s and was not seen to come in again",
				    from->id, j->out_if));
		return;
	}
	fleet_next(&next, q->fleet, from, h);
	if (next.count == 0) /* 5b */
		return;
	to = next.count == 1 && !next.stranger ? next.hosts[0] : usual_next(q, c, h, &next);
	f->provisional = !hop_settled(q, h); /* 5d */
	mtu = fleet_mtu(from, j->out_if);
	if (f->provisional)
		why = inquiry_say(q, "it left %s a moment ago; %s may still report it", from->id,
				  (to ? to : next.hosts[0])->id);
	else if (hop_last_at(h).v < q->whole_from.v) /* 5f */
		why = inquiry_say(
			q,
			"it left %s, and more packets match than one question looks at: a smaller window (--since, --until) or flow would tell",
			from->id);
	else if (!to && (next.stranger || next.count > FLEET_NEXT_MAX))
		why = inquiry_say(
			q, "it left %s for %s or a host nobody watches: its routes allow both",
			from->id, next.hosts[0]->id);
	else if (!j->fp)
		why = inquiry_say(q, "it left %s in fragments, and nobody saw it whole behind it",
				  from->id);
	else if (mtu && j->total_len > mtu)
		why = inquiry_say(q, "it left %s in pieces, its length is above the MTU of %s",
				  from->id, j->out_if);
	else if (to)
		why = hidden(q, f, c, to);
	for (size_t i = 0; !to && !f->provisional && i < next.count && i < FLEET_NEXT_MAX; i++) {
		const char *also = hidden(q, f, c, next.hosts[i]); /* each asks for what it needs */

		why = why ? why : also;
	}
	if (why) {
		fate_is_unknown(f, why);
		return;
	}
	f->verdict = VERDICT_LOST; /* 5c */
	f->death = DEATH_LINK;
	f->reason = "LOST_ON_LINK";
	f->cause = "lost-between-hosts";
	f->observed = false;
	f->next = to ? to->id : NULL;
	for (size_t i = 0; !to && i < next.count; i++)
		f->next = f->next ? inquiry_say(q, "%s, %s", f->next, next.hosts[i]->id)
				  : next.hosts[i]->id;
	f->next_sure = to != NULL;
}

/* 5, 5e: one that was seen further on has another end. */
void fate_beyond(struct fate *f, const struct inquiry *q, const struct conversation *c)
{
	const struct fleet_host *from = fleet_host(q->fleet, f->hop->sj->host);
	const struct journey *e;
	struct addr maker;

	left_for(f, q, c);
	if (f->verdict == VERDICT_DISCARDED)
		return;
	e = foreign_error(c, f->hop, hop_last_at(f->hop), &maker);
	if (e && from && fleet_owns(from, &maker)) /* 5a: seen behind it, but not yet as it left */
		own_error(f, e);
	else if (e)
		(void)foreign_fate(f, q, e, &maker);
}
