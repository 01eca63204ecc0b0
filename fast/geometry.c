/* fast/geometry.c - this engine's own index arithmetic. */
#include "fast/geometry.h"

#include <assert.h>

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

static cbn_fast_axis axis_of(const cbn_call *call, int a) {
  const cbn_conv *conv = call->conv;
  const cbn_fast_axis axis = {
      .input = conv->input[a],
      .output = cbn_conv_output_extent(conv, a),
      .kernel = conv->kernel[a],
      .stride = conv->stride[a],
      .dilation = conv->dilation[a],
      .pad = conv->pad_begin[a],
      .input_step = call->tensor[CBN_ROLE_INPUT]->stride[2 + a],
      .weight_step = call->tensor[CBN_ROLE_WEIGHT]->stride[2 + a],
      .output_step = call->tensor[CBN_ROLE_OUTPUT]->stride[2 + a],
  };
  /* The windows that fit between both pads, counted here and by core. */
  const int64_t slack = axis.input + axis.pad + conv->pad_end[a] - (axis.kernel - 1) * axis.dilation - 1;
  assert(axis.output == (slack < 0 ? 0 : slack / axis.stride + 1));
  return axis;
}

static const cbn_fast_axis unit = {.input = 1, .output = 1, .kernel = 1, .stride = 1, .dilation = 1};

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

static void merge_axes(cbn_fast_axis axis[CBN_MAX_SPATIAL]) {
  if (merge(&axis[1], &axis[2])) {
    axis[1] = axis[0];
    axis[0] = unit;
    if (merge(&axis[1], &axis[2])) axis[1] = unit;
  } else if (merge(&axis[0], &axis[1])) {
    axis[0] = unit;
  }
}

void cbn_fast_geometry_of(cbn_fast_geometry *g, const cbn_call *call) {
  const cbn_conv *conv = call->conv;
  const cbn_tensor *input = call->tensor[CBN_ROLE_INPUT], *weight = call->tensor[CBN_ROLE_WEIGHT];
  const cbn_tensor *bias = call->tensor[CBN_ROLE_BIAS], *output = call->tensor[CBN_ROLE_OUTPUT];
  *g = (cbn_fast_geometry){
      .input = input->data,
      .weight = weight->data,
      .bias = bias ? bias->data : 0,
      .output = output->data,
      .batch = conv->batch,
      .groups = conv->groups,
      .channels = conv->in_channels / conv->groups,
      .filters = conv->out_channels / conv->groups,
      .padding_mode = conv->padding_mode,
      .input_batch_step = input->stride[0],
      .input_channel_step = input->stride[1],
      .weight_filter_step = weight->stride[0],
      .weight_channel_step = weight->stride[1],
      .bias_step = bias ? bias->stride[0] : 0,
      .output_batch_step = output->stride[0],
      .output_filter_step = output->stride[1],
  };
  const int first = CBN_MAX_SPATIAL - conv->spatial_rank;
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) g->axis[a] = a < first ? unit : axis_of(call, a - first);
  merge_axes(g->axis);
}
