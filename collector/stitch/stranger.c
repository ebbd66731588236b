#include "collector/stitch/stranger.h"

#include <string.h>

#include "collector/stitch/next.h"

static bool seen_leaving(const struct hop *h)
{
	return hop_reached(h, CHECKPOINT_POST_LAST);
}

static bool seen_coming(const struct hop *h)
{
	return hop_first_hook(h) == HOOK_PREROUTING;
}

bool stranger_between(struct stranger *s, const struct fleet *f, const struct hop *before,
		      const struct hop *after)
{
	const struct fleet_host *from = fleet_host(f, before->sj->host);
	uint8_t out = hop_ttl_out(before), in = hop_ttl_in(after);
	struct fleet_next next = { 0 };

	memset(s, 0, sizeof(*s));
	if (!seen_leaving(before))
		return false;
	s->ttl_known = out && in;
	s->ttl = s->ttl_known ? out - in : 0;
	s->in = *hop_tuple_out(before);
	s->out = seen_coming(after) ? *hop_tuple_in(after) : s->in;
	s->translated = !tuple_equal(&s->in, &s->out);
	if (!s->ttl && !s->translated)
		return false;
	if (from)
		fleet_next(&next, f, from, before);
	for (size_t i = 0; i < next.count && i < FLEET_NEXT_MAX; i++) {
		if (next.hosts[i]->host == after->sj->host)
			return s->translated;
	}
	s->addr = next.addr;
	if (next.count == 1 && !next.stranger)
		s->host = next.hosts[0];
	return true;
}
