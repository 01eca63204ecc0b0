/* The fuzz targets: the list, and the targets of problems in a process as fuzzers run them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/shared.h"
#include "generator/mutate.h"
#include "tests/chance.h"

/* ----------------------------------------------------------------------------------------------------- allocations */

static uint64_t allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) { return allocations++, __real_malloc(size); }
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) { return allocations++, __real_calloc(count, size); }
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size) { return allocations++, __real_realloc(memory, size); }
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  return allocations++, __real_aligned_alloc(alignment, size);
}

/* -------------------------------------------------------------------------------------------------------- the list */

static void each_name_is_found(void **state) {
  (void)state;
  assert_true(cbn_target_count() > CBN_GENERATED_KIND_COUNT);
  for (int i = 0; i < cbn_target_count(); i++) {
    const cbn_target *target = cbn_target_at(i);
    assert_ptr_equal(cbn_target_by_name(target->name), target);
    assert_string_equal(cbn_target_nearest(target->name), target->name);
    assert_true(target->words[0] != '\0');
    if (i < CBN_GENERATED_KIND_COUNT) assert_int_equal(cbn_generated_kind_by_name(target->name), i);
    assert_int_equal(target->kind, i < CBN_GENERATED_KIND_COUNT ? i : -1);
  }
  assert_null(cbn_target_at(-1));
  assert_null(cbn_target_at(cbn_target_count()));
  assert_null(cbn_target_by_name(""));
}

/* No pair lies outside the file, and no two are one to a fuzzer. */
static void each_pair_has_a_place(void **state) {
  (void)state;
  assert_true(cbn_pair_count() <= CBN_FUZZ_PAIR_LIMIT && cbn_pair_count() <= CBN_FUZZ_COUNTERS);
}

static void a_misspelt_name_has_a_nearest(void **state) {
  static const char *const pairs[][2] = {{"conv_foward", "conv_forward"},       {"convgradweight", "conv_grad_weight"},
                                         {"bathnorm_train", "batchnorm_train"}, {"jsno", "json"},
                                         {"roundtrip", "round_trip"},           {"case", "cases"}};
  char longest[5000];
  (void)state;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    assert_string_equal(cbn_target_nearest(pairs[i][0]), pairs[i][1]);
  memset(longest, 'x', sizeof longest);
  longest[sizeof longest - 1] = '\0';
  assert_non_null(cbn_target_by_name(cbn_target_nearest(longest)));
  assert_non_null(cbn_target_by_name(cbn_target_nearest("")));
}

/* -------------------------------------------------------------------------------------------------- a process each */

/* Does it in a process of its own, since a process opens one engine and one folder. Its exit code, or 128 + signal. */
static int in_process(void (*work)(const void *context), const void *context) {
  fflush(NULL);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    if (null >= 0) dup2(null, STDERR_FILENO);
    work(context);
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void draw(chance *r, uint8_t *genome) {
  for (int i = 0; i < CBN_GENOME_BYTES; i++) genome[i] = (uint8_t)next(r);
}

/* The same inputs each time, of so many bytes: a genome's, fewer, or more. Returns how many of them allocated. */
static int run_many(const cbn_target *target, int count, size_t size) {
  uint8_t bytes[2 * CBN_GENOME_BYTES];
  chance r = {1};
  int allocating = 0;
  for (int i = 0; i < count; i++) {
    const uint64_t before = allocations;
    draw(&r, bytes);
    memcpy(bytes + CBN_GENOME_BYTES, bytes, CBN_GENOME_BYTES);
    cbn_target_run(target, bytes, size);
    allocating += allocations != before;
  }
  return allocating;
}

/* The same problems twice: what the first round takes, the second has. Only problems that are too large for the threads'
 * short-lived memory (core/scratch.h) take some and give it back: fewer than the large ones, which are 1 in 256. */
static void allocate_nothing(const void *context) {
  enum { RUNS = 10000, LARGE = RUNS / 256 };
  static uint8_t counters[CBN_FUZZ_COUNTERS];
  cbn_fuzz_counters = counters;
  cbn_fuzz_open(context);
  if (run_many(context, RUNS, CBN_GENOME_BYTES) == 0) _exit(1); /* these are not the functions that are called */
  if (run_many(context, RUNS, CBN_GENOME_BYTES) > LARGE) _exit(2);
}

static void nothing_is_allocated_in_the_long_run(void **state) {
  (void)state;
  unsetenv("CONVBN_FUZZ_OUT");
  assert_int_equal(in_process(allocate_nothing, cbn_target_by_name("problem")), 0);
}

/* The file that `convbn fuzz` shows. */
static cbn_fuzz_status *make_status(char *name) {
  const int file = mkstemp(name);
  assert_true(file >= 0);
  assert_int_equal(ftruncate(file, sizeof(cbn_fuzz_status)), 0);
  cbn_fuzz_status *status = mmap(NULL, sizeof *status, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  assert_true(status != MAP_FAILED);
  close(file);
  setenv("CONVBN_FUZZ_STATUS", name, 1);
  return status;
}

static void remove_status(cbn_fuzz_status *status, const char *name) {
  munmap(status, sizeof *status);
  unlink(name);
  unsetenv("CONVBN_FUZZ_STATUS");
}

enum { SOME = 300 };

static void run_some(const void *context) {
  const cbn_target *target = context;
  cbn_fuzz_open(target);
  run_many(target, SOME / 3, CBN_GENOME_BYTES);
  run_many(target, SOME / 3, sizeof(uint8_t[2 * CBN_GENOME_BYTES]));
  run_many(target, SOME / 3, 0);
}

/* What the generator says of the same problems, counted apart. */
typedef struct said {
  uint64_t invalid;
  bool pair[CBN_FUZZ_PAIR_LIMIT];
} said;

static void note(void *context, int pair) { ((said *)context)->pair[pair] = true; }

static void note_problem(said *s, const uint8_t *genome, uint64_t times) {
  cbn_generated problem;
  cbn_generate(genome, CBN_GENOME_BYTES, &problem);
  cbn_pairs_of(&problem, note, s);
  s->invalid += problem.valid ? 0 : times;
}

static void runs_and_pairs_are_counted(void **state) {
  (void)state;
  char name[] = "/tmp/convbn-test-XXXXXX";
  static said expected;
  cbn_fuzz_status *status = make_status(name);
  const cbn_target *target = cbn_target_by_name("conv_grad_weight");
  uint8_t genome[CBN_GENOME_BYTES] = {[CBN_GENE_KIND] = (uint8_t)target->kind};
  chance r = {1};
  note_problem(&expected, genome, SOME / 3);
  for (int i = 0; i < SOME / 3; i++) {
    draw(&r, genome);
    genome[CBN_GENE_KIND] = (uint8_t)target->kind;
    note_problem(&expected, genome, 2);
  }
  assert_int_equal(in_process(run_some, target), 0);
  assert_int_equal(status->runs, SOME);
  assert_int_equal(status->invalid, expected.invalid);
  assert_int_equal(status->findings, 0);
  for (int pair = 0; pair < CBN_FUZZ_PAIR_LIMIT; pair++) assert_int_equal(status->pair[pair], expected.pair[pair]);
  remove_status(status, name);
}

/* -------------------------------------------------------------------------------------------------------- findings */

enum { MUCH = 5000, EVEN_MORE = 16 * MUCH };

static void find_much(const void *context) {
  cbn_fuzz_open(context);
  run_many(context, MUCH, CBN_GENOME_BYTES);
}

static void find_even_more(const void *context) {
  cbn_fuzz_open(context);
  run_many(context, EVEN_MORE, CBN_GENOME_BYTES);
}

/* An engine with a bug: convolutions with stride and dilation are wrong in one element. */
static void use_planted_engine(void) {
  char engine[4096];
  const char *build = getenv("CONVBN_BUILD");
  assert_non_null(build);
  snprintf(engine, sizeof engine, "%s/lib/convbn/test-engines/planted.so:number=%s/lib/convbn/engines/fast.so", build,
           build);
  setenv("CONVBN_FUZZ_ENGINE", engine, 1);
}

/* Each is the genome of a problem; nothing else is left. Removes them, and returns how many there were. */
static int take_seeds(const char *folder) {
  enum { ID = 16 };
  int count = 0;
  DIR *directory = opendir(folder);
  assert_non_null(directory);
  for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char path[4096];
    struct stat status;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    assert_int_equal(strlen(entry->d_name), ID + 1 + 16 + strlen(".seed"));
    assert_string_equal(strrchr(entry->d_name, '.'), ".seed");
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, CBN_GENOME_BYTES);
    unlink(path);
    count++;
  }
  closedir(directory);
  return count;
}

/* What is met at every turn fills no folder, and what comes late is written all the same. */
static void findings_are_written_and_counted(void **state) {
  (void)state;
  char name[] = "/tmp/convbn-test-XXXXXX", folder[] = "/tmp/convbn-test-XXXXXX";
  cbn_fuzz_status *status = make_status(name);
  assert_non_null(mkdtemp(folder));
  setenv("CONVBN_FUZZ_OUT", folder, 1);
  use_planted_engine();
  assert_int_equal(in_process(find_much, cbn_target_by_name("conv_forward")), 0);
  const int seeds = take_seeds(folder);
  assert_true(status->runs == MUCH && status->findings > 400);
  assert_true(seeds > 50 && seeds <= 400);
  assert_int_equal(in_process(find_even_more, cbn_target_by_name("conv_forward")), 0);
  const int more = take_seeds(folder);
  assert_true(status->findings > 8000 && more > seeds + 20 && more <= 3 * seeds);
  assert_int_equal(rmdir(folder), 0);
  remove_status(status, name);
  unsetenv("CONVBN_FUZZ_OUT");
  unsetenv("CONVBN_FUZZ_ENGINE");
}

static void a_finding_without_a_folder_aborts(void **state) {
  (void)state;
  use_planted_engine();
  assert_int_equal(in_process(find_much, cbn_target_by_name("conv_forward")), 128 + SIGABRT);
  unsetenv("CONVBN_FUZZ_ENGINE");
}

static void open_it(const void *context) { cbn_fuzz_open(context); }

static void what_cannot_be_opened_stops(void **state) {
  static const char *const wrong[][2] = {{"CONVBN_FUZZ_OUT", "/nowhere"},       {"CONVBN_FUZZ_OUT", "/dev/null"},
                                         {"CONVBN_FUZZ_STATUS", "/nowhere"},    {"CONVBN_FUZZ_STATUS", "/dev/null"},
                                         {"CONVBN_FUZZ_ENGINE", "/nowhere.so"}, {"CONVBN_FUZZ_ENGINE", "/dev/null"},
                                         {"CONVBN_FUZZ_ENGINE", ":isa=abacus"}};
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    setenv(wrong[i][0], wrong[i][1], 1);
    assert_int_equal(in_process(open_it, cbn_target_by_name("problem")), CBN_EXIT_ENGINE);
    unsetenv(wrong[i][0]);
  }
  setenv("CONVBN_FUZZ_ENGINE", ":isa=portable", 1);
  assert_int_equal(in_process(open_it, cbn_target_by_name("problem")), 0);
  unsetenv("CONVBN_FUZZ_ENGINE");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_name_is_found),
                                     cmocka_unit_test(each_pair_has_a_place),
                                     cmocka_unit_test(a_misspelt_name_has_a_nearest),
                                     cmocka_unit_test(nothing_is_allocated_in_the_long_run),
                                     cmocka_unit_test(runs_and_pairs_are_counted),
                                     cmocka_unit_test(findings_are_written_and_counted),
                                     cmocka_unit_test(a_finding_without_a_folder_aborts),
                                     cmocka_unit_test(what_cannot_be_opened_stops)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
