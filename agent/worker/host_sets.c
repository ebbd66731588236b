/*
 * No ipset command tells who gave it, and none is told: whatever is known of who changed a table says nothing about a set.
 */
#include "agent/worker/host_sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/worker/host_inner.h"
#include "common/ipset.h"

enum { SETS_CPU_SHARE = 1000 }; /* beside the tables' 1 % of a core, a tenth of that */

static void emit(void *arg, const struct record *r)
{
	struct record copy = *r;

	host_emit(arg, &copy);
}

void sets_begin(struct host *h)
{
	if (!h->sets) {
		h->sets = malloc(sizeof(*h->sets));
		if (!h->sets)
			return; /* the next change of a table tries again */
		rules_init(h->sets, DUMP_SETS, SETS_CPU_SHARE);
	}
	h->sets->again = h->sets->asked;
	h->sets->due.v = 0;
}

void sets_snapshot(struct host *h)
{
	if (!h->sets)
		return;
	h->sets->check_wanted = true;
	h->sets->due.v = 0;
}

/* Which sets have no members here, and the first one's reason. */
static void note_missing(struct rules *s)
{
	const char *text = ruleset_map(&s->newest);
	char first[128] = "";
	uint32_t missing = 0;

	for (uint32_t i = 0; text && i < s->newest.count; i++) {
		const struct ruleset_table *t = &s->newest.tables[i];
		const char *at = memmem(text + t->offset, t->len, "\n" IPSET_NOT_CAPTURED,
					strlen("\n" IPSET_NOT_CAPTURED));
		const char *stop, *end = text + t->offset + t->len;

		if (!at || missing++)
			continue;
		at += strlen("\n" IPSET_NOT_CAPTURED);
		stop = memchr(at, '\n', (size_t)(end - at));
		snprintf(first, sizeof(first), "%s (%.*s)", t->name,
			 (int)((stop ? stop : end) - at), at);
	}
	ruleset_unmap(&s->newest, text);
	if (missing == 0)
		return;
	snprintf(s->note, sizeof(s->note), "members of %u ipset%s are not captured: %s%s", missing,
		 missing == 1 ? "" : "s", first, missing == 1 ? "" : ", and others");
}

static void on_sets(void *arg, const struct helper_request *q, const struct helper_answer *a,
		    int fd)
{
	struct host *h = arg;
	struct rules *s = h->sets;
	bool was_known = s->known, was_failed = s->why[0] != '\0';
	char note[sizeof(s->note)];

	(void)q;
	memcpy(note, s->note, sizeof(note));
	if (rules_take(s, a, fd, h->index, emit, h)) {
		if (fd >= 0) {
			note_missing(s);
			h->env->have(h->env->arg, s->ids, s->newest.count);
		}
		h->env->flush(h->env->arg);
	}
	if (strcmp(note, s->note) != 0 || !was_known || was_failed != (s->why[0] != '\0'))
		h->sources_changed = true;
}

void sets_ask(struct host *h, struct boot_ns now)
{
	struct helper_request q;

	/* A collector that does not know sets would end the session. */
	if (!h->sets || !h->env->sets || h->sets->asked || h->sets->due.v > now.v)
		return;
	q = rules_request(h->sets, h->index);
	h->sets->asked = link_ask(h->env->link, &q, -1, on_sets, h) == 0;
}

struct boot_ns sets_due(const struct host *h, struct boot_ns now)
{
	if (!h->sets || !h->env->sets || h->sets->asked)
		return (struct boot_ns){ 0 };
	return h->sets->due.v ? h->sets->due : now;
}

void sets_resend(struct host *h)
{
	if (h->sets)
		rules_resend(h->sets, h->index, emit, h);
}

bool sets_fact(const struct host *h, struct source_fact *f)
{
	if (!h->sets || !h->sets->known)
		return false;
	*f = (struct source_fact){ .name = "ipset", .state = SOURCE_ON };
	if (h->sets->why[0] != '\0') {
		f->state = SOURCE_FAILED;
		f->why = h->sets->why;
	} else if (h->sets->note[0] != '\0') {
		f->why = h->sets->note;
	}
	return true;
}

void sets_clear(struct host *h)
{
	if (h->sets)
		rules_clear(h->sets);
	free(h->sets);
	h->sets = NULL;
}
