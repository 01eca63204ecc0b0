#include "harness/report_html.h"

#include "core/verdict.h"

#include <errno.h>
#include <string.h>

/* harness/embed.S */
extern const char cbn_report_template[];
extern const char cbn_report_template_end[];

static const char verdicts_marker[] = "@@CONVBN-VERDICTS@@";
static const char results_marker[] = "@@CONVBN-RESULTS@@";

/* The catalogue as JSON; names and sentences in verdict.h need no escape of JSON's. */
#define WEIGHT_GOOD "good"
#define WEIGHT_BAD "bad"
#define WEIGHT_NEUTRAL "neutral"
#define WEIGHT_UNDECIDED "undecided"
#define VERDICT_JSON(NAME, text, weight, sentence)                                                                     \
  ",{\"name\":\"" text "\",\"weight\":\"" WEIGHT_##weight "\",\"sentence\":\"" sentence "\"}"
static const char verdicts[] = CBN_VERDICTS(VERDICT_JSON);

typedef struct span {
  const char *begin, *end;
} span;

static size_t span_length(span s) { return (size_t)(s.end - s.begin); }

static span span_of(const char *text) { return (span){text, text + strlen(text)}; }

static bool put(FILE *out, span s, cbn_error *error) {
  const size_t length = span_length(s);
  errno = 0;
  if (length > 0 && fwrite(s.begin, 1, length, out) != length)
    CBN_FAIL(error, "cannot write the HTML report: %s", errno != 0 ? strerror(errno) : "write error");
  return true;
}

/* True where the text begins with a character that must not stand in a script element as it is: its code point, and
 * the bytes that it takes.
 *
 * An HTML parser leaves a script element at `</script` and changes its state at `<!--` and `<script`, so `<` goes, with
 * `>` and `&` for readers that are no HTML parsers. U+2028 and U+2029 end a line in old JavaScript. A NUL would be
 * replaced, and other controls are no JSON. Outside of strings JSON has none of these, and inside a string a \u escape
 * stands for the same character: the text keeps its meaning. A backslash before one of them would not be JSON. */
static bool needs_escape(span text, unsigned *code, size_t *bytes) {
  const unsigned char *const p = (const unsigned char *)text.begin;
  *code = p[0];
  *bytes = 1;
  if (p[0] == '<' || p[0] == '>' || p[0] == '&') return true;
  if (p[0] < 0x20) return p[0] != '\t' && p[0] != '\n' && p[0] != '\r';
  if (p[0] != 0xE2 || span_length(text) < 3 || p[1] != 0x80 || (p[2] != 0xA8 && p[2] != 0xA9)) return false;
  *code = 0x2000u + p[2] - 0x80u;
  *bytes = 3;
  return true;
}

static bool put_json(FILE *out, span json, cbn_error *error) {
  span plain = {json.begin, json.begin};
  while (plain.end < json.end) {
    unsigned code;
    size_t bytes;
    if (!needs_escape((span){plain.end, json.end}, &code, &bytes)) {
      plain.end++;
      continue;
    }
    char escape[8];
    const int length = snprintf(escape, sizeof escape, "\\u%04x", code);
    CBN_FORWARD(put(out, plain, error));
    CBN_FORWARD(put(out, (span){escape, escape + length}, error));
    plain.begin = plain.end = plain.end + bytes;
  }
  return put(out, plain, error);
}

/* Cuts `text` at the marker, which occurs once: *before, and the rest left in *text. */
static bool cut_at(span *text, const char *marker, span *before, cbn_error *error) {
  const size_t length = strlen(marker);
  for (const char *p = text->begin; (size_t)(text->end - p) >= length; p++) {
    p = memchr(p, marker[0], (size_t)(text->end - p) - length + 1);
    if (p == NULL) break;
    if (memcmp(p, marker, length) != 0) continue;
    *before = (span){text->begin, p};
    text->begin = p + length;
    return true;
  }
  CBN_FAIL(error, "the report's template lacks the marker %s", marker);
}

bool cbn_report_html_write(FILE *out, const char *json, size_t length, cbn_error *error) {
  span rest = {cbn_report_template, cbn_report_template_end}, head, middle;
  CBN_FORWARD(cut_at(&rest, verdicts_marker, &head, error));
  CBN_FORWARD(cut_at(&rest, results_marker, &middle, error));

  CBN_FORWARD(put(out, head, error));
  CBN_FORWARD(put(out, span_of("["), error));
  CBN_FORWARD(put_json(out, span_of(verdicts + 1), error)); /* without its first comma */
  CBN_FORWARD(put(out, span_of("]"), error));
  CBN_FORWARD(put(out, middle, error));
  if (length > 0) CBN_FORWARD(put_json(out, (span){json, json + length}, error));
  CBN_FORWARD(put(out, rest, error));

  errno = 0;
  if (fflush(out) != 0 || ferror(out))
    CBN_FAIL(error, "cannot write the HTML report: %s", errno != 0 ? strerror(errno) : "write error");
  return true;
}
