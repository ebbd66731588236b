/*
 * The descriptors that the loop polls for the hosts' sources and the rings. Each is read when it is readable, and a short read is
 * followed by a nap of a millisecond, so that traced packets do not wake the agent one by one.
 */
#pragma once

#include <uv.h>

#include "agent/worker/events.h"

struct watch;
struct watches;

/* One ring of BPF events. */
struct ring_watch {
	uv_poll_t poll;
	struct watches *watches;
	struct events *events; /* borrowed; NULL: not polled */
	enum events_source source;
	bool napping;
};

struct watches {
	uv_loop_t *loop;           /* borrowed */
	void (*settle)(void *arg); /* after something was read */
	void *arg;
	uv_timer_t nap;
	struct watch *list;
	struct ring_watch rings[EVENTS_COUNT];
};

void watches_init(struct watches *w, uv_loop_t *loop, void (*settle)(void *arg), void *arg);
/* Polls s of h until watches_remove(). */
void watches_add(struct watches *w, struct host *h, struct source *s);
/* s is not read any more from here on; its descriptor may be closed. */
void watches_remove(struct watches *w, struct source *s);
/* Polls a ring until watches_close(). */
void watches_ring(struct watches *w, struct events *e, enum events_source source, int fd);
/* Closes what is polled for good. The sources are their hosts' to remove. */
void watches_close(struct watches *w);
