#include "collector/diagnose/value.h"

#include <stdio.h>

json_t *json_wall(struct wall_ns t)
{
	char text[WALL_TEXT_MAX];

	if (!t.v)
		return json_null();
	wall_print(t, text);
	return json_string(text);
}

void json_put(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value ? value : json_null());
}

json_t *json_text(const char *text)
{
	char out[2048];
	json_t *whole;
	size_t n = 0;

	if (!text || !text[0])
		return json_null();
	whole = json_string(text);
	if (whole)
		return whole;
	for (const unsigned char *p = (const unsigned char *)text; *p && n + 5 < sizeof(out); p++) {
		if (*p < 0x80)
			out[n++] = (char)*p;
		else
			n += (size_t)snprintf(out + n, sizeof(out) - n, "\\x%02x", *p);
	}
	out[n] = '\0';
	return json_string(out);
}

static json_t *json_port(const struct tuple *t, uint16_t port)
{
	return proto_has_ports(t->proto) ? json_integer(port) : json_null();
}

json_t *json_addr(const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	if (!a->family)
		return json_null();
	addr_print(a, text);
	return json_string(text);
}

json_t *json_tuple(const struct tuple *t)
{
	return json_pack("{s:o,s:o,s:o,s:o}", "src", json_addr(&t->src), "sport",
			 json_port(t, t->sport), "dst", json_addr(&t->dst), "dport",
			 json_port(t, t->dport));
}

json_t *json_flow(const struct tuple *t)
{
	bool echo = proto_is_icmp(t->proto) && t->dport;
	json_t *flow = json_tuple(t);
	char number[4];

	json_object_set_new(flow, "proto", json_string(proto_name(t->proto, number)));
	json_object_set_new(flow, "icmp_type", echo ? json_integer(t->dport) : json_null());
	json_object_set_new(flow, "icmp_id", echo ? json_integer(t->sport) : json_null());
	return flow;
}
