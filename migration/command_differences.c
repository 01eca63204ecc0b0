/* `convbn differences`: the pages that say where two frameworks' operators part. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/verdict.h"
#include "harness/commands.h"
#include "harness/whole_file.h"
#include "migration/pages.h"

enum { ARENA_BYTES = 1 << 30, MOST_SIDES = 16 };

typedef struct arguments {
  const char *words[2];
  int count;
  bool all;
  int axes; /* 0: as many as both have */
  const char *html, *markdown, *cases;
} arguments;

enum { KEY_ALL = 256, KEY_HTML, KEY_MARKDOWN, KEY_CASES, KEY_AXES };

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case KEY_ALL: a->all = true; break;
  case KEY_HTML: a->html = text; break;
  case KEY_MARKDOWN: a->markdown = text; break;
  case KEY_CASES: a->cases = text; break;
  case KEY_AXES:
    a->axes = text[0] >= '1' && text[0] <= '3' && text[1] == '\0' ? text[0] - '0' : 0;
    if (a->axes == 0) argp_error(state, "--axes must be 1, 2 or 3, got '%s'", text);
    break;
  case ARGP_KEY_ARG:
    if (a->count == 2) argp_error(state, "two operators are enough: '%s' is too much", text);
    else a->words[a->count++] = text;
    break;
  case ARGP_KEY_END:
    if (a->all && a->count > 0) argp_error(state, "--all names no operators: '%s' is too much", a->words[0]);
    if (a->all && a->html == NULL && a->markdown == NULL) argp_error(state, "--all needs --html DIR or --markdown DIR");
    if (a->all && a->axes > 0) argp_error(state, "--all has pages of 1, 2 and 3 axes: --axes is too much");
    if (!a->all && a->count < 2) argp_error(state, "name two operators, or --all");
    break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp_option options[] = {
    {"all", KEY_ALL, NULL, 0, "Every pair of frameworks and each kind of operation, with an index", 0},
    {"html", KEY_HTML, "DIR", 0, "Write HTML pages into that folder", 0},
    {"markdown", KEY_MARKDOWN, "DIR", 0, "Write Markdown pages into that folder", 0},
    {"cases", KEY_CASES, "PATH", 0, "The cases whose refusals and claims are told (default cases/)", 0},
    {"axes", KEY_AXES, "N", 0, "Spatial axes, of operators that have any number (default 2)", 0},
    {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "OPERATOR OPERATOR\n--all",
    .doc =
        "Writes what differs between two frameworks' operators: each parameter's verdict, the smallest witnesses as "
        "programs, what is refused, what documents claim, and how ordinary layers are translated. Markdown to the "
        "standard output, unless a folder is named.\n\n"
        "  convbn differences torch.nn.Conv2d mindspore.nn.Conv2d\n"
        "  convbn differences --all --html pages"
        "\vExit status: 0 written; 2 bad input, or something could not be written."};

/* ------------------------------------------------------------------------------------------------------------ writing */

/* Pages being written. */
typedef struct job {
  const arguments *asked;
  const cbn_case_set *cases;
  cbn_error *error;
} job;

static bool make_folder(const char *path, cbn_error *error) {
  struct stat about;
  if (path == NULL || mkdir(path, 0777) == 0) return true;
  if (errno == EEXIST && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return true;
  return cbn_error_set(error, "%.200s cannot be made: %s", path, strerror(errno == EEXIST ? ENOTDIR : errno));
}

/* A page in memory, in each form that is asked for. */
typedef struct sheet {
  FILE *file[2];
  char *text[2];
  size_t size[2];
} sheet;

static bool open_sheet(const job *j, sheet *s) {
  const bool wanted[2] = {
      [CBN_MARKDOWN] = j->asked->markdown != NULL || j->asked->html == NULL, [CBN_HTML] = j->asked->html != NULL};
  *s = (sheet){0};
  for (int form = 0; form < 2; form++) {
    if (!wanted[form]) continue;
    s->file[form] = open_memstream(&s->text[form], &s->size[form]);
    CBN_CHECK(s->file[form] != NULL, j->error, "%s", strerror(errno));
  }
  return true;
}

typedef struct content {
  const char *text;
  size_t size;
} content;

static bool put_content(FILE *file, const void *context) {
  const content *c = context;
  return fwrite(c->text, 1, c->size, file) == c->size;
}

/* Writes what is in memory to its files, or to the standard output where no folder is named. */
static bool close_sheet(const job *j, sheet *s, const char *name) {
  const char *const folders[2] = {[CBN_MARKDOWN] = j->asked->markdown, [CBN_HTML] = j->asked->html};
  bool done = true;
  for (int form = 0; form < 2; form++) {
    char path[PATH_MAX];
    if (s->file[form] == NULL) continue;
    if (fclose(s->file[form]) != 0) done = cbn_error_set(j->error, "%s", strerror(errno));
    const content c = {s->text[form], s->size[form]};
    if (done && folders[form] == NULL && !put_content(stdout, &c))
      done = cbn_error_set(j->error, "%s", strerror(errno));
    if (done && folders[form] != NULL) {
      snprintf(path, sizeof path, "%s/%s.%s", folders[form], name, form == CBN_HTML ? "html" : "md");
      done = cbn_whole_file_write(path, "page", put_content, &c, j->error);
    }
    free(s->text[form]);
  }
  return done;
}

static bool write_page(const job *j, const cbn_page *page, cbn_page_summary *summary) {
  char name[300], title[400];
  cbn_document document;
  sheet s;
  cbn_page_name(page, name, sizeof name);
  cbn_page_title(page, title, sizeof title);
  CBN_FORWARD(open_sheet(j, &s));
  cbn_document_begin(&document, s.file[CBN_MARKDOWN], s.file[CBN_HTML], title);
  const bool done = cbn_page_write(page, &document, summary);
  cbn_document_end(&document);
  return close_sheet(j, &s, name) && (done || cbn_error_set(j->error, "%s: not enough memory", name));
}

static bool make_starts(const cbn_side *side, int32_t axes, cbn_arena *arena, cbn_starts **starts, cbn_error *error) {
  *starts = cbn_starts_create(side->dialect, side->operator, axes, CBN_PAGE_SEED, CBN_PAGE_GENOMES, arena);
  return *starts != NULL || cbn_error_set(error, "not enough memory");
}

/* --------------------------------------------------------------------------------------------------------------- pairs */

static bool write_one(const job *j, cbn_error *error) {
  cbn_page_summary summary;
  cbn_page page = {.cases = j->cases};
  bool done = true;
  for (int s = 0; s < 2; s++) CBN_FORWARD(cbn_side_read(j->asked->words[s], &page.side[s], error));
  CBN_CHECK(page.side[0].operator->kind == page.side[1].operator->kind &&
                page.side[0].operator->transposed == page.side[1].operator->transposed,
            error, "%s and %s are different operations", page.side[0].operator->name, page.side[1].operator->name);
  page.axes = cbn_sides_axes(page.side);
  const bool any = cbn_side_any_axes(&page.side[0]) && cbn_side_any_axes(&page.side[1]);
  CBN_CHECK(j->asked->axes == 0 || any || j->asked->axes == page.axes, error,
            "--axes: one of the two has %" PRId32 " axes", page.axes);
  if (j->asked->axes > 0) page.axes = j->asked->axes;
  page.arena = cbn_arena_create(ARENA_BYTES);
  CBN_CHECK(page.arena != NULL, error, "not enough memory");
  for (int s = 0; s < 2; s++) done = done && make_starts(&page.side[s], page.axes, page.arena, &page.starts[s], error);
  done = done && write_page(j, &page, &summary);
  cbn_arena_destroy(page.arena);
  return done;
}

/* A kind of operation, of which each framework has at most one operator on the pages. */
typedef struct kind {
  const char *name;
  enum cbn_operator operation;
  bool transposed;
  int32_t axes;
} kind;

static const kind kinds[] = {
    {"Convolution, 1 axis", CBN_OPERATOR_CONV, false, 1},
    {"Convolution, 2 axes", CBN_OPERATOR_CONV, false, 2},
    {"Convolution, 3 axes", CBN_OPERATOR_CONV, false, 3},
    {"Transposed convolution, 1 axis", CBN_OPERATOR_CONV, true, 1},
    {"Transposed convolution, 2 axes", CBN_OPERATOR_CONV, true, 2},
    {"Transposed convolution, 3 axes", CBN_OPERATOR_CONV, true, 3},
    {"Batch normalization", CBN_OPERATOR_BATCHNORM, false, 2},
};

/* The sides of a kind; the dialect of the operators themselves is no framework. */
static int list_sides(const kind *k, cbn_side sides[MOST_SIDES]) {
  int count = 0;
  for (const cbn_framework *const *f = cbn_frameworks(); *f != NULL && count < MOST_SIDES; f++) {
    const cbn_side side = cbn_side_counterpart((*f)->dialect, k->operation, k->transposed, k->axes);
    if (side.operator != NULL && strcmp((*f)->dialect->name, "canonical") != 0) sides[count++] = side;
  }
  return count;
}

static void tell_progress(const char *title) {
  if (isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K%s", title);
}

static bool write_pair(const job *j, cbn_page *page, cbn_document *index) {
  char name[300], title[400], cell[800];
  cbn_page_summary summary;
  cbn_page_name(page, name, sizeof name);
  cbn_page_title(page, title, sizeof title);
  tell_progress(title);
  page->arena = cbn_arena_create(ARENA_BYTES);
  CBN_CHECK(page->arena != NULL, j->error, "not enough memory");
  const bool done = write_page(j, page, &summary);
  cbn_arena_destroy(page->arena);
  if (!done) return false;
  snprintf(cell, sizeof cell, "[%s](%s)", title, name);
  cbn_document_row(index, (const char *const[]){cell, summary.differ[0] != '\0' ? summary.differ : "none was found"});
  return true;
}

static bool write_kind(const job *j, const kind *k, cbn_document *index) {
  cbn_side sides[MOST_SIDES];
  cbn_starts *starts[MOST_SIDES];
  const int count = list_sides(k, sides);
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  bool done = arena != NULL || cbn_error_set(j->error, "not enough memory");
  for (int i = 0; i < count && done; i++) done = make_starts(&sides[i], k->axes, arena, &starts[i], j->error);
  cbn_document_heading(index, 2, k->name);
  cbn_document_table(index, 2, (const char *const[]){"page", "parameters that differ"});
  for (int i = 0; i < count; i++)
    for (int l = i + 1; l < count && done; l++) {
      cbn_page page = {
          .side = {sides[i], sides[l]}, .axes = k->axes, .starts = {starts[i], starts[l]}, .cases = j->cases};
      done = write_pair(j, &page, index);
    }
  cbn_document_table_end(index);
  cbn_arena_destroy(arena);
  return done;
}

static bool write_all(const job *j) {
  cbn_document index;
  sheet s;
  bool done = true;
  CBN_FORWARD(open_sheet(j, &s));
  cbn_document_begin(&index, s.file[CBN_MARKDOWN], s.file[CBN_HTML], "Where frameworks part");
  cbn_document_text(&index,
                    "A page for each two frameworks and each kind of operation. Made by `convbn differences --all`.");
  for (const cbn_framework *const *f = cbn_frameworks(); *f != NULL; f++) {
    char text[400];
    if (strcmp((*f)->dialect->name, "canonical") == 0) continue;
    snprintf(text, sizeof text, "%s: %s", (*f)->dialect->name, (*f)->dialect->profile);
    cbn_document_item(&index, text);
  }
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && done; i++) done = write_kind(j, &kinds[i], &index);
  cbn_document_end(&index);
  tell_progress("");
  return close_sheet(j, &s, "index") && done;
}

/* ------------------------------------------------------------------------------------------------------------- command */

static void print_problem(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "%s\n", line);
}

int cbn_command_differences(int argc, char **argv) {
  arguments a = {.cases = "cases"};
  cbn_error error = {0};
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &a);
  cbn_case_set *set = cbn_cases_create();
  const job j = {&a, set, &error};
  bool done = set != NULL && make_folder(a.html, &error) && make_folder(a.markdown, &error);
  if (done && cbn_cases_load(set, a.cases, print_problem, NULL) > 0)
    done = cbn_error_set(&error, "the cases cannot be read; --cases names others");
  done = done && (a.all ? write_all(&j) : write_one(&j, &error));
  if (fflush(stdout) != 0) done = cbn_error_set(&error, "%s", strerror(errno));
  if (!done) fprintf(stderr, "%s: %s\n", argv[0], error.text[0] != '\0' ? error.text : strerror(ENOMEM));
  cbn_cases_destroy(set);
  return done ? CBN_EXIT_EXPECTED : CBN_EXIT_USAGE;
}
