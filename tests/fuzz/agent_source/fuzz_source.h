/*
 * Whatever bytes claim to be messages of a source: they decode, or are given up, and nothing else happens.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/source/audit.h"
#include "agent/source/drops.h"
#include "agent/source/source.h"
#include "common/must.h"

static inline void on_trace(void *arg, struct trace_event *e)
{
	must(e->step.hook < HOOK_COUNT && e->step.backend < BACKEND_COUNT);
	must(e->step.family < FAMILY_COUNT && e->step.label < LABEL_COUNT);
	must(strlen(e->step.table) <= TABLE_NAME_MAX && strlen(e->step.chain) <= CHAIN_NAME_MAX);
	*(size_t *)arg += strlen(e->in_if) + strlen(e->out_if);
}

static inline void on_conn(void *arg, const struct conn *c)
{
	must(c->event <= CONN_DUMP);
	must(c->orig.src.family == 4 || c->orig.src.family == 6);
	*(size_t *)arg += c->id;
}

static inline void on_loss(void *arg, const struct loss *l)
{
	*(size_t *)arg += l->count;
}

static inline void on_changed(void *arg, const struct table_change *c)
{
	*(size_t *)arg += strlen(c->program) + c->pid;
}

static inline void on_audit(void *arg, const struct audit_record *r, struct boot_ns now)
{
	must(strlen(r->table) < sizeof(r->table) && strlen(r->program) < sizeof(r->program));
	must(strlen(r->command) <= COMMAND_MAX && r->kind <= AUDIT_KIND_SWITCH);
	must(r->kind != AUDIT_KIND_TABLE || !r->legacy || r->family == FAMILY_IPV4 ||
	     r->family == FAMILY_IPV6);
	*(size_t *)arg += r->pid + (size_t)now.v;
}

static inline int fuzz_source(const struct source_ops *ops, const uint8_t *data, size_t size)
{
	size_t sum = 0;
	const struct sink out = {
		.arg = &sum,
		.trace = on_trace,
		.conn = on_conn,
		.loss = on_loss,
		.changed = on_changed,
		.audit = on_audit,
	};
	/* A copy of just this size, aligned as a receive buffer is. */
	uint8_t *copy = malloc(size ? size : 1);
	struct source s;

	must(copy);
	if (size)
		memcpy(copy, data, size);
	source_init(&s, ops, -1, NULL);
	(void)s.ops->decode(&s, copy, size, (struct boot_ns){ 1 }, &out);
	source_clear(&s);
	free(copy);
	return 0;
}
