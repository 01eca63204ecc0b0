#include "fuzz/findings.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/verdict.h"
#include "fuzz/waiting.h"
#include "harness/clock.h"
#include "harness/results.h"
#include "harness/terminal.h"

enum {
  MINIMIZE_SECONDS = 20,
  SHRINK_SECONDS = 8,
  INPUTS_KEPT = 4, /* of a finding */
  HASHES = 4096,   /* inputs that are remembered */
  LIKELY_NEW = 1,  /* of a sort that has been looked at no more often than this */
  MEMORY_MIB = 2048
};
static const double REPEATS_SHARE = 0.25; /* of the time: what looking at sorts that have been looked at may take */

/* A finding. Its document is what OUT/findings/ID/finding.json holds. */
typedef struct found {
  char id[CBN_ID_BYTES];
  json_t *document;
  int64_t count;
  bool seen, fresh; /* in this run; for the first time */
} found;

/* What a process does for an input. */
enum stage {
  MINIMIZE,  /* `convbn minimize`, with the engine in a process of its own */
  REPRODUCE, /* the fuzzer's program with that input alone */
  SHRINK     /* libFuzzer's own minimizer */
};

typedef struct confirmation {
  cbn_job job;
  enum stage stage;
  cbn_input input;
  double deadline;
  cbn_path folder;                     /* where the finding grows */
  char signature[CBN_SIGNATURE_BYTES]; /* of a reproduced death */
} confirmation;

struct cbn_findings {
  cbn_findings_options options;
  cbn_waiting waiting;
  confirmation *confirmation[CBN_FINDINGS_JOBS];
  found *found;
  int count;
  struct {
    uint64_t hash;
    int finding;
  } known[HASHES];
  int known_count;
  double started, looking; /* seconds on the clock; seconds that processes took */
  bool failed;
  cbn_error error; /* the first that could not be written */
};

/* ---------------------------------------------------------------------------------------------------- the folders */

static cbn_path folder_of(const cbn_findings *f, const char *id) {
  return cbn_path_of("%s/findings/%s", f->options.out, id);
}

static void note(cbn_findings *f, bool done, const cbn_error *error) {
  if (done || f->failed) return;
  f->failed = true;
  f->error = *error;
}

static void write_text(cbn_findings *f, const char *folder, const char *name, const char *text) {
  cbn_error error;
  note(f, cbn_write_file(cbn_path_of("%s/%s", folder, name).text, text, strlen(text), &error), &error);
}

static void write_finding(cbn_findings *f, found *finding) {
  json_object_set_new(finding->document, "count", json_integer(finding->count));
  char *text = json_dumps(finding->document, JSON_INDENT(1));
  if (text != NULL) write_text(f, folder_of(f, finding->id).text, "finding.json", text);
  free(text);
}

static found *find(cbn_findings *f, const char *id) {
  for (int i = 0; i < f->count; i++)
    if (strcmp(f->found[i].id, id) == 0) return &f->found[i];
  return NULL;
}

/* Takes ownership of the document; NULL without memory. */
static found *append(cbn_findings *f, const char *id, json_t *document) {
  found *longer = realloc(f->found, (size_t)(f->count + 1) * sizeof *longer);
  if (longer == NULL || document == NULL) {
    json_decref(document);
    return NULL;
  }
  f->found = longer;
  found *finding = &longer[f->count++];
  *finding = (found){.document = document, .count = json_integer_value(json_object_get(document, "count"))};
  snprintf(finding->id, sizeof finding->id, "%s", id);
  return finding;
}

/* A finding of an earlier run; what is damaged is left alone. */
static bool take_up(void *context, const char *name) {
  cbn_findings *f = context;
  json_t *document = json_load_file(cbn_path_of("%s/finding.json", folder_of(f, name).text).text, 0, NULL);
  const char *id = json_string_value(json_object_get(document, "id"));
  const bool whole = id != NULL && strcmp(id, name) == 0 && strlen(id) == CBN_ID_BYTES - 1 &&
                     json_is_string(json_object_get(document, "signature"));
  if (whole) return append(f, name, document) != NULL;
  json_decref(document);
  return true;
}

cbn_findings *cbn_findings_open(const cbn_findings_options *options, cbn_error *error) {
  cbn_findings *f = calloc(1, sizeof *f);
  if (f == NULL) {
    cbn_error_set(error, "no memory");
    return NULL;
  }
  f->options = *options;
  f->started = cbn_clock_seconds();
  const cbn_path folder = cbn_path_of("%s/findings", options->out), raw = cbn_path_of("%s/raw", options->out);
  if (cbn_folder_make(folder.text, error) && cbn_waiting_open(&f->waiting, raw.text, options->builds, error)) {
    if (cbn_folder_list(folder.text, take_up, f)) return f;
    cbn_error_set(error, "%s: cannot be read: %s", folder.text, strerror(errno));
  }
  cbn_findings_close(f);
  return NULL;
}

void cbn_findings_close(cbn_findings *f) {
  if (f == NULL) return;
  cbn_findings_stop(f);
  for (int i = 0; i < f->count; i++) json_decref(f->found[i].document);
  free(f->found);
  free(f);
}

/* ---------------------------------------------------------------------------------------------------- new findings */

/* One more input that shows it. */
static void count(cbn_findings *f, found *finding, const cbn_input *input) {
  const cbn_path inputs = cbn_path_of("%s/inputs", folder_of(f, finding->id).text);
  cbn_error error;
  if (input != NULL) {
    note(f, cbn_folder_make(inputs.text, &error), &error);
    if (cbn_folder_count(inputs.text) < INPUTS_KEPT) cbn_file_keep(input->file.text, inputs.text);
    if (f->known_count < HASHES) {
      f->known[f->known_count].hash = input->hash;
      f->known[f->known_count++].finding = (int)(finding - f->found);
    }
    cbn_input_remove(input);
  }
  finding->count++;
  finding->seen = true;
  write_finding(f, finding);
}

const char *cbn_finding_text(const json_t *document, const char *key) {
  const char *text = json_string_value(json_object_get(document, key));
  return text != NULL ? text : "";
}

/* At once, in a line or two; the summary says more. */
static void tell(const cbn_findings *f, const found *finding) {
  const cbn_terminal terminal = cbn_terminal_open(CBN_NORMAL, f->options.engine, 0);
  const char *message = cbn_finding_text(finding->document, "message");
  if (f->options.quiet) return;
  if (terminal.progress != NULL) fputs("\r\033[K", terminal.progress);
  printf("%sfinding%s %s: %s\n", terminal.colour ? "\033[1;31m" : "", terminal.colour ? "\033[0m" : "", finding->id,
         cbn_finding_text(finding->document, "signature"));
  if (message[0] != '\0') printf("  %s\n", message);
}

/* Quoted for a shell, by value. */
static cbn_path quoted(cbn_path word) {
  cbn_path path;
  cbn_shell_quote(word.text, path.text, sizeof path.text);
  return path;
}

/* `convbn run` for the finding's case. A memory error needs the build that looks for it. A near miss as a case is refused
 * by its dialect, and the engine is not asked; `convbn minimize` asks it. */
static int case_line(const cbn_findings *f, const found *finding, const cbn_build *build, char **line) {
  const cbn_path folder = folder_of(f, finding->id), convbn = cbn_path_of("%s/bin/convbn", build->prefix.text);
  cbn_path program, file = cbn_path_of("%s/bad.yaml", folder.text);
  if (json_is_false(json_object_get(finding->document, "valid")) || access(file.text, F_OK) != 0) {
    program = cbn_path_of("%s minimize", quoted(convbn).text);
    file = cbn_path_of("%s/bad.seed", folder.text);
    if (access(file.text, F_OK) != 0) file = cbn_path_of("%s/input", folder.text);
  } else if (build->flavour == CBN_SANITIZED) {
    program = cbn_path_of("%s run", quoted(convbn).text);
  } else {
    cbn_print_program(program.text, sizeof program.text);
  }
  return asprintf(line, "%s %s --engine %s", program.text, quoted(file).text,
                  quoted(cbn_path_of("%s", build->engine)).text);
}

/* The fuzzer's program with the finding's input. */
static int input_line(const cbn_findings *f, const found *finding, const cbn_build *build, const cbn_target *target,
                      char **line) {
  const cbn_path engine = cbn_build_engine(build);
  const bool named = target->problems && engine.text[0] != '\0';
  cbn_path program;
  cbn_build_program(build, target, &program);
  return asprintf(line, "%s%s%s%s %s", named ? "CONVBN_FUZZ_ENGINE=" : "", named ? quoted(engine).text : "",
                  named ? " " : "", quoted(program).text,
                  quoted(cbn_path_of("%s/input", folder_of(f, finding->id).text)).text);
}

/* The line that shows it again. */
static void write_replay(const cbn_findings *f, found *finding, const cbn_build *build, const cbn_target *target,
                         bool as_case) {
  char *line;
  if ((as_case ? case_line(f, finding, build, &line) : input_line(f, finding, build, target, &line)) < 0) return;
  json_object_set_new(finding->document, "replay", json_string(line));
  free(line);
}

/* Does it say more than what is there: a minimisation that has come to its end, for one whose time ended before? */
static bool is_better(const json_t *document, const found *finding) {
  return json_is_true(json_object_get(document, "finished")) &&
         json_is_false(json_object_get(finding->document, "finished"));
}

/* What `folder` holds becomes a finding, or one more of a finding that is there, or replaces it. */
static void adopt(cbn_findings *f, confirmation *c, const cbn_build *build, json_t *document, bool as_case) {
  const char *id = cbn_finding_text(document, "id");
  found *finding = find(f, id);
  char first_seen[32];
  const time_t now = time(NULL);
  struct tm utc;
  const bool fresh = finding == NULL;
  if (!fresh && !is_better(document, finding)) {
    cbn_folder_remove(c->folder.text);
    count(f, finding, &c->input);
    json_decref(document);
    return;
  }
  const cbn_path folder = folder_of(f, id);
  cbn_error error;
  if (!fresh) rename(cbn_path_of("%s/inputs", folder.text).text, cbn_path_of("%s/inputs", c->folder.text).text);
  cbn_folder_remove(folder.text); /* a damaged one, or what is replaced */
  if (rename(c->folder.text, folder.text) != 0) {
    cbn_error_set(&error, "%s: cannot be written: %s", folder.text, strerror(errno));
    note(f, false, &error);
  }
  strftime(first_seen, sizeof first_seen, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  json_object_set_new(document, "target", json_string(c->input.target->name));
  json_object_set_new(document, "build", json_string(build->name));
  json_object_set_new(document, "folder", json_string(folder.text));
  if (fresh) {
    json_object_set_new(document, "first_seen", json_string(first_seen));
    json_object_set_new(document, "first_seen_seconds", json_real(cbn_clock_seconds() - f->started));
    finding = append(f, id, document);
    if (finding == NULL) return;
    finding->fresh = true;
  } else {
    json_object_update(finding->document, document);
    json_decref(document);
  }
  write_replay(f, finding, build, c->input.target, as_case);
  count(f, finding, &c->input);
  write_text(f, folder.text, "signature.txt",
             cbn_path_of("%s\n", cbn_finding_text(finding->document, "signature")).text);
  write_text(f, folder.text, "replay.txt", cbn_path_of("%s\n", cbn_finding_text(finding->document, "replay")).text);
  if (fresh) tell(f, finding);
}

/* The input itself belongs to the finding, unless what libFuzzer has made of it is there. */
static void keep_input(cbn_findings *f, const confirmation *c) {
  const cbn_path input = cbn_path_of("%s/input", c->folder.text);
  cbn_error error;
  size_t size;
  if (access(input.text, F_OK) == 0) return;
  uint8_t *bytes = cbn_file_read(c->input.file.text, CBN_LONGEST_INPUT, &size, &error);
  note(f, bytes != NULL && cbn_write_file(input.text, (const char *)bytes, size, &error), &error);
  free(bytes);
}

/* A finding that `convbn minimize` has written, but for where it came from. */
static void adopt_problem(cbn_findings *f, confirmation *c) {
  const cbn_build *build = cbn_builds_for_replay(f->options.builds, c->input.build, c->input.target);
  const cbn_path file = cbn_path_of("%s/finding.json", c->folder.text);
  json_error_t why;
  json_t *document = json_load_file(file.text, 0, &why);
  if (document == NULL || cbn_finding_text(document, "id")[0] == '\0') {
    cbn_error error;
    cbn_error_set(&error, "%s: %s", file.text, document == NULL ? why.text : "has no id");
    note(f, false, &error);
    json_decref(document);
    return;
  }
  const bool finished = json_is_true(json_object_get(document, "finished"));
  json_object_set_new(document, "state",
                      json_string(finished ? "minimised" : "made smaller; time ended before nothing smaller was left"));
  if (access(cbn_path_of("%s/bad.seed", c->folder.text).text, F_OK) != 0) keep_input(f, c); /* no bytes give it */
  adopt(f, c, build != NULL ? build : c->input.build, document, true);
}

/* A death that has no problem's case: the input as it is or as libFuzzer has shrunk it, and what was said. */
static void adopt_death(cbn_findings *f, confirmation *c, const char *signature, const char *state,
                        const char *report) {
  const cbn_build *build = cbn_builds_for_replay(f->options.builds, c->input.build, c->input.target);
  char id[CBN_ID_BYTES];
  cbn_signature_hash(signature, id);
  if (find(f, id) == NULL) {
    keep_input(f, c);
    write_text(f, c->folder.text, "report.txt", report);
  }
  json_t *document = json_pack("{s:i, s:s, s:s, s:s}", "format", 1, "id", id, "signature", signature, "state", state);
  if (document != NULL) adopt(f, c, build != NULL ? build : c->input.build, document, false);
}

/* ------------------------------------------------------------------------------------------------------ processes */

/* Texts that a command line points to, as long as it is needed. */
typedef struct line_texts {
  cbn_path program, host, engine, time, timeout, artifacts, variable, memory;
} line_texts;

static cbn_command_line minimize_line(const cbn_findings *f, const confirmation *c, const cbn_build *build,
                                      line_texts *t) {
  t->program = cbn_path_of("%s/bin/convbn", build->prefix.text);
  t->host = cbn_path_of("CONVBN_HOST=%s/bin/convbn-host", build->prefix.text);
  t->time = cbn_path_of("%ds", MINIMIZE_SECONDS);
  t->timeout = cbn_path_of("%g", f->options.timeout_seconds);
  return (cbn_command_line){.argument = {t->program.text, "minimize", c->input.file.text, "--engine", build->engine,
                                         "--time", t->time.text, "--timeout", t->timeout.text, "-o", c->folder.text},
                            .environment = {t->host.text}};
}

static cbn_command_line fuzzer_line(const cbn_findings *f, const confirmation *c, const cbn_build *build,
                                    line_texts *t) {
  cbn_build_program(build, c->input.target, &t->program);
  t->engine = cbn_path_of("CONVBN_FUZZ_ENGINE=%s", cbn_build_engine(build).text);
  t->timeout = cbn_path_of("-timeout=%d", (int)(f->options.timeout_seconds + 0.999));
  t->memory = cbn_path_of("-rss_limit_mb=%d", MEMORY_MIB);
  cbn_command_line line = {
      .argument = {t->program.text, t->timeout.text, t->memory.text, c->input.file.text},
      .environment = {t->engine.text, "CONVBN_FUZZ_OUT", "CONVBN_FUZZ_STATUS", "UBSAN_OPTIONS=print_stacktrace=1"}};
  t->artifacts =
      cbn_path_of(c->stage == SHRINK ? "-exact_artifact_path=%s/input" : "-artifact_prefix=%s/", c->folder.text);
  line.argument[4] = t->artifacts.text;
  if (c->stage == SHRINK) {
    t->time = cbn_path_of("-max_total_time=%d", SHRINK_SECONDS);
    line.argument[5] = "-minimize_crash=1";
    line.argument[6] = t->time.text;
  }
  return line;
}

/* Starts what is to be done at that stage. False where it cannot be. */
static bool start(cbn_findings *f, confirmation *c, enum stage stage) {
  line_texts texts;
  const cbn_build *build = cbn_builds_for_replay(f->options.builds, c->input.build, c->input.target);
  cbn_error error;
  if (build == NULL) build = c->input.build;
  c->stage = stage;
  if (stage != MINIMIZE && build->flavour == CBN_AFL) return false;
  const cbn_command_line line =
      stage == MINIMIZE ? minimize_line(f, c, build, &texts) : fuzzer_line(f, c, build, &texts);
  c->deadline = cbn_clock_seconds() + MINIMIZE_SECONDS + 3 * f->options.timeout_seconds + 10;
  if (cbn_job_start(&c->job, &line, &error)) return true;
  note(f, false, &error);
  return false;
}

/* Of a death: what the process told of the problem, else what it died of; false where the words hold neither. */
static bool death_signature(const confirmation *c, const char *words, char signature[CBN_SIGNATURE_BYTES]) {
  char summary[CBN_SIGNATURE_BYTES / 2];
  if (c->input.target->problems && cbn_crash_finding(words, signature, CBN_SIGNATURE_BYTES)) return true;
  if (!cbn_crash_summary(words, summary, sizeof summary)) return false;
  snprintf(signature, CBN_SIGNATURE_BYTES, "%s %s", c->input.target->name, summary);
  return true;
}

/* The fuzzer's program has run the input alone and has not shown it, or cannot be had: the input is kept with what is
 * known of it. */
static void adopt_unreproduced(cbn_findings *f, confirmation *c, bool run) {
  char known[CBN_SIGNATURE_BYTES], signature[CBN_SIGNATURE_BYTES + 32];
  cbn_error error;
  size_t size;
  uint8_t *report = cbn_file_read(cbn_path_of("%s.txt", c->input.file.text).text, CBN_JOB_WORDS, &size, &error);
  if (report != NULL) report[size] = '\0';
  if (report == NULL || !death_signature(c, (const char *)report, known))
    snprintf(known, sizeof known, "%s %s", c->input.target->name, report != NULL ? "died" : "reported");
  snprintf(signature, sizeof signature, "%s, %s", known, run ? "not reproduced" : "not run again");
  adopt_death(f, c, signature,
              run ? "the fuzzer's process showed it, and the input alone does not"
                  : "the fuzzer's process showed it; the input was not run alone, which takes a libFuzzer program",
              report != NULL ? (const char *)report : c->job.words);
  free(report);
}

/* Of a text: does libFuzzer take too long to shrink it? */
static bool is_slow(const confirmation *c) {
  const char *cause = c->signature + strlen(c->input.target->name) + 1;
  return strncmp(cause, "timeout", 7) == 0 || strncmp(cause, "out-of-memory", 13) == 0;
}

/* The fuzzer's program has run the input alone. */
static bool take_reproduction(cbn_findings *f, confirmation *c) {
  const bool passed = WIFEXITED(c->job.status) && WEXITSTATUS(c->job.status) == 0;
  char how[64], id[CBN_ID_BYTES];
  if (passed) {
    adopt_unreproduced(f, c, true);
    return false;
  }
  if (!death_signature(c, c->job.words, c->signature)) {
    cbn_job_describe(&c->job, how, sizeof how);
    snprintf(c->signature, sizeof c->signature, "%s %s", c->input.target->name, how);
  }
  cbn_signature_hash(c->signature, id);
  write_text(f, c->folder.text, "report.txt", c->job.words);
  if (!c->input.target->structured && !is_slow(c) && find(f, id) == NULL && start(f, c, SHRINK)) return true;
  adopt_death(f, c, c->signature,
              c->input.target->problems ? "in the fuzzer's process only: the engine's own process does not show it"
                                        : "reproduced, not minimised",
              c->job.words);
  return false;
}

/* Takes what the ended process has done; true if another has been started for the input. */
static bool take(cbn_findings *f, confirmation *c) {
  char *report;
  size_t size;
  cbn_error error;
  f->looking += cbn_clock_seconds() - c->job.started;
  switch (c->stage) {
  case MINIMIZE:
    if (WIFEXITED(c->job.status) && WEXITSTATUS(c->job.status) == CBN_EXIT_DISCREPANCY) {
      adopt_problem(f, c);
      return false;
    }
    if (start(f, c, REPRODUCE)) return true;
    adopt_unreproduced(f, c, false);
    return false;
  case REPRODUCE: return take_reproduction(f, c);
  case SHRINK:
    report = (char *)cbn_file_read(cbn_path_of("%s/report.txt", c->folder.text).text, CBN_JOB_WORDS, &size, &error);
    if (report != NULL) report[size] = '\0';
    adopt_death(f, c, c->signature, "minimised by libFuzzer", report != NULL ? report : "");
    free(report);
    return false;
  }
  return false;
}

static void release(cbn_findings *f, int place) {
  confirmation *c = f->confirmation[place];
  cbn_folder_remove(c->folder.text);
  free(c);
  f->confirmation[place] = NULL;
}

/* Begins with the next input, if there is one that it is the time for. */
static bool begin(cbn_findings *f, int place, enum cbn_effort effort) {
  cbn_error error;
  const bool has_time = f->looking <= REPEATS_SHARE * (cbn_clock_seconds() - f->started);
  const int most = effort == CBN_LIKELY_NEW ? LIKELY_NEW : effort == CBN_ALL || has_time ? INT_MAX : 0;
  confirmation *c = malloc(sizeof *c);
  if (c == NULL) return false;
  cbn_job_clear(&c->job);
  if (!cbn_waiting_take(&f->waiting, most, &c->input)) {
    free(c);
    return false;
  }
  f->confirmation[place] = c;
  c->folder = cbn_path_of("%s/work/confirm-%d", f->options.out, place);
  cbn_folder_remove(c->folder.text);
  note(f, cbn_folder_make(c->folder.text, &error), &error);
  if (start(f, c, c->input.target->problems ? MINIMIZE : REPRODUCE)) return true;
  adopt_unreproduced(f, c, false);
  release(f, place);
  return true;
}

bool cbn_findings_step(cbn_findings *f, enum cbn_effort effort) {
  bool busy = false;
  for (int place = 0; place < f->options.jobs; place++) {
    confirmation *c = f->confirmation[place];
    if (c != NULL) {
      cbn_job_hear(&c->job);
      if (cbn_job_ended(&c->job)) {
        if (!take(f, c)) release(f, place);
      } else if (cbn_clock_seconds() > c->deadline) {
        cbn_job_signal(&c->job, SIGKILL);
      }
    }
    const bool at_work = f->confirmation[place] != NULL || begin(f, place, effort);
    busy = busy || at_work;
  }
  return busy;
}

void cbn_findings_stop(cbn_findings *f) {
  for (int place = 0; place < f->options.jobs; place++) {
    confirmation *c = f->confirmation[place];
    if (c == NULL) continue;
    cbn_job_signal(&c->job, SIGKILL);
    while (!cbn_job_ended(&c->job)) usleep(1000);
    cbn_waiting_return(&f->waiting, &c->input);
    release(f, place);
  }
}

/* ---------------------------------------------------------------------------------------------------------- access */

/* The finding that an input has turned out to be; NULL where it is not known. */
static found *known(cbn_findings *f, uint64_t hash) {
  for (int i = 0; i < f->known_count; i++)
    if (f->known[i].hash == hash) return &f->found[f->known[i].finding];
  return NULL;
}

void cbn_findings_add(cbn_findings *f, const cbn_target *target, const cbn_build *build, const char *path,
                      const char *words, uint64_t says) {
  cbn_error error;
  cbn_input input = {.target = target, .build = build, .died = words != NULL, .says = says};
  size_t size;
  uint8_t *bytes = cbn_input_read(&input, path, &size, &error);
  found *finding = bytes != NULL ? known(f, input.hash) : NULL;
  const bool kept =
      bytes != NULL && (finding != NULL || cbn_waiting_add(&f->waiting, &input, bytes, size, words, &error));
  if (finding != NULL) count(f, finding, NULL);
  note(f, kept, &error);
  if (kept) unlink(path);
  else rename(path, input.file.text); /* which a full disk allows: the next run looks at it */
  free(bytes);
}

cbn_findings_count cbn_findings_counted(const cbn_findings *f) {
  cbn_findings_count counted = {.waiting = f->waiting.count, .dropped = f->waiting.dropped};
  for (int place = 0; place < f->options.jobs; place++) counted.waiting += f->confirmation[place] != NULL;
  for (int i = 0; i < f->count; i++) {
    counted.seen += f->found[i].seen;
    counted.fresh += f->found[i].fresh;
    counted.older += !f->found[i].seen;
  }
  return counted;
}

int cbn_findings_descriptors(const cbn_findings *f, int descriptor[CBN_FINDINGS_JOBS]) {
  int count = 0;
  for (int place = 0; place < f->options.jobs; place++)
    if (f->confirmation[place] != NULL && f->confirmation[place]->job.output >= 0)
      descriptor[count++] = f->confirmation[place]->job.output;
  return count;
}

json_t *cbn_findings_json(const cbn_findings *f) {
  json_t *list = json_array();
  for (int seen = 1; seen >= 0; seen--)
    for (int i = 0; i < f->count; i++) {
      if (f->found[i].seen != (seen == 1)) continue;
      json_t *document = json_deep_copy(f->found[i].document);
      json_object_set_new(document, "seen", json_boolean(seen));
      json_object_set_new(document, "new", json_boolean(f->found[i].fresh));
      json_array_append_new(list, document);
    }
  return list;
}

bool cbn_findings_kept(const cbn_findings *f, cbn_error *error) {
  if (f->failed) *error = f->error;
  return !f->failed;
}
