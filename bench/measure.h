/* bench/measure.h - time, and what the core could do at that moment. */
#ifndef CBN_BENCH_MEASURE_H
#define CBN_BENCH_MEASURE_H

#include <stdbool.h>

/* Which clock: the calling thread's own time, which other programs on the machine do not stretch and which is right for
 * one thread; or that on the wall. */
enum bench_clock { BENCH_THREAD, BENCH_WALL };

/* Multiply-adds per second of a loop of AVX2 FMAs that touches registers only, over about two milliseconds; 0 on a
 * processor without AVX2 and FMA. Clocks of shared machines swing by factors within minutes: a share of the probe that
 * ran beside a sample is comparable from run to run, a plain rate is not. */
double bench_probe(enum bench_clock clock);

/* Something to time: computes once, false if it failed. */
typedef struct bench_subject {
  bool (*run)(void *context);
  void *context;
} bench_subject;

/* What was measured of one subject. */
typedef struct bench_result {
  bool measured;
  double seconds; /* median of a call */
  double fastest; /* the shortest */
  double share;   /* median of (work / seconds) / probe, for subjects with work; 0 without a probe */
} bench_result;

/* Times up to two subjects (the second's `run` may be NULL) in alternation, a probe before and behind each sample.
 * `work` is the multiply-adds of a call, `seconds` about how long it may take. False if a subject fails or memory
 * is out. */
bool bench_pair(const bench_subject subject[2], bench_result result[2], double work, double seconds,
                enum bench_clock clock);

#endif
