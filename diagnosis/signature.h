/* Signatures: what two findings must share to be one. */
#ifndef CBN_DIAGNOSIS_SIGNATURE_H
#define CBN_DIAGNOSIS_SIGNATURE_H

#include "diagnosis/trial.h"

/* Where in a tensor the wrong elements lie: everywhere, or the first that holds all of them and not the whole tensor.
 * Name, sentence. A result *reads beyond* an axis where a tap of the kernel meets nothing of the other tensor there,
 * only padding; that is said of outputs and of gradients with respect to inputs, taps of gradients with respect to
 * weights. Tails are said of axes with more than 8 elements. */
#define CBN_PLACES(X)                                                                                                  \
  X(NOWHERE, "nowhere", "the finding is not about elements")                                                           \
  X(EVERYWHERE, "everywhere", "in all or nearly all elements")                                                         \
  X(CHANNEL_TAIL, "channel-tail", "in the channels that whole vectors of 8 leave over")                                \
  X(ROW_TAIL, "row-tail", "in what whole vectors of 8 leave over of a row")                                            \
  X(GROUP, "group", "in one group of several")                                                                         \
  X(CHANNEL, "channel", "in one channel of several")                                                                   \
  X(TAP, "tap", "at one position of the kernel")                                                                       \
  X(LATER_IMAGES, "later-images", "in no element of the first image")                                                  \
  X(FIRST_BORDER, "first-border", "where the result reads beyond the beginning of an axis")                            \
  X(LAST_BORDER, "last-border", "where the result reads beyond the end of an axis")                                    \
  X(BORDER, "border", "where the result reads beyond an axis")                                                         \
  X(INTERIOR, "interior", "where the result does not read beyond an axis")                                             \
  X(SCATTERED, "scattered", "in no pattern that has a name")

enum cbn_place {
#define CBN_PLACE_ENUM(NAME, name, sentence) CBN_PLACE_##NAME,
  CBN_PLACES(CBN_PLACE_ENUM)
#undef CBN_PLACE_ENUM
      CBN_PLACES_COUNT
};
const char *cbn_place_name(enum cbn_place place);
const char *cbn_place_sentence(enum cbn_place place);

/* Of a mismatch, before the trial's next run; NOWHERE for every other finding. */
enum cbn_place cbn_place_of(const cbn_generated *problem, const cbn_finding *finding);

/* One line, the same for findings that are one:
 *
 *   KIND SUBJECT/reference VERDICT TYPE ROLE PLACE PARAMETER...
 *
 * "conv_grad_weight fast/reference mismatch f32 grad_weight row-tail dilation stride" where the parameters are those
 * that are not at their plainest value, without axes, steps and values, in the order of diagnosis/parameters.h after
 * "rank"; choices among several have their value's name ("channels_last", "reflect"). The last are "steps" of a program
 * of several and "data" where small positive integers do not do. ROLE is "-" where the finding is about none, or a
 * crash. In the place of PLACE a near miss has the rule that it breaks. Of a problem that has not been minimised the
 * line holds more parameters than matter. Needs what cbn_place_of needs. */
typedef struct cbn_signature {
  char text[384];
  char id[17]; /* its hash: 16 hexadecimal digits */
} cbn_signature;

/* Bytes of such a line before its parameters: findings that have them in common are of one sort, minimised or not. */
size_t cbn_signature_sort_length(const char *text);

void cbn_signature_make(const cbn_generated *problem, const char *subject, const cbn_finding *finding,
                        cbn_signature *signature);

#endif
