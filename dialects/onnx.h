/* ONNX's operators, by file: what dialects/onnx.c lists, and what they share. Sources: the operators' specification in the
 * wheel onnx 1.23.2; what refuses a model, and in which order, is ONNX Runtime 1.32.0 on a CPU (docs/framework-rules.md,
 * which says why, and where the two disagree). */
#ifndef CBN_DIALECTS_ONNX_H
#define CBN_DIALECTS_ONNX_H

#include "dialects/parameters.h"

/* What ONNX Runtime raises, a status each; onnx.helper, which writes the model, raises Python's own. */
#define CBN_FAIL_STATUS "Fail"
#define CBN_INVALID_ARGUMENT "InvalidArgument"
#define CBN_INVALID_GRAPH "InvalidGraph"
#define CBN_NOT_IMPLEMENTED "NotImplemented"
#define CBN_VALUE_ERROR "ValueError"
#define CBN_TYPE_ERROR "TypeError"

/* The types of attributes that the operators have. */
enum cbn_onnx_type { CBN_ONNX_INT, CBN_ONNX_INTS, CBN_ONNX_FLOAT, CBN_ONNX_STRING };

typedef struct cbn_onnx_attribute {
  const char *name; /* NULL at the end */
  enum cbn_onnx_type type;
  int64_t since; /* the first operator set that has it; 0: all */
} cbn_onnx_attribute;

/* One call: the node, and the operator set that its model states. */
typedef struct cbn_onnx_node {
  const cbn_request *request;
  const char *name; /* of the operator */
  int64_t opset;
} cbn_onnx_node;

/* Reads the operator set, from `first` on, checks that the required inputs (roles, -1 at the end) are given, and that
 * attributes are known and have their types. */
bool cbn_onnx_open(cbn_onnx_node *node, int64_t first, const int *required, const cbn_onnx_attribute *attributes,
                   cbn_rejection *r);

/* The attribute; NULL where it is left out, or None, which is the same. */
const cbn_value *cbn_onnx_attribute_of(const cbn_onnx_node *node, const char *name);

/* An INT and a FLOAT, which a model keeps in f32; `fallback` where it is left out. */
int64_t cbn_onnx_int(const cbn_onnx_node *node, const char *name, int64_t fallback);
double cbn_onnx_float(const cbn_onnx_node *node, const char *name, double fallback);

/* Types: bf16 from the operator set `bfloat16` on; the layer's is the input's, unless `mixed`. */
bool cbn_onnx_check_types(const cbn_onnx_node *node, int64_t bfloat16, bool mixed, cbn_rejection *r);

/* Conv and ConvTranspose. */
bool cbn_onnx_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                          cbn_rejection *rejection);

/* BatchNormalization. */
bool cbn_onnx_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                        cbn_rejection *rejection);

#endif
