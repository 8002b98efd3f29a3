#!/usr/bin/env bash
# Finds the coroutine code that GCC 12 compiles wrongly: it can destroy twice what a lambda or a
# braced temporary holds when that is made inside a co_await expression, and a capturing lambda
# that is itself a coroutine loses its captures.
#
#     coroutines.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"

mapfile -t files < <(cpp_files "$root")
findings=""
if [ ${#files[@]} -gt 0 ]; then
    findings=$(cd "$root" && awk -f "$here/coroutines.awk" "${files[@]}")
fi
finish ${#files[@]} "$findings"
