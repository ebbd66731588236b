/*
 * What the end of a hop's journey says, and how a fate is put into words. Read by all that decide about fates.
 */
#pragma once

#include "collector/diagnose/fate.h"

/* A sentence in the inquiry's arena. */
const char *inquiry_say(const struct inquiry *q, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The last that a table or a checkpoint told; NULL none. */
const struct step *hop_last_step(const struct hop *h);
const char *hop_host_id(const struct inquiry *q, const struct hop *h);
/* The last hook in which a rule logged the packet; HOOK_NONE: none did. Where it was, not where it ended. */
enum hook hop_logged_hook(const struct hop *h);
/* What the kernel said when it freed the packet there; NULL nothing. */
const struct step *hop_freed_step(const struct hop *h);
struct wall_ns hop_last_at(const struct hop *h);
/* What it will ever tell has been told. */
bool hop_settled(const struct inquiry *q, const struct hop *h);
/* Why legacy tables could not be traced on the hop's host; NULL: they could. */
const char *hop_legacy_trouble(const struct inquiry *q, const struct hop *h);

/* An ICMP error that this very host made about this very packet; NULL none. */
const struct journey *hop_icmp_error(const struct conversation *c, const struct hop *h);
bool says_no_port(const struct journey *e);
bool says_unreachable(const struct journey *e);
bool says_ttl_ended(const struct journey *e);
bool says_too_big(const struct journey *e);

void fate_is_unknown(struct fate *f, const char *reason);
void fate_is_discarded(struct fate *f, const char *reason, const char *cause, bool observed);
/* The table's chain that was entered but not left: what ended the packet stands somewhere in it. */
bool fate_inside_table(const struct fate *f, const struct step *s);
