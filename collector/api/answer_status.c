/*
 * GET /api/v1/status: is the collector itself well?
 */
#include "collector/api/route.h"
#include "collector/diagnose/value.h"

void get_status(struct exchange *x)
{
	const struct api_options *o = &x->api->o;
	const struct ingest_counts *c = ingest_counts(o->ingest);
	const char *trouble = o->trouble ? o->trouble(o->arg) : NULL;
	struct wall_ns now = wall_now();

	exchange_answer(x, 200,
			json_pack("{s:s, s:o, s:I, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I}}",
				  "version", LASTHOP_VERSION, "started", json_wall(x->api->started),
				  "uptime_s", (json_int_t)((now.v - x->api->started.v) / NS_PER_S),
				  "trouble", json_text(trouble), "ingest", "connections",
				  (json_int_t)c->connections, "refused", (json_int_t)c->refused,
				  "protocol_errors", (json_int_t)c->protocol_errors,
				  "unknown_messages", (json_int_t)c->unknown_messages, "batches",
				  (json_int_t)c->batches, "records", (json_int_t)c->records));
}
