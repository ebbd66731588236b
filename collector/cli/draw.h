/*
 * The pieces that screens share: endpoints, rules, steps, whole hops.
 */
#pragma once

#include <jansson.h>

#include "collector/cli/screen.h"
#include "common/clock.h"

/* Where an answer is looked at. */
struct view {
	struct wall_ns now;
	bool detail;      /* everything, our own checkpoints included */
	bool rules;       /* no folding: each rule, with its text */
	bool at_shown;    /* the hop's time stands above already */
	const char *flow; /* as typed, for commands to try next; borrowed */
};

enum { DRAW_NAME_MAX = 512 };

/*
 * "10.0.0.1:443", "[2001:db8::1]:443" of one end ("src", "dst") of a tuple; "any" when it is not known. proto says
 * whether there are ports; NULL: if the tuple has them.
 */
void draw_endpoint(char text[static DRAW_NAME_MAX], const json_t *tuple, const char *proto,
		   const char *end);
/* "filter/INPUT rule 3", "filter/INPUT policy DROP" of a step or a died_at. */
void draw_place(char text[static DRAW_NAME_MAX], const json_t *step);
/* " at HOST PLACE" of a died_at. */
void draw_at(struct screen *s, const json_t *died);
/* The comment in a rule's text, without quotes; false when there is none. */
bool draw_comment(char text[static DRAW_NAME_MAX], const char *rule_text);
/* What stands between two hops and is not watched, and what it did: a line, and one for each translation. Nothing for null. */
void draw_stranger(struct screen *s, const json_t *stranger, const char *lead, const char *below);
/* A rule's text; of one that killed, the criteria that matched and the target are marked. */
void draw_rule(struct screen *s, const char *rule_text, bool killed);
/* All the steps of a hop, folded unless detail; lead stands before each line. */
void draw_steps(struct screen *s, const json_t *hop, const struct view *v, const char *lead);
/*
 * "dropped", "accepted" ... of a hop. One packet's journey alone carries no verdict: then what its last step says, or
 * NULL.
 */
const char *draw_outcome(const json_t *hop);
/* Did connection tracking alone tell of this hop? Then there is no packet of it. */
bool draw_tracked(const json_t *hop);
/* Did the kernel itself say at the end of this hop that it freed the packet? */
bool draw_freed(const json_t *hop);
/* Did the packet end on this hop? */
bool draw_ended(const json_t *hop);
/* "  window 06:40 – 06:55 UTC" of an answer: a line; the time stands in this column. */
void draw_window(struct screen *s, const json_t *answer, const struct view *v, int column);
/* "lost 12 events of trace-nft at 06:52:07": the rest of a line. */
void draw_loss(struct screen *s, const json_t *loss, const struct view *v);
