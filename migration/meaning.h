/* What parameters mean, whatever a framework calls them: `groups`, `group` and `feature_group_count` are one thing.
 *
 * Names only. Whether equal values under one meaning do the same is never taken from here: that is what differ.h finds out. */
#ifndef CBN_MIGRATION_MEANING_H
#define CBN_MIGRATION_MEANING_H

#include "migration/signature.h"

/* Meaning, its name for people, and what it is; names of parameters in meaning.c. */
#define CBN_MEANINGS(X)                                                                                                \
  X(IN_CHANNELS, "input channels", "channels of the input")                                                            \
  X(OUT_CHANNELS, "output channels", "channels of the output")                                                         \
  X(KERNEL_SIZE, "kernel size", "extents of the kernel")                                                               \
  X(STRIDE, "stride", "distance between two windows")                                                                  \
  X(PADDING, "padding", "how much stands around the input: amounts, or a rule's name")                                 \
  X(PADDING_RULE, "padding rule", "the name of the rule by which the amounts follow from the shapes")                  \
  X(PADDING_MODE, "padding mode", "what stands there: zeros, or elements of the input")                                \
  X(OUTPUT_PADDING, "output padding", "elements added to one end of a transposed convolution's output")                \
  X(OUTPUT_SHAPE, "output shape", "the extents of a transposed convolution's output")                                  \
  X(DILATION, "dilation", "distance between two taps of the kernel")                                                   \
  X(INPUT_DILATION, "input dilation", "distance between two elements of the input, zeros between them")                \
  X(GROUPS, "groups", "groups of channels that do not see each other")                                                 \
  X(MULTIPLIER, "depth multiplier", "output channels for each input channel, depthwise")                               \
  X(BIAS, "bias", "is a bias added?")                                                                                  \
  X(KERNEL_TRANSPOSED, "transposed kernel", "is the kernel turned round, and its channels exchanged?")                  \
  X(DATA_FORMAT, "data format", "the order of axes")                                                                   \
  X(CHANNELS, "channels", "channels that are normalized")                                                              \
  X(EPSILON, "epsilon", "added to the variance")                                                                       \
  X(MOMENTUM, "momentum", "the weight of a step in the running statistics")                                            \
  X(SCALE, "scale", "is there a scale (with the shift, where it has no parameter of its own)?")                        \
  X(SHIFT, "shift", "is there a shift?")                                                                               \
  X(STATISTICS, "statistics", "which statistics normalize, and whether the running ones are kept")                     \
  X(TRAINING, "training", "train or evaluate, where it is an argument")                                                \
  X(INITIAL, "initial values", "what a new layer's tensors hold")                                                      \
  X(OPSET, "operator set", "the version of the operators that a model states")                                         \
  X(BACKEND, "backend", "who computes")                                         \
  X(OTHER, "other", "nothing that changes a result: names, devices, checks")

enum cbn_meaning {
#define CBN_MEANING_ENUM(NAME, name, text) CBN_MEANING_##NAME,
  CBN_MEANINGS(CBN_MEANING_ENUM)
#undef CBN_MEANING_ENUM
      CBN_MEANING_COUNT
};

const char *cbn_meaning_name(enum cbn_meaning meaning);
const char *cbn_meaning_text(enum cbn_meaning meaning);

/* The meaning of a parameter of that operator; CBN_MEANING_COUNT for a name that is not known: a test demands that there is
 * none in any signature. */
enum cbn_meaning cbn_meaning_of(const cbn_dialect_operator *operator, const char * parameter);

/* The operator's parameter with that meaning, the first where it has several; NULL where it has none. */
const cbn_parameter_info *cbn_parameter_meaning(const cbn_dialect_operator *operator, const cbn_signature * signature,
                                                enum cbn_meaning meaning);

#endif
