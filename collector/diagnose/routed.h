/*
 * Why a host's routing did not pass a packet on, by its rules, routes and settings as they stood then.
 */
#pragma once

#include "collector/diagnose/resolve.h"
#include "collector/stitch/routing.h"

/*
 * FORWARDING: it does not pass on what came in so. RULE: a rule of policy routing ends it; ROUTE: each route that may be meant is a blackhole
 * (unreachable, prohibit); NO_ROUTE: no rule leads to one that goes on.
 */
enum route_fault {
	ROUTE_FAULT_NONE,
	ROUTE_FAULT_FORWARDING,
	ROUTE_FAULT_RULE,
	ROUTE_FAULT_ROUTE,
	ROUTE_FAULT_NO_ROUTE
};

struct routed {
	enum route_fault fault;        /* NONE: none is known */
	const struct facts *facts;     /* of that time; NULL: not known */
	const struct facts_link *link; /* that it came in by; NULL: not known */
	struct routings ways;          /* of facts */
	struct routing by;             /* RULE, ROUTE: the first that ends it */
};

void routed_find(struct routed *out, const struct inquiry *q, const struct hop *h);
/* The ways of an answer to it that the host itself makes. */
void routed_answer(struct routed *out, const struct inquiry *q, const struct hop *h);
/* The ways back to its sender, which the reverse path filter asks for; fault is NONE. */
void routed_back(struct routed *out, const struct inquiry *q, const struct hop *h);

/* Does the interface pass on what comes in by it? */
enum forwards { FORWARDS_NOT, FORWARDS_MAYBE, FORWARDS };
enum forwards routed_forwards(const struct routed *r, uint8_t ip_version);
/* Each way is a route that leads on by some interface. */
bool routed_leads_on(const struct routed *r);
