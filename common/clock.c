/*
 * Reading the clocks, and writing time for people and programs.
 */
#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts); /* cannot fail for these clocks */
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

struct boot_ns boot_now(void)
{
	return (struct boot_ns){ clock_ns(CLOCK_BOOTTIME) };
}

struct wall_ns wall_now(void)
{
	return (struct wall_ns){ clock_ns(CLOCK_REALTIME) };
}

int64_t boot_minus_wall(void)
{
	int64_t before = clock_ns(CLOCK_BOOTTIME);
	int64_t wall = clock_ns(CLOCK_REALTIME);
	int64_t after = clock_ns(CLOCK_BOOTTIME);

	return before + (after - before) / 2 - wall;
}

void wall_print(struct wall_ns t, char text[static WALL_TEXT_MAX])
{
	int64_t ns = t.v % NS_PER_S;
	time_t s = (time_t)(t.v / NS_PER_S);
	struct tm tm;
	size_t n;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	if (!gmtime_r(&s, &tm))
		tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };
	n = strftime(text, WALL_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, WALL_TEXT_MAX - n, ".%09dZ", (int)ns);
}
