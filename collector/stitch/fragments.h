/*
 * Fragments: a host that does not put them together sees each by itself, without what tells packets apart. The number
 * of their packet (IPv4) and its addresses join them to it. IPv6 packets have none
 * before they are cut, and nft's trace shows no extension headers: those fragments stay alone.
 */
#pragma once

#include "collector/stitch/path.h"

bool journey_is_fragment(const struct journey *j);

/*
 * Makes fragments that stand alone hops of the path of the whole packet. Of a host's fragments one stands for all: the one that got
 * least far there. Paths that became hops have none left (hop_count 0). 0 or -errno.
 */
int fragments_join(struct paths *out, int64_t apart, struct arena *arena);
