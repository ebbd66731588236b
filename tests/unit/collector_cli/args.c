/* The table of commands: what is typed, and that man page and completion know every command and option. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/cli.h"
#include "collector/cli/commands.h"

enum { ARGC_MAX = 32 };

/* Splits line at blanks and parses it. */
static int parse(struct args *a, char *line, struct why *why)
{
	const char *argv[ARGC_MAX];
	int argc = 0;

	for (char *word = strtok_r(line, " ", &line); word && argc < ARGC_MAX;
	     word = strtok_r(NULL, " ", &line))
		argv[argc++] = word;
	return args_parse(a, commands, argc, argv, why);
}

static void flags_of_flow_and_command_mix_in_any_order(void **state)
{
	char line[] =
		"--collector http://h:1 where -p tcp --since 2h -s 10.0.0.1 --dport 443 --brief --not -i eth0 --expect=dropped";
	struct args a;
	struct why why;

	(void)state;
	assert_int_equal(parse(&a, line, &why), 0);
	assert_string_equal(a.command->name, "where");
	assert_string_equal(a.value[OPTION_COLLECTOR], "http://h:1");
	assert_string_equal(a.value[OPTION_SINCE], "2h");
	assert_string_equal(a.value[OPTION_EXPECT], "dropped");
	assert_non_null(a.value[OPTION_BRIEF]);
	assert_null(a.value[OPTION_DETAIL]);
	assert_int_equal(a.word_count, 9);
	assert_string_equal(a.words[0], "-p");
	assert_string_equal(a.words[8], "eth0");
}

static void commands_of_two_words_are_found(void **state)
{
	char line[] = "trace start tcp 10.0.0.1 --on gw,sv --for 30s --rate 100/s",
	     stop[] = "trace stop 4f21", dashes[] = "where -- --brief";
	struct args a;
	struct why why;

	(void)state;
	assert_int_equal(parse(&a, line, &why), 0);
	assert_string_equal(a.command->name, "trace start");
	assert_int_equal(a.word_count, 2);
	assert_int_equal(parse(&a, stop, &why), 0);
	assert_string_equal(a.words[0], "4f21");
	assert_int_equal(parse(&a, dashes, &why), 0);
	assert_null(a.value[OPTION_BRIEF]);
	assert_string_equal(a.words[0], "--brief");
}

static void usage_errors_name_the_word(void **state)
{
	static const struct {
		const char *line, *said;
		int r;
	} wrong[] = {
		{ "bogus", "'bogus' is no command", -ENOENT },
		{ "trace", "'trace' needs to know what", -ENOENT },
		{ "trace begin", "'trace begin' is no command", -ENOENT },
		{ "--bogus where", "'--bogus' is no option", -EINVAL },
		{ "hosts --since 2h", "'--since' is no option of lasthop hosts", -EINVAL },
		{ "hosts all", "does not take 'all'", -EINVAL },
		{ "where --since", "--since needs a value", -EINVAL },
		{ "where --brief=1 tcp", "--brief takes no value", -EINVAL },
		{ "where", "where needs FLOW", -EINVAL },
		{ "rules show", "rules show needs HOST", -EINVAL },
	};
	struct args a;
	struct why why;
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "%s", wrong[i].line);
		assert_int_equal(parse(&a, line, &why), wrong[i].r);
		if (!strstr(why.text, wrong[i].said))
			fail_msg("%s: %s", wrong[i].line, why.text);
	}
}

static char *read_all(FILE *f)
{
	size_t cap = 1 << 18, n;
	char *text = calloc(1, cap);

	assert_non_null(text);
	assert_non_null(f);
	n = fread(text, 1, cap - 1, f);
	assert_true(n > 0);
	fclose(f);
	return text;
}

/* Every command and option of the table is in the man page. */
static void the_man_page_knows_every_command_and_option(void **state)
{
	char *page = read_all(fopen(TEST_DATA "/../../deploy/man/lasthop.1.scd", "r")), name[100];

	(void)state;
	for (const struct command *c = commands; c->name; c++) {
		snprintf(name, sizeof(name), "*%s*", c->name);
		if (!strstr(page, name))
			fail_msg("lasthop.1 does not know the command %s", c->name);
	}
	for (size_t o = 0; o < OPTION_COUNT; o++) {
		snprintf(name, sizeof(name), "*--%s*", option_name((enum option)o));
		if (!strstr(page, name))
			fail_msg("lasthop.1 does not know %s", name);
	}
	free(page);
}

static void completion_knows_every_command_and_is_valid_bash(void **state)
{
	char path[] = "/tmp/lasthop-completion-XXXXXX", command[100];
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	char *text;

	(void)state;
	assert_non_null(f);
	args_print_bash(f, commands);
	fclose(f);
	text = read_all(fopen(path, "r"));
	for (const struct command *c = commands; c->name; c++) {
		snprintf(command, sizeof(command), "'%s'|", c->name);
		assert_non_null(strstr(text, command));
	}
	free(text);
	snprintf(command, sizeof(command), "bash -n %s", path);
	f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(pclose(f), 0);
	remove(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_of_flow_and_command_mix_in_any_order),
		cmocka_unit_test(commands_of_two_words_are_found),
		cmocka_unit_test(usage_errors_name_the_word),
		cmocka_unit_test(the_man_page_knows_every_command_and_option),
		cmocka_unit_test(completion_knows_every_command_and_is_valid_bash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
