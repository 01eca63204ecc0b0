/* fast/stage.h - a block's piece of the im2col matrix, without building the matrix: the input lines that the block
 * reads are copied once, padding resolved and strides undone, and every row of the matrix is then found in the copy at
 * an offset. */
#ifndef CBN_FAST_STAGE_H
#define CBN_FAST_STAGE_H

#include "fast/plan.h"

/* One thread's workspace. The arrays' lengths are in cbn_fast_stage_layout. */
typedef struct cbn_fast_stage {
  /* What the tables below are for; NULL-like where `ready` is false. */
  bool ready;
  cbn_fast_block block;
  cbn_fast_box box;
  cbn_fast_streams streams;
  int64_t lines;         /* distinct input lines */
  int64_t line_pitch;    /* floats of a staged line: all its streams */
  int64_t channel_pitch; /* floats of a staged channel: all its lines */
  int64_t *line;         /* [lines] offset in the input of a line's first element, -1 for a line of zeros */
  int32_t *slot;         /* [rows * box.lines] which line a row reads for a kernel row */
  int32_t *offset;       /* [rows * box.count] where in `staged` a row's first pixel lies, for each k */
  int64_t *column;       /* [line_pitch] outside the interior: the input column that stands there, or -1 */
  int64_t *row_output;   /* [rows] offset in the output of a row's first pixel */
  float *staged;
  float *panel;   /* a packed panel of pixels */
  float *weights; /* a packed panel of weights */
  float *row;     /* [columns] a row of the output of a single filter, if its pixels are not side by side */
} cbn_fast_stage;

/* Bytes of one thread's workspace. With `memory` (64-byte aligned, or NULL to ask for the size only), points the
 * stage's arrays into it. */
int64_t cbn_fast_stage_layout(const cbn_fast_plan *plan, cbn_fast_stage *stage, char *memory);

/* Makes the tables for a block and a box. */
void cbn_fast_stage_prepare(const cbn_fast_plan *plan, cbn_fast_stage *stage, cbn_fast_block block, cbn_fast_box box);

/* Copies what they describe from the channels of one group. */
void cbn_fast_stage_fill(const cbn_fast_plan *plan, const cbn_conv_kernels *kernels, cbn_fast_stage *stage,
                         int64_t group);

#endif
