/* Native parameters through every dialect: accepted, with a valid operator, or refused by a rule, in words; the same every
 * time. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "dialects/dialect.h"
#include "dialects/layout.h"
#include "fuzz/demand.h"
#include "fuzz/targets.h"

enum { ARENA_BYTES = 1 << 20, NAME_BYTES = 32, NAMES = 24, DEPTH = 3 };

/* Bytes as a source of choices; 0 beyond the end. */
typedef struct source {
  const uint8_t *bytes;
  size_t size, next;
  cbn_arena *arena;
} source;

static uint8_t take(source *s) { return s->next < s->size ? s->bytes[s->next++] : 0; }
static int choose(source *s, int count) { return take(s) % count; }

static void *allocate(source *s, size_t bytes) {
  void *memory = cbn_arena_allocate(s->arena, bytes);
  CBN_DEMAND(memory != NULL, "dialects: no memory");
  return memory;
}

/* -------------------------------------------------------------------------------------------------------- values */

static cbn_value *make(source *s, enum cbn_value_kind kind) {
  cbn_value *value = allocate(s, sizeof *value);
  value->kind = kind;
  return value;
}

static cbn_value *make_string(source *s, const char *text) {
  cbn_value *value = make(s, CBN_STRING);
  value->as.string.text = text;
  value->as.string.length = strlen(text);
  return value;
}

/* Mostly small, as parameters are; sometimes at the ends of what an integer holds. */
static int64_t make_integer(source *s) {
  static const int64_t absurd[] = {INT64_MAX, INT64_MIN,         INT32_MAX, INT32_MIN, (int64_t)INT32_MAX + 1,
                                   -1,        INT64_MAX / 2 + 1, 1LL << 40, 65536,     1000000007};
  const int byte = take(s);
  return byte < 252 ? byte % 12 : absurd[byte % (int)(sizeof absurd / sizeof absurd[0])];
}

static double make_real(source *s) {
  static const double reals[] = {0.1,      1e-5, 0,     -0.0,     1,   0.5,       1.5, -1,
                                 INFINITY, NAN,  1e308, 0x1p-149, 2.0, -INFINITY, 3,   1 - 1e-16};
  return reals[choose(s, sizeof reals / sizeof reals[0])];
}

static const char *make_word(source *s) {
  static const char *const words[] = {
      "zeros",    "reflect", "replicate", "circular",      "same",       "valid",          "pad",    "SAME",
      "NCHW",     "NHWC",    "NCDHW",     "normal",        "ones",       "xavier_uniform", "batch",  "running",
      "unbiased", "biased",  "cpu",       "float32",       "grad_input", "grad_bias",      "",       "1",
      "true",     "None",    "forward",   "SAME_UPPER",    "SAME_LOWER", "VALID",          "NOTSET", "\x01\xff%s%n",
      "causal",   "linear",  "jax",       "channels_first"};
  return words[choose(s, sizeof words / sizeof words[0])];
}

static const cbn_value *make_value(source *s, int depth) {
  cbn_value *value;
  switch (choose(s, depth < DEPTH ? 16 : 10)) {
  case 0: return make(s, CBN_NULL);
  case 1:
    value = make(s, CBN_BOOLEAN);
    value->as.boolean = choose(s, 2) == 1;
    return value;
  case 2:
    value = make(s, CBN_REAL);
    value->as.real = make_real(s);
    return value;
  case 3: return make_string(s, make_word(s));
  case 10:
  case 11:
  case 12:
  case 13:
  case 14: {
    value = make(s, CBN_LIST);
    const size_t count = (size_t)choose(s, CBN_MAX_NATIVE_RANK + 3);
    const cbn_value **items = allocate(s, (count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) items[i] = make_value(s, depth + 1);
    value->as.list.items = items;
    value->as.list.count = count;
    return value;
  }
  case 15: {
    value = make(s, CBN_MAP);
    const cbn_value **keys = allocate(s, sizeof *keys), **items = allocate(s, sizeof *items);
    keys[0] = make_string(s, make_word(s));
    items[0] = make_value(s, depth + 1);
    value->as.map.keys = keys;
    value->as.map.items = items;
    value->as.map.count = 1;
    return value;
  }
  default:
    value = make(s, CBN_INTEGER);
    value->as.integer = make_integer(s);
    return value;
  }
}

/* ---------------------------------------------------------------------------------------------------- parameters */

typedef struct parameter {
  char name[NAME_BYTES], fallback[NAME_BYTES]; /* the default as the signature has it; "" where there is none */
} parameter;

/* What an operator's signature says: `(in_channels, padding=(0, 0), bias=True, ...)`. */
static int parameters_of(const char *signature, parameter parameters[NAMES]) {
  int count = 0, depth = 0;
  size_t length[2] = {0, 0}; /* of the name, of the default */
  int part = 0;
  memset(parameters, 0, NAMES * sizeof *parameters);
  for (const char *c = signature; *c != '\0' && count < NAMES; c++) {
    const bool opens = *c == '(' && depth == 0;
    depth += (*c == '(') - (*c == ')');
    const bool ends = depth == 0 || (*c == ',' && depth == 1);
    char *text = part == 0 ? parameters[count].name : parameters[count].fallback;
    if (ends) count += length[0] > 0;
    if (ends) length[0] = length[1] = 0;
    if (ends || *c == '=') part = !ends;
    else if (!opens && *c != ' ' && *c != '*' && length[part] + 1 < NAME_BYTES) text[length[part]++] = *c;
  }
  return count;
}

/* What likely parameters are made of. The weight's extents stand as the canonical operator has them. */
typedef struct likely {
  cbn_shape input, weight;
  bool channels_last;  /* of the input, by default */
  bool whole;          /* lists have entries for batch and channels, too: TensorFlow's */
  bool takes_bias;     /* a convolution has one, as often as not */
  bool forward_weight; /* also of a transposed convolution, unless transpose_kernel is said: JAX's and Flax's */
  int channels;        /* the input's axis of channels */
  const char *filter;  /* the weight's axes as JAX says them; NULL: as the dialect has them */
  const char *input_type, *layer_type;
} likely;

static int axes_of(const likely *l) { return l->input.rank > 2 ? l->input.rank - 2 : 0; }
static int64_t channels_of(const likely *l) { return l->input.extent[l->channels]; }

/* TensorFlow's output_shape: batch, spatial axes that some stride makes of the input's, channels. */
static int64_t whole_output(const likely *l, int stride, int axis) {
  if (axis > axes_of(l)) return l->weight.extent[1];
  return axis == 0 || l->input.extent[axis] > INT64_MAX / stride ? l->input.extent[axis]
                                                                 : l->input.extent[axis] * stride;
}

static const cbn_value *make_list(source *s, size_t count, const cbn_value **items) {
  cbn_value *list = make(s, CBN_LIST);
  list->as.list.items = items;
  list->as.list.count = count;
  return list;
}

static const cbn_value *make_number(source *s, int64_t number) {
  cbn_value *value = make(s, CBN_INTEGER);
  value->as.integer = number;
  return value;
}

/* A list of integers, where the parameter has an entry for each axis, or two; NULL for others. Some dialects take a
 * single integer, too. */
static const cbn_value *make_entries(source *s, const char *name, const likely *l) {
  static const struct {
    const char *name;
    int each, least, values; /* of an axis, from `least` on */
    bool single;
  } known[] = {{"dilations", 1, 1, 3, false},     {"strides", 1, 1, 3, false},       {"pads", 2, 0, 3, false},
               {"kernel_shape", 1, 1, 1, false},  {"output_shape", 1, 1, 24, false}, {"output_padding", 1, 0, 2, false},
               {"kernel", 1, 1, 3, true},         {"kernel_size", 1, 1, 3, true},    {"stride", 1, 1, 3, true},
               {"dilation", 1, 1, 3, true},       {"dilation_rate", 1, 1, 3, true},  {"window_strides", 1, 1, 3, false},
               {"lhs_dilation", 1, 1, 2, false},  {"rhs_dilation", 1, 1, 3, false},  {"input_dilation", 1, 1, 2, true},
               {"kernel_dilation", 1, 1, 3, true}};
  const size_t count = sizeof known / sizeof known[0];
  size_t which = 0;
  while (which < count && strcmp(known[which].name, name) != 0) which++;
  if (which == count || (known[which].single && !l->forward_weight && choose(s, 8) > 0)) return NULL;
  const bool output = strcmp(name, "output_shape") == 0; /* TensorFlow's has batch and channels always */
  const bool kernel = strcmp(name, "kernel_shape") == 0 || strcmp(name, "kernel_size") == 0;
  const bool whole = l->whole && (output || choose(s, 4) > 0);
  const int entries = whole ? axes_of(l) + 2 : known[which].each * axes_of(l), stride = 1 + choose(s, 3);
  const cbn_value **items = allocate(s, (size_t)(entries + 1) * sizeof *items);
  for (int i = 0; i < entries; i++) {
    int64_t number = known[which].least + choose(s, known[which].values);
    if (kernel) number = l->weight.extent[2 + i];
    if (whole && (i == 0 || i == entries - 1)) number = 1;
    if (whole && output) number = whole_output(l, stride, i);
    items[i] = make_number(s, number);
  }
  return make_list(s, (size_t)entries, items);
}

/* A pair of pads for each axis; of TensorFlow's batch and channels, zeros. */
static const cbn_value *make_pads(source *s, const likely *l) {
  const int entries = axes_of(l) + (l->whole ? 2 : 0);
  const cbn_value **items = allocate(s, (size_t)(entries + 1) * sizeof *items);
  for (int i = 0; i < entries; i++) {
    const bool outer = l->whole && (i == 0 || i == entries - 1);
    const cbn_value **pair = allocate(s, 2 * sizeof *pair);
    for (int end = 0; end < 2; end++) pair[end] = make_number(s, outer ? 0 : choose(s, 8) - (l->whole ? 0 : 1));
    items[i] = make_list(s, 2, pair);
  }
  return make_list(s, (size_t)entries, items);
}

/* The axes' letters, spatial ones between those in front and those behind; turned around by some. */
static const char *make_format(source *s, const likely *l, const char *front, const char *behind) {
  static const char spatial[] = "HWDXYZTU";
  const size_t rank = (size_t)axes_of(l) + 2, first = strlen(front),
               turn = choose(s, 2) ? (size_t)choose(s, (int)rank) : 0;
  char text[CBN_MAX_NATIVE_RANK + 1] = "", turned[CBN_MAX_NATIVE_RANK + 1] = "";
  if (rank > CBN_MAX_NATIVE_RANK) return "";
  memcpy(text, front, first);
  memcpy(text + first, spatial, rank - 2);
  memcpy(text + first + rank - 2, behind, 2 - first);
  for (size_t i = 0; i < rank; i++) turned[i] = text[(i + turn) % rank];
  return cbn_arena_copy(s->arena, turned, rank);
}

/* JAX's dimension_numbers, which the tensors are to follow. */
static const cbn_value *make_dimension_numbers(source *s, likely *l) {
  const bool last = choose(s, 2) == 1;
  const cbn_value **items = allocate(s, 3 * sizeof *items);
  const char *input = make_format(s, l, last ? "N" : "NC", last ? "C" : "");
  const char *channels = strchr(input, 'C');
  l->filter = make_format(s, l, last ? "" : "OI", last ? "IO" : "");
  l->channels = channels == NULL ? 1 : (int)(channels - input);
  items[0] = make_string(s, input);
  items[1] = make_string(s, l->filter);
  items[2] = make_string(s, make_format(s, l, last ? "N" : "NC", last ? "C" : ""));
  return make_list(s, 3, items);
}

/* A word: one that the parameter is known to take, or its default, or any. */
static const cbn_value *make_likely_word(source *s, const parameter *p, const likely *l) {
  static const struct {
    const char *name, *words[8];
  } known[] = {{"padding", {"SAME", "VALID", "same", "valid", "CAUSAL", "SAME_LOWER", "CIRCULAR", "REFLECT"}},
               {"padding_mode", {"zeros", "reflect", "replicate", "circular"}},
               {"pad_mode", {"same", "valid", "pad"}},
               {"auto_pad", {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}},
               {"precision", {"highest", "default"}},
               {"backend", {"tensorflow", "jax"}}};
  const int how = choose(s, 16), most = l->whole ? 2 : l->forward_weight ? 8 : 5; /* who knows more */
  int count = 0;
  if (how == 15) return make_string(s, make_word(s));
  if (strcmp(p->name, "dtype") == 0 || strcmp(p->name, "preferred_element_type") == 0)
    return make_string(s, l->input_type);
  if (strcmp(p->name, "param_dtype") == 0) return make_string(s, l->layer_type);
  if (strcmp(p->name, "data_format") == 0 && p->fallback[0] != '\'')
    return make_string(s, how % 2 ? "channels_first" : "channels_last");
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(p->name, known[i].name) != 0 || (how < 8 && p->fallback[0] == '\'')) continue;
    while (count < most && known[i].words[count] != NULL) count++;
    return make_string(s, known[i].words[choose(s, count)]);
  }
  if (p->fallback[0] != '\'') return make_string(s, make_word(s));
  return make_string(s, cbn_arena_copy(s->arena, p->fallback + 1, strlen(p->fallback) - 2));
}

static bool is_among(const char *name, const char *const *names) {
  while (*names != NULL && strcmp(*names, name) != 0) names++;
  return *names != NULL;
}

/* An integer: groups that divide the channels, channels that they divide. */
static int64_t likely_integer(source *s, const parameter *p, likely *l) {
  static const char *const groups[] = {"group", "groups", "feature_group_count", NULL};
  static const char *const outputs[] = {"out_channels", "out_channel", "filters", "features", NULL};
  static const char *const inputs[] = {"in_channels", "num_features", NULL};
  enum { OPERATOR_SETS = 28 };
  const int64_t number = 1 + choose(s, strcmp(p->name, "opset") == 0 ? OPERATOR_SETS : 3);
  if (is_among(p->name, inputs) && l->input.rank > 1) return channels_of(l);
  if (is_among(p->name, groups)) return channels_of(l) % number == 0 || choose(s, 4) == 0 ? number : 1;
  if (is_among(p->name, outputs)) return 6 * number;
  if (strcmp(p->name, "axis") != 0 || l->input.rank < 2) return number;
  l->channels = number == 3 ? l->input.rank - 1 : (int)number - 1;
  return number == 3 ? -1 : number - 1;
}

/* A value that the parameter may well have: of its default's kind, channels those of the input. */
static const cbn_value *make_likely(source *s, const parameter *p, likely *l) {
  static const char *const typed[] = {"dtype", "preferred_element_type", "precision", "data_format", NULL};
  static const double reals[] = {0.1, 0.5, 1e-5, 0.9};
  const bool padding = strcmp(p->name, "padding") == 0, none = strcmp(p->fallback, "None") == 0;
  const bool named = p->fallback[0] == '\'' || p->fallback[0] == 'b' || strcmp(p->name, "param_dtype") == 0 ||
                     (!l->whole && is_among(p->name, typed) && choose(s, 2) == 0);
  const cbn_value *entries = make_entries(s, p->name, l);
  if (entries != NULL) return entries;
  if (strcmp(p->name, "dimension_numbers") == 0) return make_dimension_numbers(s, l);
  if (padding && (p->fallback[0] == '\0' || l->forward_weight) && choose(s, l->whole ? 8 : 2) == 0)
    return make_pads(s, l);
  if (named || (padding && p->fallback[0] == '\0')) return make_likely_word(s, p, l);
  if (strcmp(p->name, "use_running_average") == 0 ||
      (p->fallback[0] != '\0' && strchr("TFtf", p->fallback[0]) != NULL)) {
    cbn_value *value = make(s, CBN_BOOLEAN);
    value->as.boolean = choose(s, 2) == 1;
    return value;
  }
  if (none && choose(s, 16) > 0) return make(s, CBN_NULL);
  if (strchr(p->fallback, '.') == NULL && strstr(p->fallback, "e-") == NULL)
    return make_number(s, likely_integer(s, p, l));
  cbn_value *value = make(s, CBN_REAL);
  value->as.real = reals[choose(s, sizeof reals / sizeof reals[0])];
  return value;
}

/* Is it one of those that make another operator of it, or go with few of the others? They are mostly left out. */
static bool is_rare(const char *name, const char *signature) {
  static const char *const known[] = {"batch_group_count", "out_sharding",      "lhs_dilation", "input_dilation",
                                      "dilation_rate",     "activation",        "renorm",       "synchronized",
                                      "axis_name",         "axis_index_groups", "mode",         NULL};
  const bool pads = strcmp(name, "padding") == 0 || strcmp(name, "pad") == 0;
  return is_among(name, known) || strstr(name, "_regularizer") != NULL || strstr(name, "_constraint") != NULL ||
         (pads && strstr(signature, "pad_mode") != NULL);
}

/* Parameters in the order of the signature: left out, likely, or anything; sometimes one that does not exist. */
static const cbn_value *make_params(source *s, const char *signature, likely *l) {
  parameter known[NAMES];
  const int known_count = parameters_of(signature, known), wild = choose(s, choose(s, 4) == 0 ? 64 : 8);
  cbn_value *map = make(s, CBN_MAP);
  const cbn_value **keys = allocate(s, (NAMES + 1) * sizeof *keys), **items = allocate(s, (NAMES + 1) * sizeof *items);
  size_t count = 0;
  for (int i = 0; i < known_count; i++) {
    const int how = choose(s, 256);
    const bool required = known[i].fallback[0] == '\0' || strcmp(known[i].name, "use_running_average") == 0;
    const int given = is_rare(known[i].name, signature) ? 1 : 4; /* of 8 */
    if (how >= 256 - wild / 4 || (!required && how % 8 >= given)) continue;
    keys[count] = make_string(s, cbn_arena_copy(s->arena, known[i].name, strlen(known[i].name)));
    items[count++] = how < wild ? make_value(s, 0) : make_likely(s, &known[i], l);
  }
  if (choose(s, 64) == 63) {
    keys[count] = make_string(s, "no_such_parameter");
    items[count++] = make_value(s, 0);
  }
  map->as.map.keys = keys;
  map->as.map.items = items;
  map->as.map.count = count;
  return map;
}

/* ------------------------------------------------------------------------------------------------------ requests */

static int64_t make_extent(source *s) {
  const int64_t extent = make_integer(s);
  return extent < 0 ? 0 : extent; /* tensors have no others */
}

static void make_shape(source *s, int32_t rank, cbn_shape *shape) {
  shape->rank = rank;
  for (int32_t a = 0; a < rank; a++) shape->extent[a] = make_extent(s);
}

/* Does the signature's default say that channels stand last? */
static bool is_channels_last(const char *signature) {
  static const char *const known[] = {"data_format=None", "variance_epsilon", "axis=-1", "(features",
                                      "use_consistent_padding"};
  const char *format = strstr(signature, "data_format='");
  for (size_t i = 0; format == NULL && i < sizeof known / sizeof known[0]; i++)
    if (strstr(signature, known[i]) != NULL) return true;
  return format != NULL && strncmp(strrchr(format, 'C'), "C'", 2) == 0;
}

/* A weight's kernel and the channels of a group; what follows from the groups is set when these are drawn. */
static void make_weight(source *s, likely *l) {
  l->weight.rank = l->input.rank > 0 ? l->input.rank : 1;
  for (int32_t a = 2; a < l->input.rank; a++) l->weight.extent[a] = 1 + choose(s, 3);
  l->weight.extent[1] = 1 + choose(s, 4);
}

static int64_t integer_of(const cbn_value *params, const char *name, int64_t fallback) {
  const cbn_value *value = cbn_value_get(params, name);
  return value != NULL && value->kind == CBN_INTEGER && value->as.integer > 0 ? value->as.integer : fallback;
}

/* The weight in the order of axes that the filter's text says. */
static void follow_filter(const likely *l, cbn_shape *weight) {
  int axis = 2;
  for (int i = 0; l->filter[i] != '\0'; i++) weight->extent[i] = l->weight.extent[l->filter[i] == 'O' ? 0 : 1];
  for (int i = 0; l->filter[i] != '\0'; i++)
    if (l->filter[i] != 'O' && l->filter[i] != 'I') weight->extent[i] = l->weight.extent[axis++];
}

/* The tensors of a convolution's layer, as they have to be for the input and the groups. */
static void fit_layer(const cbn_dialect_operator *operator, const cbn_value * params, likely *l, cbn_shape *weight,
                      cbn_shape *bias) {
  const cbn_value *flip = cbn_value_get(params, "transpose_kernel");
  const int64_t groups =
      integer_of(params, "group", integer_of(params, "groups", integer_of(params, "feature_group_count", 1)));
  const bool flipped = operator->transposed &&(!l->forward_weight ||
                                               (flip != NULL && flip->kind == CBN_BOOLEAN && flip->as.boolean));
  const int64_t in = channels_of(l), features = integer_of(params, "features", integer_of(params, "out_channel", 0));
  const int64_t each = features > 0 ? features / groups : l->weight.extent[1];
  const int64_t out = groups <= INT64_MAX / (each + 1) ? groups * each : 1;
  const int axes = axes_of(l);
  for (int a = 0; a < axes; a++) l->weight.extent[2 + a] = integer_of(params, "kernel_size", l->weight.extent[2 + a]);
  l->weight.extent[0] = flipped ? in : out;
  l->weight.extent[1] = flipped ? each : in / groups;
  *weight = l->weight;
  *bias = (cbn_shape){.rank = 1, .extent = {out}};
  if (l->filter != NULL) follow_filter(l, weight);
  if (l->filter != NULL || !l->channels_last) return;
  memcpy(weight->extent, l->weight.extent + 2, (size_t)axes * sizeof weight->extent[0]);
  weight->extent[axes] = l->weight.extent[1];
  weight->extent[axes + 1] = l->weight.extent[0];
}

/* What the layer's tensors have for shapes: mostly what the call wants, sometimes another one, or none. */
static void make_layer(source *s, const cbn_dialect_operator *operator, cbn_request * request, likely *l) {
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  const bool conv = operator->kind == CBN_OPERATOR_CONV;
  const size_t count = conv ? 2 : sizeof roles / sizeof roles[0];
  cbn_shape *shapes = allocate(s, count * sizeof *shapes);
  for (size_t i = 0; i < count; i++) shapes[i] = (cbn_shape){.rank = 1, .extent = {channels_of(l)}};
  if (conv) fit_layer(operator, request->params, l, &shapes[0], &shapes[1]);
  for (size_t i = 0; i < count; i++) {
    const int how = choose(s, 64);
    const bool optional = conv && roles[i] == CBN_ROLE_BIAS;
    if (how == 0 || (optional && (l->takes_bias ? how % 2 == 0 : how < 62))) continue;
    if (how == 1) make_shape(s, 1 + choose(s, CBN_MAX_NATIVE_RANK), &shapes[i]);
    request->layer[roles[i]] = &shapes[i];
  }
}

/* What the dialect says without a parameter. */
static likely likely_of(const cbn_dialect *dialect, const cbn_dialect_operator *operator, const cbn_request * request) {
  static const char *const names[] = {
      [CBN_F32] = "float32", [CBN_F64] = "float64", [CBN_F16] = "float16", [CBN_BF16] = "bfloat16"};
  const bool tensorflow = strcmp(dialect->name, "tensorflow") == 0, jax = strcmp(dialect->name, "jax") == 0;
  const bool last = is_channels_last(operator->signature);
  return (likely){.input = request->input,
                  .channels_last = last,
                  .whole = tensorflow && last,
                  .takes_bias = !tensorflow && !jax,
                  .forward_weight = jax || strcmp(dialect->name, "flax") == 0,
                  .channels = last && request->input.rank > 1 ? request->input.rank - 1 : 1,
                  .input_type = names[request->input_type],
                  .layer_type = names[request->layer_type]};
}

static cbn_request make_request(source *s, const cbn_dialect *dialect, const cbn_dialect_operator *operator) {
  static const int32_t types[] = {CBN_F32, CBN_F32, CBN_F32, CBN_F64, CBN_F16, CBN_BF16};
  cbn_request request = {.training = choose(s, 2) == 1, .trained = choose(s, 3)};
  request.input_type = types[choose(s, 6)];
  request.layer_type = choose(s, 4) == 3 ? types[choose(s, 6)] : request.input_type;
  const int rank = choose(s, 16); /* mostly one that the operator takes, or some operator */
  make_shape(s, rank < 12 ? operator->spatial_rank + 2 : rank < 15 ? 3 + choose(s, 3) : choose(s, 10) - 1,
             &request.input);
  likely l = likely_of(dialect, operator, & request);
  make_weight(s, &l);
  request.params = choose(s, 64) == 63 ? NULL : make_params(s, operator->signature, &l);
  make_layer(s, operator, & request, &l);
  return request;
}

/* ------------------------------------------------------------------------------------------------------- answers */

typedef struct answer {
  bool accepted;
  cbn_plan plan;
  cbn_rejection rejection;
} answer;

/* What the memory held before must not shine through. */
static void ask(const cbn_dialect_operator *operator, const cbn_request * request, int before, answer *a) {
  memset(a, before, sizeof *a);
  a->accepted = operator->plan(operator, request, &a->plan, &a->rejection);
}

static void check_accepted(const char *who, const cbn_dialect_operator *operator, const cbn_plan * plan) {
  const bool conv = plan->kind == CBN_OPERATOR_CONV;
  cbn_violation violation;
  CBN_DEMAND(plan->kind == operator->kind, "dialects: %s: another kind of operator", who);
  CBN_DEMAND(conv ? cbn_conv_validate(&plan->conv, &violation) : cbn_batchnorm_validate(&plan->batchnorm, &violation),
             "dialects: %s accepts what is not valid: %s", who, violation.message);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank =
        conv ? cbn_conv_extents(&plan->conv, role, extent) : cbn_batchnorm_extents(&plan->batchnorm, role, extent);
    CBN_DEMAND(role != CBN_ROLE_OUTPUT || rank >= 2, "dialects: %s: an output without extents", who);
    for (int32_t a = 0; a < rank; a++)
      CBN_DEMAND(extent[a] >= 0, "dialects: %s: %s has the extent %" PRId64, who, cbn_role_name(role), extent[a]);
    CBN_DEMAND(rank == 0 || cbn_extent_product(rank, extent) >= 0, "dialects: %s: the size of %s overflows", who,
               cbn_role_name(role));
  }
}

static void check_rejected(const char *who, const cbn_rejection *r) {
  CBN_DEMAND((int)r->rule >= 0 && r->rule < CBN_RULE_COUNT, "dialects: %s refuses by rule %d", who, (int)r->rule);
  CBN_DEMAND(r->exception != NULL && r->exception[0] != '\0', "dialects: %s raises nothing", who);
  CBN_DEMAND(memchr(r->message, '\0', sizeof r->message) != NULL && r->message[0] != '\0',
             "dialects: %s: the message of %s is empty or does not end", who, cbn_rule_name((int)r->rule));
}

static void check_same(const char *who, const answer *a, const answer *b) {
  const bool same =
      a->accepted == b->accepted && (a->accepted ? cbn_plans_are_same(&a->plan, &b->plan)
                                                 : a->rejection.rule == b->rejection.rule &&
                                                       strcmp(a->rejection.exception, b->rejection.exception) == 0 &&
                                                       strcmp(a->rejection.message, b->rejection.message) == 0);
  CBN_DEMAND(same, "dialects: %s answers the same request in two ways", who);
}

void cbn_fuzz_dialects(const cbn_target *target, const uint8_t *bytes, size_t size) {
  source s = {.bytes = bytes, .size = size, .arena = cbn_arena_create(ARENA_BYTES)};
  const cbn_dialect *const *dialects = cbn_dialects();
  int count = 0;
  (void)target;
  CBN_DEMAND(s.arena != NULL, "dialects: no memory");
  while (dialects[count] != NULL) count++;
  const cbn_dialect *dialect = dialects[choose(&s, count)];
  const cbn_dialect_operator *operator= & dialect->operators[choose(&s, (int)dialect->operator_count)];
  const cbn_request request = make_request(&s, dialect, operator), other = make_request(&s, dialect, operator);
  answer first, between, again;
  ask(operator, & request, 0xaa, &first);
  if (first.accepted) check_accepted(operator->name, operator, & first.plan);
  else check_rejected(operator->name, &first.rejection);
  ask(operator, & other, 0xff, &between); /* leaves nothing behind */
  ask(operator, & request, 0x55, &again);
  check_same(operator->name, &first, &again);
  cbn_arena_destroy(s.arena);
}
