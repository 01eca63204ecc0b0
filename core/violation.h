/* How a check says that a rule is broken: `return cbn_violate(violation, CBN_RULE_STRIDE_POSITIVE, "stride must
 * ...")`. */
#ifndef CBN_CORE_VIOLATION_H
#define CBN_CORE_VIOLATION_H

#include <convbn/operator.h>

#include "core/rules.h"

/* Fills the violation, returns false. */
bool cbn_violate(cbn_violation *violation, enum cbn_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True if there is a tensor, of those extents (rule `rule`), with a type and memory (rule tensor-type). `name` is
 * what the message calls it: "weight" in `the weight is missing`. */
bool cbn_check_tensor(const cbn_tensor *tensor, const char *name, enum cbn_rule rule, int32_t rank,
                      const int64_t *extent, cbn_violation *violation);

/* D, H, W as the spatial axes are called: the last is always W; a single axis is W. */
char cbn_axis_name(int32_t spatial_rank, int axis);

#endif
