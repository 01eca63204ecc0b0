#include "harness/lint.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/solution.h"
#include "harness/yaml.h"

enum { ARENA_BYTES = 16 << 20, PRINTED_BYTES = 1 << 16, SHORTEST_COMMENT = 10 };

typedef struct lint {
  const cbn_case_set *set, *collection;
  int64_t memory_bytes;
  cbn_problem_sink *sink;
  void *context;
  size_t problems;
} lint;

static void report(lint *l, const char *file, const cbn_value *at, const char *rule, const char *format,
                   const char *name) {
  cbn_error error;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  cbn_yaml_refuse(&error, file, at, rule, format, name);
#pragma GCC diagnostic pop
  l->problems++;
  l->sink(l->context, error.text);
}

static cbn_value place_of(const cbn_case *golden) { return (cbn_value){.line = golden->line, .column = 1}; }

static void report_case(lint *l, const cbn_case *golden, const char *rule, const char *format, const char *name) {
  const cbn_value place = place_of(golden);
  report(l, golden->file, &place, rule, format, name);
}

/* ------------------------------------------------------------------------------------------------------- flags */

static bool uses_flag(const cbn_case_set *set, const char *flag) {
  for (size_t i = 0; i < cbn_cases_count(set); i++)
    for (size_t k = 0; k < cbn_cases_at(set, i)->flag_count; k++)
      if (strcmp(cbn_cases_at(set, i)->flags[k], flag) == 0) return true;
  return false;
}

static bool is_text(const cbn_value *value) {
  return value != NULL && value->kind == CBN_STRING && value->as.string.length > 0;
}

/* Each flag says what goes wrong and to what effect; with a whole folder at hand each is used. */
static void check_flags_file(lint *l, const char *path, const cbn_value *flags, bool whole) {
  for (size_t i = 0; flags->kind == CBN_MAP && i < flags->as.map.count; i++) {
    const cbn_value *flag = flags->as.map.items[i], *key = flags->as.map.keys[i];
    const char *name = key->as.string.text;
    if (flag->kind != CBN_MAP || !is_text(cbn_value_get(flag, "summary")) || !is_text(cbn_value_get(flag, "effect")))
      report(l, path, key, "flag", "the flag %.80s must have a 'summary' and an 'effect'", name);
    if (whole && !uses_flag(l->set, name)) report(l, path, key, "flag", "no case has the flag %.80s", name);
  }
}

/* Is `root` the folder that holds that flags file? */
static bool is_collection(const char *root, const char *flags) {
  char folder[PATH_MAX];
  return realpath(root, folder) != NULL && strncmp(folder, flags, strlen(folder)) == 0 &&
         strcmp(flags + strlen(folder), "/flags.yaml") == 0;
}

static void check_flags(lint *l, const char *root, bool complete) {
  char path[PATH_MAX];
  cbn_error error;
  const cbn_value *flags = NULL;
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  const bool found = cbn_cases_flags_file(root, path);
  if (arena != NULL && found && !cbn_yaml_load(path, &cbn_yaml_default_limits, arena, &flags, &error)) {
    l->problems++;
    l->sink(l->context, error.text);
  }
  if (flags != NULL) check_flags_file(l, path, flags, complete && is_collection(root, path));
  for (size_t i = 0; i < cbn_cases_count(l->set); i++)
    for (size_t k = 0; k < cbn_cases_at(l->set, i)->flag_count; k++)
      if (cbn_value_get(flags, cbn_cases_at(l->set, i)->flags[k]) == NULL)
        report_case(
            l, cbn_cases_at(l->set, i), "flag",
            found ? "flags.yaml does not explain the flag %.80s" : "there is no flags.yaml to explain the flag %.80s",
            cbn_cases_at(l->set, i)->flags[k]);
  cbn_arena_destroy(arena);
}

/* ------------------------------------------------------------------------------------------------------- cases */

static void check_ids(lint *l, const cbn_case *golden, const char *const *ids, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (cbn_cases_find(l->collection, ids[i]) == NULL)
      report_case(l, golden, "relation", "there is no case %.200s here", ids[i]);
}

/* Stated values that any answer would bear out: the reference can say nothing of an element. */
static void check_assertions(lint *l, const cbn_case *golden, const cbn_expectation *expect,
                             const cbn_solved_step *solved) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_tensor_source *stated = expect->tensor[role];
    const cbn_expected *known = &solved->expected[role];
    int64_t idle = 0;
    char text[200];
    if (stated == NULL || stated->content == CBN_CONTENT_NONE) continue;
    for (int64_t i = 0; i < known->count; i++) idle += (known->flags[i] & CBN_INCONCLUSIVE) != 0;
    if (idle == 0) continue;
    snprintf(text, sizeof text, "%" PRId64 " of %" PRId64 " elements stated for %s", idle, known->count,
             cbn_role_name(role));
    report(l, golden->file, stated->node, "expectation", "%.190s assert nothing: the reference can say nothing of them",
           text);
  }
}

/* The reference's own view of the case; a large one is only planned. */
static void check_solution(lint *l, const cbn_case *golden) {
  const cbn_solve_options options = {.arithmetic = cbn_stated_arithmetic(golden), .memory_bytes = l->memory_bytes};
  cbn_solution solution = {0};
  cbn_error error;
  if (cbn_case_is_large(golden)) return;
  if (!cbn_solve(golden, &options, &solution, &error)) {
    l->problems++;
    l->sink(l->context, error.text);
  } else {
    for (size_t i = 0; i < solution.count; i++)
      if (golden->steps[i].expect.acceptable == 0 &&
          !cbn_expectation_holds(golden, &golden->steps[i].expect, &solution, i, golden->by_hand, true, &error))
        report_case(l, golden, "expectation", "%.800s", error.text);
      else if (!solution.steps[i].rejected) check_assertions(l, golden, &golden->steps[i].expect, &solution.steps[i]);
  }
  cbn_solution_release(&solution);
}

/* A comment stands alone: reports sort the cases, and show one without its neighbours. */
static void check_comment(lint *l, const cbn_case *golden) {
  const char *comment = golden->comment;
  if (comment == NULL) report_case(l, golden, "comment", "%.200s does not say what it stands for", golden->id);
  else if (strncmp(comment, "...", 3) == 0)
    report_case(l, golden, "comment", "the comment of %.200s goes on from another one", golden->id);
  else if (strlen(comment) < SHORTEST_COMMENT)
    report_case(l, golden, "comment", "the comment of %.200s is too short to stand alone", golden->id);
}

static void check_case(lint *l, const cbn_case *golden) {
  check_comment(l, golden);
  for (size_t i = 0; i < golden->step_count; i++) {
    check_ids(l, golden, golden->steps[i].expect.same_as, golden->steps[i].expect.same_count);
    check_ids(l, golden, golden->steps[i].expect.differs_from, golden->steps[i].expect.differs_count);
  }
  for (size_t i = 0; i < golden->claim_count; i++) {
    check_ids(l, golden, golden->claims[i].expect.same_as, golden->claims[i].expect.same_count);
    check_ids(l, golden, golden->claims[i].expect.differs_from, golden->claims[i].expect.differs_count);
  }
  check_solution(l, golden);
}

/* --------------------------------------------------------------------------------------------------- the same */

static size_t print_source(const cbn_tensor_source *source, char *text, size_t size) {
  return source == NULL || source->node == NULL ? 0 : cbn_value_print(source->node, text, size);
}

/* All that decides a case's result, printed. */
static char *print_question(const cbn_case *g) {
  char *text = malloc(PRINTED_BYTES);
  size_t length = 0;
  if (text == NULL) return NULL;
  length += (size_t)snprintf(text, PRINTED_BYTES, "%s %s %d %d ", g->dialect->name, g->operator->name, (int)g->layout,
                             (int)g->in_place);
  if (g->params != NULL) length += cbn_value_print(g->params, text + length, PRINTED_BYTES - length);
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (g->tensor[role] != NULL && length + 64 < PRINTED_BYTES) {
      length += (size_t)snprintf(text + length, PRINTED_BYTES - length, " %d ", role);
      length += cbn_value_print(g->tensor[role]->node, text + length, PRINTED_BYTES - length);
    }
  for (size_t i = 0; i < g->step_count && length + 64 < PRINTED_BYTES; i++) {
    const cbn_step *step = &g->steps[i];
    length +=
        (size_t)snprintf(text + length, PRINTED_BYTES - length, " step %d %d ", (int)step->mode, (int)step->reset);
    if (step->params != NULL) length += cbn_value_print(step->params, text + length, PRINTED_BYTES - length);
    length += print_source(step->input, text + length, PRINTED_BYTES - length);
    length += print_source(step->grad_output, text + length, PRINTED_BYTES - length);
    for (int role = 0; role < CBN_ROLE_COUNT && length + 64 < PRINTED_BYTES; role++)
      length += print_source(step->load[role], text + length, PRINTED_BYTES - length);
  }
  return text;
}

typedef struct question {
  char *text;
  const cbn_case *golden;
} question;

static int by_text(const void *a, const void *b) {
  return strcmp(((const question *)a)->text, ((const question *)b)->text);
}

static void check_twins(lint *l) {
  const size_t count = cbn_cases_count(l->set);
  question *questions = calloc(count + 1, sizeof *questions);
  size_t made = 0;
  for (size_t i = 0; questions != NULL && i < count; i++) {
    questions[made] = (question){print_question(cbn_cases_at(l->set, i)), cbn_cases_at(l->set, i)};
    if (questions[made].text != NULL) made++;
  }
  if (made > 0) qsort(questions, made, sizeof *questions, by_text);
  for (size_t i = 1; i < made; i++)
    if (strcmp(questions[i].text, questions[i - 1].text) == 0 && strstr(questions[i].text, "...") == NULL)
      report_case(l, questions[i].golden, "twin", "the case asks the same as %.200s", questions[i - 1].golden->id);
  for (size_t i = 0; i < made; i++) free(questions[i].text);
  free(questions);
}

size_t cbn_lint(const cbn_case_set *set, const cbn_case_set *collection, const char *root, bool complete,
                int64_t memory_bytes, cbn_problem_sink *sink, void *context) {
  lint l = {.set = set, .collection = collection, .memory_bytes = memory_bytes, .sink = sink, .context = context};
  check_flags(&l, root, complete);
  for (size_t i = 0; i < cbn_cases_count(set); i++) check_case(&l, cbn_cases_at(set, i));
  check_twins(&l);
  return l.problems;
}
