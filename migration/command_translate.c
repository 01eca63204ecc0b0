/* `convbn translate`: a layer of one framework as one of another, or why there is none. */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/verdict.h"
#include "dialects/layout.h"
#include "dialects/parameters.h"
#include "harness/commands.h"
#include "migration/call_text.h"
#include "migration/framework.h"
#include "migration/insertion.h"
#include "migration/onnx_file.h"
#include "migration/side.h"
#include "migration/signature.h"
#include "migration/translate.h"
#include "migration/weights.h"

enum { ARENA_BYTES = 1 << 28, CALL_TEXT = 4096, CHANNELS_UNTOLD = 4 };
#define WEIGHTS_BYTES ((int64_t)4 << 30)

typedef struct arguments {
  const char *source, *target;
  const char *input, *shape[CBN_ROLE_COUNT], *type, *layer_type, *dialect, *fold, *weights_in, *weights_out;
  int modes;
  bool json;
} arguments;

enum { KEY_INPUT = 256, KEY_TYPE, KEY_LAYER_TYPE, KEY_DIALECT, KEY_MODE, KEY_WEIGHTS, KEY_FOLD, KEY_FORMAT, KEY_ROLE };

static const struct argp_option options[] = {
    {"input", KEY_INPUT, "SHAPE", 0,
     "The input's shape in the source's order of axes, 2x3x32x32 or 2,3,32,32 (default: a small one that the source "
     "takes)",
     1},
    {"weight", KEY_ROLE + CBN_ROLE_WEIGHT, "SHAPE", 0, "Shapes of the tensors that a function takes", 1},
    {"bias", KEY_ROLE + CBN_ROLE_BIAS, "SHAPE", 0, NULL, 1},
    {"running-mean", KEY_ROLE + CBN_ROLE_RUNNING_MEAN, "SHAPE", 0, NULL, 1},
    {"running-var", KEY_ROLE + CBN_ROLE_RUNNING_VAR, "SHAPE", 0, NULL, 1},
    {"type", KEY_TYPE, "TYPE", 0, "f32 (the default), f64, f16 or bf16", 1},
    {"layer-type", KEY_LAYER_TYPE, "TYPE", 0, "Of the layer's own tensors, where it is another", 1},
    {"dialect", KEY_DIALECT, "NAME", 0, "Of a call without a module", 1},
    {"mode", KEY_MODE, "MODE", 0, "train, eval or both (the default)", 1},
    {"fold", KEY_FOLD, "CALL", 0, "Fold the batch normalization CALL, of the same framework, into the convolution", 2},
    {"weights", KEY_WEIGHTS, "IN.npz OUT.npz", 0,
     "Move the tensors of IN.npz into the target's names and orders of axes (IN `-`: those of the ONNX file)", 2},
    {"format", KEY_FORMAT, "FORMAT", 0, "text (the default) or json", 3},
    {0}};

static int32_t type_named(struct argp_state *state, const char *text) {
  const int32_t type = cbn_type_by_name(text);
  if (type < 0) argp_error(state, "there is no type '%s'; f32, f64, f16 or bf16", text);
  return type;
}

static void read_mode(arguments *a, const char *text, struct argp_state *state) {
  if (strcmp(text, "train") == 0) a->modes = CBN_TRAINING;
  else if (strcmp(text, "eval") == 0) a->modes = CBN_EVALUATION;
  else if (strcmp(text, "both") == 0) a->modes = CBN_BOTH_MODES;
  else argp_error(state, "--mode is train, eval or both, got '%s'", text);
}

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case KEY_INPUT: a->input = text; break;
  case KEY_TYPE:
  case KEY_LAYER_TYPE:
    type_named(state, text);
    *(key == KEY_TYPE ? &a->type : &a->layer_type) = text;
    break;
  case KEY_DIALECT: a->dialect = text; break;
  case KEY_MODE: read_mode(a, text, state); break;
  case KEY_FOLD: a->fold = text; break;
  case KEY_WEIGHTS:
    a->weights_in = text;
    if (state->next >= state->argc) argp_error(state, "--weights takes two files, IN.npz OUT.npz");
    else a->weights_out = state->argv[state->next++];
    break;
  case KEY_FORMAT:
    a->json = strcmp(text, "json") == 0;
    if (!a->json && strcmp(text, "text") != 0) argp_error(state, "--format is text or json, got '%s'", text);
    break;
  case ARGP_KEY_ARG:
    if (state->arg_num > 1) argp_error(state, "a source and a target: '%s' is too much", text);
    else *(state->arg_num == 0 ? &a->source : &a->target) = text;
    break;
  case ARGP_KEY_END:
    if (a->target == NULL) argp_error(state, "name a source and a target");
    break;
  default:
    if (key < KEY_ROLE || key >= KEY_ROLE + CBN_ROLE_COUNT) return ARGP_ERR_UNKNOWN;
    a->shape[key - KEY_ROLE] = text;
  }
  return 0;
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "SOURCE TARGET",
    .doc =
        "Translates a layer of one framework into one of another, verified by running both, or says why there is none. "
        "SOURCE is a call, a YAML or JSON file ({dialect, operator, params, weight: {shape: ..}}) or FILE.onnx[:NODE]; "
        "TARGET a dialect, or an operator with its module.\n\n"
        "  convbn translate \"torch.nn.Conv2d(16, 33, 3, stride=2, padding=1)\" tensorflow\n"
        "  convbn translate \"tf.nn.conv2d(x, w, 2, 'SAME')\" torch.nn.Conv2d --weight 3x3x16x33\n"
        "  convbn translate model.onnx:Conv_0 mindspore --weights - conv.npz"
        "\vExit status: 0 there is a translation (perhaps under a condition, or in one mode); 1 there is none; 2 bad "
        "input."};

/* ------------------------------------------------------------------------------------------------- what is asked */

/* Everything of one run. */
typedef struct task {
  const arguments *asked;
  cbn_arena *arena;
  cbn_layer source;
  cbn_onnx_node_info *node; /* of an ONNX file; NULL */
  cbn_layer norm;           /* to be folded ... */
  cbn_batchnorm folded;     /* ... as it is behind the convolution, ... */
  bool own_bias;            /* ... which has a bias itself */
  cbn_situation at;
  bool found_input, untold_channels;
  const cbn_dialect *to;
  const cbn_dialect_operator *operator;
  cbn_translation translation;
  bool has_training;        /* where the translation is for evaluation only: ... */
  cbn_translation training; /* ... that for training, by the same operator */
} task;

static bool read_shape(const char *option, const char *text, cbn_shape *shape, cbn_error *error) {
  const char *at = text;
  *shape = (cbn_shape){0};
  while (*at == '(' || *at == '[' || *at == ' ') at++;
  while (isdigit((unsigned char)*at) && shape->rank < CBN_MAX_NATIVE_RANK) {
    char *end;
    errno = 0;
    shape->extent[shape->rank++] = strtoll(at, &end, 10);
    CBN_CHECK(errno == 0, error, "%s: an extent of '%.80s' is too large", option, text);
    at = end;
    while (*at == 'x' || *at == ',' || *at == ' ') at++;
  }
  while (*at == ')' || *at == ']' || *at == ' ') at++;
  CBN_CHECK(*at == '\0' && shape->rank > 0, error, "%s: '%.80s' is no shape; write 2x3x32x32", option, text);
  return true;
}

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Of `FILE.onnx:NODE` the two. */
static bool split_onnx(const char *source, char *path, size_t size, const char **node) {
  const char *end = strstr(source, ".onnx:");
  *node = end != NULL ? end + strlen(".onnx:") : NULL;
  if (end == NULL && !ends_with(source, ".onnx")) return false;
  snprintf(path, size, "%.*s", (int)(end != NULL ? end - source + (long)strlen(".onnx") : (long)strlen(source)),
           source);
  return true;
}

static bool several_nodes(const cbn_onnx_file *file, const char *path, const char *name, cbn_error *error) {
  char names[256] = "";
  size_t length = 0, known = 0;
  for (size_t i = 0; i < file->count && length < sizeof names; i++) {
    if (name != NULL ? strcmp(file->nodes[i].name, name) != 0 : !file->nodes[i].known) continue;
    length +=
        (size_t)snprintf(names + length, sizeof names - length, "%s%s", known++ > 0 ? ", " : "", file->nodes[i].name);
  }
  CBN_FAIL(error, "%s: say which node, as in %s:NODE: %s%s", path, path, names, length < sizeof names ? "" : " ...");
}

static bool read_onnx(task *t, const char *path, const char *name, cbn_error *error) {
  cbn_onnx_file file;
  size_t known = 0;
  CBN_FORWARD(cbn_onnx_file_read(path, t->arena, &file, error));
  for (size_t i = 0; i < file.count; i++) {
    if (name != NULL ? strcmp(file.nodes[i].name, name) != 0 : !file.nodes[i].known) continue;
    known++;
    t->node = &file.nodes[i];
  }
  CBN_CHECK(known > 0, error, "%s has no %s%s", path, name != NULL ? "node " : "convolution or batch normalization",
            name != NULL ? name : "");
  if (known > 1) return several_nodes(&file, path, name, error);
  CBN_CHECK(t->node->known, error, "the node %s is a %s, no convolution or batch normalization", t->node->name,
            t->node->operator_type);
  t->source = t->node->layer;
  return true;
}

static const cbn_dialect *dialect_named(const char *name, cbn_error *error) {
  const cbn_dialect *dialect = cbn_dialect_by_name(name);
  for (const cbn_framework *const *f = cbn_frameworks(); dialect == NULL && *f != NULL; f++)
    if (strcmp((*f)->module, name) == 0) dialect = (*f)->dialect;
  if (dialect == NULL) cbn_error_set(error, "there is no dialect '%.80s'; `convbn dialects` lists them", name);
  return dialect;
}

static bool read_source(task *t, cbn_error *error) {
  const char *source = t->asked->source, *node;
  const cbn_dialect *dialect = NULL;
  char path[4096];
  if (t->asked->dialect != NULL && (dialect = dialect_named(t->asked->dialect, error)) == NULL) return false;
  if (split_onnx(source, path, sizeof path, &node)) return read_onnx(t, path, node, error);
  if (ends_with(source, ".yaml") || ends_with(source, ".yml") || ends_with(source, ".json"))
    return cbn_layer_read_file(source, t->arena, &t->source, error);
  return cbn_call_read(source, dialect, t->arena, &t->source, error);
}

/* With the nearest name of all that are one. */
static bool unknown_target(const char *target, cbn_error *error) {
  char name[256], nearest[256] = "";
  size_t least = SIZE_MAX;
  for (const cbn_framework *const *f = cbn_frameworks(); *f != NULL; f++)
    for (size_t i = 0; i < (*f)->dialect->operator_count + 2; i++) {
      if (i > 1) cbn_framework_full_name(*f, &(*f)->dialect->operators[i - 2], name, sizeof name);
      else snprintf(name, sizeof name, "%s", i == 0 ? (*f)->dialect->name : (*f)->module);
      const size_t distance = cbn_name_distance(target, name);
      if (distance >= least) continue;
      least = distance;
      memcpy(nearest, name, sizeof nearest);
    }
  CBN_CHECK(nearest[0] == '\0', error, "there is no dialect and no operator '%.80s'; did you mean %s?", target,
            nearest);
  CBN_FAIL(error, "there is no dialect and no operator '%.80s'; `convbn dialects` lists them", target);
}

static bool read_target(task *t, cbn_error *error) {
  cbn_side side = {0};
  cbn_error ignored;
  if ((t->to = dialect_named(t->asked->target, &ignored)) != NULL) return true;
  if (!cbn_side_read(t->asked->target, &side, &ignored)) return unknown_target(t->asked->target, error);
  t->to = side.dialect;
  t->operator = side.operator;
  return true;
}

/* ------------------------------------------------------------------------------------------- shapes and the input */

static bool is_norm(const task *t) { return t->source.operator->kind == CBN_OPERATOR_BATCHNORM; }

/* The channels of the input that was given, else any number, which is said. */
static int64_t channels_of(task *t, const cbn_shape *input) {
  cbn_plan orders = {.kind = CBN_OPERATOR_BATCHNORM};
  if (input->rank < 2 || input->rank > CBN_MAX_RANK) {
    t->untold_channels = true;
    return CHANNELS_UNTOLD;
  }
  cbn_framework_of(t->source.dialect)->orders(t->source.operator, t->source.params, input->rank - 2, &orders);
  return input->extent[orders.input_order.given ? orders.input_order.place[1] : 1];
}

/* Tensors that a call names have the shapes of the options; those of a batch normalization follow from the input. */
static bool give_shapes(task *t, const cbn_shape *input, cbn_error *error) {
  const cbn_framework *framework = cbn_framework_of(t->source.dialect);
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++) {
    cbn_shape *shape = &t->source.tensor[role];
    if (t->asked->shape[role] != NULL) {
      CBN_CHECK(framework->takes_tensors(t->source.operator), error,
                "%s takes no tensors; its parameters say their shapes", t->source.operator->name);
      CBN_FORWARD(read_shape(cbn_role_name(role), t->asked->shape[role], shape, error));
    } else if (shape->rank < 0 && is_norm(t)) {
      *shape = (cbn_shape){.rank = 1, .extent = {channels_of(t, input)}};
    }
  }
  CBN_CHECK(t->source.tensor[CBN_ROLE_WEIGHT].rank >= 0, error, "%s takes its %s: say of which shape, --weight SHAPE",
            t->source.operator->name, framework->tensor_name(t->source.operator, CBN_ROLE_WEIGHT));
  return true;
}

/* A bias whose shape is not given has an element for each channel that comes out without it. */
static bool give_bias_shape(task *t, const cbn_shape *input, cbn_error *error) {
  cbn_shape *bias = &t->source.tensor[CBN_ROLE_BIAS];
  cbn_situation s;
  cbn_rejection rejection;
  cbn_plan plan;
  if (bias->rank >= 0) return true;
  *bias = (cbn_shape){0};
  const bool has = input->rank > 0 ? cbn_layer_situation(&t->source, input, &s)
                                   : cbn_layer_find_situation(&t->source, &s, &rejection);
  CBN_CHECK(has && cbn_layer_plan(&t->source, &s, &plan, &rejection), error,
            "say of which shape the bias is, --bias SHAPE");
  *bias = (cbn_shape){.rank = 1, .extent = {plan.conv.out_channels}};
  return true;
}

/* What the file says, where it says all. */
static cbn_shape input_of_node(const task *t) {
  cbn_shape none = {0};
  if (t->node == NULL || !t->node->has_input) return none;
  for (int32_t a = 0; a < t->node->input.rank; a++)
    if (t->node->input.extent[a] < 0) return none;
  return t->node->input;
}

static bool refuse(const task *t, const cbn_rejection *r, cbn_error *error) {
  CBN_FAIL(error, "%s refuses this: %s (%s%s%s)", t->source.operator->name, r->message,
           r->rule < CBN_RULE_COUNT ? cbn_rule_name((int)r->rule) : "", r->exception[0] != '\0' ? ", " : "",
           r->exception);
}

static bool read_situation(task *t, cbn_error *error) {
  cbn_rejection rejection = {.rule = CBN_RULE_COUNT, .exception = ""};
  cbn_shape input = input_of_node(t);
  cbn_plan plan;
  if (t->asked->input != NULL) CBN_FORWARD(read_shape("--input", t->asked->input, &input, error));
  CBN_FORWARD(give_shapes(t, &input, error));
  CBN_FORWARD(give_bias_shape(t, &input, error));
  t->found_input = input.rank == 0;
  if (t->found_input) {
    if (!cbn_layer_find_situation(&t->source, &t->at, &rejection)) return refuse(t, &rejection, error);
  } else {
    CBN_CHECK(cbn_layer_situation(&t->source, &input, &t->at), error, "%s takes no input of %d axes",
              t->source.operator->name, (int)input.rank);
  }
  const char *const type = t->asked->type;
  const int32_t stated = t->node != NULL && t->node->input_type >= 0 ? t->node->input_type : CBN_F32;
  t->at.input_type = type != NULL ? cbn_type_by_name(type) : stated;
  t->at.layer_type = t->asked->layer_type != NULL ? cbn_type_by_name(t->asked->layer_type) : t->at.input_type;
  return cbn_whole_plan(&t->source, &t->at, &plan, &rejection) || refuse(t, &rejection, error);
}

/* -------------------------------------------------------------------------------------------------------- folding */

/* The batch normalization behind the convolution: it must take what comes out. */
static bool read_norm(task *t, cbn_error *error) {
  cbn_situation behind;
  cbn_plan plan, norm;
  cbn_rejection rejection = {.exception = ""};
  int64_t extent[CBN_MAX_RANK];
  CBN_FORWARD(cbn_call_read(t->asked->fold, t->source.dialect, t->arena, &t->norm, error));
  CBN_CHECK(t->asked->modes != CBN_TRAINING, error,
            "a fold holds in evaluation only: in training a batch normalization uses the batch's statistics");
  CBN_CHECK(!is_norm(t) && t->norm.operator->kind == CBN_OPERATOR_BATCHNORM, error,
            "--fold takes a batch normalization, and folds it into a convolution");
  CBN_CHECK(t->norm.dialect == t->source.dialect, error, "%s and %s are of different frameworks",
            t->source.operator->name, t->norm.operator->name);
  if (!cbn_whole_plan(&t->source, &t->at, &plan, &rejection)) return refuse(t, &rejection, error);
  cbn_plan_extents(&plan, CBN_ROLE_OUTPUT, extent);
  behind = t->at;
  behind.batch = extent[0];
  behind.channels = extent[1];
  behind.unbatched = behind.training = false;
  memcpy(behind.extent, extent + 2, (size_t)behind.axes * sizeof extent[0]);
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (t->norm.tensor[role].rank < 0) t->norm.tensor[role] = (cbn_shape){.rank = 1, .extent = {behind.channels}};
  CBN_CHECK(cbn_layer_plan(&t->norm, &behind, &norm, &rejection), error, "%s refuses the convolution's output: %s",
            t->norm.operator->name, rejection.message);
  CBN_CHECK(norm.batchnorm.statistics == CBN_STATISTICS_RUNNING, error,
            "only running statistics can be folded, and %s uses the batch's in evaluation, too",
            t->norm.operator->name);
  t->own_bias = plan.conv.has_bias;
  t->folded = norm.batchnorm;
  t->source.adds_bias = true;
  return true;
}

/* The members whose names begin as that of the normalization's running mean does, and the others. */
static bool split_weights(const task *t, const cbn_npz *all, cbn_npz *conv, cbn_npz *norm, cbn_error *error) {
  const char *mean = cbn_framework_of(t->norm.dialect)->tensor_name(t->norm.operator, CBN_ROLE_RUNNING_MEAN);
  const char *prefix = NULL;
  size_t length = 0;
  for (size_t i = 0; i < all->count; i++)
    if (ends_with(all->members[i].name, mean)) {
      prefix = all->members[i].name;
      length = strlen(prefix) - strlen(mean);
    }
  CBN_CHECK(prefix != NULL, error, "there is no %s of the batch normalization", mean);
  CBN_CHECK(length > 0, error, "the tensors of both layers need prefixes that tell them apart: conv.weight, bn.weight");
  for (size_t i = 0; i < all->count; i++) {
    const char *name = all->members[i].name;
    const bool of_norm = strncmp(name, prefix, length) == 0;
    CBN_FORWARD(cbn_npz_add(of_norm ? norm : conv, name, &all->members[i].tensor, error));
  }
  return true;
}

/* The member whose name ends so; NULL. */
static const cbn_npz_member *find_member(const cbn_npz *npz, const char *name) {
  for (size_t i = 0; name != NULL && i < npz->count; i++)
    if (ends_with(npz->members[i].name, name)) return &npz->members[i];
  return NULL;
}

static const cbn_tensor *tensor_of(const cbn_npz_member *member) { return member != NULL ? &member->tensor : NULL; }

/* A bias where the convolution has none, with the prefix of its weight. Members move when one is added. */
static bool add_bias(const task *t, const cbn_plan *plan, const char *weight_name, const char *bias_name, cbn_npz *conv,
                     cbn_error *error) {
  const cbn_npz_member *weight = find_member(conv, weight_name);
  cbn_tensor zeros;
  char name[2 * sizeof weight->name];
  if (t->own_bias) return true;
  CBN_CHECK(cbn_tensor_describe(&zeros, weight->tensor.type, 1, &plan->conv.out_channels, CBN_CONTIGUOUS) &&
                cbn_tensor_allocate(&zeros),
            error, "there is no memory for a bias");
  snprintf(name, sizeof name, "%.*s%s", (int)(strlen(weight->name) - strlen(weight_name)), weight->name, bias_name);
  const bool added = cbn_npz_add(conv, name, &zeros, error);
  cbn_tensor_release(&zeros);
  return added;
}

/* Folds the normalization into the members of the convolution, in their own memory. */
static bool fold(const task *t, const cbn_plan *plan, cbn_npz *conv, const cbn_npz *norm, cbn_error *error) {
  const cbn_framework *framework = cbn_framework_of(t->source.dialect);
  const char *const weight_name = framework->tensor_name(t->source.operator, CBN_ROLE_WEIGHT);
  const char *const own_name = framework->tensor_name(t->source.operator, CBN_ROLE_BIAS);
  const char *const bias_name = own_name != NULL ? own_name : "bias";
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {0}, *of_norm[CBN_ROLE_COUNT] = {0};
  cbn_violation violation;
  CBN_CHECK(find_member(conv, weight_name) != NULL, error, "there is no %s of the convolution", weight_name);
  CBN_FORWARD(add_bias(t, plan, weight_name, bias_name, conv, error));
  CBN_CHECK(find_member(conv, bias_name) != NULL, error, "there is no %s of the convolution", bias_name);
  cbn_tensor view = cbn_weight_without_unit_axis(&t->source, CBN_ROLE_WEIGHT, &find_member(conv, weight_name)->tensor);
  CBN_CHECK(cbn_plan_view(plan, CBN_ROLE_WEIGHT, &view), error,
            "the %s of the convolution has another shape than the layer says", weight_name);
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    of_norm[role] = tensor_of(find_member(norm, framework->tensor_name(t->norm.operator, role)));
  tensor[CBN_ROLE_WEIGHT] = &view;
  tensor[CBN_ROLE_BIAS] = tensor_of(find_member(conv, bias_name));
  return cbn_fold_batchnorm(&plan->conv, tensor, &t->folded, of_norm, &view, tensor[CBN_ROLE_BIAS], &violation) ||
         cbn_error_set(error, "%s", violation.message);
}

/* -------------------------------------------------------------------------------------------------------- weights */

static bool weights_of_node(const task *t, cbn_npz *npz, cbn_error *error) {
  const cbn_framework *framework = cbn_framework_of(t->source.dialect);
  CBN_CHECK(t->node != NULL, error, "--weights - takes the tensors of an ONNX file, and the source is none");
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (t->node->tensor[role].rank > 0)
      CBN_FORWARD(cbn_npz_add(npz, framework->tensor_name(t->source.operator, role), &t->node->tensor[role], error));
  return true;
}

static bool move_weights(const task *t, cbn_error *error) {
  const cbn_translation *x = &t->translation;
  cbn_npz all = {0}, conv = {0}, norm = {0}, moved = {0};
  cbn_plan source, target;
  cbn_rejection rejection = {.message = ""};
  const cbn_situation inner = cbn_surrounded_situation(&x->around, &x->at);
  bool done = strcmp(t->asked->weights_in, "-") == 0 ? weights_of_node(t, &all, error)
                                                     : cbn_npz_read(t->asked->weights_in, WEIGHTS_BYTES, &all, error);
  done = done && ((cbn_whole_plan(&x->source, &x->at, &source, &rejection) &&
                   cbn_whole_plan(&x->target, &inner, &target, &rejection)) ||
                  cbn_error_set(error, "%s", rejection.message));
  if (done && t->asked->fold != NULL)
    done = split_weights(t, &all, &conv, &norm, error) && fold(t, &source, &conv, &norm, error);
  done = done &&
         cbn_weights_move(&x->source, &source, &x->target, &target, &x->comparison.constants,
                          t->asked->fold != NULL ? &conv : &all, &moved, error) &&
         cbn_npz_write(t->asked->weights_out, &moved, error);
  cbn_npz_release(&all);
  cbn_npz_release(&conv);
  cbn_npz_release(&norm);
  cbn_npz_release(&moved);
  return done;
}

/* ---------------------------------------------------------------------------------------------- the answer in words */

enum { MOST_NOTES = 12, MOST_TENSORS = 4 };
typedef struct tensor_row {
  const char *role;
  char source[64], target[64]; /* names; "" for none */
  char order[64];
} tensor_row;

typedef struct words {
  char source[CALL_TEXT], target[CALL_TEXT], input[160], answer[400], condition[256], reason[1024], verified[400];
  cbn_code before, behind;
  char input_order[40], output_order[40]; /* NCHW -> NHWC */
  int rows, notes;
  tensor_row row[MOST_TENSORS];
  char note[MOST_NOTES][400];
} words;

static void note(words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(words *w, const char *format, ...) {
  va_list arguments;
  if (w->notes == MOST_NOTES) return;
  va_start(arguments, format);
  vsnprintf(w->note[w->notes++], sizeof w->note[0], format, arguments);
  va_end(arguments);
}

static void say_shape(int32_t rank, const int64_t *extent, char *text, size_t size) {
  size_t length = (size_t)snprintf(text, size, "(");
  for (int32_t a = 0; a < rank && length < size; a++)
    length += (size_t)snprintf(text + length, size - length, "%s%" PRId64, a == 0 ? "" : ", ", extent[a]);
  if (length < size) snprintf(text + length, size - length, ")");
}

/* A situation's input as the source has it. */
static void say_input(const cbn_layer *layer, const cbn_situation *s, char *text, size_t size) {
  cbn_plan orders = {.kind = layer->operator->kind};
  int64_t extent[CBN_MAX_RANK] = {0};
  const int drop = s->unbatched;
  cbn_framework_of(layer->dialect)->orders(layer->operator, layer->params, s->axes, &orders);
  for (int32_t a = 0; a < s->axes + 2; a++) {
    const int at = (orders.input_order.given ? orders.input_order.place[a] : a) - drop;
    if (at >= 0) extent[at] = a == 0 ? s->batch : a == 1 ? s->channels : s->extent[a - 2];
  }
  say_shape(s->axes + 2 - drop, extent, text, size);
}

static const char spatial[] = "DHW";

/* The letters of an activation's axes in a framework's order: batch, channels, depth, height, width. */
static void say_axes(const cbn_axis_order *order, const cbn_situation *s, char *text) {
  for (int32_t a = 0; a < s->axes + 2; a++) {
    const int at = (order->given ? order->place[a] : a) - s->unbatched;
    if (at >= 0) text[at] = a == 0 ? 'N' : a == 1 ? 'C' : spatial[CBN_MAX_SPATIAL - s->axes + a - 2];
  }
  text[s->axes + 2 - s->unbatched] = '\0';
}

static void say_both(const char *first, const char *second, char *text, size_t size) {
  if (strcmp(first, second) == 0) snprintf(text, size, "%s", first);
  else snprintf(text, size, "%s -> %s", first, second);
}

static void say_activations(const cbn_translation *x, words *w) {
  cbn_plan source = {.kind = x->source.operator->kind}, target = {.kind = x->target.operator->kind};
  char first[CBN_MAX_RANK + 1], second[CBN_MAX_RANK + 1];
  cbn_framework_of(x->source.dialect)->orders(x->source.operator, x->source.params, x->at.axes, &source);
  cbn_framework_of(x->target.dialect)->orders(x->target.operator, x->target.params, x->at.axes, &target);
  say_axes(&source.input_order, &x->at, first);
  say_axes(&target.input_order, &x->at, second);
  say_both(first, second, w->input_order, sizeof w->input_order);
  say_axes(&source.output_order, &x->at, first);
  say_axes(&target.output_order, &x->at, second);
  say_both(first, second, w->output_order, sizeof w->output_order);
}

/* The letters of a weight's axes in a framework's order: output and input channels, depth, height, width; M a
 * multiplier. */
static void say_order(const cbn_layer *layer, const cbn_plan *plan, char *text) {
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  const bool conv = plan->kind == CBN_OPERATOR_CONV, depthwise = plan->depthwise_weight;
  const int32_t axes = plan->conv.spatial_rank;
  text[0] = '\0';
  if (!conv) return;
  for (int32_t a = 0; a < axes + 2; a++) {
    const int at = plan->weight_order.given ? plan->weight_order.place[a] : a;
    if (a == 1 && depthwise) continue;
    if (a == 0 && depthwise) text[at + 1] = 'M';
    text[at] = a >= 2                                             ? spatial[CBN_MAX_SPATIAL - axes + a - 2]
               : (a == 0) == !plan->conv.transposed && !depthwise ? 'O'
                                                                  : 'I';
  }
  text[axes + 2] = '\0';
  if (framework->unit_axis != NULL && framework->unit_axis(layer->operator)) {
    memmove(text + 3, text + 2, strlen(text + 2) + 1);
    text[2] = '1';
  }
}

static const char *name_of(const cbn_layer *layer, int role) {
  const char *name = cbn_framework_of(layer->dialect)->tensor_name(layer->operator, role);
  return name == NULL && role == CBN_ROLE_BIAS && layer->adds_bias ? "bias" : name;
}

static void say_tensors(const task *t, words *w) {
  const cbn_translation *x = &t->translation;
  const cbn_situation inner = cbn_surrounded_situation(&x->around, &x->at);
  cbn_plan source, target;
  cbn_rejection ignored;
  if (!cbn_whole_plan(&x->source, &x->at, &source, &ignored) || !cbn_whole_plan(&x->target, &inner, &target, &ignored))
    return;
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++) {
    int64_t extent[CBN_MAX_RANK];
    const bool there = cbn_plan_extents(&source, role, extent) > 0, here = cbn_plan_extents(&target, role, extent) > 0;
    const char *from = name_of(&x->source, role), *to = name_of(&x->target, role);
    tensor_row *row = &w->row[w->rows];
    if (!here || to == NULL) continue;
    row->role = cbn_role_name(role);
    snprintf(row->target, sizeof row->target, "%s", to);
    snprintf(row->source, sizeof row->source, "%s", there && from != NULL ? from : "");
    if (!there) snprintf(row->order, sizeof row->order, "%g everywhere", x->comparison.constants.value[role]);
    else if (role == CBN_ROLE_WEIGHT && source.kind == CBN_OPERATOR_CONV) {
      char first[8], second[8];
      say_order(&x->source, &source, first);
      say_order(&x->target, &target, second);
      say_both(first, second, row->order, sizeof row->order);
    }
    w->rows++;
  }
}

/* A parameter as it is given, or its default; false where it has none that is a number. */
static bool number_of(const task *t, const cbn_layer *layer, const char *name, double *number) {
  cbn_signature signature;
  const cbn_value *given = cbn_parameter(layer->params, name);
  if (given != NULL) return cbn_value_number(given, number);
  if (!cbn_signature_read(layer->operator, t->arena, &signature)) return false;
  const cbn_parameter_info *info = cbn_signature_find(&signature, name);
  return info != NULL && cbn_value_number(info->fallback, number);
}

static void say_momentum(const task *t, const cbn_layer *layer, char *text, size_t size) {
  static const char *const names[] = {"momentum", "exponential_avg_factor", "new_weight"};
  double number;
  snprintf(text, size, "nothing");
  for (int i = 0; i < 3; i++)
    if (number_of(t, layer, names[i], &number)) {
      snprintf(text, size, "%s=%g", names[i], number);
      return;
    }
}

static void note_statistics(const task *t, words *w) {
  const cbn_translation *x = &t->translation;
  cbn_plan plan;
  cbn_rejection ignored;
  char there[64], here[64];
  cbn_situation s = x->at;
  s.training = true;
  s.trained = 1;
  if (!(x->comparison.modes & CBN_TRAINING) || !cbn_layer_plan(&x->source, &s, &plan, &ignored) ||
      (plan.kind == CBN_OPERATOR_BATCHNORM && !plan.batchnorm.update_running) || /* it keeps none */
      !cbn_layer_plan(&x->target, &s, &plan, &ignored) || plan.kind != CBN_OPERATOR_BATCHNORM || !plan.batchnorm.update_running)
    return;
  const cbn_batchnorm *b = &plan.batchnorm;
  say_momentum(t, &x->source, there, sizeof there);
  say_momentum(t, &x->target, here, sizeof here);
  if (strcmp(there, "nothing") != 0 && strcmp(here, "nothing") != 0)
    note(w, "a running statistic becomes %.7g of the old and %.7g of the batch's: %s there, %s here", 1 - b->new_weight,
         b->new_weight, there, here);
  note(w, "the variance that enters the running one is %s on both sides",
       b->running_variance == CBN_VARIANCE_BIASED ? "biased (divided by N)" : "unbiased (divided by N - 1)");
}

/* The call as it is pasted: its input is what the code before it makes, x. */
static void say_call(const cbn_layer *layer, char *text, size_t size) {
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  const char *input = framework->tensor_name(layer->operator, CBN_ROLE_INPUT);
  char first[64];
  cbn_call_print(layer, false, text, size);
  if (input == NULL || framework->module[0] == '\0') return;
  snprintf(first, sizeof first, "(%s,", input);
  char *at = strstr(text, first);
  if (at == NULL) return;
  at[1] = 'x';
  memmove(at + 2, at + 1 + strlen(input), strlen(at + 1 + strlen(input)) + 1);
}

/* Functions that are told whether they train are two calls. */
static void note_training(const task *t, words *w) {
  char call[CALL_TEXT], condition[256];
  if (!t->has_training || t->training.kind == CBN_TRANSLATION_NONE) return;
  say_call(&t->training.target, call, sizeof call);
  cbn_predicates_print(&t->training.comparison, t->training.at.axes, condition, sizeof condition);
  note(w, "in training another call is the same%s%s: %.240s", condition[0] != '\0' ? " if " : "", condition, call);
}

static void say_notes(const task *t, words *w) {
  const cbn_translation *x = &t->translation;
  const cbn_comparison *c = &x->comparison;
  char input[160];
  if (t->found_input) note(w, "no --input was given: a small one that the source takes was asked");
  if (t->untold_channels) note(w, "no channels were named: %d were asked", CHANNELS_UNTOLD);
  if (memcmp(x->at.extent, t->at.extent, sizeof x->at.extent) != 0 || x->at.batch != t->at.batch) {
    say_input(&x->source, &x->at, input, sizeof input);
    note(w, "the input has no elements, or none come out: %s was asked", input);
  }
  if (x->kind == CBN_TRANSLATION_NONE) return;
  if (c->batched_only || (t->at.unbatched && !x->at.unbatched))
    note(w, "the target takes no input without a batch: x[None] before it, y[0] behind it");
  if (c->no_empty) note(w, "the target refuses some inputs of which the source makes an output without elements");
  if (c->constants.rounded)
    note(w, "epsilon or momentum are the same in f32, not to the last bit of a double: results agree up to rounding");
  if (x->kind == CBN_TRANSLATION_TRAINING) note(w, "keep the target in training, whatever mode the source is in");
  const cbn_framework *to = cbn_framework_of(x->target.dialect);
  if (to->caution != NULL && to->caution(x->target.operator, x->target.params) != NULL)
    note(w, "%s", to->caution(x->target.operator, x->target.params));
  note_statistics(t, w);
  note_training(t, w);
  if (t->asked->fold != NULL)
    note(w,
         "%s, for evaluation: the weight times s, the bias (bias - mean) * s + shift, with s = scale / sqrt(variance + "
         "epsilon) of each output channel",
         t->asked->weights_in != NULL ? "folded" : "to be folded");
}

static void say_where(const task *t, const cbn_translation *x, char *text, size_t size) {
  const cbn_comparison *c = &x->comparison;
  char input[160];
  say_input(&x->source, &c->where, input, sizeof input);
  if (!is_norm(t)) snprintf(text, size, "input %s", input);
  else if (!c->where.training) snprintf(text, size, "input %s in evaluation", input);
  else snprintf(text, size, "input %s in training, call %" PRId64, input, c->where.trained + 1);
}

/* Why it is not exact: the refusal, or the difference and both results; of a layer for evaluation only, why there
 * is none for training, if there is none. */
static void say_reason(const task *t, words *w) {
  const bool training = t->has_training && t->training.kind == CBN_TRANSLATION_NONE;
  const cbn_translation *x = training ? &t->training : &t->translation;
  const cbn_comparison *c = &x->comparison;
  const cbn_run_result *r = &x->witness;
  char where[256], a[160], b[160];
  if (!c->parts || x->kind == CBN_TRANSLATION_EXACT || (t->has_training && !training)) return;
  say_where(t, x, where, sizeof where);
  if (c->rejected) {
    snprintf(w->reason, sizeof w->reason, "%s: the target refuses: %s (%s%s%s)", where, c->rejection.message,
             c->rejection.rule < CBN_RULE_COUNT ? cbn_rule_name((int)c->rejection.rule) : "no operator says it",
             c->rejection.exception[0] != '\0' ? ", " : "", c->rejection.exception);
    return;
  }
  size_t length = (size_t)snprintf(w->reason, sizeof w->reason, "%s: %s", where, c->why);
  if (!x->has_witness || length >= sizeof w->reason) return;
  if (r->shapes_differ) {
    say_shape(r->rank, r->source_extent, a, sizeof a);
    say_shape(r->rank, r->target_extent, b, sizeof b);
    snprintf(w->reason + length, sizeof w->reason - length, "; the output is of %s in the source, of %s in the target",
             a, b);
    return;
  }
  say_shape(r->rank, r->index, a, sizeof a);
  snprintf(w->reason + length, sizeof w->reason - length, "; %s%s is %.9g in the source, %.9g in the target",
           cbn_role_name(r->role), a, r->source_value, r->target_value);
}

static void say_answer(const task *t, words *w) {
  const cbn_translation *x = &t->translation;
  const char *with = x->inserts ? ", with what is inserted" : "";
  const char *base = x->kind == CBN_TRANSLATION_EVALUATION ? "in evaluation only"
                     : x->kind == CBN_TRANSLATION_TRAINING ? "in training only"
                     : x->kind == CBN_TRANSLATION_NONE     ? "none"
                                                           : "exact";
  cbn_predicates_print(&x->comparison, x->at.axes, w->condition, sizeof w->condition);
  if (x->kind == CBN_TRANSLATION_NONE) w->condition[0] = '\0';
  snprintf(w->answer, sizeof w->answer, "%s%s%s%s", base, w->condition[0] != '\0' ? " if " : "", w->condition,
           x->kind == CBN_TRANSLATION_NONE ? "" : with);
}

static void say_verified(const task *t, words *w) {
  const cbn_translation *x = &t->translation;
  char input[160];
  if (!x->verified) return;
  say_input(&x->source, &x->verified_at, input, sizeof input);
  if (x->verification.unequal == 0)
    snprintf(w->verified, sizeof w->verified, "%" PRId64 " elements equal, %s, at input %s", x->verification.elements,
             is_norm(t) ? "to the last bit of a double" : "in exact arithmetic", input);
  else
    snprintf(w->verified, sizeof w->verified,
             "%" PRId64 " elements, of them %" PRId64
             " equal and the others within the proven bounds of %s, at input %s",
             x->verification.elements, x->verification.elements - x->verification.unequal,
             cbn_type_name(t->at.input_type), input);
}

static void put_in_words(const task *t, words *w) {
  const cbn_translation *x = &t->translation;
  *w = (words){0};
  cbn_call_print(&t->source, true, w->source, sizeof w->source);
  say_input(&t->source, &t->at, w->input, sizeof w->input);
  say_answer(t, w);
  say_reason(t, w);
  say_notes(t, w);
  if (x->kind == CBN_TRANSLATION_NONE) return;
  say_call(&x->target, w->target, sizeof w->target);
  const cbn_situation inner = cbn_surrounded_situation(&x->around, &x->at);
  w->before = cbn_code_before(&x->target, &x->around, &inner);
  w->behind = cbn_code_behind(&x->target, &x->around, &inner);
  say_activations(x, w);
  say_tensors(t, w);
  say_verified(t, w);
}

/* ----------------------------------------------------------------------------------------------------------- output */

static const char *colour(const char *code) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  const bool shown =
      isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
  return shown ? code : "";
}

/* The verdict first, then what is pasted and moved, then what is good to know. */
static void print_text(const task *t, const words *w) {
  static const char *const colours[] = {"\033[32m", "\033[33m", "\033[33m", "\033[33m", "\033[31m"};
  const bool none = t->translation.kind == CBN_TRANSLATION_NONE;
  printf("answer    %s%s%s\n", colour(colours[t->translation.kind]), w->answer, colour("\033[0m"));
  if (none && w->reason[0] != '\0') printf("because   %s\n", w->reason);
  for (int i = 0; i < w->before.count; i++) printf("before    %s\n", w->before.line[i]);
  if (w->target[0] != '\0') printf("layer     %s\n", w->target);
  for (int i = 0; i < w->behind.count; i++) printf("behind    %s\n", w->behind.line[i]);
  if (strstr(w->input_order, "->") != NULL) printf("input     %s\n", w->input_order);
  if (strstr(w->output_order, "->") != NULL) printf("output    %s\n", w->output_order);
  for (int i = 0; i < w->rows; i++)
    printf("tensor    %s -> %s%s%s\n", w->row[i].source[0] != '\0' ? w->row[i].source : "(none)", w->row[i].target,
           w->row[i].order[0] != '\0' ? ": " : "", w->row[i].order);
  if (t->asked->weights_in != NULL && !none) printf("written   %s\n", t->asked->weights_out);
  for (int i = 0; i < w->notes; i++) printf("note      %s\n", w->note[i]);
  if (!none && w->reason[0] != '\0') printf("parts at  %s\n", w->reason);
  printf("source    %s\n", w->source);
  if (t->asked->fold != NULL) printf("folded    %s\n", t->asked->fold);
  if (w->verified[0] != '\0') printf("verified  %s\n", w->verified);
  else printf("asked at  input %s %s\n", w->input, cbn_type_name(t->at.input_type));
}

static json_t *lines(const char *first, size_t stride, int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++) json_array_append_new(list, json_string(first + (size_t)i * stride));
  return list;
}

static json_t *text_or_null(const char *text) { return text[0] != '\0' ? json_string(text) : json_null(); }

static int print_json(const task *t, const words *w) {
  const cbn_translation *x = &t->translation;
  json_t *tensors = json_array();
  for (int i = 0; i < w->rows; i++)
    json_array_append_new(
        tensors, json_pack("{s:s, s:o, s:s, s:o}", "role", w->row[i].role, "source", text_or_null(w->row[i].source),
                           "target", w->row[i].target, "order", text_or_null(w->row[i].order)));
  json_t *root = json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "answer",
                           cbn_translation_name(x->kind), "source", w->source, "input", w->input, "if",
                           text_or_null(w->condition), "sentence", w->answer, "target", text_or_null(w->target),
                           "before", lines(w->before.line[0], sizeof w->before.line[0], w->before.count), "behind",
                           lines(w->behind.line[0], sizeof w->behind.line[0], w->behind.count), "input_order",
                           text_or_null(w->input_order), "output_order", text_or_null(w->output_order), "tensors",
                           tensors, "notes", lines(w->note[0], sizeof w->note[0], w->notes), "reason",
                           text_or_null(w->reason), "verified", text_or_null(w->verified));
  const int failed = root == NULL || json_dumpf(root, stdout, JSON_INDENT(2)) != 0;
  puts("");
  json_decref(root);
  return failed;
}

static bool work(task *t, words *w, cbn_error *error) {
  CBN_FORWARD(read_source(t, error));
  CBN_FORWARD(read_target(t, error));
  CBN_CHECK(cbn_framework_of(t->source.dialect) != NULL, error, "calls of %s cannot be translated yet",
            t->source.dialect->name);
  CBN_FORWARD(read_situation(t, error));
  if (t->asked->fold != NULL) CBN_FORWARD(read_norm(t, error));
  CBN_FORWARD(cbn_translate(&t->source, &t->at, t->asked->modes, t->to, t->operator, t->arena, &t->translation, error));
  t->has_training = t->translation.kind == CBN_TRANSLATION_EVALUATION;
  if (t->has_training)
    CBN_FORWARD(cbn_translate(&t->source, &t->at, CBN_TRAINING, t->to, t->translation.target.operator, t->arena,
                              &t->training, error));
  if (t->asked->weights_in != NULL && t->translation.kind != CBN_TRANSLATION_NONE) CBN_FORWARD(move_weights(t, error));
  put_in_words(t, w);
  return true;
}

int cbn_command_translate(int argc, char **argv) {
  arguments asked = {.modes = CBN_BOTH_MODES};
  task t = {.asked = &asked};
  cbn_error error;
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &asked);
  words *w = malloc(sizeof *w);
  t.arena = cbn_arena_create(ARENA_BYTES);
  const bool done =
      w != NULL && t.arena != NULL ? work(&t, w, &error) : cbn_error_set(&error, "there is not enough memory");
  int code = CBN_EXIT_USAGE;
  if (!done) fprintf(stderr, "convbn translate: %s\n", error.text);
  else if (asked.json && print_json(&t, w) != 0) fprintf(stderr, "convbn translate: the answer cannot be written\n");
  else code = t.translation.kind == CBN_TRANSLATION_NONE ? CBN_EXIT_DISCREPANCY : CBN_EXIT_EXPECTED;
  if (done && !asked.json) print_text(&t, w);
  cbn_arena_destroy(t.arena);
  free(w);
  return code;
}
