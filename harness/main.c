/* The program: picks the subcommand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/commands.h"
#include "core/verdict.h"

static const struct {
  const char *name, *text;
  int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND(name, text) {#name, text, cbn_command_##name},
    CBN_COMMANDS(COMMAND)
#undef COMMAND
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void usage(FILE *out) {
  fprintf(out,
          "Usage: convbn COMMAND [ARGUMENT...]\n"
          "Conformance tests for convolution and batch normalization: is an engine right, element by\n"
          "element, within proven bounds?\n\n");
  for (int i = 0; i < COMMANDS; i++) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].text);
  fprintf(out, "\n`convbn COMMAND --help` tells more of one command. Example: convbn run cases/ --html report\n");
}

static int unknown(const char *name) {
  fprintf(stderr, "convbn: there is no command '%s'; `convbn --help` lists them\n", name);
  return CBN_EXIT_USAGE;
}

/* What could not be written is an error, whatever the command and however it ends. */
static void close_output(void) {
  if (fflush(stdout) != 0 || ferror(stdout)) _exit(CBN_EXIT_USAGE);
}

int main(int argc, char **argv) {
  atexit(close_output);
  setvbuf(stdout, NULL, _IOLBF, 0); /* what was found before an interrupt has been said */
  char name[64];
  if (argc < 2) {
    usage(stderr);
    return CBN_EXIT_USAGE;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
    usage(stdout);
    return CBN_EXIT_EXPECTED;
  }
  if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
    puts("convbn " CBN_VERSION);
    return CBN_EXIT_EXPECTED;
  }
  for (int i = 0; i < COMMANDS; i++)
    if (strcmp(argv[1], commands[i].name) == 0) {
      snprintf(name, sizeof name, "convbn %s", commands[i].name);
      argv[1] = name;
      return commands[i].run(argc - 1, argv + 1);
    }
  return unknown(argv[1]);
}
