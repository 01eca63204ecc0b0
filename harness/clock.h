/* Seconds on a clock that is never set: for durations and deadlines. */
#ifndef CBN_HARNESS_CLOCK_H
#define CBN_HARNESS_CLOCK_H

#include <time.h>

static inline double cbn_clock_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
