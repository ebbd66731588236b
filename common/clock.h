/*
 * Two kinds of time that must never be mixed: a host's own kernel clock, and time that can be compared
 * between hosts. The collector converts the one to the other with the offsets that its pings measured.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct boot_ns {
	int64_t v;
}; /* CLOCK_BOOTTIME of one host; meaningless without its boot id */
struct wall_ns {
	int64_t v;
}; /* UTC, comparable between hosts */

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };
enum { WALL_TEXT_MAX = 40 };

struct boot_ns boot_now(void);
int64_t thread_cpu_ns(void); /* that the calling thread has taken */
struct wall_ns wall_now(void);
/* CLOCK_BOOTTIME minus CLOCK_REALTIME now: turns a kernel timestamp of this host into its boot time. */
int64_t boot_minus_wall(void);
/* Writes RFC 3339 in UTC with nine digits ("2026-01-02T03:04:05.123456789Z"). */
void wall_print(struct wall_ns t, char text[static WALL_TEXT_MAX]);
