/* fast/pieces.h - every direction of every convolution as one correlation, and that as plain pieces.
 *
 * The correlation: output position p meets tap t at the coordinate p * stride + t * dilation - pad of an input with
 * input_dilation - 1 zeros between its elements. A convolution is one. Its adjoint with respect to the input (the
 * gradient of the input, or a transposed convolution) is one that reads what the convolution writes: filters and
 * channels, stride and input dilation change places, and taps come in the opposite order. The gradient of the weight
 * has the positions of the convolution; of a transposed one, with the activations exchanged.
 *
 * A piece is a correlation without zeros between elements: of an axis, the output positions of one residue modulo
 * input_dilation / gcd(stride, input_dilation) all meet the same taps, again evenly spaced, and read neighbouring
 * elements. Each output position, and each tap, belongs to at most one residue. */
#ifndef CBN_FAST_PIECES_H
#define CBN_FAST_PIECES_H

#include "fast/geometry.h"

typedef struct cbn_fast_whole {
  cbn_fast_geometry g; /* of the whole correlation */
  int32_t rank;
  int64_t input_dilation[CBN_MAX_SPATIAL];
  bool adjoint;
  /* What the convolution's padding mode reads besides the input: the adjoint adds what it computes for these positions
   * before and behind the output to the elements that stand there. */
  int folding; /* enum cbn_padding_mode */
  int64_t before[CBN_MAX_SPATIAL], behind[CBN_MAX_SPATIAL];
} cbn_fast_whole;

/* Describes a valid, supported call in one of the directions forward, gradient of the input, gradient of the weight. */
void cbn_fast_whole_of(cbn_fast_whole *whole, const cbn_call *call);

/* True if the pieces reach every output position or, in a gradient of the weight, every tap. What they do not reach is
 * an empty sum. */
bool cbn_fast_pieces_cover(const cbn_fast_whole *whole);

/* Visits all pieces, those that write an element before those that add to it. What is a piece follows from the shape. */
typedef void cbn_fast_visitor(void *context, const cbn_fast_geometry *piece);
void cbn_fast_pieces_visit(const cbn_fast_whole *whole, cbn_fast_visitor *visitor, void *context);

#endif
