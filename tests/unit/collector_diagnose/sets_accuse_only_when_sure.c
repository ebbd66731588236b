/*
 * A set rules a rule in or out only if its members were read before and after the packet and found the same.
 */
#include "fake.h"

enum { SYN = 2, FWD = 1 << HOOK_FORWARD };

static const char *const rules =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A FORWARD -m set --match-set bad src -j DROP\n-A FORWARD -p tcp -m tcp --dport 443 -j DROP\nCOMMIT\n";
static const char *const has = "create bad hash:ip family inet\nadd bad 10.0.1.2\n",
			 *const lacks = "create bad hash:ip family inet\nadd bad 10.0.1.9\n",
			 *const list = "create bad list:set size 8\nadd bad inner\n",
			 *const inner =
				 "create inner hash:net family inet\nadd inner 10.0.1.0/24\n";

/* A set that was read at `from` and still stood at `last`. */
static struct stored_table *set(uint64_t h, const char *name, const char *text, int64_t from_min,
				int64_t from, int64_t last, int64_t until)
{
	struct stored_table *t = &fake.tables[fake.table_count];

	table(h, name, text, from_min, from, last, until);
	t->backend = BACKEND_IPSET;
	return t;
}

static uint64_t begin(void)
{
	uint64_t rt;
	struct journey *j;

	fresh(NULL);
	rt = host("rt", "10.0.1.1/24");
	address(rt, "10.0.3.1/24");
	table(rt, "filter", rules, 0, 500, 90000, 0);
	j = journey(rt, 10000, 7, tcp("10.0.1.2", 40000, "10.0.3.2", 443), SYN, 1);
	memcpy(j->in_if, "eth0", 5);
	kernel_freed(j, "NETFILTER_DROP", FWD, 64);
	return rt;
}

/* The rule that is accused; 0: nobody is. */
static int64_t accused(void)
{
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	return strcmp(text("died_at.kind"), "rule") ? 0 : number("died_at.rule");
}

static void members_that_stood_decide(void **state)
{
	uint64_t rt = begin();

	(void)state;
	set(rt, "bad", has, 0, 500, 90000, 0);
	assert_int_equal(accused(), 1);
	assert_string_equal(text("causes.1.id"), "set-membership");
	assert_string_equal(text("causes.1.summary"), "10.0.1.2 is in the ipset bad");
	assert_string_equal(text("causes.1.evidence.0"),
			    "add bad 10.0.1.2 (it was there when the set was first read)");
	rt = begin();
	set(rt, "bad", lacks, 0, 500, 90000, 0);
	assert_int_equal(accused(), 2);
	assert_null(at("causes.1"));
	/* Of two versions the one of that time. */
	rt = begin();
	set(rt, "bad", lacks, 0, 500, 9000, 9500);
	set(rt, "bad", has, 9000, 9500, 90000, 0);
	assert_int_equal(accused(), 1);
	assert_non_null(strstr(text("causes.1.evidence.0"), "add bad 10.0.1.2 (in the set since"));
	rt = begin();
	set(rt, "bad", list, 0, 500, 90000, 0);
	set(rt, "inner", inner, 0, 500, 90000, 0);
	assert_int_equal(accused(), 1);
	assert_string_equal(text("causes.1.evidence.0"), "it is in its member inner");
}

static void what_may_have_been_otherwise_accuses_nobody(void **state)
{
	static const char *const hidden =
		"create bad hash:ip family inet\n# not captured: more than 65536 entries\n";
	uint64_t rt = begin();

	(void)state;
	/* It was never captured. */
	assert_int_equal(accused(), 0);
	assert_int_equal(json_array_size(at("died_at.candidates")), 2);
	/* It has not been read since. */
	set(rt, "bad", lacks, 0, 500, 9900, 0);
	assert_int_equal(accused(), 0);
	/* It changed between two readings, and the packet was there; in both the address is missing, in between it need not be. */
	rt = begin();
	set(rt, "bad", lacks, 0, 500, 9900, 10100);
	set(rt, "bad", "create bad hash:ip family inet\n", 9900, 10100, 90000, 0);
	assert_int_equal(accused(), 0);
	/* First read behind the packet. */
	rt = begin();
	set(rt, "bad", lacks, 0, 10100, 90000, 0);
	assert_int_equal(accused(), 0);
	/* Its members change by themselves; or there are none here; or the text has not come. */
	rt = begin();
	set(rt, "bad", lacks, 0, 500, 90000, 0)->torn = true;
	assert_int_equal(accused(), 0);
	rt = begin();
	set(rt, "bad", hidden, 0, 500, 90000, 0);
	assert_int_equal(accused(), 0);
	rt = begin();
	set(rt, "bad", "nonsense", 0, 500, 90000, 0);
	assert_int_equal(accused(), 0);
	/* A member of the list is not known. */
	rt = begin();
	set(rt, "bad", list, 0, 500, 90000, 0);
	assert_int_equal(accused(), 0);
	/* The name was another family's before: whose members those were is not known. */
	rt = begin();
	set(rt, "bad", lacks, 0, 500, 90000, 0);
	set(rt, "bad", "create bad hash:ip family inet6\n", 0, 500, 90000, 0)->family = FAMILY_IPV6;
	assert_int_equal(accused(), 0);
}

/* A packet that was traced into the rule was in its set, whatever was captured. */
static void a_traced_rule_is_believed(void **state)
{
	uint64_t rt;
	struct journey *j;

	(void)state;
	fresh(NULL);
	rt = host("rt", "10.0.1.1/24");
	table(rt, "filter", rules, 0, 500, 90000, 0);
	armed(rt, 100, 90000);
	j = journey(rt, 10000, 7, tcp("10.0.1.2", 40000, "10.0.3.2", 443), SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	assert_int_equal(accused(), 1);
	assert_string_equal(text("causes.1.summary"), "10.0.1.2 is in the ipset bad");
	assert_non_null(strstr(text("causes.1.evidence.0"), "it was never captured"));
	set(rt, "bad", lacks, 0, 500, 90000, 0);
	assert_int_equal(accused(), 1);
	assert_non_null(strstr(text("causes.1.summary"), "deny"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(members_that_stood_decide, fresh),
		cmocka_unit_test_setup(what_may_have_been_otherwise_accuses_nobody, fresh),
		cmocka_unit_test_setup(a_traced_rule_is_believed, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
