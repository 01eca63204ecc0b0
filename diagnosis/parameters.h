/* The parameters of a problem as one list, each with its plainest value: what the minimizer takes away and what a
 * signature names.
 *
 * A parameter's number is a double that holds all of its values: a count, a flag, an enumerator. Channels are counted
 * for each group, so that the number of groups can change. */
#ifndef CBN_DIAGNOSIS_PARAMETERS_H
#define CBN_DIAGNOSIS_PARAMETERS_H

#include "generator/generator.h"

/* One parameter, on one axis or of one step where there are several. */
typedef struct cbn_parameter {
  int which; /* the number in the list */
  int index;
} cbn_parameter;

enum { CBN_PARAMETER_LIMIT = 64 };

/* The problem's parameters that are not at their plainest value, in the order of the list: those that say most about a
 * bug first, extents last. Returns how many. */
int cbn_parameters_of(const cbn_generated *problem, cbn_parameter list[CBN_PARAMETER_LIMIT]);

double cbn_parameter_get(const cbn_generated *problem, cbn_parameter parameter);
void cbn_parameter_set(cbn_generated *problem, cbn_parameter parameter, double value);
double cbn_parameter_plain(const cbn_generated *problem, cbn_parameter parameter);

/* Is each value another thing (a type, a mode) rather than more or less of something? Is it a real number, of which one
 * is plain and the others are all alike? */
bool cbn_parameter_is_choice(cbn_parameter parameter);
bool cbn_parameter_is_real(cbn_parameter parameter);

/* Has it an entry for each axis, and with the input's extent decides the output's? */
bool cbn_parameter_is_of_window(cbn_parameter parameter);

/* Names without axes and values ("stride"); of a choice among several the value's name ("reflect"). */
const char *cbn_parameter_word(const cbn_generated *problem, cbn_parameter parameter);

/* "stride[W]", "reset[2]", "padding_mode" */
void cbn_parameter_print(const cbn_generated *problem, cbn_parameter parameter, char *text, size_t size);

/* The parameter's place in the order of what tells a reader most about a bug when it is the difference between a
 * problem that passes and one that does not: 0 tells most. */
int cbn_parameter_telling(cbn_parameter parameter);

/* The number of that name in the list; -1 if there is none. */
int cbn_parameter_by_name(const char *name);

/* Does the definition give the problem a meaning? Else says which rule it breaks. */
bool cbn_problem_validate(const cbn_generated *problem, cbn_violation *violation);

/* The extents of the tensor with that role in the problem's (first) call; the rank, 0 where it has none. Valid problems
 * only. */
int32_t cbn_problem_extents(const cbn_generated *problem, int role, int64_t extent[CBN_MAX_RANK]);

#endif
