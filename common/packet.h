/*
 * The headers of one packet, decoded once from whatever a source captured of it. Pure; every byte is
 * the sender's and may be cut anywhere.
 */
#pragma once

#include "common/addr.h"

struct packet {
	struct tuple tuple;
	uint8_t ttl;          /* or hop limit */
	uint8_t ip_version;   /* 4 or 6 */
	uint16_t total_len;   /* of the IP packet, header included (IPv6: payload length + 40) */
	uint16_t ip_id, frag; /* IPv4: identification; flags and offset as on the wire */
	bool has_l4;          /* the transport header's fixed fields were captured */

	uint8_t tcp_flags; /* FIN 1, SYN 2, RST 4, PSH 8, ACK 16 ... */
	uint16_t tcp_window;
	uint32_t tcp_seq, tcp_ack;
	uint8_t icmp_type, icmp_code;
	uint16_t icmp_seq; /* bytes 6..7 of the ICMP header, whatever they mean */

	/*
	 * An ICMP error: what it embeds. inner_len etc. need 12 bytes of the embedded header, the tuple
	 * needs it whole with 4 bytes (8 for ICMP) of its payload.
	 */
	bool is_icmp_error, has_inner, has_inner_tuple;
	uint8_t inner_proto, inner_ttl;
	uint16_t inner_len, inner_id;
	struct tuple inner;

	uint64_t fp;      /* common/fingerprint.h; 0: none could be made */
	uint64_t fp_long; /* 0: the capture was too short */
};

/*
 * Decodes net[0..net_len) (from the IP header on) and, where the source delivers it apart, the
 * transport header th (NULL: it follows the network header in net). 0, or -EBADMSG with *p zeroed
 * when not even the addresses could be read.
 */
int packet_decode(struct packet *p, const uint8_t *net, size_t net_len, const uint8_t *th,
		  size_t th_len);

/* "SYN", "SYN ACK", "RST", "echo-request", "port-unreachable" ..., for people. */
void packet_kind(const struct packet *p, char text[static 32]);
