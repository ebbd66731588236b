#include "collector/ingest/asks.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "common/must.h"

enum { READERS = 4, WAITING_MAX = 256 }; /* as many readers as libuv has threads */

struct ask {
	uv_work_t req;
	struct asks *asks;
	void (*work)(void *arg, struct reader *r);
	void (*done)(void *arg);
	void *arg;
	int slot; /* of its reader */
	struct ask *prev, *next;
};

struct asks {
	uv_loop_t *loop;                 /* borrowed */
	struct store *store;             /* borrowed */
	struct reader *readers[READERS]; /* owned; opened by the first work of their slot */
	bool busy[READERS];
	struct ask *waiting; /* owned list */
	uint32_t waiting_count;
};

static void ask_start(struct asks *a, struct ask *k, int slot);

int asks_new(struct asks **out, uv_loop_t *loop, struct store *s)
{
	struct asks *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->loop = loop;
	a->store = s;
	*out = a;
	return 0;
}

static void on_work(uv_work_t *req)
{
	struct ask *k = req->data;
	struct reader **r = &k->asks->readers[k->slot];

	if (!*r && reader_open(r, k->asks->store, NULL) < 0)
		*r = NULL;
	k->work(k->arg, *r);
}

static void on_done(uv_work_t *req, int status)
{
	struct ask *k = req->data, *next;
	struct asks *a = k->asks;
	int slot = k->slot;

	(void)status; /* nobody cancels */
	a->busy[slot] = false;
	next = a->waiting;
	if (next) {
		DL_DELETE(a->waiting, next);
		a->waiting_count--;
		ask_start(a, next, slot);
	}
	k->done(k->arg);
	free(k);
}

static void ask_start(struct asks *a, struct ask *k, int slot)
{
	k->slot = slot;
	a->busy[slot] = true;
	must(uv_queue_work(a->loop, &k->req, on_work, on_done) == 0);
}

int asks_run(struct asks *a, void (*work)(void *arg, struct reader *r), void (*done)(void *arg),
	     void *arg)
{
	struct ask *k;
	int i;

	if (a->waiting_count >= WAITING_MAX)
		return -EAGAIN;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->req.data = k;
	k->asks = a;
	k->work = work;
	k->done = done;
	k->arg = arg;
	for (i = 0; i < READERS; i++) {
		if (!a->busy[i]) {
			ask_start(a, k, i);
			return 0;
		}
	}
	DL_APPEND(a->waiting, k);
	a->waiting_count++;
	return 0;
}

void asks_free(struct asks *a)
{
	int i;

	if (!a)
		return;
	must(!a->waiting);
	for (i = 0; i < READERS; i++)
		if (a->readers[i])
			reader_close(a->readers[i]);
	free(a);
}
