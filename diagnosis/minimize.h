/* The minimizer: from a finding to the smallest problem that shows it, in the domain's own terms.
 *
 * Padding goes to 0, dilation and stride to 1, groups, channels and batch to 1, extents down, the rank down, the type
 * to f32, the layout to contiguous, steps away, other parameters to their defaults, data to ones and then to one-hot. A step is
 * kept if the problem is still valid and the finding keeps its core: verdict and role (of a crash: that it crashes). It ends
 * where no single step keeps it. */
#ifndef CBN_DIAGNOSIS_MINIMIZE_H
#define CBN_DIAGNOSIS_MINIMIZE_H

#include "diagnosis/signature.h"

typedef struct cbn_minimized {
  cbn_generated bad;   /* the smallest problem with the finding ... */
  cbn_finding finding; /* ... here; is_wrong is gone */
  cbn_signature signature;
  bool has_good;
  cbn_generated good;  /* a problem that passes, and differs in ... */
  char parameter[48];  /* ... this parameter alone: "stride[W]" */
  int trials;          /* runs of the subject */
  bool finished;       /* false where `seconds` ended it: smaller problems may exist */
} cbn_minimized;

/* False where the subject passes the problem, so that there is nothing to minimise: `result->bad` is the problem, `result->finding` what came of it. */
bool cbn_minimize(cbn_trial *trial, const cbn_generated *problem, const cbn_subject *subject, double seconds,
                  cbn_minimized *result);

#endif
