/*
 * The identity of a table's content: SHA-256 of its canonical text. Worker and collector only: this is the
 * one place of common/ that needs OpenSSL, which never shares a process with libiptc.
 */
#pragma once

#include "common/record.h"

enum { CONTENT_TEXT_MAX = 2 * CONTENT_ID_LEN + 1 };

struct content_id content_id_of(const char *text, size_t len);
void content_id_print(const struct content_id *id, char text[static CONTENT_TEXT_MAX]);
bool content_id_none(const struct content_id *id); /* all zero: "no such table" */
