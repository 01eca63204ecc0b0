#include "fuzz/crash_report.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "diagnosis/signature.h"

enum { KIND_BYTES = 96, FRAME_BYTES = 128 };

/* Copies what stands before the first of `ends`; words that hold values (0x7f.., 2147483647) are left out. */
static void copy_words(const char *from, const char *ends, char *to, size_t size) {
  size_t used = 0;
  const size_t length = strcspn(from, ends);
  for (size_t at = 0; at < length;) {
    const size_t word = strcspn(from + at, " \n:;,("), left = length - at;
    const size_t taken = word < left ? word : left;
    bool plain = taken > 0;
    for (size_t i = 0; i < taken; i++) plain = plain && !isdigit((unsigned char)from[at + i]);
    if (plain && used + taken + 2 < size) {
      if (used > 0) to[used++] = '-';
      memcpy(to + used, from + at, taken);
      used += taken;
    }
    at += taken < left ? taken + 1 : taken;
  }
  to[used] = '\0';
}

/* The kind of error: what the target itself says before it aborts, else the sanitizers' word, else libFuzzer's. */
static bool find_kind(const char *words, char kind[KIND_BYTES]) {
  static const struct {
    const char *before, *ends;
  } marks[] = {{"fuzz target: ", ":\n"},
               {"ERROR: AddressSanitizer: ", " \n"},
               {"ERROR: LeakSanitizer: ", "\n"},
               {": runtime error: ", ":\n"},
               {"ERROR: libFuzzer: ", "(\n"}};
  for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
    const char *mark = strstr(words, marks[i].before);
    if (mark == NULL) continue;
    copy_words(mark + strlen(marks[i].before), marks[i].ends, kind, KIND_BYTES);
    if (kind[0] != '\0') return true;
  }
  return false;
}

/* Is it a function of the run-time, or of the way from a failed check to the death? */
static bool is_run_time(const char *function, const char *place) {
  static const char *const beginnings[] = {"__", "fuzzer::", "LLVMFuzzer"};
  static const char *const names[] = {"raise",  "gsignal", "abort", "_start",  "main",
                                      "malloc", "calloc",  "free",  "realloc", "cbn_fuzz_fail"};
  static const char *const places[] = {"/compiler-rt/", "/sysdeps/", "/libc.so"};
  for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
    if (strncmp(function, beginnings[i], strlen(beginnings[i])) == 0) return true;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(function, names[i]) == 0) return true;
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
    if (strstr(place, places[i]) != NULL) return true;
  return false;
}

/* The innermost frame of the report's first stack: "    #2 0x55 in cbn_npy_read harness/npy.c:10:3". */
static void find_frame(const char *words, char frame[FRAME_BYTES]) {
  frame[0] = '\0';
  for (const char *line = strstr(words, "\n    #0 "); line != NULL; line = strchr(line + 1, '\n')) {
    char function[FRAME_BYTES], place[512] = "";
    int number;
    if (sscanf(line, " #%d %*s in %127s %511[^\n]", &number, function, place) < 2) {
      if (line[1] != ' ') return; /* the stack is over */
      continue;
    }
    function[strcspn(function, "(")] = '\0';
    if (is_run_time(function, place)) continue;
    strcpy(frame, function);
    return;
  }
}

bool cbn_crash_summary(const char *words, char *text, size_t size) {
  char kind[KIND_BYTES], frame[FRAME_BYTES] = "";
  if (!find_kind(words, kind)) return false;
  /* Where an execution is when its time or memory is over says little. */
  if (strncmp(kind, "timeout", 7) == 0) strcpy(kind, "timeout");
  else if (strncmp(kind, "out-of-memory", 13) != 0) find_frame(words, frame);
  snprintf(text, size, "%s%s%s", kind, frame[0] != '\0' ? " " : "", frame);
  return true;
}

bool cbn_crash_finding(const char *words, char *text, size_t size) {
  const char *line = strstr(words, "FINDING "), *colon = line == NULL ? NULL : strchr(line, ':');
  if (colon == NULL || colon[1] != ' ') return false;
  snprintf(text, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
  text[cbn_signature_sort_length(text)] = '\0';
  return true;
}

void cbn_signature_hash(const char *text, char id[CBN_ID_BYTES]) {
  snprintf(id, CBN_ID_BYTES, "%016llx", (unsigned long long)XXH3_64bits(text, strlen(text)));
}
