/*
 * From protobuf to plain structs. Every value is checked here, once; nobody behind this file sees a length, an
 * enum or an index that is out of its limits.
 */
#include "common/msg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/msg_counters.h"
#include "common/msg_rules.h"
#include "proto/lasthop.pb-c.h"

struct name {
	const char *text;
	size_t len;
};

/* One frame being decoded. protobuf-c's own structs live in the same arena as ours and go with it. */
struct decoder {
	struct arena *arena;
	struct name *names; /* of the batch, "" first */
	size_t name_count;
	int error;
};

static void *pb_alloc(void *arg, size_t size)
{
	return arena_alloc(arg, size);
}

static void pb_free(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

/* --- pieces ------------------------------------------------------------------------------------------------ */

/* Text travels as bytes and ends at a NUL only here: one inside would make two names of the wire one of ours. */
static const char *text(struct decoder *d, const ProtobufCBinaryData *b, size_t max)
{
	const char *s;

	if (b->len == 0)
		return "";
	if (b->len > max || memchr(b->data, '\0', b->len)) {
		d->error = -EPROTO;
		return "";
	}
	s = arena_strndup(d->arena, (const char *)b->data, b->len);
	if (!s)
		d->error = -ENOMEM;
	return s ? s : "";
}

static const char *text_or_null(struct decoder *d, const ProtobufCBinaryData *b, size_t max)
{
	return b->len ? text(d, b, max) : NULL;
}

static uint32_t below(struct decoder *d, uint32_t v, uint32_t limit)
{
	if (v >= limit) {
		d->error = -EPROTO;
		return 0;
	}
	return v;
}

static void bytes_exact(struct decoder *d, uint8_t *to, const ProtobufCBinaryData *b, size_t n)
{
	if (b->len != n)
		d->error = -EPROTO;
	else
		memcpy(to, b->data, n);
}

static void addr(struct decoder *d, struct addr *a, const ProtobufCBinaryData *b)
{
	if (b->len != 4 && b->len != 16) {
		d->error = -EPROTO;
		return;
	}
	a->family = b->len == 4 ? 4 : 6;
	memcpy(a->b, b->data, b->len);
}

static void prefix(struct decoder *d, struct prefix *p, const ProtobufCBinaryData *b, uint32_t len)
{
	if (b->len == 0 && len == 0)
		return;
	addr(d, &p->addr, b);
	if (len > (p->addr.family == 4 ? 32 : 128))
		d->error = -EPROTO;
	p->len = (uint8_t)len;
}

static void tuple(struct decoder *d, struct tuple *t, const Pb__Tuple *m)
{
	if (!m) {
		d->error = -EPROTO;
		return;
	}
	addr(d, &t->src, &m->src);
	addr(d, &t->dst, &m->dst);
	if (t->src.family != t->dst.family)
		d->error = -EPROTO;
	t->sport = (uint16_t)below(d, m->sport, 1 << 16);
	t->dport = (uint16_t)below(d, m->dport, 1 << 16);
	t->proto = (uint8_t)below(d, m->proto, 1 << 8);
}

/* An array of ours, beside protobuf-c's. */
static void *array(struct decoder *d, size_t n, size_t size, size_t max)
{
	void *p;

	if (n > max) {
		d->error = -EPROTO;
		return NULL;
	}
	p = arena_alloc(d->arena, (n ? n : 1) * size);
	if (!p)
		d->error = -ENOMEM;
	return p;
}

static const struct name *name(struct decoder *d, uint32_t i, size_t max)
{
	static const struct name none = { "", 0 };

	if (i >= d->name_count || d->names[i].len > max) {
		d->error = -EPROTO;
		return &none;
	}
	return &d->names[i];
}

static void ifname(struct decoder *d, char to[static IFNAME_MAX + 1], uint32_t i)
{
	const struct name *n = name(d, i, IFNAME_MAX);

	memcpy(to, n->text, n->len + 1);
}

static struct pattern *patterns(struct decoder *d, Pb__Pattern **list, size_t n, uint32_t *count)
{
	struct pattern *out = array(d, n, sizeof(*out), PATTERNS_MAX);

	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const Pb__Pattern *m = list[i];
		struct pattern *p = &out[i];

		if (m->family != 4 && m->family != 6)
			d->error = -EPROTO;
		p->family = (uint8_t)m->family;
		p->proto = (uint8_t)below(d, m->proto, 1 << 8);
		prefix(d, &p->src, &m->src, m->src_len);
		prefix(d, &p->dst, &m->dst, m->dst_len);
		p->sport = (uint16_t)below(d, m->sport, 1 << 16);
		p->dport = (uint16_t)below(d, m->dport, 1 << 16);
		p->icmp_id = (uint16_t)below(d, m->icmp_id, 1 << 16);
	}
	*count = (uint32_t)n;
	return out;
}

/* --- records ----------------------------------------------------------------------------------------------- */

static void steps(struct decoder *d, struct journey *j, const Pb__Journey *m)
{
	size_t n = m->n_step_what;
	int64_t at = m->at;

	if (m->n_step_at != n || m->n_step_table != n || m->n_step_chain != n ||
	    m->n_step_number != n || (m->n_step_handle && m->n_step_handle != n) ||
	    (m->n_step_prefix && m->n_step_prefix != n)) {
		d->error = -EPROTO;
		return;
	}
	j->steps = array(d, n, sizeof(*j->steps), STEPS_MAX);
	if (!j->steps)
		return;
	j->step_count = (uint16_t)n;
	for (size_t i = 0; i < n; i++) {
		uint32_t what = m->step_what[i];
		struct step *s = &j->steps[i];

		s->hook = (uint8_t)below(d, what & 7, HOOK_COUNT);
		s->backend = (uint8_t)below(d, what >> 3 & 3, BACKEND_IPSET);
		s->family = (uint8_t)below(d, what >> 5 & 7, FAMILY_COUNT);
		s->label = (uint8_t)below(d, what >> 8 & 7, LABEL_COUNT);
		s->verdict = (uint8_t)below(d, what >> 11 & 15, STEP_VERDICT_COUNT);
		s->checkpoint = (uint8_t)below(d, what >> 15 & 15, CHECKPOINT_COUNT);
		s->kernel_time = what >> 19 & 1;
		s->tuple = (uint8_t)below(d, what >> 20 & 15, j->tuple_count ? j->tuple_count : 1);
		s->ttl = (uint8_t)(what >> 24);
		at = (int64_t)((uint64_t)at + (uint64_t)m->step_at[i]);
		s->at.v = at;
		s->table = name(d, m->step_table[i], TABLE_NAME_MAX)->text;
		s->chain = name(d, m->step_chain[i], CHAIN_NAME_MAX)->text;
		s->number = m->step_number[i];
		s->handle = m->n_step_handle ? m->step_handle[i] : 0;
		if (m->n_step_prefix && m->step_prefix[i])
			s->prefix = name(d, m->step_prefix[i], LOG_PREFIX_MAX)->text;
	}
}

static void journey(struct decoder *d, struct journey *j, const Pb__Journey *m)
{
	j->at.v = m->at;
	j->trace_id = m->trace_id;
	j->fp = m->fp;
	j->fp_long = m->fp_long;
	j->ip_version = (uint8_t)below(d, m->ip >> 16, 6 + 1);
	j->total_len = (uint16_t)m->ip;
	j->ip_id = (uint16_t)below(d, m->ip_id, 1 << 16);
	j->tcp_flags = (uint8_t)below(d, m->tcp >> 16, 1 << 8);
	j->tcp_window = (uint16_t)m->tcp;
	j->tcp_seq = m->tcp_seq;
	j->tcp_ack = m->tcp_ack;
	j->icmp_type = (uint8_t)(m->icmp >> 24);
	j->icmp_code = (uint8_t)(m->icmp >> 16);
	j->icmp_seq = (uint16_t)m->icmp;
	if (m->inner) {
		j->is_icmp_error = true;
		j->has_inner = below(d, m->inner->what >> 16, 2);
		j->inner_proto = (uint8_t)(m->inner->what >> 8);
		j->inner_ttl = (uint8_t)m->inner->what;
		j->inner_len = (uint16_t)below(d, m->inner->len, 1 << 16);
		j->inner_id = (uint16_t)below(d, m->inner->id, 1 << 16);
		j->has_inner_tuple = m->inner->tuple;
		if (m->inner->tuple)
			tuple(d, &j->inner, m->inner->tuple);
	}
	ifname(d, j->in_if, m->in_if);
	ifname(d, j->out_if, m->out_if);
	if (m->src_mac.len)
		bytes_exact(d, j->ether.src, &m->src_mac, sizeof(j->ether.src));
	if (m->dst_mac.len)
		bytes_exact(d, j->ether.dst, &m->dst_mac, sizeof(j->ether.dst));
	j->ether.type = (uint16_t)below(d, m->ether >> 12, 1 << 16);
	j->ether.vlan = (uint16_t)(m->ether % VLAN_COUNT);
	j->mark = m->mark;
	j->cut = m->cut;
	if (m->n_tuples == 0 || m->n_tuples > TUPLES_MAX) {
		d->error = -EPROTO;
		return;
	}
	for (size_t i = 0; i < m->n_tuples; i++)
		tuple(d, &j->tuples[i], m->tuples[i]);
	j->tuple_count = (uint8_t)m->n_tuples;
	steps(d, j, m);
}

static void conn(struct decoder *d, struct conn *c, const Pb__Conn *m)
{
	c->at.v = m->at;
	c->event = (uint8_t)below(d, m->event, CONN_DUMP + 1);
	c->id = m->id;
	c->status = m->status;
	c->mark = m->mark;
	c->zone = (uint16_t)below(d, m->zone, 1 << 16);
	c->timeout_s = m->timeout_s;
	tuple(d, &c->orig, m->orig);
	tuple(d, &c->reply, m->reply);
}

static void authors(struct decoder *d, struct ruleset_fact *r, const Pb__Ruleset *m)
{
	struct author *list = array(d, m->n_authors, sizeof(*list), AUTHORS_MAX);

	if (!list)
		return;
	for (size_t i = 0; i < m->n_authors; i++) {
		const Pb__Author *from = m->authors[i];

		list[i] = (struct author){ .program = text_or_null(d, &from->program, COMMAND_MAX),
					   .command = text_or_null(d, &from->command, COMMAND_MAX),
					   .user = text_or_null(d, &from->user, COMMAND_MAX),
					   .pid = from->pid,
					   .uid = from->uid,
					   .loginuid = from->loginuid,
					   .via = (uint8_t)below(d, from->via, VIA_COUNT) };
	}
	r->authors = list;
	r->author_count = (uint32_t)m->n_authors;
}

static void ruleset(struct decoder *d, struct ruleset_fact *r, const Pb__Ruleset *m)
{
	r->before.v = m->before;
	r->read_at.v = m->read_at;
	r->backend = (uint8_t)below(d, m->backend, BACKEND_COUNT);
	r->family = (uint8_t)below(d, m->family, FAMILY_COUNT);
	r->table = text(d, &m->table, TABLE_NAME_MAX);
	if (m->content.len)
		bytes_exact(d, r->content.b, &m->content, CONTENT_ID_LEN);
	if (m->handles.len)
		bytes_exact(d, r->handles.b, &m->handles, CONTENT_ID_LEN);
	r->torn = m->torn;
	r->commits = m->commits;
	authors(d, r, m);
}

static void facts(struct decoder *d, struct facts *f, const Pb__Facts *m)
{
	enum { LINKS_MAX = 4096, ADDRS_MAX = 16384, ROUTES_MAX = 65536 };
	int r;

	f->at.v = m->at;
	f->forward4 = m->forward4;
	f->forward6 = m->forward6;
	f->forward_known = m->forward_known;
	f->links = array(d, m->n_links, sizeof(*f->links), LINKS_MAX);
	f->addrs = array(d, m->n_addrs, sizeof(*f->addrs), ADDRS_MAX);
	f->routes = array(d, m->n_routes, sizeof(*f->routes), ROUTES_MAX);
	if (!f->links || !f->addrs || !f->routes)
		return;
	f->link_count = (uint32_t)m->n_links;
	f->addr_count = (uint32_t)m->n_addrs;
	f->route_count = (uint32_t)m->n_routes;
	for (size_t i = 0; i < m->n_links; i++) {
		const Pb__Link *l = m->links[i];
		struct facts_link *to = &f->links[i];

		to->ifindex = l->ifindex;
		to->link = l->link;
		to->master = l->master;
		to->mtu = l->mtu;
		to->up = l->up;
		to->conf4 = l->conf4;
		to->conf6 = l->conf6;
		to->forward4 = l->forward4;
		to->force_forward6 = l->force_forward6;
		to->disable6 = l->disable6;
		to->rp_filter = (uint8_t)below(d, l->rp_filter, 1 << 8);
		if (l->mac.len)
			bytes_exact(d, to->mac, &l->mac, sizeof(to->mac));
		snprintf(to->name, sizeof(to->name), "%s", text(d, &l->name, IFNAME_MAX));
	}
	for (size_t i = 0; i < m->n_addrs; i++) {
		f->addrs[i].ifindex = m->addrs[i]->ifindex;
		prefix(d, &f->addrs[i].addr, &m->addrs[i]->addr, m->addrs[i]->len);
	}
	for (size_t i = 0; i < m->n_routes; i++) {
		const Pb__Route *route = m->routes[i];
		struct facts_route *to = &f->routes[i];

		prefix(d, &to->dst, &route->dst, route->len);
		if (route->gateway.len)
			addr(d, &to->gateway, &route->gateway);
		to->ifindex = route->ifindex;
		to->table = route->table;
		to->metric = route->metric;
		to->type = (uint8_t)below(d, route->type, 1 << 8);
		to->tos = (uint8_t)below(d, route->tos, 1 << 8);
		prefix(d, &to->src, &route->src, route->src_len);
	}
	f->rules4 = m->rules4;
	f->rules6 = m->rules6;
	f->cut = m->cut;
	f->rp_filter = (uint8_t)below(d, m->rp_filter, 1 << 8);
	r = msg_rules_decode(d->arena, f, m);
	if (r < 0)
		d->error = r;
}

static void sources(struct decoder *d, struct sources *s, const Pb__Sources *m)
{
	enum { SOURCES_MAX = 64 };

	s->at.v = m->at;
	s->list = array(d, m->n_list, sizeof(*s->list), SOURCES_MAX);
	if (!s->list)
		return;
	s->count = (uint32_t)m->n_list;
	for (size_t i = 0; i < m->n_list; i++) {
		s->list[i].name = text(d, &m->list[i]->name, ID_MAX);
		s->list[i].state = (uint8_t)below(d, m->list[i]->state, SOURCE_FAILED + 1);
		s->list[i].why = text_or_null(d, &m->list[i]->why, WHY_MAX);
	}
}

static void loss(struct decoder *d, struct loss *l, const Pb__Loss *m)
{
	l->from.v = m->from;
	l->until.v = m->until;
	l->source = text(d, &m->source, ID_MAX);
	l->count_known = m->count_known;
	l->count = m->count;
}

static void lease(struct decoder *d, struct lease_fact *l, const Pb__Lease *m)
{
	l->at.v = m->at;
	l->id = m->id;
	l->state = (uint8_t)below(d, m->state, LEASE_SILENT + 1);
	l->modulus = m->modulus;
	l->traced = m->traced;
	l->refused = m->refused;
	l->why = text_or_null(d, &m->why, WHY_MAX);
	l->patterns = patterns(d, m->patterns, m->n_patterns, &l->pattern_count);
}

static void counters(struct decoder *d, struct counters *c, const Pb__Counters *m)
{
	int r = msg_counters_decode(d->arena, c, m);

	if (r < 0)
		d->error = r;
}

static void record(struct decoder *d, struct record *r, const Pb__Record *m)
{
	r->host = below(d, m->host, HOSTS_PER_AGENT);
	switch (m->is_case) {
	case PB__RECORD__IS_JOURNEY:
		r->kind = RECORD_JOURNEY;
		journey(d, &r->journey, m->journey);
		break;
	case PB__RECORD__IS_CONN:
		r->kind = RECORD_CONN;
		conn(d, &r->conn, m->conn);
		break;
	case PB__RECORD__IS_RULESET:
		r->kind = RECORD_RULESET;
		ruleset(d, &r->ruleset, m->ruleset);
		break;
	case PB__RECORD__IS_CHECKED:
		r->kind = RECORD_RULESET_CHECKED;
		r->checked.at.v = m->checked->at;
		break;
	case PB__RECORD__IS_FACTS:
		r->kind = RECORD_FACTS;
		facts(d, &r->facts, m->facts);
		break;
	case PB__RECORD__IS_SOURCES:
		r->kind = RECORD_SOURCES;
		sources(d, &r->sources, m->sources);
		break;
	case PB__RECORD__IS_LOSS:
		r->kind = RECORD_LOSS;
		loss(d, &r->loss, m->loss);
		break;
	case PB__RECORD__IS_LEASE:
		r->kind = RECORD_LEASE;
		lease(d, &r->lease, m->lease);
		break;
	case PB__RECORD__IS_COUNTERS:
		r->kind = RECORD_COUNTERS;
		counters(d, &r->counters, m->counters);
		break;
	case PB__RECORD__IS_ENDED:
		r->kind = RECORD_ENDED;
		r->ended.at.v = m->ended->at;
		break;
	case PB__RECORD__IS_STATS:
		r->kind = RECORD_STATS;
		r->stats.at.v = m->stats->at;
		r->stats.count = m->stats->count;
		r->stats.max = m->stats->max;
		r->stats.insert_failed = m->stats->insert_failed;
		r->stats.drop = m->stats->drop;
		r->stats.early_drop = m->stats->early_drop;
		r->stats.invalid = m->stats->invalid;
		r->stats.error = m->stats->error;
		r->stats.search_restart = m->stats->search_restart;
		r->stats.clash_resolve = m->stats->clash_resolve;
		r->stats.whole_from.v = m->stats->whole_from;
		break;
	default:
		d->error =
			-EPROTO; /* a newer agent's kind would be lost unseen: the session says so instead */
	}
}

/* --- messages ---------------------------------------------------------------------------------------------- */

static struct msg_host *host_list(struct decoder *d, Pb__Host *const *from, size_t n,
				  uint32_t *count)
{
	struct msg_host *list = array(d, n, sizeof(*list), HOSTS_PER_AGENT);

	*count = list ? (uint32_t)n : 0;
	for (uint32_t i = 0; i < *count; i++) {
		list[i].id = text(d, &from[i]->id, HOST_MAX);
		list[i].netns = text(d, &from[i]->netns, HOST_MAX);
		list[i].gone = from[i]->gone;
	}
	return list;
}

static void hello(struct decoder *d, struct msg_hello *h, const Pb__Hello *m)
{
	h->id = text(d, &m->id, ID_MAX);
	h->version = text(d, &m->version, ID_MAX);
	h->epoch = m->epoch;
	bytes_exact(d, h->instance, &m->instance, sizeof(h->instance));
	bytes_exact(d, h->boot_id, &m->boot_id, sizeof(h->boot_id));
	h->boot.v = m->boot;
	h->wall.v = m->wall;
	h->allow_trace = m->allow_trace;
	h->hosts = host_list(d, m->hosts, m->n_hosts, &h->host_count);
}

static void batch(struct decoder *d, struct msg_batch *b, const Pb__Batch *m)
{
	_Static_assert((int)CHAIN_NAME_MAX >= (int)LOG_PREFIX_MAX &&
			       (int)CHAIN_NAME_MAX >= (int)TABLE_NAME_MAX,
		       "the longest name that a record has");
	b->seq = m->seq;
	b->records = array(d, m->n_records, sizeof(*b->records), BATCH_RECORDS_MAX);
	d->names = array(d, m->n_names + 1, sizeof(*d->names), BATCH_NAMES_MAX + 1);
	if (!b->records || !d->names)
		return;
	d->names[0].text = "";
	for (size_t i = 0; i < m->n_names; i++)
		d->names[i + 1] =
			(struct name){ text(d, &m->names[i], CHAIN_NAME_MAX), m->names[i].len };
	d->name_count = m->n_names + 1;
	for (size_t i = 0; i < m->n_records && !d->error; i++)
		record(d, &b->records[i], m->records[i]);
	b->count = (uint32_t)m->n_records;
}

static void ids(struct decoder *d, struct msg_ids *to, const Pb__Ids *m)
{
	to->ids = array(d, m->n_ids, sizeof(*to->ids), 4096);
	if (!to->ids)
		return;
	to->count = (uint32_t)m->n_ids;
	for (size_t i = 0; i < m->n_ids; i++)
		bytes_exact(d, to->ids[i].b, &m->ids[i], CONTENT_ID_LEN);
}

static void part(struct decoder *d, struct msg_part *p, const Pb__Part *m)
{
	bytes_exact(d, p->id.b, &m->id, CONTENT_ID_LEN);
	p->offset = m->offset;
	p->total = m->total;
	p->data = m->data.data;
	p->len = (uint32_t)m->data.len;
	if (m->data.len > PART_MAX || m->total > CONTENT_MAX || m->offset > m->total ||
	    m->data.len > m->total - m->offset)
		d->error = -EPROTO;
}

static void lease_start(struct decoder *d, struct msg_lease_start *l, const Pb__LeaseStart *m)
{
	l->id = m->id;
	l->host = below(d, m->host, HOSTS_PER_AGENT);
	l->remaining_ms = m->remaining_ms;
	l->rate = m->rate;
	l->modulus = m->modulus;
	l->patterns = patterns(d, m->patterns, m->n_patterns, &l->pattern_count);
}

int msg_decode(struct msg *m, const uint8_t *p, size_t len, struct arena *arena)
{
	ProtobufCAllocator allocator = { pb_alloc, pb_free, arena };
	struct decoder d = { .arena = arena };
	Pb__Message *pb;

	memset(m, 0, sizeof(*m));
	pb = pb__message__unpack(&allocator, len, p);
	if (!pb)
		return -EPROTO;
	switch (pb->is_case) {
	case PB__MESSAGE__IS_HELLO:
		m->kind = MSG_HELLO;
		hello(&d, &m->hello, pb->hello);
		break;
	case PB__MESSAGE__IS_BATCH:
		m->kind = MSG_RECORDS;
		batch(&d, &m->batch, pb->batch);
		break;
	case PB__MESSAGE__IS_HAVE:
		m->kind = MSG_HAVE;
		ids(&d, &m->have, pb->have);
		break;
	case PB__MESSAGE__IS_PART:
		m->kind = MSG_PART;
		part(&d, &m->part, pb->part);
		break;
	case PB__MESSAGE__IS_PONG:
		m->kind = MSG_PONG;
		m->pong = (struct msg_pong){ pb->pong->token,
					     { pb->pong->boot },
					     { pb->pong->wall },
					     pb->pong->oldest_unacked_ms };
		break;
	case PB__MESSAGE__IS_WELCOME:
		m->kind = MSG_WELCOME;
		m->welcome.epoch = pb->welcome->epoch;
		m->welcome.seq = pb->welcome->seq;
		m->welcome.refused = pb->welcome->refused;
		m->welcome.why = text_or_null(&d, &pb->welcome->why, WHY_MAX);
		m->welcome.backends = pb->welcome->backends;
		break;
	case PB__MESSAGE__IS_ACK:
		m->kind = MSG_ACK;
		m->ack = pb->ack->seq;
		break;
	case PB__MESSAGE__IS_NEED:
		m->kind = MSG_NEED;
		ids(&d, &m->need, pb->need);
		break;
	case PB__MESSAGE__IS_PING:
		m->kind = MSG_PING;
		m->ping.token = pb->ping->token;
		break;
	case PB__MESSAGE__IS_LEASE_START:
		m->kind = MSG_LEASE_START;
		lease_start(&d, &m->lease_start, pb->lease_start);
		break;
	case PB__MESSAGE__IS_LEASE_STOP:
		m->kind = MSG_LEASE_STOP;
		m->lease_stop.id = pb->lease_stop->id;
		m->lease_stop.host = below(&d, pb->lease_stop->host, HOSTS_PER_AGENT);
		break;
	case PB__MESSAGE__IS_SNAPSHOT_NOW:
		m->kind = MSG_SNAPSHOT_NOW;
		break;
	case PB__MESSAGE__IS_HOSTS:
		m->kind = MSG_HOSTS;
		m->hosts.list =
			host_list(&d, pb->hosts->hosts, pb->hosts->n_hosts, &m->hosts.count);
		break;
	default:
		m->kind = MSG_NONE;
	}
	return d.error;
}
