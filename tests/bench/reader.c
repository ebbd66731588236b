/*
 * Reads a source of the kernel, opened as the helper opens it, until SIGTERM; then prints what it took:
 *
 *	bench_reader count SOURCE        a minimal loop: receives and counts, nothing else; a wakeup for each packet
 *	bench_reader nap SOURCE          the same, with the agent's nap after a short read
 *	bench_reader agent SOURCE        what the agent does with an event, all the way to packed batches
 *	bench_reader save SOURCE >FILE   writes what the kernel says to a file
 *	bench_reader replay SOURCE FILE  what the agent does with the events of that file; for callgrind
 *
 * SOURCE: trace-legacy, trace-nft, conntrack. Prints `ready` when it listens.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
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

enum mode { COUNT, NAP, AGENT, SAVE, REPLAY, MODES };

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

static void on_trace(void *arg, struct trace_event *e)
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

static void tick(struct bench *b, struct boot_ns now, bool last)
{
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

/* What the kernel said, and what the agent does with it without the kernel. */

struct saved {
	struct boot_ns at;
	uint32_t len;
};

static int save_some(struct bench *b)
{
	static uint8_t buf[DATAGRAM_MAX];
	int n;

	for (n = 0; n < DRAIN_MAX; n++) {
		ssize_t len = recv(b->fd, buf, sizeof(buf), MSG_DONTWAIT);
		struct saved s = { .at = boot_now(), .len = (uint32_t)len };

		if (len < 0)
			break;
		fwrite(&s, sizeof(s), 1, stdout);
		fwrite(buf, 1, s.len, stdout);
	}
	return n;
}

static bool read_next(FILE *f, struct saved *s, uint8_t buf[static DATAGRAM_MAX])
{
	return fread(s, sizeof(*s), 1, f) == 1 && s->len <= DATAGRAM_MAX &&
	       fread(buf, 1, s->len, f) == s->len;
}

static void replay(struct bench *b, FILE *f)
{
	static uint8_t buf[DATAGRAM_MAX] __attribute__((aligned(8)));
	struct sink sink = { .arg = b, .trace = on_trace, .conn = on_conn, .loss = on_loss };
	struct boot_ns ticked = { 0 };
	struct saved s;

	for (; read_next(f, &s, buf); b->t.events++) {
		b->source.ops->decode(&b->source, buf, s.len, s.at, &sink);
		if (s.at.v - ticked.v < (int64_t)TICK_MS * NS_PER_MS)
			continue;
		tick(b, s.at, false);
		ticked = s.at;
	}
	tick(b, boot_now(), true);
}

/* Reading. */

static int read_how(struct bench *b, enum mode m)
{
	if (m == AGENT)
		return read_some(b);
	return m == SAVE ? save_some(b) : count_some(b);
}

static void run(struct bench *b, enum mode m)
{
	struct pollfd p = { .fd = b->fd, .events = POLLIN };
	struct boot_ns ticked = boot_now();

	while (!stop) {
		if (poll(&p, 1, m == AGENT ? TICK_MS : -1) > 0 && read_how(b, m) < DRAIN_MAX &&
		    m != COUNT)
			usleep(NAP_US);
		if (m == AGENT && boot_now().v - ticked.v >= (int64_t)TICK_MS * NS_PER_MS) {
			tick(b, boot_now(), false);
			ticked = boot_now();
		}
	}
	if (m == AGENT)
		tick(b, boot_now(), true);
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

/* The devices of this namespace, as the agent knows them. */
static int names_read(struct ifnames *names)
{
	struct if_nameindex *all = if_nameindex();
	int r = all ? 0 : -errno;

	for (struct if_nameindex *one = all; r == 0 && one->if_index; one++)
		r = ifnames_set(names, (int32_t)one->if_index, one->if_name);
	if_freenameindex(all);
	return r;
}

static int begin(struct bench *b, const char *name, bool open)
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
	if (open) {
		b->fd = source_open(known[i].source, &why);
		if (b->fd < 0) {
			fprintf(stderr, "%s\n", why.text);
			return b->fd;
		}
		socket_rcvbuf(b->fd, RCVBUF_MAX, &got);
	}
	source_init(&b->source, known[i].ops, b->fd, &b->names);
	if (names_read(&b->names) < 0 || assembler_new(&b->assembler, OPEN_MAX, on_journey, b) < 0)
		return -ENOMEM;
	return spool_new(&b->spool, SPOOL_MAX);
}

static enum mode mode_parse(const char *name)
{
	static const char *const names[MODES] = { "count", "nap", "agent", "save", "replay" };
	int m = 0;

	while (m < MODES && strcmp(names[m], name) != 0)
		m++;
	return (enum mode)m;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_stop };
	struct bench b = { .fd = -1 };
	enum mode m = argc > 2 ? mode_parse(argv[1]) : MODES;
	FILE *f = m == REPLAY && argc == 4 ? fopen(argv[3], "re") : NULL;

	sigaction(SIGTERM, &act, NULL);
	if (m == MODES || argc != (m == REPLAY ? 4 : 3) || (m == REPLAY && !f) ||
	    begin(&b, argv[2], m != REPLAY) < 0) {
		fprintf(stderr,
			"usage: bench_reader count|nap|agent|save|replay trace-legacy|trace-nft|conntrack [FILE]\n");
		return 2;
	}
	fputs(m == REPLAY ? "" : "ready\n", m == SAVE ? stderr : stdout);
	fflush(stdout);
	if (m == REPLAY)
		replay(&b, f);
	else
		run(&b, m);
	if (m != SAVE)
		report(&b.t);
	source_clear(&b.source);
	assembler_free(b.assembler);
	spool_free(b.spool);
	ifnames_clear(&b.names);
	if (f)
		fclose(f);
	return 0;
}
