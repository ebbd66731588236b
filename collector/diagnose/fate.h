/*
 * The fate of one packet: where its path ended, and why, with the reason when that cannot be told.
 */
#pragma once

#include "collector/diagnose/suspects.h"
#include "collector/stitch/flows.h"

/* From the worst; the order in which they decide about a flow. */
#define VERDICTS(X) X(DROPPED, "dropped") X(REJECTED, "rejected") X(DISCARDED, "discarded") X(REFUSED, "refused")	\
	X(LOST, "lost") X(UNKNOWN, "unknown") X(LEFT, "left") X(DELIVERED, "delivered")
enum verdict {
#define X(id, text) VERDICT_##id,
	VERDICTS(X)
#undef X
};

#define DEATHS(X) X(NONE, "") X(RULE, "rule") X(POLICY, "policy") X(KERNEL, "kernel") X(SOCKET, "socket") X(LINK, "link")
enum death {
#define X(id, text) DEATH_##id,
	DEATHS(X)
#undef X
};

struct fate {
	enum verdict verdict;
	enum death death;
	const struct path *path;
	const struct hop *hop;         /* the last one; where it died, if it died */
	const struct step *step;       /* RULE, POLICY: the step that ended it */
	struct resolved resolved;      /* of step */
	const struct step *freed;      /* LABEL_KERNEL of the last hop; NULL none */
	struct suspects suspects;      /* DROPPED without a trace: rules that may have done it */
	const struct suspect *culprit; /* the only one of them; NULL none */
	const char *reason;            /* the kernel's name or ours; UNKNOWN: a sentence */
	const char *cause;       /* a cause's id that the evidence shows directly; NULL none */
	const char *next;        /* LOST: the host that it did not reach; all it may have been */
	bool next_sure;          /* it is one */
	const char *reject_with; /* REJECTED */
	const char *answered_by; /* death LINK: who said so from behind the last hop; NULL none */
	const struct journey *answer; /* ... by this ICMP error */
	const struct stored_conn
		*clash;   /* cause "nat-exhausted": who has what it was translated to */
	bool outside;     /* of the window: evidence about others, no more */
	bool observed;    /* else inferred */
	bool provisional; /* evidence may still be on its way */
};

/* Journeys, batches and commits take this long; before that silence means nothing. */
#define SETTLE_NS (700LL * NS_PER_MS)

const char *verdict_name(enum verdict v);
const char *death_name(enum death d);

/*
 * Decides about one path of a conversation. The first that holds wins:
 *  0. of copies (bridge, multicast, broadcast) the one that arrived decides, but not the sender's own; else what its last host
 *     saw. Where a host sends copies elsewhere (TEE), what ended behind it is unknown, unless it ended where it was to go (0a);
 *     so is what ended with addresses that nobody asked for behind an ambiguous link to them (0b)
 *  1. nft itself reported a drop, or a queue or another taker; what the kernel freed without a reason after a rule had sent it to a
 *     queue, the queue did not take, or its reader refused (1a)
 *  2. the last step is a DROP or REJECT rule, or a policy DROP: that ended it
 *  3. the kernel says that it freed the packet, with a reason that is a death (common/reasons.h): that ended it. A rule
 *     (NETFILTER_DROP) is named if it is the only one that can have done it (3a); where none can, and behind a hook's last
 *     checkpoint, it was connection tracking that did not take or confirm it: another connection may have its addresses. Reasons that are no deaths decide nothing, nor
 *     do packets that nobody misses (3b) or that were for everybody on the link and that a host did not want (3c)
 *  4. it reached INPUT's last checkpoint: delivered; refused when the host's own OUTPUT then answered with RST or
 *     port unreachable; discarded when its TCP did not answer a SYN (4a, unanswered.h): it came again, or no route leads back, while
 *     an answer would have been seen
 *  5. it left by POSTROUTING's last checkpoint: an ICMP error of that host says what went wrong behind it (5a), or one that
 *     somebody further on made (5e, foreign.h), unless the next host told of the packet; the next hop has no agent: left (5b); the next hop (each that its routes allow) must have selected it, lost no evidence, and
 *     saw nothing: lost (5c); else unknown (5d), as where more packets matched than one question looks at (5f)
 *  6. nothing but such a reason is known of it: unknown; where the kernel gives none, and the host's routing rules and routes
 *     of that time leave it only a blackhole (or unreachable, prohibit), that one swallowed it (6a); where nobody traced it and a rule hands such packets to a
 *     queue, that one did not take it (6b)
 *  7. it ended between two hooks with every step accepting: if no evidence can be missing the kernel discarded it
 *     there, and facts or ICMP errors may say why; else unknown, with what is missing
 */
void fate_of(struct fate *out, const struct inquiry *q, const struct conversation *c,
	     const struct path *p);
