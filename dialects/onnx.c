/* ONNX: Conv, ConvTranspose and BatchNormalization, in every operator set that changed them.
 *
 * A node has attributes, and what other frameworks keep in a layer comes as tensors: their shapes say what there
 * parameters do. The parameter `opset` is no attribute: it is the operator set that a model's file states. */
#include "dialects/onnx.h"

#include <inttypes.h>
#include <string.h>

/* The operator sets that the wheels know. BatchNormalization changed last in 15, the convolutions in 22. */
enum { FIRST_OPSET = 1, LAST_OPSET = 28, DEFAULT_OPSET = 22 };

static const char *input_name(int role) {
  switch (role) {
  case CBN_ROLE_WEIGHT: return "W or scale";
  case CBN_ROLE_BIAS: return "B";
  case CBN_ROLE_RUNNING_MEAN: return "mean";
  default: return "var";
  }
}

const cbn_value *cbn_onnx_attribute_of(const cbn_onnx_node *node, const char *name) {
  const cbn_value *value = cbn_parameter(node->request->params, name);
  return value == NULL || value->kind == CBN_NULL ? NULL : value;
}

static bool read_opset(cbn_onnx_node *node, int64_t first, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(node->request->params, "opset");
  node->opset = DEFAULT_OPSET;
  if (value != NULL && !cbn_as_integer(value, false, &node->opset))
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "opset must be an int, got %s",
                      cbn_printed_value(value).text);
  if (node->opset > LAST_OPSET)
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_FAIL_STATUS, "the last operator set is %d, got %" PRId64,
                      LAST_OPSET, node->opset);
  if (node->opset < FIRST_OPSET)
    return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_INVALID_GRAPH, "no %s is in operator set %" PRId64, node->name,
                      node->opset);
  return node->opset >= first ||
         cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED,
                    "%s is known from operator set %" PRId64 " on, got %" PRId64, node->name, first, node->opset);
}

/* onnx.helper makes an attribute's type of the value's: INTS of integers, FLOATS of numbers, STRINGS of strings; of other
 * sequences it can make nothing. An empty one is INTS. */
static bool check_list(const char *name, const cbn_value *value, bool *integers, cbn_rejection *r) {
  const size_t count = value->as.list.count;
  size_t of_kind[CBN_MAP + 1] = {0};
  for (size_t i = 0; i < count; i++) of_kind[value->as.list.items[i]->kind]++;
  *integers = of_kind[CBN_INTEGER] == count;
  return of_kind[CBN_INTEGER] + of_kind[CBN_REAL] == count || of_kind[CBN_STRING] == count ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, of_kind[CBN_BOOLEAN] > 0 ? CBN_TYPE_ERROR : CBN_VALUE_ERROR,
                    "%s must have numbers in it, got %s", name, cbn_printed_value(value).text);
}

static bool check_attribute(const cbn_onnx_attribute *attribute, const cbn_value *value, cbn_rejection *r) {
  static const char *const names[] = {"an INT", "INTS", "a FLOAT", "a STRING"};
  bool fits = false, integers = false;
  int64_t ignored;
  if (value->kind == CBN_LIST && !check_list(attribute->name, value, &integers, r)) return false;
  switch (attribute->type) {
  case CBN_ONNX_INT: fits = cbn_as_integer(value, true, &ignored); break;
  case CBN_ONNX_INTS: fits = integers; break;
  case CBN_ONNX_FLOAT: fits = value->kind == CBN_REAL; break;
  case CBN_ONNX_STRING: fits = value->kind == CBN_STRING; break;
  }
  return fits || cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_INVALID_GRAPH, "%s must be %s, got %s", attribute->name,
                            names[attribute->type], cbn_printed_value(value).text);
}

static bool check_attributes(const cbn_onnx_node *node, const cbn_onnx_attribute *attributes, cbn_rejection *r) {
  const cbn_value *params = node->request->params;
  for (size_t i = 0; params != NULL && i < params->as.map.count; i++) {
    const char *name = params->as.map.keys[i]->as.string.text;
    const cbn_onnx_attribute *known = attributes;
    while (known->name != NULL && (strcmp(known->name, name) != 0 || node->opset < known->since)) known++;
    if (strcmp(name, "opset") == 0 || params->as.map.items[i]->kind == CBN_NULL) continue;
    if (known->name == NULL)
      return cbn_reject(r, CBN_RULE_UNKNOWN_PARAMETER, CBN_INVALID_GRAPH,
                        "%s of operator set %" PRId64 " has no attribute '%.60s'", node->name, node->opset, name);
    if (!check_attribute(known, params->as.map.items[i], r)) return false;
  }
  return true;
}

bool cbn_onnx_open(cbn_onnx_node *node, int64_t first, const int *required, const cbn_onnx_attribute *attributes,
                   cbn_rejection *r) {
  if (!read_opset(node, first, r)) return false;
  for (; *required >= 0; required++)
    if (node->request->layer[*required] == NULL)
      return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_INVALID_GRAPH, "%s has no input %s", node->name,
                        input_name(*required));
  return check_attributes(node, attributes, r);
}

int64_t cbn_onnx_int(const cbn_onnx_node *node, const char *name, int64_t fallback) {
  int64_t result = fallback;
  cbn_as_integer(cbn_onnx_attribute_of(node, name), true, &result);
  return result;
}

double cbn_onnx_float(const cbn_onnx_node *node, const char *name, double fallback) {
  double result = fallback;
  cbn_as_number(cbn_onnx_attribute_of(node, name), &result);
  return (double)(float)result;
}

bool cbn_onnx_check_types(const cbn_onnx_node *node, int64_t bfloat16, bool mixed, cbn_rejection *r) {
  const int32_t input = node->request->input_type, layer = node->request->layer_type;
  if ((input == CBN_BF16 || (mixed && layer == CBN_BF16)) && node->opset < bfloat16)
    return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_INVALID_GRAPH,
                      "%s takes bf16 from operator set %" PRId64 " on, got %" PRId64, node->name, bfloat16,
                      node->opset);
  return mixed || input == layer ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_FAIL_STATUS, "all inputs of %s have one type, got %s and %s",
                    node->name, cbn_type_name(input), cbn_type_name(layer));
}

#define CONVOLUTION "(auto_pad='NOTSET', dilations=1, group=1, kernel_shape=of W, pads=0, strides=1, "

static const cbn_dialect_operator operators[] = {
    {.name = "Conv",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = CONVOLUTION "opset=22)",
     .plan = cbn_onnx_convolution},
    {.name = "ConvTranspose",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .transposed = true,
     .signature = CONVOLUTION "output_padding=0, output_shape=by pads, opset=22)",
     .plan = cbn_onnx_convolution},
    {.name = "BatchNormalization",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(epsilon=1e-05, momentum=0.9, training_mode=0, opset=22)",
     .plan = cbn_onnx_batchnorm},
};

const cbn_dialect cbn_dialect_onnx = {.name = "onnx",
                                      .profile = "ONNX 1.23.2, operator sets 1 to 28, ONNX Runtime 1.32.0, CPU",
                                      .trains_by_default = false,
                                      .operators = operators,
                                      .operator_count = sizeof operators / sizeof operators[0]};
