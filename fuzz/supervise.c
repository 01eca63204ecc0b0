#include "fuzz/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/verdict.h"
#include "fuzz/findings.h"
#include "fuzz/shared.h"
#include "fuzz/summary.h"
#include "harness/clock.h"
#include "harness/results.h"

enum {
  WORKERS = 1024,
  MEMORY_MIB = 2048, /* that a fuzzer's process may use */
  FAILURES = 3,      /* after so many in a row without one execution a program is left alone */
  AFL_SEEDS = 64,
  LEAST_FREE_KIB = 256 /* of the disk; below it the run ends */
};
static const double TICK_SECONDS = 0.1, COLLECT_SECONDS = 0.5, PATIENCE_SECONDS = 3, OVERDUE_SECONDS = 120,
                    CLOSING_SECONDS = 60, ALL_SECONDS = 10;

/* A place for one fuzzer's process, with a folder for what it leaves. */
typedef struct worker {
  cbn_job job;
  cbn_task *task; /* that runs; NULL */
  enum cbn_lane lane;
  cbn_path folder;
  cbn_fuzz_status *status;
  double slice, not_before;
  bool stopped; /* by us */
} worker;

typedef struct campaign {
  const cbn_fuzz_options *options;
  const cbn_builds *builds;
  cbn_schedule schedule;
  cbn_findings *findings;
  worker *worker;
  int workers, signals, lock;
  double started, collected, looked;
  uint64_t slices, executions, invalid, inconclusive, killed;
  bool ever_ran, interrupted, hurried;
  uint8_t pair[CBN_FUZZ_PAIR_LIMIT];
  int kind, pairs_possible; /* of the pairs that can be reached */
  cbn_error error;          /* why the run ends early */
  int code;
  cbn_progress progress;
} campaign;

/* ----------------------------------------------------------------------------------------------------- the folder */

/* The folder is made, or is one that an earlier run has made, and nobody else's now. */
static bool open_out(campaign *c, cbn_error *error) {
  const char *out = c->options->out;
  const cbn_path lock = cbn_path_of("%s/lock", out);
  char owner[32] = "";
  CBN_CHECK(strlen(out) > 0 && strlen(out) < PATH_MAX / 2, error, "--out: '%.100s' is no name for a folder", out);
  CBN_FORWARD(cbn_folder_make(out, error));
  CBN_CHECK(access(lock.text, F_OK) == 0 || cbn_folder_is_empty(out), error,
            "%s: holds files, and they are not a fuzzing run's; name another folder", out);
  c->lock = open(lock.text, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  CBN_CHECK(c->lock >= 0, error, "%s: cannot be written: %s", lock.text, strerror(errno));
  if (flock(c->lock, LOCK_EX | LOCK_NB) != 0) {
    const ssize_t length = pread(c->lock, owner, sizeof owner - 1, 0);
    owner[length > 0 ? strcspn(owner, "\n") : 0] = '\0';
    CBN_FAIL(error, "%s: another run uses this folder (process %s)", out, owner);
  }
  const int length = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
  CBN_CHECK(ftruncate(c->lock, 0) == 0 && pwrite(c->lock, owner, (size_t)length, 0) == length, error,
            "%s: cannot be written: %s", lock.text, strerror(errno));
  static const char *const folders[] = {"corpus", "afl", "work"};
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
    CBN_FORWARD(cbn_folder_make(cbn_path_of("%s/%s", out, folders[i]).text, error));
  return true;
}

static cbn_path corpus_of(const campaign *c, const cbn_target *target) {
  return cbn_path_of("%s/corpus/%s", c->options->out, target->name);
}

typedef struct import {
  cbn_path to;
  size_t unreadable;
} import;

static bool import_one(void *context, const char *path, const char *name, size_t size) {
  import *i = context;
  (void)name, (void)size;
  i->unreadable += !cbn_file_keep(path, i->to.text);
  return true;
}

/* Copies the corpus that comes along: what is in it may be unreadable, or kill an engine at every start, and then it is left out
 * without a change to the original. */
static bool import_corpus(const campaign *c, const cbn_target *target, cbn_error *error) {
import i = {.to = corpus_of(c, target) };
  CBN_FORWARD(cbn_folder_make(i.to.text, error));
  if (c->options->corpus == NULL) return true;
  const cbn_path from = cbn_path_of("%s/%s", c->options->corpus, target->name);
  struct stat status;
  if (stat(from.text, &status) != 0 && errno == ENOENT) return true;
  CBN_CHECK(cbn_folder_visit(from.text, import_one, &i), error, "%s: cannot be read as a folder: %s", from.text,
            strerror(errno));
  if (i.unreadable > 0)
    fprintf(stderr, "%s: %zu files cannot be read, or are longer than %d bytes, and are left out\n", from.text,
            i.unreadable, CBN_LONGEST_INPUT);
  return true;
}

static bool is_same(void *context, const char *path, const char *name, size_t size) {
  const cbn_bytes *wanted = context;
  cbn_error error;
  size_t read = 0;
  (void)name;
  if (size != wanted->size) return true;
  uint8_t *bytes = cbn_file_read(path, size, &read, &error);
  if (bytes != NULL && read == size && memcmp(bytes, wanted->bytes, size) == 0) unlink(path);
  free(bytes);
  return true;
}

/* An input that kills the process would do so at the beginning of each slice. */
static void forget_input(const campaign *c, const cbn_target *target, const char *path) {
  cbn_error error;
  cbn_bytes input;
  uint8_t *bytes = cbn_file_read(path, CBN_LONGEST_INPUT, &input.size, &error);
  input.bytes = bytes;
  if (bytes != NULL) cbn_folder_visit(corpus_of(c, target).text, is_same, &input);
  free(bytes);
}

/* -------------------------------------------------------------------------------------------------------- workers */

/* The file that a fuzzer's process counts in. All of it is on the disk before it is mapped: a full disk is an error here and
 * not a signal later. */
static cbn_fuzz_status *map_status(const char *path, cbn_error *error) {
  const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  int cause = file < 0 ? errno : posix_fallocate(file, 0, sizeof(cbn_fuzz_status));
  void *map = MAP_FAILED;
  if (cause == 0) {
    map = mmap(NULL, sizeof(cbn_fuzz_status), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    cause = errno;
  }
  if (file >= 0) close(file);
  if (map != MAP_FAILED) return map;
  cbn_error_set(error, "%s: cannot be written: %s", path, strerror(cause));
  return NULL;
}

static bool open_worker(campaign *c, int place, cbn_error *error) {
  worker *w = &c->worker[place];
  static const char *const folders[] = {"found", "artifacts"};
  cbn_job_clear(&w->job);
  w->folder = cbn_path_of("%s/work/%d", c->options->out, place);
  cbn_folder_remove(w->folder.text);
  CBN_FORWARD(cbn_folder_make(w->folder.text, error));
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
    CBN_FORWARD(cbn_folder_make(cbn_path_of("%s/%s", w->folder.text, folders[i]).text, error));
  w->status = map_status(cbn_path_of("%s/status", w->folder.text).text, error);
  return w->status != NULL;
}

/* With several workers AFL++ has the last one for itself; it takes turns with the others where there is one. */
static bool open_workers(campaign *c, cbn_error *error) {
  c->worker = calloc((size_t)c->options->jobs, sizeof *c->worker);
  CBN_CHECK(c->worker != NULL, error, "no memory for %d workers", c->options->jobs);
  const bool own = c->options->jobs > 1 && cbn_schedule_has(&c->schedule, CBN_LANE_AFL);
  for (c->workers = 0; c->workers < c->options->jobs;) {
    const bool last = c->workers == c->options->jobs - 1;
    c->worker[c->workers].lane = !own ? CBN_LANE_ALL : last ? CBN_LANE_AFL : CBN_LANE_LIBFUZZER;
    CBN_FORWARD(open_worker(c, c->workers++, error));
  }
  return true;
}

/* Texts that a command line points to, as long as it is needed. */
typedef struct line_texts {
  cbn_path text[24];
  int count;
} line_texts;

static const char *keep(line_texts *t, cbn_path text) {
  t->text[t->count] = text;
  return t->text[t->count++].text;
}

static void set_environment(const campaign *c, const worker *w, line_texts *t, cbn_command_line *line) {
  const cbn_task *task = w->task;
  const char **at = line->environment;
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_OUT=%s/found", w->folder.text));
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_STATUS=%s/status", w->folder.text));
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_ENGINE=%s", cbn_build_engine(task->build, c->options->engine).text));
  *at++ = "UBSAN_OPTIONS=print_stacktrace=1";
  *at++ = "OMP_NUM_THREADS=1";
  if (task->build->flavour != CBN_AFL) return;
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_TARGET=%s", task->target->name));
  static const char *const quiet[] = {
      "AFL_NO_UI=1",       "AFL_SKIP_CPUFREQ=1",   "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1",
      "AFL_NO_AFFINITY=1", "AFL_AUTORESUME=1",     "AFL_FAST_CAL=1",
      "AFL_NO_COLOR=1",    "AFL_IGNORE_PROBLEMS=1"};
  for (size_t i = 0; i < sizeof quiet / sizeof quiet[0]; i++) *at++ = quiet[i];
  const cbn_path mutator = cbn_path_of("%s/afl_mutator.so", task->build->fuzzers.text);
  if (!task->target->structured || access(mutator.text, R_OK) != 0) return;
  *at++ = keep(t, cbn_path_of("AFL_CUSTOM_MUTATOR_LIBRARY=%s", mutator.text));
  *at++ = "AFL_CUSTOM_MUTATOR_ONLY=1";
}

/* Words of the target's format, if the build has them. */
static bool find_dictionary(const cbn_task *task, cbn_path *dictionary) {
  *dictionary = cbn_path_of("%s/%s.dict", task->build->fuzzers.text, task->target->name);
  return access(dictionary->text, R_OK) == 0;
}

static uint64_t seed_of(const campaign *c) {
  const uint64_t seed = (c->options->seed + c->slices) * 0x9e3779b97f4a7c15u;
  return (seed >> 33) + 1; /* both fuzzers take an int, and 0 for another one each time */
}

static void libfuzzer_line(const campaign *c, const worker *w, line_texts *t, cbn_command_line *line) {
  const cbn_task *task = w->task;
  const char **at = line->argument;
  cbn_path program, dictionary;
  cbn_build_program(task->build, task->target, &program);
  *at++ = keep(t, program);
  *at++ = "-verbosity=0";
  *at++ = keep(t, cbn_path_of("-max_total_time=%.0f", w->slice));
  *at++ = keep(t, cbn_path_of("-timeout=%.0f", ceil(c->options->timeout_seconds)));
  *at++ = keep(t, cbn_path_of("-rss_limit_mb=%d", MEMORY_MIB));
  *at++ = keep(t, cbn_path_of("-artifact_prefix=%s/artifacts/", w->folder.text));
  *at++ = keep(t, cbn_path_of("-seed=%llu", (unsigned long long)seed_of(c)));
  if (c->options->runs > 0)
    *at++ = keep(t, cbn_path_of("-runs=%llu", (unsigned long long)(c->options->runs - c->executions)));
  if (task->target->structured) {
    *at++ = keep(t, cbn_path_of("-max_len=%d", (int)CBN_GENOME_BYTES));
    *at++ = "-len_control=0";
  }
  if (find_dictionary(task, &dictionary)) *at++ = keep(t, cbn_path_of("-dict=%s", dictionary.text));
  *at++ = keep(t, corpus_of(c, task->target));
}

typedef struct choice {
  cbn_path to;
  int left;
} choice;

static bool choose_seed(void *context, const char *path, const char *name, size_t size) {
  choice *chosen = context;
  (void)name;
  if (size > 0 && cbn_file_keep(path, chosen->to.text)) chosen->left--;
  return chosen->left > 0;
}

/* What AFL++ begins with: some of the corpus, all of which it reads later, and something in any case. */
static bool prepare_afl(const campaign *c, const cbn_target *target, cbn_error *error) {
  choice chosen = {.to = cbn_path_of("%s/afl/%s/in", c->options->out, target->name), .left = AFL_SEEDS};
  static const char zeros[CBN_GENOME_BYTES];
  CBN_FORWARD(cbn_folder_make(cbn_path_of("%s/afl/%s", c->options->out, target->name).text, error));
  CBN_FORWARD(cbn_folder_make(chosen.to.text, error));
  cbn_folder_visit(corpus_of(c, target).text, choose_seed, &chosen);
  return chosen.left < AFL_SEEDS ||
         cbn_write_file(cbn_path_of("%s/zeros", chosen.to.text).text, zeros, sizeof zeros, error);
}

static void afl_line(const campaign *c, const worker *w, line_texts *t, cbn_command_line *line) {
  const cbn_task *task = w->task;
  const char **at = line->argument;
  const cbn_path folder = cbn_path_of("%s/afl/%s", c->options->out, task->target->name);
  cbn_path program, dictionary;
  cbn_build_program(task->build, task->target, &program);
  line->gentle = true;
  *at++ = "afl-fuzz";
  *at++ = "-i", *at++ = keep(t, cbn_path_of("%s/in", folder.text));
  *at++ = "-o", *at++ = keep(t, folder);
  *at++ = "-M", *at++ = "main";
  *at++ = "-F", *at++ = keep(t, corpus_of(c, task->target));
  *at++ = "-V", *at++ = keep(t, cbn_path_of("%.0f", w->slice));
  *at++ = "-t", *at++ = keep(t, cbn_path_of("%.0f", 1e3 * c->options->timeout_seconds));
  *at++ = "-m", *at++ = "none";
  *at++ = "-s", *at++ = keep(t, cbn_path_of("%llu", (unsigned long long)seed_of(c)));
  if (task->target->structured) *at++ = "-G", *at++ = keep(t, cbn_path_of("%d", (int)CBN_GENOME_BYTES));
  if (find_dictionary(task, &dictionary)) *at++ = "-x", *at++ = keep(t, dictionary);
  *at++ = "--";
  *at++ = keep(t, program);
}

static void clear_status(cbn_fuzz_status *status) {
  atomic_store(&status->runs, 0);
  atomic_store(&status->invalid, 0);
  atomic_store(&status->inconclusive, 0);
  atomic_store(&status->findings, 0);
}

static void end_early(campaign *c, int code, const cbn_error *error) {
  if (c->code == CBN_EXIT_EXPECTED) {
    c->code = code;
    c->error = *error;
  }
}

/* Gives the worker a slice of the task whose turn it is. */
static void start_slice(campaign *c, worker *w) {
  cbn_command_line line = {.gentle = false};
  cbn_error error;
  line_texts *texts = calloc(1, sizeof *texts);
  w->task = cbn_schedule_next(&c->schedule, w->lane, &w->slice);
  if (w->task == NULL && w->lane == CBN_LANE_AFL) w->lane = CBN_LANE_ALL; /* AFL++ has failed */
  if (w->task == NULL || texts == NULL) {
    free(texts);
    w->task = NULL;
    return;
  }
  const bool afl = w->task->build->flavour == CBN_AFL;
  w->slice = fmax(1, fmin(w->slice, ceil(c->options->seconds - (cbn_clock_seconds() - c->started))));
  if (afl) afl_line(c, w, texts, &line);
  else libfuzzer_line(c, w, texts, &line);
  set_environment(c, w, texts, &line);
  clear_status(w->status);
  c->slices++;
  w->stopped = false;
  if ((afl && !prepare_afl(c, w->task->target, &error)) || !cbn_job_start(&w->job, &line, &error)) {
    end_early(c, CBN_EXIT_USAGE, &error);
    w->task = NULL;
  }
  w->not_before = cbn_clock_seconds() + 1;
  free(texts);
}

/* -------------------------------------------------------------------------------------------------- what they leave */

typedef struct collection {
  campaign *campaign;
  worker *worker;
  const char *words; /* NULL: of a process that has gone on */
  int taken;
} collection;

static bool collect_reported(void *context, const char *path, const char *name, size_t size) {
  collection *k = context;
  const char *end = strrchr(name, '.');
  (void)size;
  if (end == NULL || strcmp(end, ".seed") != 0) return true;
  cbn_findings_add(k->campaign->findings, k->worker->task->target, k->worker->task->build, path, NULL);
  k->taken++;
  return true;
}

static bool collect_artifact(void *context, const char *path, const char *name, size_t size) {
  collection *k = context;
  (void)size;
  if (strncmp(name, "slow-unit-", 10) == 0 || strcmp(name, "README.txt") == 0) {
    if (name[0] == 's') unlink(path);
    return true;
  }
  forget_input(k->campaign, k->worker->task->target, path);
  cbn_findings_add(k->campaign->findings, k->worker->task->target, k->worker->task->build, path, k->words);
  k->taken++;
  return true;
}

/* AFL++'s own finds; what came from the corpus is there. */
static bool collect_queue(void *context, const char *path, const char *name, size_t size) {
  collection *k = context;
  (void)size;
  if (strstr(name, "sync:") == NULL && strstr(name, "orig:") == NULL)
    cbn_file_keep(path, corpus_of(k->campaign, k->worker->task->target).text);
  return true;
}

static void collect_running(campaign *c, worker *w) {
  collection k = {.campaign = c, .worker = w};
  cbn_folder_visit(cbn_path_of("%s/found", w->folder.text).text, collect_reported, &k);
}

/* Returns how many inputs killed the process. */
static int collect_ended(campaign *c, worker *w) {
  collection k = {.campaign = c, .worker = w, .words = w->job.words};
  cbn_folder_visit(cbn_path_of("%s/artifacts", w->folder.text).text, collect_artifact, &k);
  if (w->task->build->flavour != CBN_AFL) return k.taken;
  const cbn_path folder = cbn_path_of("%s/afl/%s/main", c->options->out, w->task->target->name);
  k.words = ""; /* what the process said, AFL++ does not tell */
  cbn_folder_visit(cbn_path_of("%s/crashes", folder.text).text, collect_artifact, &k);
  cbn_folder_visit(cbn_path_of("%s/hangs", folder.text).text, collect_artifact, &k);
  cbn_folder_visit(cbn_path_of("%s/queue", folder.text).text, collect_queue, &k);
  return k.taken;
}

/* Why AFL++ gives up, or the last line that says something. */
static void last_words(const char *words, cbn_error *line) {
  static const char abort_mark[] = "PROGRAM ABORT : ";
  const char *mark = strstr(words, abort_mark);
  if (mark != NULL) {
    mark += strlen(abort_mark);
    mark += strspn(mark, "\033[0;1m"); /* colours */
    cbn_error_set(line, "%.*s", (int)strcspn(mark, "\033\n"), mark);
    return;
  }
  const char *at = words + strlen(words), *end = at;
  for (; at > words; at--) {
    if (at[-1] != '\n') continue;
    if (strcspn(at, " \t") < (size_t)(end - at)) break;
    end = at - 1;
  }
  cbn_error_set(line, "%.*s", (int)(end - at < 300 ? end - at : 300), at);
}

/* A program that ended by itself, with nothing to show for it. */
static void take_failure(campaign *c, worker *w, uint64_t executions) {
  cbn_error said;
  char how[64];
  cbn_task *task = w->task;
  if (WIFSIGNALED(w->job.status) || executions > 0) {
    c->killed++;
    return;
  }
  task->used -= w->slice;
  if (++task->failures < FAILURES) return;
  task->off = true;
  last_words(w->job.words, &said);
  cbn_job_describe(&w->job, how, sizeof how);
  cbn_progress_clear(&c->progress);
  fprintf(stderr, "convbn fuzz: %s does not start in the %s build and is left out: %s; %s\n", task->target->name,
          cbn_flavour_name(task->build->flavour), how, said.text);
}

static void merge_pairs(campaign *c, const cbn_fuzz_status *status) {
  for (int i = 0; i < cbn_pair_count() && i < CBN_FUZZ_PAIR_LIMIT; i++) c->pair[i] |= atomic_load(&status->pair[i]);
}

static void end_slice(campaign *c, worker *w) {
  collect_running(c, w);
  const int deaths = collect_ended(c, w);
  const uint64_t runs = atomic_load(&w->status->runs);
  const bool well = WIFEXITED(w->job.status) && WEXITSTATUS(w->job.status) == 0;
  if (deaths == 0 && !well && !w->stopped) take_failure(c, w, runs);
  if (runs > 0 || well) {
    w->task->failures = 0;
    c->ever_ran = true;
  }
  w->task->executions += runs;
  c->executions += runs;
  c->invalid += atomic_load(&w->status->invalid);
  c->inconclusive += atomic_load(&w->status->inconclusive);
  merge_pairs(c, w->status);
  clear_status(w->status);
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

/* Hears the workers and takes what those that have ended leave; true while any runs. */
static bool attend(campaign *c) {
  const double now = cbn_clock_seconds();
  const bool due = now - c->collected >= COLLECT_SECONDS;
  bool running = false;
  if (due) c->collected = now;
  for (int i = 0; i < c->workers; i++) {
    worker *w = &c->worker[i];
    if (w->task == NULL) continue;
    cbn_job_hear(&w->job);
    if (cbn_job_ended(&w->job)) {
      end_slice(c, w);
      continue;
    }
    running = true;
    if (due) collect_running(c, w);
    if (now > w->job.started + 2 * w->slice + OVERDUE_SECONDS) cbn_job_signal(&w->job, SIGKILL);
  }
  return running;
}

static uint64_t executions_now(const campaign *c) {
  uint64_t runs = c->executions;
  for (int i = 0; i < c->workers; i++) runs += atomic_load(&c->worker[i].status->runs);
  return runs;
}

/* A full disk would end the run without a word. */
static bool has_space(const campaign *c, cbn_error *error) {
  struct statvfs disk;
  CBN_CHECK(statvfs(c->options->out, &disk) == 0, error, "%s: cannot be read: %s", c->options->out, strerror(errno));
  CBN_CHECK(disk.f_bavail * (disk.f_frsize / 1024) >= LEAST_FREE_KIB, error, "%s: the disk is full", c->options->out);
  return true;
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
  if (now - c->looked < 2) return false;
  c->looked = now;
  if (!has_space(c, &error) || !cbn_findings_kept(c->findings, &error)) end_early(c, CBN_EXIT_USAGE, &error);
  return c->code != CBN_EXIT_EXPECTED;
}

static cbn_fuzz_totals totals_of(campaign *c) {
  cbn_fuzz_totals t = {.seconds = cbn_clock_seconds() - c->started,
                       .executions = executions_now(c),
                       .invalid = c->invalid,
                       .inconclusive = c->inconclusive,
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

static bool prepare(campaign *c, cbn_error *error) {
  const cbn_fuzz_options *o = c->options;
  CBN_FORWARD(open_out(c, error));
  CBN_FORWARD(has_space(c, error));
  for (int i = 0; i < o->targets; i++) CBN_FORWARD(import_corpus(c, o->target[i], error));
  const cbn_findings_options findings = {.out = o->out,
                                         .engine = o->engine,
                                         .builds = c->builds,
                                         .timeout_seconds = o->timeout_seconds,
                                         .jobs = o->jobs < 8    ? 1
                                                 : o->jobs < 32 ? o->jobs / 4
                                                                : CBN_FINDINGS_JOBS,
                                         .quiet = o->quiet};
  c->findings = cbn_findings_open(&findings, error);
  return c->findings != NULL && open_workers(c, error);
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
  if (cbn_findings_counted(c->findings).seen > 0) c->code = cbn_exit_worse(c->code, CBN_EXIT_DISCREPANCY);
  return cbn_fuzz_summary(c->options, &totals, &c->schedule, c->findings, c->code);
}

static void release(campaign *c) {
  cbn_findings_close(c->findings);
  for (int i = 0; i < c->workers; i++)
    if (c->worker[i].status != NULL) munmap(c->worker[i].status, sizeof *c->worker[i].status);
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
