/* Signatures: what two findings must share to be one. */
#ifndef CBN_DIAGNOSIS_SIGNATURE_H
#define CBN_DIAGNOSIS_SIGNATURE_H

#include "diagnosis/trial.h"

/* Where in a tensor the wrong elements lie: the first that describes all of them, from narrow to wide. Name, sentence. */
#define CBN_PLACES(X)                                                                                                  \
  X(NOWHERE, "nowhere", "the finding is not about elements")                                                           \
  X(STATISTIC, "statistic", "in a running statistic")                                                                  \
  X(ONE_CHANNEL_VALUE, "channel-value", "in a vector of one value a channel")                                          \
  X(CORNER, "corner", "in corners of the spatial axes")                                                                \
  X(TAIL_LANES, "tail-lanes", "in what is left of a row, or of the channels, after whole vectors of 8")                \
  X(FIRST_BORDER, "first-border", "where an output reads padding before the input")                                    \
  X(LAST_BORDER, "last-border", "where an output reads padding behind the input")                                      \
  X(BORDER, "border", "where an output reads padding")                                                                 \
  X(ONE_CHANNEL, "one-channel", "in one channel of several")                                                           \
  X(ONE_GROUP, "one-group", "in one group of several")                                                                 \
  X(LATER_IMAGES, "later-images", "in every image but the first")                                                      \
  X(INTERIOR, "interior", "where no padding is read")                                                                  \
  X(EVERYWHERE, "everywhere", "in nearly all elements")                                                                \
  X(SCATTERED, "scattered", "in no pattern that has a name")

enum cbn_place {
#define CBN_PLACE_ENUM(NAME, name, sentence) CBN_PLACE_##NAME,
  CBN_PLACES(CBN_PLACE_ENUM)
#undef CBN_PLACE_ENUM
      CBN_PLACE_COUNT
};
const char *cbn_place_name(enum cbn_place place);
const char *cbn_place_sentence(enum cbn_place place);

/* Of a mismatch; NOWHERE for every other finding. */
enum cbn_place cbn_place_of(const cbn_generated *problem, const cbn_finding *finding);

/* One line, the same for findings that are one:
 *
 *   KIND SUBJECT/reference VERDICT TYPE ROLE PLACE PARAMETER...
 *
 * "conv_grad_weight fast/reference mismatch f32 grad_weight tail-lanes stride dilation" where the parameters are those that
 * are not at their plainest value, without axes and values, in the order of the genes. Of a problem that has not been
 * minimised the line holds more parameters than matter. */
typedef struct cbn_signature {
  char text[384];
  char id[17]; /* its hash: 16 hexadecimal digits */
} cbn_signature;

void cbn_signature_make(const cbn_generated *problem, const char *subject, const cbn_finding *finding,
                        cbn_signature *signature);

#endif
