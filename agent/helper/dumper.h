/*
 * Reads the rulesets, ipsets and counters of one namespace on request, on a thread of its own, so that the helper stays
 * free meanwhile. The raw digest comes first; the text, made by `lasthop-helper --dump`, only when
 * it has changed.
 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "agent/helper/ipc.h"
#include "agent/helper/netns.h"
#include "agent/helper/rawtable.h"
#include "agent/helper/setdump.h"

enum { DUMPS_WAITING_MAX = 8 };

struct dumper {
	const struct netns *ns; /* borrowed */
	int done, quit;         /* borrowed: eventfds; done is signalled by each dump that ends */
	struct rawsockets sockets;
	const atomic_uint *commits; /* borrowed: our own of nftables' changes */
	bool nft_looked, nft;       /* is nf_tables there? */
	int64_t nft_at;             /* when that was found out; CLOCK_BOOTTIME */
	struct {
		int fd; /* owned; the last memfd that was handed over; -1 none */
		struct {
			uint64_t legacy; /* digest of the legacy tables that it begins with */
			uint32_t nft;    /* generation of those of nftables, which follow */
		} stands;
		off_t split, size; /* where they begin, and the end */
	} last;
	struct setdump *sets; /* owned; NULL until a rule names one */
	struct dump_request {
		uint32_t tag, what;
		uint64_t known;
	} waiting[DUMPS_WAITING_MAX];
	uint32_t waiting_count;

	bool running, threaded;
	unsigned long thread;
	atomic_bool ended; /* by the thread: answer and fd may be taken */
	uint32_t what;     /* enum helper_dump */
	uint64_t known;
	struct helper_answer answer;
	int fd; /* owned; -1 none */
};

void dumper_init(struct dumper *d, const struct netns *ns, int done, int quit,
		 const atomic_uint *commits);
/* Is a dump with this tag running or waiting? */
bool dumper_has(const struct dumper *d, uint32_t tag);
/* Starts a dump, or lets it wait for the one that runs. 0, -EBUSY when too many wait, -errno. */
int dumper_ask(struct dumper *d, uint32_t tag, uint32_t what, uint64_t known);
/*
 * Takes the answer of a dump that has ended, and its fd (-1 none), and starts the next. False: none
 * has ended.
 */
bool dumper_take(struct dumper *d, struct helper_answer *answer, int *fd);
/*
 * Ends what runs, which quit has been told to, and forgets what waits. Returns how many tags will
 * have no answer.
 */
uint32_t dumper_abandon(struct dumper *d, uint32_t tags[static DUMPS_WAITING_MAX + 1]);
/* Waits for what runs, which quit has been told to end. */
void dumper_clear(struct dumper *d);
