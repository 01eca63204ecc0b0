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

static philox4x32_ctr_t draw(uint64_t seed, int role, int64_t index) {
  const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
  const uint64_t i = (uint64_t)index;
  const philox4x32_ctr_t counter = {{(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)role, 0}};
  return philox4x32(counter, key);
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

/* Elements `first` to `first + count - 1` of a tensor. */
typedef struct range {
  int role;
  int64_t first, count;
} range;

static void fill_integers(const cbn_fill *fill, const range *of, double *values) {
  for (int64_t i = 0; i < of->count; i++)
    values[i] = integer_between(draw(fill->seed, of->role, of->first + i).v[0], fill->low, fill->high);
}

static void fill_exact(const cbn_fill *fill, const range *of, double *values) {
  const int64_t most = ((int64_t)1 << fill->bits) - 1;
  const double unit = ldexp(1, fill->shift), threshold = fill->density * 0x1p32;
  for (int64_t i = 0; i < of->count; i++) {
    const philox4x32_ctr_t r = draw(fill->seed, of->role, of->first + i);
    values[i] = (double)r.v[1] >= threshold ? 0 : integer_between(r.v[0], -most, most) * unit;
  }
}

static void fill_normal(const cbn_fill *fill, const range *of, double *values) {
  for (int64_t i = 0; i < of->count; i++) {
    const philox4x32_ctr_t r = draw(fill->seed, of->role, of->first + i);
    const uint32_t sum = (r.v[0] & 0xffff) + (r.v[0] >> 16) + (r.v[1] & 0xffff) + (r.v[1] >> 16);
    /* The sum of four has mean 131070 and standard deviation 2^16/sqrt(3); the factor is sqrt(3)/2 in units of 2^-15. */
    values[i] = fill->mean + fill->scale * (((double)sum - 131070) * (0.8660254037844386 / 32768));
  }
}

static void fill_special(const cbn_fill *fill, const range *of, double *values) {
  for (int64_t i = 0; i < of->count; i++) values[i] = special(draw(fill->seed, of->role, of->first + i).v[0]);
}

static void fill_range(const cbn_fill *fill, const range *of, double *values) {
  switch (fill->kind) {
  case CBN_FILL_INTEGERS: fill_integers(fill, of, values); break;
  case CBN_FILL_EXACT: fill_exact(fill, of, values); break;
  case CBN_FILL_NORMAL: fill_normal(fill, of, values); break;
  case CBN_FILL_SPECIAL: fill_special(fill, of, values); break;
  case CBN_FILL_IMPULSE:
    for (int64_t i = 0; i < of->count; i++) values[i] = of->first + i == fill->position ? fill->value : 0;
    break;
  case CBN_FILL_RAMP:
    for (int64_t i = 0; i < of->count; i++) values[i] = fill->start + fill->step * (double)(of->first + i);
    break;
  default:
    for (int64_t i = 0; i < of->count; i++) values[i] = 1;
  }
}

double cbn_fill_element(const cbn_fill *fill, int role, int64_t index) {
  double value;
  fill_range(fill, &(range){.role = role, .first = index, .count = 1}, &value);
  return value;
}

void cbn_fill_tensor(const cbn_fill *fill, int role, const cbn_tensor *tensor) {
  enum { BLOCK = 256 };
  double values[BLOCK];
  const int64_t count = cbn_tensor_count(tensor);
  for (int64_t first = 0; first < count; first += BLOCK) {
    const range of = {.role = role, .first = first, .count = count - first < BLOCK ? count - first : BLOCK};
    fill_range(fill, &of, values);
    cbn_tensor_write(tensor, of.first, of.count, values);
  }
}
