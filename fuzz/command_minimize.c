/* `convbn minimize`: from an input with a finding to the smallest problem that shows it. */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diagnosis/minimize.h"
#include "fuzz/case_text.h"
#include "fuzz/duration.h"
#include "fuzz/folder.h"
#include "generator/mutate.h"
#include "harness/clock.h"
#include "harness/commands.h"
#include "harness/engine_process.h"
#include "harness/results.h"

typedef struct arguments {
  const char *file, *engine, *out, *id;
  double seconds, timeout_seconds;
} arguments;

enum { KEY_ENGINE = 256, KEY_TIME, KEY_TIMEOUT };

static const struct argp_option options[] = {
    {"engine", KEY_ENGINE, "ENGINE", 0,
     "The engine: reference, fast (the default), or the path of a plug-in; options behind a colon", 1},
    {NULL, 'k', "ID", 0, "The case with that id, where the file has several", 1},
    {"time", KEY_TIME, "D", 0, "How long to look for smaller problems: 30s, 10m, 1h30m (default: 60s)", 2},
    {"timeout", KEY_TIMEOUT, "S", 0, "Seconds that the engine has for a call (default: 5)", 2},
    {NULL, 'o', "DIR", 0, "Write to that folder (default: FILE.minimized)", 3},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  char *end;
  switch (key) {
  case KEY_ENGINE: a->engine = text; break;
  case 'k': a->id = text; break;
  case 'o': a->out = text; break;
  case KEY_TIME:
    if (!cbn_duration_parse(text, &a->seconds))
      argp_error(state, "--time must be a duration such as 30s, 10m or 1h30m, got '%s'", text);
    break;
  case KEY_TIMEOUT:
    a->timeout_seconds = strtod(text, &end);
    if (*end != '\0' || end == text || !(a->timeout_seconds > 0 && a->timeout_seconds <= 1e6))
      argp_error(state, "--timeout must be seconds above 0, got '%s'", text);
    break;
  case ARGP_KEY_ARG:
    if (a->file != NULL) argp_error(state, "one file at a time, got '%s' and '%s'", a->file, text);
    a->file = text;
    break;
  case ARGP_KEY_NO_ARGS: argp_error(state, "name a genome or a case file"); break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "FILE",
    .doc =
        "Makes the problem of FILE smaller as long as the engine is wrong in the same way. FILE is a genome, as "
        "fuzzers "
        "keep them (at most 64 bytes), or a case file (*.yaml). Writes finding.json, signature.txt, bad.yaml and "
        "bad.seed, "
        "the smallest problem, and good.yaml, one that differs in one parameter and passes."
        "\vExit status: 1 the engine is wrong, and the smallest problem is written; 0 it is right; 2 usage, or a bad "
        "file; 3 the engine cannot start; 5 nothing can be said of the problem."};

static int fail(int code, const char *message) {
  fprintf(stderr, "convbn minimize: %s\n", message);
  return code;
}

/* ------------------------------------------------------------------------------------------------- the problem */

static bool is_case_file(const char *path) {
  const char *end = strrchr(path, '.');
  return end != NULL && (strcmp(end, ".yaml") == 0 || strcmp(end, ".yml") == 0);
}

static void print_problem(void *context, const char *line) {
  *(bool *)context = true;
  fprintf(stderr, "%s\n", line);
}

static bool choose_case(const cbn_case_set *set, const arguments *a, cbn_generated *problem, cbn_error *error) {
  const size_t count = cbn_cases_count(set);
  const cbn_case *chosen = a->id != NULL ? cbn_cases_find(set, a->id) : count == 1 ? cbn_cases_at(set, 0) : NULL;
  CBN_CHECK(chosen != NULL || a->id == NULL, error, "%s: has no case '%s'", a->file, a->id);
  CBN_CHECK(chosen != NULL, error, "%s: has %zu cases; name one with -k ID", a->file, count);
  return cbn_problem_of_case(chosen, problem, error);
}

static bool read_problem(const arguments *a, cbn_generated *problem, cbn_error *error) {
  size_t size;
  if (is_case_file(a->file)) {
    cbn_case_set *set = cbn_cases_create();
    bool told = false;
    CBN_CHECK(set != NULL, error, "no memory");
    const bool loaded = cbn_cases_load(set, a->file, print_problem, &told) == 0;
    if (!loaded) cbn_error_set(error, "%s: is no case file in order", a->file);
    const bool read = loaded && choose_case(set, a, problem, error);
    cbn_cases_destroy(set);
    return read;
  }
  uint8_t *bytes = cbn_file_read(a->file, CBN_LONGEST_INPUT, &size, error);
  CBN_FORWARD(bytes != NULL);
  const bool fits = size <= CBN_GENOME_BYTES;
  if (fits) cbn_generate(bytes, size, problem);
  free(bytes);
  CBN_CHECK(fits, error, "%s: has %zu bytes, and a genome has at most %d; the name of a case file ends in .yaml",
            a->file, size, (int)CBN_GENOME_BYTES);
  return true;
}

/* --------------------------------------------------------------------------------------------------- the engine */

typedef struct patient {
  cbn_engine_process *process;
  double timeout_seconds;
} patient;

/* One call, in the engine's own process; made twice, so that what is not deterministic is seen as such. */
static void run(void *context, cbn_call *call, cbn_reply *reply) {
  patient *p = context;
  cbn_engine_answer answer;
  cbn_engine_run(p->process, call, p->timeout_seconds, true, &answer);
  *reply = (cbn_reply){
      .verdict = answer.verdict, .status = (int)answer.status, .role = answer.role, .element = answer.element};
  snprintf(reply->message, sizeof reply->message, "%.*s", (int)sizeof reply->message - 1, answer.message);
  /* One that hangs is known to; a second is plenty for what is smaller still. */
  if (answer.verdict == CBN_VERDICT_TIMEOUT) p->timeout_seconds = fmin(p->timeout_seconds, 1);
}

/* ------------------------------------------------------------------------------------------------------- results */

static bool write_in(const char *folder, const char *name, const char *text, size_t size, cbn_error *error) {
  return cbn_write_file(cbn_path_of("%s/%s", folder, name).text, text, size, error);
}

/* False with `possible` false where no case can say the problem; there is no file then. */
static bool write_case(const char *folder, const char *name, const cbn_generated *problem, const char *comment,
                       bool *possible, cbn_error *error) {
  char *text = NULL;
  size_t size = 0;
  *possible = cbn_case_possible(problem, error);
  if (!*possible) return false;
  FILE *memory = open_memstream(&text, &size);
  bool written = memory != NULL && cbn_case_write(memory, problem, NULL, comment);
  written = memory != NULL && fclose(memory) == 0 && written;
  if (written) written = write_in(folder, name, text, size, error);
  else cbn_error_set(error, "%s: no memory to write it", name);
  free(text);
  return written;
}

/* `name` is the smallest problem's file, NULL where there is none: then the input shows it. A near miss as a case is
 * refused by its dialect, and the engine is not asked; only this command asks it. */
static void replay_line(const arguments *a, const char *name, bool valid, cbn_path *line) {
  const cbn_path file = name != NULL ? cbn_path_of("%s/%s", a->out, name) : cbn_path_of("%s", a->file);
  cbn_path program, quoted, engine, id = {""};
  cbn_print_program(program.text, sizeof program.text);
  if (!valid || name == NULL || !is_case_file(name)) {
    cbn_shell_quote(program_invocation_name, quoted.text, sizeof quoted.text);
    program = cbn_path_of("%s minimize", quoted.text);
  }
  if (name == NULL && a->id != NULL) {
    cbn_shell_quote(a->id, quoted.text, sizeof quoted.text);
    id = cbn_path_of(" -k %s", quoted.text);
  }
  cbn_shell_quote(file.text, quoted.text, sizeof quoted.text);
  cbn_shell_quote(a->engine, engine.text, sizeof engine.text);
  *line = cbn_path_of("%s %s%s --engine %s", program.text, quoted.text, id.text, engine.text);
}

static bool write_document(const arguments *a, const cbn_minimized *m, const char *name, const char *replay,
                           cbn_error *error) {
  json_t *document = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:b, s:i, s:b, s:s}", "format", 1, "id",
                               m->signature.id, "signature", m->signature.text, "verdict",
                               cbn_verdict_name(m->finding.verdict), "message", m->finding.message, "engine", a->engine,
                               "engine_name", name, "parameter", m->has_good ? m->parameter : NULL, "finished",
                               m->finished, "trials", m->trials, "valid", m->bad.valid, "replay", replay);
  char *text = document == NULL ? NULL : json_dumps(document, JSON_INDENT(1));
  const bool written = text != NULL && write_in(a->out, "finding.json", text, strlen(text), error);
  if (text == NULL) cbn_error_set(error, "finding.json: a text of the engine's is not UTF-8, or there is no memory");
  free(text);
  json_decref(document);
  return written;
}

/* What an earlier call has left in the folder and this one may not replace. */
static void remove_earlier(const char *folder) {
  static const char *const names[] = {"bad.yaml", "bad.seed", "good.yaml"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) unlink(cbn_path_of("%s/%s", folder, names[i]).text);
}

static bool write_all(const arguments *a, const cbn_minimized *m, const char *name, cbn_error *error) {
  uint8_t genome[CBN_GENOME_BYTES];
  const char *parameter;
  cbn_path line;
  bool possible;
  char comment[256];
  CBN_FORWARD(cbn_folder_make(a->out, error));
  remove_earlier(a->out);
  if (!write_case(a->out, "bad.yaml", &m->bad, m->signature.text, &possible, error) && possible) return false;
  if (!possible) fprintf(stderr, "convbn minimize: there is no bad.yaml: %s\n", error->text);
  const bool has_bytes = cbn_genome_of(&m->bad, genome, &parameter);
  const bool as_case = possible && (m->bad.valid || !has_bytes);
  replay_line(a, as_case ? "bad.yaml" : has_bytes ? "bad.seed" : NULL, m->bad.valid, &line);
  if (has_bytes) CBN_FORWARD(write_in(a->out, "bad.seed", (const char *)genome, sizeof genome, error));
  if (m->has_good) {
    snprintf(comment, sizeof comment, "passes, and differs from bad.yaml in %s alone", m->parameter);
    if (!write_case(a->out, "good.yaml", &m->good, comment, &possible, error) && possible) return false;
  }
  const cbn_path signature = cbn_path_of("%s\n", m->signature.text), replay = cbn_path_of("%s\n", line.text);
  CBN_FORWARD(write_in(a->out, "signature.txt", signature.text, strlen(signature.text), error));
  CBN_FORWARD(write_in(a->out, "replay.txt", replay.text, strlen(replay.text), error));
  CBN_FORWARD(write_document(a, m, name, line.text, error));
  printf("%s\n  %s\n", m->signature.text, m->finding.message);
  if (m->has_good) printf("  passes:  with another %s (%s/good.yaml)\n", m->parameter, a->out);
  printf("  after %d runs of the engine%s\n", m->trials,
         m->finished ? "" : "; the time was over before nothing smaller was left");
  printf("  folder:  %s\n  replay:  %s\n", a->out, line.text);
  return true;
}

/* What came of a problem that the engine does not get wrong. */
static int tell_nothing(const arguments *a, const cbn_finding *finding) {
  const bool passed = finding->verdict == CBN_VERDICT_PASS;
  printf("%s: nothing to minimise: %s%s%s\n", a->file, cbn_verdict_name(finding->verdict),
         finding->message[0] != '\0' ? ", " : "", finding->message);
  return passed ? CBN_EXIT_EXPECTED : CBN_EXIT_INCONCLUSIVE;
}

static int minimize(const arguments *a, const cbn_generated *problem, patient *p) {
  const cbn_engine_identity *identity = cbn_engine_identify(p->process);
  const cbn_subject subject = {.name = identity->name,
                               .arithmetic = identity->arithmetic,
                               .abilities = identity->abilities,
                               .run = run,
                               .context = p};
  cbn_error error;
  cbn_minimized result;
  cbn_trial *trial = cbn_trial_open();
  if (trial == NULL) return fail(CBN_EXIT_USAGE, "no memory");
  const bool found = cbn_minimize(trial, problem, &subject, a->seconds, &result);
  cbn_trial_close(trial);
  if (!found) return tell_nothing(a, &result.finding);
  if (!write_all(a, &result, identity->name, &error)) return fail(CBN_EXIT_USAGE, error.text);
  return CBN_EXIT_DISCREPANCY;
}

int cbn_command_minimize(int argc, char **argv) {
  static const cbn_engine_limits limits = {.memory_bytes = (int64_t)2 << 30, .start_seconds = 30};
  arguments a = {.engine = "fast", .seconds = 60, .timeout_seconds = 5};
  cbn_generated problem;
  cbn_error error;
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &a);
  const cbn_path out = cbn_path_of("%s.minimized", a.file);
  if (a.out == NULL) a.out = out.text;
  if (!read_problem(&a, &problem, &error)) return fail(CBN_EXIT_USAGE, error.text);
  patient p = {.process = cbn_engine_start(a.engine, &limits, &error), .timeout_seconds = a.timeout_seconds};
  if (p.process == NULL) return fail(CBN_EXIT_ENGINE, error.text);
  const int code = minimize(&a, &problem, &p);
  cbn_engine_stop(p.process);
  return code;
}
