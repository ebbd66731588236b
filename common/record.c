/*
 * The printed names of records' enums.
 */
#include "common/record.h"

#define NAMES(fn, type, list)							\
	const char *fn(type v)							\
	{									\
		static const char *const names[] = { list(NAME) };		\
										\
		if ((unsigned)v >= sizeof(names) / sizeof(names[0]))		\
			return NULL;						\
		return names[v];						\
	}
#define NAME(id, text) text,

NAMES(conn_event_name, enum conn_event, CONN_EVENTS)
NAMES(source_state_name, enum source_state, SOURCE_STATES)
NAMES(lease_state_name, enum lease_state, LEASE_STATES)
