/* Programs: a layer, its tensors and its calls as Python that the framework runs, and what it prints.
 *
 * Both are made for the pages of differences, and run against the real frameworks by tools/run-snippets. A line of output is a
 * name, a shape and values in the framework's own order of axes: `output (1, 2, 2, 1) 5 6 7 8`, or `refuses ValueError`. */
#ifndef CBN_MIGRATION_SNIPPET_H
#define CBN_MIGRATION_SNIPPET_H

#include "migration/differ.h"

/* Writes the program of one side of a witness, cut to `size`; returns the length that it has or would have had; 0 where the framework has no programs
 * (the canonical operators). */
size_t cbn_snippet_program(const cbn_witness *witness, bool second, char *text, size_t size);

/* The lines that it prints, as the reference says. */
size_t cbn_snippet_output(const cbn_witness *witness, bool second, char *text, size_t size);

#endif
