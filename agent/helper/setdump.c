/*
 * A read of a set costs the kernel a walk over it, and its text many times that: only those that changed are read once more for
 * their text, the others are copied from the last memfd.
 */
#include "agent/helper/setdump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/ipset.h"

enum {
	RESTLESS_S = 60,      /* between two reads of a set whose members change by themselves */
	CROWD = 10,           /* versions of a set in ... */
	CROWD_S = 60,         /* ... that time are all that is told */
	BYTES_A_SECOND = 8192 /* of text of one set, on average */
};

static const char timeouts[] = IPSET_RESTLESS "its entries have timeouts";
static const char fed[] = IPSET_RESTLESS "rules add to it or remove from it";
static const char hasty[] = IPSET_NOT_CAPTURED "it changes too often";

int setdump_name(struct setdump **d, const struct setnames *names)
{
	if (!*d && names->count == 0)
		return 0;
	if (!*d) {
		*d = calloc(1, sizeof(**d));
		if (!*d)
			return -ENOMEM;
		(*d)->last = -1;
	}
	(*d)->names = *names;
	return 0;
}

void setdump_free(struct setdump *d)
{
	if (d && d->last >= 0)
		close(d->last);
	free(d);
}

static struct setstate *find(struct setdump *d, const char *name)
{
	for (uint32_t i = 0; i < d->count; i++)
		if (strcmp(d->list[i].name.name, name) == 0)
			return &d->list[i];
	return NULL;
}

/* What the worker is told by. A set that is withheld looks the same however it changes. */
static uint64_t shown(const struct setstate *s)
{
	return XXH3_64bits_withSeed(s->name.name, strlen(s->name.name),
				    (s->withheld ? 1 : s->digest) ^ (uint64_t)s->name.fed << 1);
}

static uint64_t sum(const struct setstate *list, uint32_t count, bool more)
{
	uint64_t digest = more;

	for (uint32_t i = 0; i < count; i++)
		digest += list[i].digest ? shown(&list[i]) : 0;
	return digest | UINT64_C(1) << 63;
}

static const char *note_of(const struct setstate *s, bool has_timeouts)
{
	return s->name.fed ? fed : has_timeouts ? timeouts : NULL;
}

/* How it stands, compared with last time. 0; -errno. */
static int look(struct setdump *d, struct setread *r, struct setnames *names, uint32_t i,
		struct setstate *now, int64_t at)
{
	const struct setstate *was = find(d, names->list[i].name);
	struct setinfo info;
	int ret;

	*now = was ? *was : (struct setstate){ .crowd_at = at };
	now->name = names->list[i];
	now->name.is_list = was && was->name.is_list;
	/* Members of lists are found by reading the lists, so these are always read. */
	if (was && was->restless && was->name.fed == now->name.fed && was->digest &&
	    at - was->read_at < (int64_t)RESTLESS_S * NS_PER_S && !was->name.is_list)
		return 0;
	ret = setread_take(r, &now->name, &info, names, NULL, NULL);
	if (ret == -ENOENT) {
		now->digest = 0;
		return 0;
	}
	if (ret < 0)
		return ret;
	now->read_at = at;
	now->name.is_list = info.is_list;
	now->family = info.family;
	now->restless = now->name.fed || info.timeouts;
	if (!was || !was->digest || info.digest != was->digest)
		now->withheld = was && was->digest && at < now->hold;
	else if (was->withheld)
		now->withheld = at < now->hold;
	now->digest = info.digest;
	return 0;
}

/* It is told anew: when it may be the next time. */
static void count_version(struct setstate *s, int64_t at, off_t len)
{
	if (at - s->crowd_at > (int64_t)CROWD_S * NS_PER_S) {
		s->crowd_at = at;
		s->crowd = 0;
	}
	s->hold = at + (int64_t)len * NS_PER_S / BYTES_A_SECOND;
	if (++s->crowd >= CROWD && s->hold < at + (int64_t)CROWD_S * NS_PER_S)
		s->hold = at + (int64_t)CROWD_S * NS_PER_S;
}

static int copy_part(const struct setdump *d, const struct setstate *was, int fd)
{
	off_t from = was->at, until = was->at + was->len;

	while (from < until) {
		ssize_t n = sendfile(fd, d->last, &from, (size_t)(until - from));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

static int put(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The text of one that changed. *left: bytes that the host may still have. */
static int put_text(struct setread *r, struct setnames *names, struct setstate *s, int fd,
		    size_t *left, struct buf *text)
{
	struct ruleset_part part = { .backend = BACKEND_IPSET };
	struct setinfo info = { .timeouts = s->restless };
	int ret;

	text->len = 0;
	if (!s->withheld) {
		ret = setread_take(r, &s->name, &info, names, note_of(s, s->restless), text);
		if (ret < 0)
			return ret;
		s->digest = info.digest;
		s->family = info.family;
	}
	if (s->withheld || text->len > *left) {
		text->len = 0;
		ret = buf_addf(text, "create %s -\n%s\n", s->name.name,
			       s->withheld ? hasty
					   : IPSET_NOT_CAPTURED
				       "the host's sets are larger than 16 MiB together");
		if (ret < 0)
			return ret;
	}
	*left -= text->len < *left ? text->len : *left;
	part.family = s->family;
	part.torn = s->restless;
	part.len = (uint32_t)text->len;
	part.digest = s->digest;
	snprintf(part.table, sizeof(part.table), "%s", s->name.name);
	s->len = (off_t)(sizeof(part) + text->len);
	ret = put(fd, &part, sizeof(part));
	return ret < 0 ? ret : put(fd, text->p, text->len);
}

/* Writes the parts of all sets that are there; the digests become those of their texts. */
static int write_all(struct setdump *d, struct setread *r, struct setnames *names,
		     struct setstate *now, int fd, int64_t at)
{
	size_t left = IPSETS_BYTES_MAX;
	struct buf text;
	int ret = 0;

	buf_init(&text, IPSETS_BYTES_MAX + 4096);
	for (uint32_t i = 0; ret == 0 && i < names->count; i++) {
		const struct setstate *was = find(d, now[i].name.name);
		off_t start = lseek(fd, 0, SEEK_CUR);

		if (!now[i].digest) {
			now[i].len = 0;
			continue;
		}
		if (was && was->len && shown(was) == shown(&now[i])) {
			ret = copy_part(d, was, fd);
			left -= (size_t)was->len < left ? (size_t)was->len : left;
		} else {
			ret = put_text(r, names, &now[i], fd, &left, &text);
			if (ret == -ENOENT) { /* it went in between */
				now[i].digest = 0;
				now[i].len = 0;
				ret = 0;
				continue;
			}
			count_version(&now[i], at, now[i].len);
		}
		now[i].at = start;
	}
	buf_clear(&text);
	return ret;
}

static int seal(int fd)
{
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return 0;
}

static int take(struct setdump *d, struct setread *r, struct setnames *names, struct setstate *now,
		uint64_t known, uint64_t *digest, int *fd, int64_t *cpu_ns)
{
	int64_t at = boot_now().v, cpu = thread_cpu_ns();
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < names->count; i++) /* which may grow */
		ret = look(d, r, names, i, &now[i], at);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < names->count;
	     i++) { /* a list that came late may feed its members */
		now[i].name.fed = names->list[i].fed;
		now[i].restless |= now[i].name.fed;
	}
	*digest = sum(now, names->count, names->more);
	*cpu_ns = thread_cpu_ns() - cpu;
	if (*digest != known) {
		*fd = memfd_create("ipsets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (*fd < 0)
			return -errno;
		ret = write_all(d, r, names, now, *fd, at);
		*digest = sum(now, names->count, names->more);
		if (ret == 0)
			ret = seal(*fd);
		if (ret < 0) {
			close(*fd);
			*fd = -1;
			return ret;
		}
		if (d->last >= 0)
			close(d->last);
		d->last = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
	}
	memcpy(d->list, now, names->count * sizeof(*now));
	d->count = d->last >= 0 ? names->count : 0;
	return 0;
}

int setdump_take(struct setdump *d, uint64_t known, uint64_t *digest, int *fd, int64_t *cpu_ns,
		 struct why *why)
{
	struct setnames *names = malloc(sizeof(*names));
	struct setstate *now = calloc(IPSETS_MAX, sizeof(*now));
	struct setread r = { .talk.sock = -1 };
	int ret = names && now ? 0 : -ENOMEM;

	*fd = -1;
	if (ret == 0) {
		*names = d->names;
		/* Where no rule names one, ip_set may not be loaded. */
		if (names->count > 0)
			ret = setread_open(&r);
	}
	if (ret == 0)
		ret = take(d, &r, names, now, known, digest, fd, cpu_ns);
	if (ret == 0 && names->more)
		why_set(why, 0, "rules name more than %d ipsets: the others are not captured",
			IPSETS_MAX);
	setread_close(&r);
	free(names);
	free(now);
	return ret < 0 ? why_set(why, ret, "cannot read the ipsets: %s", strerror(-ret)) : 0;
}
