/*
 * A table is one row of entries: the built-in chains, each ending with its policy at a known place, then the users', each
 * behind an ERROR target that bears its name and ending with a RETURN that nobody wrote, then one more ERROR.
 */
#include "agent/helper/rawcounters.h"

#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/helper/ipc.h"

enum { BYTES_MAX = 256 << 20, ALIGN = _Alignof(struct xt_counters) };

struct entry {
	uint32_t next; /* offset of the one after it */
	struct counters_value value;
	const char *error; /* the name that an ERROR target bears; NULL: another target */
};

struct walk {
	struct rawcounters *out;
	struct counters_part part;
	struct counters_chain chain; /* the one being read */
	enum { NOWHERE, BUILTIN, USER } in;
	uint32_t policy;  /* BUILTIN: where it is */
	uint32_t started; /* hooks whose chain has been met */
};

void rawcounters_init(struct rawcounters *c, int fd)
{
	c->fd = fd;
	buf_init(&c->chains, BYTES_MAX);
	buf_init(&c->values, BYTES_MAX);
}

void rawcounters_clear(struct rawcounters *c)
{
	buf_clear(&c->chains);
	buf_clear(&c->values);
}

static const char *error_name(const char *target, size_t len)
{
	const struct xt_error_target *t = (const void *)target;

	if (len < sizeof(*t) ||
	    strncmp(t->target.u.user.name, XT_ERROR_TARGET, sizeof(t->target.u.user.name)) != 0)
		return NULL;
	return strnlen(t->errorname, sizeof(t->errorname)) < sizeof(t->errorname) ? t->errorname
										  : NULL;
}

static int entry_read(struct entry *out, const struct rawentries *e, uint32_t at)
{
	const char *p = (const char *)e->entries + at;
	uint32_t left = e->size - at, head, target, next;

	if (e->family == FAMILY_IPV4) {
		const struct ipt_entry *entry = (const void *)p;

		head = sizeof(*entry);
		if (left < head)
			return -EBADMSG;
		target = entry->target_offset;
		next = entry->next_offset;
		out->value = (struct counters_value){ entry->counters.pcnt, entry->counters.bcnt };
	} else {
		const struct ip6t_entry *entry = (const void *)p;

		head = sizeof(*entry);
		if (left < head)
			return -EBADMSG;
		target = entry->target_offset;
		next = entry->next_offset;
		out->value = (struct counters_value){ entry->counters.pcnt, entry->counters.bcnt };
	}
	if (next < head || next > left || target < head || target > next || next % ALIGN ||
	    target % ALIGN)
		return -EBADMSG;
	out->next = at + next;
	out->error = error_name(p + target, next - target);
	return 0;
}

static int chain_end(struct walk *w)
{
	if (w->in == NOWHERE)
		return 0;
	if (w->in == USER && w->chain.rules > 0) { /* the end that nobody wrote */
		w->chain.rules--;
		w->part.values--;
		w->out->values.len -= sizeof(struct counters_value);
	}
	w->in = NOWHERE;
	w->part.chains++;
	return buf_add(&w->out->chains, &w->chain, sizeof(w->chain));
}

static int chain_begin(struct walk *w, const char *name, int in)
{
	int r = chain_end(w);

	w->chain = (struct counters_chain){ .rules = 0 };
	memcpy(w->chain.name, name, strlen(name)); /* of the kernel: at most 29 */
	w->in = in;
	return r;
}

/* Does the chain of a hook begin at this entry? */
static int builtin_begin(struct walk *w, const struct rawentries *e, uint32_t at)
{
	static const char *const names[NF_INET_NUMHOOKS] = { "PREROUTING", "INPUT", "FORWARD",
							     "OUTPUT", "POSTROUTING" };

	for (uint32_t h = 0; h < NF_INET_NUMHOOKS; h++) {
		if (!(e->hooks & 1u << h) || e->starts[h] != at || w->started & 1u << h)
			continue;
		w->started |= 1u << h;
		w->policy = e->policies[h];
		return chain_begin(w, names[h], BUILTIN);
	}
	return 0;
}

static int value_add(struct walk *w, const struct counters_value *v, bool policy)
{
	if (policy)
		w->chain.policy = 1;
	else
		w->chain.rules++;
	w->part.values++;
	return buf_add(&w->out->values, v, sizeof(*v));
}

static int walk_entry(struct walk *w, const struct rawentries *e, uint32_t at,
		      const struct entry *entry)
{
	int r;

	if (entry->error) /* the last one begins no chain */
		return entry->next == e->size ? chain_end(w) : chain_begin(w, entry->error, USER);
	r = builtin_begin(w, e, at);
	if (r < 0 || w->in == NOWHERE)
		return r;
	if (w->in == BUILTIN && w->chain.policy) /* nothing of ours follows a policy */
		return -EBADMSG;
	return value_add(w, &entry->value, w->in == BUILTIN && at == w->policy);
}

int counters_write(int fd, const struct counters_part *part, const struct buf *chains,
		   const struct buf *values)
{
	struct iovec v[] = {
		{ (void *)part, sizeof(*part) },
		{ chains->p, chains->len },
		{ values->p, values->len },
	};
	ssize_t want = 0, n;

	for (int i = 0; i < 3; i++)
		want += (ssize_t)v[i].iov_len;
	n = writev(fd, v, 3);
	return n < 0 ? -errno : n == want ? 0 : -EIO;
}

int rawcounters_take(void *rawcounters, const struct rawentries *e)
{
	struct walk w = { .out = rawcounters,
			  .part = { .backend = BACKEND_LEGACY, .family = e->family } };
	struct entry entry = { 0 };
	uint32_t at = 0;
	int r = 0;

	_Static_assert(sizeof(struct counters_part) % 8 == 0 &&
			       sizeof(struct counters_chain) % 8 == 0,
		       "the worker reads it in place");
	w.out->chains.len = w.out->values.len = 0;
	memcpy(w.part.table, e->name, strnlen(e->name, sizeof(w.part.table) - 1));
	while (r == 0 && at < e->size) {
		r = entry_read(&entry, e, at);
		if (r == 0)
			r = walk_entry(&w, e, at, &entry);
		at = entry.next;
	}
	if (r == 0)
		r = chain_end(&w);
	return r < 0 ? r : counters_write(w.out->fd, &w.part, &w.out->chains, &w.out->values);
}
