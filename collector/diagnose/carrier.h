/*
 * What carried a packet through a tunnel: a packet between the tunnel's ends is another one for everybody on its way.
 */
#pragma once

#include "collector/diagnose/fate.h"

/*
 * The death of the one packet that may have carried f's, which was lost between two hosts: from an address of the one to one of the
 * other, at that time, longer by a tunnel's headers. NULL: none is known, or it could be one of several with different ends.
 */
const struct fate *carrier_fate(const struct inquiry *q, const struct fate *f);
