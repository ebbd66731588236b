/*
 * A lease reaches each host that it names with patterns that follow NAT, is answered when they have answered, is
 * renewed, thinned out on all hosts alike, ended everywhere, and survives the collector.
 */
#include "collector/lease/lease.h"
#include "tests/unit/collector_ingest/bench.h"

static const char nat[] =
	"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	":POSTROUTING ACCEPT [0:0]\n"
	"-A PREROUTING -d 10.0.1.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443\nCOMMIT\n";

struct table_bench {
	struct bench b;
	struct asks *asks;
	struct leases *leases;
	int answers;
	struct lease_view view; /* the last answer; its hosts are copied */
	struct lease_host hosts[8];
};

static void leases_up(struct table_bench *t)
{
	assert_int_equal(asks_new(&t->asks, &t->b.loop, t->b.store), 0);
	assert_int_equal(leases_open(&t->leases, &t->b.loop, t->b.store, t->b.ingest, t->asks), 0);
}

static void leases_down(struct table_bench *t)
{
	leases_close(t->leases);
	bench_turns(&t->b, 100);
	leases_free(t->leases);
	asks_free(t->asks);
}

static void table_open(struct table_bench *t)
{
	memset(t, 0, sizeof(*t));
	bench_open(&t->b);
	leases_up(t);
}

static void table_close(struct table_bench *t)
{
	leases_down(t);
	bench_close(&t->b);
}

static void on_answer(void *arg, const struct lease_view *v)
{
	struct table_bench *t = arg;

	t->answers++;
	if (!v) /* the collector stops */
		return;
	assert_true(v->host_count <= 8);
	t->view = *v;
	for (size_t i = 0; i < v->host_count; i++)
		t->hosts[i] = v->hosts[i];
	t->view.hosts = t->hosts;
}

static void start(struct table_bench *t, const char *text, const char *on, uint32_t ms,
		  bool dry_run)
{
	const char *const words[] = { text };
	const char *const names[] = { on };
	struct lease_request q = { .on = names,
				   .on_count = 1,
				   .for_ms = ms,
				   .rate = 100,
				   .by = "test",
				   .dry_run = dry_run };
	struct why why = { "" };
	struct flow flow;

	assert_int_equal(flow_parse(&flow, 1, words, &why), 0);
	q.flow = &flow;
	assert_int_equal(leases_start(t->leases, &q, on_answer, t, &why), 0);
}

static void wait_answer(struct table_bench *t)
{
	int64_t end = boot_now().v + 10 * (int64_t)NS_PER_S;

	while (t->answers == 0 && boot_now().v < end)
		bench_turn(&t->b);
	assert_int_equal(t->answers, 1);
}

static void say_lease(struct client *c, uint64_t seq, uint64_t id, enum lease_state state,
		      uint32_t modulus, uint64_t refused)
{
	struct record r = { .kind = RECORD_LEASE };
	struct msg m;

	r.lease = (struct lease_fact){ .at = boot_now(),
				       .id = id,
				       .state = state,
				       .modulus = modulus,
				       .refused = refused,
				       .why = state == LEASE_REFUSED ? "not allowed" : NULL };
	client_batch(c, seq, &r);
	assert_true(client_recv(c, &m, MSG_ACK));
}

static const struct lease_host *host_of(const struct table_bench *t, const char *id)
{
	for (size_t i = 0; i < t->view.host_count; i++)
		if (!strcmp(t->view.hosts[i].id, id))
			return &t->view.hosts[i];
	return NULL;
}

static void every_named_host_is_asked_and_heard(void **state)
{
	struct table_bench t;
	struct client gw, sv;
	struct msg m;

	(void)state;
	table_open(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	client_greet(&sv, &t.b, "sv", 1, NULL);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "all", 30000, false);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	assert_int_equal(m.lease_start.modulus, 1);
	assert_int_equal(m.lease_start.rate, 100);
	assert_int_equal(m.lease_start.pattern_count, 1);
	assert_true(m.lease_start.remaining_ms > 28000 && m.lease_start.remaining_ms <= 30000);
	assert_true(client_recv(&sv, &m, MSG_LEASE_START));
	say_lease(&gw, 1, m.lease_start.id, LEASE_ARMED, 1, 0);
	assert_int_equal(t.answers, 0);
	say_lease(&sv, 1, m.lease_start.id, LEASE_REFUSED, 1, 0);
	wait_answer(&t);
	assert_int_equal(t.view.host_count, 2);
	assert_int_equal(host_of(&t, "gw")->state, LEASE_ARMED);
	assert_int_equal(host_of(&t, "sv")->state, LEASE_REFUSED);
	assert_string_equal(host_of(&t, "sv")->why, "not allowed");
	assert_int_equal(t.b.store->lease_count, 1);
	assert_false(t.b.store->leases[0].ended);

	assert_int_equal(leases_stop(t.leases, m.lease_start.id + 1), -ENOENT);
	assert_int_equal(leases_stop(t.leases, 0), 1);
	assert_true(client_recv(&gw, &m, MSG_LEASE_STOP));
	assert_true(t.b.store->leases[0].ended);
	client_close(&gw);
	client_close(&sv);
	table_close(&t);
}

static void who_does_not_answer_is_silent(void **state)
{
	struct table_bench t;
	struct client gw;
	int64_t began = boot_now().v;

	(void)state;
	table_open(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	start(&t, "udp 10.0.1.2 10.0.3.2:53", "gw", 30000, false);
	wait_answer(&t);
	assert_true(boot_now().v - began < 7 * (int64_t)NS_PER_S);
	assert_int_equal(host_of(&t, "gw")->state, LEASE_SILENT);
	client_close(&gw);
	table_close(&t);
}

static void add_nat(struct table_bench *t)
{
	struct content_id id = content_id_of(nat, sizeof(nat) - 1);

	assert_int_equal(store_put_content(t->b.store, &id, nat, sizeof(nat) - 1), 0);
	pthread_mutex_lock(&t->b.store->lock);
	t->b.store->tables[0] = (struct stored_table){
		.host = 4, .family = FAMILY_IPV4, .table = "nat", .content = id, .from = { 1 }
	};
	t->b.store->table_count = 1;
	pthread_mutex_unlock(&t->b.store->lock);
}

static void patterns_follow_nat_as_it_changes(void **state)
{
	struct record r = { .kind = RECORD_RULESET };
	struct table_bench t;
	struct client gw;
	struct msg m;
	uint32_t i;
	bool translated = false;

	(void)state;
	table_open(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "g*", 30000, false);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	assert_int_equal(m.lease_start.pattern_count, 1);
	add_nat(&t);
	r.ruleset = (struct ruleset_fact){ .read_at = boot_now(),
					   .family = FAMILY_IPV4,
					   .table = "nat",
					   .content = content_id_of(nat, sizeof(nat) - 1) };
	client_batch(&gw, 1, &r);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	for (i = 0; i < m.lease_start.pattern_count; i++)
		translated |= m.lease_start.patterns[i].dport == 8443;
	assert_true(translated);
	client_close(&gw);
	table_close(&t);
}

static void a_dry_run_arms_nothing(void **state)
{
	struct table_bench t;
	struct client gw;
	struct msg m;

	(void)state;
	table_open(&t);
	add_nat(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "all", 30000, true);
	wait_answer(&t);
	assert_int_equal(t.view.host_count, 1);
	assert_true(t.view.pattern_count >= 2);
	while (client_recv_for(&gw, &m, 300))
		assert_int_not_equal(m.kind, MSG_LEASE_START);
	assert_int_equal(t.b.store->lease_count, 0);
	client_close(&gw);
	table_close(&t);
}

static void all_hosts_thin_out_when_one_must(void **state)
{
	struct table_bench t;
	struct client gw, sv;
	struct msg m;
	uint64_t id;

	(void)state;
	table_open(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	client_greet(&sv, &t.b, "sv", 1, NULL);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "all", 30000, false);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	assert_true(client_recv(&sv, &m, MSG_LEASE_START));
	id = m.lease_start.id;
	say_lease(&gw, 1, id, LEASE_ARMED, 1, 0);
	say_lease(&sv, 1, id, LEASE_ARMED, 1, 0);
	wait_answer(&t);
	say_lease(&gw, 2, id, LEASE_ARMED, 1, 40);
	assert_true(client_recv(&sv, &m, MSG_LEASE_START));
	assert_int_equal(m.lease_start.modulus, 2);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	assert_int_equal(m.lease_start.modulus, 2);
	/* What was refused under the old modulus does not count again. */
	say_lease(&gw, 3, id, LEASE_ARMED, 2, 60);
	while (client_recv_for(&sv, &m, 2500))
		assert_int_not_equal(m.kind, MSG_LEASE_START);
	client_close(&gw);
	client_close(&sv);
	table_close(&t);
}

static void who_comes_later_joins(void **state)
{
	struct record sources = { .kind = RECORD_SOURCES }, rules = checked();
	struct table_bench t;
	struct client gw;
	struct msg m;

	(void)state;
	table_open(&t);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "all", 30000, false);
	wait_answer(&t);
	assert_int_equal(t.view.host_count, 0);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	while (client_recv_for(&gw, &m, 300)) /* its rulesets are not known yet */
		assert_int_not_equal(m.kind, MSG_LEASE_START);
	client_batch(&gw, 1, &sources);
	client_batch(&gw, 2, &rules);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	client_close(&gw);
	table_close(&t);
}

static void a_lease_ends_in_time(void **state)
{
	struct table_bench t;
	struct client gw;
	struct msg m;
	int64_t began = boot_now().v;

	(void)state;
	table_open(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "all", 1500, false);
	assert_true(client_recv(&gw, &m, MSG_LEASE_STOP));
	assert_true(boot_now().v - began >= 1400 * (int64_t)NS_PER_MS);
	assert_true(boot_now().v - began < 4 * (int64_t)NS_PER_S);
	assert_true(t.b.store->leases[0].ended);
	client_close(&gw);
	table_close(&t);
}

static void leases_survive_the_collector(void **state)
{
	struct record rules = checked();
	struct table_bench t;
	struct client gw;
	struct msg m;
	uint64_t id;

	(void)state;
	table_open(&t);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	start(&t, "tcp 10.0.1.2 10.0.1.1:443", "gw", 30000, false);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	id = m.lease_start.id;
	say_lease(&gw, 1, id, LEASE_ARMED, 1, 0);
	wait_answer(&t);
	t.b.store->armings[0] =
		(struct stored_arming){ .lease = id, .host = 4, .from = wall_now(), .modulus = 4 };
	t.b.store->arming_count = 1;

	leases_down(&t);
	client_close(&gw);
	bench_turns(&t.b, 50);
	leases_up(&t);
	bench_turns(&t.b, 100);
	client_greet(&gw, &t.b, "gw", 1, NULL);
	client_batch(&gw, 2, &rules);
	assert_true(client_recv(&gw, &m, MSG_LEASE_START));
	assert_true(m.lease_start.id == id);
	assert_int_equal(m.lease_start.modulus, 4);
	assert_int_equal(leases_stop(t.leases, id), 1);
	assert_true(client_recv(&gw, &m, MSG_LEASE_STOP));
	client_close(&gw);
	table_close(&t);
}

static void names_and_ids_are_read_back(void **state)
{
	static const char *const on[] = { "gw-*", "sv" }, *const all[] = { "all" };
	char text[LEASE_TEXT_MAX];
	uint64_t id;

	(void)state;
	assert_true(lease_names(on, 2, "gw-1") && lease_names(on, 2, "sv") &&
		    lease_names(all, 1, "x/y"));
	assert_false(lease_names(on, 2, "sv2") || lease_names(on, 2, "gw"));
	lease_print(0x4f21, text);
	assert_string_equal(text, "4f21");
	assert_true(lease_parse(&id, text) && id == 0x4f21);
	assert_false(lease_parse(&id, "") || lease_parse(&id, "0") || lease_parse(&id, "4g") ||
		     lease_parse(&id, "11111111111111111"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_named_host_is_asked_and_heard),
		cmocka_unit_test(who_does_not_answer_is_silent),
		cmocka_unit_test(patterns_follow_nat_as_it_changes),
		cmocka_unit_test(a_dry_run_arms_nothing),
		cmocka_unit_test(all_hosts_thin_out_when_one_must),
		cmocka_unit_test(who_comes_later_joins),
		cmocka_unit_test(a_lease_ends_in_time),
		cmocka_unit_test(leases_survive_the_collector),
		cmocka_unit_test(names_and_ids_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
