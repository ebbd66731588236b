/*
 * Chain by chain: a dump of a whole table begins its walk anew for each piece, which is quadratic. Of a rule only its first
 * counter is read; a rule that has none does not count. The kernel keeps the order of rules, and iptables-nft-save and nft
 * print them in it, so a number is enough.
 */
#include "agent/helper/nftcounters.h"

#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/helper/ipc.h"
#include "agent/helper/rawcounters.h"
#include "agent/helper/nftlist.h"
#include "agent/helper/nfttalk.h"
#include "common/journey.h"

enum {
	TRIES = 3,
	NAMES_BYTES_MAX = 64 << 20,
	BYTES_MAX = 256 << 20,
};

struct nftchain {
	uint8_t nfproto;
	const char *table, *name; /* in the arena */
	bool base;
	struct counters_value policy;
};

struct nftcounters {
	struct nfttalk talk;
	int out;
	struct arena names;
	struct nftchain *chains; /* owned */
	uint32_t count, cap;
	uint32_t tables;           /* that the chains are of */
	struct counters_part part; /* the table being written */
	struct buf heads, values;
	struct counters_chain head;
	int error;
};

/* What we could not hold is our own error, else it is the kernel's. */
static int ask(struct nftcounters *n, const struct nlmsghdr *nlh, mnl_cb_t cb)
{
	int r = nfttalk_ask(&n->talk, nlh, cb, n);

	return r == -ECANCELED && n->error ? n->error : r;
}

/* "packets" and "bytes" of a nest; false: it has none. */
static bool counter_of(const struct nlattr *nest, struct counters_value *v)
{
	const struct nlattr *a;
	int seen = 0;

	mnl_attr_for_each_nested(a, nest) {
		uint16_t type = mnl_attr_get_type(a);

		if ((type != NFTA_COUNTER_BYTES && type != NFTA_COUNTER_PACKETS) ||
		    mnl_attr_validate(a, MNL_TYPE_U64) < 0)
			continue;
		if (type == NFTA_COUNTER_BYTES)
			v->bytes = be64toh(mnl_attr_get_u64(a));
		else
			v->packets = be64toh(mnl_attr_get_u64(a));
		seen++;
	}
	return seen == 2;
}

static const char *name_of(struct nftcounters *n, const struct nlattr *a)
{
	const char *s = NULL;

	if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
		s = arena_strndup(&n->names, mnl_attr_get_str(a), strlen(mnl_attr_get_str(a)));
	if (!s)
		n->error = -ENOMEM;
	return s;
}

/* Is its table one of which there is a text? The kernel lists table by table, in the same order for both. */
static bool is_told(struct nftcounters *n, const struct nftchain *c)
{
	const struct nftchain *last = n->count ? &n->chains[n->count - 1] : NULL;

	if (strcmp(c->table, PROBE_TABLE) == 0 || !nft_readable(c->table))
		return false;
	if (last && last->nfproto == c->nfproto && strcmp(last->table, c->table) == 0)
		return true;
	return n->tables < NFT_TABLES_MAX && ++n->tables;
}

static int chain_add(struct nftcounters *n, const struct nftchain *c)
{
	if (n->count == TABLE_CHAINS_MAX)
		return -E2BIG;
	if (n->count == n->cap) {
		uint32_t cap = n->cap ? n->cap * 2 : 64;
		struct nftchain *bigger = realloc(n->chains, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		n->chains = bigger;
		n->cap = cap;
	}
	n->chains[n->count++] = *c;
	return 0;
}

static int on_chain(const struct nlmsghdr *nlh, void *arg)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	struct nftcounters *n = arg;
	struct nftchain c = { .policy = { COUNTER_NONE, 0 } };
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nfg))
		return MNL_CB_OK;
	c.nfproto = nfg->nfgen_family;
	mnl_attr_for_each(a, nlh, sizeof(*nfg)) {
		switch (mnl_attr_get_type(a)) {
		case NFTA_CHAIN_TABLE:
			c.table = name_of(n, a);
			break;
		case NFTA_CHAIN_NAME:
			c.name = name_of(n, a);
			break;
		case NFTA_CHAIN_HOOK:
			c.base = true;
			break;
		case NFTA_CHAIN_COUNTERS:
			if (!counter_of(a, &c.policy))
				c.policy = (struct counters_value){ COUNTER_NONE, 0 };
			break;
		}
	}
	if (n->error == 0 && c.table && c.name && c.name[0] && is_told(n, &c))
		n->error = chain_add(n, &c);
	return n->error < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

/* The counter among a rule's expressions. */
static struct counters_value counter_in(const struct nlattr *expressions)
{
	struct counters_value v = { COUNTER_NONE, 0 };
	const struct nlattr *one, *a;

	mnl_attr_for_each_nested(one, expressions) {
		const struct nlattr *data = NULL;
		bool counter = false;

		mnl_attr_for_each_nested(a, one) {
			if (mnl_attr_get_type(a) == NFTA_EXPR_NAME &&
			    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
				counter = strcmp(mnl_attr_get_str(a), "counter") == 0;
			else if (mnl_attr_get_type(a) == NFTA_EXPR_DATA)
				data = a;
		}
		if (counter && data && counter_of(data, &v))
			return v;
	}
	return (struct counters_value){ COUNTER_NONE, 0 };
}

static int on_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct counters_value v = { COUNTER_NONE, 0 };
	struct nftcounters *n = arg;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == NFTA_RULE_EXPRESSIONS)
			v = counter_in(a);
	}
	n->head.rules++;
	n->part.values++;
	n->error = buf_add(&n->values, &v, sizeof(v));
	return n->error < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

/* --- tables -------------------------------------------------------------------------------------------------------- */

/* Names beyond our limit are cut, as in texts. */
static void name_put(char *to, size_t size, const char *name)
{
	memcpy(to, name, strnlen(name, size - 1));
}

static int chain_read(struct nftcounters *n, const struct nftchain *c)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh =
		nfttalk_message(&n->talk, room, NFT_MSG_GETRULE, NLM_F_DUMP, c->nfproto);
	int r;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, c->table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, c->name);
	n->head = (struct counters_chain){ .policy = c->base };
	name_put(n->head.name, sizeof(n->head.name), c->name);
	r = ask(n, nlh, on_rule);
	if (r == 0 && c->base) {
		n->part.values++;
		r = buf_add(&n->values, &c->policy, sizeof(c->policy));
	}
	if (r < 0)
		return r;
	n->part.chains++;
	return buf_add(&n->heads, &n->head, sizeof(n->head));
}

static int by_table(const void *a, const void *b)
{
	const struct nftchain *x = a, *y = b;
	int order = (x->nfproto > y->nfproto) - (x->nfproto < y->nfproto);

	return order ? order : strcmp(x->table, y->table);
}

/* The chains from n->chains[i] on that are of one table. Returns how many, or -errno. */
static int table_read(struct nftcounters *n, uint32_t i)
{
	const struct nftchain *first = &n->chains[i];
	uint32_t k = i;
	int r = 0;

	n->part = (struct counters_part){ .backend = BACKEND_NATIVE,
					  .family = nft_family(first->nfproto) };
	name_put(n->part.table, sizeof(n->part.table), first->table);
	n->heads.len = n->values.len = 0;
	for (; r == 0 && k < n->count && by_table(first, &n->chains[k]) == 0; k++)
		r = chain_read(n, &n->chains[k]);
	if (r == 0 && n->part.family != FAMILY_NONE)
		r = counters_write(n->out, &n->part, &n->heads, &n->values);
	return r < 0 ? r : (int)(k - i);
}

static int read_once(struct nftcounters *n, uint32_t *gen)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));
	uint32_t after = 0;
	int r = nfttalk_generation(&n->talk, gen);

	n->count = n->tables = 0;
	arena_reset(&n->names);
	if (r == 0)
		r = ask(n,
			nfttalk_message(&n->talk, room, NFT_MSG_GETCHAIN, NLM_F_DUMP,
					NFPROTO_UNSPEC),
			on_chain);
	if (r == 0 && n->count)
		qsort(n->chains, n->count, sizeof(*n->chains), by_table);
	for (uint32_t i = 0; r >= 0 && i < n->count; i += (uint32_t)r)
		r = table_read(n, i);
	if (r >= 0)
		r = nfttalk_generation(&n->talk, &after);
	if (r == 0 && after != *gen)
		r = -EINTR;
	return r;
}

int nftcounters_read(int fd, uint32_t *gen, struct why *why)
{
	struct nftcounters n = { .talk.sock = -1, .out = fd };
	off_t start = lseek(fd, 0, SEEK_CUR);
	int r, try = 0;

	arena_init(&n.names, NAMES_BYTES_MAX);
	buf_init(&n.heads, BYTES_MAX);
	buf_init(&n.values, BYTES_MAX);
	r = start < 0 ? -errno : nfttalk_open(&n.talk);
	while (r == 0) {
		r = read_once(&n, gen);
		/* ENOENT: a chain went between the list and its rules. */
		if ((r != -EINTR && r != -ENOENT) || ++try == TRIES)
			break;
		n.error = 0;
		/* What is left of a dump that was given up must not be read as the next. */
		nfttalk_close(&n.talk);
		r = ftruncate(fd, start) < 0 || lseek(fd, start, SEEK_SET) < 0
			    ? -errno
			    : nfttalk_open(&n.talk);
	}
	if (r == -EINTR || r == -ENOENT)
		r = -EAGAIN;
	/* Half of it is worse than nothing. */
	if (r < 0 && start >= 0 && (ftruncate(fd, start) < 0 || lseek(fd, start, SEEK_SET) < 0))
		r = -EIO;
	nfttalk_close(&n.talk);
	free(n.chains);
	arena_free(&n.names);
	buf_clear(&n.heads);
	buf_clear(&n.values);
	return r < 0 ? why_set(why, r, "cannot read the counters of nftables: %s", strerror(-r))
		     : 0;
}
