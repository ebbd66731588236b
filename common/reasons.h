/*
 * Why the kernel freed a packet: its reasons by name (enum skb_drop_reason, include/net/dropreason-core.h), of kernels 5.17 to
 * 6.18. Their numbers differ between kernels, their names do not.
 */
#pragma once

#include <stddef.h>

/*
 * DROPPED, DISCARDED and REFUSED are deaths with that verdict. CONSEQUENCE: something else decided before, or it concerns a
 * copy. NOISE: not about a packet that anybody misses. UNTOLD: the kernel says that it does not say.
 */
#define REASON_CLASSES(X)                                                                          \
	X(DROPPED, "dropped")                                                                      \
	X(DISCARDED, "discarded")                                                                  \
	X(REFUSED, "refused")                                                                      \
	X(CONSEQUENCE, "consequence")                                                              \
	X(NOISE, "noise")                                                                          \
	X(UNTOLD, "untold")
enum reason_class {
#define X(id, text) REASON_##id,
	REASON_CLASSES(X)
#undef X
};

struct reason {
	const char *name; /* as the kernel has it, without SKB_DROP_REASON_ */
	enum reason_class class;
	const char *cause; /* a cause's id, as in answers; NULL: none fits */
	const char *text;  /* what it means, for people */
};

/* NULL for a name that no kernel had when this was written: evidence, never a verdict. */
const struct reason *reason_find(const char *name);
const char *reason_class_name(enum reason_class c);
