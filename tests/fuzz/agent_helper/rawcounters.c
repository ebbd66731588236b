/* Whatever the kernel calls a table: it is walked, or refused, and its digest is made or refused. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/helper/rawcounters.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* One byte of family, 5 times 2 offsets, then the entries. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint32_t offsets[10];
	struct rawentries e = {
		.name = "filter", .hooks = 0x1f, .starts = offsets, .policies = offsets + 5
	};
	struct rawcounters c;
	uint64_t digest = 0;
	void *copy;
	int fd;

	if (len < 1 + sizeof(offsets))
		return 0;
	e.family = p[0] & 1 ? FAMILY_IPV4 : FAMILY_IPV6;
	memcpy(offsets, p + 1, sizeof(offsets));
	p += 1 + sizeof(offsets);
	len -= 1 + sizeof(offsets);
	copy = malloc(len ? len : 1);
	must(copy);
	memcpy(copy, p, len);
	e.entries = copy;
	e.size = (uint32_t)len;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(fd >= 0);
	rawcounters_init(&c, fd);
	(void)rawcounters_take(&c, &e);
	rawcounters_clear(&c);
	(void)rawtable_digest(&digest, e.family, copy, e.size);
	close(fd);
	free(copy);
	return 0;
}
