/* `convbn run`: cases in, verdicts out. */
#include <argp.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/report_html.h"
#include "harness/results.h"
#include "harness/select.h"
#include "harness/terminal.h"

typedef struct arguments {
  cbn_run_options run;
  const char *expression, *json, *html;
  bool list, large;
  int verbosity;
  char **paths;
  int path_count;
} arguments;

enum {
  KEY_JSON = 256,
  KEY_HTML,
  KEY_LIST,
  KEY_LARGE,
  KEY_SEED,
  KEY_TIMEOUT,
  KEY_ENGINE,
  KEY_MEMORY,
  KEY_ENGINE_MEMORY
};

static const struct argp_option options[] = {
    {"engine", KEY_ENGINE, "ENGINE", 0,
     "The engine under test: reference, fast (the default), or the path of a plug-in; options behind a colon", 1},
    {NULL, 'k', "EXPR", 0, "Only cases whose id, operator, dialect or flags match: words, and, or, not, parentheses",
     1},
    {"list", KEY_LIST, NULL, 0, "List the selected cases and stop", 1},
    {"large", KEY_LARGE, NULL, 0, "Run large cases too (seconds to minutes each)", 1},
    {"jobs", 'j', "N", 0, "Cases side by side (default: the processors)", 2},
    {"exitfirst", 'x', NULL, 0, "Stop after the first case that is not as expected", 2},
    {"seed", KEY_SEED, "N", 0,
     "Draw other numbers for all random fills (0: as written); what cases state of theirs is then not compared", 2},
    {"timeout", KEY_TIMEOUT, "S", 0, "Seconds that the engine has for a call (default: 30, for a large case 900)", 2},
    {"memory", KEY_MEMORY, "MIB", 0, "What the tensors of one case may need (default: 4096)", 2},
    {"engine-memory", KEY_ENGINE_MEMORY, "MIB", 0, "What the engine may use besides (default: 2048)", 2},
    {"json", KEY_JSON, "FILE", 0, "Write the results as JSON", 3},
    {"html", KEY_HTML, "DIR", 0, "Write the report, DIR/index.html", 3},
    {"quiet", 'q', NULL, 0, "The summary only", 3},
    {"verbose", 'v', NULL, 0, "A line for each case; those that the engine is not made for one by one", 3},
    {0}};

/* A whole number within bounds; else argp's usage error. */
static long long whole(struct argp_state *state, const char *text, const char *what, long long least, long long most) {
  char *end;
  errno = 0;
  const long long n = strtoll(text, &end, 10);
  if (errno != 0 || *end != '\0' || end == text || n < least || n > most)
    argp_error(state, "%s must be a whole number from %lld to %lld, got '%s'", what, least, most, text);
  return n;
}

static double seconds(struct argp_state *state, const char *text) {
  char *end;
  const double s = strtod(text, &end);
  if (*end != '\0' || end == text || !(s > 0 && s <= 1e6))
    argp_error(state, "--timeout must be seconds above 0, got '%s'", text);
  return s;
}

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case KEY_ENGINE: a->run.engine = text; break;
  case 'k': a->expression = text; break;
  case KEY_LIST: a->list = true; break;
  case KEY_LARGE: a->large = true; break;
  case 'j': a->run.jobs = (int)whole(state, text, "-j", 1, 1024); break;
  case 'x': a->run.stop_at_first = true; break;
  case KEY_SEED: a->run.seed = (uint64_t)whole(state, text, "--seed", 0, INT64_MAX); break;
  case KEY_TIMEOUT: a->run.timeout_seconds = seconds(state, text); break;
  case KEY_MEMORY: a->run.memory_bytes = whole(state, text, "--memory", 1, 1 << 30) << 20; break;
  case KEY_ENGINE_MEMORY: a->run.engine_memory_bytes = whole(state, text, "--engine-memory", 1, 1 << 30) << 20; break;
  case KEY_JSON: a->json = text; break;
  case KEY_HTML: a->html = text; break;
  case 'q': a->verbosity = CBN_QUIET; break;
  case 'v': a->verbosity = CBN_VERBOSE; break;
  case ARGP_KEY_ARGS:
    a->paths = state->argv + state->next;
    a->path_count = state->argc - state->next;
    break;
  case ARGP_KEY_NO_ARGS: argp_error(state, "name a case file or a folder, for instance cases/"); break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PATH...",
    .doc =
        "Runs golden cases against an engine and says for each whether the engine is right."
        "\vExit status: 0 as expected; 1 a discrepancy; 2 usage or a bad case; 3 the engine cannot start; 4 nothing "
        "selected; 5 only inconclusive, or nothing that the engine is made for."};

/* ------------------------------------------------------------------------------------------------------- select */

static void print_problem(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "%s\n", line);
}

static bool is_selected(const cbn_select *select, const cbn_case *golden) {
  const char *texts[3 + 64] = {golden->id, golden->dialect->name, golden->operator->name };
  size_t count = 3;
  for (size_t i = 0; i < golden->flag_count && count < sizeof texts / sizeof texts[0]; i++)
    texts[count++] = golden->flags[i];
  return select == NULL || cbn_select_match(select, texts, count);
}

/* The selected cases, owned by the caller; large ones only on request. NULL without memory. */
static const cbn_case **choose(const cbn_case_set *set, const cbn_select *select, bool large, size_t *count,
                               size_t *left_out) {
  const cbn_case **chosen = calloc(cbn_cases_count(set) + 1, sizeof *chosen);
  *count = *left_out = 0;
  for (size_t i = 0; chosen != NULL && i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    if (!is_selected(select, golden)) continue;
    if (!large && cbn_case_is_large(golden)) ++*left_out;
    else chosen[(*count)++] = golden;
  }
  return chosen;
}

/* ------------------------------------------------------------------------------------------------------ reports */

static bool write_html(const char *folder, const char *json, size_t length, cbn_error *error) {
  char path[PATH_MAX], *text = NULL;
  size_t size = 0;
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    CBN_FAIL(error, "%s: cannot make the folder: %s", folder, strerror(errno));
  CBN_CHECK(snprintf(path, sizeof path, "%s/index.html", folder) < (int)sizeof path, error,
            "%.200s: the path is too long", folder);
  FILE *memory = open_memstream(&text, &size);
  CBN_CHECK(memory != NULL, error, "memory: there is none left for the report");
  bool written = cbn_report_html_write(memory, json, length, error);
  fclose(memory);
  written = written && cbn_write_file(path, text, size, error);
  free(text);
  return written;
}

static bool write_reports(const arguments *a, const cbn_run *run, const cbn_provenance *provenance, cbn_error *error) {
  if (a->json == NULL && a->html == NULL) return true;
  json_t *document = cbn_results_json(run, provenance);
  char *text = document == NULL ? NULL : json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
  json_decref(document);
  CBN_CHECK(text != NULL, error, "memory: there is none left for the results");
  const size_t length = strlen(text);
  const bool written = (a->json == NULL || cbn_write_file(a->json, text, length, error)) &&
                       (a->html == NULL || write_html(a->html, text, length, error));
  free(text);
  return written;
}

/* Can the file, or the folder, be written? */
static bool check_target(const char *target, bool folder, cbn_error *error) {
  char copy[PATH_MAX];
  struct stat status;
  CBN_CHECK(target[0] != '\0' && strlen(target) < sizeof copy, error, "%.200s: a report needs a name", target);
  const bool there = stat(target, &status) == 0;
  CBN_CHECK(!there || S_ISDIR(status.st_mode) == folder, error, "%s: cannot write it: it is %s", target,
            folder ? "no folder" : "a folder");
  strcpy(copy, target);
  const char *holder = there && folder ? target : dirname(copy);
  CBN_CHECK(stat(holder, &status) == 0 && S_ISDIR(status.st_mode), error, "%s: cannot write it: %.200s is no folder",
            target, holder);
  CBN_CHECK(access(holder, W_OK) == 0, error, "%s: cannot write it: %s", target, strerror(errno));
  return true;
}

/* An unwritable report is found before the work, not after it. */
static bool check_writable(const arguments *a, cbn_error *error) {
  return (a->json == NULL || check_target(a->json, false, error)) &&
         (a->html == NULL || check_target(a->html, true, error));
}

static void print_command(int argc, char **argv, char *text, size_t size) {
  cbn_print_program(text, size);
  size_t length = strlen(text);
  for (int i = 1; i < argc && length + 2 < size; i++) {
    text[length++] = ' ';
    cbn_shell_quote(argv[i], text + length, size - length);
    length += strlen(text + length);
  }
}

static int fail(int code, const char *message) {
  fprintf(stderr, "convbn run: %s\n", message);
  return code;
}

/* ------------------------------------------------------------------------------------------------------- running */

static int run_chosen(const arguments *a, const cbn_case_set *set, const cbn_case_set *collection,
                      const cbn_case *const *cases, size_t count, size_t left_out, const char *command) {
  char started[32], hash[17];
  const time_t now = time(NULL);
  struct tm utc;
  strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  cbn_terminal terminal = cbn_terminal_open((enum cbn_verbosity)a->verbosity, a->run.engine, a->run.seed);
  cbn_run run;
  cbn_error error;
  if (!check_writable(a, &error)) return fail(CBN_EXIT_USAGE, error.text);
  if (!cbn_run_cases(collection, cases, count, &a->run, cbn_terminal_result, &terminal, &run, &error))
    return fail(CBN_EXIT_ENGINE, error.text);
  cbn_cases_hash(set, hash);
  const cbn_provenance provenance = {.command = command,
                                     .engine = a->run.engine,
                                     .started = started,
                                     .cases_hash = hash,
                                     .jobs = a->run.jobs,
                                     .seed = a->run.seed};
  cbn_terminal_summary(&terminal, &run, left_out);
  int code = cbn_run_exit(&run);
  if (!write_reports(a, &run, &provenance, &error)) code = cbn_exit_worse(code, fail(CBN_EXIT_USAGE, error.text));
  else if (a->html != NULL && a->verbosity != CBN_QUIET) printf("report: %s/index.html\n", a->html);
  cbn_run_release(&run);
  return code;
}

static int run_selection(arguments *a, const cbn_case_set *set, const char *command) {
  const cbn_select *select = NULL;
  size_t count, left_out;
  cbn_error error;
  cbn_arena *arena = cbn_arena_create(1 << 20);
  int code = CBN_EXIT_USAGE;
  if (arena == NULL || (a->expression != NULL && !cbn_select_compile(a->expression, arena, &select, &error))) {
    cbn_arena_destroy(arena);
    return fail(CBN_EXIT_USAGE, arena == NULL ? "memory: there is none left" : error.text);
  }
  const cbn_case **chosen = choose(set, select, a->large || a->list, &count, &left_out);
  cbn_case_set *collection = cbn_cases_collection(set, a->paths[0]);
  if (chosen == NULL) {
    fail(CBN_EXIT_USAGE, "memory: there is none left");
  } else if (count == 0) {
    char text[128];
    snprintf(text, sizeof text,
             left_out > 0 ? "only large cases are selected (%zu); --large runs them" : "no case is selected", left_out);
    code = fail(CBN_EXIT_NOTHING_SELECTED, text);
  } else if (a->list) {
    for (size_t i = 0; i < count; i++) printf("%s%s\n", chosen[i]->id, cbn_case_is_large(chosen[i]) ? "  (large)" : "");
    code = CBN_EXIT_EXPECTED;
  } else {
    code = run_chosen(a, set, collection != NULL ? collection : set, chosen, count, left_out, command);
  }
  cbn_cases_destroy(collection);
  free(chosen);
  cbn_arena_destroy(arena);
  return code;
}

int cbn_command_run(int argc, char **argv) {
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  const int processors = online > 0 ? (int)online : 1;
  arguments a = {.run = {.engine = "fast",
                         .jobs = processors,
                         .processors = processors,
                         .memory_bytes = (int64_t)4 << 30,
                         .engine_memory_bytes = (int64_t)2 << 30}};
  char command[4096];
  print_command(argc, argv, command, sizeof command);
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &a);
  a.run.maps = a.json != NULL || a.html != NULL;
  cbn_case_set *set = cbn_cases_create();
  size_t problems = 0;
  for (int i = 0; i < a.path_count; i++) problems += cbn_cases_load(set, a.paths[i], print_problem, NULL);
  int code = problems == 0 ? run_selection(&a, set, command) : CBN_EXIT_USAGE;
  cbn_cases_destroy(set);
  if (fflush(stdout) != 0) code = cbn_exit_worse(code, CBN_EXIT_USAGE);
  return code;
}
