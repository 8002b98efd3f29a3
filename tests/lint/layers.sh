#!/usr/bin/env bash
# The picture of the layers, as a check: who may include whom, and who may look at a clock.
#
#     layers.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"

mapfile -t files < <(cpp_files "$root" include daemon client bench)
findings=""
if [ ${#files[@]} -gt 0 ]; then
    findings=$(cd "$root" && awk -f "$here/layers.awk" "${files[@]}")
fi
finish ${#files[@]} "$findings"
