/*
 * A table is cut into the chains that iptables-save prints, in its order; offsets that do not add up are refused, whatever they are.
 */
#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/rawchains.h"

struct plain {
	_Alignas(8) char entry[sizeof(struct ipt_entry)];
	struct xt_standard_target target;
};

struct head {
	_Alignas(8) char entry[sizeof(struct ipt_entry)];
	struct xt_error_target target;
};

/* INPUT: jump to zed, policy DROP; chains zed (RETURN, then its end) and abc (empty). */
struct table {
	struct plain jump, policy;
	struct head zed;
	struct plain rule, zed_end;
	struct head abc;
	struct plain abc_end;
	struct head end;
};

static void plain(struct plain *p, int verdict)
{
	struct ipt_entry *e = (void *)p->entry;

	e->target_offset = sizeof(p->entry);
	e->next_offset = sizeof(*p);
	p->target.target.u.target_size = sizeof(p->target);
	p->target.verdict = verdict;
}

static void head(struct head *h, const char *name)
{
	struct ipt_entry *e = (void *)h->entry;

	e->target_offset = sizeof(h->entry);
	e->next_offset = sizeof(*h);
	h->target.target.u.target_size = sizeof(h->target);
	memcpy(h->target.target.u.user.name, XT_ERROR_TARGET, sizeof(XT_ERROR_TARGET));
	memcpy(h->target.errorname, name, strlen(name) + 1);
}

static struct rawentries make(struct table *t)
{
	static const uint32_t starts[NF_INET_NUMHOOKS] = { 0 }, policies[NF_INET_NUMHOOKS] = {
		[NF_INET_LOCAL_IN] = offsetof(struct table, policy)
	};

	memset(t, 0, sizeof(*t));
	plain(&t->jump, offsetof(struct table, rule));
	plain(&t->policy, -NF_DROP - 1);
	head(&t->zed, "zed");
	plain(&t->rule, XT_RETURN);
	plain(&t->zed_end, XT_RETURN);
	head(&t->abc, "abc");
	plain(&t->abc_end, XT_RETURN);
	head(&t->end, "ERROR");
	return (struct rawentries){ .family = FAMILY_IPV4,
				    .name = "filter",
				    .hooks = 1 << NF_INET_LOCAL_IN,
				    .starts = starts,
				    .policies = policies,
				    .entries = t,
				    .size = sizeof(*t) };
}

static void chains_stand_as_iptables_save_prints_them(void **state)
{
	struct table t;
	struct rawentries e = make(&t);
	struct rawchains c;

	(void)state;
	assert_int_equal(rawchains_open(&c, &e), 0);
	assert_int_equal(c.count, 3);
	assert_string_equal(c.list[0].name, "INPUT");
	assert_string_equal(c.list[0].policy, "DROP");
	assert_int_equal(c.list[0].end, offsetof(struct table, policy));
	assert_string_equal(c.list[1].name, "abc");
	assert_int_equal(c.list[1].first, c.list[1].end);
	assert_string_equal(c.list[2].name, "zed");
	assert_null(c.list[2].policy);
	assert_int_equal(c.list[2].end, offsetof(struct table, zed_end));
	assert_string_equal(rawchains_verdict(&c, t.jump.target.verdict, sizeof(t.jump)), "zed");
	assert_string_equal(rawchains_verdict(&c, sizeof(t.jump), sizeof(t.jump)), "");
	assert_string_equal(rawchains_verdict(&c, XT_RETURN, 0), "RETURN");
	assert_null(rawchains_verdict(&c, 8, 0));
	assert_null(rawchains_verdict(&c, -77, 0));
	rawchains_clear(&c);
}

static void what_does_not_add_up_is_refused(void **state)
{
	struct table t;
	struct rawentries e = make(&t);
	struct rawchains c;
	uint32_t i, k;

	(void)state;
	for (i = 0; i < sizeof(t); i += 8) {
		e = make(&t);
		e.size = i;
		/* Where a chain's head ends the last one might, too. */
		if (i != offsetof(struct table, rule) && i != offsetof(struct table, abc_end))
			assert_int_equal(rawchains_open(&c, &e), -EBADMSG);
	}
	/* Every 16 bits of it, set to something else: never a crash, and never beyond its end. */
	for (i = 0; i + 2 <= sizeof(t); i += 2) {
		static const uint16_t odd[] = { 0, 1, 8, 112, 152, 1024, 32768, 65535 };

		for (k = 0; k < sizeof(odd) / sizeof(odd[0]); k++) {
			e = make(&t);
			memcpy((char *)&t + i, &odd[k], sizeof(odd[k]));
			if (rawchains_open(&c, &e) == 0)
				rawchains_clear(&c);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_stand_as_iptables_save_prints_them),
		cmocka_unit_test(what_does_not_add_up_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
