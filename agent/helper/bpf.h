/*
 * Our BPF programs: they tell of packets that the kernel frees, and of legacy tables that are replaced, in the namespaces that
 * are watched. Nothing is pinned: with the helper's last descriptor they are gone.
 */
#pragma once

#include <stdint.h>

#include "agent/helper/events.h"
#include "common/why.h"

enum { BPF_DROPS, BPF_CHANGES, BPF_PROGRAMS };

struct bpf {
	struct bpf_program_fds {
		int ring, lost, hosts; /* owned: maps; -1: not loaded */
		int links[2];          /* owned */
	} programs[BPF_PROGRAMS];
	uint32_t inodes[EVENT_HOSTS]; /* by slot; 0: none */
	uint32_t drop_rate;           /* packets a second that are told, all CPUs together */
};

void bpf_init(struct bpf *b, uint32_t drop_rate);
/* The namespace of this slot from now on, by its inode; 0: nobody is there any more. 0 or -errno. */
int bpf_watch(struct bpf *b, uint32_t slot, uint64_t inode);
/*
 * The fd of a map of the program, ours: its ring of events (events.h), or its counters of what found no room there. Loads
 * the program when it is asked for first. -errno with why.
 */
int bpf_ring(struct bpf *b, int program, struct why *why);
int bpf_lost(struct bpf *b, int program, struct why *why);
/* A memfd with a line "NUMBER NAME" for each reason of this kernel. -errno with why. */
int bpf_reasons(struct why *why);
void bpf_clear(struct bpf *b);
