/*
 * The flags are one table, from which the usage is printed and by which argv is read. The file has the same words.
 */
#include "agent/worker/options.h"

#include <ctype.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum flag {
	FLAG_ID = 1,
	FLAG_COLLECTOR,
	FLAG_STATE,
	FLAG_NETNS,
	FLAG_ALLOW_TRACE,
	FLAG_NFLOG,
	FLAG_CONFIG,
	FLAG_INSECURE,
	FLAG_HELP,
	FLAG_VERSION
};

static const struct {
	const char *name, *value, *help;
	enum flag flag;
} flags[] = {
	{ "id", "ID", "what this host is called in answers", FLAG_ID },
	{ "collector", "HOST:PORT", "where evidence is sent", FLAG_COLLECTOR },
	{ "state", "DIR", "the agent's own directory, made if need be", FLAG_STATE },
	{ "netns", "NAME", "watch this network namespace instead; may be repeated; all: every one",
	  FLAG_NETNS },
	{ "allow-trace", NULL, "let the collector start leases here", FLAG_ALLOW_TRACE },
	{ "nflog", "GROUP", "read what rules log to this group; may be repeated", FLAG_NFLOG },
	{ "config", "FILE", "YAML with the same words; flags win", FLAG_CONFIG },
	{ "insecure", NULL, "speak plain TCP, with a collector on loopback only", FLAG_INSECURE },
	{ "help", NULL, "print this", FLAG_HELP },
	{ "version", NULL, "print the version", FLAG_VERSION },
};

enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

/* The file, as libcyaml reads it. */
struct file_limits {
	uint32_t lease_seconds, lease_rate, drops_rate;
};

struct file {
	char *id, *collector, *state;
	char **netns;
	uint64_t netns_count;
	uint16_t *nflog;
	uint64_t nflog_count;
	bool allow_trace;
	char *trace_fallback;
	uint32_t *counters_seconds, *conntrack_rate;
	struct file_limits limits;
};

static const cyaml_schema_value_t netns_entry = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, ID_MAX),
};

static const cyaml_schema_value_t nflog_entry = {
	CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint16_t),
};

static const cyaml_schema_field_t limit_fields[] = {
	CYAML_FIELD_UINT("lease_seconds", CYAML_FLAG_OPTIONAL, struct file_limits, lease_seconds),
	CYAML_FIELD_UINT("lease_rate", CYAML_FLAG_OPTIONAL, struct file_limits, lease_rate),
	CYAML_FIELD_UINT("drops_rate", CYAML_FLAG_OPTIONAL, struct file_limits, drops_rate),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_STRING_PTR("id", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, id, 1,
			       ID_MAX),
	CYAML_FIELD_STRING_PTR("collector", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file,
			       collector, 1, 255),
	CYAML_FIELD_STRING_PTR("state", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file,
			       state, 1, 4095),
	CYAML_FIELD_SEQUENCE_COUNT("netns", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file,
				   netns, netns_count, &netns_entry, 0, HOSTS_PER_AGENT),
	CYAML_FIELD_SEQUENCE_COUNT("nflog", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file,
				   nflog, nflog_count, &nflog_entry, 0, NFLOG_GROUPS_MAX),
	CYAML_FIELD_BOOL("allow_trace", CYAML_FLAG_OPTIONAL, struct file, allow_trace),
	CYAML_FIELD_STRING_PTR("trace_fallback", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct file, trace_fallback, 1, 16),
	CYAML_FIELD_UINT_PTR("counters_seconds", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct file, counters_seconds),
	CYAML_FIELD_UINT_PTR("conntrack_rate", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct file, conntrack_rate),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct file, limits, limit_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields),
};

static const cyaml_config_t file_config = {
	.log_level = CYAML_LOG_ERROR,
	.mem_fn = cyaml_mem,
};

static int text_set(char **to, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int netns_add(struct options *o, const char *name, struct why *why)
{
	char **grown;

	if (strcmp(name, "all") == 0) {
		o->netns_all = true;
		return 0;
	}
	if (o->netns_count == HOSTS_PER_AGENT)
		return why_set(why, -EINVAL, "at most %d namespaces", HOSTS_PER_AGENT);
	grown = reallocarray(o->netns, o->netns_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	o->netns = grown;
	o->netns[o->netns_count] = strdup(name);
	return o->netns[o->netns_count++] ? 0 : -ENOMEM;
}

static int nflog_add(struct options *o, unsigned long group, struct why *why)
{
	if (group == 0)
		return why_set(why, -EINVAL, "log group 0 is the one that traces come on");
	if (group > UINT16_MAX)
		return why_set(why, -EINVAL, "log groups are 1 to %d", UINT16_MAX);
	for (uint32_t i = 0; i < o->log_group_count; i++)
		if (o->log_groups[i] == group)
			return why_set(why, -EINVAL, "log group %lu is given twice", group);
	if (o->log_group_count == NFLOG_GROUPS_MAX)
		return why_set(why, -EINVAL, "at most %d log groups", NFLOG_GROUPS_MAX);
	o->log_groups[o->log_group_count++] = (uint16_t)group;
	return 0;
}

static int nflog_read(struct options *o, const char *text, struct why *why)
{
	char *end;
	unsigned long group = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end != '\0')
		return why_set(why, -EINVAL, "--nflog takes the number of a log group");
	return nflog_add(o, group, why);
}

static int flag_take(struct options *o, enum flag flag, const char *value, struct why *why)
{
	switch (flag) {
	case FLAG_ID:
		return text_set(&o->id, value);
	case FLAG_COLLECTOR:
		return text_set(&o->collector, value);
	case FLAG_STATE:
		return text_set(&o->state, value);
	case FLAG_CONFIG:
		return text_set(&o->config, value);
	case FLAG_NETNS:
		return netns_add(o, value, why);
	case FLAG_ALLOW_TRACE:
		o->allow_trace = true;
		return 0;
	case FLAG_NFLOG:
		return nflog_read(o, value, why);
	case FLAG_INSECURE:
		o->insecure = true;
		return 0;
	case FLAG_HELP:
		o->help = true;
		return 0;
	case FLAG_VERSION:
		o->version = true;
		return 0;
	}
	return -EINVAL;
}

static int argv_read(struct options *o, int argc, char **argv, struct why *why)
{
	struct option longs[FLAG_COUNT + 1] = { 0 };
	int c, r = 0;

	for (int i = 0; i < FLAG_COUNT; i++)
		longs[i] = (struct option){ flags[i].name,
					    flags[i].value ? required_argument : no_argument, NULL,
					    flags[i].flag };
	opterr = 0;
	optind = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "+:", longs, NULL)) != -1) {
		if (c == ':')
			return why_set(why, -EINVAL, "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return why_set(why, -EINVAL, "unknown option: %s", argv[optind - 1]);
		r = flag_take(o, (enum flag)c, optarg, why);
	}
	if (r == 0 && optind < argc)
		return why_set(why, -EINVAL, "unexpected argument: %s", argv[optind]);
	return r;
}

static int file_apply(struct options *o, const struct file *f, struct why *why)
{
	int r = 0;

	if (!o->id && f->id)
		r = text_set(&o->id, f->id);
	if (r == 0 && !o->collector && f->collector)
		r = text_set(&o->collector, f->collector);
	if (r == 0 && !o->state && f->state)
		r = text_set(&o->state, f->state);
	if (o->netns_count == 0 && !o->netns_all) {
		for (uint64_t i = 0; r == 0 && i < f->netns_count; i++)
			r = netns_add(o, f->netns[i], why);
	}
	if (o->log_group_count == 0) {
		for (uint64_t i = 0; r == 0 && i < f->nflog_count; i++)
			r = nflog_add(o, f->nflog[i], why);
	}
	o->allow_trace |= f->allow_trace;
	if (f->trace_fallback) {
		o->fallback = strcmp(f->trace_fallback, "true") == 0;
		o->fallback_only = strcmp(f->trace_fallback, "force") == 0;
		if (r == 0 && !o->fallback && !o->fallback_only &&
		    strcmp(f->trace_fallback, "false") != 0)
			r = why_set(why, -EINVAL, "trace_fallback is true, false or force");
	}
	if (f->counters_seconds)
		o->counters_seconds = *f->counters_seconds;
	if (r == 0 && o->counters_seconds > COUNTERS_SECONDS_MAX)
		r = why_set(why, -EINVAL, "counters_seconds is 0 (never) to %d",
			    COUNTERS_SECONDS_MAX);
	if (f->conntrack_rate)
		o->conntrack_rate = *f->conntrack_rate;
	if (r == 0 && o->conntrack_rate > CONNTRACK_RATE_MAX)
		r = why_set(why, -EINVAL, "conntrack_rate is 0 (however many) to %d",
			    CONNTRACK_RATE_MAX);
	if (f->limits.lease_seconds && f->limits.lease_seconds < o->lease_seconds)
		o->lease_seconds = f->limits.lease_seconds;
	if (f->limits.lease_rate && f->limits.lease_rate < o->lease_rate)
		o->lease_rate = f->limits.lease_rate;
	if (f->limits.drops_rate && f->limits.drops_rate < o->drops_rate)
		o->drops_rate = f->limits.drops_rate;
	return r;
}

static int file_read(struct options *o, struct why *why)
{
	struct file *f = NULL;
	cyaml_err_t e;
	int r;

	e = cyaml_load_file(o->config, &file_config, &file_schema, (cyaml_data_t **)&f, NULL);
	if (e != CYAML_OK)
		return why_set(why, -EINVAL, "%s: %s", o->config, cyaml_strerror(e));
	r = f ? file_apply(o, f, why) : 0;
	cyaml_free(&file_config, &file_schema, f, 0);
	return r;
}

static bool id_valid(const char *id)
{
	size_t len = strlen(id);

	if (len == 0 || len > ID_MAX)
		return false;
	for (; *id; id++) {
		if (!isascii((unsigned char)*id) ||
		    (!isalnum((unsigned char)*id) && !strchr("._-", *id)))
			return false;
	}
	return true;
}

static int check(const struct options *o, struct why *why)
{
	if (!o->id || !o->collector || !o->state)
		return why_set(why, -EINVAL, "--%s is missing",
			       !o->id          ? "id"
			       : !o->collector ? "collector"
					       : "state");
	if (!id_valid(o->id))
		return why_set(why, -EINVAL, "--id takes 1 to %d of A-Z a-z 0-9 . _ -", ID_MAX);
	if (o->netns_all && o->netns_count > 0)
		return why_set(why, -EINVAL, "--netns all has every namespace: leave %s out",
			       o->netns[0]);
	for (uint32_t i = 0; i < o->netns_count; i++) {
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(o->netns[i], o->netns[k]) == 0)
				return why_set(why, -EINVAL, "--netns %s is given twice",
					       o->netns[i]);
		if (!id_valid(o->netns[i]) || o->netns[i][0] == '.')
			return why_set(why, -EINVAL, "--netns takes the name of a namespace");
	}
	if (!o->insecure)
		return why_set(why, -EINVAL,
			       "this version speaks plain TCP only: say --insecure, and name a "
			       "collector on loopback");
	return 0;
}

int options_read(struct options *o, int argc, char **argv, struct why *why)
{
	int r;

	*o = (struct options){ .lease_seconds = LEASE_SECONDS_MAX,
			       .lease_rate = LEASE_RATE_MAX,
			       .drops_rate = DROPS_RATE,
			       .counters_seconds = COUNTERS_SECONDS,
			       .conntrack_rate = CONNTRACK_RATE };
	r = argv_read(o, argc, argv, why);
	if (r < 0 || o->help || o->version)
		return r;
	if (o->config) {
		r = file_read(o, why);
		if (r < 0)
			return r;
	}
	return check(o, why);
}

void options_usage(FILE *to)
{
	fprintf(to,
		"usage: lasthop-agent --id ID --collector HOST:PORT --state DIR [OPTION]...\n\n");
	for (int i = 0; i < FLAG_COUNT; i++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s %s", flags[i].name,
			 flags[i].value ? flags[i].value : "");
		fprintf(to, "  %-24s %s\n", left, flags[i].help);
	}
}

void options_clear(struct options *o)
{
	free(o->id);
	free(o->collector);
	free(o->state);
	free(o->config);
	for (uint32_t i = 0; i < o->netns_count; i++)
		free(o->netns[i]);
	free(o->netns);
	*o = (struct options){ 0 };
}
