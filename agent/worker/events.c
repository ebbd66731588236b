/*
 * libbpf's ring reads over shared memory: a drop costs no system call, and without drops nothing here runs. The counters of
 * what found no room are looked at a second after the ring was read last, until they stand still.
 */
#include "agent/worker/events.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/helper/events.h"
#include "agent/worker/audit_log.h"
#include "agent/worker/changes.h"

enum { REASON_MAX = 48, COUNTERS = EVENT_HOSTS * EVENT_REASONS, LOOK_AFTER_MS = 1000 };

static const struct kind {
	const char *name;
	uint32_t ring, lost; /* enum helper_source */
	size_t counters;     /* u64s in the map of what was lost */
} kinds[EVENTS_RINGS] = {
	[EVENTS_DROPS] = { "drops", SOURCE_DROPS, SOURCE_DROPS_LOST, COUNTERS },
	[EVENTS_CHANGES] = { CHANGES_LEGACY, SOURCE_CHANGES, SOURCE_CHANGES_LOST, 512 },
};

struct ring {
	struct events *events; /* borrowed: the one that holds us */
	enum events_source source;
	enum opening opening;
	char why[WHY_MAX + 1];
	int fd;                        /* owned; -1 none */
	struct ring_buffer *buffer;    /* owned */
	const volatile uint64_t *lost; /* owned: mapped */
	struct boot_ns looked;         /* at the counters */
};

struct events {
	struct hosts *hosts; /* borrowed */
	struct link *link;   /* borrowed */
	struct events_env env;
	struct ring rings[EVENTS_RINGS];
	struct audit_log log;
	char (*reasons)[REASON_MAX]; /* owned; EVENT_REASONS names by number */
	uint64_t *seen;              /* owned: COUNTERS, when they were looked at last */
	struct boot_ns due;          /* of the next look; 0 none */
};

/* --- what the rings tell --------------------------------------------------------------------------------- */

static void reason_name(const struct events *e, uint32_t number, char text[static REASON_MAX])
{
	if (number >= EVENT_REASONS)
		snprintf(text, REASON_MAX, "SUBSYS_%u_%u", number >> 16, number & 0xffff);
	else if (e->reasons[number][0])
		memcpy(text, e->reasons[number], REASON_MAX);
	else
		snprintf(text, REASON_MAX, "REASON_%u", number);
}

static void take_drop(struct events *e, const uint8_t *p, size_t len)
{
	struct trace_event event;
	char reason[REASON_MAX];
	uint32_t index, number;
	struct host *h;

	if (!drop_peek(p, len, &index, &number))
		return;
	h = hosts_at(e->hosts, index);
	if (!h)
		return;
	reason_name(e, number, reason);
	if (drop_decode(&event, &index, p, len, reason, &h->names, boot_now()) == 0)
		host_drop(h, &event);
}

static void take_change(struct events *e, const uint8_t *p, size_t len)
{
	struct table_change c;
	struct host *h;

	if (change_decode(&c, p, len) < 0)
		return;
	h = hosts_at(e->hosts, c.host);
	if (h && e->env.changed)
		e->env.changed(e->env.arg, h, &c);
}

static int on_event(void *arg, void *p, size_t len)
{
	struct ring *r = arg;

	if (r->source == EVENTS_DROPS)
		take_drop(r->events, p, len);
	else
		take_change(r->events, p, len);
	return 0;
}

/* --- what found no room ---------------------------------------------------------------------------------- */

static void lose(struct host *h, const char *source, uint64_t count, struct boot_ns from,
		 struct boot_ns until)
{
	struct loss l = {
		.from = from, .until = until, .source = source, .count_known = true, .count = count
	};

	host_lost(h, &l);
}

/* True: more was lost since the last look. */
static bool look_at_drops(struct events *e, struct ring *r, struct boot_ns now)
{
	char reason[REASON_MAX], source[REASON_MAX + 8];
	bool more = false;

	for (uint32_t i = 0; i < COUNTERS; i++) {
		uint64_t n = r->lost[i], gone = n - e->seen[i];
		struct host *h;

		if (gone == 0)
			continue;
		more = true;
		e->seen[i] = n;
		h = hosts_at(e->hosts, i / EVENT_REASONS);
		if (!h)
			continue;
		if (i % EVENT_REASONS == EVENT_REASONS - 1)
			snprintf(reason, sizeof(reason), "others");
		else
			reason_name(e, i % EVENT_REASONS, reason);
		snprintf(source, sizeof(source), "drops:%s", reason);
		lose(h, source, gone, r->looked, now);
	}
	r->looked = now;
	return more;
}

static bool look_at_changes(struct events *e, struct ring *r, struct boot_ns now)
{
	/* No slot of the drops' own: the last entry is never one. */
	static const uint32_t at = COUNTERS;
	uint64_t n = r->lost[0], gone = n - e->seen[at];

	e->seen[at] = n;
	if (gone > 0)
		for (struct host *h = NULL; (h = hosts_next(e->hosts, h));)
			lose(h, CHANGES_LEGACY, gone, r->looked, now);
	r->looked = now;
	return gone > 0;
}

bool events_read(struct events *e, enum events_source s)
{
	struct boot_ns now = boot_now();
	bool any;

	if (s == EVENTS_AUDIT)
		return audit_log_read(&e->log, e->rings[EVENTS_CHANGES].opening == OPENING_FAILED);
	if (!e->rings[s].buffer)
		return false;
	any = ring_buffer__consume(e->rings[s].buffer) != 0;
	if (any)
		e->due.v = now.v + (int64_t)LOOK_AFTER_MS * NS_PER_MS;
	/* Before a read of tables is credited to those who were told: others may be missing. */
	if (s == EVENTS_CHANGES && e->rings[s].lost)
		look_at_changes(e, &e->rings[s], now);
	return any;
}

/* Looks at the counters when it is time to. */
static void tick_rings(struct events *e, struct boot_ns now)
{
	bool more = false;

	if (!e->due.v || e->due.v > now.v)
		return;
	if (e->rings[EVENTS_DROPS].lost)
		more |= look_at_drops(e, &e->rings[EVENTS_DROPS], now);
	if (e->rings[EVENTS_CHANGES].lost)
		more |= look_at_changes(e, &e->rings[EVENTS_CHANGES], now);
	e->due.v = more ? now.v + (int64_t)LOOK_AFTER_MS * NS_PER_MS : 0;
}

struct boot_ns events_tick(struct events *e, struct boot_ns now)
{
	struct boot_ns log = audit_log_tick(&e->log, now);

	tick_rings(e, now);
	return log.v && (!e->due.v || log.v < e->due.v) ? log : e->due;
}

static void watch_log(void *arg, int fd)
{
	struct events *e = arg;

	e->env.watch(e->env.arg, EVENTS_AUDIT, fd);
}

struct audit *events_audit(struct events *e)
{
	return &e->log.audit;
}

/* --- opening --------------------------------------------------------------------------------------------- */

static void changed_state(struct events *e)
{
	for (struct host *h = NULL; (h = hosts_next(e->hosts, h));)
		h->sources_changed = true;
}

static void fail(struct ring *r, const char *why)
{
	r->opening = OPENING_FAILED;
	snprintf(r->why, sizeof(r->why), "%s", why);
	changed_state(r->events);
}

static void take_reasons(struct events *e, int fd)
{
	FILE *f = fdopen(fd, "r");
	char name[REASON_MAX];
	unsigned int number;

	if (!f) {
		close(fd);
		return;
	}
	rewind(f);
	while (fscanf(f, "%u %47s", &number, name) == 2)
		if (number < EVENT_REASONS)
			snprintf(e->reasons[number], REASON_MAX, "%s", name);
	fclose(f);
}

static void on_reasons(void *arg, const struct helper_request *q, const struct helper_answer *a,
		       int fd)
{
	struct events *e = arg;

	(void)q;
	if (fd >= 0)
		take_reasons(e, fd);
	else
		snprintf(e->rings[EVENTS_DROPS].why, sizeof(e->rings[EVENTS_DROPS].why),
			 "the kernel's reasons have no names here: %.150s", a->why);
}

static void on_lost(void *arg, const struct helper_request *q, const struct helper_answer *a,
		    int fd)
{
	struct ring *r = arg;
	void *p = MAP_FAILED;

	(void)q;
	(void)a;
	if (fd >= 0) {
		p = mmap(NULL, kinds[r->source].counters * sizeof(uint64_t), PROT_READ, MAP_SHARED,
			 fd, 0);
		close(fd);
	}
	if (p != MAP_FAILED)
		r->lost = p;
	r->looked = boot_now();
}

static void on_ring(void *arg, const struct helper_request *q, const struct helper_answer *a,
		    int fd)
{
	struct ring *r = arg;
	struct events *e = r->events;
	char why[WHY_MAX + 1];

	(void)q;
	if (a->error || fd < 0) {
		fail(r, a->why);
		return;
	}
	r->fd = fd; /* the ring's epoll needs it */
	r->buffer = ring_buffer__new(fd, on_event, r, NULL);
	if (!r->buffer) {
		close(fd);
		snprintf(why, sizeof(why), "the ring cannot be read: %s", strerror(errno));
		fail(r, why);
	} else {
		r->opening = OPENING_DONE;
		changed_state(e);
		e->env.watch(e->env.arg, r->source, ring_buffer__epoll_fd(r->buffer));
	}
}

static int ask(struct events *e, uint32_t op, uint32_t what, link_answer *done, void *arg)
{
	struct helper_request q = { .op = op, .what = what, .known = e->env.drops_rate };

	return link_ask(e->link, &q, -1, done, arg);
}

int events_open(struct events **out, struct hosts *hosts, struct link *link,
		const struct events_env *env)
{
	struct events *e = calloc(1, sizeof(*e));
	int r = 0;

	if (!e)
		return -ENOMEM;
	e->hosts = hosts;
	e->link = link;
	e->env = *env;
	e->reasons = calloc(EVENT_REASONS, sizeof(*e->reasons));
	e->seen = calloc(COUNTERS + 1, sizeof(*e->seen));
	if (!e->reasons || !e->seen) {
		events_free(e);
		return -ENOMEM;
	}
	libbpf_set_print(NULL);
	/* Names first: the answers come in the order of asking, and no drop is read before them. */
	r = ask(e, HELPER_DUMP, DUMP_REASONS, on_reasons, e);
	for (int i = 0; i < EVENTS_RINGS; i++) {
		struct ring *ring = &e->rings[i];

		ring->events = e;
		ring->source = (enum events_source)i;
		ring->fd = -1;
		ring->opening = OPENING_ASKED;
		if (r == 0)
			r = ask(e, HELPER_OPEN, kinds[i].lost, on_lost, ring);
		if (r == 0)
			r = ask(e, HELPER_OPEN, kinds[i].ring, on_ring, ring);
		if (r < 0)
			fail(ring, "the helper could not be asked");
	}
	audit_log_open(&e->log, hosts, link, watch_log, e);
	*out = e;
	return 0;
}

bool events_sources(const struct events *e, struct source_fact list[static EVENTS_COUNT])
{
	for (int i = 0; i < EVENTS_RINGS; i++) {
		const struct ring *r = &e->rings[i];

		if (r->opening != OPENING_DONE && r->opening != OPENING_FAILED)
			return false;
		list[i] = (struct source_fact){
			.name = kinds[i].name,
			.state = r->opening == OPENING_DONE ? SOURCE_ON : SOURCE_FAILED,
			.why = r->why[0] ? r->why : NULL,
		};
	}
	return audit_log_fact(&e->log, &list[EVENTS_AUDIT]);
}

void events_free(struct events *e)
{
	if (!e)
		return;
	audit_log_clear(&e->log);
	for (int i = 0; i < EVENTS_RINGS; i++) {
		ring_buffer__free(e->rings[i].buffer);
		if (e->rings[i].buffer)
			close(e->rings[i].fd);
		if (e->rings[i].lost)
			munmap((void *)(uintptr_t)e->rings[i].lost,
			       kinds[i].counters * sizeof(uint64_t));
	}
	free(e->reasons);
	free(e->seen);
	free(e);
}
