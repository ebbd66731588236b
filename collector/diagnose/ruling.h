/*
 * The ruling about one conversation: from the fates of its packets to the verdict that a person reads.
 */
#pragma once

#include "collector/diagnose/fate.h"

struct ruling {
	const struct conversation *conv;
	struct fate *fates; /* of its packets; originals first, then replies */
	size_t fate_count, original_count;
	size_t inside; /* packets of the window; 0: the conversation has none */
	const struct fate *
		decisive; /* the newest packet with the fate that decided; NULL when nothing was seen */
	enum verdict verdict;
	enum direction direction; /* of the decisive packet */
	bool partial;             /* others of that direction arrived */
	bool reply_seen;
	bool provisional;
	enum verdict tracked; /* 3a: how it went on, as connection tracking tells */
	bool tracked_reply;
	const char *reason;         /* verdict unknown: what is missing */
	size_t packets;             /* that share the decisive fate */
	struct wall_ns first, last; /* of those */
	const struct fate *
		healed; /* the newest death before a change after which such packets arrive, or before another one passed (3a); NULL none */
};

/*
 * Rules about a conversation:
 *  0. packets outside the window that was asked for are evidence about those in it; their own fates do not count
 *  1. an RST from a host that rejected a packet of it is that host's answer, no reply
 *  2. a packet that the other side acknowledged arrived, whatever was seen of it
 *  3. a segment of which any transmission arrived has arrived, and data that the other side acknowledged, however it was cut
 *  3a. of a SYN that died connection tracking tells that a later one passed there, unless another flow bore these addresses
 *     (private ones of two sites, a port used again, zones): how the flow went on, it tells, too
 *  4. deaths before a change of their host's tables after which packets of the same kind arrive are healed: they do not decide; so are
 *     what routing ended before a change of its routes and settings, and what nobody listened for where somebody does later
 *  5. of the other deaths the worst decides, the newest among equals
 *  6. without deaths: delivered when a packet arrived or a reply was seen; else left; else unknown
 */
struct rulings {
	struct ruling *list; /* in the arena; newest conversation last */
	size_t count;
	bool cut; /* more journeys matched than were looked at */
};

/* One about each conversation that matches and has a packet in the window. Looks at so many journeys, the newest. Sets q's whole_from. 0 or -errno. */
int rulings_make(struct rulings *out, struct inquiry *q, size_t journeys);

/* Is the packet one of those whose fate decided? */
bool ruling_counts(const struct ruling *r, const struct fate *f);
/* Do two fates name the same end? */
bool fate_same(const struct fate *a, const struct fate *b);
/*
 * The packet that shows a direction best: the one that decided (or that ended likewise and was seen on more hosts), else the one that met the most steps on the most hosts. NULL:
 * nothing was seen of it.
 */
const struct fate *ruling_shown(const struct ruling *r, enum direction d);
