#include "migration/insertion.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "migration/framework.h"

/* How a framework's programs pad, join and repeat. */
typedef struct idiom {
  const char *module;
  const char *pad;                                   /* the function */
  const char *open, *close, *open_pair, *close_pair; /* of its list of pairs; no pairs: a flat list, last axis first */
  const char *mode[4];              /* by enum cbn_padding_mode; NULL where the function has no such mode */
  const char *concatenate, *repeat; /* for those */
} idiom;

static const idiom idioms[] = {
    {"torch",
     "torch.nn.functional.pad",
     "(",
     ")",
     NULL,
     NULL,
     {"", ", mode='reflect'", ", mode='replicate'", ", mode='circular'"},
     NULL,
     NULL},
    {"mindspore",
     "mindspore.ops.pad",
     "(",
     ")",
     NULL,
     NULL,
     {"", ", mode='reflect'", ", mode='replicate'", ", mode='circular'"},
     NULL,
     NULL},
    {"tf", "tf.pad", "[", "]", "[", "]", {"", ", mode='REFLECT'", NULL, NULL}, "tf.concat", "tf.repeat"},
    {"keras",
     "keras.ops.pad",
     "(",
     ")",
     "(",
     ")",
     {"", ", mode='reflect'", NULL, NULL},
     "keras.ops.concatenate",
     "keras.ops.repeat"},
    {"convbn", "numpy.pad", "(", ")", "(", ")", {"", ", mode='reflect'", ", mode='edge'", ", mode='wrap'"}, NULL, NULL},
    {NULL, "jax.numpy.pad", "(", ")", "(", ")", {"", ", mode='reflect'", ", mode='edge'", ", mode='wrap'"}, NULL, NULL},
};

static const idiom *idiom_of(const cbn_framework *framework) {
  const idiom *found = idioms;
  while (found->module != NULL && strcmp(found->module, framework->module) != 0) found++;
  return found;
}

/* Amounts by axis of the framework's tensor. */
typedef struct amounts {
  int rank;
  int64_t begin[CBN_MAX_RANK], end[CBN_MAX_RANK];
} amounts;

static amounts place(const cbn_axis_order *order, const cbn_situation *s, const int64_t *begin, const int64_t *end) {
  const int drop = s->unbatched;
  amounts a = {.rank = s->axes + 2 - drop};
  for (int32_t i = 0; i < s->axes; i++) {
    const int at = (order->given ? order->place[i + 2] : i + 2) - drop;
    a.begin[at] = begin[i];
    a.end[at] = end[i];
  }
  return a;
}

static void add(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t size, const char *format, ...) {
  const size_t length = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + length, size - length, format, arguments);
  va_end(arguments);
}

#define LINE(code) (code)->line[(code)->count], sizeof(code)->line[0]

/* The positive amounts if `sign` is 1, the negative ones as positive if it is -1. */
static amounts part(const amounts *all, int sign, bool *any) {
  amounts some = {.rank = all->rank};
  *any = false;
  for (int i = 0; i < all->rank; i++) {
    some.begin[i] = sign * all->begin[i] > 0 ? sign * all->begin[i] : 0;
    some.end[i] = sign * all->end[i] > 0 ? sign * all->end[i] : 0;
    *any = *any || some.begin[i] != 0 || some.end[i] != 0;
  }
  return some;
}

/* x[:, 1:-1], up to the last axis that is cut. */
static void slice(cbn_code *code, const char *name, const amounts *cut) {
  int last = 0;
  for (int i = 0; i < cut->rank; i++)
    if (cut->begin[i] != 0 || cut->end[i] != 0) last = i;
  add(LINE(code), "%s = %s[", name, name);
  for (int i = 0; i <= last; i++) {
    if (i > 0) add(LINE(code), ", ");
    if (cut->begin[i] != 0) add(LINE(code), "%" PRId64, cut->begin[i]);
    add(LINE(code), ":");
    if (cut->end[i] != 0) add(LINE(code), "-%" PRId64, cut->end[i]);
  }
  add(LINE(code), "]");
  code->count++;
}

static void pad_flat(cbn_code *code, const idiom *by, const amounts *a, int mode) {
  int first = a->rank;
  for (int i = a->rank - 1; i >= 0; i--)
    if (a->begin[i] != 0 || a->end[i] != 0) first = i;
  if (mode != CBN_PAD_ZEROS) first = 2; /* other modes are for all spatial axes */
  add(LINE(code), "x = %s(x, (", by->pad);
  for (int i = a->rank - 1; i >= first; i--)
    add(LINE(code), "%s%" PRId64 ", %" PRId64, i == a->rank - 1 ? "" : ", ", a->begin[i], a->end[i]);
  add(LINE(code), ")%s)", by->mode[mode]);
  code->count++;
}

static void pad_pairs(cbn_code *code, const idiom *by, const amounts *a, int mode) {
  add(LINE(code), "x = %s(x, %s", by->pad, by->open);
  for (int i = 0; i < a->rank; i++)
    add(LINE(code), "%s%s%" PRId64 ", %" PRId64 "%s", i == 0 ? "" : ", ", by->open_pair, a->begin[i], a->end[i],
        by->close_pair);
  add(LINE(code), "%s%s)", by->close, by->mode[mode]);
  code->count++;
}

/* x[:, :1] or x[:, -1:], of an axis. */
static void add_end(char *text, size_t size, int axis, const char *range) {
  add(text, size, "x[");
  for (int i = 0; i < axis; i++) add(text, size, ":, ");
  add(text, size, "%s]", range);
}

/* One end of an axis: what is put there. */
static void add_border(cbn_code *code, const idiom *by, int axis, int64_t amount, bool behind, int mode) {
  char range[32];
  const bool repeats = mode == CBN_PAD_REPLICATE;
  if (amount == 0) return;
  if (behind) add(LINE(code), ", ");
  if (repeats) add(LINE(code), "%s(", by->repeat);
  if (behind != repeats) snprintf(range, sizeof range, ":%" PRId64, repeats ? 1 : amount);
  else snprintf(range, sizeof range, "-%" PRId64 ":", repeats ? 1 : amount);
  add_end(LINE(code), axis, range);
  if (repeats) add(LINE(code), ", %" PRId64 ", axis=%d)", amount, axis);
  if (!behind) add(LINE(code), ", ");
}

/* Modes that the framework's function does not have: pieces of the input, joined. */
static void pad_joined(cbn_code *code, const idiom *by, const amounts *a, int mode) {
  for (int i = 0; i < a->rank; i++) {
    if (a->begin[i] == 0 && a->end[i] == 0) continue;
    add(LINE(code), "x = %s([", by->concatenate);
    add_border(code, by, i, a->begin[i], false, mode);
    add(LINE(code), "x");
    add_border(code, by, i, a->end[i], true, mode);
    add(LINE(code), "], axis=%d)", i);
    code->count++;
  }
}

static void add_list(char *text, size_t size, int count, const int64_t *values) {
  for (int i = 0; i < count; i++) add(text, size, "%s%" PRId64, i == 0 ? "" : ", ", values[i]);
}

/* Nodes of a model. Pad takes negative amounts, and its modes have numpy's names. */
static void pad_node(cbn_code *code, const amounts *a, int mode) {
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
  add(LINE(code), "pads = onnx.numpy_helper.from_array(numpy.array([");
  add_list(LINE(code), a->rank, a->begin);
  add(LINE(code), ", ");
  add_list(LINE(code), a->rank, a->end);
  add(LINE(code), "], dtype=numpy.int64), 'pads')");
  code->count++;
  add(LINE(code), "onnx.helper.make_node('Pad', ['x', 'pads'], ['X'], mode='%s')", modes[mode]);
  code->count++;
}

static void slice_node(cbn_code *code, const amounts *a) {
  static const char *const names[] = {"starts", "ends"};
  for (int end = 0; end < 2; end++) {
    add(LINE(code), "%s = onnx.numpy_helper.from_array(numpy.array([", names[end]);
    for (int i = 2; i < a->rank; i++) {
      const int64_t cut = end ? a->end[i] : a->begin[i];
      if (end && cut == 0) add(LINE(code), "%s%" PRId64, i == 2 ? "" : ", ", INT64_MAX);
      else add(LINE(code), "%s%" PRId64, i == 2 ? "" : ", ", end ? -cut : cut);
    }
    add(LINE(code), "], dtype=numpy.int64), '%s')", names[end]);
    code->count++;
  }
  add(LINE(code), "axes = onnx.numpy_helper.from_array(numpy.array([");
  for (int i = 2; i < a->rank; i++) add(LINE(code), "%s%d", i == 2 ? "" : ", ", i);
  add(LINE(code), "], dtype=numpy.int64), 'axes')");
  code->count++;
  add(LINE(code), "onnx.helper.make_node('Slice', ['Y', 'starts', 'ends', 'axes'], ['y'])");
  code->count++;
}

static cbn_plan orders_of(const cbn_layer *layer, const cbn_framework *framework, const cbn_situation *s) {
  cbn_plan orders = {.kind = layer->operator->kind};
  framework->orders(layer->operator, layer->params, s->axes, &orders);
  return orders;
}

cbn_code cbn_code_before(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *s) {
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  const cbn_plan orders = orders_of(layer, framework, s);
  const amounts all = place(&orders.input_order, s, around->pad_begin, around->pad_end);
  const idiom *by = idiom_of(framework);
  const int mode = around->padding_mode;
  cbn_code code = {0};
  bool crops, pads;
  const amounts cut = part(&all, -1, &crops), added = part(&all, 1, &pads);
  if (framework->module[0] == '\0') {
    if (crops || pads) pad_node(&code, &all, mode);
    return code;
  }
  if (crops) slice(&code, "x", &cut);
  if (pads && by->mode[mode] == NULL) pad_joined(&code, by, &added, mode);
  else if (pads && by->open_pair == NULL) pad_flat(&code, by, &added, mode);
  else if (pads) pad_pairs(&code, by, &added, mode);
  return code;
}

/* The bias is of the channels, which may not be the last axis. */
static void add_bias(cbn_code *code, const cbn_framework *framework, const cbn_axis_order *order,
                     const cbn_situation *s) {
  const int channels = (order->given ? order->place[1] : 1) - s->unbatched, rank = s->axes + 2 - s->unbatched;
  if (framework->module[0] == '\0') {
    add(LINE(code), "onnx.helper.make_node('Add', ['y', 'bias'], ['biased'])  # bias of shape (1, -1%s)",
        s->axes == 1   ? ", 1"
        : s->axes == 2 ? ", 1, 1"
                       : ", 1, 1, 1");
  } else if (channels == rank - 1) {
    add(LINE(code), strcmp(framework->module, "tf") == 0 ? "y = tf.nn.bias_add(y, bias)" : "y = y + bias");
  } else {
    add(LINE(code), "y = y + bias.reshape(-1");
    for (int i = channels + 1; i < rank; i++) add(LINE(code), ", 1");
    add(LINE(code), ")");
  }
  code->count++;
}

cbn_code cbn_code_behind(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *s) {
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  const cbn_plan orders = orders_of(layer, framework, s);
  const amounts cut = place(&orders.output_order, s, around->crop_begin, around->crop_end);
  cbn_code code = {0};
  if (cbn_surroundings_crop(around)) {
    if (framework->module[0] == '\0') slice_node(&code, &cut);
    else slice(&code, "y", &cut);
  }
  if (layer->adds_bias) add_bias(&code, framework, &orders.output_order, s);
  return code;
}
