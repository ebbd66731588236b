/*
 * What an earlier collector left: leases that have not ended, and on which hosts they had been armed. Read on any
 * thread.
 */
#pragma once

#include "collector/store/store.h"

struct past {
	struct arena arena;
	struct store_lease *list;
	size_t count;
	struct stored_arming *armings;
	size_t arming_count;
	struct stored_host *hosts;
	size_t host_count;
	int error; /* 0 or -errno */
};

void past_init(struct past *p);
void past_read(struct past *p, struct reader *r);
/* The host and the modulus of the next arming of a lease from *at on; NULL: no more. */
const char *past_armed(const struct past *p, uint64_t lease, size_t *at, uint32_t *modulus);
void past_clear(struct past *p);
