/* fast/geometry.c - this engine's own index arithmetic. */
#include "fast/geometry.h"

int64_t cbn_fast_source(int padding_mode, int64_t extent, int64_t x) {
  if (x >= 0 && x < extent) return x;
  if (padding_mode == CBN_PAD_ZEROS || extent == 0) return -1;
  if (padding_mode == CBN_PAD_REPLICATE) return x < 0 ? 0 : extent - 1;
  if (padding_mode == CBN_PAD_CIRCULAR) {
    const int64_t r = x % extent;
    return r < 0 ? r + extent : r;
  }
  /* Reflection: a zigzag of period 2 (extent - 1) that does not repeat its ends. */
  const int64_t period = 2 * (extent - 1);
  if (period == 0) return 0;
  int64_t r = x % period;
  if (r < 0) r += period;
  return r < extent ? r : period - r;
}

const cbn_fast_axis cbn_fast_unit_axis = {.input = 1, .output = 1, .kernel = 1, .stride = 1, .dilation = 1};

static bool is_unit(const cbn_fast_axis *a) { return a->input == 1 && a->output == 1 && a->kernel == 1 && a->pad == 0; }

/* Output position = input position all along. */
static bool is_pointwise(const cbn_fast_axis *a) {
  return a->kernel == 1 && a->stride == 1 && a->pad == 0 && a->input == a->output;
}

/* Makes one axis of an outer and an inner one, in `inner`; false where they are not one. */
static bool merge(const cbn_fast_axis *outer, cbn_fast_axis *inner) {
  if (is_unit(outer)) return true;
  if (is_unit(inner)) {
    *inner = *outer;
    return true;
  }
  if (!is_pointwise(outer) || !is_pointwise(inner) || outer->input_step != inner->input * inner->input_step ||
      outer->output_step != inner->output * inner->output_step)
    return false;
  inner->input *= outer->input;
  inner->output = inner->input;
  return true;
}

void cbn_fast_merge_axes(cbn_fast_axis axis[CBN_MAX_SPATIAL]) {
  if (merge(&axis[1], &axis[2])) {
    axis[1] = axis[0];
    axis[0] = cbn_fast_unit_axis;
    if (merge(&axis[1], &axis[2])) axis[1] = cbn_fast_unit_axis;
  } else if (merge(&axis[0], &axis[1])) {
    axis[0] = cbn_fast_unit_axis;
  }
}

int64_t cbn_fast_work(const cbn_fast_geometry *g) {
  double work = (double)g->batch * (double)g->groups * (double)g->channels * (double)g->filters;
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) work *= (double)g->axis[a].output * (double)g->axis[a].kernel;
  return work < 0x1p62 ? (int64_t)work : (int64_t)1 << 62;
}
