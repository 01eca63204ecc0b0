#include "migration/call_text.h"

#include <stdio.h>
#include <string.h>

#include "harness/yaml.h"
#include "migration/framework.h"
#include "migration/literal.h"
#include "migration/signature.h"

/* Parameters of the signature, and some that say nothing. */
enum {
  NAME_BYTES = 128,
  MOST_GIVEN = CBN_MAX_PARAMETERS + 4,
  FIRST_ROLE = CBN_ROLE_INPUT,
  LAST_ROLE = CBN_ROLE_RUNNING_VAR
};

/* A call under way. */
typedef struct call {
  cbn_reader reader;
  const cbn_framework *framework;
  const cbn_dialect_operator *operator;
  cbn_signature signature;
  cbn_layer *layer;
  bool node;                  /* onnx.helper.make_node */
  bool twice;                 /* tensors come in a second call */
  bool by_keyword;            /* one argument was */
  int positions;              /* arguments by position so far */
  bool given[CBN_ROLE_COUNT]; /* tensors */
  size_t count;
  const cbn_value *keys[MOST_GIVEN], *items[MOST_GIVEN];
} call;

/* ---------------------------------------------------------------------------------------------- the operator's name */

/* Is `name` the end of `whole`, at a dot or as it is? */
static bool ends_with(const char *whole, const char *name) {
  const size_t all = strlen(whole), length = strlen(name);
  return length <= all && strcmp(whole + all - length, name) == 0 && (length == all || whole[all - length - 1] == '.');
}

/* All operators of all frameworks, or of one dialect's, in turn: the first for 0, false behind the last. */
static bool operator_at(const cbn_dialect *dialect, size_t i, const cbn_framework **framework,
                        const cbn_dialect_operator **operator) {
  for (const cbn_framework *const *f = cbn_frameworks(); *f != NULL; f++) {
    if (dialect != NULL && (*f)->dialect != dialect) continue;
    *framework = *f;
    *operator=(*f)->dialect->operators + i;
    if (i < (*f)->dialect->operator_count) return true;
    i -= (*f)->dialect->operator_count;
  }
  return false;
}

static const char *last_part(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot == NULL ? name : dot + 1;
}

/* Near is what ends alike; of several, what is alike as a whole. */
static bool fail_unknown(const call *c, const cbn_dialect *dialect, const char *at, const char *name,
                         const char *whole) {
  const cbn_framework *framework;
  const cbn_dialect_operator *operator;
  char candidate[NAME_BYTES], nearest[NAME_BYTES] = "";
  size_t least = SIZE_MAX, least_whole = SIZE_MAX;
  for (size_t i = 0; operator_at(dialect, i, &framework, &operator); i++) {
    cbn_framework_full_name(framework, operator, candidate, sizeof candidate);
    const size_t distance = cbn_name_distance(last_part(whole), last_part(operator->name));
    const size_t distance_whole = cbn_name_distance(whole, candidate);
    if (distance > least || (distance == least && distance_whole >= least_whole)) continue;
    least = distance;
    least_whole = distance_whole;
    memcpy(nearest, candidate, sizeof nearest);
  }
  const char *in = dialect != NULL ? " in " : "", *which = dialect != NULL ? dialect->name : "";
  if (least == SIZE_MAX)
    return cbn_reader_fail(&c->reader, at, "there is no operator %.100s%s%s; `convbn dialects` lists them", name, in,
                           which);
  return cbn_reader_fail(&c->reader, at, "there is no operator %.100s%s%s; did you mean %s?", name, in, which, nearest);
}

/* The one whose whole name it is wins; else it must be the end of names of one dialect. */
static bool search(call *c, const cbn_dialect *dialect, const char *at, const char *name, const char *whole) {
  const cbn_framework *framework;
  const cbn_dialect_operator *operator;
  char candidate[NAME_BYTES], other[NAME_BYTES] = "";
  for (size_t i = 0; operator_at(dialect, i, &framework, &operator); i++) {
    cbn_framework_full_name(framework, operator, candidate, sizeof candidate);
    if (!ends_with(candidate, whole)) continue;
    const bool exact = strcmp(candidate, whole) == 0;
    if (c->operator!= NULL && !exact && c->framework != framework)
      return cbn_reader_fail(&c->reader, at, "%.100s is in %s and %s; write %s or %s", name,
                             c->framework->dialect->name, framework->dialect->name, other, candidate);
    if (c->operator!= NULL && !exact) continue;
    c->framework = framework;
    c->operator= operator;
    memcpy(other, candidate, sizeof other);
    if (exact) break;
  }
  return true;
}

/* Flax, too, is imported as nn. */
static bool find_operator(call *c, const cbn_dialect *dialect, const char *at, const char *name) {
  char whole[NAME_BYTES], linen[NAME_BYTES];
  cbn_framework_unabbreviate(name, whole, sizeof whole);
  if (!search(c, dialect, at, name, whole)) return false;
  if (c->operator== NULL && strncmp(whole, "nn.", 3) == 0) {
    snprintf(linen, sizeof linen, "linen.%.100s", whole + 3);
    if (!search(c, dialect, at, name, linen)) return false;
  }
  return c->operator!= NULL || fail_unknown(c, dialect, at, name, whole);
}

static bool open_operator(call *c) {
  c->layer->dialect = c->framework->dialect;
  c->layer->operator= c->operator;
  c->twice = c->framework->calls_twice != NULL && c->framework->calls_twice(c->operator);
  return cbn_signature_read(c->operator, c->reader.arena, &c->signature) ||
         cbn_reader_fail(&c->reader, c->reader.text, "there is no memory left");
}

/* ------------------------------------------------------------------------------------------------------- arguments */

static const char *tensor_name(const call *c, int role) {
  return c->framework->takes_tensors(c->operator) ? c->framework->tensor_name(c->operator, role) : NULL;
}

/* The role of the i-th tensor that the call takes, and that of a name; -1 if there is none. */
static int tensor_at(const call *c, int i) {
  const int *roles = c->framework->arguments != NULL ? c->framework->arguments(c->operator) : NULL;
  if (tensor_name(c, CBN_ROLE_INPUT) != NULL && roles != NULL) {
    while (i > 0 && *roles >= 0) i--, roles++;
    return *roles;
  }
  for (int role = FIRST_ROLE; role <= LAST_ROLE; role++)
    if (tensor_name(c, role) != NULL && i-- == 0) return role;
  return -1;
}

static int tensor_called(const call *c, const char *name) {
  for (int role = FIRST_ROLE; role <= LAST_ROLE; role++)
    if (tensor_name(c, role) != NULL && strcmp(tensor_name(c, role), name) == 0) return role;
  return -1;
}

static int tensor_count(const call *c) {
  int count = 0;
  while (tensor_at(c, count) >= 0) count++;
  return count;
}

static bool has(const call *c, const char *name) {
  for (size_t i = 0; i < c->count; i++)
    if (cbn_value_is(c->keys[i], name)) return true;
  return false;
}

/* A name, or None. */
static bool read_tensor(call *c, int role, const char *at) {
  const char *name = tensor_name(c, role);
  cbn_reader_skip(&c->reader);
  const size_t length = cbn_name_length(c->reader.at);
  if (c->given[role]) return cbn_reader_fail(&c->reader, at, "the tensor %s is given twice", name);
  if (length == 0)
    return cbn_reader_fail(&c->reader, c->reader.at,
                           "here stands the tensor %s; write a name for it, and its shape elsewhere", name);
  c->given[role] = true;
  if (length != 4 || strncmp(c->reader.at, "None", 4) != 0) c->layer->tensor[role].rank = -1;
  c->reader.at += length;
  return true;
}

static bool put(call *c, const char *name, const cbn_value *value) {
  cbn_value *key = cbn_arena_allocate(c->reader.arena, sizeof *key);
  const char *copy = cbn_arena_copy(c->reader.arena, name, strlen(name));
  if (key == NULL || copy == NULL) return cbn_reader_fail(&c->reader, c->reader.at, "there is no memory left");
  *key = (cbn_value){.kind = CBN_STRING, .as.string = {.text = copy, .length = strlen(copy)}};
  c->keys[c->count] = key;
  c->items[c->count++] = value;
  return true;
}

/* Of parameters that say nothing, a value that is no literal is left out. */
static bool read_parameter(call *c, const char *name, const char *at) {
  const cbn_value *value;
  cbn_reader_skip(&c->reader);
  const size_t length = cbn_name_length(c->reader.at);
  const char next = c->reader.at[length];
  if (has(c, name)) return cbn_reader_fail(&c->reader, at, "the parameter %s is given twice", name);
  if (cbn_says_nothing(name) && length > 0 && strchr(" \t\r\n,)", next) != NULL &&
      !(length == 4 && memcmp(c->reader.at, "None", 4) == 0)) {
    c->reader.at += length;
    return true;
  }
  return cbn_reader_literal(&c->reader, &value) && put(c, name, value);
}

static bool read_keyword(call *c, const char *name, const char *at) {
  const int role = c->twice ? -1 : tensor_called(c, name);
  const char *nearest = cbn_signature_nearest(&c->signature, name);
  c->by_keyword = true;
  if (role >= 0) return read_tensor(c, role, at);
  if (cbn_says_nothing(name) || cbn_signature_find(&c->signature, name) != NULL) return read_parameter(c, name, at);
  if (nearest == NULL)
    return cbn_reader_fail(&c->reader, at, "%s has no parameter %.60s; it has %.300s", c->operator->name, name,
                           c->operator->signature);
  return cbn_reader_fail(&c->reader, at, "%s has no parameter %.60s; did you mean %s?", c->operator->name, name,
                         nearest);
}

static bool read_position(call *c) {
  const char *at = c->reader.at;
  const int tensors = c->twice ? 0 : tensor_count(c), i = c->positions - tensors;
  if (c->by_keyword)
    return cbn_reader_fail(&c->reader, at, "this value has no name, and stands behind one that has; name it");
  c->positions++;
  if (i < 0) return read_tensor(c, tensor_at(c, c->positions - 1), at);
  if (i < c->signature.count && !c->signature.parameter[i].by_keyword)
    return read_parameter(c, c->signature.parameter[i].name, at);
  int most = 0;
  while (most < c->signature.count && !c->signature.parameter[most].by_keyword) most++;
  return cbn_reader_fail(&c->reader, at, "%s takes %d values by position, and this is one more", c->operator->name,
                         tensors + most);
}

/* ------------------------------------------------------------------------------------------------------- ONNX nodes */

/* The first inputs of a node, by position: '' is one that is left out. */
static bool read_inputs(call *c, const char *at) {
  const cbn_value *value;
  if (!cbn_reader_literal(&c->reader, &value)) return false;
  bool texts = value->kind == CBN_LIST;
  for (size_t i = 0; texts && i < value->as.list.count; i++) texts = value->as.list.items[i]->kind == CBN_STRING;
  if (!texts) return cbn_reader_fail(&c->reader, at, "the inputs are a list of names; write inputs=['X', 'W']");
  if (value->as.list.count > (size_t)tensor_count(c))
    return cbn_reader_fail(&c->reader, at, "%s takes %d inputs, these are %zu", c->operator->name, tensor_count(c),
                           value->as.list.count);
  for (size_t i = 0; i < value->as.list.count; i++)
    if (value->as.list.items[i]->as.string.length > 0) c->layer->tensor[tensor_at(c, (int)i)].rank = -1;
  return true;
}

/* make_node's own parameters, in its order. */
static const char *const node_parameters[] = {"op_type",    "inputs", "outputs", "name",
                                              "doc_string", "domain", "overload"};
enum { NODE_PARAMETERS = sizeof node_parameters / sizeof node_parameters[0] };

static bool read_node_parameter(call *c, int which, const char *at) {
  const cbn_value *value;
  if (which > 0 && c->operator== NULL)
    return cbn_reader_fail(&c->reader, at, "the operator comes first; write make_node('Conv', ...)");
  if (which == 1) return read_inputs(c, at);
  if (!cbn_reader_literal(&c->reader, &value)) return false;
  if (which > 0) return true; /* outputs and names say nothing here */
  if (value->kind != CBN_STRING || value->as.string.length >= NAME_BYTES)
    return cbn_reader_fail(&c->reader, at, "the operator is a text; write make_node('Conv', ...)");
  if (c->operator!= NULL) return cbn_reader_fail(&c->reader, at, "the operator is given twice");
  return find_operator(c, c->framework->dialect, at, value->as.string.text) && open_operator(c);
}

static bool read_node_argument(call *c, const char *name, const char *at) {
  for (int i = 0; name != NULL && i < NODE_PARAMETERS; i++)
    if (strcmp(name, node_parameters[i]) == 0) return c->by_keyword = true, read_node_parameter(c, i, at);
  if (name == NULL && c->by_keyword)
    return cbn_reader_fail(&c->reader, at, "this value has no name, and stands behind one that has; name it");
  if (name == NULL && c->positions >= NODE_PARAMETERS)
    return cbn_reader_fail(&c->reader, at, "attributes are given by name; write strides=[2, 2]");
  if (name == NULL) return read_node_parameter(c, c->positions++, at);
  if (c->operator== NULL)
    return cbn_reader_fail(&c->reader, at, "the operator comes first; write make_node('Conv', ...)");
  return read_keyword(c, name, at);
}

/* ------------------------------------------------------------------------------------------------------- the call */

/* An argument: `name=value` or a value. */
static bool read_argument(call *c) {
  const char *at = c->reader.at;
  const size_t length = cbn_name_length(at);
  char name[NAME_BYTES];
  if (*at == '*')
    return cbn_reader_fail(&c->reader, at, "values in a list or map of arguments are not read; write each by itself");
  c->reader.at += length;
  const bool keyword = length > 0 && cbn_reader_takes(&c->reader, '=');
  if (!keyword) {
    c->reader.at = at;
    return c->node ? read_node_argument(c, NULL, at) : read_position(c);
  }
  if (length >= sizeof name) return cbn_reader_fail(&c->reader, at, "no parameter has so long a name");
  memcpy(name, at, length);
  name[length] = '\0';
  return c->node ? read_node_argument(c, name, at) : read_keyword(c, name, at);
}

static bool read_arguments(call *c) {
  bool comma = true;
  while (!cbn_reader_takes(&c->reader, ')')) {
    const char *at = c->reader.at;
    if (*at == '\0') return cbn_reader_fail(&c->reader, at, "the call has no end; close it with )");
    if (!comma && strchr("+-*/%@<>&|^", *at) != NULL)
      return cbn_reader_fail(&c->reader, at, "arithmetic is not read; write its result");
    if (!comma) return cbn_reader_fail(&c->reader, at, "',' or ')' must stand behind a value, not '%.1s'", at);
    if (!read_argument(c)) return false;
    comma = cbn_reader_takes(&c->reader, ',');
  }
  return true;
}

/* The second call, of what the first has made: tensors alone. */
static bool read_tensors(call *c) {
  bool comma = true;
  for (int i = 0; !cbn_reader_takes(&c->reader, ')'); i++) {
    const char *at = c->reader.at;
    if (!comma || tensor_at(c, i) < 0)
      return cbn_reader_fail(&c->reader, at, "%s takes %d tensors, names with commas between them", c->operator->name,
                             tensor_count(c));
    if (!read_tensor(c, tensor_at(c, i), at)) return false;
    comma = cbn_reader_takes(&c->reader, ',');
  }
  return true;
}

/* `# opset 13` behind the call, on its line. */
static bool read_aside(call *c) {
  const char *name = c->framework->aside, *at = c->reader.at + strspn(c->reader.at, " \t");
  const size_t length = name == NULL ? 0 : strlen(name);
  const cbn_value *value;
  if (name == NULL || strncmp(at, "# ", 2) != 0 || strncmp(at + 2, name, length) != 0 || at[2 + length] != ' ')
    return true;
  if (has(c, name)) return cbn_reader_fail(&c->reader, at, "the parameter %s is given twice", name);
  c->reader.at = at + 2 + length;
  return cbn_reader_literal(&c->reader, &value) && put(c, name, value);
}

/* `conv = torch.nn.Conv2d(`: the operator's name, what is assigned to left aside. */
static bool read_head(call *c, const char **at, char name[NAME_BYTES]) {
  cbn_reader_skip(&c->reader);
  *at = c->reader.at;
  size_t length = cbn_name_length(*at);
  c->reader.at += length;
  if (length > 0 && cbn_reader_takes(&c->reader, '=')) {
    cbn_reader_skip(&c->reader);
    *at = c->reader.at;
    length = cbn_name_length(*at);
    c->reader.at += length;
  }
  if (length == 0 || length >= NAME_BYTES || !cbn_reader_takes(&c->reader, '('))
    return cbn_reader_fail(&c->reader, c->reader.at,
                           "this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)");
  memcpy(name, *at, length);
  name[length] = '\0';
  return true;
}

static bool open_call(call *c, const cbn_dialect *dialect) {
  extern const cbn_dialect cbn_dialect_onnx;
  char name[NAME_BYTES];
  const char *at;
  if (!read_head(c, &at, name)) return false;
  c->node = ends_with("onnx.helper.make_node", name);
  if (!c->node) return find_operator(c, dialect, at, name) && open_operator(c);
  if (dialect != NULL && dialect != &cbn_dialect_onnx) return fail_unknown(c, dialect, at, name, name);
  c->framework = cbn_framework_of(&cbn_dialect_onnx);
  return true;
}

static bool close_call(call *c) {
  const size_t bytes = c->count * sizeof c->keys[0];
  cbn_value *map = cbn_arena_allocate(c->reader.arena, sizeof *map);
  const cbn_value **keys = cbn_arena_allocate(c->reader.arena, bytes);
  const cbn_value **items = cbn_arena_allocate(c->reader.arena, bytes);
  if (map == NULL || keys == NULL || items == NULL)
    return cbn_reader_fail(&c->reader, c->reader.at, "there is no memory left");
  memcpy(keys, c->keys, bytes);
  memcpy(items, c->items, bytes);
  *map = (cbn_value){.kind = CBN_MAP, .as.map = {.keys = keys, .items = items, .count = c->count}};
  c->layer->params = map;
  return true;
}

bool cbn_call_read(const char *text, const cbn_dialect *dialect, cbn_arena *arena, cbn_layer *layer, cbn_error *error) {
  call c = {.reader = {.text = text, .at = text, .arena = arena, .error = error}, .layer = layer};
  *layer = (cbn_layer){0};
  if (!open_call(&c, dialect) || !read_arguments(&c)) return false;
  if (c.operator== NULL)
    return cbn_reader_fail(&c.reader, c.reader.at, "the operator is missing; write make_node('Conv', ...)");
  if (c.twice && cbn_reader_takes(&c.reader, '(') && !read_tensors(&c)) return false;
  if (!read_aside(&c)) return false;
  cbn_reader_takes(&c.reader, ','); /* as in a list of layers */
  cbn_reader_skip(&c.reader);
  if (*c.reader.at != '\0')
    return cbn_reader_fail(&c.reader, c.reader.at, "something stands behind the call; write one call and no more");
  return close_call(&c);
}

/* ------------------------------------------------------------------------------------------------------- files */

static bool read_shape(const char *path, const cbn_value *value, cbn_shape *shape, cbn_error *error) {
  const cbn_value *list = value->kind == CBN_MAP ? cbn_value_get(value, "shape") : value;
  if (list == NULL || list->kind != CBN_LIST || list->as.list.count == 0 || list->as.list.count > CBN_MAX_NATIVE_RANK)
    return cbn_yaml_refuse(error, path, value, "shape", "a tensor is written as {shape: [33, 16, 3, 3]}");
  shape->rank = (int32_t)list->as.list.count;
  for (int32_t a = 0; a < shape->rank; a++) {
    const cbn_value *extent = list->as.list.items[a];
    if (extent->kind != CBN_INTEGER || extent->as.integer < 0)
      return cbn_yaml_refuse(error, path, extent, "shape", "an extent is an integer and not negative");
    shape->extent[a] = extent->as.integer;
  }
  return true;
}

static bool read_entry(const char *path, const cbn_value *key, const cbn_value *item, cbn_layer *layer,
                       cbn_error *error) {
  static const char *const own[] = {"dialect", "operator", "params"};
  for (int i = 0; i < 3; i++)
    if (cbn_value_is(key, own[i])) return true;
  for (int role = CBN_ROLE_WEIGHT; role <= LAST_ROLE; role++)
    if (cbn_value_is(key, cbn_role_name(role))) return read_shape(path, item, &layer->tensor[role], error);
  return cbn_yaml_refuse(
      error, path, key, "unknown-key",
      "a layer has no '%.60s'; it has dialect, operator, params, weight, bias, running_mean, running_var",
      key->as.string.text);
}

bool cbn_layer_read_file(const char *path, cbn_arena *arena, cbn_layer *layer, cbn_error *error) {
  static const cbn_value no_params = {.kind = CBN_MAP};
  const cbn_value *root;
  *layer = (cbn_layer){0};
  CBN_FORWARD(cbn_yaml_load(path, &cbn_yaml_default_limits, arena, &root, error));
  if (root->kind != CBN_MAP)
    return cbn_yaml_refuse(error, path, root, "type",
                           "a layer is a map; write {dialect: pytorch, operator: nn.Conv2d, params: {...}}");
  const cbn_value *dialect = cbn_value_get(root, "dialect"), *operator= cbn_value_get(root, "operator");
  if (dialect == NULL || dialect->kind != CBN_STRING || operator== NULL || operator->kind != CBN_STRING)
    return cbn_yaml_refuse(error, path, root, "missing-key", "a layer has a dialect and an operator, both are names");
  layer->dialect = cbn_dialect_by_name(dialect->as.string.text);
  if (layer->dialect == NULL)
    return cbn_yaml_refuse(error, path, dialect, "unknown-dialect",
                           "there is no dialect '%.60s'; `convbn dialects` lists them", dialect->as.string.text);
  layer->operator= cbn_dialect_find(layer->dialect, operator->as.string.text);
  if (layer->operator== NULL)
    return cbn_yaml_refuse(error, path, operator, "unknown-operator",
                           "%s has no operator '%.60s'; `convbn dialects` lists them",
                           layer->dialect->name, operator->as.string.text);
  layer->params = cbn_value_get(root, "params");
  if (layer->params == NULL) layer->params = &no_params;
  if (layer->params->kind != CBN_MAP)
    return cbn_yaml_refuse(error, path, layer->params, "type", "params is a map of names and values");
  for (size_t i = 0; i < root->as.map.count; i++)
    CBN_FORWARD(read_entry(path, root->as.map.keys[i], root->as.map.items[i], layer, error));
  return true;
}
