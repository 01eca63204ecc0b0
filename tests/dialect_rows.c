/* tests/dialect_rows.c - plans and rejections as text. */
#include "tests/dialect_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialects/dialect.h"
#include "harness/yaml.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { TEXT = 1024 };

typedef struct text {
  size_t length;
  char at[TEXT];
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = vsnprintf(t->at + t->length, TEXT - t->length, format, arguments);
  va_end(arguments);
  assert_true(written >= 0 && t->length + (size_t)written < TEXT);
  t->length += (size_t)written;
}

static void put_list(text *t, const char *name, int count, const int64_t *values, char separator) {
  put(t, "%s", name);
  for (int i = 0; i < count; i++) put(t, "%.*s%" PRId64, i > 0, &separator, values[i]);
  put(t, " ");
}

static void put_convolution(text *t, const cbn_plan *plan) {
  static const char *const modes[] = {"zeros", "reflect", "replicate", "circular"};
  const cbn_conv *c = &plan->conv;
  const struct {
    const char *name;
    const int64_t *values;
  } lists[] = {{"k", c->kernel},    {"s", c->stride},  {"d", c->dilation},
               {"p", c->pad_begin}, {"q", c->pad_end}, {"o", c->output_padding}};
  int64_t extent[CBN_MAX_RANK];
  put_list(t, "out", cbn_conv_extents(c, CBN_ROLE_OUTPUT, extent), extent, 'x');
  put_list(t, "weight", cbn_conv_extents(c, CBN_ROLE_WEIGHT, extent), extent, 'x');
  for (size_t i = 0; i < COUNT(lists); i++) put_list(t, lists[i].name, c->spatial_rank, lists[i].values, ',');
  put(t, "g%" PRId64 " %s %s %s%s", c->groups, modes[c->padding_mode], c->has_bias ? "bias" : "plain",
      c->transposed ? "transposed " : "", plan->unbatched ? "unbatched " : "");
  put(t, "%s", !plan->weight_order.given ? "" : plan->depthwise_weight ? "depthwise-weight " : "kernel-first ");
}

static void put_batchnorm(text *t, const cbn_plan *plan) {
  static const struct {
    const char *name;
    int role;
  } initial[] = {{"mean", CBN_ROLE_RUNNING_MEAN},
                 {"var", CBN_ROLE_RUNNING_VAR},
                 {"gamma", CBN_ROLE_WEIGHT},
                 {"beta", CBN_ROLE_BIAS}};
  const cbn_batchnorm *b = &plan->batchnorm;
  int64_t extent[CBN_MAX_RANK];
  put_list(t, "out", cbn_batchnorm_extents(b, CBN_ROLE_OUTPUT, extent), extent, 'x');
  put(t, "%s %s %s %s m%.9g eps%.9g ", b->statistics == CBN_STATISTICS_BATCH ? "batch" : "running",
      b->update_running ? "update" : "keep", b->has_weight ? "gamma" : "no-gamma", b->has_bias ? "beta" : "no-beta",
      b->new_weight, b->epsilon);
  for (size_t i = 0; i < COUNT(initial); i++)
    if (plan->has_initial[initial[i].role]) put(t, "%s%g ", initial[i].name, plan->initial[initial[i].role]);
}

static const char *read_shape(const char *shape, cbn_shape *result) {
  for (char *end; *shape != '\0' && *shape != ' '; shape = end + (*end == 'x'))
    result->extent[result->rank++] = strtoll(shape, &end, 10);
  return shape + strspn(shape, " ");
}

/* The input's shape and, in `layer`, those of the layer's own tensors. */
static void read_shapes(const char *shapes, cbn_request *request, cbn_shape layer[]) {
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  shapes = read_shape(shapes, &request->input);
  for (size_t i = 0; *shapes != '\0' && i < COUNT(roles); i++) {
    shapes = read_shape(shapes, &layer[i]);
    request->layer[roles[i]] = &layer[i];
  }
}

static void read_types(const char *types, cbn_request *request) {
  const char *colon = types == NULL ? NULL : strchr(types, ':');
  char input[8] = "f32";
  if (colon != NULL) snprintf(input, sizeof input, "%.*s", (int)(colon - types), types);
  request->input_type = cbn_type_by_name(input);
  request->layer_type = cbn_type_by_name(colon == NULL ? "f32" : colon + 1);
  assert_true(request->input_type >= 0 && request->layer_type >= 0);
}

static void plan_as_text(const cbn_dialect_operator *operator, const cbn_dialect_row * row, text *t) {
  cbn_arena *arena = cbn_arena_create(1 << 20);
  cbn_error error;
  cbn_request request = {.training = row->mode == 't'};
  cbn_shape layer[4] = {0};
  cbn_plan plan;
  cbn_rejection rejection = {.rule = CBN_RULE_COUNT};
  assert_non_null(arena);
  if (!cbn_yaml_parse("params", row->params, strlen(row->params), &cbn_yaml_default_limits, arena, &request.params,
                      &error))
    fail_msg("%s: %s", row->params, error.text);
  read_shapes(row->input, &request, layer);
  read_types(row->types, &request);
  put(t, " ");
  const bool plan_is_given = operator->plan(operator, & request, &plan, &rejection);
  if (!plan_is_given) {
    put(t, "!%s %s ", cbn_rule_name((int)rejection.rule), rejection.exception);
    assert_true(strlen(rejection.message) > 5);
  } else if (plan.kind == CBN_OPERATOR_CONV) {
    put_convolution(t, &plan);
  } else {
    put_batchnorm(t, &plan);
  }
  put(t, "%s", plan_is_given && plan.input_order.given ? "channels-last " : "");
  cbn_arena_destroy(arena);
}

static int has_words(const char *t, const char *words) {
  while (*words != '\0') {
    char padded[64];
    const size_t length = strcspn(words, " ");
    snprintf(padded, sizeof padded, " %.*s ", (int)length, words);
    if (strstr(t, padded) == NULL) return 0;
    words += length + (words[length] == ' ');
  }
  return 1;
}

void cbn_check_dialect_rows(const char *dialect, const char *operator_name, const cbn_dialect_row *rows, size_t count) {
  const cbn_dialect_operator *operator= cbn_dialect_find(cbn_dialect_by_name(dialect), operator_name);
  size_t wrong = 0;
  assert_non_null(operator);
  for (size_t i = 0; i < count; i++) {
    text t = {0};
    plan_as_text(operator, & rows[i], &t);
    if (has_words(t.at, rows[i].expected)) continue;
    print_error("%s %s of %s: expected '%s', got '%s'\n", operator_name, rows[i].params, rows[i].input,
                rows[i].expected, t.at);
    wrong++;
  }
  assert_int_equal(wrong, 0);
}
