/* PyTorch: torch.nn.BatchNorm1d, BatchNorm2d and BatchNorm3d. */
#include <inttypes.h>
#include <string.h>

#include "dialects/pytorch.h"

static const char *const names[] = {"num_features", "eps",    "momentum", "affine", "track_running_stats",
                                    "bias",         "device", "dtype",    NULL};

/* The elements of the parameters that are made: (3,) counts as 3, and any tuple is a shape. */
static bool read_num_features(const cbn_value *params, int *axes, int64_t *features, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, "num_features");
  const cbn_entries entries = cbn_as_entries(value);
  int64_t extent[CBN_MAX_NATIVE_RANK] = {0};
  for (int i = 0; i < entries.count; i++)
    if (!cbn_as_integer(entries.entry[i], i > 0, &extent[i]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "num_features must be an int, got %s",
                        cbn_printed_value(value).text);
  for (int i = 0; i < entries.count; i++)
    if (extent[i] < 0)
      return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, CBN_RUNTIME_ERROR, "num_features is negative: %" PRId64,
                        extent[i]);
  *axes = entries.count;
  *features = cbn_extent_product(entries.count, extent);
  if (*features < 0) return cbn_reject(r, CBN_RULE_EXTENT_OVERFLOW, CBN_RUNTIME_ERROR, "num_features overflows");
  return true;
}

static bool read_epsilon(const cbn_value *params, bool batch_statistics, double *epsilon, cbn_rejection *r) {
  if (!cbn_pytorch_number(params, "eps", 1e-5, epsilon))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "eps must be a float, got %s",
                      cbn_printed_value(cbn_parameter(params, "eps")).text);
  if (*epsilon < 0 || (*epsilon == 0 && batch_statistics))
    return cbn_reject(r, CBN_RULE_EPSILON_RANGE, CBN_VALUE_ERROR, "eps must be positive%s, got %g",
                      batch_statistics ? " in training" : " or 0", *epsilon);
  return true;
}

/* momentum weighs the new batch; None is the cumulative average, 1/t in the t-th call. */
static bool read_momentum(const cbn_request *request, double *new_weight, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(request->params, "momentum");
  if (value != NULL && value->kind == CBN_NULL) *new_weight = 1 / (double)(request->trained + 1);
  else if (!cbn_pytorch_number(request->params, "momentum", 0.1, new_weight))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "momentum must be a float or None, got %s",
                      cbn_printed_value(value).text);
  return true;
}

/* Do the parameters, a shape of `axes` axes, fit the input? Of an empty one only a first scale is asked for. */
static bool check_features(int64_t features, int axes, bool affine, bool tracks, const cbn_shape *input,
                           cbn_rejection *r) {
  const bool empty = cbn_extent_product(input->rank, input->extent) == 0;
  if (features == 0 && (affine || !empty))
    return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, empty && axes == 1 ? CBN_INDEX_ERROR : CBN_RUNTIME_ERROR,
                      "num_features is 0");
  if (!empty && input->extent[1] != features)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_RUNTIME_ERROR,
                      "the input has %" PRId64 " channels, num_features is %" PRId64, input->extent[1], features);
  if (axes != 1 && (empty ? affine : tracks))
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, empty && axes == 0 ? CBN_INDEX_ERROR : CBN_RUNTIME_ERROR,
                      "num_features must be one number, got %d", axes);
  return true;
}

/* The layer's tensors have the input's type, or f32 beside f16 or bf16. */
static bool check_types(const cbn_request *request, cbn_rejection *r) {
  const int32_t input = request->input_type, own = request->layer_type;
  const bool narrow = input == CBN_F16 || input == CBN_BF16;
  if (own == input || (narrow && own == CBN_F32)) return true;
  return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_RUNTIME_ERROR, "an input of %s does not go with a layer of %s",
                    cbn_type_name(input), cbn_type_name(own));
}

static bool check_rank(const cbn_dialect_operator *operator, const cbn_shape * input, cbn_rejection *r) {
  const int32_t most = operator->spatial_rank + 2;
  if (input->rank == most || (most == 3 && input->rank == 2)) return true;
  return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "expected %s input, got %dD",
                    most == 3   ? "2D or 3D"
                    : most == 4 ? "4D"
                                : "5D",
                    (int)input->rank);
}

bool cbn_pytorch_batchnorm(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                           cbn_rejection *r) {
  const cbn_value *params = request->params;
  const cbn_shape *input = &request->input;
  const bool affine = cbn_as_truth(cbn_parameter(params, "affine"), true);
  const bool tracks = cbn_as_truth(cbn_parameter(params, "track_running_stats"), true);
  const bool batch_statistics = request->training || !tracks;
  int axes = 1;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_check_names(params, names, 1, r)) return false;
  if ((affine || tracks) && !read_num_features(params, &axes, &plan->features, r)) return false;
  if (!check_rank(operator, input, r)) return false;
  const int32_t spatial = input->rank - 2;
  cbn_batchnorm *b = &plan->batchnorm;
  *b = cbn_batchnorm_make(spatial);
  b->batch = input->extent[0];
  b->channels = input->extent[1];
  memcpy(b->extent, input->extent + 2, (size_t)spatial * sizeof b->extent[0]);
  const int64_t values = cbn_saturating_multiply(cbn_extent_product(spatial, b->extent), b->batch);
  if (batch_statistics && values == 1)
    return cbn_reject(r, CBN_RULE_ONE_VALUE_PER_CHANNEL, CBN_VALUE_ERROR,
                      "expected more than 1 value per channel when training");
  if (!read_epsilon(params, batch_statistics, &b->epsilon, r) || !read_momentum(request, &b->new_weight, r) ||
      ((affine || tracks) && !check_features(plan->features, axes, affine, tracks, input, r)))
    return false;
  const bool empty = values == 0 || b->channels == 0;
  if ((affine || tracks) && !empty && !check_types(request, r)) return false;
  if (!affine && !tracks) plan->features = b->channels;
  const bool idle = empty && (axes != 1 || plan->features != b->channels); /* tensors that do not fit are not read */
  b->statistics = batch_statistics || idle ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = request->training && tracks && !empty;
  b->running_variance = CBN_VARIANCE_UNBIASED;
  b->has_weight = affine && !idle;
  b->has_bias = affine && !idle && cbn_as_truth(cbn_parameter(params, "bias"), true);
  plan->has_initial[CBN_ROLE_WEIGHT] = plan->has_initial[CBN_ROLE_BIAS] = true;
  plan->has_initial[CBN_ROLE_RUNNING_MEAN] = plan->has_initial[CBN_ROLE_RUNNING_VAR] = true;
  plan->initial[CBN_ROLE_WEIGHT] = plan->initial[CBN_ROLE_RUNNING_VAR] = 1;
  return cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}
