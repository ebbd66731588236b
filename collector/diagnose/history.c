/*
 * The history of a host's tables: what changed, when and by whom, and what makes two of their contents different.
 */
#include "collector/diagnose/diagnose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/diagnose/answer.h"
#include "collector/diagnose/delta.h"
#include "common/content.h"

enum {
	HEAP_MAX = 512 << 20,
	LOOKED_MAX = 2000, /* changes that one question looks into, for a chain */
};

static const char not_here[] = "its text has not arrived";
static const char not_read[] = "its text cannot be taken apart";
static const char no_memory[] = "it is too large to be compared";

static bool wanted(const struct tables_ask *w, const struct stored_table *t)
{
	return (w->backend < 0 || w->backend == t->backend) &&
	       (w->family < 0 || w->family == t->family) &&
	       (!w->table || !strcmp(w->table, t->table));
}

static bool same_table(const struct stored_table *a, const struct stored_table *b)
{
	return a->backend == b->backend && a->family == b->family && !strcmp(a->table, b->table);
}

static bool same_content(const struct stored_table *a, const struct stored_table *b)
{
	return !memcmp(&a->content, &b->content, sizeof(a->content));
}

static bool stands(const struct stored_table *t)
{
	return t && !content_id_none(&t->content);
}

static json_t *json_content(const struct stored_table *t)
{
	char id[CONTENT_TEXT_MAX];

	if (!stands(t))
		return json_null();
	content_id_print(&t->content, id);
	return json_string(id);
}

/* --- patches ------------------------------------------------------------------------------------------------------ */

/* NULL: it is parsed, or there is nothing to parse; else why not. */
static const char *load(struct table *out, const struct stored_table *t, struct reader *r,
			struct arena *arena)
{
	const char *text;
	size_t len;
	int err;

	memset(out, 0, sizeof(*out));
	if (!stands(t))
		return NULL;
	err = reader_content(r, &t->content, arena, &text, &len);
	if (err == 0)
		err = table_parse_as(out, t->backend, text, len);
	return err == 0 ? NULL : err == -ENOENT ? not_here : err == -ENOMEM ? no_memory : not_read;
}

static json_t *json_line(const struct delta_line *l, struct arena *arena)
{
	const char *text = arena_strndup(arena, l->text, l->len);

	return json_pack("{s:o,s:s,s:o,s:o}", "chain", json_text(l->chain), "op",
			 l->added ? "+" : "-", "rule",
			 l->number ? json_integer(l->number) : json_null(), "text",
			 json_text(text));
}

static json_t *json_chains(const struct delta *d)
{
	json_t *chains = json_array();
	const char *last = NULL;

	for (size_t i = 0; i < d->count; i++) {
		const char *chain = d->lines[i].chain;

		if (!chain || (last && !strcmp(last, chain)))
			continue;
		if (json_array_size(chains) < PATCH_LINES_MAX)
			json_array_append_new(chains, json_text(chain));
		last = chain;
	}
	return chains;
}

/*
 * Adds what makes b's content another than a's (NULL or absent: there was none) to o. False: of the chain that was asked for
 * nothing changed.
 */
static bool add_delta(json_t *o, const struct stored_table *a, const struct stored_table *b,
		      const char *chain, bool patch, struct reader *r, struct arena *arena)
{
	struct arena_mark before = arena_mark(arena);
	json_t *list = patch ? json_array() : json_null();
	struct delta d = { 0 };
	struct table x, y = { 0 };
	const char *unknown = load(&x, a, r, arena);
	size_t shown;

	if (!unknown)
		unknown = load(&y, b, r, arena);
	if (!unknown &&
	    delta_make(&d, stands(a) ? &x : NULL, stands(b) ? &y : NULL, chain, arena) < 0)
		unknown = no_memory;
	shown = d.count < PATCH_LINES_MAX ? d.count : PATCH_LINES_MAX;
	for (size_t i = 0; patch && !unknown && i < shown; i++)
		json_array_append_new(list, json_line(&d.lines[i], arena));
	json_object_set_new(o, "torn",
			    json_boolean((stands(a) && a->torn) || (stands(b) && b->torn)));
	json_object_set_new(o, "unknown", json_text(unknown));
	json_object_set_new(o, "added", unknown ? json_null() : json_integer((json_int_t)d.added));
	json_object_set_new(o, "removed",
			    unknown ? json_null() : json_integer((json_int_t)d.removed));
	json_object_set_new(o, "chains", json_chains(&d));
	json_object_set_new(o, "patch", list);
	json_object_set_new(o, "patch_omitted",
			    json_integer(patch && !unknown ? (json_int_t)(d.count - shown) : 0));
	table_clear(&x);
	table_clear(&y);
	arena_rewind(arena, before);
	return !chain || unknown || d.count > 0;
}

static json_t *json_names(const struct stored_table *t)
{
	return json_pack("{s:s,s:s,s:o}", "backend", backend_name(t->backend), "family",
			 family_name(t->family), "table", json_text(t->table));
}

/* --- log ---------------------------------------------------------------------------------------------------------- */

struct change {
	const struct stored_table *t,
		*before; /* NULL: it is the first of its table that was read */
};

/* Of a table and what preceded it: is there a change to tell, and within the window? */
static bool is_change(const struct change *c, struct wall_ns since, struct wall_ns until)
{
	if (c->t->from.v < since.v || c->t->from.v > until.v)
		return false;
	if (!c->before)
		return stands(c->t);
	return !same_content(c->before, c->t); /* else other handles of the same rules */
}

static const char *change_kind(const struct change *c)
{
	if (!stands(c->t))
		return "deleted";
	if (stands(c->before))
		return "changed";
	return c->before || c->t->from_min.v ? "created" : "first";
}

static json_t *json_change(const struct change *c, const struct tables_ask *which, bool patch,
			   struct reader *r, struct arena *arena)
{
	const struct stored_table *t = c->t;
	json_t *o = json_names(t);

	json_object_set_new(o, "kind", json_string(change_kind(c)));
	json_object_set_new(o, "at", json_wall(t->from));
	json_object_set_new(o, "after", json_wall(t->from_min));
	json_object_set_new(o, "since_uncertainty_ms", json_uncertainty(t->from_min, t->from, t));
	json_object_set_new(o, "changed_by", json_changed_by(t));
	json_object_set_new(o, "content", json_content(t));
	json_object_set_new(o, "before", json_content(c->before));
	if (add_delta(o, c->before, t, which->chain, patch, r, arena))
		return o;
	json_decref(o);
	return NULL;
}

static int newest_first(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->t->from.v != y->t->from.v)
		return x->t->from.v < y->t->from.v ? 1 : -1;
	return (x->t < y->t) - (x->t > y->t);
}

/* Pairs each entry with the one before it of the same table; list is oldest first. */
static size_t find_changes(struct change *out, const struct stored_table *list, size_t count,
			   const struct tables_ask *which, struct wall_ns since,
			   struct wall_ns until, struct change *last)
{
	size_t n = 0, tables = 0, k;

	for (size_t i = 0; i < count; i++) {
		struct change c = { .t = &list[i] };

		if (!wanted(which, &list[i]))
			continue;
		for (k = 0; k < tables && !same_table(last[k].t, &list[i]); k++)
			;
		c.before = k < tables ? last[k].t : NULL;
		last[k].t = &list[i];
		tables += k == tables;
		if (is_change(&c, since, until))
			out[n++] = c;
	}
	qsort(out, n, sizeof(*out), newest_first);
	return n;
}

static int build_log(json_t **answer, const char *host, uint64_t id, const struct tables_ask *which,
		     struct wall_ns since, struct wall_ns until, bool patch, size_t limit,
		     struct reader *r, struct arena *arena)
{
	struct wall_ns from = { since.v > 0 ? since.v - 1 : 0 }; /* what stood just before, too */
	struct stored_table *list = NULL;
	struct change *changes, *last;
	size_t count = 0, n, looked = 0;
	json_t *out;
	int err = reader_tables(r, id, from, until, arena, &list, &count);

	if (err < 0)
		return err;
	changes = arena_alloc(arena, (count + 1) * sizeof(*changes));
	last = arena_alloc(arena, (count + 1) * sizeof(*last));
	if (!changes || !last)
		return -ENOMEM;
	n = find_changes(changes, list, count, which, since, until, last);
	out = json_array();
	for (; looked < n && looked < LOOKED_MAX && json_array_size(out) < limit; looked++) {
		json_t *one = json_change(&changes[looked], which, patch, r, arena);

		if (one)
			json_array_append_new(out, one);
	}
	*answer = json_pack("{s:o,s:{s:o,s:o},s:b,s:o}", "host", json_text(host), "window", "since",
			    json_wall(since), "until", json_wall(until), "cut", looked < n,
			    "changes", out);
	return 0;
}

/* When the host's tables were read first; 0: never. */
static struct wall_ns first_read(struct reader *r, uint64_t host, struct arena *arena)
{
	struct stored_table *list = NULL;
	struct wall_ns first = { 0 };
	size_t count = 0;

	if (reader_tables(r, host, (struct wall_ns){ 1 }, (struct wall_ns){ INT64_MAX }, arena,
			  &list, &count) < 0)
		return first;
	for (size_t i = 0; i < count; i++)
		if (!first.v || list[i].from.v < first.v)
			first = list[i].from;
	return first;
}

int diagnose_rules_log(json_t **answer, const char *host, const struct tables_ask *which,
		       struct wall_ns since, struct wall_ns until, bool patch, size_t limit,
		       struct reader *r)
{
	struct arena arena;
	uint64_t id;
	int err;

	arena_init(&arena, HEAP_MAX);
	err = reader_host(r, host, &arena, &id);
	if (err == 0)
		err = build_log(answer, host, id, which, since, until, patch,
				limit < LOG_ENTRIES_MAX ? limit : LOG_ENTRIES_MAX, r, &arena);
	if (err == 0)
		json_object_set_new(*answer, "first", json_wall(first_read(r, id, &arena)));
	arena_free(&arena);
	return err;
}

/* --- two of them --------------------------------------------------------------------------------------------------- */

struct side {
	const struct tables_side *ask;
	uint64_t host;
	const struct stored_table **list;
	size_t count;
};

/* Was it in force at that time? What was first read later, and stood before, may have been. */
static bool in_force(const struct stored_table *t, struct wall_ns at)
{
	return t->from.v <= at.v && (!t->until.v || t->until.v > at.v);
}

static bool begins(const struct stored_table *t, const char *digits)
{
	char id[CONTENT_TEXT_MAX];

	if (!stands(t))
		return false;
	content_id_print(&t->content, id);
	return !strncmp(id, digits, strlen(digits));
}

/* Keeps the one content that was asked for. */
static int choose_content(struct side *s, const struct stored_table *list, size_t count,
			  const struct tables_ask *which)
{
	for (size_t i = 0; i < count; i++) {
		if (!begins(&list[i], s->ask->content) || !wanted(which, &list[i]))
			continue;
		if (s->count && !same_content(s->list[0], &list[i]))
			return -EEXIST;
		s->list[0] = &list[i];
		s->count = 1;
	}
	return s->count ? 0 : -ESRCH;
}

static int choose(struct side *s, const struct tables_side *ask, const struct tables_ask *which,
		  struct reader *r, struct arena *arena)
{
	struct wall_ns from = ask->content ? (struct wall_ns){ 1 } : ask->at;
	struct wall_ns until = ask->content ? (struct wall_ns){ INT64_MAX } : ask->at;
	struct stored_table *list = NULL;
	size_t count = 0;
	int err;

	*s = (struct side){ .ask = ask };
	err = reader_host(r, ask->host, arena, &s->host);
	if (err == 0)
		err = reader_tables(r, s->host, from, until, arena, &list, &count);
	if (err < 0)
		return err;
	s->list = arena_alloc(arena, (count + 1) * sizeof(*s->list));
	if (!s->list)
		return -ENOMEM;
	if (ask->content)
		return choose_content(s, list, count, which);
	for (size_t i = 0; i < count; i++)
		if (in_force(&list[i], ask->at) && wanted(which, &list[i]))
			s->list[s->count++] = &list[i];
	for (size_t i = 0; i < count; i++)
		if (in_force(&list[i], ask->at))
			return 0;
	return -ESRCH;
}

static const struct stored_table *partner(const struct side *s, const struct stored_table *t)
{
	for (size_t i = 0; i < s->count; i++)
		if (same_table(s->list[i], t))
			return s->list[i];
	return NULL;
}

static void compare(json_t *out, bool *equal, const struct stored_table *a,
		    const struct stored_table *b, const struct tables_ask *which, struct reader *r,
		    struct arena *arena)
{
	json_t *o;

	if ((!stands(a) && !stands(b)) || (a && b && same_content(a, b)))
		return;
	o = json_names(a ? a : b);
	json_object_set_new(o, "a", json_content(a));
	json_object_set_new(o, "b", json_content(b));
	if (!add_delta(o, a, b, which->chain, true, r, arena)) {
		json_decref(o);
		return;
	}
	*equal = false;
	json_array_append_new(out, o);
}

static json_t *json_side(const struct tables_side *s)
{
	return json_pack("{s:o,s:o,s:o}", "host", json_text(s->host), "at",
			 s->content ? json_null() : json_wall(s->at), "content",
			 json_text(s->content));
}

static int by_place(const void *pa, const void *pb)
{
	const struct stored_table *a = *(const struct stored_table *const *)pa,
				  *b = *(const struct stored_table *const *)pb;

	if (a->backend != b->backend)
		return a->backend < b->backend ? -1 : 1;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return strcmp(a->table, b->table);
}

static json_t *build_diff(const struct side *a, const struct side *b,
			  const struct tables_ask *which, struct reader *r, struct arena *arena)
{
	json_t *out = json_array();
	bool equal = true;

	for (size_t i = 0; i < a->count; i++)
		compare(out, &equal, a->list[i], partner(b, a->list[i]), which, r, arena);
	for (size_t i = 0; i < b->count; i++)
		if (!partner(a, b->list[i]))
			compare(out, &equal, NULL, b->list[i], which, r, arena);
	return json_pack("{s:o,s:o,s:b,s:o}", "a", json_side(a->ask), "b", json_side(b->ask),
			 "equal", equal, "tables", out);
}

/* A content is of one table: of the other side only that one counts. */
static void narrow(struct side *s, const struct side *by)
{
	size_t kept = 0;

	for (size_t i = 0; by->ask->content && i < s->count; i++)
		if (same_table(s->list[i], by->list[0]))
			s->list[kept++] = s->list[i];
	if (by->ask->content)
		s->count = kept;
}

int diagnose_rules_diff(json_t **answer, const struct tables_side *a, const struct tables_side *b,
			const struct tables_ask *which, struct reader *r, char *side,
			struct wall_ns *first)
{
	struct side x, y;
	struct arena arena;
	int err;

	arena_init(&arena, HEAP_MAX);
	*side = 'a';
	err = choose(&x, a, which, r, &arena);
	if (err == -ESRCH)
		*first = first_read(r, x.host, &arena);
	if (err == 0) {
		*side = 'b';
		err = choose(&y, b, which, r, &arena);
		if (err == -ESRCH)
			*first = first_read(r, y.host, &arena);
	}
	if (err == 0) {
		narrow(&x, &y);
		narrow(&y, &x);
		qsort(x.list, x.count, sizeof(*x.list), by_place);
		qsort(y.list, y.count, sizeof(*y.list), by_place);
		*answer = build_diff(&x, &y, which, r, &arena);
	}
	arena_free(&arena);
	return err;
}
