/*
 * One question while it is worked out: what is asked, the fleet as it stood in the window, and memory that ends with it.
 */
#pragma once

#include "collector/diagnose/suspects.h"

struct question {
	struct inquiry q; /* points into what follows: a question stays where it was opened */
	struct fleet fleet;
	struct arena arena;
	struct suspects_memo memo;
};

/* Loads what concerns ask's window, with at most `heap` bytes of memory; need: NULL, nothing is asked for. 0 or -errno; clear in any case. */
int question_open(struct question *q, const struct where_ask *ask, struct reader *r,
		  struct where_need *need, size_t heap);
/* Everything in its memory ends here; the answer does not, it is JSON. */
void question_clear(struct question *q);
