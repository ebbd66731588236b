/*
 * The printed names of records' enums, and what is looked up in records.
 */
#include "common/record.h"

#include <stddef.h>

#include "common/names.h"

NAMES(conn_event_name, enum conn_event, CONN_EVENTS)
NAMES(source_state_name, enum source_state, SOURCE_STATES)
NAMES(via_name, enum via, VIAS)
NAMES(lease_state_name, enum lease_state, LEASE_STATES)
NAMES(counter_mark_name, enum counter_mark, COUNTER_MARKS)

const struct facts_link *facts_link_of(const struct facts *f, int32_t ifindex)
{
	for (uint32_t i = 0; i < f->link_count; i++) {
		if (f->links[i].ifindex == ifindex)
			return &f->links[i];
	}
	return NULL;
}
