/* tests/test_fast_batchnorm.c - batch normalization of fast/, forward and backward, in every type, layout and in place,
 * against its definition evaluated in long double.
 *
 * The bounds below are narrower than the reference's, because they say what fast/ promises: statistics and sums as good
 * as f64, then a few operations in f32 (f64 for f64), then one rounding to the type. The reference's bounds are checked
 * elsewhere, with fast/ as an engine.
 *
 * Random problems have a number each. A failure prints the line that replays its problem alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/halves.h"
#include "core/scratch.h"
#include "fast/fast.h"

#include <convbn/operator.h>

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/chance.h"

/* ------------------------------------------------------------------------------- memory, watched and made to fail */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static struct {
  size_t largest;
  bool fail;
} memory;

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  if (size > memory.largest) memory.largest = size;
  return memory.fail ? NULL : __real_aligned_alloc(alignment, size);
}

static void *allocated(size_t bytes) {
  void *block = malloc(bytes > 0 ? bytes : 1);
  assert_non_null(block);
  return block;
}

/* ------------------------------------------------------------------------------------------------------ chance */

static const uint64_t first_seed = 20260701;

static uint64_t seeds(int *count) { return seeds_from(first_seed, count); }

#define FAIL_PROBLEM(p, ...)                                                                                           \
  do {                                                                                                                 \
    print_error(__VA_ARGS__);                                                                                          \
    print_problem(p);                                                                                                  \
    fail();                                                                                                            \
  } while (0)

/* ------------------------------------------------------------------------------------------------------- types */

/* Unit roundoff of storage and of working, half the smallest subnormal, where rounding reaches infinity. */
static const struct {
  double u, working, eta, overflow;
} types[] = {
    [CBN_F32] = {0x1p-24, 0x1p-24, 0x1p-150, 0x1p128},
    [CBN_F64] = {0x1p-53, 0x1p-53, 0x1p-1074, INFINITY},
    [CBN_F16] = {0x1p-11, 0x1p-24, 0x1p-25, 65520},
    [CBN_BF16] = {0x1p-8, 0x1p-24, 0x1p-134, 0x1.ffp127},
};

static double rounded(int32_t type, double value) {
  switch (type) {
  case CBN_F32: return (double)(float)value;
  case CBN_F16: return cbn_f16_to_f64(cbn_f64_to_f16(value));
  case CBN_BF16: return cbn_bf16_to_f64(cbn_f64_to_bf16(value));
  default: return value;
  }
}

/* ----------------------------------------------------------------------------------------------------- tensors */

enum layout { CONTIGUOUS, LAST, SLICE, GAPS, LAYOUTS };

/* A tensor with its whole memory, gaps included. */
typedef struct holder {
  cbn_tensor t;
  size_t bytes;
  unsigned char *before; /* what was there when it was loaded */
} holder;

enum { UNTOUCHED = 0x6b };

/* Strides by layout; SLICE is some channels of a larger LAST, GAPS permutes the axes and leaves holes. Exactly as long
 * as its elements need, so that a sanitizer
 * sees the first byte too many. */
static void make(holder *h, int32_t type, int32_t rank, const int64_t *extent, enum layout layout, chance *r) {
  *h = (holder){.bytes = 0};
  draw_strides(&h->t, type, rank, extent, layout == LAST || layout == SLICE, layout == GAPS, layout == SLICE ? 3 : 0, r);
  h->bytes = (size_t)cbn_tensor_bytes(&h->t);
  h->t.data = allocated(h->bytes);
  h->before = allocated(h->bytes);
  memset(h->t.data, UNTOUCHED, h->bytes);
  memset(h->before, UNTOUCHED, h->bytes);
}

static void load(holder *h, const double *values) {
  for (int64_t i = 0, n = cbn_tensor_count(&h->t); i < n; i++) cbn_tensor_set(&h->t, i, values[i]);
  memcpy(h->before, h->t.data, h->bytes);
}

static double *unload(const holder *h) {
  const int64_t n = cbn_tensor_count(&h->t);
  double *values = allocated((size_t)n * sizeof *values);
  for (int64_t i = 0; i < n; i++) values[i] = cbn_tensor_get(&h->t, i);
  return values;
}

static bool unchanged(const holder *h) { return memcmp(h->before, h->t.data, h->bytes) == 0; }

/* Only elements were written: with the elements as they were, all is as it was. */
static bool gaps_unchanged(const holder *h) {
  const size_t size = cbn_type_size(h->t.type);
  unsigned char *after = allocated(h->bytes);
  memcpy(after, h->t.data, h->bytes);
  for (int64_t i = 0, n = cbn_tensor_count(&h->t); i < n; i++) {
    const size_t at = (size_t)cbn_tensor_offset(&h->t, i) * size;
    memcpy(after + at, h->before + at, size);
  }
  const bool same = memcmp(after, h->before, h->bytes) == 0;
  free(after);
  return same;
}

static void drop(holder *h) {
  free(h->t.data);
  free(h->before);
  *h = (holder){0};
}

/* ---------------------------------------------------------------------------------------------------- problems */

enum data { UNIFORM, OFFSET, INTEGERS, CONSTANT, DATA };

typedef struct problem {
  uint64_t seed;
  cbn_batchnorm b;
  int32_t type, layer_type;
  enum data data;
  int64_t values; /* a channel */
  int64_t positions;
  double *x, *g, *weight, *bias, *running_mean, *running_var; /* dense, row-major, representable in their types */
} problem;

static void print_problem(const problem *p) {
  const cbn_batchnorm *b = &p->b;
  print_error(
      "\n%s, layer %s, rank %d, direction %d, statistics %d, update %d, weight %d, bias %d, data %d, batch %" PRId64
      ", channels %" PRId64 ", values %" PRId64 "\nreplay: CBN_TEST_SEED=%" PRIu64 " test_fast_batchnorm\n",
      cbn_type_name(p->type), cbn_type_name(p->layer_type), 2 + (int)b->spatial_rank, (int)b->direction,
      (int)b->statistics, (int)b->update_running, (int)b->has_weight, (int)b->has_bias, (int)p->data, b->batch,
      b->channels, p->values, p->seed);
}

static double *numbers(int32_t type, int64_t count, double low, double high, chance *r) {
  double *values = allocated((size_t)count * sizeof *values);
  for (int64_t i = 0; i < count; i++) values[i] = rounded(type, low + (high - low) * unit(r));
  return values;
}

static int64_t element_of(const problem *p, int64_t c, int64_t l) {
  return (l / p->positions * p->b.channels + c) * p->positions + l % p->positions;
}

static void fill(problem *p, chance *r) {
  const int64_t count = p->values * p->b.channels, channels = p->b.channels;
  p->x = numbers(p->type, count, -1, 1, r);
  p->g = numbers(p->type, count, -1, 1, r);
  for (int64_t c = 0; c < channels; c++) {
    const double offset = rounded(p->type, (double)between(r, -900, 900));
    for (int64_t l = 0; l < p->values; l++) {
      double *x = &p->x[element_of(p, c, l)];
      if (p->data == OFFSET) *x = rounded(p->type, *x + offset);
      if (p->data == CONSTANT) *x = offset;
      if (p->data == INTEGERS) {
        *x = (double)between(r, -4, 4);
        p->g[element_of(p, c, l)] = (double)between(r, -4, 4);
      }
    }
  }
  p->weight = numbers(p->layer_type, channels, -2, 2, r);
  p->bias = numbers(p->layer_type, channels, -2, 2, r);
  p->running_mean = numbers(p->layer_type, channels, -1, 1, r);
  p->running_var = numbers(p->layer_type, channels, 0.01, 2, r);
}

static void clear(problem *p) {
  free(p->x);
  free(p->g);
  free(p->weight);
  free(p->bias);
  free(p->running_mean);
  free(p->running_var);
}

static void measure(problem *p) {
  p->positions = 1;
  for (int a = 0; a < p->b.spatial_rank; a++) p->positions *= p->b.extent[a];
  p->values = p->b.batch * p->positions;
}

static problem random_problem(uint64_t seed, chance *r) {
  problem p = {.seed = seed, .b = cbn_batchnorm_make((int32_t)between(r, 0, 3))};
  cbn_batchnorm *b = &p.b;
  p.type = p.layer_type = (int32_t)between(r, CBN_F32, CBN_BF16);
  if (p.type > CBN_F64 && between(r, 0, 1)) p.layer_type = CBN_F32;
  p.data = (enum data)between(r, 0, DATA - 1);
  b->direction = between(r, 0, 2) ? CBN_GRAD_INPUT : CBN_FORWARD;
  b->statistics = (int32_t)between(r, 0, 1);
  b->update_running = b->direction == CBN_FORWARD && between(r, 0, 1);
  b->running_variance = (int32_t)between(r, 0, 1);
  b->has_weight = (int32_t)between(r, 0, 1);
  b->has_bias = (int32_t)between(r, 0, 1);
  b->batch = between(r, 1, 4);
  b->channels = between(r, 1, between(r, 1, 40));
  for (int a = 0; a < b->spatial_rank; a++) b->extent[a] = between(r, 1, between(r, 1, 9));
  b->epsilon = between(r, 0, 1) ? 1e-5 : 0.25;
  b->new_weight = unit(r);
  measure(&p);
  return p;
}

/* ---------------------------------------------------------------------------------------------- the definition */

/* The truth about one channel, and how far statistics computed in f64 may be from it. */
typedef struct channel {
  long double mean, var, scale;
  long double sum_g, sum_gz;
  double dmean, q, dvar; /* of mean, of var + epsilon as a share of it, of var */
  double dsum_g, dsum_gz;
} channel;

static double gamma_of(double n, double u) { return n * u / (1 - n * u); }

/* Two passes, or in pieces that are merged: Chan's term for the shift of means is in h. */
static void batch_statistics(const problem *p, int64_t c, channel *s) {
  const long double n = (long double)p->values;
  long double magnitude = 0;
  s->mean = s->var = 0;
  for (int64_t l = 0; l < p->values; l++) {
    s->mean += (long double)p->x[element_of(p, c, l)];
    magnitude += fabsl((long double)p->x[element_of(p, c, l)]);
  }
  s->mean /= n;
  for (int64_t l = 0; l < p->values; l++) {
    const long double d = (long double)p->x[element_of(p, c, l)] - s->mean;
    s->var += d * d;
  }
  s->var /= n;
  const double u = 0x1p-53, M = gamma_of((double)n + 8, u) * (double)(magnitude / n);
  const double h = (p->type == CBN_F64 ? 0 : 2.5 * M * sqrt((double)s->var)) + M * M;
  s->dmean = M;
  s->dvar = gamma_of((double)n + 6, u) * ((double)s->var + h) + h;
}

static channel solve(const problem *p, int64_t c) {
  channel s = {0};
  if (p->b.statistics == CBN_STATISTICS_BATCH) {
    batch_statistics(p, c, &s);
  } else {
    s.mean = (long double)p->running_mean[c];
    s.var = (long double)p->running_var[c];
  }
  const long double v_eps = s.var + (long double)p->b.epsilon;
  s.scale = 1 / sqrtl(v_eps);
  s.q = s.dvar / (double)v_eps + 4 * 0x1p-53;
  double magnitude = 0, reach = 0, far = 0;
  for (int64_t l = 0; l < p->values; l++) {
    const long double g = (long double)p->g[element_of(p, c, l)];
    const long double z = ((long double)p->x[element_of(p, c, l)] - s.mean) * s.scale;
    s.sum_g += g;
    s.sum_gz += g * z;
    magnitude += fabs((double)g);
    reach += fabs((double)(g * z));
    far = fmax(far, fabs((double)z));
  }
  const double u = 0x1p-53, n = (double)p->values;
  /* Merged pieces shift their centers, by at most `far`; those of running statistics have one center. */
  const double shifted = p->b.statistics == CBN_STATISTICS_BATCH ? far * magnitude : reach;
  s.dsum_g = gamma_of(n, u) * magnitude;
  s.dsum_gz = gamma_of(2 * n + 20, u) * shifted + magnitude * s.dmean * (double)s.scale + reach * s.q;
  return s;
}

/* ----------------------------------------------------------------------------------------------------- results */

typedef struct result {
  double *values, *grad_weight, *grad_bias, *running_mean, *running_var; /* NULL: the problem has none */
  int64_t count, channels;
} result;

static void release(result *a) {
  free(a->values);
  free(a->grad_weight);
  free(a->grad_bias);
  free(a->running_mean);
  free(a->running_var);
  *a = (result){0};
}

static bool same_bits(const double *a, const double *b, int64_t count) {
  return !a || memcmp(a, b, (size_t)count * sizeof *a) == 0;
}

static bool same_result(const result *a, const result *b) {
  return same_bits(a->values, b->values, a->count) && same_bits(a->grad_weight, b->grad_weight, a->channels) &&
         same_bits(a->grad_bias, b->grad_bias, a->channels) &&
         same_bits(a->running_mean, b->running_mean, a->channels) &&
         same_bits(a->running_var, b->running_var, a->channels);
}

/* `error` comes before the rounding to `type`. */
static void check(const problem *p, const char *name, int64_t c, int32_t type, double actual, long double expected,
                  double error) {
  const double bound = error + types[type].u * (fabs((double)expected) + error) + types[type].eta;
  if (fabsl((long double)actual - expected) <= (long double)bound) return;
  if (isinf(actual) && (actual > 0) == (expected > 0) && fabs((double)expected) + error >= types[type].overflow) return;
  FAIL_PROBLEM(p, "%s of channel %" PRId64 ": %.17g, expected %.17Lg within %g", name, c, actual, expected, bound);
}

static void check_forward(const problem *p, const channel *s, int64_t c, const result *a) {
  const double u = types[p->type].working, mean = fabs((double)s->mean), scale = (double)s->scale;
  const double w = p->b.has_weight ? p->weight[c] : 1, b = p->b.has_bias ? p->bias[c] : 0;
  for (int64_t l = 0; l < p->values; l++) {
    const long double d = (long double)p->x[element_of(p, c, l)] - s->mean;
    const double moved = s->dmean + u * mean, reach = fabs((double)d) + moved;
    const double error =
        fabs(w) * scale * (moved + reach * s->q) + gamma_of(6, u) * (fabs(w) * scale * reach + fabs(b));
    check(p, "output", c, p->type, a->values[element_of(p, c, l)], d * s->scale * (long double)w + (long double)b,
          error);
  }
}

static void check_running(const problem *p, int64_t c, const result *a) {
  channel s;
  batch_statistics(p, c, &s);
  const double m = p->b.new_weight, n = (double)p->values;
  const long double mean = (1 - (long double)m) * (long double)p->running_mean[c] + (long double)m * s.mean;
  check(p, "running mean", c, p->layer_type, a->running_mean[c], mean,
        m * s.dmean + gamma_of(6, 0x1p-53) * (fabs(p->running_mean[c]) + fabs((double)s.mean)));
  if (p->b.running_variance == CBN_VARIANCE_UNBIASED && p->values == 1) {
    if (!isnan(a->running_var[c])) FAIL_PROBLEM(p, "the unbiased variance of one value is %g", a->running_var[c]);
    return;
  }
  const double factor = p->b.running_variance == CBN_VARIANCE_UNBIASED ? n / (n - 1) : 1;
  const long double exact =
      p->b.running_variance == CBN_VARIANCE_UNBIASED ? s.var * (long double)n / (long double)(n - 1) : s.var;
  check(p, "running variance", c, p->layer_type, a->running_var[c],
        (1 - (long double)m) * (long double)p->running_var[c] + (long double)m * exact,
        m * factor * s.dvar + gamma_of(8, 0x1p-53) * (p->running_var[c] + factor * (double)s.var));
}

static void check_grad_input(const problem *p, const channel *s, int64_t c, const result *a) {
  const double u = types[p->type].working, scale = (double)s->scale, n = (double)p->values;
  const double w = p->b.has_weight ? p->weight[c] : 1;
  const bool batch = p->b.statistics == CBN_STATISTICS_BATCH;
  const long double mean_g = batch ? s->sum_g / (long double)n : 0, mean_gz = batch ? s->sum_gz / (long double)n : 0;
  const double dmean_g = batch ? s->dsum_g / n + 2 * u * fabs((double)mean_g) : 0;
  const double dmean_gz = batch ? s->dsum_gz / n + 3 * u * fabs((double)mean_gz) : 0;
  const double moved = (s->dmean + u * fabs((double)s->mean)) * scale;
  for (int64_t l = 0; l < p->values; l++) {
    const long double g = (long double)p->g[element_of(p, c, l)];
    const long double z = ((long double)p->x[element_of(p, c, l)] - s->mean) * s->scale;
    const double reach = fabs((double)z) + moved, dz = batch ? moved + reach * (s->q + gamma_of(3, u)) : 0;
    const double size =
        fabs((double)g) + fabs((double)mean_g) + dmean_g + (reach + dz) * (fabs((double)mean_gz) + dmean_gz);
    const double error =
        fabs(w) * scale *
        (dmean_g + reach * dmean_gz + dz * (fabs((double)mean_gz) + dmean_gz) + (gamma_of(6, u) + s->q) * size);
    check(p, "grad_input", c, p->type, a->values[element_of(p, c, l)],
          (long double)w * s->scale * (g - mean_g - z * mean_gz), error);
  }
}

static void check_result(const problem *p, const result *a) {
  for (int64_t c = 0; c < p->b.channels; c++) {
    const channel s = solve(p, c);
    if (p->b.direction == CBN_FORWARD) {
      check_forward(p, &s, c, a);
      if (p->b.update_running) check_running(p, c, a);
      continue;
    }
    check_grad_input(p, &s, c, a);
    if (p->b.has_weight) check(p, "grad_weight", c, p->layer_type, a->grad_weight[c], s.sum_gz, s.dsum_gz);
    if (p->b.has_bias) check(p, "grad_bias", c, p->layer_type, a->grad_bias[c], s.sum_g, s.dsum_g);
    /* Integers are summed exactly. */
    if (p->b.has_bias && p->data == INTEGERS && a->grad_bias[c] != rounded(p->layer_type, (double)s.sum_g))
      FAIL_PROBLEM(p, "the sum of integers in channel %" PRId64 " is %g", c, a->grad_bias[c]);
  }
}

/* --------------------------------------------------------------------------------------------------------- run */

static const char *const options[] = {"isa=avx2", "isa=portable"};
enum { ISAS = 2 };

/* NULL where the processor lacks it. */
static cbn_engine *open_isa(int isa) {
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, options[isa]);
  if (!engine) assert_int_equal(isa, 0);
  return engine;
}

typedef struct way {
  int isa, threads;
  enum layout layout[3]; /* input, grad_output, result */
  bool in_place;
} way;

/* Makes and loads the tensors of the call; `values` NULL: an output. */
static void give(cbn_call *call, holder tensor[CBN_ROLE_COUNT], int role, int32_t type, const double *values,
                 enum layout layout, chance *r) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_batchnorm_extents(call->batchnorm, role, extent);
  if (rank == 0) return;
  make(&tensor[role], type, rank, extent, layout, r);
  if (values) load(&tensor[role], values);
  call->tensor[role] = &tensor[role].t;
}

/* Runs it; checks what must not be written. */
static result run(const problem *p, const way *way) {
  result a = {.count = p->values * p->b.channels, .channels = p->b.channels};
  cbn_engine *engine = open_isa(way->isa);
  if (!engine) return a;
  assert_true(engine->abilities & CBN_IN_PLACE);
  chance r = {p->seed ^ 0x5eed};
  holder tensor[CBN_ROLE_COUNT] = {{.bytes = 0}};
  char message[256] = "";
  cbn_call call = {.struct_size = sizeof call,
                   .operator_kind = CBN_OPERATOR_BATCHNORM,
                   .batchnorm = &p->b,
                   .threads = way->threads,
                   .message_size = sizeof message,
                   .message = message};
  const bool forward = p->b.direction == CBN_FORWARD;
  const int source = forward ? CBN_ROLE_INPUT : CBN_ROLE_GRAD_OUTPUT,
            target = forward ? CBN_ROLE_OUTPUT : CBN_ROLE_GRAD_INPUT;
  const enum layout of_layer = way->layout[0] == GAPS ? GAPS : CONTIGUOUS;
  give(&call, tensor, CBN_ROLE_INPUT, p->type, p->x, way->layout[0], &r);
  give(&call, tensor, CBN_ROLE_WEIGHT, p->layer_type, p->weight, of_layer, &r);
  if (forward) {
    give(&call, tensor, CBN_ROLE_BIAS, p->layer_type, p->bias, of_layer, &r);
  } else {
    give(&call, tensor, CBN_ROLE_GRAD_OUTPUT, p->type, p->g, way->layout[1], &r);
    give(&call, tensor, CBN_ROLE_GRAD_WEIGHT, p->layer_type, NULL, of_layer, &r);
    give(&call, tensor, CBN_ROLE_GRAD_BIAS, p->layer_type, NULL, of_layer, &r);
  }
  give(&call, tensor, CBN_ROLE_RUNNING_MEAN, p->layer_type, p->running_mean, of_layer, &r);
  give(&call, tensor, CBN_ROLE_RUNNING_VAR, p->layer_type, p->running_var, of_layer, &r);
  if (!way->in_place) give(&call, tensor, target, p->type, NULL, way->layout[2], &r);
  if (way->in_place) call.tensor[target] = call.tensor[source];

  const int status = engine->run(engine, &call);
  if (status != CBN_OK) FAIL_PROBLEM(p, "%s: status %d, %s", options[way->isa], status, message);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const bool updated = p->b.update_running && (role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR);
    const bool written = updated || role == target || role == CBN_ROLE_GRAD_WEIGHT || role == CBN_ROLE_GRAD_BIAS ||
                         (way->in_place && role == source);
    if (!tensor[role].t.data) continue;
    if (!written && !unchanged(&tensor[role])) FAIL_PROBLEM(p, "the %s was written", cbn_role_name(role));
    if (!gaps_unchanged(&tensor[role])) FAIL_PROBLEM(p, "gaps of the %s were written", cbn_role_name(role));
  }
  a.values = unload(&tensor[way->in_place ? source : target]);
  if (tensor[CBN_ROLE_GRAD_WEIGHT].t.data) a.grad_weight = unload(&tensor[CBN_ROLE_GRAD_WEIGHT]);
  if (tensor[CBN_ROLE_GRAD_BIAS].t.data) a.grad_bias = unload(&tensor[CBN_ROLE_GRAD_BIAS]);
  if (tensor[CBN_ROLE_RUNNING_MEAN].t.data) a.running_mean = unload(&tensor[CBN_ROLE_RUNNING_MEAN]);
  if (tensor[CBN_ROLE_RUNNING_VAR].t.data) a.running_var = unload(&tensor[CBN_ROLE_RUNNING_VAR]);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) drop(&tensor[role]);
  engine->close(engine);
  return a;
}

static void run_and_check(const problem *p, const way *way) {
  result a = run(p, way);
  if (a.values) check_result(p, &a);
  release(&a);
}

/* The same bits with another number of threads, and in place. */
static void run_and_compare(const problem *p, way way) {
  result one = run(p, &way);
  if (one.values) {
    check_result(p, &one);
    way.threads = 2;
    result two = run(p, &way);
    if (!same_result(&one, &two)) FAIL_PROBLEM(p, "%s: two threads give other bits", options[way.isa]);
    release(&two);
    way.in_place = true;
    way.layout[2] = way.layout[p->b.direction == CBN_FORWARD ? 0 : 1];
    result in_place = run(p, &way);
    if (!same_result(&one, &in_place)) FAIL_PROBLEM(p, "%s: in place gives other bits", options[way.isa]);
    release(&in_place);
  }
  release(&one);
}

/* ------------------------------------------------------------------------------------------------------- tests */

static void test_random_problems(void **state) {
  (void)state;
  int count = 1200;
  const uint64_t seed = seeds(&count);
  for (int i = 0; i < count; i++) {
    chance r = {seed + (uint64_t)i};
    problem p = random_problem(seed + (uint64_t)i, &r);
    fill(&p, &r);
    for (int isa = 0; isa < ISAS; isa++) {
      for (int layout = 0; layout < LAYOUTS; layout++) {
        const enum layout same = (enum layout)layout, other = (enum layout)between(&r, 0, LAYOUTS - 1);
        run_and_check(&p, &(way){.isa = isa, .threads = 1, .layout = {same, same, same}});
        run_and_check(&p, &(way){.isa = isa, .threads = 1, .layout = {same, same, other}});
        run_and_check(&p, &(way){.isa = isa, .threads = 1, .layout = {same, other, same}});
        run_and_check(&p, &(way){.isa = isa, .threads = 1, .layout = {other, same, same}, .in_place = true});
        run_and_check(&p, &(way){.isa = isa, .threads = 1, .layout = {same, other, other}, .in_place = true});
      }
    }
    clear(&p);
  }
}

/* Pieces, parts, slabs and threads. */
static void test_large_problems(void **state) {
  (void)state;
  static const int64_t shapes[][4] = {{3, 5, 120, 130},  {2, 70, 130, 121}, {1, 1, 1500, 1477}, {140, 333, 7, 7},
                                      {700000, 3, 1, 1}, {1, 40000, 9, 7},  {64, 1100, 5, 7}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    for (int k = 0; k < 4; k++) {
      chance r = {4 * i + (uint64_t)k};
      problem p = {.seed = r.state, .b = cbn_batchnorm_make(2), .data = k % 2 ? OFFSET : UNIFORM};
      static const int32_t all[] = {CBN_F32, CBN_F16, CBN_BF16, CBN_F64};
      p.type = all[(i + (size_t)k) % 4];
      p.layer_type = p.type > CBN_F64 ? CBN_F32 : p.type;
      p.b.statistics = k == 3 ? CBN_STATISTICS_RUNNING : CBN_STATISTICS_BATCH;
      p.b.direction = k == 0 ? CBN_FORWARD : CBN_GRAD_INPUT;
      p.b.update_running = k == 0;
      p.b.batch = shapes[i][0];
      p.b.channels = shapes[i][1];
      p.b.extent[0] = shapes[i][2];
      p.b.extent[1] = shapes[i][3];
      measure(&p);
      fill(&p, &r);
      memory.largest = 0;
      const enum layout layout = (enum layout)((i + (size_t)k) % LAYOUTS);
      run_and_compare(&p,
                      (way){.isa = (int)(i / 2 + (size_t)k) % ISAS, .threads = 1, .layout = {layout, layout, layout}});
      assert_in_range(memory.largest, 0, CBN_FAST_WORKSPACE_LIMIT);
      clear(&p);
    }
  }
}

/* One value a channel: it is its mean, so forward gives the bias, and no gradient comes through. */
static void test_one_value(void **state) {
  (void)state;
  for (int32_t type = CBN_F32; type <= CBN_BF16; type++) {
    for (int isa = 0; isa < ISAS; isa++) {
      for (int direction = 0; direction < 2; direction++) {
        chance r = {(uint64_t)type};
        problem p = {.seed = 1, .b = cbn_batchnorm_make(1), .type = type, .layer_type = type, .data = OFFSET};
        p.b.statistics = CBN_STATISTICS_BATCH;
        p.b.direction = direction ? CBN_GRAD_INPUT : CBN_FORWARD;
        p.b.batch = p.b.extent[0] = 1;
        p.b.channels = 19;
        measure(&p);
        fill(&p, &r);
        result a = run(&p, &(way){.isa = isa, .threads = 1});
        for (int64_t c = 0; a.values && c < p.b.channels; c++) {
          assert_true(a.values[c] == (direction ? 0 : p.bias[c]));
          if (!direction) continue;
          assert_true(a.grad_weight[c] == 0);
          assert_true(a.grad_bias[c] == p.g[c]);
        }
        release(&a);
        clear(&p);
      }
    }
  }
}

/* x = 1, 3, 1, 3: mean 2, v + epsilon = 1 + 3 = 4, z = (x - 2) / 2. g = 1, 2, 3, 6: sum 12, sum g z = 2, so
 * grad_input = weight / 2 * (g - 3 - z / 2). Every number is representable in every type. */
static void test_exact_gradients(void **state) {
  (void)state;
  static const double x[] = {1, 3, 1, 3}, g[] = {1, 2, 3, 6}, weight[] = {4}, zero[] = {0}, three[] = {1};
  static const double batch[] = {2 * (1 - 3 + 0.25), 2 * (2 - 3 - 0.25), 2 * (3 - 3 + 0.25), 2 * (6 - 3 - 0.25)};
  static const double running[] = {2, 4, 6, 12}; /* about mean 0 with v + epsilon = 1 + 3: weight / 2 * g */
  for (int32_t type = CBN_F32; type <= CBN_BF16; type++) {
    for (int isa = 0; isa < ISAS; isa++) {
      for (int statistics = 0; statistics < 2; statistics++) {
        problem p = {.seed = 1, .b = cbn_batchnorm_make(1), .type = type, .layer_type = type};
        p.b.direction = CBN_GRAD_INPUT;
        p.b.statistics = statistics;
        p.b.batch = 2;
        p.b.channels = 1;
        p.b.extent[0] = 2;
        p.b.epsilon = 3;
        measure(&p);
        double *const arrays[] = {(double[]){x[0], x[1], x[2], x[3]}, (double[]){g[0], g[1], g[2], g[3]},
                                  (double[]){weight[0]}, (double[]){zero[0]}, (double[]){three[0]}};
        p.x = arrays[0];
        p.g = arrays[1];
        p.weight = arrays[2];
        p.running_mean = arrays[3];
        p.running_var = arrays[4];
        result a = run(&p, &(way){.isa = isa, .threads = 1});
        if (!a.values) continue;
        for (int i = 0; i < 4; i++) assert_true(a.values[i] == (statistics ? running : batch)[i]);
        /* sum g z: (-1 + 2 - 3 + 6) / 2 about the mean 2; (1 + 6 + 3 + 18) / 2 about 0. */
        assert_true(a.grad_weight[0] == (statistics ? 14 : 2));
        assert_true(a.grad_bias[0] == 12);
        release(&a);
      }
    }
  }
}

/* Nothing to sum: the parameters' gradients are 0, the running statistics stay. */
static void test_empty_batch(void **state) {
  (void)state;
  for (int32_t type = CBN_F32; type <= CBN_BF16; type++) {
    for (int isa = 0; isa < ISAS; isa++) {
      for (int k = 0; k < 4; k++) {
        chance r = {(uint64_t)k};
        problem p = {.seed = 1, .b = cbn_batchnorm_make(2), .type = type, .layer_type = type};
        p.b.direction = k % 2 ? CBN_GRAD_INPUT : CBN_FORWARD;
        p.b.update_running = k % 2 == 0;
        p.b.statistics = CBN_STATISTICS_BATCH;
        p.b.batch = k / 2 ? 3 : 0;
        p.b.channels = 11;
        p.b.extent[0] = 4;
        p.b.extent[1] = k / 2 ? 0 : 5;
        measure(&p);
        fill(&p, &r);
        result a = run(&p, &(way){.isa = isa, .threads = 2});
        for (int64_t c = 0; a.values && c < p.b.channels; c++) {
          assert_true(!a.grad_weight || (a.grad_weight[c] == 0 && a.grad_bias[c] == 0));
          assert_true(!a.running_mean || a.running_mean[c] == p.running_mean[c]);
          assert_true(!a.running_var || a.running_var[c] == p.running_var[c]);
        }
        release(&a);
        clear(&p);
      }
    }
  }
}

/* An infinite gradient makes its channel's sums infinite, as the definition's are, and no other channel's. */
static void test_infinite_gradient(void **state) {
  (void)state;
  for (int32_t type = CBN_F32; type <= CBN_BF16; type++) {
    for (int isa = 0; isa < ISAS; isa++) {
      for (int layout = 0; layout < LAYOUTS; layout++) {
        for (int statistics = 0; statistics < 2; statistics++) {
          chance r = {(uint64_t)layout};
          problem p = {.seed = 1, .b = cbn_batchnorm_make(1), .type = type, .layer_type = type};
          p.b.direction = CBN_GRAD_INPUT;
          p.b.statistics = statistics;
          p.b.batch = 2;
          p.b.channels = 35;
          p.b.extent[0] = 9000;
          measure(&p);
          fill(&p, &r);
          /* In its own piece the value is above the mean, in the whole channel below. */
          for (int64_t l = 0; l < p.values; l++) p.x[element_of(&p, 7, l)] = l < 9000 ? 1 : 4;
          p.x[element_of(&p, 7, 5)] = 2;
          p.g[element_of(&p, 7, 5)] = INFINITY;
          p.running_mean[7] = 3;
          const enum layout same = (enum layout)layout;
          result a = run(&p, &(way){.isa = isa, .threads = 1, .layout = {same, same, same}});
          for (int64_t c = 0; a.values && c < p.b.channels; c++) {
            assert_true(c == 7 ? a.grad_weight[c] == -INFINITY : isfinite(a.grad_weight[c]));
            assert_true(c == 7 ? a.grad_bias[c] == INFINITY : isfinite(a.grad_bias[c]));
            assert_true(c == 7 || isfinite(a.values[element_of(&p, c, 5)]));
          }
          release(&a);
          clear(&p);
        }
      }
    }
  }
}

static void test_without_memory(void **state) {
  (void)state;
  chance r = {1};
  problem p = {.seed = 1, .b = cbn_batchnorm_make(0)};
  p.b.batch = 4;
  p.b.channels = 3;
  measure(&p);
  fill(&p, &r);
  holder x;
  int64_t extent[CBN_MAX_RANK] = {4, 3};
  make(&x, CBN_F32, 2, extent, CONTIGUOUS, &r);
  load(&x, p.x);
  cbn_batchnorm b = p.b;
  b.has_weight = b.has_bias = 0;
  b.statistics = CBN_STATISTICS_BATCH;
  char message[256] = "";
  cbn_call call = {.struct_size = sizeof call,
                   .operator_kind = CBN_OPERATOR_BATCHNORM,
                   .batchnorm = &b,
                   .threads = 1,
                   .message_size = sizeof message,
                   .message = message};
  call.tensor[CBN_ROLE_INPUT] = call.tensor[CBN_ROLE_OUTPUT] = &x.t;
  cbn_engine *engine = open_isa(1);
  void *const scratch = cbn_scratch_take(cbn_scratch_room()); /* so that even a small workspace is allocated */
  memory.fail = true;
  const int status = engine->run(engine, &call);
  memory.fail = false;
  cbn_scratch_give(scratch);
  assert_int_equal(status, CBN_ERROR);
  assert_non_null(strstr(message, "memory"));
  engine->close(engine);
  drop(&x);
  clear(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact_gradients), cmocka_unit_test(test_one_value),
      cmocka_unit_test(test_empty_batch),     cmocka_unit_test(test_infinite_gradient),
      cmocka_unit_test(test_without_memory),  cmocka_unit_test(test_random_problems),
      cmocka_unit_test(test_large_problems),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
