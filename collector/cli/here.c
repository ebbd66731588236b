/*
 * `here`: this machine only, in one command. Starts a collector and an agent as children with a temporary
 * store (or asks the ones that run here already), traces the flow, prints each packet as it is seen, and at the end
 * where the flow died. Whatever happens to us, the children die with us, and what they left in /tmp goes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "collector/cli/answer.h"
#include "collector/cli/child.h"
#include "collector/cli/cli.h"
#include "collector/cli/field.h"
#include "collector/cli/http.h"
#include "collector/cli/packets.h"
#include "collector/cli/sweep.h"
#include "collector/cli/text.h"
#include "collector/cli/trace.h"
#include "collector/cli/when.h"

enum {
	POLL_MS = 150,
	NAP_MS = 20,
	READY_MS = 15000,
	PROBE_MS = 1000,
	LAST_MS = 600,   /* until the last packet's journey has been closed and stored */
	RENEW_MS = 5000, /* a new lease is asked for so long before the old one ends */
	QUERY_MAX = 64 << 10,
	JOURNEYS = 200,
	CAP_NET_ADMIN_BIT = 12,
};

struct here {
	struct cli *cli;
	char *flow;            /* owned */
	char id[HOST_MAX + 1]; /* this host, as the collector knows it */
	char dir[300];         /* of the children; "" when they are not ours */
	struct child collector, agent;
	struct sweep sweep;                       /* of dir */
	int signals;                              /* signalfd: Ctrl-C and the like; -1 not open */
	struct wall_ns started, ends, lease_ends; /* ends 0: at Ctrl-C */
	char lease[64];
	uint64_t row;
	int64_t rate;
	bool detail, json;
};

/* true: somebody wants us to end. */
static bool nap(struct here *h, int ms)
{
	struct pollfd fd = { .fd = h->signals, .events = POLLIN };

	return poll(&fd, 1, ms) > 0;
}

static int open_signals(struct here *h)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	h->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return h->signals < 0 ? cli_fail(STATUS_TROUBLE, strerror(errno), NULL) : STATUS_ANSWER;
}

/* The machine's name in the alphabet of ids, as the agent's --id has it. */
static void own_id(struct here *h)
{
	char name[ID_MAX + 1] = "";

	gethostname(name, sizeof(name) - 1);
	for (char *p = name; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    *p))
			*p = '-';
	snprintf(h->id, sizeof(h->id), "%s", *name ? name : "here");
}

/* What a hosts answer says about this id; NULL when it is not there. */
static const json_t *find_host(const json_t *hosts, const char *id)
{
	const json_t *host;
	size_t i;

	json_array_foreach(json_object_get(hosts, "hosts"), i, host)
		if (field_is(host, "id", id))
			return host;
	return NULL;
}

/* Quietly: does the collector at url know this very host, with an agent that answers? */
static bool watched_already(struct here *h, const char *url)
{
	const char *netns = h->cli->args.value[OPTION_NETNS];
	const json_t *host = NULL;
	json_t *hosts = NULL;
	struct http *http;
	char id[HOST_MAX + 1];
	struct buf reply;

	if (http_open(&http, url, NULL) < 0)
		return false;
	buf_init(&reply, HTTP_BODY_MAX);
	if (http_ask(http, "GET", "/api/v1/hosts", NULL, PROBE_MS, &reply, NULL) == 200)
		hosts = json_loadb((const char *)reply.p, reply.len, JSON_ALLOW_NUL, NULL);
	snprintf(id, sizeof(id), netns ? "%.63s/%.63s" : "%s", h->id, netns);
	host = find_host(hosts, id);
	if (field_is(host, "state", "ready"))
		snprintf(h->id, sizeof(h->id), "%s", id);
	else
		host = NULL;
	json_decref(hosts);
	buf_clear(&reply);
	http_free(http);
	return host;
}

static bool may_watch(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	if (f)
		fclose(f);
	return caps >> CAP_NET_ADMIN_BIT & 1;
}

/* A child gave up: its last words are the best that can be said. */
static int child_failed(const struct child *child, const char *what)
{
	char said[CHILD_LOG_MAX + 1], message[200];
	size_t len = child_said(child, said);
	struct buf safe;

	snprintf(message, sizeof(message), "%s %s", child->name, what);
	cli_fail(STATUS_TROUBLE, message, len ? "it says:" : NULL);
	buf_init(&safe, 8 * CHILD_LOG_MAX);
	if (text_safe(&safe, said, len, false, true) == 0 && safe.len)
		fwrite(safe.p, 1, safe.len, stderr);
	buf_clear(&safe);
	return STATUS_TROUBLE;
}

/* The collector says which ports it was given. */
static int await_ports(struct here *h, int *listen_port, int *http_port)
{
	char said[CHILD_LOG_MAX + 1];
	const char *line;

	for (int waited = 0; waited < READY_MS; waited += NAP_MS) {
		child_said(&h->collector, said);
		line = strstr(said, "listening on 127.0.0.1:");
		if (line && sscanf(line, "listening on 127.0.0.1:%d, http on 127.0.0.1:%d",
				   listen_port, http_port) == 2)
			return STATUS_ANSWER;
		if (!child_runs(&h->collector))
			return child_failed(&h->collector, "did not start");
		if (nap(h, NAP_MS))
			return STATUS_TROUBLE;
	}
	return child_failed(&h->collector, "does not get ready");
}

static int start_collector(struct here *h, int *listen_port)
{
	char store[320], url[64];
	const char *argv[] = {
		"lasthop-collector", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--store",           store,      "--insecure",  NULL,
	};
	int http_port, status;
	struct why why;

	snprintf(store, sizeof(store), "%s/store", h->dir);
	if (child_start(&h->collector, argv, h->dir, &why) < 0)
		return cli_fail(STATUS_TROUBLE, why.text, "it belongs beside lasthop");
	status = await_ports(h, listen_port, &http_port);
	if (status != STATUS_ANSWER)
		return status;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", http_port);
	return cli_use(h->cli, url);
}

static int start_agent(struct here *h, int port)
{
	const char *netns = h->cli->args.value[OPTION_NETNS];
	char state[320], address[32];
	const char *argv[] = {
		"lasthop-agent", "--id", h->id,           "--collector", address,
		"--state",       state,  "--allow-trace", "--insecure",  netns ? "--netns" : NULL,
		netns,           NULL,
	};
	struct why why;

	snprintf(state, sizeof(state), "%s/state", h->dir);
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	if (child_start(&h->agent, argv, h->dir, &why) < 0)
		return cli_fail(STATUS_TROUBLE, why.text, "it belongs beside lasthop");
	return STATUS_ANSWER;
}

static int await_ready(struct here *h)
{
	for (int waited = 0; waited < READY_MS; waited += NAP_MS) {
		json_t *hosts = NULL;
		int status = cli_ask(h->cli, "GET", "/api/v1/hosts", NULL, &hosts);
		bool ready = field_is(find_host(hosts, h->id), "state", "ready");

		json_decref(hosts);
		if (status != STATUS_ANSWER)
			return status;
		if (ready)
			return STATUS_ANSWER;
		if (!child_runs(&h->agent))
			return child_failed(&h->agent, "ended");
		if (nap(h, NAP_MS))
			return STATUS_TROUBLE;
	}
	return child_failed(&h->agent, "does not get ready");
}

static int start_children(struct here *h)
{
	const char *tmp = getenv("TMPDIR");
	int port = 0, status, err;

	if (!may_watch())
		return cli_fail(
			STATUS_TROUBLE, "watching the kernel needs root",
			"sudo lasthop here ..., or in a namespace of your own: unshare -Urnm");
	snprintf(h->dir, sizeof(h->dir), "%.200s/lasthop-here-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(h->dir)) {
		h->dir[0] = '\0';
		return cli_fail(STATUS_TROUBLE, strerror(errno),
				"is there a temporary directory? (TMPDIR)");
	}
	err = sweep_begin(&h->sweep, h->dir);
	if (err < 0) {
		(void)rmdir(h->dir);
		return cli_fail(STATUS_TROUBLE, strerror(-err), NULL);
	}
	status = start_collector(h, &port);
	if (status == STATUS_ANSWER)
		status = start_agent(h, port);
	if (status == STATUS_ANSWER)
		status = await_ready(h);
	return status;
}

static int choose_collector(struct here *h)
{
	const char *url = h->cli->args.value[OPTION_COLLECTOR];

	if (!url)
		url = getenv("LASTHOP_COLLECTOR");
	if (!url || !*url)
		url = "http://127.0.0.1:9470";
	if (!watched_already(h, url))
		return start_children(h);
	fprintf(stderr, "lasthop: an agent watches %s already: asking its collector, %s\n", h->id,
		url);
	return cli_use(h->cli, url);
}

static int lease(struct here *h)
{
	int64_t ms = (int64_t)LEASE_SECONDS_MAX * 1000, left;
	struct lease_ask ask = { .flow = h->flow, .on = h->id, .rate = h->rate };
	struct view view = { .now = wall_now() };
	json_t *answer = NULL;
	int status;

	if (h->ends.v) {
		left = (h->ends.v - view.now.v) / NS_PER_MS + 1;
		ms = left < ms ? left : ms;
	}
	if (ms < 1)
		return STATUS_ANSWER;
	ask.for_ms = ms;
	status = trace_request(h->cli, &ask, &answer);
	if (status == STATUS_ANSWER && !trace_armed(answer)) {
		struct screen *s = &h->cli->screen;

		trace_draw(s, answer, &view);
		fwrite(s->out.p, 1, s->out.len, stderr);
		buf_clear(&s->out);
		status = cli_fail(STATUS_TROUBLE, "this host is not traced",
				  "lasthop hosts says what it can see");
	}
	snprintf(h->lease, sizeof(h->lease), "%s", field_text(answer, "lease") ?: "");
	h->lease_ends.v = view.now.v + ms * NS_PER_MS;
	json_decref(answer);
	return status;
}

static void show_journeys(struct here *h, const json_t *answer)
{
	struct view view = { .now = wall_now(), .detail = h->detail, .flow = h->flow };
	const json_t *journey;
	size_t i;

	json_array_foreach(json_object_get(answer, "journeys"), i, journey) {
		if (!field_is(journey, "host", h->id))
			continue; /* a fleet's collector knows others */
		if (h->json) {
			cli_show_json(journey, true);
		} else {
			packets_draw(&h->cli->screen, journey, &view);
			cli_flush(h->cli);
		}
	}
}

static int poll_journeys(struct here *h)
{
	json_t *answer = NULL;
	struct buf path;
	int status;

	buf_init(&path, QUERY_MAX);
	(void)buf_addf(&path, "/api/v1/journeys");
	cli_query(&path, "flow", h->flow);
	cli_query_number(&path, "since", h->started.v);
	cli_query_number(&path, "after", h->row);
	cli_query_number(&path, "limit", JOURNEYS);
	status = cli_get(h->cli, &path, &answer);
	if (status == STATUS_ANSWER) {
		show_journeys(h, answer);
		if (json_is_integer(json_object_get(answer, "next")))
			h->row = (uint64_t)field_number(answer, "next");
	}
	json_decref(answer);
	return status;
}

/* Until Ctrl-C, or the end of --for. */
static int follow(struct here *h)
{
	int status = STATUS_ANSWER;

	while (status == STATUS_ANSWER) {
		int64_t now = wall_now().v,
			left = h->ends.v ? (h->ends.v - now) / NS_PER_MS : POLL_MS;

		if (left <= 0 || nap(h, left < POLL_MS ? (int)left + 1 : POLL_MS))
			break;
		if (h->lease_ends.v - now < (int64_t)RENEW_MS * NS_PER_MS &&
		    (!h->ends.v || h->lease_ends.v < h->ends.v))
			status = lease(h);
		if (status == STATUS_ANSWER)
			status = poll_journeys(h);
	}
	return status;
}

static void end_lease(struct here *h)
{
	json_t *answer = NULL;
	char path[128];

	if (!h->lease[0])
		return;
	if (h->ends.v && wall_now().v >= h->lease_ends.v)
		return; /* it has ended by itself */
	snprintf(path, sizeof(path), "/api/v1/trace/%s", h->lease);
	(void)cli_ask(h->cli, "DELETE", path, NULL, &answer);
	json_decref(answer);
}

static int summary(struct here *h)
{
	struct view view = { .now = wall_now(), .detail = h->detail, .flow = NULL };
	json_t *answer = NULL;
	struct buf path;
	int status;

	buf_init(&path, QUERY_MAX);
	(void)buf_addf(&path, "/api/v1/where");
	cli_query(&path, "flow", h->flow);
	cli_query_number(&path, "since", h->started.v);
	status = cli_get(h->cli, &path, &answer);
	if (status == STATUS_ANSWER) {
		if (h->json) {
			cli_show_json(answer, true);
		} else {
			screen_end(&h->cli->screen, 0);
			answer_draw(&h->cli->screen, answer, &view);
			cli_flush(h->cli);
		}
		status = answer_status(answer, NULL);
	}
	json_decref(answer);
	return status;
}

static int watch(struct here *h)
{
	int status;

	h->started = wall_now();
	if (h->ends.v)
		h->ends.v += h->started.v;
	status = lease(h);
	if (status != STATUS_ANSWER)
		return status;
	fprintf(stderr, "lasthop: watching %s for %s; %s\n", h->id, h->flow,
		h->ends.v ? "Ctrl-C ends it sooner" : "Ctrl-C ends it");
	status = follow(h);
	end_lease(h);
	if (status != STATUS_ANSWER)
		return status;
	usleep(LAST_MS * 1000);
	status = poll_journeys(h);
	return status == STATUS_ANSWER ? summary(h) : status;
}

static void clear(struct here *h)
{
	child_stop(&h->agent);
	child_stop(&h->collector);
	sweep_end(&h->sweep);
	if (h->signals >= 0)
		close(h->signals);
	free(h->flow);
}

int cmd_here(struct cli *c)
{
	struct here h = { .cli = c,
			  .signals = -1,
			  .detail = c->args.value[OPTION_DETAIL],
			  .json = c->args.value[OPTION_JSON] };
	struct lease_ask ask;
	int status = trace_options(c, &ask);

	if (status == STATUS_ANSWER)
		status = cli_check_flow(c);
	if (status != STATUS_ANSWER)
		return status;
	h.rate = ask.rate;
	if (c->args.value[OPTION_FOR])
		h.ends.v = ask.for_ms * NS_PER_MS;
	h.flow = cli_flow_text(c);
	own_id(&h);
	status = open_signals(&h);
	if (status == STATUS_ANSWER)
		status = h.flow ? choose_collector(&h) : STATUS_TROUBLE;
	if (status == STATUS_ANSWER)
		status = watch(&h);
	clear(&h);
	return status;
}
