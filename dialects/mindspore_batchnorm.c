/* mindspore.nn.BatchNorm1d, 2d, 3d. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "dialects/mindspore.h"

#define SHARED_NAMES                                                                                                   \
  "num_features", "eps", "momentum", "affine", "gamma_init", "beta_init", "moving_mean_init", "moving_var_init",       \
      "dtype", "use_batch_statistics"

static const char *const names[] = {SHARED_NAMES, "data_format", NULL};
static const char *const names_3d[] = {SHARED_NAMES, NULL};

/* Whose statistics normalise: the mode's own (None), always the batch's, never. */
enum batch_statistics { BY_MODE, ALWAYS, NEVER };

/* What the constructor takes. */
typedef struct layer {
  int64_t features;
  double momentum; /* weighs the old statistics */
  enum batch_statistics which;
} layer;

static bool read_batch_statistics(const cbn_value *params, layer *l, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, "use_batch_statistics");
  if (value == NULL || value->kind == CBN_NULL) return true;
  if (value->kind != CBN_BOOLEAN)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR,
                      "use_batch_statistics must be a bool or None, got %s", cbn_printed_value(value).text);
  l->which = value->as.boolean ? ALWAYS : NEVER;
  return true;
}

static bool read_initializers(const cbn_value *params, cbn_plan *plan, cbn_rejection *r) {
  static const struct {
    const char *name;
    int role;
    double fallback;
  } tensors[] = {{"moving_mean_init", CBN_ROLE_RUNNING_MEAN, 0},
                 {"moving_var_init", CBN_ROLE_RUNNING_VAR, 1},
                 {"gamma_init", CBN_ROLE_WEIGHT, 1},
                 {"beta_init", CBN_ROLE_BIAS, 0}};
  bool ignored;
  for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
    plan->has_initial[tensors[i].role] = true;
    plan->initial[tensors[i].role] = tensors[i].fallback;
    if (!cbn_mindspore_initializer(params, tensors[i].name, false, tensors[i].role, plan, r)) return false;
    if (tensors[i].role == CBN_ROLE_WEIGHT &&
        !cbn_mindspore_bool(params, "affine", true, &ignored)) /* gamma is the first to be trained */
      return cbn_mindspore_reject_type(params, "affine", "a bool", r);
  }
  return true;
}

static bool construct(const cbn_dialect_operator *operator, const cbn_value * params, layer *l, cbn_plan *plan,
                      cbn_rejection *r) {
  if (!cbn_check_names(params, operator->spatial_rank == 3 ? names_3d : names, 1, r)) return false;
  if (!cbn_mindspore_int(params, "num_features", 0, &l->features))
    return cbn_mindspore_reject_type(params, "num_features", "an int", r);
  if (l->features < 1)
    return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, CBN_VALUE_ERROR,
                      "num_features must be at least 1, got %" PRId64, l->features);
  const cbn_value *momentum = cbn_parameter(params, "momentum");
  if (momentum != NULL && !cbn_as_number(momentum, &l->momentum))
    return cbn_mindspore_reject_type(params, "momentum", "a number", r);
  if (l->momentum < 0 || l->momentum > 1)
    return cbn_reject(r, CBN_RULE_MOMENTUM_RANGE, CBN_VALUE_ERROR, "momentum must be in [0, 1], got %g", l->momentum);
  return cbn_mindspore_data_format(params, false, r) && read_batch_statistics(params, l, r) &&
         read_initializers(params, plan, r);
}

bool cbn_mindspore_epsilon(const cbn_value *params, const char *name, double *epsilon, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value != NULL && value->kind != CBN_REAL) return cbn_mindspore_reject_type(params, name, "a float", r);
  if (value != NULL) *epsilon = value->as.real;
  const float rounded = (float)*epsilon;
  if (!(rounded > 0 && rounded <= 1))
    return cbn_reject(r, CBN_RULE_EPSILON_RANGE, CBN_VALUE_ERROR, "%s must be in (0, 1], got %g", name, *epsilon);
  return true;
}

static bool check_rank(const cbn_dialect_operator *operator, int32_t rank, cbn_rejection *r) {
  if (operator->spatial_rank == 1 ? rank == 2 || rank == 3 : rank == operator->spatial_rank + 2) return true;
  return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR,
                    "the input must have %s%d axes, got %d", operator->spatial_rank == 1 ? "2 or " : "",
                    (int)operator->spatial_rank + 2, (int)rank);
}

bool cbn_mindspore_normalized_type(const char *what, int32_t type, cbn_rejection *r) {
  return type == CBN_F32 || type == CBN_F16 ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_TYPE_ERROR, "%s must be f32 or f16, got %s", what,
                    cbn_type_name(type));
}

bool cbn_mindspore_batchnorm(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                             cbn_rejection *r) {
  const cbn_shape *input = &request->input;
  layer l = {.momentum = 0.9};
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!construct(operator, request->params, &l, plan, r) || !check_rank(operator, input->rank, r)) return false;
  plan->batchnorm = cbn_batchnorm_make(input->rank - 2);
  cbn_batchnorm *b = &plan->batchnorm;
  if (!cbn_mindspore_epsilon(request->params, "eps", &b->epsilon, r)) return false;
  const bool batch = l.which == ALWAYS || (l.which == BY_MODE && request->training);
  if (batch && isnan(l.momentum)) return cbn_reject(r, CBN_RULE_MOMENTUM_RANGE, CBN_VALUE_ERROR, "momentum is NaN");
  if (input->extent[1] != l.features)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_VALUE_ERROR,
                      "the input has %" PRId64 " channels, num_features is %" PRId64, input->extent[1], l.features);
  if (!cbn_mindspore_normalized_type("the input", request->input_type, r) ||
      !cbn_mindspore_normalized_type("the layer", request->layer_type, r))
    return false;
  b->batch = input->extent[0];
  b->channels = plan->features = l.features;
  memcpy(b->extent, input->extent + 2, (size_t)b->spatial_rank * sizeof b->extent[0]);
  b->statistics = batch ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = batch;
  b->running_variance = CBN_VARIANCE_UNBIASED;
  b->new_weight = 1 - l.momentum;
  return cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}
