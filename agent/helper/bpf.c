/*
 * libbpf loads and attaches; afterwards only the descriptors of maps and links are kept, since the rest is some megabytes. A
 * tracepoint of system calls needs tracefs, which is mounted where nobody else sees it: in a mount namespace of one thread.
 */
#include "agent/helper/bpf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "bpf_objects.h"
#include "common/clock.h"
#include "common/journey.h"
#include "common/reasons.h"

/* The programs cannot include common/journey.h. */
_Static_assert(HOOK_INGRESS == 1 && HOOK_PREROUTING == 2 && HOOK_INPUT == 3 && HOOK_FORWARD == 4 &&
		       HOOK_OUTPUT == 5 && HOOK_POSTROUTING == 6 && HOOK_EGRESS == 7,
	       "drops.bpf.c has the hooks' numbers");
_Static_assert((int)EVENT_HOSTS == (int)HOSTS_PER_AGENT, "a slot for each host");

#define TRACEFS "/sys/kernel/tracing"
#define REASON_PREFIX "SKB_DROP_REASON_"

enum { LOAD_STACK = 512 << 10 };

static const struct {
	const char *ring, *lost, *hosts;
	const unsigned char *object;
	const unsigned int *size;
	const char *what;
} kinds[BPF_PROGRAMS] = {
	[BPF_DROPS] = { "events", "excess", "hosts", drops_bpf, &drops_bpf_size,
			"packets that the kernel drops by itself" },
	[BPF_CHANGES] = { "changes", "untold", "places", changes_bpf, &changes_bpf_size,
			  "those who change legacy tables" },
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

void bpf_init(struct bpf *b, uint32_t drop_rate)
{
	*b = (struct bpf){ .drop_rate = drop_rate };
	for (int i = 0; i < BPF_PROGRAMS; i++)
		b->programs[i] = (struct bpf_program_fds){ -1, -1, -1, { -1, -1 } };
	libbpf_set_print(quiet);
}

int bpf_watch(struct bpf *b, uint32_t slot, uint64_t inode)
{
	uint32_t now = (uint32_t)inode; /* the kernel's numbers of namespaces have 32 bits */
	int r = 0;

	for (int i = 0; i < BPF_PROGRAMS && r == 0; i++) {
		if (b->programs[i].hosts < 0)
			continue;
		if (b->inodes[slot])
			bpf_map_delete_elem(b->programs[i].hosts, &b->inodes[slot]);
		if (now)
			r = bpf_map_update_elem(b->programs[i].hosts, &now, &slot, BPF_ANY);
	}
	b->inodes[slot] = now;
	return r;
}

/* Reasons. */

/* The next reason of this kernel from entry *at on; NULL: no more. */
static const char *next_reason(const struct btf *btf, uint32_t *at, uint32_t *number)
{
	int id = btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);

	while (t && *at < btf_vlen(t)) {
		const struct btf_enum *e = &btf_enum(t)[(*at)++];
		const char *name = btf__name_by_offset(btf, e->name_off);

		if (!name || e->val < 0 || e->val >= EVENT_REASONS)
			continue;
		*number = (uint32_t)e->val;
		if (strncmp(name, REASON_PREFIX, strlen(REASON_PREFIX)) == 0)
			return name + strlen(REASON_PREFIX);
		if (strncmp(name, "SKB_", 4) == 0)
			return name + 4;
	}
	return NULL;
}

static int quiet_noise(struct bpf_object *o, const struct btf *btf)
{
	int map = bpf_object__find_map_fd_by_name(o, "noise"), r = 0;
	uint32_t at = 0, number;
	const uint8_t yes = 1;
	const char *name;

	while (r == 0 && (name = next_reason(btf, &at, &number))) {
		const struct reason *known = reason_find(name);

		if (known && known->class == REASON_NOISE)
			r = bpf_map_update_elem(map, &number, &yes, BPF_ANY);
	}
	return r;
}

int bpf_reasons(struct why *why)
{
	struct btf *btf = btf__load_vmlinux_btf();
	uint32_t at = 0, number;
	const char *name;
	int fd;

	if (!btf)
		return why_set(why, -errno, "the kernel does not describe its types (BTF): %s",
			       strerror(errno));
	fd = memfd_create("reasons", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		why_set(why, -errno, "cannot make a memfd: %s", strerror(errno));
	while (fd >= 0 && (name = next_reason(btf, &at, &number)))
		dprintf(fd, "%u %s\n", number, name);
	btf__free(btf);
	malloc_trim(0);
	return fd < 0 ? -ENOMEM : fd;
}

/* Loading. */

/* tracefs for this thread alone, if it is not there. */
static void see_tracefs(void)
{
	if (access(TRACEFS "/events", F_OK) == 0 ||
	    access("/sys/kernel/debug/tracing/events", F_OK) == 0)
		return;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	(void)mount("tracefs", TRACEFS, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int set_rate(struct bpf_object *o, uint32_t rate)
{
	struct bpf_map *map = bpf_object__find_map_by_name(o, ".rodata");
	struct {
		uint64_t price_ns, burst_ns;
	} values = { 0, NS_PER_S };
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	values.price_ns = (uint64_t)NS_PER_S * (uint64_t)(cpus > 0 ? cpus : 1) / (rate ? rate : 1);
	/* What a CPU may save up must buy a packet, however many CPUs share the rate. */
	if (values.burst_ns < values.price_ns)
		values.burst_ns = values.price_ns;
	return map ? bpf_map__set_initial_value(map, &values, sizeof(values)) : -ENOENT;
}

/* Kernels before 6.11 have no socket to tell: their tracepoint has an argument less. */
static bool kernel_tells_socket(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "btf_trace_kfree_skb", BTF_KIND_TYPEDEF);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);

	/* typedef of a pointer to a function of (void *, skb, location, reason[, rx_sk]). */
	if (t)
		t = btf__type_by_id(btf, t->type);
	if (t && btf_is_ptr(t))
		t = btf__type_by_id(btf, t->type);
	return t && btf_is_func_proto(t) && btf_vlen(t) == 5;
}

static int keep(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : copy;
}

static int attach(struct bpf_program_fds *fds, struct bpf_object *o)
{
	struct bpf_program *p;
	int n = 0, r = 0;

	bpf_object__for_each_program(p, o)
	{
		struct bpf_link *link;

		if (!bpf_program__autoload(p))
			continue;
		link = bpf_program__attach(p);
		if (!link)
			return -errno;
		r = keep(bpf_link__fd(link));
		if (r >= 0)
			fds->links[n++] = r;
		bpf_link__disconnect(link); /* our copy holds it */
		bpf_link__destroy(link);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_maps(struct bpf_program_fds *fds, struct bpf_object *o, int program)
{
	fds->ring = keep(bpf_object__find_map_fd_by_name(o, kinds[program].ring));
	fds->lost = keep(bpf_object__find_map_fd_by_name(o, kinds[program].lost));
	fds->hosts = keep(bpf_object__find_map_fd_by_name(o, kinds[program].hosts));
	return fds->ring < 0 || fds->lost < 0 || fds->hosts < 0 ? -EMFILE : 0;
}

static void fds_close(struct bpf_program_fds *fds)
{
	int *all[] = { &fds->links[0], &fds->links[1], &fds->ring, &fds->lost, &fds->hosts };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

static int load_drops(struct bpf_object *o, uint32_t rate)
{
	struct btf *btf = btf__load_vmlinux_btf();
	struct bpf_program *other;
	int r;

	if (!btf)
		return -errno;
	other = bpf_object__find_program_by_name(o, kernel_tells_socket(btf) ? "drop"
									     : "drop_with_socket");
	bpf_program__set_autoload(other, false);
	r = set_rate(o, rate);
	if (r == 0)
		r = bpf_object__load(o);
	if (r == 0)
		r = quiet_noise(o, btf);
	btf__free(btf);
	return r;
}

struct loading {
	struct bpf *b;
	int program, result;
};

static void *load_thread(void *arg)
{
	struct loading *l = arg;
	struct bpf_program_fds *fds = &l->b->programs[l->program];
	struct bpf_object *o =
		bpf_object__open_mem(kinds[l->program].object, *kinds[l->program].size, NULL);

	if (!o) {
		l->result = -errno;
		return NULL;
	}
	if (l->program == BPF_DROPS) {
		l->result = load_drops(o, l->b->drop_rate);
	} else {
		see_tracefs();
		l->result = bpf_object__load(o);
	}
	if (l->result == 0)
		l->result = take_maps(fds, o, l->program);
	for (uint32_t i = 0; i < EVENT_HOSTS && l->result == 0; i++)
		if (l->b->inodes[i])
			l->result = bpf_map_update_elem(fds->hosts, &l->b->inodes[i], &i, BPF_ANY);
	if (l->result == 0)
		l->result = attach(fds, o);
	if (l->result < 0)
		fds_close(fds);
	bpf_object__close(o);
	return NULL;
}

static int load(struct bpf *b, int program, struct why *why)
{
	struct loading l = { b, program, 0 };
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (b->programs[program].ring >= 0)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, LOAD_STACK);
	r = -pthread_create(&thread, &attr, load_thread, &l);
	pthread_attr_destroy(&attr);
	if (r == 0) {
		pthread_join(thread, NULL);
		r = l.result;
	}
	malloc_trim(0);
	if (r == -EPERM || r == -EACCES)
		return why_set(
			why, r,
			"the kernel does not let us load BPF programs here (CAP_BPF and CAP_PERFMON in the initial user namespace): %s are not seen",
			kinds[program].what);
	if (r < 0 && access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return why_set(
			why, r,
			"BPF programs need the kernel's own types, and /sys/kernel/btf/vmlinux cannot be read: %s are not seen",
			kinds[program].what);
	if (r < 0)
		return why_set(why, r, "our BPF program cannot be loaded (%s): %s are not seen",
			       strerror(-r), kinds[program].what);
	return 0;
}

int bpf_ring(struct bpf *b, int program, struct why *why)
{
	int r = load(b, program, why);

	return r < 0 ? r : keep(b->programs[program].ring);
}

int bpf_lost(struct bpf *b, int program, struct why *why)
{
	int r = load(b, program, why);

	return r < 0 ? r : keep(b->programs[program].lost);
}

void bpf_clear(struct bpf *b)
{
	for (int i = 0; i < BPF_PROGRAMS; i++)
		fds_close(&b->programs[i]);
}
