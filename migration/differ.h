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

/* How two answers part. */
enum cbn_parting {
  CBN_PART_VALUES,
  CBN_PART_SHAPES, /* of a result, or of a tensor that both are given */
  CBN_PART_FIRST_REFUSES,
  CBN_PART_SECOND_REFUSES,
  CBN_PARTINGS
};
/* Some of them, as bits. */
enum { CBN_PART_RESULTS = 1 << CBN_PART_VALUES | 1 << CBN_PART_SHAPES, CBN_PART_ANYHOW = (1 << CBN_PARTINGS) - 1 };

typedef struct cbn_witness {
  cbn_layer a, b;
  cbn_situation at;
  cbn_tensor tensor[CBN_ROLE_COUNT]; /* what both got: input, weight, bias, statistics */
  cbn_answer of_a, of_b;
  enum cbn_parting parting;
  int role;           /* the result in which they part (output, running_var) ... */
  int64_t index;      /* ... at this element, in row-major order; -1: in its shape, or one refuses */
  char sentence[320]; /* what differs, for people */
} cbn_witness;

void cbn_witness_release(cbn_witness *witness);

/* What is sought, and what was searched, for those who hear that nothing was found. */
typedef struct cbn_search {
  unsigned partings; /* in: those that count, as bits */
  bool first;        /* in: one is enough, whichever comes first; else one of each */
  int64_t layers, situations; /* asked */
  int64_t largest_extent, largest_kernel;
} cbn_search;

/* Is it a limit of the dialect's, not the framework's refusal? Nothing is said of what lies beyond. */
bool cbn_is_limit(const cbn_rejection *rejection);

/* Asks both in one situation. True where they differ in one of these ways; then, and where they do not, `witness` is to be released.
 * Where both refuse, they do not differ. False without memory too, with nothing to release (`*failed`). */
bool cbn_ask_both(const cbn_layer *a, const cbn_layer *b, const cbn_situation *at, unsigned partings,
                  cbn_witness *witness, bool *failed);

/* The smallest situation in which two layers differ. */
bool cbn_differ_layers(const cbn_layer *a, const cbn_layer *b, cbn_search *search, cbn_witness *witness);

/* The layers of one operator that searches start from: every small one, and what the generator draws from the seed. They are
 * translated when they are first asked for, and kept for all searches. NULL without memory. */
typedef struct cbn_starts cbn_starts;
cbn_starts *cbn_starts_create(const cbn_dialect *dialect, const cbn_dialect_operator *operator, int32_t axes,
                              uint64_t seed, int64_t genomes, cbn_arena *arena);

/* The simplest layer that the operator has, and where it is asked; NULL: none. */
const cbn_layer *cbn_starts_simplest(cbn_starts *starts, cbn_situation *at);

/* The smallest layers and situations in which two operators differ by parameters of that meaning, all others being given in both so that
 * they agree; CBN_MEANING_COUNT: by any. The starts of both are of the same axes, seed and genomes. Returns the partings found, as
 * bits; each has its witness, to be released, whose values live in the arenas. */
unsigned cbn_differ_operators(cbn_starts *a, cbn_starts *b, enum cbn_meaning meaning, cbn_search *search,
                              cbn_witness witness[CBN_PARTINGS]);

/* Ports a layer by the meanings of its parameters: the same values under the names of `operator`. */
bool cbn_port_by_name(const cbn_layer *layer, const cbn_dialect *dialect, const cbn_dialect_operator *operator,
                      cbn_arena * arena, cbn_layer *ported);

/* A convolution as a layer of the framework, nothing put around it. False where it has none. */
bool cbn_layer_of_conv(const cbn_conv *conv, const cbn_dialect *dialect, const cbn_dialect_operator *operator,
                       cbn_arena * arena, cbn_layer *layer);

/* Leaves out all parameters but those that are required. */
bool cbn_layer_keep_required(cbn_layer *layer, cbn_arena *arena);

/* Leaves out what equals its default, but for parameters of that meaning (COUNT: none); where a plan shows a difference, nothing. */
void cbn_layer_leave_defaults(cbn_layer *layer, const cbn_situation *at, enum cbn_meaning but, cbn_arena *arena);

/* Are these one parameter in some framework and two in another: rules of padding and its amounts? */
bool cbn_meanings_join(enum cbn_meaning a, enum cbn_meaning b);

/* Gives the layer's parameter with that meaning a value; false where it has none. */
bool cbn_layer_set(cbn_layer *layer, enum cbn_meaning meaning, const cbn_value *value, cbn_arena *arena);

/* Pads by the framework's name for the rule `name` ("same": also 'SAME', 'SAME_UPPER'), all else as it is. False where no name is taken
 * there. */
bool cbn_layer_name_padding(cbn_layer *layer, const cbn_situation *at, const char *name, cbn_arena *arena);

#endif
