/*
 * bench_counters ROUNDS: reads all legacy tables of the namespace that it stands in, in turns by bare getsockopt() into a buffer
 * that is kept, and as the helper does for a reading of the counters: digest, counters, sealed memfd. CPU time of each, as JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/helper/rawcounters.h"
#include "common/must.h"

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The IPv4 filter table, which is all that the bench loads. */
static void bare(int fd, char **buffer, size_t *room)
{
	struct ipt_getinfo info = { .name = "filter" };
	socklen_t len = sizeof(info);
	struct ipt_get_entries *get;

	must(getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len) == 0);
	len = (socklen_t)(sizeof(*get) + info.size);
	if (*room < len) {
		*buffer = realloc(*buffer, len);
		must(*buffer);
		*room = len;
	}
	get = (void *)*buffer;
	memcpy(get->name, info.name, sizeof(get->name));
	get->size = info.size;
	must(getsockopt(fd, IPPROTO_IP, IPT_SO_GET_ENTRIES, get, &len) == 0);
}

static void helper(struct rawsockets *s)
{
	int fd = memfd_create("counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct why why = { "" };
	struct rawcounters c;
	struct rawtables t;

	must(fd >= 0);
	rawcounters_init(&c, fd);
	must(rawtables_read(&t, s, FAMILY_NONE, rawcounters_take, &c, &why) == 0);
	rawcounters_clear(&c);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	close(fd);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char *argv[])
{
	int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 11;
	struct rawsockets sockets = { -1, -1 };
	double *plain = calloc((size_t)rounds, sizeof(*plain)),
	       *ours = calloc((size_t)rounds, sizeof(*ours));
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	char *buffer = NULL;
	size_t room = 0;

	must(fd >= 0 && rounds > 0 && plain && ours);
	bare(fd, &buffer, &room);
	helper(&sockets);
	for (int i = 0; i < rounds; i++) {
		double start = cpu_ms();

		bare(fd, &buffer, &room);
		plain[i] = cpu_ms() - start;
		start = cpu_ms();
		helper(&sockets);
		ours[i] = cpu_ms() - start;
	}
	qsort(plain, (size_t)rounds, sizeof(*plain), by_value);
	qsort(ours, (size_t)rounds, sizeof(*ours), by_value);
	printf("{\"bare_ms\": %.3f, \"counters_ms\": %.3f, \"ratio\": %.3f, \"table_bytes\": %zu}\n",
	       plain[rounds / 2], ours[rounds / 2], ours[rounds / 2] / plain[rounds / 2], room);
	rawsockets_clear(&sockets);
	close(fd);
	free(buffer);
	free(plain);
	free(ours);
	return 0;
}
