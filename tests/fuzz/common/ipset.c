/*
 * Any text as an ipset, asked for packets by every combination of directions. Its negation must answer the opposite, and a yes must
 * name an entry.
 */
#include <string.h>

#include "common/ipset.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const struct ipset *itself(void *arg, const char *name)
{
	(void)name;
	return arg;
}

static void ask(struct ipset *s, const struct set_packet *packet)
{
	struct set_members members = { itself, s };
	struct set_found found;

	for (uint8_t sources = 0; sources < 8; sources++) {
		struct rule_set use = { .name = "s", .count = 3, .sources = sources };
		enum set_answer a = ipset_match(s, &use, packet, &members, &found), b;

		must(a != SET_YES || found.entry);
		use.negate = true;
		b = ipset_match(s, &use, packet, &members, &found);
		must(a == SET_UNKNOWN ? b == SET_UNKNOWN : b == (a == SET_YES ? SET_NO : SET_YES));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct set_packet four = { .tuple = { .sport = 40000, .dport = 80, .proto = 6 },
				   .in_if = "lan",
				   .out_if = "" },
			  six = four;
	struct ipset s;
	struct table t;

	must(addr_parse(&four.tuple.src, "10.0.0.1") && addr_parse(&four.tuple.dst, "10.0.0.2"));
	must(addr_parse(&six.tuple.src, "2001:db8::1") && addr_parse(&six.tuple.dst, "::1"));
	if (table_parse_set(&t, (const char *)p, len) == 0)
		table_clear(&t);
	if (ipset_parse(&s, (const char *)p, len) < 0)
		return 0;
	ask(&s, &four);
	ask(&s, &six);
	ipset_clear(&s);
	return 0;
}
