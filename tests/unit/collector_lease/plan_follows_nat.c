/*
 * A lease's patterns follow what every host could make of the flow, and never widen to everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/lease/plan.h"

struct fleet {
	struct table nat[2];
	struct facts facts[2];
	struct facts_link links[2][2];
	struct facts_addr addrs[2][2];
	struct plan_host hosts[2];
	struct pattern out[PATTERNS_MAX];
	size_t count;
	bool cut;
};

static void address(struct fleet *f, int h, int i, const char *name, const char *text)
{
	f->links[h][i].ifindex = i + 1;
	memcpy(f->links[h][i].name, name, strlen(name) + 1);
	f->addrs[h][i].ifindex = i + 1;
	assert_true(prefix_parse(&f->addrs[h][i].addr, text));
	f->facts[h].link_count = f->facts[h].addr_count = (uint32_t)i + 1;
}

/* gw masquerades to wan, rt publishes 203.0.113.10:443 as 10.0.3.2:8443. */
static int make(void **state)
{
	static const char *const texts[2] = {
		"*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n",
		"*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:PUB - [0:0]\n-A PREROUTING -j PUB\n"
		"-A PUB -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443\nCOMMIT\n",
	};
	struct fleet *f = calloc(1, sizeof(*f));

	for (int i = 0; i < 2; i++) {
		assert_int_equal(table_parse(&f->nat[i], texts[i], strlen(texts[i])), 0);
		f->facts[i].links = f->links[i];
		f->facts[i].addrs = f->addrs[i];
		f->hosts[i] =
			(struct plan_host){ i ? "rt" : "gw", &f->facts[i], { &f->nat[i], NULL } };
	}
	address(f, 0, 0, "lan", "10.0.1.1/24");
	address(f, 0, 1, "wan", "198.18.0.1/24");
	address(f, 1, 0, "wan", "198.18.0.2/24");
	*state = f;
	return 0;
}

static int unmake(void **state)
{
	struct fleet *f = *state;

	table_clear(&f->nat[0]);
	table_clear(&f->nat[1]);
	free(f);
	return 0;
}

static void plan(struct fleet *f, const char *text, const struct conn *conns, size_t n)
{
	const char *argv[] = { text };
	struct pattern named;
	struct flow flow;

	assert_int_equal(flow_parse(&flow, 1, argv, NULL), 0);
	assert_int_equal(flow_pattern(&flow, &named, NULL), 0);
	assert_int_equal(plan_patterns(&named, f->hosts, 2, conns, n, f->out, &f->count, &f->cut),
			 0);
}

static bool selects(const struct fleet *f, const char *src, uint16_t sport, const char *dst,
		    uint16_t dport)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = 6 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	for (size_t i = 0; i < f->count; i++) {
		if (pattern_has(&f->out[i], &t))
			return true;
	}
	return false;
}

static void both_translations_are_followed(void **state)
{
	struct fleet *f = *state;

	plan(f, "tcp 10.0.1.2 203.0.113.10:443", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 40000, "203.0.113.10", 443));
	assert_true(selects(f, "198.18.0.1", 50000, "203.0.113.10", 443));
	assert_true(selects(f, "198.18.0.1", 50000, "10.0.3.2", 8443));
	assert_true(selects(f, "10.0.3.2", 8443, "198.18.0.1", 50000));   /* the answer */
	assert_false(selects(f, "10.0.1.1", 50000, "203.0.113.10", 443)); /* not wan's address */
	assert_false(selects(f, "10.0.1.9", 40000, "203.0.113.10", 443));
	assert_false(selects(f, "198.18.0.1", 50000, "10.0.3.2", 22));
	assert_false(f->cut);
}

static void a_rule_that_cannot_match_adds_nothing(void **state)
{
	struct fleet *f = *state;

	plan(f, "udp 10.0.1.2 203.0.113.10:443", NULL, 0);
	assert_int_equal(f->count, 2); /* named and masqueraded */
	plan(f, "tcp 10.0.1.2 203.0.113.10:80", NULL, 0);
	assert_false(selects(f, "198.18.0.1", 1, "10.0.3.2", 8443));
}

static void the_server_s_view_leads_back(void **state)
{
	struct fleet *f = *state;

	plan(f, "tcp 10.0.1.2 10.0.3.2:8443", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 40000, "203.0.113.10", 443));
}

static void connections_are_followed_exactly(void **state)
{
	struct fleet *f = *state;
	struct conn c = { 0 };

	c.orig = (struct tuple){ .sport = 40000, .dport = 25, .proto = 6 };
	addr_parse(&c.orig.src, "10.0.1.2");
	addr_parse(&c.orig.dst, "192.0.2.9");
	c.reply = (struct tuple){ .sport = 2525, .dport = 61000, .proto = 6 };
	addr_parse(&c.reply.src, "192.0.2.77");
	addr_parse(&c.reply.dst, "192.0.2.1");
	plan(f, "tcp 10.0.1.2 192.0.2.9:25", &c, 1);
	assert_true(selects(f, "192.0.2.1", 61000, "192.0.2.77", 2525));
	assert_false(selects(f, "192.0.2.1", 61001, "192.0.2.77", 2525));
}

static void it_never_matches_everything(void **state)
{
	struct fleet *f = *state;

	plan(f, "tcp dport 443", NULL, 0);
	for (size_t i = 0; i < f->count; i++)
		assert_true(pattern_valid(&f->out[i]));
	assert_false(selects(f, "10.9.9.9", 1, "10.9.9.8", 22));
	assert_true(selects(f, "10.9.9.9", 1, "10.0.3.2", 8443));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
		T(both_translations_are_followed), T(a_rule_that_cannot_match_adds_nothing),
		T(the_server_s_view_leads_back),   T(connections_are_followed_exactly),
		T(it_never_matches_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
