#include "fuzz/supervise.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/verdict.h"
#include "fuzz/out_folder.h"
#include "fuzz/summary.h"
#include "fuzz/worker.h"
#include "harness/clock.h"

enum { FAILURES = 3 }; /* after so many in a row without one execution a program is left alone */
static const double TICK_SECONDS = 0.1, COLLECT_SECONDS = 0.5, LOOK_SECONDS = 2, PATIENCE_SECONDS = 3,
                    OVERDUE_SECONDS = 120, CLOSING_SECONDS = 60, ALL_SECONDS = 10,
                    SHORTEST_SECONDS = 1; /* of a place, until the next process starts there */

typedef struct campaign {
  const cbn_fuzz_options *options;
  const cbn_builds *builds;
  cbn_schedule schedule;
  cbn_findings *findings;
  cbn_worker *worker;
  int workers, signals, lock;
  double started, collected, looked;
  uint64_t slices, executions, invalid, inconclusive, wrong, killed;
  bool interrupted, hurried;
  uint8_t pair[CBN_FUZZ_PAIR_LIMIT];
  int kind, pairs_possible; /* of the pairs that can be reached */
  cbn_error error;          /* why the run ends early */
  int code;
  cbn_progress progress;
} campaign;

/* --------------------------------------------------------------------------------------------------------- slices */

static void end_early(campaign *c, int code, const cbn_error *error) {
  if (c->code == CBN_EXIT_EXPECTED) {
    c->code = code;
    c->error = *error;
  }
}

/* Gives the worker a slice of the task whose turn it is. */
static void start_slice(campaign *c, cbn_worker *w) {
  const cbn_fuzz_options *o = c->options;
  cbn_error error;
  w->task = cbn_schedule_next(&c->schedule, w->lane, &w->slice);
  if (w->task == NULL) { /* AFL++ has failed */
    w->lane = CBN_LANE_ALL;
    return;
  }
  w->slice = fmax(1, fmin(w->slice, ceil(o->seconds - (cbn_clock_seconds() - c->started))));
  if (cbn_worker_start(w, o, o->runs > c->executions ? o->runs - c->executions : 0, c->slices++, &error)) return;
  end_early(c, CBN_EXIT_USAGE, &error);
  w->task = NULL;
}

/* A program that ended by itself, with nothing to show for it. */
static void take_failure(campaign *c, cbn_worker *w, uint64_t executions) {
  cbn_error said;
  char how[64];
  cbn_task *task = w->task;
  if (WIFSIGNALED(w->job.status) || executions > 0) {
    c->killed++;
    return;
  }
  if (++task->failures < FAILURES) return;
  task->off = true;
  cbn_worker_excuse(w, &said);
  cbn_job_describe(&w->job, how, sizeof how);
  cbn_progress_clear(&c->progress);
  fprintf(stderr, "convbn fuzz: %s does not start in the %s build and is left out: %s; %s\n", task->target->name,
          task->build->name, how, said.text);
}

static void merge_pairs(campaign *c, const cbn_fuzz_status *status) {
  for (int i = 0; i < cbn_pair_count() && i < CBN_FUZZ_PAIR_LIMIT; i++) c->pair[i] |= atomic_load(&status->pair[i]);
}

static void end_slice(campaign *c, cbn_worker *w) {
  w->task->used += fmax(cbn_clock_seconds() - w->job.started, SHORTEST_SECONDS) - w->slice;
  cbn_worker_collect(w, c->findings);
  const int deaths = cbn_worker_collect_ended(w, c->options->out, c->findings);
  const uint64_t runs = atomic_load(&w->status->runs);
  const bool well = WIFEXITED(w->job.status) && WEXITSTATUS(w->job.status) == 0;
  if (deaths == 0 && !well && !w->stopped) take_failure(c, w, runs);
  if (runs > 0 || well) w->task->failures = 0;
  w->task->executions += runs;
  c->executions += runs;
  c->invalid += atomic_load(&w->status->invalid);
  c->inconclusive += atomic_load(&w->status->inconclusive);
  c->wrong += atomic_load(&w->status->findings);
  merge_pairs(c, w->status);
  cbn_worker_clear_status(w);
  w->task = NULL;
}

/* ------------------------------------------------------------------------------------------------------- the course */

static void take_signals(campaign *c) {
  struct signalfd_siginfo info;
  while (read(c->signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    c->hurried = c->interrupted;
    c->interrupted = true;
  }
}

/* Until somebody says or does something, or a moment has passed. */
static void wait_a_moment(campaign *c) {
  struct pollfd *ready = calloc((size_t)c->workers + 1 + CBN_FINDINGS_JOBS, sizeof *ready);
  int descriptor[CBN_FINDINGS_JOBS];
  if (ready == NULL) return;
  nfds_t count = 0;
  ready[count++].fd = c->signals;
  for (int i = 0; i < c->workers; i++)
    if (c->worker[i].job.output >= 0) ready[count++].fd = c->worker[i].job.output;
  for (int i = 0, n = cbn_findings_descriptors(c->findings, descriptor); i < n; i++) ready[count++].fd = descriptor[i];
  for (nfds_t i = 0; i < count; i++) ready[i].events = POLLIN;
  poll(ready, count, (int)(1e3 * TICK_SECONDS));
  free(ready);
}

/* Is the slice over, and has nothing been executed for long? A large corpus takes longer to read than a slice, and an execution
 * has its time, after which the fuzzer itself calls it a hang. */
static bool is_stuck(const campaign *c, cbn_worker *w, double now) {
  const uint64_t runs = atomic_load(&w->status->runs);
  if (runs != w->runs) w->last_run = now;
  w->runs = runs;
  return now > fmax(w->last_run, w->job.started + w->slice) + OVERDUE_SECONDS + c->options->timeout_seconds;
}

/* Hears the workers and takes what those that have ended leave; true while any runs. */
static bool attend(campaign *c) {
  const double now = cbn_clock_seconds();
  const bool due = now - c->collected >= COLLECT_SECONDS;
  bool running = false;
  if (due) c->collected = now;
  for (int i = 0; i < c->workers; i++) {
    cbn_worker *w = &c->worker[i];
    if (w->task == NULL) continue;
    cbn_job_hear(&w->job);
    if (cbn_job_ended(&w->job)) {
      end_slice(c, w);
      continue;
    }
    running = true;
    if (due) cbn_worker_collect(w, c->findings);
    if (is_stuck(c, w, now)) cbn_job_signal(&w->job, SIGKILL);
  }
  return running;
}

static uint64_t executions_now(const campaign *c) {
  uint64_t runs = c->executions;
  for (int i = 0; i < c->workers; i++) runs += atomic_load(&c->worker[i].status->runs);
  return runs;
}

static bool is_over(campaign *c) {
  const double now = cbn_clock_seconds();
  cbn_error error;
  if (c->interrupted || c->code != CBN_EXIT_EXPECTED) return true;
  if (now - c->started >= c->options->seconds) return true;
  if (c->options->runs > 0 && executions_now(c) >= c->options->runs) return true;
  if (!cbn_schedule_has(&c->schedule, CBN_LANE_ALL)) {
    cbn_error_set(&error, "no fuzzer starts");
    end_early(c, CBN_EXIT_ENGINE, &error);
    return true;
  }
  if (now - c->looked < LOOK_SECONDS) return false;
  c->looked = now;
  if (!cbn_out_has_space(c->options->out, &error) || !cbn_findings_kept(c->findings, &error))
    end_early(c, CBN_EXIT_USAGE, &error);
  return c->code != CBN_EXIT_EXPECTED;
}

static cbn_fuzz_totals totals_of(campaign *c) {
  cbn_fuzz_totals t = {.seconds = cbn_clock_seconds() - c->started,
                       .executions = executions_now(c),
                       .invalid = c->invalid,
                       .inconclusive = c->inconclusive,
                       .wrong = c->wrong,
                       .pairs_possible = c->pairs_possible,
                       .kind = c->kind,
                       .pairs = c->pair,
                       .killed = c->killed,
                       .interrupted = c->interrupted};
  for (int i = 0; i < c->workers; i++) merge_pairs(c, c->worker[i].status);
  for (int i = 0; i < cbn_pair_count(); i++)
    t.pairs_reached += c->pair[i] && cbn_pair_impossible(i, c->kind, NULL) == NULL;
  return t;
}

static void show(campaign *c) {
  if (!cbn_progress_due(&c->progress)) return;
  const cbn_fuzz_totals totals = totals_of(c);
  cbn_progress_show(&c->progress, c->options, &totals, c->findings);
}

static void fuzz(campaign *c) {
  while (!is_over(c)) {
    take_signals(c);
    attend(c);
    cbn_findings_step(c->findings, CBN_BESIDE);
    for (int i = 0; i < c->workers && !c->interrupted; i++)
      if (c->worker[i].task == NULL && cbn_clock_seconds() >= c->worker[i].not_before) start_slice(c, &c->worker[i]);
    show(c);
    wait_a_moment(c);
  }
}

static void stop_workers(campaign *c) {
  const double start = cbn_clock_seconds();
  for (int i = 0; i < c->workers; i++) {
    c->worker[i].stopped = true;
    cbn_job_signal(&c->worker[i].job, SIGTERM);
  }
  while (attend(c)) {
    if (cbn_clock_seconds() - start > PATIENCE_SECONDS)
      for (int i = 0; i < c->workers; i++) cbn_job_signal(&c->worker[i].job, SIGKILL);
    take_signals(c);
    cbn_findings_step(c->findings, CBN_LIKELY_NEW);
    wait_a_moment(c);
  }
}

/* Looks at what waits: for a moment at all of it, for a while at what is likely to be new. */
static void close_findings(campaign *c) {
  const double start = cbn_clock_seconds();
  double passed = 0;
  while (cbn_findings_step(c->findings, passed < ALL_SECONDS ? CBN_ALL : CBN_LIKELY_NEW)) {
    take_signals(c);
    passed = cbn_clock_seconds() - start;
    if (c->hurried || passed > (c->interrupted ? ALL_SECONDS : CLOSING_SECONDS)) break;
    show(c);
    wait_a_moment(c);
  }
  cbn_findings_stop(c->findings);
}

static void watch_signals(campaign *c) {
  sigset_t set;
  sigemptyset(&set);
  static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) sigaddset(&set, wanted[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  c->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Which pairs there are to be reached: those of one kind, where one is fuzzed alone. */
static void count_pairs(campaign *c) {
  bool problems = false;
  c->kind = c->options->targets == 1 ? c->options->target[0]->kind : -1;
  for (int i = 0; i < c->options->targets; i++) problems = problems || c->options->target[i]->problems;
  for (int i = 0; problems && i < cbn_pair_count(); i++)
    c->pairs_possible += cbn_pair_impossible(i, c->kind, NULL) == NULL;
}

/* With several workers AFL++ has the last one for itself; it takes turns with the others where there is one. */
static bool open_workers(campaign *c, cbn_error *error) {
  c->worker = calloc((size_t)c->options->jobs, sizeof *c->worker);
  CBN_CHECK(c->worker != NULL, error, "no memory for %d workers", c->options->jobs);
  const bool own = c->options->jobs > 1 && cbn_schedule_has(&c->schedule, CBN_LANE_AFL);
  for (c->workers = 0; c->workers < c->options->jobs; c->workers++) {
    const bool last = c->workers == c->options->jobs - 1;
    c->worker[c->workers].lane = !own ? CBN_LANE_ALL : last ? CBN_LANE_AFL : CBN_LANE_LIBFUZZER;
    CBN_FORWARD(cbn_worker_open(&c->worker[c->workers], c->options->out, c->workers, error));
  }
  return true;
}

static bool prepare(campaign *c, cbn_error *error) {
  const cbn_fuzz_options *o = c->options;
  CBN_FORWARD(cbn_out_open(o->out, &c->lock, error) && cbn_out_has_space(o->out, error));
  for (int i = 0; i < o->targets; i++) CBN_FORWARD(cbn_out_import(o->out, o->corpus, o->target[i], error));
  const cbn_findings_options findings = {.out = o->out,
                                         .engine = o->engine != NULL ? o->engine : "fast",
                                         .builds = c->builds,
                                         .timeout_seconds = o->timeout_seconds,
                                         .jobs = o->jobs < 8    ? 1
                                                 : o->jobs < 32 ? o->jobs / 4
                                                                : CBN_FINDINGS_JOBS,
                                         .quiet = o->quiet};
  c->findings = cbn_findings_open(&findings, error);
  CBN_FORWARD(c->findings != NULL);
  cbn_worker_inherit(o->out, c->builds, c->findings);
  return open_workers(c, error);
}

static int run(campaign *c) {
  cbn_error error;
  cbn_schedule_make(&c->schedule, c->options->target, c->options->targets, c->options->chosen, c->builds,
                    c->options->seconds);
  if (!cbn_schedule_has(&c->schedule, CBN_LANE_ALL)) {
    fprintf(stderr,
            "convbn fuzz: the builds in CONVBN_FUZZERS have no program for these targets; ./run-fuzz builds them\n");
    return CBN_EXIT_ENGINE;
  }
  if (!prepare(c, &error)) {
    fprintf(stderr, "convbn fuzz: %s\n", error.text);
    return CBN_EXIT_USAGE;
  }
  watch_signals(c);
  count_pairs(c);
  c->progress = cbn_progress_open(c->options->quiet);
  c->started = c->looked = cbn_clock_seconds();
  fuzz(c);
  const double fuzzed = cbn_clock_seconds() - c->started;
  stop_workers(c);
  close_findings(c);
  cbn_progress_clear(&c->progress);
  cbn_fuzz_totals totals = totals_of(c);
  totals.seconds = fuzzed;
  if (c->code != CBN_EXIT_EXPECTED) fprintf(stderr, "convbn fuzz: %s\n", c->error.text);
  else if (!cbn_findings_kept(c->findings, &error)) end_early(c, CBN_EXIT_USAGE, &error);
  const cbn_findings_count found = cbn_findings_counted(c->findings);
  if (found.seen > 0 || found.waiting > 0) c->code = cbn_exit_worse(c->code, CBN_EXIT_DISCREPANCY);
  return cbn_fuzz_summary(c->options, &totals, &c->schedule, c->findings, c->code);
}

static void release(campaign *c) {
  cbn_findings_close(c->findings);
  for (int i = 0; i < c->workers; i++) cbn_worker_close(&c->worker[i]);
  if (c->lock >= 0 && c->worker != NULL) cbn_folder_remove(cbn_path_of("%s/work", c->options->out).text);
  free(c->worker);
  if (c->signals >= 0) close(c->signals);
  if (c->lock >= 0) close(c->lock);
  free(c);
}

int cbn_fuzz_supervise(const cbn_fuzz_options *options, const cbn_builds *builds) {
  campaign *c = calloc(1, sizeof *c);
  if (c == NULL) {
    fprintf(stderr, "convbn fuzz: no memory\n");
    return CBN_EXIT_USAGE;
  }
  c->options = options;
  c->builds = builds;
  c->signals = c->lock = -1;
  const int code = run(c);
  release(c);
  return code;
}
