/*
 * What the other files leave of the numbered lists in fate.h, ruling.h, flows.c and where.c; tests/numbers counts.
 */
#include "fake.h"

enum { SYN = 2, RST = 4, ACK = 16 };

static const char *const drops_443 =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A INPUT -p tcp -m tcp --dport 443 -j DROP\nCOMMIT\n";
static const char *const open_table =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

static struct tuple web(void)
{
	return tcp("10.0.1.2", 40000, "10.0.3.2", 443);
}

/* rt, armed all the time, between 10.0.1.0/24 and everything behind 10.0.3.9, which nobody watches. */
static uint64_t router(void)
{
	uint64_t rt = host("rt", "10.0.1.1/24");

	route(rt, "10.0.1.0/24", NULL);
	route(rt, "0.0.0.0/0", "10.0.3.9");
	armed(rt, 0, 0);
	return rt;
}

static uint64_t server(void)
{
	uint64_t sv = host("sv", "10.0.3.2/24");

	armed(sv, 0, 0);
	return sv;
}

static struct journey *passes(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple, uint8_t flags,
			      uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	return j;
}

static struct journey *comes(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple, uint8_t flags,
			     uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_PRE_FIRST, 63);
	checkpoint(j, CHECKPOINT_IN_FIRST, 63);
	return j;
}

static void arrives(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple, uint8_t flags,
		    uint32_t seq)
{
	checkpoint(comes(h, t, fp, tuple, flags, seq), CHECKPOINT_IN_LAST, 63);
}

/* A rule of nftables, with the verdict that the kernel told. */
static void told(struct journey *j, enum step_verdict v)
{
	rule(j, HOOK_INPUT, "filter", "INPUT", 0, 63);
	j->steps[j->step_count - 1].backend = BACKEND_NFT;
	j->steps[j->step_count - 1].verdict = v;
	j->steps[j->step_count - 1].handle = 4;
}

/* An ICMP error that embeds a packet of `about`. */
static struct journey *error(uint64_t h, int64_t t, const char *from, struct tuple about,
			     uint8_t type, uint8_t code, enum checkpoint first)
{
	struct tuple tuple = { .proto = 1, .dst = about.src };
	struct journey *e;

	assert_true(addr_parse(&tuple.src, from));
	e = journey(h, t, 900 + (uint64_t)t, tuple, 0, 0);
	e->is_icmp_error = e->has_inner = e->has_inner_tuple = true;
	e->icmp_type = type;
	e->icmp_code = code;
	e->inner = about;
	e->inner_proto = about.proto;
	e->inner_len = 60;
	checkpoint(e, first, 64);
	checkpoint(e, CHECKPOINT_POST_LAST, 64);
	return e;
}

/* -j TEE: rt sends a copy from its OUTPUT, with its sender's address, to a host that throws it away. */
static void fate_0a_what_died_of_a_copy_is_not_the_packets_fate(void **state)
{
	uint64_t rt = router(), spy = host("spy", "10.77.0.2/24"), sv;
	struct journey *j;

	(void)state;
	passes(rt, 1000, 7, web(), SYN, 1);
	j = journey(rt, 1000, 7, web(), SYN, 1);
	checkpoint(j, CHECKPOINT_OUT_FIRST, 63);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	kernel_freed(journey(spy, 1001, 7, web(), SYN, 1), "IP_INADDRERRORS", 0, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_true(json_is_null(at("died_at")));
	/* Where it was to go it is the packet itself. */
	sv = server();
	kernel_freed(journey(sv, 1001, 7, web(), SYN, 1), "NETFILTER_DROP", 1 << HOOK_INPUT, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.host"), "sv");
	/* Without the copy it died at spy. */
	fake.journeys[1] = fake.journeys[2];
	fake.journeys[1].row = 2;
	fake.journey_count = 2;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.host"), "spy");
}

/* Behind a gateway that nobody watches two packets with equal contents came at once. */
static void fate_0b_an_ambiguous_link_to_other_addresses_accuses_nobody(void **state)
{
	struct tuple other = tcp("10.0.2.1", 50001, "10.0.3.2", 443),
		     third = tcp("10.0.2.1", 50002, "10.0.3.2", 443);
	uint64_t rt = router(), sv = server();

	(void)state;
	passes(rt, 1000, 7, web(), SYN, 1);
	kernel_freed(journey(sv, 1001, 7, other, SYN, 1), "NETFILTER_DROP", 1 << HOOK_INPUT, 62);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.host"), "sv");
	kernel_freed(journey(sv, 1002, 7, third, SYN, 1), "NETFILTER_DROP", 1 << HOOK_INPUT, 62);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_true(json_is_null(at("died_at")));
	assert_non_null(strstr(text("reason"), "is the one that ended at sv is not known"));
	/* Asked for by its own addresses it died there, whoever sent it. */
	ask("tcp 10.0.2.1:50001 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.host"), "sv");
}

static void fate_1_nft_itself_tells_of_a_drop(void **state)
{
	uint64_t sv = server();

	(void)state;
	told(comes(sv, 1000, 7, web(), SYN, 1), STEP_VERDICT_DROP);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.host"), "sv");
}

static void fate_1_what_a_queue_took_is_not_watched(void **state)
{
	uint64_t sv = server();

	(void)state;
	told(comes(sv, 1000, 7, web(), SYN, 1), STEP_VERDICT_QUEUE);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_non_null(strstr(text("reason"), "userspace queue"));
}

static void fate_1a_what_a_queue_did_not_take_died_there(void **state)
{
	uint64_t sv = server();
	struct journey *j = comes(sv, 1000, 7, web(), SYN, 1);

	(void)state;
	told(j, STEP_VERDICT_QUEUE);
	kernel_freed(j, "NOT_SPECIFIED", 0, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("causes.0.id"), "nfqueue-no-listener");
}

static void fate_5a_its_own_error_tells_what_is_wrong_behind_it(void **state)
{
	uint64_t rt = router();

	(void)state;
	passes(rt, 1000, 7, web(), SYN, 1);
	error(rt, 1900, "10.0.1.1", web(), 3, 1, CHECKPOINT_OUT_FIRST);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_string_equal(text("causes.0.id"), "neighbor-unreachable");
	/* One that embeds another packet says nothing about this. */
	fake.journeys[1].j.inner_len = 61;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "left");
}

/* The host that it came back by told of it first: it is rt's own all the same. */
static void fate_5a_its_own_error_may_be_known_from_further_back(void **state)
{
	uint64_t rt = router();

	(void)state;
	passes(rt, 1000, 7, web(), SYN, 1);
	error(host("gw", "10.0.2.1/24"), 1900, "10.0.1.1", web(), 3, 1, CHECKPOINT_PRE_FIRST);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_string_equal(text("died_at.host"), "rt");
	assert_true(json_is_null(at("died_at.answered_by")));
}

static void fate_5e_an_error_from_further_on_is_about_what_lies_behind(void **state)
{
	uint64_t rt = router();

	(void)state;
	passes(rt, 1000, 7, web(), SYN, 1);
	error(rt, 1010, "10.0.9.9", web(), 3, 13, CHECKPOINT_PRE_FIRST);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "rejected");
	assert_string_equal(text("died_at.kind"), "link");
	assert_string_equal(text("died_at.host"), "rt");
	assert_string_equal(text("died_at.answered_by"), "10.0.9.9");
	assert_string_equal(text("confidence"), "inferred");
	assert_string_equal(text("hops.0.outcome"), "left");
}

static void fate_6_a_line_of_a_log_is_no_end(void **state)
{
	uint64_t sv = host("sv", "10.0.3.2/24");
	struct step *s;

	(void)state;
	s = add_step(journey(sv, 1000, 7, web(), SYN, 1), 63);
	s->label = LABEL_LOG;
	s->hook = HOOK_INPUT;
	s->prefix = "seen ";
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_non_null(strstr(text("reason"), "INPUT of sv logged it"));
}

/* TPROXY is the last rule of the trace, and lets nobody in: tracking, which was before it, is not to blame. */
static void fate_3a_a_proxy_that_nobody_runs(void **state)
{
	static const char *const proxied =
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		":POSTROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j TPROXY --on-port 3128\n"
		"-A PREROUTING -j ACCEPT\nCOMMIT\n";
	uint64_t rt = router();
	struct journey *j = journey(rt, 1000, 7, web(), SYN, 1);

	(void)state;
	table(rt, "mangle", proxied, 0, 500, 90000, 0);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	rule(j, HOOK_PREROUTING, "mangle", "PREROUTING", 1, 64);
	kernel_freed(j, "NETFILTER_DROP", 1 << HOOK_PREROUTING, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_int_equal(number("died_at.rule"), 1);
	assert_string_equal(text("causes.0.id"), "not-listening");
	/* Behind a rule that accepts it is not known what did it, but that tracking did not. */
	j->steps[1].number = 2;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_string_equal(text("causes.0.id"), "explicit-drop");
}

/* Nobody traced it; the rule hands such packets over, and the kernel freed one without a reason. */
static void fate_6b_what_a_queue_did_not_take_untraced(void **state)
{
	static const char *const queues =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		"-A INPUT -p tcp -m tcp --dport 443 -j NFQUEUE --queue-num 5\nCOMMIT\n";
	uint64_t sv = server();
	struct journey *j = journey(sv, 1000, 7, web(), SYN, 1);

	(void)state;
	table(sv, "filter", queues, 0, 500, 90000, 0);
	memcpy(j->in_if, "eth0", 5);
	j->out_if[0] = '\0';
	kernel_freed(j, "NOT_SPECIFIED", 0, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("causes.0.id"), "nfqueue-no-listener");
	assert_string_equal(text("confidence"), "inferred");
	/* Another port's packets are not handed over. */
	fake.journeys[0].j.tuples[0].dport = 444;
	ask("tcp 10.0.1.2 10.0.3.2:444");
	assert_string_equal(text("verdict"), "unknown");
}

/* Its headers were read by one source only: the other's steps could not be joined. */
static void fate_7_steps_without_a_checkpoint_end_nothing(void **state)
{
	uint64_t rt = router();
	struct journey *j = journey(rt, 1000, 7, web(), SYN, 1);

	(void)state;
	table(rt, "filter", open_table, 0, 500, 90000, 0);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	j->steps[0].label = LABEL_POLICY;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_true(json_is_null(at("died_at")));
	/* With one it ended behind FORWARD, for all that is known. */
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	j->steps[2] = j->steps[0];
	j->step_count = 3;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.reason"), "AFTER_FORWARD");
}

/* It takes the server's SYN-ACK behind every hook that a table has. */
static void fate_7_what_a_synproxy_took_is_not_discarded(void **state)
{
	static const char *const proxies =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		"-A FORWARD -p tcp -m tcp --dport 443 -j SYNPROXY\nCOMMIT\n";
	struct tuple t = web(), back = tuple_reverse(&t);
	uint64_t rt = router();
	struct journey *j = journey(rt, 1000, 7, back, SYN | ACK, 1);

	(void)state;
	table(rt, "filter", open_table, 0, 500, 90000, 0);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	j->steps[1].label = LABEL_POLICY;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	fake.texts[0] = proxies;
	j->steps[1].number = 2;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered"); /* it is an answer */
	assert_true(json_is_null(at("died_at")));
}

static void the_rule_that_set_the_ttl_is_the_culprit(void **state)
{
	static const char *const sets =
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		":POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -p udp -j ACCEPT\n-A POSTROUTING -j TTL --ttl-set 2\nCOMMIT\n";
	uint64_t cl = host("cl", "10.0.1.2/24"), rt = router();
	struct journey *j;

	(void)state;
	table(cl, "mangle", sets, 0, 500, 90000, 0);
	j = journey(cl, 1000, 7, web(), SYN, 1);
	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	rule(j, HOOK_POSTROUTING, "mangle", "POSTROUTING", 2, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 1);
	j = journey(rt, 1001, 7, web(), SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 1);
	kernel_freed(j, "IP_INHDR", 0, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.host"), "rt");
	assert_string_equal(text("causes.0.id"), "ttl-expired");
	assert_string_equal(text("causes.0.culprit.host"), "cl");
	assert_int_equal(number("causes.0.culprit.rule"), 2);
	/* One that another rule accepted first had its TTL from nobody. */
	fake.steps[0][1].number = 1;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_true(json_is_null(at("causes.0.culprit")));
}

static void ruling_0_what_is_outside_the_window_does_not_decide(void **state)
{
	uint64_t sv = server();

	(void)state;
	table(sv, "filter", drops_443, 0, 500, 90000, 0);
	arrives(sv, FAKE_NOW - 2000, 7, web(), SYN, 1);
	rule(comes(sv, FAKE_NOW + 1000, 8, web(), ACK, 2), HOOK_INPUT, "filter", "INPUT", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_int_equal(number("packets"), 1);
	fake.journeys[1].at.v = fake.journeys[1].j.at.v = ms(FAKE_NOW - 1000);
	for (size_t i = 0; i < 3; i++)
		fake.steps[1][i].at.v = ms(FAKE_NOW - 1000);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_true(json_is_true(at("partial")));
}

/* The SYN that nobody listened for has made the entry: tracking tells of no other one. */
static void ruling_3a_a_refused_syn_is_tracked_itself(void **state)
{
	struct tuple t = web();
	uint64_t sv = server();
	struct journey *j = comes(sv, 1000, 7, t, SYN, 1);

	(void)state;
	checkpoint(j, CHECKPOINT_IN_LAST, 63);
	kernel_freed(j, "NO_SOCKET", 0, 63);
	fake.conns[fake.conn_count++] = (struct stored_conn){
		.host = sv, .c = { .orig = t, .reply = tuple_reverse(&t) }, .from = { ms(1005) }
	};
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "refused");
}

/* Nobody traced it: its own entry is told a moment after its death, another's after a second. */
static void ruling_3a_a_syn_that_a_queue_lost_is_tracked_itself(void **state)
{
	struct tuple t = web();
	uint64_t rt = router();

	(void)state;
	kernel_freed(journey(rt, 1000, 7, t, SYN, 1), "QDISC_DROP", 1 << HOOK_POSTROUTING, 63);
	fake.conns[fake.conn_count++] = (struct stored_conn){
		.host = rt, .c = { .orig = t, .reply = tuple_reverse(&t) }, .from = { ms(1020) }
	};
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	fake.conns[0].from.v = ms(2020);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_not_equal(text("verdict"), "discarded");
}

static void ruling_4_what_a_change_has_healed_does_not_decide(void **state)
{
	uint64_t sv = server();

	(void)state;
	table(sv, "filter", drops_443, 0, 500, 1400, 1500);
	table(sv, "filter", open_table, 1400, 1500, 90000, 0);
	rule(comes(sv, 1000, 7, web(), SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	arrives(sv, 2000, 8, web(), SYN, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	/* Nothing arrived since the change: the death stands. */
	fake.journey_count = 1;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	/* It arrived before the change, too: no healing. */
	arrives(sv, 800, 8, web(), ACK, 2);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_true(json_is_true(at("partial")));
}

/* What routing ended, by a change of routes; a table's change, or none, does not heal that, nor a route's a rule's drop. */
static void ruling_4_routes_heal_what_routing_ended(void **state)
{
	uint64_t rt = router(), sv = server();
	struct tuple t = web();

	(void)state;
	t.proto = 17;
	kernel_freed(journey(rt, 1000, 7, t, 0, 0), "IP_INNOROUTES", 0, 63);
	passes(rt, 3000, 8, t, 0, 0);
	arrives(sv, 3001, 8, t, 0, 0);
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	fake.facts_told[rt - 1] = 2000;
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_string_equal(text("others.0.verdict"), "discarded");
	fake.steps[0][0].prefix = "QDISC_DROP";
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
}

/* A program began to listen. */
static void ruling_4_a_listener_heals_what_nobody_listened_for(void **state)
{
	struct tuple t = web();
	uint64_t sv = server();
	struct journey *j;

	(void)state;
	t.proto = 17;
	j = comes(sv, 1000, 7, t, 0, 0);
	checkpoint(j, CHECKPOINT_IN_LAST, 63);
	kernel_freed(j, "NO_SOCKET", 0, 63);
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "refused");
	arrives(sv, 2000, 8, t, 0, 0);
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_string_equal(text("others.0.verdict"), "refused");
	/* It has ended since. */
	j = comes(sv, 3000, 9, t, 0, 0);
	checkpoint(j, CHECKPOINT_IN_LAST, 63);
	kernel_freed(j, "NO_SOCKET", 0, 63);
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "refused");
}

static void ruling_6_without_deaths_the_best_that_is_known(void **state)
{
	uint64_t rt = router(), sv;

	(void)state;
	passes(rt, 1000, 7, web(), ACK, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "left");
	sv = host("sv", "10.0.3.2/24"); /* behind hosts that nobody watches */
	passes(rt, 1100, 8, web(), ACK, 2);
	arrives(sv, 1101, 8, web(), ACK, 2);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
}

/* It may be the server's own, or a firewall's: it is no reply, and it is said. */
static void ruling_6_a_reset_from_behind_is_told(void **state)
{
	struct tuple t = web(), back = tuple_reverse(&t);
	uint64_t rt = router();
	struct journey *j;

	(void)state;
	passes(rt, 1000, 7, t, SYN, 1);
	j = passes(rt, 1002, 8, back, RST | ACK, 0);
	j->tcp_ack = 2;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "left");
	assert_true(json_is_false(at("reply_seen")));
	assert_non_null(strstr(text("reason"), "a reset answered it, from behind rt"));
}

/* A program of the router's ends connections in the server's name; a REJECT that did is told as such. */
static void a_reset_in_somebody_elses_name_is_told(void **state)
{
	struct tuple t = web(), back = tuple_reverse(&t);
	uint64_t rt = router(), sv = server();
	struct journey *j;

	(void)state;
	passes(rt, 1000, 7, t, SYN, 1);
	arrives(sv, 1001, 7, t, SYN, 1);
	j = journey(rt, 1002, 8, back, RST | ACK, 0);
	j->tcp_ack = 2;
	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_true(json_is_false(at("reply_seen")));
	assert_string_equal(text("causes.0.id"), "reject");
	assert_string_equal(
		text("causes.0.summary"),
		"rt sent 10.0.1.2 a reset in the name of 10.0.3.2: the connection ends by that");
	assert_int_equal(json_array_size(at("causes")), 1);
}

/* Nobody watches where it arrived; the last hop is where it left the watched ones. */
static void a_hop_that_an_answer_proves_to_have_left_did_not_deliver(void **state)
{
	struct tuple t = web(), back = tuple_reverse(&t);
	uint64_t rt = router();
	struct journey *j;

	(void)state;
	passes(rt, 1000, 7, t, SYN, 1);
	j = passes(rt, 1002, 8, back, SYN | ACK, 90);
	j->tcp_ack = 2;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_string_equal(text("hops.0.outcome"), "left");
}

static void a_kind_is_told_where_all_are_of_it(void **state)
{
	uint64_t sv = server();

	(void)state;
	table(sv, "filter", drops_443, 0, 500, 90000, 0);
	for (int i = 0; i < 2; i++)
		rule(comes(sv, 1000 + i, 7 + (uint64_t)i, web(), SYN, 1), HOOK_INPUT, "filter",
		     "INPUT", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("packets"), 2);
	assert_string_equal(text("kind"), "SYN");
	rule(comes(sv, 1100, 9, web(), RST | ACK, 2), HOOK_INPUT, "filter", "INPUT", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("packets"), 3);
	assert_true(json_is_null(at("kind")));
}

/* Whatever address it gave: its sender is the first hop. */
static void who_sends_by_a_foreign_address_is_watched(void **state)
{
	struct tuple t = tcp("192.0.2.9", 40000, "10.0.3.2", 443);
	struct journey *j;

	(void)state;
	j = journey(host("cl", "10.0.1.2/24"), 1000, 7, t, SYN, 1);
	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	arrives(server(), 1001, 7, t, SYN, 1);
	ask("tcp 192.0.2.9 10.0.3.2:443");
	assert_int_equal(json_array_size(at("unwatched")), 0);
}

/* The second packet was seen only behind the translation: it is of the conversation whose first became that. */
static void flows_4_what_bears_a_known_translation_belongs_to_it(void **state)
{
	struct tuple after = tcp("192.0.2.1", 40000, "10.0.3.2", 443);
	uint64_t rt = router(), sv = server();

	(void)state;
	becomes(passes(rt, 1000, 7, web(), SYN, 1), after);
	fake.steps[0][2].tuple = 1;
	arrives(sv, 1001, 7, after, SYN, 1);
	arrives(sv, 1100, 8, after, ACK, 2);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("matched"), 1);
	assert_int_equal(number("packets"), 2);
	assert_string_equal(text("flow.src"), "10.0.1.2");
}

static void flows_5_a_reply_belongs_to_the_newest_before_it(void **state)
{
	struct tuple t = web(), back = tuple_reverse(&t);
	uint64_t sv = server();
	struct journey *j;

	(void)state;
	table(sv, "filter", drops_443, 0, 500, 90000, 0);
	rule(comes(sv, 1000, 7, t, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	arrives(sv, 30000, 8, t, SYN, 1000000);
	j = journey(sv, 30001, 9, back, SYN | ACK, 5);
	j->tcp_ack = 1000001;
	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("matched"), 2);
	assert_string_equal(text("verdict"), "delivered");
	assert_true(json_is_true(at("reply_seen")));
	assert_string_equal(text("others.0.verdict"), "dropped");
}

static void flows_7_conntrack_tells_what_the_sender_called_it(void **state)
{
	struct tuple t = web(), after = tcp("192.0.2.1", 41000, "10.0.3.2", 443);
	uint64_t gw = host("gw", "192.0.2.1/24"), sv = server();

	(void)state;
	arrives(sv, 1001, 7, after, SYN, 1);
	fake.conns[fake.conn_count++] = (struct stored_conn){
		.host = gw, .c = { .orig = t, .reply = tuple_reverse(&after) }, .from = { ms(1000) }
	};
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("matched"), 1);
	assert_string_equal(text("flow.src"), "10.0.1.2");
	assert_int_equal(number("flow.sport"), 40000);
}

/* Two that died, then one that arrived. */
static void three_flows(uint64_t sv)
{
	table(sv, "filter", drops_443, 0, 500, 90000, 0);
	for (uint16_t i = 0; i < 3; i++) {
		struct tuple t = tcp("10.0.1.2", (uint16_t)(40000 + i), "10.0.3.2", 443);
		int64_t at = 1000 + 100 * i;

		if (i == 2)
			arrives(sv, at, 7u + i, t, SYN, 1);
		else
			rule(comes(sv, at, 7u + i, t, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1,
			     63);
	}
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("matched"), 3);
}

static void where_2_the_worst_answers(void **state)
{
	(void)state;
	three_flows(server());
	assert_string_equal(text("verdict"), "dropped");
	assert_int_equal(number("others.1.flow.sport"), 40002);
	assert_string_equal(text("others.1.verdict"), "delivered");
}

static void where_3_of_equals_the_newest(void **state)
{
	(void)state;
	three_flows(server());
	assert_int_equal(number("flow.sport"), 40001);
	assert_int_equal(number("others.0.flow.sport"), 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, fresh)
		T(fate_0a_what_died_of_a_copy_is_not_the_packets_fate),
		T(fate_0b_an_ambiguous_link_to_other_addresses_accuses_nobody),
		T(fate_1_nft_itself_tells_of_a_drop),
		T(fate_1_what_a_queue_took_is_not_watched),
		T(fate_1a_what_a_queue_did_not_take_died_there),
		T(fate_5a_its_own_error_tells_what_is_wrong_behind_it),
		T(fate_5a_its_own_error_may_be_known_from_further_back),
		T(fate_5e_an_error_from_further_on_is_about_what_lies_behind),
		T(fate_6_a_line_of_a_log_is_no_end),
		T(fate_3a_a_proxy_that_nobody_runs),
		T(fate_6b_what_a_queue_did_not_take_untraced),
		T(fate_7_steps_without_a_checkpoint_end_nothing),
		T(fate_7_what_a_synproxy_took_is_not_discarded),
		T(the_rule_that_set_the_ttl_is_the_culprit),
		T(ruling_0_what_is_outside_the_window_does_not_decide),
		T(ruling_3a_a_refused_syn_is_tracked_itself),
		T(ruling_3a_a_syn_that_a_queue_lost_is_tracked_itself),
		T(ruling_4_what_a_change_has_healed_does_not_decide),
		T(ruling_4_routes_heal_what_routing_ended),
		T(ruling_4_a_listener_heals_what_nobody_listened_for),
		T(ruling_6_without_deaths_the_best_that_is_known),
		T(ruling_6_a_reset_from_behind_is_told),
		T(a_reset_in_somebody_elses_name_is_told),
		T(a_hop_that_an_answer_proves_to_have_left_did_not_deliver),
		T(a_kind_is_told_where_all_are_of_it),
		T(who_sends_by_a_foreign_address_is_watched),
		T(flows_4_what_bears_a_known_translation_belongs_to_it),
		T(flows_5_a_reply_belongs_to_the_newest_before_it),
		T(flows_7_conntrack_tells_what_the_sender_called_it),
		T(where_2_the_worst_answers),
		T(where_3_of_equals_the_newest),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
