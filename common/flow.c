/*
 * Flow text. Three readers share one draft: pasted lines (recognised by what only they hold), iptables flags, and
 * the short form. The text is a person's or was pasted from anywhere: every word is bounded and checked.
 */
#include "common/flow.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 256, TEXT_MAX = 8192 };

struct words {
	int count;
	char *word[WORDS_MAX];
	char text[TEXT_MAX];
};

struct draft {
	struct flow *flow;
	struct why *why;
	const char *type_word; /* read when the protocol is known: its names depend on it */
	bool src, dst, sport, dport, proto, type, id, in, out; /* given already */
};

static int split(struct words *w, int argc, const char *const argv[], struct why *why)
{
	size_t n = 0;

	w->count = 0;
	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]);

		if (len + 2 > sizeof(w->text) - n)
			return why_set(why, -EINVAL, "the flow is too long: at most %d characters",
				       TEXT_MAX - 1);
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
		if (w->count + 2 > WORDS_MAX)
			return why_set(why, -EINVAL, "the flow has too many words: at most %d",
				       WORDS_MAX);
		w->word[w->count++] = p;
		if (value) {
			*value = '\0';
			w->word[w->count++] = value + 1;
		}
	}
	return 0;
}

static int wrong(const struct draft *d, const char *word, const char *expected)
{
	return why_set(d->why, -EINVAL, "'%.48s' is wrong: %s expected", word, expected);
}

static int once(const struct draft *d, bool *given, const char *what, const char *word)
{
	if (*given)
		return why_set(d->why, -EINVAL,
			       "'%.48s': %s was given before; ask for one flow at a time", word,
			       what);
	*given = true;
	return 0;
}

static int set_proto(struct draft *d, const char *word, bool negate)
{
	int r = once(d, &d->proto, "the protocol", word);

	if (r < 0)
		return r;
	if (!strcasecmp(word, "all"))
		return 0;
	if (!proto_parse(&d->flow->proto, word))
		return wrong(d, word, "a protocol such as tcp, udp, icmp or a number");
	d->flow->proto_negate = negate;
	return 0;
}

static int set_addr(struct draft *d, bool src, const char *word, bool negate)
{
	struct flow_prefix *p = src ? &d->flow->src : &d->flow->dst;
	int r = once(d, src ? &d->src : &d->dst, src ? "the source" : "the destination", word);

	if (r < 0)
		return r;
	if (!prefix_parse(&p->prefix, word))
		return wrong(d, word,
			     "an address or prefix such as 10.0.1.2, 10.0.0.0/8 or 2001:db8::1");
	if (d->flow->family && d->flow->family != p->prefix.addr.family)
		return why_set(d->why, -EINVAL, "'%.48s' is of another family than the rest", word);
	d->flow->family = p->prefix.addr.family;
	p->negate = negate;
	return 0;
}

static bool port_number(const char *word, size_t len, uint16_t *port)
{
	char text[8], *end;
	unsigned long n;

	if (len == 0 || len >= sizeof(text) || !isdigit((unsigned char)word[0]))
		return false;
	memcpy(text, word, len);
	text[len] = '\0';
	n = strtoul(text, &end, 10);
	*port = (uint16_t)n;
	return !*end && n <= UINT16_MAX;
}

static bool service(const char *word, uint16_t *port)
{
	static const struct {
		const char *name;
		uint16_t port;
	} names[] = { { "ftp", 21 },       { "ssh", 22 },     { "telnet", 23 },
		      { "smtp", 25 },      { "domain", 53 },  { "bootps", 67 },
		      { "bootpc", 68 },    { "tftp", 69 },    { "http", 80 },
		      { "pop3", 110 },     { "ntp", 123 },    { "imap2", 143 },
		      { "snmp", 161 },     { "bgp", 179 },    { "ldap", 389 },
		      { "https", 443 },    { "syslog", 514 }, { "ldaps", 636 },
		      { "imaps", 993 },    { "mysql", 3306 }, { "postgresql", 5432 },
		      { "http-alt", 8080 } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcasecmp(names[i].name, word)) {
			*port = names[i].port;
			return true;
		}
	}
	return false;
}

/* "443", "https", "8000:8100", "8000-8100", ":1023", "1024:" */
static bool port_range(const char *word, struct port_range *p)
{
	size_t n = strcspn(word, ":-");
	const char *rest = word + n + 1;

	if (service(word, &p->from)) {
		p->to = p->from;
		return true;
	}
	if (!word[n]) {
		p->to = port_number(word, n, &p->from) ? p->from : 0;
		return p->to;
	}
	if (n && !port_number(word, n, &p->from))
		return false;
	if (*rest)
		return port_number(rest, strlen(rest), &p->to);
	p->to = UINT16_MAX;
	return n;
}

static int set_port(struct draft *d, bool src, const char *word, bool negate)
{
	struct port_range *p = src ? &d->flow->sport : &d->flow->dport;
	int r = once(d, src ? &d->sport : &d->dport,
		     src ? "the source port" : "the destination port", word);

	if (r < 0)
		return r;
	if (!port_range(word, p))
		return wrong(d, word, "a port such as 443 or https, or a range such as 8000:8100,");
	if (p->from > p->to || p->to == 0)
		return wrong(d, word, "a range from the lower to the higher port");
	p->negate = negate;
	return 0;
}

static int read_type(struct draft *d, const char *word)
{
	static const struct {
		const char *name;
		int16_t four, six;
	} names[] = { { "echo-request", 8, 128 },
		      { "echo-reply", 0, 129 },
		      { "ping", 8, 128 },
		      { "pong", 0, 129 },
		      { "destination-unreachable", 3, 1 },
		      { "time-exceeded", 11, 3 },
		      { "packet-too-big", 3, 2 } };
	bool six = d->flow->proto == IPPROTO_ICMPV6 || d->flow->family == 6;
	char *end;
	long n;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcasecmp(names[i].name, word)) {
			d->flow->icmp_type = six ? names[i].six : names[i].four;
			return 0;
		}
	}
	n = strtol(word, &end, 10);
	if (!isdigit((unsigned char)word[0]) || *end || n > 255)
		return wrong(d, word, "an ICMP type such as echo-request or 8");
	d->flow->icmp_type = (int16_t)n;
	return 0;
}

static int set_id(struct draft *d, const char *word)
{
	uint16_t id;
	int r = once(d, &d->id, "the ICMP id", word);

	if (r < 0)
		return r;
	if (!port_number(word, strlen(word), &id))
		return wrong(d, word, "an ICMP id from 0 to 65535");
	d->flow->icmp_id = id;
	return 0;
}

static int set_if(struct draft *d, bool in, const char *word, bool negate)
{
	char *to = in ? d->flow->in_if : d->flow->out_if;
	int r = once(d, in ? &d->in : &d->out, "the interface", word);

	if (r < 0)
		return r;
	if (strlen(word) > IFNAME_MAX)
		return wrong(d, word, "an interface's name of at most 15 characters");
	memcpy(to, word, strlen(word) + 1);
	if (in)
		d->flow->in_negate = negate;
	else
		d->flow->out_negate = negate;
	return 0;
}

/* "10.0.3.2", "10.0.3.2:443", "[2001:db8::1]:443", "*:443", tcpdump's "10.0.3.2.443" and "2001:db8::1.443". */
static int set_endpoint(struct draft *d, bool src, const char *word)
{
	char addr[ADDR_TEXT_MAX + 8];
	size_t len = strlen(word);
	const char *port = NULL, *dot;
	struct prefix p;
	int r;

	if (prefix_parse(&p, word))
		return set_addr(d, src, word, false);
	if (len >= sizeof(addr))
		return wrong(d, word, "an address with or without port");
	memcpy(addr, word, len + 1);
	if (addr[0] == '[') {
		char *close = strchr(addr, ']');

		if (!close)
			return wrong(d, word, "an address such as [2001:db8::1]:443");
		*close = '\0';
		port = close[1] == ':' ? close + 2 : NULL;
		if (close[1] && !port)
			return wrong(d, word, "an address such as [2001:db8::1]:443");
		memmove(addr, addr + 1, strlen(addr + 1) + 1);
		port = port ? word + (port - addr) : NULL;
	} else if (strrchr(addr, ':') && strchr(addr, ':') == strrchr(addr, ':')) {
		char *colon = strchr(addr, ':');

		*colon = '\0';
		port = word + (colon - addr) + 1;
	} else if ((dot = strrchr(addr, '.'))) {
		addr[dot - addr] = '\0';
		port = word + (dot - addr) + 1;
	}
	if (!port || strchr(port, ':'))
		return wrong(d, word,
			     "an address such as 10.0.1.2, 10.0.3.2:443 or [2001:db8::1]:443");
	if (strcmp(addr, "*") && addr[0]) {
		if (!prefix_parse(&p, addr))
			return wrong(
				d, word,
				"an address such as 10.0.1.2, 10.0.3.2:443 or [2001:db8::1]:443");
		r = set_addr(d, src, addr, false);
		if (r < 0)
			return r;
	}
	return set_port(d, src, port, false);
}

/* --- pasted lines ------------------------------------------------------------------------------------------ */

static const char *value_of(const struct words *w, const char *key)
{
	size_t n = strlen(key);

	for (int i = 0; i < w->count; i++) {
		if (!strncmp(w->word[i], key, n))
			return w->word[i] + n;
	}
	return NULL;
}

/* conntrack's protocol is the last that stands before the tuple: "ipv6 10 tcp 6 117 SYN_SENT src=". */
static const char *conntrack_proto(const struct words *w)
{
	const char *proto = NULL;
	uint8_t known;

	for (int i = 0; i < w->count && strncmp(w->word[i], "src=", 4); i++) {
		if (!isdigit((unsigned char)w->word[i][0]) && proto_parse(&known, w->word[i]))
			proto = w->word[i];
		else if (!strcmp(w->word[i], "unknown") && i + 1 < w->count)
			proto = w->word[i + 1];
	}
	return proto;
}

/* A query's id in a kernel log; the ID= before PROTO= is the IP header's, the one of an error is embedded. */
static const char *log_icmp_id(const struct words *w)
{
	static const char *const queries[] = { "TYPE=8", "TYPE=0", "TYPE=128", "TYPE=129" };
	int i = 0;

	while (i < w->count && strncmp(w->word[i], "PROTO=", 6))
		i++;
	for (size_t k = 0; i + 3 < w->count && k < sizeof(queries) / sizeof(queries[0]); k++) {
		if (!strcmp(w->word[i + 1], queries[k]) && !strncmp(w->word[i + 3], "ID=", 3))
			return w->word[i + 3] + 3;
	}
	return NULL;
}

/* 1: it was such a line. The first tuple counts; log says which of the two notations. */
static int paste_keys(struct draft *d, const struct words *w, bool log)
{
	const char *src = value_of(w, log ? "SRC=" : "src=");
	const char *dst = value_of(w, log ? "DST=" : "dst=");
	const char *sport = value_of(w, log ? "SPT=" : "sport=");
	const char *dport = value_of(w, log ? "DPT=" : "dport=");
	const char *proto, *id;
	int r;

	if (!src || !dst)
		return 0;
	proto = log ? value_of(w, "PROTO=") : conntrack_proto(w);
	id = log ? log_icmp_id(w) : value_of(w, "id=");
	r = set_addr(d, true, src, false);
	if (r == 0)
		r = set_addr(d, false, dst, false);
	if (r == 0 && proto)
		r = set_proto(d, proto, false);
	if (proto_is_icmp(d->flow->proto))
		sport = dport = NULL; /* what an ICMP error embeds */
	if (r == 0 && sport)
		r = set_port(d, true, sport, false);
	if (r == 0 && dport)
		r = set_port(d, false, dport, false);
	if (r == 0 && id && proto_is_icmp(d->flow->proto))
		r = set_id(d, id);
	return r < 0 ? r : 1;
}

static bool is_endpoint(const char *word)
{
	struct flow flow = { 0 };
	struct draft d = { .flow = &flow };

	return set_endpoint(&d, true, word) == 0;
}

/* tcpdump's destination ends with a colon; true: it did, and is an endpoint without it. */
static bool cut_colon(char *word)
{
	size_t n = strlen(word);

	if (n < 2 || word[n - 1] != ':' || is_endpoint(word))
		return false;
	word[n - 1] = '\0';
	if (is_endpoint(word))
		return true;
	word[n - 1] = ':';
	return false;
}

static int tcpdump_proto(struct draft *d, const struct words *w, int i)
{
	static const struct {
		const char *word, *proto;
	} says[] = {
		{ "Flags", "tcp" }, { "UDP", "udp" }, { "ICMP", "icmp" }, { "ICMP6", "icmpv6" }
	};
	uint8_t known;

	if (i < w->count && !isdigit((unsigned char)w->word[i][0]) &&
	    proto_parse(&known, w->word[i]) && strcmp(w->word[i], "ICMP"))
		return set_proto(d, w->word[i], false);
	for (; i < w->count; i++) {
		for (size_t k = 0; k < sizeof(says) / sizeof(says[0]); k++) {
			if (!strcmp(w->word[i], says[k].word))
				return set_proto(d, says[k].proto, false);
		}
	}
	/* What it decodes further (DNS, NTP ...) it prints without the protocol, but never TCP without flags. */
	return d->sport || d->dport ? set_proto(d, "udp", false) : 0;
}

/* "06:52:07.113 IP 10.1.0.2.51240 > 10.1.0.1.443: Flags [S], ..."; with -e, MACs and a '>' come before. */
static int paste_tcpdump(struct draft *d, struct words *w)
{
	int arrow = 0, first = 0, r;
	bool ip = false, colon = false;

	for (int i = 1; i + 1 < w->count && !arrow; i++) {
		ip |= !strcmp(w->word[i - 1], "IP") || !strcmp(w->word[i - 1], "IP6");
		if (strcmp(w->word[i], ">"))
			continue;
		first = first ? first : i;
		if (!is_endpoint(w->word[i - 1]))
			continue;
		colon = cut_colon(w->word[i + 1]);
		if (colon || is_endpoint(w->word[i + 1]))
			arrow = i;
	}
	if (!arrow)
		arrow = ip ? first : 0;
	if (!arrow || !(ip || colon))
		return 0;
	r = set_endpoint(d, true, w->word[arrow - 1]);
	if (r == 0)
		r = set_endpoint(d, false, w->word[arrow + 1]);
	if (r == 0)
		r = tcpdump_proto(d, w, arrow + 2);
	for (int i = arrow + 2; r == 0 && i + 1 < w->count && !d->id; i++) {
		if (!strcmp(w->word[i], "id") && proto_is_icmp(d->flow->proto))
			r = set_id(d, w->word[i + 1]);
	}
	return r < 0 ? r : 1;
}

/* --- flags and the short form ------------------------------------------------------------------------------ */

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

static int set_part(struct draft *d, enum part part, const char *word, bool negate)
{
	if (negate && (part == PART_TYPE || part == PART_ID))
		return why_set(d->why, -EINVAL, "'!' does not go with ICMP's type and id");
	switch (part) {
	case PART_PROTO:
		return set_proto(d, word, negate);
	case PART_SRC:
	case PART_DST:
		return set_addr(d, part == PART_SRC, word, negate);
	case PART_SPORT:
	case PART_DPORT:
		return set_port(d, part == PART_SPORT, word, negate);
	case PART_TYPE:
		d->type_word = word;
		return once(d, &d->type, "the ICMP type", word);
	case PART_ID:
		return set_id(d, word);
	case PART_IN:
	case PART_OUT:
		return set_if(d, part == PART_IN, word, negate);
	default:
		return 0; /* -m: the flags behind it say it all */
	}
}

static int plain_word(struct draft *d, const char *word)
{
	uint8_t proto;

	if (!strcmp(word, ">") || !strcmp(word, "->") || !strcmp(word, "→") || !strcmp(word, "to"))
		return 0;
	if (!isdigit((unsigned char)word[0]) && proto_parse(&proto, word))
		return set_proto(d, word, false);
	if (!d->src && !(d->dst || d->dport))
		return set_endpoint(d, true, word);
	if (!d->dst && !d->dport)
		return set_endpoint(d, false, word);
	return wrong(
		d, word,
		"PROTO SRC[:PORT] DST[:PORT], iptables flags such as -p -s -d --dport, or a pasted line");
}

/* 1: the word was -4 or -6. */
static int read_family(struct draft *d, const char *word)
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

static int read_words(struct draft *d, const struct words *w)
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
			return wrong(
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
static int finish(struct draft *d)
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
	return d->type ? read_type(d, d->type_word) : 0;
}

int flow_parse(struct flow *f, int argc, const char *const argv[], struct why *why)
{
	struct draft d = { .flow = f, .why = why };
	struct words *w = malloc(sizeof(*w));
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
		r = paste_keys(&d, w, true);
	if (r == 0)
		r = paste_keys(&d, w, false);
	if (r == 0)
		r = paste_tcpdump(&d, w);
	if (r == 0)
		r = read_words(&d, w);
	if (r >= 0)
		r = finish(&d);
	free(w);
	return r;
}

/* --- using it ------------------------------------------------------------------------------------------------ */

static void add(char *text, const char *flag, bool negate, const char *value)
{
	size_t n = strlen(text);

	snprintf(text + n, FLOW_TEXT_MAX - n, "%s%s%s %s", n ? " " : "", negate ? "! " : "", flag,
		 value);
}

static void add_port(char *text, const char *flag, const struct port_range *r)
{
	char value[16];

	if (!r->from && !r->to)
		return;
	snprintf(value, sizeof(value), r->from == r->to ? "%u" : "%u:%u", r->from, r->to);
	add(text, flag, r->negate, value);
}

static void add_prefix(char *text, const char *flag, const struct flow_prefix *p)
{
	char value[ADDR_TEXT_MAX + 4];

	if (!p->prefix.addr.family)
		return;
	prefix_print(&p->prefix, value);
	add(text, flag, p->negate, value);
}

void flow_print(const struct flow *f, char text[static FLOW_TEXT_MAX])
{
	char number[16];

	text[0] = '\0';
	if (f->family && !f->src.prefix.addr.family && !f->dst.prefix.addr.family)
		snprintf(text, FLOW_TEXT_MAX, "-%u", f->family);
	if (f->proto)
		add(text, "-p", f->proto_negate, proto_name(f->proto, number));
	add_prefix(text, "-s", &f->src);
	add_prefix(text, "-d", &f->dst);
	add_port(text, "--sport", &f->sport);
	add_port(text, "--dport", &f->dport);
	if (f->icmp_type >= 0) {
		snprintf(number, sizeof(number), "%d", f->icmp_type);
		add(text, "--icmp-type", false, number);
	}
	if (f->icmp_id >= 0) {
		snprintf(number, sizeof(number), "%d", f->icmp_id);
		add(text, "--icmp-id", false, number);
	}
	if (f->in_if[0])
		add(text, "-i", f->in_negate, f->in_if);
	if (f->out_if[0])
		add(text, "-o", f->out_negate, f->out_if);
}

static bool prefix_matches(const struct flow_prefix *p, const struct addr *a)
{
	return !p->prefix.len || prefix_has(&p->prefix, a) != p->negate;
}

static bool port_matches(const struct port_range *r, uint16_t port)
{
	return (!r->from && !r->to) || (port >= r->from && port <= r->to) != r->negate;
}

bool flow_has(const struct flow *f, const struct tuple *t)
{
	bool ports = f->sport.to || f->dport.to;

	if (f->family && f->family != t->src.family)
		return false;
	if (f->proto && (f->proto == t->proto) == f->proto_negate)
		return false;
	if (!prefix_matches(&f->src, &t->src) || !prefix_matches(&f->dst, &t->dst))
		return false;
	if (ports && (!proto_has_ports(t->proto) || !port_matches(&f->sport, t->sport) ||
		      !port_matches(&f->dport, t->dport)))
		return false;
	if ((f->icmp_id >= 0 || f->icmp_type >= 0) && !proto_is_icmp(t->proto))
		return false;
	/* A tuple knows the request's type in both directions: 8 stands for 8 and 0. */
	if (f->icmp_type > 0 && f->icmp_type != 129 && t->dport && f->icmp_type != t->dport &&
	    f->icmp_type != 14 && f->icmp_type != 16 && f->icmp_type != 18)
		return false;
	return f->icmp_id < 0 || f->icmp_id == t->sport;
}

int flow_patterns(const struct flow *f, struct pattern out[static FLOW_PATTERNS_MAX], size_t *count,
		  struct why *why)
{
	static const uint8_t families[] = { 4, 6 }, protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct pattern p = { .proto = f->proto };

	*count = 0;
	if (f->proto_negate || f->src.negate || f->dst.negate || f->sport.negate || f->dport.negate)
		return why_set(
			why, -EINVAL,
			"a lease cannot trace by what a flow is not: leave '!' out and filter the answer instead");
	if (f->src.prefix.len)
		p.src = f->src.prefix;
	if (f->dst.prefix.len)
		p.dst = f->dst.prefix;
	/* A range cannot be a set's key: the lease takes every port, the answer is filtered. */
	if (f->sport.from == f->sport.to)
		p.sport = f->sport.from;
	if (f->dport.from == f->dport.to)
		p.dport = f->dport.from;
	if (f->icmp_id > 0)
		p.icmp_id = (uint16_t)f->icmp_id;
	for (size_t i = 0; i < 2; i++) {
		uint8_t family = f->family                    ? f->family
				 : f->proto == IPPROTO_ICMP   ? 4
				 : f->proto == IPPROTO_ICMPV6 ? 6
							      : 0;

		if (family && family != families[i])
			continue;
		p.family = families[i];
		for (size_t k = 0; k < 2; k++) {
			bool any = (p.sport || p.dport) && !f->proto;

			if (any)
				p.proto = protos[k];
			if (any || k == 0)
				out[(*count)++] = p;
		}
	}
	if (!pattern_valid(&out[0]))
		return why_set(why, -EINVAL,
			       "a lease needs at least one address or port: add -s, -d or --dport");
	return 0;
}

struct flow flow_of_tuple(const struct tuple *t)
{
	uint8_t bits = t->src.family == 4 ? 32 : 128;
	struct flow f = { .family = t->src.family,
			  .proto = t->proto,
			  .icmp_type = -1,
			  .icmp_id = -1,
			  .src.prefix = { t->src, bits },
			  .dst.prefix = { t->dst, bits } };

	if (proto_has_ports(t->proto)) {
		f.sport = (struct port_range){ t->sport, t->sport, false };
		f.dport = (struct port_range){ t->dport, t->dport, false };
	} else if (proto_is_icmp(t->proto) && t->dport) {
		f.icmp_id = t->sport;
	}
	return f;
}
