#include "collector/diagnose/reset.h"

#include <netinet/in.h>

#include "collector/diagnose/cause_piece.h"
#include "collector/diagnose/ends.h"

static bool is_forged(const struct inquiry *q, const struct path *p)
{
	const struct journey *j = path_packet(p);

	return j->tuples[0].proto == IPPROTO_TCP && (j->tcp_flags & TCP_RST) &&
	       hop_first_hook(&p->hops[0]) == HOOK_OUTPUT && path_first(p).v <= q->ask->until.v &&
	       path_last(p).v >= q->ask->since.v;
}

static bool sent_before(const struct inquiry *q, const struct conversation *c, size_t number)
{
	for (size_t i = 0; i < number; i++) {
		if (c->answers[i]->hops[0].sj->host == c->answers[number]->hops[0].sj->host &&
		    is_forged(q, c->answers[i]))
			return true;
	}
	return false;
}

/* A REJECT there made it, though another packet's end decided. */
static bool is_of_reject(const struct ruling *r, uint64_t host)
{
	for (size_t i = 0; i < r->fate_count; i++) {
		if (r->fates[i].verdict == VERDICT_REJECTED && r->fates[i].hop->sj->host == host)
			return true;
	}
	return false;
}

void reset_causes(json_t *causes, const struct inquiry *q, const struct ruling *r)
{
	const struct conversation *c = r->conv;

	for (size_t i = 0; i < c->answer_count; i++) {
		const struct path *p = c->answers[i];
		const struct hop *first = &p->hops[0];
		const char *host = hop_host_id(q, first);
		char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];
		json_t *evidence;

		if (!is_forged(q, p) || sent_before(q, c, i) || is_of_reject(r, first->sj->host))
			continue;
		addr_print(&hop_tuple_in(first)->src, src);
		addr_print(&hop_tuple_in(first)->dst, dst);
		evidence = cause_add(
			causes, "reject",
			"%s sent %s a reset in the name of %s: the connection ends by that", host,
			dst, src);
		cause_evidence(evidence,
			       "it left the OUTPUT of %s, which does not have the address %s", host,
			       src);
		cause_evidence(
			evidence,
			"no rule that was seen rejected a packet there: a program may have made it");
	}
}
