/*
 * Can an event be of an open journey's packet? Equal packets come again, on several CPUs at once and round in loops; what
 * tells them apart is that nobody meets anything twice, goes back, or goes on after it was freed.
 */
#pragma once

#include "agent/journey/open.h"

enum { COMPLETE_IDLE_MS = 50 }; /* a journey whose last checkpoint came is whole after that */

/* Can e come after what its source told of o? */
bool fit_follows(const struct open *o, const struct trace_event *e, enum from from);
/*
 * Can the kernel have freed o's packet at e? A packet is freed once, after all that it met: nothing of o is younger (but for the
 * time that reading takes), and no hook of it lies behind those where that may have been.
 */
bool fit_ends(const struct open *o, const struct trace_event *e);
/*
 * While the helper replaces its table, those of both are met. Where packets begin it may be the next one, after an untold end, unless
 * that was traced already as it came there.
 */
bool fit_told_twice(const struct open *o, const struct trace_event *e);
