/* PyTorch: torch.nn.BatchNorm1d, BatchNorm2d and BatchNorm3d, and torch.nn.functional.batch_norm, which they call. */
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

/* momentum weighs the new batch; None, to a layer, is the cumulative average, 1/t in the t-th call. */
static bool read_momentum(const cbn_request *request, bool averages, double *new_weight, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(request->params, "momentum");
  if (averages && value != NULL && value->kind == CBN_NULL) *new_weight = 1 / (double)(request->trained + 1);
  else if (!cbn_pytorch_number(request->params, "momentum", 0.1, new_weight))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "momentum must be a float, got %s",
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

/* The values of a channel; of an input of one axis PyTorch counts its elements. */
static int64_t values_of(const cbn_shape *input) {
  int64_t values = input->rank > 0 ? input->extent[0] : 1;
  for (int32_t a = 2; a < input->rank; a++) values = cbn_saturating_multiply(values, input->extent[a]);
  return values;
}

static bool check_values(const cbn_shape *input, bool batch_statistics, cbn_rejection *r) {
  return !batch_statistics || values_of(input) != 1 ||
         cbn_reject(r, CBN_RULE_ONE_VALUE_PER_CHANNEL, CBN_VALUE_ERROR,
                    "expected more than 1 value per channel when training");
}

static void describe(const cbn_shape *input, cbn_batchnorm *b) {
  *b = cbn_batchnorm_make(input->rank - 2);
  b->batch = input->extent[0];
  b->channels = input->extent[1];
  memcpy(b->extent, input->extent + 2, (size_t)(input->rank - 2) * sizeof b->extent[0]);
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
  cbn_batchnorm *b = &plan->batchnorm;
  describe(input, b);
  const int64_t values = values_of(input);
  if (!check_values(input, batch_statistics, r)) return false;
  if (!read_epsilon(params, batch_statistics, &b->epsilon, r) || !read_momentum(request, true, &b->new_weight, r) ||
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

/* ----------------------------------------------------------------------------------------------------- the function */

typedef struct tensor {
  const char *name;
  int role;
} tensor;

static const tensor tensors[] = {{"running_mean", CBN_ROLE_RUNNING_MEAN},
                                 {"running_var", CBN_ROLE_RUNNING_VAR},
                                 {"weight", CBN_ROLE_WEIGHT},
                                 {"bias", CBN_ROLE_BIAS}};

static bool reject_tensor(const tensor *t, const cbn_shape *shape, int64_t channels, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, CBN_RUNTIME_ERROR,
                    "%s must have one axis of the input's %" PRId64 " channels, got %" PRId32
                    " axes, the first of "
                    "%" PRId64,
                    t->name, channels, shape->rank, shape->rank > 0 ? shape->extent[0] : 1);
}

/* As many elements each as there are channels, whatever their axes; then statistics both or none. At the end statistics
 * must have one axis. PyTorch takes scale and shift with more, and this dialect does not. */
static bool check_tensors(const cbn_request *request, bool training, cbn_rejection *r) {
  const int64_t channels = request->input.extent[1];
  const cbn_shape *const *given = request->layer;
  bool any = false;
  for (int i = 0; i < 4; i++) {
    const cbn_shape *shape = given[tensors[i].role];
    any = any || shape != NULL;
    if (shape == NULL && i < 2 && !training)
      return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_RUNTIME_ERROR, "%s must be given in evaluation",
                        tensors[i].name);
    if (shape != NULL && cbn_extent_product(shape->rank, shape->extent) != channels)
      return reject_tensor(&tensors[i], shape, channels, r);
  }
  if ((given[CBN_ROLE_RUNNING_MEAN] == NULL) != (given[CBN_ROLE_RUNNING_VAR] == NULL))
    return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_VALUE_ERROR,
                      "running_mean and running_var must be given both or not at all");
  if (any && !check_types(request, r)) return false;
  for (int i = 0; i < 4; i++)
    if (given[tensors[i].role] != NULL && given[tensors[i].role]->rank != 1)
      return reject_tensor(&tensors[i], given[tensors[i].role], channels, r);
  return true;
}

/* An empty input: PyTorch asks for the first elements of scale and shift, and, where they have more axes than one,
 * whether they go together with the input. */
static bool check_unused(const cbn_request *request, cbn_rejection *r) {
  for (int i = 2; i < 4; i++) {
    const cbn_shape *shape = request->layer[tensors[i].role];
    if (shape == NULL || (shape->rank == 1 && shape->extent[0] > 0)) continue;
    return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE,
                      shape->rank == 0 || shape->extent[0] == 0 ? CBN_INDEX_ERROR : CBN_RUNTIME_ERROR,
                      "%s must have one axis and an element, got %" PRId32 " axes", tensors[i].name, shape->rank);
  }
  return true;
}

/* Any number of axes from two on; with fewer, PyTorch reads beside them. This dialect knows three spatial ones. */
static bool check_function_rank(const cbn_request *request, bool training, cbn_rejection *r) {
  const cbn_shape *input = &request->input;
  if (input->rank >= 2 && input->rank <= 2 + CBN_MAX_SPATIAL) return true;
  bool given = false;
  for (int i = 0; i < 4; i++) given = given || request->layer[tensors[i].role] != NULL;
  return cbn_reject(r, CBN_RULE_INPUT_RANK, training && !given ? CBN_INDEX_ERROR : CBN_RUNTIME_ERROR,
                    "the input must have 2 to 5 axes, got %" PRId32, input->rank);
}

/* Python's truth decides what is checked, before the operator asks for a bool. */
static bool read_training(const cbn_request *request, bool *training, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(request->params, "training");
  *training = cbn_as_truth(value, false);
  return !*training || request->input.rank > 0 ||
         cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_INDEX_ERROR, "the input has no axes");
}

static bool check_training(const cbn_value *value, cbn_rejection *r) {
  return value == NULL || value->kind == CBN_BOOLEAN ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "training must be a bool, got %s",
                    cbn_printed_value(value).text);
}

/* Is the tensor given, and for these channels? Of an empty input it need not be. */
static bool fits(const cbn_shape *tensor, int64_t channels) {
  return tensor != NULL && tensor->rank == 1 && tensor->extent[0] == channels;
}

bool cbn_pytorch_batchnorm_function(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                    cbn_rejection *r) {
  static const char *const function_names[] = {"training", "momentum", "eps", NULL};
  const cbn_value *params = request->params;
  const cbn_shape *input = &request->input;
  double epsilon, new_weight;
  bool training;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_check_names(params, function_names, 0, r) || !read_training(request, &training, r) ||
      !check_values(input, training, r) || !read_epsilon(params, training, &epsilon, r) ||
      !check_training(cbn_parameter(params, "training"), r) || !read_momentum(request, false, &new_weight, r) ||
      !check_function_rank(request, training, r))
    return false;
  const bool empty = cbn_extent_product(input->rank, input->extent) == 0;
  if (!(empty ? check_unused(request, r) : check_tensors(request, training, r))) return false;
  cbn_batchnorm *b = &plan->batchnorm;
  describe(input, b);
  plan->features = b->channels;
  b->epsilon = epsilon;
  b->new_weight = new_weight;
  b->statistics = training || empty ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = training && !empty && request->layer[CBN_ROLE_RUNNING_MEAN] != NULL;
  b->running_variance = CBN_VARIANCE_UNBIASED;
  b->has_weight = fits(request->layer[CBN_ROLE_WEIGHT], b->channels);
  b->has_bias = fits(request->layer[CBN_ROLE_BIAS], b->channels);
  return cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}
