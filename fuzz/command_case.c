/* `convbn case` and `convbn seed`: genomes as case files, and back. */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/verdict.h"
#include "fuzz/case_text.h"
#include "harness/commands.h"

typedef struct arguments {
  const char *out, *id, *comment;
  bool hex;
  char **paths;
  int count;
} arguments;

enum { KEY_HEX = 256, KEY_ID, KEY_COMMENT };

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case 'o': a->out = text; break;
  case 'k':
  case KEY_ID: a->id = text; break;
  case KEY_COMMENT: a->comment = text; break;
  case KEY_HEX: a->hex = true; break;
  case ARGP_KEY_ARGS:
    a->paths = state->argv + state->next;
    a->count = state->argc - state->next;
    break;
  case ARGP_KEY_NO_ARGS: argp_error(state, "name a file"); break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

/* Says what is wrong with a file; returns the exit code. */
static int complain(const char *command, const char *path, const char *why) {
  cbn_error line;
  cbn_error_set(&line, "%s: %s: %s", command, path, why);
  fprintf(stderr, "%s\n", line.text);
  return CBN_EXIT_USAGE;
}

/* Writes bytes that are whole to the file, or to the standard output. */
static int deliver(const char *command, const char *path, const char *bytes, size_t size) {
  FILE *file = path == NULL ? stdout : fopen(path, "wb");
  if (file == NULL) return complain(command, path, strerror(errno));
  bool written = fwrite(bytes, 1, size, file) == size && fflush(file) == 0;
  const int why = errno;
  if (file != stdout) written = fclose(file) == 0 && written;
  return written ? CBN_EXIT_EXPECTED : complain(command, path == NULL ? "standard output" : path, strerror(why));
}

/* ------------------------------------------------------------------------------------------------ convbn case */

static const struct argp_option case_options[] = {
    {NULL, 'o', "OUT", 0, "Write the case file to OUT", 1},
    {"id", KEY_ID, "ID", 0, "The case's id (default: one of the problem's hash)", 1},
    {"comment", KEY_COMMENT, "TEXT", 0, "The case's comment (default: what kind of problem it is)", 1},
    {"hex", KEY_HEX, NULL, 0, "The genome is written in hexadecimal digits; white space does not count", 1},
    {0}};

static const struct argp case_argp = {
    .options = case_options,
    .parser = parse,
    .args_doc = "FILE...",
    .doc =
        "Writes the problems of genomes, as fuzzers keep them, as a case file in the dialect `canonical`, a case for "
        "each "
        "FILE; - is the standard input. Bytes beyond the genome's 64 count for nothing."
        "\vExit status: 0 all are written; 2 a file cannot be read, or no case can say its problem: nothing is "
        "written. A "
        "problem that came before is left out."};

/* Reads at most a genome's bytes. */
static bool read_bytes(FILE *file, uint8_t *bytes, size_t *size) {
  *size = fread(bytes, 1, CBN_GENOME_BYTES, file);
  return ferror(file) == 0;
}

static bool read_digits(FILE *file, uint8_t *bytes, size_t *size, cbn_error *error) {
  static const char digits[] = "0123456789abcdef";
  size_t count = 0;
  for (int c; (c = getc(file)) != EOF;) {
    if (isspace(c)) continue;
    const char *digit = strchr(digits, tolower(c));
    CBN_CHECK(c != '\0' && digit != NULL, error, "%c is no hexadecimal digit", c);
    const size_t at = count++ / 2;
    if (at < CBN_GENOME_BYTES) bytes[at] = (uint8_t)(bytes[at] << 4 | (digit - digits));
  }
  CBN_CHECK(count % 2 == 0, error, "half a byte at the end: %zu hexadecimal digits", count);
  *size = count / 2 < CBN_GENOME_BYTES ? count / 2 : CBN_GENOME_BYTES;
  return ferror(file) == 0;
}

static bool read_genome(const char *path, bool hex, cbn_generated *problem, cbn_error *error) {
  uint8_t bytes[CBN_GENOME_BYTES] = {0};
  size_t size = 0;
  FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
  CBN_CHECK(file != NULL, error, "%s", strerror(errno));
  cbn_error_set(error, "%s", "");
  const bool whole = hex ? read_digits(file, bytes, &size, error) : read_bytes(file, bytes, &size);
  if (ferror(file)) cbn_error_set(error, "%s", strerror(errno));
  if (file != stdin) fclose(file);
  cbn_generate(bytes, size, problem);
  return whole && cbn_case_possible(problem, error);
}

/* As the schema wants it: three words of small letters, digits and hyphens. */
static bool is_id(const char *id) {
  int words = 0;
  for (const char *word = id;; words++) {
    const size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (length == 0) return false;
    word += length;
    if (*word == '\0') return words == 2;
    if (*word++ != '/') return false;
  }
}

/* The cases of all files; the exit code. */
static int write_cases(const arguments *a, FILE *file) {
  cbn_generated *problems = calloc((size_t)a->count, sizeof *problems);
  cbn_error error = {"there is no memory left"};
  int code = problems != NULL ? CBN_EXIT_EXPECTED : complain("convbn case", a->paths[0], error.text);
  for (int i = 0; i < a->count && code == CBN_EXIT_EXPECTED; i++) {
    const cbn_generated *p = &problems[i];
    int twin = 0;
    if (!read_genome(a->paths[i], a->hex, &problems[i], &error))
      code = complain("convbn case", a->paths[i], error.text);
    else if (cbn_generated_is_conv(p->kind) != cbn_generated_is_conv(problems[0].kind))
      code = complain("convbn case", a->paths[i],
                      "a file has one operator; give convolutions and batch normalizations apart");
    if (code != CBN_EXIT_EXPECTED) break;
    while (!cbn_generated_equal(&problems[twin], p)) twin++;
    if (twin < i) fprintf(stderr, "convbn case: %s: the same problem as %s, left out\n", a->paths[i], a->paths[twin]);
    else if ((i == 0 && !cbn_case_write_header(file, p->kind)) || !cbn_case_write_entry(file, p, a->id, a->comment))
      code = complain("convbn case", a->paths[i], "there is no memory left");
  }
  free(problems);
  return code;
}

int cbn_command_case(int argc, char **argv) {
  arguments a = {.count = 0};
  char *text = NULL;
  size_t size = 0;
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&case_argp, argc, argv, 0, NULL, &a);
  if (a.id != NULL && a.count > 1) return complain("convbn case", a.id, "one id is not for several cases");
  if (a.id != NULL && !is_id(a.id))
    return complain("convbn case", a.id, "an id is three words of small letters, digits and hyphens, joined by /");
  FILE *memory = open_memstream(&text, &size);
  if (memory == NULL) return complain("convbn case", a.paths[0], "there is no memory left");
  int code = write_cases(&a, memory);
  if (fclose(memory) != 0) code = complain("convbn case", a.paths[0], "there is no memory left");
  if (code == CBN_EXIT_EXPECTED) code = deliver("convbn case", a.out, text, size);
  free(text);
  return code;
}

/* ------------------------------------------------------------------------------------------------ convbn seed */

static const struct argp_option seed_options[] = {
    {NULL, 'k', "ID", 0, "The case with that id, where the file has several", 1},
    {NULL, 'o', "OUT", 0, "Write the genome to OUT", 1},
    {"hex", KEY_HEX, NULL, 0, "Write it in hexadecimal digits", 1},
    {0}};

static const struct argp seed_argp = {
    .options = seed_options,
    .parser = parse,
    .args_doc = "CASE",
    .doc =
        "Writes the genome, 64 bytes, of which a case is the problem: a seed for fuzzers. What the case states of its "
        "results is left behind."
        "\vExit status: 0 the genome is written; 2 the case file is wrong, or no bytes give its problem."};

static void print_problem(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "%s\n", line);
}

/* The case that is meant; NULL with a message where that is none or several. */
static const cbn_case *choose(const cbn_case_set *set, const arguments *a) {
  const size_t count = cbn_cases_count(set);
  const cbn_case *found = a->id != NULL ? cbn_cases_find(set, a->id) : count == 1 ? cbn_cases_at(set, 0) : NULL;
  char why[64];
  if (found != NULL) return found;
  snprintf(why, sizeof why, "has %zu cases; name one with -k ID", count);
  if (a->id != NULL) complain("convbn seed", a->paths[0], "has no case of that id");
  else complain("convbn seed", a->paths[0], why);
  return NULL;
}

static int write_genome(const arguments *a, const cbn_case *golden) {
  cbn_generated problem;
  cbn_error error;
  uint8_t genome[CBN_GENOME_BYTES];
  char digits[2 * CBN_GENOME_BYTES + 2];
  const char *parameter = NULL;
  if (!cbn_problem_of_case(golden, &problem, &error)) {
    fprintf(stderr, "%s\n", error.text);
    return CBN_EXIT_USAGE;
  }
  if (!cbn_genome_of(&problem, genome, &parameter)) {
    fprintf(stderr, "%s:%u:1: seed: no bytes give %s: %s\n", golden->file, (unsigned)golden->line, golden->id,
            parameter);
    return CBN_EXIT_USAGE;
  }
  if (!a->hex) return deliver("convbn seed", a->out, (const char *)genome, sizeof genome);
  for (int i = 0; i < CBN_GENOME_BYTES; i++) snprintf(digits + 2 * i, 3, "%02x", genome[i]);
  digits[2 * CBN_GENOME_BYTES] = '\n';
  return deliver("convbn seed", a->out, digits, 2 * CBN_GENOME_BYTES + 1);
}

int cbn_command_seed(int argc, char **argv) {
  arguments a = {.count = 0};
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&seed_argp, argc, argv, 0, NULL, &a);
  if (a.count > 1) return complain("convbn seed", a.paths[1], "one case file at a time");
  cbn_case_set *set = cbn_cases_create();
  const bool loaded = set != NULL && cbn_cases_load(set, a.paths[0], print_problem, NULL) == 0;
  const cbn_case *golden = loaded ? choose(set, &a) : NULL;
  const int code = golden != NULL ? write_genome(&a, golden) : CBN_EXIT_USAGE;
  cbn_cases_destroy(set);
  return code;
}
