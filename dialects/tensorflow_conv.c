/* TensorFlow: nn.conv1d, 2d, 3d, nn.conv1d_transpose, 2d, 3d, nn.convolution and nn.depthwise_conv2d.
 *
 * The functions of one axis are those of two with an axis of extent 1 before it, whose stride and dilation can be
 * given. nn.convolution has as many axes as its filters; it and nn.depthwise_conv2d dilate in Python, by phases: every
 * d-th element goes into a batch of its own, and the operator is applied to these without padding. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "dialects/layout.h"
#include "dialects/tensorflow.h"

enum { MOST_ENTRIES = CBN_MAX_SPATIAL + 2 };
enum padding { SAME, VALID, EXPLICIT };

static const char *const forward_names[] = {"strides", "padding", "data_format", "dilations", "name", NULL};

/* One call. Strides, dilations and pads have an entry for each axis of the operator behind the function: batch and
 * channels, too. */
typedef struct call {
  const cbn_value *params;
  const cbn_shape *input, *filter;
  const char *stride_name;
  int32_t axes;    /* spatial ones of the function */
  int32_t entries; /* axes of the operator behind it */
  bool transposed, channels_last;
  bool spreads_last; /* spatial entries alone are given one behind them, else two before */
  bool takes_pairs;  /* padding may be a list */
  bool by_phases;    /* dilates in Python */
  enum padding padding;
  int64_t strides[MOST_ENTRIES], dilations[MOST_ENTRIES];
  int64_t pads[MOST_ENTRIES][2];
  int64_t output[MOST_ENTRIES]; /* output_shape */
  bool output_is_scalar;
  int output_count, stride_count, dilation_count;
} call;

static int channel_entry(const call *c) { return c->channels_last ? c->entries - 1 : 1; }

/* The entry of a spatial axis of the function. */
static int spatial_entry(const call *c, int a) { return (c->channels_last ? 1 : 2) + (c->entries - 2 - c->axes) + a; }

static bool is_spatial(const call *c, int entry) { return entry != 0 && entry != channel_entry(c); }

/* ------------------------------------------------------------------------------------------- what Python checks */

/* How long Python says that the value is, and its entries: a string is a sequence of letters. */
static size_t length_of(const cbn_value *value) {
  if (value->kind == CBN_LIST) return value->as.list.count;
  if (value->kind == CBN_STRING) return value->as.string.length;
  return value->kind == CBN_MAP ? value->as.map.count : 1;
}

static bool check_length(const call *c, const char *name, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(c->params, name);
  const size_t length = value == NULL ? 1 : length_of(value);
  return length == 1 || length == (size_t)c->axes || length == (size_t)c->axes + 2 ||
         cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR, "%s must have 1, %d or %d entries, got %s", name,
                    (int)c->axes, (int)c->axes + 2, cbn_printed_value(value).text);
}

static bool check_lengths(const call *c, cbn_rejection *r) {
  return check_length(c, c->stride_name, r) && check_length(c, "dilations", r);
}

/* A list has a pair for each of four axes, batch and channels too. */
static bool check_pairs(const call *c, cbn_rejection *r) {
  const cbn_value *padding = cbn_parameter(c->params, "padding");
  if (cbn_value_is(padding, "EXPLICIT"))
    return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_VALUE_ERROR,
                      "padding is a list where it is explicit, got EXPLICIT");
  if (padding == NULL || padding->kind != CBN_LIST) return true;
  for (size_t i = 0; i < padding->as.list.count; i++) {
    const cbn_value *pair = padding->as.list.items[i];
    if (pair->kind != CBN_LIST || pair->as.list.count != 2)
      return cbn_reject(r, pair->kind == CBN_LIST ? CBN_RULE_PARAMETER_LENGTH : CBN_RULE_PARAMETER_TYPE,
                        CBN_VALUE_ERROR, "a list padding must have pairs in it, got %s",
                        cbn_printed_value(padding).text);
  }
  return padding->as.list.count == 4 ||
         cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR, "a list padding must have 4 pairs, got %s",
                    cbn_printed_value(padding).text);
}

/* Of one axis: the names are Python's own. NHWC and NCHW are older ones, not of the transposed function. */
static bool read_line_format(call *c, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(c->params, "data_format");
  const bool first = cbn_value_is(value, "NCW") || (!c->transposed && cbn_value_is(value, "NCHW"));
  const bool last = value == NULL || cbn_value_is(value, "NWC") || (!c->transposed && cbn_value_is(value, "NHWC"));
  c->channels_last = last;
  return first || last ||
         cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR, "data_format must be NWC or NCW, got %s",
                    cbn_printed_value(value).text);
}

/* Of more axes: Python asks how the name begins, and the operator, later, which it is. */
static bool read_format(call *c, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(c->params, "data_format");
  if (value != NULL && value->kind != CBN_STRING)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_ATTRIBUTE_ERROR, "data_format must be a string, got %s",
                      cbn_printed_value(value).text);
  c->channels_last = cbn_tensorflow_channels_last(c->params);
  return true;
}

static bool check_in_python(call *c, cbn_rejection *r) {
  if (c->axes == 1) return read_line_format(c, r) && check_lengths(c, r);
  if (c->transposed) return read_format(c, r) && check_lengths(c, r) && (c->axes == 3 || check_pairs(c, r));
  return c->axes == 3 || (check_pairs(c, r) && read_format(c, r) && check_lengths(c, r));
}

/* --------------------------------------------------------------------------------- attributes and their types */

static bool read_entry(const char *name, const cbn_value *value, int64_t *result, cbn_rejection *r) {
  return cbn_tensorflow_int(value, result) || cbn_tensorflow_reject_type(name, value, "an int in each entry", r);
}

/* Where an entry is put that stands for a spatial axis. */
static int spread_entry(const call *c, int a) { return (c->spreads_last ? 1 : 2) + (c->entries - 2 - c->axes) + a; }

/* Spreads what is given over the operator's entries: all of them, the spatial ones, or one for all of these. */
static bool read_entries(const call *c, const char *name, int64_t full[MOST_ENTRIES], cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(c->params, name);
  for (int i = 0; i < MOST_ENTRIES; i++) full[i] = 1;
  if (value == NULL) return true;
  if (value->kind == CBN_STRING || value->kind == CBN_MAP)
    return cbn_tensorflow_reject_type(name, value, "an int in each entry", r);
  const cbn_entries entries = cbn_as_entries(value);
  for (int i = 0; i < entries.count; i++) {
    int64_t entry;
    if (!read_entry(name, entries.entry[i], &entry, r)) return false;
    if (entries.count == c->axes + 2) full[c->entries - entries.count + i] = entry;
    else
      for (int a = 0; a < c->axes; a++)
        if (entries.count == 1 || a == i) full[spread_entry(c, a)] = entry;
  }
  return true;
}

/* nn.conv3d hands them to its operator as they are: five of them in a list. `count` is how many there are. */
static bool read_list(const call *c, const char *name, int64_t full[MOST_ENTRIES], int *count, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->params, name);
  *count = 0;
  if (value == NULL || value->kind == CBN_NULL) return true;
  if (value->kind != CBN_LIST) return cbn_tensorflow_reject_type(name, value, "a list", r);
  const cbn_entries entries = cbn_as_entries(value);
  *count = entries.count;
  for (int i = 0; i < entries.count; i++) {
    int64_t entry;
    if (!read_entry(name, entries.entry[i], &entry, r)) return false;
    if (i < MOST_ENTRIES) full[i] = entry;
  }
  return true;
}

static bool read_padding_type(call *c, const char **text, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->params, "padding");
  *text = c->transposed ? "SAME" : "VALID";
  if (value == NULL) return true;
  if (value->kind == CBN_STRING) {
    *text = value->as.string.text;
    return true;
  }
  if (!c->takes_pairs || value->kind != CBN_LIST) return cbn_tensorflow_reject_type("padding", value, "a string", r);
  c->padding = EXPLICIT;
  *text = NULL;
  for (int i = 0; i < 8; i++)
    if (!read_entry("padding", value->as.list.items[i / 2]->as.list.items[i % 2], &c->pads[i / 2][i % 2], r))
      return false;
  return true;
}

/* The class with which output_shape is refused; NULL where it becomes a tensor of integers. Python refuses to mix
 * kinds. Of one axis it takes the first entry and the rest apart; of three, any tensor goes on to the operator, which
 * refuses its type. */
static const char *output_refusal(const call *c, const cbn_entries *entries) {
  size_t of_kind[CBN_MAP + 1] = {0};
  for (int i = 0; i < entries->count; i++) of_kind[entries->entry[i]->kind]++;
  const size_t all = (size_t)entries->count, numbers = of_kind[CBN_INTEGER] + of_kind[CBN_BOOLEAN] + of_kind[CBN_REAL];
  const char *const wrong_type = c->axes == 3 ? CBN_INVALID_ARGUMENT : CBN_TYPE_ERROR;
  if (all == 0) return c->axes == 1 ? CBN_INVALID_ARGUMENT : NULL;
  if (numbers < all) return numbers > 0 || of_kind[CBN_NULL] > 0 ? CBN_VALUE_ERROR : wrong_type;
  if (c->axes == 3 && of_kind[CBN_BOOLEAN] > 0) return of_kind[CBN_BOOLEAN] < all ? CBN_VALUE_ERROR : wrong_type;
  if (of_kind[CBN_REAL] == 0) return NULL;
  return c->axes == 1 && entries->entry[0]->kind == CBN_REAL ? CBN_INVALID_ARGUMENT : wrong_type;
}

/* Of one and two axes it has 32 bits. */
static bool read_output_shape(call *c, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->params, "output_shape");
  const cbn_entries entries = cbn_as_entries(value);
  const char *refusal = NULL;
  if (!entries.sequence && c->axes == 1) refusal = CBN_TYPE_ERROR; /* it cannot be taken apart */
  else refusal = output_refusal(c, &entries);
  if (refusal != NULL)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, refusal, "output_shape must be a list of ints, got %s",
                      cbn_printed_value(value).text);
  c->output_is_scalar = !entries.sequence;
  c->output_count = entries.count + (c->axes == 1);
  if (c->axes == 1) c->output[1] = 1;
  for (int i = 0; i < entries.count; i++) {
    const int at = i + (c->axes == 1 && i > 0);
    int64_t entry = 0;
    cbn_as_integer(entries.entry[i], true, &entry);
    if (at < MOST_ENTRIES) c->output[at] = c->axes < 3 ? (int32_t)(uint32_t)(uint64_t)entry : entry;
  }
  return true;
}

static bool check_format_value(const call *c, cbn_rejection *r) {
  static const char *const formats[][2] = {{"NHWC", "NCHW"}, {"NDHWC", "NCDHW"}};
  const cbn_value *value = cbn_tensorflow_given(c->params, "data_format");
  if (c->axes == 1 || value == NULL) return true;
  const char *const *known = formats[c->axes - 2];
  return cbn_value_is(value, known[0]) || cbn_value_is(value, known[1]) ||
         cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_INVALID_ARGUMENT, "data_format must be %s or %s, got '%.60s'",
                    known[0], known[1], value->as.string.text);
}

static bool check_padding_value(call *c, const char *text, cbn_rejection *r) {
  if (text == NULL) return true;
  const bool explicit = c->axes < 3 && strcmp(text, "EXPLICIT") == 0;
  c->padding = explicit ? EXPLICIT : strcmp(text, "VALID") == 0 ? VALID : SAME;
  return explicit || c->padding == VALID || strcmp(text, "SAME") == 0 ||
         cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_INVALID_ARGUMENT, "padding must be SAME or VALID, got '%.60s'",
                    text);
}

static bool check_types(const cbn_request *request, cbn_rejection *r) {
  return request->input_type == request->layer_type ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_INVALID_ARGUMENT, "input and filters have one type, got %s and %s",
                    cbn_type_name(request->input_type), cbn_type_name(request->layer_type));
}

/* What stands between Python and the operator: types first, then values. */
static bool read_types(call *c, const char **padding, cbn_rejection *r) {
  const bool lists = c->axes == 3 && !c->transposed;
  const char *format;
  c->spreads_last = c->channels_last;
  if (c->transposed && c->axes == 1 && !read_output_shape(c, r)) return false;
  if (!(lists ? read_list(c, "strides", c->strides, &c->stride_count, r)
              : read_entries(c, c->stride_name, c->strides, r)) ||
      !read_padding_type(c, padding, r))
    return false;
  if (lists && !cbn_tensorflow_text(c->params, "data_format", &format, r)) return false;
  if (lists) c->channels_last = cbn_tensorflow_channels_last(c->params);
  if (!(lists && cbn_tensorflow_given(c->params, "dilations") != NULL
            ? read_list(c, "dilations", c->dilations, &c->dilation_count, r)
            : read_entries(c, "dilations", c->dilations, r)))
    return false;
  return !c->transposed || c->axes == 1 || read_output_shape(c, r);
}

static bool check_values(call *c, const cbn_request *request, const char *padding, cbn_rejection *r) {
  const bool padding_first = c->transposed && c->axes == 3;
  if (padding_first && !check_padding_value(c, padding, r)) return false;
  if (!check_format_value(c, r) || !check_padding_value(c, padding, r)) return false;
  if (c->stride_count < c->entries)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_INVALID_ARGUMENT, "strides must have 5 entries, got %d",
                      c->stride_count);
  return check_types(request, r);
}

/* ------------------------------------------------------------------------------------------ the operator is made */

static const char *unsupported(const call *c) { return c->entries == 5 ? CBN_INVALID_ARGUMENT : CBN_UNIMPLEMENTED; }

static bool check_range(const char *name, const int64_t *entry, const call *c, cbn_rejection *r) {
  for (int i = 0; i < c->entries; i++)
    if (entry[i] > INT32_MAX || entry[i] < INT32_MIN)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                        "%s has %" PRId64 ", out of range for an int32", name, entry[i]);
  return true;
}

/* Batch and channels have neither stride nor dilation. */
static bool check_outer(const char *name, const int64_t *entry, const call *c, cbn_rejection *r) {
  for (int i = 0; i < c->entries; i++)
    if (!is_spatial(c, i) && entry[i] != 1)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, unsupported(c), "%s of batch and channels must be 1, got %" PRId64,
                        name, entry[i]);
  return true;
}

static bool check_strides(const call *c, cbn_rejection *r) {
  if (!check_outer("strides", c->strides, c, r)) return false;
  for (int i = 0; i < c->entries; i++)
    if (c->strides[i] <= 0)
      return cbn_reject(r, CBN_RULE_STRIDE_POSITIVE, CBN_INVALID_ARGUMENT, "strides must be > 0, got %" PRId64,
                        c->strides[i]);
  return true;
}

/* A transposed function has no dilation but 1. */
static bool check_dilations(const call *c, cbn_rejection *r) {
  if (!check_outer("dilations", c->dilations, c, r)) return false;
  for (int i = 0; i < c->entries; i++) {
    if (c->transposed && c->dilations[i] != 1)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                        "a transposed convolution has no dilations on a CPU, got %" PRId64, c->dilations[i]);
    if (c->dilations[i] <= 0)
      return cbn_reject(r, CBN_RULE_DILATION_POSITIVE, CBN_INVALID_ARGUMENT, "dilations must be > 0, got %" PRId64,
                        c->dilations[i]);
  }
  return true;
}

static bool check_pads(const call *c, bool by_name, cbn_rejection *r) {
  if (c->padding != EXPLICIT) return true;
  if (by_name)
    return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_INVALID_ARGUMENT, "padding is EXPLICIT, and no pads are given");
  for (int i = 0; i < 4; i++)
    for (int end = 0; end < 2; end++)
      if (c->pads[i][end] < 0)
        return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, CBN_INVALID_ARGUMENT, "padding must be >= 0, got %" PRId64,
                          c->pads[i][end]);
  for (int i = 0; i < 4; i++)
    if (!is_spatial(c, i) && (c->pads[i][0] != 0 || c->pads[i][1] != 0))
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT, "padding of batch and channels must be 0");
  return true;
}

/* The operator reads both lists before it looks at one; the transposed ones look at the format first, and that of three
 * axes at the dilations before the strides. */
static bool check_operator(const call *c, bool by_name, cbn_rejection *r) {
  if (c->stride_count != c->entries || c->dilation_count != c->entries) {
    const bool strides = c->stride_count != c->entries;
    if (!strides && !(check_range("strides", c->strides, c, r) && check_strides(c, r))) return false;
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_INVALID_ARGUMENT, "%s must have 5 entries, got %d",
                      strides ? "strides" : "dilations", strides ? c->stride_count : c->dilation_count);
  }
  if (c->transposed && !c->channels_last)
    return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_INVALID_ARGUMENT, "channels come last on a CPU");
  if (!check_range("strides", c->strides, c, r) || !check_range("dilations", c->dilations, c, r)) return false;
  const bool dilations_first = c->transposed && c->axes == 3;
  if (dilations_first && !check_dilations(c, r)) return false;
  return check_strides(c, r) && check_dilations(c, r) && check_pads(c, by_name, r);
}

/* ------------------------------------------------------------------------------------------------ the operator runs */

static int64_t input_extent(const call *c, int a) { return c->input->extent[(c->channels_last ? 1 : 2) + a]; }
static int64_t input_channels(const call *c) { return c->input->extent[c->channels_last ? c->axes + 1 : 1]; }

/* The padding of one axis of `extent` elements, and how many come out: a negative number is an error, but for what the
 * division by the stride leaves of it. */
static int64_t window(const call *c, cbn_conv *v, int a, int64_t extent) {
  const int64_t stride = v->stride[a], kernel = cbn_dilated_kernel(v->kernel[a], v->dilation[a]);
  if (c->padding == SAME) {
    const int64_t output = extent / stride + (extent % stride != 0);
    const int64_t total = cbn_saturating_add(cbn_saturating_multiply(output - 1, stride), kernel - extent);
    v->pad_begin[a] = total > 0 ? total / 2 : 0;
    v->pad_end[a] = total > 0 ? total - total / 2 : 0;
    return output;
  }
  const int entry = spatial_entry(c, a);
  v->pad_begin[a] = c->pads[entry][0];
  v->pad_end[a] = c->pads[entry][1];
  const int64_t padded = cbn_saturating_add(cbn_saturating_add(extent, v->pad_begin[a]), v->pad_end[a]);
  return cbn_saturating_add(cbn_saturating_add(padded, -kernel), stride) / stride;
}

static bool reject_size(int64_t output, int64_t extent, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, CBN_INVALID_ARGUMENT,
                    "the output's extent would be %" PRId64 " of an input of %" PRId64, output, extent);
}

static bool check_rank(const cbn_shape *shape, const char *name, enum cbn_rule rule, const call *c, cbn_rejection *r) {
  return shape->rank == c->axes + 2 || cbn_reject(r, rule, CBN_INVALID_ARGUMENT, "%s must have %d axes, got %" PRId32,
                                                  name, (int)c->axes + 2, shape->rank);
}

/* What the forward operator checks once it knows that something comes out. */
static bool check_result(const call *c, const cbn_conv *v, cbn_rejection *r) {
  if (c->axes == 3 && !c->by_phases)
    for (int a = 0; a < 3; a++)
      if (v->dilation[a] != 1 && c->channels_last)
        return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                          "dilations must be 1 on a CPU, got %" PRId64, v->dilation[a]);
  if (!c->channels_last) return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, unsupported(c), "channels come last on a CPU");
  if (c->axes == 3 && v->groups != 1)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_INVALID_ARGUMENT,
                      "the input has %" PRId64 " channels, the filters %" PRId64, v->in_channels, c->filter->extent[3]);
  for (int a = 0; a < c->axes; a++)
    if (v->input[a] == 0) return true; /* nobody asks for more */
  for (int a = 0; a < c->axes && c->axes < 3; a++)
    if (v->kernel[a] == 0)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, CBN_INVALID_ARGUMENT, "the kernel's extent is 0");
  return v->groups == 0 || v->out_channels % v->groups == 0 ||
         cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, CBN_INVALID_ARGUMENT,
                    "%" PRId64 " output channels cannot be divided by %" PRId64 " groups", v->out_channels, v->groups);
}

/* Of several batch axes Python makes one. */
static bool check_batch_axes(const call *c, cbn_rejection *r) {
  return c->input->rank <= c->axes + 2 ||
         cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_NOT_IMPLEMENTED, "one batch axis is known here, got %" PRId32 " axes",
                    c->input->rank);
}

static bool run_forward(const call *c, cbn_conv *v, cbn_rejection *r) {
  if (!check_batch_axes(c, r) || !check_rank(c->input, "the input", CBN_RULE_INPUT_RANK, c, r) ||
      !check_rank(c->filter, "filters", CBN_RULE_WEIGHT_SHAPE, c, r))
    return false;
  const int64_t depth = c->filter->extent[c->axes], channels = input_channels(c);
  if (depth == 0) return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, CBN_INVALID_ARGUMENT, "filters of no channels");
  if (channels % depth != 0)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_INVALID_ARGUMENT,
                      "the input's %" PRId64 " channels cannot be divided by the filters' %" PRId64, channels, depth);
  v->in_channels = channels;
  v->groups = channels / depth;
  bool empty = v->batch == 0 || v->out_channels == 0;
  for (int a = 0; a < c->axes; a++) {
    v->input[a] = input_extent(c, a);
    if (c->axes == 3 && (v->kernel[a] == 0 || v->out_channels == 0))
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, CBN_INVALID_ARGUMENT, "the filters have no elements");
  }
  for (int a = 0; a < c->axes; a++) {
    const int64_t output = window(c, v, a, v->input[a]);
    if (output < 0) return reject_size(output, v->input[a], r);
    empty = empty || output == 0;
  }
  if (!empty && !check_result(c, v, r)) return false;
  return v->groups > 0 || cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_NOT_IMPLEMENTED,
                                     "the input has no channels, the filters have");
}

/* output_shape, whole or its spatial entries alone, as the operator's entries. */
static bool read_output(const call *c, int64_t output[MOST_ENTRIES], cbn_rejection *r) {
  const bool line = c->axes == 1, spatial_alone = c->axes < 3 && c->output_count == 2;
  if (c->output_is_scalar || (c->output_count != c->entries && !spatial_alone))
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_INVALID_ARGUMENT, "output_shape must have %d entries, got %d",
                      (int)c->axes + 2, c->output_is_scalar ? 0 : c->output_count - line);
  output[0] = spatial_alone ? c->input->extent[0] : c->output[0];
  output[c->entries - 1] = spatial_alone ? -1 : c->output[c->entries - 1];
  for (int i = 1; i < c->entries - 1; i++) output[i] = c->output[spatial_alone ? i - 1 : i];
  for (int i = 0; i < c->entries - spatial_alone; i++)
    if (output[i] < 0)
      return cbn_reject(r, CBN_RULE_EXTENT_NON_NEGATIVE, CBN_INVALID_ARGUMENT, "output_shape has %" PRId64, output[i]);
  return true;
}

static bool reject_output(const char *what, int64_t asked, int64_t made, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_OUTPUT_SHAPE, CBN_INVALID_ARGUMENT,
                    "output_shape has %s %" PRId64 ", what input and filters say is %" PRId64, what, asked, made);
}

static bool check_batch(const call *c, const int64_t *output, cbn_rejection *r) {
  return output[0] == c->input->extent[0] || reject_output("the batch", output[0], c->input->extent[0], r);
}

static bool check_depths(const call *c, int64_t made, cbn_rejection *r) {
  const int64_t depth = c->filter->extent[c->axes], channels = input_channels(c);
  const int64_t filters = c->filter->extent[c->axes + 1];
  if (c->axes == 3 && made != depth) return reject_output("the channels", made, depth, r);
  if (c->axes < 3 && depth > 0 && made % depth != 0) return reject_output("the channels", made, depth, r);
  if (c->axes < 3 && depth == 0)
    return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, CBN_INVALID_ARGUMENT, "filters of no channels");
  return channels == filters ||
         cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_INVALID_ARGUMENT,
                    "the input has %" PRId64 " channels, the filters %" PRId64, channels, filters);
}

/* A transposed function is the gradient of the forward one that makes the input's extents of output_shape. */
static bool run_transposed(const call *c, cbn_conv *v, cbn_rejection *r) {
  int64_t output[MOST_ENTRIES];
  if (c->axes < 3 && !check_rank(c->input, "the input", CBN_RULE_INPUT_RANK, c, r)) return false;
  if (!read_output(c, output, r) || !check_rank(c->filter, "filters", CBN_RULE_WEIGHT_SHAPE, c, r) ||
      !check_rank(c->input, "the input", CBN_RULE_INPUT_RANK, c, r))
    return false;
  const int64_t depth = c->filter->extent[c->axes];
  int64_t *made = &output[c->entries - 1];
  if (*made < 0) *made = depth;
  if (c->axes < 3 ? !(check_batch(c, output, r) && check_depths(c, *made, r))
                  : !(check_depths(c, *made, r) && check_batch(c, output, r)))
    return false;
  if (depth == 0) return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, CBN_INVALID_ARGUMENT, "filters of no channels");
  if (c->axes == 1 && output[1] != 1) { /* the axis before it, of extent 1 on both sides */
    const int64_t lines = output[1] / c->strides[1] + (output[1] % c->strides[1] != 0);
    if (output[1] == 0 && c->padding == VALID) return reject_size(0, 0, r);
    if (lines != 1) return reject_output("another axis of", output[1], 1, r);
    return cbn_reject(r, CBN_RULE_OUTPUT_SHAPE, CBN_NOT_IMPLEMENTED, "output_shape has another axis of %" PRId64,
                      output[1]);
  }
  v->in_channels = input_channels(c);
  v->out_channels = depth;
  for (int a = 0; a < c->axes; a++) {
    const int64_t extent = input_extent(c, a), asked = output[spatial_entry(c, a)], computed = window(c, v, a, asked);
    if (computed < 0) return reject_size(computed, asked, r);
    if (computed != extent) return reject_output("an extent of", asked, extent, r);
    v->input[a] = extent;
  }
  if (*made != depth)
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                      "a transposed convolution has no groups on a CPU");
  for (int a = 0; a < c->axes; a++) {
    if (v->input[a] == 0)
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, CBN_NOT_IMPLEMENTED, "the input's extent is 0");
    v->output_padding[a] =
        output[spatial_entry(c, a)] + v->pad_begin[a] + v->pad_end[a] - v->kernel[a] - (v->input[a] - 1) * v->stride[a];
  }
  return true;
}

static void describe(const call *c, cbn_plan *plan) {
  cbn_conv *v = &plan->conv;
  *v = cbn_conv_make(c->axes);
  cbn_plan_kernel_first(plan, c->axes);
  if (c->channels_last) cbn_plan_channels_last(plan, c->axes);
  v->transposed = c->transposed;
  v->batch = c->input->rank > 0 ? c->input->extent[0] : 0;
  v->out_channels = c->filter->rank == c->axes + 2 ? c->filter->extent[c->axes + 1] : 0;
  for (int a = 0; a < c->axes; a++) {
    v->kernel[a] = c->filter->rank > a ? c->filter->extent[a] : 0;
    v->stride[a] = c->strides[spatial_entry(c, a)];
    v->dilation[a] = c->dilations[spatial_entry(c, a)];
  }
}

static call begin(const cbn_request *request, int32_t axes) {
  const int entries = axes == 3 ? 5 : 4;
  return (call){.params = request->params,
                .input = &request->input,
                .filter = request->layer[CBN_ROLE_WEIGHT],
                .stride_name = "strides",
                .axes = axes,
                .entries = entries,
                .stride_count = entries,
                .dilation_count = entries,
                .strides = {1, 1, 1, 1, 1},
                .dilations = {1, 1, 1, 1, 1}};
}

/* Filters are there, and nothing is added. */
static bool check_tensors(const cbn_request *request, cbn_rejection *r) {
  if (request->layer[CBN_ROLE_WEIGHT] == NULL)
    return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "filters are missing");
  return request->layer[CBN_ROLE_BIAS] == NULL ||
         cbn_reject(r, CBN_RULE_UNKNOWN_PARAMETER, CBN_TYPE_ERROR, "there is no parameter 'bias'");
}

bool cbn_tensorflow_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                cbn_rejection *r) {
  static const char *const line[] = {"stride", "padding", "data_format", "dilations", "name", NULL};
  static const char *const transposed[] = {"output_shape", "strides", "padding", "data_format",
                                           "dilations",    "name",    NULL};
  const bool is_line = operator->spatial_rank == 1 && !operator->transposed;
  call c = begin(request, operator->spatial_rank);
  const char *padding;
  c.transposed = operator->transposed;
  c.takes_pairs = c.axes == 2;
  if (is_line) c.stride_name = "stride";
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!cbn_check_names(c.params, c.transposed ? transposed : is_line ? line : forward_names, 2, r) ||
      !check_tensors(request, r) || !check_in_python(&c, r) || !read_types(&c, &padding, r) ||
      !check_values(&c, request, padding, r) || !check_operator(&c, padding != NULL, r))
    return false;
  describe(&c, plan);
  return (c.transposed ? run_transposed(&c, &plan->conv, r) : run_forward(&c, &plan->conv, r)) &&
         cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}

/* ------------------------------------------------------------------------------------------ dilation in Python */

/* An entry as NumPy makes an int32 of it. (NumPy reads a text that is a number, too; this dialect does not.) */
static bool read_int32(const char *name, const cbn_value *value, int64_t *result, cbn_rejection *r) {
  const bool infinite = value->kind == CBN_REAL && isinf(value->as.real);
  const bool number = value->kind == CBN_REAL || value->kind == CBN_STRING || value->kind == CBN_LIST;
  if (!cbn_tensorflow_int(value, result))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE,
                      infinite ? CBN_OVERFLOW_ERROR
                      : number ? CBN_VALUE_ERROR
                               : CBN_TYPE_ERROR,
                      "%s must have an int in each entry, got %s", name, cbn_printed_value(value).text);
  return (*result >= INT32_MIN && *result <= INT32_MAX) ||
         cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_OVERFLOW_ERROR, "%s has %" PRId64 ", out of range for an int32",
                    name, *result);
}

/* A name in Python's own words; a list is of four pairs, which three and five axes cannot have. */
static bool read_phase_padding(call *c, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->params, "padding");
  if (!check_pairs(c, r)) return false;
  c->padding = value == NULL || cbn_value_is(value, "VALID") ? VALID : cbn_value_is(value, "SAME") ? SAME : EXPLICIT;
  if (c->padding != EXPLICIT) return true;
  if (value->kind != CBN_LIST)
    return cbn_reject(r, CBN_RULE_PADDING_UNKNOWN, CBN_VALUE_ERROR, "padding must be SAME, VALID or pairs, got %s",
                      cbn_printed_value(value).text);
  return c->axes == 2 || cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_VALUE_ERROR,
                                    "a list padding has 4 pairs, the input %d axes", (int)c->axes + 2);
}

/* The pads of the spatial axes; those of batch and channels are read and never used. */
static bool read_phase_pads(call *c, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(c->params, "padding");
  for (int i = 0; i < 8 && c->padding == EXPLICIT; i++)
    if (!read_int32("padding", value->as.list.items[i / 2]->as.list.items[i % 2], &c->pads[i / 2][i % 2], r))
      return false;
  for (int a = 0; a < c->axes; a++) {
    const int entry = spatial_entry(c, a);
    const int64_t kernel = a < c->filter->rank ? c->filter->extent[a] : 1;
    if (c->pads[entry][0] < 0 || c->pads[entry][1] < 0)
      return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, CBN_INVALID_ARGUMENT,
                        "padding must be >= 0, got %" PRId64 " and %" PRId64, c->pads[entry][0], c->pads[entry][1]);
    if (c->padding == SAME && kernel == 0)
      return cbn_reject(r, CBN_RULE_KERNEL_POSITIVE, CBN_INVALID_ARGUMENT, "the kernel's extent is 0");
    if (cbn_dilated_kernel(kernel, c->dilations[entry]) > INT32_MAX)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                        "the dilated kernel's extent is out of range for an int32");
  }
  return true;
}

/* -------------------------------------------------------------------------------------------------- nn.convolution */

/* Spreads entries as the format says; a name that is none of these means channels first, until somebody looks at it. */
static bool read_spread(call *c, cbn_rejection *r) {
  static const char *const last[] = {"NHC",   "NHWC", "NDHWC", "NDWHC", "NHDWC",
                                     "NWHDC", "NWC",  "NWDHC", "NHWDC", "NWHC"};
  const cbn_value *value = cbn_tensorflow_given(c->params, "data_format");
  const int batch_axes = c->input->rank > 0 ? c->input->rank - c->axes - 1 : 1;
  bool found = value == NULL;
  if (value != NULL && value->kind == CBN_MAP) return cbn_tensorflow_reject_type("data_format", value, "hashable", r);
  for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) found = found || cbn_value_is(value, last[i]);
  c->spreads_last = batch_axes + (found ? c->axes : 0) != 1;
  return true;
}

/* Is there an entry that is not 1? */
static bool dilates(const call *c) {
  const cbn_value *value = cbn_tensorflow_given(c->params, "dilations");
  const cbn_entries entries = cbn_as_entries(value);
  double number = 1;
  for (int i = 0; value != NULL && i < entries.count; i++)
    if (!cbn_as_number(entries.entry[i], &number) || number != 1) return true;
  return false;
}

/* The spatial entries of strides or dilations; those of batch and channels are not used. */
static bool read_spatial(const call *c, const char *name, enum cbn_rule rule, int64_t *full, int64_t *most,
                         cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(c->params, name);
  const cbn_entries entries = cbn_as_entries(value);
  for (int a = 0; a < c->axes && value != NULL; a++) {
    const int entry = entries.count == 1 ? 0 : entries.count == c->axes ? a : (c->spreads_last ? 1 : 2) + a;
    if (!read_int32(name, entries.entry[entry], &full[spatial_entry(c, a)], r)) return false;
  }
  *most = 1;
  for (int a = 0; a < c->axes; a++) {
    const int64_t number = full[spatial_entry(c, a)];
    if (number < 1) return cbn_reject(r, rule, CBN_VALUE_ERROR, "%s must be positive, got %" PRId64, name, number);
    if (number > *most) *most = number;
  }
  return true;
}

/* Where channels stand is asked of the format's first letters. */
static bool check_phase_input(call *c, cbn_rejection *r) {
  const cbn_value *format = cbn_tensorflow_given(c->params, "data_format");
  if (c->input->rank < c->axes + 2)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR, "the input must have %d axes, got %" PRId32,
                      (int)c->axes + 2, c->input->rank);
  if (!check_batch_axes(c, r)) return false;
  if (format != NULL && format->kind != CBN_STRING)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_ATTRIBUTE_ERROR, "data_format must be a string, got %s",
                      cbn_printed_value(format).text);
  c->channels_last = cbn_tensorflow_channels_last(c->params);
  const int64_t depth = c->filter->extent[c->axes], channels = input_channels(c);
  if (depth == 0)
    return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, CBN_ZERO_DIVISION_ERROR, "filters of no channels");
  return channels % depth == 0 ||
         cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_VALUE_ERROR,
                    "the input's %" PRId64 " channels cannot be divided by the filters' %" PRId64, channels, depth);
}

static bool check_phase_format(const call *c, cbn_rejection *r) {
  static const char *const names[][4] = {
      {"NWC", "NCW", "NHWC", "NCHW"}, {"NHWC", "NCHW", NULL}, {"NDHWC", "NCDHW", NULL}};
  const cbn_value *value = cbn_tensorflow_given(c->params, "data_format");
  const char *const *known = names[c->axes - 1];
  bool found = value == NULL;
  for (int i = 0; i < 4 && known[i] != NULL; i++) found = found || cbn_value_is(value, known[i]);
  return found || cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_VALUE_ERROR, "data_format must be %s or %s, got %s",
                             known[0], known[1], cbn_printed_value(value).text);
}

/* Where every dilation is 1 after all, as an int or without batch and channels, the function of that many axes is
 * called, that of two with its lists of pairs. */
static bool convolve_phases(call *c, const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  const char *padding = NULL;
  int64_t stride, dilation;
  if (!check_phase_input(c, r) ||
      !read_spatial(c, "dilations", CBN_RULE_DILATION_POSITIVE, c->dilations, &dilation, r) ||
      !read_spatial(c, "strides", CBN_RULE_STRIDE_POSITIVE, c->strides, &stride, r))
    return false;
  if (stride > 1 && dilation > 1)
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_VALUE_ERROR,
                      "a stride does not go with a dilation, got %" PRId64 " and %" PRId64, stride, dilation);
  c->by_phases = dilation > 1;
  c->takes_pairs = c->axes == 2;
  if (c->by_phases && !read_phase_padding(c, r)) return false;
  if (!check_phase_format(c, r)) return false;
  if (c->by_phases ? !read_phase_pads(c, r)
                   : (c->takes_pairs && !check_pairs(c, r)) || !read_padding_type(c, &padding, r) ||
                         !check_padding_value(c, padding, r))
    return false;
  if (!check_types(request, r) || (!c->by_phases && !check_pads(c, padding != NULL, r))) return false;
  describe(c, plan);
  return run_forward(c, &plan->conv, r);
}

static bool convolve(call *c, const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  const char *padding, *format;
  if (c->axes == 1 && !read_line_format(c, r)) return false;
  if (!read_entries(c, "strides", c->strides, r) || !read_padding_type(c, &padding, r)) return false;
  if (c->axes > 1 && !cbn_tensorflow_text(c->params, "data_format", &format, r)) return false;
  c->channels_last = cbn_tensorflow_channels_last(c->params);
  if (!check_values(c, request, padding, r) || !check_operator(c, padding != NULL, r)) return false;
  describe(c, plan);
  return run_forward(c, &plan->conv, r);
}

bool cbn_tensorflow_any_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                    cbn_rejection *r) {
  (void)operator;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!cbn_check_names(request->params, forward_names, 0, r) || !check_tensors(request, r)) return false;
  call c = begin(request, request->layer[CBN_ROLE_WEIGHT]->rank - 2);
  if (c.axes < 1 || c.axes > CBN_MAX_SPATIAL)
    return cbn_reject(r, CBN_RULE_WEIGHT_SHAPE, CBN_VALUE_ERROR, "filters must have 3, 4 or 5 axes, got %d",
                      (int)c.axes + 2);
  if (!read_spread(&c, r) || !check_length(&c, "dilations", r) || !check_length(&c, "strides", r)) return false;
  return (dilates(&c) ? convolve_phases(&c, request, plan, r) : convolve(&c, request, plan, r)) &&
         cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}

/* --------------------------------------------------------------------------------------------- nn.depthwise_conv2d */

/* Python runs through the dilations and, where one is above 1, through the strides; then they become a tensor of int32,
 * which wraps. */
static bool read_rates(const call *c, int64_t rates[CBN_MAX_NATIVE_RANK], int *count, cbn_rejection *r) {
  const cbn_value *value = cbn_tensorflow_given(c->params, "dilations");
  const cbn_value *strides = cbn_parameter(c->params, "strides");
  const cbn_entries entries = cbn_as_entries(value);
  const bool has_length = strides->kind == CBN_LIST || strides->kind == CBN_STRING || strides->kind == CBN_MAP;
  bool above = false, ints = true;
  *count = 2;
  rates[0] = rates[1] = 1;
  if (value == NULL) return true;
  if (value->kind == CBN_MAP && value->as.map.count == 0)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "dilations must be a list of ints, got a map");
  if (!entries.sequence) return cbn_tensorflow_reject_type("dilations", value, "a list of ints", r);
  *count = entries.count;
  for (int i = 0; i < entries.count; i++) {
    double number;
    if (!cbn_as_number(entries.entry[i], &number))
      return cbn_tensorflow_reject_type("dilations", value, "a list of ints", r);
    above = above || number > 1;
    ints = cbn_as_integer(entries.entry[i], true, &rates[i]) && ints;
    rates[i] = (int32_t)(uint32_t)(uint64_t)rates[i];
  }
  if (above && !has_length) return cbn_tensorflow_reject_type("strides", strides, "a list", r);
  return ints || cbn_tensorflow_reject_type("dilations", value, "a list of ints", r);
}

/* One rate would dilate the height alone, a third the channels: where all are 1 that makes no difference. */
static bool check_rates(call *c, const int64_t *rates, int count, cbn_rejection *r) {
  if (count == 0)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_INDEX_ERROR, "dilations must have 2 entries, got none");
  if (c->input->rank < count + 1)
    return cbn_reject(r, count > 2 ? CBN_RULE_PARAMETER_LENGTH : CBN_RULE_INPUT_RANK, CBN_VALUE_ERROR,
                      "an input of %" PRId32 " axes does not go with %d dilations", c->input->rank, count);
  for (int i = 0; i < count; i++) {
    if (rates[i] < 1)
      return cbn_reject(r, CBN_RULE_DILATION_POSITIVE, CBN_VALUE_ERROR, "dilations must be positive, got %" PRId64,
                        rates[i]);
    c->by_phases = c->by_phases || rates[i] > 1;
  }
  for (int a = 0; a < 2 && c->by_phases && count == 2; a++) c->dilations[spatial_entry(c, a)] = rates[a];
  return !c->by_phases || count == 2 ||
         cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_NOT_IMPLEMENTED, "dilations must have 2 entries, got %d", count);
}

static bool check_depthwise_operator(const call *c, cbn_rejection *r) {
  const int first = spatial_entry(c, 0);
  if (c->stride_count != c->entries)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, CBN_INVALID_ARGUMENT, "strides must have 4 entries, got %d",
                      c->stride_count);
  if (c->strides[first] != c->strides[first + 1])
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                      "strides of rows and columns must be equal, got %" PRId64 " and %" PRId64, c->strides[first],
                      c->strides[first + 1]);
  for (int i = 0; i < c->entries; i++)
    if (!is_spatial(c, i) && c->strides[i] != 1)
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_ARGUMENT,
                        "strides of batch and channels must be 1, got %" PRId64, c->strides[i]);
  return c->by_phases || check_pads(c, false, r);
}

static bool run_depthwise(const call *c, cbn_conv *v, cbn_rejection *r) {
  if (!check_rank(c->input, "the input", CBN_RULE_INPUT_RANK, c, r) ||
      !check_rank(c->filter, "filters", CBN_RULE_WEIGHT_SHAPE, c, r))
    return false;
  v->in_channels = v->groups = input_channels(c);
  v->out_channels = cbn_saturating_multiply(v->in_channels, c->filter->extent[3]);
  if (v->in_channels != c->filter->extent[2])
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, CBN_INVALID_ARGUMENT,
                      "the input has %" PRId64 " channels, the filters %" PRId64, v->in_channels, c->filter->extent[2]);
  if (v->stride[0] <= 0)
    return cbn_reject(r, CBN_RULE_STRIDE_POSITIVE, CBN_INVALID_ARGUMENT, "strides must be > 0, got %" PRId64,
                      v->stride[0]);
  if (c->by_phases && v->stride[0] != 1) /* strides each phase by itself */
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED, "a stride does not go with a dilation");
  bool empty = v->batch == 0 || v->out_channels == 0;
  for (int a = 0; a < 2; a++) {
    v->input[a] = input_extent(c, a);
    const int64_t output = window(c, v, a, v->input[a]);
    if (output < 0) return reject_size(output, v->input[a], r);
    empty = empty || output == 0;
  }
  return empty || c->channels_last ||
         cbn_reject(r, CBN_RULE_TENSOR_FORMAT, CBN_UNIMPLEMENTED, "channels come last on a CPU");
}

bool cbn_tensorflow_depthwise(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                              cbn_rejection *r) {
  int64_t rates[CBN_MAX_NATIVE_RANK];
  const char *padding = NULL;
  int count;
  call c = begin(request, operator->spatial_rank);
  c.takes_pairs = true;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV};
  if (!cbn_check_names(c.params, forward_names, 2, r) || !check_tensors(request, r) ||
      !read_rates(&c, rates, &count, r) || !read_format(&c, r) || !check_rates(&c, rates, count, r))
    return false;
  if (c.by_phases ? !read_phase_padding(&c, r) || !read_phase_pads(&c, r) : !check_pairs(&c, r)) return false;
  if (!read_list(&c, "strides", c.strides, &c.stride_count, r) ||
      (!c.by_phases && !read_padding_type(&c, &padding, r)) || !check_format_value(&c, r) ||
      !check_padding_value(&c, padding, r) || !check_types(request, r) || !check_range("strides", c.strides, &c, r) ||
      !check_depthwise_operator(&c, r))
    return false;
  describe(&c, plan);
  cbn_plan_depthwise(plan, c.axes);
  return run_depthwise(&c, &plan->conv, r) && cbn_forward_violation(plan, CBN_NOT_IMPLEMENTED, r);
}
