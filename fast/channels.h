/* fast/channels.h - where the values of a channel lie, in the two or three tensors of a batch normalization at once. */
#ifndef CBN_FAST_CHANNELS_H
#define CBN_FAST_CHANNELS_H

#include <convbn/engine.h>

/* The tensors with values: input, grad_output (backward only), and output or grad_input. */
enum cbn_fast_walked { CBN_WALK_INPUT, CBN_WALK_GRADIENT, CBN_WALK_RESULT, CBN_WALKED };

/* Memory steps in elements; 0 throughout for a tensor that the problem does not have. */
typedef struct cbn_fast_walk {
  int64_t extent, step[CBN_WALKED];
} cbn_fast_walk;

typedef struct cbn_fast_channels {
  const cbn_tensor *tensor[CBN_WALKED]; /* NULL: none */
  int64_t channel_step[CBN_WALKED];
  cbn_fast_walk axis[4];       /* batch and space, neighbours merged where memory allows */
  int64_t rows, inner, values; /* values = rows * inner, a channel */
} cbn_fast_channels;

/* Describes a valid call of a batch normalization. */
void cbn_fast_channels_of(cbn_fast_channels *channels, const cbn_call *call);

/* Offsets in elements. */
typedef struct cbn_fast_place {
  int64_t offset[CBN_WALKED];
} cbn_fast_place;

/* Where value `l` of channel 0 lies. Values of one row follow it at axis[3].step. */
cbn_fast_place cbn_fast_channels_place(const cbn_fast_channels *channels, int64_t l);

/* Values from `l` on that lie in the same row. */
static inline int64_t cbn_fast_channels_run(const cbn_fast_channels *channels, int64_t l) {
  return channels->inner - l % channels->inner;
}

#endif
