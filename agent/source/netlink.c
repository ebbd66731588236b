/*
 * libmnl's own walk takes lengths as int and goes wrong beyond 2^31.
 */
#include "agent/source/netlink.h"

const struct nlmsghdr *netlink_next(const uint8_t **p, size_t *left)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)*p;
	size_t len;

	if (*left < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > *left)
		return NULL;
	/* libmnl looks for attributes up to the padded end. */
	len = MNL_ALIGN((size_t)nlh->nlmsg_len);
	if (len > *left)
		return NULL;
	*p += len;
	*left -= len;
	return nlh;
}

static void take(const struct nlattr **at, uint16_t max, const uint8_t *p, size_t len)
{
	while (len >= sizeof(struct nlattr)) {
		const struct nlattr *a = (const void *)p;
		uint16_t type = a->nla_type & NLA_TYPE_MASK;
		size_t size = NLA_ALIGN((size_t)a->nla_len);

		if (a->nla_len < sizeof(*a) || a->nla_len > len)
			return;
		if (type <= max)
			at[type] = a;
		if (size >= len)
			return;
		p += size;
		len -= size;
	}
}

bool attrs_take(const struct nlattr **at, uint16_t max, const struct nlmsghdr *nlh, size_t head)
{
	const size_t before = NLMSG_HDRLEN + NLMSG_ALIGN(head);

	if (nlh->nlmsg_len < NLMSG_HDRLEN + head)
		return false;
	if (nlh->nlmsg_len > before)
		take(at, max, (const uint8_t *)nlh + before, nlh->nlmsg_len - before);
	return true;
}

void attrs_take_nested(const struct nlattr **at, uint16_t max, const struct nlattr *nest)
{
	if (nest && nest->nla_len >= sizeof(*nest))
		take(at, max, (const uint8_t *)(nest + 1), nest->nla_len - sizeof(*nest));
}
