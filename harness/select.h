/* Selections as pytest's -k: words joined by `and`, `or`, `not` and parentheses.
 *
 * A word is a run of characters other than white space and parentheses; it stands for itself anywhere in one of a
 * case's texts, without regard to ASCII case: `-k "conv2d and not (groups or dilat)"`. `not` binds closest, then `and`,
 * then `or`. The three are lower case: `AND` is a word. A blank expression selects everything.
 */
#ifndef CBN_HARNESS_SELECT_H
#define CBN_HARNESS_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/value.h"

/* Parentheses nest at most so deep. */
enum { CBN_SELECT_DEPTH = 30 };

typedef struct cbn_select cbn_select;

/* Compiles the expression into the arena. False with a message that names the column, from 1. */
bool cbn_select_compile(const char *expression, cbn_arena *arena, const cbn_select **select, cbn_error *error);

/* Whether a case with these texts (its id, operator, dialect, flags) is selected. Allocates nothing. */
bool cbn_select_match(const cbn_select *select, const char *const *texts, size_t count);

#endif
