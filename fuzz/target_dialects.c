/* Native parameters through every dialect: accepted, with a valid operator, or refused by a rule, in words; the same every
 * time. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "dialects/dialect.h"
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
      "zeros",    "reflect", "replicate", "circular",   "same",       "valid",          "pad",    "SAME",
      "NCHW",     "NHWC",    "NCDHW",     "normal",     "ones",       "xavier_uniform", "batch",  "running",
      "unbiased", "biased",  "cpu",       "float32",    "grad_input", "grad_bias",      "",       "1",
      "true",     "None",    "forward",   "SAME_UPPER", "SAME_LOWER", "VALID",          "NOTSET", "\x01\xff%s%n",
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
  bool channels_last; /* of the input, by default */
} likely;

static int axes_of(const likely *l) { return l->input.rank > 2 ? l->input.rank - 2 : 0; }
static int64_t channels_of(const likely *l) { return l->input.extent[l->channels_last ? axes_of(l) + 1 : 1]; }

/* TensorFlow's output_shape: batch, spatial axes that some stride makes of the input's, channels. */
static int64_t whole_output(const likely *l, int stride, int axis) {
  if (axis > axes_of(l)) return l->weight.extent[1];
  return axis == 0 || l->input.extent[axis] > INT64_MAX / stride ? l->input.extent[axis]
                                                                 : l->input.extent[axis] * stride;
}

/* A list of integers, where the parameter has an entry for each axis, or two; NULL for others. Some dialects take a
 * single integer, too. */
static const cbn_value *make_entries(source *s, const char *name, const likely *l) {
  static const struct {
    const char *name;
    int each, least, values; /* of an axis, from `least` on */
    bool single;
  } known[] = {{"dilations", 1, 1, 3, false},    {"strides", 1, 1, 3, false},       {"pads", 2, 0, 3, false},
               {"kernel_shape", 1, 1, 1, false}, {"output_shape", 1, 1, 24, false}, {"output_padding", 1, 0, 2, false},
               {"kernel", 1, 1, 3, true},        {"kernel_size", 1, 1, 3, true},    {"stride", 1, 1, 3, true},
               {"dilation", 1, 1, 3, true},       {"dilation_rate", 1, 1, 3, true}};
  const size_t count = sizeof known / sizeof known[0];
  size_t which = 0;
  while (which < count && strcmp(known[which].name, name) != 0) which++;
  if (which == count || (known[which].single && choose(s, 8) > 0)) return NULL;
  const bool output = strcmp(name, "output_shape") == 0; /* TensorFlow's lists may have batch and channels, too */
  const bool whole = l->channels_last && (output || choose(s, 2) == 0);
  const int entries = whole ? axes_of(l) + 2 : known[which].each * axes_of(l), stride = 1 + choose(s, 3);
  cbn_value *list = make(s, CBN_LIST);
  const cbn_value **items = allocate(s, (size_t)(entries + 1) * sizeof *items);
  for (int i = 0; i < entries; i++) {
    cbn_value *item = make(s, CBN_INTEGER);
    item->as.integer = known[which].least + choose(s, known[which].values);
    if (strcmp(name, "kernel_shape") == 0) item->as.integer = l->weight.extent[2 + i];
    if (whole && (i == 0 || i == entries - 1)) item->as.integer = 1;
    if (whole && output) item->as.integer = whole_output(l, stride, i);
    items[i] = item;
  }
  list->as.list.items = items;
  list->as.list.count = (size_t)entries;
  return list;
}

/* A value that the parameter may well have: of its default's kind, channels those of the input. */
static const cbn_value *make_likely(source *s, const parameter *p, const likely *l) {
  static const double reals[] = {0.1, 0.5, 1e-5, 0.9};
  enum { OPERATOR_SETS = 28 };
  const bool of_input = strcmp(p->name, "in_channels") == 0 || strcmp(p->name, "num_features") == 0;
  const cbn_value *entries = make_entries(s, p->name, l);
  if (entries != NULL) return entries;
  if (strcmp(p->name, "padding") == 0 && p->fallback[0] == '\0') return make_string(s, choose(s, 2) ? "SAME" : "VALID");
  cbn_value *value = make(s, CBN_INTEGER);
  value->as.integer = 1 + choose(s, strcmp(p->name, "opset") == 0 ? OPERATOR_SETS : 3);
  if (of_input && l->input.rank > 1) value->as.integer = channels_of(l);
  if (strcmp(p->name, "out_channels") == 0) value->as.integer *= 2;
  switch (p->fallback[0]) {
  case '\'': /* the default itself, every other time */
    if (choose(s, 2) == 0) return make_string(s, cbn_arena_copy(s->arena, p->fallback + 1, strlen(p->fallback) - 2));
    return make_string(s, make_word(s));
  case 'b': return make_string(s, make_word(s));
  case 'T':
  case 'F':
  case 't':
  case 'f':
    value->kind = CBN_BOOLEAN;
    value->as.boolean = choose(s, 2) == 1;
    return value;
  default: break;
  }
  if (strpbrk(p->fallback, ".-") == NULL) return value;
  value->kind = CBN_REAL;
  value->as.real = reals[choose(s, sizeof reals / sizeof reals[0])];
  return value;
}

/* Parameters in the order of the signature: left out, likely, or anything; sometimes one that does not exist. */
static const cbn_value *make_params(source *s, const char *signature, const likely *l) {
  parameter known[NAMES];
  const int known_count = parameters_of(signature, known), wild = 1 + choose(s, 64);
  cbn_value *map = make(s, CBN_MAP);
  const cbn_value **keys = allocate(s, (NAMES + 1) * sizeof *keys), **items = allocate(s, (NAMES + 1) * sizeof *items);
  size_t count = 0;
  for (int i = 0; i < known_count; i++) {
    const int how = choose(s, 256);
    const bool required = known[i].fallback[0] == '\0';
    if (how >= 256 - wild / 4 || (!required && how % 4 < 2)) continue;
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
  const char *format = strstr(signature, "data_format='");
  if (format == NULL) return strstr(signature, "data_format=None") != NULL || strstr(signature, "variance_epsilon");
  return strncmp(strrchr(format, 'C'), "C'", 2) == 0;
}

/* A weight's kernel and the channels of a group; what follows from the groups is set when these are drawn. */
static void make_weight(source *s, likely *l) {
  l->weight.rank = l->input.rank > 0 ? l->input.rank : 1;
  for (int32_t a = 2; a < l->input.rank; a++) l->weight.extent[a] = 1 + choose(s, 3);
  l->weight.extent[1] = 1 + choose(s, 4);
}

/* The tensors of a convolution's layer, as they have to be for the input and the groups. */
static void fit_layer(const cbn_dialect_operator *operator, const cbn_value * params, likely *l, cbn_shape *weight,
                      cbn_shape *bias) {
  const cbn_value *group = cbn_value_get(params, "group");
  if (group == NULL) group = cbn_value_get(params, "groups");
  const int64_t groups = group != NULL && group->kind == CBN_INTEGER && group->as.integer > 0 ? group->as.integer : 1;
  const int64_t in = channels_of(l), each = l->weight.extent[1];
  const int64_t out = groups <= INT64_MAX / each ? groups * each : 1;
  const int axes = axes_of(l);
  l->weight.extent[0] = operator->transposed ? in : out;
  l->weight.extent[1] = operator->transposed ? each : in / groups;
  *weight = l->weight;
  *bias = (cbn_shape){.rank = 1, .extent = {out}};
  if (!l->channels_last) return;
  memcpy(weight->extent, l->weight.extent + 2, (size_t)axes * sizeof weight->extent[0]);
  weight->extent[axes] = l->weight.extent[1];
  weight->extent[axes + 1] = l->weight.extent[0];
}

/* What the layer's tensors have for shapes: mostly what the call wants, sometimes another one, or none. A convolution
 * whose channels stand last takes no bias. */
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
    if (how == 0 || (optional && (l->channels_last ? how < 62 : how % 2 == 0))) continue;
    if (how == 1) make_shape(s, 1 + choose(s, CBN_MAX_NATIVE_RANK), &shapes[i]);
    request->layer[roles[i]] = &shapes[i];
  }
}

static cbn_request make_request(source *s, const cbn_dialect_operator *operator) {
  static const int32_t types[] = {CBN_F32, CBN_F32, CBN_F32, CBN_F64, CBN_F16, CBN_BF16};
  cbn_request request = {.training = choose(s, 2) == 1, .trained = choose(s, 3)};
  request.input_type = types[choose(s, 6)];
  request.layer_type = choose(s, 4) == 3 ? types[choose(s, 6)] : request.input_type;
  const int rank = choose(s, 16); /* mostly one that the operator takes, or some operator */
  make_shape(s, rank < 10 ? operator->spatial_rank + 2 : rank < 14 ? 3 + choose(s, 3) : choose(s, 10) - 1,
             &request.input);
  likely l = {.input = request.input, .channels_last = is_channels_last(operator->signature)};
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

static bool same_order(const cbn_axis_order *a, const cbn_axis_order *b) {
  return a->given == b->given && memcmp(a->place, b->place, sizeof a->place) == 0;
}

static bool same_plan(const cbn_plan *a, const cbn_plan *b) {
  bool same = a->kind == b->kind && a->features == b->features && a->unbatched == b->unbatched &&
              same_order(&a->input_order, &b->input_order) && same_order(&a->weight_order, &b->weight_order) &&
              same_order(&a->output_order, &b->output_order) && a->depthwise_weight == b->depthwise_weight;
  if (same && a->kind == CBN_OPERATOR_CONV) same = memcmp(&a->conv, &b->conv, sizeof a->conv) == 0;
  else if (same) same = memcmp(&a->batchnorm, &b->batchnorm, sizeof a->batchnorm) == 0;
  for (int role = 0; same && role < CBN_ROLE_COUNT; role++)
    same = a->has_initial[role] == b->has_initial[role] &&
           (!a->has_initial[role] || memcmp(&a->initial[role], &b->initial[role], sizeof a->initial[role]) == 0);
  return same;
}

static void check_same(const char *who, const answer *a, const answer *b) {
  const bool same =
      a->accepted == b->accepted && (a->accepted ? same_plan(&a->plan, &b->plan)
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
  const cbn_request request = make_request(&s, operator), other = make_request(&s, operator);
  answer first, between, again;
  ask(operator, & request, 0xaa, &first);
  if (first.accepted) check_accepted(operator->name, operator, & first.plan);
  else check_rejected(operator->name, &first.rejection);
  ask(operator, & other, 0xff, &between); /* leaves nothing behind */
  ask(operator, & request, 0x55, &again);
  check_same(operator->name, &first, &again);
  cbn_arena_destroy(s.arena);
}
