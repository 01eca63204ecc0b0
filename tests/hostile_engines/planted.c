/* Hands calls to another engine and plants a bug: the options say which, and the other engine's path (`number=PATH`).
 *
 *   number    a convolution with a stride and a dilation along W: its last element is one too large
 *   crash     a channels-last gradient to a weight: a write through a null pointer
 *   hang      a batch normalization of three channels in training: no answer
 *   nothing   none */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <dlfcn.h>
#include <stdio.h>

static char what[16];
static cbn_engine *other;

static void plant_number(const cbn_call *call) {
  const cbn_conv *conv = call->conv;
  const cbn_tensor *output = call->tensor[CBN_ROLE_OUTPUT];
  if (conv == NULL || output == NULL || output->type != CBN_F32) return;
  const int w = conv->spatial_rank - 1;
  if (conv->direction != CBN_FORWARD || conv->transposed || conv->stride[w] < 2 || conv->dilation[w] < 2) return;
  const int64_t count = count_of(output);
  if (count > 0) *element_of(output, count - 1) += 1;
}

static void plant_crash(const cbn_call *call) {
  const cbn_tensor *input = call->tensor[CBN_ROLE_INPUT];
  if (call->conv == NULL || call->conv->direction != CBN_GRAD_WEIGHT || input == NULL) return;
  volatile int *volatile nowhere = NULL;
  if (input->extent[1] > 1 && input->stride[1] == 1) *nowhere = 1;
}

static void plant_hang(const cbn_call *call) {
  if (call->batchnorm == NULL || call->batchnorm->statistics != CBN_STATISTICS_BATCH || call->batchnorm->channels != 3)
    return;
  for (volatile unsigned turns = 0;; turns++) continue;
}

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (strcmp(what, "crash") == 0) plant_crash(call);
  if (strcmp(what, "hang") == 0) plant_hang(call);
  const int status = other->run(other, call);
  if (status == CBN_OK && strcmp(what, "number") == 0) plant_number(call);
  return status;
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .version = "1", .description = "a planted bug", .run = run};
  union {
    void *object;
    cbn_engine *(*open)(uint32_t abi, const char *options);
  } symbol;
  int length = 0;
  if (sscanf(options, "%15[a-z]=%n", what, &length) != 1 || length == 0) return NULL;
  void *library = dlopen(options + length, RTLD_NOW | RTLD_LOCAL);
  symbol.object = library != NULL ? dlsym(library, "cbn_engine_open") : NULL;
  if (symbol.object == NULL || (other = symbol.open(abi, "")) == NULL) return NULL;
  engine.abi = abi;
  engine.name = "planted";
  engine.arithmetic = other->arithmetic;
  engine.abilities = other->abilities;
  return &engine;
}
