/*
 * A sorted array: hosts have few interfaces, names are asked for with every packet and change seldom.
 */
#include "agent/source/ifnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where ifindex is, or would be. */
static uint32_t place(const struct ifnames *n, int32_t ifindex)
{
	uint32_t lo = 0, hi = n->count, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (n->list[mid].ifindex < ifindex)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int ifnames_set(struct ifnames *n, int32_t ifindex, const char *name)
{
	uint32_t at = place(n, ifindex);
	bool there = at < n->count && n->list[at].ifindex == ifindex;
	struct ifname *grown;
	uint32_t cap;

	if (name[0] == '\0') {
		if (there) {
			memmove(&n->list[at], &n->list[at + 1],
				(n->count - at - 1) * sizeof(*n->list));
			n->count--;
		}
		return 0;
	}
	if (!there) {
		if (n->count == IFNAMES_MAX)
			return -E2BIG;
		if (n->count == n->cap) {
			cap = n->cap ? n->cap * 2 : 8;
			grown = reallocarray(n->list, cap, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			n->list = grown;
			n->cap = cap;
		}
		memmove(&n->list[at + 1], &n->list[at], (n->count - at) * sizeof(*n->list));
		n->count++;
	}
	n->list[at] = (struct ifname){ .ifindex = ifindex };
	memcpy(n->list[at].name, name, strnlen(name, IFNAME_MAX));
	return 0;
}

const char *ifnames_find(const struct ifnames *n, int32_t ifindex)
{
	uint32_t at;

	if (!n)
		return "";
	at = place(n, ifindex);
	return at < n->count && n->list[at].ifindex == ifindex ? n->list[at].name : "";
}

void ifnames_copy(const struct ifnames *n, int32_t ifindex, char name[static IFNAME_MAX + 1])
{
	uint32_t at = n ? place(n, ifindex) : 0;

	if (n && at < n->count && n->list[at].ifindex == ifindex)
		memcpy(name, n->list[at].name, IFNAME_MAX + 1);
	else
		name[0] = '\0';
}

void ifnames_clear(struct ifnames *n)
{
	free(n->list);
	*n = (struct ifnames){ 0 };
}
