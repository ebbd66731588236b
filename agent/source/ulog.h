/*
 * What the two sources that read netfilter's log (NFLOG messages) have in common: all of a message but what its prefix means.
 */
#pragma once

#include <linux/netfilter/nfnetlink_log.h>

#include "agent/source/seen.h"
#include "agent/source/source.h"

struct nlattr;

/* The hook of this number in the IP families and in bridges. */
enum hook ulog_hook(uint8_t nf_hook);
/* Copies the prefix, cut at LOG_PREFIX_MAX; its length as it came, a NUL at its end included. */
size_t ulog_prefix(const struct nlattr *a, char prefix[static LOG_PREFIX_MAX + 1]);
/* Fills in devices, mark, sender, packet, and the step's time and TTL. attr: NFULA_MAX + 1 of them. */
void ulog_read(struct trace_event *e, struct source *s, const struct nlattr *const *attr,
	       struct boot_ns now, struct seen *seen);
