/* `convbn dialects`, `engines`, `rules`, `verdicts`: the lists that the program is driven by. */
#include <argp.h>
#include <stdio.h>

#include "harness/commands.h"
#include "harness/engine_process.h"
#include "dialects/versions.h"

static void parse_nothing(int argc, char **argv, const char *doc) {
  const struct argp argp = {.doc = doc};
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, NULL);
}

static void print_versions(const cbn_versions *versions) {
  if (versions == NULL) return;
  printf("  measured with %s; otherwise:\n", versions->measured);
  for (size_t i = 0; i < versions->count; i++) {
    const cbn_version_difference *d = &versions->differences[i];
    const bool refuses = d->rule < CBN_RULE_COUNT;
    printf("    %s - %s  %s: %s%s%s%s: %s\n", d->from, d->to, d->operators, d->subject, refuses ? " (" : "",
           refuses ? cbn_rule_name((int)d->rule) : "", refuses ? ")" : "", d->behaviour);
  }
}

int cbn_command_dialects(int argc, char **argv) {
  parse_nothing(argc, argv,
                "Lists the dialects: whose behaviour each is, its operators with their parameters and defaults, and what other "
                "versions that were measured do otherwise.");
  for (const cbn_dialect *const *d = cbn_dialects(); *d != NULL; d++) {
    printf("%s  (%s; %s by default)\n", (*d)->name, (*d)->profile, (*d)->trains_by_default ? "trains" : "evaluates");
    for (size_t i = 0; i < (*d)->operator_count; i++)
      printf("  %s%s\n", (*d)->operators[i].name, (*d)->operators[i].signature);
    print_versions(cbn_versions_of(*d));
  }
  return CBN_EXIT_EXPECTED;
}

int cbn_command_engines(int argc, char **argv) {
  parse_nothing(argc, argv, "Starts each engine that comes with the program and lists what it says of itself.");
  const cbn_engine_limits limits = {.memory_bytes = (int64_t)1 << 30, .start_seconds = 20};
  int code = CBN_EXIT_EXPECTED;
  for (const char *const *name = cbn_engine_names(); *name != NULL; name++) {
    cbn_error error;
    cbn_engine_process *engine = cbn_engine_start(*name, &limits, &error);
    if (engine == NULL) {
      printf("%-10s cannot start: %s\n", *name, error.text);
      code = CBN_EXIT_ENGINE;
      continue;
    }
    const cbn_engine_identity *identity = cbn_engine_identify(engine);
    printf("%-10s %s %s: %s\n", *name, identity->name, identity->version, identity->description);
    cbn_engine_stop(engine);
  }
  return code;
}

int cbn_command_rules(int argc, char **argv) {
  parse_nothing(argc, argv, "Lists the rules by which problems are refused; cases name them.");
  for (int i = 0; i < cbn_rule_count(); i++) printf("%-32s %s\n", cbn_rule_name(i), cbn_rule_text(i));
  return CBN_EXIT_EXPECTED;
}

int cbn_command_verdicts(int argc, char **argv) {
  parse_nothing(argc, argv, "Lists the verdicts and the exit codes.");
  for (int v = 0; v < CBN_VERDICT_COUNT; v++)
    printf("%-18s %s\n", cbn_verdict_name((enum cbn_verdict)v), cbn_verdict_sentence((enum cbn_verdict)v));
  puts(
      "\nExit status: 0 as expected; 1 a discrepancy; 2 usage or a bad case; 3 the engine cannot start; 4 nothing "
      "selected;\n"
      "5 only inconclusive. Where several apply: 2, 3, 1, 5, 4, 0, the first of them.");
  return CBN_EXIT_EXPECTED;
}
