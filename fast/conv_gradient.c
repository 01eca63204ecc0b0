/* fast/conv_gradient.c - the gradients of weight and bias.
 *
 * The weight's is the product of the gradient, filters x pixels, and the transposed im2col matrix, pixels x (channel,
 * kd, kh, kw). An item of work owns some filters' sums over a box of the latter and goes through blocks of pixels;
 * where that makes few items, each goes through one of several parts of the pixels, and the parts' sums are added in
 * order. All cuts follow from the shape, so every element is one tree of sums for any layout and number of threads. */
#include "fast/conv.h"

#include "fast/fast.h"
#include "fast/pieces.h"
#include "fast/stage.h"
#include "fast/workspace.h"

#include <assert.h>
#include <string.h>

enum {
  WANTED_ITEMS = 16,
  PANEL_PIXELS = CBN_KC /* pixels of a panel: as many steps as a panel of the forward product has */
};

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t cut(int64_t whole, int64_t piece) { return whole / piece + (whole % piece != 0); }

/* One thread's workspace. */
typedef struct lane {
  cbn_fast_stage stage;
  float *gradient; /* [filter of a part][pixel of the block] */
  float *panel;
  float *sums;
} lane;

typedef struct learning {
  cbn_fast_plan plan;
  const cbn_conv_kernels *kernels;
  int64_t part_filters, parts, chunk_groups, chunks, items; /* items of each part of the pixels */
  int64_t blocks, ranges, range_blocks;                     /* parts of the pixels, and their blocks */
  int64_t sums_pitch, sums;                                 /* floats: of a filter's sums over a box; of an item's */
  int64_t gradient_pitch;
  bool dense;     /* a filter's weights follow each other */
  float *partial; /* [range][item][sums], if there are several ranges */
  lane *lane;
} learning;

typedef struct item {
  cbn_fast_box box;
  int64_t group, groups, filter, filters;
} item;

static item find_item(const learning *v, int64_t index) {
  const cbn_fast_geometry *g = &v->plan.g;
  item it;
  it.filter = index % v->parts * v->part_filters;
  it.filters = min64(v->part_filters, g->filters - it.filter);
  it.group = index / v->parts % v->chunks * v->chunk_groups;
  it.groups = min64(v->chunk_groups, g->groups - it.group);
  it.box = cbn_fast_plan_box(&v->plan, index / v->parts / v->chunks);
  return it;
}

/* ---------------------------------------------------------------------------------------------------- products */

/* Copies the gradient of a block: rows of pixels one behind the other. */
static void copy_gradient(const learning *v, lane *l, const item *it, int64_t group) {
  const cbn_fast_geometry *g = &v->plan.g;
  const cbn_fast_stage *s = &l->stage;
  const int64_t step = g->axis[2].output_step, columns = s->block.columns;
  const float *gradient = g->gradient + (group * g->filters + it->filter) * g->output_filter_step;
  for (int64_t r = 0, next; r < s->block.rows; r = next) {
    for (next = r + 1; next < s->block.rows && s->row_output[next] - s->row_output[next - 1] == columns * step;) next++;
    const float *from = gradient + s->row_output[r];
    float *to = l->gradient + r * columns;
    if (g->output_filter_step == 1 && step != 1) {
      v->kernels->stage_columns(to, v->gradient_pitch, from, step, (next - r) * columns, it->filters);
      continue;
    }
    for (int64_t f = 0; f < it->filters; f++)
      v->kernels->stage_row(to + f * v->gradient_pitch, from + f * g->output_filter_step, step, (next - r) * columns);
  }
}

/* Transposes a panel: pixels first to first + pixels of the block by up to CBN_NR rows of the matrix from `row` on. */
static void transpose_panel(const learning *v, const lane *l, int64_t row, int64_t rows, int64_t first,
                            int64_t pixels) {
  const cbn_fast_stage *s = &l->stage;
  const int64_t columns = s->block.columns;
  for (int64_t done = 0, length; done < pixels; done += length) {
    const int64_t r = (first + done) / columns, j = (first + done) % columns;
    length = min64(pixels - done, columns - j);
    v->kernels->transpose(l->panel + done * CBN_NR, s->staged + j, s->offset + r * s->box.count + row, rows, length);
  }
}

static void multiply_panels(const learning *v, const lane *l, const item *it, float *sums, bool begins) {
  static const float zeros[CBN_MR] = {0};
  const cbn_fast_stage *s = &l->stage;
  const int64_t total = s->block.rows * s->block.columns;
  cbn_tile_arguments tile = {.lda = v->gradient_pitch, .ka = 1, .b = l->panel, .ldc = v->sums_pitch};
  for (int64_t first = 0; first < total; first += PANEL_PIXELS) {
    tile.k = min64(PANEL_PIXELS, total - first);
    tile.init = begins && first == 0 ? zeros : NULL;
    for (int64_t row = 0; row < s->box.count; row += CBN_NR) {
      const int64_t rows = min64(CBN_NR, s->box.count - row);
      transpose_panel(v, l, row, rows, first, tile.k);
      for (int64_t f = 0; f < it->filters; f += CBN_MR) {
        tile.a = l->gradient + f * v->gradient_pitch + first;
        tile.c = sums + f * v->sums_pitch + row;
        v->kernels->gemm[min64(CBN_MR, it->filters - f) - 1][cut(rows, CBN_VL) - 1](&tile);
      }
    }
  }
}

/* Few filters: products along the pixels, straight from the staged lines. */
static void multiply_rows(const learning *v, const lane *l, const item *it, float *sums, bool begins) {
  const cbn_fast_stage *s = &l->stage;
  if (begins) memset(sums, 0, (size_t)(it->filters * v->sums_pitch) * sizeof *sums);
  const cbn_dot_arguments dot = {.rows = s->block.rows,
                                 .length = s->block.columns,
                                 .a = l->gradient,
                                 .lda = v->gradient_pitch,
                                 .filters = it->filters,
                                 .b = s->staged,
                                 .offset = s->offset,
                                 .count = s->box.count,
                                 .c = sums,
                                 .ldc = v->sums_pitch};
  v->kernels->dot(&dot);
}

/* ------------------------------------------------------------------------------------------------------- items */

/* Copies an item's sums to the weight's gradient. */
static void store(const learning *v, const item *it, const float *sums) {
  const cbn_fast_geometry *g = &v->plan.g;
  const cbn_fast_axis *axis = g->axis;
  const cbn_fast_box *box = &it->box;
  for (int64_t i = 0; i < it->groups * it->filters; i++, sums += v->sums_pitch) {
    const float *from = sums;
    float *filter = g->grad_weight + (it->group + i / it->filters) * g->weight_group_step +
                    (it->filter + i % it->filters) * g->weight_filter_step;
    if (v->dense) {
      memcpy(filter + box->first, from, (size_t)box->count * sizeof *from);
      continue;
    }
    for (int64_t c = box->channel; c < box->channel + box->channels; c++) {
      for (int64_t t = box->line; t < box->line + box->lines; t++) {
        float *row = filter + c * g->weight_channel_step + t / axis[1].kernel * axis[0].weight_step +
                     t % axis[1].kernel * axis[1].weight_step;
        for (int64_t k = box->column; k < box->column + box->columns; k++) row[k * axis[2].weight_step] = *from++;
      }
    }
  }
}

static void run_item(void *context, int thread, int64_t i) {
  const learning *v = context;
  const cbn_fast_plan *p = &v->plan;
  lane *l = &v->lane[thread];
  const item it = find_item(v, i % v->items);
  float *const sums = v->ranges > 1 ? v->partial + i * v->sums : l->sums;
  const int64_t first = i / v->items * v->range_blocks, last = min64(first + v->range_blocks, v->blocks);
  for (int64_t b = first; b < last; b++) {
    const cbn_fast_block block = cbn_fast_plan_block(p, b);
    cbn_fast_stage_prepare(p, &l->stage, block, it.box);
    for (int64_t j = 0; j < it.groups; j++) {
      cbn_fast_stage_fill(p, v->kernels, &l->stage, it.group + j);
      copy_gradient(v, l, &it, it.group + j);
      (p->indirect ? multiply_rows : multiply_panels)(v, l, &it, sums + j * it.filters * v->sums_pitch, b == first);
    }
  }
  if (v->ranges == 1) store(v, &it, sums);
}

/* Adds the ranges' sums of one item. */
static void add_ranges(void *context, int thread, int64_t i) {
  const learning *v = context;
  const item it = find_item(v, i);
  float *const sums = v->partial + i * v->sums;
  (void)thread;
  for (int64_t range = 1; range < v->ranges; range++) {
    const float *more = sums + range * v->items * v->sums;
    for (int64_t f = 0; f < it.groups * it.filters; f++) {
      for (int64_t k = 0; k < it.box.count; k++) sums[f * v->sums_pitch + k] += more[f * v->sums_pitch + k];
    }
  }
  store(v, &it, sums);
}

/* -------------------------------------------------------------------------------------------------------- call */

static void cut_work(learning *v) {
  const cbn_fast_plan *p = &v->plan;
  const cbn_fast_geometry *g = &p->g;
  v->parts = cut(g->filters, CBN_PART_FILTERS);
  v->part_filters = cut(cut(g->filters, v->parts), CBN_MR) * CBN_MR;
  v->parts = cut(g->filters, v->part_filters);
  v->part_filters = min64(v->part_filters, g->filters);
  v->sums_pitch = cut(cbn_fast_plan_box(p, 0).count, CBN_VL) * CBN_VL;
  const int64_t group_sums = v->part_filters * v->sums_pitch, rest = p->boxes * v->parts;
  const int64_t most = max64(1, CBN_MOST_SUMS / group_sums);
  v->chunk_groups = min64(most, cut(g->groups, min64(g->groups, cut(2 * WANTED_ITEMS, rest))));
  v->chunks = cut(g->groups, v->chunk_groups);
  v->items = rest * v->chunks;
  v->sums = v->chunk_groups * group_sums;
  v->blocks = p->row_blocks * p->column_blocks;
  const int64_t wanted = min64(cut(WANTED_ITEMS, v->items), v->blocks);
  v->ranges = max64(1, min64(wanted, cbn_fast_work(g) / CBN_WORK_PER_ITEM));
  v->range_blocks = cut(v->blocks, v->ranges);
  v->ranges = cut(v->blocks, v->range_blocks);
  v->gradient_pitch = cut(p->block_rows * p->block_columns, CBN_VL) * CBN_VL;
}

static int64_t floats(int64_t count) { return cut(count * (int64_t)sizeof(float), 64) * 64; }

static int64_t lane_bytes(const learning *v) {
  return cbn_fast_stage_layout(&v->plan, &(cbn_fast_stage){0}, NULL) + floats(v->part_filters * v->gradient_pitch) +
         floats(PANEL_PIXELS * CBN_NR) + (v->ranges > 1 ? 0 : floats(v->sums)) + cut(sizeof(lane), 64) * 64;
}

static int64_t partial_bytes(const learning *v) { return v->ranges > 1 ? floats(v->ranges * v->items * v->sums) : 0; }

typedef struct progress {
  const cbn_conv_kernels *kernels;
  cbn_call *call;
  int64_t most, lane, partial; /* bytes that the pieces need at most, and what they are made of */
  int threads;
  char *workspace;
} progress;

static void make(learning *v, const progress *r, const cbn_fast_geometry *piece) {
  *v = (learning){.kernels = r->kernels};
  cbn_fast_plan_make(&v->plan, piece);
  cut_work(v);
  v->dense = v->plan.direct_weights && v->plan.weight_k_step == 1;
}

static int threads_for(const progress *r, const learning *v) {
  return cbn_fast_threads(r->call, v->items * v->ranges, cbn_fast_work(&v->plan.g));
}

static void add_needs(void *context, const cbn_fast_geometry *piece) {
  progress *r = context;
  learning v;
  make(&v, r, piece);
  r->lane = max64(r->lane, lane_bytes(&v));
  r->partial = max64(r->partial, partial_bytes(&v));
  const int threads = threads_for(r, &v);
  if (threads > r->threads) r->threads = threads;
}

static void run_piece(void *context, const cbn_fast_geometry *piece) {
  const progress *r = context;
  learning v;
  make(&v, r, piece);
  const int threads = (int)min64(r->threads, threads_for(r, &v));
  char *memory = r->workspace;
  v.partial = cbn_fast_take(&memory, partial_bytes(&v));
  v.lane = cbn_fast_take(&memory, threads * (int64_t)sizeof(lane));
  for (int t = 0; t < threads; t++) {
    lane *l = &v.lane[t];
    *l = (lane){0};
    memory += cbn_fast_stage_layout(&v.plan, &l->stage, memory);
    l->gradient = cbn_fast_take(&memory, floats(v.part_filters * v.gradient_pitch));
    l->panel = cbn_fast_take(&memory, floats(PANEL_PIXELS * CBN_NR));
    l->sums = cbn_fast_take(&memory, v.ranges > 1 ? 0 : floats(v.sums));
  }
  cbn_fast_share(threads, v.items * v.ranges, run_item, &v);
  if (v.ranges > 1) cbn_fast_share(threads, v.items, add_ranges, &v);
}

static void clear(const cbn_tensor *t) {
  float *data = t->data;
  for (int64_t i = 0, n = cbn_tensor_count(t); i < n; i++) data[cbn_tensor_offset(t, i)] = 0;
}

static bool is_empty_sum(const cbn_fast_geometry *g) {
  bool empty = g->batch == 0;
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) empty = empty || g->axis[a].input == 0 || g->axis[a].output == 0;
  return empty;
}

int cbn_fast_grad_weight(const cbn_conv_kernels *kernels, cbn_call *call) {
  cbn_fast_whole whole;
  cbn_fast_whole_of(&whole, call);
  const bool empty = is_empty_sum(&whole.g);
  if (empty || !cbn_fast_pieces_cover(&whole)) clear(call->tensor[CBN_ROLE_GRAD_WEIGHT]);
  if (empty) return CBN_OK;
  progress r = {.kernels = kernels, .call = call};
  cbn_fast_pieces_visit(&whole, add_needs, &r);
  if (r.lane == 0) return CBN_OK;
  r.threads = (int)min64(r.threads, (CBN_FAST_WORKSPACE_LIMIT - r.partial) / r.lane);
  assert(r.threads >= 1);
  r.workspace = cbn_fast_allocate(call, r.partial + r.threads * r.lane);
  if (!r.workspace) return CBN_ERROR;
  cbn_fast_pieces_visit(&whole, run_piece, &r);
  cbn_fast_release(r.workspace);
  return CBN_OK;
}

/* -------------------------------------------------------------------------------------------------------- bias */

/* A tensor's batch and spatial axes, innermost last, neighbours merged where memory allows. */
typedef struct summing {
  const cbn_conv_kernels *kernels;
  const cbn_tensor *from, *to;
  int64_t channels, extent[4], step[4], rows;
  bool columns; /* channels side by side, neighbours of a row not */
  int64_t task_channels, tasks, parts;
  double *partial; /* [part][channel], if there are several parts */
} summing;

static void merge_positions(summing *v) {
  int to = 3;
  for (int i = 0; i < 4; i++) {
    v->extent[i] = 1;
    v->step[i] = 0;
  }
  for (int a = v->from->rank - 1; a >= 0; a--) {
    const int64_t extent = v->from->extent[a], step = v->from->stride[a];
    if (a == 1 || extent == 1) continue;
    if (v->extent[to] == 1 || step == v->extent[to] * v->step[to]) {
      if (v->extent[to] == 1) v->step[to] = step;
      v->extent[to] *= extent;
    } else {
      v->extent[--to] = extent;
      v->step[to] = step;
    }
  }
}

/* One channel's gradient, or some channels' side by side. */
static void sum_task(void *context, int thread, int64_t i) {
  const summing *v = context;
  const int64_t task = i % v->tasks, part = i / v->tasks;
  const int64_t channel = task * v->task_channels, channels = min64(v->task_channels, v->channels - channel);
  const float *from = (const float *)v->from->data + channel * v->from->stride[1];
  double sum[CBN_BIAS_CHANNELS] = {0};
  (void)thread;
  /* A part is some of the rows, or of each row some values: whichever there are many of. */
  const bool cuts_rows = v->rows >= v->parts;
  const int64_t first = cuts_rows ? part * v->rows / v->parts : 0;
  const int64_t last = cuts_rows ? (part + 1) * v->rows / v->parts : v->rows;
  const int64_t begin = cuts_rows ? 0 : part * v->extent[3] / v->parts;
  const int64_t end = cuts_rows ? v->extent[3] : (part + 1) * v->extent[3] / v->parts;
  for (int64_t row = first; row < last; row++) {
    const float *x = from + row % v->extent[2] * v->step[2] + row / v->extent[2] % v->extent[1] * v->step[1] +
                     row / v->extent[2] / v->extent[1] * v->step[0] + begin * v->step[3];
    if (v->columns) v->kernels->sum_columns(sum, x, v->step[3], end - begin, channels);
    else sum[0] += v->kernels->sum_row(x, v->step[3], end - begin);
  }
  for (int64_t c = 0; c < channels; c++) {
    if (v->partial) v->partial[part * v->channels + channel + c] = sum[c];
    else ((float *)v->to->data)[(channel + c) * v->to->stride[0]] = (float)sum[c];
  }
}

/* The sums are in f64 and rounded once. */
int cbn_fast_grad_bias(const cbn_conv_kernels *kernels, cbn_call *call) {
  summing v = {.kernels = kernels, .from = call->tensor[CBN_ROLE_GRAD_OUTPUT], .to = call->tensor[CBN_ROLE_GRAD_BIAS]};
  v.channels = v.from->extent[1];
  merge_positions(&v);
  v.rows = v.extent[0] * v.extent[1] * v.extent[2];
  v.columns = v.from->stride[1] == 1 && v.step[3] != 1;
  v.task_channels = v.columns ? CBN_BIAS_CHANNELS : 1;
  v.tasks = cut(v.channels, v.task_channels);
  const int64_t values = v.rows * v.extent[3];
  v.parts = max64(1, min64(cut(WANTED_ITEMS, v.tasks), values / CBN_BIAS_PART));
  double *const partial = v.parts > 1 ? cbn_fast_allocate(call, v.parts * v.channels * (int64_t)sizeof(double)) : NULL;
  if (v.parts > 1 && !partial) return CBN_ERROR;
  v.partial = partial;
  const int threads = cbn_fast_threads(call, v.tasks * v.parts, cbn_tensor_count(v.from));
  cbn_fast_share(threads, v.tasks * v.parts, sum_task, &v);
  for (int64_t c = 0; c < v.channels && partial; c++) {
    double sum = 0;
    for (int64_t part = 0; part < v.parts; part++) sum += partial[part * v.channels + c];
    ((float *)v.to->data)[c * v.to->stride[0]] = (float)sum;
  }
  cbn_fast_release(partial);
  return CBN_OK;
}
