/*
 * A screen: lines of at most so many columns, with columns, wrapping and a few colours, gathered in memory.
 * Every piece of text passes through here, ours and the hosts' alike, so nothing that a host sent can reach the
 * terminal unescaped. Without UTF-8 our own signs become words of ASCII (OK X <> ->).
 */
#pragma once

#include "common/buf.h"

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_BAD, STYLE_CHANGED, STYLE_GREY };

enum { SCREEN_COLUMNS = 80, SCREEN_MAX = 64 << 20 };

struct screen {
	struct buf out;     /* finished lines, ready to be written */
	struct glyph *line; /* owned: the line that is being made */
	size_t len, cap;
	unsigned int column; /* where the next character goes */
	unsigned int width;  /* columns there are; 0: lines are never wrapped */
	unsigned int keep;   /* so many columns at the left are repeated where a line continues */
	bool utf8, colour;
};

void screen_init(struct screen *s, unsigned int width, bool utf8, bool colour);
void screen_clear(struct screen *s);
/* Adds text at the end of the line. NULL adds nothing. */
void screen_put(struct screen *s, enum style style, const char *text);
void screen_putf(struct screen *s, enum style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Fills with spaces up to this column; two spaces where the line is already longer. */
void screen_column(struct screen *s, unsigned int column);
/* Ends the line. What does not fit continues below, indented by so many columns. */
void screen_end(struct screen *s, unsigned int hang);
/* The columns that text would take. */
unsigned int screen_width_of(const struct screen *s, const char *text);
