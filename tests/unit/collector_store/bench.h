/*
 * A store in a directory of its own, numbered journeys to put into it, and questions that must find each of them once.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	struct msg_host hosts[2] = { { "gw", "", false }, { "gw/blue", "blue", false } };
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

static __attribute__((unused)) void put_batch(struct bench *b, uint64_t seq)
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

static __attribute__((unused)) void each_is_found_once(struct bench *b, uint64_t batches)
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
