/* An operator's signature, taken apart: names and defaults of its parameters, in order. */
#ifndef CBN_MIGRATION_SIGNATURE_H
#define CBN_MIGRATION_SIGNATURE_H

#include "dialects/dialect.h"

enum { CBN_MAX_PARAMETERS = 32 };

typedef struct cbn_parameter_info {
  char name[40];
  bool required;
  bool by_keyword;           /* never by position: behind a `*` */
  const cbn_value *fallback; /* the default as a value; NULL where required, or where the text is no literal ("of W") */
  char fallback_text[40];    /* as the signature has it */
} cbn_parameter_info;

typedef struct cbn_signature {
  int count;
  cbn_parameter_info parameter[CBN_MAX_PARAMETERS];
} cbn_signature;

/* Values live in the arena. Every operator of every dialect has a signature that can be read: a test says so. */
bool cbn_signature_read(const cbn_dialect_operator *operator, cbn_arena * arena, cbn_signature *signature);

/* Does a parameter of that name say nothing about what is computed (device, name, types, which tensors have
 * themselves)? Its value in a program is often no literal. */
bool cbn_says_nothing(const char *name);

/* The parameter with that name, NULL if there is none. */
const cbn_parameter_info *cbn_signature_find(const cbn_signature *signature, const char *name);

/* The name nearest to `name` among those of the signature, for messages; NULL where none is near. */
const char *cbn_signature_nearest(const cbn_signature *signature, const char *name);

/* How many letters must be changed, added or left out to make one name of the other, without regard to case; SIZE_MAX
 * where that is so many that nobody means it. */
size_t cbn_name_distance(const char *a, const char *b);

#endif
