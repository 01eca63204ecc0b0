/* Allocates and touches memory until it is stopped: private memory or, with the option, shared. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <sys/mman.h>

static int sharing;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (*element_of(call->tensor[CBN_ROLE_INPUT], 0) != 1) return compute(call);
  for (;;) {
    const size_t size = (size_t)1 << 20;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, (sharing ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return CBN_ERROR;
    memset(memory, 1, size);
  }
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "hungry", .run = run};
  engine.abi = abi;
  sharing = strcmp(options, "shared") == 0;
  return &engine;
}
