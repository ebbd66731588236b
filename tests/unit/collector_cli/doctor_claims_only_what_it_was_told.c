#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/doctor.h"

static json_t *parsed(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	assert_non_null(o);
	return o;
}

static const char *said(const json_t *findings, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(findings, i), key)) ?: "";
}

static json_t *of_host(const char *text)
{
	json_t *findings = json_array(), *host = parsed(text);

	doctor_host(findings, host);
	json_decref(host);
	return findings;
}

static void a_healthy_host_has_no_findings(void **state)
{
	json_t *findings = of_host(
		"{\"id\":\"gw\",\"state\":\"ready\",\"lag_ms\":20,\"losses\":[],\"mixed\":false,"
		"\"sources\":[{\"name\":\"counters\",\"state\":\"on\",\"why\":null},"
		"{\"name\":\"trace-nft\",\"state\":\"ready\",\"why\":null},"
		"{\"name\":\"conntrack\",\"state\":\"off\",\"why\":\"not loaded\"}]}");

	(void)state;
	assert_int_equal(json_array_size(findings), 0);
	json_decref(findings);
	/* What is missing or of another kind is no evidence, either. */
	findings = of_host("{\"id\":7,\"state\":[],\"lag_ms\":\"x\",\"sources\":{},\"losses\":[]}");
	assert_int_equal(json_array_size(findings), 0);
	json_decref(findings);
}

static void a_wrong_clock_is_told(void **state)
{
	json_t *findings = of_host("{\"id\":\"gw\",\"clock_ms\":-181500,\"losses\":[]}");

	(void)state;
	assert_int_equal(json_array_size(findings), 1);
	assert_string_equal(said(findings, 0, "kind"), "clock");
	assert_non_null(strstr(said(findings, 0, "text"), "181.5 s behind"));
	json_decref(findings);
	findings = of_host("{\"id\":\"gw\",\"clock_ms\":900,\"losses\":[]}");
	assert_int_equal(json_array_size(findings), 0);
	json_decref(findings);
}

static void a_full_table_is_trouble(void **state)
{
	json_t *findings = of_host(
		"{\"id\":\"gw\",\"state\":\"ready\",\"losses\":[],\"conntrack\":{\"count\":950,\"max\":1000,"
		"\"insert_failed\":7,\"grew\":{\"insert_failed\":0,\"drop\":0,\"early_drop\":0}}}");

	(void)state;
	assert_int_equal(json_array_size(findings), 1);
	assert_string_equal(said(findings, 0, "kind"), "conntrack-full");
	assert_string_equal(said(findings, 0, "level"), "trouble");
	json_decref(findings);
	findings = of_host(
		"{\"id\":\"gw\",\"state\":\"ready\",\"losses\":[],\"conntrack\":{\"count\":949,\"max\":1000,"
		"\"insert_failed\":7,\"grew\":{\"insert_failed\":0,\"drop\":3,\"early_drop\":0}}}");
	assert_int_equal(json_array_size(findings), 1);
	assert_string_equal(said(findings, 0, "kind"), "conntrack-loses");
	assert_non_null(strstr(said(findings, 0, "text"), "3 packets"));
	json_decref(findings);
	findings = of_host("{\"id\":\"gw\",\"conntrack\":{\"count\":950,\"max\":null}}");
	assert_int_equal(json_array_size(findings), 0);
	json_decref(findings);
	findings = of_host("{\"id\":\"gw\",\"conntrack\":null}");
	assert_int_equal(json_array_size(findings), 0);
	json_decref(findings);
}

static void what_is_missing_is_said_with_its_cost(void **state)
{
	json_t *findings = of_host(
		"{\"id\":\"gw\",\"state\":\"silent\",\"last_seen\":\"2026-11-23T06:00:00Z\",\"mixed\":true,"
		"\"backends\":[\"legacy\",\"nft\"],\"sources\":["
		"{\"name\":\"drops\",\"state\":\"failed\",\"why\":\"no BTF\"},"
		"{\"name\":\"counters\",\"state\":\"off\",\"why\":null}]}");

	(void)state;
	assert_int_equal(json_array_size(findings), 4);
	assert_string_equal(said(findings, 0, "kind"), "silent");
	assert_string_equal(said(findings, 0, "level"), "trouble");
	assert_string_equal(said(findings, 1, "text"),
			    "drops is missing: packets that the kernel frees are seen only where "
			    "they are traced; no BTF");
	assert_string_equal(said(findings, 1, "level"), "warning");
	assert_string_equal(said(findings, 2, "level"), "note");
	assert_string_equal(said(findings, 3, "kind"), "mixed");
	json_decref(findings);
}

static void losses_are_summed_and_never_made_exact(void **state)
{
	json_t *findings = of_host(
		"{\"id\":\"gw\",\"state\":\"ready\",\"losses\":["
		"{\"source\":\"drops\",\"count\":2,\"from\":\"2026-11-23T06:00:05Z\",\"until\":\"2026-11-23T06:00:06Z\"},"
		"{\"source\":\"spool\",\"count\":null,\"from\":\"2026-11-23T06:00:00Z\",\"until\":\"2026-11-23T06:00:01Z\"},"
		"{\"source\":\"drops\",\"count\":3,\"from\":\"2026-11-23T06:00:00Z\",\"until\":\"2026-11-23T06:00:01Z\"},"
		"{\"source\":\"nft\",\"count\":4,\"from\":\"2026-11-23T06:00:00Z\",\"until\":\"2026-11-23T06:00:01Z\"},"
		"{\"source\":\"nft\",\"count\":null,\"from\":\"2026-11-23T06:00:00Z\",\"until\":\"2026-11-23T06:00:01Z\"}]}");
	const json_t *evidence = json_object_get(json_array_get(findings, 0), "evidence");

	(void)state;
	assert_int_equal(json_array_size(findings), 3);
	assert_string_equal(said(findings, 0, "text"), "lost 5 events of drops");
	assert_string_equal(json_string_value(json_object_get(evidence, "from")),
			    "2026-11-23T06:00:00Z");
	assert_string_equal(json_string_value(json_object_get(evidence, "until")),
			    "2026-11-23T06:00:06Z");
	assert_string_equal(said(findings, 1, "text"), "lost an unknown number of events of spool");
	assert_string_equal(said(findings, 2, "text"), "lost more than 4 events of nft");
	json_decref(findings);
}

/* How many findings a rule of this text, counted so, leads to. */
static size_t accused(const char *rule, double rate, double seconds, bool at_most, bool *told)
{
	json_t *findings = json_array();
	json_t *answer = json_pack(
		"{s:s,s:[{s:s,s:s,s:s,s:b,s:{s:f}}],s:[{s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:f,s:b,s:b}]}",
		"host", "gw", "tables", "backend", "legacy", "family", "ipv4", "table", "filter",
		"gone", 0, "read", "seconds", seconds, "rules", "backend", "legacy", "family",
		"ipv4", "table", "filter", "chain", "INPUT", "kind", "rule", "rule", 9, "rule_text",
		rule, "packets_per_s", rate, "at_most", at_most, "gone", 0);
	size_t n;

	assert_non_null(answer);
	*told = doctor_counters(findings, answer);
	n = json_array_size(findings);
	if (n > 0)
		assert_string_equal(said(findings, 0, "text"),
				    "a log rule without a limit at filter/INPUT 9: 4100 packets/s");
	json_decref(answer);
	json_decref(findings);
	return n;
}

static void only_a_log_rule_without_a_limit_overloads(void **state)
{
	static const struct {
		const char *rule;
		size_t findings;
	} cases[] = {
		{ "-A INPUT -j LOG", 1 },
		{ "-A INPUT -p tcp -j NFLOG --nflog-group 5", 1 },
		{ "-A INPUT -m comment --comment \"-m limit\" -j LOG", 1 },
		{ "-A INPUT -m limit --limit 5/min -j LOG", 0 },
		{ "-A INPUT -m hashlimit --hashlimit-upto 1/sec -j LOG", 0 },
		{ "-A INPUT -m comment --comment \"see -j LOG\" -j ACCEPT", 0 },
		{ "-A INPUT -m comment --comment \"a \\\" -j LOG \" -j DROP", 0 },
		{ "-A INPUT -j LOGDROP", 0 },
		{ "-A INPUT -m comment --comment \"torn -j LOG", 0 },
		{ "", 0 },
	};
	bool told;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(accused(cases[i].rule, 4100, 30, false, &told), cases[i].findings);
		assert_true(told);
	}
}

static void a_burst_or_an_upper_bound_is_no_evidence(void **state)
{
	bool told;

	(void)state;
	assert_int_equal(accused("-A INPUT -j LOG", 100, 30, false, &told), 0);
	assert_int_equal(accused("-A INPUT -j LOG", 4100, 30, true, &told), 0);
	assert_int_equal(accused("-A INPUT -j LOG", 4100, 9.5, false, &told), 0);
	assert_false(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_host_has_no_findings),
		cmocka_unit_test(a_wrong_clock_is_told),
		cmocka_unit_test(a_full_table_is_trouble),
		cmocka_unit_test(what_is_missing_is_said_with_its_cost),
		cmocka_unit_test(losses_are_summed_and_never_made_exact),
		cmocka_unit_test(only_a_log_rule_without_a_limit_overloads),
		cmocka_unit_test(a_burst_or_an_upper_bound_is_no_evidence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
