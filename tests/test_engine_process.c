/* Engines that break every rule, in processes of their own: each gets its verdict in bounded time, and the next call is
 * answered. tests/hostile_engines holds the engines. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <convbn/operator.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/child_process.h"
#include "harness/engine_process.h"

enum { ROWS = 2, COLUMNS = 4, COUNT = ROWS * COLUMNS };
static const double patience = 10; /* seconds that no call may exceed, on a slow machine under a sanitizer */
static char build[PATH_MAX];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------------- examples */

/* A small batch normalization: input and output of 2 x 4, running statistics of 4. */
typedef struct example {
  float input[COUNT], output[COUNT], mean[COLUMNS], variance[COLUMNS];
  cbn_tensor tensor[CBN_ROLE_COUNT];
  cbn_batchnorm batchnorm;
  cbn_call call;
} example;

static void describe(example *e, int role, int32_t rank, float *data) {
  const int64_t extent[] = {ROWS, COLUMNS};
  assert_true(cbn_tensor_describe(&e->tensor[role], CBN_F32, rank, rank == 2 ? extent : extent + 1, CBN_CONTIGUOUS));
  e->tensor[role].data = data;
  e->call.tensor[role] = &e->tensor[role];
}

/* The engines do as `first`, the first element of the input, tells them. */
static void prepare(example *e, float first) {
  memset(e, 0, sizeof *e);
  e->batchnorm = cbn_batchnorm_make(0);
  e->batchnorm.batch = ROWS;
  e->batchnorm.channels = COLUMNS;
  e->call = (cbn_call){.struct_size = sizeof e->call, .operator_kind = CBN_OPERATOR_BATCHNORM, .threads = 1};
  e->call.batchnorm = &e->batchnorm;
  for (int i = 0; i < COUNT; i++) e->input[i] = (float)i;
  e->input[0] = first;
  for (int c = 0; c < COLUMNS; c++) e->variance[c] = (float)(1 + c);
  describe(e, CBN_ROLE_INPUT, 2, e->input);
  describe(e, CBN_ROLE_OUTPUT, 2, e->output);
  describe(e, CBN_ROLE_RUNNING_MEAN, 1, e->mean);
  describe(e, CBN_ROLE_RUNNING_VAR, 1, e->variance);
}

static void path_of(char path[PATH_MAX], const char *engine) {
  const char *colon = strchrnul(engine, ':');
  assert_true(snprintf(path, PATH_MAX, "%s/lib/convbn/test-engines/%.*s.so%s", build, (int)(colon - engine), engine,
                       colon) < PATH_MAX);
}

static const cbn_engine_limits limits = {.memory_bytes = (int64_t)256 << 20, .start_seconds = 10};

static cbn_engine_process *start(const char *engine) {
  char path[PATH_MAX];
  cbn_error error = {.text = ""};
  path_of(path, engine);
  cbn_engine_process *process = cbn_engine_start(path, &limits, &error);
  if (process == NULL) fail_msg("%s", error.text);
  return process;
}

static cbn_engine_answer run(cbn_engine_process *process, example *e, double timeout, bool repeat) {
  cbn_engine_answer answer;
  const double begin = now();
  cbn_engine_run(process, &e->call, timeout, repeat, &answer);
  assert_true(now() - begin < timeout + patience);
  assert_null(strchr(answer.message, '\n'));
  return answer;
}

static void assert_doubled(const example *e) {
  for (int i = 0; i < COUNT; i++) assert_true(e->output[i] == 2 * e->input[i]);
}

static void assert_answers(cbn_engine_process *process, bool repeat) {
  example e;
  prepare(&e, 0);
  const cbn_engine_answer answer = run(process, &e, patience, repeat);
  if (answer.verdict != CBN_VERDICT_PASS) fail_msg("%s", answer.message);
  assert_int_equal(answer.status, CBN_OK);
  assert_doubled(&e);
}

/* -------------------------------------------------------------------------------------------------- the good engine */

/* Input and output are one tensor: both runs begin with the caller's numbers, and the result stands in their place. */
static void test_in_place(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest:by name");
  for (int repeat = 0; repeat < 2; repeat++) {
    example e;
    prepare(&e, 0);
    e.tensor[CBN_ROLE_OUTPUT].data = e.input;
    const cbn_engine_answer answer = run(process, &e, patience, repeat != 0);
    if (answer.verdict != CBN_VERDICT_PASS) fail_msg("%s", answer.message);
    for (int i = 0; i < COUNT; i++) assert_true(e.input[i] == (float)(2 * i));
  }
  cbn_engine_stop(process);
}

static void test_honest_engine(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest:by name");
  const cbn_engine_identity *identity = cbn_engine_identify(process);
  assert_string_equal(identity->name, "by name");
  assert_string_equal(identity->version, "1.2");
  assert_string_equal(identity->description, "keeps to?the rules");
  assert_int_equal(identity->arithmetic, CBN_FLUSHES_SUBNORMALS);
  assert_int_equal(identity->abilities, CBN_IN_PLACE);
  for (int i = 0; i < 4; i++) assert_answers(process, i % 2 != 0);
  cbn_engine_stop(process);
  cbn_engine_stop(NULL);
}

/* Statistics are restored between the two runs of a repeated call, and written back once. */
static void test_statistics_are_updated_once(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest");
  for (int repeat = 0; repeat < 2; repeat++) {
    example e;
    prepare(&e, 3);
    e.batchnorm.update_running = 1;
    const cbn_engine_answer answer = run(process, &e, patience, repeat);
    assert_int_equal(answer.verdict, CBN_VERDICT_PASS);
    assert_true(answer.seconds >= 0 && answer.seconds < patience);
    assert_int_equal(answer.role, -1);
    for (int c = 0; c < COLUMNS; c++) assert_true(e.mean[c] == 1 && e.variance[c] == (float)(2 + c));
  }
  cbn_engine_stop(process);
}

/* Channels last, rows apart, and backwards: every element arrives where it belongs, and nothing else is touched. */
static void test_strides_are_kept(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest");
  static const int64_t strides[][2] = {{1, ROWS}, {7, 1}, {7, 2}, {-COLUMNS, 1}, {-7, -1}};
  for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
    example e;
    prepare(&e, 5);
    float memory[32];
    for (int m = 0; m < 32; m++) memory[m] = -1;
    memcpy(e.tensor[CBN_ROLE_OUTPUT].stride, strides[i], sizeof strides[i]);
    e.tensor[CBN_ROLE_OUTPUT].data = memory + 16;
    assert_int_equal(run(process, &e, patience, true).verdict, CBN_VERDICT_PASS);
    for (int64_t k = 0; k < COUNT; k++) {
      float *element = memory + 16 + k / COLUMNS * strides[i][0] + k % COLUMNS * strides[i][1];
      assert_true(*element == 2 * e.input[k]);
      *element = -1;
    }
    for (int m = 0; m < 32; m++) assert_true(memory[m] == -1);
  }
  cbn_engine_stop(process);
}

static void test_other_types_and_empty_tensors(void **state) {
  (void)state;
  for (int32_t type = CBN_F32; type <= CBN_BF16; type++) {
    cbn_engine_process *process = start("forgets:all");
    example e;
    prepare(&e, 0);
    double memory[COUNT];
    e.tensor[CBN_ROLE_OUTPUT].type = type;
    e.tensor[CBN_ROLE_OUTPUT].data = memory;
    for (int repeat = 0; repeat < 2; repeat++) {
      const cbn_engine_answer answer = run(process, &e, patience, repeat);
      assert_int_equal(answer.verdict, CBN_VERDICT_UNWRITTEN_OUTPUT);
      assert_int_equal(answer.element, 0);
      for (int64_t i = 0; i < COUNT; i++) assert_true(isnan(cbn_tensor_get(&e.tensor[CBN_ROLE_OUTPUT], i)));
    }
    cbn_engine_stop(process);
  }
  cbn_engine_process *process = start("honest");
  example e;
  prepare(&e, 0);
  e.tensor[CBN_ROLE_INPUT].extent[0] = e.tensor[CBN_ROLE_OUTPUT].extent[0] = 0;
  e.tensor[CBN_ROLE_INPUT].data = e.tensor[CBN_ROLE_OUTPUT].data = NULL;
  assert_int_equal(run(process, &e, patience, true).verdict, CBN_VERDICT_PASS);
  cbn_engine_stop(process);
}

/* More than the shared memory keeps, and small calls before and after. */
static void test_large_tensors(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest");
  assert_answers(process, true);
  const int64_t columns = (int64_t)10 << 20;
  example e;
  for (int repeat = 0; repeat < 2; repeat++) {
    prepare(&e, 0);
    for (int role = CBN_ROLE_INPUT; role <= CBN_ROLE_OUTPUT; role += CBN_ROLE_OUTPUT - CBN_ROLE_INPUT) {
      assert_true(cbn_tensor_describe(&e.tensor[role], CBN_F32, 2, (int64_t[]){1, columns}, CBN_CONTIGUOUS));
      assert_true(cbn_tensor_allocate(&e.tensor[role]));
    }
    float *input = e.tensor[CBN_ROLE_INPUT].data, *output = e.tensor[CBN_ROLE_OUTPUT].data;
    for (int64_t i = 0; i < columns; i++) input[i] = (float)(i % 1000);
    const cbn_engine_answer answer = run(process, &e, 60, repeat);
    if (answer.verdict != CBN_VERDICT_PASS) fail_msg("%s", answer.message);
    for (int64_t i = 0; i < columns; i++) assert_true(output[i] == 2 * input[i]);
    cbn_tensor_release(&e.tensor[CBN_ROLE_INPUT]);
    cbn_tensor_release(&e.tensor[CBN_ROLE_OUTPUT]);
    assert_answers(process, true);
  }
  cbn_engine_stop(process);
}

/* What the program cannot carry is not held against the engine. */
static void test_impossible_tensors(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest");
  for (int kind = 0; kind < 6; kind++) {
    example e;
    prepare(&e, 0);
    cbn_tensor *input = &e.tensor[CBN_ROLE_INPUT];
    if (kind == 0) input->rank = CBN_MAX_RANK + 1;
    if (kind == 1) input->type = 99;
    if (kind == 2) input->extent[0] = -1;
    if (kind == 3) input->stride[0] = INT64_MAX / 2;
    if (kind == 4) input->data = NULL;
    if (kind == 5) e.call.batchnorm = NULL;
    assert_int_equal(run(process, &e, patience, false).verdict, CBN_VERDICT_INCONCLUSIVE);
  }
  assert_answers(process, false);
  cbn_engine_stop(process);
}

/* --------------------------------------------------------------------------------------------------- broken rules */

typedef struct offence {
  const char *engine;
  float first;
  bool repeat;
  enum cbn_verdict verdict;
  const char *message; /* a part of it */
  int role;
  int64_t element;
} offence;

static void check_offence(const offence *o) {
  cbn_engine_process *process = start(o->engine);
  example e;
  prepare(&e, o->first);
  const cbn_engine_answer answer = run(process, &e, patience, o->repeat);
  if (answer.verdict != o->verdict || strstr(answer.message, o->message) == NULL || answer.role != o->role ||
      answer.element != o->element) {
    fail_msg("%s (%g): verdict %d, \"%s\", role %d, element %d", o->engine, (double)o->first, (int)answer.verdict,
             answer.message, answer.role, (int)answer.element);
  }
  for (int i = 0; i < COUNT; i++) assert_true(e.input[i] == (i == 0 ? o->first : (float)i));
  cbn_engine_stop(process);
}

static void test_offences(void **state) {
  (void)state;
  static const offence offences[] = {
    {"writes:input", 0, false, CBN_VERDICT_INPUT_MODIFIED, "changes input[0, 2]", CBN_ROLE_INPUT, 2},
    {"writes:input", 0, true, CBN_VERDICT_INPUT_MODIFIED, "changes input[0, 2]", CBN_ROLE_INPUT, 2},
    {"writes:refused", 0, true, CBN_VERDICT_INPUT_MODIFIED, "changes input[0, 0]", CBN_ROLE_INPUT, 0},
    {"writes:statistic", 0, true, CBN_VERDICT_INPUT_MODIFIED, "changes running_var[1]", CBN_ROLE_RUNNING_VAR, 1},
    {"writes:behind", 0, true, CBN_VERDICT_OUT_OF_BOUNDS, "writes outside of output", CBN_ROLE_OUTPUT, -1},
    {"writes:before", 0, false, CBN_VERDICT_OUT_OF_BOUNDS, "writes outside of output", CBN_ROLE_OUTPUT, -1},
    {"forgets", 6, false, CBN_VERDICT_UNWRITTEN_OUTPUT, "does not write output[1, 2]", CBN_ROLE_OUTPUT, 6},
    {"forgets", 6, true, CBN_VERDICT_UNWRITTEN_OUTPUT, "does not write output[1, 2]", CBN_ROLE_OUTPUT, 6},
    {"wavers", 0, true, CBN_VERDICT_NONDETERMINISTIC, "different bits in output[0, 1]", CBN_ROLE_OUTPUT, 1},
    {"wavers", 0, false, CBN_VERDICT_PASS, "", -1, -1},
    {"wavers:status", 0, true, CBN_VERDICT_NONDETERMINISTIC, "'ok' and then not", -1, -1},
    {"environment:rounding", 0, true, CBN_VERDICT_FP_ENVIRONMENT, "the rounding mode", -1, -1},
    {"environment:signals", 0, false, CBN_VERDICT_FP_ENVIRONMENT, "the signal mask", -1, -1},
    {"environment:flags", 0, true, CBN_VERDICT_PASS, "", -1, -1},
    {"environment:none", 0, true, CBN_VERDICT_PASS, "", -1, -1},
#if defined(__x86_64__)
    {"environment:flush", 0, true, CBN_VERDICT_FP_ENVIRONMENT, "flush to zero", -1, -1},
    {"environment:x87", 0, true, CBN_VERDICT_FP_ENVIRONMENT, "x87 control word", -1, -1},
    {"environment:mmx", 0, true, CBN_VERDICT_FP_ENVIRONMENT, "emms", -1, -1},
#endif
    {"talks:flood", 0, false, CBN_VERDICT_PASS, "", -1, -1},
    {"talks:errors", 0, true, CBN_VERDICT_PASS, "", -1, -1},
    {"talks:long", 0, true, CBN_VERDICT_PASS, "xxxxxxxx", -1, -1},
    {"talks:bytes", 0, true, CBN_VERDICT_PASS, "caf? ?? {\"verb\": \"answer\"}", -1, -1},
    {"talks:status", 0, true, CBN_VERDICT_PASS, "returned 77, which is no status", -1, -1},
    {"talks:negative", 0, true, CBN_VERDICT_PASS, "returned -1, which is no status", -1, -1},
    {"lingers:returns", 0, false, CBN_VERDICT_PASS, "", -1, -1},
  };
  for (size_t i = 0; i < sizeof offences / sizeof *offences; i++) check_offence(&offences[i]);
}

static void test_unknown_status_is_an_error(void **state) {
  (void)state;
  cbn_engine_process *process = start("talks:status");
  example e;
  prepare(&e, 0);
  assert_int_equal(run(process, &e, patience, true).status, CBN_ERROR);
  for (int i = 0; i < COUNT; i++) assert_true(e.output[i] == 0);
  cbn_engine_stop(process);
}

static void test_offences_in_statistics_and_gaps(void **state) {
  (void)state;
  example e;
  prepare(&e, 0);
  e.batchnorm.update_running = 1;
  cbn_engine_process *process = start("wavers:statistic");
  cbn_engine_answer answer = run(process, &e, patience, true);
  assert_int_equal(answer.verdict, CBN_VERDICT_NONDETERMINISTIC);
  assert_int_equal(answer.role, CBN_ROLE_RUNNING_MEAN);
  assert_int_equal(answer.element, 1);
  cbn_engine_stop(process);

  float memory[16] = {0};
  prepare(&e, 0);
  e.tensor[CBN_ROLE_OUTPUT].stride[0] = 6;
  e.tensor[CBN_ROLE_OUTPUT].data = memory;
  process = start("writes:gap");
  answer = run(process, &e, patience, true);
  assert_int_equal(answer.verdict, CBN_VERDICT_OUT_OF_BOUNDS);
  assert_int_equal(answer.role, CBN_ROLE_OUTPUT);
  assert_true(memory[5] == 0);
  cbn_engine_stop(process);
}

/* In channels-last memory too the element is counted in row-major order. */
static void test_elements_are_logical(void **state) {
  (void)state;
  for (int kind = 0; kind < 2; kind++) {
    for (int64_t forgotten = 0; forgotten < COUNT; forgotten++) {
      cbn_engine_process *process = start("forgets");
      example e;
      prepare(&e, (float)forgotten);
      float memory[32];
      e.tensor[CBN_ROLE_OUTPUT].stride[0] = kind == 0 ? 1 : 9;
      e.tensor[CBN_ROLE_OUTPUT].stride[1] = 2;
      e.tensor[CBN_ROLE_OUTPUT].data = memory;
      const cbn_engine_answer answer = run(process, &e, patience, forgotten % 2 == 0);
      assert_int_equal(answer.verdict, CBN_VERDICT_UNWRITTEN_OUTPUT);
      assert_int_equal(answer.element, forgotten);
      cbn_engine_stop(process);
    }
  }
}

/* ------------------------------------------------------------------------------------------------------------ ends */

/* Runs into the end of the process, and is answered by a new one. */
static void check_end(const char *engine, float first, double timeout, enum cbn_verdict verdict, const char *message) {
  cbn_engine_process *process = start(engine);
  assert_answers(process, true);
  for (int again = 0; again < 2; again++) {
    example e;
    prepare(&e, first);
    e.batchnorm.update_running = 1;
    const cbn_engine_answer answer = run(process, &e, timeout, again != 0);
    if (answer.verdict != verdict || strstr(answer.message, message) == NULL) {
      fail_msg("%s (%g): verdict %d, \"%s\"", engine, (double)first, (int)answer.verdict, answer.message);
    }
    for (int c = 0; c < COLUMNS; c++) assert_true(e.mean[c] == 0 && e.variance[c] == (float)(1 + c));
    assert_answers(process, again == 0);
  }
  cbn_engine_stop(process);
}

static void test_crashes(void **state) {
  (void)state;
  check_end("segfault", 1, patience, CBN_VERDICT_CRASH, ""); /* what a sanitizer makes of it differs */
  check_end("ends", 1, patience, CBN_VERDICT_CRASH, "killed by SIGABRT");
  check_end("ends", 2, patience, CBN_VERDICT_CRASH, "exited with status 0 without an answer");
  check_end("ends", 3, patience, CBN_VERDICT_CRASH, "exited with status 42 without an answer");
  check_end("ends", 4, patience, CBN_VERDICT_CRASH, "killed by SIGKILL");
  check_end("ends", 5, patience, CBN_VERDICT_CRASH, "its last words: the matrix is too green");
  check_end("ends", 6, patience, CBN_VERDICT_CRASH, "killed by SIGABRT");
  check_end("ends", 7, patience, CBN_VERDICT_CRASH, "without an answer");
  check_end("ends", 8, patience, CBN_VERDICT_CRASH, "closed its connection without an answer");
}

static void test_timeouts(void **state) {
  (void)state;
  check_end("endless", 1, 0.1, CBN_VERDICT_TIMEOUT, "no answer within 0.1 seconds");
  check_end("endless:sleep", 1, 0.001, CBN_VERDICT_TIMEOUT, "no answer within 0.001 seconds");
  check_end("endless:blocked", 1, 0.1, CBN_VERDICT_TIMEOUT, "no answer");
  check_end("endless:flood", 1, 0.2, CBN_VERDICT_TIMEOUT, "no answer");
  check_end("endless:sleep", 1, 0, CBN_VERDICT_TIMEOUT, "no answer");
}

static void test_memory_limit(void **state) {
  (void)state;
  check_end("hungry", 1, 30, CBN_VERDICT_MEMORY_LIMIT, "the limit is 256 MiB");
  check_end("hungry:shared", 1, 30, CBN_VERDICT_MEMORY_LIMIT, "the limit is 256 MiB");
}

static void test_garbage(void **state) {
  (void)state;
  static const char *const kinds[] = {"garbage:zero",  "garbage:huge",   "garbage:array",
                                      "garbage:empty", "garbage:types",  "garbage:sequence",
                                      "garbage:deep",  "garbage:status", "garbage:random"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    check_end(kinds[i], 1, patience, CBN_VERDICT_CRASH, "the engine's process spoke garbage");
  }
  check_end("garbage:truncated", 1, patience, CBN_VERDICT_CRASH, "exited with status 0 without an answer");
  check_end("garbage:stalled", 1, 0.2, CBN_VERDICT_TIMEOUT, "no answer");
}

/* ----------------------------------------------------------------------------------------------------- what is left */

static bool is_alive(pid_t pid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  const bool read = fgets(text, sizeof text, file) != NULL;
  fclose(file);
  const char *end = strrchr(text, ')');
  return read && end != NULL && strncmp(end, ") Z", 3) != 0;
}

static bool ends_soon(pid_t pid) {
  for (const double deadline = now() + patience; is_alive(pid);) {
    if (now() > deadline) return false;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return true;
}

static void test_lingering_children(void **state) {
  (void)state;
  example e;
  prepare(&e, 0);
  cbn_engine_process *process = start("lingers");
  assert_int_equal(run(process, &e, patience, false).verdict, CBN_VERDICT_PASS);
  const pid_t child = (pid_t)(e.output[0]);
  assert_true(is_alive(child));
  cbn_engine_stop(process);
  assert_true(ends_soon(child));

  /* The child keeps the connection open when its parent dies. */
  process = start("lingers:dies");
  for (int i = 0; i < 2; i++) {
    const cbn_engine_answer answer = run(process, &e, patience, false);
    assert_int_equal(answer.verdict, CBN_VERDICT_CRASH);
    assert_non_null(strstr(answer.message, "killed by SIGABRT"));
  }
  cbn_engine_stop(process);
}

/* The program is killed while an engine computes: nothing of it stays. The engine's process holds the pipe. */
static void test_engine_ends_with_the_program(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t program = fork();
  assert_true(program >= 0);
  if (program == 0) {
    cbn_engine_process *process = start("endless");
    (void)!write(ends[1], "!", 1);
    example e;
    prepare(&e, 1);
    run(process, &e, 1000, false);
    _exit(0);
  }
  close(ends[1]);
  char byte;
  assert_int_equal(read(ends[0], &byte, 1), 1);
  nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
  kill(program, SIGKILL);
  assert_int_equal(waitpid(program, NULL, 0), program);
  struct pollfd gone = {.fd = ends[0], .events = POLLIN};
  assert_int_equal(poll(&gone, 1, 1000 * (int)patience), 1);
  assert_int_equal(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

static int count_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  assert_non_null(directory);
  int count = 0;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static int descriptors_before;

static void test_nothing_is_left(void **state) {
  (void)state;
  assert_int_equal(count_descriptors(), descriptors_before);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
}

/* ----------------------------------------------------------------------------------------------------------- starts */

static void check_no_start(const char *spec, const char *message) {
  cbn_error error = {.text = ""};
  const cbn_engine_limits short_limits = {.memory_bytes = 0, .start_seconds = strstr(spec, "hang") ? 0.3 : patience};
  const double begin = now();
  cbn_engine_process *process = cbn_engine_start(spec, &short_limits, &error);
  assert_true(now() - begin < 2 * patience);
  if (process != NULL || strstr(error.text, message) == NULL) fail_msg("'%s': \"%s\"", spec, error.text);
  assert_null(strchr(error.text, '\n'));
}

static void check_engine_does_not_start(const char *engine, const char *message) {
  char path[PATH_MAX];
  path_of(path, engine);
  check_no_start(path, message);
}

static void test_engines_that_do_not_start(void **state) {
  (void)state;
  check_engine_does_not_start("missing", "cannot be read: No such file");
  check_engine_does_not_start("no_symbol", "does not export cbn_engine_open");
  check_engine_does_not_start("opens:null", "cbn_engine_open returns NULL");
  check_engine_does_not_start("opens:abort", "does not start: killed by SIGABRT");
  check_engine_does_not_start("opens:hang", "no answer within 0.3 seconds");
  check_engine_does_not_start("opens:future", "compiled for ABI 2, this program speaks ABI 1");
  check_engine_does_not_start("opens:small", "has 24 bytes, too few to hold `run`");
  check_engine_does_not_start("opens:no run", "has no `run`");
  check_engine_does_not_start("opens:new class", "declares an arithmetic class that this program does not know");
  check_no_start("nonsense", "there is no engine 'nonsense': the program comes with reference, fast;");
  check_no_start("", "is a name or the path of a shared object");
  check_no_start(":", "is a name or the path of a shared object");
  check_no_start("/dev/null", "file too short");
  check_no_start("/dev/null:caf\xe9", "UTF-8");
  cbn_engine_process *process = start("opens:no texts");
  assert_string_equal(cbn_engine_identify(process)->name, "");
  cbn_engine_stop(process);
}

static void test_host_that_does_not_run(void **state) {
  (void)state;
  char *host = strdup(getenv("CONVBN_HOST")), path[PATH_MAX];
  path_of(path, "honest");
  setenv("CONVBN_HOST", "/nowhere/convbn-host", 1);
  check_no_start(path, "/nowhere/convbn-host cannot be run: No such file or directory");
  setenv("CONVBN_HOST", "/bin/true", 1);
  check_no_start(path, "does not start: exited with status 0 without an answer");
  setenv("CONVBN_HOST", host, 1);
  free(host);
}

static void test_names(void **state) {
  (void)state;
  const char *const *names = cbn_engine_names();
  assert_string_equal(names[0], "reference");
  assert_string_equal(names[1], "fast");
  assert_null(names[2]);
}

/* A convolution by the engines that come with the program: [1 2 3 4 5] * [1 10] = [21 32 43 54]. */
static void test_engines_of_the_program(void **state) {
  (void)state;
  float input[] = {1, 2, 3, 4, 5}, weight[] = {1, 10}, output[4];
  static const float expected[] = {21, 32, 43, 54};
  cbn_conv conv = cbn_conv_make(2);
  conv.batch = conv.in_channels = conv.out_channels = 1;
  conv.input[0] = conv.kernel[0] = 1;
  conv.input[1] = 5;
  conv.kernel[1] = 2;
  cbn_tensor x, w, y;
  assert_true(cbn_tensor_describe(&x, CBN_F32, 4, (int64_t[]){1, 1, 1, 5}, CBN_CONTIGUOUS));
  assert_true(cbn_tensor_describe(&w, CBN_F32, 4, (int64_t[]){1, 1, 1, 2}, CBN_CONTIGUOUS));
  assert_true(cbn_tensor_describe(&y, CBN_F32, 4, (int64_t[]){1, 1, 1, 4}, CBN_CONTIGUOUS));
  x.data = input, w.data = weight, y.data = output;
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_CONV, .conv = &conv, .threads = 1};
  call.tensor[CBN_ROLE_INPUT] = &x;
  call.tensor[CBN_ROLE_WEIGHT] = &w;
  call.tensor[CBN_ROLE_OUTPUT] = &y;
  for (const char *const *name = cbn_engine_names(); *name != NULL; name++) {
    cbn_error error;
    cbn_engine_answer answer;
    cbn_engine_process *process = cbn_engine_start(*name, &limits, &error);
    if (process == NULL) fail_msg("%s", error.text);
    cbn_engine_run(process, &call, patience, true, &answer);
    if (answer.verdict != CBN_VERDICT_PASS || answer.status != CBN_OK) fail_msg("%s: %s", *name, answer.message);
    assert_memory_equal(output, expected, sizeof expected);
    cbn_engine_stop(process);
  }
}

/* ---------------------------------------------------------------------------------------------------- the protocol */

static json_t *ask(cbn_child *child, json_t *request) {
  json_t *answer;
  assert_true(cbn_frame_send(child->socket, request, -1, 0));
  json_decref(request);
  assert_int_equal(cbn_child_await(child, patience, &answer), CBN_ANSWERED);
  return answer;
}

/* The verbs that the interface does not use, spoken by hand. */
static void test_verbs(void **state) {
  (void)state;
  static cbn_child child;
  cbn_error error;
  char path[PATH_MAX];
  path_of(path, "honest");
  cbn_child_clear(&child);
  assert_true(cbn_child_spawn(&child, getenv("CONVBN_HOST"), &error));
  json_t *answer = ask(&child, json_pack("{s:s, s:i, s:i, s:s, s:s}", "verb", "start", "sequence", 7, "protocol",
                                         CBN_PROTOCOL_VERSION, "engine", path, "options", "x"));
  assert_string_equal(json_string_value(json_object_get(answer, "verb")), "describe");
  assert_int_equal(json_integer_value(json_object_get(answer, "sequence")), 7);
  json_decref(answer);
  answer = ask(&child, json_pack("{s:s, s:i}", "verb", "reset", "sequence", 8));
  assert_string_equal(json_string_value(json_object_get(answer, "verb")), "done");
  json_decref(answer);
  json_t *stop = json_pack("{s:s, s:i}", "verb", "stop", "sequence", 9);
  assert_true(cbn_frame_send(child.socket, stop, -1, 0));
  json_decref(stop);
  assert_true(cbn_child_wait(&child));
  assert_int_equal(cbn_child_bury(&child), 0);
}

static void test_other_protocol_is_refused(void **state) {
  (void)state;
  static cbn_child child;
  cbn_error error;
  cbn_child_clear(&child);
  assert_true(cbn_child_spawn(&child, getenv("CONVBN_HOST"), &error));
  json_t *answer = ask(&child, json_pack("{s:s, s:i, s:i, s:s, s:s}", "verb", "start", "sequence", 1, "protocol",
                                         CBN_PROTOCOL_VERSION + 1, "engine", "/nowhere", "options", ""));
  assert_string_equal(json_string_value(json_object_get(answer, "verb")), "failed");
  json_decref(answer);
  cbn_child_bury(&child);
}

/* Every parameter arrives as it was sent, infinities, NaN and the smallest numbers too. */
static void test_parameters_pass_unchanged(void **state) {
  (void)state;
  static const double values[] = {0.0, -0.0, 1e-5, 0x1p-1074, 0x1.fffffffffffffp1023, INFINITY, -INFINITY, -0.1};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    cbn_batchnorm from = cbn_batchnorm_make(2), to;
    from.epsilon = values[i];
    from.extent[1] = INT64_MIN;
    json_t *json = cbn_batchnorm_to_json(&from);
    assert_true(cbn_batchnorm_from_json(json, &to));
    assert_memory_equal(&from, &to, sizeof from);
    json_object_set_new(json, "channels", json_string("4"));
    assert_false(cbn_batchnorm_from_json(json, &to));
    json_decref(json);
  }
  cbn_conv from = cbn_conv_make(3), to;
  from.spatial_rank = INT32_MIN;
  from.pad_end[2] = INT64_MAX;
  json_t *json = cbn_conv_to_json(&from);
  assert_true(cbn_conv_from_json(json, &to));
  assert_memory_equal(&from, &to, sizeof from);
  json_decref(json);
}

/* A tensor that reaches beyond the shared memory is refused, wherever its strides lead. */
static void test_tensors_outside_are_refused(void **state) {
  (void)state;
  static const struct {
    int64_t extent, stride, offset;
    bool fits;
  } tensors[] = {{4, 1, 0, true},     {4, 1, 1008, true},       {4, 1, 1012, false},      {4, 1, -4, false},
                 {4, -1, 8, false},   {4, -1, 12, true},        {4, 1, 2, false},         {0, 1, 1024, true},
                 {0, 1, 1028, false}, {2, INT64_MAX, 0, false}, {INT64_MAX, 1, 0, false}, {-1, 1, 0, false}};
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
    cbn_tensor tensor = {.type = CBN_F32, .rank = 1, .extent = {tensors[i].extent}, .stride = {tensors[i].stride}};
    json_t *json = cbn_tensor_to_json(&tensor, tensors[i].offset);
    int64_t offset;
    assert_int_equal(cbn_tensor_from_json(json, 1024, &tensor, &offset), tensors[i].fits);
    json_decref(json);
  }
}

/* ------------------------------------------------------------------------------------------------------ many, fast */

static void *work(void *first_failure) {
  static const char *const engines[] = {"honest", "segfault", "ends"};
  for (int round = 0; round < 6; round++) {
    char path[PATH_MAX];
    cbn_error error;
    path_of(path, engines[round % 3]);
    cbn_engine_process *process = cbn_engine_start(path, &limits, &error);
    if (process == NULL) return first_failure;
    for (int i = 0; i < 10; i++) {
      example e;
      prepare(&e, i % 5 == 4 ? 1 : 0);
      cbn_engine_answer answer;
      cbn_engine_run(process, &e.call, patience, i % 2 == 0, &answer);
      const bool crashes = i % 5 == 4 && round % 3 != 0;
      if (answer.verdict != (crashes ? CBN_VERDICT_CRASH : CBN_VERDICT_PASS)) return first_failure;
      if (!crashes && e.output[7] != 14) return first_failure;
    }
    cbn_engine_stop(process);
  }
  return NULL;
}

static void test_many_threads(void **state) {
  (void)state;
  enum { THREADS = 12 };
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, threads), 0);
  for (int i = 0; i < THREADS; i++) {
    void *failure;
    assert_int_equal(pthread_join(threads[i], &failure), 0);
    assert_null(failure);
  }
}

/* The thread that starts a process may end before it. */
static void *start_one(void *engine) { return start(engine); }

static void test_process_outlives_its_thread(void **state) {
  (void)state;
  pthread_t thread;
  void *process;
  char engine[] = "honest";
  assert_int_equal(pthread_create(&thread, NULL, start_one, engine), 0);
  assert_int_equal(pthread_join(thread, &process), 0);
  for (int i = 0; i < 3; i++) assert_answers(process, true);
  cbn_engine_stop(process);
}

static void test_small_calls_are_quick(void **state) {
  (void)state;
  cbn_engine_process *process = start("honest");
  enum { CALLS = 2000 };
  for (int repeat = 0; repeat < 2; repeat++) {
    example e;
    prepare(&e, 0);
    const double begin = now();
    for (int i = 0; i < CALLS; i++) {
      cbn_engine_answer answer;
      cbn_engine_run(process, &e.call, patience, repeat, &answer);
      assert_int_equal(answer.verdict, CBN_VERDICT_PASS);
    }
    const double microseconds = 1e6 * (now() - begin) / CALLS;
    print_message("a small call%s takes %.1f us\n", repeat ? ", repeated," : "", microseconds);
    assert_true(microseconds < 5000); /* under a sanitizer on a busy machine */
  }
  cbn_engine_stop(process);
}

/* ------------------------------------------------------------------------------------------------------------ main */

/* The build tree: from the environment, else the one that this program is in. */
static bool find_build(void) {
  const char *known = getenv("CONVBN_BUILD");
  if (known != NULL) return snprintf(build, sizeof build, "%s", known) < (int)sizeof build;
  const ssize_t length = readlink("/proc/self/exe", build, sizeof build - 1);
  if (length < 0) return false;
  build[length] = '\0';
  for (int up = 0; up < 2; up++) *strrchr(build, '/') = '\0';
  return true;
}

int main(void) {
  char host[PATH_MAX + 64];
  if (!find_build()) return 1;
  snprintf(host, sizeof host, "%s/bin/convbn-host", build);
  setenv("CONVBN_HOST", host, 1);
  descriptors_before = count_descriptors();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_honest_engine),
      cmocka_unit_test(test_in_place),
      cmocka_unit_test(test_statistics_are_updated_once),
      cmocka_unit_test(test_strides_are_kept),
      cmocka_unit_test(test_other_types_and_empty_tensors),
      cmocka_unit_test(test_large_tensors),
      cmocka_unit_test(test_impossible_tensors),
      cmocka_unit_test(test_offences),
      cmocka_unit_test(test_unknown_status_is_an_error),
      cmocka_unit_test(test_offences_in_statistics_and_gaps),
      cmocka_unit_test(test_elements_are_logical),
      cmocka_unit_test(test_crashes),
      cmocka_unit_test(test_timeouts),
      cmocka_unit_test(test_memory_limit),
      cmocka_unit_test(test_garbage),
      cmocka_unit_test(test_lingering_children),
      cmocka_unit_test(test_engine_ends_with_the_program),
      cmocka_unit_test(test_engines_that_do_not_start),
      cmocka_unit_test(test_host_that_does_not_run),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_engines_of_the_program),
      cmocka_unit_test(test_verbs),
      cmocka_unit_test(test_other_protocol_is_refused),
      cmocka_unit_test(test_parameters_pass_unchanged),
      cmocka_unit_test(test_tensors_outside_are_refused),
      cmocka_unit_test(test_many_threads),
      cmocka_unit_test(test_process_outlives_its_thread),
      cmocka_unit_test(test_small_calls_are_quick),
      cmocka_unit_test(test_nothing_is_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
