/* Translation: a layer of one framework as one of another, or the reason why there is none.
 *
 * Proposals come from the target's framework.h, remaining paddings are put around them, compare.h says where each
 * agrees with the source, the best is taken: exact, with inserted operators, under a condition, in one mode only.
 * It is then run: both sides on integers through the reference, the target in its own order of axes with the
 * weights as they are moved by weights.h, padding and cropping done on tensors. An answer that does not come out
 * equal is never printed. */
#ifndef CBN_MIGRATION_TRANSLATE_H
#define CBN_MIGRATION_TRANSLATE_H

#include "core/error.h"
#include "migration/run_both.h"

enum cbn_translation_kind {
  CBN_TRANSLATION_EXACT,
  CBN_TRANSLATION_EXACT_IF,
  CBN_TRANSLATION_EVALUATION, /* in evaluation only */
  CBN_TRANSLATION_TRAINING,   /* in training only */
  CBN_TRANSLATION_NONE,
  CBN_TRANSLATION_KINDS
};

/* "exact", "exact-if", "evaluation-only", "training-only", "none". */
const char *cbn_translation_name(enum cbn_translation_kind kind);

typedef struct cbn_translation {
  enum cbn_translation_kind kind;
  cbn_layer source, target; /* without an operator where the dialect has none to try */
  cbn_situation at;         /* with a batch where the target takes none without, with elements where there were none */
  bool inserts;             /* something stands around the target, or a bias is added behind it */
  cbn_surroundings around;
  cbn_comparison comparison; /* of the best proposal, also where there is no translation: why not */
  bool
      other_tensors; /* they part in what they have: weights of another shape, a bias, statistics; no numbers show it */
  bool has_witness;  /* else, unless one refuses: both were run where they part, with other results: */
  cbn_run_result witness;
  bool verified; /* by running both, where: */
  cbn_situation verified_at;
  cbn_run_result verification;
} cbn_translation;

/* Translates into an operator of `to`: `operator` where one is asked for, else the first of the dialect that does
 * best. `at` is the situation at hand, accepted by the source; of its mode nothing is read: `modes` says which are
 * wanted (CBN_BOTH_MODES). False with an error only where something failed (memory; a gradient alone, which is no
 * layer; a proposal that compares equal and runs unequal, which is a bug of ours and says so). */
bool cbn_translate(const cbn_layer *source, const cbn_situation *at, int modes, const cbn_dialect *to,
                   const cbn_dialect_operator *operator, cbn_arena *arena, cbn_translation *translation,
                   cbn_error *error);

/* A plan in which a layer has all tensors that it has in any mode: what is moved. False where it refuses both
 * modes. */
bool cbn_whole_plan(const cbn_layer *layer, const cbn_situation *at, cbn_plan *plan, cbn_rejection *rejection);

#endif
