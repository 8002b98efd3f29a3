#!/usr/bin/env bash
# Every .cpp belongs to some target: what nobody compiles nobody tests.
#
#     built.sh ROOT BUILD           BUILD has the compile_commands.json
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1 build=$2
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"

# The fuzzers belong to a preset of their own; tests/install is a project outside the tree.
mapfile -t files < <(cpp_files "$root" | grep '\.cpp$' | grep -Ev '^tests/(fuzz|install)/')
findings=$(
    for file in "${files[@]}"; do
        grep -qF "/$file\"" "$build/compile_commands.json" || echo "$file: no target compiles it"
    done
)
finish ${#files[@]} "$findings"
