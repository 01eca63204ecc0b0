/* tests/test_dialect_mindspore.c - MindSpore's layers besides nn.Conv2d and nn.BatchNorm2d (tests/test_dialects.c),
 * against docs/framework-rules.md: one to three axes, transposed convolutions, types, what a living layer lets
 * change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dialects/dialect.h"
#include "tests/dialect_rows.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define CHECK(operator_name, rows) cbn_check_dialect_rows("mindspore", operator_name, rows, COUNT(rows))

/* in_channels 4, out_channels 6 and the rest. */
#define C46(rest) "{in_channels: 4, out_channels: 6, " rest "}"
#define C11(rest) "{in_channels: 1, out_channels: 1, " rest "}"

static void one_axis(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {C46("kernel_size: 3"), "2x4x9", "out2x6x9 weight6x4x3 k3 s1 d1 p1 q1 g1 zeros plain", NULL, 0},
      {C46("kernel_size: 4, stride: 2, group: 2, has_bias: true"), "1x4x9", "out1x6x5 weight6x2x4 p1 q2 bias", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: 2, dilation: 2"), "1x4x9", "out1x6x9 p2 q2 d2", NULL, 0},
      {C46("kernel_size: 3, pad_mode: valid"), "0x4x9", "out0x6x7 p0 q0", NULL, 0},
      {C46("kernel_size: 3, data_format: NCHW"), "1x4x9", "!unknown-parameter TypeError", NULL, 0},
      {C46("kernel_size: [3]"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: true"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: [1]"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, dilation: [1]"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 0, dilation: x"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 0, stride: 0"), "1x4x9", "!kernel-positive ValueError", NULL, 0},
      {C46("kernel_size: 3, stride: 0, padding: -1"), "1x4x9", "!stride-positive ValueError", NULL, 0},
      {C46("kernel_size: 3, padding: -1, dilation: 0"), "1x4x9", "!padding-non-negative ValueError", NULL, 0},
      {C46("kernel_size: 3, dilation: 0, group: 0"), "1x4x9", "!dilation-positive ValueError", NULL, 0},
      {C46("kernel_size: 3, group: 3"), "1x4x9", "!groups-divide-in-channels ValueError", NULL, 0},
      {C46("kernel_size: 3, group: 4"), "1x4x9", "!groups-divide-out-channels ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: null"), "1x4x9", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: SAME"), "1x4x9", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: 3, padding: 1"), "1x4x9", "!padding-must-be-zero ValueError", NULL, 0},
      {C46("kernel_size: 3"), "4x9", "!input-rank ValueError", NULL, 0},
      {C46("kernel_size: 3"), "9", "!input-rank ValueError", NULL, 0},
      {C46("kernel_size: 3"), "1x4x1x9", "!input-rank ValueError", NULL, 0},
      {C46("kernel_size: 3"), "1x5x9", "!input-channels-mismatch RuntimeError", NULL, 0},
      /* the two-dimensional kernel's hole: a dilated kernel that exceeds by exactly the stride */
      {C46("kernel_size: 3, pad_mode: valid"), "1x4x2", "!kernel-exceeds-input ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: valid, dilation: 2"), "1x4x4", "out1x6x0", NULL, 0},
      {C46("kernel_size: 3, pad_mode: valid, dilation: 2"), "1x4x3", "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: valid, dilation: 3"), "1x4x4", "!kernel-exceeds-input ValueError", NULL, 0},
      {C46("kernel_size: 3, stride: 4"), "1x4x0", "!input-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 3, stride: 3"), "1x4x0", "out1x6x0", NULL, 0},
  };
  CHECK("nn.Conv1d", rows);
}

static void three_axes(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {C46("kernel_size: [2, 3, 4], stride: [1, 2, 3]"), "1x4x5x6x7",
       "out1x6x5x3x3 weight6x4x2x3x4 k2,3,4 s1,2,3 p0,0,1 q1,1,2", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: [0, 1, 2, 3, 4, 5], dilation: [1, 2, 1]"), "1x4x3x3x3",
       "out1x6x2x4x10 p0,2,4 q1,3,5 d1,2,1", NULL, 0},
      {C46("kernel_size: 3, pad_mode: VaLiD, data_format: NCDHW"), "1x4x3x3x3", "out1x6x1x1x1", NULL, 0},
      {C46("kernel_size: 3, padding: [0, 0, 0, 0, 0, 0]"), "1x4x3x3x3", "out1x6x3x3x3", NULL, 0},
      {C46("kernel_size: 3, group: 0"), "1x4x3x3x3", "!groups-positive ZeroDivisionError", NULL, 0},
      {C46("kernel_size: 3, group: false"), "1x4x3x3x3", "!groups-positive ZeroDivisionError", NULL, 0},
      {C46("kernel_size: 3, group: true"), "1x4x3x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, group: -2"), "1x4x3x3x3", "!groups-positive ValueError", NULL, 0},
      {C46("kernel_size: 0, group: 3"), "1x4x3x3x3", "!groups-divide-in-channels ValueError", NULL, 0},
      {C46("kernel_size: [3, 3]"), "1x4x3x3x3", "!parameter-length ValueError", NULL, 0},
      {C46("kernel_size: true"), "1x4x3x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: [3, true, 3]"), "1x4x3x3x3", "!parameter-type ValueError", NULL, 0},
      {C46("kernel_size: 3, stride: [1, 0, 1], dilation: 0"), "1x4x3x3x3", "!stride-positive ValueError", NULL, 0},
      {C46("kernel_size: 3, padding: false"), "1x4x3x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: [0, 0, 0, 0]"), "1x4x3x3x3", "!parameter-length ValueError", NULL, 0},
      {C46("kernel_size: 3, padding: [0, 0, 0, 0, 0, true]"), "1x4x3x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: 1"), "1x4x3x3x3", "!padding-must-be-zero ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: 1"), "1x4x3x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: full, data_format: NCHW"), "1x4x3x3x3", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: 3, data_format: NCHW"), "1x4x3x3x3", "!tensor-format ValueError", NULL, 0},
      {C46("kernel_size: 3"), "4x3x3x3", "!input-rank ValueError", NULL, 0},
      {C46("kernel_size: 3"), "1x3x3x3x3", "!input-channels-mismatch ValueError", NULL, 0},
      {C46("kernel_size: 3, group: 2"), "1x5x3x3x3", "!input-channels-mismatch ValueError", "f64:f32", 0},
      {C46("kernel_size: 3, group: 2"), "1x6x3x3x3", "!tensor-type TypeError", "f64:f32", 0},
  };
  CHECK("nn.Conv3d", rows);
}

/* Stride 1 and a kernel of 2 on one element per axis: a dilation d makes the extent 1 - d. */
static void three_axes_and_kernels_that_exceed(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {C11("kernel_size: [1, 1, 3], pad_mode: valid"), "1x1x2x2x2", "out1x1x2x2x0", NULL, 0},
      {C11("kernel_size: [1, 1, 4], pad_mode: valid"), "1x1x2x2x2", "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C11("kernel_size: [1, 1, 5], pad_mode: valid"), "1x1x2x2x2", "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C11("kernel_size: [1, 1, 6], pad_mode: valid"), "1x1x2x2x2", "!kernel-exceeds-input ValueError", NULL, 0},
      {C11("kernel_size: [2, 2, 1], dilation: [3, 4, 1], pad_mode: valid"), "1x1x1x1x1",
       "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C11("kernel_size: [2, 2, 1], dilation: [4, 3, 1], pad_mode: valid"), "1x1x1x1x1",
       "!kernel-exceeds-input ValueError", NULL, 0},
      {C11("kernel_size: [1, 1, 3], stride: 2, pad_mode: valid"), "1x1x2x2x2", "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C11("kernel_size: [1, 1, 3], stride: 2, pad_mode: pad"), "1x1x2x2x2", "out1x1x1x1x0", NULL, 0},
      {C11("kernel_size: [1, 1, 5], stride: 2, pad_mode: pad"), "1x1x2x2x2", "out1x1x1x1x0", NULL, 0},
      {C11("kernel_size: [1, 1, 6], stride: 2, pad_mode: pad"), "1x1x2x2x2", "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C11("kernel_size: [1, 1, 10], stride: 2, pad_mode: pad"), "1x1x2x2x2", "!kernel-exceeds-input ValueError", NULL, 0},
  };
  CHECK("nn.Conv3d", rows);
}

static void transposed_one_axis(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {C46("kernel_size: 3"), "2x4x9", "out2x6x9 weight4x6x3 p1 q1 o0 transposed plain", NULL, 0},
      {C46("kernel_size: 3, stride: 2"), "1x4x5", "out1x6x10 p0 q1 o0", NULL, 0},
      {C46("kernel_size: 1, stride: 3"), "1x4x3", "out1x6x9 p0 q0 o2", NULL, 0},
      {C46("kernel_size: 3, stride: 5, pad_mode: valid, group: 2"), "1x4x2", "out1x6x10 weight4x3x3 o2", NULL, 0},
      {C46("kernel_size: 3, stride: 5, pad_mode: pad"), "1x4x2", "out1x6x8 o0", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: 2"), "1x4x2", "out1x6x0 p2 q2", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: 2"), "1x4x1", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 2, pad_mode: pad, padding: 2"), "1x4x1", "!output-extent-positive ValueError", NULL, 0},
      {C46("kernel_size: 3, output_padding: 0"), "1x4x9", "!unknown-parameter TypeError", NULL, 0},
      {"{in_channels: 0, out_channels: 6, kernel_size: 3, group: 0}", "1x4x9", "!in-channels-positive ValueError", NULL, 0},
      {C46("kernel_size: 3, group: 4"), "1x4x9", "!groups-divide-out-channels ValueError", NULL, 0},
      {C46("kernel_size: 3"), "4x9", "!input-rank ValueError", "f64:f64", 0},
      {C46("kernel_size: 3"), "1x5x9", "!tensor-type TypeError", "f64:f64", 0},
      {C46("kernel_size: 3"), "1x5x9", "!input-channels-mismatch RuntimeError", NULL, 0},
      {C46("kernel_size: 3, stride: 4"), "1x4x0", "!input-extent-positive RuntimeError", NULL, 0},
  };
  CHECK("nn.Conv1dTranspose", rows);
}

static void transposed_two_axes(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {C46("kernel_size: [4, 3], stride: [1, 2]"), "1x4x3x3", "out1x6x3x6 weight4x6x4x3 p1,0 q2,1 o0,0", NULL, 0},
      {C46("kernel_size: 3, stride: 2, pad_mode: pad, padding: [0, 1, 2, 0], output_padding: [1, 0]"), "1x4x3x3",
       "out1x6x7x5 p0,2 q1,0 o1,0", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, dilation: 3, output_padding: 2"), "1x4x1x1", "out1x6x9x9 o2,2", NULL, 0},
      {C46("kernel_size: 3, output_padding: [0, 0]"), "1x4x3x3", "out1x6x3x3 o0,0", NULL, 0},
      {C46("kernel_size: 3, data_format: NCHW"), "1x4x3x3", "!unknown-parameter TypeError", NULL, 0},
      {C46("kernel_size: [3, 3, 3]"), "1x4x3x3", "!parameter-length TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: [1, 1]"), "1x4x3x3", "!parameter-length ValueError", NULL, 0},
      {C46("kernel_size: 3, padding: true"), "1x4x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: 0.0"), "1x4x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: [0]"), "1x4x3x3", "!parameter-length ValueError", NULL, 0},
      {C46("kernel_size: 3, output_padding: [0.0, 0]"), "1x4x3x3", "!parameter-type RuntimeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: [x, 0]"), "1x4x3x3", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, stride: 2, pad_mode: pad, output_padding: 2"), "1x4x3x3", "!output-padding-range ValueError", NULL, 0},
      {C46("kernel_size: 3, stride: 2, pad_mode: pad, output_padding: -1"), "1x4x3x3", "!output-padding-range ValueError", NULL, 0},
      {C46("kernel_size: 3, stride: 2, output_padding: [0, true]"), "1x4x3x3", "!output-padding-range ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: null"), "1x4x3x3", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: 3, output_padding: 5"), "1x5x3x3", "!input-channels-mismatch RuntimeError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: [3, 3, 0, 0]"), "1x4x3x3", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: [3, 4, 0, 0]"), "1x4x3x3", "!output-extent-positive ValueError", NULL, 0},
  };
  CHECK("nn.Conv2dTranspose", rows);
}

static void transposed_three_axes(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {C46("kernel_size: [3, 1, 2], stride: [2, 3, 1], dilation: [1, 1, 4], group: 2"), "1x4x2x2x2",
       "out1x6x4x6x2 weight4x3x3x1x2 p0,0,2 q1,0,2 o0,2,0", NULL, 0},
      {C46("kernel_size: 2, stride: 2, pad_mode: PAD, padding: [1, 0, 0, 0, 0, 1], output_padding: [0, 1, 1]"), "1x4x2x2x2",
       "out1x6x3x5x4 p1,0,0 q0,0,1 o0,1,1", NULL, 0},
      {C46("kernel_size: 3, dilation: 2"), "1x4x2x2x2", "!framework-limit ValueError", NULL, 0},
      {C46("kernel_size: 7"), "1x4x2x2x2", "out1x6x2x2x2", NULL, 0},
      {C46("kernel_size: [43, 4, 2]"), "1x4x2x2x2", "!framework-limit ValueError", NULL, 0},
      {C46("kernel_size: 1, stride: [256, 1, 1]"), "1x4x2x2x2", "out1x6x512x2x2", NULL, 0},
      {C46("kernel_size: 1, stride: [257, 1, 1]"), "1x4x2x2x2", "!framework-limit ValueError", NULL, 0},
      {C46("kernel_size: 1, stride: [1, 1, 257]"), "1x4x2x2x2", "out1x6x2x2x514", NULL, 0},
      {C46("kernel_size: 3, output_padding: [0, 0, 0.0]"), "1x4x2x2x2", "!parameter-type ValueError", NULL, 0},
      {C46("kernel_size: 3, output_padding: -1"), "1x4x2x2x2", "!output-padding-range ValueError", NULL, 0},
      {C46("kernel_size: 3, output_padding: 1"), "1x4x2x2x2", "!output-padding-range ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, stride: 2, output_padding: 2"), "1x4x2x2x2", "!output-padding-range ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, dilation: [1, 1, 3], output_padding: [0, 0, 2]"), "1x4x2x2x2",
       "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 3, data_format: NCHW"), "1x4x2x2x2", "!tensor-format ValueError", NULL, 0},
      {C46("kernel_size: 3"), "4x2x2x2", "!tensor-type TypeError", "f64:f64", 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: 3"), "1x5x2x2x2", "!input-channels-mismatch ValueError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: 3"), "1x4x2x2x2", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 3, pad_mode: pad, padding: [0, 0, 4, 3, 0, 0]"), "1x4x2x2x2",
       "!output-extent-positive ValueError", NULL, 0},
  };
  CHECK("nn.Conv3dTranspose", rows);
}

static void normalizations(void **state) {
  (void)state;
  static const cbn_dialect_row one[] = {
      {"{num_features: 3}", "4x3", "out4x3 running keep gamma beta mean0 var1 gamma1 beta0 eps1e-05", NULL, 0},
      {"{num_features: 3}", "4x3", "out4x3 batch update m0.1", NULL, 't'},
      {"{num_features: 3, momentum: 0.75, affine: false, beta_init: ones}", "2x3x5", "out2x3x5 batch update m0.25 gamma beta beta1", NULL, 't'},
      {"{num_features: 3, use_batch_statistics: true}", "4x3", "batch update", NULL, 0},
      {"{num_features: 3, use_batch_statistics: false}", "4x3", "running keep", NULL, 't'},
      {"{num_features: 3}", "3", "!input-rank ValueError", NULL, 0},
      {"{num_features: 3}", "4x3x1x1", "!input-rank ValueError", NULL, 0},
      {"{num_features: 3, data_format: NHWC}", "4x3", "!tensor-format ValueError", NULL, 0},
      {"{num_features: 2, eps: 0.0}", "4x3", "!epsilon-range ValueError", NULL, 0},
      {"{num_features: 2}", "4x3", "!input-channels-mismatch ValueError", "f64:f64", 0},
  };
  static const cbn_dialect_row three[] = {
      {"{num_features: 3}", "2x3x4x1x2", "out2x3x4x1x2 running keep", NULL, 0},
      {"{num_features: 3}", "2x3x4x1x2", "batch update m0.1", NULL, 't'},
      {"{num_features: 3, data_format: NCHW}", "2x3x4x1x2", "!unknown-parameter TypeError", NULL, 0},
      {"{num_features: 3}", "2x3x4x1", "!input-rank ValueError", NULL, 0},
      {"{num_features: 0}", "2x3x4x1x2", "!num-features-positive ValueError", NULL, 0},
  };
  CHECK("nn.BatchNorm1d", one);
  CHECK("nn.BatchNorm3d", three);
}

static void types(void **state) {
  (void)state;
  static const cbn_dialect_row convolution[] = {
      {C46("kernel_size: 3"), "1x4x9x9", "out1x6x9x9", "f16:f16", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "!tensor-type TypeError", "f64:f64", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "!tensor-type TypeError", "bf16:bf16", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "!tensor-type TypeError", "f16:f32", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "!tensor-type TypeError", "f32:f16", 0},
      {C46("kernel_size: 3"), "4x9x9", "!tensor-type TypeError", "f32:f16", 0},
  };
  static const cbn_dialect_row normalization[] = {
      {"{num_features: 3}", "2x3x4x5", "out2x3x4x5 running", "f16:f32", 0},
      {"{num_features: 3}", "2x3x4x5", "out2x3x4x5 batch", "f16:f16", 't'},
      {"{num_features: 3}", "2x3x4x5", "out2x3x4x5 running", "f32:f16", 0},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type TypeError", "f64:f64", 0},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type TypeError", "f32:f64", 't'},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type TypeError", "bf16:f32", 0},
  };
  CHECK("nn.Conv2d", convolution);
  CHECK("nn.BatchNorm2d", normalization);
}

static void every_layer_says_what_it_is(void **state) {
  (void)state;
  const cbn_dialect *dialect = cbn_dialect_by_name("mindspore");
  for (size_t i = 0; i < 9; i++) { /* behind them stand functions, and mint */
    const cbn_dialect_operator *o = &dialect->operators[i];
    assert_memory_equal(o->name, "nn.", 3);
    const bool norm = o->kind == CBN_OPERATOR_BATCHNORM;
    const char *digit = strpbrk(o->name, "123");
    assert_non_null(digit);
    assert_int_equal(*digit - '0', o->spatial_rank);
    assert_int_equal(o->transposed, strstr(o->name, "Transpose") != NULL);
    assert_false(o->resets);
    assert_int_equal(o->changeable != NULL, norm && o->spatial_rank < 3);
    assert_int_equal(strstr(o->signature, "output_padding=0") != NULL, o->transposed && o->spatial_rank > 1);
    if (o->changeable == NULL) continue;
    assert_string_equal(o->changeable[0], "use_batch_statistics");
    assert_null(o->changeable[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_axis),
      cmocka_unit_test(three_axes),
      cmocka_unit_test(three_axes_and_kernels_that_exceed),
      cmocka_unit_test(transposed_one_axis),
      cmocka_unit_test(transposed_two_axes),
      cmocka_unit_test(transposed_three_axes),
      cmocka_unit_test(normalizations),
      cmocka_unit_test(types),
      cmocka_unit_test(every_layer_says_what_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
