/*
 * One getsockopt() returns a whole table with its counters, which change all the time: they are
 * blanked before hashing, as are the fields in which the kernel keeps notes of its own.
 */
#include "agent/helper/rawtable.h"

#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/helper/ours.h"

enum { READ_TRIES = 20, TABLE_BYTES_MAX = 512 << 20 };

/* Both families have the same layout but for the entries; the option numbers are the same, too. */
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "one getinfo for both");
_Static_assert(offsetof(struct ipt_get_entries, entrytable) ==
		       offsetof(struct ip6t_get_entries, entrytable),
	       "one get_entries for both");
_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES,
	       "one set of options for both");

static const char *names_file(enum family family)
{
	return family == FAMILY_IPV4 ? "/proc/thread-self/net/ip_tables_names"
				     : "/proc/thread-self/net/ip6_tables_names";
}

static int level(enum family family)
{
	return family == FAMILY_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;
}

static int socket_of(struct rawsockets *s, enum family family)
{
	int *fd = family == FAMILY_IPV4 ? &s->v4 : &s->v6;

	if (*fd < 0) {
		*fd = socket(family == FAMILY_IPV4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
			     IPPROTO_RAW);
		if (*fd < 0)
			return -errno;
	}
	return *fd;
}

void rawsockets_clear(struct rawsockets *s)
{
	if (s->v4 >= 0)
		close(s->v4);
	if (s->v6 >= 0)
		close(s->v6);
	*s = (struct rawsockets){ -1, -1 };
}

static int list_family(struct rawtables *t, enum family family)
{
	FILE *f = fopen(names_file(family), "re");
	char line[RAWTABLE_NAME + 2];
	int r = 0;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && fgets(line, sizeof(line), f)) {
		struct rawtable *table = &t->list[t->count];
		size_t len = strcspn(line, "\n");

		line[len] = '\0';
		if (len == 0 || len >= RAWTABLE_NAME) {
			r = -EBADMSG;
		} else if (t->count == RAWTABLES_MAX) {
			r = -E2BIG;
		} else {
			*table = (struct rawtable){ .family = family };
			memcpy(table->name, line, len + 1);
			t->count++;
		}
	}
	fclose(f);
	return r;
}

static int entry_blank4(void *entries, uint32_t at, uint32_t size, uint32_t *next)
{
	struct ipt_entry *e = (void *)((char *)entries + at);

	if (size - at < sizeof(*e) || e->next_offset < sizeof(*e) || e->next_offset > size - at ||
	    e->next_offset % _Alignof(struct xt_counters))
		return -EBADMSG;
	memset(&e->counters, 0, sizeof(e->counters));
	e->comefrom = 0;
	e->nfcache = 0;
	*next = at + e->next_offset;
	return 0;
}

static int entry_blank6(void *entries, uint32_t at, uint32_t size, uint32_t *next)
{
	struct ip6t_entry *e = (void *)((char *)entries + at);

	if (size - at < sizeof(*e) || e->next_offset < sizeof(*e) || e->next_offset > size - at ||
	    e->next_offset % _Alignof(struct xt_counters))
		return -EBADMSG;
	memset(&e->counters, 0, sizeof(e->counters));
	e->comefrom = 0;
	e->nfcache = 0;
	*next = at + e->next_offset;
	return 0;
}

int rawtable_digest(uint64_t *digest, enum family family, void *entries, uint32_t size)
{
	uint32_t at = 0;
	int r;

	while (at < size) {
		r = family == FAMILY_IPV4 ? entry_blank4(entries, at, size, &at)
					  : entry_blank6(entries, at, size, &at);
		if (r < 0)
			return r;
	}
	*digest = XXH3_64bits_withSeed(entries, size, *digest);
	return 0;
}

static int read_once(struct rawtable *t, int fd, rawtable_take *take, void *arg)
{
	struct ipt_getinfo info = { 0 };
	struct ipt_get_entries *entries;
	socklen_t len = sizeof(info);
	int r;

	memcpy(info.name, t->name, sizeof(info.name));
	if (getsockopt(fd, level(t->family), IPT_SO_GET_INFO, &info, &len) < 0)
		return -errno;
	if (info.size > TABLE_BYTES_MAX)
		return -E2BIG;

	len = (socklen_t)(sizeof(*entries) + info.size);
	entries = calloc(1, len); /* the kernel writes names only up to their final zero */
	if (!entries)
		return -ENOMEM;
	memcpy(entries->name, t->name, sizeof(entries->name));
	entries->size = info.size;
	if (getsockopt(fd, level(t->family), IPT_SO_GET_ENTRIES, entries, &len) < 0) {
		r = -errno;
		goto out;
	}
	/* Our own rules are nobody's change, and nobody counts them. */
	r = ours_strip(t->family, entries->entrytable, &info.size, info.hook_entry, info.underflow,
		       info.valid_hooks);
	if (r < 0)
		goto out;
	if (take) {
		r = take(arg, &(struct rawentries){ .family = t->family,
						    .name = t->name,
						    .hooks = info.valid_hooks,
						    .starts = info.hook_entry,
						    .policies = info.underflow,
						    .entries = entries->entrytable,
						    .size = info.size });
		if (r < 0)
			goto out;
	}
	t->digest = XXH3_64bits_withSeed(t->name, sizeof(t->name), t->family);
	t->digest = XXH3_64bits_withSeed(info.hook_entry, sizeof(info.hook_entry), t->digest);
	t->digest = XXH3_64bits_withSeed(info.underflow, sizeof(info.underflow), t->digest);
	r = rawtable_digest(&t->digest, t->family, entries->entrytable, info.size);
out:
	free(entries);
	return r;
}

/* The order in which packets meet them; what is none of these comes after. */
static int place(const char *table)
{
	static const char *const order[] = { "raw", "mangle", "nat", "filter", "security" };
	int i, count = (int)(sizeof(order) / sizeof(order[0]));

	for (i = 0; i < count; i++)
		if (strcmp(order[i], table) == 0)
			break;
	return i;
}

static int by_place(const void *a, const void *b)
{
	const struct rawtable *x = a, *y = b;

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return place(x->name) != place(y->name) ? place(x->name) - place(y->name)
						: strcmp(x->name, y->name);
}

int rawtables_list(struct rawtables *t, struct why *why)
{
	int r;

	memset(t, 0, sizeof(*t));
	r = list_family(t, FAMILY_IPV4);
	if (r == 0)
		r = list_family(t, FAMILY_IPV6);
	if (r < 0)
		return why_set(why, r, "cannot read which legacy tables exist: %s", strerror(-r));
	qsort(t->list, t->count, sizeof(t->list[0]), by_place);
	return 0;
}

void rawtables_sum(struct rawtables *t)
{
	uint32_t i;

	t->digest = 0;
	for (i = 0; i < t->count; i++)
		t->digest = XXH3_64bits_withSeed(&t->list[i].digest, sizeof(t->list[i].digest),
						 t->digest);
	if (t->digest == 0)
		t->digest = 1;
}

/* EAGAIN: the table was replaced between both questions. */
static int read_table(struct rawtable *table, int fd, rawtable_take *take, void *arg)
{
	int r = -EAGAIN, tries;

	for (tries = 0; r == -EAGAIN && tries < READ_TRIES; tries++)
		r = read_once(table, fd, take, arg);
	return r;
}

int rawtables_read(struct rawtables *t, struct rawsockets *s, enum family only, rawtable_take *take,
		   void *arg, struct why *why)
{
	uint32_t i, count = 0;
	int fd, r;

	r = rawtables_list(t, why);
	if (r < 0)
		return r;
	for (i = 0; i < t->count; i++) {
		struct rawtable *table = &t->list[count];

		if (only != FAMILY_NONE && t->list[i].family != only)
			continue;
		*table = t->list[i];
		count++;
		fd = socket_of(s, table->family);
		if (fd < 0)
			return why_set(why, fd,
				       fd == -EPERM ? "CAP_NET_RAW is missing, without which "
						      "tables of iptables-legacy cannot be read"
						    : "cannot open a raw socket: %s",
				       strerror(-fd));
		r = read_table(table, fd, take, arg);
		if (r < 0)
			return why_set(why, r, "cannot read table %s: %s", table->name,
				       strerror(-r));
	}
	t->count = count;
	rawtables_sum(t);
	return 0;
}
