/*
 * What the worker may ask of the helper, and nothing else: fixed-size messages over a SEQPACKET pair, enums
 * and indexes, never a path or a command line. The helper treats any odd message as fatal: it removes what
 * it put up and ends. The worker's end of the pair is HELPER_FD in neither program: it is passed as fd 3.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/pattern.h"

enum { HELPER_FD = 3 };

/*
 * FOLLOW: tell of namespaces from now on. Then comes, unasked and with tag 0, an answer NETNS for each: `value` is its index,
 * `digest` its inode, `why` its name. error 0: it is there, under a new index or under the one that its name has had;
 * -ENOENT: it has gone, or was not there from the start, and requests to its index fail. An index beyond all hosts: `why` says what is not watched.
 * LOGGERS: `value` is which loggers the namespace has now. LOGGERS_PUT: those in `what` were there before a helper of ours that
 * was killed together with its guard; put back where nobody uses what it left.
 * RELEASE: what the host of this index has told is acknowledged; it may become another one.
 */
#define HELPER_OPS(X) X(OPEN) X(DUMP) X(RCVBUF) X(LEASE) X(STOP) X(LEASE_STATE) X(FOLLOW) X(RELEASE) X(NETNS)	\
	X(LOGGERS) X(LOGGERS_PUT)
enum helper_op {
	HELPER_NONE,
#define X(id) HELPER_##id,
	HELPER_OPS(X)
#undef X
};

/*
 * OPEN's sources. TRACE_LEGACY: a NETFILTER_NETLINK socket bound to group 0 (copy range 128, sequence numbers).
 * TRACE_NFT: joined to NFNLGRP_NFTRACE. CONNTRACK: joined to NEW, UPDATE off, DESTROY. HOST: an rtnetlink
 * socket joined to changes of links, addresses, routes, rules and settings; its dumps need no privilege and are the worker's. DROPS, CHANGES: a BPF
 * ring of events.h, one for all namespaces; _LOST: the counters of what found no room in it, to be mapped.
 * CHANGES_NFT: nftables' word of each transaction, and nothing else of that group. NFLOG: bound to those of `groups` that nobody
 * else has; `value` has a bit for each, by its place, and `why` says what hinders the others. AUDIT: the audit log, one for all
 * namespaces; `value` is whether auditing was on when the helper started.
 */
enum helper_source {
	SOURCE_TRACE_LEGACY,
	SOURCE_TRACE_NFT,
	SOURCE_CONNTRACK,
	SOURCE_HOST,
	SOURCE_DROPS,
	SOURCE_DROPS_LOST,
	SOURCE_CHANGES,
	SOURCE_CHANGES_LOST,
	SOURCE_CHANGES_NFT,
	SOURCE_NFLOG,
	SOURCE_AUDIT,
	HELPER_SOURCE_COUNT
};

enum helper_auditing { AUDITING_UNKNOWN, AUDITING_ON, AUDITING_OFF };

/*
 * DUMP_CONNTRACK: a netlink socket with the request sent. DUMP_RULESET: a memfd, see struct ruleset_part. DUMP_COUNTERS:
 * a memfd, see struct counters_part; always, with the same digest as DUMP_RULESET would give; those of nftables, too, when
 * `known` is not 0. DUMP_REASONS: a memfd with a line "NUMBER NAME" for each of the kernel's reasons to free a packet.
 * DUMP_STATS: as DUMP_CONNTRACK, for its statistics: of the table, then of each CPU. DUMP_SETS: as DUMP_RULESET, of the ipsets that
 * the texts of the last one name; backend IPSET, the table is the set.
 */
enum helper_dump {
	DUMP_CONNTRACK,
	DUMP_RULESET,
	DUMP_COUNTERS,
	DUMP_REASONS,
	DUMP_STATS,
	DUMP_SETS,
	HELPER_DUMP_COUNT
};

/*
 * What the worker knows of the namespace. CONNTRACK: rulesets use it, so `ct` switches nothing on. TRANSLATES: connections
 * may have other addresses than their first packet. BLIND: legacy tables cannot be traced, so only a checkpoint tells
 * that a packet came to FORWARD.
 */
enum lease_site { LEASE_CONNTRACK = 1, LEASE_TRANSLATES = 2, LEASE_BLIND = 4, LEASE_SITES = 7 };

/*
 * What LEASE, STOP and LEASE_STATE answer in `value`: how many rules of ours stand at the head of raw's chains, by family; 0 where a table of ours
 * serves.
 */
#define LEASE_OURS(v4, v6) ((uint32_t)(v4) | (uint32_t)(v6) << 16)

/* The kernel's packet loggers, as nf_log has them. OTHER: a name that we do not know. */
#define NF_LOGGERS(X) X(OTHER, "") X(NONE, "NONE") X(NFNETLINK, "nfnetlink_log") X(IPV4, "nf_log_ipv4")	\
	X(IPV6, "nf_log_ipv6") X(SYSLOG, "nf_log_syslog") X(IPT, "ipt_LOG") X(IP6T, "ip6t_LOG")
enum nf_logger {
#define X(id, text) NF_LOGGER_##id,
	NF_LOGGERS(X)
#undef X
		NF_LOGGER_COUNT
};

/* Those of both families in one number. */
#define NF_LOGGER_PAIR(v4, v6) ((uint32_t)(v4) | (uint32_t)(v6) << 8)

struct helper_lease {
	uint64_t id;
	uint64_t deadline; /* CLOCK_BOOTTIME, ns; at most LEASE_SECONDS_MAX ahead */
	uint32_t rate;     /* packets a second, 1..LEASE_RATE_MAX */
	uint32_t modulus;  /* a power of two: 1 of that many ordinary packets */
	uint32_t site;     /* enum lease_site */
	uint32_t pattern_count;
	struct pattern patterns[PATTERNS_MAX];
};

struct helper_request {
	uint32_t op;    /* enum helper_op */
	uint32_t tag;   /* comes back with the answer; answers may overtake each other */
	uint32_t netns; /* index, in the order of --netns */
	uint32_t what;  /* OPEN: enum helper_source; DUMP: enum helper_dump; RCVBUF: bytes wanted */
	uint64_t
		known; /* DUMP_RULESET, DUMP_SETS: the digest of the last answer, 0 none; DUMP_COUNTERS: above; STOP, LEASE_STATE: lease id; OPEN of DROPS, DROPS_LOST: drops a second, at most and 0: DROPS_RATE */
	struct helper_lease lease; /* LEASE: a new one, or the same id again with other contents */
	uint32_t group_count;      /* OPEN of NFLOG: log groups, each once and none of them 0 */
	uint16_t groups[NFLOG_GROUPS_MAX];
}; /* RCVBUF carries the socket as SCM_RIGHTS */

/* Is it of no single namespace, whichever index it bears? */
static inline bool request_is_for_all(const struct helper_request *q)
{
	if (q->op == HELPER_OPEN)
		return q->what == SOURCE_AUDIT ||
		       (q->what >= SOURCE_DROPS && q->what <= SOURCE_CHANGES_LOST);
	return q->op == HELPER_FOLLOW || (q->op == HELPER_DUMP && q->what == DUMP_REASONS);
}

/* An answer carries at most one fd (SCM_RIGHTS), which is then the worker's alone. */
struct helper_answer {
	uint32_t op, tag;
	int32_t error;   /* 0 or -errno */
	uint32_t value;  /* RCVBUF: what the kernel gave; DUMP: nftables' generation, 0: not read */
	uint64_t digest; /* DUMP_RULESET, DUMP_SETS: of them; equal to `known`: unchanged, no fd */
	int64_t before, after; /* both: CLOCK_BOOTTIME around the read */
	int64_t cpu_ns;        /* both: what the unchanged check cost */
	int64_t spent_ns;      /* DUMP_RULESET: CPU that making the texts cost, programs included */
	uint64_t traced, refused; /* LEASE_STATE, STOP: packets since the lease began */
	char why[WHY_MAX +
		 1]; /* error != 0: for people ("group 0 is owned by portid 812 (ulogd)") */
};

/*
 * A ruleset memfd: for each table that exists one of these, then `len` bytes of text exactly as iptables-save
 * prints that table, without the comment lines and with every counter as [0:0]. Order: family ipv4 then
 * ipv6, tables raw, mangle, nat, filter, security. Then those of nftables: as iptables-nft-save prints them, or else as `nft -s
 * list table` does, each followed by its rules' handles.
 */
enum { RULESET_TEXT, RULESET_HANDLES };

struct ruleset_part {
	uint32_t backend, family; /* common/journey.h */
	uint32_t
		torn; /* the table changed under every try; the set's members change by themselves */
	uint32_t
		kind; /* HANDLES: of the table before ("table HANDLE") and its rules: "chain NAME", then one a line */
	uint32_t len;
	char table[64];
	uint64_t digest; /* legacy: of the raw table; the answer's is made of these */
};

/*
 * A counters memfd: for each table that exists one of these, then its chains, then the counters of the first chain's
 * rules in order and of its policy, where it has one, then the next chain's. Every part is a multiple of 8 bytes.
 */
struct counters_part {
	uint32_t backend, family;
	uint32_t chains, values; /* how many of each */
	char table[64];
};

struct counters_chain {
	char name[256];
	uint32_t rules;
	uint32_t policy; /* 1: it has one */
};

/* COUNTER_NONE packets: the rule does not count. */
struct counters_value {
	uint64_t packets, bytes;
};
#define COUNTER_NONE UINT64_MAX
