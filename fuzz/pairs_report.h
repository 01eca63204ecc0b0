/* What semantic coverage has come to: pairs of features' values (generator/pairs.h) that were reached, that were not,
 * and that cannot be, with the reasons. */
#ifndef CBN_FUZZ_PAIRS_REPORT_H
#define CBN_FUZZ_PAIRS_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "generator/pairs.h"

/* `reached` has cbn_pair_count() bytes, 0 for a pair that was not reached; `kind` is the only kind of problem that was
 * run, -1 for all. Pairs of features that the kind does not have are left out. */

/* For people: a line of totals, what was not reached by pairs of features (all of it, or the most telling), and how
 * many pairs are impossible for which reason. False where writing fails, or without memory. */
bool cbn_pairs_report(FILE *file, const uint8_t *reached, int kind, bool all);

/* For machines: {"kind" (null: any), "reached", "possible", "impossible_by_definition", "not_generated",
 * "not_reached": [[feature, value, feature, value]...], "impossible": [{"reason", "by_definition", "pairs"}...],
 * "contradictions": [as not_reached]}: reached, and said to be impossible. NULL without memory. */
json_t *cbn_pairs_json(const uint8_t *reached, int kind);

#endif
