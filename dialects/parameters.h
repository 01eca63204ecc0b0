/* Reading native parameters as Python frameworks do: what counts as an int, a number, a pair; and refusing. */
#ifndef CBN_DIALECTS_PARAMETERS_H
#define CBN_DIALECTS_PARAMETERS_H

#include "dialects/dialect.h"

/* Fills the rejection, returns false. */
bool cbn_reject(cbn_rejection *rejection, enum cbn_rule rule, const char *exception, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Refuses (TypeError) a key that is not among `names` (NULL at the end), then the first of the leading `required` names
 * that is left out. */
bool cbn_check_names(const cbn_value *params, const char *const *names, int required, cbn_rejection *rejection);

/* The parameter, NULL where it is left out. */
const cbn_value *cbn_parameter(const cbn_value *params, const char *name);

/* An integer; with `booleans`, true and false too, as 1 and 0. */
bool cbn_as_integer(const cbn_value *value, bool booleans, int64_t *result);

/* A Python number: integer, real, or boolean as 1 or 0. */
bool cbn_as_number(const cbn_value *value, double *result);

/* A Python truth value: None, 0, 0.0, '' and empty sequences are false. */
bool cbn_as_truth(const cbn_value *value, bool fallback);

/* One entry for each axis, or more or fewer: what a parameter like kernel_size holds. */
typedef struct cbn_entries {
  bool sequence; /* written as a sequence, not as a single value */
  int count;     /* entries; a single value is one */
  const cbn_value *entry[CBN_MAX_NATIVE_RANK];
} cbn_entries;

/* The entries of a parameter; a sequence longer than CBN_MAX_NATIVE_RANK is cut, which no framework takes. */
cbn_entries cbn_as_entries(const cbn_value *value);

/* Multiplies without overflow, saturating at the ends of int64. */
int64_t cbn_saturating_multiply(int64_t a, int64_t b);
int64_t cbn_saturating_add(int64_t a, int64_t b);

/* The extent of a dilated kernel, dilation * (kernel - 1) + 1, saturating. */
int64_t cbn_dilated_kernel(int64_t kernel, int64_t dilation);

/* A text of the value for messages. */
typedef struct cbn_printed {
  char text[64];
} cbn_printed;
cbn_printed cbn_printed_value(const cbn_value *value);

/* The canonical operator's own validation as a rejection of the framework's: for what no native rule has caught. */
bool cbn_forward_violation(const cbn_plan *plan, const char *exception, cbn_rejection *rejection);

#endif
