/*
 * What may be a packet's last journey is found by its time alone, in the open segment and in sealed ones; what got through is
 * not.
 */
#include "tests/unit/collector_store/bench.h"

enum { THROUGH_EVERY = 3 };

/* Journey n, a minute after the one before; every third got through, and one more that did was freed then. */
static struct journey ending(uint64_t n, struct step step[static 2])
{
	struct journey j = journey_of(n, step);

	j.at.v = (int64_t)(n + 1) * 60 * NS_PER_S;
	step[0].at = j.at;
	step[1] = step[0];
	j.step_count = 2;
	if (n % THROUGH_EVERY)
		return j;
	step[1].label = LABEL_CHECKPOINT;
	step[1].checkpoint = CHECKPOINT_IN_LAST;
	if (n == 0) {
		step[0] = step[1];
		step[1].label = LABEL_KERNEL;
		step[1].prefix = "SOCKET_RCVBUFF";
	}
	return j;
}

static void put(struct bench *b, uint64_t seq)
{
	struct record records[BATCH] = { 0 };
	struct step steps[BATCH][2];
	struct msg_batch m = { .seq = seq, .count = BATCH, .records = records };

	for (uint64_t i = 0; i < BATCH; i++) {
		records[i].kind = RECORD_JOURNEY;
		records[i].host = (uint32_t)(i % 2);
		records[i].journey = ending((seq - 1) * BATCH + i, steps[i]);
	}
	while (store_put(b->store, &b->agent, &m) == -EAGAIN)
		usleep(1000);
	wait_for(b, seq);
}

static size_t ask(struct bench *b, uint64_t from, uint64_t until, const uint64_t *host,
		  uint64_t after, size_t limit, bool *cut, uint64_t *newest)
{
	struct journey_query q = { .since = { (int64_t)(from + 1) * 60 * NS_PER_S },
				   .until = { (int64_t)(until + 1) * 60 * NS_PER_S },
				   .ends = true,
				   .hosts = host,
				   .host_count = host ? 1 : 0,
				   .after_row = after,
				   .limit = limit };
	struct stored_journey *list;
	struct reader *r;
	struct arena a;
	size_t count;

	arena_init(&a, 64 << 20);
	assert_int_equal(reader_open(&r, b->store, NULL), 0);
	while (reader_incomplete(r))
		usleep(1000);
	assert_int_equal(reader_journeys(r, &q, &a, &list, &count, cut), 0);
	for (size_t i = 0; i < count; i++) {
		uint64_t n = list[i].j.fp - 1000000;

		assert_true(n >= from && n <= until && (n == 0 || n % THROUGH_EVERY));
		if (i)
			assert_true(list[i].at.v > list[i - 1].at.v);
		if (list[i].row > *newest)
			*newest = list[i].row;
	}
	reader_close(r);
	arena_free(&a);
	return count;
}

static void in_every_segment(struct bench *b)
{
	uint64_t newest = 0, none = 0;
	bool cut;

	assert_int_equal(ask(b, 0, 2 * BATCH, NULL, 0, 0, &cut, &newest),
			 2 * BATCH - (2 * BATCH - 1) / THROUGH_EVERY);
	assert_false(cut);
	assert_int_equal(ask(b, 0, 3, NULL, 0, 0, &cut, &none), 3);
	assert_int_equal(ask(b, 0, 8, &b->agent.hosts[0], 0, 0, &cut, &none), 4);
	assert_int_equal(ask(b, 0, 8, &b->agent.hosts[1], 0, 0, &cut, &none), 3);
	assert_int_equal(ask(b, 0, 2 * BATCH, NULL, newest, 0, &cut, &none), 0);
	/* The newest stay. */
	assert_int_equal(ask(b, 2 * BATCH - 8, 2 * BATCH, NULL, 0, 4, &cut, &none), 4);
	assert_true(cut);
}

static void ends_are_found_in_open_and_sealed_segments(void **state)
{
	struct bench *b = *state;

	open_store(b, 1);
	put(b, 1);
	put(b, 2);
	in_every_segment(b);
	store_close(b->store);
	open_store(b, 2); /* rebuilt from the rows */
	in_every_segment(b);
}

static void ends_are_found_once_sealed(void **state)
{
	struct bench *b = *state;

	b->o.segment_rows = 1;
	open_store(b, 1);
	put(b, 1);
	put(b, 2);
	usleep(300000);
	in_every_segment(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_are_found_in_open_and_sealed_segments, make,
						unmake),
		cmocka_unit_test_setup_teardown(ends_are_found_once_sealed, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
