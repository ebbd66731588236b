/*
 * lasthop: asks a collector what happened to a flow and draws the answer.
 */
#include <errno.h>
#include <locale.h>
#include <string.h>

#include "collector/cli/cli.h"
#include "collector/cli/commands.h"

int main(int argc, char *argv[])
{
	struct cli c = { .table = commands };
	struct why why;
	int r, status;

	setlocale(LC_CTYPE, "");
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	r = args_parse(&c.args, commands, argc - 1, (const char *const *)argv + 1, &why);
	if (r < 0)
		return cli_usage(&c, why.text);
	if (!c.args.command) {
		args_print_all(c.args.value[OPTION_HELP] ? stdout : stderr, commands);
		return c.args.value[OPTION_HELP] ? STATUS_ANSWER : STATUS_USAGE;
	}
	if (c.args.value[OPTION_HELP]) {
		args_print_command(stdout, c.args.command);
		return STATUS_ANSWER;
	}
	status = cli_init(&c);
	if (status == STATUS_ANSWER)
		status = c.args.command->run(&c);
	cli_clear(&c);
	if (fflush(stdout) != 0 && status == STATUS_ANSWER)
		status = cli_fail(STATUS_TROUBLE, strerror(errno), NULL);
	return status;
}
