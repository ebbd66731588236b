/*
 * Closed batches are kept framed and compressed, oldest first. The open one exists only while it holds something, so an
 * idle agent keeps no buffers for it.
 */
#include "agent/spool/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"
#include "common/msg.h"
#include "common/must.h"

struct closed {
	struct closed *next;
	uint64_t seq;
	struct boot_ns from, until; /* opened and closed */
	uint16_t records[HOSTS_PER_AGENT];
	size_t len;
	uint8_t frame[];
};

struct lost {
	struct boot_ns from, until;
	uint64_t count;
};

struct spool {
	size_t max, bytes;
	uint64_t next_seq; /* the open batch's */
	struct closed *oldest, *newest;
	struct batch *open; /* owned; NULL while empty */
	struct boot_ns opened;
	uint16_t records[HOSTS_PER_AGENT]; /* of the open batch */
	struct lost lost[HOSTS_PER_AGENT];
};

static void lose(struct spool *s, const uint16_t records[static HOSTS_PER_AGENT],
		 struct boot_ns from, struct boot_ns until)
{
	for (uint32_t i = 0; i < HOSTS_PER_AGENT; i++) {
		struct lost *l = &s->lost[i];

		if (records[i] == 0)
			continue;
		if (l->count == 0 || from.v < l->from.v)
			l->from = from;
		if (l->count == 0 || until.v > l->until.v)
			l->until = until;
		l->count += records[i];
	}
}

static size_t closed_size(const struct closed *c)
{
	return sizeof(*c) + c->len;
}

static void drop_oldest(struct spool *s)
{
	struct closed *c = s->oldest;

	s->oldest = c->next;
	if (!s->oldest)
		s->newest = NULL;
	s->bytes -= closed_size(c);
	free(c);
}

/* The open batch as one more closed one, or, when it cannot be framed, as a loss. */
static int close_open(struct spool *s, struct boot_ns now)
{
	struct buf body, frame;
	struct closed *c = NULL;
	int r;

	buf_init(&body, FRAME_INFLATED_MAX);
	buf_init(&frame, 2 * FRAME_INFLATED_MAX);
	r = batch_end(s->open, s->next_seq, &body);
	if (r == 0)
		r = frame_add(&frame, body.p, body.len);
	if (r == 0) {
		c = malloc(sizeof(*c) + frame.len);
		r = c ? 0 : -ENOMEM;
	}
	if (r < 0) {
		lose(s, s->records, s->opened, now);
		goto out;
	}
	*c = (struct closed){ .seq = s->next_seq++, .from = s->opened, .until = now };
	memcpy(c->records, s->records, sizeof(c->records));
	c->len = frame.len;
	memcpy(c->frame, frame.p, frame.len);
	if (s->newest)
		s->newest->next = c;
	else
		s->oldest = c;
	s->newest = c;
	s->bytes += closed_size(c);
	while (s->bytes > s->max && s->oldest != s->newest) {
		lose(s, s->oldest->records, s->oldest->from, s->oldest->until);
		drop_oldest(s);
	}
out:
	buf_clear(&body);
	buf_clear(&frame);
	batch_free(s->open);
	s->open = NULL;
	memset(s->records, 0, sizeof(s->records));
	return r;
}

static int open_add(struct spool *s, const struct record *r)
{
	int ret;

	if (!s->open) {
		ret = batch_new(&s->open);
		if (ret < 0)
			return ret;
		s->opened = boot_now();
	}
	ret = batch_add(s->open, r);
	if (ret == 0)
		s->records[r->host]++;
	return ret;
}

int spool_new(struct spool **out, size_t max)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->max = max;
	s->next_seq = 1;
	*out = s;
	return 0;
}

int spool_add(struct spool *s, const struct record *r)
{
	uint16_t one[HOSTS_PER_AGENT] = { 0 };
	struct boot_ns now;
	int ret;

	must(r->host < HOSTS_PER_AGENT);
	ret = open_add(s, r);
	if (ret == -E2BIG && batch_count(s->open) > 0) {
		close_open(s, boot_now());
		ret = open_add(s, r);
	}
	if (ret < 0) {
		one[r->host] = 1;
		now = boot_now();
		lose(s, one, now, now);
		return ret;
	}
	if (batch_size(s->open) >= BATCH_TARGET || batch_count(s->open) >= BATCH_RECORDS_MAX)
		close_open(s, boot_now());
	return 0;
}

bool spool_tick(struct spool *s, struct boot_ns now, bool force)
{
	if (!s->open || batch_count(s->open) == 0)
		return false;
	if (!force && now.v - s->opened.v < (int64_t)BATCH_AGE_MS * NS_PER_MS)
		return false;
	return close_open(s, now) == 0;
}

bool spool_open_since(const struct spool *s, struct boot_ns *since)
{
	if (!s->open)
		return false;
	*since = s->opened;
	return true;
}

bool spool_next(const struct spool *s, uint64_t seq, struct spool_batch *b)
{
	const struct closed *c = s->oldest;

	while (c && c->seq < seq)
		c = c->next;
	if (!c)
		return false;
	*b = (struct spool_batch){ .seq = c->seq, .frame = c->frame, .len = c->len };
	return true;
}

void spool_acked(struct spool *s, uint64_t seq)
{
	while (s->oldest && s->oldest->seq <= seq)
		drop_oldest(s);
}

bool spool_take_loss(struct spool *s, struct loss *l, uint32_t *host)
{
	for (uint32_t i = 0; i < HOSTS_PER_AGENT; i++) {
		if (s->lost[i].count == 0)
			continue;
		*l = (struct loss){ .from = s->lost[i].from,
				    .until = s->lost[i].until,
				    .source = "spool",
				    .count_known = true,
				    .count = s->lost[i].count };
		*host = i;
		s->lost[i] = (struct lost){ 0 };
		return true;
	}
	return false;
}

uint64_t spool_first(const struct spool *s)
{
	return s->oldest ? s->oldest->seq : s->next_seq;
}

uint64_t spool_last(const struct spool *s)
{
	return s->next_seq - 1;
}

struct boot_ns spool_oldest(const struct spool *s)
{
	return s->oldest ? s->oldest->from : (struct boot_ns){ 0 };
}

size_t spool_bytes(const struct spool *s)
{
	return s->bytes;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	while (s->oldest)
		drop_oldest(s);
	batch_free(s->open);
	free(s);
}
