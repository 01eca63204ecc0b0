/* tests/test_dialects.c - what the frameworks accept and refuse, against docs/framework-rules.md: defaults, conversions,
 * each rejection, and which rule speaks where several are broken. Parameters are written as in case files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialects/dialect.h"
#include "harness/yaml.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ------------------------------------------------------------------------------------------- a plan as one line */

enum { TEXT = 1024 };

static size_t put(char *text, size_t length, const char *format, ...) __attribute__((format(printf, 3, 4)));
static size_t put(char *text, size_t length, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = vsnprintf(text + length, TEXT - length, format, arguments);
  va_end(arguments);
  assert_true(written >= 0 && length + (size_t)written < TEXT);
  return length + (size_t)written;
}

/* ` in1x4x9x9 out1x6x7x7 k3,3 s1,1 d1,1 p0,0,0,0 g1 zeros bias unbatched`; p as top, bottom, left, right. */
static void print_conv(const cbn_plan *plan, char *text) {
  static const char *const modes[] = {"zeros", "reflect", "replicate", "circular"};
  const cbn_conv *c = &plan->conv;
  int64_t in[CBN_MAX_RANK], out[CBN_MAX_RANK];
  assert_int_equal(cbn_conv_extents(c, CBN_ROLE_INPUT, in), 4);
  assert_int_equal(cbn_conv_extents(c, CBN_ROLE_OUTPUT, out), 4);
  put(text, 0, " in%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " out%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64
      " k%" PRId64 ",%" PRId64 " s%" PRId64 ",%" PRId64 " d%" PRId64 ",%" PRId64 " p%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
      " g%" PRId64 " %s%s%s%s%s ", in[0], in[1], in[2], in[3], out[0], out[1], out[2], out[3], c->kernel[0], c->kernel[1],
      c->stride[0], c->stride[1], c->dilation[0], c->dilation[1], c->pad_begin[0], c->pad_end[0], c->pad_begin[1],
      c->pad_end[1], c->groups, modes[c->padding_mode], c->has_bias ? " bias" : " plain", plan->unbatched ? " unbatched" : "",
      c->transposed ? " transposed" : "", plan->has_initial[CBN_ROLE_WEIGHT] ? " weight-given" : "");
  if (plan->has_initial[CBN_ROLE_WEIGHT]) put(text, strlen(text), "w=%g ", plan->initial[CBN_ROLE_WEIGHT]);
  if (plan->has_initial[CBN_ROLE_BIAS]) put(text, strlen(text), "b=%g ", plan->initial[CBN_ROLE_BIAS]);
}

/* ` in2x3x4x5 batch update unbiased eps=1e-05 m=0.1 gamma beta mean0=0 var0=1 gamma0=1 beta0=0 ` */
static void print_batchnorm(const cbn_plan *plan, char *text) {
  static const struct {
    const char *name;
    int role;
  } initial[] = {{"mean0", CBN_ROLE_RUNNING_MEAN}, {"var0", CBN_ROLE_RUNNING_VAR}, {"gamma0", CBN_ROLE_WEIGHT}, {"beta0", CBN_ROLE_BIAS}};
  const cbn_batchnorm *b = &plan->batchnorm;
  size_t n = put(text, 0, " in%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " %s %s %s eps=%.9g m=%.9g %s %s ", b->batch, b->channels,
                 b->extent[0], b->extent[1], b->statistics == CBN_STATISTICS_BATCH ? "batch" : "running",
                 b->update_running ? "update" : "keep", b->running_variance == CBN_VARIANCE_UNBIASED ? "unbiased" : "biased",
                 b->epsilon, b->new_weight, b->has_weight ? "gamma" : "no-gamma", b->has_bias ? "beta" : "no-beta");
  for (size_t i = 0; i < COUNT(initial); i++)
    if (plan->has_initial[initial[i].role]) n = put(text, n, "%s=%g ", initial[i].name, plan->initial[initial[i].role]);
}

/* What a dialect makes of parameters and an input's shape (`1x4x9x9`), or ` !rule Exception `; `message` may be NULL. */
static void plan_as_text(const char *dialect, const char *operator_name, const char *params, const char *shape, bool training,
                         int64_t trained, char text[TEXT], char message[256]) {
  cbn_arena *arena = cbn_arena_create(1 << 20);
  cbn_error error;
  cbn_request request = {.training = training, .trained = trained};
  cbn_plan plan;
  cbn_rejection rejection = {.rule = CBN_RULE_COUNT};
  assert_non_null(arena);
  if (!cbn_yaml_parse("params", params, strlen(params), &cbn_yaml_default_limits, arena, &request.params, &error))
    fail_msg("%s: %s", params, error.text);
  for (char *at = (char *)(uintptr_t)shape; *at != '\0'; at += *at == 'x') request.input.extent[request.input.rank++] = strtoll(at, &at, 10);
  const cbn_dialect_operator *operator = cbn_dialect_find(cbn_dialect_by_name(dialect), operator_name);
  assert_non_null(operator);
  if (!operator->plan(operator, &request, &plan, &rejection)) {
    put(text, 0, " !%s %s ", cbn_rule_name((int)rejection.rule), rejection.exception);
    if (strlen(rejection.message) < 5) fail_msg("%s: the message is '%s'", params, rejection.message);
    if (message != NULL) memcpy(message, rejection.message, sizeof rejection.message);
  } else if (plan.kind == CBN_OPERATOR_CONV) {
    print_conv(&plan, text);
  } else {
    print_batchnorm(&plan, text);
  }
  cbn_arena_destroy(arena);
}

/* One line of a table: the parameters besides the required ones, unless they are written out in braces; the input's shape;
 * words that must stand in the plan's text. */
typedef struct row {
  const char *params, *input, *expected;
  char mode;       /* 't' for training */
  int64_t trained; /* calls in training before */
} row;

static void check_rows(const char *dialect, const char *operator_name, const char *required, const row *rows, size_t count) {
  size_t wrong = 0;
  for (size_t i = 0; i < count; i++) {
    char params[512], text[TEXT], words[256], *rest = words, *word, padded[256];
    if (rows[i].params[0] == '{') snprintf(params, sizeof params, "%s", rows[i].params);
    else snprintf(params, sizeof params, "{%s, %s}", required, rows[i].params);
    plan_as_text(dialect, operator_name, params, rows[i].input, rows[i].mode == 't', rows[i].trained, text, NULL);
    snprintf(words, sizeof words, "%s", rows[i].expected);
    while ((word = strsep(&rest, " ")) != NULL) {
      snprintf(padded, sizeof padded, " %s ", word);
      if (strstr(text, padded) != NULL) continue;
      print_error("%s %s %s of %s%s: expected '%s', got '%s'\n", dialect, operator_name, params, rows[i].input,
                  rows[i].mode == 't' ? " in training" : "", rows[i].expected, text);
      wrong++;
      break;
    }
  }
  assert_int_equal(wrong, 0);
}

/* ---------------------------------------------------------------------------------------------------- ladders */

/* Rules in the order in which they are checked, each with a parameter that breaks it (`input` is the shape). */
typedef struct rung {
  const char *key, *value, *expected;
} rung;

/* From each rung on everything is broken at once, as far as one key can have one value: that rung's rule speaks. Keys that
 * no rung sets have their value in `base`. */
static void climb(const char *dialect, const char *operator_name, const rung *base, const rung *rungs, size_t count, bool training) {
  size_t wrong = 0;
  for (size_t first = 0; first < count; first++) {
    const char *keys[64], *input = "1";
    size_t known = 0;
    char params[TEXT], text[TEXT], padded[256];
    size_t n = put(params, 0, "{");
    const char *separator = "";
    for (size_t i = first; i < count || base[i - count].key != NULL; i++) {
      const rung *r = i < count ? &rungs[i] : &base[i - count];
      bool taken = false;
      for (size_t k = 0; k < known; k++) taken = taken || strcmp(keys[k], r->key) == 0;
      if (taken) continue;
      keys[known++] = r->key;
      if (strcmp(r->key, "input") == 0) input = r->value;
      else if (r->value != NULL) n = put(params, n, "%s%s: %s", separator, r->key, r->value), separator = ", ";
    }
    put(params, n, "}");
    plan_as_text(dialect, operator_name, params, input, training, 0, text, NULL);
    snprintf(padded, sizeof padded, " %s ", rungs[first].expected);
    if (strcmp(text, padded) == 0) continue;
    print_error("%s %s of %s: expected '%s', got '%s'\n", operator_name, params, input, rungs[first].expected, text);
    wrong++;
  }
  assert_int_equal(wrong, 0);
}

/* --------------------------------------------------------------------------------------------- PyTorch nn.Conv2d */

#define PYTORCH_CONV(rows) check_rows("pytorch", "nn.Conv2d", "in_channels: 4, out_channels: 6, kernel_size: 3", rows, COUNT(rows))

static void pytorch_conv_defaults(void **state) {
  (void)state;
  static const row rows[] = {
      {"{in_channels: 4, out_channels: 6, kernel_size: 3}", "1x4x9x9",
       "in1x4x9x9 out1x6x7x7 k3,3 s1,1 d1,1 p0,0,0,0 g1 zeros bias", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3, 5]}", "2x4x9x9", "in2x4x9x9 out2x6x7x5 k3,5", 0, 0},
      {"stride: [2, 3], padding: [1, 2], dilation: [1, 2], groups: 2, bias: false", "1x4x9x9",
       "out1x6x5x3 s2,3 d1,2 p1,1,2,2 g2 zeros plain", 0, 0},
      {"padding: 1", "4x9x9", "in1x4x9x9 out1x6x9x9 unbatched", 0, 0},
      {"device: cpu, dtype: float32", "1x4x9x9", "out1x6x7x7", 0, 0},
  };
  PYTORCH_CONV(rows);
}

static void pytorch_conv_takes_what_python_takes(void **state) {
  (void)state;
  static const row rows[] = {
      /* truth values */
      {"bias: 1", "1x4x9x9", "bias", 0, 0},
      {"bias: 2.0", "1x4x9x9", "bias", 0, 0},
      {"bias: 'False'", "1x4x9x9", "bias", 0, 0},
      {"bias: [0]", "1x4x9x9", "bias", 0, 0},
      {"bias: 0", "1x4x9x9", "plain", 0, 0},
      {"bias: 0.0", "1x4x9x9", "plain", 0, 0},
      {"bias: null", "1x4x9x9", "plain", 0, 0},
      {"bias: ''", "1x4x9x9", "plain", 0, 0},
      {"bias: []", "1x4x9x9", "plain", 0, 0},
      /* booleans as integers */
      {"{in_channels: 4, out_channels: 6, kernel_size: true}", "1x4x9x9", "k1,1", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [true, 3]}", "1x4x9x9", "k1,3", 0, 0},
      {"{in_channels: true, out_channels: 6, kernel_size: 1}", "1x1x9x9", "in1x1x9x9", 0, 0},
      {"{in_channels: 4, out_channels: true, kernel_size: 1}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"stride: [2, true]", "1x4x9x9", "s2,1", 0, 0},
      {"stride: [true, 2]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"stride: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"stride: [1, false]", "1x4x9x9", "!stride-positive RuntimeError", 0, 0},
      {"dilation: [1, true]", "1x4x9x9", "d1,1", 0, 0},
      {"dilation: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding: [1, true]", "1x4x9x9", "p1,1,1,1", 0, 0},
      {"padding: [true, 1]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"groups: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"groups: false", "1x4x9x9", "!groups-positive ValueError", 0, 0},
      /* floats are no ints */
      {"stride: 1.0", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding: [0, 0.0]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"dilation: null", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"groups: 2.0", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"groups: -0.5", "1x4x9x9", "!groups-positive ValueError", 0, 0},
      {"groups: [2]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: 4.0, out_channels: 6, kernel_size: 3}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: 4.5, out_channels: 6, kernel_size: 3}", "1x4x9x9", "!groups-divide-in-channels ValueError", 0, 0},
      {"{in_channels: .nan, out_channels: 6, kernel_size: 3}", "1x4x9x9", "!groups-divide-in-channels ValueError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: '3'}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: null}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      /* one entry stands for both axes */
      {"stride: [2], padding: [1], dilation: [2]", "1x4x9x9", "s2,2 d2,2 p1,1,1,1", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3]}", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: []}", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3, 3, 3]}", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"stride: []", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"stride: [1, 1, 1]", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"padding: []", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"padding: [0, 0, 0, 0]", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"dilation: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
  };
  PYTORCH_CONV(rows);
}

static void pytorch_conv_padding_by_name(void **state) {
  (void)state;
  static const row rows[] = {
      {"padding: valid", "1x4x9x9", "out1x6x7x7 p0,0,0,0", 0, 0},
      {"padding: same", "1x4x9x9", "out1x6x9x9 p1,1,1,1", 0, 0},
      {"padding: same, stride: [1]", "1x4x9x9", "p1,1,1,1", 0, 0},
      {"padding: same, stride: [1, 1]", "1x4x9x9", "p1,1,1,1", 0, 0},
      {"padding: same, dilation: [2, 3]", "1x4x9x9", "out1x6x9x9 p2,2,3,3", 0, 0},
      /* an odd total: the extra element is on the right and at the bottom */
      {"{in_channels: 4, out_channels: 6, kernel_size: [2, 4], padding: same}", "1x4x9x9", "out1x6x9x9 p0,1,1,2", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [2, 4], padding: same, dilation: 3}", "1x4x9x9", "out1x6x9x9 p1,2,4,5", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 20, padding: same}", "1x4x9x9", "out1x6x9x9 p9,10,9,10", 0, 0},
      {"padding: same, stride: 2", "1x4x9x9", "!same-needs-unit-stride ValueError", 0, 0},
      {"padding: same, stride: [1, 2]", "1x4x9x9", "!same-needs-unit-stride ValueError", 0, 0},
      {"padding: same, stride: 0", "1x4x9x9", "!same-needs-unit-stride ValueError", 0, 0},
      {"padding: same, stride: -1", "1x4x9x9", "!same-needs-unit-stride ValueError", 0, 0},
      {"padding: Same", "1x4x9x9", "!padding-unknown ValueError", 0, 0},
      {"padding: VALID", "1x4x9x9", "!padding-unknown ValueError", 0, 0},
      {"padding: ''", "1x4x9x9", "!padding-unknown ValueError", 0, 0},
      /* a negative dilation makes a negative padding, which speaks before the dilation itself */
      {"padding: same, dilation: -1", "1x4x9x9", "!padding-non-negative RuntimeError", 0, 0},
      {"padding: same, dilation: 0", "1x4x9x9", "!dilation-positive RuntimeError", 0, 0},
      {"padding: same, dilation: -9223372036854775808", "1x4x9x9", "!padding-non-negative RuntimeError", 0, 0},
      {"padding_mode: Reflect", "1x4x9x9", "!padding-mode-unknown ValueError", 0, 0},
      {"padding_mode: null", "1x4x9x9", "!padding-mode-unknown ValueError", 0, 0},
      {"padding_mode: 1", "1x4x9x9", "!padding-mode-unknown ValueError", 0, 0},
      {"padding_mode: zeros", "1x4x9x9", "zeros", 0, 0},
  };
  PYTORCH_CONV(rows);
}

static void pytorch_conv_edges_of_its_rules(void **state) {
  (void)state;
  static const row rows[] = {
      {"{out_channels: 6, kernel_size: 3}", "1x4x9x9", "!missing-parameter TypeError", 0, 0},
      {"{in_channels: 4, kernel_size: 3}", "1x4x9x9", "!missing-parameter TypeError", 0, 0},
      {"{in_channels: 4, out_channels: 6}", "1x4x9x9", "!missing-parameter TypeError", 0, 0},
      {"group: 1", "1x4x9x9", "!unknown-parameter TypeError", 0, 0},
      {"Stride: 1", "1x4x9x9", "!unknown-parameter TypeError", 0, 0},
      {"padding: -1", "1x4x9x9", "!padding-non-negative RuntimeError", 0, 0},
      {"padding: [0, -1]", "1x4x9x9", "!padding-non-negative RuntimeError", 0, 0},
      {"stride: 9223372036854775807", "1x4x9x9", "out1x6x1x1 s9223372036854775807,9223372036854775807", 0, 0},
      {"stride: 0", "1x4x9x9", "!stride-positive RuntimeError", 0, 0},
      {"stride: [1, -1]", "1x4x9x9", "!stride-positive RuntimeError", 0, 0},
      {"dilation: 4", "1x4x9x9", "out1x6x1x1", 0, 0},
      {"dilation: 5", "1x4x9x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"dilation: 9223372036854775807", "1x4x9x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"", "1x4x3x3", "out1x6x1x1", 0, 0},
      {"", "1x4x3x2", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"", "0x4x2x3", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"padding: [0, 1]", "1x4x3x1", "out1x6x1x1", 0, 0},
      {"padding: 9223372036854775807", "1x4x9x9", "!extent-overflow RuntimeError", 0, 0},
      {"", "1x3x9x9", "!input-channels-mismatch RuntimeError", 0, 0},
      {"", "0x3x9x9", "!input-channels-mismatch RuntimeError", 0, 0},
      {"", "9x9", "!input-rank RuntimeError", 0, 0},
      {"", "1x4x9x9x9", "!input-rank RuntimeError", 0, 0},
      /* empty batches and axes */
      {"", "0x4x9x9", "out0x6x7x7", 0, 0},
      {"padding: 2", "0x4x0x9", "out0x6x2x11", 0, 0},
      {"padding: 2", "1x4x0x9", "!input-extent-positive RuntimeError", 0, 0},
      {"padding: 1", "1x4x0x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"{in_channels: 0, out_channels: 6, kernel_size: 3, padding: 2}", "1x0x0x9", "in1x0x0x9", 0, 0},
      {"{in_channels: 4, out_channels: 0, kernel_size: 3}", "1x4x9x9", "!out-channels-positive RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 0}", "1x4x9x9", "!kernel-positive RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3, -1]}", "1x4x9x9", "!kernel-positive RuntimeError", 0, 0},
      {"{in_channels: -4, out_channels: 6, kernel_size: 3}", "1x4x9x9", "!in-channels-positive RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: -6, kernel_size: 3}", "1x4x9x9", "!out-channels-positive RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 4294967296, kernel_size: 4294967296}", "1x4x9x9", "!extent-overflow RuntimeError", 0, 0},
      {"groups: 4", "1x4x9x9", "!groups-divide-out-channels ValueError", 0, 0},
      {"groups: 3", "1x4x9x9", "!groups-divide-in-channels ValueError", 0, 0},
      {"groups: 2", "1x4x9x9", "g2", 0, 0},
      {"groups: -1", "1x4x9x9", "!groups-positive ValueError", 0, 0},
  };
  PYTORCH_CONV(rows);
}

static void pytorch_conv_padding_modes(void **state) {
  (void)state;
  static const row rows[] = {
      {"padding_mode: reflect, padding: 2", "1x4x9x9", "out1x6x11x11 p2,2,2,2 reflect", 0, 0},
      {"padding_mode: reflect, padding: [8, 0]", "1x4x9x9", "p8,8,0,0 out1x6x23x7", 0, 0},
      {"padding_mode: reflect, padding: [9, 0]", "1x4x9x9", "!reflect-pad-less-than-input RuntimeError", 0, 0},
      {"padding_mode: reflect, padding: [0, 9]", "0x4x9x9", "!reflect-pad-less-than-input RuntimeError", 0, 0},
      {"padding_mode: replicate, padding: 1000", "1x4x9x9", "out1x6x2007x2007 replicate", 0, 0},
      {"padding_mode: circular, padding: [9, 9]", "1x4x9x9", "out1x6x25x25 circular", 0, 0},
      {"padding_mode: circular, padding: [9, 10]", "1x4x9x9", "!circular-pad-at-most-input RuntimeError", 0, 0},
      {"padding_mode: circular, padding: 1", "1x4x0x9", "!circular-pad-at-most-input RuntimeError", 0, 0},
      {"padding_mode: reflect", "1x4x0x9", "!input-extent-positive RuntimeError", 0, 0},
      {"padding_mode: replicate", "1x4x9x0", "!input-extent-positive RuntimeError", 0, 0},
      {"padding_mode: replicate", "1x0x9x9", "!in-channels-positive RuntimeError", 0, 0},
      {"padding_mode: reflect, padding: 1", "0x4x9x9", "out0x6x9x9", 0, 0},
      {"{in_channels: 0, out_channels: 6, kernel_size: 3, padding_mode: circular, padding: 1}", "1x0x9x9", "in1x0x9x9 circular", 0, 0},
      /* negative padding crops */
      {"padding_mode: reflect, padding: -1", "1x4x9x9", "out1x6x5x5 p-1,-1,-1,-1", 0, 0},
      {"padding_mode: replicate, padding: [-3, 2]", "1x4x9x9", "out1x6x1x11 p-3,-3,2,2", 0, 0},
      {"padding_mode: circular, padding: -4", "1x4x9x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"padding_mode: circular, padding: -5", "1x4x9x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      /* types: here the last entry is looked at closely */
      {"padding_mode: reflect, padding: [true, 1]", "1x4x9x9", "p1,1,1,1", 0, 0},
      {"padding_mode: reflect, padding: [1, true]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding_mode: reflect, padding: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding_mode: circular, padding: 1.0", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding_mode: circular, padding: null", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      /* lengths and ranks */
      {"padding_mode: reflect, padding: [1]", "1x4x9x9", "!parameter-length NotImplementedError", 0, 0},
      {"padding_mode: reflect, padding: []", "1x4x9x9", "!parameter-length NotImplementedError", 0, 0},
      {"padding_mode: reflect, padding: [1, 1, 1]", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"padding_mode: reflect, padding: [1, 1, 1, 1]", "1x4x9x9", "!parameter-length NotImplementedError", 0, 0},
      {"padding_mode: reflect, padding: [1]", "4x9x9", "in1x4x9x9 out1x6x7x9 p0,0,1,1 unbatched", 0, 0},
      {"padding_mode: circular, padding: [2, 1]", "4x9x9", "p2,2,1,1 unbatched", 0, 0},
      {"padding_mode: circular, padding: [1, 1, 1, 1, 1]", "1x4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"padding_mode: circular, padding: [1, 1, 1]", "4x9x9", "!parameter-length NotImplementedError", 0, 0},
      {"padding_mode: circular, padding: [1, 1, 1, 1]", "4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3], padding_mode: replicate, padding: valid}", "1x4x9x9", "!parameter-length NotImplementedError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [3], padding_mode: reflect, padding: same}", "4x9x9", "!parameter-length RuntimeError", 0, 0},
      {"padding_mode: replicate, padding: [0, -5], dilation: 1.0", "1x4x9x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"padding_mode: circular, padding: [0, -2], dilation: 1.0", "1x4x9x4", "!parameter-type TypeError", 0, 0},
      {"padding_mode: circular, padding: [1]", "9x9", "!input-rank RuntimeError", 0, 0},
      {"padding_mode: circular", "9x9", "!input-rank NotImplementedError", 0, 0},
      {"padding_mode: replicate", "1x4x9x9x9", "!input-rank NotImplementedError", 0, 0},
      /* by name, the same split; one dilation entry pads one axis */
      {"padding_mode: reflect, padding: same, dilation: 2", "1x4x9x9", "out1x6x9x9 p2,2,2,2", 0, 0},
      {"padding_mode: reflect, padding: same, dilation: [2]", "1x4x9x9", "p2,2,0,0 out1x6x9x5", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: [2, 4], padding_mode: circular, padding: same}", "1x4x9x9", "p0,1,1,2 out1x6x9x9", 0, 0},
      {"padding_mode: replicate, padding: valid", "1x4x9x9", "p0,0,0,0 replicate", 0, 0},
  };
  PYTORCH_CONV(rows);
}

static void pytorch_conv_checks_in_this_order(void **state) {
  (void)state;
  static const rung base[] = {{"in_channels", "4", NULL}, {"out_channels", "6", NULL}, {"kernel_size", "3", NULL},
                              {"groups", "2", NULL},      {"input", "1x4x9x9", NULL},  {NULL, NULL, NULL}};
  static const rung zeros[] = {
      {"nope", "1", "!unknown-parameter TypeError"},
      {"groups", "'a'", "!parameter-type TypeError"},
      {"groups", "0", "!groups-positive ValueError"},
      {"in_channels", "'a'", "!parameter-type TypeError"},
      {"in_channels", "5", "!groups-divide-in-channels ValueError"},
      {"out_channels", "7", "!groups-divide-out-channels ValueError"},
      {"padding", "Same", "!padding-unknown ValueError"},
      {"padding", "same", "!same-needs-unit-stride ValueError"},
      {"padding_mode", "Zeros", "!padding-mode-unknown ValueError"},
      {"out_channels", "6.0", "!parameter-type TypeError"},
      {"kernel_size", "[3, 3.0]", "!parameter-type TypeError"},
      {"out_channels", "-6", "!out-channels-positive RuntimeError"},
      {"in_channels", "-4", "!in-channels-positive RuntimeError"},
      {"kernel_size", "[3, -1]", "!kernel-positive RuntimeError"},
      {"stride", "2.5", "!parameter-type TypeError"},
      {"input", "9x9", "!input-rank RuntimeError"},
      {"kernel_size", "[3]", "!parameter-length RuntimeError"},
      {"dilation", "[1, 1, 1]", "!parameter-length RuntimeError"},
      {"padding", "-1", "!padding-non-negative RuntimeError"},
      {"stride", "0", "!stride-positive RuntimeError"},
      {"out_channels", "0", "!out-channels-positive RuntimeError"},
      {"input", "1x3x0x9", "!input-channels-mismatch RuntimeError"},
      {"input", "1x4x0x9", "!kernel-exceeds-input RuntimeError"},
      {"kernel_size", "[3, 0]", "!kernel-positive RuntimeError"},
      {"dilation", "0", "!dilation-positive RuntimeError"},
  };
  climb("pytorch", "nn.Conv2d", base, zeros, COUNT(zeros), false);
  static const rung reflect_base[] = {{"in_channels", "4", NULL}, {"out_channels", "6", NULL},        {"kernel_size", "3", NULL},
                                      {"groups", "1", NULL},      {"padding_mode", "reflect", NULL},  {"input", "1x4x9x9", NULL},
                                      {NULL, NULL, NULL}};
  static const rung reflect[] = {
      {"kernel_size", "[3, 3.0]", "!parameter-type TypeError"}, /* the constructor before the call */
      {"padding", "1.0", "!parameter-type TypeError"},
      {"input", "1x1x1x4x9x9", "!input-rank NotImplementedError"},
      {"padding", "[1]", "!parameter-length NotImplementedError"},
      {"padding", "[1, 1, 1]", "!parameter-length RuntimeError"},
      {"input", "1x0x0x9", "!input-extent-positive RuntimeError"},
      {"input", "1x0x9x9", "!in-channels-positive RuntimeError"},
      {"padding", "9", "!reflect-pad-less-than-input RuntimeError"},
      {"stride", "[true, 1]", "!parameter-type TypeError"},
      {"kernel_size", "[3]", "!parameter-length RuntimeError"},
      {"dilation", "[]", "!parameter-length RuntimeError"},
      {"stride", "-1", "!stride-positive RuntimeError"},
      {"dilation", "-1", "!dilation-positive RuntimeError"},
      {"out_channels", "0", "!out-channels-positive RuntimeError"},
      {"input", "1x3x2x9", "!input-channels-mismatch RuntimeError"},
      {"input", "1x4x2x9", "!kernel-exceeds-input RuntimeError"},
      {"kernel_size", "[3, 0]", "!kernel-positive RuntimeError"},
  };
  climb("pytorch", "nn.Conv2d", reflect_base, reflect, COUNT(reflect), false);
}

/* ---------------------------------------------------------------------------------------- PyTorch nn.BatchNorm2d */

static void pytorch_batchnorm(void **state) {
  (void)state;
  static const row rows[] = {
      {"{num_features: 3}", "2x3x4x5", "in2x3x4x5 batch update unbiased eps=1e-05 m=0.1 gamma beta mean0=0 var0=1 gamma0=1 beta0=0", 't', 0},
      {"{num_features: 3}", "2x3x4x5", "running keep unbiased eps=1e-05 gamma beta", 'e', 0},
      {"track_running_stats: false", "2x3x4x5", "batch keep", 'e', 0},
      {"track_running_stats: false", "2x3x4x5", "batch keep", 't', 0},
      {"affine: false", "2x3x4x5", "no-gamma no-beta update", 't', 0},
      {"affine: ''", "2x3x4x5", "no-gamma no-beta", 't', 0},
      {"bias: false", "2x3x4x5", "gamma no-beta", 't', 0},
      {"track_running_stats: 0", "2x3x4x5", "batch keep", 't', 0},
      /* momentum weighs the new batch; None is the cumulative average */
      {"momentum: 0.25", "2x3x4x5", "m=0.25", 't', 5},
      {"momentum: null", "2x3x4x5", "m=1", 't', 0},
      {"momentum: null", "2x3x4x5", "m=0.5", 't', 1},
      {"momentum: null", "2x3x4x5", "m=0.125", 't', 7},
      {"momentum: 2", "2x3x4x5", "m=2", 't', 0},
      {"momentum: -1", "2x3x4x5", "m=-1", 't', 0},
      {"momentum: true", "2x3x4x5", "m=1", 't', 0},
      {"momentum: .inf", "2x3x4x5", "m=inf", 't', 0},
      {"momentum: .nan", "2x3x4x5", "m=nan", 't', 0},
      {"momentum: '0.1'", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"momentum: [0.1]", "2x3x4x5", "!parameter-type TypeError", 't', 0},
      /* eps */
      {"eps: 0", "2x3x4x5", "eps=0 running", 'e', 0},
      {"eps: 0", "2x3x4x5", "!epsilon-range ValueError", 't', 0},
      {"eps: 0, track_running_stats: false", "2x3x4x5", "!epsilon-range ValueError", 'e', 0},
      {"eps: -0.0", "2x3x4x5", "running", 'e', 0},
      {"eps: -1.0e-45", "2x3x4x5", "!epsilon-range ValueError", 'e', 0},
      {"eps: 1.0e-300", "2x3x4x5", "batch", 't', 0},
      {"eps: true", "2x3x4x5", "eps=1", 't', 0},
      {"eps: .inf", "2x3x4x5", "eps=inf", 't', 0},
      {"eps: .nan", "2x3x4x5", "eps=nan", 't', 0},
      {"eps: null", "2x3x4x5", "!parameter-type TypeError", 't', 0},
      {"eps: '1'", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      /* num_features */
      {"{num_features: [3]}", "2x3x4x5", "in2x3x4x5", 't', 0},
      {"{num_features: [3, 3]}", "2x3x4x5", "!input-channels-mismatch RuntimeError", 't', 0},
      {"{num_features: [3, 1]}", "2x3x4x5", "!parameter-length RuntimeError", 't', 0},
      {"{num_features: [3, 1], track_running_stats: false}", "2x3x4x5", "batch keep", 't', 0},
      {"{num_features: [3, 1.0]}", "2x3x4x5", "!parameter-type TypeError", 't', 0},
      {"{num_features: [3, -1]}", "2x3x4x5", "!num-features-positive RuntimeError", 't', 0},
      {"{num_features: []}", "0x3x4x5", "!parameter-length IndexError", 't', 0},
      {"{num_features: 3.0}", "2x3x4x5", "!parameter-type TypeError", 't', 0},
      {"{num_features: true}", "2x1x4x5", "!parameter-type TypeError", 't', 0},
      {"{num_features: null}", "2x1x4x5", "!parameter-type TypeError", 't', 0},
      {"{num_features: -1}", "2x3x4x5", "!num-features-positive RuntimeError", 't', 0},
      {"{num_features: 0}", "2x3x4x5", "!num-features-positive RuntimeError", 't', 0},
      {"{num_features: 0}", "2x0x4x5", "!num-features-positive IndexError", 't', 0},
      {"{num_features: 0}", "0x3x4x5", "!num-features-positive IndexError", 't', 0},
      {"{num_features: 0, affine: false}", "0x3x4x5", "batch keep no-gamma", 't', 0},
      {"{num_features: 3}", "2x0x4x5", "batch keep no-gamma", 'e', 0},
      {"{num_features: -1, affine: false, track_running_stats: false}", "2x3x4x5", "batch keep no-gamma", 't', 0},
      {"{num_features: 'a', affine: 0, track_running_stats: ''}", "2x3x4x5", "batch keep", 'e', 0},
      {"{num_features: 4}", "2x3x4x5", "!input-channels-mismatch RuntimeError", 't', 0},
      {"{num_features: 4}", "2x3x4x5", "!input-channels-mismatch RuntimeError", 'e', 0},
      {"{}", "2x3x4x5", "!missing-parameter TypeError", 't', 0},
      {"use_batch_statistics: true", "2x3x4x5", "!unknown-parameter TypeError", 't', 0},
      /* the number of values */
      {"{num_features: 3}", "1x3x1x1", "!one-value-per-channel ValueError", 't', 0},
      {"{num_features: 3}", "1x3x1x1", "running", 'e', 0},
      {"{num_features: 3, track_running_stats: false}", "1x3x1x1", "!one-value-per-channel ValueError", 'e', 0},
      {"{num_features: 3}", "2x3x1x1", "batch update", 't', 0},
      {"{num_features: 3}", "0x3x4x5", "batch keep", 't', 0},
      {"{num_features: 3}", "0x7x4x5", "batch keep", 't', 0},
      {"{num_features: 3}", "2x3x0x5", "batch keep", 't', 0},
      {"{num_features: 3}", "2x3x4", "!input-rank ValueError", 't', 0},
      {"{num_features: 3}", "2x3x4x5x6", "!input-rank ValueError", 'e', 0},
  };
  check_rows("pytorch", "nn.BatchNorm2d", "num_features: 3", rows, COUNT(rows));
}

static void pytorch_batchnorm_checks_in_this_order(void **state) {
  (void)state;
  static const rung base[] = {{"num_features", "3", NULL}, {"input", "2x3x4x5", NULL}, {NULL, NULL, NULL}};
  static const rung rungs[] = {
      {"nope", "1", "!unknown-parameter TypeError"},
      {"num_features", "3.0", "!parameter-type TypeError"},
      {"num_features", "-3", "!num-features-positive RuntimeError"},
      {"input", "2x3x4", "!input-rank ValueError"},
      {"input", "1x3x1x1", "!one-value-per-channel ValueError"},
      {"eps", "'a'", "!parameter-type TypeError"},
      {"eps", "0", "!epsilon-range ValueError"},
      {"momentum", "'a'", "!parameter-type TypeError"},
      {"num_features", "0", "!num-features-positive RuntimeError"},
      {"num_features", "4", "!input-channels-mismatch RuntimeError"},
  };
  climb("pytorch", "nn.BatchNorm2d", base, rungs, COUNT(rungs), true);
}

/* ------------------------------------------------------------------------------------------- MindSpore nn.Conv2d */

#define MINDSPORE_CONV(rows) check_rows("mindspore", "nn.Conv2d", "in_channels: 4, out_channels: 6, kernel_size: 3", rows, COUNT(rows))

static void mindspore_conv_defaults_and_same(void **state) {
  (void)state;
  static const row rows[] = {
      {"{in_channels: 4, out_channels: 6, kernel_size: 3}", "1x4x9x9", "out1x6x9x9 k3,3 s1,1 d1,1 p1,1,1,1 g1 zeros plain", 0, 0},
      {"has_bias: true", "1x4x9x9", "bias", 0, 0},
      /* ceil(input / stride) outputs; the odd element of the padding behind */
      {"stride: 2", "1x4x9x8", "out1x6x5x4 p1,1,0,1", 0, 0},
      {"stride: 3", "1x4x9x10", "out1x6x3x4 p0,0,1,1", 0, 0},
      {"stride: 5", "1x4x9x1", "out1x6x2x1 p0,0,1,1", 0, 0}, /* (2-1)*5 + 3 - 9 is negative */
      {"{in_channels: 4, out_channels: 6, kernel_size: [2, 4]}", "1x4x9x9", "out1x6x9x9 p0,1,1,2", 0, 0},
      {"dilation: [2, 3]", "1x4x9x9", "out1x6x9x9 p2,2,3,3", 0, 0},
      {"dilation: 2147483648", "1x4x1x1", "out1x6x1x1 p2147483648,2147483648,2147483648,2147483648", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 100}", "1x4x1x1", "out1x6x1x1 p49,50,49,50", 0, 0},
      {"", "1x4x0x9", "out1x6x0x9 p0,0,1,1", 0, 0},
      {"", "0x4x9x9", "out0x6x9x9", 0, 0},
      {"pad_mode: same, stride: 9223372036854775807", "1x4x9x9", "out1x6x1x1", 0, 0},
      {"pad_mode: valid", "1x4x9x9", "out1x6x7x7 p0,0,0,0", 0, 0},
      {"pad_mode: pad, padding: 2", "1x4x9x9", "out1x6x11x11 p2,2,2,2", 0, 0},
      {"pad_mode: pad, padding: [1, 2, 3, 4]", "1x4x9x9", "out1x6x10x14 p1,2,3,4", 0, 0},
      {"pad_mode: pad", "1x4x9x9", "out1x6x7x7 p0,0,0,0", 0, 0},
      {"pad_mode: pad, padding: [2, 1, 0, 0]", "1x4x0x9", "out1x6x1x7", 0, 0},
      {"padding: [0, 0, 0, 0]", "1x4x9x9", "out1x6x9x9", 0, 0},
      {"pad_mode: valid, padding: 0", "1x4x9x9", "out1x6x7x7", 0, 0},
      {"group: 2, stride: [1, 2], dilation: [2, 1]", "1x4x9x9", "g2 s1,2 d2,1", 0, 0},
      {"weight_init: ones", "1x4x9x9", "weight-given", 0, 0},
      {"weight_init: 0.5", "1x4x9x9", "w=0.5", 0, 0},
      {"weight_init: true", "1x4x9x9", "w=1", 0, 0},
      {"weight_init: Zeros, has_bias: true, bias_init: One", "1x4x9x9", "w=0 b=1", 0, 0},
      {"weight_init: he_uniform", "1x4x9x9", "out1x6x9x9", 0, 0},
      {"weight_init: null, data_format: NCHW, dtype: float32", "1x4x9x9", "out1x6x9x9", 0, 0},
      {"bias_init: [1]", "1x4x9x9", "plain", 0, 0}, /* looked at only with has_bias */
  };
  MINDSPORE_CONV(rows);
}

static void mindspore_conv_edges_of_its_rules(void **state) {
  (void)state;
  static const row rows[] = {
      {"groups: 1", "1x4x9x9", "!unknown-parameter TypeError", 0, 0},
      {"{in_channels: 4, out_channels: 6}", "1x4x9x9", "!missing-parameter TypeError", 0, 0},
      /* no bool, no float, no string, no None is an int */
      {"stride: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"stride: 1.0", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"stride: [1, true]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"dilation: null", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"group: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"group: [1]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: 4.0, out_channels: 6, kernel_size: 3}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: true, out_channels: 6, kernel_size: 3}", "1x1x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: 4, out_channels: '6', kernel_size: 3}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"{in_channels: 4, out_channels: 6.0, kernel_size: 3}", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"has_bias: 1", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"has_bias: null", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding: true", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding: 1.0, pad_mode: pad", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"padding: [1, 1, true, 1], pad_mode: pad", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"pad_mode: 1", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"weight_init: [1]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"has_bias: true, bias_init: [1]", "1x4x9x9", "!parameter-type TypeError", 0, 0},
      {"has_bias: true, bias_init: xavier_uniform", "1x4x9x9", "ValueError", 0, 0},
      {"weight_init: nonsense", "1x4x9x9", "ValueError", 0, 0},
      /* lengths: a TypeError for the three, a ValueError for padding */
      {"{in_channels: 4, out_channels: 6, kernel_size: [3]}", "1x4x9x9", "!parameter-length TypeError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: []}", "1x4x9x9", "!parameter-length TypeError", 0, 0},
      {"stride: [1, 1, 2, 2]", "1x4x9x9", "!parameter-length TypeError", 0, 0},
      {"dilation: [1, 1, 1]", "1x4x9x9", "!parameter-length TypeError", 0, 0},
      {"padding: [0, 0]", "1x4x9x9", "!parameter-length ValueError", 0, 0},
      {"padding: [], pad_mode: pad", "1x4x9x9", "!parameter-length ValueError", 0, 0},
      {"padding: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]", "1x4x9x9", "!parameter-length ValueError", 0, 0},
      /* ranges */
      {"group: 0", "1x4x9x9", "!groups-positive ValueError", 0, 0},
      {"group: 3", "1x4x9x9", "!groups-divide-in-channels ValueError", 0, 0},
      {"group: 4", "1x4x9x9", "!groups-divide-out-channels ValueError", 0, 0},
      {"{in_channels: 0, out_channels: 6, kernel_size: 3}", "1x0x9x9", "!in-channels-positive ValueError", 0, 0},
      {"{in_channels: 4, out_channels: 0, kernel_size: 3}", "1x4x9x9", "!out-channels-positive ValueError", 0, 0},
      {"{in_channels: 4, out_channels: 6, kernel_size: 0}", "1x4x9x9", "!kernel-positive ValueError", 0, 0},
      {"stride: [1, 0]", "1x4x9x9", "!stride-positive ValueError", 0, 0},
      {"dilation: -1", "1x4x9x9", "!dilation-positive ValueError", 0, 0},
      {"padding: -1", "1x4x9x9", "!padding-non-negative ValueError", 0, 0},
      {"pad_mode: pad, padding: [0, 0, 0, -1]", "1x4x9x9", "!padding-non-negative ValueError", 0, 0},
      {"padding: 1", "1x4x9x9", "!padding-must-be-zero ValueError", 0, 0},
      {"padding: [0, 0, 0, 1], pad_mode: valid", "1x4x9x9", "!padding-must-be-zero ValueError", 0, 0},
      {"pad_mode: SAME", "1x4x9x9", "!padding-mode-unknown ValueError", 0, 0},
      {"pad_mode: ''", "1x4x9x9", "!padding-mode-unknown ValueError", 0, 0},
      {"data_format: NHWC", "1x4x9x9", "!tensor-format ValueError", 0, 0},
      {"data_format: nchw", "1x4x9x9", "!tensor-format ValueError", 0, 0},
      {"data_format: NCDHW", "1x4x9x9", "!tensor-format ValueError", 0, 0},
      {"data_format: 1", "1x4x9x9", "!tensor-format ValueError", 0, 0},
      /* the call */
      {"", "4x9x9", "!input-rank ValueError", 0, 0},
      {"", "1x4x9x9x9", "!input-rank ValueError", 0, 0},
      {"", "0x3x9x9", "!input-channels-mismatch RuntimeError", 0, 0},
  };
  MINDSPORE_CONV(rows);
}

/* The first check forgets the dilation (ValueError); the second judges by E = floor((P - D) / stride) + 1, P the padded
 * input and D the dilated kernel, and lets P - D = -stride through, with an empty output. */
static void mindspore_conv_has_a_hole_behind_dilation(void **state) {
  (void)state;
  static const row rows[] = {
      {"pad_mode: valid", "1x4x3x3", "out1x6x1x1", 0, 0},
      {"pad_mode: valid", "1x4x2x9", "!kernel-exceeds-input ValueError", 0, 0},
      {"pad_mode: valid", "0x4x9x2", "!kernel-exceeds-input ValueError", 0, 0},
      {"pad_mode: valid", "1x4x0x9", "!kernel-exceeds-input ValueError", 0, 0},
      /* D = 9 */
      {"pad_mode: valid, dilation: 4", "1x4x9x9", "out1x6x1x1", 0, 0},
      {"pad_mode: valid, dilation: 4", "1x4x8x9", "out1x6x0x1", 0, 0},                            /* P - D = -1 */
      {"pad_mode: valid, dilation: 4", "1x4x7x9", "!kernel-exceeds-input RuntimeError", 0, 0},    /* E = -1 */
      {"pad_mode: valid, dilation: 4", "1x4x6x9", "!kernel-exceeds-input ValueError", 0, 0},      /* E = -2 */
      {"pad_mode: valid, dilation: 4, stride: 2", "1x4x8x9", "!kernel-exceeds-input RuntimeError", 0, 0}, /* E = 0, P - D = -1 */
      {"pad_mode: valid, dilation: 4, stride: 2", "1x4x7x9", "out1x6x0x1", 0, 0},
      {"pad_mode: valid, dilation: 4, stride: 2", "1x4x6x9", "!kernel-exceeds-input RuntimeError", 0, 0}, /* E = -1 */
      {"pad_mode: valid, dilation: 4, stride: 2", "1x4x5x9", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"pad_mode: valid, dilation: 4, stride: 2", "1x4x4x9", "!kernel-exceeds-input ValueError", 0, 0}, /* E = -2 */
      {"pad_mode: valid, dilation: 4, stride: [1, 3]", "1x4x8x6", "out1x6x0x0", 0, 0}, /* both axes by their stride */
      {"pad_mode: valid, dilation: 4, stride: [1, 3]", "1x4x8x7", "!kernel-exceeds-input RuntimeError", 0, 0},
      {"pad_mode: valid, dilation: 4", "1x4x7x6", "!kernel-exceeds-input ValueError", 0, 0}, /* an E of -2 speaks first */
      {"pad_mode: valid, dilation: 4", "1x4x3x2", "!kernel-exceeds-input ValueError", 0, 0},
      {"pad_mode: pad, padding: 1, dilation: 4", "1x4x7x6", "out1x6x1x0", 0, 0},
      {"pad_mode: valid, dilation: 9223372036854775807", "1x4x9x9", "!kernel-exceeds-input ValueError", 0, 0},
      {"pad_mode: valid, dilation: 4, stride: 9223372036854775807", "1x4x8x9", "!kernel-exceeds-input RuntimeError", 0, 0},
  };
  MINDSPORE_CONV(rows);
}

static void mindspore_conv_checks_in_this_order(void **state) {
  (void)state;
  static const rung base[] = {{"in_channels", "4", NULL}, {"out_channels", "6", NULL}, {"kernel_size", "3", NULL},
                              {"group", "2", NULL},       {"has_bias", "true", NULL},  {"input", "1x4x9x9", NULL},
                              {NULL, NULL, NULL}};
  static const rung construction[] = {
      {"nope", "1", "!unknown-parameter TypeError"},
      {"kernel_size", "[3.0, 3]", "!parameter-type TypeError"},
      {"kernel_size", "[3]", "!parameter-length TypeError"},
      {"stride", "true", "!parameter-type TypeError"},
      {"stride", "[1, 1, 1]", "!parameter-length TypeError"},
      {"dilation", "1.0", "!parameter-type TypeError"},
      {"dilation", "[1]", "!parameter-length TypeError"},
      {"group", "1.0", "!parameter-type TypeError"},
      {"group", "0", "!groups-positive ValueError"},
      {"in_channels", "'4'", "!parameter-type TypeError"},
      {"in_channels", "-5", "!groups-divide-in-channels ValueError"},
      {"out_channels", "7", "!groups-divide-out-channels ValueError"},
      {"in_channels", "4.0", "!parameter-type TypeError"},
      {"in_channels", "-4", "!in-channels-positive ValueError"},
      {"out_channels", "6.0", "!parameter-type TypeError"},
      {"out_channels", "-6", "!out-channels-positive ValueError"},
      {"data_format", "NHWC", "!tensor-format ValueError"},
      {"padding", "1.0", "!parameter-type TypeError"},
      {"padding", "-1", "!padding-non-negative ValueError"},
      {"kernel_size", "0", "!kernel-positive ValueError"},
      {"stride", "0", "!stride-positive ValueError"},
      {"dilation", "0", "!dilation-positive ValueError"},
      {"weight_init", "[1]", "!parameter-type TypeError"},
      {"has_bias", "1", "!parameter-type TypeError"},
      {"bias_init", "[1]", "!parameter-type TypeError"},
  };
  climb("mindspore", "nn.Conv2d", base, construction, COUNT(construction), false);
  static const rung rest[] = {
      {"pad_mode", "1", "!parameter-type TypeError"},
      {"padding", "[1, 1]", "!parameter-length ValueError"},
      {"pad_mode", "Same", "!padding-mode-unknown ValueError"},
      {"padding", "1", "!padding-must-be-zero ValueError"},
      {"data_format", "NCDHW", "!tensor-format ValueError"},
      {"input", "9x9", "!input-rank ValueError"},
      {"input", "1x5x2x2", "!input-channels-mismatch RuntimeError"},
      {"input", "1x4x2x2", "!kernel-exceeds-input ValueError"},
  };
  static const rung rest_base[] = {{"in_channels", "4", NULL}, {"out_channels", "6", NULL}, {"kernel_size", "3", NULL},
                                   {"pad_mode", "valid", NULL}, {NULL, NULL, NULL}};
  climb("mindspore", "nn.Conv2d", rest_base, rest, COUNT(rest), false);
}

/* -------------------------------------------------------------------------------------- MindSpore nn.BatchNorm2d */

static void mindspore_batchnorm(void **state) {
  (void)state;
  static const row rows[] = {
      {"{num_features: 3}", "2x3x4x5", "in2x3x4x5 running keep unbiased eps=1e-05 gamma beta mean0=0 var0=1 gamma0=1 beta0=0", 'e', 0},
      {"{num_features: 3}", "2x3x4x5", "batch update unbiased m=0.1", 't', 0}, /* momentum 0.9 weighs the old statistics */
      {"momentum: 0.25", "2x3x4x5", "m=0.75", 't', 0},
      {"momentum: 0", "2x3x4x5", "m=1", 't', 0},
      {"momentum: 1", "2x3x4x5", "m=0", 't', 0},
      {"momentum: true", "2x3x4x5", "m=0", 't', 0},
      {"momentum: -0.001", "2x3x4x5", "!momentum-range ValueError", 'e', 0},
      {"momentum: 1.0000000000000002", "2x3x4x5", "!momentum-range ValueError", 'e', 0},
      {"momentum: .nan", "2x3x4x5", "running", 'e', 0},
      {"momentum: .nan", "2x3x4x5", "!momentum-range ValueError", 't', 0},
      {"momentum: .nan, use_batch_statistics: true", "2x3x4x5", "!momentum-range ValueError", 'e', 0},
      {"momentum: null", "2x3x4x5", "!parameter-type TypeError", 't', 0},
      {"momentum: '0.9'", "2x3x4x5", "!parameter-type TypeError", 't', 0},
      /* whose statistics */
      {"use_batch_statistics: null", "2x3x4x5", "batch update", 't', 0},
      {"use_batch_statistics: null", "2x3x4x5", "running keep", 'e', 0},
      {"use_batch_statistics: true", "2x3x4x5", "batch update", 't', 0},
      {"use_batch_statistics: true", "2x3x4x5", "batch update", 'e', 0},
      {"use_batch_statistics: false", "2x3x4x5", "running keep", 't', 0},
      {"use_batch_statistics: false", "2x3x4x5", "running keep", 'e', 0},
      {"use_batch_statistics: 1", "2x3x4x5", "!parameter-type ValueError", 'e', 0},
      {"use_batch_statistics: 'True'", "2x3x4x5", "!parameter-type ValueError", 'e', 0},
      /* affine=False only stops training */
      {"affine: false, gamma_init: 2, beta_init: 3", "2x3x4x5", "gamma beta gamma0=2 beta0=3", 'e', 0},
      {"affine: 0", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"moving_mean_init: ones, moving_var_init: Zeros", "2x3x4x5", "mean0=1 var0=0", 'e', 0},
      {"gamma_init: null", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"beta_init: [0]", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"gamma_init: nonsense", "2x3x4x5", "ValueError", 'e', 0},
      {"gamma_init: he_normal", "2x3x4x5", "ValueError", 'e', 0},
      /* eps: a float in (0, 1] after rounding to f32 */
      {"eps: 1", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"eps: true", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"eps: null", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"eps: 1.0", "2x3x4x5", "eps=1", 'e', 0},
      {"eps: 1.00000001", "2x3x4x5", "running", 'e', 0},
      {"eps: 1.0000001", "2x3x4x5", "!epsilon-range ValueError", 'e', 0},
      {"eps: 0.0", "2x3x4x5", "!epsilon-range ValueError", 'e', 0},
      {"eps: 7.0e-46", "2x3x4x5", "!epsilon-range ValueError", 't', 0},
      {"eps: 8.0e-46", "2x3x4x5", "batch", 't', 0},
      {"eps: -1.0e-5", "2x3x4x5", "!epsilon-range ValueError", 't', 0},
      {"eps: .nan", "2x3x4x5", "!epsilon-range ValueError", 't', 0},
      {"eps: .inf", "2x3x4x5", "!epsilon-range ValueError", 't', 0},
      {"{num_features: 3.0}", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"{num_features: true}", "2x1x4x5", "!parameter-type TypeError", 'e', 0},
      {"{num_features: [3]}", "2x3x4x5", "!parameter-type TypeError", 'e', 0},
      {"{num_features: 0}", "2x3x4x5", "!num-features-positive ValueError", 'e', 0},
      {"{num_features: 1}", "2x1x4x5", "in2x1x4x5", 'e', 0},
      {"{}", "2x1x4x5", "!missing-parameter TypeError", 'e', 0},
      {"track_running_stats: true", "2x3x4x5", "!unknown-parameter TypeError", 'e', 0},
      {"data_format: NHWC", "2x3x4x5", "!tensor-format ValueError", 'e', 0},
      {"data_format: NCDHW", "2x3x4x5", "!tensor-format ValueError", 'e', 0},
      {"{num_features: 3}", "2x4x4x5", "!input-channels-mismatch ValueError", 'e', 0},
      {"{num_features: 3}", "0x4x4x5", "!input-channels-mismatch ValueError", 't', 0},
      {"{num_features: 3}", "2x3", "!input-rank ValueError", 'e', 0},
      /* one value a channel and none at all are taken */
      {"{num_features: 3}", "1x3x1x1", "batch update", 't', 0},
      {"{num_features: 3}", "0x3x4x5", "batch update", 't', 0},
  };
  check_rows("mindspore", "nn.BatchNorm2d", "num_features: 3", rows, COUNT(rows));
}

static void mindspore_batchnorm_checks_in_this_order(void **state) {
  (void)state;
  static const rung base[] = {{"num_features", "3", NULL}, {"input", "2x3x4x5", NULL}, {NULL, NULL, NULL}};
  static const rung rungs[] = {
      {"nope", "1", "!unknown-parameter TypeError"},
      {"num_features", "3.0", "!parameter-type TypeError"},
      {"num_features", "0", "!num-features-positive ValueError"},
      {"momentum", "null", "!parameter-type TypeError"},
      {"momentum", "1.5", "!momentum-range ValueError"},
      {"data_format", "NHWC", "!tensor-format ValueError"},
      {"use_batch_statistics", "1", "!parameter-type ValueError"},
      {"moving_mean_init", "null", "!parameter-type TypeError"},
      {"beta_init", "null", "!parameter-type TypeError"},
      {"affine", "1", "!parameter-type TypeError"},
      {"input", "2x4x4", "!input-rank ValueError"},
      {"eps", "1", "!parameter-type TypeError"},
      {"eps", "2.0", "!epsilon-range ValueError"},
      {"momentum", ".nan", "!momentum-range ValueError"},
      {"input", "2x4x4x5", "!input-channels-mismatch ValueError"},
  };
  climb("mindspore", "nn.BatchNorm2d", base, rungs, COUNT(rungs), true);
}

/* ----------------------------------------------------------------------------------------------------- both */

static void messages_name_the_value(void **state) {
  (void)state;
  static const struct {
    const char *dialect, *operator_name, *params, *input, *words;
  } rows[] = {
      {"pytorch", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, stride: [1, -7]}", "1x4x9x9", "-7 on axis W"},
      {"pytorch", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, padding: [0, -8]}", "1x4x9x9", "-8"},
      {"pytorch", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, nope: 1}", "1x4x9x9", "'nope'"},
      {"pytorch", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, dilation: 5}", "1x4x9x9", "11"},
      {"pytorch", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, padding: Same}", "1x4x9x9", "Same"},
      {"pytorch", "nn.BatchNorm2d", "{num_features: 3, eps: -0.25}", "2x3x4x5", "-0.25"},
      {"mindspore", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, group: -9}", "1x4x9x9", "-9"},
      {"mindspore", "nn.Conv2d", "{in_channels: 4, out_channels: 6, kernel_size: 3, pad_mode: Valid}", "1x4x9x9", "Valid"},
      {"mindspore", "nn.BatchNorm2d", "{num_features: 3, momentum: 1.5}", "2x3x4x5", "1.5"},
      {"mindspore", "nn.BatchNorm2d", "{num_features: 3}", "2x7x4x5", "7 channels"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char text[TEXT], message[256] = "";
    plan_as_text(rows[i].dialect, rows[i].operator_name, rows[i].params, rows[i].input, false, 0, text, message);
    if (strstr(message, rows[i].words) == NULL) fail_msg("%s: '%s' does not say '%s'", rows[i].params, message, rows[i].words);
  }
}

static void dialects_are_found_by_name(void **state) {
  (void)state;
  static const char *const names[] = {"pytorch", "mindspore"};
  for (size_t i = 0; i < COUNT(names); i++) {
    const cbn_dialect *dialect = cbn_dialect_by_name(names[i]);
    assert_non_null(dialect);
    assert_ptr_equal(cbn_dialects()[i], dialect);
    assert_int_equal(dialect->trains_by_default, i == 0);
    assert_non_null(cbn_dialect_find(dialect, "nn.Conv2d"));
    assert_non_null(cbn_dialect_find(dialect, "nn.BatchNorm2d"));
    assert_null(cbn_dialect_find(dialect, "nn.conv2d"));
  }
  assert_string_equal(cbn_dialects()[COUNT(names)]->name, "onnx");
  assert_string_equal(cbn_dialects()[COUNT(names) + 1]->name, "tensorflow");
  assert_string_equal(cbn_dialects()[COUNT(names) + 2]->name, "keras");
  assert_string_equal(cbn_dialects()[COUNT(names) + 3]->name, "jax");
  assert_string_equal(cbn_dialects()[COUNT(names) + 4]->name, "flax");
  assert_string_equal(cbn_dialects()[COUNT(names) + 5]->name, "canonical");
  assert_null(cbn_dialects()[COUNT(names) + 6]);
  assert_null(cbn_dialect_by_name("PyTorch"));
  assert_null(cbn_dialect_by_name(""));
}

/* Parameters that are left out altogether: the request's map is NULL. */
static void no_parameters_at_all(void **state) {
  (void)state;
  for (const cbn_dialect *const *d = cbn_dialects(); *d != NULL; d++)
    for (size_t i = 0; i < (*d)->operator_count; i++) {
      const cbn_request request = {.input = {.rank = 4, .extent = {1, 1, 1, 1}}};
      cbn_plan plan;
      cbn_rejection rejection;
      const cbn_dialect_operator *operator = &(*d)->operators[i];
      if (strchr(operator->signature, '=') < strchr(operator->signature, ',')) continue; /* none is required */
      assert_false(operator->plan(operator, &request, &plan, &rejection));
      assert_int_equal(rejection.rule, CBN_RULE_MISSING_PARAMETER);
      assert_string_equal(rejection.exception, "TypeError");
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pytorch_conv_defaults),
      cmocka_unit_test(pytorch_conv_takes_what_python_takes),
      cmocka_unit_test(pytorch_conv_padding_by_name),
      cmocka_unit_test(pytorch_conv_edges_of_its_rules),
      cmocka_unit_test(pytorch_conv_padding_modes),
      cmocka_unit_test(pytorch_conv_checks_in_this_order),
      cmocka_unit_test(pytorch_batchnorm),
      cmocka_unit_test(pytorch_batchnorm_checks_in_this_order),
      cmocka_unit_test(mindspore_conv_defaults_and_same),
      cmocka_unit_test(mindspore_conv_edges_of_its_rules),
      cmocka_unit_test(mindspore_conv_has_a_hole_behind_dilation),
      cmocka_unit_test(mindspore_conv_checks_in_this_order),
      cmocka_unit_test(mindspore_batchnorm),
      cmocka_unit_test(mindspore_batchnorm_checks_in_this_order),
      cmocka_unit_test(messages_name_the_value),
      cmocka_unit_test(dialects_are_found_by_name),
      cmocka_unit_test(no_parameters_at_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
