#include "migration/pages.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dialects/layout.h"
#include "harness/solution.h"
#include "migration/call_text.h"
#include "migration/insertion.h"
#include "migration/snippet.h"
#include "migration/translate.h"

enum { CALL_TEXT = 2048, CELL_TEXT = 6144, PROGRAM_TEXT = 1 << 16 };

/* Appends to a text, cut to `size`. */
__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format, ...) {
  const size_t length = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + length, size - length, format, arguments);
  va_end(arguments);
}

/* A sentence of the page. */
__attribute__((format(printf, 2, 3))) static void say(cbn_document *d, const char *format, ...) {
  char text[CELL_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  cbn_document_text(d, text);
}

/* What is put in from elsewhere, without the marks of code and links: they would swallow what stands behind. */
static void add_plain(char *text, size_t size, const char *words) {
  size_t length = strlen(text);
  for (; *words != '\0' && length + 1 < size; words++) text[length++] = *words == '`' ? '\'' : *words;
  text[length] = '\0';
}

void cbn_page_name(const cbn_page *page, char *name, size_t size) {
  char of[2][128];
  for (int s = 0; s < 2; s++) cbn_side_name(&page->side[s], of[s], sizeof of[s]);
  snprintf(name, size, "%s-%s", of[0], of[1]);
  if (cbn_side_any_axes(&page->side[0]) && cbn_side_any_axes(&page->side[1]))
    add(name, size, "-%" PRId32 "d", page->axes);
}

void cbn_page_title(const cbn_page *page, char *title, size_t size) {
  char of[2][128];
  for (int s = 0; s < 2; s++) cbn_side_name(&page->side[s], of[s], sizeof of[s]);
  snprintf(title, size, "%s and %s", of[0], of[1]);
  if (cbn_side_any_axes(&page->side[0]) && cbn_side_any_axes(&page->side[1]))
    add(title, size, ", %" PRId32 " spatial ax%s", page->axes, page->axes == 1 ? "is" : "es");
}

/* ---------------------------------------------------------------------------------------------------- whose, and how */

static void write_origin(const cbn_page *p, cbn_document *d) {
  char of[2][128], command[400];
  for (int s = 0; s < 2; s++) cbn_side_name(&p->side[s], of[s], sizeof of[s]);
  for (int s = 0; s < 2; s++)
    say(d, "`%s` as in %s. Its signature: `%s%s`", of[s], p->side[s].dialect->profile, of[s],
        p->side[s].operator->signature);
  snprintf(command, sizeof command, "convbn differences %s %s", of[0], of[1]);
  if (cbn_side_any_axes(&p->side[0]) && cbn_side_any_axes(&p->side[1]))
    add(command, sizeof command, " --axes %" PRId32, p->axes);
  say(d,
      "This page is made by `%s`. A difference is the smallest one that was found, by equal values under the names "
      "that each has, all other "
      "parameters being given so that both agree. What is said to agree was searched: all small layers and %d drawn "
      "ones, at "
      "all small inputs. Indices are in the order batch, channels, spatial axes.",
      command, CBN_PAGE_GENOMES);
}

/* --------------------------------------------------------------------------------------------------------- parameters */

/* What one meaning's search has found. */
typedef struct finding {
  bool asked;
  unsigned found;
  cbn_search search;
  cbn_witness witness[CBN_PARTINGS];
} finding;

/* `padding=0`, `in_channels`: all parameters of a side with the meaning; "" for none. */
static void print_parameters(const cbn_page *p, int side, enum cbn_meaning meaning, char *text, size_t size) {
  cbn_signature signature;
  text[0] = '\0';
  if (!cbn_signature_read(p->side[side].operator, p->arena, &signature)) return;
  for (int i = 0; i < signature.count; i++) {
    const cbn_parameter_info *info = &signature.parameter[i];
    if (!cbn_meanings_join(cbn_meaning_of(p->side[side].operator, info->name), meaning)) continue;
    add(text, size, "%s`%s%s%s`", text[0] != '\0' ? ", " : "", info->name, info->required ? "" : "=",
        info->required ? "" : info->fallback_text);
  }
}

/* Is the meaning told with another? Rules of padding are, with its amounts. */
static bool is_told_elsewhere(int meaning) { return meaning == CBN_MEANING_PADDING_RULE; }

static void heading_of(enum cbn_meaning meaning, char *text, size_t size) {
  snprintf(text, size, "%s", cbn_meaning_name(meaning));
  text[0] = (char)toupper((unsigned char)text[0]);
}

static void print_verdict(const finding *f, enum cbn_meaning meaning, char of[2][128], char *text, size_t size) {
  char anchor[64];
  snprintf(text, size, "not compared: no value of it can be written in both");
  if (f->search.layers > 0)
    snprintf(text, size,
             "agree in the region searched: %" PRId64 " pairs of layers, %" PRId64 " situations, kernels up to %" PRId64
             ", extents up to %" PRId64,
             f->search.layers, f->search.situations, f->search.largest_kernel, f->search.largest_extent);
  if (f->found == 0) return;
  snprintf(anchor, sizeof anchor, "%s", cbn_meaning_name(meaning));
  for (char *c = anchor; *c != '\0'; c++) *c = *c == ' ' ? '-' : *c;
  snprintf(text, size, "[differ](#%s): ", anchor);
  for (int k = 0; k < CBN_PARTINGS; k++) {
    const char *between = (f->found & ((1u << k) - 1)) != 0 ? ", " : "";
    if (!(f->found >> k & 1)) continue;
    if (k >= CBN_PART_FIRST_REFUSES) add(text, size, "%s`%s` refuses", between, of[k - CBN_PART_FIRST_REFUSES]);
    else add(text, size, "%s%s", between, k == CBN_PART_VALUES ? "in values" : "in shapes");
  }
}

static void write_parameters(const cbn_page *p, const finding findings[CBN_MEANING_COUNT], cbn_document *d,
                             cbn_page_summary *summary) {
  char of[2][128], cell[2][CELL_TEXT], verdict[400], other[CELL_TEXT] = "";
  for (int s = 0; s < 2; s++) cbn_side_name(&p->side[s], of[s], sizeof of[s]);
  cbn_document_heading(d, 2, "Parameters");
  cbn_document_table(d, 4, (const char *const[]){"meaning", of[0], of[1], "verdict"});
  for (int m = 0; m < CBN_MEANING_OTHER; m++) {
    for (int s = 0; s < 2; s++) print_parameters(p, s, (enum cbn_meaning)m, cell[s], sizeof cell[s]);
    if (is_told_elsewhere(m)) continue;
    if (cell[0][0] == '\0' && cell[1][0] == '\0') continue;
    print_verdict(&findings[m], (enum cbn_meaning)m, of, verdict, sizeof verdict);
    summary->compared += findings[m].search.layers > 0;
    if (findings[m].found != 0)
      add(summary->differ, sizeof summary->differ, "%s%s", summary->differ[0] != '\0' ? ", " : "",
          cbn_meaning_name((enum cbn_meaning)m));
    cbn_document_row(d, (const char *const[]){cbn_meaning_name((enum cbn_meaning)m), cell[0], cell[1], verdict});
  }
  cbn_document_table_end(d);
  for (int s = 0; s < 2; s++) {
    print_parameters(p, s, CBN_MEANING_OTHER, cell[s], sizeof cell[s]);
    if (cell[s][0] != '\0') add(other, sizeof other, "%s%s of `%s`", other[0] != '\0' ? "; " : "", cell[s], of[s]);
  }
  if (other[0] != '\0') say(d, "Not searched: %s.", other);
}

/* -------------------------------------------------------------------------------------------------------- differences */

static void write_sentence(const cbn_page *p, const cbn_witness *w, cbn_document *d) {
  char of[2][128], sentence[CELL_TEXT] = "";
  if (w->parting < CBN_PART_FIRST_REFUSES) {
    add_plain(sentence, sizeof sentence, w->sentence);
    say(d, "%s: %s.", w->parting == CBN_PART_VALUES ? "In values" : "In shapes", sentence);
    return;
  }
  const bool second = w->parting == CBN_PART_SECOND_REFUSES;
  const cbn_rejection *r = second ? &w->of_b.rejection : &w->of_a.rejection;
  for (int s = 0; s < 2; s++) cbn_side_name(&p->side[s], of[s], sizeof of[s]);
  add_plain(sentence, sizeof sentence, r->message);
  say(d, "`%s` refuses what `%s` takes: %s, %s: %s.", of[second], of[!second], cbn_rule_name((int)r->rule),
      r->exception, sentence);
}

/* Has each side an answer of its own? Where what both are given would need another shape in each, there is no one pair of programs. */
static bool has_programs(const cbn_witness *w) {
  return (w->of_a.rejected || w->of_a.result[CBN_ROLE_OUTPUT].rank > 0) &&
         (w->of_b.rejected || w->of_b.result[CBN_ROLE_OUTPUT].rank > 0);
}

static bool write_program(const cbn_page *p, const cbn_witness *w, bool second, char *text, cbn_document *d) {
  char name[128];
  if (!has_programs(w)) return false;
  if (cbn_snippet_program(w, second, text, PROGRAM_TEXT) == 0) return false;
  cbn_side_name(&p->side[second], name, sizeof name);
  say(d, "`%s`:", name);
  cbn_document_code(d, "python", text);
  cbn_snippet_output(w, second, text, PROGRAM_TEXT);
  cbn_document_code(d, "text", text);
  return true;
}

static bool write_differences(const cbn_page *p, finding findings[CBN_MEANING_COUNT], cbn_document *d) {
  char *text = cbn_arena_allocate(p->arena, PROGRAM_TEXT), heading[64];
  bool any = false;
  if (text == NULL) return false;
  cbn_document_heading(d, 2, "Differences");
  for (int m = 0; m < CBN_MEANING_OTHER; m++) {
    const finding *f = &findings[m];
    if (f->found == 0) continue;
    any = true;
    heading_of((enum cbn_meaning)m, heading, sizeof heading);
    cbn_document_heading(d, 3, heading);
    for (int k = 0; k < CBN_PARTINGS; k++) {
      if (!(f->found >> k & 1)) continue;
      write_sentence(p, &f->witness[k], d);
      for (int s = 0; s < 2; s++) write_program(p, &f->witness[k], s == 1, text, d);
    }
  }
  if (!any) say(d, "None was found in the region searched.");
  return true;
}

/* --------------------------------------------------------------------------------------------------------- cases' calls */

/* The layer of a case's first call and the situation of its input. False where the call cannot be asked of another layer: no
 * input, or one of a rank that no layer of the kind takes. */
static bool call_of(const cbn_case *golden, cbn_layer *layer, cbn_situation *at) {
  const cbn_step *step = &golden->steps[0];
  *layer = (cbn_layer){.dialect = golden->dialect, .operator = golden->operator, .params = step->params};
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (golden->tensor[role] != NULL && golden->tensor[role]->has_shape &&
        cbn_framework_of(golden->dialect)->takes_tensors(golden->operator))
      layer->tensor[role] = golden->tensor[role]->shape;
  if (step->input == NULL || !step->input->has_shape || !cbn_layer_situation(layer, &step->input->shape, at))
    return false;
  at->training = cbn_step_trains(golden, step);
  if (step->input->has_type) at->input_type = at->layer_type = step->input->type;
  return true;
}

static const cbn_case *next_case(const cbn_page *p, int side, size_t *i) {
  for (; p->cases != NULL && *i < cbn_cases_count(p->cases); (*i)++) {
    const cbn_case *golden = cbn_cases_at(p->cases, *i);
    if (golden->dialect == p->side[side].dialect && golden->operator == p->side[side].operator)
      return cbn_cases_at(p->cases, (*i)++);
  }
  return NULL;
}

/* --------------------------------------------------------------------------------------------------------- rejections */

/* One row: a rule that one side refuses by, and what the other does. */
typedef struct refusal {
  enum cbn_rule rule;
  int other; /* the other's rule; one of the next */
  const cbn_case *first;
  int more;
} refusal;
enum { OTHER_TAKES_IT = -1, NOT_ASKED = -2, MOST_REFUSALS = 256 };

/* What the other operator does of a case's call, ported by names. */
static int ask_other(const cbn_page *p, const cbn_case *golden, const cbn_side *other) {
  cbn_layer layer, ported = {0};
  cbn_situation at;
  cbn_plan plan;
  cbn_rejection rejection;
  if (cbn_framework_of(other->dialect)->takes_tensors(other->operator)) return NOT_ASKED; /* of unknown shapes */
  if (!call_of(golden, &layer, &at) || !cbn_port_by_name(&layer, other->dialect, other->operator, p->arena, &ported))
    return NOT_ASKED;
  if (cbn_layer_plan(&ported, &at, &plan, &rejection)) return OTHER_TAKES_IT;
  return cbn_is_limit(&rejection) ? NOT_ASKED : (int)rejection.rule;
}

static int list_refusals(const cbn_page *p, int side, refusal rows[MOST_REFUSALS]) {
  int count = 0;
  size_t i = 0;
  for (const cbn_case *golden; (golden = next_case(p, side, &i)) != NULL;) {
    const cbn_expectation *expect = &golden->steps[0].expect;
    if (!expect->rejected || expect->rule < 0) continue;
    const int other = ask_other(p, golden, &p->side[1 - side]);
    int at = 0;
    while (at < count && (rows[at].rule != (enum cbn_rule)expect->rule || rows[at].other != other)) at++;
    if (at == MOST_REFUSALS) continue;
    if (at < count) rows[at].more++;
    else rows[count++] = (refusal){(enum cbn_rule)expect->rule, other, golden, 0};
  }
  return count;
}

static void write_refusals_of(const cbn_page *p, int side, cbn_document *d) {
  refusal rows[MOST_REFUSALS];
  const int count = list_refusals(p, side, rows);
  char of[2][128], says[CELL_TEXT], does[160], id[256];
  for (int s = 0; s < 2; s++) cbn_side_name(&p->side[s == 0 ? side : 1 - side], of[s], sizeof of[s]);
  if (count == 0) return;
  snprintf(says, sizeof says, "`%s` says", of[0]);
  snprintf(does, sizeof does, "`%s`, ported by names", of[1]);
  cbn_document_table(d, 4, (const char *const[]){"rule", says, does, "case"});
  for (int rule = 0; rule < CBN_RULE_COUNT; rule++)
    for (int i = 0; i < count; i++) {
      const refusal *r = &rows[i];
      const cbn_expectation *expect = &r->first->steps[0].expect;
      if ((int)r->rule != rule) continue;
      snprintf(says, sizeof says, "%s%s", expect->exception != NULL ? expect->exception : "refuses",
               expect->message != NULL ? ": " : "");
      add_plain(says, sizeof says, expect->message != NULL ? expect->message : "");
      if (r->other == OTHER_TAKES_IT) snprintf(does, sizeof does, "takes it");
      else if (r->other == NOT_ASKED) snprintf(does, sizeof does, "not known");
      else snprintf(does, sizeof does, "refuses: %s", cbn_rule_name(r->other));
      snprintf(id, sizeof id, "`%s`", r->first->id);
      if (r->more > 0) add(id, sizeof id, " and %d more", r->more);
      cbn_document_row(d, (const char *const[]){cbn_rule_name(rule), says, does, id});
    }
  cbn_document_table_end(d);
}

static void write_refusals(const cbn_page *p, cbn_document *d) {
  cbn_document_heading(d, 2, "What is refused");
  say(d,
      "Recorded: the framework's own words for a call, a row for each rule and answer of the other. Computed: what the "
      "other does of the same "
      "call, written by the names that it has.");
  for (int side = 0; side < 2; side++) write_refusals_of(p, side, d);
}

/* -------------------------------------------------------------------------------------------------------- translations */

/* "exact", "exact if H mod 2 = 0", "none: ...": a translation's answer in a line. */
static void print_answer(const cbn_translation *t, char *text, size_t size) {
  static const char *const kinds[CBN_TRANSLATION_KINDS] = {"exact", "exact", "in evaluation only", "in training only",
                                                           "none"};
  char condition[256];
  snprintf(text, size, "%s", kinds[t->kind]);
  if (t->kind == CBN_TRANSLATION_NONE) {
    add(text, size, ": ");
    add_plain(text, size, t->comparison.rejected ? t->comparison.rejection.message : t->comparison.why);
    return;
  }
  cbn_predicates_print(&t->comparison, t->at.axes, condition, sizeof condition);
  if (condition[0] != '\0') add(text, size, " if %s", condition);
  if (t->inserts) add(text, size, ", with what is put around it");
}

static void add_code(char *text, size_t size, const cbn_code *code) {
  for (int i = 0; i < code->count; i++) add(text, size, "`%s` ", code->line[i]);
}

/* The translation as code: what stands before it, the call, what stands behind. */
static void print_call(const cbn_page *p, const cbn_translation *t, char *text, size_t size) {
  char call[CALL_TEXT];
  cbn_layer target = t->target;
  text[0] = '\0';
  if (t->kind == CBN_TRANSLATION_NONE) return;
  const cbn_situation inner = cbn_surrounded_situation(&t->around, &t->at);
  const cbn_code before = cbn_code_before(&t->target, &t->around, &inner),
                 behind = cbn_code_behind(&t->target, &t->around, &inner);
  cbn_layer_leave_defaults(&target, &inner, CBN_MEANING_COUNT, p->arena);
  cbn_call_print(&target, false, call, sizeof call);
  add_code(text, size, &before);
  add(text, size, "`%s`%s", call, behind.count > 0 ? " " : "");
  add_code(text, size, &behind);
}

/* Translates for the page; false where there is nothing to say. */
static bool translate(const cbn_page *p, const cbn_layer *layer, const cbn_situation *at, const cbn_side *to,
                      cbn_translation *t) {
  cbn_plan plan;
  cbn_rejection ignored;
  cbn_error error;
  return cbn_whole_plan(layer, at, &plan, &ignored) &&
         cbn_translate(layer, at, CBN_BOTH_MODES, to->dialect, to->operator, p->arena, t, &error);
}

/* -------------------------------------------------------------------------------------------------------------- claims */

/* Has what the claim says the right shape, other values being right? */
static bool shape_is_right(const cbn_case *golden, const cbn_claim *claim) {
  const cbn_expectation *right = &golden->steps[golden->step_count - 1].expect;
  const cbn_tensor_source *said = claim->has_expect ? claim->expect.tensor[CBN_ROLE_OUTPUT] : NULL,
                          *is = right->tensor[CBN_ROLE_OUTPUT];
  return said != NULL && is != NULL && said->has_shape && is->has_shape && said->content != CBN_CONTENT_NONE &&
         said->shape.rank == is->shape.rank &&
         memcmp(said->shape.extent, is->shape.extent, (size_t)is->shape.rank * sizeof is->shape.extent[0]) == 0;
}

/* The case of the other operator that a case is held against: its layer is the one that is ported. */
static const cbn_case *ported_case(const cbn_page *p, const cbn_case *golden, const cbn_side *other) {
  const cbn_expectation *expect = &golden->steps[golden->step_count - 1].expect;
  for (size_t i = 0; i < expect->same_count + expect->differs_count; i++) {
    const char *id = i < expect->same_count ? expect->same_as[i] : expect->differs_from[i - expect->same_count];
    const cbn_case *found = cbn_cases_find(p->cases, id);
    if (found != NULL && found->dialect == other->dialect && found->operator == other->operator) return found;
  }
  return NULL;
}

/* What is right in place of a refuted claim: the translation of the layer that it is about. */
static void print_recipe(const cbn_page *p, const cbn_case *golden, int side, char *text, size_t size) {
  const cbn_case *ported = ported_case(p, golden, &p->side[1 - side]);
  const cbn_side *to = &p->side[ported != NULL ? side : 1 - side];
  char call[CALL_TEXT], answer[512], target[CELL_TEXT / 2];
  cbn_translation t;
  cbn_layer layer;
  cbn_situation at;
  text[0] = '\0';
  if (!call_of(ported != NULL ? ported : golden, &layer, &at) || !translate(p, &layer, &at, to, &t)) return;
  cbn_call_print(&layer, false, call, sizeof call);
  print_answer(&t, answer, sizeof answer);
  print_call(p, &t, target, sizeof target);
  snprintf(text, size, "`%s` is, %s: %s", call, answer, target);
  if (t.kind == CBN_TRANSLATION_NONE) snprintf(text, size, "`%s`: %s", call, answer);
}

static void write_claims(const cbn_page *p, cbn_document *d) {
  char claim[CELL_TEXT], verdict[CELL_TEXT], recipe[CELL_TEXT], id[256];
  bool any = false;
  cbn_document_heading(d, 2, "What documents say");
  for (int side = 0; side < 2; side++) {
    size_t i = 0;
    for (const cbn_case *golden; (golden = next_case(p, side, &i)) != NULL;)
      for (size_t k = 0; k < golden->claim_count; k++) {
        const cbn_claim *c = &golden->claims[k];
        if (!any)
          cbn_document_table(d, 4, (const char *const[]){"document and claim", "verdict", "what is right", "case"});
        any = true;
        claim[0] = verdict[0] = recipe[0] = '\0';
        add_plain(claim, sizeof claim, c->document);
        add(claim, sizeof claim, ": ");
        add_plain(claim, sizeof claim, c->text);
        add_plain(verdict, sizeof verdict,
                  !c->refuted                 ? "confirmed by "
                  : shape_is_right(golden, c) ? "right in shape only; its values are refuted by "
                                              : "refuted by ");
        add_plain(verdict, sizeof verdict, c->by != NULL ? c->by : p->side[side].dialect->profile);
        if (c->refuted) print_recipe(p, golden, side, recipe, sizeof recipe);
        snprintf(id, sizeof id, "`%s`", golden->id);
        cbn_document_row(d, (const char *const[]){claim, verdict, recipe, id});
      }
  }
  if (any) cbn_document_table_end(d);
  else say(d, "No case of either holds a claim of a document.");
}

/* ------------------------------------------------------------------------------------------------------- wrong answers */

static void write_wrong_answers(const cbn_page *p, cbn_document *d) {
  char engine[256], note[CELL_TEXT], id[256];
  bool any = false;
  for (int side = 0; side < 2; side++) {
    size_t i = 0;
    for (const cbn_case *golden; (golden = next_case(p, side, &i)) != NULL;)
      for (size_t k = 0; k < golden->upstream_count; k++) {
        if (!any) {
          cbn_document_heading(d, 2, "What engines answer otherwise");
          say(d, "The programs above print these lines where the engine is right. Recorded and known to be wrong:");
          cbn_document_table(d, 3, (const char *const[]){"engine", "what it does", "case"});
        }
        any = true;
        engine[0] = note[0] = '\0';
        add_plain(engine, sizeof engine, golden->upstream[k].engine);
        add_plain(note, sizeof note, golden->upstream[k].note);
        snprintf(id, sizeof id, "`%s`", golden->id);
        cbn_document_row(d, (const char *const[]){engine, note, id});
      }
  }
  if (any) cbn_document_table_end(d);
}

/* ------------------------------------------------------------------------------------------------------------- recipes */

/* An ordinary layer: in the operator's own terms, as the first framework writes it, and then a parameter in its own words. */
typedef struct ordinary {
  const char *words;
  int64_t kernel, stride, padding, dilation, output_padding;
  int groups;         /* 0: one for each channel */
  int32_t mode;       /* enum cbn_padding_mode */
  bool defaults_only; /* nothing is said but what must be said */
  const char *named;  /* a padding by name, in lower case; NULL: by amounts */
  bool causal;        /* all padding before */
} ordinary;

static const ordinary forward_layers[] = {
    {"defaults", 3, 1, 0, 1, 0, .groups = 1, .defaults_only = true},
    {"a padding of 1", 3, 1, 1, 1, 0, .groups = 1},
    {"stride 2, a padding of 1", 3, 2, 1, 1, 0, .groups = 1},
    {"same", 3, 1, 0, 1, 0, .groups = 1, .named = "same"},
    {"same, stride 2", 3, 2, 0, 1, 0, .groups = 1, .named = "same"},
    {"same, even kernel", 4, 1, 0, 1, 0, .groups = 1, .named = "same"},
    {"even kernel, a padding of 1", 4, 1, 1, 1, 0, .groups = 1},
    {"groups", 3, 1, 1, 1, 0, .groups = 2},
    {"depthwise", 3, 1, 1, 1, 0, .groups = 0},
    {"dilation 2", 3, 1, 2, 2, 0, .groups = 1},
    {"dilation 2, stride 2", 3, 2, 2, 2, 0, .groups = 1},
    {"reflection", 3, 1, 1, 1, 0, .groups = 1, .mode = CBN_PAD_REFLECT},
    {"wrapped around", 3, 1, 1, 1, 0, .groups = 1, .mode = CBN_PAD_CIRCULAR},
    {"causal", 3, 1, 2, 1, 0, .groups = 1, .causal = true},
};

static const ordinary transposed_layers[] = {
    {"defaults", 3, 1, 0, 1, 0, .groups = 1, .defaults_only = true},
    {"stride 2", 3, 2, 0, 1, 0, .groups = 1},
    {"stride 2, a padding of 1", 3, 2, 1, 1, 0, .groups = 1},
    {"stride 2, a padding of 1, one element added", 3, 2, 1, 1, 1, .groups = 1},
    {"same, stride 2", 3, 2, 0, 1, 0, .groups = 1, .named = "same"},
    {"even kernel, stride 2, a padding of 1", 4, 2, 1, 1, 0, .groups = 1},
    {"groups", 3, 2, 1, 1, 0, .groups = 2},
    {"dilation 2", 3, 1, 0, 2, 0, .groups = 1},
    {"dilation 2, stride 2", 3, 2, 1, 2, 0, .groups = 1},
};

enum { ORDINARY_CHANNELS = 2, ORDINARY_OUT = 4, ORDINARY_EXTENT = 9 };

static cbn_conv conv_of(const ordinary *o, int32_t axes, bool transposed) {
  cbn_conv c = cbn_conv_make(axes);
  c.batch = 1;
  c.in_channels = ORDINARY_CHANNELS;
  c.out_channels = ORDINARY_OUT;
  c.groups = o->groups == 0 ? ORDINARY_CHANNELS : o->groups;
  c.has_bias = true;
  c.transposed = transposed;
  c.padding_mode = o->mode;
  for (int32_t a = 0; a < axes; a++) {
    c.kernel[a] = o->kernel;
    c.stride[a] = o->stride;
    c.dilation[a] = o->dilation;
    c.pad_begin[a] = o->padding;
    c.pad_end[a] = o->causal ? 0 : o->padding;
    c.output_padding[a] = o->output_padding;
    c.input[a] = ORDINARY_EXTENT;
  }
  return c;
}

/* The ordinary layer as the side writes it. False where it has none. */
static bool write_ordinary(const cbn_page *p, int side, const ordinary *o, cbn_layer *layer, cbn_situation *at) {
  const cbn_side *s = &p->side[side];
  const cbn_conv c = conv_of(o, p->axes, s->operator->transposed);
  *at = (cbn_situation){.batch = 1, .channels = ORDINARY_CHANNELS, .axes = p->axes};
  for (int32_t a = 0; a < p->axes; a++) at->extent[a] = ORDINARY_EXTENT;
  if (!cbn_layer_of_conv(&c, s->dialect, s->operator, p->arena, layer)) return false;
  if (o->defaults_only) return cbn_layer_keep_required(layer, p->arena);
  cbn_layer_leave_defaults(layer, at, CBN_MEANING_COUNT, p->arena);
  return o->named == NULL || cbn_layer_name_padding(layer, at, o->named, p->arena);
}

/* A batch normalization: a parameter's value in the words of a framework, all others left out. */
static const struct {
  const char *words;
  enum cbn_meaning meaning; /* COUNT: nothing is said but what must be said */
  cbn_value value;
} normalizations[] = {
    {"defaults", CBN_MEANING_COUNT, {.kind = CBN_NULL}},
    {"epsilon 0.001", CBN_MEANING_EPSILON, {.kind = CBN_REAL, .as.real = 1e-3}},
    {"momentum 0.1", CBN_MEANING_MOMENTUM, {.kind = CBN_REAL, .as.real = 0.1}},
    {"momentum 0.99", CBN_MEANING_MOMENTUM, {.kind = CBN_REAL, .as.real = 0.99}},
    {"momentum None", CBN_MEANING_MOMENTUM, {.kind = CBN_NULL}},
    {"without a scale", CBN_MEANING_SCALE, {.kind = CBN_BOOLEAN}},
    {"without a shift", CBN_MEANING_SHIFT, {.kind = CBN_BOOLEAN}},
    {"statistics of the batch", CBN_MEANING_STATISTICS, {.kind = CBN_BOOLEAN}},
    {"statistics given", CBN_MEANING_STATISTICS, {.kind = CBN_BOOLEAN, .as.boolean = true}},
};

static bool write_normalization(const cbn_page *p, int side, size_t i, cbn_layer *layer, cbn_situation *at) {
  const cbn_layer *simplest = cbn_starts_simplest(p->starts[side], at);
  cbn_plan plan;
  cbn_rejection ignored;
  if (simplest == NULL) return false;
  *layer = *simplest;
  return cbn_layer_keep_required(layer, p->arena) &&
         (normalizations[i].meaning == CBN_MEANING_COUNT ||
          cbn_layer_set(layer, normalizations[i].meaning, &normalizations[i].value, p->arena)) &&
         cbn_whole_plan(layer, at, &plan, &ignored);
}

static void write_recipe(const cbn_page *p, int side, const char *words, const cbn_layer *layer,
                         const cbn_situation *at, cbn_document *d) {
  char call[CALL_TEXT], from[CALL_TEXT + 2], answer[512], target[CELL_TEXT];
  cbn_translation t;
  if (!translate(p, layer, at, &p->side[1 - side], &t)) return;
  cbn_call_print(layer, false, call, sizeof call);
  snprintf(from, sizeof from, "`%s`", call);
  print_answer(&t, answer, sizeof answer);
  print_call(p, &t, target, sizeof target);
  cbn_document_row(d, (const char *const[]){words, from, answer, target});
}

static void write_recipes(const cbn_page *p, cbn_document *d) {
  const bool conv = p->side[0].operator->kind == CBN_OPERATOR_CONV, transposed = p->side[0].operator->transposed;
  const ordinary *layers = transposed ? transposed_layers : forward_layers;
  const size_t count = !conv        ? sizeof normalizations / sizeof normalizations[0]
                       : transposed ? sizeof transposed_layers / sizeof transposed_layers[0]
                                    : sizeof forward_layers / sizeof forward_layers[0];
  char of[2][128], missing[CELL_TEXT];
  for (int s = 0; s < 2; s++) cbn_side_name(&p->side[s], of[s], sizeof of[s]);
  cbn_document_heading(d, 2, "Recipes");
  say(d, "Each answer but none was run: both sides on integers, through the reference.");
  for (int side = 0; side < 2; side++) {
    missing[0] = '\0';
    cbn_document_table(d, 4, (const char *const[]){"layer", of[side], "answer", of[1 - side]});
    for (size_t i = 0; i < count; i++) {
      cbn_layer layer;
      cbn_situation at;
      const char *words = conv ? layers[i].words : normalizations[i].words;
      const bool there =
          conv ? write_ordinary(p, side, &layers[i], &layer, &at) : write_normalization(p, side, i, &layer, &at);
      if (there) write_recipe(p, side, words, &layer, &at, d);
      else add(missing, sizeof missing, "%s%s", missing[0] != '\0' ? "; " : "", words);
    }
    cbn_document_table_end(d);
    if (missing[0] != '\0') say(d, "`%s` does not say in one call: %s.", of[side], missing);
  }
}

/* ------------------------------------------------------------------------------------------------------------ the page */

bool cbn_page_write(const cbn_page *page, cbn_document *document, cbn_page_summary *summary) {
  finding *findings = cbn_arena_allocate(page->arena, CBN_MEANING_COUNT * sizeof *findings);
  char cell[CELL_TEXT];
  *summary = (cbn_page_summary){0};
  if (findings == NULL) return false;
  for (int m = 0; m < CBN_MEANING_OTHER; m++) {
    finding *f = &findings[m];
    if (is_told_elsewhere(m)) continue;
    for (int s = 0; s < 2 && !f->asked; s++) {
      print_parameters(page, s, (enum cbn_meaning)m, cell, sizeof cell);
      f->asked = cell[0] != '\0';
    }
    f->search.partings = CBN_PART_ANYHOW;
    if (f->asked)
      f->found = cbn_differ_operators(page->starts[0], page->starts[1], (enum cbn_meaning)m, &f->search, f->witness);
  }
  write_origin(page, document);
  write_parameters(page, findings, document, summary);
  const bool done = write_differences(page, findings, document);
  write_refusals(page, document);
  write_claims(page, document);
  write_wrong_answers(page, document);
  write_recipes(page, document);
  for (int m = 0; m < CBN_MEANING_OTHER; m++)
    for (int k = 0; k < CBN_PARTINGS; k++)
      if (findings[m].found >> k & 1) cbn_witness_release(&findings[m].witness[k]);
  return done;
}
