/* mindspore.ops: conv1d, conv2d, conv3d, and the primitives behind them, Conv2D and Conv3D; batch_norm and BatchNorm.
 *
 * A function looks at some of its parameters and at the shapes of its tensors, makes a primitive of them, whose
 * constructor looks at all, and calls it; the call is that of the layers. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "dialects/layout.h"
#include "dialects/mindspore.h"

#define CBN_INDEX_ERROR "IndexError"

static const cbn_value zero = {.kind = CBN_INTEGER}, one = {.kind = CBN_INTEGER, .as.integer = 1};

static const cbn_value *given(const cbn_value *params, const char *name, const cbn_value *fallback) {
  const cbn_value *value = cbn_parameter(params, name);
  return value != NULL ? value : fallback;
}

static bool reject_value(cbn_rejection *r, const char *exception, const char *name, const char *wanted,
                         const cbn_value *value) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, exception, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(value).text);
}

static bool reject_length(cbn_rejection *r, const char *name, int wanted, int count) {
  return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR, "%s must have %d entries, got %d", name, wanted,
                    count);
}

/* ------------------------------------------------------------------------------------------------- the primitive */

/* What its constructor gets. conv1d's is a Conv2D of height 1, of which the width's entries stand here. */
typedef struct primitive {
  cbn_mindspore_conv layer;
  cbn_entries kernel, stride, dilation;
  const char *group_name;
  bool casts; /* a padding of 0.0 or False, which equals 0 and fails only in the call */
} primitive;

/* An int or a tuple; `skips`: one with an entry each for batch and channels in front is taken, too. */
static bool read_window(const primitive *p, const char *name, const cbn_entries *e, bool skips, enum cbn_rule rule,
                        int64_t *values, cbn_rejection *r) {
  const int axes = p->layer.spatial_rank, skipped = skips && e->count == axes + 2 ? 2 : 0;
  if (!e->sequence && e->entry[0]->kind != CBN_INTEGER)
    return reject_value(r, CBN_TYPE_ERROR, name, "an int or a tuple of ints", e->entry[0]);
  if (e->sequence && e->count != axes + skipped) return reject_length(r, name, axes, e->count);
  for (int i = -skipped; i < axes; i++) {
    const cbn_value *entry = e->entry[e->sequence ? i + skipped : 0];
    int64_t value;
    if (!cbn_as_integer(entry, false, &value)) return reject_value(r, CBN_VALUE_ERROR, name, "ints", entry);
    if (value <= 0) return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be positive, got %" PRId64, name, value);
    if (i >= 0) values[i] = value;
  }
  return true;
}

static bool check_pad_length(const cbn_mindspore_conv *l, cbn_rejection *r) {
  return !l->padding.sequence || l->padding.count == 2 * l->spatial_rank ||
         reject_length(r, "the padding", 2 * (int)l->spatial_rank, l->padding.count);
}

/* Conv3D and Conv2DTranspose compare without case. */
static bool read_pad_mode(cbn_mindspore_conv *l, cbn_rejection *r) {
  static const char *const names[] = {"same", "valid", "pad"};
  static const cbn_value fallback = {.kind = CBN_STRING, .as.string = {.text = "valid", .length = 5}};
  const cbn_value *mode = given(l->params, "pad_mode", &fallback);
  const bool volumes = l->spatial_rank == 3;
  if (volumes && !check_pad_length(l, r)) return false;
  if (mode->kind != CBN_STRING) return cbn_mindspore_reject_type(l->params, "pad_mode", "a string", r);
  if (!volumes && !check_pad_length(l, r)) return false;
  for (int i = CBN_MINDSPORE_SAME; i <= CBN_MINDSPORE_PAD; i++) {
    l->pad_mode = (enum cbn_mindspore_pad_mode)i;
    if ((volumes || l->transposed ? strcasecmp : strcmp)(mode->as.string.text, names[i]) == 0) return true;
  }
  return cbn_reject(r, CBN_RULE_PADDING_MODE_UNKNOWN, CBN_VALUE_ERROR,
                    "pad_mode must be 'same', 'valid' or 'pad', got %s", cbn_printed_value(mode).text);
}

static bool read_padding(primitive *p, cbn_rejection *r) {
  cbn_mindspore_conv *l = &p->layer;
  const cbn_entries *e = &l->padding;
  if (!e->sequence && e->entry[0]->kind != CBN_INTEGER)
    return reject_value(r, CBN_TYPE_ERROR, "the padding", "an int or a tuple of ints", e->entry[0]);
  if (!read_pad_mode(l, r)) return false;
  /* Conv2DTranspose takes 'PAD' for a mode that pads, and no padding with it */
  const bool lower = !l->transposed || cbn_value_is(cbn_parameter(l->params, "pad_mode"), "pad");
  for (int i = 0; i < 2 * l->spatial_rank; i++) {
    const cbn_value *entry = e->entry[e->sequence ? i : 0];
    const bool integer = cbn_as_integer(entry, false, &l->pad[i]), pads = l->pad_mode == CBN_MINDSPORE_PAD && lower;
    double number;
    if (!pads && (!cbn_as_number(entry, &number) || number != 0))
      return cbn_reject(r, CBN_RULE_PADDING_MUST_BE_ZERO, CBN_VALUE_ERROR,
                        "padding must be 0 where pad_mode is not 'pad', got %s", cbn_printed_value(entry).text);
    if (pads && !integer) return reject_value(r, CBN_TYPE_ERROR, "the padding", "ints", entry);
    if (pads && l->pad[i] < 0)
      return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, CBN_VALUE_ERROR, "padding must not be negative, got %" PRId64,
                        l->pad[i]);
    p->casts = p->casts || !integer;
  }
  return true;
}

static bool read_groups(const primitive *p, int64_t *groups, cbn_rejection *r) {
  const cbn_mindspore_conv *l = &p->layer;
  if (!cbn_mindspore_int(l->params, p->group_name, 1, groups))
    return cbn_mindspore_reject_type(l->params, p->group_name, "an int", r);
  if (*groups <= 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_VALUE_ERROR, "%s must be positive, got %" PRId64, p->group_name,
                      *groups);
  return l->spatial_rank < 3 || cbn_mindspore_divides("the output channels", (double)l->out_channels, (double)*groups,
                                                      CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, r);
}

static bool construct(primitive *p, cbn_conv *c, cbn_rejection *r) {
  const bool skips = p->layer.spatial_rank == 2;
  return read_window(p, "kernel_size", &p->kernel, false, CBN_RULE_KERNEL_POSITIVE, c->kernel, r) &&
         read_window(p, "stride", &p->stride, skips, CBN_RULE_STRIDE_POSITIVE, c->stride, r) &&
         read_window(p, "dilation", &p->dilation, skips, CBN_RULE_DILATION_POSITIVE, c->dilation, r) &&
         read_padding(p, r);
}

static bool check_out_channels(int64_t channels, cbn_rejection *r) {
  return channels > 0 || cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, CBN_VALUE_ERROR,
                                    "the output channels must be positive, got %" PRId64, channels);
}

/* The call up to what the weight's shape has to be. */
static bool check_weight(primitive *p, const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  const cbn_conv *c = &plan->conv;
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT];
  cbn_mindspore_conv *l = &p->layer;
  const char *exception = l->spatial_rank == 3 ? CBN_VALUE_ERROR : CBN_RUNTIME_ERROR;
  if (!cbn_mindspore_check_input(l, request, 1, r)) return false;
  if (weight->rank != l->spatial_rank + 2)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_VALUE_ERROR, "the weight must have %d axes, got %d",
                      (int)l->spatial_rank + 2, (int)weight->rank);
  l->in_channels = cbn_saturating_multiply(weight->extent[1], c->groups);
  if (!cbn_mindspore_check_channels(l, request, c->groups, r)) return false;
  if (weight->extent[0] != l->out_channels)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, exception, "the weight has %" PRId64 " output channels, not %" PRId64,
                      weight->extent[0], l->out_channels);
  for (int a = 0; a < l->spatial_rank; a++)
    if (weight->extent[2 + a] != c->kernel[a])
      return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, exception, "kernel_size is %" PRId64 " where the weight has %" PRId64,
                        c->kernel[a], weight->extent[2 + a]);
  return !p->casts || cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_RUNTIME_ERROR, "the padding must be ints");
}

static bool check_mode(const cbn_value *params, cbn_rejection *r) {
  int64_t mode;
  if (!cbn_mindspore_int(params, "mode", 1, &mode)) return cbn_mindspore_reject_type(params, "mode", "an int", r);
  return mode == 1 || cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR, "mode must be 1, got %" PRId64, mode);
}

static bool check_format(const cbn_value *params, int32_t axes, cbn_rejection *r) {
  const cbn_value *format = cbn_parameter(params, "data_format");
  if (format == NULL || cbn_value_is(format, axes == 3 ? "NCDHW" : "NCHW")) return true;
  return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR, "data_format must be '%s' on a CPU, got %s",
                    axes == 3 ? "NCDHW" : "NCHW", cbn_printed_value(format).text);
}

static bool check_given(const cbn_request *request, const int *roles, cbn_rejection *r) {
  for (; *roles >= 0; roles++)
    if (request->layer[*roles] == NULL)
      return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "the %s is missing", cbn_role_name(*roles));
  return true;
}

static const int weight_alone[] = {CBN_ROLE_WEIGHT, -1};

bool cbn_mindspore_primitive(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                             cbn_rejection *r) {
  static const char *const names[] = {"out_channel", "kernel_size", "mode",  "pad_mode",    "pad",
                                      "stride",      "dilation",    "group", "data_format", NULL};
  const cbn_value *params = request->params;
  primitive p = {.layer = {.params = params, .spatial_rank = operator->spatial_rank }, .group_name = "group"};
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(operator->spatial_rank)};
  if (!cbn_check_names(params, names, 2, r)) return false;
  p.kernel = cbn_as_entries(cbn_parameter(params, "kernel_size"));
  p.stride = cbn_as_entries(given(params, "stride", &one));
  p.dilation = cbn_as_entries(given(params, "dilation", &one));
  p.layer.padding = cbn_as_entries(given(params, "pad", &zero));
  if (!construct(&p, &plan->conv, r) || !check_mode(params, r) || !check_format(params, operator->spatial_rank, r))
    return false;
  if (!cbn_mindspore_int(params, "out_channel", 0, &p.layer.out_channels))
    return cbn_mindspore_reject_type(params, "out_channel", "an int", r);
  return check_out_channels(p.layer.out_channels, r) && read_groups(&p, &plan->conv.groups, r) &&
         check_given(request, weight_alone, r) && check_weight(&p, request, plan, r) &&
         cbn_mindspore_call(&p.layer, request, plan, r);
}

/* ------------------------------------------------------------------------------------------------ Conv2DTranspose */

/* The gradient of a Conv2D with respect to its input, whose shape is input_size: (batch, channels, height, width). */
static bool read_size(const cbn_value *params, int64_t size[4], cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, "input_size");
  const cbn_entries e = cbn_as_entries(value);
  if (value == NULL)
    return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_VALUE_ERROR, "the parameter 'input_size' is missing");
  if (!e.sequence) return reject_value(r, CBN_TYPE_ERROR, "input_size", "a tuple of ints", value);
  for (int i = 0; i < e.count; i++) {
    int64_t entry;
    if (!cbn_as_integer(e.entry[i], false, &entry))
      return reject_value(r, CBN_TYPE_ERROR, "input_size", "ints", e.entry[i]);
    if (entry < -2)
      return cbn_reject(r, CBN_RULE_OUTPUT_SHAPE, CBN_VALUE_ERROR, "input_size must not be negative, got %" PRId64,
                        entry);
    if (i < 4) size[i] = entry;
  }
  return e.count == 4 ||
         cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_RUNTIME_ERROR, "input_size must have 4 entries, got %d", e.count);
}

static bool reject_size(cbn_rejection *r, const char *what, int64_t size, int64_t wanted) {
  return cbn_reject(r, CBN_RULE_OUTPUT_SHAPE, CBN_RUNTIME_ERROR,
                    "input_size is %" PRId64 " in %s, which makes %" PRId64 " and not the input's", size, what, wanted);
}

/* The padding of the forward convolution on that extent, and what it leaves over at the end. */
static bool fit_axis(const cbn_mindspore_conv *l, cbn_conv *c, int a, int64_t size, cbn_rejection *r) {
  const int64_t reach = cbn_saturating_add(cbn_saturating_multiply(c->input[a] - 1, c->stride[a]),
                                           cbn_dilated_kernel(c->kernel[a], c->dilation[a]));
  if (l->pad_mode == CBN_MINDSPORE_SAME) {
    const int64_t total = reach > size ? reach - size : 0;
    c->pad_begin[a] = total / 2;
    c->pad_end[a] = total - total / 2;
  }
  const int64_t left = cbn_saturating_add(cbn_saturating_add(size, c->pad_begin[a] + c->pad_end[a]), -reach);
  const int64_t same = size / c->stride[a] + (size % c->stride[a] != 0);
  if (size < 0 || left < 0 || left >= c->stride[a] || (l->pad_mode == CBN_MINDSPORE_SAME && same != c->input[a]))
    return reject_size(r, a == 0 ? "height" : "width", size, left);
  c->output_padding[a] = left;
  return true;
}

static bool call_transposed(cbn_mindspore_conv *l, const cbn_request *request, const int64_t size[4], cbn_plan *plan,
                            cbn_rejection *r) {
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT];
  cbn_conv *c = &plan->conv;
  c->transposed = true;
  c->batch = request->input.extent[0];
  c->in_channels = request->input.extent[1];
  c->out_channels = size[1];
  if (size[0] != c->batch) return reject_size(r, "batch", size[0], c->batch);
  if (weight->rank != 4 || weight->extent[0] != c->in_channels || weight->extent[2] != c->kernel[0] ||
      weight->extent[3] != c->kernel[1])
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_RUNTIME_ERROR,
                      "the weight must have the input's %" PRId64 " channels first, and the kernel last",
                      c->in_channels);
  if (cbn_saturating_multiply(weight->extent[1], c->groups) != size[1])
    return reject_size(r, "channels", size[1], cbn_saturating_multiply(weight->extent[1], c->groups));
  for (int a = 0; a < 2; a++) {
    c->input[a] = request->input.extent[2 + a];
    c->pad_begin[a] = l->pad_mode == CBN_MINDSPORE_PAD ? l->pad[2 * a] : 0;
    c->pad_end[a] = l->pad_mode == CBN_MINDSPORE_PAD ? l->pad[2 * a + 1] : 0;
    if (!fit_axis(l, c, a, size[2 + a], r)) return false;
  }
  return cbn_mindspore_check_empty_axes(c, r) && cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}

bool cbn_mindspore_transposed_primitive(const cbn_dialect_operator *operator, const cbn_request * request,
                                        cbn_plan *plan, cbn_rejection *r) {
  static const char *const names[] = {"out_channel", "kernel_size", "pad_mode",    "pad",        "mode", "stride",
                                      "dilation",    "group",       "data_format", "input_size", NULL};
  const cbn_value *params = request->params;
  cbn_conv *c = &plan->conv;
  int64_t size[4];
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(operator->spatial_rank)};
  primitive p = {.layer = {.params = params, .spatial_rank = operator->spatial_rank, .transposed = true},
                 .group_name = "group"};
  if (!cbn_check_names(params, names, 2, r)) return false;
  p.kernel = cbn_as_entries(cbn_parameter(params, "kernel_size"));
  p.stride = cbn_as_entries(given(params, "stride", &one));
  p.dilation = cbn_as_entries(given(params, "dilation", &one));
  p.layer.padding = cbn_as_entries(given(params, "pad", &zero));
  if (!cbn_mindspore_int(params, "out_channel", 0, &p.layer.out_channels))
    return cbn_mindspore_reject_type(params, "out_channel", "an int", r);
  if (!check_out_channels(p.layer.out_channels, r) ||
      !read_window(&p, "kernel_size", &p.kernel, false, CBN_RULE_KERNEL_POSITIVE, c->kernel, r) ||
      !check_format(params, 2, r) || !construct(&p, c, r) || !check_mode(params, r) ||
      !read_groups(&p, &c->groups, r) || !check_given(request, weight_alone, r) || !read_size(params, size, r))
    return false;
  if (request->input.rank < 4)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_RUNTIME_ERROR, "the input must have 4 axes, got %d",
                      (int)request->input.rank);
  p.layer.transposed = false; /* its input is looked at as Conv2D's is */
  if (!cbn_mindspore_check_input(&p.layer, request, 1, r)) {
    if (r->rule == CBN_RULE_INPUT_RANK) r->exception = CBN_RUNTIME_ERROR;
    return false;
  }
  if (request->input_type == CBN_BF16) return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_TYPE_ERROR, "bf16 has no kernel");
  if (p.casts) return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_RUNTIME_ERROR, "the padding must be ints");
  return call_transposed(&p.layer, request, size, plan, r);
}

/* ------------------------------------------------------------------------------------------------- the functions */

static bool check_length(const cbn_value *params, const char *name, int wanted, cbn_rejection *r) {
  const cbn_entries e = cbn_as_entries(cbn_parameter(params, name));
  return !e.sequence || e.count == wanted || reject_length(r, name, wanted, e.count);
}

/* conv2d, conv3d: an entry an axis, for both of its ends. */
static bool spread_padding(cbn_mindspore_conv *l, cbn_rejection *r) {
  const cbn_entries e = cbn_as_entries(given(l->params, "padding", &zero));
  if (!check_length(l->params, "padding", (int)l->spatial_rank, r)) return false;
  l->padding = e;
  for (int i = 0; e.sequence && i < 2 * e.count; i++) l->padding.entry[i] = e.entry[i / 2];
  if (e.sequence) l->padding.count = 2 * e.count;
  return true;
}

/* conv1d: an int, or a tuple of one. */
static bool spread_padding_1d(cbn_mindspore_conv *l, cbn_rejection *r) {
  const cbn_value *value = given(l->params, "padding", &zero);
  const cbn_entries e = cbn_as_entries(value);
  int64_t ignored;
  if (!e.sequence && !cbn_as_integer(value, true, &ignored))
    return cbn_mindspore_reject_type(l->params, "padding", "a tuple, a list or an int", r);
  if (!check_length(l->params, "padding", 1, r)) return false;
  l->padding = (cbn_entries){.sequence = true, .count = 2, .entry = {e.entry[0], e.entry[0]}};
  return true;
}

/* conv1d's own look at stride and dilation. */
static bool read_one(const cbn_value *params, const char *name, enum cbn_rule rule, cbn_entries *entries,
                     cbn_rejection *r) {
  const cbn_value *value = given(params, name, &one);
  *entries = cbn_as_entries(value);
  double number;
  int64_t integer;
  if (!entries->sequence && !cbn_as_integer(value, true, &integer))
    return reject_value(r, CBN_VALUE_ERROR, name, "an int or a tuple of one", value);
  if (!check_length(params, name, 1, r)) return false;
  if (!cbn_as_number(entries->entry[0], &number))
    return reject_value(r, CBN_TYPE_ERROR, name, "a number", entries->entry[0]);
  if (number <= 0) return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be positive, got %g", name, number);
  entries->sequence = true;
  return true;
}

/* Python's `channels % groups`, before the primitive sees what `groups` is. */
static bool check_divisible(const cbn_request *request, cbn_rejection *r) {
  const cbn_value *value = given(request->params, "groups", &one);
  const cbn_shape *input = &request->input, *weight = request->layer[CBN_ROLE_WEIGHT];
  double groups;
  if (input->rank < 2)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_INDEX_ERROR, "the input has %d axes", (int)input->rank);
  if (!cbn_as_number(value, &groups)) return reject_value(r, CBN_TYPE_ERROR, "groups", "an int", value);
  return cbn_mindspore_divides("the input's channels", (double)input->extent[1], groups,
                               CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, r) &&
         cbn_mindspore_divides("the weight's output channels", (double)weight->extent[0], groups,
                               CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, r);
}

static bool open_1d(primitive *p, const cbn_request *request, cbn_rejection *r) {
  const cbn_value *params = request->params;
  if (request->input.rank != 3)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have 3 axes, got %d",
                      (int)request->input.rank);
  if (request->layer[CBN_ROLE_WEIGHT]->rank != 3)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_VALUE_ERROR, "the weight must have 3 axes, got %d",
                      (int)request->layer[CBN_ROLE_WEIGHT]->rank);
  return spread_padding_1d(&p->layer, r) && check_divisible(request, r) &&
         read_one(params, "dilation", CBN_RULE_DILATION_POSITIVE, &p->dilation, r) &&
         read_one(params, "stride", CBN_RULE_STRIDE_POSITIVE, &p->stride, r);
}

/* conv2d looks at the padding's length before the groups, conv3d behind them. */
static bool open_more(primitive *p, const cbn_request *request, cbn_rejection *r) {
  const cbn_value *params = request->params;
  const int axes = (int)p->layer.spatial_rank;
  p->stride = cbn_as_entries(given(params, "stride", &one));
  p->dilation = cbn_as_entries(given(params, "dilation", &one));
  return check_length(params, "stride", axes, r) && check_length(params, "dilation", axes, r) &&
         (axes == 3 || spread_padding(&p->layer, r)) && check_divisible(request, r) &&
         (axes == 2 || spread_padding(&p->layer, r));
}

static bool check_bias_rank(const cbn_shape *bias, cbn_rejection *r) {
  return bias == NULL || bias->rank == 1 ||
         cbn_reject(r, CBN_RULE_BIAS_SHAPE, CBN_VALUE_ERROR, "the bias must have 1 axis, got %d", (int)bias->rank);
}

static bool check_bias_length(const cbn_shape *bias, int64_t channels, cbn_rejection *r) {
  return bias == NULL || bias->extent[0] == channels ||
         cbn_reject(r, CBN_RULE_BIAS_SHAPE, CBN_VALUE_ERROR,
                    "the bias must have the %" PRId64 " output channels, got %" PRId64, channels, bias->extent[0]);
}

bool cbn_mindspore_function(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                            cbn_rejection *r) {
  static const char *const names[] = {"stride", "pad_mode", "padding", "dilation", "groups", NULL};
  const int32_t axes = operator->spatial_rank;
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT], *bias = request->layer[CBN_ROLE_BIAS];
  primitive p = {.layer = {.params = request->params, .spatial_rank = axes}, .group_name = "groups"};
  cbn_value kernel[CBN_MAX_SPATIAL];
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(axes)};
  if (!cbn_check_names(request->params, names, 0, r) || !check_given(request, weight_alone, r) ||
      !(axes == 1 ? open_1d(&p, request, r) : open_more(&p, request, r)))
    return false;
  if (weight->rank < axes + 2)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_VALUE_ERROR, "the weight must have %d axes, got %d", (int)axes + 2,
                      (int)weight->rank);
  p.kernel = (cbn_entries){.sequence = true, .count = (int)axes};
  for (int a = 0; a < axes; a++) {
    kernel[a] = (cbn_value){.kind = CBN_INTEGER, .as.integer = weight->extent[2 + a]};
    p.kernel.entry[a] = &kernel[a];
  }
  p.layer.out_channels = weight->extent[0];
  plan->conv.has_bias = bias != NULL;
  return construct(&p, &plan->conv, r) && check_out_channels(p.layer.out_channels, r) &&
         read_groups(&p, &plan->conv.groups, r) && (axes != 2 || check_bias_length(bias, p.layer.out_channels, r)) &&
         check_weight(&p, request, plan, r) && cbn_mindspore_call(&p.layer, request, plan, r) &&
         (axes != 1 || check_bias_length(bias, p.layer.out_channels, r)) && check_bias_rank(bias, r) &&
         check_bias_length(bias, p.layer.out_channels, r);
}

/* ----------------------------------------------------------------------------------------------- normalizations */

/* The primitive's constructor looks for a name without case among all that the framework has, its call takes two. */
enum format { CHANNELS_SECOND, CHANNELS_LAST, OTHER };

static bool read_format(const cbn_value *params, enum format *format, cbn_rejection *r) {
  static const char *const names[] = {"NCHW", "NHWC", "NCDHW", "NDHWC", "ND"};
  const cbn_value *value = cbn_parameter(params, "data_format");
  *format = CHANNELS_SECOND;
  if (value == NULL) return true;
  if (value->kind != CBN_STRING) return cbn_mindspore_reject_type(params, "data_format", "a string", r);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    *format = i < OTHER ? (enum format)i : OTHER;
    if (strcasecmp(value->as.string.text, names[i]) == 0) return true;
  }
  return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR, "there is no data_format %s",
                    cbn_printed_value(value).text);
}

/* Floats, not ints. */
static bool check_float(const cbn_value *params, const char *name, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || value->kind == CBN_REAL || cbn_mindspore_reject_type(params, name, "a float", r);
}

static bool check_shapes(const cbn_request *request, int64_t channels, cbn_rejection *r) {
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  for (int i = 0; i < 4; i++) {
    const cbn_shape *tensor = request->layer[roles[i]];
    if (tensor->rank != 1)
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, CBN_VALUE_ERROR, "the %s must have 1 axis, got %d",
                        cbn_role_name(roles[i]), (int)tensor->rank);
  }
  for (int i = 0; i < 4; i++)
    if (request->layer[roles[i]]->extent[0] != channels)
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, CBN_VALUE_ERROR,
                        "the %s must have the input's %" PRId64 " channels, got %" PRId64, cbn_role_name(roles[i]),
                        channels, request->layer[roles[i]]->extent[0]);
  return true;
}

bool cbn_mindspore_batchnorm_function(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                                      cbn_rejection *r) {
  static const char *const function_names[] = {"training", "momentum", "eps", NULL};
  static const char *const primitive_names[] = {"is_training", "epsilon", "momentum", "data_format", NULL};
  static const int tensors[] = {CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, -1};
  const bool primitive = strcmp(operator->name, "ops.BatchNorm") == 0;
  const char *const *names = primitive ? primitive_names : function_names;
  const char *const training_name = names[0], *const epsilon_name = primitive ? "epsilon" : "eps";
  const cbn_value *params = request->params, *momentum = cbn_parameter(params, "momentum");
  const cbn_shape *input = &request->input;
  bool training;
  enum format format = CHANNELS_SECOND;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM};
  if (!cbn_check_names(params, names, 0, r) || (primitive && !read_format(params, &format, r)) ||
      !check_given(request, tensors, r))
    return false;
  if (!cbn_mindspore_bool(params, training_name, false, &training))
    return cbn_mindspore_reject_type(params, training_name, "a bool", r);
  plan->batchnorm = cbn_batchnorm_make(input->rank - 2);
  cbn_batchnorm *b = &plan->batchnorm;
  b->new_weight = momentum == NULL || momentum->kind != CBN_REAL ? 0.1 : momentum->as.real;
  if (!check_float(params, epsilon_name, r) || !check_float(params, "momentum", r) ||
      !cbn_mindspore_epsilon(params, epsilon_name, &b->epsilon, r))
    return false;
  if (!((float)b->new_weight >= 0 && (float)b->new_weight <= 1))
    return cbn_reject(r, CBN_RULE_MOMENTUM_RANGE, CBN_VALUE_ERROR, "momentum must be in [0, 1], got %g", b->new_weight);
  if (format == OTHER)
    return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_RUNTIME_ERROR, "data_format must be 'NCHW' or 'NHWC', got %s",
                      cbn_printed_value(cbn_parameter(params, "data_format")).text);
  if (input->rank < 2 || input->rank > 4)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have 2 to 4 axes, got %d",
                      (int)input->rank);
  const bool last = format == CHANNELS_LAST;
  const int channel_axis = last ? input->rank - 1 : 1;
  b->batch = input->extent[0];
  b->channels = plan->features = input->extent[channel_axis];
  memcpy(b->extent, input->extent + (last ? 1 : 2), (size_t)b->spatial_rank * sizeof b->extent[0]);
  if (!check_shapes(request, b->channels, r) || !cbn_mindspore_normalized_type("the input", request->input_type, r) ||
      !cbn_mindspore_normalized_type("the layer", request->layer_type, r))
    return false;
  if (b->channels == 0)
    return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, CBN_RUNTIME_ERROR, "the input has no channels");
  b->statistics = training ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = training;
  b->running_variance = CBN_VARIANCE_UNBIASED;
  if (last) cbn_plan_channels_last(plan, b->spatial_rank);
  return cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}
