/*
 * What all sources share: reading a netlink socket until it is empty, and turning what the kernel could not
 * deliver into losses. Decoding is each source's own.
 */
#include "agent/source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM_MAX = 64 << 10 }; /* the kernel's dumps use up to 32 KiB */

static void loss_unknown(struct source *s, struct boot_ns now, const struct sink *out)
{
	struct loss l = { .from = s->last, .until = now, .source = s->ops->name };

	if (out->loss)
		out->loss(out->arg, &l);
}

void source_init(struct source *s, const struct source_ops *ops, int fd,
		 const struct ifnames *names)
{
	struct sockaddr_nl self = { 0 };
	socklen_t len = sizeof(self);

	*s = (struct source){ .ops = ops, .fd = fd, .names = names };
	s->last = boot_now();
	/* The helper made the group for us, so its numbers start at 0 and even the first loss shows. */
	s->seq_known = ops->counts;
	if (fd < 0)
		return;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (getsockname(fd, (struct sockaddr *)&self, &len) == 0 && self.nl_family == AF_NETLINK)
		s->portid = self.nl_pid;
}

void source_clear(struct source *s)
{
	if (s->ops && s->ops->clear)
		s->ops->clear(s);
	if (s->ops && s->fd >= 0)
		close(s->fd);
	*s = (struct source){ .fd = -1 };
}

int source_drain(struct source *s, int max, const struct sink *out)
{
	uint8_t buf[DATAGRAM_MAX] __attribute__((aligned(8)));
	struct sockaddr_nl from;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr mh = { .msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1 };
	struct boot_ns now;
	ssize_t n;
	int count = 0;
	int r;

	while (count < max) {
		mh.msg_namelen = sizeof(from);
		n = recvmsg(s->fd, &mh, MSG_DONTWAIT);
		now = boot_now();
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0 && errno == ENOBUFS) {
			/* Not an end: what is queued is still to be read. */
			if (s->ops->counts)
				s->overrun = true;
			else
				loss_unknown(s, now, out);
			count++;
			continue;
		}
		if (n < 0)
			return -errno;
		count++;
		if (mh.msg_namelen >= sizeof(from) && from.nl_pid != 0)
			continue; /* only the kernel is believed */
		if (mh.msg_flags & MSG_TRUNC) {
			loss_unknown(s, now, out);
			continue;
		}
		r = s->ops->decode(s, buf, (size_t)n, now, out);
		if (r < 0)
			loss_unknown(s, now, out);
		s->last = now;
	}
	return count;
}

void source_finish(struct source *s, const struct sink *out)
{
	if (!s->ops || !s->overrun)
		return;
	s->overrun = false;
	loss_unknown(s, boot_now(), out);
}
