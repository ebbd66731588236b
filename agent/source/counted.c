/*
 * The memfd is sealed, so what was checked stays so.
 */
#include "agent/source/counted.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/journey.h"

static bool is_name(const char *name, size_t size)
{
	return name[0] != '\0' && strnlen(name, size) < size;
}

/* How long the table at p is; 0: it does not add up. */
static size_t table_parse_at(struct counted_table *t, const uint8_t *p, size_t left)
{
	const struct counters_part *part = (const void *)p;
	uint64_t values = 0, size;

	if (left < sizeof(*part) || !is_name(part->table, sizeof(part->table)) ||
	    part->backend >= BACKEND_COUNT || part->family >= FAMILY_COUNT ||
	    part->chains > TABLE_CHAINS_MAX)
		return 0;
	size = sizeof(*part) + (uint64_t)part->chains * sizeof(*t->chains) +
	       (uint64_t)part->values * sizeof(*t->values);
	if (size > left)
		return 0;
	*t = (struct counted_table){ .backend = (uint8_t)part->backend,
				     .family = (uint8_t)part->family,
				     .name = part->table,
				     .chain_count = part->chains,
				     .value_count = part->values,
				     .chains = (const void *)(part + 1) };
	t->values = (const void *)(t->chains + part->chains);
	for (uint32_t i = 0; i < part->chains; i++) {
		const struct counters_chain *c = &t->chains[i];

		if (!is_name(c->name, sizeof(c->name)) || c->policy > 1)
			return 0;
		values += (uint64_t)c->rules + c->policy;
	}
	return values == part->values ? (size_t)size : 0;
}

int counted_parse(struct counted *c, const void *p, size_t size)
{
	size_t at = 0, len;

	*c = (struct counted){ .size = size };
	while (at < size) {
		len = c->count < RULESET_TABLES_MAX
			      ? table_parse_at(&c->tables[c->count], (const uint8_t *)p + at,
					       size - at)
			      : 0;
		if (len == 0)
			return -EBADMSG;
		c->count++;
		at += len;
	}
	return 0;
}

int counted_open(struct counted *c, int fd)
{
	struct stat st;
	void *map = NULL;
	int r;

	*c = (struct counted){ .map = NULL };
	r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && st.st_size > 0) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		r = map == MAP_FAILED ? -errno : 0;
	}
	close(fd);
	if (r < 0 || !map)
		return r;
	r = counted_parse(c, map, (size_t)st.st_size);
	c->map = map;
	if (r < 0)
		counted_clear(c);
	return r;
}

void counted_clear(struct counted *c)
{
	if (c->map)
		munmap(c->map, c->size);
	*c = (struct counted){ .map = NULL };
}
