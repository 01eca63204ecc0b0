#include "harness/case_parser.h"

#include <stdio.h>
#include <string.h>

#include "harness/tensor_parser.h"
#include "harness/yaml.h"

#define REFUSE(parser, at, rule, ...) return cbn_yaml_refuse(error, (parser)->file, (at), (rule), __VA_ARGS__)

/* -------------------------------------------------------------------------------------------- keys and texts */

static bool is_among(const cbn_value *name, const char *const *names) {
  for (; *names != NULL; names++)
    if (cbn_value_is(name, *names)) return true;
  return false;
}

/* A map with no other keys than `names`. */
static bool check_map(const cbn_case_parser *p, const cbn_value *map, const cbn_value *at, const char *what,
                      const char *const *names, cbn_error *error) {
  if (map == NULL || map->kind != CBN_MAP)
    REFUSE(p, at, "type", "%s must be a map, got a %s", what, map == NULL ? "null" : cbn_value_kind_name(map->kind));
  for (size_t i = 0; i < map->as.map.count; i++)
    if (!is_among(map->as.map.keys[i], names))
      REFUSE(p, map->as.map.keys[i], "unknown-key", "%s has no key '%.60s'", what, map->as.map.keys[i]->as.string.text);
  return true;
}

/* The string under `key`; NULL where it is left out, which `required` forbids. */
static bool read_string(const cbn_case_parser *p, const cbn_value *map, const char *key, bool required,
                        const char **text, cbn_error *error) {
  const cbn_value *value = cbn_value_get(map, key);
  *text = NULL;
  if (value == NULL && !required) return true;
  if (value == NULL) REFUSE(p, map, "missing-key", "'%s' is missing", key);
  if (value->kind != CBN_STRING)
    REFUSE(p, value, "type", "'%s' must be a string, got a %s", key, cbn_value_kind_name(value->kind));
  if (strlen(value->as.string.text) != value->as.string.length || value->as.string.length == 0)
    REFUSE(p, value, "type", "'%s' must not be empty or hold a NUL character", key);
  *text = value->as.string.text;
  return true;
}

/* A string or a list of strings. */
static bool read_strings(const cbn_case_parser *p, const cbn_value *map, const char *key, const char *const **texts,
                         size_t *count, cbn_error *error) {
  const cbn_value *value = cbn_value_get(map, key);
  *count = 0;
  if (value == NULL) return true;
  const bool list = value->kind == CBN_LIST;
  const size_t length = list ? value->as.list.count : 1;
  const char **array = cbn_arena_allocate(p->arena, (length + 1) * sizeof *array);
  if (array == NULL) REFUSE(p, value, "memory", "the file needs more than it may");
  for (size_t i = 0; i < length; i++) {
    const cbn_value *item = list ? value->as.list.items[i] : value;
    if (item->kind != CBN_STRING)
      REFUSE(p, item, "type", "'%s' must be strings, got a %s", key, cbn_value_kind_name(item->kind));
    array[i] = item->as.string.text;
  }
  *texts = array;
  *count = length;
  return true;
}

/* A list of maps under `key`, empty where it is left out. */
static bool read_list(const cbn_case_parser *p, const cbn_value *map, const char *key, const cbn_value *const **items,
                      size_t *count, cbn_error *error) {
  const cbn_value *value = cbn_value_get(map, key);
  *count = 0;
  if (value == NULL) return true;
  if (value->kind != CBN_LIST)
    REFUSE(p, value, "type", "'%s' must be a list, got a %s", key, cbn_value_kind_name(value->kind));
  *items = value->as.list.items;
  *count = value->as.list.count;
  return true;
}

/* ----------------------------------------------------------------------------------------------- expectations */

static bool read_tensor(const cbn_case_parser *p, const cbn_value *map, int role, const cbn_tensor_source **source,
                        cbn_error *error) {
  const cbn_value *node = cbn_value_get(map, cbn_role_name(role));
  if (node == NULL || node->kind == CBN_NULL) return true;
  cbn_tensor_source *parsed = cbn_arena_allocate(p->arena, sizeof *parsed);
  if (parsed == NULL) REFUSE(p, node, "memory", "the file needs more than it may");
  *source = parsed;
  return cbn_parse_tensor(p->file, node, cbn_role_name(role), parsed, error);
}

static bool read_rejection(const cbn_case_parser *p, const cbn_value *map, cbn_expectation *expect, cbn_error *error) {
  static const char *const keys[] = {"rule", "exception", "message", NULL};
  const cbn_value *node = cbn_value_get(map, "rejected");
  const char *rule;
  expect->rule = -1;
  if (node == NULL) return true;
  expect->rejected = true;
  if (node->kind == CBN_NULL) return true;
  if (!check_map(p, node, node, "rejected", keys, error) || !read_string(p, node, "rule", false, &rule, error) ||
      !read_string(p, node, "exception", false, &expect->exception, error) ||
      !read_string(p, node, "message", false, &expect->message, error))
    return false;
  if (rule != NULL && (expect->rule = cbn_rule_by_name(rule)) < 0)
    REFUSE(p, cbn_value_get(node, "rule"), "unknown-rule", "there is no rule '%.60s'; `convbn rules` lists them", rule);
  return true;
}

/* `both: a|b` as one string or a list: true where both variants are named. */
static bool names_both(const cbn_value *value, const char *a, const char *b) {
  char joined[64], swapped[64];
  if (value->kind == CBN_LIST)
    return value->as.list.count == 2 &&
           ((cbn_value_is(value->as.list.items[0], a) && cbn_value_is(value->as.list.items[1], b)) ||
            (cbn_value_is(value->as.list.items[0], b) && cbn_value_is(value->as.list.items[1], a)));
  snprintf(joined, sizeof joined, "%s|%s", a, b);
  snprintf(swapped, sizeof swapped, "%s|%s", b, a);
  return cbn_value_is(value, joined) || cbn_value_is(value, swapped);
}

static bool read_acceptable(const cbn_case_parser *p, const cbn_value *map, cbn_expectation *expect, cbn_error *error) {
  static const struct {
    const char *key, *a, *b;
    enum cbn_acceptable bit;
  } variants[] = {{"runvar", "biased", "unbiased", CBN_ACCEPT_RUNVAR_EITHER},
                  {"empty-output", "error", "empty", CBN_ACCEPT_EMPTY_EITHER}};
  static const char *const keys[] = {"runvar", "empty-output", NULL};
  const cbn_value *node = cbn_value_get(map, "acceptable");
  if (node == NULL) return true;
  if (!check_map(p, node, node, "acceptable", keys, error)) return false;
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
    const cbn_value *value = cbn_value_get(node, variants[i].key);
    if (value == NULL) continue;
    if (!names_both(value, variants[i].a, variants[i].b))
      REFUSE(p, value, "acceptable", "'%s' must be %s|%s", variants[i].key, variants[i].a, variants[i].b);
    expect->acceptable |= (unsigned)variants[i].bit;
  }
  return true;
}

const int cbn_result_roles[CBN_RESULT_ROLES] = {CBN_ROLE_OUTPUT,     CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR,
                                                CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT,  CBN_ROLE_GRAD_BIAS};

static bool read_expectation(const cbn_case_parser *p, const cbn_value *map, const cbn_value *at,
                             cbn_expectation *expect, cbn_error *error) {
  static const char *const keys[] = {"output",       "running_mean", "running_var", "grad_input",
                                     "grad_weight",  "grad_bias",    "rejected",    "same_as",
                                     "differs_from", "acceptable",   NULL};
  expect->node = map;
  if (!check_map(p, map, at, "expect", keys, error)) return false;
  bool tensors = false;
  for (int i = 0; i < CBN_RESULT_ROLES; i++) {
    if (!read_tensor(p, map, cbn_result_roles[i], &expect->tensor[cbn_result_roles[i]], error)) return false;
    tensors = tensors || expect->tensor[cbn_result_roles[i]] != NULL;
  }
  if (!read_rejection(p, map, expect, error) ||
      !read_strings(p, map, "same_as", &expect->same_as, &expect->same_count, error) ||
      !read_strings(p, map, "differs_from", &expect->differs_from, &expect->differs_count, error) ||
      !read_acceptable(p, map, expect, error))
    return false;
  if (expect->rejected && tensors) REFUSE(p, map, "expect", "a call is rejected or has results, not both");
  if (!expect->rejected && !tensors && expect->same_count == 0 && expect->differs_count == 0 && expect->acceptable == 0)
    REFUSE(p, at, "expect", "nothing is expected; name an output, a shape or a rejection");
  return true;
}

/* ------------------------------------------------------------------------------------------------------ steps */

static bool read_mode(const cbn_case_parser *p, const cbn_value *map, enum cbn_mode *mode, cbn_error *error) {
  const cbn_value *value = cbn_value_get(map, "mode");
  if (value == NULL) *mode = CBN_MODE_DEFAULT;
  else if (cbn_value_is(value, "train")) *mode = CBN_MODE_TRAIN;
  else if (cbn_value_is(value, "eval")) *mode = CBN_MODE_EVAL;
  else REFUSE(p, value, "mode", "'mode' must be train or eval");
  return true;
}

/* What a constructor refuses needs no input. */
static const cbn_tensor_source no_input = {.has_shape = true, .shape.rank = -1};

static bool expects_gradients(const cbn_expectation *expect) {
  return expect->tensor[CBN_ROLE_GRAD_INPUT] != NULL || expect->tensor[CBN_ROLE_GRAD_WEIGHT] != NULL ||
         expect->tensor[CBN_ROLE_GRAD_BIAS] != NULL;
}

/* A call. Its input and grad_output stand with the step, or once with the case's tensors. */
static bool read_call(const cbn_case_parser *p, const cbn_value *map, const cbn_value *inputs,
                      const cbn_value *otherwise, cbn_step *step, cbn_error *error) {
  const cbn_value *expect = cbn_value_get(map, "expect");
  if (!read_mode(p, map, &step->mode, error)) return false;
  if (expect == NULL) REFUSE(p, map, "missing-key", "'expect' is missing");
  const cbn_value *of_input = cbn_value_get(inputs, "input") == NULL ? otherwise : inputs;
  const cbn_value *of_grad = cbn_value_get(inputs, "grad_output") == NULL ? otherwise : inputs;
  if (!read_tensor(p, of_input, CBN_ROLE_INPUT, &step->input, error) ||
      !read_tensor(p, of_grad, CBN_ROLE_GRAD_OUTPUT, &step->grad_output, error) ||
      !read_expectation(p, expect, expect, &step->expect, error))
    return false;
  if (step->input == NULL && !step->expect.rejected) REFUSE(p, map, "missing-tensor", "the tensor 'input' is missing");
  if (step->input == NULL) step->input = &no_input;
  if (step->grad_output == NULL && expects_gradients(&step->expect))
    REFUSE(p, expect, "missing-tensor", "a gradient is expected, but there is no 'grad_output'");
  return true;
}

/* `params` with those of `changes` in the place of its own. */
static bool merge_params(const cbn_case_parser *p, const cbn_value *params, const cbn_value *changes,
                         const cbn_value **merged, cbn_error *error) {
  const size_t most = (params != NULL ? params->as.map.count : 0) + changes->as.map.count;
  cbn_value *map = cbn_arena_allocate(p->arena, sizeof *map);
  const cbn_value **keys = cbn_arena_allocate(p->arena, (most + 1) * sizeof *keys);
  const cbn_value **items = cbn_arena_allocate(p->arena, (most + 1) * sizeof *items);
  if (map == NULL || keys == NULL || items == NULL) REFUSE(p, changes, "memory", "the file needs more than it may");
  size_t count = 0;
  for (size_t i = 0; params != NULL && i < params->as.map.count; i++) {
    if (cbn_value_get(changes, params->as.map.keys[i]->as.string.text) != NULL) continue;
    keys[count] = params->as.map.keys[i];
    items[count++] = params->as.map.items[i];
  }
  for (size_t i = 0; i < changes->as.map.count; i++) {
    keys[count] = changes->as.map.keys[i];
    items[count++] = changes->as.map.items[i];
  }
  *map = *changes;
  map->as.map.keys = keys;
  map->as.map.items = items;
  map->as.map.count = count;
  *merged = map;
  return true;
}

static bool may_change(const cbn_dialect_operator *operator, const cbn_value *name) {
  for (const char *const *known = operator->changeable; known != NULL && *known != NULL; known++)
    if (cbn_value_is(name, *known)) return true;
  return false;
}

/* What a step does to the layer before its call: reset, params, tensors. `params` are those in force before. */
static bool read_changes(const cbn_case_parser *p, const cbn_value *map, const cbn_value *params, cbn_step *step,
                         cbn_error *error) {
  static const char *const loaded[] = {"weight", "bias", "running_mean", "running_var", NULL};
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  const cbn_value *reset = cbn_value_get(map, "reset"), *changes = cbn_value_get(map, "params");
  const cbn_value *tensors = cbn_value_get(map, "tensors");
  step->params = params;
  if (reset != NULL && reset->kind != CBN_BOOLEAN) REFUSE(p, reset, "type", "'reset' must be true or false");
  step->reset = reset != NULL && reset->as.boolean;
  if (step->reset && !p->operator->resets)
    REFUSE(p, reset, "reset", "%s of %s has no way to reset its statistics", p->operator->name, p->dialect->name);
  if (changes != NULL) {
    if (changes->kind != CBN_MAP)
      REFUSE(p, changes, "type", "params must be a map, got a %s", cbn_value_kind_name(changes->kind));
    for (size_t i = 0; i < changes->as.map.count; i++)
      if (!may_change(p->operator, changes->as.map.keys[i]))
        REFUSE(p, changes->as.map.keys[i], "params", "%s of %s does not let '%.60s' change between calls",
               p->operator->name, p->dialect->name, changes->as.map.keys[i]->as.string.text);
    if (!merge_params(p, params, changes, &step->params, error)) return false;
  }
  if (tensors == NULL) return true;
  if (!check_map(p, tensors, tensors, "the tensors of a step", loaded, error)) return false;
  for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
    if (!read_tensor(p, tensors, roles[i], &step->load[roles[i]], error)) return false;
  return true;
}

static bool read_steps(const cbn_case_parser *p, const cbn_value *map, cbn_case *golden, cbn_error *error) {
  static const char *const keys[] = {"reset", "params", "tensors", "mode", "input", "grad_output", "expect", NULL};
  const cbn_value *tensors = cbn_value_get(map, "tensors"), *const * items;
  golden->has_steps = cbn_value_get(map, "steps") != NULL;
  golden->step_count = 1;
  if (golden->has_steps && !read_list(p, map, "steps", &items, &golden->step_count, error)) return false;
  if (golden->step_count == 0) REFUSE(p, cbn_value_get(map, "steps"), "steps", "there must be a step");
  cbn_step *steps = cbn_arena_allocate(p->arena, golden->step_count * sizeof *steps);
  if (steps == NULL) REFUSE(p, map, "memory", "the file needs more than it may");
  golden->steps = steps;
  steps[0].params = golden->params;
  if (!golden->has_steps) return read_call(p, map, tensors, NULL, steps, error);
  if (cbn_value_get(map, "expect") != NULL || cbn_value_get(map, "mode") != NULL)
    REFUSE(p, cbn_value_get(map, "steps"), "steps", "with 'steps', mode and expect stand in the steps");
  for (size_t i = 0; i < golden->step_count; i++) {
    if (!check_map(p, items[i], items[i], "a step", keys, error) ||
        !read_changes(p, items[i], i == 0 ? golden->params : steps[i - 1].params, &steps[i], error) ||
        !read_call(p, items[i], items[i], tensors, &steps[i], error))
      return false;
  }
  return true;
}

/* --------------------------------------------------------------------------------------- documents and engines */

static bool read_claims(const cbn_case_parser *p, const cbn_value *map, cbn_case *golden, cbn_error *error) {
  static const char *const keys[] = {"document", "claim", "status", "by", "expect", NULL};
  const cbn_value *const *items;
  if (!read_list(p, map, "documented", &items, &golden->claim_count, error)) return false;
  cbn_claim *claims = cbn_arena_allocate(p->arena, (golden->claim_count + 1) * sizeof *claims);
  if (claims == NULL) REFUSE(p, map, "memory", "the file needs more than it may");
  golden->claims = claims;
  for (size_t i = 0; i < golden->claim_count; i++) {
    const char *status;
    if (!check_map(p, items[i], items[i], "a document's claim", keys, error) ||
        !read_string(p, items[i], "document", true, &claims[i].document, error) ||
        !read_string(p, items[i], "claim", true, &claims[i].text, error) ||
        !read_string(p, items[i], "status", true, &status, error) ||
        !read_string(p, items[i], "by", true, &claims[i].by, error))
      return false;
    claims[i].refuted = strcmp(status, "refuted") == 0;
    claims[i].expect.rule = -1;
    if (!claims[i].refuted && strcmp(status, "confirmed") != 0)
      REFUSE(p, cbn_value_get(items[i], "status"), "status", "'status' must be confirmed or refuted");
    const cbn_value *expect = cbn_value_get(items[i], "expect");
    claims[i].has_expect = expect != NULL;
    if (expect == NULL && claims[i].refuted)
      REFUSE(p, items[i], "missing-key", "a refuted claim says in 'expect' what would come out if it were true");
    if (expect != NULL && !read_expectation(p, expect, expect, &claims[i].expect, error)) return false;
  }
  return true;
}

static bool read_upstream(const cbn_case_parser *p, const cbn_value *map, cbn_case *golden, cbn_error *error) {
  static const char *const keys[] = {"engine", "note", "observed", NULL};
  const cbn_value *const *items;
  if (!read_list(p, map, "upstream", &items, &golden->upstream_count, error)) return false;
  cbn_upstream *upstream = cbn_arena_allocate(p->arena, (golden->upstream_count + 1) * sizeof *upstream);
  if (upstream == NULL) REFUSE(p, map, "memory", "the file needs more than it may");
  golden->upstream = upstream;
  for (size_t i = 0; i < golden->upstream_count; i++) {
    const cbn_value *observed = cbn_value_get(items[i], "observed");
    if (!check_map(p, items[i], items[i], "an upstream note", keys, error) ||
        !read_string(p, items[i], "engine", true, &upstream[i].engine, error) ||
        !read_string(p, items[i], "note", true, &upstream[i].note, error))
      return false;
    if (observed == NULL) REFUSE(p, items[i], "missing-key", "'observed' is missing");
    if (!read_expectation(p, observed, observed, &upstream[i].observed, error)) return false;
  }
  return true;
}

/* -------------------------------------------------------------------------------------------------- file, case */

static bool is_by_hand(const char *source) { return strncmp(source, "by hand", strlen("by hand")) == 0; }

static bool read_case_tensors(const cbn_case_parser *p, const cbn_value *map, cbn_case *golden, cbn_error *error) {
  static const char *const keys[] = {"input", "weight", "bias", "running_mean", "running_var", "grad_output", NULL};
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  const cbn_value *tensors = cbn_value_get(map, "tensors");
  if (tensors == NULL || tensors->kind == CBN_NULL) return true;
  if (!check_map(p, tensors, tensors, "tensors", keys, error)) return false;
  for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
    if (!read_tensor(p, tensors, roles[i], &golden->tensor[roles[i]], error)) return false;
  return true;
}

static bool read_layout(const cbn_case_parser *p, const cbn_value *map, cbn_case *golden, cbn_error *error) {
  const cbn_value *value = cbn_value_get(map, "layout");
  const bool last = cbn_value_is(value, "channels_last") || cbn_value_is(value, "NHWC");
  const bool strided = cbn_value_is(value, "strided");
  const bool mixed = cbn_value_is(value, "mixed");
  const bool pitched = cbn_value_is(value, "pitched");
  golden->layout = last      ? CBN_CHANNELS_LAST
                   : strided ? CBN_STRIDED
                   : mixed   ? CBN_MIXED
                   : pitched ? CBN_PITCHED
                             : CBN_CONTIGUOUS;
  if (value != NULL && golden->layout == CBN_CONTIGUOUS && !cbn_value_is(value, "contiguous") &&
      !cbn_value_is(value, "NCHW"))
    REFUSE(p, value, "layout", "'layout' must be contiguous, channels_last, strided, mixed or pitched");
  const cbn_value *in_place = cbn_value_get(map, "in_place");
  if (in_place != NULL && in_place->kind != CBN_BOOLEAN)
    REFUSE(p, in_place, "type", "'in_place' must be true or false");
  golden->in_place = in_place != NULL && in_place->as.boolean;
  if (golden->in_place && p->operator->kind != CBN_OPERATOR_BATCHNORM)
    REFUSE(p, in_place, "in-place", "only a batch normalization can work in place");
  if (golden->in_place && mixed) REFUSE(p, in_place, "in-place", "what works in place has one layout, not a mixed one");
  return true;
}

static bool check_id(const cbn_case_parser *p, const cbn_value *map, const char *id, cbn_error *error) {
  if (strlen(id) > 200) REFUSE(p, cbn_value_get(map, "id"), "id", "an id has at most 200 characters");
  for (const char *c = id; *c != '\0'; c++) /* so that it is one word of a selection and of a shell */
    if (*c <= ' ' || *c > '~' || strchr("()'\"\\`$", *c) != NULL)
      REFUSE(p, cbn_value_get(map, "id"), "id",
             "an id has printable ASCII characters, none of them a space, quote, bracket, \\ or $");
  return true;
}

bool cbn_parse_case(const cbn_case_parser *p, size_t i, cbn_case *golden, cbn_error *error) {
  static const char *const keys[] = {"id",       "comment", "flags",  "source", "params",     "tensors",  "layout",
                                     "in_place", "mode",    "expect", "steps",  "documented", "upstream", NULL};
  const cbn_value *map = p->cases[i], *params;
  if (!check_map(p, map, map, "a case", keys, error)) return false;
  *golden = (cbn_case){.file = p->file, .line = map->line, .dialect = p->dialect, .operator= p->operator};
  if (!read_string(p, map, "id", true, &golden->id, error) || !check_id(p, map, golden->id, error) ||
      !read_string(p, map, "comment", false, &golden->comment, error) ||
      !read_string(p, map, "source", false, &golden->source, error) ||
      !read_strings(p, map, "flags", &golden->flags, &golden->flag_count, error))
    return false;
  if (golden->source == NULL) golden->source = p->source;
  golden->by_hand = is_by_hand(golden->source);
  params = cbn_value_get(map, "params");
  if (params != NULL && params->kind != CBN_MAP)
    REFUSE(p, params, "type", "params must be a map, got a %s", cbn_value_kind_name(params->kind));
  golden->params = params;
  return read_case_tensors(p, map, golden, error) && read_layout(p, map, golden, error) &&
         read_steps(p, map, golden, error) && read_claims(p, map, golden, error) &&
         read_upstream(p, map, golden, error);
}

bool cbn_parse_header(cbn_case_parser *p, const cbn_value *root, cbn_error *error) {
  static const char *const keys[] = {"format", "dialect", "operator", "source", "recorded", "cases", NULL};
  const char *dialect, *operator;
  if (!check_map(p, root, root, "a case file", keys, error)) return false;
  const cbn_value *format = cbn_value_get(root, "format");
  if (format == NULL) REFUSE(p, root, "missing-key", "'format' is missing; write `format: 1`");
  if (format->kind != CBN_INTEGER || format->as.integer != 1)
    REFUSE(p, format, "format", "this program reads format 1");
  if (!read_string(p, root, "dialect", true, &dialect, error) ||
      !read_string(p, root, "operator", true, &operator, error) ||
      !read_string(p, root, "source", true, &p->source, error) ||
      !read_list(p, root, "cases", &p->cases, &p->case_count, error))
    return false;
  p->dialect = cbn_dialect_by_name(dialect);
  if (p->dialect == NULL)
    REFUSE(p, cbn_value_get(root, "dialect"), "dialect", "there is no dialect '%.60s'; `convbn dialects` lists them",
           dialect);
  p->operator= cbn_dialect_find(p->dialect, operator);
  if (p->operator== NULL)
    REFUSE(p, cbn_value_get(root, "operator"), "operator",
           "%s has no operator '%.60s' here; `convbn dialects` lists them", dialect, operator);
  if (p->case_count == 0) REFUSE(p, root, "no-cases", "the file has no cases");
  return true;
}
