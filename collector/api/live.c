#include "collector/api/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct taking {
	struct live_copies *copies;
	int error;
};

static void take_one(void *arg, const struct ingest_live *live)
{
	struct taking *t = arg;
	struct live_copies *l = t->copies;
	struct live_copy *c;

	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct live_copy *list = realloc(l->list, cap * sizeof(*list));

		if (!list) {
			t->error = -ENOMEM;
			return;
		}
		l->list = list;
		l->cap = cap;
	}
	c = &l->list[l->count++];
	*c = (struct live_copy){
		.connected = live->connected,
		.gone = live->gone,
		.resumed = live->resumed,
		.sources_told = live->sources_told,
		.rulesets_told = live->rulesets_told,
		.quiet_ms = live->quiet_ms,
		.lag_ms = live->lag_ms,
		.clock_known = live->clock_known,
		.clock_ms = live->clock_ms,
	};
	strncpy(c->id, live->id, HOST_MAX);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct live_copy *)a)->id, ((const struct live_copy *)b)->id);
}

static int compare_id(const void *id, const void *b)
{
	return strcmp(id, ((const struct live_copy *)b)->id);
}

int live_take(struct live_copies *l, const struct ingest *g)
{
	struct taking t = { .copies = l };

	l->count = 0;
	ingest_each(g, take_one, &t);
	if (l->count > 1)
		qsort(l->list, l->count, sizeof(*l->list), compare);
	return t.error;
}

const struct live_copy *live_find(const struct live_copies *l, const char *id)
{
	return l->count ? bsearch(id, l->list, l->count, sizeof(*l->list), compare_id) : NULL;
}

bool live_retired(const struct stored_host *h, const struct live_copy *c)
{
	return c && (c->gone || c->connected) ? c->gone : h->retired;
}

struct live_host *live_hosts(const struct live_copies *l, const struct stored_host *hosts,
			     size_t count, int64_t ended_ms, struct arena *arena, size_t *out_count)
{
	struct live_host *out = arena_alloc(arena, (count + 1) * sizeof(*out));
	size_t i;

	*out_count = 0;
	for (i = 0; out && i < count; i++) {
		const struct live_copy *c = live_find(l, hosts[i].id);

		if (live_retired(&hosts[i], c))
			continue;
		out[*out_count].id = hosts[i].id;
		out[*out_count].answering = c && (c->connected || c->quiet_ms < ended_ms);
		/* What came late by less, or before the window's end, an answer expects anyhow. */
		if (c && c->connected && c->lag_ms > LATE_MS && c->lag_ms + LATE_MS > ended_ms)
			out[*out_count].late_ms = c->lag_ms;
		(*out_count)++;
	}
	return out;
}

void live_clear(struct live_copies *l)
{
	free(l->list);
	memset(l, 0, sizeof(*l));
}
