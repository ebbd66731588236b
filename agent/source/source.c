/*
 * What all sources share: reading a netlink socket until it is empty, and turning what the kernel could not
 * deliver into losses. Decoding is each source's own.
 */
#include "agent/source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel's dumps use up to 32 KiB. BATCH messages cost one system call. */
enum { DATAGRAM_MAX = 64 << 10, BATCH = 16 };

/* Else the starts of all buffers, which is all that most messages fill, would share a few lines of the cache. */
enum { APART = 17 * 64 };

struct room {
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_nl from[BATCH];
	uint8_t data[BATCH][DATAGRAM_MAX + APART] __attribute__((aligned(8)));
};

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
	s->last = s->empty = boot_now();
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

/* Ready for want messages. */
static void room_prepare(struct room *room, int want)
{
	for (int i = 0; i < want; i++) {
		room->iov[i] = (struct iovec){ room->data[i], DATAGRAM_MAX };
		room->messages[i].msg_hdr = (struct msghdr){ .msg_name = &room->from[i],
							     .msg_namelen = sizeof(room->from[i]),
							     .msg_iov = &room->iov[i],
							     .msg_iovlen = 1 };
	}
}

static void take(struct source *s, const struct mmsghdr *m, struct boot_ns now,
		 const struct sink *out)
{
	const struct sockaddr_nl *from = m->msg_hdr.msg_name;

	if (m->msg_hdr.msg_namelen >= sizeof(*from) && from->nl_pid != 0)
		return; /* only the kernel is believed */
	if ((m->msg_hdr.msg_flags & MSG_TRUNC) ||
	    s->ops->decode(s, m->msg_hdr.msg_iov->iov_base, m->msg_len, now, out) < 0)
		loss_unknown(s, now, out);
	s->last = now;
}

int source_drain(struct source *s, int max, const struct sink *out)
{
	struct room room; /* untouched pages cost nothing */
	struct boot_ns now;
	int count = 0, want, n;

	while (count < max) {
		want = max - count < BATCH ? max - count : BATCH;
		room_prepare(&room, want);
		n = recvmmsg(s->fd, room.messages, (unsigned int)want, MSG_DONTWAIT, NULL);
		now = boot_now();
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			s->empty = now;
			break;
		}
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
		/* A nanosecond apart: which of them came first is part of what they tell. */
		for (int i = 0; i < n; i++)
			take(s, &room.messages[i], (struct boot_ns){ now.v + i }, out);
		count += n;
	}
	return count;
}

struct boot_ns source_read_until(struct source *s, struct boot_ns now)
{
	struct pollfd waiting = { .fd = s->fd, .events = POLLIN };

	if (!s->ops || s->fd < 0)
		return now;
	if (poll(&waiting, 1, 0) == 0)
		s->empty = now;
	return s->empty;
}

void source_finish(struct source *s, const struct sink *out)
{
	if (!s->ops || !s->overrun)
		return;
	s->overrun = false;
	loss_unknown(s, boot_now(), out);
}
