/* Every valid case of every dialect, translated into every other dialect at its own input; what must hold of each
 * answer, and some answers that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dialects/layout.h"
#include "harness/solution.h"
#include "migration/call_text.h"
#include "migration/framework.h"
#include "migration/translate.h"

enum { ARENA_BYTES = 1 << 24, MOST_DIALECTS = 16 };

static void print_problem(void *context, const char *line) {
  (void)context;
  print_error("%s\n", line);
}

/* --------------------------------------------------------------------------------------------- cases as layers */

/* The layer of a case and its first call; false where the case is no valid one of a layer. */
static bool layer_of(const cbn_case *golden, cbn_layer *layer, cbn_situation *at) {
  const cbn_step *step = &golden->steps[0];
  *layer = (cbn_layer){.dialect = golden->dialect, .operator = golden->operator, .params = step->params};
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (golden->tensor[role] != NULL && golden->tensor[role]->has_shape)
      layer->tensor[role] = golden->tensor[role]->shape;
  if (step->expect.rejected || step->input == NULL || !step->input->has_shape || cbn_case_is_large(golden))
    return false;
  if (!cbn_layer_situation(layer, &step->input->shape, at)) return false;
  at->input_type = at->layer_type = step->input->type;
  for (int role = CBN_ROLE_RUNNING_VAR; role >= CBN_ROLE_WEIGHT; role--)
    if (golden->tensor[role] != NULL) at->layer_type = golden->tensor[role]->type;
  cbn_plan plan;
  cbn_rejection rejection;
  at->training = cbn_step_trains(golden, step);
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
  else if (c->rejected && c->rejection.message[0] == '\0')
    complain(golden, to, "none by a rejection without a message");
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
static void check_back(const cbn_case *golden, const cbn_translation *t, cbn_arena *arena) {
  cbn_translation back;
  cbn_error error;
  char what[1200];
  if (t->inserts || !has_elements(&t->source, &t->at)) return;       /* what stands around is no part of the layer */
  if (t->comparison.constants.needed[CBN_ROLE_RUNNING_MEAN]) return; /* the source has no statistics, the target has */
  cbn_situation at = t->at;
  if (!cbn_translate(&t->target, &at, t->comparison.modes, golden->dialect, golden->operator, arena, &back, &error)) {
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
    else if (source.kind == CBN_OPERATOR_BATCHNORM && !source.batchnorm.update_running)
      returned.batchnorm.update_running = 0;
    if (!cbn_plans_agree(&source, &returned, at.layer_type, NULL, what, sizeof what) &&
        !t->comparison.constants.rounded)
      complain(golden, t->target.dialect->name, what);
  }
}

static void check_translation(const cbn_case *golden, const cbn_dialect *to, const cbn_translation *t,
                              cbn_arena *arena) {
  const bool verified = t->verified && (t->verification.unequal == 0 || t->comparison.constants.rounded);
  if (t->kind == CBN_TRANSLATION_NONE) check_none(golden, to->name, t);
  else if (!verified) complain(golden, to->name, "not verified");
  else check_back(golden, t, arena);
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
  cbn_case_set *set = cbn_cases_create();
  int asked = 0;
  assert_non_null(set);
  assert_int_equal(cbn_cases_load(set, "cases", print_problem, NULL), 0);
  failures = 0;
  for (size_t i = 0; i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    cbn_layer layer;
    cbn_situation at;
    int from = 0;
    if (cbn_framework_of(golden->dialect) == NULL || !layer_of(golden, &layer, &at)) continue;
    while (dialects[from] != golden->dialect) from++;
    for (int to = 0; dialects[to] != NULL; to++) {
      cbn_translation t;
      cbn_error error;
      cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
      assert_non_null(arena);
      if (cbn_framework_of(dialects[to]) != NULL) {
        asked++;
        if (cbn_translate(&layer, &at, CBN_BOTH_MODES, dialects[to], NULL, arena, &t, &error)) {
          table[from][to].of_kind[t.kind]++;
          table[from][to].inserted += t.kind != CBN_TRANSLATION_NONE && t.inserts;
          check_translation(golden, dialects[to], &t, arena);
        } else {
          complain(golden, dialects[to]->name, error.text);
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

/* --------------------------------------------------------------------------------------------------- known answers */

/* A layer and a target; the answer's kind and condition, and a word of what stands around or of the reason (NULL:
 * nothing). */
typedef struct row {
  const char *source, *target, *kind, *condition, *reason;
  int64_t pad_begin, pad_end, crop_begin, crop_end; /* of the last axis */
  int modes;
} row;

static const row rows[] = {
    /* an even kernel: the odd zero goes behind in both */
    {"torch.nn.Conv2d(3, 4, 2, padding='same')", "mindspore", "exact", "", NULL, 0, 0, 0, 0, CBN_BOTH_MODES},
    /* SAME pads (0, 1) where the stride of 2 divides the extent, else (1, 1) as written here */
    {"torch.nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)", "tf", "exact", "", NULL, 0, 0, 0, 0, CBN_BOTH_MODES},
    {"mindspore.nn.Conv1d(3, 4, 3, stride=2)", "torch", "exact-if", "W mod 2 = 1", "padding", 0, 0, 0, 0,
     CBN_BOTH_MODES},
    /* SAME pads (1, 1) or (1, 2): where 2 divides the extent, the last zero of (1, 2) is read by no window */
    {"mindspore.nn.Conv1d(3, 4, 4, stride=2)", "torch", "exact", "", NULL, 1, 2, 0, 0, CBN_BOTH_MODES},
    {"torch.nn.Conv1d(3, 4, 5, padding=2, padding_mode='reflect')", "mindspore.nn.Conv1d", "exact", "", NULL, 2, 2, 0,
     0, CBN_BOTH_MODES},
    /* nothing but a cropping makes a transposed SAME of an odd total */
    {"mindspore.nn.Conv1dTranspose(3, 4, 4, stride=3)", "torch", "exact", "", NULL, 0, 0, 0, 1, CBN_BOTH_MODES},
    {"torch.nn.Conv3d(4, 6, 3, groups=2)", "tf", "none", "", "input-channels-mismatch", 0, 0, 0, 0, CBN_BOTH_MODES},
    {"torch.nn.BatchNorm2d(4)", "mindspore", "exact", "", NULL, 0, 0, 0, 0, CBN_BOTH_MODES},
    {"torch.nn.BatchNorm2d(4)", "keras", "evaluation-only", "", "biased", 0, 0, 0, 0, CBN_BOTH_MODES},
    {"torch.nn.BatchNorm2d(4)", "keras", "none", "", "biased", 0, 0, 0, 0, CBN_TRAINING},
    {"torch.nn.BatchNorm2d(4)", "tf.compat.v1.nn.fused_batch_norm", "exact", "", NULL, 0, 0, 0, 0, CBN_TRAINING},
    {"mindspore.nn.BatchNorm2d(4)", "torch", "exact-if", "N*H*W >= 2", "one-value-per-channel", 0, 0, 0, 0,
     CBN_BOTH_MODES},
    {"torch.nn.BatchNorm2d(4, momentum=None)", "mindspore.nn.BatchNorm2d", "evaluation-only", "", "weight of the batch",
     0, 0, 0, 0, CBN_BOTH_MODES},
};

static bool read_target(const char *name, const cbn_dialect **to, const cbn_dialect_operator **operator) {
  const cbn_framework *framework = cbn_framework_by_module(name);
  *operator = NULL;
  if (framework == NULL) *to = cbn_dialect_by_name(name);
  else *to = framework->dialect;
  for (size_t i = 0; framework != NULL && i < (*to)->operator_count; i++) {
    char full[128];
    cbn_framework_full_name(framework, &(*to)->operators[i], full, sizeof full);
    if (strcmp(full, name) == 0) *operator = &(*to)->operators[i];
  }
  return *to != NULL;
}

static void answers_are_those_known(void **state) {
  (void)state;
  int wrong = 0;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const row *r = &rows[i];
    cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
    cbn_layer layer;
    cbn_situation at;
    cbn_rejection rejection;
    cbn_error error = {""};
    const cbn_dialect *to;
    const cbn_dialect_operator *operator;
    cbn_translation t;
    char condition[256];
    assert_true(cbn_call_read(r->source, NULL, arena, &layer, &error));
    assert_true(cbn_layer_find_situation(&layer, &at, &rejection));
    assert_true(read_target(r->target, &to, &operator));
    assert_true(cbn_translate(&layer, &at, r->modes, to, operator, arena, &t, &error));
    const int last = at.axes - 1;
    const cbn_comparison *c = &t.comparison;
    const char *reason = !c->parts ? "" : c->rejected ? cbn_rule_name((int)c->rejection.rule) : c->why;
    cbn_predicates_print(c, at.axes, condition, sizeof condition);
    const bool right = strcmp(cbn_translation_name(t.kind), r->kind) == 0 &&
                       (t.kind == CBN_TRANSLATION_NONE || strcmp(condition, r->condition) == 0) &&
                       (r->reason == NULL || strstr(reason, r->reason) != NULL) &&
                       (t.kind == CBN_TRANSLATION_NONE ||
                        (t.around.pad_begin[last] == r->pad_begin && t.around.pad_end[last] == r->pad_end &&
                         t.around.crop_begin[last] == r->crop_begin && t.around.crop_end[last] == r->crop_end));
    if (!right)
      print_error("%s -> %s: %s if %s, %s, around %d %d %d %d\n", r->source, r->target, cbn_translation_name(t.kind),
                  condition, reason, (int)t.around.pad_begin[last], (int)t.around.pad_end[last],
                  (int)t.around.crop_begin[last], (int)t.around.crop_end[last]);
    wrong += !right;
    cbn_arena_destroy(arena);
  }
  assert_int_equal(wrong, 0);
}

/* A running variance of 1, two values a channel, 0 and 2 in difference to their mean: biased 1, unbiased 2. The
 * witness says as much. */
static void a_witness_differs_by_what_it_says(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  cbn_layer layer;
  cbn_situation at;
  cbn_rejection rejection;
  cbn_error error;
  cbn_translation t;
  assert_true(cbn_call_read("torch.nn.BatchNorm2d(4)", NULL, arena, &layer, &error));
  assert_true(cbn_layer_find_situation(&layer, &at, &rejection));
  assert_true(cbn_translate(&layer, &at, CBN_TRAINING, cbn_dialect_by_name("keras"), NULL, arena, &t, &error));
  assert_int_equal(t.kind, CBN_TRANSLATION_NONE);
  assert_true(t.has_witness);
  assert_int_equal(t.witness.role, CBN_ROLE_RUNNING_VAR);
  assert_int_equal(t.comparison.where.batch * t.comparison.where.extent[0] * t.comparison.where.extent[1], 2);
  /* 0.9 old + 0.1 v unbiased, v two times the biased one: the old is an integer from 1 to 4 */
  bool found = false;
  for (int old = 1; old <= 4; old++)
    found = found || fabs((t.witness.source_value - 0.9 * old) - 2 * (t.witness.target_value - 0.9 * old)) < 1e-6;
  assert_true(found);
  assert_true(fabs(t.witness.source_value - t.witness.target_value) > 0.01);
  cbn_arena_destroy(arena);
}

static void a_gradient_is_no_layer(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  cbn_layer layer;
  cbn_error error;
  cbn_translation t;
  const cbn_situation at = {.batch = 1, .channels = 1, .axes = 1, .extent = {4}};
  assert_true(cbn_call_read("convbn.conv(1, 2, direction='grad_input')", NULL, arena, &layer, &error));
  assert_false(cbn_translate(&layer, &at, CBN_BOTH_MODES, cbn_dialect_by_name("pytorch"), NULL, arena, &t, &error));
  assert_non_null(strstr(error.text, "gradient"));
  cbn_arena_destroy(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_are_those_known),
      cmocka_unit_test(a_witness_differs_by_what_it_says),
      cmocka_unit_test(a_gradient_is_no_layer),
      cmocka_unit_test(every_case_into_every_dialect),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
