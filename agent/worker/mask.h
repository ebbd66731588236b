/*
 * What looks like a secret in a command line, so that it does not leave the host: values of options, variables and fields
 * whose name says so, what stands behind a user's name, and tokens that are known by how they begin.
 */
#pragma once

/*
 * Replaces them in place. Words may be separated by COMMAND_BREAK, which becomes a blank: then a value that has blanks of its
 * own is known to its end.
 */
void command_mask(char *command);
