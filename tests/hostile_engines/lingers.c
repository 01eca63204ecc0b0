/* Leaves a child behind that holds every descriptor and never ends; its process id is the first output. Or lets the
 * child return from the call as well. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <stdlib.h>
#include <unistd.h>

static const char *what;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  const pid_t child = fork();
  if (child == 0 && strcmp(what, "returns") == 0) return CBN_OK;
  if (child == 0) {
    for (;;) pause();
  }
  compute(call);
  *element_of(call->tensor[CBN_ROLE_OUTPUT], 0) = (float)child;
  if (strcmp(what, "dies") == 0) abort();
  return CBN_OK;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "lingers", .run = run};
  engine.abi = abi;
  what = options;
  return &engine;
}
