/* Values with bounds: memory, and what they admit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <convbn/reference.h>

bool cbn_expected_allocate(cbn_expected *expected, int32_t type, int32_t rank, const int64_t *extent) {
  cbn_tensor shape;
  *expected = (cbn_expected){.type = type, .rank = rank};
  if (!cbn_tensor_describe(&shape, CBN_F64, rank, extent, CBN_CONTIGUOUS)) return false;
  memcpy(expected->extent, shape.extent, sizeof expected->extent);
  expected->count = cbn_tensor_count(&shape);
  const size_t elements = (size_t)expected->count + 1; /* never zero bytes */
  expected->value = calloc(elements, sizeof(double));
  expected->bound = calloc(elements, sizeof(double));
  expected->own = calloc(elements, sizeof(double));
  expected->flags = calloc(elements, sizeof(uint8_t));
  if (expected->value && expected->bound && expected->own && expected->flags) return true;
  cbn_expected_release(expected);
  return false;
}

void cbn_expected_release(cbn_expected *expected) {
  free(expected->value);
  free(expected->bound);
  free(expected->own);
  free(expected->flags);
  *expected = (cbn_expected){0};
}

cbn_interval cbn_expected_at(const cbn_expected *expected, int64_t i) {
  return (cbn_interval){expected->value[i], expected->bound[i], expected->own[i], expected->flags[i]};
}

void cbn_expected_put(const cbn_expected *expected, int64_t i, cbn_interval interval) {
  expected->value[i] = interval.value;
  expected->bound[i] = interval.bound;
  expected->own[i] = interval.own;
  expected->flags[i] = interval.flags;
}

/* Right by a flag, whatever value and bound say? */
static bool excused(const cbn_interval *interval, double actual) {
  const uint8_t flags = interval->flags;
  return (flags & CBN_INCONCLUSIVE) || ((flags & CBN_OR_NAN) && isnan(actual)) ||
         ((flags & CBN_OR_INFINITY) && isinf(actual) && signbit(actual) == signbit(interval->value));
}

double cbn_interval_share(const cbn_interval *interval, double actual) {
  const double value = interval->value;
  if (excused(interval, actual) || actual == value || (isnan(value) && isnan(actual))) return 0;
  if (!isfinite(value) || !isfinite(actual)) return INFINITY;
  return fabs(actual - value) / interval->bound;
}

bool cbn_interval_admits(const cbn_interval *interval, double actual) {
  return cbn_interval_share(interval, actual) <= 1;
}
