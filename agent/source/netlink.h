/*
 * Walking through a datagram of netlink messages and reading their attributes, whatever the lengths in it claim.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The message at *p if it is there as a whole; *p and *left then stand behind it. NULL at the end; *left is not 0
 * when what remains is no message.
 */
const struct nlmsghdr *netlink_next(const uint8_t **p, size_t *left);
/* The attribute's payload if it is there with at least len bytes. */
const void *attr_bytes(const struct nlattr *a, size_t len);
/* Big-endian numbers; 0 for what is missing or too short. */
uint32_t attr_be32(const struct nlattr *a);
uint64_t attr_be64(const struct nlattr *a);
