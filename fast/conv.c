/* fast/conv.c - convolution as a matrix product: filters times the im2col matrix, which exists one panel at a time.
 *
 * Every output element is one chain of multiply-adds, from the bias through the reduction in the order of the weight's
 * axes (channel, kd, kh, kw), the partial result resting in the output between boxes. Its bits depend on neither
 * blocks, tiles, layouts nor threads. */
#include "fast/conv.h"

#include "fast/fast.h"
#include "fast/stage.h"
#include "fast/workspace.h"

#include <assert.h>
#include <stdlib.h>

typedef struct convolution {
  cbn_fast_plan plan;
  const cbn_conv_kernels *kernels;
  float *packed; /* [group][panel][k][CBN_MR], or NULL */
  cbn_fast_stage *stage;
} convolution;

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* to[k * CBN_MR + i] = weight k of filter first + i; zeros where there is no such filter. */
static void pack_filters(const cbn_fast_plan *p, float *to, int64_t group, int64_t filter, cbn_fast_box box) {
  const cbn_fast_geometry *g = &p->g;
  const cbn_fast_axis *axis = g->axis;
  for (int64_t i = 0; i < CBN_MR; i++) {
    float *out = to + i;
    if (filter + i >= g->filters) {
      for (int64_t k = 0; k < box.count; k++, out += CBN_MR) *out = 0;
      continue;
    }
    const float *weight = g->weight + (group * g->filters + filter + i) * g->weight_filter_step;
    for (int64_t c = box.channel; c < box.channel + box.channels; c++) {
      for (int64_t t = box.line; t < box.line + box.lines; t++) {
        const float *row = weight + c * g->weight_channel_step + t / axis[1].kernel * axis[0].weight_step +
                           t % axis[1].kernel * axis[1].weight_step;
        for (int64_t k = box.column; k < box.column + box.columns; k++, out += CBN_MR)
          *out = row[k * axis[2].weight_step];
      }
    }
  }
}

static void pack_piece(void *context, int thread, int64_t i) {
  const convolution *v = context;
  const cbn_fast_plan *p = &v->plan;
  const cbn_fast_box all = {
      .channels = p->g.channels, .lines = p->kernel_lines, .columns = p->g.axis[2].kernel, .count = p->reduction};
  (void)thread;
  pack_filters(p, v->packed + i * CBN_MR * p->reduction, i / p->panels, i % p->panels * CBN_MR, all);
}

/* Points a tile's `a` at CBN_MR filters' weights of a box. */
static void find_weights(const convolution *v, cbn_fast_stage *s, int64_t group, int64_t filter,
                         cbn_tile_arguments *tile) {
  const cbn_fast_plan *p = &v->plan;
  if (p->direct_weights) {
    tile->a = p->g.weight + (group * p->g.filters + filter) * p->g.weight_filter_step + s->box.first * p->weight_k_step;
    tile->lda = p->g.weight_filter_step;
    tile->ka = p->weight_k_step;
    return;
  }
  if (v->packed) {
    tile->a = v->packed + ((group * p->panels + filter / CBN_MR) * p->reduction + s->box.first) * CBN_MR;
  } else {
    pack_filters(p, s->weights, group, filter, s->box);
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
  if (s->box.first == 0) {
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

/* One filter, pixels side by side: row by row. */
static void multiply_rows(const convolution *v, cbn_fast_stage *s, int64_t group) {
  const cbn_fast_geometry *g = &v->plan.g;
  const float init = g->bias ? g->bias[group * g->bias_step] : 0.0f;
  cbn_tile_arguments tile = {.k = s->box.count, .b = s->staged};
  find_weights(v, s, group, 0, &tile);
  tile.init = s->box.first == 0 ? &init : NULL;
  for (int64_t r = 0; r < s->block.rows; r++) {
    tile.offset = s->offset + r * s->box.count;
    tile.c = g->output + group * g->output_filter_step + s->row_output[r];
    v->kernels->row(&tile, s->block.columns);
  }
}

/* Straight from the staged lines. A tile stays in its row. */
static void multiply_indirect(const convolution *v, cbn_fast_stage *s, int64_t group, filter_range filters) {
  const int64_t step = v->plan.g.axis[2].output_step;
  if (v->plan.g.filters == 1 && step == 1) {
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
  const int64_t part = i % p->parts, chunk = i / p->parts % p->chunks, at = i / p->parts / p->chunks;
  cbn_fast_block block = {.row = at / p->column_blocks * p->block_rows,
                          .column = at % p->column_blocks * p->block_columns};
  block.rows = min64(p->block_rows, p->rows - block.row);
  block.columns = min64(p->block_columns, p->g.axis[2].output - block.column);
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

static void *take(char **memory, int64_t bytes) {
  void *here = *memory;
  *memory += (bytes + 63) / 64 * 64;
  return here;
}

int cbn_fast_conv(const cbn_conv_kernels *kernels, cbn_call *call) {
  convolution v = {.kernels = kernels};
  int status;
  cbn_fast_plan_make(&v.plan, call);
  if (cbn_fast_depthwise(kernels, &v.plan.g, call, &status)) return status;

  const cbn_fast_plan *p = &v.plan;
  const int64_t weights = p->packed_weights * (int64_t)sizeof(float) + 64;
  const int64_t thread_bytes = cbn_fast_stage_layout(p, &(cbn_fast_stage){0}, 0) + (int64_t)sizeof(cbn_fast_stage) + 64;
  const int64_t affordable = (CBN_FAST_WORKSPACE_LIMIT - weights) / thread_bytes;
  assert(affordable >= 1);
  const int threads = cbn_fast_threads(call, min64(p->items, affordable), cbn_conv_work(call->conv));

  char *const workspace = cbn_fast_allocate(call, weights + threads * thread_bytes);
  if (!workspace) return CBN_ERROR;
  char *memory = workspace;
  float *const packed = take(&memory, weights);
  v.packed = p->pack_weights ? packed : 0;
  v.stage = take(&memory, threads * (int64_t)sizeof(cbn_fast_stage));
  for (int t = 0; t < threads; t++) {
    v.stage[t] = (cbn_fast_stage){0};
    memory += cbn_fast_stage_layout(p, &v.stage[t], memory);
  }
  if (v.packed) cbn_fast_share(threads, p->g.groups * p->panels, pack_piece, &v);
  cbn_fast_share(threads, p->items, run_item, &v);
  free(workspace);
  return CBN_OK;
}
