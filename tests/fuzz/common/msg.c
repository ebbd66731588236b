/* Any bytes as a message: what decodes must encode again to a message that decodes to the same bytes. */
#include <string.h>

#include "common/limits.h"
#include "common/msg.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct arena arena;
	struct buf first, second;
	struct msg m, back;

	arena_init(&arena, MSG_HEAP_MAX);
	buf_init(&first, FRAME_INFLATED_MAX);
	buf_init(&second, FRAME_INFLATED_MAX);
	if (msg_decode(&m, p, len, &arena) == 0 && m.kind != MSG_NONE &&
	    msg_encode(&first, &m) == 0) {
		must(msg_decode(&back, first.p, first.len, &arena) == 0);
		must(msg_encode(&second, &back) == 0);
		must(first.len == second.len && !memcmp(first.p, second.p, first.len));
	}
	buf_clear(&first);
	buf_clear(&second);
	arena_free(&arena);
	return 0;
}
