/* fast/f64_batchnorm.c - batch normalization in f64, as its definition reads: a pass for the mean, a second one about
 * it for the squared deviations, backward a third for the products with g, and one that writes. A channel's values are
 * added one after the other, whatever layout and threads. Channels that lie side by side go together, so that a line of
 * memory is used whole. */
#include "fast/batchnorm.h"

#include "fast/channels.h"
#include "fast/workspace.h"

#include <convbn/operator.h>

#include <math.h>

enum { LANES = 8, STRETCH = 64 }; /* lanes, and values of them that stay in cache from lane to lane */

typedef struct normalization {
  cbn_call *call;
  const cbn_batchnorm *b;
  cbn_fast_channels at;
  int64_t lanes; /* channels that go together */
} normalization;

/* Of each lane. */
typedef struct sums {
  double mean[LANES], var[LANES], scale[LANES], weight[LANES], bias[LANES];
  double gradient[LANES], product[LANES]; /* sum g, sum g (x - mean) */
} sums;

/* Some neighbouring values of some channels. */
typedef struct row {
  const double *x, *g;
  double *y;
  int64_t count, lanes;
  int64_t step[CBN_WALKED], channel_step[CBN_WALKED];
} row;

typedef void visit(sums *s, const row *r);

static double *address(const normalization *v, int w, int64_t c, const cbn_fast_place *at) {
  const cbn_tensor *t = v->at.tensor[w];
  return t ? (double *)t->data + at->offset[w] + c * v->at.channel_step[w] : NULL;
}

/* All values of channels c to c + lanes, in the order of the batch and of space. */
static void for_each_row(const normalization *v, visit *visit, sums *s, int64_t c, int64_t lanes) {
  row r = {.lanes = lanes};
  for (int w = 0; w < CBN_WALKED; w++) {
    r.step[w] = v->at.axis[3].step[w];
    r.channel_step[w] = v->at.channel_step[w];
  }
  for (int64_t l = 0; l < v->at.values; l += r.count) {
    const cbn_fast_place at = cbn_fast_channels_place(&v->at, l);
    r.count = cbn_fast_channels_run(&v->at, l);
    if (lanes > 1 && r.count > STRETCH) r.count = STRETCH;
    r.x = address(v, CBN_WALK_INPUT, c, &at);
    r.g = address(v, CBN_WALK_GRADIENT, c, &at);
    r.y = address(v, CBN_WALK_RESULT, c, &at);
    visit(s, &r);
  }
}

static double x_at(const row *r, int64_t i, int64_t j) {
  return r->x[i * r->step[CBN_WALK_INPUT] + j * r->channel_step[CBN_WALK_INPUT]];
}

static double g_at(const row *r, int64_t i, int64_t j) {
  return r->g[i * r->step[CBN_WALK_GRADIENT] + j * r->channel_step[CBN_WALK_GRADIENT]];
}

static double *y_at(const row *r, int64_t i, int64_t j) {
  return &r->y[i * r->step[CBN_WALK_RESULT] + j * r->channel_step[CBN_WALK_RESULT]];
}

static void add_values(sums *s, const row *r) {
  for (int64_t j = 0; j < r->lanes; j++) {
    double sum = s->mean[j];
    for (int64_t i = 0; i < r->count; i++) sum += x_at(r, i, j);
    s->mean[j] = sum;
  }
}

static void add_squares(sums *s, const row *r) {
  for (int64_t j = 0; j < r->lanes; j++) {
    const double mean = s->mean[j];
    double sum = s->var[j];
    for (int64_t i = 0; i < r->count; i++) {
      const double d = x_at(r, i, j) - mean;
      sum += d * d;
    }
    s->var[j] = sum;
  }
}

static void add_products(sums *s, const row *r) {
  for (int64_t j = 0; j < r->lanes; j++) {
    const double mean = s->mean[j];
    double gradient = s->gradient[j], product = s->product[j];
    for (int64_t i = 0; i < r->count; i++) {
      gradient += g_at(r, i, j);
      product += g_at(r, i, j) * (x_at(r, i, j) - mean);
    }
    s->gradient[j] = gradient;
    s->product[j] = product;
  }
}

static void normalize(sums *s, const row *r) {
  for (int64_t j = 0; j < r->lanes; j++) {
    const double mean = s->mean[j], scale = s->scale[j], weight = s->weight[j], bias = s->bias[j];
    for (int64_t i = 0; i < r->count; i++) *y_at(r, i, j) = (x_at(r, i, j) - mean) * scale * weight + bias;
  }
}

/* gradient and product are divided by L here, and product is of g z. */
static void grade_batch(sums *s, const row *r) {
  for (int64_t j = 0; j < r->lanes; j++) {
    const double mean = s->mean[j], scale = s->scale[j], slope = s->weight[j] * scale;
    const double gradient = s->gradient[j], product = s->product[j];
    for (int64_t i = 0; i < r->count; i++) {
      const double z = (x_at(r, i, j) - mean) * scale;
      *y_at(r, i, j) = (g_at(r, i, j) - gradient - z * product) * slope;
    }
  }
}

static void grade_running(sums *s, const row *r) {
  for (int64_t j = 0; j < r->lanes; j++) {
    const double slope = s->weight[j] * s->scale[j];
    for (int64_t i = 0; i < r->count; i++) *y_at(r, i, j) = g_at(r, i, j) * slope;
  }
}

static double parameter(const normalization *v, int role, int64_t c, double neutral) {
  const cbn_tensor *t = v->call->tensor[role];
  return t ? cbn_tensor_get(t, c) : neutral;
}

static void set_parameter(const normalization *v, int role, int64_t c, double value) {
  const cbn_tensor *t = v->call->tensor[role];
  if (t) cbn_tensor_set(t, c, value);
}

static void find_statistics(const normalization *v, sums *s, int64_t c, int64_t lanes) {
  const double n = (double)v->at.values;
  for_each_row(v, add_values, s, c, lanes);
  for (int64_t j = 0; j < lanes; j++) s->mean[j] /= n;
  for_each_row(v, add_squares, s, c, lanes);
  for (int64_t j = 0; j < lanes; j++) s->var[j] /= n;
}

static void update_running(const normalization *v, int64_t c, double mean, double var) {
  const double m = v->b->new_weight, n = (double)v->at.values;
  /* One value a channel has no unbiased variance: 0/0. */
  if (v->b->running_variance == CBN_VARIANCE_UNBIASED) var = var * n / (n - 1);
  set_parameter(v, CBN_ROLE_RUNNING_MEAN, c, (1 - m) * parameter(v, CBN_ROLE_RUNNING_MEAN, c, 0) + m * mean);
  set_parameter(v, CBN_ROLE_RUNNING_VAR, c, (1 - m) * parameter(v, CBN_ROLE_RUNNING_VAR, c, 1) + m * var);
}

/* The statistics that normalise are read before the running ones change. */
static void find_factors(const normalization *v, sums *s, int64_t c, int64_t lanes) {
  const bool running = v->b->statistics == CBN_STATISTICS_RUNNING;
  if (!running || v->b->update_running) find_statistics(v, s, c, lanes);
  for (int64_t j = 0; j < lanes; j++) {
    const double mean = s->mean[j], var = s->var[j];
    if (running) {
      s->mean[j] = parameter(v, CBN_ROLE_RUNNING_MEAN, c + j, 0);
      s->var[j] = parameter(v, CBN_ROLE_RUNNING_VAR, c + j, 1);
    }
    if (v->b->update_running) update_running(v, c + j, mean, var);
    s->scale[j] = 1 / sqrt(s->var[j] + v->b->epsilon);
    s->weight[j] = parameter(v, CBN_ROLE_WEIGHT, c + j, 1);
    s->bias[j] = parameter(v, CBN_ROLE_BIAS, c + j, 0);
  }
}

/* Parameters' gradients, and then the factors that `grade_batch` wants. */
static void find_gradients(const normalization *v, sums *s, int64_t c, int64_t lanes) {
  const double n = (double)v->at.values;
  for_each_row(v, add_products, s, c, lanes);
  for (int64_t j = 0; j < lanes; j++) {
    s->product[j] *= s->scale[j];
    set_parameter(v, CBN_ROLE_GRAD_WEIGHT, c + j, s->product[j]);
    set_parameter(v, CBN_ROLE_GRAD_BIAS, c + j, s->gradient[j]);
    s->gradient[j] /= n;
    s->product[j] /= n;
  }
}

static void run_piece(void *context, int thread, int64_t i) {
  const normalization *v = context;
  const int64_t c = i * v->lanes, left = v->b->channels - c, lanes = left < v->lanes ? left : v->lanes;
  sums s = {0};
  (void)thread;
  if (v->at.values > 0) find_factors(v, &s, c, lanes);
  if (v->b->direction == CBN_FORWARD) {
    for_each_row(v, normalize, &s, c, lanes);
    return;
  }
  const bool batch = v->b->statistics == CBN_STATISTICS_BATCH;
  if (batch || v->b->has_weight || v->b->has_bias) find_gradients(v, &s, c, lanes);
  for_each_row(v, batch ? grade_batch : grade_running, &s, c, lanes);
}

int cbn_fast_batchnorm_f64(cbn_call *call) {
  normalization v = {.call = call, .b = call->batchnorm, .lanes = 1};
  cbn_fast_channels_of(&v.at, call);
  if (v.at.channel_step[CBN_WALK_INPUT] == 1) v.lanes = LANES;
  const int64_t pieces = v.b->channels / v.lanes + (v.b->channels % v.lanes != 0);
  cbn_fast_share(cbn_fast_threads(call, pieces, cbn_batchnorm_work(call->batchnorm)), pieces, run_piece, &v);
  return CBN_OK;
}
