/* What a dialect makes of one call, as a line of words, for tables of expectations. */
#ifndef CBN_TESTS_DIALECT_ROWS_H
#define CBN_TESTS_DIALECT_ROWS_H

#include <stddef.h>

/* One call: the parameters as in a case file, the input's shape ("2x4x9"), behind it, where the dialect asks, those of
 * weight, bias, running mean and variance ("2x4x9 6x4x3 6") and, where they are not f32, its type and the layer's
 * ("f16:f32"), 't' where the layer trains; words that must stand in the answer:
 *
 *   a convolution         out2x6x7 weight6x4x3 k3 s1 d1 p0 q0 o0 g1 zeros plain (or bias) transposed unbatched
 *                         channels-last kernel-first
 *                         (p and q are the padding before and behind, o the output padding)
 *   a normalization       out2x3 batch (or running) update (or keep) gamma beta m0.1 mean0 var1 gamma1 beta0
 *   a rejection           !rule Exception */
typedef struct cbn_dialect_row {
  const char *params, *input, *expected, *types;
  char mode;
} cbn_dialect_row;

/* Compares all rows, prints those that differ, and fails the running test where one does. */
void cbn_check_dialect_rows(const char *dialect, const char *operator_name, const cbn_dialect_row *rows, size_t count);

#endif
