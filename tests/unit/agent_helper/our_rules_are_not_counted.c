/* A table with rules of ours in it is, once they are stripped, the table without them: offsets, jumps and all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "agent/helper/ours.h"

#define AGENT UINT64_C(0xfedcba9876543210)

enum { ROOM = 4096, PRE = NF_INET_PRE_ROUTING, OUT = NF_INET_LOCAL_OUT };

struct table {
	enum family family;
	uint32_t size, starts[NF_INET_NUMHOOKS], policies[NF_INET_NUMHOOKS];
	char entries[ROOM] __attribute__((aligned(8)));
};

static size_t head(const struct table *t)
{
	return t->family == FAMILY_IPV4 ? sizeof(struct ipt_entry) : sizeof(struct ip6t_entry);
}

/* Closes the entry that begins at t->size. */
static void entry_end(struct table *t, size_t target, size_t next)
{
	char *p = t->entries + t->size;

	if (t->family == FAMILY_IPV4) {
		struct ipt_entry *e = (void *)p;

		e->target_offset = (uint16_t)target;
		e->next_offset = (uint16_t)next;
	} else {
		struct ip6t_entry *e = (void *)p;

		e->target_offset = (uint16_t)target;
		e->next_offset = (uint16_t)next;
	}
	t->size += (uint32_t)next;
}

static void add_jump(struct table *t, int verdict)
{
	struct xt_standard_target *s = (void *)(t->entries + t->size + head(t));

	s->target.u.target_size = sizeof(*s);
	s->verdict = verdict;
	entry_end(t, head(t), head(t) + sizeof(*s));
}

static void add_commented(struct table *t, const char *target, const char *comment)
{
	struct xt_entry_match *m = (void *)(t->entries + t->size + head(t));
	size_t match = sizeof(*m) + XT_ALIGN(sizeof(struct xt_comment_info));
	struct xt_entry_target *g = (void *)((char *)m + match);

	m->u.match_size = (uint16_t)match;
	snprintf(m->u.user.name, sizeof(m->u.user.name), "comment");
	snprintf(((struct xt_comment_info *)(void *)m->data)->comment, XT_MAX_COMMENT_LEN, "%s",
		 comment);
	g->u.target_size = sizeof(*g);
	snprintf(g->u.user.name, sizeof(g->u.user.name), "%s", target);
	entry_end(t, head(t) + match, head(t) + match + sizeof(*g));
}

/* PREROUTING: [ours], one that is like ours, a jump to the chain, policy; OUTPUT: [ours], policy; the chain. */
static void build(struct table *t, enum family family, bool ours)
{
	char comment[OURS_COMMENT_MAX];
	uint32_t chain_jump;

	memset(t, 0, sizeof(*t));
	t->family = family;
	ours_comment(comment, AGENT, 0x4f21);
	t->starts[PRE] = t->size;
	if (ours) {
		add_commented(t, "TRACE", comment);
		add_commented(t, "TRACE", comment);
	}
	add_commented(t, "LOG", comment);
	add_commented(t, "TRACE", "lasthop my own lease");
	chain_jump = t->size;
	add_jump(t, 0);
	t->policies[PRE] = t->size;
	add_jump(t, -2);
	t->starts[OUT] = t->size;
	if (ours)
		add_commented(t, "TRACE", comment);
	t->policies[OUT] = t->size;
	add_jump(t, -2);
	((struct xt_standard_target *)(void *)(t->entries + chain_jump + head(t)))->verdict =
		(int)t->size;
	add_jump(t, -1);
}

static void stripped_is_without(void **state)
{
	static const enum family families[] = { FAMILY_IPV4, FAMILY_IPV6 };
	static struct table with, without;

	(void)state;
	for (int i = 0; i < 2; i++) {
		build(&with, families[i], true);
		build(&without, families[i], false);
		assert_int_equal(ours_strip(families[i], with.entries, &with.size, with.starts,
					    with.policies, 1 << PRE | 1 << OUT),
				 0);
		assert_memory_equal(&with, &without, sizeof(with));
		assert_int_equal(ours_strip(families[i], with.entries, &with.size, with.starts,
					    with.policies, 1 << PRE | 1 << OUT),
				 0);
		assert_memory_equal(&with, &without, sizeof(with));
	}
}

static void offsets_that_do_not_add_up_are_refused(void **state)
{
	static struct table t, was;

	(void)state;
	for (uint32_t cut = 1; cut < 100; cut++) {
		build(&t, FAMILY_IPV4, true);
		t.size -= cut;
		was = t;
		assert_true(ours_strip(FAMILY_IPV4, t.entries, &t.size, t.starts, t.policies,
				       1 << PRE | 1 << OUT) < 0 ||
			    t.size < was.size);
	}
	build(&t, FAMILY_IPV4, true);
	((struct ipt_entry *)(void *)t.entries)->next_offset = 0;
	was = t;
	assert_true(ours_strip(FAMILY_IPV4, t.entries, &t.size, t.starts, t.policies, 1 << PRE) <
		    0);
	assert_memory_equal(&t, &was, sizeof(t));
}

static bool is_ours(const char *target, const char *comment, uint64_t agent)
{
	static struct table t;
	const struct ipt_entry *e = (void *)t.entries;

	memset(&t, 0, sizeof(t));
	t.family = FAMILY_IPV4;
	add_commented(&t, target, comment);
	return ours_is(t.entries + sizeof(*e), t.entries + e->target_offset,
		       t.entries + e->target_offset, agent);
}

static void only_ours_are_ours(void **state)
{
	(void)state;
	assert_true(is_ours("TRACE", "lasthop fedcba9876543210 lease 4f21", AGENT));
	assert_true(is_ours("TRACE", "lasthop fedcba9876543210 lease 4f21", 0));
	assert_false(is_ours("TRACE", "lasthop fedcba9876543210 lease 4f21", 1));
	assert_false(is_ours("DROP", "lasthop fedcba9876543210 lease 4f21", 0));
	assert_false(is_ours("TRACE", "lasthop fedcba987654321 lease 4f21", 0));
	assert_false(is_ours("TRACE", "lasthop fedcba9876543210 loose 4f21", 0));
	assert_false(is_ours("TRACE", "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stripped_is_without),
		cmocka_unit_test(offsets_that_do_not_add_up_are_refused),
		cmocka_unit_test(only_ours_are_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
