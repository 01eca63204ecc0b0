/* tests/test_dialect_onnx.c - ONNX's operators against docs/framework-rules.md: attributes, the shapes that tensors bring,
 * auto_pad and output_shape, operator sets, types, and which rule speaks where several are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dialects/dialect.h"
#include "tests/dialect_rows.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef cbn_dialect_row row;

static void check_rows(const char *operator_name, const row *rows, size_t count) {
  cbn_check_dialect_rows("onnx", operator_name, rows, count);
}

/* ------------------------------------------------------------------------------------------------------------ Conv */

static void conv_is_made_of_its_tensors(void **state) {
  (void)state;
  static const row rows[] = {
      {"{}", "2x4x9 6x4x3", "out2x6x7 weight6x4x3 k3 s1 d1 p0 q0 g1 zeros plain", NULL, 0},
      {"{}", "2x4x9 6x4x3 6", "out2x6x7 bias", NULL, 0},
      {"{group: 2, strides: [2, 1], dilations: [1, 3], pads: [1, 0, 2, 3]}", "1x4x9x9 6x2x2x3 6",
       "out1x6x6x6 weight6x2x2x3 k2,3 s2,1 d1,3 p1,0 q2,3 g2 bias", NULL, 0},
      {"{pads: [1, 2, 3, 4, 5, 6]}", "1x1x5x5x5 1x1x2x2x2", "p1,2,3 q4,5,6", NULL, 0},
      {"{kernel_shape: [3]}", "1x4x9 6x4x3", "k3", NULL, 0},
      {"{strides: null, group: null, auto_pad: null}", "1x4x9 6x4x3", "out1x6x7 s1 g1", NULL, 0},
      {"{group: true}", "1x4x9 6x4x3", "g1", NULL, 0},
      {"{}", "0x4x9 6x4x3", "out0x6x7", NULL, 0},
      {"{}", "1x4x9 0x4x3", "out1x0x7", NULL, 0},
      {"{}", "1x0x9 6x0x3 6", "out1x6x7", NULL, 0},
      {"{pads: [2, 1]}", "1x4x0 6x4x3", "out1x6x1", NULL, 0},
      {"{strides: [9223372036854775807]}", "1x4x9 6x4x3", "out1x6x1", NULL, 0},
      {"{}", "1x1x3x3x3x3 1x1x2x2x2x2", "!spatial-rank NotImplemented", NULL, 0},
  };
  check_rows("Conv", rows, COUNT(rows));
}

/* max(0, (ceil(input / stride) - 1) * stride + dilation * (kernel - 1) + 1 - input) */
static void conv_pads_by_name(void **state) {
  (void)state;
  static const row rows[] = {
      {"{auto_pad: SAME_UPPER}", "1x1x5 1x1x2", "out1x1x5 p0 q1", NULL, 0},
      {"{auto_pad: SAME_LOWER}", "1x1x5 1x1x2", "out1x1x5 p1 q0", NULL, 0},
      {"{auto_pad: SAME_UPPER, strides: [2]}", "1x1x5 1x1x4", "out1x1x3 p1 q2", NULL, 0},
      {"{auto_pad: SAME_LOWER, strides: [2]}", "1x1x6 1x1x4", "out1x1x3 p1 q1", NULL, 0},
      {"{auto_pad: SAME_LOWER, dilations: [3]}", "1x1x5 1x1x2", "out1x1x5 p2 q1", NULL, 0},
      {"{auto_pad: SAME_UPPER, strides: [3]}", "1x1x5 1x1x1", "out1x1x2 p0 q0", NULL, 0},
      {"{auto_pad: SAME_UPPER, strides: [6]}", "1x1x6 1x1x1", "out1x1x1 p0 q0", NULL, 0},
      {"{auto_pad: SAME_LOWER, strides: [9223372036854775807]}", "1x1x6 1x1x1", "out1x1x1 p0 q0", NULL, 0},
      {"{auto_pad: VALID}", "1x1x5 1x1x2", "out1x1x4 p0 q0", NULL, 0},
      {"{auto_pad: NOTSET, pads: [0, 1]}", "1x1x5 1x1x2", "p0 q1", NULL, 0},
      {"{auto_pad: '', pads: [0, 1]}", "1x1x5 1x1x2", "p0 q1", NULL, 0},
      {"{auto_pad: same_upper}", "1x1x5 1x1x2", "!padding-unknown Fail", NULL, 0},
      {"{auto_pad: VALID, pads: [0, 0]}", "1x1x5 1x1x2", "!padding-must-be-zero Fail", NULL, 0},
      {"{auto_pad: SAME_UPPER}", "1x1x0 1x1x3", "!kernel-exceeds-input InvalidArgument", NULL, 0},
  };
  check_rows("Conv", rows, COUNT(rows));
}

static void attributes_have_types(void **state) {
  (void)state;
  static const row rows[] = {
      {"{strides: 1}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{strides: [1.0]}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{strides: [1, 1.5]}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{strides: [a]}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{strides: {a: 1}}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{strides: [1, a]}", "1x1x5 1x1x2", "!parameter-type ValueError", NULL, 0},
      {"{strides: [[1]]}", "1x1x5 1x1x2", "!parameter-type ValueError", NULL, 0},
      {"{strides: [null]}", "1x1x5 1x1x2", "!parameter-type ValueError", NULL, 0},
      {"{strides: [true]}", "1x1x5 1x1x2", "!parameter-type TypeError", NULL, 0},
      {"{strides: []}", "1x1x5 1x1x2", "!parameter-length Fail", NULL, 0},
      {"{group: 1.0}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{group: [1]}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{auto_pad: true}", "1x1x5 1x1x2", "!parameter-type InvalidGraph", NULL, 0},
      {"{opset: 22.0}", "1x1x5 1x1x2", "!parameter-type TypeError", NULL, 0},
      {"{stride: [1]}", "1x1x5 1x1x2", "!unknown-parameter InvalidGraph", NULL, 0},
      {"{nope: null}", "1x1x5 1x1x2", "out1x1x4", NULL, 0},
      {"{output_shape: [4]}", "1x1x5 1x1x2", "!unknown-parameter InvalidGraph", NULL, 0},
  };
  check_rows("Conv", rows, COUNT(rows));
}

static void operator_sets(void **state) {
  (void)state;
  static const row conv[] = {
      {"{opset: 0}", "1x1x5 1x1x2", "!framework-limit InvalidGraph", NULL, 0},
      {"{opset: 1}", "1x1x5 1x1x2", "out1x1x4", NULL, 0},
      {"{opset: 28}", "1x1x5 1x1x2", "out1x1x4", NULL, 0},
      {"{opset: 29}", "1x1x5 1x1x2", "!framework-limit Fail", NULL, 0},
      {"{opset: 21}", "1x1x5 1x1x2", "!tensor-type InvalidGraph", "bf16:bf16", 0},
      {"{opset: 22}", "1x1x5 1x1x2", "out1x1x4", "bf16:bf16", 0},
      {"{}", "1x1x5 1x1x2", "out1x1x4", "bf16:bf16", 0},
      {"{opset: 1}", "1x1x5 1x1x2", "out1x1x4", "f16:f16", 0},
      {"{opset: 1}", "1x1x5 1x1x2", "out1x1x4", "f64:f64", 0},
      {"{}", "1x1x5 1x1x2", "!tensor-type Fail", "f16:f32", 0},
  };
  static const row transposed[] = {
      {"{opset: 10, auto_pad: '', pads: [0, 0]}", "1x1x3 1x1x2", "out1x1x4", NULL, 0},
      {"{opset: 11, auto_pad: '', pads: [0, 0]}", "1x1x3 1x1x2", "!padding-must-be-zero Fail", NULL, 0},
      {"{opset: 10, auto_pad: same, pads: [0, 0]}", "1x1x3 1x1x2", "!padding-unknown Fail", NULL, 0},
      {"{opset: 11, auto_pad: same, pads: [0, 0]}", "1x1x3 1x1x2", "!padding-must-be-zero Fail", NULL, 0},
      {"{opset: 21}", "1x1x3 1x1x2", "!tensor-type InvalidGraph", "bf16:bf16", 0},
  };
  static const row norm[] = {
      {"{opset: 8}", "2x3 3 3 3 3", "!framework-limit NotImplemented", NULL, 0},
      {"{opset: 9}", "2x3 3 3 3 3", "out2x3 running keep", NULL, 0},
      {"{opset: 13}", "2x3 3 3 3 3", "batch update", NULL, 't'},
      {"{opset: 13, training_mode: 1}", "2x3 3 3 3 3", "!unknown-parameter InvalidGraph", NULL, 0},
      {"{opset: 14, training_mode: 1}", "2x3 3 3 3 3", "batch update", NULL, 0},
      {"{opset: 14, training_mode: 0}", "2x3 3 3 3 3", "!training-outputs Fail", NULL, 't'},
      {"{opset: 13}", "2x3 3 3 3 3", "!tensor-type InvalidGraph", "bf16:bf16", 0},
      {"{opset: 14}", "2x3 3 3 3 3", "running", "bf16:bf16", 0},
      {"{opset: 14}", "2x3 3 3 3 3", "!tensor-type Fail", "f16:f32", 0},
      {"{opset: 15}", "2x3 3 3 3 3", "running", "f16:f32", 0},
  };
  check_rows("Conv", conv, COUNT(conv));
  check_rows("ConvTranspose", transposed, COUNT(transposed));
  check_rows("BatchNormalization", norm, COUNT(norm));
}

/* Each row breaks its own rule and those of the rows below it, as far as one key can have one value. */
static void conv_checks_in_this_order(void **state) {
  (void)state;
  static const row rows[] = {
      {"{opset: 29, nope: 1, dilations: [0]}", "1x4", "!framework-limit Fail", NULL, 0},
      {"{nope: 1, dilations: [0]}", "1x4", "!missing-parameter InvalidGraph", NULL, 0},
      {"{nope: 1, dilations: [0]}", "1x4 6x5x3", "!unknown-parameter InvalidGraph", "f16:f32", 0},
      {"{dilations: [0]}", "1x4 6x5x3", "!tensor-type Fail", "f16:f32", 0},
      {"{dilations: [0]}", "1x4 6x5x3", "!input-rank Fail", NULL, 0},
      {"{dilations: [0], strides: [0], pads: [1]}", "1x4x9 6x5x0", "!dilation-positive Fail", NULL, 0},
      {"{strides: [0], pads: [1]}", "1x4x9 6x5x0", "!stride-positive Fail", NULL, 0},
      {"{kernel_shape: [0], pads: [1]}", "1x4x9 6x5x0x0", "!kernel-positive Fail", NULL, 0},
      {"{pads: [1]}", "1x4x9 6x5x0x0", "!weight-shape Fail", NULL, 0},
      {"{pads: [1]}", "1x4x9 6x5x0", "!kernel-positive Fail", NULL, 0},
      {"{pads: [1], dilations: [9223372036854775807]}", "1x4x9 6x5x3", "!parameter-length Fail", NULL, 0},
      {"{pads: [-1, 1], dilations: [9223372036854775807]}", "1x4x9 6x5x3", "!padding-non-negative Fail", NULL, 0},
      {"{dilations: [9223372036854775807], auto_pad: x}", "1x4x9 6x5x3", "!extent-overflow Fail", NULL, 0},
      {"{auto_pad: x, pads: [1, 1], group: 0}", "1x4x9 6x5x3", "!padding-unknown Fail", NULL, 0},
      {"{auto_pad: VALID, pads: [1, 1], group: 0}", "1x4x9 6x5x3", "!padding-must-be-zero Fail", NULL, 0},
      {"{kernel_shape: [9], group: 0}", "1x4x9 6x5x3x3 5", "!weight-shape Fail", NULL, 0},
      {"{kernel_shape: [9], group: 0}", "1x4x9 6x5x3 5", "!groups-positive Fail", NULL, 0},
      {"{kernel_shape: [9], group: 4}", "1x4x9 6x5x3 5", "!input-channels-mismatch Fail", NULL, 0},
      {"{kernel_shape: [9], group: 4}", "1x4x9 6x1x3 5", "!groups-divide-out-channels Fail", NULL, 0},
      {"{kernel_shape: [9]}", "1x4x9 6x4x12 5", "!bias-shape Fail", NULL, 0},
      {"{kernel_shape: [9]}", "1x4x9 6x4x12 6", "!weight-shape Fail", NULL, 0},
      {"{}", "1x4x9 6x4x12 6", "!kernel-exceeds-input InvalidArgument", NULL, 0},
  };
  check_rows("Conv", rows, COUNT(rows));
}

/* --------------------------------------------------------------------------------------------------- ConvTranspose */

static void transposed_extents(void **state) {
  (void)state;
  static const row rows[] = {
      {"{}", "2x4x9 4x6x3", "out2x6x11 weight4x6x3 k3 s1 d1 p0 q0 o0 g1 zeros plain transposed", NULL, 0},
      {"{group: 2, strides: [2], pads: [1, 2], dilations: [2], output_padding: [1]}", "1x4x9 4x3x3 6",
       "out1x6x19 weight4x3x3 s2 d2 p1 q2 o1 g2 bias", NULL, 0},
      /* SAME: input times stride, whatever the kernel */
      {"{auto_pad: SAME_UPPER}", "1x1x3 1x1x2", "out1x1x3 p0 q1", NULL, 0},
      {"{auto_pad: SAME_LOWER}", "1x1x3 1x1x2", "out1x1x3 p1 q0", NULL, 0},
      {"{auto_pad: SAME_UPPER, strides: [3]}", "1x1x3 1x1x1", "out1x1x9 p-1 q-1", NULL, 0},
      {"{auto_pad: SAME_UPPER, strides: [4]}", "1x1x3 1x1x1", "out1x1x12 p-2 q-1", NULL, 0},
      {"{auto_pad: SAME_LOWER, strides: [4]}", "1x1x3 1x1x1", "out1x1x12 p-1 q-2", NULL, 0},
      {"{auto_pad: SAME_LOWER, strides: [4], output_padding: [3]}", "1x1x3 1x1x1", "out1x1x12 p0 q0 o3", NULL, 0},
      {"{auto_pad: VALID, strides: [2]}", "1x1x3 1x1x3", "out1x1x7 p0 q0", NULL, 0},
      /* what is asked for */
      {"{output_shape: [5], strides: [2]}", "1x1x3 1x1x4", "out1x1x5 p2 q1", NULL, 0},
      {"{output_shape: [5], strides: [2], opset: 1}", "1x1x3 1x1x4", "out1x1x5 p2 q1", NULL, 0},
      {"{output_shape: [5], strides: [2], auto_pad: SAME_UPPER}", "1x1x3 1x1x4", "out1x1x5 p1 q2", NULL, 0},
      {"{output_shape: [5], strides: [2], auto_pad: SAME_LOWER}", "1x1x3 1x1x4", "out1x1x5 p2 q1", NULL, 0},
      {"{output_shape: [5], strides: [2], auto_pad: VALID}", "1x1x3 1x1x4", "out1x1x5 p2 q1", NULL, 0},
      {"{output_shape: [5], strides: [2], pads: [0, 9]}", "1x1x3 1x1x4", "out1x1x5 p2 q1", NULL, 0},
      {"{output_shape: [10], strides: [3]}", "1x1x3 1x1x2", "out1x1x10 p0 q-2", NULL, 0},
      {"{output_shape: [10], strides: [3], output_padding: [1]}", "1x1x3 1x1x2", "out1x1x10 p0 q-1 o1", NULL, 0},
      {"{output_shape: [11], strides: [3]}", "1x1x3 1x1x2", "!output-padding-range InvalidArgument", NULL, 0},
      {"{output_shape: [11], strides: [3], auto_pad: SAME_LOWER}", "1x1x3 1x1x2", "out1x1x11 p-1 q-2", NULL, 0},
      {"{output_shape: [0]}", "1x1x3 1x1x2", "!output-extent-positive InvalidArgument", NULL, 0},
      /* the edges */
      {"{pads: [2, 1]}", "1x1x3 1x1x2", "out1x1x1", NULL, 0},
      {"{pads: [2, 2]}", "1x1x3 1x1x2", "!output-extent-positive InvalidArgument", NULL, 0},
      {"{pads: [2, 2]}", "0x1x3 1x1x2", "!output-extent-positive InvalidArgument", NULL, 0},
      {"{strides: [2], dilations: [3], output_padding: [1]}", "1x1x3 1x1x2", "o1", NULL, 0},
      {"{strides: [2], dilations: [3], output_padding: [2]}", "1x1x3 1x1x2", "!output-padding-range InvalidArgument", NULL, 0},
      {"{pads: [9223372036854775807, 9223372036854775807]}", "1x1x3 1x1x2", "!extent-overflow Fail", NULL, 0},
      {"{strides: [4611686018427387904]}", "1x1x3 1x1x2", "!extent-overflow Fail", NULL, 0},
      {"{}", "1x1x0 1x1x2", "!input-extent-positive NotImplemented", NULL, 0},
  };
  check_rows("ConvTranspose", rows, COUNT(rows));
}

static void transposed_checks_in_this_order(void **state) {
  (void)state;
  static const row rows[] = {
      {"{group: 0, dilations: [0]}", "1x5", "!missing-parameter InvalidGraph", NULL, 0},
      {"{group: 0, dilations: [0]}", "1x5 4x2x3", "!groups-positive Fail", NULL, 0},
      {"{group: 2, dilations: [0]}", "1x5 4x2x3", "!input-rank Fail", NULL, 0},
      {"{group: 2, dilations: [0]}", "1x5x9 4x2x3", "!groups-divide-in-channels Fail", NULL, 0},
      {"{dilations: [0], strides: [0]}", "1x5x9 4x2x3", "!dilation-positive Fail", NULL, 0},
      {"{strides: [0], kernel_shape: [0]}", "1x5x9 4x2x3", "!stride-positive Fail", NULL, 0},
      {"{kernel_shape: [0], auto_pad: x, pads: [1]}", "1x5x9 4x2x3", "!kernel-positive Fail", NULL, 0},
      {"{auto_pad: x, pads: [1], output_shape: [-1]}", "1x5x9 4x2x3x3", "!weight-shape Fail", NULL, 0},
      {"{auto_pad: x, pads: [1], output_shape: [-1]}", "1x5x9 4x2x3", "!padding-must-be-zero Fail", NULL, 0},
      {"{pads: [1], output_shape: [-1], output_padding: [-1]}", "1x5x9 4x2x3", "!parameter-length Fail", NULL, 0},
      {"{output_shape: [-1], output_padding: [-1], auto_pad: x}", "1x5x9 4x2x3", "!output-extent-positive Fail", NULL, 0},
      {"{output_padding: [-1], auto_pad: x}", "1x5x9 4x2x3 3", "!output-padding-range Fail", NULL, 0},
      {"{auto_pad: x, output_padding: [9]}", "1x5x9 4x2x3 3", "!padding-unknown Fail", NULL, 0},
      {"{kernel_shape: [9], output_padding: [9]}", "1x5x9 4x2x3x3 3", "!weight-shape InvalidArgument", NULL, 0},
      {"{kernel_shape: [9], output_padding: [9]}", "1x5x9 4x2x3 3", "!input-channels-mismatch InvalidArgument", NULL, 0},
      {"{kernel_shape: [9], output_padding: [9]}", "1x4x9 4x2x3 3", "!bias-shape InvalidArgument", NULL, 0},
      {"{kernel_shape: [9], output_padding: [9]}", "1x4x9 4x2x3 2", "!weight-shape Fail", NULL, 0},
      {"{output_shape: [0], output_padding: [9]}", "1x4x9 4x2x3 2", "!output-padding-range InvalidArgument", NULL, 0},
      {"{output_shape: [0]}", "1x4x9 4x2x3 2", "!output-extent-positive InvalidArgument", NULL, 0},
  };
  check_rows("ConvTranspose", rows, COUNT(rows));
}

/* ---------------------------------------------------------------------------------------------- BatchNormalization */

static void batch_normalization(void **state) {
  (void)state;
  static const row rows[] = {
      {"{}", "2x3 3 3 3 3", "out2x3 running keep gamma beta eps9.99999975e-06 m0.100000024", NULL, 0},
      {"{training_mode: 1}", "2x3x4x5x6 3 3 3 3", "out2x3x4x5x6 batch update", NULL, 0},
      {"{training_mode: 2}", "2x3 3 3 3 3", "batch update", NULL, 0},
      {"{training_mode: true}", "2x3 3 3 3 3", "batch update", NULL, 0},
      {"{training_mode: 1}", "2x3 3 3 3 3", "batch update", NULL, 't'},
      {"{epsilon: 0.1, momentum: 0.75}", "2x3 3 3 3 3", "eps0.100000001 m0.25", NULL, 0},
      {"{epsilon: -1.0, momentum: 2.0}", "2x3 3 3 3 3", "eps-1 m-1", NULL, 0},
      {"{epsilon: 0, momentum: 0.9}", "2x3 3 3 3 3", "!parameter-type InvalidGraph", NULL, 0},
      {"{momentum: 1}", "2x3 3 3 3 3", "!parameter-type InvalidGraph", NULL, 0},
      {"{training_mode: 1.0}", "2x3 3 3 3 3", "!parameter-type InvalidGraph", NULL, 0},
      {"{training_mode: 1}", "1x3 3 3 3 3", "batch update", NULL, 0},
      {"{}", "0x3 3 3 3 3", "out0x3", NULL, 0},
      {"{}", "3 1 1 1 1", "!input-rank NotImplemented", NULL, 0},
      {"{}", "1x3x1x1x1x1 3 3 3 3", "!input-rank NotImplemented", NULL, 0},
  };
  check_rows("BatchNormalization", rows, COUNT(rows));
}

static void batch_normalization_checks_in_this_order(void **state) {
  (void)state;
  static const row rows[] = {
      {"{opset: 0, nope: 1}", "2x3 3", "!framework-limit InvalidGraph", "f16:f32", 't'},
      {"{nope: 1, opset: 14}", "2x3 3 3 3", "!missing-parameter InvalidGraph", "f16:f32", 't'},
      {"{nope: 1, opset: 14}", "2x3 2 3 3x1 3", "!unknown-parameter InvalidGraph", "f16:f32", 't'},
      {"{opset: 14}", "2x3 2 3 3x1 3", "!tensor-type Fail", "f16:f32", 't'},
      {"{opset: 14}", "2x3 2 3 3x1 3", "!statistics-shape Fail", NULL, 't'},
      {"{opset: 13}", "2x3 2 3 3x1 3", "!statistics-shape InvalidArgument", NULL, 't'},
      {"{opset: 14}", "2x3 3 3 3 2", "!statistics-shape Fail", NULL, 't'},
      {"{opset: 14}", "2x3 3 3 3 3", "!training-outputs Fail", NULL, 't'},
  };
  check_rows("BatchNormalization", rows, COUNT(rows));
}

/* The running variance is biased in every operator set. */
static void statistics_are_biased(void **state) {
  (void)state;
  const cbn_shape channels = {.rank = 1, .extent = {3}};
  const cbn_request request = {.input = {.rank = 2, .extent = {4, 3}},
                               .layer = {[CBN_ROLE_WEIGHT] = &channels,
                                         [CBN_ROLE_BIAS] = &channels,
                                         [CBN_ROLE_RUNNING_MEAN] = &channels,
                                         [CBN_ROLE_RUNNING_VAR] = &channels}};
  const cbn_dialect_operator *operator= cbn_dialect_find(cbn_dialect_by_name("onnx"), "BatchNormalization");
  cbn_plan plan;
  cbn_rejection rejection;
  assert_true(operator->plan(operator, & request, &plan, &rejection));
  assert_int_equal(plan.batchnorm.running_variance, CBN_VARIANCE_BIASED);
  assert_int_equal(plan.features, 3);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) assert_false(plan.has_initial[role]);
}

static void every_operator_says_what_it_is(void **state) {
  (void)state;
  const cbn_dialect *onnx = cbn_dialect_by_name("onnx");
  assert_int_equal(onnx->operator_count, 3);
  assert_false(onnx->trains_by_default);
  for (size_t i = 0; i < onnx->operator_count; i++) {
    const cbn_dialect_operator *o = &onnx->operators[i];
    assert_int_equal(o->spatial_rank, 3);
    assert_int_equal(o->transposed, strcmp(o->name, "ConvTranspose") == 0);
    assert_int_equal(o->kind == CBN_OPERATOR_BATCHNORM, strcmp(o->name, "BatchNormalization") == 0);
    assert_null(o->changeable);
    assert_false(o->resets);
    assert_non_null(strstr(o->signature, "opset=22"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(conv_is_made_of_its_tensors),
      cmocka_unit_test(conv_pads_by_name),
      cmocka_unit_test(attributes_have_types),
      cmocka_unit_test(operator_sets),
      cmocka_unit_test(conv_checks_in_this_order),
      cmocka_unit_test(transposed_extents),
      cmocka_unit_test(transposed_checks_in_this_order),
      cmocka_unit_test(batch_normalization),
      cmocka_unit_test(batch_normalization_checks_in_this_order),
      cmocka_unit_test(statistics_are_biased),
      cmocka_unit_test(every_operator_says_what_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
