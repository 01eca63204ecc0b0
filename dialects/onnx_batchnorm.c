/* ONNX: BatchNormalization. */
#include <inttypes.h>
#include <string.h>

#include "dialects/onnx.h"

enum {
  FIRST = 9,          /* older ones take statistics for each element, too */
  TRAINING_MODE = 14, /* has the attribute; before, a node trains that has the outputs of training */
  MIXED_TYPES = 15    /* statistics, scale and shift may have a type of their own */
};

static const int tensors[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR, -1};

/* Each has one axis, then each has the input's channels. */
static bool check_tensors(const cbn_onnx_node *node, cbn_rejection *r) {
  static const char *const names[] = {"scale", "B", "mean", "var"};
  const char *exception = node->opset < TRAINING_MODE ? CBN_INVALID_ARGUMENT : CBN_FAIL_STATUS;
  const int64_t channels = node->request->input.extent[1];
  for (int i = 0; tensors[i] >= 0; i++)
    if (node->request->layer[tensors[i]]->rank != 1)
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, exception, "%s must have 1 axis, got %" PRId32, names[i],
                        node->request->layer[tensors[i]]->rank);
  for (int i = 0; tensors[i] >= 0; i++)
    if (node->request->layer[tensors[i]]->extent[0] != channels)
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, exception,
                        "%s must have the input's %" PRId64 " channels, got %" PRId64, names[i], channels,
                        node->request->layer[tensors[i]]->extent[0]);
  return true;
}

bool cbn_onnx_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                        cbn_rejection *r) {
  static const cbn_onnx_attribute attributes[] = {{"epsilon", CBN_ONNX_FLOAT, 0},
                                                  {"momentum", CBN_ONNX_FLOAT, 0},
                                                  {"training_mode", CBN_ONNX_INT, TRAINING_MODE},
                                                  {NULL, CBN_ONNX_INT, 0}};
  cbn_onnx_node node = {.request = request, .name = operator->name };
  const cbn_shape *input = &request->input;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_onnx_open(&node, FIRST, tensors, attributes, r) ||
      !cbn_onnx_check_types(&node, TRAINING_MODE, node.opset >= MIXED_TYPES, r))
    return false;
  if (input->rank < 2 || input->rank > 2 + CBN_MAX_SPATIAL)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_NOT_IMPLEMENTED, "X must have 2 to 5 axes here, got %" PRId32,
                      input->rank);
  if (!check_tensors(&node, r)) return false;
  const bool attribute = cbn_onnx_int(&node, "training_mode", 0) != 0;
  const bool trains = node.opset < TRAINING_MODE ? request->training : attribute;
  if (request->training && !trains)
    return cbn_reject(r, CBN_RULE_TRAINING_OUTPUTS, CBN_FAIL_STATUS,
                      "the outputs of training are asked for, and training_mode is 0");
  plan->batchnorm = cbn_batchnorm_make(input->rank - 2);
  cbn_batchnorm *b = &plan->batchnorm;
  b->batch = input->extent[0];
  b->channels = plan->features = input->extent[1];
  memcpy(b->extent, input->extent + 2, (size_t)b->spatial_rank * sizeof b->extent[0]);
  b->statistics = trains ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = trains;
  b->running_variance = CBN_VARIANCE_BIASED;
  b->epsilon = cbn_onnx_float(&node, "epsilon", 1e-5);
  b->new_weight = 1 - cbn_onnx_float(&node, "momentum", 0.9);
  return cbn_forward_violation(plan, CBN_FAIL_STATUS, r);
}
