/* fast/batchnorm.c - batch normalization: statistics piece by piece, merged in f64, then one pass that normalises.
 *
 * Within a piece (which stays in cache) the mean comes first and the squared deviations from it second; pieces merge as
 * Chan, Golub and LeVeque (1979) do. So the input is read from memory once for its statistics, and the variance is as
 * stable as that of two passes. Pieces, and the order in which they merge, follow from the shape and the layout. */
#include "fast/batchnorm.h"

#include "fast/fast.h"
#include "fast/workspace.h"

#include <convbn/operator.h>

#include <math.h>
#include <stdlib.h>

enum {
  PIECE = 4096,    /* values of a piece: 16 KiB */
  SHORT_ROW = 256, /* shorter rows are gathered first */
  GATHERED = 1024,
  COLUMN_PIECE = 64,      /* pixels of a piece of CBN_LANES channels */
  SUPER = 16 * CBN_LANES, /* channels that one task of columns takes together */
  PART = 16384,           /* least values of a part */
  PARTS = 16,
  ITEM = 16384,  /* values of one piece of normalising work */
  REPEATED = 64, /* factors of few channels side by side are repeated up to about so many */
  SLAB = 32768   /* channels at a time, to bound the workspace */
};

typedef struct axis {
  int64_t extent, input_step, output_step;
} axis;

typedef struct normalization {
  const cbn_batchnorm_kernels *kernels;
  cbn_call *call;
  const cbn_batchnorm *b;
  const float *input;
  float *output;
  int64_t input_channel_step, output_channel_step;
  axis axis[4];                /* batch and space, neighbours merged where memory allows */
  int64_t rows, inner, values; /* values = rows * inner, a channel */
  bool input_columns;          /* channels side by side, values not */
  int64_t parts;
  /* Of the slab in work: */
  int64_t first, channels;
  cbn_moments *moments; /* [channel][part] */
  float *mean, *scale, *weight, *bias;
  int64_t repeat; /* pixels that the factors' arrays cover side by side */
} normalization;

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t cut(int64_t whole, int64_t piece) { return whole / piece + (whole % piece != 0); }

/* ---------------------------------------------------------------------------------------------------- geometry */

static bool merge(const axis *outer, axis *inner) {
  if (outer->extent == 1) return true;
  if (inner->extent == 1) {
    *inner = *outer;
    return true;
  }
  if (outer->input_step != inner->extent * inner->input_step ||
      outer->output_step != inner->extent * inner->output_step)
    return false;
  inner->extent *= outer->extent;
  return true;
}

/* Merges from the inside out; what is left stands at the end, unit axes before it. */
static void merge_axes(axis a[4]) {
  axis merged[4] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}, a[3]};
  int at = 3;
  for (int i = 2; i >= 0; i--) {
    if (!merge(&a[i], &merged[at])) merged[--at] = a[i];
  }
  for (int i = 0; i < 4; i++) a[i] = merged[i];
}

static void describe(normalization *v, const cbn_batchnorm_kernels *kernels, cbn_call *call) {
  const cbn_batchnorm *b = call->batchnorm;
  const cbn_tensor *input = call->tensor[CBN_ROLE_INPUT], *output = call->tensor[CBN_ROLE_OUTPUT];
  *v = (normalization){.kernels = kernels, .call = call, .b = b, .input = input->data, .output = output->data};
  v->input_channel_step = input->stride[1];
  v->output_channel_step = output->stride[1];
  for (int i = 0; i < 4; i++) v->axis[i] = (axis){1, 0, 0};
  v->axis[0] = (axis){b->batch, input->stride[0], output->stride[0]};
  for (int i = 0; i < b->spatial_rank; i++)
    v->axis[1 + i] = (axis){b->extent[i], input->stride[2 + i], output->stride[2 + i]};
  merge_axes(v->axis);
  v->inner = v->axis[3].extent;
  v->rows = v->axis[0].extent * v->axis[1].extent * v->axis[2].extent;
  v->values = v->rows * v->inner;
  v->input_columns = v->input_channel_step == 1 && v->axis[3].input_step != 1;
}

typedef struct place {
  int64_t input, output;
} place;

/* Offsets of value `l` of a channel. */
static place place_of(const normalization *v, int64_t l) {
  place at = {0, 0};
  for (int i = 3; i >= 0; i--) {
    const int64_t index = l % v->axis[i].extent;
    l /= v->axis[i].extent;
    at.input += index * v->axis[i].input_step;
    at.output += index * v->axis[i].output_step;
  }
  return at;
}

/* Values from `l` on that lie in the same row. */
static int64_t run_length(const normalization *v, int64_t l) { return v->inner - l % v->inner; }

static const float *channel_input(const normalization *v, int64_t c) {
  return v->input + (v->first + c) * v->input_channel_step;
}

static void gather(const normalization *v, float *to, int64_t c, int64_t l, int64_t count) {
  while (count > 0) {
    const float *from = channel_input(v, c) + place_of(v, l).input;
    const int64_t run = min64(count, run_length(v, l));
    for (int64_t i = 0; i < run; i++) *to++ = from[i * v->axis[3].input_step];
    l += run;
    count -= run;
  }
}

/* -------------------------------------------------------------------------------------------------- statistics */

static void merge_moments(cbn_moments *a, const cbn_moments *b) {
  if (b->count == 0) return;
  if (a->count == 0) {
    *a = *b;
    return;
  }
  const double n = a->count + b->count, d = b->sum / b->count - a->sum / a->count;
  a->squares += b->squares + d * d * (a->count / n * b->count);
  a->sum += b->sum;
  a->count = n;
}

static int64_t part_begin(const normalization *v, int64_t part) {
  return v->values / v->parts * part + min64(part, v->values % v->parts);
}

/* One channel, values begin to end, by rows. */
static cbn_moments channel_moments(const normalization *v, int64_t c, int64_t begin, int64_t end) {
  cbn_moments all = {0, 0, 0}, piece;
  float gathered[GATHERED];
  for (int64_t l = begin, count; l < end; l += count) {
    count = min64(min64(PIECE, end - l), run_length(v, l));
    const float *x = channel_input(v, c) + place_of(v, l).input;
    if (v->axis[3].input_step != 1 || (count < SHORT_ROW && v->inner < SHORT_ROW)) {
      count = min64(GATHERED, end - l);
      gather(v, gathered, c, l, count);
      x = gathered;
    }
    v->kernels->moments_row(&piece, x, count);
    merge_moments(&all, &piece);
  }
  return all;
}

/* Channels side by side: pieces of pixels, all lanes of a piece while it is in cache. */
static void column_moments(const normalization *v, int64_t c, int64_t channels, int64_t part) {
  const int64_t begin = part_begin(v, part), end = part_begin(v, part + 1);
  const int64_t whole = channels / CBN_LANES * CBN_LANES;
  for (int64_t i = c; i < c + whole; i++) v->moments[i * v->parts + part] = (cbn_moments){0, 0, 0};
  for (int64_t l = begin, count; l < end && whole > 0; l += count) {
    count = min64(min64(COLUMN_PIECE, end - l), run_length(v, l));
    const float *x = channel_input(v, c) + place_of(v, l).input;
    for (int64_t i = 0; i < whole; i += CBN_LANES) {
      cbn_moments lane[CBN_LANES];
      v->kernels->moments_columns(lane, x + i, v->axis[3].input_step, count);
      for (int64_t j = 0; j < CBN_LANES; j++) merge_moments(&v->moments[(c + i + j) * v->parts + part], &lane[j]);
    }
  }
  for (int64_t i = c + whole; i < c + channels; i++)
    v->moments[i * v->parts + part] = channel_moments(v, i, begin, end);
}

static void moments_piece(void *context, int thread, int64_t i) {
  const normalization *v = context;
  const int64_t part = i % v->parts, task = i / v->parts;
  (void)thread;
  if (v->input_columns) {
    column_moments(v, task * SUPER, min64(SUPER, v->channels - task * SUPER), part);
  } else {
    v->moments[task * v->parts + part] = channel_moments(v, task, part_begin(v, part), part_begin(v, part + 1));
  }
}

/* ----------------------------------------------------------------------------------------------------- factors */

static float *element(const normalization *v, int role, int64_t c) {
  const cbn_tensor *t = v->call->tensor[role];
  return t ? (float *)t->data + (v->first + c) * t->stride[0] : NULL;
}

static void update_running(const normalization *v, int64_t c, double mean, double squares) {
  const double m = v->b->new_weight, n = (double)v->values;
  /* One value a channel has no unbiased variance: 0/0. */
  const double var = v->b->running_variance == CBN_VARIANCE_UNBIASED ? squares / (n - 1) : squares / n;
  float *running_mean = element(v, CBN_ROLE_RUNNING_MEAN, c), *running_var = element(v, CBN_ROLE_RUNNING_VAR, c);
  *running_mean = (float)((1 - m) * (double)*running_mean + m * mean);
  *running_var = (float)((1 - m) * (double)*running_var + m * var);
}

/* The statistics that normalise are read before the running ones change. */
static void find_factors(const normalization *v, int64_t c) {
  cbn_moments all = {0, 0, 0};
  for (int64_t part = 0; v->moments && part < v->parts; part++) merge_moments(&all, &v->moments[c * v->parts + part]);
  double mean = all.sum / all.count, var = all.squares / all.count;
  if (v->b->statistics == CBN_STATISTICS_RUNNING) {
    mean = (double)*element(v, CBN_ROLE_RUNNING_MEAN, c);
    var = (double)*element(v, CBN_ROLE_RUNNING_VAR, c);
  }
  const float *weight = element(v, CBN_ROLE_WEIGHT, c), *bias = element(v, CBN_ROLE_BIAS, c);
  v->mean[c] = (float)mean;
  v->scale[c] = (float)(1 / sqrt(var + v->b->epsilon));
  v->weight[c] = weight ? *weight : 1.0f;
  v->bias[c] = bias ? *bias : 0.0f;
  if (v->b->update_running) update_running(v, c, all.sum / all.count, all.squares);
}

static void repeat_factors(const normalization *v) {
  for (int64_t i = v->channels; i < v->channels * v->repeat; i++) {
    v->mean[i] = v->mean[i - v->channels];
    v->scale[i] = v->scale[i - v->channels];
    v->weight[i] = v->weight[i - v->channels];
    v->bias[i] = v->bias[i - v->channels];
  }
}

/* ----------------------------------------------------------------------------------------------- normalisation */

static void normalize_columns(const normalization *v, int64_t begin, int64_t end) {
  const float *x = channel_input(v, 0);
  float *y = v->output + v->first;
  for (int64_t l = begin, run; l < end; l += run) {
    const place at = place_of(v, l);
    run = min64(end - l, run_length(v, l));
    for (int64_t i = 0; i < run; i += v->repeat) {
      v->kernels->normalize_columns(y + at.output + i * v->axis[3].output_step,
                                    x + at.input + i * v->axis[3].input_step, min64(v->repeat, run - i) * v->channels,
                                    v->mean, v->scale, v->weight, v->bias);
    }
  }
}

static void normalize_row(const normalization *v, const cbn_factors *f, int64_t c, int64_t begin, int64_t end) {
  float *y = v->output + (v->first + c) * v->output_channel_step;
  for (int64_t l = begin, run; l < end; l += run) {
    const place at = place_of(v, l);
    run = min64(end - l, run_length(v, l));
    if (v->axis[3].input_step == 1 && v->axis[3].output_step == 1) {
      v->kernels->normalize_row(y + at.output, channel_input(v, c) + at.input, run, f);
      continue;
    }
    float gathered[GATHERED];
    run = min64(run, GATHERED);
    gather(v, gathered, c, l, run);
    v->kernels->normalize_row(gathered, gathered, run, f);
    for (int64_t i = 0; i < run; i++) y[at.output + i * v->axis[3].output_step] = gathered[i];
  }
}

static bool output_columns(const normalization *v) { return v->input_columns && v->output_channel_step == 1; }

/* A piece takes some values of all the slab's channels (columns), or about one row's piece of some channels. */
typedef struct cuts {
  int64_t values, channels, value_pieces, pieces;
} cuts;

static cuts cut_normalization(const normalization *v) {
  cuts k;
  if (output_columns(v)) {
    k.values = max64(v->repeat, ITEM / v->channels / v->repeat * v->repeat);
    k.channels = v->channels;
  } else {
    k.values = min64(v->inner, ITEM);
    k.channels = max64(1, ITEM / k.values);
  }
  k.values = min64(k.values, v->values);
  k.value_pieces = cut(v->values, k.values);
  k.pieces = k.value_pieces * cut(v->channels, k.channels);
  return k;
}

static void normalize_piece(void *context, int thread, int64_t i) {
  const normalization *v = context;
  const cuts k = cut_normalization(v);
  const int64_t chunks = cut(v->channels, k.channels);
  const int64_t begin = i / chunks * k.values, end = min64(begin + k.values, v->values);
  const int64_t c = i % chunks * k.channels, last = min64(c + k.channels, v->channels);
  (void)thread;
  if (output_columns(v)) {
    normalize_columns(v, begin, end);
    return;
  }
  for (int64_t j = c; j < last; j++) {
    const cbn_factors f = {v->mean[j], v->scale[j], v->weight[j], v->bias[j]};
    normalize_row(v, &f, j, begin, end);
  }
}

/* -------------------------------------------------------------------------------------------------------- call */

static void run_slab(normalization *v) {
  const int64_t work = v->channels * v->values;
  if (v->moments) {
    const int64_t tasks = (v->input_columns ? cut(v->channels, SUPER) : v->channels) * v->parts;
    cbn_fast_share(cbn_fast_threads(v->call, tasks, work), tasks, moments_piece, v);
  }
  for (int64_t c = 0; c < v->channels; c++) find_factors(v, c);
  repeat_factors(v);
  const int64_t pieces = cut_normalization(v).pieces;
  cbn_fast_share(cbn_fast_threads(v->call, pieces, work), pieces, normalize_piece, v);
}

static int64_t choose_parts(const normalization *v, int64_t slab) {
  const int64_t tasks = v->input_columns ? cut(slab, SUPER) : slab;
  return max64(1, min64(cut(PARTS, tasks), v->values / PART));
}

/* Few channels side by side, in dense rows: several pixels make one longer row. */
static int64_t choose_repeat(const normalization *v) {
  const int64_t channels = v->b->channels;
  const bool dense = v->axis[3].input_step == channels && v->axis[3].output_step == channels;
  return output_columns(v) && dense && channels < REPEATED ? min64(v->inner, cut(REPEATED, channels)) : 1;
}

int cbn_fast_batchnorm(const cbn_batchnorm_kernels *kernels, cbn_call *call) {
  if (cbn_batchnorm_work(call->batchnorm) == 0) return CBN_OK;
  normalization v;
  describe(&v, kernels, call);
  const int64_t slab = min64(v.b->channels, SLAB);
  const bool batch = v.b->statistics == CBN_STATISTICS_BATCH || v.b->update_running;
  v.parts = choose_parts(&v, slab);
  v.repeat = choose_repeat(&v);

  const int64_t moments = batch ? slab * v.parts : 0, factors = slab * v.repeat;
  cbn_moments *const workspace =
      cbn_fast_allocate(call, moments * (int64_t)sizeof(cbn_moments) + 4 * factors * (int64_t)sizeof(float));
  if (!workspace) return CBN_ERROR;
  v.moments = batch ? workspace : NULL;
  v.mean = (float *)(workspace + moments);
  v.scale = v.mean + factors;
  v.weight = v.scale + factors;
  v.bias = v.weight + factors;
  for (v.first = 0; v.first < v.b->channels; v.first += slab) {
    v.channels = min64(slab, v.b->channels - v.first);
    run_slab(&v);
  }
  free(workspace);
  return CBN_OK;
}
