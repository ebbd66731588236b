#include "collector/lease/past.h"

#include <errno.h>
#include <string.h>

enum { PAST_MEMORY = 16 << 20 };

void past_init(struct past *p)
{
	memset(p, 0, sizeof(*p));
	arena_init(&p->arena, PAST_MEMORY);
}

void past_read(struct past *p, struct reader *r)
{
	struct wall_ns now = wall_now();
	struct wall_ns since = { now.v - (int64_t)LEASE_SECONDS_MAX * NS_PER_S };

	p->error = r ? reader_leases(r, since, &p->arena, &p->list, &p->count) : -EIO;
	if (p->error == 0)
		p->error = reader_armings(r, since, now, &p->arena, &p->armings, &p->arming_count);
	if (p->error == 0)
		p->error = reader_hosts(r, &p->arena, &p->hosts, &p->host_count);
}

const char *past_armed(const struct past *p, uint64_t lease, size_t *at, uint32_t *modulus)
{
	size_t k;

	for (; *at < p->arming_count; (*at)++) {
		const struct stored_arming *a = &p->armings[*at];

		for (k = 0; a->lease == lease && k < p->host_count; k++) {
			if (p->hosts[k].host != a->host)
				continue;
			*modulus = a->modulus;
			(*at)++;
			return p->hosts[k].id;
		}
	}
	return NULL;
}

void past_clear(struct past *p)
{
	arena_free(&p->arena);
	memset(p, 0, sizeof(*p));
}
