/*
 * What a host's routing may do with a packet, as far as its facts tell: its rules in order, the best routes of the tables that
 * they name. What a rule asks for and nobody knows (often the mark) leaves several outcomes, and all are told.
 */
#pragma once

#include "common/journey.h"
#include "common/record.h"

struct routing_ask {
	struct tuple t;   /* as it is routed: behind DNAT, before SNAT */
	const char *iif;  /* borrowed; "": the host made it; NULL: not known */
	bool ports_known; /* else no port is, even if t has some */
	bool mark_known;
	uint32_t mark;
};

/* One outcome. Neither rule nor route: no rule led to a route. */
struct routing {
	const struct facts_rule *rule;   /* that chose it; NULL: not known */
	const struct facts_route *route; /* NULL: the rule itself ends the packet */
};

enum { ROUTINGS_MAX = 16, ROUTING_RULES_MAX = 12 };

struct routings {
	bool known; /* all that may become of it is in the list */
	bool more;  /* ... had there been room */
	struct routing list[ROUTINGS_MAX];
	size_t count;
	/* The rules that are for it, or may be, and lead to a table; in order. */
	const struct facts_rule *asked[ROUTING_RULES_MAX];
	size_t asked_count;
};

/*
 * Of facts without rules (an old agent's), or that are not whole: the best routes of each table, and `known` is false. Routes of one
 * prefix and metric are all best.
 */
void routings_find(struct routings *out, const struct facts *f, const struct routing_ask *ask);

/* How a packet was routed on a host that saw it so: j as it came, its last tuple behind all NAT. */
struct routing_ask routing_ask_of(const struct journey *j);
/* The same way back: is the sender reached by where the packet came from? */
struct routing_ask routing_ask_back(const struct journey *j);

/* Does the route end packets: blackhole, unreachable, prohibit? */
bool route_swallows(const struct facts_route *r);
/* The next hop's interface; "" not known. */
const char *route_device(const struct facts *f, const struct facts_route *r);

enum { ROUTING_TEXT_MAX = 256 };
/* In the words of ip-rule and ip-route. */
void routing_rule_print(const struct facts_rule *r, char text[static ROUTING_TEXT_MAX]);
void route_print(const struct facts *f, const struct facts_route *r,
		 char text[static ROUTING_TEXT_MAX]);
