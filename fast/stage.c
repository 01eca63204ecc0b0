/* fast/stage.c - lines, streams, offsets. */
#include "fast/stage.h"

#include <assert.h>
#include <string.h>

/* Vector loads run past the last pixel; what they find is never stored. */
enum { SLACK = CBN_NR + CBN_VL };

static int64_t take(char *memory, int64_t *at, void *pointer, int64_t count, size_t size) {
  if (memory) {
    char *p = memory + *at;
    memcpy(pointer, &p, sizeof p);
  }
  *at += (count * (int64_t)size + 63) / 64 * 64;
  return *at;
}

/* Boxes differ in size only by what is left over, so the first is the largest. */
int64_t cbn_fast_stage_layout(const cbn_fast_plan *p, cbn_fast_stage *s, char *memory) {
  const cbn_fast_box box = cbn_fast_plan_box(p, 0);
  const cbn_fast_streams streams = cbn_fast_plan_streams(p, box.columns);
  /* A smaller box may have to stage tap by tap what a larger one shares, but never more than tap by tap. */
  const int64_t pitch = box.columns * p->block_columns > streams.count * streams.length
                            ? box.columns * p->block_columns
                            : streams.count * streams.length;
  const int64_t lines = p->block_rows * box.lines;
  int64_t at = 0;
  take(memory, &at, &s->staged, box.channels * lines * pitch + SLACK, sizeof *s->staged);
  take(memory, &at, &s->panel, box.count * CBN_NR + SLACK, sizeof *s->panel);
  take(memory, &at, &s->weights, p->pack_weights || p->direct_weights ? 0 : box.count * CBN_MR, sizeof *s->weights);
  take(memory, &at, &s->row, p->g.filters == 1 && p->g.axis[2].output_step != 1 ? p->block_columns : 0, sizeof *s->row);
  take(memory, &at, &s->line, lines, sizeof *s->line);
  take(memory, &at, &s->slot, lines, sizeof *s->slot);
  take(memory, &at, &s->offset, p->block_rows * box.count, sizeof *s->offset);
  take(memory, &at, &s->column, pitch, sizeof *s->column);
  take(memory, &at, &s->row_output, p->block_rows, sizeof *s->row_output);
  return at;
}

/* Where the input line of that output row and kernel row begins, or -1. */
static int64_t find_line(const cbn_fast_plan *p, const int64_t position[3], int64_t kernel_line) {
  const cbn_fast_geometry *g = &p->g;
  const int64_t tap[2] = {kernel_line / g->axis[1].kernel, kernel_line % g->axis[1].kernel};
  int64_t offset = position[0] * g->input_batch_step;
  for (int a = 0; a < 2; a++) {
    const cbn_fast_axis *axis = &g->axis[a];
    const int64_t x = position[1 + a] * axis->stride + tap[a] * axis->dilation - axis->pad;
    const int64_t source = cbn_fast_source(g->padding_mode, axis->input, x);
    if (source < 0) return -1;
    offset += source * axis->input_step;
  }
  return offset;
}

/* Output row r reads at kernel row (kd, kh) what row r - back of the same plane reads at (kd, kh + shift), since
 * (h - back) * stride + (kh + shift) * dilation = h * stride + kh * dilation. */
static int64_t earlier_slot(const cbn_fast_plan *p, const cbn_fast_stage *s, int64_t r, int64_t h, int64_t t) {
  const int64_t kernel = p->g.axis[1].kernel, kernel_row = s->box.line + t;
  if (p->back > r || p->back > h || p->shift >= kernel - kernel_row % kernel || p->shift >= s->box.lines - t) return -1;
  return s->slot[(r - p->back) * s->box.lines + t + p->shift];
}

static void find_lines(const cbn_fast_plan *p, cbn_fast_stage *s) {
  const cbn_fast_geometry *g = &p->g;
  const int64_t depth = g->axis[0].output, height = g->axis[1].output;
  s->lines = 0;
  for (int64_t r = 0; r < s->block.rows; r++) {
    const int64_t row = s->block.row + r;
    const int64_t position[3] = {row / height / depth, row / height % depth, row % height};
    s->row_output[r] = position[0] * g->output_batch_step + position[1] * g->axis[0].output_step +
                       position[2] * g->axis[1].output_step + s->block.column * g->axis[2].output_step;
    for (int64_t t = 0; t < s->box.lines; t++) {
      int64_t slot = earlier_slot(p, s, r, position[2], t);
      if (slot < 0) {
        slot = s->lines++;
        s->line[slot] = find_line(p, position, s->box.line + t);
      }
      s->slot[r * s->box.lines + t] = (int32_t)slot;
    }
  }
}

/* The input coordinate of a stream's first element. */
static int64_t stream_start(const cbn_fast_plan *p, const cbn_fast_stage *s, int64_t stream) {
  const cbn_fast_axis *w = &p->g.axis[2];
  return s->block.column * w->stride + s->box.column * w->dilation + stream * s->streams.spacing - w->pad;
}

typedef struct interior {
  int64_t begin, end; /* elements of a stream that lie in the input */
} interior;

static interior stream_interior(const cbn_fast_plan *p, const cbn_fast_stage *s, int64_t start) {
  const cbn_fast_axis *w = &p->g.axis[2];
  interior in = {0, s->streams.length};
  if (start < 0) in.begin = (-start - 1) / w->stride + 1;
  const int64_t inside = start < w->input ? (w->input - 1 - start) / w->stride + 1 : 0;
  if (inside < in.end) in.end = inside;
  if (in.begin >= in.end) in = (interior){s->streams.length, s->streams.length};
  return in;
}

static void find_columns(const cbn_fast_plan *p, cbn_fast_stage *s) {
  const cbn_fast_axis *w = &p->g.axis[2];
  for (int64_t q = 0; q < s->streams.count; q++) {
    const int64_t start = stream_start(p, s, q);
    const interior in = stream_interior(p, s, start);
    int64_t *column = s->column + q * s->streams.length;
    for (int64_t j = 0; j < s->streams.length; j++) {
      if (j == in.begin) j = in.end;
      if (j < s->streams.length) column[j] = cbn_fast_source(p->g.padding_mode, w->input, start + j * w->stride);
    }
  }
}

static void find_offsets(const cbn_fast_plan *p, cbn_fast_stage *s) {
  const cbn_fast_axis *w = &p->g.axis[2];
  int32_t tap[CBN_KC]; /* where in a line a tap's pixels begin */
  for (int64_t k = 0; k < s->box.columns; k++) {
    const int64_t x = k * w->dilation;
    tap[k] = (int32_t)(s->streams.shared ? x % w->stride / s->streams.spacing * s->streams.length + x / w->stride
                                         : k * s->streams.length);
  }
  int32_t *offset = s->offset;
  for (int64_t r = 0; r < s->block.rows; r++) {
    const int32_t *slot = s->slot + r * s->box.lines;
    for (int64_t c = 0; c < s->box.channels; c++) {
      for (int64_t t = 0; t < s->box.lines; t++) {
        const int32_t line = (int32_t)(c * s->channel_pitch + slot[t] * s->line_pitch);
        for (int64_t k = 0; k < s->box.columns; k++) *offset++ = line + tap[k];
      }
    }
  }
}

static bool same_tables(const cbn_fast_stage *s, const cbn_fast_block *block, const cbn_fast_box *box) {
  return s->ready && s->block.row == block->row && s->block.column == block->column && s->box.first == box->first;
}

void cbn_fast_stage_prepare(const cbn_fast_plan *p, cbn_fast_stage *s, cbn_fast_block block, cbn_fast_box box) {
  if (same_tables(s, &block, &box)) return;
  assert(box.columns <= CBN_KC);
  s->block = block;
  s->box = box;
  s->streams = cbn_fast_plan_streams(p, box.columns);
  s->line_pitch = s->streams.count * s->streams.length;
  find_lines(p, s);
  s->channel_pitch = s->lines * s->line_pitch;
  assert(s->box.channels * s->channel_pitch <= INT32_MAX);
  find_columns(p, s);
  find_offsets(p, s);
  s->ready = true;
}

/* What lies outside the interior of one stream of one line, element by element. */
static void fill_padding(const cbn_fast_plan *p, const cbn_fast_stage *s, float *to, const float *line,
                         const int64_t *column, interior in) {
  const int64_t step = p->g.axis[2].input_step, channel_step = p->g.input_channel_step;
  for (int64_t j = 0; j < s->streams.length; j++) {
    if (j == in.begin) j = in.end;
    if (j == s->streams.length) break;
    for (int64_t c = 0; c < s->box.channels; c++)
      to[c * s->channel_pitch + j] = column[j] < 0 ? 0.0f : line[c * channel_step + column[j] * step];
  }
}

/* The interior of one stream: whole channels side by side, or row by row. */
static void fill_interior(const cbn_fast_plan *p, const cbn_conv_kernels *kernels, const cbn_fast_stage *s, float *to,
                          const float *from, int64_t count) {
  const int64_t step = p->g.axis[2].input_step * p->g.axis[2].stride, channel_step = p->g.input_channel_step;
  if (channel_step == 1 && step != 1) {
    kernels->stage_columns(to, s->channel_pitch, from, step, count, s->box.channels);
    return;
  }
  for (int64_t c = 0; c < s->box.channels; c++)
    kernels->stage_row(to + c * s->channel_pitch, from + c * channel_step, step, count);
}

static void fill_zeros(const cbn_fast_stage *s, float *to) {
  for (int64_t c = 0; c < s->box.channels; c++)
    memset(to + c * s->channel_pitch, 0, (size_t)s->streams.length * sizeof *to);
}

void cbn_fast_stage_fill(const cbn_fast_plan *p, const cbn_conv_kernels *kernels, cbn_fast_stage *s, int64_t group) {
  const cbn_fast_axis *w = &p->g.axis[2];
  if (s->box.channels == 0) return;
  const float *input = p->g.input + (group * p->g.channels + s->box.channel) * p->g.input_channel_step;
  for (int64_t q = 0; q < s->streams.count; q++) {
    const int64_t start = stream_start(p, s, q);
    const interior in = stream_interior(p, s, start);
    /* Only of an interior: elsewhere the product may be anything. */
    const int64_t from = in.begin < in.end ? (start + in.begin * w->stride) * w->input_step : 0;
    float *to = s->staged + q * s->streams.length;
    for (int64_t l = 0; l < s->lines; l++, to += s->line_pitch) {
      if (s->line[l] < 0) {
        fill_zeros(s, to);
        continue;
      }
      const float *line = input + s->line[l];
      if (in.begin < in.end) fill_interior(p, kernels, s, to + in.begin, line + from, in.end - in.begin);
      fill_padding(p, s, to, line, s->column + q * s->streams.length, in);
    }
  }
  memset(s->staged + s->box.channels * s->channel_pitch, 0, SLACK * sizeof *s->staged);
}
