/*
 * The sockets that the worker reads: opened, bound, joined and asked here, since the worker may do
 * none of that. All of it runs in the namespace that the socket is for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/helper/ipc.h"
#include "common/why.h"

enum { RCVBUF_SOURCE = 8 << 20, RCVBUF_MAX = 64 << 20 };

struct nlmsghdr;

/* A close-on-exec netlink socket with an address. The fd or -errno. */
int netlink_open(int protocol);
/*
 * Makes the socket's buffers this large, or as large as allowed; a send of 0 leaves that one. 0 or
 * -errno.
 */
int netlink_buffers(int fd, int receive, int send);

/* Does anybody hold netfilter log group 0 in the calling thread's namespace? */
bool group0_taken(void);
/* A non-blocking fd that delivers the source's events, or -errno with why. */
int source_open(enum helper_source source, struct why *why);
/*
 * A non-blocking fd that delivers what is logged to those of q's groups that nobody else has bound; *bound: which. -errno when there
 * are none. why: what hinders the others.
 */
int nflog_open(const struct helper_request *q, uint32_t *bound, struct why *why);
/* A non-blocking fd from which the whole conntrack table can be read, or -errno with why. */
int conntrack_dump_open(struct why *why);
/* The same for its statistics: of the table, then of each CPU. */
int stats_dump_open(struct why *why);
/*
 * Sets the receive buffer of a netlink socket, at most RCVBUF_MAX. got: what the kernel made of it.
 * 0 or -errno.
 */
int socket_rcvbuf(int fd, uint32_t wanted, uint32_t *got);
