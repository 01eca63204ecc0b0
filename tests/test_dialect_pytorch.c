/* tests/test_dialect_pytorch.c - PyTorch's layers besides nn.Conv2d and nn.BatchNorm2d (tests/test_dialects.c), against
 * docs/framework-rules.md: one to three axes, transposed convolutions, types, what a living layer lets change; and the
 * functions. */
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
  cbn_check_dialect_rows("pytorch", operator_name, rows, count);
}

/* in_channels 4, out_channels 6 and the rest. */
#define C46(rest) "{in_channels: 4, out_channels: 6, " rest "}"

/* ------------------------------------------------------------------------------------------- nn.Conv1d, nn.Conv3d */

static void convolutions_of_one_axis(void **state) {
  (void)state;
  static const row rows[] = {
      {C46("kernel_size: 3"), "2x4x9", "out2x6x7 weight6x4x3 k3 s1 d1 p0 q0 g1 zeros bias", NULL, 0},
      {C46("kernel_size: [3], stride: [2], padding: [1], dilation: [2], groups: 2, bias: false"), "1x4x9",
       "out1x6x4 weight6x2x3 s2 d2 p1 q1 g2 plain", NULL, 0},
      {C46("kernel_size: 4, padding: same"), "4x9", "out1x6x9 p1 q2 unbatched", NULL, 0},
      {C46("kernel_size: 3, padding_mode: circular, padding: 9"), "1x4x9", "out1x6x25 circular", NULL, 0},
      {C46("kernel_size: 3, padding_mode: circular, padding: 10"), "1x4x9", "!circular-pad-at-most-input RuntimeError", NULL, 0},
      {C46("kernel_size: 3, padding_mode: reflect, padding: [0, 2]"), "1x4x9", "out1x6x11 p2 q2", NULL, 0},
      {C46("kernel_size: 3, padding_mode: reflect, padding: [1, 2]"), "1x4x9", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: 3, padding_mode: reflect, padding: [1, 1, 1]"), "1x4x9", "!parameter-length NotImplementedError", NULL, 0},
      {C46("kernel_size: 3, padding_mode: reflect, padding: [1, 1, 1]"), "4x9", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: [3, 3]"), "1x4x9", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: 3, padding: [1, 1]"), "1x4x9", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: 3"), "1x4x9x9", "!input-rank RuntimeError", NULL, 0},
      {C46("kernel_size: 3"), "9", "!input-rank RuntimeError", NULL, 0},
      {C46("kernel_size: 3"), "1x4x2", "!kernel-exceeds-input RuntimeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: 0"), "1x4x9", "!unknown-parameter TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: same, dilation: x, padding_mode: reflect"), "1x4x1", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: same, dilation: 1.0, padding_mode: reflect"), "1x4x1", "!parameter-type TypeError", NULL, 0},
      /* with nothing to compute, less is checked: only the extents matter */
      {C46("kernel_size: 3, dilation: 0"), "0x4x9", "out0x6x9", NULL, 0},
      {C46("kernel_size: 3, dilation: -1"), "0x4x9", "!dilation-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 3, dilation: 0"), "1x4x9", "!dilation-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 0"), "0x4x9", "!kernel-positive IndexError", NULL, 0},
      {C46("kernel_size: 0"), "1x4x9", "!kernel-positive RuntimeError", NULL, 0},
      {"{in_channels: 0, out_channels: 6, kernel_size: 3, dilation: 0}", "1x0x9", "out1x6x9", NULL, 0},
  };
  check_rows("nn.Conv1d", rows, COUNT(rows));
}

static void convolutions_of_three_axes(void **state) {
  (void)state;
  static const row rows[] = {
      {C46("kernel_size: [1, 2, 3], stride: [3, 2, 1], padding: [0, 1, 2], dilation: [1, 3, 2]"), "2x4x7x8x9",
       "out2x6x3x4x9 weight6x4x1x2x3 k1,2,3 s3,2,1 d1,3,2 p0,1,2 q0,1,2", NULL, 0},
      {C46("kernel_size: 2, stride: [2], padding: [1], dilation: [2]"), "1x4x7x8x9", "s2,2,2 d2,2,2 p1,1,1", NULL, 0},
      {C46("kernel_size: [2, 3, 4], padding: same"), "1x4x5x5x5", "out1x6x5x5x5 p0,1,1 q1,1,2", NULL, 0},
      {C46("kernel_size: 2"), "4x5x5x5", "out1x6x4x4x4 unbatched", NULL, 0},
      {C46("kernel_size: 2, padding_mode: reflect, padding: [1, 2]"), "4x5x5x5", "p0,1,2 q0,1,2 unbatched", NULL, 0},
      {C46("kernel_size: 2, padding_mode: reflect, padding: [1, 2]"), "1x4x5x5x5", "!parameter-length NotImplementedError", NULL, 0},
      {C46("kernel_size: 2, padding_mode: reflect, padding: [1, 2, 1, 1]"), "1x4x5x5x5", "!parameter-length NotImplementedError", NULL, 0},
      {C46("kernel_size: 2, padding_mode: reflect, padding: [4, 5, 4]"), "1x4x5x5x5", "!reflect-pad-less-than-input RuntimeError", NULL, 0},
      {C46("kernel_size: 2, padding_mode: replicate, padding: same, dilation: [2]"), "1x4x5x5x5", "out1x6x5x3x3 p1,0,0 q1,0,0", NULL, 0},
      {C46("kernel_size: [2, 2]"), "1x4x5x5x5", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: 2, stride: [1, 1]"), "1x4x5x5x5", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: 2"), "4x5x5", "!input-rank RuntimeError", NULL, 0},
      {C46("kernel_size: 2, padding_mode: circular"), "4x5x5", "!input-rank NotImplementedError", NULL, 0},
  };
  check_rows("nn.Conv3d", rows, COUNT(rows));
}

/* -------------------------------------------------------------------------------------------- transposed ones */

static void transposed_convolutions(void **state) {
  (void)state;
  static const row rows[] = {
      {C46("kernel_size: 3"), "2x4x9", "out2x6x11 weight4x6x3 k3 s1 d1 p0 q0 o0 g1 zeros bias transposed", NULL, 0},
      {C46("kernel_size: 3, stride: 2, padding: 1, output_padding: 1, groups: 2, bias: 0, dilation: 2"), "1x4x9",
       "out1x6x20 weight4x3x3 s2 d2 p1 q1 o1 g2 plain", NULL, 0},
      {C46("kernel_size: 3, output_padding: [0]"), "4x9", "unbatched", NULL, 0},
      /* output padding: below the stride, or below the dilation */
      {C46("kernel_size: 3, stride: 3, output_padding: 2"), "1x4x9", "o2", NULL, 0},
      {C46("kernel_size: 3, stride: 3, output_padding: 3"), "1x4x9", "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 3, dilation: 3, output_padding: 2"), "1x4x9", "o2", NULL, 0},
      {C46("kernel_size: 3, stride: 2, dilation: 3, output_padding: 3"), "1x4x9", "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: 5"), "0x4x9", "out0x6x16", NULL, 0},
      {C46("kernel_size: 3, output_padding: -1"), "0x4x9", "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: true"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, output_padding: null"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, stride: 2, output_padding: [1, 1]"), "1x4x9", "!parameter-length RuntimeError", NULL, 0},
      /* the output's extent */
      {C46("kernel_size: 1, padding: 4"), "1x4x9", "out1x6x1", NULL, 0},
      {C46("kernel_size: 1, padding: 5"), "1x4x9", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 2, padding: 5"), "1x4x9", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 2, padding: 5"), "0x4x9", "out0x6x0", NULL, 0},
      {C46("kernel_size: 1, padding: 5"), "0x4x9", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 1, padding: 4611686018427387904"), "1x4x9", "!output-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 1, stride: 9223372036854775807"), "1x4x9", "!extent-overflow RuntimeError", NULL, 0},
      {C46("kernel_size: 1"), "1x4x0", "!input-extent-positive RuntimeError", NULL, 0},
      /* a mode, a name, and which int a bool may be */
      {C46("kernel_size: 3, padding_mode: reflect, groups: 0"), "1x4x9", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: 3, padding_mode: null"), "1x4x9", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: 3, padding: same"), "1x4x9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: 3, padding: ''"), "1x4x9", "!parameter-length RuntimeError", NULL, 0},
      {"{in_channels: true, out_channels: 6, kernel_size: 3}", "1x1x9", "!parameter-type TypeError", NULL, 0},
      {"{in_channels: 4, out_channels: true, kernel_size: 3}", "1x4x9", "!parameter-type TypeError", NULL, 0},
      {"{in_channels: 4, out_channels: true, kernel_size: 3, bias: ''}", "1x4x9", "out1x1x11 plain", NULL, 0},
      /* channels of none */
      {"{in_channels: 0, out_channels: 6, kernel_size: 3}", "1x0x9", "!in-channels-positive RuntimeError", NULL, 0},
      {"{in_channels: 4, out_channels: 0, kernel_size: 3}", "1x4x9", "!out-channels-positive RuntimeError", NULL, 0},
      {"{in_channels: 4, out_channels: 0, kernel_size: 3}", "0x4x9", "!out-channels-positive IndexError", NULL, 0},
      {C46("kernel_size: 3"), "1x6x9", "!input-channels-mismatch RuntimeError", NULL, 0},
  };
  check_rows("nn.ConvTranspose1d", rows, COUNT(rows));
}

/* Each row breaks its own rule and those of the rows below it. */
static void transposed_convolutions_check_in_this_order(void **state) {
  (void)state;
  static const row rows[] = {
      {C46("kernel_size: 3, nope: 1, padding_mode: same, groups: 0, stride: 1.0"), "9", "!unknown-parameter TypeError", NULL, 0},
      {C46("kernel_size: 3, padding_mode: same, groups: 0, stride: 1.0"), "9", "!padding-mode-unknown ValueError", NULL, 0},
      {C46("kernel_size: -3, groups: 0, stride: 1.0"), "9", "!groups-positive ValueError", NULL, 0},
      {C46("kernel_size: -3, groups: 4, stride: 1.0"), "9", "!groups-divide-out-channels ValueError", NULL, 0},
      {C46("kernel_size: -3, stride: 1.0"), "9", "!kernel-positive RuntimeError", NULL, 0},
      {C46("kernel_size: [3], stride: 1.0, dilation: [], padding: -1"), "9", "!parameter-type TypeError", NULL, 0},
      {C46("kernel_size: [3], dilation: [], padding: -1"), "9", "!input-rank RuntimeError", NULL, 0},
      {C46("kernel_size: [3], dilation: 0, padding: -1, stride: 0"), "1x6x0x9", "!parameter-length RuntimeError", NULL, 0},
      {C46("kernel_size: 0, padding: -1, output_padding: -1, stride: 0, dilation: -1"), "1x6x0x9", "!padding-non-negative RuntimeError", NULL, 0},
      {C46("kernel_size: 0, output_padding: -1, stride: 0, dilation: -1"), "1x6x0x9", "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 0, output_padding: 9, stride: 0, dilation: -1"), "1x6x0x9", "!stride-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 0, output_padding: 9, dilation: -1"), "1x6x0x9", "!dilation-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 0, output_padding: 9, dilation: 0"), "1x6x0x9", "!input-channels-mismatch RuntimeError", NULL, 0},
      {C46("kernel_size: 0, output_padding: 9, dilation: 0"), "1x4x0x9", "!input-extent-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 0, output_padding: 9, dilation: 0"), "1x4x9x9", "!kernel-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 1, output_padding: 9, dilation: 0, padding: 99"), "1x4x9x9", "!dilation-positive RuntimeError", NULL, 0},
      {C46("kernel_size: 1, output_padding: 9, padding: 99"), "1x4x9x9", "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 1, padding: 99"), "1x4x9x9", "!output-extent-positive RuntimeError", "f64:f32", 0},
      {C46("kernel_size: 1"), "1x4x9x9", "!tensor-type RuntimeError", "f64:f32", 0},
  };
  check_rows("nn.ConvTranspose2d", rows, COUNT(rows));
  static const row axes[] = {
      {C46("kernel_size: [1, 2, 3], stride: [3, 2, 1], padding: [0, 1, 2], output_padding: [2, 1, 1], dilation: [1, 1, 2]"), "1x4x3x4x5",
       "out1x6x9x7x6 weight4x6x1x2x3 s3,2,1 d1,1,2 p0,1,2 q0,1,2 o2,1,1 transposed", NULL, 0},
      {C46("kernel_size: 2, stride: [2], output_padding: [1]"), "4x3x4x5", "s2,2,2 o1,1,1 unbatched", NULL, 0},
      {C46("kernel_size: 2, stride: [1, 2, 2], output_padding: 1"), "1x4x3x4x5", "!output-padding-range RuntimeError", NULL, 0},
      {C46("kernel_size: 2, stride: 2, output_padding: [1, 1]"), "1x4x3x4x5", "!parameter-length RuntimeError", NULL, 0},
  };
  check_rows("nn.ConvTranspose3d", axes, COUNT(axes));
}

/* ----------------------------------------------------------------------------------------------- batch norms */

static void batch_normalizations(void **state) {
  (void)state;
  static const row one[] = {
      {"{num_features: 3}", "4x3", "out4x3 batch update gamma beta", NULL, 't'},
      {"{num_features: 3}", "4x3x2", "out4x3x2 batch update", NULL, 't'},
      {"{num_features: 3}", "1x3", "out1x3 running keep", NULL, 'e'},
      {"{num_features: 3}", "1x3", "!one-value-per-channel ValueError", NULL, 't'},
      {"{num_features: 3}", "1x3x1", "!one-value-per-channel ValueError", NULL, 't'},
      {"{num_features: 3}", "1x3x2", "batch", NULL, 't'},
      {"{num_features: 3}", "3", "!input-rank ValueError", NULL, 't'},
      {"{num_features: 3}", "4x3x2x2", "!input-rank ValueError", NULL, 't'},
      {"{num_features: 3}", "3x4", "!input-channels-mismatch RuntimeError", NULL, 't'},
      {"{num_features: 3}", "0x3", "batch keep gamma beta", NULL, 't'},
      {"{num_features: 3}", "0x3", "running keep gamma beta", NULL, 'e'},
      {"{num_features: 3}", "0x7", "batch keep no-gamma no-beta", NULL, 'e'},
      {"{num_features: [3, 1]}", "0x3", "!parameter-length RuntimeError", NULL, 'e'},
  };
  check_rows("nn.BatchNorm1d", one, COUNT(one));
  static const row three[] = {
      {"{num_features: 3}", "2x3x4x5x6", "out2x3x4x5x6 batch update gamma beta", NULL, 't'},
      {"{num_features: 3, affine: false}", "2x3x4x5x6", "running no-gamma", NULL, 'e'},
      {"{num_features: 3}", "1x3x1x1x1", "!one-value-per-channel ValueError", NULL, 't'},
      {"{num_features: 3}", "2x3x4x5", "!input-rank ValueError", NULL, 't'},
  };
  check_rows("nn.BatchNorm3d", three, COUNT(three));
}

/* ------------------------------------------------------------------------------------------------------- types */

static void types_that_go_together(void **state) {
  (void)state;
  static const row convolution[] = {
      {C46("kernel_size: 3"), "1x4x9x9", "bias", "f64:f64", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "bias", "f16:f16", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "bias", "bf16:bf16", 0},
      {C46("kernel_size: 3"), "1x4x9x9", "!tensor-type RuntimeError", "bf16:f32", 0},
      {C46("kernel_size: 3, bias: false"), "1x4x9x9", "!tensor-type RuntimeError", "f32:f64", 0},
      /* a bias is compared before anything else in the call, a weight behind everything */
      {C46("kernel_size: 3"), "9x9", "!tensor-type RuntimeError", "f16:f32", 0},
      {C46("kernel_size: 3, bias: false"), "9x9", "!input-rank RuntimeError", "f16:f32", 0},
  };
  check_rows("nn.Conv2d", convolution, COUNT(convolution));
  static const row batchnorm[] = {
      {"{num_features: 3}", "2x3x4x5", "batch", "f64:f64", 't'},
      {"{num_features: 3}", "2x3x4x5", "batch", "f16:f32", 't'},
      {"{num_features: 3}", "2x3x4x5", "running", "bf16:f32", 'e'},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type RuntimeError", "f64:f32", 't'},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type RuntimeError", "f32:f64", 'e'},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type RuntimeError", "f32:f16", 't'},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type RuntimeError", "f16:bf16", 't'},
      {"{num_features: 3}", "2x3x4x5", "!tensor-type RuntimeError", "bf16:f64", 'e'},
      {"{num_features: 3, affine: false}", "2x3x4x5", "!tensor-type RuntimeError", "f64:f32", 't'},
      /* a layer without tensors has no type, and an empty input meets none */
      {"{num_features: 3, affine: false, track_running_stats: false}", "2x3x4x5", "batch", "f64:f32", 't'},
      {"{num_features: 3, track_running_stats: false}", "0x3x4x5", "batch", "f64:f32", 't'},
      {"{num_features: 3, eps: 0}", "2x3x4x5", "!epsilon-range ValueError", "f64:f32", 't'},
      {"{num_features: 4}", "2x3x4x5", "!input-channels-mismatch RuntimeError", "f64:f32", 't'},
  };
  check_rows("nn.BatchNorm2d", batchnorm, COUNT(batchnorm));
}

/* ----------------------------------------------------------------------------------------------------- functions */

static void functions_take_what_tensors_say(void **state) {
  (void)state;
  static const row convolution[] = {
      {"{}", "2x4x9x8 6x4x3x2", "out2x6x7x7 weight6x4x3x2 s1,1 d1,1 p0,0 g1 zeros plain", NULL, 0},
      {"{stride: [2], padding: [1, 2], dilation: 2, groups: 2}", "4x9x8 6x2x3x2 6", "out1x6x4x5 g2 bias unbatched",
       NULL, 0},
      {"{padding: same, stride: [1]}", "1x4x9x8 6x4x4x3", "out1x6x9x8 p1,1 q2,1", NULL, 0},
      {"{padding: valid, stride: 3}", "1x4x9x8 6x4x4x3", "out1x6x2x2 s3,3 p0,0", NULL, 0},
      {"{padding: same, dilation: -1}", "1x4x9x8 6x4x2x2", "!dilation-positive RuntimeError", NULL, 0},
      {"{padding: same, dilation: -1}", "1x4x9x8 6x4x3x3", "!padding-non-negative RuntimeError", NULL, 0},
  };
  static const row transposed[] = {
      {"{groups: 2, stride: 2, output_padding: 1}", "1x4x5 4x3x3 6", "out1x6x12 weight4x3x3 o1 g2 bias transposed", NULL,
       0},
      {"{padding: same}", "1x4x5 4x3x3", "!parameter-type TypeError", NULL, 0},
  };
  static const row norm[] = {
      {"{}", "4x3 3 3 3 3", "out4x3 running keep gamma beta", NULL, 0},
      {"{training: true, momentum: 0.25, eps: 1}", "2x3x4x5x6 3 3 3 3", "batch update gamma beta m0.25 eps1", NULL, 0},
      {"{training: true}", "2x3x4 3", "batch keep gamma no-beta", NULL, 0},
      {"{training: true}", "0x3x4 3 7 3 3", "batch keep gamma no-beta", NULL, 0},
  };
  check_rows("nn.functional.conv2d", convolution, COUNT(convolution));
  check_rows("nn.functional.conv_transpose1d", transposed, COUNT(transposed));
  check_rows("nn.functional.batch_norm", norm, COUNT(norm));
}

/* Each row breaks its own rule and some of those of the rows below it. */
static void functions_check_in_this_order(void **state) {
  (void)state;
  static const row convolution[] = {
      {"{nope: 1, stride: 1.0}", "9x9 6x4", "!unknown-parameter TypeError", "f64:f32", 0},
      {"{stride: 1.0}", "9x9", "!missing-parameter TypeError", "f64:f32", 0},
      {"{stride: 1.0, groups: 0}", "9x9 6x4 9", "!parameter-type TypeError", "f64:f32", 0},
      {"{groups: 1.0}", "9x9 6x4 9", "!parameter-type TypeError", "f64:f32", 0},
      {"{groups: 0}", "9x9 6x4 9", "!tensor-type RuntimeError", "f64:f32", 0},
      {"{groups: 0, padding: x}", "9x9 6x4 9", "!input-rank RuntimeError", "f64:f32", 0},
      {"{groups: 0, padding: x}", "1x4x9x9 6x4 9", "!padding-unknown RuntimeError", "f64:f32", 0},
      {"{groups: 0, stride: []}", "1x4x9x9 6x4", "!weight-shape RuntimeError", NULL, 0},
      {"{groups: 0, stride: []}", "1x4x9x9 6x4x3", "!groups-positive RuntimeError", NULL, 0},
      {"{stride: []}", "1x4x9x9 6x4x3", "!weight-shape RuntimeError", NULL, 0},
      {"{stride: [], padding: -1}", "1x4x9x9 6x4x3x3", "!parameter-length RuntimeError", NULL, 0},
      {"{stride: 2, padding: same, dilation: -1}", "1x4x9x9 6x4x3x3", "!same-needs-unit-stride RuntimeError", NULL, 0},
      {"{stride: 0, padding: -1, groups: 4}", "1x4x9x9 6x4x3x3", "!padding-non-negative RuntimeError", NULL, 0},
      {"{stride: 0, groups: 4}", "1x4x9x9 6x4x3x3", "!stride-positive RuntimeError", NULL, 0},
      {"{groups: 4}", "1x4x9x9 6x4x3x3 5", "!groups-divide-out-channels RuntimeError", NULL, 0},
      {"{groups: 2}", "1x4x9x9 6x4x3x3 5", "!input-channels-mismatch RuntimeError", NULL, 0},
      {"{}", "1x4x2x2 6x4x3x3 5", "!bias-shape RuntimeError", NULL, 0},
      {"{}", "1x4x2x2 6x4x3x3 6", "!kernel-exceeds-input RuntimeError", NULL, 0},
  };
  static const row norm[] = {
      {"{nope: 1, training: 1}", "1x3 4", "!unknown-parameter TypeError", NULL, 0},
      {"{training: 1, eps: -1}", "1x3 4", "!one-value-per-channel ValueError", NULL, 0},
      {"{training: 1, eps: 0, momentum: null}", "2x3 4", "!epsilon-range ValueError", NULL, 0},
      {"{training: 1, momentum: null}", "2x3 4", "!parameter-type TypeError", NULL, 0},
      {"{momentum: null}", "3 4", "!parameter-type TypeError", NULL, 0},
      {"{}", "3 4", "!input-rank RuntimeError", NULL, 0},
      {"{training: true}", "3", "!input-rank IndexError", NULL, 0},
      {"{}", "2x3 4", "!missing-parameter RuntimeError", NULL, 0},
      {"{training: true}", "2x3 4 3 3", "!statistics-shape RuntimeError", NULL, 0},
      {"{training: true}", "2x3 3 3 3", "!missing-parameter ValueError", "f64:f32", 0},
      {"{}", "2x3 3 3 3x1 3", "!tensor-type RuntimeError", "f64:f32", 0},
      {"{}", "2x3 3 3 3x1 3", "!statistics-shape RuntimeError", NULL, 0},
      {"{}", "0x3 0 3 3 3", "!statistics-shape IndexError", NULL, 0},
  };
  check_rows("nn.functional.conv2d", convolution, COUNT(convolution));
  check_rows("nn.functional.batch_norm", norm, COUNT(norm));
}

static void every_layer_says_what_it_is(void **state) {
  (void)state;
  const cbn_dialect *pytorch = cbn_dialect_by_name("pytorch");
  assert_int_equal(pytorch->operator_count, 16);
  for (size_t i = 0; i < pytorch->operator_count; i++) {
    const cbn_dialect_operator *o = &pytorch->operators[i];
    const bool norm = o->kind == CBN_OPERATOR_BATCHNORM, function = strstr(o->name, "functional") != NULL;
    const bool any_rank = norm && function;
    assert_int_equal(any_rank ? CBN_MAX_SPATIAL : o->name[strlen(o->name) - 2] - '0', o->spatial_rank);
    assert_int_equal(o->transposed, strstr(o->name, function ? "transpose" : "Transpose") != NULL);
    assert_int_equal(o->resets, norm && !function);
    assert_int_equal(o->changeable != NULL, norm && !function);
    assert_int_equal(strstr(o->signature, "output_padding=0") != NULL, o->transposed);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(convolutions_of_one_axis),
      cmocka_unit_test(convolutions_of_three_axes),
      cmocka_unit_test(transposed_convolutions),
      cmocka_unit_test(transposed_convolutions_check_in_this_order),
      cmocka_unit_test(batch_normalizations),
      cmocka_unit_test(types_that_go_together),
      cmocka_unit_test(functions_take_what_tensors_say),
      cmocka_unit_test(functions_check_in_this_order),
      cmocka_unit_test(every_layer_says_what_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
