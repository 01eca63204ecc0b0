/* fast/conv.c - convolution as a matrix product: filters times the im2col matrix, which exists one panel at a time.
 *
 * Every output element is one chain of multiply-adds, from the bias through the reduction in the order of the weight's
 * axes (channel, kd, kh, kw), the partial result resting in the output between boxes. Its bits depend on neither
 * blocks, tiles, layouts nor threads. */
#include "fast/conv.h"

#include "fast/fast.h"
#include "fast/pieces.h"
#include "fast/stage.h"
#include "fast/workspace.h"

#include <assert.h>

typedef struct convolution {
  cbn_fast_plan plan;
  const cbn_conv_kernels *kernels;
  float *packed; /* [group][panel][k][CBN_MR], or NULL */
  cbn_fast_stage *stage;
} convolution;

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

enum { PACKED_PANELS = 4 }; /* packed together: neighbouring filters may share cache lines */

/* to[q * pitch + k * CBN_MR + i] = weight k of filter first + q * CBN_MR + i, for some panels q; zeros where there is
 * no such filter. */
static void pack_filters(const cbn_fast_plan *p, float *to, int64_t pitch, int64_t panels, int64_t group,
                         int64_t filter, cbn_fast_box box) {
  const cbn_fast_geometry *g = &p->g;
  const cbn_fast_axis *axis = g->axis;
  const int64_t step = g->weight_filter_step, filters = min64(panels * CBN_MR, g->filters - filter);
  const float *weight = g->weight + group * g->weight_group_step + filter * step;
  for (int64_t c = box.channel; c < box.channel + box.channels; c++) {
    for (int64_t t = box.line; t < box.line + box.lines; t++) {
      const float *row = weight + c * g->weight_channel_step + t / axis[1].kernel * axis[0].weight_step +
                         t % axis[1].kernel * axis[1].weight_step;
      for (int64_t k = box.column; k < box.column + box.columns; k++, to += CBN_MR) {
        const float *from = row + k * axis[2].weight_step;
        for (int64_t q = 0; q < panels; q++) {
          for (int64_t i = 0; i < CBN_MR; i++)
            to[q * pitch + i] = q * CBN_MR + i < filters ? from[(q * CBN_MR + i) * step] : 0.0f;
        }
      }
    }
  }
}

static int64_t pack_tasks(const cbn_fast_plan *p) { return (p->panels + PACKED_PANELS - 1) / PACKED_PANELS; }

static void pack_piece(void *context, int thread, int64_t i) {
  const convolution *v = context;
  const cbn_fast_plan *p = &v->plan;
  const cbn_fast_box all = {
      .channels = p->g.channels, .lines = p->kernel_lines, .columns = p->g.axis[2].kernel, .count = p->reduction};
  const int64_t tasks = pack_tasks(p), panel = i % tasks * PACKED_PANELS, pitch = CBN_MR * p->reduction;
  (void)thread;
  pack_filters(p, v->packed + (i / tasks * p->panels + panel) * pitch, pitch, min64(PACKED_PANELS, p->panels - panel),
               i / tasks, panel * CBN_MR, all);
}

/* Points a tile's `a` at CBN_MR filters' weights of a box. */
static void find_weights(const convolution *v, cbn_fast_stage *s, int64_t group, int64_t filter,
                         cbn_tile_arguments *tile) {
  const cbn_fast_plan *p = &v->plan;
  if (p->direct_weights) {
    tile->a = p->g.weight + group * p->g.weight_group_step + filter * p->g.weight_filter_step +
              s->box.first * p->weight_k_step;
    tile->lda = p->g.weight_filter_step;
    tile->ka = p->weight_k_step;
    return;
  }
  if (v->packed) {
    tile->a = v->packed + ((group * p->panels + filter / CBN_MR) * p->reduction + s->box.first) * CBN_MR;
  } else {
    pack_filters(p, s->weights, 0, 1, group, filter, s->box);
    tile->a = s->weights;
  }
  tile->lda = 1;
  tile->ka = CBN_MR;
}

/* Where up to CBN_NR pixels of the output stand. */
typedef struct pixels {
  int64_t count;
  int64_t offset[CBN_NR];
  bool contiguous; /* full vectors, side by side: the tile is computed in place */
} pixels;

static void note_contiguity(pixels *px) {
  px->contiguous = px->count % CBN_VL == 0;
  for (int64_t j = 1; j < px->count && px->contiguous; j++) px->contiguous = px->offset[j] == px->offset[0] + j;
}

/* One tile of up to CBN_MR filters; `tile` has k, b and offset, and is otherwise set here. It is passed by address: a
 * copy would load in vectors what was just stored in words, and wait until every store before has left the core. */
static void run_tile(const convolution *v, cbn_fast_stage *s, int64_t group, int64_t filter, const pixels *px,
                     cbn_tile_arguments *tile) {
  const cbn_fast_geometry *g = &v->plan.g;
  const int64_t rows = min64(CBN_MR, g->filters - filter), vectors = (px->count + CBN_VL - 1) / CBN_VL;
  float init[CBN_MR] = {0};
  float scratch[CBN_MR * CBN_NR];
  float *output = g->output + (group * g->filters + filter) * g->output_filter_step;
  find_weights(v, s, group, filter, tile);
  tile->init = NULL;
  if (s->box.first == 0 && !g->accumulates) {
    for (int64_t i = 0; i < rows && g->bias; i++) init[i] = g->bias[(group * g->filters + filter + i) * g->bias_step];
    tile->init = init;
  }
  cbn_tile_kernel *kernel = (tile->offset ? v->kernels->igemm : v->kernels->gemm)[rows - 1][vectors - 1];
  if (px->contiguous) {
    tile->c = output + px->offset[0];
    tile->ldc = g->output_filter_step;
    kernel(tile);
    return;
  }
  tile->c = scratch;
  tile->ldc = CBN_NR;
  if (!tile->init) {
    /* Lanes without a pixel compute from zeros: nothing that lies around may be a signalling or subnormal number. */
    for (int i = 0; i < CBN_MR * CBN_NR && px->count < CBN_NR; i++) scratch[i] = 0;
    v->kernels->gather(scratch, output, g->output_filter_step, px->offset, rows, px->count);
  }
  kernel(tile);
  v->kernels->scatter(output, scratch, g->output_filter_step, px->offset, rows, px->count);
}

typedef struct filter_range {
  int64_t begin, end;
} filter_range;

/* Pixels of the next panel. A tile of one vector has too few accumulators to hide the latency of an FMA, so four
 * vectors are two and two. */
static int64_t panel_pixels(int64_t left) {
  return left > CBN_NR && left <= 4 * CBN_VL ? 2 * CBN_VL : min64(CBN_NR, left);
}

/* The block's pixels row after row, a panel at a time, packed once and used for all filters. */
static void multiply_packed(const convolution *v, cbn_fast_stage *s, int64_t group, filter_range filters) {
  const int64_t step = v->plan.g.axis[2].output_step, columns = s->block.columns;
  for (int64_t first = 0, total = s->block.rows * columns; first < total;) {
    pixels px = {.count = panel_pixels(total - first)};
    cbn_segment segment[CBN_NR];
    int segments = 0;
    for (int64_t done = 0; done < px.count; segments++) {
      const int64_t r = (first + done) / columns, j = (first + done) % columns;
      const int64_t length = min64(px.count - done, columns - j);
      segment[segments] = (cbn_segment){s->staged + j, s->offset + r * s->box.count, length};
      for (int64_t i = 0; i < length; i++) px.offset[done + i] = s->row_output[r] + (j + i) * step;
      done += length;
    }
    note_contiguity(&px);
    v->kernels->pack(s->panel, s->box.count, segment, segments);
    cbn_tile_arguments tile = {.k = s->box.count, .b = s->panel};
    for (int64_t f = filters.begin; f < filters.end; f += CBN_MR) run_tile(v, s, group, f, &px, &tile);
    first += px.count;
  }
}

/* One filter, row by row: in the output, or where its pixels are not side by side, in a row of the workspace. */
static void multiply_rows(const convolution *v, cbn_fast_stage *s, int64_t group) {
  const cbn_fast_geometry *g = &v->plan.g;
  const int64_t step = g->axis[2].output_step, columns = s->block.columns;
  const float init = g->bias ? g->bias[group * g->bias_step] : 0.0f;
  cbn_tile_arguments tile = {.k = s->box.count, .b = s->staged};
  find_weights(v, s, group, 0, &tile);
  tile.init = s->box.first == 0 && !g->accumulates ? &init : NULL;
  for (int64_t r = 0; r < s->block.rows; r++) {
    float *output = g->output + group * g->output_filter_step + s->row_output[r];
    tile.offset = s->offset + r * s->box.count;
    tile.c = step == 1 ? output : s->row;
    for (int64_t i = 0; i < columns && step != 1 && !tile.init; i++) s->row[i] = output[i * step];
    v->kernels->row(&tile, columns);
    for (int64_t i = 0; i < columns && step != 1; i++) output[i * step] = s->row[i];
  }
}

/* Straight from the staged lines. A tile stays in its row. */
static void multiply_indirect(const convolution *v, cbn_fast_stage *s, int64_t group, filter_range filters) {
  const int64_t step = v->plan.g.axis[2].output_step;
  if (v->plan.g.filters == 1) {
    multiply_rows(v, s, group);
    return;
  }
  for (int64_t r = 0; r < s->block.rows; r++) {
    for (int64_t j = 0; j < s->block.columns;) {
      pixels px = {.count = panel_pixels(s->block.columns - j)};
      for (int64_t i = 0; i < px.count; i++) px.offset[i] = s->row_output[r] + (j + i) * step;
      px.contiguous = px.count % CBN_VL == 0 && step == 1;
      cbn_tile_arguments tile = {.k = s->box.count, .b = s->staged + j, .offset = s->offset + r * s->box.count};
      for (int64_t f = filters.begin; f < filters.end; f += CBN_MR) run_tile(v, s, group, f, &px, &tile);
      j += px.count;
    }
  }
}

/* One piece of work: a block of pixels, some groups, a part of their filters. */
static void run_item(void *context, int thread, int64_t i) {
  const convolution *v = context;
  const cbn_fast_plan *p = &v->plan;
  cbn_fast_stage *s = &v->stage[thread];
  const int64_t part = i % p->parts, chunk = i / p->parts % p->chunks;
  const cbn_fast_block block = cbn_fast_plan_block(p, i / p->parts / p->chunks);
  const filter_range filters = {part * p->part_filters, min64((part + 1) * p->part_filters, p->g.filters)};
  const int64_t last = min64((chunk + 1) * p->chunk_groups, p->g.groups);
  for (int64_t group = chunk * p->chunk_groups; group < last; group++) {
    for (int64_t b = 0; b < p->boxes; b++) {
      cbn_fast_stage_prepare(p, s, block, cbn_fast_plan_box(p, b));
      cbn_fast_stage_fill(p, v->kernels, s, group);
      (p->indirect ? multiply_indirect : multiply_packed)(v, s, group, filters);
    }
  }
}

/* ---------------------------------------------------------------------------------------------------- the call */

/* What the largest pieces need. */
typedef struct needs {
  const cbn_call *call;
  int64_t weights, thread, depthwise; /* bytes */
  int threads;
} needs;

static void add_needs(void *context, const cbn_fast_geometry *piece) {
  needs *n = context;
  const int64_t depthwise = cbn_fast_depthwise_bytes(piece);
  if (depthwise > 0) {
    n->depthwise = max64(n->depthwise, depthwise);
    return;
  }
  cbn_fast_plan plan;
  cbn_fast_plan_make(&plan, piece);
  n->weights = max64(n->weights, plan.packed_weights * (int64_t)sizeof(float) + 64);
  n->thread =
      max64(n->thread, cbn_fast_stage_layout(&plan, &(cbn_fast_stage){0}, NULL) + (int64_t)sizeof(cbn_fast_stage) + 64);
  const int threads = cbn_fast_threads(n->call, plan.items, cbn_fast_work(piece));
  if (threads > n->threads) n->threads = threads;
}

typedef struct progress {
  const cbn_conv_kernels *kernels;
  const cbn_call *call;
  char *workspace;
  int64_t threads; /* that fit the workspace */
} progress;

static void run_piece(void *context, const cbn_fast_geometry *piece) {
  const progress *r = context;
  if (cbn_fast_depthwise_bytes(piece) > 0) {
    cbn_fast_depthwise(r->kernels, piece, r->call, r->workspace);
    return;
  }
  convolution v = {.kernels = r->kernels};
  cbn_fast_plan_make(&v.plan, piece);
  const cbn_fast_plan *p = &v.plan;
  const int threads = cbn_fast_threads(r->call, min64(p->items, r->threads), cbn_fast_work(piece));
  char *memory = r->workspace;
  float *const packed = cbn_fast_take(&memory, p->packed_weights * (int64_t)sizeof(float) + 64);
  v.packed = p->pack_weights ? packed : NULL;
  v.stage = cbn_fast_take(&memory, threads * (int64_t)sizeof(cbn_fast_stage));
  for (int t = 0; t < threads; t++) {
    v.stage[t] = (cbn_fast_stage){0};
    memory += cbn_fast_stage_layout(p, &v.stage[t], memory);
  }
  if (v.packed) cbn_fast_share(threads, p->g.groups * pack_tasks(p), pack_piece, &v);
  cbn_fast_share(threads, p->items, run_item, &v);
}

/* The bias alone, as a piece without channels, all over the output. */
static cbn_fast_geometry bias_piece(const cbn_fast_geometry *g) {
  cbn_fast_geometry piece = *g;
  piece.channels = 0;
  piece.input = piece.weight = piece.output; /* never read */
  piece.weight_group_step = piece.weight_filter_step = piece.weight_channel_step = 0;
  piece.input_channel_step = piece.output_filter_step;
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    cbn_fast_axis *axis = &piece.axis[a];
    *axis = (cbn_fast_axis){.input = axis->output,
                            .output = axis->output,
                            .kernel = 1,
                            .stride = 1,
                            .dilation = 1,
                            .input_step = axis->output_step,
                            .output_step = axis->output_step};
  }
  cbn_fast_merge_axes(piece.axis);
  return piece;
}

/* An adjoint reads no padding: a weight that meets nothing else is skipped. */
static bool reads_nothing(const cbn_fast_whole *w) {
  const cbn_fast_axis *axis = w->g.axis;
  return w->g.channels == 0 || (w->adjoint && (axis[0].input == 0 || axis[1].input == 0 || axis[2].input == 0));
}

/* Forward, and the gradient of the input. */
static int correlate(const cbn_conv_kernels *kernels, cbn_call *call) {
  cbn_fast_whole whole;
  cbn_fast_whole_of(&whole, call);
  const cbn_fast_geometry rest = bias_piece(&whole.g);
  const bool adds = !reads_nothing(&whole), covers = adds && cbn_fast_pieces_cover(&whole);
  needs n = {.call = call};
  if (!covers) add_needs(&n, &rest);
  if (adds) cbn_fast_pieces_visit(&whole, add_needs, &n);
  int64_t bytes = n.depthwise;
  progress r = {.kernels = kernels, .call = call};
  if (n.thread > 0) {
    r.threads = min64(n.threads, (CBN_FAST_WORKSPACE_LIMIT - n.weights) / n.thread);
    assert(r.threads >= 1);
    bytes = max64(bytes, n.weights + r.threads * n.thread);
  }
  r.workspace = cbn_fast_allocate(call, bytes);
  if (!r.workspace) return CBN_ERROR;
  if (!covers) run_piece(&r, &rest);
  if (adds) cbn_fast_pieces_visit(&whole, run_piece, &r);
  cbn_fast_release(r.workspace);
  return CBN_OK;
}

int cbn_fast_conv(const cbn_conv_kernels *kernels, cbn_call *call) {
  switch (call->conv->direction) {
  case CBN_GRAD_WEIGHT: return cbn_fast_grad_weight(kernels, call);
  case CBN_GRAD_BIAS: return cbn_fast_grad_bias(kernels, call);
  default: return correlate(kernels, call);
  }
}
