/*
 * A parcel: one content that arrives in parts, in order, and is believed only when its hash is its name.
 */
#pragma once

#include "common/buf.h"
#include "common/msg.h"

struct parcel {
	struct content_id id;
	uint64_t total; /* 0: nothing is being assembled */
	struct buf text;
};

/*
 * Takes the next part. 1: the content is whole and right, in p->text; 0: more is to come; -EPROTO: out of order, too big, or
 * its hash is another; -ENOMEM. A part at offset 0 begins a new content and forgets an unfinished one.
 */
int parcel_add(struct parcel *p, const struct msg_part *part);
/* Leaves a zeroed, reusable object. */
void parcel_clear(struct parcel *p);
