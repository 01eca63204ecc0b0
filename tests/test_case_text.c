/* Problems as case files: what a person would write, nothing lost on the way there and back, and why some cases are no
 * problems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rules.h"
#include "fuzz/case_text.h"
#include "fuzz/targets.h"

static uint64_t random_state = 1;

static uint64_t random_word(void) {
  uint64_t word = 0;
  for (int i = 0; i < 8; i++) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    word = word << 8 | random_state >> 56;
  }
  return word;
}

static void random_bytes(uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)random_word();
}

/* --------------------------------------------------------------------------------------------------------- files */

static char path[] = "/tmp/convbn-case-text-XXXXXX";

static int make_path(void **state) {
  (void)state;
  const int descriptor = mkstemp(path);
  return descriptor < 0 ? -1 : close(descriptor);
}

static int remove_path(void **state) {
  (void)state;
  return unlink(path);
}

static void print_problem(void *context, const char *line) {
  (void)context;
  print_error("%s\n", line);
}

static void write_text(const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

/* The problem of the file's first case; false with the message, without the path. */
static bool read_problem(cbn_generated *problem, char *message, size_t size) {
  cbn_error error = {""};
  cbn_case_set *set = cbn_cases_create();
  assert_int_equal(cbn_cases_load(set, path, print_problem, NULL), 0);
  const bool read = cbn_problem_of_case(cbn_cases_at(set, 0), problem, &error);
  if (!read) snprintf(message, size, "%s", error.text + strlen(path));
  cbn_cases_destroy(set);
  return read;
}

static void write_problem(const cbn_generated *problem) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(cbn_case_write(file, problem, NULL, NULL));
  assert_int_equal(fclose(file), 0);
}

/* A case file's text in memory; freed by the caller. */
static char *text_of(const cbn_generated *problem, const char *comment) {
  char *text = NULL;
  size_t size = 0;
  FILE *file = open_memstream(&text, &size);
  assert_non_null(file);
  assert_true(cbn_case_write(file, problem, "a/b/c", comment));
  assert_int_equal(fclose(file), 0);
  return text;
}

static void check_back(const cbn_generated *problem) {
  cbn_generated back;
  char message[1024];
  write_problem(problem);
  if (!read_problem(&back, message, sizeof message)) fail_msg("no problem: %s", message);
  if (cbn_generated_equal(problem, &back)) return;
  char *text = text_of(problem, "lost");
  fail_msg("another problem comes back from\n%s", text);
}

/* ------------------------------------------------------------------------------------------ there and back */

static bool has_negative_extent(const cbn_generated *p) {
  const cbn_conv *c = &p->conv;
  const cbn_batchnorm *b = &p->batchnorm;
  if (!cbn_generated_is_conv(p->kind)) return b->batch < 0 || b->channels < 0;
  return c->batch < 0 || c->in_channels < 0 || c->input[0] < 0 || c->input[1] < 0 || c->input[2] < 0;
}

/* No element of 2^62 channels: no other extent is above 1, and one is 0. */
static bool is_none_of_many(const cbn_batchnorm *b) {
  bool none = b->batch == 0, one = b->batch <= 1;
  for (int a = 0; a < b->spatial_rank; a++) {
    none = none || b->extent[a] == 0;
    one = one && b->extent[a] <= 1;
  }
  return none && one;
}

/* Can a case state it? Parameters of a call in memory that a case does not have, and tensors beyond any memory, cannot be
 * stated. */
static bool can_be_stated(const cbn_generated *p) {
  cbn_violation v = {.rule = -1};
  const bool conv = cbn_generated_is_conv(p->kind);
  if (conv ? cbn_conv_validate(&p->conv, &v) : cbn_batchnorm_validate(&p->batchnorm, &v)) return true;
  return p->kind != CBN_GENERATED_BATCHNORM_PROGRAM && v.rule != CBN_RULE_MISSING_PARAMETER &&
         v.rule != CBN_RULE_PARAMETER_TYPE && v.rule != CBN_RULE_PARAMETER_LENGTH && v.rule != CBN_RULE_SPATIAL_RANK &&
         !has_negative_extent(p) && (conv || v.rule != CBN_RULE_EXTENT_OVERFLOW || is_none_of_many(&p->batchnorm));
}

/* Problems of one operator, cases of one file. */
enum { BATCH = 50 };
typedef struct batch {
  cbn_generated problem[BATCH];
  int count;
} batch;

/* Writes the file, loads it, and finds the same problems there. */
static void check_batch(batch *b) {
  if (b->count == 0) return;
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(cbn_case_write_header(file, b->problem[0].kind));
  for (int i = 0; i < b->count; i++) {
    char id[32];
    snprintf(id, sizeof id, "a/b/%d", i);
    assert_true(cbn_case_write_entry(file, &b->problem[i], id, NULL));
  }
  assert_int_equal(fclose(file), 0);
  cbn_case_set *set = cbn_cases_create();
  assert_int_equal(cbn_cases_load(set, path, print_problem, NULL), 0);
  assert_int_equal(cbn_cases_count(set), b->count);
  for (int i = 0; i < b->count; i++) {
    cbn_generated back;
    cbn_error error;
    if (!cbn_problem_of_case(cbn_cases_at(set, (size_t)i), &back, &error)) fail_msg("no problem: %s", error.text);
    if (cbn_generated_equal(&b->problem[i], &back)) continue;
    char *text = text_of(&b->problem[i], "lost");
    fail_msg("another problem comes back from\n%s", text);
  }
  cbn_cases_destroy(set);
  b->count = 0;
}

/* Problems of all kinds come back from a file, near misses too, but those that no tensor can have. */
static void problems_come_back(void **state) {
  (void)state;
  enum { COUNT = 3000 };
  static batch batches[2];
  int kinds[CBN_GENERATED_KIND_COUNT] = {0}, rules[256] = {0}, known = 0, impossible = 0;
  for (int i = 0; i < COUNT; i++) {
    uint8_t bytes[CBN_GENOME_BYTES];
    cbn_generated p;
    cbn_error error;
    cbn_violation violation = {.rule = 0};
    random_bytes(bytes, sizeof bytes);
    if (i % 8 == 0) bytes[CBN_GENE_NEAR_MISS] = 255;
    cbn_generate(bytes, sizeof bytes, &p);
    if (!p.valid && cbn_generated_is_conv(p.kind)) assert_false(cbn_conv_validate(&p.conv, &violation));
    else if (!p.valid) assert_false(cbn_batchnorm_validate(&p.batchnorm, &violation));
    const bool possible = cbn_case_possible(&p, &error);
    assert_int_equal(possible, can_be_stated(&p));
    if (!possible) {
      impossible++;
      assert_non_null(strstr(error.text, violation.message));
      continue;
    }
    batch *b = &batches[cbn_generated_is_conv(p.kind)];
    b->problem[b->count++] = p;
    if (b->count == BATCH) check_batch(b);
    kinds[p.kind]++;
    if (!p.valid && rules[violation.rule]++ == 0) known++;
  }
  check_batch(&batches[0]);
  check_batch(&batches[1]);
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++)
    assert_true(kinds[kind] > COUNT / CBN_GENERATED_KIND_COUNT / 2);
  assert_true(known >= 10);
  assert_true(impossible > 0);
}

/* The id is the problem's: the same for the same calls with the same data, another for others. */
static void ids_are_the_problems(void **state) {
  (void)state;
  enum { COUNT = 400 };
  static cbn_generated p[COUNT];
  static cbn_case_id id[COUNT];
  int twins = 0;
  for (int i = 0; i < COUNT; i++) {
    uint8_t bytes[CBN_GENOME_BYTES] = {0};
    random_bytes(bytes, 3);
    bytes[CBN_GENE_NEAR_MISS] = bytes[CBN_GENE_NEAR_MISS] % 240;
    cbn_generate(bytes, sizeof bytes, &p[i]);
    assert_true(cbn_case_id_of(&p[i], &id[i]));
    for (int k = 0; k < i; k++) {
      const bool same = cbn_generated_equal(&p[i], &p[k]);
      assert_int_equal(strcmp(id[i].text, id[k].text) == 0, same);
      twins += same;
    }
  }
  assert_true(twins > 0);
}

/* Every double comes back as it was. */
static void doubles_come_back(void **state) {
  (void)state;
  static const double edges[] = {0.1,  1e-5, 0x1p-1074, -0x1p-1074, 0x1.fffffffffffffp1023,
                                 1e22, 1e15, 0x1p53,    -3,         1 - 0x1p-53};
  for (int i = 0; i < 300; i++) {
    cbn_generated p = {.kind = CBN_GENERATED_BATCHNORM_TRAIN, .valid = true, .steps = 1}, back;
    char message[1024];
    p.batchnorm = cbn_batchnorm_make(1);
    p.batchnorm.statistics = CBN_STATISTICS_BATCH;
    p.batchnorm.update_running = 1;
    p.batchnorm.batch = p.batchnorm.channels = p.batchnorm.extent[0] = 2;
    double drawn[3];
    for (int k = 0; k < 3; k++) {
      const uint64_t word = random_word();
      memcpy(&drawn[k], &word, sizeof word);
      if (i < 10) drawn[k] = edges[(i + k) % 10];
      if (!isfinite(drawn[k])) drawn[k] = 1;
    }
    p.batchnorm.epsilon = drawn[0];
    for (int role = 0; role <= CBN_ROLE_RUNNING_VAR; role++) {
      p.fill[role] = cbn_fill_make(CBN_FILL_NORMAL);
      p.fill[role].mean = drawn[1];
      p.fill[role].scale = drawn[2];
    }
    write_problem(&p);
    if (!read_problem(&back, message, sizeof message)) fail_msg("%s", message);
    assert_memory_equal(&back.batchnorm.epsilon, &drawn[0], sizeof(double));
    assert_memory_equal(&back.fill[CBN_ROLE_BIAS].mean, &drawn[1], sizeof(double));
    assert_memory_equal(&back.fill[CBN_ROLE_BIAS].scale, &drawn[2], sizeof(double));
  }
}

/* ----------------------------------------------------------------------------------------- as a person writes it */

static const char header_of_conv[] =
    "format: 1\ndialect: canonical\noperator: conv\n"
    "source: generated, with shapes and rules alone\ncases:\n  - id: a/b/c\n";
static const char header_of_norm[] =
    "format: 1\ndialect: canonical\noperator: batchnorm\n"
    "source: generated, with shapes and rules alone\ncases:\n  - id: a/b/c\n";

static void check_text(const cbn_generated *problem, const char *comment, const char *header, const char *rest) {
  char *text = text_of(problem, comment);
  assert_memory_equal(text, header, strlen(header));
  assert_string_equal(text + strlen(header), rest);
  free(text);
  check_back(problem);
}

static void the_smallest_problem(void **state) {
  (void)state;
  cbn_generated p;
  cbn_generate(NULL, 0, &p);
  check_text(&p, NULL, header_of_conv,
             "    comment: a generated problem of the kind conv_forward\n"
             "    params: {out_channels: 1, kernel: 1}\n"
             "    tensors:\n"
             "      input: {shape: [1, 1, 1, 1], fill: {kind: integers}}\n"
             "      weight: {shape: [1, 1, 1, 1], fill: {kind: integers}}\n"
             "    expect: {output: {shape: [1, 1, 1, 1]}}\n");
}

/* A gradient's call reads no weight, but a convolution has one. */
static void a_gradient(void **state) {
  (void)state;
  cbn_generated p = {
      .kind = CBN_GENERATED_CONV_GRAD_WEIGHT, .valid = true, .steps = 1, .type = CBN_F16, .layer_type = CBN_F16};
  cbn_conv *c = &p.conv;
  p.layout = CBN_CHANNELS_LAST;
  *c = cbn_conv_make(2);
  c->direction = CBN_GRAD_WEIGHT;
  c->batch = 2;
  c->in_channels = 4;
  c->out_channels = 6;
  c->groups = 2;
  c->input[0] = 9;
  c->input[1] = 7;
  c->kernel[0] = c->kernel[1] = 3;
  c->stride[0] = 2;
  c->dilation[1] = 2;
  c->pad_begin[0] = c->pad_end[0] = c->pad_end[1] = 1;
  c->pad_begin[1] = 2;
  c->padding_mode = CBN_PAD_REFLECT;
  c->has_bias = 1;
  p.fill[CBN_ROLE_INPUT] = cbn_fill_make(CBN_FILL_NORMAL);
  p.fill[CBN_ROLE_INPUT].seed = 7;
  p.fill[CBN_ROLE_INPUT].mean = 1e18;
  p.fill[CBN_ROLE_GRAD_OUTPUT] = cbn_fill_make(CBN_FILL_IMPULSE);
  p.fill[CBN_ROLE_GRAD_OUTPUT].position = 33;
  check_text(&p, "wrong: at the border", header_of_conv,
             "    comment: \"wrong: at the border\"\n"
             "    params: {out_channels: 6, kernel: 3, groups: 2, stride: [2, 1], dilation: [1, 2], pad_begin: [1, 2], "
             "pad_end: 1,\n"
             "        padding_mode: reflect, bias: true, direction: grad_weight}\n"
             "    layout: channels_last\n"
             "    tensors:\n"
             "      input: {shape: [2, 4, 9, 7], type: f16, fill: {kind: normal, seed: 7, mean: 1.0e+18}}\n"
             "      weight: {shape: [6, 2, 3, 3], type: f16, fill: {kind: ones}}\n"
             "      bias: {shape: [6], type: f16, fill: {kind: ones}}\n"
             "      grad_output: {shape: [2, 6, 5, 6], type: f16, fill: {kind: impulse, index: [0, 1, 0, 3]}}\n"
             "    expect: {grad_weight: {shape: [6, 2, 3, 3]}}\n");
}

/* Each step draws its input from the next seed, and says what it changes. */
static void a_program(void **state) {
  (void)state;
  cbn_generated p = {
      .kind = CBN_GENERATED_BATCHNORM_PROGRAM, .valid = true, .exact = true, .steps = 3, .type = CBN_BF16};
  p.batchnorm = cbn_batchnorm_make(0);
  p.batchnorm.batch = 4;
  p.batchnorm.channels = 2;
  p.batchnorm.statistics = CBN_STATISTICS_BATCH;
  p.batchnorm.update_running = 1;
  p.batchnorm.running_variance = CBN_VARIANCE_UNBIASED;
  p.batchnorm.epsilon = 0.25;
  p.batchnorm.has_weight = p.batchnorm.has_bias = 0;
  p.in_place = true;
  p.step[0] = (cbn_generated_step){.train = true, .new_weight = 0.1};
  p.step[1] = (cbn_generated_step){.train = true, .reset = true, .new_weight = 1};
  p.step[2] = (cbn_generated_step){.train = false, .new_weight = 1};
  p.fill[CBN_ROLE_INPUT] = cbn_fill_make(CBN_FILL_EXACT);
  p.fill[CBN_ROLE_INPUT].seed = 5;
  p.fill[CBN_ROLE_INPUT].bits = 2;
  p.fill[CBN_ROLE_RUNNING_MEAN] = cbn_fill_make(CBN_FILL_ONES);
  p.fill[CBN_ROLE_RUNNING_VAR] = cbn_fill_make(CBN_FILL_RAMP);
  p.fill[CBN_ROLE_RUNNING_VAR].start = 1;
  check_text(&p, "three calls of one layer", header_of_norm,
             "    comment: three calls of one layer\n"
             "    params: {epsilon: 0.25, running_variance: unbiased, weight: false, bias: false}\n"
             "    in_place: true\n"
             "    tensors:\n"
             "      running_mean: {shape: [2], fill: {kind: ones}}\n"
             "      running_var: {shape: [2], fill: {kind: ramp, start: 1}}\n"
             "    steps:\n"
             "      - mode: train\n"
             "        input: {shape: [4, 2], type: bf16, fill: {kind: exact, seed: 5, bits: 2}}\n"
             "        expect: {output: {shape: [4, 2]}}\n"
             "      - reset: true\n"
             "        params: {new_weight: 1}\n"
             "        mode: train\n"
             "        input: {shape: [4, 2], type: bf16, fill: {kind: exact, seed: 6, bits: 2}}\n"
             "        expect: {output: {shape: [4, 2]}}\n"
             "      - mode: eval\n"
             "        input: {shape: [4, 2], type: bf16, fill: {kind: exact, seed: 7, bits: 2}}\n"
             "        expect: {output: {shape: [4, 2]}}\n");
}

/* Training, and yet the running statistics normalise: what some frameworks do in a layer that is frozen. */
static void a_frozen_layer(void **state) {
  (void)state;
  cbn_generated p = {.kind = CBN_GENERATED_BATCHNORM_TRAIN, .valid = true, .exact = true, .steps = 1};
  p.layout = CBN_PITCHED;
  p.batchnorm = cbn_batchnorm_make(0);
  p.batchnorm.batch = 4;
  p.batchnorm.channels = 2;
  p.batchnorm.update_running = 1;
  p.batchnorm.has_weight = p.batchnorm.has_bias = 0;
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) p.fill[role] = cbn_fill_make(CBN_FILL_ONES);
  check_text(&p, "frozen", header_of_norm,
             "    comment: frozen\n"
             "    params: {statistics: running, weight: false, bias: false}\n"
             "    layout: pitched\n"
             "    tensors:\n"
             "      input: {shape: [4, 2], fill: {kind: ones}}\n"
             "      running_mean: {shape: [2], fill: {kind: ones}}\n"
             "      running_var: {shape: [2], fill: {kind: ones}}\n"
             "    mode: train\n"
             "    expect: {output: {shape: [4, 2]}}\n");
}

static void a_near_miss(void **state) {
  (void)state;
  cbn_generated p = {.kind = CBN_GENERATED_TRANSPOSED_FORWARD, .steps = 1};
  p.conv = cbn_conv_make(1);
  p.conv.transposed = 1;
  p.conv.batch = p.conv.in_channels = p.conv.out_channels = 1;
  p.conv.input[0] = 4;
  p.conv.stride[0] = 2;
  p.conv.output_padding[0] = 2;
  check_text(
      &p, NULL, header_of_conv,
      "    comment: \"a near miss of transposed_forward: output padding must be >= 0 and < 2, got 2 on axis W\"\n"
      "    params: {out_channels: 1, kernel: 1, stride: 2, output_padding: 2, transposed: true}\n"
      "    tensors:\n"
      "      input: {shape: [1, 1, 4], fill: {kind: ones}}\n"
      "    expect: {rejected: {rule: output-padding-range}}\n");
}

/* ------------------------------------------------------------------------------------------------- from cases */

static void check_refusal(const char *text, const char *message) {
  cbn_generated p;
  char why[1024] = "";
  write_text(text);
  assert_false(read_problem(&p, why, sizeof why));
  assert_string_equal(why, message);
}

#define CASE(dialect, operator, rest)                                                                                  \
  "format: 1\ndialect: " dialect "\noperator: "                                                                        \
  operator"\nsource: by hand\ncases:\n- id: a/b/c\n  comment: a test\n" rest

/* A framework's own parameters: the operator is what the dialect makes of them. */
static void cases_of_other_dialects(void **state) {
  (void)state;
  cbn_generated p;
  char message[1024];
  write_text(
      CASE("mindspore", "nn.Conv2d",
           "  params: {in_channels: 1, out_channels: 2, kernel_size: [1, 2], weight_init: normal}\n  flags: [Nobody]\n"
           "  tensors:\n    input: {shape: [1, 1, 1, 5], fill: {kind: integers, seed: 3}}\n"
           "    weight: {shape: [2, 1, 1, 2], fill: {kind: ramp}}\n  expect: {output: {shape: [1, 2, 1, 5]}}\n"));
  if (!read_problem(&p, message, sizeof message)) fail_msg("%s", message);
  assert_int_equal(p.kind, CBN_GENERATED_CONV_FORWARD);
  assert_true(p.valid && p.exact);
  assert_int_equal(p.conv.pad_begin[1], 0);
  assert_int_equal(p.conv.pad_end[1], 1); /* pad_mode same: with an odd total, to the right */
  assert_int_equal(p.fill[CBN_ROLE_WEIGHT].kind, CBN_FILL_RAMP);
  write_text(CASE("pytorch", "nn.BatchNorm1d",
                  "  params: {num_features: 3, momentum: null}\n  tensors: {input: {shape: [2, 3], type: f64, fill: "
                  "{kind: normal}}}\n"
                  "  mode: train\n  expect: {output: {shape: [2, 3]}}\n"));
  if (!read_problem(&p, message, sizeof message)) fail_msg("%s", message);
  assert_int_equal(p.kind, CBN_GENERATED_BATCHNORM_TRAIN);
  assert_true(p.valid && !p.exact);
  assert_int_equal(p.layer_type, CBN_F64);
  assert_true(p.batchnorm.new_weight == 1 && p.batchnorm.running_variance == CBN_VARIANCE_UNBIASED);
  for (int i = 0; i < 3; i++) {
    assert_true(cbn_fill_element(&p.fill[CBN_ROLE_WEIGHT], CBN_ROLE_WEIGHT, i) == 1);
    assert_true(cbn_fill_element(&p.fill[CBN_ROLE_BIAS], CBN_ROLE_BIAS, i) == 0);
  }
  write_text(CASE("pytorch", "nn.Conv1d", /* without a batch axis, and the one gradient that it names */
                  "  params: {in_channels: 1, out_channels: 1, kernel_size: 2, bias: false}\n  tensors:\n"
                  "    input: {shape: [1, 4], fill: {kind: ones}}\n    weight: {shape: [1, 1, 2], fill: {kind: ones}}\n"
                  "    grad_output: {shape: [1, 3], fill: {kind: ramp}}\n  expect: {grad_input: {shape: [1, 4]}}\n"));
  if (!read_problem(&p, message, sizeof message)) fail_msg("%s", message);
  assert_int_equal(p.kind, CBN_GENERATED_CONV_GRAD_INPUT);
  assert_int_equal(p.conv.batch, 1);
}

static void cases_that_are_no_problems(void **state) {
  (void)state;
  check_refusal(CASE("canonical", "conv",
                     "  params: {out_channels: 1, kernel: 1}\n  tensors:\n    input: {shape: [1, 1, 1], values: [1]}\n"
                     "    weight: {shape: [1, 1, 1], fill: {kind: ones}}\n  expect: {output: {shape: [1, 1, 1]}}\n"),
                ":10:12: problem: a problem's tensors are fills, and input is none");
  check_refusal(
      CASE("canonical", "conv",
           "  params: {out_channels: 1, kernel: 1}\n  tensors:\n    input: {shape: [1, 1, 1], fill: {kind: ones}}\n"
           "    weight: {shape: [1, 1, 1], values: [1]}\n  expect: {output: {shape: [1, 1, 1]}}\n"),
      ":11:13: problem: a problem's tensors are fills, and weight is none");
  check_refusal(
      CASE("canonical", "conv",
           "  params: {out_channels: 1, kernel: 1}\n  tensors:\n    input: {shape: [1, 1, 1], fill: {kind: ones}}\n"
           "    weight: {shape: [1, 1, 2], fill: {kind: ones}}\n  expect: {output: {shape: [1, 1, 1]}}\n"),
      ":11:13: problem: the shape of weight is not the one that the parameters say");
  check_refusal(
      CASE("canonical", "conv",
           "  params: {out_channels: 1, kernel: 1}\n  tensors: {input: {shape: [1, 1, 1], fill: {kind: ones}}}\n"
           "  expect: {output: {shape: [1, 1, 1]}}\n"),
      ":6:1: problem: the tensor weight is missing");
  check_refusal(
      CASE("canonical", "conv",
           "  params: {out_channels: 1, kernel: 1}\n  tensors:\n    input: {shape: [1, 1, 1], fill: {kind: ones}}\n"
           "    weight: {shape: [1, 1, 1], fill: {kind: ones}}\n    grad_output: {shape: [1, 1, 1], fill: {kind: "
           "ones}}\n"
           "  expect: {output: {shape: [1, 1, 1]}, grad_input: {shape: [1, 1, 1]}}\n"),
      ":12:18: problem: a problem is one call, and this case asks for a convolution and its gradients");
  check_refusal(CASE("canonical", "conv",
                     "  params: {out_channels: 1, kernel: 1, stride: '2'}\n  tensors: {input: {shape: [1, 1, 1], fill: "
                     "{kind: ones}}}\n"
                     "  expect: {rejected: {}}\n"),
                ":6:1: problem: a/b/c is rejected before there is a problem: stride must be integers, got \"2\"");
  check_refusal(
      CASE("canonical", "conv",
           "  params: {out_channels: 1, kernel: 1, transposed: true, bias: true, direction: grad_bias}\n  tensors:\n"
           "    input: {shape: [1, 1, 1], fill: {kind: ones}}\n    weight: {shape: [1, 1, 1], fill: {kind: ones}}\n"
           "    bias: {shape: [1], fill: {kind: ones}}\n    grad_output: {shape: [1, 1, 1], fill: {kind: ones}}\n"
           "  expect: {grad_bias: {shape: [1]}}\n"),
      ":6:1: problem: no kind of problem is the gradient of a transposed convolution's bias");
  check_refusal(CASE("pytorch", "nn.Conv1d",
                     "  params: {in_channels: 1}\n  tensors: {input: {shape: [1, 1, 1], fill: {kind: ones}}}\n"
                     "  expect: {rejected: {}}\n"),
                ":6:1: problem: a/b/c is rejected before there is a problem: the parameter 'out_channels' is missing");
}

#define INPUT(seed) "{shape: [2, 2], fill: {kind: integers, seed: " #seed "}}"

static void sequences_that_are_no_problems(void **state) {
  (void)state;
#define EXPECT "      expect: {output: {shape: [2, 2]}}\n"
  check_refusal(CASE("canonical", "batchnorm",
                     "  params: {}\n  steps:\n    - input: " INPUT(1) "\n" EXPECT "    - input: " INPUT(3) "\n" EXPECT),
                ":12:14: problem: the input of each step is that of the first, drawn from the next seed");
  check_refusal(CASE("canonical", "batchnorm",
                     "  params: {}\n  steps:\n    - input: " INPUT(1) "\n" EXPECT "    - input: " INPUT(
                         2) "\n"
                            "      params: {epsilon: 2}\n" EXPECT),
                ":6:1: problem: step 2 is another layer's: only mode and new_weight change in a sequence of calls");
  check_refusal(CASE("canonical", "batchnorm",
                     "  params: {}\n  steps:\n    - input: " INPUT(
                         1) "\n"
                            "      tensors: {bias: {shape: [2], fill: {kind: ones}}}\n" EXPECT),
                ":11:23: problem: no sequence of calls has a bias loaded between them");
  check_refusal(CASE("canonical", "batchnorm",
                     "  params: {}\n  steps:\n    - input: " INPUT(1) "\n"
                                                                      "      grad_output: " INPUT(1) "\n" EXPECT),
                ":11:20: problem: no sequence of calls has gradients in it");
#define STEP "    - {input: " INPUT(1) ", expect: {output: {shape: [2, 2]}}}\n"
  check_refusal(CASE("canonical", "batchnorm", "  params: {}\n  steps:\n" STEP STEP STEP STEP STEP STEP STEP),
                ":6:1: problem: a sequence of at most 6 calls is a problem, this has 7");
}

/* ---------------------------------------------------------------------------------------------------- targets */

/* Bytes of any length; the targets abort where they find something. */
static void targets_find_nothing(void **state) {
  (void)state;
  const cbn_target target = {.name = "test", .kind = -1};
  uint8_t bytes[300];
  cbn_fuzz_round_trip(&target, NULL, 0);
  cbn_fuzz_dialects(&target, NULL, 0);
  for (int i = 0; i < 20000; i++) {
    random_bytes(bytes, sizeof bytes);
    const size_t size = (size_t)(random_word() % (sizeof bytes + 1));
    cbn_fuzz_dialects(&target, bytes, size);
    if (i % 20 == 0) cbn_fuzz_round_trip(&target, bytes, size);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(problems_come_back),
      cmocka_unit_test(ids_are_the_problems),
      cmocka_unit_test(doubles_come_back),
      cmocka_unit_test(the_smallest_problem),
      cmocka_unit_test(a_gradient),
      cmocka_unit_test(a_program),
      cmocka_unit_test(a_frozen_layer),
      cmocka_unit_test(a_near_miss),
      cmocka_unit_test(cases_of_other_dialects),
      cmocka_unit_test(cases_that_are_no_problems),
      cmocka_unit_test(sequences_that_are_no_problems),
      cmocka_unit_test(targets_find_nothing),
  };
  return cmocka_run_group_tests(tests, make_path, remove_path);
}
