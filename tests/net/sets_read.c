/*
 * Answers as the collector does whether packets match the ipsets that rules name. Lines of its input: "set NAME BYTES" and then so
 * many bytes of its text; "rule TEXT", of -m set; "packet PROTO SRC SPORT DST DPORT IN OUT" ("-": not known), which is answered by
 * a line with y, n or ? for each rule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ipset.h"

enum { KNOWN_MAX = 64, LINE_BYTES = 1024 };

static struct known {
	struct ipset sets[KNOWN_MAX];
	char names[KNOWN_MAX][SET_NAME_MAX + 1];
	struct rule rules[KNOWN_MAX];
	size_t set_count, rule_count;
} known;

static const struct ipset *find(void *arg, const char *name)
{
	(void)arg;
	for (size_t i = 0; i < known.set_count; i++)
		if (strcmp(known.names[i], name) == 0)
			return &known.sets[i];
	return NULL;
}

static int take_set(const char *line)
{
	char *name = known.names[known.set_count], *text;
	size_t len;
	int r = -1;

	if (known.set_count == KNOWN_MAX || sscanf(line, "set %31s %zu", name, &len) != 2)
		return -1;
	text = malloc(len + 1);
	if (text && fread(text, 1, len, stdin) == len)
		r = ipset_parse(&known.sets[known.set_count++], text, len);
	free(text);
	return r;
}

static char answer(const struct rule *r, const struct set_packet *p)
{
	const struct ipset *s = find(NULL, r->sets[0].name);
	struct set_members members = { find, NULL };
	struct set_found found;

	return s ? "ny?"[ipset_match(s, &r->sets[0], p, &members, &found)] : '?';
}

static int take_packet(const char *line)
{
	char proto[16], src[64], dst[64], in[17], out[17];
	struct set_packet p = { 0 };

	if (sscanf(line, "packet %15s %63s %hu %63s %hu %16s %16s", proto, src, &p.tuple.sport, dst,
		   &p.tuple.dport, in, out) != 7 ||
	    !proto_parse(&p.tuple.proto, proto) || !addr_parse(&p.tuple.src, src) ||
	    !addr_parse(&p.tuple.dst, dst))
		return -1;
	p.in_if = in[0] == '-' ? "" : in;
	p.out_if = out[0] == '-' ? "" : out;
	for (size_t i = 0; i < known.rule_count; i++)
		putchar(answer(&known.rules[i], &p));
	putchar('\n');
	return 0;
}

int main(void)
{
	char line[LINE_BYTES];
	int r = 0;

	while (r == 0 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "set ", 4) == 0)
			r = take_set(line);
		else if (strncmp(line, "packet ", 7) == 0)
			r = take_packet(line);
		else if (strncmp(line, "rule ", 5) == 0 && known.rule_count < KNOWN_MAX)
			r = rule_parse(&known.rules[known.rule_count++], line + 5,
				       strlen(line + 5));
		else
			r = -1;
	}
	if (r < 0)
		fprintf(stderr, "cannot read: %s\n", line);
	for (size_t i = 0; i < known.set_count; i++)
		ipset_clear(&known.sets[i]);
	return r < 0;
}
