/*
 * Changes of legacy tables: who replaced one, in which namespace, with which command line, at the moment at which the kernel
 * has done it. Every iptables-legacy ends in one setsockopt(); what fails there has changed nothing.
 */
#include "agent/helper/bpf/kernel.bpf.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "agent/helper/events.h"

enum {
	SO_SET_REPLACE =
		64, /* IPT_SO_SET_REPLACE and IP6T_SO_SET_REPLACE; iptables' struct begins with the table's name */
	SOL_IP = 0,
	SOL_IPV6 = 41,
	NOBODY = -1,
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 << 10);
} changes SEC(".maps");

/* The slot of each watched namespace, by its inode. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EVENT_HOSTS);
	__type(key, uint32_t);
	__type(value, uint32_t);
} places SEC(".maps");

/* A replacement that has begun, by thread. */
struct call {
	uint64_t value; /* the user's struct, which begins with the table's name */
	uint64_t family;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, uint64_t);
	__type(value, struct call);
} calls SEC(".maps");

/* Changes that found no room in the ring. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512); /* the least that can be mapped is a page */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, uint32_t);
	__type(value, uint64_t);
} untold SEC(".maps");

static void add_command(struct change_event_raw *e)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	unsigned long from = mm ? BPF_CORE_READ(mm, arg_start) : 0;
	unsigned long n = mm ? BPF_CORE_READ(mm, arg_end) - from : 0;

	asm volatile(
		""
		: "+r"(n)); /* the verifier must see the check on the very value that is used */
	if (n > EVENT_COMMAND_MAX)
		n = EVENT_COMMAND_MAX;
	e->command_len = 0;
	if (n > 0 && bpf_probe_read_user(e->command, n, (void *)from) == 0)
		e->command_len = n;
}

/* As the tracepoints' format files describe it: tracing/events/syscalls/sys_{enter,exit}_setsockopt/format. */
struct entering {
	uint64_t common, number;
	uint64_t fd, level, name, value, len;
};

struct leaving {
	uint64_t common, number;
	int64_t result;
};

SEC("tp/syscalls/sys_enter_setsockopt")
int replacing(const struct entering *c)
{
	uint64_t task = bpf_get_current_pid_tgid();
	struct call call = { .value = c->value };

	if ((int32_t)c->name != SO_SET_REPLACE ||
	    ((int32_t)c->level != SOL_IP && (int32_t)c->level != SOL_IPV6))
		return 0;
	call.family = (int32_t)c->level == SOL_IP ? 4 : 6;
	bpf_map_update_elem(&calls, &task, &call, BPF_ANY);
	return 0;
}

static void tell(const struct call *call, uint32_t slot)
{
	struct change_event_raw *e = bpf_ringbuf_reserve(&changes, sizeof(*e), 0);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	uint32_t zero = 0;

	if (!e) {
		uint64_t *n = bpf_map_lookup_elem(&untold, &zero);

		if (n)
			__sync_fetch_and_add(n, 1);
		return;
	}
	e->kind = EVENT_CHANGE;
	e->host = slot;
	e->at = bpf_ktime_get_boot_ns();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->uid = (uint32_t)bpf_get_current_uid_gid();
	e->loginuid = NOBODY;
	if (bpf_core_field_exists(task->loginuid))
		e->loginuid = BPF_CORE_READ(task, loginuid.val);
	e->family = call->family;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (bpf_probe_read_user(e->table, sizeof(e->table), (void *)call->value) < 0)
		e->table[0] = '\0';
	add_command(e);
	bpf_ringbuf_submit(e, 0);
}

SEC("tp/syscalls/sys_exit_setsockopt")
int replaced(const struct leaving *c)
{
	uint64_t task = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &task);
	struct task_struct *self;
	uint32_t inum, *slot;

	if (!call)
		return 0;
	self = (struct task_struct *)bpf_get_current_task();
	inum = BPF_CORE_READ(self, nsproxy, net_ns, ns.inum);
	slot = bpf_map_lookup_elem(&places, &inum);
	if (slot && c->result == 0)
		tell(call, *slot);
	bpf_map_delete_elem(&calls, &task);
	return 0;
}

char gpl[] SEC("license") = "GPL";
