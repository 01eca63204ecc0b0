/* MindSpore: the convolutions, transposed convolutions and batch normalizations of mindspore.nn, mindspore.ops and
 * mindspore.mint, one to three axes. */
#include "dialects/mindspore.h"

#include <strings.h>

bool cbn_mindspore_int(const cbn_value *params, const char *name, int64_t fallback, int64_t *result) {
  *result = fallback;
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || cbn_as_integer(value, false, result);
}

bool cbn_mindspore_bool(const cbn_value *params, const char *name, bool fallback, bool *result) {
  const cbn_value *value = cbn_parameter(params, name);
  *result = value == NULL ? fallback : value->kind == CBN_BOOLEAN && value->as.boolean;
  return value == NULL || value->kind == CBN_BOOLEAN;
}

bool cbn_mindspore_reject_type(const cbn_value *params, const char *name, const char *wanted, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(cbn_parameter(params, name)).text);
}

bool cbn_mindspore_data_format(const cbn_value *params, bool volumes, cbn_rejection *r) {
  const cbn_value *format = cbn_parameter(params, "data_format");
  if (format == NULL || cbn_value_is(format, "NCHW") || (volumes && cbn_value_is(format, "NCDHW"))) return true;
  return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR, "data_format must be 'NCHW'%s on a CPU, got %s",
                    volumes ? " or 'NCDHW'" : "", cbn_printed_value(format).text);
}

enum initializer { CONSTANT, RANDOM, NEEDS_AXES, NEEDS_ARGUMENT };

/* By name, compared without case. */
static const struct {
  const char *name;
  enum initializer kind;
  double value;
} initializers[] = {
    {"ones", CONSTANT, 1},
    {"one", CONSTANT, 1},
    {"zeros", CONSTANT, 0},
    {"zero", CONSTANT, 0},
    {"normal", RANDOM, 0},
    {"uniform", RANDOM, 0},
    {"truncatednormal", RANDOM, 0},
    {"xavieruniform", NEEDS_AXES, 0},
    {"xavier_uniform", NEEDS_AXES, 0},
    {"xaviernormal", NEEDS_AXES, 0},
    {"xavier_normal", NEEDS_AXES, 0},
    {"heuniform", NEEDS_AXES, 0},
    {"he_uniform", NEEDS_AXES, 0},
    {"henormal", NEEDS_AXES, 0},
    {"he_normal", NEEDS_AXES, 0},
    {"variancescaling", NEEDS_AXES, 0},
    {"orthogonal", NEEDS_AXES, 0},
    {"dirac", NEEDS_AXES, 0},
    {"sparse", NEEDS_ARGUMENT, 0},
};

bool cbn_mindspore_initializer(const cbn_value *params, const char *name, bool axes, int role, cbn_plan *plan,
                               cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL) return true;
  if (cbn_as_number(value, &plan->initial[role])) return plan->has_initial[role] = true;
  if (value->kind != CBN_STRING) return cbn_mindspore_reject_type(params, name, "a number or an initializer's name", r);
  for (size_t i = 0; i < sizeof initializers / sizeof initializers[0]; i++) {
    const enum initializer kind = initializers[i].kind;
    if (strcasecmp(value->as.string.text, initializers[i].name) != 0 || (kind == NEEDS_AXES && !axes)) continue;
    if (kind == NEEDS_ARGUMENT)
      return cbn_mindspore_reject_type(params, name, "an initializer that needs no argument", r);
    plan->has_initial[role] = kind == CONSTANT;
    plan->initial[role] = initializers[i].value;
    return true;
  }
  return cbn_reject(r, CBN_RULE_INITIALIZER_UNKNOWN, CBN_VALUE_ERROR, "%s: there is no initializer %s here", name,
                    cbn_printed_value(value).text);
}

#define FIRST "(in_channels, out_channels, kernel_size, stride=1, pad_mode='same', padding=0, "
#define LAST "has_bias=False, weight_init=None, bias_init=None"
#define BATCHNORM                                                                                                      \
  "(num_features, eps=1e-05, momentum=0.9, affine=True, gamma_init='ones', beta_init='zeros', "                        \
  "moving_mean_init='zeros', moving_var_init='ones', use_batch_statistics=None"

/* A layer reads this at every call; momentum and eps are copied when it is made, and nn.BatchNorm3d hides its own. */
static const char *const batchnorm_changeable[] = {"use_batch_statistics", NULL};

#define CONVOLUTION_ROW(NAME, RANK, TRANSPOSED, SIGNATURE)                                                             \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_CONV, .spatial_rank = RANK, .transposed = TRANSPOSED, .signature = SIGNATURE,   \
    .plan = cbn_mindspore_convolution                                                                                  \
  }
#define BATCHNORM_ROW(NAME, RANK, END, CHANGEABLE)                                                                     \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_BATCHNORM, .spatial_rank = RANK, .signature = BATCHNORM END,                    \
    .plan = cbn_mindspore_batchnorm, .changeable = CHANGEABLE                                                          \
  }
/* Weight, bias and statistics are tensors of the call. */
#define FUNCTION_ROW(NAME, RANK)                                                                                       \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_CONV, .spatial_rank = RANK,                                                     \
    .signature = "(stride=1, pad_mode='valid', padding=0, dilation=1, groups=1)", .plan = cbn_mindspore_function       \
  }
#define PRIMITIVE_ROW(NAME, RANK, FORMAT)                                                                              \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_CONV, .spatial_rank = RANK,                                                     \
    .signature = "(out_channel, kernel_size, mode=1, pad_mode='valid', pad=0, stride=1, dilation=1, group=1, "         \
                 "data_format='" FORMAT "')",                                                                          \
    .plan = cbn_mindspore_primitive                                                                                    \
  }
#define BATCHNORM_FUNCTION_ROW(NAME, SIGNATURE)                                                                        \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_BATCHNORM, .spatial_rank = 2, .signature = SIGNATURE,                           \
    .plan = cbn_mindspore_batchnorm_function                                                                           \
  }
#define MINT_FIRST "(in_channels, out_channels, kernel_size, stride=1, padding=0, "
#define MINT_CONVOLUTION_ROW(NAME, RANK)                                                                               \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_CONV, .spatial_rank = RANK,                                                     \
    .signature = MINT_FIRST "dilation=1, groups=1, bias=True, padding_mode='zeros')", .plan = cbn_mindspore_mint_layer \
  }
#define MINT_BATCHNORM_ROW(NAME, RANK)                                                                                 \
  {                                                                                                                    \
    .name = NAME, .kind = CBN_OPERATOR_BATCHNORM, .spatial_rank = RANK,                                                \
    .signature = "(num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)",                     \
    .plan = cbn_mindspore_mint_layer, .changeable = mint_changeable, .resets = true                                    \
  }

static const char *const mint_changeable[] = {"eps", "momentum", NULL};

static const cbn_dialect_operator operators[] = {
    CONVOLUTION_ROW("nn.Conv1d", 1, false, FIRST "dilation=1, group=1, " LAST ")"),
    CONVOLUTION_ROW("nn.Conv2d", 2, false, FIRST "dilation=1, group=1, " LAST ", data_format='NCHW')"),
    CONVOLUTION_ROW("nn.Conv3d", 3, false, FIRST "dilation=1, group=1, " LAST ", data_format='NCDHW')"),
    CONVOLUTION_ROW("nn.Conv1dTranspose", 1, true, FIRST "dilation=1, group=1, " LAST ")"),
    CONVOLUTION_ROW("nn.Conv2dTranspose", 2, true, FIRST "output_padding=0, dilation=1, group=1, " LAST ")"),
    CONVOLUTION_ROW("nn.Conv3dTranspose", 3, true,
                    FIRST "dilation=1, group=1, output_padding=0, " LAST ", data_format='NCDHW')"),
    BATCHNORM_ROW("nn.BatchNorm1d", 1, ", data_format='NCHW')", batchnorm_changeable),
    BATCHNORM_ROW("nn.BatchNorm2d", 2, ", data_format='NCHW')", batchnorm_changeable),
    BATCHNORM_ROW("nn.BatchNorm3d", 3, ")", NULL),
    FUNCTION_ROW("ops.conv1d", 1),
    FUNCTION_ROW("ops.conv2d", 2),
    FUNCTION_ROW("ops.conv3d", 3),
    PRIMITIVE_ROW("ops.Conv2D", 2, "NCHW"),
    PRIMITIVE_ROW("ops.Conv3D", 3, "NCDHW"),
    {.name = "ops.Conv2DTranspose",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = 2,
     .transposed = true,
     .signature = "(out_channel, kernel_size, pad_mode='valid', pad=0, mode=1, stride=1, dilation=1, group=1, "
                  "data_format='NCHW', *, input_size)",
     .plan = cbn_mindspore_transposed_primitive},
    BATCHNORM_FUNCTION_ROW("ops.batch_norm", "(training=False, momentum=0.1, eps=1e-05)"),
    BATCHNORM_FUNCTION_ROW("ops.BatchNorm",
                           "(is_training=False, epsilon=1e-05, momentum=0.1, data_format='NCHW')"),
    MINT_CONVOLUTION_ROW("mint.nn.Conv1d", 1),
    MINT_CONVOLUTION_ROW("mint.nn.Conv2d", 2),
    MINT_CONVOLUTION_ROW("mint.nn.Conv3d", 3),
    {.name = "mint.nn.ConvTranspose2d",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = 2,
     .transposed = true,
     .signature = MINT_FIRST "output_padding=0, groups=1, bias=True, dilation=1, padding_mode='zeros')",
     .plan = cbn_mindspore_mint_layer},
    MINT_BATCHNORM_ROW("mint.nn.BatchNorm1d", 1),
    MINT_BATCHNORM_ROW("mint.nn.BatchNorm2d", 2),
    MINT_BATCHNORM_ROW("mint.nn.BatchNorm3d", 3),
    {.name = "mint.nn.functional.conv2d",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = 2,
     .signature = "(stride=1, padding=0, dilation=1, groups=1)",
     .plan = cbn_mindspore_mint_function},
    {.name = "mint.nn.functional.conv_transpose2d",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = 2,
     .transposed = true,
     .signature = "(stride=1, padding=0, output_padding=0, groups=1, dilation=1)",
     .plan = cbn_mindspore_mint_function},
    {.name = "mint.nn.functional.batch_norm",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = 2,
     .signature = "(training=False, momentum=0.1, eps=1e-05)",
     .plan = cbn_mindspore_mint_function},
};

const cbn_dialect cbn_dialect_mindspore = {.name = "mindspore",
                                           .profile = "MindSpore 2.10.0, CPU",
                                           .trains_by_default = false,
                                           .arithmetic = CBN_FLUSHES_SUBNORMALS,
                                           .operators = operators,
                                           .operator_count = sizeof operators / sizeof operators[0]};
