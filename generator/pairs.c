#include "generator/pairs.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------------- the list */

static const struct {
  const char *name;
  int first; /* place of its first value */
  int kinds;
} features[] = {
#define FEATURE(NAME, name, group, kinds) {#name, CBN_FIRST_##NAME, CBN_KINDS_##kinds},
    CBN_FEATURES(FEATURE, CBN_NO_VALUE)
#undef FEATURE
};

static const char *const value_names[] = {
#define VALUE_NAME(NAME, VALUE, words) words,
    CBN_FEATURES(CBN_NO_FEATURE, VALUE_NAME)
#undef VALUE_NAME
};
_Static_assert(CBN_VALUE(PADDING_MODE, CIRCULAR) == CBN_PAD_CIRCULAR, "a value for each mode");
_Static_assert(CBN_VALUE(KIND, BATCHNORM_PROGRAM) == CBN_GENERATED_KIND_COUNT - 1, "a value for each kind");

const char *cbn_feature_name(int feature) {
  return feature >= 0 && feature < CBN_FEATURE_COUNT ? features[feature].name : NULL;
}

int cbn_feature_by_name(const char *name) {
  for (int feature = 0; feature < CBN_FEATURE_COUNT; feature++)
    if (strcmp(features[feature].name, name) == 0) return feature;
  return -1;
}

int cbn_feature_values(int feature) {
  if (feature < 0 || feature >= CBN_FEATURE_COUNT) return 0;
  const int end = feature + 1 < CBN_FEATURE_COUNT ? features[feature + 1].first : CBN_FEATURE_VALUES_COUNT;
  return end - features[feature].first;
}

const char *cbn_feature_value_name(int feature, int value) {
  return value >= 0 && value < cbn_feature_values(feature) ? value_names[features[feature].first + value] : NULL;
}

bool cbn_feature_of_kind(int feature, int kind) { return features[feature].kinds >> kind & 1; }

/* ---------------------------------------------------------------------------------------------------- numbers */

/* A value's pairs with those of the features before its own follow each other, in the order of places. Batch
 * normalizations have no values of CONV, so that theirs are counted without these. */
enum {
  CONV_PLACES = CBN_FIRST_LAYER_TYPE - CBN_FIRST_BIAS,
#define PARTNERS_OF_COMMON(NAME) CBN_FIRST_##NAME
#define PARTNERS_OF_CONV(NAME) CBN_FIRST_##NAME
#define PARTNERS_OF_NORM(NAME) CBN_FIRST_##NAME - CONV_PLACES
#define PARTNERS_OF_MISS(NAME) CBN_GENERATED_KIND_COUNT
#define PARTNERS(NAME, name, group, kinds) PARTNERS_##NAME = PARTNERS_OF_##group(NAME),
  CBN_FEATURES(PARTNERS, CBN_NO_VALUE)
#undef PARTNERS
};

enum {
#define PAIRS_OF(NAME, VALUE, words)                                                                                   \
  PAIRS_##NAME##_##VALUE, PAIRS_END_##NAME##_##VALUE = PAIRS_##NAME##_##VALUE + PARTNERS_##NAME - 1,
  CBN_FEATURES(CBN_NO_FEATURE, PAIRS_OF)
#undef PAIRS_OF
      PAIR_COUNT
};

static const int first_pair[] = {
#define FIRST_PAIR(NAME, VALUE, words) PAIRS_##NAME##_##VALUE,
    CBN_FEATURES(CBN_NO_FEATURE, FIRST_PAIR)
#undef FIRST_PAIR
};

enum group { COMMON, CONV, NORM, MISS };

static const enum group groups[] = {
#define GROUP(NAME, name, group, kinds) group,
    CBN_FEATURES(GROUP, CBN_NO_VALUE)
#undef GROUP
};

/* Where a feature's first value stands among the partners of those behind it. */
static int place_as_partner(int feature) {
  return features[feature].first - (groups[feature] == NORM ? CONV_PLACES : 0);
}

static bool are_paired(int a, int b) {
  if (groups[b] == MISS) return a == CBN_FEATURE_KIND;
  return a < b && (groups[a] == COMMON || groups[a] == groups[b]);
}

int cbn_pair_count(void) { return PAIR_COUNT; }

int cbn_pair_number(int a, int value_a, int b, int value_b) {
  if (a > b) return cbn_pair_number(b, value_b, a, value_a);
  if (cbn_feature_value_name(a, value_a) == NULL || cbn_feature_value_name(b, value_b) == NULL || !are_paired(a, b))
    return -1;
  return first_pair[features[b].first + value_b] + place_as_partner(a) + value_a;
}

bool cbn_pair_of_number(int pair, int *a, int *value_a, int *b, int *value_b) {
  if (pair < 0 || pair >= PAIR_COUNT) return false;
  int place = CBN_FEATURE_VALUES_COUNT - 1;
  while (first_pair[place] > pair) place--;
  for (*b = CBN_FEATURE_COUNT - 1; features[*b].first > place;) (*b)--;
  *value_b = place - features[*b].first;
  const int partner = pair - first_pair[place];
  for (*a = *b - 1; !are_paired(*a, *b) || place_as_partner(*a) > partner;) (*a)--;
  *value_a = partner - place_as_partner(*a);
  return true;
}

/* ------------------------------------------------------------------------------------- values of any problem */

static int kind_of_fill(const cbn_fill *fill) {
  const double mean = fill->mean < 0 ? -fill->mean : fill->mean;
  switch (fill->kind) {
  case CBN_FILL_INTEGERS:
    return fill->low == fill->high ? CBN_VALUE(INPUT_FILL, CONSTANT) : CBN_VALUE(INPUT_FILL, PLAIN);
  case CBN_FILL_EXACT: return fill->density < 1 ? CBN_VALUE(INPUT_FILL, SPARSE) : CBN_VALUE(INPUT_FILL, PLAIN);
  case CBN_FILL_RAMP: return fill->step == 0 ? CBN_VALUE(INPUT_FILL, CONSTANT) : CBN_VALUE(INPUT_FILL, PLAIN);
  case CBN_FILL_ONES: return CBN_VALUE(INPUT_FILL, CONSTANT);
  case CBN_FILL_IMPULSE: return CBN_VALUE(INPUT_FILL, IMPULSE);
  case CBN_FILL_SPECIAL: return CBN_VALUE(INPUT_FILL, SPECIAL);
  default: /* normal */
    if (fill->scale == 0) return CBN_VALUE(INPUT_FILL, CONSTANT);
    if (mean >= 5 * fill->scale) return CBN_VALUE(INPUT_FILL, OFFSET);
    if (fill->scale < 1e-15) return CBN_VALUE(INPUT_FILL, TINY);
    return fill->scale > 1e15 ? CBN_VALUE(INPUT_FILL, VAST) : CBN_VALUE(INPUT_FILL, PLAIN);
  }
}

/* What is left over where `count` are done `width` at a time. */
static int tail(int64_t count, int64_t width) {
  const int64_t rest = count % width;
  if (count <= 1) return count <= 0 ? CBN_VALUE(COLUMNS_8, ZERO) : CBN_VALUE(COLUMNS_8, ONE);
  if (rest == width - 1) return CBN_VALUE(COLUMNS_8, ONE_LESS);
  if (count < width) return CBN_VALUE(COLUMNS_8, BELOW);
  if (rest <= 1) return rest == 0 ? CBN_VALUE(COLUMNS_8, FULL) : CBN_VALUE(COLUMNS_8, ONE_MORE);
  return CBN_VALUE(COLUMNS_8, MIDDLE);
}

static int batch(int64_t images) {
  return images <= 0 ? CBN_VALUE(BATCH, ZERO) : images == 1 ? CBN_VALUE(BATCH, ONE) : CBN_VALUE(BATCH, MANY);
}

static int layout(enum cbn_layout layout) {
  switch (layout) {
  case CBN_CHANNELS_LAST: return CBN_VALUE(LAYOUT, CHANNELS_LAST);
  case CBN_STRIDED: return CBN_VALUE(LAYOUT, STRIDED);
  case CBN_MIXED: return CBN_VALUE(LAYOUT, MIXED);
  case CBN_PITCHED: return CBN_VALUE(LAYOUT, PITCHED);
  default: return CBN_VALUE(LAYOUT, CONTIGUOUS);
  }
}

static int type(int32_t type) {
  switch (type) {
  case CBN_F64: return CBN_VALUE(TYPE, F64);
  case CBN_F16: return CBN_VALUE(TYPE, F16);
  case CBN_BF16: return CBN_VALUE(TYPE, BF16);
  default: return CBN_VALUE(TYPE, F32);
  }
}

/* ---------------------------------------------------------------------------------------- a convolution's values */

static int64_t extent_of_dilated(const cbn_conv *c, int a) { return c->dilation[a] * (c->kernel[a] - 1) + 1; }

static int padding_sides(const cbn_conv *c) {
  bool begins = false, ends = false, differ = false, crops = false;
  for (int a = 0; a < c->spatial_rank; a++) {
    begins |= c->pad_begin[a] > 0;
    ends |= c->pad_end[a] > 0;
    differ |= c->pad_begin[a] != c->pad_end[a];
    crops |= c->pad_begin[a] < 0 || c->pad_end[a] < 0;
  }
  if (crops) return CBN_VALUE(PADDING_SIDES, CROPS);
  if (!begins) return ends ? CBN_VALUE(PADDING_SIDES, END) : CBN_VALUE(PADDING_SIDES, NONE);
  if (!ends) return CBN_VALUE(PADDING_SIDES, BEGIN);
  return differ ? CBN_VALUE(PADDING_SIDES, UNEQUAL) : CBN_VALUE(PADDING_SIDES, EQUAL);
}

static int padding_reach(const cbn_conv *c) {
  bool pads = false, beyond = false, same = true, more = false;
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t begin = c->pad_begin[a], end = c->pad_end[a], kernel = extent_of_dilated(c, a);
    pads |= begin > 0 || end > 0;
    beyond |= begin >= kernel || end >= kernel;
    same &= begin + end == kernel - 1;
    more |= begin + end > kernel - 1;
  }
  if (!pads) return CBN_VALUE(PADDING_REACH, NONE);
  if (beyond) return CBN_VALUE(PADDING_REACH, BEYOND);
  if (same) return CBN_VALUE(PADDING_REACH, SAME);
  return more ? CBN_VALUE(PADDING_REACH, MORE) : CBN_VALUE(PADDING_REACH, LESS);
}

static int stride(const cbn_conv *c) {
  bool differ = false, above = false, equal = false;
  for (int a = 0; a < c->spatial_rank; a++) {
    differ |= c->stride[a] != c->stride[0];
    above |= c->stride[a] > c->kernel[a];
    equal |= c->stride[a] == c->kernel[a];
  }
  if (differ) return CBN_VALUE(STRIDE, DIFFERS);
  if (c->stride[0] == 1) return CBN_VALUE(STRIDE, ONE);
  if (above) return CBN_VALUE(STRIDE, ABOVE);
  return equal ? CBN_VALUE(STRIDE, EQUAL) : CBN_VALUE(STRIDE, BELOW);
}

static int dilation(const cbn_conv *c) {
  bool differ = false, dilated = false, matters = false;
  for (int a = 0; a < c->spatial_rank; a++) {
    differ |= c->dilation[a] != c->dilation[0];
    dilated |= c->dilation[a] > 1;
    matters |= c->dilation[a] > 1 && c->kernel[a] > 1;
  }
  if (!matters) return dilated ? CBN_VALUE(DILATION, IDLE) : CBN_VALUE(DILATION, ONE);
  return differ ? CBN_VALUE(DILATION, DIFFERS) : CBN_VALUE(DILATION, ALIKE);
}

static int input_dilation(const cbn_conv *c) {
  for (int a = 0; a < c->spatial_rank; a++)
    if (c->input_dilation[a] > 1) return CBN_VALUE(INPUT_DILATION, MORE);
  return CBN_VALUE(INPUT_DILATION, ONE);
}

static int kernel(const cbn_conv *c) {
  bool odd = false, even = false, taps = false;
  for (int a = 0; a < c->spatial_rank; a++) {
    odd |= c->kernel[a] % 2 == 1;
    even |= c->kernel[a] % 2 == 0;
    taps |= c->kernel[a] > 1;
  }
  if (!taps) return CBN_VALUE(KERNEL, ONE);
  if (odd && even) return CBN_VALUE(KERNEL, BOTH);
  return even ? CBN_VALUE(KERNEL, EVEN) : CBN_VALUE(KERNEL, ODD);
}

/* `output`: spatial extents. */
static int kernel_reach(const cbn_conv *c, const int64_t *output) {
  bool beyond = false, whole = true;
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t input = c->input[a] > 0 ? (c->input[a] - 1) * c->input_dilation[a] + 1 : 0;
    const int64_t room = c->transposed ? output[a] : input, kernel = extent_of_dilated(c, a);
    beyond |= kernel > room;
    whole &= kernel == room;
  }
  if (beyond) return CBN_VALUE(KERNEL_REACH, BEYOND);
  return whole ? CBN_VALUE(KERNEL_REACH, WHOLE) : CBN_VALUE(KERNEL_REACH, INSIDE);
}

static int group_kind(const cbn_conv *c) {
  const int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
  if (c->groups == 1) return CBN_VALUE(GROUPS, ONE);
  if (in == 1 && out >= 1) return out == 1 ? CBN_VALUE(GROUPS, DEPTHWISE) : CBN_VALUE(GROUPS, MULTIPLIER);
  return in > 1 && out == 1 ? CBN_VALUE(GROUPS, ONE_FILTER) : CBN_VALUE(GROUPS, SEVERAL);
}

static int output_padding(const cbn_conv *c) {
  bool any = false, from_stride = false;
  for (int a = 0; a < c->spatial_rank; a++) {
    any |= c->output_padding[a] > 0;
    from_stride |= c->output_padding[a] >= c->stride[a];
  }
  if (from_stride) return CBN_VALUE(OUTPUT_PADDING, FROM_STRIDE);
  return any ? CBN_VALUE(OUTPUT_PADDING, BELOW_STRIDE) : CBN_VALUE(OUTPUT_PADDING, NONE);
}

#define SET(FEATURE, expression) value[CBN_FEATURE_##FEATURE] = (uint8_t)(expression)

static void set_conv_sizes(const cbn_conv *c, const int64_t *output, uint8_t *value) {
  const int64_t *extent = c->direction == CBN_GRAD_INPUT ? c->input : output;
  const int64_t taps = cbn_extent_product(c->spatial_rank, c->kernel);
  const int64_t input = c->batch * c->in_channels * cbn_extent_product(c->spatial_rank, c->input);
  const int64_t outputs = cbn_extent_product(c->spatial_rank, output);
  const int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
  const int64_t summed = c->direction == CBN_GRAD_INPUT ? out : in;
  const int64_t pixels = c->batch * cbn_extent_product(c->spatial_rank, extent);
  const int64_t columns = extent[c->spatial_rank - 1];
  const bool large = input > CBN_GENERATED_ELEMENTS || c->out_channels * in * taps > CBN_GENERATED_ELEMENTS ||
                     c->batch * c->out_channels * outputs > CBN_GENERATED_ELEMENTS ||
                     cbn_conv_work(c) > CBN_GENERATED_WORK;
  SET(SIZE, large ? CBN_VALUE(SIZE, LARGE) : CBN_VALUE(SIZE, SMALL));
  SET(OUTPUT, outputs > 0 ? CBN_VALUE(OUTPUT, FILLED) : CBN_VALUE(OUTPUT, NO_PIXELS));
  SET(COLUMNS_8, tail(columns, 8));
  SET(COLUMNS_24, tail(columns, 24));
  SET(PIXELS, pixels > 480 ? CBN_VALUE(PIXELS, MANY) : pixels > 48 ? CBN_VALUE(PIXELS, SOME) : CBN_VALUE(PIXELS, FEW));
  SET(IN_CHANNELS, tail(in, 8));
  SET(OUT_CHANNELS, tail(out, 4));
  SET(REDUCTION, summed * taps > 288  ? CBN_VALUE(REDUCTION, LONG)
                 : summed * taps > 20 ? CBN_VALUE(REDUCTION, MIDDLE)
                                      : CBN_VALUE(REDUCTION, SHORT));
}

static void set_conv(const cbn_generated *p, uint8_t *value) {
  const cbn_conv *c = &p->conv;
  int64_t output[CBN_MAX_SPATIAL];
  for (int a = 0; a < c->spatial_rank; a++) output[a] = cbn_conv_output_extent(c, a);
  set_conv_sizes(c, output, value);
  SET(RANK, c->spatial_rank);
  SET(BATCH, batch(c->batch));
  if (c->direction == CBN_FORWARD) SET(BIAS, c->has_bias ? CBN_VALUE(BIAS, YES) : CBN_VALUE(BIAS, NO));
  SET(PADDING_MODE, c->padding_mode);
  SET(PADDING_SIDES, padding_sides(c));
  SET(PADDING_REACH, padding_reach(c));
  SET(STRIDE, stride(c));
  SET(DILATION, dilation(c));
  if (!c->transposed) SET(INPUT_DILATION, input_dilation(c));
  SET(KERNEL, kernel(c));
  SET(KERNEL_REACH, kernel_reach(c, output));
  SET(GROUPS, group_kind(c));
  if (c->transposed) SET(OUTPUT_PADDING, output_padding(c));
}

/* -------------------------------------------------------------------------------- a batch normalization's values */

static int values_of_channel(int64_t count) {
  if (count <= 2)
    return count <= 0 ? CBN_VALUE(VALUES, ZERO) : count == 1 ? CBN_VALUE(VALUES, ONE) : CBN_VALUE(VALUES, TWO);
  if (count < 8) return CBN_VALUE(VALUES, FEW);
  return count < 64 ? CBN_VALUE(VALUES, SOME) : CBN_VALUE(VALUES, MANY);
}

static int epsilon(double x) {
  if (x == 0) return CBN_VALUE(EPSILON, ZERO);
  if (x < 1e-6) return CBN_VALUE(EPSILON, TINY);
  return x < 0.1 ? CBN_VALUE(EPSILON, USUAL) : CBN_VALUE(EPSILON, LARGE);
}

static int affine(const cbn_batchnorm *b) {
  if (b->has_weight) return b->has_bias ? CBN_VALUE(AFFINE, BOTH) : CBN_VALUE(AFFINE, WEIGHT);
  return b->has_bias ? CBN_VALUE(AFFINE, BIAS) : CBN_VALUE(AFFINE, NEITHER);
}

static int new_weight(double x) {
  if (x == 0) return CBN_VALUE(NEW_WEIGHT, ZERO);
  if (x == 1) return CBN_VALUE(NEW_WEIGHT, ONE);
  if (x < 0) return CBN_VALUE(NEW_WEIGHT, NEGATIVE);
  return x > 1 ? CBN_VALUE(NEW_WEIGHT, ABOVE) : CBN_VALUE(NEW_WEIGHT, USUAL);
}

/* Of all steps that train; CBN_FEATURE_NONE if none does. */
static int new_weight_of_steps(const cbn_generated *p) {
  int all = CBN_FEATURE_NONE;
  for (int i = 0; i < p->steps; i++) {
    if (!p->step[i].train) continue;
    const int one = new_weight(p->step[i].new_weight);
    if (all != CBN_FEATURE_NONE && all != one) return CBN_VALUE(NEW_WEIGHT, DIFFERS);
    all = one;
  }
  return all;
}

static int history(const cbn_generated *p) {
  int changes = 0;
  for (int i = 1; i < p->steps; i++) changes += p->step[i].train != p->step[i - 1].train;
  if (changes > 1) return CBN_VALUE(HISTORY, ALTERNATES);
  if (changes == 1) return p->step[0].train ? CBN_VALUE(HISTORY, TRAIN_EVAL) : CBN_VALUE(HISTORY, EVAL_TRAIN);
  return p->step[0].train ? CBN_VALUE(HISTORY, TRAIN) : CBN_VALUE(HISTORY, EVAL);
}

static int resets(const cbn_generated *p) {
  for (int i = 1; i < p->steps; i++)
    if (p->step[i].reset) return CBN_VALUE(RESETS, LATER);
  return p->step[0].reset ? CBN_VALUE(RESETS, FIRST) : CBN_VALUE(RESETS, NONE);
}

static void set_program(const cbn_generated *p, uint8_t *value) {
  SET(HISTORY, history(p));
  SET(RESETS, resets(p));
  SET(STEPS, p->steps <= 2 ? CBN_VALUE(STEPS, TWO) : p->steps == 3 ? CBN_VALUE(STEPS, THREE) : CBN_VALUE(STEPS, MORE));
}

static void set_norm(const cbn_generated *p, uint8_t *value) {
  const cbn_batchnorm *b = &p->batchnorm;
  const bool program = p->kind == CBN_GENERATED_BATCHNORM_PROGRAM;
  const int64_t values = b->batch * cbn_extent_product(b->spatial_rank, b->extent);
  SET(RANK, b->spatial_rank);
  SET(SIZE, b->channels * values > CBN_GENERATED_ELEMENTS ? CBN_VALUE(SIZE, LARGE) : CBN_VALUE(SIZE, SMALL));
  SET(BATCH, batch(b->batch));
  SET(LAYER_TYPE, p->layer_type == p->type ? CBN_VALUE(LAYER_TYPE, SAME) : CBN_VALUE(LAYER_TYPE, DIFFERS));
  SET(CHANNELS_8, tail(b->channels, 8));
  SET(CHANNELS_16, tail(b->channels, 16));
  SET(VALUES, values_of_channel(values));
  SET(VALUES_8, tail(values, 8));
  SET(EPSILON, epsilon(b->epsilon));
  SET(AFFINE, affine(b));
  SET(IN_PLACE, p->in_place ? CBN_VALUE(IN_PLACE, YES) : CBN_VALUE(IN_PLACE, NO));
  if (!program || history(p) != CBN_VALUE(HISTORY, EVAL))
    SET(STATISTICS,
        b->statistics == CBN_STATISTICS_BATCH ? CBN_VALUE(STATISTICS, BATCH) : CBN_VALUE(STATISTICS, RUNNING));
  if (cbn_feature_of_kind(CBN_FEATURE_UPDATE, (int)p->kind))
    SET(UPDATE, b->update_running ? CBN_VALUE(UPDATE, YES) : CBN_VALUE(UPDATE, NO));
  if (b->update_running) {
    SET(VARIANCE,
        b->running_variance == CBN_VARIANCE_BIASED ? CBN_VALUE(VARIANCE, BIASED) : CBN_VALUE(VARIANCE, UNBIASED));
    SET(NEW_WEIGHT, program ? new_weight_of_steps(p) : new_weight(b->new_weight));
  }
  if (program) set_program(p, value);
}

/* ------------------------------------------------------------------------------------------------- the problem's */

static void set_fills(const cbn_generated *p, uint8_t *value) {
  static const struct {
    int role, feature;
  } filled[] = {{CBN_ROLE_INPUT, CBN_FEATURE_INPUT_FILL},
                {CBN_ROLE_WEIGHT, CBN_FEATURE_WEIGHT_FILL},
                {CBN_ROLE_GRAD_OUTPUT, CBN_FEATURE_GRAD_FILL},
                {CBN_ROLE_RUNNING_MEAN, CBN_FEATURE_STATISTICS_FILL}};
  for (size_t i = 0; i < sizeof filled / sizeof *filled; i++)
    if (cbn_generated_reads(p, filled[i].role))
      value[filled[i].feature] = (uint8_t)kind_of_fill(&p->fill[filled[i].role]);
}

static int broken_rule(const cbn_generated *p) {
  cbn_violation violation;
  if (cbn_generated_is_conv(p->kind) ? cbn_conv_validate(&p->conv, &violation)
                                     : cbn_batchnorm_validate(&p->batchnorm, &violation))
    return CBN_FEATURE_NONE;
  const char *name = cbn_rule_name(violation.rule);
  for (int value = 0; value < cbn_feature_values(CBN_FEATURE_RULE); value++)
    if (strcmp(cbn_feature_value_name(CBN_FEATURE_RULE, value), name) == 0) return value;
  return CBN_FEATURE_NONE;
}

void cbn_features_of(const cbn_generated *p, uint8_t value[CBN_FEATURE_COUNT]) {
  memset(value, CBN_FEATURE_NONE, CBN_FEATURE_COUNT);
  SET(KIND, p->kind);
  if (!p->valid) {
    SET(RULE, broken_rule(p));
    return;
  }
  SET(TYPE, type(p->type));
  SET(LAYOUT, layout(p->layout));
  SET(DATA, p->exact ? CBN_VALUE(DATA, EXACT) : CBN_VALUE(DATA, ROUNDING));
  set_fills(p, value);
  if (cbn_generated_is_conv(p->kind)) set_conv(p, value);
  else set_norm(p, value);
}

/* No feature of a problem meets one that it is not paired with: it is of one group besides the common one. */
void cbn_pairs_of(const cbn_generated *problem, void (*reach)(void *context, int pair), void *context) {
  uint8_t value[CBN_FEATURE_COUNT];
  int partner[CBN_FEATURE_COUNT], partners = 0;
  cbn_features_of(problem, value);
  for (int feature = 0; feature < CBN_FEATURE_COUNT; feature++) {
    if (value[feature] == CBN_FEATURE_NONE) continue;
    const int first = first_pair[features[feature].first + value[feature]];
    for (int i = 0; i < partners; i++) reach(context, first + partner[i]);
    partner[partners++] = place_as_partner(feature) + value[feature];
  }
}
