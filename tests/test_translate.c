/* Every valid case of every dialect, translated into every other dialect at its own input; what must hold of each answer, and some
 * answers that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dialects/layout.h"
#include "harness/solution.h"
#include "harness/yaml.h"
#include "migration/framework.h"
#include "migration/translate.h"

enum { ARENA_BYTES = 1 << 24, MOST_DIALECTS = 16 };

static void print_problem(void *context, const char *line) {
  (void)context;
  print_error("%s\n", line);
}

/* --------------------------------------------------------------------------------------------- cases as layers */

/* The layer of a case and its first call; false where the case is no valid one of a layer. */
static bool layer_of(const cbn_case *golden, cbn_layer *layer, cbn_situation *at, int *modes) {
  const cbn_step *step = &golden->steps[0];
  *layer = (cbn_layer){.dialect = golden->dialect, .operator = golden->operator, .params = step->params };
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (golden->tensor[role] != NULL && golden->tensor[role]->has_shape) layer->tensor[role] = golden->tensor[role]->shape;
  if (step->expect.rejected || step->input == NULL || !step->input->has_shape || cbn_case_is_large(golden)) return false;
  if (!cbn_layer_situation(layer, &step->input->shape, at)) return false;
  at->input_type = at->layer_type = step->input->type;
  for (int role = CBN_ROLE_RUNNING_VAR; role >= CBN_ROLE_WEIGHT; role--)
    if (golden->tensor[role] != NULL) at->layer_type = golden->tensor[role]->type;
  cbn_plan plan;
  cbn_rejection rejection;
  const bool trains = step->mode == CBN_MODE_DEFAULT ? golden->dialect->trains_by_default : step->mode == CBN_MODE_TRAIN;
  at->training = trains;
  *modes = CBN_BOTH_MODES;
  if (!cbn_layer_plan(layer, at, &plan, &rejection)) return false;
  return (plan.kind == CBN_OPERATOR_CONV ? plan.conv.direction : plan.batchnorm.direction) == CBN_FORWARD;
}

/* ------------------------------------------------------------------------------------------------------ invariants */

static int failures;

static void complain(const cbn_case *golden, const char *to, const char *what) {
  if (failures++ < 40) print_error("%s -> %s: %s\n", golden->id, to, what);
}

static void check_none(const cbn_case *golden, const char *to, const cbn_translation *t) {
  const cbn_comparison *c = &t->comparison;
  if (!c->parts) complain(golden, to, "none, and no reason");
  else if (c->rejected && c->rejection.message[0] == '\0') complain(golden, to, "none by a rejection without a message");
  else if (!c->rejected && !t->has_witness && !t->other_tensors) complain(golden, to, c->why);
}

static bool has_elements(const cbn_layer *layer, const cbn_situation *at) {
  int64_t extent[CBN_MAX_RANK];
  cbn_plan plan;
  cbn_rejection rejection;
  return cbn_whole_plan(layer, at, &plan, &rejection) &&
         cbn_extent_product(cbn_plan_extents(&plan, CBN_ROLE_OUTPUT, extent), extent) > 0;
}

/* The answer's plan at hand is the source's: what is translated back and there again loses nothing. */
static void check_back(const cbn_case *golden, const cbn_translation *t, int modes, cbn_arena *arena) {
  cbn_translation back;
  cbn_error error;
  char what[1200];
  if (t->inserts || !has_elements(&t->source, &t->at)) return; /* what stands around is no part of the layer */
  if (t->comparison.constants.needed[CBN_ROLE_RUNNING_MEAN]) return; /* it keeps statistics that the source does not have */
  cbn_situation at = t->at;
  if (!cbn_translate(&t->target, &at, modes & t->comparison.modes, golden->dialect, golden->operator, arena, &back, &error)) {
    snprintf(what, sizeof what, "back: %s", error.text);
    complain(golden, t->target.dialect->name, what);
    return;
  }
  if (back.kind == CBN_TRANSLATION_NONE) {
    snprintf(what, sizeof what, "no way back: %s %s", back.comparison.why,
             back.comparison.rejected ? back.comparison.rejection.message : "");
    complain(golden, t->target.dialect->name, what);
    return;
  }
  at = back.at;
  for (int mode = CBN_EVALUATION; mode <= CBN_TRAINING; mode++) {
    cbn_plan source, returned;
    cbn_rejection rejection;
    at.training = mode == CBN_TRAINING;
    if (!(mode & t->comparison.modes & back.comparison.modes)) continue;
    if (!cbn_layer_plan(&t->source, &at, &source, &rejection)) continue;
    if (!cbn_surrounded_plan(&back.target, &back.around, &at, &returned, &rejection))
      complain(golden, t->target.dialect->name, "what came back is refused");
    else if (source.kind == CBN_OPERATOR_BATCHNORM && !source.batchnorm.update_running) returned.batchnorm.update_running = 0;
    if (!cbn_plans_agree(&source, &returned, at.layer_type, NULL, what, sizeof what) && !t->comparison.constants.rounded)
      complain(golden, t->target.dialect->name, what);
  }
}

static void check_translation(const cbn_case *golden, const cbn_dialect *to, const cbn_translation *t, int modes,
                              cbn_arena *arena) {
  const bool verified = t->verified && (t->verification.unequal == 0 || t->comparison.constants.rounded);
  if (t->kind == CBN_TRANSLATION_NONE) check_none(golden, to->name, t);
  else if (!verified) complain(golden, to->name, "not verified");
  else check_back(golden, t, modes, arena);
  if (to == golden->dialect && t->kind != CBN_TRANSLATION_EXACT) complain(golden, to->name, "not exact into itself");
}

/* ----------------------------------------------------------------------------------------------------------- counts */

typedef struct counts {
  int of_kind[CBN_TRANSLATION_KINDS], inserted;
} counts;

static void print_counts(counts table[MOST_DIALECTS][MOST_DIALECTS]) {
  const cbn_dialect *const *dialects = cbn_dialects();
  for (int from = 0; dialects[from] != NULL; from++)
    for (int to = 0; dialects[to] != NULL; to++) {
      const counts *c = &table[from][to];
      print_message("%-11s -> %-11s", dialects[from]->name, dialects[to]->name);
      for (int kind = 0; kind < CBN_TRANSLATION_KINDS; kind++)
        print_message(" %s %d", cbn_translation_name((enum cbn_translation_kind)kind), c->of_kind[kind]);
      print_message(" (with insertions %d)\n", c->inserted);
    }
}

static void every_case_into_every_dialect(void **state) {
  (void)state;
  static counts table[MOST_DIALECTS][MOST_DIALECTS];
  const cbn_dialect *const *dialects = cbn_dialects();
  const char *only = getenv("CBN_ONLY"), *only_to = getenv("CBN_TO");
  cbn_case_set *set = cbn_cases_create();
  assert_non_null(set);
  assert_int_equal(cbn_cases_load(set, "cases", print_problem, NULL), 0);
  int asked = 0;
  for (size_t i = 0; i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    cbn_layer layer;
    cbn_situation at;
    int modes, from = 0;
    if (only != NULL && strstr(golden->id, only) == NULL) continue;
    if (cbn_framework_of(golden->dialect) == NULL || !layer_of(golden, &layer, &at, &modes)) continue;
    while (dialects[from] != golden->dialect) from++;
    for (int to = 0; dialects[to] != NULL; to++) {
      cbn_translation t;
      cbn_error error;
      cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
      if (cbn_framework_of(dialects[to]) == NULL) continue;
      if (only_to != NULL && strcmp(only_to, dialects[to]->name) != 0) continue;
      asked++;
      if (!cbn_translate(&layer, &at, modes, dialects[to], NULL, arena, &t, &error)) {
        complain(golden, dialects[to]->name, error.text);
      } else {
        table[from][to].of_kind[t.kind]++;
        table[from][to].inserted += t.kind != CBN_TRANSLATION_NONE && t.inserts;
        check_translation(golden, dialects[to], &t, modes, arena);
        if (getenv("CBN_SHOW") != NULL) {
          char predicates[256], params[512];
          cbn_predicates_print(&t.comparison, t.at.axes, predicates, sizeof predicates);
          if (t.target.params != NULL) cbn_value_print(t.target.params, params, sizeof params); else params[0] = 0;
          print_message("%s -> %s %s: %s%s %s | %s %s\n", golden->id, dialects[to]->name, t.target.operator != NULL ? t.target.operator->name : "-",
            cbn_translation_name(t.kind), t.inserts ? "+" : "", predicates, params, t.kind == CBN_TRANSLATION_EXACT ? "" : t.comparison.rejected ? t.comparison.rejection.message : t.comparison.why);
        }
      }
      cbn_arena_destroy(arena);
    }
  }
  print_counts(table);
  print_message("%d translations, %.1f s of processor time\n", asked, (double)clock() / CLOCKS_PER_SEC);
  assert_true(asked > 0);
  cbn_cases_destroy(set);
  assert_int_equal(failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_into_every_dialect)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
