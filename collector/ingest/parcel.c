#include "collector/ingest/parcel.h"

#include <errno.h>
#include <string.h>

#include "common/content.h"
#include "common/limits.h"

int parcel_add(struct parcel *p, const struct msg_part *part)
{
	struct content_id id;
	int r;

	if (part->offset == 0) {
		if (part->total == 0 || part->total > CONTENT_MAX)
			return -EPROTO;
		parcel_clear(p);
		p->id = part->id;
		p->total = part->total;
		buf_init(&p->text, part->total);
	}
	if (p->total == 0 || memcmp(&p->id, &part->id, sizeof(p->id)) || part->total != p->total ||
	    part->offset != p->text.len || part->len == 0 || part->len > PART_MAX ||
	    part->len > p->total - p->text.len)
		return -EPROTO;
	r = buf_add(&p->text, part->data, part->len);
	if (r < 0)
		return r;
	if (p->text.len < p->total)
		return 0;
	id = content_id_of((const char *)p->text.p, p->text.len);
	return memcmp(&id, &p->id, sizeof(id)) ? -EPROTO : 1;
}

void parcel_clear(struct parcel *p)
{
	buf_clear(&p->text);
	memset(p, 0, sizeof(*p));
}
