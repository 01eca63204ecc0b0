#include "migration/translate.h"

#include <string.h>

#include "dialects/layout.h"
#include "dialects/parameters.h"
#include "migration/framework.h"

const char *cbn_translation_name(enum cbn_translation_kind kind) {
  static const char *const names[] = {[CBN_TRANSLATION_EXACT] = "exact",
                                      [CBN_TRANSLATION_EXACT_IF] = "exact-if",
                                      [CBN_TRANSLATION_EVALUATION] = "evaluation-only",
                                      [CBN_TRANSLATION_TRAINING] = "training-only",
                                      [CBN_TRANSLATION_NONE] = "none"};
  return names[kind];
}

/* A translation under way. */
typedef struct work {
  const cbn_layer *source;
  cbn_situation at;
  int modes;
  cbn_wish wish;
  const cbn_plan *wished; /* one of the wish's plans */
  const cbn_framework *framework;
  cbn_arena *arena;
  cbn_error *error;
} work;

/* One that may be it. */
typedef struct proposal {
  cbn_layer layer;
  cbn_surroundings around;
  cbn_comparison comparison;
  int rank; /* the lower, the better */
} proposal;

/* -------------------------------------------------------------------------------------------------- what is wished */

static bool make_wish(work *w) {
  cbn_situation s = w->at;
  cbn_rejection ignored;
  s.training = false;
  s.trained = 0;
  w->wish.input_type = s.input_type;
  w->wish.layer_type = s.layer_type;
  w->wish.evaluates = (w->modes & CBN_EVALUATION) && cbn_layer_plan(w->source, &s, &w->wish.evaluation, &ignored);
  s.training = true;
  w->wish.trains = (w->modes & CBN_TRAINING) != 0;
  for (int i = 0; i < CBN_WISHED_STEPS && w->wish.trains; i++) {
    s.trained = i;
    w->wish.trains = cbn_layer_plan(w->source, &s, &w->wish.training[i], &ignored);
  }
  w->wished = w->wish.evaluates ? &w->wish.evaluation : &w->wish.training[0];
  const int32_t direction =
      w->wished->kind == CBN_OPERATOR_CONV ? w->wished->conv.direction : w->wished->batchnorm.direction;
  CBN_CHECK(w->wish.evaluates || w->wish.trains, w->error, "%s accepts the input in none of the modes asked for",
            w->source->operator->name);
  CBN_CHECK(direction == CBN_FORWARD, w->error,
            "a gradient alone is no layer; translate the layer in direction 'forward'");
  return true;
}

bool cbn_whole_plan(const cbn_layer *layer, const cbn_situation *at, cbn_plan *plan, cbn_rejection *rejection) {
  cbn_situation s = *at;
  cbn_plan trains;
  s.trained = 0;
  s.training = false;
  const bool evaluates = cbn_layer_plan(layer, &s, plan, rejection);
  s.training = true;
  const bool trained = cbn_layer_plan(layer, &s, &trains, rejection);
  const bool needs = trained && trains.kind == CBN_OPERATOR_BATCHNORM && trains.batchnorm.update_running;
  if (trained && (needs || !evaluates)) *plan = trains;
  return evaluates || trained;
}

/* ------------------------------------------------------------------------------------------------------- proposals */

/* Does a dialect tell convolutions and transposed ones apart by the operator's name? */
static bool by_name(const cbn_dialect *dialect) {
  for (size_t i = 0; i < dialect->operator_count; i++)
    if (dialect->operators[i].transposed) return true;
  return false;
}

static bool is_candidate(const work *w, const cbn_dialect *dialect, const cbn_dialect_operator *operator, int32_t axes,
                         bool asked) {
  return operator->kind == w->wished->kind && operator->spatial_rank >= axes &&
         (asked || operator->kind != CBN_OPERATOR_CONV || !by_name(dialect) ||
          operator->transposed == (w->wished->conv.transposed != 0) ||
          operator->transposed == w->source->operator->transposed); /* JAX's are convolutions of a dilated input */
}

/* The shapes of tensors that are arguments, as the wish says them. */
static void give_shapes(const work *w, cbn_layer *layer) {
  cbn_plan plan = *w->wished;
  const bool norm = plan.kind == CBN_OPERATOR_BATCHNORM;
  if (!w->framework->takes_tensors(layer->operator)) return;
  plan.input_order = plan.output_order = plan.weight_order = (cbn_axis_order){0};
  plan.depthwise_weight = false;
  w->framework->orders(layer->operator, layer->params, w->at.axes, &plan);
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++) {
    int64_t extent[CBN_MAX_RANK] = {plan.batchnorm.channels};
    if (w->framework->tensor_name(layer->operator, role) == NULL) continue;
    layer->tensor[role].rank = norm ? 1 : cbn_plan_native_extents(&plan, role, extent);
    memcpy(layer->tensor[role].extent, extent, sizeof extent);
  }
}

/* What of the wished padding a convolution does not do itself. */
static bool pad_forward(const cbn_conv *wished, const cbn_conv *own, cbn_surroundings *around) {
  around->padding_mode = wished->padding_mode;
  for (int a = 0; a < wished->spatial_rank; a++) {
    const int64_t begin = wished->pad_begin[a] - own->pad_begin[a], end = wished->pad_end[a] - own->pad_end[a];
    const int64_t each = wished->input_dilation[a];
    if (begin % each != 0 || end % each != 0) return false;
    around->pad_begin[a] = begin / each;
    around->pad_end[a] = end / each;
  }
  return true;
}

/* One end of a transposed convolution's output: what is cropped behind it. Where less than nothing is to be
 * cropped, zeros put around the input make it longer, by a stride each. */
static void crop_end(int64_t excess, int64_t stride, int64_t *padding, int64_t *cropping) {
  *padding = excess < 0 ? (-excess + stride - 1) / stride : 0;
  *cropping = excess + *padding * stride;
}

static void crop_transposed(const cbn_conv *wished, const cbn_conv *own, cbn_surroundings *around) {
  for (int a = 0; a < wished->spatial_rank; a++) {
    const int64_t end = wished->pad_end[a] - wished->output_padding[a], made = own->pad_end[a] - own->output_padding[a];
    crop_end(wished->pad_begin[a] - own->pad_begin[a], own->stride[a], &around->pad_begin[a], &around->crop_begin[a]);
    crop_end(end - made, own->stride[a], &around->pad_end[a], &around->crop_end[a]);
  }
}

/* The plan of what is proposed, at the input at hand or, where that is refused, at the input with all padding
 * around it. */
static bool plan_alone(const work *w, const cbn_layer *layer, cbn_plan *plan) {
  cbn_surroundings all = {0};
  cbn_situation s = w->at;
  cbn_rejection ignored;
  s.training = !w->wish.evaluates;
  if (cbn_layer_plan(layer, &s, plan, &ignored)) return true;
  if (w->wished->kind != CBN_OPERATOR_CONV || w->wished->conv.transposed) return false;
  memcpy(all.pad_begin, w->wished->conv.pad_begin, sizeof all.pad_begin);
  memcpy(all.pad_end, w->wished->conv.pad_end, sizeof all.pad_end);
  s = cbn_surrounded_situation(&all, &s);
  return cbn_layer_plan(layer, &s, plan, &ignored);
}

/* Puts around a proposal what it lacks at the input at hand. */
static void complete(const work *w, proposal *p) {
  const cbn_conv *wished = &w->wished->conv;
  cbn_surroundings around = {0};
  cbn_plan plan;
  if (w->wished->kind != CBN_OPERATOR_CONV || !plan_alone(w, &p->layer, &plan)) return;
  p->layer.adds_bias = wished->has_bias && !plan.conv.has_bias;
  if (plan.conv.spatial_rank != wished->spatial_rank) return;
  if (wished->transposed) crop_transposed(wished, &plan.conv, &around);
  else if (!pad_forward(wished, &plan.conv, &around)) return;
  if (cbn_surroundings_pad(&around) || cbn_surroundings_crop(&around)) p->around = around;
}

static bool inserts(const proposal *p) {
  return cbn_surroundings_pad(&p->around) || cbn_surroundings_crop(&p->around) || p->layer.adds_bias;
}

/* Do they agree at the input at hand, in one of the modes at least? */
static bool agrees_at_hand(const work *w, const proposal *p) {
  cbn_situation s = w->at;
  for (int mode = 0; mode < 2; mode++) {
    cbn_plan plan;
    cbn_rejection ignored;
    s.training = mode != 0;
    if (!(mode == 0 ? w->wish.evaluates : w->wish.trains)) continue;
    if (!cbn_surrounded_plan(&p->layer, &p->around, &s, &plan, &ignored)) continue;
    const cbn_plan *wished = mode == 0 ? &w->wish.evaluation : &w->wish.training[0];
    plan.batchnorm.update_running = wished->batchnorm.update_running; /* where nobody reads them, any do */
    if (cbn_plans_agree(wished, &plan, s.layer_type, NULL, NULL, 0)) return true;
  }
  return false;
}

/* Do both have the same tensors in that situation, of one shape each? */
static bool same_tensors(const cbn_layer *a, const cbn_layer *b, const cbn_surroundings *around,
                         const cbn_situation *s) {
  cbn_plan of_a, of_b;
  cbn_rejection ignored;
  if (!cbn_layer_plan(a, s, &of_a, &ignored) || !cbn_surrounded_plan(b, around, s, &of_b, &ignored)) return false;
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++) {
    int64_t first[CBN_MAX_RANK], second[CBN_MAX_RANK];
    const int32_t rank = cbn_plan_extents(&of_a, role, first), other = cbn_plan_extents(&of_b, role, second);
    if (rank > 0 && (other != rank || memcmp(first, second, (size_t)rank * sizeof *first) != 0)) return false;
  }
  return true;
}

/* The order of answers: exact, with insertions, under as few conditions as there are, in evaluation, in training;
 * all of them again with a caution; then those that are none. */
enum {
  RANK_INSERTS = 8,
  RANK_CONDITIONAL = 16,
  RANK_EVALUATION = 32,
  RANK_TRAINING = 64,
  RANK_CAUTION = 128,
  NO_RANK = 256,
  RANK_DIFFERS = NO_RANK,
  RANK_OTHER_STATISTICS,
  RANK_OTHER_TENSORS,
  RANK_REFUSES,
  RANK_OTHER_AXES,
  WORST_RANK
};

static bool has_caution(const work *w, const cbn_layer *layer) {
  return layer->dialect != w->source->dialect && w->framework->caution != NULL &&
         w->framework->caution(layer->operator, layer->params) != NULL;
}

static int rank_of(const work *w, const proposal *p) {
  const cbn_comparison *c = &p->comparison;
  int rank = RANK_CAUTION * has_caution(w, &p->layer) + RANK_INSERTS * inserts(p) + RANK_CONDITIONAL * c->conditional +
             cbn_predicate_is_set(&c->batch);
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) rank += cbn_predicate_is_set(&c->extent[a]);
  switch (c->agreement) {
  case CBN_AGREE_ALWAYS:
  case CBN_AGREE_IF: return rank;
  case CBN_AGREE_EVALUATION: return RANK_EVALUATION + rank;
  case CBN_AGREE_TRAINING: return RANK_TRAINING + rank;
  default: return NO_RANK;
  }
}

/* Of those that are none: one that computes something else says more than one that refuses, and that more than one
 * of other axes. */
static int rank_of_failure(const work *w, const proposal *p) {
  cbn_situation s = w->at;
  cbn_plan plan;
  cbn_rejection rejection;
  s.training = !w->wish.evaluates;
  if (cbn_surrounded_plan(&p->layer, &p->around, &s, &plan, &rejection)) {
    if (!same_tensors(w->source, &p->layer, &p->around, &s)) /* that a depthwise operator has others is no news */
      return plan.depthwise_weight ? RANK_OTHER_AXES : RANK_OTHER_TENSORS;
    const bool norm = plan.kind == CBN_OPERATOR_BATCHNORM;
    return norm && plan.batchnorm.statistics != w->wished->batchnorm.statistics ? RANK_OTHER_STATISTICS : RANK_DIFFERS;
  }
  return rejection.rule == CBN_RULE_INPUT_RANK ? RANK_OTHER_AXES : RANK_REFUSES;
}

static void consider(const work *w, proposal *p, proposal *best) {
  if (agrees_at_hand(w, p)) {
    cbn_compare(w->source, &p->layer, &p->around, &w->at, w->modes, &p->comparison);
    p->rank = rank_of(w, p);
  } else {
    p->rank = rank_of_failure(w, p);
  }
  if (p->rank < best->rank) *best = *p;
}

/* All that the framework proposes of one operator: as it is, and with what it lacks around it. */
static bool try_operator(const work *w, const cbn_dialect *to, const cbn_dialect_operator *operator, proposal *best) {
  for (int attempt = 0; best->rank > 0; attempt++) {
    cbn_writer *writer = cbn_writer_create(w->arena);
    CBN_CHECK(writer != NULL, w->error, "there is not enough memory for proposals");
    if (!w->framework->write(operator, &w->wish, attempt, writer)) return true;
    proposal alone = {.layer = {.dialect = to, .operator = operator, .params = cbn_writer_finish(writer)}};
    CBN_CHECK(alone.layer.params != NULL, w->error, "there is not enough memory for proposals");
    give_shapes(w, &alone.layer);
    proposal completed = alone;
    complete(w, &completed);
    consider(w, &alone, best);
    if (inserts(&completed) && best->rank > RANK_INSERTS) consider(w, &completed, best);
  }
  return true;
}

static bool try_all(const work *w, const cbn_dialect *to, const cbn_dialect_operator *only, proposal *best) {
  for (int more_axes = 0; more_axes < 2; more_axes++) /* those of so many axes first */
    for (size_t i = 0; i < to->operator_count; i++) {
      const cbn_dialect_operator *operator = &to->operators[i];
      if ((only != NULL && operator != only) || !is_candidate(w, to, operator, w->at.axes, only != NULL)) continue;
      if ((operator->spatial_rank > w->at.axes) == (more_axes != 0)) CBN_FORWARD(try_operator(w, to, operator, best));
    }
  return true;
}

/* ---------------------------------------------------------------------------------------------------------- running */

enum { SMALL_WORK = 1 << 20, MOST_SEEDS = 8 };

static int64_t work_of(const cbn_layer *layer, const cbn_situation *s) {
  cbn_plan plan;
  cbn_rejection ignored;
  if (!cbn_whole_plan(layer, s, &plan, &ignored)) return INT64_MAX;
  return plan.kind == CBN_OPERATOR_CONV ? cbn_conv_work(&plan.conv) : cbn_batchnorm_work(&plan.batchnorm);
}

static bool holds(const cbn_comparison *c, const cbn_situation *s) {
  int64_t values = s->batch;
  bool all = cbn_predicate_holds(&c->batch, s->batch);
  for (int32_t a = 0; a < s->axes; a++) {
    all = all && cbn_predicate_holds(&c->extent[a], s->extent[a]);
    values = cbn_saturating_multiply(values, s->extent[a]);
  }
  return all && values >= c->values;
}

/* Of a large input, a smaller one that says as much: both take it, and the answer's conditions hold. */
static cbn_situation affordable(const work *w, const proposal *p) {
  cbn_situation s = w->at;
  for (int64_t extent = 2; extent <= 64 && work_of(w->source, &w->at) > SMALL_WORK; extent++) {
    cbn_plan ignored;
    cbn_rejection none;
    s.batch = w->at.batch < 2 ? w->at.batch : 2;
    for (int32_t a = 0; a < s.axes; a++) s.extent[a] = w->at.extent[a] < extent + a ? w->at.extent[a] : extent + a;
    const cbn_situation inner = cbn_surrounded_situation(&p->around, &s);
    if (holds(&p->comparison, &s) && cbn_whole_plan(w->source, &s, &ignored, &none) &&
        cbn_whole_plan(&p->layer, &inner, &ignored, &none))
      return s;
  }
  return w->at;
}

/* In training twice and then in evaluation, as far as they agree there. */
static bool verify(const work *w, const proposal *p, cbn_translation *t) {
  const int modes = p->comparison.modes;
  cbn_run_plan run = {.source = w->source,
                      .target = &p->layer,
                      .around = &p->around,
                      .constants = p->comparison.constants,
                      .at = affordable(w, p)};
  run.at.training = !(modes & CBN_EVALUATION);
  run.at.trained = modes & CBN_TRAINING && w->wished->kind == CBN_OPERATOR_BATCHNORM ? 2 : 0;
  t->verified_at = run.at;
  CBN_FORWARD(cbn_run_both(&run, &t->verification, w->error));
  const cbn_run_result *r = &t->verification;
  CBN_CHECK(!r->shapes_differ && (r->unequal == 0 || (p->comparison.constants.rounded && r->within_bounds)), w->error,
            "a bug: the plans of %s and %s agree, but their results do not; please report it",
            w->source->operator->name, p->layer.operator->name);
  t->verified = true;
  return true;
}

/* Runs both in a situation on several draws of numbers, which must meet the difference; results beyond the bounds
 * of rounding say more than others. */
static bool seek_witness(const work *w, const cbn_situation *where, cbn_translation *t) {
  cbn_run_plan run = {.source = w->source, .target = &t->target, .around = &t->around, .at = *where};
  for (int role = 0; role < CBN_ROLE_COUNT; role++) { /* whatever it needs: neutral */
    run.constants.needed[role] = true;
    run.constants.value[role] = role == CBN_ROLE_WEIGHT || role == CBN_ROLE_RUNNING_VAR;
  }
  for (run.seed = 0; run.seed < MOST_SEEDS; run.seed++) {
    cbn_run_result result;
    run.tiny = run.seed >= MOST_SEEDS / 2;
    CBN_FORWARD(cbn_run_both(&run, &result, w->error));
    const bool beyond = result.shapes_differ || !result.within_bounds;
    if (!t->has_witness || beyond) t->witness = result;
    t->has_witness = t->has_witness || beyond || result.unequal > 0;
    if (beyond) return true;
  }
  return true;
}

/* Shows that they part where the plans say so. Where windows meet nothing but zeros the plans differ and the
 * numbers do not: then at the input at hand. */
static bool show_parting(const work *w, cbn_translation *t) {
  cbn_comparison *c = &t->comparison;
  if (!c->parts || c->rejected) return true;
  t->other_tensors = !same_tensors(w->source, &t->target, &t->around, &c->where);
  if (t->other_tensors) return true;
  CBN_FORWARD(seek_witness(w, &c->where, t));
  if (t->has_witness || c->agreement != CBN_AGREE_NEVER) return true;
  cbn_situation at = w->at;
  at.training = c->where.training;
  at.trained = c->where.trained;
  c->where = at;
  return seek_witness(w, &at, t);
}

/* ------------------------------------------------------------------------------------------------------- the answer */

static enum cbn_translation_kind kind_of(enum cbn_agreement agreement) {
  switch (agreement) {
  case CBN_AGREE_ALWAYS: return CBN_TRANSLATION_EXACT;
  case CBN_AGREE_IF: return CBN_TRANSLATION_EXACT_IF;
  case CBN_AGREE_EVALUATION: return CBN_TRANSLATION_EVALUATION;
  case CBN_AGREE_TRAINING: return CBN_TRANSLATION_TRAINING;
  default: return CBN_TRANSLATION_NONE;
  }
}

/* No operator to try: the dialect's own refusal, so to say. */
static void refuse_all(const work *w, const cbn_dialect *to, const cbn_dialect_operator *only, cbn_comparison *c) {
  const bool conv = w->wished->kind == CBN_OPERATOR_CONV;
  c->agreement = CBN_AGREE_NEVER;
  c->parts = c->rejected = true;
  c->where = w->at;
  cbn_reject(&c->rejection, CBN_RULE_SPATIAL_RANK, "", "%s%s%s has no %s of %d axes", to->name,
             only != NULL ? "'s " : "", only != NULL ? only->name : "",
             conv ? w->wished->conv.transposed ? "transposed convolution" : "convolution" : "batch normalization",
             (int)w->at.axes);
}

/* The answer for the wish as it is. */
static bool answer(work *w, const cbn_dialect *to, const cbn_dialect_operator *only, cbn_translation *t) {
  proposal best = {.rank = WORST_RANK};
  CBN_FORWARD(make_wish(w));
  CBN_FORWARD(try_all(w, to, only, &best));
  *t = (cbn_translation){
      .source = *w->source, .target = best.layer, .at = w->at, .inserts = inserts(&best), .around = best.around};
  if (best.rank == WORST_RANK) refuse_all(w, to, only, &best.comparison);
  else if (best.rank >= NO_RANK) cbn_compare(w->source, &best.layer, &best.around, &w->at, w->modes, &best.comparison);
  t->comparison = best.comparison;
  t->kind = kind_of(best.comparison.agreement);
  return show_parting(w, t) && (t->kind == CBN_TRANSLATION_NONE || verify(w, &best, t));
}

static bool has_elements(const cbn_layer *layer, const cbn_situation *s) {
  int64_t extent[CBN_MAX_RANK];
  cbn_plan plan;
  cbn_rejection ignored;
  return cbn_whole_plan(layer, s, &plan, &ignored) &&
         cbn_extent_product(cbn_plan_extents(&plan, CBN_ROLE_OUTPUT, extent), extent) > 0;
}

/* An input or output without elements says nothing: a larger input is asked in its place, if the source takes it. */
static void find_elements(work *w) {
  enum { MOST_EXTENT = 64 };
  cbn_situation s = w->at;
  const bool has = has_elements(w->source, &s);
  for (int64_t extent = 2; !has && extent <= MOST_EXTENT; extent++) {
    s.batch = w->at.batch > 0 ? w->at.batch : 1;
    for (int32_t a = 0; a < s.axes; a++) s.extent[a] = w->at.extent[a] > extent ? w->at.extent[a] : extent;
    if (!has_elements(w->source, &s)) continue;
    w->at = s;
    return;
  }
}

bool cbn_translate(const cbn_layer *source, const cbn_situation *at, int modes, const cbn_dialect *to,
                   const cbn_dialect_operator *operator, cbn_arena *arena, cbn_translation *translation,
                   cbn_error *error) {
  work w = {
      .source = source, .at = *at, .modes = modes, .framework = cbn_framework_of(to), .arena = arena, .error = error};
  CBN_CHECK(w.framework != NULL, error, "no layer can be written in the dialect %s", to->name);
  CBN_CHECK(cbn_framework_of(source->dialect) != NULL, error, "no layer of the dialect %s can be translated",
            source->dialect->name);
  find_elements(&w);
  CBN_FORWARD(answer(&w, to, operator, translation));
  if (translation->kind != CBN_TRANSLATION_NONE || !at->unbatched) return true;
  cbn_plan ignored;
  cbn_rejection rejection;
  w.at.unbatched = false; /* a target that takes batches only */
  return !cbn_whole_plan(source, &w.at, &ignored, &rejection) || answer(&w, to, operator, translation);
}
