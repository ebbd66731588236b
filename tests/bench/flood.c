/*
 * One flow of small UDP packets, as fast as one core sends them, and TCP connections, as fast as they come:
 *
 *	bench_flood sink PORT                reads and counts; answers the first packet of each flow
 *	bench_flood udp ADDR PORT MS         sends for MS milliseconds; prints what was sent and what it took
 *	bench_flood blast ADDR PORT MS RATE  the same without an answer to wait for, RATE packets a second (0: all it can)
 *	bench_flood flows ADDR PORT MS RATE  the same, each packet of a flow of its own; from PORT on
 *	bench_flood accept PORT              takes connections and closes them
 *	bench_flood tcp ADDR PORT MS         opens connections, one after another
 *
 * The sink naps, so that no packet has to wake it: what is measured is the way there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	PAYLOAD = 22, /* 64 bytes with Ethernet's, IP's and UDP's headers */
	BURST = 64,
	SINK_BUFFER = 64 << 20,
	NAP_US = 1000,
	ANSWER_S = 5,
	SOURCE_PORTS = 64000,
};

static volatile sig_atomic_t stop;

static void on_stop(int number)
{
	(void)number;
	stop = 1;
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static struct sockaddr_in6 address(const char *text, const char *port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any };
	char mapped[64];

	a.sin6_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (!text)
		return a;
	snprintf(mapped, sizeof(mapped), "%s%s", strchr(text, ':') ? "" : "::ffff:", text);
	if (inet_pton(AF_INET6, mapped, &a.sin6_addr) != 1)
		a.sin6_family = AF_UNSPEC;
	return a;
}

static int sink(const char *port)
{
	struct sockaddr_in6 self = address(NULL, port), from, last = { 0 };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = SINK_BUFFER;
	unsigned long long count = 0;
	socklen_t len;
	char buf[PAYLOAD];

	if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0)
		return fail("sink");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	while (!stop) {
		len = sizeof(from);
		if (recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &len) <
		    0) {
			usleep(NAP_US);
			continue;
		}
		count++;
		if (memcmp(&from, &last, sizeof(from)) != 0) {
			sendto(fd, buf, 1, 0, (struct sockaddr *)&from, len);
			last = from;
		}
	}
	printf("%llu\n", count);
	return 0;
}

/* A flow of its own; established, if the sink is to answer. */
static int udp_open(const struct sockaddr_in6 *to, bool answered)
{
	struct timeval patience = { .tv_sec = ANSWER_S };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char buf[PAYLOAD] = { 0 };

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		return -1;
	if (!answered)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    send(fd, buf, sizeof(buf), 0) < 0 || recv(fd, buf, sizeof(buf), 0) < 0)
		return -1;
	return fd;
}

static int udp(const struct sockaddr_in6 *to, double span, double rate, bool answered)
{
	struct mmsghdr messages[BURST];
	struct iovec iov[BURST];
	char buf[PAYLOAD] = { 0 };
	unsigned long long count = 0;
	double began, cpu, now;
	int fd = udp_open(to, answered), i, n;

	if (fd < 0)
		return fail("no answer");
	memset(messages, 0, sizeof(messages));
	for (i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){ buf, sizeof(buf) };
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	began = now = seconds(CLOCK_MONOTONIC);
	while (now < began + span) {
		n = sendmmsg(fd, messages, BURST, 0);
		if (n < 0)
			return fail("send");
		count += (unsigned int)n;
		do
			now = seconds(CLOCK_MONOTONIC);
		while (rate > 0 && (double)count > (now - began) * rate);
	}
	printf("{\"count\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n", count, now - began,
	       seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}

/* Every packet is the first of its connection. */
static int flows(struct sockaddr_in6 to, double span, double rate)
{
	const uint16_t port = ntohs(to.sin6_port);
	struct sockaddr_in6 self = address(NULL, "0");
	double began = seconds(CLOCK_MONOTONIC), now = began;
	unsigned long long count = 0;
	char buf[PAYLOAD] = { 0 };
	int fd;

	while (now < began + span) {
		fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		self.sin6_port = htons((uint16_t)(1024 + count % SOURCE_PORTS));
		to.sin6_port = htons((uint16_t)(port + count / SOURCE_PORTS));
		if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0 ||
		    sendto(fd, buf, sizeof(buf), 0, (const struct sockaddr *)&to, sizeof(to)) < 0)
			return fail("send");
		close(fd);
		count++;
		do
			now = seconds(CLOCK_MONOTONIC);
		while (rate > 0 && (double)count > (now - began) * rate);
	}
	printf("{\"count\": %llu, \"seconds\": %.6f}\n", count, now - began);
	return 0;
}

static int take(const char *port)
{
	struct sockaddr_in6 self = address(NULL, port);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, c;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0 || listen(fd, 4096) < 0)
		return fail("accept");
	while (!stop) {
		c = accept(fd, NULL, NULL);
		if (c >= 0)
			close(c);
	}
	return 0;
}

static int tcp(const struct sockaddr_in6 *to, double span)
{
	struct linger reset = { .l_onoff = 1 };
	unsigned long long count = 0;
	double began = seconds(CLOCK_MONOTONIC), now = began;

	while (now < began + span) {
		int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
			return fail("socket");
		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
			return fail("connect");
		close(fd);
		count++;
		now = seconds(CLOCK_MONOTONIC);
	}
	printf("{\"count\": %llu, \"seconds\": %.6f}\n", count, now - began);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_stop };
	struct sockaddr_in6 to;
	double span;

	sigaction(SIGTERM, &act, NULL);
	if (argc == 3 && strcmp(argv[1], "sink") == 0)
		return sink(argv[2]);
	if (argc == 3 && strcmp(argv[1], "accept") == 0)
		return take(argv[2]);
	if (argc < 5 || argc > 6)
		goto usage;
	to = address(argv[2], argv[3]);
	span = strtod(argv[4], NULL) / 1000;
	if (to.sin6_family == AF_UNSPEC || span <= 0)
		goto usage;
	if (argc == 6 && strcmp(argv[1], "blast") == 0)
		return udp(&to, span, strtod(argv[5], NULL), false);
	if (argc == 6 && strcmp(argv[1], "flows") == 0)
		return flows(to, span, strtod(argv[5], NULL));
	if (argc == 5 && strcmp(argv[1], "udp") == 0)
		return udp(&to, span, 0, true);
	if (argc == 5 && strcmp(argv[1], "tcp") == 0)
		return tcp(&to, span);
usage:
	fprintf(stderr,
		"usage: bench_flood sink|accept PORT | udp|tcp ADDR PORT MS | blast|flows ADDR PORT MS RATE\n");
	return 2;
}
