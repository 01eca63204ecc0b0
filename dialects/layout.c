#include "dialects/layout.h"

#include <string.h>

#include <convbn/operator.h>

bool cbn_is_activation(int role) {
  return role == CBN_ROLE_INPUT || role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_INPUT ||
         role == CBN_ROLE_GRAD_OUTPUT;
}

int32_t cbn_plan_extents(const cbn_plan *plan, int role, int64_t extent[CBN_MAX_RANK]) {
  return plan->kind == CBN_OPERATOR_CONV ? cbn_conv_extents(&plan->conv, role, extent)
                                         : cbn_batchnorm_extents(&plan->batchnorm, role, extent);
}

static bool is_weight(const cbn_plan *plan, int role) {
  return plan->kind == CBN_OPERATOR_CONV && (role == CBN_ROLE_WEIGHT || role == CBN_ROLE_GRAD_WEIGHT);
}

static const cbn_axis_order *order_of(const cbn_plan *plan, int role) {
  static const cbn_axis_order none = {0};
  if (is_weight(plan, role)) return &plan->weight_order;
  if (role == CBN_ROLE_INPUT || role == CBN_ROLE_GRAD_INPUT) return &plan->input_order;
  return cbn_is_activation(role) ? &plan->output_order : &none;
}

bool cbn_plan_reorders(const cbn_plan *plan, int role) { return order_of(plan, role)->given; }

/* Before an axis of the operator is where it stands: that of a depthwise weight's output channels is the last of its two. */
static int place_of(const cbn_plan *plan, int role, int32_t a) {
  const cbn_axis_order *order = order_of(plan, role);
  const bool split = plan->depthwise_weight && is_weight(plan, role);
  if (!order->given) return a;
  if (split && a == 0) return order->place[0] + 1;
  return split && a == 1 ? order->place[0] : order->place[a];
}

int32_t cbn_plan_native_extents(const cbn_plan *plan, int role, int64_t native[CBN_MAX_RANK]) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent), drop = plan->unbatched && cbn_is_activation(role);
  if (rank > 0 && plan->depthwise_weight && is_weight(plan, role)) {
    extent[0] = plan->conv.out_channels / plan->conv.groups;
    extent[1] = plan->conv.groups;
  }
  for (int32_t a = 0; a < rank; a++) {
    const int at = place_of(plan, role, a) - drop;
    if (at >= 0) native[at] = extent[a];
  }
  return rank - (rank > 0 ? drop : 0);
}

bool cbn_plan_view(const cbn_plan *plan, int role, cbn_tensor *tensor) {
  int64_t extent[CBN_MAX_RANK], native[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent), drop = plan->unbatched && cbn_is_activation(role);
  cbn_tensor view = *tensor;
  if (tensor->rank != cbn_plan_native_extents(plan, role, native)) return false;
  for (int32_t a = 0; a < tensor->rank; a++)
    if (tensor->extent[a] != native[a]) return false;
  view.rank = rank;
  for (int32_t a = 0; a < rank; a++) {
    const int at = place_of(plan, role, a) - drop;
    view.extent[a] = extent[a];
    view.stride[a] = at < 0 ? 0 : tensor->stride[at];
  }
  *tensor = view;
  return true;
}

static void last_two_moved(cbn_axis_order *order, int32_t axes, int first, int second) {
  order->given = true;
  order->place[0] = (uint8_t)first;
  order->place[1] = (uint8_t)second;
  for (int32_t a = 0; a < axes; a++) order->place[2 + a] = (uint8_t)(a + (first == 0));
}

void cbn_plan_channels_last(cbn_plan *plan, int32_t axes) {
  last_two_moved(&plan->input_order, axes, 0, axes + 1);
  plan->output_order = plan->input_order;
}

void cbn_plan_kernel_first(cbn_plan *plan, int32_t axes) { last_two_moved(&plan->weight_order, axes, axes + 1, axes); }

void cbn_plan_depthwise(cbn_plan *plan, int32_t axes) {
  last_two_moved(&plan->weight_order, axes, axes, axes + 1);
  plan->depthwise_weight = true;
}

static bool same_order(const cbn_axis_order *a, const cbn_axis_order *b) {
  return a->given == b->given && memcmp(a->place, b->place, sizeof a->place) == 0;
}

bool cbn_plans_are_same(const cbn_plan *a, const cbn_plan *b) {
  bool same = a->kind == b->kind && a->features == b->features && a->unbatched == b->unbatched &&
              same_order(&a->input_order, &b->input_order) && same_order(&a->weight_order, &b->weight_order) &&
              same_order(&a->output_order, &b->output_order) && a->depthwise_weight == b->depthwise_weight;
  if (same && a->kind == CBN_OPERATOR_CONV) same = memcmp(&a->conv, &b->conv, sizeof a->conv) == 0;
  else if (same) same = memcmp(&a->batchnorm, &b->batchnorm, sizeof a->batchnorm) == 0;
  for (int role = 0; same && role < CBN_ROLE_COUNT; role++)
    same = a->has_initial[role] == b->has_initial[role] &&
           (!a->has_initial[role] || memcmp(&a->initial[role], &b->initial[role], sizeof a->initial[role]) == 0);
  return same;
}
