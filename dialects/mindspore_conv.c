/* mindspore.nn.Conv1d, 2d, 3d and Conv1dTranspose, 2d, 3d.
 *
 * Six constructors that look alike and check in five orders, then one common one; Conv1d is a Conv2d of height 1
 * inside, and the call's checks are those of three kernels: two-dimensional, three-dimensional, transposed. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/violation.h"
#include "dialects/mindspore.h"

#define CONV_NAMES                                                                                                     \
  "in_channels", "out_channels", "kernel_size", "stride", "pad_mode", "padding", "dilation", "group", "has_bias",      \
      "weight_init", "bias_init", "dtype"
static const char *const plain_names[] = {CONV_NAMES, NULL};
static const char *const format_names[] = {CONV_NAMES, "data_format", NULL};
static const char *const output_padding_names[] = {CONV_NAMES, "output_padding", NULL};
static const char *const all_names[] = {CONV_NAMES, "data_format", "output_padding", NULL};

typedef cbn_mindspore_conv layer;

static const cbn_value zero = {.kind = CBN_INTEGER};

static cbn_entries entries_or_zero(const cbn_value *params, const char *name) {
  const cbn_value *value = cbn_parameter(params, name);
  return cbn_as_entries(value != NULL ? value : &zero);
}

/* ------------------------------------------------------------------------------------------------ the windows */

static bool check_positive(const layer *l, const int64_t *values, const char *name, enum cbn_rule rule,
                           cbn_rejection *r) {
  for (int a = 0; a < l->spatial_rank; a++)
    if (values[a] <= 0)
      return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be positive, got %" PRId64 " on axis %c", name, values[a],
                        cbn_axis_name(l->spatial_rank, a));
  return true;
}

/* One axis: an int and nothing else. */
static bool read_one(const layer *l, const char *name, int64_t *value, cbn_rejection *r) {
  return cbn_mindspore_int(l->params, name, *value, value) || cbn_mindspore_reject_type(l->params, name, "an int", r);
}

/* Two axes: an int, or a tuple of two. */
static bool read_pair(const layer *l, const char *name, int64_t values[2], cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(l->params, name);
  if (value == NULL) return true;
  const cbn_entries entries = cbn_as_entries(value);
  for (int i = 0; i < entries.count; i++) {
    int64_t entry;
    if (!cbn_as_integer(entries.entry[i], false, &entry))
      return cbn_mindspore_reject_type(l->params, name, "an int or a tuple of ints", r);
    if (i < 2) values[i] = entry;
  }
  if (entries.sequence && entries.count != 2)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_TYPE_ERROR, "%s must have 2 entries, got %d", name,
                      entries.count);
  if (!entries.sequence) values[1] = values[0];
  return true;
}

/* Three axes: an int, or a tuple of three, not less than `least`; a tuple with an entry of another type is a
 * ValueError. */
static bool read_triple(const layer *l, const char *name, int64_t least, enum cbn_rule rule, int64_t values[3],
                        cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(l->params, name);
  if (value == NULL) return true;
  const cbn_entries entries = cbn_as_entries(value);
  if (!entries.sequence && value->kind != CBN_INTEGER)
    return cbn_mindspore_reject_type(l->params, name, "an int or a tuple of ints", r);
  if (entries.sequence && entries.count != 3)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR, "%s must have 3 entries, got %d", name,
                      entries.count);
  for (int a = 0; a < 3; a++) {
    const cbn_value *entry = entries.entry[entries.sequence ? a : 0];
    if (!cbn_as_integer(entry, false, &values[a]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "%s must be ints, got %s", name,
                        cbn_printed_value(entry).text);
    if (values[a] < least)
      return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be at least %" PRId64 ", got %" PRId64 " on axis %c", name,
                        least, values[a], cbn_axis_name(3, a));
  }
  return true;
}

/* ----------------------------------------------------------------------------------------- channels and groups */

static bool check_group(const layer *l, int64_t *groups, cbn_rejection *r) {
  if (!cbn_mindspore_int(l->params, "group", 1, groups))
    return cbn_mindspore_reject_type(l->params, "group", "an int", r);
  if (*groups <= 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_VALUE_ERROR, "group must be positive, got %" PRId64, *groups);
  return true;
}

bool cbn_mindspore_divides(const char *name, double channels, double group, enum cbn_rule rule, cbn_rejection *r) {
  if (group == 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_ZERO_DIVISION_ERROR, "group must be positive, got 0");
  if (fmod(channels, group) == 0) return true;
  return cbn_reject(r, rule, CBN_VALUE_ERROR, "group %g must divide %s %g", group, name, channels);
}

static bool check_divides(const layer *l, const char *name, double group, enum cbn_rule rule, cbn_rejection *r) {
  double channels;
  if (!cbn_as_number(cbn_parameter(l->params, name), &channels))
    return cbn_mindspore_reject_type(l->params, name, "an int", r);
  return cbn_mindspore_divides(name, channels, group, rule, r);
}

static bool check_divisibility(const layer *l, double group, cbn_rejection *r) {
  return check_divides(l, "in_channels", group, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, r) &&
         check_divides(l, "out_channels", group, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, r);
}

/* The three-dimensional layers divide before they look at the group's type. */
static bool check_divisibility_first(const layer *l, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(l->params, "group");
  double group = 1;
  if (value != NULL && !cbn_as_number(value, &group)) return cbn_mindspore_reject_type(l->params, "group", "an int", r);
  return check_divisibility(l, group, r);
}

static bool check_channels(const layer *l, const char *name, enum cbn_rule rule, int64_t *channels, cbn_rejection *r) {
  if (!cbn_mindspore_int(l->params, name, 0, channels)) return cbn_mindspore_reject_type(l->params, name, "an int", r);
  if (*channels <= 0) return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be positive, got %" PRId64, name, *channels);
  return true;
}

/* ------------------------------------------------------------------------------------------------- the padding */

/* An int or a tuple, of two entries for each axis. */
static bool check_padding_form(const layer *l, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(l->params, "padding");
  if (value != NULL && value->kind != CBN_INTEGER && value->kind != CBN_LIST)
    return cbn_mindspore_reject_type(l->params, "padding", "an int or a tuple of ints", r);
  if (l->padding.sequence && l->padding.count != 2 * l->spatial_rank)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR,
                      "padding must be an int or have %d entries, got %d", 2 * (int)l->spatial_rank, l->padding.count);
  return true;
}

static bool check_padding_entries(const layer *l, cbn_rejection *r) {
  for (int i = 0; i < l->padding.count; i++) {
    int64_t entry;
    if (!cbn_as_integer(l->padding.entry[i], false, &entry))
      return cbn_mindspore_reject_type(l->params, "padding", "an int or a tuple of ints", r);
    if (entry < 0)
      return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, CBN_VALUE_ERROR, "padding must not be negative, got %" PRId64,
                        entry);
  }
  return true;
}

/* Its entries are looked at only in the call. */
static bool check_output_padding_form(const layer *l, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(l->params, "output_padding");
  if (value != NULL && value->kind != CBN_INTEGER && value->kind != CBN_LIST)
    return cbn_mindspore_reject_type(l->params, "output_padding", "an int or a tuple of ints", r);
  if (l->output_padding.sequence && l->output_padding.count != 2)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR,
                      "output_padding must be an int or have 2 entries, got %d", l->output_padding.count);
  return true;
}

/* The three-dimensional layers compare without case; the last check of Conv2d and of the three-dimensional ones is the
 * only one that calls another type a TypeError. */
static bool read_pad_mode(layer *l, cbn_rejection *r) {
  static const char *const names[] = {[CBN_MINDSPORE_SAME] = "same", [CBN_MINDSPORE_VALID] = "valid", [CBN_MINDSPORE_PAD] = "pad"};
  const cbn_value *mode = cbn_parameter(l->params, "pad_mode");
  const bool volumes = l->spatial_rank == 3, image = l->spatial_rank == 2 && !l->transposed;
  l->pad_mode = CBN_MINDSPORE_SAME;
  if (mode != NULL && mode->kind != CBN_STRING && (volumes || image))
    return cbn_mindspore_reject_type(l->params, "pad_mode", "a string", r);
  if (image && !check_padding_form(l, r)) return false;
  for (; mode != NULL; l->pad_mode++) {
    const char *text = mode->kind == CBN_STRING ? mode->as.string.text : "";
    if ((volumes ? strcasecmp(text, names[l->pad_mode]) : strcmp(text, names[l->pad_mode])) == 0) break;
    if (l->pad_mode == CBN_MINDSPORE_PAD)
      return cbn_reject(r, CBN_RULE_PADDING_MODE_UNKNOWN, CBN_VALUE_ERROR,
                        "pad_mode must be 'same', 'valid' or 'pad', got %s", cbn_printed_value(mode).text);
  }
  for (int i = 0; i < 2 * l->spatial_rank; i++) {
    cbn_as_integer(l->padding.entry[i % l->padding.count], false, &l->pad[i]);
    if (l->pad_mode != CBN_MINDSPORE_PAD && l->pad[i] != 0)
      return cbn_reject(r, CBN_RULE_PADDING_MUST_BE_ZERO, CBN_VALUE_ERROR,
                        "padding must be 0 with pad_mode '%s', got %" PRId64, names[l->pad_mode], l->pad[i]);
  }
  return true;
}

/* ------------------------------------------------------------------------------------------------- construction */

/* What the constructors check before the common one. */
static bool construct_one(const layer *l, cbn_conv *c, cbn_rejection *r) {
  int64_t padding = 0;
  if (!read_one(l, "kernel_size", c->kernel, r) || !read_one(l, "stride", c->stride, r) ||
      !read_one(l, "padding", &padding, r) || !read_one(l, "dilation", c->dilation, r) ||
      !check_positive(l, c->kernel, "kernel_size", CBN_RULE_KERNEL_POSITIVE, r) ||
      !check_positive(l, c->stride, "stride", CBN_RULE_STRIDE_POSITIVE, r) || !check_padding_entries(l, r) ||
      !check_positive(l, c->dilation, "dilation", CBN_RULE_DILATION_POSITIVE, r))
    return false;
  return l->transposed || (check_group(l, &c->groups, r) && check_divisibility(l, (double)c->groups, r));
}

static bool construct_two(const layer *l, cbn_conv *c, cbn_rejection *r) {
  if (!read_pair(l, "kernel_size", c->kernel, r) || !read_pair(l, "stride", c->stride, r) ||
      !read_pair(l, "dilation", c->dilation, r))
    return false;
  if (l->transposed) return check_padding_form(l, r) && check_output_padding_form(l, r);
  return check_group(l, &c->groups, r) && check_divisibility(l, (double)c->groups, r);
}

static bool construct_three(const layer *l, cbn_conv *c, cbn_rejection *r) {
  return check_divisibility_first(l, r) && read_triple(l, "kernel_size", 1, CBN_RULE_KERNEL_POSITIVE, c->kernel, r) &&
         read_triple(l, "stride", 1, CBN_RULE_STRIDE_POSITIVE, c->stride, r) &&
         read_triple(l, "dilation", 1, CBN_RULE_DILATION_POSITIVE, c->dilation, r) && check_padding_form(l, r) &&
         (!l->transposed || read_triple(l, "output_padding", 0, CBN_RULE_OUTPUT_PADDING_RANGE, c->output_padding, r));
}

/* The common constructor; what an own one has checked passes again. */
static bool construct_common(layer *l, cbn_plan *plan, cbn_rejection *r) {
  const cbn_value *params = l->params;
  cbn_conv *c = &plan->conv;
  bool has_bias;
  if (!check_channels(l, "in_channels", CBN_RULE_IN_CHANNELS_POSITIVE, &l->in_channels, r) ||
      !check_channels(l, "out_channels", CBN_RULE_OUT_CHANNELS_POSITIVE, &l->out_channels, r) ||
      !cbn_mindspore_data_format(params, true, r) || !check_padding_entries(l, r) || !check_group(l, &c->groups, r) ||
      !check_positive(l, c->kernel, "kernel_size", CBN_RULE_KERNEL_POSITIVE, r) ||
      !check_positive(l, c->stride, "stride", CBN_RULE_STRIDE_POSITIVE, r) ||
      !check_positive(l, c->dilation, "dilation", CBN_RULE_DILATION_POSITIVE, r) ||
      !check_divisibility(l, (double)c->groups, r))
    return false;
  const cbn_value *weight_init = cbn_parameter(params, "weight_init"), *bias_init = cbn_parameter(params, "bias_init");
  if (weight_init != NULL && weight_init->kind != CBN_NULL &&
      !cbn_mindspore_initializer(params, "weight_init", true, CBN_ROLE_WEIGHT, plan, r))
    return false;
  if (!cbn_mindspore_bool(params, "has_bias", false, &has_bias))
    return cbn_mindspore_reject_type(params, "has_bias", "a bool", r);
  if (has_bias && bias_init != NULL && bias_init->kind != CBN_NULL &&
      !cbn_mindspore_initializer(params, "bias_init", false, CBN_ROLE_BIAS, plan, r))
    return false;
  c->has_bias = has_bias;
  return true;
}

static bool check_limit(const char *what, int64_t value, int64_t limit, cbn_rejection *r) {
  if (value <= limit) return true;
  return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR, "%s must be at most %" PRId64 ", got %" PRId64, what,
                    limit, value);
}

/* What only the kernel of Conv3dTranspose asks for. */
static bool check_transposed_volume(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  const int64_t area = cbn_saturating_multiply(c->kernel[1], c->kernel[2]);
  for (int a = 0; a < 3 && l->pad_mode != CBN_MINDSPORE_PAD; a++)
    if (c->output_padding[a] != 0)
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_VALUE_ERROR,
                        "output_padding must be 0 where pad_mode is not 'pad', got %" PRId64, c->output_padding[a]);
  if (!check_limit("the kernel's elements", cbn_saturating_multiply(c->kernel[0], area), 343, r) ||
      !check_limit("the stride on axis D", c->stride[0], 256, r))
    return false;
  for (int a = 0; a < 3; a++)
    if (c->output_padding[a] >= c->stride[a] && c->output_padding[a] >= c->dilation[a])
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_VALUE_ERROR,
                        "output_padding must be less than the stride or the dilation, got %" PRId64 " on axis %c",
                        c->output_padding[a], cbn_axis_name(3, a));
  return true;
}

static bool construct(layer *l, cbn_plan *plan, cbn_rejection *r) {
  const char *const *names = l->transposed          ? l->spatial_rank == 1   ? plain_names
                                                      : l->spatial_rank == 2 ? output_padding_names
                                                                             : all_names
                             : l->spatial_rank == 1 ? plain_names
                                                    : format_names;
  cbn_conv *c = &plan->conv;
  if (!cbn_check_names(l->params, names, 3, r)) return false;
  l->padding = entries_or_zero(l->params, "padding");
  l->output_padding = entries_or_zero(l->params, "output_padding");
  const bool own = l->spatial_rank == 1   ? construct_one(l, c, r)
                   : l->spatial_rank == 2 ? construct_two(l, c, r)
                                          : construct_three(l, c, r);
  if (!own || !construct_common(l, plan, r)) return false;
  const bool volumes = l->spatial_rank == 3;
  if (volumes && l->transposed && c->dilation[0] != 1)
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR, "the dilation on axis D must be 1, got %" PRId64,
                      c->dilation[0]);
  if (!read_pad_mode(l, r)) return false;
  const cbn_value *format = cbn_parameter(l->params, "data_format");
  if (format != NULL && cbn_value_is(format, "NCDHW") != volumes)
    return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR, "data_format must be '%s' here, got %s",
                      volumes ? "NCDHW" : "NCHW", cbn_printed_value(format).text);
  return !volumes || !l->transposed || check_transposed_volume(l, c, r);
}

/* -------------------------------------------------------------------------------------------------- the call */

static bool reject_channels(int64_t channels, const layer *l, const char *exception, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, exception,
                    "the input has %" PRId64 " channels, in_channels is %" PRId64, channels, l->in_channels);
}

static bool check_rank(const layer *l, int32_t rank, cbn_rejection *r) {
  return rank == l->spatial_rank + 2 ||
         cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have %d axes, got %d",
                    (int)l->spatial_rank + 2, (int)rank);
}

static bool reject_types(const cbn_request *request, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_TYPE_ERROR, "input and layer must both be f32 or both f16, got %s and %s",
                    cbn_type_name(request->input_type), cbn_type_name(request->layer_type));
}

/* Only when a kernel is to be chosen for it does a convolution of bf16 fail. */
static bool fails_late(const layer *l, const cbn_request *request) {
  return !l->transposed && request->input_type == CBN_BF16 && request->layer_type == CBN_BF16;
}

/* The kernels compare types before they look at shapes; some layers need an axis, or split one, before that. */
bool cbn_mindspore_check_input(const layer *l, const cbn_request *request, int64_t groups, cbn_rejection *r) {
  const int32_t input = request->input_type, weight = request->layer_type, rank = request->input.rank;
  const bool splits = l->spatial_rank == 3 && !l->transposed && groups > 1;
  const bool unpacks = l->transposed && l->spatial_rank < 3;
  if ((unpacks || ((splits || l->spatial_rank == 1) && rank < 2)) && !check_rank(l, rank, r)) return false;
  if (splits && request->input.extent[1] % groups != 0)
    return reject_channels(request->input.extent[1], l, CBN_VALUE_ERROR, r);
  if (!fails_late(l, request) && (input != weight || (input != CBN_F32 && input != CBN_F16)))
    return reject_types(request, r);
  return check_rank(l, rank, r);
}

/* The zeros that `total` asks for, half of them before, the odd one behind. */
static void split(cbn_conv *c, int a, int64_t total) {
  c->pad_begin[a] = total / 2;
  c->pad_end[a] = total - c->pad_begin[a];
}

/* An axis without elements: `same` has no output then, and so has a transposed one but for what the kernel adds; the
 * engine's arithmetic on extents comes to that only where the dilated kernel is at least as long as the stride. */
bool cbn_mindspore_check_empty_axes(const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < c->spatial_rank; a++)
    if (c->input[a] == 0 && cbn_dilated_kernel(c->kernel[a], c->dilation[a]) < c->stride[a])
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_RUNTIME_ERROR,
                        "the input's extent is 0 on axis %c, and the stride %" PRId64 " exceeds the dilated kernel",
                        cbn_axis_name(c->spatial_rank, a), c->stride[a]);
  return true;
}

/* `same`: ceil(input / stride) outputs. */
static void pad_same(cbn_conv *c) {
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t out = c->input[a] / c->stride[a] + (c->input[a] % c->stride[a] != 0);
    const int64_t reach = cbn_saturating_add(cbn_saturating_multiply(out - 1, c->stride[a]),
                                             cbn_dilated_kernel(c->kernel[a], c->dilation[a]));
    split(c, a, out > 0 && reach > c->input[a] ? reach - c->input[a] : 0);
  }
}

/* The check of the two-dimensional kernel that forgets the dilation. */
static bool check_undilated(const cbn_conv *c, const int64_t *padded, cbn_rejection *r) {
  for (int a = 0; a < c->spatial_rank; a++)
    if (padded[a] < c->kernel[a])
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_VALUE_ERROR,
                        "the kernel's extent %" PRId64 " exceeds the padded input's %" PRId64 " on axis %c",
                        c->kernel[a], padded[a], cbn_axis_name(c->spatial_rank, a));
  return true;
}

/* The extents that the framework computes for the output, before it makes a tensor of them. It takes -1, and in three
 * dimensions -2, for the mark of a shape that is not known yet: that fails later, with another exception; behind a -2
 * no axis is looked at. */
static bool check_computed_extents(const int64_t *extent, int32_t spatial_rank, enum cbn_rule rule, cbn_rejection *r) {
  for (int a = 0; a < spatial_rank && (spatial_rank < 3 || extent[a] != -2); a++)
    if (extent[a] < -1)
      return cbn_reject(r, rule, CBN_VALUE_ERROR, "the output's extent would be %" PRId64 " on axis %c", extent[a],
                        cbn_axis_name(spatial_rank, a));
  for (int a = 0; a < spatial_rank; a++)
    if (extent[a] < 0)
      return cbn_reject(r, rule, CBN_RUNTIME_ERROR, "the output's extent would be %" PRId64 " on axis %c", extent[a],
                        cbn_axis_name(spatial_rank, a));
  return true;
}

/* A kernel that exceeds the padded input P by D - P > 0. The extent that the framework computes is floor((P - D) /
 * stride) + 1; in three dimensions and the mode `pad` it rounds towards zero instead. Of 0 elements it lets through
 * those that the engine comes to as well: all in that mode, else P - D = -stride. */
static bool check_kernel_fits(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  int64_t padded[CBN_MAX_SPATIAL], extent[CBN_MAX_SPATIAL];
  const bool truncates = l->spatial_rank == 3 && l->pad_mode == CBN_MINDSPORE_PAD;
  for (int a = 0; a < c->spatial_rank; a++) {
    padded[a] = cbn_saturating_add(cbn_saturating_add(c->input[a], c->pad_begin[a]), c->pad_end[a]);
    const int64_t spare = padded[a] - cbn_dilated_kernel(c->kernel[a], c->dilation[a]); /* of two that are >= 0 */
    extent[a] = spare / c->stride[a] - (spare < 0 && spare % c->stride[a] != 0 && !truncates) + 1;
  }
  if (l->spatial_rank < 3 && !check_undilated(c, padded, r)) return false;
  if (!check_computed_extents(extent, c->spatial_rank, CBN_RULE_KERNEL_EXCEEDS_INPUT, r)) return false;
  for (int a = 0; a < c->spatial_rank && !truncates; a++) {
    const int64_t excess = cbn_dilated_kernel(c->kernel[a], c->dilation[a]) - padded[a];
    if (excess > 0 && excess != c->stride[a])
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_RUNTIME_ERROR,
                        "the dilated kernel exceeds the padded input's extent %" PRId64 " by %" PRId64 " on axis %c",
                        padded[a], excess, cbn_axis_name(c->spatial_rank, a));
  }
  return true;
}

bool cbn_mindspore_check_channels(const layer *l, const cbn_request *request, int64_t groups, cbn_rejection *r) {
  const int64_t channels = request->input.extent[1];
  return channels / groups == l->in_channels / groups ||
         reject_channels(channels, l, l->spatial_rank == 3 ? CBN_VALUE_ERROR : CBN_RUNTIME_ERROR, r);
}

static bool call_forward(const layer *l, cbn_conv *c, cbn_rejection *r) {
  if (l->pad_mode == CBN_MINDSPORE_SAME) pad_same(c);
  else if (!check_kernel_fits(l, c, r)) return false;
  if (c->in_channels != l->in_channels) return reject_channels(c->in_channels, l, CBN_RUNTIME_ERROR, r);
  return l->pad_mode != CBN_MINDSPORE_SAME || cbn_mindspore_check_empty_axes(c, r);
}

/* The extent that a transposed layer computes; `same` is stride times the input, `valid` at least that. */
static int64_t transposed_extent(const cbn_conv *c, int a) {
  const int64_t steps = cbn_saturating_multiply(c->input[a] - 1, c->stride[a]);
  const int64_t full = cbn_saturating_add(steps, cbn_dilated_kernel(c->kernel[a], c->dilation[a]));
  return cbn_saturating_add(cbn_saturating_add(full, -c->pad_begin[a]), c->output_padding[a] - c->pad_end[a]);
}

/* Conv2dTranspose, once the output is computed. */
static bool read_output_padding(const layer *l, cbn_conv *c, cbn_rejection *r) {
  double entry[2];
  bool whole = true;
  for (int a = 0; a < 2; a++) {
    const cbn_value *value = l->output_padding.entry[l->output_padding.sequence ? a : 0];
    whole = whole && value->kind == CBN_INTEGER;
    if (!cbn_as_number(value, &entry[a]))
      return cbn_mindspore_reject_type(l->params, "output_padding", "an int or a tuple of ints", r);
    const double limit = (double)(c->stride[a] > c->dilation[a] ? c->stride[a] : c->dilation[a]);
    if (entry[a] < 0 || entry[a] >= limit)
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_VALUE_ERROR,
                        "output_padding must be at least 0 and less than %g, got %g on axis %c", limit, entry[a],
                        cbn_axis_name(2, a));
  }
  if (l->pad_mode != CBN_MINDSPORE_PAD && (entry[0] > 0 || entry[1] > 0))
    return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_VALUE_ERROR,
                      "output_padding must be 0 where pad_mode is not 'pad'");
  if (!whole)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_RUNTIME_ERROR, "output_padding must be ints, got %s",
                      cbn_printed_value(cbn_parameter(l->params, "output_padding")).text);
  for (int a = 0; a < 2 && l->pad_mode == CBN_MINDSPORE_PAD; a++) c->output_padding[a] = (int64_t)entry[a];
  return true;
}

/* `same` crops to stride times the input, `valid` crops nothing; where the kernel is shorter than the stride both add
 * the elements that it does not reach. */
static void fit_transposed(const layer *l, cbn_conv *c) {
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t spare = cbn_dilated_kernel(c->kernel[a], c->dilation[a]) - c->stride[a];
    if (l->pad_mode == CBN_MINDSPORE_SAME) split(c, a, spare > 0 ? spare : 0);
    if (l->pad_mode != CBN_MINDSPORE_PAD) c->output_padding[a] = spare < 0 ? -spare : 0;
  }
}

static bool call_transposed(const layer *l, cbn_conv *c, cbn_rejection *r) {
  if (l->spatial_rank == 3 && c->in_channels != l->in_channels)
    return reject_channels(c->in_channels, l, CBN_VALUE_ERROR, r);
  fit_transposed(l, c);
  int64_t extent[CBN_MAX_SPATIAL];
  for (int a = 0; a < c->spatial_rank; a++) extent[a] = transposed_extent(c, a);
  if (!check_computed_extents(extent, c->spatial_rank, CBN_RULE_OUTPUT_EXTENT_POSITIVE, r)) return false;
  if (c->in_channels != l->in_channels) return reject_channels(c->in_channels, l, CBN_RUNTIME_ERROR, r);
  for (int a = 0; a < c->spatial_rank && l->spatial_rank == 3; a++)
    if (c->output_padding[a] >= c->stride[a])
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_RUNTIME_ERROR,
                        "output_padding must be less than the stride, got %" PRId64 " on axis %c", c->output_padding[a],
                        cbn_axis_name(3, a));
  if (l->pad_mode != CBN_MINDSPORE_PAD && !cbn_mindspore_check_empty_axes(c, r)) return false;
  return l->spatial_rank != 2 || read_output_padding(l, c, r);
}

bool cbn_mindspore_call(const layer *l, const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  cbn_conv *c = &plan->conv;
  c->transposed = l->transposed;
  c->batch = request->input.extent[0];
  c->in_channels = request->input.extent[1];
  c->out_channels = l->out_channels;
  memcpy(c->input, request->input.extent + 2, (size_t)l->spatial_rank * sizeof c->input[0]);
  for (int a = 0; a < l->spatial_rank && l->pad_mode == CBN_MINDSPORE_PAD; a++) {
    c->pad_begin[a] = l->pad[2 * a];
    c->pad_end[a] = l->pad[2 * a + 1];
  }
  const bool fits = l->transposed ? call_transposed(l, c, r) : call_forward(l, c, r);
  if (fails_late(l, request)) { /* behind what the framework itself checks, before what its kernels do */
    const bool earlier = !fits && (r->rule == CBN_RULE_INPUT_CHANNELS_MISMATCH ||
                                   (l->spatial_rank < 3 && strcmp(r->exception, CBN_VALUE_ERROR) == 0));
    return !earlier && reject_types(request, r);
  }
  return fits && cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}

bool cbn_mindspore_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                               cbn_rejection *r) {
  layer l = {.params = request->params, .spatial_rank = operator->spatial_rank, .transposed = operator->transposed };
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(operator->spatial_rank)};
  return construct(&l, plan, r) && cbn_mindspore_check_input(&l, request, plan->conv.groups, r) &&
         (l.transposed || cbn_mindspore_check_channels(&l, request, plan->conv.groups, r)) &&
         cbn_mindspore_call(&l, request, plan, r);
}
