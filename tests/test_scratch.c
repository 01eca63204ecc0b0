/* tests/test_scratch.c - memory that a thread keeps: order, alignment, overruns, and that small problems allocate
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <convbn/fill.h>
#include <convbn/reference.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/poison.h"
#include "core/scratch.h"
#include "generator/generator.h"
#include "tests/chance.h"

/* ------------------------------------------------------------------------------- memory, watched and made to fail */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static struct {
  int allocations;
  bool fail;
} memory;

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  memory.allocations++;
  return memory.fail ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_malloc(size_t size) {
  memory.allocations++;
  return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
  memory.allocations++;
  return __real_calloc(count, size);
}

/* ------------------------------------------------------------------------------------------------------- blocks */

static void blocks_are_aligned_and_apart(void **state) {
  (void)state;
  enum { BLOCKS = 40 };
  const size_t room = cbn_scratch_room();
  unsigned char *block[BLOCKS];
  memory.allocations = 0;
  for (size_t i = 0; i < BLOCKS; i++) {
    block[i] = cbn_scratch_take(i * 37);
    assert_non_null(block[i]);
    assert_int_equal((uintptr_t)block[i] % 64, 0);
    memset(block[i], (int)i + 1, i * 37);
  }
  for (size_t i = BLOCKS; i-- > 0;) {
    for (size_t k = 0; k < i * 37; k++) assert_int_equal(block[i][k], i + 1);
    cbn_scratch_give(block[i]);
  }
  assert_int_equal(memory.allocations, 0);
  assert_int_equal(cbn_scratch_room(), room);
}

static void memory_is_used_again(void **state) {
  (void)state;
  void *const outer = cbn_scratch_take(1000), *const first = cbn_scratch_take(100);
  cbn_scratch_give(first);
  void *const second = cbn_scratch_take(200);
  assert_ptr_equal(first, second);
  cbn_scratch_give(second);
  cbn_scratch_give(outer);
  cbn_scratch_give(NULL);
}

static void what_does_not_fit_is_allocated(void **state) {
  (void)state;
  const size_t room = cbn_scratch_room();
  assert_true(room >= 64 << 10);
  memory.allocations = 0;
  void *const all = cbn_scratch_take(room);
  assert_int_equal(memory.allocations, 0);
  assert_int_equal(cbn_scratch_room(), 0);
  memset(all, 1, room);
  unsigned char *const nothing = cbn_scratch_take(0), *const more = cbn_scratch_take(100);
  assert_int_equal(memory.allocations, 2);
  assert_true(nothing != NULL && more != NULL && nothing != more && (uintptr_t)more % 64 == 0);
  memset(more, 2, 100);
  memory.fail = true;
  assert_null(cbn_scratch_take(1));
  memory.fail = false;
  cbn_scratch_give(more);
  cbn_scratch_give(nothing);
  cbn_scratch_give(all);
  assert_int_equal(cbn_scratch_room(), room);
  unsigned char *const large = cbn_scratch_take(room + 1);
  assert_int_equal(memory.allocations, 4);
  assert_true(large != NULL && (uintptr_t)large % 64 == 0);
  memset(large, 3, room + 1);
  void *const small = cbn_scratch_take(10); /* a large block leaves the thread's memory to small ones */
  assert_int_equal(memory.allocations, 4);
  cbn_scratch_give(small);
  cbn_scratch_give(large);
  assert_null(cbn_scratch_take(SIZE_MAX));
  assert_null(cbn_scratch_take(SIZE_MAX - 63));
}

static void *take_on_a_thread(void *context) {
  void *const block = cbn_scratch_take(1000);
  memset(block, 9, 1000);
  cbn_scratch_give(block);
  *(void **)context = block;
  return NULL;
}

static void threads_have_memory_of_their_own(void **state) {
  (void)state;
  unsigned char *const mine = cbn_scratch_take(1000);
  memset(mine, 1, 1000);
  pthread_t thread;
  void *theirs;
  assert_int_equal(pthread_create(&thread, NULL, take_on_a_thread, &theirs), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_ptr_not_equal(mine, theirs);
  for (int i = 0; i < 1000; i++) assert_int_equal(mine[i], 1);
  cbn_scratch_give(mine);
}

/* How a process ends that does this. */
static int end_of(void (*wrong)(void)) {
  const pid_t child = fork();
  if (child == 0) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    signal(SIGABRT, SIG_DFL);
    close(STDERR_FILENO);
    wrong();
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void give_the_first_before_the_second(void) {
  void *const first = cbn_scratch_take(10), *const second = cbn_scratch_take(10);
  cbn_scratch_give(first);
  cbn_scratch_give(second);
}

static void give_twice(void) {
  void *const block = cbn_scratch_take(10);
  cbn_scratch_give(block);
  cbn_scratch_give(block);
}

static void another_order_is_noticed(void **state) {
  (void)state;
  void (*const wrong[])(void) = {give_the_first_before_the_second, give_twice};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    const int status = end_of(wrong[i]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  }
}

#if CBN_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>

static bool is_out_of_bounds(const unsigned char *address) { return __asan_address_is_poisoned(address); }

static void overruns_are_out_of_bounds(void **state) {
  (void)state;
  unsigned char *const first = cbn_scratch_take(100), *const second = cbn_scratch_take(200);
  for (int i = 0; i < 100; i++) assert_true(!is_out_of_bounds(first + i) && first[i] != 0);
  for (int i = 0; i < 200; i++) assert_false(is_out_of_bounds(second + i));
  for (int i = 0; i < 64; i++) {
    assert_true(is_out_of_bounds(first - 1 - i) && is_out_of_bounds(first + 100 + i));
    assert_true(is_out_of_bounds(second - 1 - i) && is_out_of_bounds(second + 200 + i));
  }
  cbn_scratch_give(second);
  for (int i = 0; i < 200; i++) assert_true(is_out_of_bounds(second + i));
  assert_false(is_out_of_bounds(first + 99));
  cbn_scratch_give(first);
  assert_true(is_out_of_bounds(first));
  void *const all = cbn_scratch_take(cbn_scratch_room());
  assert_true(is_out_of_bounds((unsigned char *)all - 1));
  cbn_scratch_give(all);
}
#else
static void overruns_are_out_of_bounds(void **state) {
  (void)state;
  skip(); /* only the address sanitizer has bounds */
}
#endif

/* -------------------------------------------------------------------------------------------------- small problems */

typedef struct problem {
  cbn_generated g;
  cbn_call call;
  cbn_tensor tensor[CBN_ROLE_COUNT];
  cbn_expected expected[CBN_ROLE_COUNT];
} problem;

static bool is_layers(const problem *p, int role) {
  return p->call.batchnorm != NULL && role != CBN_ROLE_INPUT && role != CBN_ROLE_OUTPUT &&
         role != CBN_ROLE_GRAD_OUTPUT && role != CBN_ROLE_GRAD_INPUT;
}

static bool problem_open(problem *p, chance *r) {
  uint8_t bytes[CBN_GENOME_BYTES];
  for (int i = 0; i < CBN_GENOME_BYTES; i++) bytes[i] = (uint8_t)next(r);
  cbn_generate(bytes, sizeof bytes, &p->g);
  if (!p->g.valid) return false;
  const bool conv = cbn_generated_is_conv(p->g.kind);
  p->call = (cbn_call){.struct_size = sizeof p->call,
                       .operator_kind = conv ? CBN_OPERATOR_CONV : CBN_OPERATOR_BATCHNORM,
                       .conv = conv ? &p->g.conv : NULL,
                       .batchnorm = conv ? NULL : &p->g.batchnorm,
                       .threads = 1};
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_call_extents(&p->call, role, extent);
    if (rank == 0) continue;
    const int32_t type = is_layers(p, role) ? p->g.layer_type : p->g.type;
    assert_true(cbn_tensor_describe(&p->tensor[role], type, rank, extent, CBN_CONTIGUOUS));
    assert_true(cbn_tensor_allocate(&p->tensor[role]));
    assert_true(cbn_expected_allocate(&p->expected[role], type, rank, extent));
    p->call.tensor[role] = &p->tensor[role];
  }
  return true;
}

static void problem_close(problem *p) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (p->call.tensor[role] == NULL) continue;
    cbn_tensor_release(&p->tensor[role]);
    cbn_expected_release(&p->expected[role]);
  }
}

static cbn_expected *expected_of(problem *p, int role) {
  return p->call.tensor[role] != NULL ? &p->expected[role] : NULL;
}

static void run_reference(problem *p) {
  static const int results[] = {CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};
  const cbn_tensor *const *tensor = p->call.tensor;
  cbn_expected *mean = expected_of(p, CBN_ROLE_RUNNING_MEAN), *var = expected_of(p, CBN_ROLE_RUNNING_VAR);
  if (p->call.conv != NULL)
    assert_true(cbn_reference_conv(p->call.conv, tensor, 0, expected_of(p, results[p->call.conv->direction])));
  else if (p->call.batchnorm->direction == CBN_FORWARD)
    cbn_reference_batchnorm(p->call.batchnorm, tensor, mean, var, 0, expected_of(p, CBN_ROLE_OUTPUT));
  else
    cbn_reference_batchnorm_backward(p->call.batchnorm, tensor, mean, var, 0, expected_of(p, CBN_ROLE_GRAD_INPUT),
                                     expected_of(p, CBN_ROLE_GRAD_WEIGHT), expected_of(p, CBN_ROLE_GRAD_BIAS));
}

/* Fill, engine and reference of what the fuzzer runs. */
static void small_problems_allocate_nothing(void **state) {
  (void)state;
  chance r = {1};
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  const size_t room = cbn_scratch_room();
  int problems = 0, allocating = 0;
  for (int i = 0; i < 3000; i++) {
    problem p = {0};
    if (!problem_open(&p, &r)) continue;
    memory.allocations = 0;
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      if (p.call.tensor[role] != NULL) cbn_fill_tensor(&p.g.fill[role], role, &p.tensor[role]);
    assert_int_equal(memory.allocations, 0);
    run_reference(&p);
    assert_int_equal(engine->run(engine, &p.call), CBN_OK);
    allocating += memory.allocations > 0;
    problems++;
    assert_int_equal(cbn_scratch_room(), room);
    problem_close(&p);
  }
  engine->close(engine);
  assert_in_range(allocating, 0, problems / 100); /* now and then a problem is larger */
  assert_in_range(problems, 2000, 3000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_are_aligned_and_apart),    cmocka_unit_test(memory_is_used_again),
      cmocka_unit_test(what_does_not_fit_is_allocated),  cmocka_unit_test(threads_have_memory_of_their_own),
      cmocka_unit_test(another_order_is_noticed),        cmocka_unit_test(overruns_are_out_of_bounds),
      cmocka_unit_test(small_problems_allocate_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
