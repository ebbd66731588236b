/*
 * Every field is looked at before anything acts on it.
 */
#include "agent/helper/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

enum { MODULUS_MAX = 65536 };

static uint32_t fds_wanted(uint32_t op)
{
	return op == HELPER_RCVBUF ? 1 : 0;
}

/* 0 is the group that traces come on. */
static bool groups_valid(const struct helper_request *q)
{
	if (q->group_count == 0 || q->group_count > NFLOG_GROUPS_MAX)
		return false;
	for (uint32_t i = 0; i < q->group_count; i++) {
		if (q->groups[i] == 0)
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (q->groups[k] == q->groups[i])
				return false;
	}
	return true;
}

int request_check(const struct helper_request *q, size_t size, uint32_t fd_count,
		  uint32_t netns_count)
{
	if (size != sizeof(*q) || q->netns >= netns_count || fd_count != fds_wanted(q->op))
		return -EPROTO;

	switch (q->op) {
	case HELPER_OPEN:
		if (q->what == SOURCE_NFLOG && !groups_valid(q))
			return -EPROTO;
		return q->what < HELPER_SOURCE_COUNT ? 0 : -EPROTO;
	case HELPER_DUMP:
		return q->what < HELPER_DUMP_COUNT ? 0 : -EPROTO;
	case HELPER_RCVBUF:
		return q->what > 0 ? 0 : -EPROTO;
	case HELPER_LEASE:
		if (q->lease.id == 0 || (q->lease.site & ~(uint32_t)LEASE_SITES) ||
		    q->lease.pattern_count > PATTERNS_MAX)
			return -EPROTO;
		return 0;
	case HELPER_STOP:
		return 0;
	case HELPER_LOGGERS_PUT:
		return (q->what & 0xff) < NF_LOGGER_COUNT && q->what >> 8 < NF_LOGGER_COUNT
			       ? 0
			       : -EPROTO;
	case HELPER_LOGGERS:
	case HELPER_FOLLOW:
	case HELPER_RELEASE:
		return 0;
	case HELPER_LEASE_STATE:
		return q->known != 0 ? 0 : -EPROTO;
	default:
		return -EPROTO;
	}
}

int lease_check(const struct helper_lease *l, struct boot_ns now, struct why *why)
{
	const uint64_t longest = (uint64_t)LEASE_SECONDS_MAX * NS_PER_S;
	uint32_t i;

	if (l->deadline <= (uint64_t)now.v)
		return why_set(why, -EINVAL, "the lease's deadline has passed");
	if (l->deadline - (uint64_t)now.v > longest)
		return why_set(why, -EINVAL, "a lease may last %d s at most", LEASE_SECONDS_MAX);
	if (l->rate == 0 || l->rate > LEASE_RATE_MAX)
		return why_set(why, -EINVAL, "rate %u is not within 1..%d packets a second",
			       l->rate, LEASE_RATE_MAX);
	if (l->modulus == 0 || l->modulus > MODULUS_MAX || (l->modulus & (l->modulus - 1)))
		return why_set(why, -EINVAL, "modulus %u is not a power of two up to %d",
			       l->modulus, MODULUS_MAX);
	if (l->pattern_count == 0)
		return why_set(why, -EINVAL, "the lease has no pattern");
	for (i = 0; i < l->pattern_count; i++)
		if (!pattern_valid(&l->patterns[i]))
			return why_set(why, -EINVAL,
				       "pattern %u fixes no address or port, or contradicts itself",
				       i + 1);
	return 0;
}
