/* Who fuzzes next, and for how long. A task is a target in a build. Each gets its share of the time in slices, which are short at
 * first, so that everything has run early, and become longer, so that little time goes into reading the corpus again. */
#ifndef CBN_FUZZ_SCHEDULE_H
#define CBN_FUZZ_SCHEDULE_H

#include "fuzz/builds.h"

enum { CBN_TARGET_LIMIT = 64, CBN_TASK_LIMIT = 256 };

typedef struct cbn_task {
  const cbn_target *target;
  const cbn_build *build;
  double weight; /* its share of the time */
  double used;   /* seconds; of slices that run as planned */
  int slices;    /* that were started */
  int failures;  /* in a row, to start; a task that fails too often is off */
  bool off;
  uint64_t executions;
} cbn_task;

typedef struct cbn_schedule {
  int count;
  double seconds; /* of the whole run */
  cbn_task task[CBN_TASK_LIMIT];
} cbn_schedule;

/* The tasks of those targets in those builds. Of the targets of one schedule one for problems has most of the time, unless they were
 * `chosen` by name; plain builds run problems three times as long as sanitized ones, with texts it is the other way
 * about. */
void cbn_schedule_make(cbn_schedule *schedule, const cbn_target *const *target, int targets, bool chosen,
                       const cbn_builds *builds, double seconds);

/* The next task among those of AFL++, or among the others, or of all, and the seconds of its slice, which are taken as used until
 * it has ended;
 * NULL where none is on. */
enum cbn_lane { CBN_LANE_ALL, CBN_LANE_AFL, CBN_LANE_LIBFUZZER };
cbn_task *cbn_schedule_next(cbn_schedule *schedule, enum cbn_lane lane, double *slice);

bool cbn_schedule_has(const cbn_schedule *schedule, enum cbn_lane lane);

#endif
