/*
 * Rules are asked for chain by chain: a dump of a whole table begins its walk anew for each piece, which is quadratic.
 */
#include "agent/helper/nftlist.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/helper/nfttalk.h"
#include "common/journey.h"

enum { TRIES = 5, HANDLES_MAX = 32 << 20, CHAINS_MAX = TABLE_CHAINS_MAX };

struct asking {
	struct nfttalk talk;
	struct nftlist *list;
	struct buf chains; /* of struct chain_name */
	struct buf *out;   /* where handles go */
};

struct chain_name {
	uint32_t table; /* index in the list */
	char name[NFT_NAME_MAX];
};

bool nft_present(void)
{
	char line[256];
	FILE *f = fopen("/proc/kallsyms", "re");
	bool found = false;

	/* Built in or loaded: then its symbols are there. */
	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " nft_do_chain") != NULL;
	if (f)
		fclose(f);
	return found;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* As nft's own scanner has it. */
bool nft_readable(const char *name)
{
	size_t len = 0;

	if (!is_letter(name[0]) && name[0] != '_' && name[0] != '.')
		return false;
	for (; name[len]; len++) {
		if (!is_letter(name[len]) && !(name[len] >= '0' && name[len] <= '9') &&
		    !strchr("/-_.\\", name[len]))
			return false;
	}
	return len <= TABLE_NAME_MAX;
}

/* The name under type in a message; NULL: none that we can hold. */
static const char *name_in(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *at;

	mnl_attr_for_each(at, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(at) == type &&
		    mnl_attr_validate(at, MNL_TYPE_NUL_STRING) == 0 &&
		    strlen(mnl_attr_get_str(at)) < NFT_NAME_MAX)
			return mnl_attr_get_str(at);
	}
	return NULL;
}

/* The last handle under type in a message; 0: none. */
static uint64_t handle_in(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *at;
	uint64_t handle = 0;

	mnl_attr_for_each(at, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(at) == type && mnl_attr_validate(at, MNL_TYPE_U64) == 0)
			handle = be64toh(mnl_attr_get_u64(at));
	}
	return handle;
}

static int on_table(const struct nlmsghdr *nlh, void *arg)
{
	struct asking *a = arg;
	struct nftlist *l = a->list;
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const char *name = name_in(nlh, NFTA_TABLE_NAME);
	struct nft_table *t = &l->tables[l->count];

	if (nft_family(nfg->nfgen_family) == FAMILY_NONE ||
	    (name && strcmp(name, PROBE_TABLE) == 0))
		return MNL_CB_OK;
	if (!name || !nft_readable(name) || l->count == NFT_TABLES_MAX) {
		l->left_out++;
		return MNL_CB_OK;
	}
	t->nfproto = nfg->nfgen_family;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->handle = handle_in(nlh, NFTA_TABLE_HANDLE);
	buf_init(&t->handles, HANDLES_MAX);
	l->count++;
	return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct asking *a = arg;
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const char *name = name_in(nlh, NFTA_CHAIN_NAME), *table = name_in(nlh, NFTA_CHAIN_TABLE);
	struct chain_name c = { 0 };

	if (!name || !table)
		return MNL_CB_OK;
	for (c.table = 0; c.table < a->list->count; c.table++) {
		const struct nft_table *t = &a->list->tables[c.table];

		if (t->nfproto == nfg->nfgen_family && strcmp(t->name, table) == 0)
			break;
	}
	if (c.table == a->list->count)
		return MNL_CB_OK;
	snprintf(c.name, sizeof(c.name), "%s", name);
	return buf_add(&a->chains, &c, sizeof(c)) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct asking *a = arg;
	uint64_t handle = handle_in(nlh, NFTA_RULE_HANDLE);

	if (handle && buf_addf(a->out, "%" PRIu64 "\n", handle) < 0)
		return MNL_CB_ERROR;
	return MNL_CB_OK;
}

int nft_generation(uint32_t *out)
{
	struct nfttalk t;
	int r = nfttalk_open(&t);

	*out = 0;
	if (r == 0)
		r = nfttalk_generation(&t, out);
	nfttalk_close(&t);
	return r;
}

static int read_tables(struct asking *a)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));

	a->list->count = a->list->left_out = 0;
	return nfttalk_ask(&a->talk,
			   nfttalk_message(&a->talk, room, NFT_MSG_GETTABLE, NLM_F_DUMP,
					   NFPROTO_UNSPEC),
			   on_table, a);
}

static int chain_handles(struct asking *a, const struct chain_name *c)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));
	struct nft_table *t = &a->list->tables[c->table];
	struct nlmsghdr *nlh =
		nfttalk_message(&a->talk, room, NFT_MSG_GETRULE, NLM_F_DUMP, t->nfproto);
	int r;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, t->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, c->name);
	a->out = &t->handles;
	r = buf_addf(a->out, "chain %s\n", c->name);
	return r < 0 ? r : nfttalk_ask(&a->talk, nlh, on_rule, a);
}

static int read_handles(struct asking *a)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));
	int r = 0;

	a->chains.len = 0;
	for (uint32_t i = 0; i < a->list->count && r >= 0; i++) {
		struct nft_table *t = &a->list->tables[i];

		t->handles.len = 0;
		r = buf_addf(&t->handles, "table %" PRIu64 "\n", t->handle);
	}
	if (r < 0)
		return r;
	r = nfttalk_ask(&a->talk,
			nfttalk_message(&a->talk, room, NFT_MSG_GETCHAIN, NLM_F_DUMP,
					NFPROTO_UNSPEC),
			on_chain, a);
	for (size_t at = 0; r == 0 && at < a->chains.len; at += sizeof(struct chain_name))
		r = chain_handles(a, (const struct chain_name *)(a->chains.p + at));
	return r;
}

/*
 * Tries again when the ruleset changed under a dump (EINTR), or a chain went between the list and its rules (ENOENT): over a new
 * socket, since the rest of the old answer must not be read as the next.
 */
static int steadily(struct nftlist *l, int (*read)(struct asking *a))
{
	struct asking a = { .list = l };
	int r = -EINTR;

	buf_init(&a.chains, (size_t)CHAINS_MAX * sizeof(struct chain_name));
	for (int try = 0; try < TRIES && (r == -EINTR || r == -ENOENT); try++) {
		r = nfttalk_open(&a.talk);
		if (r == 0)
			r = read(&a);
		nfttalk_close(&a.talk);
	}
	buf_clear(&a.chains);
	return r;
}

int nftlist_read(struct nftlist *l)
{
	*l = (struct nftlist){ 0 };
	l->tables = calloc(NFT_TABLES_MAX + 1, sizeof(*l->tables));
	return l->tables ? steadily(l, read_tables) : -ENOMEM;
}

int nftlist_handles(struct nftlist *l)
{
	return steadily(l, read_handles);
}

void nftlist_clear(struct nftlist *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		buf_clear(&l->tables[i].handles);
	free(l->tables);
	*l = (struct nftlist){ 0 };
}
