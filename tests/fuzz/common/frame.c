/* Any bytes as a stream of frames, cut at any place. */
#include "common/frame.h"
#include "common/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct buf body;
	struct frame f;
	int n;

	buf_init(&body, FRAME_INFLATED_MAX);
	while ((n = frame_next(&f, p, len)) > 0) {
		body.len = 0;
		frame_body(&f, &body);
		p += n;
		len -= (size_t)n;
	}
	buf_clear(&body);
	return 0;
}
