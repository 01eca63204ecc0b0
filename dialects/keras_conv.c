/* Keras: layers.Conv1D, 2D, 3D, layers.Conv1DTranspose, 2D, 3D, layers.DepthwiseConv1D and 2D. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "dialects/keras.h"
#include "dialects/layout.h"

static const char *const convolution_names[] = {
    "filters",          "kernel_size",        "strides",          "padding",
    "data_format",      "dilation_rate",      "groups",           "activation",
    "use_bias",         "kernel_initializer", "bias_initializer", "kernel_regularizer",
    "bias_regularizer", "kernel_constraint",  "bias_constraint",  "lora_rank",
    "lora_alpha",       CBN_KERAS_LAYER_NAMES};
static const char *const transposed_names[] = {
    "filters",          "kernel_size",        "strides",          "padding",
    "output_padding",   "data_format",        "dilation_rate",    "activation",
    "use_bias",         "kernel_initializer", "bias_initializer", "kernel_regularizer",
    "bias_regularizer", "kernel_constraint",  "bias_constraint",  CBN_KERAS_LAYER_NAMES};
static const char *const depthwise_names[] = {"kernel_size",
                                              "strides",
                                              "padding",
                                              "depth_multiplier",
                                              "data_format",
                                              "dilation_rate",
                                              "activation",
                                              "use_bias",
                                              "depthwise_initializer",
                                              "bias_initializer",
                                              "depthwise_regularizer",
                                              "bias_regularizer",
                                              "depthwise_constraint",
                                              "bias_constraint",
                                              CBN_KERAS_LAYER_NAMES};

enum padding { VALID, SAME, CAUSAL, LISTED };

/* A number of channels or groups: what is no int becomes no shape. */
typedef struct size {
  double number;
  int64_t count; /* where it is an int */
  bool is_int, is_none;
} size;

/* A layer and the input of its call. */
typedef struct call {
  cbn_keras_layer layer;
  const cbn_shape *input;
  int32_t axes;
  bool transposed, depthwise, channels_last;
  enum padding padding;
  bool kernel_is_int, has_output_padding;
  int64_t kernel[CBN_MAX_SPATIAL], strides[CBN_MAX_SPATIAL], dilation[CBN_MAX_SPATIAL], output_padding[CBN_MAX_SPATIAL];
  size filters, groups; /* depthwise: filters is depth_multiplier */
} call;

/* ---------------------------------------------------------------------------------------------- the constructor */

static bool reject_tuple(const cbn_value *value, const char *name, const call *c, enum cbn_rule rule,
                         const char *exception, cbn_rejection *r) {
  return cbn_reject(r, rule, exception, "%s must be %d integers, got %s", name, (int)c->axes,
                    cbn_printed_value(value).text);
}

/* Python's int() takes a string of digits; nothing compares it with a number then. */
static bool is_digits(const char *text) {
  const size_t length = strspn(text, "0123456789");
  return length > 0 && text[length] == '\0';
}

/* A string is a sequence of its letters. */
static bool check_letters(const cbn_value *value, const char *name, const call *c, cbn_rejection *r) {
  const bool fits = value->as.string.length == (size_t)c->axes;
  return reject_tuple(value, name, c, fits ? CBN_RULE_PARAMETER_TYPE : CBN_RULE_PARAMETER_LENGTH,
                      fits && is_digits(value->as.string.text) ? CBN_TYPE_ERROR : CBN_VALUE_ERROR, r);
}

/* What int() makes of each entry is thrown away, only that it makes something counts. */
static bool check_entries(const cbn_value *value, const cbn_entries *entries, const char *name, const call *c,
                          cbn_rejection *r) {
  const char *exception = NULL;
  if (entries->count != c->axes) return reject_tuple(value, name, c, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR, r);
  for (int i = 0; i < entries->count; i++) {
    const cbn_value *entry = entries->entry[i];
    double number;
    if (entry->kind == CBN_STRING && is_digits(entry->as.string.text)) exception = CBN_TYPE_ERROR;
    else if (!cbn_as_number(entry, &number) || isnan(number)) exception = CBN_VALUE_ERROR;
    else if (isinf(number)) exception = CBN_OVERFLOW_ERROR;
    if (exception != NULL && exception[0] != 'T') break; /* the comparison comes behind the last entry */
  }
  return exception == NULL || reject_tuple(value, name, c, CBN_RULE_PARAMETER_TYPE, exception, r);
}

/* An int, or one for each axis, from `least` on. `all_ints` tells of floats, and of bools in a sequence: where it is
 * NULL, this dialect does not take them. */
static bool read_tuple(const call *c, const char *name, enum cbn_rule rule, int64_t least, int64_t result[],
                       bool *all_ints, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->layer.params, name);
  const cbn_entries entries = cbn_as_entries(value);
  bool ints = true;
  for (int32_t a = 0; a < c->axes; a++) result[a] = 1;
  if (value == NULL) return true;
  if (value->kind == CBN_STRING) return check_letters(value, name, c, r);
  if (!entries.sequence) {
    if (!cbn_as_integer(value, true, &result[0]))
      return reject_tuple(value, name, c, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, r);
    for (int32_t a = 1; a < c->axes; a++) result[a] = result[0];
  } else if (!check_entries(value, &entries, name, c, r)) {
    return false;
  }
  for (int32_t a = 0; a < c->axes; a++) {
    double number = (double)result[a];
    if (entries.sequence && cbn_as_number(entries.entry[a], &number))
      ints = cbn_as_integer(entries.entry[a], all_ints != NULL, &result[a]) && ints;
    if (number < (double)least && (number <= 0 || least == 0))
      return reject_tuple(value, name, c, rule, CBN_VALUE_ERROR, r);
  }
  if (all_ints != NULL) *all_ints = ints;
  return ints || all_ints != NULL || reject_tuple(value, name, c, CBN_RULE_PARAMETER_TYPE, CBN_NOT_IMPLEMENTED, r);
}

static bool read_padding(call *c, cbn_rejection *r) {
  static const char *const paddings[] = {"valid", "same", "causal"};
  const cbn_value *value = cbn_parameter(c->layer.params, "padding");
  const bool causal = c->axes == 1 && !c->transposed && !c->depthwise;
  c->padding = VALID;
  if (value == NULL) return true;
  if (value->kind == CBN_LIST) {
    c->padding = LISTED;
    return true;
  }
  if (value->kind != CBN_STRING)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_ATTRIBUTE_ERROR, "padding must be a string, got %s",
                      cbn_printed_value(value).text);
  for (int i = 0; i < (causal ? 3 : 2); i++)
    if (strcasecmp(value->as.string.text, paddings[i]) == 0) {
      c->padding = (enum padding)i;
      return true;
    }
  return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_VALUE_ERROR, "padding must be %s, got %s",
                    causal ? "valid, same or causal" : "valid or same", cbn_printed_value(value).text);
}

static bool read_format(call *c, cbn_rejection *r) {
  const cbn_value *value = cbn_keras_given(c->layer.params, "data_format");
  const char *text = value == NULL ? "channels_last" : value->kind == CBN_STRING ? value->as.string.text : "";
  c->channels_last = strcasecmp(text, "channels_last") == 0;
  return c->channels_last || strcasecmp(text, "channels_first") == 0 ||
         cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR,
                    "data_format must be channels_last or channels_first, got %s", cbn_printed_value(value).text);
}

/* A number of channels or groups, which are `fallback` where it is left out. */
static bool read_size(const call *c, const char *name, bool none_goes, int64_t fallback, enum cbn_rule rule, size *s,
                      cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->layer.params, name);
  *s = (size){.number = (double)fallback, .count = fallback, .is_int = true};
  if (value == NULL) return true;
  s->is_int = cbn_as_integer(value, true, &s->count);
  if (none_goes && value->kind == CBN_NULL) { /* refused where a shape is made of it */
    s->is_none = true;
    return true;
  }
  if (!cbn_as_number(value, &s->number))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "%s must be an int, got %s", name,
                      cbn_printed_value(value).text);
  return !(s->number <= 0) ||
         cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be > 0, got %s", name, cbn_printed_value(value).text);
}

static bool uses_bias(const call *c) { return cbn_as_truth(cbn_parameter(c->layer.params, "use_bias"), true); }

/* Names first; what they make of a tensor of so many axes when it is made. */
static bool read_initializers(const call *c, bool made, cbn_plan *plan, cbn_rejection *r) {
  return cbn_keras_initializer(c->layer.params, c->depthwise ? "depthwise_initializer" : "kernel_initializer",
                               "glorot_uniform", made ? (int)c->axes + 2 : 0, CBN_ROLE_WEIGHT, plan, r) &&
         cbn_keras_initializer(c->layer.params, "bias_initializer", "zeros", made && uses_bias(c), CBN_ROLE_BIAS, plan,
                               r);
}

static bool read_sizes(call *c, cbn_rejection *r) {
  if (c->depthwise) return read_size(c, "depth_multiplier", true, 1, CBN_RULE_OUT_CHANNELS_POSITIVE, &c->filters, r);
  if (!read_size(c, "filters", true, 1, CBN_RULE_OUT_CHANNELS_POSITIVE, &c->filters, r)) return false;
  if (c->transposed) return true;
  if (!read_size(c, "groups", false, 1, CBN_RULE_GROUPS_POSITIVE, &c->groups, r)) return false;
  return c->filters.is_none || fmod(c->filters.number, c->groups.number) == 0 ||
         cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, CBN_VALUE_ERROR,
                    "%g filters cannot be divided by %g groups", c->filters.number, c->groups.number);
}

static bool any_above_one(const call *c, const int64_t *entry) {
  for (int32_t a = 0; a < c->axes; a++)
    if (entry[a] > 1) return true;
  return false;
}

static bool check_together(const call *c, cbn_rejection *r) {
  for (int32_t a = 0; a < c->axes && c->has_output_padding; a++)
    if (c->output_padding[a] >= c->strides[a])
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_VALUE_ERROR,
                        "output_padding must be less than strides, got %" PRId64 " and %" PRId64, c->output_padding[a],
                        c->strides[a]);
  return c->depthwise || !any_above_one(c, c->strides) || !any_above_one(c, c->dilation) ||
         cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR, "strides > 1 do not go with dilation_rate > 1");
}

static bool construct(call *c, cbn_plan *plan, cbn_rejection *r) {
  static const char *const refused[] = {
      "kernel_regularizer",    "bias_regularizer",     "kernel_constraint", "bias_constraint",
      "depthwise_regularizer", "depthwise_constraint", "lora_rank",         NULL};
  static const char *const activation[] = {"activation", NULL};
  const cbn_value *params = c->layer.params;
  c->has_output_padding = c->transposed && cbn_keras_given(params, "output_padding") != NULL;
  return read_tuple(c, "kernel_size", CBN_RULE_KERNEL_POSITIVE, 1, c->kernel, &c->kernel_is_int, r) &&
         read_tuple(c, "strides", CBN_RULE_STRIDE_POSITIVE, 1, c->strides, NULL, r) &&
         read_tuple(c, "dilation_rate", CBN_RULE_DILATION_POSITIVE, 1, c->dilation, NULL, r) && read_padding(c, r) &&
         (!c->has_output_padding ||
          read_tuple(c, "output_padding", CBN_RULE_OUTPUT_PADDING_RANGE, 0, c->output_padding, NULL, r)) &&
         read_format(c, r) && cbn_keras_refuse(params, activation, r) && read_initializers(c, false, plan, r) &&
         cbn_keras_refuse(params, refused, r) && read_sizes(c, r) && check_together(c, r);
}

/* -------------------------------------------------------------------------------- the first call makes the weights */

static int64_t extent_of(const call *c, int32_t a) { return c->input->extent[(c->channels_last ? 1 : 2) + a]; }
static int64_t channels_of(const call *c) { return c->input->extent[c->channels_last ? c->input->rank - 1 : 1]; }
static int64_t kernel_of(const call *c, int32_t a) { return cbn_dilated_kernel(c->kernel[a], c->dilation[a]); }

static bool check_least_rank(const call *c, cbn_rejection *r) {
  return c->input->rank >= c->axes + 2 ||
         cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have %d axes, got %" PRId32,
                    (int)c->axes + 2, c->input->rank);
}

/* The extents that would come out, of all but transposed layers. */
static bool check_output(const call *c, cbn_rejection *r) {
  if (c->input->rank != c->axes + 2)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have %d axes, got %" PRId32,
                      (int)c->axes + 2, c->input->rank);
  for (int32_t a = 0; a < c->axes && c->padding == VALID; a++)
    if (extent_of(c, a) < kernel_of(c, a))
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_VALUE_ERROR,
                        "a dilated kernel of %" PRId64 " exceeds an input of %" PRId64, kernel_of(c, a),
                        extent_of(c, a));
  return c->padding != LISTED ||
         cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_VALUE_ERROR, "padding must be a name, got a list");
}

static bool check_weights(const call *c, cbn_rejection *r) {
  return (c->kernel_is_int && c->filters.is_int && c->groups.is_int) ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "kernel_size, %s and groups must be ints",
                    c->depthwise ? "depth_multiplier" : "filters");
}

static bool build(const call *c, cbn_plan *plan, cbn_rejection *r) {
  if (!check_least_rank(c, r)) return false;
  const double channels = (double)channels_of(c);
  if (!c->transposed && !c->depthwise && fmod(channels, c->groups.number) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, CBN_VALUE_ERROR,
                      "%g channels of the input cannot be divided by %g groups", channels, c->groups.number);
  if (c->depthwise && c->filters.is_none)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "depth_multiplier must be an int, got None");
  return (c->transposed || check_output(c, r)) && check_weights(c, r) && read_initializers(c, true, plan, r);
}

/* ---------------------------------------------------------------------------------------------- the backend computes */

static bool reject_format(const char *exception, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, exception, "channels come last on TensorFlow's CPU");
}

static bool reject_channels(const char *exception, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, exception, "the input has no channels");
}

/* TensorFlow's kernels have 32 bits for them. */
static bool check_range(const call *c, const char *name, const int64_t *entry, const char *exception,
                        cbn_rejection *r) {
  for (int32_t a = 0; a < c->axes; a++)
    if (entry[a] > INT32_MAX)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, exception, "%s has %" PRId64 ", out of range for an int32", name,
                        entry[a]);
  return true;
}

static bool is_empty(const call *c) {
  bool empty = c->input->extent[0] == 0;
  for (int32_t a = 0; a < c->axes; a++) empty = empty || extent_of(c, a) == 0;
  return empty;
}

/* With groups, and with channels first in three axes, the function is compiled, and has other limits. */
static bool is_compiled(const call *c) {
  const bool grouped = c->groups.count > 1 && channels_of(c) > 0;
  return grouped || (c->axes == 3 && !c->channels_last);
}

static bool check_tensorflow(const call *c, cbn_rejection *r) {
  const bool dilated = any_above_one(c, c->dilation);
  if (is_compiled(c)) return true;
  if (!check_range(c, "strides", c->strides, CBN_INVALID_ARGUMENT, r)) return false;
  if (channels_of(c) == 0) return reject_channels(dilated ? CBN_ZERO_DIVISION_ERROR : CBN_INVALID_ARGUMENT, r);
  return check_range(c, "dilation_rate", c->dilation, CBN_OVERFLOW_ERROR, r) &&
         (c->channels_last || is_empty(c) || reject_format(CBN_UNIMPLEMENTED, r));
}

static bool check_forward(const call *c, cbn_rejection *r) {
  if (!c->layer.jax ? !check_tensorflow(c, r) : channels_of(c) == 0)
    return c->layer.jax ? reject_channels(CBN_ZERO_DIVISION_ERROR, r) : false;
  return c->padding != CAUSAL || extent_of(c, 0) > 0 || kernel_of(c, 0) == 1 || c->input->extent[0] == 0 ||
         cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_VALUE_ERROR, "nothing comes out of an input of extent 0");
}

/* TensorFlow refuses different strides, but where it makes them itself, of the result with stride 1: with a dilation. */
static bool check_depthwise(const call *c, cbn_rejection *r) {
  const bool decomposed = any_above_one(c, c->strides) && any_above_one(c, c->dilation);
  if (channels_of(c) == 0) return reject_channels(c->layer.jax ? CBN_VALUE_ERROR : CBN_NOT_IMPLEMENTED, r);
  if (c->layer.jax) return true;
  if (!check_range(c, "strides", c->strides, CBN_INVALID_ARGUMENT, r) ||
      !check_range(c, "dilation_rate", c->dilation, CBN_NOT_IMPLEMENTED, r))
    return false;
  for (int32_t a = 0; a < c->axes; a++) {
    if (c->strides[a] != c->strides[0] && !decomposed)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                        "strides must be equal, got %" PRId64 " and %" PRId64, c->strides[0], c->strides[a]);
    if (extent_of(c, a) == 0 && decomposed && kernel_of(c, a) > 1)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_INVALID_ARGUMENT, "the input's extent is 0");
  }
  return true;
}

/* What the kernel of TensorFlow checks: it is the gradient of a convolution, which must make the input's extent. */
static bool check_transposed_kernel(const call *c, cbn_rejection *r) {
  if (!c->channels_last) return reject_format(CBN_INVALID_ARGUMENT, r);
  if (any_above_one(c, c->dilation))
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                      "a transposed convolution has no dilation on TensorFlow's CPU");
  if (!check_range(c, "strides", c->strides, CBN_INVALID_ARGUMENT, r)) return false;
  for (int32_t a = 0; a < c->axes; a++)
    if (c->padding == SAME && c->has_output_padding && c->output_padding[a] + kernel_of(c, a) % 2 == 0)
      return cbn_reject(r, CBN_RULE_OUTPUT_SHAPE, CBN_INVALID_ARGUMENT,
                        "same with an output_padding of 0 and an even kernel, %" PRId64, c->kernel[a]);
  return true;
}

static bool check_transposed(const call *c, cbn_rejection *r) {
  if (c->padding == LISTED)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_ATTRIBUTE_ERROR, "padding must be a string, got a list");
  if (c->input->rank != c->axes + 2)
    return cbn_reject(r, CBN_RULE_INPUT_RANK,
                      c->input->rank > CBN_MAX_RANK && !c->layer.jax ? CBN_VALUE_ERROR : CBN_INDEX_ERROR,
                      "the input must have %d axes, got %" PRId32, (int)c->axes + 2, c->input->rank);
  if (!c->layer.jax && !check_transposed_kernel(c, r)) return false;
  for (int32_t a = 0; a < c->axes; a++)
    if (extent_of(c, a) == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_NOT_IMPLEMENTED, "the input's extent is 0");
  return true;
}

/* Layers cast their input to their own type. */
static bool check_types(const cbn_request *request, cbn_rejection *r) {
  return request->input_type == request->layer_type ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED, "an input of %s is cast to the layer's type, %s",
                    cbn_type_name(request->input_type), cbn_type_name(request->layer_type));
}

/* ------------------------------------------------------------------------------------------------------ the operator */

/* same: max(0, (ceil(input / stride) - 1) * stride + dilated kernel - input), the odd element behind. */
static void pad(const call *c, cbn_conv *v, int32_t a) {
  const int64_t extent = v->input[a], stride = v->stride[a], kernel = kernel_of(c, a);
  if (c->padding == CAUSAL) v->pad_begin[a] = kernel - 1;
  if (c->padding != SAME) return;
  const int64_t output = extent / stride + (extent % stride != 0);
  const int64_t total = cbn_saturating_add(cbn_saturating_multiply(output - 1, stride), kernel - extent);
  v->pad_begin[a] = total > 0 ? total / 2 : 0;
  v->pad_end[a] = total > 0 ? total - total / 2 : 0;
}

/* How much shorter than input, stride and kernel say the output is; half of it at the begin. Longer where it is negative. */
static void crop(const call *c, cbn_conv *v, int32_t a) {
  const int64_t kernel = kernel_of(c, a), stride = v->stride[a], longer = stride > kernel ? stride - kernel : 0;
  int64_t total = c->has_output_padding ? -c->output_padding[a] : -longer;
  if (c->padding == SAME && c->has_output_padding) total += kernel - kernel % 2;
  else if (c->padding == SAME) total = kernel - stride;
  v->pad_begin[a] = total > 0 ? total / 2 : 0;
  v->pad_end[a] = total > 0 ? total - total / 2 : 0;
  v->output_padding[a] = total < 0 ? -total : 0;
}

static void describe(const call *c, cbn_plan *plan) {
  cbn_conv *v = &plan->conv;
  *v = cbn_conv_make(c->axes);
  if (c->channels_last) cbn_plan_channels_last(plan, c->axes);
  if (c->depthwise) cbn_plan_depthwise(plan, c->axes);
  else cbn_plan_kernel_first(plan, c->axes);
  v->transposed = c->transposed;
  v->batch = c->input->extent[0];
  v->in_channels = channels_of(c);
  v->groups = c->depthwise ? v->in_channels : c->groups.count;
  v->out_channels = c->depthwise ? cbn_saturating_multiply(v->in_channels, c->filters.count) : c->filters.count;
  v->has_bias = uses_bias(c);
  for (int32_t a = 0; a < c->axes; a++) {
    v->input[a] = extent_of(c, a);
    v->kernel[a] = c->kernel[a];
    v->stride[a] = c->strides[a];
    v->dilation[a] = c->dilation[a];
    if (c->transposed) crop(c, v, a);
    else pad(c, v, a);
  }
}

bool cbn_keras_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                           cbn_rejection *r) {
  call c = {.input = &request->input,
            .axes = operator->spatial_rank,
            .transposed = operator->transposed,
            .depthwise = strncmp(operator->name, "layers.Depthwise", 16) == 0,
            .kernel_is_int = true,
            .groups = {.number = 1, .count = 1, .is_int = true}};
  const char *const *names = c.transposed ? transposed_names : c.depthwise ? depthwise_names : convolution_names;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!cbn_keras_make(request->params, names, c.depthwise ? 1 : 2, &c.layer, r) || !construct(&c, plan, r) ||
      !build(&c, plan, r) ||
      !(c.transposed  ? check_transposed(&c, r)
        : c.depthwise ? check_depthwise(&c, r)
                      : check_forward(&c, r)) ||
      !check_types(request, r))
    return false;
  describe(&c, plan);
  return cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}
