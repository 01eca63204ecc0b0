/* fast/plan.c - the cuts. */
#include "fast/plan.h"

enum { WANTED_ITEMS = 16 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t cut(int64_t whole, int64_t piece) { return whole / piece + (whole % piece != 0); }

static int64_t gcd(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* Pieces of `whole`, at most `limit` long, as many as that takes, and of about one length. */
static int64_t even_piece(int64_t whole, int64_t limit) {
  return whole == 0 ? 1 : cut(whole, cut(whole, max64(limit, 1)));
}

static void cut_reduction(cbn_fast_plan *p) {
  const int64_t columns = p->g.axis[2].kernel, lines = p->kernel_lines;
  p->box_channels = 1;
  p->box_lines = 1;
  p->box_columns = columns;
  if (columns > CBN_KC) {
    p->box_columns = even_piece(columns, CBN_KC);
  } else if (lines > CBN_KC / columns) {
    p->box_lines = even_piece(lines, CBN_KC / columns);
  } else {
    p->box_lines = lines;
    p->box_channels = even_piece(p->g.channels, CBN_KC / (lines * columns));
  }
  /* An empty sum is one empty box, which writes the bias. */
  p->boxes = max64(1, cut(p->g.channels, p->box_channels) * cut(lines, p->box_lines) * cut(columns, p->box_columns));
}

cbn_fast_box cbn_fast_plan_box(const cbn_fast_plan *p, int64_t index) {
  const int64_t kernel = p->g.axis[2].kernel;
  const int64_t column_boxes = cut(kernel, p->box_columns), line_boxes = cut(p->kernel_lines, p->box_lines);
  cbn_fast_box box;
  box.column = index % column_boxes * p->box_columns;
  box.columns = min64(p->box_columns, kernel - box.column);
  box.line = index / column_boxes % line_boxes * p->box_lines;
  box.lines = min64(p->box_lines, p->kernel_lines - box.line);
  box.channel = index / column_boxes / line_boxes * p->box_channels;
  box.channels = min64(p->box_channels, p->g.channels - box.channel);
  box.first = (box.channel * p->kernel_lines + box.line) * kernel + box.column;
  box.count = box.channels * box.lines * box.columns;
  return box;
}

cbn_fast_block cbn_fast_plan_block(const cbn_fast_plan *p, int64_t index) {
  cbn_fast_block block = {.row = index / p->column_blocks * p->block_rows,
                          .column = index % p->column_blocks * p->block_columns};
  block.rows = min64(p->block_rows, p->rows - block.row);
  block.columns = min64(p->block_columns, p->g.axis[2].output - block.column);
  return block;
}

/* Rows of a block: at most `most`, not much fewer, and such that little of the last vector stays empty. */
static int64_t choose_rows(int64_t rows, int64_t columns, int64_t most) {
  if (rows <= most) return max64(rows, 1);
  int64_t best = most, best_cost = INT64_MAX;
  for (int64_t r = most; r >= 1 && r >= most / 2; r--) {
    const int64_t cost = rows / r * cut(r * columns, CBN_VL) + cut(rows % r * columns, CBN_VL);
    if (cost < best_cost) {
      best = r;
      best_cost = cost;
    }
  }
  return best;
}

/* A block is some columns of one row, or some whole rows. In place of a panel's fixed cost, igemm has a fixed cost for
 * each block, so its blocks are larger. */
static void cut_pixels(cbn_fast_plan *p) {
  const int64_t columns = p->g.axis[2].output;
  int64_t pixels = CBN_NC;
  if (p->indirect) {
    const int64_t depth = max64(1, cbn_fast_plan_box(p, 0).count);
    pixels = max64(CBN_NC, min64(CBN_INDIRECT_PIXELS, CBN_STAGED / depth) / CBN_NR * CBN_NR);
  }
  p->rows = p->g.batch * p->g.axis[0].output * p->g.axis[1].output;
  p->block_columns = min64(columns, cut(even_piece(columns, pixels), CBN_NR) * CBN_NR);
  p->block_rows = p->block_columns < columns ? 1 : choose_rows(p->rows, columns, max64(1, pixels / max64(1, columns)));
  p->row_blocks = cut(p->rows, p->block_rows);
  p->column_blocks = columns == 0 ? 0 : cut(columns, p->block_columns);
}

cbn_fast_streams cbn_fast_plan_streams(const cbn_fast_plan *p, int64_t kernel_columns) {
  const cbn_fast_axis *w = &p->g.axis[2];
  const int64_t divisor = gcd(w->stride, w->dilation), residues = w->stride / divisor;
  const int64_t reach = (kernel_columns - 1) * w->dilation / w->stride;
  /* Fewer taps than residues: each tap has a residue of its own, and sharing has nothing to share. */
  if (kernel_columns >= residues && reach <= CBN_STAGED &&
      residues * (p->block_columns + reach) <= kernel_columns * p->block_columns)
    return (cbn_fast_streams){true, residues, p->block_columns + reach, divisor};
  return (cbn_fast_streams){false, kernel_columns, p->block_columns, w->dilation};
}

/* Enough pieces of work for a few threads, by the shape alone: first pixels, then groups, then parts of the filters. */
static void cut_work(cbn_fast_plan *p) {
  const int64_t blocks = p->row_blocks * p->column_blocks;
  const int64_t wanted = blocks == 0 ? 1 : cut(WANTED_ITEMS, blocks);
  p->chunk_groups = cut(p->g.groups, min64(p->g.groups, 2 * wanted));
  p->chunks = cut(p->g.groups, p->chunk_groups);
  const int64_t parts = max64(1, min64(p->g.filters / CBN_PART_FILTERS, cut(wanted, p->chunks)));
  p->part_filters = max64(CBN_MR, cut(cut(p->g.filters, parts), CBN_MR) * CBN_MR);
  p->parts = p->g.filters == 0 ? 0 : cut(p->g.filters, p->part_filters);
  p->items = blocks * p->chunks * p->parts;
}

/* One step leads from each weight of a filter to the next, in the order of the reduction. */
static bool find_weight_step(cbn_fast_plan *p) {
  int64_t step = 0, span = 1;
  for (int a = CBN_MAX_SPATIAL - 1; a >= -1; a--) {
    const int64_t extent = a >= 0 ? p->g.axis[a].kernel : p->g.channels;
    const int64_t stride = a >= 0 ? p->g.axis[a].weight_step : p->g.weight_channel_step;
    if (extent <= 1) continue;
    if (span == 1) step = stride;
    if (stride != step * span) return false;
    span *= extent;
  }
  p->weight_k_step = step;
  return true;
}

/* A filter's weights that follow each other are what the kernels want: four streams, each read forwards. Measured, a
 * packed copy of them is no faster; other strides are packed. */
static void choose_weights(cbn_fast_plan *p) {
  const bool dense = find_weight_step(p);
  p->panels = cut(p->g.filters, CBN_MR);
  /* Divided, since padded panels may not fit 64 bits where filters do. */
  const int64_t limit = CBN_PACKED_WEIGHTS / CBN_MR / max64(1, p->reduction) / max64(1, p->panels);
  const bool fits = p->g.groups <= limit;
  p->pack_weights = fits && !dense;
  p->direct_weights = dense && !p->pack_weights;
  p->packed_weights = p->pack_weights ? p->g.groups * p->panels * CBN_MR * p->reduction : 0;
}

/* One tap and long rows: the staged lines are the matrix. */
static bool is_matrix(const cbn_fast_geometry *g) {
  return g->axis[0].kernel == 1 && g->axis[1].kernel == 1 && g->axis[2].kernel == 1 && g->axis[2].output >= 2 * CBN_NR;
}

void cbn_fast_plan_make(cbn_fast_plan *p, const cbn_fast_geometry *piece) {
  p->g = *piece;
  const cbn_fast_axis *h = &p->g.axis[1];
  p->kernel_lines = p->g.axis[0].kernel * h->kernel;
  p->reduction = p->g.channels * p->kernel_lines * p->g.axis[2].kernel;
  p->indirect = p->g.filters <= CBN_INDIRECT_FILTERS || (!p->g.grad_weight && is_matrix(&p->g));
  p->back = h->dilation / gcd(h->stride, h->dilation);
  p->shift = h->stride / gcd(h->stride, h->dilation);
  cut_reduction(p);
  cut_pixels(p);
  cut_work(p);
  choose_weights(p);
}
