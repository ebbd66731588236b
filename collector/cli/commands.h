/*
 * The table of commands: usage, help, completion and dispatch all come from here.
 */
#pragma once

#include "collector/cli/args.h"

/* Ends with a NULL name. */
extern const struct command commands[];
