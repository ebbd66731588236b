/*
 * The Ethernet header of a frame, as far as the kernel still shows it with the packet that it carried.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VLAN_COUNT = 4096 };

/* All zero: not known. Each part may be unknown by itself. */
struct ether {
	uint8_t src[6], dst[6];
	uint16_t type; /* EtherType of what it carried, behind its tag; 0: not known */
	uint16_t vlan; /* of the outermost tag; 0: no tag was seen, or one that names no VLAN */
};

/* Reads a header of an Ethernet device; more bytes than the header has are not looked at. False: it is not whole. */
bool ether_decode(struct ether *e, const uint8_t *p, size_t len);
/* The VLAN of a tag that the device took off the frame, in the tag's own words. */
void ether_tag(struct ether *e, uint16_t type, uint16_t tci);
bool ether_known(const struct ether *e);
/* Takes the other's word where it says more of what may be the same frame. */
void ether_merge(struct ether *e, const struct ether *other);
