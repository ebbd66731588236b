/*
 * Was evidence lost around then? Against a look at each loss, for losses of all lengths that lie upon one another.
 */
#include "fake.h"

#include "collector/stitch/fleet.h"

enum { LOSSES = 60, HOSTS = 3, MARGIN_MS = 1000 };

static uint32_t dice = 1;

static int64_t under(int64_t n)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 8) % n;
}

static int by_from(const void *pa, const void *pb)
{
	const struct stored_loss *a = pa, *b = pb;

	return (a->from.v > b->from.v) - (a->from.v < b->from.v);
}

static const struct stored_loss *seen_by_all(uint64_t h, int64_t from, int64_t until)
{
	for (size_t i = 0; i < fake.loss_count; i++) {
		const struct stored_loss *l = &fake.losses[i];

		if (l->host == h && strcmp(l->source, "conntrack") &&
		    l->from.v - ms(MARGIN_MS) <= ms(until) &&
		    l->until.v + ms(MARGIN_MS) >= ms(from))
			return l;
	}
	return NULL;
}

static void the_first_of_the_host_that_reaches_into_it(void **state)
{
	static const char *const sources[] = { "trace-nft", "conntrack", "drops:QDISC_DROP" };
	size_t found = 0, none = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct fleet f;
		struct arena a;

		fresh(NULL);
		for (int64_t i = 0; i < under(LOSSES); i++) {
			int64_t from = under(90000);

			lost((uint64_t)under(HOSTS) + 1, sources[under(3)], from,
			     from + under(under(5) ? 2000 : 50000));
		}
		qsort(fake.losses, fake.loss_count, sizeof(fake.losses[0]), by_from);
		arena_init(&a, 1 << 22);
		assert_int_equal(fleet_load(&f, NULL, &a, (struct wall_ns){ 0 },
					    (struct wall_ns){ ms(100000) }),
				 0);
		for (int k = 0; k < 50; k++) {
			uint64_t h = (uint64_t)under(HOSTS) + 1;
			int64_t from = under(100000), until = from + under(3000);
			const struct stored_loss *right = seen_by_all(h, from, until);

			assert_ptr_equal(fleet_lost(&f, h, (struct wall_ns){ ms(from) },
						    (struct wall_ns){ ms(until) }),
					 right);
			found += right != NULL;
			none += right == NULL;
		}
		fleet_clear(&f);
		arena_free(&a);
	}
	assert_true(found > 1000 && none > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_first_of_the_host_that_reaches_into_it, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
