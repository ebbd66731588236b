/*
 * The dump is a chain of requests, each sent when the one before has been answered: links, addresses, then of IPv4 and IPv6
 * routes, rules of policy routing, and settings. Answers bear our port and number; all else on the socket is a
 * notification. A dump that the kernel marks as interrupted is done over.
 */
#include "agent/source/host.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/source/facts_draft.h"
#include "agent/source/netlink.h"

enum stage {
	STAGE_LINK,
	STAGE_ADDR,
	STAGE_ROUTE4,
	STAGE_ROUTE6,
	STAGE_RULE4,
	STAGE_RULE6,
	STAGE_CONF4,
	STAGE_CONF6,
	STAGE_COUNT
};

enum { TRIES = 3 };

struct dump {
	bool active, interrupted;
	int tries;
	enum stage stage;
	uint32_t seq;
	struct facts_draft draft;
};

static void dump_reset(struct dump *d)
{
	draft_clear(&d->draft);
	d->interrupted = false;
}

static int request(const struct source *s, struct dump *d)
{
	uint8_t buf[256] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct fib_rule_hdr *rule;
	struct netconfmsg *conf;
	struct rtmsg *rtm;

	nlh->nlmsg_seq = ++d->seq;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	switch (d->stage) {
	case STAGE_LINK:
		nlh->nlmsg_type = RTM_GETLINK;
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
		/* Statistics and the like would be most of the answer. */
		mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		break;
	case STAGE_ADDR:
		nlh->nlmsg_type = RTM_GETADDR;
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifaddrmsg));
		break;
	case STAGE_ROUTE4:
	case STAGE_ROUTE6:
		nlh->nlmsg_type = RTM_GETROUTE;
		rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
		rtm->rtm_family = d->stage == STAGE_ROUTE4 ? AF_INET : AF_INET6;
		break;
	case STAGE_RULE4:
	case STAGE_RULE6:
		nlh->nlmsg_type = RTM_GETRULE;
		rule = mnl_nlmsg_put_extra_header(nlh, sizeof(*rule));
		rule->family = d->stage == STAGE_RULE4 ? AF_INET : AF_INET6;
		break;
	case STAGE_CONF4:
	case STAGE_CONF6:
		nlh->nlmsg_type = RTM_GETNETCONF;
		conf = mnl_nlmsg_put_extra_header(nlh, sizeof(*conf));
		conf->ncm_family = d->stage == STAGE_CONF4 ? AF_INET : AF_INET6;
		break;
	case STAGE_COUNT:
		return -EINVAL;
	}
	if (s->fd < 0)
		return 0;
	if (sendto(s->fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static void link_told(const struct nlmsghdr *nlh, const struct sink *out)
{
	char name[IFNAME_MAX + 1];
	int32_t ifindex;

	if (out->link && draft_link_name(&ifindex, name, nlh))
		out->link(out->arg, ifindex, nlh->nlmsg_type == RTM_NEWLINK ? name : "");
}

static void notification(const struct nlmsghdr *nlh, const struct sink *out)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_told(nlh, out);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNETCONF:
		break;
	default:
		return;
	}
	if (out->facts_changed)
		out->facts_changed(out->arg);
}

/* The stage has been answered, in whole or (an old kernel without it) not at all. */
static int stage_done(struct source *s, struct dump *d, struct boot_ns now, const struct sink *out)
{
	int r;

	if (d->interrupted && d->tries < TRIES) {
		d->tries++;
		dump_reset(d);
		d->stage = STAGE_LINK;
		return request(s, d);
	}
	d->stage++;
	if (d->stage < STAGE_COUNT) {
		r = request(s, d);
		if (r < 0)
			d->active = false;
		return r;
	}
	d->active = false;
	d->draft.facts.at = now;
	if (out->facts)
		out->facts(out->arg, &d->draft.facts);
	dump_reset(d);
	return 0;
}

static int answer(struct source *s, struct dump *d, const struct nlmsghdr *nlh, struct boot_ns now,
		  const struct sink *out)
{
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		d->interrupted = true;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
		if (d->stage == STAGE_LINK)
			draft_link(&d->draft, nlh);
		return 0;
	case RTM_NEWADDR:
		if (d->stage == STAGE_ADDR)
			draft_addr(&d->draft, nlh);
		return 0;
	case RTM_NEWROUTE:
		if (d->stage == STAGE_ROUTE4 || d->stage == STAGE_ROUTE6)
			draft_route(&d->draft, nlh);
		return 0;
	case RTM_NEWRULE:
		if (d->stage == STAGE_RULE4 || d->stage == STAGE_RULE6)
			draft_rule(&d->draft, nlh);
		return 0;
	case RTM_NEWNETCONF:
		draft_conf(&d->draft, nlh);
		return 0;
	case NLMSG_DONE:
		/* A kernel without policy routing answers with an error: nothing is known of rules then. */
		d->draft.facts.rules4 |= d->stage == STAGE_RULE4;
		d->draft.facts.rules6 |= d->stage == STAGE_RULE6;
		return stage_done(s, d, now, out);
	case NLMSG_ERROR:
		return stage_done(s, d, now, out);
	}
	return 0;
}

static int host_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
		       const struct sink *out)
{
	const struct nlmsghdr *nlh;
	struct dump *d = s->state;
	int r;

	while ((nlh = netlink_next(&p, &len))) {
		if (d && d->active && nlh->nlmsg_pid == s->portid && nlh->nlmsg_seq == d->seq) {
			r = answer(s, d, nlh, now, out);
			if (r < 0)
				return r;
		} else {
			notification(nlh, out);
		}
	}
	return len > 0 ? -EBADMSG : 0;
}

static void host_clear(struct source *s)
{
	if (!s->state)
		return;
	dump_reset(s->state);
	free(s->state);
	s->state = NULL;
}

int host_dump(struct source *s)
{
	struct dump *d = s->state;
	int r;

	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		s->state = d;
	}
	dump_reset(d);
	d->stage = STAGE_LINK;
	d->tries = 0;
	r = request(s, d);
	d->active = r == 0;
	return r;
}

bool host_dumping(const struct source *s)
{
	const struct dump *d = s->state;

	return d && d->active;
}

const struct source_ops source_host = {
	.name = "host",
	.decode = host_decode,
	.clear = host_clear,
};
