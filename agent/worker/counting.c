/*
 * A reading is worth something only beside the text that stood then: its digest must be that of the last ruleset that was
 * read. When it is not, nothing is lost, since counters go on where they are: the next reading has it all.
 */
#include "agent/worker/counting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CPU_SHARE =
		125, /* reading costs less than 1 % of a core, with what the worker does with it */
	RETRY_S = 5,
	AGAIN_MS = 500, /* after counters went back */
};

struct counting_sink {
	uint32_t host;
	rules_emit *emit;
	void *arg;
};

void counting_init(struct counting *c, uint32_t seconds)
{
	*c = (struct counting){ .seconds = seconds };
}

bool counting_due(const struct counting *c, struct boot_ns now, int64_t slack)
{
	return c->seconds && c->due.v <= now.v + slack;
}

/* Has it tables of nftables, whose text is known? */
static bool has_nft(const struct rules *rules)
{
	for (uint32_t i = 0; rules->generation && i < rules->newest.count; i++) {
		if (rules->newest.tables[i].backend != BACKEND_LEGACY)
			return true;
	}
	return false;
}

struct helper_request counting_request(const struct rules *rules, uint32_t host)
{
	return (struct helper_request){
		.op = HELPER_DUMP, .netns = host, .what = DUMP_COUNTERS, .known = has_nft(rules)
	};
}

static void on_tally(void *arg, const struct counters *c)
{
	const struct counting_sink *sink = arg;
	struct record r = { .kind = RECORD_COUNTERS, .host = sink->host, .counters = *c };

	sink->emit(sink->arg, &r);
}

/* The helper does not tell which tables of nftables are those of iptables-nft: there is one of each name. */
static bool is_same(const struct tally *tally, const struct counted_table *t)
{
	return (tally->backend == BACKEND_LEGACY) == (t->backend == BACKEND_LEGACY) &&
	       tally->family == t->family && strcmp(tally->table, t->name) == 0;
}

static struct tally *table_of(struct counting *c, const struct counted_table *t)
{
	struct tally *tally;

	for (uint32_t i = 0; i < c->count; i++) {
		tally = c->tables[i];
		if (is_same(tally, t))
			return tally;
	}
	if (c->count == RULESET_TABLES_MAX)
		return NULL;
	tally = calloc(1, sizeof(*tally));
	if (!tally)
		return NULL;
	tally->backend = t->backend;
	tally->family = t->family;
	snprintf(tally->table, sizeof(tally->table), "%s", t->name);
	c->tables[c->count++] = tally;
	return tally;
}

/* Tables that went. */
static void forget(struct counting *c, const struct counted *counted)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		struct tally *t = c->tables[i];
		bool there = false;

		for (uint32_t k = 0; k < counted->count && !there; k++)
			there = is_same(t, &counted->tables[k]);
		if (there) {
			c->tables[kept++] = t;
			continue;
		}
		tally_clear(t);
		free(t);
	}
	c->count = kept;
}

static int take_table(struct counting *c, const struct counted_table *from,
		      const struct rules *rules, const struct tally_read *read,
		      struct counting_sink *sink)
{
	int i = rules_table(rules, from->backend, from->family, from->name), r = 0;
	const struct content_id *id;
	struct tally *t;

	if (i < 0 && from->backend == BACKEND_NATIVE)
		i = rules_table(rules, BACKEND_NFT, from->family, from->name);
	/* A table that changed under every try to read it has no text that is its own. */
	if (i < 0 || rules->newest.tables[i].torn)
		return 0;
	id = &rules->ids[i];
	t = table_of(c, from);
	if (!t)
		return -ENOMEM;
	if (t->backend != rules->newest.tables[i].backend)
		tally_restart(t, rules->newest.tables[i].backend);
	if (!t->shape.chains || memcmp(&t->shape.content, id, sizeof(*id)) != 0) {
		const struct ruleset_table *table = &rules->newest.tables[i];
		const char *text = ruleset_map(&rules->newest);

		r = text ? tally_text(t, id, text + table->offset, table->len) : -ENOMEM;
		ruleset_unmap(&rules->newest, text);
	}
	return r < 0 ? r : tally_take(t, from, read, on_tally, sink);
}

static void failed(struct counting *c, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
	c->due.v = boot_now().v + (int64_t)RETRY_S * NS_PER_S;
}

static void take_all(struct counting *c, const struct counted *counted,
		     const struct helper_answer *a, const struct rules *rules,
		     struct counting_sink *sink)
{
	struct tally_read read = { .before = { a->before },
				   .at = { a->after },
				   .tell = c->tell,
				   .baseline = c->baseline };
	bool again = false;
	int r;

	c->why[0] = '\0';
	forget(c, counted);
	for (uint32_t i = 0; i < counted->count; i++) {
		/* Its text is of another moment: it is read next. */
		if (counted->tables[i].backend != BACKEND_LEGACY && a->value != rules->generation)
			continue;
		r = take_table(c, &counted->tables[i], rules, &read, sink);
		again |= r == -EAGAIN;
		if (r < 0 && r != -EAGAIN)
			snprintf(c->why, sizeof(c->why), "the counters of table %s: %s",
				 counted->tables[i].name,
				 r == -ESTALE ? "they do not fit its text" : strerror(-r));
	}
	c->known = true;
	/* A table that has to be read again has not told yet. */
	if (again) {
		c->due.v = a->after + (int64_t)AGAIN_MS * NS_PER_MS + c->cost * (CPU_SHARE / 10);
		return;
	}
	c->tell = c->baseline = false;
}

void counting_take(struct counting *c, const struct helper_answer *a, int fd,
		   const struct rules *rules, uint32_t host, rules_emit *emit, void *arg)
{
	struct counting_sink sink = { host, emit, arg };
	int64_t every = c->seconds * NS_PER_S;
	struct counted counted;

	if (a->error) {
		failed(c, a->why);
		return;
	}
	c->cost = a->cpu_ns;
	if (c->cost > every / CPU_SHARE)
		every = c->cost * CPU_SHARE;
	c->due.v = a->before + every;
	if (counted_open(&counted, fd) < 0) {
		failed(c, "the helper's answer could not be read");
		return;
	}
	/* Without the text: counting_soon() follows when it has been read. */
	if (rules)
		take_all(c, &counted, a, rules, &sink);
	counted_clear(&counted);
}

void counting_soon(struct counting *c, struct boot_ns now)
{
	int64_t at = now.v + c->cost * (CPU_SHARE / 2);

	if (c->due.v > at)
		c->due.v = at;
}

void counting_now(struct counting *c, bool baseline)
{
	c->tell = true;
	c->baseline |= baseline;
	c->due.v = 0;
}

void counting_clear(struct counting *c)
{
	struct counted none = { .count = 0 };

	forget(c, &none);
	counting_init(c, c->seconds);
}
