#include "collector/ingest/peer.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

enum { OFFSET_FRESH_MS = 60 * 1000, OFFSET_WORSE = 4, OFFSET_FINE_NS = 5 * NS_PER_MS };

static struct live_host *host_find(struct ingest *g, const char *id)
{
	struct live_host *h;

	HASH_FIND_STR(g->hosts, id, h);
	return h;
}

static void host_free(struct live_host *h)
{
	HASH_DELETE(hh, h->peer->ingest->hosts, h);
	free(h);
}

static void note_free(struct peer *p, struct note *n)
{
	DL_DELETE(p->notes, n);
	p->note_count--;
	free(n);
}

static void peer_forget_notes(struct peer *p)
{
	struct note *n, *tmp;

	DL_FOREACH_SAFE(p->notes, n, tmp)
		note_free(p, n);
}

/* Does a host of the peer's get an index that was another's? */
static bool index_passes_on(const struct peer *p, const struct msg_host *list, uint32_t count)
{
	uint32_t i;

	if (count < p->host_count)
		return true;
	for (i = 0; i < p->host_count; i++)
		if (strcmp(p->hosts[i]->id, list[i].id))
			return true;
	return false;
}

/* The places of these hosts, those that are known already kept as they are. -errno: nothing changed. */
static int hosts_find(struct peer *p, const struct msg_host *list, uint32_t count,
		      struct live_host *found[static HOSTS_PER_AGENT])
{
	uint32_t i;
	int r = 0;

	for (i = 0; i < count && r == 0; i++) {
		found[i] = host_find(p->ingest, list[i].id);
		if (found[i] && found[i]->peer != p) {
			r = -EEXIST; /* ids begin with the agent's own */
			break;
		}
		if (found[i])
			continue;
		found[i] = calloc(1, sizeof(*found[i]));
		if (!found[i]) {
			r = -ENOMEM;
			break;
		}
		strncpy(found[i]->id, list[i].id, HOST_MAX);
		found[i]->peer = p;
		HASH_ADD_STR(p->ingest->hosts, id, found[i]);
	}
	while (r < 0 && i-- > 0) {
		bool ours = false;

		for (uint32_t k = 0; k < p->host_count; k++)
			ours |= p->hosts[k] == found[i];
		if (!ours)
			host_free(found[i]);
	}
	return r;
}

/* These hosts in place of those that it had. ids: the store's. */
static int peer_set_hosts(struct peer *p, const uint64_t *ids, const struct msg_host *list,
			  uint32_t count)
{
	struct live_host *found[HOSTS_PER_AGENT] = { NULL };
	uint32_t i, k;
	int r = hosts_find(p, list, count, found);

	if (r < 0)
		return r;
	if (index_passes_on(p, list, count))
		peer_forget_notes(p); /* they name hosts by index */
	for (i = 0; i < p->host_count; i++) {
		for (k = 0; k < count && found[k] != p->hosts[i]; k++)
			;
		if (k == count)
			host_free(p->hosts[i]);
	}
	for (i = 0; i < count; i++) {
		if (found[i]->gone != list[i].gone) /* what it told belongs to its former life */
			found[i]->sources_told = found[i]->rulesets_told = false;
		found[i]->gone = list[i].gone;
		found[i]->host = ids[i];
		p->hosts[i] = found[i];
	}
	p->host_count = count;
	return 0;
}

int peer_take(struct peer **out, struct ingest *g, const struct store_agent *a,
	      const struct msg_hello *h)
{
	struct peer *p = peer_find(g, a->agent);
	uint32_t i;
	int r;

	if (!p) {
		if (HASH_COUNT(g->peers) >= PEERS_MAX)
			return -EMFILE;
		r = ingest_expect_commits(g, a->agent);
		if (r < 0)
			return r;
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->ingest = g;
		p->agent.agent = a->agent;
		strncpy(p->id, h->id, ID_MAX);
		HASH_ADD(hh, g->peers, agent.agent, sizeof(p->agent.agent), p);
	}
	if (p->epoch != h->epoch || memcmp(p->boot_id, h->boot_id, sizeof(p->boot_id))) {
		peer_forget_notes(p);
		for (i = 0; i < p->host_count; i++)
			p->hosts[i]->sources_told = p->hosts[i]->rulesets_told = false;
		p->offset = (struct clock_offset){ 0 };
	}
	r = peer_set_hosts(p, a->hosts, h->hosts, h->host_count);
	if (r < 0)
		return r;
	p->resumed = a->epoch == h->epoch && a->seq > 0;
	p->agent = *a;
	p->agent.epoch = p->epoch = h->epoch; /* from now on: of the batches that come */
	p->allow_trace = h->allow_trace;
	memcpy(p->instance, h->instance, sizeof(p->instance));
	memcpy(p->boot_id, h->boot_id, sizeof(p->boot_id));
	p->lag_ms = -1;
	p->clock_known = false;
	*out = p;
	return 0;
}

struct peer *peer_find(struct ingest *g, uint64_t agent)
{
	struct peer *p;

	HASH_FIND(hh, g->peers, &agent, sizeof(agent), p);
	return p;
}

struct peer *peer_by_id(struct ingest *g, const char *id)
{
	struct peer *p, *tmp;

	HASH_ITER(hh, g->peers, p, tmp)
		if (!strcmp(p->id, id))
			return p;
	return NULL;
}

void peer_free(struct peer *p)
{
	peer_forget_notes(p);
	while (p->host_count > 0)
		host_free(p->hosts[--p->host_count]);
	HASH_DELETE(hh, p->ingest->peers, p);
	free(p);
}

/* Does anybody wait for such records? *at is when it was so. */
static bool record_noted(const struct record *r, struct boot_ns *at)
{
	switch (r->kind) {
	case RECORD_LEASE:
		*at = r->lease.at;
		return true;
	case RECORD_RULESET:
		/* Who waits for tables is not helped by sets. */
		*at = r->ruleset.read_at;
		return r->ruleset.backend != BACKEND_IPSET;
	case RECORD_RULESET_CHECKED:
		*at = r->checked.at;
		return true;
	case RECORD_FACTS:
		*at = r->facts.at;
		return true;
	case RECORD_SOURCES:
		*at = r->sources.at;
		return true;
	case RECORD_LOSS:
		*at = r->loss.until;
		return !strcmp(r->loss.source, "trace-limit");
	default:
		return false;
	}
}

/* A later record of one batch stands for the earlier ones that say the same thing of the same host or lease. */
static struct note *note_in_batch(struct peer *p, uint64_t seq, const struct record *r)
{
	struct note *n;

	for (n = p->notes ? p->notes->prev : NULL; n; n = n == p->notes ? NULL : n->prev) {
		if (n->epoch != p->epoch || n->seq != seq)
			return NULL;
		if (n->note.kind == r->kind && n->host == r->host &&
		    (r->kind != RECORD_LEASE || n->note.lease.id == r->lease.id))
			return n;
	}
	return NULL;
}

/* Its rulesets will not come: nobody need wait for them. */
static bool ruleset_failed(const struct sources *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (!strcmp(s->list[i].name, "ruleset"))
			return s->list[i].state == SOURCE_FAILED;
	return false;
}

int peer_note_batch(struct peer *p, const struct msg_batch *b)
{
	struct boot_ns at;
	struct note *n;
	uint32_t i;

	for (i = 0; i < b->count; i++) {
		const struct record *r = &b->records[i];

		if (!record_noted(r, &at))
			continue;
		n = note_in_batch(p, b->seq, r);
		if (!n) {
			n = calloc(1, sizeof(*n));
			if (!n)
				return -ENOMEM;
			DL_APPEND(p->notes, n);
			p->note_count++;
		}
		n->epoch = p->epoch;
		n->seq = b->seq;
		n->host = r->host;
		n->at = at;
		n->note.kind = r->kind;
		n->no_rulesets = r->kind == RECORD_SOURCES && ruleset_failed(&r->sources);
		if (r->kind != RECORD_LEASE)
			continue;
		n->note.lease.id = r->lease.id;
		n->note.lease.state = r->lease.state;
		n->note.lease.modulus = r->lease.modulus;
		n->note.lease.traced = r->lease.traced;
		n->note.lease.refused = r->lease.refused;
		n->note.lease.why[0] = 0;
		if (r->lease.why)
			strncat(n->note.lease.why, r->lease.why, WHY_MAX);
	}
	return 0;
}

static void note_tell(struct peer *p, struct note *n)
{
	struct live_host *h = p->hosts[n->host];
	struct ingest_observer *o, *tmp;

	if (n->note.kind == RECORD_SOURCES)
		h->sources_told = true;
	if (n->note.kind == RECORD_RULESET || n->note.kind == RECORD_RULESET_CHECKED ||
	    n->no_rulesets)
		h->rulesets_told = true;
	n->note.host = h->id;
	n->note.at.v = n->at.v + p->offset.offset;
	n->note.error = p->offset.error;
	DL_FOREACH_SAFE(p->ingest->observers, o, tmp)
		if (o->note)
			o->note(o->arg, &n->note);
}

void peer_committed(struct peer *p, uint64_t epoch, uint64_t seq)
{
	while (p->notes && p->notes->epoch == epoch && p->notes->seq <= seq) {
		note_tell(p, p->notes);
		note_free(p, p->notes);
	}
}

static void host_hello(struct live_host *h)
{
	struct ingest_observer *o, *tmp;

	DL_FOREACH_SAFE(h->peer->ingest->observers, o, tmp)
		if (o->hello)
			o->hello(o->arg, h->id);
}

static void host_gone(struct live_host *h)
{
	struct ingest_observer *o, *tmp;

	DL_FOREACH_SAFE(h->peer->ingest->observers, o, tmp)
		if (o->gone)
			o->gone(o->arg, h->id);
}

void peer_hello(struct peer *p)
{
	uint32_t i;

	for (i = 0; i < p->host_count; i++)
		if (!p->hosts[i]->gone)
			host_hello(p->hosts[i]);
}

void peer_gone(struct peer *p)
{
	uint32_t i;

	for (i = 0; i < p->host_count; i++)
		if (!p->hosts[i]->gone)
			host_gone(p->hosts[i]);
}

/* Was the host with this id there? */
static bool was_there(const struct peer *p, const char *id)
{
	uint32_t i;

	for (i = 0; i < p->host_count; i++)
		if (!strcmp(p->hosts[i]->id, id))
			return !p->hosts[i]->gone;
	return false;
}

int peer_hosts(struct peer *p, const struct msg_hosts *h)
{
	struct store_agent a = p->agent;
	bool was[HOSTS_PER_AGENT];
	uint32_t i;
	int r;

	r = store_hosts(p->ingest->store, &a, h);
	if (r < 0)
		return r;
	for (i = 0; i < h->count; i++)
		was[i] = was_there(p, h->list[i].id);
	for (i = 0; i < p->host_count; i++) {
		bool stays = i < h->count && !strcmp(h->list[i].id, p->hosts[i]->id);

		if (!p->hosts[i]->gone && (!stays || h->list[i].gone))
			host_gone(p->hosts[i]);
	}
	r = peer_set_hosts(p, a.hosts, h->list, h->count);
	if (r < 0)
		return r;
	p->agent = a;
	for (i = 0; i < p->host_count; i++)
		if (!p->hosts[i]->gone && !was[i])
			host_hello(p->hosts[i]);
	return 0;
}

void peer_offset(struct peer *p, const struct clock_offset *o)
{
	int64_t now = (int64_t)uv_now(p->ingest->loop);

	if (p->offset.error > 0 && o->error > OFFSET_FINE_NS &&
	    o->error / OFFSET_WORSE > p->offset.error && now - p->offset_ms < OFFSET_FRESH_MS)
		return;
	p->offset = *o;
	p->offset_ms = now;
	store_offset(p->ingest->store, p->agent.agent, o);
}
