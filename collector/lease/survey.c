#include "collector/lease/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SURVEY_MEMORY = 64 << 20,
	CONNS_MAX = 512, /* of one pattern */
	ROUNDS = 4,      /* translations one behind the other */
};

/* What one survey holds while it runs. */
struct field {
	struct reader *reader; /* borrowed */
	struct arena arena;
	struct stored_host *stored;
	struct plan_host *hosts;
	struct table *tables; /* parsed, to be cleared */
	size_t table_count;
	size_t host_count;
	struct conn *conns; /* owned */
	size_t conn_count, conn_cap;
	struct wall_ns now;
};

static int load_hosts(struct field *f)
{
	size_t i;
	int r = reader_hosts(f->reader, &f->arena, &f->stored, &f->host_count);

	if (r < 0)
		return r;
	f->hosts = arena_alloc(&f->arena, (f->host_count + 1) * sizeof(*f->hosts));
	if (!f->hosts)
		return -ENOMEM;
	for (i = 0; i < f->host_count; i++) {
		struct facts *facts = arena_alloc(&f->arena, sizeof(*facts));

		if (!facts)
			return -ENOMEM;
		f->hosts[i].id = f->stored[i].id;
		r = reader_facts(f->reader, f->stored[i].host, f->now, &f->arena, facts);
		if (r == 0)
			f->hosts[i].facts = facts;
		else if (r != -ENOENT)
			return r;
	}
	return 0;
}

/* May it translate? Of native tables only the text tells. */
static bool may_translate(const struct stored_table *t)
{
	if (t->until.v || t->backend == BACKEND_IPSET)
		return false;
	if (t->backend == BACKEND_NATIVE)
		return t->family == FAMILY_IPV4 || t->family == FAMILY_IPV6 ||
		       t->family == FAMILY_INET;
	return !strcmp(t->table, "nat") && (t->family == FAMILY_IPV4 || t->family == FAMILY_IPV6);
}

static void give(struct plan_host *h, int six, const struct table *t)
{
	for (int i = 0; i < PLAN_NATS_MAX; i++) {
		if (!h->nat[six][i]) {
			h->nat[six][i] = t;
			return;
		}
	}
	h->more = true;
}

/* What translates on each host, as it was last read. */
static int load_tables(struct field *f)
{
	static const char translates[] = "type nat hook ";
	struct stored_table *list = NULL;
	size_t count = 0, i, h;
	int r = reader_tables(f->reader, 0, f->now, f->now, &f->arena, &list, &count);

	if (r < 0)
		return r;
	f->tables = arena_alloc(&f->arena, (count + 1) * sizeof(*f->tables));
	if (!f->tables)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		const struct stored_table *t = &list[i];
		struct table *parsed = &f->tables[f->table_count];
		const char *text;
		size_t len;

		for (h = 0; h < f->host_count && f->stored[h].host != t->host; h++)
			;
		if (h == f->host_count || !may_translate(t) ||
		    reader_content(f->reader, &t->content, &f->arena, &text, &len) < 0)
			continue; /* gone, or its text has not come yet: planned again when it has */
		if (t->backend == BACKEND_NATIVE &&
		    !memmem(text, len, translates, sizeof(translates) - 1))
			continue;
		if (table_parse_as(parsed, (enum backend)t->backend, text, len) < 0)
			continue;
		f->table_count++;
		if (t->family != FAMILY_IPV6)
			give(&f->hosts[h], 0, parsed);
		if (t->family != FAMILY_IPV4)
			give(&f->hosts[h], 1, parsed);
	}
	return 0;
}

static struct flow flow_of(const struct pattern *p)
{
	struct flow f = {
		.family = p->family,
		.proto = p->proto,
		.src = { .prefix = p->src },
		.dst = { .prefix = p->dst },
		.sport = { p->sport, p->sport, false },
		.dport = { p->dport, p->dport, false },
		.icmp_type = -1,
		.icmp_id = p->icmp_id ? p->icmp_id : -1,
	};

	return f;
}

/* Adds the connections that a pattern selects now. */
static int load_conns(struct field *f, const struct pattern *p)
{
	struct wall_ns since = { f->now.v - (int64_t)LEASE_SECONDS_MAX * NS_PER_S };
	struct flow flow = flow_of(p);
	struct stored_conn *list = NULL;
	size_t count = 0, i;
	int r = reader_conns(f->reader, &flow, since, f->now, CONNS_MAX, &f->arena, &list, &count);

	if (r < 0)
		return r;
	if (f->conn_count + count > f->conn_cap) {
		size_t cap = f->conn_count + count + CONNS_MAX;
		struct conn *conns = realloc(f->conns, cap * sizeof(*conns));

		if (!conns)
			return -ENOMEM;
		f->conns = conns;
		f->conn_cap = cap;
	}
	for (i = 0; i < count; i++)
		f->conns[f->conn_count++] = list[i].c;
	return 0;
}

static int copy_hosts(struct survey *s, const struct field *f)
{
	size_t i;

	s->hosts = calloc(f->host_count + 1, sizeof(*s->hosts));
	if (!s->hosts)
		return -ENOMEM;
	for (i = 0; i < f->host_count; i++) {
		strncpy(s->hosts[i].id, f->stored[i].id, HOST_MAX);
		s->hosts[i].last_seen = f->stored[i].last_seen;
		s->hosts[i].retired = f->stored[i].retired;
	}
	s->host_count = f->host_count;
	return 0;
}

/* Each round looks up the connections of what the last one found: the next gateway knows only those. */
static int plan(struct survey *s, struct field *f)
{
	size_t looked = 0, round;
	int r;

	for (round = 0; round < ROUNDS; round++) {
		for (; looked < s->pattern_count; looked++) {
			r = load_conns(f, &s->patterns[looked]);
			if (r < 0)
				return r;
		}
		r = plan_patterns(s->named, s->named_count, f->hosts, f->host_count, f->conns,
				  f->conn_count, s->patterns, &s->pattern_count, &s->cut);
		if (r < 0 || looked >= s->pattern_count)
			return r;
	}
	return 0;
}

static void only_named(struct survey *s)
{
	memcpy(s->patterns, s->named, sizeof(s->named));
	s->pattern_count = s->named_count;
}

void survey_run(struct survey *s, struct reader *r)
{
	struct field f = { .reader = r, .now = wall_now() };
	size_t i;

	only_named(s);
	if (!r) {
		s->error = -EIO;
		return;
	}
	arena_init(&f.arena, SURVEY_MEMORY);
	s->error = load_hosts(&f);
	if (s->error == 0)
		s->error = copy_hosts(s, &f);
	if (s->error == 0)
		s->error = load_tables(&f);
	if (s->error == 0)
		s->error = plan(s, &f);
	if (s->error < 0)
		only_named(s);
	for (i = 0; i < f.table_count; i++)
		table_clear(&f.tables[i]);
	free(f.conns);
	arena_free(&f.arena);
}

void survey_clear(struct survey *s)
{
	free(s->hosts);
	memset(s, 0, sizeof(*s));
}
