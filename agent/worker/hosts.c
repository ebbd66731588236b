#include "agent/worker/hosts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPEN_MIN = 64 }; /* journeys that a host may hold open, however many hosts there are */

static void share(struct hosts *hs)
{
	uint32_t there = 0;

	for (struct host *h = NULL; (h = hosts_next(hs, h));)
		there++;
	hs->env->open_max = JOURNEYS_OPEN_MAX / (there ? there : 1);
	if (hs->env->open_max < OPEN_MIN)
		hs->env->open_max = OPEN_MIN;
	for (struct host *h = NULL; (h = hosts_next(hs, h));)
		assembler_limit(h->assembler, hs->env->open_max);
}

static int begin(struct hosts *hs, uint32_t i, const char *id, const char *netns)
{
	int r = host_init(&hs->list[i], i, id, hs->env);

	if (r < 0)
		return r;
	snprintf(hs->away[i].netns, sizeof(hs->away[i].netns), "%s", netns);
	hs->away[i].seq = 0;
	hs->away[i].released = false;
	hs->told[i] = (struct msg_host){ hs->list[i].id, hs->away[i].netns, false };
	if (i == hs->count)
		hs->count++;
	return 0;
}

/* --- coming and going ------------------------------------------------------------------------------------ */

static void on_repaired(void *arg, const struct helper_request *q, const struct helper_answer *a,
			int fd)
{
	struct host *h = arg;

	(void)q;
	(void)fd;
	if (a->error)
		return; /* somebody uses it: perhaps at the next start */
	h->loggers_left = 0;
	if (!host_leased(h))
		h->env->note(h->env->arg, h->inode, 0);
}

/* The last helper may have been killed in a lease, and its guard with it. */
static void repair(struct hosts *hs, struct host *h)
{
	struct helper_request q = { .op = HELPER_LOGGERS_PUT, .netns = h->index };

	q.what = h->loggers_left = hs->env->noted(hs->env->arg, h->inode);
	if (q.what)
		(void)link_ask(hs->env->link, &q, -1, on_repaired, h);
}

static void came(struct hosts *hs, uint32_t i, const char *netns, uint64_t inode)
{
	struct helper_request stop = { .op = HELPER_STOP, .netns = i };
	char id[HOST_MAX + 1], text[WHY_MAX + 1];
	struct host *h = &hs->list[i];

	if (i < hs->count && !h->gone) { /* we made it ourselves */
		h->inode = inode;
		repair(hs, h);
		return;
	}
	if (i > hs->count)
		return;
	if (i < hs->count && strcmp(netns, hs->away[i].netns) == 0)
		snprintf(id, sizeof(id), "%s", h->id);
	else
		snprintf(id, sizeof(id), "%.*s/%.*s", ID_MAX, hs->options->id, ID_MAX, netns);
	if (begin(hs, i, id, netns) < 0)
		return;
	h->inode = inode;
	repair(hs, h);
	/* A lease that was being asked for when the former life ended may stand in this one. */
	(void)link_ask(hs->env->link, &stop, -1, NULL, NULL);
	share(hs);
	snprintf(text, sizeof(text), "network namespace %s is watched", netns);
	hs->env->say(hs->env->arg, h, text);
	hs->changed(hs->arg);
}

static void gone(struct hosts *hs, uint32_t i)
{
	struct host *h = hosts_at(hs, i);
	const char *why = "its network namespace has ended";
	char text[WHY_MAX + 1];

	if (!h)
		return;
	if (!h->inode) { /* nobody has told of it before */
		snprintf(text, sizeof(text),
			 "there is no network namespace %s; it is watched when it comes",
			 hs->away[i].netns);
		why = text;
	}
	hs->env->say(hs->env->arg, h, why);
	host_end(h, why);
	hs->told[i].gone = true;
	hs->away[i].seq = spool_last(hs->env->spool) + 1;
	share(hs);
	hs->changed(hs->arg);
}

static void on_told(void *arg, const struct helper_answer *a)
{
	struct hosts *hs = arg;

	if (a->value >= HOSTS_PER_AGENT) {
		snprintf(hs->trouble, sizeof(hs->trouble), "%s", a->why);
		/* The host where we stand tells of what is beyond. */
		hs->list[0].sources_changed = true;
		hs->env->say(hs->env->arg, &hs->list[0], a->why);
		return;
	}
	if (a->error)
		gone(hs, a->value);
	else
		came(hs, a->value, a->why, a->digest);
}

void hosts_acked(struct hosts *hs, uint64_t seq)
{
	for (uint32_t i = 0; i < hs->count; i++) {
		struct helper_request q = { .op = HELPER_RELEASE, .netns = i };
		struct absence *a = &hs->away[i];

		if (a->seq == 0 || a->seq > seq || a->released)
			continue;
		a->released = link_ask(hs->env->link, &q, -1, NULL, NULL) == 0;
	}
}

/* --- start and end --------------------------------------------------------------------------------------- */

static bool stand_in(const char *netns)
{
	char path[sizeof("/run/netns/") + ID_MAX];
	struct stat ours, its;

	snprintf(path, sizeof(path), "/run/netns/%.*s", ID_MAX, netns);
	return stat("/proc/self/ns/net", &ours) == 0 && stat(path, &its) == 0 &&
	       ours.st_ino == its.st_ino && ours.st_dev == its.st_dev;
}

int hosts_open(struct hosts *hs, const struct options *o, struct host_env *env,
	       void (*changed)(void *arg), void *arg, struct why *why)
{
	const struct helper_request follow = { .op = HELPER_FOLLOW };
	uint32_t count = o->netns_count ? o->netns_count : 1;
	char id[HOST_MAX + 1];
	int r;

	*hs = (struct hosts){
		.options = o, .env = env, .changed = changed, .arg = arg, .list = NULL
	};
	hs->list = calloc(HOSTS_PER_AGENT, sizeof(*hs->list));
	hs->told = calloc(HOSTS_PER_AGENT, sizeof(*hs->told));
	hs->away = calloc(HOSTS_PER_AGENT, sizeof(*hs->away));
	if (!hs->list || !hs->told || !hs->away)
		return why_set(why, -ENOMEM, "out of memory");
	env->open_max = JOURNEYS_OPEN_MAX / count;
	link_listen(env->link, on_told, hs);
	for (uint32_t i = 0; i < count; i++) {
		const char *netns = o->netns_count ? o->netns[i] : "";
		bool alone = count == 1 || stand_in(netns);

		snprintf(id, sizeof(id), alone ? "%.*s" : "%.*s/%.*s", ID_MAX, o->id, ID_MAX,
			 netns);
		r = begin(hs, i, id, netns);
		if (r < 0)
			return why_set(why, r, "out of memory");
	}
	if (o->netns_all)
		hs->list[0].beyond = hs->trouble;
	return link_ask(env->link, &follow, -1, NULL, NULL);
}

struct host *hosts_next(struct hosts *hs, struct host *after)
{
	uint32_t i = after ? (uint32_t)(after - hs->list) + 1 : 0;

	for (; i < hs->count; i++) {
		if (!hs->list[i].gone)
			return &hs->list[i];
	}
	return NULL;
}

struct host *hosts_at(struct hosts *hs, uint32_t index)
{
	return index < hs->count && !hs->list[index].gone ? &hs->list[index] : NULL;
}

void hosts_clear(struct hosts *hs)
{
	for (struct host *h = NULL; (h = hosts_next(hs, h));)
		host_clear(h);
}

void hosts_free(struct hosts *hs)
{
	free(hs->list);
	free(hs->told);
	free(hs->away);
	*hs = (struct hosts){ 0 };
}
