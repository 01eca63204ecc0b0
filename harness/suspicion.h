/* A second look at results that are within their bounds: errors of a correct kernel scatter, those of one that
 * truncates or computes in fewer bits lean or are too large. What it finds is a note in a report and never a verdict.
 * docs/statistical-test.md has the model, the thresholds' derivation, and what is seen at which sizes. */
#ifndef CBN_HARNESS_SUSPICION_H
#define CBN_HARNESS_SUSPICION_H

#include <convbn/reference.h>

/* What is suspicious: errors have a mean; they point towards zero, or away from it; they are too large for roundings
 * that are independent of each other. */
enum cbn_suspicion_kind { CBN_NOT_SUSPICIOUS, CBN_LEANING, CBN_TRUNCATING, CBN_TOO_LARGE };

typedef struct cbn_suspicion {
  bool suspicious;
  int which;          /* enum cbn_suspicion_kind */
  int64_t elements;   /* that were looked at */
  double statistic;   /* of the finding, else of the test that came nearest to one; 0 where none was made */
  double threshold;   /* that a correct kernel exceeds with a probability below CBN_SUSPICION_FALSE_ALARM */
  char sentence[200]; /* the finding, or why no test was made; empty where tests were made and found nothing */
} cbn_suspicion;

/* Of all the tests of one tensor together, under the model. */
#define CBN_SUSPICION_FALSE_ALARM 1e-9

/* Looks at a convolution's result in its direction: `tensor` are the call's, `arithmetic` what the engine declares
 * (enum cbn_arithmetic), `expected` the reference's intervals for these, `actual` what the engine wrote. False without
 * memory. */
bool cbn_suspect_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                      const cbn_expected *expected, const cbn_tensor *actual, cbn_suspicion *result);

/* The same for the result `role` of a batch normalization: OUTPUT, RUNNING_MEAN, RUNNING_VAR, GRAD_INPUT, GRAD_WEIGHT
 * or GRAD_BIAS. The running statistics in `tensor` are those before the call. */
bool cbn_suspect_batchnorm(const cbn_batchnorm *batchnorm, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                           uint32_t arithmetic, int role, const cbn_expected *expected, const cbn_tensor *actual,
                           cbn_suspicion *result);

#endif
