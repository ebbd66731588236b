#include "agent/helper/setnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/helper/ipc.h"
#include "common/table.h"

/* All options that name a set end so. */
#define NAMING "-set "

void setnames_add(struct setnames *n, const char *name, bool fed)
{
	struct setname *s;

	for (uint32_t i = 0; i < n->count; i++) {
		if (strcmp(n->list[i].name, name) == 0) {
			n->list[i].fed |= fed;
			return;
		}
	}
	if (n->count == IPSETS_MAX) {
		n->more = true;
		return;
	}
	s = &n->list[n->count++];
	*s = (struct setname){ .fed = fed };
	strncpy(s->name, name, SET_NAME_MAX);
}

static void add_rule(struct setnames *n, const struct rule_text *text)
{
	struct rule r;

	if (!memmem(text->text, text->len, NAMING, sizeof(NAMING) - 1) ||
	    rule_parse(&r, text->text, text->len) < 0)
		return;
	for (uint8_t i = 0; i < r.set_count; i++)
		setnames_add(n, r.sets[i].name, r.sets[i].target);
}

int setnames_of(struct setnames *n, const char *text, size_t len)
{
	struct table t;
	int r;

	if (!memmem(text, len, NAMING, sizeof(NAMING) - 1))
		return 0;
	/* Comments may have newlines and whatever else looks like a rule. */
	r = table_parse(&t, text, len);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	for (uint32_t c = 0; c < t.chain_count; c++)
		for (uint32_t i = 0; i < t.chains[c].rule_count; i++)
			add_rule(n, &t.chains[c].rules[i]);
	table_clear(&t);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct setname *)a)->name, ((const struct setname *)b)->name);
}

int setnames_read(struct setnames *n, int fd)
{
	struct ruleset_part part;
	struct stat st;
	size_t size, at;
	const char *map;
	int r = 0;

	*n = (struct setnames){ .count = 0 };
	if (fstat(fd, &st) < 0)
		return -errno;
	size = (size_t)st.st_size;
	if (size == 0)
		return 0;
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	for (at = 0; r == 0 && at + sizeof(part) <= size; at += part.len) {
		memcpy(&part, map + at, sizeof(part));
		at += sizeof(part);
		if (part.len > size - at)
			break;
		if (part.kind == RULESET_TEXT && part.backend != BACKEND_NATIVE)
			r = setnames_of(n, map + at, part.len);
	}
	munmap((void *)(uintptr_t)map, size);
	qsort(n->list, n->count, sizeof(n->list[0]), by_name);
	return r;
}
