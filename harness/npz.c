#include "harness/npz.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "harness/whole_file.h"

/* The parts of an archive (PKWARE's APPNOTE.TXT, 4.3): their signatures and what they take without names and extras. */
enum {
  LOCAL = 0x04034B50,
  LOCAL_BYTES = 30,
  ENTRY = 0x02014B50,
  ENTRY_BYTES = 46,
  END = 0x06054B50,
  END_BYTES = 22,
  END64 = 0x06064B50,
  END64_BYTES = 56,
  LOCATOR = 0x07064B50,
  LOCATOR_BYTES = 20,
  LONGEST_COMMENT = 0xFFFF
};
enum { ENCRYPTED = 1 << 0, DESCRIPTOR = 1 << 3, PATCHED = 1 << 5, STRONG = 1 << 6, UTF8 = 1 << 11, MASKED = 1 << 13 };
enum { STORED = 0, DEFLATED = 8 };
enum { ELSEWHERE16 = 0xFFFF, EXTRA64 = 1 };
#define ELSEWHERE32 UINT64_C(0xFFFFFFFF)

/* No byte that is deflated stands for more: two bits for a run of 258. */
enum { LARGEST_RATIO = 1032, NPY_HEADER_BYTES = 12 + 10000 };

static uint64_t little(const unsigned char *bytes, int count) {
  uint64_t value = 0;
  for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
  return value;
}

/* ---- the directory ---- */

struct archive {
  const char *name;
  const unsigned char *bytes;
  uint64_t size;
  uint64_t entries, directory, directory_size;
  cbn_error *error;
};

/* A file in the archive: as its entry in the directory has it. */
struct entry {
  char name[sizeof((cbn_npz_member *)0)->name + sizeof ".npy"];
  uint64_t flags, method, checksum, packed, unpacked, offset;
  uint64_t data, end; /* where its bytes begin, and end */
  size_t place;       /* in the directory */
  bool folder;
};

#define REFUSE(archive, rule, ...) return refuse((archive)->error, (archive)->name, NULL, rule, __VA_ARGS__)
#define REFUSE_ENTRY(archive, entry, rule, ...)                                                                        \
  return refuse((archive)->error, (archive)->name, (entry)->name, rule, __VA_ARGS__)

__attribute__((format(printf, 5, 6))) static bool refuse(cbn_error *error, const char *archive, const char *member,
                                                         const char *rule, const char *format, ...) {
  char words[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  return cbn_error_set(error, "%s%s%s%s: npz-%s: %s", archive, member != NULL ? "[" : "", member != NULL ? member : "",
                       member != NULL ? "]" : "", rule, words);
}

/* The end record: the last one whose comment ends where the file does. NULL where there is none. */
static const unsigned char *find_end(const struct archive *a) {
  for (uint64_t tail = END_BYTES; tail <= a->size && tail <= END_BYTES + LONGEST_COMMENT; tail++) {
    const unsigned char *end = a->bytes + a->size - tail;
    if (little(end, 4) == END && little(end + 20, 2) == tail - END_BYTES) return end;
  }
  return NULL;
}

/* The end record of ZIP64, to which a locator before the other one leads. */
static const unsigned char *find_end64(const struct archive *a, uint64_t end) {
  if (end < LOCATOR_BYTES + END64_BYTES) return NULL;
  const unsigned char *locator = a->bytes + end - LOCATOR_BYTES;
  const uint64_t offset = little(locator + 8, 8);
  if (little(locator, 4) != LOCATOR || offset > end - LOCATOR_BYTES - END64_BYTES) return NULL;
  const unsigned char *end64 = a->bytes + offset;
  return little(end64, 4) == END64 && little(end64 + 4, 8) == end - LOCATOR_BYTES - offset - 12 ? end64 : NULL;
}

static bool find_directory(struct archive *a) {
  if (a->size < 4 || (little(a->bytes, 4) != LOCAL && little(a->bytes, 4) != END && little(a->bytes, 4) != END64))
    REFUSE(a, "archive", "does not begin as a ZIP archive; write it with numpy.savez");
  const unsigned char *end = find_end(a), *end64 = NULL;
  if (end == NULL) REFUSE(a, "archive", "the archive's end is missing; write the file whole");
  uint64_t before = (uint64_t)(end - a->bytes), here, all;
  uint64_t disk = little(end + 4, 2), first = little(end + 6, 2);
  here = little(end + 8, 2);
  all = little(end + 10, 2);
  a->directory_size = little(end + 12, 4);
  a->directory = little(end + 16, 4);
  if (all == ELSEWHERE16 || a->directory_size == ELSEWHERE32 || a->directory == ELSEWHERE32)
    end64 = find_end64(a, before);
  if (end64 != NULL) {
    disk = little(end64 + 16, 4);
    first = little(end64 + 20, 4);
    here = little(end64 + 24, 8);
    all = little(end64 + 32, 8);
    a->directory_size = little(end64 + 40, 8);
    a->directory = little(end64 + 48, 8);
    before = (uint64_t)(end64 - a->bytes);
  }
  if (disk != 0 || first != 0 || here != all) REFUSE(a, "archive", "the archive is split; write it as one file");
  if (a->directory_size > before || a->directory != before - a->directory_size)
    REFUSE(a, "archive",
           "the directory of %" PRIu64 " bytes at byte %" PRIu64 " does not end at byte %" PRIu64
           "; write the file whole",
           a->directory_size, a->directory, before);
  if (all > CBN_NPZ_MEMBERS)
    REFUSE(a, "archive", "%" PRIu64 " members, more than %d; split the archive", all, CBN_NPZ_MEMBERS);
  if (all * ENTRY_BYTES > a->directory_size)
    REFUSE(a, "archive", "%" PRIu64 " members do not fit into a directory of %" PRIu64 " bytes; write the file whole",
           all, a->directory_size);
  a->entries = all;
  return true;
}

/* Takes what the 32 bits of `value` leave to the ZIP64 extra field, in whose order this is called. */
static bool take64(const unsigned char **at, const unsigned char *end, uint64_t *value) {
  if (*value != ELSEWHERE32) return true;
  if (end - *at < 8) return false;
  *value = little(*at, 8);
  *at += 8;
  return true;
}

/* Reads the sizes (and `offset`, where there is one) from the extra fields, as far as they are there. */
static bool read_extras(const unsigned char *at, size_t length, uint64_t *unpacked, uint64_t *packed,
                        uint64_t *offset) {
  const unsigned char *end = at + length;
  while (end - at >= 4) {
    const uint64_t kind = little(at, 2), bytes = little(at + 2, 2);
    at += 4;
    if (bytes > (uint64_t)(end - at)) return false;
    const unsigned char *field = at;
    at += bytes;
    if (kind == EXTRA64)
      return take64(&field, at, unpacked) && take64(&field, at, packed) &&
             (offset == NULL || take64(&field, at, offset));
  }
  return true; /* padding behind the fields says nothing */
}

static bool check_name(const struct archive *a, struct entry *e, const unsigned char *name, size_t length) {
  static const char ending[] = ".npy";
  const size_t shown = length < sizeof e->name ? length : sizeof e->name - 1;
  memcpy(e->name, name, shown);
  e->name[shown] = '\0';
  if (memchr(name, '\0', length) != NULL) REFUSE_ENTRY(a, e, "member", "the name holds a NUL; name it otherwise");
  if (shown < length) REFUSE_ENTRY(a, e, "member", "the name has %zu bytes; shorten it", length);
  e->folder = length > 0 && name[length - 1] == '/' && e->unpacked == 0;
  if (e->folder) return true;
  if (length < sizeof ending || strcmp(e->name + length - (sizeof ending - 1), ending) != 0)
    REFUSE_ENTRY(a, e, "member", "is no .npy file; write the archive with numpy.savez");
  e->name[length - (sizeof ending - 1)] = '\0';
  if (length - (sizeof ending - 1) >= sizeof((cbn_npz_member *)0)->name)
    REFUSE_ENTRY(a, e, "member", "the name has %zu bytes; shorten it", length);
  return true;
}

static const char *method_name(uint64_t method) {
  switch (method) {
  case 1: return "shrunk";
  case 6: return "imploded";
  case 9: return "packed with Deflate64";
  case 12: return "packed with bzip2";
  case 14: return "packed with LZMA";
  case 20:
  case 93: return "packed with Zstandard";
  case 95: return "packed with XZ";
  case 99: return "encrypted";
  default: return "packed with an unknown method";
  }
}

static bool check_method(const struct archive *a, const struct entry *e) {
  if ((e->flags & (ENCRYPTED | STRONG | MASKED)) != 0)
    REFUSE_ENTRY(a, e, "method", "is encrypted; write it without a password");
  if ((e->flags & PATCHED) != 0) REFUSE_ENTRY(a, e, "method", "is a patch; write it whole");
  if (e->method != STORED && e->method != DEFLATED)
    REFUSE_ENTRY(a, e, "method", "is %s (method %" PRIu64 "); store or deflate it", method_name(e->method), e->method);
  if (e->method == STORED && e->packed != e->unpacked)
    REFUSE_ENTRY(a, e, "size", "is stored, and has %" PRIu64 " bytes and %" PRIu64 "; write the file whole", e->packed,
                 e->unpacked);
  if (e->unpacked / LARGEST_RATIO > e->packed)
    REFUSE_ENTRY(a, e, "size", "%" PRIu64 " bytes cannot inflate to %" PRIu64 "; write the file whole", e->packed,
                 e->unpacked);
  return true;
}

/* Finds the member's bytes: behind its local header, which must say what the directory does. */
static bool find_data(const struct archive *a, struct entry *e) {
  if (e->offset > a->directory || a->directory - e->offset < LOCAL_BYTES || little(a->bytes + e->offset, 4) != LOCAL)
    REFUSE_ENTRY(a, e, "archive", "nothing begins at byte %" PRIu64 "; write the file whole", e->offset);
  const unsigned char *local = a->bytes + e->offset;
  const size_t name = little(local + 26, 2), extra = little(local + 28, 2);
  uint64_t packed = little(local + 18, 4), unpacked = little(local + 22, 4);
  e->data = e->offset + LOCAL_BYTES + name + extra;
  if (e->data > a->directory || e->packed > a->directory - e->data)
    REFUSE_ENTRY(a, e, "size", "its %" PRIu64 " bytes do not lie before the directory; write the file whole",
                 e->packed);
  e->end = e->data + e->packed;
  if (!read_extras(local + LOCAL_BYTES + name, extra, &unpacked, &packed, NULL))
    REFUSE_ENTRY(a, e, "archive", "an extra field is cut off; write the file whole");
  const bool descriptor = (e->flags & DESCRIPTOR) != 0; /* sizes and checksum stand behind the bytes, too */
  if (little(local + 6, 2) != e->flags || little(local + 8, 2) != e->method ||
      (!descriptor && (little(local + 14, 4) != e->checksum || packed != e->packed || unpacked != e->unpacked)))
    REFUSE_ENTRY(a, e, "archive", "the directory and the header before the bytes say different things; write it anew");
  return true;
}

static bool read_entry(const struct archive *a, uint64_t *at, struct entry *e) {
  const uint64_t end = a->directory + a->directory_size;
  const unsigned char *bytes = a->bytes + *at;
  if (end - *at < ENTRY_BYTES || little(bytes, 4) != ENTRY)
    REFUSE(a, "archive", "no entry of the directory at byte %" PRIu64 "; write the file whole", *at);
  const size_t name = little(bytes + 28, 2), extra = little(bytes + 30, 2), comment = little(bytes + 32, 2);
  if (end - *at - ENTRY_BYTES < name + extra + comment)
    REFUSE(a, "archive", "the directory's entry at byte %" PRIu64 " is cut off; write the file whole", *at);
  e->flags = little(bytes + 8, 2);
  e->method = little(bytes + 10, 2);
  e->checksum = little(bytes + 16, 4);
  e->packed = little(bytes + 20, 4);
  e->unpacked = little(bytes + 24, 4);
  e->offset = little(bytes + 42, 4);
  const uint64_t disk = little(bytes + 34, 2);
  if (!read_extras(bytes + ENTRY_BYTES + name, extra, &e->unpacked, &e->packed, &e->offset))
    REFUSE(a, "archive", "an extra field of the directory's entry at byte %" PRIu64 " is cut off; write the file whole",
           *at);
  CBN_FORWARD(check_name(a, e, bytes + ENTRY_BYTES, name));
  if (disk != 0 && disk != ELSEWHERE16) REFUSE(a, "archive", "the archive is split; write it as one file");
  CBN_FORWARD(check_method(a, e));
  *at += ENTRY_BYTES + name + extra + comment;
  return find_data(a, e);
}

/* ---- members ---- */

static int by_offset(const void *a, const void *b) {
  const uint64_t first = ((const struct entry *)a)->offset, second = ((const struct entry *)b)->offset;
  return (first > second) - (first < second);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int by_place(const void *a, const void *b) {
  const size_t first = ((const struct entry *)a)->place, second = ((const struct entry *)b)->place;
  return (first > second) - (first < second);
}

static bool check_apart(const struct archive *a, struct entry *entries, size_t count) {
  qsort(entries, count, sizeof *entries, by_offset);
  for (size_t i = 1; i < count; i++)
    if (entries[i].offset < entries[i - 1].end)
      REFUSE_ENTRY(a, &entries[i], "archive", "shares its bytes with %s; write it anew", entries[i - 1].name);
  qsort(entries, count, sizeof *entries, by_name);
  for (size_t i = 1; i < count; i++)
    if (strcmp(entries[i].name, entries[i - 1].name) == 0)
      REFUSE_ENTRY(a, &entries[i], "member", "is there twice; name one otherwise");
  qsort(entries, count, sizeof *entries, by_place);
  return true;
}

static bool inflate_all(z_stream *stream, uint64_t packed, uint64_t unpacked) {
  int state = Z_OK;
  uint64_t given = 0, room = 0;
  while (state == Z_OK) {
    if (stream->avail_in == 0) {
      stream->avail_in = packed - given < UINT_MAX ? (uInt)(packed - given) : UINT_MAX;
      given += stream->avail_in;
    }
    if (stream->avail_out == 0) {
      stream->avail_out = unpacked - room < UINT_MAX ? (uInt)(unpacked - room) : UINT_MAX;
      room += stream->avail_out;
    }
    state = inflate(stream, Z_NO_FLUSH);
  }
  return state == Z_STREAM_END && given - stream->avail_in == packed && room - stream->avail_out == unpacked;
}

/* The member's bytes inflated, to be freed. */
static bool unpack(const struct archive *a, const struct entry *e, unsigned char **bytes) {
  z_stream stream = {.next_in = (unsigned char *)(uintptr_t)(a->bytes + e->data)};
  *bytes = malloc(e->unpacked + 1);
  if (*bytes == NULL || inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    REFUSE_ENTRY(a, e, "memory", "no memory for %" PRIu64 " bytes", e->unpacked);
  stream.next_out = *bytes;
  const bool whole = inflate_all(&stream, e->packed, e->unpacked);
  inflateEnd(&stream);
  if (!whole)
    REFUSE_ENTRY(a, e, "size",
                 "its %" PRIu64 " bytes do not inflate to the %" PRIu64
                 " that the directory states"
                 "; write the file whole",
                 e->packed, e->unpacked);
  return true;
}

static bool read_npy(const struct archive *a, const struct entry *e, const unsigned char *bytes, int64_t limit,
                     cbn_npz_member *member) {
  char name[sizeof a->error->text];
  if (crc32_z(0, bytes, e->unpacked) != e->checksum)
    REFUSE_ENTRY(a, e, "checksum", "its bytes do not have the checksum that they were written with; write it anew");
  snprintf(name, sizeof name, "%s[%s]", a->name, e->name);
  memcpy(member->name, e->name, sizeof member->name); /* it fits: check_name */
  return cbn_npy_read_memory(bytes, e->unpacked, name, CBN_NPY_OWN_TYPE, limit, &member->tensor, a->error);
}

/* Tensors take no fewer bytes than their files without the header. */
static bool read_member(const struct archive *a, const struct entry *e, int64_t limit, cbn_npz_member *member) {
  unsigned char *unpacked = NULL;
  if (e->unpacked > (uint64_t)limit + NPY_HEADER_BYTES)
    REFUSE_ENTRY(a, e, "memory", "takes %" PRIu64 " bytes, and %" PRId64 " are left; write smaller arrays", e->unpacked,
                 limit);
  const bool read = e->method == STORED ? read_npy(a, e, a->bytes + e->data, limit, member)
                                        : unpack(a, e, &unpacked) && read_npy(a, e, unpacked, limit, member);
  free(unpacked);
  return read;
}

static bool read_members(const struct archive *a, struct entry *entries, int64_t limit, cbn_npz *npz) {
  uint64_t at = a->directory;
  for (size_t i = 0; i < a->entries; i++) {
    entries[i].place = i;
    CBN_FORWARD(read_entry(a, &at, &entries[i]));
  }
  if (at != a->directory + a->directory_size)
    REFUSE(a, "archive", "more follows the directory's last entry at byte %" PRIu64 "; write the file whole", at);
  CBN_FORWARD(check_apart(a, entries, a->entries));
  for (size_t i = 0; i < a->entries; i++) {
    if (entries[i].folder) continue;
    CBN_FORWARD(read_member(a, &entries[i], limit, &npz->members[npz->count]));
    limit -= cbn_tensor_bytes(&npz->members[npz->count++].tensor);
  }
  return true;
}

bool cbn_npz_read_memory(const char *name, const void *bytes, size_t size, int64_t limit_bytes, cbn_npz *npz,
                         cbn_error *error) {
  struct archive archive = {.name = name, .bytes = bytes, .size = size, .error = error};
  *npz = (cbn_npz){0};
  CBN_FORWARD(find_directory(&archive));
  struct entry *entries = calloc(archive.entries + 1, sizeof *entries);
  npz->members = calloc(archive.entries + 1, sizeof *npz->members);
  const bool read = entries != NULL && npz->members != NULL
                        ? read_members(&archive, entries, limit_bytes, npz)
                        : refuse(error, name, NULL, "memory", "no memory for %" PRIu64 " members", archive.entries);
  free(entries);
  if (!read) cbn_npz_release(npz);
  return read;
}

bool cbn_npz_read(const char *path, int64_t limit_bytes, cbn_npz *npz, cbn_error *error) {
  size_t size;
  *npz = (cbn_npz){0};
  void *bytes = cbn_whole_file_read(path, "npz", SIZE_MAX / 2, &size, error);
  if (bytes == NULL) return false;
  const bool read = cbn_npz_read_memory(cbn_path_shown(path), bytes, size, limit_bytes, npz, error);
  free(bytes);
  return read;
}

/* ---- in memory ---- */

const cbn_tensor *cbn_npz_find(const cbn_npz *npz, const char *name) {
  for (size_t i = 0; i < npz->count; i++)
    if (strcmp(npz->members[i].name, name) == 0) return &npz->members[i].tensor;
  return NULL;
}

bool cbn_npz_add(cbn_npz *npz, const char *name, const cbn_tensor *tensor, cbn_error *error) {
  cbn_npz_member *members, added = {0};
  CBN_CHECK(name[0] != '\0', error, "npz-member: a tensor without a name; name it");
  CBN_CHECK(strlen(name) < sizeof added.name, error, "npz-member: the name %.40s... has %zu bytes; shorten it", name,
            strlen(name));
  CBN_CHECK(cbn_npz_find(npz, name) == NULL, error, "npz-member: %s is there twice; name one otherwise", name);
  CBN_CHECK(npz->count < CBN_NPZ_MEMBERS, error, "npz-member: more than %d members; split the archive",
            CBN_NPZ_MEMBERS);
  members = realloc(npz->members, (npz->count + 1) * sizeof *members);
  if (members != NULL) npz->members = members;
  snprintf(added.name, sizeof added.name, "%s", name);
  CBN_CHECK(members != NULL &&
                cbn_tensor_describe(&added.tensor, tensor->type, tensor->rank, tensor->extent, CBN_CONTIGUOUS) &&
                cbn_tensor_allocate(&added.tensor),
            error, "npz-memory: no memory for %s", name);
  cbn_tensor_copy(&added.tensor, tensor);
  npz->members[npz->count++] = added;
  return true;
}

void cbn_npz_release(cbn_npz *npz) {
  for (size_t i = 0; i < npz->count; i++) cbn_tensor_release(&npz->members[i].tensor);
  free(npz->members);
  *npz = (cbn_npz){0};
}

/* ---- writing ---- */

enum {
  DATE = 1 << 5 | 1, /* 1 January 1980, the first: an archive's bytes are those of its tensors */
  VERSION = 20,      /* of the format, which knows folders and Deflate */
  MADE_ON_UNIX = 3 << 8 | VERSION,
  PERMISSIONS = 0100644 /* of the file that a member is unpacked to */
};

static void put(FILE *file, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) putc((int)(value >> 8 * i & 0xFF), file);
}

/* What a local header and an entry of the directory have in common, from the version on. */
static void put_description(FILE *file, const char *name, const unsigned char *bytes, size_t size) {
  const uint64_t checksum = crc32_z(0, bytes, size);
  bool ascii = true;
  for (const char *c = name; *c != '\0'; c++) ascii = ascii && (unsigned char)*c < 0x80;
  put(file, VERSION, 2);
  put(file, ascii ? 0 : UTF8, 2);
  put(file, STORED, 2);
  put(file, 0, 2);
  put(file, DATE, 2);
  put(file, checksum, 4);
  put(file, size, 4);
  put(file, size, 4);
  put(file, strlen(name) + strlen(".npy"), 2);
  put(file, 0, 2);
}

static void put_local(FILE *file, const char *name, const unsigned char *bytes, size_t size) {
  put(file, LOCAL, 4);
  put_description(file, name, bytes, size);
  fprintf(file, "%s.npy", name);
  fwrite(bytes, 1, size, file);
}

static void put_entry(FILE *file, const char *name, const unsigned char *bytes, size_t size, uint64_t offset) {
  put(file, ENTRY, 4);
  put(file, MADE_ON_UNIX, 2);
  put_description(file, name, bytes, size);
  put(file, 0, 6); /* comment, disk, text */
  put(file, (uint64_t)PERMISSIONS << 16, 4);
  put(file, offset, 4);
  fprintf(file, "%s.npy", name);
}

/* A file's bytes that are made in memory. */
struct memory {
  char *bytes;
  size_t size;
};

/* Writes the member and its entry of the directory; `offset` becomes that of the next one. */
static bool write_member(FILE *file, FILE *directory, const cbn_npz_member *member, uint64_t *offset) {
  struct memory npy = {0};
  FILE *stream = open_memstream(&npy.bytes, &npy.size);
  if (stream == NULL) return false;
  bool written = cbn_npy_write_open(stream, &member->tensor);
  written = fclose(stream) == 0 && written;
  if (written) {
    put_local(file, member->name, (const unsigned char *)npy.bytes, npy.size);
    put_entry(directory, member->name, (const unsigned char *)npy.bytes, npy.size, *offset);
  }
  *offset += LOCAL_BYTES + strlen(member->name) + strlen(".npy") + npy.size;
  free(npy.bytes);
  return written && !ferror(file) && !ferror(directory);
}

static bool write_members(FILE *file, FILE *directory, const cbn_npz *npz, uint64_t *offset) {
  for (size_t i = 0; i < npz->count; i++)
    if (!write_member(file, directory, &npz->members[i], offset)) return false;
  return true;
}

/* Would every offset and size be one of 32 bits? Names and headers of a member take less than a KiB. */
static bool fits(const cbn_npz *npz) {
  enum { WITHOUT_ELEMENTS = 1024 };
  uint64_t total = END_BYTES;
  for (size_t i = 0; i < npz->count && total < ELSEWHERE32; i++) {
    const cbn_tensor *tensor = &npz->members[i].tensor;
    const size_t size = tensor->type == CBN_BF16 ? sizeof(float) : cbn_type_size(tensor->type);
    total += (uint64_t)cbn_tensor_count(tensor) * size + WITHOUT_ELEMENTS;
  }
  if (total >= ELSEWHERE32) errno = EFBIG;
  return total < ELSEWHERE32;
}

bool cbn_npz_write_open(FILE *file, const cbn_npz *npz) {
  struct memory entries = {0};
  uint64_t offset = 0;
  FILE *directory = fits(npz) ? open_memstream(&entries.bytes, &entries.size) : NULL;
  if (directory == NULL) return false;
  bool written = write_members(file, directory, npz, &offset);
  written = fclose(directory) == 0 && written;
  if (written) {
    fwrite(entries.bytes, 1, entries.size, file);
    put(file, END, 4);
    put(file, 0, 4);
    put(file, npz->count, 2);
    put(file, npz->count, 2);
    put(file, entries.size, 4);
    put(file, offset, 4);
    put(file, 0, 2);
  }
  free(entries.bytes);
  return written && !ferror(file);
}

static bool write_archive(FILE *file, const void *npz) { return cbn_npz_write_open(file, npz); }

bool cbn_npz_write(const char *path, const cbn_npz *npz, cbn_error *error) {
  return cbn_whole_file_write(path, "npz", write_archive, npz, error);
}
