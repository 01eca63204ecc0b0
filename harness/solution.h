/* The oracle's side of a case: what the dialect makes of it and what the reference computes, step by step. */
#ifndef CBN_HARNESS_SOLUTION_H
#define CBN_HARNESS_SOLUTION_H

#include <convbn/reference.h>

#include "harness/cases.h"

/* Above either, a case is `large`: run only on request, and judged without its whole reference. */
#define CBN_LARGE_WORK ((int64_t)1 << 30)
#define CBN_LARGE_BYTES ((int64_t)1 << 29)

typedef struct cbn_solve_options {
  uint32_t arithmetic;  /* what the judged engine declares */
  uint64_t seed;        /* mixed into the fills' seeds; 0: as written */
  int64_t memory_bytes; /* what one case may need */
  bool other_variance;  /* the running variance biased for unbiased and the other way round */
  bool stated_too;      /* the case is solved once more, for what it states: counted in the memory */
} cbn_solve_options;

/* What the layer holds during a step: weight, bias, statistics. */
typedef struct cbn_held_tensor {
  const cbn_tensor *tensor; /* NULL where the layer has none */
  bool fresh;               /* put there before this step: given, loaded or reset */
} cbn_held_tensor;

typedef struct cbn_solved_step {
  bool rejected;
  cbn_rejection rejection; /* where rejected */
  cbn_plan plan;           /* else */
  int32_t input_type, layer_type; /* of the activations, of the layer's own tensors */
  bool has_gradients;
  cbn_tensor input, grad_output;         /* dense, with the batch axis */
  cbn_tensor made[CBN_ROLE_COUNT];       /* what was put into the layer before this step */
  cbn_held_tensor layer[CBN_ROLE_COUNT]; /* weight, bias, statistics (these as they were put there) */
  cbn_expected expected[CBN_ROLE_COUNT]; /* rank 0 where the step has no such result, or the case is large */
} cbn_solved_step;

typedef struct cbn_solution {
  cbn_solved_step *steps;
  size_t count;
  bool large;
  int64_t work; /* multiply-adds, or elements of a batch normalization, of all steps */
} cbn_solution;

/* A step's problem in one of its directions: the plan's operator in `conv` or `batchnorm`, and the call without outputs
 * and running statistics. The gradients of a batch normalization are one call, direction CBN_GRAD_INPUT. False where
 * the step has no such direction. */
typedef struct cbn_step_call {
  cbn_call call;
  cbn_conv conv;
  cbn_batchnorm batchnorm;
} cbn_step_call;
bool cbn_step_call_make(const cbn_solved_step *step, int direction, cbn_step_call *made);

/* Asks the dialect what the step is, without its tensors: sets `rejected` or the plan, and the types. `trained` counts
 * the calls in training before it, `input` is the shape of its input. False where it is rejected. */
bool cbn_step_plan(const cbn_case *golden, const cbn_step *step, int64_t trained, const cbn_shape *input,
                   cbn_solved_step *solved);

/* Solves the case. False where the case itself is wrong: a tensor is missing, has another shape than the parameters
 * say, needs more memory than it may. Released with cbn_solution_release in either event. */
bool cbn_solve(const cbn_case *golden, const cbn_solve_options *options, cbn_solution *solution, cbn_error *error);
void cbn_solution_release(cbn_solution *solution);

/* The arithmetic of which a case's statements may be a result: none but plain arithmetic where they were made by
 * hand. */
uint32_t cbn_stated_arithmetic(const cbn_case *golden);

/* Does the step train? By its mode, or as the dialect does by default. */
bool cbn_step_trains(const cbn_case *golden, const cbn_step *step);

/* Prints `1, 2, 3` with that separator, cut to `size`. Returns the length that it has, or would have had. */
size_t cbn_print_indices(int32_t count, const int64_t *values, const char *separator, char *text, size_t size);

/* Plans the steps without making a tensor: is the case large? */
bool cbn_case_is_large(const cbn_case *golden);

/* Is the step accepted, with an output without elements? */
bool cbn_is_empty(const cbn_solved_step *step);

/* The shape of a result, axes in the operator's order, without a batch axis that the dialect does not have. */
cbn_shape cbn_native_shape(const cbn_solved_step *step, int role);

/* Does the expectation agree with what the oracle says of that step? Else `why` says where it does not. Values made
 * by hand must be the exact results rounded once; others must be within their bounds. `values` false compares shapes
 * alone. */
bool cbn_expectation_holds(const cbn_case *golden, const cbn_expectation *expect, const cbn_solution *solution,
                           size_t step, bool by_hand, bool values, cbn_error *why);

/* Positions of an output that is too large to be looked at whole: corners, borders, and others drawn from `seed`.
 * `extent` are its spatial extents, none of them 0. */
enum { CBN_SAMPLES = 48 };
void cbn_sample_positions(int32_t spatial_rank, const int64_t *extent, uint64_t seed,
                          int64_t position[CBN_SAMPLES][CBN_MAX_SPATIAL]);

/* Are the results of the last steps of two solved cases, output and running statistics, the same within their
 * bounds? Large ones are compared at sampled positions. */
bool cbn_solutions_agree(const cbn_solution *a, const cbn_solution *b, cbn_error *why);

#endif
