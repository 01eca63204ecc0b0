#include "harness/evaluation.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/clock.h"
#include "harness/judge.h"

/* What one evaluation works with. */
typedef struct evaluation {
  const cbn_case *golden;
  const cbn_case_set *set;
  cbn_engine_process *engine;
  const cbn_evaluate_options *options;
  uint32_t arithmetic;
  cbn_solution solution; /* within the bounds of the engine's arithmetic */
  cbn_solution stated;   /* within those of the arithmetic behind what the case says; empty where they are the same */
  cbn_tensor running[2]; /* mean and variance as the engine has them */
  bool unsupported;      /* a call of the step was; why, in the engine's words */
  char why_unsupported[768];
  cbn_case_result *result;
} evaluation;

/* The verdict of the case, unless it has one already. */
static void decide(cbn_case_result *r, enum cbn_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void decide(cbn_case_result *r, enum cbn_verdict verdict, const char *format, ...) {
  if (r->verdict != CBN_VERDICT_COUNT) return;
  va_list arguments;
  va_start(arguments, format);
  r->verdict = verdict;
  vsnprintf(r->sentence, sizeof r->sentence, format, arguments);
  cbn_make_inert(r->sentence);
  va_end(arguments);
}

static void fail_case(cbn_case_result *r, const cbn_error *error) {
  r->bad_case = true;
  r->verdict = CBN_VERDICT_GOLDEN_REFUTED;
  snprintf(r->sentence, sizeof r->sentence, "%s", error->text);
}

/* ------------------------------------------------------------------------------------------ the case's own words */

static cbn_solve_options solve_options(const evaluation *e) {
  return (cbn_solve_options){
      .arithmetic = e->arithmetic, .seed = e->options->seed, .memory_bytes = e->options->memory_bytes};
}

static bool is_drawn(const cbn_tensor_source *source) {
  return source != NULL && source->content == CBN_CONTENT_FILL && cbn_fill_is_random(source->fill.kind);
}

static bool has_random_fill(const cbn_case *golden) {
  bool drawn = false;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) drawn = drawn || is_drawn(golden->tensor[role]);
  for (size_t i = 0; i < golden->step_count; i++) {
    const cbn_step *step = &golden->steps[i];
    drawn = drawn || is_drawn(step->input) || is_drawn(step->grad_output);
    for (int role = 0; role < CBN_ROLE_COUNT; role++) drawn = drawn || is_drawn(step->load[role]);
  }
  return drawn;
}

/* With other fills than the case was written for, only its shapes and rejections can be checked. */
static bool values_apply(const evaluation *e) { return e->options->seed == 0 || !has_random_fill(e->golden); }

static bool all_steps_hold(const evaluation *e, const cbn_solution *solution, cbn_error *why) {
  for (size_t i = 0; i < solution->count; i++)
    if (!cbn_expectation_holds(e->golden, &e->golden->steps[i].expect, solution, i, e->golden->by_hand, values_apply(e),
                               why))
      return false;
  return true;
}

static bool accepts_either_variance(const cbn_case *golden) {
  for (size_t i = 0; i < golden->step_count; i++)
    if (golden->steps[i].expect.acceptable & CBN_ACCEPT_RUNVAR_EITHER) return true;
  return false;
}

/* What a case states, or a recorded engine gave, is held against its own arithmetic, whatever the judged engine
 * declares. */
static const cbn_solution *stated_solution(const evaluation *e) {
  return e->stated.steps != NULL ? &e->stated : &e->solution;
}

/* Do the steps hold with the running variance of the other convention? */
static bool other_variance_holds(const evaluation *e, cbn_error *why) {
  cbn_solve_options options = solve_options(e);
  cbn_solution other;
  options.other_variance = true;
  options.arithmetic = cbn_stated_arithmetic(e->golden);
  const bool holds = cbn_solve(e->golden, &options, &other, why) && all_steps_hold(e, &other, why);
  cbn_solution_release(&other);
  return holds;
}

/* Does the case agree, or disagree, with each of the cases it names? */
static bool relations_hold(const evaluation *e, const char *const *ids, size_t count, bool same, cbn_error *why) {
  for (size_t i = 0; i < count; i++) {
    const cbn_case *other = cbn_cases_find(e->set, ids[i]);
    CBN_CHECK(other != NULL, why, "%s names %.200s, which is not among the cases loaded",
              same ? "same_as" : "differs_from", ids[i]);
    cbn_solve_options options = solve_options(e);
    cbn_solution solution;
    cbn_error error;
    options.arithmetic = cbn_stated_arithmetic(other);
    const bool solved = cbn_solve(other, &options, &solution, why);
    const bool agree = solved && cbn_solutions_agree(stated_solution(e), &solution, &error);
    cbn_solution_release(&solution);
    CBN_FORWARD(solved);
    if (same && !agree) CBN_FAIL(why, "the case must be the same as %.200s, but %.500s", ids[i], error.text);
    if (!same && agree) CBN_FAIL(why, "the case must differ from %.200s, but is the same everywhere", ids[i]);
  }
  return true;
}

static void check_expectations(evaluation *e) {
  cbn_error why;
  if (!all_steps_hold(e, stated_solution(e), &why) &&
      !(accepts_either_variance(e->golden) && other_variance_holds(e, &why)))
    decide(e->result, CBN_VERDICT_GOLDEN_REFUTED, "the case contradicts the reference: %s", why.text);
  for (size_t i = 0; i < e->golden->step_count && values_apply(e); i++) {
    const cbn_expectation *expect = &e->golden->steps[i].expect;
    if (!relations_hold(e, expect->same_as, expect->same_count, true, &why) ||
        !relations_hold(e, expect->differs_from, expect->differs_count, false, &why))
      decide(e->result, CBN_VERDICT_GOLDEN_REFUTED, "%s", why.text);
  }
}

/* One result of a step: `running_mean: shape [2], values 0 1`. */
static size_t describe_result(const cbn_solved_step *step, int role, char *text, size_t size) {
  const cbn_shape shape = cbn_native_shape(step, role);
  const cbn_expected *expected = &step->expected[role];
  size_t length = (size_t)snprintf(text, size, "%s: shape [", cbn_role_name(role));
  if (length < size) length += cbn_print_indices(shape.rank, shape.extent, ", ", text + length, size - length);
  if (length < size)
    length += (size_t)snprintf(text + length, size - length, "]%s", expected->count > 0 ? ", values" : "");
  for (int64_t i = 0; i < expected->count && i < 12 && length < size; i++)
    length +=
        (size_t)snprintf(text + length, size - length, " %.7g", isnan(expected->value[i]) ? NAN : expected->value[i]);
  if (expected->count > 12 && length < size) length += (size_t)snprintf(text + length, size - length, " ...");
  return length;
}

/* What the oracle has for the last step where the claim says something: the results that it names, else the output. */
static void describe_observed(const evaluation *e, const cbn_claim *claim, char *text, size_t size) {
  const cbn_solved_step *last = &e->solution.steps[e->solution.count - 1];
  size_t length = 0;
  if (last->rejected) {
    snprintf(text, size, "%s: %s", last->rejection.exception, last->rejection.message);
    return;
  }
  for (int role = 0; role < CBN_ROLE_COUNT && length < size; role++) {
    if (claim->expect.tensor[role] == NULL) continue;
    if (length > 0 && length + 2 < size) length += (size_t)snprintf(text + length, size - length, "; ");
    length += describe_result(last, role, text + length, size - length);
  }
  if (length == 0) describe_result(last, CBN_ROLE_OUTPUT, text, size);
}

/* A confirmed claim must hold, a refuted one must not, an engine known to be wrong must be. */
static void check_claims(evaluation *e) {
  const cbn_case *golden = e->golden;
  cbn_error why;
  const size_t last = e->solution.count - 1;
  e->result->claims_checked = values_apply(e);
  if (!e->result->claims_checked) return;
  for (size_t i = 0; i < golden->claim_count; i++) {
    const cbn_claim *claim = &golden->claims[i];
    cbn_claim_result *r = &e->result->claims[i];
    const bool holds = !claim->has_expect ||
                       (cbn_expectation_holds(golden, &claim->expect, stated_solution(e), last, false, true, &why) &&
                        relations_hold(e, claim->expect.same_as, claim->expect.same_count, true, &why) &&
                        relations_hold(e, claim->expect.differs_from, claim->expect.differs_count, false, &why));
    r->holds = holds != claim->refuted;
    if (claim->has_expect) cbn_value_print(claim->expect.node, r->expected, sizeof r->expected);
    describe_observed(e, claim, r->observed, sizeof r->observed);
    if (!r->holds)
      decide(e->result, CBN_VERDICT_GOLDEN_REFUTED, "the document's claim is marked %s, but %s",
             claim->refuted ? "refuted" : "confirmed", claim->refuted ? "the reference bears it out" : why.text);
  }
  for (size_t i = 0; i < golden->upstream_count; i++) {
    e->result->upstream_holds[i] =
        !cbn_expectation_holds(golden, &golden->upstream[i].observed, stated_solution(e), last, false, true, &why);
    if (!e->result->upstream_holds[i])
      decide(e->result, CBN_VERDICT_GOLDEN_REFUTED,
             "the answer of %s is marked as wrong, but the reference agrees with it", golden->upstream[i].engine);
  }
}

/* ------------------------------------------------------------------------------------------------- the engine */

/* A call with the memory of its tensors, as the engine sees them. */
typedef struct engine_call {
  cbn_step_call made;
  cbn_tensor tensor[CBN_ROLE_COUNT]; /* in the case's layout; the engine's own for results */
  bool owned[CBN_ROLE_COUNT];
} engine_call;

static void engine_call_release(engine_call *c) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (c->owned[role]) cbn_tensor_release(&c->tensor[role]);
}

/* Memory for one tensor: a copy of `from`, or, where that is NULL, of a result. */
static bool own_tensor(evaluation *e, engine_call *c, int role, int32_t type, int32_t rank, const int64_t *extent,
                       const cbn_tensor *from) {
  cbn_tensor *tensor = &c->tensor[role];
  c->owned[role] = cbn_tensor_describe(tensor, type, rank, extent, cbn_role_layout(e->golden->layout, role, rank)) &&
                   cbn_tensor_allocate(tensor);
  if (c->owned[role] && from != NULL) cbn_tensor_copy(tensor, from);
  return c->owned[role];
}

static bool prepare_tensor(evaluation *e, const cbn_solved_step *solved, engine_call *c, int role) {
  cbn_call *call = &c->made.call;
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_call_extents(call, role, extent);
  const cbn_tensor *given = call->tensor[role];
  if (rank == 0) return true;
  call->tensor[role] = &c->tensor[role];
  if (role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR) {
    c->tensor[role] = e->running[role - CBN_ROLE_RUNNING_MEAN];
  } else if (given != NULL && cbn_role_layout(e->golden->layout, role, rank) == CBN_CONTIGUOUS &&
             !e->golden->in_place) {
    c->tensor[role] = *given;
  } else if (e->golden->in_place && cbn_in_place_of(role) >= 0) {
    c->tensor[role] = c->tensor[cbn_in_place_of(role)];
  } else {
    const bool of_layer = role == CBN_ROLE_GRAD_WEIGHT || role == CBN_ROLE_GRAD_BIAS;
    const int32_t type = given != NULL ? given->type : of_layer ? solved->layer_type : solved->input.type;
    return own_tensor(e, c, role, type, rank, extent, given);
  }
  return true;
}

/* The call in that direction. Inputs come before the results that may take their place. */
static bool prepare_call(evaluation *e, const cbn_solved_step *solved, engine_call *c) {
  c->made.call.threads = e->options->threads;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (!prepare_tensor(e, solved, c, role)) return false;
  return true;
}

/* Looks at the errors of a result within its bounds. The problem is that of the oracle's tensors: an engine that
 * works in place has overwritten its own. Statistics that a program carries from step to step are left out. */
static bool look_closer(evaluation *e, const cbn_solved_step *solved, int direction, int role, const cbn_tensor *actual,
                        cbn_tensor_result *result) {
  cbn_step_call call;
  if (result->outside > 0 || role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR) return true;
  cbn_step_call_make(solved, direction, &call);
  const cbn_expected *expected = &solved->expected[role];
  if (call.call.conv != NULL)
    return cbn_suspect_conv(&call.conv, call.call.tensor, e->arithmetic, expected, actual, &result->suspicion);
  for (int k = 0; k < 2 && call.batchnorm.statistics == CBN_STATISTICS_RUNNING; k++)
    call.call.tensor[CBN_ROLE_RUNNING_MEAN + k] = &e->running[k];
  return cbn_suspect_batchnorm(&call.batchnorm, call.call.tensor, e->arithmetic, role, expected, actual,
                               &result->suspicion);
}

/* The engine answered; was it right? */
static bool judge_call(evaluation *e, const cbn_solved_step *solved, const engine_call *c, int direction,
                       cbn_step_result *step) {
  const cbn_plan *plan = &solved->plan;
  const int32_t spatial_rank = plan->kind == CBN_OPERATOR_CONV ? plan->conv.spatial_rank : plan->batchnorm.spatial_rank;
  for (int i = 0; i < CBN_RESULT_ROLES; i++) {
    const int role = cbn_result_roles[i];
    const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
    const cbn_tensor *actual = statistic ? &e->running[role - CBN_ROLE_RUNNING_MEAN] : c->made.call.tensor[role];
    const cbn_expected *expected = &solved->expected[role];
    const cbn_shape native = cbn_native_shape(solved, role);
    if (actual == NULL || actual->rank == 0 || (statistic && direction != CBN_FORWARD)) continue;
    if (expected->rank > 0) {
      cbn_tensor_result *result = &step->tensor[step->tensor_count++];
      cbn_judge_tensor(role, &native, spatial_rank, expected, actual, e->options->maps, result);
      if (!look_closer(e, solved, direction, role, actual, result)) return false;
    } else if (e->solution.large && role == CBN_ROLE_OUTPUT &&
               !cbn_judge_large(&c->made.conv, c->made.call.tensor, e->arithmetic, e->options->seed, &native,
                                &step->tensor[step->tensor_count++], &e->result->exact)) {
      return false;
    }
  }
  return true;
}

static void print_place(const cbn_tensor_result *t, char *text, size_t size) {
  size_t length = (size_t)snprintf(text, size, "%s[", cbn_role_name(t->role));
  if (length < size) length += cbn_print_indices(t->shape.rank, t->worst, ",", text + length, size - length);
  if (length < size) snprintf(text + length, size - length, "]");
}

/* Appends to a case that passes what must be known of it besides: tensors beyond judgement, and what is suspicious. */
static void report_reservations(evaluation *e) {
  cbn_case_result *r = e->result;
  for (size_t i = 0; r->verdict == CBN_VERDICT_PASS && i < e->solution.count; i++)
    for (int k = 0; k < r->steps[i].tensor_count; k++) {
      const cbn_tensor_result *t = &r->steps[i].tensor[k];
      const size_t length = strlen(r->sentence);
      if (t->elements > 0 && t->inconclusive == t->elements) {
        r->partly = true;
        snprintf(r->sentence + length, sizeof r->sentence - length,
                 "; of %s nothing can be said: all %" PRId64 " elements are inconclusive", cbn_role_name(t->role),
                 t->elements);
      } else if (t->suspicion.suspicious) {
        r->suspicious = true;
        snprintf(r->sentence + length, sizeof r->sentence - length, "; suspicious: %s: %s", cbn_role_name(t->role),
                 t->suspicion.sentence);
      }
    }
}

static void report_mismatches(evaluation *e, size_t i) {
  const cbn_step_result *step = &e->result->steps[i];
  char place[160], which[32] = "";
  if (e->golden->has_steps) snprintf(which, sizeof which, "step %zu: ", i + 1);
  for (int k = 0; k < step->tensor_count; k++) {
    const cbn_tensor_result *t = &step->tensor[k];
    if (t->elements > 0) e->result->share = isnan(e->result->share) ? t->share : fmax(e->result->share, t->share);
    if (t->outside == 0) continue;
    print_place(t, place, sizeof place);
    decide(e->result, CBN_VERDICT_MISMATCH,
           "%s%" PRId64 " of %" PRId64
           " elements are outside their bounds%s; the worst, %s, is %.9g where %.9g +- %.3g is right",
           which, t->outside, t->elements, t->sampled ? " (channel sums and samples)" : "", place, t->actual,
           t->expected, t->bound);
  }
}

/* An engine's refusal, error or misbehaviour. Returns false if the results are of no use. */
static bool accept_answer(evaluation *e, size_t step, const cbn_engine_answer *answer) {
  cbn_case_result *r = e->result;
  const char *colon = answer->message[0] != '\0' ? ": " : "";
  r->engine_seconds += answer->seconds;
  if (answer->verdict != CBN_VERDICT_PASS) {
    decide(r, answer->verdict, "%s%s%s", cbn_verdict_sentence(answer->verdict), colon, answer->message);
    return false;
  }
  switch (answer->status) {
  case CBN_OK: return true;
  case CBN_UNSUPPORTED: /* its other directions are judged all the same */
    e->unsupported = true;
    snprintf(e->why_unsupported, sizeof e->why_unsupported, "%s%s", colon, answer->message);
    return false;
  case CBN_REJECTED:
    if (e->golden->steps[step].expect.acceptable & CBN_ACCEPT_EMPTY_EITHER && cbn_is_empty(&e->solution.steps[step]))
      decide(r, CBN_VERDICT_PASS, "the engine refuses an empty output, as the case accepts%s%s", colon,
             answer->message);
    decide(r, CBN_VERDICT_REJECTED_VALID, "the engine refuses a valid problem%s%s", colon, answer->message);
    return false;
  default: decide(r, CBN_VERDICT_CRASH, "the engine failed%s%s", colon, answer->message); return false;
  }
}

/* One direction of a step. Returns false if nothing more can be said of the case. */
static bool run_call(evaluation *e, size_t i, int direction, engine_call *c) {
  const cbn_solved_step *solved = &e->solution.steps[i];
  cbn_engine_answer answer;
  const cbn_error none_left = {"memory: there is none left for the engine's tensors"};
  bool memory = prepare_call(e, solved, c), usable = false;
  if (memory) {
    e->result->asked = true;
    cbn_engine_run(e->engine, &c->made.call, e->options->timeout_seconds, !e->solution.large, &answer);
    usable = accept_answer(e, i, &answer);
    if (usable) memory = judge_call(e, solved, c, direction, &e->result->steps[i]);
  }
  if (!memory) fail_case(e->result, &none_left);
  return memory && (usable || e->unsupported);
}

/* Gives the engine the statistics that were put into the layer before the step. */
static bool refresh_running(evaluation *e, const cbn_solved_step *solved) {
  for (int k = 0; k < 2; k++) {
    const cbn_held_tensor *held = &solved->layer[CBN_ROLE_RUNNING_MEAN + k];
    if (!held->fresh) continue;
    cbn_tensor *running = &e->running[k];
    cbn_tensor_release(running);
    const enum cbn_layout layout =
        cbn_role_layout(e->golden->layout, CBN_ROLE_RUNNING_MEAN + k, held->tensor->rank);
    if (!cbn_tensor_describe(running, held->tensor->type, held->tensor->rank, held->tensor->extent, layout) ||
        !cbn_tensor_allocate(running))
      return false;
    cbn_tensor_copy(running, held->tensor);
  }
  return true;
}

/* The gradients come first: they are those of a call with the statistics as they were before it. */
static bool run_step(evaluation *e, size_t i) {
  static const int directions[] = {CBN_GRAD_INPUT, CBN_GRAD_WEIGHT, CBN_GRAD_BIAS, CBN_FORWARD};
  const cbn_error none_left = {"memory: there is none left for the running statistics"};
  bool going = refresh_running(e, &e->solution.steps[i]);
  if (!going) fail_case(e->result, &none_left);
  for (size_t k = 0; going && k < sizeof directions / sizeof directions[0]; k++) {
    engine_call c = {.made.call.tensor = {NULL}};
    if (!cbn_step_call_make(&e->solution.steps[i], directions[k], &c.made)) continue;
    going = run_call(e, i, directions[k], &c);
    engine_call_release(&c);
  }
  if (going) report_mismatches(e, i);
  if (going && e->unsupported)
    decide(e->result, CBN_VERDICT_UNSUPPORTED, "the engine is not made for this%s", e->why_unsupported);
  return going && !e->unsupported;
}

/* ------------------------------------------------------------------------------------------------- the verdict */

static bool is_vacuous(const cbn_solution *solution) {
  bool results = false, telling = false;
  for (size_t i = 0; i < solution->count; i++) {
    const cbn_solved_step *step = &solution->steps[i];
    if (step->rejected || solution->large) return false;
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      for (int64_t k = 0; k < step->expected[role].count && !telling; k++)
        telling = step->expected[role].value[k] != 0 && !(step->expected[role].flags[k] & CBN_INCONCLUSIVE);
    results = results || step->expected[CBN_ROLE_OUTPUT].count > 0;
  }
  return results && !telling;
}

static bool is_exact(const cbn_solution *solution) {
  for (size_t i = 0; i < solution->count; i++)
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      for (int64_t k = 0; k < solution->steps[i].expected[role].count; k++)
        if (solution->steps[i].expected[role].bound[k] > 0) return false;
  return !solution->large;
}

static void conclude(evaluation *e) {
  cbn_case_result *r = e->result;
  int64_t elements = 0, inconclusive = 0;
  bool sampled = false, empty = false;
  for (size_t i = 0; i < e->solution.count; i++)
    for (int k = 0; k < r->steps[i].tensor_count; k++) {
      elements += r->steps[i].tensor[k].elements;
      inconclusive += r->steps[i].tensor[k].inconclusive;
      sampled = sampled || r->steps[i].tensor[k].sampled;
      empty = empty || r->steps[i].tensor[k].elements == 0;
    }
  const cbn_solved_step *last = &e->solution.steps[e->solution.count - 1];
  if (last->rejected) {
    r->rule = cbn_rule_name((int)last->rejection.rule);
    decide(r, CBN_VERDICT_PASS, "refused, as it must be, by the dialect: %s: %s (rule %s)", last->rejection.exception,
           last->rejection.message, r->rule);
  } else if (empty && inconclusive == elements) {
    decide(r, CBN_VERDICT_PASS, "the output is empty, as it must be");
  } else if (inconclusive == elements) {
    decide(r, CBN_VERDICT_INCONCLUSIVE, "overflow or a vanishing variance makes all %" PRId64 " elements meaningless",
           elements);
  } else if (r->exact) {
    decide(r, CBN_VERDICT_PASS, "%s%" PRId64 " %s are exactly right", sampled ? "" : "all ", elements,
           sampled ? "channel sums and samples" : "elements");
  } else if (inconclusive > 0) {
    decide(r, CBN_VERDICT_PASS,
           "%" PRId64 " of %" PRId64
           " elements are within their bounds, the others inconclusive; the largest error is %.3g of its bound",
           elements - inconclusive, elements, r->share);
  } else {
    decide(r, CBN_VERDICT_PASS,
           "all %" PRId64 " elements are within their bounds; the largest error is %.3g of its bound", elements,
           r->share);
  }
}

static const char *mode_name(const cbn_case *golden, const cbn_step *step) {
  if (golden->operator->kind != CBN_OPERATOR_BATCHNORM) return NULL;
  return cbn_step_trains(golden, step) ? "train" : "eval";
}

static void forget_steps(cbn_case_result *result) {
  for (size_t i = 0; result->steps != NULL && i < result->golden->step_count; i++) {
    for (int k = 0; k < result->steps[i].tensor_count; k++) free(result->steps[i].tensor[k].map);
    result->steps[i].tensor_count = 0;
  }
}

/* Runs the steps by the solution in force, from the beginning. */
static void run_steps(evaluation *e) {
  forget_steps(e->result);
  e->unsupported = false;
  for (size_t i = 0; i < e->solution.count; i++)
    if (!e->solution.steps[i].rejected && !run_step(e, i)) break;
}

/* An engine that follows the other convention of the running variance, where the case accepts either: all its steps
 * must. */
static void try_other_variance(evaluation *e) {
  cbn_case_result *r = e->result;
  cbn_solve_options options = solve_options(e);
  const cbn_case_result first = *r;
  const cbn_solution stated = e->solution;
  cbn_error why;
  options.other_variance = true;
  if (cbn_solve(e->golden, &options, &e->solution, &why)) {
    r->verdict = CBN_VERDICT_COUNT;
    r->share = NAN;
    run_steps(e);
  }
  if (r->verdict != CBN_VERDICT_COUNT) { /* neither fits: the case's own says more */
    r->verdict = first.verdict;
    r->share = first.share;
    memcpy(r->sentence, first.sentence, sizeof r->sentence);
  }
  cbn_solution_release(&e->solution);
  e->solution = stated;
}

static void evaluate_solved(evaluation *e) {
  e->result->work = e->solution.work;
  e->result->exact = is_exact(&e->solution);
  e->result->vacuous = is_vacuous(&e->solution);
  const bool able = !e->golden->in_place || (cbn_engine_identify(e->engine)->abilities & CBN_IN_PLACE);
  if (!able) decide(e->result, CBN_VERDICT_UNSUPPORTED, "the engine does not say that it can work in place");
  if (able) run_steps(e);
  if (e->result->verdict == CBN_VERDICT_MISMATCH && accepts_either_variance(e->golden)) try_other_variance(e);
  if (e->result->bad_case) return;
  check_expectations(e);
  check_claims(e);
  conclude(e);
  report_reservations(e);
}

void cbn_evaluate(const cbn_case *golden, const cbn_case_set *set, cbn_engine_process *engine,
                  const cbn_evaluate_options *options, cbn_case_result *result) {
  const double start = cbn_clock_seconds();
  evaluation e = {.golden = golden,
                  .set = set,
                  .engine = engine,
                  .options = options,
                  .result = result,
                  .arithmetic = cbn_engine_identify(engine)->arithmetic};
  if (golden->operator->kind == CBN_OPERATOR_CONV) e.arithmetic &= ~(uint32_t)CBN_TWO_PASS_STATISTICS;
  else e.arithmetic &= ~(uint32_t)(CBN_TF32_PRODUCTS | CBN_BF16_PRODUCTS);
  cbn_error error = {"memory: there is none left"};
  *result = (cbn_case_result){.golden = golden, .verdict = CBN_VERDICT_COUNT, .share = NAN};
  result->steps = calloc(golden->step_count, sizeof *result->steps);
  result->claims = calloc(golden->claim_count + 1, sizeof *result->claims);
  result->upstream_holds = calloc(golden->upstream_count + 1, sizeof *result->upstream_holds);
  cbn_solve_options solve = solve_options(&e);
  solve.stated_too = e.arithmetic != cbn_stated_arithmetic(golden);
  if (result->steps == NULL || result->claims == NULL || result->upstream_holds == NULL) {
    fail_case(result, &error);
  } else {
    for (size_t i = 0; i < golden->step_count; i++) result->steps[i].mode = mode_name(golden, &golden->steps[i]);
    cbn_solve_options stated = solve;
    stated.arithmetic = cbn_stated_arithmetic(golden);
    if (cbn_solve(golden, &solve, &e.solution, &error) && /* a large one has no bounds that could differ */
        (e.solution.large || !solve.stated_too || cbn_solve(golden, &stated, &e.stated, &error)))
      evaluate_solved(&e);
    else fail_case(result, &error);
  }
  cbn_solution_release(&e.solution);
  cbn_solution_release(&e.stated);
  for (int i = 0; i < 2; i++) cbn_tensor_release(&e.running[i]);
  result->seconds = cbn_clock_seconds() - start;
}

void cbn_case_result_release(cbn_case_result *result) {
  forget_steps(result);
  free(result->steps);
  free(result->claims);
  free(result->upstream_holds);
  *result = (cbn_case_result){0};
}
