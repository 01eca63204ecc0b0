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

/* What describes a problem to oneDNN. Its array parameters are declared with their full length. */
typedef struct description {
  dnnl_memory_desc_t input, weight, bias, output;
  dnnl_dims_t stride, dilation, begin, end;
} description;

static bool describe(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t extent, const dnnl_dims_t stride) {
  return dnnl_memory_desc_init_by_strides(md, rank, extent, dnnl_f32, stride) == dnnl_success;
}

/* The extents of a role, as dense row-major memory. */
static bool describe_role(dnnl_memory_desc_t *md, const cbn_conv *conv, int role) {
  int64_t of_role[CBN_MAX_RANK];
  dnnl_dims_t extent = {0}, stride = {0};
  const int rank = cbn_conv_extents(conv, role, of_role);
  for (int a = rank - 1; a >= 0; a--) {
    extent[a] = of_role[a];
    stride[a] = a == rank - 1 ? 1 : stride[a + 1] * extent[a + 1];
  }
  return describe(md, rank, extent, stride);
}

/* Weights are (group, out, in, kernel...) to oneDNN, also those of a transposed convolution, which lie as (group, in,
 * out, kernel...). */
static bool describe_weight(dnnl_memory_desc_t *md, const cbn_conv *c) {
  const int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
  dnnl_dims_t extent = {c->groups, out, in}, stride = {0};
  const int rank = 3 + c->spatial_rank;
  int64_t dense = 1;
  for (int a = rank - 1; a >= 3; a--) {
    extent[a] = c->kernel[a - 3];
    stride[a] = dense;
    dense *= extent[a];
  }
  stride[1] = c->transposed ? dense : dense * in;
  stride[2] = c->transposed ? dense * out : dense;
  stride[0] = dense * in * out;
  const int first = c->groups == 1 ? 1 : 0;
  return describe(md, rank - first, extent + first, stride + first);
}

static bool describe_problem(description *d, const cbn_conv *c) {
  *d = (description){.stride = {0}};
  for (int a = 0; a < c->spatial_rank; a++) {
    d->stride[a] = c->stride[a];
    d->dilation[a] = c->dilation[a] - 1;
    d->begin[a] = c->pad_begin[a];
    d->end[a] = c->pad_end[a] - c->output_padding[a];
  }
  return describe_role(&d->input, c, CBN_ROLE_INPUT) && describe_weight(&d->weight, c) &&
         describe_role(&d->bias, c, CBN_ROLE_BIAS) && describe_role(&d->output, c, CBN_ROLE_OUTPUT);
}

/* The descriptor of a primitive for that direction. A gradient wants the forward one's as a hint. */
static bool describe_primitive(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const description *m, int direction,
                               int transposed, const_dnnl_primitive_desc_t hint) {
  dnnl_convolution_desc_t d;
  dnnl_status_t status;
#define DESCRIBE(KIND, ALGORITHM)                                                                                      \
  (direction == CBN_GRAD_INPUT                                                                                         \
       ? dnnl_dilated_##KIND##_backward_data_desc_init(&d, ALGORITHM, &m->input, &m->weight, &m->output, m->stride,    \
                                                       m->dilation, m->begin, m->end)                                  \
   : direction == CBN_GRAD_WEIGHT                                                                                      \
       ? dnnl_dilated_##KIND##_backward_weights_desc_init(&d, ALGORITHM, &m->input, &m->weight, NULL, &m->output,      \
                                                          m->stride, m->dilation, m->begin, m->end)                    \
       : dnnl_dilated_##KIND##_forward_desc_init(&d, dnnl_forward_training, ALGORITHM, &m->input, &m->weight,          \
                                                 &m->bias, &m->output, m->stride, m->dilation, m->begin, m->end))
  status =
      transposed ? DESCRIBE(deconvolution, dnnl_deconvolution_direct) : DESCRIBE(convolution, dnnl_convolution_direct);
#undef DESCRIBE
  return status == dnnl_success && dnnl_primitive_desc_create(pd, &d, NULL, engine, hint) == dnnl_success;
}

static bool make_primitive(bench_peer *peer, const cbn_conv *c, const description *m) {
  dnnl_primitive_desc_t forward, pd;
  if (!describe_primitive(&forward, peer->engine, m, CBN_FORWARD, c->transposed, NULL)) return false;
  bool made = describe_primitive(&pd, peer->engine, m, c->direction, c->transposed, forward);
  if (made) {
    made = dnnl_primitive_create(&peer->primitive, pd) == dnnl_success;
    dnnl_primitive_desc_destroy(pd);
  }
  dnnl_primitive_desc_destroy(forward);
  return made;
}

static bool create(bench_peer *peer, const cbn_conv *c, const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  description m;
  if (c->direction == CBN_GRAD_BIAS || !describe_problem(&m, c)) return false;
  if (dnnl_engine_create(&peer->engine, dnnl_cpu, 0) != dnnl_success ||
      dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags) != dnnl_success ||
      !make_primitive(peer, c, &m))
    return false;
  const struct {
    int role, argument;
    const dnnl_memory_desc_t *md;
  } arguments[] = {{CBN_ROLE_INPUT, DNNL_ARG_SRC, &m.input},
                   {CBN_ROLE_WEIGHT, DNNL_ARG_WEIGHTS, &m.weight},
                   {CBN_ROLE_BIAS, DNNL_ARG_BIAS, &m.bias},
                   {CBN_ROLE_OUTPUT, DNNL_ARG_DST, &m.output},
                   {CBN_ROLE_GRAD_INPUT, DNNL_ARG_DIFF_SRC, &m.input},
                   {CBN_ROLE_GRAD_WEIGHT, DNNL_ARG_DIFF_WEIGHTS, &m.weight},
                   {CBN_ROLE_GRAD_OUTPUT, DNNL_ARG_DIFF_DST, &m.output}};
  for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
    const cbn_tensor *t = tensor[arguments[i].role];
    if (t && !add_memory(peer, arguments[i].argument, arguments[i].md, t)) return false;
  }
  return true;
}

bench_peer *bench_peer_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  bench_peer_name();
  bench_peer *peer = calloc(1, sizeof *peer);
  if (peer && !create(peer, conv, tensor)) {
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
bench_peer *bench_peer_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  (void)conv, (void)tensor;
  return NULL;
}
bool bench_peer_run(void *peer) {
  (void)peer;
  return false;
}
void bench_peer_close(bench_peer *peer) { (void)peer; }

#endif
