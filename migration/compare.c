#include "migration/compare.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/violation.h"
#include "dialects/layout.h"
#include "dialects/parameters.h"

/* ----------------------------------------------------------------------------------------------- surroundings */

static bool any(const int64_t *values) { return values[0] != 0 || values[1] != 0 || values[2] != 0; }

bool cbn_surroundings_pad(const cbn_surroundings *around) { return any(around->pad_begin) || any(around->pad_end); }
bool cbn_surroundings_crop(const cbn_surroundings *around) { return any(around->crop_begin) || any(around->crop_end); }

cbn_situation cbn_surrounded_situation(const cbn_surroundings *around, const cbn_situation *situation) {
  cbn_situation inner = *situation;
  for (int32_t a = 0; a < inner.axes; a++) inner.extent[a] += around->pad_begin[a] + around->pad_end[a];
  return inner;
}

static bool cannot_say(cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_COUNT, "", "no single operator says what is inserted");
}

/* A padding in front of a convolution. Zeros around an input that is spread or scattered count as often. What is
 * cropped does not come back as the zeros of the convolution's own padding. */
static bool add_padding(const cbn_surroundings *around, const cbn_situation *situation, cbn_conv *c, cbn_rejection *r) {
  const bool own = any(c->pad_begin) || any(c->pad_end), zeros = around->padding_mode == CBN_PAD_ZEROS;
  if (zeros ? own && c->padding_mode != CBN_PAD_ZEROS : own || c->transposed) return cannot_say(r);
  c->padding_mode = around->padding_mode;
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t times = c->transposed ? -c->stride[a] : c->input_dilation[a];
    if (situation->extent[a] == 0 && times != 1) return cannot_say(r);
    if ((around->pad_begin[a] < 0 && c->pad_begin[a] > 0) || (around->pad_end[a] < 0 && c->pad_end[a] > 0))
      return cannot_say(r);
    if (c->transposed && (around->pad_begin[a] < 0 || around->pad_end[a] < 0)) return cannot_say(r);
    c->input[a] = situation->extent[a];
    c->pad_begin[a] += times * around->pad_begin[a];
    c->pad_end[a] += times * around->pad_end[a];
  }
  return true;
}

bool cbn_surrounded_plan(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *situation,
                         cbn_plan *plan, cbn_rejection *r) {
  const bool pads = cbn_surroundings_pad(around), crops = cbn_surroundings_crop(around);
  const cbn_situation inner = cbn_surrounded_situation(around, situation);
  cbn_conv *c = &plan->conv;
  cbn_violation violation;
  for (int32_t a = 0; a < inner.axes; a++)
    if (inner.extent[a] < 0)
      return cbn_reject(r, CBN_RULE_EXTENT_NON_NEGATIVE, "", "nothing is left of axis %c",
                        cbn_axis_name(inner.axes, a));
  if (!cbn_layer_plan(layer, &inner, plan, r)) return false;
  if (!pads && !crops) return true;
  if (plan->kind != CBN_OPERATOR_CONV || (pads && !add_padding(around, situation, c, r))) return cannot_say(r);
  for (int a = 0; a < c->spatial_rank; a++) {
    const int64_t times = c->transposed ? 1 : -c->stride[a];
    c->pad_begin[a] += times * around->crop_begin[a];
    c->pad_end[a] += times * around->crop_end[a];
  }
  return cbn_conv_validate(c, &violation) || cbn_reject(r, (enum cbn_rule)violation.rule, "", "%s", violation.message);
}

/* ------------------------------------------------------------------------------------------------------- plans */

typedef struct reason {
  char *text;
  size_t size;
} reason;

static bool differ(const reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool differ(const reason *why, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (why->text != NULL) vsnprintf(why->text, why->size, format, arguments);
  va_end(arguments);
  return false;
}

static bool same(const reason *why, const char *what, int64_t a, int64_t b) {
  return a == b || differ(why, "%s is %" PRId64 ", not %" PRId64, what, b, a);
}

static bool same_on_axis(const reason *why, const cbn_conv *c, const char *what, int axis, int64_t a, int64_t b) {
  return a == b ||
         differ(why, "%s axis %c is %" PRId64 ", not %" PRId64, what, cbn_axis_name(c->spatial_rank, axis), b, a);
}

/* A tensor that adds or multiplies what may be left out: if only the second has it, it is filled with `neutral`. */
static bool same_tensor(const reason *why, const char *what, bool a, bool b, int role, double neutral,
                        cbn_constants *constants) {
  if (a && !b) return differ(why, "there is no %s", what);
  if (!a && b && constants != NULL) {
    constants->needed[role] = true;
    constants->value[role] = neutral;
  }
  return true;
}

/* How far windows reach behind the input's last element, spread as it is: what of the padding there is read. */
static int64_t reach_behind(const cbn_conv *c, int a) {
  const int64_t last = (cbn_conv_output_extent(c, a) - 1) * c->stride[a] + c->dilation[a] * (c->kernel[a] - 1) + 1;
  return last - c->pad_begin[a] - ((c->input[a] - 1) * c->input_dilation[a] + 1);
}

static bool reads_padding(const cbn_conv *c) {
  for (int a = 0; a < c->spatial_rank; a++)
    if (c->pad_begin[a] > 0 || reach_behind(c, a) > 0) return true;
  return false;
}

/* One axis of two convolutions whose inputs and outputs are alike, neither empty: only then do the amounts behind not
 * matter, nor a stride that is taken once, nor the dilation of one tap. */
static bool same_window(const cbn_conv *a, const cbn_conv *b, int x, const reason *why) {
  const bool one = a->transposed ? a->input[x] == 1 : cbn_conv_output_extent(a, x) == 1;
  return (one || same_on_axis(why, a, "the stride of", x, a->stride[x], b->stride[x])) &&
         (a->kernel[x] == 1 || same_on_axis(why, a, "the dilation of", x, a->dilation[x], b->dilation[x])) &&
         (a->input[x] == 1 ||
          same_on_axis(why, a, "the input dilation of", x, a->input_dilation[x], b->input_dilation[x])) &&
         same_on_axis(why, a, "the padding before", x, a->pad_begin[x], b->pad_begin[x]);
}

static const char *mode_name(int32_t mode) {
  static const char *const names[] = {"zeros", "reflect", "replicate", "circular"};
  return names[mode];
}

static bool same_conv(const cbn_conv *a, const cbn_conv *b, cbn_constants *constants, const reason *why) {
  bool empty = a->batch == 0 || a->out_channels == 0 || a->in_channels == 0;
  if (!same(why, "the direction", a->direction, b->direction) ||
      !same(why, "transposed", a->transposed, b->transposed) || !same(why, "the batch", a->batch, b->batch) ||
      !same(why, "the number of groups", a->groups, b->groups) || /* from which the channels may follow */
      !same(why, "the number of input channels", a->in_channels, b->in_channels) ||
      !same(why, "the number of output channels", a->out_channels, b->out_channels) ||
      !same_tensor(why, "bias", a->has_bias, b->has_bias, CBN_ROLE_BIAS, 0, constants))
    return false;
  for (int x = 0; x < a->spatial_rank; x++) {
    const int64_t extent = cbn_conv_output_extent(a, x);
    empty = empty || extent == 0 || a->input[x] == 0;
    if (!same_on_axis(why, a, "the kernel's extent on", x, a->kernel[x], b->kernel[x]) ||
        !same_on_axis(why, a, "the input's extent on", x, a->input[x], b->input[x]) ||
        !same_on_axis(why, a, "the output's extent on", x, extent, cbn_conv_output_extent(b, x)))
      return false;
  }
  for (int x = 0; x < a->spatial_rank && !empty; x++)
    if (!same_window(a, b, x, why)) return false;
  if (empty || a->transposed || a->padding_mode == b->padding_mode || !reads_padding(a)) return true;
  return differ(why, "the padding mode is %s, not %s", mode_name(b->padding_mode), mode_name(a->padding_mode));
}

/* Numbers that are one in f32, or whose complements are, for what weighs old statistics weighs new ones by the
 * rest. */
static bool same_in_f32(double a, double b) {
  const bool moves = a != 0 && b != 0; /* a statistic that never moves is no rounding of one that does */
  return (float)a == (float)b || (moves && (float)(1 - a) == (float)(1 - b));
}

static bool same_number(const reason *why, const char *what, double a, double b, bool rounds,
                        cbn_constants *constants) {
  if (a == b || (a != a && b != b)) return true;
  if (!rounds) return differ(why, "%s is %.17g, not %.17g", what, b, a);
  if (constants != NULL) constants->rounded = true;
  return true;
}

static const char *variance_name(int32_t variance) {
  return variance == CBN_VARIANCE_BIASED ? "biased (divided by N)" : "unbiased (divided by N - 1)";
}

static int64_t values_of(const cbn_batchnorm *b) { return b->batch * cbn_extent_product(b->spatial_rank, b->extent); }

static bool same_norm(const cbn_batchnorm *a, const cbn_batchnorm *b, int32_t type, cbn_constants *constants,
                      const reason *why) {
  if (!same(why, "the direction", a->direction, b->direction) || !same(why, "the batch", a->batch, b->batch) ||
      !same(why, "the number of channels", a->channels, b->channels))
    return false;
  if (!same_tensor(why, "scale", a->has_weight, b->has_weight, CBN_ROLE_WEIGHT, 1, constants) ||
      !same_tensor(why, "shift", a->has_bias, b->has_bias, CBN_ROLE_BIAS, 0, constants))
    return false;
  if (cbn_batchnorm_work(a) == 0 && !a->update_running && !b->update_running) return true;
  if (a->statistics != b->statistics)
    return differ(why, b->statistics == CBN_STATISTICS_BATCH ? "the batch's statistics normalise, not the running ones"
                                                             : "the running statistics normalise, not the batch's");
  if (a->update_running != b->update_running)
    return differ(why, b->update_running ? "the running statistics are updated" : "no running statistics are updated");
  if (!same_number(why, "epsilon", a->epsilon, b->epsilon, type != CBN_F64 && (float)a->epsilon == (float)b->epsilon,
                   constants))
    return false;
  if (!a->update_running) return true;
  if (!same_number(why, "the weight of the batch in the running statistics", a->new_weight, b->new_weight,
                   type != CBN_F64 && same_in_f32(a->new_weight, b->new_weight), constants))
    return false;
  return a->running_variance == b->running_variance || (a->new_weight == 0 && values_of(a) > 1) ||
         differ(why, "the variance that enters the running one is %s, not %s", variance_name(b->running_variance),
                variance_name(a->running_variance));
}

static bool agree(const cbn_plan *a, const cbn_plan *b, int32_t type, cbn_constants *constants, const reason *why) {
  if (a->kind != b->kind) return differ(why, "it is another operator");
  if (a->unbatched != b->unbatched) return differ(why, "the input has a batch axis in one of them only");
  return a->kind == CBN_OPERATOR_CONV ? same_conv(&a->conv, &b->conv, constants, why)
                                      : same_norm(&a->batchnorm, &b->batchnorm, type, constants, why);
}

bool cbn_plans_agree(const cbn_plan *a, const cbn_plan *b, int32_t layer_type, cbn_constants *constants, char *why,
                     size_t why_size) {
  const reason reason = {why, why_size};
  return agree(a, b, layer_type, constants, &reason);
}

/* -------------------------------------------------------------------------------------------------- predicates */

bool cbn_predicate_holds(const cbn_predicate *p, int64_t extent) {
  return (p->at_least == 0 || extent >= p->at_least) && (p->at_most == 0 || extent <= p->at_most) &&
         (p->modulus == 0 || (p->residues >> (extent % p->modulus) & 1));
}

bool cbn_predicate_is_set(const cbn_predicate *p) { return p->at_least != 0 || p->at_most != 0 || p->modulus != 0; }

/* Extents asked of one axis, from small to large, and whether the layers agreed; those that the first refuses are not
 * in it. */
enum { MOST_ENTRIES = 8192, MOST_MODULUS = 64, PERIODS = 3, MOST_PERIOD = 512 };
typedef struct table {
  int count;
  int64_t extent[MOST_ENTRIES];
  bool agrees[MOST_ENTRIES];
} table;

static bool explains(const table *t, const cbn_predicate *p) {
  for (int i = 0; i < t->count; i++)
    if (cbn_predicate_holds(p, t->extent[i]) != t->agrees[i]) return false;
  return true;
}

static uint64_t residues_of(const table *t, int64_t modulus) {
  uint64_t residues = 0;
  for (int i = 0; i < t->count; i++)
    if (t->agrees[i]) residues |= (uint64_t)1 << (t->extent[i] % modulus);
  return residues;
}

/* The simplest predicate that says where the table agrees: no modulus before one, a small one before a large one,
 * no ends before ends. A modulus must have been seen to return. */
static bool derive(const table *t, cbn_predicate *p) {
  int64_t first = 0, last = 0;
  for (int i = 0; i < t->count; i++)
    if (t->agrees[i]) {
      last = t->extent[i];
      first = first == 0 ? last : first;
    }
  for (int64_t m = 1; m <= MOST_MODULUS && (m == 1 || m * PERIODS <= t->count); m++)
    for (int ends = 0; ends < 4; ends++) {
      *p = (cbn_predicate){.at_least = ends & 1 ? first : 0, .at_most = ends & 2 ? last : 0, .modulus = m == 1 ? 0 : m};
      p->residues = m == 1 ? 0 : residues_of(t, m);
      if (explains(t, p)) return true;
    }
  return false;
}

/* ------------------------------------------------------------------------------------------------------ region */

enum answer { OUTSIDE, AGREE, PART }; /* outside: the first refuses */

typedef struct region {
  const cbn_layer *a, *b;
  const cbn_surroundings *around;
  cbn_situation at;
  int modes;
  bool keeps; /* the first's running statistics are read or updated at some time, so that they matter */
  bool by_rejection, by_value; /* which partings are worth noting */
  bool empty_counts;           /* a refusal where nothing comes out is one, too */
  cbn_comparison *result;
} region;

static int64_t size_of(const cbn_situation *s) {
  int64_t size = s->batch;
  for (int32_t a = 0; a < s->axes; a++) size = cbn_saturating_multiply(size, s->extent[a]);
  return size;
}

static void note_parting(region *g, const cbn_situation *s, bool rejected, const cbn_rejection *rejection,
                         const char *why) {
  cbn_comparison *c = g->result;
  if (!(rejected ? g->by_rejection : g->by_value)) return;
  if (c->parts && rejected != c->rejected) { /* other results say more than a refusal */
    if (rejected) return;
    c->parts = false;
  }
  if (c->parts &&
      (size_of(&c->where) < size_of(s) || (size_of(&c->where) == size_of(s) && c->where.trained <= s->trained)))
    return;
  c->parts = true;
  c->where = *s;
  c->rejected = rejected;
  if (rejected) c->rejection = *rejection;
  snprintf(c->why, sizeof c->why, "%s", rejected ? "" : why);
}

static bool is_empty(const cbn_plan *plan) {
  int64_t extent[CBN_MAX_RANK];
  return cbn_extent_product(cbn_plan_extents(plan, CBN_ROLE_OUTPUT, extent), extent) == 0;
}

/* Statistics that nobody reads: any will do, and what becomes of them is not seen. */
static void ignore_statistics(cbn_batchnorm *b, cbn_constants *constants) {
  if ((b->update_running || b->statistics == CBN_STATISTICS_RUNNING) && constants != NULL) {
    constants->needed[CBN_ROLE_RUNNING_MEAN] = constants->needed[CBN_ROLE_RUNNING_VAR] = true;
    constants->value[CBN_ROLE_RUNNING_VAR] = 1;
  }
  b->update_running = 0;
}

static enum answer ask(region *g, const cbn_situation *s, cbn_constants *constants) {
  cbn_plan a, b;
  cbn_rejection rejection = {.rule = CBN_RULE_COUNT};
  char why[sizeof g->result->why];
  const reason reason = {why, sizeof why};
  if (!cbn_layer_plan(g->a, s, &a, &rejection)) return OUTSIDE;
  g->result->situations++;
  const bool accepted = cbn_surrounded_plan(g->b, g->around, s, &b, &rejection);
  if (accepted && a.kind == CBN_OPERATOR_BATCHNORM && !g->keeps) ignore_statistics(&b.batchnorm, constants);
  if (accepted && agree(&a, &b, s->layer_type, constants, &reason)) return AGREE;
  if (!accepted && !g->empty_counts && is_empty(&a)) {
    g->result->no_empty = true;
    return OUTSIDE;
  }
  note_parting(g, s, !accepted, &rejection, why);
  return PART;
}

static bool is_norm(const region *g) { return g->a->operator->kind == CBN_OPERATOR_BATCHNORM; }

/* In the modes that count; of training, the first `steps` calls. A convolution is asked once. */
static enum answer ask_modes(region *g, cbn_situation s, int modes, int64_t steps, cbn_constants *constants) {
  enum answer worst = OUTSIDE;
  if (!is_norm(g)) return ask(g, &s, constants);
  for (int64_t call = -1; call < steps && worst != PART; call++) { /* -1: evaluation */
    s.training = call >= 0;
    s.trained = call < 0 ? 0 : call;
    if (!(modes & (s.training ? CBN_TRAINING : CBN_EVALUATION))) continue;
    const enum answer answer = ask(g, &s, constants);
    worst = answer > worst ? answer : worst;
  }
  return worst;
}

enum { STEPS = 3, STEPS_IN_REGION = 2 };

static bool predicted(const cbn_comparison *c, const cbn_situation *s) {
  for (int32_t a = 0; a < s->axes; a++)
    if (!cbn_predicate_holds(&c->extent[a], s->extent[a])) return false;
  return cbn_predicate_holds(&c->batch, s->batch) && size_of(s) >= c->values;
}

/* Does the first read running statistics, or update them? */
static bool keeps_statistics(const region *g) {
  cbn_situation s = g->at;
  for (int mode = 0; mode < 2; mode++) {
    cbn_plan plan;
    cbn_rejection ignored;
    s.training = mode != 0;
    if (cbn_layer_plan(g->a, &s, &plan, &ignored) &&
        (plan.batchnorm.statistics == CBN_STATISTICS_RUNNING || plan.batchnorm.update_running))
      return true;
  }
  return false;
}

static int64_t common_multiple(int64_t a, int64_t b) {
  int64_t x = a, y = b;
  while (y != 0) {
    const int64_t rest = x % y;
    x = y;
    y = rest;
  }
  return a / x * b;
}

/* Where an axis stops to be special, and after how many extents it repeats. */
typedef struct course {
  int64_t reach, period;
  int64_t beyond; /* a reach too long for that, which is cut, as it is; 0: none */
  int64_t far;    /* a stride too long for every extent of a period to be asked; 0: none */
  bool cut;       /* more than a table holds: of other extents than that at hand nothing is known */
} course;

static void follow(const cbn_plan *plan, int axis, course *way) {
  const cbn_conv *c = &plan->conv;
  if (plan->kind != CBN_OPERATOR_CONV) return;
  const int64_t most = c->pad_begin[axis] > c->pad_end[axis] ? c->pad_begin[axis] : c->pad_end[axis];
  const int64_t reach = cbn_saturating_add(cbn_dilated_kernel(c->kernel[axis], c->dilation[axis]), most > 0 ? most : 0);
  if (reach > way->reach) way->reach = reach;
  const int64_t stride = c->stride[axis];
  const int64_t period = stride <= MOST_PERIOD ? common_multiple(way->period, stride) : way->period;
  way->cut =
      way->cut || period > MOST_PERIOD || (way->far > 0 && way->far != stride) || (stride > MOST_PERIOD && period > 1);
  if (stride > MOST_PERIOD) way->far = stride;
  if (!way->cut) way->period = period;
}

static course course_of(const region *g, int axis) {
  course way = {.reach = 1, .period = 1};
  cbn_plan plan;
  cbn_rejection ignored;
  if (cbn_layer_plan(g->a, &g->at, &plan, &ignored)) follow(&plan, axis, &way);
  if (cbn_surrounded_plan(g->b, g->around, &g->at, &plan, &ignored)) follow(&plan, axis, &way);
  const int64_t most = MOST_ENTRIES - 3 * (PERIODS + 2) * way.period - 64;
  if (way.reach > most) way.beyond = way.reach;
  if (way.reach > most) way.reach = most;
  return way;
}

/* Extents to be asked, those that fit. */
static void want(table *t, int64_t first, int64_t last) {
  for (int64_t extent = first < 1 ? 1 : first; extent <= last && t->count < MOST_ENTRIES; extent++)
    t->extent[t->count++] = extent;
}

static int by_extent(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Every extent up to several periods beyond the reach, some periods around the one at hand and around a reach that is too
 * long, and of a long stride those around its multiples: between them nothing changes but by periods. False where that is
 * too much. */
static bool fill_table(region *g, int32_t axis, table *t) {
  const course way = course_of(g, axis);
  const int64_t limit = way.reach + PERIODS * way.period + 2, at = g->at.extent[axis];
  const int64_t near = PERIODS * way.period < 8 ? PERIODS * way.period : 8, around = way.reach + 2;
  cbn_situation s = g->at;
  t->count = 0;
  want(t, 1, limit);
  want(t, at - near, at + near);
  if (way.beyond > 0 && way.beyond < INT64_MAX / 2)
    want(t, way.beyond - PERIODS * way.period - 2, way.beyond + PERIODS * way.period + 2);
  for (int64_t m = 1; m <= PERIODS && way.far > 0 && way.far < INT64_MAX / (PERIODS + 1) - around; m++)
    want(t, m * way.far - around, m * way.far + around);
  const bool whole = t->count < MOST_ENTRIES && !way.cut;
  const int wanted = t->count;
  qsort(t->extent, (size_t)wanted, sizeof t->extent[0], by_extent);
  t->count = 0;
  for (int i = 0; i < wanted; i++) {
    s.extent[axis] = t->extent[i];
    if (i > 0 && t->extent[i] == t->extent[i - 1]) continue;
    const enum answer answer = ask_modes(g, s, g->result->modes, STEPS_IN_REGION, NULL);
    if (answer == OUTSIDE) continue;
    t->extent[t->count] = s.extent[axis];
    t->agrees[t->count++] = answer == AGREE;
  }
  return whole;
}

static void fill_batches(region *g, table *t) {
  cbn_situation s = g->at;
  t->count = 0;
  for (s.batch = 1; s.batch <= g->at.batch + 2; s.batch++) {
    if (s.batch == 5 && g->at.batch > 6) s.batch = g->at.batch - 1;
    const enum answer answer = ask_modes(g, s, g->result->modes, STEPS_IN_REGION, NULL);
    if (answer == OUTSIDE) continue;
    t->extent[t->count] = s.batch;
    t->agrees[t->count++] = answer == AGREE;
  }
}

/* Extents of an axis for the joint walk: the smallest, those around the first that agrees and around the kernel,
 * the one at hand, the last periods. */
enum { MOST_SAMPLES = 20 };
typedef struct samples {
  int count;
  int64_t extent[MOST_SAMPLES];
} samples;

static void take(samples *s, int64_t extent, int most) {
  for (int i = 0; i < s->count; i++)
    if (s->extent[i] == extent) return;
  if (extent >= 1 && s->count < most) s->extent[s->count++] = extent;
}

static samples sample(const region *g, int32_t axis) {
  static const int most[] = {1, MOST_SAMPLES, 12, 7};
  const int count = most[g->at.axes];
  const course way = course_of(g, axis);
  const cbn_predicate *p = &g->result->extent[axis];
  samples s = {0};
  take(&s, g->at.extent[axis], count);
  take(&s, 1, count);
  if (p->at_least > 1) take(&s, p->at_least - 1, count);
  if (p->at_least > 1) take(&s, p->at_least, count);
  take(&s, way.reach, count);
  take(&s, 2, count);
  take(&s, way.reach + 1, count);
  take(&s, way.reach - 1, count);
  for (int64_t i = 0; i < MOST_SAMPLES; i++) take(&s, way.reach + 1 + i, count);
  return s;
}

/* What the joint walk finds. */
typedef struct walk {
  bool explained;      /* the predicates say of each situation what it is */
  int64_t agree, part; /* the fewest values of those that agree, the most of those that part; 0: none */
} walk;

static void visit(region *g, const cbn_situation *s, walk *w) {
  const enum answer answer = ask_modes(g, *s, g->result->modes, STEPS_IN_REGION, NULL);
  if (answer == OUTSIDE) return;
  const int64_t size = size_of(s);
  w->explained = w->explained && predicted(g->result, s) == (answer == AGREE);
  if (answer == AGREE && (w->agree == 0 || size < w->agree)) w->agree = size;
  if (answer == PART && size > w->part) w->part = size;
}

static walk walk_region(region *g) {
  static const samples none = {.count = 1};
  samples axis[CBN_MAX_SPATIAL] = {none, none, none}, batches = {0};
  walk w = {.explained = true};
  cbn_situation s = g->at;
  for (int32_t a = 0; a < s.axes; a++) axis[a] = sample(g, a);
  take(&batches, g->at.batch, 2);
  take(&batches, 1, 2);
  take(&batches, 2, 2);
  for (int b = 0; b < (s.unbatched ? 1 : batches.count); b++)
    for (int i = 0; i < axis[0].count; i++)
      for (int j = 0; j < axis[1].count; j++)
        for (int k = 0; k < axis[2].count; k++) {
          const int at[CBN_MAX_SPATIAL] = {i, j, k};
          s.batch = batches.extent[b];
          for (int32_t a = 0; a < s.axes; a++) s.extent[a] = axis[a].extent[at[a]];
          visit(g, &s, &w);
        }
  return w;
}

/* Statistics of too few values part two normalizations whatever the axes are. */
static bool count_values(region *g, const walk *w) {
  cbn_comparison *c = g->result;
  if (!is_norm(g) || w->agree <= w->part) return false;
  memset(c->extent, 0, sizeof c->extent);
  c->batch = (cbn_predicate){0};
  c->values = w->part + 1;
  return walk_region(g).explained;
}

static void state_extents(cbn_comparison *c, const cbn_situation *at) {
  c->values = 0;
  for (int32_t a = 0; a < at->axes; a++)
    c->extent[a] = (cbn_predicate){.at_least = at->extent[a], .at_most = at->extent[a]};
}

static void find_predicates(region *g) {
  cbn_comparison *c = g->result;
  table *t = malloc(sizeof *t);
  bool derived = t != NULL;
  for (int32_t a = 0; a < g->at.axes && t != NULL; a++) {
    const bool whole = fill_table(g, a, t);
    derived = derive(t, &c->extent[a]) && derived && whole;
  }
  if (t != NULL && !g->at.unbatched) {
    fill_batches(g, t);
    derived = derive(t, &c->batch) && derived;
  }
  free(t);
  const walk w = walk_region(g);
  if ((!derived || !w.explained) && !count_values(g, &w)) {
    state_extents(c, &g->at);
    if (!g->at.unbatched) c->batch = (cbn_predicate){.at_least = g->at.batch, .at_most = g->at.batch};
  }
  c->conditional = cbn_predicate_is_set(&c->batch) || c->values > 0;
  for (int32_t a = 0; a < g->at.axes; a++) c->conditional = c->conditional || cbn_predicate_is_set(&c->extent[a]);
}

/* Inputs that the second need not take. */
static void find_limits(region *g) {
  cbn_situation s = g->at;
  const bool by_rejection = g->by_rejection, by_value = g->by_value;
  g->by_rejection = g->by_value = false;
  if (!s.unbatched) {
    s.batch = 0;
    ask_modes(g, s, g->result->modes, 1, NULL);
    s.batch = 1;
    s.unbatched = true;
    g->result->batched_only = ask_modes(g, s, g->result->modes, 1, NULL) == PART;
  }
  g->by_rejection = by_rejection;
  g->by_value = by_value;
}

/* The smallest situation in which they part in those modes, in the way in which they part at hand: a kernel that
 * does not fit says nothing of a stride that differs. */
static void find_parting(region *g, int modes) {
  cbn_comparison *c = g->result;
  c->parts = false;
  g->by_rejection = g->by_value = g->empty_counts = true;
  ask_modes(g, g->at, modes, STEPS, NULL);
  g->by_rejection = c->rejected;
  g->by_value = !c->rejected;
  const int agreeing = c->modes;
  c->modes = modes;
  walk_region(g);
  c->modes = agreeing;
}

static void find_modes(region *g, int modes, int *accepted) {
  *accepted = 0;
  if (!is_norm(g)) {
    *accepted = modes;
    g->result->modes = ask_modes(g, g->at, modes, 1, &g->result->constants) == AGREE ? modes : 0;
    return;
  }
  for (int mode = CBN_EVALUATION; mode <= CBN_TRAINING; mode++) {
    cbn_constants constants = {0};
    const enum answer answer = modes & mode ? ask_modes(g, g->at, mode, STEPS, &constants) : OUTSIDE;
    if (answer != OUTSIDE) *accepted |= mode;
    if (answer != AGREE) continue;
    g->result->modes |= mode;
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      if (constants.needed[role]) {
        g->result->constants.needed[role] = true;
        g->result->constants.value[role] = constants.value[role];
      }
    g->result->constants.rounded = g->result->constants.rounded || constants.rounded;
  }
}

/* A function that uses the batch's statistics whatever the mode is: what the second does in training says more of
 * it. */
static bool always_trains(const region *g) {
  cbn_situation s = g->at;
  cbn_plan plan;
  cbn_rejection ignored;
  s.training = false;
  return is_norm(g) && cbn_layer_plan(g->a, &s, &plan, &ignored) && plan.batchnorm.statistics == CBN_STATISTICS_BATCH;
}

void cbn_compare(const cbn_layer *a, const cbn_layer *b, const cbn_surroundings *around, const cbn_situation *at,
                 int modes, cbn_comparison *comparison) {
  region g = {.a = a, .b = b, .around = around, .at = *at, .result = comparison};
  int accepted;
  *comparison = (cbn_comparison){.agreement = CBN_AGREE_NEVER};
  g.keeps = is_norm(&g) && keeps_statistics(&g);
  find_modes(&g, modes, &accepted);
  if (comparison->modes == 0) {
    if (accepted == 0) accepted = modes; /* nothing comes out of the source, and the second refuses it */
    find_parting(&g, accepted == CBN_BOTH_MODES && always_trains(&g) ? CBN_TRAINING : accepted);
    return;
  }
  g.by_rejection = g.by_value = true;
  find_predicates(&g);
  find_limits(&g);
  comparison->agreement = comparison->conditional ? CBN_AGREE_IF : CBN_AGREE_ALWAYS;
  if (!comparison->conditional) comparison->parts = false;
  if (comparison->modes == accepted) return;
  comparison->agreement = comparison->modes == CBN_EVALUATION ? CBN_AGREE_EVALUATION : CBN_AGREE_TRAINING;
  find_parting(&g, accepted & ~comparison->modes);
}

/* -------------------------------------------------------------------------------------------------------- text */

static void add(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t size, const char *format, ...) {
  const size_t length = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + length, size - length, format, arguments);
  va_end(arguments);
}

static const char *joint(const char *text) { return text[0] == '\0' ? "" : " and "; }

static void add_predicate(const cbn_predicate *p, char name, char *text, size_t size) {
  const bool one = p->at_most == 1 || (p->at_least != 0 && p->at_least == p->at_most);
  if (one) add(text, size, "%s%c = %" PRId64, joint(text), name, p->at_most);
  if (!one && p->at_least != 0) add(text, size, "%s%c >= %" PRId64, joint(text), name, p->at_least);
  if (!one && p->at_most != 0) add(text, size, "%s%c <= %" PRId64, joint(text), name, p->at_most);
  if (p->modulus == 0) return;
  int64_t allowed = 0;
  for (int64_t r = 0; r < p->modulus; r++) allowed += (p->residues >> r & 1) != 0;
  const bool most = 2 * allowed > p->modulus && p->modulus > 2; /* the others are fewer to name */
  add(text, size, "%s%c mod %" PRId64 " %s ", joint(text), name, p->modulus, most ? "is not" : "=");
  bool first = true;
  for (int64_t r = 0; r < p->modulus; r++)
    if ((p->residues >> r & 1) != (uint64_t)most) {
      add(text, size, "%s%" PRId64, first ? "" : " or ", r);
      first = false;
    }
}

void cbn_predicates_print(const cbn_comparison *c, int32_t axes, char *text, size_t size) {
  text[0] = '\0';
  add_predicate(&c->batch, 'N', text, size);
  for (int32_t a = 0; a < axes; a++) add_predicate(&c->extent[a], cbn_axis_name(axes, a), text, size);
  if (c->values == 0) return;
  add(text, size, "%sN", joint(text));
  for (int32_t a = 0; a < axes; a++) add(text, size, "*%c", cbn_axis_name(axes, a));
  add(text, size, " >= %" PRId64, c->values);
}
