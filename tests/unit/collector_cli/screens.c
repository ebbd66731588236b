/*
 * Golden files: tests/data/cli/KIND_NAME.json, drawn as the kind says, must look like KIND_NAME.txt; the same with
 * .ascii.txt, .detail.txt and .colour.txt where those exist. With --update they are rewritten.
 */
#include <dirent.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/cli/answer.h"
#include "collector/cli/drops.h"
#include "collector/cli/hosts.h"
#include "collector/cli/packets.h"
#include "collector/cli/text.h"
#include "collector/cli/trace.h"
#include "collector/cli/when.h"

static const struct form {
	const char *suffix;
	bool utf8, detail, colour;
} forms[] = {
	{ ".txt", true, false, false },
	{ ".ascii.txt", false, false, false },
	{ ".detail.txt", true, true, false },
	{ ".colour.txt", true, false, true },
};

static void read_file(struct buf *b, const char *path)
{
	FILE *f = fopen(path, "r");
	char part[4096];
	size_t n;

	buf_init(b, 1 << 20);
	while (f && (n = fread(part, 1, sizeof(part), f)) > 0)
		assert_int_equal(buf_add(b, part, n), 0);
	if (f)
		fclose(f);
}

static void draw(struct screen *s, const char *name, const json_t *answer, const struct form *form)
{
	struct view v = { .detail = form->detail, .flow = "tcp 10.0.1.2 10.0.3.2:443" };

	assert_true(when_parse_rfc3339(&v.now, "2026-11-23T06:52:48.000000000Z"));
	screen_init(s, SCREEN_COLUMNS, form->utf8, form->colour);
	if (strncmp(name, "where_", 6) == 0)
		answer_draw(s, answer, &v);
	else if (strncmp(name, "hosts_", 6) == 0)
		hosts_draw(s, answer, &v);
	else if (strncmp(name, "lease_", 6) == 0)
		trace_draw(s, answer, &v);
	else if (strncmp(name, "packet_", 7) == 0)
		packets_draw(s, answer, &v);
	else if (strncmp(name, "drops_", 6) == 0)
		drops_draw(s, answer, &v);
	else if (strncmp(name, "dropline_", 9) == 0)
		drops_line(s, answer, &v);
	else
		fail_msg("%s: of no known kind", name);
}

/* Whatever came in: no control character, nothing invisible, no line beyond the screen. */
static void check_harmless(const char *name, const struct screen *s, bool colour)
{
	const char *p = (const char *)s->out.p, *end = p + s->out.len;
	unsigned int column = 0;
	size_t used;

	for (; p < end; p += used) {
		int32_t cp = text_next(p, (size_t)(end - p), &used);

		if (colour && cp == 0x1b) {
			used = (size_t)(strchr(p, 'm') - p) + 1;
			continue;
		}
		if (cp == '\n') {
			column = 0;
			continue;
		}
		if (!text_is_plain(cp) || (!s->utf8 && cp >= 0x80))
			fail_msg("%s: U+%04X reached the screen", name, (unsigned int)cp);
		if (++column > SCREEN_COLUMNS)
			fail_msg("%s: a line is longer than the screen", name);
	}
}

static bool update;

static void check_golden(const char *path, const struct screen *s)
{
	struct buf expected;

	if (update) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fwrite(s->out.p, 1, s->out.len, f);
		fclose(f);
		return;
	}
	read_file(&expected, path);
	if (expected.len != s->out.len || memcmp(expected.p, s->out.p, s->out.len) != 0)
		fail_msg("%s differs; it is now:\n%.*s", path, (int)s->out.len,
			 (const char *)s->out.p);
	buf_clear(&expected);
}

static void check_file(const char *dir, const char *file, size_t *checked)
{
	char path[600], name[200];
	json_error_t error;
	json_t *answer;

	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - 5), file);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	answer = json_load_file(path, JSON_ALLOW_NUL, &error);
	if (!answer)
		fail_msg("%s: %s", path, error.text);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct screen s;

		draw(&s, name, answer, &forms[i]);
		check_harmless(name, &s, forms[i].colour);
		snprintf(path, sizeof(path), "%s/%s%s", dir, name, forms[i].suffix);
		if (access(path, F_OK) == 0 || i == 0) {
			check_golden(path, &s);
			++*checked;
		}
		screen_clear(&s);
	}
	json_decref(answer);
}

static void answers_look_like_their_golden_files(void **state)
{
	const char *dir = TEST_DATA "/cli";
	struct dirent *entry;
	size_t checked = 0;
	DIR *d = opendir(dir);

	(void)state;
	assert_non_null(d);
	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name);

		if (len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0)
			check_file(dir, entry->d_name, &checked);
	}
	closedir(d);
	assert_true(checked > 15);
}

static json_t *load(const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/cli/%s.json", TEST_DATA, name);
	return json_load_file(path, JSON_ALLOW_NUL, NULL);
}

static void the_first_line_is_the_brief_answer(void **state)
{
	json_t *answer = load("where_dropped");
	struct view v = { 0 };
	struct screen s;

	(void)state;
	screen_init(&s, 0, true, false);
	answer_headline(&s, answer, &v);
	assert_int_equal(buf_add(&s.out, "", 1), 0);
	assert_string_equal((const char *)s.out.p,
			    "✗ DROPPED at gw-1 filter/DB-GUARD rule 1  \"INC-4242 block\"\n");
	screen_clear(&s);
	json_decref(answer);
}

static void exit_status_says_what_the_answer_is_worth(void **state)
{
	static const struct {
		const char *name, *expect;
		int status;
	} cases[] = {
		{ "where_dropped", NULL, STATUS_ANSWER },
		{ "where_dropped", "dropped", STATUS_ANSWER },
		{ "where_dropped", "delivered", STATUS_NOTHING },
		{ "where_unknown", NULL, STATUS_TROUBLE },
		{ "where_unknown", "unknown", STATUS_ANSWER },
		{ "where_no_evidence", NULL, STATUS_TROUBLE }, /* a host is silent */
		{ "where_empty", NULL, STATUS_TROUBLE },
	};
	json_t *answer;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		answer = load(cases[i].name);
		assert_non_null(answer);
		assert_int_equal(answer_status(answer, cases[i].expect), cases[i].status);
		json_decref(answer);
	}
	/* Every host answered, nothing was lost, nothing matched: that is an answer, too. */
	answer = load("where_no_evidence");
	json_object_set_new(json_object_get(answer, "coverage"), "answering", json_integer(2));
	assert_int_equal(answer_status(answer, NULL), STATUS_NOTHING);
	json_decref(answer);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_look_like_their_golden_files),
		cmocka_unit_test(the_first_line_is_the_brief_answer),
		cmocka_unit_test(exit_status_says_what_the_answer_is_worth),
	};

	update = argc == 2 && !strcmp(argv[1], "--update");
	setenv("TZ", "UTC", 1);
	tzset();
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
