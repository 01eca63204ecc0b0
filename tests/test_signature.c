/* tests/test_signature.c - places of wrong elements, drawn by hand, and the line that names a finding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "diagnosis/signature.h"

/* A convolution of one axis with that many channels, groups and batch. */
static cbn_generated conv_of(int kind, int64_t batch, int64_t channels, int64_t groups, int64_t input, int64_t kernel) {
  cbn_generated p;
  cbn_generate(NULL, 0, &p);
  p.kind = (enum cbn_generated_kind)kind;
  p.conv = cbn_conv_make(1);
  p.conv.batch = batch;
  p.conv.in_channels = p.conv.out_channels = channels;
  p.conv.groups = groups;
  p.conv.input[0] = input;
  p.conv.kernel[0] = kernel;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) p.fill[role] = cbn_fill_make(CBN_FILL_ONES);
  return p;
}

/* The place of the elements that `wrong` marks with an x, row-major; spaces are for the eye. */
static enum cbn_place place(const cbn_generated *p, int role, const char *wrong) {
  uint8_t is_wrong[256] = {0};
  cbn_finding f = {.verdict = CBN_VERDICT_MISMATCH, .role = role, .element = -1, .is_wrong = is_wrong};
  f.rank = cbn_generated_is_conv(p->kind) ? cbn_conv_extents(&p->conv, role, f.extent)
                                          : cbn_batchnorm_extents(&p->batchnorm, role, f.extent);
  f.count = cbn_extent_product(f.rank, f.extent);
  int64_t i = 0;
  for (const char *c = wrong; *c != '\0'; c++) {
    if (*c == ' ') continue;
    assert_true(i < f.count);
    is_wrong[i] = *c == 'x';
    if (is_wrong[i] && f.element < 0) f.element = i;
    f.wrong += is_wrong[i++];
  }
  assert_int_equal(i, f.count);
  return cbn_place_of(p, &f);
}

#define PLACE(p, role, wrong, NAME)                                                                                    \
  assert_string_equal(cbn_place_name(place(p, CBN_ROLE_##role, wrong)), cbn_place_name(CBN_PLACE_##NAME))

/* Batch 2, 4 channels in 2 groups, 3 elements. */
static void channels_groups_and_images(void **state) {
  (void)state;
  const cbn_generated p = conv_of(CBN_GENERATED_CONV_FORWARD, 2, 4, 2, 3, 1);
  PLACE(&p, OUTPUT, "xxx xxx xxx xxx  xxx xxx xxx xxx", EVERYWHERE);
  PLACE(&p, OUTPUT, "xxx xxx xxx xxx  .xx xxx xxx x.x", EVERYWHERE);
  PLACE(&p, OUTPUT, "... ... xxx x..  ... ... ... x..", GROUP);
  PLACE(&p, OUTPUT, "... ... ... ...  ..x ... x.. ...", LATER_IMAGES);
  PLACE(&p, OUTPUT, "... x.. ..x ...  x.. .x. ..x xxx", SCATTERED);
  const cbn_generated one = conv_of(CBN_GENERATED_CONV_FORWARD, 2, 4, 1, 3, 1);
  PLACE(&one, OUTPUT, "... .x. ... ...  ... x.. ... ...", CHANNEL);
  PLACE(&one, OUTPUT, "... ... xxx x..  ... ... ... x..", SCATTERED);
}

/* 5 elements, a kernel of 3, padding 1 before and behind: the first output reads before the input, the last behind. */
static void borders_of_outputs(void **state) {
  (void)state;
  cbn_generated p = conv_of(CBN_GENERATED_CONV_FORWARD, 1, 1, 1, 5, 3);
  p.conv.pad_begin[0] = p.conv.pad_end[0] = 1;
  PLACE(&p, OUTPUT, "x....", FIRST_BORDER);
  PLACE(&p, OUTPUT, "....x", LAST_BORDER);
  PLACE(&p, OUTPUT, "x...x", BORDER);
  PLACE(&p, OUTPUT, ".xx..", INTERIOR);
  PLACE(&p, OUTPUT, ".x..x", SCATTERED);
  p.conv.stride[0] = 2; /* reads -1..1, 1..3, 3..5 */
  PLACE(&p, OUTPUT, "..x", LAST_BORDER);
  p.conv.pad_end[0] = 0; /* reads -1..1, 1..3 */
  PLACE(&p, OUTPUT, ".x", INTERIOR);
  p = conv_of(CBN_GENERATED_CONV_FORWARD, 1, 1, 1, 3,
              3); /* x.x.x behind the dilation, without padding one output each */
  p.conv.input_dilation[0] = 2;
  p.conv.pad_end[0] = 1; /* reads 0..2, 1..3, 2..4, 3..5 of 5 */
  PLACE(&p, OUTPUT, "...x", LAST_BORDER);
  PLACE(&p, OUTPUT, "..x.", INTERIOR);
}

/* Without padding the gradient of 5 elements under a kernel of 2: the first is read by output 0 alone, the last by
 * output 3 alone. */
static void borders_of_gradients(void **state) {
  (void)state;
  cbn_generated p = conv_of(CBN_GENERATED_CONV_GRAD_INPUT, 1, 1, 1, 5, 2);
  p.conv.direction = CBN_GRAD_INPUT;
  PLACE(&p, GRAD_INPUT, "x....", FIRST_BORDER);
  PLACE(&p, GRAD_INPUT, "....x", LAST_BORDER);
  PLACE(&p, GRAD_INPUT, ".xxx.", INTERIOR);
  p = conv_of(CBN_GENERATED_TRANSPOSED_FORWARD, 1, 1, 1, 3, 2); /* 4 outputs: 0 from input 0, 3 from input 2 */
  p.conv.transposed = 1;
  PLACE(&p, OUTPUT, "x...", FIRST_BORDER);
  PLACE(&p, OUTPUT, "...x", LAST_BORDER);
  p.kind = CBN_GENERATED_TRANSPOSED_GRAD_INPUT; /* each input meets two of the 4 outputs */
  p.conv.direction = CBN_GRAD_INPUT;
  p.conv.pad_begin[0] = 1; /* 3 outputs: input 0 meets -1 and 0 */
  PLACE(&p, GRAD_INPUT, "x..", FIRST_BORDER);
  PLACE(&p, GRAD_INPUT, ".x.", INTERIOR);
}

/* (out, in/groups, kernel): 2 filters of 1 channel in 2 groups, 3 taps. */
static void taps_of_weights(void **state) {
  (void)state;
  cbn_generated p = conv_of(CBN_GENERATED_CONV_GRAD_WEIGHT, 1, 2, 2, 5, 3);
  p.conv.direction = CBN_GRAD_WEIGHT;
  PLACE(&p, GRAD_WEIGHT, "..x ..x", TAP);
  PLACE(&p, GRAD_WEIGHT, "... xx.", GROUP);
  PLACE(&p, GRAD_WEIGHT, ".x. x..", SCATTERED);
}

/* 10 of 8 + 2. */
static void tails(void **state) {
  (void)state;
  const cbn_generated row = conv_of(CBN_GENERATED_CONV_FORWARD, 2, 1, 1, 10, 1);
  PLACE(&row, OUTPUT, "........x. .........x", ROW_TAIL);
  PLACE(&row, OUTPUT, ".......xx. ..........", SCATTERED);
  const cbn_generated channels = conv_of(CBN_GENERATED_CONV_FORWARD, 1, 10, 1, 2, 1);
  PLACE(&channels, OUTPUT, ".. .. .. .. .. .. .. .. xx x.", CHANNEL_TAIL);
  const cbn_generated whole = conv_of(CBN_GENERATED_CONV_FORWARD, 1, 8, 1, 2, 1);
  PLACE(&whole, OUTPUT, ".. .. .. .. .. .. x. x.", SCATTERED);
}

static void places_of_vectors(void **state) {
  (void)state;
  cbn_generated p = conv_of(CBN_GENERATED_BATCHNORM_TRAIN, 1, 1, 1, 1, 1);
  p.batchnorm = cbn_batchnorm_make(0);
  p.batchnorm.batch = 2;
  p.batchnorm.channels = 9;
  PLACE(&p, RUNNING_VAR, "........x", CHANNEL_TAIL);
  PLACE(&p, RUNNING_VAR, "x........", CHANNEL);
  PLACE(&p, RUNNING_VAR, "xx.......", SCATTERED);
  PLACE(&p, OUTPUT, "......... .xx......", LATER_IMAGES);
}

static void other_findings_have_no_place(void **state) {
  (void)state;
  const cbn_generated p = conv_of(CBN_GENERATED_CONV_FORWARD, 1, 1, 1, 1, 1);
  const cbn_finding crash = {.verdict = CBN_VERDICT_CRASH, .role = -1};
  assert_int_equal(cbn_place_of(&p, &crash), CBN_PLACE_NOWHERE);
}

static void the_line(void **state) {
  (void)state;
  cbn_signature signature, other;
  cbn_generated p = conv_of(CBN_GENERATED_CONV_GRAD_WEIGHT, 1, 1, 1, 1, 3);
  uint8_t is_wrong[3] = {0, 0, 1};
  cbn_finding f = {.verdict = CBN_VERDICT_MISMATCH,
                   .role = CBN_ROLE_GRAD_WEIGHT,
                   .element = 2,
                   .wrong = 1,
                   .count = 3,
                   .rank = 3,
                   .extent = {1, 1, 3},
                   .is_wrong = is_wrong};
  p.conv.direction = CBN_GRAD_WEIGHT;
  p.conv.stride[0] = 2;
  p.conv.dilation[0] = 3;
  cbn_signature_make(&p, "fast", &f, &signature);
  assert_string_equal(signature.text,
                      "conv_grad_weight fast/reference mismatch f32 grad_weight tap dilation stride kernel");
  assert_string_equal(signature.id, "958cefcfa540677a"); /* FNV-1a of it, 64 bits, computed elsewhere */
  p.conv.stride[0] = 5;                                  /* a value counts for nothing, a parameter does */
  cbn_signature_make(&p, "fast", &f, &other);
  assert_string_equal(other.id, signature.id);
  p.conv.pad_end[0] = 1;
  cbn_signature_make(&p, "fast", &f, &other);
  assert_string_not_equal(other.id, signature.id);
  const size_t sort = cbn_signature_sort_length(signature.text);
  assert_int_equal(sort, strlen("conv_grad_weight fast/reference mismatch f32 grad_weight tap"));
  assert_int_equal(cbn_signature_sort_length(other.text), sort);
  assert_memory_equal(other.text, signature.text, sort);
}

static void the_line_of_a_crash(void **state) {
  (void)state;
  cbn_signature signature;
  cbn_generated p = conv_of(CBN_GENERATED_CONV_FORWARD, 2, 1, 1, 3, 1);
  const cbn_finding f = {.verdict = CBN_VERDICT_CRASH, .role = CBN_ROLE_INPUT};
  p.conv = cbn_conv_make(2);
  p.conv.batch = p.conv.in_channels = p.conv.out_channels = p.conv.input[0] = 1;
  p.conv.input[1] = 3;
  p.conv.padding_mode = CBN_PAD_REPLICATE;
  p.conv.pad_begin[0] = p.conv.pad_begin[1] = 1;
  p.layout = CBN_CHANNELS_LAST;
  p.type = p.layer_type = CBN_F16;
  p.fill[CBN_ROLE_INPUT] = cbn_fill_make(CBN_FILL_SPECIAL);
  cbn_signature_make(&p, "mine", &f, &signature);
  assert_string_equal(
      signature.text,
      "conv_forward mine/reference crash f16 - nowhere rank channels_last replicate pad_begin input data");
}

static void the_line_of_a_near_miss(void **state) {
  (void)state;
  cbn_signature signature;
  cbn_generated p = conv_of(CBN_GENERATED_CONV_FORWARD, 1, 3, 1, 1, 1);
  const cbn_finding f = {.verdict = CBN_VERDICT_ACCEPTED_INVALID, .role = -1};
  p.conv.groups = 0;
  p.conv.in_channels = p.conv.out_channels = 1;
  p.valid = false;
  cbn_signature_make(&p, "fast", &f, &signature);
  assert_string_equal(signature.text, "conv_forward fast/reference accepted-invalid f32 - groups-positive groups");
}

static void every_place_has_words(void **state) {
  (void)state;
  for (enum cbn_place i = 0; i < CBN_PLACES_COUNT; i++) {
    assert_null(strchr(cbn_place_name(i), ' ')); /* a word of the line */
    assert_true(strlen(cbn_place_sentence(i)) > 0);
    for (enum cbn_place j = 0; j < i; j++) assert_string_not_equal(cbn_place_name(i), cbn_place_name(j));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(channels_groups_and_images),
      cmocka_unit_test(borders_of_outputs),
      cmocka_unit_test(borders_of_gradients),
      cmocka_unit_test(taps_of_weights),
      cmocka_unit_test(tails),
      cmocka_unit_test(places_of_vectors),
      cmocka_unit_test(other_findings_have_no_place),
      cmocka_unit_test(the_line),
      cmocka_unit_test(the_line_of_a_crash),
      cmocka_unit_test(the_line_of_a_near_miss),
      cmocka_unit_test(every_place_has_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
