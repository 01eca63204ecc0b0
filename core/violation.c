#include "core/violation.h"

#include <stdarg.h>
#include <stdio.h>

bool cbn_violate(cbn_violation *violation, enum cbn_rule rule, const char *format, ...) {
  violation->rule = (int)rule;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(violation->message, sizeof violation->message, format, arguments);
  va_end(arguments);
  return false;
}

char cbn_axis_name(int32_t spatial_rank, int axis) { return "DHW"[CBN_MAX_SPATIAL - spatial_rank + axis]; }
