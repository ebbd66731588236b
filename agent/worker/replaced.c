#include "agent/worker/replaced.h"

#include <stdlib.h>
#include <string.h>

struct replaced_set {
	struct replaced_set *next; /* the one that was replaced after it */
	struct boot_ns until;
	struct ruleset set;
	struct content_id ids[]; /* of set.tables */
};

static void forget_oldest(struct replaced *l)
{
	struct replaced_set *o = l->oldest;

	l->oldest = o->next;
	if (!l->oldest)
		l->newest = NULL;
	l->count--;
	l->size -= o->set.size;
	ruleset_clear(&o->set);
	free(o);
}

void replaced_keep(struct replaced *l, struct ruleset *set, const struct content_id *ids,
		   struct boot_ns now)
{
	struct replaced_set *o = NULL;

	if (set->fd >= 0 && set->size <= REPLACED_BYTES_MAX)
		o = malloc(sizeof(*o) + set->count * sizeof(*ids));
	if (!o) {
		ruleset_clear(set);
		return;
	}
	while (l->count == REPLACED_MAX ||
	       (l->count > 0 && l->size + set->size > REPLACED_BYTES_MAX))
		forget_oldest(l);
	o->next = NULL;
	o->until.v = now.v + (int64_t)REPLACED_S * NS_PER_S;
	o->set = *set;
	set->fd = -1;
	ruleset_clear(set);
	memcpy(o->ids, ids, o->set.count * sizeof(*ids));
	*(l->newest ? &l->newest->next : &l->oldest) = o;
	l->newest = o;
	l->count++;
	l->size += o->set.size;
}

int replaced_find(const struct replaced *l, const struct content_id *id, const struct ruleset **in)
{
	for (const struct replaced_set *o = l->oldest; o; o = o->next) {
		for (uint32_t i = 0; i < o->set.count; i++) {
			if (memcmp(&o->ids[i], id, sizeof(*id)) == 0) {
				*in = &o->set;
				return (int)i;
			}
		}
	}
	return -1;
}

void replaced_expire(struct replaced *l, struct boot_ns now)
{
	while (l->oldest && l->oldest->until.v <= now.v)
		forget_oldest(l);
}

void replaced_clear(struct replaced *l)
{
	while (l->oldest)
		forget_oldest(l);
}
