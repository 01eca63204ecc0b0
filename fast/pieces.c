/* fast/pieces.c - correlations from calls, pieces from correlations. */
#include "fast/pieces.h"

#include <assert.h>

enum { LONG_KERNEL = 4 }; /* shorter ones are not worth cutting */

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Of a positive divisor. */
static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static int64_t ceiling_divide(int64_t a, int64_t b) { return a / b + (a % b > 0); }
static int64_t modulo(int64_t a, int64_t b) { return a - floor_divide(a, b) * b; }

/* gcd(a, b) and, if asked, a number x with a * x = gcd(a, b) modulo b. No number on the way exceeds a or b. */
static int64_t bezout(int64_t a, int64_t b, int64_t *x) {
  int64_t before = 1, now = 0;
  while (b != 0) {
    const int64_t quotient = a / b, rest = a % b, next = before - quotient * now;
    a = b;
    b = rest;
    before = now;
    now = next;
  }
  if (x) *x = before;
  return a;
}

/* a * b modulo m, of numbers from 0 to m - 1 <= 2^40, in steps that stay below 2^62. */
static int64_t multiply_modulo(int64_t a, int64_t b, int64_t m) {
  const int64_t half = (int64_t)1 << 20, high = a * (b / half) % m;
  return (high * half + a * (b % half)) % m;
}

/* ------------------------------------------------------------------------------------------------ from the call */

/* A tensor that the correlation reads or writes at positions, by its strides. */
static void describe_axis(cbn_fast_whole *w, int to, const cbn_call *call, int a, const cbn_tensor *input,
                          const cbn_tensor *weight, const cbn_tensor *output) {
  const cbn_conv *conv = call->conv;
  /* The extents on both sides of the convolution, or of the one that a transposed one is the adjoint of. */
  const int64_t computed = cbn_conv_output_extent(conv, a);
  const int64_t source = conv->transposed ? computed : conv->input[a];
  const int64_t result = conv->transposed ? conv->input[a] : computed;
  const int64_t reach = (conv->kernel[a] - 1) * conv->dilation[a], pads = conv->pad_begin[a] + conv->pad_end[a];
  if (conv->transposed) {
    const int64_t extent = (result - 1) * conv->stride[a] + reach + 1 - pads + conv->output_padding[a];
    assert(source == (result == 0 ? 0 : max64(extent, 0)));
  } else {
    /* The windows that fit between both pads, counted here and by core. */
    const int64_t slack = (source == 0 ? 0 : (source - 1) * conv->input_dilation[a] + 1) + pads - reach - 1;
    assert(result == (slack < 0 ? 0 : slack / conv->stride[a] + 1));
  }
  cbn_fast_axis *axis = &w->g.axis[to];
  *axis = (cbn_fast_axis){
      .input = source,
      .output = result,
      .kernel = conv->kernel[a],
      .stride = conv->stride[a],
      .dilation = conv->dilation[a],
      .pad = conv->pad_begin[a],
      .input_step = input->stride[2 + a],
      .weight_step = weight->stride[2 + a],
      .output_step = output->stride[2 + a],
  };
  w->input_dilation[to] = conv->input_dilation[a];
  if (!w->adjoint) return;
  axis->input = result;
  axis->output = source;
  axis->stride = conv->input_dilation[a];
  w->input_dilation[to] = conv->stride[a];
  axis->pad = reach - conv->pad_begin[a];
  axis->weight_step = -axis->weight_step;
  if (w->g.weight) w->g.weight += (axis->kernel - 1) * -axis->weight_step;
  w->before[to] = conv->pad_begin[a];
  w->behind[to] = conv->pad_end[a];
}

void cbn_fast_whole_of(cbn_fast_whole *w, const cbn_call *call) {
  const cbn_conv *conv = call->conv;
  const bool learns = conv->direction == CBN_GRAD_WEIGHT, forward = conv->direction == CBN_FORWARD;
  const cbn_tensor *const *t = call->tensor;
  const cbn_tensor *weight = t[learns ? CBN_ROLE_GRAD_WEIGHT : CBN_ROLE_WEIGHT];
  const cbn_tensor *bias = forward ? t[CBN_ROLE_BIAS] : NULL;
  const cbn_tensor *input = t[forward ? CBN_ROLE_INPUT : CBN_ROLE_GRAD_OUTPUT];
  const cbn_tensor *output = t[forward ? CBN_ROLE_OUTPUT : CBN_ROLE_GRAD_INPUT];
  if (learns) {
    input = t[conv->transposed ? CBN_ROLE_GRAD_OUTPUT : CBN_ROLE_INPUT];
    output = t[conv->transposed ? CBN_ROLE_INPUT : CBN_ROLE_GRAD_OUTPUT];
  }
  *w = (cbn_fast_whole){.rank = conv->spatial_rank};
  w->adjoint = !learns && (conv->direction == CBN_GRAD_INPUT) != (conv->transposed != 0);
  w->folding = w->adjoint ? conv->padding_mode : CBN_PAD_ZEROS;
  cbn_fast_geometry *g = &w->g;
  g->input = input->data;
  g->output = learns ? NULL : output->data;
  g->gradient = learns ? output->data : NULL;
  g->weight = learns ? NULL : weight->data;
  g->grad_weight = learns ? weight->data : NULL;
  g->bias = bias ? bias->data : NULL;
  g->bias_step = bias ? bias->stride[0] : 0;
  g->batch = conv->batch;
  g->groups = conv->groups;
  g->padding_mode = w->adjoint ? CBN_PAD_ZEROS : conv->padding_mode;
  g->channels = (input == t[CBN_ROLE_INPUT] ? conv->in_channels : conv->out_channels) / conv->groups;
  g->filters = (input == t[CBN_ROLE_INPUT] ? conv->out_channels : conv->in_channels) / conv->groups;
  g->weight_filter_step = weight->stride[w->adjoint ? 1 : 0];
  g->weight_channel_step = weight->stride[w->adjoint ? 0 : 1];
  g->weight_group_step = weight->stride[0] * (w->adjoint ? g->channels : g->filters);
  g->input_batch_step = input->stride[0];
  g->input_channel_step = input->stride[1];
  g->output_batch_step = output->stride[0];
  g->output_filter_step = output->stride[1];
  const int first = CBN_MAX_SPATIAL - conv->spatial_rank;
  for (int a = 0; a < first; a++) {
    g->axis[a] = cbn_fast_unit_axis;
    w->input_dilation[a] = 1;
  }
  for (int a = first; a < CBN_MAX_SPATIAL; a++) describe_axis(w, a, call, a - first, input, weight, output);
}

/* ------------------------------------------------------------------------------------------- pieces of one axis */

/* What is left of an axis, and where its output and its weight begin. */
typedef struct cutting {
  cbn_fast_axis axis;
  int64_t output_offset, weight_offset;
} cutting;

/* Ranges of output positions: the output's own, and those before and behind it that fold back. Along one of the latter
 * the output runs backwards (reflect), forwards (circular) or not at all (replicate: one position a range). */
static int64_t ranges_of(int folding, int64_t pad) {
  return folding == CBN_PAD_ZEROS || pad <= 0 ? 0 : folding == CBN_PAD_REPLICATE ? pad : 1;
}

static cutting cut_range(const cbn_fast_whole *w, int a, int64_t range) {
  cutting c = {.axis = w->g.axis[a]};
  if (range == 0) return c;
  const int64_t extent = c.axis.output, before = w->before[a];
  const int64_t early = ranges_of(w->folding, before);
  const bool low = range <= early;
  int64_t begin = low ? -before : extent, count = low ? before : w->behind[a], element = 0, direction = 1;
  if (w->folding == CBN_PAD_REPLICATE) {
    begin += range - 1 - (low ? 0 : early);
    count = 1;
    element = low ? 0 : extent - 1;
  } else if (w->folding == CBN_PAD_REFLECT) {
    element = low ? before : extent - 2;
    direction = -1;
  } else {
    element = low ? extent - before : 0;
  }
  c.axis.output = count;
  c.axis.pad -= begin * c.axis.stride;
  c.output_offset = element * c.axis.output_step;
  c.axis.output_step *= direction;
  return c;
}

/* The output positions of one residue, which is below the number of residues and the output's extent; false where they
 * meet no tap. Position r + j * E/gcd(stride, E) meets tap t if r * stride + t * dilation - pad is a multiple of E, the
 * input's dilation: for every (E/gcd(dilation, E))-th tap, or for none. */
static bool cut_residue(cutting *c, int64_t input_dilation, int64_t residue) {
  cbn_fast_axis *x = &c->axis;
  if (input_dilation == 1) return true;
  int64_t inverse;
  const int64_t shared = bezout(x->dilation, input_dilation, &inverse), taps = input_dilation / shared;
  const int64_t thinned = bezout(x->stride, input_dilation, NULL), residues = input_dilation / thinned;
  const int64_t wanted = modulo(x->pad - residue * x->stride, input_dilation);
  if (wanted % shared != 0) return false;
  const int64_t tap = multiply_modulo(wanted / shared, modulo(inverse, taps), taps);
  if (tap >= x->kernel) return false;
  x->pad = (x->pad - residue * x->stride - tap * x->dilation) / input_dilation;
  c->output_offset += residue * x->output_step;
  c->weight_offset += tap * x->weight_step;
  x->output = (x->output - residue - 1) / residues + 1;
  x->kernel = (x->kernel - tap - 1) / taps + 1;
  x->output_step *= residues;
  x->weight_step *= taps;
  x->stride /= thinned;
  x->dilation /= shared;
  return true;
}

/* Of an adjoint: output positions a section. A kernel that is long beside the input meets it at few taps from any one
 * position; sections about as long as the input, with only those taps that meet it from some position of the section,
 * leave most of the zeros out. */
static int64_t section_length(const cbn_fast_whole *w, const cbn_fast_axis *x) {
  static const int64_t most_sections[CBN_MAX_SPATIAL] = {4096, 256, 64};
  const int64_t shortest = x->output / most_sections[w->rank - 1] + 1;
  const int64_t length = min64(max64(x->input / x->stride, shortest), x->output);
  const int64_t taps = (x->input - 1 + (length - 1) * x->stride) / x->dilation + 1;
  return w->adjoint && x->kernel >= LONG_KERNEL && taps < x->kernel - x->kernel / 4 ? length : x->output;
}

/* The section that begins at `first`; false where it meets no tap. Outside of adjoints, taps that meet zeros only
 * stay: there the padding multiplies. */
static bool cut_section(const cbn_fast_whole *w, cutting *c, int64_t first, int64_t length) {
  cbn_fast_axis *x = &c->axis;
  x->output = min64(length, x->output - first);
  x->pad -= first * x->stride;
  c->output_offset += first * x->output_step;
  if (!w->adjoint) return true;
  const int64_t low = max64(0, ceiling_divide(x->pad - (x->output - 1) * x->stride, x->dilation));
  const int64_t high = min64(x->kernel - 1, floor_divide(x->input - 1 + x->pad, x->dilation));
  if (low > high) return false;
  x->kernel = high - low + 1;
  x->pad -= low * x->dilation;
  c->weight_offset += low * x->weight_step;
  return true;
}

/* Calls `take` for every cutting of the axis; `range` 0 first. */
typedef void cutting_taker(void *context, const cutting *c, int64_t range);

static void cut_axis(const cbn_fast_whole *w, int a, int64_t ranges, cutting_taker *take, void *context) {
  for (int64_t range = 0; range < ranges; range++) {
    const cutting whole = cut_range(w, a, range);
    const int64_t hole = w->input_dilation[a];
    const int64_t residues = hole == 1 ? 1 : min64(hole / bezout(whole.axis.stride, hole, NULL), whole.axis.output);
    for (int64_t residue = 0; residue < residues; residue++) {
      cutting class = whole;
      if (!cut_residue(&class, hole, residue)) continue;
      const int64_t positions = class.axis.output, length = section_length(w, &class.axis);
      for (int64_t first = 0; first < positions; first += length) {
        cutting section = class;
        if (cut_section(w, &section, first, length)) take(context, &section, range);
      }
    }
  }
}

/* ----------------------------------------------------------------------------------------------- of all axes */

typedef struct coverage {
  int64_t positions, taps;
} coverage;

static void count_coverage(void *context, const cutting *c, int64_t range) {
  coverage *count = context;
  (void)range;
  count->positions += c->axis.output;
  count->taps += c->axis.kernel;
}

bool cbn_fast_pieces_cover(const cbn_fast_whole *w) {
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    coverage count = {0, 0};
    cut_axis(w, a, 1, count_coverage, &count);
    if (w->g.grad_weight ? count.taps < w->g.axis[a].kernel : count.positions < w->g.axis[a].output) return false;
  }
  return true;
}

typedef struct walk {
  const cbn_fast_whole *whole;
  cbn_fast_visitor *visitor;
  void *context;
  int axis;
  cbn_fast_geometry piece;
  int64_t output_offset, weight_offset;
} walk;

static void descend(void *context, const cutting *c, int64_t range);

static void walk_axis(walk *k) {
  const cbn_fast_whole *w = k->whole;
  if (k->axis < CBN_MAX_SPATIAL) {
    const int a = k->axis;
    cut_axis(w, a, 1 + ranges_of(w->folding, w->before[a]) + ranges_of(w->folding, w->behind[a]), descend, k);
    return;
  }
  cbn_fast_geometry piece = k->piece;
  if (piece.output) piece.output += k->output_offset;
  if (piece.gradient) piece.gradient += k->output_offset;
  if (piece.weight) piece.weight += k->weight_offset;
  if (piece.grad_weight) piece.grad_weight += k->weight_offset;
  cbn_fast_merge_axes(piece.axis);
  k->visitor(k->context, &piece);
}

static void descend(void *context, const cutting *c, int64_t range) {
  walk below = *(const walk *)context;
  below.piece.axis[below.axis++] = c->axis;
  below.piece.accumulates = below.piece.accumulates || range > 0;
  below.output_offset += c->output_offset;
  below.weight_offset += c->weight_offset;
  walk_axis(&below);
}

void cbn_fast_pieces_visit(const cbn_fast_whole *w, cbn_fast_visitor *visitor, void *context) {
  walk k = {.whole = w, .visitor = visitor, .context = context, .piece = w->g};
  walk_axis(&k);
}
