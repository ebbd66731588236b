/*
 * What the files of a host share with each other, and nobody else.
 */
#pragma once

#include "agent/worker/host.h"

/* Puts the record into the spool as this host's; what is refused the spool counts. */
void host_emit(struct host *h, struct record *r);
/* Asks the helper for the source unless it is open or asked for; closes it. */
void host_open(struct host *h, enum slot slot);
void host_close(struct host *h, enum slot slot);
/* Who changed its tables; made when there is something to keep; NULL: no memory. */
struct changes *host_changes(struct host *h);
const char *host_slot_name(enum slot slot);
