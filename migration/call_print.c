/* Layers and values, written in Python's syntax. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/call_text.h"
#include "migration/framework.h"
#include "migration/signature.h"

/* A line that is written until it is full. */
typedef struct line {
  char *text;
  size_t size, length;
  bool full;
} line;

static void put_bytes(line *l, const char *bytes, size_t count) {
  const size_t room = l->size - 1 - l->length;
  l->full = l->full || count > room;
  if (l->full && count > room) count = room;
  memcpy(l->text + l->length, bytes, count);
  l->length += count;
}

static void put(line *l, const char *text) { put_bytes(l, text, strlen(text)); }

/* Ends the line, with dots where it was cut, and never within a character of UTF-8. */
static size_t finish(line *l) {
  if (l->full) {
    const size_t dots = l->size - 1 < 3 ? l->size - 1 : 3;
    size_t keep = l->size - 1 - dots;
    while (keep > 0 && ((unsigned char)l->text[keep] & 0xC0) == 0x80) keep--;
    memset(l->text + keep, '.', dots);
    l->length = keep + dots;
  }
  l->text[l->length] = '\0';
  return l->length;
}

/* --------------------------------------------------------------------------------------------------------- literals */

/* As Python's repr: the shortest that reads back, exponents below 1e-4 and from 1e16 on, never like an integer. */
static void put_real(line *l, double real) {
  char text[40];
  if (isnan(real)) {
    put(l, "float('nan')");
    return;
  }
  if (isinf(real)) {
    put(l, real < 0 ? "float('-inf')" : "float('inf')");
    return;
  }
  int digits = 1;
  do snprintf(text, sizeof text, "%.*e", digits - 1, real);
  while (strtod(text, NULL) != real && digits++ < 17);
  const int exponent = atoi(strchr(text, 'e') + 1);
  if (exponent >= -4 && exponent < 16)
    snprintf(text, sizeof text, "%.*f", digits - 1 - exponent > 1 ? digits - 1 - exponent : 1, real);
  else snprintf(text, sizeof text, "%.*e", digits - 1, real);
  put(l, text);
}

/* In single quotes; bytes that are no UTF-8 stay as they are, controls are escaped. */
static void put_string(line *l, const cbn_value *string) {
  put(l, "'");
  for (size_t i = 0; i < string->as.string.length && !l->full; i++) {
    const char c = string->as.string.text[i];
    char escape[8];
    if (c == '\'' || c == '\\') snprintf(escape, sizeof escape, "\\%c", c);
    else if (c == '\n') snprintf(escape, sizeof escape, "\\n");
    else if ((unsigned char)c < 0x20 || c == 0x7F) snprintf(escape, sizeof escape, "\\x%02x", (unsigned)c);
    else snprintf(escape, sizeof escape, "%c", c);
    put(l, escape);
  }
  put(l, "'");
}

static void put_value(line *l, const cbn_value *value, bool brackets);

static void put_list(line *l, const cbn_value *list, bool brackets) {
  put(l, brackets ? "[" : "(");
  for (size_t i = 0; i < list->as.list.count && !l->full; i++) {
    if (i > 0) put(l, ", ");
    put_value(l, list->as.list.items[i], brackets);
  }
  put(l, brackets ? "]" : list->as.list.count == 1 ? ",)" : ")");
}

static void put_map(line *l, const cbn_value *map, bool brackets) {
  put(l, "{");
  for (size_t i = 0; i < map->as.map.count && !l->full; i++) {
    if (i > 0) put(l, ", ");
    put_string(l, map->as.map.keys[i]);
    put(l, ": ");
    put_value(l, map->as.map.items[i], brackets);
  }
  put(l, "}");
}

/* Recursion ends where the line is full: each level writes at least its bracket. */
static void put_value(line *l, const cbn_value *value, bool brackets) {
  char text[32];
  if (l->full) return;
  switch (value->kind) {
  case CBN_NULL: put(l, "None"); break;
  case CBN_BOOLEAN: put(l, value->as.boolean ? "True" : "False"); break;
  case CBN_INTEGER:
    snprintf(text, sizeof text, "%" PRId64, value->as.integer);
    put(l, text);
    break;
  case CBN_REAL: put_real(l, value->as.real); break;
  case CBN_STRING: put_string(l, value); break;
  case CBN_LIST: put_list(l, value, brackets); break;
  case CBN_MAP: put_map(l, value, brackets); break;
  }
}

size_t cbn_literal_print(const cbn_value *value, char *text, size_t size) {
  line l = {.text = text, .size = size};
  if (size == 0) return 0;
  put_value(&l, value, false);
  return finish(&l);
}

/* ------------------------------------------------------------------------------------------------------------ calls */

/* A call being written. */
typedef struct call {
  line line;
  const cbn_layer *layer;
  const cbn_framework *framework;
  bool node;       /* of ONNX: onnx.helper.make_node */
  bool by_keyword; /* from here on */
  int arguments;
} call;

static void begin_argument(call *c, const char *name) {
  if (c->arguments++ > 0) put(&c->line, ", ");
  if (c->by_keyword) {
    put(&c->line, name);
    put(&c->line, "=");
  }
}

static void put_argument(call *c, const char *name, const cbn_value *value) {
  begin_argument(c, name);
  put_value(&c->line, value, c->node);
}

/* The input and a convolution's weight are always there. */
static bool has_tensor(const call *c, int role) {
  const bool always = role == CBN_ROLE_WEIGHT && c->layer->operator->kind == CBN_OPERATOR_CONV;
  return role == CBN_ROLE_INPUT || always || c->layer->tensor[role].rank != 0;
}

static const char *name_of(const call *c, int role) { return c->framework->tensor_name(c->layer->operator, role); }

static void put_tensors(call *c) {
  static const int in_order[] = {CBN_ROLE_INPUT,        CBN_ROLE_WEIGHT,      CBN_ROLE_BIAS,
                                 CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR, -1};
  const int *roles = c->framework->arguments != NULL ? c->framework->arguments(c->layer->operator) : NULL;
  for (roles = roles != NULL ? roles : in_order; *roles >= 0; roles++) {
    if (name_of(c, *roles) == NULL) continue;
    if (!has_tensor(c, *roles)) {
      c->by_keyword = true;
      continue;
    }
    begin_argument(c, name_of(c, *roles));
    put(&c->line, name_of(c, *roles));
  }
}

/* 'Conv', inputs=['X', 'W'], outputs=['Y']; an input that is left out is '' where others follow. Who trains has
 * the new statistics as outputs, too. */
static void put_node(call *c) {
  const cbn_value *training = cbn_value_get(c->layer->params, "training_mode");
  const bool trains = training != NULL && training->kind == CBN_INTEGER && training->as.integer != 0;
  int left_out = 0;
  put(&c->line, "'");
  put(&c->line, c->layer->operator->name);
  put(&c->line, "', inputs=[");
  for (int role = CBN_ROLE_INPUT; role <= CBN_ROLE_RUNNING_VAR; role++) {
    if (name_of(c, role) == NULL || !has_tensor(c, role)) {
      left_out += name_of(c, role) != NULL;
      continue;
    }
    for (; left_out > 0; left_out--) put(&c->line, ", ''");
    put(&c->line, role == CBN_ROLE_INPUT ? "'" : ", '");
    put(&c->line, name_of(c, role));
    put(&c->line, "'");
  }
  put(&c->line, "], outputs=['Y'");
  if (trains) put(&c->line, ", 'running_mean', 'running_var'");
  put(&c->line, "]");
  c->arguments = 1;
  c->by_keyword = true;
}

static bool is_aside(const call *c, const char *name) {
  return c->framework->aside != NULL && strcmp(c->framework->aside, name) == 0;
}

/* Is a default worth reading? Not how new tensors begin and what training does to them. */
static bool says_something(const call *c, const char *name) {
  static const char *const ends[] = {"_initializer", "_init", "_regularizer", "_constraint"};
  const bool hidden = c->framework->hides != NULL && c->framework->hides(c->layer->operator, c->layer->params, name);
  const size_t length = strlen(name);
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
    if (length > strlen(ends[i]) && strcmp(name + length - strlen(ends[i]), ends[i]) == 0) return false;
  return !hidden && !cbn_says_nothing(name);
}

static void put_parameters(call *c, const cbn_signature *signature, bool whole) {
  const cbn_value *params = c->layer->params;
  for (int i = 0; i < signature->count; i++) {
    const cbn_parameter_info *info = &signature->parameter[i];
    const cbn_value *value = cbn_value_get(params, info->name);
    c->by_keyword = c->by_keyword || value == NULL || !info->required;
    if (is_aside(c, info->name)) continue;
    if (value == NULL && whole && says_something(c, info->name)) value = info->fallback;
    if (value != NULL) put_argument(c, info->name, value);
  }
  c->by_keyword = true;
  for (size_t i = 0; params != NULL && i < params->as.map.count; i++) {
    const char *name = params->as.map.keys[i]->as.string.text;
    if (cbn_signature_find(signature, name) == NULL) put_argument(c, name, params->as.map.items[i]);
  }
}

/* What no program writes in the call. */
static void put_aside(call *c) {
  const cbn_value *value = c->framework->aside == NULL ? NULL : cbn_value_get(c->layer->params, c->framework->aside);
  if (value == NULL) return;
  put(&c->line, "  # ");
  put(&c->line, c->framework->aside);
  put(&c->line, " ");
  put_value(&c->line, value, c->node);
}

static void put_call(call *c, const cbn_signature *signature, bool whole) {
  const cbn_dialect_operator *operator= c->layer->operator;
  const bool twice = c->framework->calls_twice != NULL && c->framework->calls_twice(operator);
  char name[128];
  cbn_framework_full_name(c->framework, operator, name, sizeof name);
  put(&c->line, c->node ? "onnx.helper.make_node" : name);
  put(&c->line, "(");
  if (c->node) put_node(c);
  else if (c->framework->takes_tensors(operator) && !twice) put_tensors(c);
  put_parameters(c, signature, whole);
  put(&c->line, ")");
  if (twice) {
    put(&c->line, "(");
    c->arguments = 0;
    c->by_keyword = false;
    put_tensors(c);
    put(&c->line, ")");
  }
  put_aside(c);
}

size_t cbn_call_print(const cbn_layer *layer, bool whole, char *text, size_t size) {
  enum { SIGNATURE_BYTES = 1 << 16 };
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  call c = {.line = {.text = text, .size = size},
            .layer = layer,
            .framework = framework,
            .node = framework->module[0] == '\0'};
  cbn_arena *arena = cbn_arena_create(SIGNATURE_BYTES);
  cbn_signature signature = {0};
  if (arena != NULL) cbn_signature_read(layer->operator, arena, &signature);
  if (size > 0) put_call(&c, &signature, whole);
  cbn_arena_destroy(arena);
  return size > 0 ? finish(&c.line) : 0;
}
