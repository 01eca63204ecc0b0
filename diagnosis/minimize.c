/* From a finding to the smallest problem that shows it. */
#include "diagnosis/minimize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diagnosis/parameters.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

enum { REMEMBERED = 512 };

typedef struct search {
  cbn_trial *trial;
  const cbn_subject *subject;
  cbn_minimized *result; /* `bad` is the smallest problem so far, `finding` what came of it */
  double deadline;
  int64_t most_work;
  int broken_rule;        /* of a near miss */
  cbn_generated *refused; /* the last problems that did not keep the finding; NULL without memory for them */
  int refusals;
} search;

/* --------------------------------------------------------------------------------------------------------- trials */

static double now(void) {
  struct timespec t;
  timespec_get(&t, TIME_UTC);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What the worst element says of a mismatch: of the size of some roundings (in f64 of those to f32) or of the bound? */
enum nature { ROUNDING, GROSS, NOT_FINITE };

static enum nature nature_of(const cbn_generated *p, const cbn_finding *f) {
  static const double unit[] = {[CBN_F32] = 0x1p-24, [CBN_F64] = 0x1p-24, [CBN_F16] = 0x1p-11, [CBN_BF16] = 0x1p-8};
  const double value = f->expected.value, error = fabs(f->actual - value);
  if (!isfinite(f->actual) || !isfinite(value)) return NOT_FINITE;
  return error <= 16 * fmax(f->expected.bound, unit[p->type] * fabs(value)) ? ROUNDING : GROSS;
}

static bool trains(const cbn_generated *p, const cbn_finding *f) {
  return p->kind == CBN_GENERATED_BATCHNORM_PROGRAM ? p->step[f->step].train : p->kind == CBN_GENERATED_BATCHNORM_TRAIN;
}

/* Where two bugs meet, one must not become the other: what is grossly wrong, or no number, must not become some
 * roundings, nor what is a number none. */
static bool is_the_same(const cbn_generated *a, const cbn_finding *f, const cbn_generated *b, const cbn_finding *g) {
  if (f->verdict != g->verdict) return false;
  if (f->verdict == CBN_VERDICT_CRASH || f->verdict == CBN_VERDICT_TIMEOUT || f->verdict == CBN_VERDICT_MEMORY_LIMIT)
    return true;
  if (f->role != g->role || trains(a, f) != trains(b, g)) return false;
  if (f->verdict != CBN_VERDICT_MISMATCH) return true;
  return nature_of(b, g) == GROSS || nature_of(a, f) == nature_of(b, g);
}

static int64_t work_of(const cbn_generated *p) {
  if (!p->valid) return 0;
  if (!cbn_generated_is_conv(p->kind)) return cbn_batchnorm_work(&p->batchnorm);
  return cbn_conv_work(&p->conv) +
         p->conv.batch * p->conv.in_channels * cbn_extent_product(p->conv.spatial_rank, p->conv.input);
}

static bool is_empty(const cbn_generated *p, int role) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_problem_extents(p, role, extent);
  return cbn_extent_product(rank, extent) == 0;
}

/* Is the problem one that could show the finding? What could not costs no trial. */
static bool is_worth_a_trial(const search *s, const cbn_generated *p) {
  const cbn_finding *f = &s->result->finding;
  cbn_violation violation;
  if (!p->valid) return !cbn_problem_validate(p, &violation) && violation.rule == s->broken_rule;
  if (!cbn_problem_validate(p, &violation) || work_of(p) > s->most_work) return false;
  if (f->verdict != CBN_VERDICT_MISMATCH && f->verdict != CBN_VERDICT_UNWRITTEN_OUTPUT) return true;
  return p->kind == CBN_GENERATED_BATCHNORM_PROGRAM || !is_empty(p, f->role);
}

static bool was_refused(const search *s, const cbn_generated *p) {
  for (int i = 0; s->refused != NULL && i < s->refusals && i < REMEMBERED; i++)
    if (cbn_generated_equal(&s->refused[i], p)) return true;
  return false;
}

static bool run(search *s, const cbn_generated *p, cbn_finding *finding) {
  s->result->trials++;
  return cbn_trial_run(s->trial, p, s->subject, finding);
}

static void adopt(search *s, const cbn_generated *p, const cbn_finding *finding) {
  s->result->bad = *p;
  s->result->finding = *finding;
  cbn_signature_make(p, s->subject->name, finding, &s->result->signature);
  s->result->finding.is_wrong = NULL;
}

/* Takes the problem if it is another one and keeps the finding. */
static bool keep(search *s, cbn_generated *p) {
  cbn_finding finding;
  cbn_violation violation;
  const cbn_generated *bad = &s->result->bad;
  if (s->result->finding.verdict != CBN_VERDICT_ACCEPTED_INVALID && !p->valid)
    p->valid = cbn_problem_validate(p, &violation);
  if (cbn_generated_equal(p, bad) || !is_worth_a_trial(s, p) || was_refused(s, p)) return false;
  if (now() > s->deadline) s->result->finished = false;
  if (!s->result->finished) return false;
  if (run(s, p, &finding) && is_the_same(bad, &s->result->finding, p, &finding)) {
    adopt(s, p, &finding);
    return true;
  }
  if (s->refused != NULL) s->refused[s->refusals++ % REMEMBERED] = *p;
  return false;
}

/* -------------------------------------------------------------------------------------------------------- extents */

static int64_t at_least(int64_t value, int64_t least) { return value > least ? value : least; }

/* The least input with that output along an axis; as large as the padding mode asks for. */
static void resize(cbn_conv *c, int a, int64_t output) {
  const int64_t reach = (c->kernel[a] - 1) * c->dilation[a], pads = c->pad_begin[a] + c->pad_end[a];
  const int64_t steps =
      c->transposed ? output + pads - reach - c->output_padding[a] - 1 : (output - 1) * c->stride[a] + reach - pads;
  const int64_t each = c->transposed ? c->stride[a] : c->input_dilation[a];
  c->input[a] = steps > 0 ? (steps + each - 1) / each + 1 : 1;
  if (c->padding_mode == CBN_PAD_ZEROS) return;
  const int64_t pad = at_least(c->pad_begin[a], c->pad_end[a]) + (c->padding_mode == CBN_PAD_REFLECT);
  c->input[a] = at_least(c->input[a], pad);
}

/* Gives the problem the output extents of the smallest one so far, by other inputs; false where it has them already. */
static bool restore_output(const search *s, cbn_generated *p) {
  const cbn_conv *smallest = &s->result->bad.conv;
  bool changed = false;
  if (!p->valid || !s->result->bad.valid || !cbn_generated_is_conv(p->kind)) return false;
  for (int a = 0; a < p->conv.spatial_rank; a++) {
    const int64_t wanted = cbn_conv_output_extent(smallest, a), before = p->conv.input[a];
    if (wanted < 1 || cbn_conv_output_extent(&p->conv, a) == wanted) continue;
    resize(&p->conv, a, wanted);
    changed = changed || p->conv.input[a] != before;
  }
  return changed;
}

/* The problem as it is or, where parameters that shape the output have changed, with the output as it was. */
static bool keep_either(search *s, cbn_generated *p) { return keep(s, p) || (restore_output(s, p) && keep(s, p)); }

/* ----------------------------------------------------------------------------------------------------- parameters */

static cbn_generated with(const search *s, cbn_parameter parameter, double value) {
  cbn_generated p = s->result->bad;
  cbn_parameter_set(&p, parameter, value);
  return p;
}

/* What a convolution needs is often an amount: of products in a sum, of rows in a matrix, of room for output padding.
 * Then another parameter can stand in for this one, which `p` has at its plain value; false where none does. */
static bool conv_stands_in(const search *s, cbn_parameter parameter, cbn_generated *p) {
  const cbn_generated *bad = &s->result->bad;
  const int a = parameter.index, last = p->conv.spatial_rank - 1;
  const int64_t value = (int64_t)cbn_parameter_get(bad, parameter);
  if (p->conv.groups != bad->conv.groups) {
    p->conv.in_channels = bad->conv.in_channels;
    p->conv.out_channels = bad->conv.out_channels;
  } else if (p->conv.kernel[a] != bad->conv.kernel[a]) {
    restore_output(s, p);
    p->conv.in_channels *= value;
  } else if (p->conv.dilation[a] != bad->conv.dilation[a]) {
    p->conv.stride[a] = value;
  } else if (p->conv.padding_mode != CBN_PAD_ZEROS && p->conv.pad_begin[a] != bad->conv.pad_begin[a]) {
    p->conv.pad_begin[a] = 1; /* as wide as the input allows, still */
    p->conv.input[a] -= value - 1;
  } else if (p->conv.padding_mode != CBN_PAD_ZEROS && p->conv.pad_end[a] != bad->conv.pad_end[a]) {
    p->conv.pad_end[a] = 1;
    p->conv.input[a] -= value - 1;
  } else if (p->conv.batch != bad->conv.batch || p->conv.in_channels != bad->conv.in_channels ||
             p->conv.out_channels != bad->conv.out_channels) {
    resize(&p->conv, last, cbn_conv_output_extent(&p->conv, last) * value);
  } else {
    return false;
  }
  return true;
}

/* A batch normalization's elements of a channel may be images, or in images. */
static bool norm_stands_in(const search *s, cbn_generated *p) {
  const cbn_generated *bad = &s->result->bad;
  if (memcmp(p->batchnorm.extent, bad->batchnorm.extent, sizeof p->batchnorm.extent) == 0 || work_of(p) == 0)
    return false;
  p->batchnorm.batch *= work_of(bad) / work_of(p);
  return true;
}

/* A parameter that stands later in the list takes this one's place: the same bug must not come in two forms. */
static bool keep_amount(search *s, cbn_parameter parameter) {
  cbn_generated p = with(s, parameter, cbn_parameter_plain(&s->result->bad, parameter));
  if (!p.valid) return false;
  return (cbn_generated_is_conv(p.kind) ? conv_stands_in(s, parameter, &p) : norm_stands_in(s, &p)) && keep(s, &p);
}

/* How far behind the input the last of `outputs` outputs reads; below 0: before its end. */
static int64_t reads_behind(const cbn_conv *c, int a, int64_t outputs) {
  return (outputs - 1) * c->stride[a] + (c->kernel[a] - 1) * c->dilation[a] - c->pad_begin[a] -
         (c->input[a] - 1) * c->input_dilation[a];
}

/* One output more, of which the last reads as far behind the input as it did: where windows meet the end must not
 * decide which of their parameters remain. */
static bool keep_one_more(search *s, cbn_parameter parameter) {
  const cbn_conv *bad = &s->result->bad.conv;
  cbn_generated p = with(s, parameter, cbn_parameter_plain(&s->result->bad, parameter));
  const int a = parameter.index;
  if (!p.valid || !cbn_parameter_is_of_window(parameter)) return false;
  const int64_t outputs = cbn_conv_output_extent(bad, a);
  if (p.conv.transposed) {
    resize(&p.conv, a, outputs + 1);
  } else {
    p.conv.input[a] = 1;
    const int64_t more = reads_behind(&p.conv, a, outputs + 1) - reads_behind(bad, a, outputs);
    if (more > 0) p.conv.input[a] += more / p.conv.input_dilation[a];
  }
  return keep(s, &p);
}

/* Padding in front in the place of padding behind. */
static bool keep_mirrored(search *s, cbn_parameter parameter) {
  cbn_generated p = s->result->bad;
  const int a = parameter.index;
  if (!cbn_generated_is_conv(p.kind) || parameter.which != cbn_parameter_by_name("pad_end") || p.conv.pad_begin[a] != 0)
    return false;
  p.conv.pad_begin[a] = p.conv.pad_end[a];
  p.conv.pad_end[a] = 0;
  return keep_either(s, &p);
}

static bool keep_value(search *s, cbn_parameter parameter, double value) {
  cbn_generated p = with(s, parameter, value);
  return keep_either(s, &p);
}

/* The least choice that keeps the finding. */
static bool lower_choice(search *s, cbn_parameter parameter) {
  const double value = cbn_parameter_get(&s->result->bad, parameter);
  for (double lower = 0; lower < value; lower++)
    if (keep_value(s, parameter, lower)) return true;
  return false;
}

/* A number nearer to one that is known not to do: one step from it, else halves. */
static bool lower_by(search *s, cbn_parameter parameter, double lost, double step) {
  const double value = cbn_parameter_get(&s->result->bad, parameter);
  double kept = value, next = lost + step;
  while (next != kept) {
    if (keep_value(s, parameter, next)) kept = next;
    else lost = next;
    next = lost + step * fmax(1, floor((kept - lost) / step / 2));
  }
  return kept != value;
}

/* Nearer to the plain value, which does not do; of inputs first those on which windows end where they do. */
static bool lower_number(search *s, cbn_parameter parameter) {
  const cbn_generated *bad = &s->result->bad;
  bool changed = false;
  if (cbn_generated_is_conv(bad->kind) && parameter.which == cbn_parameter_by_name("input") && bad->valid) {
    const double stride = (double)bad->conv.stride[parameter.index], value = cbn_parameter_get(bad, parameter);
    if (stride > 1 && value > 1) changed = lower_by(s, parameter, value - ceil(value / stride) * stride, stride);
  }
  const double plain = cbn_parameter_plain(bad, parameter), value = cbn_parameter_get(bad, parameter);
  return (value != plain && lower_by(s, parameter, plain, value > plain ? 1 : -1)) || changed;
}

static bool lower(search *s, cbn_parameter parameter) {
  if (keep_one_more(s, parameter) || keep_amount(s, parameter) || keep_mirrored(s, parameter)) return true;
  if (cbn_parameter_is_real(parameter)) return false;
  return cbn_parameter_is_choice(parameter) ? lower_choice(s, parameter) : lower_number(s, parameter);
}

/* Makes those parameters plain: all at once, else each half by itself. */
static bool make_plain(search *s, const cbn_parameter *list, int count) {
  cbn_generated p = s->result->bad;
  if (count == 0) return false;
  for (int i = 0; i < count; i++) cbn_parameter_set(&p, list[i], cbn_parameter_plain(&p, list[i]));
  if (cbn_generated_equal(&p, &s->result->bad)) return false;
  if (keep_either(s, &p)) return true;
  if (count == 1) return lower(s, list[0]);
  const bool first = make_plain(s, list, count / 2);
  return make_plain(s, list + count / 2, count - count / 2) || first;
}

/* ------------------------------------------------------------------------------------------------------- structure */

static void drop_axis(cbn_generated *p, int axis) {
  cbn_conv *c = &p->conv;
  cbn_batchnorm *b = &p->batchnorm;
  int64_t *const arrays[] = {c->input,     c->kernel,  c->stride,         c->dilation, c->input_dilation,
                             c->pad_begin, c->pad_end, c->output_padding, b->extent};
  const int last = cbn_generated_axes(p) - 1;
  for (int i = 0; i < COUNT(arrays); i++) {
    for (int a = axis; a < last; a++) arrays[i][a] = arrays[i][a + 1];
    arrays[i][last] = 0;
  }
  if (cbn_generated_is_conv(p->kind)) c->spatial_rank--;
  else b->spatial_rank--;
}

/* As many elements as before: in a longer last axis, or a larger batch of a batch normalization. */
static void restore_elements(const cbn_generated *before, cbn_generated *p) {
  if (!cbn_generated_is_conv(p->kind)) {
    if (work_of(p) > 0) p->batchnorm.batch *= work_of(before) / work_of(p);
    return;
  }
  const int last = p->conv.spatial_rank - 1;
  int64_t more = 1;
  for (int a = 0; a < before->conv.spatial_rank; a++) more *= cbn_conv_output_extent(&before->conv, a);
  for (int a = 0; a < last; a++) more /= at_least(cbn_conv_output_extent(&p->conv, a), 1);
  if (more > 0) resize(&p->conv, last, more);
}

static bool keep_axes(search *s, unsigned axes) {
  cbn_generated p = s->result->bad;
  for (int a = cbn_generated_axes(&p) - 1; a >= 0; a--)
    if (!(axes >> a & 1)) drop_axis(&p, a);
  if (keep(s, &p)) return true;
  if (!p.valid) return false;
  restore_elements(&s->result->bad, &p);
  return keep(s, &p);
}

/* As few axes as possible, those that stay from the last on. */
static bool lower_rank(search *s) {
  const int axes = cbn_generated_axes(&s->result->bad);
  if (axes > 0 && !cbn_generated_is_conv(s->result->bad.kind) && keep_axes(s, 0)) return true;
  for (int a = axes - 1; a >= 0 && axes > 1; a--)
    if (keep_axes(s, 1u << a)) return true;
  for (int a = 0; a < axes && axes > 2; a++)
    if (keep_axes(s, 7u & ~(1u << a))) return true;
  return false;
}

static void drop_step(cbn_generated *p, int step) {
  memmove(&p->step[step], &p->step[step + 1], (size_t)(p->steps - step - 1) * sizeof p->step[0]);
  p->step[--p->steps] = (cbn_generated_step){0};
}

/* A program of one step is a call. */
static bool keep_call(search *s) {
  cbn_generated p = s->result->bad;
  const cbn_generated_step step = p.step[0];
  if (p.kind != CBN_GENERATED_BATCHNORM_PROGRAM || p.steps != 1) return false;
  p.batchnorm.new_weight = step.new_weight;
  p.batchnorm.update_running = p.batchnorm.update_running && step.train;
  if (!step.train) p.batchnorm.statistics = CBN_STATISTICS_RUNNING;
  p.kind = cbn_generated_trains(&p) ? CBN_GENERATED_BATCHNORM_TRAIN : CBN_GENERATED_BATCHNORM_EVAL;
  p.step[0] = (cbn_generated_step){0};
  return keep(s, &p);
}

/* Only the step that is wrong, else without those behind it, else without any of the others. */
static bool drop_steps(search *s) {
  cbn_generated p = s->result->bad;
  const int wrong = s->result->finding.step;
  bool changed = false;
  if (p.steps > 1) {
    p.step[0] = p.step[wrong];
    while (p.steps > 1) drop_step(&p, 1);
    changed = keep(s, &p);
  }
  for (p = s->result->bad; p.steps > s->result->finding.step + 1;) drop_step(&p, p.steps - 1);
  changed = keep(s, &p) || changed;
  for (int i = s->result->bad.steps - 2; i >= 0; i--) {
    p = s->result->bad;
    drop_step(&p, i);
    changed = keep(s, &p) || changed;
  }
  return keep_call(s) || changed;
}

/* All that is not data; again until nothing more can go. */
static bool shrink(search *s) {
  cbn_parameter list[CBN_PARAMETER_LIMIT];
  bool changed = false, again = true;
  while (again) {
    again = drop_steps(s);
    again = lower_rank(s) || again;
    again = make_plain(s, list, cbn_parameters_of(&s->result->bad, list)) || again;
    changed = changed || again;
  }
  return changed;
}

/* ------------------------------------------------------------------------------------------------------------ data */

/* Data from plain to special. A ramp from 1 shows most: no two elements are equal, none is 0, no two products cancel;
 * but large sums of it are not exact. */
static const struct {
  enum cbn_fill_kind kind;
  double a, b; /* of a ramp start and step, of integers low and high */
} plain_data[] = {{CBN_FILL_RAMP, 1, 1},        {CBN_FILL_INTEGERS, 1, 4},   {CBN_FILL_RAMP, -1, -1},
                  {CBN_FILL_INTEGERS, -4, 4},   {CBN_FILL_RAMP, 0.1, 0.1},   {CBN_FILL_NORMAL, 0, 0},
                  {CBN_FILL_RAMP, INFINITY, 0}, {CBN_FILL_RAMP, 0x1p127, 0}, {CBN_FILL_RAMP, 0x1p-149, 0},
                  {CBN_FILL_SPECIAL, 0, 0}};

static cbn_fill fill_of(int i) {
  cbn_fill fill = cbn_fill_make(plain_data[i].kind);
  if (fill.kind == CBN_FILL_RAMP) {
    fill.start = plain_data[i].a;
    fill.step = plain_data[i].b;
  } else if (fill.kind == CBN_FILL_INTEGERS) {
    fill.low = (int64_t)plain_data[i].a;
    fill.high = (int64_t)plain_data[i].b;
  }
  return fill;
}

/* Are its elements few small integers, so that sums of products are exact? */
static bool is_on_grid(const cbn_fill *fill) {
  if (fill->kind == CBN_FILL_RAMP) return fill->start == trunc(fill->start) && fabs(fill->start) < 16;
  return fill->kind != CBN_FILL_NORMAL && fill->kind != CBN_FILL_SPECIAL;
}

static bool is_read(const cbn_generated *p, int role) {
  int64_t extent[CBN_MAX_RANK];
  const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
  return (statistic && p->kind == CBN_GENERATED_BATCHNORM_PROGRAM) ||
         (p->valid && cbn_problem_extents(p, role, extent) > 0);
}

/* Fills a tensor; those that are not read are ones. */
static void set_data(cbn_generated *p, int role, cbn_fill fill) {
  p->fill[role] = fill;
  p->exact = true;
  for (int other = 0; other <= CBN_ROLE_GRAD_OUTPUT; other++) {
    if (!is_read(p, other)) p->fill[other] = cbn_fill_make(CBN_FILL_ONES);
    p->exact = p->exact && is_on_grid(&p->fill[other]);
  }
}

static void set_all_data(cbn_generated *p, cbn_fill fill) {
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) set_data(p, role, fill);
}

static bool keep_data(search *s, int role, cbn_fill fill) {
  cbn_generated p = s->result->bad;
  set_data(&p, role, fill);
  return keep(s, &p);
}

/* The data that show most: numbers that are all different, or, where sums of many would overflow, small ones. */
static cbn_fill telling_data(const cbn_generated *p) { return fill_of(p->type == CBN_F16 && work_of(p) > 32 ? 1 : 0); }

/* Some roles take only some data: a variance is positive. */
static bool goes_with(int role, int data) { return role != CBN_ROLE_RUNNING_VAR || plain_data[data].a > 0; }

/* One tensor with data that the bug needs, all others plain. */
static bool keep_one_other(search *s) {
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    for (int i = 1; is_read(&s->result->bad, role) && i < COUNT(plain_data); i++) {
      cbn_generated p = s->result->bad;
      set_all_data(&p, telling_data(&p));
      set_data(&p, role, fill_of(i));
      if (cbn_generated_equal(&p, &s->result->bad)) return false; /* those that follow are no plainer */
      if (goes_with(role, i) && keep(s, &p)) return true;
    }
  return false;
}

static bool keep_each(search *s, int role) {
  for (int i = 0; i < COUNT(plain_data); i++) {
    cbn_generated p = s->result->bad;
    set_data(&p, role, fill_of(i));
    if (cbn_generated_equal(&p, &s->result->bad)) return false;
    if (goes_with(role, i) && keep(s, &p)) return true;
  }
  return false;
}

/* Data in which a wrong element can be seen wherever it is, so that what remains of the problem is what the bug needs
 * and not what its data happen to show. */
static bool make_data_telling(search *s) {
  cbn_generated p = s->result->bad;
  set_all_data(&p, telling_data(&p));
  if (cbn_generated_equal(&p, &s->result->bad)) return false;
  if (keep(s, &p) || keep_one_other(s)) return true;
  bool changed = false;
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    if (is_read(&s->result->bad, role)) changed = keep_each(s, role) || changed;
  return changed;
}

/* One element that is not 0: of few elements any, of many the first, the last, one between them and the one that is
 * wrong. */
static bool keep_impulse(search *s, int role) {
  int64_t extent[CBN_MAX_RANK];
  const int64_t count = cbn_extent_product(cbn_problem_extents(&s->result->bad, role, extent), extent);
  const int64_t few = count < 6 ? count : 4, of_many[] = {0, count - 1, count / 2, s->result->finding.element};
  cbn_fill impulse = cbn_fill_make(CBN_FILL_IMPULSE);
  if (count < 2 || s->result->bad.fill[role].kind == CBN_FILL_IMPULSE) return false;
  for (int64_t i = 0; i < few; i++) {
    impulse.position = count < 6 ? i : of_many[i];
    if (keep_data(s, role, impulse)) return true;
  }
  return false;
}

/* Data that a reader has in mind at once: ones, then zeros but for a one. */
static bool make_data_plain(search *s) {
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_GRAD_OUTPUT};
  const cbn_fill ones = cbn_fill_make(CBN_FILL_ONES);
  cbn_generated p = s->result->bad;
  bool changed = false;
  set_all_data(&p, ones);
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    if (s->result->bad.fill[role].kind == CBN_FILL_IMPULSE) p.fill[role] = s->result->bad.fill[role];
  changed = keep(s, &p);
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    if (s->result->bad.fill[role].kind != CBN_FILL_IMPULSE) changed = keep_data(s, role, ones) || changed;
  for (int i = 0; i < COUNT(roles); i++)
    if (is_read(&s->result->bad, roles[i])) changed = keep_impulse(s, roles[i]) || changed;
  return changed;
}

/* -------------------------------------------------------------------------------------------------- the neighbour */

static bool has_results(const cbn_generated *p) {
  for (int role = CBN_ROLE_OUTPUT; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_problem_extents(p, role, extent);
    if (rank > 0 && cbn_extent_product(rank, extent) > 0) return true;
  }
  return false;
}

/* Does the problem pass, and not because there is nothing to compute? */
static bool is_good(search *s, cbn_generated *p) {
  cbn_violation violation;
  cbn_finding finding;
  p->valid = cbn_problem_validate(p, &violation);
  if (!p->valid || work_of(p) > s->most_work || now() > s->deadline) return false;
  if (!has_results(p) && (!s->result->bad.valid || has_results(&s->result->bad))) return false;
  if (run(s, p, &finding) || finding.verdict != CBN_VERDICT_PASS) return false;
  s->result->good = *p;
  s->result->has_good = true;
  return true;
}

/* Channels stay as many as they are when the number of groups changes: one parameter differs, not three. */
static bool is_good_with(search *s, cbn_parameter parameter, double value) {
  const cbn_generated *bad = &s->result->bad;
  cbn_generated p = with(s, parameter, value);
  if (cbn_generated_is_conv(p.kind) && p.conv.groups != bad->conv.groups) {
    p.conv.in_channels = bad->conv.in_channels;
    p.conv.out_channels = bad->conv.out_channels;
  }
  if (!is_good(s, &p)) return false;
  cbn_parameter_print(bad, parameter, s->result->parameter, sizeof s->result->parameter);
  return true;
}

static bool is_good_by(search *s, cbn_parameter parameter) {
  const double value = cbn_parameter_get(&s->result->bad, parameter);
  const double plain = cbn_parameter_plain(&s->result->bad, parameter);
  if (is_good_with(s, parameter, plain)) return true;
  if (cbn_parameter_is_choice(parameter) || cbn_parameter_is_real(parameter)) return false;
  const double nearer = value > plain ? value - 1 : value + 1;
  return nearer != plain && is_good_with(s, parameter, nearer);
}

static bool is_good_without_a_step(search *s) {
  for (int i = 0; s->result->bad.steps > 1 && i < s->result->bad.steps; i++) {
    cbn_generated p = s->result->bad;
    drop_step(&p, i);
    if (!is_good(s, &p)) continue;
    snprintf(s->result->parameter, sizeof s->result->parameter, "step[%d]", i);
    return true;
  }
  return false;
}

static bool is_good_with_ones(search *s) {
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) {
    cbn_generated p = s->result->bad;
    if (!p.valid || !is_read(&p, role) || p.fill[role].kind == CBN_FILL_ONES) continue;
    set_data(&p, role, cbn_fill_make(CBN_FILL_ONES));
    if (!is_good(s, &p)) continue;
    snprintf(s->result->parameter, sizeof s->result->parameter, "%s", cbn_role_name(role));
    return true;
  }
  return false;
}

static bool find_good(search *s) {
  enum { LEAST_TELLING = 12 };
  cbn_parameter list[CBN_PARAMETER_LIMIT];
  const int count = cbn_parameters_of(&s->result->bad, list);
  for (int telling = 0; telling <= LEAST_TELLING; telling++)
    for (int i = 0; i < count; i++)
      if (cbn_parameter_telling(list[i]) == telling && is_good_by(s, list[i])) return true;
  return is_good_without_a_step(s) || is_good_with_ones(s);
}

/* ------------------------------------------------------------------------------------------------------ the whole */

static bool keep_valid(search *s, cbn_generated *p) {
  cbn_violation violation;
  return cbn_problem_validate(p, &violation) && keep(s, p);
}

/* What a near miss and its valid neighbours share has nothing to do with what is missed: the first of these that fails
 * takes its place, before steps to plainer near misses lead away from them. */
static bool try_valid(search *s) {
  cbn_parameter list[CBN_PARAMETER_LIMIT];
  cbn_generated p = s->result->bad;
  uint8_t genome[CBN_GENOME_BYTES];
  const int count = cbn_parameters_of(&p, list);
  if (p.valid || s->result->finding.verdict == CBN_VERDICT_ACCEPTED_INVALID) return false;
  for (int i = 0; i < count; i++) {
    cbn_generated plain = with(s, list[i], cbn_parameter_plain(&p, list[i]));
    cbn_generated less = with(s, list[i], cbn_parameter_get(&p, list[i]) - 1);
    if (keep_valid(s, &less) || keep_valid(s, &plain)) return true;
  }
  if (cbn_generated_is_conv(p.kind) && p.conv.groups > 0) {
    p.conv.in_channels = at_least(p.conv.in_channels / p.conv.groups, 1) * p.conv.groups;
    p.conv.out_channels = at_least(p.conv.out_channels / p.conv.groups, 1) * p.conv.groups;
    if (keep_valid(s, &p)) return true;
  }
  if (!cbn_genome_of(&s->result->bad, genome, NULL)) return false;
  genome[CBN_GENE_NEAR_MISS] = 0; /* the problem that it misses */
  cbn_generate(genome, sizeof genome, &p);
  return keep_valid(s, &p);
}

/* Most bugs that show everywhere show in the smallest problem of their kind. */
static void try_smallest(search *s) {
  cbn_parameter list[CBN_PARAMETER_LIMIT];
  cbn_generated p = s->result->bad;
  const int least = cbn_generated_is_conv(p.kind) ? 1 : 0;
  while (cbn_generated_axes(&p) > least) drop_axis(&p, 0);
  if (p.steps > 1) p.step[0] = p.step[s->result->finding.step];
  while (p.steps > 1) drop_step(&p, 1);
  const int count = cbn_parameters_of(&p, list);
  for (int i = 0; i < count; i++) cbn_parameter_set(&p, list[i], cbn_parameter_plain(&p, list[i]));
  set_all_data(&p, fill_of(0));
  keep(s, &p);
}

bool cbn_minimize(cbn_trial *trial, const cbn_generated *problem, const cbn_subject *subject, double seconds,
                  cbn_minimized *result) {
  search s = {.trial = trial, .subject = subject, .result = result, .deadline = now() + seconds};
  cbn_violation violation = {.rule = -1};
  cbn_finding finding;
  *result = (cbn_minimized){.finished = true};
  const bool found = run(&s, problem, &finding);
  adopt(&s, problem, &finding);
  if (!found) return false;
  cbn_problem_validate(problem, &violation);
  s.broken_rule = violation.rule;
  s.most_work =
      2 * (problem->valid ? at_least(work_of(problem), CBN_GENERATED_WORK) : CBN_GENERATED_LARGE * CBN_GENERATED_WORK);
  s.refused = malloc(REMEMBERED * sizeof *s.refused);
  try_valid(&s);
  try_smallest(&s);
  for (bool again = true; again;) {
    again = make_data_telling(&s);
    again = shrink(&s) || again;
  }
  while (make_data_plain(&s) && shrink(&s)) continue;
  find_good(&s);
  free(s.refused);
  return true;
}
