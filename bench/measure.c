/* bench/measure.c - interleaved samples. */
#define _POSIX_C_SOURCE 200809L
#include "bench/measure.h"

#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double now(enum bench_clock clock) {
  struct timespec t;
  clock_gettime(clock == BENCH_THREAD ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
/* Twelve independent chains: more than latency times width on any core so far. 8 x 12 multiply-adds a turn. */
__attribute__((target("avx2,fma"))) static float fma_loop(long turns) {
  __m256 a[12];
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int i = 0; i < 12; i++) a[i] = _mm256_set1_ps((float)i);
  for (long t = 0; t < turns; t++) {
#define STEP(I) a[I] = _mm256_fmadd_ps(a[I], x, y);
    STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
#undef STEP
  }
  for (int i = 1; i < 12; i++) a[0] = _mm256_add_ps(a[0], a[i]);
  return _mm256_cvtss_f32(a[0]);
}

double bench_probe(enum bench_clock clock) {
  enum { TURNS = 400000 };
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  volatile float sink;
  const double start = now(clock);
  sink = fma_loop(TURNS);
  const double seconds = now(clock) - start;
  (void)sink;
  return 96.0 * TURNS / seconds;
}
#else
double bench_probe(enum bench_clock clock) {
  (void)clock;
  return 0;
}
#endif

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, ascending);
  return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Seconds of one call, from as many calls as a sample takes. */
static double sample(const bench_subject *s, long calls, enum bench_clock clock, bool *ok) {
  const double start = now(clock);
  for (long i = 0; i < calls && *ok; i++) *ok = s->run(s->context);
  return (now(clock) - start) / (double)calls;
}

enum { MOST_SAMPLES = 501 };

typedef struct series {
  long calls; /* of one sample: about two milliseconds, or one call */
  double seconds[MOST_SAMPLES], share[MOST_SAMPLES];
} series;

static bool prepare(const bench_subject *s, enum bench_clock clock, series *e) {
  bool ok = true;
  e->calls = 1;
  sample(s, 1, clock, &ok); /* first touches and lazy set-up */
  double seconds = sample(s, 1, clock, &ok);
  if (ok && seconds < 1e-4) seconds = sample(s, 100, clock, &ok);
  if (seconds < 2e-3) e->calls = (long)(2e-3 / (seconds + 1e-9)) + 1;
  return ok;
}

static bool measure(const bench_subject subject[2], bench_result result[2], double work, double seconds,
                    enum bench_clock clock, series e[2]) {
  const int subjects = subject[1].run ? 2 : 1;
  for (int i = 0; i < subjects; i++) {
    if (!prepare(&subject[i], clock, &e[i])) return false;
  }
  int samples = 0;
  bool ok = true;
  const double start = now(BENCH_WALL);
  double before = bench_probe(clock);
  while (samples < MOST_SAMPLES && (samples < 3 || now(BENCH_WALL) - start < seconds)) {
    for (int i = 0; i < subjects && ok; i++) {
      e[i].seconds[samples] = sample(&subject[i], e[i].calls, clock, &ok);
      const double after = bench_probe(clock);
      e[i].share[samples] = after > 0 ? work / e[i].seconds[samples] / ((before + after) / 2) : 0;
      before = after;
    }
    if (!ok) return false;
    samples++;
  }
  for (int i = 0; i < subjects; i++) {
    result[i].measured = true;
    result[i].seconds = median(e[i].seconds, samples);
    result[i].fastest = e[i].seconds[0];
    result[i].share = median(e[i].share, samples);
  }
  return true;
}

bool bench_pair(const bench_subject subject[2], bench_result result[2], double work, double seconds,
                enum bench_clock clock) {
  result[0] = result[1] = (bench_result){.measured = false};
  series *e = malloc(2 * sizeof *e);
  const bool ok = e && measure(subject, result, work, seconds, clock, e);
  free(e);
  return ok;
}
