#include "collector/diagnose/coverage.h"

#include <string.h>

#include "collector/diagnose/value.h"

enum { MISSING_MAX = 64 };

json_t *json_coverage(const struct where_ask *ask)
{
	json_t *silent = json_array(), *late = json_array();
	json_int_t answering = 0;

	for (size_t i = 0; i < ask->live_count; i++) {
		const struct live_host *h = &ask->live[i];

		if (h->answering)
			answering++;
		else
			json_array_append_new(silent, json_string(h->id));
		if (h->late_ms)
			json_array_append_new(late, json_pack("{s:s,s:I}", "host", h->id, "lag_ms",
							      (json_int_t)h->late_ms));
	}
	return json_pack("{s:I,s:I,s:o,s:o,s:[]}", "asked", (json_int_t)ask->live_count,
			 "answering", answering, "silent", silent, "late", late, "missing");
}

bool coverage_late(const struct where_ask *ask)
{
	for (size_t i = 0; i < ask->live_count; i++)
		if (ask->live[i].late_ms)
			return true;
	return false;
}

/* Would a question about packets have needed it? Off by choice: only what was meant to be asked for the packets themselves. */
static bool is_missing(const struct source_fact *s)
{
	static const struct {
		const char *name;
		bool off_counts;
	} needed[] = {
		{ "trace-legacy", true }, { "trace-nft", true },  { "drops", true },
		{ "nflog", true },        { "conntrack", false }, { "ruleset", false },
	};

	/* Some of it could not be read. */
	if (!strcmp(s->name, "ruleset") && s->state == SOURCE_ON && s->why)
		return true;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!strcmp(needed[i].name, s->name))
			return s->state == SOURCE_FAILED ||
			       (s->state == SOURCE_OFF && needed[i].off_counts);
	return false;
}

static bool in_hops(const json_t *hops, const char *host)
{
	const json_t *hop;
	size_t i;

	json_array_foreach(hops, i, hop) {
		const char *id = json_string_value(json_object_get(hop, "host"));

		if (id && !strcmp(id, host))
			return true;
	}
	return false;
}

json_t *json_missing(const struct where_ask *ask, const struct fleet *f, const json_t *hops)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ask->live_count; i++) {
		const struct fleet_host *h = fleet_host_by_id(f, ask->live[i].id);

		if (!h || !h->has_sources || (hops && !in_hops(hops, h->id)))
			continue;
		for (uint32_t k = 0; k < h->sources.count; k++) {
			const struct source_fact *s = &h->sources.list[k];

			if (is_missing(s) && json_array_size(list) < MISSING_MAX)
				json_array_append_new(list,
						      json_pack("{s:s,s:o,s:o}", "host", h->id,
								"source", json_text(s->name), "why",
								json_text(s->why)));
		}
	}
	return list;
}

static bool within(const struct stored_loss *l, struct wall_ns since, struct wall_ns until)
{
	return l->until.v >= since.v && l->from.v <= until.v;
}

void json_put_losses(json_t *o, const struct fleet *f, struct wall_ns since, struct wall_ns until)
{
	json_t *losses = json_array();
	size_t count = 0, omitted;

	for (size_t i = 0; i < f->loss_count; i++)
		count += within(&f->losses[i], since, until);
	omitted = count > LOSSES_MAX ? count - LOSSES_MAX : 0;
	for (size_t i = 0, seen = 0; i < f->loss_count; i++) {
		const struct stored_loss *l = &f->losses[i];
		const struct fleet_host *h = fleet_host(f, l->host);

		if (!within(l, since, until) || seen++ < omitted)
			continue;
		json_array_append_new(losses,
				      json_pack("{s:s,s:o,s:o,s:o,s:o}", "host", h ? h->id : "?",
						"source", json_text(l->source), "count",
						l->count_known ? json_integer((json_int_t)l->count)
							       : json_null(),
						"from", json_wall(l->from), "until",
						json_wall(l->until)));
	}
	json_put(o, "losses", losses);
	json_put(o, "losses_omitted", json_integer((json_int_t)omitted));
}
