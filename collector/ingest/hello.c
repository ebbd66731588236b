#include "collector/ingest/hello.h"

#include <errno.h>
#include <string.h>

#define ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static bool id_ok(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= ID_MAX && strspn(id, ID_CHARS) == len;
}

/* ID, or ID/NETNS: no agent can speak for another one's host. */
static bool host_is_of(const char *host, const char *agent)
{
	size_t len = strlen(agent);

	if (strncmp(host, agent, len) != 0)
		return false;
	return !host[len] || (host[len] == '/' && id_ok(host + len + 1));
}

int hello_check(const struct msg_hello *h, struct why *why)
{
	uint32_t i, k;

	if (!h->id || !id_ok(h->id))
		return why_set(why, -EINVAL, "an id is 1 to %d of the letters A-Z a-z 0-9 . _ -",
			       ID_MAX);
	if (h->epoch == 0)
		return why_set(why, -EINVAL, "an epoch is at least 1");
	if (h->host_count < 1 || h->host_count > HOSTS_PER_AGENT)
		return why_set(why, -EINVAL, "an agent has 1 to %d hosts", HOSTS_PER_AGENT);
	for (i = 0; i < h->host_count; i++) {
		if (!h->hosts[i].id || !host_is_of(h->hosts[i].id, h->id))
			return why_set(why, -EINVAL, "its hosts are called %s or %s/NETNS", h->id,
				       h->id);
		for (k = 0; k < i; k++)
			if (!strcmp(h->hosts[i].id, h->hosts[k].id))
				return why_set(why, -EINVAL, "host %s is named twice",
					       h->hosts[i].id);
	}
	return 0;
}
