/* Fails to open in the way that its options say. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  return compute(call);
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "opens", .run = run};
  engine.abi = abi;
  if (strcmp(options, "null") == 0) return NULL;
  if (strcmp(options, "abort") == 0) abort();
  if (strcmp(options, "hang") == 0) pause();
  if (strcmp(options, "future") == 0) engine.abi = abi + 1;
  if (strcmp(options, "small") == 0) engine.struct_size = 24;
  if (strcmp(options, "new class") == 0) engine.arithmetic = 1u << 31;
  if (strcmp(options, "no run") == 0) engine.run = NULL;
  if (strcmp(options, "no texts") == 0) engine.name = NULL;
  return &engine;
}
