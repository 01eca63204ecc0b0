/* A place for one fuzzer's process at a time: its command line, its folder, and what it leaves there. */
#ifndef CBN_FUZZ_WORKER_H
#define CBN_FUZZ_WORKER_H

#include "fuzz/findings.h"
#include "fuzz/schedule.h"
#include "fuzz/shared.h"
#include "fuzz/supervise.h"

typedef struct cbn_worker {
  cbn_job job;
  cbn_task *task; /* that runs; NULL */
  enum cbn_lane lane;
  cbn_path folder;
  cbn_fuzz_status *status;  /* counts of the process; its pairs are of all processes here */
  double slice, not_before; /* seconds; when the next may start */
  uint64_t runs;            /* when they were last looked at ... */
  double last_run;          /* ... and had become more */
  bool stopped;             /* by us */
} cbn_worker;

/* Makes the folder OUT/work/PLACE, and the file to count in. */
bool cbn_worker_open(cbn_worker *worker, const char *out, int place, cbn_error *error);
void cbn_worker_close(cbn_worker *worker);

/* Starts the program of worker->task for worker->slice seconds, at most `runs` executions (0: no limit). `number` is that of
 * the slice in the whole run, from which its chance follows. */
bool cbn_worker_start(cbn_worker *worker, const cbn_fuzz_options *options, uint64_t runs, uint64_t number,
                      cbn_error *error);

/* Hands over the findings that the process has reported and survived. */
void cbn_worker_collect(cbn_worker *worker, cbn_findings *findings);

/* Of a process that has ended: what it died of, and what AFL++ has found, which goes into the corpus. Returns how many
 * inputs it died of. */
int cbn_worker_collect_ended(cbn_worker *worker, const char *out, cbn_findings *findings);

/* Hands over what the processes of a run that was killed had shown and nobody took; before the workers are opened. */
void cbn_worker_inherit(const char *out, const cbn_builds *builds, cbn_findings *findings);

/* Sets the counts to 0. */
void cbn_worker_clear_status(cbn_worker *worker);

/* What a program that does not start says of that. */
void cbn_worker_excuse(const cbn_worker *worker, cbn_error *line);

#endif
