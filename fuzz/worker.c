#include "fuzz/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/out_folder.h"
#include "harness/clock.h"
#include "harness/results.h"

enum {
  MEMORY_MIB = 2048, /* that a fuzzer's process may use */
  AFL_SEEDS = 64
};
static const double SHORTEST_LIFE_SECONDS = 1; /* of a process before the next is started */

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

bool cbn_worker_open(cbn_worker *w, const char *out, int place, cbn_error *error) {
  static const char *const folders[] = {"found", "artifacts"};
  cbn_job_clear(&w->job);
  w->folder = cbn_path_of("%s/work/%d", out, place);
  cbn_folder_remove(w->folder.text);
  CBN_FORWARD(cbn_folder_make(w->folder.text, error));
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
    CBN_FORWARD(cbn_folder_make(cbn_path_of("%s/%s", w->folder.text, folders[i]).text, error));
  w->status = map_status(cbn_path_of("%s/status", w->folder.text).text, error);
  return w->status != NULL;
}

void cbn_worker_close(cbn_worker *w) {
  if (w->status != NULL) munmap(w->status, sizeof *w->status);
}

void cbn_worker_clear_status(cbn_worker *w) {
  atomic_store(&w->status->runs, 0);
  atomic_store(&w->status->invalid, 0);
  atomic_store(&w->status->inconclusive, 0);
  atomic_store(&w->status->findings, 0);
}

/* -------------------------------------------------------------------------------------------------- command lines */

/* Texts that a command line points to, as long as it is needed. */
typedef struct line_texts {
  cbn_path text[24];
  int count;
} line_texts;

static const char *keep(line_texts *t, cbn_path text) {
  t->text[t->count] = text;
  return t->text[t->count++].text;
}

static void set_environment(const cbn_worker *w, line_texts *t, cbn_command_line *line) {
  const cbn_task *task = w->task;
  const char **at = line->environment;
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_OUT=%s/found", w->folder.text));
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_STATUS=%s/status", w->folder.text));
  *at++ = keep(t, cbn_path_of("CONVBN_FUZZ_ENGINE=%s", cbn_build_engine(task->build).text));
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

/* Both fuzzers take an int, and 0 for another seed each time. */
static unsigned seed_of(const cbn_fuzz_options *o, uint64_t number) {
  return (unsigned)((o->seed + number) * 0x9e3779b97f4a7c15u >> 33) + 1;
}

static void libfuzzer_line(const cbn_fuzz_options *o, const cbn_worker *w, uint64_t runs, unsigned seed, line_texts *t,
                           cbn_command_line *line) {
  const cbn_task *task = w->task;
  const char **at = line->argument;
  cbn_path program, dictionary;
  cbn_build_program(task->build, task->target, &program);
  *at++ = keep(t, program);
  *at++ = "-verbosity=0";
  *at++ = keep(t, cbn_path_of("-max_total_time=%.0f", w->slice));
  *at++ = keep(t, cbn_path_of("-timeout=%.0f", ceil(o->timeout_seconds)));
  *at++ = keep(t, cbn_path_of("-rss_limit_mb=%d", MEMORY_MIB));
  *at++ = keep(t, cbn_path_of("-artifact_prefix=%s/artifacts/", w->folder.text));
  *at++ = keep(t, cbn_path_of("-seed=%u", seed));
  if (runs > 0) *at++ = keep(t, cbn_path_of("-runs=%llu", (unsigned long long)runs));
  if (task->target->structured) {
    *at++ = keep(t, cbn_path_of("-max_len=%d", (int)CBN_GENOME_BYTES));
    *at++ = "-len_control=0";
  }
  if (find_dictionary(task, &dictionary)) *at++ = keep(t, cbn_path_of("-dict=%s", dictionary.text));
  *at++ = keep(t, cbn_out_corpus(o->out, task->target));
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
static bool prepare_afl(const cbn_fuzz_options *o, const cbn_target *target, cbn_error *error) {
  choice chosen = {.to = cbn_path_of("%s/afl/%s/in", o->out, target->name), .left = AFL_SEEDS};
  static const char zeros[CBN_GENOME_BYTES];
  CBN_FORWARD(cbn_folder_make(cbn_path_of("%s/afl/%s", o->out, target->name).text, error));
  CBN_FORWARD(cbn_folder_make(chosen.to.text, error));
  cbn_folder_visit(cbn_out_corpus(o->out, target).text, choose_seed, &chosen);
  return chosen.left < AFL_SEEDS ||
         cbn_write_file(cbn_path_of("%s/zeros", chosen.to.text).text, zeros, sizeof zeros, error);
}

static void afl_line(const cbn_fuzz_options *o, const cbn_worker *w, unsigned seed, line_texts *t,
                     cbn_command_line *line) {
  const cbn_task *task = w->task;
  const char **at = line->argument;
  const cbn_path folder = cbn_path_of("%s/afl/%s", o->out, task->target->name);
  cbn_path program, dictionary;
  cbn_build_program(task->build, task->target, &program);
  *at++ = "afl-fuzz";
  *at++ = "-i", *at++ = keep(t, cbn_path_of("%s/in", folder.text));
  *at++ = "-o", *at++ = keep(t, folder);
  *at++ = "-M", *at++ = "main";
  *at++ = "-F", *at++ = keep(t, cbn_out_corpus(o->out, task->target));
  *at++ = "-V", *at++ = keep(t, cbn_path_of("%.0f", w->slice));
  *at++ = "-t", *at++ = keep(t, cbn_path_of("%.0f", 1e3 * o->timeout_seconds));
  *at++ = "-m", *at++ = "none";
  *at++ = "-s", *at++ = keep(t, cbn_path_of("%u", seed));
  if (task->target->structured) *at++ = "-G", *at++ = keep(t, cbn_path_of("%d", (int)CBN_GENOME_BYTES));
  if (find_dictionary(task, &dictionary)) *at++ = "-x", *at++ = keep(t, dictionary);
  *at++ = "--";
  *at++ = keep(t, program);
}

/* Who has found what lies in the folder, for a run after one that was killed. */
static bool write_task(const cbn_worker *w, cbn_error *error) {
  const cbn_path text = cbn_path_of("%s %s\n", w->task->target->name, w->task->build->name);
  return cbn_write_file(cbn_path_of("%s/task", w->folder.text).text, text.text, strlen(text.text), error);
}

bool cbn_worker_start(cbn_worker *w, const cbn_fuzz_options *o, uint64_t runs, uint64_t number, cbn_error *error) {
  const bool afl = w->task->build->flavour == CBN_AFL;
  const unsigned seed = seed_of(o, number);
  cbn_command_line line = {.gentle = afl};
  line_texts *texts = calloc(1, sizeof *texts);
  CBN_CHECK(texts != NULL, error, "no memory to start %s", w->task->target->name);
  if (afl) afl_line(o, w, seed, texts, &line);
  else libfuzzer_line(o, w, runs, seed, texts, &line);
  set_environment(w, texts, &line);
  cbn_worker_clear_status(w);
  w->stopped = false;
  w->not_before = cbn_clock_seconds() + SHORTEST_LIFE_SECONDS;
  const bool started =
      write_task(w, error) && (!afl || prepare_afl(o, w->task->target, error)) && cbn_job_start(&w->job, &line, error);
  free(texts);
  return started;
}

/* -------------------------------------------------------------------------------------------------- what it leaves */

typedef struct collection {
  cbn_findings *findings;
  const char *out;
  const cbn_task *task;
  const char *words; /* NULL: of a process that has gone on */
  int taken;
} collection;

static bool collect_reported(void *context, const char *path, const char *name, size_t size) {
  collection *k = context;
  const char *end = strrchr(name, '.');
  (void)size;
  if (end == NULL || strcmp(end, ".seed") != 0) return true;
  cbn_findings_add(k->findings, k->task->target, k->task->build, path, NULL, strtoull(name, NULL, 16));
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
  cbn_out_forget(k->out, k->task->target, path);
  cbn_findings_add(k->findings, k->task->target, k->task->build, path, k->words, 0);
  k->taken++;
  return true;
}

/* AFL++'s own finds; what came from the corpus is there. */
static bool collect_queue(void *context, const char *path, const char *name, size_t size) {
  collection *k = context;
  (void)size;
  if (strstr(name, "sync:") == NULL && strstr(name, "orig:") == NULL)
    cbn_file_keep(path, cbn_out_corpus(k->out, k->task->target).text);
  return true;
}

typedef struct inheritance {
  const char *out;
  const cbn_builds *builds;
  cbn_findings *findings;
} inheritance;

/* What the process said before it died is lost. */
static bool inherit(void *context, const char *name) {
  const inheritance *i = context;
  const cbn_path folder = cbn_path_of("%s/work/%s", i->out, name);
  char target[64], build[32];
  cbn_error error;
  size_t size;
  char *text = (char *)cbn_file_read(cbn_path_of("%s/task", folder.text).text, PATH_MAX, &size, &error);
  if (text == NULL) return true;
  text[size] = '\0';
  cbn_task task = {0};
  if (sscanf(text, "%63s %31s", target, build) == 2) task.target = cbn_target_by_name(target);
  if (task.target != NULL) task.build = cbn_builds_named(i->builds, build, task.target);
  free(text);
  if (task.build == NULL) return true;
  collection k = {.findings = i->findings, .out = i->out, .task = &task, .words = ""};
  cbn_folder_visit(cbn_path_of("%s/found", folder.text).text, collect_reported, &k);
  cbn_folder_visit(cbn_path_of("%s/artifacts", folder.text).text, collect_artifact, &k);
  return true;
}

void cbn_worker_inherit(const char *out, const cbn_builds *builds, cbn_findings *findings) {
  cbn_folder_list(cbn_path_of("%s/work", out).text, inherit, &(inheritance){out, builds, findings});
}

void cbn_worker_collect(cbn_worker *w, cbn_findings *findings) {
  collection k = {.findings = findings, .task = w->task};
  cbn_folder_visit(cbn_path_of("%s/found", w->folder.text).text, collect_reported, &k);
}

int cbn_worker_collect_ended(cbn_worker *w, const char *out, cbn_findings *findings) {
  collection k = {.findings = findings, .out = out, .task = w->task, .words = w->job.words};
  cbn_folder_visit(cbn_path_of("%s/artifacts", w->folder.text).text, collect_artifact, &k);
  if (w->task->build->flavour != CBN_AFL) return k.taken;
  const cbn_path folder = cbn_path_of("%s/afl/%s/main", out, w->task->target->name);
  k.words = ""; /* what the process said, AFL++ does not tell */
  cbn_folder_visit(cbn_path_of("%s/crashes", folder.text).text, collect_artifact, &k);
  cbn_folder_visit(cbn_path_of("%s/hangs", folder.text).text, collect_artifact, &k);
  cbn_folder_visit(cbn_path_of("%s/queue", folder.text).text, collect_queue, &k);
  return k.taken;
}

/* Why AFL++ gives up, or the last line that says something. */
void cbn_worker_excuse(const cbn_worker *w, cbn_error *line) {
  const char *words = w->job.words;
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
