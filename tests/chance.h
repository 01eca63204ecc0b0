/* Random numbers for tests that draw their problems: each problem has a number, which is its seed. */
#ifndef CBN_TESTS_CHANCE_H
#define CBN_TESTS_CHANCE_H

#include <convbn/tensor.h>
#include <inttypes.h>
#include <stdlib.h>

typedef struct chance {
  uint64_t state;
} chance;

static inline uint64_t next(chance *r) { /* splitmix64 */
  uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline int64_t between(chance *r, int64_t low, int64_t high) {
  return low + (int64_t)(next(r) % (uint64_t)(high - low + 1));
}

static inline double unit(chance *r) { return (double)(next(r) >> 11) * 0x1p-53; }

/* Extents and strides: channels last, or row-major; with `gaps` the axes in any order and holes between them; `slice` > 0
 * makes the tensor that many channels less than a larger one. */
static inline void draw_strides(cbn_tensor *t, int32_t type, int32_t rank, const int64_t *extent, bool last, bool gaps,
                                int64_t slice, chance *r) {
  int order[CBN_MAX_RANK]; /* from the fastest axis on */
  for (int i = 0; i < rank; i++) order[i] = rank - 1 - i;
  if (last && rank > 1) {
    order[0] = 1;
    for (int i = 1; i < rank - 1; i++) order[i] = rank - i;
  }
  for (int i = rank - 1; gaps && i > 0; i--) {
    const int j = (int)between(r, 0, i), swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
  *t = (cbn_tensor){.type = type, .rank = rank};
  int64_t stride = gaps ? between(r, 1, 3) : 1;
  for (int i = 0; i < rank; i++) {
    t->extent[order[i]] = extent[order[i]];
    t->stride[order[i]] = stride;
    stride = stride * (extent[order[i]] > 0 ? extent[order[i]] : 1) + (gaps ? between(r, 0, 2) : 0);
    if (i == 0) stride += slice;
  }
}

/* The first problem's number; with CBN_TEST_SEED, it is the only problem. */
static inline uint64_t seeds_from(uint64_t first, int *count) {
  const char *text = getenv("CBN_TEST_SEED");
  const uint64_t seed = text ? strtoull(text, NULL, 10) : first;
  if (text) *count = 1;
  print_message("seeds %" PRIu64 " to %" PRIu64 "\n", seed, seed + (uint64_t)*count - 1);
  return seed;
}

#endif
