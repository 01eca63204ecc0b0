/* TensorFlow: the functions of tf.nn, and the fused batch normalization that Keras calls, too.
 *
 * They keep nothing between calls: filters, scale and statistics are tensors like the input, and their shapes say what
 * elsewhere parameters do. */
#include "dialects/tensorflow.h"

#include <math.h>
#include <string.h>

const cbn_value *cbn_tensorflow_given(const cbn_value *params, const char *name) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || value->kind == CBN_NULL ? NULL : value;
}

bool cbn_tensorflow_channels_last(const cbn_value *params) {
  const cbn_value *format = cbn_tensorflow_given(params, "data_format");
  return format == NULL || format->kind != CBN_STRING || strncmp(format->as.string.text, "NC", 2) != 0;
}

bool cbn_tensorflow_reject_type(const char *name, const cbn_value *value, const char *wanted, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(value).text);
}

bool cbn_tensorflow_text(const cbn_value *params, const char *name, const char **text, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(params, name);
  *text = NULL;
  if (value == NULL) return true;
  if (value->kind != CBN_STRING) return cbn_tensorflow_reject_type(name, value, "a string", r);
  *text = value->as.string.text;
  return true;
}

bool cbn_tensorflow_int(const cbn_value *value, int64_t *result) {
  if (cbn_as_integer(value, true, result)) return true;
  if (value == NULL || value->kind != CBN_REAL || !(fabs(value->as.real) < 0x1p63)) return false;
  *result = (int64_t)value->as.real;
  return true;
}

#define CONVOLUTION(axes, stride, format)                                                                              \
  {                                                                                                                    \
    .name = "nn.conv" #axes "d", .kind = CBN_OPERATOR_CONV, .spatial_rank = axes,                                      \
    .signature = "(" stride ", padding, data_format='" format "', dilations=None, name=None)",                         \
    .plan = cbn_tensorflow_convolution                                                                                 \
  }
#define TRANSPOSED(axes, format)                                                                                       \
  {                                                                                                                    \
    .name = "nn.conv" #axes "d_transpose", .kind = CBN_OPERATOR_CONV, .spatial_rank = axes, .transposed = true,        \
    .signature = "(output_shape, strides, padding='SAME', data_format='" format "', dilations=None, name=None)",       \
    .plan = cbn_tensorflow_convolution                                                                                 \
  }

static const cbn_dialect_operator operators[] = {
    CONVOLUTION(1, "stride", "NWC"),
    CONVOLUTION(2, "strides", "NHWC"),
    CONVOLUTION(3, "strides", "NDHWC"),
    TRANSPOSED(1, "NWC"),
    TRANSPOSED(2, "NHWC"),
    TRANSPOSED(3, "NDHWC"),
    {.name = "compat.v1.nn.fused_batch_norm",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(epsilon=0.001, data_format='NHWC', is_training=True, name=None, exponential_avg_factor=1.0)",
     .plan = cbn_tensorflow_batchnorm},
    {.name = "nn.convolution",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(strides=None, padding='VALID', data_format=None, dilations=None, name=None)",
     .plan = cbn_tensorflow_any_convolution},
    {.name = "nn.depthwise_conv2d",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = 2,
     .signature = "(strides, padding, data_format=None, dilations=None, name=None)",
     .plan = cbn_tensorflow_depthwise},
    {.name = "nn.batch_normalization",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(variance_epsilon, name=None)",
     .plan = cbn_tensorflow_normalization},
};

const cbn_dialect cbn_dialect_tensorflow = {
    .name = "tensorflow",
    .profile = "TensorFlow 2.21.0, CPU, TF_ENABLE_ONEDNN_OPTS=0",
    .trains_by_default = true,
    .arithmetic = CBN_NARROW_SUMS, /* f16 and bf16, in transposed convolutions */
    .operators = operators,
    .operator_count = sizeof operators / sizeof operators[0]};
