/*
 * Without NET_ADMIN nothing can be watched; without SYS_ADMIN no namespace can be entered. Others cost one source each, which
 * says so.
 */
#include "agent/worker/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

int privilege_check(bool netns, struct why *why)
{
	const struct {
		unsigned int cap;
		const char *name;
		bool needed;
	} caps[] = {
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN", true },
		{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN", netns },
	};

	if (capng_get_caps_process() < 0)
		return why_set(why, -EPERM, "cannot read our capabilities");
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		if (caps[i].needed && !capng_have_capability(CAPNG_EFFECTIVE, caps[i].cap))
			return why_set(why, -EPERM, "%s is missing: start the agent as root",
				       caps[i].name);
	}
	return 0;
}

int privilege_drop(struct why *why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return why_set(why, -errno, "cannot set no_new_privs: %s", strerror(errno));
	capng_clear(CAPNG_SELECT_ALL);
	/* The bounding set can be given up only with SETPCAP; without it, no_new_privs keeps it harmless. */
	if (capng_apply(CAPNG_SELECT_ALL) < 0 && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return why_set(why, -EPERM, "cannot give up our capabilities");
	if (capng_get_caps_process() < 0 ||
	    capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return why_set(why, -EPERM, "our capabilities are still there");
	return 0;
}
