#include "collector/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_LISTEN, OPT_HTTP, OPT_STORE, OPT_CONFIG, OPT_INSECURE, OPT_HELP, OPT_VERSION };

static const struct {
	const char *name, *arg, *help;
} texts[] = {
	[OPT_LISTEN] = { "listen", "ADDR:PORT", "where agents connect; port 0: any" },
	[OPT_HTTP] = { "http", "ADDR:PORT", "where questions are answered; port 0: any" },
	[OPT_STORE] = { "store", "DIR", "where everything is kept; made if it is not there" },
	[OPT_CONFIG] = { "config", "FILE", "YAML: listen, http, store, keep, segment; flags win" },
	[OPT_INSECURE] = { "insecure", NULL, "plain TCP, on loopback only" },
	[OPT_HELP] = { "help", NULL, "this text" },
	[OPT_VERSION] = { "version", NULL, "the version" },
};

enum { OPT_COUNT = sizeof(texts) / sizeof(*texts) };

static void help(void)
{
	int i;

	printf("lasthop-collector: gather and keep what lasthop-agents saw, and answer questions about it\n\n");
	for (i = 0; i < OPT_COUNT; i++)
		printf("  --%-8s %-10s %s\n", texts[i].name, texts[i].arg ? texts[i].arg : "",
		       texts[i].help);
}

static int check(const struct options *o, struct why *why)
{
	if (!o->listen.address[0] || !o->http.address[0] || !o->store[0])
		return why_set(why, -EINVAL, "--listen, --http and --store are needed; try --help");
	if (!o->insecure)
		return why_set(
			why, -EINVAL,
			"TLS is not there yet: --insecure takes plain TCP, on loopback only");
	if (!endpoint_is_loopback(&o->listen) || !endpoint_is_loopback(&o->http))
		return why_set(why, -EINVAL,
			       "--insecure takes loopback addresses only, such as 127.0.0.1:9471");
	return 0;
}

int options_read(struct options *o, int argc, char **argv, struct why *why)
{
	struct option list[OPT_COUNT + 1] = { 0 };
	const char *config = NULL;
	int i, c;

	*o = (struct options){ 0 };
	for (i = 0; i < OPT_COUNT; i++)
		list[i] =
			(struct option){ texts[i].name,
					 texts[i].arg ? required_argument : no_argument, NULL, i };
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		switch (c) {
		case OPT_LISTEN:
		case OPT_HTTP:
			if (!endpoint_parse(c == OPT_LISTEN ? &o->listen : &o->http, optarg))
				return why_set(why, -EINVAL,
					       "'%.60s' is no ADDR:PORT such as 127.0.0.1:9470",
					       optarg);
			break;
		case OPT_STORE:
			if (snprintf(o->store, sizeof(o->store), "%s", optarg) >=
			    (int)sizeof(o->store))
				return why_set(why, -EINVAL,
					       "the name of the store's directory is too long");
			break;
		case OPT_CONFIG:
			config = optarg;
			break;
		case OPT_INSECURE:
			o->insecure = true;
			break;
		case OPT_HELP:
			help();
			return 1;
		case OPT_VERSION:
			printf("lasthop-collector %s\n", LASTHOP_VERSION);
			return 1;
		default:
			return why_set(why, -EINVAL,
				       "'%.60s' is no option, or lacks its value; try --help",
				       argv[optind - 1]);
		}
	}
	if (optind < argc)
		return why_set(why, -EINVAL, "'%.60s' is no option; try --help", argv[optind]);
	if (config && (i = options_load(o, config, why)) < 0)
		return i;
	return check(o, why);
}
