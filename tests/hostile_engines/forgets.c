/* Leaves the element of the output unwritten whose number is the first element of the input; with the option, all. */
#include "hostile.h"

static int all;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  const cbn_tensor *input = call->tensor[CBN_ROLE_INPUT], *output = call->tensor[CBN_ROLE_OUTPUT];
  const int64_t forgotten = (int64_t)*element_of(input, 0);
  for (int64_t i = 0; i < count_of(output) && !all; i++) {
    if (i != forgotten) *element_of(output, i) = 2 * *element_of(input, i);
  }
  return CBN_OK;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "forgets", .run = run};
  engine.abi = abi;
  all = strcmp(options, "all") == 0;
  return &engine;
}
