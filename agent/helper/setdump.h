/*
 * The ipsets of one namespace, read again and again: which of them have changed, and a memfd of their texts when one did. How
 * often a set may be told anew is bounded here, so that neither the wire nor the store pays for one that never rests.
 */
#pragma once

#include "agent/helper/ipc.h"
#include "agent/helper/setread.h"
#include "common/why.h"

struct setdump {
	struct setnames names; /* which rules name */
	struct setstate {
		struct setname name;
		enum family family;
		uint64_t digest;  /* as it was read last; 0: it was not there */
		bool restless;    /* its members change by themselves */
		bool withheld;    /* it changed sooner than it may be told */
		int64_t read_at;  /* CLOCK_BOOTTIME, as the following */
		int64_t hold;     /* until when a change of it is not told */
		int64_t crowd_at; /* since when its versions are counted */
		uint32_t crowd;   /* how many */
		off_t at, len;    /* its part in the last memfd; len 0: none */
	} list[IPSETS_MAX];
	uint32_t count;
	int last; /* owned; the last memfd; -1 none */
};

/* Opens one for names, or lets *d have those. 0 or -ENOMEM. */
int setdump_name(struct setdump **d, const struct setnames *names);
/*
 * What changed since the worker's digest `known`: *fd is a memfd, -1 nothing; *cpu_ns what finding that out cost. 0 or -errno with
 * why.
 */
int setdump_take(struct setdump *d, uint64_t known, uint64_t *digest, int *fd, int64_t *cpu_ns,
		 struct why *why);
void setdump_free(struct setdump *d);
