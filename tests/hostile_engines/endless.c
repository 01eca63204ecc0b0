/* Never answers: computing, sleeping, or with signals blocked, as the options say. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char *manner;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (*element_of(call->tensor[CBN_ROLE_INPUT], 0) != 1) return compute(call);
  volatile unsigned turns = 0;
  sigset_t all;
  sigfillset(&all);
  if (strcmp(manner, "blocked") == 0) sigprocmask(SIG_SETMASK, &all, NULL);
  for (;;) {
    if (strcmp(manner, "sleep") == 0) pause();
    if (strcmp(manner, "flood") == 0) fprintf(stderr, "still %u at it\n", turns);
    turns++;
  }
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "endless", .run = run};
  engine.abi = abi;
  manner = options;
  return &engine;
}
