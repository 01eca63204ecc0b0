#include "dialects/versions.h"

#include <string.h>

#define CONVOLUTIONS "nn.Conv1d, 2d, 3d"
#define TRANSPOSED "nn.ConvTranspose1d, 2d, 3d"
#define NORMALIZATIONS "nn.BatchNorm1d, 2d, 3d"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const cbn_version_difference pytorch[] = {
    {"1.13.1", "2.11.0", NORMALIZATIONS, "bias", CBN_RULE_UNKNOWN_PARAMETER, "refused with a TypeError"},
    {"1.13.1", "2.11.0", NORMALIZATIONS, "eps", CBN_RULE_EPSILON_RANGE,
     "taken where it is 0 or negative, in training and in evaluation"},
    {"1.13.1", "2.1.2", "all", "f16", CBN_RULE_TENSOR_TYPE, "refused with a RuntimeError: not implemented for 'Half'"},
    {"2.2.2", "2.4.1", CONVOLUTIONS, "f16, padding_mode='reflect'", CBN_RULE_TENSOR_TYPE,
     "refused with a RuntimeError"},
    {"1.13.1", "2.0.1", CONVOLUTIONS, "bf16, padding_mode='replicate'", CBN_RULE_TENSOR_TYPE,
     "refused with a RuntimeError"},
    {"2.2.2", "2.4.1", NORMALIZATIONS, "f16", CBN_RULE_COUNT,
     "statistics of the batch are summed in f16, so that they overflow"},
    {"1.13.1", "2.1.2", CONVOLUTIONS, "dilation", CBN_RULE_DILATION_POSITIVE, "taken where it is negative and N = 0"},
    {"1.13.1", "1.13.1", TRANSPOSED, "bf16", CBN_RULE_COUNT,
     "computed as a convolution that is not transposed: other shapes, or refused for its channels"},
    {"1.13.1", "2.1.2", "nn.Conv2d", "bf16, depthwise, channels last, one output column", CBN_RULE_COUNT,
     "right; wrong numbers from 2.2.2 on"},
};

static const cbn_version_difference mindspore[] = {
    {"2.0.0", "2.0.0", NORMALIZATIONS, "moving_variance", CBN_RULE_COUNT,
     "the new variance is biased (divisor n); unbiased from 2.7.0 on"},
    {"2.0.0", "2.0.0", "all", "an empty input", CBN_RULE_INPUT_EXTENT_POSITIVE, "refused with a ValueError"},
    {"2.0.0", "2.0.0", "all", "dtype", CBN_RULE_UNKNOWN_PARAMETER, "refused with a TypeError"},
    {"2.0.0", "2.0.0", NORMALIZATIONS, "eps", CBN_RULE_EPSILON_RANGE,
     "compared in double: 1.00000001 is refused, 7e-46 and NaN are taken"},
    {"2.0.0", "2.0.0", NORMALIZATIONS, "momentum", CBN_RULE_MOMENTUM_RANGE, "NaN is taken"},
    {"2.0.0", "2.0.0", "nn.Conv2d", "weight_init", CBN_RULE_PARAMETER_TYPE, "None is refused with a TypeError"},
    {"2.0.0", "2.0.0", "nn.Conv3d", "padding", CBN_RULE_FRAMEWORK_LIMIT,
     "refused with a ValueError where it is not less than the kernel"},
    {"2.0.0", "2.0.0", "nn.Conv3dTranspose", "group", CBN_RULE_FRAMEWORK_LIMIT, "refused with a ValueError unless 1"},
    {"2.0.0", "2.0.0", "nn.Conv2dTranspose", "output_padding", CBN_RULE_COUNT, "without effect in the mode 'pad'"},
    {"2.0.0", "2.8.0", "nn.Conv2d", "a stride or dilation of 2^31 or more", CBN_RULE_FRAMEWORK_LIMIT,
     "refused with a RuntimeError"},
    {"2.0.0", "2.8.0", "nn.Conv2d, 3d", "a weight of -inf or NaN over zero padding", CBN_RULE_COUNT,
     "multiplied by the 0: NaN; skipped from 2.9.0 on"},
    {"2.0.0", "2.8.0", "nn.Conv2d", "subnormal inputs", CBN_RULE_COUNT, "flushed in small convolutions, too"},
};

static const cbn_versions table[] = {
    {"pytorch",
     "1.13.1, 2.0.1, 2.1.2, 2.2.2, 2.3.1, 2.4.1, 2.9.1, 2.15.0 (2.10.0, 2.11.0, 2.12.1, 2.13.0, 2.14.1: the source of "
     "nn.BatchNorm)",
     pytorch, COUNT(pytorch)},
    {"mindspore", "2.0.0, 2.7.0, 2.8.0, 2.9.0, 2.10.0", mindspore, COUNT(mindspore)},
};

const cbn_versions *cbn_versions_of(const cbn_dialect *dialect) {
  for (size_t i = 0; i < COUNT(table); i++)
    if (strcmp(table[i].dialect, dialect->name) == 0) return &table[i];
  return NULL;
}
