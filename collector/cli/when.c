#include "collector/cli/when.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t minute = INT64_C(60) * NS_PER_S, hour = INT64_C(3600) * NS_PER_S,
		     day = INT64_C(86400) * NS_PER_S;

/* The n digits at *p as a number; false when they are not all digits. */
static bool digits(const char **p, int n, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*p)[i]))
			return false;
		*value = *value * 10 + ((*p)[i] - '0');
	}
	*p += n;
	return true;
}

static bool take(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static bool parse_date(const char **p, struct tm *tm)
{
	int y, m, d;

	if (!digits(p, 4, &y) || !take(p, '-') || !digits(p, 2, &m) || !take(p, '-') ||
	    !digits(p, 2, &d))
		return false;
	if (y < 1970 || y > 2200 || m < 1 || m > 12 || d < 1 || d > 31)
		return false;
	tm->tm_year = y - 1900;
	tm->tm_mon = m - 1;
	tm->tm_mday = d;
	return true;
}

/* HH:MM[:SS[.fraction]] */
static bool parse_clock(const char **p, struct tm *tm, int64_t *fraction)
{
	int64_t unit = NS_PER_S / 10;

	*fraction = 0;
	tm->tm_sec = 0;
	if (!digits(p, 2, &tm->tm_hour) || !take(p, ':') || !digits(p, 2, &tm->tm_min))
		return false;
	if (take(p, ':')) {
		if (!digits(p, 2, &tm->tm_sec))
			return false;
		if (take(p, '.')) {
			if (!isdigit((unsigned char)**p))
				return false;
			for (; isdigit((unsigned char)**p); (*p)++, unit /= 10)
				*fraction += (**p - '0') * unit;
		}
	}
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

/* Z or +HH:MM at the end; local when there is none. */
static bool parse_zone(const char **p, bool *local, int64_t *offset)
{
	int h, m, sign = **p == '-' ? -1 : 1;

	*local = **p == '\0';
	*offset = 0;
	if (*local)
		return true;
	if (take(p, 'Z') || take(p, 'z'))
		return **p == '\0';
	if (!take(p, '+') && !take(p, '-'))
		return false;
	if (!digits(p, 2, &h) || !take(p, ':') || !digits(p, 2, &m) || h > 23 || m > 59)
		return false;
	*offset = sign * (h * hour + m * minute);
	return **p == '\0';
}

static bool parse_dated(struct wall_ns *t, const char *text, bool *local)
{
	struct tm tm = { .tm_isdst = -1 };
	int64_t fraction = 0, offset = 0;
	const char *p = text;
	time_t s;

	*local = true;
	if (!parse_date(&p, &tm))
		return false;
	if (*p) {
		if (!take(&p, 'T') && !take(&p, 't') && !take(&p, ' '))
			return false;
		if (!parse_clock(&p, &tm, &fraction) || !parse_zone(&p, local, &offset))
			return false;
	}
	s = *local ? mktime(&tm) : timegm(&tm);
	t->v = s * (int64_t)NS_PER_S + fraction - offset;
	return true;
}

bool when_parse_rfc3339(struct wall_ns *t, const char *text)
{
	bool local;

	return text && parse_dated(t, text, &local) && !local;
}

static bool parse_clock_only(struct wall_ns *t, const char *text, struct wall_ns now)
{
	time_t now_s = (time_t)(now.v / NS_PER_S);
	const char *p = text;
	int64_t fraction;
	struct tm tm;

	localtime_r(&now_s, &tm);
	tm.tm_isdst = -1;
	if (!parse_clock(&p, &tm, &fraction) || *p)
		return false;
	t->v = mktime(&tm) * (int64_t)NS_PER_S + fraction;
	if (t->v > now.v) {
		tm.tm_mday--; /* mktime() has normalised it; it does so again */
		tm.tm_isdst = -1;
		t->v = mktime(&tm) * (int64_t)NS_PER_S + fraction;
	}
	return true;
}

int when_parse_span(int64_t *ns, const char *text)
{
	static const struct {
		const char *unit;
		int64_t ns;
	} units[] = {
		{ "ms", NS_PER_MS },
		{ "s", NS_PER_S },
		{ "m", INT64_C(60) * NS_PER_S },
		{ "min", INT64_C(60) * NS_PER_S },
		{ "h", INT64_C(3600) * NS_PER_S },
		{ "d", INT64_C(86400) * NS_PER_S },
	};
	char *end;
	long n;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || n > 1000000)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) == 0) {
			*ns = n * units[i].ns;
			return *ns > INT64_C(36500) * day ? -EINVAL : 0;
		}
	}
	return -EINVAL;
}

int when_parse(struct wall_ns *t, const char *text, struct wall_ns now, struct why *why)
{
	bool local;
	int64_t ns;

	if (strcmp(text, "now") == 0) {
		*t = now;
		return 0;
	}
	if (strcmp(text, "yesterday") == 0) {
		time_t s = (time_t)(now.v / NS_PER_S);
		struct tm tm;

		localtime_r(&s, &tm);
		tm.tm_mday--;
		tm.tm_isdst = -1;
		t->v = mktime(&tm) * (int64_t)NS_PER_S + now.v % NS_PER_S;
		return 0;
	}
	if (when_parse_span(&ns, text) == 0) {
		t->v = now.v - ns;
		return 0;
	}
	if (parse_clock_only(t, text, now) || parse_dated(t, text, &local))
		return 0;
	return why_set(why, -EINVAL,
		       "'%s' is no time: 15m, 2h or 3d ago, HH:MM[:SS], YYYY-MM-DD [HH:MM[:SS]], "
		       "RFC 3339, now, yesterday",
		       text);
}

void when_print(struct wall_ns t, struct wall_ns now, bool ms, char text[static WHEN_TEXT_MAX])
{
	time_t s = (time_t)(t.v / NS_PER_S), now_s = (time_t)(now.v / NS_PER_S);
	struct tm tm, today;
	size_t n;

	localtime_r(&s, &tm);
	localtime_r(&now_s, &today);
	if (tm.tm_year != today.tm_year)
		n = strftime(text, WHEN_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
	else if (tm.tm_yday != today.tm_yday)
		n = strftime(text, WHEN_TEXT_MAX, "%b %e %H:%M:%S", &tm);
	else
		n = strftime(text, WHEN_TEXT_MAX, "%H:%M:%S", &tm);
	if (ms)
		snprintf(text + n, WHEN_TEXT_MAX - n, ".%03d", (int)(t.v % NS_PER_S / NS_PER_MS));
}

void when_zone(struct wall_ns t, char text[static WHEN_TEXT_MAX])
{
	time_t s = (time_t)(t.v / NS_PER_S);
	struct tm tm;

	localtime_r(&s, &tm);
	snprintf(text, WHEN_TEXT_MAX, "%s", tm.tm_zone ? tm.tm_zone : "UTC");
}

void when_print_span(int64_t ns, char text[static WHEN_TEXT_MAX])
{
	if (ns < 0)
		ns = 0;
	if (ns < NS_PER_S)
		snprintf(text, WHEN_TEXT_MAX, "%.1f s", (double)ns / NS_PER_S);
	else if (ns < 2 * minute)
		snprintf(text, WHEN_TEXT_MAX, "%" PRId64 " s", ns / NS_PER_S);
	else if (ns < 2 * hour)
		snprintf(text, WHEN_TEXT_MAX, "%" PRId64 " min", ns / minute);
	else if (ns < 2 * day)
		snprintf(text, WHEN_TEXT_MAX, "%" PRId64 " h", ns / hour);
	else
		snprintf(text, WHEN_TEXT_MAX, "%" PRId64 " d", ns / day);
}
