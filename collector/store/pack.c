/*
 * See pack.h.
 */
#include "collector/store/pack.h"

#include <errno.h>
#include <stdlib.h>

struct packer {
	struct batch *batch; /* owned */
};

int packer_new(struct packer **out)
{
	struct packer *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = batch_new(&p->batch);
	if (r < 0) {
		free(p);
		return r;
	}
	*out = p;
	return 0;
}

void packer_free(struct packer *p)
{
	if (!p)
		return;
	batch_free(p->batch);
	free(p);
}

int pack(struct packer *p, const struct record *r, struct buf *out)
{
	int ret = batch_add(p->batch, r);

	return ret < 0 ? ret : batch_end(p->batch, 0, out);
}

int unpack(const void *bytes, size_t len, struct arena *arena, struct record *out)
{
	struct msg m;
	int r = msg_decode(&m, bytes, len, arena);

	if (r < 0)
		return r;
	if (m.kind != MSG_RECORDS || m.batch.count != 1)
		return -EPROTO;
	*out = m.batch.records[0];
	return 0;
}
