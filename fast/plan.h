/* fast/plan.h - how a convolution is cut: blocks of pixels, blocks of the reduction, parts of the filters. Everything
 * follows from the shape; the number of threads does not enter. */
#ifndef CBN_FAST_PLAN_H
#define CBN_FAST_PLAN_H

#include "fast/geometry.h"
#include "fast/kernels.h"
#include "fast/limits.h"

enum {
  CBN_STAGED = CBN_KC * CBN_NC, /* most floats staged at a time */
  CBN_INDIRECT_FILTERS = 8      /* with so few filters a group, packing costs more than it saves */
};

/* A box of the reduction: some channels with all their taps, or some kernel rows of one channel, or some taps of one
 * kernel row. Boxes follow each other in the order (channel, kd, kh, kw), every element's order of summation. */
typedef struct cbn_fast_box {
  int64_t channel, channels;
  int64_t line, lines; /* kernel rows: kd * KH + kh */
  int64_t column, columns;
  int64_t first, count; /* the same as a range of the flattened reduction */
} cbn_fast_box;

/* A block of output pixels. */
typedef struct cbn_fast_block {
  int64_t row, rows;
  int64_t column, columns;
} cbn_fast_block;

typedef struct cbn_fast_plan {
  cbn_fast_geometry g;
  int64_t kernel_lines, reduction; /* KD * KH; channels * KD * KH * KW */
  int64_t box_channels, box_lines, box_columns, boxes;
  /* Pixels: output rows (n, d, h) flattened, times columns. */
  int64_t rows, block_rows, block_columns, row_blocks, column_blocks;
  /* Output row r - back reads at kernel row t + shift what row r reads at t. */
  int64_t back, shift;
  bool indirect; /* igemm: read the staged input in place */
  int64_t part_filters, parts, chunk_groups, chunks;
  int64_t items; /* of work: row blocks x column blocks x parts x chunks */
  /* Weights: read where they lie as weight[filter * step + k * weight_k_step], or packed before the work, or (neither:
   * they are large) packed panel by panel on the way. */
  bool pack_weights, direct_weights;
  int64_t weight_k_step, panels; /* panels of CBN_MR filters a group */
  int64_t packed_weights;        /* floats */
} cbn_fast_plan;

/* Streams: an input line, its padding resolved, is staged as one or more rows of consecutive pixels, such that each tap
 * finds the pixels of neighbouring outputs next to each other, whatever the stride: either one stream for each residue
 * of the stride, shared by taps, or one for each tap. */
typedef struct cbn_fast_streams {
  bool shared;
  int64_t count, length;
  int64_t spacing; /* input coordinates between the starts of neighbouring streams */
} cbn_fast_streams;

/* For a piece that is not empty. */
void cbn_fast_plan_make(cbn_fast_plan *plan, const cbn_fast_geometry *piece);
cbn_fast_box cbn_fast_plan_box(const cbn_fast_plan *plan, int64_t index);
cbn_fast_block cbn_fast_plan_block(const cbn_fast_plan *plan, int64_t index);
cbn_fast_streams cbn_fast_plan_streams(const cbn_fast_plan *plan, int64_t kernel_columns);

#endif
