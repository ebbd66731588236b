/*
 * Diagnose: from stitched paths to an answer: verdict, where, which rule, why, how sure. The answer is the
 * JSON that every front end shows; the terminal's screens are drawn from it.
 */
#pragma once

#include <jansson.h>

#include "collector/store/store.h"

/* What the collector knows of a host right now, beside what is stored. */
struct live_host {
	const char *id;
	bool answering; /* its agent is connected, or was when the window ended */
	int64_t late_ms; /* what it has seen in the last so many ms may be still on its way; 0: not known to be */
};

struct where_ask {
	const struct flow *flow;
	struct wall_ns since, until, now;
	struct wall_ns
		asked; /* when it was put first: what was seen until then must be told by now */
	const struct live_host *live;
	size_t live_count;
};

/* What would make the answer firmer: evidence that is on its way, rulesets read after the steps that were seen. */
struct where_need {
	bool patience; /* ask again once agents had the time to tell */
	uint64_t hosts[HOSTS_PER_AGENT];
	size_t count;
};

/* *answer is the caller's. 0 or -errno (the store failed). */
int diagnose_where(json_t **answer, const struct where_ask *ask, struct reader *r,
		   struct where_need *need);

/*
 * Journeys of the flow as {"next": row, "journeys": [hop objects as in `where`, each with "host",
 * "packet" and "at"; "row": where the store has it, segment << 32 | id; null: nothing was traced;
 * "link_layer": {"src", "dst", "ethertype": "0x0800", "vlan": number} of the frame that brought it, each null when it is not known (no tag:
 * "vlan" null), all of it null where the agent did not tell or no Ethernet device brought it]}. With `after` 0: on every host, across NAT, packet by packet in the order of
 * their way; where there are none, the hosts that connection tracking saw it pass ("packet" null). Else those that arrived after that row and bear the flow's own addresses, by time: for
 * `lasthop here` and other followers.
 */
int diagnose_journeys(json_t **answer, const struct where_ask *ask, struct reader *r,
		      uint64_t after, size_t limit);

enum { GROUPS_MAX = 50 };

/*
 * Every flow that matches, grouped by its way and its end, the group with the most flows first, at most GROUPS_MAX:
 * {"matched": flows, "groups": [{"flows", "share": of matched, 0 to 1, "packets", "verdict", "direction", "confidence", "died_at",
 *   "way": [{"host", "nat": ["dnat", "snat"], "stranger": before it stands one that is not watched}],
 *   "example": flow, as in `where`, "first", "last"}], "omitted": groups, "window", "coverage", "losses", "losses_omitted", "cut", "provisional"}
 */
int diagnose_groups(json_t **answer, const struct where_ask *ask, struct reader *r,
		    struct where_need *need);

enum { NAT_FLOWS_MAX = 100 };

/*
 * Who is behind an endpoint, or what it becomes: each connection alive in the window of which an end, before or after
 * translation, matches ask->flow, gateway by gateway, from connection tracking alone; a traced packet adds the rule.
 * Newest first, at most NAT_FLOWS_MAX:
 * {"matched", "flows": [{"flow", "becomes", "from", "until", "state", "ambiguous", "seen": [host ...],
 *  "hops": [{"host", "from", "until", "zone", "tuple_in", "tuple_out", "nat": [as in `where`], "link"}]}], "omitted",
 *  "window", "coverage", "losses", "losses_omitted", "cut"}
 */
int diagnose_nat(json_t **answer, const struct where_ask *ask, struct reader *r);

/* Which counters: -1 and NULL: any. MOVED: only those that counted anything, IDLE: only the others. */
struct counters_ask {
	const char *host, *table, *chain;
	int backend, family;
	enum { COUNTERS_ALL, COUNTERS_MOVED, COUNTERS_IDLE } only;
	size_t limit;
};

/*
 * What the rules of a host counted in ask's window (its flow is not looked at), hottest first:
 * {"host", "window", "source": {"state", "why"}, "omitted", "losses",
 *  "tables": [{"backend", "family", "table", "content", "text_known", "gone", "read": {"first", "last", "seconds"},
 *   "gaps": [{"from", "until"}], "rules_lost"}],
 *  "rules": [{"backend", "family", "table", "chain", "kind", "rule", "rule_text", "packets", "bytes", "packets_per_s",
 *   "bytes_per_s", "trend": [packets a second, null where nothing was read], "last", "counter": {"packets", "bytes"},
 *   "never_hit", "idle_since", "at_least", "at_most", "gone"}]}
 * -ENOENT: there is no such host.
 */
int diagnose_counters(json_t **answer, const struct counters_ask *c, const struct where_ask *ask,
		      struct reader *r, struct where_need *need);

struct drops_ask {
	const char *const *on; /* hosts by name or pattern (*, ?); none: all */
	size_t on_count;
	bool follow;    /* what arrived since `after`, packet by packet of each flow */
	uint64_t after; /* a row; 0: all of the window */
};

/*
 * What the fleet discarded in ask's window, of ask->flow: packets that the kernel freed, and those that a rule ended in a trace.
 * Places with the most packets first; what is no death (class consequence, noise, untold, unknown) after what is:
 * {"places": [{"host", "class", "reason", "text", "in", "died_at", "confidence", "packets", "first", "last",
 *   "flows": [{"flow": sport null for several, "kind", "in", "out", "packets", "first", "last"}], "flows_omitted"}],
 *  "packets", "omitted": packets that are in none of these, "excess": [{"host", "reason": null for all, "count", "from", "until"}],
 *  "next": row, "unknown_hosts": [of on], "window", "coverage", "losses", "losses_omitted", "cut", "provisional"}
 * need: rulesets that should be read, so that rules can be named; with follow nothing is asked for.
 * With follow: "drops", by time, each a place with "flow" and "kind" instead of "flows", and "excess" as it was told, not summed up.
 */
int diagnose_drops(json_t **answer, const struct drops_ask *d, const struct where_ask *ask,
		   struct reader *r, struct where_need *need);

/* A host's tables, as far as they are asked for: -1 and NULL: any. */
struct tables_ask {
	const char *table, *chain;
	int backend, family;
};

enum { LOG_ENTRIES_MAX = 500, PATCH_LINES_MAX = 1000 };

/*
 * The changes of a host's tables in the window, newest first, at most `limit`:
 * {"host", "window": {"since", "until"}, "cut": older ones were left out, "first": when the host's tables were read first,
 *  "changes": [{"backend", "family", "table", "kind": first|created|changed|deleted, "at": first read that showed it, "after": last
 *   that did not (null: none), "since_uncertainty_ms": between both, null where the change was told as it happened,
 *   "changed_by", "content", "before": content (null: none), "torn", "unknown": why there is no patch, else null, "added", "removed",
 *   "chains": [...], "patch": null, or [{"chain", "op": +|-, "rule", "text"}], "patch_omitted": lines}]}
 * 0, -ENOENT: there is no such host, or -errno.
 */
int diagnose_rules_log(json_t **answer, const char *host, const struct tables_ask *which,
		       struct wall_ns since, struct wall_ns until, bool patch, size_t limit,
		       struct reader *r);

/* One side of a comparison: a host's tables at an instant, or the one with a content. */
struct tables_side {
	const char *host;
	const char *content; /* the beginning of its digits; NULL: as they stood at `at` */
	struct wall_ns at;
};

/*
 * What makes b's tables different from a's:
 * {"a": {"host", "at", "content"}, "b": ..., "equal": all of them are known and the same,
 *  "tables": those that differ or are not known: [{"backend", "family", "table", "a": content, "b": content (null: no such
 *   table), "torn", "unknown", "added", "removed", "chains", "patch", "patch_omitted"}]}
 * *side: 'a' or 'b', which one it is that fails: -ENOENT: there is no such host; -ESRCH: none of its tables is known at
 * that time (*first: when they were read first; 0 never), or has that content; -EEXIST: several contents begin so. 0 or -errno.
 */
int diagnose_rules_diff(json_t **answer, const struct tables_side *a, const struct tables_side *b,
			const struct tables_ask *which, struct reader *r, char *side,
			struct wall_ns *first);
