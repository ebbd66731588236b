/*
 * Does anything in the calling thread's namespace give packets other addresses? Nothing is loaded by looking.
 */
#pragma once

#include <stdbool.h>

/*
 * A legacy table `nat`, an nftables chain of that type, a virtual service. True also when that could not be read: who
 * does not know must expect it.
 */
bool nat_is_used(void);
