/*
 * The assembler joins trace events into journeys. Two sockets deliver the same packet's events without a
 * common order, so each source has its own place in a journey, and steps are ordered by where the kernel
 * calls them (hook, then priority), not by when they were read.
 *
 * Key: fingerprint (and trace id for nft events). A source's event whose place lies before the last one of
 * that source in a journey belongs to the next journey of the same key: the packet came again.
 */
#pragma once

#include "agent/source/source.h"

struct assembler;

/* A finished journey; borrowed during the call. */
typedef void assembler_emit(void *arg, const struct journey *j);

/* One per host. open_max bounds the journeys held; beyond it the oldest is finished early, which is counted. */
int assembler_new(struct assembler **out, uint32_t open_max, assembler_emit *emit, void *arg);
/* Another bound from now on; journeys beyond it are finished early. */
void assembler_limit(struct assembler *a, uint32_t open_max);
/* Takes one event. Events that belong to no packet with headers are counted as orphans. */
void assembler_add(struct assembler *a, const struct trace_event *e);
/* Finishes journeys whose last step is JOURNEY_IDLE_MS old (or that a terminal step ended). Returns how many are open. */
uint32_t assembler_tick(struct assembler *a, struct boot_ns now);
/* Finishes all of them. */
void assembler_flush(struct assembler *a);
/* Orphaned events and journeys finished early since the last call; both are losses. */
struct assembler_losses {
	uint64_t orphans, early;
	struct boot_ns since;
} assembler_losses(struct assembler *a);
void assembler_free(struct assembler *a);
