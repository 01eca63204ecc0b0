#include "harness/runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "harness/clock.h"

/* Two threads, whatever the machine: races show, and an engine that has no use for them starts none. */
enum { SMALL_THREADS = 2, START_SECONDS = 20, CALL_SECONDS = 30, LARGE_CALL_SECONDS = 900 };

/* What the workers share. */
typedef struct work {
  const cbn_case_set *set;
  const cbn_case *const *cases;
  const cbn_run_options *options;
  cbn_result_sink *sink;
  void *context;
  cbn_run *run;
  pthread_mutex_t lock; /* guards what follows */
  size_t next, told;
  bool stop;
  bool *done, *large;
} work;

typedef struct worker {
  work *work;
  cbn_engine_process *engine;
  pthread_t thread;
} worker;

static bool is_bad(const cbn_case_result *r) { return r->bad_case || cbn_verdict_weight_of(r->verdict) == CBN_BAD; }

/* The next case of the wanted kind; `count` where there is none. */
static size_t take(work *w, bool large) {
  pthread_mutex_lock(&w->lock);
  while (w->next < w->run->count && w->large[w->next] != large) w->next++;
  const size_t i = w->stop ? w->run->count : w->next;
  if (i < w->run->count) w->next++;
  pthread_mutex_unlock(&w->lock);
  return i;
}

/* Tells results in order as far as they are there. */
static void tell(work *w, size_t i) {
  pthread_mutex_lock(&w->lock);
  w->done[i] = true;
  if (w->options->stop_at_first && is_bad(&w->run->results[i])) w->stop = true;
  for (; w->told < w->run->count && w->done[w->told]; w->told++)
    w->sink(w->context, &w->run->results[w->told], w->told + 1, w->run->count);
  pthread_mutex_unlock(&w->lock);
}

static cbn_engine_process *start_engine(const cbn_run_options *options, cbn_error *error) {
  const cbn_engine_limits limits = {.memory_bytes = options->engine_memory_bytes, .start_seconds = START_SECONDS};
  return cbn_engine_start(options->engine, &limits, error);
}

static void evaluate_all(work *w, cbn_engine_process *engine, bool large) {
  cbn_evaluate_options options = {.timeout_seconds = w->options->timeout_seconds > 0
                                                         ? w->options->timeout_seconds
                                                         : (double)(large ? LARGE_CALL_SECONDS : CALL_SECONDS),
                                  .threads = large ? w->options->processors : SMALL_THREADS,
                                  .seed = w->options->seed,
                                  .memory_bytes = w->options->memory_bytes,
                                  .maps = w->options->maps};
  for (size_t i = take(w, large); i < w->run->count; i = take(w, large)) {
    cbn_evaluate(w->cases[i], w->set, engine, &options, &w->run->results[i]);
    tell(w, i);
  }
}

static void *work_on(void *argument) {
  worker *self = argument;
  work *w = self->work;
  cbn_error error;
  self->engine = start_engine(w->options, &error);
  if (self->engine != NULL) evaluate_all(w, self->engine, false); /* else the first worker does all of the work */
  return NULL;
}

static bool prepare(work *w, size_t count, cbn_error *error) {
  w->run->results = calloc(count + 1, sizeof *w->run->results);
  w->done = calloc(count + 1, sizeof *w->done);
  w->large = calloc(count + 1, sizeof *w->large);
  CBN_CHECK(w->run->results != NULL && w->done != NULL && w->large != NULL, error, "memory: there is none left");
  for (size_t i = 0; i < count; i++) w->large[i] = cbn_case_is_large(w->cases[i]);
  w->run->count = count;
  return true;
}

/* Small cases side by side, each engine on few threads; then large ones one by one, the engine on all processors. */
static void run_workers(work *w, cbn_engine_process *first) {
  const size_t jobs = (size_t)w->options->jobs;
  worker *workers = calloc(jobs, sizeof *workers);
  size_t started = 0;
  if (workers != NULL)
    for (size_t k = 1; k < jobs && k < w->run->count; k++) {
      workers[k].work = w;
      if (pthread_create(&workers[k].thread, NULL, work_on, &workers[k]) != 0) break;
      started = k;
    }
  evaluate_all(w, first, false);
  for (size_t k = 1; k <= started; k++) {
    pthread_join(workers[k].thread, NULL);
    cbn_engine_stop(workers[k].engine);
  }
  free(workers);
  w->next = 0;
  evaluate_all(w, first, true);
}

bool cbn_run_cases(const cbn_case_set *set, const cbn_case *const *cases, size_t count, const cbn_run_options *options,
                   cbn_result_sink *sink, void *context, cbn_run *run, cbn_error *error) {
  work w = {.set = set,
            .cases = cases,
            .options = options,
            .sink = sink,
            .context = context,
            .run = run,
            .lock = PTHREAD_MUTEX_INITIALIZER};
  const double start = cbn_clock_seconds();
  *run = (cbn_run){0};
  cbn_engine_process *first = start_engine(options, error);
  if (first == NULL) return false;
  run->identity = *cbn_engine_identify(first);
  const bool prepared = prepare(&w, count, error);
  if (prepared) run_workers(&w, first);
  cbn_engine_stop(first);
  free(w.done);
  free(w.large);
  run->seconds = cbn_clock_seconds() - start;
  return prepared;
}

void cbn_run_release(cbn_run *run) {
  for (size_t i = 0; i < run->count; i++)
    if (run->results[i].golden != NULL) cbn_case_result_release(&run->results[i]);
  free(run->results);
  *run = (cbn_run){0};
}

int cbn_run_exit(const cbn_run *run) {
  int code = run->count == 0 ? CBN_EXIT_NOTHING_SELECTED : CBN_EXIT_EXPECTED;
  size_t unsupported = 0, judged = 0; /* an engine that is made for none of the problems has not passed */
  for (size_t i = 0; i < run->count; i++) {
    const cbn_case_result *r = &run->results[i];
    if (r->golden == NULL) continue;
    unsupported += r->verdict == CBN_VERDICT_UNSUPPORTED;
    judged += r->asked && r->verdict != CBN_VERDICT_UNSUPPORTED;
    if (r->bad_case) code = cbn_exit_worse(code, CBN_EXIT_USAGE);
    else if (is_bad(r)) code = cbn_exit_worse(code, CBN_EXIT_DISCREPANCY);
    else if (cbn_verdict_weight_of(r->verdict) == CBN_UNDECIDED) code = cbn_exit_worse(code, CBN_EXIT_INCONCLUSIVE);
  }
  return unsupported > 0 && judged == 0 ? cbn_exit_worse(code, CBN_EXIT_INCONCLUSIVE) : code;
}

const char *cbn_run_zero_padding(const cbn_run *run) {
  int64_t skipped = 0, multiplied = 0;
  for (size_t i = 0; i < run->count; i++) {
    const cbn_case_result *r = &run->results[i];
    for (size_t k = 0; r->golden != NULL && r->steps != NULL && k < r->golden->step_count; k++)
      for (int t = 0; t < r->steps[k].tensor_count; t++) {
        skipped += r->steps[k].tensor[t].zeros_skipped;
        multiplied += r->steps[k].tensor[t].zeros_multiplied;
      }
  }
  if (skipped > 0 && multiplied > 0) return "skipped in some places, multiplied in others";
  return skipped > 0 ? "skipped" : multiplied > 0 ? "multiplied" : NULL;
}
