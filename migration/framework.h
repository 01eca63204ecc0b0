/* The way back: what a dialect's plan reads, written. For each dialect one file, framework_NAME.c, and one line in the
 * list below; what is said here is data and proposals only. Whether a proposal computes what was wished is never taken
 * from it: the dialect's own plan and the reference say so (compare.h). */
#ifndef CBN_MIGRATION_FRAMEWORK_H
#define CBN_MIGRATION_FRAMEWORK_H

#include "dialects/dialect.h"

/* The frameworks: the symbol cbn_framework_NAME is defined in migration/framework_NAME.c, for the dialect NAME. */
#define CBN_FRAMEWORKS(X)                                                                                              \
  X(pytorch)                                                                                                           \
  X(mindspore)                                                                                                         \
  X(onnx)                                                                                                              \
  X(tensorflow)                                                                                                        \
  X(keras)                                                                                                             \
  X(jax)                                                                                                               \
  X(flax)                                                                                                              \
  X(canonical)

/* What a layer shall compute. A plan of a mode that the source does not accept is not looked at. */
enum { CBN_WISHED_STEPS = 3 };
typedef struct cbn_wish {
  cbn_plan evaluation;                 /* at one input */
  cbn_plan training[CBN_WISHED_STEPS]; /* after 0, 1, 2 calls in training; of a convolution all are the same */
  bool trains, evaluates;              /* which of the two the source accepts at all; at least one */
  int32_t input_type, layer_type;      /* enum cbn_type */
} cbn_wish;

/* A map of parameters being written; names are literals, texts are copied. */
typedef struct cbn_writer cbn_writer;
cbn_writer *cbn_writer_create(cbn_arena *arena); /* NULL without memory */
void cbn_write_integer(cbn_writer *writer, const char *name, int64_t value);
void cbn_write_real(cbn_writer *writer, const char *name, double value);
void cbn_write_boolean(cbn_writer *writer, const char *name, bool value);
void cbn_write_text(cbn_writer *writer, const char *name, const char *text);
void cbn_write_null(cbn_writer *writer, const char *name);
void cbn_write_list(cbn_writer *writer, const char *name, int32_t count, const int64_t *values);
/* One entry for each axis: a single integer where all are equal. */
void cbn_write_entries(cbn_writer *writer, const char *name, int32_t count, const int64_t *values);
/* A list of pairs, ((before, behind), ...), and one of texts. */
void cbn_write_pairs(cbn_writer *writer, const char *name, int32_t count, const int64_t *first, const int64_t *second);
void cbn_write_texts(cbn_writer *writer, const char *name, int32_t count, const char *const *texts);
/* The map; NULL where memory was short. */
const cbn_value *cbn_writer_finish(cbn_writer *writer);

typedef struct cbn_framework {
  const cbn_dialect *dialect;
  const char *module; /* what stands before an operator's name in a program: "torch", "mindspore", "tf"; "" for ONNX */
  /* The framework's name of the tensor with that role ("gamma", "running_var"), NULL where it has none: of the layer's
   * own and, where tensors are arguments, of the input. */
  const char *(*tensor_name)(const cbn_dialect_operator *operator, int role);
  /* Are the layer's tensors arguments of the call, so that their shapes are asked for? */
  bool (*takes_tensors)(const cbn_dialect_operator *operator);
  /* The roles of these arguments in their order, -1 at the end; NULL, or returning it: in the order of the roles. */
  const int *(*arguments)(const cbn_dialect_operator *operator);
  /* Are they arguments of a second call, ops.Conv2D(8, 3)(x, weight)? NULL: no. */
  bool (*calls_twice)(const cbn_dialect_operator *operator);
  /* A parameter of the dialect that no program writes there: a comment behind the call, `# opset 13`. NULL: none. */
  const char *aside;
  /* Sets the plan's orders of axes and depthwise_weight as the parameters say, for `axes` spatial axes; nothing else of
   * the plan is read or written. Parameters may be wrong: what the dialect would refuse has any order. */
  void (*orders)(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan);
  /* Writes parameters that may compute the wish, the attempt-th way, from 0 on (padding by name, each name; padding
   * by amounts; nothing padded, for padding put in front); false where there is no such attempt. Amounts that the
   * framework has no parameter for (an asymmetric padding) are left to what is put around the layer: proposed is the
   * most of it that can be written. Numbers come as the shortest decimals that are the same in f32 first, then as they
   * are. */
  bool (*write)(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt, cbn_writer *writer);
  /* Is the weight of a layer with one axis kept as one of two, with an axis of 1 before the kernel's? NULL: no. */
  bool (*unit_axis)(const cbn_dialect_operator *operator);
  /* Why programs should not write so what another way computes, too, in a sentence (a runtime refuses it); NULL, or
   * returning it: nothing. Proposals of which it is said come behind all others. */
  const char *(*caution)(const cbn_dialect_operator *operator, const cbn_value * params);
  /* Can that default not be written out beside these parameters? NULL: all can. */
  bool (*hides)(const cbn_dialect_operator *operator, const cbn_value * params, const char *name);
} cbn_framework;

/* The list as a table, NULL at the end, and the one of a dialect. */
const cbn_framework *const *cbn_frameworks(void);
const cbn_framework *cbn_framework_of(const cbn_dialect *dialect);

/* The framework whose calls begin with that module ("torch", "mindspore", also "F.", "tf.keras."), by the longest
 * match; NULL. */
const cbn_framework *cbn_framework_by_module(const char *text);

/* The operator's name with its module, "torch.nn.Conv2d", cut to `size`. */
void cbn_framework_full_name(const cbn_framework *framework, const cbn_dialect_operator *operator, char *name,
                             size_t size);

/* Undoes the usual abbreviation that a name begins with: F.conv2d is torch.nn.functional.conv2d. Cut to `size`. */
void cbn_framework_unabbreviate(const char *name, char *text, size_t size);

#endif
