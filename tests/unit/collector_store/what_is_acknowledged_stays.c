/*
 * What the store said it has committed is found again: at once, after sealing, after a restart, and after its
 * process was killed; once, whatever is delivered twice.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/store/store.h"

enum { BATCH = 50 };

struct bench {
	char dir[64];
	struct store *store;
	struct store_agent agent;
	uint64_t acked; /* under lock */
	int tell;       /* the killed child tells its acks here; -1 nobody */
	pthread_mutex_t lock;
	struct store_options o;
};

static void committed(void *arg, uint64_t agent, uint64_t epoch, uint64_t seq)
{
	struct bench *b = arg;

	(void)agent;
	(void)epoch;
	pthread_mutex_lock(&b->lock);
	b->acked = seq;
	pthread_mutex_unlock(&b->lock);
	if (b->tell >= 0 && write(b->tell, &seq, sizeof(seq)) != sizeof(seq))
		_exit(3);
}

static uint64_t acked(struct bench *b)
{
	uint64_t seq;

	pthread_mutex_lock(&b->lock);
	seq = b->acked;
	pthread_mutex_unlock(&b->lock);
	return seq;
}

static void open_store(struct bench *b, uint64_t epoch)
{
	struct msg_host hosts[2] = { { "gw", "" }, { "gw/blue", "blue" } };
	struct msg_hello h = { .id = "gw",
			       .version = "1",
			       .epoch = epoch,
			       .instance = { 7 },
			       .boot_id = { 9 },
			       .host_count = 2,
			       .hosts = hosts };
	struct clock_offset zero = { 0 };
	struct why why = { "" };

	b->o.dir = b->dir;
	b->o.committed = committed;
	b->o.arg = b;
	if (store_open(&b->store, &b->o, &why) < 0)
		fail_msg("%s", why.text);
	assert_int_equal(store_hello(b->store, &h, &b->agent, &why), 0);
	store_offset(b->store, b->agent.agent, &zero);
}

/* Journey n of the test: its own tuple, fingerprint and second. */
static struct journey journey_of(uint64_t n, struct step *step)
{
	struct journey j = { .at = { (int64_t)(n + 1) * NS_PER_S },
			     .fp = 1000000 + n,
			     .ip_version = 4,
			     .tuple_count = 1,
			     .step_count = 1,
			     .steps = step };

	*step = (struct step){ .hook = HOOK_FORWARD,
			       .label = LABEL_RULE,
			       .family = FAMILY_IPV4,
			       .number = (uint32_t)n,
			       .table = "filter",
			       .chain = "FORWARD",
			       .at = j.at };
	j.tuples[0] = (struct tuple){
		.src = { 4, { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } },
		.dst = { 4, { 192, 0, 2, 1 } },
		.sport = (uint16_t)(1024 + n),
		.dport = 443,
		.proto = 6
	};
	return j;
}

static void put_batch(struct bench *b, uint64_t seq)
{
	struct record records[BATCH] = { 0 };
	struct step steps[BATCH];
	struct msg_batch m = { .seq = seq, .count = BATCH, .records = records };

	for (uint64_t i = 0; i < BATCH; i++) {
		records[i].kind = RECORD_JOURNEY;
		records[i].journey = journey_of((seq - 1) * BATCH + i, &steps[i]);
	}
	while (store_put(b->store, &b->agent, &m) == -EAGAIN)
		usleep(1000);
}

static void wait_for(struct bench *b, uint64_t seq)
{
	for (int i = 0; i < 5000 && acked(b) < seq; i++)
		usleep(2000);
	assert_true(acked(b) >= seq);
}

/* How often journey n is found by its flow, its address, or its fingerprint. */
static size_t found(struct bench *b, uint64_t n, int how)
{
	struct journey_query q = { .since = { 0 }, .until = { INT64_MAX }, .limit = 100 };
	struct step step;
	struct journey j = journey_of(n, &step);
	struct flow f = { .icmp_type = -1, .icmp_id = -1 };
	struct stored_journey *list;
	struct reader *r;
	struct arena a;
	size_t count;
	bool cut;

	arena_init(&a, 64 << 20);
	assert_int_equal(reader_open(&r, b->store, NULL), 0);
	while (reader_incomplete(r))
		usleep(1000);
	f.src.prefix = (struct prefix){ j.tuples[0].src, 32 };
	if (how == 0) {
		f.proto = 6;
		f.dst.prefix = (struct prefix){ j.tuples[0].dst, 32 };
		f.dport = (struct port_range){ 443, 443, false };
	}
	if (how == 2) {
		q.fps = &j.fp;
		q.fp_count = 1;
	} else {
		q.flow = &f;
	}
	assert_int_equal(reader_journeys(r, &q, &a, &list, &count, &cut), 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(list[i].j.fp, j.fp);
		assert_int_equal(list[i].j.steps[0].number, n);
		assert_string_equal(list[i].j.steps[0].chain, "FORWARD");
		assert_int_equal(list[i].at.v, j.at.v);
	}
	reader_close(r);
	arena_free(&a);
	return count;
}

static void each_is_found_once(struct bench *b, uint64_t batches)
{
	uint64_t step = batches * BATCH / 12 + 1;

	for (uint64_t n = 0; n < batches * BATCH; n += step) {
		for (int how = 0; how < 3; how++)
			assert_int_equal(found(b, n, how), 1);
	}
	for (int how = 0; how < 3; how++)
		assert_int_equal(found(b, batches * BATCH + 5000, how), 0);
}

static int make(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	snprintf(b->dir, sizeof(b->dir), "/tmp/lasthop-store-XXXXXX");
	pthread_mutex_init(&b->lock, NULL);
	b->tell = -1;
	if (!mkdtemp(b->dir))
		return -1;
	*state = b;
	return 0;
}

static void empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char name[512];

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_type == DT_DIR)
			empty_dir(name);
		else
			unlink(name);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int unmake(void **state)
{
	struct bench *b = *state;

	store_close(b->store);
	empty_dir(b->dir);
	free(b);
	return 0;
}

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
	struct msg_host host = { "gw", "" };
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
		T(leases_are_in_force_in_spans),
		T(connections_are_found_from_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
