/* mindspore.mint.nn: Conv1d, 2d, 3d, ConvTranspose2d, BatchNorm1d, 2d, 3d, and the functions behind them.
 *
 * The layers are PyTorch's, by name, parameters and defaults, and documented as such. On a CPU their constructors run, and
 * the first checks of a call; then no kernel is found. So what a constructor refuses is measured, in its order, and what
 * a call computes, or refuses behind what was measured, is what the dialect pytorch says of the layer of that name. */
#include <inttypes.h>
#include <string.h>

#include "dialects/mindspore.h"

/* A module of mint.nn, or a function, as a layer of PyTorch's. */
static const char *torch_name(const char *name) { return strstr(name, "nn."); }

/* Does the convolution itself pad? Padding by name and the modes that read the input are other operators'. */
static bool pads_plainly(const cbn_value *params) {
  const cbn_value *padding = cbn_parameter(params, "padding"), *mode = cbn_parameter(params, "padding_mode");
  return (padding == NULL || padding->kind != CBN_STRING) && (mode == NULL || cbn_value_is(mode, "zeros"));
}

/* What a call was measured to raise; in all else PyTorch's exceptions stand. */
static const char *call_exception(const cbn_dialect_operator *operator, const cbn_value * params,
                                  const cbn_rejection *r) {
  const bool conv = operator->kind == CBN_OPERATOR_CONV;
  switch (r->rule) {
  case CBN_RULE_INPUT_RANK:
    return conv && operator->spatial_rank < 3 && pads_plainly(params) ? CBN_RUNTIME_ERROR : CBN_VALUE_ERROR;
  case CBN_RULE_INPUT_CHANNELS_MISMATCH:
  case CBN_RULE_KERNEL_EXCEEDS_INPUT:
  case CBN_RULE_PADDING_NON_NEGATIVE:
  case CBN_RULE_OUTPUT_PADDING_RANGE:
  case CBN_RULE_STRIDE_POSITIVE:
  case CBN_RULE_DILATION_POSITIVE:
  case CBN_RULE_GROUPS_POSITIVE:
  case CBN_RULE_PARAMETER_LENGTH:
  case CBN_RULE_NUM_FEATURES_POSITIVE: return CBN_VALUE_ERROR;
  default: return r->exception;
  }
}

static bool ask_torch(const cbn_dialect_operator *operator, const char * name, const cbn_request *request,
                      cbn_plan *plan, cbn_rejection *r) {
  const cbn_dialect_operator *torch = cbn_dialect_find(cbn_dialect_by_name("pytorch"), name);
  cbn_request one_type = *request; /* types come last */
  one_type.layer_type = request->input_type;
  if (torch->plan(torch, &one_type, plan, r) && torch->plan(torch, request, plan, r)) return true;
  r->exception = call_exception(operator, request->params, r);
  return false;
}

static bool reject_type(const char *exception, const char *name, const char *wanted, const cbn_value *value,
                        cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, exception, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(value).text);
}

/* ---------------------------------------------------------------------------------------- a layer's parameters, made */

enum { MOST_PARAMETERS = 10 };

/* A layer's parameters, of PyTorch's names. */
typedef struct as_layer {
  cbn_value map, key[MOST_PARAMETERS], made[MOST_PARAMETERS], extent[CBN_MAX_SPATIAL];
  const cbn_value *keys[MOST_PARAMETERS], *items[MOST_PARAMETERS], *kernel[CBN_MAX_SPATIAL];
} as_layer;

static void open_layer(as_layer *l) {
  l->map = (cbn_value){.kind = CBN_MAP};
  l->map.as.map.keys = l->keys;
  l->map.as.map.items = l->items;
}

static void put_value(as_layer *l, const char *name, const cbn_value *value) {
  const size_t i = l->map.as.map.count++;
  l->key[i] = (cbn_value){.kind = CBN_STRING, .as.string = {.text = name, .length = strlen(name)}};
  l->keys[i] = &l->key[i];
  l->items[i] = value;
}

static cbn_value *put(as_layer *l, const char *name, enum cbn_value_kind kind) {
  cbn_value *value = &l->made[l->map.as.map.count];
  *value = (cbn_value){.kind = kind};
  put_value(l, name, value);
  return value;
}

/* ------------------------------------------------------------------------------------------------- convolutions */

/* An int, or a tuple of as many as there are axes. */
static bool check_sequence(const cbn_value *params, const char *name, int32_t axes, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  const cbn_entries e = cbn_as_entries(value);
  if (value == NULL) return true;
  if (!e.sequence && value->kind != CBN_INTEGER)
    return reject_type(CBN_TYPE_ERROR, name, "an int or a tuple of ints", value, r);
  if (e.sequence && e.count != axes)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_TYPE_ERROR, "%s must have %d entries, got %d", name, (int)axes,
                      e.count);
  for (int i = 0; i < e.count; i++)
    if (e.entry[i]->kind != CBN_INTEGER) return reject_type(CBN_TYPE_ERROR, name, "ints", e.entry[i], r);
  return true;
}

/* An int or a tuple of ints, of any length; `names`: or a string. */
static bool check_ints(const cbn_value *params, const char *name, bool names, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  const cbn_entries e = cbn_as_entries(value);
  if (value == NULL || (names && value->kind == CBN_STRING)) return true;
  for (int i = 0; i < e.count; i++)
    if (e.entry[i]->kind != CBN_INTEGER) return cbn_mindspore_reject_type(params, name, "an int or a tuple of ints", r);
  return true;
}

/* ConvTranspose2d: an int or any tuple, looked at later. */
static bool check_pair(const cbn_value *params, const char *name, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL || value->kind == CBN_INTEGER || value->kind == CBN_BOOLEAN || value->kind == CBN_LIST) return true;
  return reject_type(CBN_VALUE_ERROR, name, "an int or a tuple", value, r);
}

static bool check_forms(const cbn_dialect_operator *operator, const cbn_value * params, cbn_rejection *r) {
  const cbn_value *padding = cbn_parameter(params, "padding"), *mode = cbn_parameter(params, "padding_mode");
  const int32_t axes = operator->spatial_rank;
  if (!operator->transposed)
    return check_sequence(params, "kernel_size", axes, r) && check_sequence(params, "stride", axes, r) &&
           ((padding != NULL && padding->kind == CBN_STRING) || check_sequence(params, "padding", axes, r)) &&
           check_sequence(params, "dilation", axes, r);
  if (!check_pair(params, "kernel_size", r) || !check_pair(params, "stride", r) || !check_pair(params, "padding", r) ||
      !check_pair(params, "dilation", r) || !check_pair(params, "output_padding", r))
    return false;
  return mode == NULL || cbn_value_is(mode, "zeros") ||
         cbn_reject(r, CBN_RULE_PADDING_MODE_UNKNOWN, CBN_VALUE_ERROR, "padding_mode must be 'zeros', got %s",
                    cbn_printed_value(mode).text);
}

static bool read_count(const cbn_value *params, const char *name, int64_t least, enum cbn_rule rule, int64_t *count,
                       cbn_rejection *r) {
  if (!cbn_mindspore_int(params, name, 1, count)) return cbn_mindspore_reject_type(params, name, "an int", r);
  return *count >= least ||
         cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be at least %" PRId64 ", got %" PRId64, name, least, *count);
}

static bool check_positive(const cbn_value *params, const char *name, enum cbn_rule rule, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  const cbn_entries e = cbn_as_entries(value);
  for (int i = 0; value != NULL && i < e.count; i++) {
    int64_t entry;
    if (!cbn_as_integer(e.entry[i], false, &entry)) return reject_type(CBN_TYPE_ERROR, name, "ints", e.entry[i], r);
    if (entry <= 0) return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be positive, got %" PRId64, name, entry);
  }
  return true;
}

/* Zeros are what no initializer fills: it comes behind the windows. */
static bool check_initialized(int64_t in, int64_t out, cbn_rejection *r) {
  return (in > 0 && out > 0) || cbn_reject(r, in > 0 ? CBN_RULE_OUT_CHANNELS_POSITIVE : CBN_RULE_IN_CHANNELS_POSITIVE,
                                           CBN_VALUE_ERROR, "the weight would have no elements");
}

/* What PyTorch's constructor refuses, too, has its rules: the padding by name, and padding_mode. */
static bool check_padding_names(const cbn_dialect_operator *operator, const cbn_request * request, cbn_rejection *r) {
  cbn_plan ignored;
  const bool named = !ask_torch(operator, torch_name(operator->name), request, &ignored, r) &&
                     (r->rule == CBN_RULE_PADDING_UNKNOWN || r->rule == CBN_RULE_SAME_NEEDS_UNIT_STRIDE ||
                      r->rule == CBN_RULE_PADDING_MODE_UNKNOWN);
  return !named;
}

static bool construct_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_rejection *r) {
  static const char *const names[] = {"in_channels", "out_channels", "kernel_size", "stride",       "padding",
                                      "dilation",    "groups",       "bias",        "padding_mode", NULL};
  static const char *const transposed_names[] = {"in_channels", "out_channels",   "kernel_size", "stride",
                                                 "padding",     "output_padding", "groups",      "bias",
                                                 "dilation",    "padding_mode",   NULL};
  const cbn_value *params = request->params;
  int64_t in, out, groups;
  bool bias;
  if (!cbn_check_names(params, operator->transposed ? transposed_names : names, 3, r) ||
      !check_forms(operator, params, r) ||
      !read_count(params, "in_channels", 0, CBN_RULE_IN_CHANNELS_POSITIVE, &in, r) ||
      !read_count(params, "out_channels", 0, CBN_RULE_OUT_CHANNELS_POSITIVE, &out, r) ||
      !read_count(params, "groups", 1, CBN_RULE_GROUPS_POSITIVE, &groups, r) ||
      !cbn_mindspore_divides("in_channels", (double)in, (double)groups, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, r) ||
      !cbn_mindspore_divides("out_channels", (double)out, (double)groups, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, r) ||
      !check_padding_names(operator, request, r) ||
      !check_positive(params, "kernel_size", CBN_RULE_KERNEL_POSITIVE, r) ||
      !check_positive(params, "stride", CBN_RULE_STRIDE_POSITIVE, r) ||
      !check_positive(params, "dilation", CBN_RULE_DILATION_POSITIVE, r) || !check_initialized(in, out, r))
    return false;
  return cbn_mindspore_bool(params, "bias", true, &bias) || cbn_mindspore_reject_type(params, "bias", "a bool", r);
}

/* ----------------------------------------------------------------------------------------------- normalizations */

/* Has the layer tensors at all? */
static bool made(const cbn_value *params) {
  return cbn_as_truth(cbn_parameter(params, "affine"), true) ||
         cbn_as_truth(cbn_parameter(params, "track_running_stats"), true);
}

/* NumPy makes the tensors: of anything that is an extent, or a tuple of them. None is no axis, which only a call sees. */
static bool construct_normalization(const cbn_request *request, cbn_rejection *r) {
  static const char *const names[] = {"num_features", "eps", "momentum", "affine", "track_running_stats", NULL};
  const cbn_value *params = request->params;
  if (!cbn_check_names(params, names, 1, r)) return false;
  const cbn_value *features = cbn_parameter(params, "num_features");
  const cbn_entries e = cbn_as_entries(features);
  for (int i = 0; made(params) && features->kind != CBN_NULL && i < e.count; i++) {
    int64_t extent;
    if (!cbn_as_integer(e.entry[i], false, &extent))
      return cbn_mindspore_reject_type(params, "num_features", "an int", r);
    if (extent < 0)
      return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, CBN_VALUE_ERROR,
                        "num_features must not be negative, got %" PRId64, extent);
  }
  return true;
}

static bool check_float(const cbn_value *params, const char *name, bool none, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || value->kind == CBN_REAL || (none && value->kind == CBN_NULL) ||
         cbn_mindspore_reject_type(params, name, "a float", r);
}

static bool call_normalization(const cbn_dialect_operator *operator, const cbn_request * request, cbn_rejection *r) {
  const int32_t axes = operator->spatial_rank, rank = request->input.rank;
  const cbn_value *params = request->params, *features = cbn_parameter(params, "num_features");
  if (axes == 1 ? rank != 2 && rank != 3 : rank != axes + 2)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input has %d axes", (int)rank);
  if (!check_float(params, "momentum", true, r) || !check_float(params, "eps", false, r)) return false;
  if (features->kind == CBN_NULL)
    return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, CBN_VALUE_ERROR, "num_features is None");
  int64_t count; /* of an empty input, too */
  return !made(params) || !cbn_as_integer(features, false, &count) || count == request->input.extent[1] ||
         cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_VALUE_ERROR,
                    "the input has %" PRId64 " channels, num_features is %" PRId64, request->input.extent[1], count);
}

/* ConvTranspose2d takes a kernel_size of one entry for both axes; PyTorch's takes the int alone. */
static const cbn_value *unpacked_kernel(const cbn_value *params, as_layer *l) {
  const cbn_entries e = cbn_as_entries(cbn_parameter(params, "kernel_size"));
  if (!e.sequence || e.count != 1) return params;
  for (size_t i = 0; i < params->as.map.count; i++) {
    const char *name = params->as.map.keys[i]->as.string.text;
    put_value(l, name, strcmp(name, "kernel_size") == 0 ? e.entry[0] : params->as.map.items[i]);
  }
  return &l->map;
}

bool cbn_mindspore_mint_layer(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                              cbn_rejection *r) {
  const cbn_value *mode = cbn_parameter(request->params, "padding_mode");
  const bool conv = operator->kind == CBN_OPERATOR_CONV;
  cbn_request call = *request;
  as_layer l;
  if (!(conv ? construct_convolution(operator, request, r)
             : construct_normalization(request, r) && call_normalization(operator, request, r)))
    return false;
  if (conv && mode != NULL && cbn_value_is(mode, "circular") && request->input.extent[0] == 0)
    return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_VALUE_ERROR, "circular padding takes no empty input");
  open_layer(&l);
  if (operator->transposed && (!check_ints(request->params, "padding", false, r) ||
                              !check_ints(request->params, "output_padding", false, r)))
    return false;
  if (operator->transposed) call.params = unpacked_kernel(request->params, &l);
  return ask_torch(operator, torch_name(operator->name), &call, plan, r);
}

/* ------------------------------------------------------------------------------------------------- the functions */

/* Those that layer and function share by name. */
static void put_given(as_layer *l, const cbn_value *params, const char *const *names) {
  for (; *names != NULL; names++)
    if (cbn_parameter(params, *names) != NULL) put_value(l, *names, cbn_parameter(params, *names));
}

static bool convolve(const cbn_dialect_operator *operator, const cbn_request * request, as_layer *l, cbn_rejection *r) {
  static const char *const names[] = {"stride", "padding", "dilation", "groups", "output_padding", NULL};
  static const char *const plain_names[] = {"stride", "padding", "dilation", "groups", NULL};
  const cbn_shape *weight = request->layer[CBN_ROLE_WEIGHT];
  const cbn_value *params = request->params;
  int64_t groups;
  if (!cbn_check_names(params, operator->transposed ? names : plain_names, 0, r)) return false;
  if (weight == NULL) return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "the weight is missing");
  if (!check_ints(params, "stride", false, r) || !check_ints(params, "padding", !operator->transposed, r) ||
      !check_ints(params, "dilation", false, r) || !check_ints(params, "output_padding", false, r))
    return false;
  if (!cbn_mindspore_int(params, "groups", 1, &groups)) return cbn_mindspore_reject_type(params, "groups", "an int", r);
  if (weight->rank != operator->spatial_rank + 2)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_VALUE_ERROR, "the weight has %d axes", (int)weight->rank);
  const int in = operator->transposed ? 0 : 1;
  put(l, "in_channels", CBN_INTEGER)->as.integer = cbn_saturating_multiply(weight->extent[in], in == 1 ? groups : 1);
  put(l, "out_channels", CBN_INTEGER)->as.integer =
      cbn_saturating_multiply(weight->extent[1 - in], in == 1 ? 1 : groups);
  cbn_value *kernel = put(l, "kernel_size", CBN_LIST);
  kernel->as.list.items = l->kernel;
  kernel->as.list.count = (size_t)operator->spatial_rank;
  for (int a = 0; a < operator->spatial_rank; a++) {
    l->extent[a] = (cbn_value){.kind = CBN_INTEGER, .as.integer = weight->extent[2 + a]};
    l->kernel[a] = &l->extent[a];
  }
  put(l, "bias", CBN_BOOLEAN)->as.boolean = request->layer[CBN_ROLE_BIAS] != NULL;
  put_given(l, params, names);
  return true;
}

static bool check_bias(const cbn_shape *bias, int64_t channels, cbn_rejection *r) {
  return bias == NULL || (bias->rank == 1 && bias->extent[0] == channels) ||
         cbn_reject(r, CBN_RULE_BIAS_SHAPE, CBN_VALUE_ERROR, "the bias must have %" PRId64 " elements", channels);
}

/* All four tensors: those that it takes to be None are refused here. */
static bool check_statistics(const cbn_request *request, cbn_rejection *r) {
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  for (int i = 0; i < 4; i++) {
    const cbn_shape *tensor = request->layer[roles[i]];
    if (tensor == NULL)
      return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "the %s is missing", cbn_role_name(roles[i]));
    if (tensor->rank != 1 || tensor->extent[0] != request->input.extent[1])
      return cbn_reject(r, CBN_RULE_STATISTICS_SHAPE, CBN_VALUE_ERROR,
                        "the %s must have the input's %" PRId64 " channels", cbn_role_name(roles[i]),
                        request->input.extent[1]);
  }
  return true;
}

static bool normalize(const cbn_request *request, as_layer *l, bool *training, cbn_rejection *r) {
  static const char *const names[] = {"momentum", "eps", "training", NULL}, *const shared[] = {"momentum", "eps", NULL};
  const cbn_value *params = request->params;
  if (!cbn_check_names(params, names, 0, r)) return false;
  if (!cbn_mindspore_bool(params, "training", false, training))
    return cbn_mindspore_reject_type(params, "training", "a bool", r);
  if (!check_float(params, "momentum", false, r) || !check_float(params, "eps", false, r)) return false;
  if (request->input.rank < 2 || request->input.rank > 2 + CBN_MAX_SPATIAL)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have 2 to 5 axes, got %d",
                      (int)request->input.rank);
  if (!check_statistics(request, r)) return false;
  put(l, "num_features", CBN_INTEGER)->as.integer = request->input.extent[1];
  put_given(l, params, shared);
  return true;
}

bool cbn_mindspore_mint_function(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                                 cbn_rejection *r) {
  static const char *const norms[] = {"nn.BatchNorm1d", "nn.BatchNorm1d", "nn.BatchNorm2d", "nn.BatchNorm3d"};
  const bool conv = operator->kind == CBN_OPERATOR_CONV;
  as_layer l;
  cbn_request layer = *request;
  open_layer(&l);
  layer.params = &l.map;
  if (!(conv ? convolve(operator, request, &l, r) : normalize(request, &l, &layer.training, r))) return false;
  const char *name = !conv ? norms[request->input.rank - 2] : operator->transposed ? "nn.ConvTranspose2d" : "nn.Conv2d";
  if (!ask_torch(operator, name, &layer, plan, r)) return false;
  memset(plan->has_initial, 0, sizeof plan->has_initial);
  return !conv || check_bias(request->layer[CBN_ROLE_BIAS], plan->conv.out_channels, r);
}
