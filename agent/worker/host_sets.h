/*
 * The ipsets that a host's rules name: read like its tables, and told like them, one record a set.
 */
#pragma once

#include "agent/worker/host.h"

/* Rules name sets: they are read from now on, and at once. */
void sets_begin(struct host *h);
/* Reads them now and tells that they stand, or what they are. */
void sets_snapshot(struct host *h);
void sets_ask(struct host *h, struct boot_ns now);
/* When sets_ask() has something to ask; 0: not before its answer came, or never. */
struct boot_ns sets_due(const struct host *h, struct boot_ns now);
void sets_resend(struct host *h);
/* What is to be said of them among the sources. False: nothing. */
bool sets_fact(const struct host *h, struct source_fact *f);
void sets_clear(struct host *h);
