/* The kernel's row of entries becomes chains with their counters; what does not add up is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/netfilter_ipv4/ip_tables.h>

#include "agent/helper/ipc.h"
#include "agent/helper/rawcounters.h"

struct plain {
	struct ipt_entry e;
	struct xt_standard_target t;
};

struct named {
	struct ipt_entry e;
	struct xt_error_target t;
};

/* INPUT with two rules, OUTPUT with none, user chain "deep" with one, user chain "void" with none. */
struct blob {
	struct plain in[2], in_policy, out_policy;
	struct named deep;
	struct plain deep_rule, deep_end;
	struct named empty;
	struct plain empty_end;
	struct named end;
};

static void put_plain(struct plain *p, uint64_t packets)
{
	p->e.target_offset = sizeof(p->e);
	p->e.next_offset = sizeof(*p);
	p->e.counters = (struct xt_counters){ packets, packets * 10 };
}

static void put_named(struct named *p, const char *name)
{
	p->e.target_offset = sizeof(p->e);
	p->e.next_offset = sizeof(*p);
	p->e.counters.pcnt = 99;
	memcpy(p->t.target.u.user.name, XT_ERROR_TARGET, sizeof(XT_ERROR_TARGET));
	memcpy(p->t.errorname, name, strlen(name));
}

static struct rawentries make(struct blob *b)
{
	static uint32_t starts[NF_INET_NUMHOOKS], policies[NF_INET_NUMHOOKS];

	memset(b, 0, sizeof(*b));
	put_plain(&b->in[0], 1);
	put_plain(&b->in[1], 2);
	put_plain(&b->in_policy, 3);
	put_plain(&b->out_policy, 4);
	put_named(&b->deep, "deep");
	put_plain(&b->deep_rule, 5);
	put_plain(&b->deep_end, 6);
	put_named(&b->empty, "void");
	put_plain(&b->empty_end, 7);
	put_named(&b->end, XT_ERROR_TARGET);
	starts[NF_INET_LOCAL_IN] = 0;
	policies[NF_INET_LOCAL_IN] = offsetof(struct blob, in_policy);
	starts[NF_INET_LOCAL_OUT] = policies[NF_INET_LOCAL_OUT] = offsetof(struct blob, out_policy);
	return (struct rawentries){ .family = FAMILY_IPV4,
				    .name = "filter",
				    .hooks = 1u << NF_INET_LOCAL_IN | 1u << NF_INET_LOCAL_OUT,
				    .starts = starts,
				    .policies = policies,
				    .entries = b,
				    .size = sizeof(*b) };
}

static int take(const struct rawentries *e, int fd)
{
	struct rawcounters c;
	int r;

	rawcounters_init(&c, fd);
	r = rawcounters_take(&c, e);
	rawcounters_clear(&c);
	return r;
}

static void chains_come_with_their_counters(void **state)
{
	static const struct {
		const char *name;
		uint32_t rules, policy;
	} chains[] = { { "INPUT", 2, 1 }, { "OUTPUT", 0, 1 }, { "deep", 1, 0 }, { "void", 0, 0 } };
	static const uint64_t packets[] = { 1, 2, 3, 4, 5 };
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct counters_part part;
	struct counters_chain chain;
	struct counters_value value;
	struct blob b;
	struct rawentries e = make(&b);

	(void)state;
	assert_int_equal(take(&e, fd), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(read(fd, &part, sizeof(part)), sizeof(part));
	assert_int_equal(part.backend, BACKEND_LEGACY);
	assert_int_equal(part.family, FAMILY_IPV4);
	assert_string_equal(part.table, "filter");
	assert_int_equal(part.chains, 4);
	assert_int_equal(part.values, 5);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(read(fd, &chain, sizeof(chain)), sizeof(chain));
		assert_string_equal(chain.name, chains[i].name);
		assert_int_equal(chain.rules, chains[i].rules);
		assert_int_equal(chain.policy, chains[i].policy);
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
		assert_int_equal(value.packets, packets[i]);
		assert_int_equal(value.bytes, packets[i] * 10);
	}
	assert_int_equal(read(fd, &value, 1), 0);
	close(fd);
}

static void offsets_that_do_not_add_up_are_refused(void **state)
{
	static const uint16_t bad[] = { 0, 1, sizeof(struct ipt_entry) - 1, 65535 };
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct blob b;
	struct rawentries e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e = make(&b);
		b.deep_rule.e.next_offset = bad[i];
		assert_int_equal(take(&e, fd), -EBADMSG);
		e = make(&b);
		b.in[1].e.target_offset = bad[i];
		assert_int_equal(take(&e, fd), -EBADMSG);
	}
	e = make(&b);
	e.size -= 4;
	assert_int_equal(take(&e, fd), -EBADMSG);
	/* A rule behind the policy belongs to no chain. */
	e = make(&b);
	((uint32_t *)e.policies)[NF_INET_LOCAL_IN] = offsetof(struct blob, in);
	assert_int_equal(take(&e, fd), -EBADMSG);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_come_with_their_counters),
		cmocka_unit_test(offsets_that_do_not_add_up_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
