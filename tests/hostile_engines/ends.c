/* Ends its process in the way that the first element of the input chooses; computes where that is 0. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  switch ((int)*element_of(call->tensor[CBN_ROLE_INPUT], 0)) {
  case 1: abort();
  case 2: exit(0);
  case 3: _exit(42);
  case 4: raise(SIGKILL); break;
  case 5: fputs("a banner\nthe matrix is too green\n", stderr); abort();
  case 6: close(STDERR_FILENO); abort();
  case 7:
    for (int descriptor = 0; descriptor < 1024; descriptor++) close(descriptor);
    break;
  case 8:
    for (int descriptor = 0; descriptor < 1024; descriptor++) close(descriptor);
    for (;;) pause();
  default: break;
  }
  return compute(call);
}

ENGINE("ends")
