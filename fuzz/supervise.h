/* A fuzzing run: the fuzzers' programs side by side, in slices, over one folder (fuzz/out_folder.h). */
#ifndef CBN_FUZZ_SUPERVISE_H
#define CBN_FUZZ_SUPERVISE_H

#include <stdint.h>

#include "fuzz/builds.h"
#include "fuzz/schedule.h"

typedef struct cbn_fuzz_options {
  const cbn_target *target[CBN_TARGET_LIMIT];
  int targets;
  bool chosen;    /* the targets were named; else they are the default ones */
  double seconds; /* INFINITY: no limit */
  uint64_t runs;  /* 0: no limit */
  int jobs;
  uint64_t seed;
  const char *engine; /* NULL: fast, with all its kernels */
  const char *out;
  const char *corpus; /* a folder with one for each target, to begin with; NULL */
  const char *json;   /* a file; NULL */
  double timeout_seconds;
  bool quiet;
} cbn_fuzz_options;

/* What came of it. */
typedef struct cbn_fuzz_totals {
  double seconds;
  uint64_t executions, invalid, inconclusive;
  uint64_t wrong;                    /* executions that showed something and went on */
  int pairs_reached, pairs_possible; /* of the kind of problems that was run; 0 possible: none was */
  int kind;                          /* of the pairs; -1: all */
  const uint8_t *pairs;
  uint64_t killed; /* fuzzers that somebody else ended */
  bool interrupted;
} cbn_fuzz_totals;

/* Runs until the time is over, the executions are done, or a signal asks for the end; an exit code. */
int cbn_fuzz_supervise(const cbn_fuzz_options *options, const cbn_builds *builds);

#endif
