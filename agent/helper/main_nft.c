/*
 * iptables-nft-save knows best how its own tables are written, and nft how all others are: what iptables-nft-save prints is
 * backend nft, every other table native. Both only read. The handles are read while they work.
 */
#include "agent/helper/main_nft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/helper/ipc.h"
#include "agent/helper/nftlist.h"
#include "agent/helper/nfttalk.h"
#include "agent/helper/nfttext.h"
#include "common/journey.h"

/* A program that writes into a file of ours. */
struct writer {
	pid_t pid;  /* 0: not started */
	int fd;     /* owned */
	char *text; /* owned, mapped */
	size_t len;
};

static int complain(const char *what, const char *name)
{
	fprintf(stderr, "%s %s\n", what, name);
	return 1;
}

static void complain_left_out(uint32_t count)
{
	fprintf(stderr,
		"%u tables of nftables are not read: more than %d, or names that nft does not read\n",
		count, (int)NFT_TABLES_MAX);
}

static void run(const char *const *argv, int out)
{
	static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin" };
	char path[64], *env[] = { NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0)
		_exit(126);
	/* What it has to say is in its text, or in its exit status. */
	dup2(null, 2);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], argv[0]);
		execve(path, (char *const *)argv, env);
	}
	_exit(127);
}

static int start(struct writer *w, const char *const *argv)
{
	*w = (struct writer){ .fd = memfd_create("text", MFD_CLOEXEC) };
	if (w->fd < 0)
		return -errno;
	w->pid = fork();
	if (w->pid == 0)
		run(argv, w->fd);
	return w->pid < 0 ? -errno : 0;
}

/* The exit status, with the text mapped; 127: there is no such program. */
static int finish(struct writer *w)
{
	struct stat st;
	int status;

	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	if (!WIFEXITED(status))
		return 1;
	if (WEXITSTATUS(status) == 0 && fstat(w->fd, &st) == 0 && st.st_size > 0) {
		w->text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, w->fd, 0);
		w->len = w->text == MAP_FAILED ? 0 : (size_t)st.st_size;
	}
	return WEXITSTATUS(status);
}

static void writer_clear(struct writer *w)
{
	if (w->len)
		munmap(w->text, w->len);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct writer){ .fd = -1 };
}

static int put_part(uint32_t backend, const struct nft_table *t, uint32_t kind, const void *text,
		    size_t len)
{
	struct ruleset_part part = { .backend = backend,
				     .family = nft_family(t->nfproto),
				     .torn = kind == RULESET_TEXT && len == 0,
				     .kind = kind,
				     .len = (uint32_t)len };

	memcpy(part.table, t->name, strlen(t->name));
	if (fwrite(&part, sizeof(part), 1, stdout) != 1 ||
	    (len && fwrite(text, len, 1, stdout) != 1))
		return complain("cannot write", t->name);
	return 0;
}

static int put_table(uint32_t backend, const struct nft_table *t, const void *text, size_t len)
{
	int r = put_part(backend, t, RULESET_TEXT, text, len);

	return r ? r : put_part(backend, t, RULESET_HANDLES, t->handles.p, t->handles.len);
}

/* Without comments, and ":CHAIN POLICY [1:2]" as "[0:0]". */
static int add_line(struct buf *b, const char *line, size_t len)
{
	const char *bracket;

	if (len == 0 || line[0] == '#')
		return 0;
	bracket = line[0] == ':' ? memrchr(line, '[', len) : NULL;
	if (!bracket)
		return buf_add(b, line, len);
	if (buf_add(b, line, (size_t)(bracket - line)) < 0)
		return -ENOMEM;
	return buf_add(b, "[0:0]\n", 6);
}

static struct nft_table *find(struct nftlist *l, uint8_t nfproto, const char *name, size_t len)
{
	for (uint32_t i = 0; i < l->count; i++) {
		struct nft_table *t = &l->tables[i];

		if (t->nfproto == nfproto && strlen(t->name) == len && !memcmp(t->name, name, len))
			return t;
	}
	return NULL;
}

/*
 * "# Table `nat' contains incompatible base-chains": of such a table it prints standard chains that need not exist, and
 * leaves out those that do. *named: the table that the line says this of.
 */
static bool incompatible(const char *line, size_t len, struct nft_table **named, struct nftlist *l,
			 uint8_t nfproto)
{
	static const char begin[] = "# Table `", reason[] = "incompatible";
	const char *name = line + sizeof(begin) - 1, *stop;

	if (len < sizeof(begin) || memcmp(line, begin, sizeof(begin) - 1) != 0 ||
	    !memmem(line, len, reason, sizeof(reason) - 1))
		return false;
	stop = memchr(name, '\'', len - (sizeof(begin) - 1));
	*named = stop ? find(l, nfproto, name, (size_t)(stop - name)) : NULL;
	return true;
}

/* Each "*table ... COMMIT" of what iptables-nft-save printed. done[]: tables that it could print whole. */
static int put_saved(const struct writer *w, struct nftlist *l, uint8_t nfproto, bool *done)
{
	const char *at = w->text, *end = at + w->len;
	struct nft_table *t = NULL, *partly = NULL;
	struct buf b;
	int r = 0;

	buf_init(&b, CONTENT_MAX);
	while (at < end && r == 0) {
		const char *next = memchr(at, '\n', (size_t)(end - at));
		struct nft_table *named = NULL;
		size_t len;

		next = next ? next + 1 : end;
		len = (size_t)(next - at);
		if (at[0] == '*') {
			t = find(l, nfproto, at + 1, len - 2);
			if (t == partly)
				t = NULL;
			b.len = 0;
		} else if (incompatible(at, len, &named, l, nfproto)) {
			partly = named;
		}
		if (add_line(&b, at, len) < 0)
			r = complain("cannot hold the tables of", "iptables-nft-save");
		if (t && len == 7 && memcmp(at, "COMMIT\n", 7) == 0) {
			done[t - l->tables] = true;
			r = put_table(BACKEND_NFT, t, b.p, b.len);
			t = NULL;
		}
		at = next;
	}
	buf_clear(&b);
	return r;
}

static const char *family_word(uint8_t nfproto)
{
	switch (nfproto) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_BRIDGE:
		return "bridge";
	default:
		return "netdev";
	}
}

/* A table that nobody can print is told without its text, as torn: it is there, and its rules are not known. */
static int put_native(const struct nft_table *t)
{
	const char *const argv[] = { "nft",   "-s", "list", "table", family_word(t->nfproto),
				     t->name, NULL };
	struct writer w;
	struct buf b;
	int r = start(&w, argv);

	if (r < 0)
		return complain("cannot start nft for", t->name);
	buf_init(&b, CONTENT_MAX);
	r = finish(&w);
	if (r == 127)
		complain("nft is not installed: no text of the nftables table", t->name);
	else if (r != 0)
		complain("nft cannot print the table", t->name);
	else if (w.len && nfttext_settle(&b, w.text, w.len) < 0)
		r = complain("too large to be held is the table", t->name);
	r = put_table(BACKEND_NATIVE, t, b.p, r == 0 ? b.len : 0);
	buf_clear(&b);
	writer_clear(&w);
	return r;
}

/* Is it one that iptables-nft may have made? */
static bool may_be_saved(const struct nft_table *t, uint8_t nfproto)
{
	static const char *const names[] = { "raw", "mangle", "nat", "filter", "security" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (t->nfproto == nfproto && strcmp(t->name, names[i]) == 0)
			return true;
	return false;
}

int dump_nft_main(void)
{
	static const struct {
		uint8_t nfproto;
		const char *argv[2];
	} savers[] = {
		{ NFPROTO_IPV4, { "iptables-nft-save", NULL } },
		{ NFPROTO_IPV6, { "ip6tables-nft-save", NULL } },
	};
	struct writer w[2] = { { .fd = -1 }, { .fd = -1 } };
	bool done[NFT_TABLES_MAX] = { false };
	struct nftlist l;
	int r = nftlist_read(&l);

	for (int s = 0; s < 2 && r == 0; s++) {
		for (uint32_t i = 0; i < l.count && r == 0 && !w[s].pid; i++)
			if (may_be_saved(&l.tables[i], savers[s].nfproto))
				r = start(&w[s], savers[s].argv);
	}
	if (r == 0)
		r = nftlist_handles(&l);
	if (r < 0)
		r = complain("nftables cannot be read:", strerror(-r));
	for (int s = 0; s < 2; s++) {
		/* One that is not there leaves its tables to nft. */
		if (w[s].pid && finish(&w[s]) == 0 && r == 0 && w[s].len)
			r = put_saved(&w[s], &l, savers[s].nfproto, done);
	}
	for (uint32_t i = 0; i < l.count && r == 0; i++)
		if (!done[i])
			r = put_native(&l.tables[i]);
	for (int s = 0; s < 2; s++)
		writer_clear(&w[s]);
	if (r == 0 && l.left_out)
		complain_left_out(l.left_out);
	nftlist_clear(&l);
	if (fflush(stdout) != 0)
		r = 1;
	return r;
}
