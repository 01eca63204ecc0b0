/* The subcommands of the program `convbn`. Each takes its own arguments (argv[0] is "convbn run" and so on) and
 * returns an exit code. */
#ifndef CBN_HARNESS_COMMANDS_H
#define CBN_HARNESS_COMMANDS_H

/* Name, function, what it does. */
#define CBN_COMMANDS(X)                                                                                                \
  X(run, "run cases against an engine")                                                                                \
  X(lint, "check case files")                                                                                          \
  X(upstream, "list what engines are known to answer wrongly")                                                         \
  X(fuzz, "fuzz an engine against the reference")                                                                      \
  X(minimize, "find the smallest problem that an engine gets wrong")                                                   \
  X(case, "write the problem of a fuzzer's genome as a case file")                                                     \
  X(seed, "write the genome of a case's problem")                                                                      \
  X(differ, "find the smallest witness on which two frameworks part")                                                  \
  X(differences, "write the pages that say where frameworks part")                                                      \
  X(translate, "translate a layer into another framework, or say why there is no translation")                         \
  X(dialects, "list the dialects, their operators and defaults")                                                       \
  X(engines, "list the engines that come with the program")                                                            \
  X(rules, "list the rules by which problems are refused")                                                             \
  X(verdicts, "list the verdicts and the exit codes")

#define CBN_DECLARE_COMMAND(name, text) int cbn_command_##name(int argc, char **argv);
CBN_COMMANDS(CBN_DECLARE_COMMAND)
#undef CBN_DECLARE_COMMAND

#endif
