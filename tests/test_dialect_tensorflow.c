/* tests/test_dialect_tensorflow.c - TensorFlow's functions against docs/framework-rules.md: native axes, padding, the shapes
 * that tensors bring, and which rule speaks where several are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/dialect_rows.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define VALID "strides: 1, padding: VALID"

typedef cbn_dialect_row row;

static void check_rows(const char *operator_name, const row *rows, size_t count) {
  cbn_check_dialect_rows("tensorflow", operator_name, rows, count);
}

static void shapes_are_native(void **state) {
  (void)state;
  static const row line[] = {
      {"{stride: 2, padding: VALID}", "2x9x4 3x4x6", "out2x6x4 weight6x4x3 k3 s2 g1 channels-last kernel-first", NULL, 0},
      {"{stride: [2, 3, 1], padding: VALID}", "2x9x4 3x2x6", "out2x6x3 weight6x2x3 s3 g2", NULL, 0},
  };
  static const row plane[] = {
      {"{" VALID "}", "2x9x8x4 3x2x4x6", "out2x6x7x7 weight6x4x3x2 channels-last kernel-first", NULL, 0},
      {"{strides: [1, 3, 2, 1], padding: VALID, dilations: [2, 3]}", "1x9x8x4 3x2x1x4", "s3,2 d2,3 g4", NULL, 0},
      {"{strides: [2], padding: VALID}", "1x9x8x4 3x2x4x6", "s2,2", NULL, 0},
      {"{strides: null, padding: VALID, dilations: null}", "1x9x8x4 3x2x4x6", "s1,1 d1,1", NULL, 0},
      {"{strides: [2.9, true], padding: VALID}", "1x9x8x4 3x2x4x6", "s2,1", NULL, 0},
  };
  static const row volume[] = {
      {"{strides: [1, 1, 2, 3, 1], padding: VALID}", "1x4x5x6x2 2x2x2x2x3", "out1x3x3x2x2 s1,2,3", NULL, 0},
  };
  check_rows("nn.conv1d", line, COUNT(line));
  check_rows("nn.conv2d", plane, COUNT(plane));
  check_rows("nn.conv3d", volume, COUNT(volume));
}

/* SAME: max(0, (ceil(input / stride) - 1) * stride + dilation * (kernel - 1) + 1 - input), the odd element behind */
static void padding(void **state) {
  (void)state;
  static const row rows[] = {
      {"{strides: 1, padding: SAME}", "1x5x6x1 2x3x1x1", "out1x1x5x6 p0,1 q1,1", NULL, 0},
      {"{strides: 2, padding: SAME}", "1x6x7x1 4x4x1x1", "out1x1x3x4 p1,1 q1,2", NULL, 0},
      {"{strides: 1, padding: SAME, dilations: [3, 1]}", "1x5x6x1 2x1x1x1", "p1,0 q2,0", NULL, 0},
      {"{strides: 6, padding: SAME}", "1x6x6x1 1x1x1x1", "out1x1x1x1 p0,0 q0,0", NULL, 0},
      {"{strides: 1, padding: [[0, 0], [1, 2], [3, 0], [0, 0]]}", "1x5x6x1 2x2x1x1", "p1,3 q2,0", NULL, 0},
      {"{strides: 1, padding: VALID}", "1x2x6x1 3x3x1x1", "out1x1x0x4", NULL, 0},
      {"{strides: 2, padding: VALID}", "1x1x6x1 4x3x1x1", "out1x1x0x2", NULL, 0},
      {"{strides: 1, padding: VALID}", "1x1x6x1 3x3x1x1", "!kernel-exceeds-input InvalidArgumentError", NULL, 0},
      {"{strides: 2, padding: VALID}", "1x1x6x1 5x3x1x1", "!kernel-exceeds-input InvalidArgumentError", NULL, 0},
      {"{strides: 1, padding: EXPLICIT}", "1x5x6x1 2x2x1x1", "!padding-unknown ValueError", NULL, 0},
      {"{strides: 1, padding: same}", "1x5x6x1 2x2x1x1", "!padding-unknown InvalidArgumentError", NULL, 0},
  };
  check_rows("nn.conv2d", rows, COUNT(rows));
}

/* Each row breaks its own rule and some of those of the rows below it. */
static void order_of_checks(void **state) {
  (void)state;
  static const row plane[] = {
      {"{nope: 1}", "5x4 3x3", "!unknown-parameter TypeError", NULL, 0},
      {"{strides: 1}", "5x4 3x3", "!missing-parameter TypeError", NULL, 0},
      {"{strides: [1, 1, 1], padding: [1], data_format: 1}", "5x4 3x3", "!parameter-type ValueError", NULL, 0},
      {"{strides: [1, 1, 1], padding: x, data_format: 1}", "5x4 3x3", "!parameter-type AttributeError", NULL, 0},
      {"{strides: [1, 1, 1], padding: null}", "5x4 3x3", "!parameter-length ValueError", NULL, 0},
      {"{strides: a, padding: null}", "5x4 3x3", "!parameter-type TypeError", NULL, 0},
      {"{strides: 0, padding: x, data_format: x}", "5x4 3x3", "!tensor-format InvalidArgumentError", "f16:f32", 0},
      {"{strides: 0, padding: x}", "5x4 3x3", "!padding-unknown InvalidArgumentError", "f16:f32", 0},
      {"{strides: 0, padding: VALID}", "5x4 3x3", "!tensor-type InvalidArgumentError", "f16:f32", 0},
      {"{strides: 0, padding: VALID, dilations: 2147483648}", "5x4 3x3", "!framework-limit InvalidArgumentError", NULL, 0},
      {"{strides: [2, 0, 1, 1], padding: VALID}", "5x4 3x3", "!framework-limit UnimplementedError", NULL, 0},
      {"{strides: 0, padding: VALID, dilations: [2, 1, 1, 1]}", "5x4 3x3", "!stride-positive InvalidArgumentError", NULL, 0},
      {"{strides: 1, padding: [[0, 0], [-1, 0], [0, 0], [0, 0]], dilations: 0}", "5x4 3x3",
       "!dilation-positive InvalidArgumentError", NULL, 0},
      {"{strides: 1, padding: [[1, 0], [-1, 0], [0, 0], [0, 0]]}", "5x4 3x3", "!padding-non-negative InvalidArgumentError",
       NULL, 0},
      {"{" VALID "}", "5x4 3x3", "!input-rank InvalidArgumentError", NULL, 0},
      {"{" VALID "}", "1x5x5x4 9x9x3", "!weight-shape InvalidArgumentError", NULL, 0},
      {"{" VALID "}", "1x5x5x5 9x9x0x3", "!in-channels-positive InvalidArgumentError", NULL, 0},
      {"{" VALID "}", "1x5x5x5 9x9x4x3", "!input-channels-mismatch InvalidArgumentError", NULL, 0},
      {"{" VALID ", data_format: NCHW}", "1x8x5x5 9x9x4x3", "!kernel-exceeds-input InvalidArgumentError", NULL, 0},
      {"{" VALID ", data_format: NCHW}", "1x8x5x5 0x3x4x3", "!tensor-format UnimplementedError", NULL, 0},
      {"{" VALID "}", "1x5x5x8 0x3x4x3", "!kernel-positive InvalidArgumentError", NULL, 0},
      {"{" VALID "}", "1x5x5x8 3x3x4x3", "!groups-divide-out-channels InvalidArgumentError", NULL, 0},
  };
  static const row volume[] = {
      {"{strides: 2, padding: null}", "5x4 3x3", "!parameter-type TypeError", NULL, 0},
      {"{strides: [1], padding: x}", "5x4 3x3", "!padding-unknown InvalidArgumentError", NULL, 0},
      {"{strides: [1], padding: VALID}", "5x4 3x3", "!parameter-length InvalidArgumentError", "f16:f32", 0},
      {"{strides: [2, 0, 1, 1, 1], padding: VALID, dilations: [1]}", "5x4 3x3", "!framework-limit InvalidArgumentError", NULL, 0},
      {"{strides: [1, 0, 1, 1, 1], padding: VALID, dilations: [1]}", "5x4 3x3", "!stride-positive InvalidArgumentError", NULL, 0},
      {"{strides: [1, 1, 1, 1, 1], padding: VALID, dilations: [1]}", "5x4 3x3", "!parameter-length InvalidArgumentError", NULL, 0},
      {"{strides: [1, 1, 1, 1, 1], padding: VALID, dilations: [1, 2, 1, 1, 1]}", "1x5x5x5x8 3x3x3x4x6",
       "!framework-limit InvalidArgumentError", NULL, 0},
      {"{strides: [1, 1, 1, 1, 1], padding: VALID}", "1x5x5x5x8 3x3x3x4x6", "!input-channels-mismatch InvalidArgumentError", NULL, 0},
  };
  check_rows("nn.conv2d", plane, COUNT(plane));
  check_rows("nn.conv3d", volume, COUNT(volume));
}

static void transposed_extents(void **state) {
  (void)state;
  static const row rows[] = {
      {"{output_shape: [1, 5, 6, 4], " VALID "}", "1x3x4x6 3x3x4x6",
       "out1x4x5x6 weight6x4x3x3 p0,0 q0,0 o0,0 transposed channels-last kernel-first", NULL, 0},
      {"{output_shape: [7, 8], strides: 2, padding: VALID}", "1x3x3x6 3x3x4x6", "out1x4x7x8 o0,1", NULL, 0},
      {"{output_shape: [5, 6], strides: 2}", "1x3x3x6 3x3x4x6", "out1x4x5x6 p1,0 q1,1 o0,0", NULL, 0},
      {"{output_shape: [9, 7], strides: 3}", "1x3x3x6 1x1x4x6", "out1x4x9x7 p0,0 q0,0 o2,0", NULL, 0},
      {"{output_shape: [4, 5], strides: 2, padding: [[0, 0], [2, 1], [1, 2], [0, 0]]}", "1x3x3x6 3x3x4x6", "p2,1 q1,2 o0,1",
       NULL, 0},
      {"{output_shape: [6, 7], strides: 2, padding: VALID}", "1x3x3x6 3x3x4x6", "!output-shape InvalidArgumentError", NULL, 0},
      {"{output_shape: [1, 5, 5, 8], " VALID "}", "1x3x3x6 3x3x4x6", "!framework-limit InvalidArgumentError", NULL, 0},
      {"{output_shape: [2, 5, 5, 3], " VALID "}", "1x3x3x5 3x3x4x6", "!output-shape InvalidArgumentError", NULL, 0},
      {"{output_shape: 5, " VALID ", data_format: NCHW}", "3x6 3x3", "!tensor-format InvalidArgumentError", NULL, 0},
  };
  check_rows("nn.conv2d_transpose", rows, COUNT(rows));
}

static void normalization(void **state) {
  (void)state;
  static const row rows[] = {
      {"{}", "2x5x6x3 3 3", "out2x3x5x6 batch update gamma beta m1 eps0.00100000005 channels-last", NULL, 0},
      {"{exponential_avg_factor: 0.25, data_format: NCHW}", "2x3x5x6 3 3 3 3", "out2x3x5x6 batch update m0.25", NULL, 0},
      {"{is_training: false, epsilon: null}", "2x5x6x3 3 3 3 3", "running keep eps9.99999975e-05", NULL, 0},
      {"{is_training: 0}", "2x5x6x3 3 3", "!missing-parameter ValueError", NULL, 0},
      {"{is_training: 0}", "2x5x6x3 3 3 3 3", "!parameter-type TypeError", NULL, 0},
      {"{exponential_avg_factor: null}", "2x5x6x3 3 3", "!missing-parameter ValueError", NULL, 0},
      {"{}", "2x5x3 3 3", "!input-rank InvalidArgumentError", NULL, 0},
      {"{}", "2x5x6x3 3 4", "!statistics-shape InvalidArgumentError", NULL, 0},
      {"{}", "2x5x6x3 3 3", "!tensor-type NotFoundError", "bf16:bf16", 0},
      {"{}", "2x5x6x3 3 3", "!tensor-type InvalidArgumentError", "f64:f32", 0},
  };
  check_rows("compat.v1.nn.fused_batch_norm", rows, COUNT(rows));
}

/* As many axes as the filters have; dilated by phases, what Python checks comes first. */
static void any_number_of_axes(void **state) {
  (void)state;
  static const row rows[] = {
      {"{}", "2x9x8x4 3x2x4x6", "out2x6x7x7 weight6x4x3x2 s1,1 d1,1 channels-last kernel-first", NULL, 0},
      {"{strides: 2.5, padding: SAME}", "2x9x4 3x2x6", "out2x6x5 s2 g2", NULL, 0},
      {"{dilations: [1, 2, 1]}", "1x4x5x6x2 2x2x2x2x3", "out1x3x3x3x5 d1,2,1", NULL, 0},
      {"{dilations: 2, padding: [[9, 9], [1, 2], [0, 1], [9, 9]]}", "1x5x6x2 2x2x2x3", "out1x3x6x5 p1,0 q2,1", NULL, 0},
      {"{dilations: [1.5, 1], padding: [[0, 0], [1, 2], [0, 1], [0, 0]]}", "1x5x6x2 2x2x2x3", "d1,1 p1,0 q2,1", NULL, 0},
      {"{dilations: [2, 2, 1, 5]}", "1x5x6x2 2x2x2x3", "out1x3x3x5 d2,1", NULL, 0},
      {"{dilations: [1, 1, 1]}", "5x4 3x3", "!weight-shape ValueError", "f16:f32", 0},
      {"{dilations: [1, 1, 1], strides: []}", "5x4 3x3x4x4", "!parameter-length ValueError", "f16:f32", 0},
      {"{dilations: 2, strides: 0}", "5x4 3x3x4x4", "!input-rank ValueError", "f16:f32", 0},
      {"{dilations: 2, strides: 0, data_format: 1}", "1x5x5x3 3x3x4x4", "!parameter-type AttributeError", "f16:f32", 0},
      {"{dilations: 0, strides: 0}", "1x5x5x3 3x3x0x4", "!in-channels-positive ZeroDivisionError", "f16:f32", 0},
      {"{dilations: 0, strides: 0}", "1x5x5x3 3x3x4x4", "!input-channels-mismatch ValueError", "f16:f32", 0},
      {"{dilations: 3000000000, strides: 0}", "1x5x5x4 3x3x4x4", "!framework-limit OverflowError", "f16:f32", 0},
      {"{dilations: 0, strides: 0}", "1x5x5x4 3x3x4x4", "!dilation-positive ValueError", "f16:f32", 0},
      {"{dilations: 2, strides: 0}", "1x5x5x4 3x3x4x4", "!stride-positive ValueError", "f16:f32", 0},
      {"{dilations: 2, strides: 2, padding: x}", "1x5x5x4 3x3x4x4", "!framework-limit ValueError", "f16:f32", 0},
      {"{dilations: 2, padding: x, data_format: x}", "1x5x5x4 3x3x4x4", "!padding-unknown ValueError", "f16:f32", 0},
      {"{dilations: 2, data_format: x}", "1x5x5x4 3x3x4x4", "!tensor-format ValueError", "f16:f32", 0},
      {"{dilations: 2}", "1x5x3x4 3x3x4x4", "!tensor-type InvalidArgumentError", "f16:f32", 0},
      {"{dilations: 2}", "1x5x3x4 3x3x4x4", "!kernel-exceeds-input InvalidArgumentError", NULL, 0},
      {"{strides: 0, padding: x, data_format: x}", "5x4 3x3x4x4", "!tensor-format InvalidArgumentError", "f16:f32", 0},
      {"{strides: 0, padding: x}", "5x4 3x3x4x4", "!padding-unknown InvalidArgumentError", "f16:f32", 0},
      /* without a batch axis the stride is taken for that of the channels */
      {"{strides: 2}", "5x4 3x4x4", "!framework-limit UnimplementedError", NULL, 0},
      {"{strides: [1, 2, 1]}", "5x4 3x4x4", "!input-rank InvalidArgumentError", NULL, 0},
      {"{padding: [[0, 0], [0, 0], [0, 0], [0, 0]]}", "1x5x5x4 3x3x4x4", "!parameter-type TypeError", NULL, 0},
  };
  check_rows("nn.convolution", rows, COUNT(rows));
}

#define ONES "strides: [1, 1, 1, 1], padding: VALID"

static void depthwise(void **state) {
  (void)state;
  static const row rows[] = {
      {"{" ONES "}", "2x9x8x4 3x2x4x3", "out2x12x7x7 weight12x1x3x2 g4 channels-last depthwise-weight", NULL, 0},
      {"{strides: [1, 2, 2, 1], padding: SAME}", "1x9x8x4 3x2x4x1", "out1x4x5x4 p1,0 q1,0", NULL, 0},
      {"{" ONES ", dilations: [2, 3]}", "1x9x8x4 3x2x4x1", "out1x4x5x5 d2,3", NULL, 0},
      {"{" ONES ", dilations: [1, 1, 1]}", "1x9x8x4 3x2x4x1", "out1x4x7x7 d1,1", NULL, 0},
      {"{strides: 1, padding: x, dilations: 2, data_format: 1}", "5 3", "!parameter-type TypeError", "f16:f32", 0},
      {"{strides: 1, padding: x, dilations: [2], data_format: 1}", "5 3", "!parameter-type TypeError", "f16:f32", 0},
      {"{strides: 1, padding: x, dilations: [0], data_format: 1}", "5 3", "!parameter-type AttributeError", "f16:f32", 0},
      {"{strides: 1, padding: x, dilations: []}", "5 3", "!parameter-length IndexError", "f16:f32", 0},
      {"{strides: 1, padding: x, dilations: [0]}", "5 3", "!input-rank ValueError", "f16:f32", 0},
      {"{strides: 1, padding: x, dilations: [0, 1]}", "5x5x4 3", "!dilation-positive ValueError", "f16:f32", 0},
      {"{strides: [1], padding: x, dilations: [2, 1]}", "5x5x4 3", "!padding-unknown ValueError", "f16:f32", 0},
      {"{strides: 1, padding: x}", "5x5x4 3", "!parameter-type TypeError", "f16:f32", 0},
      {"{strides: [0], padding: x}", "5x5x4 3", "!padding-unknown InvalidArgumentError", "f16:f32", 0},
      {"{strides: [0], padding: VALID}", "5x5x4 3", "!tensor-type InvalidArgumentError", "f16:f32", 0},
      {"{strides: [0], padding: VALID}", "5x5x4 3", "!parameter-length InvalidArgumentError", NULL, 0},
      {"{strides: [2, 0, 1, 1], padding: VALID}", "5x5x4 3", "!framework-limit InvalidArgumentError", NULL, 0},
      {"{strides: [1, 0, 0, 1], padding: VALID}", "5x5x4 3", "!input-rank InvalidArgumentError", NULL, 0},
      {"{strides: [1, 0, 0, 1], padding: VALID}", "1x5x5x4 3", "!weight-shape InvalidArgumentError", NULL, 0},
      {"{strides: [1, 0, 0, 1], padding: VALID}", "1x5x5x4 9x3x2x1", "!input-channels-mismatch InvalidArgumentError",
       NULL, 0},
      {"{strides: [1, 0, 0, 1], padding: VALID}", "1x5x5x4 9x3x4x1", "!stride-positive InvalidArgumentError", NULL, 0},
      {"{" ONES ", data_format: NCHW}", "1x4x5x5 9x3x4x1", "!kernel-exceeds-input InvalidArgumentError", NULL, 0},
      {"{" ONES ", data_format: NCHW}", "1x4x5x5 3x3x4x1", "!tensor-format UnimplementedError", NULL, 0},
      {"{strides: [1, 2, 2, 1], padding: VALID, dilations: [2, 2]}", "1x9x9x4 3x3x4x1", "!framework-limit NotImplemented",
       NULL, 0},
  };
  check_rows("nn.depthwise_conv2d", rows, COUNT(rows));
}

static void plain_normalization(void **state) {
  (void)state;
  static const row rows[] = {
      {"{variance_epsilon: 0.5}", "2x5x3 3 3 3 3", "out2x3x5 running keep gamma beta eps0.5 channels-last", NULL, 0},
      {"{variance_epsilon: 1.0e-3}", "2x3 3 3 3 3", "out2x3 eps0.00100040436", "f16:f16", 0},
      {"{}", "2x3 3 3 3 3", "!missing-parameter TypeError", NULL, 0},
      {"{variance_epsilon: null}", "2x3 3 3 3", "!missing-parameter TypeError", NULL, 0},
      {"{variance_epsilon: null}", "2x3 3 3 3 4", "!parameter-type ValueError", NULL, 0},
      {"{variance_epsilon: a}", "2x3 3 3 3 4", "!parameter-type InvalidArgumentError", NULL, 0},
      {"{variance_epsilon: 1}", "2x3 3 3 3 4", "!statistics-shape InvalidArgumentError", NULL, 0},
      {"{variance_epsilon: 1}", "2x3 3 3 3 1", "!statistics-shape NotImplemented", NULL, 0},
      {"{variance_epsilon: 1}", "3 3 3 3 3", "!input-rank NotImplemented", NULL, 0},
      {"{variance_epsilon: 1}", "2x3 3 3 3 3", "!tensor-type NotImplemented", "f32:f64", 0},
  };
  check_rows("nn.batch_normalization", rows, COUNT(rows));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_are_native),  cmocka_unit_test(padding),       cmocka_unit_test(order_of_checks),
      cmocka_unit_test(transposed_extents), cmocka_unit_test(normalization), cmocka_unit_test(any_number_of_axes),
      cmocka_unit_test(depthwise),          cmocka_unit_test(plain_normalization),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
