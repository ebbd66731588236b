/*
 * A rule that asks for nothing but a table is four small numbers; what it does not ask for does not travel.
 */
#include "common/msg_rules.h"

#include <errno.h>
#include <string.h>

#include "common/msg_pieces.h"

enum { INVERT = 1, L3MDEV = 2, OTHER = 4, FLAGS = 7 };

static uint32_t ports(const uint16_t p[static 2])
{
	return (uint32_t)p[0] << 16 | p[1];
}

int msg_rules_encode(struct arena *a, Pb__Facts *m, const struct facts *f)
{
	if (f->rule_count > FACTS_RULES_MAX)
		return -EINVAL;
	if (!pointers(a, &m->rules, f->rule_count))
		return -ENOMEM;
	for (uint32_t i = 0; i < f->rule_count; i++) {
		const struct facts_rule *r = &f->rules[i];
		Pb__Rule *to = ADD(a, m->rules, m->n_rules, Pb__Rule, pb__rule__init);

		if (!to)
			return -ENOMEM;
		if ((r->family != 4 && r->family != 6) || r->suppress < -1)
			return -EINVAL;
		to->family = r->family;
		to->priority = r->priority;
		to->action = r->action;
		to->table = r->table;
		to->target = r->target;
		to->from = addr(&r->from.addr);
		to->from_len = r->from.len;
		to->to = addr(&r->to.addr);
		to->to_len = r->to.len;
		to->iif = text(r->iif);
		to->oif = text(r->oif);
		to->mark = r->mark;
		to->mask = r->mask;
		to->tos = r->tos;
		to->proto = r->proto;
		to->sport = ports(r->sport);
		to->dport = ports(r->dport);
		to->suppress = (uint32_t)(r->suppress + 1);
		to->flags = (r->invert ? INVERT : 0) | (r->l3mdev ? L3MDEV : 0) |
			    (r->other ? OTHER : 0);
	}
	return 0;
}

static bool prefix_take(struct prefix *p, uint8_t family, const ProtobufCBinaryData *b,
			uint32_t len)
{
	if (b->len == 0)
		return len == 0;
	if (b->len != (family == 4 ? 4 : 16) || len > b->len * 8)
		return false;
	p->addr.family = family;
	memcpy(p->addr.b, b->data, b->len);
	p->len = (uint8_t)len;
	return true;
}

static bool name_take(char out[static IFNAME_MAX + 1], const ProtobufCBinaryData *b)
{
	if (b->len > IFNAME_MAX || (b->len && memchr(b->data, '\0', b->len)))
		return false;
	if (b->len)
		memcpy(out, b->data, b->len);
	out[b->len] = '\0';
	return true;
}

static bool rule_take(struct facts_rule *r, const Pb__Rule *m)
{
	memset(r, 0, sizeof(*r));
	if ((m->family != 4 && m->family != 6) || m->action > UINT8_MAX || m->tos > UINT8_MAX ||
	    m->proto > UINT8_MAX || m->suppress > INT32_MAX || m->flags > FLAGS)
		return false;
	r->family = (uint8_t)m->family;
	r->action = (uint8_t)m->action;
	r->invert = m->flags & INVERT;
	r->l3mdev = m->flags & L3MDEV;
	r->other = m->flags & OTHER;
	r->tos = (uint8_t)m->tos;
	r->proto = (uint8_t)m->proto;
	r->priority = m->priority;
	r->table = m->table;
	r->target = m->target;
	r->mark = m->mark;
	r->mask = m->mask;
	r->suppress = (int32_t)m->suppress - 1;
	r->sport[0] = (uint16_t)(m->sport >> 16);
	r->sport[1] = (uint16_t)m->sport;
	r->dport[0] = (uint16_t)(m->dport >> 16);
	r->dport[1] = (uint16_t)m->dport;
	return prefix_take(&r->from, r->family, &m->from, m->from_len) &&
	       prefix_take(&r->to, r->family, &m->to, m->to_len) && name_take(r->iif, &m->iif) &&
	       name_take(r->oif, &m->oif);
}

int msg_rules_decode(struct arena *a, struct facts *f, const Pb__Facts *m)
{
	if (m->n_rules > FACTS_RULES_MAX)
		return -EPROTO;
	f->rules = arena_alloc(a, (m->n_rules ? m->n_rules : 1) * sizeof(*f->rules));
	if (!f->rules)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_rules; i++) {
		if (!rule_take(&f->rules[i], m->rules[i]))
			return -EPROTO;
	}
	f->rule_count = (uint32_t)m->n_rules;
	return 0;
}
