#include "fuzz/pairs_report.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN = 12, EXAMPLES = 4 }; /* lines of a list, and pairs of a line, unless all are asked for */

/* ------------------------------------------------------------------------------------------------------ a survey */

enum standing { LEFT_OUT, REACHED, MISSED, IMPOSSIBLE, CONTRADICTION, STANDINGS };

typedef struct surveyed {
  enum standing standing;
  int feature[2], value[2];
  const char *reason; /* of what is impossible */
  bool by_definition;
} surveyed;

/* The missed of two features, or the impossible of one reason. */
typedef struct bundle {
  int first; /* pair */
  int pairs, possible;
} bundle;

typedef struct survey {
  int kind, count[STANDINGS], by_definition, pairs;
  surveyed *pair;
  bundle *bundle; /* room for one a pair */
  int bundles;
  int reached[CBN_FEATURE_COUNT][CBN_FEATURE_VALUES_COUNT],
      missed[CBN_FEATURE_COUNT][CBN_FEATURE_VALUES_COUNT]; /* pairs of a value */
} survey;

static bool concerns(const surveyed *p, int kind) {
  if (kind < 0) return true;
  for (int i = 0; i < 2; i++)
    if (!cbn_feature_of_kind(p->feature[i], kind) || (p->feature[i] == CBN_FEATURE_KIND && p->value[i] != kind))
      return false;
  return true;
}

static void survey_pair(survey *s, int number, bool reached) {
  surveyed *p = &s->pair[number];
  cbn_pair_of_number(number, &p->feature[0], &p->value[0], &p->feature[1], &p->value[1]);
  if (!concerns(p, s->kind)) return;
  p->reason = cbn_pair_impossible(number, s->kind, &p->by_definition);
  p->standing = p->reason == NULL ? (reached ? REACHED : MISSED) : reached ? CONTRADICTION : IMPOSSIBLE;
  s->count[p->standing]++;
  s->by_definition += p->standing == IMPOSSIBLE && p->by_definition;
  for (int i = 0; i < 2; i++) {
    s->reached[p->feature[i]][p->value[i]] += reached;
    s->missed[p->feature[i]][p->value[i]] += p->standing == MISSED;
  }
}

static void survey_close(survey *s) {
  if (s == NULL) return;
  free(s->pair);
  free(s->bundle);
  free(s);
}

static survey *survey_open(const uint8_t *reached, int kind) {
  survey *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->kind = kind;
  s->pairs = cbn_pair_count();
  s->pair = calloc((size_t)s->pairs, sizeof *s->pair);
  s->bundle = calloc((size_t)s->pairs, sizeof *s->bundle);
  if (s->pair == NULL || s->bundle == NULL) {
    survey_close(s);
    return NULL;
  }
  for (int i = 0; i < s->pairs; i++) survey_pair(s, i, reached[i] != 0);
  return s;
}

static int possible(const survey *s) { return s->count[REACHED] + s->count[MISSED]; }

/* A value of which nothing was reached is one gap, not one for each of its pairs. */
static bool is_missed_value(const survey *s, int feature, int value) {
  return s->reached[feature][value] == 0 && s->missed[feature][value] > 0;
}

static bool is_hole(const survey *s, const surveyed *p) {
  return p->standing == MISSED && !is_missed_value(s, p->feature[0], p->value[0]) &&
         !is_missed_value(s, p->feature[1], p->value[1]);
}

static bool same_features(const surveyed *a, const surveyed *b) {
  return a->feature[0] == b->feature[0] && a->feature[1] == b->feature[1];
}

static bool same_reason(const surveyed *a, const surveyed *b) {
  return a->by_definition == b->by_definition && strcmp(a->reason, b->reason) == 0;
}

static bundle *bundle_of(survey *s, int number, bool (*same)(const surveyed *, const surveyed *)) {
  for (int i = 0; i < s->bundles; i++)
    if (same(&s->pair[s->bundle[i].first], &s->pair[number])) return &s->bundle[i];
  s->bundle[s->bundles] = (bundle){.first = number};
  return &s->bundle[s->bundles++];
}

static int by_pairs(const void *a, const void *b) {
  const bundle *x = a, *y = b;
  return x->pairs != y->pairs ? y->pairs - x->pairs : x->first - y->first;
}

/* The smallest share first: a hole in what is otherwise reached says most. */
static int by_share(const void *a, const void *b) {
  const bundle *x = a, *y = b;
  const int difference = x->pairs * y->possible - y->pairs * x->possible;
  return difference != 0 ? difference : x->first - y->first;
}

static void bundle_reasons(survey *s) {
  s->bundles = 0;
  for (int i = 0; i < s->pairs; i++)
    if (s->pair[i].standing == IMPOSSIBLE) bundle_of(s, i, same_reason)->pairs++;
  qsort(s->bundle, (size_t)s->bundles, sizeof *s->bundle, by_pairs);
}

static void bundle_holes(survey *s) {
  s->bundles = 0;
  for (int i = 0; i < s->pairs; i++)
    if (is_hole(s, &s->pair[i])) bundle_of(s, i, same_features)->pairs++;
  for (int i = 0; i < s->pairs; i++)
    for (int k = 0; k < s->bundles && (s->pair[i].standing == REACHED || s->pair[i].standing == MISSED); k++)
      s->bundle[k].possible += same_features(&s->pair[s->bundle[k].first], &s->pair[i]);
  qsort(s->bundle, (size_t)s->bundles, sizeof *s->bundle, by_share);
}

/* ------------------------------------------------------------------------------------------------------ as text */

static const char *plural(int count) { return count == 1 ? "" : "s"; }

static void print_pair(FILE *file, const surveyed *p) {
  fprintf(file, "%s with %s", cbn_feature_value_name(p->feature[0], p->value[0]),
          cbn_feature_value_name(p->feature[1], p->value[1]));
}

static void print_totals(FILE *file, const survey *s) {
  const double percent = possible(s) > 0 ? 100.0 * s->count[REACHED] / possible(s) : 0;
  fprintf(file,
          "semantic coverage%s%s: %d of %d possible pairs reached (%.1f %%); %d cannot be, %d the generator does not "
          "make\n",
          s->kind >= 0 ? " of " : "", s->kind >= 0 ? cbn_generated_kind_name(s->kind) : "", s->count[REACHED],
          possible(s), percent, s->by_definition, s->count[IMPOSSIBLE] - s->by_definition);
}

static void print_contradictions(FILE *file, const survey *s) {
  for (int i = 0; i < s->pairs; i++) {
    const surveyed *p = &s->pair[i];
    if (p->standing != CONTRADICTION) continue;
    fprintf(file, "reached, though said to be impossible: %s and %s, ", cbn_feature_name(p->feature[0]),
            cbn_feature_name(p->feature[1]));
    print_pair(file, p);
    fprintf(file, " (%s)\n", p->reason);
  }
}

static void print_missed_values(FILE *file, const survey *s) {
  for (int feature = 0; feature < CBN_FEATURE_COUNT; feature++)
    for (int value = 0; value < cbn_feature_values(feature); value++)
      if (is_missed_value(s, feature, value))
        fprintf(file, "not reached: %s %s, with anything: %d pair%s\n", cbn_feature_name(feature),
                cbn_feature_value_name(feature, value), s->missed[feature][value], plural(s->missed[feature][value]));
}

static void print_holes(FILE *file, const survey *s, bool all) {
  int left_out = 0, pairs = 0;
  for (int i = 0; i < s->bundles; i++) {
    const bundle *b = &s->bundle[i];
    const surveyed *first = &s->pair[b->first];
    if (!all && i >= SHOWN) {
      left_out++;
      pairs += b->pairs;
      continue;
    }
    fprintf(file, "not reached: %s and %s, %d of %d:", cbn_feature_name(first->feature[0]),
            cbn_feature_name(first->feature[1]), b->pairs, b->possible);
    for (int number = b->first, shown = 0; number < s->pairs && (all || shown < EXAMPLES); number++) {
      if (!is_hole(s, &s->pair[number]) || !same_features(first, &s->pair[number])) continue;
      fputs(shown++ == 0 ? " " : ", ", file);
      print_pair(file, &s->pair[number]);
    }
    fputs(!all && b->pairs > EXAMPLES ? ", ...\n" : "\n", file);
  }
  if (left_out > 0) fprintf(file, "not reached: %d pairs more, of %d other pairs of features\n", pairs, left_out);
}

static void print_reasons(FILE *file, const survey *s, bool all) {
  int left_out = 0, pairs = 0;
  for (int i = 0; i < s->bundles; i++) {
    const surveyed *p = &s->pair[s->bundle[i].first];
    if (all || i < SHOWN)
      fprintf(file, "%s: %d pair%s: %s\n", p->by_definition ? "cannot be" : "not generated", s->bundle[i].pairs,
              plural(s->bundle[i].pairs), p->reason);
    else {
      left_out++;
      pairs += s->bundle[i].pairs;
    }
  }
  if (left_out > 0)
    fprintf(file, "cannot be, or not generated: %d pairs more, for %d other reasons\n", pairs, left_out);
}

bool cbn_pairs_report(FILE *file, const uint8_t *reached, int kind, bool all) {
  survey *s = survey_open(reached, kind);
  if (s == NULL) return false;
  print_totals(file, s);
  print_contradictions(file, s);
  print_missed_values(file, s);
  bundle_holes(s);
  print_holes(file, s, all);
  bundle_reasons(s);
  print_reasons(file, s, all);
  survey_close(s);
  return !ferror(file);
}

/* ------------------------------------------------------------------------------------------------------ as JSON */

static json_t *pairs_json(const survey *s, enum standing standing) {
  json_t *list = json_array();
  for (int i = 0; i < s->pairs; i++) {
    const surveyed *p = &s->pair[i];
    if (p->standing != standing) continue;
    json_array_append_new(
        list,
        json_pack("[s, s, s, s]", cbn_feature_name(p->feature[0]), cbn_feature_value_name(p->feature[0], p->value[0]),
                  cbn_feature_name(p->feature[1]), cbn_feature_value_name(p->feature[1], p->value[1])));
  }
  return list;
}

static json_t *reasons_json(const survey *s) {
  json_t *list = json_array();
  for (int i = 0; i < s->bundles; i++) {
    const surveyed *p = &s->pair[s->bundle[i].first];
    json_array_append_new(list, json_pack("{s:s, s:b, s:i}", "reason", p->reason, "by_definition", p->by_definition,
                                          "pairs", s->bundle[i].pairs));
  }
  return list;
}

json_t *cbn_pairs_json(const uint8_t *reached, int kind) {
  survey *s = survey_open(reached, kind);
  if (s == NULL) return NULL;
  bundle_reasons(s);
  json_t *report =
      json_pack("{s:s?, s:i, s:i, s:i, s:i, s:o, s:o, s:o}", "kind", kind >= 0 ? cbn_generated_kind_name(kind) : NULL,
                "reached", s->count[REACHED], "possible", possible(s), "impossible_by_definition", s->by_definition,
                "not_generated", s->count[IMPOSSIBLE] - s->by_definition, "not_reached", pairs_json(s, MISSED),
                "impossible", reasons_json(s), "contradictions", pairs_json(s, CONTRADICTION));
  survey_close(s);
  return report;
}
