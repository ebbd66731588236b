#include "collector/stitch/directions.h"

#include <netinet/in.h>

struct work {
	const struct entries *entries;
	const struct flow *flow;
	struct tuple_map known; /* enum direction of packets that bear it */
};

/* As far as the packet itself tells. */
static enum direction own_direction(const struct journey *j)
{
	if (j->tuples[0].proto == IPPROTO_TCP && (j->tcp_flags & TCP_SYN))
		return j->tcp_flags & TCP_ACK ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
	if (proto_is_icmp(j->tuples[0].proto) && j->tuples[0].dport)
		return j->icmp_type == j->tuples[0].dport ? DIRECTION_ORIGINAL : DIRECTION_REPLY;
	return DIRECTION_UNKNOWN;
}

/* What the first entry that has one of its tuples says. */
static enum direction conn_direction(const struct work *w, const struct path *p)
{
	enum direction d = DIRECTION_UNKNOWN;
	uint32_t first = UINT32_MAX;

	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);
			const struct tuple_link *orig = tuple_lists_get(&w->entries->before,
									&j->tuples[k]),
						*reply = tuple_lists_get(&w->entries->after, &back);

			if (reply && reply->number < first) {
				first = reply->number;
				d = DIRECTION_REPLY;
			}
			if (orig && orig->number <= first) {
				first = orig->number;
				d = DIRECTION_ORIGINAL;
			}
		}
	}
	return d;
}

static enum direction asked_direction(const struct work *w, const struct path *p)
{
	enum direction d = DIRECTION_UNKNOWN;

	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);

			if (flow_has(w->flow, &j->tuples[k]))
				return DIRECTION_ORIGINAL;
			if (flow_has(w->flow, &back))
				d = DIRECTION_REPLY;
		}
	}
	return d;
}

/* The path's direction is known: so is that of every packet of the same tuples. */
static void learn_direction(struct work *w, const struct path *p)
{
	enum direction other =
		p->direction == DIRECTION_ORIGINAL ? DIRECTION_REPLY : DIRECTION_ORIGINAL;

	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);

			if (tuple_equal(&back, &j->tuples[k]))
				continue;
			tuple_map_add(&w->known, &j->tuples[k], (uint8_t)p->direction);
			tuple_map_add(&w->known, &back, (uint8_t)other);
		}
	}
}

/* By the packets of the same tuple that have a direction already. */
static enum direction known_direction(const struct work *w, const struct path *p)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		enum direction d = tuple_map_get(&w->known, hop_tuple_in(&p->hops[i]));

		if (d != DIRECTION_UNKNOWN)
			return d;
	}
	return DIRECTION_UNKNOWN;
}

int directions_find(struct paths *paths, const struct entries *entries, const struct flow *asked,
		    size_t tuples, struct arena *arena)
{
	struct work w = { .entries = entries, .flow = asked };
	int r = tuple_map_init(&w.known, 2 * tuples, arena);

	if (r < 0)
		return r;
	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];

		p->direction = own_direction(path_packet(p));
		if (p->direction != DIRECTION_UNKNOWN)
			learn_direction(&w, p);
	}
	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];

		if (p->direction != DIRECTION_UNKNOWN)
			continue;
		p->direction = known_direction(&w, p);
		if (p->direction == DIRECTION_UNKNOWN)
			p->direction = conn_direction(&w, p);
		if (p->direction == DIRECTION_UNKNOWN)
			p->direction = asked_direction(&w, p);
		if (p->direction == DIRECTION_UNKNOWN)
			p->direction = DIRECTION_ORIGINAL;
		learn_direction(&w, p);
	}
	return 0;
}
