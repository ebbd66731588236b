/*
 * The kernel's own fields are numbers and words of its own, but for: a table's name (nftables' may be any bytes, printed as they
 * are), the security context (any bytes as well), and comm and proctitle, which are quoted where they have neither quotes nor blanks
 * nor control characters, and hexadecimal otherwise, so that they never hold a blank.
 */
#include "agent/source/audit.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/source/source.h"

/* What is left of a record. */
struct text {
	const char *p;
	size_t len;
};

static bool skip(struct text *t, const char *word)
{
	size_t n = strlen(word);

	if (t->len < n || memcmp(t->p, word, n) != 0)
		return false;
	t->p += n;
	t->len -= n;
	return true;
}

static bool number(struct text *t, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	size_t n = 0;

	for (; n < t->len && isdigit((unsigned char)t->p[n]); n++) {
		v = v * 10 + (uint64_t)(t->p[n] - '0');
		if (v > max)
			return false;
	}
	*out = v;
	t->p += n;
	t->len -= n;
	return n > 0;
}

static bool number32(struct text *t, uint32_t *out)
{
	uint64_t v;

	if (!number(t, UINT32_MAX, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

/* Where the word begins; NULL: nowhere. */
static const char *find(const struct text *t, const char *word)
{
	return memmem(t->p, t->len, word, strlen(word));
}

/* Behind the word; what was before it is left out. */
static bool seek(struct text *t, const char *word)
{
	const char *at = find(t, word);

	if (!at)
		return false;
	t->len -= (size_t)(at - t->p);
	t->p = at;
	return skip(t, word);
}

/* Behind the last of them. */
static bool seek_last(struct text *t, const char *word)
{
	bool found = false;

	while (seek(t, word))
		found = true;
	return found;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "text", or hexadecimal; what is longer than the room is cut. NULs inside become COMMAND_BREAK. False: neither of these. */
static bool encoded(struct text *t, char *out, size_t size)
{
	size_t n = 0, len = 0;

	out[0] = '\0';
	if (skip(t, "(null)"))
		return true;
	if (skip(t, "\"")) {
		while (len < t->len && t->p[len] != '"')
			len++;
		if (len == t->len)
			return false;
		n = len < size - 1 ? len : size - 1;
		memcpy(out, t->p, n);
		t->p += len + 1;
		t->len -= len + 1;
	} else {
		for (; len + 1 < t->len && hex(t->p[len]) >= 0 && hex(t->p[len + 1]) >= 0; len += 2)
			if (n < size - 1)
				out[n++] = (char)(hex(t->p[len]) << 4 | hex(t->p[len + 1]));
		if (len == 0)
			return false;
		t->p += len;
		t->len -= len;
	}
	while (n > 0 && out[n - 1] == '\0')
		n--;
	out[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (out[i] == '\0')
			out[i] = COMMAND_BREAK;
	return true;
}

/* "audit(1795877206.266:3): " */
static bool stamp(struct audit_record *r, struct text *t)
{
	uint64_t s, ms;

	if (!skip(t, "audit(") || !number(t, INT64_MAX / NS_PER_S - 1, &s) || !skip(t, ".") ||
	    !number(t, 999, &ms) || !skip(t, ":") || !number32(t, &r->serial) || !skip(t, "): "))
		return false;
	r->at.v = (int64_t)s * NS_PER_S + (int64_t)ms * NS_PER_MS;
	return true;
}

/* "NAME", or "NAME:GENERATION" of nftables; what ends it is known. */
static bool table_name(struct audit_record *r, struct text name)
{
	const char *colon = memrchr(name.p, ':', name.len);
	struct text behind = name;

	if (r->legacy) {
		if (name.len == 0 || name.len >= sizeof(r->table))
			return false;
		for (size_t i = 0; i < name.len; i++)
			if (!isalnum((unsigned char)name.p[i]) && !strchr("_-", name.p[i]))
				return false;
		memcpy(r->table, name.p, name.len);
		return true;
	}
	if (!colon)
		return false;
	behind.p = colon + 1;
	behind.len = name.len - (size_t)(behind.p - name.p);
	return number32(&behind, &r->generation) && behind.len == 0;
}

static bool starts(const char *op, const char *with)
{
	return strncmp(op, with, strlen(with)) == 0;
}

/* "table=filter family=2 entries=4 op=xt_replace pid=26734[ subj=...] comm="iptables"" */
static int table_read(struct audit_record *r, struct text t)
{
	struct text name, op;
	uint32_t family, entries;
	char what[32];

	if (!skip(&t, "table="))
		return -EBADMSG;
	name = t;
	if (!seek(&t, " family="))
		return -EBADMSG;
	name.len = (size_t)(t.p - name.p) - strlen(" family=");
	if (find(&t, " family=") || !number32(&t, &family) || !skip(&t, " entries=") ||
	    !number32(&t, &entries) || !skip(&t, " op="))
		return -EBADMSG;
	for (op = t; t.len > 0 && (isalnum((unsigned char)*t.p) || *t.p == '_'); t.p++)
		t.len--;
	snprintf(what, sizeof(what), "%.*s", (int)(t.p - op.p), op.p);
	if (!skip(&t, " pid=") || !number32(&t, &r->pid))
		return -EBADMSG;
	if (!skip(&t, " comm=") && (!skip(&t, " subj=") || !seek_last(&t, " comm=")))
		return -EBADMSG;
	if (!encoded(&t, r->program, sizeof(r->program)) || t.len > 0)
		return -EBADMSG;

	r->legacy = starts(what, "xt_");
	r->family = family == NFPROTO_IPV4   ? FAMILY_IPV4
		    : family == NFPROTO_IPV6 ? FAMILY_IPV6
					     : FAMILY_COUNT;
	/* A namespace that ends takes its tables along; a read that sets counters to zero is no change. */
	if (strcmp(what, "xt_unregister") == 0 || starts(what, "nft_reset") ||
	    (r->legacy && r->family == FAMILY_COUNT))
		return 0;
	return table_name(r, name) ? 1 : -EBADMSG;
}

/* "arch=... ppid=1 pid=2 auid=1000 uid=0 ... comm="iptables" exe=..." */
static int call_read(struct audit_record *r, struct text t)
{
	const char *comm = find(&t, " comm=");
	struct text head = t;

	if (!comm)
		return -EBADMSG;
	head.len = (size_t)(comm - t.p);
	if (!seek(&head, " pid=") || !number32(&head, &r->pid) || !skip(&head, " auid=") ||
	    !number32(&head, &r->loginuid) || !skip(&head, " uid=") || !number32(&head, &r->uid))
		return -EBADMSG;
	return seek(&t, " comm=") && encoded(&t, r->program, sizeof(r->program)) ? 1 : -EBADMSG;
}

/* "op=set audit_enabled=0 old=1 ..." */
static int switch_read(struct audit_record *r, struct text t)
{
	uint32_t now;

	if (!skip(&t, "op=set audit_enabled=") || !number32(&t, &now) || !find(&t, " res=1"))
		return 0;
	r->on = now != 0;
	return 1;
}

int audit_read(struct audit_record *r, uint16_t type, const char *text, size_t len)
{
	struct text t = { text, len };

	*r = (struct audit_record){ .uid = UINT32_MAX, .loginuid = UINT32_MAX };
	if (type != AUDIT_NETFILTER_CFG && type != AUDIT_SYSCALL && type != AUDIT_PROCTITLE &&
	    type != AUDIT_CONFIG_CHANGE)
		return 0;
	if (!stamp(r, &t))
		return -EBADMSG;
	switch (type) {
	case AUDIT_NETFILTER_CFG:
		r->kind = AUDIT_KIND_TABLE;
		return table_read(r, t);
	case AUDIT_SYSCALL:
		r->kind = AUDIT_KIND_CALL;
		return call_read(r, t);
	case AUDIT_PROCTITLE:
		r->kind = AUDIT_KIND_TITLE;
		return skip(&t, "proctitle=") && encoded(&t, r->command, sizeof(r->command))
			       ? 1
			       : -EBADMSG;
	default:
		r->kind = AUDIT_KIND_SWITCH;
		return switch_read(r, t);
	}
}

int audit_listen(int fd, bool on)
{
	struct sock_filter all[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_NETFILTER_CFG), 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_SYSCALL), 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_PROCTITLE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_CONFIG_CHANGE), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_filter none[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	const struct sock_fprog filter = { on ? sizeof(all) / sizeof(all[0]) : 1, on ? all : none };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ? -errno
											 : 0;
}

/* The kernel sends each record in a datagram of its own, and does not pad it. */
static int audit_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			const struct sink *out)
{
	struct audit_record r;
	int result = 0, n;

	(void)s;
	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		size_t size;

		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			return -EBADMSG;
		n = audit_read(&r, h.nlmsg_type, (const char *)p + sizeof(h),
			       h.nlmsg_len - sizeof(h));
		/* Of the others only details are missing. */
		if (n < 0 && h.nlmsg_type == AUDIT_NETFILTER_CFG)
			result = n;
		if (n > 0 && out->audit)
			out->audit(out->arg, &r, now);
		size = MNL_ALIGN((size_t)h.nlmsg_len);
		if (size >= len)
			return result;
		p += size;
		len -= size;
	}
	return len > 0 ? -EBADMSG : result;
}

const struct source_ops source_audit = {
	.name = "audit",
	.decode = audit_decode,
};
