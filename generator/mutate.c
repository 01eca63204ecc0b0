#include "generator/mutate.h"

#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

enum {
  TRIES = 16,
  NONE = -1,
  LARGE_STAYS = 8,   /* one in so many mutants of a large problem is large, */
  LARGE_COMES = 291, /* and one in so many of the others: together one in 256 */
  MISS_STAYS = 4     /* one in so many mutants of a near miss is one */
};

/* A mutation at work. */
typedef struct mutation {
  uint64_t chance;
  int kind;
  cbn_generated parent, made; /* the problems of parent and child */
  uint8_t genome[CBN_GENOME_BYTES];
  int goal; /* a gene whose number in `made` is to be `wanted`, which fitting may undo; or NONE */
  int64_t wanted;
} mutation;

static uint64_t next(uint64_t *chance) { /* splitmix64 */
  uint64_t z = (*chance += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* 0 to values - 1. */
static int draw(mutation *m, int values) { return (int)((next(&m->chance) >> 32) * (uint64_t)values >> 32); }

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* ------------------------------------------------------------------------------------------------------- genes */

static bool is_conv(const mutation *m) { return cbn_generated_is_conv(m->parent.kind); }

/* The gene of axis `a` of the problem, outermost first, where `gene` is that of D. */
static int axis_gene(const cbn_generated *p, int gene, int a) {
  return gene + CBN_MAX_SPATIAL - cbn_generated_axes(p) + a;
}

/* The number that the parent has by a gene of numbers that it has. */
static int64_t number_of(const mutation *m, int gene) {
  int64_t number = 0;
  cbn_gene_number(&m->parent, gene, &number);
  return number;
}

/* Sets the gene so that it stands for that number, which becomes the goal. False where no value does, and for what is
 * empty or crops, which is to be rare and is met elsewhere. */
static bool set(mutation *m, int gene, int64_t number) {
  const int64_t least = gene >= CBN_GENE_PAD_BEGIN_D && gene <= CBN_GENE_OUTPUT_PADDING_W ? 0 : 1;
  const int value = cbn_gene_value_of(gene, number);
  if (value < 0 || number < least) return false;
  m->genome[gene] = (uint8_t)value;
  m->goal = gene;
  m->wanted = number;
  return true;
}

/* --------------------------------------------------------------------------------------------------- relevance */

/* Kind, size and validity have mutations and shares of their own. */
static bool has_share(int gene) {
  return gene == CBN_GENE_KIND || gene == CBN_GENE_NEAR_MISS || gene == CBN_GENE_MISS || gene == CBN_GENE_SIZE;
}

/* Does the problem depend on the gene, of those that any mutation may change? */
static bool matters(const cbn_generated *p, int gene) { return !has_share(gene) && cbn_gene_matters(p, gene); }

/* Genes that belong together, by the first of each run; the axes' are those behind them. */
static const int runs[] = {CBN_GENE_KIND,
                           CBN_GENE_EXACT,
                           CBN_GENE_RANK,
                           CBN_GENE_GROUPS,
                           CBN_GENE_PADDING_MODE,
                           CBN_GENE_BIAS,
                           CBN_GENE_OUTPUT_PADDING_W + 1,
                           CBN_GENE_STEPS,
                           CBN_GENE_INPUT_FILL};
enum { RUNS = COUNT(runs) + CBN_MAX_SPATIAL };

static int run_of(int gene) {
  if (cbn_gene_is_of_axis(gene)) return COUNT(runs) + (gene - CBN_GENE_INPUT_D) % CBN_MAX_SPATIAL;
  int run = 0;
  while (run + 1 < COUNT(runs) && gene >= runs[run + 1]) run++;
  return run;
}

static int draw_gene(mutation *m) {
  int gene = draw(m, CBN_GENE_COUNT);
  while (!matters(&m->parent, gene)) gene = draw(m, CBN_GENE_COUNT);
  return gene;
}

static void change(mutation *m, int gene) { m->genome[gene] = (uint8_t)draw(m, cbn_gene_values(gene)); }

/* --------------------------------------------------------------------------------------------------- mutations */

/* Each changes m->genome, or says that it does not apply. */

static bool mutate_gene(mutation *m) {
  change(m, draw_gene(m));
  return true;
}

static bool mutate_nudge(mutation *m) {
  const int gene = draw_gene(m), by = draw(m, 2) ? 1 : -1, values = cbn_gene_values(gene);
  int64_t number;
  if (cbn_gene_number(&m->parent, gene, &number) && set(m, gene, number + by)) return true;
  m->genome[gene] = (uint8_t)((m->genome[gene] % values + values + by) % values);
  return true;
}

static bool mutate_genes(mutation *m) {
  for (int count = 2 + draw(m, 4); count > 0; count--) change(m, draw_gene(m));
  return true;
}

/* The genes of a run; NONE: all. */
static void change_run(mutation *m, int run) {
  for (int gene = 0; gene < CBN_GENE_COUNT; gene++)
    if (!has_share(gene) && (run == NONE || run_of(gene) == run)) change(m, gene);
}

static bool mutate_run(mutation *m) {
  change_run(m, draw(m, RUNS));
  return true;
}

static bool mutate_all(mutation *m) {
  if (m->kind < 0) change(m, CBN_GENE_KIND);
  change_run(m, NONE);
  return true;
}

static bool mutate_undo(mutation *m) {
  m->genome[draw_gene(m)] = 0;
  return true;
}

/* Two axes of the problem; false where it has fewer. */
static bool draw_two_axes(mutation *m, int *a, int *b) {
  const int rank = cbn_generated_axes(&m->parent);
  if (rank < 2) return false;
  *a = axis_gene(&m->parent, 0, draw(m, rank));
  do *b = axis_gene(&m->parent, 0, draw(m, rank));
  while (*b == *a);
  return true;
}

static bool mutate_swap_axes(mutation *m) {
  int a, b;
  if (!draw_two_axes(m, &a, &b)) return false;
  for (int gene = CBN_GENE_INPUT_D; cbn_gene_is_of_axis(gene); gene += CBN_MAX_SPATIAL) {
    const uint8_t kept = m->genome[gene + a];
    m->genome[gene + a] = m->genome[gene + b];
    m->genome[gene + b] = kept;
  }
  return true;
}

static bool mutate_copy_axis(mutation *m) {
  int from, to;
  if (!draw_two_axes(m, &from, &to)) return false;
  for (int gene = CBN_GENE_INPUT_D; cbn_gene_is_of_axis(gene); gene += CBN_MAX_SPATIAL)
    m->genome[gene + to] = m->genome[gene + from];
  return true;
}

static int draw_axis(mutation *m) { return draw(m, cbn_generated_axes(&m->parent)); }

static bool mutate_plain_axis(mutation *m) {
  if (!is_conv(m)) return false;
  const int axis = draw_axis(m);
  for (int gene = CBN_GENE_STRIDE_D; cbn_gene_is_of_axis(gene); gene += CBN_MAX_SPATIAL)
    m->genome[axis_gene(&m->parent, gene, axis)] = 0;
  return true;
}

/* The extent that the dilated kernel covers along an axis. */
static int64_t span_of(const cbn_conv *c, int a) { return (c->kernel[a] - 1) * c->dilation[a] + 1; }

/* The genes of an axis become those of what fitting made of them, so that a change of one is a change of that one. */
static void pin_axis(mutation *m, int a) {
  for (int gene = CBN_GENE_INPUT_D; cbn_gene_is_of_axis(gene); gene += CBN_MAX_SPATIAL)
    set(m, axis_gene(&m->parent, gene, a), number_of(m, axis_gene(&m->parent, gene, a)));
}

/* Many channels of a convolution leave room for small extents only. */
static bool set_channels(mutation *m, int gene, int64_t number) {
  const int halvings = draw(m, 3);
  for (int a = 0; is_conv(m) && a < cbn_generated_axes(&m->parent); a++) {
    const int input = axis_gene(&m->parent, CBN_GENE_INPUT_D, a);
    set(m, input, most(number_of(m, input) >> halvings, 1));
  }
  return set(m, gene, number);
}

/* An input's extent, and what output padding it takes, with which the output's is `output`, or nearly. */
static bool set_output(mutation *m, int a, int64_t output) {
  const cbn_conv *c = &m->parent.conv;
  const int input = axis_gene(&m->parent, CBN_GENE_INPUT_D, a);
  const int64_t padding = c->pad_begin[a] + c->pad_end[a], strides = output + padding - span_of(c, a);
  pin_axis(m, a);
  if (!c->transposed)
    return set(m, input, ((output - 1) * c->stride[a] + span_of(c, a) - padding - 1) / c->input_dilation[a] + 1);
  return set(m, axis_gene(&m->parent, CBN_GENE_OUTPUT_PADDING_D, a), strides % c->stride[a]) &&
         set(m, input, strides / c->stride[a] + 1);
}

static bool mutate_tile(mutation *m) {
  static const int tiles[] = {4, 8, 16, 24};
  const int64_t number = (int64_t)tiles[draw(m, COUNT(tiles))] * (1 + draw(m, 2)) - 1 + draw(m, 3);
  const int rank = cbn_generated_axes(&m->parent), a = rank > 0 ? draw(m, rank) : 0;
  switch (draw(m, 4)) {
  case 0: return set_channels(m, CBN_GENE_IN_CHANNELS, number);
  case 1: return is_conv(m) && set_channels(m, CBN_GENE_OUT_CHANNELS, number);
  case 2: return rank > 0 && set(m, axis_gene(&m->parent, CBN_GENE_INPUT_D, a), number);
  default: return is_conv(m) && set_output(m, a, number);
  }
}

static bool mutate_padding_edge(mutation *m) {
  if (!is_conv(m)) return false;
  const int a = draw_axis(m), sides = 1 + draw(m, 3);
  pin_axis(m, a);
  int64_t padding = span_of(&m->parent.conv, a) - 2 + draw(m, 3);
  if (!m->parent.conv.transposed && draw(m, 2)) { /* the mode's edge: the input's extent, or one less */
    change(m, CBN_GENE_PADDING_MODE);
    const int64_t input = 1 + draw(m, 8);
    set(m, axis_gene(&m->parent, CBN_GENE_INPUT_D, a), input);
    padding = most(input - draw(m, 3), 0);
  }
  bool done = true;
  if (sides & 1) done = set(m, axis_gene(&m->parent, CBN_GENE_PAD_BEGIN_D, a), padding);
  if (sides & 2) done = done && set(m, axis_gene(&m->parent, CBN_GENE_PAD_END_D, a), padding);
  m->goal = NONE; /* a mode narrows the padding to its edge */
  return done;
}

static bool mutate_kernel_edge(mutation *m) {
  const cbn_conv *c = &m->parent.conv;
  if (!is_conv(m) || c->transposed) return false;
  const int a = draw_axis(m), more = draw(m, 3) - 1;
  const int64_t padding = c->pad_begin[a] + c->pad_end[a], input = span_of(c, a) + more;
  pin_axis(m, a);
  if (more < 0) m->genome[CBN_GENE_NEAR_MISS] = CBN_NEAR_MISS_MAY_BE_EMPTY;
  m->genome[axis_gene(&m->parent, CBN_GENE_INPUT_DILATION_D, a)] = 0;
  if (padding < input) return set(m, axis_gene(&m->parent, CBN_GENE_INPUT_D, a), input - padding);
  m->genome[axis_gene(&m->parent, CBN_GENE_PAD_BEGIN_D, a)] = 0;
  m->genome[axis_gene(&m->parent, CBN_GENE_PAD_END_D, a)] = 0;
  return set(m, axis_gene(&m->parent, CBN_GENE_INPUT_D, a), input);
}

static bool mutate_output_padding_edge(mutation *m) {
  const cbn_conv *c = &m->parent.conv;
  if (!is_conv(m) || !c->transposed) return false;
  const int a = draw_axis(m);
  int64_t edge = most(c->stride[a], c->dilation[a]);
  if (edge == 1) {
    edge = 2 + draw(m, 4);
    set(m, axis_gene(&m->parent, draw(m, 2) ? CBN_GENE_STRIDE_D : CBN_GENE_DILATION_D, a), edge);
  }
  return set(m, axis_gene(&m->parent, CBN_GENE_OUTPUT_PADDING_D, a), edge - 1 - draw(m, 2));
}

static bool mutate_stride_edge(mutation *m) {
  if (!is_conv(m)) return false;
  const int a = draw_axis(m), stride = axis_gene(&m->parent, CBN_GENE_STRIDE_D, a);
  pin_axis(m, a);
  if (draw(m, 2)) return set(m, stride, m->parent.conv.kernel[a]);
  return set(m, stride, m->parent.conv.input[a] + draw(m, 2));
}

static bool mutate_depthwise(mutation *m) {
  if (!is_conv(m)) return false;
  m->genome[CBN_GENE_IN_CHANNELS] = 0;
  set(m, CBN_GENE_OUT_CHANNELS, 1 + draw(m, 3));
  return set(m, CBN_GENE_GROUPS, 2 + draw(m, 16));
}

static bool mutate_few_values(mutation *m) {
  if (is_conv(m)) return false;
  const int two = draw(m, 2 + cbn_generated_axes(&m->parent)); /* of all factors, at most one is 2 */
  for (int a = 0; a < cbn_generated_axes(&m->parent); a++)
    set(m, axis_gene(&m->parent, CBN_GENE_INPUT_D, a), a + 2 == two ? 2 : 1);
  return set(m, CBN_GENE_BATCH, two == 1 ? 2 : 1);
}

static bool mutate_empty(mutation *m) {
  static const int genes[] = {CBN_GENE_BATCH,   CBN_GENE_IN_CHANNELS, CBN_GENE_OUT_CHANNELS,
                              CBN_GENE_INPUT_D, CBN_GENE_INPUT_H,     CBN_GENE_INPUT_W};
  const int gene = genes[draw(m, COUNT(genes))];
  m->genome[gene] = (uint8_t)cbn_gene_value_of(gene, 0);
  return matters(&m->parent, gene);
}

static bool mutate_near_miss(mutation *m) {
  m->genome[CBN_GENE_NEAR_MISS] = CBN_NEAR_MISS_FIRST;
  change(m, CBN_GENE_MISS);
  return true;
}

static bool mutate_fill(mutation *m) {
  const int gene = CBN_GENE_INPUT_FILL + draw(m, CBN_GENE_SEED_1 - CBN_GENE_INPUT_FILL);
  change(m, gene);
  return matters(&m->parent, gene);
}

static bool mutate_exact(mutation *m) {
  m->genome[CBN_GENE_EXACT] = m->parent.exact;
  return true;
}

static bool mutate_random_numbers(mutation *m) {
  change(m, CBN_GENE_SEED_1);
  change(m, CBN_GENE_SEED_2);
  return matters(&m->parent, CBN_GENE_SEED_1);
}

static bool mutate_type(mutation *m) {
  change(m, CBN_GENE_TYPE);
  return true;
}

static bool mutate_layout(mutation *m) {
  change(m, CBN_GENE_LAYOUT);
  return true;
}

static bool mutate_kind(mutation *m) {
  if (m->kind >= 0) return false;
  change(m, CBN_GENE_KIND);
  return true;
}

static const struct {
  const char *name;
  int weight;
  bool (*apply)(mutation *m);
} mutations[] = {
#define MUTATION(NAME, name, weight, words) {#name, weight, mutate_##name},
    CBN_MUTATIONS(MUTATION)
#undef MUTATION
};

#define PLUS(NAME, name, weight, words) +weight
_Static_assert(CBN_MUTATIONS(PLUS) == 256, "weights are shares of 256");
#undef PLUS

const char *cbn_mutation_name(int which) {
  return which >= 0 && which < CBN_MUTATION_COUNT ? mutations[which].name : NULL;
}

static int draw_mutation(mutation *m) {
  int which = 0;
  for (int left = draw(m, 256); left >= mutations[which].weight; which++) left -= mutations[which].weight;
  return which;
}

static void settle_size(mutation *m, uint8_t genome[CBN_GENOME_BYTES]) {
  if (genome[CBN_GENE_SIZE] == CBN_SIZE_LARGE) genome[CBN_GENE_SIZE] = draw(m, LARGE_STAYS) == 0 ? CBN_SIZE_LARGE : 0;
  else if (draw(m, LARGE_COMES) == 0) genome[CBN_GENE_SIZE] = CBN_SIZE_LARGE;
}

/* Is what was made another problem, with the number that was wanted? */
static bool is_done(mutation *m) {
  int64_t number;
  cbn_generate(m->genome, CBN_GENOME_BYTES, &m->made);
  if (m->goal != NONE && !(cbn_gene_number(&m->made, m->goal, &number) && number == m->wanted)) return false;
  return !cbn_generated_equal(&m->parent, &m->made);
}

/* Mutates the problem that a near miss misses. */
int cbn_mutate(uint8_t genome[CBN_GENOME_BYTES], int kind, uint64_t seed) {
  mutation m;
  m.chance = seed;
  m.kind = kind;
  const uint8_t missed = genome[CBN_GENE_NEAR_MISS];
  int which = 0;
  bool done = false;
  if (kind >= 0) genome[CBN_GENE_KIND] = (uint8_t)kind;
  genome[CBN_GENE_NEAR_MISS] = 0;
  settle_size(&m, genome);
  cbn_generate(genome, CBN_GENOME_BYTES, &m.parent);
  for (int i = 0; i < TRIES && !done; i++) {
    memcpy(m.genome, genome, CBN_GENOME_BYTES);
    m.goal = NONE;
    which = draw_mutation(&m);
    done = mutations[which].apply(&m) && memcmp(m.genome, genome, CBN_GENOME_BYTES) != 0 && is_done(&m);
  }
  if (done) memcpy(genome, m.genome, CBN_GENOME_BYTES);
  if (genome[CBN_GENE_NEAR_MISS] == 0 && draw(&m, MISS_STAYS) == 0) genome[CBN_GENE_NEAR_MISS] = missed;
  return which;
}

/* -------------------------------------------------------------------------------------------- splices, trimming */

void cbn_splice(const uint8_t a[CBN_GENOME_BYTES], const uint8_t b[CBN_GENOME_BYTES], uint64_t seed,
                uint8_t child[CBN_GENOME_BYTES]) {
  mutation m;
  m.chance = seed;
  const int from_b = 1 + draw(&m, (1 << RUNS) - 2);
  for (int gene = 0; gene < CBN_GENOME_BYTES; gene++) child[gene] = (from_b >> run_of(gene) & 1 ? b : a)[gene];
  static const int rare[] = {CBN_GENE_SIZE, CBN_GENE_NEAR_MISS};
  for (int i = 0; i < COUNT(rare); i++) child[rare[i]] = a[rare[i]] < b[rare[i]] ? a[rare[i]] : b[rare[i]];
}

void cbn_genome_take(const uint8_t *bytes, size_t size, int kind, uint8_t genome[CBN_GENOME_BYTES]) {
  memset(genome, 0, CBN_GENOME_BYTES);
  if (size > 0) memcpy(genome, bytes, size < CBN_GENE_COUNT ? size : CBN_GENE_COUNT);
  if (kind >= 0) genome[CBN_GENE_KIND] = (uint8_t)kind;
}

/* Sets the genes of a run, or one gene, to 0; false where they are. */
static bool make_plain(int run, int only, uint8_t genome[CBN_GENOME_BYTES]) {
  bool changed = false;
  for (int gene = CBN_GENE_KIND + 1; gene < CBN_GENE_COUNT; gene++) {
    if (gene != only && run_of(gene) != run) continue;
    changed = changed || genome[gene] % cbn_gene_values(gene) != 0;
    genome[gene] = 0;
  }
  return changed;
}

bool cbn_trim(const uint8_t genome[CBN_GENOME_BYTES], int step, uint8_t plainer[CBN_GENOME_BYTES]) {
  for (int i = 0; i < RUNS + CBN_GENE_COUNT; i++) {
    memcpy(plainer, genome, CBN_GENOME_BYTES);
    if (make_plain(i < RUNS ? i : -1, i - RUNS, plainer) && step-- == 0) return true;
  }
  return false;
}
