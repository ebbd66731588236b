/*
 * What our BPF programs tell (agent/helper/events.h), decoded: packets that the kernel freed, and legacy tables that
 * somebody replaced. Nothing else writes into that ring, yet its bytes are looked at like any others.
 */
#pragma once

#include "agent/source/source.h"

/*
 * A legacy table was replaced in a watched namespace, successfully, at `at`; or, with an empty table and no family, nftables had a
 * transaction. Texts are NUL-terminated copies.
 */
struct table_change {
	struct boot_ns at;
	uint32_t host;
	uint32_t pid, uid, loginuid; /* loginuid ~0: none */
	uint32_t generation;         /* of nftables, which the change made; 0 not known */
	uint8_t family;              /* FAMILY_IPV4, FAMILY_IPV6 */
	char program[17], table[33];
	char command[513]; /* words parted by COMMAND_BREAK, cut at 512 bytes; "" not known */
};

/*
 * One event of the ring as a step LABEL_KERNEL of a packet; reason is its number's name, which must stay while *e is used. *host:
 * the slot. 0, or -EBADMSG when it is no drop or has no packet in it.
 */
int drop_decode(struct trace_event *e, uint32_t *host, const uint8_t *p, size_t len,
		const char *reason, const struct ifnames *names, struct boot_ns now);
/* The number of a drop's reason and its slot, before anything else of it is looked at. False: it is no drop. */
bool drop_peek(const uint8_t *p, size_t len, uint32_t *host, uint32_t *reason);
/* 0, or -EBADMSG when it is no change. */
int change_decode(struct table_change *c, const uint8_t *p, size_t len);
