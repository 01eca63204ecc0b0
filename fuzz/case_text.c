#include "fuzz/case_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "dialects/layout.h"
#include "harness/solution.h"
#include "harness/yaml.h"

/* Of each direction: the result, whose name is that of the direction too. */
static const int results[] = {[CBN_FORWARD] = CBN_ROLE_OUTPUT,
                              [CBN_GRAD_INPUT] = CBN_ROLE_GRAD_INPUT,
                              [CBN_GRAD_WEIGHT] = CBN_ROLE_GRAD_WEIGHT,
                              [CBN_GRAD_BIAS] = CBN_ROLE_GRAD_BIAS};

static bool is_conv(const cbn_generated *p) { return cbn_generated_is_conv(p->kind); }
static bool is_program(const cbn_generated *p) { return p->kind == CBN_GENERATED_BATCHNORM_PROGRAM; }
static int32_t direction_of(const cbn_generated *p) { return is_conv(p) ? p->conv.direction : p->batchnorm.direction; }

/* Also of statistics that the call does not use: a layer has them all the same. */
static int32_t extents_of(const cbn_generated *p, int role, int64_t extent[CBN_MAX_RANK]) {
  if (is_conv(p)) return cbn_conv_extents(&p->conv, role, extent);
  cbn_batchnorm layer = p->batchnorm;
  layer.update_running = 1;
  return cbn_batchnorm_extents(&layer, role, extent);
}

/* ----------------------------------------------------------------------------------------- lines and flow text */

enum { WIDTH = 120, TEXT = 4096 };

/* What stands between the braces of a map, or brackets of a list. */
typedef struct flow {
  char text[TEXT];
  size_t length;
} flow;

__attribute__((format(printf, 3, 4))) static void put(flow *f, const char *key, const char *format, ...) {
  va_list arguments;
  const char *separator = f->length > 0 ? ", " : "";
  if (f->length < TEXT)
    f->length += (size_t)snprintf(f->text + f->length, TEXT - f->length, "%s%s%s", separator, key, *key ? ": " : "");
  va_start(arguments, format);
  if (f->length < TEXT) f->length += (size_t)vsnprintf(f->text + f->length, TEXT - f->length, format, arguments);
  va_end(arguments);
}

static flow list_of(int32_t count, const int64_t *values) {
  flow f = {.length = 0};
  for (int32_t a = 0; a < count; a++) put(&f, "", "%" PRId64, values[a]);
  return f;
}

/* One number where all axes have the same. */
static void put_axes(flow *f, const char *key, int32_t rank, const int64_t *values) {
  bool same = true;
  for (int32_t a = 1; a < rank; a++) same = same && values[a] == values[0];
  if (same) put(f, key, "%" PRId64, values[0]);
  else put(f, key, "[%s]", list_of(rank, values).text);
}

/* Reads back as the same double, from YAML 1.1 too: `1e-05` would be a string there, `1.0e-05` is none. */
static void put_number(flow *f, const char *key, double number) {
  char text[40];
  const cbn_value value = {.kind = CBN_REAL, .as.real = number};
  cbn_value_print(&value, text, sizeof text);
  const char *exponent = strchr(text, 'e');
  if (fabs(number) < 0x1p53 && number == floor(number) && !(number == 0 && signbit(number)))
    put(f, key, "%.0f", number);
  else if (exponent != NULL && strchr(text, '.') == NULL)
    put(f, key, "%.*s.0%s", (int)(exponent - text), text, exponent);
  else put(f, key, "%s", text);
}

/* Lines of a block, at their indentation; those that begin an item of a list have a hyphen before them. */
typedef struct page {
  FILE *file;
  int indent;
  bool item;
} page;

/* The end of an entry of a map or list: behind its comma, or that of the text. */
static const char *entry_end(const char *entry) {
  int depth = 0;
  const char *c = entry + (*entry == '{');
  for (; *c != '\0' && (*c != ',' || depth > 0); c++) depth += (*c == '[' || *c == '{') - (*c == ']' || *c == '}');
  return *c == ',' ? c + 1 : c;
}

/* Too long a line goes on with the next entry, further in. */
__attribute__((format(printf, 3, 4))) static void put_line(page *p, const char *key, const char *format, ...) {
  char text[TEXT + 64];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  int column = fprintf(p->file, "%*s%s%s:", p->indent - 2 * p->item, "", p->item ? "- " : "", key);
  p->item = false;
  for (const char *entry = text, *end; *entry != '\0'; entry = end + (*end == ' ')) {
    end = entry_end(entry);
    const int length = (int)(end - entry);
    if (entry > text && column + 1 + length > WIDTH) column = fprintf(p->file, "\n%*s", p->indent + 3, "") - 1;
    column += fprintf(p->file, " %.*s", length, entry);
  }
  fputc('\n', p->file);
}

/* ------------------------------------------------------------------------------------------------- parameters */

/* One list of names, as the dialect has them. */
static const char *const padding_modes[] = {"zeros", "reflect", "replicate", "circular", "unknown"};

static void put_conv(flow *f, const cbn_conv *c) {
  const struct {
    const char *name;
    const int64_t *values;
    int64_t plain;
  } axes[] = {{"stride", c->stride, 1},
              {"dilation", c->dilation, 1},
              {"pad_begin", c->pad_begin, 0},
              {"pad_end", c->pad_end, 0},
              {"input_dilation", c->input_dilation, 1},
              {"output_padding", c->output_padding, 0}};
  put(f, "out_channels", "%" PRId64, c->out_channels);
  put_axes(f, "kernel", c->spatial_rank, c->kernel);
  if (c->groups != 1) put(f, "groups", "%" PRId64, c->groups);
  for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++)
    for (int32_t a = 0; a < c->spatial_rank; a++)
      if (axes[i].values[a] != axes[i].plain) {
        put_axes(f, axes[i].name, c->spatial_rank, axes[i].values);
        break;
      }
  if (c->padding_mode != CBN_PAD_ZEROS) put(f, "padding_mode", "%s", padding_modes[c->padding_mode]);
  if (c->transposed) put(f, "transposed", "true");
  if (c->has_bias) put(f, "bias", "true");
}

static void put_batchnorm(flow *f, const cbn_generated *p) {
  const cbn_batchnorm *b = &p->batchnorm, plain = cbn_batchnorm_make(b->spatial_rank);
  const bool trains = is_program(p) || cbn_generated_trains(p), updates = trains && b->direction == CBN_FORWARD;
  if (b->epsilon != plain.epsilon) put_number(f, "epsilon", b->epsilon);
  if (b->new_weight != plain.new_weight) put_number(f, "new_weight", b->new_weight);
  if (trains && b->statistics == CBN_STATISTICS_RUNNING) put(f, "statistics", "running");
  if (b->update_running != updates) put(f, "update_running", "%s", b->update_running ? "true" : "false");
  if (b->running_variance == CBN_VARIANCE_UNBIASED) put(f, "running_variance", "unbiased");
  if (!b->has_weight) put(f, "weight", "false");
  if (!b->has_bias) put(f, "bias", "false");
}

static void put_params(page *page, const cbn_generated *p) {
  flow f = {.length = 0};
  if (is_conv(p)) put_conv(&f, &p->conv);
  else put_batchnorm(&f, p);
  if (direction_of(p) != CBN_FORWARD) put(&f, "direction", "%s", cbn_role_name(results[direction_of(p)]));
  put_line(page, "params", "{%s}", f.text);
}

/* ---------------------------------------------------------------------------------------------------- tensors */

static flow fill_text(const cbn_fill *fill, int32_t rank, const int64_t *extent) {
  const cbn_fill plain = cbn_fill_make((enum cbn_fill_kind)fill->kind);
  flow f = {.length = 0};
  put(&f, "kind", "%s", cbn_fill_name(fill->kind));
  if (cbn_fill_is_random(fill->kind) && fill->seed != 0) put(&f, "seed", "%" PRIu64, fill->seed);
  switch ((enum cbn_fill_kind)fill->kind) {
  case CBN_FILL_INTEGERS:
    if (fill->low != plain.low) put(&f, "low", "%" PRId64, fill->low);
    if (fill->high != plain.high) put(&f, "high", "%" PRId64, fill->high);
    break;
  case CBN_FILL_EXACT:
    if (fill->bits != plain.bits) put(&f, "bits", "%" PRId32, fill->bits);
    if (fill->shift != plain.shift) put(&f, "shift", "%" PRId32, fill->shift);
    if (fill->density != plain.density) put_number(&f, "density", fill->density);
    break;
  case CBN_FILL_NORMAL:
    if (fill->mean != plain.mean) put_number(&f, "mean", fill->mean);
    if (fill->scale != plain.scale) put_number(&f, "scale", fill->scale);
    break;
  case CBN_FILL_IMPULSE:
    if (fill->position != 0) {
      int64_t index[CBN_MAX_RANK];
      cbn_unravel(rank, extent, fill->position, index);
      put(&f, "index", "[%s]", list_of(rank, index).text);
    }
    if (fill->value != plain.value) put_number(&f, "value", fill->value);
    break;
  case CBN_FILL_RAMP:
    if (fill->start != plain.start) put_number(&f, "start", fill->start);
    if (fill->step != plain.step) put_number(&f, "step", fill->step);
    break;
  default: break;
  }
  return f;
}

/* A tensor that no call reads, and the case must give all the same, is all ones. */
static void put_tensor(page *page, const cbn_generated *p, int role, int step) {
  const bool activation = role == CBN_ROLE_INPUT || role == CBN_ROLE_GRAD_OUTPUT;
  const int32_t type = activation ? p->type : p->layer_type;
  cbn_fill fill = cbn_generated_reads(p, role) ? p->fill[role] : cbn_fill_make(CBN_FILL_ONES);
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = extents_of(p, role, extent);
  flow f = {.length = 0};
  fill.seed += (uint64_t)step;
  put(&f, "shape", "[%s]", list_of(rank, extent).text);
  if (type != CBN_F32) put(&f, "type", "%s", cbn_type_name(type));
  put(&f, "fill", "{%s}", fill_text(&fill, rank, extent).text);
  put_line(page, cbn_role_name(role), "{%s}", f.text);
}

/* Does each step of a program draw an input of its own? */
static bool draws_inputs(const cbn_generated *p) {
  return is_program(p) && cbn_fill_is_random(p->fill[CBN_ROLE_INPUT].kind);
}

/* A convolution's input, weight and bias are given in every direction. */
static bool is_given(const cbn_generated *p, int role) {
  int64_t extent[CBN_MAX_RANK];
  if (role == CBN_ROLE_INPUT) return !draws_inputs(p);
  if (cbn_generated_reads(p, role)) return true;
  return p->valid && is_conv(p) && role != CBN_ROLE_GRAD_OUTPUT && extents_of(p, role, extent) > 0;
}

static void put_tensors(page *page, const cbn_generated *p) {
  bool given = false, of_layer = p->layer_type == p->type;
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) {
    given = given || is_given(p, role);
    of_layer = of_layer || (is_given(p, role) && role != CBN_ROLE_INPUT && role != CBN_ROLE_GRAD_OUTPUT);
  }
  if (!given && of_layer) return;
  put_line(page, "tensors", "%s", "");
  page->indent += 2;
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++)
    if (is_given(p, role) || (role == CBN_ROLE_RUNNING_MEAN && !of_layer)) /* which says the layer's type */
      put_tensor(page, p, role, 0);
  page->indent -= 2;
}

/* ------------------------------------------------------------------------------------------------- the case */

static bool refused(const cbn_generated *p, cbn_violation *v) {
  return !(is_conv(p) ? cbn_conv_validate(&p->conv, v) : cbn_batchnorm_validate(&p->batchnorm, v));
}

static void put_expect(page *page, const cbn_generated *p) {
  cbn_violation violation;
  int64_t extent[CBN_MAX_RANK];
  const int role = results[direction_of(p)];
  if (!p->valid && refused(p, &violation)) {
    put_line(page, "expect", "{rejected: {rule: %s}}", cbn_rule_name(violation.rule));
  } else {
    const int32_t rank = extents_of(p, role, extent);
    put_line(page, "expect", "{%s: {shape: [%s]}}", cbn_role_name(role), list_of(rank, extent).text);
  }
}

static void put_steps(page *page, const cbn_generated *p) {
  double in_force = p->batchnorm.new_weight;
  put_line(page, "steps", "%s", "");
  page->indent += 4;
  for (int i = 0; i < p->steps; i++) {
    const cbn_generated_step *step = &p->step[i];
    page->item = true;
    if (step->reset) put_line(page, "reset", "true");
    if (step->new_weight != in_force) {
      flow f = {.length = 0};
      put_number(&f, "new_weight", step->new_weight);
      put_line(page, "params", "{%s}", f.text);
    }
    in_force = step->new_weight;
    put_line(page, "mode", "%s", step->train ? "train" : "eval");
    if (draws_inputs(p)) put_tensor(page, p, CBN_ROLE_INPUT, i);
    put_expect(page, p);
  }
  page->indent -= 4;
}

/* All of a case but its id and its comment. */
static void put_body(page *page, const cbn_generated *p) {
  put_params(page, p);
  if (p->layout != CBN_CONTIGUOUS) put_line(page, "layout", "%s", cbn_layout_name(p->layout));
  if (p->in_place) put_line(page, "in_place", "true");
  put_tensors(page, p);
  if (is_program(p)) {
    put_steps(page, p);
    return;
  }
  if (!is_conv(p) && cbn_generated_trains(p)) put_line(page, "mode", "train");
  put_expect(page, p);
}

bool cbn_case_id_of(const cbn_generated *problem, cbn_case_id *id) {
  char *text = NULL;
  size_t size = 0;
  page page = {.file = open_memstream(&text, &size)};
  if (page.file == NULL) return false;
  put_body(&page, problem);
  const bool written = fclose(page.file) == 0;
  if (written)
    snprintf(id->text, sizeof id->text, "canonical/%s/generated-%016" PRIx64, is_conv(problem) ? "conv" : "batchnorm",
             (uint64_t)XXH64(text, size, 0));
  free(text);
  return written;
}

/* A string as YAML, quoted where it must be. */
static bool put_string(page *page, const char *key, const char *string) {
  const size_t size = 6 * strlen(string) + 3; /* the longest that a character becomes, and the quotes */
  const cbn_value value = {.kind = CBN_STRING, .as.string = {.text = string, .length = strlen(string)}};
  char *text = malloc(size);
  if (text == NULL) return false;
  cbn_value_print(&value, text, size);
  fprintf(page->file, "%*s%s%s: %s\n", page->indent - 2 * page->item, "", page->item ? "- " : "", key, text);
  page->item = false;
  free(text);
  return true;
}

/* What the generator knows of a problem. */
static void describe(const cbn_generated *p, char *text, size_t size) {
  const char *kind = cbn_generated_kind_name((int)p->kind);
  cbn_violation violation;
  if (!p->valid && refused(p, &violation)) snprintf(text, size, "a near miss of %s: %s", kind, violation.message);
  else snprintf(text, size, "a generated problem of the kind %s", kind);
}

bool cbn_case_write_header(FILE *file, enum cbn_generated_kind kind) {
  fprintf(file, "format: 1\ndialect: canonical\noperator: %s\n", cbn_generated_is_conv(kind) ? "conv" : "batchnorm");
  fputs("source: generated, with shapes and rules alone\ncases:\n", file);
  return ferror(file) == 0;
}

bool cbn_case_write_entry(FILE *file, const cbn_generated *problem, const char *id, const char *comment) {
  char described[384];
  cbn_case_id hashed;
  page page = {.file = file, .indent = 4, .item = true};
  if (id == NULL && !cbn_case_id_of(problem, &hashed)) return false;
  describe(problem, described, sizeof described);
  if (!put_string(&page, "id", id != NULL ? id : hashed.text) ||
      !put_string(&page, "comment", comment != NULL ? comment : described))
    return false;
  put_body(&page, problem);
  return ferror(file) == 0;
}

bool cbn_case_write(FILE *file, const cbn_generated *problem, const char *id, const char *comment) {
  return cbn_case_write_header(file, problem->kind) && cbn_case_write_entry(file, problem, id, comment);
}

/* ------------------------------------------------------------------------------------------- what a case can say */

/* What a case cannot say of its parameters. */
static bool rule_possible(int rule) {
  return rule != CBN_RULE_MISSING_PARAMETER && rule != CBN_RULE_PARAMETER_TYPE && rule != CBN_RULE_PARAMETER_LENGTH &&
         rule != CBN_RULE_SPATIAL_RANK;
}

static bool near_miss_possible(const cbn_generated *p, cbn_error *error) {
  cbn_violation violation;
  int64_t extent[CBN_MAX_RANK];
  cbn_conv plain = p->conv;
  plain.groups = 1; /* 0 groups are a near miss, and no matter of the input */
  CBN_CHECK(refused(p, &violation), error, "a near miss that validation takes");
  CBN_CHECK(!is_program(p), error, "a near miss of a sequence of calls: %s", violation.message);
  CBN_CHECK(rule_possible(violation.rule), error, "no case can say that: %s", violation.message);
  const int32_t rank = is_conv(p) ? cbn_conv_extents(&plain, CBN_ROLE_INPUT, extent)
                                  : cbn_batchnorm_extents(&p->batchnorm, CBN_ROLE_INPUT, extent);
  for (int32_t a = 0; a < rank; a++)
    CBN_CHECK(extent[a] >= 0, error, "no tensor has a negative extent: %s", violation.message);
  cbn_tensor input;
  CBN_CHECK(cbn_tensor_describe(&input, p->type, rank, extent, CBN_CONTIGUOUS), error, "no tensor is so large: %s",
            violation.message);
  return true;
}

bool cbn_case_possible(const cbn_generated *p, cbn_error *error) {
  CBN_CHECK(!p->in_place || (!is_conv(p) && p->layout != CBN_MIXED), error,
            "in_place: only a batch normalization of one layout works in place");
  if (!p->valid) return near_miss_possible(p, error);
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) {
    const cbn_fill *fill = &p->fill[role];
    const char *name = cbn_role_name(role);
    int64_t extent[CBN_MAX_RANK];
    if (!cbn_generated_reads(p, role)) continue;
    const int64_t count = cbn_extent_product(extents_of(p, role, extent), extent);
    CBN_CHECK(fill->seed < (uint64_t)INT64_MAX - CBN_GENERATED_STEPS, error, "%s: a seed beyond 63 bits", name);
    CBN_CHECK(fill->kind != CBN_FILL_IMPULSE || fill->position == 0 || fill->position < count, error,
              "%s: the impulse lies outside", name);
  }
  return true;
}

/* ------------------------------------------------------------------------------------------------------ reading */

#define REFUSE(golden, at, ...) return refuse((golden), (at), error, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static bool refuse(const cbn_case *golden, const cbn_value *at, cbn_error *error,
                                                         const char *format, ...) {
  const cbn_value place = {.line = golden->line, .column = 1};
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return cbn_yaml_refuse(error, golden->file, at != NULL ? at : &place, "problem", "%s", text);
}

/* A constant that the layer itself gives a tensor. */
static cbn_fill constant(double value) {
  cbn_fill fill = cbn_fill_make(CBN_FILL_RAMP);
  fill.start = value;
  fill.step = 0;
  return fill;
}

static bool read_fill(const cbn_case *golden, const cbn_tensor_source *source, int role, const cbn_solved_step *solved,
                      cbn_generated *p, cbn_error *error) {
  const cbn_plan *plan = &solved->plan;
  const bool unbatched = plan->unbatched && (role == CBN_ROLE_INPUT || role == CBN_ROLE_GRAD_OUTPUT);
  int64_t extent[CBN_MAX_RANK];
  if (source == NULL || source->content == CBN_CONTENT_NONE) {
    if (!plan->has_initial[role]) REFUSE(golden, NULL, "the tensor %s is missing", cbn_role_name(role));
    p->fill[role] = constant(plan->initial[role]);
    return true;
  }
  if (source->content != CBN_CONTENT_FILL)
    REFUSE(golden, source->node, "a problem's tensors are fills, and %s is none", cbn_role_name(role));
  if (cbn_plan_reorders(plan, role))
    REFUSE(golden, source->node, "a problem's tensors have the operator's order of axes, and %s has another",
           cbn_role_name(role));
  const int32_t rank = extents_of(p, role, extent) - unbatched;
  if (source->shape.rank != rank ||
      memcmp(source->shape.extent, extent + unbatched, (size_t)rank * sizeof *extent) != 0)
    REFUSE(golden, source->node, "the shape of %s is not the one that the parameters say", cbn_role_name(role));
  p->fill[role] = source->fill;
  return true;
}

/* Values on a grid, on which the generator's exact data lie. */
static bool is_exact(const cbn_fill *fill) {
  switch ((enum cbn_fill_kind)fill->kind) {
  case CBN_FILL_NORMAL:
  case CBN_FILL_SPECIAL: return false;
  case CBN_FILL_IMPULSE: return fill->value == floor(fill->value);
  case CBN_FILL_RAMP: return fill->start == floor(fill->start) && fill->step == floor(fill->step);
  default: return true;
  }
}

static bool read_data(const cbn_case *golden, const cbn_solved_step *solved, cbn_generated *p, cbn_error *error) {
  p->exact = true;
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) {
    const cbn_tensor_source *source = role == CBN_ROLE_INPUT         ? golden->steps[0].input
                                      : role == CBN_ROLE_GRAD_OUTPUT ? golden->steps[0].grad_output
                                                                     : golden->tensor[role];
    if (!cbn_generated_reads(p, role)) continue;
    CBN_FORWARD(read_fill(golden, source, role, solved, p, error));
    p->exact = p->exact && is_exact(&p->fill[role]);
  }
  return true;
}

/* The direction: what the parameters ask for, else what comes out by the case's own words; several are no problem. */
static bool read_direction(const cbn_case *golden, const cbn_solved_step *solved, cbn_generated *p, cbn_error *error) {
  const cbn_step *step = &golden->steps[0];
  const cbn_plan *plan = &solved->plan;
  int32_t *direction = is_conv(p) ? &p->conv.direction : &p->batchnorm.direction;
  const int last = is_conv(p) ? CBN_GRAD_BIAS : CBN_GRAD_INPUT;
  int named = 0;
  if (*direction != CBN_FORWARD || step->grad_output == NULL) return true;
  for (int i = 0; i < CBN_RESULT_ROLES; i++) named += step->expect.tensor[cbn_result_roles[i]] != NULL;
  for (int32_t d = CBN_FORWARD; d <= last; d++)
    if (step->expect.tensor[results[d]] != NULL) *direction = d;
  if (named != 1)
    REFUSE(golden, step->grad_output->node, "a problem is one call, and this case asks for %s and its gradients",
           plan->kind == CBN_OPERATOR_CONV ? "a convolution" : "a batch normalization");
  if (*direction != CBN_FORWARD) p->batchnorm.update_running = 0;
  return true;
}

static bool set_kind(const cbn_case *golden, cbn_generated *p, cbn_error *error) {
  static const enum cbn_generated_kind of_conv[2][4] = {
      {CBN_GENERATED_CONV_FORWARD, CBN_GENERATED_CONV_GRAD_INPUT, CBN_GENERATED_CONV_GRAD_WEIGHT,
       CBN_GENERATED_CONV_GRAD_BIAS},
      {CBN_GENERATED_TRANSPOSED_FORWARD, CBN_GENERATED_TRANSPOSED_GRAD_INPUT, CBN_GENERATED_TRANSPOSED_GRAD_WEIGHT,
       CBN_GENERATED_KIND_COUNT}};
  if (is_conv(p)) {
    p->kind = of_conv[p->conv.transposed][p->conv.direction];
    if (p->kind == CBN_GENERATED_KIND_COUNT)
      REFUSE(golden, NULL, "no kind of problem is the gradient of a transposed convolution's bias");
  } else if (golden->has_steps) {
    p->kind = CBN_GENERATED_BATCHNORM_PROGRAM;
  } else if (p->batchnorm.direction != CBN_FORWARD) {
    p->kind = CBN_GENERATED_BATCHNORM_GRAD;
  } else {
    p->kind = cbn_generated_trains(p) ? CBN_GENERATED_BATCHNORM_TRAIN : CBN_GENERATED_BATCHNORM_EVAL;
  }
  return true;
}

/* Validation's refusals leave a whole operator behind, and so do unknown modes, which are read last; others do not. */
static bool is_near_miss(const cbn_solved_step *solved) {
  cbn_violation v;
  const cbn_plan *plan = &solved->plan;
  const bool invalid = plan->kind == CBN_OPERATOR_CONV ? !cbn_conv_validate(&plan->conv, &v)
                                                       : !cbn_batchnorm_validate(&plan->batchnorm, &v);
  return invalid && v.rule == (int)solved->rejection.rule &&
         (v.rule == CBN_RULE_PADDING_MODE_UNKNOWN || strcmp(v.message, solved->rejection.message) == 0);
}

/* The input of step `i` is that of the first, drawn from the seed plus i. */
static bool is_next_input(const cbn_case *golden, size_t i) {
  const cbn_tensor_source *first = golden->steps[0].input, *input = golden->steps[i].input;
  cbn_fill expected = first->fill;
  expected.seed += i;
  return input->content == CBN_CONTENT_FILL && input->type == first->type && input->shape.rank == first->shape.rank &&
         memcmp(input->shape.extent, first->shape.extent, sizeof input->shape.extent) == 0 &&
         cbn_generated_same_data(&input->fill, &expected);
}

static bool read_step(const cbn_case *golden, size_t i, int64_t *trained, cbn_generated *p, cbn_error *error) {
  const cbn_step *step = &golden->steps[i];
  cbn_solved_step solved = {.rejected = false};
  cbn_batchnorm wanted = p->batchnorm;
  if (step->reset) *trained = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (step->load[role] != NULL)
      REFUSE(golden, step->load[role]->node, "no sequence of calls has a %s loaded between them", cbn_role_name(role));
  if (step->grad_output != NULL) REFUSE(golden, step->grad_output->node, "no sequence of calls has gradients in it");
  if (!is_next_input(golden, i))
    REFUSE(golden, step->input->node, "the input of each step is that of the first, drawn from the next seed");
  if (!cbn_step_plan(golden, step, *trained, &step->input->shape, &solved))
    REFUSE(golden, NULL, "step %zu is rejected: %s", i + 1, solved.rejection.message);
  const cbn_batchnorm *b = &solved.plan.batchnorm;
  const bool train = cbn_step_trains(golden, step);
  wanted.new_weight = b->new_weight;
  if (!train) wanted.statistics = CBN_STATISTICS_RUNNING;
  if (!train) wanted.update_running = 0;
  if (memcmp(&wanted, b, sizeof wanted) != 0)
    REFUSE(golden, NULL, "step %zu is another layer's: only mode and new_weight change in a sequence of calls", i + 1);
  p->step[i] = (cbn_generated_step){.train = train, .reset = step->reset, .new_weight = b->new_weight};
  *trained += train;
  return true;
}

/* The layer of a program is the one that trains, with the parameters that the case begins with. */
static bool read_program(const cbn_case *golden, cbn_generated *p, cbn_error *error) {
  int64_t trained = 0;
  if (golden->step_count > CBN_GENERATED_STEPS)
    REFUSE(golden, NULL, "a sequence of at most %d calls is a problem, this has %zu", CBN_GENERATED_STEPS,
           golden->step_count);
  if (is_conv(p)) REFUSE(golden, NULL, "only a batch normalization is called in sequence");
  p->steps = (int)golden->step_count;
  for (size_t i = 0; i < golden->step_count; i++) CBN_FORWARD(read_step(golden, i, &trained, p, error));
  return true;
}

bool cbn_problem_of_case(const cbn_case *golden, cbn_generated *p, cbn_error *error) {
  cbn_step first = golden->steps[0];
  cbn_solved_step solved = {.rejected = false};
  if (first.input->content != CBN_CONTENT_FILL)
    REFUSE(golden, first.input->node, "a problem's tensors are fills, and input is none");
  if (golden->has_steps) {
    first.mode = CBN_MODE_TRAIN;
    first.params = golden->params;
  }
  cbn_step_plan(golden, &first, 0, &first.input->shape, &solved);
  if (solved.rejected && (golden->has_steps || !is_near_miss(&solved)))
    REFUSE(golden, NULL, "%s is rejected before there is a problem: %s", golden->id, solved.rejection.message);
  const bool conv = solved.plan.kind == CBN_OPERATOR_CONV;
  *p = (cbn_generated){.kind = conv ? CBN_GENERATED_CONV_FORWARD : CBN_GENERATED_BATCHNORM_EVAL,
                       .conv = solved.plan.conv,
                       .batchnorm = solved.plan.batchnorm,
                       .valid = !solved.rejected,
                       .type = solved.input_type,
                       .layer_type = solved.layer_type,
                       .layout = golden->layout,
                       .in_place = golden->in_place,
                       .steps = 1};
  if (golden->has_steps) CBN_FORWARD(read_program(golden, p, error));
  else CBN_FORWARD(read_direction(golden, &solved, p, error));
  return set_kind(golden, p, error) && read_data(golden, &solved, p, error);
}
