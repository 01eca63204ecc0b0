#include "fuzz/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/plug_in.h"

uint8_t *cbn_fuzz_counters;
uint32_t cbn_fuzz_shows = UINT32_MAX;

static cbn_fuzz_campaign campaign;

const cbn_fuzz_campaign *cbn_fuzz_opened(void) { return &campaign; }

_Noreturn static void stop(const char *variable, const char *value, const char *why) {
  fprintf(stderr, "%s=%s: %s\n", variable, value, why);
  exit(CBN_EXIT_ENGINE);
}

/* A variable that is set, and not to nothing. */
static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value != NULL && value[0] != '\0' ? value : NULL;
}

static void open_folder(void) {
  struct stat status;
  campaign.folder = environment("CONVBN_FUZZ_OUT");
  if (campaign.folder == NULL) return;
  if (stat(campaign.folder, &status) != 0) stop("CONVBN_FUZZ_OUT", campaign.folder, strerror(errno));
  if (!S_ISDIR(status.st_mode)) stop("CONVBN_FUZZ_OUT", campaign.folder, "not a folder");
  if (access(campaign.folder, W_OK | X_OK) != 0) stop("CONVBN_FUZZ_OUT", campaign.folder, strerror(errno));
}

static void open_status(void) {
  static cbn_fuzz_status own;
  struct stat status;
  const char *name = environment("CONVBN_FUZZ_STATUS");
  campaign.status = &own;
  if (name == NULL) return;
  const int file = open(name, O_RDWR | O_CLOEXEC);
  if (file < 0 || fstat(file, &status) != 0) stop("CONVBN_FUZZ_STATUS", name, strerror(errno));
  if (status.st_size < (off_t)sizeof own) stop("CONVBN_FUZZ_STATUS", name, "too small to hold the counts");
  campaign.status = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (campaign.status == MAP_FAILED) stop("CONVBN_FUZZ_STATUS", name, strerror(errno));
  close(file);
}

/* `[PATH][:OPTIONS]` */
static void open_engine(void) {
  static char path[PATH_MAX];
  const char *name = getenv("CONVBN_FUZZ_ENGINE");
  if (name == NULL) name = "";
  const char *colon = strchrnul(name, ':'), *options = *colon == ':' ? colon + 1 : "";
  const size_t length = (size_t)(colon - name);
  cbn_engine *engine = NULL;
  cbn_error error = {.text = "the linked engine does not understand these options, or not on this processor"};
  if (length >= sizeof path) stop("CONVBN_FUZZ_ENGINE", name, "the path is too long");
  memcpy(path, name, length);
  if (length == 0) engine = cbn_engine_open(CBN_ABI_VERSION, options);
  else if (!cbn_plug_in_load(path, options, &engine, &error)) engine = NULL;
  if (engine == NULL) stop("CONVBN_FUZZ_ENGINE", name, error.text);
  campaign.subject = cbn_subject_in_process(engine);
}

void cbn_fuzz_open(const cbn_target *target) {
  if (campaign.status == NULL) {
    open_folder();
    open_status();
  }
  if (!target->problems || campaign.trial != NULL) return;
  open_engine();
  campaign.trial = cbn_trial_open();
  if (campaign.trial == NULL) stop("CONVBN_FUZZ_ENGINE", campaign.subject.name, "no memory for a trial");
}
