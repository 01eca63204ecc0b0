/* Engines as shared objects, loaded into this process. */
#ifndef CBN_HARNESS_PLUG_IN_H
#define CBN_HARNESS_PLUG_IN_H

#include <convbn/engine.h>

#include "core/error.h"

/* Loads the shared object, which stays until the process ends, and opens its engine; `options` must live as long.
 * False, with the reason, where it is no engine that this program can run. */
bool cbn_plug_in_load(const char *path, const char *options, cbn_engine **engine, cbn_error *error);

#endif
