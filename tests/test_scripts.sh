#!/usr/bin/env bash
# The scripts: what they install and when, what they say where they cannot, what they pass on to the program. Package
# managers and the build are stand-ins that write down how they were called.
set -euo pipefail
cd -- "$CONVBN_SOURCE"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fail() {
  echo "line ${BASH_LINENO[0]}: $*"
  exit 1
}
equal() { [ "$1" = "$2" ] || { printf 'line %s:\n  got      %q\n  expected %q\n' "${BASH_LINENO[0]}" "$1" "$2"; exit 1; }; }

for script in run-conformance run-fuzz run-tests packages/install cmake/build .ci/run; do
  [ -x "$script" ] || fail "$script is not executable"
  bash -n "$script"
done
if command -v shellcheck >/dev/null; then
  shellcheck run-conformance run-fuzz run-tests packages/install cmake/build .ci/run tests/test_*.sh
fi

# A machine of stand-ins: what is installed is in $tree/installed; calls of apt-get are in $tree/calls.
mkdir "$tree/bin"
stand_in() { { echo '#!/bin/bash'; cat; } >"$tree/bin/$1" && chmod +x "$tree/bin/$1"; }
for tool in bash sed tr mktemp rm cat env touch true flock; do
  ln -s "$(type -P "$tool")" "$tree/bin/$tool"
done
stand_in dpkg-query <<<"cat '$tree/installed' 2>/dev/null"
stand_in id <<<"cat '$tree/uid'"
stand_in apt-get <<EOF
echo "\$*" >>'$tree/calls'
case "\$*" in
  *update*) touch '$tree/updated' ;;
  *) [ -e '$tree/updated' ] || { echo 'E: Unable to locate package'; exit 100; } ;;
esac
EOF
printf '# a comment\nalpha   # behind a name\n\nbeta\n' >"$tree/some.txt"
echo gamma >"$tree/more.txt"

install() { # with a fresh record of calls; sets code, said, calls
  rm -f "$tree/calls"
  code=0
  said=$(PATH=$tree/bin packages/install "$@" 2>&1 </dev/null) || code=$?
  calls=$(cat "$tree/calls" 2>/dev/null || true)
}

# Nothing is missing: silence, and no package manager.
echo 0 >"$tree/uid"
echo -n 'installed:alpha installed:beta ' >"$tree/installed"
install "$tree/some.txt"
equal "$code:$said:$calls" "0::"

# One is missing and one was removed, but keeps its configuration: both are installed, after an update that was needed.
echo -n 'installed:alpha config-files:beta ' >"$tree/installed"
install "$tree/some.txt" "$tree/more.txt"
equal "$code:$said" "0:installing: beta gamma"
options="-q -y --no-install-recommends -o DPkg::Lock::Timeout=600"
equal "$calls" "$options install beta gamma"$'\n'"$options update"$'\n'"$options install beta gamma"

# With fresh package lists there is no update.
install "$tree/more.txt"
equal "$code:$calls" "0:$options install gamma"

# What apt-get says is shown when it fails.
rm "$tree/updated"
stand_in apt-get <<<'echo "E: $*: no network"; exit 100'
install "$tree/more.txt"
equal "$code" 3
[[ $said == *"no network"*"could not install: apt-get install --no-install-recommends gamma"* ]] || fail "$said"

# Neither root nor sudo: what to install, as a command.
echo 1000 >"$tree/uid"
install "$tree/some.txt" "$tree/more.txt"
equal "$code" 3
[[ $said == *"  apt-get install --no-install-recommends beta gamma" ]] || fail "$said"

# sudo that asks for nothing is used.
stand_in apt-get <<<"echo \"apt-get \$*\" >>'$tree/calls'"
stand_in sudo <<<"echo \"sudo \$*\" >>'$tree/calls'; [ \$1 != -n ] || shift; exec \"\$@\""
install "$tree/more.txt"
equal "$code" 0
[[ $calls == "sudo -n true"*"sudo env DEBIAN_FRONTEND=noninteractive apt-get $options install gamma"* ]] || fail "$calls"

# No Debian: a word, and on with what is there.
rm "$tree/bin/apt-get"
install "$tree/some.txt"
equal "$code" 0
[[ $said == "not a Debian system:"*"alpha beta"* ]] || fail "$said"

# run-conformance passes its arguments, the caller's directory and the exit code; through a link too, in a path with
# a space.
copy="$tree/a copy"
mkdir -p "$copy/packages" "$copy/cmake" "$copy/build/release/bin" "$tree/elsewhere"
cp run-conformance "$copy"
printf '#!/bin/bash\nexit 0\n' | tee "$copy/packages/install" >"$copy/cmake/build"
printf '#!/bin/bash\npwd\nprintf "<%%s>" "$@"\nexit 7\n' >"$copy/build/release/bin/convbn"
chmod +x "$copy"/{packages/install,cmake/build,build/release/bin/convbn}
ln -s "$copy/run-conformance" "$tree/link"
for start in "$copy/run-conformance" "$tree/link"; do
  code=0
  said=$(cd "$tree/elsewhere" && "$start" "a b.yaml" --engine 'x;y' '' '*') || code=$?
  equal "$code:$said" "7:$tree/elsewhere"$'\n'"<run><a b.yaml><--engine><x;y><><*>"
done
equal "$("$copy/run-conformance" --help || true)" "$PWD"$'\n'"<run><--help>"

# run-fuzz passes its arguments behind the corpus, and names the builds that there are; AFL++'s is left out where it fails.
cp run-fuzz "$copy"
mkdir -p "$copy/build/fuzz-plain/bin" "$copy/corpus"
# shellcheck disable=SC2016 # for the stand-in to expand
printf '#!/bin/bash\nprintf "<%%s>" "$CONVBN_FUZZERS" "$@"\nexit 7\n' >"$copy/build/fuzz-plain/bin/convbn"
# shellcheck disable=SC2016
printf '#!/bin/bash\n[ "$1" != fuzz-afl ]\n' >"$copy/cmake/build"
chmod +x "$copy/build/fuzz-plain/bin/convbn"
code=0
said=$("$copy/run-fuzz" --time '1 s' 2>/dev/null) || code=$?
builds=$copy/build/fuzz-plain/lib/convbn/fuzzers:$copy/build/fuzz/lib/convbn/fuzzers
equal "$code:$said" "7:<$builds><fuzz><--corpus><$copy/corpus><--time><1 s>"

# A build that fails shows its log and stops with 3, before the program.
printf '#!/bin/bash\nexit 3\n' >"$copy/cmake/build"
code=0
said=$("$copy/run-conformance" x) || code=$?
equal "$code:$said" "3:"

# cmake/build: silent when all is well, all of the log when not; the same for a tree that was moved.
mkdir "$tree/project"
cp -r --parents cmake/build "$tree/project"
cat >"$tree/project/CMakePresets.json" <<'EOF'
{"version": 6, "configurePresets": [{"name": "small", "generator": "Ninja", "binaryDir": "${sourceDir}/build/small"}]}
EOF
cat >"$tree/project/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(small NONE)
add_custom_command(OUTPUT made COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/source made DEPENDS source)
add_custom_target(all_of_it ALL DEPENDS made)
EOF
echo one >"$tree/project/source"
equal "$("$tree/project/cmake/build" small 2>&1)" "building build/small"
equal "$("$tree/project/cmake/build" small 2>&1)" ""
mv "$tree/project" "$tree/moved"
echo two >"$tree/moved/source"
equal "$("$tree/moved/cmake/build" small 2>&1)" "building build/small"
equal "$(cat "$tree/moved/build/small/made")" two
rm "$tree/moved/source"
code=0
said=$("$tree/moved/cmake/build" small 2>&1) || code=$?
equal "$code" 3
[[ $said == *source*"the build of build/small failed" ]] || fail "$said"
