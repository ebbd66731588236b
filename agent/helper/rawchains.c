/*
 * A table is one row of entries: the built-in chains, each ending with its policy at a known place, then the users', each
 * behind an ERROR target that bears its name and ending with a RETURN that nobody wrote, then one more ERROR.
 */
#include "agent/helper/rawchains.h"

#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdlib.h>
#include <string.h>

enum { HOOKS = NF_INET_NUMHOOKS, ALIGN = _Alignof(struct xt_counters) };

static int entry_read(struct rawentry *out, const struct rawentries *e, uint32_t at)
{
	const char *p = (const char *)e->entries + at;
	uint32_t left = e->size - at, target, next;

	if (e->family == FAMILY_IPV4) {
		const struct ipt_entry *entry = (const void *)p;

		if (left < sizeof(*entry))
			return -EBADMSG;
		out->matches = sizeof(*entry);
		target = entry->target_offset;
		next = entry->next_offset;
	} else {
		const struct ip6t_entry *entry = (const void *)p;

		if (left < sizeof(*entry))
			return -EBADMSG;
		out->matches = sizeof(*entry);
		target = entry->target_offset;
		next = entry->next_offset;
	}
	if (next > left || next % ALIGN || target % ALIGN || target < out->matches ||
	    next < target || next - target < sizeof(struct xt_entry_target))
		return -EBADMSG;
	*out = (struct rawentry){ at + out->matches, at + target, at + next };
	return 0;
}

static const struct xt_entry_target *target_at(const struct rawentries *e, uint32_t at)
{
	return (const void *)((const char *)e->entries + at);
}

static const char *error_name(const struct rawentries *e, const struct rawentry *entry)
{
	const struct xt_error_target *t = (const void *)target_at(e, entry->target);

	if (entry->next - entry->target < sizeof(*t) ||
	    strncmp(t->target.u.user.name, XT_ERROR_TARGET, sizeof(t->target.u.user.name)) != 0 ||
	    strnlen(t->errorname, sizeof(t->errorname)) == sizeof(t->errorname))
		return NULL;
	return t->errorname;
}

static const char *policy_at(const struct rawentries *e, const struct rawentry *entry)
{
	const struct xt_standard_target *t = (const void *)target_at(e, entry->target);

	return t->verdict == -NF_ACCEPT - 1 ? "ACCEPT" : "DROP";
}

static struct rawchain *chain_add(struct rawchains *c, uint32_t *cap)
{
	struct rawchain *grown;

	if (c->count == *cap) {
		*cap = *cap ? *cap * 2 : 64;
		grown = reallocarray(c->list, *cap, sizeof(*grown));
		if (!grown)
			return NULL;
		c->list = grown;
	}
	return &c->list[c->count++];
}

/* The hook whose chain begins here; -1 none. */
static int hook_at(const struct rawentries *e, uint32_t at)
{
	int h;

	for (h = 0; h < HOOKS; h++)
		if ((e->hooks & 1u << h) && e->starts[h] == at)
			return h;
	return -1;
}

static int builtin_add(struct rawchains *c, uint32_t *cap, int hook, uint32_t at)
{
	static const char *const names[HOOKS] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
						  "POSTROUTING" };
	struct rawchain *chain = chain_add(c, cap);
	struct rawentry policy;
	int r;

	if (!chain)
		return -ENOMEM;
	if (c->entries->policies[hook] < at || c->entries->policies[hook] >= c->entries->size)
		return -EBADMSG;
	r = entry_read(&policy, c->entries, c->entries->policies[hook]);
	if (r < 0)
		return r;
	*chain = (struct rawchain){ names[hook], policy_at(c->entries, &policy), at,
				    c->entries->policies[hook] };
	c->builtin = c->count;
	return 0;
}

static int cut(struct rawchains *c)
{
	const struct rawentries *e = c->entries;
	uint32_t at = 0, last = 0, cap = 0;
	struct rawchain *user = NULL;
	struct rawentry entry;
	const char *name;
	int r, hook;

	for (; at < e->size; last = at, at = entry.next) {
		r = entry_read(&entry, e, at);
		if (r < 0)
			return r;
		name = error_name(e, &entry);
		if (name) {
			/* The chain before ends with a RETURN that nobody wrote. */
			if (user)
				user->end = last;
			if (entry.next == e->size)
				return 0;
			user = chain_add(c, &cap);
			if (!user)
				return -ENOMEM;
			*user = (struct rawchain){ name, NULL, entry.next, entry.next };
			continue;
		}
		hook = user ? -1 : hook_at(e, at);
		if (hook < 0)
			continue;
		r = builtin_add(c, &cap, hook, at);
		if (r < 0)
			return r;
	}
	return -EBADMSG;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct rawchain *)a)->name, ((const struct rawchain *)b)->name);
}

static int by_place(const void *a, const void *b)
{
	const struct rawchain *x = *(struct rawchain *const *)a, *y = *(struct rawchain *const *)b;

	return x->first < y->first ? -1 : x->first > y->first;
}

int rawchains_open(struct rawchains *c, const struct rawentries *e)
{
	uint32_t i, users;
	int r;

	*c = (struct rawchains){ .entries = e };
	r = cut(c);
	if (r < 0)
		goto out;
	users = c->count - c->builtin;
	c->by_place = calloc(users + 1, sizeof(struct rawchain *));
	if (!c->by_place) {
		r = -ENOMEM;
		goto out;
	}
	qsort(c->list + c->builtin, users, sizeof(*c->list), by_name);
	for (i = 0; i < users; i++)
		c->by_place[i] = &c->list[c->builtin + i];
	qsort(c->by_place, users, sizeof(struct rawchain *), by_place);
	return 0;
out:
	rawchains_clear(c);
	return r;
}

void rawchains_clear(struct rawchains *c)
{
	free(c->list);
	free(c->by_place);
	*c = (struct rawchains){ 0 };
}

struct rawentry rawchains_entry(const struct rawchains *c, uint32_t at)
{
	struct rawentry entry = { at, at, c->entries->size };

	entry_read(&entry, c->entries, at); /* rawchains_open() has read all of them */
	return entry;
}

const char *rawchains_verdict(const struct rawchains *c, int verdict, uint32_t next)
{
	struct rawchain wanted = { .first = (uint32_t)verdict }, *key = &wanted, **found;

	switch (verdict) {
	case -NF_ACCEPT - 1:
		return "ACCEPT";
	case -NF_DROP - 1:
		return "DROP";
	case -NF_QUEUE - 1:
		return "QUEUE";
	case XT_RETURN:
		return "RETURN";
	}
	if (verdict < 0)
		return NULL;
	if ((uint32_t)verdict == next)
		return "";
	found = bsearch(&key, c->by_place, c->count - c->builtin, sizeof(struct rawchain *),
			by_place);
	return found ? (*found)->name : NULL;
}
