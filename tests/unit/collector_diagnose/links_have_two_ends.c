/*
 * What was lost between two hosts because the one sends larger packets than the other's interface takes; and where that is not it.
 */
#include "fake.h"

enum { PSH = 8, ACK = 16 };

static uint64_t gw, rt;

static struct tuple web(void)
{
	return tcp("10.0.1.2", 40000, "10.0.3.2", 443);
}

static struct journey *passes(uint64_t h, int64_t at, uint64_t fp, uint16_t size)
{
	struct journey *j = journey(h, at, fp, web(), PSH | ACK, (uint32_t)fp);

	j->total_len = size;
	checkpoint(j, CHECKPOINT_PRE_FIRST, h == gw ? 64 : 63);
	checkpoint(j, CHECKPOINT_POST_LAST, h == gw ? 63 : 62);
	return j;
}

/* A large packet leaves gw, and is not seen again. */
static void lost_between(uint32_t mtu)
{
	fresh(NULL);
	gw = host("gw", "10.0.2.1/24");
	rt = host("rt", "10.0.2.2/24");
	route(gw, "10.0.3.0/24", "10.0.2.2");
	armed(gw, 0, 0);
	armed(rt, 0, 0);
	fake.links[gw - 1][0].mtu = 1500;
	fake.links[rt - 1][0].mtu = mtu;
	passes(gw, 1000, 7, 1400);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
}

static void the_other_end_takes_less(void **state)
{
	(void)state;
	lost_between(1200);
	assert_string_equal(text("causes.0.id"), "mtu");
	assert_string_equal(
		text("causes.0.summary"),
		"it has 1400 bytes, and eth0 of rt takes 1200: the ends of that link have different MTUs");
	assert_string_equal(text("causes.1.id"), "lost-between-hosts");
}

static void an_end_that_takes_it_is_not_blamed(void **state)
{
	(void)state;
	lost_between(1500);
	assert_string_equal(text("causes.0.id"), "lost-between-hosts");
	lost_between(0); /* not known */
	assert_string_equal(text("causes.0.id"), "lost-between-hosts");
	/* What the driver says and what it does are two things: as large a one came through. */
	lost_between(1200);
	passes(gw, 2000, 8, 1400);
	passes(rt, 2001, 8, 1400);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
	assert_string_equal(text("causes.0.id"), "lost-between-hosts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, fresh)
		T(the_other_end_takes_less),
		T(an_end_that_takes_it_is_not_blamed),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
