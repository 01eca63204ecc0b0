/* fast/limits.h - the sizes at which the engine goes another way: cuts a problem, packs in parts, starts a thread.
 *
 * CBN_FAST_SMALL_LIMITS makes them so small that problems of a fuzzer's size go all ways; results then differ in the order of
 * sums only: a gradient's, and those of statistics. One of the fuzzers' builds has it, the others have what is shipped. */
#ifndef CBN_FAST_LIMITS_H
#define CBN_FAST_LIMITS_H

#ifdef CBN_FAST_SMALL_LIMITS
#define CBN_FAST_LIMIT(shipped, small) (small)
#else
#define CBN_FAST_LIMIT(shipped, small) (shipped)
#endif

enum {
  CBN_KC = CBN_FAST_LIMIT(288, 9),  /* longest piece of the reduction, 32 channels of 3x3: a panel takes 27 KiB, L1 */
  CBN_NC = CBN_FAST_LIMIT(480, 48), /* pixels of a block: what is staged for it stays in L2 */
  CBN_INDIRECT_PIXELS = CBN_FAST_LIMIT(4096, 96),       /* the same where they are multiplied in place */
  CBN_PACKED_WEIGHTS = CBN_FAST_LIMIT(24 << 18, 256),   /* floats packed beforehand, at most: 24 MiB */
  CBN_CONVERTED_BYTES = CBN_FAST_LIMIT(64 << 20, 4096), /* of f16 and bf16 images converted at a time */
  CBN_MOST_SUMS = CBN_FAST_LIMIT(1 << 16, 128),         /* floats of an item of a weight's gradient */
  CBN_BIAS_PART = CBN_FAST_LIMIT(1 << 14, 32),          /* values of a bias' gradient worth a part of their own */
  CBN_WORK_PER_ITEM = CBN_FAST_LIMIT(1 << 20, 1 << 11), /* multiply-adds that a weight's gradient takes in one part */
  CBN_PART_FILTERS = CBN_FAST_LIMIT(128, 8),            /* packing pixels once for so many filters costs little */
  CBN_COLUMN_CHANNELS = CBN_FAST_LIMIT(256, 16), /* that one task of a batch normalization's columns takes together */
  CBN_NORM_PART = CBN_FAST_LIMIT(16384, 64),     /* least values of a part of a channel's statistics */
  CBN_F64_CHUNK =
      CBN_FAST_LIMIT(1024, 10), /* elements of a row of an f64 convolution whose offsets are tabled at a time */
  CBN_BIAS_CHANNELS = CBN_FAST_LIMIT(256, 8),   /* side by side, that one task of a bias' gradient takes together */
  CBN_CONVERTED_ROW = CBN_FAST_LIMIT(4096, 16), /* halves of a row converted at a time */
  CBN_NORM_PIECE = CBN_FAST_LIMIT(4096, 16),    /* values of a piece of statistics: 16 KiB */
  CBN_NORM_SHORT_ROW = CBN_FAST_LIMIT(256, 8),  /* shorter rows are gathered first, */
  CBN_NORM_GATHERED = CBN_FAST_LIMIT(1024, 24), /* so many values at a time */
  CBN_NORM_ITEM = CBN_FAST_LIMIT(16384, 64),    /* values of one piece of normalising work */
  CBN_NORM_REPEATED = CBN_FAST_LIMIT(64, 4), /* factors of few channels side by side are repeated up to about so many */
  CBN_NORM_SLAB = CBN_FAST_LIMIT(32768, 5),  /* channels at a time, to bound the workspace */
  CBN_WORK_PER_THREAD = CBN_FAST_LIMIT(1 << 20, 1 << 13) /* below, a thread costs more than it brings */
};

#endif
