/* Flax: linen.BatchNorm. */
#include <inttypes.h>

#include "dialects/flax.h"

/* The one axis of the channels; Python lists may have one, or several. */
static bool read_axis(const cbn_value *value, int32_t rank, int32_t *axis, cbn_rejection *r) {
  const cbn_entries entries = cbn_as_entries(value);
  int64_t number = -1;
  if (value != NULL && (entries.count < 1 || !cbn_as_integer(entries.entry[0], true, &number)))
    return entries.sequence && entries.count == 0 ? cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED,
                                                               "no axis of channels is not implemented here")
                                                  : cbn_jax_reject_type("axis", value, "an int", r);
  if (entries.count > 1)
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED,
                      "several axes of channels are not implemented "
                      "here");
  const int64_t counted = number < 0 ? number + rank : number;
  if (counted >= rank || counted < -rank)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_INDEX_ERROR, "the input of %" PRId32 " axes has no axis %" PRId64,
                      rank, number);
  *axis = (int32_t)counted;
  return counted >= 0 || cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED,
                                    "an axis counted twice from the end is not implemented here");
}

static bool check_shapes(const cbn_request *request, const cbn_batchnorm *b, cbn_rejection *r) {
  static const struct {
    const char *name;
    int role;
  } tensors[] = {{"mean", CBN_ROLE_RUNNING_MEAN},
                 {"var", CBN_ROLE_RUNNING_VAR},
                 {"scale", CBN_ROLE_WEIGHT},
                 {"bias", CBN_ROLE_BIAS}};
  for (int i = 0; i < 4; i++) {
    const cbn_shape *shape = request->layer[tensors[i].role];
    if (shape == NULL || (i == 2 && !b->has_weight) || (i == 3 && !b->has_bias)) continue;
    if (shape->rank != 1 || shape->extent[0] != b->channels)
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, i < 2 ? CBN_NOT_IMPLEMENTED : CBN_PARAMETER_SHAPE_ERROR,
                        "%s must have one axis of the input's %" PRId64 " channels", tensors[i].name, b->channels);
  }
  return true;
}

static bool read_number(const cbn_value *params, const char *name, double fallback, double *result, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  *result = fallback;
  return value == NULL || cbn_as_number(value, result) || cbn_jax_reject_type(name, value, "a number", r);
}

/* Where the channels stand, what comes before and behind them is batch and space: which is which changes nothing. */
static void describe(const cbn_shape *input, int32_t axis, cbn_plan *plan) {
  cbn_batchnorm *b = &plan->batchnorm;
  const int32_t batch = axis == 0 ? 1 : 0;
  int place = 2;
  plan->unbatched = input->rank == 1;
  *b = cbn_batchnorm_make(plan->unbatched ? 0 : input->rank - 2);
  b->batch = plan->unbatched ? 1 : input->extent[batch];
  b->channels = plan->features = input->extent[axis];
  plan->input_order.place[0] = (uint8_t)(plan->unbatched ? 0 : batch);
  plan->input_order.place[1] = (uint8_t)(plan->unbatched ? 1 : axis);
  for (int32_t a = 0; a < input->rank && !plan->unbatched; a++) {
    if (a == axis || a == batch) continue;
    b->extent[place - 2] = input->extent[a];
    plan->input_order.place[place++] = (uint8_t)a;
  }
  plan->input_order.given = plan->input_order.place[1] != 1 || plan->input_order.place[0] != 0;
  plan->output_order = plan->input_order;
}

/* What changes nothing here, or is another operator. */
static bool check_extras(const cbn_request *request, cbn_rejection *r) {
  static const char *const absent[] = {"axis_name", "axis_index_groups"};
  for (int i = 0; i < 2; i++)
    if (cbn_jax_given(request->params, absent[i]) != NULL)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED,
                        "%s is not implemented here: statistics of one "
                        "device alone",
                        absent[i]);
  if (request->input_type == CBN_F32 || request->input_type == CBN_F64 ||
      cbn_as_truth(cbn_parameter(request->params, "force_float32_reductions"), true))
    return true;
  return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED, "statistics in %s are not implemented here",
                    cbn_type_name(request->input_type));
}

/* Statistics are in f32 at least, whatever the input is. */
static bool check_types(const cbn_request *request, cbn_rejection *r) {
  if (!cbn_flax_check_parameters(request, r) || !cbn_flax_check_result(request, r)) return false;
  const bool narrow = request->input_type == CBN_F16 || request->input_type == CBN_BF16;
  return request->layer_type == (narrow ? CBN_F32 : request->input_type) ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED,
                    "a layer of %s and an input of %s are not implemented here", cbn_type_name(request->layer_type),
                    cbn_type_name(request->input_type));
}

bool cbn_flax_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                        cbn_rejection *r) {
  static const char *const names[] = {"use_running_average",
                                      "axis",
                                      "momentum",
                                      "epsilon",
                                      "dtype",
                                      "param_dtype",
                                      "use_bias",
                                      "use_scale",
                                      "axis_name",
                                      "axis_index_groups",
                                      "use_fast_variance",
                                      "force_float32_reductions",
                                      NULL};
  const cbn_value *params = request->params, *running = cbn_jax_given(params, "use_running_average");
  cbn_batchnorm *b = &plan->batchnorm;
  double momentum;
  int32_t axis = 0;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_check_names(params, names, 0, r)) return false;
  if (running == NULL)
    return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_VALUE_ERROR, "use_running_average must be given");
  if (!read_axis(cbn_parameter(params, "axis"), request->input.rank, &axis, r)) return false;
  if (request->input.rank > CBN_MAX_RANK)
    return cbn_reject(r, CBN_RULE_SPATIAL_RANK, CBN_NOT_IMPLEMENTED, "the input must have at most 5 axes here");
  describe(&request->input, axis, plan);
  b->has_weight = cbn_as_truth(cbn_parameter(params, "use_scale"), true);
  b->has_bias = cbn_as_truth(cbn_parameter(params, "use_bias"), true);
  const bool trains = !cbn_as_truth(running, false);
  if (!check_extras(request, r) || !check_types(request, r)) return false;
  if (trains && !read_number(params, "momentum", 0.99, &momentum, r)) return false;
  if (!read_number(params, "epsilon", 1e-5, &b->epsilon, r) || !check_shapes(request, b, r)) return false;
  b->statistics = trains ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = trains;
  b->running_variance = CBN_VARIANCE_BIASED;
  b->new_weight = trains ? 1 - momentum : 0;
  plan->has_initial[CBN_ROLE_WEIGHT] = plan->has_initial[CBN_ROLE_BIAS] = true;
  plan->has_initial[CBN_ROLE_RUNNING_MEAN] = plan->has_initial[CBN_ROLE_RUNNING_VAR] = true;
  plan->initial[CBN_ROLE_WEIGHT] = plan->initial[CBN_ROLE_RUNNING_VAR] = 1;
  return cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}
