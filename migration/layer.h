/* A layer of some framework, asked at some input: dialects as a user of two frameworks meets them.
 *
 * A dialect's plan wants shapes as the framework has them. Here a situation is written once, in the operator's
 * terms (batch, channels, extents), and asked of layers of different frameworks, each in its own order of axes. */
#ifndef CBN_MIGRATION_LAYER_H
#define CBN_MIGRATION_LAYER_H

#include "dialects/dialect.h"

/* A constructor call, or a function's with the shapes of the tensors that it gets. */
typedef struct cbn_layer {
  const cbn_dialect *dialect;
  const cbn_dialect_operator *operator;
  const cbn_value *params;          /* a map; what is left out takes the default */
  cbn_shape tensor[CBN_ROLE_COUNT]; /* of the layer, in the framework's order of axes; rank 0 where none is given */
  bool adds_bias; /* a bias is added behind it, which a convolution without one of its own needs to have one */
} cbn_layer;

/* What a layer is asked. */
typedef struct cbn_situation {
  bool unbatched; /* batch is 1 then, and the input has no axis for it */
  int64_t batch, channels;
  int32_t axes; /* spatial ones */
  int64_t extent[CBN_MAX_SPATIAL];
  int32_t input_type, layer_type; /* enum cbn_type */
  bool training;
  int64_t trained; /* calls in training before this one */
} cbn_situation;

/* As the dialect's plan, with the input's shape in the layer's own order of axes. Refused (rule input-rank) too is
 * what the dialect reads as another situation: five axes that are four without a batch. */
bool cbn_layer_plan(const cbn_layer *layer, const cbn_situation *situation, cbn_plan *plan, cbn_rejection *rejection);

/* The situation in which `input`, in the layer's order of axes, is its input: f32, in evaluation. False where it
 * cannot be one (rank). */
bool cbn_layer_situation(const cbn_layer *layer, const cbn_shape *input, cbn_situation *situation);

/* A small situation that the layer accepts, for those who have named none: its own channels, a batch of 2, extents
 * that give an output of a few elements on each axis, all different. False, with the last rejection, where none
 * was found. */
bool cbn_layer_find_situation(const cbn_layer *layer, cbn_situation *situation, cbn_rejection *rejection);

#endif
