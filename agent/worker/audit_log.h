/*
 * The socket of the audit log, one for all hosts: opened by the helper, drained here into audit.h. Where the log alone tells that
 * a legacy table changed, the tables of all hosts are looked at, at once, but all that looking together costs no more than 1 % of a core.
 */
#pragma once

#include "agent/worker/audit.h"
#include "agent/worker/calm.h"
#include "agent/worker/hosts.h"

struct audit_log {
	struct hosts *hosts; /* borrowed */
	struct link *link;   /* borrowed */
	void (*watch)(void *arg, int fd);
	void *arg;
	enum opening opening;
	char why[WHY_MAX + 1];
	struct source source;
	struct calm calm;
	bool look;              /* a legacy table changed somewhere */
	struct boot_ns look_at; /* not before this */
	struct audit audit;
};

/* Asks the helper for it. watch: a descriptor to poll for reading, for good: then call audit_log_read(). */
void audit_log_open(struct audit_log *l, struct hosts *hosts, struct link *link,
		    void (*watch)(void *arg, int fd), void *arg);
/* Takes what came. alone: nobody else tells who changed legacy tables. True: there was something. */
bool audit_log_read(struct audit_log *l, bool alone);
/* Does what is due; when it wants to be called next, 0: never. */
struct boot_ns audit_log_tick(struct audit_log *l, struct boot_ns now);
/* False: it is not known yet. */
bool audit_log_fact(const struct audit_log *l, struct source_fact *f);
void audit_log_clear(struct audit_log *l);
