/*
 * Asks: questions to the store that the loop must not wait for. Work runs on libuv's threads, each time with a
 * reader that no other work uses meanwhile; what it found is taken up on the loop.
 */
#pragma once

#include <uv.h>

#include "collector/store/store.h"

struct asks;

/* The store is borrowed and must stay until asks_free(). */
int asks_new(struct asks **out, uv_loop_t *loop, struct store *s);
/*
 * Runs work(arg, reader) on a thread, then done(arg) on the loop. The reader is NULL when the store gives none.
 * -EAGAIN: too many wait already; neither is called.
 */
int asks_run(struct asks *a, void (*work)(void *arg, struct reader *r), void (*done)(void *arg),
	     void *arg);
/* After the loop has ended; NULL is fine. */
void asks_free(struct asks *a);
