/* bench/main.c - convbn-bench: how much of the core fast/ uses, on the shapes of bench/shapes.h. */
#define _POSIX_C_SOURCE 200809L
#include "bench/measure.h"
#include "bench/onednn.h"
#include "bench/shapes.h"
#include "fast/fast.h"

#include <convbn/fill.h>
#include <convbn/operator.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

static const char usage[] =
    "usage: convbn-bench [options]\n"
    "Measures the fast engine and, where the build has it, oneDNN (AVX2, plain NCHW, primitive created beforehand).\n"
    "\n"
    "  --shape TEXT     only shapes whose name contains TEXT\n"
    "  --pass TEXT      only passes whose name contains TEXT: forward, grad_input, grad_weight, grad_bias, train,\n"
    "                   eval; without it, shapes that take seconds are measured forward only\n"
    "  --engine OPTIONS options of the fast engine (isa=avx2, isa=portable)\n"
    "  --threads N      threads of either (1)\n"
    "  --seconds S      time for each line (1)\n"
    "  --json           JSON instead of a table\n"
    "  --check          exit with 1 if 64x56x56 3x3 p1 64, forward, NCHW, stays below half of the peak\n"
    "  --list           the shapes' names\n"
    "  --help           this\n"
    "\n"
    "Names read [batch x] channels x extents, kernel, stride, padding, dilation, output padding, filters, groups,\n"
    "and T for a transposed convolution.\n"
    "`peak` is the share of what a loop of AVX2 FMAs on registers reached beside each sample: the median of paired\n"
    "ratios, for N threads still a share of one core's, and of the multiply-adds that the definition has. One thread\n"
    "is timed by its own clock, several by that on the wall. GB/s count one read and one write of the tensor of a batch\n"
    "normalization, one read for a gradient of the bias, whatever was really moved; `copy` is memcpy of the\n"
    "same tensor in the same run.\n";

typedef struct settings {
  const char *shape, *pass, *engine;
  int threads;
  double seconds;
  bool json, check, list;
} settings;

typedef struct bench {
  settings s;
  cbn_engine *engine;
  int lines;      /* measured so far */
  bool failed;    /* something did not run */
  double checked; /* share of the shape that --check looks at; negative if not measured */
} bench;

/* A call with tensors of its own. */
typedef struct job {
  cbn_conv conv;
  cbn_batchnorm batchnorm;
  cbn_tensor tensor[CBN_ROLE_COUNT];
  cbn_call call;
  cbn_engine *engine;
  char message[256];
} job;

static void job_close(job *j) {
  for (int i = 0; i < CBN_ROLE_COUNT; i++) cbn_tensor_release(&j->tensor[i]);
}

static bool job_add(job *j, int role, int32_t rank, const int64_t *extent, enum cbn_layout layout) {
  cbn_tensor *t = &j->tensor[role];
  if (rank == 0) return true;
  if (!cbn_tensor_describe(t, CBN_F32, rank, extent, layout) || !cbn_tensor_allocate(t)) return false;
  const cbn_fill fill = cbn_fill_make(CBN_FILL_NORMAL);
  cbn_fill_tensor(&fill, role, t);
  for (int64_t i = 0, n = cbn_tensor_count(t); role == CBN_ROLE_RUNNING_VAR && i < n; i++)
    cbn_tensor_set(t, i, 1 + fabs(cbn_tensor_get(t, i)));
  j->call.tensor[role] = t;
  return true;
}

/* Does the job, in its direction, have a tensor of that role? Batch normalization is measured forward only. */
static bool takes_part(const job *j, int role) {
  const bool conv = j->conv.struct_size != 0;
  const int32_t direction = conv ? j->conv.direction : CBN_FORWARD;
  switch (role) {
  case CBN_ROLE_INPUT: return direction == CBN_FORWARD || direction == CBN_GRAD_WEIGHT;
  case CBN_ROLE_WEIGHT: return direction == CBN_FORWARD || direction == CBN_GRAD_INPUT;
  case CBN_ROLE_GRAD_OUTPUT: return direction != CBN_FORWARD;
  case CBN_ROLE_GRAD_INPUT: return direction == CBN_GRAD_INPUT;
  case CBN_ROLE_GRAD_WEIGHT: return direction == CBN_GRAD_WEIGHT;
  case CBN_ROLE_GRAD_BIAS: return direction == CBN_GRAD_BIAS;
  default: return direction == CBN_FORWARD;
  }
}

static bool job_open(job *j, const bench *b, enum cbn_layout layout) {
  j->engine = b->engine;
  j->call = (cbn_call){.struct_size = sizeof j->call, .threads = b->s.threads, .message = j->message};
  j->call.message_size = sizeof j->message;
  const bool conv = j->conv.struct_size != 0;
  j->call.operator_kind = conv ? CBN_OPERATOR_CONV : CBN_OPERATOR_BATCHNORM;
  j->call.conv = conv ? &j->conv : NULL;
  j->call.batchnorm = conv ? NULL : &j->batchnorm;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    if (!takes_part(j, role)) continue;
    const int32_t rank =
        conv ? cbn_conv_extents(&j->conv, role, extent) : cbn_batchnorm_extents(&j->batchnorm, role, extent);
    /* Weights stay as frameworks keep them: OIHW. */
    const bool weight = role == CBN_ROLE_WEIGHT || role == CBN_ROLE_GRAD_WEIGHT;
    if (!job_add(j, role, rank, extent, weight ? CBN_CONTIGUOUS : layout)) return false;
  }
  return true;
}

static bool job_run(void *context) {
  job *j = context;
  return j->engine->run(j->engine, &j->call) == CBN_OK;
}

static bool copy_run(void *context) {
  job *j = context;
  cbn_tensor *y = &j->tensor[CBN_ROLE_OUTPUT], *x = &j->tensor[CBN_ROLE_INPUT];
  memcpy(y->data, x->data, (size_t)cbn_tensor_bytes(x));
  return true;
}

/* ------------------------------------------------------------------------------------------------------ output */

typedef struct line {
  const char *operation, *name, *pass, *layout;
  double work;  /* multiply-adds, 0 for batch normalization */
  double bytes; /* of batch normalization and of the bias' gradient */
  const char *peer;
  bench_result result[2];
} line;

static void print_table(bench *b, const line *l) {
  if (b->lines == 0)
    printf("%-34s %-11s %-5s %12s %7s %7s   %-14s %12s %7s\n", "shape", "pass", "", "us", "peak", "GB/s", "beside",
           "us", "peak");
  printf("%-34s %-11s %-5s %12.1f", l->name, l->pass, l->layout, 1e6 * l->result[0].seconds);
  if (l->work > 0 && l->result[0].share > 0) printf(" %6.1f%% %7s", 100 * l->result[0].share, "");
  else if (l->bytes > 0) printf(" %7s %7.1f", "", 1e-9 * l->bytes / l->result[0].seconds);
  else printf(" %7s %7s", "", "");
  if (l->result[1].measured) {
    printf("   %-14s %12.1f", l->peer, 1e6 * l->result[1].seconds);
    if (l->work > 0 && l->result[1].share > 0) printf(" %6.1f%%", 100 * l->result[1].share);
  }
  printf("\n");
}

static void print_json_result(const char *engine, const line *l, const bench_result *r) {
  printf("\"%s\": {\"seconds\": %.4e", engine, r->seconds);
  if (l->work > 0 && r->share > 0) printf(", \"peak_share\": %.4f", r->share);
  if (l->bytes > 0) printf(", \"gigabytes_per_second\": %.2f", 1e-9 * l->bytes / r->seconds);
  printf("}");
}

static void print_json(bench *b, const line *l) {
  printf(
      "%s\n  {\"operator\": \"%s\", \"shape\": \"%s\", \"pass\": \"%s\", \"layout\": \"%s\", \"multiply_adds\": %.0f, ",
      b->lines == 0 ? "[" : ",", l->operation, l->name, l->pass, l->layout, l->work);
  print_json_result("fast", l, &l->result[0]);
  if (l->result[1].measured) {
    printf(", ");
    print_json_result(l->peer, l, &l->result[1]);
  }
  printf("}");
}

static void measure(bench *b, job *j, line *l, bench_subject peer) {
  const bench_subject subject[2] = {{job_run, j}, peer};
  if (!bench_pair(subject, l->result, l->work, b->s.seconds, b->s.threads == 1 ? BENCH_THREAD : BENCH_WALL)) {
    fprintf(stderr, "convbn-bench: %s: %s\n", l->name, j->message[0] ? j->message : "did not run");
    b->failed = true;
    return;
  }
  (b->s.json ? print_json : print_table)(b, l);
  fflush(stdout);
  b->lines++;
}

static bool wanted_pass(const bench *b, const char *pass) { return !b->s.pass || strstr(pass, b->s.pass); }

static bool wanted(const bench *b, const char *name) {
  if (b->s.shape && !strstr(name, b->s.shape)) return false;
  if (b->s.list) printf("%s\n", name);
  return !b->s.list;
}

/* ------------------------------------------------------------------------------------------------------ shapes */

typedef struct conv_shape {
  int32_t rank, transposed;
  int64_t batch, channels, extent[CBN_MAX_SPATIAL], filters, kernel[CBN_MAX_SPATIAL];
  int64_t stride, pad, dilation, output_padding, groups;
} conv_shape;

static cbn_conv conv_of(const conv_shape *s) {
  cbn_conv c = cbn_conv_make(s->rank);
  c.transposed = s->transposed;
  c.batch = s->batch;
  c.in_channels = s->channels;
  c.out_channels = s->filters;
  c.groups = s->groups;
  c.has_bias = 1;
  for (int a = 0; a < s->rank; a++) {
    c.input[a] = s->extent[a];
    c.kernel[a] = s->kernel[a];
    c.stride[a] = s->stride;
    c.dilation[a] = s->dilation;
    c.pad_begin[a] = c.pad_end[a] = s->pad;
    c.output_padding[a] = s->output_padding;
  }
  return c;
}

enum { NAME = 96 };

static int append(char name[NAME], int n, const char *format, int64_t value) {
  const int more = snprintf(name + n, (size_t)(NAME - n), format, value);
  return n + more < NAME ? n + more : NAME - 1;
}

static void name_conv(const conv_shape *s, char name[NAME]) {
  int n = 0;
  if (s->batch > 1) n = append(name, n, "%" PRId64 "x", s->batch);
  n = append(name, n, "%" PRId64, s->channels);
  for (int a = 0; a < s->rank; a++) n = append(name, n, "x%" PRId64, s->extent[a]);
  n = append(name, n, s->rank == 1 ? " k%" PRId64 : " %" PRId64, s->kernel[0]);
  for (int a = 1; a < s->rank; a++) n = append(name, n, "x%" PRId64, s->kernel[a]);
  if (s->stride > 1) n = append(name, n, " s%" PRId64, s->stride);
  if (s->pad > 0) n = append(name, n, " p%" PRId64, s->pad);
  if (s->dilation > 1) n = append(name, n, " d%" PRId64, s->dilation);
  if (s->output_padding > 0) n = append(name, n, " op%" PRId64, s->output_padding);
  n = append(name, n, " %" PRId64, s->filters);
  if (s->groups > 1) n = append(name, n, " g%" PRId64, s->groups);
  if (s->transposed) snprintf(name + n, (size_t)(NAME - n), " T");
}

static void bench_pass(bench *b, const conv_shape *s, const char *name, int32_t direction, int layout, bool checks) {
  static const char *const passes[] = {[CBN_FORWARD] = "forward",
                                       [CBN_GRAD_INPUT] = "grad_input",
                                       [CBN_GRAD_WEIGHT] = "grad_weight",
                                       [CBN_GRAD_BIAS] = "grad_bias"};
  if (!wanted_pass(b, passes[direction])) return;
  job j = {.conv = conv_of(s)};
  j.conv.direction = direction;
  line l = {.operation = "conv", .name = name, .pass = passes[direction], .layout = layout ? "NHWC" : "NCHW"};
  if (job_open(&j, b, layout ? CBN_CHANNELS_LAST : CBN_CONTIGUOUS)) {
    if (direction == CBN_GRAD_BIAS) l.bytes = (double)cbn_tensor_bytes(&j.tensor[CBN_ROLE_GRAD_OUTPUT]);
    else l.work = (double)cbn_conv_work(&j.conv);
    bench_peer *peer = layout ? NULL : bench_peer_conv(&j.conv, j.call.tensor);
    l.peer = bench_peer_name();
    measure(b, &j, &l, (bench_subject){peer ? bench_peer_run : NULL, peer});
    if (checks && l.result[0].measured) b->checked = l.result[0].share;
    bench_peer_close(peer);
  } else {
    fprintf(stderr, "convbn-bench: %s: no memory\n", name);
    b->failed = true;
  }
  job_close(&j);
}

static void bench_conv(bench *b, const conv_shape *s, bool first) {
  char name[NAME];
  name_conv(s, name);
  if (!wanted(b, name)) return;
  const cbn_conv conv = conv_of(s);
  /* Seconds a call: gradients of such only if asked for. */
  const bool takes_long = cbn_conv_work(&conv) > (int64_t)1 << 36 && !b->s.pass;
  for (int32_t direction = CBN_FORWARD; direction <= (takes_long ? CBN_FORWARD : CBN_GRAD_BIAS); direction++) {
    for (int layout = 0; layout < 2; layout++)
      bench_pass(b, s, name, direction, layout, first && direction == CBN_FORWARD && layout == 0);
  }
}

static void bench_batchnorm(bench *b, const int64_t s[4]) {
  char name[96];
  snprintf(name, sizeof name, "batchnorm %" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64, s[0], s[1], s[2], s[3]);
  if (!wanted(b, name)) return;
  for (int i = 0; i < 4; i++) {
    const bool train = i / 2, last = i % 2;
    if (!wanted_pass(b, train ? "train" : "eval")) continue;
    job j = {.batchnorm = cbn_batchnorm_make(2)};
    j.batchnorm.batch = s[0];
    j.batchnorm.channels = s[1];
    j.batchnorm.extent[0] = s[2];
    j.batchnorm.extent[1] = s[3];
    j.batchnorm.statistics = train ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
    j.batchnorm.update_running = train;
    line l = {
        .operation = "batchnorm", .name = name, .pass = train ? "train" : "eval", .layout = last ? "NHWC" : "NCHW"};
    l.bytes = 8.0 * (double)cbn_batchnorm_work(&j.batchnorm);
    l.peer = "copy";
    if (job_open(&j, b, last ? CBN_CHANNELS_LAST : CBN_CONTIGUOUS)) measure(b, &j, &l, (bench_subject){copy_run, &j});
    job_close(&j);
  }
}

static void bench_all(bench *b) {
#define BENCH_ROW(...) {__VA_ARGS__},
#define BENCH_CONV2(N, C, H, W, O, KH, KW, S, P, D, G) {2, 0, N, C, {H, W}, O, {KH, KW}, S, P, D, 0, G},
#define BENCH_CONV1(N, C, W, O, KW, S, P, D, G) {1, 0, N, C, {W}, O, {KW}, S, P, D, 0, G},
#define BENCH_CONV3(N, C, DEPTH, H, W, O, K, S, P, D, G) {3, 0, N, C, {DEPTH, H, W}, O, {K, K, K}, S, P, D, 0, G},
#define BENCH_TRANSPOSED(N, C, H, W, O, K, S, P, OP, G) {2, 1, N, C, {H, W}, O, {K, K}, S, P, 1, OP, G},
  static const conv_shape convs[] = {BENCH_CONVS(BENCH_CONV2) BENCH_TRANSPOSED_CONVS(BENCH_TRANSPOSED)
                                         BENCH_CONVS_1D(BENCH_CONV1) BENCH_CONVS_3D(BENCH_CONV3)};
  static const int64_t batchnorms[][4] = {BENCH_BATCHNORMS(BENCH_ROW)};
#undef BENCH_ROW
#undef BENCH_CONV2
#undef BENCH_CONV1
#undef BENCH_CONV3
#undef BENCH_TRANSPOSED
  for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) bench_conv(b, &convs[i], i == 0);
  for (size_t i = 0; i < sizeof batchnorms / sizeof batchnorms[0]; i++) bench_batchnorm(b, batchnorms[i]);
}

/* ------------------------------------------------------------------------------------------------- command line */

static bool parse(settings *s, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--json") == 0) s->json = true;
    else if (strcmp(argv[i], "--check") == 0) s->check = true;
    else if (strcmp(argv[i], "--list") == 0) s->list = true;
    else if (strcmp(argv[i], "--shape") == 0 && value) s->shape = argv[++i];
    else if (strcmp(argv[i], "--pass") == 0 && value) s->pass = argv[++i];
    else if (strcmp(argv[i], "--engine") == 0 && value) s->engine = argv[++i];
    else if (strcmp(argv[i], "--threads") == 0 && value) s->threads = atoi(argv[++i]);
    else if (strcmp(argv[i], "--seconds") == 0 && value) s->seconds = atof(argv[++i]);
    else return false;
  }
  return s->threads >= 1 && s->threads <= 1024 && s->seconds > 0;
}

static int verdict(const bench *b) {
  if (b->s.list) return 0;
  if (b->failed) return 3;
  if (b->lines == 0) {
    fprintf(stderr, "convbn-bench: no shape's name contains \"%s\" and no pass of it \"%s\"\n",
            b->s.shape ? b->s.shape : "", b->s.pass ? b->s.pass : "");
    return 4;
  }
  if (!b->s.check) return 0;
  if (b->checked <= 0) {
    fprintf(stderr, "convbn-bench: --check: nothing to check: no AVX2, or the shape was not selected\n");
    return 2;
  }
  fprintf(stderr, "convbn-bench: --check: %.1f%% of the peak, at least 50%% wanted\n", 100 * b->checked);
  return b->checked < 0.5;
}

int main(int argc, char **argv) {
  bench b = {.s = {.engine = "", .threads = 1, .seconds = 1}, .checked = -1};
  if (argc == 2 && strcmp(argv[1], "--help") == 0) {
    fputs(usage, stdout);
    return 0;
  }
  if (!parse(&b.s, argc, argv)) {
    fputs(usage, stderr);
    return 2;
  }
#if defined(_OPENMP)
  omp_set_num_threads(b.s.threads); /* for the peer; ours gets the number with each call */
#endif
  b.engine = cbn_engine_open(CBN_ABI_VERSION, b.s.engine);
  if (!b.engine) {
    fprintf(stderr, "convbn-bench: the fast engine does not open with \"%s\"\n", b.s.engine);
    return 3;
  }
  bench_all(&b);
  if (b.s.json && !b.s.list) printf("%s]\n", b.lines ? "\n" : "[");
  b.engine->close(b.engine);
  return verdict(&b);
}
