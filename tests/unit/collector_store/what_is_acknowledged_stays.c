/*
 * What the store said it has committed is found again: at once, after sealing, after a restart, and after its
 * process was killed; once, whatever is delivered twice.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/collector_store/bench.h"

static void rows_are_found_and_survive_a_restart(void **state)
{
	struct bench *b = *state;

	open_store(b, 1);
	for (uint64_t seq = 1; seq <= 40; seq++)
		put_batch(b, seq);
	wait_for(b, 40);
	each_is_found_once(b, 40);
	store_close(b->store);
	b->acked = 0;
	open_store(b, 1);
	assert_int_equal(b->agent.epoch, 1);
	assert_int_equal(b->agent.seq, 40);
	each_is_found_once(b, 40);
	put_batch(b, 40); /* delivered again */
	put_batch(b, 41);
	wait_for(b, 41);
	each_is_found_once(b, 41);
}

static void sealed_segments_answer_the_same(void **state)
{
	struct bench *b = *state;

	b->o.segment_rows = 300;
	open_store(b, 1);
	for (uint64_t seq = 1; seq <= 40; seq++) {
		put_batch(b, seq);
		if (seq % 5 == 0) {
			wait_for(b, seq);
			each_is_found_once(b, seq);
		}
	}
	wait_for(b, 40);
	usleep(300000);
	each_is_found_once(b, 40);
	store_close(b->store);
	open_store(b, 1);
	each_is_found_once(b, 40);
}

/* A killed writer has kept at least what it had said, and nothing twice or in halves. */
static void a_kill_loses_nothing_acknowledged(void **state)
{
	struct bench *b = *state;
	uint64_t promised = 0, next = 1;

	b->o.segment_rows = 700;
	for (unsigned round = 0; round < 12; round++) {
		uint64_t seq;
		int pipes[2];
		pid_t child;

		assert_int_equal(pipe(pipes), 0);
		child = fork();
		if (child == 0) {
			b->tell = pipes[1];
			open_store(b, 1);
			for (seq = next;; seq++)
				put_batch(b, seq);
		}
		close(pipes[1]);
		srand(round);
		usleep(20000 + (unsigned)rand() % 60000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		while (read(pipes[0], &seq, sizeof(seq)) == sizeof(seq))
			promised = seq;
		close(pipes[0]);
		open_store(b, 1);
		assert_true(b->agent.seq >= promised);
		if (b->agent.seq)
			each_is_found_once(b, b->agent.seq);
		next = b->agent.seq + 1;
		store_close(b->store);
		b->store = NULL;
	}
	assert_true(promised > 0);
}

static void clones_and_second_collectors_are_refused(void **state)
{
	struct msg_host host = { "gw", "", false };
	struct msg_hello h = { .id = "gw",
			       .version = "1",
			       .epoch = 1,
			       .instance = { 8 },
			       .host_count = 1,
			       .hosts = &host };
	struct bench *b = *state;
	struct store_agent a;
	struct store *second;
	struct why why = { "" };

	open_store(b, 1);
	assert_int_equal(store_hello(b->store, &h, &a, &why), -EBUSY);
	assert_non_null(strstr(why.text, "another instance"));
	assert_true(store_open(&second, &b->o, &why) < 0);
	assert_non_null(strstr(why.text, "another collector"));
}

static void retention_unlinks_whole_segments(void **state)
{
	struct bench *b = *state;

	b->o.segment_rows = 200;
	b->o.keep_bytes = 1;
	open_store(b, 1);
	for (uint64_t seq = 1; seq <= 40; seq++) {
		put_batch(b, seq);
		wait_for(b, seq);
	}
	for (int i = 0; i < 500 && found(b, 0, 2); i++)
		usleep(10000);
	assert_int_equal(found(b, 0, 2), 0);
	assert_int_equal(found(b, 40 * BATCH - 1, 2), 1);
}

static void put_record(struct bench *b, uint64_t seq, const struct record *r)
{
	struct msg_batch m = { .seq = seq, .count = 1, .records = (struct record *)r };

	assert_int_equal(store_put(b->store, &b->agent, &m), 0);
	wait_for(b, seq);
}

static void tables_have_a_history(void **state)
{
	struct record r = { .kind = RECORD_RULESET,
			    .ruleset = { .read_at = { 100 },
					 .backend = BACKEND_LEGACY,
					 .family = FAMILY_IPV4,
					 .table = "filter" } };
	struct record checked = { .kind = RECORD_RULESET_CHECKED, .checked = { { 250 } } };
	struct bench *b = *state;
	struct stored_table *list;
	struct reader *rd;
	struct arena a;
	size_t n;

	open_store(b, 1);
	r.ruleset.content.b[0] = 1;
	put_record(b, 1, &r);
	put_record(b, 2, &checked);
	r.ruleset.before.v = 300;
	r.ruleset.read_at.v = 400;
	r.ruleset.content.b[0] = 2;
	put_record(b, 3, &r);
	checked.checked.at.v = 900;
	put_record(b, 4, &checked);
	arena_init(&a, 1 << 20);
	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	assert_int_equal(reader_tables(rd, 0, (struct wall_ns){ 0 }, (struct wall_ns){ 10000 }, &a,
				       &list, &n),
			 0);
	assert_int_equal(n, 2);
	assert_int_equal(list[0].from_min.v, 0);
	assert_int_equal(list[0].from.v, 100);
	assert_int_equal(list[0].last.v, 300);
	assert_int_equal(list[0].until.v, 400);
	assert_int_equal(list[1].from_min.v, 300);
	assert_int_equal(list[1].last.v, 900);
	assert_int_equal(list[1].until.v, 0);
	reader_close(rd);
	arena_free(&a);
}

static bool is_retired(struct bench *b, struct arena *a)
{
	struct stored_host *hosts;
	struct reader *rd;
	bool retired = false;
	size_t n;

	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	assert_int_equal(reader_hosts(rd, a, &hosts, &n), 0);
	for (size_t i = 0; i < n; i++)
		retired |= hosts[i].host == b->agent.hosts[0] && hosts[i].retired;
	reader_close(rd);
	return retired;
}

static void statistics_are_found_as_of_then(void **state)
{
	struct record r = { .kind = RECORD_STATS,
			    .stats = { .at = { 100 }, .count = 1, .drop = 5 } };
	struct conntrack_stats first, newest;
	struct bench *b = *state;
	struct stored_host *hosts;
	struct reader *rd;
	struct arena a;
	size_t n;

	open_store(b, 1);
	arena_init(&a, 1 << 20);
	put_record(b, 1, &r);
	r.stats.at.v = 300;
	r.stats.drop = 9;
	put_record(b, 2, &r);
	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	assert_int_equal(reader_hosts(rd, &a, &hosts, &n), 0);
	assert_int_equal(n, 2);
	for (int64_t back = 0; back < 2; back++) {
		struct wall_ns since = { back == 0 ? INT64_MAX : 0 };

		assert_int_equal(reader_stats(rd, hosts[0].host, since, &a, &first, &newest), 0);
		assert_int_equal(newest.drop, 9);
		assert_int_equal(first.drop, back == 0 ? 9 : 5);
	}
	assert_int_equal(reader_stats(rd, 999, (struct wall_ns){ 0 }, &a, &first, &newest),
			 -ENOENT);
	reader_close(rd);
	arena_free(&a);
}

static void what_ended_is_in_force_no_more(void **state)
{
	struct msg_host name = { "gw", "", true };
	struct msg_hosts hosts = { 1, &name };
	struct record r = { .kind = RECORD_RULESET,
			    .ruleset = { .read_at = { 100 }, .table = "filter" } };
	struct record checked = { .kind = RECORD_RULESET_CHECKED, .checked.at = { 400 } };
	struct record ended = { .kind = RECORD_ENDED, .ended = { { 500 } } };
	struct record sources = { .kind = RECORD_SOURCES };
	struct bench *b = *state;
	struct stored_table *list;
	struct reader *rd;
	struct arena a;
	size_t n;

	open_store(b, 1);
	arena_init(&a, 1 << 20);
	r.ruleset.content.b[0] = 1;
	put_record(b, 1, &r);
	assert_false(is_retired(b, &a));
	put_record(b, 2, &checked);
	put_record(b, 3, &ended);
	assert_true(is_retired(b, &a));
	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	assert_int_equal(reader_tables(rd, 0, (struct wall_ns){ 0 }, (struct wall_ns){ 10000 }, &a,
				       &list, &n),
			 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].until.v, 500);
	assert_int_equal(list[0].last.v, 400); /* it stood until then for certain */
	reader_close(rd);
	assert_int_equal(store_hosts(b->store, &b->agent, &hosts), 0); /* it knows that */
	assert_true(is_retired(b, &a));
	put_record(b, 4, &sources);
	assert_false(is_retired(b, &a));
	assert_int_equal(store_hosts(b->store, &b->agent, &hosts), 0);
	assert_true(is_retired(b, &a));
	name.gone = false;
	assert_int_equal(store_hosts(b->store, &b->agent, &hosts), 0);
	assert_false(is_retired(b, &a));
	arena_free(&a);
}

static void leases_are_in_force_in_spans(void **state)
{
	struct pattern p = { .family = 4, .proto = 6, .dport = 443 };
	struct record r = { .kind = RECORD_LEASE,
			    .lease = { .at = { 100 },
				       .id = 5,
				       .state = LEASE_ARMED,
				       .modulus = 1,
				       .pattern_count = 1,
				       .patterns = &p } };
	struct bench *b = *state;
	struct stored_arming *list;
	struct reader *rd;
	struct arena a;
	size_t n;

	open_store(b, 1);
	put_record(b, 1, &r);
	r.lease.at.v = 200;
	r.lease.traced = 9;
	put_record(b, 2, &r); /* the same: only counted */
	r.lease.at.v = 300;
	r.lease.modulus = 4;
	put_record(b, 3, &r);
	r.lease.at.v = 400;
	r.lease.state = LEASE_ENDED;
	r.lease.pattern_count = 0;
	put_record(b, 4, &r);
	arena_init(&a, 1 << 20);
	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	assert_int_equal(reader_armings(rd, (struct wall_ns){ 0 }, (struct wall_ns){ 10000 }, &a,
					&list, &n),
			 0);
	assert_int_equal(n, 2);
	assert_int_equal(list[0].from.v, 100);
	assert_int_equal(list[0].until.v, 300);
	assert_int_equal(list[0].traced, 9);
	assert_int_equal(list[1].modulus, 4);
	assert_int_equal(list[1].until.v, 400);
	assert_true(pattern_equal(&list[1].patterns[0], &p));
	reader_close(rd);
	arena_free(&a);
}

static void connections_are_found_from_both_sides(void **state)
{
	struct record r = { .kind = RECORD_CONN,
			    .conn = { .at = { 100 }, .event = CONN_NEW, .id = 3 } };
	struct bench *b = *state;
	struct flow f = { .icmp_type = -1, .icmp_id = -1, .proto = 6 };
	struct stored_conn *list;
	struct reader *rd;
	struct arena a;
	size_t n;

	r.conn.orig =
		(struct tuple){ { 4, { 10, 0, 1, 2 } }, { 4, { 192, 0, 2, 9 } }, 4000, 443, 6 };
	r.conn.reply =
		(struct tuple){ { 4, { 10, 0, 3, 2 } }, { 4, { 198, 18, 0, 1 } }, 8443, 4000, 6 };
	open_store(b, 1);
	put_record(b, 1, &r);
	r.conn.event = CONN_DESTROY;
	r.conn.at.v = 500;
	put_record(b, 2, &r);
	arena_init(&a, 1 << 20);
	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	f.src.prefix = (struct prefix){ r.conn.orig.src, 32 };
	assert_int_equal(reader_conns(rd, &f, (struct wall_ns){ 0 }, (struct wall_ns){ 1000 }, 10,
				      &a, &list, &n),
			 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].until.v, 500);
	f.src.prefix = (struct prefix){ r.conn.reply.dst, 32 };
	assert_int_equal(reader_conns(rd, &f, (struct wall_ns){ 0 }, (struct wall_ns){ 1000 }, 10,
				      &a, &list, &n),
			 0);
	assert_int_equal(n, 1);
	reader_close(rd);
	arena_free(&a);
}

/* Whoever reads the whole table tells what is in it: the rest has ended, while nobody listened. */
static void connections_that_are_not_in_the_whole_table_have_ended(void **state)
{
	struct record r = { .kind = RECORD_CONN,
			    .conn = { .at = { INT64_C(1000) * NS_PER_MS }, .event = CONN_NEW } };
	struct record whole = { .kind = RECORD_STATS,
				.stats = { .at = { INT64_C(5100) * NS_PER_MS },
					   .whole_from = { INT64_C(5000) * NS_PER_MS } } };
	struct bench *b = *state;
	struct flow f = { .icmp_type = -1, .icmp_id = -1, .proto = 6 };
	struct stored_conn *list;
	struct reader *rd;
	struct arena a;
	size_t n;

	r.conn.orig =
		(struct tuple){ { 4, { 10, 0, 1, 2 } }, { 4, { 192, 0, 2, 9 } }, 4000, 443, 6 };
	open_store(b, 1);
	for (uint32_t id = 0; id < 2; id++) {
		r.conn.id = id + 1;
		r.conn.orig.sport = (uint16_t)(4000 + id);
		r.conn.reply = tuple_reverse(&r.conn.orig);
		put_record(b, id + 1, &r);
	}
	r.conn.event = CONN_DUMP; /* of the second one */
	r.conn.at.v = INT64_C(5050) * NS_PER_MS;
	put_record(b, 3, &r);
	put_record(b, 4, &whole);
	arena_init(&a, 1 << 20);
	assert_int_equal(reader_open(&rd, b->store, NULL), 0);
	f.src.prefix = (struct prefix){ r.conn.orig.src, 32 };
	assert_int_equal(reader_conns(rd, &f, (struct wall_ns){ 0 },
				      (struct wall_ns){ INT64_C(9000) * NS_PER_MS }, 10, &a, &list,
				      &n),
			 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		bool gone = list[i].c.orig.sport == 4000;

		assert_int_equal(list[i].until.v, gone ? INT64_C(5000) * NS_PER_MS : 0);
		assert_int_equal(list[i].told.v,
				 (gone ? INT64_C(1000) : INT64_C(5050)) * NS_PER_MS);
	}
	reader_close(rd);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
		T(rows_are_found_and_survive_a_restart),
		T(sealed_segments_answer_the_same),
		T(a_kill_loses_nothing_acknowledged),
		T(clones_and_second_collectors_are_refused),
		T(retention_unlinks_whole_segments),
		T(tables_have_a_history),
		T(statistics_are_found_as_of_then),
		T(what_ended_is_in_force_no_more),
		T(leases_are_in_force_in_spans),
		T(connections_are_found_from_both_sides),
		T(connections_that_are_not_in_the_whole_table_have_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
