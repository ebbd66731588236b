/*
 * The order in which the kernel looks (ip_set_hash_gen.h): of a type with nets every prefix length that the set holds, the longest
 * of the first net first, then the longest of the second; what is found there decides, whatever wider nets say. With interfaces
 * the narrowest net that has the address decides even if it has another interface: the kernel does not look further.
 */
#include "common/ipset.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { IPSET_WORDS_MAX = 24 };

struct word {
	const char *p;
	size_t len;
};

static bool is(struct word w, const char *text)
{
	return w.len == strlen(text) && !memcmp(w.p, text, w.len);
}

static bool copy(char *to, size_t size, struct word w)
{
	if (w.len == 0 || w.len >= size)
		return false;
	memcpy(to, w.p, w.len);
	to[w.len] = '\0';
	return true;
}

/* Cuts at blanks; what begins with a quote goes on to the next one. 0: there are too many. */
static size_t split(struct word list[static IPSET_WORDS_MAX], const char *p, const char *end)
{
	size_t n = 0;

	while (p < end) {
		const char *stop;

		if (*p == ' ') {
			p++;
			continue;
		}
		if (n == IPSET_WORDS_MAX)
			return 0;
		stop = *p == '"' ? memchr(p + 1, '"', (size_t)(end - p - 1))
				 : memchr(p, ' ', (size_t)(end - p));
		stop = !stop ? end : stop + (*p == '"');
		list[n++] = (struct word){ p, (size_t)(stop - p) };
		p = stop;
	}
	return n;
}

/* --- create ------------------------------------------------------------------------------------------------------- */

uint8_t set_type_parse(const char *type, size_t len, uint8_t parts[static SET_PARTS_MAX])
{
	static const char *const methods[] = { "hash:", "bitmap:", "list:" };
	static const char *const names[] = { "ip", "net", "port", "mac", "iface", "mark", "set" };
	const char *p = type, *end = type + len;
	uint8_t count = 0;
	size_t i;

	for (i = 0;
	     i < 3 && (len < strlen(methods[i]) || memcmp(p, methods[i], strlen(methods[i])) != 0);
	     i++)
		;
	if (i == 3)
		return 0;
	for (p += strlen(methods[i]); p < end; p++) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		struct word part = { p, (size_t)((comma ? comma : end) - p) };

		for (i = 0; i < 7 && !is(part, names[i]); i++)
			;
		if (i == 7 || count == SET_PARTS_MAX)
			return 0;
		parts[count++] = (uint8_t)i;
		p = part.p + part.len;
	}
	return count;
}

static bool has_part(const struct ipset *s, enum set_part part)
{
	for (uint8_t i = 0; i < s->part_count; i++)
		if (s->parts[i] == part)
			return true;
	return false;
}

static bool parse_number(unsigned long *n, struct word w)
{
	char text[16], *end;

	if (!copy(text, sizeof(text), w) || text[0] < '0' || text[0] > '9')
		return false;
	*n = strtoul(text, &end, 10);
	return *end == '\0';
}

static int parse_create(struct ipset *s, const char *p, const char *end)
{
	static const char *const flags[] = { "counters", "comment", "skbinfo", "forceadd" };
	static const char *const values[] = { "range",      "hashsize", "maxelem", "size",
					      "bucketsize", "initval",  "timeout" };
	struct word list[IPSET_WORDS_MAX];
	size_t n = split(list, p, end), k;
	unsigned long number;

	if (n < 3 || !is(list[0], "create"))
		return -EBADMSG;
	s->part_count = set_type_parse(list[2].p, list[2].len, s->parts);
	s->odd = s->part_count == 0;
	s->family = has_part(s, SET_IP) || has_part(s, SET_NET) ? 4 : 0;
	for (size_t i = 3; i < n; i++) {
		struct word value = i + 1 < n ? list[i + 1] : (struct word){ "", 0 };

		for (k = 0; k < 4 && !is(list[i], flags[k]); k++)
			;
		if (k < 4)
			continue;
		for (k = 0; k < 7 && !is(list[i], values[k]); k++)
			;
		if (is(list[i], "family") && is(value, "inet6"))
			s->family = 6;
		else if (is(list[i], "netmask") && parse_number(&number, value) && number <= 128)
			s->netmask = (uint8_t)number;
		else if (k == 7 && !(is(list[i], "family") && is(value, "inet")))
			s->odd = true;
		i++;
	}
	/* Where else a netmask stands, and what bits of an address alone are, is not known here. */
	if (s->netmask && (s->part_count != 1 || s->parts[0] != SET_IP))
		s->odd = true;
	return 0;
}

/* --- add ---------------------------------------------------------------------------------------------------------- */

/* "tcp:80", "80" */
static bool parse_port(struct set_entry *e, struct word w)
{
	const char *colon = memchr(w.p, ':', w.len);
	unsigned long port;
	char name[16];

	if (colon) {
		if (!copy(name, sizeof(name), (struct word){ w.p, (size_t)(colon - w.p) }) ||
		    !proto_parse(&e->proto, name) || e->proto == 0)
			return false;
		w.len -= (size_t)(colon + 1 - w.p);
		w.p = colon + 1;
	}
	/* The types of ICMP are no ports of a tuple. */
	if (colon && !proto_has_ports(e->proto)) {
		e->vague = true;
		return true;
	}
	if (!parse_number(&port, w) || port > UINT16_MAX)
		return false;
	e->port = (uint16_t)port;
	return true;
}

static bool parse_iface(struct set_entry *e, struct word w)
{
	if (w.len > 8 && !memcmp(w.p, "physdev:", 8)) {
		e->vague = true;
		w.p += 8;
		w.len -= 8;
	}
	return copy(e->iface, sizeof(e->iface), w);
}

static bool parse_net(struct prefix *net, const struct ipset *s, enum set_part part, struct word w)
{
	char text[64];

	if (!copy(text, sizeof(text), w) || !prefix_parse(net, text) ||
	    net->addr.family != s->family || (part == SET_IP && strchr(text, '/')))
		return false;
	if (part == SET_IP && s->netmask)
		net->len = s->netmask;
	return true;
}

static bool parse_part(struct set_entry *e, const struct ipset *s, uint8_t i, uint8_t *nets,
		       struct word w)
{
	switch ((enum set_part)s->parts[i]) {
	case SET_IP:
	case SET_NET:
		return *nets < 2 && parse_net(&e->nets[(*nets)++], s, s->parts[i], w);
	case SET_PORT:
		return parse_port(e, w);
	case SET_IFACE:
		return parse_iface(e, w);
	case SET_LIST:
		return copy(e->member, sizeof(e->member), w);
	case SET_MAC:
	case SET_MARK:
		e->vague = true;
		return w.len > 0;
	}
	return false;
}

static bool parse_element(struct set_entry *e, const struct ipset *s, struct word w)
{
	const char *p = w.p, *end = w.p + w.len;
	uint8_t nets = 0;

	for (uint8_t i = 0; i < s->part_count; i++) {
		const char *comma =
			i + 1 < s->part_count && p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
		struct word part = { p, (size_t)((comma ? comma : end) - p) };

		/* bitmap:ip,mac has entries that wait for their link address. */
		if (part.len == 0 && s->parts[i] == SET_MAC) {
			e->vague = true;
			continue;
		}
		if (!parse_part(e, s, i, &nets, part))
			return false;
		p = comma ? comma + 1 : end;
	}
	return p == end;
}

/* False: there is something in it that nobody here knows. */
static bool parse_add(struct set_entry *e, const struct ipset *s, const char *p, const char *end)
{
	static const char *const values[] = { "comment", "skbmark", "skbprio", "skbqueue" };
	struct word list[IPSET_WORDS_MAX];
	size_t n = split(list, p, end), k;

	if (n < 3 || !parse_element(e, s, list[2]))
		return false;
	for (size_t i = 3; i < n; i++) {
		for (k = 0; k < 4 && !is(list[i], values[k]); k++)
			;
		if (k < 4 && i + 1 < n)
			i++;
		else if (is(list[i], "nomatch"))
			e->nomatch = true;
		else if (is(list[i], "wildcard"))
			e->wildcard = true;
		else
			return false;
	}
	return true;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static int add_entry(struct ipset *s, uint32_t *cap, const struct set_entry *e)
{
	if (s->count == IPSET_ENTRIES_MAX)
		return -EBADMSG;
	if (s->count == *cap) {
		uint32_t next = *cap ? *cap * 2 : 16;
		struct set_entry *bigger = realloc(s->entries, next * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->entries = bigger;
		*cap = next;
	}
	s->entries[s->count++] = *e;
	return 0;
}

static void take_note(char *to, size_t size, const char *p, size_t len)
{
	len = len < size ? len : size - 1;
	memcpy(to, p, len);
	to[len] = '\0';
}

static int parse_line(struct ipset *s, uint32_t *cap, const char *p, const char *end,
		      uint32_t number)
{
	const size_t none = strlen(IPSET_NOT_CAPTURED), restless = strlen(IPSET_RESTLESS);
	size_t len = (size_t)(end - p);
	struct set_entry e = { .text = p, .len = (uint32_t)len, .number = number };

	if (number == 1)
		return parse_create(s, p, end);
	if (len > none && !memcmp(p, IPSET_NOT_CAPTURED, none)) {
		take_note(s->not_captured, sizeof(s->not_captured), p + none, len - none);
	} else if (len > restless && !memcmp(p, IPSET_RESTLESS, restless)) {
		take_note(s->restless, sizeof(s->restless), p + restless, len - restless);
	} else if (len > 4 && !memcmp(p, "add ", 4)) {
		if (!parse_add(&e, s, p, end))
			s->odd = true;
		return add_entry(s, cap, &e);
	} else {
		return -EBADMSG;
	}
	return 0;
}

int ipset_parse(struct ipset *s, const char *text, size_t len)
{
	const char *p, *end, *stop;
	uint32_t cap = 0, number = 0;
	int r = 0;

	memset(s, 0, sizeof(*s));
	if (len == 0 || len > CONTENT_MAX || memchr(text, '\0', len))
		return -EBADMSG;
	s->text = malloc(len + 1);
	if (!s->text)
		return -ENOMEM;
	memcpy(s->text, text, len);
	s->text[len] = '\0';
	end = s->text + len;
	for (p = s->text; r == 0 && p < end; p = stop + 1) {
		stop = memchr(p, '\n', (size_t)(end - p));
		if (!stop)
			stop = end;
		r = parse_line(s, &cap, p, stop, ++number);
	}
	if (r < 0)
		ipset_clear(s);
	return r;
}

void ipset_clear(struct ipset *s)
{
	free(s->entries);
	free(s->text);
	memset(s, 0, sizeof(*s));
}

/* --- is it in there? ---------------------------------------------------------------------------------------------- */

static bool is_source(const struct rule_set *use, uint8_t part)
{
	return use->sources & 1u << part;
}

static enum set_answer port_in(const struct set_entry *e, const struct tuple *t, bool source)
{
	uint16_t port = source ? t->sport : t->dport;

	if (e->proto && e->proto != t->proto)
		return SET_NO;
	/* A later fragment has none. */
	if (e->vague || !proto_has_ports(t->proto) || port == 0)
		return SET_UNKNOWN;
	/* bitmap:port knows these two only. */
	if (!e->proto && t->proto != IPPROTO_TCP && t->proto != IPPROTO_UDP)
		return SET_UNKNOWN;
	return port == e->port ? SET_YES : SET_NO;
}

static enum set_answer iface_in(const struct set_entry *e, const char *name)
{
	if (e->vague || !name[0])
		return SET_UNKNOWN;
	if (e->wildcard)
		return strncmp(e->iface, name, strlen(e->iface)) ? SET_NO : SET_YES;
	return strcmp(e->iface, name) ? SET_NO : SET_YES;
}

/* Its parts, the nomatch flag aside: all, or only addresses. */
static enum set_answer entry_has(const struct ipset *s, const struct set_entry *e,
				 const struct rule_set *use, const struct set_packet *p,
				 bool nets_alone)
{
	enum set_answer all = SET_YES;
	uint8_t nets = 0;

	for (uint8_t i = 0; i < s->part_count; i++) {
		bool source = is_source(use, i);
		const struct addr *a = source ? &p->tuple.src : &p->tuple.dst;
		enum set_answer one = SET_UNKNOWN;

		if (s->parts[i] == SET_IP || s->parts[i] == SET_NET)
			one = prefix_has(&e->nets[nets++], a) ? SET_YES : SET_NO;
		else if (nets_alone)
			one = SET_YES;
		else if (s->parts[i] == SET_PORT)
			one = port_in(e, &p->tuple, source);
		else if (s->parts[i] == SET_IFACE)
			one = iface_in(e, source ? p->in_if : p->out_if);
		if (one == SET_NO)
			return SET_NO;
		if (one == SET_UNKNOWN)
			all = SET_UNKNOWN;
	}
	return all;
}

/* How early the kernel comes to it. */
static unsigned int rank_of(const struct set_entry *e)
{
	return e->nets[0].len * 256u + e->nets[1].len;
}

/*
 * hash:net,iface. Whether the kernel comes by an entry of a bridge's port depends on its hash: what such a one may hide is not
 * known.
 */
static enum set_answer search_iface(const struct ipset *s, const struct rule_set *use,
				    const struct set_packet *p, struct set_found *found)
{
	bool may[3] = { false, false, false }, decided = false, matches = false;
	unsigned int rank = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		const struct set_entry *e = &s->entries[i];

		if (e->vague || (decided && rank_of(e) < rank) ||
		    entry_has(s, e, use, p, true) != SET_YES)
			continue;
		decided = true;
		rank = rank_of(e);
	}
	for (uint32_t i = 0; i < s->count; i++) {
		const struct set_entry *e = &s->entries[i];
		enum set_answer a;

		if ((decided && rank_of(e) < rank) || entry_has(s, e, use, p, true) != SET_YES)
			continue;
		if (e->vague)
			return SET_UNKNOWN;
		a = entry_has(s, e, use, p, false);
		if (a == SET_YES)
			found->entry = e;
		matches |= a == SET_YES;
		if (a != SET_NO)
			may[e->nomatch ? SET_NO : SET_YES] = true;
	}
	may[SET_NO] |= !matches;
	if (may[SET_NO] && may[SET_YES]) {
		found->entry = NULL;
		return SET_UNKNOWN;
	}
	return may[SET_YES] ? SET_YES : SET_NO;
}

static enum set_answer search(const struct ipset *s, const struct rule_set *use,
			      const struct set_packet *p, struct set_found *found)
{
	bool may[3] = { false, false, false }; /* by enum set_answer: how it may end */
	bool decided = false;
	unsigned int least = 0; /* the rank of what decides at the latest */

	for (uint32_t i = 0; i < s->count; i++) {
		const struct set_entry *e = &s->entries[i];

		if ((decided && rank_of(e) < least) || entry_has(s, e, use, p, false) != SET_YES)
			continue;
		least = rank_of(e);
		decided = true;
		found->entry = e;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		const struct set_entry *e = &s->entries[i];

		if ((!decided || rank_of(e) >= least) && entry_has(s, e, use, p, false) != SET_NO)
			may[e->nomatch ? SET_NO : SET_YES] = true;
	}
	if (!decided)
		may[SET_NO] = true;
	if (may[SET_NO] && may[SET_YES]) {
		found->entry = NULL;
		return SET_UNKNOWN;
	}
	return may[SET_YES] ? SET_YES : SET_NO;
}

static bool is_readable(const struct ipset *s)
{
	return !s->odd && !s->not_captured[0] && !s->restless[0];
}

/* Without what the match itself adds. */
static enum set_answer has(const struct ipset *s, const struct rule_set *use,
			   const struct set_packet *p, struct set_found *found)
{
	if (!is_readable(s))
		return SET_UNKNOWN;
	if (use->count < s->part_count || (s->family && s->family != p->tuple.src.family))
		return SET_NO;
	return has_part(s, SET_IFACE) ? search_iface(s, use, p, found) : search(s, use, p, found);
}

static enum set_answer list_has(const struct ipset *s, const struct rule_set *use,
				const struct set_packet *p, const struct set_members *members,
				struct set_found *found)
{
	enum set_answer all = SET_NO;

	if (!is_readable(s))
		return SET_UNKNOWN;
	if (use->count < s->part_count)
		return SET_NO;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct ipset *member =
			members ? members->find(members->arg, s->entries[i].member) : NULL;
		struct set_found in = { NULL, &s->entries[i] };
		enum set_answer one = SET_UNKNOWN;

		if (member && member->part_count && member->parts[0] != SET_LIST)
			one = has(member, use, p, &in);
		if (one == SET_YES) {
			*found = in;
			return SET_YES;
		}
		if (one == SET_UNKNOWN)
			all = SET_UNKNOWN;
	}
	return all;
}

enum set_answer ipset_match(const struct ipset *s, const struct rule_set *use,
			    const struct set_packet *p, const struct set_members *members,
			    struct set_found *found)
{
	enum set_answer a;

	*found = (struct set_found){ NULL, NULL };
	if (use->vague || s->part_count == 0)
		return SET_UNKNOWN;
	a = s->parts[0] == SET_LIST ? list_has(s, use, p, members, found) : has(s, use, p, found);
	if (!use->negate || a == SET_UNKNOWN)
		return a;
	return a == SET_YES ? SET_NO : SET_YES;
}
