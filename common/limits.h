/*
 * What a peer, a host or a file can make us hold, as far as agent, helper and collector must agree on it. What bounds the work of one file
 * stands there.
 */
#pragma once

enum {
	/* The wire (common/frame.h, common/msg.h). */
	FRAME_HEAD = 4,               /* big-endian length of what follows */
	FRAME_MAX = 256 << 10,        /* bytes after the length */
	FRAME_INFLATED_MAX = 1 << 20, /* declared and real size of a compressed body */
	MSG_HEAP_MAX = 16 << 20,      /* heap that decoding one frame may take */
	BATCH_TARGET = 32 << 10,      /* a batch is closed at this size ... */
	BATCH_AGE_MS = 50,            /* ... or at this age */
	BATCH_RECORDS_MAX = 4096,
	BATCH_NAMES_MAX = 65536,
	PART_MAX = 128 << 10,   /* one piece of a content */
	CONTENT_MAX = 64 << 20, /* the text of one table */
	UNACKED_MAX = 64,       /* batches in flight before the agent waits */

	/* Names. */
	ID_MAX = 63, /* [A-Za-z0-9._-], once more after a '/' */
	HOST_MAX = 2 * ID_MAX + 1,
	IFNAME_MAX = 15,
	TABLE_NAME_MAX = 63,        /* nft allows more; longer ones are cut */
	CHAIN_NAME_MAX = 255,       /* as nftables; kube-proxy's are long */
	TABLE_CHAINS_MAX = 1 << 18, /* of one table; a chain costs more than its name */
	LOG_PREFIX_MAX = 128,
	SET_NAME_MAX = 31, /* of an ipset */
	COMMAND_MAX = 512, /* of who changed a table */
	AUTHORS_MAX = 4,   /* who may have */
	WHY_MAX = 199,

	/* Ipsets that rules name. */
	IPSETS_MAX = 128,            /* of one host */
	IPSET_ENTRIES_MAX = 1 << 16, /* of one set */
	IPSETS_BYTES_MAX = 16 << 20, /* of text, of one host */

	/* Evidence. */
	HOSTS_PER_AGENT = 64,
	STEPS_MAX = 256,              /* of one journey */
	TUPLES_MAX = 8,               /* of one journey */
	JOURNEYS_OPEN_MAX = 4096,     /* being assembled, per agent */
	JOURNEY_IDLE_MS = 200,        /* after its last step */
	COUNTERS_SECONDS = 10,        /* between two reads of the counters, unless configured ... */
	COUNTERS_SECONDS_MAX = 600,   /* ... up to this */
	CONNTRACK_RATE = 20000,       /* events a second, unless configured ... */
	CONNTRACK_RATE_MAX = 1000000, /* ... up to this */
	COUNTER_ENTRIES_MAX = 2048,   /* of one record */
	COUNTER_PARTS_MAX = 4096,     /* records of one read of a table */
	SPOOL_MAX = 16 << 20,         /* bytes that wait for the collector in memory */

	DROPS_RATE = 1000, /* drops a second that are told one by one; the others are counted */
	FACTS_RULES_MAX = 1024, /* of policy routing; both families */
	NFLOG_GROUPS_MAX = 8,
	NFLOG_RATE = 1000, /* logged packets a second and host; the others are counted */

	/* Leases; compiled into the helper, local configuration can only lower them. */
	LEASES_MAX = 8,
	LEASE_SECONDS_MAX = 15 * 60,
	LEASE_RATE_MAX = 10000, /* packets a second, per host and lease */
	PATTERNS_MAX = 32,      /* per lease and host */
};
