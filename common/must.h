/*
 * must(): our own impossible state ends the process, in every build. The peer's or the kernel's mistakes
 * are never a must().
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: impossible: %s\n", __FILE__, __LINE__, #cond);     \
			abort();                                                                   \
		}                                                                                  \
	} while (0)
