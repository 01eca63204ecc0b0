#include "generator/generator.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* ------------------------------------------------------------------------------------------------------- names */

static const char *const kind_names[] = {
#define KIND_NAME(NAME, name, words) #name,
    CBN_GENERATED_KINDS(KIND_NAME)
#undef KIND_NAME
};

const char *cbn_generated_kind_name(int kind) {
  return kind >= 0 && kind < CBN_GENERATED_KIND_COUNT ? kind_names[kind] : NULL;
}

int cbn_generated_kind_by_name(const char *name) {
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++)
    if (strcmp(kind_names[kind], name) == 0) return kind;
  return -1;
}

bool cbn_generated_is_conv(enum cbn_generated_kind kind) { return kind < CBN_GENERATED_BATCHNORM_TRAIN; }

bool cbn_generated_trains(const cbn_generated *p) {
  return p->batchnorm.statistics == CBN_STATISTICS_BATCH ||
         (p->batchnorm.direction == CBN_FORWARD && p->batchnorm.update_running);
}

static const struct {
  const char *name;
  int values;
} genes[] = {
#define GENE(NAME, name, values) {#name, values},
    CBN_GENES(GENE)
#undef GENE
};

const char *cbn_gene_name(int gene) { return gene >= 0 && gene < CBN_GENE_COUNT ? genes[gene].name : NULL; }
int cbn_gene_values(int gene) { return gene >= 0 && gene < CBN_GENE_COUNT ? genes[gene].values : 0; }

/* ------------------------------------------------------------------------------------------------------ tables */

/* What a gene's values stand for. A table begins with the plainest value, so that small bytes are small problems, has
 * every value up to its largest, so that what fitting makes of a value is in it too, and has some of them more than
 * once: those around the fast engine's tiles (4 filters, 8 lanes, 24 pixels) and powers of two. */
static const int64_t extents[] = {
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 2,  3,
    4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 15, 17, 3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 16, 23,
    24, 25, 3,  4,  5,  6,  7,  8,  9,  10, 12, 15, 16, 17, 31, 32, 33, 47, 48, 49, 2,  3,  4,  5,  6,  7,
    8,  9,  5,  6,  7,  8,  9,  10, 11, 3,  4,  5,  6,  7,  5,  7,  23, 24, 25, 1,  1,  2,  0,  0};
static const int64_t channels[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                   17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
                                   33, 1,  2,  3,  4,  5,  6,  7,  8,  9,  1,  2,  3,  4,  5,  2,
                                   3,  4,  5,  7,  8,  9,  15, 16, 17, 1,  2,  3,  4,  6,  1,  0};
static const int64_t group_counts[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                       17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
                                       33, 1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,
                                       1,  1,  1,  1,  1,  1,  2,  2,  2,  3,  4,  2,  3,  4,  5,  8};
static const int64_t batches[] = {1, 2, 3, 4, 5, 1, 2, 1, 2, 3, 1, 1, 2, 1, 2, 0};
static const int64_t kernels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 3, 3, 3, 3, 2,
                                  2, 2, 5, 5, 4, 1, 1, 7, 3, 2,  3,  5, 6, 3, 2, 4};
static const int64_t strides[] = {1, 2, 3, 4, 5, 6, 7, 1, 1, 1, 1, 2, 2, 3, 1, 1}; /* and dilations */
static const int64_t holes[] = {1, 1, 1, 1, 1, 2, 3, 4};
static const int64_t paddings[] = {0, 1, 2, 3, 4, 5, 6,  7,  8,  9, 0, 1, 0, 1, 2, 1,
                                   0, 1, 2, 3, 0, 1, -1, -2, -3, 0, 1, 2, 0, 0, 1, 2};
static const int64_t output_paddings[] = {0, 1, 2, 3, 4, 5, 6, 0};
static const int32_t ranks[] = {2, 1, 3, 2, 2, 1, 3, 2};
static const int32_t norm_ranks[] = {2, 1, 0, 3, 2, 1, 0, 3};
static const int32_t modes[] = {CBN_PAD_ZEROS, CBN_PAD_ZEROS,   CBN_PAD_ZEROS,     CBN_PAD_ZEROS,
                                CBN_PAD_ZEROS, CBN_PAD_REFLECT, CBN_PAD_REPLICATE, CBN_PAD_CIRCULAR};
static const int32_t types[] = {CBN_F32, CBN_F32, CBN_F32, CBN_F32, CBN_F32, CBN_F32, CBN_F32,  CBN_F32,
                                CBN_F32, CBN_F32, CBN_F32, CBN_F32, CBN_F64, CBN_F16, CBN_BF16, CBN_F16};
static const enum cbn_layout layouts[] = {CBN_CONTIGUOUS, CBN_CHANNELS_LAST, CBN_MIXED,         CBN_STRIDED,
                                          CBN_PITCHED,    CBN_CONTIGUOUS,    CBN_CHANNELS_LAST, CBN_STRIDED};
static const double epsilons[] = {1e-5, 1e-3, 1, 0.25, 1e-12, 0, 1e-8, 0.5, 1e-2, 2, 1e-30, 1e-6, 4, 1e-4, 0.1, 1e-7};
static const double new_weights[] = {0.1,  0.5, 0,    1,     0.25,  0.01, 0.9, 0.3,
                                     1e-3, 2,   -0.5, 0.125, 1e-10, 0.75, 0.2, 0.99};

/* ------------------------------------------------------------------------------------------------------ reading */

static int gene(const uint8_t *genome, int which) { return genome[which] % genes[which].values; }

#define PICK(table, genome, which) table[gene(genome, which) % COUNT(table)]

/* The tables of genes that stand for numbers, by the first and the last gene. */
static const struct {
  int first, last;
  const int64_t *table;
  int count;
} numbers[] = {
#define NUMBERS(first, last, table)                                                                                    \
  { CBN_GENE_##first, CBN_GENE_##last, table, COUNT(table) }
    NUMBERS(BATCH, BATCH, batches),
    NUMBERS(GROUPS, GROUPS, group_counts),
    NUMBERS(IN_CHANNELS, OUT_CHANNELS, channels),
    NUMBERS(INPUT_D, INPUT_W, extents),
    NUMBERS(KERNEL_D, KERNEL_W, kernels),
    NUMBERS(STRIDE_D, DILATION_W, strides),
    NUMBERS(INPUT_DILATION_D, INPUT_DILATION_W, holes),
    NUMBERS(PAD_BEGIN_D, PAD_END_W, paddings),
    NUMBERS(OUTPUT_PADDING_D, OUTPUT_PADDING_W, output_paddings),
#undef NUMBERS
};

int cbn_gene_value_of(int gene, int64_t number) {
  for (int i = 0; i < COUNT(numbers); i++)
    for (int value = 0; gene >= numbers[i].first && gene <= numbers[i].last && value < numbers[i].count; value++)
      if (numbers[i].table[value] == number) return value;
  return -1;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

bool cbn_gene_is_of_axis(int gene) { return gene >= CBN_GENE_INPUT_D && gene <= CBN_GENE_OUTPUT_PADDING_W; }

int cbn_generated_axes(const cbn_generated *p) {
  const int axes = cbn_generated_is_conv(p->kind) ? p->conv.spatial_rank : p->batchnorm.spatial_rank;
  return axes >= 0 && axes <= CBN_MAX_SPATIAL ? axes : 0;
}

/* The problem's axis that the gene stands for, outermost first; below 0 where it has fewer. */
static int axis_of(const cbn_generated *p, int gene) {
  return (gene - CBN_GENE_INPUT_D) % CBN_MAX_SPATIAL - (CBN_MAX_SPATIAL - cbn_generated_axes(p));
}

bool cbn_gene_number(const cbn_generated *p, int gene, int64_t *number) {
  const bool conv = cbn_generated_is_conv(p->kind);
  const cbn_conv *c = &p->conv;
  const cbn_batchnorm *b = &p->batchnorm;
  const int64_t *const axes[] = {conv ? c->input : b->extent, c->kernel,    c->stride,  c->dilation,
                                 c->input_dilation,           c->pad_begin, c->pad_end, c->output_padding};
  switch (gene) {
  case CBN_GENE_BATCH: *number = conv ? c->batch : b->batch; return true;
  case CBN_GENE_GROUPS: *number = c->groups; return conv;
  case CBN_GENE_IN_CHANNELS: *number = conv ? c->in_channels / most(c->groups, 1) : b->channels; return true;
  case CBN_GENE_OUT_CHANNELS: *number = c->out_channels / most(c->groups, 1); return conv;
  default: break;
  }
  if (!cbn_gene_is_of_axis(gene) || axis_of(p, gene) < 0 || (!conv && gene > CBN_GENE_INPUT_W)) return false;
  *number = axes[(gene - CBN_GENE_INPUT_D) / CBN_MAX_SPATIAL][axis_of(p, gene)];
  return true;
}

static int64_t times_as_large(const uint8_t *genome) {
  return gene(genome, CBN_GENE_SIZE) == CBN_SIZE_LARGE ? CBN_GENERATED_LARGE : 1;
}

/* What the spatial genes say, before it is made to fit. The last axes are those of a lower rank. */
static void read_axes(const uint8_t *genome, cbn_conv *c) {
  for (int a = 0; a < c->spatial_rank; a++) {
    const int axis = CBN_MAX_SPATIAL - c->spatial_rank + a;
    c->input[a] = PICK(extents, genome, CBN_GENE_INPUT_D + axis);
    c->kernel[a] = PICK(kernels, genome, CBN_GENE_KERNEL_D + axis);
    c->stride[a] = PICK(strides, genome, CBN_GENE_STRIDE_D + axis);
    c->dilation[a] = PICK(strides, genome, CBN_GENE_DILATION_D + axis);
    c->input_dilation[a] = PICK(holes, genome, CBN_GENE_INPUT_DILATION_D + axis);
    c->pad_begin[a] = PICK(paddings, genome, CBN_GENE_PAD_BEGIN_D + axis);
    c->pad_end[a] = PICK(paddings, genome, CBN_GENE_PAD_END_D + axis);
    c->output_padding[a] = PICK(output_paddings, genome, CBN_GENE_OUTPUT_PADDING_D + axis);
  }
}

/* ------------------------------------------------------------------------------------------------------ fitting */

/* A padding mode's reach into the input. */
static int64_t widest_padding(const cbn_conv *c, int a) {
  switch (c->padding_mode) {
  case CBN_PAD_REFLECT: return most(0, c->input[a] - 1);
  case CBN_PAD_REPLICATE: return c->input[a] > 0 ? INT64_MAX : 0;
  case CBN_PAD_CIRCULAR: return c->input[a];
  default: return INT64_MAX;
  }
}

/* A kernel that fits into the padded input: the dilation gives way first. */
static void fit_kernel(cbn_conv *c, int a) {
  const int64_t padded = (c->input[a] - 1) * c->input_dilation[a] + 1 + c->pad_begin[a] + c->pad_end[a];
  if (c->transposed || c->input[a] == 0) return;
  while (c->dilation[a] > 1 && (c->kernel[a] - 1) * c->dilation[a] >= padded) c->dilation[a]--;
  while (c->kernel[a] > 1 && (c->kernel[a] - 1) * c->dilation[a] >= padded) c->kernel[a]--;
}

/* Moves each parameter to the nearest that fits with the others; what fits is left as it is. */
static void fit_axes(cbn_conv *c, bool may_be_empty) {
  for (int a = 0; a < c->spatial_rank; a++) {
    if (c->transposed || c->padding_mode != CBN_PAD_ZEROS) c->input_dilation[a] = 1;
    c->pad_begin[a] = least(c->pad_begin[a], widest_padding(c, a));
    c->pad_end[a] = least(c->pad_end[a], widest_padding(c, a));
    c->output_padding[a] = c->transposed ? least(c->output_padding[a], most(c->stride[a], c->dilation[a]) - 1) : 0;
    if (!may_be_empty) fit_kernel(c, a);
  }
}

static bool is_too_much(const cbn_conv *c, int64_t times) {
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_OUTPUT};
  for (int i = 0; i < COUNT(roles); i++) {
    int64_t extent[CBN_MAX_RANK];
    cbn_conv_extents(c, roles[i], extent);
    if (cbn_extent_product(2 + c->spatial_rank, extent) > times * CBN_GENERATED_ELEMENTS) return true;
  }
  return cbn_conv_work(c) > times * CBN_GENERATED_WORK;
}

static bool halve_channels(cbn_conv *c) {
  int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
  if (c->groups > 4 && in + out <= 8) c->groups = (c->groups + 1) / 2;
  else if (in > 1 && in >= out) in = (in + 1) / 2;
  else if (out > 1) out = (out + 1) / 2;
  else if (c->groups > 1) c->groups = (c->groups + 1) / 2;
  else return false;
  c->in_channels = in * c->groups;
  c->out_channels = out * c->groups;
  return true;
}

static bool halve_longest(cbn_conv *c) {
  int64_t *longest = &c->input[0];
  for (int a = 1; a < c->spatial_rank; a++)
    if (c->input[a] > *longest) longest = &c->input[a];
  for (int a = 0; a < c->spatial_rank; a++)
    if (2 * c->kernel[a] > *longest) longest = &c->kernel[a];
  if (*longest <= 1) return false;
  *longest = (*longest + 1) / 2;
  return true;
}

/* Shrinks what is too much work, the least telling first: batch, channels by halves, then extents and kernels. */
static void fit_work(cbn_conv *c, int64_t times, bool may_be_empty) {
  while (is_too_much(c, times)) {
    if (c->batch > 1) c->batch--;
    else if (!halve_channels(c) && !halve_longest(c)) return;
    fit_axes(c, may_be_empty);
  }
}

static void generate_conv(const uint8_t *genome, cbn_generated *p) {
  static const struct {
    int32_t transposed, direction;
  } of_kind[] = {[CBN_GENERATED_CONV_FORWARD] = {0, CBN_FORWARD},
                 [CBN_GENERATED_CONV_GRAD_INPUT] = {0, CBN_GRAD_INPUT},
                 [CBN_GENERATED_CONV_GRAD_WEIGHT] = {0, CBN_GRAD_WEIGHT},
                 [CBN_GENERATED_CONV_GRAD_BIAS] = {0, CBN_GRAD_BIAS},
                 [CBN_GENERATED_TRANSPOSED_FORWARD] = {1, CBN_FORWARD},
                 [CBN_GENERATED_TRANSPOSED_GRAD_INPUT] = {1, CBN_GRAD_INPUT},
                 [CBN_GENERATED_TRANSPOSED_GRAD_WEIGHT] = {1, CBN_GRAD_WEIGHT}};
  cbn_conv *c = &p->conv;
  *c = cbn_conv_make(PICK(ranks, genome, CBN_GENE_RANK));
  c->transposed = of_kind[p->kind].transposed;
  c->direction = of_kind[p->kind].direction;
  c->batch = PICK(batches, genome, CBN_GENE_BATCH);
  c->groups = PICK(group_counts, genome, CBN_GENE_GROUPS);
  c->in_channels = PICK(channels, genome, CBN_GENE_IN_CHANNELS) * c->groups;
  c->out_channels = PICK(channels, genome, CBN_GENE_OUT_CHANNELS) * c->groups;
  c->has_bias = c->direction == CBN_GRAD_BIAS || gene(genome, CBN_GENE_BIAS);
  c->padding_mode = c->transposed ? CBN_PAD_ZEROS : PICK(modes, genome, CBN_GENE_PADDING_MODE);
  read_axes(genome, c);
  const bool may_be_empty = gene(genome, CBN_GENE_NEAR_MISS) % 16 == CBN_NEAR_MISS_MAY_BE_EMPTY;
  fit_axes(c, may_be_empty);
  fit_work(c, times_as_large(genome), may_be_empty);
  p->layer_type = p->type;
  p->steps = 1;
}

/* ----------------------------------------------------------------------------------------- batch normalization */

static void read_step(const uint8_t *genome, int which, cbn_generated_step *step) {
  const int value = gene(genome, CBN_GENE_STEP_1 + which);
  *step = (cbn_generated_step){
      .train = value % 2 == 0, .reset = value / 2 % 8 == 7, .new_weight = new_weights[value / 16 % COUNT(new_weights)]};
}

static void fit_size(cbn_batchnorm *b, int64_t times) {
  while (cbn_batchnorm_work(b) > times * CBN_GENERATED_ELEMENTS) {
    int64_t *longest = &b->channels;
    for (int a = 0; a < b->spatial_rank; a++)
      if (b->extent[a] > *longest) longest = &b->extent[a];
    *longest = (*longest + 1) / 2;
  }
}

static void generate_batchnorm(const uint8_t *genome, cbn_generated *p) {
  cbn_batchnorm *b = &p->batchnorm;
  const int statistics = gene(genome, CBN_GENE_STATISTICS), affine = gene(genome, CBN_GENE_AFFINE);
  *b = cbn_batchnorm_make(PICK(norm_ranks, genome, CBN_GENE_RANK));
  b->batch = PICK(batches, genome, CBN_GENE_BATCH);
  b->channels = PICK(channels, genome, CBN_GENE_IN_CHANNELS);
  for (int a = 0; a < b->spatial_rank; a++)
    b->extent[a] = PICK(extents, genome, CBN_GENE_INPUT_D + CBN_MAX_SPATIAL - b->spatial_rank + a);
  fit_size(b, times_as_large(genome));
  b->epsilon = PICK(epsilons, genome, CBN_GENE_EPSILON);
  b->new_weight = PICK(new_weights, genome, CBN_GENE_NEW_WEIGHT);
  b->has_weight = affine != 1 && affine != 3;
  b->has_bias = affine < 2;
  b->running_variance = statistics % 2;
  const bool by_gene = p->kind == CBN_GENERATED_BATCHNORM_GRAD;
  const bool train = p->kind == CBN_GENERATED_BATCHNORM_TRAIN || p->kind == CBN_GENERATED_BATCHNORM_PROGRAM;
  const bool frozen = train && statistics / 16 == 3; /* what is updated is what normalises */
  b->statistics =
      (by_gene ? statistics / 2 % 2 == 0 : train && !frozen) ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = train && (frozen || statistics / 4 % 4 != 3);
  b->direction = by_gene ? CBN_GRAD_INPUT : CBN_FORWARD;
  p->layer_type = (p->type == CBN_F16 || p->type == CBN_BF16) && statistics / 4 % 2 ? CBN_F32 : p->type;
  p->in_place = gene(genome, CBN_GENE_BIAS) && p->layout != CBN_MIXED; /* what works in place has one layout */
  p->steps = 1;
  if (p->kind != CBN_GENERATED_BATCHNORM_PROGRAM) return;
  p->steps = 2 + gene(genome, CBN_GENE_STEPS) % (CBN_GENERATED_STEPS - 1);
  for (int i = 0; i < p->steps; i++) read_step(genome, i, &p->step[i]);
}

/* --------------------------------------------------------------------------------------------------------- data */

/* A fill by gene. Where sums are to be exact: small integers, sparse ones, powers of two, an impulse, ones. Else
 * numbers that round, large, small, far from 0, and special ones. */
static cbn_fill fill_of(int gene_value, bool exact, uint64_t seed, bool positive) {
  static const struct {
    enum cbn_fill_kind kind;
    double a, b; /* integers: low, high; exact: bits, density; normal: mean, scale; ramp: start, step */
  } grid[] = {{CBN_FILL_INTEGERS, -4, 4}, {CBN_FILL_INTEGERS, -1, 1},  {CBN_FILL_INTEGERS, 0, 3},
              {CBN_FILL_EXACT, 3, 1},     {CBN_FILL_EXACT, 2, 0.25},   {CBN_FILL_EXACT, 1, 0.1},
              {CBN_FILL_ONES, 0, 0},      {CBN_FILL_IMPULSE, 0, 0},    {CBN_FILL_INTEGERS, -2, 7},
              {CBN_FILL_INTEGERS, -4, 4}, {CBN_FILL_RAMP, 0, 1},       {CBN_FILL_INTEGERS, 1, 5},
              {CBN_FILL_EXACT, 4, 0.5},   {CBN_FILL_INTEGERS, -3, -1}, {CBN_FILL_RAMP, -3, 1},
              {CBN_FILL_INTEGERS, -4, 4}},
    round[] = {{CBN_FILL_NORMAL, 0, 1},     {CBN_FILL_NORMAL, 0, 1},     {CBN_FILL_NORMAL, 1, 0.5},
               {CBN_FILL_NORMAL, 10, 1},    {CBN_FILL_NORMAL, 100, 0.1}, {CBN_FILL_NORMAL, 0, 1e-3},
               {CBN_FILL_NORMAL, 0, 1e3},   {CBN_FILL_SPECIAL, 0, 0},    {CBN_FILL_NORMAL, 0, 1e-20},
               {CBN_FILL_NORMAL, 0, 1e-38}, {CBN_FILL_NORMAL, 0, 1e18},  {CBN_FILL_NORMAL, 1000, 1},
               {CBN_FILL_RAMP, 0.1, 0.1},   {CBN_FILL_NORMAL, -5, 2},    {CBN_FILL_RAMP, 0.1, 0},
               {CBN_FILL_NORMAL, 0, 1}};
  const int i = gene_value % COUNT(grid);
  cbn_fill fill = cbn_fill_make(exact ? grid[i].kind : round[i].kind);
  const double a = exact ? grid[i].a : round[i].a, b = exact ? grid[i].b : round[i].b;
  fill.seed = seed;
  switch ((enum cbn_fill_kind)fill.kind) {
  case CBN_FILL_INTEGERS:
    fill.low = (int64_t)a;
    fill.high = (int64_t)b;
    break;
  case CBN_FILL_EXACT:
    fill.bits = (int32_t)a;
    fill.density = b;
    break;
  case CBN_FILL_NORMAL:
    fill.mean = a;
    fill.scale = b;
    break;
  case CBN_FILL_RAMP:
    fill.start = a;
    fill.step = b;
    break;
  default: break;
  }
  if (positive) { /* a variance: positive numbers, by the same gene */
    fill.kind = CBN_FILL_INTEGERS;
    fill.low = 1 + i % 3;
    fill.high = fill.low + i / 4;
  }
  return fill;
}

/* Which of the call's tensors a gene fills. */
static int fill_gene(int role) {
  switch (role) {
  case CBN_ROLE_INPUT: return CBN_GENE_INPUT_FILL;
  case CBN_ROLE_WEIGHT:
  case CBN_ROLE_BIAS: return CBN_GENE_WEIGHT_FILL;
  case CBN_ROLE_GRAD_OUTPUT: return CBN_GENE_GRAD_FILL;
  default: return CBN_GENE_STATISTICS_FILL;
  }
}

static void generate_data(const uint8_t *genome, cbn_generated *p) {
  const uint64_t seed = (uint64_t)(gene(genome, CBN_GENE_SEED_1) | gene(genome, CBN_GENE_SEED_2) << 8);
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    p->fill[role] = fill_of(gene(genome, fill_gene(role)), p->exact, seed, role == CBN_ROLE_RUNNING_VAR);
}

/* ------------------------------------------------------------------------------------------------- near misses */

/* The place of a value in a table, 0 if it has none. */
static uint8_t place_in(const int32_t *table, int count, int32_t value) {
  for (int i = 0; i < count; i++)
    if (table[i] == value) return (uint8_t)i;
  return 0;
}

/* What is missed, and by problems of which kinds. */
#define MISSES(X)                                                                                                      \
  X(STRIDE, CONV)                                                                                                      \
  X(DILATION, CONV)                                                                                                    \
  X(KERNEL, CONV)                                                                                                      \
  X(GROUPS, CONV)                                                                                                      \
  X(GROUPS_OF_INPUT, CONV)                                                                                             \
  X(GROUPS_OF_OUTPUT, CONV)                                                                                            \
  X(OUTPUT_PADDING, CONV)                                                                                              \
  X(INPUT, CONV)                                                                                                       \
  X(INPUT_DILATION, CONV)                                                                                              \
  X(OUT_CHANNELS, CONV)                                                                                                \
  X(BATCH, ALL)                                                                                                        \
  X(CHANNELS, NORM)                                                                                                    \
  X(REFLECTION, CONV)                                                                                                  \
  X(CIRCULATION, PLAIN)                                                                                                \
  X(REPLICATION, PLAIN)                                                                                                \
  X(MODE, CONV)                                                                                                        \
  X(MODE_OF_DILATED, PLAIN)                                                                                            \
  X(DILATED_INPUT, TRANSPOSED)                                                                                         \
  X(UPDATE, GRAD)                                                                                                      \
  X(SIZE, ALL)                                                                                                         \
  X(FEW_AXES, ALL)                                                                                                     \
  X(MANY_AXES, ALL)                                                                                                    \
  X(LENGTH, ALL)                                                                                                       \
  X(FLAG, ALL)                                                                                                         \
  X(STRUCT_SIZE, ALL)

enum miss {
#define MISS_ENUM(NAME, kinds) MISS_##NAME,
  MISSES(MISS_ENUM)
#undef MISS_ENUM
      NO_MISS
};

static enum miss miss_of(const uint8_t *genome) {
  static const int kinds[] = {
#define KINDS_OF_MISS(NAME, kinds) CBN_KINDS_##kinds,
      MISSES(KINDS_OF_MISS)
#undef KINDS_OF_MISS
  };
  enum miss possible[NO_MISS];
  int count = 0;
  if (gene(genome, CBN_GENE_NEAR_MISS) < CBN_NEAR_MISS_FIRST) return NO_MISS;
  for (int i = 0; i < NO_MISS; i++)
    if (kinds[i] >> gene(genome, CBN_GENE_KIND) & 1) possible[count++] = (enum miss)i;
  return possible[gene(genome, CBN_GENE_MISS) % count];
}

static void set_mode(uint8_t *genome, int32_t mode) {
  genome[CBN_GENE_PADDING_MODE] = place_in(modes, COUNT(modes), mode);
}

/* What is broken cannot be seen any more: before anything is made to fit it, it is made the plainest, so that what is seen
 * of a near miss says all about it. */
static void hide(uint8_t *genome, enum miss which) {
  const bool conv = cbn_generated_is_conv((enum cbn_generated_kind)gene(genome, CBN_GENE_KIND));
  const int rank = conv ? PICK(ranks, genome, CBN_GENE_RANK) : PICK(norm_ranks, genome, CBN_GENE_RANK);
  const int first = CBN_MAX_SPATIAL - rank;
  switch (which) {
  case MISS_STRIDE: genome[CBN_GENE_STRIDE_W] = 0; break;
  case MISS_DILATION: genome[CBN_GENE_DILATION_D + first] = 0; break;
  case MISS_KERNEL: genome[CBN_GENE_KERNEL_W] = 0; break;
  case MISS_GROUPS: genome[CBN_GENE_GROUPS] = 0; break;
  case MISS_OUTPUT_PADDING: genome[CBN_GENE_OUTPUT_PADDING_W] = 0; break;
  case MISS_INPUT: genome[CBN_GENE_INPUT_D + first] = 0; break;
  case MISS_INPUT_DILATION: genome[CBN_GENE_INPUT_DILATION_W] = 0; break;
  case MISS_OUT_CHANNELS: genome[CBN_GENE_OUT_CHANNELS] = 0; break;
  case MISS_BATCH: genome[CBN_GENE_BATCH] = 0; break;
  case MISS_CHANNELS: genome[CBN_GENE_IN_CHANNELS] = 0; break;
  case MISS_REFLECTION:
    set_mode(genome, CBN_PAD_REFLECT);
    genome[CBN_GENE_PAD_BEGIN_D + first] = 0;
    break;
  case MISS_CIRCULATION:
    set_mode(genome, CBN_PAD_CIRCULAR);
    genome[CBN_GENE_PAD_END_W] = 0;
    break;
  case MISS_REPLICATION:
    set_mode(genome, CBN_PAD_REPLICATE);
    genome[CBN_GENE_INPUT_W] = genome[CBN_GENE_PAD_BEGIN_W] = 0;
    break;
  case MISS_MODE: genome[CBN_GENE_PADDING_MODE] = 0; break;
  case MISS_MODE_OF_DILATED:
    if (PICK(modes, genome, CBN_GENE_PADDING_MODE) == CBN_PAD_ZEROS) set_mode(genome, CBN_PAD_REFLECT);
    break;
  case MISS_SIZE:
    genome[conv ? CBN_GENE_INPUT_D + first : CBN_GENE_IN_CHANNELS] = 0;
    genome[CBN_GENE_KERNEL_D + first] = genome[CBN_GENE_DILATION_D + first] = 0;
    break;
  case MISS_LENGTH:
    if (rank == CBN_MAX_SPATIAL) genome[CBN_GENE_RANK] = 0;
    break;
  case MISS_FEW_AXES:
  case MISS_MANY_AXES: genome[CBN_GENE_RANK] = 0; break;
  case MISS_FLAG: genome[conv ? CBN_GENE_BIAS : CBN_GENE_AFFINE] = 0; break;
  default: break;
  }
}

enum { OVERFLOWING = 62 }; /* 2 to this, a few times, is beyond 63 bits; and a double has it exactly */

/* Breaks one rule, on the side of its edge that is refused. */
static void miss_conv(cbn_conv *c, enum miss which) {
  const int last = c->spatial_rank - 1;
  switch (which) {
  case MISS_STRIDE: c->stride[last] = 0; break;
  case MISS_DILATION: c->dilation[0] = 0; break;
  case MISS_KERNEL: c->kernel[last] = 0; break;
  case MISS_GROUPS: c->groups = 0; break;
  case MISS_GROUPS_OF_INPUT: /* one group more, and a channel that is none's */
  case MISS_GROUPS_OF_OUTPUT:
    c->out_channels += c->out_channels / c->groups + (which == MISS_GROUPS_OF_OUTPUT);
    c->in_channels += c->in_channels / c->groups + (which == MISS_GROUPS_OF_INPUT);
    c->groups++;
    break;
  case MISS_OUTPUT_PADDING:
    c->output_padding[last] = c->transposed ? most(c->stride[last], c->dilation[last]) : 1;
    break;
  case MISS_INPUT: c->input[0] = -1; break;
  case MISS_INPUT_DILATION: c->input_dilation[last] = 0; break;
  case MISS_OUT_CHANNELS: c->out_channels = -c->groups; break;
  case MISS_BATCH: c->batch = -1; break;
  case MISS_REFLECTION:
    c->padding_mode = CBN_PAD_REFLECT; /* of a transposed convolution, too */
    c->pad_begin[0] = most(c->input[0], 1);
    break;
  case MISS_CIRCULATION: c->pad_end[last] = c->input[last] + 1; break;
  case MISS_REPLICATION:
    c->input[last] = 0;
    c->pad_begin[last] = 1;
    break;
  case MISS_MODE: c->padding_mode = CBN_PAD_CIRCULAR + 1; break;
  case MISS_MODE_OF_DILATED:
  case MISS_DILATED_INPUT: c->input_dilation[0] = 2; break;
  case MISS_SIZE:
    c->kernel[0] = 3;
    c->dilation[0] = INT64_C(1) << OVERFLOWING;
    break;
  case MISS_FEW_AXES: c->spatial_rank = 0; break;
  case MISS_MANY_AXES: c->spatial_rank = CBN_MAX_SPATIAL + 1; break;
  case MISS_LENGTH: c->stride[c->spatial_rank] = 1; break;
  case MISS_FLAG: c->has_bias = 2; break;
  default: c->struct_size = offsetof(cbn_conv, groups) + sizeof c->groups - 1;
  }
}

static void miss_batchnorm(cbn_batchnorm *b, enum miss which) {
  switch (which) {
  case MISS_BATCH: b->batch = -1; break;
  case MISS_CHANNELS: b->channels = -1; break;
  case MISS_UPDATE: b->update_running = 1; break;
  case MISS_SIZE: b->channels = INT64_C(1) << OVERFLOWING; break;
  case MISS_FEW_AXES: b->spatial_rank = -1; break;
  case MISS_MANY_AXES: b->spatial_rank = CBN_MAX_SPATIAL + 1; break;
  case MISS_LENGTH: b->extent[b->spatial_rank] = 1; break;
  case MISS_FLAG: b->has_weight = 2; break;
  default: b->struct_size = offsetof(cbn_batchnorm, channels) + sizeof b->channels - 1;
  }
}

void cbn_generate(const uint8_t *bytes, size_t size, cbn_generated *p) {
  uint8_t genome[CBN_GENOME_BYTES] = {0};
  if (size > 0) memcpy(genome, bytes, size < sizeof genome ? size : sizeof genome);
  const enum miss missed = miss_of(genome);
  *p = (cbn_generated){.kind = (enum cbn_generated_kind)gene(genome, CBN_GENE_KIND), .valid = missed == NO_MISS};
  hide(genome, missed);
  p->exact = gene(genome, CBN_GENE_EXACT) == 0;
  p->type = PICK(types, genome, CBN_GENE_TYPE);
  p->layout = PICK(layouts, genome, CBN_GENE_LAYOUT);
  if (cbn_generated_is_conv(p->kind)) generate_conv(genome, p);
  else generate_batchnorm(genome, p);
  generate_data(genome, p);
  if (p->valid) return;
  if (cbn_generated_is_conv(p->kind)) miss_conv(&p->conv, missed);
  else miss_batchnorm(&p->batchnorm, missed);
}

/* --------------------------------------------------------------------------------------------------- backwards */

/* Compares the problems parameter by parameter: how many differ, and the name of the first that does. */
typedef struct comparison {
  int different;
  const char *first;
} comparison;

static void compare(comparison *c, bool same, const char *name) {
  if (same) return;
  if (c->different++ == 0) c->first = name;
}

static void compare_axes(comparison *c, const int64_t *a, const int64_t *b, const char *name) {
  for (int i = 0; i < CBN_MAX_SPATIAL; i++) compare(c, a[i] == b[i], name);
}

/* Channels of each group, and those that are left over. */
static bool same_channels(int64_t a, int64_t a_groups, int64_t b, int64_t b_groups) {
  a_groups = most(a_groups, 1);
  b_groups = most(b_groups, 1);
  return a / a_groups == b / b_groups && a % a_groups == b % b_groups;
}

static void compare_convs(comparison *c, const cbn_conv *a, const cbn_conv *b) {
  compare(c, a->struct_size == b->struct_size, "struct_size");
  compare(c, a->spatial_rank == b->spatial_rank, "the number of axes");
  compare(c, a->direction == b->direction && a->transposed == b->transposed, "direction");
  compare(c, a->padding_mode == b->padding_mode, "padding_mode");
  compare(c, a->has_bias == b->has_bias, "bias");
  compare(c, a->batch == b->batch, "batch");
  compare(c, a->groups == b->groups, "groups");
  compare(c, same_channels(a->in_channels, a->groups, b->in_channels, b->groups), "in_channels");
  compare(c, same_channels(a->out_channels, a->groups, b->out_channels, b->groups), "out_channels");
  compare_axes(c, a->input, b->input, "the input's extents");
  compare_axes(c, a->pad_begin, b->pad_begin, "pad_begin");
  compare_axes(c, a->pad_end, b->pad_end, "pad_end");
  compare_axes(c, a->input_dilation, b->input_dilation, "input_dilation");
  compare_axes(c, a->dilation, b->dilation, "dilation");
  compare_axes(c, a->kernel, b->kernel, "kernel");
  compare_axes(c, a->stride, b->stride, "stride");
  compare_axes(c, a->output_padding, b->output_padding, "output_padding");
}

/* A NaN, which cases may have, is the same as another one. */
static bool same_real(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void compare_batchnorms(comparison *c, const cbn_batchnorm *a, const cbn_batchnorm *b) {
  compare(c, a->struct_size == b->struct_size, "struct_size");
  compare(c, a->spatial_rank == b->spatial_rank, "the number of axes");
  compare(c, a->direction == b->direction, "direction");
  compare(c, a->statistics == b->statistics, "statistics");
  compare(c, a->update_running == b->update_running, "update_running");
  compare(c, a->running_variance == b->running_variance, "running_variance");
  compare(c, a->has_weight == b->has_weight, "weight");
  compare(c, a->has_bias == b->has_bias, "bias");
  compare(c, a->batch == b->batch, "batch");
  compare(c, a->channels == b->channels, "channels");
  compare_axes(c, a->extent, b->extent, "the input's extents");
  compare(c, same_real(a->epsilon, b->epsilon), "epsilon");
  compare(c, same_real(a->new_weight, b->new_weight), "new_weight");
}

bool cbn_generated_reads(const cbn_generated *p, int role) {
  const bool conv = cbn_generated_is_conv(p->kind);
  const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
  const cbn_call call = {.operator_kind = conv ? CBN_OPERATOR_CONV : CBN_OPERATOR_BATCHNORM,
                         .conv = conv ? &p->conv : NULL,
                         .batchnorm = conv ? NULL : &p->batchnorm};
  int64_t extent[CBN_MAX_RANK];
  if (!p->valid || role > CBN_ROLE_GRAD_OUTPUT) return false;
  return (statistic && p->kind == CBN_GENERATED_BATCHNORM_PROGRAM) || cbn_call_extents(&call, role, extent) > 0;
}

bool cbn_generated_same_data(const cbn_fill *a, const cbn_fill *b) {
  if (a->kind != b->kind || (cbn_fill_is_random(a->kind) && a->seed != b->seed)) return false;
  switch ((enum cbn_fill_kind)a->kind) {
  case CBN_FILL_INTEGERS: return a->low == b->low && a->high == b->high;
  case CBN_FILL_EXACT: return a->bits == b->bits && a->shift == b->shift && same_real(a->density, b->density);
  case CBN_FILL_NORMAL: return same_real(a->mean, b->mean) && same_real(a->scale, b->scale);
  case CBN_FILL_IMPULSE: return same_real(a->value, b->value) && a->position == b->position;
  case CBN_FILL_RAMP: return same_real(a->start, b->start) && same_real(a->step, b->step);
  default: return true;
  }
}

/* Does a call read random numbers? */
static bool reads_random_numbers(const cbn_generated *p) {
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    if (cbn_fill_is_random(p->fill[role].kind) && cbn_generated_reads(p, role)) return true;
  return false;
}

static bool axis_gene_matters(const cbn_generated *p, int gene) {
  const cbn_conv *c = &p->conv;
  const int a = axis_of(p, gene);
  int64_t number;
  if (!cbn_gene_number(p, gene, &number)) return false;
  switch (gene - (gene - CBN_GENE_INPUT_D) % CBN_MAX_SPATIAL) {
  case CBN_GENE_INPUT_DILATION_D: return !c->transposed && c->padding_mode == CBN_PAD_ZEROS;
  case CBN_GENE_OUTPUT_PADDING_D: return c->transposed && most(c->stride[a], c->dilation[a]) > 1;
  default: return true;
  }
}

bool cbn_gene_matters(const cbn_generated *p, int gene) {
  const bool conv = cbn_generated_is_conv(p->kind);
  if (cbn_gene_is_of_axis(gene)) return axis_gene_matters(p, gene);
  switch (gene) {
  case CBN_GENE_GROUPS:
  case CBN_GENE_OUT_CHANNELS: return conv;
  case CBN_GENE_PADDING_MODE: return conv && !p->conv.transposed;
  case CBN_GENE_BIAS: return !conv || p->conv.direction == CBN_FORWARD;
  case CBN_GENE_EPSILON:
  case CBN_GENE_STATISTICS:
  case CBN_GENE_AFFINE: return !conv;
  case CBN_GENE_NEW_WEIGHT: return p->kind == CBN_GENERATED_BATCHNORM_TRAIN;
  case CBN_GENE_STEPS: return p->kind == CBN_GENERATED_BATCHNORM_PROGRAM;
  case CBN_GENE_INPUT_FILL: return cbn_generated_reads(p, CBN_ROLE_INPUT);
  case CBN_GENE_WEIGHT_FILL: return cbn_generated_reads(p, CBN_ROLE_WEIGHT) || cbn_generated_reads(p, CBN_ROLE_BIAS);
  case CBN_GENE_STATISTICS_FILL: return cbn_generated_reads(p, CBN_ROLE_RUNNING_MEAN);
  case CBN_GENE_GRAD_FILL: return cbn_generated_reads(p, CBN_ROLE_GRAD_OUTPUT);
  case CBN_GENE_SEED_1:
  case CBN_GENE_SEED_2: return reads_random_numbers(p);
  case CBN_GENE_MISS: return !p->valid;
  default: break;
  }
  if (gene >= CBN_GENE_STEP_1 && gene <= CBN_GENE_STEP_6)
    return p->kind == CBN_GENERATED_BATCHNORM_PROGRAM && gene - CBN_GENE_STEP_1 < p->steps;
  return true;
}

static comparison compare_problems(const cbn_generated *a, const cbn_generated *b) {
  comparison c = {0, NULL};
  compare(&c, a->kind == b->kind, "kind");
  compare(&c, a->valid == b->valid, "validity");
  compare(&c, a->type == b->type, "the input's type");
  compare(&c, a->layer_type == b->layer_type, "the layer's type");
  compare(&c, !a->valid || a->exact == b->exact, "the kind of data");
  compare(&c, a->layout == b->layout, "layout");
  compare(&c, a->in_place == b->in_place, "in_place");
  if (cbn_generated_is_conv(a->kind)) compare_convs(&c, &a->conv, &b->conv);
  else compare_batchnorms(&c, &a->batchnorm, &b->batchnorm);
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    compare(&c, !cbn_generated_reads(b, role) || cbn_generated_same_data(&a->fill[role], &b->fill[role]),
            cbn_role_name(role));
  compare(&c, a->steps == b->steps, "the number of steps");
  for (int i = 0; i < CBN_GENERATED_STEPS; i++) {
    compare(&c, a->step[i].train == b->step[i].train, "a step's mode");
    compare(&c, a->step[i].reset == b->step[i].reset, "a step's reset");
    compare(&c, same_real(a->step[i].new_weight, b->step[i].new_weight), "a step's new_weight");
  }
  return c;
}

bool cbn_generated_equal(const cbn_generated *a, const cbn_generated *b) {
  return compare_problems(a, b).different == 0;
}

/* The genes of numbers. Of axes where a near miss has none, or too many, there are as many as it was made of. */
static void look_up_numbers(cbn_generated problem, uint8_t *bytes) {
  const bool conv = cbn_generated_is_conv(problem.kind);
  cbn_conv *c = &problem.conv;
  const int32_t *const table = conv ? ranks : norm_ranks;
  int32_t *rank = conv ? &c->spatial_rank : &problem.batchnorm.spatial_rank;
  bytes[CBN_GENE_RANK] = place_in(table, COUNT(ranks), *rank);
  *rank = table[bytes[CBN_GENE_RANK]];
  for (int which = 0; which < CBN_GENE_COUNT; which++) {
    int64_t number;
    if (cbn_gene_number(&problem, which, &number)) bytes[which] = (uint8_t)most(cbn_gene_value_of(which, number), 0);
  }
  const int64_t groups = most(c->groups, 1);
  if (conv && (c->in_channels % groups != 0 || c->out_channels % groups != 0)) /* a near miss has one more */
    bytes[CBN_GENE_GROUPS] = (uint8_t)most(cbn_gene_value_of(CBN_GENE_GROUPS, groups - 1), 0);
}

/* All random fills have one seed. */
static uint64_t seed_of(const cbn_generated *problem) {
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    if (cbn_generated_reads(problem, role) && cbn_fill_is_random(problem->fill[role].kind))
      return problem->fill[role].seed;
  return 0;
}

/* What can be looked up. Fitting leaves it as it is: what a problem has fits already, nothing is too much for a large
 * one, and its output may be empty. */
static void look_up_all(const cbn_generated *problem, uint8_t *bytes) {
  const uint64_t seed = seed_of(problem);
  bytes[CBN_GENE_KIND] = (uint8_t)problem->kind;
  bytes[CBN_GENE_NEAR_MISS] = problem->valid ? CBN_NEAR_MISS_MAY_BE_EMPTY : CBN_NEAR_MISS_FIRST;
  bytes[CBN_GENE_EXACT] = !problem->exact;
  bytes[CBN_GENE_TYPE] = place_in(types, COUNT(types), problem->type);
  bytes[CBN_GENE_SIZE] = CBN_SIZE_LARGE;
  bytes[CBN_GENE_PADDING_MODE] = place_in(modes, COUNT(modes), problem->conv.padding_mode);
  look_up_numbers(*problem, bytes);
  bytes[CBN_GENE_STEPS] = (uint8_t)(problem->steps > 2 ? problem->steps - 2 : 0);
  bytes[CBN_GENE_SEED_1] = (uint8_t)seed;
  bytes[CBN_GENE_SEED_2] = (uint8_t)(seed >> 8);
}

/* What is tried, value by value. Each decides about parameters that no later one does: they need no second look. */
static bool is_tried(int which, bool valid) {
  return which == CBN_GENE_LAYOUT || which == CBN_GENE_BIAS || (which == CBN_GENE_MISS && !valid) ||
         (which >= CBN_GENE_EPSILON && which < CBN_GENE_SEED_1 && which != CBN_GENE_STEPS);
}

/* Sets the gene to the least value that leaves the fewest parameters different. */
static void try_values(const cbn_generated *problem, uint8_t *bytes, int which, comparison *best) {
  uint8_t chosen = bytes[which];
  for (int value = 0; value < genes[which].values; value++) {
    cbn_generated made;
    bytes[which] = (uint8_t)value;
    cbn_generate(bytes, CBN_GENOME_BYTES, &made);
    const comparison c = compare_problems(&made, problem);
    if (c.different >= best->different) continue;
    *best = c;
    chosen = (uint8_t)value;
  }
  bytes[which] = chosen;
}

/* Sets the gene to 0 if that is the same problem. */
static void make_plain(const cbn_generated *problem, uint8_t *bytes, int which) {
  const uint8_t before = bytes[which];
  cbn_generated made;
  bytes[which] = 0;
  cbn_generate(bytes, CBN_GENOME_BYTES, &made);
  if (!cbn_generated_equal(&made, problem)) bytes[which] = before;
}

bool cbn_genome_of(const cbn_generated *problem, uint8_t bytes[CBN_GENOME_BYTES], const char **parameter) {
  cbn_generated made;
  memset(bytes, 0, CBN_GENOME_BYTES);
  look_up_all(problem, bytes);
  cbn_generate(bytes, CBN_GENOME_BYTES, &made);
  comparison best = compare_problems(&made, problem);
  for (int which = 0; which < CBN_GENE_COUNT && best.different > 0; which++)
    if (is_tried(which, problem->valid)) try_values(problem, bytes, which, &best);
  if (parameter != NULL) *parameter = best.first;
  if (best.different > 0) return false;
  make_plain(problem, bytes, CBN_GENE_SIZE);
  if (problem->valid) make_plain(problem, bytes, CBN_GENE_NEAR_MISS);
  return true;
}
