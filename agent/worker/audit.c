#include "agent/worker/audit.h"

#include <stdio.h>
#include <string.h>

/*
 * TICK: how much the kernel's coarse clock may lag; BACK: how old a record is at most when the wall clock was set since; JUDGE: a
 * record that has not come by then never will; NEAR: what two sources tell of one change comes within this time.
 */
enum { TICK_MS = 20, BACK_MS = 1000, JUDGE_MS = 2000, NEAR_MS = 5000, COMM_MAX = 15 };

static struct boot_ns plus_ms(struct boot_ns t, int64_t ms)
{
	return (struct boot_ns){ t.v + ms * NS_PER_MS };
}

void audit_opened(struct audit *a, enum audit_state state, struct boot_ns now)
{
	a->listening = true;
	a->state = state;
	a->since = now;
}

void audit_lost(struct audit *a, struct boot_ns until)
{
	if (until.v > a->lost.v)
		a->lost = until;
}

static void switched(struct audit *a, bool on, struct boot_ns from)
{
	if (on && a->state != AUDIT_ON)
		a->since = from;
	a->state = on ? AUDIT_ON : AUDIT_OFF;
}

/* The call began when the record says, by a clock that somebody may have set since. */
static struct boot_ns began(const struct audit_record *r, struct boot_ns now)
{
	int64_t at = r->at.v + boot_minus_wall();

	return at > now.v ? plus_ms(now, -BACK_MS) : plus_ms((struct boot_ns){ at }, -TICK_MS);
}

/* Did it happen between the two reads, as far as anybody can tell? */
static bool within(const struct audit_told *t, struct boot_ns before, struct boot_ns read_at)
{
	return t->who.at.v > before.v && t->from.v <= read_at.v;
}

static bool is_of(const struct audit_told *t, uint8_t family, const char *table)
{
	return t->who.at.v && t->legacy && t->who.family == family &&
	       strcmp(t->who.table, table) == 0;
}

static bool take_table(struct audit *a, const struct audit_record *r, struct boot_ns now)
{
	const struct audit_told *last =
		&a->told[(a->told_next + AUDIT_TOLD_MAX - 1) % AUDIT_TOLD_MAX];
	struct audit_told *t = &a->told[a->told_next % AUDIT_TOLD_MAX];

	/* One transaction of nftables has a record for each of its tables. */
	if (!r->legacy && !last->legacy && last->serial == r->serial && last->who.at.v &&
	    last->who.generation == r->generation)
		return false;
	if (t->who.at.v > a->crowded.v)
		a->crowded = t->who.at;
	a->told_next++;
	*t = (struct audit_told){ .who = { .at = now,
					   .family = r->family,
					   .pid = r->pid,
					   .uid = AUTHOR_NOBODY,
					   .loginuid = AUTHOR_NOBODY,
					   .generation = r->generation,
					   .via = VIA_AUDIT },
				  .from = began(r, now),
				  .serial = r->serial,
				  .legacy = r->legacy };
	snprintf(t->who.table, sizeof(t->who.table), "%s", r->table);
	snprintf(t->who.program, sizeof(t->who.program), "%s", r->program);
	switched(a, true, t->from);
	noted_ask_proc(&t->who);
	if (a->hidden && is_of(t, a->missed.family, a->missed.table) &&
	    within(t, a->missed.before, a->missed.read_at))
		a->hidden = false; /* it was late */
	return r->legacy && a->alone;
}

/*
 * The kernel keeps the title of a process's first record for the process's whole life: behind an exec it is of another program. Its own
 * name is that of the file that it was started as, or of the script, which then stands second.
 */
static bool is_title_of(const char *command, const char *program)
{
	const char breaks[] = { ' ', COMMAND_BREAK, '\0' };

	for (int i = 0; i < 2 && *command; i++) {
		size_t len = strcspn(command, breaks);
		const char *slash = memrchr(command, '/', len);
		const char *name = slash ? slash + 1 : command + (command[0] == '-');
		size_t n = len - (size_t)(name - command);

		if (n > COMM_MAX)
			n = COMM_MAX;
		if (n > 0 && n == strlen(program) && memcmp(name, program, n) == 0)
			return true;
		command += len;
		command += strspn(command, breaks);
	}
	return false;
}

/* The kernel's own title is cut; /proc had the whole, if it begins like that. */
static void take_title(struct noted *n, const char *command)
{
	if (is_title_of(command, n->program) && strncmp(n->command, command, strlen(command)) != 0)
		snprintf(n->command, sizeof(n->command), "%s", command);
}

bool audit_take(struct audit *a, const struct audit_record *r, struct boot_ns now)
{
	if (r->kind == AUDIT_KIND_TABLE)
		return take_table(a, r, now);
	if (r->kind == AUDIT_KIND_SWITCH) {
		switched(a, r->on, now);
		return false;
	}
	for (uint32_t i = 0; i < AUDIT_TOLD_MAX; i++) {
		struct audit_told *t = &a->told[i];

		if (!t->who.at.v || t->serial != r->serial || t->finished)
			continue;
		if (r->kind == AUDIT_KIND_TITLE) {
			take_title(&t->who, r->command);
		} else if (r->pid == t->who.pid) {
			t->who.uid = r->uid;
			t->who.loginuid = r->loginuid;
		}
	}
	return false;
}

bool audit_awaited(const struct audit *a, uint8_t backend)
{
	return a && a->listening && a->state != AUDIT_OFF && a->state != AUDIT_SILENT &&
	       (backend != BACKEND_LEGACY || a->alone);
}

/* 4: nothing can be missing of this time. */
static bool complete(const struct audit *a, struct boot_ns before)
{
	return a->listening && a->state == AUDIT_ON && !a->hidden && a->since.v <= before.v &&
	       a->lost.v <= before.v && a->crowded.v <= before.v;
}

/* --- changes without a record ---------------------------------------------------------------------------- */

void audit_show(struct audit *a, uint32_t host, const struct ruleset_fact *f)
{
	struct audit_shown *s = &a->shown[a->shown_next++ % AUDIT_SHOWN_MAX];

	*s = (struct audit_shown){
		.host = host, .family = f->family, .before = f->before, .read_at = f->read_at
	};
	snprintf(s->table, sizeof(s->table), "%s", f->table);
}

static bool explained(const struct audit *a, const struct audit_shown *s)
{
	for (uint32_t i = 0; i < AUDIT_TOLD_MAX; i++)
		if (is_of(&a->told[i], s->family, s->table) &&
		    within(&a->told[i], s->before, s->read_at))
			return true;
	return false;
}

static bool judge(struct audit *a, const struct audit_shown *s)
{
	if (!a->listening || a->since.v > s->before.v || a->lost.v > s->before.v ||
	    a->crowded.v > s->before.v || explained(a, s))
		return false;
	if (a->state == AUDIT_UNKNOWN) {
		a->state = AUDIT_SILENT;
		return true;
	}
	if (a->state != AUDIT_ON || a->hidden)
		return false;
	a->hidden = true;
	a->missed = *s;
	return true;
}

bool audit_tick(struct audit *a, struct boot_ns now)
{
	bool learnt = false;

	for (uint32_t i = 0; i < AUDIT_SHOWN_MAX; i++) {
		struct audit_shown *s = &a->shown[i];

		if (!s->read_at.v || s->judged || plus_ms(s->read_at, JUDGE_MS).v > now.v)
			continue;
		s->judged = true;
		learnt |= judge(a, s);
	}
	return learnt;
}

struct boot_ns audit_due(const struct audit *a)
{
	struct boot_ns due = { 0 };

	for (uint32_t i = 0; i < AUDIT_SHOWN_MAX; i++) {
		struct boot_ns at = plus_ms(a->shown[i].read_at, JUDGE_MS);

		if (a->shown[i].read_at.v && !a->shown[i].judged && (!due.v || at.v < due.v))
			due = at;
	}
	return due;
}

/* --- authors --------------------------------------------------------------------------------------------- */

/* 3 */
static bool elsewhere(const struct audit *a, uint32_t host, const struct audit_told *t)
{
	for (uint32_t i = 0; i < AUDIT_SHOWN_MAX; i++) {
		const struct audit_shown *s = &a->shown[i];

		if (s->read_at.v && s->host != host && is_of(t, s->family, s->table) &&
		    within(t, s->before, s->read_at))
			return true;
	}
	return false;
}

static void finish(struct audit_told *t)
{
	if (!t->finished)
		noted_finish(&t->who);
	t->finished = true;
}

uint32_t audit_authors(struct audit *a, uint32_t host, const struct ruleset_fact *f,
		       struct author list[static AUTHORS_MAX])
{
	struct audit_told *sole = NULL;
	bool all = f->before.v && complete(a, f->before);
	uint32_t count = 0;

	for (uint32_t i = 0; i < AUDIT_TOLD_MAX && all; i++) {
		struct audit_told *t = &a->told[i];

		if (!is_of(t, f->family, f->table) || !within(t, f->before, f->read_at) ||
		    t->used == host + 1)
			continue;
		finish(t);
		all = authors_add(list, &count, &t->who);
		if (!sole || elsewhere(a, host, t))
			sole = t;
	}
	if (!all || (count == 1 && elsewhere(a, host, sole)))
		return 0;
	for (uint32_t i = 0; i < AUDIT_TOLD_MAX && count == 1; i++)
		if (is_of(&a->told[i], f->family, f->table) &&
		    within(&a->told[i], f->before, f->read_at))
			a->told[i].used = host + 1;
	return count;
}

/* The same change, told twice. */
static bool same(const struct audit_told *t, const struct noted *n)
{
	int64_t apart = t->who.at.v - n->at.v;

	if (!t->who.at.v || t->who.pid != n->pid || apart > (int64_t)NEAR_MS * NS_PER_MS ||
	    apart < -(int64_t)NEAR_MS * NS_PER_MS || strcmp(t->who.program, n->program) != 0)
		return false;
	if (n->via == VIA_NFT)
		return !t->legacy && t->who.generation == n->generation && n->generation;
	return is_of(t, n->family, n->table);
}

void audit_add(struct audit *a, struct noted *n)
{
	struct audit_told *found = NULL;

	for (uint32_t i = 0; i < AUDIT_TOLD_MAX; i++) {
		struct audit_told *t = &a->told[i];

		if (!same(t, n))
			continue;
		/* A number that was given again within seconds: whose record is it? */
		if (found && found->serial != t->serial && n->via == VIA_NFT)
			return;
		found = t;
	}
	if (!found)
		return;
	finish(found);
	if (found->who.uid != AUTHOR_NOBODY && n->via == VIA_NFT) {
		n->uid = found->who.uid;
		n->loginuid = found->who.loginuid;
	}
	if (strlen(found->who.command) > strlen(n->command))
		snprintf(n->command, sizeof(n->command), "%s", found->who.command);
	noted_finish(n);
}
