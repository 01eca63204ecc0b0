/* tests/test_dialect_jax.c - JAX's functions and Flax's layers against docs/framework-rules.md: orders of axes, padding, and
 * which rule speaks where several are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/dialect_rows.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define PLAIN "window_strides: [1, 1], padding: VALID"

typedef cbn_dialect_row row;

static void general(void **state) {
  (void)state;
  static const row rows[] = {
      {"{" PLAIN "}", "2x3x7x6 4x3x3x2", "out2x4x5x5 weight4x3x3x2 s1,1 g1 plain", NULL, 0},
      {"{window_strides: [2, 1], padding: VALID, dimension_numbers: [HCWN, OWIH, WNCH]}", "6x3x5x2 4x2x3x3",
       "out2x4x2x4 weight4x3x2x3 s2,1 kernel-first channels-last", NULL, 0},
      {"{window_strides: [2, 3], padding: SAME}", "1x1x6x7 1x1x4x4", "out1x1x3x3 p1,1 q1,2", NULL, 0},
      {"{window_strides: [1, 1], padding: same_lower}", "1x1x5x4 2x1x2x4", "p1,2 q0,1", NULL, 0},
      {"{window_strides: [1, 1], padding: [[-1, 0], [0, -2]]}", "1x2x6x7 2x2x2x3", "out1x2x4x3 p-1,0 q0,-2", NULL, 0},
      {"{" PLAIN "}", "1x2x2x6 3x2x3x2", "out1x3x0x5", NULL, 0},
  };
  cbn_check_dialect_rows("jax", "lax.conv_general_dilated", rows, COUNT(rows));
}

/* Each row breaks its own rule and some of those of the rows below it. */
static void order_of_checks(void **state) {
  (void)state;
  static const row rows[] = {
      {"{nope: 1}", "5 3", "!unknown-parameter TypeError", NULL, 0},
      {"{padding: x}", "5 3", "!missing-parameter TypeError", NULL, 0},
      {"{window_strides: 0, padding: x}", "1x2x5x4 3x3", "!weight-shape TypeError", NULL, 0},
      {"{window_strides: 0, padding: x, dimension_numbers: NCHW}", "1x2x5x4 3x2x0x3", "!tensor-format TypeError", NULL,
       0},
      {"{window_strides: 0, padding: x, lhs_dilation: [2, 1]}", "1x2x5x4 3x2x0x3",
       "!padding-mode-needs-plain-input ValueError", NULL, 0},
      {"{window_strides: 0, padding: x}", "1x2x5x4 3x2x0x3", "!padding-unknown RuntimeError", NULL, 0},
      {"{window_strides: 0, padding: [1]}", "1x2x5x4 3x2x0x3", "!parameter-type ValueError", NULL, 0},
      {"{window_strides: [2.5, 1], padding: SAME, feature_group_count: 0}", "1x2x5 3x2x3", "!parameter-type TypeError",
       NULL, 0},
      {"{window_strides: [2.5, 1], padding: VALID}", "1x2x5 3x2x3", "!parameter-length ValueError", NULL, 0},
      {"{window_strides: 0, padding: VALID}", "1x2x5x4 3x2x0x3", "!parameter-type TypeError", NULL, 0},
      {"{window_strides: [0], padding: VALID, feature_group_count: 0}", "1x2x5x4 3x3x0x3",
       "!groups-positive ValueError", NULL, 0},
      {"{window_strides: [0], padding: VALID}", "1x2x5x4 3x3x0x3", "!input-channels-mismatch ValueError", NULL, 0},
      {"{window_strides: [0], padding: VALID}", "1x2x5x4 3x2x0x3", "!parameter-length ValueError", NULL, 0},
      {"{window_strides: [0, 1], padding: VALID, rhs_dilation: [0, 1]}", "1x2x5x4 3x2x0x3",
       "!dilation-positive TypeError", NULL, 0},
      {"{window_strides: [0, 1], padding: [[-9, 0], [0, 0]]}", "1x2x5x4 3x2x0x3", "!padding-non-negative ValueError",
       NULL, 0},
      {"{window_strides: [0, 1], padding: VALID}", "1x2x5x4 3x2x0x3", "!tensor-type TypeError", "f16:f32", 0},
      {"{window_strides: [0, 1], padding: VALID}", "1x2x5x4 3x2x0x3", "!kernel-positive ValueError", NULL, 0},
      {"{window_strides: [0, 1], padding: VALID, batch_group_count: 2}", "2x2x5x4 4x2x2x3",
       "!stride-positive ValueError", NULL, 0},
      {"{" PLAIN ", batch_group_count: 2}", "2x2x5x4 4x2x2x3", "!framework-limit NotImplemented", NULL, 0},
  };
  cbn_check_dialect_rows("jax", "lax.conv_general_dilated", rows, COUNT(rows));
}

static void transposed(void **state) {
  (void)state;
  static const row rows[] = {
      {"{strides: [2, 3], padding: SAME}", "1x4x3x2 3x2x2x3", "out1x3x8x9 s1,1 p2,1 q1,2 channels-last kernel-first",
       NULL, 0},
      {"{strides: [2, 3], padding: VALID, transpose_kernel: true}", "1x4x3x2 3x2x3x2",
       "out1x3x9x9 weight2x3x3x2 s2,3 p0,0 q0,-1 transposed", NULL, 0},
      {"{strides: [2, 1], padding: [[1, 0], [0, 1]], use_consistent_padding: true}", "1x4x3x2 3x2x2x3", "p1,1 q2,0",
       NULL, 0},
      {"{strides: [2], padding: SAME}", "1x4x3x2 3x2x2x3", "!parameter-length TypeError", NULL, 0},
      {"{strides: [0, 1], padding: SAME}", "1x4x3x2 3x2x2x3", "!input-dilation-positive TypeError", NULL, 0},
  };
  cbn_check_dialect_rows("jax", "lax.conv_transpose", rows, COUNT(rows));
}

static void flax(void **state) {
  (void)state;
  static const row conv[] = {
      {"{features: 3, kernel_size: [3, 2]}", "1x5x6x2 3x2x2x3 3",
       "out1x3x5x6 p1,0 q1,1 bias channels-last kernel-first", NULL, 0},
      {"{features: 2, kernel_size: 3, padding: CAUSAL, kernel_dilation: 2}", "6x2 3x2x2 2", "out1x2x6 p4 q0 unbatched",
       NULL, 0},
      {"{features: 2, kernel_size: [3, 2], padding: CIRCULAR}", "1x4x5x2 3x2x2x2 2", "p1,0 q1,1 circular", NULL, 0},
      {"{features: 2, kernel_size: [3, 2], padding: VALID}", "1x4x5x2 3x2x3x2 2", "!weight-shape ScopeParamShapeError",
       NULL, 0},
      {"{features: 0, kernel_size: [3, 2]}", "1x4x5x2 3x2x2x1 1", "!out-channels-positive ZeroDivisionError", NULL, 0},
      {"{features: 0, kernel_size: [0, 2]}", "1x4x5x2 3x2x2x1 1", "!kernel-positive ZeroDivisionError", NULL, 0},
      {"{features: 2, kernel_size: [3, 2]}", "1x4x5x0 3x2x0x2 2", "!in-channels-positive ZeroDivisionError", NULL, 0},
  };
  static const row norm[] = {
      {"{use_running_average: false, axis: 0, momentum: 0.75}", "3x2x4 3 3 3 3",
       "out2x3x4 batch update m0.25 eps1e-05 channels-last", NULL, 0},
      {"{use_running_average: true}", "3", "out1x3 running keep", NULL, 0},
      {"{}", "4x3", "!missing-parameter ValueError", NULL, 0},
      {"{use_running_average: true, axis_name: batch}", "4x3", "!framework-limit NotImplemented", NULL, 0},
  };
  cbn_check_dialect_rows("flax", "linen.Conv", conv, COUNT(conv));
  cbn_check_dialect_rows("flax", "linen.BatchNorm", norm, COUNT(norm));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(general), cmocka_unit_test(order_of_checks),
                                     cmocka_unit_test(transposed), cmocka_unit_test(flax)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
