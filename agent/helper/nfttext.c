/*
 * nft prints a set's flags and timeout before its elements, which come last: "elements = { ... }" up to the line with the set's
 * brace. A text in quotes may hold anything, line breaks included; it has no escapes.
 */
#include "agent/helper/nfttext.h"

#include <string.h>

enum place { OUTSIDE, IN_SET, IN_ELEMENTS };

/* The end of the line that begins at p, its line break included. */
static const char *line_end(const char *p, const char *end)
{
	bool quoted = false;

	for (; p < end && (quoted || *p != '\n'); p++)
		quoted ^= *p == '"';
	return p < end ? p + 1 : end;
}

static bool begins(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && memcmp(line, word, n) == 0;
}

static bool has(const char *line, size_t len, const char *word)
{
	return memmem(line, len, word, strlen(word)) != NULL;
}

/* May the elements of the set that has this line come and go by themselves? */
static bool restless(const char *line, size_t len)
{
	return begins(line, len, "\t\ttimeout ") ||
	       (begins(line, len, "\t\tflags ") &&
		(has(line, len, "dynamic") || has(line, len, "timeout")));
}

int nfttext_settle(struct buf *out, const char *text, size_t len)
{
	const char *end = text + len, *next;
	enum place place = OUTSIDE;
	bool left_out = false;
	int r = 0;

	for (const char *at = text; at < end && r == 0; at = next) {
		size_t n;

		next = line_end(at, end);
		n = (size_t)(next - at);
		if (place == OUTSIDE && (begins(at, n, "\tset ") || begins(at, n, "\tmap ")) &&
		    has(at, n, " {\n")) {
			place = IN_SET;
			left_out = false;
		} else if (place != OUTSIDE && begins(at, n, "\t}")) {
			place = OUTSIDE;
		} else if (place == IN_SET && restless(at, n)) {
			left_out = true;
		} else if (place == IN_SET && begins(at, n, "\t\telements = {")) {
			place = IN_ELEMENTS;
		}
		if (place != IN_ELEMENTS || !left_out)
			r = buf_add(out, at, n);
	}
	return r;
}
