/*
 * Drops: each packet that the kernel frees with a reason, in a namespace that is watched. The order matters: reasons that
 * are noise end after one look, unwatched namespaces after another, and above the rate a packet costs a counter.
 */
#include "agent/helper/bpf/kernel.bpf.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "agent/helper/events.h"

enum {
	ETH_LEN = 14,
	ETH_P_IP = 0x0800,
	ETH_P_IPV6 = 0x86dd,
	IPPROTO_HOPOPTS = 0,
	IPPROTO_IGMP = 2,
	IPPROTO_ICMPV6 = 58,
	IP_LEN = 20,
	IPV6_LEN = 40,
	NO_HEADER = 0xffff,
	REFDST_NOREF = 1, /* the low bit of _skb_refdst */
	RTN_LOCAL = 2,
	RTN_BROADCAST = 3,
	RTN_MULTICAST = 5,
	RTF_ANYCAST = 0x00100000,
	DST_FAKE_RTABLE = 0x0010,
	DST_METADATA = 0x0080,
	IFF_LOOPBACK = 8,
	NFCT_INFO = 7, /* the low bits of _nfct: enum ip_conntrack_info */
	IP_CT_IS_REPLY = 3,
};
#define RTF_LOCAL 0x80000000u

/* As in common/journey.h, which a BPF program cannot include; the helper checks that they agree. */
enum {
	HOOK_INGRESS = 1,
	HOOK_PREROUTING = 2,
	HOOK_INPUT = 3,
	HOOK_FORWARD = 4,
	HOOK_OUTPUT = 5,
	HOOK_POSTROUTING = 6,
	HOOK_EGRESS = 7
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* The slot of each watched namespace, by its inode. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EVENT_HOSTS);
	__type(key, uint32_t);
	__type(value, uint32_t);
} hosts SEC(".maps");

/* 1: this reason is noise. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EVENT_REASONS);
	__type(key, uint32_t);
	__type(value, uint8_t);
} noise SEC(".maps");

/* Packets that were not told, by slot and reason; the worker maps it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EVENT_HOSTS *EVENT_REASONS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, uint32_t);
	__type(value, uint64_t);
} excess SEC(".maps");

struct bucket {
	uint64_t filled_at, tokens; /* ns of rate; a packet costs `price` */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct bucket);
} buckets SEC(".maps");

/* What the helper sets: the time that one packet is worth on one CPU, and how much may be saved up. */
const volatile uint64_t price_ns = 2000000, burst_ns = 1000000000;

static struct net *net_of(const struct sk_buff *skb, const struct sock *rx_sk)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	struct sock *sk;

	if (dev)
		return BPF_CORE_READ(dev, nd_net.net);
	if (rx_sk)
		return BPF_CORE_READ(rx_sk, __sk_common.skc_net.net);
	sk = BPF_CORE_READ(skb, sk);
	return sk ? BPF_CORE_READ(sk, __sk_common.skc_net.net) : NULL;
}

static int bucket_pays(void)
{
	uint32_t zero = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &zero);
	uint64_t now, gone;

	if (!b)
		return 0;
	now = bpf_ktime_get_ns();
	gone = now - b->filled_at;
	b->filled_at = now;
	if (gone > burst_ns)
		gone = burst_ns;
	b->tokens += gone;
	if (b->tokens > burst_ns)
		b->tokens = burst_ns;
	if (b->tokens < price_ns)
		return 0;
	b->tokens -= price_ns;
	return 1;
}

static void count_excess(uint32_t host, uint32_t reason)
{
	uint32_t at =
		host * EVENT_REASONS + (reason < EVENT_REASONS - 1 ? reason : EVENT_REASONS - 1);
	uint64_t *n = bpf_map_lookup_elem(&excess, &at);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* Was it handed to OUTPUT with its device, as what the kernel makes by itself? */
static int sent_with_device(const struct drop_event *e)
{
	uint8_t proto = e->protocol == ETH_P_IP ? e->packet[9] : e->packet[6];

	if (e->protocol == ETH_P_IP)
		return proto == IPPROTO_IGMP;
	return proto == IPPROTO_ICMPV6 || proto == IPPROTO_HOPOPTS;
}

static int is_local(const struct drop_event *e, struct dst_entry *dst)
{
	if (e->protocol == ETH_P_IP)
		return BPF_CORE_READ((struct rtable *)dst, rt_type) == RTN_LOCAL;
	return (BPF_CORE_READ((struct rt6_info *)dst, rt6i_flags) & (RTF_LOCAL | RTF_ANYCAST)) != 0;
}

static int is_group(const struct drop_event *e, struct dst_entry *dst)
{
	uint8_t type;

	if (e->protocol != ETH_P_IP)
		return e->packet[24] == 0xff;
	type = BPF_CORE_READ((struct rtable *)dst, rt_type);
	return type == RTN_BROADCAST || type == RTN_MULTICAST;
}

/* Sent by this host: no device in OUTPUT, or a tunnel's, and in POSTROUTING the one that it leaves by. */
static uint32_t hooks_out(const struct drop_event *e, struct net_device *dev, struct dst_entry *dst)
{
	if (!dev || BPF_CORE_READ(dst, dev) != dev)
		return 1 << HOOK_OUTPUT;
	return 1 << HOOK_POSTROUTING | (sent_with_device(e) ? 1 << HOOK_OUTPUT : 0);
}

/*
 * What a received packet, still on the device that it came by, has as its route may be its refusal's: nftables refuses in
 * PREROUTING, too, and leaves the way back to the sender there. IPv6's routes do not say which way they are for.
 */
static uint32_t hooks_unmoved(const struct drop_event *e, struct net_device *dev,
			      struct dst_entry *dst)
{
	struct rtable *rt = (struct rtable *)dst;

	if (e->protocol == ETH_P_IP && bpf_core_field_exists(rt->rt_is_input) &&
	    !BPF_CORE_READ(rt, rt_is_input))
		return 1 << HOOK_PREROUTING;
	if (BPF_CORE_READ(dst, dev) != dev)
		return 1 << HOOK_FORWARD;
	return 1 << HOOK_FORWARD | 1 << HOOK_POSTROUTING |
	       (e->protocol == ETH_P_IP ? 0 : 1 << HOOK_PREROUTING);
}

/*
 * Received: not routed yet, PREROUTING; routed to this host, INPUT; to another one, FORWARD while it has the device that it came
 * in by, POSTROUTING with another, and either of them where both are the same. What this host hears of its own (lo, groups)
 * keeps its route on the way in.
 */
static uint32_t hooks_in(const struct drop_event *e, struct net_device *dev, struct dst_entry *dst)
{
	int port = BPF_CORE_READ(dev, rx_handler) !=
		   NULL; /* of a bridge, which has hooks of its own */

	if (!dst)
		return port ? 0 : 1 << HOOK_PREROUTING;
	if (is_group(e, dst))
		return 1 << HOOK_PREROUTING | 1 << HOOK_INPUT | 1 << HOOK_FORWARD;
	if (is_local(e, dst))
		return 1 << HOOK_INPUT |
		       (BPF_CORE_READ(dev, flags) & IFF_LOOPBACK ? 1 << HOOK_PREROUTING : 0);
	if (port)
		return 1 << HOOK_FORWARD | 1 << HOOK_POSTROUTING;
	return e->dev == e->iif ? hooks_unmoved(e, dev, dst) : 1 << HOOK_POSTROUTING;
}

/* The device's own hooks, where it has rules there: nothing else tells their drops from those of the hook beside them. */
static uint32_t hooks_of_device(struct net_device *dev, uint32_t beside)
{
	uint32_t hooks = 0;

	if (beside & 1 << HOOK_PREROUTING && bpf_core_field_exists(dev->nf_hooks_ingress) &&
	    BPF_CORE_READ(dev, nf_hooks_ingress))
		hooks |= 1 << HOOK_INGRESS;
	if (beside & 1 << HOOK_POSTROUTING && bpf_core_field_exists(dev->nf_hooks_egress) &&
	    BPF_CORE_READ(dev, nf_hooks_egress))
		hooks |= 1 << HOOK_EGRESS;
	return hooks;
}

static void place(struct drop_event *e, const struct sk_buff *skb, struct net_device *dev)
{
	unsigned long ref = BPF_CORE_READ(skb, _skb_refdst) & ~(unsigned long)REFDST_NOREF;
	struct dst_entry *dst = (struct dst_entry *)ref;

	if (dst &&
	    BPF_CORE_READ(dst, flags) & DST_METADATA) /* of a tunnel that it came by: no route */
		dst = NULL;
	e->hooks = 0;
	e->outgoing = 0;
	/* What a bridge that asks iptables hands to its own host: the hook is the bridge's. */
	if (dst && dev && BPF_CORE_READ(dst, flags) & DST_FAKE_RTABLE &&
	    !BPF_CORE_READ(dev, rx_handler))
		return;
	if (e->captured >= IPV6_LEN || (e->captured >= IP_LEN && e->protocol == ETH_P_IP))
		e->hooks = dev && e->iif ? hooks_in(e, dev, dst) : hooks_out(e, dev, dst);
	if (e->hooks && dev)
		e->hooks |= hooks_of_device(dev, e->hooks);
	e->outgoing = dev && (!e->iif || e->dev != e->iif);
}

static void fill(struct drop_event *e, const struct sk_buff *skb)
{
	uint32_t network = BPF_CORE_READ(skb, network_header), mac = BPF_CORE_READ(skb, mac_header);
	uint32_t tail = BPF_CORE_READ(skb, tail);
	unsigned char *head = BPF_CORE_READ(skb, head);
	long data = BPF_CORE_READ(skb, data) - head;
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	uint64_t n = 0;

	e->protocol = __builtin_bswap16(BPF_CORE_READ(skb, protocol));
	e->dev = dev ? BPF_CORE_READ(dev, ifindex) : 0;
	e->iif = BPF_CORE_READ(skb, skb_iif);
	e->mark = BPF_CORE_READ(skb, mark);
	/* skb->len counts from `data`, which stands behind the header in a transport's hands. */
	e->len = BPF_CORE_READ(skb, len) + (uint32_t)(data - (long)network);
	__builtin_memset(e->mac, 0, sizeof(e->mac));
	if (network != NO_HEADER && tail > network)
		n = tail - network;
	asm volatile(
		""
		: "+r"(n)); /* the verifier must see the check on the very value that is used */
	if (n > EVENT_PACKET_MAX)
		n = EVENT_PACKET_MAX;
	if (n > 0 && bpf_probe_read_kernel(e->packet, n, head + network) < 0)
		n = 0;
	e->captured = n;
	if (e->iif && mac != NO_HEADER && mac + ETH_LEN <= network)
		bpf_probe_read_kernel(e->mac, sizeof(e->mac), head + mac + sizeof(e->mac));
	place(e, skb, dev);
}

/*
 * What conntrack says of it: a packet that this host has translated, and that died before its connection was confirmed, is
 * known by its first addresses to nobody else. What is only related to a connection (an ICMP error) has a tuple of its own, which
 * the worker tells by its protocol.
 */
static void track(struct drop_event *e, const struct sk_buff *skb)
{
	unsigned long nfct;
	struct nf_conn *ct;
	void *tuple;
	uint32_t info;

	e->tracked = EVENT_TRACKED_UNKNOWN;
	if (!bpf_core_type_exists(struct nf_conn) || !bpf_core_field_exists(skb->_nfct))
		return;
	nfct = BPF_CORE_READ(skb, _nfct);
	info = nfct & NFCT_INFO;
	ct = (struct nf_conn *)(nfct & ~(unsigned long)NFCT_INFO);
	if (!ct) {
		e->tracked = EVENT_NOT_TRACKED;
		return;
	}
	tuple = info >= IP_CT_IS_REPLY ? (void *)&ct->tuplehash[1].tuple
				       : (void *)&ct->tuplehash[0].tuple;
	if (bpf_probe_read_kernel(e->came, sizeof(e->came), tuple) == 0)
		e->tracked = EVENT_TRACKED;
}

static int take(const struct sk_buff *skb, uint32_t reason, const struct sock *rx_sk)
{
	struct net *net;
	struct drop_event *e;
	uint32_t inum, *host, slot;
	uint8_t *quiet;

	if (reason < EVENT_REASONS - 1) {
		quiet = bpf_map_lookup_elem(&noise, &reason);
		if (quiet && *quiet)
			return 0;
	}
	net = net_of(skb, rx_sk);
	if (!net)
		return 0;
	inum = BPF_CORE_READ(net, ns.inum);
	host = bpf_map_lookup_elem(&hosts, &inum);
	if (!host)
		return 0;
	slot = *host;
	e = bucket_pays() ? bpf_ringbuf_reserve(&events, sizeof(*e), 0) : NULL;
	if (!e) {
		count_excess(slot, reason);
		return 0;
	}
	e->kind = EVENT_DROP;
	e->host = slot;
	e->at = bpf_ktime_get_boot_ns();
	e->reason = reason;
	fill(e, skb);
	track(e, skb);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Kernels since 6.11 say which socket was to take it. */
SEC("tp_btf/kfree_skb")
int drop_with_socket(uint64_t *ctx)
{
	return take((const struct sk_buff *)ctx[0], (uint32_t)ctx[2], (const struct sock *)ctx[3]);
}

SEC("tp_btf/kfree_skb")
int drop(uint64_t *ctx)
{
	return take((const struct sk_buff *)ctx[0], (uint32_t)ctx[2], NULL);
}

char gpl[] SEC("license") = "GPL";
