/*
 * Flow text: a pasted line, iptables flags, or the short form. The text is a person's or was pasted from anywhere: every word is
 * bounded and checked.
 */
#include "common/flow_draft.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int split(struct flow_words *w, int argc, const char *const argv[], struct why *why)
{
	size_t n = 0;

	w->count = 0;
	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]);

		if (len + 2 > sizeof(w->text) - n)
			return why_set(why, -EINVAL, "the flow is too long: at most %d characters",
				       FLOW_WORDS_TEXT_MAX - 1);
		memcpy(w->text + n, argv[i], len);
		n += len;
		w->text[n++] = ' ';
	}
	w->text[n] = '\0';
	/* Control characters never reach a message. */
	for (char *p = w->text; *p; p++) {
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	}
	for (char *save = NULL, *p = strtok_r(w->text, " ,", &save); p;
	     p = strtok_r(NULL, " ,", &save)) {
		char *value = !strncmp(p, "--", 2) ? strchr(p, '=') : NULL;

		if (!strcmp(p, "·"))
			break; /* our own screens go on in prose */
		if (w->count + 2 > FLOW_WORDS_MAX)
			return why_set(why, -EINVAL, "the flow has too many words: at most %d",
				       FLOW_WORDS_MAX);
		w->word[w->count++] = p;
		if (value) {
			*value = '\0';
			w->word[w->count++] = value + 1;
		}
	}
	return 0;
}

enum part {
	PART_NONE,
	PART_PROTO,
	PART_SRC,
	PART_DST,
	PART_SPORT,
	PART_DPORT,
	PART_TYPE,
	PART_ID,
	PART_IN,
	PART_OUT,
	PART_MATCH
};

static const struct {
	const char *flag;
	enum part part;
} flags[] = {
	{ "-p", PART_PROTO },
	{ "--protocol", PART_PROTO },
	{ "--proto", PART_PROTO },
	{ "-s", PART_SRC },
	{ "--source", PART_SRC },
	{ "--src", PART_SRC },
	{ "-d", PART_DST },
	{ "--destination", PART_DST },
	{ "--dst", PART_DST },
	{ "--sport", PART_SPORT },
	{ "--source-port", PART_SPORT },
	{ "--dport", PART_DPORT },
	{ "--destination-port", PART_DPORT },
	{ "--icmp-type", PART_TYPE },
	{ "--icmpv6-type", PART_TYPE },
	{ "--icmp-id", PART_ID },
	{ "-i", PART_IN },
	{ "--in-interface", PART_IN },
	{ "-o", PART_OUT },
	{ "--out-interface", PART_OUT },
	{ "-m", PART_MATCH },
	{ "--match", PART_MATCH },
};

static int set_part(struct flow_draft *d, enum part part, const char *word, bool negate)
{
	if (negate && (part == PART_TYPE || part == PART_ID))
		return why_set(d->why, -EINVAL, "'!' does not go with ICMP's type and id");
	switch (part) {
	case PART_PROTO:
		return flow_set_proto(d, word, negate);
	case PART_SRC:
	case PART_DST:
		return flow_set_addr(d, part == PART_SRC, word, negate);
	case PART_SPORT:
	case PART_DPORT:
		return flow_set_port(d, part == PART_SPORT, word, negate);
	case PART_TYPE:
		d->type_word = word;
		return flow_once(d, &d->type, "the ICMP type", word);
	case PART_ID:
		return flow_set_id(d, word);
	case PART_IN:
	case PART_OUT:
		return flow_set_if(d, part == PART_IN, word, negate);
	default:
		return 0; /* -m: the flags behind it say it all */
	}
}

static int plain_word(struct flow_draft *d, const char *word)
{
	uint8_t proto;

	if (!strcmp(word, ">") || !strcmp(word, "->") || !strcmp(word, "→") || !strcmp(word, "to"))
		return 0;
	if (!isdigit((unsigned char)word[0]) && proto_parse(&proto, word))
		return flow_set_proto(d, word, false);
	if (!d->src && !(d->dst || d->dport))
		return flow_set_endpoint(d, true, word);
	if (!d->dst && !d->dport)
		return flow_set_endpoint(d, false, word);
	return flow_wrong(
		d, word,
		"PROTO SRC[:PORT] DST[:PORT], iptables flags such as -p -s -d --dport, or a pasted line");
}

/* 1: the word was -4 or -6. */
static int read_family(struct flow_draft *d, const char *word)
{
	uint8_t family;

	if (!strcmp(word, "-4") || !strcmp(word, "--ipv4"))
		family = 4;
	else if (!strcmp(word, "-6") || !strcmp(word, "--ipv6"))
		family = 6;
	else
		return 0;
	if (d->flow->family && d->flow->family != family)
		return why_set(d->why, -EINVAL, "'%.48s' is of another family than the rest", word);
	d->flow->family = family;
	return 1;
}

static int read_words(struct flow_draft *d, const struct flow_words *w)
{
	bool negate = false;
	int r = 0;

	for (int i = 0; i < w->count && r == 0; i++) {
		const char *word = w->word[i];
		enum part part = PART_NONE;

		if (!strcmp(word, "!") || !strcmp(word, "--not")) {
			negate = true;
			continue;
		}
		r = read_family(d, word);
		if (r != 0) {
			r = r < 0 ? r : 0;
			continue;
		}
		for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]) && !part; k++) {
			/* "dport 443" and "src 10.0.0.1" without dashes are what tcpdump's users type. */
			bool bare = flags[k].flag[1] == '-' && !strcmp(flags[k].flag + 2, word);

			if (!strcmp(flags[k].flag, word) || bare)
				part = flags[k].part;
		}
		if (part) {
			if (i + 1 < w->count && !strcmp(w->word[i + 1], "!") && i + 2 < w->count) {
				negate = true; /* the old "-s ! ADDR" */
				i++;
			}
			if (i + 1 >= w->count)
				return why_set(d->why, -EINVAL, "'%.48s' needs a value", word);
			r = set_part(d, part, w->word[++i], negate);
		} else if (word[0] == '-' && strcmp(word, "->")) {
			return flow_wrong(
				d, word,
				"a flow has -p -s -d --sport --dport --icmp-type --icmp-id -i -o; one of them");
		} else if (negate) {
			return why_set(d->why, -EINVAL,
				       "'!' stands before a flag such as -s, not before '%.48s'",
				       word);
		} else {
			r = plain_word(d, word);
		}
		negate = false;
	}
	return r == 0 && negate ? why_set(d->why, -EINVAL, "'!' stands before a flag such as -s")
				: r;
}

/* What can be said only when every word has been read. */
static int finish(struct flow_draft *d)
{
	struct flow *f = d->flow;

	if (f->proto == IPPROTO_ICMP && f->family == 6)
		f->proto = IPPROTO_ICMPV6;
	if (f->proto == IPPROTO_ICMPV6 && f->family == 4 && !f->proto_negate)
		return why_set(d->why, -EINVAL, "icmpv6 goes with IPv6 addresses only");
	if ((d->sport || d->dport) && f->proto && !f->proto_negate && !proto_has_ports(f->proto))
		return why_set(d->why, -EINVAL,
			       "ports go with tcp, udp, sctp, dccp and udplite only");
	if ((d->type || d->id) && f->proto && !proto_is_icmp(f->proto))
		return why_set(d->why, -EINVAL, "ICMP's type and id go with icmp and icmpv6 only");
	return d->type ? flow_set_type(d, d->type_word) : 0;
}

int flow_parse(struct flow *f, int argc, const char *const argv[], struct why *why)
{
	struct flow_draft d = { .flow = f, .why = why };
	struct flow_words *w = malloc(sizeof(*w));
	int r;

	memset(f, 0, sizeof(*f));
	f->icmp_type = -1;
	f->icmp_id = -1;
	if (!w)
		return why_set(why, -ENOMEM, "out of memory");
	r = split(w, argc, argv, why);
	if (r == 0 && w->count == 0)
		r = why_set(why, -EINVAL,
			    "no flow given: say for example tcp 10.0.1.2 10.0.3.2:443");
	if (r == 0)
		r = flow_paste(&d, w);
	if (r == 0)
		r = read_words(&d, w);
	if (r >= 0)
		r = finish(&d);
	free(w);
	return r;
}
