/* How a check says that a rule is broken: `return cbn_violate(violation, CBN_RULE_STRIDE_POSITIVE, "stride must
 * ...")`. */
#ifndef CBN_CORE_VIOLATION_H
#define CBN_CORE_VIOLATION_H

#include <convbn/operator.h>

#include "core/rules.h"

/* Fills the violation, returns false. */
bool cbn_violate(cbn_violation *violation, enum cbn_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* D, H, W as the spatial axes are called: the last is always W; a single axis is W. */
char cbn_axis_name(int32_t spatial_rank, int axis);

#endif
