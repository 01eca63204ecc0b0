#include "harness/solution.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "harness/yaml.h"

/* Bytes that the reference takes for an output element (value, bound, own, flags) and for a tap of the kernel (three
 * offsets). */
enum { EXPECTED_BYTES = 25, TAP_BYTES = 24 };

/* What changes from step to step. */
typedef struct state {
  cbn_expected mean, var; /* what an engine holds; rank 0 before the first batch normalization */
} state;

static const int statistics[] = {CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};

/* ------------------------------------------------------------------------------------------------------- plans */

bool cbn_step_trains(const cbn_case *golden, const cbn_step *step) {
  return step->mode == CBN_MODE_DEFAULT ? golden->dialect->trains_by_default : step->mode == CBN_MODE_TRAIN;
}

static bool plan_step(const cbn_case *golden, const cbn_step *step, int64_t trained, const cbn_shape *input,
                      cbn_solved_step *solved) {
  const cbn_request request = {
      .params = golden->params, .input = *input, .training = cbn_step_trains(golden, step), .trained = trained};
  solved->rejected = !golden->operator->plan(&request, &solved->plan, &solved->rejection);
  return !solved->rejected;
}

static int32_t plan_extents(const cbn_plan *plan, int role, int64_t extent[CBN_MAX_RANK]) {
  return plan->kind == CBN_OPERATOR_CONV ? cbn_conv_extents(&plan->conv, role, extent)
                                         : cbn_batchnorm_extents(&plan->batchnorm, role, extent);
}

static int64_t plan_count(const cbn_plan *plan, int role) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = plan_extents(plan, role, extent);
  return rank == 0 ? 0 : cbn_extent_product(rank, extent);
}

static int64_t plan_work(const cbn_plan *plan) {
  return plan->kind == CBN_OPERATOR_CONV ? cbn_conv_work(&plan->conv) : cbn_batchnorm_work(&plan->batchnorm);
}

/* Bytes of all f32 tensors of a plan. Validation has checked that each fits in 63 bits as f64. */
static bool plan_bytes(const cbn_plan *plan, int64_t *bytes) {
  *bytes = 0;
  for (int role = 0; role <= CBN_ROLE_OUTPUT; role++)
    if (role != CBN_ROLE_GRAD_OUTPUT && !cbn_add(*bytes, 4 * plan_count(plan, role), bytes)) return false;
  return true;
}

/* What the reference needs besides: its results, and the offsets of the kernel's taps. */
static bool reference_bytes(const cbn_plan *plan, int64_t results, int64_t *bytes) {
  const bool conv = plan->kind == CBN_OPERATOR_CONV;
  int64_t taps;
  return cbn_multiply(TAP_BYTES, conv ? cbn_extent_product(plan->conv.spatial_rank, plan->conv.kernel) : 0, &taps) &&
         cbn_multiply(EXPECTED_BYTES, results, bytes) && cbn_add(*bytes, taps, bytes);
}

static bool is_large(const cbn_plan *plan) {
  int64_t bytes;
  return plan->kind == CBN_OPERATOR_CONV &&
         (plan_work(plan) > CBN_LARGE_WORK || !plan_bytes(plan, &bytes) || bytes > CBN_LARGE_BYTES);
}

uint32_t cbn_stated_arithmetic(const cbn_case *golden) { return golden->by_hand ? 0 : golden->dialect->arithmetic; }

bool cbn_case_is_large(const cbn_case *golden) {
  for (size_t i = 0; i < golden->step_count; i++) {
    cbn_solved_step solved = {0};
    if (golden->steps[i].input->has_shape &&
        plan_step(golden, &golden->steps[i], 0, &golden->steps[i].input->shape, &solved) && is_large(&solved.plan))
      return true;
  }
  return false;
}

/* ----------------------------------------------------------------------------------------------------- tensors */

static bool refuse(const cbn_case *golden, const cbn_value *at, cbn_error *error, const char *rule, const char *text,
                   const char *name) {
  const cbn_value place = {.line = golden->line, .column = 1};
  return cbn_yaml_refuse(error, golden->file, at != NULL ? at : &place, rule, text, name, golden->id);
}

/* The tensor with the extents that the plan says: given by the case, or the layer's own initial value. */
static bool make_tensor(const cbn_case *golden, int role, const cbn_plan *plan, const cbn_solve_options *options,
                        cbn_tensor *tensor, cbn_error *error) {
  const cbn_tensor_source *source = golden->tensor[role];
  const char *name = cbn_role_name(role);
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = plan_extents(plan, role, extent);
  if (rank == 0 || tensor->data != NULL) return true;
  if (source == NULL || source->content == CBN_CONTENT_NONE) {
    if (!plan->has_initial[role])
      return refuse(golden, source != NULL ? source->node : NULL, error, "missing-tensor",
                    "the tensor '%s' of %s is missing", name);
    if (!cbn_tensor_describe(tensor, CBN_F32, rank, extent, CBN_CONTIGUOUS) || !cbn_tensor_allocate(tensor))
      return refuse(golden, NULL, error, "memory", "there is none left for the tensor '%s' of %s", name);
    for (int64_t i = 0; i < cbn_tensor_count(tensor); i++) cbn_tensor_set(tensor, i, plan->initial[role]);
    return true;
  }
  if (source->type != CBN_F32)
    return refuse(golden, source->node, error, "type", "the tensor '%s' of %s must be f32 in this version", name);
  CBN_FORWARD(cbn_source_materialise(source, golden->file, role, options->seed, options->memory_bytes, tensor, error));
  if (tensor->rank == rank && memcmp(tensor->extent, extent, (size_t)rank * sizeof *extent) == 0) return true;
  return refuse(golden, source->node, error, "shape", "the tensor '%s' of %s has another shape than the parameters say",
                name);
}

static bool make_input(const cbn_case *golden, const cbn_step *step, const cbn_solve_options *options,
                       cbn_solved_step *solved, cbn_error *error) {
  const cbn_tensor_source *source = step->input;
  if (source->content == CBN_CONTENT_NONE)
    return refuse(golden, source->node, error, "missing-tensor",
                  "the tensor '%s' of %s has neither values, fill nor npy", "input");
  if (source->type != CBN_F32)
    return refuse(golden, source->node, error, "type", "the tensor '%s' of %s must be f32 in this version", "input");
  cbn_tensor native;
  int64_t extent[CBN_MAX_RANK];
  CBN_FORWARD(cbn_source_materialise(source, golden->file, CBN_ROLE_INPUT, options->seed, options->memory_bytes,
                                     &native, error));
  const int32_t rank = plan_extents(&solved->plan, CBN_ROLE_INPUT, extent);
  cbn_tensor_describe(&solved->input, CBN_F32, rank, extent, CBN_CONTIGUOUS);
  solved->input.data = native.data; /* dense either way: a batch axis of extent 1 in front changes nothing */
  return true;
}

/* The shape of the input before it is made: a .npy file says its own. */
static bool input_shape(const cbn_case *golden, const cbn_step *step, const cbn_solve_options *options,
                        cbn_shape *shape, cbn_error *error) {
  cbn_tensor tensor;
  *shape = step->input->shape;
  if (step->input->has_shape) return true;
  CBN_FORWARD(
      cbn_source_materialise(step->input, golden->file, CBN_ROLE_INPUT, 0, options->memory_bytes, &tensor, error));
  shape->rank = tensor.rank;
  memcpy(shape->extent, tensor.extent, sizeof tensor.extent);
  cbn_tensor_release(&tensor);
  return true;
}

/* Adds what a step needs to `total`; steps are kept, so they add up. */
static bool count_memory(const cbn_case *golden, const cbn_plan *plan, const cbn_solve_options *options, int64_t *total,
                         cbn_error *error) {
  int64_t bytes, reference;
  const int64_t results = is_large(plan) ? 0 : plan_count(plan, CBN_ROLE_OUTPUT);
  const bool fits = plan_bytes(plan, &bytes) && reference_bytes(plan, results, &reference) &&
                    cbn_add(bytes, reference, &bytes) && cbn_add(bytes, *total, &bytes);
  if (fits && bytes <= options->memory_bytes) {
    *total = bytes;
    return true;
  }
  CBN_FAIL(error,
           "%s:%" PRIu32 ":1: memory-limit: %.200s needs %s%" PRId64 " MiB, the limit is %" PRId64
           " MiB; raise it with --memory",
           golden->file, golden->line, golden->id, fits ? "" : "more than ", (fits ? bytes : INT64_MAX) >> 20,
           options->memory_bytes >> 20);
}

/* --------------------------------------------------------------------------------------------------- reference */

static bool copy_expected(const cbn_expected *from, cbn_expected *to) {
  if (!cbn_expected_allocate(to, from->rank, from->extent)) return false;
  for (int64_t i = 0; i < from->count; i++) cbn_expected_put(to, i, cbn_expected_at(from, i));
  return true;
}

/* The running statistics that the case gives, or the layer's own, as intervals without width. */
static bool begin_statistics(const cbn_case *golden, const cbn_plan *plan, const cbn_solve_options *options,
                             cbn_solution *solution, state *now, cbn_error *error) {
  cbn_plan with_statistics = *plan; /* they exist whether or not this call uses them */
  with_statistics.batchnorm.update_running = 1;
  with_statistics.batchnorm.channels = plan->features;
  cbn_expected *const held[] = {&now->mean, &now->var};
  for (int i = 0; i < 2; i++) {
    cbn_tensor *tensor = &solution->tensor[statistics[i]];
    if (held[i]->rank != 0) continue;
    if (!make_tensor(golden, statistics[i], &with_statistics, options, tensor, error)) {
      if (plan_count(plan, statistics[i]) > 0) return false; /* a call that does not use them needs none that fit */
      continue;
    }
    if (!cbn_expected_allocate(held[i], 1, tensor->extent))
      return refuse(golden, NULL, error, "memory", "there is none left for '%s' of %s", "statistics");
    for (int64_t c = 0; c < held[i]->count; c++) held[i]->value[c] = cbn_tensor_get(tensor, c);
  }
  return true;
}

static const cbn_tensor *present(const cbn_plan *plan, int role, const cbn_tensor *tensor) {
  int64_t extent[CBN_MAX_RANK];
  return plan_extents(plan, role, extent) > 0 ? tensor : NULL;
}

static bool compute(const cbn_case *golden, const cbn_solve_options *options, const cbn_solution *solution, state *now,
                    cbn_solved_step *solved, cbn_error *error) {
  const cbn_plan *plan = &solved->plan;
  const cbn_tensor *weight = present(plan, CBN_ROLE_WEIGHT, &solution->tensor[CBN_ROLE_WEIGHT]);
  const cbn_tensor *bias = present(plan, CBN_ROLE_BIAS, &solution->tensor[CBN_ROLE_BIAS]);
  cbn_expected *output = &solved->expected[CBN_ROLE_OUTPUT];
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = plan_extents(plan, CBN_ROLE_OUTPUT, extent);
  bool memory = cbn_expected_allocate(output, rank, extent);
  if (memory && plan->kind == CBN_OPERATOR_CONV) {
    memory = cbn_reference_conv(&plan->conv, &solved->input, weight, bias, options->arithmetic, output);
  } else if (memory) {
    cbn_reference_batchnorm(&plan->batchnorm, &solved->input, weight, bias, &now->mean, &now->var, options->arithmetic,
                            output);
    memory = (now->mean.rank == 0 || copy_expected(&now->mean, &solved->expected[CBN_ROLE_RUNNING_MEAN])) &&
             (now->var.rank == 0 || copy_expected(&now->var, &solved->expected[CBN_ROLE_RUNNING_VAR]));
  }
  return memory || refuse(golden, NULL, error, "memory", "there is none left for the '%s' of %s", "results");
}

/* Plans all steps and counts what they need, before anything is allocated. */
static bool plan_steps(const cbn_case *golden, const cbn_solve_options *options, cbn_solution *solution,
                       cbn_error *error) {
  int64_t trained = 0, bytes = 0;
  for (; solution->count < golden->step_count; solution->count++) {
    const cbn_step *step = &golden->steps[solution->count];
    cbn_solved_step *solved = &solution->steps[solution->count];
    cbn_shape shape;
    CBN_FORWARD(input_shape(golden, step, options, &shape, error));
    const bool accepted = plan_step(golden, step, trained, &shape, solved);
    if (shape.rank < 0 && (accepted || solved->rejection.rule == CBN_RULE_INPUT_RANK))
      return refuse(golden, NULL, error, "missing-tensor", "the tensor '%s' of %s is missing", "input");
    if (!accepted) { /* the batch of a refused call counts, if it has four axes */
      trained += cbn_step_trains(golden, step) && solved->rejection.rule != CBN_RULE_INPUT_RANK;
      continue;
    }
    CBN_FORWARD(count_memory(golden, &solved->plan, options, &bytes, error));
    if (options->other_variance) solved->plan.batchnorm.running_variance ^= CBN_VARIANCE_BIASED ^ CBN_VARIANCE_UNBIASED;
    trained += cbn_step_trains(golden, step);
    solution->work += plan_work(&solved->plan);
    solution->large = solution->large || is_large(&solved->plan);
  }
  return true;
}

static bool solve_step(const cbn_case *golden, const cbn_solve_options *options, size_t i, cbn_solution *solution,
                       state *now, cbn_error *error) {
  cbn_solved_step *solved = &solution->steps[i];
  const cbn_plan *plan = &solved->plan;
  if (solved->rejected) return true;
  if (plan->kind == CBN_OPERATOR_BATCHNORM) CBN_FORWARD(begin_statistics(golden, plan, options, solution, now, error));
  CBN_FORWARD(make_tensor(golden, CBN_ROLE_WEIGHT, plan, options, &solution->tensor[CBN_ROLE_WEIGHT], error));
  CBN_FORWARD(make_tensor(golden, CBN_ROLE_BIAS, plan, options, &solution->tensor[CBN_ROLE_BIAS], error));
  CBN_FORWARD(make_input(golden, &golden->steps[i], options, solved, error));
  return is_large(plan) || compute(golden, options, solution, now, solved, error);
}

bool cbn_solve(const cbn_case *golden, const cbn_solve_options *options, cbn_solution *solution, cbn_error *error) {
  state now = {0};
  *solution = (cbn_solution){.steps = calloc(golden->step_count, sizeof *solution->steps)};
  bool solved = solution->steps != NULL ||
                refuse(golden, NULL, error, "memory", "there is none left for the '%s' of %s", "steps");
  solved = solved && plan_steps(golden, options, solution, error);
  for (size_t i = 0; solved && i < solution->count; i++) solved = solve_step(golden, options, i, solution, &now, error);
  cbn_expected_release(&now.mean);
  cbn_expected_release(&now.var);
  return solved;
}

void cbn_solution_release(cbn_solution *solution) {
  for (size_t i = 0; i < solution->count; i++) {
    cbn_tensor_release(&solution->steps[i].input);
    for (int role = 0; role < CBN_ROLE_COUNT; role++) cbn_expected_release(&solution->steps[i].expected[role]);
  }
  for (int role = 0; role < CBN_ROLE_COUNT; role++) cbn_tensor_release(&solution->tensor[role]);
  free(solution->steps);
  *solution = (cbn_solution){0};
}

/* ------------------------------------------------------------------------------------------------ expectations */

cbn_shape cbn_native_shape(const cbn_solved_step *step, int role) {
  int64_t extent[CBN_MAX_RANK];
  cbn_shape shape = {.rank = plan_extents(&step->plan, role, extent)};
  const bool drop = step->plan.unbatched && role == CBN_ROLE_OUTPUT;
  if (shape.rank == 0 && step->expected[role].rank > 0) { /* statistics that the call did not touch */
    shape.rank = step->expected[role].rank;
    memcpy(extent, step->expected[role].extent, sizeof extent);
  }
  shape.rank -= drop;
  for (int32_t a = 0; a < shape.rank; a++) shape.extent[a] = extent[a + drop];
  return shape;
}

static bool same_shape(const cbn_shape *a, int32_t rank, const int64_t *extent) {
  return a->rank == rank && memcmp(a->extent, extent, (size_t)rank * sizeof *extent) == 0;
}

size_t cbn_print_indices(int32_t count, const int64_t *values, const char *separator, char *text, size_t size) {
  size_t length = 0;
  for (int32_t a = 0; a < count && length < size; a++)
    length += (size_t)snprintf(text + length, size - length, "%s%" PRId64, a == 0 ? "" : separator, values[a]);
  return length;
}

static void print_shape(int32_t rank, const int64_t *extent, char *text, size_t size) {
  size_t length = (size_t)snprintf(text, size, "(");
  length += cbn_print_indices(rank, extent, ", ", text + length, size - length);
  if (length < size) snprintf(text + length, size - length, ")");
}

/* A value made by hand: the exact result, which lies in value +- own, rounded once to f32. */
static bool is_rounded_result(const cbn_interval *interval, double value) {
  if (!isfinite(interval->value) || interval->flags & CBN_INCONCLUSIVE) return cbn_interval_admits(interval, value);
  return value >= (double)(float)(interval->value - interval->own) &&
         value <= (double)(float)(interval->value + interval->own);
}

static bool values_hold(const cbn_tensor *stated, const cbn_expected *expected, const char *name, bool by_hand,
                        cbn_error *why) {
  for (int64_t i = 0; i < expected->count; i++) {
    const cbn_interval interval = cbn_expected_at(expected, i);
    const double value = cbn_tensor_get(stated, i);
    if (by_hand ? is_rounded_result(&interval, value) : cbn_interval_admits(&interval, value)) continue;
    int64_t index[CBN_MAX_RANK];
    char place[96];
    cbn_unravel(stated->rank, stated->extent, i, index);
    print_shape(stated->rank, index, place, sizeof place);
    CBN_FAIL(why, "%s%s is stated as %.9g, the reference says %.9g +- %.3g", name, place, value, interval.value,
             by_hand ? interval.own : interval.bound);
  }
  return true;
}

static bool tensor_holds(const cbn_case *golden, const cbn_tensor_source *source, const cbn_solution *solution,
                         size_t step, int role, bool by_hand, bool values, cbn_error *why) {
  const cbn_solved_step *solved = &solution->steps[step];
  const char *name = cbn_role_name(role);
  const cbn_shape shape = cbn_native_shape(solved, role);
  char stated_text[160], shape_text[160];
  CBN_CHECK(shape.rank > 0, why, "the call has no %s", name);
  cbn_tensor stated = {0};
  print_shape(shape.rank, shape.extent, shape_text, sizeof shape_text);
  if (source->has_shape && !same_shape(&source->shape, shape.rank, shape.extent)) {
    print_shape(source->shape.rank, source->shape.extent, stated_text, sizeof stated_text);
    CBN_FAIL(why, "the shape of %s is stated as %s, the reference says %s", name, stated_text, shape_text);
  }
  if (source->content == CBN_CONTENT_NONE || !values || solved->expected[role].rank == 0) return true;
  CBN_FORWARD(cbn_source_materialise(source, golden->file, role, 0, INT64_MAX, &stated, why));
  bool holds = same_shape(&shape, stated.rank, stated.extent) ||
               cbn_error_set(why, "the values stated for %s have another shape than %s", name, shape_text);
  holds = holds && values_hold(&stated, &solved->expected[role], name, by_hand, why);
  cbn_tensor_release(&stated);
  return holds;
}

static bool has_empty_output(const cbn_solved_step *solved) {
  return !solved->rejected && plan_count(&solved->plan, CBN_ROLE_OUTPUT) == 0;
}

static bool rejection_holds(const cbn_expectation *expect, const cbn_solved_step *solved, cbn_error *why) {
  const cbn_rejection *r = &solved->rejection;
  if (!solved->rejected) {
    if (has_empty_output(solved) && (expect->acceptable & CBN_ACCEPT_EMPTY_EITHER)) return true;
    CBN_FAIL(why, "a rejection is stated, the dialect accepts the call");
  }
  CBN_CHECK(expect->rule < 0 || expect->rule == (int)r->rule, why,
            "the rule is stated as %s, the dialect refuses by %s (%s)", cbn_rule_name(expect->rule),
            cbn_rule_name((int)r->rule), r->message);
  CBN_CHECK(expect->exception == NULL || strcmp(expect->exception, r->exception) == 0, why,
            "the exception is stated as %s, the dialect raises %s (%s: %s)", expect->exception, r->exception,
            cbn_rule_name((int)r->rule), r->message);
  return true;
}

bool cbn_expectation_holds(const cbn_case *golden, const cbn_expectation *expect, const cbn_solution *solution,
                           size_t step, bool by_hand, bool values, cbn_error *why) {
  const cbn_solved_step *solved = &solution->steps[step];
  if (expect->rejected) return rejection_holds(expect, solved, why);
  if (solved->rejected) {
    if (solved->rejection.rule == CBN_RULE_KERNEL_EXCEEDS_INPUT && (expect->acceptable & CBN_ACCEPT_EMPTY_EITHER))
      return true;
    CBN_FAIL(why, "a result is stated, the dialect refuses the call: %s (%s: %s)",
             cbn_rule_name((int)solved->rejection.rule), solved->rejection.exception, solved->rejection.message);
  }
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (expect->tensor[role] != NULL &&
        !tensor_holds(golden, expect->tensor[role], solution, step, role, by_hand, values, why))
      return false;
  return true;
}

static uint64_t mix(uint64_t x) { /* splitmix64 */
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Sample i's index along an axis: the first, the last, next to them, in turn; then drawn. */
static int64_t sample_index(int i, int axis, int64_t extent, uint64_t seed) {
  const int64_t edges[] = {0, extent - 1, extent / 2, extent > 1 ? 1 : 0, extent > 1 ? extent - 2 : 0};
  const int choice = axis == 0 ? i % 5 : i / 5 % 5;
  return i < 25 ? edges[choice] : (int64_t)(mix(seed + (uint64_t)(i * CBN_MAX_SPATIAL + axis)) % (uint64_t)extent);
}

void cbn_sample_positions(int32_t spatial_rank, const int64_t *extent, uint64_t seed,
                          int64_t position[CBN_SAMPLES][CBN_MAX_SPATIAL]) {
  for (int i = 0; i < CBN_SAMPLES; i++)
    for (int a = 0; a < CBN_MAX_SPATIAL; a++)
      position[i][a] = a < spatial_rank ? sample_index(i, a, extent[a], seed) : 0;
}

static bool intervals_agree(cbn_interval a, cbn_interval b, int64_t i, const char *name, cbn_error *why) {
  CBN_CHECK(a.value == b.value || (isnan(a.value) && isnan(b.value)) || fabs(a.value - b.value) <= a.bound + b.bound,
            why, "they differ at element %" PRId64 " of %s: %.9g and %.9g", i, name, a.value, b.value);
  return true;
}

static bool results_agree(const cbn_expected *a, const cbn_expected *b, const char *name, cbn_error *why) {
  for (int64_t i = 0; i < a->count; i++)
    CBN_FORWARD(intervals_agree(cbn_expected_at(a, i), cbn_expected_at(b, i), i, name, why));
  return true;
}

/* The reference at the sampled positions of a large convolution's output. NULL without memory. */
static cbn_interval *sampled_columns(const cbn_solution *solution, int64_t *count) {
  const cbn_solved_step *step = &solution->steps[solution->count - 1];
  const cbn_conv *conv = &step->plan.conv;
  int64_t extent[CBN_MAX_RANK], position[CBN_SAMPLES][CBN_MAX_SPATIAL];
  cbn_conv_extents(conv, CBN_ROLE_OUTPUT, extent);
  cbn_sample_positions(conv->spatial_rank, extent + 2, 0, position);
  *count = CBN_SAMPLES * conv->batch * conv->out_channels;
  cbn_interval *columns = calloc((size_t)*count, sizeof *columns);
  if (columns == NULL || cbn_reference_conv_at(conv, &step->input, &solution->tensor[CBN_ROLE_WEIGHT],
                                               conv->has_bias ? &solution->tensor[CBN_ROLE_BIAS] : NULL, 0, CBN_SAMPLES,
                                               (const int64_t(*)[CBN_MAX_SPATIAL])position, columns))
    return columns;
  free(columns);
  return NULL;
}

static bool samples_agree(const cbn_solution *a, const cbn_solution *b, cbn_error *why) {
  int64_t count, others;
  cbn_interval *x = sampled_columns(a, &count), *y = sampled_columns(b, &others);
  bool agree = (x != NULL && y != NULL) || cbn_error_set(why, "there is no memory left to compare them");
  for (int64_t i = 0; agree && i < count; i++) agree = intervals_agree(x[i], y[i], i, "the samples", why);
  free(x);
  free(y);
  return agree;
}

bool cbn_solutions_agree(const cbn_solution *a, const cbn_solution *b, cbn_error *why) {
  static const int roles[] = {CBN_ROLE_OUTPUT, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  const cbn_solved_step *x = &a->steps[a->count - 1], *y = &b->steps[b->count - 1];
  if (x->rejected || y->rejected) {
    CBN_CHECK(x->rejected == y->rejected, why, "one of them is refused");
    return true;
  }
  for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
    const cbn_shape s = cbn_native_shape(x, roles[i]), t = cbn_native_shape(y, roles[i]);
    CBN_CHECK(same_shape(&s, t.rank, t.extent), why, "the shapes of %s differ", cbn_role_name(roles[i]));
    CBN_CHECK(a->large == b->large, why, "one of them is too large to be compared with the other");
    if (a->large && roles[i] == CBN_ROLE_OUTPUT && cbn_extent_product(s.rank, s.extent) > 0)
      CBN_FORWARD(samples_agree(a, b, why));
    CBN_FORWARD(results_agree(&x->expected[roles[i]], &y->expected[roles[i]], cbn_role_name(roles[i]), why));
  }
  return true;
}
