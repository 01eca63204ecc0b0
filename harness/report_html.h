/* The HTML report: one file that needs nothing else, neither a network nor a server.
 *
 * The page is reports/report.html, embedded in the program (harness/embed.S), with two JSON texts put into it: the
 * catalogue of verdicts (verdict.h) and the results of a run, in the format of docs/results.md. The page's own script
 * draws everything from them; its policy admits that script and no other. */
#ifndef CBN_HARNESS_REPORT_HTML_H
#define CBN_HARNESS_REPORT_HTML_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the report of `length` bytes of JSON text to `out` and flushes it; `out` stays open. The text may hold
 * anything: what could end its element or start another one is written as a \u escape of the same string, and so is
 * every control character but the white space of JSON. It is not parsed: the page says so where it is no JSON.
 * False with a message when a byte could not be written; what was written until then is no report. */
bool cbn_report_html_write(FILE *out, const char *json, size_t length, cbn_error *error);

#endif
