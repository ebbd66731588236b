/*
 * The leases of one namespace, and with them everything that the helper changes there: the probe
 * table and the loggers, both of which exist only while a lease does.
 */
#pragma once

#include <stdbool.h>

#include "agent/helper/fallback.h"
#include "agent/helper/ipc.h"
#include "agent/helper/logger.h"
#include "agent/helper/netns.h"
#include "agent/helper/probe.h"
#include "common/clock.h"

struct lease_count {
	uint64_t id, traced, refused;
};

struct lease {
	struct lease_count before; /* of tables that this one has replaced */
	uint64_t deadline;         /* CLOCK_BOOTTIME, ns */
	uint32_t rate, modulus, pattern_count;
	struct probe_site site;   /* when it came */
	struct pattern *patterns; /* owned */
};

/* What the agent's configuration says. */
struct lease_config {
	enum fallback_mode fallback;
	uint64_t agent; /* whose rules they are */
};

struct leases {
	const struct netns *ns;            /* borrowed */
	const struct lease_config *config; /* borrowed */
	struct guard *guard;               /* borrowed */
	uint32_t index;                    /* of the place */
	struct fallback fallback;
	struct logger logger;
	struct probe probe;
	struct lease list[LEASES_MAX];
	uint32_t count;
	struct lease_count ended[LEASES_MAX]; /* the last ones, for who asks late */
	uint32_t ended_next;
};

/* Starts without leases, with the loggers' files open. 0 or -errno with why. */
int leases_init(struct leases *ls, const struct netns *ns, const struct lease_config *config,
		struct guard *guard, uint32_t index, struct why *why);
/* Removes rules that a former run of this agent left in raw, which all that could have removed them did not outlive. */
void leases_sweep(struct leases *ls);
/*
 * Starts a lease, or gives the one with this id other contents. 0, or -errno with why and nothing
 * changed.
 */
int leases_put(struct leases *ls, const struct helper_lease *l, struct why *why);
/* Packets since the lease began, also of one that ended lately. 0 or -ENOENT. */
int leases_count(struct leases *ls, uint64_t id, struct lease_count *count);
/* Ends a lease (0: all) and says what it traced. 0, -ENOENT, or -errno with why. */
int leases_stop(struct leases *ls, uint64_t id, struct lease_count *count, struct why *why);
/* Ends those whose deadline has passed. */
void leases_expire(struct leases *ls);
/* The earliest deadline; 0: no lease stands. */
uint64_t leases_deadline(const struct leases *ls);
/* Ends all: table first, loggers then. */
void leases_clear(struct leases *ls);
