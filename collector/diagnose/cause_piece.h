/*
 * The pieces that cause objects are made of, as `where` prints them.
 */
#pragma once

#include <jansson.h>

enum { SENTENCE_MAX = 768 };

/* Appends a cause and returns its evidence array (borrowed). */
json_t *cause_add(json_t *causes, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void cause_evidence(json_t *evidence, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Gives the last cause a command that was checked. */
void cause_fix(json_t *causes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What is to blame for the last cause; takes the object. */
void cause_culprit(json_t *causes, json_t *culprit);
