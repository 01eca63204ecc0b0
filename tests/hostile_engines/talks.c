/* Computes, and talks: a flood on standard output, a long message, bytes that are no text, a status that is none. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <stdio.h>

static const char *what;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (strcmp(what, "flood") == 0) {
    for (int line = 0; line < 200000; line++) printf("convolution %d is the best one of all\n", line);
    fflush(stdout);
  }
  if (strcmp(what, "errors") == 0) {
    for (int line = 0; line < 20000; line++) fprintf(stderr, "warning %d of very many\n", line);
  }
  if (strcmp(what, "long") == 0) memset(call->message, 'x', call->message_size);
  if (strcmp(what, "bytes") == 0) strcpy(call->message, "caf\xe9 \n\x01 {\"verb\": \"answer\"}");
  compute(call);
  return strcmp(what, "status") == 0 ? 77 : strcmp(what, "negative") == 0 ? -1 : CBN_OK;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "talks", .run = run};
  engine.abi = abi;
  what = options;
  return &engine;
}
