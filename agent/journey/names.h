/*
 * Names of tables and chains, kept once: thousands of steps name the same few.
 */
#pragma once

#include <stddef.h>

struct names;

/* Memory for at most max bytes of names. */
int names_new(struct names **out, size_t max);
/* The kept copy; valid until names_reset(). NULL when there is no room. */
const char *names_keep(struct names *n, const char *text);
void names_reset(struct names *n);
void names_free(struct names *n);
