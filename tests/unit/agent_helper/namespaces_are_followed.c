/* What a census means to the places, and what containers are called. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/follow.h"

enum { PLACES = 4, OWN = 1 };

struct world {
	struct follow f;
	struct follow_ops ops;
	struct holding places[PLACES];
	struct holding *list[PLACES];
	struct census c;
	int64_t ms;
	char told[512]; /* "+1:blue -1 !red" */
	int begins;     /* what begin() returns */
};

static void tell(struct world *w, const char *text)
{
	strncat(w->told, text, sizeof(w->told) - strlen(w->told) - 1);
}

static int on_begin(void *arg, uint32_t i, const struct dweller *d, struct why *why)
{
	struct world *w = arg;
	char text[128];

	snprintf(text, sizeof(text), "+%u:%s ", i, d->name);
	if (w->begins < 0)
		return why_set(why, w->begins, "no");
	tell(w, text);
	return 0;
}

static void on_end(void *arg, uint32_t i)
{
	char text[32];

	snprintf(text, sizeof(text), "-%u ", i);
	tell(arg, text);
}

static void on_refuse(void *arg, const char *name, const char *why)
{
	char text[128];

	(void)why;
	snprintf(text, sizeof(text), "!%s ", name);
	tell(arg, text);
}

static void world_init(struct world *w, bool all)
{
	memset(w, 0, sizeof(*w));
	w->ops = (struct follow_ops){ w, on_begin, on_end, on_refuse };
	w->f = (struct follow){ .ops = &w->ops, .all = all, .fd = -1, .notify = -1, .timer = -1 };
	for (int i = 0; i < PLACES; i++) {
		w->places[i].pidfd = -1;
		w->list[i] = &w->places[i];
	}
	w->ms = 1000;
	if (all)
		w->places[0] = (struct holding){
			.inode = OWN, .used = true, .standing = true, .pidfd = -1
		};
}

static void see(struct world *w, const char *name, uint64_t inode, pid_t pid)
{
	struct dweller *d = &w->c.list[w->c.count++];

	*d = (struct dweller){ .inode = inode, .named = pid == 0, .pid = pid };
	snprintf(d->name, sizeof(d->name), "%s", name);
}

/* What the follower says to what was seen. */
static const char *says(struct world *w)
{
	w->told[0] = '\0';
	w->ms += 1000;
	follow_decide(&w->f, &w->c, w->list, PLACES, (struct boot_ns){ w->ms * NS_PER_MS });
	w->c.count = 0;
	return w->told;
}

static void names_come_and_go(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, true);
	see(&w, "self", OWN, 0); /* a name for where we stand is no other host */
	see(&w, "blue", 7, 0);
	assert_string_equal(says(&w), "+1:blue ");
	see(&w, "blue", 7, 0);
	see(&w, "alias", 7, 0);
	assert_string_equal(says(&w), "");
	see(&w, "blue", 8, 0); /* another namespace of the same name: another life */
	assert_string_equal(says(&w), "-1 +1:blue ");
	assert_string_equal(says(&w), "-1 ");
	see(&w, "red", 9, 0); /* blue's index is still blue's */
	assert_string_equal(says(&w), "+2:red ");
	see(&w, "red", 9, 0);
	see(&w, "blue", 10, 0);
	assert_string_equal(says(&w), "+1:blue ");
}

static void processes_hold_what_has_no_name(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, true);
	see(&w, "net-7", 7, 100);
	assert_string_equal(says(&w), ""); /* it may be gone in a moment */
	see(&w, "net-7", 7, 100);
	assert_string_equal(says(&w), "+1:net-7 ");
	see(&w, "net-7", 7, 101); /* the first process has ended, another stays */
	assert_string_equal(says(&w), "");
	assert_int_equal(w.places[1].pid, 101);
	see(&w, "blue", 7, 0); /* it is given a name: still the same host */
	assert_string_equal(says(&w), "");
	assert_string_equal(says(&w), "-1 ");
	see(&w, "blue", 8, 0);
	assert_string_equal(says(&w), "+2:blue ");
	see(&w, "blue", 8, 200); /* unnamed, but a process lives on there */
	assert_string_equal(says(&w), "");
	see(&w, "blue", 8, 200); /* and now the name is somebody else's */
	see(&w, "blue", 9, 0);
	assert_string_equal(says(&w), "-2 +2:blue ");
	see(&w, "blue", 8, 200);
	see(&w, "blue", 9, 0);
	assert_string_equal(says(&w), "+3:net-8 ");
}

static void the_limit_is_said_once_and_room_is_used(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, true);
	see(&w, "a", 11, 0);
	see(&w, "b", 12, 0);
	see(&w, "c", 13, 0);
	see(&w, "d", 14, 0);
	assert_string_equal(says(&w), "+1:a +2:b +3:c !d ");
	see(&w, "a", 11, 0);
	see(&w, "c", 13, 0);
	see(&w, "d", 14, 0);
	assert_string_equal(says(&w), "-2 ");
	w.places[2].free = true; /* all that b told is acknowledged */
	see(&w, "a", 11, 0);
	see(&w, "c", 13, 0);
	see(&w, "d", 14, 0);
	assert_string_equal(says(&w), "+2:d ");
}

static void what_cannot_be_watched_is_said_once(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, true);
	w.begins = -EPERM;
	see(&w, "a", 11, 0);
	assert_string_equal(says(&w), "!a ");
	see(&w, "a", 11, 0);
	assert_string_equal(says(&w), "");
	assert_string_equal(says(&w), "");
	see(&w, "a", 12, 0);
	assert_string_equal(says(&w), "!a ");
	w.begins = 0;
	see(&w, "a", 12, 0);
	assert_string_equal(says(&w), "+1:a ");
	w.c.denied = true;
	see(&w, "a", 12, 0);
	assert_string_equal(says(&w), "! ");
}

static void only_the_names_that_were_asked_for(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, false);
	w.places[0] = (struct holding){ "one", 11, true, true, false, 0, -1 };
	w.places[1] = (struct holding){ "two", 12, true, true, false, 0, -1 };
	see(&w, "one", 11, 0);
	see(&w, "two", 12, 0);
	see(&w, "three", 13, 0);
	see(&w, "net-14", 14, 100);
	assert_string_equal(says(&w), "");
	see(&w, "one", 11, 0);
	see(&w, "net-12", 12, 100); /* not by its name any more */
	assert_string_equal(says(&w), "-1 ");
	see(&w, "one", 11, 0);
	see(&w, "two", 15, 0);
	assert_string_equal(says(&w), "+1:two ");
}

#define HEX "0123456789ab0123456789ab0123456789ab0123456789ab0123456789abcdef"

static void containers_have_names(void **state)
{
	static const struct {
		const char *cgroup, *name; /* NULL: none */
	} cases[] = {
		{ "0::/system.slice/docker-" HEX ".scope\n", "0123456789ab" },
		{ "0::/docker/" HEX "\n", "0123456789ab" },
		{ "12:pids:/docker/" HEX "\n11:cpu:/docker/" HEX "\n", "0123456789ab" },
		{ "1:name=systemd:/\n0::/machine.slice/libpod-" HEX ".scope/container\n",
		  "0123456789ab" },
		{ "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" HEX ".scope\n",
		  "0123456789ab" },
		{ "0::/kubepods/besteffort/pod1/" HEX "\n", "0123456789ab" },
		{ "0::/crio-" HEX ".scope", "0123456789ab" },
		{ "0::/lxc/web1/init.scope\n", "web1" },
		{ "0::/lxc.payload.web1/system.slice\n", "web1" },
		{ "0::/machine.slice/machine-web1.scope\n", "web1" },
		{ "0::/machine.slice/machine-we\\x2db.scope\n", NULL },
		{ "0::/user.slice/user-0.slice/session-1.scope\n", NULL },
		{ "0::/system.slice/ssh.service\n", NULL },
		{ "0::/docker-0123456789ab.scope\n", NULL },
		{ "0::/docker-" HEX "0.scope\n", NULL },
		{ "0::/\n", NULL },
		{ "", NULL },
		{ "no colons", NULL },
		{ "0::/lxc/..\n", NULL },
		{ "0::/lxc/a\x1b[0m\n", NULL },
	};
	char name[ID_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = container_name(cases[i].cgroup, name);

		if (found != (cases[i].name != NULL))
			fail_msg("%s", cases[i].cgroup);
		if (found)
			assert_string_equal(name, cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_and_go),
		cmocka_unit_test(processes_hold_what_has_no_name),
		cmocka_unit_test(the_limit_is_said_once_and_room_is_used),
		cmocka_unit_test(what_cannot_be_watched_is_said_once),
		cmocka_unit_test(only_the_names_that_were_asked_for),
		cmocka_unit_test(containers_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
