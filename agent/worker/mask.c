#include "agent/worker/mask.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "agent/source/source.h"

#define MASK "***"

static const char breaks[] = { ' ', COMMAND_BREAK, '\0' };

/* Is it in the name; whole: not as part of a longer word? */
static bool named(const char *name, size_t len, const char *word, bool whole)
{
	size_t n = strlen(word);

	for (size_t at = 0; at + n <= len; at++) {
		if (strncasecmp(name + at, word, n) != 0)
			continue;
		if (!whole || ((at == 0 || !isalnum((unsigned char)name[at - 1])) &&
			       (at + n == len || !isalnum((unsigned char)name[at + n]))))
			return true;
	}
	return false;
}

static bool secret_name(const char *name, size_t len)
{
	static const struct {
		const char *word;
		bool whole;
	} words[] = {
		{ "password", false },   { "passwd", false },       { "passphrase", false },
		{ "secret", false },     { "token", false },        { "apikey", false },
		{ "credential", false }, { "authorization", true }, { "auth", true },
		{ "pass", true },        { "pwd", true },           { "pw", true },
		{ "psk", true },         { "cookie", true },        { "signature", true },
		{ "sig", true },         { "community", true },
	};
	size_t dashes = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (named(name, len, words[i].word, words[i].whole))
			return true;
	/* "--private-key", "API_KEY", "--key"; a "key" alone is any. */
	while (dashes < len && name[dashes] == '-')
		dashes++;
	if (dashes == 2 && len == 5)
		return strncasecmp(name + 2, "key", 3) == 0;
	return len - dashes > 4 && !isalnum((unsigned char)name[len - 4]) &&
	       strncasecmp(name + len - 3, "key", 3) == 0;
}

/* "Authorization: Bearer ..." */
static bool is_scheme(const char *word, size_t len)
{
	return (len == 6 && strncasecmp(word, "bearer", len) == 0) ||
	       (len == 5 && strncasecmp(word, "basic", len) == 0);
}

/* Tokens that say what they are. */
static bool is_token(const char *word, size_t len)
{
	static const char *const begins[] = { "ghp_",   "gho_",  "ghs_",  "github_pat_",
					      "glpat-", "xoxb-", "xoxp-", "eyJ" };

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (len >= 16 && strncmp(word, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

static void replace(char *at, size_t len)
{
	size_t n = strlen(MASK) < len ? strlen(MASK) : len;

	memcpy(at, MASK, n);
	memmove(at + n, at + len, strlen(at + len) + 1);
}

/* "user:secret@host", also with a scheme before it. False: it is none. */
static bool mask_user(char *word, size_t len)
{
	char *scheme = memmem(word, len, "://", 3), *from = scheme ? scheme + 3 : word;
	char *host = memrchr(from, '@', len - (size_t)(from - word));
	char *colon = host ? memchr(from, ':', (size_t)(host - from)) : NULL;

	if (!colon || colon == from)
		return false;
	replace(colon + 1, (size_t)(host - colon - 1));
	return true;
}

static bool is_user(const char *word, size_t len)
{
	return (len == 2 && !memcmp(word, "-u", 2)) || (len == 6 && !memcmp(word, "--user", 6));
}

/* The part of a name that stands before `at`: behind what cannot be in one. */
static const char *name_before(const char *word, const char *at)
{
	while (at > word && (isalnum((unsigned char)at[-1]) || strchr("_-.\"'", at[-1])))
		at--;
	return at;
}

/* "--password=x", "TOKEN=x", "secret:x", "?a=1&token=x": from there on nothing is shown. end: of the value. */
static bool mask_field(char *word, size_t len, size_t end)
{
	for (size_t i = 0; i < len; i++) {
		const char *name;

		if ((word[i] != '=' && word[i] != ':') || i + 1 == len)
			continue;
		name = name_before(word, word + i);
		if (is_user(name, (size_t)(word + i - name))) {
			char *colon = memchr(word + i + 1, ':', len - i - 1);

			if (colon)
				replace(colon + 1, len - (size_t)(colon + 1 - word));
			return true;
		}
		if (secret_name(name, (size_t)(word + i - name))) {
			/* A value with blanks goes on to its end, if it is all that the word has. */
			replace(word + i + 1, (name == word ? end : len) - i - 1);
			return true;
		}
	}
	return false;
}

/* A word of a language like wg's, which has no dashes. A chain may be called "auth" or "pass", hardly so. */
static bool is_keyword(const char *word, size_t len)
{
	static const char *const words[] = { "password", "passwd",      "passphrase",
					     "secret",   "private-key", "preshared-key" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (len == strlen(words[i]) && strncasecmp(word, words[i], len) == 0)
			return true;
	return false;
}

/* What the word before says of this one. */
enum before { NOTHING, SECRET, USER };

/* Of the word as it was; what follows it. */
static enum before says(const char *word, size_t len, bool whole)
{
	bool colon = len > 0 && word[len - 1] == ':';

	if (is_user(word, len))
		return USER;
	if (len == 0 || !secret_name(word, len - colon))
		return NOTHING;
	return word[0] == '-' || colon || (whole && is_keyword(word, len)) ? SECRET : NOTHING;
}

void command_mask(char *command)
{
	bool broken = strchr(command, COMMAND_BREAK) != NULL;
	enum before before = NOTHING;

	for (char *p = command; *p;) {
		size_t len = strcspn(p, breaks);
		size_t end = broken ? strcspn(p, breaks + 1) : len; /* of all that was one word */
		bool first = p == command || p[-1] == COMMAND_BREAK;
		enum before next = NOTHING;

		if (is_scheme(p, len) && (before == SECRET || len == 6)) {
			next = SECRET;
		} else if (before == SECRET && len > 0 && p[0] != '-') {
			replace(p, first ? end : len);
		} else if (before == USER && memchr(p, ':', len)) {
			char *colon = memchr(p, ':', len);

			replace(colon + 1, (first ? end : len) - (size_t)(colon + 1 - p));
		} else if (is_token(p, len)) {
			replace(p, len);
		} else if (!mask_user(p, len) && !mask_field(p, len, first ? end : len)) {
			next = says(p, len, first && len == end && broken);
		}
		before = next;
		p += strcspn(p, breaks);
		p += strspn(p, breaks);
	}
	for (char *p = command; *p; p++)
		if (*p == COMMAND_BREAK)
			*p = ' ';
}
