/*
 * Counter deltas are found again by host and time: at once, after their segment was sealed, and after a restart; a
 * segment that holds nothing else ends like any other.
 */
#include "bench.h"

#include <dirent.h>

struct seen {
	uint32_t records;
	uint64_t packets;
	struct wall_ns first, last;
};

static bool on_counters(void *arg, const struct stored_counters *c)
{
	struct seen *s = arg;

	assert_string_equal(c->c.table, "filter");
	assert_int_equal(c->c.count, 1);
	assert_string_equal(c->c.entries[0].chain, "FORWARD");
	if (s->records++ == 0)
		s->first = c->at;
	assert_true(c->at.v >= s->last.v);
	assert_true(c->since.v <= c->before.v && c->before.v < c->at.v);
	s->last = c->at;
	s->packets += c->c.entries[0].packets;
	return true;
}

/* Read number n of a host, ten seconds after the one before, counted n packets. */
static void put_read(struct bench *b, uint64_t seq, uint32_t host, int64_t n)
{
	struct counter_entry entry = { "FORWARD", 2, COUNTER_EXACT, (uint64_t)n, 0 };
	struct record r = { .kind = RECORD_COUNTERS,
			    .host = host,
			    .counters = { .since = { (n - 1) * 10 * NS_PER_S },
					  .before = { (n - 1) * 10 * NS_PER_S },
					  .at = { n * 10 * NS_PER_S },
					  .backend = BACKEND_LEGACY,
					  .family = FAMILY_IPV4,
					  .table = "filter",
					  .content = { { 1 } },
					  .parts = 1,
					  .count = 1,
					  .entries = &entry } };
	struct msg_batch m = { .seq = seq, .count = 1, .records = &r };

	assert_int_equal(store_put(b->store, &b->agent, &m), 0);
}

static struct seen look(struct bench *b, uint32_t host, int64_t since_s, int64_t until_s)
{
	struct seen s = { 0 };
	struct reader *r;

	assert_int_equal(reader_open(&r, b->store, NULL), 0);
	assert_int_equal(reader_counters(r, b->agent.hosts[host],
					 (struct wall_ns){ since_s * NS_PER_S },
					 (struct wall_ns){ until_s * NS_PER_S }, on_counters, &s),
			 0);
	reader_close(r);
	return s;
}

static void windows_hold_what_overlaps_them(void **state)
{
	struct bench *b = *state;
	struct seen s;

	b->o.segment_rows = 5;
	open_store(b, 1);
	put_batch(b, 1); /* journeys beside them */
	/* One commit for each, so that segments of five end between them. */
	for (int64_t n = 2; n <= 21; n++) {
		put_read(b, (uint64_t)n, 0, n);
		wait_for(b, (uint64_t)n);
	}
	put_read(b, 22, 1, 3);
	wait_for(b, 22);
	s = look(b, 0, 0, 1000);
	assert_int_equal(s.records, 20);
	assert_int_equal(s.packets, 230);
	s = look(b, 1, 0, 1000);
	assert_int_equal(s.records, 1);
	s = look(b, 0, 55, 65); /* reads end at 60 and at 70, which began at 60 */
	assert_int_equal(s.records, 2);
	assert_int_equal(s.packets, 13);
	assert_int_equal(look(b, 0, 211, 300).records, 0);
	store_close(b->store);
	b->acked = 0;
	open_store(b, 2);
	s = look(b, 0, 0, 1000);
	assert_int_equal(s.records, 20);
	put_read(b, 1, 0, 22);
	wait_for(b, 1);
	assert_int_equal(look(b, 0, 0, 1000).records, 21);
	each_is_found_once(b, 1);
}

static int segments(const struct bench *b)
{
	char path[128];
	struct dirent *e;
	int count = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/segments", b->dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		count += len > 3 && strcmp(e->d_name + len - 3, ".db") == 0;
	}
	closedir(d);
	return count;
}

/* Without one journey in it, too: else what a quiet fleet counts would grow for ever in one file. */
static void segments_of_counters_end(void **state)
{
	struct bench *b = *state;

	b->o.segment_rows = 5;
	open_store(b, 1);
	for (int64_t n = 2; n <= 13; n++) {
		put_read(b, (uint64_t)n - 1, 0, n);
		wait_for(b, (uint64_t)n - 1);
	}
	assert_int_equal(segments(b), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(windows_hold_what_overlaps_them, make, unmake),
		cmocka_unit_test_setup_teardown(segments_of_counters_end, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
