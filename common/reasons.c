/*
 * One table of all reasons. What a reason means was read where the kernel gives it; where one stands for several things
 * (IP_INHDR: header errors, and a TTL that ran out), the cause is left to who sees the packet.
 */
#include "common/reasons.h"

#include <string.h>

#include "common/names.h"

#define REASONS(X)                                                                                 \
	/* Deaths: rules. */                                                                       \
	X(NETFILTER_DROP, DROPPED, NULL, "a rule or policy dropped it")                            \
	/* Deaths: it arrived, and nobody was there. */                                            \
	X(NO_SOCKET, REFUSED, "not-listening", "no socket was there for it")                       \
	X(IP_NOPROTO, REFUSED, "not-listening", "nobody takes this protocol")                      \
	/* Deaths: routing. */                                                                     \
	X(IP_RPFILTER, DISCARDED, "rp-filter", "the reverse path filter: its source is not reached that way") \
	X(IP_INADDRERRORS, DISCARDED, NULL, "its destination cannot be reached from here")         \
	X(IP_INNOROUTES, DISCARDED, "no-route", "there is no route to its destination")            \
	X(IP_OUTNOROUTES, DISCARDED, "no-route", "there was no route for what this host sends")    \
	X(IP_INHDR, DISCARDED, NULL, "its IP header: wrong, or its TTL had run out")               \
	X(IP_LOCAL_SOURCE, DISCARDED, NULL, "its source is an address of this host")               \
	X(IP_INVALID_SOURCE, DISCARDED, NULL, "its source cannot be an address")                   \
	X(IP_INVALID_DEST, DISCARDED, NULL, "its destination cannot be an address")                \
	X(IP_LOCALNET, DISCARDED, NULL, "127.0.0.0/8 came from outside (route_localnet is off)")   \
	X(IPV6DISABLED, DISCARDED, NULL, "IPv6 is switched off there")                             \
	X(XFRM_POLICY, DISCARDED, NULL, "an IPsec policy did not let it pass")                     \
	X(PKT_TOO_BIG, DISCARDED, "mtu", "it is larger than the link takes, and may not be cut")   \
	X(FRAG_REASM_TIMEOUT, DISCARDED, NULL, "not all fragments came in time")                   \
	X(FRAG_TOO_FAR, DISCARDED, NULL, "too many other fragments came in between")               \
	/* Deaths: neighbours and links. */                                                        \
	X(NEIGH_CREATEFAIL, DISCARDED, "neighbor-unreachable", "no neighbour entry could be made (table full)") \
	X(NEIGH_FAILED, DISCARDED, "neighbor-unreachable", "its next hop does not answer on the link") \
	X(NEIGH_QUEUEFULL, DISCARDED, "neighbor-unreachable", "too much waits for its next hop to answer") \
	X(NEIGH_DEAD, DISCARDED, "neighbor-unreachable", "its next hop's entry was removed meanwhile") \
	X(NEIGH_HH_FILLFAIL, DISCARDED, NULL, "no link header could be made")                      \
	X(DEV_READY, DISCARDED, NULL, "the interface is down")                                     \
	X(DEV_HDR, DISCARDED, NULL, "no link header could be made")                                \
	X(NO_TX_TARGET, DISCARDED, NULL, "a tunnel or bridge knew nowhere to send it")             \
	X(BRIDGE_INGRESS_STP_STATE, DISCARDED, NULL, "the bridge port is not forwarding (STP)")    \
	X(ARP_PVLAN_DISABLE, DISCARDED, NULL, "proxy ARP for private VLANs is off")                \
	X(RECURSION_LIMIT, DISCARDED, NULL, "it went round between interfaces of this host")       \
	/* Deaths: full queues and buffers. */                                                     \
	X(QDISC_DROP, DISCARDED, "queue-overflow", "the interface's queue dropped it")             \
	X(QDISC_OVERLIMIT, DISCARDED, "queue-overflow", "the interface's queue was full")          \
	X(QDISC_CONGESTED, DISCARDED, "queue-overflow", "the interface's queue was congested")     \
	X(CAKE_FLOOD, DISCARDED, "queue-overflow", "the interface's queue took it for a flood")    \
	X(FQ_BAND_LIMIT, DISCARDED, "queue-overflow", "the interface's queue was full")            \
	X(FQ_HORIZON_LIMIT, DISCARDED, "queue-overflow", "it was to be sent too far in the future") \
	X(FQ_FLOW_LIMIT, DISCARDED, "queue-overflow", "its flow had too much in the interface's queue") \
	X(DUALPI2_STEP_DROP, DISCARDED, "queue-overflow", "the interface's queue dropped it")      \
	X(CPU_BACKLOG, DISCARDED, "queue-overflow", "a CPU had too much to receive")               \
	X(FULL_RING, DISCARDED, "queue-overflow", "a ring was full")                               \
	X(SOCKET_RCVBUFF, DISCARDED, "queue-overflow", "the socket's receive buffer was full")     \
	X(SOCKET_BACKLOG, DISCARDED, "queue-overflow", "the socket's backlog was full")            \
	X(TCP_LISTEN_OVERFLOW, DISCARDED, "queue-overflow", "the listening socket's queue was full") \
	X(PROTO_MEM, DISCARDED, "queue-overflow", "sockets may not use more memory")               \
	X(NOMEM, DISCARDED, NULL, "memory was out")                                                \
	X(PFMEMALLOC, DISCARDED, NULL, "memory was out")                                           \
	/* Deaths: what somebody decided outside netfilter. */                                     \
	X(SECURITY_HOOK, DISCARDED, NULL, "a security module refused it")                          \
	X(BPF_CGROUP_EGRESS, DISCARDED, NULL, "a BPF program of its cgroup dropped it")            \
	X(TC_INGRESS, DISCARDED, NULL, "traffic control dropped it at ingress")                    \
	X(TC_EGRESS, DISCARDED, NULL, "traffic control dropped it at egress")                      \
	X(TC_COOKIE_ERROR, DISCARDED, NULL, "traffic control failed")                              \
	X(TC_CHAIN_NOTFOUND, DISCARDED, NULL, "traffic control has no such chain")                 \
	X(TC_RECLASSIFY_LOOP, DISCARDED, NULL, "traffic control went round")                       \
	X(XDP, DISCARDED, NULL, "an XDP program dropped it")                                       \
	X(TCP_MINTTL, DISCARDED, NULL, "its TTL is below what the socket asks for (GTSM)")         \
	X(TCP_AUTH_HDR, DISCARDED, NULL, "its TCP authentication header is wrong")                 \
	X(TCP_MD5NOTFOUND, DISCARDED, NULL, "it has no TCP MD5 signature")                         \
	X(TCP_MD5UNEXPECTED, DISCARDED, NULL, "its TCP MD5 signature was not expected")            \
	X(TCP_MD5FAILURE, DISCARDED, NULL, "its TCP MD5 signature is wrong")                       \
	X(TCP_AONOTFOUND, DISCARDED, NULL, "it has no TCP-AO signature")                           \
	X(TCP_AOUNEXPECTED, DISCARDED, NULL, "its TCP-AO signature was not expected")              \
	X(TCP_AOKEYNOTFOUND, DISCARDED, NULL, "its TCP-AO key is not known")                       \
	X(TCP_AOFAILURE, DISCARDED, NULL, "its TCP-AO signature is wrong")                         \
	X(PSP_INPUT, DISCARDED, NULL, "PSP refused it")                                            \
	X(PSP_OUTPUT, DISCARDED, NULL, "PSP refused it")                                           \
	/* Deaths: broken packets. */                                                              \
	X(PKT_TOO_SMALL, DISCARDED, NULL, "it is shorter than its headers")                        \
	X(HDR_TRUNC, DISCARDED, NULL, "its headers are cut")                                       \
	X(TCP_CSUM, DISCARDED, NULL, "its TCP checksum is wrong")                                  \
	X(UDP_CSUM, DISCARDED, NULL, "its UDP checksum is wrong")                                  \
	X(ICMP_CSUM, DISCARDED, NULL, "its ICMP checksum is wrong")                                \
	X(IP_CSUM, DISCARDED, NULL, "its IP checksum is wrong")                                    \
	X(SKB_CSUM, DISCARDED, NULL, "its checksum could not be made")                             \
	X(SKB_GSO_SEG, DISCARDED, NULL, "it could not be cut into segments")                       \
	X(INVALID_PROTO, DISCARDED, NULL, "its protocol is not valid there")                       \
	X(IPV6_BAD_EXTHDR, DISCARDED, NULL, "its IPv6 extension headers are wrong")                \
	X(IPV6_NDISC_FRAG, DISCARDED, NULL, "neighbour discovery must not be fragmented")          \
	X(IPV6_NDISC_HOP_LIMIT, DISCARDED, NULL, "neighbour discovery came from another link")     \
	X(IPV6_NDISC_BAD_CODE, DISCARDED, NULL, "its neighbour discovery code is wrong")           \
	X(IPV6_NDISC_BAD_OPTIONS, DISCARDED, NULL, "its neighbour discovery options are wrong")    \
	X(VXLAN_INVALID_HDR, DISCARDED, NULL, "its VXLAN header is wrong")                         \
	X(VXLAN_VNI_NOT_FOUND, DISCARDED, NULL, "no VXLAN interface has its number")               \
	X(IP_TUNNEL_ECN, DISCARDED, NULL, "its tunnel's ECN bits contradict each other")           \
	X(TUNNEL_TXINFO, DISCARDED, NULL, "the tunnel was told nowhere to send it")                \
	X(MAC_INVALID_SOURCE, DISCARDED, NULL, "its frame's source cannot be an address")          \
	/* Something else decided, or it is a copy. */                                             \
	X(SOCKET_CLOSE, CONSEQUENCE, NULL, "its socket was closed")                                \
	X(SOCKET_FILTER, CONSEQUENCE, NULL, "a socket's own filter did not want it")               \
	X(QUEUE_PURGE, CONSEQUENCE, NULL, "its queue was emptied")                                 \
	X(TCP_CLOSE, CONSEQUENCE, NULL, "its connection was closed")                               \
	X(TCP_ABORT_ON_DATA, CONSEQUENCE, NULL, "data came after the socket was closed")           \
	X(TCP_OFO_QUEUE_PRUNE, CONSEQUENCE, NULL, "memory was out: it will be sent again")         \
	X(TCP_OFO_DROP, CONSEQUENCE, NULL, "memory was out: it will be sent again")                \
	X(TCP_RFC7323_PAWS, CONSEQUENCE, NULL, "its TCP timestamp is older than the last one")     \
	X(TCP_RFC7323_TW_PAWS, CONSEQUENCE, NULL, "its TCP timestamp is older than the last one")  \
	X(TCP_RFC7323_TSECR, CONSEQUENCE, NULL, "it echoes a TCP timestamp that was never sent")   \
	X(TCP_FLAGS, CONSEQUENCE, NULL, "its TCP flags do not fit the connection's state")         \
	X(TCP_INVALID_SYN, CONSEQUENCE, NULL, "a SYN within a connection")                         \
	X(TCP_INVALID_SEQUENCE, CONSEQUENCE, NULL, "its TCP sequence is outside the window")       \
	X(TCP_INVALID_END_SEQUENCE, CONSEQUENCE, NULL, "its TCP sequence ends outside the window") \
	X(TCP_INVALID_ACK_SEQUENCE, CONSEQUENCE, NULL, "it acknowledges what was never sent")      \
	X(TCP_ACK_UNSENT_DATA, CONSEQUENCE, NULL, "it acknowledges what was never sent")           \
	X(TCP_OVERWINDOW, CONSEQUENCE, NULL, "it is beyond the receive window")                    \
	X(TCP_FASTOPEN, CONSEQUENCE, NULL, "it lost a race of TCP fast open")                      \
	X(PACKET_SOCK_ERROR, CONSEQUENCE, NULL, "a packet socket could not take a copy")           \
	X(SKB_UCOPY_FAULT, CONSEQUENCE, NULL, "a program's buffer could not be read")              \
	X(DUP_FRAG, CONSEQUENCE, NULL, "the fragment came twice")                                  \
	/* Nobody misses these. */                                                                 \
	X(CONSUMED, NOISE, NULL, "it was not dropped")                                             \
	X(NOT_DROPPED_YET, NOISE, NULL, "it was not dropped")                                      \
	X(OTHERHOST, NOISE, NULL, "its frame was for another host")                                \
	X(UNICAST_IN_L2_MULTICAST, NOISE, NULL, "a unicast packet in a multicast frame")           \
	X(UNHANDLED_PROTO, NOISE, NULL, "no protocol takes such frames")                           \
	X(UNIX_DISCONNECT, NOISE, NULL, "not of the network")                                      \
	X(UNIX_SKIP_OOB, NOISE, NULL, "not of the network")                                        \
	X(TCP_ZEROWINDOW, NOISE, NULL, "it came while the window was closed: it will be sent again") \
	X(TCP_OLD_DATA, NOISE, NULL, "its data had come before")                                   \
	X(TCP_OLD_SEQUENCE, NOISE, NULL, "its data had come before")                               \
	X(TCP_OLD_ACK, NOISE, NULL, "an acknowledgement that says nothing new")                    \
	X(TCP_TOO_OLD_ACK, NOISE, NULL, "an acknowledgement that says nothing new")                \
	X(TCP_OFOMERGE, NOISE, NULL, "its data had come before")                                   \
	X(TCP_RFC7323_PAWS_ACK, NOISE, NULL, "an acknowledgement that says nothing new")           \
	X(TCP_RESET, NOISE, NULL, "a reset that was taken")                                        \
	X(TAP_FILTER, NOISE, NULL, "a tap's filter did not want a copy")                           \
	X(TAP_TXFILTER, NOISE, NULL, "a tap's filter did not want a copy")                         \
	X(IPV6_NDISC_NS_OTHERHOST, NOISE, NULL, "neighbour discovery for another host")            \
	X(LOCAL_MAC, NOISE, NULL, "a VXLAN packet of our own")                                     \
	X(VXLAN_ENTRY_EXISTS, NOISE, NULL, "learnt already")                                       \
	X(MAC_IEEE_MAC_CONTROL, NOISE, NULL, "a frame that bridges do not pass on")                \
	X(CAN_RX_INVALID_FRAME, NOISE, NULL, "not of the network")                                 \
	X(CANFD_RX_INVALID_FRAME, NOISE, NULL, "not of the network")                               \
	X(CANXL_RX_INVALID_FRAME, NOISE, NULL, "not of the network")                               \
	/* The kernel does not say. */                                                             \
	X(NOT_SPECIFIED, UNTOLD, NULL, "the kernel gives no reason")

static const struct reason reasons[] = {
#define X(name, class, cause, text) { #name, REASON_##class, cause, text },
	REASONS(X)
#undef X
};

enum { COUNT = sizeof(reasons) / sizeof(reasons[0]) };

NAMES(reason_class_name, enum reason_class, REASON_CLASSES)

const struct reason *reason_find(const char *name)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (strcmp(reasons[i].name, name) == 0)
			return &reasons[i];
	}
	return NULL;
}
