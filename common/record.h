/*
 * A record: one fact that an agent ships about one of its hosts. Plain structs; common/msg.h turns them
 * into protobuf and back. Pointers belong to whoever made the record (an arena, a source) and are
 * borrowed by everybody else.
 */
#pragma once

#include "common/journey.h"
#include "common/pattern.h"

enum { CONTENT_ID_LEN = 32 };

/* SHA-256 of a table's canonical text. */
struct content_id {
	uint8_t b[CONTENT_ID_LEN];
};

#define RECORDS(X) X(JOURNEY) X(CONN) X(RULESET) X(RULESET_CHECKED) X(FACTS) X(SOURCES) X(LOSS) X(LEASE) X(COUNTERS)	\
	X(ENDED) X(STATS)
enum record_kind {
#define X(id) RECORD_##id,
	RECORDS(X)
#undef X
};

/* What happened to a connection-tracking entry. DUMP: it stood there at `at`. */
#define CONN_EVENTS(X) X(NEW, "new") X(UPDATE, "update") X(DESTROY, "destroy") X(DUMP, "dump")
enum conn_event {
#define X(id, text) CONN_##id,
	CONN_EVENTS(X)
#undef X
};

struct conn {
	struct boot_ns at;
	uint8_t event;
	uint32_t id, status, mark; /* status: IPS_* bits */
	uint16_t zone;
	uint32_t timeout_s;       /* at `at`; 0 for DESTROY */
	struct tuple orig, reply; /* reply as conntrack expects it: no NAT means reverse(orig) */
};

/* How we know who changed a table: the kernel's own word at that moment, nftables' notice, the audit log. */
#define VIAS(X) X(BPF, "bpf") X(NFT, "nft") X(AUDIT, "audit")
enum via {
#define X(id, text) VIA_##id,
	VIAS(X)
#undef X
	VIA_COUNT
};

/* Somebody who changed a table, or may have. Texts: NULL not known. */
struct author {
	const char *program, *command, *user; /* command: secrets are masked */
	uint32_t pid, uid, loginuid;          /* AUTHOR_NOBODY: not known */
	uint8_t via;
};
#define AUTHOR_NOBODY UINT32_MAX

/* One table stood so at `read_at`; the read before it, at `before`, showed something else (0: no read before). */
struct ruleset_fact {
	struct boot_ns before, read_at;
	uint8_t backend, family;
	const char *table;
	struct content_id content; /* all zero: the table is gone */
	struct content_id handles; /* nftables: of its rules, chain by chain; all zero: none */
	bool torn;                 /* it changed under every try to read it */
	uint32_t
		commits; /* that lie between the two reads; of nftables others', of any table; 0: not known */
	uint32_t author_count; /* 0: not known; more than one: by one of them */
	const struct author *authors;
};

/* All tables of the host still stood as last reported when they were read at `at`. */
struct ruleset_checked {
	struct boot_ns at;
};

struct facts_link {
	int32_t ifindex, link, master; /* link: the peer or parent's ifindex, 0 none */
	char name[IFNAME_MAX + 1];
	uint8_t mac[6];
	uint32_t mtu;
	bool up;
	bool conf4, conf6;   /* what is said of that family is known */
	bool forward4;       /* it passes on what comes in by it; IPv6 asks facts.forward6 ... */
	bool force_forward6; /* ... unless this is set */
	bool disable6;
	uint8_t rp_filter; /* its own; the greater of it and facts.rp_filter counts */
};

struct facts_addr {
	int32_t ifindex;
	struct prefix addr;
};

struct facts_route {
	struct prefix dst;
	struct addr gateway; /* family 0: on link */
	int32_t ifindex;     /* 0: its next hop is not known */
	uint32_t table, metric;
	uint8_t type;      /* RTN_* */
	uint8_t tos;       /* only for such packets; 0: for all */
	struct prefix src; /* only for packets from there (IPv6); family 0: for all */
};

/* Of policy routing: which packets ask which table. Numbers that are 0, empty names, family 0: it does not ask for that. */
struct facts_rule {
	uint8_t family; /* 4 or 6 */
	uint8_t action; /* FR_ACT_* */
	bool invert;    /* it is for all packets but those */
	bool l3mdev;    /* the table is that of the VRF which the packet is in */
	bool other;     /* it asks for something else, too, that is not told here */
	uint8_t tos, proto;
	uint32_t priority, table;
	uint32_t target; /* GOTO: to the rule of this priority */
	uint32_t mark, mask;
	int32_t suppress;            /* routes of at most that many bits do not count; -1: all do */
	uint16_t sport[2], dport[2]; /* first and last */
	struct prefix from, to;
	char iif[IFNAME_MAX + 1], oif[IFNAME_MAX + 1];
};

/* The host's interfaces, addresses, routes and routing rules at one instant; the whole, not a difference. */
struct facts {
	struct boot_ns at;
	bool forward4, forward6, forward_known;
	bool rules4,
		rules6; /* rules of that family are known; in the order in which packets ask them */
	bool cut;       /* there are more than are told */
	uint8_t rp_filter; /* of conf.all */
	uint32_t link_count, addr_count, route_count, rule_count;
	struct facts_link *links;
	struct facts_addr *addrs;
	struct facts_route *routes;
	struct facts_rule *rules;
};

/* The interface of that index; NULL: it is not told. */
const struct facts_link *facts_link_of(const struct facts *f, int32_t ifindex);

#define SOURCE_STATES(X) X(ON, "on") X(READY, "ready") X(OFF, "off") X(FAILED, "failed")
enum source_state {
#define X(id, text) SOURCE_##id,
	SOURCE_STATES(X)
#undef X
};

/* What the host's sources are; the whole list each time. READY: opens when a lease needs it. */
struct source_fact {
	const char *name; /* trace-legacy, trace-nft, conntrack, ruleset, host */
	uint8_t state;
	const char *why; /* NULL when there is nothing to say */
};

struct sources {
	struct boot_ns at;
	uint32_t count;
	struct source_fact *list;
};

struct loss {
	struct boot_ns from, until;
	const char *source; /* a source's name, trace-limit, journey, spool, uplink */
	bool count_known;
	uint64_t count; /* events, or records for spool and uplink */
};

#define LEASE_STATES(X) X(ARMED, "armed") X(REFUSED, "refused") X(FAILED, "failed") X(ENDED, "ended") X(PENDING, "pending") X(SILENT, "silent")
enum lease_state {
#define X(id, text) LEASE_##id,
	LEASE_STATES(X)
#undef X
};

/* A lease changed state on this host. Traced and refused packets are totals since it began here. */
struct lease_fact {
	struct boot_ns at;
	uint64_t id;
	uint8_t state;
	uint32_t modulus; /* 1 of that many ordinary packets is selected */
	uint64_t traced, refused;
	const char *why; /* NULL when there is nothing to say */
	uint32_t pattern_count;
	struct pattern *patterns; /* in force from `at` on (ARMED) */
};

/*
 * How a number of packets is to be taken. EXACT: this many. NEW: the rule was not there before; what it came with
 * (iptables-restore -c) is in it. RESET: it was set to zero
 * meanwhile, or may have been; there were at least as many. Told even if that is none.
 * UNCOUNTED: it has no counter, which a baseline says, or the first record that knows it.
 */
#define COUNTER_MARKS(X) X(EXACT, "exact") X(NEW, "new") X(RESET, "reset") X(UNCOUNTED, "uncounted")
enum counter_mark {
#define X(id, text) COUNTER_##id,
	COUNTER_MARKS(X)
#undef X
		COUNTER_MARK_COUNT
};

struct counter_entry {
	const char *chain;
	uint32_t rule; /* 0: the policy */
	uint8_t mark;
	uint64_t packets, bytes;
};

/*
 * What the rules of one table counted from the read at `before` to the one at `at`, with rule numbers as in `content`:
 * only those that counted anything. Reads from `since` to `before` showed nothing that was not told before. A baseline
 * holds the counters themselves as they stood at `at`; which are not in it were 0.
 */
struct counters {
	struct boot_ns since, before, at;
	uint8_t backend, family;
	const char *table;
	struct content_id content;
	bool baseline;
	uint32_t part, parts; /* of what one read told: part 0, 1, ... of parts */
	uint32_t lost;        /* rules that went: what they counted last is not known */
	uint32_t count;
	struct counter_entry *entries;
};

/* Connection tracking: how full it is, and what went wrong in it since it began. */
struct conntrack_stats {
	struct boot_ns at;
	uint32_t count, max; /* max 0: not known */
	uint64_t insert_failed, drop, early_drop, invalid, error, search_restart, clash_resolve;
	/* Every entry that stood then, and has not ended, was told before this record; 0: it says nothing of that. */
	struct boot_ns whole_from;
};

/* The host's namespace has ended, and with it everything that was in force there. */
struct ended {
	struct boot_ns at;
};

struct record {
	enum record_kind kind;
	uint32_t host; /* index into the agent's hosts, as in its Hello */
	union {
		struct journey journey;
		struct conn conn;
		struct ruleset_fact ruleset;
		struct ruleset_checked checked;
		struct facts facts;
		struct sources sources;
		struct loss loss;
		struct lease_fact lease;
		struct counters counters;
		struct ended ended;
		struct conntrack_stats stats;
	};
};

const char *conn_event_name(enum conn_event e);
const char *source_state_name(enum source_state s);
const char *via_name(enum via v);
const char *lease_state_name(enum lease_state s);
const char *counter_mark_name(enum counter_mark m);
