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

enum { ENTRIES = 10, HEAD = sizeof(struct ipt_entry) };

/* INPUT with two rules, OUTPUT with none, user chain "deep" with one, user chain "void" with none. */
enum { IN1, IN2, IN_POLICY, OUT_POLICY, DEEP, DEEP_RULE, DEEP_END, EMPTY, EMPTY_END, END };

struct blob {
	_Alignas(8) char bytes[ENTRIES * 256];
	uint32_t at[ENTRIES], len;
	uint32_t starts[NF_INET_NUMHOOKS], policies[NF_INET_NUMHOOKS];
};

static struct ipt_entry *entry(struct blob *b, int i)
{
	return (void *)(b->bytes + b->at[i]);
}

/* error: the name that its ERROR target bears; NULL: a verdict. */
static void put(struct blob *b, int i, uint64_t packets, const char *error)
{
	size_t target = error ? sizeof(struct xt_error_target) : sizeof(struct xt_standard_target);
	struct xt_error_target *t = (void *)(b->bytes + b->len + HEAD);

	b->at[i] = b->len;
	entry(b, i)->target_offset = HEAD;
	entry(b, i)->next_offset = (uint16_t)(HEAD + target);
	entry(b, i)->counters = (struct xt_counters){ packets, packets * 10 };
	if (error) {
		memcpy(t->target.u.user.name, XT_ERROR_TARGET, sizeof(XT_ERROR_TARGET));
		memcpy(t->errorname, error, strlen(error));
	}
	b->len += (uint32_t)(HEAD + target);
}

static struct rawentries make(struct blob *b)
{
	memset(b, 0, sizeof(*b));
	put(b, IN1, 1, NULL);
	put(b, IN2, 2, NULL);
	put(b, IN_POLICY, 3, NULL);
	put(b, OUT_POLICY, 4, NULL);
	put(b, DEEP, 99, "deep");
	put(b, DEEP_RULE, 5, NULL);
	put(b, DEEP_END, 6, NULL);
	put(b, EMPTY, 99, "void");
	put(b, EMPTY_END, 7, NULL);
	put(b, END, 99, XT_ERROR_TARGET);
	b->starts[NF_INET_LOCAL_IN] = b->at[IN1];
	b->policies[NF_INET_LOCAL_IN] = b->at[IN_POLICY];
	b->starts[NF_INET_LOCAL_OUT] = b->policies[NF_INET_LOCAL_OUT] = b->at[OUT_POLICY];
	return (struct rawentries){ .family = FAMILY_IPV4,
				    .name = "filter",
				    .hooks = 1u << NF_INET_LOCAL_IN | 1u << NF_INET_LOCAL_OUT,
				    .starts = b->starts,
				    .policies = b->policies,
				    .entries = b->bytes,
				    .size = b->len };
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
		entry(&b, DEEP_RULE)->next_offset = bad[i];
		assert_int_equal(take(&e, fd), -EBADMSG);
		e = make(&b);
		entry(&b, IN2)->target_offset = bad[i];
		assert_int_equal(take(&e, fd), -EBADMSG);
	}
	e = make(&b);
	e.size -= 4;
	assert_int_equal(take(&e, fd), -EBADMSG);
	/* A rule behind the policy belongs to no chain. */
	e = make(&b);
	b.policies[NF_INET_LOCAL_IN] = b.at[IN1];
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
