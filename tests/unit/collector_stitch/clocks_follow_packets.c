/* Packets correct the times that are shown, within what pings leave open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/clocks.h"

enum { MS = 1000000, A = 1, B = 2 };

/* One packet from one host to another. */
struct trip {
	struct stored_journey sj[2];
	struct hop hops[2];
	struct path path;
};

static struct trip *trip(struct trip *t, uint64_t from, int64_t left_ms, uint64_t to,
			 int64_t came_ms, int64_t error_ms)
{
	memset(t, 0, sizeof(*t));
	t->sj[0] = (struct stored_journey){ .host = from,
					    .at = { left_ms * MS },
					    .error = error_ms * MS };
	t->sj[1] = (struct stored_journey){ .host = to,
					    .at = { came_ms * MS },
					    .error = error_ms * MS };
	t->hops[0].sj = &t->sj[0];
	t->hops[1] =
		(struct hop){ .sj = &t->sj[1], .link = LINK_PACKET, .surety = LINK_SURETY_SURE };
	t->path = (struct path){ .hops = t->hops, .hop_count = 2 };
	return t;
}

static void solve(struct trip *t, size_t n)
{
	struct clocks c = { 0 };

	for (size_t i = 0; i < n; i++)
		clocks_note(&c, &t[i].path);
	clocks_solve(&c);
	for (size_t i = 0; i < n; i++)
		clocks_apply(&c, &t[i].path);
	clocks_clear(&c);
}

static int64_t shown_ms(const struct trip *t, int hop)
{
	return hop_shown(&t->hops[hop], t->sj[hop].at).v / MS;
}

/* B's clock is 6 ms ahead; the way takes 2 ms. */
static void both_ways_tell_the_difference(void **state)
{
	struct trip t[2];

	(void)state;
	trip(&t[0], A, 100, B, 108, 5);
	trip(&t[1], B, 120, A, 116, 5);
	solve(t, 2);
	assert_int_equal(shown_ms(&t[0], 1) - shown_ms(&t[0], 0), 2);
	assert_int_equal(shown_ms(&t[1], 1) - shown_ms(&t[1], 0), 2);
	assert_int_equal(t[0].hops[0].shift, 3 * MS);
	assert_int_equal(t[0].hops[1].shift, -3 * MS);
}

static void one_that_came_late_does_not_mislead(void **state)
{
	struct trip t[4];

	(void)state;
	trip(&t[0], A, 100, B, 101, 5);
	trip(&t[1], A, 200, B, 290, 5);
	trip(&t[2], A, 300, B, 301, 5);
	trip(&t[3], B, 400, A, 401, 5);
	solve(t, 4);
	assert_int_equal(t[0].hops[0].shift, 0);
	assert_int_equal(shown_ms(&t[1], 1), 290);
}

static void one_way_only_puts_them_in_order(void **state)
{
	struct trip t[1];

	(void)state;
	trip(&t[0], A, 100, B, 96, 5);
	solve(t, 1);
	assert_int_equal(shown_ms(&t[0], 1), shown_ms(&t[0], 0));
	trip(&t[0], A, 100, B, 130, 5); /* a long way is no wrong clock */
	solve(t, 1);
	assert_int_equal(shown_ms(&t[0], 0), 100);
	assert_int_equal(shown_ms(&t[0], 1), 130);
}

static void no_clock_moves_beyond_its_error(void **state)
{
	struct trip t[1];

	(void)state;
	trip(&t[0], A, 5000, B, 1000, 3);
	solve(t, 1);
	assert_int_equal(t[0].hops[0].shift, -3 * MS);
	assert_int_equal(t[0].hops[1].shift, 3 * MS);
}

static void doubtful_links_tell_nothing(void **state)
{
	struct trip t[1];

	(void)state;
	trip(&t[0], A, 1000, B, 500, 40);
	t[0].hops[1].surety = LINK_SURETY_AMBIGUOUS;
	solve(t, 1);
	assert_int_equal(t[0].hops[0].shift, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_tell_the_difference),
		cmocka_unit_test(one_that_came_late_does_not_mislead),
		cmocka_unit_test(one_way_only_puts_them_in_order),
		cmocka_unit_test(no_clock_moves_beyond_its_error),
		cmocka_unit_test(doubtful_links_tell_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
