/*
 * Loads the state of the fleet for one window and answers small questions about it. Nothing here guesses: where
 * two hosts could be meant, both are returned.
 */
#include "collector/stitch/fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/content.h"

enum {
	LOSS_MARGIN_MS =
		1000, /* a loss may hide events that were made this much earlier or later */
	FACTS_MARGIN_MS = 1000, /* facts are asked for again a moment after they changed */
	DISARM_MARGIN_MS =
		20, /* an end is told after the rules went; a beginning, once they stand */
};

/* When a host ended is known as well as its clock is. */
#define ENDED_SLACK_NS (3600LL * NS_PER_S)

/* What these sources lose is no packet, or (nflog) one of which nothing was to be expected. */
static bool is_about_packets(const char *source)
{
	static const char *const others[] = { "conntrack", "changes", "counters",
					      "audit",     "ruleset", "nflog" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(others[i], source))
			return false;
	return true;
}

static int by_host_and_time(const void *pa, const void *pb)
{
	const struct stored_loss *a = ((const struct fleet_loss *)pa)->loss;
	const struct stored_loss *b = ((const struct fleet_loss *)pb)->loss;

	if (a->host != b->host)
		return a->host < b->host ? -1 : 1;
	if (a->from.v != b->from.v)
		return a->from.v < b->from.v ? -1 : 1;
	return (a > b) - (a < b);
}

static int order_losses(struct fleet *f)
{
	f->lost = arena_alloc(f->arena, (f->loss_count + 1) * sizeof(*f->lost));
	if (!f->lost)
		return -ENOMEM;
	for (size_t i = 0; i < f->loss_count; i++)
		if (is_about_packets(f->losses[i].source))
			f->lost[f->lost_count++].loss = &f->losses[i];
	qsort(f->lost, f->lost_count, sizeof(*f->lost), by_host_and_time);
	for (size_t i = 0; i < f->lost_count; i++) {
		const struct fleet_loss *before = i ? &f->lost[i - 1] : NULL;
		int64_t until = f->lost[i].loss->until.v;

		f->lost[i].latest = before && before->loss->host == f->lost[i].loss->host &&
						    before->latest > until
					    ? before->latest
					    : until;
	}
	return 0;
}

/* Behind the host's losses that began by then. */
static size_t losses_begun(const struct fleet *f, uint64_t host, int64_t by)
{
	size_t low = 0, high = f->lost_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct stored_loss *l = f->lost[mid].loss;

		if (l->host < host || (l->host == host && l->from.v <= by))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int fleet_load(struct fleet *f, struct reader *r, struct arena *arena, struct wall_ns since,
	       struct wall_ns until)
{
	struct stored_table *tables = NULL;
	struct stored_host *hosts = NULL;
	size_t n = 0;
	int ret;

	memset(f, 0, sizeof(*f));
	f->reader = r;
	f->arena = arena;
	f->since = since;
	f->until = until;

	ret = reader_hosts(r, arena, &hosts, &n);
	if (ret < 0)
		return ret;
	f->hosts = arena_alloc(arena, (n + 1) * sizeof(*f->hosts));
	f->past = arena_alloc(arena, sizeof(*f->past));
	if (!f->hosts || !f->past)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct fleet_host *h = &f->hosts[f->host_count];

		/* Namespaces that ended long before have nothing to say, and there may be very many. */
		if (hosts[i].retired && hosts[i].last_seen.v < since.v - ENDED_SLACK_NS)
			continue;
		f->host_count++;
		h->host = hosts[i].host;
		h->id = hosts[i].id;
		h->retired = hosts[i].retired;
		h->checked = hosts[i].checked;
		h->has_facts = reader_facts(r, h->host, until, arena, &h->facts) == 0;
		ret = reader_facts_span(r, h->host, until, &h->facts_from, &h->facts_next);
		if (ret < 0)
			return ret;
		h->has_sources = reader_sources(r, h->host, arena, &h->sources) == 0;
	}

	ret = reader_tables(r, 0, since, until, arena, &tables, &n);
	if (ret < 0)
		return ret;
	f->tables = arena_alloc(arena, (n + 1) * sizeof(*f->tables));
	if (!f->tables)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		f->tables[f->table_count++].entry = tables[i];

	ret = reader_losses(r, since, until, arena, &f->losses, &f->loss_count);
	if (ret == 0)
		ret = order_losses(f);
	if (ret < 0)
		return ret;
	return reader_armings(r, since, until, arena, &f->armings, &f->arming_count);
}

void fleet_clear(struct fleet *f)
{
	for (size_t i = 0; i < f->table_count; i++) {
		if (f->tables[i].usable)
			table_clear(&f->tables[i].parsed);
		if (f->tables[i].set)
			ipset_clear(f->tables[i].set);
		free(f->tables[i].set);
	}
	memset(f, 0, sizeof(*f));
}

const struct fleet_host *fleet_host(const struct fleet *f, uint64_t host)
{
	for (size_t i = 0; i < f->host_count; i++) {
		if (f->hosts[i].host == host)
			return &f->hosts[i];
	}
	return NULL;
}

const struct fleet_host *fleet_host_by_id(const struct fleet *f, const char *id)
{
	for (size_t i = 0; i < f->host_count; i++) {
		if (!strcmp(f->hosts[i].id, id))
			return &f->hosts[i];
	}
	return NULL;
}

bool fleet_owns(const struct fleet_host *h, const struct addr *a)
{
	for (uint32_t i = 0; h->has_facts && i < h->facts.addr_count; i++) {
		if (addr_equal(&h->facts.addrs[i].addr.addr, a))
			return true;
	}
	return false;
}

/* All ones behind the prefix. */
static bool is_broadcast(const struct prefix *p, const struct addr *a)
{
	bool ones = p->addr.family == 4 && p->len < 31 && prefix_has(p, a);

	for (int bit = p->len; bit < 32 && ones; bit++)
		ones = a->b[bit / 8] & 0x80 >> bit % 8;
	return ones;
}

bool fleet_is_for_all(const struct fleet_host *h, const struct addr *a)
{
	if (addr_is_multicast(a))
		return true;
	for (uint32_t i = 0; h && h->has_facts && i < h->facts.addr_count; i++) {
		if (is_broadcast(&h->facts.addrs[i].addr, a))
			return true;
	}
	return false;
}

const struct facts_link *fleet_link(const struct fleet_host *h, const char *name)
{
	for (uint32_t i = 0; h->has_facts && name[0] && i < h->facts.link_count; i++) {
		if (!strcmp(h->facts.links[i].name, name))
			return &h->facts.links[i];
	}
	return NULL;
}

uint32_t fleet_mtu(const struct fleet_host *h, const char *link)
{
	const struct facts_link *l = fleet_link(h, link);

	return l ? l->mtu : 0;
}

static bool facts_hold(struct wall_ns from, struct wall_ns next, struct wall_ns t)
{
	return from.v && from.v <= t.v && (!next.v || next.v > t.v);
}

/* Those that stood at t, from the store; NULL none. */
static const struct fleet_facts *past_facts(const struct fleet *f, uint64_t host, struct wall_ns t)
{
	struct fleet_past *past = f->past;
	struct fleet_facts *p;

	for (size_t i = 0; i < past->count; i++) {
		p = past->list[i];
		if (p->host == host && facts_hold(p->from, p->next, t))
			return p;
	}
	p = arena_alloc(f->arena, sizeof(*p));
	if (!p)
		return NULL;
	p->host = host;
	if (reader_facts_span(f->reader, host, t, &p->from, &p->next) < 0 || !p->from.v ||
	    reader_facts(f->reader, host, t, f->arena, &p->facts) < 0)
		return NULL;
	if (past->count < FLEET_FACTS_MAX)
		past->list[past->count++] = p;
	return p;
}

const struct facts *fleet_facts_at(const struct fleet *f, const struct fleet_host *h,
				   struct wall_ns t, const struct facts **after)
{
	const struct fleet_facts *p, *later;
	const struct facts *facts = &h->facts;
	struct wall_ns next = h->facts_next;

	*after = NULL;
	if (!h->has_facts)
		return NULL;
	if (!facts_hold(h->facts_from, next, t)) {
		p = past_facts(f, h->host, t);
		if (!p)
			return NULL;
		facts = &p->facts;
		next = p->next;
	}
	if (next.v && next.v <= t.v + (int64_t)FACTS_MARGIN_MS * NS_PER_MS) {
		later = past_facts(f, h->host, next);
		if (!later)
			return NULL;
		*after = &later->facts;
	}
	return facts;
}

bool fleet_facts_changed(const struct fleet *f, uint64_t host, struct wall_ns from,
			 struct wall_ns until)
{
	struct wall_ns told, next;

	return reader_facts_span(f->reader, host, from, &told, &next) == 0 && next.v &&
	       next.v <= until.v;
}

const struct stored_loss *fleet_lost(const struct fleet *f, uint64_t host, struct wall_ns from,
				     struct wall_ns until)
{
	const int64_t margin = (int64_t)LOSS_MARGIN_MS * NS_PER_MS;
	const struct stored_loss *first = NULL;

	for (size_t i = losses_begun(f, host, until.v + margin); i-- > 0;) {
		const struct stored_loss *l = f->lost[i].loss;

		if (l->host != host || f->lost[i].latest + margin < from.v)
			break;
		if (l->until.v + margin >= from.v)
			first = l;
	}
	return first;
}

static bool arming_has(const struct stored_arming *a, const struct tuple *t)
{
	for (uint32_t k = 0; k < a->pattern_count; k++) {
		if (pattern_has(&a->patterns[k], t))
			return true;
	}
	return false;
}

/* Of those in force on the host at `at` that mean the packet, the one that lasts longest; NULL: none. */
static const struct stored_arming *arming_of(const struct fleet *f, uint64_t host,
					     const struct tuple *t, struct wall_ns at)
{
	const struct stored_arming *best = NULL;

	for (size_t i = 0; i < f->arming_count; i++) {
		const struct stored_arming *a = &f->armings[i];

		if (a->host != host || a->from.v > at.v || (a->until.v && a->until.v <= at.v) ||
		    !arming_has(a, t))
			continue;
		if (!best || !a->until.v || (best->until.v && a->until.v > best->until.v))
			best = a;
	}
	return best;
}

bool fleet_armed(const struct fleet *f, uint64_t host, const struct tuple *t, bool control,
		 uint32_t modulus, struct wall_ns from, struct wall_ns until)
{
	const int64_t margin = (int64_t)DISARM_MARGIN_MS * NS_PER_MS;
	struct wall_ns at = from;

	/* A new plan takes an old one's place at once, in one transaction of the kernel. */
	for (;;) {
		const struct stored_arming *a = arming_of(f, host, t, at);

		if (!a || (!control && a->modulus > modulus))
			return false;
		if (!a->until.v || a->until.v >= until.v + margin)
			return true;
		at = a->until;
	}
}

uint32_t fleet_modulus(const struct fleet *f, uint64_t host, const struct tuple *t,
		       struct wall_ns at)
{
	const struct stored_arming *a = arming_of(f, host, t, at);

	return a ? a->modulus : 0;
}

static bool table_load(struct fleet_table *t, const char *text, size_t len)
{
	if (t->entry.backend != BACKEND_IPSET)
		return table_parse_as(&t->parsed, t->entry.backend, text, len) == 0;
	t->set = calloc(1, sizeof(*t->set));
	return t->set && ipset_parse(t->set, text, len) == 0;
}

bool fleet_usable(struct fleet *f, struct fleet_table *t)
{
	const char *text;
	size_t len;

	if (!t->tried) {
		t->tried = true;
		if (!reader_content(f->reader, &t->entry.content, f->arena, &text, &len))
			t->usable = table_load(t, text, len);
	}
	return t->usable;
}

static const char *handles_of(struct fleet *f, struct fleet_table *t)
{
	size_t ignored;

	if (t->asked)
		return t->handles;
	t->asked = true;
	if (content_id_none(&t->entry.handles) ||
	    reader_content(f->reader, &t->entry.handles, f->arena, &t->handles, &ignored) < 0)
		t->handles = NULL;
	return t->handles;
}

uint64_t fleet_instance(struct fleet *f, struct fleet_table *t)
{
	const char *handles = handles_of(f, t);

	return handles && strncmp(handles, "table ", 6) == 0 ? strtoull(handles + 6, NULL, 10) : 0;
}

uint32_t fleet_handle(struct fleet *f, struct fleet_table *t, const char *chain, uint64_t handle)
{
	size_t len = strlen(chain);
	bool inside = false;
	uint32_t number = 0;
	const char *line;

	for (line = handles_of(f, t); line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, "chain ", 6) == 0) {
			inside = strncmp(line + 6, chain, len) == 0 && line[6 + len] == '\n';
			number = 0;
		} else if (inside) {
			number++;
			if (strtoull(line, NULL, 10) == handle)
				return number;
		}
	}
	return 0;
}

static bool same_table(const struct stored_table *e, uint64_t host, uint8_t backend, uint8_t family,
		       const char *table)
{
	return e->host == host && e->backend == backend && e->family == family &&
	       !strcmp(e->table, table);
}

bool fleet_heads_history(const struct fleet *f, size_t i)
{
	const struct stored_table *t = &f->tables[i].entry;

	for (size_t k = 0; k < i; k++) {
		const struct stored_table *o = &f->tables[k].entry;

		if (o->host == t->host && o->backend == t->backend && o->family == t->family &&
		    !strcmp(o->table, t->table))
			return false;
	}
	return true;
}

struct table_at fleet_table_at(struct fleet *f, uint64_t host, uint8_t backend, uint8_t family,
			       const char *table, struct wall_ns t)
{
	struct fleet_table *before = NULL, *after = NULL;
	struct table_at at = { TABLE_NONE, { NULL, NULL } };

	/* before: the newest content that was read at or before t; after: the first one that was read later. */
	for (size_t i = 0; i < f->table_count; i++) {
		struct fleet_table *ft = &f->tables[i];

		if (!same_table(&ft->entry, host, backend, family, table))
			continue;
		if (ft->entry.from.v <= t.v)
			before = ft;
		else if (!after)
			after = ft;
	}
	if (before && !fleet_usable(f, before))
		before = NULL;
	if (after && !fleet_usable(f, after))
		after = NULL;

	if (before && before->entry.last.v >= t.v) {
		at.state = before->entry.torn ? TABLE_CHANGING : TABLE_SURE;
		at.tables[0] = before;
	} else if (before && after) {
		at.state = TABLE_CHANGING;
		at.tables[0] = before;
		at.tables[1] = after;
	} else if (before) {
		at.state = before->entry.until.v ? TABLE_CHANGING : TABLE_UNCHECKED;
		at.tables[0] = before;
	} else if (after) {
		at.state = TABLE_LATE;
		at.tables[0] = after;
	}
	return at;
}

static bool table_says(const struct table *t, const char *word)
{
	size_t len = strlen(word);

	for (uint32_t i = 0; i < t->chain_count; i++) {
		for (uint32_t k = 0; k < t->chains[i].rule_count; k++) {
			const struct rule_text *r = &t->chains[i].rules[k];

			if (memmem(r->text, r->len, word, len))
				return true;
		}
	}
	return false;
}

bool fleet_says(struct fleet *f, uint64_t host, const char *word, struct wall_ns t)
{
	for (size_t i = 0; i < f->table_count; i++) {
		struct fleet_table *ft = &f->tables[i];

		if (ft->entry.host != host || (ft->entry.until.v && ft->entry.until.v < t.v))
			continue;
		if (fleet_usable(f, ft) && table_says(&ft->parsed, word))
			return true;
	}
	return false;
}

bool fleet_changed(const struct fleet *f, uint64_t host, struct wall_ns from, struct wall_ns until)
{
	for (size_t i = 0; i < f->table_count; i++) {
		const struct stored_table *e = &f->tables[i].entry;

		if (e->host != host || !e->from_min.v ||
		    (e->backend == BACKEND_IPSET && e->torn)) /* it changes by itself */
			continue;
		if (e->from.v > from.v && e->from_min.v <= until.v)
			return true;
	}
	return false;
}
