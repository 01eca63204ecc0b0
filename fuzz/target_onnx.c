/* Target onnx: the bytes as a model. What is read reads the same the second time, and is a call that the dialect accepts
 * or refuses by a rule; a refusal says where and why. */
#include <stdlib.h>
#include <string.h>

#include "dialects/parameters.h"
#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "migration/onnx_file.h"

enum { ARENA_BYTES = 1 << 24, LONGEST_PARAMS = 1 << 16, SYMBOLIC = 3 };
#define NAME "fuzz.onnx"

/* `NAME: byte N: words`, in one line. */
static void check_message(const char *text, size_t size) {
  char *end;
  CBN_DEMAND(strncmp(text, NAME ": byte ", strlen(NAME ": byte ")) == 0, "a message without a place: %s", text);
  const unsigned long long byte = strtoull(text + strlen(NAME ": byte "), &end, 10);
  CBN_DEMAND(byte <= size && strncmp(end, ": ", 2) == 0 && end[2] > ' ', "a place outside the file: %s", text);
  for (const char *c = text; *c != '\0'; c++)
    CBN_DEMAND((unsigned char)*c >= ' ' && *c != 0x7F, "a message with a control character: %s", text);
}

/* There are no more elements than the file has bytes. */
static void check_tensor(const cbn_tensor *tensor, const cbn_shape *shape, size_t size) {
  if (tensor->rank == 0) return;
  CBN_DEMAND(tensor->rank == shape->rank, "a tensor of another rank than the layer states");
  for (int32_t a = 0; a < tensor->rank; a++)
    CBN_DEMAND(tensor->extent[a] == shape->extent[a], "a tensor of another shape than the layer states");
  CBN_DEMAND(cbn_tensor_count(tensor) <= (int64_t)size, "more elements than the file has bytes");
}

/* What the dialect says of the node, with some number for what is symbolic. */
static void check_plan(const cbn_onnx_node_info *node) {
  cbn_request request = {.params = node->layer.params, .input = node->input, .training = node->trains};
  cbn_plan plan;
  cbn_rejection rejection;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (node->layer.tensor[role].rank > 0) request.layer[role] = &node->layer.tensor[role];
  for (int32_t a = 0; a < request.input.rank; a++)
    if (request.input.extent[a] < 0) request.input.extent[a] = SYMBOLIC;
  if (node->layer.operator->plan((node->layer.operator), &request, &plan, &rejection)) return;
  CBN_DEMAND(cbn_rule_name((int)rejection.rule) != NULL && rejection.message[0] != '\0', "a rejection by no rule");
}

static void check_node(const cbn_onnx_node_info *node, size_t size) {
  static char text[LONGEST_PARAMS];
  CBN_DEMAND(strlen(node->name) < sizeof node->name && strlen(node->operator_type) < sizeof node->operator_type,
             "a name without an end");
  if (!node->known) return;
  CBN_DEMAND(cbn_dialect_find(node->layer.dialect, node->operator_type) == node->layer.operator,
             "a layer of another operator");
  CBN_DEMAND(cbn_value_print(node->layer.params, text, sizeof text) > 0, "parameters that are not printed");
  for (int role = 0; role < CBN_ROLE_COUNT; role++) check_tensor(&node->tensor[role], &node->layer.tensor[role], size);
  if (node->has_input) check_plan(node);
}

static bool same_elements(const cbn_tensor *a, const cbn_tensor *b) {
  if (a->rank != b->rank || a->type != b->type) return false;
  return a->rank == 0 || memcmp(a->data, b->data, (size_t)cbn_tensor_bytes(a)) == 0;
}

static void check_same(const cbn_onnx_file *a, const cbn_onnx_file *b) {
  static char first[LONGEST_PARAMS], second[LONGEST_PARAMS];
  CBN_DEMAND(a->count == b->count && a->opset == b->opset, "another model the second time");
  for (size_t i = 0; i < a->count; i++) {
    CBN_DEMAND(strcmp(a->nodes[i].name, b->nodes[i].name) == 0 && a->nodes[i].known == b->nodes[i].known,
               "another node the second time");
    if (!a->nodes[i].known) continue;
    cbn_value_print(a->nodes[i].layer.params, first, sizeof first);
    cbn_value_print(b->nodes[i].layer.params, second, sizeof second);
    CBN_DEMAND(strcmp(first, second) == 0, "other parameters the second time");
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      CBN_DEMAND(same_elements(&a->nodes[i].tensor[role], &b->nodes[i].tensor[role]), "other weights the second time");
  }
}

void cbn_fuzz_onnx(const cbn_target *target, const uint8_t *bytes, size_t size) {
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES), *other = cbn_arena_create(ARENA_BYTES);
  cbn_onnx_file file, again;
  cbn_error error, same;
  (void)target;
  CBN_DEMAND(arena != NULL && other != NULL, "no memory");
  const bool read = cbn_onnx_file_parse(NAME, bytes, size, arena, &file, &error);
  CBN_DEMAND(read == cbn_onnx_file_parse(NAME, bytes, size, other, &again, &same), "read once, and refused once");
  if (!read) {
    check_message(error.text, size);
    CBN_DEMAND(strcmp(error.text, same.text) == 0, "refused another way the second time: %s", same.text);
  }
  for (size_t i = 0; read && i < file.count; i++) check_node(&file.nodes[i], size);
  if (read) check_same(&file, &again);
  cbn_arena_destroy(arena);
  cbn_arena_destroy(other);
}
