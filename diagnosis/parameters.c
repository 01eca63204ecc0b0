/* The list of parameters as a table: where each stands in a problem. */
#include "diagnosis/parameters.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/violation.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

enum field { FLAG, CHOICE, NUMBER, CHANNELS, REAL }; /* bool, int32_t, int64_t, the same times groups, double */
enum repeat { ONCE, EACH_AXIS, EACH_STEP };
enum part { ALL, CONV, NORM };

#define OF_CONV(member) CONV, offsetof(cbn_generated, conv.member)
#define OF_NORM(member) NORM, offsetof(cbn_generated, batchnorm.member)
#define OF_ALL(member) ALL, offsetof(cbn_generated, member)
#define OF_STEP(member) NORM, offsetof(cbn_generated, step[0].member)

/* Where one parameter can stand in for another, the earlier goes first and the later takes its place: a kernel that
 * needs its padding no longer if the input is larger. */
static const struct {
  const char *name;
  enum part part;
  size_t offset;
  enum field field;
  enum repeat repeat;
  double plain;
  int telling;
} list[] = {
    {"type", OF_ALL(type), CHOICE, ONCE, CBN_F32, 9},
    {"layer_type", OF_ALL(layer_type), CHOICE, ONCE, CBN_F32, 10},
    {"layout", OF_ALL(layout), CHOICE, ONCE, CBN_CONTIGUOUS, 8},
    {"in_place", OF_ALL(in_place), FLAG, ONCE, false, 11},
    {"reset", OF_STEP(reset), FLAG, EACH_STEP, false, 0},
    {"evaluation", OF_STEP(train), FLAG, EACH_STEP, true, 0},
    {"step_new_weight", OF_STEP(new_weight), REAL, EACH_STEP, 0.1, 1},
    {"padding_mode", OF_CONV(padding_mode), CHOICE, ONCE, CBN_PAD_ZEROS, 0},
    {"input_dilation", OF_CONV(input_dilation), NUMBER, EACH_AXIS, 1, 2},
    {"dilation", OF_CONV(dilation), NUMBER, EACH_AXIS, 1, 1},
    {"stride", OF_CONV(stride), NUMBER, EACH_AXIS, 1, 1},
    {"output_padding", OF_CONV(output_padding), NUMBER, EACH_AXIS, 0, 2},
    {"pad_begin", OF_CONV(pad_begin), NUMBER, EACH_AXIS, 0, 3},
    {"pad_end", OF_CONV(pad_end), NUMBER, EACH_AXIS, 0, 3},
    {"bias", OF_CONV(has_bias), CHOICE, ONCE, 0, 7},
    {"epsilon", OF_NORM(epsilon), REAL, ONCE, 1e-5, 2},
    {"new_weight", OF_NORM(new_weight), REAL, ONCE, 0.1, 1},
    {"statistics", OF_NORM(statistics), CHOICE, ONCE, CBN_STATISTICS_BATCH, 1},
    {"update_running", OF_NORM(update_running), CHOICE, ONCE, 1, 2},
    {"unbiased", OF_NORM(running_variance), CHOICE, ONCE, CBN_VARIANCE_BIASED, 1},
    {"weight", OF_NORM(has_weight), CHOICE, ONCE, 0, 7},
    {"bias", OF_NORM(has_bias), CHOICE, ONCE, 0, 7},
    {"groups", OF_CONV(groups), NUMBER, ONCE, 1, 4},
    {"batch", OF_CONV(batch), NUMBER, ONCE, 1, 5},
    {"kernel", OF_CONV(kernel), NUMBER, EACH_AXIS, 1, 6},
    {"in_channels", OF_CONV(in_channels), CHANNELS, ONCE, 1, 6},
    {"out_channels", OF_CONV(out_channels), CHANNELS, ONCE, 1, 6},
    {"input", OF_CONV(input), NUMBER, EACH_AXIS, 1, 12},
    {"channels", OF_NORM(channels), NUMBER, ONCE, 1, 6},
    {"input", OF_NORM(extent), NUMBER, EACH_AXIS, 1, 12},
    {"batch", OF_NORM(batch), NUMBER, ONCE, 1, 5},
};

int cbn_parameter_by_name(const char *name) {
  for (int i = 0; i < COUNT(list); i++)
    if (strcmp(list[i].name, name) == 0) return i;
  return -1;
}

bool cbn_problem_validate(const cbn_generated *p, cbn_violation *violation) {
  return cbn_generated_is_conv(p->kind) ? cbn_conv_validate(&p->conv, violation)
                                        : cbn_batchnorm_validate(&p->batchnorm, violation);
}

int32_t cbn_problem_extents(const cbn_generated *p, int role, int64_t extent[CBN_MAX_RANK]) {
  const bool conv = cbn_generated_is_conv(p->kind);
  const cbn_call call = {.operator_kind = conv ? CBN_OPERATOR_CONV : CBN_OPERATOR_BATCHNORM,
                         .conv = conv ? &p->conv : NULL,
                         .batchnorm = conv ? NULL : &p->batchnorm};
  return cbn_call_extents(&call, role, extent);
}

/* Channels are those of a group, where there are groups. */
static int64_t channels_of(const cbn_generated *p, int which) {
  return list[which].field == CHANNELS && p->valid ? p->conv.groups : 1;
}

static size_t offset_of(cbn_parameter parameter) {
  const size_t each = list[parameter.which].repeat == EACH_STEP ? sizeof(cbn_generated_step) : sizeof(int64_t);
  return list[parameter.which].offset + (size_t)parameter.index * each;
}

double cbn_parameter_get(const cbn_generated *p, cbn_parameter parameter) {
  const void *at = (const char *)p + offset_of(parameter);
  switch (list[parameter.which].field) {
  case FLAG: return *(const bool *)at;
  case CHOICE: return *(const int32_t *)at;
  case REAL: return *(const double *)at;
  default: return (double)(*(const int64_t *)at / channels_of(p, parameter.which));
  }
}

/* What has to follow: the layer's type that of the activations, the channels the groups. */
static void follow(cbn_generated *p, int64_t groups_before) {
  const bool conv = cbn_generated_is_conv(p->kind);
  if (!cbn_types_go_together(conv ? CBN_OPERATOR_CONV : CBN_OPERATOR_BATCHNORM, p->type, p->layer_type))
    p->layer_type = p->type;
  if (!conv || !p->valid || p->conv.groups == groups_before) return;
  p->conv.in_channels = p->conv.in_channels / groups_before * p->conv.groups;
  p->conv.out_channels = p->conv.out_channels / groups_before * p->conv.groups;
}

void cbn_parameter_set(cbn_generated *p, cbn_parameter parameter, double value) {
  const int64_t groups = p->conv.groups;
  void *at = (char *)p + offset_of(parameter);
  switch (list[parameter.which].field) {
  case FLAG: *(bool *)at = value != 0; break;
  case CHOICE: *(int32_t *)at = (int32_t)value; break;
  case REAL: *(double *)at = value; break;
  default: *(int64_t *)at = (int64_t)value * channels_of(p, parameter.which);
  }
  follow(p, groups);
}

/* Some follow from the kind, and the layer's type from the other. */
double cbn_parameter_plain(const cbn_generated *p, cbn_parameter parameter) {
  const size_t offset = list[parameter.which].offset;
  const bool trains = p->kind == CBN_GENERATED_BATCHNORM_TRAIN || p->kind == CBN_GENERATED_BATCHNORM_PROGRAM;
  if (offset == offsetof(cbn_generated, layer_type)) return p->type;
  if (offset == offsetof(cbn_generated, conv.has_bias)) return p->kind == CBN_GENERATED_CONV_GRAD_BIAS;
  if (offset == offsetof(cbn_generated, batchnorm.update_running)) return trains;
  if (offset == offsetof(cbn_generated, batchnorm.statistics))
    return p->kind == CBN_GENERATED_BATCHNORM_EVAL ? CBN_STATISTICS_RUNNING : CBN_STATISTICS_BATCH;
  return list[parameter.which].plain;
}

int cbn_parameters_of(const cbn_generated *p, cbn_parameter parameters[CBN_PARAMETER_LIMIT]) {
  const enum part part = cbn_generated_is_conv(p->kind) ? CONV : NORM;
  int count = 0;
  for (int which = 0; which < COUNT(list); which++) {
    if (list[which].part != ALL && list[which].part != part) continue;
    const int steps = p->kind == CBN_GENERATED_BATCHNORM_PROGRAM ? p->steps : 0;
    const int repeats = list[which].repeat == EACH_STEP   ? steps
                        : list[which].repeat == EACH_AXIS ? cbn_generated_axes(p)
                                                          : 1;
    for (int i = 0; i < repeats && count < CBN_PARAMETER_LIMIT; i++) {
      const cbn_parameter parameter = {which, i};
      if (cbn_parameter_get(p, parameter) != cbn_parameter_plain(p, parameter)) parameters[count++] = parameter;
    }
  }
  return count;
}

bool cbn_parameter_is_choice(cbn_parameter parameter) {
  return list[parameter.which].field == CHOICE || list[parameter.which].field == FLAG;
}

bool cbn_parameter_is_real(cbn_parameter parameter) { return list[parameter.which].field == REAL; }

bool cbn_parameter_is_of_window(cbn_parameter parameter) {
  return list[parameter.which].part == CONV && list[parameter.which].repeat == EACH_AXIS &&
         list[parameter.which].offset != offsetof(cbn_generated, conv.input);
}

int cbn_parameter_telling(cbn_parameter parameter) { return list[parameter.which].telling; }

const char *cbn_parameter_word(const cbn_generated *p, cbn_parameter parameter) {
  static const char *const modes[] = {"zeros", "reflect", "replicate", "circular"};
  switch (list[parameter.which].offset) {
  case offsetof(cbn_generated, layout): return cbn_layout_name(p->layout);
  case offsetof(cbn_generated, conv.padding_mode):
    return p->conv.padding_mode >= 0 && p->conv.padding_mode < COUNT(modes) ? modes[p->conv.padding_mode]
                                                                            : "padding_mode";
  default: return list[parameter.which].name;
  }
}

void cbn_parameter_print(const cbn_generated *p, cbn_parameter parameter, char *text, size_t size) {
  const char *name = list[parameter.which].name;
  switch (list[parameter.which].repeat) {
  case EACH_AXIS: snprintf(text, size, "%s[%c]", name, cbn_axis_name(cbn_generated_axes(p), parameter.index)); break;
  case EACH_STEP: snprintf(text, size, "%s[%d]", name, parameter.index); break;
  default: snprintf(text, size, "%s", name);
  }
}
