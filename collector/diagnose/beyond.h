/*
 * Number 5 of fate.h: a packet left a host, and what lies behind that host tells its fate, or nothing does.
 */
#pragma once

#include "collector/diagnose/fate.h"

/* 5: it left by POSTROUTING's last checkpoint. */
void fate_beyond(struct fate *f, const struct inquiry *q, const struct conversation *c);
