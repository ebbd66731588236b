#include "collector/cli/draw.h"

#include <stdio.h>
#include <string.h>

#include "collector/cli/field.h"
#include "collector/cli/when.h"

enum { LEAD_COLUMNS = 5, FOLD_MIN = 3, PACKET_COLUMN = 18, PLACE_COLUMN = 20, VERDICT_COLUMN = 42 };

void draw_endpoint(char text[static DRAW_NAME_MAX], const json_t *tuple, const char *proto,
		   const char *end)
{
	const char *addr = field_text(tuple, end);
	const json_t *port = json_object_get(tuple, *end == 's' ? "sport" : "dport");
	bool ports = json_is_integer(port) && !(proto && strncmp(proto, "icmp", 4) == 0);

	if (!addr)
		snprintf(text, DRAW_NAME_MAX, "any");
	else if (!ports || json_integer_value(port) == 0)
		snprintf(text, DRAW_NAME_MAX, "%.200s", addr);
	else
		snprintf(text, DRAW_NAME_MAX, strchr(addr, ':') ? "[%.200s]:%d" : "%.200s:%d", addr,
			 (int)json_integer_value(port));
}

/* Bridges and devices have tables of the names that IP's have. */
static const char *family_of_links(const json_t *step)
{
	if (field_is(step, "family", "bridge"))
		return "bridge ";
	if (field_is(step, "family", "netdev"))
		return "netdev ";
	return field_is(step, "family", "arp") ? "arp " : "";
}

void draw_place(char text[static DRAW_NAME_MAX], const json_t *step)
{
	const char *table = field_text(step, "table"), *chain = field_text(step, "chain");
	const char *rule_text = field_text(step, "rule_text"),
		   *policy = rule_text ? strrchr(rule_text, ' ') : NULL;
	const json_t *rule = json_object_get(step, "rule");
	int n;

	if (field_is(step, "kind", "checkpoint")) {
		snprintf(text, DRAW_NAME_MAX, "checkpoint %.60s",
			 field_text(step, "checkpoint") ?: "");
		return;
	}
	if (field_is(step, "kind", "kernel")) {
		snprintf(text, DRAW_NAME_MAX, "kernel");
		return;
	}
	if (field_is(step, "kind", "routing-rule") || field_is(step, "kind", "route")) {
		snprintf(text, DRAW_NAME_MAX, "%s: %.80s",
			 field_is(step, "kind", "route") ? "route" : "ip rule", rule_text ?: "?");
		return;
	}
	if (field_is(step, "kind", "log") && !chain) {
		snprintf(text, DRAW_NAME_MAX, "log");
		return;
	}
	if (!table && !chain && field_text(step, "reason")) { /* a socket, a link */
		snprintf(text, DRAW_NAME_MAX, "%.160s", field_text(step, "reason"));
		return;
	}
	n = snprintf(text, DRAW_NAME_MAX, "%s%.63s/%.255s", family_of_links(step),
		     table ? table : "?", chain ? chain : "?");
	if (json_is_integer(rule))
		snprintf(text + n, (size_t)(DRAW_NAME_MAX - n), " rule %d",
			 (int)json_integer_value(rule));
	else if (field_is(step, "kind", "policy"))
		snprintf(text + n, (size_t)(DRAW_NAME_MAX - n), " policy%.20s",
			 policy ? policy : "");
	else if (field_is(step, "kind", "rule"))
		snprintf(text + n, (size_t)(DRAW_NAME_MAX - n), " (rule not known)");
}

void draw_at(struct screen *s, const json_t *died)
{
	char place[DRAW_NAME_MAX];

	draw_place(place, died);
	screen_putf(s, STYLE_BOLD, " at %s %s", field_text(died, "host") ?: "?", place);
}

bool draw_comment(char text[static DRAW_NAME_MAX], const char *rule_text)
{
	const char *p = rule_text ? strstr(rule_text, "--comment ") : NULL;
	bool quoted;
	size_t n = 0;

	if (!p)
		return false;
	p += strlen("--comment ");
	quoted = *p == '"';
	for (p += quoted; *p && *p != (quoted ? '"' : ' ') && n < DRAW_NAME_MAX - 1; p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		text[n++] = *p;
	}
	text[n] = '\0';
	return n > 0;
}

/* The next word of a rule's text, quotes and all. */
static size_t word_len(const char *p)
{
	size_t n = 0;
	bool quoted = false;

	for (; p[n] && (quoted || p[n] != ' '); n++) {
		if (p[n] == '\\' && p[n + 1])
			n++;
		else if (p[n] == '"')
			quoted = !quoted;
	}
	return n;
}

static bool is_word(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncmp(p, word, len) == 0;
}

void draw_rule(struct screen *s, const char *rule_text, bool killed)
{
	bool matching = false;
	char word[4096];
	size_t len;

	for (const char *p = rule_text; *p; p += len + strspn(p + len, " ")) {
		len = word_len(p);
		if (len == 0)
			return;
		/* -A CHAIN, -m MODULE and comments select nothing. */
		if (*p == '-')
			matching = !is_word(p, len, "-A") && !is_word(p, len, "-P") &&
				   !is_word(p, len, "-m") && !is_word(p, len, "--comment");
		else if (*p == '!')
			matching = true;
		if (p != rule_text)
			screen_put(s, STYLE_PLAIN, " ");
		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		screen_put(s, killed && matching ? STYLE_BAD : STYLE_PLAIN, word);
	}
}

static bool is_checkpoint(const json_t *step)
{
	return field_is(step, "kind", "checkpoint");
}

/* The kernel said that it freed the packet. */
static bool is_kernel(const json_t *step)
{
	return field_is(step, "kind", "kernel");
}

static bool is_log(const json_t *step)
{
	return field_is(step, "kind", "log");
}

/* The last step that is a rule or policy. */
static size_t last_of(const json_t *steps)
{
	size_t last = json_array_size(steps);

	while (last > 0 && (is_checkpoint(json_array_get(steps, last - 1)) ||
			    is_log(json_array_get(steps, last - 1))))
		last--;
	return last ? last - 1 : 0;
}

const char *draw_outcome(const json_t *hop)
{
	const json_t *steps = json_object_get(hop, "steps"),
		     *last = json_array_get(steps, last_of(steps));
	const json_t *end = json_array_get(steps, json_array_size(steps) - 1);

	if (field_text(hop, "outcome"))
		return field_text(hop, "outcome");
	if (field_is(last, "verdict", "drop"))
		return "dropped";
	if (field_is(last, "verdict", "reject"))
		return "rejected";
	if (field_is(end, "checkpoint", "in_last"))
		return "delivered";
	return field_is(end, "checkpoint", "post_last") ? "left" : NULL;
}

bool draw_ended(const json_t *hop)
{
	static const char *const ends[] = { "dropped", "rejected", "discarded", "refused" };
	const char *outcome = draw_outcome(hop);

	for (size_t i = 0; outcome && i < sizeof(ends) / sizeof(ends[0]); i++)
		if (strcmp(outcome, ends[i]) == 0)
			return true;
	return false;
}

static bool is_nat(const json_t *step)
{
	static const char *const targets[] = { "SNAT", "DNAT", "MASQUERADE", "REDIRECT", "NETMAP" };

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (field_is(step, "target", targets[i]))
			return true;
	return false;
}

/* The translation that this step's rule made, or NULL. */
static const json_t *nat_of(const json_t *hop, const json_t *step)
{
	const json_t *nat;
	size_t i;

	if (!is_nat(step))
		return NULL;
	json_array_foreach(json_object_get(hop, "nat"), i, nat) {
		const char *text = field_text(nat, "rule_text");

		if (text && field_is(step, "rule_text", text))
			return nat;
	}
	return NULL;
}

static void draw_nat(struct screen *s, const json_t *nat)
{
	static const struct {
		const char *kind, *target;
	} names[] = {
		{ "snat", "SNAT" },         { "dnat", "DNAT" },     { "masquerade", "MASQUERADE" },
		{ "redirect", "REDIRECT" }, { "netmap", "NETMAP" },
	};
	const char *kind = "NAT";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (field_is(nat, "kind", names[i].kind))
			kind = names[i].target;
	screen_putf(s, STYLE_PLAIN, "⇄ %s  ", kind);
	screen_put(s, STYLE_CHANGED, field_text(nat, "from"));
	screen_put(s, STYLE_PLAIN, " → ");
	screen_put(s, STYLE_CHANGED, field_text(nat, "to"));
}

void draw_stranger(struct screen *s, const json_t *stranger, const char *lead, const char *below)
{
	const json_t *nat;
	int64_t steps = field_number(stranger, "ttl_steps");
	size_t i;

	if (!json_is_object(stranger))
		return;
	screen_putf(s, STYLE_GREY, "%s%s", lead,
		    field_text(stranger, "host")   ?: field_text(stranger, "addr") ?: "?");
	screen_column(s, PLACE_COLUMN);
	screen_put(s, STYLE_GREY, field_text(stranger, "host") ? "told nothing of it" : "no agent");
	if (steps == 1)
		screen_put(s, STYLE_GREY, ", one router");
	else if (steps > 1)
		screen_putf(s, STYLE_GREY, ", %lld routers by the TTL", (long long)steps);
	else if (steps < 0)
		screen_putf(s, STYLE_GREY, ", the TTL rose by %lld", -(long long)steps);
	screen_end(s, PLACE_COLUMN);
	json_array_foreach(json_object_get(stranger, "nat"), i, nat) {
		screen_put(s, STYLE_PLAIN, below);
		screen_column(s, PLACE_COLUMN);
		draw_nat(s, nat);
		screen_end(s, PLACE_COLUMN);
	}
}

/* A step of which nothing needs to be said: it let the packet go on and changed nothing. */
static bool is_quiet(const json_t *hop, const json_t *step, bool last_of_dead)
{
	const char *target = field_text(step, "target");

	if (is_log(step) || field_text(step, "reason"))
		return false;
	if (last_of_dead || nat_of(hop, step) || is_nat(step))
		return false;
	if (field_is(step, "verdict", "drop") || field_is(step, "verdict", "reject") ||
	    field_is(step, "verdict", "jump"))
		return false;
	return !(target && (strcmp(target, "DROP") == 0 || strcmp(target, "REJECT") == 0));
}

static void draw_step_verdict(struct screen *s, const json_t *hop, const json_t *step, bool killer)
{
	const char *verdict = field_text(step, "verdict"), *target = field_text(step, "target");
	const json_t *nat = nat_of(hop, step);

	if (is_log(step)) {
		screen_putf(s, STYLE_PLAIN, "log: %s", field_text(step, "prefix") ?: "");
	} else if (is_kernel(step)) {
		screen_put(s, STYLE_PLAIN, killer ? "✗ " : "");
		screen_put(s, killer ? STYLE_BAD : STYLE_PLAIN, field_text(step, "reason"));
	} else if (nat) {
		draw_nat(s, nat);
	} else if (killer || field_is(step, "verdict", "drop") ||
		   field_is(step, "verdict", "reject")) {
		screen_put(s, STYLE_PLAIN, "✗ ");
		screen_put(s, STYLE_BAD, target ? target : verdict ? verdict : "ended here");
		if (field_is(step, "kind", "policy"))
			screen_put(s, STYLE_PLAIN, " (policy)");
	} else if (field_is(step, "verdict", "jump")) {
		screen_putf(s, STYLE_PLAIN, "↳ %s", target ? target : "");
	} else if (verdict) {
		screen_putf(s, STYLE_PLAIN, "✓ %s",
			    field_is(step, "verdict", "continue") && target ? target : verdict);
		if (field_is(step, "kind", "policy"))
			screen_put(s, STYLE_PLAIN, " (policy)");
	} else if (!is_checkpoint(step)) {
		screen_putf(s, STYLE_PLAIN, "? %s", target ? target : field_text(step, "reason") ?: "");
	}
}

/* A step as "raw/PREROUTING 1": short, since a column holds it. */
static void short_place(char text[static DRAW_NAME_MAX], const json_t *step)
{
	const char *table = field_text(step, "table"), *chain = field_text(step, "chain");
	const json_t *rule = json_object_get(step, "rule");
	int n;

	if (is_checkpoint(step) || (is_log(step) && !chain) || is_kernel(step)) {
		draw_place(text, step);
		return;
	}
	n = snprintf(text, DRAW_NAME_MAX, "%s%.63s/%.255s", family_of_links(step),
		     table ? table : "?", chain ? chain : "?");
	if (json_is_integer(rule))
		snprintf(text + n, (size_t)(DRAW_NAME_MAX - n), " %d",
			 (int)json_integer_value(rule));
}

/* What the lines of one hop share. */
struct pen {
	struct screen *s;
	const struct view *v;
	const json_t *hop;
	const char *lead, *last_lead; /* before each line; before the line where the packet ended */
	struct wall_ns anchor; /* the first time that the kernel itself stamped; 0: none yet */
	bool timed;            /* a time of day stands above already */
};

/* The first line of a hop has the time of day; the others what passed since, where the kernel itself stamped both. */
static void draw_time(struct pen *p, const json_t *step)
{
	bool kernel = field_true(step, "kernel_time");
	char text[WHEN_TEXT_MAX];
	struct wall_ns at;

	if (!field_time(step, "at", &at) && (p->timed || !field_time(p->hop, "at", &at)))
		return;
	if (kernel && p->anchor.v && at.v >= p->anchor.v) {
		if (p->timed && at.v > p->anchor.v)
			screen_putf(p->s, STYLE_GREY, "    +%.2f ms",
				    (double)(at.v - p->anchor.v) / NS_PER_MS);
	} else if (!p->timed || kernel) {
		when_print(at, p->v->now, true, text);
		screen_put(p->s, STYLE_PLAIN, text);
		p->timed = true;
		if (kernel)
			p->anchor = at;
	}
}

static void draw_step(struct pen *p, const json_t *step, bool killer)
{
	unsigned int column = p->v->at_shown ? PACKET_COLUMN : PLACE_COLUMN;
	const char *rule_text = field_text(step, "rule_text");
	char place[DRAW_NAME_MAX];

	screen_put(p->s, STYLE_PLAIN, killer ? p->last_lead : p->lead);
	draw_time(p, step);
	screen_column(p->s, column);
	short_place(place, step);
	screen_put(p->s, is_checkpoint(step) ? STYLE_GREY : STYLE_PLAIN, place);
	screen_column(p->s, column + VERDICT_COLUMN - PLACE_COLUMN);
	draw_step_verdict(p->s, p->hop, step, killer);
	screen_end(p->s, column + VERDICT_COLUMN - PLACE_COLUMN + 2);
	if (rule_text && (killer || p->v->detail || p->v->rules)) {
		unsigned int text_column = killer && !p->v->at_shown ? LEAD_COLUMNS : column + 2;

		screen_put(p->s, STYLE_PLAIN, killer ? "     " : p->lead);
		screen_column(p->s, text_column);
		draw_rule(p->s, rule_text, killer);
		p->s->keep = killer ? 0 : p->s->keep;
		screen_end(p->s, text_column + 4);
	}
}

static void draw_fold(struct pen *p, const json_t *first, size_t rules)
{
	screen_put(p->s, STYLE_PLAIN, p->lead);
	draw_time(p, first);
	screen_column(p->s, PLACE_COLUMN);
	screen_putf(p->s, STYLE_PLAIN, "✓ +%zu %s passed", rules, rules == 1 ? "rule" : "rules");
	screen_end(p->s, PLACE_COLUMN);
}

/* How many steps from i on are quiet, and how many of them are the admin's (checkpoints are ours). */
static size_t quiet_run(const json_t *hop, const json_t *steps, size_t i, size_t last, bool dead,
			size_t *rules)
{
	size_t k = i;

	*rules = 0;
	for (; k < json_array_size(steps); k++) {
		const json_t *step = json_array_get(steps, k);

		if (!is_checkpoint(step) && !is_quiet(hop, step, dead && k == last))
			break;
		*rules += !is_checkpoint(step);
	}
	return k - i;
}

/* In a folded hop the translation stands without its rule, which --detail shows. */
static void draw_nat_line(struct pen *p, const json_t *step, const json_t *nat)
{
	screen_put(p->s, STYLE_PLAIN, p->lead);
	if (step)
		draw_time(p, step);
	screen_column(p->s, PLACE_COLUMN);
	draw_nat(p->s, nat);
	screen_end(p->s, PLACE_COLUMN + 2);
}

/* Translations that no step shows: conntrack told them, or an SNAT that is only seen on the way out. */
static void draw_other_nat(struct pen *p, const json_t *steps)
{
	const json_t *nat, *step;
	size_t i, k;

	json_array_foreach(json_object_get(p->hop, "nat"), i, nat) {
		bool drawn = false;

		json_array_foreach(steps, k, step)
			drawn = drawn || nat_of(p->hop, step) == nat;
		if (drawn)
			continue;
		draw_nat_line(p, NULL, nat);
	}
}

/* The hop's time stands above; the steps show what passed since the first that the kernel stamped. */
static void anchor_above(struct pen *p, const json_t *steps)
{
	const json_t *step;
	size_t i;

	p->timed = true;
	json_array_foreach(steps, i, step)
		if (field_true(step, "kernel_time") && field_time(step, "at", &p->anchor))
			return;
}

/* A hop without any of the admin's rules still says when the packet was there. */
static void draw_bare(struct pen *p)
{
	screen_put(p->s, STYLE_PLAIN, p->lead);
	draw_time(p, p->hop);
	screen_column(p->s, PLACE_COLUMN);
	screen_put(p->s, STYLE_GREY, "no rules");
	screen_end(p->s, PLACE_COLUMN);
}

/* The frame that brought the packet: who sent it to whom, of which kind. */
static void draw_frame(struct pen *p)
{
	const json_t *frame = json_object_get(p->hop, "link_layer");
	const char *src = field_text(frame, "src"), *dst = field_text(frame, "dst"),
		   *type = field_text(frame, "ethertype");
	const json_t *vlan = json_object_get(frame, "vlan");

	if (!json_is_object(frame))
		return;
	screen_put(p->s, STYLE_PLAIN, p->lead);
	screen_putf(p->s, STYLE_GREY, "frame %s → %s", src ? src : "?", dst ? dst : "?");
	if (type)
		screen_putf(p->s, STYLE_GREY, " %s", type);
	if (json_is_integer(vlan))
		screen_putf(p->s, STYLE_GREY, " vlan %" JSON_INTEGER_FORMAT,
			    json_integer_value(vlan));
	screen_end(p->s, PLACE_COLUMN);
}

bool draw_tracked(const json_t *hop)
{
	return json_is_null(json_object_get(hop, "packet"));
}

bool draw_freed(const json_t *hop)
{
	const json_t *steps = json_object_get(hop, "steps");
	size_t n = json_array_size(steps);

	return n > 0 && is_kernel(json_array_get(steps, n - 1));
}

void draw_steps(struct screen *s, const json_t *hop, const struct view *v, const char *lead)
{
	const json_t *steps = json_object_get(hop, "steps");
	const char *outcome = draw_outcome(hop);
	bool dead =
		outcome && (strcmp(outcome, "dropped") == 0 || strcmp(outcome, "rejected") == 0);
	size_t last = last_of(steps), rules, count = json_array_size(steps);
	bool freed = draw_ended(hop) && draw_freed(hop);
	size_t before;
	char last_lead[32];
	struct pen p = { .s = s, .v = v, .hop = hop, .lead = lead, .last_lead = last_lead };

	/* "  │  " becomes "  ✗  " where the packet ended. */
	snprintf(last_lead, sizeof(last_lead), "%s",
		 strstr(lead, "│") || !v->at_shown ? "  ✗  " : lead);
	s->keep = strstr(lead, "│") ? LEAD_COLUMNS : 0;
	if (v->at_shown)
		anchor_above(&p, steps);
	if (v->detail)
		draw_frame(&p);
	before = s->out.len;
	for (size_t i = 0; i < count;) {
		const json_t *step = json_array_get(steps, i);
		size_t run =
			v->detail || v->rules ? 0 : quiet_run(hop, steps, i, last, dead, &rules);

		if (run > 0 && rules == 0) {
			i += run; /* only checkpoints, which are ours */
			continue;
		}
		if (run > 0 && (rules >= FOLD_MIN || !dead)) {
			draw_fold(&p, step, rules);
			i += run;
			continue;
		}
		if (!v->detail && !v->rules && !dead && nat_of(hop, step))
			draw_nat_line(&p, step, nat_of(hop, step));
		else if (v->detail || !is_checkpoint(step))
			draw_step(&p, step, (dead || freed) && i == last);
		i++;
	}
	if (s->out.len == before && !dead && !draw_tracked(hop))
		draw_bare(&p);
	draw_other_nat(&p, steps);
	s->keep = 0;
}

void draw_window(struct screen *s, const json_t *answer, const struct view *v, int column)
{
	const json_t *window = json_object_get(answer, "window");
	char text[WHEN_TEXT_MAX];
	struct wall_ns t;

	if (field_time(window, "since", &t)) {
		when_print(t, v->now, false, text);
		screen_putf(s, STYLE_GREY, "  %-*s%s – ", column - 2, "window", text);
	}
	if (field_time(window, "until", &t)) {
		when_print(t, v->now, false, text);
		screen_put(s, STYLE_GREY, text);
		when_zone(t, text);
		screen_putf(s, STYLE_GREY, " %s", text);
	}
	screen_end(s, column);
}

void draw_loss(struct screen *s, const json_t *loss, const struct view *v)
{
	const json_t *count = json_object_get(loss, "count");
	char text[WHEN_TEXT_MAX];
	struct wall_ns at;

	if (json_is_integer(count))
		screen_putf(s, STYLE_PLAIN, "lost %lld", (long long)json_integer_value(count));
	else
		screen_put(s, STYLE_PLAIN, "lost an unknown number of");
	screen_putf(s, STYLE_PLAIN, " events of %s", field_text(loss, "source") ?: "?");
	if (field_time(loss, "from", &at)) {
		when_print(at, v->now, false, text);
		screen_putf(s, STYLE_PLAIN, " at %s", text);
	}
}
