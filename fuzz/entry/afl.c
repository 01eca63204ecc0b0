/* An AFL++ program of one target, CBN_FUZZ_TARGET: runs input after input in one process, which starts when everything
 * has been opened; inputs come in shared memory. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz/shared.h"

#pragma clang diagnostic ignored "-Wshorten-64-to-32" /* in AFL++'s macros */
__AFL_FUZZ_INIT()

/* The semantic pairs are in AFL++'s map, as if they were branches of the program: guards are asked for before AFL++ makes
 * the map, which it does in a constructor of its own. They are numbered one after the other. */
void __sanitizer_cov_trace_pc_guard_init(uint32_t *begin, uint32_t *end);
static uint32_t guard[CBN_FUZZ_COUNTERS];

__attribute__((constructor(2))) static void reserve_pairs(void) {
  if (cbn_target_by_name(CBN_FUZZ_TARGET)->problems)
    __sanitizer_cov_trace_pc_guard_init(guard, guard + CBN_FUZZ_COUNTERS);
}

/* The map is asked for by name, since AFL++'s compiler declares it in every file in its own way. */
static void find_pairs(void) {
  uint8_t **map = dlsym(RTLD_DEFAULT, "__afl_area_ptr");
  if (map == NULL || guard[CBN_FUZZ_COUNTERS - 1] - guard[0] != CBN_FUZZ_COUNTERS - 1) {
    fputs("AFL++'s map has no place for the pairs: AFL_INST_RATIO must not be set\n", stderr);
    exit(EXIT_FAILURE);
  }
  cbn_fuzz_counters = *map + guard[0];
}

int main(void) {
  enum { RUNS = 100000 }; /* of a process */
  const cbn_target *target = cbn_target_by_name(CBN_FUZZ_TARGET);
  cbn_fuzz_open(target);
  __AFL_INIT();
  if (target->problems) find_pairs();
  const uint8_t *bytes = __AFL_FUZZ_TESTCASE_BUF;
  while (__AFL_LOOP(RUNS)) cbn_target_run(target, bytes, (size_t)__AFL_FUZZ_TESTCASE_LEN);
  return EXIT_SUCCESS;
}
