/*
 * The text of one ipset, as `ipset save` prints it (agent/helper/README.md says what is left out), and the question whether a
 * packet is in it, asked as a rule's `-m set` asks the kernel. Pure: nothing here knows when a text stood.
 */
#pragma once

#include "common/table.h"

/* Lines beside `create` and `add`, in place of members or before them. */
#define IPSET_NOT_CAPTURED "# not captured: "
#define IPSET_RESTLESS "# changes by itself: "

/* The chain that a set's lines stand in, where its text is taken for a table. */
#define IPSET_CHAIN "members"

enum set_part { SET_IP, SET_NET, SET_PORT, SET_MAC, SET_IFACE, SET_MARK, SET_LIST };
enum { SET_PARTS_MAX = 3 };

struct set_entry {
	struct prefix nets[2]; /* IP and NET in their order */
	uint8_t proto;         /* PORT; 0: any */
	uint16_t port;
	bool nomatch, wildcard;
	bool vague; /* something that no packet of ours tells: a link address, a mark, a bridge's port */
	char iface[IFNAME_MAX + 1];
	char member[SET_NAME_MAX + 1]; /* LIST */
	const char *text;              /* its line; borrowed from the set */
	uint32_t len;
	uint32_t number; /* of its line, 1-based */
};

struct ipset {
	uint8_t family; /* 4, 6; 0: of both */
	uint8_t part_count;
	uint8_t parts[SET_PARTS_MAX]; /* enum set_part */
	uint8_t netmask;              /* of IP; 0: whole addresses */
	bool odd;                     /* of a type, or with options, that nobody here knows */
	char not_captured[128];       /* why it has no members here; "" it has */
	char restless[128]; /* why its members may be others a moment later; "" they are not */
	uint32_t count;
	struct set_entry *entries;
	char *text; /* owned */
};

/* The parts that an element of this type has ("hash:ip,port"). How many; 0: nobody here knows the type. */
uint8_t set_type_parse(const char *type, size_t len, uint8_t parts[static SET_PARTS_MAX]);
/* Parses text[0..len). 0, -EBADMSG for what is no set's text, -ENOMEM. */
int ipset_parse(struct ipset *s, const char *text, size_t len);
void ipset_clear(struct ipset *s);

/* What is known of a packet where a rule meets it. */
struct set_packet {
	struct tuple tuple;
	const char *in_if, *out_if; /* "" not known */
};

/* Finds a member of a list; NULL: it is not known. */
struct set_members {
	const struct ipset *(*find)(void *arg, const char *name);
	void *arg;
};

enum set_answer { SET_NO, SET_YES, SET_UNKNOWN };

/* What decided; NULL: nothing did. */
struct set_found {
	const struct set_entry *entry;
	const struct set_entry *list; /* the member of a list that it stands in */
};

/*
 * Does the match (`! --match-set` included) hold for the packet, if the set's members are exactly these? The kernel's way: too few
 * directions or another family match nothing; of nets the narrowest decides, which may say nomatch; of a list any member.
 * UNKNOWN: the packet or the text does not tell, or the match has options that ask for more.
 */
enum set_answer ipset_match(const struct ipset *s, const struct rule_set *use,
			    const struct set_packet *p, const struct set_members *members,
			    struct set_found *found);
