/*
 * Any bytes as one message of the kernel's list of an ipset; its header is libmnl's to read. What is made of them must be a set's text to the collector, and the digest must not
 * depend on whether a text was wanted.
 */
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "agent/helper/setread.h"
#include "common/ipset.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static uint8_t messages[8 << 10] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = (void *)messages;
	static struct setread r;
	struct setnames names = { .count = 0 };
	struct setname name = { .name = "s" };
	struct setinfo info, again;
	struct ipset s;
	struct buf text;

	if (!r.starts)
		must(setread_open(&r) == 0);
	if (len > sizeof(messages))
		len = sizeof(messages);
	if (len < sizeof(*nlh) + 4)
		return 0;
	memcpy(messages, p, len);
	nlh->nlmsg_len = (uint32_t)len;
	nlh->nlmsg_type = NFNL_SUBSYS_IPSET << 8;
	buf_init(&text, 1 << 20);
	if (setread_parse(&r, &name, messages, len, &info, &names, &text) == 0) {
		must(ipset_parse(&s, (const char *)text.p, text.len) == 0);
		ipset_clear(&s);
		must(setread_parse(&r, &name, messages, len, &again, &names, NULL) == 0);
		must(again.digest == info.digest);
	}
	buf_clear(&text);
	return 0;
}
