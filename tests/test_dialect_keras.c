/* tests/test_dialect_keras.c - Keras' layers against docs/framework-rules.md: native axes, paddings, what the backends refuse, and
 * which rule speaks where several are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/dialect_rows.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define PLAIN "filters: 6, kernel_size: 3"

typedef cbn_dialect_row row;

static void check_rows(const char *operator_name, const row *rows, size_t count) {
  cbn_check_dialect_rows("keras", operator_name, rows, count);
}

static void shapes_are_native(void **state) {
  (void)state;
  static const row plane[] = {
      {"{" PLAIN "}", "2x9x8x4", "out2x6x7x6 weight6x4x3x3 g1 bias channels-last kernel-first", NULL, 0},
      {"{" PLAIN ", groups: 2, use_bias: 0}", "2x9x8x4", "weight6x2x3x3 g2 plain", NULL, 0},
      {"{" PLAIN ", data_format: Channels_First, backend: jax}", "2x4x9x8", "out2x6x7x6 kernel-first", NULL, 0},
      {"{" PLAIN ", padding: SAME, strides: [2, 3]}", "1x5x6x4", "out1x6x3x2 p1,0 q1,0", NULL, 0},
      {"{filters: true, kernel_size: [true, 2], padding: same}", "1x5x6x1", "out1x1x5x6 k1,2 p0,0 q0,1", NULL, 0},
  };
  static const row depthwise[] = {
      {"{kernel_size: 3, depth_multiplier: 2}", "2x9x8x4", "out2x8x7x6 weight8x1x3x3 g4 depthwise-weight", NULL, 0},
      {"{kernel_size: 2, strides: [1, 2], dilation_rate: [2, 1]}", "1x9x8x4", "out1x4x7x4 s1,2 d2,1", NULL, 0},
  };
  check_rows("layers.Conv2D", plane, COUNT(plane));
  check_rows("layers.DepthwiseConv2D", depthwise, COUNT(depthwise));
}

static void causal(void **state) {
  (void)state;
  static const row line[] = {
      {"{" PLAIN ", padding: causal, dilation_rate: 2}", "1x5x4", "out1x6x5 p4 q0", NULL, 0},
      {"{" PLAIN ", padding: causal}", "1x0x4", "!input-extent-positive ValueError", NULL, 0},
      {"{filters: 6, kernel_size: 1, padding: causal}", "1x0x4", "out1x6x0", NULL, 0},
  };
  static const row plane[] = {{"{" PLAIN ", padding: causal}", "1x5x5x4", "!padding-unknown ValueError", NULL, 0}};
  check_rows("layers.Conv1D", line, COUNT(line));
  check_rows("layers.Conv2D", plane, COUNT(plane));
}

static void transposed_extents(void **state) {
  (void)state;
  static const row line[] = {
      {"{" PLAIN "}", "1x4x2", "out1x6x6 weight2x6x3 p0 q0 o0 transposed kernel-first", NULL, 0},
      {"{" PLAIN ", strides: 5}", "1x4x2", "out1x6x20 o2", NULL, 0},
      {"{" PLAIN ", strides: 5, output_padding: 1}", "1x4x2", "out1x6x19 o1", NULL, 0},
      {"{" PLAIN ", strides: 2, padding: same}", "1x4x2", "out1x6x8 p0 q1", NULL, 0},
      {"{" PLAIN ", strides: 2, padding: same, output_padding: 0}", "1x4x2", "out1x6x7 p1 q1", NULL, 0},
      {"{filters: 1, kernel_size: 4, strides: 2, padding: same, output_padding: 0, backend: jax}", "1x4x2", "out1x1x6 p2 q2",
       NULL, 0},
      {"{filters: 1, kernel_size: 4, strides: 2, padding: same, output_padding: 0}", "1x4x2",
       "!output-shape InvalidArgumentError", NULL, 0},
      {"{" PLAIN ", dilation_rate: 2}", "1x4x2", "!framework-limit InvalidArgumentError", NULL, 0},
      {"{" PLAIN ", dilation_rate: 2, backend: jax}", "1x4x2", "out1x6x8 d2", NULL, 0},
  };
  check_rows("layers.Conv1DTranspose", line, COUNT(line));
}

/* Each row breaks its own rule and some of those of the rows below it. */
static void order_of_checks(void **state) {
  (void)state;
  static const row rows[] = {
      {"{filters: 0, nope: 1}", "5", "!missing-parameter TypeError", NULL, 0},
      {"{filters: 0, kernel_size: 0, nope: 1, name: a/b}", "5", "!parameter-type ValueError", NULL, 0},
      {"{filters: 0, kernel_size: 0, nope: 1, trainable: 1}", "5", "!unknown-parameter ValueError", NULL, 0},
      {"{filters: 0, kernel_size: 0, strides: 0, padding: 1}", "5", "!kernel-positive ValueError", NULL, 0},
      {"{filters: 0, kernel_size: 3, strides: '11', padding: 1}", "5", "!parameter-type TypeError", NULL, 0},
      {"{filters: 0, kernel_size: 3, padding: 1, data_format: x}", "5", "!parameter-type AttributeError", NULL, 0},
      {"{filters: 0, kernel_size: 3, data_format: x}", "5", "!tensor-format ValueError", NULL, 0},
      {"{filters: 0, kernel_size: 3, bias_initializer: constant}", "5", "!initializer-unknown KeyError", NULL, 0},
      {"{filters: 0, kernel_size: 3, groups: null}", "5", "!out-channels-positive ValueError", NULL, 0},
      {"{filters: 3, kernel_size: 3, groups: null}", "5", "!parameter-type TypeError", NULL, 0},
      {"{filters: 3, kernel_size: 3, groups: 2, strides: 2, dilation_rate: 2}", "5",
       "!groups-divide-out-channels ValueError", NULL, 0},
      {"{filters: 3, kernel_size: 3, strides: 2, dilation_rate: 2}", "5", "!framework-limit ValueError", NULL, 0},
      {"{filters: 3, kernel_size: 3, groups: 3}", "5x5x4", "!input-rank ValueError", NULL, 0},
      {"{filters: 3, kernel_size: 3, groups: 3}", "1x1x5x5x4", "!groups-divide-in-channels ValueError", NULL, 0},
      {"{filters: 3.0, kernel_size: 9}", "1x5x5x4", "!kernel-exceeds-input ValueError", NULL, 0},
      {"{filters: 3.0, kernel_size: 3, strides: 2147483648}", "1x5x5x4", "!parameter-type ValueError", NULL, 0},
      {"{filters: 3, kernel_size: 3, strides: 2147483648}", "1x5x5x0", "!framework-limit InvalidArgumentError", NULL, 0},
      {"{filters: 3, kernel_size: 3}", "1x5x5x0", "!in-channels-positive InvalidArgumentError", NULL, 0},
      {"{filters: 3, kernel_size: 3, backend: jax}", "1x5x5x0", "!in-channels-positive ZeroDivisionError", NULL, 0},
      {"{filters: 3, kernel_size: 3, data_format: channels_first}", "1x4x5x5", "!tensor-format UnimplementedError", NULL, 0},
      {"{filters: 3, kernel_size: 3, activation: relu}", "1x5x5x4", "!framework-limit NotImplemented", NULL, 0},
  };
  check_rows("layers.Conv2D", rows, COUNT(rows));
}

static void normalization(void **state) {
  (void)state;
  static const row rows[] = {
      {"{}", "2x5x6x3", "out2x3x5x6 running keep gamma beta mean0 var1 gamma1 beta0 eps0.00100000005 channels-last", NULL, 0},
      {"{momentum: 0.75}", "2x5x6x3", "batch update m0.25", NULL, 't'},
      {"{trainable: false}", "2x5x6x3", "running keep", NULL, 't'},
      {"{axis: 1, scale: null, center: 0}", "2x5x6x3", "out2x5x6x3 no-gamma no-beta", NULL, 0},
      {"{axis: 0}", "2x5x6", "out5x2x6", NULL, 0},
      {"{axis: 4}", "2x5x6x3", "!input-rank IndexError", NULL, 0},
      {"{axis: null, momentum: null}", "2x5", "!parameter-type TypeError", NULL, 0},
      {"{synchronized: true, momentum: null, backend: jax}", "2x5", "!framework-limit ValueError", NULL, 0},
      {"{renorm: true}", "2x5", "!framework-limit NotImplemented", NULL, 0},
      {"{gamma_initializer: identity}", "2x5", "!initializer-unknown ValueError", NULL, 0},
      {"{gamma_initializer: identity, scale: false}", "2x5", "no-gamma", NULL, 0},
      {"{}", "2x5", "running", "f16:f32", 0},
      {"{}", "2x5", "!tensor-type NotImplemented", "f32:f16", 0},
  };
  check_rows("layers.BatchNormalization", rows, COUNT(rows));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_are_native), cmocka_unit_test(causal),        cmocka_unit_test(transposed_extents),
      cmocka_unit_test(order_of_checks),   cmocka_unit_test(normalization),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
