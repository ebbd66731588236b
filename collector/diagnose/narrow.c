#include "collector/diagnose/narrow.h"

#include "collector/diagnose/cause_piece.h"
#include "collector/diagnose/ends.h"
#include "collector/stitch/next.h"

/* The interface by which the host has the address. */
static const struct facts_link *link_of(const struct fleet_host *h, const struct addr *a)
{
	const struct facts_link *link = NULL;

	for (uint32_t i = 0; h->has_facts && i < h->facts.addr_count && !link; i++) {
		if (addr_equal(&h->facts.addrs[i].addr.addr, a))
			link = facts_link_of(&h->facts, h->facts.addrs[i].ifindex);
	}
	return link;
}

/* Did one that is as large get through there? Then size is not it. */
static bool took_as_large(const struct ruling *r, uint64_t host, uint32_t size)
{
	for (size_t i = 0; i < r->fate_count; i++) {
		const struct path *p = r->fates[i].path;

		for (size_t k = 0; k < p->hop_count; k++) {
			if (p->hops[k].sj->host == host && p->hops[k].sj->j.total_len >= size)
				return true;
		}
	}
	return false;
}

void narrow_cause(json_t *causes, const struct inquiry *q, const struct ruling *r)
{
	const struct hop *h = r->decisive->hop;
	const struct fleet_host *from = fleet_host(q->fleet, h->sj->host);
	uint32_t size = h->sj->j.total_len;
	const struct facts_link *link;
	struct fleet_next next;
	json_t *evidence;

	if (!from || !r->decisive->next_sure)
		return;
	fleet_next(&next, q->fleet, from, h);
	if (next.count != 1 || next.stranger)
		return;
	link = link_of(next.hosts[0], &next.addr);
	if (!link || !link->mtu || size <= link->mtu || took_as_large(r, next.hosts[0]->host, size))
		return;
	evidence = cause_add(
		causes, "mtu",
		"it has %u bytes, and %s of %s takes %u: the ends of that link have different MTUs",
		size, link->name, next.hosts[0]->id, link->mtu);
	cause_evidence(evidence, "the MTU of %s on %s is %u", h->sj->j.out_if, from->id,
		       fleet_mtu(from, h->sj->j.out_if));
	cause_evidence(evidence, "look: ip link show %s on %s and %s on %s", h->sj->j.out_if,
		       from->id, link->name, next.hosts[0]->id);
}
