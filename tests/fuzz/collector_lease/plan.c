/* Any text as a host's table nat: a plan ends, and each of its patterns is a lease's. */
#include <string.h>

#include "collector/lease/plan.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const char *const flows[] = { "tcp 10.0.1.2 203.0.113.10:443", "-s 10.0.0.0/8",
					     "icmp 10.0.1.2 10.0.3.2",
					     "tcp 2001:db8::2 [fd00::2]:8080", "--dport 443" };
	struct facts_link link = { .ifindex = 1, .name = "wan" };
	struct facts_addr addr = { .ifindex = 1 };
	struct facts facts = { .link_count = 1, .addr_count = 1, .links = &link, .addrs = &addr };
	struct pattern out[PATTERNS_MAX];
	struct table t;

	must(prefix_parse(&addr.addr, "198.18.0.1/24"));
	if (table_parse(&t, (const char *)p, len) < 0 &&
	    table_parse_nft(&t, (const char *)p, len) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		struct plan_host host = { "h", &facts, { { &t }, { &t } }, false };
		struct pattern named[FLOW_PATTERNS_MAX];
		struct flow flow;
		size_t count, named_count;
		bool cut;

		must(flow_parse(&flow, 1, &flows[i], NULL) == 0);
		must(flow_patterns(&flow, named, &named_count, NULL) == 0);
		must(plan_patterns(named, named_count, &host, 1, NULL, 0, out, &count, &cut) == 0);
		must(count >= 1 && count <= PATTERNS_MAX);
		for (size_t k = 0; k < count; k++)
			must(pattern_valid(&out[k]));
	}
	table_clear(&t);
	return 0;
}
