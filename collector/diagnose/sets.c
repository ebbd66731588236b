#include "collector/diagnose/sets.h"

#include <string.h>

/* A time of receipt is later than the event by no more than this, unless the agent was stopped. */
static const int64_t RECEIPT_NS = 100LL * NS_PER_MS;

struct asking {
	const struct set_place *place;
	const char *why;                 /* the first thing that is not known */
	const struct stored_table *last; /* of the set found last */
};

static const char *unknown_at(struct fleet_table *t, enum table_state state)
{
	if (t && t->entry.torn)
		return "it changes by itself";
	switch (state) {
	case TABLE_NONE:
		return "it was never captured";
	case TABLE_UNCHECKED:
		return "it was not read again since";
	case TABLE_CHANGING:
		return "it changed around that time, or its members have not arrived";
	case TABLE_LATE:
		return "it was not captured before";
	case TABLE_SURE:
		break;
	}
	return "it may have changed meanwhile";
}

/* The set's families have histories of their own: two of them, and it was made anew as another one. */
static struct table_at find_at(const struct set_place *p, const char *name, struct wall_ns t)
{
	static const uint8_t families[] = { FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6 };
	struct table_at found = { TABLE_NONE, { NULL, NULL } };

	for (size_t i = 0; i < sizeof(families); i++) {
		struct table_at at = fleet_table_at(p->q->fleet, p->hop->sj->host, BACKEND_IPSET,
						    families[i], name, t);

		if (at.state == TABLE_NONE)
			continue;
		if (found.state != TABLE_NONE)
			return (struct table_at){ TABLE_CHANGING, { NULL, NULL } };
		found = at;
	}
	return found;
}

/* Its members at that moment, if nothing else can have been; else NULL with why. */
static const struct ipset *members_at(struct asking *a, const char *name)
{
	const struct set_place *p = a->place;
	struct wall_ns earliest = { p->kernel_time ? p->at.v : p->at.v - RECEIPT_NS };
	struct table_at now = find_at(p, name, p->at), then = find_at(p, name, earliest);

	if (now.state == TABLE_UNCHECKED)
		need_read(p->q, p->hop->sj->host);
	if (now.state == TABLE_SURE && then.state == TABLE_SURE &&
	    now.tables[0] == then.tables[0] && !now.tables[0]->entry.torn) {
		a->last = &now.tables[0]->entry;
		return now.tables[0]->set;
	}
	if (!a->why)
		a->why = unknown_at(now.tables[0], now.state);
	return NULL;
}

static const struct ipset *find_member(void *arg, const char *name)
{
	return members_at(arg, name);
}

/* Devices that a hook has; in others their absence, not their name, is what the kernel compares. */
static struct set_packet packet_of(const struct set_place *p)
{
	const struct journey *j = &p->hop->sj->j;
	bool in = p->hook == HOOK_PREROUTING || p->hook == HOOK_INPUT || p->hook == HOOK_FORWARD;
	bool out = p->hook == HOOK_FORWARD || p->hook == HOOK_OUTPUT || p->hook == HOOK_POSTROUTING;

	return (struct set_packet){ .tuple = *p->tuple,
				    .in_if = in ? j->in_if : "",
				    .out_if = out ? j->out_if : "" };
}

void set_ask(struct set_word *w, const struct set_place *p, const struct rule_set *use)
{
	struct asking a = { .place = p };
	struct set_members members = { find_member, &a };
	struct set_packet packet = packet_of(p);

	*w = (struct set_word){ .answer = SET_UNKNOWN };
	w->set = members_at(&a, use->name);
	w->table = a.last;
	if (!w->set) {
		w->why = a.why;
		return;
	}
	w->answer = ipset_match(w->set, use, &packet, &members, &w->found);
	if (w->found.list)
		w->member = a.last;
	if (w->answer != SET_UNKNOWN)
		return;
	w->why = w->set->not_captured[0] ? w->set->not_captured
		 : use->vague            ? "the match asks for more than membership"
		 : w->set->odd           ? "it is of a kind that is not understood"
		 : a.why                 ? "that is not known of one of its members"
					 : "what is known of the packet does not tell";
}

enum set_answer sets_ask(const struct set_place *p, const struct rule *r)
{
	enum set_answer all = SET_YES;
	struct set_word w;

	for (uint8_t i = 0; i < r->set_count; i++) {
		if (r->sets[i].target)
			continue;
		set_ask(&w, p, &r->sets[i]);
		if (w.answer == SET_NO)
			return SET_NO;
		if (w.answer == SET_UNKNOWN)
			all = SET_UNKNOWN;
	}
	return all;
}
