#include "harness/select.h"

#include <string.h>

/* The expression in postfix order: a word pushes whether a text holds it, the others replace what they apply to. */
enum instruction_kind { WORD, NOT, AND, OR };

struct instruction {
  enum instruction_kind kind;
  const char *word; /* in lower case */
};

/* Each pair of parentheses keeps at most an `or` and an `and` waiting for their right side. */
enum { STACK_DEPTH = 2 * CBN_SELECT_DEPTH + 3 };

struct cbn_select {
  const struct instruction *program;
  size_t length;
};

enum token_kind { END, OPEN, CLOSE, NOT_TOKEN, AND_TOKEN, OR_TOKEN, WORD_TOKEN };

struct compiler {
  const char *expression;
  const char *begin, *end; /* the current token */
  enum token_kind token;
  int depth;
  struct instruction *program;
  size_t length;
  cbn_arena *arena;
  cbn_error *error;
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool ends_word(char c) { return c == '\0' || c == '(' || c == ')' || is_space(c); }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool token_is(const struct compiler *compiler, const char *word) {
  size_t length = (size_t)(compiler->end - compiler->begin);
  return strlen(word) == length && memcmp(word, compiler->begin, length) == 0;
}

static enum token_kind kind_of_token(const struct compiler *compiler) {
  switch (*compiler->begin) {
  case '\0': return END;
  case '(': return OPEN;
  case ')': return CLOSE;
  default: break;
  }
  if (token_is(compiler, "not")) return NOT_TOKEN;
  if (token_is(compiler, "and")) return AND_TOKEN;
  return token_is(compiler, "or") ? OR_TOKEN : WORD_TOKEN;
}

static void advance(struct compiler *compiler) {
  const char *at = compiler->end;
  while (is_space(*at)) at++;
  compiler->begin = at;
  if (*at == '(' || *at == ')') at++;
  else
    while (!ends_word(*at)) at++;
  compiler->end = at;
  compiler->token = kind_of_token(compiler);
}

static bool fail(const struct compiler *compiler, const char *what, const char *instead) {
  size_t column = (size_t)(compiler->begin - compiler->expression) + 1;
  if (compiler->token == END) CBN_FAIL(compiler->error, "-k: column %zu: %s at the end; %s", column, what, instead);
  int length = (int)(compiler->end - compiler->begin > 40 ? 40 : compiler->end - compiler->begin);
  CBN_FAIL(compiler->error, "-k: column %zu: %s before '%.*s'; %s", column, what, length, compiler->begin, instead);
}

/* One instruction for each token at most: the program has room for all. */
static void emit(struct compiler *compiler, enum instruction_kind kind, const char *word) {
  compiler->program[compiler->length++] = (struct instruction){kind, word};
}

static bool compile_word(struct compiler *compiler) {
  char *word = cbn_arena_copy(compiler->arena, compiler->begin, (size_t)(compiler->end - compiler->begin));
  CBN_CHECK(word != NULL, compiler->error, "-k: no memory for the expression; write a shorter one");
  for (char *c = word; *c != '\0'; c++) *c = lower(*c);
  emit(compiler, WORD, word);
  advance(compiler);
  return true;
}

static bool compile_or(struct compiler *compiler);

static bool compile_group(struct compiler *compiler) {
  if (compiler->depth == CBN_SELECT_DEPTH) return fail(compiler, "too many parentheses inside each other", "nest less");
  compiler->depth++;
  advance(compiler);
  CBN_FORWARD(compile_or(compiler));
  if (compiler->token != CLOSE) return fail(compiler, "a ')', 'and' or 'or' is missing", "write one");
  compiler->depth--;
  advance(compiler);
  return true;
}

static bool compile_not(struct compiler *compiler) {
  bool negated = false;
  for (; compiler->token == NOT_TOKEN; advance(compiler)) negated = !negated; /* a loop, whatever their number */
  if (compiler->token == WORD_TOKEN) CBN_FORWARD(compile_word(compiler));
  else if (compiler->token == OPEN) CBN_FORWARD(compile_group(compiler));
  else return fail(compiler, "a word is missing", "write a word, 'not' or '('");
  if (negated) emit(compiler, NOT, NULL);
  return true;
}

static bool compile_and(struct compiler *compiler) {
  CBN_FORWARD(compile_not(compiler));
  while (compiler->token == AND_TOKEN) {
    advance(compiler);
    CBN_FORWARD(compile_not(compiler));
    emit(compiler, AND, NULL);
  }
  return true;
}

static bool compile_or(struct compiler *compiler) {
  CBN_FORWARD(compile_and(compiler));
  while (compiler->token == OR_TOKEN) {
    advance(compiler);
    CBN_FORWARD(compile_and(compiler));
    emit(compiler, OR, NULL);
  }
  return true;
}

static size_t count_tokens(const char *expression) {
  struct compiler scan = {.end = expression};
  size_t count = 0;
  for (advance(&scan); scan.token != END; advance(&scan)) count++;
  return count;
}

bool cbn_select_compile(const char *expression, cbn_arena *arena, const cbn_select **select, cbn_error *error) {
  struct compiler compiler = {.expression = expression, .end = expression, .arena = arena, .error = error};
  size_t tokens = count_tokens(expression);
  cbn_select *compiled = cbn_arena_allocate(arena, sizeof *compiled);
  compiler.program = cbn_arena_allocate(arena, tokens * sizeof *compiler.program);
  CBN_CHECK(compiled != NULL && compiler.program != NULL, error,
            "-k: no memory for the expression; write a shorter one");
  advance(&compiler);
  if (tokens > 0) CBN_FORWARD(compile_or(&compiler));
  if (compiler.token == CLOSE) return fail(&compiler, "a '(' is missing", "write it, or leave the ')' out");
  if (compiler.token != END) return fail(&compiler, "an 'and' or 'or' is missing", "write one");
  *compiled = (cbn_select){.program = compiler.program, .length = compiler.length};
  *select = compiled;
  return true;
}

static bool begins_with(const char *text, const char *word) {
  while (*word != '\0' && lower(*text) == *word) text++, word++;
  return *word == '\0';
}

static bool holds(const char *const *texts, size_t count, const char *word) {
  for (size_t i = 0; i < count; i++)
    for (const char *at = texts[i]; *at != '\0'; at++)
      if (begins_with(at, word)) return true;
  return false;
}

bool cbn_select_match(const cbn_select *select, const char *const *texts, size_t count) {
  bool stack[STACK_DEPTH] = {true}; /* what a blank expression says */
  size_t top = 0;                   /* behind the last */
  for (size_t i = 0; i < select->length; i++) {
    const struct instruction *instruction = &select->program[i];
    switch (instruction->kind) {
    case WORD: stack[top++] = holds(texts, count, instruction->word); break;
    case NOT: stack[top - 1] = !stack[top - 1]; break;
    case AND: top--, stack[top - 1] = stack[top - 1] && stack[top]; break;
    case OR: top--, stack[top - 1] = stack[top - 1] || stack[top]; break;
    }
  }
  return stack[0];
}
