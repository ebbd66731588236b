#include "agent/worker/changes.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/source/source.h"
#include "agent/worker/audit.h"
#include "agent/worker/mask.h"

/* By the file alone: a directory service may take its time, and nothing here may wait. */
static void user_name(uint32_t uid, char *name, size_t size)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *p;

	name[0] = '\0';
	while (f && name[0] == '\0' && (p = fgetpwent(f)))
		if (p->pw_uid == uid)
			snprintf(name, size, "%s", p->pw_name);
	if (f)
		fclose(f);
}

/* What /proc still says of a process that the kernel named: best effort, it may have ended. */
void noted_ask_proc(struct noted *n)
{
	char path[64], comm[32] = "";
	struct stat st;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u", n->pid);
	if (stat(path, &st) < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%u/comm", n->pid);
	f = fopen(path, "re");
	if (f && fgets(comm, sizeof(comm), f))
		comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
	if (strcmp(comm, n->program) != 0)
		return; /* another one has its number by now */
	n->uid = st.st_uid;
	snprintf(path, sizeof(path), "/proc/%u/cmdline", n->pid);
	f = fopen(path, "re");
	len = f ? fread(n->command, 1, COMMAND_MAX, f) : 0;
	if (f)
		fclose(f);
	n->command[len] = '\0';
	for (size_t i = 0; i + 1 < len; i++)
		if (n->command[i] == '\0')
			n->command[i] = COMMAND_BREAK;
}

void noted_finish(struct noted *n)
{
	command_mask(n->command);
	/* sudo and su do not change who logged in. */
	user_name(n->loginuid != AUTHOR_NOBODY ? n->loginuid : n->uid, n->user, sizeof(n->user));
}

static void hear(struct changes *c, uint32_t generation, bool own)
{
	uint32_t at = c->heard_next++ % HEARD_MAX;

	c->heard[at] = generation;
	c->heard_own[at] = own;
}

void changes_heard(struct changes *c, uint32_t generation)
{
	hear(c, generation, true);
}

void changes_note(struct changes *c, const struct table_change *event)
{
	struct noted *n = &c->list[0];

	for (int i = 1; i < CHANGES_MAX && n->at.v; i++) /* a free one, else the oldest */
		if (c->list[i].at.v < n->at.v)
			n = &c->list[i];
	if (n->at.v > c->crowded.v)
		c->crowded = n->at;
	*n = (struct noted){ .at = event->at,
			     .family = event->family,
			     .pid = event->pid,
			     .uid = event->uid,
			     .loginuid = event->loginuid,
			     .generation = event->generation,
			     .via = event->table[0] ? VIA_BPF : VIA_NFT };
	snprintf(n->table, sizeof(n->table), "%s", event->table);
	snprintf(n->program, sizeof(n->program), "%s", event->program);
	snprintf(n->command, sizeof(n->command), "%s", event->command);
	if (n->via == VIA_NFT) {
		hear(c, n->generation, false);
		noted_ask_proc(n);
	}
	noted_finish(n);
}

void changes_lost(struct changes *c, const struct loss *l)
{
	struct boot_ns *lost = NULL;

	if (strcmp(l->source, CHANGES_LEGACY) == 0)
		lost = &c->lost;
	else if (strcmp(l->source, source_changes_nft.name) == 0)
		lost = &c->lost_nft;
	if (lost && l->until.v > lost->v)
		*lost = l->until;
}

/* Of this table; whether it is of this very change, its time tells. */
static bool is_of(const struct noted *n, const struct ruleset_fact *f)
{
	/* A transaction of nftables may have changed any of its tables. */
	if (f->backend != BACKEND_LEGACY)
		return n->via == VIA_NFT;
	return n->via == VIA_BPF && n->family == f->family && strcmp(n->table, f->table) == 0;
}

/* 3: did it come between the reads? Generations go round. */
static bool between(const struct noted *n, const struct ruleset_fact *f, uint32_t before,
		    uint32_t now)
{
	if (!f->before.v)
		return false;
	if (n->via == VIA_NFT && n->generation && before && now && !f->torn)
		return (int32_t)(n->generation - before) > 0 && (int32_t)(now - n->generation) >= 0;
	return n->at.v > f->before.v && n->at.v <= f->read_at.v;
}

/* 5: the kernel's generations go round without a 0, which is that of no transaction. */
static bool all_heard(const struct changes *c, uint32_t before, uint32_t now)
{
	if (!before || !now) /* not known: their times must do */
		return true;
	if (now - before > HEARD_MAX)
		return false;
	for (uint32_t g = before; g != now;) {
		bool found = ++g == 0;

		for (int i = 0; i < HEARD_MAX && !found; i++)
			found = c->heard[i] == g;
		if (!found)
			return false;
	}
	return true;
}

/* Transactions of others in nftables after generation `before`, up to `now`, as far as notices tell which were ours; 0: not known. */
static uint32_t transactions(const struct changes *c, uint32_t before, uint32_t now)
{
	uint32_t count = 0;

	if (!before || !now || now - before > HEARD_MAX)
		return 0;
	for (uint32_t g = before; g != now;) {
		bool own = ++g == 0; /* no transaction has that number */

		for (int i = 0; i < HEARD_MAX && !own; i++)
			own = c->heard[i] == g && c->heard_own[i];
		count += !own;
	}
	return count;
}

bool authors_add(struct author list[static AUTHORS_MAX], uint32_t *count, const struct noted *n)
{
	for (uint32_t i = 0; i < *count; i++) /* 2 */
		if (list[i].pid == n->pid)
			return true;
	if (*count == AUTHORS_MAX)
		return false;
	list[(*count)++] = (struct author){ .program = n->program,
					    .command = n->command[0] ? n->command : NULL,
					    .user = n->user[0] ? n->user : NULL,
					    .pid = n->pid,
					    .uid = n->uid,
					    .loginuid = n->loginuid,
					    .via = n->via };
	return true;
}

void changes_credit(struct changes *c, struct audit *audit, uint32_t host, struct ruleset_fact *f,
		    uint32_t before, uint32_t now)
{
	struct boot_ns lost = f->backend == BACKEND_LEGACY ? c->lost : c->lost_nft;
	uint32_t count = 0, commits = 0;
	bool all = c->crowded.v <= f->before.v && lost.v <= f->before.v;

	f->authors = c->found;
	if (f->backend == BACKEND_LEGACY && audit && audit->alone) {
		f->author_count = audit_authors(audit, host, f, c->found);
		return;
	}
	if (f->backend != BACKEND_LEGACY)
		all &= all_heard(c, before, now);
	for (int i = 0; i < CHANGES_MAX; i++) {
		struct noted *n = &c->list[i];

		if (!n->at.v || !is_of(n, f))
			continue;
		if (between(n, f, before, now)) {
			if (audit)
				audit_add(audit, n);
			commits++;
			all &= authors_add(c->found, &count, n);
		}
		if (n->via == VIA_BPF && n->at.v <= f->read_at.v)
			n->at.v = 0; /* 1: its texts stay until the place is needed */
	}
	/* 4, 5 */
	if (!all)
		count = commits = 0;
	if (f->backend != BACKEND_LEGACY)
		commits = f->before.v ? transactions(c, before, now) : 0;
	f->author_count = count;
	f->commits = commits;
}
