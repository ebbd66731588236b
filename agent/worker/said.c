#include "agent/worker/said.h"

#include <stdio.h>
#include <string.h>

/* What is not known without it. */
static const struct {
	const char *source, *cost;
} costs[] = {
	{ "trace-legacy", "what iptables-legacy rules do to traced packets is not seen" },
	{ "trace-nft", "no packet can be traced here" },
	{ "drops", "what the kernel discards is seen only while it is traced" },
	{ "nflog", "what rules log to its groups is not seen" },
	{ "conntrack", "address translations are not seen" },
	{ "ruleset", "rules have no text here, and their changes are not seen" },
	{ "counters", "what rules counted is not known" },
	{ "changes",
	  "without the audit log, changes of legacy tables are found by reading again and again, without their author" },
	{ "audit", "who changed a table of nftables has a command line and a user only by chance" },
	{ "ipset", "members of ipsets are not known" },
	{ "host", "interfaces, addresses and routes are not known" },
};

static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return h;
}

bool said_line(struct said *s, const struct source_fact *f, char line[static SAID_TEXT_MAX])
{
	uint64_t what;
	int n;

	if (!f->why || f->state == SOURCE_READY)
		return false;
	what = hash(hash(UINT64_C(14695981039346656037) + f->state, f->name), f->why);
	for (uint32_t i = 0; i < s->count; i++)
		if (s->list[i] == what)
			return false;
	if (s->count == SAID_MAX) /* it goes on changing: `lasthop hosts` has the newest */
		return false;
	s->list[s->count++] = what;
	n = snprintf(line, SAID_TEXT_MAX, "source %s is %s%s %s", f->name,
		     source_state_name((enum source_state)f->state),
		     f->state == SOURCE_ON ? ", but" : ":", f->why);
	for (size_t i = 0; f->state == SOURCE_FAILED && i < sizeof(costs) / sizeof(costs[0]); i++)
		if (strcmp(costs[i].source, f->name) == 0)
			snprintf(line + n, SAID_TEXT_MAX - (size_t)n, " (%s)", costs[i].cost);
	return true;
}
