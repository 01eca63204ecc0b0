/* A trial finds what an engine may do wrong in a call, and nothing in an engine that is right. */
#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/poison.h"
#include "diagnosis/trial.h"
#include "tests/chance.h"

/* The fast engine, and what is done to its answer. */
typedef struct wrapped {
  cbn_engine *engine;
  void (*spoil)(cbn_call *call, cbn_reply *reply);
} wrapped;

static void run_wrapped(void *context, cbn_call *call, cbn_reply *reply) {
  const wrapped *w = context;
  reply->status = w->engine->run(w->engine, call);
  if (w->spoil != NULL) w->spoil(call, reply);
}

static bool try(wrapped *w, const cbn_generated *problem, cbn_finding *finding) {
  static cbn_trial *trial;
  if (trial == NULL) trial = cbn_trial_open();
  assert_non_null(trial);
  const cbn_subject subject = {.name = "wrapped",
                               .arithmetic = w->engine->arithmetic,
                               .abilities = w->engine->abilities,
                               .run = run_wrapped,
                               .context = w};
  return cbn_trial_run(trial, problem, &subject, finding);
}

static wrapped wrap(void (*spoil)(cbn_call *call, cbn_reply *reply)) {
  static cbn_engine *engine;
  if (engine == NULL) engine = cbn_engine_open(CBN_ABI_VERSION, "");
  assert_non_null(engine);
  return (wrapped){.engine = engine, .spoil = spoil};
}

static void draw(chance *r, cbn_generated *problem) {
  uint8_t genome[CBN_GENOME_BYTES];
  for (int i = 0; i < CBN_GENOME_BYTES; i++) genome[i] = (uint8_t)next(r);
  genome[CBN_GENE_SIZE] = 0;
  cbn_generate(genome, sizeof genome, problem);
}

static void nothing_is_found_in_an_engine_that_is_right(void **state) {
  (void)state;
  wrapped w = wrap(NULL);
  int judged = 0, count = 20000;
  const uint64_t first = seeds_from(1, &count);
  for (int i = 0; i < count; i++) {
    chance r = {first + (uint64_t)i};
    cbn_generated p;
    cbn_finding f;
    draw(&r, &p);
    if (try(&w, &p, &f))
      fail_msg("seed %d, %s: %s: %s", (int)first + i, cbn_generated_kind_name((int)p.kind), cbn_verdict_name(f.verdict),
               f.message);
    judged += f.verdict == CBN_VERDICT_PASS;
  }
  assert_true(judged > count * 9 / 10);
}

/* A 2-d convolution of 1 x 2 x 5 x 6 by 3 filters of 3 x 3, integers; `layout` as asked for. */
static cbn_generated small_conv(enum cbn_layout layout) {
  cbn_generated p;
  cbn_generate(NULL, 0, &p);
  p.conv.in_channels = 2;
  p.conv.out_channels = 3;
  p.conv.input[0] = 5;
  p.conv.input[1] = 6;
  p.conv.kernel[0] = p.conv.kernel[1] = 3;
  p.layout = layout;
  return p;
}

static cbn_generated small_norm(bool in_place) {
  cbn_generated p;
  const uint8_t genome[] = {CBN_GENERATED_BATCHNORM_TRAIN};
  cbn_generate(genome, sizeof genome, &p);
  p.batchnorm.batch = 2;
  p.batchnorm.channels = 3;
  p.in_place = in_place;
  return p;
}

static void spoil_output(cbn_call *call, cbn_reply *reply) {
  (void)reply;
  cbn_tensor_set(call->tensor[CBN_ROLE_OUTPUT], 7, 1000);
}
static void spoil_input(cbn_call *call, cbn_reply *reply) {
  (void)reply;
  cbn_tensor_set(call->tensor[CBN_ROLE_INPUT], 4, -77);
}
static void write_before(cbn_call *call, cbn_reply *reply) {
  (void)reply;
  ((volatile char *)call->tensor[CBN_ROLE_OUTPUT]->data)[-1] = 1;
}
static void write_behind(cbn_call *call, cbn_reply *reply) {
  (void)reply;
  ((volatile char *)call->tensor[CBN_ROLE_OUTPUT]->data)[cbn_tensor_bytes(call->tensor[CBN_ROLE_OUTPUT])] = 1;
}
static void write_between(cbn_call *call, cbn_reply *reply) {
  (void)reply;
  ((float *)call->tensor[CBN_ROLE_OUTPUT]->data)[1] = 1;
}
static void refuse(cbn_call *call, cbn_reply *reply) {
  (void)call;
  reply->status = CBN_REJECTED;
}
static void fail_call(cbn_call *call, cbn_reply *reply) {
  snprintf(call->message, call->message_size, "out of luck");
  reply->status = CBN_ERROR;
}
static void do_nothing(cbn_call *call, cbn_reply *reply) {
  (void)call;
  reply->status = CBN_UNSUPPORTED;
}
static void change_rounding(cbn_call *call, cbn_reply *reply) {
  (void)call, (void)reply;
  fesetround(FE_UPWARD);
}
static void die(cbn_call *call, cbn_reply *reply) {
  (void)call;
  *reply = (cbn_reply){.verdict = CBN_VERDICT_TIMEOUT, .role = -1, .message = "no answer in 5 s"};
}
static void spoil_variance(cbn_call *call, cbn_reply *reply) {
  (void)reply;
  const cbn_tensor *variance = call->tensor[CBN_ROLE_RUNNING_VAR];
  cbn_tensor_set(variance, 1, cbn_tensor_get(variance, 1) * 1.01);
}

static void expect(void (*spoil)(cbn_call *, cbn_reply *), const cbn_generated *problem, enum cbn_verdict verdict,
                   int role, int64_t element) {
  wrapped w = wrap(spoil);
  cbn_finding f;
  const bool found = try(&w, problem, &f);
  fesetround(FE_TONEAREST);
  assert_int_equal(found, cbn_verdict_weight_of(verdict) == CBN_BAD);
  assert_string_equal(cbn_verdict_name(f.verdict), cbn_verdict_name(verdict));
  assert_int_equal(f.role, role);
  assert_int_equal(f.element, element);
  assert_true(!found || f.message[0] != '\0');
}

static void everything_wrong_has_its_verdict(void **state) {
  (void)state;
  const cbn_generated dense = small_conv(CBN_CONTIGUOUS), strided = small_conv(CBN_STRIDED);
  const cbn_generated norm = small_norm(false);
  expect(spoil_output, &dense, CBN_VERDICT_MISMATCH, CBN_ROLE_OUTPUT, 7);
  expect(spoil_output, &strided, CBN_VERDICT_MISMATCH, CBN_ROLE_OUTPUT, 7);
  expect(spoil_input, &dense, CBN_VERDICT_INPUT_MODIFIED, CBN_ROLE_INPUT, 4);
  expect(spoil_input, &strided, CBN_VERDICT_INPUT_MODIFIED, CBN_ROLE_INPUT, 4);
  expect(write_between, &strided, CBN_VERDICT_OUT_OF_BOUNDS, CBN_ROLE_OUTPUT, -1);
  expect(refuse, &dense, CBN_VERDICT_REJECTED_VALID, -1, -1);
  expect(fail_call, &dense, CBN_VERDICT_CRASH, -1, -1);
  expect(do_nothing, &dense, CBN_VERDICT_UNSUPPORTED, -1, -1);
  expect(change_rounding, &dense, CBN_VERDICT_FP_ENVIRONMENT, -1, -1);
  expect(die, &dense, CBN_VERDICT_TIMEOUT, -1, 0);
  expect(spoil_variance, &norm, CBN_VERDICT_MISMATCH, CBN_ROLE_RUNNING_VAR, 1);
#if !CBN_ADDRESS_SANITIZER /* which ends the program at such writes */
  expect(write_before, &dense, CBN_VERDICT_OUT_OF_BOUNDS, CBN_ROLE_OUTPUT, -1);
  expect(write_behind, &dense, CBN_VERDICT_OUT_OF_BOUNDS, CBN_ROLE_OUTPUT, -1);
#else
  (void)write_before, (void)write_behind;
#endif
}

/* What an engine leaves out is seen, and what it may write is no finding. */
static void skip_an_element(void *context, cbn_call *call, cbn_reply *reply) {
  cbn_engine *engine = context;
  const cbn_tensor *output = call->tensor[CBN_ROLE_OUTPUT];
  uint32_t before;
  memcpy(&before, (char *)output->data + 4 * cbn_tensor_offset(output, 9), sizeof before);
  reply->status = engine->run(engine, call);
  memcpy((char *)output->data + 4 * cbn_tensor_offset(output, 9), &before, sizeof before);
}

static void unwritten_elements_and_results_in_place(void **state) {
  (void)state;
  wrapped w = wrap(NULL);
  cbn_trial *trial = cbn_trial_open();
  cbn_subject subject = {.name = "skips", .run = skip_an_element, .context = w.engine};
  cbn_finding f;
  const cbn_generated strided = small_conv(CBN_STRIDED), norm = small_norm(true);
  assert_true(cbn_trial_run(trial, &strided, &subject, &f));
  assert_string_equal(cbn_verdict_name(f.verdict), "unwritten-output");
  assert_int_equal(f.element, 9);
  subject = cbn_subject_in_process(w.engine);
  assert_true(subject.abilities & CBN_IN_PLACE);
  assert_false(cbn_trial_run(trial, &norm, &subject, &f));
  assert_string_equal(cbn_verdict_name(f.verdict), "pass");
  cbn_trial_close(trial);
}

/* Takes whatever it is given. */
static void run_anything(void *context, cbn_call *call, cbn_reply *reply) {
  (void)context, (void)call;
  reply->status = CBN_OK;
}

static void near_misses_must_be_refused(void **state) {
  (void)state;
  cbn_trial *trial = cbn_trial_open();
  const cbn_subject anything = {.name = "anything", .run = run_anything};
  cbn_generated p = small_conv(CBN_CONTIGUOUS);
  cbn_finding f;
  p.valid = false;
  assert_true(cbn_trial_run(trial, &p, &anything, &f)); /* it is valid after all */
  p.conv.stride[1] = 0;
  assert_true(cbn_trial_run(trial, &p, &anything, &f));
  assert_string_equal(cbn_verdict_name(f.verdict), "accepted-invalid");
  cbn_trial_close(trial);
}

/* Training, a reset, evaluation: the second step's statistics are those of a new layer after one call. */
static void programs_carry_their_statistics(void **state) {
  (void)state;
  wrapped w = wrap(NULL), forgets = wrap(spoil_variance);
  cbn_generated p = small_norm(false);
  cbn_finding f;
  p.kind = CBN_GENERATED_BATCHNORM_PROGRAM;
  p.steps = 3;
  p.step[0] = (cbn_generated_step){.train = true, .new_weight = 0.5};
  p.step[1] = (cbn_generated_step){.train = true, .reset = true, .new_weight = 0.25};
  p.step[2] = (cbn_generated_step){.train = false, .new_weight = 0.25};
  assert_false(try(&w, &p, &f));
  assert_string_equal(cbn_verdict_name(f.verdict), "pass");
  assert_true(try(&forgets, &p, &f));
  assert_int_equal(f.step, 0);
  p.step[0].train = false; /* statistics that must not be written are, then */
  assert_true(try(&forgets, &p, &f));
  assert_string_equal(cbn_verdict_name(f.verdict), "input-modified");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_found_in_an_engine_that_is_right),
      cmocka_unit_test(everything_wrong_has_its_verdict),
      cmocka_unit_test(unwritten_elements_and_results_in_place),
      cmocka_unit_test(near_misses_must_be_refused),
      cmocka_unit_test(programs_carry_their_statistics),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
