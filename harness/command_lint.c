/* `convbn lint`: are the case files in order? */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/commands.h"
#include "harness/lint.h"
#include "core/verdict.h"

static error_t parse(int key, char *text, struct argp_state *state) {
  int *first = state->input;
  (void)text;
  switch (key) {
  case ARGP_KEY_ARGS: *first = state->next; return 0;
  case ARGP_KEY_NO_ARGS: argp_error(state, "name a case file or a folder, for instance cases/"); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "PATH...",
    .doc =
        "Checks case files: syntax, keys, comments, shapes, ids, flags, relations between cases, and whether the reference "
        "bears out what they state. Every file is checked, whatever is wrong with others."
        "\vExit status: 0 all is in order; 2 a problem was found."};

static void print_problem(void *context, const char *line) {
  (void)context;
  printf("%s\n", line);
}

int cbn_command_lint(int argc, char **argv) {
  int first = argc;
  size_t problems = 0, cases = 0, files = 0;
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &first);
  for (int i = first; i < argc; i++) {
    cbn_case_set *set = cbn_cases_create();
    if (set == NULL) return CBN_EXIT_USAGE;
    const size_t unread = cbn_cases_load(set, argv[i], print_problem, NULL);
    cbn_case_set *collection = cbn_cases_collection(set, argv[i]);
    problems += unread + cbn_lint(set, collection != NULL ? collection : set, argv[i], unread == 0, (int64_t)4 << 30,
                                  print_problem, NULL);
    cbn_cases_destroy(collection);
    cases += cbn_cases_count(set);
    files += cbn_cases_files(set);
    cbn_cases_destroy(set);
  }
  printf("%zu cases in %zu files: %zu problems\n", cases, files, problems);
  return problems == 0 ? CBN_EXIT_EXPECTED : CBN_EXIT_USAGE;
}
