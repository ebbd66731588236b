/*
 * An assembler, what it emits, and a way to say what a packet met.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/journey/assembler.h"
#include "agent/source/prefix.h"
#include "common/journey.h"

enum { KEPT = 64 };

struct bench {
	struct assembler *a;
	struct journey
		got[KEPT]; /* with steps of their own; names are interned as long as `a` is busy */
	int count;
	struct boot_ns now;
};

static inline void keep(void *arg, const struct journey *j)
{
	struct bench *b = arg;
	struct journey *to;

	assert_in_range(j->step_count, 1, STEPS_MAX);
	for (uint16_t i = 0; i < j->step_count; i++) {
		assert_in_range(j->steps[i].tuple, 0, j->tuple_count - 1);
		assert_true(j->at.v <= j->steps[i].at.v);
	}
	if (b->count == KEPT)
		return;
	to = &b->got[b->count++];
	*to = *j;
	to->steps = calloc(j->step_count, sizeof(*to->steps));
	memcpy(to->steps, j->steps, j->step_count * sizeof(*to->steps));
}

static inline struct bench *bench_of(void **state)
{
	return *state;
}

static inline int setup_max(void **state, uint32_t open_max)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->now.v = NS_PER_S;
	*state = b;
	return assembler_new(&b->a, open_max, keep, b);
}

static inline int setup(void **state)
{
	return setup_max(state, 16);
}

static inline int teardown(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < b->count; i++)
		free(b->got[i].steps);
	assembler_free(b->a);
	free(b);
	return 0;
}

static inline struct packet packet(const char *src, const char *dst, uint64_t fp)
{
	struct packet p = { .ip_version = 4, .ttl = 64, .has_l4 = true, .fp = fp, .total_len = 60 };

	addr_parse(&p.tuple.src, src);
	addr_parse(&p.tuple.dst, dst);
	p.tuple.proto = 6;
	p.tuple.sport = 1000;
	p.tuple.dport = 80;
	return p;
}

static inline void add(struct bench *b, struct trace_event *e)
{
	b->now.v += 1000;
	e->received = e->step.at = b->now;
	e->step.ttl = e->packet.ttl;
	assembler_add(b->a, e);
}

/* A line of a legacy table's chain; the table's name and number as the kernel prints them. */
static inline void legacy(struct bench *b, enum hook hook, const char *table, const char *chain,
			  uint32_t number, const struct packet *p)
{
	struct trace_event e = { .has_packet = true, .packet = *p };

	e.step.hook = (uint8_t)hook;
	e.step.family = FAMILY_IPV4;
	e.step.table = table;
	e.step.chain = chain;
	e.step.number = number;
	e.priority = legacy_priority(table, hook);
	e.priority_known = true;
	add(b, &e);
}

static inline void checkpoint_again(struct bench *b, enum checkpoint c, uint32_t id,
				    const struct packet *p, bool traced_before)
{
	struct trace_event e = { .trace_id = id, .traced_before = traced_before };

	if (p) {
		e.has_packet = true;
		e.packet = *p;
	}
	e.step.hook = (uint8_t)checkpoint_hook(c);
	e.step.backend = BACKEND_NATIVE;
	e.step.label = LABEL_CHECKPOINT;
	e.step.checkpoint = (uint8_t)c;
	e.step.table = e.step.chain = "";
	e.priority = checkpoint_priority(c);
	e.priority_known = true;
	add(b, &e);
}

static inline void checkpoint(struct bench *b, enum checkpoint c, uint32_t id,
			      const struct packet *p)
{
	checkpoint_again(b, c, id, p, false);
}

static inline void native(struct bench *b, const char *chain, uint64_t handle, uint32_t id,
			  const struct packet *p)
{
	struct trace_event e = { .trace_id = id };

	if (p) {
		e.has_packet = true;
		e.packet = *p;
	}
	e.step.backend = BACKEND_NATIVE;
	e.step.table = "admin";
	e.step.chain = chain;
	e.step.handle = handle;
	add(b, &e);
}

/* The kernel freed p at b->now, which is told `late_us` later; mask: the hooks in which that may have been. */
static inline void freed_late(struct bench *b, const char *reason, uint32_t mask,
			      const struct packet *p, int64_t late_us)
{
	struct trace_event e = { .has_packet = true, .packet = *p };

	b->now.v += 1000;
	e.step.label = LABEL_KERNEL;
	e.step.prefix = reason;
	e.step.number = mask;
	e.step.kernel_time = true;
	e.step.table = e.step.chain = "";
	e.step.at = b->now;
	e.received.v = b->now.v + late_us * 1000;
	e.step.ttl = p->ttl;
	assembler_add(b->a, &e);
}

static inline void freed(struct bench *b, const char *reason, uint32_t mask, const struct packet *p)
{
	freed_late(b, reason, mask, p, 0);
}

static inline void later(struct bench *b, int64_t ms)
{
	b->now.v += ms * NS_PER_MS;
}

static inline void settle(struct bench *b)
{
	b->now.v += (int64_t)JOURNEY_IDLE_MS * NS_PER_MS;
	assert_int_equal(assembler_tick(b->a, b->now), 0);
}

/* The journey's steps as one text: "raw1 <pre_ct> nat1 ...". */
static inline void expect(const struct journey *j, const char *want)
{
	char text[2048] = "";

	for (uint16_t i = 0; i < j->step_count; i++) {
		const struct step *s = &j->steps[i];
		size_t len = strlen(text);

		if (s->label == LABEL_CHECKPOINT)
			snprintf(text + len, sizeof(text) - len, "%s<%s>", i ? " " : "",
				 checkpoint_name(s->checkpoint));
		else if (s->label == LABEL_LOG)
			snprintf(text + len, sizeof(text) - len, "%slog", i ? " " : "");
		else if (s->label == LABEL_KERNEL)
			snprintf(text + len, sizeof(text) - len, "%s!%s", i ? " " : "", s->prefix);
		else if (s->backend == BACKEND_NATIVE)
			snprintf(text + len, sizeof(text) - len, "%s%s#%lu", i ? " " : "", s->chain,
				 (unsigned long)s->handle);
		else
			snprintf(text + len, sizeof(text) - len, "%s%s%u", i ? " " : "", s->table,
				 s->number);
	}
	assert_string_equal(text, want);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
