#include "migration/run_both.h"

#include <convbn/fill.h>
#include <convbn/reference.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "dialects/layout.h"
#include "migration/weights.h"

/* One of the two during its calls. */
typedef struct side {
  const cbn_layer *layer;
  const cbn_surroundings *around; /* NULL: none */
  cbn_tensor own[CBN_ROLE_COUNT]; /* its tensors, as its framework has them; rank 0 before it needs them */
  cbn_expected mean, var;         /* what the layer holds */
} side;

/* What one call gives, in the operator's order of axes. */
typedef struct outcome {
  cbn_tensor output;   /* f64 */
  cbn_expected bounds; /* of the same elements, before anything is cropped or added */
} outcome;

static const int layer_roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
enum { LAYER_ROLES = sizeof layer_roles / sizeof layer_roles[0] };

static const cbn_surroundings nothing = {0};

static bool make(cbn_tensor *tensor, int32_t type, int32_t rank, const int64_t *extent, cbn_error *error) {
  CBN_CHECK(cbn_tensor_describe(tensor, type, rank, extent, CBN_CONTIGUOUS) && cbn_tensor_allocate(tensor), error,
            "there is not enough memory to run the layers");
  return true;
}

/* Integers of one digit; variances are positive. Tiny numbers show an epsilon, which is lost beside others. */
static void fill(const cbn_run_plan *p, const cbn_tensor *tensor, int role, int64_t call) {
  enum { TINY = -30 };
  cbn_fill numbers = cbn_fill_make(p->tiny ? CBN_FILL_EXACT : CBN_FILL_INTEGERS);
  numbers.seed = p->seed + (uint64_t)call;
  numbers.shift = TINY;
  if (role == CBN_ROLE_RUNNING_VAR) {
    numbers.low = 1;
    numbers.density = 0;
  }
  cbn_fill_tensor(&numbers, role, tensor);
}

/* ---------------------------------------------------------------------------------- what stands around a layer */

/* The index of a padded axis' element in the axis of `extent` elements, as numpy.pad counts; -1 for a zero. */
static int64_t unpadded(int64_t index, int64_t before, int64_t extent, int32_t mode) {
  int64_t i = index - before;
  if (i >= 0 && i < extent) return i;
  switch (mode) {
  case CBN_PAD_REFLECT:
    while (extent > 1 && (i < 0 || i >= extent)) i = i < 0 ? -i : 2 * (extent - 1) - i;
    return i;
  case CBN_PAD_REPLICATE: return i < 0 ? 0 : extent - 1;
  case CBN_PAD_CIRCULAR: return ((i % extent) + extent) % extent;
  default: return -1;
  }
}

/* The row-major position in `from` of what stands at `index` of the padded tensor; -1 for a zero. */
static int64_t source_of(const cbn_tensor *from, const int64_t *index, const cbn_surroundings *around) {
  int64_t position = 0;
  for (int32_t a = 0; a < from->rank; a++) {
    const int64_t i =
        a < 2 ? index[a] : unpadded(index[a], around->pad_begin[a - 2], from->extent[a], around->padding_mode);
    if (i < 0) return -1;
    position = position * from->extent[a] + i;
  }
  return position;
}

static void pad(const cbn_tensor *from, const cbn_surroundings *around, const cbn_tensor *to) {
  int64_t index[CBN_MAX_RANK];
  for (int64_t i = 0; i < cbn_tensor_count(to); i++) {
    cbn_unravel(to->rank, to->extent, i, index);
    const int64_t position = source_of(from, index, around);
    cbn_tensor_set(to, i, position < 0 ? 0 : cbn_tensor_get(from, position));
  }
}

/* A view without what is cropped. */
static cbn_tensor cropped(const cbn_tensor *from, const cbn_surroundings *around) {
  cbn_tensor view = *from;
  for (int32_t a = 2; a < from->rank; a++) {
    const int64_t begin = around->crop_begin[a - 2], left = from->extent[a] - begin - around->crop_end[a - 2];
    view.extent[a] = left > 0 ? left : 0;
    if (left > 0 && cbn_tensor_count(from) > 0)
      view.data = (char *)view.data + begin * view.stride[a] * (int64_t)cbn_type_size(view.type);
  }
  return view;
}

/* ------------------------------------------------------------------------------------------------------ a call */

/* The layer's tensors that it does not have yet: drawn, moved from the other side, or a constant. `spare`: what
 * this call needs is there, these are the others. */
static bool prepare(const cbn_run_plan *p, side *s, const cbn_plan *plan, const side *other, const cbn_plan *others,
                    bool spare, cbn_error *error) {
  for (int i = 0; i < LAYER_ROLES; i++) {
    const int role = layer_roles[i];
    int64_t extent[CBN_MAX_RANK];
    cbn_tensor view;
    if (s->own[role].rank > 0 || cbn_plan_extents(plan, role, extent) == 0) continue;
    if (other != NULL && other->own[role].rank == 0 && !p->constants.needed[role] && spare) continue;
    if (other != NULL && other->own[role].rank > 0) {
      CBN_FORWARD(cbn_weight_move(others, plan, role, &other->own[role], &s->own[role], error));
      continue;
    }
    CBN_CHECK(other == NULL || p->constants.needed[role], error, "the source has no %s for the target",
              cbn_role_name(role));
    CBN_FORWARD(cbn_native_tensor(plan, role, p->at.layer_type, &s->own[role], &view, error));
    if (other == NULL) fill(p, &s->own[role], role, 0);
    for (int64_t e = 0; other != NULL && e < cbn_tensor_count(&view); e++)
      cbn_tensor_set(&view, e, p->constants.value[role]);
  }
  return true;
}

static bool hold(const cbn_tensor *statistic, cbn_expected *held, cbn_error *error) {
  if (held->rank > 0 || statistic->rank == 0) return true;
  CBN_CHECK(cbn_expected_allocate(held, statistic->type, 1, statistic->extent), error,
            "there is not enough memory to run the layers");
  for (int64_t c = 0; c < held->count; c++) held->value[c] = cbn_tensor_get(statistic, c);
  return true;
}

static bool compute(side *s, const cbn_plan *plan, const cbn_tensor *input, const cbn_expected *output,
                    cbn_error *error) {
  cbn_tensor view[CBN_ROLE_COUNT];
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = input};
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_BIAS; role++) {
    int64_t extent[CBN_MAX_RANK];
    if (cbn_plan_extents(plan, role, extent) == 0) continue;
    view[role] = s->own[role];
    CBN_CHECK(cbn_plan_view(plan, role, &view[role]), error, "the %s has another shape than the plan says",
              cbn_role_name(role));
    tensor[role] = &view[role];
  }
  if (plan->kind == CBN_OPERATOR_CONV) {
    CBN_CHECK(cbn_reference_conv(&plan->conv, tensor, 0, output), error,
              "there is not enough memory for the reference");
    return true;
  }
  CBN_FORWARD(hold(&s->own[CBN_ROLE_RUNNING_MEAN], &s->mean, error));
  CBN_FORWARD(hold(&s->own[CBN_ROLE_RUNNING_VAR], &s->var, error));
  cbn_reference_batchnorm(&plan->batchnorm, tensor, &s->mean, &s->var, 0, output);
  return true;
}

static void add_bias(const cbn_tensor *output, const cbn_tensor *bias) {
  int64_t index[CBN_MAX_RANK];
  for (int64_t i = 0; i < cbn_tensor_count(output); i++) {
    cbn_unravel(output->rank, output->extent, i, index);
    cbn_tensor_set(output, i, cbn_tensor_get(output, i) + cbn_tensor_get(bias, index[1]));
  }
}

/* The results in a tensor of the framework's, and out of it what is not cropped. */
static bool deliver(const side *s, const cbn_plan *plan, const cbn_expected *result, outcome *out, cbn_error *error) {
  const cbn_surroundings *around = s->around != NULL ? s->around : &nothing;
  cbn_tensor native = {0}, view;
  bool delivered = cbn_native_tensor(plan, CBN_ROLE_OUTPUT, CBN_F64, &native, &view, error);
  if (delivered) {
    cbn_tensor_write(&view, 0, result->count, result->value);
    view = cropped(&view, around);
    delivered = make(&out->output, CBN_F64, view.rank, view.extent, error);
  }
  if (delivered) cbn_tensor_copy(&out->output, &view);
  cbn_tensor_release(&native);
  return delivered;
}

/* The plan without a bias that is added behind. */
static bool own_plan(const side *s, const cbn_situation *at, cbn_plan *plan, cbn_error *error) {
  const cbn_situation inner = s->around != NULL ? cbn_surrounded_situation(s->around, at) : *at;
  cbn_layer bare = *s->layer;
  cbn_rejection rejection;
  bare.adds_bias = false;
  CBN_CHECK(cbn_layer_plan(&bare, &inner, plan, &rejection), error, "%s refuses: %s", s->layer->dialect->name,
            rejection.message);
  return true;
}

static bool call(const cbn_run_plan *p, side *s, const cbn_plan *plan, bool adds, const cbn_tensor *input, outcome *out,
                 cbn_error *error) {
  cbn_tensor native = {0}, view;
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, CBN_ROLE_OUTPUT, extent);
  bool done = cbn_native_tensor(plan, CBN_ROLE_INPUT, p->at.input_type, &native, &view, error);
  if (done) pad(input, s->around != NULL ? s->around : &nothing, &view);
  done = done && (cbn_expected_allocate(&out->bounds, p->at.input_type, rank, extent) ||
                  cbn_error_set(error, "there is not enough memory to run the layers"));
  done = done && compute(s, plan, &view, &out->bounds, error) && deliver(s, plan, &out->bounds, out, error);
  if (done && adds) add_bias(&out->output, &s->own[CBN_ROLE_BIAS]);
  cbn_tensor_release(&native);
  return done;
}

/* -------------------------------------------------------------------------------------------------- comparison */

static bool is_same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void note(cbn_run_result *r, int role, int32_t rank, const int64_t *extent, int64_t position, double source,
                 double target, double bound) {
  const bool within = is_same(source, target) || fabs(source - target) <= bound,
             first_beyond = !within && r->within_bounds;
  r->elements++;
  if (is_same(source, target)) return;
  if (r->unequal++ == 0 || first_beyond) {
    r->role = role;
    r->rank = rank;
    cbn_unravel(rank, extent, position, r->index);
    r->source_value = source;
    r->target_value = target;
  }
  r->within_bounds = r->within_bounds && within;
}

static void compare_outputs(const outcome *source, const outcome *target, cbn_run_result *r) {
  const cbn_tensor *a = &source->output, *b = &target->output;
  memcpy(r->source_extent, a->extent, sizeof a->extent);
  memcpy(r->target_extent, b->extent, sizeof b->extent);
  r->rank = a->rank;
  r->shapes_differ = a->rank != b->rank || memcmp(a->extent, b->extent, (size_t)a->rank * sizeof *a->extent) != 0;
  for (int64_t i = 0; !r->shapes_differ && i < cbn_tensor_count(a); i++)
    note(r, CBN_ROLE_OUTPUT, a->rank, a->extent, i, cbn_tensor_get(a, i), cbn_tensor_get(b, i),
         source->bounds.bound[i]);
}

static void compare_statistics(const side *source, const side *target, cbn_run_result *r) {
  const cbn_expected *const a[] = {&source->mean, &source->var}, *const b[] = {&target->mean, &target->var};
  for (int i = 0; i < 2; i++)
    for (int64_t c = 0; a[i]->rank > 0 && b[i]->rank > 0 && c < a[i]->count; c++)
      note(r, i == 0 ? CBN_ROLE_RUNNING_MEAN : CBN_ROLE_RUNNING_VAR, 1, a[i]->extent, c, a[i]->value[c], b[i]->value[c],
           a[i]->bound[c]);
}

static void release(outcome *out) {
  cbn_tensor_release(&out->output);
  cbn_expected_release(&out->bounds);
}

static void close_side(side *s) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) cbn_tensor_release(&s->own[role]);
  cbn_expected_release(&s->mean);
  cbn_expected_release(&s->var);
}

/* The numbers of one call, as the source's framework has them, with the operator's axes. */
static bool draw_input(const cbn_run_plan *p, const cbn_situation *at, const cbn_plan *plan, cbn_tensor *native,
                       cbn_tensor *view, cbn_error *error) {
  CBN_FORWARD(cbn_native_tensor(plan, CBN_ROLE_INPUT, at->input_type, native, view, error));
  fill(p, native, CBN_ROLE_INPUT, at->trained);
  return true;
}

/* A plan with the bias, wherever it is added, ... */
static cbn_plan with_bias(const cbn_plan *plan, bool adds) {
  cbn_plan whole = *plan;
  if (adds) whole.conv.has_bias = 1;
  return whole;
}

/* ... and one with the running statistics, if the layer has some in any mode: who does not touch them keeps them. */
static cbn_plan with_statistics(const cbn_layer *layer, const cbn_situation *at, const cbn_plan *plan) {
  cbn_situation s = *at;
  cbn_plan whole = *plan;
  for (int mode = 0; mode < 2 && plan->kind == CBN_OPERATOR_BATCHNORM; mode++) {
    cbn_plan other;
    cbn_rejection ignored;
    s.training = mode != 0;
    if (cbn_layer_plan(layer, &s, &other, &ignored) &&
        (other.batchnorm.update_running || other.batchnorm.statistics == CBN_STATISTICS_RUNNING))
      whole.batchnorm.update_running = 1;
  }
  return whole;
}

static bool call_both(const cbn_run_plan *p, const cbn_situation *at, side *source, side *target, cbn_run_result *r,
                      cbn_error *error) {
  cbn_plan a, b;
  cbn_tensor native = {0}, input;
  outcome of_source = {0}, of_target = {0};
  CBN_FORWARD(own_plan(source, at, &a, error));
  CBN_FORWARD(own_plan(target, at, &b, error));
  const bool conv = a.kind == CBN_OPERATOR_CONV;
  const bool a_adds = conv && p->source->adds_bias && !a.conv.has_bias,
             b_adds = conv && p->target->adds_bias && !b.conv.has_bias;
  const cbn_plan biased_b = with_bias(&b, b_adds), all_b = with_statistics(p->target, at, &biased_b);
  cbn_plan all_a = with_bias(&a, a_adds);
  all_a = with_statistics(p->source, at, &all_a);
  const bool called =
      draw_input(p, at, &a, &native, &input, error) && prepare(p, source, &all_a, NULL, NULL, false, error) &&
      prepare(p, target, &biased_b, source, &all_a, false, error) &&
      prepare(p, target, &all_b, source, &all_a, true, error) &&
      call(p, source, &a, a_adds, &input, &of_source, error) && call(p, target, &b, b_adds, &input, &of_target, error);
  if (called) {
    compare_outputs(&of_source, &of_target, r);
    compare_statistics(source, target, r);
  }
  release(&of_source);
  release(&of_target);
  cbn_tensor_release(&native);
  return called;
}

bool cbn_run_both(const cbn_run_plan *plan, cbn_run_result *result, cbn_error *error) {
  side source = {.layer = plan->source}, target = {.layer = plan->target, .around = plan->around};
  cbn_situation at = plan->at;
  const bool norm = plan->source->operator->kind == CBN_OPERATOR_BATCHNORM;
  bool called = true;
  *result = (cbn_run_result){.within_bounds = true};
  for (at.trained = norm ? 0 : plan->at.trained; called && at.trained <= plan->at.trained && !result->shapes_differ;
       at.trained++) {
    const bool last = at.trained == plan->at.trained;
    at.training = last ? plan->at.training : true;
    called = call_both(plan, &at, &source, &target, result, error);
  }
  close_side(&source);
  close_side(&target);
  return called;
}
