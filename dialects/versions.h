/* What other versions of a framework do otherwise than the one that its dialect follows: measured by running the recorded
 * cases under older wheels (docs/framework-rules.md, "Versions"). */
#ifndef CBN_DIALECTS_VERSIONS_H
#define CBN_DIALECTS_VERSIONS_H

#include "dialects/dialect.h"

typedef struct cbn_version_difference {
  const char *from, *to; /* the first and the last version that was seen to do so */
  const char *operators; /* "nn.BatchNorm1d, 2d, 3d" */
  const char *subject;   /* the parameter or type, "" where it is the call as such */
  enum cbn_rule rule;    /* by which that version refuses, or does not refuse; CBN_RULE_COUNT where results differ */
  const char *behaviour; /* "taken" */
} cbn_version_difference;

typedef struct cbn_versions {
  const char *dialect;
  const char *measured; /* the versions under which the cases ran, oldest first */
  const cbn_version_difference *differences;
  size_t count;
} cbn_versions;

/* NULL where one version alone was measured. */
const cbn_versions *cbn_versions_of(const cbn_dialect *dialect);

#endif
