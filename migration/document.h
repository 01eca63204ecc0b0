/* A page of headings, sentences, tables and programs, written as Markdown or as HTML: the same words in both. */
#ifndef CBN_MIGRATION_DOCUMENT_H
#define CBN_MIGRATION_DOCUMENT_H

#include <stdbool.h>
#include <stdio.h>

enum cbn_document_form { CBN_MARKDOWN, CBN_HTML };

/* The same page in one form or in both at once. */
typedef struct cbn_document {
  FILE *file[2]; /* by form, the caller's; NULL: not written */
  int columns;   /* of the table that is open; 0: none */
} cbn_document;

/* HTML pages stand alone: no script, no other file, light or dark as the reader has it, printable. `title` is the first heading, too. */
void cbn_document_begin(cbn_document *document, FILE *markdown, FILE *html, const char *title);
void cbn_document_end(cbn_document *document);

/* A heading can be linked to: [words](#its-words-joined). */
void cbn_document_heading(cbn_document *document, int level, const char *text);

/* Sentences; words between backquotes are code, and [words](page) a link, to PAGE.md or PAGE.html, or to a heading. All else is as it
 * stands: nothing that is put in can become markup. */
void cbn_document_text(cbn_document *document, const char *text);
void cbn_document_item(cbn_document *document, const char *text); /* of a list */

/* A table: its heads, then a row at a time, then its end. Cells are texts as above. */
void cbn_document_table(cbn_document *document, int columns, const char *const *heads);
void cbn_document_row(cbn_document *document, const char *const *cells);
void cbn_document_table_end(cbn_document *document);

/* A program or its output, word by word. `language` is "python" or "text". */
void cbn_document_code(cbn_document *document, const char *language, const char *text);

#endif
