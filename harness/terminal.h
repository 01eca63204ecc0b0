/* What a run says on the terminal: progress, each case that is not as expected, a summary. */
#ifndef CBN_HARNESS_TERMINAL_H
#define CBN_HARNESS_TERMINAL_H

#include <stdio.h>

#include "harness/runner.h"

enum cbn_verbosity { CBN_QUIET = -1, CBN_NORMAL = 0, CBN_VERBOSE = 1 };

typedef struct cbn_terminal {
  FILE *out;              /* findings and the summary */
  FILE *progress;         /* NULL: no progress line */
  bool colour;
  enum cbn_verbosity verbosity;
  const char *engine;     /* as asked for, for replay lines */
  uint64_t seed;
  double last;            /* when progress was last shown */
} cbn_terminal;

/* Colour where `out` is a terminal and NO_COLOR is not set; progress where standard error is one. */
cbn_terminal cbn_terminal_open(enum cbn_verbosity verbosity, const char *engine, uint64_t seed);

/* A cbn_result_sink; `context` is the terminal. */
void cbn_terminal_result(void *context, const cbn_case_result *result, size_t done, size_t total);

/* The closing lines. `left_out` large cases were not selected. */
void cbn_terminal_summary(const cbn_terminal *terminal, const cbn_run *run, size_t left_out);

#endif
