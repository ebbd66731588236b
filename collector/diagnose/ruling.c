/*
 * The numbered list stands in the header.
 */
#include "collector/diagnose/ruling.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "collector/diagnose/ends.h"
#include "collector/diagnose/tracked.h"

/* Its own entry may be told that much later; a SYN waits longer for its next try. */
static const int64_t TOLD_NS = 500LL * NS_PER_MS;
static const int64_t REJECT_NS = 2LL * NS_PER_S;

static bool is_death(enum verdict v)
{
	return v <= VERDICT_LOST;
}

/* 1 */
static void disown_rejections(struct conversation *c, const struct fate *f)
{
	for (size_t i = 0; f->verdict == VERDICT_REJECTED && i < c->reply_count; i++) {
		struct path *p = c->reply[i];
		const struct hop *first = &p->hops[0];
		int64_t after = first->sj->at.v - f->hop->sj->at.v;

		if (first->sj->host == f->hop->sj->host && hop_first_hook(first) == HOOK_OUTPUT &&
		    (first->sj->j.tcp_flags & TCP_RST) && after > -REJECT_NS && after < REJECT_NS)
			p->answer = true;
	}
}

/* An RST that answers a SYN and came from hosts nobody watches: a firewall there may have made it. */
static bool rst_of_stranger(const struct path *p)
{
	const struct journey *j = path_packet(p);

	return j->tuples[0].proto == IPPROTO_TCP && (j->tcp_flags & TCP_RST) &&
	       hop_first_hook(&p->hops[0]) != HOOK_OUTPUT;
}

static bool is_reply(const struct path *p)
{
	return !p->answer && !rst_of_stranger(p);
}

/* 2 */
static bool acknowledged(const struct conversation *c, const struct fate *f, bool original)
{
	const struct journey *j = path_packet(f->path);
	struct path *const *back = original ? c->reply : c->original;
	size_t n = original ? c->reply_count : c->original_count;

	for (size_t i = 0; i < n; i++) {
		const struct journey *r = path_packet(back[i]);

		if (!is_reply(back[i]) || path_last(back[i]).v < path_first(f->path).v)
			continue;
		if (j->tuples[0].proto == IPPROTO_TCP) {
			bool self = j->tcp_flags & (TCP_SYN | TCP_FIN);
			int32_t beyond = (int32_t)(r->tcp_ack - j->tcp_seq);

			if ((r->tcp_flags & TCP_ACK) &&
			    (beyond > 0 || (!self && beyond == 0 && !(j->tcp_flags & TCP_ACK))))
				return true;
		} else if (proto_is_icmp(j->tuples[0].proto)) {
			if (r->icmp_seq == j->icmp_seq)
				return true;
		}
	}
	return false;
}

/* 3: is it the same segment, sent again? */
static bool same_segment(const struct fate *a, const struct fate *b)
{
	const struct journey *x = path_packet(a->path), *y = path_packet(b->path);

	return x->tuples[0].proto == IPPROTO_TCP && y->tuples[0].proto == IPPROTO_TCP &&
	       x->tcp_seq == y->tcp_seq && x->total_len == y->total_len &&
	       (x->tcp_flags & 7) == (y->tcp_flags & 7) &&
	       (x->tcp_ack == y->tcp_ack || (x->tcp_flags & TCP_SYN));
}

static bool same_kind(const struct fate *a, const struct fate *b)
{
	const struct journey *x = path_packet(a->path), *y = path_packet(b->path);

	return x->tuples[0].proto == y->tuples[0].proto &&
	       (x->tcp_flags & 7) == (y->tcp_flags & 7) && x->icmp_type == y->icmp_type;
}

/*
 * 3: bulk data is cut and put together anew on its way and when it is sent again: the other side's word for its bytes counts, not equal
 * packets. How long the headers are is not kept: all but their longest form must be acknowledged.
 */
static bool data_arrived(const struct conversation *c, const struct fate *f)
{
	const struct journey *j = path_packet(f->path);
	bool original = f->path->direction != DIRECTION_REPLY;
	struct path *const *back = original ? c->reply : c->original;
	size_t n = original ? c->reply_count : c->original_count;
	int32_t heads = (j->ip_version == 6 ? 40 : 20) + 60;

	if (j->tuples[0].proto != IPPROTO_TCP || (j->tcp_flags & (TCP_SYN | TCP_RST)))
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct journey *r = path_packet(back[i]);
		int32_t beyond = (int32_t)(r->tcp_ack - j->tcp_seq);

		if (is_reply(back[i]) && (r->tcp_flags & TCP_ACK) && beyond > 0 &&
		    beyond >= (int32_t)j->total_len - heads &&
		    path_last(back[i]).v > path_first(f->path).v)
			return true;
	}
	return false;
}

static bool retransmission_arrived(const struct conversation *c, const struct fate *list, size_t n,
				   const struct fate *f)
{
	if (data_arrived(c, f))
		return true;
	for (size_t i = 0; i < n; i++) {
		if (&list[i] != f && list[i].verdict == VERDICT_DELIVERED &&
		    same_segment(&list[i], f))
			return true;
	}
	return false;
}

/* Had it left the host before it came to its end there, as what a host sends to itself does? Then the host's entry is its own. */
static bool had_passed(const struct fate *f)
{
	const struct path *p = f->path;

	if (!strcmp(f->hop->sj->j.in_if, "lo"))
		return true;
	for (size_t i = 0; i < p->hop_count && &p->hops[i] != f->hop; i++) {
		if (p->hops[i].sj->host == f->hop->sj->host)
			return true;
	}
	return false;
}

/* 3a */
static bool another_passed(struct ruling *r, const struct inquiry *q, const struct fate *f)
{
	const struct journey *j = path_packet(f->path);
	struct wall_ns later = { path_last(f->path).v + TOLD_NS };
	struct stops stops;

	if (!journey_is_syn(j) || f->path->direction == DIRECTION_REPLY || r->conv->shared)
		return false;
	/* One that passed the host's last hook made an entry there itself; one that was refused, at its receiver. */
	if (f->verdict == VERDICT_REFUSED || had_passed(f) ||
	    !stops_passed(&stops, q, r->conv,
			  hop_reached(f->hop, CHECKPOINT_POST_LAST) ? 0 : f->hop->sj->host, later))
		return false;
	r->tracked = stops_verdict(q, &stops, &r->tracked_reply);
	return true;
}

/* What was refused had arrived, too. */
static bool outdid(const struct fate *later, const struct fate *f)
{
	return later->verdict == VERDICT_DELIVERED ||
	       (later->verdict == VERDICT_REFUSED && f->death != DEATH_SOCKET);
}

/* The last packet of f's kind that arrived after f had died; NULL none. */
static const struct fate *last_arrived(const struct fate *list, size_t n, const struct fate *f)
{
	const struct fate *last = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct fate *later = &list[i];

		if (later->outside || !outdid(later, f) ||
		    path_first(later->path).v <= path_last(f->path).v || !same_kind(later, f))
			continue;
		if (!last || path_first(later->path).v > path_first(last->path).v)
			last = later;
	}
	return last;
}

static bool is_of_routing(const struct fate *f)
{
	static const char *const causes[] = { "no-route", "rp-filter", "forwarding-disabled" };

	for (size_t i = 0; f->death == DEATH_KERNEL && f->cause && i < 3; i++) {
		if (!strcmp(f->cause, causes[i]))
			return true;
	}
	return false;
}

/* 4 */
static bool healed(const struct inquiry *q, const struct fate *list, size_t n, const struct fate *f)
{
	const struct fate *later = last_arrived(list, n, f);
	uint64_t host = f->hop->sj->host;

	if (!later)
		return false;
	if (f->death == DEATH_SOCKET) /* somebody listens now */
		return later->hop->sj->host == host;
	if (is_of_routing(f) &&
	    fleet_facts_changed(q->fleet, host, path_last(f->path), path_first(later->path)))
		return true;
	return fleet_changed(q->fleet, host, path_first(f->path), path_first(later->path));
}

bool fate_same(const struct fate *a, const struct fate *b)
{
	if (a->verdict != b->verdict || a->death != b->death ||
	    a->hop->sj->host != b->hop->sj->host)
		return false;
	if (a->culprit || b->culprit)
		return a->culprit && b->culprit && a->culprit->table == b->culprit->table &&
		       a->culprit->number == b->culprit->number &&
		       !strcmp(a->culprit->chain, b->culprit->chain);
	if (a->death != DEATH_RULE && a->death != DEATH_POLICY)
		return !a->reason || !b->reason || !strcmp(a->reason, b->reason);
	return !strcmp(a->step->table, b->step->table) && !strcmp(a->step->chain, b->step->chain) &&
	       a->resolved.number == b->resolved.number && a->resolved.table == b->resolved.table;
}

/* 0 */
static bool is_outside(const struct inquiry *q, const struct path *p)
{
	int64_t error = p->hops[0].sj->error;

	return path_last(p).v + error < q->ask->since.v ||
	       path_first(p).v - error > q->ask->until.v;
}

/* Judges one direction: what is settled by 2 and 3 becomes delivered or loses its death. */
static void settle(const struct inquiry *q, const struct conversation *c, struct fate *list,
		   size_t n, bool original)
{
	for (size_t i = 0; i < n; i++)
		fate_of(&list[i], q, c, original ? c->original[i] : c->reply[i]);
	for (size_t i = 0; i < n; i++)
		list[i].outside = is_outside(q, list[i].path); /* 0 */
	for (size_t i = 0; i < n; i++) {
		struct fate *f = &list[i];

		if ((f->verdict == VERDICT_LOST || f->verdict == VERDICT_UNKNOWN ||
		     f->verdict == VERDICT_LEFT) &&
		    acknowledged(c, f, original)) {
			f->verdict = VERDICT_DELIVERED;
			f->death = DEATH_NONE;
			f->reason = NULL;
			f->cause = NULL;
			f->provisional = false;
		}
	}
}

static void weigh(struct ruling *out, const struct inquiry *q, const struct fate *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct fate *f = &list[i];

		if (f->outside || f->path->answer || !is_death(f->verdict) ||
		    retransmission_arrived(out->conv, list, n, f))
			continue;
		if (healed(q, list, n, f) || another_passed(out, q, f)) {
			if (!out->healed || path_last(f->path).v >= path_last(out->healed->path).v)
				out->healed = f;
			continue;
		}
		if (!out->decisive || f->verdict < out->decisive->verdict ||
		    (f->verdict == out->decisive->verdict &&
		     path_last(f->path).v >= path_last(out->decisive->path).v))
			out->decisive = f;
	}
}

static bool was_reset(const struct inquiry *q, const struct conversation *c)
{
	for (size_t i = 0; i < c->reply_count; i++) {
		if (!c->reply[i]->answer && rst_of_stranger(c->reply[i]) &&
		    !is_outside(q, c->reply[i]))
			return true;
	}
	return false;
}

/* 6: the best that is known when nothing died. */
static void rule_without_death(struct ruling *out, const struct inquiry *q,
			       const struct fate *originals, size_t n, const struct fate *replies,
			       size_t m)
{
	static const enum verdict order[] = { VERDICT_DELIVERED, VERDICT_LEFT, VERDICT_UNKNOWN };

	for (size_t k = 0; k < 3 && !out->decisive; k++) {
		for (size_t i = 0; i < n; i++) {
			if (!originals[i].outside && originals[i].verdict == order[k] &&
			    (!out->decisive ||
			     path_last(originals[i].path).v >= path_last(out->decisive->path).v))
				out->decisive = &originals[i];
		}
	}
	out->verdict = out->decisive ? out->decisive->verdict : out->tracked;
	out->reply_seen |= out->tracked_reply;
	if (out->verdict != VERDICT_DELIVERED && out->reply_seen)
		out->verdict = VERDICT_DELIVERED;
	for (size_t i = 0; i < m && !out->decisive; i++) {
		if (!replies[i].outside && !replies[i].path->answer)
			out->decisive = &replies[i];
	}
	out->direction = DIRECTION_ORIGINAL;
	if (out->verdict == VERDICT_UNKNOWN && out->healed && !out->decisive)
		out->reason =
			"one of its packets died, and connection tracking saw a later one pass there: how that one ended nobody told";
	else if (out->verdict == VERDICT_UNKNOWN)
		out->reason = out->decisive && out->decisive->reason ? out->decisive->reason
								     : "no packet of it was seen";
	else if (out->verdict == VERDICT_LEFT && was_reset(q, out->conv))
		out->reason = inquiry_say(
			q,
			"a reset answered it, from behind %s: whoever it was for refused it, or a firewall on the way there",
			hop_host_id(q, out->decisive->hop));
}

bool ruling_counts(const struct ruling *r, const struct fate *f)
{
	if (f->outside || f->path->answer || f->path->direction != r->direction)
		return false;
	return is_death(r->verdict) ? fate_same(f, r->decisive) : !is_death(f->verdict);
}

static void count_packets(struct ruling *out)
{
	for (size_t i = 0; i < out->fate_count; i++) {
		const struct fate *f = &out->fates[i];

		if (!ruling_counts(out, f))
			continue;
		out->packets++;
		if (!out->first.v || path_first(f->path).v < out->first.v)
			out->first = path_first(f->path);
		if (path_last(f->path).v > out->last.v)
			out->last = path_last(f->path);
	}
}

static int ruling_make(struct ruling *out, const struct inquiry *q, struct conversation *c)
{
	struct fate *replies;
	size_t n = c->original_count, m = c->reply_count;

	memset(out, 0, sizeof(*out));
	out->tracked = VERDICT_UNKNOWN;
	out->conv = c;
	out->fate_count = n + m;
	out->original_count = n;
	out->fates = arena_alloc(q->arena, (n + m + 1) * sizeof(*out->fates));
	if (!out->fates)
		return -ENOMEM;
	replies = out->fates + n;

	for (size_t i = 0; i < n; i++) { /* 1 */
		fate_of(&out->fates[i], q, c, c->original[i]);
		disown_rejections(c, &out->fates[i]);
	}
	settle(q, c, out->fates, n, true); /* 2 */
	settle(q, c, replies, m, false);
	for (size_t i = 0; i < n + m; i++)
		out->inside += !out->fates[i].outside && !out->fates[i].path->answer;
	for (size_t i = 0; i < m; i++) {
		if (!replies[i].outside && is_reply(c->reply[i]))
			out->reply_seen = true;
	}

	weigh(out, q, out->fates, n); /* 3, 4, 5 */
	weigh(out, q, replies, m);
	if (out->decisive) {
		out->verdict = out->decisive->verdict;
		out->direction = out->decisive->path->direction;
		for (size_t i = 0; i < out->fate_count; i++) {
			const struct fate *f = &out->fates[i];

			if (f->path->direction == out->direction && !f->path->answer &&
			    !f->outside && f->verdict == VERDICT_DELIVERED)
				out->partial = true;
		}
	} else {
		rule_without_death(out, q, out->fates, n, replies, m); /* 6 */
	}
	if (out->decisive && out->verdict != VERDICT_DELIVERED)
		out->provisional = out->decisive->provisional;
	else if (!out->reply_seen) /* its answer, or that answer's death, may follow */
		out->provisional = q->ask->now.v - c->last.v <= SETTLE_NS;
	count_packets(out);
	return 0;
}

int rulings_make(struct rulings *out, struct inquiry *q, size_t journeys)
{
	struct flows flows;
	int r = flows_find(&flows, q->fleet, q->ask->flow, journeys);

	if (r < 0)
		return r;
	q->whole_from = flows.whole_from;
	*out = (struct rulings){ .list = arena_alloc(q->arena,
						     (flows.count + 1) * sizeof(*out->list)),
				 .cut = flows.cut };
	if (!out->list)
		return -ENOMEM;
	for (size_t i = 0; i < flows.count; i++) {
		r = ruling_make(&out->list[out->count], q, &flows.list[i]);
		if (r < 0)
			return r;
		if (out->list[out->count].inside)
			out->count++;
	}
	return 0;
}

/* Of the packets that ended like the one that decided, the one that was seen on most hosts: the newest may not be told everywhere yet. */
static const struct fate *whole_of(const struct ruling *r)
{
	const struct fate *best = r->decisive;

	for (size_t i = 0; i < r->fate_count; i++) {
		const struct fate *f = &r->fates[i];

		if (!f->outside && f->path->direction == r->direction && !f->path->answer &&
		    f->path->hop_count > best->path->hop_count && fate_same(f, r->decisive))
			best = f;
	}
	return best;
}

const struct fate *ruling_shown(const struct ruling *r, enum direction d)
{
	const struct fate *best = NULL;
	size_t best_steps = 0;

	if (r->decisive && r->verdict <= VERDICT_LOST && r->decisive->path->direction == d)
		return whole_of(r);
	for (size_t i = 0; i < r->fate_count; i++) {
		const struct fate *f = &r->fates[i];
		size_t steps = 0;

		if (f->outside || f->path->answer || f->path->direction != d ||
		    (r->verdict > VERDICT_LOST && is_death(f->verdict)))
			continue;
		for (size_t k = 0; k < f->path->hop_count; k++)
			steps += 64 + f->path->hops[k].sj->j.step_count;
		if (f->verdict == VERDICT_DELIVERED)
			steps += 16;
		if (!best || steps > best_steps) {
			best = f;
			best_steps = steps;
		}
	}
	return best;
}
