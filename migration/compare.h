/* Do two layers compute the same? Asked of their plans, over a region of situations.
 *
 * A plan is the whole meaning of a call (the dialect adds nothing to it), so two layers are the same in a
 * situation if their plans are, once what cannot be seen is left aside: orders of axes, the mode of a padding of
 * 0, padding that no window reaches, the stride of a single window. Over situations, padding and extents of an
 * axis depend on that axis' extent alone and, by names like SAME, on it modulo the stride; the region walks each
 * axis' extents through several periods beyond the kernel's, batches, training and evaluation, and the first
 * steps. */
#ifndef CBN_MIGRATION_COMPARE_H
#define CBN_MIGRATION_COMPARE_H

#include "migration/layer.h"

/* What stands around a layer: a padding of its input (negative: a cropping), and a cropping of its output. */
typedef struct cbn_surroundings {
  int32_t padding_mode; /* enum cbn_padding_mode */
  int64_t pad_begin[CBN_MAX_SPATIAL], pad_end[CBN_MAX_SPATIAL];
  int64_t crop_begin[CBN_MAX_SPATIAL], crop_end[CBN_MAX_SPATIAL];
} cbn_surroundings;

bool cbn_surroundings_pad(const cbn_surroundings *around);
bool cbn_surroundings_crop(const cbn_surroundings *around);

/* The situation in which the layer itself is: its input is padded. */
cbn_situation cbn_surrounded_situation(const cbn_surroundings *around, const cbn_situation *situation);

/* The plan of the padding, the layer and the cropping together, where one operator can say it. False where the layer
 * refuses (with its rejection), or one operator cannot say it (rule CBN_RULE_COUNT). */
bool cbn_surrounded_plan(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *situation,
                         cbn_plan *plan, cbn_rejection *rejection);

/* What goes along with an agreement. A tensor that only the second has must be filled with a constant: a scale of
 * ones, a bias of zeros. */
typedef struct cbn_constants {
  bool needed[CBN_ROLE_COUNT];
  double value[CBN_ROLE_COUNT];
  bool rounded; /* epsilon or momentum differ by less than f32 tells apart: frameworks keep them in f32 */
} cbn_constants;

/* Do two plans mean the same, for layers of that type? `why` (may be NULL) gets a sentence on the first
 * difference: "the padding before axis W is 2, not 1", where the second is 2. `constants` may be NULL. */
bool cbn_plans_agree(const cbn_plan *a, const cbn_plan *b, int32_t layer_type, cbn_constants *constants, char *why,
                     size_t why_size);

/* On one extent: all conditions hold together. */
typedef struct cbn_predicate {
  int64_t at_least, at_most; /* 0: no such condition */
  int64_t modulus;           /* 0: no such condition; up to 64 */
  uint64_t residues;         /* bit r: extent mod modulus may be r */
} cbn_predicate;

bool cbn_predicate_holds(const cbn_predicate *predicate, int64_t extent);

/* Does it say anything at all? */
bool cbn_predicate_is_set(const cbn_predicate *predicate);

enum cbn_agreement {
  CBN_AGREE_ALWAYS,     /* wherever the first accepts, in the whole region */
  CBN_AGREE_IF,         /* where the predicates hold */
  CBN_AGREE_EVALUATION, /* in evaluation only (always, or where the predicates hold) */
  CBN_AGREE_TRAINING,   /* in training only */
  CBN_AGREE_NEVER       /* not in the situation at hand */
};

/* Modes asked for, as bits. A convolution has one meaning in both. */
enum { CBN_EVALUATION = 1, CBN_TRAINING = 2, CBN_BOTH_MODES = 3 };

typedef struct cbn_comparison {
  enum cbn_agreement agreement;
  int modes;        /* of those asked for that the first accepts, those in which they agree */
  bool conditional; /* a predicate is set */
  cbn_predicate extent[CBN_MAX_SPATIAL], batch;
  int64_t values;    /* at least so many values for each channel: batch times extents; 0: no such condition */
  bool batched_only; /* the second takes no unbatched input though the first does */
  bool no_empty;     /* the second refuses some inputs of which the first makes an output without elements */
  cbn_constants constants;
  int64_t situations; /* asked */
  /* The smallest situation asked in which they part (unless ALWAYS), and how: the second's rejection, or a
   * sentence. */
  bool parts;
  cbn_situation where;
  bool rejected;
  cbn_rejection rejection;
  char why[256];
} cbn_comparison;

/* Compares `b` with its surroundings against `a`, which accepts the situation `at` (whose mode does not matter for
 * a batch normalization). The predicates are derived from tables of single axes and then held against the region,
 * all axes varied together: they hold for every situation of it in which the layers agree, and for no other. Where
 * no such predicates are found, they say the extents at hand. */
void cbn_compare(const cbn_layer *a, const cbn_layer *b, const cbn_surroundings *around, const cbn_situation *at,
                 int modes, cbn_comparison *comparison);

/* "H mod 2 = 0 and W >= 5": the comparison's predicates; "" where there is none. */
void cbn_predicates_print(const cbn_comparison *comparison, int32_t axes, char *text, size_t size);

#endif
