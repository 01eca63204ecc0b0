/* Target call: the bytes as a constructor call, of any framework and of one of them. What is read is written, and reads
 * back to the same layer; its dialect accepts it or refuses it by a rule; a refusal says where and why. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "migration/call_text.h"

enum { ARENA_BYTES = 1 << 24, LONGEST = 1 << 16 };

/* Takes `WORD NUMBER`; false where something else stands there. */
static bool take_place(const char **at, const char *word) {
  const size_t length = strlen(word);
  if (strncmp(*at, word, length) != 0 || !isdigit((unsigned char)(*at)[length])) return false;
  for (*at += length; isdigit((unsigned char)**at);) ++*at;
  return true;
}

/* `column N: words` or `line L, column N: words`, in one line. */
static void check_message(const char *text) {
  const char *at = text;
  const bool has_line = take_place(&at, "line ");
  CBN_DEMAND(take_place(&at, has_line ? ", column " : "column "), "a message without a place: %s", text);
  CBN_DEMAND(strncmp(at, ": ", 2) == 0 && at[2] > ' ', "a message without words: %s", text);
  for (const char *c = text; *c != '\0'; c++)
    CBN_DEMAND((unsigned char)*c >= ' ' && *c != 0x7F, "a message with a control character: %s", text);
}

static bool is_always_written(const cbn_layer *layer, int role) {
  return role == CBN_ROLE_INPUT || (role == CBN_ROLE_WEIGHT && layer->operator->kind == CBN_OPERATOR_CONV);
}

static bool same_layers(const cbn_layer *a, const cbn_layer *b) {
  static char first[LONGEST], second[LONGEST];
  if (a->dialect != b->dialect || (a->operator) != b->operator) return false;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (!is_always_written(a, role) && a->tensor[role].rank != b->tensor[role].rank) return false;
  cbn_value_print(a->params, first, sizeof first);
  cbn_value_print(b->params, second, sizeof second);
  return strcmp(first, second) == 0;
}

static void check_print(const cbn_layer *layer, cbn_arena *arena) {
  static char text[LONGEST];
  cbn_layer again;
  cbn_error error;
  if (cbn_call_print(layer, false, text, sizeof text) >= sizeof text - 1) return; /* cut */
  CBN_DEMAND(cbn_call_read(text, NULL, arena, &again, &error), "a call that was written is refused: %s: %s", text,
             error.text);
  CBN_DEMAND(same_layers(layer, &again), "a call comes back as another one: %s", text);
}

static void check_plan(const cbn_layer *layer) {
  const int32_t axes = layer->operator->spatial_rank;
  const cbn_situation situation = {
      .batch = 2, .channels = 4, .axes = axes, .extent = {7, axes > 1 ? 8 : 0, axes > 2 ? 9 : 0}};
  cbn_plan plan;
  cbn_rejection rejection;
  if (cbn_layer_plan(layer, &situation, &plan, &rejection)) return;
  CBN_DEMAND(cbn_rule_name((int)rejection.rule) != NULL && rejection.message[0] != '\0', "a rejection by no rule");
}

static void check_call(const char *text, const cbn_dialect *dialect) {
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  cbn_layer layer;
  cbn_error error;
  CBN_DEMAND(arena != NULL, "no memory");
  if (cbn_call_read(text, dialect, arena, &layer, &error)) {
    CBN_DEMAND(layer.dialect != NULL && (layer.operator) != NULL && layer.params != NULL, "a layer of nothing");
    check_print(&layer, arena);
    check_plan(&layer);
  } else {
    check_message(error.text);
  }
  cbn_arena_destroy(arena);
}

void cbn_fuzz_call(const cbn_target *target, const uint8_t *bytes, size_t size) {
  char *text = malloc(size + 1);
  (void)target;
  CBN_DEMAND(text != NULL, "no memory");
  if (size > 0) memcpy(text, bytes, size);
  text[size] = '\0';
  size_t dialects = 0;
  while (cbn_dialects()[dialects] != NULL) dialects++;
  check_call(text, NULL);
  check_call(text, cbn_dialects()[size % dialects]);
  free(text);
}
