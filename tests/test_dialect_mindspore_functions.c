/* tests/test_dialect_mindspore_functions.c - mindspore.ops and mindspore.mint against docs/framework-rules.md: what
 * functions, primitives and PyTorch's twins take otherwise than the layers of mindspore.nn; and what other versions do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dialects/versions.h"
#include "tests/dialect_rows.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define CHECK(operator_name, rows) cbn_check_dialect_rows("mindspore", operator_name, rows, COUNT(rows))

static void functions_of_two_axes(void **state) {
  (void)state;
  static const cbn_dialect_row rows[] = {
      {"{}", "2x4x9x8 6x4x3x2", "out2x6x7x7 weight6x4x3x2 k3,2 s1,1 p0,0 q0,0 g1 zeros plain", NULL, 0},
      {"{groups: 2, pad_mode: pad, padding: [2, 1]}", "2x4x9x8 6x2x3x2 6", "out2x6x11x9 p2,1 q2,1 g2 bias", NULL, 0},
      {"{pad_mode: same, stride: [1, 2]}", "1x4x5x5 6x4x2x4", "out1x6x5x3 p0,1 q1,2", NULL, 0},
      {"{}", "2x4x9x8", "!missing-parameter TypeError", NULL, 0},
      {"{group: 2}", "2x4x9x8 6x2x3x2", "!unknown-parameter TypeError", NULL, 0},
      {"{stride: [1]}", "2x4x9x8 6x4x3x2", "!parameter-length ValueError", NULL, 0},
      {"{padding: [1, 1, 1, 1], groups: 0}", "2x4x9x8 6x4x3x2", "!parameter-length ValueError", NULL, 0},
      {"{}", "4 6x4x3x2", "!input-rank IndexError", NULL, 0},
      {"{groups: 0, stride: 0}", "2x4x9x8 6x4x3x2", "!groups-positive ZeroDivisionError", NULL, 0},
      {"{groups: -2, stride: 0}", "2x4x9x8 6x4x3x2", "!stride-positive ValueError", NULL, 0},
      {"{groups: -2}", "2x4x9x8 6x4x3x2", "!groups-positive ValueError", NULL, 0},
      {"{groups: 2.0}", "2x4x9x8 6x2x3x2", "!parameter-type TypeError", NULL, 0},
      {"{groups: 4}", "2x4x9x8 6x1x3x2", "!groups-divide-out-channels ValueError", NULL, 0},
      {"{stride: true}", "2x4x9x8 6x4x3x2", "!parameter-type TypeError", NULL, 0},
      {"{stride: [1, true]}", "2x4x9x8 6x4x3x2", "!parameter-type ValueError", NULL, 0},
      {"{padding: [1.0, 0], pad_mode: pad}", "2x4x9x8 6x4x3x2", "!parameter-type TypeError", NULL, 0},
      {"{padding: [1.0, 0]}", "2x4x9x8 6x4x3x2", "!padding-must-be-zero ValueError", NULL, 0},
      {"{padding: [0.0, 0]}", "2x4x9x8 6x4x3x2", "!parameter-type RuntimeError", NULL, 0},
      {"{padding: [0.0, 0]}", "2x3x9x8 6x4x3x2", "!input-channels-mismatch RuntimeError", NULL, 0},
      {"{padding: -1, pad_mode: pad}", "2x4x9x8 6x4x3x2", "!padding-non-negative ValueError", NULL, 0},
      {"{pad_mode: 1}", "2x4x9x8 6x4x3x2", "!parameter-type TypeError", NULL, 0},
      {"{pad_mode: Valid}", "2x4x9x8 6x4x3x2", "!padding-mode-unknown ValueError", NULL, 0},
      {"{stride: 0}", "2x4x9x8 6x4x3", "!weight-shape ValueError", NULL, 0},
      {"{stride: 0}", "2x4x9x8 6x4x3x2x1", "!stride-positive ValueError", NULL, 0},
      {"{}", "2x4x9x8 6x4x3x2x1", "!weight-shape ValueError", NULL, 0},
      {"{}", "2x4x9x8 0x4x3x2", "!out-channels-positive ValueError", NULL, 0},
      {"{}", "2x4x9x8 6x4x0x2", "!kernel-positive ValueError", NULL, 0},
      {"{}", "2x3x9x8 6x4x3x2 5", "!bias-shape ValueError", NULL, 0},
      {"{}", "2x3x9x8 6x4x3x2 6x1", "!input-channels-mismatch RuntimeError", NULL, 0},
      {"{}", "2x4x9x8 6x4x3x2 6x1", "!bias-shape ValueError", NULL, 0},
      {"{}", "2x4x9 6x4x3x2", "!tensor-type TypeError", "f64:f32", 0},
      {"{}", "2x4x9 6x4x3x2", "!input-rank ValueError", NULL, 0},
      {"{dilation: 2}", "1x4x4x4 6x4x3x2", "out1x6x0x2", NULL, 0},
  };
  CHECK("ops.conv2d", rows);
}

static void functions_of_one_and_three_axes(void **state) {
  (void)state;
  static const cbn_dialect_row one[] = {
      {"{stride: [2], padding: [1], pad_mode: pad}", "2x4x9 6x4x3", "out2x6x5 s2 p1 q1", NULL, 0},
      {"{groups: 0}", "2x4x1x9 6x4x3", "!input-rank ValueError", NULL, 0},
      {"{groups: 0}", "2x4x9 6x4x1x3", "!weight-shape ValueError", NULL, 0},
      {"{padding: 1.0, groups: 0}", "2x4x9 6x4x3", "!parameter-type TypeError", NULL, 0},
      {"{groups: 0, stride: 0}", "2x4x9 6x4x3", "!groups-positive ZeroDivisionError", NULL, 0},
      {"{stride: 0, dilation: 1.0}", "2x4x9 6x4x3", "!parameter-type ValueError", NULL, 0},
      {"{stride: [null]}", "2x4x9 6x4x3", "!parameter-type TypeError", NULL, 0},
      {"{stride: [0.5]}", "2x4x9 6x4x3", "!parameter-type ValueError", NULL, 0},
      {"{stride: false}", "2x4x9 6x4x3", "!stride-positive ValueError", NULL, 0},
      {"{stride: true}", "2x4x9 6x4x3", "!parameter-type ValueError", NULL, 0},
      {"{padding: true, pad_mode: pad}", "2x4x9 6x4x3", "!parameter-type TypeError", NULL, 0},
      {"{}", "2x3x9 6x4x3 5", "!input-channels-mismatch RuntimeError", NULL, 0},
      {"{}", "2x4x9 6x4x3 5", "!bias-shape ValueError", NULL, 0},
  };
  static const cbn_dialect_row three[] = {
      {"{pad_mode: PAD, padding: [0, 1, 2]}", "1x4x5x5x5 6x4x3x2x1", "out1x6x3x6x9 p0,1,2 q0,1,2", NULL, 0},
      {"{padding: [1], groups: 3}", "1x4x5x5x5 6x4x3x2x1", "!groups-divide-in-channels ValueError", NULL, 0},
      {"{padding: [1]}", "1x4x5x5x5 6x4x3x2x1", "!parameter-length ValueError", NULL, 0},
      {"{groups: true}", "1x4x5x5x5 6x4x3x2x1", "!parameter-type TypeError", NULL, 0},
      {"{}", "1x3x5x5x5 6x4x3x2x1", "!input-channels-mismatch ValueError", NULL, 0},
      {"{}", "1x4x5x5x5 6x4x3x2x1 5", "!bias-shape ValueError", NULL, 0},
  };
  CHECK("ops.conv1d", one);
  CHECK("ops.conv3d", three);
}

static void primitives(void **state) {
  (void)state;
  static const cbn_dialect_row two[] = {
      {"{out_channel: 6, kernel_size: [3, 2], stride: [5, 5, 1, 2]}", "2x4x9x8 6x4x3x2", "out2x6x7x4 s1,2", NULL, 0},
      {"{out_channel: 6, kernel_size: [3, 2], pad_mode: pad, pad: [0, 1, 2, 3]}", "2x4x9x8 6x4x3x2",
       "out2x6x8x12 p0,2 q1,3", NULL, 0},
      {"{out_channel: 6}", "2x4x9x8 6x4x3x2", "!missing-parameter TypeError", NULL, 0},
      {"{out_channel: 6, kernel_size: [3, 2], pad_mode: pad, pad: [1, 1]}", "2x4x9x8 6x4x3x2",
       "!parameter-length ValueError", NULL, 0},
      {"{out_channel: 6, kernel_size: [3, 2], mode: 0, data_format: NHWC}", "2x4x9x8 6x4x3x2",
       "!framework-limit ValueError", NULL, 0},
      {"{out_channel: 0, kernel_size: [3, 2], data_format: NHWC}", "2x4x9x8 6x4x3x2", "!tensor-format ValueError", NULL,
       0},
      {"{out_channel: 5, kernel_size: 9}", "2x3x9x8 6x4x3x2", "!input-channels-mismatch RuntimeError", NULL, 0},
      {"{out_channel: 5, kernel_size: 9}", "2x4x9x8 6x4x3x2", "!weight-shape RuntimeError", NULL, 0},
      {"{out_channel: 6, kernel_size: [3, 2], group: 4}", "2x4x9x8 6x1x3x2", "!groups-divide-out-channels RuntimeError",
       NULL, 0},
  };
  static const cbn_dialect_row three[] = {
      {"{out_channel: 6, kernel_size: 1, stride: [1, 1, 2, 2, 2]}", "1x4x3x3x3 6x4x1x1x1",
       "!parameter-length ValueError", NULL, 0},
      {"{out_channel: 6, kernel_size: 1, pad: [0], pad_mode: 1}", "1x4x3x3x3 6x4x1x1x1", "!parameter-length ValueError",
       NULL, 0},
      {"{out_channel: 6, kernel_size: 1, group: 7}", "1x4x3x3x3 6x4x1x1x1", "!groups-divide-out-channels ValueError",
       NULL, 0},
      {"{out_channel: 12, kernel_size: 1}", "1x4x3x3x3 6x4x1x1x1", "!weight-shape ValueError", NULL, 0},
  };
  static const cbn_dialect_row transposed[] = {
      {"{out_channel: 2, kernel_size: 3, stride: 2, input_size: [1, 3, 8, 7]}", "1x2x3x3 2x3x3x3",
       "out1x3x8x7 weight2x3x3x3 o1,0 p0,0 q0,0 transposed plain", NULL, 0},
      {"{out_channel: 2, kernel_size: 3, stride: 2, pad_mode: SAME, input_size: [1, 3, 5, 6]}", "1x2x3x3 2x3x3x3",
       "out1x3x5x6 p1,0 q1,1 o0,0", NULL, 0},
      {"{out_channel: 0, kernel_size: 0, input_size: [1, 3, 8, 7]}", "1x2x3x3 2x3x3x3",
       "!out-channels-positive ValueError", NULL, 0},
      {"{out_channel: 2, kernel_size: 3, stride: 0, data_format: NHWC}", "1x2x3x3 2x3x3x3", "!tensor-format ValueError",
       NULL, 0},
      {"{out_channel: 2, kernel_size: 3, pad_mode: PAD, pad: 1}", "1x2x3x3 2x3x3x3", "!padding-must-be-zero ValueError",
       NULL, 0},
      {"{out_channel: 2, kernel_size: 3}", "1x2x3x3 2x3x3x3", "!missing-parameter ValueError", NULL, 0},
      {"{out_channel: 2, kernel_size: 3, input_size: [1, 3, 5]}", "1x2x3x3 2x3x3x3", "!parameter-length RuntimeError",
       NULL, 0},
      {"{out_channel: 2, kernel_size: 3, stride: 2, input_size: [1, 3, 9, 7]}", "1x2x3x3 2x3x3x3",
       "!output-shape RuntimeError", NULL, 0},
      {"{out_channel: 2, kernel_size: 3, input_size: [1, 3, 5, 5]}", "2x3x3 2x3x3x3", "!input-rank RuntimeError",
       "bf16:f32", 0},
  };
  CHECK("ops.Conv2D", two);
  CHECK("ops.Conv2DTranspose", transposed);
  CHECK("ops.Conv3D", three);
}

static void normalizations(void **state) {
  (void)state;
  static const cbn_dialect_row function[] = {
      {"{}", "2x3x4x5 3 3 3 3", "out2x3x4x5 running keep gamma beta m0.1 eps1e-05", NULL, 't'},
      {"{training: true, momentum: 0.25}", "5x3 3 3 3 3", "out5x3 batch update m0.25", NULL, 0},
      {"{}", "2x3x4x5 3 3 3", "!missing-parameter TypeError", NULL, 0},
      {"{training: 1, eps: 2.0}", "2x3x4x5 3 3 3 3", "!parameter-type TypeError", NULL, 0},
      {"{momentum: 1}", "2x3x4x5 3 3 3 3", "!parameter-type TypeError", NULL, 0},
      {"{eps: 2.0, momentum: 2.0}", "2x3x4x5x6 3 3 3 3", "!epsilon-range ValueError", NULL, 0},
      {"{momentum: 2.0}", "2x3x4x5x6 3 3 3 3", "!momentum-range ValueError", NULL, 0},
      {"{momentum: 1.00000001}", "2x3x4x5 3 3 3 3", "out2x3x4x5 keep", NULL, 0},
      {"{}", "2x3x4x5x6 3 3 3 3", "!input-rank ValueError", NULL, 0},
      {"{}", "2x4x4x5 3 3 3 3", "!statistics-shape ValueError", "f64:f64", 0},
      {"{}", "2x3x4x5 3 3 3 3", "!tensor-type TypeError", "f64:f64", 0},
      {"{}", "2x3x4x5 3 3 3 3", "out2x3x4x5 running", "f16:f32", 0},
      {"{}", "2x0x4x5 0 0 0 0", "!num-features-positive RuntimeError", NULL, 0},
  };
  static const cbn_dialect_row primitive[] = {
      {"{is_training: true, epsilon: 0.5}", "2x3x4x5 3 3 3 3", "batch update m0.1 eps0.5", NULL, 0},
      {"{data_format: nhwc}", "2x4x5x3 3 3 3 3", "out2x3x4x5 running", NULL, 0},
      {"{data_format: NHWX, epsilon: 2.0}", "2x3x4x5 3 3 3 3", "!tensor-format ValueError", NULL, 0},
      {"{data_format: NDHWC, epsilon: 2.0}", "2x3x4x5 3 3 3 3", "!epsilon-range ValueError", NULL, 0},
      {"{data_format: NDHWC}", "2x3 3 3 3 3", "!tensor-format RuntimeError", NULL, 0},
      {"{data_format: 1}", "2x3x4x5 3 3 3 3", "!parameter-type TypeError", NULL, 0},
  };
  CHECK("ops.batch_norm", function);
  CHECK("ops.BatchNorm", primitive);
}

static void mint_layers(void **state) {
  (void)state;
  static const cbn_dialect_row conv[] = {
      {"{in_channels: 4, out_channels: 6, kernel_size: 3, padding: [2, 1], groups: 2}", "4x9x8",
       "out1x6x11x8 weight6x2x3x3 p2,1 g2 bias unbatched", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 4, padding: same, padding_mode: circular, bias: false}",
       "1x4x9x8", "out1x6x9x8 p1,1 q2,2 circular plain", NULL, 0},
      {"{in_channels: -1, out_channels: 6, kernel_size: 3.0}", "1x4x9x8", "!parameter-type TypeError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3]}", "1x4x9x8", "!parameter-length TypeError", NULL, 0},
      {"{in_channels: -1, out_channels: 6, kernel_size: 0}", "1x4x9x8", "!in-channels-positive ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 0, groups: 4}", "1x4x9x8",
       "!groups-divide-out-channels ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 0, padding: same, stride: 2}", "1x4x9x8",
       "!same-needs-unit-stride ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 0, padding_mode: x}", "1x4x9x8",
       "!padding-mode-unknown ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3, stride: 0, bias: 1}", "1x4x9x8",
       "!stride-positive ValueError", NULL, 0},
      {"{in_channels: 0, out_channels: 6, kernel_size: 3, bias: 1}", "1x4x9x8", "!in-channels-positive ValueError",
       NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3, bias: 1}", "1x4x9x8", "!parameter-type TypeError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3}", "4", "!input-rank RuntimeError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3, padding: valid}", "4", "!input-rank ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3}", "1x3x9x8", "!input-channels-mismatch ValueError", "f32:f16",
       0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3}", "1x4x2x8", "!kernel-exceeds-input ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3}", "1x4x9x8", "!tensor-type RuntimeError", "f32:f16", 0},
  };
  static const cbn_dialect_row transposed[] = {
      {"{in_channels: 4, out_channels: 6, kernel_size: [3], stride: 2, output_padding: 1}", "1x4x2x2",
       "out1x6x6x6 weight4x6x3x3 o1,1 transposed bias", NULL, 0},
      {"{in_channels: -1, out_channels: 6, kernel_size: 3, padding_mode: reflect}", "1x4x2x2",
       "!padding-mode-unknown ValueError", NULL, 0},
      {"{in_channels: -1, out_channels: 6, kernel_size: 3.0}", "1x4x2x2", "!parameter-type ValueError", NULL, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3, stride: true}", "1x4x2x2", "!parameter-type TypeError", NULL,
       0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 3, padding: [1, true]}", "1x4x2x2", "!parameter-type TypeError",
       NULL, 0},
  };
  static const cbn_dialect_row norm[] = {
      {"{num_features: 3, momentum: 0.25}", "2x3x4x5", "batch update gamma beta m0.25 mean0 var1 gamma1 beta0", NULL,
       't'},
      {"{num_features: 3}", "2x3x4x5", "running keep m0.1", NULL, 0},
      {"{num_features: 3, track_running_stats: false}", "2x3x4x5", "batch keep", NULL, 0},
      {"{num_features: 3, eps: 1}", "2x3x4x5", "!parameter-type TypeError", NULL, 0},
      {"{num_features: 3, eps: 1}", "2x3x4", "!input-rank ValueError", NULL, 0},
      {"{num_features: 3.0}", "2x3x4", "!parameter-type TypeError", NULL, 0},
      {"{num_features: -1}", "2x3x4", "!num-features-positive ValueError", NULL, 0},
      {"{num_features: null}", "2x3x4x5", "!num-features-positive ValueError", NULL, 0},
      {"{num_features: 3}", "0x2x4x5", "!input-channels-mismatch ValueError", NULL, 0},
  };
  CHECK("mint.nn.Conv2d", conv);
  CHECK("mint.nn.ConvTranspose2d", transposed);
  CHECK("mint.nn.BatchNorm2d", norm);
}

static void mint_functions(void **state) {
  (void)state;
  static const cbn_dialect_row conv[] = {
      {"{stride: [2], padding: same}", "1x4x9x8 6x4x3x3", "!same-needs-unit-stride ValueError", NULL, 0},
      {"{stride: [2], groups: 2}", "1x4x9x8 6x2x3x3 6", "out1x6x4x3 s2,2 g2 bias", NULL, 0},
      {"{}", "1x4x9x8", "!missing-parameter TypeError", NULL, 0},
      {"{stride: true}", "1x4x9x8 6x4x3x3", "!parameter-type TypeError", NULL, 0},
      {"{stride: [1, 1, 1]}", "1x4x9x8 6x4x3x3", "!parameter-length ValueError", NULL, 0},
      {"{}", "1x4x9x8 6x4x3", "!weight-shape ValueError", NULL, 0},
  };
  static const cbn_dialect_row norm[] = {
      {"{}", "2x3x4 3 3 3 3", "out2x3x4 running keep gamma beta m0.1", NULL, 't'},
      {"{training: true}", "2x3x4x5x6 3 3 3 3", "out2x3x4x5x6 batch update", NULL, 0},
      {"{training: 1}", "2x3x4 3 3 3 3", "!parameter-type TypeError", NULL, 0},
      {"{}", "2x3x4 2 2 2 2", "!statistics-shape ValueError", NULL, 0},
  };
  CHECK("mint.nn.functional.conv2d", conv);
  CHECK("mint.nn.functional.batch_norm", norm);
}

/* Each difference names versions that were measured, and an operator that the dialect has. */
static void versions(void **state) {
  (void)state;
  size_t tables = 0;
  for (const cbn_dialect *const *d = cbn_dialects(); *d != NULL; d++) {
    const cbn_versions *v = cbn_versions_of(*d);
    if (v == NULL) continue;
    tables++;
    for (size_t i = 0; i < v->count; i++) {
      const cbn_version_difference *difference = &v->differences[i];
      char first[64] = "";
      strncat(first, difference->operators, strcspn(difference->operators, ","));
      assert_non_null(strstr(v->measured, difference->from));
      assert_non_null(strstr(v->measured, difference->to));
      assert_true(strstr(v->measured, difference->from) <= strstr(v->measured, difference->to));
      assert_true(strcmp(first, "all") == 0 || cbn_dialect_find(*d, first) != NULL);
      assert_true(difference->behaviour[0] != '\0' && (int)difference->rule <= CBN_RULE_COUNT);
    }
  }
  assert_int_equal(tables, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(functions_of_two_axes),
      cmocka_unit_test(functions_of_one_and_three_axes),
      cmocka_unit_test(primitives),
      cmocka_unit_test(normalizations),
      cmocka_unit_test(mint_layers),
      cmocka_unit_test(mint_functions),
      cmocka_unit_test(versions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
