/* What a fuzzer's process said before it died, by the report of a sanitizer or of libFuzzer. */
#ifndef CBN_FUZZ_CRASH_REPORT_H
#define CBN_FUZZ_CRASH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

enum { CBN_SIGNATURE_BYTES = 384, CBN_ID_BYTES = 17 };

/* The kind of error and the innermost frame that is not the run-time's: "heap-buffer-overflow cbn_npy_read", without
 * addresses and values, so that two deaths of one cause give one text. False where the words hold no report. */
bool cbn_crash_summary(const char *words, char *text, size_t size);

/* Of a finding that the process told in words before it aborted, the signature without its parameters, of which a
 * problem that has not been minimised has too many: "conv_forward fast/reference mismatch f32 output row-tail". False
 * where the words hold none. */
bool cbn_crash_finding(const char *words, char *text, size_t size);

/* 16 hexadecimal digits for a signature that no cbn_signature_make has made. */
void cbn_signature_hash(const char *text, char id[CBN_ID_BYTES]);

#endif
