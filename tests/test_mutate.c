/* Mutations of genomes: each does what its name says, chains of them reach everything and keep their speed. What holds is
 * checked on the problems that the genomes become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/rules.h"
#include "fuzz/entry/afl_mutator.c" /* a library of its own, which no program links */
#include "generator/mutate.h"
#include "tests/chance.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* A chain of mutants: genome and problem of the last two. */
typedef struct chain {
  int kind, which; /* kind: -1 for any; which: the last mutation */
  uint64_t seed;
  uint8_t before[CBN_GENOME_BYTES], genome[CBN_GENOME_BYTES];
  cbn_generated parent, child;
} chain;

/* Begins with the genome of no bytes. */
static chain begin(int kind, uint64_t seed) {
  chain c = {.kind = kind, .seed = seed};
  cbn_genome_take(NULL, 0, kind, c.genome);
  cbn_generate(c.genome, CBN_GENOME_BYTES, &c.child);
  return c;
}

static void step(chain *c) {
  memcpy(c->before, c->genome, CBN_GENOME_BYTES);
  c->parent = c->child;
  c->which = cbn_mutate(c->genome, c->kind, c->seed++);
  cbn_generate(c->genome, CBN_GENOME_BYTES, &c->child);
}

static void random_genome(chance *r, int kind, uint8_t genome[CBN_GENOME_BYTES]) {
  for (int i = 0; i < CBN_GENOME_BYTES; i++) genome[i] = (uint8_t)next(r);
  if (kind >= 0) genome[CBN_GENE_KIND] = (uint8_t)kind;
}

static bool is_conv(const cbn_generated *p) { return cbn_generated_is_conv(p->kind); }

static bool is_valid(const cbn_generated *p) {
  cbn_violation v;
  return is_conv(p) ? cbn_conv_validate(&p->conv, &v) : cbn_batchnorm_validate(&p->batchnorm, &v);
}

static int64_t work_of(const cbn_generated *p) {
  return is_conv(p) ? cbn_conv_work(&p->conv) : cbn_batchnorm_work(&p->batchnorm);
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---------------------------------------------------------------------------------- what each mutation's name says */

/* What a problem has along one of its axes. */
typedef struct axis {
  int64_t input, kernel, stride, dilation, input_dilation, pad_begin, pad_end, output_padding, output;
} axis;

static int axes_of(const cbn_generated *p, axis axes[CBN_MAX_SPATIAL]) {
  const cbn_conv *c = &p->conv;
  const int rank = is_conv(p) ? c->spatial_rank : p->batchnorm.spatial_rank;
  for (int a = 0; a < rank; a++)
    axes[a] = is_conv(p) ? (axis){c->input[a],    c->kernel[a],         c->stride[a],
                                  c->dilation[a], c->input_dilation[a], c->pad_begin[a],
                                  c->pad_end[a],  c->output_padding[a], cbn_conv_output_extent(c, a)}
                         : (axis){.input = p->batchnorm.extent[a]};
  return rank;
}

static bool same_axis(const axis *a, const axis *b) { return memcmp(a, b, sizeof *a) == 0; }

/* A convolution's numbers without its axes. */
typedef struct numbers {
  int64_t rank, mode, bias, batch, in_channels, out_channels, groups;
} numbers;

static numbers numbers_of(const cbn_generated *p) {
  const cbn_conv *c = &p->conv;
  const cbn_batchnorm *b = &p->batchnorm;
  if (!is_conv(p))
    return (numbers){.rank = b->spatial_rank, .batch = b->batch, .in_channels = b->channels, .groups = 1};
  return (numbers){c->spatial_rank,
                   c->padding_mode,
                   c->has_bias,
                   c->batch,
                   c->in_channels / most(c->groups, 1),
                   c->out_channels / most(c->groups, 1),
                   c->groups};
}

/* Are the operators the same, whatever their data? */
static bool same_operator(const cbn_generated *a, const cbn_generated *b) {
  cbn_generated other = *b;
  other.exact = a->exact;
  memcpy(other.fill, a->fill, sizeof other.fill);
  return cbn_generated_equal(a, &other);
}

static int different_axes(const cbn_generated *a, const cbn_generated *b) {
  axis x[CBN_MAX_SPATIAL], y[CBN_MAX_SPATIAL];
  int count = 0;
  for (int i = axes_of(a, x) == axes_of(b, y) ? axes_of(a, x) - 1 : -1; i >= 0; i--)
    count += (x[i].input != y[i].input) + (x[i].kernel != y[i].kernel) + (x[i].stride != y[i].stride) +
             (x[i].dilation != y[i].dilation) + (x[i].input_dilation != y[i].input_dilation) +
             (x[i].pad_begin != y[i].pad_begin) + (x[i].pad_end != y[i].pad_end) +
             (x[i].output_padding != y[i].output_padding);
  return count;
}

static bool same_step(const cbn_generated_step *a, const cbn_generated_step *b) {
  return a->train == b->train && a->reset == b->reset && a->new_weight == b->new_weight;
}

/* How many parameters differ; 0 where it is the data. */
static int differences(const cbn_generated *a, const cbn_generated *b) {
  const numbers m = numbers_of(a), n = numbers_of(b);
  const cbn_batchnorm *p = &a->batchnorm, *q = &b->batchnorm;
  int count = different_axes(a, b) + (m.rank != n.rank) + (m.mode != n.mode) + (m.bias != n.bias) +
              (m.batch != n.batch) + (m.in_channels != n.in_channels) + (m.out_channels != n.out_channels) +
              (m.groups != n.groups) + (a->kind != b->kind) + (a->type != b->type) + (a->layout != b->layout) +
              (a->in_place != b->in_place) + (a->steps != b->steps) + (p->epsilon != q->epsilon) +
              (p->new_weight != q->new_weight) + (p->has_weight != q->has_weight || p->has_bias != q->has_bias) +
              (p->statistics != q->statistics || p->update_running != q->update_running ||
               p->running_variance != q->running_variance);
  for (int i = 0; i < a->steps && i < b->steps; i++) count += !same_step(&a->step[i], &b->step[i]);
  return count;
}

/* Has the child an axis that is new and of which that is true? */
typedef bool (*axis_property)(const cbn_generated *p, const axis *a);

static bool has_new_axis(const cbn_generated *parent, const cbn_generated *child, axis_property property) {
  axis x[CBN_MAX_SPATIAL], y[CBN_MAX_SPATIAL];
  axes_of(parent, x);
  if (!is_conv(child)) return false;
  for (int a = axes_of(child, y) - 1; a >= 0; a--)
    if (!same_axis(&x[a], &y[a]) && property(child, &y[a])) return true;
  return false;
}

static int64_t span(const axis *a) { return (a->kernel - 1) * a->dilation + 1; }

static bool is_plain(const cbn_generated *p, const axis *a) {
  (void)p;
  return a->stride == 1 && a->dilation == 1 && a->input_dilation == 1 && a->pad_begin == 0 && a->pad_end == 0 &&
         a->output_padding == 0;
}

static bool at_padding_edge(const cbn_generated *p, const axis *a) {
  const int64_t padding = most(a->pad_begin, a->pad_end);
  if (padding == span(a) - 2 || padding == span(a) - 1 || padding == span(a)) return true;
  switch (p->conv.padding_mode) {
  case CBN_PAD_REFLECT: return padding == a->input - 1 || padding == a->input - 2;
  default: return padding == a->input || padding == a->input - 1 || padding == a->input - 2;
  }
}

static bool at_kernel_edge(const cbn_generated *p, const axis *a) {
  const int64_t spare = (a->input - 1) * a->input_dilation + 1 + a->pad_begin + a->pad_end - span(a);
  return !p->conv.transposed && spare >= -1 && spare <= 1;
}

static bool at_output_padding_edge(const cbn_generated *p, const axis *a) {
  const int64_t limit = most(a->stride, a->dilation);
  return p->conv.transposed && limit > 1 && (a->output_padding == limit - 1 || a->output_padding == limit - 2);
}

static bool at_stride_edge(const cbn_generated *p, const axis *a) {
  (void)p;
  return a->stride == a->kernel || a->stride == a->input || a->stride == a->input + 1;
}

static bool is_beside_tile(int64_t number) {
  static const int tiles[] = {4, 8, 16, 24};
  for (int i = 0; i < COUNT(tiles); i++)
    for (int times = 1; times <= 2; times++)
      if (number >= times * tiles[i] - 1 && number <= times * tiles[i] + 1) return true;
  return false;
}

static bool meets_tile(const cbn_generated *parent, const cbn_generated *child) {
  const numbers m = numbers_of(parent), n = numbers_of(child);
  axis x[CBN_MAX_SPATIAL], y[CBN_MAX_SPATIAL];
  bool meets = (m.in_channels != n.in_channels && is_beside_tile(n.in_channels)) ||
               (m.out_channels != n.out_channels && is_beside_tile(n.out_channels));
  axes_of(parent, x);
  for (int a = axes_of(child, y) - 1; a >= 0; a--)
    meets = meets || (x[a].input != y[a].input && is_beside_tile(y[a].input)) ||
            (x[a].output != y[a].output && is_beside_tile(y[a].output));
  return meets;
}

/* Two axes a and b of the child are the parent's b and a; or, for a copy, the child's are equal and the parent's not. */
static bool axes_moved(const cbn_generated *parent, const cbn_generated *child, bool copied) {
  axis x[CBN_MAX_SPATIAL], y[CBN_MAX_SPATIAL];
  const int rank = axes_of(parent, x);
  if (axes_of(child, y) != rank) return false;
  for (int a = 0; a < rank; a++)
    for (int b = 0; b < a; b++) {
      if (same_axis(&x[a], &x[b])) continue;
      if (copied ? same_axis(&y[a], &y[b]) : same_axis(&x[a], &y[b]) && same_axis(&x[b], &y[a])) return true;
    }
  return false;
}

static bool is_plainer(const cbn_generated *parent, const cbn_generated *child) {
  cbn_generated plain;
  const uint8_t kind = (uint8_t)child->kind;
  cbn_generate(&kind, 1, &plain);
  return differences(child, &plain) <= differences(parent, &plain);
}

static bool is_empty(const cbn_generated *p) {
  const numbers n = numbers_of(p);
  axis axes[CBN_MAX_SPATIAL];
  bool empty = n.batch == 0 || n.in_channels == 0 || (is_conv(p) && n.out_channels == 0);
  for (int a = axes_of(p, axes) - 1; a >= 0; a--) empty = empty || axes[a].input == 0;
  return empty;
}

/* Is the child what that mutation makes of the parent? */
static bool does_what_it_says(enum cbn_mutation which, const cbn_generated *parent, const cbn_generated *child) {
  const numbers n = numbers_of(child);
  cbn_generated other = *child;
  switch (which) {
  case CBN_MUTATION_GENE: return differences(parent, child) <= 2;
  case CBN_MUTATION_NUDGE: return differences(parent, child) <= 2;
  case CBN_MUTATION_GENES: return differences(parent, child) >= 2;
  case CBN_MUTATION_RUN: return differences(parent, child) <= 8; /* as many as an axis has */
  case CBN_MUTATION_ALL: return differences(parent, child) >= 4;
  case CBN_MUTATION_UNDO: return is_plainer(parent, child);
  case CBN_MUTATION_SWAP_AXES: return axes_moved(parent, child, false);
  case CBN_MUTATION_COPY_AXIS: return axes_moved(parent, child, true);
  case CBN_MUTATION_PLAIN_AXIS: return has_new_axis(parent, child, is_plain);
  case CBN_MUTATION_TILE: return meets_tile(parent, child);
  case CBN_MUTATION_PADDING_EDGE: return has_new_axis(parent, child, at_padding_edge);
  case CBN_MUTATION_KERNEL_EDGE: return has_new_axis(parent, child, at_kernel_edge);
  case CBN_MUTATION_OUTPUT_PADDING_EDGE: return has_new_axis(parent, child, at_output_padding_edge);
  case CBN_MUTATION_STRIDE_EDGE: return has_new_axis(parent, child, at_stride_edge);
  case CBN_MUTATION_DEPTHWISE: return is_conv(child) && n.groups > 1 && n.in_channels == 1;
  case CBN_MUTATION_FEW_VALUES: return !is_conv(child) && work_of(child) <= 2 * n.in_channels;
  case CBN_MUTATION_EMPTY: return is_empty(child);
  case CBN_MUTATION_NEAR_MISS: return !is_valid(child);
  case CBN_MUTATION_FILL:
  case CBN_MUTATION_RANDOM_NUMBERS: return parent->exact == child->exact && same_operator(parent, child);
  case CBN_MUTATION_EXACT: return parent->exact != child->exact && same_operator(parent, child);
  case CBN_MUTATION_TYPE:
    other.type = parent->type;
    other.layer_type = parent->layer_type;
    return parent->type != child->type && cbn_generated_equal(parent, &other);
  case CBN_MUTATION_LAYOUT:
    other.layout = parent->layout;
    other.in_place = parent->in_place; /* which a mixed layout is never */
    return parent->layout != child->layout && cbn_generated_equal(parent, &other);
  case CBN_MUTATION_KIND: return parent->kind != child->kind && parent->type == child->type;
  case CBN_MUTATION_COUNT: break;
  }
  return false;
}

/* In 100: how often it must. What fitting makes of the rest of the problem may undo it now and then, two of several
 * genes may be such that nobody reads them, and where an axis was at an edge it does not become another one. */
static int least_share(int which) {
  switch (which) {
  case CBN_MUTATION_GENES: return 60;
  case CBN_MUTATION_COPY_AXIS: return 75;
  case CBN_MUTATION_GENE:
  case CBN_MUTATION_NUDGE:
  case CBN_MUTATION_UNDO:
  case CBN_MUTATION_SWAP_AXES: return 90;
  case CBN_MUTATION_PADDING_EDGE:
  case CBN_MUTATION_RUN: return 90;
  case CBN_MUTATION_ALL:
  case CBN_MUTATION_TILE:
  case CBN_MUTATION_KERNEL_EDGE:
  case CBN_MUTATION_STRIDE_EDGE: return 95;
  default: return 100;
  }
}

static void each_does_what_its_name_says(void **state) {
  (void)state;
  int drawn[CBN_MUTATION_COUNT] = {0}, done[CBN_MUTATION_COUNT] = {0};
  chain c = begin(-1, 1);
  for (int i = 0; i < 300000; i++) {
    step(&c);
    if (c.before[CBN_GENE_NEAR_MISS] != 0) continue;
    cbn_generated parent; /* as large as the child may be */
    c.before[CBN_GENE_SIZE] = c.genome[CBN_GENE_SIZE];
    cbn_generate(c.before, CBN_GENOME_BYTES, &parent);
    drawn[c.which]++;
    done[c.which] += does_what_it_says((enum cbn_mutation)c.which, &parent, &c.child);
  }
  for (int which = 0; which < CBN_MUTATION_COUNT; which++) {
    print_message("%-20s %6d times, %.1f %% as it says\n", cbn_mutation_name(which), drawn[which],
                  100.0 * done[which] / drawn[which]);
    assert_true(drawn[which] > 500);
    assert_true(100 * (int64_t)done[which] >= least_share(which) * (int64_t)drawn[which]);
  }
  assert_null(cbn_mutation_name(CBN_MUTATION_COUNT));
  assert_null(cbn_mutation_name(-1));
}

/* ------------------------------------------------------------------------------------------------ mutants and chains */

static void bytes_kind_and_seed_decide(void **state) {
  (void)state;
  chance r = {1};
  for (int i = 0; i < 20000; i++) {
    const int kind = (int)between(&r, -1, CBN_GENERATED_KIND_COUNT - 1);
    const uint64_t seed = next(&r);
    uint8_t a[CBN_GENOME_BYTES], b[CBN_GENOME_BYTES];
    random_genome(&r, -1, a);
    memcpy(b, a, sizeof b);
    assert_int_equal(cbn_mutate(a, kind, seed), cbn_mutate(b, kind, seed));
    assert_memory_equal(a, b, sizeof a);
    if (kind >= 0) assert_int_equal(a[CBN_GENE_KIND], kind);
  }
}

/* In a chain, and from any bytes: nearly every mutant is another problem. */
static void mutants_are_other_problems(void **state) {
  (void)state;
  enum { MUTANTS = 20000 };
  for (int kind = -1; kind < CBN_GENERATED_KIND_COUNT; kind++) {
    chance r = {(uint64_t)(kind + 2)};
    chain c = begin(kind, 3);
    int other = 0, other_of_random = 0;
    for (int i = 0; i < MUTANTS; i++) {
      step(&c);
      other += !cbn_generated_equal(&c.parent, &c.child);
      uint8_t genome[CBN_GENOME_BYTES];
      cbn_generated before, after;
      random_genome(&r, kind, genome);
      cbn_generate(genome, sizeof genome, &before);
      cbn_mutate(genome, kind, next(&r));
      cbn_generate(genome, sizeof genome, &after);
      other_of_random += !cbn_generated_equal(&before, &after);
    }
    assert_true(other > MUTANTS / 100 * 98 && other_of_random > MUTANTS / 100 * 98);
  }
}

/* However long the chain: about one mutant in 256 is large, less than one in twenty breaks a rule, and the work is about
 * that of random bytes. */
static void chains_keep_their_speed(void **state) {
  (void)state;
  enum { MUTANTS = 100000 };
  for (int kind = -1; kind < CBN_GENERATED_KIND_COUNT; kind++) {
    chance r = {(uint64_t)(kind + 2)};
    chain c = begin(kind, 5);
    int large = 0, invalid = 0;
    double work = 0, random_work = 0;
    for (int i = 0; i < MUTANTS; i++) {
      uint8_t genome[CBN_GENOME_BYTES];
      cbn_generated p;
      random_genome(&r, kind, genome);
      cbn_generate(genome, sizeof genome, &p);
      step(&c);
      random_work += p.valid ? (double)work_of(&p) : 0;
      work += c.child.valid ? (double)work_of(&c.child) : 0;
      large += c.genome[CBN_GENE_SIZE] == cbn_gene_values(CBN_GENE_SIZE) - 1;
      invalid += !is_valid(&c.child);
    }
    const char *name = kind < 0 ? "any" : cbn_generated_kind_name(kind);
    print_message("%-24s %.4f large, %.4f invalid, %.2f of the work of random bytes\n", name, (double)large / MUTANTS,
                  (double)invalid / MUTANTS, work / random_work);
    assert_true(large > MUTANTS / 512 && large < MUTANTS / 128);
    assert_true(invalid > MUTANTS / 100 && invalid <= MUTANTS / 20);
    assert_true(work < 1.5 * random_work && random_work < 1.5 * work);
  }
}

/* What a walk has to come by. */
#define SIGHTS(X)                                                                                                      \
  X(strided_and_dilated, is_conv(p) && a->stride > 1 && a->dilation > 1)                                               \
  X(strided_dilated_padded_reflection,                                                                                 \
    is_conv(p) && c->padding_mode == CBN_PAD_REFLECT && a->stride > 1 && a->dilation > 1 && a->pad_begin > 0)          \
  X(widest_reflection, is_conv(p) && c->padding_mode == CBN_PAD_REFLECT && a->pad_end == a->input - 1 && a->input > 1) \
  X(widest_wrap, is_conv(p) && c->padding_mode == CBN_PAD_CIRCULAR && a->pad_begin == a->input && a->input > 1)        \
  X(replicated, is_conv(p) && c->padding_mode == CBN_PAD_REPLICATE && a->pad_begin > a->input)                         \
  X(cropped, is_conv(p) && a->pad_begin < 0 && a->pad_end > 0)                                                         \
  X(asymmetric, is_conv(p) && a->pad_begin != a->pad_end)                                                              \
  X(holes, is_conv(p) && a->input_dilation > 1 && a->stride > 1)                                                       \
  X(grouped, is_conv(p) && n.groups > 1 && n.in_channels > 1 && n.out_channels > 1)                                    \
  X(depthwise, is_conv(p) && n.groups > 1 && n.in_channels == 1 && n.out_channels > 1)                                 \
  X(output_padding, is_conv(p) && a->output_padding > 1 && a->output_padding == most(a->stride, a->dilation) - 1)      \
  X(too_large_kernel, is_conv(p) && !c->transposed && a->output == 0 && a->input > 0)                                  \
  X(tile_of_pixels, is_conv(p) && a->output == 25)                                                                     \
  X(tile_of_channels, is_conv(p) && n.in_channels == 9 && n.out_channels == 17)                                        \
  X(no_batch, n.batch == 0)                                                                                            \
  X(one_value, p->kind == CBN_GENERATED_BATCHNORM_TRAIN && b->channels > 0 && cbn_batchnorm_work(b) == b->channels)    \
  X(mixed_types, p->layer_type != p->type)                                                                             \
  X(in_place, p->in_place)                                                                                             \
  X(no_weight, !is_conv(p) && !b->has_weight && b->has_bias)                                                           \
  X(running_gradients, p->kind == CBN_GENERATED_BATCHNORM_GRAD && b->statistics == CBN_STATISTICS_RUNNING)             \
  X(longest_program, p->steps == CBN_GENERATED_STEPS)

enum sight {
#define SIGHT(name, seen) SIGHT_##name,
  SIGHTS(SIGHT)
#undef SIGHT
      SIGHT_COUNT
};

static void look(const cbn_generated *p, const axis *a, int seen[SIGHT_COUNT]) {
  const numbers n = numbers_of(p);
  const cbn_conv *c = &p->conv;
  const cbn_batchnorm *b = &p->batchnorm;
#define SIGHT(name, is_seen) seen[SIGHT_##name] += is_seen;
  SIGHTS(SIGHT)
#undef SIGHT
}

/* From the problem of no bytes, a walk of 10^5 mutations comes by everything: each kind with each type, layout, rank and
 * each direction's padding modes, each broken rule, and combinations that random bytes seldom are. */
static void chains_reach_everything(void **state) {
  (void)state;
  static const char *const sights[] = {
#define SIGHT(name, seen) #name,
      SIGHTS(SIGHT)
#undef SIGHT
  };
  int seen[SIGHT_COUNT] = {0}, types[CBN_GENERATED_KIND_COUNT][4] = {{0}}, layouts[CBN_GENERATED_KIND_COUNT][5] = {{0}},
      ranks[CBN_GENERATED_KIND_COUNT][CBN_MAX_SPATIAL + 1] = {{0}}, modes[CBN_GENERATED_KIND_COUNT][4] = {{0}},
      misses[CBN_RULE_COUNT] = {0}, fills[CBN_FILL_COUNT] = {0};
  chain c = begin(-1, 1);
  for (int i = 0; i < 100000; i++) {
    step(&c);
    const cbn_generated *p = &c.child;
    cbn_violation violation;
    if (!p->valid) {
      assert_false(is_conv(p) ? cbn_conv_validate(&p->conv, &violation)
                              : cbn_batchnorm_validate(&p->batchnorm, &violation));
      misses[violation.rule]++;
      continue;
    }
    axis axes[CBN_MAX_SPATIAL] = {{0}};
    for (int a = axes_of(p, axes) - 1; a >= 0; a--) look(p, &axes[a], seen);
    types[p->kind][p->type]++;
    layouts[p->kind][p->layout]++;
    ranks[p->kind][numbers_of(p).rank]++;
    modes[p->kind][numbers_of(p).mode]++;
    fills[p->fill[CBN_ROLE_INPUT].kind]++;
  }
  for (int i = 0; i < SIGHT_COUNT; i++)
    if (seen[i] == 0) fail_msg("not reached: %s", sights[i]);
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++)
    for (int i = 0; i < 4; i++) {
      const bool conv = cbn_generated_is_conv((enum cbn_generated_kind)kind);
      const bool transposed = kind >= CBN_GENERATED_TRANSPOSED_FORWARD && conv;
      assert_true(types[kind][i] > 0 && layouts[kind][i] > 0 && layouts[kind][CBN_PITCHED] > 0);
      assert_true(ranks[kind][i] > 0 || (i == 0 && conv));
      assert_true(modes[kind][i] > 0 || (i != CBN_PAD_ZEROS && (transposed || !conv)));
    }
  for (int i = 0; i < CBN_FILL_COUNT; i++) assert_true(fills[i] > 0);
  int broken = 0;
  for (int i = 0; i < CBN_RULE_COUNT; i++) broken += misses[i] > 0;
  assert_int_equal(broken, 21); /* all that core/conv.c and core/batchnorm.c name */
}

/* ------------------------------------------------------------------------------------------------- splices, trimming */

static void splices_take_every_gene_from_a_parent(void **state) {
  (void)state;
  chance r = {1};
  for (int i = 0; i < 20000; i++) {
    uint8_t a[CBN_GENOME_BYTES], b[CBN_GENOME_BYTES], child[CBN_GENOME_BYTES], again[CBN_GENOME_BYTES];
    const uint64_t seed = next(&r);
    random_genome(&r, -1, a);
    random_genome(&r, -1, b);
    cbn_splice(a, b, seed, child);
    cbn_splice(a, b, seed, again);
    assert_memory_equal(child, again, sizeof child);
    int of_a = 0, of_b = 0;
    for (int gene = 0; gene < CBN_GENE_COUNT; gene++) {
      assert_true(child[gene] == a[gene] || child[gene] == b[gene]);
      of_a += child[gene] == a[gene];
      of_b += child[gene] == b[gene];
    }
    assert_true(of_a < CBN_GENE_COUNT && of_b < CBN_GENE_COUNT);
    /* An axis stays whole. */
    for (int d = CBN_GENE_INPUT_D; d < CBN_GENE_INPUT_D + CBN_MAX_SPATIAL; d++) {
      bool from_a = true, from_b = true;
      for (int gene = d; gene <= CBN_GENE_OUTPUT_PADDING_W; gene += CBN_MAX_SPATIAL) {
        from_a = from_a && child[gene] == a[gene];
        from_b = from_b && child[gene] == b[gene];
      }
      assert_true(from_a || from_b);
    }
    cbn_generated p, q, made;
    cbn_generate(a, sizeof a, &p);
    cbn_generate(b, sizeof b, &q);
    cbn_generate(child, sizeof child, &made);
    assert_true(made.valid || (!p.valid && !q.valid));
    cbn_splice(a, a, seed, child);
    assert_memory_equal(child, a, sizeof child);
  }
}

static int genes_not_plain(const uint8_t genome[CBN_GENOME_BYTES]) {
  int count = 0;
  for (int gene = 0; gene < CBN_GENE_COUNT; gene++) count += genome[gene] % cbn_gene_values(gene) != 0;
  return count;
}

/* Each step has fewer genes that are not plain, and changes no other one; the steps of single genes leave out none. */
static void trimming_makes_plainer(void **state) {
  (void)state;
  chance r = {1};
  for (int i = 0; i < 500; i++) {
    uint8_t genome[CBN_GENOME_BYTES], plainer[CBN_GENOME_BYTES];
    random_genome(&r, -1, genome);
    int steps = 0, single = 0;
    for (; cbn_trim(genome, steps, plainer); steps++) {
      assert_true(steps < 2 * CBN_GENOME_BYTES);
      assert_true(genes_not_plain(plainer) < genes_not_plain(genome));
      for (int gene = 0; gene < CBN_GENOME_BYTES; gene++)
        assert_true(plainer[gene] == genome[gene] || plainer[gene] == 0);
      assert_int_equal(plainer[CBN_GENE_KIND], genome[CBN_GENE_KIND]);
      single += genes_not_plain(plainer) == genes_not_plain(genome) - 1;
    }
    assert_true(single >= genes_not_plain(genome) - (genome[CBN_GENE_KIND] % CBN_GENERATED_KIND_COUNT != 0));
    assert_false(cbn_trim(genome, steps + 1, plainer));
  }
}

/* Where every step succeeds, trimming ends at the smallest problem of the kind. */
static void trimming_ends(void **state) {
  (void)state;
  chance r = {2};
  uint8_t genome[CBN_GENOME_BYTES], plainer[CBN_GENOME_BYTES];
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++) {
    const uint8_t smallest = (uint8_t)kind;
    cbn_generated trimmed, plain;
    random_genome(&r, kind, genome);
    for (int i = 0; cbn_trim(genome, 0, plainer); i++) {
      assert_true(i < CBN_GENOME_BYTES);
      memcpy(genome, plainer, sizeof genome);
    }
    cbn_generate(genome, sizeof genome, &trimmed);
    cbn_generate(&smallest, 1, &plain);
    assert_true(cbn_generated_equal(&trimmed, &plain));
  }
}

static void bytes_of_any_length_are_a_genome(void **state) {
  (void)state;
  uint8_t bytes[2 * CBN_GENOME_BYTES], genome[CBN_GENOME_BYTES];
  chance r = {3};
  random_genome(&r, -1, bytes);
  random_genome(&r, -1, bytes + CBN_GENOME_BYTES);
  for (size_t size = 0; size <= sizeof bytes; size++) {
    cbn_generated p, q;
    cbn_genome_take(bytes, size, -1, genome);
    cbn_generate(bytes, size, &p);
    cbn_generate(genome, sizeof genome, &q);
    assert_true(cbn_generated_equal(&p, &q));
    cbn_genome_take(bytes, size, CBN_GENERATED_BATCHNORM_EVAL, genome);
    cbn_generate(genome, sizeof genome, &q);
    assert_int_equal(q.kind, CBN_GENERATED_BATCHNORM_EVAL);
  }
}

/* ------------------------------------------------------------------------------------------------ AFL++'s library */

static void afl_mutates_and_splices(void **state) {
  (void)state;
  chance r = {4};
  assert_int_equal(setenv("CONVBN_FUZZ_TARGET", "conv_grad_weight", 1), 0);
  mutator *m = afl_custom_init(NULL, 1), *again = afl_custom_init(NULL, 1);
  assert_non_null(m);
  assert_non_null(again);
  int of_other = 0;
  for (int i = 0; i < 20000; i++) {
    uint8_t bytes[2 * CBN_GENOME_BYTES], other[CBN_GENOME_BYTES], *mutant, *twin;
    const size_t size = (size_t)between(&r, 0, sizeof bytes), limit = (size_t)between(&r, 1, sizeof bytes);
    random_genome(&r, -1, bytes);
    random_genome(&r, -1, bytes + CBN_GENOME_BYTES);
    random_genome(&r, -1, other);
    uint8_t *const added = next(&r) % 2 ? other : NULL;
    const size_t length = afl_custom_fuzz(m, bytes, size, &mutant, added, sizeof other, limit);
    assert_int_equal(length, limit < CBN_GENOME_BYTES ? limit : CBN_GENOME_BYTES);
    assert_int_equal(mutant[CBN_GENE_KIND], CBN_GENERATED_CONV_GRAD_WEIGHT);
    for (int gene = CBN_GENE_EPSILON; gene < CBN_GENE_STEPS; gene++) of_other += mutant[gene] == other[gene];
    assert_int_equal(afl_custom_fuzz(again, bytes, size, &twin, added, sizeof other, limit), length);
    assert_memory_equal(mutant, twin, length);
    const char *words = afl_custom_describe(m, 30);
    assert_true(strlen(words) > 0 && strlen(words) <= 30);
    assert_true(strlen(afl_custom_describe(m, 3)) <= 3);
  }
  assert_true(of_other > 4 * 20000 / 20); /* one in eight is spliced, half of its genes are the other's */
  afl_custom_deinit(m);
  afl_custom_deinit(again);
  assert_int_equal(setenv("CONVBN_FUZZ_TARGET", "problem", 1), 0);
  m = afl_custom_init(NULL, 1);
  assert_non_null(m);
  assert_int_equal(m->kind, -1);
  afl_custom_deinit(m);
}

/* What the trimming is to keep. */
static bool keeps(const uint8_t *bytes, size_t size, const cbn_generated *first) {
  cbn_generated p;
  cbn_generate(bytes, size, &p);
  return p.kind == first->kind && p.type == first->type && numbers_of(&p).rank == numbers_of(first).rank &&
         (numbers_of(&p).groups > 1) == (numbers_of(first).groups > 1);
}

/* As AFL++ does it: never longer than before, no more steps than said, and at the end no step is left that succeeds. */
static void afl_trims(void **state) {
  (void)state;
  chance r = {5};
  assert_int_equal(unsetenv("CONVBN_FUZZ_TARGET"), 0);
  mutator *m = afl_custom_init(NULL, 1);
  assert_non_null(m);
  for (int i = 0; i < 2000; i++) {
    uint8_t bytes[2 * CBN_GENOME_BYTES], *plainer, left[CBN_GENOME_BYTES];
    size_t size = (size_t)between(&r, 0, sizeof bytes);
    random_genome(&r, -1, bytes);
    random_genome(&r, -1, bytes + CBN_GENOME_BYTES);
    cbn_generated first;
    cbn_generate(bytes, size, &first);
    const int32_t steps = afl_custom_init_trim(m, bytes, size);
    assert_true(size > 0 || steps == 0);
    for (int32_t at = 0, next_at; at < steps; at = next_at) {
      const size_t length = afl_custom_trim(m, &plainer);
      assert_true(length > 0 && length <= size);
      const bool success = keeps(plainer, length, &first);
      if (success) memcpy(bytes, plainer, size = length);
      next_at = afl_custom_post_trim(m, success);
      assert_true(next_at > at);
    }
    cbn_genome_take(bytes, size, -1, left);
    assert_true(genes_not_plain(left) <= 4); /* kind, type, rank, groups */
  }
  afl_custom_deinit(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_does_what_its_name_says),
      cmocka_unit_test(bytes_kind_and_seed_decide),
      cmocka_unit_test(mutants_are_other_problems),
      cmocka_unit_test(chains_keep_their_speed),
      cmocka_unit_test(chains_reach_everything),
      cmocka_unit_test(splices_take_every_gene_from_a_parent),
      cmocka_unit_test(trimming_makes_plainer),
      cmocka_unit_test(trimming_ends),
      cmocka_unit_test(bytes_of_any_length_are_a_genome),
      cmocka_unit_test(afl_mutates_and_splices),
      cmocka_unit_test(afl_trims),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
