/*
 * The routes: one table says what can be asked, does it, and explains itself to who asked for something else.
 */
#pragma once

#include "collector/api/exchange.h"

/* What handlers need of the API. */
struct api {
	struct api_options o;
	struct wall_ns started;
	uint16_t port; /* that we listen on */
	bool stopping;
	struct lws_context *context;  /* owned */
	struct answer_where *waiting; /* questions that wait for a ruleset to be read once more */
};

/* Answers x, now or later. */
void route(struct exchange *x);

void get_where(struct exchange *x);
void get_journeys(struct exchange *x);
void get_groups(struct exchange *x);
void get_nat(struct exchange *x);
void get_counters(struct exchange *x);
void get_drops(struct exchange *x);
void get_hosts(struct exchange *x);
void get_trace(struct exchange *x);
void post_trace(struct exchange *x);
void delete_trace(struct exchange *x);
void get_rules(struct exchange *x);
void get_rules_log(struct exchange *x);
void get_rules_diff(struct exchange *x);
void get_status(struct exchange *x);
/* answer_where.c's: ends what still waits. */
void where_stop(struct api *a);
