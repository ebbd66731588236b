#include "agent/helper/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/helper/sockets.h"

/* The kernel's PROC_PID_INIT_INO: only there is process 2 the kernel's first thread, which never leaves the initial namespaces. */
#define PID_INIT_INODE 0xEFFFFFFCu
#define PID_NAMESPACE "/proc/self/ns/pid"
#define INITIAL_NETWORK "/proc/2/ns/net"

enum { ASK_MS = 200 };

/* Asks without wanting anything changed; the answer is the kernel's own. */
static enum helper_auditing ask(void)
{
	const struct timeval patience = { .tv_usec = ASK_MS * 1000 };
	const struct nlmsghdr q = { .nlmsg_len = sizeof(q),
				    .nlmsg_type = AUDIT_GET,
				    .nlmsg_flags = NLM_F_REQUEST };
	struct {
		struct nlmsghdr head;
		struct audit_status status;
	} a = { 0 };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	enum helper_auditing found = AUDITING_UNKNOWN;
	int fd = netlink_open(NETLINK_AUDIT);
	ssize_t n;

	if (fd < 0)
		return found;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (sendto(fd, &q, sizeof(q), 0, (struct sockaddr *)&kernel, sizeof(kernel)) > 0) {
		n = recv(fd, &a, sizeof(a), 0);
		if (n >= (ssize_t)(sizeof(a.head) + offsetof(struct audit_status, failure)) &&
		    a.head.nlmsg_type == AUDIT_GET)
			found = a.status.enabled ? AUDITING_ON : AUDITING_OFF;
	}
	close(fd);
	return found;
}

void audit_look(struct audit_place *a)
{
	struct stat st;

	*a = (struct audit_place){ .initial.fd = -1 };
	if (stat(PID_NAMESPACE, &st) == 0 && st.st_ino == PID_INIT_INODE)
		netns_take(&a->initial, "", open(INITIAL_NETWORK, O_RDONLY | O_CLOEXEC));
	a->auditing = ask();
}

static int open_here(void *arg)
{
	const int group = AUDIT_NLGRP_READLOG;
	struct why *why = arg;
	int fd = netlink_open(NETLINK_AUDIT), r;

	if (fd == -EPROTONOSUPPORT)
		return why_set(why, fd, "this kernel has no auditing, or was started with audit=0");
	if (fd < 0)
		return why_set(why, fd, "cannot open an audit socket: %s", strerror(-fd));
	r = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0
		    ? -errno
		    : netlink_buffers(fd, RCVBUF_SOURCE, 0);
	if (r == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	if (r == -EPERM)
		return why_set(why, r, "CAP_AUDIT_READ in the initial user namespace is missing");
	return why_set(why, r, "cannot read the audit log: %s", strerror(-r));
}

int audit_open(const struct audit_place *a, struct why *why)
{
	return netns_run(&a->initial, open_here, why, why);
}

void audit_clear(struct audit_place *a)
{
	netns_clear(&a->initial);
}
