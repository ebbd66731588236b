#include "collector/diagnose/coverage.h"

#include "collector/diagnose/answer.h"

json_t *json_coverage(const struct where_ask *ask)
{
	json_t *silent = json_array();
	json_int_t answering = 0;

	for (size_t i = 0; i < ask->live_count; i++) {
		if (ask->live[i].answering)
			answering++;
		else
			json_array_append_new(silent, json_string(ask->live[i].id));
	}
	return json_pack("{s:I,s:I,s:o}", "asked", (json_int_t)ask->live_count, "answering",
			 answering, "silent", silent);
}

json_t *json_losses(const struct fleet *f, struct wall_ns since, struct wall_ns until)
{
	json_t *losses = json_array();

	for (size_t i = 0; i < f->loss_count; i++) {
		const struct stored_loss *l = &f->losses[i];
		const struct fleet_host *h = fleet_host(f, l->host);

		if (l->until.v < since.v || l->from.v > until.v)
			continue;
		json_array_append_new(losses,
				      json_pack("{s:s,s:s,s:o,s:o,s:o}", "host", h ? h->id : "?",
						"source", l->source, "count",
						l->count_known ? json_integer((json_int_t)l->count)
							       : json_null(),
						"from", json_wall(l->from), "until",
						json_wall(l->until)));
	}
	return losses;
}
