/*
 * Stands in for a fleet: four agents with fifty hosts each ship journeys to a collector over TCP, as fast as it
 * acknowledges them. All frames are made before the clock starts, since in a fleet other machines make them.
 *
 * A packet belongs to one of a million flows: two in three walk through all of them, the third is drawn from
 * a Zipf distribution. It is seen on 1 to 5 hosts with the same fingerprint and falling TTL; one flow in four is
 * translated on its second host. Batches reach the collector up to 2 s out of order.
 *
 * Prints one JSON object: when each 100,000th row was acknowledged, what the generator itself took, and flows to ask for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/flow.h"
#include "common/frame.h"
#include "common/msg.h"
#include "common/must.h"

enum {
	AGENTS = 4,
	HOSTS = 50, /* of each agent */
	FLOWS = 1000000,
	HOPS_MAX = 5,
	STEPS = 8,
	MARK_ROWS = 100000,
	DISORDER_MS = 2000,
	SPAN_MS = 60000, /* over which the packets are spread, until now */
	ASKED = 10,
	ASKED_ABSENT = 3,
	WAIT_MS = 60000, /* for anything from the collector */
};

/* One batch, ready to be sent. */
struct parcel {
	size_t at, len; /* in agent.wire */
	uint32_t rows;
};

struct agent {
	int fd;
	uint32_t no;
	struct batch *batch;
	struct buf wire;        /* all frames, one after the other */
	struct parcel *parcels; /* owned; seq n is entry n - 1 */
	size_t parcel_count, parcel_cap;
	size_t sent;          /* bytes of wire */
	size_t acked, passed; /* parcels: acknowledged, wholly or partly sent */
	bool welcome;
	struct buf in, out; /* out: pongs, sent between frames */
};

struct fleet {
	struct agent agents[AGENTS];
	uint64_t rows, rows_max, acked_rows;
	uint64_t random;
	int64_t start, *marks; /* owned; when each MARK_ROWS were acknowledged */
	size_t mark_count;
};

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t draw(struct fleet *f)
{
	return mix(f->random++);
}

static int64_t mono_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* --- what the packets are -------------------------------------------------------------------------------- */

static struct addr ipv4(uint32_t a)
{
	struct addr out = { .family = 4 };

	a = htonl(a);
	memcpy(out.b, &a, sizeof(a));
	return out;
}

/* Distinct for each flow: 65,536 clients with up to 16 flows each. Beyond FLOWS are those that nobody saw. */
static struct tuple tuple_of(uint32_t flow)
{
	static const uint16_t ports[] = { 443, 80, 5432, 53 };
	uint32_t h = (uint32_t)mix(flow);
	uint16_t port = ports[h % 4];

	return (struct tuple){ .src = ipv4(0x0a010000 + flow % 65536),
			       .dst = ipv4(0x0ac80000 + (h >> 8) % 2000),
			       .sport = (uint16_t)(20000 + flow / 65536),
			       .dport = port,
			       .proto = port == 53 ? IPPROTO_UDP : IPPROTO_TCP };
}

static struct tuple translated(struct tuple t, uint32_t flow)
{
	t.src = ipv4(0xc0000200 + flow % 64);
	t.sport = (uint16_t)(1024 + flow / 64 % 64000);
	return t;
}

/* Ranks are taken as flow numbers: P(k) = ln((k + 1) / k) / ln(FLOWS), which is Zipf's law with exponent 1. */
static uint32_t popular(struct fleet *f)
{
	double u = (double)(draw(f) >> 11) / (double)(UINT64_C(1) << 53);

	return ((uint32_t)exp(u * log(FLOWS)) - 1) % FLOWS;
}

/* 1 to 5 hops, 2 on average. */
static uint32_t hops(struct fleet *f)
{
	static const uint8_t below[HOPS_MAX] = { 45, 73, 87, 95, 100 };
	uint32_t p = (uint32_t)(draw(f) % 100), n = 0;

	while (p >= below[n])
		n++;
	return n + 1;
}

struct stop {
	uint8_t hook, label, verdict, checkpoint;
	uint32_t number;
	const char *table, *chain;
};

#define CK(c, h)                                                                                   \
	{                                                                                          \
		HOOK_##h, LABEL_CHECKPOINT, STEP_VERDICT_NONE, CHECKPOINT_##c, 0, "", ""           \
	}
#define RULE(h, v, n, t, c)                                                                        \
	{                                                                                          \
		HOOK_##h, LABEL_RULE, STEP_VERDICT_##v, CHECKPOINT_NONE, n, t, c                   \
	}
#define POLICY(h, n, t, c)                                                                         \
	{                                                                                          \
		HOOK_##h, LABEL_POLICY, STEP_VERDICT_ACCEPT, CHECKPOINT_NONE, n, t, c              \
	}

static const struct stop sent[STEPS] = {
	CK(OUT_FIRST, OUTPUT),
	POLICY(OUTPUT, 1, "raw", "OUTPUT"),
	CK(OUT_CT, OUTPUT),
	POLICY(OUTPUT, 1, "nat", "OUTPUT"),
	RULE(OUTPUT, JUMP, 4, "filter", "OUTPUT"),
	RULE(OUTPUT, ACCEPT, 17, "filter", "egress"),
	POLICY(POSTROUTING, 3, "nat", "POSTROUTING"),
	CK(POST_LAST, POSTROUTING),
};
static const struct stop forwarded[STEPS] = {
	CK(PRE_FIRST, PREROUTING),
	POLICY(PREROUTING, 1, "raw", "PREROUTING"),
	CK(PRE_CT, PREROUTING),
	POLICY(PREROUTING, 5, "nat", "PREROUTING"),
	CK(FWD_FIRST, FORWARD),
	RULE(FORWARD, ACCEPT, 12, "filter", "FORWARD"),
	RULE(POSTROUTING, NONE, 2, "nat", "POSTROUTING"),
	CK(POST_LAST, POSTROUTING),
};
static const struct stop taken[STEPS] = {
	CK(PRE_FIRST, PREROUTING),
	POLICY(PREROUTING, 1, "raw", "PREROUTING"),
	CK(PRE_CT, PREROUTING),
	CK(IN_FIRST, INPUT),
	RULE(INPUT, JUMP, 3, "filter", "INPUT"),
	RULE(INPUT, CONTINUE, 8, "filter", "services"),
	RULE(INPUT, ACCEPT, 9, "filter", "services"),
	CK(IN_LAST, INPUT),
};

/* --- making the frames ----------------------------------------------------------------------------------- */

static void close_batch(struct agent *a)
{
	struct buf body;
	size_t at = a->wire.len;

	if (!batch_count(a->batch))
		return;
	if (a->parcel_count == a->parcel_cap) {
		a->parcel_cap = a->parcel_cap ? a->parcel_cap * 2 : 1024;
		a->parcels = realloc(a->parcels, a->parcel_cap * sizeof(*a->parcels));
		must(a->parcels);
	}
	buf_init(&body, FRAME_INFLATED_MAX);
	a->parcels[a->parcel_count] = (struct parcel){ .at = at, .rows = batch_count(a->batch) };
	must(batch_end(a->batch, a->parcel_count + 1, &body) == 0);
	must(frame_add(&a->wire, body.p, body.len) == 0);
	a->parcels[a->parcel_count++].len = a->wire.len - at;
	buf_clear(&body);
}

static void add_journey(struct fleet *f, uint32_t host, const struct journey *j)
{
	struct record r = { .kind = RECORD_JOURNEY, .host = host % HOSTS, .journey = *j };
	struct agent *a = &f->agents[host / HOSTS];

	must(batch_add(a->batch, &r) == 0);
	if (batch_size(a->batch) >= BATCH_TARGET)
		close_batch(a);
	f->rows++;
}

static void add_packet(struct fleet *f, uint32_t flow, int64_t at)
{
	uint64_t h = mix(flow ^ UINT64_C(0xf10f));
	uint32_t n = hops(f), first = (uint32_t)(h % (AGENTS * HOSTS));
	struct tuple before = tuple_of(flow), after = translated(before, flow);
	bool nat = flow % 4 == 0 && n >= 3;
	struct journey j = { .fp = draw(f) | 1,
			     .ip_version = 4,
			     .total_len = (uint16_t)(60 + h % 1400),
			     .ip_id = (uint16_t)draw(f),
			     .tcp_flags = 2,
			     .tcp_window = 64240,
			     .tcp_seq = (uint32_t)draw(f),
			     .step_count = STEPS };
	struct step steps[STEPS];

	for (uint32_t hop = 0; hop < n && f->rows < f->rows_max; hop++) {
		const struct stop *way = hop + 1 == n ? taken : hop == 0 ? sent : forwarded;

		j.at.v = at + hop * 200000;
		j.tuples[0] = nat && hop > 1 ? after : before;
		j.tuples[1] = after;
		j.tuple_count = nat && hop == 1 ? 2 : 1;
		snprintf(j.in_if, sizeof(j.in_if), "%s", way == sent ? "" : "eth0");
		snprintf(j.out_if, sizeof(j.out_if), "%s", way == taken ? "" : "eth1");
		memcpy(j.ether.src, &h, sizeof(j.ether.src));
		j.steps = steps;
		for (int i = 0; i < STEPS; i++) {
			steps[i] =
				(struct step){ .hook = way[i].hook,
					       .family = FAMILY_IPV4,
					       .label = way[i].label,
					       .verdict = way[i].verdict,
					       .checkpoint = way[i].checkpoint,
					       .ttl = (uint8_t)(64 - hop),
					       .kernel_time = true,
					       .number = way[i].number,
					       .table = way[i].table,
					       .chain = way[i].chain,
					       .at = { j.at.v + i * (700 + (int64_t)(h & 255)) } };
			steps[i].tuple = j.tuple_count == 2 && i == STEPS - 1;
		}
		add_journey(f, (first + 37 * hop) % (AGENTS * HOSTS), &j);
	}
}

static void make(struct fleet *f)
{
	int64_t now = boot_now().v;
	uint64_t packets = 0, walked = 0;

	for (uint32_t i = 0; i < AGENTS; i++) {
		struct agent *a = &f->agents[i];

		a->no = i;
		buf_init(&a->wire, (size_t)16 << 30);
		buf_init(&a->in, 2 * (FRAME_HEAD + FRAME_MAX));
		buf_init(&a->out, 1 << 20);
		must(batch_new(&a->batch) == 0);
	}
	while (f->rows < f->rows_max) {
		int64_t due = (int64_t)(f->rows * SPAN_MS / f->rows_max) - SPAN_MS -
			      (int64_t)(draw(f) % DISORDER_MS);
		uint32_t flow = packets++ % 3 == 2 ? popular(f) : (uint32_t)(walked++ % FLOWS);

		add_packet(f, flow, now + due * NS_PER_MS);
	}
	for (int i = 0; i < AGENTS; i++)
		close_batch(&f->agents[i]);
}

/* --- talking to the collector ---------------------------------------------------------------------------- */

static void fail(const char *what)
{
	fprintf(stderr, "ingest: %s\n", what);
	exit(1);
}

static void say(struct agent *a, const struct msg *m)
{
	struct buf body;

	buf_init(&body, FRAME_INFLATED_MAX);
	must(msg_encode(&body, m) == 0);
	if (frame_add(&a->out, body.p, body.len) < 0)
		fail("the collector does not read");
	buf_clear(&body);
}

static void hello(struct agent *a, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	char names[HOSTS][32], id[16];
	struct msg_host hosts[HOSTS];
	struct msg m = { .kind = MSG_HELLO,
			 .hello = { .id = id,
				    .version = LASTHOP_VERSION,
				    .epoch = 1,
				    .hosts = hosts,
				    .host_count = HOSTS } };
	int on = 1;

	snprintf(id, sizeof(id), "bench%u", a->no);
	for (int i = 0; i < HOSTS; i++) {
		snprintf(names[i], sizeof(names[i]), "%s/h%02d", id, i);
		hosts[i] = (struct msg_host){ names[i], names[i] + strlen(id) + 1, false };
	}
	memset(m.hello.instance, (int)a->no + 1, sizeof(m.hello.instance));
	m.hello.boot = boot_now();
	m.hello.wall = wall_now();
	a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("cannot connect");
	setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(a->fd, F_SETFL, O_NONBLOCK);
	say(a, &m);
}

static void acked(struct fleet *f, struct agent *a, uint64_t seq)
{
	if (seq > a->parcel_count)
		fail("an Ack beyond what was sent");
	for (; a->acked < seq; a->acked++)
		f->acked_rows += a->parcels[a->acked].rows;
	while (f->acked_rows >= (f->mark_count + 1) * (uint64_t)MARK_ROWS)
		f->marks[f->mark_count++] = mono_now() - f->start;
}

static void heard(struct fleet *f, struct agent *a, const struct msg *m)
{
	struct msg pong = { .kind = MSG_PONG };

	switch (m->kind) {
	case MSG_WELCOME:
		if (m->welcome.refused)
			fail(m->welcome.why);
		a->welcome = true;
		break;
	case MSG_ACK:
		acked(f, a, m->ack);
		break;
	case MSG_PING:
		pong.pong.token = m->ping.token;
		pong.pong.boot = boot_now();
		pong.pong.wall = wall_now();
		say(a, &pong);
		break;
	default:
		break;
	}
}

static void receive(struct fleet *f, struct agent *a, struct arena *arena)
{
	uint8_t bytes[65536];
	ssize_t n = read(a->fd, bytes, sizeof(bytes));
	struct frame frame;
	int used;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("the collector closed the connection");
	must(buf_add(&a->in, bytes, (size_t)n) == 0);
	while ((used = frame_next(&frame, a->in.p, a->in.len)) > 0) {
		struct buf body;
		struct msg m;

		buf_init(&body, FRAME_INFLATED_MAX);
		arena_reset(arena);
		if (frame_body(&frame, &body) < 0 || msg_decode(&m, body.p, body.len, arena) < 0)
			fail("a message that cannot be read");
		heard(f, a, &m);
		buf_clear(&body);
		buf_shift(&a->in, (size_t)used);
	}
	if (used < 0)
		fail("a frame that cannot be read");
}

/* Where the frame ends that is being sent, or that may be sent next; where we are if none may. */
static size_t may_send(const struct agent *a)
{
	size_t last =
		a->acked + UNACKED_MAX < a->parcel_count ? a->acked + UNACKED_MAX : a->parcel_count;

	if (!a->welcome || last == 0)
		return a->sent;
	return a->parcels[last - 1].at + a->parcels[last - 1].len;
}

static bool between_frames(const struct agent *a)
{
	return a->passed == 0 ||
	       a->sent == a->parcels[a->passed - 1].at + a->parcels[a->passed - 1].len;
}

static size_t put(struct agent *a, const uint8_t *p, size_t len)
{
	ssize_t n = len ? write(a->fd, p, len) : 0;

	if (n < 0 && errno != EAGAIN)
		fail("the connection broke");
	return n > 0 ? (size_t)n : 0;
}

static void send_more(struct agent *a)
{
	size_t end;

	if (between_frames(a) && a->out.len) {
		buf_shift(&a->out, put(a, a->out.p, a->out.len));
		if (a->out.len)
			return;
	}
	/* With a pong waiting no further than to the end of this frame. */
	end = a->out.len ? a->parcels[a->passed - 1].at + a->parcels[a->passed - 1].len
			 : may_send(a);
	a->sent += put(a, a->wire.p + a->sent, end - a->sent);
	while (a->passed < a->parcel_count && a->parcels[a->passed].at < a->sent)
		a->passed++;
}

static void ship(struct fleet *f)
{
	struct pollfd fds[AGENTS];
	struct arena arena;

	arena_init(&arena, MSG_HEAP_MAX);
	f->start = mono_now();
	while (f->acked_rows < f->rows) {
		for (int i = 0; i < AGENTS; i++) {
			struct agent *a = &f->agents[i];

			fds[i] = (struct pollfd){ .fd = a->fd, .events = POLLIN };
			if (may_send(a) > a->sent || a->out.len)
				fds[i].events |= POLLOUT;
		}
		if (poll(fds, AGENTS, WAIT_MS) == 0)
			fail("nothing heard from the collector for a minute");
		for (int i = 0; i < AGENTS; i++) {
			if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
				receive(f, &f->agents[i], &arena);
			if (fds[i].revents & POLLOUT)
				send_more(&f->agents[i]);
		}
	}
	arena_free(&arena);
}

/* --- the report ------------------------------------------------------------------------------------------ */

static void print_flow(uint32_t flow, bool seen, const char *end)
{
	struct tuple t = tuple_of(flow);
	char src[ENDPOINT_TEXT_MAX], dst[ENDPOINT_TEXT_MAX], number[4];

	endpoint_print(&t.src, t.sport, t.proto, src);
	endpoint_print(&t.dst, t.dport, t.proto, dst);
	printf("{\"flow\":\"%s %s %s\",\"seen\":%s}%s", proto_name(t.proto, number), src, dst,
	       seen ? "true" : "false", end);
}

static void report(struct fleet *f, double making, double shipping)
{
	size_t wire = 0, batches = 0;

	for (int i = 0; i < AGENTS; i++) {
		wire += f->agents[i].wire.len;
		batches += f->agents[i].parcel_count;
	}
	printf("{\"rows\":%" PRIu64
	       ",\"batches\":%zu,\"wire_bytes\":%zu,\"make_cpu_s\":%.2f,\"ship_cpu_s\":%.2f,\"start_ns\":%" PRId64
	       ",\"marks_s\":[",
	       f->rows, batches, wire, making, shipping, f->start);
	for (size_t i = 0; i < f->mark_count; i++)
		printf("%s%.4f", i ? "," : "", (double)f->marks[i] / NS_PER_S);
	printf("],\"ask\":[");
	for (uint32_t i = 0; i < ASKED; i++) {
		bool seen = i >= ASKED_ABSENT;
		uint32_t range = f->rows / 3 < FLOWS ? (uint32_t)(f->rows / 3) : FLOWS;

		print_flow(seen ? (uint32_t)(draw(f) % range) : FLOWS + (uint32_t)(draw(f) % 40000),
			   seen, i + 1 < ASKED ? "," : "],");
	}
	printf("\"hottest\":");
	print_flow(0, true, "}\n");
}

int main(int argc, char **argv)
{
	struct fleet f = { .random = 1 };
	double begun, made;
	uint16_t port;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: ingest PORT ROWS [SEED]\n");
		return 2;
	}
	port = (uint16_t)strtoul(argv[1], NULL, 10);
	f.rows_max = strtoull(argv[2], NULL, 10);
	f.random = argc == 4 ? strtoull(argv[3], NULL, 10) << 40 : 1;
	f.marks = calloc(f.rows_max / MARK_ROWS + 1, sizeof(*f.marks));
	must(f.marks);
	begun = cpu_seconds();
	make(&f);
	made = cpu_seconds();
	for (int i = 0; i < AGENTS; i++)
		hello(&f.agents[i], port);
	ship(&f);
	report(&f, made - begun, cpu_seconds() - made);
	for (int i = 0; i < AGENTS; i++) {
		struct agent *a = &f.agents[i];

		close(a->fd);
		batch_free(a->batch);
		buf_clear(&a->wire);
		buf_clear(&a->in);
		buf_clear(&a->out);
		free(a->parcels);
	}
	free(f.marks);
	return 0;
}
