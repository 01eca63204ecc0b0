/* PyTorch: torch.nn.Conv1d, Conv2d, Conv3d, their transposed counterparts, and the functions of torch.nn.functional
 * that they call. A function has no construction: a weight takes the place of the parameters that make one. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/violation.h"
#include "dialects/pytorch.h"

static const char *const forward_names[] = {"in_channels",  "out_channels", "kernel_size", "stride",
                                            "padding",      "dilation",     "groups",      "bias",
                                            "padding_mode", "device",       "dtype",       NULL};
static const char *const transposed_names[] = {
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "bias",
    "dilation",    "padding_mode", "device",      "dtype",  NULL};
static const char *const function_names[] = {"stride", "padding", "dilation", "groups", NULL};
static const char *const transposed_function_names[] = {"stride", "padding",  "output_padding",
                                                        "groups", "dilation", NULL};

static const char *const mode_names[] = {[CBN_PAD_ZEROS] = "zeros",
                                         [CBN_PAD_REFLECT] = "reflect",
                                         [CBN_PAD_REPLICATE] = "replicate",
                                         [CBN_PAD_CIRCULAR] = "circular"};

/* A layer under construction: the parameters as written, and as numbers once they are known to be some. */
typedef struct layer {
  const cbn_value *params;
  int axes; /* spatial ones */
  bool transposed;
  bool is_function;
  int mode; /* enum cbn_padding_mode */
  bool named, same; /* padding is a name, and this one */
  bool has_bias;
  const cbn_shape *bias; /* of a function, NULL without one */
  cbn_entries kernel_size, stride, padding, dilation, output_padding; /* padding only where it is no name */
  int64_t in_channels, out_channels, groups;
  int kernel_axes; /* of the weight */
  int64_t kernel[CBN_MAX_NATIVE_RANK];
} layer;

static const cbn_value zero = {.kind = CBN_INTEGER, .as.integer = 0};
static const cbn_value one = {.kind = CBN_INTEGER, .as.integer = 1};

/* The entries of a parameter, of `fallback` where it is left out. To a constructor the empty string is an empty
 * sequence, as any iterable; another string is a sequence of strings, which is refused wherever it is read. */
static cbn_entries entries_or(const layer *l, const char *name, const cbn_value *fallback) {
  static const cbn_value none = {.kind = CBN_LIST};
  const cbn_value *value = cbn_parameter(l->params, name);
  return cbn_as_entries(value == NULL ? fallback : !l->is_function && cbn_value_is(value, "") ? &none : value);
}

static void read_entries(layer *l) {
  l->kernel_size = entries_or(l, "kernel_size", &one);
  l->stride = entries_or(l, "stride", &one);
  l->padding = entries_or(l, "padding", &zero);
  l->dilation = entries_or(l, "dilation", &one);
  l->output_padding = entries_or(l, "output_padding", &zero);
}

/* A padding that is a name; a transposed convolution takes a string as any sequence, which fails when it is called. */
static void read_name(layer *l) {
  const cbn_value *padding = cbn_parameter(l->params, "padding");
  l->named = !l->transposed && padding != NULL && padding->kind == CBN_STRING;
  l->same = l->named && cbn_value_is(padding, "same");
  if (l->named) l->padding = cbn_as_entries(&zero);
}

static bool check_name(const layer *l, const char *exception, cbn_rejection *r) {
  const cbn_value *padding = cbn_parameter(l->params, "padding");
  return !l->named || l->same || cbn_value_is(padding, "valid") ||
         cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, exception, "padding must be 'same', 'valid' or numbers, got %s",
                    cbn_printed_value(padding).text);
}

static bool check_same_strides(const layer *l, const char *exception, cbn_rejection *r) {
  for (int i = 0; l->same && i < l->stride.count; i++) {
    double stride;
    if (!cbn_as_number(l->stride.entry[i], &stride) || stride != 1)
      return cbn_reject(r, CBN_RULE_SAME_NEEDS_UNIT_STRIDE, exception, "padding='same' needs stride 1, got %s",
                        cbn_printed_value(l->stride.entry[i]).text);
  }
  return true;
}

static char axis_name(const layer *l, int axis) { return cbn_axis_name(l->axes, axis); }

/* ------------------------------------------------------------------------------------------------ construction */

static bool check_channels_and_groups(const layer *l, cbn_rejection *r) {
  double in, out, groups;
  if (!cbn_pytorch_number(l->params, "groups", 1, &groups))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "groups must be an int, got %s",
                      cbn_printed_value(cbn_parameter(l->params, "groups")).text);
  if (groups <= 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_VALUE_ERROR, "groups must be a positive integer, got %g",
                      groups);
  if (!cbn_pytorch_number(l->params, "in_channels", 0, &in))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "in_channels must be an int");
  if (fmod(in, groups) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, CBN_VALUE_ERROR,
                      "in_channels %g must be divisible by groups %g", in, groups);
  if (!cbn_pytorch_number(l->params, "out_channels", 0, &out))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "out_channels must be an int");
  if (fmod(out, groups) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, CBN_VALUE_ERROR,
                      "out_channels %g must be divisible by groups %g", out, groups);
  return true;
}

static bool read_padding_mode(layer *l, cbn_rejection *r) {
  const cbn_value *mode = cbn_parameter(l->params, "padding_mode");
  for (l->mode = CBN_PAD_ZEROS; mode != NULL && !cbn_value_is(mode, mode_names[l->mode]); l->mode++)
    if (l->mode == CBN_PAD_CIRCULAR || l->transposed)
      return cbn_reject(r, CBN_RULE_PADDING_MODE_UNKNOWN, CBN_VALUE_ERROR,
                        l->transposed ? "padding_mode must be 'zeros', got %s"
                                      : "padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got %s",
                        cbn_printed_value(mode).text);
  return true;
}

/* `same` computes with the dilations: numbers, of which a float fails only in the call. */
static bool check_same_dilations(const layer *l, cbn_rejection *r) {
  const int axes = l->kernel_size.sequence ? l->kernel_size.count : l->axes;
  for (int i = 0; l->same && i < l->dilation.count && i < axes; i++) {
    double ignored;
    if (!cbn_as_number(l->dilation.entry[i], &ignored))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "dilation must be ints, got %s",
                        cbn_printed_value(l->dilation.entry[i]).text);
  }
  return true;
}

/* The weight is made, (out, in / groups, kernel...) or (in, out / groups, kernel...), then the bias, (out): extents
 * must be ints and not negative, and the first of a tensor no bool. */
static bool make_tensors(layer *l, cbn_rejection *r) {
  const cbn_value *groups = cbn_parameter(l->params, "groups");
  l->has_bias = cbn_as_truth(cbn_parameter(l->params, "bias"), true);
  if (!cbn_as_integer(cbn_parameter(l->params, "out_channels"), l->transposed, &l->out_channels) ||
      !cbn_as_integer(cbn_parameter(l->params, "in_channels"), !l->transposed, &l->in_channels) ||
      !cbn_as_integer(groups != NULL ? groups : &one, true, &l->groups))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "in_channels, out_channels and groups must be ints");
  const int64_t first = l->transposed ? l->in_channels : l->out_channels;
  const int64_t second = (l->transposed ? l->out_channels : l->in_channels) / l->groups;
  int64_t elements[2 + CBN_MAX_NATIVE_RANK] = {first, second};
  for (int i = 0; i < l->kernel_size.count; i++)
    if (!cbn_as_integer(l->kernel_size.entry[i], true, &elements[2 + i]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "kernel_size must be ints, got %s",
                        cbn_printed_value(l->kernel_size.entry[i]).text);
  if (l->out_channels < 0)
    return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, CBN_RUNTIME_ERROR, "out_channels is negative: %" PRId64,
                      l->out_channels);
  if (l->in_channels < 0)
    return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, CBN_RUNTIME_ERROR, "in_channels is negative: %" PRId64,
                      l->in_channels);
  int rank = 2 + l->kernel_size.count;
  for (; !l->kernel_size.sequence && rank < 2 + l->axes; rank++) elements[rank] = elements[2];
  for (int i = 2; i < rank; i++)
    if (elements[i] < 0)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, CBN_RUNTIME_ERROR, "kernel_size is negative: %" PRId64,
                        elements[i]);
  if (cbn_extent_product(rank, elements) < 0)
    return cbn_reject(r, CBN_RULE_EXTENT_OVERFLOW, CBN_RUNTIME_ERROR, "the weight's size overflows");
  memcpy(l->kernel, elements + 2, sizeof l->kernel);
  l->kernel_axes = rank - 2;
  if (l->has_bias && cbn_parameter(l->params, "out_channels")->kind == CBN_BOOLEAN)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "out_channels must be an int, got a bool");
  return true;
}

static bool construct(layer *l, cbn_rejection *r) {
  if (!cbn_check_names(l->params, l->transposed ? transposed_names : forward_names, 3, r)) return false;
  read_entries(l);
  read_name(l);
  if (l->transposed && !read_padding_mode(l, r)) return false;
  return check_channels_and_groups(l, r) && check_name(l, CBN_VALUE_ERROR, r) &&
         check_same_strides(l, CBN_VALUE_ERROR, r) && (l->transposed || read_padding_mode(l, r)) &&
         check_same_dilations(l, r) && make_tensors(l, r);
}

/* What a function is given instead, (out, in / groups, kernel...) or (in, out / groups, kernel...): of any shape
 * until the call looks at it. */
static bool take_tensors(layer *l, const cbn_request *request, cbn_rejection *r) {
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT];
  if (!cbn_check_names(l->params, l->transposed ? transposed_function_names : function_names, 0, r)) return false;
  if (weight == NULL) return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "the weight is missing");
  read_entries(l);
  read_name(l);
  if (!cbn_as_integer(cbn_parameter(l->params, "groups"), true, &l->groups)) l->groups = 1; /* checked in the call */
  l->bias = request->layer[CBN_ROLE_BIAS];
  l->has_bias = l->bias != NULL;
  l->kernel_axes = weight->rank - 2;
  for (int a = 0; a < l->kernel_axes; a++) l->kernel[a] = weight->extent[2 + a];
  if (l->kernel_axes < 1) return true;
  const int64_t each = cbn_saturating_multiply(weight->extent[1], l->groups);
  l->in_channels = l->transposed ? weight->extent[0] : each;
  l->out_channels = l->transposed ? each : weight->extent[0];
  return true;
}

/* -------------------------------------------------------------------------------------- reading sequences of ints */

/* Every entry an int. The framework looks at one entry closely, the first or the `last`: only elsewhere a bool
 * passes. */
static bool check_ints(const cbn_entries *entries, const char *name, bool last, cbn_rejection *r) {
  const int strict = last ? entries->count - 1 : 0;
  for (int i = 0; i < entries->count; i++) {
    int64_t ignored;
    if (!cbn_as_integer(entries->entry[i], i != strict, &ignored))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "%s must be ints, got %s", name,
                        cbn_printed_value(entries->entry[i]).text);
  }
  return true;
}

/* One entry for all axes, or one each. */
static bool expand(const layer *l, const cbn_entries *entries, const char *name, int64_t values[CBN_MAX_SPATIAL],
                   cbn_rejection *r) {
  if (entries->count != 1 && entries->count != l->axes)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_RUNTIME_ERROR, "%s must have 1 or %d entries, got %d", name,
                      l->axes, entries->count);
  for (int a = 0; a < l->axes; a++) cbn_as_integer(entries->entry[a % entries->count], true, &values[a]);
  return true;
}

static bool check_call_types(const layer *l, cbn_rejection *r) {
  const cbn_value *groups = cbn_parameter(l->params, "groups");
  if (!check_ints(&l->stride, "stride", false, r) || !check_ints(&l->dilation, "dilation", false, r)) return false;
  if (l->mode == CBN_PAD_ZEROS && !check_ints(&l->padding, "padding", false, r)) return false;
  if (l->transposed && !check_ints(&l->output_padding, "output_padding", false, r)) return false;
  int64_t ignored;
  return groups == NULL || cbn_as_integer(groups, false, &ignored) ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "groups must be an int, got %s",
                    cbn_printed_value(groups).text);
}

/* ------------------------------------------------------------------------------- the modes that read the input */

/* How many axes `F.pad` is asked to pad: as many as `padding` has entries or, where it is a name, the kernel. */
static int padded_axes(const layer *l) {
  if (l->named) return l->kernel_axes;
  return l->padding.sequence ? l->padding.count : l->axes;
}

/* The amounts that `F.pad` is given: the last entry pads the last axis, missing ones nothing, and one more than there
 * are axes pads the channels, which nothing here can say unless it is 0. */
static bool read_pad_amounts(const layer *l, int count, cbn_conv *c, cbn_rejection *r) {
  for (int i = 0; i < count && !l->same; i++) {
    const int axis = l->axes - count + i;
    int64_t pad;
    cbn_as_integer(l->padding.entry[l->padding.count == 1 ? 0 : i], true, &pad);
    if (axis >= 0) c->pad_begin[axis] = c->pad_end[axis] = pad;
    else if (pad != 0)
      return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_RUNTIME_ERROR, "padding pads the channels too, by %" PRId64,
                        pad);
  }
  return true;
}

/* The extents that `F.pad` makes. */
static bool pad_input(const layer *l, const cbn_shape *input, cbn_conv *c, cbn_rejection *r) {
  const char *mode = mode_names[l->mode];
  const int32_t rank = input->rank;
  const bool image = rank == l->axes + 1 || rank == l->axes + 2;
  if (!l->same && !check_ints(&l->padding, "padding", true, r)) return false;
  for (int i = 0; l->same && i < l->dilation.count && i < l->axes; i++)
    if (l->dilation.entry[i]->kind == CBN_REAL)
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "dilation must be ints, got %s",
                        cbn_printed_value(l->dilation.entry[i]).text);
  const int count = padded_axes(l);
  const bool pads = count >= 1 && count <= 3 && (count == rank - 1 || count == rank - 2);
  const char *exception = pads || count > rank ? CBN_RUNTIME_ERROR : CBN_NOT_IMPLEMENTED_ERROR;
  if (pads && !image) return true; /* refused by the convolution */
  if (!image)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, exception, "%s padding takes an input of %d or %d axes, got %d", mode,
                      l->axes + 1, l->axes + 2, (int)rank);
  if (!pads)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, exception, "padding must have %d entries in %s mode, got %d",
                      l->axes, mode, count);
  if (!read_pad_amounts(l, count, c, r)) return false;
  for (int a = 0; a < l->axes && l->mode != CBN_PAD_CIRCULAR; a++)
    if (c->input[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_RUNTIME_ERROR, "%s padding takes no empty axis", mode);
  if (l->mode != CBN_PAD_CIRCULAR && input->extent[rank - l->axes - 1] == 0)
    return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, CBN_RUNTIME_ERROR, "%s padding takes no empty axis", mode);
  for (int a = 0; a < l->axes; a++) {
    const int64_t most = c->pad_begin[a] > c->pad_end[a] ? c->pad_begin[a] : c->pad_end[a];
    if (l->mode == CBN_PAD_REFLECT && most >= c->input[a])
      return cbn_reject(r, CBN_RULE_REFLECT_PAD_LESS_THAN_INPUT, CBN_RUNTIME_ERROR,
                        "reflect padding must be less than the input's extent %" PRId64 ", got %" PRId64, c->input[a],
                        most);
    if (l->mode == CBN_PAD_CIRCULAR && most > c->input[a])
      return cbn_reject(r, CBN_RULE_CIRCULAR_PAD_AT_MOST_INPUT, CBN_RUNTIME_ERROR,
                        "circular padding must be at most the input's extent %" PRId64 ", got %" PRId64, c->input[a],
                        most);
  }
  for (int a = 0; a < l->axes; a++) { /* negative padding crops; the circular mode goes on with an empty axis */
    const int64_t left = cbn_saturating_add(cbn_saturating_add(c->input[a], c->pad_begin[a]), c->pad_end[a]);
    if (left < (l->mode != CBN_PAD_CIRCULAR))
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_RUNTIME_ERROR, "nothing is left of the input on axis %c",
                        axis_name(l, a));
  }
  return true;
}

/* `same`: dilation * (kernel - 1) zeros in all, half of them before, the odd one behind. In the modes that read the
 * input the amounts are computed by the constructor: axis by axis from the entries as written, so that one dilation
 * entry pads one axis, and negative ones are halved as Python divides. */
static void pad_same(const layer *l, cbn_conv *c) {
  const int axes = l->mode != CBN_PAD_ZEROS && l->dilation.sequence && l->dilation.count == 1 ? 1 : l->axes;
  for (int a = 0; a < axes; a++) {
    const int64_t total = cbn_saturating_multiply(c->dilation[a], c->kernel[a] - 1);
    c->pad_begin[a] = total / 2 - (l->mode != CBN_PAD_ZEROS && total % 2 < 0);
    c->pad_end[a] = total - c->pad_begin[a];
  }
}

/* -------------------------------------------------------------------------------------------------------- the call */

static bool check_positive(const layer *l, const int64_t *values, const char *name, enum cbn_rule rule,
                           cbn_rejection *r) {
  for (int a = 0; a < l->axes; a++)
    if (values[a] <= 0)
      return cbn_reject(r, rule, CBN_RUNTIME_ERROR, "%s must be positive, got %" PRId64 " on axis %c", name, values[a],
                        axis_name(l, a));
  return true;
}

static bool check_not_negative(const layer *l, const int64_t *values, const char *name, enum cbn_rule rule,
                               cbn_rejection *r) {
  for (int a = 0; a < l->axes; a++)
    if (values[a] < 0)
      return cbn_reject(r, rule, CBN_RUNTIME_ERROR, "%s is negative: %" PRId64 " on axis %c", name, values[a],
                        axis_name(l, a));
  return true;
}

static bool check_kernel_fits(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < l->axes; a++) {
    const int64_t padded = cbn_saturating_add(cbn_saturating_add(c->input[a], c->pad_begin[a]), c->pad_end[a]);
    const int64_t kernel = cbn_dilated_kernel(c->kernel[a], c->dilation[a]);
    if (padded < kernel)
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_RUNTIME_ERROR,
                        "the dilated kernel's extent %" PRId64 " exceeds the padded input's %" PRId64 " on axis %c",
                        kernel, padded, axis_name(l, a));
  }
  return true;
}

static bool check_input_extents(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < l->axes; a++)
    if (c->input[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_RUNTIME_ERROR, "the input's extent is 0 on axis %c",
                        axis_name(l, a));
  return true;
}

/* The extents of a transposed convolution's output; of an empty batch they may be 0, and any output padding does. */
static bool check_transposed(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  const int64_t least = c->batch == 0 ? 0 : 1;
  for (int a = 0; a < l->axes; a++)
    if (c->batch != 0 && c->output_padding[a] >= c->stride[a] && c->output_padding[a] >= c->dilation[a])
      return cbn_reject(r, CBN_RULE_OUTPUT_PADDING_RANGE, CBN_RUNTIME_ERROR,
                        "output_padding must be less than the stride or the dilation, got %" PRId64 " on axis %c",
                        c->output_padding[a], axis_name(l, a));
  for (int a = 0; a < l->axes; a++) {
    const int64_t spread = cbn_saturating_multiply(c->input[a] - 1, c->stride[a]);
    const int64_t cropped = cbn_saturating_add(spread, cbn_saturating_multiply(-2, c->pad_begin[a]));
    const int64_t kernel = cbn_dilated_kernel(c->kernel[a], c->dilation[a]);
    const int64_t extent = cbn_saturating_add(cbn_saturating_add(cropped, kernel), c->output_padding[a]);
    if (extent < least)
      return cbn_reject(r, CBN_RULE_OUTPUT_EXTENT_POSITIVE, CBN_RUNTIME_ERROR,
                        "the output's extent is %" PRId64 " on axis %c", extent, axis_name(l, a));
  }
  return true;
}

/* Without images or channels PyTorch computes the output's extents and checks nothing else. Where dilation or output
 * padding are none that a convolution can have, as much padding less makes the same extents. */
static void keep_extents_of_nothing(const layer *l, cbn_conv *c) {
  for (int a = 0; a < l->axes; a++) {
    const int64_t limit = c->stride[a] > c->dilation[a] ? c->stride[a] : c->dilation[a];
    if (c->dilation[a] == 0) {
      c->padding_mode = CBN_PAD_ZEROS;
      c->pad_end[a] = cbn_saturating_add(c->pad_end[a], c->kernel[a] - 1);
      c->dilation[a] = 1;
    }
    if (l->transposed && c->output_padding[a] >= limit) {
      c->pad_end[a] = cbn_saturating_add(c->pad_end[a], -c->output_padding[a]);
      c->output_padding[a] = 0;
    }
  }
}

/* One type for all. Without a bias, PyTorch does not look at the types where the input is empty; what it gives then has
 * the type that both are promoted to, and is refused here. */
static bool check_types(const cbn_request *request, cbn_rejection *r) {
  if (request->input_type == request->layer_type) return true;
  return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_RUNTIME_ERROR, "an input of %s does not go with a layer of %s",
                    cbn_type_name(request->input_type), cbn_type_name(request->layer_type));
}

static bool check_channels(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  const int64_t divided = l->transposed ? l->in_channels : l->out_channels;
  const char *name = l->transposed ? "in_channels" : "out_channels";
  if (divided == 0)
    return cbn_reject(r, l->transposed ? CBN_RULE_IN_CHANNELS_POSITIVE : CBN_RULE_OUT_CHANNELS_POSITIVE,
                      CBN_RUNTIME_ERROR, "%s is 0", name);
  if (divided % l->groups != 0)
    return cbn_reject(r, l->transposed ? CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS : CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS,
                      CBN_RUNTIME_ERROR, "%s %" PRId64 " must be divisible by groups %" PRId64, name, divided,
                      l->groups);
  if (c->in_channels != l->in_channels)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_RUNTIME_ERROR,
                      "the input has %" PRId64 " channels, the layer %" PRId64, c->in_channels, l->in_channels);
  if (l->bias != NULL && (l->bias->rank != 1 || l->bias->extent[0] != l->out_channels))
    return cbn_reject(r, CBN_RULE_BIAS_SHAPE, CBN_RUNTIME_ERROR,
                      "the bias must have one axis of %" PRId64 " output channels, got %" PRId32
                      " axes, the first of "
                      "%" PRId64,
                      l->out_channels, l->bias->rank, l->bias->rank > 0 ? l->bias->extent[0] : 1);
  return true;
}

/* A weight without elements; for an empty batch the framework asks for its first one. */
static bool check_weight(const layer *l, const cbn_conv *c, cbn_rejection *r) {
  const char *exception = c->batch == 0 && c->in_channels != 0 ? CBN_INDEX_ERROR : CBN_RUNTIME_ERROR;
  if (l->out_channels == 0) return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, exception, "out_channels is 0");
  for (int a = 0; a < l->axes; a++)
    if (c->kernel[a] == 0)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, exception, "kernel_size is 0 on axis %c", axis_name(l, a));
  return true;
}

/* The weight's axes; whether it has any for a kernel is asked before the groups are. */
static bool check_weight_axes(const layer *l, cbn_rejection *r) {
  if (l->groups <= 0 && l->kernel_axes > 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_RUNTIME_ERROR, "groups must be positive, got %" PRId64,
                      l->groups);
  if (l->kernel_axes == l->axes) return true;
  if (l->is_function)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_RUNTIME_ERROR, "the weight must have %d axes, got %d", l->axes + 2,
                      l->kernel_axes + 2);
  return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_RUNTIME_ERROR, "kernel_size must have %d entries, got %d",
                    l->axes, l->kernel_axes);
}

/* Kernel, padding, stride, dilation and output padding as numbers, one for each axis. */
static bool read_window(const layer *l, cbn_conv *c, cbn_rejection *r) {
  if (!check_weight_axes(l, r)) return false;
  if (!expand(l, &l->stride, "stride", c->stride, r) || !expand(l, &l->dilation, "dilation", c->dilation, r))
    return false;
  if (l->transposed && !expand(l, &l->output_padding, "output_padding", c->output_padding, r)) return false;
  if (l->mode != CBN_PAD_ZEROS) return true;
  if (l->same) {
    if (!check_same_strides(l, CBN_RUNTIME_ERROR, r)) return false;
    pad_same(l, c);
  } else {
    if (!expand(l, &l->padding, "padding", c->pad_begin, r)) return false;
    memcpy(c->pad_end, c->pad_begin, sizeof c->pad_end);
  }
  return check_not_negative(l, c->pad_begin, "padding", CBN_RULE_PADDING_NON_NEGATIVE, r);
}

static bool call(const layer *l, const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  cbn_conv *c = &plan->conv;
  const cbn_shape *input = &request->input;
  const int32_t rank = input->rank;
  const bool image = rank == l->axes + 1 || rank == l->axes + 2;
  for (int a = 0; a < l->axes && image; a++) c->input[a] = input->extent[rank - l->axes + a];
  memcpy(c->kernel, l->kernel, sizeof c->kernel);
  if (l->mode != CBN_PAD_ZEROS && l->same) { /* needs the dilation, which is checked below */
    for (int a = 0; a < l->axes; a++)
      cbn_as_integer(l->dilation.entry[l->dilation.count == 1 ? 0 : a], true, &c->dilation[a]);
    pad_same(l, c);
  }
  if (l->mode != CBN_PAD_ZEROS && !pad_input(l, input, c, r)) return false;
  if (!check_call_types(l, r)) return false;
  c->has_bias = l->has_bias;
  if (c->has_bias && !l->transposed && !l->named && !check_types(request, r)) return false;
  if (!image)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_RUNTIME_ERROR, "the input must have %d or %d axes, got %d",
                      l->axes + 1, l->axes + 2, (int)rank);
  c->batch = rank == l->axes + 2 ? input->extent[0] : 1;
  c->in_channels = input->extent[rank - l->axes - 1];
  if (!check_name(l, CBN_RUNTIME_ERROR, r)) return false;
  const bool computes = c->batch != 0 && c->in_channels != 0;
  if (!read_window(l, c, r) ||
      !check_not_negative(l, c->output_padding, "output_padding", CBN_RULE_OUTPUT_PADDING_RANGE, r) ||
      !check_positive(l, c->stride, "stride", CBN_RULE_STRIDE_POSITIVE, r) ||
      !check_not_negative(l, c->dilation, "dilation", CBN_RULE_DILATION_POSITIVE, r) || !check_channels(l, c, r) ||
      (!l->transposed && !check_kernel_fits(l, c, r)) || (computes && !check_input_extents(l, c, r)) ||
      !check_weight(l, c, r) ||
      (computes && !check_positive(l, c->dilation, "dilation", CBN_RULE_DILATION_POSITIVE, r)) ||
      (l->transposed && !check_transposed(l, c, r)) || !check_types(request, r))
    return false;
  c->out_channels = l->out_channels;
  c->groups = l->groups;
  c->transposed = l->transposed;
  c->padding_mode = l->mode;
  plan->unbatched = rank == l->axes + 1;
  if (!computes) keep_extents_of_nothing(l, c);
  return cbn_forward_violation(plan, CBN_RUNTIME_ERROR, r);
}

static layer begin(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan) {
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(operator->spatial_rank)};
  return (layer){.params = request->params, .axes = operator->spatial_rank, .transposed = operator->transposed};
}

bool cbn_pytorch_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                             cbn_rejection *rejection) {
  layer l = begin(operator, request, plan);
  return construct(&l, rejection) && call(&l, request, plan, rejection);
}

bool cbn_pytorch_convolution_function(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                      cbn_rejection *rejection) {
  layer l = begin(operator, request, plan);
  l.is_function = true;
  return take_tensors(&l, request, rejection) && call(&l, request, plan, rejection);
}
