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

int hosts_check(const char *agent, const struct msg_host *list, uint32_t count, struct why *why)
{
	uint32_t i, k;

	if (count < 1 || count > HOSTS_PER_AGENT)
		return why_set(why, -EINVAL, "an agent has 1 to %d hosts", HOSTS_PER_AGENT);
	for (i = 0; i < count; i++) {
		if (!list[i].id || !host_is_of(list[i].id, agent))
			return why_set(why, -EINVAL, "its hosts are called %s or %s/NETNS", agent,
				       agent);
		for (k = 0; k < i; k++)
			if (!strcmp(list[i].id, list[k].id))
				return why_set(why, -EINVAL, "host %s is named twice", list[i].id);
	}
	return 0;
}

int hello_check(const struct msg_hello *h, struct why *why)
{
	if (!h->id || !id_ok(h->id))
		return why_set(why, -EINVAL, "an id is 1 to %d of the letters A-Z a-z 0-9 . _ -",
			       ID_MAX);
	if (h->epoch == 0)
		return why_set(why, -EINVAL, "an epoch is at least 1");
	return hosts_check(h->id, h->hosts, h->host_count, why);
}
