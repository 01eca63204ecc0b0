/* Where do two frameworks part? The smallest integer witness, or the region that was searched in vain.
 *
 * Two layers are asked side by side in ever larger situations, on integers that show which element went where (an input of 1, 2, 3,
 * ..., a kernel of 1, 10, 100, ...). Two operators are first given layers: every small combination of parameters under one meaning, in the order
 * of their size, and then what the generator of problems draws, written in the first framework's parameters. The second
 * gets the same values under its own names, as somebody would write them who ports a program by its parameters' names. */
#ifndef CBN_MIGRATION_DIFFER_H
#define CBN_MIGRATION_DIFFER_H

#include <convbn/reference.h>

#include "migration/compare.h"
#include "migration/meaning.h"

/* One side's answer: its refusal, or its plan and, by role, what it computes (output, running statistics) in the operator's
 * order of axes, with the bounds of f32 arithmetic. */
typedef struct cbn_answer {
  bool rejected;
  cbn_rejection rejection;
  cbn_plan plan;
  int steps; /* calls made: those in training before, and the situation's own */
  cbn_expected result[CBN_ROLE_COUNT];
} cbn_answer;

typedef struct cbn_witness {
  cbn_layer a, b;
  cbn_situation at;
  cbn_tensor tensor[CBN_ROLE_COUNT]; /* what both got: input, weight, bias, statistics */
  cbn_answer of_a, of_b;
  int role;           /* the result in which they part (output, running_var) ... */
  int64_t index;      /* ... at this element, in row-major order; -1: in its shape, or one refuses */
  char sentence[320]; /* what differs, for people */
} cbn_witness;

void cbn_witness_release(cbn_witness *witness);

/* What was searched, for those who hear that nothing was found. */
typedef struct cbn_search {
  int64_t layers, situations; /* asked */
  int64_t largest_extent, largest_kernel;
  bool rejections; /* in: one side's refusal counts as a difference */
  uint64_t seed;   /* in: of the generator */
  int64_t genomes; /* in: how many problems it draws */
} cbn_search;

/* Asks both in one situation. True where they differ; then, and where they do not for want of a difference in what they
 * compute, `witness` is to be released. Where both refuse, they do not differ. False without memory too, with nothing to
 * release (`*failed`). */
bool cbn_ask_both(const cbn_layer *a, const cbn_layer *b, const cbn_situation *at, bool rejections,
                  cbn_witness *witness, bool *failed);

/* The smallest situation in which two layers differ. */
bool cbn_differ_layers(const cbn_layer *a, const cbn_layer *b, cbn_search *search, cbn_witness *witness);

/* The smallest layers and situation in which two operators differ by parameters of that meaning, all others being given in both so that
 * they agree; CBN_MEANING_COUNT: by any, each at its default unless both have it. Values in the arena. */
bool cbn_differ_operators(const cbn_dialect *a, const cbn_dialect_operator *of_a, const cbn_dialect *b,
                          const cbn_dialect_operator *of_b, enum cbn_meaning meaning, cbn_arena *arena,
                          cbn_search *search, cbn_witness *witness);

/* Ports a layer by the meanings of its parameters: the same values under the names of `operator`. */
bool cbn_port_by_name(const cbn_layer *layer, const cbn_dialect *dialect, const cbn_dialect_operator *operator,
                      cbn_arena * arena, cbn_layer *ported);

#endif
