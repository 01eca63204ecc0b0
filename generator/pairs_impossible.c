/* Pairs of features' values that no problem has, and why: those that the definitions in convbn/engine.h rule out, and
 * those that the generator, which keeps problems small and plain, does not make. */
#include "generator/pairs.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* In problems of these kinds no value of the set of a meets one of the set of b; without b, none of a's is there. */
typedef struct exclusion {
  int kinds;
  int a;
  uint32_t values_a;
  int b; /* or NO_OTHER */
  uint32_t values_b;
  bool by_definition; /* else the generator does not make it */
  const char *reason;
} exclusion;

enum { NO_OTHER = -1 };

/* Kinds of convolutions by what their columns and pixels are: the output's, or the input's of an input's gradient; and
 * by what they are of the kernel: places that it takes, or the room that it has. */
enum {
  CBN_KINDS_PLAIN_GRAD_INPUT = CBN_KIND_BIT(CONV_GRAD_INPUT),
  CBN_KINDS_OUTPUT_COLUMNS = CBN_KINDS_CONV & ~CBN_KINDS_CONV_GRAD_INPUT,
  CBN_KINDS_COLUMNS_OF_PLACES = (CBN_KINDS_PLAIN & ~CBN_KINDS_PLAIN_GRAD_INPUT) | CBN_KIND_BIT(TRANSPOSED_GRAD_INPUT),
  CBN_KINDS_COLUMNS_OF_ROOM = CBN_KINDS_CONV & ~CBN_KINDS_COLUMNS_OF_PLACES
};

#define IS(FEATURE, VALUE) (1u << CBN_VALUE(FEATURE, VALUE))
#define ANY (~0u)
#define NEVER(kinds, a, values, reason)                                                                                \
  { CBN_KINDS_##kinds, CBN_FEATURE_##a, values, NO_OTHER, 0, true, reason }
#define NEVER_BOTH(kinds, a, values_a, b, values_b, reason)                                                            \
  { CBN_KINDS_##kinds, CBN_FEATURE_##a, values_a, CBN_FEATURE_##b, values_b, true, reason }
#define NOT_MADE(kinds, a, values, reason)                                                                             \
  { CBN_KINDS_##kinds, CBN_FEATURE_##a, values, NO_OTHER, 0, false, reason }
#define NOT_MADE_BOTH(kinds, a, values_a, b, values_b, reason)                                                         \
  { CBN_KINDS_##kinds, CBN_FEATURE_##a, values_a, CBN_FEATURE_##b, values_b, false, reason }

/* A count's tails by two widths of which the wider is a multiple of the other. */
#define TAILS(kinds, narrow, wide)                                                                                     \
  NEVER_BOTH(kinds, narrow, ~IS(narrow, ZERO), wide, IS(wide, ZERO), "0 is 0 by every width"),                         \
      NEVER_BOTH(kinds, narrow, IS(narrow, ZERO), wide, ~IS(wide, ZERO), "0 is 0 by every width"),                     \
      NEVER_BOTH(kinds, narrow, ~IS(narrow, ONE), wide, IS(wide, ONE), "1 is 1 by every width"),                       \
      NEVER_BOTH(kinds, narrow, IS(narrow, ONE), wide, ~IS(wide, ONE), "1 is 1 by every width"),                       \
      NEVER_BOTH(kinds, narrow, IS(narrow, BELOW), wide, ~IS(wide, BELOW), "below a width is below its multiple"),     \
      NEVER_BOTH(kinds, narrow, ~IS(narrow, FULL), wide, IS(wide, FULL), FOLLOWS),                                     \
      NEVER_BOTH(kinds, narrow, ~IS(narrow, ONE_MORE), wide, IS(wide, ONE_MORE), FOLLOWS),                             \
      NEVER_BOTH(kinds, narrow, ~IS(narrow, ONE_LESS), wide, IS(wide, ONE_LESS), FOLLOWS)
#define FOLLOWS "what is left over by a multiple of a width says what is left over by the width"

/* The generator's data: all on a grid, or none. */
#define ON_GRID(fill) (IS(fill, SPARSE) | IS(fill, IMPULSE))
#define OFF_GRID(fill) (IS(fill, SPECIAL) | IS(fill, TINY) | IS(fill, VAST) | IS(fill, OFFSET))
#define FILLS(kinds, fill)                                                                                             \
  NOT_MADE_BOTH(kinds, DATA, IS(DATA, EXACT), fill, OFF_GRID(fill), "the generator's exact data are small integers"),  \
      NOT_MADE_BOTH(kinds, DATA, IS(DATA, ROUNDING), fill, ON_GRID(fill),                                              \
                    "the generator's rounding data are not sparse")
#define MIXED_FILLS(kinds, fill, other)                                                                                \
  NOT_MADE_BOTH(kinds, fill, ON_GRID(fill), other, OFF_GRID(other), "the generator's data are all exact or all not"),  \
      NOT_MADE_BOTH(kinds, fill, OFF_GRID(fill), other, ON_GRID(other),                                                \
                    "the generator's data are all exact or all not")

#define NO_COLUMNS "without columns there are no pixels"
#define NO_ROOM "every kernel is larger than an axis without pixels"
#define EMPTY_STAYS_EMPTY "a transposed convolution of nothing is empty"
#define ONE_AXIS "one axis does not differ from another"
#define FEW_CHANNELS "the generator puts at most 33 channels into a group or a batch normalization"
#define FEW_IMAGES "the generator puts at most 5 images into a batch"
#define SHORT_AXES "the generator puts at most 50 pixels on an axis and at most 5 images into a batch"
#define NARROW_PADDING                                                                                                 \
  "the generator's padding, at most 9 on a side, shifts a kernel as large as the input by 18 at most"
#define KERNEL_EXTENTS "the generator's kernels, of at most 11 taps, 7 apart, have no such extent"

#define RULES_OF_CONVOLUTIONS                                                                                          \
  (IS(RULE, GROUPS_POSITIVE) | IS(RULE, GROUPS_DIVIDE_IN_CHANNELS) | IS(RULE, GROUPS_DIVIDE_OUT_CHANNELS) |            \
   IS(RULE, KERNEL_POSITIVE) | IS(RULE, STRIDE_POSITIVE) | IS(RULE, DILATION_POSITIVE) |                               \
   IS(RULE, INPUT_DILATION_POSITIVE) | IS(RULE, PADDING_MODE_UNKNOWN) | IS(RULE, REFLECT_PAD_LESS_THAN_INPUT) |        \
   IS(RULE, CIRCULAR_PAD_AT_MOST_INPUT) | IS(RULE, REPLICATE_NEEDS_INPUT) | IS(RULE, PADDING_MODE_NEEDS_PLAIN_INPUT) | \
   IS(RULE, INPUT_DILATION_FORWARD_ONLY) | IS(RULE, OUTPUT_PADDING_RANGE))

static const exclusion exclusions[] = {
    NEVER(CONV, RANK, IS(RANK, 0), "a convolution has one to three spatial axes"),
    NEVER(TRANSPOSED, PADDING_MODE, ~IS(PADDING_MODE, ZEROS), "a transposed convolution is padded with zeros only"),
    NEVER_BOTH(PLAIN, PADDING_MODE, ~IS(PADDING_MODE, ZEROS), INPUT_DILATION, IS(INPUT_DILATION, MORE),
               "padding modes other than zeros go with no input dilation"),
    NEVER_BOTH(NORM, AFFINE, IS(AFFINE, BIAS) | IS(AFFINE, NEITHER), WEIGHT_FILL, ANY, "there is no weight to fill"),

    /* axes */
    NEVER_BOTH(CONV, RANK, IS(RANK, 1), STRIDE, IS(STRIDE, DIFFERS), ONE_AXIS),
    NEVER_BOTH(CONV, RANK, IS(RANK, 1), DILATION, IS(DILATION, DIFFERS), ONE_AXIS),
    NEVER_BOTH(CONV, RANK, IS(RANK, 1), KERNEL, IS(KERNEL, BOTH), ONE_AXIS),
    NEVER_BOTH(CONV, KERNEL, IS(KERNEL, ONE), STRIDE, IS(STRIDE, BELOW) | IS(STRIDE, EQUAL),
               "a stride above 1 is above a kernel of one tap"),
    NEVER_BOTH(CONV, KERNEL, IS(KERNEL, ONE), DILATION, IS(DILATION, ALIKE) | IS(DILATION, DIFFERS),
               "a dilation of a kernel of one tap has nothing to dilate"),
    NEVER_BOTH(CONV, KERNEL, IS(KERNEL, EVEN), DILATION, IS(DILATION, IDLE), "an even kernel has taps to dilate"),
    NEVER_BOTH(CONV, PADDING_SIDES, IS(PADDING_SIDES, NONE), PADDING_REACH, ~IS(PADDING_REACH, NONE),
               "without padding it does not reach anywhere"),
    NEVER_BOTH(CONV, PADDING_SIDES, ~(IS(PADDING_SIDES, NONE) | IS(PADDING_SIDES, CROPS)), PADDING_REACH,
               IS(PADDING_REACH, NONE), "padding reaches somewhere"),
    NEVER_BOTH(CONV, KERNEL, IS(KERNEL, ONE), PADDING_REACH,
               IS(PADDING_REACH, LESS) | IS(PADDING_REACH, SAME) | IS(PADDING_REACH, MORE),
               "any padding is beyond a kernel of one tap"),
    NEVER_BOTH(CONV, PADDING_SIDES, IS(PADDING_SIDES, BEGIN) | IS(PADDING_SIDES, END), PADDING_REACH,
               IS(PADDING_REACH, MORE), "more on one side alone is beyond the kernel"),
    NEVER_BOTH(CONV, PADDING_SIDES, IS(PADDING_SIDES, CROPS), PADDING_REACH, IS(PADDING_REACH, SAME),
               "what one side crops the other had to add beyond the kernel"),
    NEVER_BOTH(CONV, STRIDE, IS(STRIDE, BELOW) | IS(STRIDE, EQUAL), DILATION, IS(DILATION, IDLE),
               "a stride above 1 is above a kernel of one tap"),
    NEVER_BOTH(TRANSPOSED, STRIDE, IS(STRIDE, ONE), OUTPUT_PADDING, IS(OUTPUT_PADDING, BELOW_STRIDE),
               "output padding below a stride of 1 is none"),
    NEVER_BOTH(TRANSPOSED, DILATION, IS(DILATION, ONE), OUTPUT_PADDING, IS(OUTPUT_PADDING, FROM_STRIDE),
               "output padding is less than the stride or the dilation"),

    /* sizes */
    TAILS(CONV, COLUMNS_8, COLUMNS_24),
    NEVER_BOTH(CONV, BATCH, IS(BATCH, ZERO), PIXELS, ~IS(PIXELS, FEW), "without a batch there are no pixels"),
    NEVER_BOTH(CONV, COLUMNS_8, IS(COLUMNS_8, ZERO), PIXELS, ~IS(PIXELS, FEW), NO_COLUMNS),
    NEVER_BOTH(CONV, COLUMNS_24, IS(COLUMNS_24, ZERO), PIXELS, ~IS(PIXELS, FEW), NO_COLUMNS),
    NEVER_BOTH(OUTPUT_COLUMNS, OUTPUT, IS(OUTPUT, NO_PIXELS), PIXELS, ~IS(PIXELS, FEW), NO_COLUMNS),
    NEVER_BOTH(OUTPUT_COLUMNS, OUTPUT, IS(OUTPUT, FILLED), COLUMNS_8, IS(COLUMNS_8, ZERO), NO_COLUMNS),
    NEVER_BOTH(OUTPUT_COLUMNS, OUTPUT, IS(OUTPUT, FILLED), COLUMNS_24, IS(COLUMNS_24, ZERO), NO_COLUMNS),
    NEVER_BOTH(TRANSPOSED, OUTPUT, IS(OUTPUT, FILLED), COLUMNS_8, IS(COLUMNS_8, ZERO), EMPTY_STAYS_EMPTY),
    NEVER_BOTH(TRANSPOSED, OUTPUT, IS(OUTPUT, FILLED), COLUMNS_24, IS(COLUMNS_24, ZERO), EMPTY_STAYS_EMPTY),
    NEVER_BOTH(PLAIN_GRAD_INPUT, KERNEL_REACH, ~IS(KERNEL_REACH, BEYOND), COLUMNS_8, IS(COLUMNS_8, ZERO), NO_ROOM),
    NEVER_BOTH(TRANSPOSED, KERNEL_REACH, ~IS(KERNEL_REACH, BEYOND), COLUMNS_8, IS(COLUMNS_8, ZERO), NO_ROOM),
    NEVER_BOTH(PLAIN_GRAD_INPUT, KERNEL_REACH, ~IS(KERNEL_REACH, BEYOND), COLUMNS_24, IS(COLUMNS_24, ZERO), NO_ROOM),
    NEVER_BOTH(TRANSPOSED, KERNEL_REACH, ~IS(KERNEL_REACH, BEYOND), COLUMNS_24, IS(COLUMNS_24, ZERO), NO_ROOM),
    NEVER_BOTH(TRANSPOSED, OUTPUT, IS(OUTPUT, NO_PIXELS), KERNEL_REACH, ~IS(KERNEL_REACH, BEYOND), NO_ROOM),
    NEVER_BOTH(CONV, GROUPS, IS(GROUPS, DEPTHWISE) | IS(GROUPS, MULTIPLIER), IN_CHANNELS, ~IS(IN_CHANNELS, ONE),
               "a depthwise convolution has one input channel a group"),
    NEVER_BOTH(CONV, GROUPS, IS(GROUPS, DEPTHWISE) | IS(GROUPS, ONE_FILTER), OUT_CHANNELS, ~IS(OUT_CHANNELS, ONE),
               "one filter a group is one"),
    NEVER_BOTH(CONV, GROUPS, IS(GROUPS, MULTIPLIER), OUT_CHANNELS, IS(OUT_CHANNELS, ZERO) | IS(OUT_CHANNELS, ONE),
               "a multiplier is more than 1"),
    NEVER_BOTH(CONV, GROUPS, IS(GROUPS, ONE_FILTER), IN_CHANNELS, IS(IN_CHANNELS, ZERO) | IS(IN_CHANNELS, ONE),
               "one filter each, of one input channel, is depthwise"),
    NEVER_BOTH(OUTPUT_COLUMNS, IN_CHANNELS, IS(IN_CHANNELS, ZERO), REDUCTION, ~IS(REDUCTION, SHORT),
               "nothing is summed without channels"),
    NEVER_BOTH(CONV_GRAD_INPUT, OUT_CHANNELS, IS(OUT_CHANNELS, ZERO), REDUCTION, ~IS(REDUCTION, SHORT),
               "nothing is summed without channels"),

    /* batch normalization */
    TAILS(NORM, CHANNELS_8, CHANNELS_16),
    NEVER_BOTH(NORM, TYPE, IS(TYPE, F32) | IS(TYPE, F64), LAYER_TYPE, IS(LAYER_TYPE, DIFFERS),
               "only f16 and bf16 go with a layer of another type"),
    NEVER_BOTH(NORM, VALUES, IS(VALUES, ZERO), VALUES_8, ~IS(VALUES_8, ZERO), "the number says what is left over"),
    NEVER_BOTH(NORM, VALUES, IS(VALUES, ONE), VALUES_8, ~IS(VALUES_8, ONE), "the number says what is left over"),
    NEVER_BOTH(NORM, VALUES, IS(VALUES, TWO), VALUES_8, ~IS(VALUES_8, BELOW), "the number says what is left over"),
    NEVER_BOTH(NORM, VALUES, IS(VALUES, FEW), VALUES_8, ~(IS(VALUES_8, BELOW) | IS(VALUES_8, ONE_LESS)),
               "the number says what is left over"),
    NEVER_BOTH(NORM, VALUES, IS(VALUES, SOME) | IS(VALUES, MANY), VALUES_8,
               IS(VALUES_8, ZERO) | IS(VALUES_8, ONE) | IS(VALUES_8, BELOW), "the number says what is left over"),
    NEVER_BOTH(NORM, BATCH, IS(BATCH, ZERO), VALUES, ~IS(VALUES, ZERO), "an empty batch has no values"),
    NEVER_BOTH(NORM, BATCH, IS(BATCH, ZERO), VALUES_8, ~IS(VALUES_8, ZERO), "an empty batch has no values"),
    NEVER_BOTH(NORM, BATCH, IS(BATCH, MANY), VALUES, IS(VALUES, ONE), "each image has a value of its own"),
    NEVER_BOTH(NORM, BATCH, IS(BATCH, MANY), VALUES_8, IS(VALUES_8, ONE), "each image has a value of its own"),
    NEVER_BOTH(NORM, SIZE, IS(SIZE, LARGE), BATCH, IS(BATCH, ZERO), "an empty batch is small"),
    NEVER_BOTH(NORM, SIZE, IS(SIZE, LARGE), VALUES, IS(VALUES, ZERO), "an empty input is small"),
    NEVER_BOTH(NORM, SIZE, IS(SIZE, LARGE), VALUES_8, IS(VALUES_8, ZERO), "an empty input is small"),
    NEVER_BOTH(NORM, SIZE, IS(SIZE, LARGE), CHANNELS_8, IS(CHANNELS_8, ZERO), "an empty input is small"),
    NEVER_BOTH(NORM, SIZE, IS(SIZE, LARGE), CHANNELS_16, IS(CHANNELS_16, ZERO), "an empty input is small"),
    NEVER_BOTH(TRAIN, STATISTICS, IS(STATISTICS, RUNNING), UPDATE, IS(UPDATE, NO),
               "what neither uses nor keeps the batch's statistics is evaluation"),
    NEVER_BOTH(PROGRAM, HISTORY, IS(HISTORY, EVAL), STATISTICS, ANY, "no call trains"),
    NEVER(EVAL, STATISTICS, IS(STATISTICS, BATCH), "evaluation normalises with the running statistics"),
    NEVER_BOTH(UPDATING, UPDATE, IS(UPDATE, NO), VARIANCE, ANY, "nothing is updated"),
    NEVER_BOTH(UPDATING, UPDATE, IS(UPDATE, NO), NEW_WEIGHT, ANY, "nothing is updated"),
    NEVER_BOTH(TRAIN, UPDATE, IS(UPDATE, NO), STATISTICS_FILL, ANY, "no running statistics are read"),
    NEVER_BOTH(GRAD, STATISTICS, IS(STATISTICS, BATCH), STATISTICS_FILL, ANY, "no running statistics are read"),
    NEVER(TRAIN, NEW_WEIGHT, IS(NEW_WEIGHT, DIFFERS), "one call has one weight"),
    NEVER_BOTH(PROGRAM, HISTORY, IS(HISTORY, EVAL), NEW_WEIGHT, ANY, "nothing is updated"),
    NEVER_BOTH(PROGRAM, HISTORY, IS(HISTORY, ALTERNATES), STEPS, IS(STEPS, TWO), "two steps change once"),
    NEVER_BOTH(NORM, LAYOUT, IS(LAYOUT, MIXED), IN_PLACE, IS(IN_PLACE, YES), "in place, two tensors have one layout"),

    /* near misses */
    NEVER(NORM, RULE, RULES_OF_CONVOLUTIONS, "a batch normalization has no such parameter"),
    NEVER(CONV, RULE, IS(RULE, BACKWARD_UPDATES_NOTHING), "a convolution has no running statistics"),
    NEVER(FORWARD, RULE, IS(RULE, BACKWARD_UPDATES_NOTHING), "a forward call may update them"),
    NEVER(
        TRANSPOSED, RULE,
        IS(RULE, REFLECT_PAD_LESS_THAN_INPUT) | IS(RULE, CIRCULAR_PAD_AT_MOST_INPUT) | IS(RULE, REPLICATE_NEEDS_INPUT),
        "a transposed convolution is padded with zeros only"),
    NEVER(PLAIN, RULE, IS(RULE, INPUT_DILATION_FORWARD_ONLY), "a plain convolution may have input dilation"),

    /* what the generator makes */
    NOT_MADE_BOTH(CONV, KERNEL, IS(KERNEL, ONE), REDUCTION, IS(REDUCTION, LONG), FEW_CHANNELS),
    NOT_MADE_BOTH(CONV_GRAD_INPUT, RANK, IS(RANK, 1), PIXELS, IS(PIXELS, MANY), SHORT_AXES),
    NOT_MADE_BOTH(COLUMNS_OF_PLACES, KERNEL_REACH, IS(KERNEL_REACH, WHOLE), COLUMNS_24,
                  IS(COLUMNS_24, FULL) | IS(COLUMNS_24, ONE_MORE) | IS(COLUMNS_24, MIDDLE) | IS(COLUMNS_24, ONE_LESS),
                  NARROW_PADDING),
    NOT_MADE_BOTH(COLUMNS_OF_ROOM, KERNEL_REACH, IS(KERNEL_REACH, WHOLE), COLUMNS_24, IS(COLUMNS_24, FULL),
                  KERNEL_EXTENTS),
    NOT_MADE_BOTH(PLAIN_GRAD_INPUT, KERNEL_REACH, IS(KERNEL_REACH, WHOLE), COLUMNS_24, IS(COLUMNS_24, ONE_LESS),
                  KERNEL_EXTENTS),
    NOT_MADE_BOTH(NORM, SIZE, IS(SIZE, LARGE), VALUES, IS(VALUES, ONE) | IS(VALUES, TWO) | IS(VALUES, FEW),
                  FEW_CHANNELS),
    NOT_MADE_BOTH(NORM, SIZE, IS(SIZE, LARGE), VALUES_8, IS(VALUES_8, ONE) | IS(VALUES_8, BELOW), FEW_CHANNELS),
    NOT_MADE_BOTH(PROGRAM, STATISTICS, IS(STATISTICS, RUNNING), UPDATE, IS(UPDATE, NO),
                  "the generator's layers that train by their running statistics update them"),
    NOT_MADE_BOTH(NORM, RANK, IS(RANK, 0), SIZE, IS(SIZE, LARGE), FEW_IMAGES),
    NOT_MADE_BOTH(NORM, RANK, IS(RANK, 0), VALUES, IS(VALUES, SOME) | IS(VALUES, MANY), FEW_IMAGES),
    NOT_MADE_BOTH(NORM, RANK, IS(RANK, 0), VALUES_8, ~(IS(VALUES_8, ZERO) | IS(VALUES_8, ONE) | IS(VALUES_8, BELOW)),
                  FEW_IMAGES),
    FILLS(ALL, INPUT_FILL),
    FILLS(ALL, WEIGHT_FILL),
    FILLS(ALL, GRAD_FILL),
    FILLS(NORM, STATISTICS_FILL),
    MIXED_FILLS(ALL, INPUT_FILL, WEIGHT_FILL),
    MIXED_FILLS(ALL, INPUT_FILL, GRAD_FILL),
    MIXED_FILLS(ALL, WEIGHT_FILL, GRAD_FILL),
    MIXED_FILLS(NORM, INPUT_FILL, STATISTICS_FILL),
    MIXED_FILLS(NORM, WEIGHT_FILL, STATISTICS_FILL),
    MIXED_FILLS(NORM, GRAD_FILL, STATISTICS_FILL),
};

static bool excludes(const exclusion *e, int feature, int value) {
  return e->b == NO_OTHER && e->a == feature && e->values_a >> value & 1;
}

static bool excludes_both(const exclusion *e, int a, int value_a, int b, int value_b) {
  return e->a == a && e->b == b && e->values_a >> value_a & 1 && e->values_b >> value_b & 1;
}

static const char *impossible_in(int kind, int a, int value_a, int b, int value_b, bool *by_definition) {
  *by_definition = true;
  if (!cbn_feature_of_kind(a, kind) || !cbn_feature_of_kind(b, kind))
    return "problems of that kind have no such feature";
  if (a == CBN_FEATURE_KIND && value_a != kind) return "a problem is of one kind";
  for (int i = 0; i < COUNT(exclusions); i++) {
    const exclusion *e = &exclusions[i];
    if (!(e->kinds >> kind & 1)) continue;
    if (!excludes(e, a, value_a) && !excludes(e, b, value_b) && !excludes_both(e, a, value_a, b, value_b) &&
        !excludes_both(e, b, value_b, a, value_a))
      continue;
    *by_definition = e->by_definition;
    return e->reason;
  }
  return NULL;
}

/* The reason of a kind that has both features says more than that others do not have them; what the generator could
 * make says more than what is not defined. */
static const char *impossible_in_all(int a, int value_a, int b, int value_b, bool *by_definition) {
  const char *best = "no kind of problem has both features";
  *by_definition = true;
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++) {
    bool defined;
    const char *reason = impossible_in(kind, a, value_a, b, value_b, &defined);
    if (reason == NULL) return NULL;
    if (!cbn_feature_of_kind(a, kind) || !cbn_feature_of_kind(b, kind)) continue;
    if (a == CBN_FEATURE_KIND && value_a != kind) continue;
    if (*by_definition) best = reason;
    *by_definition = *by_definition && defined;
  }
  return best;
}

const char *cbn_pair_impossible(int pair, int kind, bool *by_definition) {
  int a, value_a, b, value_b;
  bool unused;
  if (by_definition == NULL) by_definition = &unused;
  if (!cbn_pair_of_number(pair, &a, &value_a, &b, &value_b)) return "there is no such pair";
  return kind >= 0 ? impossible_in(kind, a, value_a, b, value_b, by_definition)
                   : impossible_in_all(a, value_a, b, value_b, by_definition);
}
