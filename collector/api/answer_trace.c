/*
 * /api/v1/trace: leases, as people start, list and end them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/api/route.h"
#include "collector/diagnose/value.h"

enum { FOR_DEFAULT_MS = 60 * 1000, RATE_DEFAULT = 100, PATTERN_TEXT_MAX = 200 };

static json_t *pattern_json(const struct pattern *p)
{
	char text[PATTERN_TEXT_MAX], from[ADDR_TEXT_MAX + 4] = "any", to[ADDR_TEXT_MAX + 4] = "any",
							  number[4];
	char sport[16] = "", dport[16] = "";

	if (p->src.len)
		prefix_print(&p->src, from);
	if (p->dst.len)
		prefix_print(&p->dst, to);
	if (p->sport)
		snprintf(sport, sizeof(sport), " port %u", p->sport);
	if (p->dport)
		snprintf(dport, sizeof(dport), " port %u", p->dport);
	if (p->icmp_id)
		snprintf(dport, sizeof(dport), " id %u", p->icmp_id);
	snprintf(text, sizeof(text), "%s %s%s -> %s%s",
		 p->proto ? proto_name(p->proto, number) : "any", from, sport, to, dport);
	return json_string(text);
}

static json_t *hosts_json(const struct lease_view *v, bool patterns)
{
	json_t *list = json_array(), *host;
	size_t i, k;

	for (i = 0; i < v->host_count; i++) {
		host = json_pack("{s:s, s:s, s:o}", "id", v->hosts[i].id, "state",
				 lease_state_name(v->hosts[i].state), "why",
				 json_text(v->hosts[i].why));
		if (patterns) {
			json_t *texts = json_array();

			for (k = 0; k < v->pattern_count; k++)
				json_array_append_new(texts, pattern_json(&v->patterns[k]));
			json_object_set_new(host, "patterns", texts);
		}
		json_array_append_new(list, host);
	}
	return list;
}

/* --- start ----------------------------------------------------------------------------------------------- */

struct starting {
	struct exchange *x;
	bool dry_run;
};

static void on_started(void *arg, const struct lease_view *v)
{
	struct starting *s = arg;
	char id[LEASE_TEXT_MAX];

	if (!v) {
		exchange_error(s->x, 503, "ask again when it is up", "the collector is stopping");
	} else {
		lease_print(v->id, id);
		exchange_answer(s->x, 200,
				json_pack("{s:o, s:o, s:s, s:o}", "lease",
					  s->dry_run ? json_null() : json_string(id), "until",
					  s->dry_run ? json_null() : json_wall(v->until), "flow",
					  v->flow, "hosts", hosts_json(v, s->dry_run)));
	}
	exchange_unref(s->x);
	free(s);
}

/* The request's "on": a list of names. Their text stays the JSON's. */
static int read_on(const json_t *body, const char *on[static LEASE_NAMES_MAX], size_t *count)
{
	const json_t *list = json_object_get(body, "on"), *name;
	size_t i;

	*count = 0;
	if (!list) {
		on[(*count)++] = "all";
		return 0;
	}
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > LEASE_NAMES_MAX)
		return -EINVAL;
	json_array_foreach(list, i, name) {
		if (!json_is_string(name))
			return -EINVAL;
		on[(*count)++] = json_string_value(name);
	}
	return 0;
}

/* A whole number, or `absent` where there is none. -1: it is something else. */
static json_int_t read_number(const json_t *body, const char *key, json_int_t absent,
			      json_int_t max)
{
	const json_t *n = json_object_get(body, key);

	if (!n)
		return absent;
	if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > max)
		return -1;
	return json_integer_value(n);
}

static void start(struct exchange *x, const json_t *body)
{
	const char *on[LEASE_NAMES_MAX],
		*words[1] = { json_string_value(json_object_get(body, "flow")) };
	json_int_t for_ms = read_number(body, "for_ms", FOR_DEFAULT_MS, LEASE_SECONDS_MAX * 1000);
	json_int_t rate = read_number(body, "rate", RATE_DEFAULT, LEASE_RATE_MAX);
	struct lease_request q = { .on = on, .by = "api" };
	struct starting *s;
	struct why why = { "" };
	struct flow flow;
	int r;

	if (!words[0] || flow_parse(&flow, 1, words, &why) < 0) {
		exchange_error(x, 400,
			       "\"flow\" holds the words that name it: tcp 10.0.1.2 10.0.3.2:443",
			       "%s", words[0] ? why.text : "there is no flow");
		return;
	}
	if (read_on(body, on, &q.on_count) < 0 || for_ms < 0 || rate < 0) {
		exchange_error(
			x, 400,
			"{\"flow\":WORDS,\"on\":[HOST,...],\"for_ms\":1000..900000,\"rate\":1..10000}",
			"on, for_ms or rate is wrong");
		return;
	}
	q.flow = &flow;
	q.for_ms = (uint32_t)for_ms;
	q.rate = (uint32_t)rate;
	q.dry_run = json_is_true(json_object_get(body, "dry_run"));
	s = calloc(1, sizeof(*s));
	if (!s) {
		exchange_error(x, 503, "ask again in a moment", "no memory");
		return;
	}
	s->x = exchange_ref(x);
	s->dry_run = q.dry_run;
	r = leases_start(x->api->o.leases, &q, on_started, s, &why);
	if (r == 0)
		return;
	exchange_error(x, r == -EINVAL ? 400 : 503,
		       r == -ENOSPC ? "lasthop trace stop" : "lasthop trace --help", "%s",
		       why.text[0] ? why.text : strerror(-r));
	exchange_unref(s->x);
	free(s);
}

void post_trace(struct exchange *x)
{
	json_t *body =
		json_loadb((const char *)x->body.p, x->body.len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(body))
		start(x, body);
	else
		exchange_error(x, 400, "{\"flow\":WORDS,\"on\":[HOST,...],\"for_ms\":N,\"rate\":N}",
			       "the body is no JSON object");
	json_decref(body);
}

/* --- list and stop --------------------------------------------------------------------------------------- */

static void list_one(void *arg, const struct lease_view *v)
{
	char id[LEASE_TEXT_MAX];

	lease_print(v->id, id);
	json_array_append_new(arg, json_pack("{s:s, s:s, s:o, s:o, s:o, s:i, s:i, s:o}", "lease",
					     id, "flow", v->flow, "from", json_wall(v->from),
					     "until", json_wall(v->until), "by", json_text(v->by),
					     "rate", v->rate, "modulus", v->modulus, "hosts",
					     hosts_json(v, false)));
}

void get_trace(struct exchange *x)
{
	json_t *list = json_array();

	leases_each(x->api->o.leases, list_one, list);
	exchange_answer(x, 200, json_pack("{s:o}", "leases", list));
}

void delete_trace(struct exchange *x)
{
	uint64_t id = 0;
	int n;

	if (strcmp(x->rest, "all") != 0 && !lease_parse(&id, x->rest)) {
		exchange_error(x, 400, "an ID such as 4f21, or all", "'%s' is no lease's ID",
			       x->rest);
		return;
	}
	n = leases_stop(x->api->o.leases, id);
	if (n < 0)
		exchange_error(x, 404, "lasthop trace list", "no lease %s runs", x->rest);
	else
		exchange_answer(x, 200, json_pack("{s:i}", "stopped", n));
}
