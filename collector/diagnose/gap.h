/*
 * Number 7 of fate.h: a packet ended between two hooks, and nobody says why.
 */
#pragma once

#include "collector/diagnose/fate.h"

/* 7. s: the last that a table or a checkpoint told. */
void fate_in_gap(struct fate *f, const struct inquiry *q, const struct conversation *c,
		 const struct step *s);
