/*
 * The words of the answer: hops, steps and ends as JSON objects. Every key is always there; what is unknown or does
 * not apply is null.
 */
#pragma once

#include "collector/diagnose/ruling.h"
#include "collector/diagnose/value.h"

const char *direction_name(enum direction d);
/* "SYN", "echo-request" ... */
void packet_text(const struct journey *j, char text[static 32]);

/*
 * One hop. peers: other paths of the conversation, which may have met the NAT rule that this packet's connection
 * was translated by; NULL none. f: its fate when it is the last hop, else NULL.
 */
json_t *json_hop(const struct inquiry *q, const struct hop *h, const struct conversation *c,
		 const struct fate *f, enum direction d);
/* What stands between two neighbouring hops and is not watched: "stranger" of the second one; null: nothing, or no hop before. */
json_t *json_stranger(const struct inquiry *q, const struct hop *before, const struct hop *h,
		      enum direction d);
/* What became of a's addresses, as [{"kind", "from", "to", "rule_text": null}]: dnat, snat. */
json_t *json_translation(const struct tuple *a, const struct tuple *b, enum direction d);
json_t *json_died_at(const struct inquiry *q, const struct fate *f);
/* Who made a table what it is; null: not known. */
json_t *json_changed_by(const struct stored_table *t);
/* Milliseconds between the reads around a change; null: there is none before, or who made it was told as it happened. */
json_t *json_uncertainty(struct wall_ns before, struct wall_ns since,
			 const struct stored_table *by);
