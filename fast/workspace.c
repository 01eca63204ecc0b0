/* fast/workspace.c - memory, messages, threads. */
#include "fast/workspace.h"

#include "fast/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

#include "core/scratch.h"

int cbn_fast_fail(cbn_call *call, int status, const char *format, ...) {
  if (call->message && call->message_size > 0) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->message, call->message_size, format, arguments);
    va_end(arguments);
  }
  return status;
}

void *cbn_fast_allocate(cbn_call *call, int64_t bytes) {
  void *memory = cbn_scratch_take(((size_t)bytes + 63) / 64 * 64); /* what cbn_fast_take hands out ends there */
  if (!memory) cbn_fast_fail(call, CBN_ERROR, "no memory for a workspace of %" PRId64 " bytes", bytes);
  return memory;
}

void cbn_fast_release(void *memory) { cbn_scratch_give(memory); }

void *cbn_fast_take(char **memory, int64_t bytes) {
  void *here = *memory;
  *memory += (bytes + 63) / 64 * 64;
  return here;
}

int cbn_fast_threads(const cbn_call *call, int64_t pieces, int64_t work) {
  int64_t threads = call->threads;
  if (threads > pieces) threads = pieces;
  if (threads > work / CBN_WORK_PER_THREAD) threads = work / CBN_WORK_PER_THREAD;
  return threads < 1 ? 1 : threads > 1024 ? 1024 : (int)threads;
}

void cbn_fast_share(int threads, int64_t pieces, void (*piece)(void *context, int thread, int64_t i), void *context) {
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < pieces; i++) piece(context, omp_get_thread_num(), i);
    return;
  }
#endif
  (void)threads;
  for (int64_t i = 0; i < pieces; i++) piece(context, 0, i);
}
