#!/usr/bin/env bash
# Every source is formatted as .clang-format says.
#
#     format.sh ROOT
#
# To mend: clang-format-14 -i FILE...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"
need clang-format-14

mapfile -t files < <(cpp_files "$root")
findings=""
if [ ${#files[@]} -gt 0 ]; then
    findings=$(
        cd "$root"
        clang-format-14 --dry-run -Werror "${files[@]}" 2>&1 | grep ' error: ' || true
    )
fi
finish ${#files[@]} "$findings"
