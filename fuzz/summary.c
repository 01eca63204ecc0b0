#include "fuzz/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/verdict.h"
#include "fuzz/duration.h"
#include "fuzz/pairs_report.h"
#include "harness/clock.h"
#include "harness/results.h"

enum { LINE_BYTES = 320 };
static const double TERMINAL_SECONDS = 0.25, PLAIN_SECONDS = 10, CORPUS_SECONDS = 5, RATE_SECONDS = 2;

/* ------------------------------------------------------------------------------------------------------- progress */

cbn_progress cbn_progress_open(bool quiet) {
  const char *term = getenv("TERM");
  const bool terminal = isatty(STDERR_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
  const double now = cbn_clock_seconds();
  return (cbn_progress){.quiet = quiet, .terminal = terminal, .last = terminal ? 0 : now, .time = now};
}

bool cbn_progress_due(const cbn_progress *p) {
  return !p->quiet && cbn_clock_seconds() - p->last >= (p->terminal ? TERMINAL_SECONDS : PLAIN_SECONDS);
}

void cbn_progress_clear(const cbn_progress *p) {
  if (!p->quiet && p->terminal) fputs("\r\033[K", stderr);
}

static size_t corpus_size(const cbn_fuzz_options *options) {
  size_t size = 0;
  for (int i = 0; i < options->targets; i++)
    size += cbn_folder_count(cbn_path_of("%s/corpus/%s", options->out, options->target[i]->name).text);
  return size;
}

static void measure(cbn_progress *p, const cbn_fuzz_options *options, const cbn_fuzz_totals *totals) {
  const double now = cbn_clock_seconds();
  p->last = now;
  if (now - p->time >= RATE_SECONDS || p->executions == 0) {
    const uint64_t done = totals->executions > p->executions ? totals->executions - p->executions : 0;
    p->rate = (double)done / fmax(now - p->time, 1e-3);
    p->executions = totals->executions;
    p->time = now;
  }
  if (now - p->corpus_time >= (p->corpus == 0 ? 1 : CORPUS_SECONDS)) {
    p->corpus = corpus_size(options);
    p->corpus_time = now;
  }
}

/* No longer than the terminal is wide: a line that wraps cannot be written over. */
static int width_of(const cbn_progress *p) {
  struct winsize size;
  if (!p->terminal || ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return LINE_BYTES;
  return size.ws_col - 1;
}

void cbn_progress_show(cbn_progress *p, const cbn_fuzz_options *options, const cbn_fuzz_totals *totals,
                       const cbn_findings *findings) {
  char line[LINE_BYTES], pairs[64] = "", waiting[32] = "", left[64] = "";
  const cbn_findings_count found = cbn_findings_counted(findings);
  measure(p, options, totals);
  if (isfinite(options->seconds)) {
    snprintf(left, sizeof left, ", ");
    cbn_duration_print(options->seconds - totals->seconds, left + 2, sizeof left - 8);
    strcat(left, " left");
  }
  if (totals->pairs_possible > 0)
    snprintf(pairs, sizeof pairs, ", pairs %d of %d", totals->pairs_reached, totals->pairs_possible);
  if (found.waiting > 0) snprintf(waiting, sizeof waiting, " (%d to look at)", found.waiting);
  snprintf(line, sizeof line, "%llu runs, %.0f/s%s, corpus %zu, %d %s%s%s", (unsigned long long)totals->executions,
           p->rate, pairs, p->corpus, found.seen, found.seen == 1 ? "finding" : "findings", waiting, left);
  cbn_progress_clear(p);
  fprintf(stderr, "%.*s%s", width_of(p), line, p->terminal ? "" : "\n");
  fflush(stderr);
}

/* -------------------------------------------------------------------------------------------------------- summary */

static void print_finding(const json_t *finding) {
  const long long count = json_integer_value(json_object_get(finding, "count"));
  char after[64];
  cbn_duration_print(json_number_value(json_object_get(finding, "first_seen_seconds")), after, sizeof after);
  printf("\n%s\n", cbn_finding_text(finding, "signature"));
  if (cbn_finding_text(finding, "message")[0] != '\0') printf("  %s\n", cbn_finding_text(finding, "message"));
  if (json_is_true(json_object_get(finding, "new")))
    printf("  %lld %s, the first after %s; %s\n", count, count == 1 ? "input" : "inputs", after,
           cbn_finding_text(finding, "state"));
  else
    printf("  %lld %s, the first in an earlier run; %s\n", count, count == 1 ? "input" : "inputs",
           cbn_finding_text(finding, "state"));
  printf("  folder:  %s\n  replay:  %s\n", cbn_finding_text(finding, "folder"), cbn_finding_text(finding, "replay"));
}

/* Executions of problems: those of texts are many and cheap. */
static uint64_t of_problems(const cbn_schedule *schedule) {
  uint64_t executions = 0;
  for (int i = 0; i < schedule->count; i++)
    if (schedule->task[i].target->problems) executions += schedule->task[i].executions;
  return executions;
}

static void print(const cbn_fuzz_options *options, const cbn_fuzz_totals *t, const cbn_schedule *schedule,
                  const cbn_findings_count *found, const json_t *findings) {
  char time[64];
  cbn_duration_print(t->seconds, time, sizeof time);
  size_t i;
  json_t *finding;
  json_array_foreach(findings, i, finding) if (json_is_true(json_object_get(finding, "seen"))) print_finding(finding);
  printf("%s%llu executions, %llu of them problems, in %s, %.0f/s, seed %llu%s\n", found->seen > 0 ? "\n" : "",
         (unsigned long long)t->executions, (unsigned long long)of_problems(schedule), time,
         (double)t->executions / fmax(t->seconds, 1e-3), (unsigned long long)options->seed,
         t->interrupted ? ", interrupted" : "");
  if (t->pairs_possible > 0)
    printf("pairs of features: %d of %d that can be (%s/pairs.txt)\n", t->pairs_reached, t->pairs_possible,
           options->out);
  printf("corpus: %zu inputs (%s/corpus)\n", corpus_size(options), options->out);
  if (t->wrong > 0) printf("%llu executions showed something\n", (unsigned long long)t->wrong);
  if (t->killed > 0)
    printf("%llu fuzzers' processes ended without a word, killed perhaps, and were started again\n",
           (unsigned long long)t->killed);
  printf("%d %s, %d of them new", found->seen, found->seen == 1 ? "finding" : "findings", found->fresh);
  if (found->older > 0) printf("; %d of earlier runs not seen again", found->older);
  if (found->waiting > 0)
    printf("; %d inputs that show something not looked at (%s/raw)", found->waiting, options->out);
  if (found->dropped > 0) printf("; %zu inputs like many that waited not kept", found->dropped);
  printf("\n");
}

static json_t *tasks_json(const cbn_schedule *schedule) {
  json_t *list = json_array();
  for (int i = 0; i < schedule->count; i++) {
    const cbn_task *task = &schedule->task[i];
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:I, s:i, s:b}", "target", task->target->name, "build", task->build->name,
                        "executions", (json_int_t)task->executions, "slices", task->slices, "starts", !task->off));
  }
  return list;
}

static json_t *corpus_json(const cbn_fuzz_options *options) {
  json_t *sizes = json_object();
  for (int i = 0; i < options->targets; i++) {
    const char *name = options->target[i]->name;
    const size_t count = cbn_folder_count(cbn_path_of("%s/corpus/%s", options->out, name).text);
    json_object_set_new(sizes, name, json_integer((json_int_t)count));
  }
  return sizes;
}

static json_t *summary_json(const cbn_fuzz_options *options, const cbn_fuzz_totals *t, const cbn_schedule *schedule,
                            const cbn_findings_count *found, json_t *findings, int code) {
  json_t *document = json_pack(
      "{s:i, s:s, s:s, s:I, s:i, s:f, s:b, s:I, s:f, s:I, s:I, s:I, s:I, s:i, s:I, s:i, s:o, s:o, s:O}", "format", 1,
      "program", "convbn " CBN_VERSION, "engine", options->engine != NULL ? options->engine : "fast", "seed",
      (json_int_t)options->seed, "jobs", options->jobs, "seconds", t->seconds, "interrupted", t->interrupted,
      "executions", (json_int_t)t->executions, "executions_per_second", (double)t->executions / fmax(t->seconds, 1e-3),
      "invalid", (json_int_t)t->invalid, "inconclusive", (json_int_t)t->inconclusive, "showed_something",
      (json_int_t)t->wrong, "killed", (json_int_t)t->killed, "not_looked_at", found->waiting, "not_kept",
      (json_int_t)found->dropped, "exit", code, "tasks", tasks_json(schedule), "corpus", corpus_json(options),
      "findings", findings);
  if (t->pairs_possible > 0) json_object_set_new(document, "pairs", cbn_pairs_json(t->pairs, t->kind));
  return document;
}

static bool write_json(const char *path, const json_t *document, cbn_error *error) {
  char *text = document == NULL ? NULL : json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
  CBN_CHECK(text != NULL, error, "%s: no memory to write it", path);
  const bool written = cbn_write_file(path, text, strlen(text), error);
  free(text);
  return written;
}

static bool write_pairs(const char *path, const cbn_fuzz_totals *t, cbn_error *error) {
  char *text = NULL;
  size_t size = 0;
  FILE *memory = open_memstream(&text, &size);
  const bool made = memory != NULL && cbn_pairs_report(memory, t->pairs, t->kind, true);
  if (memory != NULL) fclose(memory);
  const bool written = made && cbn_write_file(path, text, size, error);
  if (!made) cbn_error_set(error, "%s: no memory to write it", path);
  free(text);
  return written;
}

int cbn_fuzz_summary(const cbn_fuzz_options *options, const cbn_fuzz_totals *totals, const cbn_schedule *schedule,
                     const cbn_findings *findings, int code) {
  const cbn_findings_count found = cbn_findings_counted(findings);
  json_t *list = cbn_findings_json(findings);
  json_t *listed = json_pack("{s:i, s:O}", "format", 1, "findings", list);
  json_t *document = summary_json(options, totals, schedule, &found, list, code);
  cbn_error error;
  print(options, totals, schedule, &found, list);
  const bool written =
      write_json(cbn_path_of("%s/findings.json", options->out).text, listed, &error) &&
      write_json(cbn_path_of("%s/summary.json", options->out).text, document, &error) &&
      (options->json == NULL || write_json(options->json, document, &error)) &&
      (totals->pairs_possible == 0 || write_pairs(cbn_path_of("%s/pairs.txt", options->out).text, totals, &error));
  if (!written) {
    fprintf(stderr, "convbn fuzz: %s\n", error.text);
    code = cbn_exit_worse(code, CBN_EXIT_USAGE);
  }
  json_decref(document);
  json_decref(listed);
  json_decref(list);
  return code;
}
