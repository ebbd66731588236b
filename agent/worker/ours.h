/*
 * Rules of ours in the legacy table raw, where a lease needs them (agent/helper/fallback.h): the kernel counts them when it
 * says which rule a packet met, and nobody else shall. Events of raw that were on their way while their number changed cannot be told
 * apart: they are left out, and counted.
 */
#pragma once

#include "agent/source/source.h"

struct ours {
	uint32_t count[2];         /* at the head of each of raw's chains: ipv4, ipv6 */
	uint32_t changing;         /* requests under way that may change them */
	struct boot_ns settled;    /* events that came before it may be of either number */
	struct boot_ns lost_since; /* 0: none was left out */
	uint64_t lost;
};

/* A request that may change them was sent; was answered (value: LEASE_OURS). */
void ours_asked(struct ours *o);
void ours_answered(struct ours *o, uint32_t value, struct boot_ns now);
/* The helper says how many there are, without having been asked for any. */
void ours_told(struct ours *o, uint32_t value, struct boot_ns now);
bool ours_stand(const struct ours *o);
/*
 * Makes e what it would be without our rules. False: it is about one of ours, or it cannot be told: leave it out.
 */
bool ours_correct(struct ours *o, struct trace_event *e);
/* What was left out since the last call; false: nothing. */
bool ours_lost(struct ours *o, struct boot_ns now, struct loss *l);
