/* fast/f64_conv.c - convolution in f64, as loops over its definition.
 *
 * Every convolution, transposed or not, relates a wide side (the input of a plain one, the output of a transposed one),
 * a narrow side (the other) and a weight: narrow position p and tap t meet the wide position p*stride + t*dilation -
 * pad. Each direction sums over that relation into one of the three:
 *
 *   NARROW   y[n,o,p] += w[o,c,t] * x[n,c,q]   forward; gradient of the input of a transposed convolution
 *   WIDE     x[n,c,q] += w[o,c,t] * y[n,o,p]   forward, transposed; gradient of the input
 *   WEIGHT   w[o,c,t] += x[n,c,q] * y[n,o,p]   gradient of the weight
 *
 * The innermost loop runs along a row of narrow positions, for one tap, whose wide positions stand in a table. Every
 * sum is one chain in an order that follows from the shape alone. Positions on padding multiply by zero where they are
 * read. */
#include "fast/f64_conv.h"
#include "fast/limits.h"

#include "fast/workspace.h"

#include <convbn/operator.h>

enum { AXES = CBN_MAX_SPATIAL, W = AXES - 1 };
static const int64_t NOWHERE = -1;

enum target { NARROW, WIDE, WEIGHT };

typedef struct axis {
  int64_t wide, narrow, kernel; /* extents */
  int64_t stride, dilation, input_dilation, pad;
  int64_t wide_step, narrow_step, weight_step;
} axis;

/* One of the three tensors: its first two steps, the rest stands with the axes. */
typedef struct side {
  double *data;
  int64_t first_step, second_step;
} side;

typedef struct convolution {
  enum target target;
  int padding_mode;
  side wide, narrow, weight; /* by (n, c), (n, o), (o, c of the group) */
  const double *bias;
  int64_t bias_step;
  int64_t batch, groups, channels, filters; /* of one group: wide and narrow channels */
  int64_t work;                             /* multiply-adds */
  axis axis[AXES];
} convolution;

/* A part of a row of narrow positions under one tap. `wide` NULL: the whole row is padding. */
typedef struct row {
  double *wide, *narrow;
  int64_t narrow_step, count;
  int64_t table[CBN_F64_CHUNK]; /* offsets into the wide row, or NOWHERE */
} row;

/* ---------------------------------------------------------------------------------------------------- geometry */

static void describe_axis(axis *a, const cbn_conv *conv, int i) {
  const int64_t output = cbn_conv_output_extent(conv, i);
  *a = (axis){.wide = conv->transposed ? output : conv->input[i],
              .narrow = conv->transposed ? conv->input[i] : output,
              .kernel = conv->kernel[i],
              .stride = conv->stride[i],
              .dilation = conv->dilation[i],
              .input_dilation = conv->input_dilation[i],
              .pad = conv->pad_begin[i]};
}

static const cbn_tensor *either(const cbn_call *call, int role, int other) {
  return call->tensor[role] ? call->tensor[role] : call->tensor[other];
}

static side side_of(const cbn_tensor *t) { return (side){t->data, t->stride[0], t->stride[1]}; }

static void describe(convolution *v, const cbn_call *call) {
  const cbn_conv *conv = call->conv;
  const cbn_tensor *input = either(call, CBN_ROLE_INPUT, CBN_ROLE_GRAD_INPUT);
  const cbn_tensor *output = either(call, CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_OUTPUT);
  const cbn_tensor *weight = either(call, CBN_ROLE_WEIGHT, CBN_ROLE_GRAD_WEIGHT);
  const cbn_tensor *wide = conv->transposed ? output : input, *narrow = conv->transposed ? input : output;
  const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
  *v = (convolution){.padding_mode = conv->padding_mode,
                     .wide = side_of(wide),
                     .narrow = side_of(narrow),
                     .weight = side_of(weight),
                     .batch = conv->batch,
                     .work = cbn_conv_work(conv),
                     .groups = conv->groups,
                     .channels = conv->transposed ? out : in,
                     .filters = conv->transposed ? in : out};
  if (conv->direction == CBN_GRAD_WEIGHT) {
    v->target = WEIGHT;
  } else {
    v->target = (conv->direction == CBN_FORWARD) == !conv->transposed ? NARROW : WIDE;
  }
  const int missing = AXES - conv->spatial_rank;
  for (int a = 0; a < missing; a++)
    v->axis[a] = (axis){.wide = 1, .narrow = 1, .kernel = 1, .stride = 1, .dilation = 1, .input_dilation = 1};
  for (int i = 0; i < conv->spatial_rank; i++) {
    axis *a = &v->axis[missing + i];
    describe_axis(a, conv, i);
    a->wide_step = wide->stride[2 + i];
    a->narrow_step = narrow->stride[2 + i];
    a->weight_step = weight->stride[2 + i];
  }
  const cbn_tensor *bias = call->tensor[CBN_ROLE_BIAS];
  if (bias) {
    v->bias = bias->data;
    v->bias_step = bias->stride[0];
  }
}

/* The index that stands at x of an axis padded in a mode other than zeros, by at most its extent. */
static int64_t folded(int mode, int64_t extent, int64_t x) {
  if (x >= 0 && x < extent) return x;
  if (mode == CBN_PAD_REFLECT) return x < 0 ? -x : 2 * (extent - 1) - x;
  if (mode == CBN_PAD_REPLICATE) return x < 0 ? 0 : extent - 1;
  return x < 0 ? x + extent : x - extent;
}

/* The wide index that narrow position p and tap t meet, or NOWHERE. */
static int64_t meeting(const convolution *v, const axis *a, int64_t p, int64_t t) {
  int64_t q = p * a->stride + t * a->dilation - a->pad;
  if (v->padding_mode != CBN_PAD_ZEROS) return folded(v->padding_mode, a->wide, q);
  if (q < 0 || q % a->input_dilation != 0) return NOWHERE;
  q /= a->input_dilation;
  return q < a->wide ? q : NOWHERE;
}

/* ------------------------------------------------------------------------------------------------------- sums */

static void add_to_narrow(const row *r, double w) {
  for (int64_t i = 0; i < r->count; i++) {
    const double x = r->wide && r->table[i] != NOWHERE ? r->wide[r->table[i]] : 0;
    r->narrow[i * r->narrow_step] += w * x;
  }
}

static void add_to_wide(const row *r, double w) {
  for (int64_t i = 0; i < r->count && r->wide; i++) {
    if (r->table[i] != NOWHERE) r->wide[r->table[i]] += w * r->narrow[i * r->narrow_step];
  }
}

static double sum_for_weight(const row *r, double sum) {
  for (int64_t i = 0; i < r->count; i++) {
    const double x = r->wide && r->table[i] != NOWHERE ? r->wide[r->table[i]] : 0;
    sum += x * r->narrow[i * r->narrow_step];
  }
  return sum;
}

/* Where an image's wide and narrow channel and the weights between them begin. */
typedef struct planes {
  double *wide, *narrow, *weight;
} planes;

/* An empty tensor may have no memory. */
static double *plane_at(const side *s, int64_t first, int64_t second) {
  return s->data ? s->data + first * s->first_step + second * s->second_step : NULL;
}

static planes planes_of(const convolution *v, int64_t n, int64_t group, int64_t c, int64_t o) {
  return (planes){.wide = plane_at(&v->wide, n, group * v->channels + c),
                  .narrow = plane_at(&v->narrow, n, group * v->filters + o),
                  .weight = plane_at(&v->weight, group * v->filters + o, c)};
}

/* One column of taps (kernel index t along W) of a pair of channels: all its other taps and all rows, for the narrow
 * positions of the table, which begin at `begin`. */
static void add_rows(const convolution *v, row *r, planes at, int64_t t, int64_t begin) {
  const axis *d = &v->axis[0], *h = &v->axis[1], *w = &v->axis[W];
  for (int64_t tap = 0; tap < d->kernel * h->kernel; tap++) {
    const int64_t td = tap / h->kernel, th = tap % h->kernel;
    double *const weight = at.weight + td * d->weight_step + th * h->weight_step + t * w->weight_step;
    double sum = *weight;
    for (int64_t line = 0; line < d->narrow * h->narrow; line++) {
      const int64_t pd = line / h->narrow, ph = line % h->narrow;
      const int64_t qd = meeting(v, d, pd, td), qh = meeting(v, h, ph, th);
      const bool meets = at.wide && qd != NOWHERE && qh != NOWHERE;
      r->wide = meets ? at.wide + qd * d->wide_step + qh * h->wide_step : NULL;
      r->narrow = at.narrow + pd * d->narrow_step + ph * h->narrow_step + begin * w->narrow_step;
      switch (v->target) {
      case NARROW: add_to_narrow(r, *weight); break;
      case WIDE: add_to_wide(r, *weight); break;
      case WEIGHT: sum = sum_for_weight(r, sum); break;
      }
    }
    if (v->target == WEIGHT) *weight = sum;
  }
}

/* Which channels and images a piece of work goes through, for each column of taps and chunk of a row. */
typedef struct range {
  int64_t group, n, n_end, c, c_end, o, o_end;
} range;

static void add_range(const convolution *v, const range *k) {
  const axis *w = &v->axis[W];
  row r = {.narrow_step = w->narrow_step};
  for (int64_t t = 0; t < w->kernel; t++) {
    for (int64_t begin = 0; begin < w->narrow; begin += r.count) {
      r.count = w->narrow - begin < CBN_F64_CHUNK ? w->narrow - begin : CBN_F64_CHUNK;
      for (int64_t i = 0; i < r.count; i++) {
        const int64_t q = meeting(v, w, begin + i, t);
        r.table[i] = q == NOWHERE ? NOWHERE : q * w->wide_step;
      }
      for (int64_t n = k->n; n < k->n_end; n++) {
        for (int64_t o = k->o; o < k->o_end; o++) {
          for (int64_t c = k->c; c < k->c_end; c++) add_rows(v, &r, planes_of(v, n, k->group, c, o), t, begin);
        }
      }
    }
  }
}

static void fill(double *data, const int64_t extent[AXES], const int64_t step[AXES], double value) {
  for (int64_t d = 0; d < extent[0]; d++) {
    for (int64_t h = 0; h < extent[1]; h++) {
      for (int64_t i = 0; i < extent[W]; i++) data[d * step[0] + h * step[1] + i * step[W]] = value;
    }
  }
}

/* A piece is a plane of the target: of an image and a channel, or of a filter and a channel. */
static void start_plane(const convolution *v, const range *k, int64_t channel) {
  const planes at = planes_of(v, k->n, k->group, k->c, k->o);
  int64_t extent[AXES], step[AXES];
  for (int a = 0; a < AXES; a++) {
    const axis *x = &v->axis[a];
    extent[a] = v->target == NARROW ? x->narrow : v->target == WIDE ? x->wide : x->kernel;
    step[a] = v->target == NARROW ? x->narrow_step : v->target == WIDE ? x->wide_step : x->weight_step;
  }
  double *const plane = v->target == NARROW ? at.narrow : v->target == WIDE ? at.wide : at.weight;
  fill(plane, extent, step, v->bias ? v->bias[channel * v->bias_step] : 0);
}

static void run_piece(void *context, int thread, int64_t i) {
  const convolution *v = context;
  range k = {.n_end = v->batch, .c_end = v->channels, .o_end = v->filters};
  (void)thread;
  if (v->target == WEIGHT) {
    k.c = i % v->channels;
    k.o = i / v->channels % v->filters;
    k.group = i / v->channels / v->filters;
  } else {
    const int64_t of_group = v->target == NARROW ? v->filters : v->channels;
    const int64_t channel = i % (v->groups * of_group);
    k.n = i / (v->groups * of_group);
    k.n_end = k.n + 1;
    k.group = channel / of_group;
    *(v->target == NARROW ? &k.o : &k.c) = channel % of_group;
  }
  start_plane(v, &k, i % (v->groups * (v->target == NARROW ? v->filters : v->channels)));
  if (v->target != WIDE) k.o_end = k.o + 1;
  if (v->target != NARROW) k.c_end = k.c + 1;
  if (v->work > 0) add_range(v, &k);
}

/* -------------------------------------------------------------------------------------------------------- call */

static void sum_for_bias(const cbn_call *call) {
  const cbn_tensor *g = call->tensor[CBN_ROLE_GRAD_OUTPUT], *bias = call->tensor[CBN_ROLE_GRAD_BIAS];
  if (!bias) return;
  const cbn_conv *conv = call->conv;
  const int64_t positions = cbn_extent_product(conv->spatial_rank, g->extent + 2);
  for (int64_t o = 0; o < conv->out_channels; o++) {
    double sum = 0;
    for (int64_t n = 0; n < conv->batch && positions > 0; n++) {
      for (int64_t p = 0; p < positions; p++) {
        int64_t offset = n * g->stride[0] + o * g->stride[1], rest = p;
        for (int a = conv->spatial_rank + 1; a >= 2; a--) {
          offset += rest % g->extent[a] * g->stride[a];
          rest /= g->extent[a];
        }
        sum += ((const double *)g->data)[offset];
      }
    }
    ((double *)bias->data)[o * bias->stride[0]] = sum;
  }
}

int cbn_fast_conv_f64(cbn_call *call) {
  if (call->conv->direction == CBN_GRAD_BIAS) {
    sum_for_bias(call);
    return CBN_OK;
  }
  convolution v;
  describe(&v, call);
  int64_t pieces = v.groups * v.channels * v.filters;
  if (v.target == NARROW) pieces = v.batch * v.groups * v.filters;
  if (v.target == WIDE) pieces = v.batch * v.groups * v.channels;
  cbn_fast_share(cbn_fast_threads(call, pieces, v.work), pieces, run_piece, &v);
  return CBN_OK;
}
