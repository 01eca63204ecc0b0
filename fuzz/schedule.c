#include "fuzz/schedule.h"

#include <math.h>
#include <string.h>

static const double PROBLEMS_WEIGHT = 18, LONGEST_SLICE = 300, SHORTEST_AFL_SLICE = 5, FIRST_SLICE_COUNTS = 0.25;

/* Shares of a target's builds: of problems most findings are wrong numbers, which need many executions; of texts they are
 * wrong accesses, which need a sanitizer. */
static double build_weight(const cbn_target *target, const cbn_build *build) {
  static const double PORTABLE = 0.2;
  static const double problems[] = {[CBN_PLAIN] = 3, [CBN_SANITIZED] = 1, [CBN_AFL] = 1};
  static const double texts[] = {[CBN_PLAIN] = 1, [CBN_SANITIZED] = 3, [CBN_AFL] = 0.5};
  if (cbn_build_is_portable(build)) return target->problems ? PORTABLE * problems[build->flavour] : 0;
  return target->problems ? problems[build->flavour] : texts[build->flavour];
}

void cbn_schedule_make(cbn_schedule *s, const cbn_target *const *target, int targets, bool chosen,
                       const cbn_builds *builds, double seconds) {
  memset(s, 0, sizeof *s);
  s->seconds = seconds;
  for (int t = 0; t < targets; t++) {
    const int first = s->count;
    double sum = 0;
    for (int b = 0; b < builds->count && s->count < CBN_TASK_LIMIT; b++) {
      const cbn_build *build = &builds->at[b];
      cbn_path program;
      if (!cbn_build_program(build, target[t], &program) || (build->flavour == CBN_AFL && !builds->has_afl)) continue;
      if (build_weight(target[t], build) == 0) continue;
      s->task[s->count] = (cbn_task){.target = target[t], .build = build, .weight = build_weight(target[t], build)};
      sum += s->task[s->count++].weight;
    }
    for (int i = first; i < s->count; i++)
      s->task[i].weight *= (!chosen && target[t]->problems ? PROBLEMS_WEIGHT : 1) / sum;
  }
}

/* A slice of the task: as long as its share is large, and twice as long each time. */
static double slice_of(const cbn_schedule *s, const cbn_task *task) {
  double heaviest = 0;
  for (int i = 0; i < s->count; i++) heaviest = fmax(heaviest, s->task[i].weight);
  const bool afl = task->build->flavour == CBN_AFL;
  const double first = fmin(fmax(s->seconds / 30, 1), 3), longest = fmin(fmax(s->seconds / 8, 1), LONGEST_SLICE);
  const double grown = first * task->weight / heaviest * exp2(fmin(task->slices, 12));
  return round(fmin(fmax(grown, afl ? SHORTEST_AFL_SLICE : 1), fmax(longest, afl ? SHORTEST_AFL_SLICE : 1)));
}

static bool is_in(const cbn_task *task, enum cbn_lane lane) {
  return !task->off && (lane == CBN_LANE_ALL || (lane == CBN_LANE_AFL) == (task->build->flavour == CBN_AFL));
}

bool cbn_schedule_has(const cbn_schedule *s, enum cbn_lane lane) {
  for (int i = 0; i < s->count; i++)
    if (is_in(&s->task[i], lane)) return true;
  return false;
}

cbn_task *cbn_schedule_next(cbn_schedule *s, enum cbn_lane lane, double *slice) {
  cbn_task *best = NULL;
  double least = INFINITY;
  for (int i = 0; i < s->count; i++) {
    cbn_task *task = &s->task[i];
    const double early = task->slices == 0 ? FIRST_SLICE_COUNTS : 1;
    const double after = early * (task->used + slice_of(s, task)) / task->weight;
    if (!is_in(task, lane) || after >= least) continue;
    best = task;
    least = after;
  }
  if (best == NULL) return NULL;
  *slice = slice_of(s, best);
  best->used += *slice;
  best->slices++;
  return best;
}
