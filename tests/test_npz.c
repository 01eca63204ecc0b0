/* tests/test_npz.c - .npz files: archives written byte by byte after PKWARE's description, and by Python's zipfile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "harness/npz.h"

/* ---- failures of the system ---- */

static int allocations_left = -1; /* before one fails; negative: none does */

static bool fails(void) { return allocations_left >= 0 && allocations_left-- == 0; }

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size) { return fails() ? NULL : __real_realloc(memory, size); }
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

static enum { WORKS, READ_FAILS, READ_STUTTERS, FILE_SHRINKS } weather;

ssize_t __real_pread(int descriptor, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int descriptor, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int descriptor, void *bytes, size_t count, off_t offset) {
  static int turn;
  if (weather == FILE_SHRINKS) return 0;
  if (weather == READ_FAILS || (weather == READ_STUTTERS && turn++ % 2 == 0)) {
    errno = weather == READ_FAILS ? EISDIR : EINTR;
    return -1;
  }
  return __real_pread(descriptor, bytes, weather == READ_STUTTERS ? 1 : count, offset);
}

/* ---- archives ---- */

struct bytes {
  unsigned char at[8192];
  size_t length;
};

static void add(struct bytes *to, const void *bytes, size_t count) {
  assert_true(to->length + count <= sizeof to->at);
  if (count > 0) memcpy(to->at + to->length, bytes, count);
  to->length += count;
}

static void put(struct bytes *to, uint64_t value, size_t count) {
  for (size_t i = 0; i < count; i++, value >>= 8) add(to, (unsigned char[]){(unsigned char)value}, 1);
}

/* A .npy file of one axis, of f32 1, 2, 3, ... */
static struct bytes npy(int count) {
  struct bytes file = {.length = 0};
  char header[64];
  const int length = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,)}", count);
  add(&file, "\x93NUMPY\1\0", 8);
  put(&file, (uint64_t)length, 2);
  add(&file, header, (size_t)length);
  for (int i = 1; i <= count; i++) add(&file, &(float){(float)i}, sizeof(float));
  return file;
}

/* A member, and what of it is not as it should be; 0 and NULL are right. */
struct member {
  const char *name;
  int count; /* elements */
  bool deflated;
  unsigned method, flags, disk;
  int checksum_off, size_off, packed_off, offset_off, local_size_off;
  bool zip64, extra_cut;
  size_t name_length; /* where it has a NUL */
};

static void put_extra(struct bytes *to, const struct member *m, uint64_t unpacked, uint64_t packed) {
  put(to, 1, 2);
  put(to, m->extra_cut ? 300 : 16, 2);
  put(to, unpacked, 8);
  put(to, packed, 8);
}

/* From the version on, as local headers and entries have it. */
static void put_description(struct bytes *to, const struct member *m, uint64_t checksum, uint64_t packed,
                            uint64_t unpacked) {
  put(to, 20, 2);
  put(to, m->flags, 2);
  put(to, m->method != 0 ? m->method : m->deflated ? 8 : 0, 2);
  put(to, 0x21 << 16, 4);
  put(to, checksum, 4);
  put(to, m->zip64 ? UINT32_MAX : packed, 4);
  put(to, m->zip64 ? UINT32_MAX : unpacked, 4);
  put(to, m->name_length > 0 ? m->name_length : strlen(m->name), 2);
  put(to, m->zip64 ? 20 : 0, 2);
}

static void deflate_bytes(struct bytes *file) {
  struct bytes packed = {.length = 0};
  z_stream stream = {
      .next_in = file->at, .avail_in = (uInt)file->length, .next_out = packed.at, .avail_out = sizeof packed.at};
  assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.length = stream.total_out;
  deflateEnd(&stream);
  *file = packed;
}

static void put_member(struct bytes *archive, struct bytes *directory, const struct member *m) {
  struct bytes file = npy(m->count);
  const size_t length = m->name_length > 0 ? m->name_length : strlen(m->name), offset = archive->length;
  const uint64_t checksum = (uint64_t)((int64_t)crc32(0, file.at, (uInt)file.length) + m->checksum_off);
  const uint64_t unpacked = file.length + (uint64_t)m->size_off;
  if (m->deflated) deflate_bytes(&file);
  const uint64_t packed = file.length + (uint64_t)m->packed_off, local = unpacked + (uint64_t)m->local_size_off;
  put(archive, 0x04034B50, 4);
  put_description(archive, m, checksum, packed, local);
  add(archive, m->name, length);
  if (m->zip64) put_extra(archive, m, local, packed);
  add(archive, file.at, file.length);
  put(directory, 0x02014B50, 4);
  put(directory, 20, 2);
  put_description(directory, m, checksum, packed, unpacked);
  put(directory, (uint64_t)m->disk << 16, 4);
  put(directory, 0, 6);
  put(directory, offset + (uint64_t)m->offset_off, 4);
  add(directory, m->name, length);
  if (m->zip64) put_extra(directory, m, unpacked, packed);
}

/* The end, and what of it is not as it should be. */
struct end {
  unsigned disk;
  int entries_off, size_off, offset_off;
  const char *before, *comment, *behind_directory;
  bool zip64;
};

static struct bytes make(const struct member *members, size_t count, const struct end *end) {
  static const struct end right = {0};
  struct bytes archive = {.length = 0}, directory = {.length = 0};
  if (end == NULL) end = &right;
  const char *comment = end->comment != NULL ? end->comment : "";
  if (end->before != NULL) add(&archive, end->before, strlen(end->before));
  for (size_t i = 0; i < count; i++) put_member(&archive, &directory, &members[i]);
  const uint64_t begin = archive.length, entries = count + (uint64_t)end->entries_off;
  if (end->behind_directory != NULL) add(&directory, end->behind_directory, strlen(end->behind_directory));
  add(&archive, directory.at, directory.length);
  const uint64_t size = directory.length + (uint64_t)end->size_off, offset = begin + (uint64_t)end->offset_off;
  if (end->zip64) {
    const uint64_t record = archive.length;
    put(&archive, 0x06064B50, 4);
    put(&archive, 44, 8);
    put(&archive, 45 | 45 << 16, 4);
    put(&archive, end->disk, 8);
    put(&archive, entries, 8);
    put(&archive, entries, 8);
    put(&archive, size, 8);
    put(&archive, offset, 8);
    put(&archive, 0x07064B50, 4);
    put(&archive, 0, 4);
    put(&archive, record, 8);
    put(&archive, 1, 4);
  }
  put(&archive, 0x06054B50, 4);
  put(&archive, end->zip64 ? 0 : end->disk, 4);
  put(&archive, end->zip64 ? 0xFFFF : entries, 2);
  put(&archive, end->zip64 ? 0xFFFF : entries, 2);
  put(&archive, end->zip64 ? UINT32_MAX : size, 4);
  put(&archive, end->zip64 ? UINT32_MAX : offset, 4);
  put(&archive, strlen(comment), 2);
  add(&archive, comment, strlen(comment));
  return archive;
}

static bool read_bytes(const void *bytes, size_t size, int64_t limit, cbn_npz *npz, cbn_error *error) {
  void *copy = __real_malloc(size + (size == 0)); /* of its own, so that a sanitizer sees what is read behind it */
  memcpy(copy, bytes, size);
  const bool read = cbn_npz_read_memory("a.npz", copy, size, limit, npz, error);
  free(copy);
  return read;
}

static void assert_refused(const struct bytes *archive, int64_t limit, const char *begin, const char *words) {
  cbn_npz npz;
  cbn_error error;
  if (read_bytes(archive->at, archive->length, limit, &npz, &error)) fail_msg("read, but expected %s", begin);
  assert_int_equal(npz.count, 0);
  if (strncmp(error.text, begin, strlen(begin)) != 0 || strstr(error.text, words) == NULL)
    fail_msg("expected %s ... %s, got %s", begin, words, error.text);
}

static void assert_counting(const cbn_tensor *tensor, int64_t count) {
  assert_non_null(tensor);
  assert_int_equal(tensor->type, CBN_F32);
  assert_int_equal(tensor->rank, 1);
  assert_int_equal(tensor->extent[0], count);
  for (int64_t i = 0; i < count; i++) assert_float_equal(cbn_tensor_get(tensor, i), i + 1, 0);
}

/* ---- what reads ---- */

static void members_read(void **state) {
  (void)state;
  static const struct member members[] = {{.name = "a.npy", .count = 2},
                                          {.name = "folder/b.c.npy", .count = 200, .deflated = true},
                                          {.name = "z.npy", .count = 3, .zip64 = true},
                                          {.name = "y.npy", .count = 4, .deflated = true, .zip64 = true}};
  static const struct end ends[] = {{0}, {.comment = "said at the end"}, {.zip64 = true}};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    const struct bytes archive = make(members, 4, &ends[i]);
    cbn_npz npz;
    cbn_error error;
    if (!read_bytes(archive.at, archive.length, 836, &npz, &error)) fail_msg("%s", error.text); /* 4 * (2+200+3+4) */
    assert_int_equal(npz.count, 4);
    assert_string_equal(npz.members[1].name, "folder/b.c");
    assert_counting(cbn_npz_find(&npz, "a"), 2);
    assert_counting(cbn_npz_find(&npz, "folder/b.c"), 200);
    assert_counting(cbn_npz_find(&npz, "z"), 3);
    assert_counting(cbn_npz_find(&npz, "y"), 4);
    assert_null(cbn_npz_find(&npz, "a.npy"));
    cbn_npz_release(&npz);
    assert_refused(&archive, 835, "a.npz[y]: npy-memory: the tensor takes 16 bytes, and 15 are left", "smaller");
  }
}

static void an_empty_archive_reads(void **state) {
  (void)state;
  const struct bytes archive = make(NULL, 0, NULL);
  cbn_npz npz;
  cbn_error error;
  assert_true(read_bytes(archive.at, archive.length, 0, &npz, &error));
  assert_int_equal(npz.count, 0);
  cbn_npz_release(&npz);
}

/* ---- what is refused ---- */

static void broken_members_are_refused(void **state) {
  (void)state;
  static const struct {
    struct member member;
    const char *begin, *words;
  } broken[] = {
      {{.name = "a", .count = 1}, "a.npz[a]: npz-member: is no .npy file", "numpy.savez"},
      {{.name = ".npy", .count = 1}, "a.npz[.npy]: npz-member: is no .npy file", ""},
      {{.name = "a\0b.npy", .count = 1, .name_length = 7}, "a.npz[a]: npz-member: the name holds a NUL", ""},
      {{.name = "a.npy", .count = 1, .flags = 1}, "a.npz[a]: npz-method: is encrypted", "password"},
      {{.name = "a.npy", .count = 1, .flags = 1 << 6}, "a.npz[a]: npz-method: is encrypted", ""},
      {{.name = "a.npy", .count = 1, .flags = 1 << 13}, "a.npz[a]: npz-method: is encrypted", ""},
      {{.name = "a.npy", .count = 1, .flags = 1 << 5}, "a.npz[a]: npz-method: is a patch", ""},
      {{.name = "a.npy", .count = 1, .method = 9}, "a.npz[a]: npz-method: is packed with Deflate64 (method 9)", ""},
      {{.name = "a.npy", .count = 1, .method = 12},
       "a.npz[a]: npz-method: is packed with bzip2 (method 12)",
       "deflate"},
      {{.name = "a.npy", .count = 1, .method = 14}, "a.npz[a]: npz-method: is packed with LZMA (method 14)", ""},
      {{.name = "a.npy", .count = 1, .method = 93}, "a.npz[a]: npz-method: is packed with Zstandard (method 93)", ""},
      {{.name = "a.npy", .count = 1, .method = 95}, "a.npz[a]: npz-method: is packed with XZ (method 95)", ""},
      {{.name = "a.npy", .count = 1, .method = 99}, "a.npz[a]: npz-method: is encrypted (method 99)", ""},
      {{.name = "a.npy", .count = 1, .method = 77}, "a.npz[a]: npz-method: is packed with an unknown method", "77"},
      {{.name = "a.npy", .count = 1, .checksum_off = 1}, "a.npz[a]: npz-checksum: ", ""},
      {{.name = "a.npy", .count = 50, .checksum_off = -1, .deflated = true}, "a.npz[a]: npz-checksum: ", ""},
      {{.name = "a.npy", .count = 1, .size_off = 1}, "a.npz[a]: npz-size: is stored, and has 69 bytes and 70", ""},
      {{.name = "a.npy", .count = 50, .size_off = 1, .deflated = true}, "a.npz[a]: npz-size: its", "do not inflate"},
      {{.name = "a.npy", .count = 50, .size_off = -1, .deflated = true}, "a.npz[a]: npz-size: its", "do not inflate"},
      {{.name = "a.npy", .count = 50, .packed_off = -1, .deflated = true}, "a.npz[a]: npz-size: its", "do not inflate"},
      {{.name = "a.npy", .count = 50, .packed_off = 1, .deflated = true}, "a.npz[a]: npz-size: its", "do not lie"},
      {{.name = "a.npy", .count = 1, .size_off = 5000, .packed_off = 5000}, "a.npz[a]: npz-size: its 5069 bytes", ""},
      {{.name = "a.npy", .count = 50, .size_off = 1 << 20, .deflated = true},
       "a.npz[a]: npz-size: ",
       "cannot inflate to"},
      {{.name = "a.npy", .count = 1, .local_size_off = 1}, "a.npz[a]: npz-archive: the directory and the header", ""},
      {{.name = "a.npy", .count = 1, .offset_off = 1}, "a.npz[a]: npz-archive: nothing begins at byte 1", ""},
      {{.name = "a.npy", .count = 1, .offset_off = 1000}, "a.npz[a]: npz-archive: nothing begins at byte 1000", ""},
      {{.name = "a.npy", .count = 1, .disk = 2}, "a.npz: npz-archive: the archive is split", ""},
      {{.name = "a.npy", .count = 1, .zip64 = true, .extra_cut = true},
       "a.npz: npz-archive: an extra field",
       "cut off"},
      {{.name = "a.npy", .count = 1, .zip64 = true, .size_off = -1, .packed_off = -1}, "a.npz[a]: npy-size: ", ""},
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    struct member member = broken[i].member;
    if (strncmp(broken[i].begin, "a.npz[a]: npy-size", 18) == 0) { /* one byte less of the file, with its checksum */
      const struct bytes file = npy(1);
      member.checksum_off =
          (int)((int64_t)crc32(0, file.at, (uInt)file.length - 1) - (int64_t)crc32(0, file.at, (uInt)file.length));
    }
    const struct bytes archive = make(&member, 1, NULL);
    assert_refused(&archive, 1 << 20, broken[i].begin, broken[i].words);
  }
  char name[260];
  for (size_t length = 204; length < sizeof name;
       length += 10) { /* too long for a tensor's name; for what is shown of it */
    memset(name, 'n', length);
    strcpy(name + length - 4, ".npy");
    const struct member member = {.name = name, .count = 1};
    const struct bytes archive = make(&member, 1, NULL);
    assert_refused(&archive, 1 << 20, "a.npz[nnnn", "; shorten it");
  }
  static const struct member big = {.name = "a.npy", .count = 1900};
  const struct bytes archive = make(&big, 1, NULL);
  assert_refused(&archive, 0, "a.npz[a]: npy-memory: the tensor takes 7600 bytes, and 0 are left", "");
}

/* A run of zeros deflates to a thousandth; the limit holds against what is stated, before anything is inflated. */
static void a_bomb_is_refused(void **state) {
  (void)state;
  enum { SIZE = 3000000 };
  unsigned char *zeros = calloc(1, SIZE), *packed = malloc(SIZE);
  z_stream stream = {.next_in = zeros, .avail_in = SIZE, .next_out = packed, .avail_out = SIZE};
  assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  struct bytes archive = {.length = 0};
  const uint64_t sizes[] = {stream.total_out, SIZE};
  deflateEnd(&stream);
  for (int part = 0; part < 2; part++) {
    put(&archive, part == 0 ? 0x04034B50 : 0x02014B50, 4);
    if (part == 1) put(&archive, 20, 2);
    put(&archive, 20, 4);
    put(&archive, 8, 2);
    put(&archive, 0, 4);
    put(&archive, crc32(0, zeros, SIZE), 4);
    put(&archive, sizes[0], 4);
    put(&archive, sizes[1], 4);
    put(&archive, 5, 4);
    if (part == 1) put(&archive, 0, 8);
    if (part == 1) put(&archive, 0, 6);
    add(&archive, "a.npy", 5);
    if (part == 0) add(&archive, packed, sizes[0]);
  }
  put(&archive, 0x06054B50, 4);
  put(&archive, 0, 4);
  put(&archive, 1 | 1 << 16, 4);
  put(&archive, 46 + 5, 4);
  put(&archive, 35 + sizes[0], 4);
  put(&archive, 0, 2);
  assert_refused(&archive, SIZE, "a.npz[a]: npy-header: does not begin as a .npy file", "");
  assert_refused(&archive, 1 << 20, "a.npz[a]: npz-memory: takes 3000000 bytes, and 1048576 are left", "");
  free(zeros);
  free(packed);
}

static void members_stand_apart(void **state) {
  (void)state;
  static const struct member twins[] = {
      {.name = "b.npy", .count = 1}, {.name = "a.npy", .count = 1}, {.name = "b.npy", .count = 1}};
  struct bytes archive = make(twins, 3, NULL);
  assert_refused(&archive, 1 << 20, "a.npz[b]: npz-member: is there twice", "");
  /* The second entry names the first one's bytes: 30 + 5 + 69. */
  static const struct member shared[] = {{.name = "b.npy", .count = 1},
                                         {.name = "a.npy", .count = 1, .offset_off = -104}};
  archive = make(shared, 2, NULL);
  assert_refused(&archive, 1 << 20, "a.npz[", "shares its bytes with");
}

static void broken_ends_are_refused(void **state) {
  (void)state;
  static const struct member member = {.name = "a.npy", .count = 1};
  static const struct {
    struct end end;
    const char *begin, *words;
  } broken[] = {
      {{.disk = 1}, "a.npz: npz-archive: the archive is split", ""},
      {{.disk = 1, .zip64 = true}, "a.npz: npz-archive: the archive is split", ""},
      {{.entries_off = 1}, "a.npz: npz-archive: ", "fit"},
      {{.entries_off = -1}, "a.npz: npz-archive: more follows", ""},
      {{.entries_off = 1 << 20, .zip64 = true}, "a.npz: npz-archive: 1048577 members, more than 65535", ""},
      {{.entries_off = 100, .zip64 = true}, "a.npz: npz-archive: 101 members do not fit", ""},
      {{.size_off = 1}, "a.npz: npz-archive: the directory of 52 bytes at byte 104 does not end at byte 155", ""},
      {{.offset_off = 1}, "a.npz: npz-archive: the directory of 51 bytes at byte 105", ""},
      {{.size_off = -60}, "a.npz: npz-archive: the directory", ""},
      {{.offset_off = 1, .zip64 = true}, "a.npz: npz-archive: the directory", ""},
      {{.before = "#!/bin/sh"}, "a.npz: npz-archive: does not begin as a ZIP archive", ""},
      {{.behind_directory = "more"}, "a.npz: npz-archive: more follows the directory's last entry at byte 155", ""},
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    const struct bytes archive = make(&member, 1, &broken[i].end);
    assert_refused(&archive, 1 << 20, broken[i].begin, broken[i].words);
  }
  static const struct bytes text = {.at = "{\"a\": 1}, and more than twenty-two bytes", .length = 40},
                            nothing = {.length = 0};
  assert_refused(&text, 1 << 20, "a.npz: npz-archive: does not begin as a ZIP archive", "");
  assert_refused(&nothing, 1 << 20, "a.npz: npz-archive: does not begin as a ZIP archive", "");
}

/* No beginning of an archive reads, and no change of a byte makes it crash or gives other elements. */
static void cut_and_changed_archives(void **state) {
  (void)state;
  static const struct member members[] = {{.name = "a.npy", .count = 40, .deflated = true},
                                          {.name = "b.npy", .count = 2, .zip64 = true}};
  static const struct end ends[] = {{0}, {.zip64 = true}};
  cbn_error error;
  cbn_npz npz;
  size_t same = 0;
  for (int e = 0; e < 2; e++) {
    struct bytes archive = make(members, 2, &ends[e]);
    for (size_t length = 0; length < archive.length; length++)
      assert_false(read_bytes(archive.at, length, 1 << 20, &npz, &error));
    for (size_t i = 0; i < archive.length; i++)
      for (int change = 1; change < 256; change += 43) {
        archive.at[i] ^= (unsigned char)change;
        if (read_bytes(archive.at, archive.length, 1 << 20, &npz, &error)) {
          assert_int_equal(npz.count, 2);
          assert_counting(&npz.members[0].tensor, 40);
          assert_counting(&npz.members[1].tensor, 2);
          cbn_npz_release(&npz);
          same++;
        } else {
          assert_int_equal(strncmp(error.text, "a.npz", 5), 0);
        }
        archive.at[i] ^= (unsigned char)change;
      }
  }
  assert_true(same > 100); /* times, versions, attributes */
}

static void memory_may_be_short(void **state) {
  (void)state;
  static const struct member members[] = {{.name = "a.npy", .count = 40, .deflated = true},
                                          {.name = "b.npy", .count = 2}};
  const struct bytes archive = make(members, 2, NULL);
  cbn_error error = {""};
  cbn_npz npz;
  int left = 0;
  for (bool read = false; !read; left++) {
    allocations_left = left;
    read = read_bytes(archive.at, archive.length, 1 << 20, &npz, &error);
    allocations_left = -1;
    if (!read && strstr(error.text, "memory: no memory") == NULL) fail_msg("%s", error.text);
  }
  assert_true(left > 5);
  cbn_npz_release(&npz);
}

/* ---- what is added and written ---- */

static cbn_tensor counting(int32_t type, int32_t rank, const int64_t *extent, enum cbn_layout layout) {
  cbn_tensor tensor;
  assert_true(cbn_tensor_describe(&tensor, type, rank, extent, layout) && cbn_tensor_allocate(&tensor));
  for (int64_t i = 0; i < cbn_tensor_count(&tensor); i++) cbn_tensor_set(&tensor, i, (double)i + 0.5);
  return tensor;
}

static void add_well(cbn_npz *npz, const char *name, cbn_tensor tensor) {
  cbn_error error;
  if (!cbn_npz_add(npz, name, &tensor, &error)) fail_msg("%s", error.text);
  cbn_tensor_release(&tensor);
}

static cbn_npz sample(void) {
  cbn_npz npz = {0};
  add_well(&npz, "conv/weight", counting(CBN_F32, 3, (int64_t[]){2, 1, 3}, CBN_CHANNELS_LAST));
  add_well(&npz, "half", counting(CBN_F16, 1, (int64_t[]){3}, CBN_CONTIGUOUS));
  add_well(&npz, "brain", counting(CBN_BF16, 1, (int64_t[]){2}, CBN_STRIDED));
  add_well(&npz, "gr\xC3\xB6\xC3\x9F", counting(CBN_F64, 2, (int64_t[]){1, 2}, CBN_CONTIGUOUS));
  add_well(&npz, "empty", counting(CBN_F32, 2, (int64_t[]){0, 4}, CBN_CONTIGUOUS));
  return npz;
}

static void names_are_unique(void **state) {
  (void)state;
  cbn_npz npz = sample();
  cbn_tensor tensor = counting(CBN_F32, 1, (int64_t[]){1}, CBN_CONTIGUOUS);
  cbn_error error;
  char name[sizeof npz.members->name + 1];
  memset(name, 'n', sizeof name);
  name[sizeof name - 1] = '\0';
  assert_false(cbn_npz_add(&npz, "half", &tensor, &error));
  assert_non_null(strstr(error.text, "half is there twice"));
  assert_false(cbn_npz_add(&npz, "", &tensor, &error));
  assert_non_null(strstr(error.text, "without a name"));
  assert_false(cbn_npz_add(&npz, name, &tensor, &error));
  assert_non_null(strstr(error.text, "has 200 bytes"));
  assert_true(cbn_npz_add(&npz, name + 1, &tensor, &error));
  assert_int_equal(npz.count, 6);
  cbn_tensor_release(&tensor);
  cbn_npz_release(&npz);
}

static char folder[64], path[128];

static const char *path_of(const char *name) {
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/convbn-npz-XXXXXX");
  return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  return system(command);
}

static void read_path(const char *name, cbn_npz *npz) {
  cbn_error error;
  if (!cbn_npz_read(path_of(name), 1 << 20, npz, &error)) fail_msg("%s", error.text);
}

static void what_is_written_reads(void **state) {
  (void)state;
  cbn_npz npz = sample(), again;
  cbn_error error;
  unsigned char bytes[2][8192];
  size_t size[2];
  for (int i = 0; i < 2; i++) { /* the same bytes each time */
    if (!cbn_npz_write(path_of("written.npz"), &npz, &error)) fail_msg("%s", error.text);
    FILE *file = fopen(path_of("written.npz"), "rb");
    assert_non_null(file);
    size[i] = fread(bytes[i], 1, sizeof bytes[i], file);
    fclose(file);
  }
  assert_int_equal(size[0], size[1]);
  assert_memory_equal(bytes[0], bytes[1], size[0]);
  read_path("written.npz", &again);
  assert_int_equal(again.count, npz.count);
  for (size_t i = 0; i < npz.count; i++) {
    const cbn_tensor *was = &npz.members[i].tensor, *is = &again.members[i].tensor;
    assert_string_equal(again.members[i].name, npz.members[i].name);
    assert_int_equal(is->type, was->type == CBN_BF16 ? CBN_F32 : was->type);
    assert_int_equal(is->rank, was->rank);
    assert_memory_equal(is->extent, was->extent, (size_t)is->rank * sizeof *is->extent);
    for (int64_t k = 0; k < cbn_tensor_count(was); k++) assert_true(cbn_tensor_get(was, k) == cbn_tensor_get(is, k));
  }
  cbn_npz_release(&again);
  assert_false(cbn_npz_write(path_of("nowhere/a.npz"), &npz, &error));
  assert_non_null(strstr(error.text, "nowhere/a.npz: npz-file: cannot be written: No such file"));
  assert_false(cbn_npz_read(path_of("nowhere.npz"), 1 << 20, &again, &error));
  assert_non_null(strstr(error.text, "nowhere.npz: npz-file: cannot be read: No such file"));
  assert_false(cbn_npz_read(folder, 1 << 20, &again, &error));
  assert_non_null(strstr(error.text, ": npz-file: is no regular file"));
  cbn_npz_release(&npz);
}

static void a_file_that_does_not_read(void **state) {
  (void)state;
  static const char *const words[] = {
      [READ_FAILS] = "cannot be read: Is a directory", [FILE_SHRINKS] = "cannot be read: Input/output error"};
  cbn_npz npz = sample(), again;
  cbn_error error;
  assert_true(cbn_npz_write(path_of("file.npz"), &npz, &error));
  for (weather = READ_FAILS; weather <= FILE_SHRINKS; weather++) {
    const bool read = cbn_npz_read(path_of("file.npz"), 1 << 20, &again, &error);
    assert_int_equal(read, words[weather] == NULL);
    if (read) cbn_npz_release(&again);
    else assert_non_null(strstr(error.text, words[weather]));
  }
  weather = WORKS;
  allocations_left = 0;
  assert_false(cbn_npz_read(path_of("file.npz"), 1 << 20, &again, &error));
  allocations_left = -1;
  assert_non_null(strstr(error.text, "file.npz: npz-file: cannot be read: "));
  cbn_npz_release(&npz);
}

/* A view of one element, as often as 4 GiB have room for it. */
static void large_archives_are_refused(void **state) {
  (void)state;
  float element = 1;
  cbn_npz_member member = {.name = "a",
                           .tensor = {.type = CBN_F32, .rank = 2, .extent = {1 << 15, 1 << 15}, .data = &element}};
  const cbn_npz npz = {.count = 1, .members = &member};
  cbn_error error;
  assert_false(cbn_npz_write(path_of("large.npz"), &npz, &error));
  assert_non_null(strstr(error.text, "large.npz: npz-file: cannot be written: File too large"));
  assert_int_not_equal(access(path_of("large.npz.partial"), F_OK), 0);
}

/* ---- Python on the other side ---- */

static void run_peer(const char *mode, const char *argument, char *said, size_t size) {
  char command[300];
  snprintf(command, sizeof command, "python3 tests/npz_peer.py %s '%s' 2>&1", mode, argument);
  FILE *peer = popen(command, "r");
  assert_non_null(peer);
  said[fread(said, 1, size - 1, peer)] = '\0';
  if (pclose(peer) != 0) fail_msg("%s", said);
}

static void what_python_writes_reads(void **state) {
  (void)state;
  static const char *const names[] = {"stored.npz",     "savez.npz",     "compressed.npz", "streamed.npz",
                                      "streamed64.npz", "commented.npz", "folders.npz"};
  char said[4096];
  run_peer("write", folder, said, sizeof said);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    cbn_npz npz;
    read_path(names[i], &npz);
    assert_int_equal(npz.count, 3);
    const cbn_tensor *weight = cbn_npz_find(&npz, "block/conv.weight"), *bias = cbn_npz_find(&npz, "bias");
    assert_non_null(weight);
    assert_int_equal(weight->type, CBN_F32);
    assert_int_equal(weight->rank, 2);
    assert_int_equal(weight->extent[1], 3);
    assert_true(cbn_tensor_get(weight, 4) == 4 && cbn_tensor_get(weight, 5) == -5.5);
    assert_int_equal(cbn_npz_find(&npz, "steps")->rank, 1); /* a scalar */
    assert_true(cbn_tensor_get(cbn_npz_find(&npz, "steps"), 0) == 7);
    assert_int_equal(bias->type, CBN_F64);
    assert_true(cbn_tensor_count(bias) == 300 && cbn_tensor_get(bias, 299) == 0.25);
    cbn_npz_release(&npz);
  }
}

static void python_reads_what_is_written(void **state) {
  (void)state;
  cbn_npz npz = sample();
  cbn_error error;
  char said[4096];
  assert_true(cbn_npz_write(path_of("ours.npz"), &npz, &error));
  run_peer("read", path_of("ours.npz"), said, sizeof said);
  assert_string_equal(said,
                      "conv/weight.npy (1980, 1, 1) <f4 (2, 1, 3) 0.5 1.5 2.5 3.5 4.5 5.5\n"
                      "half.npy (1980, 1, 1) <f2 (3,) 0.5 1.5 2.5\n"
                      "brain.npy (1980, 1, 1) <f4 (2,) 0.5 1.5\n"
                      "gr\xC3\xB6\xC3\x9F.npy (1980, 1, 1) <f8 (1, 2) 0.5 1.5\n"
                      "empty.npy (1980, 1, 1) <f4 (0, 4)\n");
  cbn_npz_release(&npz);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members_read),
      cmocka_unit_test(an_empty_archive_reads),
      cmocka_unit_test(broken_members_are_refused),
      cmocka_unit_test(a_bomb_is_refused),
      cmocka_unit_test(members_stand_apart),
      cmocka_unit_test(broken_ends_are_refused),
      cmocka_unit_test(cut_and_changed_archives),
      cmocka_unit_test(memory_may_be_short),
      cmocka_unit_test(names_are_unique),
      cmocka_unit_test(what_is_written_reads),
      cmocka_unit_test(a_file_that_does_not_read),
      cmocka_unit_test(large_archives_are_refused),
      cmocka_unit_test(what_python_writes_reads),
      cmocka_unit_test(python_reads_what_is_written),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
