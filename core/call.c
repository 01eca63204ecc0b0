/* A call at an engine's edge: are its tensors those that its problem has? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/violation.h"

/* Does the problem, in its direction, have a tensor of that role? */
static bool takes_part(int32_t direction, int32_t operator_kind, int role) {
  const bool conv = operator_kind == CBN_OPERATOR_CONV;
  switch (role) {
  case CBN_ROLE_OUTPUT: return direction == CBN_FORWARD;
  case CBN_ROLE_GRAD_OUTPUT: return direction != CBN_FORWARD;
  case CBN_ROLE_GRAD_INPUT: return direction == CBN_GRAD_INPUT;
  case CBN_ROLE_GRAD_WEIGHT: return direction == (conv ? CBN_GRAD_WEIGHT : CBN_GRAD_INPUT);
  case CBN_ROLE_GRAD_BIAS: return direction == (conv ? CBN_GRAD_BIAS : CBN_GRAD_INPUT);
  case CBN_ROLE_INPUT: return !conv || direction == CBN_FORWARD || direction == CBN_GRAD_WEIGHT;
  case CBN_ROLE_WEIGHT: return !conv || direction == CBN_FORWARD || direction == CBN_GRAD_INPUT;
  case CBN_ROLE_BIAS: return direction == CBN_FORWARD;
  default: return !conv;
  }
}

static int32_t role_extents(const cbn_call *call, int role, int64_t *extent) {
  const int32_t direction = call->conv != NULL ? call->conv->direction : call->batchnorm->direction;
  if (!takes_part(direction, call->operator_kind, role)) return 0;
  return call->conv != NULL ? cbn_conv_extents(call->conv, role, extent)
                            : cbn_batchnorm_extents(call->batchnorm, role, extent);
}

static enum cbn_rule shape_rule(const cbn_call *call, int role) {
  if (role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR) return CBN_RULE_STATISTICS_SHAPE;
  if (call->conv == NULL && (role == CBN_ROLE_WEIGHT || role == CBN_ROLE_BIAS)) return CBN_RULE_STATISTICS_SHAPE;
  if (role == CBN_ROLE_WEIGHT) return CBN_RULE_WEIGHT_SHAPE;
  if (role == CBN_ROLE_BIAS) return CBN_RULE_BIAS_SHAPE;
  return CBN_RULE_INPUT_RANK;
}

static bool check_tensor(const cbn_call *call, int role, cbn_violation *v) {
  const cbn_tensor *tensor = call->tensor[role];
  const char *name = cbn_role_name(role);
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = role_extents(call, role, extent);
  if (tensor == NULL && rank == 0) return true;
  if (tensor == NULL) return cbn_violate(v, shape_rule(call, role), "the %s is missing", name);
  if (rank == 0) return cbn_violate(v, shape_rule(call, role), "the problem has no %s, but one is given", name);
  if (tensor->rank != rank)
    return cbn_violate(v, shape_rule(call, role), "the %s must have %" PRId32 " axes, got %" PRId32, name, rank,
                       tensor->rank);
  for (int32_t a = 0; a < rank; a++)
    if (tensor->extent[a] != extent[a])
      return cbn_violate(v, shape_rule(call, role), "the %s must have extent %" PRId64 " on axis %" PRId32
                         ", got %" PRId64, name, extent[a], a, tensor->extent[a]);
  if (cbn_type_size(tensor->type) == 0)
    return cbn_violate(v, CBN_RULE_TENSOR_TYPE, "the %s has type %" PRId32 ", which is none", name, tensor->type);
  if (tensor->data == NULL && cbn_tensor_count(tensor) > 0)
    return cbn_violate(v, CBN_RULE_TENSOR_TYPE, "the %s has no memory", name);
  return true;
}

bool cbn_call_validate(const cbn_call *call, cbn_violation *v) {
  if (call->operator_kind < 0 || call->operator_kind >= CBN_OPERATOR_COUNT ||
      (call->conv != NULL) != (call->operator_kind == CBN_OPERATOR_CONV) ||
      (call->batchnorm != NULL) != (call->operator_kind == CBN_OPERATOR_BATCHNORM))
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "the call names operator %" PRId32 " and does not describe it",
                       call->operator_kind);
  if (!(call->conv != NULL ? cbn_conv_validate(call->conv, v) : cbn_batchnorm_validate(call->batchnorm, v)))
    return false;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (!check_tensor(call, role, v)) return false;
  return true;
}
