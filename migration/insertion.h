/* What stands around a translated layer, as lines of the target framework's code: paddings, croppings, an added
 * bias. */
#ifndef CBN_MIGRATION_INSERTION_H
#define CBN_MIGRATION_INSERTION_H

#include "migration/compare.h"

enum { CBN_MOST_CODE_LINES = 10 };
typedef struct cbn_code {
  int count;
  char line[CBN_MOST_CODE_LINES][256];
} cbn_code;

/* Lines that make of `x` the layer's input, and of the layer's output `y` the result, for inputs of the
 * situation's axes. */
cbn_code cbn_code_before(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *situation);
cbn_code cbn_code_behind(const cbn_layer *layer, const cbn_surroundings *around, const cbn_situation *situation);

#endif
