#!/usr/bin/env bash
# No file is longer than 600 lines, no line wider than 100 columns.
#
#     sizes.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"

mapfile -t files < <(cpp_files "$root")
findings=""
if [ ${#files[@]} -gt 0 ]; then
    findings=$(
        cd "$root"
        LC_ALL=C.UTF-8 grep -HnE '^.{101,}' "${files[@]}" |
            sed 's/^\([^:]*:[0-9]*:\).*/\1 wider than 100 columns/' || true
        wc -l "${files[@]}" |
            awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines, more than 600" }'
    )
fi
finish ${#files[@]} "$findings"
