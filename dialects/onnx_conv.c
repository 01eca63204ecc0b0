/* ONNX: Conv and ConvTranspose. */
#include <inttypes.h>
#include <string.h>

#include "core/checked.h"
#include "core/violation.h"
#include "dialects/onnx.h"

/* Operator sets that changed something. */
enum { NO_EMPTY_NAME = 11, BFLOAT16 = 22 };

enum auto_pad { NOTSET, SAME_UPPER, SAME_LOWER, VALID, UNKNOWN };

/* A node under inspection; has_pads and has_output_shape say that the attribute is there. */
typedef struct layer {
  cbn_onnx_node node;
  int32_t axes;
  enum auto_pad auto_pad;
  const cbn_shape *input, *weight, *bias; /* bias NULL where there is none */
  bool has_pads, has_output_shape;
  int64_t pads[2 * CBN_MAX_SPATIAL], output_shape[CBN_MAX_SPATIAL];
} layer;

static char axis_name(const layer *l, int axis) { return cbn_axis_name(l->axes, axis); }

/* ------------------------------------------------------------------------------------------- loading the model */

/* INTS with `count` entries, none below `least`; `fallback` for each where the attribute is left out. */
static bool read_ints(const layer *l, const char *name, int32_t count, int64_t least, enum cbn_rule rule,
                      int64_t fallback, int64_t *values, cbn_rejection *r) {
  const cbn_value *value = cbn_onnx_attribute_of(&l->node, name);
  for (int32_t i = 0; i < count; i++) values[i] = fallback;
  if (value == NULL) return true;
  if (value->as.list.count != (size_t)count)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_FAIL_STATUS, "%s must have %" PRId32 " entries, got %zu", name,
                      count, value->as.list.count);
  for (int32_t i = 0; i < count; i++) {
    values[i] = value->as.list.items[i]->as.integer;
    if (values[i] < least)
      return cbn_reject(r, rule, CBN_FAIL_STATUS, "%s must be at least %" PRId64 ", got %" PRId64, name, least,
                        values[i]);
  }
  return true;
}

static bool check_weight_rank(const layer *l, const char *exception, cbn_rejection *r) {
  return l->weight->rank == l->input->rank ||
         cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, exception, "W must have as many axes as X, %" PRId32 ", got %" PRId32,
                    l->input->rank, l->weight->rank);
}

/* The kernel's extents are W's. An attribute that says others is refused when the node runs; where there is one, W itself
 * is looked at only then. */
static bool read_kernel(const layer *l, cbn_conv *c, cbn_rejection *r) {
  if (cbn_onnx_attribute_of(&l->node, "kernel_shape") != NULL)
    return read_ints(l, "kernel_shape", l->axes, 1, CBN_RULE_KERNEL_POSITIVE, 1, c->kernel, r);
  if (!check_weight_rank(l, CBN_FAIL_STATUS, r)) return false;
  for (int a = 0; a < l->axes; a++) {
    c->kernel[a] = l->weight->extent[2 + a];
    if (c->kernel[a] < 1)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, CBN_FAIL_STATUS, "the kernel is empty on axis %c",
                        axis_name(l, a));
  }
  return true;
}

static bool check_rank(const layer *l, cbn_rejection *r) {
  if (l->input->rank < 3)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_FAIL_STATUS, "X must have at least 3 axes, got %" PRId32,
                      l->input->rank);
  return l->axes <= CBN_MAX_SPATIAL || cbn_reject(r, CBN_RULE_SPATIAL_RANK, CBN_NOT_IMPLEMENTED,
                                                  "X must have at most 5 axes here, got %" PRId32, l->input->rank);
}

/* ConvTranspose looks at its groups first, Conv when it runs. */
static bool check_groups(const cbn_conv *c, cbn_rejection *r) {
  return c->groups >= 1 ||
         cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_FAIL_STATUS, "group must be at least 1, got %" PRId64, c->groups);
}

static bool reject_pads(cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PADDING_MUST_BE_ZERO, CBN_FAIL_STATUS, "pads do not go together with auto_pad");
}

static bool read_window(const layer *l, cbn_conv *c, cbn_rejection *r) {
  return read_ints(l, "dilations", l->axes, 1, CBN_RULE_DILATION_POSITIVE, 1, c->dilation, r) &&
         read_ints(l, "strides", l->axes, 1, CBN_RULE_STRIDE_POSITIVE, 1, c->stride, r) && read_kernel(l, c, r);
}

static bool read_pads(layer *l, cbn_rejection *r) {
  return read_ints(l, "pads", 2 * l->axes, 0, CBN_RULE_PADDING_NON_NEGATIVE, 0, l->pads, r);
}

/* An empty name is NOTSET, but beside pads in ConvTranspose. */
static enum auto_pad read_auto_pad(const layer *l) {
  static const char *const names[] = {
      [NOTSET] = "NOTSET", [SAME_UPPER] = "SAME_UPPER", [SAME_LOWER] = "SAME_LOWER", [VALID] = "VALID"};
  const cbn_value *value = cbn_onnx_attribute_of(&l->node, "auto_pad");
  if (value == NULL || cbn_value_is(value, "")) return NOTSET;
  for (int i = NOTSET; i < UNKNOWN; i++)
    if (cbn_value_is(value, names[i])) return (enum auto_pad)i;
  return UNKNOWN;
}

static bool check_auto_pad(const layer *l, cbn_rejection *r) {
  if (l->auto_pad == UNKNOWN)
    return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_FAIL_STATUS, "there is no auto_pad %s",
                      cbn_printed_value(cbn_onnx_attribute_of(&l->node, "auto_pad")).text);
  return l->auto_pad == NOTSET || !l->has_pads || reject_pads(r);
}

/* The loader computes the output's extents: all that they are made of must fit. */
static bool fits(const layer *l, const cbn_conv *c, int a) {
  const int64_t begin = l->pads[a], end = l->pads[l->axes + a];
  int64_t kernel, extent;
  if (!cbn_multiply(c->kernel[a] - 1, c->dilation[a], &kernel) || !cbn_add(kernel, 1, &kernel)) return false;
  if (!c->transposed) return cbn_add(c->input[a], begin, &extent) && cbn_add(extent, end, &extent);
  return cbn_multiply(c->input[a], c->stride[a], &extent) && cbn_add(extent, kernel, &extent) &&
         cbn_subtract(extent, begin, &extent) && cbn_subtract(extent, end, &extent);
}

static bool check_overflow(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < l->axes; a++)
    if (!fits(l, c, a))
      return cbn_reject(r, CBN_RULE_EXTENT_OVERFLOW, CBN_FAIL_STATUS, "an extent on axis %c overflows 64 bits",
                        axis_name(l, a));
  return true;
}

static bool load_conv(layer *l, cbn_conv *c, cbn_rejection *r) {
  return check_rank(l, r) && read_window(l, c, r) && read_pads(l, r) && check_overflow(l, c, r) && check_auto_pad(l, r);
}

static bool load_transposed(layer *l, cbn_conv *c, cbn_rejection *r) {
  const cbn_value *auto_pad = cbn_onnx_attribute_of(&l->node, "auto_pad");
  if (!check_groups(c, r) || !check_rank(l, r)) return false;
  if (c->in_channels % c->groups != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, CBN_FAIL_STATUS,
                      "X's channels must be divisible by group, got %" PRId64 " and %" PRId64, c->in_channels,
                      c->groups);
  if (!read_window(l, c, r)) return false;
  if (l->node.opset >= NO_EMPTY_NAME && l->has_pads && auto_pad != NULL && !cbn_value_is(auto_pad, "NOTSET"))
    return reject_pads(r);
  return read_pads(l, r) &&
         read_ints(l, "output_shape", l->axes, 0, CBN_RULE_OUTPUT_EXTENT_POSITIVE, 0, l->output_shape, r) &&
         read_ints(l, "output_padding", l->axes, 0, CBN_RULE_OUTPUT_PADDING_RANGE, 0, c->output_padding, r) &&
         check_overflow(l, c, r) && check_auto_pad(l, r);
}

/* ----------------------------------------------------------------------------------------------- running the node */

/* After the bias. */
static bool check_kernel(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < l->axes; a++)
    if (c->kernel[a] != l->weight->extent[2 + a])
      return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_FAIL_STATUS,
                        "kernel_shape is %" PRId64 " on axis %c, W has %" PRId64, c->kernel[a], axis_name(l, a),
                        l->weight->extent[2 + a]);
  return true;
}

static bool check_bias(const layer *l, const cbn_conv *c, const char *exception, cbn_rejection *r) {
  return l->bias == NULL || (l->bias->rank == 1 && l->bias->extent[0] == c->out_channels) ||
         cbn_reject(r, CBN_RULE_BIAS_SHAPE, exception, "B must have one axis of %" PRId64 " output channels",
                    c->out_channels);
}

/* auto_pad: ceil(input / stride) outputs, with no less than no padding; the odd element behind, or before. */
static void pad_same(const layer *l, cbn_conv *c) {
  for (int a = 0; a < l->axes; a++) {
    const int64_t outputs = (c->input[a] - 1) / c->stride[a] + (c->input[a] > 0);
    const int64_t needed = cbn_saturating_add(cbn_saturating_multiply(outputs - 1, c->stride[a]),
                                              cbn_dilated_kernel(c->kernel[a], c->dilation[a]) - c->input[a]);
    const int64_t total = needed > 0 ? needed : 0, less = total / 2;
    c->pad_begin[a] = l->auto_pad == SAME_UPPER ? less : total - less;
    c->pad_end[a] = total - c->pad_begin[a];
  }
}

static bool is_same(const layer *l) { return l->auto_pad == SAME_UPPER || l->auto_pad == SAME_LOWER; }

static bool run_conv(const layer *l, cbn_conv *c, cbn_rejection *r) {
  c->out_channels = l->weight->extent[0];
  if (!check_weight_rank(l, CBN_FAIL_STATUS, r) || !check_groups(c, r)) return false;
  if (cbn_saturating_multiply(l->weight->extent[1], c->groups) != c->in_channels)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_FAIL_STATUS,
                      "X must have %" PRId64 " groups of W's %" PRId64 " channels, got %" PRId64, c->groups,
                      l->weight->extent[1], c->in_channels);
  if (c->out_channels % c->groups != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, CBN_FAIL_STATUS,
                      "W's output channels must be divisible by group, got %" PRId64 " and %" PRId64, c->out_channels,
                      c->groups);
  if (!check_bias(l, c, CBN_FAIL_STATUS, r) || !check_kernel(l, c, r)) return false;
  if (is_same(l)) pad_same(l, c);
  for (int a = 0; a < l->axes; a++) {
    const int64_t padded = cbn_saturating_add(cbn_saturating_add(c->input[a], c->pad_begin[a]), c->pad_end[a]);
    const int64_t kernel = cbn_dilated_kernel(c->kernel[a], c->dilation[a]);
    if (padded < kernel)
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_INVALID_ARGUMENT,
                        "the dilated kernel's extent %" PRId64 " exceeds the padded input's %" PRId64 " on axis %c",
                        kernel, padded, axis_name(l, a));
  }
  return true;
}

/* The padding of one axis that makes the output as long as is asked for. `total` is what has to be cropped; where it is
 * negative, that much is added. With auto_pad both ends share it, the odd element as the specification says;
 * an output_shape alone never adds before the begin, and adds less than a stride. */
static bool pad_output(const layer *l, cbn_conv *c, int a, int64_t total, cbn_rejection *r) {
  const int64_t less = total / 2 - (total % 2 < 0); /* floor */
  c->pad_begin[a] = l->auto_pad == SAME_UPPER ? less : total - less;
  if (!is_same(l) && total < 0) {
    c->pad_begin[a] = 0;
    if (c->output_padding[a] - total >= c->stride[a])
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_INVALID_ARGUMENT,
                        "output_shape is %" PRId64 " on axis %c, a stride or more beyond what X makes",
                        l->output_shape[a], axis_name(l, a));
  }
  c->pad_end[a] = total - c->pad_begin[a];
  return true;
}

static bool run_axis(const layer *l, cbn_conv *c, int a, cbn_rejection *r) {
  const int64_t spread = cbn_saturating_multiply(c->input[a] - 1, c->stride[a]);
  const int64_t full = cbn_saturating_add(cbn_saturating_add(spread, c->output_padding[a]),
                                          cbn_dilated_kernel(c->kernel[a], c->dilation[a]));
  const int64_t same = cbn_saturating_multiply(c->input[a], c->stride[a]);
  if (l->has_output_shape && l->output_shape[a] < 1)
    return cbn_reject(r, CBN_RULE_OUTPUT_EXTENT_POSITIVE, CBN_INVALID_ARGUMENT,
                      "output_shape is %" PRId64 " on axis %c", l->output_shape[a], axis_name(l, a));
  if (c->output_padding[a] >= c->stride[a])
    return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_INVALID_ARGUMENT,
                      "output_padding must be less than the stride, got %" PRId64 " on axis %c", c->output_padding[a],
                      axis_name(l, a));
  if (l->has_output_shape || is_same(l))
    return pad_output(l, c, a, cbn_saturating_add(full, l->has_output_shape ? -l->output_shape[a] : -same), r);
  const int64_t cropped = cbn_saturating_add(c->pad_begin[a], c->pad_end[a]);
  return full > cropped || cbn_reject(r, CBN_RULE_OUTPUT_EXTENT_POSITIVE, CBN_INVALID_ARGUMENT,
                                      "the output's extent is %" PRId64 " on axis %c", full - cropped, axis_name(l, a));
}

static bool run_transposed(const layer *l, cbn_conv *c, cbn_rejection *r) {
  if (!check_weight_rank(l, CBN_INVALID_ARGUMENT, r)) return false;
  if (l->weight->extent[0] != c->in_channels)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_INVALID_ARGUMENT,
                      "X must have W's %" PRId64 " channels, got %" PRId64, l->weight->extent[0], c->in_channels);
  c->out_channels = cbn_saturating_multiply(l->weight->extent[1], c->groups);
  if (!check_bias(l, c, CBN_INVALID_ARGUMENT, r) || !check_kernel(l, c, r)) return false;
  for (int a = 0; a < l->axes; a++)
    if (c->output_padding[a] >= c->stride[a] && c->output_padding[a] >= c->dilation[a])
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_INVALID_ARGUMENT,
                        "output_padding must be less than the stride or the dilation, got %" PRId64 " on axis %c",
                        c->output_padding[a], axis_name(l, a));
  for (int a = 0; a < l->axes; a++) {
    if (c->input[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_NOT_IMPLEMENTED, "X's extent is 0 on axis %c",
                        axis_name(l, a));
    if (!run_axis(l, c, a, r)) return false;
  }
  return true;
}

bool cbn_onnx_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                          cbn_rejection *r) {
  /* those that Conv has, too, stand last */
  static const cbn_onnx_attribute transposed[] = {
      {"output_padding", CBN_ONNX_INTS, 0}, {"output_shape", CBN_ONNX_INTS, 0}, {"auto_pad", CBN_ONNX_STRING, 0},
      {"dilations", CBN_ONNX_INTS, 0},      {"group", CBN_ONNX_INT, 0},         {"kernel_shape", CBN_ONNX_INTS, 0},
      {"pads", CBN_ONNX_INTS, 0},           {"strides", CBN_ONNX_INTS, 0},      {NULL, CBN_ONNX_INT, 0}};
  static const int required[] = {CBN_ROLE_WEIGHT, -1};
  layer l = {.node = {.request = request, .name = operator->name },
                      .input = &request->input,
                      .weight = request->layer[CBN_ROLE_WEIGHT],
                      .bias = request->layer[CBN_ROLE_BIAS]};
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!cbn_onnx_open(&l.node, 1, required, operator->transposed ? transposed : transposed + 2, r) ||
      !cbn_onnx_check_types(&l.node, BFLOAT16, false, r))
    return false;
  l.axes = l.input->rank - 2;
  l.auto_pad = read_auto_pad(&l);
  l.has_pads = cbn_onnx_attribute_of(&l.node, "pads") != NULL;
  l.has_output_shape = cbn_onnx_attribute_of(&l.node, "output_shape") != NULL;
  plan->conv = cbn_conv_make(l.axes);
  cbn_conv *c = &plan->conv;
  c->groups = cbn_onnx_int(&l.node, "group", 1);
  c->has_bias = l.bias != NULL;
  c->transposed = operator->transposed;
  c->batch = l.axes >= 1 ? l.input->extent[0] : 0;
  c->in_channels = l.axes >= 1 ? l.input->extent[1] : 0;
  for (int32_t a = 0; a < l.axes && a < CBN_MAX_SPATIAL; a++) c->input[a] = l.input->extent[2 + a];
  if (!(c->transposed ? load_transposed(&l, c, r) : load_conv(&l, c, r))) return false;
  for (int32_t a = 0; a < l.axes; a++) {
    c->pad_begin[a] = l.pads[a];
    c->pad_end[a] = l.pads[l.axes + a];
  }
  return (c->transposed ? run_transposed(&l, c, r) : run_conv(&l, c, r)) &&
         cbn_forward_violation(plan, CBN_FAIL_STATUS, r);
}
