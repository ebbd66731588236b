/*
 * What the kernel could not deliver becomes a loss: exact where messages are numbered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <linux/netfilter/nfnetlink.h>

#include "agent/source/nflog.h"
#include "agent/source/source.h"

struct seen {
	struct loss losses[8];
	int loss_count, event_count;
	struct trace_event last;
};

static void on_loss(void *arg, const struct loss *l)
{
	struct seen *s = arg;

	s->losses[s->loss_count++] = *l;
}

static void on_trace(void *arg, struct trace_event *e)
{
	struct seen *s = arg;

	s->last = *e;
	s->event_count++;
}

static size_t message(uint8_t *buf, uint32_t seq, int64_t wall_ns)
{
	static const uint8_t ip[28] = { 0x45, 0, 0,  28, 0, 7, 0, 0,  61, 17, 0, 0, 10, 0,
					0,    1, 10, 0,  0, 2, 0, 53, 0,  54, 0, 8, 0,  0 };
	struct nfulnl_msg_packet_hdr hdr = { .hw_protocol = htons(0x0800), .hook = 2 };
	struct nfulnl_msg_packet_timestamp ts = { htobe64((uint64_t)wall_ns / NS_PER_S),
						  htobe64((uint64_t)wall_ns % NS_PER_S / 1000) };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_INET;
	mnl_attr_put(nlh, NFULA_PACKET_HDR, sizeof(hdr), &hdr);
	mnl_attr_put_strz(nlh, NFULA_PREFIX, "TRACE: filter:FORWARD:rule:3 ");
	mnl_attr_put(nlh, NFULA_PAYLOAD, sizeof(ip), ip);
	mnl_attr_put_u32(nlh, NFULA_SEQ, htonl(seq));
	if (wall_ns)
		mnl_attr_put(nlh, NFULA_TIMESTAMP, sizeof(ts), &ts);
	return nlh->nlmsg_len;
}

static int feed(struct source *s, struct seen *seen, uint32_t seq, int64_t wall_ns)
{
	const struct sink out = { .arg = seen, .trace = on_trace, .loss = on_loss };
	uint8_t buf[512] __attribute__((aligned(8))) = { 0 };
	size_t len = message(buf, seq, wall_ns);

	return s->ops->decode(s, buf, len, boot_now(), &out);
}

static void a_gap_in_the_numbers_is_an_exact_loss(void **state)
{
	struct seen seen = { 0 };
	struct source s;

	(void)state;
	source_init(&s, &source_trace_legacy, -1, NULL);
	assert_int_equal(feed(&s, &seen, 0, 0), 0);
	assert_int_equal(feed(&s, &seen, 1, 0), 0);
	assert_int_equal(seen.loss_count, 0);
	assert_int_equal(feed(&s, &seen, 12, 0), 0);
	assert_int_equal(seen.loss_count, 1);
	assert_true(seen.losses[0].count_known);
	assert_int_equal(seen.losses[0].count, 10);
	assert_string_equal(seen.losses[0].source, "trace-legacy");
	assert_int_equal(seen.event_count, 3);
	source_clear(&s);
}

static void what_is_lost_before_the_first_message_counts(void **state)
{
	struct seen seen = { 0 };
	struct source s;

	(void)state;
	source_init(&s, &source_trace_legacy, -1, NULL);
	assert_int_equal(feed(&s, &seen, 5, 0), 0);
	assert_int_equal(seen.loss_count, 1);
	assert_int_equal(seen.losses[0].count, 5);
	source_clear(&s);
}

static void an_overrun_at_the_end_is_of_unknown_size(void **state)
{
	struct seen seen = { 0 };
	const struct sink out = { .arg = &seen, .loss = on_loss };
	struct source s;

	(void)state;
	source_init(&s, &source_trace_legacy, -1, NULL);
	s.overrun = true;
	source_finish(&s, &out);
	assert_int_equal(seen.loss_count, 1);
	assert_false(seen.losses[0].count_known);
	source_finish(&s, &out);
	assert_int_equal(seen.loss_count, 1);
	source_clear(&s);
}

static void a_number_after_an_overrun_tells_its_size(void **state)
{
	struct seen seen = { 0 };
	const struct sink out = { .arg = &seen, .loss = on_loss };
	struct source s;

	(void)state;
	source_init(&s, &source_trace_legacy, -1, NULL);
	s.overrun = true;
	assert_int_equal(feed(&s, &seen, 3, 0), 0);
	source_finish(&s, &out);
	assert_int_equal(seen.loss_count, 1);
	assert_int_equal(seen.losses[0].count, 3);
	source_clear(&s);
}

static void the_kernels_time_is_taken_when_it_is_sane(void **state)
{
	struct seen seen = { 0 };
	struct source s;

	(void)state;
	source_init(&s, &source_trace_legacy, -1, NULL);
	assert_int_equal(feed(&s, &seen, 0, wall_now().v - 5 * NS_PER_MS), 0);
	assert_true(seen.last.step.kernel_time);
	assert_true(seen.last.received.v - seen.last.step.at.v >= 4 * NS_PER_MS);
	assert_true(seen.last.received.v - seen.last.step.at.v < NS_PER_S);
	/* A clock that was set by an hour in between. */
	assert_int_equal(feed(&s, &seen, 1, wall_now().v - 3600 * (int64_t)NS_PER_S), 0);
	assert_false(seen.last.step.kernel_time);
	assert_int_equal(seen.last.step.at.v, seen.last.received.v);
	source_clear(&s);
}

static void a_cut_message_is_given_up(void **state)
{
	struct seen seen = { 0 };
	const struct sink out = { .arg = &seen, .trace = on_trace, .loss = on_loss };
	uint8_t buf[512] __attribute__((aligned(8))) = { 0 };
	size_t len = message(buf, 0, 0);
	struct source s;

	(void)state;
	source_init(&s, &source_trace_legacy, -1, NULL);
	for (size_t cut = 1; cut < len; cut++)
		assert_int_not_equal(s.ops->decode(&s, buf, cut, boot_now(), &out), 0);
	assert_int_equal(seen.event_count, 0);
	source_clear(&s);
}

static void what_groups_log_is_no_trace(void **state)
{
	struct seen seen = { 0 };
	struct source s;

	(void)state;
	source_init(&s, &source_nflog, -1, NULL);
	assert_int_equal(feed(&s, &seen, 2, 0), 0);
	assert_int_equal(seen.loss_count, 1);
	assert_int_equal(seen.losses[0].count, 2);
	assert_string_equal(seen.losses[0].source, "nflog");
	assert_int_equal(seen.event_count, 1);
	assert_true(seen.last.logged);
	assert_int_equal(seen.last.step.label, LABEL_LOG);
	assert_int_equal(seen.last.step.hook, HOOK_FORWARD);
	source_clear(&s);
}

static void more_log_lines_than_the_rate_are_counted(void **state)
{
	struct seen seen = { 0 };
	struct loss l;
	struct source s;

	(void)state;
	source_init(&s, &source_nflog, -1, NULL);
	for (uint32_t i = 0; i < NFLOG_RATE + 7; i++)
		assert_int_equal(feed(&s, &seen, i, 0), 0);
	assert_int_equal(seen.event_count, NFLOG_RATE);
	assert_int_equal(seen.loss_count, 0);
	assert_false(nflog_excess(&s, boot_now(), &l));
	assert_true(nflog_excess(&s, (struct boot_ns){ boot_now().v + 2 * NS_PER_S }, &l));
	assert_int_equal(l.count, 7);
	assert_true(l.count_known);
	assert_false(nflog_excess(&s, (struct boot_ns){ boot_now().v + 2 * NS_PER_S }, &l));
	assert_int_equal(nflog_due(&s).v, 0);
	source_clear(&s);
}

static struct boot_ns came[4];
static int came_count;

static int note_time(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
		     const struct sink *out)
{
	(void)s, (void)p, (void)len, (void)out;
	came[came_count++] = now;
	return 0;
}

static void messages_of_one_read_keep_their_order(void **state)
{
	static const struct source_ops ops = { .name = "noted", .decode = note_time };
	struct seen seen = { 0 };
	const struct sink out = { .arg = &seen, .loss = on_loss };
	struct source s;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	source_init(&s, &ops, fds[1], NULL);
	for (int i = 0; i < 4; i++)
		assert_int_equal(send(fds[0], "x", 1, 0), 1);
	assert_int_equal(source_drain(&s, 8, &out), 4);
	for (int i = 1; i < 4; i++)
		assert_true(came[i].v > came[i - 1].v);
	close(fds[0]);
	source_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gap_in_the_numbers_is_an_exact_loss),
		cmocka_unit_test(what_is_lost_before_the_first_message_counts),
		cmocka_unit_test(an_overrun_at_the_end_is_of_unknown_size),
		cmocka_unit_test(a_number_after_an_overrun_tells_its_size),
		cmocka_unit_test(the_kernels_time_is_taken_when_it_is_sane),
		cmocka_unit_test(a_cut_message_is_given_up),
		cmocka_unit_test(what_groups_log_is_no_trace),
		cmocka_unit_test(messages_of_one_read_keep_their_order),
		cmocka_unit_test(more_log_lines_than_the_rate_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
