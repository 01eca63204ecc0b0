#include "dialects/parameters.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/checked.h"

bool cbn_reject(cbn_rejection *rejection, enum cbn_rule rule, const char *exception, const char *format, ...) {
  rejection->rule = rule;
  rejection->exception = exception;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(rejection->message, sizeof rejection->message, format, arguments);
  va_end(arguments);
  return false;
}

static bool is_among(const char *name, const char *const *names) {
  for (; *names != NULL; names++)
    if (strcmp(name, *names) == 0) return true;
  return false;
}

const cbn_value *cbn_parameter(const cbn_value *params, const char *name) { return cbn_value_get(params, name); }

bool cbn_check_names(const cbn_value *params, const char *const *names, int required, cbn_rejection *rejection) {
  for (size_t i = 0; params != NULL && i < params->as.map.count; i++)
    if (!is_among(params->as.map.keys[i]->as.string.text, names))
      return cbn_reject(rejection, CBN_RULE_UNKNOWN_PARAMETER, "TypeError", "there is no parameter '%.60s'",
                        params->as.map.keys[i]->as.string.text);
  for (int i = 0; i < required; i++)
    if (cbn_parameter(params, names[i]) == NULL)
      return cbn_reject(rejection, CBN_RULE_MISSING_PARAMETER, "TypeError", "the parameter '%s' is missing", names[i]);
  return true;
}

bool cbn_as_integer(const cbn_value *value, bool booleans, int64_t *result) {
  if (value != NULL && value->kind == CBN_INTEGER) *result = value->as.integer;
  else if (value != NULL && value->kind == CBN_BOOLEAN && booleans) *result = value->as.boolean;
  else return false;
  return true;
}

bool cbn_as_number(const cbn_value *value, double *result) {
  int64_t integer;
  if (cbn_as_integer(value, true, &integer)) *result = (double)integer;
  else if (value != NULL && value->kind == CBN_REAL) *result = value->as.real;
  else return false;
  return true;
}

bool cbn_as_truth(const cbn_value *value, bool fallback) {
  double number;
  if (value == NULL) return fallback;
  if (cbn_as_number(value, &number)) return number != 0;
  switch (value->kind) {
  case CBN_STRING: return value->as.string.length > 0;
  case CBN_LIST: return value->as.list.count > 0;
  case CBN_MAP: return value->as.map.count > 0;
  default: return false;
  }
}

cbn_entries cbn_as_entries(const cbn_value *value) {
  cbn_entries entries = {.count = 1, .entry = {value}};
  if (value == NULL || value->kind != CBN_LIST) return entries;
  entries.sequence = true;
  entries.count = value->as.list.count < CBN_MAX_NATIVE_RANK ? (int)value->as.list.count : CBN_MAX_NATIVE_RANK;
  for (int i = 0; i < entries.count; i++) entries.entry[i] = value->as.list.items[i];
  return entries;
}

int64_t cbn_saturating_multiply(int64_t a, int64_t b) {
  int64_t result;
  if (cbn_multiply(a, b, &result)) return result;
  return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

int64_t cbn_saturating_add(int64_t a, int64_t b) {
  int64_t result;
  if (cbn_add(a, b, &result)) return result;
  return a < 0 ? INT64_MIN : INT64_MAX;
}

int64_t cbn_dilated_kernel(int64_t kernel, int64_t dilation) {
  return cbn_saturating_add(cbn_saturating_multiply(dilation, kernel - 1), 1);
}

cbn_printed cbn_printed_value(const cbn_value *value) {
  cbn_printed printed;
  if (value == NULL) snprintf(printed.text, sizeof printed.text, "nothing");
  else cbn_value_print(value, printed.text, sizeof printed.text);
  return printed;
}

bool cbn_forward_violation(const cbn_plan *plan, const char *exception, cbn_rejection *rejection) {
  cbn_violation violation;
  const bool valid = plan->kind == CBN_OPERATOR_CONV ? cbn_conv_validate(&plan->conv, &violation)
                                                     : cbn_batchnorm_validate(&plan->batchnorm, &violation);
  return valid || cbn_reject(rejection, (enum cbn_rule)violation.rule, exception, "%s", violation.message);
}
