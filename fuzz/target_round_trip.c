/* A problem to the text of a case, through the loader and the dialect, and back; and to bytes, and back. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/case_text.h"
#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "harness/case_parser.h"
#include "harness/yaml.h"

enum { ARENA_BYTES = 1 << 20 };

/* The one case of a file's text. */
static bool load(const char *text, size_t size, cbn_arena *arena, cbn_case *golden, cbn_error *error) {
  cbn_case_parser parser = {.arena = arena, .file = "text"};
  const cbn_value *root;
  return cbn_yaml_parse("text", text, size, &cbn_yaml_default_limits, arena, &root, error) &&
         cbn_parse_header(&parser, root, error) && cbn_parse_case(&parser, 0, golden, error);
}

static void check_bytes(const cbn_generated *problem) {
  uint8_t genome[CBN_GENOME_BYTES];
  const char *parameter = "nothing";
  cbn_generated back;
  CBN_DEMAND(cbn_genome_of(problem, genome, &parameter), "round_trip: no bytes give %s", parameter);
  cbn_generate(genome, sizeof genome, &back);
  CBN_DEMAND(cbn_generated_equal(problem, &back), "round_trip: the bytes of a problem give another");
}

/* A near miss must be stated as refused by the rule that it breaks. */
static void check_rule(const cbn_generated *problem, const cbn_case *golden, const char *text) {
  const cbn_expectation *expect = &golden->steps[0].expect;
  cbn_violation violation = {.rule = -1};
  if (!problem->valid && cbn_generated_is_conv(problem->kind)) cbn_conv_validate(&problem->conv, &violation);
  else if (!problem->valid) cbn_batchnorm_validate(&problem->batchnorm, &violation);
  CBN_DEMAND(expect->rejected != problem->valid && (problem->valid || expect->rule == violation.rule),
             "round_trip: the case states another outcome than validation's:\n%s", text);
}

static void check_text(const cbn_generated *problem, const char *text, size_t size) {
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  cbn_generated back;
  cbn_error error = {"no memory"};
  cbn_case golden;
  CBN_DEMAND(arena != NULL && load(text, size, arena, &golden, &error) && cbn_problem_of_case(&golden, &back, &error),
             "round_trip: %s\n%s", error.text, text);
  CBN_DEMAND(cbn_generated_equal(problem, &back), "round_trip: a case comes back as another problem:\n%s", text);
  check_rule(problem, &golden, text);
  cbn_arena_destroy(arena);
}

void cbn_fuzz_round_trip(const cbn_target *target, const uint8_t *bytes, size_t size) {
  char *text = NULL;
  size_t length = 0;
  cbn_error error;
  cbn_generated problem;
  (void)target;
  cbn_generate(bytes, size, &problem);
  check_bytes(&problem);
  if (!cbn_case_possible(&problem, &error)) {
    CBN_DEMAND(!problem.valid, "round_trip: a valid problem that no case says: %s", error.text);
    return;
  }
  FILE *file = open_memstream(&text, &length);
  CBN_DEMAND(file != NULL && cbn_case_write(file, &problem, NULL, NULL) && fclose(file) == 0,
             "round_trip: the case could not be written");
  check_text(&problem, text, length);
  free(text);
}
