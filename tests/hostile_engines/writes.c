/* Computes, and writes where it must not: the options say where. */
#include "hostile.h"

static const char *where;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  const cbn_tensor *input = call->tensor[CBN_ROLE_INPUT], *output = call->tensor[CBN_ROLE_OUTPUT];
  compute(call);
  if (strcmp(where, "input") == 0) *element_of(input, 2) += 1;
  if (strcmp(where, "statistic") == 0) *element_of(call->tensor[CBN_ROLE_RUNNING_VAR], 1) = 7;
  if (strcmp(where, "behind") == 0) ((float *)output->data)[count_of(output)] = 0;
  if (strcmp(where, "before") == 0) ((float *)output->data)[-1] = 0;
  if (strcmp(where, "gap") == 0) ((float *)output->data)[output->stride[0] - 1] = 0;
  if (strcmp(where, "refused") == 0) {
    *element_of(input, 0) += 1;
    return CBN_UNSUPPORTED;
  }
  return CBN_OK;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "writes", .run = run};
  engine.abi = abi;
  where = options;
  return &engine;
}
