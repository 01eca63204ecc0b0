/* Apart from the list itself, so that the program `convbn` has the list without the targets and what they run. */
#include "fuzz/shared.h"

#include "generator/generator.h"

typedef void function(const cbn_target *target, const uint8_t *bytes, size_t size);

/* In the order of the list. */
static function *const functions[] = {
#define KIND_FUNCTION(NAME, name, words) cbn_fuzz_problem,
    CBN_GENERATED_KINDS(KIND_FUNCTION)
#undef KIND_FUNCTION
#define OTHER_FUNCTION(name, structured, problems, words) cbn_fuzz_##name,
        CBN_OTHER_TARGETS(OTHER_FUNCTION)
#undef OTHER_FUNCTION
};

void cbn_target_run(const cbn_target *target, const uint8_t *bytes, size_t size) {
  atomic_fetch_add_explicit(&cbn_fuzz_opened()->status->runs, 1, memory_order_relaxed);
  functions[target - cbn_target_at(0)](target, bytes, size);
}
