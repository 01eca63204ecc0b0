/* TensorFlow: compat.v1.nn.fused_batch_norm, and nn.batch_normalization, which is arithmetic on tensors. */
#include <inttypes.h>
#include <string.h>

#include "dialects/layout.h"
#include "dialects/tensorflow.h"

/* A float attribute, kept in f32; `fallback` where it is left out, or None. */
static bool read_number(const cbn_value *params, const char *name, double fallback, double *result, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(params, name);
  *result = (double)(float)fallback;
  if (value == NULL) return true;
  if (!cbn_as_number(value, result)) return cbn_tensorflow_reject_type(name, value, "a float", r);
  *result = (double)(float)*result;
  return true;
}

/* One axis each, then as many elements as the input has channels. In training, statistics that weigh nothing in an
 * average may have any shape, of which this dialect knows one. */
static bool check_shapes(const cbn_request *request, int64_t channels, bool uses_statistics, cbn_rejection *r) {
  static const struct {
    const char *name;
    int role;
  } tensors[] = {{"scale", CBN_ROLE_WEIGHT},
                 {"offset", CBN_ROLE_BIAS},
                 {"mean", CBN_ROLE_RUNNING_MEAN},
                 {"variance", CBN_ROLE_RUNNING_VAR}};
  for (int i = 0; i < 8; i++) {
    const cbn_shape *tensor = request->layer[tensors[i % 4].role];
    if (tensor == NULL || (i < 4 ? tensor->rank == 1 : tensor->extent[0] == channels)) continue;
    return cbn_reject(
        r, CBN_RULE_STATISTICS_SHAPE, i % 4 < 2 || uses_statistics ? CBN_INVALID_ARGUMENT : CBN_NOT_IMPLEMENTED,
        "%s must have one axis of the input's %" PRId64 " channels, got %" PRId32 " axes, the first of %" PRId64,
        tensors[i % 4].name, channels, tensor->rank, tensor->rank > 0 ? tensor->extent[0] : 1);
  }
  return true;
}

static bool read_format(const char *text, bool *channels_last, cbn_rejection *r) {
  static const char *const formats[] = {"NHWC", "NDHWC", "NCHW", "NCDHW"};
  int found = text == NULL ? 0 : -1;
  for (int i = 0; text != NULL && i < 4; i++)
    if (strcmp(text, formats[i]) == 0) found = i;
  *channels_last = found < 2;
  return found >= 0 || cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_INVALID_ARGUMENT,
                                  "data_format must be NHWC, NCHW, NDHWC or NCDHW, got '%.60s'", text);
}

static bool check_types(const cbn_request *request, cbn_rejection *r) {
  if (request->input_type == CBN_F64)
    return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_INVALID_ARGUMENT, "the input must be f16, bf16 or f32, got f64");
  if (request->layer_type == CBN_F32) return true;
  return cbn_reject(r, CBN_RULE_TENSOR_TYPE, request->layer_type == CBN_BF16 ? "NotFoundError" : CBN_INVALID_ARGUMENT,
                    "scale, offset and statistics must be f32, got %s", cbn_type_name(request->layer_type));
}

/* Whether it trains, and whether old statistics count: those must be given then. Python's truth decides, before the
 * operator asks for a bool and a float. */
static bool read_mode(const cbn_request *request, bool *trains, cbn_rejection *r) {
  const cbn_value *training = cbn_parameter(request->params, "is_training");
  const cbn_value *factor = cbn_parameter(request->params, "exponential_avg_factor");
  double number = 1;
  const bool averages = factor != NULL && (!cbn_as_number(factor, &number) || number != 1);
  const bool has_both = request->layer[CBN_ROLE_RUNNING_MEAN] != NULL && request->layer[CBN_ROLE_RUNNING_VAR] != NULL;
  if (!has_both && (averages || !cbn_as_truth(training, true)))
    return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_VALUE_ERROR,
                      "mean and variance must be given where is_training is not True or exponential_avg_factor not 1");
  *trains = training == NULL || training->kind != CBN_BOOLEAN || training->as.boolean;
  return true;
}

/* A bool and nothing else; None is the operator's own default, True. */
static bool check_training(const cbn_value *params, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(params, "is_training");
  return value == NULL || value->kind == CBN_BOOLEAN || cbn_tensorflow_reject_type("is_training", value, "a bool", r);
}

/* The running variance is unbiased; one value a channel has the variance 0. Without a value both statistics become
 * NaN, in evaluation too, which is no running average. */
static bool set_variance(cbn_batchnorm *b, cbn_rejection *r) {
  int64_t values = b->batch;
  for (int32_t a = 0; a < b->spatial_rank; a++) values = cbn_saturating_multiply(values, b->extent[a]);
  b->running_variance = values == 1 ? CBN_VARIANCE_BIASED : CBN_VARIANCE_UNBIASED;
  return values > 0 || cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_NOT_IMPLEMENTED, "the input has no value");
}

static void describe(const cbn_shape *input, bool channels_last, cbn_plan *plan) {
  const int32_t axes = input->rank - 2;
  cbn_batchnorm *b = &plan->batchnorm;
  if (channels_last) cbn_plan_channels_last(plan, axes);
  *b = cbn_batchnorm_make(axes);
  b->batch = input->extent[0];
  b->channels = plan->features = input->extent[channels_last ? axes + 1 : 1];
  memcpy(b->extent, input->extent + (channels_last ? 1 : 2), (size_t)axes * sizeof b->extent[0]);
}

bool cbn_tensorflow_batchnorm(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                              cbn_rejection *r) {
  static const char *const names[] = {"epsilon", "data_format", "is_training", "name", "exponential_avg_factor", NULL};
  const cbn_shape *input = &request->input;
  const bool by_default = cbn_parameter(request->params, "epsilon") == NULL;
  const char *format;
  bool trains = true, channels_last = true;
  double factor, epsilon;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_check_names(request->params, names, 0, r)) return false;
  if (request->layer[CBN_ROLE_WEIGHT] == NULL || request->layer[CBN_ROLE_BIAS] == NULL)
    return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "%s needs scale and offset", operator->name);
  /* None is the default of the operator that stands behind the function: another one */
  if (!read_mode(request, &trains, r) ||
      !read_number(request->params, "epsilon", by_default ? 1e-3 : 1e-4, &epsilon, r) ||
      !read_number(request->params, "exponential_avg_factor", 1, &factor, r) ||
      !cbn_tensorflow_text(request->params, "data_format", &format, r) || !check_training(request->params, r) ||
      !read_format(format, &channels_last, r) || !check_types(request, r))
    return false;
  if (input->rank != 4 && input->rank != 5)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_INVALID_ARGUMENT, "the input must have 4 or 5 axes, got %" PRId32,
                      input->rank);
  describe(input, channels_last, plan);
  cbn_batchnorm *b = &plan->batchnorm;
  if (!check_shapes(request, b->channels, !trains || factor != 1, r)) return false;
  b->statistics = trains ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = trains;
  b->epsilon = epsilon;
  b->new_weight = factor;
  plan->has_initial[CBN_ROLE_RUNNING_MEAN] = plan->has_initial[CBN_ROLE_RUNNING_VAR] = true;
  return set_variance(b, r) && cbn_forward_violation(plan, CBN_INVALID_ARGUMENT, r);
}

/* ------------------------------------------------------------------------------------------- nn.batch_normalization */

/* An extent of the shape, counted from the last axis; 1 before the first. */
static int64_t extent_from_behind(const cbn_shape *shape, int32_t axis) {
  return axis < shape->rank ? shape->extent[shape->rank - 1 - axis] : 1;
}

/* The shape of a sum or product, which becomes that of `total`. */
static bool broadcast(cbn_shape *total, const cbn_shape *other, cbn_rejection *r) {
  cbn_shape result = {.rank = total->rank > other->rank ? total->rank : other->rank};
  for (int32_t axis = 0; axis < result.rank; axis++) {
    const int64_t a = extent_from_behind(total, axis), b = extent_from_behind(other, axis);
    if (a != b && a != 1 && b != 1)
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, CBN_INVALID_ARGUMENT,
                        "extents of %" PRId64 " and %" PRId64 " do not go together", a, b);
    result.extent[result.rank - 1 - axis] = a == 1 ? b : a;
  }
  *total = result;
  return true;
}

/* It is added to the variance, in the variance's type. */
static bool read_variance_epsilon(const cbn_request *request, double *epsilon, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(request->params, "variance_epsilon");
  if (!cbn_as_number(value, epsilon))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE,
                      value->kind == CBN_STRING ? CBN_INVALID_ARGUMENT
                      : value->kind == CBN_LIST ? CBN_NOT_IMPLEMENTED
                                                : CBN_VALUE_ERROR,
                      "variance_epsilon must be a number, got %s", cbn_printed_value(value).text);
  *epsilon = cbn_type_round(request->layer_type, *epsilon);
  return true;
}

static bool check_given(const cbn_shape *tensor, const char *name, const char *exception, cbn_rejection *r) {
  return tensor != NULL || cbn_reject(r, CBN_RULE_MISSING_PARAMETER, exception, "%s must not be None", name);
}

/* scale / sqrt(variance + epsilon), times the input; offset - mean * that, or -mean * that; the sum of both. */
static bool check_broadcasts(const cbn_request *request, cbn_rejection *r) {
  const cbn_shape *mean = request->layer[CBN_ROLE_RUNNING_MEAN], *offset = request->layer[CBN_ROLE_BIAS];
  const cbn_shape *scale = request->layer[CBN_ROLE_WEIGHT];
  cbn_shape inverse = *request->layer[CBN_ROLE_RUNNING_VAR], product = request->input;
  if ((scale != NULL && !broadcast(&inverse, scale, r)) || !broadcast(&product, &inverse, r) ||
      !check_given(mean, "mean", offset != NULL ? CBN_VALUE_ERROR : CBN_TYPE_ERROR, r))
    return false;
  cbn_shape shift = *mean;
  return broadcast(&shift, &inverse, r) && (offset == NULL || broadcast(&shift, offset, r)) &&
         broadcast(&product, &shift, r);
}

/* What TensorFlow computes and this dialect has no words for: tensors of other shapes than (channels), in a type that
 * is neither the input's nor f32 beside a narrower one. */
static bool check_known(const cbn_request *request, int64_t channels, cbn_rejection *r) {
  static const int roles[] = {CBN_ROLE_RUNNING_VAR, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS};
  const bool narrow = request->input_type == CBN_F16 || request->input_type == CBN_BF16;
  for (int i = 0; i < 4; i++) {
    const cbn_shape *tensor = request->layer[roles[i]];
    if (tensor != NULL && (tensor->rank != 1 || tensor->extent[0] != channels))
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, CBN_NOT_IMPLEMENTED,
                        "tensors of one axis of %" PRId64 " channels are known here", channels);
  }
  return request->layer_type == request->input_type || (narrow && request->layer_type == CBN_F32) ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED, "statistics of %s beside an input of %s",
                    cbn_type_name(request->layer_type), cbn_type_name(request->input_type));
}

bool cbn_tensorflow_normalization(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                  cbn_rejection *r) {
  static const char *const names[] = {"variance_epsilon", "name", NULL};
  const cbn_shape *input = &request->input;
  double epsilon;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_check_names(request->params, names, 1, r) ||
      !check_given(request->layer[CBN_ROLE_RUNNING_VAR], "variance", CBN_TYPE_ERROR, r) ||
      !read_variance_epsilon(request, &epsilon, r) || !check_broadcasts(request, r))
    return false;
  if (input->rank < 2 || input->rank > CBN_MAX_SPATIAL + 2)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_NOT_IMPLEMENTED, "2 to 5 axes are known here, got %" PRId32,
                      input->rank);
  const int32_t axes = input->rank - 2;
  if (!check_known(request, input->extent[axes + 1], r)) return false;
  describe(input, true, plan);
  plan->batchnorm.statistics = CBN_STATISTICS_RUNNING;
  plan->batchnorm.has_weight = request->layer[CBN_ROLE_WEIGHT] != NULL;
  plan->batchnorm.has_bias = request->layer[CBN_ROLE_BIAS] != NULL;
  plan->batchnorm.epsilon = epsilon;
  return cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}
