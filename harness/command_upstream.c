/* `convbn upstream`: the engines known to answer wrongly, by the cases that show it. */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/verdict.h"
#include "harness/cases.h"
#include "harness/commands.h"

/* One engine's wrong answer to one case. */
typedef struct entry {
  const cbn_case *golden;
  const cbn_upstream *upstream;
} entry;

typedef struct arguments {
  const char *engine;
  bool json;
  char **paths;
  int count;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case 'e': a->engine = text; break;
  case 'f':
    a->json = strcmp(text, "json") == 0;
    if (!a->json && strcmp(text, "text") != 0) argp_error(state, "--format is text or json, got %s", text);
    break;
  case ARGP_KEY_ARGS:
    a->paths = state->argv + state->next;
    a->count = state->argc - state->next;
    break;
  case ARGP_KEY_NO_ARGS: argp_error(state, "name a case file or a folder, for instance cases/"); break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp_option options[] = {
    {"engine", 'e', "TEXT", 0, "Only engines that have TEXT in their names, in upper or lower case", 0},
    {"format", 'f', "FORMAT", 0, "text (the default) or json", 0},
    {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PATH...",
    .doc =
        "Lists what engines are known to answer wrongly: for each engine and version the cases that show it, and what "
        "it does. "
        "`convbn run` holds each recorded answer against the reference's bounds: one that is not wrong fails the case."
        "\vExit status: 0, also where none is listed; 2 a case file is wrong."};

static void print_problem(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "%s\n", line);
}

static bool fits(const arguments *a, const cbn_upstream *upstream) {
  return a->engine == NULL || strcasestr(upstream->engine, a->engine) != NULL;
}

/* All entries, of all cases in their order; freed by the caller. NULL without memory. */
static entry *collect(const arguments *a, const cbn_case_set *set, size_t *count) {
  size_t room = 1;
  for (size_t i = 0; i < cbn_cases_count(set); i++) room += cbn_cases_at(set, i)->upstream_count;
  entry *entries = calloc(room, sizeof *entries);
  *count = 0;
  for (size_t i = 0; entries != NULL && i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    for (size_t k = 0; k < golden->upstream_count; k++)
      if (fits(a, &golden->upstream[k])) entries[(*count)++] = (entry){golden, &golden->upstream[k]};
  }
  return entries;
}

static int by_engine(const void *a, const void *b) {
  const entry *x = a, *y = b;
  const int order = strcmp(x->upstream->engine, y->upstream->engine);
  return order != 0 ? order : strcmp(x->golden->id, y->golden->id);
}

static void print_text(const entry *entries, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const entry *e = &entries[i];
    if (i == 0 || strcmp(e->upstream->engine, entries[i - 1].upstream->engine) != 0)
      printf("%s%s\n", i == 0 ? "" : "\n", e->upstream->engine);
    printf("  %s  (%s:%u)\n    %s\n", e->golden->id, e->golden->file, e->golden->line, e->upstream->note);
  }
  printf("%s%zu wrong answers\n", count > 0 ? "\n" : "", count);
}

static bool print_json(const entry *entries, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    const cbn_case *golden = entries[i].golden;
    json_array_append_new(
        list,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "engine", entries[i].upstream->engine, "note",
                  entries[i].upstream->note, "case", golden->id, "operator", golden->operator->name, "comment",
                  golden->comment == NULL ? "" : golden->comment, "file", golden->file, "line", (int)golden->line));
  }
  const bool written = list != NULL && json_dumpf(list, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
  json_decref(list);
  return written;
}

int cbn_command_upstream(int argc, char **argv) {
  arguments a = {0};
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &a);
  cbn_case_set *set = cbn_cases_create();
  size_t problems = 0, count = 0;
  for (int i = 0; set != NULL && i < a.count; i++) problems += cbn_cases_load(set, a.paths[i], print_problem, NULL);
  entry *entries = set == NULL ? NULL : collect(&a, set, &count);
  bool done = entries != NULL;
  if (done) {
    qsort(entries, count, sizeof *entries, by_engine);
    if (a.json) done = print_json(entries, count);
    else print_text(entries, count);
  }
  done = fflush(stdout) == 0 && done;
  if (!done) fprintf(stderr, "%s: %s\n", argv[0], strerror(errno != 0 ? errno : ENOMEM));
  free(entries);
  cbn_cases_destroy(set);
  return done && problems == 0 ? CBN_EXIT_EXPECTED : CBN_EXIT_USAGE;
}
