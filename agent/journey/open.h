/*
 * A journey that is not over: what each source told of it, in a list of its own, and the journey that these lists
 * make when they are merged.
 */
#pragma once

#include "agent/source/source.h"

enum from { FROM_LEGACY, FROM_NFT, FROM_LOG, FROM_KERNEL, FROM_COUNT };

struct placed {
	struct step step;
	int64_t place;
};

struct told {
	struct placed *list; /* owned */
	uint16_t count, cap;
	int64_t place;        /* of the last with a place of its own */
	uint32_t base_number; /* legacy: of the last rule met in the built-in chain there */
};

struct open {
	struct open *older, *newer; /* by last event */
	struct open *key_next;      /* same bucket, by creation */
	struct open *trace_next;    /* same bucket, the newest first */
	uint64_t key;
	struct boot_ns last;
	uint32_t hooks; /* 1 << enum hook */
	bool complete;  /* its last checkpoint came */
	bool exact;     /* the time of what was told first is the kernel's */
	bool has_came;  /* the kernel, which freed it, says what it bore as it came */
	struct tuple came;
	struct told told[FROM_COUNT];
	struct journey j; /* without its steps; tuples in order of arrival */
};

/* Which list e belongs to. */
enum from event_from(const struct trace_event *e);
/* Where the kernel calls e's chain: its hook, then its priority. */
int64_t event_place(const struct trace_event *e);
/* Does e say where it stands? Log lines, frees, and chains that were jumped to do not. */
bool event_has_place(const struct trace_event *e);
/* Is e of a legacy table's built-in chain? */
bool event_in_base_chain(const struct trace_event *e);

/* How many steps the lists hold. */
uint32_t open_steps(const struct open *o);
/* Did the packet bear t, as far as was told? */
bool open_bore(const struct open *o, const struct tuple *t);
/* Of o nothing is known but its end. Can its packet have come with this tuple? */
bool open_came_so(const struct open *o, const struct tuple *t);
/* A journey that begins with e, still without steps; NULL: no memory. It is the caller's. */
struct open *open_begin(uint64_t key, const struct trace_event *e);
/*
 * Adds e to its list, and what it says of the packet to the journey. named is its step, with texts that stay. False: there
 * is no room for the step, and the journey says that it is cut.
 */
bool open_add(struct open *o, const struct trace_event *e, const struct step *named);
/* Merges the lists into o->j.steps, which is room for STEPS_MAX of the caller's. */
void open_merge(struct open *o, struct step *room);
void open_free(struct open *o);
