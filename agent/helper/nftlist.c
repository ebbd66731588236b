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
#include <sys/socket.h>
#include <unistd.h>

#include "agent/helper/sockets.h"
#include "common/journey.h"

enum {
	ASK_MAX = 1 << 10,
	ANSWER_MAX = 64 << 10,
	HANDLES_MAX = 32 << 20,
	CHAINS_MAX = TABLE_CHAINS_MAX
};

struct asking {
	int sock;
	uint32_t seq, generation;
	char answer[ANSWER_MAX];
	struct nftlist *list;
	struct buf chains; /* of struct chain_name */
	struct buf *out;   /* where handles go */
	int error;
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

uint32_t nft_family(uint8_t nfproto)
{
	static const uint8_t families[] = {
		[NFPROTO_INET] = FAMILY_INET,     [NFPROTO_IPV4] = FAMILY_IPV4,
		[NFPROTO_ARP] = FAMILY_ARP,       [NFPROTO_NETDEV] = FAMILY_NETDEV,
		[NFPROTO_BRIDGE] = FAMILY_BRIDGE, [NFPROTO_IPV6] = FAMILY_IPV6,
	};

	return nfproto < sizeof(families) ? families[nfproto] : FAMILY_NONE;
}

static struct nlmsghdr *message(struct asking *a, char *room, uint16_t type, uint16_t flags,
				uint8_t nfproto)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(room);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++a->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = nfproto;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

static int talk(struct asking *a, const struct nlmsghdr *nlh, mnl_cb_t cb)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	bool dump = nlh->nlmsg_flags & NLM_F_DUMP;
	ssize_t len;
	int r;

	if (sendto(a->sock, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	do {
		len = recv(a->sock, a->answer, sizeof(a->answer), 0);
		if (len < 0)
			return -errno;
		r = mnl_cb_run(a->answer, (size_t)len, nlh->nlmsg_seq, 0, cb, a);
		if (r < 0)
			return a->error ? a->error : -errno;
	} while (dump && r > MNL_CB_STOP);
	return 0;
}

static int on_generation(const struct nlmsghdr *nlh, void *arg)
{
	struct asking *a = arg;
	const struct nlattr *at;

	mnl_attr_for_each(at, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(at) == NFTA_GEN_ID &&
		    mnl_attr_validate(at, MNL_TYPE_U32) == 0)
			a->generation = be32toh(mnl_attr_get_u32(at));
	}
	return MNL_CB_OK;
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

static int on_table(const struct nlmsghdr *nlh, void *arg)
{
	struct asking *a = arg;
	struct nftlist *l = a->list;
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const char *name = name_in(nlh, NFTA_TABLE_NAME);
	struct nft_table *t = &l->tables[l->count];

	if (!name || nft_family(nfg->nfgen_family) == FAMILY_NONE ||
	    strcmp(name, PROBE_TABLE) == 0 || l->count == NFT_TABLES_MAX)
		return MNL_CB_OK;
	t->nfproto = nfg->nfgen_family;
	snprintf(t->name, sizeof(t->name), "%s", name);
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
	a->error = buf_add(&a->chains, &c, sizeof(c));
	return a->error < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct asking *a = arg;
	const struct nlattr *at;

	mnl_attr_for_each(at, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(at) == NFTA_RULE_HANDLE &&
		    mnl_attr_validate(at, MNL_TYPE_U64) == 0)
			a->error = buf_addf(a->out, "%" PRIu64 "\n", be64toh(mnl_attr_get_u64(at)));
	}
	return a->error < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int asking_open(struct asking **out)
{
	struct asking *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->sock = netlink_open(NETLINK_NETFILTER);
	if (a->sock < 0) {
		int r = a->sock;

		free(a);
		return r;
	}
	buf_init(&a->chains, (size_t)CHAINS_MAX * sizeof(struct chain_name));
	*out = a;
	return 0;
}

static void asking_free(struct asking *a)
{
	buf_clear(&a->chains);
	close(a->sock);
	free(a);
}

int nft_generation(uint32_t *out)
{
	char room[ASK_MAX] __attribute__((aligned(8)));
	struct asking *a;
	int r = asking_open(&a);

	*out = 0;
	if (r < 0)
		return r;
	r = talk(a, message(a, room, NFT_MSG_GETGEN, 0, NFPROTO_UNSPEC), on_generation);
	*out = a->generation;
	asking_free(a);
	return r;
}

int nftlist_read(struct nftlist *l)
{
	char room[ASK_MAX] __attribute__((aligned(8)));
	struct asking *a;
	int r;

	*l = (struct nftlist){ 0 };
	l->tables = calloc(NFT_TABLES_MAX + 1, sizeof(*l->tables));
	if (!l->tables)
		return -ENOMEM;
	r = asking_open(&a);
	if (r < 0)
		return r;
	a->list = l;
	r = talk(a, message(a, room, NFT_MSG_GETTABLE, NLM_F_DUMP, NFPROTO_UNSPEC), on_table);
	asking_free(a);
	return r;
}

static int chain_handles(struct asking *a, const struct chain_name *c)
{
	char room[ASK_MAX] __attribute__((aligned(8)));
	struct nft_table *t = &a->list->tables[c->table];
	struct nlmsghdr *nlh = message(a, room, NFT_MSG_GETRULE, NLM_F_DUMP, t->nfproto);
	int r;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, t->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, c->name);
	a->out = &t->handles;
	r = buf_addf(a->out, "chain %s\n", c->name);
	return r < 0 ? r : talk(a, nlh, on_rule);
}

int nftlist_handles(struct nftlist *l)
{
	char room[ASK_MAX] __attribute__((aligned(8)));
	struct asking *a;
	int r = asking_open(&a);

	if (r < 0)
		return r;
	a->list = l;
	r = talk(a, message(a, room, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC), on_chain);
	for (size_t at = 0; r == 0 && at < a->chains.len; at += sizeof(struct chain_name))
		r = chain_handles(a, (const struct chain_name *)(a->chains.p + at));
	asking_free(a);
	return r;
}

void nftlist_clear(struct nftlist *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		buf_clear(&l->tables[i].handles);
	free(l->tables);
	*l = (struct nftlist){ 0 };
}
