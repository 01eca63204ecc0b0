/* The page of differences of two operators: what docs/differences.md describes. Every sentence of it stands on a witness that was
 * found, a region that was searched, a translation that was run, or a case. */
#ifndef CBN_MIGRATION_PAGES_H
#define CBN_MIGRATION_PAGES_H

#include "harness/cases.h"
#include "migration/differ.h"
#include "migration/document.h"
#include "migration/side.h"

/* Where the numbers of the searches come from. */
#define CBN_PAGE_SEED 0
enum { CBN_PAGE_GENOMES = 50 };

typedef struct cbn_page {
  cbn_side side[2];
  int32_t axes;
  cbn_starts *starts[2]; /* of these axes, CBN_PAGE_SEED and CBN_PAGE_GENOMES */
  const cbn_case_set *cases;
  cbn_arena *arena;
} cbn_page;

/* What an index says of a page. */
typedef struct cbn_page_summary {
  char differ[512]; /* the names of what parts them, joined */
  int compared;     /* meanings that both have and that were searched */
} cbn_page_summary;

/* The page's name, of which those of its files are made: `torch.nn.Conv2d-mindspore.nn.Conv2d`; the axes behind it where neither
 * operator says how many. Cut to `size`. */
void cbn_page_name(const cbn_page *page, char *name, size_t size);

/* Its title. */
void cbn_page_title(const cbn_page *page, char *title, size_t size);

/* Searches, and writes the page into a document that is begun. False without memory. */
bool cbn_page_write(const cbn_page *page, cbn_document *document, cbn_page_summary *summary);

#endif
