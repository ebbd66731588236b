/*
 * A source turns what the kernel says on one socket into plain events. It never opens a socket (the
 * helper does), knows no loop, and sees neither protobuf nor the collector.
 */
#pragma once

#include "common/ether.h"
#include "common/packet.h"
#include "common/record.h"

/*
 * One thing that a traced packet met. Valid only during the call that hands it over. A legacy trace event
 * carries the packet; an nft one carries it in the first event of each base chain only.
 */
struct trace_event {
	struct step step;        /* table and chain point into the message; tuple index unused */
	struct boot_ns received; /* step.at may be the kernel's earlier time */
	uint32_t trace_id;       /* nft; 0: none */
	bool has_packet;
	struct packet packet;
	bool logged;        /* LOG: by one of the groups that we were told to read */
	bool traced_before; /* a checkpoint: the packet was traced when it came to that chain */
	bool has_came; /* KERNEL: `came` is what the packet bore as it came to this host, translated since or not */
	struct tuple came;
	char in_if[IFNAME_MAX + 1], out_if[IFNAME_MAX + 1];
	struct ether ether; /* of the frame that brought it */
	uint32_t mark;
	int32_t priority; /* of the base chain, where the event tells or implies it */
	bool priority_known;
};

enum {
	COMMAND_BREAK = '\x1f'
}; /* between the words of a command line, which may have blanks of their own */

struct table_change;
struct audit_record;

/* Where a source's findings go. Members that a source does not use may be NULL. */
struct sink {
	void *arg;
	void (*trace)(void *arg, struct trace_event *e); /* may change it */
	void (*conn)(void *arg, const struct conn *c);
	void (*loss)(void *arg, const struct loss *l);
	void (*facts_changed)(void *arg); /* links, addresses or routes: dump again */
	void (*facts)(void *arg, const struct facts *f);            /* the answer to host_dump() */
	void (*link)(void *arg, int32_t ifindex, const char *name); /* "": it is gone */
	void (*done)(void *arg, int error); /* a conntrack dump has ended: 0 or -errno */
	void (*stats)(void *arg,
		      const struct conntrack_stats *s); /* of connection tracking, all of them */
	void (*changed)(void *arg, const struct table_change *c); /* somebody changed a table */
	void (*audit)(void *arg, const struct audit_record *r, struct boot_ns now);
};

/* if_indextoname is not ours to ask (another namespace): the source keeps names from the host's facts. */
struct ifnames;

struct source {
	const struct source_ops *ops;
	int fd;                      /* owned; -1 none */
	const struct ifnames *names; /* borrowed */
	uint32_t seq;                /* legacy: the next sequence number expected */
	bool seq_known;
	bool overrun;        /* the kernel said that it dropped some; the count is to come */
	struct boot_ns last; /* of the last message: where a loss span starts */
	int64_t offset;      /* boot_minus_wall() at offset_at */
	struct boot_ns offset_at;
	struct boot_ns empty; /* what the kernel had put into the socket by then is read */
	uint32_t portid;      /* the socket's own: tells answers from notifications */
	bool shut;            /* since it was opened, nobody but the kernel gets through */
	bool asks_sender;     /* but what waits may still be another's */
	void *state;          /* owned, by ops: NULL until needed */
};

struct source_ops {
	const char *name; /* as in hosts: trace-legacy, trace-nft, conntrack, host */
	/* Decodes one datagram of netlink messages. 0, or -errno when it must be given up. */
	int (*decode)(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
		      const struct sink *out);
	bool counts;                     /* sequence numbers tell how much an overrun took */
	void (*clear)(struct source *s); /* frees state; NULL when there is none */
};

extern const struct source_ops source_trace_legacy, source_trace_nft, source_conntrack, source_host,
	source_changes_nft, source_stats, source_audit;

/* Takes fd, which is set non-blocking; -1 for a source that is only fed. */
void source_init(struct source *s, const struct source_ops *ops, int fd,
		 const struct ifnames *names);
/* Closes the socket. The object may be initialized again. */
void source_clear(struct source *s);
/*
 * Reads until the socket is empty or `max` datagrams came. The number read, or -errno. An overrun (ENOBUFS) is
 * a loss of unknown size, except where sequence numbers tell it.
 */
int source_drain(struct source *s, int max, const struct sink *out);
/* Until when everything is read that the kernel has put into the socket; now, where nothing waits or nothing is open. */
struct boot_ns source_read_until(struct source *s, struct boot_ns now);
/* The last word before source_clear(): an overrun whose count never came is a loss of unknown size. */
void source_finish(struct source *s, const struct sink *out);
