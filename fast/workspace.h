/* fast/workspace.h - how a call gets memory, answers without it, and shares out its work. */
#ifndef CBN_FAST_WORKSPACE_H
#define CBN_FAST_WORKSPACE_H

#include <convbn/engine.h>

/* One block, 64-byte aligned and up to a multiple of 64 bytes; NULL without memory, the reason then in the call's
 * message. Released, NULL allowed, by the thread that asked for it, before those that it asked for earlier
 * (core/scratch.h). */
void *cbn_fast_allocate(cbn_call *call, int64_t bytes);
void cbn_fast_release(void *memory);

/* Writes the reason for a status other than CBN_OK and returns the status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int cbn_fast_fail(cbn_call *call, int status, const char *format, ...);

/* Threads worth starting for that many pieces and that much work (in multiply-adds or elements), 1 to call->threads. */
int cbn_fast_threads(const cbn_call *call, int64_t pieces, int64_t work);

/* Hands out `bytes` from *memory on, which stays a multiple of 64. */
void *cbn_fast_take(char **memory, int64_t bytes);

/* Runs piece(context, thread, i) for every i < pieces, on at most `threads` threads numbered from 0. */
void cbn_fast_share(int threads, int64_t pieces, void (*piece)(void *context, int thread, int64_t i), void *context);

#endif
