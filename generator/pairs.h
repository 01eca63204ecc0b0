/* Semantic coverage: what a problem is about, as pairs of features' values. A new pair is progress where code coverage
 * has long been saturated: bugs of these operators sit in combinations (stride with dilation, reflection in NHWC, a
 * last group with a tail). One list of features; docs/fuzzing.md says how it is used. */
#ifndef CBN_GENERATOR_PAIRS_H
#define CBN_GENERATOR_PAIRS_H

#include "generator/generator.h"

/* The features, in three groups and one: those of every problem (COMMON), of convolutions (CONV), of batch
 * normalizations (NORM), and the rule that a near miss breaks (MISS), which is paired with the kind alone. Features of
 * CONV and NORM are in no pair together.
 *
 *   F(name, name as it is printed, group, kinds that have it)   begins a feature,
 *   V(feature, value, value as it is printed)                   is one of its values. */
#define CBN_FEATURES(F, V)                                                                                             \
  F(KIND, kind, COMMON, ALL)                                                                                           \
  V(KIND, CONV_FORWARD, "conv_forward")                                                                                \
  V(KIND, CONV_GRAD_INPUT, "conv_grad_input")                                                                          \
  V(KIND, CONV_GRAD_WEIGHT, "conv_grad_weight")                                                                        \
  V(KIND, CONV_GRAD_BIAS, "conv_grad_bias")                                                                            \
  V(KIND, TRANSPOSED_FORWARD, "transposed_forward")                                                                    \
  V(KIND, TRANSPOSED_GRAD_INPUT, "transposed_grad_input")                                                              \
  V(KIND, TRANSPOSED_GRAD_WEIGHT, "transposed_grad_weight")                                                            \
  V(KIND, BATCHNORM_TRAIN, "batchnorm_train")                                                                          \
  V(KIND, BATCHNORM_EVAL, "batchnorm_eval")                                                                            \
  V(KIND, BATCHNORM_GRAD, "batchnorm_grad")                                                                            \
  V(KIND, BATCHNORM_PROGRAM, "batchnorm_program")                                                                      \
  F(RANK, rank, COMMON, ALL) /* spatial axes */                                                                        \
  V(RANK, 0, "0") V(RANK, 1, "1") V(RANK, 2, "2") V(RANK, 3, "3")                                                      \
  F(TYPE, type, COMMON, ALL)                                                                                           \
  V(TYPE, F32, "f32") V(TYPE, F64, "f64") V(TYPE, F16, "f16") V(TYPE, BF16, "bf16")                                    \
  F(LAYOUT, layout, COMMON, ALL)                                                                                       \
  V(LAYOUT, CONTIGUOUS, "contiguous") V(LAYOUT, CHANNELS_LAST, "channels_last")                                        \
  V(LAYOUT, STRIDED, "strided") V(LAYOUT, MIXED, "mixed") V(LAYOUT, PITCHED, "pitched")                                \
  F(DATA, data, COMMON, ALL)                                                                                           \
  V(DATA, EXACT, "exact") V(DATA, ROUNDING, "rounding")                                                                \
  F(SIZE, size, COMMON, ALL) /* of the work and the largest tensor: most problems', or beyond */                       \
  V(SIZE, SMALL, "small") V(SIZE, LARGE, "large")                                                                      \
  F(BATCH, batch, COMMON, ALL)                                                                                         \
  V(BATCH, ZERO, "0") V(BATCH, ONE, "1") V(BATCH, MANY, "many")                                                        \
  F(INPUT_FILL, input_fill, COMMON, READ_INPUT)                                                                        \
  CBN_FILL_VALUES(V, INPUT_FILL)                                                                                       \
  F(WEIGHT_FILL, weight_fill, COMMON, READ_WEIGHT)                                                                     \
  CBN_FILL_VALUES(V, WEIGHT_FILL)                                                                                      \
  F(GRAD_FILL, grad_fill, COMMON, GRADIENTS)                                                                           \
  CBN_FILL_VALUES(V, GRAD_FILL)                                                                                        \
  F(BIAS, bias, CONV, CONV_FORWARD)                                                                                    \
  V(BIAS, NO, "no") V(BIAS, YES, "yes")                                                                                \
  F(PADDING_MODE, padding_mode, CONV, CONV)                                                                            \
  V(PADDING_MODE, ZEROS, "zeros") V(PADDING_MODE, REFLECT, "reflect")                                                  \
  V(PADDING_MODE, REPLICATE, "replicate") V(PADDING_MODE, CIRCULAR, "circular")                                        \
  F(PADDING_SIDES, padding_sides, CONV, CONV)                                                                          \
  V(PADDING_SIDES, NONE, "none") V(PADDING_SIDES, BEGIN, "begin only") V(PADDING_SIDES, END, "end only")               \
  V(PADDING_SIDES, EQUAL, "equal") V(PADDING_SIDES, UNEQUAL, "unequal")                                                \
  V(PADDING_SIDES, CROPS, "crops") /* somewhere */                                                                     \
  F(PADDING_REACH, padding_reach, CONV, CONV) /* against the dilated kernel less one */                                \
  V(PADDING_REACH, NONE, "none") V(PADDING_REACH, LESS, "less than same") V(PADDING_REACH, SAME, "same")               \
  V(PADDING_REACH, MORE, "more than same")                                                                             \
  V(PADDING_REACH, BEYOND, "beyond the kernel") /* a window reads nothing else */                                      \
  F(STRIDE, stride, CONV, CONV)                                                                                        \
  V(STRIDE, ONE, "1") V(STRIDE, BELOW, "below the kernel") V(STRIDE, EQUAL, "the kernel")                              \
  V(STRIDE, ABOVE, "above the kernel") V(STRIDE, DIFFERS, "differs by axis")                                           \
  F(DILATION, dilation, CONV, CONV)                                                                                    \
  V(DILATION, ONE, "1") V(DILATION, IDLE, "of one tap only") V(DILATION, ALIKE, "alike")                               \
  V(DILATION, DIFFERS, "differs by axis")                                                                              \
  F(INPUT_DILATION, input_dilation, CONV, PLAIN)                                                                       \
  V(INPUT_DILATION, ONE, "1") V(INPUT_DILATION, MORE, "above 1")                                                       \
  F(KERNEL, kernel, CONV, CONV)                                                                                        \
  V(KERNEL, ONE, "1") V(KERNEL, ODD, "odd") V(KERNEL, EVEN, "even") V(KERNEL, BOTH, "odd and even")                    \
  F(KERNEL_REACH, kernel_reach, CONV, CONV) /* dilated, in the input, of a transposed one in the output */             \
  V(KERNEL_REACH, INSIDE, "inside") V(KERNEL_REACH, WHOLE, "whole") V(KERNEL_REACH, BEYOND, "beyond")                  \
  F(GROUPS, groups, CONV, CONV)                                                                                        \
  V(GROUPS, ONE, "1") V(GROUPS, SEVERAL, "several") V(GROUPS, DEPTHWISE, "depthwise")                                  \
  V(GROUPS, MULTIPLIER, "depthwise with a multiplier") V(GROUPS, ONE_FILTER, "one filter each")                        \
  F(OUTPUT_PADDING, output_padding, CONV, TRANSPOSED)                                                                  \
  V(OUTPUT_PADDING, NONE, "none") V(OUTPUT_PADDING, BELOW_STRIDE, "below the stride")                                  \
  V(OUTPUT_PADDING, FROM_STRIDE, "the stride or more") /* which a dilation allows */                                   \
  F(OUTPUT, output, CONV, CONV)                                                                                        \
  V(OUTPUT, FILLED, "filled") V(OUTPUT, NO_PIXELS, "no pixels")                                                        \
  F(COLUMNS_8, columns_modulo_8, CONV, CONV) /* the last axis of what is computed or, a filter's gradient, summed */   \
  CBN_TAIL_VALUES(V, COLUMNS_8)                                                                                        \
  F(COLUMNS_24, columns_modulo_24, CONV, CONV)                                                                         \
  CBN_TAIL_VALUES(V, COLUMNS_24)                                                                                       \
  F(PIXELS, pixels, CONV, CONV) /* of the same tensor, the whole batch: of one block, or several, of either size */    \
  V(PIXELS, FEW, "at most 48") V(PIXELS, SOME, "49 to 480") V(PIXELS, MANY, "above 480")                               \
  F(IN_CHANNELS, in_channels_modulo_8, CONV, CONV) /* of a group */                                                    \
  CBN_TAIL_VALUES(V, IN_CHANNELS)                                                                                      \
  F(OUT_CHANNELS, out_channels_modulo_4, CONV, CONV) /* of a group */                                                  \
  CBN_TAIL_VALUES(V, OUT_CHANNELS)                                                                                     \
  F(REDUCTION, reduction, CONV, CONV) /* channels that are summed, times taps: likewise */                             \
  V(REDUCTION, SHORT, "at most 20") V(REDUCTION, MIDDLE, "21 to 288") V(REDUCTION, LONG, "above 288")                  \
  F(LAYER_TYPE, layer_type, NORM, NORM)                                                                                \
  V(LAYER_TYPE, SAME, "the same") V(LAYER_TYPE, DIFFERS, "another")                                                    \
  F(CHANNELS_8, channels_modulo_8, NORM, NORM)                                                                         \
  CBN_TAIL_VALUES(V, CHANNELS_8)                                                                                       \
  F(CHANNELS_16, channels_modulo_16, NORM, NORM)                                                                       \
  CBN_TAIL_VALUES(V, CHANNELS_16)                                                                                      \
  F(VALUES, values, NORM, NORM) /* of a channel */                                                                     \
  V(VALUES, ZERO, "0") V(VALUES, ONE, "1") V(VALUES, TWO, "2") V(VALUES, FEW, "3 to 7") V(VALUES, SOME, "8 to 63")     \
  V(VALUES, MANY, "64 or more")                                                                                        \
  F(VALUES_8, values_modulo_8, NORM, NORM)                                                                             \
  CBN_TAIL_VALUES(V, VALUES_8)                                                                                         \
  F(EPSILON, epsilon, NORM, NORM)                                                                                      \
  V(EPSILON, ZERO, "0") V(EPSILON, TINY, "below 1e-6") V(EPSILON, USUAL, "usual") V(EPSILON, LARGE, "0.1 or more")     \
  F(AFFINE, affine, NORM, NORM)                                                                                        \
  V(AFFINE, BOTH, "weight and bias") V(AFFINE, WEIGHT, "weight") V(AFFINE, BIAS, "bias") V(AFFINE, NEITHER, "neither") \
  F(IN_PLACE, in_place, NORM, NORM)                                                                                    \
  V(IN_PLACE, NO, "no") V(IN_PLACE, YES, "yes")                                                                        \
  F(STATISTICS, statistics, NORM, NORM) /* of a program: of its calls that train */                                    \
  V(STATISTICS, BATCH, "batch") V(STATISTICS, RUNNING, "running")                                                      \
  F(STATISTICS_FILL, statistics_fill, NORM, NORM) /* of the running mean, if it is there */                            \
  CBN_FILL_VALUES(V, STATISTICS_FILL)                                                                                  \
  F(UPDATE, update_running, NORM, UPDATING)                                                                            \
  V(UPDATE, NO, "no") V(UPDATE, YES, "yes")                                                                            \
  F(VARIANCE, running_variance, NORM, UPDATING) /* if it is updated */                                                 \
  V(VARIANCE, BIASED, "biased") V(VARIANCE, UNBIASED, "unbiased")                                                      \
  F(NEW_WEIGHT, new_weight, NORM, UPDATING) /* of the calls that update */                                             \
  V(NEW_WEIGHT, ZERO, "0") V(NEW_WEIGHT, USUAL, "usual") V(NEW_WEIGHT, ONE, "1") V(NEW_WEIGHT, ABOVE, "above 1")       \
  V(NEW_WEIGHT, NEGATIVE, "negative") V(NEW_WEIGHT, DIFFERS, "differs by step")                                        \
  F(HISTORY, history, NORM, PROGRAM)                                                                                   \
  V(HISTORY, TRAIN, "train") V(HISTORY, EVAL, "eval") V(HISTORY, TRAIN_EVAL, "train then eval")                        \
  V(HISTORY, EVAL_TRAIN, "eval then train") V(HISTORY, ALTERNATES, "alternating")                                      \
  F(RESETS, resets, NORM, PROGRAM)                                                                                     \
  V(RESETS, NONE, "none") V(RESETS, FIRST, "before the first step only") V(RESETS, LATER, "between steps")             \
  F(STEPS, steps, NORM, PROGRAM)                                                                                       \
  V(STEPS, TWO, "2") V(STEPS, THREE, "3") V(STEPS, MORE, "4 or more")                                                  \
  F(RULE, rule, MISS, ALL)                                                                                             \
  V(RULE, MISSING_PARAMETER, "missing-parameter")                                                                      \
  V(RULE, PARAMETER_TYPE, "parameter-type")                                                                            \
  V(RULE, PARAMETER_LENGTH, "parameter-length")                                                                        \
  V(RULE, SPATIAL_RANK, "spatial-rank")                                                                                \
  V(RULE, EXTENT_NON_NEGATIVE, "extent-non-negative")                                                                  \
  V(RULE, EXTENT_OVERFLOW, "extent-overflow")                                                                          \
  V(RULE, GROUPS_POSITIVE, "groups-positive")                                                                          \
  V(RULE, GROUPS_DIVIDE_IN_CHANNELS, "groups-divide-in-channels")                                                      \
  V(RULE, GROUPS_DIVIDE_OUT_CHANNELS, "groups-divide-out-channels")                                                    \
  V(RULE, KERNEL_POSITIVE, "kernel-positive")                                                                          \
  V(RULE, STRIDE_POSITIVE, "stride-positive")                                                                          \
  V(RULE, DILATION_POSITIVE, "dilation-positive")                                                                      \
  V(RULE, INPUT_DILATION_POSITIVE, "input-dilation-positive")                                                          \
  V(RULE, PADDING_MODE_UNKNOWN, "padding-mode-unknown")                                                                \
  V(RULE, REFLECT_PAD_LESS_THAN_INPUT, "reflect-pad-less-than-input")                                                  \
  V(RULE, CIRCULAR_PAD_AT_MOST_INPUT, "circular-pad-at-most-input")                                                    \
  V(RULE, REPLICATE_NEEDS_INPUT, "replicate-needs-input")                                                              \
  V(RULE, PADDING_MODE_NEEDS_PLAIN_INPUT, "padding-mode-needs-plain-input")                                            \
  V(RULE, INPUT_DILATION_FORWARD_ONLY, "input-dilation-forward-only")                                                  \
  V(RULE, OUTPUT_PADDING_RANGE, "output-padding-range")                                                                \
  V(RULE, BACKWARD_UPDATES_NOTHING, "backward-updates-nothing")

/* Of a fill: plain numbers, many zeros among them, the same everywhere, one element, infinities and NaN, about the
 * least normal number or the largest, far from 0 beside how they vary. */
#define CBN_FILL_VALUES(V, NAME)                                                                                       \
  V(NAME, PLAIN, "plain") V(NAME, SPARSE, "sparse") V(NAME, CONSTANT, "constant") V(NAME, IMPULSE, "impulse")          \
  V(NAME, SPECIAL, "special") V(NAME, TINY, "tiny") V(NAME, VAST, "huge") V(NAME, OFFSET, "offset")

/* Of a count that is done in vectors or tiles of some width: what is left over. */
#define CBN_TAIL_VALUES(V, NAME)                                                                                       \
  V(NAME, ZERO, "0") V(NAME, ONE, "1") V(NAME, BELOW, "below the width") V(NAME, FULL, "full")                         \
  V(NAME, ONE_MORE, "one more") V(NAME, MIDDLE, "some more") V(NAME, ONE_LESS, "one less")

#define CBN_NO_FEATURE(...)
#define CBN_NO_VALUE(...)

/* CBN_FEATURE_STRIDE and so on. */
enum cbn_feature {
#define CBN_FEATURE_ENUM(NAME, name, group, kinds) CBN_FEATURE_##NAME,
  CBN_FEATURES(CBN_FEATURE_ENUM, CBN_NO_VALUE)
#undef CBN_FEATURE_ENUM
      CBN_FEATURE_COUNT,
  CBN_FEATURE_NONE = 255 /* a value: the problem has no such feature */
};

/* Places: all features' values, one after the other. */
enum cbn_feature_place {
#define CBN_PLACE_FIRST(NAME, name, group, kinds) CBN_FIRST_##NAME, CBN_BEFORE_##NAME = CBN_FIRST_##NAME - 1,
#define CBN_PLACE_ENUM(NAME, VALUE, words) CBN_PLACE_##NAME##_##VALUE,
  CBN_FEATURES(CBN_PLACE_FIRST, CBN_PLACE_ENUM)
#undef CBN_PLACE_FIRST
#undef CBN_PLACE_ENUM
      CBN_FEATURE_VALUES_COUNT
};

/* A value of a feature, from 0: CBN_VALUE(STRIDE, BELOW). */
#define CBN_VALUE(NAME, VALUE) (CBN_PLACE_##NAME##_##VALUE - CBN_FIRST_##NAME)

const char *cbn_feature_name(int feature); /* "stride" */
int cbn_feature_by_name(const char *name); /* -1 if there is none */
int cbn_feature_values(int feature);
const char *cbn_feature_value_name(int feature, int value); /* "below the kernel" */
bool cbn_feature_of_kind(int feature, int kind);            /* do problems of that kind have it? */

/* The value of each feature; CBN_FEATURE_NONE where it has none (a batch normalization's stride). */
void cbn_features_of(const cbn_generated *problem, uint8_t value[CBN_FEATURE_COUNT]);

/* Pairs of values of two different features are numbered from 0; -1 for features that are not paired. */
int cbn_pair_count(void);
int cbn_pair_number(int feature_a, int value_a, int feature_b, int value_b);
/* False if there is no pair of that number. Feature a is the one that stands before b in the list. */
bool cbn_pair_of_number(int pair, int *feature_a, int *value_a, int *feature_b, int *value_b);

/* Why no problem can have that pair; NULL where one can. Kind -1 is any kind; where a kind does not have both
 * features, that is the reason. `by_definition`, if not NULL, becomes true where there is no such problem, false where
 * there is, but the generator does not make it. */
const char *cbn_pair_impossible(int pair, int kind, bool *by_definition);

/* Calls `reach(context, pair)` for each pair that the problem has; a near miss has one: its kind and its rule. */
void cbn_pairs_of(const cbn_generated *problem, void (*reach)(void *context, int pair), void *context);

#endif
