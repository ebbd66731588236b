/*
 * Rules of the probe table that compare packets with a lease's patterns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/helper/draft.h"
#include "agent/helper/shape.h"

/* A set of the ICMP types that are errors, which the table must have. */
#define ICMP_ERRORS "icmp_errors"

/*
 * Where a pattern's fields are looked for: the packet's own headers, or what an ICMP error embeds,
 * either way round; the origin of the connection that it belongs to, or that it is an ICMP error about.
 */
enum form {
	FORM_HEADER,
	FORM_HEADER_BACK,
	FORM_EMBEDDED,
	FORM_EMBEDDED_BACK,
	FORM_ORIGIN,
	FORM_ORIGIN_OF_ERROR
};

/* The rule goes on for packets of this family (4 or 6), of this protocol, for ICMP errors of this family. */
void match_family(struct draft *d, uint8_t family);
void match_proto(struct draft *d, uint8_t proto);
void match_icmp_error(struct draft *d, uint8_t family);

/* One rule: a packet that has one of the set's keys, forward or backward, gets the verdict. */
void match_shape(struct probe_batch *b, const char *chain, const struct shape *s, const char *set,
		 bool backward, int verdict, const char *target);
/*
 * One rule: a packet that has what p fixes, at the place that form names, gets the verdict as long as the set `until`
 * has elements.
 */
void match_pattern(struct probe_batch *b, const char *chain, const struct pattern *p,
		   enum form form, const char *until, int verdict, const char *target);
