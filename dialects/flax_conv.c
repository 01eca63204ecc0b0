/* Flax: linen.Conv and linen.ConvTranspose. */
#include <inttypes.h>
#include <string.h>

#include "dialects/flax.h"

/* One layer's call: the convolution of JAX behind it, and what Flax does to the input before. */
typedef struct layer {
  cbn_jax_call call;
  const cbn_value *params;
  cbn_entries kernel, dilation;
  bool unbatched, has_bias;
  int64_t features;
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL]; /* by which the input is padded */
  int32_t mode;                                         /* enum cbn_padding_mode */
} layer;

static bool not_implemented(enum cbn_rule rule, const char *what, cbn_rejection *r) {
  return cbn_reject(r, rule, CBN_NOT_IMPLEMENTED, "%s is not implemented here", what);
}

/* A single int is that of each axis, None is 1. */
static bool read_broadcast(const layer *l, const char *name, cbn_entries *entries, cbn_rejection *r) {
  const cbn_value *value = cbn_jax_given(l->params, name);
  int64_t integer;
  if (value == NULL || cbn_as_integer(value, true, &integer)) {
    *entries = cbn_jax_repeated(value, l->kernel.count);
    return true;
  }
  *entries = cbn_jax_entries(value);
  return entries->sequence || cbn_jax_reject_type(name, value, "an int or a sequence", r);
}

static bool read_kernel(layer *l, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(l->params, "kernel_size");
  int64_t integer;
  l->kernel = cbn_as_integer(value, true, &integer) ? cbn_jax_repeated(value, 1) : cbn_jax_entries(value);
  if (!l->kernel.sequence) return cbn_jax_reject_type("kernel_size", value, "an int or a sequence of ints", r);
  return true;
}

/* Axes before the spatial ones are the batch's: one, none, or several. */
static bool read_input(layer *l, const cbn_request *request, cbn_rejection *r) {
  cbn_jax_call *c = &l->call;
  const int32_t axes = (int32_t)l->kernel.count, batches = request->input.rank - axes - 1;
  if (axes < 1 || axes > CBN_MAX_SPATIAL)
    return not_implemented(CBN_RULE_SPATIAL_RANK, "a kernel of no axis, or of more than 3,", r);
  if (batches > 1) return not_implemented(CBN_RULE_INPUT_RANK, "an input of several batch axes", r);
  if (batches < 0)
    return not_implemented(CBN_RULE_INPUT_RANK, "an input of less axes than kernel and channels have", r);
  c->request = request;
  c->axes = axes;
  l->unbatched = batches == 0;
  c->lhs = (cbn_shape){.rank = axes + 2, .extent = {1}};
  memcpy(c->lhs.extent + l->unbatched, request->input.extent, (size_t)request->input.rank * sizeof c->lhs.extent[0]);
  for (int32_t a = 0; a < request->input.rank && l->unbatched; a++)
    if (request->input.extent[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, "ZeroDivisionError",
                        "an input without a batch must not be empty");
  cbn_jax_channels_last(c);
  return true;
}

/* A name, an int for all, or for each axis an int or a pair. */
static bool read_padding(layer *l, cbn_rejection *r) {
  cbn_jax_call *c = &l->call;
  const cbn_value *value = cbn_parameter(l->params, "padding");
  int64_t all;
  bool whole = true;
  c->padding = value == NULL ? "SAME" : value->kind == CBN_STRING ? value->as.string.text : NULL;
  if (c->padding != NULL) return true;
  const cbn_entries entries =
      cbn_as_integer(value, true, &all) ? cbn_jax_repeated(value, c->axes) : cbn_as_entries(value);
  bool valid = entries.sequence && entries.count == c->axes;
  for (int i = 0; valid && i < entries.count; i++) {
    const cbn_entries pair = cbn_as_entries(entries.entry[i]);
    if (!pair.sequence) {
      valid = cbn_as_integer(entries.entry[i], true, &c->pairs[i][0]);
      c->pairs[i][1] = c->pairs[i][0];
      continue;
    }
    valid = pair.count == 2;
    for (int end = 0; valid && end < 2; end++)
      whole = cbn_as_integer(pair.entry[end], true, &c->pairs[i][end]) && whole;
  }
  c->pair_count = c->axes;
  if (!valid || !whole)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR,
                      "padding must be a name, an int, or an int or pair for "
                      "each axis, got %s",
                      cbn_printed_value(value).text);
  return true;
}

static int64_t integer_of(const cbn_value *value) {
  int64_t integer = 0;
  cbn_as_integer(value, true, &integer);
  return integer;
}

/* Whatever kernel is given, its initializer is asked for the shape, and divides by what an element of the output sums. */
static bool check_initializer(const layer *l, int64_t channels, cbn_rejection *r) {
  enum cbn_rule rule = channels == 0 ? CBN_RULE_IN_CHANNELS_POSITIVE : CBN_RULE_OUT_CHANNELS_POSITIVE;
  bool empty = channels == 0 || l->features == 0;
  for (int a = 0; a < l->call.axes; a++) {
    if (l->call.rhs.extent[a] != 0) continue;
    rule = CBN_RULE_KERNEL_POSITIVE;
    empty = true;
  }
  return !empty || cbn_reject(r, rule, "ZeroDivisionError", "the initializer of an empty kernel divides by 0");
}

/* The kernel's extents and features must be ints; the tensors that the case gives have the shapes that follow. */
static bool check_tensors(layer *l, const cbn_request *request, int64_t channels, bool exchanged, cbn_rejection *r) {
  const cbn_value *features = cbn_parameter(l->params, "features");
  cbn_shape expected = {.rank = l->call.axes + 2};
  for (int a = 0; a < l->call.axes; a++) {
    if (!cbn_as_integer(l->kernel.entry[a], true, &expected.extent[a]))
      return cbn_jax_reject_type("kernel_size", l->kernel.entry[a], "ints", r);
    if (expected.extent[a] < 0) return not_implemented(CBN_RULE_KERNEL_POSITIVE, "a negative kernel_size", r);
  }
  if (!cbn_as_integer(features, true, &l->features)) return cbn_jax_reject_type("features", features, "an int", r);
  if (l->features < 0) return not_implemented(CBN_RULE_OUT_CHANNELS_POSITIVE, "a negative number of features", r);
  expected.extent[l->call.axes + exchanged] = channels;
  expected.extent[l->call.axes + !exchanged] = l->features;
  l->call.rhs = expected;
  if (!check_initializer(l, channels, r)) return false;
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT], *bias = request->layer[CBN_ROLE_BIAS];
  bool fits = weight == NULL || weight->rank == expected.rank;
  for (int a = 0; fits && weight != NULL && a < expected.rank; a++) fits = weight->extent[a] == expected.extent[a];
  if (!fits)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_PARAMETER_SHAPE_ERROR,
                      "the kernel given has not the shape that kernel_size, the input's channels and features say");
  l->has_bias = cbn_as_truth(cbn_parameter(l->params, "use_bias"), true);
  return !l->has_bias || bias == NULL || (bias->rank == 1 && bias->extent[0] == l->features) ||
         cbn_reject(r, CBN_RULE_BIAS_SHAPE, CBN_PARAMETER_SHAPE_ERROR,
                    "bias must have one axis of %" PRId64 " features", l->features);
}

static bool check_types(const cbn_request *request, cbn_rejection *r) {
  if (!cbn_flax_check_parameters(request, r) || !cbn_flax_check_result(request, r)) return false;
  return request->input_type == request->layer_type ||
         not_implemented(CBN_RULE_TENSOR_TYPE, "a layer of another type than the input", r);
}

static bool finish(const layer *l, cbn_plan *plan, cbn_rejection *r) {
  plan->conv.has_bias = l->has_bias;
  plan->unbatched = l->unbatched;
  return cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}

/* CIRCULAR and REFLECT pad with the dilated kernel, whatever the stride; CAUSAL before alone, with zeros. */
static bool pad_input(layer *l, cbn_rejection *r) {
  cbn_jax_call *c = &l->call;
  const bool causal = c->padding != NULL && strcmp(c->padding, "CAUSAL") == 0;
  const bool circular = c->padding != NULL && strcmp(c->padding, "CIRCULAR") == 0;
  const bool reflect = c->padding != NULL && strcmp(c->padding, "REFLECT") == 0;
  if (!causal && !circular && !reflect) return true;
  if (causal && c->axes != 1)
    return cbn_reject(r, CBN_RULE_SPATIAL_RANK, CBN_VALUE_ERROR, "CAUSAL goes with one spatial axis, got %" PRId32,
                      c->axes);
  if (l->dilation.count < c->axes)
    return not_implemented(CBN_RULE_PARAMETER_LENGTH, "kernel_dilation of less entries beside this padding", r);
  l->mode = circular ? CBN_PAD_CIRCULAR : reflect ? CBN_PAD_REFLECT : CBN_PAD_ZEROS;
  for (int a = 0; a < c->axes; a++) {
    int64_t kernel, dilation;
    if (!cbn_as_integer(l->kernel.entry[a], true, &kernel) || !cbn_as_integer(l->dilation.entry[a], true, &dilation))
      return cbn_jax_reject_type("kernel_size and kernel_dilation", l->kernel.entry[a], "ints", r);
    const int64_t reach = cbn_dilated_kernel(kernel, dilation) - 1;
    if (reach < 0 && kernel > 0 && dilation < 1)
      return not_implemented(CBN_RULE_DILATION_POSITIVE, "kernel_dilation below 1 beside this padding", r);
    if (reach < 0) return not_implemented(CBN_RULE_KERNEL_POSITIVE, "a kernel of extent 0 beside this padding", r);
    l->begin[a] = causal ? reach : reach / 2;
    l->end[a] = causal ? 0 : reach - reach / 2;
    c->lhs.extent[1 + a] = cbn_saturating_add(c->lhs.extent[1 + a], reach);
  }
  c->padding = "VALID";
  return true;
}

/* Of the padded input's plan that of the input itself. */
static bool unpad(const layer *l, cbn_plan *plan, cbn_rejection *r) {
  cbn_conv *v = &plan->conv;
  v->padding_mode = l->mode;
  for (int a = 0; a < v->spatial_rank; a++) {
    const int64_t reach = l->begin[a] + l->end[a];
    if (reach == 0) continue;
    v->input[a] -= reach;
    if (v->input[a] == 0)
      return not_implemented(CBN_RULE_INPUT_EXTENT_POSITIVE, "an extent of 0 beside this padding", r);
    v->pad_begin[a] = l->begin[a];
    v->pad_end[a] = l->end[a];
  }
  return true;
}

static bool begin(layer *l, const cbn_request *request, const char *const *names, cbn_rejection *r) {
  *l = (layer){.params = request->params,
               .call = {.precision = cbn_jax_given(request->params, "precision"),
                        .preferred = cbn_jax_given(request->params, "preferred_element_type")}};
  return cbn_check_names(request->params, names, 2, r) && read_kernel(l, r) && read_input(l, request, r);
}

bool cbn_flax_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                          cbn_rejection *r) {
  static const char *const names[] = {"features",
                                      "kernel_size",
                                      "strides",
                                      "padding",
                                      "input_dilation",
                                      "kernel_dilation",
                                      "feature_group_count",
                                      "use_bias",
                                      "dtype",
                                      "param_dtype",
                                      "precision",
                                      NULL};
  layer l;
  cbn_jax_call *c = &l.call;
  double groups = 1;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!begin(&l, request, names, r) || !read_broadcast(&l, "strides", &c->strides, r) ||
      !read_broadcast(&l, "input_dilation", &c->lhs_dilation, r) ||
      !read_broadcast(&l, "kernel_dilation", &l.dilation, r) || !read_padding(&l, r) || !pad_input(&l, r))
    return false;
  c->rhs_dilation = l.dilation;
  c->groups = cbn_parameter(request->params, "feature_group_count");
  if (c->groups != NULL && !cbn_as_number(c->groups, &groups))
    return cbn_jax_reject_type("feature_group_count", c->groups, "an int", r);
  if (groups == 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, "ZeroDivisionError", "feature_group_count must not be 0");
  if (c->groups != NULL && c->groups->kind == CBN_REAL)
    return not_implemented(CBN_RULE_PARAMETER_TYPE, "a float for feature_group_count", r);
  const int64_t channels = c->lhs.extent[c->axes + 1], count = (int64_t)groups;
  if (channels % count != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, CBN_ASSERTION_ERROR,
                      "feature_group_count must divide the channels, got %" PRId64 " and %" PRId64, count, channels);
  if (count < 0) return not_implemented(CBN_RULE_GROUPS_POSITIVE, "a negative feature_group_count", r);
  if (!check_tensors(&l, request, channels / count, false, r) || !check_types(request, r)) return false;
  for (int i = 0; c->padding != NULL && i < c->lhs_dilation.count; i++)
    if (integer_of(c->lhs_dilation.entry[i]) != 1)
      return cbn_reject(r, CBN_RULE_PADDING_MODE_NEEDS_PLAIN_INPUT, CBN_VALUE_ERROR,
                        "a padding by name goes with an input_dilation of 1 alone");
  return cbn_jax_plan(c, plan, r) && unpad(&l, plan, r) && finish(&l, plan, r);
}

bool cbn_flax_transposed(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                         cbn_rejection *r) {
  static const char *const names[] = {
      "features", "kernel_size", "strides",          "padding",     "kernel_dilation",        "use_bias",
      "dtype",    "precision",   "transpose_kernel", "param_dtype", "preferred_element_type", NULL};
  layer l;
  cbn_jax_call *c = &l.call;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!begin(&l, request, names, r) || !read_broadcast(&l, "strides", &c->lhs_dilation, r) ||
      !read_broadcast(&l, "kernel_dilation", &c->rhs_dilation, r))
    return false;
  c->flipped = cbn_as_truth(cbn_parameter(request->params, "transpose_kernel"), false);
  if (!check_tensors(&l, request, c->lhs.extent[c->axes + 1], c->flipped, r) || !read_padding(&l, r) ||
      !check_types(request, r))
    return false;
  if (c->padding != NULL && strcmp(c->padding, "CIRCULAR") == 0)
    return not_implemented(CBN_RULE_PADDING_MODE_UNKNOWN, "CIRCULAR of a transposed convolution", r);
  return cbn_jax_plan_transposed(c, plan, r) && finish(&l, plan, r);
}
