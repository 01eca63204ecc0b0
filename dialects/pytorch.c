/* PyTorch: the convolutions, transposed convolutions and batch normalizations of torch.nn, one to three axes, as layers
 * and as functions. */
#include "dialects/pytorch.h"

bool cbn_pytorch_number(const cbn_value *params, const char *name, double fallback, double *result) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value != NULL) return cbn_as_number(value, result);
  *result = fallback;
  return true;
}

#define CONVOLUTION                                                                                                    \
  "(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, "                    \
  "padding_mode='zeros')"
#define TRANSPOSED                                                                                                     \
  "(in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1, "  \
  "padding_mode='zeros')"
#define FUNCTION "(stride=1, padding=0, dilation=1, groups=1)"
#define TRANSPOSED_FUNCTION "(stride=1, padding=0, output_padding=0, groups=1, dilation=1)"
#define BATCHNORM "(num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, *, bias=True)"

/* A layer reads these at every call; its tensors are made once. */
static const char *const batchnorm_changeable[] = {"eps", "momentum", NULL};

#define CONVOLUTION_ROW(NAME, RANK, TRANSPOSED_ROW, SIGNATURE)                                                         \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_CONV, .spatial_rank = RANK, .transposed = TRANSPOSED_ROW,                       \
    .signature = SIGNATURE, .plan = cbn_pytorch_convolution                                                            \
  }
#define FUNCTION_ROW(NAME, RANK, TRANSPOSED_ROW, SIGNATURE)                                                            \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_CONV, .spatial_rank = RANK, .transposed = TRANSPOSED_ROW,                       \
    .signature = SIGNATURE, .plan = cbn_pytorch_convolution_function                                                   \
  }
#define BATCHNORM_ROW(NAME, RANK)                                                                                      \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_BATCHNORM, .spatial_rank = RANK, .signature = BATCHNORM,                        \
    .plan = cbn_pytorch_batchnorm, .changeable = batchnorm_changeable, .resets = true                                  \
  }

static const cbn_dialect_operator operators[] = {
    CONVOLUTION_ROW("nn.Conv1d", 1, false, CONVOLUTION),
    CONVOLUTION_ROW("nn.Conv2d", 2, false, CONVOLUTION),
    CONVOLUTION_ROW("nn.Conv3d", 3, false, CONVOLUTION),
    CONVOLUTION_ROW("nn.ConvTranspose1d", 1, true, TRANSPOSED),
    CONVOLUTION_ROW("nn.ConvTranspose2d", 2, true, TRANSPOSED),
    CONVOLUTION_ROW("nn.ConvTranspose3d", 3, true, TRANSPOSED),
    BATCHNORM_ROW("nn.BatchNorm1d", 1),
    BATCHNORM_ROW("nn.BatchNorm2d", 2),
    BATCHNORM_ROW("nn.BatchNorm3d", 3),
    FUNCTION_ROW("nn.functional.conv1d", 1, false, FUNCTION),
    FUNCTION_ROW("nn.functional.conv2d", 2, false, FUNCTION),
    FUNCTION_ROW("nn.functional.conv3d", 3, false, FUNCTION),
    FUNCTION_ROW("nn.functional.conv_transpose1d", 1, true, TRANSPOSED_FUNCTION),
    FUNCTION_ROW("nn.functional.conv_transpose2d", 2, true, TRANSPOSED_FUNCTION),
    FUNCTION_ROW("nn.functional.conv_transpose3d", 3, true, TRANSPOSED_FUNCTION),
    {.name = "nn.functional.batch_norm",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(training=False, momentum=0.1, eps=1e-05)",
     .plan = cbn_pytorch_batchnorm_function},
};

const cbn_dialect cbn_dialect_pytorch = {.name = "pytorch",
                                         .profile = "PyTorch 2.15.0, CPU",
                                         .trains_by_default = true,
                                         .arithmetic = CBN_NARROW_SUMS, /* f16, in a convolution's backward pass */
                                         .operators = operators,
                                         .operator_count = sizeof operators / sizeof operators[0]};
