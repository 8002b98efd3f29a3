#!/usr/bin/env bash
# Passes only if the simulation finds the fault that was planted in it.
#
#     expect_caught.sh PROGRAM TEST_CASES
#
# Found means: doctest's own failure (exit status 1) and a line that names a broken invariant. A
# crash, a signal or a time-out is not a finding, nor is a filter that matches no test case.
set -euo pipefail

program=$1 test_cases=$2
output=$(mktemp)
trap 'rm -f "$output"' EXIT

status=0
timeout 240 "$program" --test-case="$test_cases" --no-colors >"$output" 2>&1 || status=$?
tail -n 40 "$output"

fail() {
    echo "NOT CAUGHT: $1 (exit status $status)" >&2
    exit 1
}
if grep -Eq 'test cases: +0 ' "$output"; then
    fail "no test case matches '$test_cases'"
elif grep -q 'test case CRASHED' "$output"; then
    fail "the program crashed"
elif [ "$status" -eq 0 ]; then
    fail "every test passed"
elif [ "$status" -ne 1 ]; then
    fail "the program did not end as a failed test does"
elif ! grep -q 'INVARIANT VIOLATED' "$output"; then
    fail "a test failed, but not on an invariant"
fi
echo "caught: $(grep -m 1 'INVARIANT VIOLATED' "$output")"
