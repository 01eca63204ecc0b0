/* The generator: what bytes become, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/rules.h"
#include "generator/generator.h"

static uint64_t random_state = 1;

static uint8_t random_byte(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint8_t)(random_state >> 56);
}

static void random_genome(uint8_t bytes[CBN_GENOME_BYTES]) {
  for (int i = 0; i < CBN_GENOME_BYTES; i++) bytes[i] = random_byte();
}

static bool is_valid(const cbn_generated *p) {
  cbn_violation v;
  return cbn_generated_is_conv(p->kind) ? cbn_conv_validate(&p->conv, &v) : cbn_batchnorm_validate(&p->batchnorm, &v);
}

/* At least nineteen in twenty are valid; a near miss, and only that, is refused by validation. */
static void most_bytes_are_valid_problems(void **state) {
  (void)state;
  enum { COUNT = 200000 };
  int valid = 0;
  for (int i = 0; i < COUNT; i++) {
    uint8_t bytes[CBN_GENOME_BYTES];
    cbn_generated p;
    random_genome(bytes);
    cbn_generate(bytes, sizeof bytes, &p);
    if (is_valid(&p) != p.valid)
      fail_msg("kind %s says it is %svalid", cbn_generated_kind_name((int)p.kind), p.valid ? "" : "not ");
    valid += p.valid;
  }
  assert_true(valid >= COUNT / 100 * 95 && valid < COUNT);
}

/* Work is bounded, and what random bytes make is worth while: no kind of problem crowds out the others. */
static void problems_are_small_and_varied(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  int convs = 0, single_tap = 0, strided = 0, dilated = 0, grouped = 0, empty = 0, large = 0,
      kinds[CBN_GENERATED_KIND_COUNT] = {0};
  int axes[CBN_MAX_SPATIAL + 1] = {0};
  double work = 0;
  for (int i = 0; i < COUNT; i++) {
    uint8_t bytes[CBN_GENOME_BYTES];
    cbn_generated p;
    random_genome(bytes);
    cbn_generate(bytes, sizeof bytes, &p);
    kinds[p.kind]++;
    if (!p.valid) continue;
    const bool conv = cbn_generated_is_conv(p.kind);
    const int64_t size = conv ? cbn_conv_work(&p.conv) : cbn_batchnorm_work(&p.batchnorm);
    const int64_t most = conv ? CBN_GENERATED_WORK : CBN_GENERATED_ELEMENTS;
    assert_true(size <= most * CBN_GENERATED_LARGE);
    large += size > most;
    if (!conv) continue;
    bool stride = false, dilation = false;
    for (int a = 0; a < p.conv.spatial_rank; a++) {
      stride = stride || p.conv.stride[a] > 1;
      dilation = dilation || p.conv.dilation[a] > 1;
    }
    convs++;
    axes[p.conv.spatial_rank]++;
    single_tap += cbn_extent_product(p.conv.spatial_rank, p.conv.kernel) == 1;
    strided += stride;
    dilated += dilation;
    grouped += p.conv.groups > 1;
    empty += cbn_conv_work(&p.conv) == 0;
    work += (double)cbn_conv_work(&p.conv);
  }
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++)
    assert_true(kinds[kind] > COUNT / CBN_GENERATED_KIND_COUNT / 2);
  for (int rank = 1; rank <= CBN_MAX_SPATIAL; rank++) assert_true(axes[rank] > convs / 8);
  assert_true(large > COUNT / 2000 && large <= COUNT / 256 * 2);
  assert_true(single_tap < convs / 10 && empty < convs / 5);
  assert_true(strided > convs / 3 && strided < convs * 9 / 10);
  assert_true(dilated > convs / 3 && dilated < convs * 9 / 10);
  assert_true(grouped > convs / 4 && grouped < convs * 3 / 4);
  assert_true(work / convs > 1000 && work / convs < 3000);
}

/* The same bytes are the same problem; none is the smallest; more than there are genes count for nothing. */
static void the_bytes_alone_decide(void **state) {
  (void)state;
  uint8_t bytes[2 * CBN_GENOME_BYTES] = {0};
  cbn_generated none, p, q;
  cbn_generate(NULL, 0, &none);
  assert_int_equal(none.kind, CBN_GENERATED_CONV_FORWARD);
  assert_true(none.valid && none.exact);
  assert_int_equal(cbn_conv_work(&none.conv), 1);
  cbn_generate(bytes, CBN_GENOME_BYTES, &p);
  assert_true(cbn_generated_equal(&none, &p));
  for (int i = 0; i < 1000; i++) {
    random_genome(bytes);
    random_genome(bytes + CBN_GENOME_BYTES);
    const size_t size = random_byte() % (CBN_GENOME_BYTES + 1);
    cbn_generate(bytes, CBN_GENOME_BYTES, &p);
    cbn_generate(bytes, sizeof bytes, &q);
    assert_true(cbn_generated_equal(&p, &q));
    cbn_generate(bytes, size, &p);
    memset(bytes + size, 0, sizeof bytes - size);
    cbn_generate(bytes, CBN_GENOME_BYTES, &q);
    assert_true(cbn_generated_equal(&p, &q));
  }
}

/* A byte counts modulo the number of its gene's values. */
static void a_gene_has_as_many_values_as_it_says(void **state) {
  (void)state;
  for (int i = 0; i < 2000; i++) {
    uint8_t bytes[CBN_GENOME_BYTES];
    cbn_generated p, q;
    random_genome(bytes);
    cbn_generate(bytes, sizeof bytes, &p);
    for (int gene = 0; gene < CBN_GENE_COUNT; gene++) bytes[gene] = (uint8_t)(bytes[gene] % cbn_gene_values(gene));
    cbn_generate(bytes, sizeof bytes, &q);
    assert_true(cbn_generated_equal(&p, &q));
  }
}

/* Every problem has a genome that gives it back, near misses of every sort included. */
static void problems_have_their_bytes(void **state) {
  (void)state;
  enum { COUNT = 6000 };
  for (int i = 0; i < COUNT; i++) {
    uint8_t bytes[CBN_GENOME_BYTES], back[CBN_GENOME_BYTES];
    const char *parameter = NULL;
    cbn_generated p, q;
    random_genome(bytes);
    if (i % 2 == 0) bytes[CBN_GENE_NEAR_MISS] = CBN_NEAR_MISS_FIRST;
    if (i % 3 == 0) bytes[CBN_GENE_SIZE] = CBN_SIZE_LARGE;
    cbn_generate(bytes, sizeof bytes, &p);
    assert_true(i % 2 == 1 || !p.valid);
    if (!cbn_genome_of(&p, back, &parameter)) fail_msg("problem %d has no bytes: %s", i, parameter);
    cbn_generate(back, sizeof back, &q);
    assert_true(cbn_generated_equal(&p, &q));
  }
}

/* Every rule that validation has is broken, by each kind that can. */
static void near_misses_of_every_rule(void **state) {
  (void)state;
  static const struct {
    const char *rule;
    int kinds;
  } rules[] = {{"missing-parameter", CBN_KINDS_ALL},
               {"parameter-type", CBN_KINDS_ALL},
               {"parameter-length", CBN_KINDS_ALL},
               {"spatial-rank", CBN_KINDS_ALL},
               {"extent-non-negative", CBN_KINDS_ALL},
               {"extent-overflow", CBN_KINDS_ALL},
               {"groups-positive", CBN_KINDS_CONV},
               {"groups-divide-in-channels", CBN_KINDS_CONV},
               {"groups-divide-out-channels", CBN_KINDS_CONV},
               {"kernel-positive", CBN_KINDS_CONV},
               {"stride-positive", CBN_KINDS_CONV},
               {"dilation-positive", CBN_KINDS_CONV},
               {"input-dilation-positive", CBN_KINDS_CONV},
               {"padding-mode-unknown", CBN_KINDS_CONV},
               {"output-padding-range", CBN_KINDS_CONV},
               {"padding-mode-needs-plain-input", CBN_KINDS_CONV},
               {"reflect-pad-less-than-input", CBN_KINDS_PLAIN},
               {"circular-pad-at-most-input", CBN_KINDS_PLAIN},
               {"replicate-needs-input", CBN_KINDS_PLAIN},
               {"input-dilation-forward-only", CBN_KINDS_TRANSPOSED},
               {"backward-updates-nothing", CBN_KINDS_GRAD}};
  int broken[CBN_RULE_COUNT] = {0}, expected[CBN_RULE_COUNT] = {0};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) expected[cbn_rule_by_name(rules[i].rule)] = rules[i].kinds;
  for (int i = 0; i < CBN_GENERATED_KIND_COUNT * 3200; i++) {
    uint8_t bytes[CBN_GENOME_BYTES];
    cbn_generated p;
    cbn_violation v;
    random_genome(bytes);
    bytes[CBN_GENE_KIND] = (uint8_t)(i % CBN_GENERATED_KIND_COUNT);
    bytes[CBN_GENE_MISS] = (uint8_t)(i / CBN_GENERATED_KIND_COUNT);
    bytes[CBN_GENE_NEAR_MISS] = 255;
    cbn_generate(bytes, sizeof bytes, &p);
    assert_false(p.valid || (cbn_generated_is_conv(p.kind) ? cbn_conv_validate(&p.conv, &v)
                                                           : cbn_batchnorm_validate(&p.batchnorm, &v)));
    broken[v.rule] |= 1 << (int)p.kind;
  }
  for (int rule = 0; rule < CBN_RULE_COUNT; rule++)
    if (broken[rule] != expected[rule])
      fail_msg("%s: missed by kinds %x, not %x", cbn_rule_name(rule), (unsigned)broken[rule], (unsigned)expected[rule]);
}

/* Of the calls in training one in four normalises by the running statistics; they are updated then. */
static void some_layers_are_frozen(void **state) {
  (void)state;
  int frozen = 0, trained = 0;
  for (int i = 0; i < 40000; i++) {
    uint8_t bytes[CBN_GENOME_BYTES];
    cbn_generated p;
    random_genome(bytes);
    bytes[CBN_GENE_KIND] = i % 2 ? CBN_GENERATED_BATCHNORM_TRAIN : CBN_GENERATED_BATCHNORM_PROGRAM;
    bytes[CBN_GENE_NEAR_MISS] = 0;
    cbn_generate(bytes, sizeof bytes, &p);
    trained++;
    if (p.batchnorm.statistics == CBN_STATISTICS_BATCH) continue;
    assert_int_equal(p.batchnorm.update_running, 1);
    assert_true(cbn_generated_trains(&p));
    frozen++;
  }
  assert_true(frozen > trained / 5 && frozen < trained / 3);
}

/* What no gene gives is named. */
static void other_problems_have_none(void **state) {
  (void)state;
  cbn_generated p;
  uint8_t bytes[CBN_GENOME_BYTES];
  const char *parameter;
  cbn_generate(NULL, 0, &p);
  p.conv.stride[1] = 100;
  assert_false(cbn_genome_of(&p, bytes, &parameter));
  assert_string_equal(parameter, "stride");
  cbn_generate(NULL, 0, &p);
  p.valid = false;
  p.conv.groups = 3;
  p.conv.in_channels = 2 * 3 + 2; /* near misses have one channel too many */
  p.conv.out_channels = 3;
  assert_false(cbn_genome_of(&p, bytes, &parameter));
  assert_string_equal(parameter, "in_channels");
  cbn_generate(NULL, 0, &p);
  p.fill[CBN_ROLE_WEIGHT].low = -17;
  assert_false(cbn_genome_of(&p, bytes, &parameter));
  assert_string_equal(parameter, "weight");
}

/* A number stands for itself where nothing has to fit; the least value is the answer. */
static void numbers_have_their_values(void **state) {
  (void)state;
  for (int kernel = 1; kernel <= 11; kernel++) {
    uint8_t bytes[CBN_GENOME_BYTES] = {[CBN_GENE_NEAR_MISS] = CBN_NEAR_MISS_MAY_BE_EMPTY};
    cbn_generated p;
    bytes[CBN_GENE_KERNEL_W] = (uint8_t)cbn_gene_value_of(CBN_GENE_KERNEL_W, kernel);
    cbn_generate(bytes, sizeof bytes, &p);
    assert_int_equal(p.conv.kernel[1], kernel);
  }
  assert_int_equal(cbn_gene_value_of(CBN_GENE_KERNEL_W, 12), -1);
  assert_int_equal(cbn_gene_value_of(CBN_GENE_PAD_END_H, 0), 0);
  assert_int_equal(cbn_gene_value_of(CBN_GENE_BATCH, -1), -1);
  assert_int_equal(cbn_gene_value_of(CBN_GENE_KIND, 0), -1);
}

static void names(void **state) {
  (void)state;
  for (int kind = 0; kind < CBN_GENERATED_KIND_COUNT; kind++)
    assert_int_equal(cbn_generated_kind_by_name(cbn_generated_kind_name(kind)), kind);
  assert_int_equal(cbn_generated_kind_by_name("conv"), -1);
  assert_null(cbn_generated_kind_name(CBN_GENERATED_KIND_COUNT));
  assert_string_equal(cbn_gene_name(CBN_GENE_PAD_END_W), "pad_end_w");
  assert_null(cbn_gene_name(CBN_GENE_COUNT));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(most_bytes_are_valid_problems), cmocka_unit_test(problems_are_small_and_varied),
      cmocka_unit_test(the_bytes_alone_decide),        cmocka_unit_test(a_gene_has_as_many_values_as_it_says),
      cmocka_unit_test(problems_have_their_bytes),     cmocka_unit_test(near_misses_of_every_rule),
      cmocka_unit_test(some_layers_are_frozen),        cmocka_unit_test(other_problems_have_none),
      cmocka_unit_test(numbers_have_their_values),     cmocka_unit_test(names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
