/*
 * From journeys that may be a packet's last to groups of those that were. What is the same for all packets of a group (host,
 * flow, place of the end) is compared as hashes first: only one packet of each group is diagnosed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "collector/diagnose/drops.h"
#include "common/reasons.h"

struct drop_key {
	uint64_t flow, place;
	const struct stored_journey *sj;
};

/* Zeroed by whoever fills it: it is hashed as bytes. */
struct place_bytes {
	uint64_t host, handle;
	const void *table; /* the content that stood then */
	uint32_t number, mask;
	uint8_t label, hook, backend, family, verdict;
	char in_if[IFNAME_MAX + 1];
};

static const struct step *kernel_step(const struct journey *j)
{
	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label == LABEL_KERNEL && j->steps[i].prefix)
			return &j->steps[i];
	}
	return NULL;
}

static const struct step *table_step(const struct journey *j)
{
	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label != LABEL_KERNEL && j->steps[i].label != LABEL_LOG)
			return &j->steps[i];
	}
	return NULL;
}

static uint64_t mix(uint64_t h, const void *p, size_t len)
{
	return XXH3_64bits_withSeed(p, len, h);
}

static uint64_t place_of(const struct inquiry *q, const struct stored_journey *sj)
{
	const struct step *k = kernel_step(&sj->j), *s = table_step(&sj->j);
	struct place_bytes b;
	uint64_t h = 0;

	memset(&b, 0, sizeof(b));
	b.host = sj->host;
	memcpy(b.in_if, sj->j.in_if, sizeof(b.in_if));
	if (k) {
		b.mask = k->number;
		h = mix(h, k->prefix, strlen(k->prefix));
	}
	if (s) {
		b.handle = s->handle;
		b.number = s->number;
		b.label = s->label;
		b.hook = s->hook;
		b.backend = s->backend;
		b.family = s->family;
		b.verdict = s->verdict;
		b.table =
			fleet_table_at(q->fleet, sj->host, s->backend, s->family, s->table, sj->at)
				.tables[0];
		h = mix(h, s->table, strlen(s->table));
		h = mix(h, s->chain, strlen(s->chain));
	}
	return mix(h, &b, sizeof(b));
}

static uint64_t flow_of(const struct stored_journey *sj, bool by_port)
{
	const struct tuple *t = &sj->j.tuples[sj->j.tuple_count - 1];
	uint16_t rest[3] = { t->proto, t->dport, by_port ? t->sport : 0 };
	uint64_t h = mix(0, t->src.b, sizeof(t->src.b));

	return mix(mix(h, t->dst.b, sizeof(t->dst.b)), rest, sizeof(rest));
}

static int by_key(const void *pa, const void *pb)
{
	const struct drop_key *a = pa, *b = pb;

	if (a->place != b->place)
		return a->place < b->place ? -1 : 1;
	if (a->flow != b->flow)
		return a->flow < b->flow ? -1 : 1;
	return (a->sj->at.v < b->sj->at.v) - (a->sj->at.v > b->sj->at.v);
}

static int by_packets(const void *pa, const void *pb)
{
	const struct drop_group *a = pa, *b = pb;

	if (a->packets != b->packets)
		return a->packets > b->packets ? -1 : 1;
	return (a->last.v < b->last.v) - (a->last.v > b->last.v);
}

/*
 * What class of end it was. The first that holds wins:
 *  1. a death that a rule or the kernel made; one that is only inferred from what is missing needs more than one host's word
 *  2. the kernel freed it with a reason that is no death, or that nobody knows
 *  3. else it did not end here: NULL
 */
static const char *class_of(const struct drop_group *g)
{
	const struct step *k = kernel_step(&g->newest->j);
	const struct reason *r;

	if (g->fate.verdict < VERDICT_LOST &&
	    (k || g->fate.death == DEATH_RULE || g->fate.death == DEATH_POLICY)) /* 1 */
		return verdict_name(g->fate.verdict);
	if (!k) /* 3 */
		return NULL;
	r = reason_find(k->prefix); /* 2 */
	if (!r)
		return "unknown";
	/* A death, but nobody misses that packet. */
	return reason_class_name(r->class <= REASON_REFUSED ? REASON_CONSEQUENCE : r->class);
}

const char *drops_reason(const struct drop_group *g)
{
	const struct step *k = kernel_step(&g->newest->j);

	if (g->fate.verdict < VERDICT_LOST && g->fate.reason)
		return g->fate.reason;
	return k ? k->prefix : NULL;
}

bool drops_same_place(const struct drop_group *a, const struct drop_group *b)
{
	const char *ra = drops_reason(a), *rb = drops_reason(b);

	return a->newest->host == b->newest->host && !strcmp(a->class, b->class) &&
	       !strcmp(ra ?: "", rb ?: "") && !strcmp(a->newest->j.in_if, b->newest->j.in_if) &&
	       fate_same(&a->fate, &b->fate);
}

static void diagnose(struct drop_group *g, const struct inquiry *q)
{
	static const struct conversation alone;

	g->hop = (struct hop){ .sj = g->newest };
	g->path = (struct path){ .hops = &g->hop, .hop_count = 1 };
	fate_of(&g->fate, q, &alone, &g->path);
	g->class = class_of(g);
}

static size_t group(struct drop_group *list, const struct drop_key *keys, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct stored_journey *sj = keys[i].sj;
		const struct journey *j = &sj->j;
		struct drop_group *g = count ? &list[count - 1] : NULL;

		if (i == 0 || keys[i].place != keys[i - 1].place ||
		    keys[i].flow != keys[i - 1].flow) {
			g = &list[count++];
			*g = (struct drop_group){ .newest = sj, .one_port = true, .last = sj->at };
		}
		g->packets++;
		g->first = sj->at;
		if (j->tuples[j->tuple_count - 1].sport !=
		    g->newest->j.tuples[g->newest->j.tuple_count - 1].sport)
			g->one_port = false;
	}
	return count;
}

int drops_group(struct drop_group **out, size_t *count, const struct inquiry *q,
		const struct stored_journey *list, size_t n, bool by_port, uint64_t *omitted)
{
	struct drop_key *keys = arena_alloc(q->arena, (n + 1) * sizeof(*keys));
	struct drop_group *groups;
	size_t m = 0, kept = 0;

	*count = 0;
	*omitted = 0;
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (list[i].j.tuple_count && list[i].j.step_count)
			keys[m++] = (struct drop_key){ flow_of(&list[i], by_port),
						       place_of(q, &list[i]), &list[i] };
	}
	qsort(keys, m, sizeof(*keys), by_key);
	groups = arena_alloc(q->arena, (m + 1) * sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	m = group(groups, keys, m);
	qsort(groups, m, sizeof(*groups), by_packets);
	for (size_t i = 0; i < m; i++) {
		struct drop_group *g = &groups[kept];

		if (kept == DROPS_GROUPS_MAX) {
			*omitted += groups[i].packets;
			continue;
		}
		*g = groups[i];
		diagnose(g, q);
		kept += g->class != NULL;
	}
	*out = groups;
	*count = kept;
	return 0;
}
