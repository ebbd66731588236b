/*
 * The tables of one host: when to ask for them, and what becomes of the answers.
 */
#pragma once

#include "agent/worker/host.h"

/* Asks for what is due, one question at a time. */
void tables_ask(struct host *h, struct boot_ns now);
/* Tells that the tables stood, once the sources are read until then. */
void tables_tell(struct host *h, struct boot_ns now);
/* When tables_ask() has something to ask; 0: not before its answer came. */
struct boot_ns tables_due(const struct host *h, struct boot_ns now);
/* Tells the changes that wait for who made them. */
void tables_release(struct host *h);
/* The last that is told of them: until when they stood for certain. */
void tables_ended(struct host *h);
/* Tells all that stands once more. */
void tables_resend(struct host *h);
