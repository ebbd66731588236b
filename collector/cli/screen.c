#include "collector/cli/screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "collector/cli/text.h"

enum { LINE_GLYPHS_MAX = 64 << 10, FORMAT_MAX = 4096, CONTINUED_MIN = 20 };

struct glyph {
	uint32_t cp;
	uint8_t style, width;
};

/* Our own signs for terminals that have only ASCII. */
static const struct {
	uint32_t cp;
	const char *ascii;
} signs[] = {
	{ 0x2713, "OK" }, /* check mark */
	{ 0x2717, "X" },  /* ballot x */
	{ 0x21c4, "<>" }, /* arrows both ways: NAT */
	{ 0x2192, "->" }, /* arrow: to */
	{ 0x2190, "<-" }, /* arrow: back */
	{ 0x21b3, ">" },  /* arrow down right: jump */
	{ 0x25cf, "*" },  /* full circle: a host */
	{ 0x25cb, "o" },  /* empty circle: a host that was not seen */
	{ 0x2502, "|" },  /* line down */
	{ 0x00b7, "-" },  /* middle dot */
	{ 0x2013, "-" },  /* dash of a span */
	{ 0x2026, "..." },
};

static const char *const colours[] = {
	[STYLE_BOLD] = "\x1b[1m",
	[STYLE_BAD] = "\x1b[31m",
	[STYLE_CHANGED] = "\x1b[33m",
	[STYLE_GREY] = "\x1b[90m",
};

void screen_init(struct screen *s, unsigned int width, bool utf8, bool colour)
{
	*s = (struct screen){ .width = width, .utf8 = utf8, .colour = colour };
	buf_init(&s->out, SCREEN_MAX);
}

void screen_clear(struct screen *s)
{
	buf_clear(&s->out);
	free(s->line);
	s->line = NULL;
	s->len = s->cap = 0;
	s->column = 0;
}

static void add(struct screen *s, uint32_t cp, enum style style)
{
	int width = cp < 0x80 ? 1 : wcwidth((wchar_t)cp);

	if (s->len == LINE_GLYPHS_MAX)
		return;
	if (s->len == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct glyph *line = realloc(s->line, cap * sizeof(*line));

		if (!line)
			return;
		s->line = line;
		s->cap = cap;
	}
	if (width < 0)
		width = 1;
	s->line[s->len++] =
		(struct glyph){ .cp = cp, .style = (uint8_t)style, .width = (uint8_t)width };
	s->column += (unsigned int)width;
}

static const char *sign_ascii(int32_t cp)
{
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (cp == (int32_t)signs[i].cp)
			return signs[i].ascii;
	return NULL;
}

void screen_put(struct screen *s, enum style style, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	size_t used;

	for (size_t i = 0; i < len; i += used) {
		int32_t cp = text_next(text + i, len - i, &used);
		char escape[TEXT_ESCAPE_MAX];
		const char *p = escape;
		size_t n;

		if (text_is_plain(cp) && (s->utf8 || cp < 0x80)) {
			add(s, (uint32_t)cp, style);
			continue;
		}
		if (!s->utf8 && sign_ascii(cp)) {
			p = sign_ascii(cp);
			n = strlen(p);
		} else {
			n = text_escape(cp, (unsigned char)text[i], escape);
		}
		for (size_t k = 0; k < n; k++)
			add(s, (unsigned char)p[k], style);
	}
}

void screen_putf(struct screen *s, enum style style, const char *fmt, ...)
{
	char text[FORMAT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	screen_put(s, style, text);
}

void screen_column(struct screen *s, unsigned int column)
{
	if (s->column > column)
		column = s->column + 2;
	while (s->column < column && s->len < LINE_GLYPHS_MAX) {
		size_t before = s->len;

		add(s, ' ', STYLE_PLAIN);
		if (s->len == before)
			return; /* no memory: the line stays short */
	}
}

/* How many glyphs of the line from `from` on fit into `room` columns: up to the last space if it must be broken. */
static size_t fitting(const struct screen *s, size_t from, unsigned int room)
{
	unsigned int used = 0;
	size_t space = 0;

	for (size_t i = from; i < s->len; i++) {
		if (s->line[i].cp == ' ' && i > from)
			space = i;
		used += s->line[i].width;
		if (used > room) {
			size_t lead = from;

			while (lead < s->len && s->line[lead].cp == ' ')
				lead++; /* breaking inside the indent gains nothing */
			return space > lead ? space : i > from ? i : from + 1;
		}
	}
	return s->len;
}

static void emit(struct screen *s, size_t from, size_t to)
{
	uint8_t style = STYLE_PLAIN;

	for (size_t i = from; i < to; i++) {
		char utf8[4];

		if (s->colour && s->line[i].style != style && s->line[i].cp != ' ') {
			if (style != STYLE_PLAIN)
				(void)buf_add(&s->out, "\x1b[0m", 4);
			style = s->line[i].style;
			if (style != STYLE_PLAIN)
				(void)buf_add(&s->out, colours[style], strlen(colours[style]));
		}
		(void)buf_add(&s->out, utf8, text_encode(s->line[i].cp, utf8));
	}
	if (style != STYLE_PLAIN)
		(void)buf_add(&s->out, "\x1b[0m", 4);
}

/* The left of a line that continues the one before. */
static void emit_hang(struct screen *s, unsigned int hang)
{
	unsigned int keep = s->keep < s->len && s->keep < hang ? s->keep : 0;

	emit(s, 0, keep);
	for (unsigned int i = keep; i < hang; i++)
		(void)buf_add(&s->out, " ", 1);
}

void screen_end(struct screen *s, unsigned int hang)
{
	size_t from = 0;

	if (s->width && hang + CONTINUED_MIN > s->width)
		hang = s->width - CONTINUED_MIN;
	do {
		size_t to = s->width == 0 ? s->len : fitting(s, from, s->width - (from ? hang : 0)),
		       end = to;

		if (from > 0)
			emit_hang(s, hang);
		while (end > from && s->line[end - 1].cp == ' ')
			end--;
		emit(s, from, end);
		(void)buf_add(&s->out, "\n", 1);
		from = to;
		while (from < s->len && s->line[from].cp == ' ')
			from++;
	} while (from < s->len);
	s->len = 0;
	s->column = 0;
}

unsigned int screen_width_of(const struct screen *s, const char *text)
{
	struct screen probe = { .utf8 = s->utf8 };
	unsigned int width;

	screen_put(&probe, STYLE_PLAIN, text);
	width = probe.column;
	screen_clear(&probe);
	return width;
}
