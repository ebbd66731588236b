#include "collector/lease/running.h"

#include <stdlib.h>
#include <string.h>

enum { HOSTS_MAX = 65536 };

int64_t leases_now_ms(const struct leases *ls)
{
	return (int64_t)uv_now(ls->loop);
}

bool lease_wants(const struct lease *l, const char *host)
{
	return lease_names((const char *const *)l->on, l->on_count, host);
}

size_t lease_find(const struct lease *l, const char *host)
{
	size_t i;

	for (i = 0; i < l->host_count && strcmp(l->hosts[i].id, host) != 0; i++)
		;
	return i;
}

size_t lease_join(struct lease *l, const char *host)
{
	size_t i = lease_find(l, host);

	if (i < l->host_count || i >= HOSTS_MAX)
		return i;
	if (l->host_count == l->host_cap) {
		size_t cap = l->host_cap ? 2 * l->host_cap : 8;
		struct lease_host *hosts = realloc(l->hosts, cap * sizeof(*hosts));
		struct member *members;

		if (!hosts)
			return l->host_count;
		l->hosts = hosts;
		members = realloc(l->members, cap * sizeof(*members));
		if (!members)
			return l->host_count;
		l->members = members;
		l->host_cap = cap;
	}
	l->hosts[i] = (struct lease_host){ .state = LEASE_PENDING };
	l->members[i] = (struct member){ 0 };
	strncpy(l->hosts[i].id, host, HOST_MAX);
	l->host_count++;
	return i;
}

void lease_view(const struct lease *l, struct lease_view *v)
{
	*v = (struct lease_view){
		.id = l->id,
		.flow = l->flow,
		.by = l->by,
		.from = l->from,
		.until = l->until,
		.rate = l->rate,
		.modulus = l->modulus,
		.hosts = l->hosts,
		.host_count = l->host_count,
		.patterns = l->patterns,
		.pattern_count = l->pattern_count,
		.cut = l->cut,
	};
}

void lease_host_is(struct lease_host *h, enum lease_state state, const char *why)
{
	h->state = state;
	snprintf(h->why, sizeof(h->why), "%s", why ? why : "");
}

void lease_free(struct lease *l)
{
	size_t i;

	for (i = 0; i < l->on_count; i++)
		free(l->on[i]);
	survey_clear(&l->survey);
	free(l->hosts);
	free(l->members);
	free(l);
}

void lease_answer(struct lease *l)
{
	void (*done)(void *arg, const struct lease_view *v) = l->done;
	struct lease_view v;
	size_t i;

	l->done = NULL;
	if (!done)
		return;
	for (i = 0; i < l->host_count; i++)
		if (l->hosts[i].state == LEASE_PENDING && !l->dry_run)
			lease_host_is(&l->hosts[i], LEASE_SILENT,
				      "its agent did not answer in time");
	lease_view(l, &v);
	done(l->arg, &v);
}

void lease_look(struct lease *l)
{
	size_t i;

	if (!l->done || !l->planned)
		return;
	for (i = 0; i < l->host_count; i++)
		if (l->hosts[i].state == LEASE_PENDING)
			return;
	lease_answer(l);
}

void lease_send(struct lease *l, size_t i)
{
	int64_t left = l->ends_ms - leases_now_ms(l->leases);
	struct msg m = { .kind = MSG_LEASE_START };

	if (left <= 0 || l->dry_run)
		return;
	m.lease_start.id = l->id;
	m.lease_start.remaining_ms = (uint32_t)left;
	m.lease_start.rate = l->rate;
	m.lease_start.modulus = l->modulus;
	m.lease_start.pattern_count = (uint32_t)l->pattern_count;
	m.lease_start.patterns = l->patterns;
	if (ingest_send(l->leases->ingest, l->hosts[i].id, &m) == 0)
		l->members[i].sent = true;
}

void lease_send_all(struct lease *l)
{
	size_t i;

	l->renew_ms = leases_now_ms(l->leases) + RENEW_MS;
	for (i = 0; i < l->host_count; i++)
		lease_send(l, i);
}

int lease_store(const struct lease *l)
{
	struct store_lease s = {
		.id = l->id,
		.from = l->from,
		.until = l->until,
		.flow = l->flow,
		.by = l->by,
		.rate = l->rate,
		.ended = l->ended,
	};

	return l->dry_run ? 0 : store_put_lease(l->leases->store, &s);
}
