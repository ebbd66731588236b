/*
 * Who may ask: only what was meant for us. A web page elsewhere can make a browser send requests here, and a name of its
 * own can lead to our address; neither can choose the Host and Origin that the browser writes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Is the authority (HOST, HOST:PORT, [V6]:PORT) a loopback name or address, with our port or none? */
bool guard_host(const char *authority, uint16_t port);
/* Is this the Origin of one of our own pages? */
bool guard_origin(const char *origin, uint16_t port);
/* "application/json", with or without parameters. */
bool guard_json(const char *content_type);
