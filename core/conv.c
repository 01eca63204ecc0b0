/* The canonical convolution: what is valid, and the extents that follow. Definition in convbn/engine.h. */
#include <inttypes.h>
#include <string.h>

#include "core/checked.h"
#include "core/violation.h"

cbn_conv cbn_conv_make(int32_t spatial_rank) {
  cbn_conv conv = {.struct_size = sizeof conv, .spatial_rank = spatial_rank, .groups = 1};
  for (int a = 0; a < spatial_rank && a < CBN_MAX_SPATIAL; a++)
    conv.kernel[a] = conv.stride[a] = conv.dilation[a] = conv.input_dilation[a] = 1;
  return conv;
}

/* (extent - 1) * dilation + 1 for a positive extent, 0 for none: the extent after dilation. */
static bool dilated(int64_t extent, int64_t dilation, int64_t *result) {
  *result = 0;
  return extent == 0 || (cbn_multiply(extent - 1, dilation, result) && cbn_add(*result, 1, result));
}

static bool forward_extent(const cbn_conv *c, int a, int64_t *result) {
  int64_t padded, kernel;
  if (!dilated(c->input[a], c->input_dilation[a], &padded) || !cbn_add(padded, c->pad_begin[a], &padded) ||
      !cbn_add(padded, c->pad_end[a], &padded) || !dilated(c->kernel[a], c->dilation[a], &kernel))
    return false;
  *result = padded >= kernel ? (padded - kernel) / c->stride[a] + 1 : 0;
  return true;
}

static bool transposed_extent(const cbn_conv *c, int a, int64_t *result) {
  int64_t kernel;
  *result = 0;
  if (c->input[a] == 0) return true;
  if (!dilated(c->input[a], c->stride[a], result) || !cbn_subtract(*result, c->pad_begin[a], result) ||
      !cbn_subtract(*result, c->pad_end[a], result) || !dilated(c->kernel[a], c->dilation[a], &kernel) ||
      !cbn_add(*result, kernel - 1, result) || !cbn_add(*result, c->output_padding[a], result))
    return false;
  if (*result < 0) *result = 0;
  return true;
}

static bool output_extent(const cbn_conv *c, int a, int64_t *result) {
  return c->transposed ? transposed_extent(c, a, result) : forward_extent(c, a, result);
}

int64_t cbn_conv_output_extent(const cbn_conv *conv, int axis) {
  int64_t extent = 0;
  return output_extent(conv, axis, &extent) ? extent : 0;
}

/* Without everything up to the groups there is no problem to speak of. */
static bool check_size(const cbn_conv *c, cbn_violation *v) {
  const size_t least = offsetof(cbn_conv, groups) + sizeof c->groups;
  return c->struct_size >= least ||
         cbn_violate(v, CBN_RULE_MISSING_PARAMETER, "struct_size must be >= %zu, where the groups end, got %" PRIu32,
                     least, c->struct_size);
}

static bool check_modes(const cbn_conv *c, cbn_violation *v) {
  if (c->spatial_rank < 1 || c->spatial_rank > CBN_MAX_SPATIAL)
    return cbn_violate(v, CBN_RULE_SPATIAL_RANK, "spatial rank must be 1, 2 or 3, got %" PRId32, c->spatial_rank);
  if (c->padding_mode < CBN_PAD_ZEROS || c->padding_mode > CBN_PAD_CIRCULAR)
    return cbn_violate(v, CBN_RULE_PADDING_MODE_UNKNOWN, "padding mode must be 0 to 3, got %" PRId32, c->padding_mode);
  if (c->direction < CBN_FORWARD || c->direction > CBN_GRAD_BIAS)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "direction must be 0 to 3, got %" PRId32, c->direction);
  if (c->transposed < 0 || c->transposed > 1)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "transposed must be 0 or 1, got %" PRId32, c->transposed);
  if (c->has_bias < 0 || c->has_bias > 1)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "has_bias must be 0 or 1, got %" PRId32, c->has_bias);
  return true;
}

/* What stands in the arrays beyond the spatial axes. */
static bool check_lengths(const cbn_conv *c, cbn_violation *v) {
  const struct {
    const char *name;
    const int64_t *values;
  } arrays[] = {{"input extent", c->input},
                {"kernel", c->kernel},
                {"stride", c->stride},
                {"dilation", c->dilation},
                {"input dilation", c->input_dilation},
                {"pad_begin", c->pad_begin},
                {"pad_end", c->pad_end},
                {"output padding", c->output_padding}};
  for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
    for (int a = c->spatial_rank; a < CBN_MAX_SPATIAL; a++)
      if (arrays[i].values[a] != 0)
        return cbn_violate(v, CBN_RULE_PARAMETER_LENGTH,
                           "%s must be 0 beyond %" PRId32 " spatial axes, got %" PRId64 " in entry %d", arrays[i].name,
                           c->spatial_rank, arrays[i].values[a], a);
  return true;
}

static bool check_extents(const cbn_conv *c, cbn_violation *v) {
  const struct {
    const char *name;
    int64_t extent;
  } counts[] = {{"batch", c->batch}, {"in_channels", c->in_channels}, {"out_channels", c->out_channels}};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    if (counts[i].extent < 0)
      return cbn_violate(v, CBN_RULE_EXTENT_NON_NEGATIVE, "%s must be >= 0, got %" PRId64, counts[i].name,
                         counts[i].extent);
  for (int a = 0; a < c->spatial_rank; a++)
    if (c->input[a] < 0)
      return cbn_violate(v, CBN_RULE_EXTENT_NON_NEGATIVE, "input extent must be >= 0, got %" PRId64 " on axis %c",
                         c->input[a], cbn_axis_name(c->spatial_rank, a));
  return true;
}

static bool check_groups(const cbn_conv *c, cbn_violation *v) {
  if (c->groups < 1) return cbn_violate(v, CBN_RULE_GROUPS_POSITIVE, "groups must be >= 1, got %" PRId64, c->groups);
  if (c->in_channels % c->groups != 0)
    return cbn_violate(v, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS,
                       "groups must divide in_channels, got %" PRId64 " and %" PRId64, c->groups, c->in_channels);
  if (c->out_channels % c->groups != 0)
    return cbn_violate(v, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS,
                       "groups must divide out_channels, got %" PRId64 " and %" PRId64, c->groups, c->out_channels);
  return true;
}

static bool check_window(const cbn_conv *c, cbn_violation *v) {
  const struct {
    const char *name;
    const int64_t *values;
    enum cbn_rule rule;
  } factors[] = {{"kernel", c->kernel, CBN_RULE_KERNEL_POSITIVE},
                 {"stride", c->stride, CBN_RULE_STRIDE_POSITIVE},
                 {"dilation", c->dilation, CBN_RULE_DILATION_POSITIVE},
                 {"input dilation", c->input_dilation, CBN_RULE_INPUT_DILATION_POSITIVE}};
  for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
    for (int a = 0; a < c->spatial_rank; a++)
      if (factors[i].values[a] < 1)
        return cbn_violate(v, factors[i].rule, "%s must be >= 1, got %" PRId64 " on axis %c", factors[i].name,
                           factors[i].values[a], cbn_axis_name(c->spatial_rank, a));
  return true;
}

/* One side's padding under a mode that reads the input: what it reads must be there. */
static bool check_mode_padding(const cbn_conv *c, int a, int64_t pad, cbn_violation *v) {
  const char axis = cbn_axis_name(c->spatial_rank, a);
  if (c->padding_mode == CBN_PAD_REFLECT && pad > 0 && pad >= c->input[a])
    return cbn_violate(v, CBN_RULE_REFLECT_PAD_LESS_THAN_INPUT,
                       "reflection padding must be < the input's extent %" PRId64 ", got %" PRId64 " on axis %c",
                       c->input[a], pad, axis);
  if (c->padding_mode == CBN_PAD_CIRCULAR && pad > c->input[a])
    return cbn_violate(v, CBN_RULE_CIRCULAR_PAD_AT_MOST_INPUT,
                       "circular padding must be <= the input's extent %" PRId64 ", got %" PRId64 " on axis %c",
                       c->input[a], pad, axis);
  if (c->padding_mode == CBN_PAD_REPLICATE && pad > 0 && c->input[a] == 0)
    return cbn_violate(v, CBN_RULE_REPLICATE_NEEDS_INPUT,
                       "replication padding needs an input element, got extent 0"
                       " on axis %c",
                       axis);
  return true;
}

static bool check_padding(const cbn_conv *c, cbn_violation *v) {
  for (int a = 0; a < c->spatial_rank && c->transposed; a++)
    if (c->input_dilation[a] != 1)
      return cbn_violate(v, CBN_RULE_INPUT_DILATION_FORWARD_ONLY,
                         "input dilation must be 1 in a transposed convolution, got %" PRId64 " on axis %c",
                         c->input_dilation[a], cbn_axis_name(c->spatial_rank, a));
  if (c->padding_mode == CBN_PAD_ZEROS) return true;
  if (c->transposed)
    return cbn_violate(v, CBN_RULE_PADDING_MODE_NEEDS_PLAIN_INPUT, "a transposed convolution pads with zeros only");
  for (int a = 0; a < c->spatial_rank; a++) {
    if (c->input_dilation[a] != 1)
      return cbn_violate(v, CBN_RULE_PADDING_MODE_NEEDS_PLAIN_INPUT,
                         "input dilation must be 1 in this padding mode, got %" PRId64 " on axis %c",
                         c->input_dilation[a], cbn_axis_name(c->spatial_rank, a));
    if (!check_mode_padding(c, a, c->pad_begin[a], v) || !check_mode_padding(c, a, c->pad_end[a], v)) return false;
  }
  return true;
}

static bool check_output_padding(const cbn_conv *c, cbn_violation *v) {
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t step = c->stride[a] > c->dilation[a] ? c->stride[a] : c->dilation[a];
    const int64_t limit = c->transposed ? step : 1;
    if (c->output_padding[a] < 0 || c->output_padding[a] >= limit)
      return cbn_violate(v, CBN_RULE_OUTPUT_PADDING_RANGE,
                         "output padding must be >= 0 and < %" PRId64 ", got %" PRId64 " on axis %c", limit,
                         c->output_padding[a], cbn_axis_name(c->spatial_rank, a));
  }
  return true;
}

/* The extents of the tensor with that role, and false where one of them overflows. */
static bool extents(const cbn_conv *c, int role, int64_t *extent, int32_t *rank) {
  *rank = 2 + c->spatial_rank;
  switch (role) {
  case CBN_ROLE_INPUT:
  case CBN_ROLE_GRAD_INPUT:
    extent[0] = c->batch;
    extent[1] = c->in_channels;
    memcpy(extent + 2, c->input, (size_t)c->spatial_rank * sizeof *extent);
    return true;
  case CBN_ROLE_WEIGHT:
  case CBN_ROLE_GRAD_WEIGHT:
    extent[0] = c->transposed ? c->in_channels : c->out_channels;
    extent[1] = (c->transposed ? c->out_channels : c->in_channels) / c->groups;
    memcpy(extent + 2, c->kernel, (size_t)c->spatial_rank * sizeof *extent);
    return true;
  case CBN_ROLE_BIAS:
  case CBN_ROLE_GRAD_BIAS:
    *rank = c->has_bias ? 1 : 0;
    extent[0] = c->out_channels;
    return true;
  case CBN_ROLE_OUTPUT:
  case CBN_ROLE_GRAD_OUTPUT:
    extent[0] = c->batch;
    extent[1] = c->out_channels;
    for (int a = 0; a < c->spatial_rank; a++)
      if (!output_extent(c, a, &extent[2 + a])) return false;
    return true;
  default: *rank = 0; return true;
  }
}

int32_t cbn_conv_extents(const cbn_conv *conv, int role, int64_t extent[CBN_MAX_RANK]) {
  int32_t rank;
  return extents(conv, role, extent, &rank) ? rank : 0;
}

static bool work(const cbn_conv *c, int64_t *result) {
  int64_t extent[CBN_MAX_RANK];
  int32_t rank;
  /* The side on which every element meets the whole kernel: the output, or the input of a transposed convolution. */
  if (!extents(c, c->transposed ? CBN_ROLE_INPUT : CBN_ROLE_OUTPUT, extent, &rank)) return false;
  const int64_t elements = cbn_extent_product(rank, extent), kernel = cbn_extent_product(c->spatial_rank, c->kernel);
  const int64_t channels = (c->transposed ? c->out_channels : c->in_channels) / c->groups;
  return elements >= 0 && kernel >= 0 && cbn_multiply(elements, kernel, result) &&
         cbn_multiply(*result, channels, result);
}

int64_t cbn_conv_work(const cbn_conv *conv) {
  int64_t result = 0;
  return work(conv, &result) ? result : 0;
}

static bool check_overflow(const cbn_conv *c, cbn_violation *v) {
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_OUTPUT};
  for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
    int64_t extent[CBN_MAX_RANK];
    int32_t rank;
    cbn_tensor described;
    if (!extents(c, roles[i], extent, &rank) ||
        (rank > 0 && !cbn_tensor_describe(&described, CBN_F64, rank, extent, CBN_CONTIGUOUS)))
      return cbn_violate(v, CBN_RULE_EXTENT_OVERFLOW, "the size of the %s overflows 63 bits", cbn_role_name(roles[i]));
  }
  int64_t multiply_adds;
  if (!work(c, &multiply_adds))
    return cbn_violate(v, CBN_RULE_EXTENT_OVERFLOW, "the number of multiply-adds overflows 63 bits");
  return true;
}

bool cbn_conv_validate(const cbn_conv *conv, cbn_violation *violation) {
  return check_size(conv, violation) && check_modes(conv, violation) && check_lengths(conv, violation) &&
         check_extents(conv, violation) && check_groups(conv, violation) && check_window(conv, violation) &&
         check_padding(conv, violation) && check_output_padding(conv, violation) && check_overflow(conv, violation);
}
