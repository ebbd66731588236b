/*
 * Which of the configured log groups one host has: the helper binds those that no other program has bound.
 */
#pragma once

#include "agent/helper/ipc.h"
#include "common/record.h"

struct host_env;

enum { LOGS_AGAIN_S = 60 }; /* until they are asked for again */

struct logs {
	struct boot_ns due;     /* to ask for them again; 0: not */
	char note[WHY_MAX + 1]; /* which are ours */
	char lack[WHY_MAX + 1]; /* why others are not; "" */
};

/* Takes the helper's answer; opened: it came with the socket. */
void logs_opened(struct logs *l, const struct host_env *env, const struct helper_answer *a,
		 bool opened, struct boot_ns now);
/* Makes what is known of the source what people are told: off when others have all of its groups, failed when some. */
struct source_fact logs_fact(const struct logs *l, struct source_fact f);
