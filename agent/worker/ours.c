#include "agent/worker/ours.h"

#include <string.h>

enum { BLUR_MS = 100 }; /* an event's way to us */

void ours_asked(struct ours *o)
{
	o->changing++;
}

void ours_told(struct ours *o, uint32_t value, struct boot_ns now)
{
	const uint32_t count[2] = { value & 0xffff, value >> 16 };

	if (memcmp(count, o->count, sizeof(count)) == 0)
		return;
	memcpy(o->count, count, sizeof(count));
	o->settled.v = now.v + BLUR_MS * (int64_t)NS_PER_MS;
}

void ours_answered(struct ours *o, uint32_t value, struct boot_ns now)
{
	if (o->changing > 0)
		o->changing--;
	ours_told(o, value, now);
}

bool ours_stand(const struct ours *o)
{
	return o->count[0] + o->count[1] > 0;
}

bool ours_correct(struct ours *o, struct trace_event *e)
{
	uint32_t count = o->count[e->step.family == FAMILY_IPV6];

	if (e->step.backend != BACKEND_LEGACY || e->step.label == LABEL_LOG ||
	    strcmp(e->step.table, "raw") != 0 ||
	    (strcmp(e->step.chain, "PREROUTING") != 0 && strcmp(e->step.chain, "OUTPUT") != 0))
		return true;
	if (o->changing > 0 || e->received.v < o->settled.v) {
		if (o->lost++ == 0)
			o->lost_since = e->received;
		return false;
	}
	if (e->step.number <= count)
		return count == 0;
	e->step.number -= count;
	return true;
}

bool ours_lost(struct ours *o, struct boot_ns now, struct loss *l)
{
	if (o->lost == 0)
		return false;
	*l = (struct loss){ .from = o->lost_since,
			    .until = now,
			    .source = "trace-legacy",
			    .count_known = true,
			    .count = o->lost };
	o->lost = 0;
	return true;
}
