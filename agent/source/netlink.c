/*
 * libmnl's own walk takes lengths as int and goes wrong beyond 2^31.
 */
#include "agent/source/netlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

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

const void *attr_bytes(const struct nlattr *a, size_t len)
{
	return a && mnl_attr_get_payload_len(a) >= len ? mnl_attr_get_payload(a) : NULL;
}

uint32_t attr_be32(const struct nlattr *a)
{
	const void *p = attr_bytes(a, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

uint64_t attr_be64(const struct nlattr *a)
{
	const void *p = attr_bytes(a, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return be64toh(v);
}
