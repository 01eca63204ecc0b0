/* Keras: layers.BatchNormalization. */
#include <inttypes.h>
#include <math.h>

#include "dialects/keras.h"

static const char *const names[] = {"axis",
                                    "momentum",
                                    "epsilon",
                                    "center",
                                    "scale",
                                    "beta_initializer",
                                    "gamma_initializer",
                                    "moving_mean_initializer",
                                    "moving_variance_initializer",
                                    "beta_regularizer",
                                    "gamma_regularizer",
                                    "beta_constraint",
                                    "gamma_constraint",
                                    "renorm",
                                    "renorm_clipping",
                                    "renorm_momentum",
                                    "synchronized",
                                    CBN_KERAS_LAYER_NAMES};

/* A number as Python's float() takes it; of the strings, this dialect takes none. */
static bool read_number(const cbn_value *params, const char *name, double fallback, double *result, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  *result = fallback;
  return value == NULL || cbn_as_number(value, result) ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, value->kind == CBN_STRING ? CBN_VALUE_ERROR : CBN_TYPE_ERROR,
                    "%s must be a number, got %s", name, cbn_printed_value(value).text);
}

/* The same of int(), which cuts a fraction off. */
static bool read_axis(const cbn_value *params, int64_t *axis, cbn_rejection *r) {
  double number;
  if (!read_number(params, "axis", -1, &number, r)) return false;
  if (!isfinite(number))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, isnan(number) ? CBN_VALUE_ERROR : CBN_OVERFLOW_ERROR,
                      "axis must be an int, got %g", number);
  *axis = fabs(number) < INT32_MAX ? (int64_t)number : INT32_MAX;
  return true;
}

static bool check_synchronized(const cbn_keras_layer *layer, cbn_rejection *r) {
  return !layer->jax || !cbn_as_truth(cbn_parameter(layer->params, "synchronized"), false) ||
         cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR,
                    "synchronized goes with the backend tensorflow alone");
}

/* Names first; what they make of a tensor of one axis when it is made. */
static bool read_initializers(const cbn_value *params, bool made, cbn_plan *plan, cbn_rejection *r) {
  const bool weight = made && cbn_as_truth(cbn_parameter(params, "scale"), true);
  const bool bias = made && cbn_as_truth(cbn_parameter(params, "center"), true);
  return cbn_keras_initializer(params, "beta_initializer", "zeros", bias, CBN_ROLE_BIAS, plan, r) &&
         cbn_keras_initializer(params, "gamma_initializer", "ones", weight, CBN_ROLE_WEIGHT, plan, r) &&
         cbn_keras_initializer(params, "moving_mean_initializer", "zeros", made, CBN_ROLE_RUNNING_MEAN, plan, r) &&
         cbn_keras_initializer(params, "moving_variance_initializer", "ones", made, CBN_ROLE_RUNNING_VAR, plan, r);
}

/* Batch renormalization is another operator. */
static bool check_renorm(const cbn_value *params, cbn_rejection *r) {
  static const char *const refused[] = {"beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
                                        NULL};
  return cbn_keras_refuse(params, refused, r) &&
         (!cbn_as_truth(cbn_parameter(params, "renorm"), false) ||
          cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED, "renorm is not known here"));
}

/* An input of f16 or bf16 meets a layer of f32 under the policy mixed_float16 or mixed_bfloat16; others are cast to the
 * layer's type, and the output has it. */
static bool check_types(const cbn_request *request, cbn_rejection *r) {
  const int32_t input = request->input_type, own = request->layer_type;
  return own == input || (own == CBN_F32 && (input == CBN_F16 || input == CBN_BF16)) ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED, "an input of %s is cast to the layer's type, %s",
                    cbn_type_name(input), cbn_type_name(own));
}

/* Any axis may have the channels. The operator's batch is the first of the others; of a single axis there is none. */
static bool read_shape(const cbn_request *request, int64_t axis, cbn_plan *plan, cbn_rejection *r) {
  const cbn_shape *input = &request->input;
  cbn_batchnorm *b = &plan->batchnorm;
  if (axis >= input->rank || axis < -(int64_t)input->rank)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_INDEX_ERROR,
                      "an input of %" PRId32 " axes has none of number %" PRId64, input->rank, axis);
  if (input->rank > CBN_MAX_RANK)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_NOT_IMPLEMENTED, "at most %d axes are known here, got %" PRId32,
                      (int)CBN_MAX_RANK, input->rank);
  const int32_t channels = (int32_t)(axis < 0 ? axis + input->rank : axis);
  *b = cbn_batchnorm_make(input->rank > 1 ? input->rank - 2 : 0);
  b->batch = 1;
  plan->unbatched = input->rank == 1;
  plan->input_order.given = input->rank > 1;
  plan->input_order.place[1] = (uint8_t)channels;
  plan->features = b->channels = input->extent[channels];
  for (int32_t a = 0, rest = 0; a < input->rank; a++) {
    if (a == channels) continue;
    if (rest == 0) b->batch = input->extent[a];
    else b->extent[rest - 1] = input->extent[a];
    plan->input_order.place[rest == 0 ? 0 : rest + 1] = (uint8_t)a;
    rest++;
  }
  plan->output_order = plan->input_order;
  return true;
}

bool cbn_keras_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                         cbn_rejection *r) {
  const cbn_value *params = request->params;
  cbn_keras_layer layer;
  int64_t axis = -1;
  double momentum, epsilon;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_keras_make(params, names, 0, &layer, r) || !read_axis(params, &axis, r) || !check_synchronized(&layer, r) ||
      !read_number(params, "momentum", 0.99, &momentum, r) || !read_number(params, "epsilon", 1e-3, &epsilon, r) ||
      !read_initializers(params, false, plan, r) || !check_renorm(params, r) || !check_types(request, r) ||
      !read_shape(request, axis, plan, r) || !read_initializers(params, true, plan, r))
    return false;
  cbn_batchnorm *b = &plan->batchnorm;
  const bool trains = request->training && layer.trainable;
  const int64_t values = cbn_saturating_multiply(cbn_extent_product(b->spatial_rank, b->extent), b->batch);
  if (trains && values == 0)
    return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_NOT_IMPLEMENTED,
                      "training without a value makes statistics of NaN");
  b->epsilon =
      request->input_type == CBN_F64 ? epsilon : (double)(float)epsilon; /* a constant of what is computed in */
  b->new_weight = 1 - momentum;
  b->statistics = trains ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = trains;
  b->running_variance = CBN_VARIANCE_BIASED;
  b->has_weight = cbn_as_truth(cbn_parameter(params, "scale"), true);
  b->has_bias = cbn_as_truth(cbn_parameter(params, "center"), true);
  return cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}
