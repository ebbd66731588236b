/*
 * Counters only grow, but for three things. libiptc replaces a table by one whose counters are 0 and adds the old ones in a
 * second call: one reading between them is thrown away. What is less in two readings in a row was set to zero, and what it
 * shows then was counted since; unless more than half is left, which is what loading older counters looks like. And
 * should the third reading show all of them again, then both fell between two calls, and nothing was reset.
 *
 * When rules came or went, each is looked for by its chain and text; copies of one rule are told apart by their order
 * and by their counters: of all ways in which none goes back, the one that counts least.
 */
#include "agent/worker/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	QUIET_S = 60,      /* a table in which nothing moves says so this often */
	BASELINE_S = 3600, /* counters themselves are told this often */
	COPIES_MAX = 32,   /* of one rule in a chain; more are told apart by their order alone */
	BACK_MIN = 64,     /* packets */
	NOWHERE = UINT32_MAX,
};

/* Beside COUNTER_NONE packets: it has no counter; it was not there. */
enum { HAS_NO_COUNTER, IS_NEW };
/* With names as long as may be they fit into a frame. */
enum { PART_ENTRIES = COUNTER_ENTRIES_MAX / 4 };

/* --- shapes ------------------------------------------------------------------------------------------------------ */

static void shape_clear(struct tally_shape *s)
{
	free(s->chains);
	free(s->names);
	free(s->hashes);
	*s = (struct tally_shape){ .chains = NULL };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tally_chain *)a)->name, ((const struct tally_chain *)b)->name);
}

static void shape_fill(struct tally_shape *s, const struct table *t)
{
	char *name = s->names;
	uint32_t at = 0;

	for (uint32_t i = 0; i < t->chain_count; i++) {
		const struct chain *c = &t->chains[i];
		size_t size = strlen(c->name) + 1;

		s->chains[i].name = memcpy(name, c->name, size);
		name += size;
		s->chains[i].first = at;
		s->chains[i].rules = c->rule_count;
		s->chains[i].policy = strcmp(c->policy, "-") != 0;
		for (uint32_t k = 0; k < c->rule_count; k++)
			s->hashes[at++] = XXH3_64bits(c->rules[k].text, c->rules[k].len);
		if (s->chains[i].policy)
			s->hashes[at++] = 0;
	}
	qsort(s->chains, s->chain_count, sizeof(*s->chains), by_name);
}

static int shape_parse(struct tally_shape *s, enum backend backend, const char *text, size_t len)
{
	size_t names = 1;
	struct table t;
	int r = table_parse_as(&t, backend, text, len);

	*s = (struct tally_shape){ .chains = NULL };
	if (r < 0)
		return r;
	s->chain_count = t.chain_count;
	for (uint32_t i = 0; i < t.chain_count; i++) {
		s->value_count += t.chains[i].rule_count + (strcmp(t.chains[i].policy, "-") != 0);
		names += strlen(t.chains[i].name) + 1;
	}
	s->names = malloc(names);
	s->chains = calloc(s->chain_count + 1, sizeof(*s->chains));
	s->hashes = calloc((size_t)s->value_count + 1, sizeof(*s->hashes));
	if (s->names && s->chains && s->hashes)
		shape_fill(s, &t);
	else
		r = -ENOMEM;
	table_clear(&t);
	if (r < 0)
		shape_clear(s);
	return r;
}

int tally_text(struct tally *t, const struct content_id *content, const char *text, size_t len)
{
	struct tally_shape next;
	int r = shape_parse(&next, t->backend, text, len);

	if (r < 0)
		return r;
	next.content = *content;
	/* The values may be of a text yet before: of that one they stay. */
	if (t->values && !t->old.chains)
		t->old = t->shape;
	else
		shape_clear(&t->shape);
	t->shape = next;
	return 0;
}

void tally_clear(struct tally *t)
{
	shape_clear(&t->shape);
	shape_clear(&t->old);
	free(t->values);
	free(t->shadow);
	*t = (struct tally){ .values = NULL };
}

void tally_restart(struct tally *t, uint8_t backend)
{
	struct tally next = { .backend = backend, .family = t->family };

	memcpy(next.table, t->table, sizeof(next.table));
	tally_clear(t);
	*t = next;
}

/* --- which rule is which ----------------------------------------------------------------------------------------- */

struct place {
	uint64_t hash;
	uint32_t at;
};

/* From each value of the new shape to that of the old one, or NOWHERE. */
struct mapping {
	const struct tally *t;
	const struct counters_value *now;
	uint32_t *from;            /* owned */
	struct place *olds, *news; /* owned; scratch */
	uint32_t found;
};

static int by_hash(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static void places(struct place *out, const struct tally_shape *s, const struct tally_chain *c)
{
	for (uint32_t i = 0; i < c->rules; i++)
		out[i] = (struct place){ s->hashes[c->first + i], c->first + i };
	qsort(out, c->rules, sizeof(*out), by_hash);
}

static bool is_less(const struct counters_value *now, const struct counters_value *was)
{
	return was->packets != COUNTER_NONE && now->packets != COUNTER_NONE &&
	       (now->packets < was->packets || now->bytes < was->bytes);
}

static void match(struct mapping *m, uint32_t old, uint32_t new)
{
	m->from[new] = old;
	m->found++;
}

/*
 * Copies of one rule, not as many as before: as many as possible are taken for old ones, in their order, so that
 * none went back and they have counted as little as may be.
 */
static void match_copies(struct mapping *m, const struct place *o, uint32_t olds,
			 const struct place *n, uint32_t news)
{
	struct best {
		uint32_t matches;
		uint64_t cost;
		enum { END, SKIP_OLD, SKIP_NEW, MATCH } step;
	} best[COPIES_MAX + 1][COPIES_MAX + 1];

	memset(best, 0, sizeof(best));
	for (uint32_t i = olds + 1; i-- > 0;) {
		for (uint32_t k = news + 1; k-- > 0;) {
			struct best *b = &best[i][k];
			const struct counters_value *was, *now;
			struct best with;

			if (i < olds)
				*b = (struct best){ best[i + 1][k].matches, best[i + 1][k].cost,
						    SKIP_OLD };
			if (k < news && (i == olds || best[i][k + 1].matches > b->matches ||
					 (best[i][k + 1].matches == b->matches &&
					  best[i][k + 1].cost < b->cost)))
				*b = (struct best){ best[i][k + 1].matches, best[i][k + 1].cost,
						    SKIP_NEW };
			if (i == olds || k == news)
				continue;
			was = &m->t->values[o[i].at];
			now = &m->now[n[k].at];
			if (is_less(now, was))
				continue;
			with = best[i + 1][k + 1];
			with.matches++;
			if (was->packets != COUNTER_NONE && now->packets != COUNTER_NONE)
				with.cost += now->packets - was->packets;
			if (with.matches > b->matches ||
			    (with.matches == b->matches && with.cost <= b->cost))
				*b = (struct best){ with.matches, with.cost, MATCH };
		}
	}
	for (uint32_t i = 0, k = 0; i < olds && k < news;) {
		enum { NO, YES } both = best[i][k].step == MATCH ? YES : NO;

		if (both)
			match(m, o[i].at, n[k].at);
		i += both || best[i][k].step == SKIP_OLD;
		k += both || best[i][k].step == SKIP_NEW;
	}
}

static uint32_t run(const struct place *p, uint32_t count)
{
	uint32_t n = 1;

	while (n < count && p[n].hash == p[0].hash)
		n++;
	return n;
}

static void match_chain(struct mapping *m, const struct tally_chain *old,
			const struct tally_chain *new)
{
	uint32_t i = 0, k = 0;

	places(m->olds, &m->t->old, old);
	places(m->news, &m->t->shape, new);
	while (i < old->rules && k < new->rules) {
		const struct place *o = &m->olds[i], *n = &m->news[k];
		uint32_t olds, news;

		if (o->hash != n->hash) {
			i += o->hash < n->hash;
			k += o->hash > n->hash;
			continue;
		}
		olds = run(o, old->rules - i);
		news = run(n, new->rules - k);
		if (olds != news && olds <= COPIES_MAX && news <= COPIES_MAX) {
			match_copies(m, o, olds, n, news);
		} else {
			for (uint32_t c = 0; c < olds && c < news; c++)
				match(m, o[c].at, n[c].at);
		}
		i += olds;
		k += news;
	}
	if (old->policy && new->policy)
		m->from[new->first + new->rules] = old->first + old->rules;
}

static int map_values(struct mapping *m)
{
	const struct tally_shape *old = &m->t->old, *new = &m->t->shape;
	uint32_t i = 0, k = 0;

	m->from = malloc(((size_t) new->value_count + 1) * sizeof(*m->from));
	m->olds = malloc(((size_t)old->value_count + 1) * sizeof(*m->olds));
	m->news = malloc(((size_t) new->value_count + 1) * sizeof(*m->news));
	if (!m->from || !m->olds || !m->news)
		return -ENOMEM;
	memset(m->from, 0xff, (size_t) new->value_count * sizeof(*m->from));
	while (i < old->chain_count && k < new->chain_count) {
		int order = strcmp(old->chains[i].name, new->chains[k].name);

		if (order == 0)
			match_chain(m, &old->chains[i], &new->chains[k]);
		i += order <= 0;
		k += order >= 0;
	}
	return 0;
}

static int remap(struct counters_value **values, const struct mapping *m, uint32_t count)
{
	struct counters_value *next;

	if (!*values)
		return 0;
	next = malloc(((size_t)count + 1) * sizeof(*next));
	if (!next)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		next[i] = m->from[i] == NOWHERE ? (struct counters_value){ COUNTER_NONE, IS_NEW }
						: (*values)[m->from[i]];
	free(*values);
	*values = next;
	return 0;
}

static uint32_t rules_of(const struct tally_shape *s)
{
	uint32_t rules = 0;

	for (uint32_t i = 0; i < s->chain_count; i++)
		rules += s->chains[i].rules;
	return rules;
}

/* Brings the values from the old shape to the new one. */
static int reshape(struct tally *t, const struct counters_value *now)
{
	struct mapping m = { .t = t, .now = now };
	int r = map_values(&m);

	if (r == 0)
		r = remap(&t->shadow, &m, t->shape.value_count);
	if (r == 0)
		r = remap(&t->values, &m, t->shape.value_count);
	if (r == 0) {
		t->lost += rules_of(&t->old) - m.found;
		shape_clear(&t->old);
	}
	free(m.from);
	free(m.olds);
	free(m.news);
	return r;
}

/* --- readings ------------------------------------------------------------------------------------------------------ */

static const struct tally_chain *chain_find(const struct tally_shape *s, const char *name,
					    uint32_t guess)
{
	struct tally_chain key = { .name = name };

	if (guess < s->chain_count && strcmp(s->chains[guess].name, name) == 0)
		return &s->chains[guess];
	return bsearch(&key, s->chains, s->chain_count, sizeof(*s->chains), by_name);
}

/*
 * The reading's values in the order of the shape; the caller frees them. iptables-nft-save prints built-in chains that do
 * not exist yet: they are empty, and count nothing.
 */
static int arrange(struct counters_value **out, const struct tally_shape *s,
		   const struct counted_table *c)
{
	const struct counters_value *from = c->values;
	struct counters_value *values;
	uint32_t next = 0, rules = 0;

	values = malloc(((size_t)s->value_count + 1) * sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->value_count; i++)
		values[i] = (struct counters_value){ COUNTER_NONE, HAS_NO_COUNTER };
	for (uint32_t i = 0; i < c->chain_count; i++) {
		const struct tally_chain *chain = chain_find(s, c->chains[i].name, next);

		if (!chain || chain->rules != c->chains[i].rules ||
		    chain->policy != (c->chains[i].policy != 0)) {
			free(values);
			return -ESTALE;
		}
		memcpy(values + chain->first, from,
		       (chain->rules + chain->policy) * sizeof(*values));
		from += chain->rules + chain->policy;
		rules += chain->rules;
		next = (uint32_t)(chain - s->chains) + 1;
	}
	if (rules != rules_of(s)) {
		free(values);
		return -ESTALE;
	}
	*out = values;
	return 0;
}

static bool any_less(const struct counters_value *now, const struct counters_value *was, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (is_less(&now[i], &was[i]))
			return true;
	}
	return false;
}

/* Did any counter go back? Every commit of iptables sets policies to zero, and rules only rarely. */
static bool went_back(struct tally *t, const struct counters_value *now)
{
	for (uint32_t i = 0; i < t->shape.chain_count; i++) {
		const struct tally_chain *c = &t->shape.chains[i];
		uint32_t policy = c->first + c->rules;

		t->unsure_rules |= any_less(now + c->first, t->values + c->first, c->rules);
		t->unsure_policies |= any_less(now + policy, t->values + policy, c->policy);
	}
	return t->unsure_rules || t->unsure_policies;
}

/* What a rule counted that was `was` and is less now. */
static struct counters_value since_reset(const struct counters_value *was,
					 const struct counters_value *now)
{
	bool zeroed = now->packets <= was->packets / 2 && now->bytes <= was->bytes / 2;

	return zeroed ? *now : (struct counters_value){ 0, 0 };
}

/* Are all counters that a reset hit there again? Small ones may just have been reached again. */
static bool are_back(const struct tally *t, const struct counters_value *now)
{
	uint64_t most = 0;

	if (!t->shadow)
		return false;
	for (uint32_t i = 0; i < t->shape.value_count; i++) {
		if (is_less(&now[i], &t->shadow[i]))
			return false;
		if (t->shadow[i].packets != COUNTER_NONE && t->shadow[i].packets > most)
			most = t->shadow[i].packets;
	}
	return most >= BACK_MIN;
}

/* After a reset: if all is there again, then nothing was reset. True when that is so. */
static bool recover(struct tally *t, const struct counters_value *now)
{
	bool back = are_back(t, now);

	for (uint32_t i = 0; back && i < t->shape.value_count; i++) {
		struct counters_value *v = &t->values[i], told;

		if (t->shadow[i].packets == COUNTER_NONE || v->packets == COUNTER_NONE)
			continue;
		told = since_reset(&t->shadow[i], v);
		v->packets = t->shadow[i].packets + told.packets;
		v->bytes = t->shadow[i].bytes + told.bytes;
		if (is_less(&now[i], v))
			*v = now[i];
	}
	free(t->shadow);
	t->shadow = NULL;
	return back;
}

/* Keeps the values that a reset hit, for the next reading. */
static void remember(struct tally *t, const struct counters_value *now)
{
	for (uint32_t i = 0; i < t->shape.value_count; i++) {
		if (!is_less(&now[i], &t->values[i]))
			t->values[i].packets = COUNTER_NONE;
	}
	t->shadow = t->values;
	t->values = NULL;
}

/* --- telling ------------------------------------------------------------------------------------------------------- */

/* What there is to say about a value; false: nothing. */
static bool entry_of(const struct tally *t, const struct counters_value *now, uint32_t i,
		     bool baseline, struct counter_entry *e)
{
	bool unsure = e->rule ? t->unsure_rules : t->unsure_policies, reset = false;
	const struct counters_value *was = &t->values[i];
	struct counters_value v = now[i];

	if (v.packets == COUNTER_NONE) {
		e->mark = COUNTER_UNCOUNTED;
		return baseline || (was->packets == COUNTER_NONE && was->bytes == IS_NEW);
	}
	e->mark = unsure ? COUNTER_RESET : COUNTER_EXACT;
	if (baseline) {
		e->mark = COUNTER_EXACT;
	} else if (was->packets == COUNTER_NONE) {
		e->mark = COUNTER_NEW;
	} else if (is_less(&v, was)) {
		v = since_reset(was, &v);
		reset = true;
	} else {
		v.packets -= was->packets;
		v.bytes -= was->bytes;
	}
	e->packets = v.packets;
	e->bytes = v.bytes;
	return v.packets || v.bytes || reset;
}

struct telling {
	struct tally *t;
	const struct counters_value *now;
	struct counters c;
	struct counter_entry *entries; /* owned; NULL: only count */
	uint32_t total;
	tally_emit *emit;
	void *arg;
};

static void flush(struct telling *g)
{
	g->c.entries = g->entries;
	g->emit(g->arg, &g->c);
	g->c.part++;
	g->c.count = 0;
	g->c.lost = 0;
}

static void tell_value(struct telling *g, const struct tally_chain *chain, uint32_t i)
{
	struct counter_entry e = { .chain = chain->name, .rule = i < chain->rules ? i + 1 : 0 };

	if (!entry_of(g->t, g->now, chain->first + i, g->c.baseline, &e))
		return;
	g->total++;
	if (!g->entries)
		return;
	g->entries[g->c.count++] = e;
	if (g->c.count == PART_ENTRIES && g->c.part + 1 < g->c.parts)
		flush(g);
}

static void tell_values(struct telling *g)
{
	const struct tally_shape *s = &g->t->shape;

	g->total = 0;
	for (uint32_t i = 0; i < s->chain_count; i++) {
		const struct tally_chain *chain = &s->chains[i];

		for (uint32_t k = 0; k < chain->rules + chain->policy; k++)
			tell_value(g, chain, k);
	}
}

/* Emits deltas, or the counters themselves. 1: something was told; 0: there was nothing to tell; -errno. */
static int tell(struct tally *t, const struct counters_value *now, const struct tally_read *read,
		bool baseline, tally_emit *emit, void *arg)
{
	struct telling g = { .t = t,
			     .now = now,
			     .emit = emit,
			     .arg = arg,
			     .c = { .since = baseline ? read->at : t->told,
				    .before = baseline ? read->at : t->last,
				    .at = read->at,
				    .backend = t->backend,
				    .family = t->family,
				    .table = t->table,
				    .content = t->shape.content,
				    .baseline = baseline,
				    .lost = baseline ? 0 : t->lost } };
	bool quiet = read->at.v - t->told.v < (int64_t)QUIET_S * NS_PER_S && !read->tell &&
		     !t->lost &&
		     !memcmp(&t->told_content, &t->shape.content, sizeof(t->told_content));

	tell_values(&g);
	if (!baseline && g.total == 0 && quiet)
		return 0;
	g.c.parts = g.total / PART_ENTRIES + (g.total % PART_ENTRIES != 0);
	g.c.parts += g.c.parts == 0;
	if (g.c.parts > COUNTER_PARTS_MAX)
		return -E2BIG;
	g.entries = malloc(((g.c.parts > 1 ? PART_ENTRIES : g.total) + 1) * sizeof(*g.entries));
	if (!g.entries)
		return -ENOMEM;
	tell_values(&g);
	flush(&g);
	free(g.entries);
	return 1;
}

static int take(struct tally *t, struct counters_value *now, const struct tally_read *read,
		tally_emit *emit, void *arg)
{
	bool recovered = recover(t, now);
	int r;

	t->unsure_rules = t->unsure_policies = false;
	if (went_back(t, now) && !t->dipped) {
		t->dipped = true;
		return -EAGAIN;
	}
	t->dipped = t->unsure_rules || t->unsure_policies;
	t->unsure_rules |= recovered;
	t->unsure_policies |= recovered;
	r = tell(t, now, read, false, emit, arg);
	if (r < 0)
		return r;
	if (r > 0) {
		t->told = read->at;
		t->told_content = t->shape.content;
		t->lost = 0;
	}
	if (t->dipped)
		remember(t, now);
	t->dipped = false;
	return 0;
}

int tally_take(struct tally *t, const struct counted_table *c, const struct tally_read *read,
	       tally_emit *emit, void *arg)
{
	struct counters_value *now = NULL;
	bool first = !t->values, baseline;
	int r = arrange(&now, &t->shape, c);

	if (r < 0)
		return r;
	if (!first && t->old.chains)
		r = reshape(t, now);
	if (r == 0 && !first)
		r = take(t, now, read, emit, arg);
	if (r < 0) {
		free(now);
		return r;
	}
	free(t->values);
	t->values = now;
	t->last = read->before;
	/* Those that were set to zero are counters anew. */
	baseline = first || read->baseline || (t->shadow && t->unsure_rules) ||
		   read->at.v - t->baselined.v >= (int64_t)BASELINE_S * NS_PER_S;
	if (baseline && tell(t, now, read, true, emit, arg) > 0) {
		t->baselined = read->at;
		if (first) {
			t->told = read->at;
			t->told_content = t->shape.content;
		}
	}
	return 0;
}
