/* Problems as case files, in the dialect `canonical`, and back, without loss. */
#ifndef CBN_FUZZ_CASE_TEXT_H
#define CBN_FUZZ_CASE_TEXT_H

#include <stdio.h>

#include "generator/generator.h"
#include "harness/cases.h"

/* Writes a whole case file of the problem to `file`: every parameter that is not at its default, the tensors as fills, a program's
 * steps; of a near miss the rule that refuses it. A case without further expectations is judged by the reference alone. `comment` is one
 * line. False where writing fails. */
bool cbn_case_write(FILE *file, const cbn_generated *problem, const char *id, const char *comment);

/* The problem of a case; false, with what it is that no problem has ("tensors.input: values", "flags", "operator
 * nn.Conv2d"), for other cases. Cases of other dialects become problems, too, where their plan and fills can be. */
bool cbn_problem_of_case(const cbn_case *golden, cbn_generated *problem, cbn_error *error);

#endif
