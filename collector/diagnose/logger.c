#include "collector/diagnose/logger.h"

#include <errno.h>
#include <string.h>

#include "common/statement.h"

struct search {
	const struct inquiry *q;
	const struct step *step;
	size_t prefix_len;
	struct resolved *out;
	uint32_t found;
	bool changing, unread;
};

/* May a packet that this hook logged have met the table? Bridges and devices have hooks of their own. */
static bool family_may(const struct step *s, const struct hop *h, const struct stored_table *t)
{
	const uint8_t ip = h->sj->j.ip_version == 6 ? FAMILY_IPV6 : FAMILY_IPV4;

	if (t->backend == BACKEND_IPSET)
		return false;
	if (s->family == FAMILY_BRIDGE || s->family == FAMILY_NETDEV)
		return t->family == s->family;
	return t->family == ip || (t->backend == BACKEND_NATIVE && t->family == FAMILY_INET);
}

static bool logs(const struct search *s, const struct table *t, const struct rule_text *text)
{
	struct log_words words;
	struct rule rule;

	if (t->native) {
		return statement_log(&words, text->text, text->len) &&
		       words.group == s->step->number && words.prefix_len == s->prefix_len &&
		       !memcmp(words.prefix, s->step->prefix ?: "", s->prefix_len);
	}
	if (!memmem(text->text, text->len, "NFLOG", 5) ||
	    rule_parse(&rule, text->text, text->len) < 0 || strcmp(rule.target, "NFLOG") != 0)
		return false;
	return rule.log_group == s->step->number && !strcmp(rule.log_prefix, s->step->prefix ?: "");
}

static int search_table(struct search *s, const struct fleet_table *t)
{
	const struct table *p = &t->parsed;

	for (uint32_t c = 0; c < p->chain_count; c++) {
		for (uint32_t n = 1; n <= p->chains[c].rule_count; n++) {
			const struct rule_text *text = chain_rule(&p->chains[c], n);

			if (!logs(s, p, text) || s->found++)
				continue;
			s->out->table = &t->entry;
			s->out->chain = p->chains[c].name;
			s->out->number = n;
			s->out->text = arena_strndup(s->q->arena, text->text, text->len);
			if (!s->out->text)
				return -ENOMEM;
		}
	}
	return 0;
}

int logger_find(struct resolved *out, const struct inquiry *q, const struct hop *h,
		const struct step *step)
{
	struct search s = { .q = q,
			    .step = step,
			    .out = out,
			    .prefix_len = step->prefix ? strlen(step->prefix) : 0 };
	struct fleet *f = q->fleet;
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->table_count; i++) {
		const struct stored_table *t = &f->tables[i].entry;
		struct table_at at;

		if (t->host != h->sj->host || !family_may(step, h, t) || !fleet_heads_history(f, i))
			continue;
		at = fleet_table_at(f, t->host, t->backend, t->family, t->table,
				    hop_step_at(h, step));
		s.changing |= at.state == TABLE_CHANGING || at.state == TABLE_LATE;
		if (at.state != TABLE_SURE && at.state != TABLE_UNCHECKED)
			continue;
		if (at.tables[0]->usable)
			r = search_table(&s, at.tables[0]);
		else
			s.unread = true;
	}
	if (r == 0 && s.found == 1 && !s.changing && !s.unread)
		return 0;
	out->table = NULL;
	out->chain = out->text = NULL;
	out->number = 0;
	out->reason = s.found > 1  ? "one of several rules"
		      : s.changing ? "ruleset-changed"
				   : "no-ruleset";
	return r;
}
