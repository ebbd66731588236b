#include "collector/cli/args.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name, *value, *help;
	bool everywhere;
} options[] = {
#define X(id, name, value, help, everywhere) { name, value, help, everywhere },
	OPTIONS(X)
#undef X
};

const char *option_name(enum option o)
{
	return options[o].name;
}

static bool has_option(const struct command *c, enum option o)
{
	return options[o].everywhere || (c && c->options & UINT32_C(1) << o);
}

/* Does argv start with the command's one or two words? Returns how many, or 0. */
static int command_match(const struct command *c, int argc, const char *const argv[])
{
	const char *space = strchr(c->name, ' ');
	size_t len = space ? (size_t)(space - c->name) : strlen(c->name);

	if (argc < 1 || strlen(argv[0]) != len || strncmp(argv[0], c->name, len) != 0)
		return 0;
	if (!space)
		return 1;
	return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

static int find_command(struct args *a, const struct command *table, int argc,
			const char *const argv[], struct why *why)
{
	bool group = false;
	size_t len = strlen(argv[0]);

	for (const struct command *c = table; c->name; c++) {
		int n = command_match(c, argc, argv);

		if (n) {
			a->command = c;
			return n;
		}
		group = group || (strncmp(c->name, argv[0], len) == 0 && c->name[len] == ' ');
	}
	if (!group)
		return why_set(why, -ENOENT, "'%.40s' is no command of lasthop", argv[0]);
	if (argc > 1)
		return why_set(why, -ENOENT, "'%.40s %.40s' is no command of lasthop", argv[0],
			       argv[1]);
	return why_set(why, -ENOENT, "'%.40s' needs to know what", argv[0]);
}

/* Short names, of commands that take no flow: there they are iptables'. */
static bool long_name(const struct args *a, const char *word, const char **name)
{
	static const struct {
		const char *word;
		enum option option;
	} list[] = { { "-p", OPTION_PATCH }, { "-n", OPTION_LIMIT } };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (strcmp(word, list[i].word) == 0 && a->command && !a->command->takes_flow &&
		    has_option(a->command, list[i].option)) {
			*name = options[list[i].option].name;
			return true;
		}
	}
	return false;
}

/* 0: not an option that is known here; else how many of argv it took; -EINVAL. */
static int take_option(struct args *a, int argc, const char *const argv[], struct why *why)
{
	const char *name = argv[0] + 2, *equals = strchr(name, '=');
	bool is_short = long_name(a, argv[0], &name);
	size_t len;

	if (is_short)
		equals = NULL;
	len = equals ? (size_t)(equals - name) : strlen(name);
	if (!is_short && strncmp(argv[0], "--", 2) != 0)
		return strcmp(argv[0], "-h") == 0 && !a->command ? (a->value[OPTION_HELP] = "", 1)
								 : 0;
	for (size_t o = 0; o < OPTION_COUNT; o++) {
		if (strlen(options[o].name) != len || strncmp(options[o].name, name, len) != 0)
			continue;
		if (!has_option(a->command, (enum option)o))
			return 0;
		if (!options[o].value) {
			if (equals)
				return why_set(why, -EINVAL, "--%s takes no value",
					       options[o].name);
			a->value[o] = "";
			return 1;
		}
		if (!equals && argc < 2)
			return why_set(why, -EINVAL, "--%s needs a value: %s", options[o].name,
				       options[o].value);
		a->value[o] = equals ? equals + 1 : argv[1];
		return equals ? 1 : 2;
	}
	return 0;
}

static int check_words(const struct args *a, struct why *why)
{
	const struct command *c = a->command;

	if (a->value[OPTION_HELP])
		return 0;
	if (a->word_count < c->words_min)
		return why_set(why, -EINVAL, "%s needs %s", c->name, c->words);
	if (!c->takes_flow && a->word_count > c->words_max)
		return why_set(why, -EINVAL, "%s does not take '%.60s'", c->name,
			       a->words[c->words_max]);
	return 0;
}

int args_parse(struct args *a, const struct command *table, int argc, const char *const argv[],
	       struct why *why)
{
	bool only_words = false;
	int r;

	*a = (struct args){ 0 };
	for (int i = 0; i < argc; i += r) {
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
			r = 1;
			continue;
		}
		r = only_words ? 0 : take_option(a, argc - i, argv + i, why);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (!a->command) {
			if (argv[i][0] == '-')
				return why_set(why, -EINVAL, "'%.60s' is no option of lasthop",
					       argv[i]);
			r = find_command(a, table, argc - i, argv + i, why);
			if (r < 0)
				return r;
			continue;
		}
		if (!only_words && !a->command->takes_flow && argv[i][0] == '-' && argv[i][1])
			return why_set(why, -EINVAL, "'%.60s' is no option of lasthop %s", argv[i],
				       a->command->name);
		if (a->word_count == ARGS_WORDS_MAX)
			return why_set(why, -EINVAL, "too many words");
		a->words[a->word_count++] = argv[i];
		r = 1;
	}
	return a->command ? check_words(a, why) : 0;
}

static void print_option(FILE *out, enum option o)
{
	char text[64];

	snprintf(text, sizeof(text), "--%s%s%s", options[o].name, options[o].value ? " " : "",
		 options[o].value ? options[o].value : "");
	fprintf(out, "  %-18s %s\n", text, options[o].help);
}

void args_print_command(FILE *out, const struct command *c)
{
	fprintf(out, "usage: lasthop %s%s%s%s\n\n%s\n", c->name, *c->words ? " " : "", c->words,
		c->options ? " [options]" : "", c->help);
	if (c->more)
		fprintf(out, "\n%s", c->more);
	fprintf(out, "\noptions:\n");
	for (size_t o = 0; o < OPTION_COUNT; o++)
		if (!options[o].everywhere && has_option(c, (enum option)o))
			print_option(out, (enum option)o);
	for (size_t o = 0; o < OPTION_COUNT; o++)
		if (options[o].everywhere)
			print_option(out, (enum option)o);
}

void args_print_all(FILE *out, const struct command *table)
{
	fprintf(out, "usage: lasthop [--collector URL] COMMAND ...\n\n"
		     "Where did this flow die, and why?\n\ncommands:\n");
	for (const struct command *c = table; c->name; c++) {
		char text[64];

		snprintf(text, sizeof(text), "%s%s%s", c->name, *c->words ? " " : "", c->words);
		fprintf(out, "  %-28s %s\n", text, c->help);
	}
	fprintf(out,
		"\nA FLOW is what you have: 'tcp 10.0.1.2 10.0.3.2:443', iptables flags (-p tcp -s 10.0.1.2 --dport 443),\n"
		"or a line pasted from tcpdump, conntrack or the kernel's log.\n"
		"lasthop help COMMAND says more.\n");
}

void args_print_bash(FILE *out, const struct command *table)
{
	fprintf(out,
		"# lasthop: completion for bash; made by `lasthop completion bash` from its table of commands\n"
		"_lasthop()\n{\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= options= w i\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tw=${COMP_WORDS[i]}\n"
		"\t\tcase $w in --collector|--color) ((i++)) ;; -*) ;; *) command=\"${command:+$command }$w\" ;; esac\n"
		"\tdone\n"
		"\tcase $prev in\n"
		"\t--on) COMPREPLY=($(compgen -W \"all $(lasthop hosts --brief 2>/dev/null | cut -d' ' -f1)\" -- \"$cur\"));"
		" return ;;\n"
		"\t--color) COMPREPLY=($(compgen -W 'auto always never' -- \"$cur\")); return ;;\n"
		"\t--expect) COMPREPLY=($(compgen -W 'delivered dropped rejected refused discarded lost left unknown'"
		" -- \"$cur\")); return ;;\n"
		"\t--family) COMPREPLY=($(compgen -W 'ipv4 ipv6' -- \"$cur\")); return ;;\n"
		"\t--backend) COMPREPLY=($(compgen -W 'legacy nft native ipset' -- \"$cur\")); return ;;\n"
		"\tesac\n"
		"\tcase $command in\n");
	for (const struct command *c = table; c->name; c++) {
		fprintf(out, "\t'%s'|'%s '*) options='", c->name, c->name);
		for (size_t o = 0; o < OPTION_COUNT; o++)
			if (has_option(c, (enum option)o))
				fprintf(out, "--%s ", options[o].name);
		if (c->takes_flow)
			fprintf(out, "tcp udp icmp -p -s -d --sport --dport -i -o");
		fprintf(out, "'");
		if (strncmp(c->words, "HOST", 4) == 0)
			fprintf(out,
				"; options+=\" $(lasthop hosts --brief 2>/dev/null | cut -d' ' -f1)\"");
		fprintf(out, " ;;\n");
	}
	fprintf(out, "\tesac\n\tif [[ -z $options ]]; then\n\t\tcase $command in\n");
	for (const struct command *c = table; c->name; c++) {
		const char *space = strchr(c->name, ' ');
		size_t len = space ? (size_t)(space - c->name) : 0;

		if (!space || (c > table && strncmp(c[-1].name, c->name, len + 1) == 0))
			continue;
		fprintf(out, "\t\t%.*s) options='", (int)len, c->name);
		for (const struct command *d = c; d->name; d++)
			if (strncmp(d->name, c->name, len + 1) == 0)
				fprintf(out, "%s ", d->name + len + 1);
		fprintf(out, "' ;;\n");
	}
	fprintf(out, "\t\t'') options='");
	for (const struct command *c = table; c->name; c++) {
		size_t len = strcspn(c->name, " ");

		if (c == table || strncmp(c[-1].name, c->name, len) != 0 ||
		    (c[-1].name[len] && c[-1].name[len] != ' '))
			fprintf(out, "%.*s ", (int)len, c->name);
	}
	fprintf(out, "--collector --help --version' ;;\n\t\tesac\n\tfi\n"
		     "\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n}\n"
		     "complete -F _lasthop lasthop\n");
}
