/* What a schema cannot say of cases: flags that resolve and are used, relations to cases that exist, tensors that
 * fit the parameters, expectations that the reference bears out, no two cases that are the same. */
#ifndef CBN_HARNESS_LINT_H
#define CBN_HARNESS_LINT_H

#include "harness/cases.h"

/* Checks the loaded cases and the flags file of `root`, the path that was loaded. `collection` resolves relations;
 * where `root` is the collection's own folder and `complete`, every flag must be used. Returns the number of
 * problems. */
size_t cbn_lint(const cbn_case_set *set, const cbn_case_set *collection, const char *root, bool complete,
                int64_t memory_bytes, cbn_problem_sink *sink, void *context);

#endif
