/* Gives other bits, or with the options another status or other running statistics, every second time. */
#include "hostile.h"

static int calls;
static const char *what;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  calls++;
  compute(call);
  if (strcmp(what, "status") == 0) return calls % 2 == 0 ? CBN_REJECTED : CBN_OK;
  const int statistic = strcmp(what, "statistic") == 0;
  *element_of(call->tensor[statistic ? CBN_ROLE_RUNNING_MEAN : CBN_ROLE_OUTPUT], 1) += (float)(calls % 2);
  return CBN_OK;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "wavers", .run = run};
  engine.abi = abi;
  what = options;
  return &engine;
}
