#include "agent/worker/logs.h"

#include <stdio.h>

#include "agent/worker/host.h"

void logs_opened(struct logs *l, const struct host_env *env, const struct helper_answer *a,
		 bool opened, struct boot_ns now)
{
	size_t n = 0;

	*l = (struct logs){ .note = "" };
	if (!opened) {
		l->due.v = now.v + (int64_t)LOGS_AGAIN_S * NS_PER_S;
		return;
	}
	for (uint32_t i = 0; i < env->log_group_count && n < sizeof(l->note); i++)
		if (a->value >> i & 1)
			n += (size_t)snprintf(l->note + n, sizeof(l->note) - n, "%s %u",
					      n ? "," : "groups", env->log_groups[i]);
	snprintf(l->lack, sizeof(l->lack), "%s", a->why);
}

struct source_fact logs_fact(const struct logs *l, struct source_fact f)
{
	if (f.state == SOURCE_FAILED)
		f.state = SOURCE_OFF;
	if (f.state != SOURCE_ON)
		return f;
	f.state = l->lack[0] ? SOURCE_FAILED : SOURCE_ON;
	f.why = l->lack[0] ? l->lack : l->note;
	return f;
}
