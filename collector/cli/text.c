#include "collector/cli/text.h"

#include <stdio.h>

#include "common/buf.h"

int32_t text_next(const char *s, size_t len, size_t *used)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;
	uint32_t cp;

	*used = 1;
	if (n == 0 || n > len)
		return -1;
	cp = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return -1;
	*used = n;
	return (int32_t)cp;
}

bool text_is_plain(int32_t cp)
{
	/* Characters that format, hide or reorder what stands around them, and what no font has. */
	static const struct {
		int32_t from, to;
	} strange[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },        { 0xad, 0xad },     { 0x61c, 0x61c },
		{ 0x180e, 0x180e }, { 0x200b, 0x200f },    { 0x2028, 0x202e }, { 0x2060, 0x206f },
		{ 0xe000, 0xf8ff }, { 0xfe00, 0xfe0f },    { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb },
		{ 0xfffe, 0xffff }, { 0xe0000, 0x10ffff },
	};

	if (cp < 0)
		return false;
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		if (cp >= strange[i].from && cp <= strange[i].to)
			return false;
	return true;
}

size_t text_encode(uint32_t cp, char out[static 4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

size_t text_escape(int32_t cp, unsigned char byte, char out[static TEXT_ESCAPE_MAX])
{
	int n;

	if (cp == '\n')
		n = snprintf(out, TEXT_ESCAPE_MAX, "\\n");
	else if (cp == '\t')
		n = snprintf(out, TEXT_ESCAPE_MAX, "\\t");
	else if (cp < 0)
		n = snprintf(out, TEXT_ESCAPE_MAX, "\\x%02x", (unsigned int)byte);
	else if (cp < 0x80)
		n = snprintf(out, TEXT_ESCAPE_MAX, "\\x%02x", (unsigned int)cp);
	else if (cp < 0x10000)
		n = snprintf(out, TEXT_ESCAPE_MAX, "\\u%04x", (unsigned int)cp);
	else
		n = snprintf(out, TEXT_ESCAPE_MAX, "\\U%08x", (unsigned int)cp);
	return (size_t)n;
}

int text_safe(struct buf *out, const char *s, size_t len, bool utf8, bool keep_lines)
{
	char escape[TEXT_ESCAPE_MAX];
	size_t used;

	for (size_t i = 0; i < len; i += used) {
		int32_t cp = text_next(s + i, len - i, &used);
		bool plain =
			(text_is_plain(cp) && (utf8 || cp < 0x80)) || (keep_lines && cp == '\n');
		size_t n = plain ? used : text_escape(cp, (unsigned char)s[i], escape);
		int r = buf_add(out, plain ? s + i : escape, n);

		if (r < 0)
			return r;
	}
	return 0;
}
