#!/usr/bin/env bash
# Each public header compiles by itself, as C17 and as C++, and without a warning.
set -euo pipefail
compile() { "$@" -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Werror -I "$CONVBN_SOURCE/include" -; }
for header in "$CONVBN_SOURCE"/include/convbn/*.h; do
  source="#include <convbn/${header##*/}>"
  compile "$CC" -x c -std=c17 <<<"$source"
  compile clang -x c++ -std=c++14 <<<"$source"
done
