/*
 * What the loop knows of the agents, copied for a thread that answers a question.
 */
#pragma once

#include "collector/diagnose/diagnose.h"
#include "collector/ingest/ingest.h"

enum { SILENT_AFTER_MS = 10 * 1000, LATE_MS = 500 };

struct live_copy {
	char id[HOST_MAX + 1];
	bool connected, gone, resumed, sources_told, rulesets_told, clock_known;
	int64_t quiet_ms, lag_ms, clock_ms;
};

struct live_copies {
	struct live_copy *list; /* owned */
	size_t count, cap;
};

/* 0 or -ENOMEM. */
int live_take(struct live_copies *l, const struct ingest *g);
const struct live_copy *live_find(const struct live_copies *l, const char *id);
/* Is the host gone for good, since its namespace ended? What its agent says now comes first. */
bool live_retired(const struct stored_host *h, const struct live_copy *c);
/*
 * As diagnose wants it, for all hosts of the store that are not retired, about a window that ended
 * ended_ms ago; NULL: no memory. In the arena.
 */
struct live_host *live_hosts(const struct live_copies *l, const struct stored_host *hosts,
			     size_t count, int64_t ended_ms, struct arena *arena,
			     size_t *out_count);
void live_clear(struct live_copies *l);
