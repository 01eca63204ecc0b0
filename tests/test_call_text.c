/* Layers as text: what is written reads back, what people write is read, and what is wrong is said where it stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dialects/layout.h"
#include "harness/cases.h"
#include "harness/solution.h"
#include "migration/call_text.h"
#include "migration/signature.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { ARENA_BYTES = 1 << 22, TEXT = 2048 };

static int make_arena(void **state) {
  *state = cbn_arena_create(ARENA_BYTES);
  return *state == NULL;
}

static int drop_arena(void **state) {
  cbn_arena_destroy(*state);
  return 0;
}

/* ------------------------------------------------------------------------------------------------ what is read */

/* A call; the dialect that is given, "" for none; what it is; its parameters in YAML. */
static const struct {
  const char *text, *given, *dialect, *operator, * params;
} calls[] = {
    {"torch.nn.Conv2d(16, 33, 3, stride=2, padding='same')", "", "pytorch", "nn.Conv2d",
     "{in_channels: 16, out_channels: 33, kernel_size: 3, stride: 2, padding: same}"},
    {"nn.Conv2d(16, 33, (3, 5))", "pytorch", "pytorch", "nn.Conv2d",
     "{in_channels: 16, out_channels: 33, kernel_size: [3, 5]}"},
    {"nn.Conv2d(16, 33, (3, 5))", "mindspore", "mindspore", "nn.Conv2d",
     "{in_channels: 16, out_channels: 33, kernel_size: [3, 5]}"},
    {"Conv1d(1, 2, [3])", "mindspore", "mindspore", "nn.Conv1d", "{in_channels: 1, out_channels: 2, kernel_size: [3]}"},
    {"self.conv1 = torch.nn.ConvTranspose2d(4, 2, kernel_size=(3,), bias=False,)  # upsampling", "", "pytorch",
     "nn.ConvTranspose2d", "{in_channels: 4, out_channels: 2, kernel_size: [3], bias: false}"},
    {"\n  conv = torch.nn.Conv2d(  # RGB\n    3,\n    8,  # features\n    3)\n", "", "pytorch", "nn.Conv2d",
     "{in_channels: 3, out_channels: 8, kernel_size: 3}"},
    {"torch.nn.Conv2d(3, 8, 3),", "", "pytorch", "nn.Conv2d", "{in_channels: 3, out_channels: 8, kernel_size: 3}"},
    {"torch.nn.BatchNorm2d(8, 1e-3, None)", "", "pytorch", "nn.BatchNorm2d",
     "{num_features: 8, eps: 0.001, momentum: null}"},
    {"nn.BatchNorm2d(8, bias=False)", "pytorch", "pytorch", "nn.BatchNorm2d", "{num_features: 8, bias: false}"},
    {"torch.nn.Conv2d(3, 8, 3, device='cpu', dtype=torch.float16)", "", "pytorch", "nn.Conv2d",
     "{in_channels: 3, out_channels: 8, kernel_size: 3, device: cpu}"},
    {"ms.nn.Conv2d(3, 8, 3, pad_mode='pad', padding=(0, 1, 0, 1))", "", "mindspore", "nn.Conv2d",
     "{in_channels: 3, out_channels: 8, kernel_size: 3, pad_mode: pad, padding: [0, 1, 0, 1]}"},
    {"mindspore.nn.BatchNorm2d(num_features=3, momentum=.9, eps=1.e-05)", "", "mindspore", "nn.BatchNorm2d",
     "{num_features: 3, momentum: 0.9, eps: 1e-05}"},
    {"tf.nn.conv2d(x, w, strides=2, padding='SAME')", "", "tensorflow", "nn.conv2d", "{strides: 2, padding: SAME}"},
    {"tf.nn.conv2d(x, w, [1, 2, 2, 1], 'VALID')", "", "tensorflow", "nn.conv2d",
     "{strides: [1, 2, 2, 1], padding: VALID}"},
    {"tensorflow.nn.conv2d(input=x, filters=self.w, strides=1, padding=[[0, 0], [1, 2], [3, 4], [0, 0]], name=None)",
     "", "tensorflow", "nn.conv2d", "{strides: 1, padding: [[0, 0], [1, 2], [3, 4], [0, 0]], name: null}"},
    {"onnx.helper.make_node('Conv', inputs=['X', 'W', 'B'], outputs=['Y'], strides=[2, 2], pads=[0, 0, 1, 1])", "",
     "onnx", "Conv", "{strides: [2, 2], pads: [0, 0, 1, 1]}"},
    {"make_node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'], 'bn1', epsilon=1e-3)  # opset 9", "", "onnx",
     "BatchNormalization", "{epsilon: 0.001, opset: 9}"},
    {"helper.make_node(op_type='ConvTranspose', inputs=['X', 'W'], outputs=['Y'], output_padding=[1], "
     "auto_pad='SAME_LOWER')",
     "onnx", "onnx", "ConvTranspose", "{output_padding: [1], auto_pad: SAME_LOWER}"},
    {"convbn.conv(8, 3, pad_end=-1, transposed=True)", "", "canonical", "conv",
     "{out_channels: 8, kernel: 3, pad_end: -1, transposed: true}"},
    {"batchnorm()", "", "canonical", "batchnorm", "{}"},
    {"keras.layers.Conv2D(8, 3, padding='same')", "", "keras", "layers.Conv2D",
     "{filters: 8, kernel_size: 3, padding: same}"},
    {"tf.keras.layers.Conv2D(8, 3)  # backend 'jax'", "", "keras", "layers.Conv2D",
     "{filters: 8, kernel_size: 3, backend: jax}"},
    {"lax.conv_general_dilated(x, w, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))", "", "jax",
     "lax.conv_general_dilated", "{window_strides: [1, 1], padding: SAME, dimension_numbers: [NHWC, HWIO, NHWC]}"},
    {"nn.Conv(features=8, kernel_size=(3, 3), param_dtype=jnp.float32)", "", "flax", "linen.Conv",
     "{features: 8, kernel_size: [3, 3]}"},
    {"flax.linen.BatchNorm(use_running_average=True)", "", "flax", "linen.BatchNorm", "{use_running_average: true}"},
    {"mindspore.mint.nn.Conv2d(3, 8, 3)", "", "mindspore", "mint.nn.Conv2d",
     "{in_channels: 3, out_channels: 8, kernel_size: 3}"},
    /* literals */
    {"convbn.conv(0x10, 0b11, 0o17, 1_000, +2, -3, -9223372036854775808)", "", "canonical", "conv",
     "{out_channels: 16, kernel: 3, groups: 15, stride: 1000, dilation: 2, pad_begin: -3, pad_end: "
     "-9223372036854775808}"},
    {"convbn.conv((3), (3,), (), [], [[1], (2, [3])], 1E3, -.5e+2)", "", "canonical", "conv",
     "{out_channels: 3, kernel: [3], groups: [], stride: [], dilation: [[1], [2, [3]]], pad_begin: 1e+03, pad_end: "
     "-5e+01}"},
    {"convbn.batchnorm(1e999, -1e999, float('nan'), float( \"-inf\" ), 0.1e-320)", "", "canonical", "batchnorm",
     "{epsilon: .inf, new_weight: -.inf, statistics: .nan, update_running: -.inf, running_variance: 1e-321}"},
    {"convbn.batchnorm('a\\'b', \"c'd\", '\\n\\t\\\\', '\\x41\\u00e9\\U0001F600', '')", "", "canonical", "batchnorm",
     "{epsilon: \"a'b\", new_weight: \"c'd\", statistics: \"\\n\\t\\\\\", update_running: "
     "\"A\xc3\xa9\xf0\x9f\x98\x80\", "
     "running_variance: \"\"}"},
};

static void calls_are_read(void **state) {
  for (size_t i = 0; i < COUNT(calls); i++) {
    cbn_layer layer;
    cbn_error error;
    char params[TEXT];
    const cbn_dialect *given = calls[i].given[0] == '\0' ? NULL : cbn_dialect_by_name(calls[i].given);
    if (!cbn_call_read(calls[i].text, given, *state, &layer, &error)) fail_msg("%s: %s", calls[i].text, error.text);
    assert_string_equal(layer.dialect->name, calls[i].dialect);
    assert_string_equal(layer.operator->name, calls[i].operator);
    cbn_value_print(layer.params, params, sizeof params);
    assert_string_equal(params, calls[i].params);
  }
}

/* Which tensors a call has: the letters of weight, bias, mean, variance. */
static void tensors_are_noted(void **state) {
  static const struct {
    const char *text, *tensors;
  } rows[] = {
      {"tf.nn.conv2d(x, w, 1, 'SAME')", "w"},
      {"tf.nn.conv2d(strides=1, padding='SAME')", ""},
      {"tf.compat.v1.nn.fused_batch_norm(x, g, b)", "wb"},
      {"tf.compat.v1.nn.fused_batch_norm(x, scale=g, offset=b, mean=m, variance=v, is_training=False)", "wbmv"},
      {"tf.compat.v1.nn.fused_batch_norm(x, g, b, None, None, 1e-3)", "wb"},
      {"tf.nn.batch_normalization(x, m, v, None, g, 1e-3)", "wmv"},
      {"F.conv2d(x, w, stride=2)", "w"},
      {"F.conv2d(x, w, b, 2)", "wb"},
      {"F.conv2d(x, w, None, 2)", "w"},
      {"torch.nn.functional.batch_norm(x, m, v, training=True)", "mv"},
      {"torch.nn.functional.batch_norm(x, m, v, bias=b)", "bmv"},
      {"mindspore.ops.batch_norm(x, m, v, g, b)", "wbmv"},
      {"mindspore.ops.Conv2D(8, 3)(x, w)", "w"},
      {"mindspore.ops.BatchNorm(is_training=True)(x, g, b, m, v)", "wbmv"},
      {"make_node('Conv', ['X', 'W'], ['Y'])", "w"},
      {"make_node('Conv', ['X', 'W', ''], ['Y'])", "w"},
      {"make_node('Conv', ['X', 'W', 'B'], ['Y'])", "wb"},
      {"torch.nn.Conv2d(1, 2, 3)", ""},
  };
  static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  for (size_t i = 0; i < COUNT(rows); i++) {
    cbn_layer layer;
    cbn_error error;
    if (!cbn_call_read(rows[i].text, NULL, *state, &layer, &error)) fail_msg("%s: %s", rows[i].text, error.text);
    char tensors[5] = "";
    size_t count = 0;
    for (int k = 0; k < 4; k++)
      if (layer.tensor[roles[k]].rank == -1) tensors[count++] = "wbmv"[k];
    assert_string_equal(tensors, rows[i].tensors);
  }
}

/* ------------------------------------------------------------------------------------------------ what is refused */

static const struct {
  const char *text, *given, *message;
} mistakes[] = {
    /* no call */
    {"", "", "column 1: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
    {"  # nothing", "", "column 12: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
    {"torch.nn.Conv2d", "", "column 16: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
    {"3 + 4", "", "column 1: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
    {"conv == torch.nn.Conv2d(1, 2, 3)", "",
     "column 7: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
    {"torch.nn.Conv2d(1, 2, 3", "", "column 24: the call has no end; close it with )"},
    {"torch.nn.Conv2d(1, 2, 3)(x)", "", "column 25: something stands behind the call; write one call and no more"},
    {"torch.nn.Conv2d(1, 2, 3) torch.nn.Conv2d(1, 2, 3)", "",
     "column 26: something stands behind the call; write one call and no more"},
    /* the operator */
    {"torch.nn.Conv2D(1, 2, 3)", "", "column 1: there is no operator torch.nn.Conv2D; did you mean torch.nn.Conv2d?"},
    {"torch.nn.Linear(1, 2)", "", "column 1: there is no operator torch.nn.Linear; `convbn dialects` lists them"},
    {"nn.Conv2d(1, 2, 3)", "",
     "column 1: nn.Conv2d is in pytorch and mindspore; write torch.nn.Conv2d or mindspore.nn.Conv2d"},
    {"x = torch.nn.Conv2d(1, 2, 3)", "mindspore",
     "column 5: there is no operator torch.nn.Conv2d in mindspore; did you mean mindspore.nn.Conv2d?"},
    {"make_node('Conv', ['X', 'W'], ['Y'])", "pytorch",
     "column 1: there is no operator make_node in pytorch; `convbn dialects` lists them"},
    {"make_node('Convv', ['X', 'W'], ['Y'])", "", "column 11: there is no operator Convv in onnx; did you mean Conv?"},
    {"make_node(strides=[1])", "", "column 11: the operator comes first; write make_node('Conv', ...)"},
    {"make_node()", "", "column 12: the operator is missing; write make_node('Conv', ...)"},
    {"make_node(3)", "", "column 11: the operator is a text; write make_node('Conv', ...)"},
    {"make_node('Conv', op_type='Conv')", "", "column 19: the operator is given twice"},
    /* parameters */
    {"torch.nn.Conv2d(1, 2, 3, strid=2)", "", "column 26: nn.Conv2d has no parameter strid; did you mean stride?"},
    {"torch.nn.Conv2d(1, 2, 3, kernal_size=2)", "",
     "column 26: nn.Conv2d has no parameter kernal_size; did you mean kernel_size?"},
    {"torch.nn.BatchNorm1d(1, zebra=2)", "",
     "column 25: nn.BatchNorm1d has no parameter zebra; it has (num_features, eps=1e-05, momentum=0.1, affine=True, "
     "track_running_stats=True, *, bias=True)"},
    {"torch.nn.Conv2d(1, 2, 3, stride=2, stride=3)", "", "column 36: the parameter stride is given twice"},
    {"torch.nn.Conv2d(1, 2, 3, in_channels=1)", "", "column 26: the parameter in_channels is given twice"},
    {"torch.nn.BatchNorm2d(1, 2, 3, 4, 5, 6)", "",
     "column 37: nn.BatchNorm2d takes 5 values by position, and this is one more"},
    {"torch.nn.Conv2d(1, out_channels=2, 3)", "",
     "column 36: this value has no name, and stands behind one that has; name it"},
    {"torch.nn.Conv2d(*args)", "",
     "column 17: values in a list or map of arguments are not read; write each by itself"},
    {"torch.nn.Conv2d(1, 2, 3, **more)", "",
     "column 26: values in a list or map of arguments are not read; write each by itself"},
    {"torch.nn.Conv2d(1 2)", "", "column 19: ',' or ')' must stand behind a value, not '2'"},
    {"torch.nn.Conv2d(1, 2 * 3, 3)", "", "column 22: arithmetic is not read; write its result"},
    {"torch.nn.Conv2d(1, 2,, 3)", "",
     "column 22: no literal begins with ','; write a number, a string, True, False, None, or a tuple"},
    {"torch.nn.Conv2d(1, 2, 3, stride=)", "",
     "column 33: no literal begins with ')'; write a number, a string, True, False, None, or a tuple"},
    {"torch.nn.Conv2d(1, 2, 3, stride=", "", "column 33: a value is missing"},
    /* tensors */
    {"tf.nn.conv2d(3, w, 1, 'SAME')", "",
     "column 14: here stands the tensor input; write a name for it, and its shape elsewhere"},
    {"tf.nn.conv2d(x, w, 1, 'SAME', filters=v)", "", "column 31: the tensor filters is given twice"},
    {"mindspore.ops.Conv2D(8, 3)(x, w, b)", "",
     "column 34: ops.Conv2D takes 2 tensors, names with commas between them"},
    {"make_node('Conv', ['X', 'W', 'B', 'C'], ['Y'])", "", "column 19: Conv takes 3 inputs, these are 4"},
    {"make_node('Conv', 'X', ['Y'])", "", "column 19: the inputs are a list of names; write inputs=['X', 'W']"},
    {"make_node('Conv', ['X'], ['Y'], opset=1)  # opset 3", "", "column 43: the parameter opset is given twice"},
    /* literals */
    {"torch.nn.Conv2d(1, 2, k)", "",
     "column 23: k is no literal; write a number, a string, True, False, None, or a tuple of these"},
    {"torch.nn.Conv2d(1, 2, 3, padding=Pad.SAME)", "",
     "column 34: Pad.SAME is no literal; write a number, a string, True, False, None, or a tuple of these"},
    {"torch.nn.Conv2d(1, 2, 3, bias=true)", "",
     "column 31: true is no literal; write a number, a string, True, False, None, or a tuple of these"},
    {"torch.nn.Conv2d(1, 2, -True)", "",
     "column 24: True is no literal; write a number, a string, True, False, None, or a tuple of these"},
    {"torch.nn.Conv2d(9223372036854775808, 2, 3)", "", "column 17: the integer 9223372036854775808 is beyond 64 bits"},
    {"torch.nn.Conv2d(-9223372036854775809, 2, 3)", "", "column 18: the integer 9223372036854775809 is beyond 64 bits"},
    {"torch.nn.Conv2d(0xFFFFFFFFFFFFFFFFFF, 2, 3)", "",
     "column 17: the integer 0xFFFFFFFFFFFFFFFFFF is beyond 64 bits"},
    {"torch.nn.Conv2d(007, 2, 3)", "", "column 17: 007 is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(1__0, 2, 3)", "", "column 17: 1__0 is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(3x, 2, 3)", "", "column 17: 3x is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(1.2.3, 2, 3)", "", "column 17: 1.2.3 is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(0x1p3, 2, 3)", "", "column 17: 0x1p3 is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(0x, 2, 3)", "", "column 17: 0x is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(2j, 2, 3)", "", "column 17: 2j is no number; write one as 3, -1, 0.1 or 1e-05"},
    {"torch.nn.Conv2d(1, 2, 3, padding='same)", "", "column 34: the string has no end; close it with '"},
    {"torch.nn.Conv2d(1, 2, 3, padding='same\n')", "", "column 34: the string has no end; close it with '"},
    {"torch.nn.Conv2d(1, 2, 3, padding='\\", "", "column 34: the string has no end; close it with '"},
    {"torch.nn.Conv2d(1, 2, 3, padding='\\q')", "", "column 35: this escape is not read; write the character itself"},
    {"torch.nn.Conv2d(1, 2, 3, padding='\\x0')", "", "column 35: \\x needs 2 hexadecimal digits"},
    {"torch.nn.Conv2d(1, 2, 3, padding='\\x00')", "", "column 35: no parameter has that character"},
    {"torch.nn.Conv2d(1, 2, 3, padding='\\ud800')", "", "column 35: no parameter has that character"},
    {"torch.nn.Conv2d(1, 2, 3, padding=b'same')", "",
     "column 34: a string with a prefix is not read; write it without the b"},
    {"torch.nn.Conv2d(1, 2, (3, 4)", "", "column 29: the call has no end; close it with )"},
    {"torch.nn.Conv2d(1, 2, (3, 4", "", "column 23: the '(' has no end; close it with )"},
    {"torch.nn.Conv2d(1, 2, [3, 4)", "", "column 28: ',' or ']' must stand between values, not ')'"},
    {"torch.nn.Conv2d(1, 2, {3: 4})", "",
     "column 23: no literal begins with '{'; write a number, a string, True, False, None, or a tuple"},
    {"convbn.batchnorm(float('3'))", "",
     "column 18: only float('nan'), float('inf') and float('-inf') are read; write others as numbers"},
    /* places */
    {"torch.nn.Conv2d(\n  1,\n  2, three)", "",
     "line 3, column 6: three is no literal; write a number, a string, True, False, None, or a tuple of these"},
    {"torch.nn.Conv2d(1, 2, 3, padding='\xc3\xa9', x)", "",
     "column 39: this value has no name, and stands behind one that has; name it"},
};

static void mistakes_are_told(void **state) {
  for (size_t i = 0; i < COUNT(mistakes); i++) {
    cbn_layer layer;
    cbn_error error;
    const cbn_dialect *given = mistakes[i].given[0] == '\0' ? NULL : cbn_dialect_by_name(mistakes[i].given);
    if (cbn_call_read(mistakes[i].text, given, *state, &layer, &error)) fail_msg("this was read: %s", mistakes[i].text);
    assert_string_equal(error.text, mistakes[i].message);
  }
}

/* ------------------------------------------------------------------------------------------------ hostile texts */

/* `count` times the piece between two others, as a call. */
static bool read_repeated(const char *before, const char *piece, size_t count, const char *behind, cbn_arena *arena,
                          cbn_error *error) {
  const size_t length = strlen(piece);
  char *text = malloc(strlen(before) + count * length + strlen(behind) + 1), *at = text;
  cbn_layer layer;
  assert_non_null(text);
  at += sprintf(at, "%s", before);
  for (size_t i = 0; i < count; i++, at += length) memcpy(at, piece, length);
  strcpy(at, behind);
  const bool read = cbn_call_read(text, NULL, arena, &layer, error);
  free(text);
  return read;
}

static void hostile_texts_are_refused(void **state) {
  enum { MANY = 1 << 20 };
  static const struct {
    const char *before, *piece, *behind, *message;
  } rows[] = {
      {"convbn.conv(", "[", "", "column 29: this is nested more than 16 deep; no parameter is"},
      {"convbn.conv(", "(", ")", "column 29: this is nested more than 16 deep; no parameter is"},
      {"convbn.conv(", "9", ")",
       "column 13: the integer 9999999999999999999999999999999999999999... is beyond 64 bits"},
      {"convbn.conv(", "(1,)", ")", "column 17: ',' or ')' must stand behind a value, not '('"},
      {"convbn.conv('", "a", "", "column 13: the string has no end; close it with '"},
      {"convbn.conv(", "1,", ")", "column 39: conv takes 13 values by position, and this is one more"},
      {"", "a", "(1)", "column 1048577: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
      {"", "a.", "b(1)", "column 2097154: this is no call; write one like torch.nn.Conv2d(16, 33, 3, stride=2)"},
      {"convbn.conv(", "a", "=1)", "column 13: no parameter has so long a name"},
      {"convbn.conv(1, 1, ", "-", "1)",
       "column 19: no literal begins with '-'; write a number, a string, True, False, None, or a tuple"},
      {"convbn.conv([", "1,", "])", NULL},
      {"convbn.conv(", "#\n", "1)", NULL},
      {"", " ", "convbn.conv(1, 2)", NULL},
  };
  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    cbn_arena *arena = cbn_arena_create((size_t)256 << 20);
    cbn_error error = {""};
    const bool read = read_repeated(rows[i].before, rows[i].piece, MANY, rows[i].behind, arena, &error);
    if (rows[i].message == NULL) assert_true(read);
    else {
      assert_false(read);
      if (strncmp(error.text, rows[i].message, strlen(rows[i].message) < 60 ? strlen(rows[i].message) : 60) != 0)
        fail_msg("%s, not %s", error.text, rows[i].message);
    }
    cbn_arena_destroy(arena);
  }
}

/* Every text that is cut short, or has one character exchanged, is read or refused; nothing else. */
static void damaged_texts_do_no_harm(void **state) {
  static const char letters[] = "()[]'\"\\=,#.-e0xN \n\x01\xff";
  (void)state;
  size_t refused = 0;
  for (size_t i = 0; i < COUNT(calls); i++) {
    const size_t length = strlen(calls[i].text);
    for (size_t at = 0; at <= length; at++)
      for (size_t k = 0; k < sizeof letters; k++) { /* the last, NUL, cuts */
        char text[TEXT];
        cbn_layer layer;
        cbn_error error = {""};
        cbn_arena *arena = cbn_arena_create(1 << 16);
        strcpy(text, calls[i].text);
        text[at] = letters[k];
        text[length] = '\0';
        const bool read = cbn_call_read(text, NULL, arena, &layer, &error);
        assert_int_equal(read, error.text[0] == '\0');
        refused += !read;
        cbn_arena_destroy(arena);
      }
  }
  assert_true(refused > 1000);
}

/* Whatever memory there is: read, or an error. */
static void short_memory_is_told(void **state) {
  (void)state;
  bool read = false;
  for (size_t limit = 0; !read; limit += 64) {
    cbn_layer layer;
    cbn_error error = {""};
    cbn_arena *arena = cbn_arena_create(limit);
    assert_non_null(arena);
    read = cbn_call_read(calls[0].text, NULL, arena, &layer, &error);
    if (!read && strstr(error.text, "there is no memory left") == NULL) fail_msg("%zu bytes: %s", limit, error.text);
    cbn_arena_destroy(arena);
    assert_true(limit < ARENA_BYTES);
  }
}

/* ------------------------------------------------------------------------------------------------ what is written */

/* Parameters in, text out: short, and with all defaults. */
static void calls_are_written(void **state) {
  static const struct {
    const char *call, *text, *whole;
  } rows[] = {
      {"torch.nn.Conv2d(kernel_size=(3, 3), out_channels=8, in_channels=4, stride=2)",
       "torch.nn.Conv2d(4, 8, (3, 3), stride=2)",
       "torch.nn.Conv2d(4, 8, (3, 3), stride=2, padding=0, dilation=1, groups=1, bias=True, padding_mode='zeros')"},
      {"torch.nn.Conv2d(4, kernel_size=3)", "torch.nn.Conv2d(4, kernel_size=3)",
       "torch.nn.Conv2d(4, kernel_size=3, stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode='zeros')"},
      {"torch.nn.BatchNorm2d(3, device='cpu')", "torch.nn.BatchNorm2d(3, device='cpu')",
       "torch.nn.BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, bias=True, "
       "device='cpu')"},
      {"tf.nn.conv2d(a, b, 2, 'SAME')", "tf.nn.conv2d(input, filters, 2, 'SAME')",
       "tf.nn.conv2d(input, filters, 2, 'SAME', data_format='NHWC', dilations=None)"},
      {"tf.compat.v1.nn.fused_batch_norm(a, b, c, variance=d)",
       "tf.compat.v1.nn.fused_batch_norm(x, scale, offset, variance=variance)",
       "tf.compat.v1.nn.fused_batch_norm(x, scale, offset, variance=variance, epsilon=0.001, data_format='NHWC', "
       "is_training=True, exponential_avg_factor=1.0)"},
      {"F.conv2d(a, b, stride=(2,))", "torch.nn.functional.conv2d(input, weight, stride=(2,))",
       "torch.nn.functional.conv2d(input, weight, stride=(2,), padding=0, dilation=1, groups=1)"},
      {"mindspore.ops.Conv2D(8, 3)(a, b)", "mindspore.ops.Conv2D(8, 3)(input, weight)",
       "mindspore.ops.Conv2D(8, 3, mode=1, pad_mode='valid', pad=0, stride=1, dilation=1, group=1, data_format='NCHW')"
       "(input, weight)"},
      {"make_node('Conv', ['a', 'b'], ['c'], strides=(2, 1))  # opset 11",
       "onnx.helper.make_node('Conv', inputs=['X', 'W'], outputs=['Y'], strides=[2, 1])  # opset 11",
       "onnx.helper.make_node('Conv', inputs=['X', 'W'], outputs=['Y'], auto_pad='NOTSET', group=1, strides=[2, 1])"
       "  # opset 11"},
      {"make_node('BatchNormalization', ['a', 'b', 'c', '', 'd'], ['y'])",
       "onnx.helper.make_node('BatchNormalization', inputs=['X', 'scale', 'B', '', 'var'], outputs=['Y'])",
       "onnx.helper.make_node('BatchNormalization', inputs=['X', 'scale', 'B', '', 'var'], outputs=['Y'], "
       "epsilon=1e-05, "
       "momentum=0.9, training_mode=0)"},
      {"make_node('BatchNormalization', ['a', 'b'], ['y'])  # opset 9",
       "onnx.helper.make_node('BatchNormalization', inputs=['X', 'scale'], outputs=['Y'])  # opset 9",
       "onnx.helper.make_node('BatchNormalization', inputs=['X', 'scale'], outputs=['Y'], epsilon=1e-05, momentum=0.9)"
       "  # opset 9"},
      {"convbn.batchnorm(weight=False)", "convbn.batchnorm(weight=False)",
       "convbn.batchnorm(epsilon=1e-05, new_weight=0.1, running_variance='biased', weight=False, bias=True, "
       "direction='forward')"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    cbn_layer layer;
    cbn_error error;
    char text[TEXT], cut[20];
    if (!cbn_call_read(rows[i].call, NULL, *state, &layer, &error)) fail_msg("%s: %s", rows[i].call, error.text);
    assert_int_equal(cbn_call_print(&layer, false, text, sizeof text), strlen(rows[i].text));
    assert_string_equal(text, rows[i].text);
    assert_int_equal(cbn_call_print(&layer, true, text, sizeof text), strlen(rows[i].whole));
    assert_string_equal(text, rows[i].whole);
    assert_int_equal(cbn_call_print(&layer, true, cut, sizeof cut), sizeof cut - 1);
    assert_memory_equal(cut, text, sizeof cut - 4);
    assert_string_equal(cut + sizeof cut - 4, "...");
  }
}

static void literals_are_pythons(void **state) {
  static const struct {
    double value;
    const char *text;
  } reals[] = {{1e-5, "1e-05"},
               {0.0001, "0.0001"},
               {0.1, "0.1"},
               {1, "1.0"},
               {-0.0, "-0.0"},
               {1e15, "1000000000000000.0"},
               {1e16, "1e+16"},
               {1.5e300, "1.5e+300"},
               {0.09999999999999998, "0.09999999999999998"},
               {123456.789, "123456.789"},
               {INFINITY, "float('inf')"},
               {-INFINITY, "float('-inf')"},
               {NAN, "float('nan')"},
               {5e-324, "5e-324"},
               {1.7976931348623157e308, "1.7976931348623157e+308"}};
  (void)state;
  char text[64];
  for (size_t i = 0; i < COUNT(reals); i++) {
    const cbn_value value = {.kind = CBN_REAL, .as.real = reals[i].value};
    cbn_literal_print(&value, text, sizeof text);
    assert_string_equal(text, reals[i].text);
  }
  const cbn_value none = {0}, *const one[] = {&none};
  const cbn_value list = {.kind = CBN_LIST, .as.list = {.items = one, .count = 1}};
  const cbn_value string = {.kind = CBN_STRING, .as.string = {.text = "it's \\ \n\x01", .length = 9}};
  cbn_literal_print(&list, text, sizeof text);
  assert_string_equal(text, "(None,)");
  cbn_literal_print(&string, text, sizeof text);
  assert_string_equal(text, "'it\\'s \\\\ \\n\\x01'");
  assert_int_equal(cbn_literal_print(&string, text, 0), 0);
  assert_int_equal(cbn_literal_print(&string, text, 1), 0);
  assert_string_equal(text, "");
}

/* ------------------------------------------------------------------------------------------------ every case */

static bool same_value(const cbn_value *a, const cbn_value *b) {
  if (a == NULL || b == NULL || a->kind != b->kind) return false;
  switch (a->kind) {
  case CBN_NULL: return true;
  case CBN_BOOLEAN: return a->as.boolean == b->as.boolean;
  case CBN_INTEGER: return a->as.integer == b->as.integer;
  case CBN_REAL:
    return memcmp(&a->as.real, &b->as.real, sizeof a->as.real) == 0 || (isnan(a->as.real) && isnan(b->as.real));
  case CBN_STRING:
    return a->as.string.length == b->as.string.length &&
           memcmp(a->as.string.text, b->as.string.text, a->as.string.length) == 0;
  case CBN_LIST:
    if (a->as.list.count != b->as.list.count) return false;
    for (size_t i = 0; i < a->as.list.count; i++)
      if (!same_value(a->as.list.items[i], b->as.list.items[i])) return false;
    return true;
  case CBN_MAP:
    if (a->as.map.count != b->as.map.count) return false;
    for (size_t i = 0; i < a->as.map.count; i++)
      if (!same_value(a->as.map.items[i], cbn_value_get(b, a->as.map.keys[i]->as.string.text))) return false;
    return true;
  }
  return false;
}

static bool has_map(const cbn_value *value) {
  if (value->kind == CBN_MAP) return true;
  for (size_t i = 0; value->kind == CBN_LIST && i < value->as.list.count; i++)
    if (has_map(value->as.list.items[i])) return true;
  return false;
}

/* Names that the signature has, and values that are literals here. */
static bool is_readable(const cbn_layer *layer, cbn_arena *arena) {
  cbn_signature signature;
  assert_true(cbn_signature_read(layer->operator, arena, &signature));
  for (size_t i = 0; i < layer->params->as.map.count; i++) {
    const char *name = layer->params->as.map.keys[i]->as.string.text;
    if ((!cbn_says_nothing(name) && cbn_signature_find(&signature, name) == NULL) ||
        has_map(layer->params->as.map.items[i]))
      return false;
  }
  return true;
}

static cbn_layer layer_of(const cbn_case *golden, const cbn_value *params) {
  static const cbn_value none = {.kind = CBN_MAP};
  cbn_layer layer = {
      .dialect = golden->dialect, .operator= golden->operator, .params = params != NULL ? params : & none };
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (golden->tensor[role] != NULL && golden->tensor[role]->has_shape)
      layer.tensor[role] = golden->tensor[role]->shape;
  return layer;
}

/* With all defaults written out, the dialect says the same: the plan, or the rule. */
static void check_defaults(const cbn_case *golden, const cbn_step *step, const cbn_layer *whole, const char *text) {
  cbn_solved_step left_out = {0}, written = {0};
  cbn_step same = *step;
  same.params = whole->params;
  if (!step->input->has_shape) return;
  cbn_step_plan(golden, step, 0, &step->input->shape, &left_out);
  cbn_step_plan(golden, &same, 0, &step->input->shape, &written);
  const bool equal = left_out.rejected == written.rejected &&
                     (left_out.rejected ? left_out.rejection.rule == written.rejection.rule
                                        : cbn_plans_are_same(&left_out.plan, &written.plan));
  if (!equal) fail_msg("%s: %s: the defaults are others: %s", golden->id, text, written.rejection.message);
}

static void print_problem(void *context, const char *line) {
  (void)context;
  print_error("%s\n", line);
}

static void every_case_reads_back(void **state) {
  (void)state;
  cbn_case_set *set = cbn_cases_create();
  assert_int_equal(cbn_cases_load(set, "cases", print_problem, NULL), 0);
  size_t readable = 0;
  for (size_t i = 0; i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    for (size_t k = 0; k < golden->step_count; k++) {
      const cbn_layer layer = layer_of(golden, golden->steps[k].params);
      cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
      char text[TEXT];
      cbn_layer again;
      cbn_error error;
      const bool expected = is_readable(&layer, arena);
      cbn_call_print(&layer, false, text, sizeof text);
      if (cbn_call_read(text, NULL, arena, &again, &error) != expected)
        fail_msg("%s: %s: %s", golden->id, text, error.text);
      readable += expected;
      if (expected) {
        if (again.operator!= layer.operator|| !same_value(again.params, layer.params))
          fail_msg("%s reads back as something else: %s", golden->id, text);
        cbn_call_print(&layer, true, text, sizeof text);
        if (!cbn_call_read(text, NULL, arena, &again, &error)) fail_msg("%s: %s: %s", golden->id, text, error.text);
        check_defaults(golden, &golden->steps[k], &again, text);
      }
      cbn_arena_destroy(arena);
    }
  }
  print_message("%zu calls of %zu cases\n", readable, cbn_cases_count(set));
  assert_true(readable > 2000);
  cbn_cases_destroy(set);
}

/* ------------------------------------------------------------------------------------------------ files */

static bool read_file_of(const char *content, cbn_arena *arena, cbn_layer *layer, cbn_error *error) {
  char path[] = "/tmp/convbn-layer-XXXXXX";
  const int file = mkstemp(path);
  assert_true(file >= 0);
  assert_int_equal(write(file, content, strlen(content)), strlen(content));
  close(file);
  const bool read = cbn_layer_read_file(path, arena, layer, error);
  unlink(path);
  if (!read) memmove(error->text, error->text + strlen(path) + 1, strlen(error->text + strlen(path) + 1) + 1);
  return read;
}

static void files_are_read(void **state) {
  cbn_layer layer;
  cbn_error error;
  char params[TEXT];
  if (!read_file_of("{\"dialect\": \"tensorflow\", \"operator\": \"nn.conv2d\",\n \"params\": {\"strides\": 2, "
                    "\"padding\": \"SAME\"},\n"
                    " \"weight\": {\"shape\": [3, 3, 4, 8]}}\n",
                    *state, &layer, &error))
    fail_msg("%s", error.text);
  assert_string_equal(layer.dialect->name, "tensorflow");
  assert_string_equal(layer.operator->name, "nn.conv2d");
  cbn_value_print(layer.params, params, sizeof params);
  assert_string_equal(params, "{strides: 2, padding: SAME}");
  assert_int_equal(layer.tensor[CBN_ROLE_WEIGHT].rank, 4);
  assert_int_equal(layer.tensor[CBN_ROLE_WEIGHT].extent[3], 8);
  assert_int_equal(layer.tensor[CBN_ROLE_BIAS].rank, 0);
  assert_true(read_file_of("dialect: canonical\noperator: batchnorm\nweight: [3]\n", *state, &layer, &error));
  assert_int_equal(layer.params->as.map.count, 0);
  assert_int_equal(layer.tensor[CBN_ROLE_WEIGHT].extent[0], 3);
}

static void bad_files_are_told(void **state) {
  static const struct {
    const char *content, *message;
  } rows[] = {
      {"[1, 2]", "1:1: type: a layer is a map; write {dialect: pytorch, operator: nn.Conv2d, params: {...}}"},
      {"dialect: pytorch", "1:1: missing-key: a layer has a dialect and an operator, both are names"},
      {"{dialect: pytorch, operator: 3}", "1:1: missing-key: a layer has a dialect and an operator, both are names"},
      {"{dialect: torch, operator: Conv}",
       "1:11: unknown-dialect: there is no dialect 'torch'; `convbn dialects` lists them"},
      {"{dialect: onnx, operator: conv}",
       "1:27: unknown-operator: onnx has no operator 'conv'; `convbn dialects` lists them"},
      {"{dialect: onnx, operator: Conv, params: 3}", "1:41: type: params is a map of names and values"},
      {"{dialect: onnx, operator: Conv, wieght: [1]}",
       "1:33: unknown-key: a layer has no 'wieght'; it has dialect, operator, params, weight, bias, running_mean, "
       "running_var"},
      {"{dialect: onnx, operator: Conv, weight: 3}", "1:41: shape: a tensor is written as {shape: [33, 16, 3, 3]}"},
      {"{dialect: onnx, operator: Conv, weight: {values: [1]}}",
       "1:41: shape: a tensor is written as {shape: [33, 16, 3, 3]}"},
      {"{dialect: onnx, operator: Conv, weight: []}", "1:41: shape: a tensor is written as {shape: [33, 16, 3, 3]}"},
      {"{dialect: onnx, operator: Conv, weight: [1, 1, 1, 1, 1, 1, 1, 1, 1]}",
       "1:41: shape: a tensor is written as {shape: [33, 16, 3, 3]}"},
      {"{dialect: onnx, operator: Conv, weight: [1, -1]}", "1:45: shape: an extent is an integer and not negative"},
      {"{dialect: onnx, operator: Conv, weight: [1, 1.5]}", "1:45: shape: an extent is an integer and not negative"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    cbn_layer layer;
    cbn_error error;
    if (read_file_of(rows[i].content, *state, &layer, &error)) fail_msg("this was read: %s", rows[i].content);
    assert_string_equal(error.text, rows[i].message);
  }
  cbn_layer layer;
  cbn_error error;
  assert_false(cbn_layer_read_file("/nonexistent/layer.yaml", *state, &layer, &error));
  assert_non_null(strstr(error.text, "/nonexistent/layer.yaml"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(calls_are_read, make_arena, drop_arena),
      cmocka_unit_test_setup_teardown(tensors_are_noted, make_arena, drop_arena),
      cmocka_unit_test_setup_teardown(mistakes_are_told, make_arena, drop_arena),
      cmocka_unit_test(hostile_texts_are_refused),
      cmocka_unit_test(damaged_texts_do_no_harm),
      cmocka_unit_test(short_memory_is_told),
      cmocka_unit_test_setup_teardown(calls_are_written, make_arena, drop_arena),
      cmocka_unit_test(literals_are_pythons),
      cmocka_unit_test(every_case_reads_back),
      cmocka_unit_test_setup_teardown(files_are_read, make_arena, drop_arena),
      cmocka_unit_test_setup_teardown(bad_files_are_told, make_arena, drop_arena),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
