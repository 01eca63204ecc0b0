/* Do two layers compute the same? Asked of their plans, over a region of situations, and of the reference's numbers.
 *
 * A plan is the whole meaning of a call (the dialect adds nothing to it), so two layers are the same in a situation if their plans are, once
 * what cannot be seen is left aside: orders of axes, the mode of a padding of 0, scales that are all one. Over situations, padding and extents of an axis depend
 * on that axis' extent alone and, by names like SAME, on it modulo the stride; the region walks each axis' extents through
 * several periods beyond the kernel's, batches, training and evaluation, and the first steps. */
#ifndef CBN_MIGRATION_COMPARE_H
#define CBN_MIGRATION_COMPARE_H

#include "migration/layer.h"

/* What stands around a layer: a padding of its input, and a cropping of its output. */
typedef struct cbn_surroundings {
  int32_t padding_mode; /* enum cbn_padding_mode */
  int64_t pad_begin[CBN_MAX_SPATIAL], pad_end[CBN_MAX_SPATIAL];
  int64_t crop_begin[CBN_MAX_SPATIAL], crop_end[CBN_MAX_SPATIAL];
} cbn_surroundings;

/* The plan of the padding, the layer and the cropping together, where one operator can say it. False where the layer refuses (with its
 * rejection), or one operator cannot say it (rule CBN_RULE_COUNT). */
bool cbn_surrounded_plan(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *situation,
                         cbn_plan *plan, cbn_rejection *rejection);

/* Do two plans mean the same? `why` (may be NULL) gets a sentence on the first difference: "pad_end of axis W is 2, not 1". A tensor that only `b` has must be
 * filled with the constant that `needs` (may be NULL) then says: a scale of ones, a bias of zeros. */
typedef struct cbn_constants {
  bool needed[CBN_ROLE_COUNT];
  double value[CBN_ROLE_COUNT];
} cbn_constants;
bool cbn_plans_agree(const cbn_plan *a, const cbn_plan *b, cbn_constants *needs, char *why, size_t why_size);

/* On one spatial extent: all conditions hold together. */
typedef struct cbn_predicate {
  int64_t at_least;         /* 0: no such condition */
  int64_t modulus, residue; /* extent mod modulus = residue; modulus 0: no such condition */
  int64_t exactly;          /* 0: no such condition */
} cbn_predicate;

enum cbn_agreement {
  CBN_AGREE_ALWAYS,     /* wherever the first accepts, in the whole region */
  CBN_AGREE_IF,         /* where the predicates hold */
  CBN_AGREE_EVALUATION, /* in evaluation only (always, or where the predicates hold) */
  CBN_AGREE_NEVER       /* not in the situation at hand */
};

typedef struct cbn_comparison {
  enum cbn_agreement agreement;
  cbn_predicate predicate[CBN_MAX_SPATIAL];
  bool batched_only;       /* the second takes no unbatched input though the first does */
  cbn_constants constants; /* tensors that the second has and the first has not */
  int64_t situations;      /* asked */
  /* The smallest situation in which they part (NEVER, EVALUATION, IF), and how: the second's rejection, or a sentence. */
  bool parts;
  cbn_situation where;
  bool rejected;
  cbn_rejection rejection;
  char why[256];
} cbn_comparison;

/* Compares `b` with its surroundings against `a`, which accepts the situation `at`. The predicates are proven by enumeration of the
 * region: they hold for every situation of it in which the layers agree, and for no other. */
void cbn_compare(const cbn_layer *a, const cbn_layer *b, const cbn_surroundings *around, const cbn_situation *at,
                 cbn_comparison *comparison);

#endif
