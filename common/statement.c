/*
 * Words are looked at outside quotes only: a comment may say anything.
 */
#include "common/statement.h"

#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 128 };

/* The next word from *at on; false at the end. Quoted text and sets in braces are words of their own, and skipped. */
static bool next_word(const char **at, const char *end, char word[static WORD_MAX])
{
	size_t n = 0;
	int depth = 0;

	while (*at < end && (**at == ' ' || **at == '\t' || **at == ','))
		(*at)++;
	if (*at == end)
		return false;
	if (**at == '"' || **at == '{') {
		bool quoted = false;

		do {
			if (**at == '"')
				quoted = !quoted;
			else if (!quoted && **at == '{')
				depth++;
			else if (!quoted && **at == '}')
				depth--;
			(*at)++;
		} while (*at < end && (quoted || depth > 0));
		word[0] = '\0';
		return true;
	}
	for (; *at < end && **at != ' ' && **at != '\t' && **at != ',' && **at != '"'; (*at)++)
		if (n + 1 < WORD_MAX)
			word[n++] = **at;
	word[n] = '\0';
	return true;
}

static void set_target(struct rule *r, const char *target)
{
	snprintf(r->target, sizeof(r->target), "%.*s", CHAIN_NAME_MAX, target);
}

/* "with icmp port-unreachable", "with tcp reset": as iptables says it. */
static void reject_with(struct rule *r, const char **at, const char *end)
{
	char word[WORD_MAX], kind[WORD_MAX];

	if (!next_word(at, end, word) || strcmp(word, "with") != 0 || !next_word(at, end, kind))
		return;
	if (!next_word(at, end, word))
		return;
	if (strcmp(word, "type") == 0 && !next_word(at, end, word))
		return;
	if (strcmp(kind, "tcp") == 0)
		snprintf(r->reject_with, sizeof(r->reject_with), "tcp-%.20s", word);
	else
		snprintf(r->reject_with, sizeof(r->reject_with), "%.6s-%.22s",
			 strcmp(kind, "icmpv6") == 0 ? "icmp6" : kind, word);
}

void statement_parse(struct rule *r, bool *jump, const char *text, size_t len)
{
	static const struct {
		const char *word, *target;
	} ends[] = {
		{ "accept", "ACCEPT" },         { "drop", "DROP" },         { "return", "RETURN" },
		{ "reject", "REJECT" },         { "dnat", "DNAT" },         { "snat", "SNAT" },
		{ "masquerade", "MASQUERADE" }, { "redirect", "REDIRECT" }, { "queue", "QUEUE" },
	};
	const char *at = text, *end = text + len, *comment;
	char word[WORD_MAX];

	memset(r, 0, sizeof(*r));
	r->other = true;
	*jump = false;
	while (next_word(&at, end, word)) {
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
			if (strcmp(word, ends[i].word) != 0)
				continue;
			set_target(r, ends[i].target);
			*jump = false;
			if (strcmp(word, "reject") == 0)
				reject_with(r, &at, end);
		}
		if (strcmp(word, "jump") == 0 || strcmp(word, "goto") == 0) {
			r->is_goto = word[0] == 'g';
			*jump = next_word(&at, end, word);
			set_target(r, *jump ? word : "");
		} else if (strcmp(word, "comment") == 0 &&
			   (comment = memchr(at, '"', (size_t)(end - at)))) {
			const char *last = memrchr(comment + 1, '"', (size_t)(end - comment - 1));

			if (last && last > comment)
				snprintf(r->comment, sizeof(r->comment), "%.*s",
					 (int)(last - comment - 1 < 256 ? last - comment - 1 : 256),
					 comment + 1);
			return;
		}
	}
}

bool statements_drop(const char *text, size_t len)
{
	static const char *const words[] = { "drop",     "reject", "queue",
					     "synproxy", "tproxy", "limit" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memmem(text, len, words[i], strlen(words[i])))
			return true;
	return false;
}
