/*
 * Whatever changes, the table is made anew from the list of leases; what its counters said is
 * carried over. When the last lease ends, the table goes before the loggers do: a traced packet
 * must never reach the kernel's own log.
 */
#include "agent/helper/lease.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/helper/nat.h"

#define CONNTRACK_COUNT "/proc/sys/net/netfilter/nf_conntrack_count"

struct opening {
	struct leases *ls;
	struct guard *guard;
	uint32_t slot;
	struct why *why;
};

static int open_logger(void *arg)
{
	struct opening *o = arg;

	logger_open(&o->ls->logger, o->guard, o->slot);
	return 0;
}

int leases_init(struct leases *ls, const struct netns *ns, const struct lease_config *config,
		struct guard *guard, uint32_t index, struct why *why)
{
	struct opening o = { .ls = ls, .guard = guard, .slot = index * LOGGER_FAMILIES };

	*ls = (struct leases){ .ns = ns,
			       .config = config,
			       .guard = guard,
			       .index = index,
			       .logger.families = { { .fd = -1 }, { .fd = -1 } } };
	probe_init(&ls->probe);
	return netns_run(ns, open_logger, &o, why);
}

/* Without the table there is nothing of ours, and nobody is disturbed. */
static int raw_exists(void *arg)
{
	static const char *const files[] = { "/proc/thread-self/net/ip_tables_names",
					     "/proc/thread-self/net/ip6_tables_names" };
	bool *there = arg;
	char line[64];

	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(files[i], "re");

		while (f && fgets(line, sizeof(line), f))
			*there |= strcmp(line, "raw\n") == 0;
		if (f)
			fclose(f);
	}
	return 0;
}

void leases_sweep(struct leases *ls)
{
	bool there = false;

	if (ls->config->agent == 0 || netns_run(ls->ns, raw_exists, &there, NULL) < 0 || !there)
		return;
	/* Should it fail, they are tried again when rules of ours are put up or removed. */
	(void)fallback_put(&ls->fallback, ls->ns, ls->config->agent, NULL, 0, NULL);
}

static int open_probe(void *arg)
{
	struct opening *o = arg;

	return probe_open(&o->ls->probe, o->why);
}

struct seen {
	bool conntrack, nat;
};

/* Entries exist: then some rule tracks connections already, and ours changes nothing. */
static int look(void *arg)
{
	struct seen *s = arg;
	FILE *f = fopen(CONNTRACK_COUNT, "re");
	unsigned long entries = 0;

	s->nat = nat_is_used();
	if (!f)
		return 0;
	s->conntrack = fscanf(f, "%lu", &entries) == 1 && entries > 0;
	fclose(f);
	return 0;
}

static struct lease *lease_find(struct leases *ls, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < ls->count; i++)
		if (ls->list[i].before.id == id)
			return &ls->list[i];
	return NULL;
}

static struct lease_count total(struct leases *ls, const struct lease *l)
{
	struct lease_count c = l->before;
	uint64_t traced = 0, refused = 0;

	if (probe_counters(&ls->probe, c.id, &traced, &refused) == 0) {
		c.traced += traced;
		c.refused += refused;
	}
	return c;
}

/* Takes our rules out of raw. Should that fail now, it is tried again, and the kernel has ended them anyway. */
static void lower(struct leases *ls)
{
	if (!ls->fallback.standing)
		return;
	if (fallback_put(&ls->fallback, ls->ns, ls->config->agent, NULL, 0, NULL) == 0)
		guard_rules(ls->guard, ls->index, -1, false);
}

/* Puts our rules into raw; the guard hears of it before. */
static int raise_rules(struct leases *ls, const struct probe_lease *wanted, uint32_t count,
		       struct why *why)
{
	int r = guard_rules(ls->guard, ls->index, ls->ns->fd, true);

	if (r < 0)
		return why_set(why, r, "the guard is gone: %s", strerror(-r));
	return fallback_put(&ls->fallback, ls->ns, ls->config->agent, wanted, count, why);
}

/* The way that the configuration and the kernel allow. */
static int put(struct leases *ls, const struct probe_lease *wanted, uint32_t count,
	       const struct probe_site *site, struct why *why)
{
	int r;

	if (ls->config->fallback == FALLBACK_FORCED || ls->fallback.standing)
		return raise_rules(ls, wanted, count, why);
	r = probe_put(&ls->probe, wanted, count, site, why);
	if (r == -EOPNOTSUPP && ls->config->fallback == FALLBACK_ALLOWED) {
		if (why)
			*why = (struct why){ "" };
		r = raise_rules(ls, wanted, count, why);
	}
	return r;
}

/* Nothing of ours stays. */
static void leave(struct leases *ls)
{
	probe_clear(&ls->probe);
	lower(ls);
	logger_restore(&ls->logger);
}

static int stand(struct leases *ls, struct why *why)
{
	struct opening o = { .ls = ls, .why = why };
	int r;

	if (ls->probe.fd < 0) {
		r = netns_run(ls->ns, open_probe, &o, why);
		if (r < 0)
			return r;
	}
	return logger_bind(&ls->logger, why);
}

/*
 * Puts the table for list[0..count). On success its counters begin at 0, and list's totals are what
 * was before.
 */
static int rebuild(struct leases *ls, struct lease *list, uint32_t count, struct why *why)
{
	struct probe_lease wanted[LEASES_MAX];
	struct lease_count totals[LEASES_MAX];
	uint64_t now = (uint64_t)boot_now().v;
	struct probe_site site = { false, false };
	uint32_t i;
	int r;

	for (i = 0; i < count; i++) {
		const struct lease *l = &list[i];
		uint64_t left = l->deadline > now ? l->deadline - now : 0;

		wanted[i] = (struct probe_lease){
			.id = l->before.id,
			.remaining_ms = left / NS_PER_MS + 1,
			.rate = l->rate,
			.modulus = l->modulus,
			.pattern_count = l->pattern_count,
			.patterns = l->patterns,
		};
		site.origins |= l->site.origins;
		site.forward |= l->site.forward;
		totals[i] = total(ls, l);
	}
	r = put(ls, wanted, count, &site, why);
	if (r < 0)
		return r;
	for (i = 0; i < count; i++)
		list[i].before = totals[i];
	return 0;
}

static int lease_make(struct lease *l, const struct leases *ls, const struct helper_lease *from,
		      struct why *why)
{
	struct seen seen = { false, false };
	int r;

	r = netns_run(ls->ns, look, &seen, why);
	if (r < 0)
		return r;
	*l = (struct lease){
		.before.id = from->id,
		.deadline = from->deadline,
		.rate = from->rate,
		.modulus = from->modulus,
		.pattern_count = from->pattern_count,
		.site = { .origins = ((from->site & LEASE_CONNTRACK) || seen.conntrack) &&
				     ((from->site & LEASE_TRANSLATES) || seen.nat),
			  .forward = from->site & LEASE_BLIND },
	};
	l->patterns = calloc(from->pattern_count, sizeof(*l->patterns));
	if (!l->patterns)
		return why_set(why, -ENOMEM, "out of memory");
	memcpy(l->patterns, from->patterns, from->pattern_count * sizeof(*l->patterns));
	return 0;
}

int leases_put(struct leases *ls, const struct helper_lease *from, struct why *why)
{
	struct lease list[LEASES_MAX], l, *old;
	uint32_t count = ls->count;
	int r;

	leases_expire(ls);
	count = ls->count;
	old = lease_find(ls, from->id);
	if (!old && count == LEASES_MAX)
		return why_set(why, -ENOSPC, "%d leases stand here already", LEASES_MAX);
	r = lease_make(&l, ls, from, why);
	if (r < 0)
		return r;
	r = stand(ls, why);
	if (r < 0)
		goto out;

	memcpy(list, ls->list, sizeof(list));
	if (old)
		l.before = old->before;
	list[old ? old - ls->list : count++] = l;
	r = rebuild(ls, list, count, why);
	if (r < 0)
		goto out;
	if (old)
		free(old->patterns);
	memcpy(ls->list, list, sizeof(list));
	ls->count = count;
	return 0;
out:
	free(l.patterns);
	if (ls->count == 0)
		leave(ls);
	else if (ls->fallback.standing) /* one family of the new ones may be in it */
		rebuild(ls, ls->list, ls->count, NULL);
	return r;
}

int leases_count(struct leases *ls, uint64_t id, struct lease_count *count)
{
	const struct lease *l = lease_find(ls, id);
	uint32_t i;

	if (l) {
		*count = total(ls, l);
		return 0;
	}
	for (i = 0; i < LEASES_MAX; i++) {
		if (ls->ended[i].id == id) {
			*count = ls->ended[i];
			return 0;
		}
	}
	return -ENOENT;
}

static void keep_ended(struct leases *ls, const struct lease_count *c)
{
	ls->ended[ls->ended_next++ % LEASES_MAX] = *c;
}

/* Ends the leases for which gone[i] is set. On failure of the kernel they stand as before. */
static int end_leases(struct leases *ls, const bool gone[static LEASES_MAX], struct why *why)
{
	struct lease_count totals[LEASES_MAX];
	struct lease list[LEASES_MAX];
	uint32_t i, count = 0;
	int r;

	for (i = 0; i < ls->count; i++) {
		totals[i] = total(ls, &ls->list[i]);
		if (!gone[i])
			list[count++] = ls->list[i];
	}
	if (count == 0) {
		leave(ls);
	} else {
		r = rebuild(ls, list, count, why);
		if (r < 0)
			return r;
	}
	for (i = 0; i < ls->count; i++) {
		if (gone[i]) {
			free(ls->list[i].patterns);
			keep_ended(ls, &totals[i]);
		}
	}
	memcpy(ls->list, list, count * sizeof(list[0]));
	ls->count = count;
	return 0;
}

int leases_stop(struct leases *ls, uint64_t id, struct lease_count *count, struct why *why)
{
	bool gone[LEASES_MAX] = { false };
	struct lease_count sum = { 0 };
	uint32_t i;
	int r;

	if (id != 0 && !lease_find(ls, id))
		return leases_count(ls, id, count);
	for (i = 0; i < ls->count; i++) {
		struct lease_count c;

		gone[i] = id == 0 || ls->list[i].before.id == id;
		if (!gone[i])
			continue;
		c = total(ls, &ls->list[i]);
		sum.traced += c.traced;
		sum.refused += c.refused;
	}
	*count = sum;
	if (ls->count == 0)
		return 0;
	r = end_leases(ls, gone, why);
	if (r == 0 && id != 0)
		return leases_count(ls, id, count);
	return r;
}

void leases_expire(struct leases *ls)
{
	uint64_t now = (uint64_t)boot_now().v;
	bool gone[LEASES_MAX] = { false }, any = false;
	uint32_t i;

	for (i = 0; i < ls->count; i++) {
		gone[i] = ls->list[i].deadline <= now;
		any |= gone[i];
	}
	/* Should it fail, the kernel has ended them all the same: their elements have timed out. */
	if (any)
		end_leases(ls, gone, NULL);
	if (ls->count == 0)
		lower(ls);
}

uint64_t leases_deadline(const struct leases *ls)
{
	uint64_t first = 0;
	uint32_t i;

	for (i = 0; i < ls->count; i++)
		if (first == 0 || ls->list[i].deadline < first)
			first = ls->list[i].deadline;
	return first;
}

void leases_clear(struct leases *ls)
{
	uint32_t i;

	leave(ls);
	logger_clear(&ls->logger);
	for (i = 0; i < ls->count; i++)
		free(ls->list[i].patterns);
	ls->count = 0;
}
