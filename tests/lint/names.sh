#!/usr/bin/env bash
# Files and folders are named for the noun they hold: lower case, and no catch-all names.
#
#     names.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"

mapfile -t files < <(cpp_files "$root")
findings=$(
    for file in "${files[@]}"; do
        if [[ /${file%.*}/ =~ [/_](utils?|helpers?|common|managers?|misc|stuff)[/_] ]]; then
            echo "$file: \"${BASH_REMATCH[1]}\" names nothing; name it for what it holds"
        fi
        if [[ ! $file =~ ^[a-z0-9_/.-]+$ ]]; then
            echo "$file: file names are lower case with underscores"
        fi
        if [[ $file == *.hpp ]] && ! grep -qx '#pragma once' "$root/$file"; then
            echo "$file: no #pragma once"
        fi
    done
)
finish ${#files[@]} "$findings"
