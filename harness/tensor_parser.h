/* The tensors of case files: `{shape, values}`, `{shape, fill}`, `{npy}`. */
#ifndef CBN_HARNESS_TENSOR_PARSER_H
#define CBN_HARNESS_TENSOR_PARSER_H

#include "harness/cases.h"

/* Reads and checks a tensor's description; `name` is what messages call it. */
bool cbn_parse_tensor(const char *file, const cbn_value *node, const char *name, cbn_tensor_source *source,
                      cbn_error *error);

#endif
