/* That a host's tables stood is told only when all that its sources had seen by then is told, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "agent/worker/host_tables.h"

struct bench {
	struct spool *spool;
	struct host_env env;
	struct host host;
	struct ifnames names;
	int kernel; /* the other end of the trace source */
};

static int decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
		  const struct sink *out)
{
	(void)s, (void)p, (void)len, (void)now, (void)out;
	return 0;
}

static const struct source_ops ops = { .name = "trace-nft", .decode = decode };

static void on_flush(void *arg)
{
	struct bench *b = arg;

	(void)spool_tick(b->spool, boot_now(), true);
}

static void setup(struct bench *b)
{
	int fds[2];

	memset(b, 0, sizeof(*b));
	assert_int_equal(spool_new(&b->spool, SPOOL_MAX), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	b->kernel = fds[0];
	b->env = (struct host_env){ .arg = b, .spool = b->spool, .flush = on_flush };
	b->host.env = &b->env;
	for (int i = 0; i < SLOT_COUNT; i++)
		b->host.sources[i].fd = -1;
	source_init(&b->host.sources[SLOT_NFT], &ops, fds[1], &b->names);
}

static void teardown(struct bench *b)
{
	source_clear(&b->host.sources[SLOT_NFT]);
	close(b->kernel);
	spool_free(b->spool);
}

static void drain(struct bench *b, int max)
{
	struct sink nobody = { 0 };

	assert_true(source_drain(&b->host.sources[SLOT_NFT], max, &nobody) >= 0);
	tables_tell(&b->host, boot_now());
}

static void unread_evidence_holds_it_back(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	for (int i = 0; i < 5; i++)
		assert_int_equal(send(b.kernel, "packet", 6, 0), 6);
	b.host.checked = boot_now();
	tables_tell(&b.host, boot_now());
	assert_int_equal(spool_last(b.spool), 0);
	drain(&b, 3);
	assert_int_equal(spool_last(b.spool), 0);
	drain(&b, 3);
	assert_int_equal(spool_last(b.spool), 1);
	assert_int_equal(b.host.checked.v, 0);
	teardown(&b);
}

static void silence_holds_nothing_back(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.host.checked = boot_now();
	tables_tell(&b.host, boot_now());
	assert_int_equal(spool_last(b.spool), 1);
	tables_tell(&b.host, boot_now());
	assert_int_equal(spool_last(b.spool), 1);
	teardown(&b);
}

/* Under a steady backlog each is told in its time; the newer one does not push the older away. */
static void a_second_waits_behind_the_first(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(send(b.kernel, "packet", 6, 0), 6);
	b.host.checked = boot_now();
	drain(&b, 2);
	assert_int_equal(spool_last(b.spool), 1);
	assert_int_equal(send(b.kernel, "packet", 6, 0), 6);
	b.host.checked = b.host.sources[SLOT_NFT].empty;
	b.host.checked_next = boot_now();
	tables_tell(&b.host, boot_now());
	assert_int_equal(spool_last(b.spool), 2);
	assert_true(b.host.checked.v > 0);
	tables_tell(&b.host, boot_now());
	assert_int_equal(spool_last(b.spool), 2);
	drain(&b, 2);
	assert_int_equal(spool_last(b.spool), 3);
	teardown(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unread_evidence_holds_it_back),
		cmocka_unit_test(silence_holds_nothing_back),
		cmocka_unit_test(a_second_waits_behind_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
