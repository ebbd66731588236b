/*
 * Closed batches are kept framed and compressed, oldest first. What making one needs is kept only while large ones follow each
 * other, so an idle agent holds no buffers.
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

/* What making a batch needs. */
struct work {
	struct batch *batch; /* owned; NULL: not yet */
	struct buf body, frame;
	struct frame_press press;
};

enum { LARGE = BATCH_TARGET / 8, WORK_MS = 1000 };

struct spool {
	size_t max, bytes;
	uint64_t next_seq; /* the open batch's */
	struct closed *oldest, *newest;
	struct work work;
	struct boot_ns opened, ended;      /* the open batch; the last one that was closed */
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

static void work_clear(struct work *b)
{
	batch_free(b->batch);
	b->batch = NULL;
	buf_clear(&b->body);
	buf_clear(&b->frame);
	frame_press_clear(&b->press);
}

static bool is_open(const struct spool *s)
{
	return s->work.batch && batch_count(s->work.batch) > 0;
}

/* The batch, framed. */
static int work_frame(struct work *b, uint64_t seq)
{
	int r;

	b->body.len = b->frame.len = 0;
	r = batch_end(b->batch, seq, &b->body);
	return r < 0 ? r : frame_press_add(&b->press, &b->frame, b->body.p, b->body.len);
}

/* The open batch as one more closed one, or, when it cannot be framed, as a loss. */
static int close_open(struct spool *s, struct boot_ns now)
{
	struct work *b = &s->work;
	struct closed *c = NULL;
	int r = work_frame(b, s->next_seq);

	if (r == 0) {
		c = malloc(sizeof(*c) + b->frame.len);
		r = c ? 0 : -ENOMEM;
	}
	if (r < 0) {
		lose(s, s->records, s->opened, now);
		goto out;
	}
	*c = (struct closed){ .seq = s->next_seq++, .from = s->opened, .until = now };
	memcpy(c->records, s->records, sizeof(c->records));
	c->len = b->frame.len;
	memcpy(c->frame, b->frame.p, b->frame.len);
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
	s->ended = now;
	if (r < 0 || b->body.len < LARGE)
		work_clear(b);
	memset(s->records, 0, sizeof(s->records));
	return r;
}

static int open_add(struct spool *s, const struct record *r)
{
	bool first = !is_open(s);
	int ret;

	if (!s->work.batch) {
		ret = batch_new(&s->work.batch);
		if (ret < 0)
			return ret;
	}
	ret = batch_add(s->work.batch, r);
	if (ret < 0)
		return ret;
	if (first)
		s->opened = boot_now();
	s->records[r->host]++;
	return 0;
}

int spool_new(struct spool **out, size_t max)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->max = max;
	s->next_seq = 1;
	buf_init(&s->work.body, FRAME_INFLATED_MAX);
	buf_init(&s->work.frame, 2 * FRAME_INFLATED_MAX);
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
	if (ret == -E2BIG && is_open(s)) {
		close_open(s, boot_now());
		ret = open_add(s, r);
	}
	if (ret < 0) {
		one[r->host] = 1;
		now = boot_now();
		lose(s, one, now, now);
		return ret;
	}
	if (batch_size(s->work.batch) >= BATCH_TARGET ||
	    batch_count(s->work.batch) >= BATCH_RECORDS_MAX)
		close_open(s, boot_now());
	return 0;
}

bool spool_tick(struct spool *s, struct boot_ns now, bool force)
{
	if (!is_open(s)) {
		if (now.v - s->ended.v >= (int64_t)WORK_MS * NS_PER_MS)
			work_clear(&s->work);
		return false;
	}
	if (!force && now.v - s->opened.v < (int64_t)BATCH_AGE_MS * NS_PER_MS)
		return false;
	return close_open(s, now) == 0;
}

bool spool_open_since(const struct spool *s, struct boot_ns *since)
{
	if (!is_open(s))
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
	work_clear(&s->work);
	free(s);
}
