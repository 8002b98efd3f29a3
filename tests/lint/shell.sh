#!/usr/bin/env bash
# Every shell script passes shellcheck; a script is known by its extension or its first line.
#
#     shell.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"
need shellcheck

mapfile -t files < <(cd "$root" && find script .ci packaging tests systemd -type f 2>/dev/null | sort |
    while read -r file; do
        case $file in
            *.sh) echo "$file" ;;
            *)
                first_line=$(head -c 64 "$file" | head -n 1 | tr -d '\0')
                if [[ $first_line =~ ^\#!.*[/\ ](ba|da)?sh ]]; then
                    echo "$file"
                fi
                ;;
        esac
    done)
findings=""
if [ ${#files[@]} -gt 0 ]; then
    findings=$(
        cd "$root"
        shellcheck --external-sources --format=gcc "${files[@]}" || true
    )
fi
finish ${#files[@]} "$findings"
