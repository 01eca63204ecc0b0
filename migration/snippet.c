#include "migration/snippet.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dialects/layout.h"
#include "migration/call_text.h"
#include "migration/framework.h"
#include "migration/weights.h"

/* A text being written. */
typedef struct writer {
  char *text;
  size_t size, length;
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const bool room = w->length < w->size;
  const int length = vsnprintf(room ? w->text + w->length : NULL, room ? w->size - w->length : 0, format, arguments);
  va_end(arguments);
  if (length > 0) w->length += (size_t)length;
}

/* One side of a witness. */
typedef struct side {
  const cbn_witness *witness;
  const cbn_layer *layer;
  const cbn_answer *answer;
  const cbn_framework *framework;
} side;

static side side_of(const cbn_witness *w, bool second) {
  return (side){w, second ? &w->b : &w->a, second ? &w->of_b : &w->of_a,
                cbn_framework_of(second ? w->b.dialect : w->a.dialect)};
}

static const int layer_roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
enum { LAYER_ROLES = sizeof layer_roles / sizeof layer_roles[0] };

/* The plan that says in which order the side's tensors stand; of a side that refuses, the parameters say it. */
static cbn_plan plan_of(const side *s) {
  const cbn_answer *other = s->answer == &s->witness->of_a ? &s->witness->of_b : &s->witness->of_a;
  cbn_plan plan = s->answer->plan;
  if (!s->answer->rejected) return plan;
  plan = other->plan;
  s->framework->orders(s->layer->operator, s->layer->params, s->witness->at.axes, &plan);
  return plan;
}

/* The tensor with that role in the framework's order, dense; rank 0 where there is none. */
static cbn_tensor native(const side *s, int role, const cbn_tensor *canonical) {
  cbn_plan to = plan_of(s), from = to;
  cbn_tensor moved = {0};
  cbn_error ignored;
  from.input_order = from.weight_order = from.output_order = (cbn_axis_order){0};
  from.depthwise_weight = from.unbatched = false;
  if (canonical->rank == 0 || !cbn_weight_move(&from, &to, role, canonical, &moved, &ignored)) return (cbn_tensor){0};
  return moved;
}

static void put_value(writer *w, double value) {
  char text[40];
  snprintf(text, sizeof text, "%.7g", value);
  put(w, "%s", isnan(value) ? "nan" : text);
}

/* `(1, 2)`, `(3,)`. */
static void put_shape(writer *w, const cbn_tensor *tensor) {
  put(w, "(");
  for (int32_t a = 0; a < tensor->rank; a++) put(w, "%s%" PRId64, a > 0 ? ", " : "", tensor->extent[a]);
  put(w, tensor->rank == 1 ? ",)" : ")");
}

/* A tensor that a function refuses has the shape that it is called with; its elements do not matter. */
static void put_ones(writer *w, const cbn_shape *shape, const char *name) {
  put(w, "%s = np.ones((", name);
  for (int32_t a = 0; a < shape->rank; a++) put(w, "%" PRId64 ", ", shape->extent[a]);
  put(w, "), dtype=np.float32)\n");
}

/* `NAME = np.array([1, 2], dtype=np.float32).reshape((1, 2))`. */
static void put_array(writer *w, const side *s, int role, const char *name) {
  if (s->answer->rejected && s->layer->tensor[role].rank > 0) {
    put_ones(w, &s->layer->tensor[role], name);
    return;
  }
  cbn_tensor tensor = native(s, role, &s->witness->tensor[role]);
  if (tensor.rank == 0) return;
  const int64_t count = cbn_tensor_count(&tensor);
  put(w, "%s = np.array([", name);
  for (int64_t i = 0; i < count; i++) {
    put(w, i > 0 ? ", " : "");
    put_value(w, cbn_tensor_get(&tensor, i));
  }
  put(w, "], dtype=np.float32).reshape(");
  put_shape(w, &tensor);
  put(w, ")\n");
  cbn_tensor_release(&tensor);
}

static int64_t calls_of(const side *s) { return s->witness->at.training ? s->witness->at.trained + 1 : 1; }

/* The beginning of the line that calls: a loop where there are several calls, each with an input greater by 1. */
static void put_calls(writer *w, const side *s) {
  if (calls_of(s) > 1) put(w, "    for k in range(%" PRId64 "):\n        ", calls_of(s));
  else put(w, "    ");
}

static const char *input_of(const side *s) { return calls_of(s) > 1 ? "x + np.float32(k)" : "x"; }

static bool is(const side *s, const char *dialect) { return strcmp(s->layer->dialect->name, dialect) == 0; }

static bool is_norm(const side *s) { return s->layer->operator->kind == CBN_OPERATOR_BATCHNORM; }

/* Of a tensor in a layer within the layer, bn2d.gamma, the last part. */
static const char *variable_of(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot != NULL ? dot + 1 : name;
}

static const char *name_of(const side *s, int role) { return s->framework->tensor_name(s->layer->operator, role); }

/* Is this side given the tensor? A function that refuses is called with its arguments; a layer that refuses keeps what it has made itself. */
static bool has(const side *s, int role) {
  int64_t extent[CBN_MAX_RANK];
  if (name_of(s, role) == NULL) return false;
  if (s->answer->rejected) return s->layer->tensor[role].rank > 0;
  return s->witness->tensor[role].rank > 0 && cbn_plan_extents(&s->answer->plan, role, extent) > 0;
}

static const char imports[] = "import numpy as np\n";

static const char show[] =
    "def show(name, array):\n"
    "    array = np.asarray(array)\n"
    "    print(name, array.shape, *(f'{value:.7g}' for value in array.ravel()))\n";

/* ----------------------------------------------------------------------------------------- frameworks, one by one */

/* What a framework calls an array of its own, and how it comes back to NumPy. */
typedef struct words {
  const char *dialect, *import, *tensor, *back;
} words;

static const words *words_of(const side *s) {
  static const words known[] = {
      {"pytorch", "import torch\n", "torch.tensor(%s)", "%s.detach().numpy()"},
      {"mindspore", "import mindspore\n", "mindspore.Tensor(%s)", "%s.asnumpy()"},
      {"tensorflow", "import os\nos.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'\nimport tensorflow as tf\n",
       "tf.constant(%s)", "%s.numpy()"},
      {"keras", "import keras\n", "%s", "np.array(%s)"}, /* behind the lines that choose its backend */
      {"jax", "import jax\n", "jax.numpy.asarray(%s)", "np.asarray(%s)"},
      {"flax", "import flax\nimport jax\n", "jax.numpy.asarray(%s)", "np.asarray(%s)"},
      {"onnx", "import onnx\nimport onnxruntime\n", "%s", "%s"},
  };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (is(s, known[i].dialect)) return &known[i];
  return NULL;
}

/* One of the two formats above, which have one %s each. */
static void put_words(writer *w, const char *format, const char *inside) {
  const char *at = strstr(format, "%s");
  put(w, "%.*s%s%s", (int)(at - format), format, inside, at + 2);
}

static bool keeps_another_axis(const side *s, int role) {
  return role == CBN_ROLE_WEIGHT && s->framework->unit_axis != NULL && s->framework->unit_axis(s->layer->operator);
}

static void put_layer(writer *w, const side *s, const char *call) {
  const words *f = words_of(s);
  const bool trains = s->witness->at.training;
  put(w, "    layer = %s\n", call);
  if (is(s, "keras")) put(w, "    layer.build(x.shape)\n");
  for (int i = 0; i < LAYER_ROLES; i++) {
    const char *name = has(s, layer_roles[i]) ? name_of(s, layer_roles[i]) : NULL;
    if (name == NULL) continue;
    put(w, "    layer.%s", name);
    put(w, is(s, "pytorch") ? ".data = " : is(s, "keras") ? ".assign(" : ".set_data(");
    put_words(w, f->tensor, keeps_another_axis(s, layer_roles[i]) ? "np.expand_dims(weight, 2)" : variable_of(name));
    put(w, is(s, "pytorch") ? "\n" : ")\n");
  }
  if (is(s, "pytorch")) put(w, "    layer.train(%s)\n", trains ? "True" : "False");
  if (is(s, "mindspore")) put(w, "    layer.set_train(%s)\n", trains ? "True" : "False");
  put_calls(w, s);
  put(w, "output = layer(");
  put_words(w, f->tensor, input_of(s));
  if (is(s, "keras") && is_norm(s)) put(w, ", training=%s", trains ? "True" : "False");
  put(w, ")\n    show('output', ");
  put_words(w, f->back, "output");
  put(w, ")\n");
  for (int i = 2; is_norm(s) && i < LAYER_ROLES; i++) {
    char variable[64];
    if (!has(s, layer_roles[i])) continue;
    snprintf(variable, sizeof variable, "layer.%s", name_of(s, layer_roles[i]));
    put(w, "    show('%s', ", cbn_role_name(layer_roles[i]));
    put_words(w, f->back, variable);
    put(w, ")\n");
  }
}

/* Functions: tensors are arguments under their names. Statistics come back from some, and are changed in place by others. */
static void put_function(writer *w, const side *s, const char *call) {
  const words *f = words_of(s);
  const bool returns = strstr(s->layer->operator->name, "fused_batch_norm") != NULL;
  for (int i = 0; i < LAYER_ROLES; i++) {
    if (!has(s, layer_roles[i])) continue;
    put(w, "    %s = ", name_of(s, layer_roles[i]));
    put_words(w, f->tensor, name_of(s, layer_roles[i]));
    put(w, "\n");
  }
  const char *const indent = calls_of(s) > 1 ? "        " : "    ";
  put_calls(w, s);
  put(w, "%s = ", name_of(s, CBN_ROLE_INPUT));
  put_words(w, f->tensor, input_of(s));
  if (returns) put(w, "\n%soutput, mean, variance = %s\n", indent, call);
  else put(w, "\n%soutput = %s\n", indent, call);
  put(w, "    show('output', ");
  put_words(w, f->back, "output");
  put(w, ")\n");
  for (int i = 2; is_norm(s) && i < LAYER_ROLES; i++) {
    if (!has(s, layer_roles[i]) || s->answer->result[layer_roles[i]].rank == 0) continue;
    put(w, "    show('%s', ", cbn_role_name(layer_roles[i]));
    put_words(w, f->back, name_of(s, layer_roles[i]));
    put(w, ")\n");
  }
}

/* A node's call, with the outputs of training where it trains: two more before operator set 14. */
static void put_node(writer *w, const char *call, bool trains, int64_t opset) {
  static const char outputs[] = "outputs=['Y'";
  const char *at = trains && strstr(call, "'running_mean'") == NULL ? strstr(call, outputs) : NULL;
  const size_t length = at == NULL ? strlen(call) : (size_t)(at - call) + sizeof outputs - 1;
  put(w, "    node = %.*s%s%s%s\n", (int)length, call, at != NULL ? ", 'running_mean', 'running_var'" : "",
      at != NULL && opset < 14 ? ", 'saved_mean', 'saved_var'" : "", call + length);
}

/* A model of one node, whose tensors but the input are constants: the statistics of a call go into the next one's model. */
static void put_onnx(writer *w, const side *s, const char *call) {
  const char *comment = strstr(call, "# opset ");
  const bool trains =
      is_norm(s) && s->witness->at.training && (s->answer->rejected || s->answer->plan.batchnorm.update_running);
  const char *const indent = calls_of(s) > 1 ? "        " : "    ";
  int64_t opset = 22;
  if (comment != NULL) sscanf(comment, "# opset %" SCNd64, &opset);
  put_node(w, call, trains, opset);
  put(w, "    constants = {");
  for (int i = 0; i < LAYER_ROLES; i++)
    if (has(s, layer_roles[i])) put(w, "'%s': %s, ", name_of(s, layer_roles[i]), name_of(s, layer_roles[i]));
  put(w,
      "}\n"
      "    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output]\n"
      "    given = [onnx.helper.make_tensor_value_info('X', onnx.TensorProto.FLOAT, x.shape)]\n");
  put_calls(w, s);
  put(w, "held = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]\n");
  put(w, "%sgraph = onnx.helper.make_graph([node], 'layer', given, results, held)\n", indent);
  put(w, "%sopsets = [onnx.helper.make_opsetid('', %" PRId64 ")]\n", indent, opset);
  put(w, "%smodel = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()\n", indent);
  put(w, "%ssession = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])\n", indent);
  put(w, "%svalues = session.run(None, {'X': %s})\n", indent, input_of(s));
  if (trains) put(w, "%sconstants['mean'], constants['var'] = values[1:3]\n", indent);
  put(w, "    show('output', values[0])\n");
  for (int i = 2; is_norm(s) && i < LAYER_ROLES; i++)
    if (has(s, layer_roles[i]))
      put(w, "    show('%s', constants['%s'])\n", cbn_role_name(layer_roles[i]), name_of(s, layer_roles[i]));
}

static void put_flax(writer *w, const side *s, const char *call) {
  const char *const collections[] = {"params", "batch_stats"};
  put(w, "    layer = %s\n", call);
  if (s->answer->rejected) {
    put(w, "    layer.init(jax.random.PRNGKey(0), x)\n");
    return;
  }
  put(w, "    variables = {");
  for (int c = 0; c < (is_norm(s) ? 2 : 1); c++) {
    put(w, "'%s': {", collections[c]);
    for (int i = 2 * c; i < 2 * c + 2; i++)
      if (has(s, layer_roles[i])) put(w, "'%s': %s, ", name_of(s, layer_roles[i]), name_of(s, layer_roles[i]));
    put(w, "}, ");
  }
  put(w, "}\n");
  put_calls(w, s);
  put(w, "output, changed = layer.apply(variables, %s, mutable=['batch_stats'])\n", input_of(s));
  put(w, "%svariables = {**variables, **changed}\n    show('output', output)\n", calls_of(s) > 1 ? "        " : "    ");
  for (int i = 2; is_norm(s) && i < LAYER_ROLES; i++)
    if (has(s, layer_roles[i]))
      put(w, "    show('%s', variables['batch_stats']['%s'])\n", cbn_role_name(layer_roles[i]),
          name_of(s, layer_roles[i]));
}

/* Keras asks its environment who computes. */
static void put_backend(writer *w, const side *s) {
  const cbn_value *backend = cbn_value_get(s->layer->params, "backend");
  const bool given = backend != NULL && backend->kind == CBN_STRING;
  put(w, "import os\nos.environ['KERAS_BACKEND'] = '%s'\nos.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'\n",
      given ? backend->as.string.text : "tensorflow");
}

size_t cbn_snippet_program(const cbn_witness *witness, bool second, char *text, size_t size) {
  const side s = side_of(witness, second);
  writer w = {text, size, 0};
  char call[4096];
  if (s.framework == NULL || words_of(&s) == NULL) return 0;
  cbn_call_print(s.layer, false, call, sizeof call);
  put(&w, "%s", imports);
  if (is(&s, "keras")) put_backend(&w, &s);
  put(&w, "%s\n", words_of(&s)->import);
  put(&w, "%s\n", show);
  put_array(&w, &s, CBN_ROLE_INPUT, "x");
  for (int i = 0; i < LAYER_ROLES; i++)
    if (has(&s, layer_roles[i])) put_array(&w, &s, layer_roles[i], variable_of(name_of(&s, layer_roles[i])));
  put(&w, "try:\n");
  if (is(&s, "onnx")) put_onnx(&w, &s, call);
  else if (is(&s, "flax")) put_flax(&w, &s, call);
  else if (s.framework->takes_tensors(s.layer->operator)) put_function(&w, &s, call);
  else put_layer(&w, &s, call);
  put(&w, "except Exception as error:\n    print('refuses', type(error).__name__)\n");
  return w.length;
}

size_t cbn_snippet_output(const cbn_witness *witness, bool second, char *text, size_t size) {
  static const int roles[] = {CBN_ROLE_OUTPUT, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  const side s = side_of(witness, second);
  writer w = {text, size, 0};
  if (s.answer->rejected) put(&w, "refuses %s\n", s.answer->rejection.exception);
  for (size_t i = 0; !s.answer->rejected && i < sizeof roles / sizeof roles[0]; i++) {
    const cbn_expected *e = &s.answer->result[roles[i]];
    cbn_tensor canonical = {0};
    if (e->rank == 0 || !cbn_tensor_describe(&canonical, e->type, e->rank, e->extent, CBN_CONTIGUOUS) ||
        !cbn_tensor_allocate(&canonical))
      continue;
    cbn_tensor_write(&canonical, 0, e->count, e->value);
    cbn_tensor moved = native(&s, roles[i], &canonical);
    put(&w, "%s ", cbn_role_name(roles[i]));
    put_shape(&w, &moved);
    for (int64_t k = 0; k < e->count; k++) {
      put(&w, " ");
      put_value(&w, cbn_tensor_get(&moved, k));
    }
    put(&w, "\n");
    cbn_tensor_release(&moved);
    cbn_tensor_release(&canonical);
  }
  return w.length;
}
