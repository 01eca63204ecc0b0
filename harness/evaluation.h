/* One case judged: the oracle's solution, the case's own expectations, the engine's answers. */
#ifndef CBN_HARNESS_EVALUATION_H
#define CBN_HARNESS_EVALUATION_H

#include "harness/engine_process.h"
#include "harness/solution.h"
#include "harness/suspicion.h"

enum { CBN_MAP_EXTENT = 24 };

/* A window of a result around its worst element, for the report. */
typedef struct cbn_map {
  char axes[96];     /* "H x W at n=0, c=1" */
  int64_t origin[2]; /* of the window in its plane */
  int rows, columns; /* 0: there is none */
  double expected[CBN_MAP_EXTENT * CBN_MAP_EXTENT], actual[CBN_MAP_EXTENT * CBN_MAP_EXTENT],
      share[CBN_MAP_EXTENT * CBN_MAP_EXTENT];
} cbn_map;

/* What one tensor of one step came to. */
typedef struct cbn_tensor_result {
  int role;
  cbn_shape shape;
  int64_t elements;     /* judged */
  int64_t outside;      /* of them, outside their bounds */
  int64_t inconclusive; /* of them, without a judgement */
  int64_t zeros_skipped;    /* elements that show what the engine does where zero padding meets a weight that is */
  int64_t zeros_multiplied; /* not finite: leave it out, or multiply, which gives NaN */
  bool sampled;         /* judged by channel sums and sampled positions, because the case is large */
  double share;         /* the largest error over its bound */
  int64_t worst[CBN_MAX_NATIVE_RANK]; /* indices of that element */
  double expected, actual, bound;     /* there */
  cbn_map *map;         /* NULL where none is kept */
  cbn_suspicion suspicion; /* of results within their bounds; nothing looked at where `elements` is 0 */
} cbn_tensor_result;

typedef struct cbn_step_result {
  const char *mode; /* "train", "eval", NULL for a convolution */
  int tensor_count; /* 0 for a rejected step */
  cbn_tensor_result tensor[CBN_RESULT_ROLES];
} cbn_step_result;

typedef struct cbn_claim_result {
  bool holds;          /* does the reference bear out what the case says of the claim? */
  char expected[400], observed[400];
} cbn_claim_result;

typedef struct cbn_case_result {
  const cbn_case *golden;
  enum cbn_verdict verdict;
  char sentence[1024];
  const char *rule;  /* of a rejection; NULL */
  double share;      /* the largest error over its bound, of all tensors; NAN where nothing was compared */
  bool asked;        /* the engine was; a refusal is the dialect's own affair */
  bool exact;        /* every bound is 0 */
  bool partly;       /* of a whole tensor nothing can be said */
  bool suspicious;   /* passes, but its errors lean or are larger than roundings are */
  bool vacuous;      /* every right value is 0, or there is none */
  int64_t work;
  double seconds;        /* of the whole evaluation */
  double engine_seconds; /* of the engine's computing */
  cbn_step_result *steps;
  bool claims_checked; /* not with other random fills than the case's own */
  cbn_claim_result *claims;
  bool *upstream_holds;
  bool bad_case;     /* the case itself is wrong: `sentence` is the line to print, exit 2 */
} cbn_case_result;

typedef struct cbn_evaluate_options {
  double timeout_seconds;
  int threads;            /* that the engine may use */
  uint64_t seed;
  int64_t memory_bytes;
  bool maps;
} cbn_evaluate_options;

/* Judges the case. `set` resolves same_as and differs_from. */
void cbn_evaluate(const cbn_case *golden, const cbn_case_set *set, cbn_engine_process *engine,
                  const cbn_evaluate_options *options, cbn_case_result *result);
void cbn_case_result_release(cbn_case_result *result);

#endif
