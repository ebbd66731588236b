/*
 * Reading one rule's text: the words as iptables-save quotes them, then the options that NAT, targets and
 * addresses need. Options that are not known set `other`, so that nobody takes the struct for the whole rule.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/table.h"

enum { RULE_TEXT_MAX = 16 << 10 };

struct words {
	int count;
	const char *word[RULE_ARGS_MAX];
	bool quoted[RULE_ARGS_MAX]; /* never an option */
	char text[RULE_TEXT_MAX];
};

/*
 * Cuts at blanks. A word that begins with a quote goes on to the closing one, with blanks and newlines, and a
 * backslash inside takes the next character as it is (xtables_save_string). A quote elsewhere is a letter.
 */
static int split(struct words *w, const char *p, size_t len)
{
	const char *end = p + len;
	char *to = w->text;

	w->count = 0;
	if (len >= sizeof(w->text))
		return -EBADMSG;
	while (p < end) {
		bool quoted;

		while (p < end && *p == ' ')
			p++;
		if (p == end)
			break;
		if (w->count == RULE_ARGS_MAX)
			return -EBADMSG;
		quoted = *p == '"';
		p += quoted;
		w->quoted[w->count] = quoted;
		w->word[w->count++] = to;
		for (; p < end && *p != (quoted ? '"' : ' '); p++) {
			if (*p == '\\' && quoted && p + 1 < end)
				p++;
			*to++ = *p ? *p : '?';
		}
		if (quoted && p++ == end)
			return -EBADMSG;
		*to++ = '\0';
	}
	return 0;
}

static void copy(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size)
		n = size - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

static uint16_t port(const char *text, char **end)
{
	unsigned long n = strtoul(text, end, 10);

	return *end == text || n > UINT16_MAX ? 0 : (uint16_t)n;
}

/* "80", "80:90", ":90", "80,443,8000:8100" */
static bool ports(const char *text, uint16_t (*list)[2], uint8_t *count)
{
	while (*text && *count < 16) {
		char *end = (char *)text;
		uint16_t from = *text == ':' ? 0 : port(text, &end), to = from;

		if (*end == ':') {
			text = end + 1;
			to = *text && *text != ',' ? port(text, &end) : UINT16_MAX;
			if (!*text || *text == ',')
				end = (char *)text;
		}
		list[*count][0] = from;
		list[*count][1] = to;
		(*count)++;
		if (*end != ',' && *end != '\0')
			return false;
		text = *end ? end + 1 : end;
	}
	return !*text;
}

/* "10.0.0.1", "10.0.0.1-10.0.0.9", ":80-90", "10.0.0.1:80", "[2001:db8::1]:80", "[..]-[..]:80". */
void rule_translation(struct rule *r, const char *text)
{
	char addr[128], *until, *colon, *end;
	bool six =
		strchr(text, '[') || (strchr(text, ':') && strchr(text, ':') != strrchr(text, ':'));

	copy(addr, sizeof(addr), text);
	if (strchr(addr, '['))
		colon = strrchr(addr, ']') ? strstr(strrchr(addr, ']'), ":") : NULL;
	else
		colon = six ? NULL : strchr(addr, ':');
	if (colon) {
		*colon++ = '\0';
		r->to_port_from = port(colon, &end);
		r->to_port_until = *end == '-' ? port(end + 1, &end) : r->to_port_from;
	}
	until = strchr(addr, '-');
	if (until)
		*until++ = '\0';
	for (int i = 0; i < 2; i++) {
		char *one = i ? until : addr;
		size_t n;

		if (!one)
			continue;
		one += *one == '[';
		n = strlen(one);
		if (n && one[n - 1] == ']')
			one[n - 1] = '\0';
		addr_parse(i ? &r->to_until : &r->to_from, one);
	}
	if (!until)
		r->to_until = r->to_from;
}

/* "src,dst" behind the name of a set. */
static void take_set(struct rule *r, const char *name, const char *flags, bool negate, bool target)
{
	struct rule_set *set = &r->sets[r->set_count];

	if (r->set_count == RULE_SETS_MAX || strlen(name) > SET_NAME_MAX) {
		r->other = r->unread = true;
		return;
	}
	*set = (struct rule_set){ .negate = negate, .target = target };
	copy(set->name, sizeof(set->name), name);
	while (*flags) {
		size_t len = strcspn(flags, ",");
		bool src = len == 3 && !memcmp(flags, "src", 3);

		if ((!src && (len != 3 || memcmp(flags, "dst", 3) != 0)) ||
		    set->count == SET_FLAGS_MAX)
			set->vague = true;
		else
			set->sources |= (uint8_t)(src << set->count++);
		flags += len + (flags[len] == ',');
	}
	set->vague |= set->count == 0;
	r->set_count++;
}

/* Of -m set, behind its --match-set. Whether the set's counters are kept changes nothing. */
static bool set_option(struct rule *r, const char *o)
{
	static const char *const asks[] = { "--return-nomatch", "--packets-eq", "--packets-lt",
					    "--packets-gt",     "--bytes-eq",   "--bytes-lt",
					    "--bytes-gt" };

	if (!strcmp(o, "--update-counters") || !strcmp(o, "--update-subcounters"))
		return r->set_count > 0;
	for (size_t i = 0; r->set_count && i < sizeof(asks) / sizeof(asks[0]); i++) {
		if (!strcmp(asks[i], o)) {
			r->sets[r->set_count - 1].vague = true;
			return true;
		}
	}
	return false;
}

static void target_option(struct rule *r, const char *option, const char *value)
{
	char *end;

	if (!strcmp(option, "--to-destination") || !strcmp(option, "--to-source")) {
		rule_translation(r, value);
	} else if (!strcmp(option, "--to-ports")) {
		r->to_port_from = port(value, &end);
		r->to_port_until = *end == '-' ? port(end + 1, &end) : r->to_port_from;
	} else if (!strcmp(option, "--to")) {
		prefix_parse(&r->to_net, value);
	} else if (!strcmp(option, "--nflog-group")) {
		r->log_group = (uint16_t)strtoul(value, &end, 10);
	} else if (!strcmp(option, "--nflog-prefix")) {
		copy(r->log_prefix, sizeof(r->log_prefix), value);
	} else if (!strcmp(option, "--reject-with")) {
		copy(r->reject_with, sizeof(r->reject_with), value);
	}
}

/* Options of matches that this struct holds whole, so that a -m before them adds nothing. */
static bool match_is_held(const char *name)
{
	static const char *const held[] = { "tcp",     "udp",  "multiport", "comment",
					    "udplite", "sctp", "dccp" };

	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		if (!strcmp(held[i], name))
			return true;
	}
	return false;
}

static void option(struct rule *r, const char *o, const char *value, bool negate)
{
	if (!strcmp(o, "-s") || !strcmp(o, "-d")) {
		bool src = o[1] == 's';

		if (!prefix_parse(src ? &r->src.prefix : &r->dst.prefix, value))
			r->other = r->unread = true;
		if (src)
			r->src.negate = negate;
		else
			r->dst.negate = negate;
	} else if (!strcmp(o, "-p")) {
		if (!proto_parse(&r->proto, value))
			r->other = r->unread = true;
		r->proto_negate = negate;
	} else if (!strcmp(o, "-i")) {
		copy(r->in_if, sizeof(r->in_if), value);
		r->in_negate = negate;
	} else if (!strcmp(o, "-o")) {
		copy(r->out_if, sizeof(r->out_if), value);
		r->out_negate = negate;
	} else if (!strcmp(o, "--sport") || !strcmp(o, "--sports")) {
		/* Both of -m tcp and -m multiport: only packets in both lists match. */
		if (r->sport_count)
			r->other = r->unread = true;
		else if (!ports(value, (uint16_t(*)[2])r->sports, &r->sport_count))
			r->other = r->unread = true;
		r->sport_negate = negate;
	} else if (!strcmp(o, "--dport") || !strcmp(o, "--dports")) {
		if (r->dport_count)
			r->other = r->unread = true;
		else if (!ports(value, (uint16_t(*)[2])r->dports, &r->dport_count))
			r->other = r->unread = true;
		r->dport_negate = negate;
	} else if (!strcmp(o, "--comment")) {
		copy(r->comment, sizeof(r->comment), value);
	} else if (!strcmp(o, "-m")) {
		if (!match_is_held(value)) {
			r->other = true;
			r->unread |= strcmp(value, "set") != 0;
		}
	} else if (!set_option(r, o)) {
		r->other = r->unread = true;
	}
}

static bool names_set(const char *option)
{
	return !strcmp(option, "--match-set") || !strcmp(option, "--add-set") ||
	       !strcmp(option, "--del-set") || !strcmp(option, "--map-set");
}

/* Options whose value is free text, which may look like an option itself ("-j" needs no quotes). */
static bool takes_text(const char *option)
{
	static const char *const list[] = { "--comment",     "--log-prefix",   "--nflog-prefix",
					    "--ulog-prefix", "--string",       "--hex-string",
					    "--name",        "--helper",       "--hashlimit-name",
					    "--bytecode",    "--label",        "--led-trigger-id",
					    "--cgroup",      "--object-pinned" };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (!strcmp(list[i], option))
			return true;
	}
	return false;
}

int rule_parse(struct rule *r, const char *text, size_t len)
{
	struct words *w = malloc(sizeof(*w));
	bool negate = false, in_target = false;
	int ret;

	memset(r, 0, sizeof(*r));
	if (!w)
		return -ENOMEM;
	ret = split(w, text, len);
	for (int i = 0; ret == 0 && i < w->count; i++) {
		const char *o = w->word[i], *value = i + 1 < w->count ? w->word[i + 1] : "";
		const char *more = i + 2 < w->count ? w->word[i + 2] : "";

		if (!w->quoted[i] && !strcmp(o, "!")) {
			negate = true;
			continue;
		}
		if (w->quoted[i] || o[0] != '-') { /* a further value of the option before */
			negate = false;
			continue;
		}
		if (!strcmp(o, "-j") || !strcmp(o, "-g")) {
			copy(r->target, sizeof(r->target), value);
			r->is_goto = o[1] == 'g';
			in_target = true;
			i++;
		} else if (!strcmp(o, "-A")) {
			i++;
		} else if (names_set(o)) {
			take_set(r, value, more, negate, in_target);
			i++;
		} else if (in_target) {
			target_option(r, o, value);
			i += takes_text(o);
		} else {
			option(r, o, value, negate);
			i += takes_text(o);
		}
		negate = false;
	}
	free(w);
	return ret;
}

bool target_is_terminal(const char *target)
{
	static const char *const terminal[] = { "ACCEPT",   "DROP",   "REJECT", "QUEUE",
						"NFQUEUE",  "DNAT",   "SNAT",   "MASQUERADE",
						"REDIRECT", "NETMAP", "TPROXY", "SYNPROXY" };

	for (size_t i = 0; i < sizeof(terminal) / sizeof(terminal[0]); i++) {
		if (!strcmp(terminal[i], target))
			return true;
	}
	return false;
}
