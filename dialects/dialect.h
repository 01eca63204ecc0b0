/* Dialects: one framework's names, defaults, rejections and conventions for the two operators.
 *
 * A dialect is a pure function: native parameters, the shapes of the tensors and the train/eval flag become a
 * canonical operator, or a rejection with the rule and the framework's own exception class. One file a dialect, one
 * line in the list below. What each framework really does, in which order it checks, was measured:
 * docs/framework-rules.md. */
#ifndef CBN_DIALECTS_DIALECT_H
#define CBN_DIALECTS_DIALECT_H

#include <convbn/operator.h>

#include "core/rules.h"
#include "core/value.h"

/* The dialects: the symbol cbn_dialect_NAME is defined in dialects/NAME.c. */
#define CBN_DIALECTS(X)                                                                                                \
  X(pytorch)                                                                                                           \
  X(mindspore)                                                                                                         \
  X(onnx)                                                                                                              \
  X(tensorflow)                                                                                                        \
  X(keras)                                                                                                             \
  X(jax)                                                                                                               \
  X(flax)                                                                                                              \
  X(canonical)

enum { CBN_MAX_NATIVE_RANK = 8 };

/* The shape of a tensor as the caller gives it; rank -1 where none is given. */
typedef struct cbn_shape {
  int32_t rank;
  int64_t extent[CBN_MAX_NATIVE_RANK];
} cbn_shape;

/* One call of a layer. */
typedef struct cbn_request {
  const cbn_value *params;  /* a map of native parameters; what is left out takes the default */
  cbn_shape input;
  int32_t input_type;       /* enum cbn_type */
  int32_t layer_type;       /* of the layer's own tensors, enum cbn_type */
  const cbn_shape *layer[CBN_ROLE_COUNT]; /* their shapes as given, NULL where none is: what ONNX has for parameters */
  bool training;            /* train or eval */
  int64_t trained;          /* calls in training before this one, on the same object, since its last reset */
} cbn_request;

/* Where the operator's axes stand in the framework's tensor; in the operator's own order where not given. */
typedef struct cbn_axis_order {
  bool given;
  uint8_t place[CBN_MAX_RANK]; /* of the operator's axis; with a batch axis, also where the call is unbatched */
} cbn_axis_order;

/* What the call computes. */
typedef struct cbn_plan {
  enum cbn_operator kind;
  cbn_conv conv;            /* one of the two, by kind */
  cbn_batchnorm batchnorm;
  int64_t features;         /* channels of the layer's own statistics; an empty input may have others */
  bool unbatched;           /* the input has no batch axis: one is put in front, and taken away from the output */
  cbn_axis_order input_order, weight_order, output_order; /* of the gradients with respect to them, too */
  bool depthwise_weight; /* of the weight's axes, output channels stand as two neighbours, the first at place[0]: the
                          * groups' one input channel and the multiplier; input channels, of extent 1, nowhere */
  bool has_initial[CBN_ROLE_COUNT]; /* the layer itself gives the tensor a value ... */
  double initial[CBN_ROLE_COUNT];   /* ... this one, in every element */
} cbn_plan;

/* Why the framework refuses. */
typedef struct cbn_rejection {
  enum cbn_rule rule;
  const char *exception; /* the class that the framework raises: "ValueError" */
  char message[256];     /* names the value */
} cbn_rejection;

typedef struct cbn_dialect_operator cbn_dialect_operator;
struct cbn_dialect_operator {
  const char *name; /* "nn.Conv2d" */
  enum cbn_operator kind;
  int32_t spatial_rank; /* axes behind batch and channels; of nn.BatchNorm1d the most that it takes, 1 */
  bool transposed;
  const char *signature; /* with the defaults, as the framework documents it */
  bool (*plan)(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
               cbn_rejection *rejection);
  /* What a user may do to a layer between calls: assign these parameters (NULL at the end; NULL: none) ... */
  const char *const *changeable;
  bool resets; /* ... and set its statistics and its count of calls back to those of a new one */
};

typedef struct cbn_dialect {
  const char *name;    /* "pytorch" */
  const char *profile; /* the version whose behaviour this is: "PyTorch 2.15.0, CPU" */
  bool trains_by_default;
  uint32_t arithmetic; /* what its recorded results may owe to it: enum cbn_arithmetic bits */
  const cbn_dialect_operator *operators;
  size_t operator_count;
} cbn_dialect;

/* The list as a table, NULL at the end; by name, NULL if there is none. */
const cbn_dialect *const *cbn_dialects(void);
const cbn_dialect *cbn_dialect_by_name(const char *name);
const cbn_dialect_operator *cbn_dialect_find(const cbn_dialect *dialect, const char *operator_name);

#endif
