/*
 * Captured netlink messages (tests/data/agent_source/NAME.bin, as the kernel sent them) decode to what stands in
 * NAME.json. After a change that is meant: `unit_agent_source_golden --update` writes the .json anew; look at the diff.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/source/audit.h"
#include "agent/source/drops.h"
#include "agent/source/host.h"
#include "agent/source/ifnames.h"
#include "agent/source/source.h"

static const struct {
	const char *name;
	const struct source_ops *const ops;
} captures[] = {
	{ "trace_legacy", &source_trace_legacy },
	{ "trace_legacy_tagged", &source_trace_legacy },
	{ "trace_nft", &source_trace_nft },
	{ "trace_nft_tagged", &source_trace_nft },
	{ "trace_nft_replaced", &source_trace_nft }, /* our table, while a packet was in it */
	{ "conntrack", &source_conntrack },
	{ "changes_nft", &source_changes_nft },
	{ "conntrack_dump", &source_conntrack },
	{ "host", &source_host },
	{ "host_dump", &source_host },
	{ "audit", &source_audit },
};

enum { CAPTURES = sizeof(captures) / sizeof(captures[0]) };

static bool update;

static void put_text(FILE *f, const char *key, const char *text)
{
	fprintf(f, ", \"%s\": \"", key);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
			fprintf(f, "\\u%04x", (unsigned char)*text);
		else
			fputc(*text, f);
	}
	fputc('"', f);
}

static void put_tuple(FILE *f, const char *key, const struct tuple *t)
{
	char src[ENDPOINT_TEXT_MAX], dst[ENDPOINT_TEXT_MAX];

	endpoint_print(&t->src, t->sport, t->proto, src);
	endpoint_print(&t->dst, t->dport, t->proto, dst);
	fprintf(f, ", \"%s\": \"%u %s %s %u %u\"", key, t->proto, src, dst, t->sport, t->dport);
}

static void put_author(void *arg, const struct table_change *c)
{
	FILE *f = arg;

	fprintf(f, "{\"pid\": %u", c->pid);
	put_text(f, "program", c->program);
	fprintf(f, "}\n");
}

static void put_audit(void *arg, const struct audit_record *r, struct boot_ns now)
{
	static const char *const kinds[] = {
#define X(id, text) text,
		AUDIT_KINDS(X)
#undef X
	};
	FILE *f = arg;

	(void)now;
	fprintf(f, "{\"serial\": %u, \"at\": %lld", r->serial, (long long)r->at.v);
	put_text(f, "kind", kinds[r->kind]);
	if (r->kind == AUDIT_KIND_TABLE && r->legacy) {
		put_text(f, "family", family_name((enum family)r->family));
		put_text(f, "table", r->table);
	} else if (r->kind == AUDIT_KIND_TABLE) {
		fprintf(f, ", \"generation\": %u", r->generation);
	}
	if (r->kind == AUDIT_KIND_CALL)
		fprintf(f, ", \"uid\": %u, \"loginuid\": %u", r->uid, r->loginuid);
	if (r->kind == AUDIT_KIND_TABLE || r->kind == AUDIT_KIND_CALL) {
		fprintf(f, ", \"pid\": %u", r->pid);
		put_text(f, "program", r->program);
	}
	if (r->kind == AUDIT_KIND_TITLE)
		put_text(f, "command", r->command);
	if (r->kind == AUDIT_KIND_SWITCH)
		fprintf(f, ", \"on\": %d", r->on);
	fputs("}\n", f);
}

static void put_mac(FILE *f, const char *key, const uint8_t mac[static 6])
{
	fprintf(f, ", \"%s\": \"%02x:%02x:%02x:%02x:%02x:%02x\"", key, mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
}

static void put_trace(void *arg, struct trace_event *e)
{
	FILE *f = arg;

	fprintf(f, "{\"hook\": \"%s\"", hook_name((enum hook)e->step.hook));
	put_text(f, "backend", backend_name((enum backend)e->step.backend));
	put_text(f, "family", family_name((enum family)e->step.family));
	put_text(f, "table", e->step.table);
	put_text(f, "chain", e->step.chain);
	put_text(f, "label", label_name((enum label)e->step.label));
	put_text(f, "verdict", step_verdict_name((enum step_verdict)e->step.verdict));
	put_text(f, "checkpoint", checkpoint_name((enum checkpoint)e->step.checkpoint));
	fprintf(f, ", \"number\": %u, \"handle\": %lu, \"priority\": %d", e->step.number,
		(unsigned long)e->step.handle, e->priority_known ? e->priority : 0);
	put_text(f, "in", e->in_if);
	put_text(f, "out", e->out_if);
	put_mac(f, "mac", e->ether.src);
	put_mac(f, "to_mac", e->ether.dst);
	fprintf(f, ", \"ethertype\": \"%04x\", \"vlan\": %u", e->ether.type, e->ether.vlan);
	if (e->step.prefix)
		put_text(f, "prefix", e->step.prefix);
	if (e->trace_id)
		fprintf(f, ", \"id\": %u", e->trace_id);
	if (e->has_packet) {
		put_tuple(f, "tuple", &e->packet.tuple);
		fprintf(f, ", \"ttl\": %u, \"fp\": \"%016lx\"", e->step.ttl,
			(unsigned long)e->packet.fp);
	}
	if (e->step.label == LABEL_CHECKPOINT)
		fprintf(f, ", \"traced_before\": %s", e->traced_before ? "true" : "false");
	fputs("}\n", f);
}

static void put_conn(void *arg, const struct conn *c)
{
	FILE *f = arg;

	fprintf(f, "{\"event\": \"%s\", \"id\": %u, \"status\": %u, \"timeout\": %u",
		conn_event_name((enum conn_event)c->event), c->id, c->status, c->timeout_s);
	put_tuple(f, "orig", &c->orig);
	put_tuple(f, "reply", &c->reply);
	fputs("}\n", f);
}

static void put_loss(void *arg, const struct loss *l)
{
	fprintf(arg, "{\"loss\": \"%s\", \"known\": %d, \"count\": %lu}\n", l->source,
		l->count_known, (unsigned long)l->count);
}

static void put_changed(void *arg)
{
	fputs("{\"changed\": true}\n", arg);
}

static void put_link(void *arg, int32_t ifindex, const char *name)
{
	fprintf(arg, "{\"ifindex\": %d", ifindex);
	put_text(arg, "name", name);
	fputs("}\n", arg);
}

static void put_done(void *arg, int error)
{
	fprintf(arg, "{\"done\": %d}\n", error);
}

static void put_prefix(FILE *f, const char *key, const struct prefix *p)
{
	char text[ADDR_TEXT_MAX + 4];

	if (!p->addr.family)
		return;
	prefix_print(p, text);
	put_text(f, key, text);
}

static void put_rule(FILE *f, const struct facts_rule *r)
{
	fprintf(f, "{\"rule\": %u, \"family\": %u, \"action\": %u, \"table\": %u", r->priority,
		r->family, r->action, r->table);
	put_prefix(f, "from", &r->from);
	put_prefix(f, "to", &r->to);
	put_text(f, "iif", r->iif);
	put_text(f, "oif", r->oif);
	fprintf(f, ", \"target\": %u, \"mark\": \"%x/%x\", \"tos\": %u, \"proto\": %u", r->target,
		r->mark, r->mask, r->tos, r->proto);
	fprintf(f, ", \"sport\": \"%u-%u\", \"dport\": \"%u-%u\", \"suppress\": %d", r->sport[0],
		r->sport[1], r->dport[0], r->dport[1], r->suppress);
	fprintf(f, ", \"invert\": %d, \"l3mdev\": %d, \"other\": %d}\n", r->invert, r->l3mdev,
		r->other);
}

static void put_facts(void *arg, const struct facts *facts)
{
	FILE *f = arg;

	fprintf(f,
		"{\"forward\": \"%d %d %d\", \"rp_filter\": %u, \"rules\": \"%d %d\", \"cut\": %d}\n",
		facts->forward_known, facts->forward4, facts->forward6, facts->rp_filter,
		facts->rules4, facts->rules6, facts->cut);
	for (uint32_t i = 0; i < facts->link_count; i++) {
		const struct facts_link *l = &facts->links[i];

		fprintf(f, "{\"link\": %d", l->ifindex);
		put_text(f, "name", l->name);
		fprintf(f, ", \"up\": %d, \"mtu\": %u, \"conf\": \"%d %d\", \"forward4\": %d",
			l->up, l->mtu, l->conf4, l->conf6, l->forward4);
		fprintf(f, ", \"rp_filter\": %u, \"force_forward6\": %d, \"disable6\": %d}\n",
			l->rp_filter, l->force_forward6, l->disable6);
	}
	for (uint32_t i = 0; i < facts->addr_count; i++) {
		fprintf(f, "{\"ifindex\": %d", facts->addrs[i].ifindex);
		put_prefix(f, "addr", &facts->addrs[i].addr);
		fputs("}\n", f);
	}
	for (uint32_t i = 0; i < facts->route_count; i++) {
		const struct facts_route *r = &facts->routes[i];
		const struct prefix gateway = { r->gateway, r->gateway.family == 4 ? 32 : 128 };

		fprintf(f, "{\"route\": %u", r->table);
		put_prefix(f, "dst", &r->dst);
		put_prefix(f, "src", &r->src);
		put_prefix(f, "via", &gateway);
		fprintf(f, ", \"dev\": %d, \"metric\": %u, \"type\": %u, \"tos\": %u}\n",
			r->ifindex, r->metric, r->type, r->tos);
	}
	for (uint32_t i = 0; i < facts->rule_count; i++)
		put_rule(f, &facts->rules[i]);
}

static char *slurp(const char *name, const char *ext, size_t *len)
{
	char path[512];
	char *p;
	FILE *f;

	snprintf(path, sizeof(path), "%s/agent_source/%s.%s", TEST_DATA, name, ext);
	f = fopen(path, "rb");
	if (!f)
		return NULL;
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	p = calloc(1, *len + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, *len, f), *len);
	fclose(f);
	return p;
}

static void decodes(void **state)
{
	int i = (int)(intptr_t)*state;
	struct ifnames names = { 0 };
	char *text = NULL, *want, path[512];
	size_t text_len, want_len, len;
	struct source s;
	struct sink out = { .trace = put_trace,
			    .changed = put_author,
			    .conn = put_conn,
			    .loss = put_loss,
			    .facts_changed = put_changed,
			    .link = put_link,
			    .done = put_done,
			    .facts = put_facts,
			    .audit = put_audit };
	uint8_t *bin = (uint8_t *)slurp(captures[i].name, "bin", &len);
	FILE *f = open_memstream(&text, &text_len);

	assert_non_null(bin);
	ifnames_set(&names, 1, "lo");
	ifnames_set(&names, 2, "lan");
	ifnames_set(&names, 3, "wan");
	source_init(&s, captures[i].ops, -1, &names);
	out.arg = f;
	/* Its answers are numbered as the questions would be. */
	if (strcmp(captures[i].name, "host_dump") == 0)
		assert_int_equal(host_dump(&s), 0);
	assert_int_equal(s.ops->decode(&s, bin, len, boot_now(), &out), 0);
	source_clear(&s);
	ifnames_clear(&names);
	fclose(f);
	free(bin);

	assert_true(text_len > 0);
	if (update) {
		snprintf(path, sizeof(path), "%s/agent_source/%s.json", TEST_DATA,
			 captures[i].name);
		f = fopen(path, "w");
		assert_non_null(f);
		fwrite(text, 1, text_len, f);
		fclose(f);
	}
	want = slurp(captures[i].name, "json", &want_len);
	assert_non_null(want);
	assert_string_equal(text, want);
	free(want);
	free(text);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[CAPTURES];

	update = argc > 1 && strcmp(argv[1], "--update") == 0;
	for (int i = 0; i < CAPTURES; i++)
		tests[i] = (struct CMUnitTest){ .name = captures[i].name,
						.test_func = decodes,
						.initial_state = (void *)(intptr_t)i };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
