/*
 * Pasted lines are recognised by what only they hold.
 */
#include "common/flow_draft.h"

#include <ctype.h>
#include <string.h>

static const char *value_of(const struct flow_words *w, const char *key)
{
	size_t n = strlen(key);

	for (int i = 0; i < w->count; i++) {
		if (!strncmp(w->word[i], key, n))
			return w->word[i] + n;
	}
	return NULL;
}

/* conntrack's protocol is the last that stands before the tuple: "ipv6 10 tcp 6 117 SYN_SENT src=". */
static const char *conntrack_proto(const struct flow_words *w)
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
static const char *log_icmp_id(const struct flow_words *w)
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
static int paste_keys(struct flow_draft *d, const struct flow_words *w, bool log)
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
	r = flow_set_addr(d, true, src, false);
	if (r == 0)
		r = flow_set_addr(d, false, dst, false);
	if (r == 0 && proto)
		r = flow_set_proto(d, proto, false);
	if (proto_is_icmp(d->flow->proto))
		sport = dport = NULL; /* what an ICMP error embeds */
	if (r == 0 && sport)
		r = flow_set_port(d, true, sport, false);
	if (r == 0 && dport)
		r = flow_set_port(d, false, dport, false);
	if (r == 0 && id && proto_is_icmp(d->flow->proto))
		r = flow_set_id(d, id);
	return r < 0 ? r : 1;
}

static bool is_endpoint(const char *word)
{
	struct flow flow = { 0 };
	struct flow_draft d = { .flow = &flow };

	return flow_set_endpoint(&d, true, word) == 0;
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

static int tcpdump_proto(struct flow_draft *d, const struct flow_words *w, int i)
{
	static const struct {
		const char *word, *proto;
	} says[] = {
		{ "Flags", "tcp" }, { "UDP", "udp" }, { "ICMP", "icmp" }, { "ICMP6", "icmpv6" }
	};
	uint8_t known;

	if (i < w->count && !isdigit((unsigned char)w->word[i][0]) &&
	    proto_parse(&known, w->word[i]) && strcmp(w->word[i], "ICMP"))
		return flow_set_proto(d, w->word[i], false);
	for (; i < w->count; i++) {
		for (size_t k = 0; k < sizeof(says) / sizeof(says[0]); k++) {
			if (!strcmp(w->word[i], says[k].word))
				return flow_set_proto(d, says[k].proto, false);
		}
	}
	/* What it decodes further (DNS, NTP ...) it prints without the protocol, but never TCP without flags. */
	return d->sport || d->dport ? flow_set_proto(d, "udp", false) : 0;
}

/* "06:52:07.113 IP 10.1.0.2.51240 > 10.1.0.1.443: Flags [S], ..."; with -e, MACs and a '>' come before. */
static int paste_tcpdump(struct flow_draft *d, struct flow_words *w)
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
	r = flow_set_endpoint(d, true, w->word[arrow - 1]);
	if (r == 0)
		r = flow_set_endpoint(d, false, w->word[arrow + 1]);
	if (r == 0)
		r = tcpdump_proto(d, w, arrow + 2);
	for (int i = arrow + 2; r == 0 && i + 1 < w->count && !d->id; i++) {
		if (!strcmp(w->word[i], "id") && proto_is_icmp(d->flow->proto))
			r = flow_set_id(d, w->word[i + 1]);
	}
	return r < 0 ? r : 1;
}

int flow_paste(struct flow_draft *d, struct flow_words *w)
{
	int r = paste_keys(d, w, true);

	if (r == 0)
		r = paste_keys(d, w, false);
	return r == 0 ? paste_tcpdump(d, w) : r;
}
