/*
 * One call of OpenSSL, so that everybody else sees 32 bytes and no library.
 */
#include "common/content.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/must.h"

struct content_id content_id_of(const char *text, size_t len)
{
	struct content_id id;
	unsigned int n = 0;

	/* It allocates a fixed, small context; there is no other way to fail. */
	must(EVP_Digest(text, len, id.b, &n, EVP_sha256(), NULL) == 1);
	must(n == sizeof(id.b));
	return id;
}

void content_id_print(const struct content_id *id, char text[static CONTENT_TEXT_MAX])
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(id->b); i++) {
		text[2 * i] = hex[id->b[i] >> 4];
		text[2 * i + 1] = hex[id->b[i] & 15];
	}
	text[2 * sizeof(id->b)] = '\0';
}

bool content_id_none(const struct content_id *id)
{
	static const struct content_id none;

	return memcmp(id, &none, sizeof(none)) == 0;
}
