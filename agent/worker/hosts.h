/*
 * The agent's hosts: one for each namespace that it was told to watch, or for all that there are, as they come and
 * go. A host keeps its index while it is away, and for as long as anything that it told is not acknowledged.
 */
#pragma once

#include "agent/worker/host.h"
#include "agent/worker/options.h"

struct hosts {
	const struct options *options; /* borrowed */
	struct host_env *env;          /* borrowed */
	void (*changed)(void *arg);    /* the collector must be told of them anew */
	void *arg;
	uint32_t count;        /* indexes in use, those of hosts that have gone included */
	struct host *list;     /* owned; HOSTS_PER_AGENT, which never move */
	struct msg_host *told; /* owned: as in a Hello */
	struct absence {
		char netns[ID_MAX + 1];
		uint64_t seq;      /* the batch of its last word; 0: it is there */
		bool released;     /* the helper may give its index to another */
	} * away;                  /* owned */
	char trouble[WHY_MAX + 1]; /* what is not watched, and why; "" nothing */
};

/* Makes the hosts that are known from the start, and asks the helper to tell of others. 0 or -errno with why. */
int hosts_open(struct hosts *hs, const struct options *o, struct host_env *env,
	       void (*changed)(void *arg), void *arg, struct why *why);
/* The next host that is there; NULL after the last. The first one after NULL. */
struct host *hosts_next(struct hosts *hs, struct host *after);
/* The host with this index; NULL: there is none, or it has gone. */
struct host *hosts_at(struct hosts *hs, uint32_t index);
/* All batches up to seq are acknowledged: what has gone may give its index away. */
void hosts_acked(struct hosts *hs, uint64_t seq);
/* Lets go of what they hold. */
void hosts_clear(struct hosts *hs);
/* Frees them; nothing must point into them any more. */
void hosts_free(struct hosts *hs);
