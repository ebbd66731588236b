/*
 * Frames: length-prefixed bodies on a stream. Framing knows lengths, not meanings.
 *
 *   4 bytes  big-endian length of what follows, 1..FRAME_MAX
 *   1 byte   encoding: 0 plain, 1 zstd (a single frame whose header declares its size)
 *   n bytes  body
 */
#pragma once

#include "common/buf.h"

enum frame_encoding { FRAME_PLAIN, FRAME_ZSTD };

struct frame {
	uint8_t encoding;
	const uint8_t *body; /* borrowed from the input */
	size_t len;
};

/*
 * Looks at the first len bytes of a stream. > 0: how many bytes the whole first frame takes, which is in
 * *f; 0: more bytes are needed; -EPROTO: the peer is wrong (a length of 0 or beyond the maximum, an
 * unknown encoding), said from the first bytes, before anything is allocated.
 */
int frame_next(struct frame *f, const uint8_t *p, size_t len);

/* Appends one frame to out; bodies that gain from it are compressed. -E2BIG: body does not fit. */
int frame_add(struct buf *out, const uint8_t *body, size_t len);

/* What compressing needs, kept from one frame to the next. All zero: not yet. */
struct frame_press {
	struct ZSTD_CCtx_s *context; /* owned */
};

/* The same as frame_add(). */
int frame_press_add(struct frame_press *p, struct buf *out, const uint8_t *body, size_t len);
/* Leaves it as it was before the first frame. */
void frame_press_clear(struct frame_press *p);

/*
 * The body as it was before compression, in *out (a plain one is copied). -EPROTO: the declared size is
 * missing, wrong, or beyond FRAME_INFLATED_MAX (checked before allocation).
 */
int frame_body(const struct frame *f, struct buf *out);
