/*
 * One ipset as the kernel keeps it: a digest of what does not change by itself, and its text. Listing changes nothing; whoever
 * asks makes sure that ip_set is loaded, since asking would load it.
 */
#pragma once

#include "agent/helper/nfttalk.h"
#include "agent/helper/setnames.h"
#include "common/buf.h"
#include "common/journey.h"

struct setread {
	struct nfttalk talk;
	struct buf lines; /* of the set being read */
	uint32_t *starts; /* owned: where each begins */
};

/* What a set is, beside its text. */
struct setinfo {
	enum family family;
	uint64_t digest; /* of the header and the entries in whatever order; never 0 */
	bool timeouts, is_list;
};

/* 0 or -errno. */
int setread_open(struct setread *r);
void setread_close(struct setread *r);
/*
 * Reads a set; the members of a list are added to names. text, unless NULL, gets `create` and the sorted `add` lines, or why
 * there are none; note, unless NULL, a line between them. 0; -ENOENT: there is no such set; -errno.
 */
int setread_take(struct setread *r, const struct setname *name, struct setinfo *out,
		 struct setnames *names, const char *note, struct buf *text);
/* The same of messages that the kernel gave: for tests. */
int setread_parse(struct setread *r, const struct setname *name, const void *messages, size_t len,
		  struct setinfo *out, struct setnames *names, struct buf *text);
