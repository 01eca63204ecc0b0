/* Layers as text: a constructor call in Python's syntax, read and written, and as a map in YAML or JSON. */
#ifndef CBN_MIGRATION_CALL_TEXT_H
#define CBN_MIGRATION_CALL_TEXT_H

#include "core/error.h"
#include "migration/layer.h"

/* Reads `torch.nn.Conv2d(16, 33, 3, stride=2, padding='same')`: the name of an operator with its module, as usually
 * abbreviated, or without where only one dialect has it (`nn.Conv2d` needs `dialect`, which may be NULL), then Python
 * literals (integers, reals, strings, True, False, None, tuples, lists; no arithmetic), first by position in the
 * signature's order, then by keyword. Lists and tuples are one thing. An assignment (`conv = ...`) and a comment may
 * stand around it.
 *
 * Where the operator takes tensors, its first arguments are names (x, weight) that stand for them, or keywords: `rank`
 * of the layer's tensor is -1 then, given and its shape not known. A node of ONNX is read as programs write it:
 * onnx.helper.make_node('Conv', inputs=['X', 'W'], outputs=['Y'], strides=[2, 2]), and its operator set from a comment
 * `# opset 13` behind it. Names given to device, dtype and name, which say nothing here, are left out.
 *
 * False with one line, `column N: what is wrong; what to write instead` (`line L, column N: ...` behind the first
 * line): no call, an unknown operator or parameter (with the nearest name), twice the same, too many, a value that is
 * no literal. What the framework itself refuses is not checked here. */
bool cbn_call_read(const char *text, const cbn_dialect *dialect, cbn_arena *arena, cbn_layer *layer, cbn_error *error);

/* Reads a map `{dialect: pytorch, operator: nn.Conv2d, params: {...}, weight: {shape: [...]}, ...}` from a YAML or JSON
 * file. */
bool cbn_layer_read_file(const char *path, cbn_arena *arena, cbn_layer *layer, cbn_error *error);

/* Writes the call with its module: tensors, then required parameters by position as far as they go, all others by
 * keyword; `whole`: with the defaults of those that the layer leaves out. Reads back to the same layer. Cut to `size`
 * with "..." at its end; returns the length written. */
size_t cbn_call_print(const cbn_layer *layer, bool whole, char *text, size_t size);

/* One value as a Python literal: True, None, 'same', (1, 2), 1e-05. Cut as above. */
size_t cbn_literal_print(const cbn_value *value, char *text, size_t size);

#endif
