#include "migration/document.h"

#include <ctype.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--line:#8885;--soft:#8882}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}"
    "table{border-collapse:collapse;margin:1rem 0;width:100%}"
    "th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "th{background:var(--soft)}code,pre{font:.875em/1.45 ui-monospace,monospace}"
    "code{overflow-wrap:anywhere}pre{background:var(--soft);padding:.8rem;overflow-x:auto}"
    "@media print{body{max-width:none}pre{white-space:pre-wrap}}";

/* One form of the page. */
typedef struct sink {
  FILE *file;
  enum cbn_document_form form;
  bool in_table;
} sink;

/* Runs the statement for each form that is written. */
#define FOR_EACH_SINK(d, name)                                                                                         \
  for (sink name = {.form = CBN_MARKDOWN}; name.form <= CBN_HTML; name.form++)                                         \
    if ((name.file = (d)->file[name.form], name.in_table = (d)->columns > 0, name.file != NULL))

/* One character as text of the form. A Markdown page is read as GitHub reads it. */
static void put_character(const sink *s, char c) {
  if (c == '\n' || c == '\t') c = ' ';
  else if ((unsigned char)c < 0x20 || c == 0x7f) c = '?';
  if (c == '&') fputs("&amp;", s->file);
  else if (s->form == CBN_HTML && c == '<') fputs("&lt;", s->file);
  else if (s->form == CBN_HTML && c == '>') fputs("&gt;", s->file);
  else if (s->form == CBN_HTML && c == '"') fputs("&quot;", s->file);
  else fprintf(s->file, "%s%c", s->form == CBN_MARKDOWN && strchr("\\`*_{}[]<>#|~!", c) != NULL ? "\\" : "", c);
}

static void put_plain(const sink *s, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) put_character(s, text[i]);
}

/* Words of code: in Markdown nothing in them is markup but the backquote, which they end at, and, in a table, the bar. */
static void put_code(const sink *s, const char *text, size_t length) {
  if (length == 0) return;
  fputs(s->form == CBN_HTML ? "<code>" : "`", s->file);
  for (size_t i = 0; i < length; i++) {
    if (s->form == CBN_HTML) put_character(s, text[i]);
    else if (text[i] == '|' && s->in_table) fputs("\\|", s->file);
    else fputc(text[i] == '\n' ? ' ' : text[i], s->file);
  }
  fputs(s->form == CBN_HTML ? "</code>" : "`", s->file);
}

/* To a heading of this page, or to another page. */
static void put_link(const sink *s, const char *words, size_t length, const char *page, size_t page_length) {
  const char *ending = page[0] == '#' ? "" : s->form == CBN_HTML ? ".html" : ".md";
  fputs(s->form == CBN_HTML ? "<a href=\"" : "[", s->file);
  if (s->form == CBN_HTML) {
    put_plain(s, page, page_length);
    fprintf(s->file, "%s\">", ending);
  }
  put_plain(s, words, length);
  if (s->form == CBN_HTML) fputs("</a>", s->file);
  else fprintf(s->file, "](%.*s%s)", (int)page_length, page, ending);
}

/* What would begin a list or underline a heading where a paragraph begins. */
static size_t put_beginning(const sink *s, const char *text) {
  size_t digits = 0;
  if (s->form != CBN_MARKDOWN) return 0;
  while (isdigit((unsigned char)text[digits])) digits++;
  if (digits == 0 ? strchr("+-=", text[0]) == NULL || text[0] == '\0' : text[digits] != '.' && text[digits] != ')')
    return 0;
  fprintf(s->file, "%.*s\\%c", (int)digits, text, text[digits]);
  return digits + 1;
}

static void put_text(const sink *s, const char *text) {
  text += put_beginning(s, text);
  while (*text != '\0') {
    const char *end = *text == '`' ? strchr(text + 1, '`') : NULL;
    const char *middle = *text == '[' ? strstr(text, "](") : NULL, *close = middle == NULL ? NULL : strchr(middle, ')');
    if (end != NULL) {
      put_code(s, text + 1, (size_t)(end - text - 1));
      text = end + 1;
    } else if (close != NULL) {
      put_link(s, text + 1, (size_t)(middle - text - 1), middle + 2, (size_t)(close - middle - 2));
      text = close + 1;
    } else {
      put_character(s, *text++);
    }
  }
}

/* As GitHub makes it of a heading: letters and digits, small, joined. */
static void put_anchor(const sink *s, const char *text) {
  for (; *text != '\0'; text++) {
    if (isalnum((unsigned char)*text) || *text == '_') fputc(tolower((unsigned char)*text), s->file);
    else if (*text == ' ' || *text == '-') fputc('-', s->file);
  }
}

static void put_heading(const sink *s, int level, const char *text) {
  if (s->form == CBN_HTML) {
    fprintf(s->file, "<h%d id=\"", level);
    put_anchor(s, text);
    fputs("\">", s->file);
  } else {
    fprintf(s->file, "%.*s ", level, "######");
  }
  put_text(s, text);
  if (s->form == CBN_HTML) fprintf(s->file, "</h%d>\n", level);
  else fputs("\n\n", s->file);
}

void cbn_document_begin(cbn_document *d, FILE *markdown, FILE *html, const char *title) {
  *d = (cbn_document){.file = {[CBN_MARKDOWN] = markdown, [CBN_HTML] = html}};
  if (html != NULL) {
    const sink s = {.file = html, .form = CBN_HTML};
    fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
        html);
    put_plain(&s, title, strlen(title));
    fprintf(html, "</title><style>%s</style></head><body>\n", style);
  }
  cbn_document_heading(d, 1, title);
}

void cbn_document_end(cbn_document *d) {
  if (d->file[CBN_HTML] != NULL) fputs("</body></html>\n", d->file[CBN_HTML]);
}

void cbn_document_heading(cbn_document *d, int level, const char *text) {
  FOR_EACH_SINK(d, s) put_heading(&s, level, text);
}

static void put_around(const sink *s, const char *before, const char *mark, const char *text, const char *behind) {
  fputs(s->form == CBN_HTML ? before : mark, s->file);
  put_text(s, text);
  fputs(s->form == CBN_HTML ? behind : "\n\n", s->file);
}

void cbn_document_text(cbn_document *d, const char *text) {
  FOR_EACH_SINK(d, s) put_around(&s, "<p>", "", text, "</p>\n");
}

void cbn_document_item(cbn_document *d, const char *text) {
  FOR_EACH_SINK(d, s) put_around(&s, "<ul><li>", "- ", text, "</li></ul>\n");
}

static void put_row(const sink *s, const char *cell, int columns, const char *const *cells) {
  if (s->form == CBN_HTML) fputs("<tr>", s->file);
  for (int i = 0; i < columns; i++) {
    if (s->form == CBN_HTML) fprintf(s->file, "<%s>", cell);
    else fputs("| ", s->file);
    put_text(s, cells[i]);
    if (s->form == CBN_HTML) fprintf(s->file, "</%s>", cell);
    else fputc(' ', s->file);
  }
  fputs(s->form == CBN_HTML ? "</tr>\n" : "|\n", s->file);
}

void cbn_document_table(cbn_document *d, int columns, const char *const *heads) {
  d->columns = columns;
  FOR_EACH_SINK(d, s) {
    if (s.form == CBN_HTML) fputs("<table><thead>", s.file);
    put_row(&s, "th", columns, heads);
    if (s.form == CBN_HTML) fputs("</thead><tbody>\n", s.file);
    for (int i = 0; s.form == CBN_MARKDOWN && i < columns; i++) fputs(i + 1 < columns ? "|---" : "|---|\n", s.file);
  }
}

void cbn_document_row(cbn_document *d, const char *const *cells) {
  FOR_EACH_SINK(d, s) put_row(&s, "td", d->columns, cells);
}

void cbn_document_table_end(cbn_document *d) {
  d->columns = 0;
  FOR_EACH_SINK(d, s) fputs(s.form == CBN_HTML ? "</tbody></table>\n" : "\n", s.file);
}

/* The longest run of backquotes in a program: its fence must be longer. */
static int longest_run(const char *text) {
  int longest = 2;
  for (int run = 0; *text != '\0'; text++) {
    run = *text == '`' ? run + 1 : 0;
    if (run > longest) longest = run;
  }
  return longest;
}

static void put_lines(const sink *s, const char *text) {
  for (; *text != '\0'; text++) {
    if (*text == '\n' || s->form == CBN_MARKDOWN) fputc(*text, s->file);
    else put_character(s, *text);
  }
}

void cbn_document_code(cbn_document *d, const char *language, const char *text) {
  const size_t length = strlen(text);
  const char *end = length > 0 && text[length - 1] == '\n' ? "" : "\n";
  FOR_EACH_SINK(d, s) {
    const int fence = longest_run(text) + 1;
    if (s.form == CBN_HTML) fprintf(s.file, "<pre><code class=\"language-%s\">", language);
    else
      for (int i = 0; i < fence; i++) fputc('`', s.file);
    if (s.form == CBN_MARKDOWN) fprintf(s.file, "%s\n", language);
    put_lines(&s, text);
    fputs(end, s.file);
    if (s.form == CBN_HTML) fputs("</code></pre>\n", s.file);
    else
      for (int i = 0; i < fence; i++) fputc('`', s.file);
    if (s.form == CBN_MARKDOWN) fputs("\n\n", s.file);
  }
}
