/*
 * Packets whose way is known go through four NATs (two sites with equal private addresses, a carrier's gateway, a DNAT), and
 * each host tells what it saw of them. Links that paths_join makes are compared with the truth: of those it is not in doubt
 * about, at least 99.99 % must be right, and at least 97 % of all must be among them. Nothing here uses fingerprint.c: the hash
 * below is over what a packet carries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/path.h"

enum {
	RUNS = 5,
	PACKETS = 20000, /* of a run */
	HOPS = 5,
	FLOWS = 1500,
	CLIENTS = 20,   /* of a site */
	HOST_NAT = 100, /* of site s: HOST_NAT + s */
	HOST_CARRIER = 110,
	HOST_DNAT = 120,
	HOST_SERVER = 130,
};

enum kind { TCP_DATA, UDP_DATA, UDP_EQUAL, PING, DNS_AGAIN };

struct replay {
	uint64_t rng;
	struct stored_journey *list;
	uint64_t *packet;   /* by row: which packet this is */
	uint8_t *place;     /* by row: where on its way */
	bool (*seen)[HOPS]; /* by packet */
	struct step *steps;
	size_t count, packets;
	unsigned int remove_percent, neighbours_percent;
	int64_t skew[200]; /* what is left of each host's offset */
};

struct numbers {
	size_t truth, told, right, doubted;
};

static uint64_t rnd(struct replay *r)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return r->rng;
}

static uint64_t below(struct replay *r, uint64_t n)
{
	return (rnd(r) >> 11) % n;
}

static uint64_t mixed(uint64_t h, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		h = (h ^ (v >> (8 * i) & 0xff)) * UINT64_C(1099511628211);
	return h;
}

static struct addr ip(unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
	return (struct addr){ .family = 4,
			      .b = { (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d } };
}

/* A flow's tuples between its hosts, as the request has them. */
struct way {
	uint64_t host[HOPS];
	struct tuple at[HOPS + 1]; /* at[i]: as it comes to host i */
	enum kind kind;
	bool long_known;
	uint64_t contents;
};

static void way_make(struct replay *r, struct way *w, unsigned int number, bool twin)
{
	unsigned int site = number & 1;
	unsigned int client = (unsigned int)below(r, CLIENTS);
	uint16_t sport = (uint16_t)(40000 + below(r, 50)); /* clients collide often */
	static const uint8_t protos[] = { 6, 17, 17, 1, 17 };
	struct tuple t;

	if (!twin) {
		uint64_t dice = below(r, 100);

		w->kind = dice < 55   ? TCP_DATA
			  : dice < 75 ? UDP_DATA
			  : dice < 83 ? UDP_EQUAL
			  : dice < 91 ? PING
				      : DNS_AGAIN;
		w->long_known = w->kind == TCP_DATA && below(r, 2);
		w->contents = rnd(r);
		t = (struct tuple){ ip(10, 0, 0, 10 + client), ip(203, 0, 113, 9), sport,
				    w->kind == PING ? 8 : 80, protos[w->kind] };
	} else { /* the same addresses, contents and time at the other site */
		t = w->at[0];
		client = t.src.b[3] - 10u;
	}
	w->host[0] = 1 + site * CLIENTS + client;
	w->host[1] = HOST_NAT + site;
	w->host[2] = HOST_CARRIER;
	w->host[3] = HOST_DNAT;
	w->host[4] = HOST_SERVER;
	w->at[0] = w->at[1] = t;
	t.src = ip(100, 64, 0, 1 + site);
	t.sport = (uint16_t)(1024 + number * 7 % 60000);
	w->at[2] = t;
	t.src = ip(198, 51, 100, 1);
	t.sport = (uint16_t)(1024 + number * 11 % 60000);
	w->at[3] = t;
	t.dst = ip(10, 0, 0, 80); /* as at the sites */
	w->at[4] = w->at[5] = t;
}

/* Another client of the same site says the same, by the same port: the gateway gives it one of its own. */
static void way_make_neighbour(struct replay *r, struct way *w, unsigned int number)
{
	unsigned int client =
		(w->at[0].src.b[3] - 10u + 1 + (unsigned int)below(r, CLIENTS - 1)) % CLIENTS;
	unsigned int site = w->host[1] - HOST_NAT;

	w->host[0] = 1 + site * CLIENTS + client;
	w->at[0].src = w->at[1].src = ip(10, 0, 0, 10 + client);
	w->at[2].sport = (uint16_t)(1024 + number * 7 % 60000);
	w->at[3].sport = w->at[4].sport = w->at[5].sport = (uint16_t)(1024 + number * 11 % 60000);
}

static void hop_tell(struct replay *r, const struct journey *packet, const struct way *w,
		     bool reply, int place, int64_t at)
{
	struct stored_journey *sj = &r->list[r->count];
	struct step *s = &r->steps[2 * r->count];
	int i = reply ? HOPS - 1 - place : place;
	struct tuple in = w->at[reply ? i + 1 : i], out = w->at[reply ? i : i + 1];
	uint8_t ttl = (uint8_t)(place ? 65 - place : 64);

	if (r->remove_percent && below(r, 100) < r->remove_percent)
		return;
	*sj = (struct stored_journey){ .row = r->count + 1,
				       .host = w->host[i],
				       .error = NS_PER_MS };
	sj->j = *packet;
	/* OUTPUT has a time of receipt alone. */
	sj->at.v = at + r->skew[w->host[i]] + (place ? 0 : (int64_t)below(r, 3 * NS_PER_MS));
	sj->j.at.v = sj->at.v;
	sj->j.tuples[0] = reply ? tuple_reverse(&in) : in;
	sj->j.tuples[1] = reply ? tuple_reverse(&out) : out;
	sj->j.tuple_count = tuple_equal(&in, &out) ? 1 : 2;
	sj->j.steps = s;
	sj->j.step_count = 2;
	s[0] = (struct step){ .hook = place ? HOOK_PREROUTING : HOOK_OUTPUT,
			      .label = LABEL_CHECKPOINT,
			      .checkpoint = place ? CHECKPOINT_PRE_FIRST : CHECKPOINT_OUT_FIRST,
			      .ttl = ttl,
			      .at = sj->j.at };
	s[1] = s[0];
	s[1].hook = place == HOPS - 1 ? HOOK_INPUT : HOOK_POSTROUTING;
	s[1].checkpoint = place == HOPS - 1 ? CHECKPOINT_IN_LAST : CHECKPOINT_POST_LAST;
	s[1].tuple = (uint8_t)(sj->j.tuple_count - 1);
	if (place && place < HOPS - 1)
		s[1].ttl--;
	r->packet[r->count] = r->packets;
	r->place[r->count] = (uint8_t)place;
	r->seen[r->packets][place] = true;
	r->count++;
}

static void packet_send(struct replay *r, const struct way *w, bool reply, uint64_t ip_id,
			uint64_t contents, int64_t at)
{
	struct journey j = { .ip_version = 4, .ip_id = (uint16_t)ip_id };
	int last = below(r, 50) ? HOPS : 1 + (int)below(r, HOPS - 1); /* 2 % are lost */

	if (r->packets == PACKETS)
		return;
	j.fp = mixed(mixed(mixed(UINT64_C(14695981039346656037), w->at[0].proto), j.ip_id),
		     contents * 2 + reply) |
	       1;
	j.fp_long = w->long_known ? mixed(j.fp, (uint64_t)at / NS_PER_MS) | 1 : 0; /* timestamps */
	for (int place = 0; place < last; place++) {
		hop_tell(r, &j, w, reply, place, at);
		at += 50000 + (int64_t)below(r, below(r, 20) ? NS_PER_MS : 8 * NS_PER_MS);
	}
	r->packets++;
}

static void flow_send(struct replay *r, const struct way *w, const struct way *twin, int64_t at)
{
	size_t n = 4 + below(r, 20);
	uint64_t id = w->kind == TCP_DATA && below(r, 2) ? below(r, 60000) + 1 : 0;
	int64_t gap = w->kind == UDP_EQUAL && !below(r, 5) ? 2 * NS_PER_MS : /* a burst */
			      20 * NS_PER_MS;

	for (size_t i = 0; i < n; i++) {
		bool changes = w->kind != UDP_EQUAL && w->kind != DNS_AGAIN;
		uint64_t contents = w->contents + (changes ? i : 0);

		if (w->kind == DNS_AGAIN)
			id = 0;
		packet_send(r, w, false, id ? id + i : 0, contents, at);
		if (twin)
			packet_send(r, twin, false, id ? id + i : 0, contents,
				    at + (int64_t)below(r, 5 * NS_PER_MS));
		if (w->kind == TCP_DATA && !below(r, 20)) /* again, also with id 0 */
			packet_send(r, w, false, id ? id + n + i : 0, contents,
				    at + 200 * NS_PER_MS);
		if (below(r, 2))
			packet_send(r, w, true, 0, contents, at + 12 * NS_PER_MS);
		at += gap + (int64_t)below(r, (uint64_t)gap) +
		      (w->kind == DNS_AGAIN ? (int64_t)NS_PER_S : 0);
	}
}

static void replay_make(struct replay *r)
{
	for (size_t i = 0; i < sizeof(r->skew) / sizeof(r->skew[0]); i++)
		r->skew[i] = (int64_t)below(r, 2 * NS_PER_MS) - NS_PER_MS;
	for (unsigned int f = 0; f < FLOWS || r->packets < PACKETS; f += 2) {
		struct way w = { 0 }, twin;
		int64_t at = (int64_t)below(r, 60LL * NS_PER_S) + 1000LL * NS_PER_S;

		if (r->packets == PACKETS)
			break;
		way_make(r, &w, f + (unsigned int)below(r, 2), false);
		twin = w;
		if (!below(r, 50)) {
			way_make(r, &w, f, true);
			way_make(r, &twin, f + 1, true);
			flow_send(r, &w, &twin, at);
		} else if (r->neighbours_percent && below(r, 100) < r->neighbours_percent) {
			way_make_neighbour(r, &twin, f + 2 * FLOWS + 1);
			flow_send(r, &w, &twin, at);
		} else {
			flow_send(r, &w, NULL, at);
		}
	}
}

static void count(const struct replay *r, const struct paths *paths, struct numbers *n)
{
	for (size_t i = 0; i < r->packets; i++) {
		size_t seen = 0;

		for (int k = 0; k < HOPS; k++)
			seen += r->seen[i][k];
		n->truth += seen ? seen - 1 : 0;
	}
	for (size_t i = 0; i < paths->count; i++) {
		const struct path *p = &paths->list[i];

		for (size_t k = 1; k < p->hop_count; k++) {
			size_t a = p->hops[k - 1].sj->row - 1, b = p->hops[k].sj->row - 1;
			bool right = r->packet[a] == r->packet[b] && r->place[a] < r->place[b];

			for (int x = r->place[a] + 1; right && x < r->place[b]; x++)
				right = !r->seen[r->packet[a]][x];
			if (p->hops[k].surety == LINK_SURETY_AMBIGUOUS) {
				n->doubted++;
				continue;
			}
			n->told++;
			n->right += right;
		}
	}
}

static void run(unsigned int remove_percent, unsigned int neighbours_percent)
{
	struct numbers n = { 0 };

	for (int i = 0; i < RUNS; i++) {
		struct replay r = { .rng = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(i + 1),
				    .remove_percent = remove_percent,
				    .neighbours_percent = neighbours_percent };
		struct paths paths;
		struct arena arena;

		r.list = calloc((size_t)PACKETS * HOPS, sizeof(*r.list));
		r.steps = calloc((size_t)PACKETS * HOPS * 2, sizeof(*r.steps));
		r.packet = calloc((size_t)PACKETS * HOPS, sizeof(*r.packet));
		r.place = calloc((size_t)PACKETS * HOPS, sizeof(*r.place));
		r.seen = calloc(PACKETS, sizeof(*r.seen));
		assert_true(r.list && r.steps && r.packet && r.place && r.seen);
		replay_make(&r);
		assert_int_equal(r.packets, PACKETS);
		arena_init(&arena, 256 << 20);
		assert_int_equal(paths_join(&paths, r.list, r.count, &(struct around){ 0 }, &arena),
				 0);
		count(&r, &paths, &n);
		arena_free(&arena);
		free(r.list);
		free(r.steps);
		free(r.packet);
		free(r.place);
		free(r.seen);
	}
	printf("%d packets, %u %% of events removed, %u %% with neighbours: %zu links, precision %.5f, linked %.4f, recall %.4f,"
	       " in doubt %.4f\n",
	       RUNS * PACKETS, remove_percent, neighbours_percent, n.truth,
	       (double)n.right / (double)n.told, (double)n.told / (double)n.truth,
	       (double)n.right / (double)n.truth, (double)n.doubted / (double)n.truth);
	assert_true((double)n.right >= 0.9999 * (double)n.told);
	assert_true((double)n.right >= 0.97 * (double)n.truth);
}

static void links_are_right_where_everything_was_seen(void **state)
{
	(void)state;
	run(0, 0);
}

static void links_are_right_where_one_event_in_a_hundred_is_missing(void **state)
{
	(void)state;
	run(1, 0);
}

/* A tenth of the clients have a neighbour that sends the same at the same time. */
static void links_are_right_where_neighbours_send_the_same(void **state)
{
	(void)state;
	run(0, 10);
	run(1, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_right_where_everything_was_seen),
		cmocka_unit_test(links_are_right_where_one_event_in_a_hundred_is_missing),
		cmocka_unit_test(links_are_right_where_neighbours_send_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
