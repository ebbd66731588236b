/*
 * Records to protobuf, but for journeys, which share names with their batch.
 */
#include <errno.h>

#include "common/msg_counters.h"
#include "common/msg_rules.h"
#include "common/msg_pieces.h"

int msg_patterns_encode(struct arena *a, Pb__Pattern ***list, size_t *n, const struct pattern *from,
			uint32_t count)
{
	if (!pointers(a, list, count))
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		Pb__Pattern *m = ADD(a, *list, *n, Pb__Pattern, pb__pattern__init);

		if (!m)
			return -ENOMEM;
		m->family = from[i].family;
		m->proto = from[i].proto;
		if (from[i].src.len) {
			m->src = addr(&from[i].src.addr);
			m->src_len = from[i].src.len;
		}
		if (from[i].dst.len) {
			m->dst = addr(&from[i].dst.addr);
			m->dst_len = from[i].dst.len;
		}
		m->sport = from[i].sport;
		m->dport = from[i].dport;
		m->icmp_id = from[i].icmp_id;
	}
	return 0;
}

static int facts(struct arena *a, Pb__Facts *m, const struct facts *f)
{
	m->at = f->at.v;
	m->forward4 = f->forward4;
	m->forward6 = f->forward6;
	m->forward_known = f->forward_known;
	if (!pointers(a, &m->links, f->link_count) || !pointers(a, &m->addrs, f->addr_count) ||
	    !pointers(a, &m->routes, f->route_count))
		return -ENOMEM;
	for (uint32_t i = 0; i < f->link_count; i++) {
		const struct facts_link *l = &f->links[i];
		Pb__Link *to = ADD(a, m->links, m->n_links, Pb__Link, pb__link__init);

		if (!to)
			return -ENOMEM;
		to->ifindex = l->ifindex;
		to->link = l->link;
		to->master = l->master;
		to->name = text(l->name);
		to->mac = bytes(l->mac, sizeof(l->mac));
		to->mtu = l->mtu;
		to->up = l->up;
		to->conf4 = l->conf4;
		to->conf6 = l->conf6;
		to->forward4 = l->forward4;
		to->force_forward6 = l->force_forward6;
		to->disable6 = l->disable6;
		to->rp_filter = l->rp_filter;
	}
	for (uint32_t i = 0; i < f->addr_count; i++) {
		Pb__Address *to = ADD(a, m->addrs, m->n_addrs, Pb__Address, pb__address__init);

		if (!to)
			return -ENOMEM;
		to->ifindex = f->addrs[i].ifindex;
		to->addr = addr(&f->addrs[i].addr.addr);
		to->len = f->addrs[i].addr.len;
	}
	for (uint32_t i = 0; i < f->route_count; i++) {
		const struct facts_route *r = &f->routes[i];
		Pb__Route *to = ADD(a, m->routes, m->n_routes, Pb__Route, pb__route__init);

		if (!to)
			return -ENOMEM;
		to->dst = addr(&r->dst.addr);
		to->len = r->dst.len;
		to->gateway = addr(&r->gateway);
		to->ifindex = r->ifindex;
		to->table = r->table;
		to->metric = r->metric;
		to->type = r->type;
		to->tos = r->tos;
		to->src = addr(&r->src.addr);
		to->src_len = r->src.len;
	}
	m->rules4 = f->rules4;
	m->rules6 = f->rules6;
	m->cut = f->cut;
	m->rp_filter = f->rp_filter;
	return msg_rules_encode(a, m, f);
}

static int sources(struct arena *a, Pb__Sources *m, const struct sources *s)
{
	m->at = s->at.v;
	if (!pointers(a, &m->list, s->count))
		return -ENOMEM;
	for (uint32_t i = 0; i < s->count; i++) {
		Pb__Source *to = ADD(a, m->list, m->n_list, Pb__Source, pb__source__init);

		if (!to)
			return -ENOMEM;
		if (!fits(s->list[i].name, ID_MAX) || !fits(s->list[i].why, WHY_MAX))
			return -EINVAL;
		to->name = text(s->list[i].name);
		to->state = s->list[i].state;
		to->why = text(s->list[i].why);
	}
	return 0;
}

static int authors(struct arena *a, Pb__Ruleset *m, const struct ruleset_fact *r)
{
	Pb__Author *list = arena_alloc(a, (r->author_count + 1) * sizeof(*list));
	Pb__Author **refs = arena_alloc(a, (r->author_count + 1) * sizeof(*refs));

	if (r->author_count > AUTHORS_MAX)
		return -EINVAL;
	if (!list || !refs)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->author_count; i++) {
		const struct author *from = &r->authors[i];

		if (!fits(from->program, COMMAND_MAX) || !fits(from->command, COMMAND_MAX) ||
		    !fits(from->user, COMMAND_MAX))
			return -EINVAL;
		pb__author__init(&list[i]);
		list[i].program = text(from->program);
		list[i].command = text(from->command);
		list[i].user = text(from->user);
		list[i].pid = from->pid;
		list[i].uid = from->uid;
		list[i].loginuid = from->loginuid;
		list[i].via = from->via;
		refs[i] = &list[i];
	}
	m->authors = refs;
	m->n_authors = r->author_count;
	return 0;
}

int msg_record_encode(struct arena *a, Pb__Record *out, const struct record *r)
{
	static const struct content_id none;

	switch (r->kind) {
	case RECORD_CONN: {
		Pb__Conn *m = MEMBER(out, PB__RECORD__IS_CONN, conn, Pb__Conn, pb__conn__init);

		if (!m)
			return -ENOMEM;
		m->at = r->conn.at.v;
		m->event = r->conn.event;
		m->id = r->conn.id;
		m->status = r->conn.status;
		m->mark = r->conn.mark;
		m->zone = r->conn.zone;
		m->timeout_s = r->conn.timeout_s;
		if (!tuple_fits(&r->conn.orig) || !tuple_fits(&r->conn.reply))
			return -EINVAL;
		m->orig = tuple(a, &r->conn.orig);
		m->reply = tuple(a, &r->conn.reply);
		return m->orig && m->reply ? 0 : -ENOMEM;
	}
	case RECORD_RULESET: {
		Pb__Ruleset *m = MEMBER(out, PB__RECORD__IS_RULESET, ruleset, Pb__Ruleset,
					pb__ruleset__init);

		if (!m)
			return -ENOMEM;
		m->before = r->ruleset.before.v;
		m->read_at = r->ruleset.read_at.v;
		m->backend = r->ruleset.backend;
		m->family = r->ruleset.family;
		if (!fits(r->ruleset.table, TABLE_NAME_MAX))
			return -EINVAL;
		m->table = text(r->ruleset.table);
		if (memcmp(&r->ruleset.content, &none, sizeof(none)))
			m->content = bytes(r->ruleset.content.b, CONTENT_ID_LEN);
		if (memcmp(&r->ruleset.handles, &none, sizeof(none)))
			m->handles = bytes(r->ruleset.handles.b, CONTENT_ID_LEN);
		m->torn = r->ruleset.torn;
		m->commits = r->ruleset.commits;
		return authors(a, m, &r->ruleset);
	}
	case RECORD_RULESET_CHECKED: {
		Pb__Checked *m = MEMBER(out, PB__RECORD__IS_CHECKED, checked, Pb__Checked,
					pb__checked__init);

		if (!m)
			return -ENOMEM;
		m->at = r->checked.at.v;
		return 0;
	}
	case RECORD_FACTS: {
		Pb__Facts *m = MEMBER(out, PB__RECORD__IS_FACTS, facts, Pb__Facts, pb__facts__init);

		return m ? facts(a, m, &r->facts) : -ENOMEM;
	}
	case RECORD_SOURCES: {
		Pb__Sources *m = MEMBER(out, PB__RECORD__IS_SOURCES, sources, Pb__Sources,
					pb__sources__init);

		return m ? sources(a, m, &r->sources) : -ENOMEM;
	}
	case RECORD_LOSS: {
		Pb__Loss *m = MEMBER(out, PB__RECORD__IS_LOSS, loss, Pb__Loss, pb__loss__init);

		if (!m)
			return -ENOMEM;
		m->from = r->loss.from.v;
		m->until = r->loss.until.v;
		if (!fits(r->loss.source, ID_MAX))
			return -EINVAL;
		m->source = text(r->loss.source);
		m->count_known = r->loss.count_known;
		m->count = r->loss.count;
		return 0;
	}
	case RECORD_LEASE: {
		Pb__Lease *m = MEMBER(out, PB__RECORD__IS_LEASE, lease, Pb__Lease, pb__lease__init);

		if (!m)
			return -ENOMEM;
		m->at = r->lease.at.v;
		m->id = r->lease.id;
		m->state = r->lease.state;
		m->modulus = r->lease.modulus;
		m->traced = r->lease.traced;
		m->refused = r->lease.refused;
		if (!fits(r->lease.why, WHY_MAX) || r->lease.pattern_count > PATTERNS_MAX)
			return -EINVAL;
		m->why = text(r->lease.why);
		return msg_patterns_encode(a, &m->patterns, &m->n_patterns, r->lease.patterns,
					   r->lease.pattern_count);
	}
	case RECORD_COUNTERS: {
		Pb__Counters *m = MEMBER(out, PB__RECORD__IS_COUNTERS, counters, Pb__Counters,
					 pb__counters__init);

		return m ? msg_counters_encode(a, m, &r->counters) : -ENOMEM;
	}
	case RECORD_ENDED: {
		Pb__Ended *m = MEMBER(out, PB__RECORD__IS_ENDED, ended, Pb__Ended, pb__ended__init);

		if (!m)
			return -ENOMEM;
		m->at = r->ended.at.v;
		return 0;
	}
	case RECORD_STATS: {
		Pb__Stats *m = MEMBER(out, PB__RECORD__IS_STATS, stats, Pb__Stats, pb__stats__init);

		if (!m)
			return -ENOMEM;
		m->at = r->stats.at.v;
		m->count = r->stats.count;
		m->max = r->stats.max;
		m->insert_failed = r->stats.insert_failed;
		m->drop = r->stats.drop;
		m->early_drop = r->stats.early_drop;
		m->invalid = r->stats.invalid;
		m->error = r->stats.error;
		m->search_restart = r->stats.search_restart;
		m->clash_resolve = r->stats.clash_resolve;
		m->whole_from = r->stats.whole_from.v;
		return 0;
	}
	default:
		return -EINVAL;
	}
}
