/* Memory that nobody may touch: AddressSanitizer, where it is compiled in, ends the program at the first access. */
#ifndef CBN_CORE_POISON_H
#define CBN_CORE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define CBN_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CBN_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef CBN_ADDRESS_SANITIZER
#define CBN_ADDRESS_SANITIZER 0
#endif

#if CBN_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#define CBN_POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define CBN_UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define CBN_POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define CBN_UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#endif
