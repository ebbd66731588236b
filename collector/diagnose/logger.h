/*
 * The rule whose log line a step is: a line has a group, a prefix and a hook, and no name of its rule.
 */
#pragma once

#include "collector/diagnose/resolve.h"

/*
 * s is LABEL_LOG. Looks for rules with its group and prefix in the tables of its family that stood then. Fills table, chain,
 * number and text of out if there is one only; else out->reason: "one of several rules", "ruleset-changed" while a table
 * changed, or "no-ruleset". 0 or -ENOMEM.
 */
int logger_find(struct resolved *out, const struct inquiry *q, const struct hop *h,
		const struct step *s);
