/* Semantic coverage: each feature's values on problems made by hand, the numbers of pairs, what is said to be
 * impossible against what the generator makes, and the report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "fuzz/pairs_report.h"
#include "generator/pairs.h"

/* ----------------------------------------------------------------------------------------------- problems by hand */

/* 2 images, 4 to 6 channels, 9 x 10 pixels, 3 x 3 taps. */
static cbn_generated conv(enum cbn_generated_kind kind) {
  static const int directions[] = {CBN_FORWARD, CBN_GRAD_INPUT, CBN_GRAD_WEIGHT, CBN_GRAD_BIAS,
                                   CBN_FORWARD, CBN_GRAD_INPUT, CBN_GRAD_WEIGHT};
  cbn_generated p = {.kind = kind, .valid = true, .exact = true, .steps = 1, .conv = cbn_conv_make(2)};
  p.conv.transposed = kind >= CBN_GENERATED_TRANSPOSED_FORWARD;
  p.conv.direction = directions[kind];
  p.conv.has_bias = p.conv.direction == CBN_GRAD_BIAS;
  p.conv.batch = 2;
  p.conv.in_channels = 4;
  p.conv.out_channels = 6;
  p.conv.input[0] = 9;
  p.conv.input[1] = 10;
  p.conv.kernel[0] = p.conv.kernel[1] = 3;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) p.fill[role] = cbn_fill_make(CBN_FILL_INTEGERS);
  return p;
}

static cbn_generated norm(enum cbn_generated_kind kind) {
  cbn_generated p = {.kind = kind, .valid = true, .exact = true, .steps = 1, .batchnorm = cbn_batchnorm_make(2)};
  cbn_batchnorm *b = &p.batchnorm;
  const bool train = kind == CBN_GENERATED_BATCHNORM_TRAIN || kind == CBN_GENERATED_BATCHNORM_PROGRAM;
  b->statistics = train ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = train;
  b->direction = kind == CBN_GENERATED_BATCHNORM_GRAD ? CBN_GRAD_INPUT : CBN_FORWARD;
  b->batch = 2;
  b->channels = 4;
  b->extent[0] = 3;
  b->extent[1] = 5;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) p.fill[role] = cbn_fill_make(CBN_FILL_INTEGERS);
  return p;
}

/* A program: a letter a call, t or e, capital after a reset; all of them with the new weight 0.1. */
static cbn_generated program(const char *calls) {
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_PROGRAM);
  p.steps = (int)strlen(calls);
  for (int i = 0; i < p.steps; i++)
    p.step[i] = (cbn_generated_step){
        .train = calls[i] == 't' || calls[i] == 'T', .reset = calls[i] == 'T' || calls[i] == 'E', .new_weight = 0.1};
  return p;
}

static bool is_valid(const cbn_generated *p) {
  cbn_violation v;
  return cbn_generated_is_conv(p->kind) ? cbn_conv_validate(&p->conv, &v) : cbn_batchnorm_validate(&p->batchnorm, &v);
}

static bool tested[CBN_FEATURE_COUNT][CBN_FEATURE_VALUES_COUNT];

static void expect(const cbn_generated *p, int feature, int expected, const char *file, int line) {
  uint8_t value[CBN_FEATURE_COUNT];
  assert_int_equal(is_valid(p), p->valid);
  cbn_features_of(p, value);
  if (value[feature] != expected) {
    const char *is = cbn_feature_value_name(feature, value[feature]);
    const char *should = cbn_feature_value_name(feature, expected);
    print_error("%s:%d: %s is %s, not %s\n", file, line, cbn_feature_name(feature), is ? is : "none",
                should ? should : "none");
    _fail(file, line);
  }
  if (expected != CBN_FEATURE_NONE) tested[feature][expected] = true;
}

#define EXPECT(p, FEATURE, VALUE) expect(&(p), CBN_FEATURE_##FEATURE, CBN_VALUE(FEATURE, VALUE), __FILE__, __LINE__)
#define EXPECT_NONE(p, FEATURE) expect(&(p), CBN_FEATURE_##FEATURE, CBN_FEATURE_NONE, __FILE__, __LINE__)

static void set_axes(int64_t *values, int64_t h, int64_t w) {
  values[0] = h;
  values[1] = w;
}

/* ------------------------------------------------------------------------------------------------ every problem's */

static void what_every_problem_has(void **state) {
  (void)state;
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++) {
    cbn_generated p = kind == CBN_GENERATED_BATCHNORM_PROGRAM ? program("te")
                      : kind < CBN_GENERATED_BATCHNORM_TRAIN  ? conv((enum cbn_generated_kind)kind)
                                                              : norm((enum cbn_generated_kind)kind);
    p.conv.in_channels = 1;
    p.conv.out_channels = 2; /* 2016 multiply-adds, transposed 3240 */
    expect(&p, CBN_FEATURE_KIND, kind, __FILE__, __LINE__);
    assert_string_equal(cbn_feature_value_name(CBN_FEATURE_KIND, kind), cbn_generated_kind_name(kind));
    EXPECT(p, RANK, 2);
    EXPECT(p, SIZE, SMALL);
    EXPECT(p, DATA, EXACT);
    EXPECT(p, LAYOUT, CONTIGUOUS);
    EXPECT(p, TYPE, F32);
    EXPECT(p, BATCH, MANY);
    EXPECT_NONE(p, RULE);
  }
  cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  p.exact = false;
  p.layout = CBN_CHANNELS_LAST;
  p.type = p.layer_type = CBN_F64;
  p.conv.batch = 1;
  EXPECT(p, DATA, ROUNDING);
  EXPECT(p, LAYOUT, CHANNELS_LAST);
  EXPECT(p, TYPE, F64);
  EXPECT(p, BATCH, ONE);
  p.layout = CBN_STRIDED;
  p.type = p.layer_type = CBN_F16;
  p.conv.batch = 0;
  EXPECT(p, LAYOUT, STRIDED);
  EXPECT(p, TYPE, F16);
  EXPECT(p, BATCH, ZERO);
  p.layout = CBN_MIXED;
  p.type = p.layer_type = CBN_BF16;
  EXPECT(p, LAYOUT, MIXED);
  EXPECT(p, TYPE, BF16);
  p.layout = CBN_PITCHED;
  EXPECT(p, LAYOUT, PITCHED);
  for (int rank = 0; rank <= CBN_MAX_SPATIAL; rank++) {
    cbn_generated q = norm(CBN_GENERATED_BATCHNORM_EVAL);
    q.batchnorm = cbn_batchnorm_make(rank);
    expect(&q, CBN_FEATURE_RANK, rank, __FILE__, __LINE__);
  }
}

/* 1500 elements of a tensor and 3300 multiply-adds are what most problems stay within. */
static void sizes(void **state) {
  (void)state;
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_TRAIN);
  p.batchnorm.channels = 10;
  set_axes(p.batchnorm.extent, 3, 25);
  EXPECT(p, SIZE, SMALL); /* 1500 */
  p.batchnorm.channels = 11;
  EXPECT(p, SIZE, LARGE);
  p = conv(CBN_GENERATED_CONV_GRAD_BIAS);
  set_axes(p.conv.kernel, 1, 1);
  EXPECT(p, SIZE, LARGE); /* 2 * 90 pixels * 24 products are 4320 */
  p.conv.in_channels = 3;
  EXPECT(p, SIZE, SMALL); /* 3240 */
}

static void expect_fills(const cbn_generated *p, int expected, int line) {
  static const int fills[] = {CBN_FEATURE_INPUT_FILL, CBN_FEATURE_WEIGHT_FILL, CBN_FEATURE_GRAD_FILL,
                              CBN_FEATURE_STATISTICS_FILL};
  for (int i = 0; i < 4; i++) expect(p, fills[i], expected, __FILE__, line);
}

static cbn_generated filled(cbn_fill fill) {
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_GRAD); /* by the running statistics: it reads all of them */
  for (int role = 0; role < CBN_ROLE_COUNT; role++) p.fill[role] = fill;
  return p;
}

static cbn_generated normal(double mean, double scale) {
  cbn_fill fill = cbn_fill_make(CBN_FILL_NORMAL);
  fill.mean = mean;
  fill.scale = scale;
  return filled(fill);
}

#define EXPECT_FILLS(p, VALUE) expect_fills(&(p), CBN_VALUE(INPUT_FILL, VALUE), __LINE__)

static void fills(void **state) {
  (void)state;
  cbn_generated p = filled(cbn_fill_make(CBN_FILL_INTEGERS));
  EXPECT_FILLS(p, PLAIN);
  p = filled(cbn_fill_make(CBN_FILL_RAMP));
  EXPECT_FILLS(p, PLAIN);
  p = normal(0, 1e-3);
  EXPECT_FILLS(p, PLAIN);
  p = normal(-5, 2);
  EXPECT_FILLS(p, PLAIN);
  p = normal(-1000, 1);
  EXPECT_FILLS(p, OFFSET);
  p = normal(100, 0.1);
  EXPECT_FILLS(p, OFFSET);
  p = normal(0, 1e-38);
  EXPECT_FILLS(p, TINY);
  p = normal(0, 1e18);
  EXPECT_FILLS(p, VAST);
  p = filled(cbn_fill_make(CBN_FILL_SPECIAL));
  EXPECT_FILLS(p, SPECIAL);
  p = filled(cbn_fill_make(CBN_FILL_IMPULSE));
  EXPECT_FILLS(p, IMPULSE);
  p = filled(cbn_fill_make(CBN_FILL_ONES));
  EXPECT_FILLS(p, CONSTANT);
  cbn_fill fill = cbn_fill_make(CBN_FILL_RAMP);
  fill.step = 0;
  p = filled(fill);
  EXPECT_FILLS(p, CONSTANT);
  fill = cbn_fill_make(CBN_FILL_EXACT);
  p = filled(fill);
  EXPECT_FILLS(p, PLAIN);
  fill.density = 0.1;
  p = filled(fill);
  EXPECT_FILLS(p, SPARSE);
}

/* Tensors that a call does not read have no data. */
static void fills_that_are_not_read(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  EXPECT(p, INPUT_FILL, PLAIN);
  EXPECT(p, WEIGHT_FILL, PLAIN);
  EXPECT_NONE(p, GRAD_FILL);
  EXPECT_NONE(p, STATISTICS_FILL);
  p = conv(CBN_GENERATED_TRANSPOSED_GRAD_INPUT);
  EXPECT_NONE(p, INPUT_FILL);
  EXPECT(p, WEIGHT_FILL, PLAIN);
  EXPECT(p, GRAD_FILL, PLAIN);
  p = conv(CBN_GENERATED_CONV_GRAD_WEIGHT);
  EXPECT(p, INPUT_FILL, PLAIN);
  EXPECT_NONE(p, WEIGHT_FILL);
  p = conv(CBN_GENERATED_CONV_GRAD_BIAS);
  EXPECT_NONE(p, INPUT_FILL);
  EXPECT_NONE(p, WEIGHT_FILL);
  EXPECT(p, GRAD_FILL, PLAIN);
  p = norm(CBN_GENERATED_BATCHNORM_TRAIN);
  EXPECT(p, STATISTICS_FILL, PLAIN);
  p.batchnorm.update_running = 0;
  EXPECT_NONE(p, STATISTICS_FILL);
  p.batchnorm.has_weight = 0;
  EXPECT_NONE(p, WEIGHT_FILL);
  p = program("ee");
  p.batchnorm.update_running = 0;
  EXPECT(p, STATISTICS_FILL, PLAIN);
}

/* ------------------------------------------------------------------------------------------------- convolutions */

static void paddings(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  EXPECT(p, PADDING_MODE, ZEROS);
  EXPECT(p, PADDING_SIDES, NONE);
  EXPECT(p, PADDING_REACH, NONE);
  set_axes(p.conv.pad_begin, 1, 0);
  EXPECT(p, PADDING_SIDES, BEGIN);
  EXPECT(p, PADDING_REACH, LESS);
  set_axes(p.conv.pad_end, 1, 0);
  EXPECT(p, PADDING_SIDES, EQUAL);
  EXPECT(p, PADDING_REACH, LESS);
  set_axes(p.conv.pad_begin, 1, 2);
  EXPECT(p, PADDING_SIDES, UNEQUAL);
  EXPECT(p, PADDING_REACH, SAME);
  set_axes(p.conv.pad_begin, 0, 2);
  set_axes(p.conv.pad_end, 0, 1);
  EXPECT(p, PADDING_REACH, MORE);
  set_axes(p.conv.pad_begin, 0, 0);
  EXPECT(p, PADDING_SIDES, END);
  set_axes(p.conv.pad_end, 0, 3); /* three taps read padding alone */
  EXPECT(p, PADDING_REACH, BEYOND);
  set_axes(p.conv.dilation, 1, 2); /* five do not */
  EXPECT(p, PADDING_REACH, LESS);
  set_axes(p.conv.pad_end, -1, 3);
  EXPECT(p, PADDING_SIDES, CROPS);
  set_axes(p.conv.pad_end, -1, 0);
  EXPECT(p, PADDING_REACH, NONE);
  p.conv.padding_mode = CBN_PAD_REFLECT;
  EXPECT(p, PADDING_MODE, REFLECT);
  p.conv.padding_mode = CBN_PAD_REPLICATE;
  EXPECT(p, PADDING_MODE, REPLICATE);
  p.conv.padding_mode = CBN_PAD_CIRCULAR;
  EXPECT(p, PADDING_MODE, CIRCULAR);
}

static void kernels_and_steps(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_GRAD_WEIGHT);
  EXPECT(p, STRIDE, ONE);
  EXPECT(p, DILATION, ONE);
  EXPECT(p, KERNEL, ODD);
  EXPECT(p, KERNEL_REACH, INSIDE);
  set_axes(p.conv.stride, 2, 2);
  EXPECT(p, STRIDE, BELOW);
  set_axes(p.conv.stride, 3, 3);
  EXPECT(p, STRIDE, EQUAL);
  set_axes(p.conv.stride, 4, 4);
  EXPECT(p, STRIDE, ABOVE);
  set_axes(p.conv.stride, 1, 2);
  EXPECT(p, STRIDE, DIFFERS);
  set_axes(p.conv.dilation, 2, 2);
  EXPECT(p, DILATION, ALIKE);
  set_axes(p.conv.dilation, 3, 2);
  EXPECT(p, DILATION, DIFFERS);
  set_axes(p.conv.kernel, 1, 2);
  EXPECT(p, DILATION, DIFFERS);
  EXPECT(p, KERNEL, BOTH);
  set_axes(p.conv.dilation, 3, 1);
  EXPECT(p, DILATION, IDLE);
  set_axes(p.conv.kernel, 2, 2);
  EXPECT(p, KERNEL, EVEN);
  set_axes(p.conv.kernel, 1, 1);
  EXPECT(p, KERNEL, ONE);
  set_axes(p.conv.dilation, 1, 1);
  set_axes(p.conv.kernel, 9, 10);
  EXPECT(p, KERNEL_REACH, WHOLE);
  EXPECT(p, INPUT_DILATION, ONE);
  set_axes(p.conv.input_dilation, 1, 2); /* 9 x 19 */
  EXPECT(p, KERNEL_REACH, INSIDE);
  EXPECT(p, INPUT_DILATION, MORE);
  set_axes(p.conv.kernel, 10, 10);
  EXPECT(p, KERNEL_REACH, BEYOND);
  p = conv(CBN_GENERATED_TRANSPOSED_FORWARD); /* 11 x 12 */
  EXPECT_NONE(p, INPUT_DILATION);
  EXPECT(p, KERNEL_REACH, INSIDE);
  set_axes(p.conv.pad_begin, 8, 9);
  EXPECT(p, KERNEL_REACH, WHOLE);
  set_axes(p.conv.pad_begin, 8, 10);
  EXPECT(p, KERNEL_REACH, BEYOND);
}

static void set_channels(cbn_generated *p, int64_t groups, int64_t in, int64_t out) {
  p->conv.groups = groups;
  p->conv.in_channels = in;
  p->conv.out_channels = out;
}

static void groups_and_channels(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  EXPECT(p, GROUPS, ONE);
  EXPECT(p, BIAS, NO);
  p.conv.has_bias = 1;
  EXPECT(p, BIAS, YES);
  set_channels(&p, 2, 4, 6);
  EXPECT(p, GROUPS, SEVERAL);
  EXPECT(p, IN_CHANNELS, BELOW);     /* 2 of a vector of 8 */
  EXPECT(p, OUT_CHANNELS, ONE_LESS); /* 3 of 4 filters */
  set_channels(&p, 3, 3, 3);
  EXPECT(p, GROUPS, DEPTHWISE);
  EXPECT(p, IN_CHANNELS, ONE);
  EXPECT(p, OUT_CHANNELS, ONE);
  set_channels(&p, 3, 3, 6);
  EXPECT(p, GROUPS, MULTIPLIER);
  EXPECT(p, OUT_CHANNELS, BELOW);
  set_channels(&p, 3, 6, 3);
  EXPECT(p, GROUPS, ONE_FILTER);
  set_channels(&p, 2, 16, 8);
  EXPECT(p, IN_CHANNELS, FULL);
  EXPECT(p, OUT_CHANNELS, FULL);
  set_channels(&p, 2, 34, 18);
  EXPECT(p, IN_CHANNELS, ONE_MORE);
  EXPECT(p, OUT_CHANNELS, ONE_MORE);
  set_channels(&p, 2, 20, 12);
  EXPECT(p, IN_CHANNELS, MIDDLE);  /* 10 */
  EXPECT(p, OUT_CHANNELS, MIDDLE); /* 6 */
  set_channels(&p, 2, 30, 0);
  EXPECT(p, IN_CHANNELS, ONE_LESS); /* 15 */
  EXPECT(p, OUT_CHANNELS, ZERO);
  EXPECT(p, GROUPS, SEVERAL);
  set_channels(&p, 1, 0, 1);
  EXPECT(p, IN_CHANNELS, ZERO);
  p = conv(CBN_GENERATED_TRANSPOSED_GRAD_WEIGHT);
  EXPECT_NONE(p, BIAS);
}

static void outputs(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  EXPECT_NONE(p, OUTPUT_PADDING);
  EXPECT(p, OUTPUT, FILLED);
  set_axes(p.conv.kernel, 10, 3);
  EXPECT(p, OUTPUT, NO_PIXELS);
  p.conv.batch = 0;
  set_axes(p.conv.kernel, 3, 3);
  EXPECT(p, OUTPUT, FILLED); /* but no images */
  p = conv(CBN_GENERATED_TRANSPOSED_FORWARD);
  EXPECT(p, OUTPUT_PADDING, NONE);
  set_axes(p.conv.stride, 1, 2);
  set_axes(p.conv.output_padding, 0, 1);
  EXPECT(p, OUTPUT_PADDING, BELOW_STRIDE);
  set_axes(p.conv.dilation, 1, 3);
  set_axes(p.conv.output_padding, 0, 2);
  EXPECT(p, OUTPUT_PADDING, FROM_STRIDE);
}

/* One tap, so that the output has the input's columns; a vector takes 8 of them, a tile 24. */
static void columns(void **state) {
  (void)state;
  static const struct {
    int64_t columns;
    int by_8, by_24;
  } tails[] = {{0, CBN_VALUE(COLUMNS_8, ZERO), CBN_VALUE(COLUMNS_24, ZERO)},
               {1, CBN_VALUE(COLUMNS_8, ONE), CBN_VALUE(COLUMNS_24, ONE)},
               {2, CBN_VALUE(COLUMNS_8, BELOW), CBN_VALUE(COLUMNS_24, BELOW)},
               {6, CBN_VALUE(COLUMNS_8, BELOW), CBN_VALUE(COLUMNS_24, BELOW)},
               {7, CBN_VALUE(COLUMNS_8, ONE_LESS), CBN_VALUE(COLUMNS_24, BELOW)},
               {8, CBN_VALUE(COLUMNS_8, FULL), CBN_VALUE(COLUMNS_24, BELOW)},
               {9, CBN_VALUE(COLUMNS_8, ONE_MORE), CBN_VALUE(COLUMNS_24, BELOW)},
               {14, CBN_VALUE(COLUMNS_8, MIDDLE), CBN_VALUE(COLUMNS_24, BELOW)},
               {23, CBN_VALUE(COLUMNS_8, ONE_LESS), CBN_VALUE(COLUMNS_24, ONE_LESS)},
               {24, CBN_VALUE(COLUMNS_8, FULL), CBN_VALUE(COLUMNS_24, FULL)},
               {25, CBN_VALUE(COLUMNS_8, ONE_MORE), CBN_VALUE(COLUMNS_24, ONE_MORE)},
               {40, CBN_VALUE(COLUMNS_8, FULL), CBN_VALUE(COLUMNS_24, MIDDLE)}};
  cbn_generated p = conv(CBN_GENERATED_CONV_GRAD_WEIGHT);
  set_axes(p.conv.kernel, 1, 1);
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    p.conv.input[1] = tails[i].columns;
    expect(&p, CBN_FEATURE_COLUMNS_8, tails[i].by_8, __FILE__, __LINE__);
    expect(&p, CBN_FEATURE_COLUMNS_24, tails[i].by_24, __FILE__, __LINE__);
  }
  p = conv(CBN_GENERATED_CONV_GRAD_INPUT); /* 10 columns of the input, 4 of the output */
  p.conv.kernel[1] = 7;
  EXPECT(p, COLUMNS_8, MIDDLE);
  p = conv(CBN_GENERATED_CONV_FORWARD);
  p.conv.kernel[1] = 7;
  EXPECT(p, COLUMNS_8, BELOW);
}

/* Of blocks of 48 and 480 pixels, 20 and 288 products. */
static void blocks(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_GRAD_INPUT);
  p.conv.batch = 1;
  set_axes(p.conv.input, 6, 8);
  EXPECT(p, PIXELS, FEW);
  set_axes(p.conv.input, 7, 7);
  EXPECT(p, PIXELS, SOME);
  p.conv.batch = 10;
  EXPECT(p, PIXELS, MANY); /* 490 */
  set_axes(p.conv.input, 6, 8);
  EXPECT(p, PIXELS, SOME); /* 480 */
  p.conv.out_channels = 2;
  EXPECT(p, REDUCTION, SHORT); /* 18: out_channels are summed */
  p.conv.out_channels = 32;
  EXPECT(p, REDUCTION, MIDDLE); /* 288 */
  p.conv.out_channels = 33;
  EXPECT(p, REDUCTION, LONG);
  p = conv(CBN_GENERATED_TRANSPOSED_FORWARD);
  set_channels(&p, 2, 66, 2);
  EXPECT(p, REDUCTION, LONG); /* 33 * 9 */
  set_channels(&p, 2, 4, 66);
  EXPECT(p, REDUCTION, SHORT);
}

/* --------------------------------------------------------------------------------------------- batch normalizations */

static void layers(void **state) {
  (void)state;
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_GRAD);
  p.type = p.layer_type = CBN_BF16;
  EXPECT(p, LAYER_TYPE, SAME);
  p.layer_type = CBN_F32;
  EXPECT(p, LAYER_TYPE, DIFFERS);
  EXPECT(p, AFFINE, BOTH);
  p.batchnorm.has_bias = 0;
  EXPECT(p, AFFINE, WEIGHT);
  p.batchnorm.has_weight = 0;
  EXPECT(p, AFFINE, NEITHER);
  p.batchnorm.has_bias = 1;
  EXPECT(p, AFFINE, BIAS);
  EXPECT(p, IN_PLACE, NO);
  p.in_place = true;
  EXPECT(p, IN_PLACE, YES);
  EXPECT(p, STATISTICS, RUNNING);
  p.batchnorm.statistics = CBN_STATISTICS_BATCH;
  EXPECT(p, STATISTICS, BATCH);
  EXPECT(p, EPSILON, USUAL);
  p.batchnorm.epsilon = 0;
  EXPECT(p, EPSILON, ZERO);
  p.batchnorm.epsilon = 1e-12;
  EXPECT(p, EPSILON, TINY);
  p.batchnorm.epsilon = 0.5;
  EXPECT(p, EPSILON, LARGE);
  p.batchnorm.epsilon = 1e-3;
  EXPECT(p, EPSILON, USUAL);
  EXPECT_NONE(p, UPDATE);
  EXPECT_NONE(p, NEW_WEIGHT);
  EXPECT_NONE(p, STRIDE);
}

static void counts_of_channels(void **state) {
  (void)state;
  static const struct {
    int64_t channels;
    int by_8, by_16;
  } tails[] = {{0, CBN_VALUE(CHANNELS_8, ZERO), CBN_VALUE(CHANNELS_16, ZERO)},
               {1, CBN_VALUE(CHANNELS_8, ONE), CBN_VALUE(CHANNELS_16, ONE)},
               {5, CBN_VALUE(CHANNELS_8, BELOW), CBN_VALUE(CHANNELS_16, BELOW)},
               {8, CBN_VALUE(CHANNELS_8, FULL), CBN_VALUE(CHANNELS_16, BELOW)},
               {9, CBN_VALUE(CHANNELS_8, ONE_MORE), CBN_VALUE(CHANNELS_16, BELOW)},
               {15, CBN_VALUE(CHANNELS_8, ONE_LESS), CBN_VALUE(CHANNELS_16, ONE_LESS)},
               {16, CBN_VALUE(CHANNELS_8, FULL), CBN_VALUE(CHANNELS_16, FULL)},
               {33, CBN_VALUE(CHANNELS_8, ONE_MORE), CBN_VALUE(CHANNELS_16, ONE_MORE)},
               {20, CBN_VALUE(CHANNELS_8, MIDDLE), CBN_VALUE(CHANNELS_16, MIDDLE)}};
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_EVAL);
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    p.batchnorm.channels = tails[i].channels;
    expect(&p, CBN_FEATURE_CHANNELS_8, tails[i].by_8, __FILE__, __LINE__);
    expect(&p, CBN_FEATURE_CHANNELS_16, tails[i].by_16, __FILE__, __LINE__);
  }
}

static void values_of_a_channel(void **state) {
  (void)state;
  static const struct {
    int64_t batch, h, w;
    int values, by_8;
  } counts[] = {{0, 3, 5, CBN_VALUE(VALUES, ZERO), CBN_VALUE(VALUES_8, ZERO)},
                {2, 0, 5, CBN_VALUE(VALUES, ZERO), CBN_VALUE(VALUES_8, ZERO)},
                {1, 1, 1, CBN_VALUE(VALUES, ONE), CBN_VALUE(VALUES_8, ONE)},
                {2, 1, 1, CBN_VALUE(VALUES, TWO), CBN_VALUE(VALUES_8, BELOW)},
                {1, 1, 7, CBN_VALUE(VALUES, FEW), CBN_VALUE(VALUES_8, ONE_LESS)},
                {1, 2, 4, CBN_VALUE(VALUES, SOME), CBN_VALUE(VALUES_8, FULL)},
                {1, 1, 9, CBN_VALUE(VALUES, SOME), CBN_VALUE(VALUES_8, ONE_MORE)},
                {3, 3, 7, CBN_VALUE(VALUES, SOME), CBN_VALUE(VALUES_8, ONE_LESS)},
                {2, 5, 10, CBN_VALUE(VALUES, MANY), CBN_VALUE(VALUES_8, MIDDLE)}};
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_TRAIN);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    p.batchnorm.batch = counts[i].batch;
    set_axes(p.batchnorm.extent, counts[i].h, counts[i].w);
    expect(&p, CBN_FEATURE_VALUES, counts[i].values, __FILE__, __LINE__);
    expect(&p, CBN_FEATURE_VALUES_8, counts[i].by_8, __FILE__, __LINE__);
  }
}

static void updates(void **state) {
  (void)state;
  cbn_generated p = norm(CBN_GENERATED_BATCHNORM_TRAIN);
  EXPECT(p, UPDATE, YES);
  EXPECT(p, STATISTICS, BATCH);
  p.batchnorm.statistics = CBN_STATISTICS_RUNNING; /* a layer that is frozen and updates them all the same */
  EXPECT(p, STATISTICS, RUNNING);
  p.batchnorm.running_variance = CBN_VARIANCE_BIASED;
  EXPECT(p, VARIANCE, BIASED);
  p.batchnorm.running_variance = CBN_VARIANCE_UNBIASED;
  EXPECT(p, VARIANCE, UNBIASED);
  EXPECT(p, NEW_WEIGHT, USUAL);
  p.batchnorm.new_weight = 0;
  EXPECT(p, NEW_WEIGHT, ZERO);
  p.batchnorm.new_weight = 1;
  EXPECT(p, NEW_WEIGHT, ONE);
  p.batchnorm.new_weight = 2;
  EXPECT(p, NEW_WEIGHT, ABOVE);
  p.batchnorm.new_weight = -0.5;
  EXPECT(p, NEW_WEIGHT, NEGATIVE);
  p.batchnorm.update_running = 0;
  EXPECT(p, UPDATE, NO);
  EXPECT_NONE(p, VARIANCE);
  EXPECT_NONE(p, NEW_WEIGHT);
}

static void programs(void **state) {
  (void)state;
  cbn_generated p = program("tt");
  EXPECT(p, HISTORY, TRAIN);
  EXPECT(p, STEPS, TWO);
  EXPECT(p, RESETS, NONE);
  EXPECT(p, NEW_WEIGHT, USUAL);
  EXPECT(p, STATISTICS, BATCH);
  p.batchnorm.statistics = CBN_STATISTICS_RUNNING;
  EXPECT(p, STATISTICS, RUNNING);
  p.step[0].train = p.step[1].train = false;
  EXPECT_NONE(p, STATISTICS);
  p = program("tt");
  p.step[1].new_weight = 1;
  EXPECT(p, NEW_WEIGHT, DIFFERS);
  p.step[1].train = false;
  EXPECT(p, NEW_WEIGHT, USUAL);
  p = program("Eee");
  EXPECT(p, HISTORY, EVAL);
  EXPECT(p, STEPS, THREE);
  EXPECT(p, RESETS, FIRST);
  EXPECT_NONE(p, NEW_WEIGHT);
  p = program("tTee");
  EXPECT(p, HISTORY, TRAIN_EVAL);
  EXPECT(p, STEPS, MORE);
  EXPECT(p, RESETS, LATER);
  p = program("eett");
  EXPECT(p, HISTORY, EVAL_TRAIN);
  p = program("tet");
  EXPECT(p, HISTORY, ALTERNATES);
  p = program("tettE");
  EXPECT(p, HISTORY, ALTERNATES);
  EXPECT(p, RESETS, LATER);
}

/* ------------------------------------------------------------------------------------------------------ near misses */

static void count_pairs(void *context, int pair) {
  int *count = context;
  assert_true(pair >= 0 && pair < cbn_pair_count());
  (*count)++;
}

static void expect_rule(cbn_generated p, const char *rule) {
  int value = 0, count = 0, rule_value, kind, a, b;
  while (strcmp(cbn_feature_value_name(CBN_FEATURE_RULE, value), rule) != 0) value++;
  p.valid = false;
  expect(&p, CBN_FEATURE_RULE, value, __FILE__, __LINE__);
  EXPECT_NONE(p, TYPE);
  cbn_pairs_of(&p, count_pairs, &count);
  assert_int_equal(count, 1);
  assert_true(cbn_pair_of_number(cbn_pair_number(CBN_FEATURE_KIND, (int)p.kind, CBN_FEATURE_RULE, value), &a, &kind, &b,
                                 &rule_value));
  assert_int_equal(kind, p.kind);
  assert_int_equal(rule_value, value);
}

#define MISSES(rule, member, value)                                                                                    \
  do {                                                                                                                 \
    cbn_generated missed = p;                                                                                          \
    missed.member = value;                                                                                             \
    expect_rule(missed, rule);                                                                                         \
  } while (0)

static void near_misses(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  MISSES("missing-parameter", conv.struct_size, 0);
  MISSES("parameter-type", conv.has_bias, 2);
  MISSES("parameter-length", conv.stride[2], 1);
  MISSES("spatial-rank", conv.spatial_rank, 4);
  MISSES("extent-non-negative", conv.input[0], -1);
  MISSES("extent-overflow", conv.batch, INT64_MAX);
  MISSES("groups-positive", conv.groups, 0);
  MISSES("groups-divide-in-channels", conv.groups, 3);
  MISSES("groups-divide-out-channels", conv.groups, 4);
  MISSES("kernel-positive", conv.kernel[1], 0);
  MISSES("stride-positive", conv.stride[1], 0);
  MISSES("dilation-positive", conv.dilation[0], 0);
  MISSES("input-dilation-positive", conv.input_dilation[0], 0);
  MISSES("padding-mode-unknown", conv.padding_mode, 4);
  MISSES("output-padding-range", conv.output_padding[0], 1);
  p.conv.padding_mode = CBN_PAD_REFLECT;
  MISSES("reflect-pad-less-than-input", conv.pad_end[0], 9);
  MISSES("padding-mode-needs-plain-input", conv.input_dilation[0], 2);
  p.conv.padding_mode = CBN_PAD_CIRCULAR;
  MISSES("circular-pad-at-most-input", conv.pad_begin[1], 11);
  p.conv.padding_mode = CBN_PAD_REPLICATE;
  p.conv.input[0] = 0;
  MISSES("replicate-needs-input", conv.pad_begin[0], 1);
  p = conv(CBN_GENERATED_TRANSPOSED_GRAD_WEIGHT);
  MISSES("input-dilation-forward-only", conv.input_dilation[0], 2);
  p = norm(CBN_GENERATED_BATCHNORM_GRAD);
  MISSES("backward-updates-nothing", batchnorm.update_running, 1);
}

static void every_value_is_tested(void **state) {
  (void)state;
  for (int feature = 0; feature < CBN_FEATURE_COUNT; feature++)
    for (int value = 0; value < cbn_feature_values(feature); value++)
      if (!tested[feature][value])
        fail_msg("%s %s is not tested", cbn_feature_name(feature), cbn_feature_value_name(feature, value));
  for (int value = 0; value < cbn_feature_values(CBN_FEATURE_RULE); value++)
    assert_true(cbn_rule_by_name(cbn_feature_value_name(CBN_FEATURE_RULE, value)) >= 0);
}

/* ----------------------------------------------------------------------------------------------------------- pairs */

static void numbers_of_pairs(void **state) {
  (void)state;
  int pairs = 0;
  uint8_t *seen = test_calloc((size_t)cbn_pair_count(), 1);
  for (int a = 0; a < CBN_FEATURE_COUNT; a++)
    for (int b = 0; b < CBN_FEATURE_COUNT; b++)
      for (int value_a = 0; value_a < cbn_feature_values(a); value_a++)
        for (int value_b = 0; value_b < cbn_feature_values(b); value_b++) {
          int of[4];
          const int pair = cbn_pair_number(a, value_a, b, value_b);
          assert_int_equal(cbn_pair_number(b, value_b, a, value_a), pair);
          if (a >= b || pair < 0) continue;
          assert_true(pair < cbn_pair_count() && !seen[pair]++);
          assert_true(cbn_pair_of_number(pair, &of[0], &of[1], &of[2], &of[3]));
          assert_true(of[0] == a && of[1] == value_a && of[2] == b && of[3] == value_b);
          pairs++;
        }
  assert_int_equal(pairs, cbn_pair_count());
  assert_true(pairs < 20000);
  assert_int_equal(cbn_pair_number(CBN_FEATURE_STRIDE, 0, CBN_FEATURE_STRIDE, 1), -1);
  assert_int_equal(cbn_pair_number(CBN_FEATURE_STRIDE, 0, CBN_FEATURE_EPSILON, 0), -1);
  assert_int_equal(cbn_pair_number(CBN_FEATURE_STRIDE, 0, CBN_FEATURE_RULE, 0), -1);
  assert_int_equal(cbn_pair_number(CBN_FEATURE_STRIDE, 99, CBN_FEATURE_KIND, 0), -1);
  assert_int_equal(cbn_pair_number(-1, 0, CBN_FEATURE_KIND, 0), -1);
  assert_false(cbn_pair_of_number(cbn_pair_count(), &(int){0}, &(int){0}, &(int){0}, &(int){0}));
  test_free(seen);
}

static void names(void **state) {
  (void)state;
  for (int feature = 0; feature < CBN_FEATURE_COUNT; feature++)
    assert_int_equal(cbn_feature_by_name(cbn_feature_name(feature)), feature);
  assert_int_equal(cbn_feature_by_name("colour"), -1);
  assert_null(cbn_feature_name(CBN_FEATURE_COUNT));
  assert_null(cbn_feature_value_name(CBN_FEATURE_STRIDE, 5));
  assert_string_equal(cbn_feature_value_name(CBN_FEATURE_STRIDE, CBN_VALUE(STRIDE, ABOVE)), "above the kernel");
}

/* Every two features that a problem has, once. */
static void mark(void *context, int pair) { ((uint8_t *)context)[pair]++; }

static void pairs_of_a_problem(void **state) {
  (void)state;
  const cbn_generated problems[] = {conv(CBN_GENERATED_CONV_GRAD_INPUT), program("tet")};
  for (int i = 0; i < 2; i++) {
    uint8_t value[CBN_FEATURE_COUNT], *seen = test_calloc((size_t)cbn_pair_count(), 1);
    int had = 0, count = 0;
    cbn_features_of(&problems[i], value);
    cbn_pairs_of(&problems[i], mark, seen);
    for (int b = 0; b < CBN_FEATURE_COUNT; b++) {
      if (value[b] == CBN_FEATURE_NONE) continue;
      had++;
      for (int a = 0; a < b; a++)
        if (value[a] != CBN_FEATURE_NONE) assert_int_equal(seen[cbn_pair_number(a, value[a], b, value[b])], 1);
    }
    for (int pair = 0; pair < cbn_pair_count(); pair++) count += seen[pair];
    assert_int_equal(count, had * (had - 1) / 2);
    test_free(seen);
  }
}

#define IMPOSSIBLE(kind, A, VALUE_A, B, VALUE_B, by_definition)                                                        \
  cbn_pair_impossible(cbn_pair_number(CBN_FEATURE_##A, CBN_VALUE(A, VALUE_A), CBN_FEATURE_##B, CBN_VALUE(B, VALUE_B)), \
                      kind, by_definition)

static void reasons(void **state) {
  (void)state;
  bool defined = false;
  const char *zeros = "a transposed convolution is padded with zeros only";
  assert_string_equal(IMPOSSIBLE(-1, KIND, TRANSPOSED_FORWARD, PADDING_MODE, REFLECT, &defined), zeros);
  assert_true(defined);
  assert_string_equal(IMPOSSIBLE(CBN_GENERATED_TRANSPOSED_GRAD_INPUT, STRIDE, ABOVE, PADDING_MODE, CIRCULAR, &defined),
                      zeros);
  assert_null(IMPOSSIBLE(CBN_GENERATED_CONV_FORWARD, STRIDE, ABOVE, PADDING_MODE, CIRCULAR, NULL));
  assert_null(IMPOSSIBLE(-1, STRIDE, ABOVE, PADDING_MODE, CIRCULAR, NULL));
  assert_non_null(IMPOSSIBLE(-1, OUTPUT_PADDING, NONE, PADDING_MODE, CIRCULAR, NULL));
  assert_non_null(IMPOSSIBLE(-1, KIND, CONV_FORWARD, EPSILON, ZERO, NULL));
  assert_non_null(IMPOSSIBLE(-1, BIAS, YES, GRAD_FILL, PLAIN, NULL));
  assert_non_null(IMPOSSIBLE(CBN_GENERATED_CONV_FORWARD, KIND, CONV_GRAD_BIAS, STRIDE, ONE, NULL));
  assert_string_equal(IMPOSSIBLE(-1, RANK, 1, STRIDE, DIFFERS, &defined), "one axis does not differ from another");
  assert_true(defined);
  assert_non_null(IMPOSSIBLE(-1, DATA, EXACT, INPUT_FILL, SPECIAL, &defined));
  assert_false(defined);
  assert_non_null(cbn_pair_impossible(cbn_pair_count(), -1, NULL));
}

/* ----------------------------------------------------------------------------- against what the generator makes */

typedef struct search {
  uint8_t *possible, *reached; /* a byte for each kind and pair: kind * pairs + pair */
  int kind, pairs, fresh, contradictions;
} search;

static void reach(void *context, int pair) {
  search *s = context;
  const int i = s->kind * s->pairs + pair;
  if (!s->possible[i] && s->contradictions++ == 0)
    print_error("%s has pair %d: %s\n", cbn_generated_kind_name(s->kind), pair,
                cbn_pair_impossible(pair, s->kind, NULL));
  s->fresh += !s->reached[i];
  s->reached[i] = 1;
}

static void try_genome(search *s, const uint8_t *genome) {
  cbn_generated p;
  cbn_generate(genome, CBN_GENOME_BYTES, &p);
  s->kind = (int)p.kind;
  s->fresh = 0;
  cbn_pairs_of(&p, reach, s);
}

/* Problems by chance, then changes of some genes of those that reached something: none has a pair that is said to be
 * impossible, in its kind, and of those that are not, nearly all are reached. CBN_TEST_PROBLEMS asks for more of them. */
static void what_the_generator_reaches(void **state) {
  (void)state;
  enum { PROBLEMS = 1000000, CORPUS = 1 << 14, CHANGES = 4 };
  const char *text = getenv("CBN_TEST_PROBLEMS");
  const long asked = text != NULL ? strtol(text, NULL, 10) : 0, problems = asked > PROBLEMS ? asked : PROBLEMS;
  search s = {.pairs = cbn_pair_count()};
  const size_t bytes = (size_t)(s.pairs * CBN_GENERATED_KIND_COUNT);
  s.possible = test_calloc(bytes, 1);
  s.reached = test_calloc(bytes, 1);
  for (size_t i = 0; i < bytes; i++)
    s.possible[i] = cbn_pair_impossible((int)i % s.pairs, (int)i / s.pairs, NULL) == NULL;
  uint8_t(*corpus)[CBN_GENOME_BYTES] = test_malloc(CORPUS * sizeof *corpus);
  chance r = {1};
  int kept = 0;
  for (long i = 0; i < problems; i++) {
    uint8_t genome[CBN_GENOME_BYTES];
    if (i < problems / 4)
      for (int gene = 0; gene < CBN_GENOME_BYTES; gene++) genome[gene] = (uint8_t)next(&r);
    else {
      memcpy(genome, corpus[between(&r, 0, kept - 1)], sizeof genome);
      for (int64_t change = between(&r, 1, CHANGES); change > 0; change--)
        genome[between(&r, 0, CBN_GENE_COUNT - 1)] = (uint8_t)next(&r);
    }
    try_genome(&s, genome);
    if (s.fresh > 0 && kept < CORPUS) memcpy(corpus[kept++], genome, sizeof genome);
  }
  int possible = 0, missed = 0, missed_in_all = 0;
  for (int pair = 0; pair < s.pairs; pair++) {
    int in_all = 0;
    for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++) {
      possible += s.possible[kind * s.pairs + pair];
      missed += s.possible[kind * s.pairs + pair] && !s.reached[kind * s.pairs + pair];
      in_all += s.reached[kind * s.pairs + pair];
    }
    missed_in_all += in_all == 0 && cbn_pair_impossible(pair, -1, NULL) == NULL;
  }
  print_message("%ld problems, %d pairs: %d missed in all kinds; %d of %d in a kind\n", problems, s.pairs,
                missed_in_all, missed, possible);
  assert_int_equal(s.contradictions, 0);
  assert_true(missed_in_all <= s.pairs / 1000);
  assert_true(missed <= possible / 200);
  test_free(corpus);
  test_free(s.reached);
  test_free(s.possible);
}

/* What chance hardly finds, and is yet not impossible: an input of many pixels whose output is as large as the kernel. */
static void what_chance_hardly_finds(void **state) {
  (void)state;
  cbn_generated p = conv(CBN_GENERATED_TRANSPOSED_GRAD_INPUT), made;
  uint8_t bytes[CBN_GENOME_BYTES];
  const char *parameter = NULL;
  p.layer_type = p.type;
  p.conv.batch = 5;
  set_channels(&p, 1, 1, 1);
  set_axes(p.conv.input, 10, 10);
  set_axes(p.conv.kernel, 1, 1);
  set_axes(p.conv.pad_begin, 9, 9);
  if (!cbn_genome_of(&p, bytes, &parameter)) fail_msg("no bytes: %s", parameter);
  cbn_generate(bytes, sizeof bytes, &made);
  EXPECT(made, KERNEL_REACH, WHOLE);
  EXPECT(made, PIXELS, MANY);
  assert_null(IMPOSSIBLE(CBN_GENERATED_TRANSPOSED_GRAD_INPUT, KERNEL_REACH, WHOLE, PIXELS, MANY, NULL));
}

/* ---------------------------------------------------------------------------------------------------------- reports */

static int64_t count_of(const json_t *report, const char *key) {
  return json_integer_value(json_object_get(report, key));
}

static void the_report_as_json(void **state) {
  (void)state;
  uint8_t *reached = test_calloc((size_t)cbn_pair_count(), 1);
  const cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD);
  cbn_pairs_of(&p, mark, reached);
  const int zeros = cbn_pair_number(CBN_FEATURE_KIND, CBN_GENERATED_TRANSPOSED_FORWARD, CBN_FEATURE_PADDING_MODE,
                                    CBN_VALUE(PADDING_MODE, REFLECT));
  reached[zeros] = 1;
  json_t *report = cbn_pairs_json(reached, -1);
  assert_non_null(report);
  assert_true(json_is_null(json_object_get(report, "kind")));
  assert_int_equal(count_of(report, "reached"), 26 * 25 / 2); /* a plain forward convolution has 26 features */
  const json_t *missed = json_object_get(report, "not_reached"), *wrong = json_object_get(report, "contradictions");
  assert_int_equal(count_of(report, "reached") + (int64_t)json_array_size(missed), count_of(report, "possible"));
  assert_int_equal(json_array_size(wrong), 1);
  assert_string_equal(json_string_value(json_array_get(json_array_get(wrong, 0), 1)), "transposed_forward");
  assert_string_equal(json_string_value(json_array_get(json_array_get(wrong, 0), 2)), "padding_mode");
  int64_t impossible = 0;
  size_t i;
  const json_t *reason;
  json_array_foreach(json_object_get(report, "impossible"), i, reason) impossible += count_of(reason, "pairs");
  assert_int_equal(impossible, count_of(report, "impossible_by_definition") + count_of(report, "not_generated"));
  assert_int_equal(impossible + count_of(report, "possible") + 1, cbn_pair_count());
  json_decref(report);
  report = cbn_pairs_json(reached, CBN_GENERATED_CONV_FORWARD);
  assert_string_equal(json_string_value(json_object_get(report, "kind")), "conv_forward");
  assert_int_equal(count_of(report, "reached"), 26 * 25 / 2);
  assert_int_equal(json_array_size(json_object_get(report, "contradictions")), 0);
  json_decref(report);
  test_free(reached);
}

/* The whole report as text; the caller frees it. */
static char *text_of(const uint8_t *reached, int kind, bool all) {
  FILE *file = tmpfile();
  assert_non_null(file);
  assert_true(cbn_pairs_report(file, reached, kind, all));
  const long size = ftell(file);
  char *text = test_malloc((size_t)size + 1);
  rewind(file);
  assert_int_equal(fread(text, 1, (size_t)size, file), size);
  text[size] = 0;
  fclose(file);
  return text;
}

static int lines_of(const char *text) {
  int lines = 0;
  for (; *text; text++) lines += *text == '\n';
  return lines;
}

static void expect_in(const char *text, const char *part) {
  if (strstr(text, part) == NULL) fail_msg("no \"%s\" in:\n%s", part, text);
}

static void the_report_as_text(void **state) {
  (void)state;
  uint8_t *reached = test_malloc((size_t)cbn_pair_count());
  for (int pair = 0; pair < cbn_pair_count(); pair++) reached[pair] = cbn_pair_impossible(pair, -1, NULL) == NULL;
  char *text = text_of(reached, -1, false);
  expect_in(text, "possible pairs reached (100.0 %)");
  expect_in(text, "\ncannot be: ");
  expect_in(text, "\nnot generated: ");
  assert_null(strstr(text, "not reached: "));
  assert_null(strstr(text, "though said"));
  test_free(text);
  /* A hole, and a value that was never seen. */
  reached[cbn_pair_number(CBN_FEATURE_STRIDE, CBN_VALUE(STRIDE, BELOW), CBN_FEATURE_TYPE, CBN_VALUE(TYPE, F64))] = 0;
  for (int pair = 0; pair < cbn_pair_count(); pair++) {
    int a, value_a, b, value_b;
    assert_true(cbn_pair_of_number(pair, &a, &value_a, &b, &value_b));
    if (b == CBN_FEATURE_RESETS && value_b == CBN_VALUE(RESETS, LATER)) reached[pair] = 0;
    if (a == CBN_FEATURE_RESETS && value_a == CBN_VALUE(RESETS, LATER)) reached[pair] = 0;
  }
  text = text_of(reached, -1, false);
  expect_in(text, "\nnot reached: type and stride, 1 of 20: f64 with below the kernel\n");
  expect_in(text, "\nnot reached: resets between steps, with anything: ");
  assert_null(strstr(text, "and resets"));
  test_free(text);
  text = text_of(reached, CBN_GENERATED_CONV_FORWARD, false);
  expect_in(text, "semantic coverage of conv_forward: ");
  expect_in(text, "type and stride");
  assert_null(strstr(text, "resets"));
  test_free(text);
  /* Little reached is told shortly, unless all is asked for. */
  memset(reached, 0, (size_t)cbn_pair_count());
  const cbn_generated p = conv(CBN_GENERATED_CONV_FORWARD), q = conv(CBN_GENERATED_TRANSPOSED_GRAD_INPUT);
  cbn_pairs_of(&p, mark, reached);
  cbn_pairs_of(&q, mark, reached);
  text = text_of(reached, -1, false);
  char *whole = text_of(reached, -1, true);
  assert_true(strlen(whole) > strlen(text));
  assert_true(lines_of(text) < CBN_FEATURE_VALUES_COUNT + 40);
  test_free(whole);
  test_free(text);
  test_free(reached);
}

/* A full disk is told. */
static void a_report_that_cannot_be_written(void **state) {
  (void)state;
  uint8_t *reached = test_calloc((size_t)cbn_pair_count(), 1);
  FILE *file = fopen("/dev/full", "w");
  assert_non_null(file);
  setvbuf(file, NULL, _IONBF, 0);
  assert_false(cbn_pairs_report(file, reached, -1, false));
  fclose(file);
  test_free(reached);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_every_problem_has),
      cmocka_unit_test(sizes),
      cmocka_unit_test(fills),
      cmocka_unit_test(fills_that_are_not_read),
      cmocka_unit_test(paddings),
      cmocka_unit_test(kernels_and_steps),
      cmocka_unit_test(groups_and_channels),
      cmocka_unit_test(outputs),
      cmocka_unit_test(columns),
      cmocka_unit_test(blocks),
      cmocka_unit_test(layers),
      cmocka_unit_test(counts_of_channels),
      cmocka_unit_test(values_of_a_channel),
      cmocka_unit_test(updates),
      cmocka_unit_test(programs),
      cmocka_unit_test(near_misses),
      cmocka_unit_test(every_value_is_tested),
      cmocka_unit_test(numbers_of_pairs),
      cmocka_unit_test(names),
      cmocka_unit_test(pairs_of_a_problem),
      cmocka_unit_test(reasons),
      cmocka_unit_test(what_the_generator_reaches),
      cmocka_unit_test(what_chance_hardly_finds),
      cmocka_unit_test(the_report_as_json),
      cmocka_unit_test(the_report_as_text),
      cmocka_unit_test(a_report_that_cannot_be_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
