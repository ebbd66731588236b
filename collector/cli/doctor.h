/*
 * Known causes of trouble, looked for on every host. A finding stands only on what a host told, and carries it as its evidence;
 * what could not be looked at is said, and is no "nothing found".
 */
#pragma once

#include <jansson.h>

#include <stdbool.h>

struct screen;
struct view;

/* Adds what one entry of GET /api/v1/hosts shows to be wrong. */
void doctor_host(json_t *findings, const json_t *host);
/* Adds what an answer of GET /api/v1/counters shows. False: rules were not counted for long enough to tell. */
bool doctor_counters(json_t *findings, const json_t *answer);
