/*
 * Which sources a host has, which it cannot have, and why: what `hosts` shows and answers count with.
 */
#include "agent/worker/host_list.h"

#include "agent/worker/host_inner.h"
#include "agent/worker/host_sets.h"

static struct source_fact fact_of(const struct host *h, enum slot slot)
{
	struct source_fact f = { .name = host_slot_name(slot) };

	switch (h->opening[slot]) {
	case OPENING_DONE:
		f.state = SOURCE_ON;
		break;
	case OPENING_FAILED:
		f.state = slot == SLOT_CONNTRACK && (h->unloaded || h->calm.resting)
				  ? SOURCE_OFF
				  : SOURCE_FAILED;
		f.why = h->whys[slot];
		break;
	default:
		/* Closed since, but what it could not see is still asked about. */
		f.state = h->whys[slot][0] ? SOURCE_FAILED : SOURCE_READY;
		f.why = h->whys[slot][0] ? h->whys[slot] : NULL;
	}
	if ((slot == SLOT_LEGACY || slot == SLOT_NFT) && !h->env->allow_trace) {
		f.state = SOURCE_OFF;
		f.why = "remote tracing is off on this host: start its agent with --allow-trace";
	}
	return f;
}

static bool resolved(const struct host *h, enum slot slot)
{
	return h->opening[slot] == OPENING_DONE || h->opening[slot] == OPENING_FAILED;
}

static struct source_fact counters_fact(const struct host *h)
{
	struct source_fact f = { .name = "counters", .state = SOURCE_ON };

	if (h->env->counters_seconds == 0) {
		f.state = SOURCE_OFF;
		f.why = "its agent's configuration says counters_seconds: 0";
	} else if (h->counting.why[0] != '\0') {
		f.state = SOURCE_FAILED;
		f.why = h->counting.why;
	}
	return f;
}

static struct source_fact namespaces_fact(const struct host *h)
{
	struct source_fact f = { .name = "namespaces", .state = SOURCE_ON };

	if (h->beyond && h->beyond[0] != '\0') {
		f.state = SOURCE_FAILED;
		f.why = h->beyond;
	}
	return f;
}

bool sources_list(const struct host *h, struct source_fact list[static HOST_SOURCES_MAX],
		  uint32_t *count, uint32_t *said)
{
	bool known = resolved(h, SLOT_CONNTRACK) && resolved(h, SLOT_HOST) &&
		     h->opening[SLOT_LEGACY] != OPENING_ASKED &&
		     h->opening[SLOT_NFT] != OPENING_ASKED &&
		     (h->env->log_group_count == 0 || resolved(h, SLOT_NFLOG)) &&
		     (h->rules.known || h->rules.why[0] != '\0');

	list[0] = fact_of(h, SLOT_LEGACY);
	list[1] = fact_of(h, SLOT_NFT);
	list[2] = fact_of(h, SLOT_CONNTRACK);
	list[3] = (struct source_fact){ .name = "ruleset", .state = SOURCE_ON };
	if (h->rules.why[0] != '\0') {
		list[3].state = SOURCE_FAILED;
		list[3].why = h->rules.why;
	} else if (h->rules.note[0] != '\0') {
		list[3].why = h->rules.note;
	}
	list[4] = fact_of(h, SLOT_HOST);
	list[5] = counters_fact(h);
	*count = 6;
	if (h->env->log_group_count)
		list[(*count)++] = logs_fact(&h->logs, fact_of(h, SLOT_NFLOG));
	*count += sets_fact(h, &list[*count]);
	known &= h->env->sources(h->env->arg, list, count);
	/* Namespaces stand last: only the host where we stand tells of them, and each was said already. */
	*said = *count;
	if (h->beyond)
		list[(*count)++] = namespaces_fact(h);
	return known;
}
