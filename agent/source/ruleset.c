/*
 * The memfd is the helper's work, but its texts are the administrator's: every length is checked against the file
 * that is really there.
 */
#include "agent/source/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/helper/ipc.h"
#include "common/journey.h"

/* Matches and targets that exist only with connection tracking. */
static const char *const conntrack_words[] = {
	"-m conntrack ",
	"-m state ",
	"-m connmark ",
	"-m connlimit ",
	"-m connbytes ",
	"-m connlabel ",
	"-m helper ",
	"-j CT ",
	"-j CONNMARK ",
	"-j CONNSECMARK ",
	"-j DNAT ",
	"-j SNAT ",
	"-j MASQUERADE",
	"-j REDIRECT",
	"-j NETMAP ",
	"-j SYNPROXY ",
	/* nft */
	"ct state ",
	"ct status ",
	"ct direction ",
	"ct original ",
	"ct mark ",
	"ct count ",
	"type nat hook ",
	"notrack",
};

int ruleset_open(struct ruleset *r, int fd)
{
	struct ruleset_part part;
	struct ruleset_table *t;
	struct stat st;
	size_t at = 0;

	*r = (struct ruleset){ .fd = fd };
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		goto bad;
	r->size = (size_t)st.st_size;
	while (at < r->size) {
		if (r->size - at < sizeof(part) || r->count == RULESET_TABLES_MAX)
			goto bad;
		if (pread(fd, &part, sizeof(part), (off_t)at) != sizeof(part))
			goto bad;
		at += sizeof(part);
		if (part.len > CONTENT_MAX || part.len > r->size - at)
			goto bad;
		if (part.backend >= BACKEND_COUNT || part.family >= FAMILY_COUNT ||
		    strnlen(part.table, sizeof(part.table)) == sizeof(part.table) ||
		    part.table[0] == '\0' || part.kind > RULESET_HANDLES ||
		    (part.kind == RULESET_HANDLES && r->count == 0))
			goto bad;
		t = &r->tables[r->count++];
		t->backend = (uint8_t)part.backend;
		t->family = (uint8_t)part.family;
		t->handles = part.kind == RULESET_HANDLES;
		t->torn = part.torn != 0;
		memcpy(t->name, part.table, sizeof(t->name));
		t->offset = at;
		t->len = part.len;
		at += part.len;
	}
	return 0;
bad:
	ruleset_clear(r);
	return -EBADMSG;
}

const char *ruleset_map(const struct ruleset *r)
{
	void *p;

	if (r->fd < 0 || r->size == 0)
		return NULL;
	p = mmap(NULL, r->size, PROT_READ, MAP_SHARED, r->fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

void ruleset_unmap(const struct ruleset *r, const char *text)
{
	if (text)
		munmap((void *)(uintptr_t)text, r->size);
}

bool text_uses_conntrack(const char *text, size_t len)
{
	for (size_t i = 0; i < sizeof(conntrack_words) / sizeof(conntrack_words[0]); i++) {
		if (memmem(text, len, conntrack_words[i], strlen(conntrack_words[i])))
			return true;
	}
	return false;
}

void ruleset_clear(struct ruleset *r)
{
	if (r->fd >= 0)
		close(r->fd);
	*r = (struct ruleset){ .fd = -1 };
}
