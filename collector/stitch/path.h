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

struct entries;

/* What else is known of the hosts and of connections through them; any may be NULL. */
struct around {
	const struct fleet *fleet;
	const struct entries *entries;
};

/*
 * Joins journeys into paths by fingerprint, time and TTL. Contents are common where no number in the headers tells packets apart: no TCP,
 * and no id of IPv4. Then other senders' packets have the same fingerprint.
 *  1. journeys without a fingerprint stand alone, but for fragments (fragments.h)
 *  2. equal fingerprints, and fp_long equal where both are known
 *  3. within both clocks' errors plus 2 s
 *  4. of any two one came first: nothing does before OUTPUT; after INPUT's last checkpoint, and with a higher TTL than it left with (unless a
 *     rule raised that), nothing follows. With one TTL it is received once. What is for many is received by many, and goes on. The same host
 *     twice is the same packet only if it came back: with a lower TTL (common contents: as a hop left it, or connection tracking made
 *     it), with the same one as another hop made it, or from its own OUTPUT over lo; an equal one is another packet with equal contents
 *  5. a packet dies once, and is nowhere after: what the kernel freed with a deadly reason, or nftables dropped, is the last of its path (by TTL,
 *     unless a rule raised it, and by time)
 *  6. order: falling TTL, OUTPUT first, who lowered it unseen, bridges, receivers, then time; where a rule raised the TTL, each is
 *     followed by the hop that fits best to how it left (order.h); halves of one passage are one (halves.h)
 *  7. a link is ambiguous where another packet with equal contents fits as well at its one end, and the times do not tell
 *     them apart: it is farther off by less than the clocks' errors and the time of a hop
 *  8. of several that may be joined the nearest in time are, in two rounds: what is at most 64 ms apart, then the rest. Common contents are
 *     joined in the second one only by what left as the other came, or by connection tracking, unless nobody else has them
 *  9. in the first round those come first of which one left its host as the other came to its; then those of which connection tracking on a
 *     host between tells that it made the one of the other; then those that share an address or, with another TTL, nothing (a
 *     translator that nobody watches, an event that is missing). With one TTL from host to host nobody has translated, but a bridge that is
 *     seen; no more than 32 routers that nobody watches are taken for between hosts that common contents passed, and
 *     who was not seen to leave has not left under other addresses: where it ended may not have been told yet
 * 10. equal addresses with other ports join nothing where neither journey nor connection tracking tells of a translation: a translator that
 *     nobody watches would have changed an address; they are two packets with equal contents (IPv6 has no id, a fingerprint no ports)
 */
int paths_join(struct paths *out, const struct stored_journey *list, size_t count,
	       const struct around *around, struct arena *arena);

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
