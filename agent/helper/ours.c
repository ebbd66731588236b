#include "agent/helper/ours.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "lasthop 0123456789abcdef lease 4f21" */
#define COMMENT_START "lasthop "

#define ALIGNED XT_ALIGN(1) /* how the kernel lays out entries */

enum { AGENT_DIGITS = 16 };

void ours_comment(char comment[static OURS_COMMENT_MAX], uint64_t agent, uint64_t lease)
{
	snprintf(comment, OURS_COMMENT_MAX, COMMENT_START "%016" PRIx64 " lease %" PRIx64, agent,
		 lease);
}

static bool comment_is_ours(const char *comment, uint64_t agent)
{
	char digits[AGENT_DIGITS + 1];
	size_t start = strlen(COMMENT_START);

	if (strncmp(comment, COMMENT_START, start) != 0)
		return false;
	comment += start;
	if (strspn(comment, "0123456789abcdef") != AGENT_DIGITS ||
	    strncmp(comment + AGENT_DIGITS, " lease ", 7) != 0)
		return false;
	memcpy(digits, comment, AGENT_DIGITS);
	digits[AGENT_DIGITS] = '\0';
	return agent == 0 || strtoull(digits, NULL, 16) == agent;
}

bool ours_is(const void *matches, const void *end, const void *target, uint64_t agent)
{
	const struct xt_entry_target *t = target;
	const char *at = matches;

	if (strncmp(t->u.user.name, "TRACE", sizeof(t->u.user.name)) != 0)
		return false;
	while ((const char *)end - at >= (ptrdiff_t)sizeof(struct xt_entry_match)) {
		const struct xt_entry_match *m = (const void *)at;
		const struct xt_comment_info *c = (const void *)m->data;

		if (m->u.match_size < sizeof(*m) || m->u.match_size % ALIGNED ||
		    m->u.match_size > (const char *)end - at)
			return false;
		if (strncmp(m->u.user.name, "comment", sizeof(m->u.user.name)) == 0 &&
		    m->u.match_size >= sizeof(*m) + sizeof(*c) &&
		    memchr(c->comment, '\0', sizeof(c->comment)) &&
		    comment_is_ours(c->comment, agent))
			return true;
		at += m->u.match_size;
	}
	return false;
}

/* --- stripping ---------------------------------------------------------------------------------- */

/* One entry, without its family. */
struct entry {
	uint32_t matches, target, next; /* offsets from its start */
};

static int entry_at(enum family family, const char *p, uint32_t left, struct entry *e)
{
	if (family == FAMILY_IPV4) {
		const struct ipt_entry *v4 = (const void *)p;

		if (left < sizeof(*v4))
			return -EBADMSG;
		*e = (struct entry){ sizeof(*v4), v4->target_offset, v4->next_offset };
	} else {
		const struct ip6t_entry *v6 = (const void *)p;

		if (left < sizeof(*v6))
			return -EBADMSG;
		*e = (struct entry){ sizeof(*v6), v6->target_offset, v6->next_offset };
	}
	if (e->next % ALIGNED || e->target % ALIGNED || e->next > left || e->target < e->matches ||
	    e->next < e->target + sizeof(struct xt_entry_target))
		return -EBADMSG;
	return 0;
}

static bool entry_is_ours(const char *p, const struct entry *e)
{
	return ours_is(p + e->matches, p + e->target, p + e->target, 0);
}

/* Entries that are taken out, in order. */
struct gaps {
	struct gap {
		uint32_t at, len;
	} * list; /* owned */
	uint32_t count;
};

/* Bytes of ours before an offset of the table as it was. */
static uint32_t ours_before(const struct gaps *g, uint32_t offset)
{
	uint32_t i, sum = 0;

	for (i = 0; i < g->count && g->list[i].at < offset; i++)
		sum += g->list[i].len;
	return sum;
}

/* A jump bears the offset of the chain that it leads to. */
static void fix_jump(const struct gaps *g, char *target)
{
	struct xt_standard_target *t = (void *)target;

	if (t->target.u.user.name[0] == '\0' && t->target.u.target_size >= sizeof(*t) &&
	    t->verdict > 0)
		t->verdict -= (int)ours_before(g, (uint32_t)t->verdict);
}

static int gaps_find(struct gaps *g, enum family family, const char *p, uint32_t size)
{
	uint32_t at, cap = 0;
	struct gap *grown;
	struct entry e;
	int r;

	for (at = 0; at < size; at += e.next) {
		r = entry_at(family, p + at, size - at, &e);
		if (r < 0)
			return r;
		if (!entry_is_ours(p + at, &e))
			continue;
		if (g->count == cap) {
			cap = cap ? 2 * cap : 64;
			grown = realloc(g->list, cap * sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			g->list = grown;
		}
		g->list[g->count++] = (struct gap){ at, e.next };
	}
	return 0;
}

int ours_strip(enum family family, void *entries, uint32_t *size, uint32_t *starts,
	       uint32_t *policies, uint32_t hooks)
{
	struct gaps g = { NULL, 0 };
	uint32_t at, to = 0, next = 0, h;
	char *p = entries;
	struct entry e;
	int r;

	r = gaps_find(&g, family, p, *size);
	if (r < 0 || g.count == 0)
		goto out;
	for (h = 0; h < NF_INET_NUMHOOKS; h++) {
		if (!(hooks & 1U << h))
			continue;
		starts[h] -= ours_before(&g, starts[h]);
		policies[h] -= ours_before(&g, policies[h]);
	}
	for (at = 0; at < *size && entry_at(family, p + at, *size - at, &e) == 0; at += e.next) {
		if (next < g.count && g.list[next].at == at) {
			next++;
			continue;
		}
		memmove(p + to, p + at, e.next);
		fix_jump(&g, p + to + e.target);
		to += e.next;
	}
	memset(p + to, 0, *size - to);
	*size = to;
out:
	free(g.list);
	return r;
}
