/* fast/convert.c - f16 and bf16 values and tensors to and from f32; a convolution of them by way of one in f32. */
#include "fast/convert.h"

#include "fast/fast.h"
#include "fast/limits.h"
#include "fast/workspace.h"

#include <convbn/operator.h>

#include <string.h>

enum { BUFFER = 256 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* ------------------------------------------------------------------------------------------------------ values */

static cbn_widen_kernel *widen_of(const cbn_convert_kernels *k, int32_t type) {
  return type == CBN_F16 ? k->widen_f16 : k->widen_bf16;
}

static cbn_narrow_kernel *narrow_of(const cbn_convert_kernels *k, int32_t type) {
  return type == CBN_F16 ? k->narrow_f16 : k->narrow_bf16;
}

static void load_floats(float *to, const float *from, int64_t step, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
}

static void store_floats(float *to, int64_t step, const float *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i * step] = from[i];
}

void cbn_fast_load(const cbn_convert_kernels *kernels, int32_t type, float *to, const void *from, int64_t step,
                   int64_t count) {
  if (type == CBN_F32) {
    load_floats(to, from, step, count);
    return;
  }
  const uint16_t *halves = from;
  if (step == 1) {
    widen_of(kernels, type)(to, halves, count);
    return;
  }
  for (int64_t i = 0, run; i < count; i += run) {
    uint16_t buffer[BUFFER];
    run = min64(BUFFER, count - i);
    for (int64_t j = 0; j < run; j++) buffer[j] = halves[(i + j) * step];
    widen_of(kernels, type)(to + i, buffer, run);
  }
}

void cbn_fast_store(const cbn_convert_kernels *kernels, int32_t type, void *to, int64_t step, const float *from,
                    int64_t count) {
  if (type == CBN_F32) {
    store_floats(to, step, from, count);
    return;
  }
  uint16_t *halves = to;
  if (step == 1) {
    narrow_of(kernels, type)(halves, from, count);
    return;
  }
  for (int64_t i = 0, run; i < count; i += run) {
    uint16_t buffer[BUFFER];
    run = min64(BUFFER, count - i);
    narrow_of(kernels, type)(buffer, from + i, run);
    for (int64_t j = 0; j < run; j++) halves[(i + j) * step] = buffer[j];
  }
}

/* ----------------------------------------------------------------------------------------------------- tensors */

/* Two tensors of the same extents; axes from the one along which the f32 tensor runs fastest. */
typedef struct pair {
  const cbn_convert_kernels *kernels;
  const cbn_tensor *narrow, *wide;
  int rank;
  int64_t extent[CBN_MAX_RANK], narrow_step[CBN_MAX_RANK], wide_step[CBN_MAX_RANK];
  int64_t cuts, rows; /* pieces of a row */
  bool widens;
} pair;

static int fastest_axis_left(const cbn_tensor *t, const bool *used) {
  int best = -1;
  for (int a = t->rank - 1; a >= 0; a--) {
    if (!used[a] && (best < 0 || t->stride[a] < t->stride[best])) best = a;
  }
  return best;
}

/* Orders the axes by the strides of `wide`, and merges those that follow each other in both. */
static void order_axes(pair *p) {
  bool used[CBN_MAX_RANK] = {false};
  for (int i = 0; i < p->wide->rank; i++) {
    const int a = fastest_axis_left(p->wide, used);
    const int64_t extent = p->wide->extent[a], narrow = p->narrow->stride[a], wide = p->wide->stride[a];
    used[a] = true;
    if (extent == 1) continue;
    const int last = p->rank - 1;
    if (p->rank > 0 && narrow == p->extent[last] * p->narrow_step[last] &&
        wide == p->extent[last] * p->wide_step[last]) {
      p->extent[last] *= extent;
      continue;
    }
    p->extent[p->rank] = extent;
    p->narrow_step[p->rank] = narrow;
    p->wide_step[p->rank] = wide;
    p->rank++;
  }
  if (p->rank > 0) return;
  p->rank = 1; /* a single element */
  p->extent[0] = p->narrow_step[0] = p->wide_step[0] = 1;
}

static void convert_piece(void *context, int thread, int64_t i) {
  const pair *p = context;
  const int64_t begin = i % p->cuts * CBN_CONVERTED_ROW, count = min64(CBN_CONVERTED_ROW, p->extent[0] - begin);
  int64_t row = i / p->cuts, narrow = begin * p->narrow_step[0], wide = begin * p->wide_step[0];
  (void)thread;
  for (int a = 1; a < p->rank; a++) {
    narrow += row % p->extent[a] * p->narrow_step[a];
    wide += row % p->extent[a] * p->wide_step[a];
    row /= p->extent[a];
  }
  void *const halves = cbn_fast_element(p->narrow->type, p->narrow->data, narrow);
  float *const floats = cbn_fast_element(p->wide->type, p->wide->data, wide);
  if (p->widens) {
    cbn_fast_load(p->kernels, p->narrow->type, floats, halves, p->narrow_step[0], count);
  } else {
    cbn_fast_store(p->kernels, p->narrow->type, halves, p->narrow_step[0], floats, count);
  }
}

/* `wide` is dense, so that its rows are neighbours. */
static void convert(const cbn_convert_kernels *kernels, const cbn_tensor *wide, const cbn_tensor *narrow, bool widens,
                    const cbn_call *call) {
  const int64_t count = cbn_tensor_count(wide);
  if (count == 0) return;
  pair p = {.kernels = kernels, .narrow = narrow, .wide = wide, .widens = widens};
  order_axes(&p);
  p.cuts = p.extent[0] / CBN_CONVERTED_ROW + (p.extent[0] % CBN_CONVERTED_ROW != 0);
  const int64_t pieces = count / p.extent[0] * p.cuts;
  cbn_fast_share(cbn_fast_threads(call, pieces, count), pieces, convert_piece, &p);
}

/* ------------------------------------------------------------------------------------------------- convolution */

/* A tensor of the call and its f32 copy: of some images, or of all of a tensor without a batch axis. */
typedef struct copy {
  const cbn_tensor *original;
  cbn_tensor tensor; /* in f32, dense */
  float *total;      /* where parts of a gradient add up; NULL: there is one part */
  bool written, has_batch;
} copy;

typedef struct conversion {
  const cbn_convert_kernels *kernels;
  cbn_call *call;
  int64_t images; /* of a part */
  copy copy[CBN_ROLE_COUNT];
} conversion;

static bool is_written(int role) {
  return role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_INPUT || role == CBN_ROLE_GRAD_WEIGHT ||
         role == CBN_ROLE_GRAD_BIAS;
}

static bool has_batch(int role) {
  return role == CBN_ROLE_INPUT || role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_INPUT ||
         role == CBN_ROLE_GRAD_OUTPUT;
}

static int64_t bytes_of(const cbn_tensor *t) { return (cbn_tensor_bytes(t) + 63) / 64 * 64; }

/* The copy's extents and strides, for `images` images. Where the channels lie side by side they stay so. */
static void describe_copy(copy *c, int64_t images) {
  const cbn_tensor *t = c->original;
  int64_t extent[CBN_MAX_RANK];
  memcpy(extent, t->extent, sizeof extent);
  if (c->has_batch) extent[0] = images;
  const bool last = c->has_batch && t->stride[1] == 1;
  /* Cannot fail: the call is valid with more images, and in f64. */
  cbn_tensor_describe(&c->tensor, CBN_F32, t->rank, extent, last ? CBN_CHANNELS_LAST : CBN_CONTIGUOUS);
}

/* Bytes for parts of that many images. */
static int64_t layout(conversion *v, int64_t images, char *memory) {
  const bool parts = images < v->call->conv->batch;
  int64_t bytes = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    copy *c = &v->copy[role];
    if (!c->original) continue;
    describe_copy(c, images);
    const int64_t size = bytes_of(&c->tensor);
    if (memory) c->tensor.data = memory + bytes;
    bytes += size;
    if (!c->written || c->has_batch || !parts) continue;
    if (memory) c->total = (float *)(memory + bytes);
    bytes += size;
  }
  return bytes;
}

/* As many images as fit the limit, at least one; parts of about the same size. */
static int64_t choose_images(conversion *v) {
  const int64_t batch = v->call->conv->batch;
  if (batch <= 1 || layout(v, batch, NULL) <= CBN_CONVERTED_BYTES) return batch;
  const int64_t one = layout(v, 1, NULL), two = layout(v, 2, NULL);
  const int64_t each = max64(1, batch > 2 ? two - one : one);
  const int64_t most = max64(1, 1 + (CBN_CONVERTED_BYTES - one) / each);
  const int64_t parts = batch / most + (batch % most != 0);
  return batch / parts + (batch % parts != 0);
}

/* The part of a tensor of the call that images first to first + count are. */
static cbn_tensor part_of(const copy *c, int64_t first) {
  cbn_tensor t = *c->original;
  if (!c->has_batch) return t;
  t.extent[0] = c->tensor.extent[0];
  if (t.data) t.data = cbn_fast_element(t.type, t.data, first * t.stride[0]);
  return t;
}

static void add_to_total(const copy *c) {
  const float *part = c->tensor.data;
  for (int64_t i = 0, n = cbn_tensor_count(&c->tensor); i < n; i++) c->total[i] += part[i];
}

static int run_part(conversion *v, int64_t first, int64_t count, cbn_fast_run *run, const void *context) {
  cbn_conv conv = *v->call->conv;
  cbn_call call = *v->call;
  conv.batch = count;
  call.conv = &conv;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    copy *c = &v->copy[role];
    if (!c->original) continue;
    void *const data = c->tensor.data;
    describe_copy(c, count);
    c->tensor.data = data;
    call.tensor[role] = &c->tensor;
    const cbn_tensor part = part_of(c, first);
    if (!c->written && (c->has_batch || first == 0)) convert(v->kernels, &c->tensor, &part, true, &call);
  }
  const int status = run(context, &call);
  for (int role = 0; role < CBN_ROLE_COUNT && status == CBN_OK; role++) {
    const copy *c = &v->copy[role];
    if (!c->written) continue;
    const cbn_tensor part = part_of(c, first);
    if (c->total) {
      add_to_total(c);
    } else {
      convert(v->kernels, &c->tensor, &part, false, &call);
    }
  }
  return status;
}

static void store_totals(const conversion *v) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const copy *c = &v->copy[role];
    if (!c->total) continue;
    cbn_tensor total = c->tensor;
    total.data = c->total;
    convert(v->kernels, &total, c->original, false, v->call);
  }
}

int cbn_fast_conv_converted(const cbn_convert_kernels *kernels, cbn_call *call, cbn_fast_run *run,
                            const void *context) {
  conversion v = {.kernels = kernels, .call = call};
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    v.copy[role] = (copy){.original = call->tensor[role],
                          .written = call->tensor[role] && is_written(role),
                          .has_batch = has_batch(role)};
  v.images = choose_images(&v);
  const int64_t bytes = layout(&v, v.images, NULL);
  char *const memory = cbn_fast_allocate(call, bytes);
  if (!memory) return CBN_ERROR;
  layout(&v, v.images, memory);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (v.copy[role].total) memset(v.copy[role].total, 0, (size_t)bytes_of(&v.copy[role].tensor));
  }
  int status;
  int64_t first = 0;
  do {
    const int64_t count = min64(v.images, call->conv->batch - first);
    status = run_part(&v, first, count, run, context);
    first += count;
  } while (status == CBN_OK && first < call->conv->batch);
  if (status == CBN_OK) store_totals(&v);
  cbn_fast_release(memory);
  return status;
}
