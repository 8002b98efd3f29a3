# shellcheck shell=bash
#
# Shell functions of the lints: which files there are. Sourced, not run.
#
# Every lint is called as `NAME.sh ROOT [BUILD]`, prints one line per finding (file:line: what), and
# exits 1 if it printed any. Seeing no file at all is a failure too, so that a moved folder cannot
# turn a lint into a check of nothing.

# The C++ files below ROOT in the named folders (default: all that have code), relative to ROOT.
cpp_files() {
    local root=$1
    shift
    [ $# -gt 0 ] || set -- include daemon client bench tests
    (cd "$root" && find "$@" -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' \) \
        2>/dev/null | sort)
}

# Ends the lint unless the program is there: without it, nothing would be found.
need() {
    command -v "$1" >/dev/null && return
    echo "lint: $1 is not installed (script/deps)" >&2
    exit 2
}

# Ends the lint: FILES seen, FINDINGS as text.
finish() {
    local files=$1 findings=$2
    if [ "$files" -eq 0 ]; then
        echo "lint: no file to check" >&2
        exit 2
    fi
    if [ -n "$findings" ]; then
        printf '%s\n' "$findings"
        exit 1
    fi
    echo "lint: $files files are in order"
}
