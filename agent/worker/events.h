/*
 * What is one for all hosts: the rings of our BPF programs, drained here, told to the host that each event is of, and the audit log. What
 * found no room is counted by the kernel's side and becomes losses.
 */
#pragma once

#include "agent/source/drops.h"
#include "agent/worker/hosts.h"

/* In the order in which they are asked for. */
enum events_source {
	EVENTS_DROPS,
	EVENTS_CHANGES,
	EVENTS_AUDIT,
	EVENTS_COUNT,
	EVENTS_RINGS = EVENTS_AUDIT
};

struct audit;
struct events;

struct events_env {
	void *arg;
	uint32_t drops_rate; /* a second, at most DROPS_RATE: told one by one */
	/* A descriptor to poll for reading, for good: then call events_read(). */
	void (*watch)(void *arg, enum events_source s, int fd);
	/* Somebody replaced a legacy table of the host. */
	void (*changed)(void *arg, struct host *h, const struct table_change *c);
};

/* Asks the helper for them. 0 or -ENOMEM. */
int events_open(struct events **out, struct hosts *hosts, struct link *link,
		const struct events_env *env);
/* Takes what the ring holds. True: there was something. */
bool events_read(struct events *e, enum events_source s);
/* Does what is due; when it wants to be called next, 0: never. */
struct boot_ns events_tick(struct events *e, struct boot_ns now);
/* The audit log, which lives as long as we. */
struct audit *events_audit(struct events *e);
/* What these sources are. False: it is not known yet. */
bool events_sources(const struct events *e, struct source_fact list[static EVENTS_COUNT]);
void events_free(struct events *e);
