/* tests/test_onnx_file.c - ONNX files: those of tests/data/onnx, which the wheel onnx wrote, and models written byte by
 * byte after onnx.proto and the description of the wire format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/onnx_file.h"

static cbn_arena *arena;

static int open_arena(void **state) {
  (void)state;
  arena = cbn_arena_create(1 << 24);
  return arena == NULL;
}

static int close_arena(void **state) {
  (void)state;
  cbn_arena_destroy(arena);
  return 0;
}

/* ---- models of the wheel ---- */

static cbn_onnx_file read_sample(const char *name) {
  char path[64];
  cbn_onnx_file file;
  cbn_error error;
  snprintf(path, sizeof path, "tests/data/onnx/%s.onnx", name);
  if (!cbn_onnx_file_read(path, arena, &file, &error)) fail_msg("%s", error.text);
  return file;
}

static void assert_params(const cbn_onnx_node_info *info, const char *expected) {
  char text[512];
  cbn_value_print(info->layer.params, text, sizeof text);
  assert_string_equal(text, expected);
}

static void assert_shape(const cbn_shape *shape, int32_t rank, const int64_t *extent) {
  assert_int_equal(shape->rank, rank);
  for (int32_t a = 0; a < rank; a++) assert_int_equal(shape->extent[a], extent[a]);
}

/* The tensor has these extents and the elements first, first + 1, ... */
static void assert_counting(const cbn_onnx_node_info *info, int role, int32_t rank, const int64_t *extent,
                            double first) {
  const cbn_tensor *tensor = &info->tensor[role];
  assert_shape(&info->layer.tensor[role], rank, extent);
  assert_int_equal(tensor->type, CBN_F32);
  assert_int_equal(tensor->rank, rank);
  for (int32_t a = 0; a < rank; a++) assert_int_equal(tensor->extent[a], extent[a]);
  for (int64_t i = 0; i < cbn_tensor_count(tensor); i++) assert_true(cbn_tensor_get(tensor, i) == first + (double)i);
}
#define EXTENTS(...)                                                                                                   \
  (const int64_t[]) { __VA_ARGS__ }

static void a_network_reads(void **state) {
  (void)state;
  const cbn_onnx_file file = read_sample("network");
  const cbn_onnx_node_info *node = file.nodes;
  assert_int_equal(file.opset, 17);
  assert_int_equal(file.count, 5);

  assert_string_equal(node[0].name, "first");
  assert_string_equal(node[0].operator_type, "Conv");
  assert_true(node[0].known && node[0].has_input && !node[0].trains);
  assert_string_equal(node[0].layer.dialect->name, "onnx");
  assert_string_equal(node[0].layer.operator->name, "Conv");
  assert_params(&node[0],
                "{opset: 17, dilations: [1, 1], group: 1, kernel_shape: [3, 3], pads: [1, 0, 1, 2], "
                "strides: [2, 1]}");
  assert_shape(&node[0].input, 4, EXTENTS(-1, 3, 8, 9));
  assert_int_equal(node[0].input_type, CBN_F32);
  assert_counting(&node[0], CBN_ROLE_WEIGHT, 4, EXTENTS(4, 3, 3, 3), 0);
  assert_counting(&node[0], CBN_ROLE_BIAS, 1, EXTENTS(4), 1);
  assert_int_equal(node[0].tensor[CBN_ROLE_RUNNING_MEAN].rank, 0);
  assert_int_equal(node[0].layer.tensor[CBN_ROLE_INPUT].rank, 0);

  assert_string_equal(node[1].name, "norm");
  assert_params(&node[1], "{opset: 17, epsilon: 0.001, momentum: 0.99}");
  assert_shape(&node[1].input, 4, EXTENTS(-1, 4, 4, 9)); /* (8 + 2 - 3) / 2 + 1, 9 + 2 - 3 + 1 */
  assert_counting(&node[1], CBN_ROLE_WEIGHT, 1, EXTENTS(4), 2);
  assert_counting(&node[1], CBN_ROLE_BIAS, 1, EXTENTS(4), -3);
  assert_counting(&node[1], CBN_ROLE_RUNNING_MEAN, 1, EXTENTS(4), 0);
  assert_counting(&node[1], CBN_ROLE_RUNNING_VAR, 1, EXTENTS(4), 1);
  assert_false(node[1].trains);

  assert_string_equal(node[2].operator_type, "Relu");
  assert_false(node[2].known);

  assert_params(&node[3], "{opset: 17, auto_pad: SAME_UPPER, group: 4}");
  assert_counting(&node[3], CBN_ROLE_WEIGHT, 4, EXTENTS(4, 1, 2, 2), 0);
  assert_int_equal(node[3].tensor[CBN_ROLE_BIAS].rank, 0);

  assert_string_equal(node[4].name, "y"); /* its output's */
  assert_string_equal(node[4].layer.operator->name, "ConvTranspose");
  assert_params(&node[4], "{opset: 17, group: 2, kernel_shape: [2, 2], output_padding: [1, 0], strides: [2, 2]}");
  assert_counting(&node[4], CBN_ROLE_WEIGHT, 4, EXTENTS(4, 3, 2, 2), 0);
}

/* The dialect takes what the file gives. */
static void a_node_has_a_plan(void **state) {
  (void)state;
  const cbn_onnx_file file = read_sample("network");
  const cbn_onnx_node_info *info = &file.nodes[4];
  cbn_request request = {.params = info->layer.params, .input = info->input};
  cbn_plan plan;
  cbn_rejection rejection;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (info->layer.tensor[role].rank > 0) request.layer[role] = &info->layer.tensor[role];
  request.input.extent[0] = 2;
  if (!info->layer.operator->plan(info->layer.operator, & request, &plan, &rejection))
    fail_msg("%s", rejection.message);
  assert_true(plan.conv.transposed && plan.conv.has_bias);
  assert_int_equal(plan.conv.groups, 2);
  assert_int_equal(plan.conv.out_channels, 6);
  assert_int_equal(plan.conv.output_padding[0], 1);
}

static void every_type_reads(void **state) {
  (void)state;
  static const double values[] = {0.5, -2, 3};
  static const int32_t types[] = {CBN_F32, CBN_F64, CBN_F16, CBN_BF16};
  const cbn_onnx_file file = read_sample("types");
  assert_int_equal(file.count, 8);
  for (size_t i = 0; i < file.count; i++) { /* each as raw data, then as numbers */
    const cbn_tensor *weight = &file.nodes[i].tensor[CBN_ROLE_WEIGHT];
    assert_int_equal(weight->type, types[i / 2]);
    assert_int_equal(file.nodes[i].input_type, types[i / 2]);
    assert_int_equal(cbn_tensor_count(weight), 3);
    for (int64_t k = 0; k < 3; k++) assert_true(cbn_tensor_get(weight, k) == values[k]);
  }
}

static void an_old_model_reads(void **state) {
  (void)state;
  const cbn_onnx_file file = read_sample("old");
  const cbn_onnx_node_info *node = file.nodes;
  assert_int_equal(file.opset, 9);
  assert_int_equal(file.count, 6); /* without those of the subgraph */

  assert_string_equal(node[0].operator_type, "Constant");
  assert_string_equal(node[0].name, "w");
  assert_false(node[0].known);
  assert_string_equal(node[1].name, "constant weight");
  assert_counting(&node[1], CBN_ROLE_WEIGHT, 3, EXTENTS(2, 2, 1), 0);
  assert_shape(&node[1].layer.tensor[CBN_ROLE_BIAS], 1, EXTENTS(2)); /* an input of the graph */
  assert_int_equal(node[1].tensor[CBN_ROLE_BIAS].rank, 0);
  assert_string_equal(node[2].operator_type, "If");

  assert_true(node[3].known && node[3].trains && !node[3].has_input);
  assert_params(&node[3], "{opset: 9}");
  assert_counting(&node[3], CBN_ROLE_WEIGHT, 1, EXTENTS(2), 1);
  assert_counting(&node[3], CBN_ROLE_BIAS, 1, EXTENTS(2), 1);
  assert_shape(&node[3].layer.tensor[CBN_ROLE_RUNNING_VAR], 1, EXTENTS(2));
  assert_int_equal(node[3].input_type, CBN_F32); /* of its weight */

  assert_string_equal(node[4].operator_type, "Conv");
  assert_false(node[4].known); /* of another domain */

  assert_params(&node[5], "{opset: 9, output_shape: [9], strides: [2]}"); /* whose attributes state no type */
  assert_int_equal(node[5].layer.tensor[CBN_ROLE_WEIGHT].rank, 0);        /* symbolic */
  assert_int_equal(node[5].input_type, -1);
}

static void data_elsewhere_are_refused(void **state) {
  (void)state;
  cbn_onnx_file file;
  cbn_error error;
  assert_false(cbn_onnx_file_read("tests/data/onnx/elsewhere.onnx", arena, &file, &error));
  assert_non_null(strstr(error.text, "elsewhere.onnx: byte "));
  assert_non_null(strstr(error.text, ": the elements of tensor 'w' lie in another file"));
  assert_false(cbn_onnx_file_read("tests/data/onnx/none.onnx", arena, &file, &error));
  assert_non_null(strstr(error.text, "none.onnx: onnx-file: cannot be read: No such file"));
  assert_false(cbn_onnx_file_read("tests/data", arena, &file, &error));
  assert_non_null(strstr(error.text, "tests/data: onnx-file: is no regular file"));
}

/* Their last field is the operator set's: no beginning is a model. Nor does a changed byte do any harm. */
static void cut_and_changed_models(void **state) {
  (void)state;
  static const char *const names[] = {"network", "types", "old", "elsewhere"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64], bytes[4096];
    cbn_onnx_file file;
    cbn_error error;
    snprintf(path, sizeof path, "tests/data/onnx/%s.onnx", names[i]);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    const size_t size = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    assert_true(size > 0 && size < sizeof bytes);
    for (size_t length = 0; length < size; length++) {
      cbn_arena *own = cbn_arena_create(1 << 24);
      char *copy = malloc(length + (length == 0)); /* so that a sanitizer sees what is read behind it */
      memcpy(copy, bytes, length);
      error.text[0] = '\0';
      const bool read = cbn_onnx_file_parse("a.onnx", copy, length, own, &file, &error);
      if (read || strncmp(error.text, "a.onnx: byte ", 13) != 0)
        fail_msg("%s cut at byte %zu: %s", path, length, error.text);
      free(copy);
      cbn_arena_destroy(own);
    }
    for (size_t at = 0; at < size; at++)
      for (int change = 1; change < 256; change *= 2) {
        cbn_arena *own = cbn_arena_create(1 << 24);
        bytes[at] = (char)(bytes[at] ^ change);
        if (!cbn_onnx_file_parse("a.onnx", bytes, size, own, &file, &error))
          assert_int_equal(strncmp(error.text, "a.onnx: byte ", 13), 0);
        bytes[at] = (char)(bytes[at] ^ change);
        cbn_arena_destroy(own);
      }
  }
}

/* ---- models by hand ---- */

struct bytes {
  unsigned char at[2048];
  size_t length;
};

static struct bytes *add(struct bytes *to, const void *bytes, size_t count) {
  assert_true(to->length + count <= sizeof to->at);
  memcpy(to->at + to->length, bytes, count);
  to->length += count;
  return to;
}

static struct bytes *varint(struct bytes *to, uint64_t value) {
  do {
    const unsigned char byte = (unsigned char)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
    add(to, &byte, 1);
    value >>= 7;
  } while (value > 0);
  return to;
}

static struct bytes *number(struct bytes *to, uint64_t field, uint64_t value) {
  return varint(varint(to, field << 3), value);
}

static struct bytes *block(struct bytes *to, uint64_t field, const void *bytes, size_t count) {
  return add(varint(varint(to, field << 3 | 2), count), bytes, count);
}

static struct bytes *text(struct bytes *to, uint64_t field, const char *words) {
  return block(to, field, words, strlen(words));
}

static struct bytes *message(struct bytes *to, uint64_t field, const struct bytes *of) {
  return block(to, field, of->at, of->length);
}

static struct bytes *real(struct bytes *to, uint64_t field, float value) {
  return add(varint(to, field << 3 | 5), &value, sizeof value);
}

/* An f32 tensor w of shape (1, 1, 2) with the elements 1 and 2. */
static struct bytes weight(void) {
  struct bytes tensor = {.length = 0};
  number(number(number(&tensor, 1, 1), 1, 1), 1, 2);
  return *block(text(number(&tensor, 2, 1), 8, "w"), 9, "\0\0\x80\x3F\0\0\0\x40", 8);
}

/* Conv of x and w, named n, with one attribute. */
static struct bytes conv(const struct bytes *attribute) {
  struct bytes node = {.length = 0};
  text(text(text(text(text(&node, 1, "x"), 1, "w"), 2, "y"), 3, "n"), 4, "Conv");
  return attribute != NULL ? *message(&node, 5, attribute) : node;
}

/* A model of the version, with an operator set if that is no 0, around the graph. */
static struct bytes model(uint64_t version, uint64_t opset, const struct bytes *graph) {
  struct bytes whole = {.length = 0}, import = {.length = 0};
  number(&whole, 1, version);
  if (graph != NULL) message(&whole, 7, graph);
  if (opset > 0) message(&whole, 8, number(&import, 2, opset));
  return whole;
}

static struct bytes graph_of(const struct bytes *node, const struct bytes *tensor) {
  struct bytes graph = {.length = 0};
  if (node != NULL) message(&graph, 1, node);
  return tensor != NULL ? *message(&graph, 5, tensor) : graph;
}

static cbn_onnx_file read_well(const struct bytes *whole) {
  cbn_onnx_file file;
  cbn_error error;
  if (!cbn_onnx_file_parse("a.onnx", whole->at, whole->length, arena, &file, &error)) fail_msg("%s", error.text);
  return file;
}

static void assert_refused(const struct bytes *whole, const char *words) {
  cbn_onnx_file file;
  cbn_error error;
  if (cbn_onnx_file_parse("a.onnx", whole->at, whole->length, arena, &file, &error))
    fail_msg("read, but expected: %s", words);
  if (strncmp(error.text, "a.onnx: byte ", 13) != 0 || strstr(error.text, words) == NULL)
    fail_msg("expected: %s\ngot: %s", words, error.text);
}

static void assert_attribute(const struct bytes *attribute, const char *params) {
  const struct bytes node = conv(attribute), tensor = weight(), graph = graph_of(&node, &tensor),
                     whole = model(8, 17, &graph);
  const cbn_onnx_file file = read_well(&whole);
  assert_int_equal(file.count, 1);
  assert_params(&file.nodes[0], params);
  assert_true(cbn_tensor_get(&file.nodes[0].tensor[CBN_ROLE_WEIGHT], 1) == 2);
}

#define ATTRIBUTE(name) struct bytes name = {.length = 0}

static void attributes_read(void **state) {
  (void)state;
  ATTRIBUTE(unpacked);
  number(number(number(text(&unpacked, 1, "pads"), 8, 1), 8, UINT64_MAX), 20, 7);
  assert_attribute(&unpacked, "{opset: 17, pads: [1, -1]}");
  ATTRIBUTE(packed);
  block(number(text(&packed, 1, "pads"), 20, 7), 8, "\x01\x80\x01\x02", 4);
  number(&packed, 8, 5); /* both ways in one */
  assert_attribute(&packed, "{opset: 17, pads: [1, 128, 2, 5]}");
  ATTRIBUTE(none);
  number(text(&none, 1, "pads"), 20, 7);
  assert_attribute(&none, "{opset: 17, pads: []}");
  ATTRIBUTE(zero); /* a value of 0 is not written by proto3 */
  number(text(&zero, 1, "group"), 20, 2);
  assert_attribute(&zero, "{opset: 17, group: 0}");
  ATTRIBUTE(untyped);
  real(text(&untyped, 1, "epsilon"), 2, 1e-5f);
  assert_attribute(&untyped, "{opset: 17, epsilon: 1e-05}");
  ATTRIBUTE(nan);
  real(number(text(&nan, 1, "epsilon"), 20, 1), 2, NAN);
  assert_attribute(&nan, "{opset: 17, epsilon: .nan}");
  ATTRIBUTE(untyped_text);
  text(text(&untyped_text, 1, "auto_pad"), 4, "VALID");
  assert_attribute(&untyped_text, "{opset: 17, auto_pad: VALID}");
  ATTRIBUTE(last); /* of a field that is there twice the last one counts; unknown fields do not */
  real(number(number(number(text(&last, 1, "group"), 3, 4), 3, 6), 20, 2), 99, 1);
  assert_attribute(&last, "{opset: 17, group: 6}");
}

static void assert_attribute_refused(const struct bytes *attribute, const char *words) {
  const struct bytes node = conv(attribute), tensor = weight(), graph = graph_of(&node, &tensor),
                     whole = model(8, 17, &graph);
  assert_refused(&whole, words);
}

static void attributes_are_refused(void **state) {
  (void)state;
  ATTRIBUTE(nameless);
  assert_attribute_refused(number(&nameless, 3, 1), "an attribute without a name");
  ATTRIBUTE(empty);
  assert_attribute_refused(text(&empty, 1, "group"), "attribute 'group' is no FLOAT, INT, STRING or INTS");
  ATTRIBUTE(subgraph);
  assert_attribute_refused(number(text(&subgraph, 1, "body"), 20, 5), "attribute 'body' is no FLOAT");
  ATTRIBUTE(reference);
  assert_attribute_refused(text(number(text(&reference, 1, "group"), 20, 2), 21, "g"), "a function's parameter");
  ATTRIBUTE(opset);
  assert_attribute_refused(number(text(&opset, 1, "opset"), 3, 1), "attribute 'opset' is there twice");
  ATTRIBUTE(nul);
  assert_attribute_refused(block(text(&nul, 1, "auto_pad"), 4, "a\0b", 3), "attribute 'auto_pad' holds a NUL");
  ATTRIBUTE(group);
  number(text(&group, 1, "group"), 3, 1);
  struct bytes node = conv(&group);
  message(&node, 5, &group);
  const struct bytes graph = graph_of(&node, NULL), whole = model(8, 17, &graph);
  assert_refused(&whole, "attribute 'group' is there twice");
  struct bytes many = conv(NULL);
  for (int i = 0; i < 65; i++) message(&many, 5, &group);
  const struct bytes graph_of_many = graph_of(&many, NULL), whole_of_many = model(8, 17, &graph_of_many);
  assert_refused(&whole_of_many, "a node has 65 attributes, more than 64");
}

static void tensors_are_refused(void **state) {
  (void)state;
  static const struct {
    uint64_t type, extent;
    const char *raw;
    size_t size;
    const char *words;
  } tensors[] = {
      {1, 2, "abcd", 4, "tensor 'w' has 2 elements and data for 1"},
      {1, 2, "abcdefghi", 9, "tensor 'w' has 2 elements and data for 2"},
      {1, 2, "", 0, "tensor 'w' has 2 elements and data for 0"},
      {3, 2, "ab", 2, "tensor 'w' is int8"},
      {17, 2, "ab", 2, "tensor 'w' is of a type of one byte or less"},
      {0, 2, "ab", 2, "tensor 'w' is undefined"},
      {1, UINT64_MAX, "", 0, "a negative extent"},
      {1, INT64_MAX, "", 0, "more bytes than 63 bits count"},
      {11, (uint64_t)1 << 50, "abcdefgh", 8, "tensor 'w' has 1125899906842624 elements and data for 1"},
  };
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
    struct bytes tensor = {.length = 0};
    number(text(number(&tensor, 1, tensors[i].extent), 8, "w"), 2, tensors[i].type);
    block(&tensor, 9, tensors[i].raw, tensors[i].size);
    const struct bytes node = conv(NULL), graph = graph_of(&node, &tensor), whole = model(8, 17, &graph);
    assert_refused(&whole, tensors[i].words);
  }
  struct bytes twice = weight(), scalar = {.length = 0}, deep = {.length = 0}, wide = {.length = 0}, segment = weight();
  real(real(&twice, 4, 1), 4, 2);
  text(number(&scalar, 2, 1), 8, "w");
  for (int i = 0; i < 6; i++) number(&deep, 1, 1);
  text(number(&deep, 2, 1), 8, "w");
  number(number(text(number(&wide, 2, 10), 8, "w"), 1, 1), 5, 65536);
  text(&segment, 3, "");
  const struct {
    const struct bytes *tensor;
    const char *words;
  } others[] = {{&twice, "its elements twice"},
                {&scalar, "tensor 'w' has 0 axes"},
                {&deep, "tensor 'w' has 6 axes"},
                {&wide, "65536 does not fit into 16 bits"},
                {&segment, "tensor 'w' is stored in segments"}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    const struct bytes node = conv(NULL), graph = graph_of(&node, others[i].tensor), whole = model(8, 17, &graph);
    assert_refused(&whole, others[i].words);
  }
  /* What no layer asks for may be anything. */
  struct bytes node = {.length = 0}, tensor = {.length = 0};
  const struct bytes graph = graph_of(text(&node, 4, "Relu"), text(number(&tensor, 2, 7), 8, "w")),
                     whole = model(8, 17, &graph);
  assert_int_equal(read_well(&whole).count, 1);
}

static void graphs_are_refused(void **state) {
  (void)state;
  struct bytes nothing = {.length = 0}, tensor = weight(), node = conv(NULL);
  struct bytes graph = graph_of(NULL, NULL), whole = model(8, 17, &graph);
  assert_int_equal(read_well(&whole).count, 0);
  assert_refused(&nothing, "there was no ir_version: this is no ONNX model");
  whole = model(8, 17, NULL);
  assert_refused(&whole, "there was no graph: this is no ONNX model");
  whole = model(8, 17, &graph);
  message(&whole, 7, &graph);
  assert_refused(&whole, "a second graph");
  graph = graph_of(&node, &tensor);
  whole = model(8, 0, &graph);
  assert_refused(&whole, "the model states no operator set");
  whole = model(2, 0, &graph);
  assert_int_equal(read_well(&whole).opset, 1);
  whole = model(8, 17, &graph);
  struct bytes import = {.length = 0};
  message(&whole, 8, number(text(&import, 1, "ai.onnx"), 2, 18));
  assert_refused(&whole, "operator set 18 of the standard operators, beside another one");
  message(&graph, 5, &tensor);
  whole = model(8, 17, &graph);
  assert_refused(&whole, "tensor 'w' is there twice");
  graph = graph_of(&nothing, NULL);
  whole = model(8, 17, &graph);
  assert_refused(&whole, "a node without op_type");
  text(text(&node, 1, "b"), 1, "more");
  graph = graph_of(&node, &tensor);
  whole = model(8, 17, &graph);
  assert_refused(&whole, "Conv 'n' has 4 inputs, and takes 3");
}

/* Lengths, numbers and tags that lead beyond what is there, and files of other kinds. */
static void broken_wires_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *words;
  } broken[] = {
#define BYTES(text) (text), sizeof(text) - 1
      {BYTES("\x3A\x05"), "a.onnx: byte 2: 5 bytes should follow and 0 do"},
      {BYTES("\x3A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), "18446744073709551615 bytes should follow and 0 do"},
      {BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"), "byte 1: a number has more than 64 bits"},
      {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "byte 1: a number has more than 64 bits"},
      {BYTES("\x08\x80"), "byte 1: a number is cut off"},
      {BYTES("\x08\x08\x00\x01"), "byte 2: no field has the number 0"},
      {BYTES("\xF8\xFF\xFF\xFF\xFF\x01\x01"), "byte 0: no field has the number 8589934591"},
      {BYTES("\x0B\x0C"), "byte 0: a field of wire type 3"},
      {BYTES("\x0C"), "byte 0: a field of wire type 4"},
      {BYTES("\x0E"), "byte 0: a field of wire type 6"},
      {BYTES("\x0D\1\2\3"), "4 bytes should follow and 3 do"},
      {BYTES("\x09\1\2\3\4\5\6\7"), "8 bytes should follow and 7 do"},
      {BYTES("# A text"), "byte 0: a field of wire type 3"},
      {BYTES("{\"a\": 1}"), "byte 0: a field of wire type 3"},
      {BYTES("PK\3\4\x14\0\0\0\0\0\0\0!\0\0\0\0\0"), "a.onnx: byte "},
      {BYTES("\x93NUMPY\1\0"), "byte 0: a field of wire type 3"},
      {BYTES("\x80\2\x8A\nl\xFC\x9C"), "a.onnx: byte "}, /* a pickle */
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    struct bytes whole = {.length = 0};
    assert_refused(add(&whole, broken[i].bytes, broken[i].size), broken[i].words);
  }
}

/* A name is one line, and cut where it is long. */
static void names_are_shown(void **state) {
  (void)state;
  char name[300];
  memset(name, 'n', sizeof name);
  memcpy(name, "a\x1b[31m\n", 7);
  struct bytes node = {.length = 0};
  block(text(&node, 4, "Relu"), 3, name, sizeof name);
  const struct bytes graph = graph_of(&node, NULL), whole = model(8, 17, &graph);
  const cbn_onnx_file file = read_well(&whole);
  assert_int_equal(strlen(file.nodes[0].name), 127);
  assert_int_equal(strncmp(file.nodes[0].name, "a?[31m?nnn", 10), 0);
  assert_string_equal(file.nodes[0].name + 123, "n...");
}

static void memory_is_limited(void **state) {
  (void)state;
  const struct bytes node = conv(NULL), tensor = weight(), graph = graph_of(&node, &tensor),
                     whole = model(8, 17, &graph);
  size_t limit = 64;
  for (bool read = false; !read; limit += 64) {
    cbn_arena *small = cbn_arena_create(limit);
    cbn_onnx_file file;
    cbn_error error = {"none"};
    read = cbn_onnx_file_parse("a.onnx", whole.at, whole.length, small, &file, &error);
    if (!read && strstr(error.text, ": no memory for what begins here") == NULL) fail_msg("%s", error.text);
    cbn_arena_destroy(small);
  }
  assert_true(limit > 2000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_network_reads),
      cmocka_unit_test(a_node_has_a_plan),
      cmocka_unit_test(every_type_reads),
      cmocka_unit_test(an_old_model_reads),
      cmocka_unit_test(data_elsewhere_are_refused),
      cmocka_unit_test(cut_and_changed_models),
      cmocka_unit_test(attributes_read),
      cmocka_unit_test(attributes_are_refused),
      cmocka_unit_test(tensors_are_refused),
      cmocka_unit_test(graphs_are_refused),
      cmocka_unit_test(broken_wires_are_refused),
      cmocka_unit_test(names_are_shown),
      cmocka_unit_test(memory_is_limited),
  };
  return cmocka_run_group_tests(tests, open_arena, close_arena);
}
