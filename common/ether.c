#include "common/ether.h"

#include <string.h>

enum {
	TYPE_AT = 12,
	HEADER = 14,
	TAG = 4,
	TYPE_MIN = 0x600, /* below it is a length (802.3) */
	TYPE_8021Q = 0x8100,
	TYPE_8021AD = 0x88a8,
	VLAN_MASK = VLAN_COUNT - 1
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is_tag(uint16_t type)
{
	return type == TYPE_8021Q || type == TYPE_8021AD;
}

bool ether_decode(struct ether *e, const uint8_t *p, size_t len)
{
	uint16_t type;

	*e = (struct ether){ 0 };
	if (len < HEADER)
		return false;
	memcpy(e->dst, p, sizeof(e->dst));
	memcpy(e->src, p + sizeof(e->dst), sizeof(e->src));
	type = be16(p + TYPE_AT);
	if (is_tag(type) && len >= HEADER + TAG) {
		ether_tag(e, type, be16(p + HEADER));
		type = be16(p + TYPE_AT + TAG);
	}
	/* What stands behind a tag that is cut off, or behind a second one, is not shown. */
	if (type >= TYPE_MIN && !is_tag(type))
		e->type = type;
	return true;
}

void ether_tag(struct ether *e, uint16_t type, uint16_t tci)
{
	if (is_tag(type))
		e->vlan = tci & VLAN_MASK;
}

static bool zero(const uint8_t mac[static 6])
{
	static const uint8_t none[6];

	return memcmp(mac, none, sizeof(none)) == 0;
}

bool ether_known(const struct ether *e)
{
	return !zero(e->src) || !zero(e->dst) || e->type || e->vlan;
}

void ether_merge(struct ether *e, const struct ether *other)
{
	if (memcmp(e, other, sizeof(*e)) == 0)
		return;
	if (!ether_known(e)) {
		*e = *other;
		return;
	}
	/* Another sender's is another frame: the bridge's below, or the one that we sent ourselves. */
	if (memcmp(e->src, other->src, sizeof(e->src)) != 0)
		return;
	if (zero(e->dst))
		memcpy(e->dst, other->dst, sizeof(e->dst));
	if (!e->type)
		e->type = other->type;
	if (!e->vlan)
		e->vlan = other->vlan;
}
