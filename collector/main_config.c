/*
 * The configuration file:
 *
 *   listen: 127.0.0.1:9471
 *   http: 127.0.0.1:9470
 *   store: /var/lib/lasthop
 *   keep:    { days: 30, bytes: 50000000000 }
 *   segment: { rows: 1000000, seconds: 3600 }
 */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/options.h"
#include "common/clock.h"

struct keep {
	uint64_t days, bytes;
};

struct segment {
	uint64_t rows, seconds;
};

struct config {
	char *listen, *http, *store; /* owned by libcyaml, as all of it */
	struct keep keep;
	struct segment segment;
};

enum { DAYS_MAX = 36500, SECONDS_MAX = 366 * 86400 };

static const cyaml_schema_field_t keep_fields[] = {
	CYAML_FIELD_UINT("days", CYAML_FLAG_OPTIONAL, struct keep, days),
	CYAML_FIELD_UINT("bytes", CYAML_FLAG_OPTIONAL, struct keep, bytes),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t segment_fields[] = {
	CYAML_FIELD_UINT("rows", CYAML_FLAG_OPTIONAL, struct segment, rows),
	CYAML_FIELD_UINT("seconds", CYAML_FLAG_OPTIONAL, struct segment, seconds),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_STRING_PTR("listen", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
			       listen, 1, 80),
	CYAML_FIELD_STRING_PTR("http", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
			       http, 1, 80),
	CYAML_FIELD_STRING_PTR("store", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
			       store, 1, PATH_TEXT_MAX - 1),
	CYAML_FIELD_MAPPING("keep", CYAML_FLAG_OPTIONAL, struct config, keep, keep_fields),
	CYAML_FIELD_MAPPING("segment", CYAML_FLAG_OPTIONAL, struct config, segment, segment_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, fields),
};

/* Keeps libcyaml's first complaint, which says the line. */
static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list ap)
{
	struct why *why = ctx;

	(void)level;
	if (why->text[0])
		return;
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	why->text[strcspn(why->text, "\n")] = '\0';
}

static int take(struct options *o, const struct config *c, struct why *why)
{
	if (!o->listen.address[0] && c->listen && !endpoint_parse(&o->listen, c->listen))
		return why_set(why, -EINVAL, "listen: '%s' is no ADDR:PORT", c->listen);
	if (!o->http.address[0] && c->http && !endpoint_parse(&o->http, c->http))
		return why_set(why, -EINVAL, "http: '%s' is no ADDR:PORT", c->http);
	if (!o->store[0] && c->store)
		snprintf(o->store, sizeof(o->store), "%s", c->store);
	if (c->keep.days > DAYS_MAX)
		return why_set(why, -EINVAL, "keep: at most %d days", DAYS_MAX);
	if (c->segment.seconds > SECONDS_MAX)
		return why_set(why, -EINVAL, "segment: at most %d seconds", SECONDS_MAX);
	o->keep_ns = (int64_t)c->keep.days * 86400 * NS_PER_S;
	o->keep_bytes = c->keep.bytes;
	o->segment_rows = c->segment.rows;
	o->segment_ns = (int64_t)c->segment.seconds * NS_PER_S;
	return 0;
}

int options_load(struct options *o, const char *file, struct why *why)
{
	struct why said = { "" };
	const cyaml_config_t config = {
		.log_fn = on_log,
		.log_ctx = &said,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
	};
	struct config *c = NULL;
	cyaml_err_t e = cyaml_load_file(file, &config, &schema, (cyaml_data_t **)&c, NULL);
	int r;

	if (e != CYAML_OK)
		return why_set(why, -EINVAL, "%.60s: %.60s: %.70s", file, cyaml_strerror(e),
			       said.text);
	r = take(o, c, why);
	cyaml_free(&config, &schema, c, 0);
	return r;
}
