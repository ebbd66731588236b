/*
 * What our BPF programs write into the ring that the worker reads. Fixed layouts of whole words: the programs, the helper and
 * the worker share them.
 */
#pragma once

#ifndef __BPF__
#include <stdint.h>
#endif

enum {
	EVENT_PACKET_MAX = 96,   /* bytes from the network header on */
	EVENT_COMMAND_MAX = 512, /* bytes of a command line; arguments are parted by NUL */
	EVENT_COMM = 16,
	EVENT_TABLE = 32,
	EVENT_REASONS = 256, /* reasons that are counted apart; the last one is for all others */
	EVENT_HOSTS = 64,    /* slots of namespaces */
	EVENT_TUPLE = 40,    /* struct nf_conntrack_tuple of the kernel */
};

enum event_kind { EVENT_DROP = 1, EVENT_CHANGE = 2 };

/* What conntrack knows of a packet. Without a connection none translates it. */
enum event_tracked { EVENT_TRACKED_UNKNOWN, EVENT_TRACKED, EVENT_NOT_TRACKED };

/* The kernel freed a packet in a watched namespace. */
struct drop_event {
	uint32_t kind;
	uint32_t host;     /* the namespace's slot */
	uint64_t at;       /* CLOCK_BOOTTIME, ns */
	uint32_t reason;   /* enum skb_drop_reason of this kernel */
	uint32_t hooks;    /* 1 << enum hook, where it may have been; 0: not known */
	uint32_t dev, iif; /* ifindex of skb->dev, of where it came in; 0: none */
	uint32_t mark;
	uint32_t len;      /* of the packet, from the network header on */
	uint16_t protocol; /* ETH_P_*, host order */
	uint16_t captured;
	uint8_t mac[6];   /* of the frame's sender; zero: not known */
	uint8_t outgoing; /* 1: dev is the one that it was to leave by */
	uint8_t tracked; /* EVENT_TRACKED: `came` holds how it looked before this host translated it */
	uint8_t packet[EVENT_PACKET_MAX];
	uint8_t came[EVENT_TUPLE];
};

/* A legacy table was replaced. */
struct change_event_raw {
	uint32_t kind;
	uint32_t host;
	uint64_t at;
	uint32_t pid, uid, loginuid; /* pid: of the process. loginuid ~0: none */
	uint32_t family;             /* 4 or 6 */
	uint32_t command_len;
	char comm[EVENT_COMM];
	char table[EVENT_TABLE];
	char command[EVENT_COMMAND_MAX];
};
