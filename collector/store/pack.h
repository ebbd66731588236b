/*
 * Records as they are stored: a packed Batch of one record, readable by anything that knows proto/lasthop.proto.
 */
#pragma once

#include "common/msg.h"

struct packer;

int packer_new(struct packer **out);
void packer_free(struct packer *p);
/* Appends the packed record to out. */
int pack(struct packer *p, const struct record *r, struct buf *out);
/* The record, in the arena. -EPROTO for damaged bytes. */
int unpack(const void *bytes, size_t len, struct arena *arena, struct record *out);
