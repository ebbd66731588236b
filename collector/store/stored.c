/*
 * What follows from store.h alone, whatever keeps the facts.
 */
#include "collector/store/store.h"

#include <errno.h>
#include <string.h>

int stored_journey_cmp(const void *pa, const void *pb)
{
	const struct stored_journey *a = pa, *b = pb;

	if (a->at.v != b->at.v)
		return a->at.v < b->at.v ? -1 : 1;
	return (a->row > b->row) - (a->row < b->row);
}

int reader_host(struct reader *r, const char *id, struct arena *arena, uint64_t *host)
{
	struct stored_host *list = NULL;
	size_t count = 0;
	int err = reader_hosts(r, arena, &list, &count);

	for (size_t i = 0; err == 0 && i < count; i++) {
		if (strcmp(list[i].id, id) == 0) {
			*host = list[i].host;
			return 0;
		}
	}
	return err < 0 ? err : -ENOENT;
}
