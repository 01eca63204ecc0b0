/* Keeps to every rule; for each call it adds 1 to the running statistics that are to be updated. Options: answered
 * as the name. */
#include "hostile.h"

static int resets;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  for (int role = CBN_ROLE_RUNNING_MEAN; role <= CBN_ROLE_RUNNING_VAR; role++) {
    const cbn_tensor *statistic = call->tensor[role];
    if (statistic == NULL || !call->batchnorm->update_running) continue;
    for (int64_t i = 0; i < count_of(statistic); i++) *element_of(statistic, i) += 1;
  }
  if (resets > 0) strcpy(call->message, "was reset");
  return compute(call);
}

static void reset(cbn_engine *engine) {
  (void)engine;
  resets++;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine,
                              .abi = CBN_ABI_VERSION,
                              .version = "1.2",
                              .description = "keeps to\nthe rules",
                              .arithmetic = CBN_FLUSHES_SUBNORMALS,
                              .run = run,
                              .reset = reset,
                              .abilities = CBN_IN_PLACE};
  engine.name = options;
  return abi == CBN_ABI_VERSION ? &engine : NULL;
}
