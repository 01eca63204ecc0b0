#include "migration/document.h"

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

/* One character as text of the form. A Markdown page is read as GitHub reads it. */
static void put_character(const cbn_document *d, char c) {
  if (d->form == CBN_MARKDOWN) {
    if (strchr("\\`*_{}[]<>#|~", c) != NULL) fputc('\\', d->file);
    fputc(c == '\n' ? ' ' : c, d->file);
    return;
  }
  switch (c) {
  case '&': fputs("&amp;", d->file); break;
  case '<': fputs("&lt;", d->file); break;
  case '>': fputs("&gt;", d->file); break;
  case '"': fputs("&quot;", d->file); break;
  default: fputc(c, d->file); break;
  }
}

static void put_plain(const cbn_document *d, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) put_character(d, text[i]);
}

/* Words of code: in Markdown nothing in them is markup but the backquote, which they end at, and, in a table, the bar. */
static void put_code(const cbn_document *d, const char *text, size_t length) {
  fputs(d->form == CBN_HTML ? "<code>" : "`", d->file);
  for (size_t i = 0; i < length; i++) {
    if (d->form == CBN_HTML) put_character(d, text[i]);
    else if (text[i] == '|' && d->columns > 0) fputs("\\|", d->file);
    else fputc(text[i] == '\n' ? ' ' : text[i], d->file);
  }
  fputs(d->form == CBN_HTML ? "</code>" : "`", d->file);
}

static void put_link(const cbn_document *d, const char *words, size_t length, const char *page, size_t page_length) {
  if (d->form == CBN_HTML) {
    fputs("<a href=\"", d->file);
    put_plain(d, page, page_length);
    fputs(".html\">", d->file);
    put_plain(d, words, length);
    fputs("</a>", d->file);
  } else {
    fputc('[', d->file);
    put_plain(d, words, length);
    fprintf(d->file, "](%.*s.md)", (int)page_length, page);
  }
}

static void put_text(const cbn_document *d, const char *text) {
  while (*text != '\0') {
    const char *end = *text == '`' ? strchr(text + 1, '`') : NULL;
    const char *middle = *text == '[' ? strstr(text, "](") : NULL, *close = middle == NULL ? NULL : strchr(middle, ')');
    if (end != NULL) {
      put_code(d, text + 1, (size_t)(end - text - 1));
      text = end + 1;
    } else if (close != NULL) {
      put_link(d, text + 1, (size_t)(middle - text - 1), middle + 2, (size_t)(close - middle - 2));
      text = close + 1;
    } else {
      put_character(d, *text++);
    }
  }
}

void cbn_document_begin(cbn_document *d, FILE *file, enum cbn_document_form form, const char *title) {
  *d = (cbn_document){.file = file, .form = form};
  if (form == CBN_HTML) {
    fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
        file);
    put_plain(d, title, strlen(title));
    fprintf(file, "</title><style>%s</style></head><body>\n", style);
  }
  cbn_document_heading(d, 1, title);
}

void cbn_document_end(cbn_document *d) {
  if (d->form == CBN_HTML) fputs("</body></html>\n", d->file);
}

void cbn_document_heading(cbn_document *d, int level, const char *text) {
  if (d->form == CBN_HTML) fprintf(d->file, "<h%d>", level);
  else fprintf(d->file, "%.*s ", level, "######");
  put_text(d, text);
  if (d->form == CBN_HTML) fprintf(d->file, "</h%d>", level);
  fputs(d->form == CBN_HTML ? "\n" : "\n\n", d->file);
}

void cbn_document_text(cbn_document *d, const char *text) {
  if (d->form == CBN_HTML) fputs("<p>", d->file);
  put_text(d, text);
  fputs(d->form == CBN_HTML ? "</p>\n" : "\n\n", d->file);
}

void cbn_document_item(cbn_document *d, const char *text) {
  fputs(d->form == CBN_HTML ? "<ul><li>" : "- ", d->file);
  put_text(d, text);
  fputs(d->form == CBN_HTML ? "</li></ul>\n" : "\n\n", d->file);
}

void cbn_document_table(cbn_document *d, int columns, const char *const *heads) {
  d->columns = columns;
  if (d->form == CBN_HTML) fputs("<table><thead><tr>", d->file);
  for (int i = 0; i < columns; i++) {
    fputs(d->form == CBN_HTML ? "<th>" : "| ", d->file);
    put_text(d, heads[i]);
    fputs(d->form == CBN_HTML ? "</th>" : " ", d->file);
  }
  fputs(d->form == CBN_HTML ? "</tr></thead><tbody>\n" : "|\n", d->file);
  for (int i = 0; d->form == CBN_MARKDOWN && i < columns; i++) fputs(i + 1 < columns ? "|---" : "|---|\n", d->file);
}

void cbn_document_row(cbn_document *d, const char *const *cells) {
  if (d->form == CBN_HTML) fputs("<tr>", d->file);
  for (int i = 0; i < d->columns; i++) {
    fputs(d->form == CBN_HTML ? "<td>" : "| ", d->file);
    put_text(d, cells[i]);
    fputs(d->form == CBN_HTML ? "</td>" : " ", d->file);
  }
  fputs(d->form == CBN_HTML ? "</tr>\n" : "|\n", d->file);
}

void cbn_document_table_end(cbn_document *d) {
  d->columns = 0;
  fputs(d->form == CBN_HTML ? "</tbody></table>\n" : "\n", d->file);
}

void cbn_document_code(cbn_document *d, const char *language, const char *text) {
  if (d->form == CBN_HTML) {
    fprintf(d->file, "<pre><code class=\"language-%s\">", language);
    put_plain(d, text, strlen(text));
    fputs("</code></pre>\n", d->file);
  } else {
    const size_t length = strlen(text);
    fprintf(d->file, "```%s\n%s%s```\n\n", language, text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
  }
}
