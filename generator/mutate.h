/* Mutations of genomes that know what genes mean: the one core behind libFuzzer's and AFL++'s custom mutators.
 *
 * A mutation changes one parameter, or does one of the things by which implementations of these operators break: gives
 * an axis the parameters of another, swaps two axes, moves an extent to one that collides with a kernel's tiles (a
 * multiple of 4, 8, 16, 24, or one more or less), goes to the edge of a rule and one beyond it on either side (padding as
 * wide as the reflection allows, a kernel as large as the padded input, output padding as large as the stride allows),
 * makes the layout, the type or the data another one, takes channels, groups or batch to 1, copies all of an axis'
 * plainness, or takes some genes from a second genome. All of it follows from the bytes and the number `seed`. */
#ifndef CBN_GENERATOR_MUTATE_H
#define CBN_GENERATOR_MUTATE_H

#include "generator/generator.h"

/* The ways, one list: name, weight (of 256 draws, about). */
const char *cbn_mutation_name(int which); /* NULL beyond the last */

/* Changes the genome in place, to another problem wherever that is possible; `kind` as below. Returns which mutation it
 * was. */
int cbn_mutate(uint8_t genome[CBN_GENOME_BYTES], int kind, uint64_t seed);

/* A child of two genomes: runs of genes that belong together (an axis, the data, the channels) from either. */
void cbn_splice(const uint8_t a[CBN_GENOME_BYTES], const uint8_t b[CBN_GENOME_BYTES], uint64_t seed,
                uint8_t child[CBN_GENOME_BYTES]);

/* A genome from a fuzzer's bytes of any length: cut or filled up with zeros, the kind set unless it is -1. */
void cbn_genome_take(const uint8_t *bytes, size_t size, int kind, uint8_t genome[CBN_GENOME_BYTES]);

/* For trimming: genome number `step` of those that are `genome` with one gene, or one axis, made plain; false behind the
 * last. What is plain already is left out. */
bool cbn_trim(const uint8_t genome[CBN_GENOME_BYTES], int step, uint8_t plainer[CBN_GENOME_BYTES]);

#endif
