/*
 * The printed names of the enums, from their X-macro lists.
 */
#include "common/journey.h"

#include <netinet/in.h>
#include <string.h>

#include "common/names.h"

NAMES(hook_name, enum hook, HOOKS)
NAMES(backend_name, enum backend, BACKENDS)
NAMES(family_name, enum family, FAMILIES)
NAMES(label_name, enum label, LABELS)
NAMES(step_verdict_name, enum step_verdict, STEP_VERDICTS)
NAMES(checkpoint_name, enum checkpoint, CHECKPOINTS)

static int parse(const char *text, int count, const char *(*name)(unsigned))
{
	for (int i = 0; i < count; i++) {
		if (!strcmp(name((unsigned)i), text))
			return i;
	}
	return -1;
}

static const char *hook_at(unsigned i)
{
	return hook_name((enum hook)i);
}

static const char *backend_at(unsigned i)
{
	return backend_name((enum backend)i);
}

static const char *family_at(unsigned i)
{
	return family_name((enum family)i);
}

static const char *checkpoint_at(unsigned i)
{
	return checkpoint_name((enum checkpoint)i);
}

int hook_parse(const char *text)
{
	return parse(text, HOOK_COUNT, hook_at);
}

int backend_parse(const char *text)
{
	return parse(text, BACKEND_COUNT, backend_at);
}

int family_parse(const char *text)
{
	return parse(text, FAMILY_COUNT, family_at);
}

int checkpoint_parse(const char *text)
{
	return parse(text, CHECKPOINT_COUNT, checkpoint_at);
}

enum hook checkpoint_hook(enum checkpoint c)
{
	static const enum hook hooks[] = {
#define X(id, text, hook) HOOK_##hook,
		CHECKPOINTS(X)
#undef X
	};

	return (unsigned)c < CHECKPOINT_COUNT ? hooks[c] : HOOK_NONE;
}

int32_t checkpoint_priority(enum checkpoint c)
{
	switch (c) {
	case CHECKPOINT_PRE_CT:
	case CHECKPOINT_OUT_CT:
		return -199;
	case CHECKPOINT_IN_LAST:
	case CHECKPOINT_POST_LAST:
		return INT32_MAX;
	default:
		return INT32_MIN;
	}
}

bool journey_is_syn(const struct journey *j)
{
	return j->tuples[0].proto == IPPROTO_TCP && (j->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

uint8_t journey_tuple(const struct journey *j, const struct tuple *t)
{
	uint8_t i = 0;

	while (i < j->tuple_count && !tuple_equal(&j->tuples[i], t))
		i++;
	return i;
}

bool journey_can_end_as(const struct journey *j, bool whole, const struct tuple *came,
			const struct tuple *died)
{
	const struct tuple *first = &j->tuples[0];

	if (j->cut || journey_tuple(j, died) < j->tuple_count)
		return true;
	if (whole)
		return false;
	if (came)
		return journey_tuple(j, came) < j->tuple_count;
	/* Where it goes may have changed since, which nobody had to tell. */
	return first->proto == died->proto && addr_equal(&first->src, &died->src) &&
	       first->sport == died->sport;
}
