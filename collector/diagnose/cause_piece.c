#include "collector/diagnose/cause_piece.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_t *cause_add(json_t *causes, const char *id, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	json_t *evidence = json_array();
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(causes, json_pack("{s:s,s:s%,s:o,s:n,s:n,s:[],s:b}", "id", id,
						"summary", text, strlen(text), "evidence", evidence,
						"near_miss", "culprit", "fix", "fix_checked", 0));
	return evidence;
}

void cause_evidence(json_t *evidence, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(evidence, json_string_nocheck(text));
}

static json_t *last(json_t *causes)
{
	return json_array_get(causes, json_array_size(causes) - 1);
}

void cause_fix(json_t *causes, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(json_object_get(last(causes), "fix"), json_string_nocheck(text));
	json_object_set_new(last(causes), "fix_checked", json_true());
}

void cause_culprit(json_t *causes, json_t *culprit)
{
	json_object_set_new(last(causes), "culprit", culprit);
}
