/*
 * A path: the journeys of one packet on several hosts, in the order in which it met them.
 */
#pragma once

#include "collector/stitch/fleet.h"

/* How two neighbouring hops were joined, and how sure that is. */
#define LINKS(X) X(NONE, "") X(PACKET, "packet") X(NAT, "nat") X(ROUTE, "route")
enum link_kind {
#define X(id, text) LINK_##id,
	LINKS(X)
#undef X
};

#define LINK_SURETIES(X) X(NONE, "") X(SURE, "sure") X(LIKELY, "likely") X(AMBIGUOUS, "ambiguous")
enum link_surety {
#define X(id, text) LINK_SURETY_##id,
	LINK_SURETIES(X)
#undef X
};

const char *link_kind_name(enum link_kind k);
const char *link_surety_name(enum link_surety s);

struct hop {
	const struct stored_journey *sj; /* borrowed from the arena */
	enum link_kind link;             /* to the hop before; NONE on the first */
	enum link_surety surety;
	int64_t shift; /* ns, to be added to its times where they are shown (clocks.h) */
};

enum direction { DIRECTION_UNKNOWN, DIRECTION_ORIGINAL, DIRECTION_REPLY };

struct path {
	struct hop *hops;
	size_t hop_count;
	enum direction direction;
	bool answer; /* a host on the way made it (RST or ICMP of a REJECT) */
};

struct paths {
	struct path *list;
	size_t count, cap;
};

/*
 * Joins journeys into paths by fingerprint, time and TTL:
 *  1. journeys without a fingerprint stand alone, but for fragments (fragments.h)
 *  2. equal fingerprints, and fp_long equal where both are known
 *  3. within both clocks' errors plus 2 s
 *  4. the same host twice is the same packet only if it came back changed (with a lower TTL, translated as another
 *     hop left it, or from its own OUTPUT over lo); an equal one is another packet with equal contents, and so is
 *     one that shares neither an address nor a TTL step with any hop. It leaves the OUTPUT of one host alone,
 *     the same TTL is lowered once, and with one TTL it is received once, unless it is for many; it never had a
 *     higher TTL than it was sent with, unless a rule raised that
 *  5. a packet dies once, and is nowhere after: what the kernel freed with a deadly reason is the last of its path (by TTL, unless a
 *     rule raised it, and by time)
 *  6. order: falling TTL, OUTPUT first, who lowered it unseen, bridges, receivers, then time; where a rule raised the TTL, each is
 *     followed by the hop that fits best to how it left (order.h); halves of one passage are one (halves.h)
 *  7. a link is ambiguous where another packet with equal contents fits as well at its one end, and the times do not tell
 *     them apart: it is farther off by less than the clocks' errors and the time of a hop
 *  8. of several that may be joined the nearest in time are, in two rounds: what is at most 64 ms apart, then the rest
 *  9. in the first round those come first of which one left its host as the other came to its; then those that share an address or,
 *     with another TTL, nothing (a translator that nobody watches, an event that is missing)
 * 10. equal addresses with other ports join nothing where neither journey tells of a translation: a translator that nobody
 *     watches would have changed an address; they are two packets with equal contents (IPv6 has no id, a fingerprint no ports)
 */
int paths_join(struct paths *out, const struct stored_journey *list, size_t count,
	       struct arena *arena);

/* Adds it as the last; path_order() within paths_join() finds its place. */
int path_add_hop(struct path *p, const struct stored_journey *sj, struct arena *arena);

/* What all hops of a path have in common: its first hop's journey. */
const struct journey *path_packet(const struct path *p);
struct wall_ns path_first(const struct path *p);
struct wall_ns path_last(const struct path *p);

/* As it came to, and as it left a hop. */
const struct tuple *hop_tuple_in(const struct hop *h);
const struct tuple *hop_tuple_out(const struct hop *h);
/* What it came with, or what its sender gave it; 0 unknown. */
uint8_t journey_first_ttl(const struct journey *j);
uint8_t hop_ttl_in(const struct hop *h);  /* 0: it started here, or unknown */
uint8_t hop_ttl_out(const struct hop *h); /* 0: it ended here, or unknown */
enum hook hop_first_hook(const struct hop *h);
/* Wall time of a step by the offset known for its host: to be compared with what else that host told. */
struct wall_ns hop_step_at(const struct hop *h, const struct step *s);
/* When its last step was, whoever told it. */
struct wall_ns hop_ended(const struct hop *h);
/* Such a time as it is shown beside those of other hosts. */
struct wall_ns hop_shown(const struct hop *h, struct wall_ns at);
bool hop_reached(const struct hop *h, enum checkpoint c);
/* SYN, FIN, RST or ICMP error: never sampled away by a lease. */
bool journey_is_control(const struct journey *j);
