/* Writes through a null pointer when the first element is 1, else computes. */
#include "hostile.h"

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (*element_of(call->tensor[CBN_ROLE_INPUT], 0) == 1) {
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
  }
  return compute(call);
}

ENGINE("segfault")
