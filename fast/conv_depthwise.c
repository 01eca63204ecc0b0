/* fast/conv_depthwise.c - one channel and one filter a group, channels side by side: vectors run along the channels,
 * and nothing is staged. Taps on padding read a row of zeros, so that they multiply by zero as they do elsewhere. */
#include "fast/conv.h"
#include "fast/fast.h"
#include "fast/workspace.h"

#include <assert.h>

enum { MOST_TAPS = 1024, LEAST_GROUPS = 8 };

typedef struct depthwise {
  const cbn_conv_kernels *kernels;
  const cbn_fast_geometry *g;
  int64_t lines, taps;
  float *weight; /* [tap][group] */
  float *bias, *zeros;
} depthwise;

static bool applies(const cbn_fast_geometry *g, int64_t *lines, int64_t *taps) {
  if (g->channels != 1 || g->filters != 1 || g->accumulates || g->groups < LEAST_GROUPS || g->input_channel_step != 1 ||
      g->output_filter_step != 1)
    return false;
  /* Each factor alone, since their product may be anything. */
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    if (g->axis[a].kernel > MOST_TAPS) return false;
  }
  *lines = g->axis[0].kernel * g->axis[1].kernel;
  *taps = *lines * g->axis[2].kernel;
  return *taps <= MOST_TAPS && g->groups <= CBN_FAST_WORKSPACE_LIMIT / 2 / (int64_t)sizeof(float) / (*taps + 2);
}

static void pack(const depthwise *v) {
  const cbn_fast_axis *axis = v->g->axis;
  for (int64_t t = 0; t < v->taps; t++) {
    const int64_t line = t / axis[2].kernel;
    const float *weight = v->g->weight + line / axis[1].kernel * axis[0].weight_step +
                          line % axis[1].kernel * axis[1].weight_step + t % axis[2].kernel * axis[2].weight_step;
    for (int64_t c = 0; c < v->g->groups; c++) v->weight[t * v->g->groups + c] = weight[c * v->g->weight_group_step];
  }
  for (int64_t c = 0; c < v->g->groups; c++) {
    v->bias[c] = v->g->bias ? v->g->bias[c * v->g->bias_step] : 0.0f;
    v->zeros[c] = 0;
  }
}

/* The input coordinate's offset along an axis, or -1 on a zero. */
static int64_t along(const depthwise *v, int a, int64_t output, int64_t tap, bool *zero) {
  const cbn_fast_axis *axis = &v->g->axis[a];
  const int64_t x = output * axis->stride + tap * axis->dilation - axis->pad;
  const int64_t source = cbn_fast_source(v->g->padding_mode, axis->input, x);
  if (source < 0) *zero = true;
  return source * axis->input_step;
}

/* One row of output pixels. */
static void run_row(void *context, int thread, int64_t row) {
  const depthwise *v = context;
  const cbn_fast_axis *axis = v->g->axis;
  const float *line[MOST_TAPS], *tap[MOST_TAPS];
  const int64_t h = row % axis[1].output, d = row / axis[1].output % axis[0].output;
  const int64_t n = row / axis[1].output / axis[0].output;
  (void)thread;
  for (int64_t l = 0; l < v->lines; l++) {
    bool zero = false;
    const int64_t offset = along(v, 0, d, l / axis[1].kernel, &zero) + along(v, 1, h, l % axis[1].kernel, &zero);
    line[l] = zero ? NULL : v->g->input + n * v->g->input_batch_step + offset;
  }
  float *output = v->g->output + n * v->g->output_batch_step + d * axis[0].output_step + h * axis[1].output_step;
  for (int64_t w = 0; w < axis[2].output; w++, output += axis[2].output_step) {
    for (int64_t k = 0; k < axis[2].kernel; k++) {
      bool zero = false;
      const int64_t offset = along(v, 2, w, k, &zero);
      for (int64_t l = 0; l < v->lines; l++)
        tap[l * axis[2].kernel + k] = zero || !line[l] ? v->zeros : line[l] + offset;
    }
    v->kernels->depthwise(output, tap, v->taps, v->weight, v->bias, v->g->groups);
  }
}

int64_t cbn_fast_depthwise_bytes(const cbn_fast_geometry *g) {
  int64_t lines, taps;
  return applies(g, &lines, &taps) ? (taps + 2) * g->groups * (int64_t)sizeof(float) : 0;
}

void cbn_fast_depthwise(const cbn_conv_kernels *kernels, const cbn_fast_geometry *g, const cbn_call *call,
                        void *workspace) {
  depthwise v = {.kernels = kernels, .g = g, .weight = workspace};
  const bool depthwise_piece = applies(g, &v.lines, &v.taps);
  assert(depthwise_piece);
  v.bias = v.weight + v.taps * g->groups;
  v.zeros = v.bias + g->groups;
  pack(&v);
  const int64_t rows = g->batch * g->axis[0].output * g->axis[1].output;
  cbn_fast_share(cbn_fast_threads(call, rows, cbn_fast_work(g)), rows, run_row, &v);
}
