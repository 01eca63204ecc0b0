/* The one generator of problems: a pure function from at most 64 bytes to an operator's call with its data.
 *
 * Everything that needs random problems starts here: the fuzzers, the search for witnesses, hunts in real engines.
 * Bytes are genes: each stands for one parameter, whatever the others are, so that a mutation of one byte changes one
 * parameter and two problems can be spliced. What does not fit together (a reflection wider than the input, say) is
 * moved to the nearest that does: nineteen in twenty byte strings are valid problems, the others miss validity in one
 * parameter and test refusals. Every problem's work is bounded.
 *
 * Channels are given for each group, so that every number of groups divides them.
 *
 * Bytes beyond the end count as 0; bytes beyond 64 are ignored. The problem of no bytes at all is the smallest one. */
#ifndef CBN_GENERATOR_GENERATOR_H
#define CBN_GENERATOR_GENERATOR_H

#include <convbn/fill.h>
#include <convbn/operator.h>

/* Most problems have at most CBN_GENERATED_WORK multiply-adds (a batch normalization: elements) and at most
 * CBN_GENERATED_ELEMENTS elements in any tensor; one in 256 may have CBN_GENERATED_LARGE times as much of both, for what
 * begins beyond a kernel's blocks. */
enum {
  CBN_GENOME_BYTES = 64,
  CBN_GENERATED_STEPS = 6,
  CBN_GENERATED_WORK = 3300,
  CBN_GENERATED_ELEMENTS = 1500,
  CBN_GENERATED_LARGE = 64
};

/* What may be generated: one kind for each fuzz target, or any. */
#define CBN_GENERATED_KINDS(X)                                                                                         \
  X(CONV_FORWARD, conv_forward, "convolution")                                                                         \
  X(CONV_GRAD_INPUT, conv_grad_input, "its gradient with respect to the input")                                        \
  X(CONV_GRAD_WEIGHT, conv_grad_weight, "... to the weight")                                                           \
  X(CONV_GRAD_BIAS, conv_grad_bias, "... to the bias")                                                                 \
  X(TRANSPOSED_FORWARD, transposed_forward, "transposed convolution")                                                  \
  X(TRANSPOSED_GRAD_INPUT, transposed_grad_input, "its gradient with respect to the input")                            \
  X(TRANSPOSED_GRAD_WEIGHT, transposed_grad_weight, "... to the weight")                                               \
  X(BATCHNORM_TRAIN, batchnorm_train, "batch normalization in training")                                               \
  X(BATCHNORM_EVAL, batchnorm_eval, "batch normalization in evaluation")                                               \
  X(BATCHNORM_GRAD, batchnorm_grad, "its gradients")                                                                   \
  X(BATCHNORM_PROGRAM, batchnorm_program, "a sequence of calls on one batch normalization")

enum cbn_generated_kind {
#define CBN_GENERATED_ENUM(NAME, name, words) CBN_GENERATED_##NAME,
  CBN_GENERATED_KINDS(CBN_GENERATED_ENUM)
#undef CBN_GENERATED_ENUM
      CBN_GENERATED_KIND_COUNT
};
const char *cbn_generated_kind_name(int kind);    /* "conv_forward" */
int cbn_generated_kind_by_name(const char *name); /* -1 if there is none */

/* Sets of kinds. */
#define CBN_KIND_BIT(NAME) (1 << CBN_GENERATED_##NAME)
enum cbn_kinds {
  CBN_KINDS_PLAIN = CBN_KIND_BIT(CONV_FORWARD) | CBN_KIND_BIT(CONV_GRAD_INPUT) | CBN_KIND_BIT(CONV_GRAD_WEIGHT) |
                    CBN_KIND_BIT(CONV_GRAD_BIAS),
  CBN_KINDS_TRANSPOSED =
      CBN_KIND_BIT(TRANSPOSED_FORWARD) | CBN_KIND_BIT(TRANSPOSED_GRAD_INPUT) | CBN_KIND_BIT(TRANSPOSED_GRAD_WEIGHT),
  CBN_KINDS_CONV = CBN_KINDS_PLAIN | CBN_KINDS_TRANSPOSED,
  CBN_KINDS_CONV_FORWARD = CBN_KIND_BIT(CONV_FORWARD) | CBN_KIND_BIT(TRANSPOSED_FORWARD),
  CBN_KINDS_CONV_GRAD_INPUT = CBN_KIND_BIT(CONV_GRAD_INPUT) | CBN_KIND_BIT(TRANSPOSED_GRAD_INPUT),
  CBN_KINDS_TRAIN = CBN_KIND_BIT(BATCHNORM_TRAIN),
  CBN_KINDS_EVAL = CBN_KIND_BIT(BATCHNORM_EVAL),
  CBN_KINDS_GRAD = CBN_KIND_BIT(BATCHNORM_GRAD),
  CBN_KINDS_PROGRAM = CBN_KIND_BIT(BATCHNORM_PROGRAM),
  CBN_KINDS_UPDATING = CBN_KINDS_TRAIN | CBN_KINDS_PROGRAM,
  CBN_KINDS_ONE_CALL = CBN_KINDS_TRAIN | CBN_KINDS_EVAL | CBN_KINDS_GRAD,
  CBN_KINDS_NORM = CBN_KINDS_ONE_CALL | CBN_KINDS_PROGRAM,
  CBN_KINDS_FORWARD = CBN_KINDS_CONV_FORWARD | CBN_KINDS_UPDATING | CBN_KINDS_EVAL,
  CBN_KINDS_ALL = CBN_KINDS_CONV | CBN_KINDS_NORM,
  CBN_KINDS_GRADIENTS = CBN_KINDS_ALL & ~CBN_KINDS_FORWARD,
  CBN_KINDS_READ_INPUT = CBN_KINDS_ALL & ~CBN_KINDS_CONV_GRAD_INPUT & ~CBN_KIND_BIT(CONV_GRAD_BIAS),
  CBN_KINDS_READ_WEIGHT = CBN_KINDS_CONV_FORWARD | CBN_KINDS_CONV_GRAD_INPUT | CBN_KINDS_NORM
};

/* The genes: name, and how many values each has. The name is that of the parameter in messages and in coverage. Those
 * with an axis stand three times, for D, H and W. */
#define CBN_GENES(X)                                                                                                   \
  X(KIND, kind, CBN_GENERATED_KIND_COUNT)                                                                              \
  X(NEAR_MISS, near_miss, 256)                                                                                         \
  X(EXACT, exact, 2)                                                                                                   \
  X(TYPE, type, 16)                                                                                                    \
  X(LAYOUT, layout, 8)                                                                                                 \
  X(SIZE, size, 256)                                                                                                   \
  X(RANK, rank, 8)                                                                                                     \
  X(BATCH, batch, 16)                                                                                                  \
  X(GROUPS, groups, 64)                                                                                                \
  X(IN_CHANNELS, in_channels, 64)                                                                                      \
  X(OUT_CHANNELS, out_channels, 64)                                                                                    \
  X(PADDING_MODE, padding_mode, 8)                                                                                     \
  X(BIAS, bias, 2)                                                                                                     \
  X(INPUT_D, input_d, 128)                                                                                             \
  X(INPUT_H, input_h, 128)                                                                                             \
  X(INPUT_W, input_w, 128)                                                                                             \
  X(KERNEL_D, kernel_d, 32)                                                                                            \
  X(KERNEL_H, kernel_h, 32)                                                                                            \
  X(KERNEL_W, kernel_w, 32)                                                                                            \
  X(STRIDE_D, stride_d, 16)                                                                                            \
  X(STRIDE_H, stride_h, 16)                                                                                            \
  X(STRIDE_W, stride_w, 16)                                                                                            \
  X(DILATION_D, dilation_d, 16)                                                                                        \
  X(DILATION_H, dilation_h, 16)                                                                                        \
  X(DILATION_W, dilation_w, 16)                                                                                        \
  X(INPUT_DILATION_D, input_dilation_d, 8)                                                                             \
  X(INPUT_DILATION_H, input_dilation_h, 8)                                                                             \
  X(INPUT_DILATION_W, input_dilation_w, 8)                                                                             \
  X(PAD_BEGIN_D, pad_begin_d, 32)                                                                                      \
  X(PAD_BEGIN_H, pad_begin_h, 32)                                                                                      \
  X(PAD_BEGIN_W, pad_begin_w, 32)                                                                                      \
  X(PAD_END_D, pad_end_d, 32)                                                                                          \
  X(PAD_END_H, pad_end_h, 32)                                                                                          \
  X(PAD_END_W, pad_end_w, 32)                                                                                          \
  X(OUTPUT_PADDING_D, output_padding_d, 8)                                                                             \
  X(OUTPUT_PADDING_H, output_padding_h, 8)                                                                             \
  X(OUTPUT_PADDING_W, output_padding_w, 8)                                                                             \
  X(EPSILON, epsilon, 16)                                                                                              \
  X(NEW_WEIGHT, new_weight, 16)                                                                                        \
  X(STATISTICS, statistics, 64)                                                                                        \
  X(AFFINE, affine, 4)                                                                                                 \
  X(STEPS, steps, 8)                                                                                                   \
  X(STEP_1, step_1, 256)                                                                                               \
  X(STEP_2, step_2, 256)                                                                                               \
  X(STEP_3, step_3, 256)                                                                                               \
  X(STEP_4, step_4, 256)                                                                                               \
  X(STEP_5, step_5, 256)                                                                                               \
  X(STEP_6, step_6, 256)                                                                                               \
  X(INPUT_FILL, input_fill, 16)                                                                                        \
  X(WEIGHT_FILL, weight_fill, 16)                                                                                      \
  X(STATISTICS_FILL, statistics_fill, 16)                                                                              \
  X(GRAD_FILL, grad_fill, 16)                                                                                          \
  X(SEED_1, seed_1, 256)                                                                                               \
  X(SEED_2, seed_2, 256)                                                                                               \
  X(MISS, miss, 32)

enum cbn_gene {
#define CBN_GENE_ENUM(NAME, name, values) CBN_GENE_##NAME,
  CBN_GENES(CBN_GENE_ENUM)
#undef CBN_GENE_ENUM
      CBN_GENE_COUNT
};
_Static_assert((int)CBN_GENE_COUNT <= (int)CBN_GENOME_BYTES, "a gene is a byte of the genome");
const char *cbn_gene_name(int gene);
int cbn_gene_values(int gene); /* a byte counts modulo this */

/* Has it an axis? */
bool cbn_gene_is_of_axis(int gene);

/* The least value that stands for the number, of genes of numbers: batch, groups, channels (of each group), and those with
 * an axis. -1 where none does. What is made to fit may become another number. */
int cbn_gene_value_of(int gene, int64_t number);

/* Values with a meaning of their own. */
enum {
  CBN_SIZE_LARGE = 255,           /* of SIZE: the one in 256 */
  CBN_NEAR_MISS_FIRST = 256 - 12, /* of NEAR_MISS: from here on a rule is broken, and MISS says which */
  CBN_NEAR_MISS_MAY_BE_EMPTY = 1  /* with this, as with every 16th, a kernel may be larger than the padded input */
};

/* One call of a program. */
typedef struct cbn_generated_step {
  bool train, reset;
  double new_weight;
} cbn_generated_step;

typedef struct cbn_generated {
  enum cbn_generated_kind kind;
  cbn_conv conv; /* one of the two, by kind; directions included */
  cbn_batchnorm batchnorm;
  bool valid; /* false: a near miss, which validation refuses */
  bool exact; /* data on a grid on which every partial sum is representable */
  int32_t type, layer_type;
  enum cbn_layout layout;
  bool in_place;
  cbn_fill fill[CBN_ROLE_COUNT]; /* of the tensors that a call reads; the input of step s has the seed plus s */
  int steps;                     /* of a program; else 1 */
  cbn_generated_step step[CBN_GENERATED_STEPS];
} cbn_generated;

/* The problem of those bytes. */
void cbn_generate(const uint8_t *bytes, size_t size, cbn_generated *problem);

/* Is it a convolution's kind? */
bool cbn_generated_is_conv(enum cbn_generated_kind kind);

/* Is the batch normalization's call one in training: do the batch's statistics normalise, or enter the running ones? */
bool cbn_generated_trains(const cbn_generated *problem);

/* The number of its spatial axes; 0 of a near miss that has more or fewer than there can be. */
int cbn_generated_axes(const cbn_generated *problem);

/* The number that the problem has where a gene of numbers gives it, after fitting; false where it has none. */
bool cbn_gene_number(const cbn_generated *problem, int gene, int64_t *number);

/* Does the valid problem depend on the gene? On its kind, size and validity every one does. */
bool cbn_gene_matters(const cbn_generated *problem, int gene);

/* Bytes of which `problem` is the problem: the least values of genes that give it. False, with the parameter that no gene gives,
 * where there are none. */
bool cbn_genome_of(const cbn_generated *problem, uint8_t bytes[CBN_GENOME_BYTES], const char **parameter);

/* Does a call of the problem read a tensor with that role? No call is made of a near miss. */
bool cbn_generated_reads(const cbn_generated *problem, int role);

/* Do both fills give every element of any tensor the same value? */
bool cbn_generated_same_data(const cbn_fill *a, const cbn_fill *b);

/* Do both describe the same calls with the same data? What no call reads does not count. */
bool cbn_generated_equal(const cbn_generated *a, const cbn_generated *b);

#endif
