/*
 * Three answers for each match: no, yes, open. Only a certain no takes a rule out, so whatever is not understood stays open: other
 * matches, elements that cannot be read, sets that packets fill. A rule is read up to the first thing that it does (set, dnat, log),
 * since words mean something else behind it.
 */
#include "common/nftmatch.h"

#include <stdlib.h>
#include <string.h>

enum answer { NO, YES, OPEN };
enum { FIELDS_MAX = 8, WORD_MAX = 128 };

enum field { SADDR, DADDR, SPORT, DPORT, PROTO, NFPROTO, IN_IF, OUT_IF, UNKNOWN };

/* A piece of the text. */
struct span {
	const char *p;
	size_t len;
};

struct expr {
	enum field fields[FIELDS_MAX];
	size_t count;
	enum answer there; /* does the packet have these fields: NO, then no value can match */
};

static bool is(struct span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.p, word, s.len) == 0;
}

static bool is_one_of(struct span s, const char *const *list)
{
	for (; *list; list++)
		if (is(s, *list))
			return true;
	return false;
}

/* Where what begins at p with a brace or a quote has ended. */
static const char *past(const char *p, const char *end)
{
	int depth = 0;
	bool quoted = false;

	for (; p < end; p++) {
		quoted ^= *p == '"';
		depth += !quoted && *p == '{';
		depth -= !quoted && *p == '}';
		if (!quoted && depth <= 0)
			return p + 1;
	}
	return end;
}

/* The next word, what is in quotes or braces as a whole; len 0 at the end. */
static struct span next(struct span *from)
{
	const char *p = from->p, *end = p + from->len;
	struct span s;

	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n'))
		p++;
	s.p = p;
	if (p < end && (*p == '{' || *p == '"'))
		p = past(p, end);
	else
		while (p < end && *p != ' ' && *p != '\t' && *p != '\n')
			p++;
	s.len = (size_t)(p - s.p);
	*from = (struct span){ p, (size_t)(end - p) };
	return s;
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

static enum answer has_ports(const struct nft_packet *p, struct span proto)
{
	char name[16];
	uint8_t number;

	if (!proto_has_ports(p->tuple->proto))
		return is(proto, "th") ? OPEN : NO; /* th reads any protocol's bytes */
	if (!p->tuple->sport && !p->tuple->dport)   /* a fragment */
		return OPEN;
	if (is(proto, "th"))
		return YES;
	if (proto.len >= sizeof(name))
		return OPEN;
	memcpy(name, proto.p, proto.len);
	name[proto.len] = '\0';
	return !proto_parse(&number, name) ? OPEN : number == p->tuple->proto ? YES : NO;
}

/* The field that begins with word; what is left of the text stands behind it. UNKNOWN: none that is known. */
static enum field field_at(struct span word, struct span *rest, const struct nft_packet *p,
			   enum answer *there)
{
	static const char *const ports[] = { "tcp", "udp", "sctp", "dccp", "udplite", "th", NULL };
	struct span after = *rest, name;
	enum field f = UNKNOWN;

	*there = YES;
	if (is(word, "iifname") || is(word, "iif"))
		return IN_IF;
	if (is(word, "oifname") || is(word, "oif"))
		return OUT_IF;
	name = next(&after);
	if (is(word, "ip") || is(word, "ip6")) {
		f = is(name, "saddr") ? SADDR : is(name, "daddr") ? DADDR : UNKNOWN;
		if (p->ip_version != (word.len == 2 ? 4 : 6))
			*there = NO;
		if (is(word, "ip") && is(name, "protocol"))
			f = PROTO;
	} else if (is(word, "meta")) {
		f = is(name, "l4proto") ? PROTO : is(name, "nfproto") ? NFPROTO : UNKNOWN;
	} else if (is_one_of(word, ports)) {
		f = is(name, "sport") ? SPORT : is(name, "dport") ? DPORT : UNKNOWN;
		*there = has_ports(p, word);
	}
	if (f != UNKNOWN)
		*rest = after;
	return f;
}

/* "ip daddr . meta l4proto . th dport". False: it begins with something else. */
static bool expr_at(struct expr *e, struct span word, struct span *rest, const struct nft_packet *p)
{
	*e = (struct expr){ .there = YES };
	for (;;) {
		enum answer there;
		enum field f = field_at(word, rest, p, &there);
		struct span after;

		if (f == UNKNOWN || e->count == FIELDS_MAX)
			return false;
		e->fields[e->count++] = f;
		if (there != YES && e->there != NO)
			e->there = there;
		after = *rest;
		if (!is(next(&after), "."))
			return true;
		word = next(&after);
		*rest = after;
	}
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static enum answer address_is(const struct addr *a, char *text)
{
	char *until = strchr(text, '-');
	struct addr from, to;
	struct prefix prefix;

	if (!until)
		return !prefix_parse(&prefix, text) ? OPEN : prefix_has(&prefix, a) ? YES : NO;
	*until++ = '\0';
	if (!addr_parse(&from, text) || !addr_parse(&to, until) || from.family != a->family)
		return OPEN;
	return memcmp(a->b, from.b, sizeof(a->b)) >= 0 && memcmp(a->b, to.b, sizeof(a->b)) <= 0
		       ? YES
		       : NO;
}

static enum answer number_is(unsigned long have, const char *text)
{
	char *stop;
	unsigned long from = strtoul(text, &stop, 10), until = from;

	if (stop == text)
		return OPEN;
	if (*stop == '-')
		until = strtoul(stop + 1, &stop, 10);
	return *stop ? OPEN : have >= from && have <= until ? YES : NO;
}

static enum answer interface_is(const char *have, const char *text)
{
	size_t n = strlen(text);

	if (text[0] != '"' || n < 3 || text[n - 1] != '"' || memchr(text, '\\', n) || !have[0])
		return OPEN;
	if (text[n - 2] == '*')
		return strncmp(have, text + 1, n - 3) == 0 ? YES : NO;
	return strlen(have) == n - 2 && memcmp(have, text + 1, n - 2) == 0 ? YES : NO;
}

static enum answer value_is(enum field f, const struct nft_packet *p, struct span value)
{
	char text[WORD_MAX];
	uint8_t proto;

	if (value.len == 0 || value.len >= sizeof(text))
		return OPEN;
	memcpy(text, value.p, value.len);
	text[value.len] = '\0';
	switch (f) {
	case SADDR:
		return address_is(&p->tuple->src, text);
	case DADDR:
		return address_is(&p->tuple->dst, text);
	case SPORT:
		return number_is(p->tuple->sport, text);
	case DPORT:
		return number_is(p->tuple->dport, text);
	case PROTO:
		return !proto_parse(&proto, text) ? OPEN : proto == p->tuple->proto ? YES : NO;
	case NFPROTO:
		return is(value, "ipv4")   ? (p->ip_version == 4 ? YES : NO)
		       : is(value, "ipv6") ? (p->ip_version == 6 ? YES : NO)
					   : OPEN;
	case IN_IF:
		return interface_is(p->in_if, text);
	case OUT_IF:
		return interface_is(p->out_if, text);
	case UNKNOWN:
		break;
	}
	return OPEN;
}

/* Values parted by dots, one for each field. */
static enum answer key_is(const struct expr *e, const struct nft_packet *p, struct span *rest)
{
	enum answer all = YES;

	for (size_t i = 0; i < e->count; i++) {
		struct span word = next(rest);
		enum answer a = is(word, "*") ? OPEN : value_is(e->fields[i], p, word);

		if (i + 1 < e->count && !is(next(rest), "."))
			return OPEN;
		if (a == NO || (a == OPEN && all == YES))
			all = a;
	}
	return all;
}

/* The elements of a set or map, without its braces. An element that matches for certain leaves its verdict, if it has one. */
static enum answer among(const struct expr *e, const struct nft_packet *p, struct span list,
			 struct span *verdict)
{
	enum answer any = NO;
	const char *end = list.p + list.len;

	for (const char *at = list.p; at < end;) {
		const char *stop = at;
		struct span rest, word;
		enum answer a;

		while (stop < end && *stop != ',')
			stop = *stop == '"' || *stop == '{' ? past(stop, end) : stop + 1;
		rest = (struct span){ at, (size_t)(stop - at) };
		at = stop + 1;
		word = rest;
		if (next(&word).len == 0)
			continue;
		a = key_is(e, p, &rest);
		if (a == YES) {
			while ((word = next(&rest)).len && !is(word, ":"))
				;
			while (rest.len && *rest.p == ' ')
				rest = (struct span){ rest.p + 1, rest.len - 1 };
			while (rest.len && strchr(" \t\n", rest.p[rest.len - 1]))
				rest.len--;
			*verdict = rest;
			return YES;
		}
		any = a == NO ? any : OPEN;
	}
	return any;
}

/* What stands in the table's text about a set or map: its lines between the braces. len 0: there is none. */
static struct span named(const struct table *t, struct span name)
{
	static const char *const kinds[] = { "\n\tset ", "\n\tmap " };

	for (size_t k = 0; t->text && k < 2; k++) {
		for (const char *p = t->text; (p = strstr(p, kinds[k]));) {
			const char *end;

			p += strlen(kinds[k]);
			if (strncmp(p, name.p, name.len) != 0 ||
			    strncmp(p + name.len, " {\n", 3) != 0)
				continue;
			p += name.len + 3;
			end = strstr(p, "\n\t}");
			return (struct span){ p, end ? (size_t)(end - p) : 0 };
		}
	}
	return (struct span){ NULL, 0 };
}

static enum answer in_named(const struct expr *e, const struct nft_packet *p, const struct table *t,
			    struct span name, struct span *verdict)
{
	struct span set = named(t, name);
	const char *flags, *elements, *open, *end = set.p + set.len;

	if (set.len == 0)
		return OPEN;
	flags = memmem(set.p, set.len, "\tflags ", 7);
	if (memmem(set.p, set.len, "\ttimeout ", 9))
		return OPEN;
	for (const char *q = flags; q && q < end && *q != '\n'; q++)
		if (strncmp(q, "dynamic", 7) == 0 || strncmp(q, "timeout", 7) == 0)
			return OPEN;
	elements = memmem(set.p, set.len, "\telements = ", 12);
	if (!elements)
		return NO;
	open = elements + 12;
	if (*open != '{')
		return OPEN;
	end = past(open, end);
	return among(e, p, (struct span){ open + 1, (size_t)(end - open) - 2 }, verdict);
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

/* Does the value that follows fit the expression? */
static enum answer value_at(const struct expr *e, const struct nft_packet *p, const struct table *t,
			    struct span *rest, struct span *verdict)
{
	struct span after = *rest, word = next(&after);

	if (word.len > 2 && word.p[0] == '{' && word.p[word.len - 1] == '}') {
		*rest = after;
		return among(e, p, (struct span){ word.p + 1, word.len - 2 }, verdict);
	}
	if (word.len > 1 && word.p[0] == '@') {
		*rest = after;
		return in_named(e, p, t, (struct span){ word.p + 1, word.len - 1 }, verdict);
	}
	return key_is(e, p, rest);
}

/* "tcp flags", "icmp type": such a header must be there. */
static bool lacks_header(const struct nft_packet *p, struct span word, struct span rest)
{
	static const char *const fields[] = {
		"saddr",    "daddr",  "protocol", "nexthdr",  "dscp",    "ecn",      "ttl",
		"hoplimit", "length", "id",       "frag-off", "version", "sport",    "dport",
		"flags",    "option", "sequence", "ackseq",   "window",  "checksum", "type",
		"code",     "mtu",    "gateway",  NULL
	};
	static const char *const protocols[] = { "tcp",     "udp",  "sctp",   "dccp",
						 "udplite", "icmp", "icmpv6", NULL };
	char name[16];
	uint8_t proto;

	if (!is_one_of(next(&rest), fields))
		return false;
	if (is(word, "ip") || is(word, "ip6"))
		return p->ip_version != (word.len == 2 ? 4 : 6);
	if (!is_one_of(word, protocols))
		return false;
	memcpy(name, word.p, word.len);
	name[word.len] = '\0';
	return proto_parse(&proto, name) && proto != p->tuple->proto;
}

/* What a counter says. */
static void skip_counter(struct span *rest)
{
	struct span after = *rest, word;

	while ((word = next(&after)).len &&
	       (is(word, "packets") || is(word, "bytes") || is(word, "name"))) {
		next(&after);
		*rest = after;
	}
}

/* One match, word being its first; false: nothing more can be told of the rule. */
static bool match_one(struct nft_match *m, const struct table *t, struct span word,
		      struct span *rest, const struct nft_packet *p)
{
	struct span after = *rest, op, verdict = { NULL, 0 };
	bool negate, maps;
	enum answer a;
	struct expr e;

	if (!expr_at(&e, word, &after, p)) {
		m->never = lacks_header(p, word, *rest);
		m->certain = false;
		return !m->never;
	}
	*rest = after;
	op = next(&after);
	negate = is(op, "!=");
	maps = is(op, "vmap");
	if (is(op, "set") || is(op, "map") || is(op, "&") || is(op, "|") || is(op, "<") ||
	    is(op, ">") || is(op, "<=") || is(op, ">=")) {
		m->never = e.there == NO;
		m->certain = false;
		return false;
	}
	if (negate || maps || is(op, "=="))
		*rest = after;
	a = value_at(&e, p, t, rest, &verdict);
	if (e.there == OPEN)
		a = OPEN;
	m->never = e.there == NO || a == (negate ? YES : NO);
	m->certain &= a != OPEN;
	if (maps && a == YES && verdict.len) {
		m->verdict = verdict.p;
		m->verdict_len = verdict.len;
	}
	return !m->never && !maps;
}

struct nft_match nft_match(const struct table *t, const struct rule_text *rule,
			   const struct nft_packet *p)
{
	/* Behind these, words are no matches of the packet's own headers. */
	static const char *const stops[] = {
		"set",    "dnat",   "snat",     "redirect", "masquerade", "tproxy", "queue",
		"dup",    "fwd",    "add",      "update",   "delete",     "jhash",  "symhash",
		"numgen", "fib",    "map",      "log",      "comment",    "vxlan",  "geneve",
		"gre",    "gretap", "original", "reply",    "synproxy",   "rt",     "xt",
		"arp",    "socket", "osf",      "ipsec",    NULL
	};
	static const char *const verdicts[] = { "accept", "drop", "reject", "return",
						"jump",   "goto", NULL };
	struct nft_match m = { .certain = true };
	struct span rest = { rule->text, rule->len }, word;

	for (;;) {
		word = next(&rest);
		if (word.len && is_one_of(word, verdicts))
			return m;
		if (word.len == 0 || is_one_of(word, stops))
			break;
		if (is(word, "counter"))
			skip_counter(&rest);
		else if (!match_one(&m, t, word, &rest, p))
			return m;
	}
	m.certain = false;
	return m;
}
