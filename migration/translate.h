/* Translation: a layer of one framework as one of another, or the reason why there is none.
 *
 * Proposals come from the target's framework.h, remaining paddings are put around them, compare.h says where each agrees with the source, the
 * best is taken: exact, exact if, with inserted operators, evaluation only. It is then run: both sides on integers through the
 * reference, the target in its own order of axes with the weights as they are moved by weights.h, padding and cropping done on tensors. An
 * answer that does not come out equal is never printed. */
#ifndef CBN_MIGRATION_TRANSLATE_H
#define CBN_MIGRATION_TRANSLATE_H

#include "core/error.h"
#include "migration/compare.h"

enum cbn_translation_kind {
  CBN_TRANSLATION_EXACT,
  CBN_TRANSLATION_EXACT_IF,
  CBN_TRANSLATION_EVALUATION,
  CBN_TRANSLATION_NONE
};

typedef struct cbn_translation {
  enum cbn_translation_kind kind;
  cbn_layer source, target;
  cbn_situation at;
  bool inserts; /* a padding before the target or a cropping behind it */
  cbn_surroundings around;
  cbn_comparison comparison; /* of the best proposal, also where there is no translation: why not */
  bool verified;             /* by running both */
  int64_t verified_elements;
} cbn_translation;

/* Translates into an operator of `to`: `operator` where one is asked for, else the first of the dialect that does best. `at` is the
 * situation at hand, accepted by the source. False with an error only where something failed (memory; a proposal that compares equal
 * and runs unequal, which is a bug of ours and says so). */
bool cbn_translate(const cbn_layer *source, const cbn_situation *at, const cbn_dialect *to,
                   const cbn_dialect_operator *operator, cbn_arena * arena, cbn_translation *translation,
                   cbn_error *error);

#endif
