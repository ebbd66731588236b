/*
 * Packets that were decoded just now. A legacy trace carries the packet's headers with each of its events, and between
 * two tables they mostly are what they were: then they need not be read again.
 */
#pragma once

#include "common/packet.h"

enum { SEEN_BYTES = 128, SEEN_PACKETS = 8 };

/* All zero: nothing was seen. */
struct seen {
	struct {
		struct packet packet;
		size_t len; /* 0: none */
		uint8_t bytes[SEEN_BYTES];
	} list[SEEN_PACKETS];
};

/* packet_decode() of a capture in one piece. */
int seen_decode(struct seen *s, struct packet *p, const uint8_t *net, size_t len);
