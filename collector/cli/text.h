/*
 * Text that came from hosts, made harmless for a terminal. Comments, prefixes, chain and interface names
 * are whatever somebody gave the kernel: escape sequences, newlines, marks that turn the reading direction
 * round, bytes that are no UTF-8. All of that is shown, as visible escapes, and never obeyed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* The next character of s[0..len): its code point, or -1 for a byte that is no UTF-8. *used bytes were taken. */
int32_t text_next(const char *s, size_t len, size_t *used);
/* May this code point reach a terminal as it is? */
bool text_is_plain(int32_t cp);
/* Writes a code point as UTF-8 and returns its length. */
size_t text_encode(uint32_t cp, char out[static 4]);

enum { TEXT_ESCAPE_MAX = 16 };
/* "\n", "\x1b", "\u202e"; for a broken byte its value ("\xff"). Returns the length. */
size_t text_escape(int32_t cp, unsigned char byte, char out[static TEXT_ESCAPE_MAX]);

/* Appends s to out, escaped where needed; line feeds stay if keep_lines; beyond ASCII everything if !utf8. 0 or -errno. */
int text_safe(struct buf *out, const char *s, size_t len, bool utf8, bool keep_lines);
