/*
 * What an agent was asked for: contents that its records name and the store does not have. One content is
 * assembled at a time, and all sessions together have a limit: what does not fit is asked for again.
 */
#pragma once

#include "collector/ingest/session.h"

/* Asks for what is missing of what the agent has, or of what a batch of it names. 0 or -errno. */
int wants_of_have(struct session *s, const struct msg_ids *have);
int wants_of_batch(struct session *s, const struct msg_batch *b);
/* Takes a part of a content; a whole one goes to the store. 0 or -errno. */
int wants_part(struct session *s, const struct msg_part *part);
/* Asks again for what had no room, if there is some now. */
void wants_again(struct session *s);
void wants_clear(struct session *s);
