/* The minimizer: from a finding to the smallest problem that shows it, in the domain's own terms.
 *
 * The type goes to f32, the layout to contiguous, steps away, the rank down, padding to 0, dilation and stride to 1,
 * groups, batch, kernel, channels and extents to 1, all else to its default: all at once, then halves of the list, then
 * one by one, and numbers by halves. Where a parameter stands in for another (padding for a larger input, groups for
 * channels, images for rows), the one later in the list of diagnosis/parameters.h takes its place, so that a bug has
 * one form. First the data become such that a wrong element shows wherever it is, at the end ones and then one-hot.
 *
 * A step is kept if the problem is valid (of a near miss: breaks the same rule) and the finding is the same: verdict,
 * role and kind of step (of a crash the verdict alone); what is grossly wrong or no number does not become what is
 * wrong by a few roundings. It ends where no single step keeps the finding. Each trial runs the subject once: some
 * tens, seldom more than a hundred. */
#ifndef CBN_DIAGNOSIS_MINIMIZE_H
#define CBN_DIAGNOSIS_MINIMIZE_H

#include "diagnosis/signature.h"

typedef struct cbn_minimized {
  cbn_generated bad;   /* the smallest problem with the finding ... */
  cbn_finding finding; /* ... here; is_wrong is gone */
  cbn_signature signature;
  bool has_good;
  cbn_generated good; /* a problem that passes, and differs in ... */
  char parameter[48]; /* ... this parameter alone: "stride[W]", "step[1]" that is left out, "input" for its data */
  int trials;         /* runs of the subject */
  bool finished;      /* false where `seconds` ended it: smaller problems may exist */
} cbn_minimized;

/* False where the subject passes the problem, so that there is nothing to minimise: `result->bad` is the problem,
 * `result->finding` what came of it. No trial begins later than `seconds` after the start. */
bool cbn_minimize(cbn_trial *trial, const cbn_generated *problem, const cbn_subject *subject, double seconds,
                  cbn_minimized *result);

#endif
