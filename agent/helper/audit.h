/*
 * The audit log's socket. The kernel sends its records to the initial network namespace only, and says whether auditing is on only
 * to those who may change that. So both are looked for at the start, while the helper may do everything; nothing of
 * auditing's state is ever changed.
 */
#pragma once

#include "agent/helper/ipc.h"
#include "agent/helper/netns.h"
#include "common/why.h"

struct audit_place {
	struct netns
		initial; /* the initial namespace; without a descriptor: where we stand, since it is out of reach */
	enum helper_auditing auditing;
};

/* To be called before the privileges are given up. */
void audit_look(struct audit_place *a);
/* A non-blocking fd that delivers the log's records, or -errno with why. */
int audit_open(const struct audit_place *a, struct why *why);
void audit_clear(struct audit_place *a);
