/*
 * See frame.h for the layout.
 */
#include "common/frame.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "common/limits.h"

enum {
	ZSTD_LEVEL = -1,         /* as small as 1 makes such bodies, for a fifth less */
	WORTH_COMPRESSING = 512, /* bytes */
};

int frame_next(struct frame *f, const uint8_t *p, size_t len)
{
	uint32_t n;

	/* A length of more than FRAME_MAX shows in its first byte already. */
	if (len >= 1 && p[0] != 0)
		return -EPROTO;
	if (len < FRAME_HEAD)
		return 0;
	n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	if (n == 0 || n > FRAME_MAX)
		return -EPROTO;
	if (len > FRAME_HEAD && p[FRAME_HEAD] > FRAME_ZSTD)
		return -EPROTO;
	if (len - FRAME_HEAD < n)
		return 0;
	f->encoding = p[FRAME_HEAD];
	f->body = p + FRAME_HEAD + 1;
	f->len = n - 1;
	return (int)(FRAME_HEAD + n);
}

static void put_head(uint8_t *head, size_t body, enum frame_encoding encoding)
{
	uint32_t n = (uint32_t)body + 1;

	head[0] = (uint8_t)(n >> 24);
	head[1] = (uint8_t)(n >> 16);
	head[2] = (uint8_t)(n >> 8);
	head[3] = (uint8_t)n;
	head[4] = (uint8_t)encoding;
}

int frame_press_add(struct frame_press *press, struct buf *out, const uint8_t *body, size_t len)
{
	size_t start = out->len, bound = ZSTD_compressBound(len), n;
	uint8_t *p;

	if (len > FRAME_INFLATED_MAX)
		return -E2BIG;
	if (len >= WORTH_COMPRESSING && !press->context)
		press->context = ZSTD_createCCtx();
	if (len >= WORTH_COMPRESSING && press->context &&
	    (p = buf_extend(out, FRAME_HEAD + 1 + bound))) {
		n = ZSTD_compressCCtx(press->context, p + FRAME_HEAD + 1, bound, body, len,
				      ZSTD_LEVEL);
		if (!ZSTD_isError(n) && n < len && n < FRAME_MAX) {
			put_head(p, n, FRAME_ZSTD);
			out->len = start + FRAME_HEAD + 1 + n;
			return 0;
		}
		out->len = start;
	}
	if (len + 1 > FRAME_MAX)
		return -E2BIG;
	p = buf_extend(out, FRAME_HEAD + 1 + len);
	if (!p)
		return -E2BIG;
	put_head(p, len, FRAME_PLAIN);
	if (len)
		memcpy(p + FRAME_HEAD + 1, body, len);
	return 0;
}

int frame_add(struct buf *out, const uint8_t *body, size_t len)
{
	struct frame_press once = { NULL };
	int r = frame_press_add(&once, out, body, len);

	frame_press_clear(&once);
	return r;
}

void frame_press_clear(struct frame_press *press)
{
	ZSTD_freeCCtx(press->context);
	press->context = NULL;
}

int frame_body(const struct frame *f, struct buf *out)
{
	unsigned long long size;
	uint8_t *p;
	size_t n;

	if (f->encoding == FRAME_PLAIN)
		return buf_add(out, f->body, f->len);
	size = ZSTD_getFrameContentSize(f->body, f->len);
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
	    size > FRAME_INFLATED_MAX)
		return -EPROTO;
	if (size == 0)
		return 0;
	p = buf_extend(out, (size_t)size);
	if (!p)
		return -ENOMEM;
	n = ZSTD_decompress(p, (size_t)size, f->body, f->len);
	if (ZSTD_isError(n) || n != size) {
		out->len -= (size_t)size;
		return -EPROTO;
	}
	return 0;
}
