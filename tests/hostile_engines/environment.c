/* Computes, and leaves the floating-point environment or the signal mask changed, as the options say. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <fenv.h>
#include <signal.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const char *what;

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (strcmp(what, "rounding") == 0) fesetround(FE_UPWARD);
  if (strcmp(what, "flags") == 0) feraiseexcept(FE_INEXACT | FE_OVERFLOW);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  if (strcmp(what, "signals") == 0) sigprocmask(SIG_BLOCK, &alarm, NULL);
#if defined(__x86_64__)
  if (strcmp(what, "flush") == 0) _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  if (strcmp(what, "x87") == 0) {
    const unsigned short single_precision = 0x007f;
    __asm__ volatile("fldcw %0" : : "m"(single_precision));
  }
  if (strcmp(what, "mmx") == 0) __asm__ volatile("pxor %%mm0, %%mm0" : : : "memory");
#endif
  return compute(call);
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "environment", .run = run};
  engine.abi = abi;
  what = options;
  return &engine;
}
