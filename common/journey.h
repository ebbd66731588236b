/*
 * A journey: one packet's passage through one host, as facts. Nothing here says what a rule meant or
 * what ended the packet; the collector decides that when it is asked.
 */
#pragma once

#include "common/addr.h"
#include "common/clock.h"
#include "common/ether.h"
#include "common/limits.h"

/* In the order in which a packet can meet them. */
#define HOOKS(X) X(NONE, "") X(INGRESS, "INGRESS") X(PREROUTING, "PREROUTING") X(INPUT, "INPUT")	\
	X(FORWARD, "FORWARD") X(OUTPUT, "OUTPUT") X(POSTROUTING, "POSTROUTING") X(EGRESS, "EGRESS")
enum hook {
#define X(id, text) HOOK_##id,
	HOOKS(X)
#undef X
	HOOK_COUNT
};

/* IPSET is no firewall: a set that rules name is kept like a table, and no packet has a step there. */
#define BACKENDS(X) X(LEGACY, "legacy") X(NFT, "nft") X(NATIVE, "native") X(IPSET, "ipset")
enum backend {
#define X(id, text) BACKEND_##id,
	BACKENDS(X)
#undef X
	BACKEND_COUNT
};

/* The table's family, in the words of our JSON. */
#define FAMILIES(X) X(NONE, "") X(IPV4, "ipv4") X(IPV6, "ipv6") X(INET, "inet") X(ARP, "arp")	\
	X(BRIDGE, "bridge") X(NETDEV, "netdev")
enum family {
#define X(id, text) FAMILY_##id,
	FAMILIES(X)
#undef X
	FAMILY_COUNT
};

/*
 * What the kernel printed. Legacy prints POLICY and RETURN also for unconditional rules: the number decides. KERNEL: it
 * freed the packet here, for the reason that `prefix` names; `number` then has a bit (1 << enum hook) for each hook in which
 * that may have been.
 */
#define LABELS(X) X(RULE, "rule") X(RETURN, "return") X(POLICY, "policy") X(CHECKPOINT, "checkpoint") X(LOG, "log")	\
	X(KERNEL, "kernel")
enum label {
#define X(id, text) LABEL_##id,
	LABELS(X)
#undef X
	LABEL_COUNT
};

#define STEP_VERDICTS(X) X(NONE, "") X(ACCEPT, "accept") X(DROP, "drop") X(REJECT, "reject")	\
	X(CONTINUE, "continue") X(JUMP, "jump") X(GOTO, "goto") X(RETURN, "return") X(STOLEN, "stolen") X(QUEUE, "queue")
enum step_verdict {
#define X(id, text) STEP_VERDICT_##id,
	STEP_VERDICTS(X)
#undef X
	STEP_VERDICT_COUNT
};

/* Our own nftables table, which stands while a lease does; nobody counts what is in it. */
#define PROBE_TABLE "lasthop"

/* Its chains. CT: just after conntrack. */
#define CHECKPOINTS(X)							\
	X(NONE, "", NONE) X(PRE_FIRST, "pre_first", PREROUTING) X(PRE_CT, "pre_ct", PREROUTING)	\
	X(IN_FIRST, "in_first", INPUT) X(IN_LAST, "in_last", INPUT)				\
	X(FWD_FIRST, "fwd_first", FORWARD)							\
	X(OUT_FIRST, "out_first", OUTPUT) X(OUT_CT, "out_ct", OUTPUT)				\
	X(POST_LAST, "post_last", POSTROUTING)
enum checkpoint {
#define X(id, text, hook) CHECKPOINT_##id,
	CHECKPOINTS(X)
#undef X
	CHECKPOINT_COUNT
};

/* The printed names of the lists above; -1 / NULL for what is in none of them. */
const char *hook_name(enum hook h);
const char *backend_name(enum backend b);
const char *family_name(enum family f);
const char *label_name(enum label l);
const char *step_verdict_name(enum step_verdict v);
const char *checkpoint_name(enum checkpoint c);
int hook_parse(const char *text);
int backend_parse(const char *text);
int family_parse(const char *text);
int checkpoint_parse(const char *text);
enum hook checkpoint_hook(enum checkpoint c);
/* Where it stands in its hook; conntrack's own place is -200. */
int32_t checkpoint_priority(enum checkpoint c);

/* One decision that the packet met. 16 of them are a usual forwarded packet. */
struct step {
	uint8_t hook, backend, family, label, verdict, checkpoint; /* the enums above */
	uint8_t tuple;    /* index into the journey's tuples: how the packet looked here */
	uint8_t ttl;      /* as seen here; 0: this step carried no header */
	bool kernel_time; /* at is the kernel's, else the time of receipt */
	uint32_t number;  /* legacy: as printed (rules are 1-based); nft: 0 */
	uint64_t handle;  /* nft: the rule's; 0: none */
	struct boot_ns at;
	const char *table, *chain; /* interned by whoever made the journey; "" for checkpoints */
	const char
		*prefix; /* LABEL_LOG: the log line's; LABEL_KERNEL: the reason's name; else NULL */
};

/* Bits of tcp_flags. */
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

struct journey {
	struct boot_ns at;    /* of its first step */
	uint32_t trace_id;    /* nft; 0: none seen */
	uint64_t fp, fp_long; /* common/fingerprint.h; 0: unknown */
	uint8_t ip_version;
	uint16_t total_len, ip_id;
	uint8_t tcp_flags, icmp_type, icmp_code;
	uint16_t tcp_window, icmp_seq;
	uint32_t tcp_seq, tcp_ack;
	/* ICMP errors: what they embed. */
	bool is_icmp_error, has_inner, has_inner_tuple;
	uint8_t inner_proto, inner_ttl;
	uint16_t inner_len, inner_id;
	struct tuple inner;

	char in_if[IFNAME_MAX + 1], out_if[IFNAME_MAX + 1]; /* "" unknown or none */
	struct ether ether; /* of the frame that brought it, where that was an Ethernet device's */
	uint32_t mark;      /* last seen; 0 also when unknown */
	bool cut;           /* more steps or tuples than we keep */

	struct tuple tuples[TUPLES_MAX]; /* [0] as it came, then each change in order */
	uint8_t tuple_count;
	uint16_t step_count;
	struct step *steps; /* in the order in which the packet met them */
};

/* Is it the packet with which a TCP connection begins? */
bool journey_is_syn(const struct journey *j);
/* Which of its tuples is t; tuple_count: none. */
uint8_t journey_tuple(const struct journey *j, const struct tuple *t);
/*
 * Can j's packet have borne the tuple `died` when it ended, by what j tells of its addresses? Others with equal contents may have.
 * whole: j tells how it left the host, or was handed to a socket there. came: what the one that ended bore as it came; NULL not known.
 */
bool journey_can_end_as(const struct journey *j, bool whole, const struct tuple *came,
			const struct tuple *died);
