/*
 * `rules show`: the tables of one host as they stood at one instant, byte for byte as iptables-save would
 * have printed them, or its ipsets as `ipset save` would. Only a terminal gets control characters escaped.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/field.h"
#include "collector/cli/source.h"
#include "collector/cli/text.h"

enum { QUERY_MAX = 4096 };

/* In the order in which the tables are printed. */
static int place_of(const json_t *table)
{
	static const char *const backends[] = { "legacy", "nft", "native" }, *const families[] = {
		"ipv4", "ipv6"
	};
	static const char *const tables[] = { "raw", "mangle", "nat", "filter", "security" };
	int backend = 0, family = 0, name = 0;

	while (backend < 3 && !field_is(table, "backend", backends[backend]))
		backend++;
	while (family < 2 && !field_is(table, "family", families[family]))
		family++;
	while (name < 5 && !field_is(table, "table", tables[name]))
		name++;
	return backend * 100 + family * 10 + name;
}

static int compare(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int places = place_of(x) - place_of(y);

	return places ? places : strcmp(field_text(x, "table") ?: "", field_text(y, "table") ?: "");
}

static bool wanted(const struct source *from, const json_t *table)
{
	const char *content = field_text(table, "content");

	if (!json_is_string(json_object_get(table, "text")))
		return false;
	if (!from->content[0])
		return true;
	if (content && strncmp(content, "sha256:", 7) == 0)
		content += 7;
	return content && strncmp(content, from->content, strlen(from->content)) == 0;
}

static void show_table(struct cli *c, const json_t *table)
{
	const json_t *value = json_object_get(table, "text");
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (!c->terminal) {
		fwrite(text, 1, len, stdout);
		if (len && text[len - 1] != '\n')
			putchar('\n');
		return;
	}
	(void)text_safe(&c->screen.out, text, len, c->screen.utf8, true);
	if (len && text[len - 1] != '\n')
		(void)buf_add(&c->screen.out, "\n", 1);
}

/* Several backends or families: on a terminal a comment says where one ends and the next begins. */
static void show_heading(struct cli *c, const json_t *table, const json_t *before)
{
	if (!c->terminal || (before && place_of(before) / 10 == place_of(table) / 10))
		return;
	screen_putf(&c->screen, STYLE_GREY, "# %s %s", field_text(table, "backend") ?: "",
		    field_text(table, "family") ?: "");
	screen_end(&c->screen, 0);
}

static int show(struct cli *c, const struct source *from, const json_t *answer)
{
	const json_t *tables = json_object_get(answer, "tables"), *table, *before = NULL;
	size_t i, n = 0;
	json_t **list = calloc(json_array_size(tables) + 1, sizeof(*list));

	if (!list)
		return cli_fail(STATUS_TROUBLE, "no memory", NULL);
	json_array_foreach(tables, i, table)
		if (wanted(from, table))
			list[n++] = json_array_get(tables, i);
	qsort(list, n, sizeof(*list), compare);
	for (i = 0; i < n; i++) {
		show_heading(c, list[i], before);
		show_table(c, list[i]);
		before = list[i];
	}
	free(list);
	if (n == 0)
		return cli_fail(STATUS_NOTHING,
				from->content[0] ? "no table of this host had that content"
						 : "no table of this host is known at that time",
				"lasthop hosts");
	cli_show(c);
	return STATUS_ANSWER;
}

static int ask_rules(struct cli *c, const struct source *from, json_t **answer)
{
	struct buf path;

	buf_init(&path, QUERY_MAX);
	(void)buf_addf(&path, "/api/v1/rules");
	source_query(&path, from, "host", "at");
	cli_query_tables(c, &path);
	return cli_get(c, &path, answer);
}

static bool one_of(const char *value, const char *const list[])
{
	if (!value)
		return true;
	for (; *list; list++)
		if (strcmp(*list, value) == 0)
			return true;
	return false;
}

int cmd_rules_show(struct cli *c)
{
	static const char *const formats[] = { "save", NULL }, *const families[] = { "ipv4", "ipv6",
										     NULL };
	static const char *const backends[] = { "legacy", "nft", "native", "ipset", NULL };
	struct source from;
	json_t *answer = NULL;
	int status;

	if (!one_of(c->args.value[OPTION_FORMAT], formats))
		return cli_usage(c, "--format knows one format: save");
	if (!one_of(c->args.value[OPTION_FAMILY], families))
		return cli_usage(c, "--family is ipv4 or ipv6");
	if (!one_of(c->args.value[OPTION_BACKEND], backends))
		return cli_usage(c, "--backend is legacy, nft, native or ipset");
	status = source_parse(&from, c, c->args.words[0]);
	if (status == STATUS_ANSWER)
		status = ask_rules(c, &from, &answer);
	if (status == STATUS_ANSWER) {
		if (c->args.value[OPTION_JSON])
			cli_show_json(answer, false);
		else
			status = show(c, &from, answer);
	}
	json_decref(answer);
	return status;
}
