/*
 * What `nft list table` printed, without what changes by itself: packets and the clock add and take elements of sets, and neither
 * nftables' generation nor a notice tells of it.
 */
#pragma once

#include "common/buf.h"

/*
 * Appends text[0..len) without the elements of sets and maps that say "flags dynamic" or have a timeout. 0, or -errno from the
 * buffer.
 */
int nfttext_settle(struct buf *out, const char *text, size_t len);
