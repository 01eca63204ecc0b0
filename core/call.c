/* A call at an engine's edge: are its tensors those that its problem has? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/violation.h"

const char *cbn_arithmetic_name(int bit) {
  switch (bit) {
#define ARITHMETIC_NAME(NAME, bit, name)                                                                               \
  case bit: return name;
    CBN_ARITHMETIC_CLASSES(ARITHMETIC_NAME)
#undef ARITHMETIC_NAME
  default: return NULL;
  }
}

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

int32_t cbn_call_extents(const cbn_call *call, int role, int64_t extent[CBN_MAX_RANK]) {
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

bool cbn_check_tensor(const cbn_tensor *tensor, const char *name, enum cbn_rule rule, int32_t rank,
                      const int64_t *extent, cbn_violation *v) {
  if (tensor == NULL) return cbn_violate(v, rule, "the %s is missing", name);
  if (tensor->rank != rank)
    return cbn_violate(v, rule, "the %s must have %" PRId32 " axes, got %" PRId32, name, rank, tensor->rank);
  for (int32_t a = 0; a < rank; a++)
    if (tensor->extent[a] != extent[a])
      return cbn_violate(v, rule, "the %s must have extent %" PRId64 " on axis %" PRId32 ", got %" PRId64, name,
                         extent[a], a, tensor->extent[a]);
  if (cbn_type_size(tensor->type) == 0)
    return cbn_violate(v, CBN_RULE_TENSOR_TYPE, "the %s has type %" PRId32 ", which is none", name, tensor->type);
  if (tensor->data == NULL && cbn_tensor_count(tensor) > 0)
    return cbn_violate(v, CBN_RULE_TENSOR_TYPE, "the %s has no memory", name);
  return true;
}

static bool check_role(const cbn_call *call, int role, cbn_violation *v) {
  const cbn_tensor *tensor = call->tensor[role];
  const enum cbn_rule rule = shape_rule(call, role);
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_call_extents(call, role, extent);
  if (rank > 0) return cbn_check_tensor(tensor, cbn_role_name(role), rule, rank, extent, v);
  return tensor == NULL || cbn_violate(v, rule, "the problem has no %s, but one is given", cbn_role_name(role));
}

bool cbn_types_go_together(int32_t operator_kind, int32_t activations, int32_t layer) {
  const bool halves = activations == CBN_F16 || activations == CBN_BF16;
  return activations == layer || (operator_kind == CBN_OPERATOR_BATCHNORM && halves && layer == CBN_F32);
}

static const cbn_tensor *first_of(const cbn_call *call, const int *roles, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (call->tensor[roles[i]] != NULL) return call->tensor[roles[i]];
  return NULL;
}

/* All tensors of those roles of one type? */
static bool check_one_type(const cbn_call *call, const int *roles, size_t count, cbn_violation *v) {
  const cbn_tensor *first = first_of(call, roles, count);
  for (size_t i = 0; i < count; i++) {
    const cbn_tensor *tensor = call->tensor[roles[i]];
    if (tensor != NULL && tensor->type != first->type)
      return cbn_violate(v, CBN_RULE_TENSOR_TYPE, "the %s is %s among tensors that are %s", cbn_role_name(roles[i]),
                         cbn_type_name(tensor->type), cbn_type_name(first->type));
  }
  return true;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool check_types(const cbn_call *call, cbn_violation *v) {
  static const int activations[] = {CBN_ROLE_INPUT, CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_GRAD_INPUT};
  static const int of_layer[] = {CBN_ROLE_WEIGHT,      CBN_ROLE_BIAS,        CBN_ROLE_RUNNING_MEAN,
                                 CBN_ROLE_RUNNING_VAR, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};
  if (!check_one_type(call, activations, COUNT(activations), v) || !check_one_type(call, of_layer, COUNT(of_layer), v))
    return false;
  const cbn_tensor *x = first_of(call, activations, COUNT(activations));
  const cbn_tensor *w = first_of(call, of_layer, COUNT(of_layer));
  if (x == NULL || w == NULL || cbn_types_go_together(call->operator_kind, x->type, w->type)) return true;
  return cbn_violate(v, CBN_RULE_TENSOR_TYPE, "a layer of %s does not take %s", cbn_type_name(w->type),
                     cbn_type_name(x->type));
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
    if (!check_role(call, role, v)) return false;
  return check_types(call, v);
}

enum cbn_layout cbn_role_layout(enum cbn_layout layout, int role, int32_t rank) {
  static const enum cbn_layout mixed[CBN_ROLE_COUNT] = {
      [CBN_ROLE_INPUT] = CBN_CHANNELS_LAST,       [CBN_ROLE_WEIGHT] = CBN_STRIDED,
      [CBN_ROLE_BIAS] = CBN_CONTIGUOUS,           [CBN_ROLE_RUNNING_MEAN] = CBN_CONTIGUOUS,
      [CBN_ROLE_RUNNING_VAR] = CBN_STRIDED,       [CBN_ROLE_GRAD_OUTPUT] = CBN_STRIDED,
      [CBN_ROLE_OUTPUT] = CBN_CONTIGUOUS,         [CBN_ROLE_GRAD_INPUT] = CBN_CONTIGUOUS,
      [CBN_ROLE_GRAD_WEIGHT] = CBN_CHANNELS_LAST, [CBN_ROLE_GRAD_BIAS] = CBN_STRIDED};
  const enum cbn_layout chosen = layout == CBN_MIXED ? mixed[role] : layout;
  return rank > 1 || chosen == CBN_STRIDED ? chosen : CBN_CONTIGUOUS;
}

int cbn_in_place_of(int role) {
  return role == CBN_ROLE_OUTPUT ? CBN_ROLE_INPUT : role == CBN_ROLE_GRAD_INPUT ? CBN_ROLE_GRAD_OUTPUT : -1;
}
