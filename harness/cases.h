/* Golden cases: what docs/cases.md describes, read, checked and ready to evaluate.
 *
 * Loading reads structure and shapes; it allocates no tensor. A tensor is materialised when its case is evaluated. */
#ifndef CBN_HARNESS_CASES_H
#define CBN_HARNESS_CASES_H

#include <convbn/fill.h>
#include <limits.h>

#include "core/error.h"
#include "core/value.h"
#include "dialects/dialect.h"

/* Where a tensor's elements come from. */
enum cbn_content { CBN_CONTENT_NONE, CBN_CONTENT_VALUES, CBN_CONTENT_FILL, CBN_CONTENT_NPY };

typedef struct cbn_tensor_source {
  const cbn_value *node; /* its place in the file */
  enum cbn_content content;
  bool has_shape;        /* always, but for .npy files */
  cbn_shape shape;
  bool has_type;         /* else f32, of an expected tensor the result's own */
  int32_t type;
  const cbn_value *values; /* a list, flat or nested as the shape */
  cbn_fill fill;
  const char *npy;
} cbn_tensor_source;

/* Variants that a correct engine may follow. */
enum cbn_acceptable {
  CBN_ACCEPT_RUNVAR_EITHER = 1 << 0, /* biased and unbiased */
  CBN_ACCEPT_EMPTY_EITHER = 1 << 1   /* an empty output and an error */
};

/* The roles of results, as cases name them and reports list them. */
enum { CBN_RESULT_ROLES = 6 };
extern const int cbn_result_roles[CBN_RESULT_ROLES];

/* What must come out. */
typedef struct cbn_expectation {
  const cbn_value *node;
  const cbn_tensor_source *tensor[CBN_ROLE_COUNT]; /* NULL where nothing is said */
  bool rejected;
  int rule;              /* -1: any */
  const char *exception; /* NULL: any */
  const char *message;   /* the framework's own words, for show; NULL */
  const char *const *same_as, *const *differs_from;
  size_t same_count, differs_count;
  unsigned acceptable;
} cbn_expectation;

enum cbn_mode { CBN_MODE_DEFAULT, CBN_MODE_TRAIN, CBN_MODE_EVAL };

/* One call of the layer, and what is done to it before. */
typedef struct cbn_step {
  bool reset;                                    /* the statistics and the count of calls are those of a new layer */
  const cbn_value *params;                       /* from here on: the case's, with what this and earlier steps change */
  const cbn_tensor_source *load[CBN_ROLE_COUNT]; /* put into the layer; NULL where it keeps its own */
  enum cbn_mode mode;
  const cbn_tensor_source *input;
  const cbn_tensor_source *grad_output; /* NULL: no gradients are asked for */
  cbn_expectation expect;
} cbn_step;

/* What a document says about a case. */
typedef struct cbn_claim {
  const char *document, *text, *by;
  bool refuted;
  bool has_expect;
  cbn_expectation expect;
} cbn_claim;

/* An engine known to answer wrongly. */
typedef struct cbn_upstream {
  const char *engine, *note;
  cbn_expectation observed;
} cbn_upstream;

typedef struct cbn_case {
  const char *file;
  uint32_t line;
  const cbn_dialect *dialect;
  const cbn_dialect_operator *operator;
  const char *id, *comment, *source;
  bool by_hand; /* source begins so: values are the exact results rounded once */
  const char *const *flags;
  size_t flag_count;
  const cbn_value *params; /* a map, or NULL for none */
  const cbn_tensor_source *tensor[CBN_ROLE_COUNT];
  enum cbn_layout layout;
  bool in_place;
  bool has_steps;
  const cbn_step *steps; /* at least one */
  size_t step_count;
  const cbn_claim *claims;
  size_t claim_count;
  const cbn_upstream *upstream;
  size_t upstream_count;
} cbn_case;

/* Loaded files and their cases, in the order of the paths given, files of a folder by name. */
typedef struct cbn_case_set cbn_case_set;

/* Told each problem found: one line, `FILE:LINE:COLUMN: rule: ...`. */
typedef void cbn_problem_sink(void *context, const char *line);

cbn_case_set *cbn_cases_create(void);
void cbn_cases_destroy(cbn_case_set *set);

/* Adds a file, or every *.yaml and *.yml below a folder but for `flags.yaml`. Problems go to `sink`; other files are
 * still read. Returns the number of problems. */
size_t cbn_cases_load(cbn_case_set *set, const char *path, cbn_problem_sink *sink, void *context);

size_t cbn_cases_count(const cbn_case_set *set);
const cbn_case *cbn_cases_at(const cbn_case_set *set, size_t i);
const cbn_case *cbn_cases_find(const cbn_case_set *set, const char *id); /* NULL if there is none */
size_t cbn_cases_files(const cbn_case_set *set);

/* The flags.yaml in the folder `path` or the nearest one above: the folder that it is in is the root of a
 * collection. */
bool cbn_cases_flags_file(const char *path, char found[PATH_MAX]);

/* All cases of the collection that `path` belongs to, where those of `set` name others that are not among them; NULL
 * where they do not, or where there is no collection. Released with cbn_cases_destroy. */
cbn_case_set *cbn_cases_collection(const cbn_case_set *set, const char *path);

/* A hash of the files' bytes, as hexadecimal digits. */
void cbn_cases_hash(const cbn_case_set *set, char text[17]);

/* Makes the tensor: dense, row-major, of the source's type, its own memory. `seed` is mixed into the seed of a fill
 * (0: as written). False with `FILE:LINE:COLUMN: rule: ...`. A source without content makes no tensor and must not
 * be asked. */
bool cbn_source_materialise(const cbn_tensor_source *source, const char *file, int role, uint64_t seed,
                            int64_t limit_bytes, cbn_tensor *tensor, cbn_error *error);

#endif
