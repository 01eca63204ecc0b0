#include "harness/plug_in.h"

#include <dlfcn.h>
#include <fenv.h>
#include <stddef.h>
#include <string.h>

static bool check_engine(const cbn_engine *engine, cbn_error *error) {
  CBN_CHECK(engine != NULL, error, "cbn_engine_open returns NULL: it refuses this program's ABI %d or the options",
            CBN_ABI_VERSION);
  CBN_CHECK(engine->struct_size >= offsetof(cbn_engine, run) + sizeof engine->run, error,
            "its struct cbn_engine has %u bytes, too few to hold `run`", engine->struct_size);
  CBN_CHECK(engine->abi == CBN_ABI_VERSION, error, "it is compiled for ABI %u, this program speaks ABI %d", engine->abi,
            CBN_ABI_VERSION);
  CBN_CHECK(engine->run != NULL, error, "its struct cbn_engine has no `run`");
  return true;
}

bool cbn_plug_in_load(const char *path, const char *options, cbn_engine **engine, cbn_error *error) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CBN_CHECK(library != NULL, error, "%s", dlerror());
  cbn_engine *(*open_engine)(uint32_t, const char *);
  void *symbol = dlsym(library, "cbn_engine_open");
  CBN_CHECK(symbol != NULL, error, "it does not export cbn_engine_open");
  memcpy(&open_engine, &symbol, sizeof open_engine);
  *engine = open_engine(CBN_ABI_VERSION, options);
  fesetenv(FE_DFL_ENV); /* libraries linked for fast mathematics change it when they are loaded */
  return check_engine(*engine, error);
}
