/*
 * The capabilities: the helper needs them, the worker must have none.
 */
#pragma once

#include <stdbool.h>

#include "common/why.h"

/* Can a helper started by us do its work? netns: it must enter namespaces. 0, or -EPERM with why naming what is missing. */
int privilege_check(bool netns, struct why *why);
/* Gives up everything, for good. 0 or -errno with why. */
int privilege_drop(struct why *why);
