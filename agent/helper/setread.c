/*
 * Not in the text, since it changes without anybody's doing: hashsize and initval of a set, the remaining timeout, packets and
 * bytes of an entry. Entries stand in the order of their text, since the kernel's is that of its hash.
 */
#include "agent/helper/setread.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/ipset.h"

enum {
	PROTOCOL = 6, /* what every kernel with ip_set speaks */
	ATTRS = IPSET_ATTR_ADT_MAX + 1,
	LINE_MAX_BYTES = 1024,
	ENTRY_BYTES_MAX = 1024,
	LINES_BYTES_MAX = IPSETS_BYTES_MAX,
};

/* Why a set's members are not captured. */
static const char too_many[] = "more than 65536 entries";
static const char too_large[] = "its text is too large";
static const char type_unknown[] = "its type is not known";
static const char entry_unknown[] = "it has entries of a kind that is not known";

/* One reading. */
struct taking {
	struct setread *r;
	const struct setname *name;
	struct setinfo *out;
	struct setnames *names;
	bool wants_text, headed;
	char create[LINE_MAX_BYTES];
	uint8_t parts[SET_PARTS_MAX], part_count;
	bool ports_alone; /* without protocol */
	uint32_t count;
	const char *refused; /* why its members are not captured; NULL: they are */
	bool over;           /* found without a text, so that the digest is of that */
};

struct line {
	char p[LINE_MAX_BYTES];
	size_t len;
	bool cut;
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->p + l->len, sizeof(l->p) - l->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(l->p) - l->len) {
		l->p[l->len] = '\0';
		l->cut = true;
	} else {
		l->len += (size_t)n;
	}
}

/* What would end a word, a quoted text or a line becomes a question mark. */
static void put_name(struct line *l, const char *text, bool blanks)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		put(l, "%c", c < 0x20 || c == 0x7f || c == '"' || (c == ' ' && !blanks) ? '?' : c);
	}
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

/* False: one that nobody here knows. */
static bool attrs_of(const struct nlattr *nest, const struct nlattr *list[static ATTRS])
{
	const struct nlattr *a;
	bool known = true;

	memset(list, 0, ATTRS * sizeof(*list));
	mnl_attr_for_each_nested(a, nest) {
		uint16_t type = mnl_attr_get_type(a);

		if (type < ATTRS)
			list[type] = a;
		else
			known = false;
	}
	return known;
}

static bool number(uint64_t *n, const struct nlattr *a)
{
	*n = 0;
	if (!a)
		return false;
	switch (mnl_attr_get_payload_len(a)) {
	case 1:
		*n = mnl_attr_get_u8(a);
		return true;
	case 2:
		*n = be16toh(mnl_attr_get_u16(a));
		return true;
	case 4:
		*n = be32toh(mnl_attr_get_u32(a));
		return true;
	case 8:
		*n = be64toh(mnl_attr_get_u64(a));
		return true;
	}
	return false;
}

static const char *text_of(const struct nlattr *a)
{
	return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 ? mnl_attr_get_str(a) : NULL;
}

static bool address(struct addr *to, const struct nlattr *nest)
{
	const struct nlattr *a;

	*to = (struct addr){ .family = 0 };
	if (!nest)
		return false;
	mnl_attr_for_each_nested(a, nest) {
		uint16_t type = mnl_attr_get_type(a);
		size_t len = mnl_attr_get_payload_len(a);

		if ((type == IPSET_ATTR_IPADDR_IPV4 && len == 4) ||
		    (type == IPSET_ATTR_IPADDR_IPV6 && len == 16)) {
			to->family = type == IPSET_ATTR_IPADDR_IPV4 ? 4 : 6;
			memcpy(to->b, mnl_attr_get_payload(a), len);
		}
	}
	return to->family != 0;
}

/* --- create ------------------------------------------------------------------------------------------------------- */

static void put_number(struct line *l, const char *word, const struct nlattr *a)
{
	uint64_t n;

	if (number(&n, a))
		put(l, " %s %" PRIu64, word, n);
}

static void put_range(struct line *l, const struct nlattr *const list[static ATTRS])
{
	char from_text[ADDR_TEXT_MAX], to_text[ADDR_TEXT_MAX];
	struct addr from, to;
	uint64_t low, high;

	if (address(&from, list[IPSET_ATTR_IP]) && address(&to, list[IPSET_ATTR_IP_TO])) {
		addr_print(&from, from_text);
		addr_print(&to, to_text);
		put(l, " range %s-%s", from_text, to_text);
	} else if (number(&low, list[IPSET_ATTR_PORT]) && number(&high, list[IPSET_ATTR_PORT_TO])) {
		put(l, " range %" PRIu64 "-%" PRIu64, low, high);
	}
}

static void refuse(struct taking *t, const char *why)
{
	t->refused = why;
	t->over = true;
}

static void put_create(struct taking *t, const char *type, const struct nlattr *nest)
{
	const struct nlattr *list[ATTRS];
	struct line l = { .len = 0 };
	uint64_t flags, n;

	/* One more is a bitmask: it stands among those of the commands, behind MARKMASK. */
	(void)attrs_of(nest, list);
	put(&l, "create ");
	put_name(&l, t->name->name, false);
	put(&l, " ");
	put_name(&l, type[0] ? type : "-", false);
	if (strncmp(type, "hash:", 5) == 0 && t->out->family != FAMILY_NONE)
		put(&l, " family %s", t->out->family == FAMILY_IPV6 ? "inet6" : "inet");
	put_range(&l, list);
	put_number(&l, "maxelem", list[IPSET_ATTR_MAXELEM]);
	put_number(&l, "size", list[IPSET_ATTR_SIZE]);
	put_number(&l, "netmask", list[IPSET_ATTR_NETMASK]);
	if (list[IPSET_ATTR_MARKMASK + 1])
		put(&l, " bitmask");
	if (number(&n, list[IPSET_ATTR_MARKMASK]))
		put(&l, " markmask 0x%08" PRIx64, n);
	put_number(&l, "timeout", list[IPSET_ATTR_TIMEOUT]);
	t->out->timeouts = list[IPSET_ATTR_TIMEOUT] != NULL;
	(void)number(&flags, list[IPSET_ATTR_CADT_FLAGS]);
	if (flags & IPSET_FLAG_WITH_COUNTERS)
		put(&l, " counters");
	if (flags & IPSET_FLAG_WITH_COMMENT)
		put(&l, " comment");
	if (flags & IPSET_FLAG_WITH_SKBINFO)
		put(&l, " skbinfo");
	if (flags & IPSET_FLAG_WITH_FORCEADD)
		put(&l, " forceadd");
	put_number(&l, "bucketsize", list[IPSET_ATTR_BUCKETSIZE]);
	memcpy(t->create, l.p, l.len + 1);
	t->out->digest += XXH3_64bits(l.p, l.len);
	if (number(&n, list[IPSET_ATTR_ELEMENTS]) && n > IPSET_ENTRIES_MAX)
		refuse(t, too_many);
}

static enum family family_of(const struct nlattr *a)
{
	uint64_t n;

	(void)number(&n, a);
	return n == NFPROTO_IPV4 ? FAMILY_IPV4 : n == NFPROTO_IPV6 ? FAMILY_IPV6 : FAMILY_NONE;
}

static void take_header(struct taking *t, const struct nlattr *family, const char *type,
			const struct nlattr *data)
{
	t->headed = true;
	t->out->family = family_of(family);
	t->part_count = set_type_parse(type, strlen(type), t->parts);
	t->ports_alone = strncmp(type, "bitmap:port", 11) == 0;
	put_create(t, type, data);
	if (t->part_count == 0)
		refuse(t, type_unknown);
	else
		t->out->is_list = t->parts[0] == SET_LIST;
}

/* --- add ---------------------------------------------------------------------------------------------------------- */

static bool put_address(struct line *l, const struct nlattr *nest, const struct nlattr *cidr)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;
	uint64_t bits;

	if (!address(&a, nest))
		return false;
	addr_print(&a, text);
	put(l, "%s", text);
	if (number(&bits, cidr) && bits != (a.family == 4 ? 32u : 128u))
		put(l, "/%" PRIu64, bits);
	return true;
}

static bool put_port(struct line *l, const struct taking *t,
		     const struct nlattr *const list[static ATTRS])
{
	uint64_t proto, port;
	char name[4];

	if (!number(&port, list[IPSET_ATTR_PORT]))
		return false;
	if (!t->ports_alone) {
		if (!number(&proto, list[IPSET_ATTR_PROTO]) || proto > UINT8_MAX)
			return false;
		put(l, "%s:", proto_name((uint8_t)proto, name));
		if (proto_is_icmp((uint8_t)proto)) {
			put(l, "%" PRIu64 "/%" PRIu64, port >> 8, port & 255);
			return true;
		}
	}
	put(l, "%" PRIu64, port);
	return true;
}

static bool put_ether(struct line *l, const struct nlattr *a)
{
	const uint8_t *b;

	if (!a || mnl_attr_get_payload_len(a) < 6)
		return false;
	b = mnl_attr_get_payload(a);
	put(l, "%02X:%02X:%02X:%02X:%02X:%02X", b[0], b[1], b[2], b[3], b[4], b[5]);
	return true;
}

static bool put_part(struct line *l, struct taking *t, uint8_t i, int *nets, uint64_t flags,
		     const struct nlattr *const list[static ATTRS])
{
	bool second = *nets > 0;
	const char *name;
	uint64_t mark;

	switch ((enum set_part)t->parts[i]) {
	case SET_IP:
	case SET_NET:
		(*nets)++;
		return put_address(l, list[second ? IPSET_ATTR_IP2 : IPSET_ATTR_IP],
				   t->parts[i] == SET_IP ? NULL
				   : second              ? list[IPSET_ATTR_CIDR2]
							 : list[IPSET_ATTR_CIDR]);
	case SET_PORT:
		return put_port(l, t, list);
	case SET_MAC:
		return put_ether(l, list[IPSET_ATTR_ETHER]);
	case SET_MARK:
		if (!number(&mark, list[IPSET_ATTR_MARK]))
			return false;
		put(l, "0x%08" PRIx64, mark);
		return true;
	case SET_IFACE:
	case SET_LIST:
		name = text_of(list[t->parts[i] == SET_IFACE ? IPSET_ATTR_IFACE : IPSET_ATTR_NAME]);
		if (!name)
			return false;
		put(l, "%s",
		    t->parts[i] == SET_IFACE && (flags & IPSET_FLAG_PHYSDEV) ? "physdev:" : "");
		put_name(l, name, false);
		return true;
	}
	return false;
}

static void put_extensions(struct line *l, uint64_t flags,
			   const struct nlattr *const list[static ATTRS])
{
	const char *comment = text_of(list[IPSET_ATTR_COMMENT]);
	uint64_t n;

	if (flags & IPSET_FLAG_NOMATCH)
		put(l, " nomatch");
	if (comment) {
		put(l, " comment \"");
		put_name(l, comment, true);
		put(l, "\"");
	}
	if (number(&n, list[IPSET_ATTR_SKBMARK])) {
		put(l, " skbmark 0x%x", (uint32_t)(n >> 32));
		if ((uint32_t)n != UINT32_MAX)
			put(l, "/0x%x", (uint32_t)n);
	}
	if (number(&n, list[IPSET_ATTR_SKBPRIO]))
		put(l, " skbprio %x:%x", (uint32_t)(n >> 16), (uint32_t)(n & UINT16_MAX));
	put_number(l, "skbqueue", list[IPSET_ATTR_SKBQUEUE]);
	if (flags & IPSET_FLAG_IFACE_WILDCARD)
		put(l, " wildcard");
}

/* False: there is something in it that nobody here knows. */
static bool put_entry(struct taking *t, const struct nlattr *nest)
{
	const struct nlattr *list[ATTRS];
	struct line l = { .len = 0 };
	uint64_t flags;
	int nets = 0;

	if (!attrs_of(nest, list))
		return false;
	(void)number(&flags, list[IPSET_ATTR_CADT_FLAGS]);
	put(&l, "add ");
	put_name(&l, t->name->name, false);
	put(&l, " ");
	for (uint8_t i = 0; i < t->part_count; i++) {
		/* bitmap:ip,mac: an address that waits for its first packet. */
		if (i > 0 && t->parts[i] == SET_MAC && !list[IPSET_ATTR_ETHER])
			continue;
		if (i > 0)
			put(&l, ",");
		if (!put_part(&l, t, i, &nets, flags, list))
			return false;
	}
	put_extensions(&l, flags, list);
	put(&l, "\n");
	if (l.cut)
		return false;
	t->r->starts[t->count] = (uint32_t)t->r->lines.len;
	if (buf_add(&t->r->lines, l.p, l.len + 1) < 0) /* with its NUL, to be compared by */
		t->refused = too_large;
	return true;
}

/* What changes by itself is left out. */
static bool digest_entry(struct taking *t, const struct nlattr *nest)
{
	uint8_t bytes[ENTRY_BYTES_MAX];
	const struct nlattr *a;
	size_t len = 0;

	mnl_attr_for_each_nested(a, nest) {
		uint16_t type = mnl_attr_get_type(a);
		size_t n = mnl_attr_get_payload_len(a);

		if (type == IPSET_ATTR_TIMEOUT || type == IPSET_ATTR_BYTES ||
		    type == IPSET_ATTR_PACKETS)
			continue;
		if (n + 3 > sizeof(bytes) - len)
			return false;
		bytes[len++] = (uint8_t)type;
		bytes[len++] = (uint8_t)n;
		bytes[len++] = (uint8_t)(n >> 8);
		memcpy(bytes + len, mnl_attr_get_payload(a), n);
		len += n;
	}
	t->out->digest += XXH3_64bits(bytes, len) | 1;
	return true;
}

static void take_member(struct taking *t, const struct nlattr *nest)
{
	const struct nlattr *list[ATTRS];
	const char *name;

	(void)attrs_of(nest, list);
	name = text_of(list[IPSET_ATTR_NAME]);
	if (name && name[0] && strlen(name) <= SET_NAME_MAX)
		setnames_add(t->names, name, t->name->fed);
}

static void take_entries(struct taking *t, const struct nlattr *adt)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, adt) {
		if (t->over)
			return;
		if (t->count == IPSET_ENTRIES_MAX)
			refuse(t, too_many);
		else if (!digest_entry(t, a))
			refuse(t, entry_unknown);
		else if (t->wants_text && !t->refused && !put_entry(t, a))
			t->refused = entry_unknown;
		if (t->part_count && t->parts[0] == SET_LIST)
			take_member(t, a);
		t->count++;
	}
}

static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *a, *family = NULL, *data = NULL, *adt = NULL;
	struct taking *t = arg;
	const char *type = NULL;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		switch (mnl_attr_get_type(a)) {
		case IPSET_ATTR_TYPENAME:
			type = text_of(a);
			break;
		case IPSET_ATTR_FAMILY:
			family = a;
			break;
		case IPSET_ATTR_DATA:
			data = a;
			break;
		case IPSET_ATTR_ADT:
			adt = a;
			break;
		}
	}
	if (type && data && !t->headed)
		take_header(t, family, type, data);
	if (adt && t->headed)
		take_entries(t, adt);
	/* What is too much is not waited for: the kernel makes its answer as it is read. */
	return t->over ? MNL_CB_ERROR : MNL_CB_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b, void *lines)
{
	return strverscmp((const char *)lines + *(const uint32_t *)a,
			  (const char *)lines + *(const uint32_t *)b);
}

static int write_text(const struct taking *t, const char *note, struct buf *text)
{
	int r = buf_addf(text, "%s\n", t->create);

	if (r == 0 && note)
		r = buf_addf(text, "%s\n", note);
	if (r == 0 && t->refused)
		return buf_addf(text, "%s%s\n", IPSET_NOT_CAPTURED, t->refused);
	/* Which member of a list comes first matters to its owner. */
	if (t->parts[0] != SET_LIST)
		qsort_r(t->r->starts, t->count, sizeof(*t->r->starts), by_text, t->r->lines.p);
	for (uint32_t i = 0; r == 0 && i < t->count; i++) {
		const char *line = (const char *)t->r->lines.p + t->r->starts[i];

		r = buf_add(text, line, strlen(line));
	}
	return r;
}

static int ask(struct taking *t)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = nfttalk_message(&t->r->talk, room, 0, NLM_F_DUMP | NLM_F_ACK, 0);
	int r;

	nlh->nlmsg_type = NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST;
	mnl_attr_put_u8(nlh, IPSET_ATTR_PROTOCOL, PROTOCOL);
	mnl_attr_put_strz(nlh, IPSET_ATTR_SETNAME, t->name->name);
	r = nfttalk_ask(&t->r->talk, nlh, on_message, t);
	if (r != -ECANCELED || !t->over)
		return r;
	/* What is left of the answer must not be read as the next. */
	nfttalk_close(&t->r->talk);
	return nfttalk_open(&t->r->talk);
}

int setread_open(struct setread *r)
{
	*r = (struct setread){ .talk.sock = -1 };
	buf_init(&r->lines, LINES_BYTES_MAX);
	r->starts = malloc(IPSET_ENTRIES_MAX * sizeof(*r->starts));
	if (!r->starts)
		return -ENOMEM;
	return nfttalk_open(&r->talk);
}

void setread_close(struct setread *r)
{
	nfttalk_close(&r->talk);
	free(r->starts);
	r->starts = NULL;
	buf_clear(&r->lines);
}

/* What the messages told. */
static int finish(struct taking *t, const char *note, struct buf *text)
{
	if (!t->headed)
		return -ENOENT;
	if (t->over) /* how many more there are changes nothing */
		t->out->digest = XXH3_64bits(t->create, strlen(t->create)) ^
				 XXH3_64bits(t->refused, strlen(t->refused));
	t->out->digest |= UINT64_C(1) << 63;
	return text ? write_text(t, note, text) : 0;
}

int setread_take(struct setread *r, const struct setname *name, struct setinfo *out,
		 struct setnames *names, const char *note, struct buf *text)
{
	struct setname copy = *name; /* names may grow under it */
	struct taking t = {
		.r = r, .name = &copy, .out = out, .names = names, .wants_text = text != NULL
	};
	int ret;

	*out = (struct setinfo){ .family = FAMILY_NONE };
	r->lines.len = 0;
	ret = ask(&t);
	return ret < 0 ? ret : finish(&t, note, text);
}

int setread_parse(struct setread *r, const struct setname *name, const void *messages, size_t len,
		  struct setinfo *out, struct setnames *names, struct buf *text)
{
	struct taking t = {
		.r = r, .name = name, .out = out, .names = names, .wants_text = text != NULL
	};

	*out = (struct setinfo){ .family = FAMILY_NONE };
	r->lines.len = 0;
	if (mnl_cb_run(messages, len, 0, 0, on_message, &t) < 0 && !t.over)
		return -EBADMSG;
	return finish(&t, NULL, text);
}
