/* convbn/fill.h - reproducible fills: element i of tensor t is a function of the fill, seed, t and i alone, the same
 * bits on every machine and in every language (docs/cases.md gives the formulas). */
#ifndef CONVBN_FILL_H
#define CONVBN_FILL_H

#include <convbn/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fills: name, and the parameters that it has besides the seed. */
#define CBN_FILLS(X)                                                                                                   \
  X(INTEGERS, integers)                                                                                                \
  X(EXACT, exact)                                                                                                      \
  X(NORMAL, normal)                                                                                                    \
  X(IMPULSE, impulse)                                                                                                  \
  X(RAMP, ramp)                                                                                                        \
  X(ONES, ones)                                                                                                        \
  X(SPECIAL, special)

enum cbn_fill_kind {
#define CBN_FILL_ENUM(NAME, name) CBN_FILL_##NAME,
  CBN_FILLS(CBN_FILL_ENUM)
#undef CBN_FILL_ENUM
      CBN_FILL_COUNT
};

typedef struct cbn_fill {
  int32_t kind;              /* enum cbn_fill_kind */
  uint64_t seed;
  int64_t low, high;         /* integers: both ends included */
  int32_t bits, shift;       /* exact; shift from -1074 to 1023 */
  double density;            /* exact */
  double mean, scale;        /* normal */
  double start, step;        /* ramp */
  double value;              /* impulse */
  int64_t position;          /* impulse: row-major */
} cbn_fill;

/* A fill with its default parameters. */
cbn_fill cbn_fill_make(enum cbn_fill_kind kind);

const char *cbn_fill_name(int kind);
int cbn_fill_by_name(const char *name); /* -1 if there is none */

/* Do the elements depend on the seed? */
bool cbn_fill_is_random(int kind);

/* Element `index` of the tensor with that role, before rounding to the tensor's type. */
double cbn_fill_element(const cbn_fill *fill, int role, int64_t index);

/* Fills all of a tensor. */
void cbn_fill_tensor(const cbn_fill *fill, int role, const cbn_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
