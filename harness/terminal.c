#include "harness/terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/clock.h"
#include "harness/results.h"

enum { PARAMS_SHOWN = 160, COMMENT_SHOWN = 1024, REASONS_SHOWN = 20 };

static bool wants_colour(FILE *out) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return isatty(fileno(out)) && (no == NULL || no[0] == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
}

cbn_terminal cbn_terminal_open(enum cbn_verbosity verbosity, const char *engine, uint64_t seed) {
  return (cbn_terminal){.out = stdout,
                        .progress = verbosity != CBN_QUIET && isatty(STDERR_FILENO) ? stderr : NULL,
                        .colour = wants_colour(stdout),
                        .verbosity = verbosity,
                        .engine = engine,
                        .seed = seed};
}

static const char *colour_of(const cbn_terminal *t, enum cbn_verdict verdict) {
  static const char *const colours[] = {
      [CBN_GOOD] = "\033[32m", [CBN_BAD] = "\033[1;31m", [CBN_NEUTRAL] = "\033[33m", [CBN_UNDECIDED] = "\033[33m"};
  return t->colour ? colours[cbn_verdict_weight_of(verdict)] : "";
}

static const char *plain(const cbn_terminal *t) { return t->colour ? "\033[0m" : ""; }

static void clear_progress(const cbn_terminal *t) {
  if (t->progress != NULL) fprintf(t->progress, "\r\033[K");
}

static void show_progress(cbn_terminal *t, const cbn_case_result *r, size_t done, size_t total) {
  const double now = cbn_clock_seconds();
  if (t->progress == NULL || (now - t->last < 0.05 && done < total)) return;
  t->last = now;
  fprintf(t->progress, "\r\033[K[%zu/%zu] %.60s", done, total, r->golden->id);
  if (done == total) clear_progress(t);
  fflush(t->progress);
}

static void print_one_line(const cbn_terminal *t, const cbn_case_result *r) {
  fprintf(t->out, "%s%-16s%s %s", colour_of(t, r->verdict), cbn_verdict_name(r->verdict), plain(t), r->golden->id);
  if (!isnan(r->share)) fprintf(t->out, "  %.3g of the bound", r->share);
  fprintf(t->out, "  %.0f ms%s\n", 1e3 * r->seconds, r->vacuous ? "  (vacuous)" : "");
}

static void print_finding(const cbn_terminal *t, const cbn_case_result *r) {
  char params[PARAMS_SHOWN] = "{}", replay[CBN_REPLAY_BYTES], comment[COMMENT_SHOWN];
  if (r->golden->params != NULL) cbn_value_print(r->golden->params, params, sizeof params);
  cbn_replay_line(r->golden, t->engine, t->seed, replay, sizeof replay);
  snprintf(comment, sizeof comment, "%s", r->golden->comment == NULL ? "" : r->golden->comment);
  cbn_make_inert(comment);
  cbn_make_inert(params);
  cbn_make_inert(replay);
  fprintf(t->out, "%s%s%s %s\n", colour_of(t, r->verdict), cbn_verdict_name(r->verdict), plain(t), r->golden->id);
  fprintf(t->out, "  %s\n", r->sentence);
  if (r->golden->comment != NULL) fprintf(t->out, "  case:    %s\n", comment);
  fprintf(t->out, "  layer:   %s %s %s\n", r->golden->dialect->name, r->golden->operator->name, params);
  fprintf(t->out, "  replay:  %s\n", replay);
}

void cbn_terminal_result(void *context, const cbn_case_result *r, size_t done, size_t total) {
  cbn_terminal *t = context;
  const bool grouped = !r->bad_case && r->verdict == CBN_VERDICT_UNSUPPORTED && t->verbosity != CBN_VERBOSE;
  const bool finding = !grouped && (r->bad_case || r->suspicious || cbn_verdict_weight_of(r->verdict) != CBN_GOOD);
  if ((finding && t->verbosity != CBN_QUIET) || t->verbosity == CBN_VERBOSE) clear_progress(t);
  if (r->bad_case) fprintf(stderr, "%s\n", r->sentence);
  else if (finding && t->verbosity != CBN_QUIET) print_finding(t, r);
  else if (t->verbosity == CBN_VERBOSE) print_one_line(t, r);
  show_progress(t, r, done, total);
}

/* ---------------------------------------------------------------------------------------------------- unsupported */

/* Cases that an engine is not made for, for one reason. */
typedef struct reason {
  const cbn_case_result *first;
  size_t cases;
} reason;

static int by_sentence(const void *a, const void *b) {
  const cbn_case_result *x = *(const cbn_case_result *const *)a, *y = *(const cbn_case_result *const *)b;
  const int order = strcmp(x->sentence, y->sentence);
  return order != 0 ? order : (x > y) - (x < y); /* the results' own order */
}

/* The most frequent first. */
static int by_cases(const void *a, const void *b) {
  const reason *x = a, *y = b;
  if (x->cases != y->cases) return x->cases < y->cases ? 1 : -1;
  return (x->first > y->first) - (x->first < y->first);
}

static size_t count_reasons(const cbn_case_result **results, size_t count, reason *reasons) {
  size_t made = 0;
  qsort(results, count, sizeof *results, by_sentence);
  for (size_t i = 0; i < count; i++) {
    if (i == 0 || strcmp(results[i]->sentence, results[i - 1]->sentence) != 0) reasons[made++].first = results[i];
    reasons[made - 1].cases++;
  }
  qsort(reasons, made, sizeof *reasons, by_cases);
  return made;
}

static void print_reasons(const cbn_terminal *t, const reason *reasons, size_t count) {
  size_t others = 0;
  for (size_t i = 0; i < count; i++) {
    const cbn_case_result *r = reasons[i].first;
    if (i >= REASONS_SHOWN) others += reasons[i].cases;
    else
      fprintf(t->out, "%s%s%s %zu cases: %s (for instance %s)\n", colour_of(t, r->verdict),
              cbn_verdict_name(r->verdict), plain(t), reasons[i].cases, r->sentence, r->golden->id);
  }
  if (others > 0)
    fprintf(t->out, "unsupported %zu cases more, for %zu other reasons; -v tells them\n", others,
            count - REASONS_SHOWN);
}

/* One line for each reason: an engine of one operator refuses hundreds of cases, among which a mismatch would be
 * overlooked. */
static void summarise_unsupported(const cbn_terminal *t, const cbn_run *run) {
  const cbn_case_result **results = calloc(run->count + 1, sizeof *results);
  reason *reasons = calloc(run->count + 1, sizeof *reasons);
  size_t count = 0;
  for (size_t i = 0; results != NULL && i < run->count; i++) {
    const cbn_case_result *r = &run->results[i];
    if (r->golden != NULL && !r->bad_case && r->verdict == CBN_VERDICT_UNSUPPORTED) results[count++] = r;
  }
  if (results != NULL && reasons != NULL) print_reasons(t, reasons, count_reasons(results, count, reasons));
  free(reasons);
  free(results);
}

void cbn_terminal_summary(const cbn_terminal *t, const cbn_run *run, size_t left_out) {
  size_t counts[CBN_VERDICT_COUNT] = {0}, bad_cases = 0, vacuous = 0, suspicious = 0, partly = 0, cases = 0,
         refused = 0;
  for (size_t i = 0; i < run->count; i++) {
    const cbn_case_result *r = &run->results[i];
    if (r->golden == NULL) continue;
    cases++;
    bad_cases += r->bad_case;
    refused += !r->asked && r->verdict == CBN_VERDICT_PASS;
    vacuous += r->vacuous;
    partly += r->partly;
    suspicious += r->suspicious;
    counts[r->verdict] += !r->bad_case;
  }
  if (t->verbosity != CBN_QUIET) summarise_unsupported(t, run);
  fprintf(t->out, "%zu cases:", cases);
  for (int v = 0; v < CBN_VERDICT_COUNT; v++)
    if (counts[v] > 0 || v == CBN_VERDICT_PASS)
      fprintf(t->out, " %s%zu %s%s,", colour_of(t, (enum cbn_verdict)v), counts[v],
              cbn_verdict_name((enum cbn_verdict)v), plain(t));
  if (bad_cases > 0) fprintf(t->out, " %zu bad,", bad_cases);
  fprintf(t->out, " in %.1f s; engine %s %s (%s)\n", run->seconds, run->identity.name, run->identity.version,
          run->identity.description);
  for (int bit = 0; t->verbosity != CBN_QUIET && cbn_arithmetic_name(bit) != NULL; bit++)
    if (run->identity.arithmetic >> bit & 1)
      fprintf(t->out, "judged as an engine of the arithmetic class it declares: %s\n", cbn_arithmetic_name(bit));
  const char *zeros = cbn_run_zero_padding(run);
  if (zeros != NULL && t->verbosity != CBN_QUIET)
    fprintf(t->out, "zero padding that meets weights that are not finite is %s\n", zeros);
  if (refused > 0 && t->verbosity != CBN_QUIET)
    fprintf(t->out, "%zu of them refusals that the dialect decides; the engine is not asked\n", refused);
  if (partly > 0 && t->verbosity != CBN_QUIET)
    fprintf(t->out,
            "%zu pass in part: of a whole tensor of theirs nothing can be said for an engine of this arithmetic\n",
            partly);
  if (suspicious > 0 && t->verbosity != CBN_QUIET)
    fprintf(
        t->out,
        "%zu suspicious: within their bounds, but with errors that lean or are too large (docs/statistical-test.md)\n",
        suspicious);
  if (vacuous > 0 && t->verbosity != CBN_QUIET) fprintf(t->out, "%zu vacuous: every right value is 0\n", vacuous);
  if (left_out > 0 && t->verbosity != CBN_QUIET)
    fprintf(t->out, "%zu large cases left out; --large runs them\n", left_out);
}
