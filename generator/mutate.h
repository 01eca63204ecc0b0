/* Mutations of genomes that know what genes mean: the one core behind libFuzzer's and AFL++'s custom mutators.
 *
 * A mutation changes one parameter, or does one of the things by which implementations of these operators break; the list
 * below has them. It changes what the problem depends on (no stride of a batch normalization), and a mutant that is the
 * problem its parent was is drawn again. All of it follows from the bytes and the number `seed`.
 *
 * Large problems stay at about 1 in 256 and near misses below 1 in 20 of the mutants, however long the chain: a large
 * parent's mutant is large one time in eight, a near miss' is one one time in four. */
#ifndef CBN_GENERATOR_MUTATE_H
#define CBN_GENERATOR_MUTATE_H

#include "generator/generator.h"

/* The mutations: name, weight (of 256 draws; those that do not apply are drawn again), what changes. An edge is met
 * exactly, or by one more or less where that is valid. */
#define CBN_MUTATIONS(X)                                                                                               \
  X(GENE, gene, 48, "one gene, to any value")                                                                          \
  X(NUDGE, nudge, 32, "one gene, by one")                                                                              \
  X(GENES, genes, 16, "two to five genes, to any values")                                                              \
  X(RUN, run, 10, "genes that belong together, as an axis' do, to any values")                                         \
  X(ALL, all, 10, "all genes, to any values: another place to search")                                                 \
  X(UNDO, undo, 12, "one gene, to its plainest value")                                                                 \
  X(SWAP_AXES, swap_axes, 8, "two axes change places")                                                                 \
  X(COPY_AXIS, copy_axis, 8, "an axis becomes as another is")                                                          \
  X(PLAIN_AXIS, plain_axis, 6, "an axis keeps its input and kernel and nothing else")                                  \
  X(TILE, tile, 28, "an extent, a channel count or an output's extent beside a kernel's tiles")                        \
  X(PADDING_EDGE, padding_edge, 12, "padding as wide as its mode allows, or as the kernel")                            \
  X(KERNEL_EDGE, kernel_edge, 8, "an input as large as the kernel, padding and dilation included")                     \
  X(OUTPUT_PADDING_EDGE, output_padding_edge, 8, "output padding as large as stride and dilation allow")               \
  X(STRIDE_EDGE, stride_edge, 8, "a stride equal to the kernel or as large as the input")                              \
  X(DEPTHWISE, depthwise, 6, "one input channel in each of several groups")                                            \
  X(FEW_VALUES, few_values, 2, "a batch normalization of one or two values a channel")                                 \
  X(EMPTY, empty, 2, "no batch, no channels, no filters or an extent of 0")                                            \
  X(NEAR_MISS, near_miss, 3, "one rule broken")                                                                        \
  X(FILL, fill, 6, "other numbers in one tensor")                                                                      \
  X(EXACT, exact, 4, "numbers with exact sums become numbers that round, or back")                                     \
  X(RANDOM_NUMBERS, random_numbers, 2, "other random numbers")                                                         \
  X(TYPE, type, 9, "another type")                                                                                     \
  X(LAYOUT, layout, 4, "another layout")                                                                               \
  X(KIND, kind, 4, "the same parameters in another direction or operator, where the kind is free")

enum cbn_mutation {
#define CBN_MUTATION_ENUM(NAME, name, weight, words) CBN_MUTATION_##NAME,
  CBN_MUTATIONS(CBN_MUTATION_ENUM)
#undef CBN_MUTATION_ENUM
      CBN_MUTATION_COUNT
};
const char *cbn_mutation_name(int which); /* NULL beyond the last */

/* Changes the genome in place; its kind becomes `kind`, or may become any other where that is -1. Returns which mutation
 * it was. */
int cbn_mutate(uint8_t genome[CBN_GENOME_BYTES], int kind, uint64_t seed);

/* A child of two genomes: runs of genes that belong together (an axis, the channels, the data) from either, at least one
 * from each. Large, or a near miss, is only a child of two that are. */
void cbn_splice(const uint8_t a[CBN_GENOME_BYTES], const uint8_t b[CBN_GENOME_BYTES], uint64_t seed,
                uint8_t child[CBN_GENOME_BYTES]);

/* A genome from a fuzzer's bytes of any length: cut or filled up with zeros, the kind set unless it is -1. */
void cbn_genome_take(const uint8_t *bytes, size_t size, int kind, uint8_t genome[CBN_GENOME_BYTES]);

/* For trimming: genome number `step` of those that are `genome` with one run of genes, or one gene, at its plainest;
 * false behind the last. What is plain already is left out, and the kind stays. */
bool cbn_trim(const uint8_t genome[CBN_GENOME_BYTES], int step, uint8_t plainer[CBN_GENOME_BYTES]);

#endif
