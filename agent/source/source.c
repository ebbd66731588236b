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

/* The kernel's dumps use up to 32 KiB. BATCH messages are read before the clock is. */
enum { DATAGRAM_MAX = 64 << 10, BATCH = 16 };

/* Messages one behind the other: most are of some hundred bytes. */
struct room {
	int count;
	struct {
		size_t at, len;
		bool foreign; /* not the kernel's */
	} got[BATCH];
	uint8_t data[2 * DATAGRAM_MAX] __attribute__((aligned(8)));
};

static void loss_unknown(struct source *s, struct boot_ns now, const struct sink *out)
{
	struct loss l = { .from = s->last, .until = now, .source = s->ops->name };

	if (out->loss)
		out->loss(out->arg, &l);
}

/* From now on nobody but the kernel gets through: others' messages to one socket are refused, and to groups it does not listen. */
static bool shut(int fd)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	uint32_t groups[32] = { 0 };
	socklen_t len = sizeof(groups);

	if (connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0 ||
	    getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len) < 0 ||
	    len > sizeof(groups))
		return false;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (groups[i])
			return false;
	return true;
}

void source_init(struct source *s, const struct source_ops *ops, int fd,
		 const struct ifnames *names)
{
	struct sockaddr_nl self = { 0 };
	socklen_t len = sizeof(self);

	*s = (struct source){ .ops = ops, .fd = fd, .names = names, .asks_sender = true };
	s->last = s->empty = boot_now();
	/* The helper made the group for us, so its numbers start at 0 and even the first loss shows. */
	s->seq_known = ops->counts;
	if (fd < 0)
		return;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (getsockname(fd, (struct sockaddr *)&self, &len) == 0 && self.nl_family == AF_NETLINK) {
		s->portid = self.nl_pid;
		s->shut = shut(fd);
	}
}

void source_clear(struct source *s)
{
	if (s->ops && s->ops->clear)
		s->ops->clear(s);
	if (s->ops && s->fd >= 0)
		close(s->fd);
	*s = (struct source){ .fd = -1 };
}

/* One message, to `at` of the room. To be told its sender costs a sixth of the whole. */
static ssize_t receive_one(const struct source *s, struct room *room, size_t at, bool *foreign)
{
	const int flags = MSG_DONTWAIT | MSG_TRUNC; /* its real length */
	struct sockaddr_nl from = { 0 };
	socklen_t size = sizeof(from);
	ssize_t len;

	if (!s->asks_sender) {
		*foreign = false;
		return recv(s->fd, room->data + at, DATAGRAM_MAX, flags);
	}
	len = recvfrom(s->fd, room->data + at, DATAGRAM_MAX, flags, (struct sockaddr *)&from,
		       &size);
	*foreign = size >= sizeof(from) && from.nl_pid != 0;
	return len;
}

/* Up to max messages into the room. 0, or -errno of what ended it early; what came before that is there. */
static int receive(const struct source *s, struct room *room, int max)
{
	size_t at = 0;
	ssize_t len;

	room->count = 0;
	while (room->count < max && room->count < BATCH &&
	       at + DATAGRAM_MAX <= sizeof(room->data)) {
		len = receive_one(s, room, at, &room->got[room->count].foreign);
		if (len < 0)
			return -errno;
		room->got[room->count].at = at;
		room->got[room->count].len = (size_t)len;
		room->count++;
		at += ((size_t)len < DATAGRAM_MAX ? (size_t)len + 7 : DATAGRAM_MAX) & ~(size_t)7;
	}
	return 0;
}

static void take(struct source *s, struct room *room, int i, struct boot_ns now,
		 const struct sink *out)
{
	size_t len = room->got[i].len;

	if (room->got[i].foreign)
		return; /* only the kernel is believed */
	if (len > DATAGRAM_MAX ||
	    s->ops->decode(s, room->data + room->got[i].at, len, now, out) < 0)
		loss_unknown(s, now, out);
	s->last = now;
}

int source_drain(struct source *s, int max, const struct sink *out)
{
	struct room room; /* untouched pages cost nothing */
	struct boot_ns now;
	int count = 0, r;

	while (count < max) {
		r = receive(s, &room, max - count);
		now = boot_now();
		/* A nanosecond apart: which of them came first is part of what they tell. */
		for (int i = 0; i < room.count; i++)
			take(s, &room, i, (struct boot_ns){ now.v + i }, out);
		count += room.count;
		if (r == -EAGAIN || r == -EWOULDBLOCK) {
			s->empty = now;
			s->asks_sender = !s->shut;
			break;
		}
		if (r == -ENOBUFS) {
			/* Not an end: what is queued is still to be read. */
			if (s->ops->counts)
				s->overrun = true;
			else
				loss_unknown(s, now, out);
			count++;
		} else if (r < 0 && r != -EINTR) {
			return r;
		}
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
