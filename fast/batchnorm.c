/* fast/batchnorm.c - batch normalization: statistics piece by piece, merged in f64, then one pass that normalises.
 *
 * Within a piece (which stays in cache) the mean comes first and the deviations from it second; pieces merge as Chan,
 * Golub and LeVeque (1979) do. So the input is read from memory once for its statistics, and the variance is as stable
 * as that of two passes. Backward, grad_output g is read beside the input, and what is summed of the two merges
 * likewise: where the center of the deviations moves by d, sum g (x - center) loses d sum g. Then a pass over both
 * gives grad_input. Pieces, and the order in which they merge, follow from the shape and the layout.
 *
 * f16 and bf16 values are converted where a piece is read and where a row is written. */
#include "fast/batchnorm.h"

#include "fast/channels.h"
#include "fast/convert.h"
#include "fast/fast.h"
#include "fast/limits.h"
#include "fast/workspace.h"

#include <convbn/operator.h>

#include <math.h>

enum {
  COLUMN_PIECE = 64, /* pixels of a piece of CBN_LANES channels */
  PARTS = 16,
  FACTORS = 5 /* of a channel, at most */
};

_Static_assert(CBN_NORM_REPEATED <= CBN_NORM_SLAB, "rows of several pixels have all channels");

/* What is computed: forward; backward through the batch's statistics; backward past the running ones. */
enum mode { FORWARD, BACKWARD_BATCH, BACKWARD_RUNNING };

typedef struct normalization {
  const cbn_batchnorm_kernels *kernels;
  const cbn_convert_kernels *convert;
  cbn_call *call;
  const cbn_batchnorm *b;
  cbn_fast_channels at;
  enum mode mode;
  int32_t type;                     /* of the values */
  bool input_columns;               /* channels side by side, values not */
  bool output_columns;              /* in the result too */
  bool direct_input, direct_output; /* rows of f32, read and written in place */
  int64_t parts;
  /* Of the slab in work: */
  int64_t first, channels;
  cbn_moments *moments; /* [channel][part] */
  double *center;       /* what products are taken about; NULL: the batch's mean */
  float *factor[FACTORS];
  int64_t repeat; /* pixels that the factors' arrays cover side by side */
} normalization;

/* What the factors are, by mode. */
enum { MEAN, SCALE, WEIGHT, BIAS };
enum { GRADIENT = 2, PRODUCT = 3, SLOPE = 4 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t cut(int64_t whole, int64_t piece) { return whole / piece + (whole % piece != 0); }

/* ------------------------------------------------------------------------------------------------------ reading */

static bool side_by_side(const cbn_fast_channels *at, int w) { return !at->tensor[w] || at->channel_step[w] == 1; }
static bool in_a_row(const cbn_fast_channels *at, int w) { return !at->tensor[w] || at->axis[3].step[w] == 1; }

static void describe(normalization *v, const cbn_fast_kernels *kernels, cbn_call *call) {
  const cbn_batchnorm *b = call->batchnorm;
  *v = (normalization){.kernels = kernels->batchnorm, .convert = kernels->convert, .call = call, .b = b};
  if (b->direction != CBN_FORWARD) v->mode = b->statistics == CBN_STATISTICS_BATCH ? BACKWARD_BATCH : BACKWARD_RUNNING;
  cbn_fast_channels_of(&v->at, call);
  const cbn_fast_channels *at = &v->at;
  v->type = at->tensor[CBN_WALK_INPUT]->type;
  v->input_columns =
      side_by_side(at, CBN_WALK_INPUT) && side_by_side(at, CBN_WALK_GRADIENT) && at->axis[3].step[CBN_WALK_INPUT] != 1;
  v->output_columns = v->input_columns && side_by_side(at, CBN_WALK_RESULT);
  v->direct_input = v->type == CBN_F32 && in_a_row(at, CBN_WALK_INPUT) && in_a_row(at, CBN_WALK_GRADIENT);
  v->direct_output = v->direct_input && in_a_row(at, CBN_WALK_RESULT);
}

/* The element of channel `c` of the slab at an offset of channel 0. */
static void *element(const normalization *v, int w, int64_t c, int64_t offset) {
  return cbn_fast_element(v->type, v->at.tensor[w]->data, offset + (v->first + c) * v->at.channel_step[w]);
}

/* Values `l` on of a channel, row after row. */
static void gather(const normalization *v, int w, float *to, int64_t c, int64_t l, int64_t count) {
  while (count > 0) {
    const int64_t run = min64(count, cbn_fast_channels_run(&v->at, l));
    const void *from = element(v, w, c, cbn_fast_channels_place(&v->at, l).offset[w]);
    cbn_fast_load(v->convert, v->type, to, from, v->at.axis[3].step[w], run);
    to += run;
    l += run;
    count -= run;
  }
}

/* Values l to l + count: in place, or gathered into `buffer`. */
static const float *values_of(const normalization *v, int w, int64_t c, int64_t l, int64_t count, bool gathered,
                              float *buffer) {
  if (!gathered) return element(v, w, c, cbn_fast_channels_place(&v->at, l).offset[w]);
  gather(v, w, buffer, c, l, count);
  return buffer;
}

/* -------------------------------------------------------------------------------------------------- statistics */

/* `centered`: both about the same center, which does not move. */
static void merge_moments(cbn_moments *a, const cbn_moments *b, bool centered) {
  if (b->count == 0) return;
  if (a->count == 0) {
    *a = *b;
    return;
  }
  const double n = a->count + b->count;
  if (!centered) {
    const double d = b->sum / b->count - a->sum / a->count;
    a->squares += b->squares + d * d * (a->count / n * b->count);
    a->product += d * (a->count / n * b->gradient - b->count / n * a->gradient);
    a->sum += b->sum;
  }
  a->product += b->product;
  a->gradient += b->gradient;
  a->count = n;
}

static const double *center_of(const normalization *v, int64_t c) { return v->center ? &v->center[c] : NULL; }

static int64_t part_begin(const normalization *v, int64_t part) {
  return v->at.values / v->parts * part + min64(part, v->at.values % v->parts);
}

/* One channel, values begin to end, by rows; about *center, or about their mean where it is NULL. */
static cbn_moments channel_moments(const normalization *v, int64_t c, int64_t begin, int64_t end,
                                   const double *center) {
  cbn_moments all = {0}, piece;
  float gathered_x[CBN_NORM_GATHERED], gathered_g[CBN_NORM_GATHERED];
  for (int64_t l = begin, count; l < end; l += count) {
    count = min64(min64(CBN_NORM_PIECE, end - l), cbn_fast_channels_run(&v->at, l));
    const bool gathered = !v->direct_input || (count < CBN_NORM_SHORT_ROW && v->at.inner < CBN_NORM_SHORT_ROW);
    if (gathered) count = min64(CBN_NORM_GATHERED, end - l);
    const float *x = values_of(v, CBN_WALK_INPUT, c, l, count, gathered, gathered_x);
    if (v->mode == FORWARD) {
      v->kernels->moments_row(&piece, x, count);
    } else {
      const float *g = values_of(v, CBN_WALK_GRADIENT, c, l, count, gathered, gathered_g);
      v->kernels->comoments_row(&piece, x, g, count, center);
    }
    merge_moments(&all, &piece, center != NULL);
  }
  return all;
}

/* CBN_LANES channels of `count` pixels. */
typedef struct tile {
  const float *values;
  int64_t step;
} tile;

static tile tile_of(const normalization *v, int w, int64_t c, const cbn_fast_place *at, int64_t count, float *buffer) {
  const int64_t step = v->at.axis[3].step[w];
  if (v->type == CBN_F32) return (tile){element(v, w, c, at->offset[w]), step};
  for (int64_t i = 0; i < count; i++) {
    const void *pixel = element(v, w, c, at->offset[w] + i * step);
    cbn_fast_load(v->convert, v->type, buffer + i * CBN_LANES, pixel, 1, CBN_LANES);
  }
  return (tile){buffer, CBN_LANES};
}

static void tile_moments(const normalization *v, cbn_moments lane[CBN_LANES], int64_t c, const cbn_fast_place *at,
                         int64_t count) {
  float converted_x[COLUMN_PIECE * CBN_LANES], converted_g[COLUMN_PIECE * CBN_LANES];
  const tile x = tile_of(v, CBN_WALK_INPUT, c, at, count, converted_x);
  if (v->mode == FORWARD) {
    v->kernels->moments_columns(lane, x.values, x.step, count);
    return;
  }
  const tile g = tile_of(v, CBN_WALK_GRADIENT, c, at, count, converted_g);
  v->kernels->comoments_columns(lane, x.values, x.step, g.values, g.step, count, center_of(v, c));
}

/* Channels side by side: pieces of pixels, all lanes of a piece while it is in cache. */
static void column_moments(const normalization *v, int64_t c, int64_t channels, int64_t part) {
  const int64_t begin = part_begin(v, part), end = part_begin(v, part + 1);
  const int64_t whole = channels / CBN_LANES * CBN_LANES;
  for (int64_t i = c; i < c + whole; i++) v->moments[i * v->parts + part] = (cbn_moments){0};
  for (int64_t l = begin, count; l < end && whole > 0; l += count) {
    count = min64(min64(COLUMN_PIECE, end - l), cbn_fast_channels_run(&v->at, l));
    const cbn_fast_place at = cbn_fast_channels_place(&v->at, l);
    for (int64_t i = c; i < c + whole; i += CBN_LANES) {
      cbn_moments lane[CBN_LANES];
      tile_moments(v, lane, i, &at, count);
      for (int64_t j = 0; j < CBN_LANES; j++)
        merge_moments(&v->moments[(i + j) * v->parts + part], &lane[j], v->center != NULL);
    }
  }
  for (int64_t i = c + whole; i < c + channels; i++)
    v->moments[i * v->parts + part] = channel_moments(v, i, begin, end, center_of(v, i));
}

static void moments_piece(void *context, int thread, int64_t i) {
  const normalization *v = context;
  const int64_t part = i % v->parts, task = i / v->parts;
  (void)thread;
  if (v->input_columns) {
    column_moments(v, task * CBN_COLUMN_CHANNELS, min64(CBN_COLUMN_CHANNELS, v->channels - task * CBN_COLUMN_CHANNELS),
                   part);
  } else {
    const int64_t begin = part_begin(v, part), end = part_begin(v, part + 1);
    v->moments[task * v->parts + part] = channel_moments(v, task, begin, end, center_of(v, task));
  }
}

/* Merges a channel's parts into the first. */
static cbn_moments *channel_total(const normalization *v, int64_t c) {
  cbn_moments *all = &v->moments[c * v->parts];
  for (int64_t part = 1; part < v->parts; part++) {
    merge_moments(all, &all[part], v->center != NULL);
    all[part].count = 0;
  }
  return all;
}

/* With an infinite gradient, moving the center gives NaN or the wrong sign where the definition's sum is infinite. Such
 * a channel's products are summed again, about the mean that is known now. */
static void recount_piece(void *context, int thread, int64_t c) {
  const normalization *v = context;
  cbn_moments *all = &v->moments[c * v->parts];
  (void)thread;
  if (isfinite(all->product)) return;
  const double mean = all->sum / all->count;
  const cbn_moments again = channel_moments(v, c, 0, v->at.values, &mean);
  all->product = again.product;
  all->gradient = again.gradient;
}

/* ----------------------------------------------------------------------------------------------------- factors */

static double parameter(const normalization *v, int role, int64_t c, double neutral) {
  const cbn_tensor *t = v->call->tensor[role];
  return t ? cbn_tensor_get(t, v->first + c) : neutral;
}

static void set_parameter(const normalization *v, int role, int64_t c, double value) {
  const cbn_tensor *t = v->call->tensor[role];
  if (t) cbn_tensor_set(t, v->first + c, value);
}

static void update_running(const normalization *v, int64_t c, const cbn_moments *all) {
  const double m = v->b->new_weight, n = all->count, mean = all->sum / n;
  /* One value a channel has no unbiased variance: 0/0. */
  const double var = v->b->running_variance == CBN_VARIANCE_UNBIASED ? all->squares / (n - 1) : all->squares / n;
  set_parameter(v, CBN_ROLE_RUNNING_MEAN, c, (1 - m) * parameter(v, CBN_ROLE_RUNNING_MEAN, c, 0) + m * mean);
  set_parameter(v, CBN_ROLE_RUNNING_VAR, c, (1 - m) * parameter(v, CBN_ROLE_RUNNING_VAR, c, 1) + m * var);
}

/* The statistics that normalise are read before the running ones change. */
static void find_factors(const normalization *v, int64_t c) {
  const cbn_moments all = v->moments ? *channel_total(v, c) : (cbn_moments){0};
  double mean = all.sum / all.count, var = all.squares / all.count;
  if (v->b->statistics == CBN_STATISTICS_RUNNING) {
    mean = parameter(v, CBN_ROLE_RUNNING_MEAN, c, 0);
    var = parameter(v, CBN_ROLE_RUNNING_VAR, c, 1);
  }
  const double scale = 1 / sqrt(var + v->b->epsilon), weight = parameter(v, CBN_ROLE_WEIGHT, c, 1);
  v->factor[MEAN][c] = (float)mean;
  v->factor[SCALE][c] = (float)scale;
  if (v->mode == FORWARD) {
    v->factor[WEIGHT][c] = (float)weight;
    v->factor[BIAS][c] = (float)parameter(v, CBN_ROLE_BIAS, c, 0);
    if (v->b->update_running) update_running(v, c, &all);
    return;
  }
  v->factor[GRADIENT][c] = (float)(all.gradient / all.count);
  v->factor[PRODUCT][c] = (float)(all.product * scale / all.count);
  v->factor[SLOPE][c] = (float)(weight * scale);
  set_parameter(v, CBN_ROLE_GRAD_WEIGHT, c, all.product * scale);
  set_parameter(v, CBN_ROLE_GRAD_BIAS, c, all.gradient);
}

static void repeat_factors(const normalization *v) {
  for (int f = 0; f < FACTORS; f++) {
    for (int64_t i = v->channels; i < v->channels * v->repeat; i++) v->factor[f][i] = v->factor[f][i - v->channels];
  }
}

/* ----------------------------------------------------------------------------------------------- normalisation */

/* Rows of f32 of one channel, x or g NULL where the mode does not read it. */
static void apply_row(const normalization *v, float *y, const float *x, const float *g, int64_t count, int64_t c) {
  float *const *f = v->factor;
  switch (v->mode) {
  case FORWARD:
    v->kernels->normalize_row(y, x, count, &(cbn_factors){f[MEAN][c], f[SCALE][c], f[WEIGHT][c], f[BIAS][c]});
    break;
  case BACKWARD_BATCH: {
    const cbn_gradient_factors all = {f[MEAN][c], f[SCALE][c], f[GRADIENT][c], f[PRODUCT][c], f[SLOPE][c]};
    v->kernels->gradient_row(y, x, g, count, &all);
    break;
  }
  case BACKWARD_RUNNING: v->kernels->scale_row(y, g, count, f[SLOPE][c]); break;
  }
}

/* Rows of f32 of channels side by side, whose factors begin with number `c`. */
static void apply_columns(const normalization *v, float *y, const float *x, const float *g, int64_t count, int64_t c) {
  float *const *f = v->factor;
  switch (v->mode) {
  case FORWARD:
    v->kernels->normalize_columns(y, x, count, f[MEAN] + c, f[SCALE] + c, f[WEIGHT] + c, f[BIAS] + c);
    break;
  case BACKWARD_BATCH:
    v->kernels->gradient_columns(y, x, g, count, f[MEAN] + c, f[SCALE] + c, f[GRADIENT] + c, f[PRODUCT] + c,
                                 f[SLOPE] + c);
    break;
  case BACKWARD_RUNNING: v->kernels->scale_columns(y, g, count, f[SLOPE] + c); break;
  }
}

typedef void apply(const normalization *v, float *y, const float *x, const float *g, int64_t count, int64_t c);

/* Up to CBN_NORM_GATHERED values, through buffers: loaded, converted and put back where they belong. */
static void apply_converted(const normalization *v, apply *rows, void *const data[CBN_WALKED],
                            const int64_t step[CBN_WALKED], int64_t count, int64_t c) {
  float x[CBN_NORM_GATHERED], g[CBN_NORM_GATHERED], y[CBN_NORM_GATHERED];
  if (v->mode != BACKWARD_RUNNING)
    cbn_fast_load(v->convert, v->type, x, data[CBN_WALK_INPUT], step[CBN_WALK_INPUT], count);
  if (v->mode != FORWARD)
    cbn_fast_load(v->convert, v->type, g, data[CBN_WALK_GRADIENT], step[CBN_WALK_GRADIENT], count);
  rows(v, y, x, g, count, c);
  cbn_fast_store(v->convert, v->type, data[CBN_WALK_RESULT], step[CBN_WALK_RESULT], y, count);
}

static void find_data(const normalization *v, void *data[CBN_WALKED], int64_t c, const cbn_fast_place *at,
                      int64_t column) {
  for (int w = 0; w < CBN_WALKED; w++) {
    data[w] = v->at.tensor[w] ? element(v, w, c, at->offset[w] + column * v->at.axis[3].step[w]) : NULL;
  }
}

static void normalize_columns(const normalization *v, int64_t begin, int64_t end) {
  static const int64_t neighbours[CBN_WALKED] = {1, 1, 1};
  for (int64_t l = begin, run; l < end; l += run) {
    const cbn_fast_place at = cbn_fast_channels_place(&v->at, l);
    run = min64(end - l, cbn_fast_channels_run(&v->at, l));
    for (int64_t i = 0; i < run; i += v->repeat) {
      const int64_t count = min64(v->repeat, run - i) * v->channels;
      void *data[CBN_WALKED];
      if (v->type == CBN_F32) {
        find_data(v, data, 0, &at, i);
        apply_columns(v, data[CBN_WALK_RESULT], data[CBN_WALK_INPUT], data[CBN_WALK_GRADIENT], count, 0);
        continue;
      }
      for (int64_t c = 0; c < count; c += CBN_NORM_GATHERED) {
        find_data(v, data, c, &at, i);
        apply_converted(v, apply_columns, data, neighbours, min64(CBN_NORM_GATHERED, count - c), c);
      }
    }
  }
}

static void normalize_row(const normalization *v, int64_t c, int64_t begin, int64_t end) {
  for (int64_t l = begin, run; l < end; l += run) {
    const cbn_fast_place at = cbn_fast_channels_place(&v->at, l);
    void *data[CBN_WALKED];
    find_data(v, data, c, &at, 0);
    run = min64(end - l, cbn_fast_channels_run(&v->at, l));
    if (v->direct_output) {
      apply_row(v, data[CBN_WALK_RESULT], data[CBN_WALK_INPUT], data[CBN_WALK_GRADIENT], run, c);
    } else {
      run = min64(run, CBN_NORM_GATHERED);
      apply_converted(v, apply_row, data, v->at.axis[3].step, run, c);
    }
  }
}

/* A piece takes some values of all the slab's channels (columns), or about one row's piece of some channels. */
typedef struct cuts {
  int64_t values, channels, value_pieces, pieces;
} cuts;

static cuts cut_normalization(const normalization *v) {
  cuts k;
  if (v->output_columns) {
    k.values = max64(v->repeat, CBN_NORM_ITEM / v->channels / v->repeat * v->repeat);
    k.channels = v->channels;
  } else {
    k.values = min64(v->at.inner, CBN_NORM_ITEM);
    k.channels = max64(1, CBN_NORM_ITEM / k.values);
  }
  k.values = min64(k.values, v->at.values);
  k.value_pieces = cut(v->at.values, k.values);
  k.pieces = k.value_pieces * cut(v->channels, k.channels);
  return k;
}

static void normalize_piece(void *context, int thread, int64_t i) {
  const normalization *v = context;
  const cuts k = cut_normalization(v);
  const int64_t chunks = cut(v->channels, k.channels);
  const int64_t begin = i / chunks * k.values, end = min64(begin + k.values, v->at.values);
  const int64_t c = i % chunks * k.channels, last = min64(c + k.channels, v->channels);
  (void)thread;
  if (v->output_columns) {
    normalize_columns(v, begin, end);
    return;
  }
  for (int64_t j = c; j < last; j++) normalize_row(v, j, begin, end);
}

/* -------------------------------------------------------------------------------------------------------- call */

static void run_statistics(normalization *v) {
  const int64_t work = v->channels * v->at.values;
  for (int64_t c = 0; c < v->channels && v->center; c++) v->center[c] = parameter(v, CBN_ROLE_RUNNING_MEAN, c, 0);
  const int64_t tasks = (v->input_columns ? cut(v->channels, CBN_COLUMN_CHANNELS) : v->channels) * v->parts;
  cbn_fast_share(cbn_fast_threads(v->call, tasks, work), tasks, moments_piece, v);
  if (v->mode != BACKWARD_BATCH) return;
  for (int64_t c = 0; c < v->channels; c++) channel_total(v, c);
  cbn_fast_share(cbn_fast_threads(v->call, v->channels, work), v->channels, recount_piece, v);
}

static void run_slab(normalization *v) {
  if (v->moments) run_statistics(v);
  for (int64_t c = 0; c < v->channels; c++) find_factors(v, c);
  repeat_factors(v);
  const int64_t pieces = cut_normalization(v).pieces;
  cbn_fast_share(cbn_fast_threads(v->call, pieces, v->channels * v->at.values), pieces, normalize_piece, v);
}

static int64_t choose_parts(const normalization *v, int64_t slab) {
  const int64_t tasks = v->input_columns ? cut(slab, CBN_COLUMN_CHANNELS) : slab;
  return max64(1, min64(cut(PARTS, tasks), v->at.values / CBN_NORM_PART));
}

/* Few channels side by side, in dense rows: several pixels make one longer row. */
static int64_t choose_repeat(const normalization *v) {
  const int64_t channels = v->b->channels;
  bool dense = v->output_columns && channels < CBN_NORM_REPEATED;
  for (int w = 0; w < CBN_WALKED; w++) dense = dense && (!v->at.tensor[w] || v->at.axis[3].step[w] == channels);
  return dense ? min64(v->at.inner, cut(CBN_NORM_REPEATED, channels)) : 1;
}

/* Does the result depend on the batch's sums? */
static bool needs_statistics(const normalization *v) {
  if (v->mode == FORWARD) return v->b->statistics == CBN_STATISTICS_BATCH || v->b->update_running;
  return v->mode == BACKWARD_BATCH || v->b->has_weight || v->b->has_bias;
}

static int without_values(normalization *v) {
  for (int64_t c = 0; c < v->b->channels && v->mode != FORWARD; c++) {
    set_parameter(v, CBN_ROLE_GRAD_WEIGHT, c, 0);
    set_parameter(v, CBN_ROLE_GRAD_BIAS, c, 0);
  }
  return CBN_OK;
}

int cbn_fast_batchnorm(const cbn_fast_kernels *kernels, cbn_call *call) {
  normalization v;
  describe(&v, kernels, call);
  if (cbn_batchnorm_work(call->batchnorm) == 0) return without_values(&v);
  const int64_t slab = min64(v.b->channels, CBN_NORM_SLAB);
  v.parts = choose_parts(&v, slab);
  v.repeat = choose_repeat(&v);

  const int64_t moments = needs_statistics(&v) ? slab * v.parts : 0, factors = slab * v.repeat;
  const int64_t centers = v.mode == BACKWARD_RUNNING ? slab : 0;
  cbn_moments *const workspace =
      cbn_fast_allocate(call, moments * (int64_t)sizeof(cbn_moments) + centers * (int64_t)sizeof(double) +
                                  FACTORS * factors * (int64_t)sizeof(float));
  if (!workspace) return CBN_ERROR;
  double *const center = (double *)(workspace + moments);
  v.moments = moments > 0 ? workspace : NULL;
  v.center = centers > 0 ? center : NULL;
  for (int f = 0; f < FACTORS; f++) v.factor[f] = (float *)(center + centers) + f * factors;
  for (v.first = 0; v.first < v.b->channels; v.first += slab) {
    v.channels = min64(slab, v.b->channels - v.first);
    run_slab(&v);
  }
  cbn_fast_release(workspace);
  return CBN_OK;
}
