#!/usr/bin/env bash
# Installs a build into a staging folder, then builds and runs a program against it twice: by
# find_package and by pkg-config.
#
#     check.sh BUILD COMPILER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1 compiler=$2
work=$build/install_test
stage=$work/stage

rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$stage" >"$work/install.log"

# What an operator and a developer expect to find.
for file in sbin/mqd bin/mqctl include/mqd/version.hpp; do
    [ -e "$stage/$file" ] || { echo "not installed: $file"; exit 1; }
done
outside=$(grep -E -- '-- (Installing|Up-to-date): ' "$work/install.log" | grep -vF ": $stage" || true)
[ -z "$outside" ] || { echo "installed outside the prefix: $outside"; exit 1; }
"$stage/bin/mqctl" --help >/dev/null

# What belongs to the tests is a component of its own, and comes only when it is asked for.
[ ! -e "$stage/bin/mqd-sim" ] || { echo "installed without being asked for: mqd-sim"; exit 1; }
cmake --install "$build" --prefix "$work/tests" --component tests >"$work/install_tests.log"
installed=$(cd "$work/tests" && find . -type f)
[ "$installed" = ./bin/mqd-sim ] || { echo "the component tests has: $installed"; exit 1; }
"$work/tests/bin/mqd-sim" --seed 1 --steps 100

# The paths inside a pkg-config file are those of the configured prefix; the staging folder stands
# in for it.
package=$(find "$stage" -name mqd.pc)
[ -n "$package" ] || { echo "not installed: mqd.pc"; exit 1; }
flags() {
    PKG_CONFIG_PATH=$(dirname "$package") pkg-config --define-variable=prefix="$stage" "$@" mqd
}
expected="mqd $(flags --modversion)"

check() {
    local output
    output=$("$2")
    if [ "$output" != "$expected" ]; then
        echo "$1: the program says \"$output\", expected \"$expected\""
        exit 1
    fi
    echo "$1: $output"
}

cmake -S "$here" -B "$work/by_cmake" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$stage" >"$work/configure.log"
cmake --build "$work/by_cmake" >"$work/build.log" || { cat "$work/build.log"; exit 1; }
check find_package "$work/by_cmake/consumer"

# shellcheck disable=SC2046
"$compiler" -std=c++20 "$here/consumer.cpp" -o "$work/by_pkg_config" $(flags --cflags --libs)
check pkg-config "$work/by_pkg_config"
