#include "collector/diagnose/cause_piece.h"

#include <stdarg.h>
#include <stdio.h>

#include "collector/diagnose/value.h"

/* It may quote a rule, whose comments and names may be of any bytes. */
static __attribute__((format(printf, 1, 0))) json_t *sentence(const char *fmt, va_list ap)
{
	char text[SENTENCE_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	return json_text(text);
}

json_t *cause_add(json_t *causes, const char *id, const char *fmt, ...)
{
	json_t *evidence = json_array();
	va_list ap;

	va_start(ap, fmt);
	json_array_append_new(causes, json_pack("{s:s,s:o,s:o,s:n,s:n,s:[],s:b}", "id", id,
						"summary", sentence(fmt, ap), "evidence", evidence,
						"near_miss", "culprit", "fix", "fix_checked", 0));
	va_end(ap);
	return evidence;
}

void cause_evidence(json_t *evidence, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	json_array_append_new(evidence, sentence(fmt, ap));
	va_end(ap);
}

static json_t *last(json_t *causes)
{
	return json_array_get(causes, json_array_size(causes) - 1);
}

void cause_fix(json_t *causes, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	json_array_append_new(json_object_get(last(causes), "fix"), sentence(fmt, ap));
	va_end(ap);
	json_object_set_new(last(causes), "fix_checked", json_true());
}

void cause_culprit(json_t *causes, json_t *culprit)
{
	json_object_set_new(last(causes), "culprit", culprit);
}
