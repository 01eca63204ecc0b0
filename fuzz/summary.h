/* What a fuzzing run says: progress while it goes on, a summary, and both for machines. */
#ifndef CBN_FUZZ_SUMMARY_H
#define CBN_FUZZ_SUMMARY_H

#include "fuzz/findings.h"
#include "fuzz/supervise.h"

/* Progress: one line that is written over on a terminal, else a line now and then. */
typedef struct cbn_progress {
  bool quiet, terminal;
  double last;         /* when it was last shown */
  double time, rate;   /* executions a second, over the last seconds */
  uint64_t executions; /* at that time */
  size_t corpus;
  double corpus_time;
} cbn_progress;

cbn_progress cbn_progress_open(bool quiet);
bool cbn_progress_due(const cbn_progress *progress);
void cbn_progress_show(cbn_progress *progress, const cbn_fuzz_options *options, const cbn_fuzz_totals *totals,
                       const cbn_findings *findings);
void cbn_progress_clear(const cbn_progress *progress);

/* Prints the summary and writes OUT/findings.json, OUT/pairs.txt, OUT/summary.json and the file of --json. Returns the exit
 * code: `code`, or a worse one where something could not be written. */
int cbn_fuzz_summary(const cbn_fuzz_options *options, const cbn_fuzz_totals *totals, const cbn_schedule *schedule,
                     const cbn_findings *findings, int code);

#endif
