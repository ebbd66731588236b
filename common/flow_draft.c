#include "common/flow_draft.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int flow_wrong(const struct flow_draft *d, const char *word, const char *expected)
{
	return why_set(d->why, -EINVAL, "'%.48s' is wrong: %s expected", word, expected);
}

int flow_once(const struct flow_draft *d, bool *given, const char *what, const char *word)
{
	if (*given)
		return why_set(d->why, -EINVAL,
			       "'%.48s': %s was given before; ask for one flow at a time", word,
			       what);
	*given = true;
	return 0;
}

int flow_set_proto(struct flow_draft *d, const char *word, bool negate)
{
	int r = flow_once(d, &d->proto, "the protocol", word);

	if (r < 0)
		return r;
	if (!strcasecmp(word, "all"))
		return 0;
	if (!proto_parse(&d->flow->proto, word))
		return flow_wrong(d, word, "a protocol such as tcp, udp, icmp or a number");
	d->flow->proto_negate = negate;
	return 0;
}

int flow_set_addr(struct flow_draft *d, bool src, const char *word, bool negate)
{
	struct flow_prefix *p = src ? &d->flow->src : &d->flow->dst;
	int r = flow_once(d, src ? &d->src : &d->dst, src ? "the source" : "the destination", word);

	if (r < 0)
		return r;
	if (!prefix_parse(&p->prefix, word))
		return flow_wrong(
			d, word,
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

int flow_set_port(struct flow_draft *d, bool src, const char *word, bool negate)
{
	struct port_range *p = src ? &d->flow->sport : &d->flow->dport;
	int r = flow_once(d, src ? &d->sport : &d->dport,
			  src ? "the source port" : "the destination port", word);

	if (r < 0)
		return r;
	if (!port_range(word, p))
		return flow_wrong(d, word,
				  "a port such as 443 or https, or a range such as 8000:8100,");
	if (p->from > p->to || p->to == 0)
		return flow_wrong(d, word, "a range from the lower to the higher port");
	p->negate = negate;
	return 0;
}

int flow_set_type(struct flow_draft *d, const char *word)
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
		return flow_wrong(d, word, "an ICMP type such as echo-request or 8");
	d->flow->icmp_type = (int16_t)n;
	return 0;
}

int flow_set_id(struct flow_draft *d, const char *word)
{
	uint16_t id;
	int r = flow_once(d, &d->id, "the ICMP id", word);

	if (r < 0)
		return r;
	if (!port_number(word, strlen(word), &id))
		return flow_wrong(d, word, "an ICMP id from 0 to 65535");
	d->flow->icmp_id = id;
	return 0;
}

int flow_set_if(struct flow_draft *d, bool in, const char *word, bool negate)
{
	char *to = in ? d->flow->in_if : d->flow->out_if;
	int r = flow_once(d, in ? &d->in : &d->out, "the interface", word);

	if (r < 0)
		return r;
	if (strlen(word) > IFNAME_MAX)
		return flow_wrong(d, word, "an interface's name of at most 15 characters");
	memcpy(to, word, strlen(word) + 1);
	if (in)
		d->flow->in_negate = negate;
	else
		d->flow->out_negate = negate;
	return 0;
}

int flow_set_endpoint(struct flow_draft *d, bool src, const char *word)
{
	char addr[ADDR_TEXT_MAX + 8];
	size_t len = strlen(word);
	const char *port = NULL, *dot;
	struct prefix p;
	int r;

	if (prefix_parse(&p, word))
		return flow_set_addr(d, src, word, false);
	if (len >= sizeof(addr))
		return flow_wrong(d, word, "an address with or without port");
	memcpy(addr, word, len + 1);
	if (addr[0] == '[') {
		char *close = strchr(addr, ']');

		if (!close)
			return flow_wrong(d, word, "an address such as [2001:db8::1]:443");
		*close = '\0';
		port = close[1] == ':' ? close + 2 : NULL;
		if (close[1] && !port)
			return flow_wrong(d, word, "an address such as [2001:db8::1]:443");
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
		return flow_wrong(d, word,
				  "an address such as 10.0.1.2, 10.0.3.2:443 or [2001:db8::1]:443");
	if (strcmp(addr, "*") && addr[0]) {
		if (!prefix_parse(&p, addr))
			return flow_wrong(
				d, word,
				"an address such as 10.0.1.2, 10.0.3.2:443 or [2001:db8::1]:443");
		r = flow_set_addr(d, src, addr, false);
		if (r < 0)
			return r;
	}
	return flow_set_port(d, src, port, false);
}
