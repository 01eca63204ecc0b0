/* PyTorch: torch.nn.Conv2d and torch.nn.BatchNorm2d.
 *
 * Sources: the documentation of torch.nn.Conv2d, torch.nn.functional.pad and torch.nn.BatchNorm2d, version 2.15;
 * where it is silent or wrong, what the wheel does (docs/framework-rules.md, in whose order the checks stand). */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "dialects/parameters.h"

#define VALUE "ValueError"
#define TYPE "TypeError"
#define RUNTIME "RuntimeError"
#define NOT_IMPLEMENTED "NotImplementedError"

enum { SPATIAL = 2 };

/* ------------------------------------------------------------------------------------------------- nn.Conv2d */

static const char *const conv_names[] = {"in_channels", "out_channels", "kernel_size",  "stride", "padding", "dilation",
                                         "groups",      "bias",         "padding_mode", "device", "dtype",   NULL};

static const char *const mode_names[] = {[CBN_PAD_ZEROS] = "zeros",
                                         [CBN_PAD_REFLECT] = "reflect",
                                         [CBN_PAD_REPLICATE] = "replicate",
                                         [CBN_PAD_CIRCULAR] = "circular"};

/* A layer under construction: the parameters as written, and as numbers once they are known to be some. */
typedef struct layer {
  const cbn_value *params;
  int mode; /* enum cbn_padding_mode */
  bool same;
  cbn_entries kernel_size, stride, padding, dilation; /* padding only where it is no name */
  int64_t in_channels, out_channels, groups;
  int64_t kernel[SPATIAL];
} layer;

/* The entries of a parameter, of `fallback` where it is left out. The empty string is an empty sequence, as any
 * iterable. */
static cbn_entries entries_or(const cbn_value *params, const char *name, const cbn_value *fallback) {
  static const cbn_value none = {.kind = CBN_LIST};
  const cbn_value *value = cbn_parameter(params, name);
  return cbn_as_entries(value == NULL ? fallback : cbn_value_is(value, "") ? &none : value);
}

static const cbn_value zero = {.kind = CBN_INTEGER, .as.integer = 0};
static const cbn_value one = {.kind = CBN_INTEGER, .as.integer = 1};

static bool number_or(const cbn_value *params, const char *name, double fallback, double *result) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value != NULL) return cbn_as_number(value, result);
  *result = fallback;
  return true;
}

static bool check_channels_and_groups(const layer *l, cbn_rejection *r) {
  double in, out, groups;
  if (!number_or(l->params, "groups", 1, &groups))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "groups must be an int, got %s",
                      cbn_printed_value(cbn_parameter(l->params, "groups")).text);
  if (groups <= 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, VALUE, "groups must be a positive integer, got %g", groups);
  if (!number_or(l->params, "in_channels", 0, &in))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "in_channels must be an int");
  if (fmod(in, groups) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, VALUE, "in_channels %g must be divisible by groups %g", in,
                      groups);
  if (!number_or(l->params, "out_channels", 0, &out))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "out_channels must be an int");
  if (fmod(out, groups) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, VALUE, "out_channels %g must be divisible by groups %g",
                      out, groups);
  return true;
}

static bool read_padding_names(layer *l, cbn_rejection *r) {
  const cbn_value *padding = cbn_parameter(l->params, "padding");
  l->padding = cbn_as_entries(padding != NULL ? padding : &zero);
  if (padding != NULL && padding->kind == CBN_STRING) {
    l->same = cbn_value_is(padding, "same");
    if (!l->same && !cbn_value_is(padding, "valid"))
      return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, VALUE, "padding must be 'same', 'valid' or numbers, got %s",
                        cbn_printed_value(padding).text);
    for (int i = 0; l->same && i < l->stride.count; i++) {
      double stride;
      if (!cbn_as_number(l->stride.entry[i], &stride) || stride != 1)
        return cbn_reject(r, CBN_RULE_SAME_NEEDS_UNIT_STRIDE, VALUE, "padding='same' needs stride 1, got %s",
                          cbn_printed_value(l->stride.entry[i]).text);
    }
    l->padding = cbn_as_entries(&zero);
  }
  const cbn_value *mode = cbn_parameter(l->params, "padding_mode");
  for (l->mode = CBN_PAD_ZEROS; mode != NULL && !cbn_value_is(mode, mode_names[l->mode]); l->mode++)
    if (l->mode == CBN_PAD_CIRCULAR)
      return cbn_reject(r, CBN_RULE_PADDING_MODE_UNKNOWN, VALUE,
                        "padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got %s",
                        cbn_printed_value(mode).text);
  return true;
}

/* The weight is made: its extents must be ints and not negative. */
static bool make_weight(layer *l, cbn_rejection *r) {
  const cbn_value *groups = cbn_parameter(l->params, "groups");
  if (!cbn_as_integer(cbn_parameter(l->params, "out_channels"), false, &l->out_channels) ||
      !cbn_as_integer(cbn_parameter(l->params, "in_channels"), true, &l->in_channels) ||
      !cbn_as_integer(groups != NULL ? groups : &one, true, &l->groups))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "in_channels, out_channels and groups must be ints");
  int64_t elements[2 + CBN_MAX_NATIVE_RANK] = {l->out_channels, l->in_channels / l->groups};
  for (int i = 0; i < l->kernel_size.count; i++)
    if (!cbn_as_integer(l->kernel_size.entry[i], true, &elements[2 + i]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "kernel_size must be ints, got %s",
                        cbn_printed_value(l->kernel_size.entry[i]).text);
  if (l->out_channels < 0)
    return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, RUNTIME, "out_channels is negative: %" PRId64,
                      l->out_channels);
  if (l->in_channels < 0)
    return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, RUNTIME, "in_channels is negative: %" PRId64, l->in_channels);
  int rank = 2 + l->kernel_size.count;
  if (!l->kernel_size.sequence) elements[rank++] = elements[2];
  for (int i = 2; i < rank; i++)
    if (elements[i] < 0)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, RUNTIME, "kernel_size is negative: %" PRId64, elements[i]);
  if (cbn_extent_product(rank, elements) < 0)
    return cbn_reject(r, CBN_RULE_EXTENT_OVERFLOW, RUNTIME, "the weight's size overflows");
  memcpy(l->kernel, elements + 2, sizeof l->kernel);
  return true;
}

static bool construct(layer *l, cbn_rejection *r) {
  if (!cbn_check_names(l->params, conv_names, 3, r)) return false;
  l->kernel_size = entries_or(l->params, "kernel_size", &one);
  l->stride = entries_or(l->params, "stride", &one);
  l->dilation = entries_or(l->params, "dilation", &one);
  return check_channels_and_groups(l, r) && read_padding_names(l, r) && make_weight(l, r);
}

/* Every entry an int. The framework looks at one entry closely, the first or the `last`: only elsewhere a bool
 * passes. */
static bool check_ints(const cbn_entries *entries, const char *name, bool last, cbn_rejection *r) {
  const int strict = last ? entries->count - 1 : 0;
  for (int i = 0; i < entries->count; i++) {
    int64_t ignored;
    if (!cbn_as_integer(entries->entry[i], i != strict, &ignored))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "%s must be ints, got %s", name,
                        cbn_printed_value(entries->entry[i]).text);
  }
  return true;
}

/* One entry for both axes, or one each. */
static bool expand(const cbn_entries *entries, const char *name, int64_t values[SPATIAL], cbn_rejection *r) {
  if (entries->count != 1 && entries->count != SPATIAL)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, RUNTIME, "%s must have 1 or 2 entries, got %d", name,
                      entries->count);
  for (int a = 0; a < SPATIAL; a++) cbn_as_integer(entries->entry[a % entries->count], true, &values[a]);
  return true;
}

/* How many axes `F.pad` is asked to pad: as many as `padding` has entries or, where it is a name, the kernel. */
static int padded_axes(const layer *l) {
  const cbn_value *padding = cbn_parameter(l->params, "padding");
  const cbn_entries *entries = padding != NULL && padding->kind == CBN_STRING ? &l->kernel_size : &l->padding;
  return entries->sequence ? entries->count : SPATIAL;
}

/* The extents that `F.pad` makes in the modes that read the input. `entry[a]` pads axis a; missing entries pad
 * nothing. */
static bool pad_input(const layer *l, const cbn_shape *input, cbn_conv *conv, cbn_rejection *r) {
  const char *mode = mode_names[l->mode];
  const int32_t rank = input->rank;
  if (!l->same && !check_ints(&l->padding, "padding", true, r)) return false;
  const int count = padded_axes(l);
  const bool pads = count >= 1 && count <= 3 && (count == rank - 1 || count == rank - 2);
  const char *exception = pads || count > rank ? RUNTIME : NOT_IMPLEMENTED;
  if (pads && rank != 3 && rank != 4) return true; /* refused by the convolution */
  if (rank != 3 && rank != 4)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, exception, "%s padding takes an input of 3 or 4 axes, got %d", mode,
                      (int)rank);
  const bool width_only = count == 1 && rank == 3;
  if (count != SPATIAL && !width_only)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, exception, "padding must have 2 entries in %s mode, got %d", mode,
                      count);
  if (!l->same) {
    int64_t pad[SPATIAL];
    for (int a = 0; a < SPATIAL; a++) cbn_as_integer(l->padding.entry[a % l->padding.count], true, &pad[a]);
    if (width_only) pad[0] = 0;
    for (int a = 0; a < SPATIAL; a++) conv->pad_begin[a] = conv->pad_end[a] = pad[a];
  }
  for (int a = 0; a < SPATIAL && l->mode != CBN_PAD_CIRCULAR; a++)
    if (conv->input[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, RUNTIME, "%s padding takes no empty axis", mode);
  if (l->mode != CBN_PAD_CIRCULAR && input->extent[rank - 3] == 0)
    return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, RUNTIME, "%s padding takes no empty axis", mode);
  for (int a = 0; a < SPATIAL; a++) {
    const int64_t most = conv->pad_begin[a] > conv->pad_end[a] ? conv->pad_begin[a] : conv->pad_end[a];
    if (l->mode == CBN_PAD_REFLECT && most >= conv->input[a])
      return cbn_reject(r, CBN_RULE_REFLECT_PAD_LESS_THAN_INPUT, RUNTIME,
                        "reflect padding must be less than the input's extent %" PRId64 ", got %" PRId64,
                        conv->input[a], most);
    if (l->mode == CBN_PAD_CIRCULAR && most > conv->input[a])
      return cbn_reject(r, CBN_RULE_CIRCULAR_PAD_AT_MOST_INPUT, RUNTIME,
                        "circular padding must be at most the input's extent %" PRId64 ", got %" PRId64, conv->input[a],
                        most);
  }
  for (int a = 0; a < SPATIAL; a++) { /* negative padding crops; the circular mode goes on with an empty axis */
    const int64_t left = cbn_saturating_add(cbn_saturating_add(conv->input[a], conv->pad_begin[a]), conv->pad_end[a]);
    if (left < (l->mode != CBN_PAD_CIRCULAR))
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, RUNTIME, "nothing is left of the input on axis %c", "HW"[a]);
  }
  return true;
}

/* `same`: dilation * (kernel - 1) zeros in all, half of them before, the odd one behind. In the modes that read the
 * input the amounts are computed axis by axis from the entries as written, so that one dilation entry pads one axis. */
static void pad_same(const layer *l, cbn_conv *conv) {
  const int axes = l->mode != CBN_PAD_ZEROS && l->dilation.sequence && l->dilation.count == 1 ? 1 : SPATIAL;
  for (int a = 0; a < axes; a++) {
    const int64_t total = cbn_saturating_multiply(conv->dilation[a], conv->kernel[a] - 1);
    conv->pad_begin[a] = total / 2 - (total % 2 < 0); /* floor, as Python divides */
    conv->pad_end[a] = total - conv->pad_begin[a];
  }
}

static bool check_positive(const int64_t *values, const char *name, enum cbn_rule rule, cbn_rejection *r) {
  for (int a = 0; a < SPATIAL; a++)
    if (values[a] <= 0)
      return cbn_reject(r, rule, RUNTIME, "%s must be positive, got %" PRId64 " on axis %c", name, values[a], "HW"[a]);
  return true;
}

static bool check_kernel_fits(const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < SPATIAL; a++) {
    const int64_t padded = cbn_saturating_add(cbn_saturating_add(c->input[a], c->pad_begin[a]), c->pad_end[a]);
    const int64_t kernel = cbn_dilated_kernel(c->kernel[a], c->dilation[a]);
    if (padded < kernel)
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, RUNTIME,
                        "the dilated kernel's extent %" PRId64 " exceeds the padded input's %" PRId64 " on axis %c",
                        kernel, padded, "HW"[a]);
  }
  for (int a = 0; a < SPATIAL; a++)
    if (c->input[a] == 0 && c->batch != 0 && c->in_channels != 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, RUNTIME, "the input's extent is 0 on axis %c", "HW"[a]);
  return true;
}

static bool check_call_types(const layer *l, cbn_rejection *r) {
  const cbn_value *groups = cbn_parameter(l->params, "groups");
  if (!check_ints(&l->stride, "stride", false, r) || !check_ints(&l->dilation, "dilation", false, r)) return false;
  if (l->mode == CBN_PAD_ZEROS && !check_ints(&l->padding, "padding", false, r)) return false;
  if (groups != NULL && groups->kind == CBN_BOOLEAN)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "groups must be an int, got a bool");
  return true;
}

static bool call(const layer *l, const cbn_shape *input, cbn_plan *plan, cbn_rejection *r) {
  cbn_conv *c = &plan->conv;
  const int32_t rank = input->rank;
  const bool image = rank == 3 || rank == 4;
  for (int a = 0; a < SPATIAL && image; a++) c->input[a] = input->extent[rank - SPATIAL + a];
  for (int a = 0; a < SPATIAL; a++) c->kernel[a] = l->kernel[l->kernel_size.sequence ? a : 0];
  const bool reads_input = l->mode != CBN_PAD_ZEROS;
  if (reads_input && l->same) { /* needs the dilation, which is checked below */
    for (int a = 0; a < SPATIAL; a++)
      cbn_as_integer(l->dilation.entry[l->dilation.count == 1 ? 0 : a], true, &c->dilation[a]);
    pad_same(l, c);
  }
  if (reads_input && !pad_input(l, input, c, r)) return false;
  if (!check_call_types(l, r)) return false;
  if (!image) return cbn_reject(r, CBN_RULE_INPUT_RANK, RUNTIME, "the input must have 3 or 4 axes, got %d", (int)rank);
  if (l->kernel_size.sequence && l->kernel_size.count != SPATIAL)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, RUNTIME, "kernel_size must have 2 entries, got %d",
                      l->kernel_size.count);
  int64_t pad[SPATIAL];
  if (!expand(&l->stride, "stride", c->stride, r) || !expand(&l->dilation, "dilation", c->dilation, r)) return false;
  if (!reads_input && l->same) {
    pad_same(l, c);
  } else if (!reads_input) {
    if (!expand(&l->padding, "padding", pad, r)) return false;
    for (int a = 0; a < SPATIAL; a++) c->pad_begin[a] = c->pad_end[a] = pad[a];
  }
  for (int a = 0; a < SPATIAL && !reads_input; a++)
    if (c->pad_begin[a] < 0)
      return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, RUNTIME, "padding is negative: %" PRId64, c->pad_begin[a]);
  if (!check_positive(c->stride, "stride", CBN_RULE_STRIDE_POSITIVE, r)) return false;
  if (l->out_channels == 0) return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, RUNTIME, "out_channels is 0");
  c->batch = rank == 4 ? input->extent[0] : 1;
  c->in_channels = input->extent[rank - 3];
  if (c->in_channels != l->in_channels)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, RUNTIME,
                      "the input has %" PRId64 " channels, the layer %" PRId64, c->in_channels, l->in_channels);
  if (!check_positive(c->kernel, "kernel_size", CBN_RULE_KERNEL_POSITIVE, r) ||
      !check_positive(c->dilation, "dilation", CBN_RULE_DILATION_POSITIVE, r) || !check_kernel_fits(c, r))
    return false;
  c->out_channels = l->out_channels;
  c->groups = l->groups;
  c->padding_mode = l->mode;
  c->has_bias = cbn_as_truth(cbn_parameter(l->params, "bias"), true);
  plan->unbatched = rank == 3;
  return cbn_forward_violation(plan, RUNTIME, r);
}

static bool plan_conv2d(const cbn_request *request, cbn_plan *plan, cbn_rejection *rejection) {
  layer l = {.params = request->params};
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(SPATIAL)};
  return construct(&l, rejection) && call(&l, &request->input, plan, rejection);
}

/* -------------------------------------------------------------------------------------------- nn.BatchNorm2d */

static const char *const norm_names[] = {"num_features", "eps",    "momentum", "affine", "track_running_stats",
                                         "bias",         "device", "dtype",    NULL};

/* The elements of the parameters that are made: (3,) counts as 3, and any tuple is a shape. */
static bool read_num_features(const cbn_value *params, int *axes, int64_t *features, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, "num_features");
  const cbn_entries entries = cbn_as_entries(value);
  int64_t extent[CBN_MAX_NATIVE_RANK] = {0};
  for (int i = 0; i < entries.count; i++)
    if (!cbn_as_integer(entries.entry[i], i > 0, &extent[i]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "num_features must be an int, got %s",
                        cbn_printed_value(value).text);
  for (int i = 0; i < entries.count; i++)
    if (extent[i] < 0)
      return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, RUNTIME, "num_features is negative: %" PRId64, extent[i]);
  *axes = entries.count;
  *features = cbn_extent_product(entries.count, extent);
  if (*features < 0) return cbn_reject(r, CBN_RULE_EXTENT_OVERFLOW, RUNTIME, "num_features overflows");
  return true;
}

static bool read_epsilon(const cbn_value *params, bool batch_statistics, double *epsilon, cbn_rejection *r) {
  if (!number_or(params, "eps", 1e-5, epsilon))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "eps must be a float, got %s",
                      cbn_printed_value(cbn_parameter(params, "eps")).text);
  if (*epsilon < 0 || (*epsilon == 0 && batch_statistics))
    return cbn_reject(r, CBN_RULE_EPSILON_RANGE, VALUE, "eps must be positive%s, got %g",
                      batch_statistics ? " in training" : " or 0", *epsilon);
  return true;
}

/* momentum weighs the new batch; None is the cumulative average, 1/t in the t-th call. */
static bool read_momentum(const cbn_request *request, double *new_weight, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(request->params, "momentum");
  if (value != NULL && value->kind == CBN_NULL) *new_weight = 1 / (double)(request->trained + 1);
  else if (!number_or(request->params, "momentum", 0.1, new_weight))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "momentum must be a float or None, got %s",
                      cbn_printed_value(value).text);
  return true;
}

/* Do the parameters, a shape of `axes` axes, fit the input? Of an empty one only a first scale is asked for. */
static bool check_features(int64_t features, int axes, bool affine, bool tracks, const cbn_shape *input,
                           cbn_rejection *r) {
  const bool empty = cbn_extent_product(4, input->extent) == 0;
  if (features == 0 && (affine || !empty))
    return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, empty && axes == 1 ? "IndexError" : RUNTIME,
                      "num_features is 0");
  if (!empty && input->extent[1] != features)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, RUNTIME,
                      "the input has %" PRId64 " channels, num_features is %" PRId64, input->extent[1], features);
  if (axes != 1 && (empty ? affine : tracks))
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, empty && axes == 0 ? "IndexError" : RUNTIME,
                      "num_features must be one number, got %d", axes);
  return true;
}

static bool plan_batchnorm2d(const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  const cbn_value *params = request->params;
  const cbn_shape *input = &request->input;
  const bool affine = cbn_as_truth(cbn_parameter(params, "affine"), true);
  const bool tracks = cbn_as_truth(cbn_parameter(params, "track_running_stats"), true);
  const bool batch_statistics = request->training || !tracks;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM, .batchnorm = cbn_batchnorm_make(SPATIAL)};
  cbn_batchnorm *b = &plan->batchnorm;
  int axes = 1;
  if (!cbn_check_names(params, norm_names, 1, r)) return false;
  if ((affine || tracks) && !read_num_features(params, &axes, &plan->features, r)) return false;
  if (input->rank != 4)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, VALUE, "expected 4D input, got %dD", (int)input->rank);
  b->batch = input->extent[0];
  b->channels = input->extent[1];
  memcpy(b->extent, input->extent + 2, SPATIAL * sizeof b->extent[0]);
  const int64_t values = cbn_extent_product(SPATIAL, b->extent) * b->batch;
  if (batch_statistics && values == 1)
    return cbn_reject(r, CBN_RULE_ONE_VALUE_PER_CHANNEL, VALUE, "expected more than 1 value per channel when training");
  if (!read_epsilon(params, batch_statistics, &b->epsilon, r) || !read_momentum(request, &b->new_weight, r) ||
      ((affine || tracks) && !check_features(plan->features, axes, affine, tracks, input, r)))
    return false;
  if (!affine && !tracks) plan->features = b->channels;
  const bool empty = values == 0 || b->channels == 0; /* reads and changes nothing, so that its channels need not fit */
  b->statistics = batch_statistics || empty ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = request->training && tracks && !empty;
  b->running_variance = CBN_VARIANCE_UNBIASED;
  b->has_weight = affine && !empty;
  b->has_bias = affine && !empty && cbn_as_truth(cbn_parameter(params, "bias"), true);
  plan->has_initial[CBN_ROLE_WEIGHT] = plan->has_initial[CBN_ROLE_BIAS] = true;
  plan->has_initial[CBN_ROLE_RUNNING_MEAN] = plan->has_initial[CBN_ROLE_RUNNING_VAR] = true;
  plan->initial[CBN_ROLE_WEIGHT] = plan->initial[CBN_ROLE_RUNNING_VAR] = 1;
  return cbn_forward_violation(plan, RUNTIME, r);
}

static const cbn_dialect_operator operators[] = {
    {"nn.Conv2d", CBN_OPERATOR_CONV,
     "(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, "
     "padding_mode='zeros')",
     plan_conv2d},
    {"nn.BatchNorm2d", CBN_OPERATOR_BATCHNORM,
     "(num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)", plan_batchnorm2d},
};

const cbn_dialect cbn_dialect_pytorch = {.name = "pytorch",
                                         .profile = "PyTorch 2.15.0, CPU",
                                         .trains_by_default = true,
                                         .operators = operators,
                                         .operator_count = sizeof operators / sizeof operators[0]};
