#include "agent/helper/place.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void place_init(struct place *p)
{
	*p = (struct place){ .held.pidfd = -1,
			     .ns.fd = -1,
			     .leases.logger.families = { { .fd = -1 }, { .fd = -1 } },
			     .quit = -1 };
	probe_init(&p->leases.probe);
	dumper_init(&p->dumper, &p->ns, -1, -1, &p->leases.probe.commits);
}

int place_begin(struct place *p, const struct netns *ns, const struct lease_config *config,
		uint32_t index, struct guard *guard, int done, struct why *why)
{
	int r = 0;

	p->ns = *ns;
	p->quit = eventfd(0, EFD_CLOEXEC);
	if (p->quit < 0)
		r = why_set(why, -errno, "cannot make an eventfd: %s", strerror(errno));
	if (r == 0)
		r = leases_init(&p->leases, &p->ns, config, guard, index, why);
	if (r < 0) {
		if (p->quit >= 0)
			close(p->quit);
		p->quit = -1;
		netns_clear(&p->ns);
		return r;
	}
	leases_sweep(&p->leases);
	dumper_init(&p->dumper, &p->ns, done, p->quit, &p->leases.probe.commits);
	return 0;
}

uint32_t place_end(struct place *p, uint32_t tags[static DUMPS_WAITING_MAX + 1])
{
	uint32_t n;

	leases_clear(&p->leases);
	if (p->quit >= 0)
		eventfd_write(p->quit, 1);
	n = dumper_abandon(&p->dumper, tags);
	dumper_clear(&p->dumper);
	if (p->quit >= 0)
		close(p->quit);
	p->quit = -1;
	netns_clear(&p->ns);
	return n;
}
