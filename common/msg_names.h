/*
 * The table of names that the journeys of one batch share. For msg_encode.c and msg_journey.c only.
 */
#pragma once

#include "common/buf.h"

struct msg_name;

enum { MSG_NAMES_RECENT = 64 };

struct msg_names {
	struct buf packed; /* Batch.names, in the order of their indexes */
	struct arena heap;
	struct msg_name *by_text;
	uint32_t count;
	/* Journeys of one host bear the same pointers again and again. What one points at may have changed. */
	struct {
		const void *at;
		const struct msg_name *name;
	} recent[MSG_NAMES_RECENT];
};

void msg_names_init(struct msg_names *n);
/* The index of s, which is added where it is new; 0 for NULL and "". -EINVAL: longer than max; -E2BIG: the table is full; -ENOMEM. */
int msg_names_index(struct msg_names *n, const char *s, size_t max, uint32_t *index);
/* Forgets them all, but keeps room for the next batch's. */
void msg_names_reset(struct msg_names *n);
void msg_names_clear(struct msg_names *n);
