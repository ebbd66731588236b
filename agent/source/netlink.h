/*
 * Walking through a datagram of netlink messages and reading their attributes, whatever the lengths in it claim.
 */
#pragma once

#include <endian.h>
#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The message at *p if it is there as a whole; *p and *left then stand behind it. NULL at the end; *left is not 0
 * when what remains is no message.
 */
const struct nlmsghdr *netlink_next(const uint8_t **p, size_t *left);
/*
 * Puts each attribute of a message, behind head bytes of its payload, at its type's place in at[0..max]; of several of one
 * type the last. What is behind an attribute that is not whole is not looked at. False: the head is not there.
 */
bool attrs_take(const struct nlattr **at, uint16_t max, const struct nlmsghdr *nlh, size_t head);
/* The same for those nested in one. */
void attrs_take_nested(const struct nlattr **at, uint16_t max, const struct nlattr *nest);

/* The attribute's payload if it is there with at least len bytes. */
static inline const void *attr_bytes(const struct nlattr *a, size_t len)
{
	return a && a->nla_len >= sizeof(*a) + len ? a + 1 : NULL;
}

/* Big-endian numbers; 0 for what is missing or too short. */
static inline uint32_t attr_be32(const struct nlattr *a)
{
	const void *p = attr_bytes(a, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t attr_be64(const struct nlattr *a)
{
	const void *p = attr_bytes(a, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return be64toh(v);
}
