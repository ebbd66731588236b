#include "collector/api/route.h"

#include <string.h>

static const char *const method_names[] = {
#define X(id) #id,
	METHODS(X)
#undef X
};

static const struct route {
	enum method method;
	const char *path; /* a trailing '/' takes one more word */
	void (*handle)(struct exchange *x);
	const char *help;
} routes[] = {
	{ METHOD_GET, "/api/v1/where", get_where,
	  "flow=WORDS, since=NS, until=NS: where did the flow die, and why" },
	{ METHOD_GET, "/api/v1/journeys", get_journeys,
	  "flow=WORDS, since=NS, until=NS, after=ROW, limit=N: packet by packet" },
	{ METHOD_GET, "/api/v1/groups", get_groups,
	  "flow=WORDS, since=NS, until=NS: all flows that match, by their way and end" },
	{ METHOD_GET, "/api/v1/nat", get_nat,
	  "flow=WORDS, since=NS, until=NS: what translation made of it, and who is behind" },
	{ METHOD_GET, "/api/v1/drops", get_drops,
	  "flow=WORDS, on=HOST,..., since=NS, until=NS; follow=1, after=ROW: what the fleet discards" },
	{ METHOD_GET, "/api/v1/hosts", get_hosts, "agents: state, lag, sources, losses" },
	{ METHOD_GET, "/api/v1/rules", get_rules,
	  "host=ID, at=NS|CONTENT, family=, backend=: tables as iptables-save prints them" },
	{ METHOD_GET, "/api/v1/rules/log", get_rules_log,
	  "host=ID, since=NS, until=NS, table=, chain=, family=, backend=, patch=1, limit=N: what changed, when, by whom" },
	{ METHOD_GET, "/api/v1/rules/diff", get_rules_diff,
	  "a=ID, a_at=NS|CONTENT, b=ID, b_at=NS|CONTENT, table=, chain=, family=, backend=: what makes them different" },
	{ METHOD_GET, "/api/v1/counters", get_counters,
	  "host=ID, since=NS, until=NS, table=, chain=, family=, backend=, only=moved|idle, limit=N: what rules counted" },
	{ METHOD_GET, "/api/v1/trace", get_trace, "leases that run" },
	{ METHOD_POST, "/api/v1/trace", post_trace,
	  "{\"flow\",\"on\":[],\"for_ms\",\"rate\",\"dry_run\"}: starts a lease" },
	{ METHOD_DELETE, "/api/v1/trace/", delete_trace, "ID or all: ends leases" },
	{ METHOD_GET, "/api/v1/status", get_status, "version, uptime, trouble" },
};

static bool route_takes(const struct route *r, struct exchange *x)
{
	size_t len = strlen(r->path);

	if (r->path[len - 1] != '/')
		return !strcmp(x->path, r->path);
	x->rest = x->path + len;
	return !strncmp(x->path, r->path, len) && x->path[len] && !strchr(x->path + len, '/');
}

static void explain(struct exchange *x, bool known)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "method",
						      method_names[routes[i].method], "path",
						      routes[i].path, "help", routes[i].help));
	exchange_answer(x, 404,
			json_pack("{s:s, s:s, s:o}", "error",
				  known ? "this path does not take that method"
					: "there is no such path",
				  "hint", "see routes", "routes", list));
}

void route(struct exchange *x)
{
	bool known = false;
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		if (!route_takes(&routes[i], x))
			continue;
		known = true;
		if (routes[i].method == x->method) {
			routes[i].handle(x);
			return;
		}
	}
	explain(x, known);
}
