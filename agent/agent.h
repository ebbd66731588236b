/*
 * All that the worker has. main.c starts, drives and stops it; wishes.c does what its hosts and its session ask of it.
 */
#pragma once

#include <uv.h>

#include "agent/uplink/uplink.h"
#include "agent/watches.h"
#include "agent/worker/hosts.h"
#include "agent/worker/notes.h"
#include "agent/worker/options.h"
#include "agent/worker/state.h"

struct agent {
	struct options options;
	struct state state;
	struct notes notes;
	struct link *link;
	struct spool *spool;
	struct uplink *uplink;
	struct host_env env;
	struct hosts hosts;
	struct events *events;
	uint8_t boot_id[16];
	struct boot_ns started, trimmed, behind_at; /* behind_at: when that was last looked at */

	uv_loop_t loop;
	uv_poll_t helper;
	uv_timer_t tick, goodbye;
	uv_signal_t sigterm, sigint;
	struct watches watches;
	bool flush, behind, stopping, over;
	int status;

	const struct ruleset *mapped; /* between content() and content_end() */
	const char *text;
};

/* Something will have to be done, but not inside the callback that we are in. */
void agent_settle_soon(struct agent *a);
