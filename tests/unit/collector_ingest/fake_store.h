/*
 * A store in memory behind all of store.h, with a writer's thread that can be held up. What it holds is small and
 * lies open, so that tests can look.
 */
#pragma once

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

enum { FAKE_AGENTS = 4096, FAKE_QUEUE = 8, FAKE_CONTENTS = 16, FAKE_TABLES = 16, FAKE_LEASES = 16 };

struct fake_agent {
	char id[ID_MAX + 1];
	uint64_t epoch, seq; /* committed */
	uint64_t queued_seq, queued_epoch;
	uint64_t records; /* taken, each once */
	uint32_t host_count;
	char hosts[4][HOST_MAX + 1];
};

struct store {
	struct store_options o;
	pthread_t writer;
	pthread_mutex_t lock;
	bool end, held; /* held: nothing is committed */
	struct {
		uint64_t agent, epoch, seq;
	} queue[FAKE_QUEUE];
	uint32_t queued, queue_max; /* queue_max 0: FAKE_QUEUE */
	uint64_t refused;           /* store_put()s for want of room */
	struct fake_agent agents[FAKE_AGENTS];
	uint32_t agent_count;
	struct clock_offset offset; /* the last */
	uint32_t offsets;
	struct {
		struct content_id id;
		char *text;
		size_t len;
	} contents[FAKE_CONTENTS];
	uint32_t content_count;
	struct stored_table tables[FAKE_TABLES];
	uint32_t table_count;
	struct store_lease leases[FAKE_LEASES];
	char lease_text[FAKE_LEASES][2][FLOW_TEXT_MAX];
	uint32_t lease_count;
	struct stored_arming armings[FAKE_LEASES];
	uint32_t arming_count;
	bool clone; /* store_hello() says -EBUSY */
	bool has_sources;
};

struct reader {
	struct store *s;
};

static void *fake_writer(void *arg)
{
	struct store *s = arg;

	for (;;) {
		uint64_t agent = 0, epoch = 0, seq = 0;
		bool end;

		usleep(1000);
		pthread_mutex_lock(&s->lock);
		end = s->end;
		if (!s->held && s->queued > 0) {
			struct fake_agent *a = &s->agents[s->queue[0].agent - 1];

			agent = s->queue[0].agent;
			epoch = s->queue[0].epoch;
			seq = s->queue[0].seq;
			a->epoch = epoch;
			a->seq = seq > a->seq ? seq : a->seq;
			memmove(s->queue, s->queue + 1, --s->queued * sizeof(s->queue[0]));
		}
		pthread_mutex_unlock(&s->lock);
		if (agent && s->o.committed)
			s->o.committed(s->o.arg, agent, epoch, seq);
		if (end)
			return NULL;
	}
}

int store_open(struct store **out, const struct store_options *o, struct why *why)
{
	struct store *s = calloc(1, sizeof(*s));

	(void)why;
	s->o = *o;
	pthread_mutex_init(&s->lock, NULL);
	pthread_create(&s->writer, NULL, fake_writer, s);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->end = true;
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->writer, NULL);
	for (uint32_t i = 0; i < s->content_count; i++)
		free(s->contents[i].text);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static inline void fake_hold(struct store *s, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->held = held;
	pthread_mutex_unlock(&s->lock);
}

static inline struct fake_agent *fake_agent(struct store *s, const char *id)
{
	for (uint32_t i = 0; i < s->agent_count; i++)
		if (!strcmp(s->agents[i].id, id))
			return &s->agents[i];
	return NULL;
}

int store_hello(struct store *s, const struct msg_hello *h, struct store_agent *a, struct why *why)
{
	struct fake_agent *f;
	uint32_t i;

	if (s->clone)
		return why_set(why, -EBUSY, "a clone");
	pthread_mutex_lock(&s->lock);
	f = fake_agent(s, h->id);
	if (!f) {
		assert_true(s->agent_count < FAKE_AGENTS);
		f = &s->agents[s->agent_count++];
		snprintf(f->id, sizeof(f->id), "%s", h->id);
	}
	assert_true(h->host_count <= 4);
	f->host_count = h->host_count;
	a->agent = (uint64_t)(f - s->agents) + 1;
	a->epoch = f->epoch;
	a->seq = f->seq;
	for (i = 0; i < h->host_count; i++) {
		a->hosts[i] = a->agent * 4 + i;
		snprintf(f->hosts[i], sizeof(f->hosts[i]), "%s", h->hosts[i].id);
	}
	if (f->epoch != h->epoch) {
		f->queued_seq = 0;
		f->queued_epoch = h->epoch;
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_hosts(struct store *s, struct store_agent *a, const struct msg_hosts *h)
{
	struct fake_agent *f = &s->agents[a->agent - 1];

	assert_true(h->count <= 4);
	pthread_mutex_lock(&s->lock);
	f->host_count = h->count;
	for (uint32_t i = 0; i < h->count; i++) {
		a->hosts[i] = a->agent * 4 + i;
		snprintf(f->hosts[i], sizeof(f->hosts[i]), "%s", h->list[i].id);
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void store_offset(struct store *s, uint64_t agent, const struct clock_offset *o)
{
	(void)agent;
	s->offset = *o;
	s->offsets++;
}

int store_put(struct store *s, const struct store_agent *a, const struct msg_batch *b)
{
	struct fake_agent *f = &s->agents[a->agent - 1];
	uint32_t max = s->queue_max ? s->queue_max : FAKE_QUEUE, i;
	int r = -EAGAIN;

	pthread_mutex_lock(&s->lock);
	if (s->queued < max) {
		s->queue[s->queued].agent = a->agent;
		s->queue[s->queued].epoch = f->queued_epoch;
		s->queue[s->queued++].seq = b->seq;
		if (b->seq > f->queued_seq) {
			f->queued_seq = b->seq;
			f->records += b->count;
			for (i = 0; i < b->count; i++)
				s->has_sources |= b->records[i].kind == RECORD_SOURCES;
		}
		r = 0;
	} else {
		s->refused++;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

bool store_room(const struct store *s)
{
	uint32_t max = s->queue_max ? s->queue_max : FAKE_QUEUE;
	bool room;

	pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&s->lock);
	room = s->queued < max;
	pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&s->lock);
	return room;
}

bool store_has_content(struct store *s, const struct content_id *id)
{
	bool has = false;

	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->content_count; i++)
		has |= !memcmp(&s->contents[i].id, id, sizeof(*id));
	pthread_mutex_unlock(&s->lock);
	return has;
}

int store_put_content(struct store *s, const struct content_id *id, const char *text, size_t len)
{
	if (store_has_content(s, id))
		return 0;
	assert_true(s->content_count < FAKE_CONTENTS);
	pthread_mutex_lock(&s->lock);
	s->contents[s->content_count].id = *id;
	s->contents[s->content_count].text = memcpy(malloc(len + 1), text, len);
	s->contents[s->content_count].text[len] = 0;
	s->contents[s->content_count++].len = len;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_put_lease(struct store *s, const struct store_lease *l)
{
	uint32_t i;

	for (i = 0; i < s->lease_count && s->leases[i].id != l->id; i++)
		;
	assert_true(i < FAKE_LEASES);
	pthread_mutex_lock(&s->lock);
	if (i == s->lease_count)
		s->lease_count++;
	s->leases[i] = *l;
	s->leases[i].flow = strncpy(s->lease_text[i][0], l->flow, FLOW_TEXT_MAX - 1);
	s->leases[i].by = strncpy(s->lease_text[i][1], l->by, FLOW_TEXT_MAX - 1);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int reader_open(struct reader **out, struct store *s, struct why *why)
{
	(void)why;
	*out = calloc(1, sizeof(**out));
	(*out)->s = s;
	return 0;
}

void reader_close(struct reader *r)
{
	free(r);
}

bool reader_incomplete(const struct reader *r)
{
	(void)r;
	return false;
}

int reader_journeys(struct reader *r, const struct journey_query *q, struct arena *arena,
		    struct stored_journey **out, size_t *count, bool *cut)
{
	(void)r, (void)q, (void)arena, (void)out;
	*count = 0;
	*cut = false;
	return 0;
}

int reader_conns(struct reader *r, const struct flow *flow, struct wall_ns since,
		 struct wall_ns until, size_t limit, struct arena *arena, struct stored_conn **out,
		 size_t *count)
{
	(void)r, (void)flow, (void)since, (void)until, (void)limit, (void)arena, (void)out;
	*count = 0;
	return 0;
}

int reader_tables(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		  struct arena *arena, struct stored_table **out, size_t *count)
{
	(void)since, (void)until;
	*out = arena_alloc(arena, FAKE_TABLES * sizeof(**out));
	*count = 0;
	pthread_mutex_lock(&r->s->lock);
	for (uint32_t i = 0; i < r->s->table_count; i++)
		if (host == 0 || r->s->tables[i].host == host)
			(*out)[(*count)++] = r->s->tables[i];
	pthread_mutex_unlock(&r->s->lock);
	return 0;
}

int reader_content(struct reader *r, const struct content_id *id, struct arena *arena,
		   const char **text, size_t *len)
{
	int found = -ENOENT;

	pthread_mutex_lock(&r->s->lock);
	for (uint32_t i = 0; i < r->s->content_count && found < 0; i++) {
		if (memcmp(&r->s->contents[i].id, id, sizeof(*id)))
			continue;
		*len = r->s->contents[i].len;
		*text = arena_strndup(arena, r->s->contents[i].text, *len);
		found = 0;
	}
	pthread_mutex_unlock(&r->s->lock);
	return found;
}

int reader_hosts(struct reader *r, struct arena *arena, struct stored_host **out, size_t *count)
{
	struct store *s = r->s;

	*count = 0;
	pthread_mutex_lock(&s->lock);
	*out = arena_alloc(arena, (4 * s->agent_count + 1) * sizeof(**out));
	for (uint32_t i = 0; i < s->agent_count; i++)
		for (uint32_t k = 0; k < s->agents[i].host_count; k++)
			(*out)[(*count)++] = (struct stored_host){
				.host = (i + 1) * 4 + k,
				.agent = i + 1,
				.id = arena_strndup(arena, s->agents[i].hosts[k],
						    strlen(s->agents[i].hosts[k])),
				.first_seen = { 1 },
				.last_seen = wall_now()
			};
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int reader_facts_span(struct reader *r, uint64_t host, struct wall_ns t, struct wall_ns *from,
		      struct wall_ns *next)
{
	(void)r;
	(void)host;
	*from = t;
	next->v = 0;
	return 0;
}

int reader_facts(struct reader *r, uint64_t host, struct wall_ns t, struct arena *arena,
		 struct facts *out)
{
	(void)r, (void)host, (void)t, (void)arena, (void)out;
	return -ENOENT;
}

int reader_stats(struct reader *r, uint64_t host, struct wall_ns since, struct arena *arena,
		 struct conntrack_stats *first, struct conntrack_stats *newest)
{
	(void)r, (void)host, (void)since, (void)arena, (void)first, (void)newest;
	return -ENOENT;
}

int reader_sources(struct reader *r, uint64_t host, struct arena *arena, struct sources *out)
{
	bool has;

	(void)host;
	pthread_mutex_lock(&r->s->lock);
	has = r->s->has_sources;
	pthread_mutex_unlock(&r->s->lock);
	if (!has)
		return -ENOENT;
	*out = (struct sources){ .count = 1 };
	out->list = arena_alloc(arena, sizeof(*out->list));
	out->list[0] = (struct source_fact){ .name = "conntrack", .state = SOURCE_ON };
	return 0;
}

int reader_losses(struct reader *r, struct wall_ns since, struct wall_ns until, struct arena *arena,
		  struct stored_loss **out, size_t *count)
{
	(void)r, (void)since, (void)until, (void)arena, (void)out;
	*count = 0;
	return 0;
}

int reader_counters(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		    counters_take *take, void *arg)
{
	(void)r, (void)host, (void)since, (void)until, (void)take, (void)arg;
	return 0;
}

int reader_armings(struct reader *r, struct wall_ns since, struct wall_ns until,
		   struct arena *arena, struct stored_arming **out, size_t *count)
{
	(void)since, (void)until;
	*out = arena_alloc(arena, FAKE_LEASES * sizeof(**out));
	memcpy(*out, r->s->armings, r->s->arming_count * sizeof(**out));
	*count = r->s->arming_count;
	return 0;
}

int reader_leases(struct reader *r, struct wall_ns since, struct arena *arena,
		  struct store_lease **out, size_t *count)
{
	(void)since;
	*out = arena_alloc(arena, FAKE_LEASES * sizeof(**out));
	pthread_mutex_lock(&r->s->lock);
	memcpy(*out, r->s->leases, r->s->lease_count * sizeof(**out));
	*count = r->s->lease_count;
	pthread_mutex_unlock(&r->s->lock);
	return 0;
}
