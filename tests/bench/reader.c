/*
 * Reads a source of the kernel, opened as the helper opens it, until SIGTERM; then prints what it took:
 *
 *	bench_reader count SOURCE        a minimal loop: receives and counts, nothing else; a wakeup for each packet
 *	bench_reader nap SOURCE          the same, with the agent's nap after a short read
 *	bench_reader agent SOURCE        what the agent does with an event, all the way to packed batches
 *
 * SOURCE: trace-legacy, trace-nft, conntrack. Prints `ready` when it listens.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/helper/sockets.h"
#include "agent/journey/assembler.h"
#include "agent/source/ifnames.h"
#include "agent/source/source.h"
#include "agent/spool/spool.h"

enum {
	DRAIN_MAX = 512, /* as in the agent's loop */
	NAP_US = 1000,
	TICK_MS = 50,
	DATAGRAM_MAX = 64 << 10,
	OPEN_MAX = 4096,
};

struct totals {
	unsigned long long events, journeys, lost, overruns, early, batches, bytes;
};

struct bench {
	int fd;
	struct source source;
	struct ifnames names;
	struct assembler *assembler;
	struct spool *spool;
	struct totals t;
};

static volatile sig_atomic_t stop;

static void on_stop(int number)
{
	(void)number;
	stop = 1;
}

/* Counting. */

static int count_some(struct bench *b)
{
	static uint8_t buf[DATAGRAM_MAX] __attribute__((aligned(8)));
	int n = 0;

	while (n < DRAIN_MAX) {
		ssize_t len = recv(b->fd, buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const void *)buf;

		if (len < 0 && errno == ENOBUFS) {
			b->t.overruns++;
			continue;
		}
		if (len < 0)
			break;
		n++;
		for (; NLMSG_OK(nlh, len); nlh = NLMSG_NEXT(nlh, len))
			b->t.events++;
	}
	return n;
}

/* What the agent does. */

static void add(struct bench *b, struct record *r)
{
	spool_add(b->spool, r);
	if (spool_last(b->spool) > b->t.batches) {
		b->t.batches = spool_last(b->spool);
		b->t.bytes += spool_bytes(b->spool);
		spool_acked(b->spool, b->t.batches);
	}
}

static void on_journey(void *arg, const struct journey *j)
{
	struct bench *b = arg;
	struct record r = { .kind = RECORD_JOURNEY, .journey = *j };

	b->t.journeys++;
	add(b, &r);
}

static void on_trace(void *arg, const struct trace_event *e)
{
	struct bench *b = arg;

	assembler_add(b->assembler, e);
}

static void on_conn(void *arg, const struct conn *c)
{
	struct bench *b = arg;
	struct record r = { .kind = RECORD_CONN, .conn = *c };

	add(b, &r);
}

static void on_loss(void *arg, const struct loss *l)
{
	struct bench *b = arg;

	if (l->count_known)
		b->t.lost += l->count;
	else
		b->t.overruns++;
}

static int read_some(struct bench *b)
{
	struct sink sink = { .arg = b, .trace = on_trace, .conn = on_conn, .loss = on_loss };
	int n = source_drain(&b->source, DRAIN_MAX, &sink);

	b->t.events += n > 0 ? (unsigned int)n : 0; /* a message each, whatever it told */
	return n;
}

static void tick(struct bench *b, bool last)
{
	struct boot_ns now = boot_now();
	struct assembler_losses l;

	if (last)
		assembler_flush(b->assembler);
	else
		assembler_tick(b->assembler, now);
	l = assembler_losses(b->assembler);
	b->t.early += l.early + l.orphans;
	spool_tick(b->spool, now, last);
	spool_acked(b->spool, spool_last(b->spool));
}

/* Reading. */

static void run(struct bench *b, bool agent, bool nap)
{
	struct pollfd p = { .fd = b->fd, .events = POLLIN };
	struct boot_ns ticked = boot_now();
	int n;

	while (!stop) {
		if (poll(&p, 1, agent ? TICK_MS : -1) > 0) {
			n = agent ? read_some(b) : count_some(b);
			if (nap && n < DRAIN_MAX)
				usleep(NAP_US);
		}
		if (agent && boot_now().v - ticked.v >= (int64_t)TICK_MS * NS_PER_MS) {
			tick(b, false);
			ticked = boot_now();
		}
	}
	if (agent)
		tick(b, true);
}

static void report(const struct totals *t)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("{\"events\": %llu, \"journeys\": %llu, \"lost\": %llu, \"overruns\": %llu, \"early\": %llu, \"batches\": %llu, "
	       "\"user\": %.6f, \"system\": %.6f}\n",
	       t->events, t->journeys, t->lost, t->overruns, t->early, t->batches,
	       (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6,
	       (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6);
}

static int begin(struct bench *b, const char *name)
{
	static const struct {
		const struct source_ops *ops;
		enum helper_source source;
	} known[] = {
		{ &source_trace_legacy, SOURCE_TRACE_LEGACY },
		{ &source_trace_nft, SOURCE_TRACE_NFT },
		{ &source_conntrack, SOURCE_CONNTRACK },
	};
	struct why why = { "" };
	uint32_t got;
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(name, known[i].ops->name) == 0)
			break;
	if (i == sizeof(known) / sizeof(known[0]))
		return -EINVAL;
	b->fd = source_open(known[i].source, &why);
	if (b->fd < 0) {
		fprintf(stderr, "%s\n", why.text);
		return b->fd;
	}
	socket_rcvbuf(b->fd, RCVBUF_MAX, &got);
	source_init(&b->source, known[i].ops, b->fd, &b->names);
	if (assembler_new(&b->assembler, OPEN_MAX, on_journey, b) < 0)
		return -ENOMEM;
	return spool_new(&b->spool, SPOOL_MAX);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_stop };
	struct bench b = { .fd = -1 };
	bool agent;

	sigaction(SIGTERM, &act, NULL);
	if (argc != 3 || begin(&b, argv[2]) < 0) {
		fprintf(stderr,
			"usage: bench_reader count|nap|agent trace-legacy|trace-nft|conntrack\n");
		return 2;
	}
	agent = strcmp(argv[1], "agent") == 0;
	puts("ready");
	fflush(stdout);
	run(&b, agent, agent || strcmp(argv[1], "nap") == 0);
	report(&b.t);
	source_clear(&b.source);
	assembler_free(b.assembler);
	spool_free(b.spool);
	return 0;
}
