/*
 * A read takes time, `before` to `after`, and tells what stood at one moment in it. So a content is proven from the
 * `after` of the read that first showed it until the `before` of the last that still did.
 */
#include "agent/worker/rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/content.h"

enum { RETRY_S = 5 };

void rules_init(struct rules *r, enum helper_dump what, uint32_t share)
{
	*r = (struct rules){ .what = what, .share = share, .newest.fd = -1, .check_wanted = true };
}

struct helper_request rules_request(const struct rules *r, uint32_t host)
{
	return (struct helper_request){
		.op = HELPER_DUMP,
		.netns = host,
		.what = r->what,
		.known = r->known ? r->digest : 0,
	};
}

static int table_find(const struct ruleset *in, const struct ruleset_table *t)
{
	for (uint32_t i = 0; i < in->count; i++) {
		if (in->tables[i].backend == t->backend && in->tables[i].family == t->family &&
		    in->tables[i].handles == t->handles && strcmp(in->tables[i].name, t->name) == 0)
			return (int)i;
	}
	return -1;
}

static struct record table_record(const struct ruleset_table *t, uint32_t host,
				  struct boot_ns before, struct boot_ns at)
{
	return (struct record){
		.kind = RECORD_RULESET,
		.host = host,
		.ruleset = { .before = before,
			     .read_at = at,
			     .backend = t->backend,
			     .family = t->family,
			     .table = t->name,
			     .torn = t->torn },
	};
}

/* The handles' content, which follows the table's own; all zero: none. */
static struct content_id handles_of(const struct ruleset *now, const struct content_id *ids,
				    uint32_t i)
{
	if (i + 1 < now->count && now->tables[i + 1].handles && now->tables[i + 1].len > 0)
		return ids[i + 1];
	return (struct content_id){ 0 };
}

/* Does table i stand as it was told last? */
static bool told(const struct rules *r, const struct ruleset *now, const struct content_id *ids,
		 uint32_t i)
{
	int was = table_find(&r->newest, &now->tables[i]);
	struct content_id before, after = handles_of(now, ids, i);

	if (was < 0 || memcmp(&r->ids[was], &ids[i], sizeof(ids[i])) != 0)
		return false;
	before = handles_of(&r->newest, r->ids, (uint32_t)was);
	return memcmp(&before, &after, sizeof(before)) == 0 &&
	       r->newest.tables[was].torn == now->tables[i].torn;
}

static void emit_changes(const struct rules *r, const struct ruleset *now,
			 const struct content_id *ids, const struct helper_answer *a, uint32_t host,
			 rules_emit *emit, void *arg)
{
	struct boot_ns before = r->known ? r->last : (struct boot_ns){ 0 };
	struct boot_ns at = { a->after };
	struct record rec;

	for (uint32_t i = 0; i < now->count; i++) {
		if (now->tables[i].handles || told(r, now, ids, i))
			continue;
		rec = table_record(&now->tables[i], host, before, at);
		rec.ruleset.content = ids[i];
		rec.ruleset.handles = handles_of(now, ids, i);
		emit(arg, &rec);
	}
	for (uint32_t i = 0; i < r->newest.count; i++) {
		if (r->newest.tables[i].handles || table_find(now, &r->newest.tables[i]) >= 0)
			continue;
		rec = table_record(&r->newest.tables[i], host, before, at);
		rec.ruleset.torn = false;
		emit(arg, &rec);
	}
}

static uint32_t site_of(const struct ruleset *now, const char *text)
{
	if (!text || !text_uses_conntrack(text, now->size))
		return 0;
	for (uint32_t i = 0; i < now->count; i++) {
		const struct ruleset_table *t = &now->tables[i];

		if (strcmp(t->name, "nat") == 0 ||
		    (t->backend == BACKEND_NATIVE && !t->handles &&
		     memmem(text + t->offset, t->len, "type nat hook ", 14)))
			return LEASE_CONNTRACK | LEASE_TRANSLATES;
	}
	return LEASE_CONNTRACK;
}

/* What the texts tell beside what they are told for. */
static void look_into(struct rules *r, const struct ruleset *now, const char *text)
{
	r->site = site_of(now, text);
	r->names_sets = false;
	basechains_clear(&r->chains);
	forged_begin(&r->forged);
	for (uint32_t i = 0; text && i < now->count; i++) {
		const struct ruleset_table *t = &now->tables[i];

		if (t->handles)
			continue;
		forged_add(&r->forged, text + t->offset, t->len);
		if (t->backend != BACKEND_LEGACY)
			(void)basechains_add(&r->chains, (enum backend)t->backend, t->family,
					     t->name, text + t->offset, t->len);
		if (t->backend != BACKEND_NATIVE)
			r->names_sets |= memmem(text + t->offset, t->len, "-set ", 5) != NULL;
	}
}

static int take_new(struct rules *r, const struct helper_answer *a, int fd, uint32_t host,
		    rules_emit *emit, void *arg)
{
	struct content_id ids[RULESET_TABLES_MAX] = { 0 };
	struct ruleset now;
	const char *text;
	int ret;

	ret = ruleset_open(&now, fd);
	if (ret < 0)
		return ret;
	text = ruleset_map(&now);
	for (uint32_t i = 0; text && i < now.count; i++)
		ids[i] = content_id_of(text + now.tables[i].offset, now.tables[i].len);
	if (!text && now.count > 0) {
		ruleset_clear(&now);
		return -ENOMEM;
	}
	if (r->what == DUMP_RULESET)
		look_into(r, &now, text);
	ruleset_unmap(&now, text);

	emit_changes(r, &now, ids, a, host, emit, arg);
	replaced_keep(&r->replaced, &r->newest, r->ids, boot_now());
	r->newest = now;
	memcpy(r->ids, ids, sizeof(ids));
	r->digest = a->digest;
	r->known = true;
	return 0;
}

static void failed(struct rules *r, const char *why)
{
	snprintf(r->why, sizeof(r->why), "%s", why);
	r->due.v = boot_now().v + (int64_t)RETRY_S * NS_PER_S;
}

static void set_due(struct rules *r, const struct helper_answer *a)
{
	if (a->cpu_ns)
		r->cpu_ns = a->cpu_ns;
	r->every = NS_PER_S;
	if (a->cpu_ns > r->every / r->share)
		r->every = a->cpu_ns * r->share;
	r->due.v = r->again ? 0 : a->before + r->every;
	r->again = false;
}

static void pay(struct rules *r, const struct helper_answer *a)
{
	if (r->paid.v < a->after)
		r->paid.v = a->after;
	r->paid.v += a->spent_ns * TEXTS_CPU_SHARE;
}

struct boot_ns rules_due(const struct rules *r)
{
	struct boot_ns from = { r->paid.v - (int64_t)TEXTS_AHEAD_S * NS_PER_S };

	return r->urgent || r->due.v >= from.v ? r->due : from;
}

void rules_ask(struct rules *r)
{
	r->check_wanted = true;
	r->urgent = true;
	r->due.v = 0;
}

/* Nothing has changed; true when that was to be told. */
static bool unchanged(struct rules *r, const struct helper_answer *a, uint32_t host,
		      rules_emit *emit, void *arg)
{
	struct record checked = { .kind = RECORD_RULESET_CHECKED,
				  .host = host,
				  .checked.at = { a->before } };

	r->last.v = a->before;
	r->shown = r->generation;
	r->why[0] = '\0';
	if (!r->check_wanted)
		return false;
	r->check_wanted = false;
	if (r->what == DUMP_SETS)
		rules_resend(r, host, emit, arg);
	else
		emit(arg, &checked);
	return true;
}

bool rules_check(struct rules *r, const struct helper_answer *a, uint32_t host, rules_emit *emit,
		 void *arg)
{
	replaced_expire(&r->replaced, boot_now());
	if (a->error)
		return false;
	if (!r->known || a->digest != r->digest || (a->value && a->value != r->generation)) {
		r->due.v = 0;
		r->stale = true;
		return false;
	}
	set_due(r, a);
	(void)unchanged(r, a, host, emit, arg);
	return true;
}

bool rules_take(struct rules *r, const struct helper_answer *a, int fd, uint32_t host,
		rules_emit *emit, void *arg)
{
	r->asked = false;
	replaced_expire(&r->replaced, boot_now());
	if (a->error) {
		failed(r, a->why);
		return false;
	}
	r->stale = false;
	r->urgent = false;
	pay(r, a);
	set_due(r, a);
	r->generation = a->value;
	r->showing = a->value;
	if (fd < 0 && r->known && a->digest == r->digest)
		return unchanged(r, a, host, emit, arg);
	if (take_new(r, a, fd, host, emit, arg) < 0) {
		failed(r, "the helper's answer could not be read");
		return false;
	}
	r->last.v = a->before;
	r->shown = a->value;
	r->why[0] = '\0';
	snprintf(r->note, sizeof(r->note), "%s", a->why);
	/* What was asked for is a proof that all of it stood at one time: another read gives it. */
	if (r->check_wanted)
		r->due.v = 0;
	return true;
}

void rules_resend(const struct rules *r, uint32_t host, rules_emit *emit, void *arg)
{
	struct record rec;

	for (uint32_t i = 0; r->known && i < r->newest.count; i++) {
		if (r->newest.tables[i].handles)
			continue;
		rec = table_record(&r->newest.tables[i], host, (struct boot_ns){ 0 }, r->last);
		rec.ruleset.content = r->ids[i];
		rec.ruleset.handles = handles_of(&r->newest, r->ids, i);
		emit(arg, &rec);
	}
}

int rules_table(const struct rules *r, uint8_t backend, uint8_t family, const char *name)
{
	for (uint32_t i = 0; i < r->newest.count; i++) {
		const struct ruleset_table *t = &r->newest.tables[i];

		if (!t->handles && t->backend == backend && t->family == family &&
		    strcmp(t->name, name) == 0)
			return (int)i;
	}
	return -1;
}

int rules_find(const struct rules *r, const struct content_id *id, const struct ruleset **in)
{
	*in = &r->newest;
	for (uint32_t i = 0; i < r->newest.count; i++) {
		if (memcmp(&r->ids[i], id, sizeof(*id)) == 0)
			return (int)i;
	}
	return replaced_find(&r->replaced, id, in);
}

void rules_clear(struct rules *r)
{
	ruleset_clear(&r->newest);
	replaced_clear(&r->replaced);
	basechains_clear(&r->chains);
	rules_init(r, r->what, r->share);
}
