#include "harness/solution.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "dialects/layout.h"
#include "harness/yaml.h"

/* Bytes that the reference takes for an element of a result (value, bound, own, flags) and for a pair of indices along
 * an axis (three offsets). */
enum { EXPECTED_BYTES = 25, PAIR_BYTES = 24 };

static const int layer_roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
static const int gradient_roles[] = {CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};
enum {
  LAYER_ROLES = sizeof layer_roles / sizeof layer_roles[0],
  GRADIENT_ROLES = sizeof gradient_roles / sizeof gradient_roles[0]
};

/* What changes from step to step. */
typedef struct state {
  cbn_expected mean, var;                  /* what an engine holds; rank 0 before the first batch normalization */
  const cbn_tensor *layer[CBN_ROLE_COUNT]; /* as last put there; NULL before */
  bool reset;                              /* what steps have asked for since the last call that was accepted */
  const cbn_tensor_source *load[CBN_ROLE_COUNT];
} state;

/* ------------------------------------------------------------------------------------------------------- plans */

bool cbn_step_trains(const cbn_case *golden, const cbn_step *step) {
  return step->mode == CBN_MODE_DEFAULT ? golden->dialect->trains_by_default : step->mode == CBN_MODE_TRAIN;
}

/* The type that the case gives any of the layer's own tensors, else that of the first input. */
static int32_t layer_type(const cbn_case *golden) {
  for (int i = 0; i < LAYER_ROLES; i++)
    if (golden->tensor[layer_roles[i]] != NULL) return golden->tensor[layer_roles[i]]->type;
  return golden->steps[0].input->type;
}

bool cbn_step_plan(const cbn_case *golden, const cbn_step *step, int64_t trained, const cbn_shape *input,
                   cbn_solved_step *solved) {
  cbn_request request = {.params = step->params,
                         .input = *input,
                         .input_type = step->input->type,
                         .layer_type = layer_type(golden),
                         .training = cbn_step_trains(golden, step),
                         .trained = trained};
  for (int i = 0; i < LAYER_ROLES; i++) {
    const cbn_tensor_source *given = golden->tensor[layer_roles[i]];
    if (given != NULL && given->has_shape) request.layer[layer_roles[i]] = &given->shape;
  }
  solved->rejected = !golden->operator->plan(golden->operator, &request, &solved->plan, &solved->rejection);
  solved->input_type = request.input_type;
  solved->layer_type = request.layer_type;
  solved->has_gradients = step->grad_output != NULL;
  return !solved->rejected;
}

static int64_t plan_count(const cbn_plan *plan, int role) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent);
  return rank == 0 ? 0 : cbn_extent_product(rank, extent);
}

static int64_t plan_work(const cbn_plan *plan) {
  return plan->kind == CBN_OPERATOR_CONV ? cbn_conv_work(&plan->conv) : cbn_batchnorm_work(&plan->batchnorm);
}

static bool is_gradient(int role) { return role >= CBN_ROLE_GRAD_INPUT && role <= CBN_ROLE_GRAD_BIAS; }

static int32_t type_of(const cbn_solved_step *solved, int role) {
  return cbn_is_activation(role) ? solved->input_type : solved->layer_type;
}

/* Bytes of all tensors of a step. Validation has checked that each fits in 63 bits as f64. */
static bool tensor_bytes(const cbn_solved_step *solved, int64_t *bytes) {
  *bytes = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const int64_t size = (int64_t)cbn_type_size(type_of(solved, role));
    const bool of_gradients = is_gradient(role) || role == CBN_ROLE_GRAD_OUTPUT;
    if (of_gradients && !solved->has_gradients) continue;
    if (!cbn_add(*bytes, size * plan_count(&solved->plan, role), bytes)) return false;
  }
  return true;
}

/* The longest list of index pairs along one axis that the reference makes: the kernel's taps, a gradient's positions,
 * or both where a mode reads elements more than once. */
static bool axis_pairs(const cbn_conv *conv, int a, bool gradients, int64_t *most) {
  const int64_t output = cbn_conv_output_extent(conv, a), input = conv->input[a];
  const int64_t positions = output > input ? output : input;
  *most = conv->kernel[a];
  if (gradients && conv->padding_mode != CBN_PAD_ZEROS)
    return cbn_multiply(positions, conv->kernel[a], most) && cbn_add(*most, conv->kernel[a], most);
  if (gradients && positions > *most) *most = positions;
  return true;
}

/* What the reference needs besides: copies of a convolution's factors, lists of index pairs, and, where a step is
 * judged whole, the results. A batch normalization's layer has statistics, of its own number of features, whether or not
 * the call uses them: as put there, held, and as they come out. */
static bool reference_bytes(const cbn_solved_step *solved, bool whole, int64_t *bytes) {
  static const int factors[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_GRAD_OUTPUT};
  const cbn_plan *plan = &solved->plan;
  const bool gradients = solved->has_gradients, conv = plan->kind == CBN_OPERATOR_CONV;
  int64_t pairs = 0, most, copies = 0, results = whole ? plan_count(plan, CBN_ROLE_OUTPUT) : 0;
  for (int a = 0; conv && a < plan->conv.spatial_rank; a++)
    if (!axis_pairs(&plan->conv, a, gradients, &most) || !cbn_add(pairs, most, &pairs)) return false;
  for (int i = 0; conv && i < (gradients ? 3 : 2); i++)
    if (!cbn_add(copies, 8 * plan_count(plan, factors[i]), &copies)) return false;
  if (!conv && (!cbn_multiply(16, plan->features, &copies) || !cbn_multiply(4, plan->features, &most) ||
                !cbn_add(results, most, &results)))
    return false;
  for (int i = 0; gradients && i < GRADIENT_ROLES; i++)
    if (!cbn_add(results, plan_count(plan, gradient_roles[i]), &results)) return false;
  return cbn_multiply(PAIR_BYTES, pairs, &pairs) && cbn_multiply(EXPECTED_BYTES, results, bytes) &&
         cbn_add(*bytes, pairs, bytes) && cbn_add(*bytes, copies, bytes);
}

static bool is_large(const cbn_solved_step *solved) {
  int64_t bytes;
  return solved->plan.kind == CBN_OPERATOR_CONV &&
         (plan_work(&solved->plan) > CBN_LARGE_WORK || !tensor_bytes(solved, &bytes) || bytes > CBN_LARGE_BYTES);
}

uint32_t cbn_stated_arithmetic(const cbn_case *golden) { return golden->by_hand ? 0 : golden->dialect->arithmetic; }

bool cbn_case_is_large(const cbn_case *golden) {
  for (size_t i = 0; i < golden->step_count; i++) {
    cbn_solved_step solved = {0};
    if (golden->steps[i].input->has_shape &&
        cbn_step_plan(golden, &golden->steps[i], 0, &golden->steps[i].input->shape, &solved) && is_large(&solved))
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

/* Makes of a tensor as the case gives it a dense one of the operator. */
static bool make_as_operator(const cbn_case *golden, const cbn_tensor_source *source, int role, const cbn_plan *plan,
                             const char *shape_text, cbn_tensor *tensor, cbn_error *error) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent);
  cbn_tensor dense = *tensor;
  bool made = cbn_plan_view(plan, role, tensor) ||
              refuse(golden, source->node, error, "shape", shape_text, cbn_role_name(role));
  if (made && cbn_plan_reorders(plan, role)) {
    made = (cbn_tensor_describe(&dense, tensor->type, rank, tensor->extent, CBN_CONTIGUOUS) &&
            cbn_tensor_allocate(&dense)) ||
           refuse(golden, source->node, error, "memory", "there is none left for the tensor '%s' of %s",
                  cbn_role_name(role));
    if (made) cbn_tensor_copy(&dense, tensor);
  }
  if (!made || dense.data != tensor->data) cbn_tensor_release(tensor);
  if (!made) return false;
  cbn_tensor_describe(tensor, dense.type, rank, extent, CBN_CONTIGUOUS);
  tensor->data = dense.data;
  return true;
}

/* A tensor of the layer: given by the case, or the layer's own initial value. */
static bool make_layer_tensor(const cbn_case *golden, const cbn_tensor_source *source, int role, const cbn_plan *plan,
                              int32_t type, const cbn_solve_options *options, cbn_tensor *tensor, cbn_error *error) {
  const char *name = cbn_role_name(role);
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent);
  if (source == NULL || source->content == CBN_CONTENT_NONE) {
    if (!plan->has_initial[role])
      return refuse(golden, source != NULL ? source->node : NULL, error, "missing-tensor",
                    "the tensor '%s' of %s is missing", name);
    if (!cbn_tensor_describe(tensor, type, rank, extent, CBN_CONTIGUOUS) || !cbn_tensor_allocate(tensor))
      return refuse(golden, NULL, error, "memory", "there is none left for the tensor '%s' of %s", name);
    for (int64_t i = 0; i < cbn_tensor_count(tensor); i++) cbn_tensor_set(tensor, i, plan->initial[role]);
    return true;
  }
  if (source->type != type)
    return refuse(golden, source->node, error, "type", "the tensor '%s' of %s has another type than the layer", name);
  CBN_FORWARD(cbn_source_materialise(source, golden->file, role, options->seed, options->memory_bytes, tensor, error));
  return make_as_operator(golden, source, role, plan, "the tensor '%s' of %s has another shape than the parameters say",
                          tensor, error);
}

/* Input or grad_output of a call. */
static bool make_activation(const cbn_case *golden, const cbn_tensor_source *source, int role,
                            const cbn_solve_options *options, const cbn_solved_step *solved, cbn_tensor *tensor,
                            cbn_error *error) {
  if (source->content == CBN_CONTENT_NONE)
    return refuse(golden, source->node, error, "missing-tensor",
                  "the tensor '%s' of %s has neither values, fill nor npy", cbn_role_name(role));
  CBN_FORWARD(cbn_source_materialise(source, golden->file, role, options->seed, options->memory_bytes, tensor, error));
  return make_as_operator(golden, source, role, &solved->plan,
                          "the tensor '%s' of %s has another shape than the output", tensor, error);
}

static bool make_activations(const cbn_case *golden, const cbn_step *step, const cbn_solve_options *options,
                             cbn_solved_step *solved, cbn_error *error) {
  CBN_FORWARD(make_activation(golden, step->input, CBN_ROLE_INPUT, options, solved, &solved->input, error));
  if (step->grad_output == NULL) return true;
  if (step->grad_output->type != step->input->type)
    return refuse(golden, step->grad_output->node, error, "type",
                  "the tensor '%s' of %s has another type than the input", "grad_output");
  return make_activation(golden, step->grad_output, CBN_ROLE_GRAD_OUTPUT, options, solved, &solved->grad_output, error);
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

/* Does the case name others, which are solved beside it? */
static bool relates(const cbn_case *golden) {
  for (size_t i = 0; i < golden->step_count; i++)
    if (golden->steps[i].expect.same_count + golden->steps[i].expect.differs_count > 0) return true;
  return false;
}

/* How often a call's tensors lie in memory for the engine: shared with it, and, in a layout of the case's own, a copy
 * before; views have gaps as large as their elements. */
static int64_t engine_copies(const cbn_case *golden) {
  const bool laid_out = golden->layout != CBN_CONTIGUOUS || golden->in_place;
  return (laid_out ? 2 : 1) * (golden->layout >= CBN_STRIDED ? 2 : 1);
}

/* Adds what a step needs to `total`; steps are kept, so they add up. */
static bool count_memory(const cbn_case *golden, const cbn_solved_step *solved, const cbn_solve_options *options,
                         int64_t *total, cbn_error *error) {
  int64_t bytes, tensors, reference = 0;
  const bool whole = !is_large(solved);
  if (!whole && solved->has_gradients)
    return refuse(golden, NULL, error, "large", "the gradients%s of %s are too large to be judged element by element",
                  "");
  const bool copied = cbn_plan_reorders(&solved->plan, CBN_ROLE_INPUT) || cbn_plan_reorders(&solved->plan, CBN_ROLE_WEIGHT);
  const int64_t times = 1 + copied + (options->stated_too && whole) + relates(golden); /* for others' sake, too */
  const bool fits = tensor_bytes(solved, &tensors) && reference_bytes(solved, whole, &reference) &&
                    cbn_multiply(tensors, times + engine_copies(golden), &bytes) &&
                    cbn_multiply(reference, whole ? times : 1, &reference) && cbn_add(bytes, reference, &bytes) &&
                    cbn_add(bytes, *total, &bytes);
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

/* CBN_FORWARD: a layer's call, with the gradients if there is a grad_output; else the one that is asked for. */
static int32_t asked_direction(const cbn_plan *plan) {
  return plan->kind == CBN_OPERATOR_CONV ? plan->conv.direction : plan->batchnorm.direction;
}

bool cbn_step_call_make(const cbn_solved_step *step, int direction, cbn_step_call *made) {
  const cbn_plan *plan = &step->plan;
  const bool conv = plan->kind == CBN_OPERATOR_CONV, forward = direction == CBN_FORWARD;
  const int32_t asked = asked_direction(plan);
  *made = (cbn_step_call){.call = {.struct_size = sizeof made->call, .operator_kind = (int32_t)plan->kind},
                          .conv = plan->conv,
                          .batchnorm = plan->batchnorm};
  if (asked != CBN_FORWARD && asked != direction) return false;
  if (!forward && (!step->has_gradients || (!conv && direction != CBN_GRAD_INPUT))) return false;
  if (direction == CBN_GRAD_BIAS && !plan->conv.has_bias) return false;
  made->conv.direction = made->batchnorm.direction = direction;
  if (!forward) made->batchnorm.update_running = 0;
  made->call.conv = conv ? &made->conv : NULL;
  made->call.batchnorm = conv ? NULL : &made->batchnorm;
  const cbn_tensor *const inputs[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &step->input,
                                                    [CBN_ROLE_WEIGHT] = step->layer[CBN_ROLE_WEIGHT].tensor,
                                                    [CBN_ROLE_BIAS] = step->layer[CBN_ROLE_BIAS].tensor,
                                                    [CBN_ROLE_GRAD_OUTPUT] = &step->grad_output};
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    if (inputs[role] != NULL && cbn_call_extents(&made->call, role, extent) > 0) made->call.tensor[role] = inputs[role];
  }
  return true;
}

static bool copy_expected(const cbn_expected *from, cbn_expected *to) {
  if (!cbn_expected_allocate(to, from->type, from->rank, from->extent)) return false;
  for (int64_t i = 0; i < from->count; i++) cbn_expected_put(to, i, cbn_expected_at(from, i));
  return true;
}

/* Statistics as given, intervals without width. */
static bool hold_statistic(const cbn_tensor *tensor, cbn_expected *held) {
  cbn_expected_release(held);
  if (!cbn_expected_allocate(held, tensor->type, 1, tensor->extent)) return false;
  for (int64_t c = 0; c < held->count; c++) held->value[c] = cbn_tensor_get(tensor, c);
  return true;
}

/* Takes note of what a step does to the layer before its call, which may be refused. */
static void note_changes(const cbn_step *step, state *now) {
  now->reset = now->reset || step->reset;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
    if (step->reset && statistic) now->load[role] = NULL;
    if (step->load[role] != NULL) now->load[role] = step->load[role];
  }
}

/* Puts the layer's tensors in place before a call: what was loaded; at first, and the statistics after a reset, what
 * the case gives or the layer's initial values. A call that does not use the statistics needs none that fit. */
static bool prepare_layer(const cbn_case *golden, const cbn_solve_options *options, state *now, cbn_solved_step *solved,
                          cbn_error *error) {
  const bool norm = solved->plan.kind == CBN_OPERATOR_BATCHNORM;
  cbn_plan whole = solved->plan; /* a layer has its statistics whether or not this call uses them */
  if (norm) {
    whole.batchnorm.update_running = 1;
    whole.batchnorm.channels = solved->plan.features;
  }
  for (int i = 0; i < LAYER_ROLES; i++) {
    const int role = layer_roles[i];
    const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
    const cbn_plan *plan = statistic ? &whole : &solved->plan;
    const cbn_tensor_source *load = now->load[role];
    const bool reset = now->reset && statistic, fresh = load != NULL || reset || now->layer[role] == NULL;
    const cbn_tensor_source *source = load != NULL ? load : reset ? NULL : golden->tensor[role];
    cbn_tensor *made = &solved->made[role];
    int64_t extent[CBN_MAX_RANK];
    if (cbn_plan_extents(plan, role, extent) == 0) continue;
    if (fresh && make_layer_tensor(golden, source, role, plan, solved->layer_type, options, made, error)) {
      now->layer[role] = made;
    } else if (fresh) {
      if (!statistic || plan_count(&solved->plan, role) > 0) return false;
      continue;
    }
    solved->layer[role] = (cbn_held_tensor){.tensor = now->layer[role], .fresh = fresh};
    if (statistic && fresh && !hold_statistic(made, role == CBN_ROLE_RUNNING_MEAN ? &now->mean : &now->var))
      return refuse(golden, NULL, error, "memory", "there is none left for the '%s' of %s", "statistics");
  }
  now->reset = false;
  memset(now->load, 0, sizeof now->load);
  return true;
}

/* Memory for the result with that role. */
static cbn_expected *allocate_result(cbn_solved_step *solved, int role) {
  cbn_expected *result = &solved->expected[role];
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(&solved->plan, role, extent);
  return rank > 0 && cbn_expected_allocate(result, type_of(solved, role), rank, extent) ? result : NULL;
}

static bool compute_conv(const cbn_solve_options *options, cbn_solved_step *solved) {
  static const int roles[] = {CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};
  for (int direction = CBN_FORWARD; direction <= CBN_GRAD_BIAS; direction++) {
    cbn_step_call made;
    if (!cbn_step_call_make(solved, direction, &made)) continue;
    const cbn_expected *result = allocate_result(solved, roles[direction]);
    if (result == NULL || !cbn_reference_conv(&made.conv, made.call.tensor, options->arithmetic, result)) return false;
  }
  return true;
}

static bool compute_batchnorm(const cbn_solve_options *options, state *now, cbn_solved_step *solved) {
  const cbn_batchnorm *b = &solved->plan.batchnorm;
  cbn_step_call forward, backward;
  if (cbn_step_call_make(solved, CBN_GRAD_INPUT, &backward)) { /* before the statistics move on */
    const cbn_expected *input = allocate_result(solved, CBN_ROLE_GRAD_INPUT);
    const cbn_expected *weight = b->has_weight ? allocate_result(solved, CBN_ROLE_GRAD_WEIGHT) : NULL;
    const cbn_expected *bias = b->has_bias ? allocate_result(solved, CBN_ROLE_GRAD_BIAS) : NULL;
    if (input == NULL || (b->has_weight && weight == NULL) || (b->has_bias && bias == NULL)) return false;
    cbn_reference_batchnorm_backward(&backward.batchnorm, backward.call.tensor, &now->mean, &now->var,
                                     options->arithmetic, input, weight, bias);
  }
  if (cbn_step_call_make(solved, CBN_FORWARD, &forward)) {
    const cbn_expected *output = allocate_result(solved, CBN_ROLE_OUTPUT);
    if (output == NULL) return false;
    cbn_reference_batchnorm(&forward.batchnorm, forward.call.tensor, &now->mean, &now->var, options->arithmetic, output);
  }
  return (now->mean.rank == 0 || copy_expected(&now->mean, &solved->expected[CBN_ROLE_RUNNING_MEAN])) &&
         (now->var.rank == 0 || copy_expected(&now->var, &solved->expected[CBN_ROLE_RUNNING_VAR]));
}

/* A parameter that the layer does not have, where no refusal is expected: a slip, at the place of its name. */
static bool refuse_unknown(const cbn_case *golden, const cbn_value *params, const cbn_rejection *rejection,
                           cbn_error *error) {
  const cbn_value *at = NULL;
  for (size_t i = 0; i < params->as.map.count; i++) {
    char quoted[80];
    snprintf(quoted, sizeof quoted, "'%.60s'", params->as.map.keys[i]->as.string.text);
    if (strstr(rejection->message, quoted) != NULL) at = params->as.map.keys[i];
  }
  return refuse(golden, at, error, "unknown-parameter", "%s in %s", rejection->message);
}

/* A tensor that the layer never has says that the case means another layer. */
static bool check_superfluous(const cbn_case *golden, const cbn_solution *solution, cbn_error *error) {
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_BIAS; role++) {
    bool calls = false, has = golden->tensor[role] == NULL;
    for (size_t i = 0; i < solution->count; i++) {
      int64_t extent[CBN_MAX_RANK];
      const cbn_solved_step *step = &solution->steps[i];
      if (step->rejected || cbn_is_empty(step)) continue;
      calls = true;
      has = has || cbn_plan_extents(&step->plan, role, extent) > 0;
    }
    if (calls && !has)
      return refuse(golden, golden->tensor[role]->node, error, "tensor", "the layer has no '%s', but %s gives one",
                    cbn_role_name(role));
  }
  return true;
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
    if (step->reset) trained = 0;
    const bool accepted = cbn_step_plan(golden, step, trained, &shape, solved);
    if (!accepted && !step->expect.rejected && solved->rejection.rule == CBN_RULE_UNKNOWN_PARAMETER)
      return refuse_unknown(golden, step->params, &solved->rejection, error);
    if (shape.rank < 0 && (accepted || solved->rejection.rule == CBN_RULE_INPUT_RANK))
      return refuse(golden, NULL, error, "missing-tensor", "the tensor '%s' of %s is missing", "input");
    if (!accepted) { /* the batch of a refused call counts, if it has as many axes as the layer takes */
      trained += cbn_step_trains(golden, step) && solved->rejection.rule != CBN_RULE_INPUT_RANK;
      continue;
    }
    if (!cbn_types_go_together((int32_t)solved->plan.kind, solved->input_type, solved->layer_type))
      return refuse(golden, step->input->node, error, "type", "no engine is given the types of '%s' and layer of %s",
                    "input");
    if (asked_direction(&solved->plan) != CBN_FORWARD && !solved->has_gradients)
      return refuse(golden, NULL, error, "missing-tensor", "the tensor '%s' of %s is missing", "grad_output");
    CBN_FORWARD(count_memory(golden, solved, options, &bytes, error));
    if (options->other_variance) solved->plan.batchnorm.running_variance ^= CBN_VARIANCE_BIASED ^ CBN_VARIANCE_UNBIASED;
    trained += cbn_step_trains(golden, step);
    solution->work += plan_work(&solved->plan);
    solution->large = solution->large || is_large(solved);
  }
  return true;
}

static bool solve_step(const cbn_case *golden, const cbn_solve_options *options, const cbn_step *step,
                       cbn_solved_step *solved, state *now, cbn_error *error) {
  note_changes(step, now);
  if (solved->rejected) return true;
  CBN_FORWARD(prepare_layer(golden, options, now, solved, error));
  CBN_FORWARD(make_activations(golden, step, options, solved, error));
  if (is_large(solved)) return true;
  const bool memory =
      solved->plan.kind == CBN_OPERATOR_CONV ? compute_conv(options, solved) : compute_batchnorm(options, now, solved);
  return memory || refuse(golden, NULL, error, "memory", "there is none left for the '%s' of %s", "results");
}

bool cbn_solve(const cbn_case *golden, const cbn_solve_options *options, cbn_solution *solution, cbn_error *error) {
  state now = {.mean.rank = 0};
  *solution = (cbn_solution){.steps = calloc(golden->step_count, sizeof *solution->steps)};
  bool solved = solution->steps != NULL ||
                refuse(golden, NULL, error, "memory", "there is none left for the '%s' of %s", "steps");
  solved = solved && plan_steps(golden, options, solution, error) && check_superfluous(golden, solution, error);
  for (size_t i = 0; solved && i < solution->count; i++)
    solved = solve_step(golden, options, &golden->steps[i], &solution->steps[i], &now, error);
  cbn_expected_release(&now.mean);
  cbn_expected_release(&now.var);
  return solved;
}

void cbn_solution_release(cbn_solution *solution) {
  for (size_t i = 0; i < solution->count; i++) {
    cbn_solved_step *step = &solution->steps[i];
    cbn_tensor_release(&step->input);
    cbn_tensor_release(&step->grad_output);
    for (int role = 0; role < CBN_ROLE_COUNT; role++) {
      cbn_tensor_release(&step->made[role]);
      cbn_expected_release(&step->expected[role]);
    }
  }
  free(solution->steps);
  *solution = (cbn_solution){0};
}

/* ------------------------------------------------------------------------------------------------ expectations */

/* Is it a result that the step does not have, for one other direction is asked for? */
static bool is_left_out(const cbn_solved_step *step, int role) {
  cbn_step_call made;
  int64_t extent[CBN_MAX_RANK];
  const int32_t asked = asked_direction(&step->plan);
  if (asked == CBN_FORWARD || (role != CBN_ROLE_OUTPUT && !is_gradient(role))) return false;
  return !cbn_step_call_make(step, asked, &made) || cbn_call_extents(&made.call, role, extent) == 0;
}

cbn_shape cbn_native_shape(const cbn_solved_step *step, int role) {
  int64_t extent[CBN_MAX_RANK];
  cbn_shape shape = {.rank = is_left_out(step, role) ? 0 : cbn_plan_extents(&step->plan, role, extent)};
  const bool drop = step->plan.unbatched && cbn_is_activation(role);
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

/* A value made by hand: the exact result, which lies in value +- own, rounded once to its type. */
static bool is_rounded_result(int32_t type, const cbn_interval *interval, double value) {
  if (!isfinite(interval->value) || interval->flags & (CBN_EXACT | CBN_INCONCLUSIVE))
    return cbn_interval_admits(interval, value);
  return value >= cbn_type_round(type, interval->value - interval->own) &&
         value <= cbn_type_round(type, interval->value + interval->own);
}

static bool values_hold(const cbn_tensor *stated, const cbn_expected *expected, const char *name, bool by_hand,
                        cbn_error *why) {
  for (int64_t i = 0; i < expected->count; i++) {
    const cbn_interval interval = cbn_expected_at(expected, i);
    const double value = cbn_tensor_get(stated, i);
    if (by_hand ? is_rounded_result(expected->type, &interval, value) : cbn_interval_admits(&interval, value)) continue;
    int64_t index[CBN_MAX_RANK];
    char place[96];
    cbn_unravel(stated->rank, stated->extent, i, index);
    print_shape(stated->rank, index, place, sizeof place);
    CBN_FAIL(why, "%s%s is stated as %.9g, the reference says %.9g +- %.3g", name, place, isnan(value) ? NAN : value,
             isnan(interval.value) ? NAN : interval.value, by_hand ? interval.own : interval.bound);
  }
  return true;
}

/* The shape in which the case states the result. */
static cbn_shape stated_shape(const cbn_solved_step *step, int role) {
  cbn_shape shape = cbn_native_shape(step, role);
  if (shape.rank > 0 && cbn_plan_reorders(&step->plan, role))
    cbn_plan_native_extents(&step->plan, role, shape.extent);
  return shape;
}

static bool tensor_holds(const cbn_case *golden, const cbn_tensor_source *source, const cbn_solution *solution,
                         size_t step, int role, bool by_hand, bool values, cbn_error *why) {
  const cbn_solved_step *solved = &solution->steps[step];
  const char *name = cbn_role_name(role);
  const cbn_shape shape = stated_shape(solved, role);
  char stated_text[160], shape_text[160];
  CBN_CHECK(shape.rank > 0, why, "the call has no %s", name);
  cbn_tensor stated = {0};
  print_shape(shape.rank, shape.extent, shape_text, sizeof shape_text);
  if (source->has_shape && !same_shape(&source->shape, shape.rank, shape.extent)) {
    print_shape(source->shape.rank, source->shape.extent, stated_text, sizeof stated_text);
    CBN_FAIL(why, "the shape of %s is stated as %s, the reference says %s", name, stated_text, shape_text);
  }
  if (source->content == CBN_CONTENT_NONE || !values || solved->expected[role].rank == 0) return true;
  cbn_tensor_source typed = *source;
  if (!source->has_type) typed.type = solved->expected[role].type;
  CBN_CHECK(typed.type == solved->expected[role].type, why, "the type of %s is stated as %s, it is %s", name,
            cbn_type_name(typed.type), cbn_type_name(solved->expected[role].type));
  CBN_FORWARD(cbn_source_materialise(&typed, golden->file, role, 0, INT64_MAX, &stated, why));
  bool holds = same_shape(&shape, stated.rank, stated.extent) ||
               cbn_error_set(why, "the values stated for %s have another shape than %s", name, shape_text);
  if (holds && cbn_plan_reorders(&solved->plan, role)) cbn_plan_view(&solved->plan, role, &stated);
  holds = holds && values_hold(&stated, &solved->expected[role], name, by_hand, why);
  cbn_tensor_release(&stated);
  return holds;
}

bool cbn_is_empty(const cbn_solved_step *solved) {
  return !solved->rejected && plan_count(&solved->plan, CBN_ROLE_OUTPUT) == 0;
}

static bool rejection_holds(const cbn_expectation *expect, const cbn_solved_step *solved, cbn_error *why) {
  const cbn_rejection *r = &solved->rejection;
  if (!solved->rejected) {
    if (cbn_is_empty(solved) && (expect->acceptable & CBN_ACCEPT_EMPTY_EITHER)) return true;
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
  cbn_step_call made;
  cbn_step_call_make(step, CBN_FORWARD, &made);
  int64_t extent[CBN_MAX_RANK], position[CBN_SAMPLES][CBN_MAX_SPATIAL];
  cbn_conv_extents(conv, CBN_ROLE_OUTPUT, extent);
  cbn_sample_positions(conv->spatial_rank, extent + 2, 0, position);
  *count = CBN_SAMPLES * conv->batch * conv->out_channels;
  cbn_interval *columns = calloc((size_t)*count, sizeof *columns);
  if (columns == NULL || cbn_reference_conv_at(conv, made.call.tensor, 0, step->input.type, CBN_SAMPLES,
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
  const cbn_solved_step *x = &a->steps[a->count - 1], *y = &b->steps[b->count - 1];
  if (x->rejected || y->rejected) {
    CBN_CHECK(x->rejected == y->rejected, why, "one of them is refused");
    return true;
  }
  for (int i = 0; i < CBN_RESULT_ROLES; i++) {
    const int role = cbn_result_roles[i];
    const cbn_shape s = cbn_native_shape(x, role), t = cbn_native_shape(y, role);
    if (is_gradient(role) && !(x->has_gradients && y->has_gradients)) continue;
    CBN_CHECK(same_shape(&s, t.rank, t.extent), why, "the shapes of %s differ", cbn_role_name(role));
    CBN_CHECK(a->large == b->large, why, "one of them is too large to be compared with the other");
    if (a->large && role == CBN_ROLE_OUTPUT && cbn_extent_product(s.rank, s.extent) > 0)
      CBN_FORWARD(samples_agree(a, b, why));
    CBN_FORWARD(results_agree(&x->expected[role], &y->expected[role], cbn_role_name(role), why));
  }
  return true;
}
