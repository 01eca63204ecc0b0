/* The list of rules as a table. */
#include "core/rules.h"

#include <convbn/operator.h>
#include <string.h>

static const struct {
  const char *name, *text;
} rules[] = {
#define RULE(NAME, name, text) {name, text},
    CBN_RULES(RULE)
#undef RULE
};

int cbn_rule_count(void) { return (int)(sizeof rules / sizeof rules[0]); }

const char *cbn_rule_name(int rule) { return rule >= 0 && rule < cbn_rule_count() ? rules[rule].name : "none"; }

const char *cbn_rule_text(int rule) { return rule >= 0 && rule < cbn_rule_count() ? rules[rule].text : ""; }

int cbn_rule_by_name(const char *name) {
  for (int rule = 0; rule < cbn_rule_count(); rule++)
    if (strcmp(rules[rule].name, name) == 0) return rule;
  return -1;
}
