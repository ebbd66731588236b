#include "collector/api/exchange.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *exchange_query(const struct exchange *x, const char *name)
{
	size_t len = strlen(name);
	const char *p;

	for (p = x->query; *p; p += strlen(p) + 1)
		if (!strncmp(p, name, len) && p[len] == '=')
			return p + len + 1;
	return NULL;
}

int exchange_number(const struct exchange *x, const char *name, int64_t *out)
{
	const char *text = exchange_query(x, name);
	char *end;
	long long n;

	if (!text)
		return -ENOENT;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno)
		return -EINVAL;
	*out = n;
	return 0;
}

struct exchange *exchange_ref(struct exchange *x)
{
	x->refs++;
	return x;
}

void exchange_unref(struct exchange *x)
{
	if (--x->refs > 0)
		return;
	buf_clear(&x->body);
	buf_clear(&x->answer);
	free(x);
}

static int add_text(const char *text, size_t len, void *arg)
{
	return buf_add(arg, text, len) < 0 ? -1 : 0;
}

void exchange_answer(struct exchange *x, unsigned int status, json_t *value)
{
	if (x->answered || !x->wsi) {
		json_decref(value);
		return;
	}
	x->answered = true;
	x->status = status;
	buf_clear(&x->answer);
	buf_init(&x->answer, LWS_PRE + ANSWER_MAX);
	if (!value || !buf_extend(&x->answer, LWS_PRE) ||
	    json_dump_callback(value, add_text, &x->answer, JSON_COMPACT) < 0 ||
	    buf_add(&x->answer, "\n", 1) < 0) {
		static const char text[] =
			"{\"error\":\"the answer is too big\",\"hint\":\"ask for less\"}\n";

		x->answer.len = 0;
		x->status = 503;
		if (buf_extend(&x->answer, LWS_PRE))
			(void)buf_add(&x->answer, text, sizeof(text) - 1);
	}
	json_decref(value);
	if (x->answer.len < LWS_PRE) /* no memory at all */
		lws_set_timeout(x->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
	else
		lws_callback_on_writable(x->wsi);
}

void exchange_error(struct exchange *x, unsigned int status, const char *hint, const char *fmt, ...)
{
	char text[HINT_MAX];
	va_list ap;
	json_t *e;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e = json_string(text); /* NULL when a client's bytes are no UTF-8 */
	if (!e)
		e = json_string("the request is not UTF-8");
	exchange_answer(x, status, json_pack("{s:o, s:s}", "error", e, "hint", hint));
}
