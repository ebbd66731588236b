/*
 * See fingerprint.h for the fields.
 */
#include "common/fingerprint.h"

#include <string.h>
#include <xxhash.h>

uint64_t fingerprint(const uint8_t fields[static FINGERPRINT_LEN])
{
	uint64_t h = XXH3_64bits_withSeed(fields, FINGERPRINT_LEN, FINGERPRINT_SEED);

	return h ? h : 1;
}

uint64_t fingerprint_long(uint64_t fp, const uint8_t fields[static FINGERPRINT_LONG_LEN])
{
	uint64_t h = XXH3_64bits_withSeed(fields, FINGERPRINT_LONG_LEN, fp);

	return h ? h : 1;
}

int fingerprint_cmp(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return (a > b) - (a < b);
}
