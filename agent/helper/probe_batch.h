/*
 * One transaction of the probe table while it is being written.
 */
#pragma once

#include <stdint.h>

#include "common/buf.h"

struct nlmsghdr;

struct probe_batch {
	struct buf buf;     /* owned: netlink messages, one after another */
	uint32_t seq;       /* of the last one */
	uint32_t table_seq; /* of the one that makes the table */
	int error;          /* the first that happened, -errno */
};

/* The names that belong to a lease: a letter and its id. */
enum { PROBE_NAME_MAX = 32 };
void probe_name(char name[static PROBE_NAME_MAX], char letter, uint64_t id);

/* The start of one message of the batch; room for MESSAGE_MAX bytes. */
enum { MESSAGE_MAX = 16 << 10 };
struct nlmsghdr *probe_message(struct probe_batch *b, void *room, uint16_t type, uint16_t flags);
/* Adds the message. */
void probe_add(struct probe_batch *b, const struct nlmsghdr *nlh);
/* Notes that memory was out: the batch will not be sent. */
void probe_failed(struct probe_batch *b);
