/* Every rule by which a problem is refused: the canonical operators' own and the dialects'.
 *
 * One list. A violation names its rule; a case names the rule it stands for (`rejected: {rule: ...}`); the linter
 * knows no others; `convbn rules` prints this table. A dialect adds a rule here only when no rule below says it. */
#ifndef CBN_CORE_RULES_H
#define CBN_CORE_RULES_H

#define CBN_RULES(X)                                                                                                   \
  /* the call */                                                                                                       \
  X(UNKNOWN_PARAMETER, "unknown-parameter", "every parameter is one that the operator has")                            \
  X(MISSING_PARAMETER, "missing-parameter", "parameters without a default are given")                                  \
  X(PARAMETER_TYPE, "parameter-type", "a parameter has the type that the framework takes")                             \
  X(PARAMETER_LENGTH, "parameter-length", "a tuple parameter has as many entries as the framework takes")              \
  X(INITIALIZER_UNKNOWN, "initializer-unknown", "an initializer given by name is one that the framework has")          \
  /* extents */                                                                                                        \
  X(SPATIAL_RANK, "spatial-rank", "the number of spatial axes is one that the operator has")                           \
  X(INPUT_RANK, "input-rank", "the input has as many axes as the operator takes")                                      \
  X(EXTENT_NON_NEGATIVE, "extent-non-negative", "an extent is not negative")                                           \
  X(EXTENT_OVERFLOW, "extent-overflow", "no extent, and no product of extents, overflows 64 bits")                     \
  X(INPUT_EXTENT_POSITIVE, "input-extent-positive", "the input's extents are positive where the framework wants it")   \
  X(IN_CHANNELS_POSITIVE, "in-channels-positive", "the number of input channels is one that the framework takes")      \
  X(OUT_CHANNELS_POSITIVE, "out-channels-positive", "the number of output channels is positive")                       \
  X(INPUT_CHANNELS_MISMATCH, "input-channels-mismatch", "the input has the channels that the operator was made for")   \
  X(WEIGHT_SHAPE, "weight-shape", "the weight has the shape that the parameters say")                                  \
  X(BIAS_SHAPE, "bias-shape", "the bias has one value for each output channel")                                        \
  X(STATISTICS_SHAPE, "statistics-shape", "scale, shift and statistics have one value for each channel")               \
  X(TENSOR_TYPE, "tensor-type", "the tensors have a type, and types together, that the operator takes")                \
  X(TENSOR_FORMAT, "tensor-format", "the memory format is one that the framework takes here")                          \
  /* convolution */                                                                                                    \
  X(GROUPS_POSITIVE, "groups-positive", "the number of groups is positive")                                            \
  X(GROUPS_DIVIDE_IN_CHANNELS, "groups-divide-in-channels", "groups divide the input channels")                        \
  X(GROUPS_DIVIDE_OUT_CHANNELS, "groups-divide-out-channels", "groups divide the output channels")                     \
  X(KERNEL_POSITIVE, "kernel-positive", "the kernel's extents are positive")                                           \
  X(STRIDE_POSITIVE, "stride-positive", "strides are positive")                                                        \
  X(DILATION_POSITIVE, "dilation-positive", "dilations are positive")                                                  \
  X(INPUT_DILATION_POSITIVE, "input-dilation-positive", "input dilations are positive")                                \
  X(PADDING_NON_NEGATIVE, "padding-non-negative", "padding is not negative where the framework or the mode wants it")  \
  X(PADDING_MUST_BE_ZERO, "padding-must-be-zero", "explicit padding goes only with the mode that uses it")             \
  X(PADDING_UNKNOWN, "padding-unknown", "a padding given by name is one of the names")                                 \
  X(PADDING_MODE_UNKNOWN, "padding-mode-unknown", "the padding mode is one of the modes")                              \
  X(SAME_NEEDS_UNIT_STRIDE, "same-needs-unit-stride", "padding `same` goes only with stride 1")                        \
  X(REFLECT_PAD_LESS_THAN_INPUT, "reflect-pad-less-than-input", "reflection padding is smaller than the input")        \
  X(CIRCULAR_PAD_AT_MOST_INPUT, "circular-pad-at-most-input", "circular padding is at most the input's extent")        \
  X(REPLICATE_NEEDS_INPUT, "replicate-needs-input", "replication padding has an edge element to replicate")            \
  X(PADDING_MODE_NEEDS_PLAIN_INPUT, "padding-mode-needs-plain-input",                                                  \
    "padding modes other than zeros go with no input dilation and no transposition")                                   \
  X(INPUT_DILATION_FORWARD_ONLY, "input-dilation-forward-only", "a transposed convolution has no input dilation")      \
  X(KERNEL_EXCEEDS_INPUT, "kernel-exceeds-input", "the dilated kernel fits into the padded input")                     \
  X(OUTPUT_PADDING_RANGE, "output-padding-range",                                                                      \
    "output padding is not negative and less than the stride or the dilation, in a transposed convolution only")       \
  X(OUTPUT_EXTENT_POSITIVE, "output-extent-positive",                                                                  \
    "the output's extents are positive where the framework wants it")                                                  \
  X(OUTPUT_SHAPE, "output-shape", "an output shape that is asked for is one that the operator can make of its input")  \
  X(FRAMEWORK_LIMIT, "framework-limit", "no parameter exceeds a limit that is the framework's own")                    \
  /* batch normalization */                                                                                            \
  X(BACKWARD_UPDATES_NOTHING, "backward-updates-nothing", "gradients leave the running statistics alone")              \
  X(VARIANCE_POSITIVE, "variance-positive", "variance plus epsilon is positive where a division needs it")             \
  X(NUM_FEATURES_POSITIVE, "num-features-positive", "the number of channels is positive")                              \
  X(EPSILON_RANGE, "epsilon-range", "epsilon lies in the range that the framework takes")                              \
  X(MOMENTUM_RANGE, "momentum-range", "momentum lies in the range that the framework takes")                           \
  X(ONE_VALUE_PER_CHANNEL, "one-value-per-channel", "training has more than one value for each channel")               \
  X(TRAINING_OUTPUTS, "training-outputs", "the outputs of training are asked for in training alone")

enum cbn_rule {
#define CBN_RULE_ENUM(NAME, name, text) CBN_RULE_##NAME,
  CBN_RULES(CBN_RULE_ENUM)
#undef CBN_RULE_ENUM
      CBN_RULE_COUNT
};

#endif
