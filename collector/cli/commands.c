#include "collector/cli/commands.h"

#include <string.h>

#include "collector/cli/cli.h"

#define WINDOW (OPTION_BIT(SINCE) | OPTION_BIT(UNTIL) | OPTION_BIT(AT))
#define LEASE (OPTION_BIT(ON) | OPTION_BIT(FOR) | OPTION_BIT(RATE) | OPTION_BIT(DRY_RUN))

static int cmd_help(struct cli *c)
{
	const struct args *a = &c->args;
	bool found = false;

	if (a->word_count == 0) {
		args_print_all(stdout, c->table);
		return STATUS_ANSWER;
	}
	for (const struct command *k = c->table; k->name; k++) {
		size_t len = strlen(a->words[0]);
		bool first = strncmp(k->name, a->words[0], len) == 0 &&
			     (k->name[len] == ' ' || !k->name[len]);

		if (!first || (a->word_count > 1 &&
			       (!k->name[len] || strcmp(k->name + len + 1, a->words[1]) != 0)))
			continue;
		if (found)
			putchar('\n');
		args_print_command(stdout, k);
		found = true;
	}
	return found ? STATUS_ANSWER
		     : cli_fail(STATUS_USAGE, "there is no such command", "lasthop help");
}

static int cmd_version(struct cli *c)
{
	(void)c;
	printf("lasthop %s\n", LASTHOP_VERSION);
	return STATUS_ANSWER;
}

static int cmd_completion(struct cli *c)
{
	if (strcmp(c->args.words[0], "bash") != 0)
		return cli_usage(c, "there is completion for bash only");
	args_print_bash(stdout, c->table);
	return STATUS_ANSWER;
}

const struct command commands[] = {
	{ "where", cmd_where, "FLOW", true, 1, 0,
	  WINDOW | OPTION_BIT(BRIEF) | OPTION_BIT(DETAIL) | OPTION_BIT(EXPECT),
	  "where did it die, and why",
	  "  lasthop where tcp 10.0.1.2 10.0.3.2:443\n"
	  "  lasthop where -p tcp -s 10.0.1.2 --dport 443 --since 2h\n"
	  "  lasthop where 'IP 10.0.1.2.46930 > 10.0.3.2.443: Flags [S]'\n"
	  "exit status: 0 a verdict; 1 nothing matched and nothing was missed, or not as\n"
	  "expected; 2 usage; 3 unknown, incomplete, or no collector\n" },
	{ "path", cmd_path, "FLOW", true, 1, 0, WINDOW | OPTION_BIT(DETAIL) | OPTION_BIT(GROUP),
	  "packet by packet, hop by hop, every rule",
	  "  lasthop path icmp 10.0.1.2 10.0.3.2 --since 5m\n"
	  "  lasthop path tcp dport 443 --group --since 1h\n" },
	{ "nat", cmd_nat, "ADDR:PORT | FLOW", true, 1, 0, WINDOW,
	  "who is behind it, or what it becomes, hop by hop",
	  "  lasthop nat 198.51.100.7:62011 --at 06:52\n"
	  "  lasthop nat tcp 10.1.0.2:51240 203.0.113.9:443\n"
	  "From connection tracking: nothing has to have been traced. --at is that very time.\n" },
	{ "here", cmd_here, "FLOW", true, 1, 0,
	  OPTION_BIT(FOR) | OPTION_BIT(RATE) | OPTION_BIT(NETNS) | OPTION_BIT(DETAIL),
	  "this machine only: watch, and say what happens, nothing to set up",
	  "  lasthop here tcp dport 443\n"
	  "Prints each matching packet with the rules that it met, until Ctrl-C or --for;\n"
	  "then the answer of `where`. Needs root (or unshare -Urnm). Beside an agent that\n"
	  "runs on this machine already it asks that one's collector.\n" },
	{ "hosts", cmd_hosts, "", false, 0, 0, OPTION_BIT(BRIEF),
	  "agents, how far behind, sources, losses", NULL },
	{ "trace start", cmd_trace_start, "FLOW", true, 1, 0, LEASE,
	  "trace these packets for a while",
	  "  lasthop trace start -p tcp -s 10.0.1.2 --dport 443 --on gw,sv --for 2m\n"
	  "Returns when every host is armed; exit status 3 if one is not, and says which.\n" },
	{ "trace stop", cmd_trace_stop, "ID | --all", false, 0, 1, OPTION_BIT(ALL),
	  "end a lease before its time", NULL },
	{ "trace list", cmd_trace_list, "", false, 0, 0, 0, "leases that stand", NULL },
	{ "rules show", cmd_rules_show, "HOST[@TIME|@CONTENT]", false, 1, 1,
	  OPTION_BIT(FORMAT) | OPTION_BIT(FAMILY) | OPTION_BIT(BACKEND),
	  "the rules as they stood, as iptables-save",
	  "  lasthop rules show gw --family ipv4\n"
	  "  lasthop rules show gw@06:52\n"
	  "  lasthop rules show gw@7f3c9a1\n"
	  "  lasthop rules show gw@06:52 --backend ipset\n"
	  "Ipsets that rules name are shown on request, as ipset save.\n" },
	{ "rules log", cmd_rules_log, "HOST [-- TABLE[/CHAIN]]", false, 1, 2,
	  OPTION_BIT(SINCE) | OPTION_BIT(UNTIL) | OPTION_BIT(PATCH) | OPTION_BIT(LIMIT) |
		  OPTION_BIT(FAMILY) | OPTION_BIT(BACKEND),
	  "changes: when, by whom, what",
	  "  lasthop rules log gw\n"
	  "  lasthop rules log gw -p --since 1d -- filter/FORWARD\n"
	  "Newest first, of the last seven days. A time with a sign ~ is when it was found;\n"
	  "how long before that it may have been stands beside it.\n" },
	{ "rules diff", cmd_rules_diff, "A B [-- TABLE[/CHAIN]]", false, 2, 3,
	  OPTION_BIT(STAT) | OPTION_BIT(EXIT_CODE) | OPTION_BIT(FAMILY) | OPTION_BIT(BACKEND),
	  "two instants, or two hosts",
	  "  lasthop rules diff gw@yesterday gw\n"
	  "  lasthop rules diff gw@51e0b02 gw\n"
	  "  lasthop rules diff gw-1 gw-2 --stat\n"
	  "A and B are HOST[@TIME|@CONTENT]. With --exit-code: 0 they are the same, 1 they\n"
	  "differ, 3 not all of it is known.\n" },
	{ "counters", cmd_counters, "HOST [TABLE [CHAIN]]", false, 1, 3,
	  WINDOW | OPTION_BIT(FAMILY) | OPTION_BIT(BACKEND) | OPTION_BIT(HOT) | OPTION_BIT(NEVER),
	  "what rules counted: hottest first, or never hit",
	  "  lasthop counters gw\n"
	  "  lasthop counters gw filter FORWARD --since 2h\n"
	  "  lasthop counters gw --never --since 7d\n"
	  "A sign before a rate: at least so much, since counters were set to zero meanwhile,\n"
	  "or at most, since the rule came with counters of its own.\n" },
	{ "drops", cmd_drops, "[FLOW]", true, 0, 0,
	  WINDOW | OPTION_BIT(ON) | OPTION_BIT(FOLLOW) | OPTION_BIT(FOR) | OPTION_BIT(BRIEF) |
		  OPTION_BIT(DETAIL),
	  "what the fleet discards, by rule and reason",
	  "  lasthop drops\n"
	  "  lasthop drops -s 10.1.0.0/24 --on 'gw-*' --since 1h\n"
	  "  lasthop drops --follow -p tcp --dport 443\n"
	  "Packets that the kernels freed, and those that a rule ended in a trace. What is no\n"
	  "death (a consequence, or what nobody misses) stands last, with a - before it, one\n"
	  "by one with --detail.\n" },
	{ "doctor", cmd_doctor, "[HOST]", false, 0, 1, 0,
	  "known causes of trouble, looked for everywhere",
	  "  lasthop doctor\n"
	  "  lasthop doctor gw\n"
	  "exit status: 0 something was found; 1 nothing was, and everything could be looked\n"
	  "at; 3 not everything could, or no collector\n" },
	{ "help", cmd_help, "[COMMAND]", false, 0, 2, 0, "say how a command is used", NULL },
	{ "version", cmd_version, "", false, 0, 0, 0, "print the version", NULL },
	{ "completion", cmd_completion, "bash", false, 1, 1, 0,
	  "print a completion script for a shell", "  source <(lasthop completion bash)\n" },
	{ 0 },
};
