#!/usr/bin/env bash
# clang-tidy, with the checks of .clang-tidy, over what is shipped (the tests are left out: their
# macros take most of the time and give little).
#
#     tidy.sh ROOT BUILD            BUILD has the compile_commands.json
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1 build=$2
# shellcheck source=tests/lint/sources.sh
. "$here/sources.sh"
need clang-tidy-14

mapfile -t files < <(cpp_files "$root" daemon client bench | grep '\.cpp$' | grep -v 'asio_impl\.cpp$')
findings=""
if [ ${#files[@]} -gt 0 ]; then
    # A file that clang-tidy does not know how to compile would be guessed at.
    for file in "${files[@]}"; do
        grep -qF "/$file\"" "$build/compile_commands.json" ||
            findings+="$file: not in compile_commands.json"$'\n'
    done
    # One file at a time on each core; what is said about a file stays together.
    check() {
        local output
        output=$(clang-tidy-14 -p "$1" --quiet --extra-arg=-Wno-unknown-warning-option \
            --extra-arg=-Wno-ignored-optimization-argument "$2" 2>/dev/null) ||
            printf '%s: clang-tidy failed\n%s\n' "$2" "$output"
    }
    export -f check
    findings+=$(cd "$root" && printf '%s\0' "${files[@]}" |
        xargs -0 -P "$(nproc)" -I '{}' bash -c 'check "$@"' check "$build" '{}')
fi
finish ${#files[@]} "$findings"
