/*
 * The greeting: which agents are taken, and which are told why not.
 */
#pragma once

#include "collector/ingest/session.h"

/* Answers a Hello with Welcome, or with a refusal and why. 0 or -errno: then the session is over. */
int session_greet(struct session *s, const struct msg_hello *h);
/* session.c's: the greeting is over. */
void session_greeted(struct session *s, bool welcome, const char *why);
