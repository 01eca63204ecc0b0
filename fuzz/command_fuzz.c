/* `convbn fuzz`: the fuzzers, their findings. */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/verdict.h"
#include "fuzz/duration.h"
#include "fuzz/supervise.h"
#include "harness/commands.h"
#include "harness/engine_process.h"

enum {
  KEY_TARGET = 256,
  KEY_TIME,
  KEY_RUNS,
  KEY_ENGINE,
  KEY_OUT,
  KEY_CORPUS,
  KEY_SEED,
  KEY_TIMEOUT,
  KEY_JSON,
  KEY_LIST
};

static const struct argp_option options[] = {
    {"target", KEY_TARGET, "TARGET", 0,
     "Fuzz that target, once for each (default: `problem` most of the time, and the targets of texts)", 1},
    {"engine", KEY_ENGINE, "ENGINE", 0,
     "The engine: fast, reference, or the path of a plug-in; options behind a colon (default: fast, and now and then "
     "fast:isa=portable)",
     1},
    {"list", KEY_LIST, NULL, 0, "List the targets and stop", 1},
    {"time", KEY_TIME, "D", 0, "How long: 30s, 10m, 8h, 1h30m (default: 60s)", 2},
    {"runs", KEY_RUNS, "N", 0, "End after about N executions; there is no limit of time then unless --time sets one",
     2},
    {"jobs", 'j', "N", 0, "Fuzzers side by side (default: the processors)", 2},
    {"seed", KEY_SEED, "N", 0, "Where chance begins (default: another each time; the summary has it)", 2},
    {"timeout", KEY_TIMEOUT, "S", 0, "Seconds after which an execution counts as hanging (default: 10)", 2},
    {"corpus", KEY_CORPUS, "DIR", 0, "Inputs to begin with, a folder for each target; they are copied", 3},
    {"out", KEY_OUT, "DIR", 0, "Where all is kept (default: fuzz-out); a run goes on with what an earlier one left", 3},
    {"json", KEY_JSON, "FILE", 0, "Write the summary as JSON, as DIR/summary.json", 3},
    {"quiet", 'q', NULL, 0, "The summary only", 3},
    {0}};

typedef struct arguments {
  cbn_fuzz_options fuzz;
  bool list, timed;
} arguments;

/* A whole number within bounds; else argp's usage error. */
static long long whole(struct argp_state *state, const char *text, const char *what, long long least, long long most) {
  char *end;
  errno = 0;
  const long long n = strtoll(text, &end, 10);
  if (errno != 0 || *end != '\0' || end == text || n < least || n > most)
    argp_error(state, "%s must be a whole number from %lld to %lld, got '%s'", what, least, most, text);
  return n;
}

static void add_target(struct argp_state *state, cbn_fuzz_options *o, const char *name) {
  const cbn_target *target = cbn_target_by_name(name);
  if (target == NULL)
    argp_error(state, "there is no target '%s'; did you mean '%s'? --list lists them", name, cbn_target_nearest(name));
  for (int i = 0; i < o->targets; i++)
    if (o->target[i] == target) return;
  if (o->targets < CBN_TARGET_LIMIT) o->target[o->targets++] = target;
  o->chosen = true;
}

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  cbn_fuzz_options *o = &a->fuzz;
  char *end;
  switch (key) {
  case KEY_TARGET: add_target(state, o, text); break;
  case KEY_ENGINE: o->engine = text; break;
  case KEY_LIST: a->list = true; break;
  case KEY_TIME:
    if (!cbn_duration_parse(text, &o->seconds))
      argp_error(state, "--time must be a duration such as 30s, 10m, 8h or 1h30m, got '%s'", text);
    a->timed = true;
    break;
  case KEY_RUNS: o->runs = (uint64_t)whole(state, text, "--runs", 1, INT64_MAX); break;
  case 'j': o->jobs = (int)whole(state, text, "-j", 1, 256); break;
  case KEY_SEED: o->seed = (uint64_t)whole(state, text, "--seed", 0, INT64_MAX); break;
  case KEY_TIMEOUT:
    o->timeout_seconds = strtod(text, &end);
    if (*end != '\0' || end == text || !(o->timeout_seconds >= 1 && o->timeout_seconds <= 1e4))
      argp_error(state, "--timeout must be seconds from 1 to 10000, got '%s'", text);
    break;
  case KEY_CORPUS: o->corpus = text; break;
  case KEY_OUT: o->out = text; break;
  case KEY_JSON: o->json = text; break;
  case 'q': o->quiet = true; break;
  case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'; a target is named by --target", text); break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .doc =
        "Fuzzes an engine against the reference, and the readers of files: libFuzzer and, where it is installed, "
        "AFL++, "
        "with the programs that the folders in CONVBN_FUZZERS hold. Findings are minimised and kept in DIR/findings. "
        "In "
        "the source tree ./run-fuzz builds the programs and starts this."
        "\vExit status: 0 nothing found; 1 findings, or inputs that show something and were not looked at; 2 usage, or "
        "something cannot be written; 3 the engine or the fuzzers cannot start."};

static int fail(int code, const char *message) {
  fprintf(stderr, "convbn fuzz: %s\n", message);
  return code;
}

static int list_targets(void) {
  for (int i = 0; i < cbn_target_count(); i++) printf("%-24s %s\n", cbn_target_at(i)->name, cbn_target_at(i)->words);
  return CBN_EXIT_EXPECTED;
}

/* Those of every kind: the targets of one kind are in `problem`. */
static void choose_default(cbn_fuzz_options *o) {
  for (int i = 0; i < cbn_target_count() && o->targets < CBN_TARGET_LIMIT; i++)
    if (cbn_target_at(i)->kind < 0) o->target[o->targets++] = cbn_target_at(i);
}

/* An engine that cannot start, or dies or hangs at it, would be the same finding in every program. */
static bool check_engine(const char *engine, cbn_error *error) {
  static const cbn_engine_limits limits = {.start_seconds = 10};
  cbn_engine_process *process = cbn_engine_start(engine, &limits, error);
  cbn_engine_stop(process);
  return process != NULL;
}

static bool check_folders(const cbn_fuzz_options *o, cbn_error *error) {
  struct stat status;
  if (o->corpus != NULL) {
    CBN_CHECK(stat(o->corpus, &status) == 0, error, "--corpus: %s: %s", o->corpus, strerror(errno));
    CBN_CHECK(S_ISDIR(status.st_mode), error, "--corpus: %s: is a file, and must be a folder", o->corpus);
    bool has_any = false;
    for (int i = 0; i < cbn_target_count() && !has_any; i++)
      has_any = access(cbn_path_of("%s/%s", o->corpus, cbn_target_at(i)->name).text, F_OK) == 0;
    CBN_CHECK(has_any, error, "--corpus: %s: has no folder with the name of a target, such as %s/%s", o->corpus,
              o->corpus, o->target[0]->name);
  }
  return true;
}

/* So that chance is another each time. */
static uint64_t draw_seed(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return ((uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 20) & 0xffffffffu;
}

int cbn_command_fuzz(int argc, char **argv) {
  static const double DEFAULT_SECONDS = 60;
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  arguments a = {.fuzz = {.seconds = DEFAULT_SECONDS,
                          .jobs = online > 0 ? (int)fmin((double)online, 256) : 1,
                          .seed = draw_seed(),
                          .out = "fuzz-out",
                          .timeout_seconds = 10}};
  cbn_builds builds;
  cbn_error error;
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &a);
  if (a.list) return list_targets();
  if (a.fuzz.runs > 0 && !a.timed) a.fuzz.seconds = INFINITY;
  if (a.fuzz.targets == 0) choose_default(&a.fuzz);
  if (!check_folders(&a.fuzz, &error)) return fail(CBN_EXIT_USAGE, error.text);
  if (!cbn_builds_find(&builds, &error) || !check_engine(a.fuzz.engine != NULL ? a.fuzz.engine : "fast", &error))
    return fail(CBN_EXIT_ENGINE, error.text);
  cbn_builds_choose(&builds, a.fuzz.engine);
  if (!builds.has_afl && !a.fuzz.quiet)
    fprintf(stderr, "without AFL++, which is not installed or has no programs: libFuzzer runs alone\n");
  return cbn_fuzz_supervise(&a.fuzz, &builds);
}
