/* Reproducible fills. The generator is Philox4x32-10 (Salmon et al. 2011) as the Random123 library has it: a
 * bijection of (seed, tensor, index), so elements need no order and no state. */
#include <convbn/fill.h>

#include <Random123/philox.h>
#include <math.h>
#include <string.h>

static const char *const names[] = {
#define FILL_NAME(NAME, name) #name,
    CBN_FILLS(FILL_NAME)
#undef FILL_NAME
};

const char *cbn_fill_name(int kind) { return kind >= 0 && kind < CBN_FILL_COUNT ? names[kind] : NULL; }

int cbn_fill_by_name(const char *name) {
  for (int kind = 0; kind < CBN_FILL_COUNT; kind++)
    if (strcmp(names[kind], name) == 0) return kind;
  return -1;
}

bool cbn_fill_is_random(int kind) {
  return kind == CBN_FILL_INTEGERS || kind == CBN_FILL_EXACT || kind == CBN_FILL_NORMAL || kind == CBN_FILL_SPECIAL;
}

cbn_fill cbn_fill_make(enum cbn_fill_kind kind) {
  return (cbn_fill){
      .kind = (int32_t)kind, .low = -4, .high = 4, .bits = 3, .density = 1, .scale = 1, .step = 1, .value = 1};
}

enum { LANES = 32, BLOCK = 256 }; /* elements drawn side by side, and written at a time */

/* At most BLOCK elements of a tensor, and the first two words of each. */
typedef struct block {
  int64_t first, count;
  uint32_t r0[BLOCK], r1[BLOCK];
} block;

/* One element's words, as the library draws them. */
static void draw(uint64_t seed, int role, uint64_t i, uint32_t *r0, uint32_t *r1) {
  const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
  const philox4x32_ctr_t counter = {{(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)role, 0}};
  const philox4x32_ctr_t words = philox4x32(counter, key);
  *r0 = words.v[0];
  *r1 = words.v[1];
}

/* The same for LANES elements from `first` on, in a form that compilers turn into instructions on several of them. */
static void draw_lanes(uint64_t seed, int role, uint64_t first, uint32_t *restrict r0, uint32_t *restrict r1) {
  uint32_t r2[LANES], r3[LANES];
  uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
  for (int l = 0; l < LANES; l++) {
    const uint64_t i = first + (uint64_t)l;
    r0[l] = (uint32_t)i;
    r1[l] = (uint32_t)(i >> 32);
    r2[l] = (uint32_t)role;
    r3[l] = 0;
  }
  for (int round = 0; round < 10; round++) {
    for (int l = 0; l < LANES; l++) {
      const uint64_t a = (uint64_t)r0[l] * PHILOX_M4x32_0, b = (uint64_t)r2[l] * PHILOX_M4x32_1;
      r0[l] = (uint32_t)(b >> 32) ^ r1[l] ^ key0;
      r1[l] = (uint32_t)b;
      r2[l] = (uint32_t)(a >> 32) ^ r3[l] ^ key1;
      r3[l] = (uint32_t)a;
    }
    key0 += PHILOX_W32_0;
    key1 += PHILOX_W32_1;
  }
}

static void draw_block(uint64_t seed, int role, block *b) {
  int64_t i = 0;
  for (; i + LANES <= b->count; i += LANES) draw_lanes(seed, role, (uint64_t)(b->first + i), b->r0 + i, b->r1 + i);
  for (; i < b->count; i++) draw(seed, role, (uint64_t)(b->first + i), b->r0 + i, b->r1 + i);
}

/* floor(word * span / 2^32) for 1 <= span <= 2^32: uniform in 0 to span - 1. */
static int64_t below(uint32_t word, uint64_t span) { return (int64_t)((word * span) >> 32); }

static double integer_between(uint32_t word, int64_t low, int64_t high) {
  return (double)(low + below(word, (uint64_t)(high - low) + 1));
}

static double special(uint32_t word) {
  static const double values[] = {0,         -0.0,      1,           -1,     0x1p-149, -0x1p-149, 0x1p-126 - 0x1p-149,
                                  0x1p-126,  -0x1p-126, 1 + 0x1p-23, 0x1p24, 0x1p127,  -0x1p127,  INFINITY,
                                  -INFINITY, NAN};
  return values[below(word, sizeof values / sizeof values[0])];
}

static void fill_integers(const cbn_fill *fill, const block *b, double *values) {
  for (int64_t i = 0; i < b->count; i++) values[i] = integer_between(b->r0[i], fill->low, fill->high);
}

static void fill_exact(const cbn_fill *fill, const block *b, double *values) {
  const int64_t most = ((int64_t)1 << fill->bits) - 1;
  const double unit = ldexp(1, fill->shift), threshold = fill->density * 0x1p32;
  for (int64_t i = 0; i < b->count; i++)
    values[i] = (double)b->r1[i] >= threshold ? 0 : integer_between(b->r0[i], -most, most) * unit;
}

static void fill_normal(const cbn_fill *fill, const block *b, double *values) {
  for (int64_t i = 0; i < b->count; i++) {
    const uint32_t sum = (b->r0[i] & 0xffff) + (b->r0[i] >> 16) + (b->r1[i] & 0xffff) + (b->r1[i] >> 16);
    /* The sum of four has mean 131070 and standard deviation 2^16/sqrt(3); the factor is sqrt(3)/2 in units of 2^-15. */
    values[i] = fill->mean + fill->scale * (((double)sum - 131070) * (0.8660254037844386 / 32768));
  }
}

static void fill_block(const cbn_fill *fill, int role, block *b, double *values) {
  if (cbn_fill_is_random(fill->kind)) draw_block(fill->seed, role, b);
  switch (fill->kind) {
  case CBN_FILL_INTEGERS: fill_integers(fill, b, values); break;
  case CBN_FILL_EXACT: fill_exact(fill, b, values); break;
  case CBN_FILL_NORMAL: fill_normal(fill, b, values); break;
  case CBN_FILL_SPECIAL:
    for (int64_t i = 0; i < b->count; i++) values[i] = special(b->r0[i]);
    break;
  case CBN_FILL_IMPULSE:
    for (int64_t i = 0; i < b->count; i++) values[i] = b->first + i == fill->position ? fill->value : 0;
    break;
  case CBN_FILL_RAMP:
    for (int64_t i = 0; i < b->count; i++) values[i] = fill->start + fill->step * (double)(b->first + i);
    break;
  default:
    for (int64_t i = 0; i < b->count; i++) values[i] = 1;
  }
}

double cbn_fill_element(const cbn_fill *fill, int role, int64_t index) {
  block b;
  double value;
  b.first = index;
  b.count = 1;
  fill_block(fill, role, &b, &value);
  return value;
}

void cbn_fill_tensor(const cbn_fill *fill, int role, const cbn_tensor *tensor) {
  block b;
  double values[BLOCK];
  const int64_t count = cbn_tensor_count(tensor);
  for (b.first = 0; b.first < count; b.first += BLOCK) {
    b.count = count - b.first < BLOCK ? count - b.first : BLOCK;
    fill_block(fill, role, &b, values);
    cbn_tensor_write(tensor, b.first, b.count, values);
  }
}
