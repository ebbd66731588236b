#include "collector/diagnose/unanswered.h"

#include "collector/diagnose/ends.h"
#include "collector/diagnose/routed.h"

/* A SYN is sent again after a second; an answer takes less than a millisecond. */
static const int64_t RETRY_NS = 500LL * NS_PER_MS;

/* Did anybody answer, or did the client go on as if somebody had? */
static bool went_on(const struct conversation *c)
{
	if (c->reply_count > 0 || c->answer_count > 0)
		return true;
	for (size_t i = 0; i < c->original_count; i++) {
		if (!journey_is_syn(path_packet(c->original[i])))
			return true;
	}
	return false;
}

/* Was an answer to what came to h to be seen as it left the host's TCP? */
static bool answer_would_show(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);
	struct tuple back = tuple_reverse(hop_tuple_out(h));
	struct wall_ns at = hop_last_at(h), end = { at.v + RETRY_NS };

	return fh && fleet_owns(fh, &back.src) && !hop_freed_step(h) &&
	       fleet_armed(q->fleet, h->sj->host, &back, true, 1, at, end) &&
	       !fleet_lost(q->fleet, h->sj->host, at, end);
}

/* Would it have been told by now? */
static bool is_told(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	if (!hop_settled(q, h))
		return false;
	if (fh->checked.v >= hop_last_at(h).v + SETTLE_NS)
		return true;
	need_read(q, h->sj->host);
	return false;
}

/* Did another try of it arrive there, too? Then its sender had got no answer. One of both is as old as an answer's news. */
static bool came_again(const struct inquiry *q, const struct conversation *c, const struct hop *h)
{
	for (size_t i = 0; i < c->original_count; i++) {
		for (size_t k = 0; k < c->original[i]->hop_count; k++) {
			const struct hop *other = &c->original[i]->hops[k];
			int64_t apart = other->sj->at.v - h->sj->at.v;

			if (other->sj->host == h->sj->host &&
			    hop_reached(other, CHECKPOINT_IN_LAST) &&
			    other->sj->j.tcp_seq == h->sj->j.tcp_seq &&
			    (apart >= RETRY_NS || apart <= -RETRY_NS) &&
			    answer_would_show(q, other) && (is_told(q, h) || is_told(q, other)))
				return true;
		}
	}
	return false;
}

bool has_no_way_back(const struct inquiry *q, const struct hop *h)
{
	struct routed r;

	routed_answer(&r, q, h);
	return r.facts && r.ways.known && r.fault != ROUTE_FAULT_NONE;
}

bool fate_unanswered(struct fate *f, const struct inquiry *q, const struct conversation *c)
{
	if (!journey_is_syn(&f->hop->sj->j) || went_on(c) || !answer_would_show(q, f->hop))
		return false;
	if (has_no_way_back(q, f->hop) && is_told(q, f->hop))
		fate_is_discarded(f, NO_ROUTE_BACK, "return-path", false);
	else if (came_again(q, c, f->hop))
		fate_is_discarded(f, NO_ANSWER, "queue-overflow", false);
	else
		return false;
	f->provisional = !is_told(q, f->hop);
	return true;
}
