/*
 * What hosts and the session with the collector ask of the agent, which is the arg of all of it.
 */
#pragma once

#include "agent/agent.h"

/* Fills in the calls that a host makes; the rest of *env is left alone. */
void wishes_of_hosts(struct host_env *env, struct agent *a);
/* A host came or went. */
void wishes_hosts_changed(void *arg);
extern const struct uplink_ops wishes_of_uplink;
