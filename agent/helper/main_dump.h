/*
 * The ruleset reader, `lasthop-helper --dump FAMILY`: a short-lived process, because libxtables
 * prints to stdout and ends the process when something displeases it.
 */
#pragma once

/*
 * Writes every legacy table of this family that exists here to stdout, a file, as struct
 * ruleset_part and text. Exit status.
 */
int dump_main(const char *family);
