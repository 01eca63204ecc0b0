/* Semantic coverage: what a problem is about, as pairs of features' values. A new pair is progress where code coverage
 * has long been saturated: bugs of these operators sit in combinations (stride with dilation, reflection in NHWC, a last
 * group with a tail). One list of features; docs/fuzzing.md says how it is used. */
#ifndef CBN_GENERATOR_PAIRS_H
#define CBN_GENERATOR_PAIRS_H

#include "generator/generator.h"

/* Name of the feature (a C identifier, as the report prints it), its values as words. */
#define CBN_FEATURES(X)                                                                                                \
  X(KIND, kind, "...")

enum { CBN_FEATURE_NONE = 255 }; /* the problem has no such feature */

int cbn_feature_count(void);
const char *cbn_feature_name(int feature);
int cbn_feature_values(int feature);
const char *cbn_feature_value_name(int feature, int value);

/* The value of each feature; CBN_FEATURE_NONE where it has none (a batch normalization's stride). */
void cbn_features_of(const cbn_generated *problem, uint8_t *value);

/* Pairs of values of two different features are numbered from 0. */
int cbn_pair_count(void);
int cbn_pair_number(int feature_a, int value_a, int feature_b, int value_b);
bool cbn_pair_of_number(int pair, int *feature_a, int *value_a, int *feature_b, int *value_b);

/* Why no problem can have that pair; NULL where one can. Kind -1 is any kind. */
const char *cbn_pair_impossible(int pair, int kind);

/* Calls `reach(context, pair)` for each pair that the problem has; a near miss has the pairs of its kind and its rule only. */
void cbn_pairs_of(const cbn_generated *problem, void (*reach)(void *context, int pair), void *context);

#endif
