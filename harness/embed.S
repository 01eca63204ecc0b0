/* The HTML report's template as two symbols, `cbn_report_template` and `cbn_report_template_end` (see report_html.c).
 *
 * To build it, with gcc or clang on Linux: the language ASM, and the template's absolute path as a string literal.
 *
 *   enable_language(ASM)
 *   set(CBN_REPORT_TEMPLATE "${PROJECT_SOURCE_DIR}/reports/report.html")
 *   set_source_files_properties(harness/embed.S PROPERTIES
 *     COMPILE_DEFINITIONS "CBN_REPORT_TEMPLATE=\"${CBN_REPORT_TEMPLATE}\""
 *     OBJECT_DEPENDS "${CBN_REPORT_TEMPLATE}")    # an edit of the template rebuilds this file
 *
 * or by hand: cc -c '-DCBN_REPORT_TEMPLATE="/path/reports/report.html"' harness/embed.S
 *
 * Warning flags of C alone (-Wconversion, -std=c17) belong to the language C: $<$<COMPILE_LANGUAGE:C>:...>. */
#ifndef CBN_REPORT_TEMPLATE
#error "define CBN_REPORT_TEMPLATE as the absolute path of reports/report.html, in quotes"
#endif

  .section .rodata.cbn_report_template, "a"
  .globl cbn_report_template
  .hidden cbn_report_template
  .type cbn_report_template, %object
  .globl cbn_report_template_end
  .hidden cbn_report_template_end
  .type cbn_report_template_end, %object
cbn_report_template:
  .incbin CBN_REPORT_TEMPLATE
  .size cbn_report_template, . - cbn_report_template
cbn_report_template_end:
  .byte 0
  .size cbn_report_template_end, 1

  .section .note.GNU-stack, "", %progbits
