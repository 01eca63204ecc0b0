/* fast/channels.c - batch and spatial axes of a batch normalization's tensors, merged into as few as memory allows. */
#include "fast/channels.h"

#include <stdbool.h>

static bool follow(const cbn_fast_walk *outer, const cbn_fast_walk *inner) {
  for (int w = 0; w < CBN_WALKED; w++) {
    if (outer->step[w] != inner->extent * inner->step[w]) return false;
  }
  return true;
}

static bool merge(const cbn_fast_walk *outer, cbn_fast_walk *inner) {
  if (outer->extent == 1) return true;
  if (inner->extent == 1) {
    *inner = *outer;
    return true;
  }
  if (!follow(outer, inner)) return false;
  inner->extent *= outer->extent;
  return true;
}

/* Merges from the inside out; what is left stands at the end, unit axes before it. */
static void merge_axes(cbn_fast_walk a[4]) {
  cbn_fast_walk merged[4] = {{.extent = 1}, {.extent = 1}, {.extent = 1}, a[3]};
  int at = 3;
  for (int i = 2; i >= 0; i--) {
    if (!merge(&a[i], &merged[at])) merged[--at] = a[i];
  }
  for (int i = 0; i < 4; i++) a[i] = merged[i];
}

void cbn_fast_channels_of(cbn_fast_channels *v, const cbn_call *call) {
  const cbn_batchnorm *b = call->batchnorm;
  const int result = b->direction == CBN_FORWARD ? CBN_ROLE_OUTPUT : CBN_ROLE_GRAD_INPUT;
  *v = (cbn_fast_channels){
      .tensor = {call->tensor[CBN_ROLE_INPUT], call->tensor[CBN_ROLE_GRAD_OUTPUT], call->tensor[result]}};
  v->axis[0].extent = b->batch;
  for (int i = 0; i < CBN_MAX_SPATIAL; i++) v->axis[1 + i].extent = i < b->spatial_rank ? b->extent[i] : 1;
  for (int w = 0; w < CBN_WALKED; w++) {
    const cbn_tensor *t = v->tensor[w];
    if (!t) continue;
    v->channel_step[w] = t->stride[1];
    v->axis[0].step[w] = t->stride[0];
    for (int i = 0; i < b->spatial_rank; i++) v->axis[1 + i].step[w] = t->stride[2 + i];
  }
  merge_axes(v->axis);
  v->inner = v->axis[3].extent;
  v->rows = v->axis[0].extent * v->axis[1].extent * v->axis[2].extent;
  v->values = v->rows * v->inner;
}

cbn_fast_place cbn_fast_channels_place(const cbn_fast_channels *v, int64_t l) {
  cbn_fast_place at = {{0}};
  for (int i = 3; i >= 0; i--) {
    const int64_t index = l % v->axis[i].extent;
    l /= v->axis[i].extent;
    for (int w = 0; w < CBN_WALKED; w++) at.offset[w] += index * v->axis[i].step[w];
  }
  return at;
}
