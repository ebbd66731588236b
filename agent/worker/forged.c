#include "agent/worker/forged.h"

#include <stdio.h>
#include <string.h>

static const char lead[] = "TRACE: ";

enum { LEAD_LEN = sizeof(lead) - 1, PREFIX_LEN_MAX = 128 };

static bool same(const struct trace_prefix *a, const struct trace_prefix *b)
{
	return a->label == b->label && a->number == b->number && strcmp(a->table, b->table) == 0 &&
	       strcmp(a->chain, b->chain) == 0;
}

static bool holds(const struct forged_list *l, const struct trace_prefix *t)
{
	if (l->many)
		return true;
	for (uint32_t i = 0; i < l->count; i++) {
		if (same(&l->list[i], t))
			return true;
	}
	return false;
}

static void note(struct forged_list *l, const struct trace_prefix *t)
{
	if (holds(l, t))
		return;
	if (l->count == FORGED_MAX)
		l->many = true;
	else
		l->list[l->count++] = *t;
}

/* Where the prefix ends depends on how the text is quoted: every end that makes a trace counts. */
static void note_all(struct forged_list *l, const char *text, size_t len)
{
	struct trace_prefix t;

	for (size_t end = LEAD_LEN + 1; end <= len; end++) {
		if (text[end - 1] == ' ' && trace_prefix_parse(&t, text, end))
			note(l, &t);
	}
}

void forged_begin(struct forged *f)
{
	f->before = f->now;
	f->now = (struct forged_list){ 0 };
}

void forged_add(struct forged *f, const char *text, size_t len)
{
	const char *end = text + len, *p = text;
	char plain[PREFIX_LEN_MAX];
	size_t n, rest;

	while (!f->now.many && (p = memmem(p, (size_t)(end - p), lead, LEAD_LEN))) {
		rest = (size_t)(end - p) < sizeof(plain) ? (size_t)(end - p) : sizeof(plain);
		note_all(&f->now, p, rest);
		/* iptables-save puts a backslash before quotes and backslashes, nft does not. */
		n = 0;
		for (const char *c = p; c < end && n < sizeof(plain) && *c != '\n'; c++) {
			if (*c == '\\' && c + 1 < end)
				c++;
			plain[n++] = *c;
		}
		note_all(&f->now, plain, n);
		p += LEAD_LEN;
	}
}

static const char *word_of(uint8_t label)
{
	return label == LABEL_RULE ? "rule" : label == LABEL_RETURN ? "return" : "policy";
}

bool forged_like(const struct forged *f, const struct step *s)
{
	struct trace_prefix t = { .label = s->label, .number = s->number };

	if (f->now.count + f->before.count == 0 || s->backend != BACKEND_LEGACY ||
	    (s->label != LABEL_RULE && s->label != LABEL_RETURN && s->label != LABEL_POLICY) ||
	    !s->table || !s->chain)
		return false;
	snprintf(t.table, sizeof(t.table), "%s", s->table);
	snprintf(t.chain, sizeof(t.chain), "%s", s->chain);
	return holds(&f->now, &t) || holds(&f->before, &t);
}

void forged_to_log(struct trace_event *e, char text[static FORGED_TEXT_MAX])
{
	struct step *s = &e->step;

	snprintf(text, FORGED_TEXT_MAX, "%s%s:%s:%s:%u ", lead, s->table, s->chain,
		 word_of(s->label), s->number);
	s->label = LABEL_LOG;
	s->prefix = text;
	s->table = s->chain = "";
	s->number = 0;
	e->priority = 0;
	e->priority_known = false;
}
