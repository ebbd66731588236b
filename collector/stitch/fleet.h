/*
 * The fleet as it stood in a window: hosts, their addresses and routes, the history of their tables, what was
 * armed where, and what was lost. Everything that stitching and diagnosing ask about hosts, loaded once per
 * question.
 */
#pragma once

#include "collector/store/store.h"
#include "common/ipset.h"

/* One content of one table, parsed at first use. */
struct fleet_table {
	struct stored_table entry;
	struct table parsed; /* owned by the fleet, as the next */
	struct ipset *set;   /* of BACKEND_IPSET, in place of parsed */
	bool tried, usable;  /* usable: parsed or set holds it */
	bool asked;          /* handles were asked for */
	const char *handles; /* in the arena; NULL: none, or not here yet */
};

struct fleet_host {
	uint64_t host;
	const char *id;
	bool retired;
	struct wall_ns checked; /* its agent was surely at work then */
	bool has_facts;
	struct facts facts;                    /* newest of the window */
	struct wall_ns facts_from, facts_next; /* told then; the next ones; 0: not known, none */
	bool has_sources;
	struct sources sources;
};

/* Older facts that were asked for. */
struct fleet_facts {
	uint64_t host;
	struct wall_ns from, next;
	struct facts facts;
};

struct fleet_loss {
	const struct stored_loss *loss;
	int64_t latest; /* until when the host's losses up to this one were */
};

enum { FLEET_FACTS_MAX = 64 };

struct fleet_past {
	struct fleet_facts *list[FLEET_FACTS_MAX];
	size_t count;
};

struct fleet {
	struct reader *reader; /* borrowed */
	struct arena *arena;   /* borrowed */
	struct wall_ns since, until;
	struct fleet_host *hosts;
	size_t host_count;
	struct fleet_table *tables; /* all hosts, oldest first */
	size_t table_count;
	struct stored_loss *losses; /* by time */
	size_t loss_count;
	struct fleet_loss *lost; /* of packets, by host and time; in the arena */
	size_t lost_count;
	struct stored_arming *armings;
	size_t arming_count;
	struct fleet_past *past; /* in the arena */
};

/* Loads what concerns the window. 0 or -errno; clear in any case. */
int fleet_load(struct fleet *f, struct reader *r, struct arena *arena, struct wall_ns since,
	       struct wall_ns until);
void fleet_clear(struct fleet *f);

const struct fleet_host *fleet_host(const struct fleet *f, uint64_t host);
const struct fleet_host *fleet_host_by_id(const struct fleet *f, const char *id);

/* Does the host have this address on an interface? */
bool fleet_owns(const struct fleet_host *h, const struct addr *a);

/* Is it an address for many: multicast, or a broadcast of one of the host's links? h may be NULL. */
bool fleet_is_for_all(const struct fleet_host *h, const struct addr *a);

/* The host's interface of that name; NULL: none is known. */
const struct facts_link *fleet_link(const struct fleet_host *h, const char *name);

/* The largest packet that a link of the host takes whole; 0 unknown. */
uint32_t fleet_mtu(const struct fleet_host *h, const char *link);

/*
 * The host's facts as they stood at t, as far as they were told by then; NULL: not known. *after: those that were told so shortly after that they
 * may have held already, since a change is told a moment late; NULL: none.
 */
const struct facts *fleet_facts_at(const struct fleet *f, const struct fleet_host *h,
				   struct wall_ns t, const struct facts **after);

/* Did its addresses, routes, rules of routing or settings change in the span? */
bool fleet_facts_changed(const struct fleet *f, uint64_t host, struct wall_ns from,
			 struct wall_ns until);

/* Did the host lose trace evidence in the span (give or take the margins of the records themselves)? */
const struct stored_loss *fleet_lost(const struct fleet *f, uint64_t host, struct wall_ns from,
				     struct wall_ns until);

/*
 * Was every such packet selected for tracing on the host during the whole span? control: SYN, FIN, RST, ICMP error, which
 * are never sampled away. modulus is what sampled the packet elsewhere: a host that samples more thinly may have skipped it.
 */
bool fleet_armed(const struct fleet *f, uint64_t host, const struct tuple *t, bool control,
		 uint32_t modulus, struct wall_ns from, struct wall_ns until);
/* The modulus in force on a host for this packet; 0: nothing is armed for it. */
uint32_t fleet_modulus(const struct fleet *f, uint64_t host, const struct tuple *t,
		       struct wall_ns at);

/*
 * The contents that a table may have had at t: SURE: read before and after; CHANGING: it changed around t, both
 * contents are returned; UNCHECKED: not read again since t; LATE: first read after t; NONE: no such table is known.
 */
enum table_state { TABLE_NONE, TABLE_SURE, TABLE_UNCHECKED, TABLE_CHANGING, TABLE_LATE };

struct table_at {
	enum table_state state;
	struct fleet_table *tables[2]; /* [1] only for CHANGING */
};

struct table_at fleet_table_at(struct fleet *f, uint64_t host, uint8_t backend, uint8_t family,
			       const char *table, struct wall_ns t);
/* Is tables[i] the first entry of its table's history? Who looks at each table once takes these. */
bool fleet_heads_history(const struct fleet *f, size_t i);
/* Can what it contains be read? Reads it. */
bool fleet_usable(struct fleet *f, struct fleet_table *t);
/* nftables: which table of that name it is; one that was made anew is another. 0: not known. */
uint64_t fleet_instance(struct fleet *f, struct fleet_table *t);
/*
 * Where the rule with this handle stands in the chain, 1-based; 0: this content has none.
 */
uint32_t fleet_handle(struct fleet *f, struct fleet_table *t, const char *chain, uint64_t handle);
/* Does the text of any rule that may have stood there at t contain the word? */
bool fleet_says(struct fleet *f, uint64_t host, const char *word, struct wall_ns t);
/* Did any table of the host change in (from, until]? */
bool fleet_changed(const struct fleet *f, uint64_t host, struct wall_ns from, struct wall_ns until);
