/*
 * Which way each packet goes: 1 of the list in flows.c.
 */
#pragma once

#include "collector/stitch/entries.h"
#include "collector/stitch/path.h"

/* Gives each path a direction; asked: the flow of the question, tuples: how many the paths bear in all. 0 or -ENOMEM. */
int directions_find(struct paths *paths, const struct entries *entries, const struct flow *asked,
		    size_t tuples, struct arena *arena);
