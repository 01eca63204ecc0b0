/* Witnesses: those that are known from the frameworks' measured behaviour (docs/framework-rules.md), none where layers are the
 * same, and one for every parameter that is changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "migration/call_text.h"
#include "migration/differ.h"
#include "migration/framework.h"

enum { ARENA_BYTES = 1 << 28 };

static cbn_layer read(const char *text, cbn_arena *arena) {
  cbn_layer layer;
  cbn_error error;
  if (!cbn_call_read(text, NULL, arena, &layer, &error)) fail_msg("%s: %s", text, error.text);
  return layer;
}

/* The first difference of two calls: its sentence, "" for none. */
static void check_calls(const char *a, const char *b, const char *sentence) {
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  const cbn_layer of_a = read(a, arena), of_b = read(b, arena);
  cbn_search search = {.partings = strstr(sentence, "refuses") != NULL ? CBN_PART_ANYHOW : CBN_PART_RESULTS};
  cbn_witness witness;
  const bool differs = cbn_differ_layers(&of_a, &of_b, &search, &witness);
  if (differs != (sentence[0] != '\0')) fail_msg("%s, %s: %s", a, b, differs ? witness.sentence : "no difference");
  if (differs && strstr(witness.sentence, sentence) == NULL) fail_msg("%s, %s: %s", a, b, witness.sentence);
  assert_true(search.situations > 0);
  if (differs) cbn_witness_release(&witness);
  cbn_arena_destroy(arena);
}

/* Numbers by hand: the kernel is 1, 10, 100, 1000, the input 1, 2, 3, ..., a bias 5. */
static void test_calls(void **state) {
  (void)state;
  check_calls("torch.nn.Conv2d(1, 1, 1)", "mindspore.nn.Conv2d(1, 1, 1)", "is 6 in pytorch and 1 in mindspore");
  check_calls("torch.nn.Conv2d(1, 1, 1)", "mindspore.nn.Conv2d(1, 1, 1, has_bias=True)", "");
  check_calls("torch.nn.Conv2d(1, 1, 1)", "mindspore.nn.Conv2d(1, 1, 1, has_bias=True)",
              "mindspore refuses"); /* (C, H, W) */
  /* one element, one zero behind it on each axis: 1 * 1; without padding the kernel is too large */
  check_calls("torch.nn.Conv2d(1, 1, 2, bias=False)", "mindspore.nn.Conv2d(1, 1, 2)", "pytorch refuses");
  /* same, one stride: both put the extra zero behind */
  check_calls("torch.nn.Conv2d(1, 1, 2, padding='same', bias=False)", "mindspore.nn.Conv2d(1, 1, 2)", "");
  check_calls("torch.nn.Conv1d(1, 1, 4, padding='same', bias=False)", "mindspore.nn.Conv1d(1, 1, 4)", "");
  /* stride 2: an even extent has its only zero behind, a padding of 1 on both sides does not; an odd one agrees. */
  check_calls("torch.nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False)", "mindspore.nn.Conv2d(1, 1, 3, stride=2)",
              "in pytorch and");
  /* kernels and strides beyond the extents that are always asked: ceil(14/13) = 2 windows against floor(11/13)+1 = 1 */
  check_calls("torch.nn.Conv1d(1, 1, 15)", "torch.nn.Conv1d(1, 1, 15, stride=2)", "shape");
  check_calls("torch.nn.Conv1d(1, 1, 3, stride=13, bias=False)", "mindspore.nn.Conv1d(1, 1, 3, stride=13)", "output");
  /* reflection is not zeros; an extent of 1 cannot be reflected */
  check_calls("torch.nn.Conv1d(1, 1, 3, padding=1, padding_mode='circular')", "torch.nn.Conv1d(1, 1, 3, padding=1)",
              "in the first and");
  check_calls("torch.nn.BatchNorm2d(1)", "mindspore.nn.BatchNorm2d(1)", "pytorch refuses"); /* one value a channel */
  check_calls("torch.nn.BatchNorm2d(1, momentum=0.9)", "torch.nn.BatchNorm2d(1)", "running_mean(0) is");
  check_calls("torch.nn.BatchNorm2d(1, momentum=1.0)", "torch.nn.BatchNorm2d(1, momentum=None)", "running_mean(0) is");
  check_calls("torch.nn.BatchNorm2d(1, affine=False)", "torch.nn.BatchNorm2d(1)", "output(0, 0, 0, 0) is");
}

/* The smallest witness under one parameter's meaning; `words` of the second's call, "" where there is none. */
static void check_operators(const char *a, const char *of_a, const char *b, const char *of_b, enum cbn_meaning meaning,
                            const char *words) {
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  const cbn_dialect *dialect_a = cbn_dialect_by_name(a), *dialect_b = cbn_dialect_by_name(b);
  const cbn_dialect_operator *operator_a = cbn_dialect_find(dialect_a, of_a),
                             *operator_b = cbn_dialect_find(dialect_b, of_b);
  cbn_search search = {.partings = CBN_PART_RESULTS, .first = true};
  cbn_witness witness[CBN_PARTINGS];
  char call[1024] = "";
  cbn_starts *starts_a = cbn_starts_create(dialect_a, operator_a, operator_b->spatial_rank, 0, 2, arena),
             *starts_b = cbn_starts_create(dialect_b, operator_b, operator_b->spatial_rank, 0, 2, arena);
  const unsigned found = cbn_differ_operators(starts_a, starts_b, meaning, &search, witness);
  cbn_witness *w = &witness[found >> CBN_PART_SHAPES & 1 ? CBN_PART_SHAPES : CBN_PART_VALUES];
  if (found != 0) cbn_call_print(&w->b, false, call, sizeof call);
  if ((found != 0) != (words[0] != '\0') || strstr(call, words) == NULL)
    fail_msg("%s.%s, %s.%s by %s: %s %s", a, of_a, b, of_b, cbn_meaning_name(meaning), call,
             found != 0 ? w->sentence : "no difference");
  if (found != 0) {
    cbn_witness again;
    bool failed;
    assert_true(cbn_ask_both(&w->a, &w->b, &w->at, CBN_PART_RESULTS, &again, &failed)); /* it really differs */
    assert_string_equal(again.sentence, w->sentence);
    cbn_witness_release(&again);
    cbn_witness_release(w);
  }
  cbn_arena_destroy(arena);
}

static void test_operators(void **state) {
  (void)state;
  check_operators("pytorch", "nn.Conv2d", "mindspore", "nn.Conv2d", CBN_MEANING_BIAS, "Conv2d(1, 1, 1");
  check_operators("pytorch", "nn.Conv2d", "mindspore", "nn.Conv2d", CBN_MEANING_GROUPS, "");
  check_operators("pytorch", "nn.Conv1d", "mindspore", "nn.Conv1d", CBN_MEANING_STRIDE, "");
  check_operators("pytorch", "nn.BatchNorm2d", "mindspore", "nn.BatchNorm2d", CBN_MEANING_MOMENTUM, "momentum=0.1");
  check_operators("pytorch", "nn.BatchNorm2d", "mindspore", "nn.BatchNorm2d", CBN_MEANING_EPSILON, "");
  check_operators("pytorch", "nn.Conv2d", "pytorch", "nn.Conv2d", CBN_MEANING_COUNT, "");
  check_operators("mindspore", "nn.BatchNorm2d", "mindspore", "nn.BatchNorm2d", CBN_MEANING_COUNT, "");
}

/* A parameter that was changed where it has an effect has a witness, and so has the way back. */
static void test_planted(void **state) {
  static const char *const rows[][2] = {
      {"kernel=3", "kernel=2"},
      {"stride=2", "stride=3"},
      {"dilation=2", "dilation=1"},
      {"pad_begin=1", "pad_begin=0"},
      {"pad_end=1", "pad_end=2"},
      {"input_dilation=1", "input_dilation=2"},
      {"groups=1", "groups=2"},
      {"out_channels=2", "out_channels=4"},
      {"bias=True", "bias=False"},
      {"padding_mode='zeros'", "padding_mode='circular'"},
      {"transposed=False", "transposed=True"},
  };
  static const char *const first[] = {
      "conv(out_channels=2, kernel=3, groups=1, stride=2, dilation=2, pad_begin=1, "
      "pad_end=1, input_dilation=1, transposed=False, padding_mode='zeros', bias=True)",
      "conv(out_channels=2, kernel=3, groups=1, stride=1, dilation=1, pad_begin=1, "
      "pad_end=1, input_dilation=1, transposed=False, padding_mode='zeros', bias=True)"};
  (void)state;
  for (size_t k = 0; k < 2; k++)
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
      const char *at = strstr(first[k], rows[i][0]);
      char changed[512];
      if (at == NULL) continue; /* it has another value there */
      snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - first[k]), first[k], rows[i][1],
               at + strlen(rows[i][0]));
      for (int back = 0; back < 2; back++) {
        cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
        cbn_layer a, b;
        cbn_error error;
        cbn_search search = {.partings = CBN_PART_ANYHOW};
        cbn_witness witness;
        const cbn_dialect *canonical = cbn_dialect_by_name("canonical");
        assert_true(cbn_call_read(back ? changed : first[k], canonical, arena, &a, &error));
        assert_true(cbn_call_read(back ? first[k] : changed, canonical, arena, &b, &error));
        a.tensor[CBN_ROLE_WEIGHT] = b.tensor[CBN_ROLE_WEIGHT] = (cbn_shape){0};
        if (!cbn_differ_layers(&a, &b, &search, &witness)) fail_msg("no witness: %s, %s", first[k], rows[i][1]);
        cbn_witness_release(&witness);
        assert_false(cbn_differ_layers(&a, &a, &search, &witness));
        cbn_arena_destroy(arena);
      }
    }
}

/* Which parameters part two operators in results, and no other: known from the frameworks' documentation and measured
 * behaviour. */
static void test_causes(void **state) {
  static const struct {
    const char *a, *of_a, *b, *of_b;
    enum cbn_meaning causes[4]; /* COUNT at the end */
  } rows[] = {
      {"pytorch",
       "nn.Conv2d",
       "mindspore",
       "nn.Conv2d",
       {CBN_MEANING_PADDING, CBN_MEANING_PADDING_MODE, CBN_MEANING_BIAS, CBN_MEANING_COUNT}},
      {"pytorch", "nn.Conv1d", "pytorch", "nn.functional.conv1d", {CBN_MEANING_PADDING_MODE, CBN_MEANING_COUNT}},
      {"pytorch", "nn.Conv2d", "mindspore", "mint.nn.Conv2d", {CBN_MEANING_COUNT}},
      {"pytorch",
       "nn.BatchNorm2d",
       "mindspore",
       "nn.BatchNorm2d",
       {CBN_MEANING_MOMENTUM, CBN_MEANING_STATISTICS, CBN_MEANING_COUNT}},
      {"keras", "layers.Conv2D", "flax", "linen.Conv", {CBN_MEANING_PADDING, CBN_MEANING_COUNT}},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
    const cbn_dialect *a = cbn_dialect_by_name(rows[i].a), *b = cbn_dialect_by_name(rows[i].b);
    const cbn_dialect_operator *of_a = cbn_dialect_find(a, rows[i].of_a), *of_b = cbn_dialect_find(b, rows[i].of_b);
    const int32_t axes = of_a->spatial_rank < of_b->spatial_rank ? of_a->spatial_rank : of_b->spatial_rank;
    cbn_starts *starts[2] = {cbn_starts_create(a, of_a, axes, 1, 10, arena),
                             cbn_starts_create(b, of_b, axes, 1, 10, arena)};
    for (int m = 0; m < CBN_MEANING_OTHER; m++) {
      cbn_search search = {.partings = CBN_PART_RESULTS};
      cbn_witness witness[CBN_PARTINGS];
      bool expected = false;
      if (m == CBN_MEANING_PADDING_RULE) continue; /* one with the amounts */
      for (int k = 0; rows[i].causes[k] != CBN_MEANING_COUNT; k++) expected = expected || (int)rows[i].causes[k] == m;
      const unsigned found = cbn_differ_operators(starts[0], starts[1], (enum cbn_meaning)m, &search, witness);
      if ((found != 0) != expected)
        fail_msg("%s %s: %s %s", rows[i].of_a, rows[i].of_b, cbn_meaning_name((enum cbn_meaning)m),
                 expected ? "parts them" : "does not part them");
      for (int p = 0; p < CBN_PARTINGS; p++)
        if (found >> p & 1) cbn_witness_release(&witness[p]);
    }
    cbn_arena_destroy(arena);
  }
}

/* Every parameter of every signature means something. */
static void test_meanings(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  for (const cbn_dialect *const *d = cbn_dialects(); *d != NULL; d++)
    for (size_t i = 0; i < (*d)->operator_count; i++) {
      cbn_signature signature;
      const cbn_dialect_operator *operator = &(*d)->operators[i];
      assert_true(cbn_signature_read(operator, arena, &signature));
      for (int k = 0; k < signature.count; k++)
        if (cbn_meaning_of(operator, signature.parameter[k].name) == CBN_MEANING_COUNT)
          fail_msg("%s of %s.%s has no meaning", signature.parameter[k].name, (*d)->name, operator->name);
    }
  cbn_arena_destroy(arena);
}

/* A layer ported by names has the same values under the other's names. */
static void test_port(void **state) {
  static const struct {
    const char *layer, *dialect, *name, *ported;
  } rows[] = {
      {"torch.nn.Conv2d(2, 4, 3, padding='same', groups=2, bias=False)", "mindspore", "nn.Conv2d",
       "mindspore.nn.Conv2d(2, 4, 3, pad_mode='same', group=2, has_bias=False)"},
      {"torch.nn.Conv2d(2, 4, 3, padding=1)", "mindspore", "nn.Conv2d", "mindspore.nn.Conv2d(2, 4, 3, padding=1)"},
      {"mindspore.nn.Conv2d(2, 4, 3, pad_mode='pad', padding=1)", "pytorch", "nn.Conv2d",
       "torch.nn.Conv2d(2, 4, 3, padding=1)"},
      {"torch.nn.BatchNorm2d(3, momentum=0.1)", "mindspore", "nn.BatchNorm2d",
       "mindspore.nn.BatchNorm2d(3, momentum=0.1)"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
    const cbn_layer layer = read(rows[i].layer, arena);
    const cbn_dialect *dialect = cbn_dialect_by_name(rows[i].dialect);
    cbn_layer ported = {0};
    char call[512];
    assert_true(cbn_port_by_name(&layer, dialect, cbn_dialect_find(dialect, rows[i].name), arena, &ported));
    cbn_call_print(&ported, false, call, sizeof call);
    assert_string_equal(call, rows[i].ported);
    cbn_arena_destroy(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls),    cmocka_unit_test(test_operators),
                                     cmocka_unit_test(test_meanings), cmocka_unit_test(test_planted),
                                     cmocka_unit_test(test_causes),   cmocka_unit_test(test_port)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
