/* Pages: the same words in Markdown and in HTML, and nothing that is put in becomes markup. What is expected was written by the rules of
 * GitHub's Markdown and of HTML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "migration/document.h"

typedef struct page {
  FILE *file[2];
  char *text[2];
  size_t size[2];
  cbn_document document;
} page;

static void begin(page *p, const char *title) {
  *p = (page){0};
  for (int form = 0; form < 2; form++) assert_non_null(p->file[form] = open_memstream(&p->text[form], &p->size[form]));
  cbn_document_begin(&p->document, p->file[CBN_MARKDOWN], p->file[CBN_HTML], title);
}

/* Ends the page; its two texts must hold these. */
static void check(page *p, const char *markdown, const char *html) {
  cbn_document_end(&p->document);
  for (int form = 0; form < 2; form++) fclose(p->file[form]);
  if (strstr(p->text[CBN_MARKDOWN], markdown) == NULL) fail_msg("no %s in\n%s", markdown, p->text[CBN_MARKDOWN]);
  if (strstr(p->text[CBN_HTML], html) == NULL) fail_msg("no %s in\n%s", html, p->text[CBN_HTML]);
  assert_non_null(strstr(p->text[CBN_HTML], "<!DOCTYPE html>"));
  assert_non_null(strstr(p->text[CBN_HTML], "</body></html>"));
  for (int form = 0; form < 2; form++) free(p->text[form]);
}

static void test_texts(void **state) {
  static const struct {
    const char *text, *markdown, *html;
  } rows[] = {
      {"a sentence.", "\na sentence.\n\n", "<p>a sentence.</p>\n"},
      {"a < b & c > \"d\"", "\na \\< b &amp; c \\> \"d\"\n", "<p>a &lt; b &amp; c &gt; &quot;d&quot;</p>"},
      {"*a* _b_ [c] #d | ~e~ !f", "\n\\*a\\* \\_b\\_ \\[c\\] \\#d \\| \\~e\\~ \\!f\n",
       "<p>*a* _b_ [c] #d | ~e~ !f</p>"},
      {"&lt; stays", "\n&amp;lt; stays\n", "<p>&amp;lt; stays</p>"},
      {"`a_b<c>` is code", "\n`a_b<c>` is code\n", "<p><code>a_b&lt;c&gt;</code> is code</p>"},
      {"[to it](other)", "\n[to it](other.md)\n", "<p><a href=\"other.html\">to it</a></p>"},
      {"[below](#padding-rule)", "\n[below](#padding-rule)\n", "<p><a href=\"#padding-rule\">below</a></p>"},
      {"1. no list", "\n1\\. no list\n", "<p>1. no list</p>"},
      {"- no list", "\n\\- no list\n", "<p>- no list</p>"},
      {"one ` alone", "\none \\` alone\n", "<p>one ` alone</p>"},
      {"a\nb\x01", "\na b?\n", "<p>a b?</p>"},
      {"", "\n\n", "<p></p>"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    page p;
    begin(&p, "title");
    cbn_document_text(&p.document, rows[i].text);
    check(&p, rows[i].markdown, rows[i].html);
  }
}

static void test_headings(void **state) {
  page p;
  (void)state;
  begin(&p, "torch & <friends>");
  cbn_document_heading(&p.document, 3, "Padding rule");
  check(&p, "# torch &amp; \\<friends\\>\n\n### Padding rule\n\n", "<title>torch &amp; &lt;friends&gt;</title>");
  begin(&p, "t");
  cbn_document_heading(&p.document, 3, "Padding rule");
  check(&p, "### Padding rule\n", "<h3 id=\"padding-rule\">Padding rule</h3>");
}

static void test_tables(void **state) {
  page p;
  (void)state;
  begin(&p, "t");
  cbn_document_table(&p.document, 2, (const char *const[]){"a", "b|c"});
  cbn_document_row(&p.document, (const char *const[]){"`x|y`", "two\nlines"});
  cbn_document_table_end(&p.document);
  cbn_document_text(&p.document, "`x|y`");
  check(&p, "| a | b\\|c |\n|---|---|\n| `x\\|y` | two lines |\n\n`x|y`\n",
        "<table><thead><tr><th>a</th><th>b|c</th></tr>\n</thead><tbody>\n<tr><td><code>x|y</code></td><td>two "
        "lines</td></tr>\n</tbody></table>\n");
}

static void test_code(void **state) {
  page p;
  (void)state;
  begin(&p, "t");
  cbn_document_code(&p.document, "python", "if a < b:\n    print('```')");
  cbn_document_item(&p.document, "one");
  check(&p, "````python\nif a < b:\n    print('```')\n````\n\n- one\n",
        "<pre><code class=\"language-python\">if a &lt; b:\n    print('```')\n</code></pre>\n<ul><li>one</li></ul>");
}

/* One form alone: nothing is written to the other. */
static void test_one_form(void **state) {
  char *text = NULL;
  size_t size = 0;
  cbn_document d;
  (void)state;
  FILE *file = open_memstream(&text, &size);
  assert_non_null(file);
  cbn_document_begin(&d, NULL, file, "t");
  cbn_document_text(&d, "words");
  cbn_document_end(&d);
  fclose(file);
  assert_non_null(strstr(text, "<p>words</p>"));
  assert_null(strstr(text, "# t"));
  assert_null(strstr(text, "http")); /* it stands alone */
  assert_null(strstr(text, "<script"));
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_headings),
                                     cmocka_unit_test(test_tables), cmocka_unit_test(test_code),
                                     cmocka_unit_test(test_one_form)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
