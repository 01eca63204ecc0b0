#include "harness/judge.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The row-major indices of element `i`, without the batch axis where the dialect has none. */
static void native_indices(const cbn_tensor *actual, const cbn_shape *native, int64_t i, int64_t *index) {
  int64_t whole[CBN_MAX_RANK] = {0};
  cbn_unravel(actual->rank, actual->extent, i, whole);
  const int32_t drop = actual->rank - native->rank;
  for (int32_t a = 0; a < native->rank; a++) index[a] = whole[a + drop];
}

/* Keeps the element as the worst so far if it is. */
static void note(cbn_tensor_result *r, const cbn_interval *interval, double actual, const cbn_tensor *tensor,
                 int64_t i) {
  const double share = cbn_interval_share(interval, actual);
  r->elements++;
  if (interval->flags & CBN_INCONCLUSIVE) r->inconclusive++;
  if (share > 1) r->outside++;
  if (r->role == CBN_ROLE_OUTPUT && interval->flags & CBN_OR_NAN && isfinite(interval->value)) {
    r->zeros_multiplied += isnan(actual);
    r->zeros_skipped += !isnan(actual);
  }
  if (r->elements > 1 && !(share > r->share)) return;
  r->share = share;
  r->expected = isnan(interval->value) ? NAN : interval->value; /* a NaN's sign means nothing, but is printed */
  r->actual = isnan(actual) ? NAN : actual;
  r->bound = interval->bound;
  native_indices(tensor, &r->shape, i, r->worst);
}

/* ------------------------------------------------------------------------------------------------------- maps */

static int64_t window_start(int64_t centre, int64_t extent) {
  const int64_t last = extent > CBN_MAP_EXTENT ? extent - CBN_MAP_EXTENT : 0, start = centre - CBN_MAP_EXTENT / 2;
  return start < 0 ? 0 : start > last ? last : start;
}

/* The name of axis `a` of a tensor with that role: n, c of activations, o, c of a weight, then the spatial axes. */
static char axis_name(int role, int32_t rank, int32_t spatial_rank, int32_t a) {
  const int32_t spatial = a - (rank - spatial_rank); /* -1: the last before the spatial axes */
  if (rank == 1) return 'c';
  if (spatial >= 0) return "dhw"[3 - spatial_rank + spatial];
  return spatial == -1 ? 'c' : role == CBN_ROLE_GRAD_WEIGHT ? 'o' : 'n';
}

static void describe_plane(int role, const cbn_shape *native, int32_t spatial_rank, const int64_t *worst,
                           cbn_map *map) {
  const int32_t rank = native->rank;
  if (rank == 1) {
    snprintf(map->axes, sizeof map->axes, "channels");
    return;
  }
  char names[CBN_MAX_NATIVE_RANK];
  for (int32_t a = 0; a < rank; a++) names[a] = axis_name(role, rank, spatial_rank, a);
  size_t length = (size_t)snprintf(map->axes, sizeof map->axes, "%c x %c", names[rank - 2] - 'a' + 'A',
                                   names[rank - 1] - 'a' + 'A');
  for (int32_t a = 0; a < rank - 2; a++)
    length += (size_t)snprintf(map->axes + length, sizeof map->axes - length, "%s %c=%" PRId64, a == 0 ? " at" : ",",
                               names[a], worst[a]);
}

/* The window of the last two axes (the last one of a vector) around the worst element. */
static void keep_map(const cbn_expected *expected, const cbn_tensor *actual, int32_t spatial_rank,
                     cbn_tensor_result *r) {
  const int32_t rank = r->shape.rank;
  cbn_map *map = expected->count == 0 ? NULL : calloc(1, sizeof *map);
  if (map == NULL) return;
  const int64_t rows = rank > 1 ? r->shape.extent[rank - 2] : 1, columns = r->shape.extent[rank - 1];
  map->rows = (int)(rows < CBN_MAP_EXTENT ? rows : CBN_MAP_EXTENT);
  map->columns = (int)(columns < CBN_MAP_EXTENT ? columns : CBN_MAP_EXTENT);
  map->origin[0] = rank > 1 ? window_start(r->worst[rank - 2], rows) : 0;
  map->origin[1] = window_start(r->worst[rank - 1], columns);
  int64_t plane = 0;
  for (int32_t a = 0; a < rank - 2; a++) plane = plane * r->shape.extent[a] + r->worst[a];
  for (int i = 0; i < map->rows; i++)
    for (int j = 0; j < map->columns; j++) {
      const int64_t element = (plane * rows + map->origin[0] + i) * columns + map->origin[1] + j;
      const cbn_interval interval = cbn_expected_at(expected, element);
      const int cell = i * map->columns + j;
      map->expected[cell] = interval.value;
      map->actual[cell] = cbn_tensor_get(actual, element);
      map->share[cell] = cbn_interval_share(&interval, map->actual[cell]);
    }
  describe_plane(r->role, &r->shape, spatial_rank, r->worst, map);
  r->map = map;
}

void cbn_judge_tensor(int role, const cbn_shape *native, int32_t spatial_rank, const cbn_expected *expected,
                      const cbn_tensor *actual, bool maps, cbn_tensor_result *result) {
  *result = (cbn_tensor_result){.role = role, .shape = *native};
  for (int64_t i = 0; i < expected->count; i++) {
    const cbn_interval interval = cbn_expected_at(expected, i);
    note(result, &interval, cbn_tensor_get(actual, i), actual, i);
  }
  if (maps) keep_map(expected, actual, spatial_rank, result);
}

/* ------------------------------------------------------------------------------------------------ large outputs */

enum { SUMS = 2, MOST_WEIGHT = 509 };

/* The weight of output channel o (of those of one group) in the two sums: 1, and a number that only channels 509 apart
 * share. */
static double channel_weight(int sum, int64_t o) { return sum == 0 ? 1 : (double)(1 + o * 211 % MOST_WEIGHT); }

/* The largest magnitude of a tensor of integers; infinity where an element is none. */
static double largest_integer(const cbn_tensor *tensor) {
  const int64_t count = tensor == NULL ? 0 : cbn_tensor_count(tensor);
  double most = 0;
  for (int64_t i = 0; i < count; i++) {
    const double x = cbn_tensor_get(tensor, i);
    if (x != rint(x) || !isfinite(x)) return INFINITY;
    most = fmax(most, fabs(x));
  }
  return most;
}

/* Every f32 sum of an engine exact, and every summed filter exact in f32? Then all sums below are exact in f64. */
static bool sums_are_exact(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic) {
  const double x = largest_integer(tensor[CBN_ROLE_INPUT]), w = largest_integer(tensor[CBN_ROLE_WEIGHT]);
  const double b = largest_integer(tensor[CBN_ROLE_BIAS]);
  const double products =
      (double)(conv->in_channels / conv->groups * cbn_extent_product(conv->spatial_rank, conv->kernel));
  const double channels = (double)(conv->out_channels / conv->groups) * MOST_WEIGHT;
  const bool reduced = arithmetic & (CBN_TF32_PRODUCTS | CBN_BF16_PRODUCTS);
  return tensor[CBN_ROLE_INPUT]->type == CBN_F32 && !reduced && products * x * w + b <= 0x1p24 &&
         channels * fmax(w, b) <= 0x1p24 && channels * (products * x * w + b) <= 0x1p53;
}

/* The problem whose output channels are the SUMS sums of each group. */
typedef struct summed {
  cbn_conv conv;
  cbn_tensor weight, bias;
  cbn_expected output;
} summed;

static void summed_release(summed *s) {
  cbn_tensor_release(&s->weight);
  cbn_tensor_release(&s->bias);
  cbn_expected_release(&s->output);
}

static bool summed_allocate(const cbn_conv *conv, summed *s) {
  int64_t extent[CBN_MAX_RANK];
  *s = (summed){.conv = *conv};
  s->conv.out_channels = SUMS * conv->groups;
  int32_t rank = cbn_conv_extents(&s->conv, CBN_ROLE_WEIGHT, extent);
  if (!cbn_tensor_describe(&s->weight, CBN_F32, rank, extent, CBN_CONTIGUOUS) || !cbn_tensor_allocate(&s->weight))
    return false;
  if (conv->has_bias && (!cbn_tensor_describe(&s->bias, CBN_F32, 1, &s->conv.out_channels, CBN_CONTIGUOUS) ||
                         !cbn_tensor_allocate(&s->bias)))
    return false;
  rank = cbn_conv_extents(&s->conv, CBN_ROLE_OUTPUT, extent);
  return cbn_expected_allocate(&s->output, CBN_F32, rank, extent);
}

/* Where the taps for output channel `o` and input channel `c` of its group begin in a dense weight. */
static int64_t taps_at(const cbn_conv *conv, int64_t o, int64_t c) {
  const int64_t outs = conv->out_channels / conv->groups, ins = conv->in_channels / conv->groups;
  const int64_t taps = cbn_extent_product(conv->spatial_rank, conv->kernel);
  return (conv->transposed ? (o / outs * ins + c) * outs + o % outs : o * ins + c) * taps;
}

static void add_scaled(const cbn_tensor *to, int64_t target, double c, double value) {
  cbn_tensor_set(to, target, cbn_tensor_get(to, target) + c * value);
}

/* Adds each output channel's filter and bias, weighted, to the sums of its group. */
static void sum_filters(const cbn_conv *conv, const cbn_tensor *weight, const cbn_tensor *bias, const summed *s) {
  const int64_t taps = cbn_extent_product(conv->spatial_rank, conv->kernel);
  const int64_t outs = conv->out_channels / conv->groups, ins = conv->in_channels / conv->groups;
  for (int64_t o = 0; o < conv->out_channels; o++)
    for (int k = 0; k < SUMS; k++) {
      const int64_t target = o / outs * SUMS + k;
      const double factor = channel_weight(k, o % outs);
      for (int64_t i = 0; i < ins * taps; i++)
        add_scaled(&s->weight, taps_at(&s->conv, target, i / taps) + i % taps, factor,
                   cbn_tensor_get(weight, taps_at(conv, o, i / taps) + i % taps));
      if (bias != NULL) add_scaled(&s->bias, target, factor, cbn_tensor_get(bias, o));
    }
}

/* Adds up the engine's output channels in the same way and compares, position by position. */
static void compare_sums(const cbn_conv *conv, const cbn_tensor *actual, const summed *s, cbn_tensor_result *r) {
  const int64_t positions = cbn_extent_product(conv->spatial_rank, actual->extent + 2);
  const int64_t share = conv->out_channels / conv->groups;
  for (int64_t n = 0; n < conv->batch; n++)
    for (int64_t group = 0; group < conv->groups; group++)
      for (int64_t p = 0; p < positions; p++) {
        double sums[SUMS] = {0};
        for (int64_t o = 0; o < share; o++) {
          const double y = cbn_tensor_get(actual, (n * conv->out_channels + group * share + o) * positions + p);
          for (int k = 0; k < SUMS; k++)
            sums[k] += y == rint(y) ? channel_weight(k, o) * y : NAN; /* a fraction could vanish in the sum */
        }
        for (int k = 0; k < SUMS; k++) {
          const int64_t sum = (n * conv->groups + group) * SUMS + k;
          const cbn_interval exact = {.value = s->output.value[sum * positions + p], .flags = CBN_EXACT};
          note(r, &exact, sums[k], actual, (n * conv->out_channels + group * share) * positions + p);
        }
      }
}

static bool judge_samples(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                          uint64_t seed, cbn_tensor_result *r) {
  const cbn_tensor *actual = tensor[CBN_ROLE_OUTPUT];
  const int64_t column = conv->batch * conv->out_channels;
  const int64_t positions = cbn_extent_product(conv->spatial_rank, actual->extent + 2);
  int64_t position[CBN_SAMPLES][CBN_MAX_SPATIAL];
  cbn_interval *intervals = calloc((size_t)(CBN_SAMPLES * column) + 1, sizeof *intervals);
  if (intervals == NULL) return false;
  cbn_sample_positions(conv->spatial_rank, actual->extent + 2, seed, position);
  const bool memory = cbn_reference_conv_at(conv, tensor, arithmetic, actual->type, CBN_SAMPLES,
                                            (const int64_t(*)[CBN_MAX_SPATIAL])position, intervals);
  for (int64_t i = 0; memory && i < CBN_SAMPLES * column; i++) {
    int64_t p = 0;
    for (int a = 0; a < conv->spatial_rank; a++) p = p * actual->extent[2 + a] + position[i / column][a];
    const int64_t element = i % column * positions + p;
    note(r, &intervals[i], cbn_tensor_get(actual, element), actual, element);
  }
  free(intervals);
  return memory;
}

bool cbn_judge_large(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                     uint64_t seed, const cbn_shape *native, cbn_tensor_result *result, bool *exact) {
  *result = (cbn_tensor_result){.role = CBN_ROLE_OUTPUT, .shape = *native, .sampled = true};
  if (cbn_tensor_count(tensor[CBN_ROLE_OUTPUT]) == 0) return true;
  *exact = sums_are_exact(conv, tensor, arithmetic);
  if (*exact) {
    summed s;
    const bool memory = summed_allocate(conv, &s);
    if (memory) sum_filters(conv, tensor[CBN_ROLE_WEIGHT], tensor[CBN_ROLE_BIAS], &s);
    const cbn_tensor *summed_tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = tensor[CBN_ROLE_INPUT],
                                                       [CBN_ROLE_WEIGHT] = &s.weight,
                                                       [CBN_ROLE_BIAS] = conv->has_bias ? &s.bias : NULL};
    const bool computed = memory && cbn_reference_conv(&s.conv, summed_tensor, arithmetic, &s.output);
    if (computed) compare_sums(conv, tensor[CBN_ROLE_OUTPUT], &s, result);
    summed_release(&s);
    if (!computed) return false;
  }
  return judge_samples(conv, tensor, arithmetic, seed, result);
}
