#include "agent/worker/calm.h"

static struct boot_ns after_s(struct boot_ns at, int64_t seconds)
{
	return (struct boot_ns){ at.v + seconds * NS_PER_S };
}

void calm_init(struct calm *c, uint32_t rate)
{
	*c = (struct calm){ .rate = rate };
}

void calm_event(struct calm *c)
{
	c->count++;
}

/* As long as the last time, twice as long when that was not enough. */
static uint32_t next_rest(const struct calm *c, struct boot_ns now)
{
	if (c->rest_s == 0 || now.v - c->returned.v > (int64_t)c->rest_s * NS_PER_S)
		return CALM_REST_S;
	return c->rest_s * 2 < CALM_REST_MAX_S ? c->rest_s * 2 : CALM_REST_MAX_S;
}

bool calm_enough(struct calm *c, struct boot_ns now)
{
	int64_t span = now.v - c->since.v;
	uint64_t count = c->count;

	if (c->resting || c->rate == 0)
		return false;
	if (c->since.v != 0 && span < (int64_t)CALM_WINDOW_S * NS_PER_S)
		return false;
	c->count = 0;
	if (c->since.v == 0 || (double)count * NS_PER_S <= (double)c->rate * (double)span) {
		c->since = now;
		return false;
	}
	c->rest_s = next_rest(c, now);
	c->resting = true;
	c->told = now;
	c->ends = after_s(now, c->rest_s);
	return true;
}

bool calm_waits(const struct calm *c, struct boot_ns now)
{
	return c->resting && now.v < c->ends.v;
}

void calm_return(struct calm *c, struct boot_ns now)
{
	if (!c->resting)
		return;
	c->resting = false;
	c->returned = now;
	c->count = 0;
	c->since = (struct boot_ns){ 0 };
}

bool calm_missed(struct calm *c, struct boot_ns now, bool all, struct loss *out)
{
	if (!c->resting || now.v <= c->told.v)
		return false;
	if (!all && now.v < after_s(c->told, CALM_TELL_S).v)
		return false;
	*out = (struct loss){ .from = c->told, .until = now, .source = "conntrack" };
	c->told = now;
	return true;
}

struct boot_ns calm_due(const struct calm *c, struct boot_ns now)
{
	struct boot_ns tell = after_s(c->told, CALM_TELL_S);

	if (!c->resting)
		return (struct boot_ns){ 0 };
	return calm_waits(c, now) && c->ends.v < tell.v ? c->ends : tell;
}
