/*
 * Words are looked at outside quotes only: a comment may say anything.
 */
#include "common/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = CHAIN_NAME_MAX + 1 };

/*
 * The next word from *at on; false at the end. Quoted text is a word of its own, which begins with the quote and does not
 * end with it; of a set in braces nothing is told but that there is one.
 */
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
		const char *from = *at;

		do {
			if (**at == '"')
				quoted = !quoted;
			else if (!quoted && **at == '{')
				depth++;
			else if (!quoted && **at == '}')
				depth--;
			(*at)++;
		} while (*at < end && (quoted || depth > 0));
		if (*from == '"')
			n = (size_t)(*at - from) - ((*at)[-1] == '"' && *at - from > 1);
		n = n < WORD_MAX ? n : WORD_MAX - 1;
		memcpy(word, from, n);
		word[n] = '\0';
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

/* "with icmp port-unreachable", "with tcp reset": as iptables says it. Without words it is a port that cannot be reached. */
static void reject_with(struct rule *r, const char *at, const char *end)
{
	char word[WORD_MAX], kind[WORD_MAX];

	snprintf(r->reject_with, sizeof(r->reject_with), "icmpx-port-unreachable");
	if (!next_word(&at, end, word) || strcmp(word, "with") != 0 || !next_word(&at, end, kind))
		return;
	if (!next_word(&at, end, word))
		return;
	if (strcmp(word, "type") == 0 && !next_word(&at, end, word))
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
	r->other = r->unread = true;
	*jump = false;
	while (next_word(&at, end, word)) {
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
			if (strcmp(word, ends[i].word) != 0)
				continue;
			set_target(r, ends[i].target);
			*jump = false;
			if (strcmp(word, "reject") == 0)
				reject_with(r, at, end);
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

/* "80", "80-90"; anything else is left open. */
static void one_range(uint16_t (*list)[2], uint8_t *count, const char *word)
{
	unsigned int from, until;
	char more;
	int n = sscanf(word, "%5u-%5u%c", &from, &until, &more);

	if (n < 1 || n > 2 || strspn(word, "0123456789-") != strlen(word))
		return;
	if (n == 1)
		until = from;
	if (*count > 0 || from > UINT16_MAX || until > UINT16_MAX || until < from)
		return;
	list[0][0] = (uint16_t)from;
	list[0][1] = (uint16_t)until;
	*count = 1;
}

/* "\"wan*", as next_word() gives it, in the words of iptables. */
static void interface(char out[static IFNAME_MAX + 2], const char *word)
{
	size_t n = strlen(word);

	if (word[0] != '"' || n < 2 || n - 1 > IFNAME_MAX || memchr(word, '\\', n))
		return;
	memcpy(out, word + 1, n);
	if (out[n - 2] == '*')
		out[n - 2] = '+';
}

/* What follows "dnat", "snat", "redirect" or "masquerade". */
static void translates_to(struct rule *r, const char *at, const char *end)
{
	char word[WORD_MAX];

	if (!next_word(&at, end, word))
		return;
	if ((!strcmp(word, "ip") || !strcmp(word, "ip6")) && !next_word(&at, end, word))
		return;
	if (strcmp(word, "to") == 0 && next_word(&at, end, word) &&
	    strspn(word, "0123456789abcdefABCDEF.:[]-") == strlen(word))
		rule_translation(r, word);
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

/* What a match on `field` of `header` must find. */
static void must_be(struct rule *r, const char *header, const char *field, const char *word)
{
	bool ip = !strcmp(header, "ip") || !strcmp(header, "ip6");
	bool ports = !strcmp(field, "dport") || !strcmp(field, "sport");
	/* Extension headers: what the packet is in the end they do not say. */
	static const char *const before_transport[] = { "hopopt",    "ipv6-route",      "ipv6-frag",
							"ipv6-opts", "mobility-header", "ah",
							NULL };

	if (ip && !strcmp(field, "saddr"))
		(void)prefix_parse(&r->src.prefix, word);
	else if (ip && !strcmp(field, "daddr"))
		(void)prefix_parse(&r->dst.prefix, word);
	else if (!strcmp(field, "l4proto") ||
		 (ip && (!strcmp(field, "protocol") || !strcmp(field, "nexthdr")) &&
		  !is_one_of(word, before_transport)))
		(void)proto_parse(&r->proto, word);
	else if (!strcmp(field, "iifname") || !strcmp(field, "iif"))
		interface(r->in_if, word);
	else if (!strcmp(field, "oifname") || !strcmp(field, "oif"))
		interface(r->out_if, word);
	if (!ports)
		return;
	if (strcmp(header, "th") != 0)
		(void)proto_parse(&r->proto, header);
	if (field[0] == 'd')
		one_range((uint16_t(*)[2])r->dports, &r->dport_count, word);
	else
		one_range((uint16_t(*)[2])r->sports, &r->sport_count, word);
}

void statement_translation(struct rule *r, bool *jump, const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	char header[WORD_MAX] = "", field[WORD_MAX] = "", word[WORD_MAX];
	bool connection = false; /* of "ct original ip saddr" */
	bool inner = false;

	statement_parse(r, jump, text, len);
	while (next_word(&at, end, word)) {
		if (!strcmp(word, "dnat") || !strcmp(word, "snat") || !strcmp(word, "redirect") ||
		    !strcmp(word, "masquerade")) {
			translates_to(r, at, end);
			return;
		}
		if (!strcmp(word, "comment"))
			return;
		if (!inner && !connection)
			must_be(r, header, field, word);
		/* What a tunnel carries has addresses of its own. */
		inner |= !strcmp(word, "vxlan") || !strcmp(word, "geneve") ||
			 !strcmp(word, "gre") || !strcmp(word, "gretap");
		/* It lasts until its value has been passed. */
		if (!strcmp(field, "ct"))
			connection = !strcmp(word, "original") || !strcmp(word, "reply");
		else if (!strcmp(field, "saddr") || !strcmp(field, "daddr"))
			connection = false;
		snprintf(header, sizeof(header), "%s", field);
		snprintf(field, sizeof(field), "%s", word);
	}
}

/* The next word, also of what stands in braces. Quoted text is the word of one quote. */
static bool next_inner_word(const char **at, const char *end, char word[static WORD_MAX])
{
	static const char between[] = " \t\n,{}:";
	size_t n = 0;

	while (*at < end && memchr(between, **at, sizeof(between) - 1))
		(*at)++;
	if (*at == end)
		return false;
	if (**at == '"') {
		const char *close = memchr(*at + 1, '"', (size_t)(end - *at - 1));

		*at = close ? close + 1 : end;
		memcpy(word, "\"", 2);
		return true;
	}
	for (; *at < end && !memchr(between, **at, sizeof(between) - 1); (*at)++)
		if (n + 1 < WORD_MAX)
			word[n++] = **at;
	word[n] = '\0';
	return true;
}

struct statement_ends statement_ends(const char *text, size_t len)
{
	static const char *const drops[] = { "drop", "reject", NULL };
	static const char *const ends[] = { "accept", "drop", "reject", "return", "goto", NULL };
	static const char *const unclear[] = { "queue", "synproxy", "xt", NULL };
	struct statement_ends e = { 0 };
	const char *at = text, *end = text + len;
	char word[WORD_MAX], last[WORD_MAX] = "";
	bool bare = true; /* nothing but a counter yet */

	while (next_inner_word(&at, end, word)) {
		bool target = !strcmp(last, "jump") || !strcmp(last, "goto");

		e.counted |= !strcmp(last, "counter") && strcmp(word, "name") != 0;
		e.unclear |= !strcmp(last, "vmap") && word[0] == '@';
		if (!target) {
			e.drops |= is_one_of(word, drops);
			e.unclear |= is_one_of(word, unclear);
			e.always |= bare && is_one_of(word, ends);
		}
		bare &= !strcmp(word, "counter") || !strcmp(word, "packets") ||
			!strcmp(word, "bytes") || strspn(word, "0123456789") == strlen(word);
		if (!strcmp(word, "comment"))
			break;
		memcpy(last, word, sizeof(last));
	}
	e.counted |= !strcmp(last, "counter");
	return e;
}

bool statement_jump(const char **at, const char *end, char chain[static CHAIN_NAME_MAX + 1])
{
	char word[WORD_MAX], name[WORD_MAX];

	while (next_inner_word(at, end, word)) {
		if (!strcmp(word, "comment"))
			return false;
		if ((strcmp(word, "jump") != 0 && strcmp(word, "goto") != 0) ||
		    !next_inner_word(at, end, name))
			continue;
		snprintf(chain, CHAIN_NAME_MAX + 1, "%.*s", CHAIN_NAME_MAX, name);
		return true;
	}
	return false;
}

bool statement_log(struct log_words *out, const char *text, size_t len)
{
	const char *at = text, *end = text + len, *quote;
	char word[WORD_MAX], *stop;
	bool in_log = false, grouped = false;

	*out = (struct log_words){ .prefix = "" };
	while (next_word(&at, end, word)) {
		if (!strcmp(word, "comment"))
			break;
		if (!strcmp(word, "log")) {
			in_log = true;
		} else if (in_log && !strcmp(word, "prefix") &&
			   (quote = memchr(at, '"', (size_t)(end - at)))) {
			const char *close = memchr(quote + 1, '"', (size_t)(end - quote - 1));

			if (!close)
				return false;
			out->prefix = quote + 1;
			out->prefix_len = (size_t)(close - quote - 1);
			at = close + 1;
		} else if (in_log && !grouped && !strcmp(word, "group") &&
			   next_word(&at, end, word)) {
			out->group = (uint16_t)strtoul(word, &stop, 10);
			grouped = *stop == '\0';
		}
	}
	return grouped;
}
