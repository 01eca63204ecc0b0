/* Problems as case files, in the dialect `canonical`, and back, without loss. */
#ifndef CBN_FUZZ_CASE_TEXT_H
#define CBN_FUZZ_CASE_TEXT_H

#include <stdio.h>

#include "generator/generator.h"
#include "harness/cases.h"

/* Can a case say this? False, with what it is that none can: a near miss whose input has a negative extent, a fill that
 * does not fit its tensor. */
bool cbn_case_possible(const cbn_generated *problem, cbn_error *error);

/* Writes a whole case file of a problem that a case can say: every parameter that is not at its default, the tensors as
 * fills, a program's steps; what comes out has its shape stated alone, so that the reference is the judge, a near miss the
 * rule that refuses it. `id` NULL: one of the problem's hash. `comment`, one line, NULL: what the generator knows of it.
 * False where writing fails. */
bool cbn_case_write(FILE *file, const cbn_generated *problem, const char *id, const char *comment);

/* The same in two parts, for several cases in one file: what a file of this kind of problems begins with, and a case. */
bool cbn_case_write_header(FILE *file, enum cbn_generated_kind kind);
bool cbn_case_write_entry(FILE *file, const cbn_generated *problem, const char *id, const char *comment);

/* `canonical/conv/generated-0123456789abcdef`: the same for the same calls with the same data. */
typedef struct cbn_case_id {
  char text[64];
} cbn_case_id;
bool cbn_case_id_of(const cbn_generated *problem, cbn_case_id *id); /* false without memory */

/* The problem of a case; false, with a message at its place, where there is none: values in place of fills, a state that
 * is loaded between calls, several gradients at once. Cases of other dialects become problems, too. What a case states,
 * documents and is flagged with is left behind. */
bool cbn_problem_of_case(const cbn_case *golden, cbn_generated *problem, cbn_error *error);

#endif
