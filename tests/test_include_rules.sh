#!/usr/bin/env bash
# Each room includes itself and the rooms before it, nothing else; the table below is the house's order.
set -euo pipefail

declare -A may_include=(
  [core]="core"
  [reference]="reference core"
  [fast]="fast core"
  [dialects]="dialects core"
  [harness]="harness dialects reference core"
  [generator]="generator core"
  [diagnosis]="diagnosis generator dialects reference core"
  [migration]="migration harness generator dialects reference core"
  [fuzz]="fuzz migration diagnosis harness generator dialects reference core"
  [engines]=""
  [bench]="bench fast generator core"
)
# The program itself comes last: it may see what the rest of its room may not.
declare -A may_also_include=([harness/main.c]="diagnosis")

# Prints every forbidden include of the tree, as file:line: reason.
forbidden_includes() {
  local root=$1 room file line text target
  for room in "${!may_include[@]}"; do
    [ -d "$root/$room" ] || continue
    while IFS=: read -r file line text; do
      file=${file#"$root/"}
      target=${text#*[\"<]}
      target=${target%%[\">]*}
      case $text in
        *'<'*) # the system's own and the public headers
          case $target in
            convbn/*) [ -e "$root/include/$target" ] || echo "$file:$line: there is no include/$target" ;;
            core/* | reference/* | fast/* | dialects/* | harness/* | generator/* | diagnosis/* | engines/* | bench/* | fuzz/* | migration/* | tests/*)
              echo "$file:$line: $target belongs into quotes" ;;
          esac
          ;;
        *..*) echo "$file:$line: $target leaves the room by its path" ;;
        *)
          [[ " ${may_include[$room]} ${may_also_include[$file]:-} " == *" ${target%%/*} "* ]] ||
            echo "$file:$line: $room may not include $target"
          ;;
      esac
    done < <(grep -rnE '^ *# *include *["<]' --include='*.c' --include='*.h' "$root/$room" || true)
  done
}

# The check finds what it is for.
trap 'rm -rf "$tree"' EXIT
tree=$(mktemp -d)
mkdir -p "$tree"/{core,reference,fast,dialects,harness,diagnosis,engines,include/convbn}
touch "$tree/include/convbn/tensor.h"
echo '#include "fast/gemm.h"' | tee "$tree"/{core,reference,dialects,harness,diagnosis,engines}/wrong.c >"$tree/fast/right.c"
echo '#include "reference/rounding.h"' | tee "$tree"/{fast,dialects}/also_wrong.h >"$tree/harness/right.h"
echo '#include "../fast/gemm.h"' >"$tree/reference/path.c"
echo '# include <core/error.h>' >"$tree/dialects/angle.c"
echo '#include <convbn/nothing.h>' >"$tree/core/absent.c"
printf '#include <convbn/tensor.h>\n#include <stdio.h>\n#include "core/error.h"\n' >"$tree/core/right.c"
echo '#include "diagnosis/hypothesis.h"' | tee "$tree/harness/main.c" >"$tree/harness/too_early.c"
found=$(forbidden_includes "$tree" | cut -d: -f1 | sort | paste -sd' ')
expected="core/absent.c core/wrong.c diagnosis/wrong.c dialects/also_wrong.h dialects/angle.c dialects/wrong.c"
expected+=" engines/wrong.c fast/also_wrong.h harness/too_early.c harness/wrong.c reference/path.c reference/wrong.c"
[ "$found" = "$expected" ] || { printf 'the check finds\n  %s\nbut must find\n  %s\n' "$found" "$expected"; exit 1; }

wrong=$(forbidden_includes "$CONVBN_SOURCE")
[ -z "$wrong" ] || { echo "$wrong"; exit 1; }
