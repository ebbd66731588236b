/* Hosts that come and go while their agent is connected: theirs alone, each with its records. */
#include "tests/unit/collector_ingest/bench.h"

enum { TCP_MS = 100 }; /* a small write may wait for the ack of the one before */

struct seen {
	char text[256]; /* "+gw/blue-gw/red": hello and gone, in order */
};

static void on_hello(void *arg, const char *host)
{
	struct seen *s = arg;
	size_t len = strlen(s->text);

	snprintf(s->text + len, sizeof(s->text) - len, "+%s", host);
}

static void on_gone(void *arg, const char *host)
{
	struct seen *s = arg;
	size_t len = strlen(s->text);

	snprintf(s->text + len, sizeof(s->text) - len, "-%s", host);
}

static void client_hosts(struct client *c, struct msg_host *list, uint32_t count)
{
	struct msg m = { .kind = MSG_HOSTS, .hosts = { count, list } };

	client_send(c, &m);
	bench_turns(c->b, TCP_MS);
}

static void hosts_come_and_go(void **state)
{
	struct msg_host list[] = { { "gw", "", false }, { "gw/blue", "blue", false } };
	struct seen seen = { "" };
	struct ingest_observer watch = { .hello = on_hello, .gone = on_gone, .arg = &seen };
	struct record r = checked();
	struct msg start = { .kind = MSG_LEASE_STOP }, m;
	struct ingest_live live;
	struct bench b;
	struct client c;

	(void)state;
	bench_open(&b);
	ingest_watch(b.ingest, &watch);
	client_greet(&c, &b, "gw", 3, NULL);
	client_batch(&c, 1, &r);
	assert_true(client_recv(&c, &m, MSG_ACK));
	client_hosts(&c, list, 2);
	assert_true(ingest_live(b.ingest, "gw/blue", &live) && live.connected && !live.gone &&
		    !live.rulesets_told);
	assert_true(ingest_live(b.ingest, "gw", &live) && live.rulesets_told); /* as before */
	r.host = 1;
	client_batch(&c, 2, &r);
	assert_true(client_recv(&c, &m, MSG_ACK));
	assert_true(ingest_live(b.ingest, "gw/blue", &live) && live.rulesets_told);

	list[1].gone = true;
	client_hosts(&c, list, 2);
	assert_true(ingest_live(b.ingest, "gw/blue", &live) && live.gone && !live.connected);
	assert_int_equal(ingest_send(b.ingest, "gw/blue", &start), -ENOTCONN);
	list[1].gone = false; /* the same name: another life */
	client_hosts(&c, list, 2);
	assert_true(ingest_live(b.ingest, "gw/blue", &live) && live.connected &&
		    !live.rulesets_told);
	list[1] = (struct msg_host){ "gw/red", "red", false }; /* its index passes on */
	client_hosts(&c, list, 2);
	assert_false(ingest_live(b.ingest, "gw/blue", &live));
	assert_int_equal(ingest_send(b.ingest, "gw/red", &start), 0);
	assert_true(client_recv(&c, &m, MSG_LEASE_STOP));
	assert_int_equal(m.lease_stop.host, 1);
	assert_string_equal(seen.text, "+gw+gw/blue-gw/blue+gw/blue-gw/blue+gw/red");
	ingest_unwatch(b.ingest, &watch);
	client_close(&c);
	bench_close(&b);
}

static void nobody_names_the_hosts_of_others(void **state)
{
	static const char *const ids[] = { "sv", "gw2/blue", "gw/a/b", "gw/", "gw/a b", "gw/\xff" };
	struct ingest_live live;
	struct bench b;
	size_t i;

	(void)state;
	bench_open(&b);
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct msg_host list[] = { { "gw", "", false }, { ids[i], "", false } };
		struct client c;

		client_greet(&c, &b, "gw", 3 + i, NULL);
		client_hosts(&c, list, 2);
		assert_true(client_ended(&c));
		assert_false(ingest_live(b.ingest, ids[i], &live));
		client_close(&c);
	}
	assert_int_equal(ingest_counts(b.ingest)->protocol_errors, sizeof(ids) / sizeof(ids[0]));
	bench_close(&b);
}

static void a_record_of_a_host_that_was_not_named_ends_the_session(void **state)
{
	struct record r = checked();
	struct bench b;
	struct client c;

	(void)state;
	bench_open(&b);
	client_greet(&c, &b, "gw", 3, NULL);
	r.host = 1;
	client_batch(&c, 1, &r);
	assert_true(client_ended(&c));
	client_close(&c);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_come_and_go),
		cmocka_unit_test(nobody_names_the_hosts_of_others),
		cmocka_unit_test(a_record_of_a_host_that_was_not_named_ends_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
