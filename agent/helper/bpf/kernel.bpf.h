/*
 * The few fields of the kernel's structures that our programs read. Their places are found when a program is loaded (CO-RE);
 * what a kernel does not have is asked for with bpf_core_field_exists().
 */
#pragma once

typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef signed int int32_t;
typedef long long int64_t;

typedef uint8_t __u8;
typedef uint16_t __u16, __be16;
typedef uint32_t __u32, __be32, __wsum;
typedef uint64_t __u64;
typedef int32_t __s32;
typedef long long __s64;

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_F_MMAPABLE = 1 << 10, BPF_ANY = 0 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
};

struct net_device {
	unsigned int flags;
	int ifindex;
	possible_net_t nd_net;
	void *rx_handler, *nf_hooks_ingress, *nf_hooks_egress;
};

struct dst_entry {
	struct net_device *dev;
	unsigned short flags;
};

struct rtable {
	struct dst_entry dst;
	uint8_t rt_type, rt_is_input;
};

struct rt6_info {
	uint32_t rt6i_flags;
};

struct nf_conntrack_tuple_hash {
	struct {
	} tuple;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned long _skb_refdst, _nfct;
	unsigned int len;
	int skb_iif;
	uint32_t mark;
	uint16_t protocol;
	uint16_t network_header, mac_header;
	unsigned int tail;
	unsigned char *head, *data;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	struct nsproxy *nsproxy;
	struct mm_struct *mm;
	kuid_t loginuid;
};

#pragma clang attribute pop
