/*
 * One record of the audit log, as far as it tells who changed a table. Records of one event have one serial: first the tables
 * (TABLE, one or more), then, where the process is audited at all, who called (CALL), and how it was started (TITLE). Only types
 * that the kernel alone may write are looked at: what programs write into the log (AUDIT_USER and the like) never is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/limits.h"

/* SWITCH: auditing was turned on or off. */
#define AUDIT_KINDS(X) X(TABLE, "table") X(CALL, "call") X(TITLE, "title") X(SWITCH, "switch")
enum audit_kind {
#define X(id, text) AUDIT_KIND_##id,
	AUDIT_KINDS(X)
#undef X
};

struct audit_record {
	enum audit_kind kind;
	struct wall_ns at; /* when the system call began, in whole milliseconds */
	uint32_t serial;
	bool legacy;            /* TABLE */
	bool on;                /* SWITCH */
	uint8_t family;         /* TABLE: FAMILY_IPV4 ..., as far as legacy */
	uint32_t generation;    /* TABLE of nftables */
	uint32_t pid;           /* TABLE, CALL: of the process, as the first pid namespace has it */
	uint32_t uid, loginuid; /* CALL; ~0: none */
	char table[33];         /* TABLE, legacy */
	char program[17];       /* TABLE, CALL */
	char command[COMMAND_MAX +
		     1]; /* TITLE: words parted by COMMAND_BREAK; the kernel cuts it at 128 bytes */
};

/*
 * Reads a record of this type. 1; 0: it tells nothing of tables; -EBADMSG: it may, but cannot be read for certain. A name of a table
 * of nftables may hold anything, spaces and equals signs too, and the kernel prints it as it is: a record in which a field stands
 * twice is refused.
 */
int audit_read(struct audit_record *r, uint16_t type, const char *text, size_t len);
/* Lets only records of those types come, or none at all. 0 or -errno. */
int audit_listen(int fd, bool on);
