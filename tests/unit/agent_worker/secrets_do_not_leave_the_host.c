/*
 * What looks like a secret in a command line does not leave the host, and what does not look like one is not lost. A `|` stands
 * for the end of a word as the kernel has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/source/source.h"
#include "agent/worker/mask.h"

struct masked {
	const char *plain, *masked;
};

static void try(const struct masked *cases, size_t count)
{
	char text[COMMAND_MAX + 1];

	for (size_t i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%s", cases[i].plain);
		for (char *p = text; *p; p++)
			if (*p == '|')
				*p = COMMAND_BREAK;
		command_mask(text);
		assert_string_equal(text, cases[i].masked);
	}
}

static void values_of_options_variables_and_fields(void **state)
{
	static const struct masked cases[] = {
		{ "tool --password hunter2 -A INPUT", "tool --password *** -A INPUT" },
		{ "tool --token=abc run", "tool --token=*** run" },
		{ "env API_TOKEN=abc iptables -F", "env API_TOKEN=*** iptables -F" },
		{ "fetch https://me:hunter2@host/rules", "fetch https://me:***@host/rules" },
		{ "tool --secret", "tool --secret" },
		{ "tool --pass hunter2 --dport 22", "tool --pass *** --dport 22" },
		{ "env MYSQL_PWD=hunter2 rules", "env MYSQL_PWD=*** rules" },
		{ "env AWS_ACCESS_KEY=abcdef rules", "env AWS_ACCESS_KEY=*** rules" },
		{ "tool --private-key abcdef up", "tool --private-key *** up" },
		{ "fetch -H Authorization: Bearer abcdef http://host/",
		  "fetch -H Authorization: Bearer *** http://host/" },
		{ "", "" },
		{ "tool|--pass|two words|--dport|22", "tool --pass *** --dport 22" },
		{ "tool|--password=two words|-x", "tool --password=*** -x" },
		{ "sh|-c|TOKEN=abc iptables -F", "sh -c TOKEN=***" },
		{ "sh|-c|env TOKEN=abc iptables -F", "sh -c env TOKEN=*** iptables -F" },
		{ "tool --key=abc --key abc", "tool --key=*** --key ***" },
		{ "tool pw=abc secret:abc X-Api-Key:abc", "tool pw=*** secret:*** X-Api-Key:***" },
		{ "tool {\"password\":\"abc\"} {\"a\":1,\"token\":\"abc\"}",
		  "tool {\"password\":*** {\"a\":1,\"token\":***" },
		{ "tool {\"password\": \"abc\"}", "tool {\"password\": ***" },
		{ "fetch https://host/?a=1&token=abc", "fetch https://host/?a=1&token=***" },
		{ "fetch https://host/?a=1&sig=abc", "fetch https://host/?a=1&sig=***" },
		{ "wg|set|wg0|private-key|abc", "wg set wg0 private-key ***" },
		{ "tool ghp_0123456789abcdef0123", "tool ***" },
	};

	(void)state;
	try(cases, sizeof(cases) / sizeof(cases[0]));
}

static void what_stands_behind_a_users_name(void **state)
{
	static const struct masked cases[] = {
		{ "fetch me:abc@host", "fetch me:***@host" },
		{ "fetch -u me:abc http://host/", "fetch -u me:*** http://host/" },
		{ "fetch --user=me:abc -x", "fetch --user=me:*** -x" },
		{ "fetch|--user|me:a b|-x", "fetch --user me:*** -x" },
		{ "fetch mysql://root:a@b@db/x", "fetch mysql://root:***@db/x" },
		{ "fetch https://host:443/a@b", "fetch https://host:***@b" },
	};

	(void)state;
	try(cases, sizeof(cases) / sizeof(cases[0]));
}

static void what_is_no_secret_is_told(void **state)
{
	static const char *const told[] = {
		"iptables -A INPUT -s 10.0.0.1 -p tcp --dport 443 -j DROP",
		"iptables -A INPUT -m comment --comment key=1",
		"tool --private-network 10.0.0.0/8",
		"iptables -N bypass -A PASS -j author",
		"iptables -A auth: -j ACCEPT",
		"iptables -D PASS 3",
		"tool : --passes 3 -",
		"iptables -t nat -A PREROUTING -p tcp --dport 1000:2000 -j DNAT --to-destination [2001:db8::1]:80",
		"nft add rule ip t c tcp dport vmap { 22:drop, 80:accept }",
		"nft add rule inet t c ip saddr @blocked drop",
		"nft -u list ruleset",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		char plain[COMMAND_MAX + 1];

		snprintf(plain, sizeof(plain), "%s", told[i]);
		for (char *p = plain; *p; p++)
			if (*p == ' ')
				*p = '|';
		try(&(struct masked){ plain, told[i] }, 1);
		try(&(struct masked){ told[i], told[i] }, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_options_variables_and_fields),
		cmocka_unit_test(what_stands_behind_a_users_name),
		cmocka_unit_test(what_is_no_secret_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
