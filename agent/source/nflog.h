/*
 * The source of the administrator's own log groups.
 */
#pragma once

#include "agent/source/source.h"

extern const struct source_ops source_nflog;

/* True, once a second: so much was logged beyond NFLOG_RATE, as a loss. */
bool nflog_excess(struct source *s, struct boot_ns now, struct loss *l);
/* When to ask for it; 0: there is none. */
struct boot_ns nflog_due(const struct source *s);
