/* Running selected cases against an engine: workers, each with an engine process of its own; results in order. */
#ifndef CBN_HARNESS_RUNNER_H
#define CBN_HARNESS_RUNNER_H

#include "harness/evaluation.h"

typedef struct cbn_run_options {
  const char *engine; /* as cbn_engine_start takes it */
  int jobs;           /* at least 1 */
  int processors;     /* what a large case's engine may use */
  bool stop_at_first; /* no further case after the first that is not as expected */
  double timeout_seconds; /* for one call; 0: 30, for a large case 900 */
  uint64_t seed;
  int64_t memory_bytes;        /* for one case's tensors */
  int64_t engine_memory_bytes; /* for the engine's own use */
  bool maps;
} cbn_run_options;

/* Told each result, in the order of the cases, from one thread at a time. The result lives until cbn_run_release. */
typedef void cbn_result_sink(void *context, const cbn_case_result *result, size_t done, size_t total);

typedef struct cbn_run {
  cbn_engine_identity identity;
  cbn_case_result *results; /* in the order of the cases; `golden` is NULL for one that was not run */
  size_t count;
  double seconds;
} cbn_run;

/* Runs the cases. False with one line where the engine cannot start. */
bool cbn_run_cases(const cbn_case_set *set, const cbn_case *const *cases, size_t count, const cbn_run_options *options,
                   cbn_result_sink *sink, void *context, cbn_run *run, cbn_error *error);
void cbn_run_release(cbn_run *run);

/* What the engine does where zero padding meets a weight that is not finite: "skipped", "multiplied", "skipped in some
 * places, multiplied in others"; NULL where no case shows it. */
const char *cbn_run_zero_padding(const cbn_run *run);

/* The exit code that the results stand for. Where the engine supported none of the problems it was asked, that of
 * inconclusive. */
int cbn_run_exit(const cbn_run *run);

#endif
