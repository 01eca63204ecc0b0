/* bench/onednn.c - the C interface of oneDNN 2. */
#define _POSIX_C_SOURCE 200809L
#include "bench/onednn.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(CBN_HAVE_ONEDNN)
#include <oneapi/dnnl/dnnl.h>
#if DNNL_VERSION_MAJOR != 2
#undef CBN_HAVE_ONEDNN
#endif
#endif

#if defined(CBN_HAVE_ONEDNN)

struct bench_peer {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_t primitive;
  dnnl_exec_arg_t argument[4];
  int arguments;
};

const char *bench_peer_name(void) {
  static char name[32]; /* written once, before anything runs */
  if (name[0] == '\0') {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
  }
  return name;
}

static bool add_memory(bench_peer *peer, int role, const dnnl_memory_desc_t *md, const cbn_tensor *t) {
  dnnl_exec_arg_t *a = &peer->argument[peer->arguments];
  a->arg = role;
  if (dnnl_memory_create(&a->memory, md, peer->engine, t->data) != dnnl_success) return false;
  peer->arguments++;
  return true;
}

/* oneDNN's array parameters are declared with their full length. */
static void widen(dnnl_dims_t to, const int64_t *from, int count) {
  for (int i = 0; i < DNNL_MAX_NDIMS; i++) to[i] = i < count ? from[i] : 0;
}

static bool describe(dnnl_memory_desc_t *md, const cbn_tensor *t, dnnl_format_tag_t tag) {
  dnnl_dims_t extent;
  widen(extent, t->extent, t->rank);
  return dnnl_memory_desc_init_by_tag(md, t->rank, extent, dnnl_f32, tag) == dnnl_success;
}

/* Weights get an axis of their own for the groups. */
static bool describe_weight(dnnl_memory_desc_t *md, const cbn_conv *conv, const cbn_tensor *t) {
  if (conv->groups == 1) return describe(md, t, dnnl_abcd);
  const dnnl_dims_t extent = {conv->groups, t->extent[0] / conv->groups, t->extent[1], t->extent[2], t->extent[3]};
  return dnnl_memory_desc_init_by_tag(md, 5, extent, dnnl_f32, dnnl_abcde) == dnnl_success;
}

static bool create(bench_peer *peer, const cbn_conv *c, const cbn_tensor *x, const cbn_tensor *w, const cbn_tensor *b,
                   const cbn_tensor *y) {
  dnnl_memory_desc_t mx, mw, mb, my;
  dnnl_convolution_desc_t d;
  dnnl_primitive_desc_t pd;
  const dnnl_dims_t dilation = {c->dilation[0] - 1, c->dilation[1] - 1};
  dnnl_dims_t stride, begin, end;
  widen(stride, c->stride, 2);
  widen(begin, c->pad_begin, 2);
  widen(end, c->pad_end, 2);
  if (!describe(&mx, x, dnnl_abcd) || !describe_weight(&mw, c, w) || !describe(&mb, b, dnnl_a) ||
      !describe(&my, y, dnnl_abcd))
    return false;
  if (dnnl_engine_create(&peer->engine, dnnl_cpu, 0) != dnnl_success ||
      dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags) != dnnl_success ||
      dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_inference, dnnl_convolution_direct, &mx, &mw, &mb,
                                                 &my, stride, dilation, begin, end) != dnnl_success ||
      dnnl_primitive_desc_create(&pd, &d, NULL, peer->engine, NULL) != dnnl_success)
    return false;
  const bool made = dnnl_primitive_create(&peer->primitive, pd) == dnnl_success;
  dnnl_primitive_desc_destroy(pd);
  return made && add_memory(peer, DNNL_ARG_SRC, &mx, x) && add_memory(peer, DNNL_ARG_WEIGHTS, &mw, w) &&
         add_memory(peer, DNNL_ARG_BIAS, &mb, b) && add_memory(peer, DNNL_ARG_DST, &my, y);
}

bench_peer *bench_peer_conv(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                            const cbn_tensor *bias, const cbn_tensor *output) {
  bench_peer_name();
  bench_peer *peer = calloc(1, sizeof *peer);
  if (peer && !create(peer, conv, input, weight, bias, output)) {
    bench_peer_close(peer);
    peer = NULL;
  }
  return peer;
}

bool bench_peer_run(void *context) {
  bench_peer *peer = context;
  return dnnl_primitive_execute(peer->primitive, peer->stream, peer->arguments, peer->argument) == dnnl_success &&
         dnnl_stream_wait(peer->stream) == dnnl_success;
}

void bench_peer_close(bench_peer *peer) {
  if (!peer) return;
  for (int i = 0; i < peer->arguments; i++) dnnl_memory_destroy(peer->argument[i].memory);
  if (peer->primitive) dnnl_primitive_destroy(peer->primitive);
  if (peer->stream) dnnl_stream_destroy(peer->stream);
  if (peer->engine) dnnl_engine_destroy(peer->engine);
  free(peer);
}

#else

const char *bench_peer_name(void) { return NULL; }
bench_peer *bench_peer_conv(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                            const cbn_tensor *bias, const cbn_tensor *output) {
  (void)conv, (void)input, (void)weight, (void)bias, (void)output;
  return NULL;
}
bool bench_peer_run(void *peer) {
  (void)peer;
  return false;
}
void bench_peer_close(bench_peer *peer) { (void)peer; }

#endif
