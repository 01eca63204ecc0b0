/* JAX: lax.conv_general_dilated, and the functions that call it. */
#include <inttypes.h>
#include <string.h>

#include "dialects/jax.h"

#define NOT_IMPLEMENTED_ERROR "NotImplementedError"

static bool is_integer(const cbn_value *value, int64_t *result) { return cbn_as_integer(value, true, result); }

static bool is_number(const cbn_value *value) {
  double number;
  return cbn_as_number(value, &number);
}

static bool is_float(const cbn_value *value) { return value != NULL && value->kind == CBN_REAL; }

static bool all_numbers(const cbn_entries *entries) {
  for (int i = 0; i < entries->count; i++)
    if (!is_number(entries->entry[i])) return false;
  return true;
}

static bool is_one(const cbn_value *value) {
  double number;
  return cbn_as_number(value, &number) && number == 1;
}

static int64_t integer_at(const cbn_entries *entries, int i) {
  int64_t integer = 1;
  if (i < entries->count) is_integer(entries->entry[i], &integer);
  return integer;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t dilated(int64_t extent, int64_t dilation) {
  return dilation == 1 ? extent : most(0, cbn_dilated_kernel(extent, dilation));
}

static int64_t input_extent(const cbn_jax_call *c, int a) { return c->lhs.extent[c->lhs_spec[2 + a]]; }

static int64_t kernel_extent(const cbn_jax_call *c, int a) { return c->rhs.extent[c->rhs_spec[2 + a]]; }

static int64_t dilated_kernel(const cbn_jax_call *c, int a) {
  return dilated(kernel_extent(c, a), integer_at(&c->rhs_dilation, a));
}

/* -------------------------------------------------------------------------------------------- dimension numbers */

static int count_of(const char *text, char letter) {
  int count = 0;
  for (; *text != '\0'; text++) count += *text == letter;
  return count;
}

static bool reject_format(const cbn_value *value, const char *why, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_TYPE_ERROR, "dimension_numbers %s, got %s", why,
                    cbn_printed_value(value).text);
}

/* Every character of one must stand in the other, but its own two for batch and channels. */
static bool same_spatial(const char *a, const char *own, const char *b, const char *other) {
  for (; *a != '\0'; a++)
    if (strchr(own, *a) == NULL && (strchr(b, *a) == NULL || strchr(other, *a) != NULL)) return false;
  return true;
}

/* Spatial axes come in the order in which the filter's text has them. */
static void read_spec(const char *text, const char *pair, const char *filter, uint8_t spec[CBN_MAX_NATIVE_RANK]) {
  int axis = 2;
  spec[0] = (uint8_t)(strchr(text, pair[0]) - text);
  spec[1] = (uint8_t)(strchr(text, pair[1]) - text);
  for (const char *at = filter; *at != '\0'; at++)
    if (*at != 'O' && *at != 'I') spec[axis++] = (uint8_t)(strchr(text, *at) - text);
}

static bool read_dimensions(cbn_jax_call *c, const cbn_value *value, cbn_rejection *r) {
  static const char *const pairs[] = {"NC", "OI", "NC"};
  const char *text[3];
  if (c->lhs.rank != c->rhs.rank)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_TYPE_ERROR,
                      "lhs and rhs must have as many axes, got %" PRId32 " and %" PRId32, c->lhs.rank, c->rhs.rank);
  c->axes = c->lhs.rank - 2;
  if (value == NULL) {
    for (int a = 0; a < CBN_MAX_NATIVE_RANK; a++) c->lhs_spec[a] = c->rhs_spec[a] = c->out_spec[a] = (uint8_t)a;
    return true;
  }
  if (value->kind != CBN_LIST) return reject_format(value, "must be a tuple or list", r);
  if (value->as.list.count != 3) return reject_format(value, "must have 3 entries", r);
  for (int i = 0; i < 3; i++) {
    if (value->as.list.items[i]->kind != CBN_STRING) return reject_format(value, "must be strings", r);
    text[i] = value->as.list.items[i]->as.string.text;
  }
  for (int i = 0; i < 3; i++)
    if (strlen(text[i]) != (size_t)c->lhs.rank) return reject_format(value, "must have a letter for each axis", r);
  for (int i = 0; i < 3; i++) {
    if (count_of(text[i], pairs[i][0]) != 1 || count_of(text[i], pairs[i][1]) != 1)
      return reject_format(value, "must have batch and channels once each", r);
    for (const char *at = text[i]; *at != '\0'; at++)
      if (count_of(text[i], *at) != 1) return reject_format(value, "must not have a letter twice", r);
  }
  for (int i = 0; i < 3; i++)
    if (!same_spatial(text[i], pairs[i], text[(i + 1) % 3], pairs[(i + 1) % 3]))
      return reject_format(value, "must have the same spatial axes", r);
  read_spec(text[0], pairs[0], text[1], c->lhs_spec);
  read_spec(text[1], pairs[1], text[1], c->rhs_spec);
  read_spec(text[2], pairs[2], text[1], c->out_spec);
  return true;
}

void cbn_jax_channels_last(cbn_jax_call *c) {
  const int channels = c->axes + 1;
  c->lhs_spec[0] = 0;
  c->lhs_spec[1] = (uint8_t)channels;
  c->rhs_spec[0] = (uint8_t)channels;
  c->rhs_spec[1] = (uint8_t)c->axes;
  for (int a = 0; a < c->axes; a++) {
    c->lhs_spec[2 + a] = (uint8_t)(1 + a);
    c->rhs_spec[2 + a] = (uint8_t)a;
  }
  memcpy(c->out_spec, c->lhs_spec, sizeof c->out_spec);
}

static bool check_axes(const cbn_jax_call *c, cbn_rejection *r) {
  if (c->axes < 0)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_INDEX_ERROR, "lhs must have at least 2 axes, got %" PRId32,
                      c->lhs.rank);
  return (c->axes >= 1 && c->axes <= CBN_MAX_SPATIAL) ||
         cbn_reject(r, CBN_RULE_SPATIAL_RANK, CBN_NOT_IMPLEMENTED, "lhs must have 3 to 5 axes here, got %" PRId32,
                    c->lhs.rank);
}

/* ------------------------------------------------------------------------------------------- what Python checks */

/* A padding by name goes with no input dilation. */
static bool check_name_alone(const cbn_jax_call *c, const cbn_value *dilation, cbn_rejection *r) {
  if (c->padding == NULL || dilation == NULL) return true;
  if (dilation->kind == CBN_MAP)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, "AttributeError", "lhs_dilation must be a sequence, got a map");
  if (dilation->kind != CBN_LIST) return cbn_jax_reject_type("lhs_dilation", dilation, "a sequence of ints", r);
  for (int i = 0; i < c->lhs_dilation.count; i++)
    if (!is_one(c->lhs_dilation.entry[i]))
      return cbn_reject(r, CBN_RULE_PADDING_MODE_NEEDS_PLAIN_INPUT, CBN_VALUE_ERROR,
                        "a padding by name goes with no lhs_dilation, got %s", cbn_printed_value(dilation).text);
  return true;
}

static bool same_letters(const char *a, const char *upper) {
  for (; *a != '\0' && *upper != '\0'; a++, upper++)
    if (*a != *upper && !(*a >= 'a' && *a <= 'z' && *a - 'a' + 'A' == *upper)) return false;
  return *a == *upper;
}

/* NumPy makes two lengths one where they are the same or one of them is 1. */
static bool broadcast(int a, int b, int *result) {
  *result = a == 1 ? b : a;
  return a == b || a == 1 || b == 1;
}

/* SAME by NumPy, with one padding for each axis that the three lists together have. */
static bool same_pairs(cbn_jax_call *c, bool lower, cbn_rejection *r) {
  int count;
  if (!all_numbers(&c->strides)) return cbn_jax_reject_type("window_strides", c->strides.entry[0], "ints", r);
  const int kernels = c->rhs_dilation.count < c->axes ? c->rhs_dilation.count : c->axes;
  if (!broadcast(c->axes, c->strides.count, &count) || !broadcast(count, kernels, &count))
    return cbn_jax_reject_length("window_strides and rhs_dilation", c->axes, c->strides.count, CBN_VALUE_ERROR, r);
  for (int i = 0; i < c->strides.count; i++)
    if (is_float(c->strides.entry[i])) return cbn_jax_reject_type("window_strides", c->strides.entry[i], "ints", r);
  c->pair_count = count;
  for (int a = 0; a < count && a < c->axes; a++) {
    const int64_t input = input_extent(c, a), stride = integer_at(&c->strides, a);
    const int64_t outputs = stride > 0 ? input / stride + (input % stride != 0) : 0;
    const int64_t reach = cbn_saturating_add(cbn_saturating_multiply(outputs - 1, stride), dilated_kernel(c, a));
    const int64_t total = most(0, cbn_saturating_add(reach, -input));
    c->pairs[a][lower] = total / 2;
    c->pairs[a][!lower] = total - total / 2;
  }
  return true;
}

static bool resolve_name(cbn_jax_call *c, cbn_rejection *r) {
  if (!c->rhs_dilation.sequence || !all_numbers(&c->rhs_dilation))
    return cbn_jax_reject_type("rhs_dilation", c->rhs_dilation.entry[0], "a sequence of ints", r);
  for (int i = 0; i < c->rhs_dilation.count && i < c->axes; i++)
    if (is_float(c->rhs_dilation.entry[i]) && !is_one(c->rhs_dilation.entry[i]))
      return cbn_jax_reject_type("rhs_dilation", c->rhs_dilation.entry[i], "ints", r);
  const bool lower = same_letters(c->padding, "SAME_LOWER");
  if (lower || same_letters(c->padding, "SAME")) return same_pairs(c, lower, r);
  c->pair_count = c->axes;
  return same_letters(c->padding, "VALID") ||
         cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, "RuntimeError",
                    "padding must be SAME, SAME_LOWER or VALID, got '%.60s'", c->padding);
}

static bool check_precision(const cbn_value *value, cbn_rejection *r) {
  static const char *const names[] = {"highest", "float32",  "high",    "bfloat16_3x", "tensorfloat32",
                                      "default", "bfloat16", "fastest", NULL};
  const cbn_entries entries = cbn_as_entries(value);
  bool known = value == NULL || !entries.sequence || entries.count == 2;
  for (int i = 0; value != NULL && i < entries.count && known; i++) {
    known = false;
    for (int n = 0; names[n] != NULL; n++) known = known || cbn_value_is(entries.entry[i], names[n]);
  }
  return known || cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "precision is none that JAX knows: %s",
                             cbn_printed_value(value).text);
}

static bool check_in_python(cbn_jax_call *c, cbn_rejection *r) {
  if (c->padding != NULL && !resolve_name(c, r)) return false;
  if (c->preferred != NULL && cbn_jax_type(c->preferred) < 0)
    return cbn_jax_reject_type("preferred_element_type", c->preferred, "a type", r);
  if (!c->strides.sequence) return cbn_jax_reject_type("window_strides", c->strides.entry[0], "a sequence", r);
  if (!c->lhs_dilation.sequence) return cbn_jax_reject_type("lhs_dilation", c->lhs_dilation.entry[0], "a sequence", r);
  if (!c->rhs_dilation.sequence) return cbn_jax_reject_type("rhs_dilation", c->rhs_dilation.entry[0], "a sequence", r);
  return check_precision(c->precision, r);
}

/* ------------------------------------------------------------------------------------------------ the output's shape */

static int64_t channels_of(const cbn_jax_call *c) { return c->lhs.extent[c->lhs_spec[1]]; }
static int64_t outputs_of(const cbn_jax_call *c) { return c->rhs.extent[c->rhs_spec[c->flipped]]; }
static int64_t filters_of(const cbn_jax_call *c) { return c->rhs.extent[c->rhs_spec[!c->flipped]]; }

/* A count of groups: a whole float is one until the compiler is asked. */
static bool read_groups(const char *name, const cbn_value *value, double *groups, cbn_rejection *r) {
  *groups = 1;
  if (value == NULL) return true;
  if (!cbn_as_number(value, groups)) return cbn_jax_reject_type(name, value, "an int", r);
  return *groups > 0 || cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, CBN_VALUE_ERROR, "%s must be positive, got %s", name,
                                   cbn_printed_value(value).text);
}

static bool divides(double groups, int64_t count) {
  return groups < 0x1p53 && groups == (double)(int64_t)groups ? count % (int64_t)groups == 0 : count == 0;
}

static bool check_groups(const cbn_jax_call *c, cbn_rejection *r) {
  const int64_t channels = channels_of(c), filters = filters_of(c), outputs = outputs_of(c);
  const int64_t batch = c->lhs.extent[c->lhs_spec[0]];
  double groups, batches;
  if (!read_groups("feature_group_count", c->groups, &groups, r)) return false;
  if (!divides(groups, channels))
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, CBN_VALUE_ERROR,
                      "feature_group_count must divide the channels of lhs, got %g and %" PRId64, groups, channels);
  if ((double)channels / groups != (double)filters)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_VALUE_ERROR,
                      "a group of lhs has %g channels, rhs %" PRId64, (double)channels / groups, filters);
  if (!divides(groups, outputs))
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, CBN_VALUE_ERROR,
                      "feature_group_count must divide the output channels, got %g and %" PRId64, groups, outputs);
  if (!read_groups("batch_group_count", c->batch_groups, &batches, r)) return false;
  if (!divides(batches, batch))
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR,
                      "batch_group_count must divide the batch, got %g and %" PRId64, batches, batch);
  if (!divides(batches, outputs))
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, CBN_VALUE_ERROR,
                      "batch_group_count must divide the output channels, got %g and %" PRId64, batches, outputs);
  return !(batches > 1 && groups > 1) || cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR,
                                                    "only one of feature_group_count and batch_group_count may be > 1");
}

/* A float that is 1 changes nothing yet; any other makes an extent a float. */
static bool check_whole(const char *name, const cbn_entries *entries, bool one_passes, cbn_rejection *r) {
  int64_t integer;
  for (int i = 0; i < entries->count; i++)
    if (!is_integer(entries->entry[i], &integer) && !(one_passes && is_one(entries->entry[i])))
      return cbn_jax_reject_type(name, entries->entry[i], "ints", r);
  return true;
}

static bool check_dilation(const char *name, const cbn_entries *entries, enum cbn_rule rule, cbn_rejection *r) {
  double number;
  for (int i = 0; i < entries->count; i++)
    if (!is_number(entries->entry[i]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE,
                        entries->entry[i]->kind == CBN_STRING ? "UFuncTypeError" : CBN_TYPE_ERROR,
                        "%s must be ints, got %s", name, cbn_printed_value(entries->entry[i]).text);
  for (int i = 0; i < entries->count; i++)
    if (cbn_as_number(entries->entry[i], &number) && !(number > 0))
      return cbn_reject(r, rule, CBN_TYPE_ERROR, "%s must be positive, got %s", name,
                        cbn_printed_value(entries->entry[i]).text);
  return check_whole(name, entries, true, r);
}

static bool check_extents(const cbn_jax_call *c, cbn_rejection *r) {
  if (c->strides.count != c->axes)
    return cbn_jax_reject_length("window_strides", c->axes, c->strides.count, CBN_VALUE_ERROR, r);
  if (!check_dilation("lhs_dilation", &c->lhs_dilation, CBN_RULE_INPUT_DILATION_POSITIVE, r) ||
      !check_dilation("rhs_dilation", &c->rhs_dilation, CBN_RULE_DILATION_POSITIVE, r))
    return false;
  if (c->pair_count != c->axes) return cbn_jax_reject_length("padding", c->axes, c->pair_count, CBN_TYPE_ERROR, r);
  for (int a = 0; a < c->axes; a++) {
    const int64_t input = dilated(input_extent(c, a), integer_at(&c->lhs_dilation, a));
    const int64_t padded = cbn_saturating_add(input, cbn_saturating_add(c->pairs[a][0], c->pairs[a][1]));
    if (padded < 0)
      return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, CBN_VALUE_ERROR,
                        "negative padding of %" PRId64 " and %" PRId64 " is larger than the extent %" PRId64,
                        c->pairs[a][0], c->pairs[a][1], input);
  }
  return check_whole("window_strides", &c->strides, false, r);
}

static bool check_types(const cbn_jax_call *c, cbn_rejection *r) {
  static const int bytes[] = {[CBN_F32] = 4, [CBN_F64] = 8, [CBN_F16] = 2, [CBN_BF16] = 2};
  const int32_t type = c->request->input_type, preferred = c->preferred == NULL ? type : cbn_jax_type(c->preferred);
  if (type != c->request->layer_type)
    return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_TYPE_ERROR, "lhs and rhs have one type, got %s and %s",
                      cbn_type_name(type), cbn_type_name(c->request->layer_type));
  if (preferred == CBN_JAX_OTHER_TYPE || bytes[preferred] < bytes[type])
    return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_TYPE_ERROR,
                      "preferred_element_type must be a float not narrower "
                      "than %s, got %s",
                      cbn_type_name(type), cbn_printed_value(c->preferred).text);
  return true;
}

/* ------------------------------------------------------------------------------------------- what the compiler checks */

static bool has_float(const cbn_entries *entries) {
  for (int i = 0; i < entries->count; i++)
    if (is_float(entries->entry[i])) return true;
  return false;
}

static bool check_compiled(const cbn_jax_call *c, cbn_rejection *r) {
  const cbn_entries *const dilations[] = {&c->lhs_dilation, &c->rhs_dilation};
  if (has_float(dilations[0]) || has_float(dilations[1]) || is_float(c->groups) || is_float(c->batch_groups))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, NOT_IMPLEMENTED_ERROR, "dilations and groups must be ints");
  for (int i = 0; i < 2; i++)
    if (dilations[i]->count != c->axes && dilations[i]->count != 0)
      return cbn_jax_reject_length(i == 0 ? "lhs_dilation" : "rhs_dilation", c->axes, dilations[i]->count,
                                   CBN_VALUE_ERROR, r);
  for (int a = 0; a < c->axes; a++) {
    if (kernel_extent(c, a) < 1)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, CBN_VALUE_ERROR, "rhs has the extent 0");
    if (integer_at(&c->strides, a) < 1)
      return cbn_reject(r, CBN_RULE_STRIDE_POSITIVE, CBN_VALUE_ERROR, "window_strides must be positive, got %" PRId64,
                        integer_at(&c->strides, a));
  }
  if (c->batch_groups != NULL && !is_one(c->batch_groups))
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED,
                      "batch_group_count other than 1 is not "
                      "implemented here");
  return c->preferred == NULL || cbn_jax_type(c->preferred) == c->request->input_type ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED, "a result of another type is not implemented here");
}

/* ------------------------------------------------------------------------------------------------------- the plan */

static cbn_axis_order order_of(const uint8_t *spec, int32_t rank) {
  cbn_axis_order order = {0};
  for (int32_t a = 0; a < rank; a++) {
    order.place[a] = spec[a];
    order.given = order.given || spec[a] != a;
  }
  return order;
}

static void set_orders(const cbn_jax_call *c, cbn_plan *plan) {
  plan->input_order = order_of(c->lhs_spec, c->axes + 2);
  plan->weight_order = order_of(c->rhs_spec, c->axes + 2);
  plan->output_order = order_of(c->out_spec, c->axes + 2);
}

void cbn_jax_orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  const cbn_value *format = cbn_jax_given(params, "dimension_numbers");
  cbn_jax_call c = {.lhs.rank = axes + 2, .rhs.rank = axes + 2};
  cbn_rejection ignored;
  if (!read_dimensions(&c, format, &ignored)) return;
  if (operator->transposed && format == NULL) cbn_jax_channels_last(&c);
  set_orders(&c, plan);
}

/* A convolution of a dilated input with a reversed kernel is a transposed convolution, whose padding is what the kernel
 * leaves of this one's. */
static bool make_transposed(cbn_conv *v, cbn_rejection *r) {
  v->transposed = 1;
  for (int a = 0; a < v->spatial_rank; a++) {
    const int64_t reach = cbn_dilated_kernel(v->kernel[a], v->dilation[a]) - 1;
    if (v->input[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_NOT_IMPLEMENTED,
                        "an extent of 0 is not implemented here for transpose_kernel");
    v->stride[a] = v->input_dilation[a];
    v->input_dilation[a] = 1;
    v->pad_begin[a] = cbn_saturating_add(reach, -v->pad_begin[a]);
    v->pad_end[a] = cbn_saturating_add(reach, -v->pad_end[a]);
  }
  return true;
}

static bool describe(const cbn_jax_call *c, cbn_plan *plan, cbn_rejection *r) {
  cbn_conv *v = &plan->conv;
  double groups = 1;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(c->axes)};
  set_orders(c, plan);
  if (c->groups != NULL) cbn_as_number(c->groups, &groups);
  v->groups = (int64_t)groups;
  v->batch = c->lhs.extent[c->lhs_spec[0]];
  v->in_channels = channels_of(c);
  v->out_channels = outputs_of(c);
  for (int a = 0; a < c->axes; a++) {
    v->input[a] = input_extent(c, a);
    v->kernel[a] = kernel_extent(c, a);
    v->stride[a] = integer_at(&c->strides, a);
    v->dilation[a] = integer_at(&c->rhs_dilation, a);
    v->input_dilation[a] = integer_at(&c->lhs_dilation, a);
    v->pad_begin[a] = c->pairs[a][0];
    v->pad_end[a] = c->pairs[a][1];
  }
  return (!c->flipped || make_transposed(v, r)) && cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}

bool cbn_jax_plan(cbn_jax_call *c, cbn_plan *plan, cbn_rejection *r) {
  return check_in_python(c, r) && check_groups(c, r) && check_extents(c, r) && check_types(c, r) &&
         check_compiled(c, r) && describe(c, plan, r);
}

/* ---------------------------------------------------------------------------------------------------- the functions */

/* Pairs of ints. */
static bool read_pairs(cbn_jax_call *c, const cbn_value *value, cbn_rejection *r) {
  const cbn_entries entries = cbn_as_entries(value);
  bool pairs = entries.sequence;
  c->pair_count = entries.count;
  for (int i = 0; pairs && i < entries.count; i++) {
    const cbn_entries pair = cbn_as_entries(entries.entry[i]);
    pairs = pair.sequence && pair.count == 2 && is_integer(pair.entry[0], &c->pairs[i][0]) &&
            is_integer(pair.entry[1], &c->pairs[i][1]);
  }
  return pairs ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR,
                    "padding must be a string or a sequence of pairs of ints, got %s", cbn_printed_value(value).text);
}

static bool begin(cbn_jax_call *c, const cbn_request *request, const char *const *names, int required,
                  cbn_rejection *r) {
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT];
  if (!cbn_check_names(request->params, names, required, r)) return false;
  if (weight == NULL) return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "rhs is missing");
  if (request->layer[CBN_ROLE_BIAS] != NULL)
    return cbn_reject(r, CBN_RULE_UNKNOWN_PARAMETER, CBN_TYPE_ERROR, "there is no parameter 'bias'");
  *c = (cbn_jax_call){.request = request,
                      .lhs = request->input,
                      .rhs = *weight,
                      .precision = cbn_jax_given(request->params, "precision"),
                      .preferred = cbn_jax_given(request->params, "preferred_element_type")};
  return true;
}

/* Dilations: 1 for each axis where they are None. */
static cbn_entries dilations_of(const cbn_jax_call *c, const cbn_value *value) {
  return value == NULL ? cbn_jax_repeated(NULL, c->axes) : cbn_jax_entries(value);
}

bool cbn_jax_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                         cbn_rejection *r) {
  static const char *const general[] = {"window_strides",
                                        "padding",
                                        "lhs_dilation",
                                        "rhs_dilation",
                                        "dimension_numbers",
                                        "feature_group_count",
                                        "batch_group_count",
                                        "precision",
                                        "preferred_element_type",
                                        "out_sharding",
                                        NULL};
  static const char *const padded[] = {"window_strides",         "padding", "lhs_dilation", "rhs_dilation", "precision",
                                       "preferred_element_type", NULL};
  static const char *const plain[] = {"window_strides", "padding", "precision", "preferred_element_type", NULL};
  const bool is_plain = strcmp(operator->name, "lax.conv") == 0;
  const bool is_padded = strcmp(operator->name, "lax.conv_with_general_padding") == 0;
  const cbn_value *params = request->params;
  cbn_jax_call c;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!begin(&c, request, is_plain ? plain : is_padded ? padded : general, is_padded ? 4 : 2, r)) return false;
  const cbn_value *padding = cbn_parameter(params, "padding"), *dilation = cbn_jax_given(params, "lhs_dilation");
  if (!read_dimensions(&c, cbn_jax_given(params, "dimension_numbers"), r)) return false;
  if (cbn_jax_given(params, "out_sharding") != NULL)
    return cbn_jax_reject_type("out_sharding", cbn_parameter(params, "out_sharding"), "a sharding", r);
  if (!check_axes(&c, r)) return false;
  c.strides = cbn_jax_entries(cbn_parameter(params, "window_strides"));
  c.lhs_dilation = dilations_of(&c, dilation);
  c.rhs_dilation = dilations_of(&c, cbn_jax_given(params, "rhs_dilation"));
  c.groups = cbn_parameter(params, "feature_group_count");
  c.batch_groups = cbn_parameter(params, "batch_group_count");
  if (padding->kind == CBN_STRING) c.padding = padding->as.string.text;
  return check_name_alone(&c, dilation, r) && (c.padding != NULL || read_pairs(&c, padding, r)) &&
         cbn_jax_plan(&c, plan, r);
}

/* ------------------------------------------------------------------------------------------------------- transposed */

/* The padding of one axis that undoes the forward convolution's. */
static void transposed_pair(int64_t kernel, int64_t stride, bool same, int64_t pair[2]) {
  const int64_t reach = kernel + least(stride, INT64_MAX / 4) - 2;
  const int64_t total = same ? reach : reach + most(kernel - stride, 0);
  pair[0] = !same || stride > kernel - 1 ? kernel - 1 : reach / 2 + (reach % 2 > 0);
  pair[1] = total - pair[0];
}

static bool reject_mode(const cbn_value *value, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_VALUE_ERROR, "there is no padding mode %s",
                    cbn_printed_value(value).text);
}

/* Of use_consistent_padding: the forward convolution's pads, of which the first stands before. */
static bool consistent_pair(int64_t kernel, const cbn_entries *given, int64_t pair[2], const cbn_value *whole,
                            cbn_rejection *r) {
  if (given->count == 0)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_INDEX_ERROR, "a pair of padding must not be empty");
  for (int i = 0; i < given->count; i++)
    if (!is_number(given->entry[i]))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE,
                        given->entry[i]->kind == CBN_STRING ? "UFuncTypeError" : CBN_TYPE_ERROR,
                        "padding must be pairs of ints, got %s", cbn_printed_value(whole).text);
  pair[0] = pair[1] = 0;
  for (int i = 0; i < given->count; i++) {
    int64_t pad;
    if (!is_integer(given->entry[i], &pad))
      return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "padding must be ints, got %s",
                        cbn_printed_value(whole).text);
    pair[i > 0] = cbn_saturating_add(pair[i > 0], cbn_saturating_add(kernel - 1, -pad));
  }
  return true;
}

/* Pads of each axis, as many as the shortest list has; `padding` NULL: the name that the call has, for all. */
static bool transpose_padding(cbn_jax_call *c, const cbn_value *padding, cbn_rejection *r) {
  static const char *const modes[] = {"SAME", "VALID"};
  const cbn_entries modes_given = cbn_jax_entries(padding);
  bool whole = true;
  if (!c->lhs_dilation.sequence) return cbn_jax_reject_type("strides", c->lhs_dilation.entry[0], "a sequence", r);
  if (!c->rhs_dilation.sequence) return cbn_jax_reject_type("rhs_dilation", c->rhs_dilation.entry[0], "a sequence", r);
  if (padding != NULL && !modes_given.sequence) return cbn_jax_reject_type("padding", padding, "a sequence", r);
  int64_t count = least(c->axes, least(c->rhs_dilation.count, c->lhs_dilation.count));
  if (padding != NULL) count = least(count, modes_given.count);
  c->pair_count = (int)count;
  for (int a = 0; a < count; a++) {
    const cbn_value *mode = padding == NULL ? NULL : modes_given.entry[a];
    const cbn_entries pair = cbn_as_entries(mode);
    const bool same = mode == NULL ? strcmp(c->padding, modes[0]) == 0 : cbn_value_is(mode, modes[0]);
    const bool valid = mode == NULL ? strcmp(c->padding, modes[1]) == 0 : cbn_value_is(mode, modes[1]);
    const cbn_value *stride = c->lhs_dilation.entry[a], *dilation = c->rhs_dilation.entry[a];
    if (!is_number(dilation) || (is_float(dilation) && !is_one(dilation)))
      return cbn_jax_reject_type("rhs_dilation", dilation, "ints", r);
    const int64_t kernel = dilated_kernel(c, a);
    if (same || valid) {
      if (!is_number(stride))
        return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, stride->kind == CBN_STRING ? "UFuncTypeError" : CBN_TYPE_ERROR,
                          "strides must be ints, got %s", cbn_printed_value(stride).text);
      whole = whole && !is_float(stride);
      transposed_pair(kernel, integer_at(&c->lhs_dilation, a), same, c->pairs[a]);
    } else if (mode == NULL || !pair.sequence) {
      return reject_mode(mode, r);
    } else if (!consistent_pair(kernel, &pair, c->pairs[a], padding, r)) {
      return false;
    }
  }
  c->padding = NULL;
  return whole || cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "strides must be ints");
}

bool cbn_jax_plan_transposed(cbn_jax_call *c, cbn_plan *plan, cbn_rejection *r) {
  const bool forward_padding =
      c->padding != NULL && (strcmp(c->padding, "SAME") == 0 || strcmp(c->padding, "VALID") == 0);
  c->strides = cbn_jax_repeated(NULL, c->axes);
  if (forward_padding && !transpose_padding(c, NULL, r)) return false;
  for (int i = 0; c->padding != NULL && i < c->lhs_dilation.count; i++)
    if (!is_one(c->lhs_dilation.entry[i]))
      return cbn_reject(r, CBN_RULE_PADDING_MODE_NEEDS_PLAIN_INPUT, CBN_VALUE_ERROR,
                        "the padding %.40s goes with strides of 1 alone", c->padding);
  return cbn_jax_plan(c, plan, r);
}

bool cbn_jax_transposed(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                        cbn_rejection *r) {
  static const char *const names[] = {"strides",
                                      "padding",
                                      "rhs_dilation",
                                      "dimension_numbers",
                                      "transpose_kernel",
                                      "precision",
                                      "preferred_element_type",
                                      "use_consistent_padding",
                                      NULL};
  const cbn_value *params = request->params, *format = cbn_jax_given(params, "dimension_numbers");
  cbn_jax_call c;
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!begin(&c, request, names, 2, r)) return false;
  const cbn_value *padding = cbn_parameter(params, "padding"), *strides = cbn_jax_given(params, "strides");
  const bool consistent = cbn_as_truth(cbn_parameter(params, "use_consistent_padding"), false);
  if (c.lhs.rank != c.rhs.rank || c.lhs.rank < 2)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_ASSERTION_ERROR,
                      "lhs and rhs must have as many axes, got %" PRId32 " and %" PRId32, c.lhs.rank, c.rhs.rank);
  if (format == NULL && c.lhs.rank > 5)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "lhs must have at most 5 axes, got %" PRId32,
                      c.lhs.rank);
  if (!read_dimensions(&c, format, r) || !check_axes(&c, r)) return false;
  if (format == NULL) cbn_jax_channels_last(&c);
  const bool by_name = padding->kind == CBN_STRING;
  const bool forward_name = cbn_value_is(padding, "SAME") || cbn_value_is(padding, "VALID");
  if (strides == NULL && (consistent || forward_name)) return cbn_jax_reject_type("strides", strides, "a sequence", r);
  c.lhs_dilation = dilations_of(&c, strides);
  c.rhs_dilation = dilations_of(&c, cbn_jax_given(params, "rhs_dilation"));
  c.flipped = cbn_as_truth(cbn_parameter(params, "transpose_kernel"), false);
  if (by_name) c.padding = padding->as.string.text;
  if (consistent && by_name && !forward_name) {
    if (!c.lhs_dilation.sequence) return cbn_jax_reject_type("strides", strides, "a sequence", r);
    return reject_mode(padding, r);
  }
  if (consistent && !by_name && !transpose_padding(&c, padding, r)) return false;
  if (!consistent && !by_name && !read_pairs(&c, padding, r)) return false;
  if (!forward_name && !check_name_alone(&c, strides, r)) return false;
  return cbn_jax_plan_transposed(&c, plan, r);
}
