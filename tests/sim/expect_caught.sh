#!/usr/bin/env bash
# Passes only if the simulation finds the fault that was planted in it.
#
#     expect_caught.sh PROGRAM SEEDS
#
# PROGRAM is mqd-sim with a fault. Found means: within so many seeds it ends as it does when an
# invariant is broken (exit status 1), and names the invariant and the command that replays it. A
# crash, a signal or a time-out is not a finding.
set -euo pipefail

program=$1 seeds=$2
output=$(mktemp)
trap 'rm -f "$output"' EXIT

status=0
timeout 240 "$program" --seed 1 --seeds "$seeds" >"$output" 2>&1 || status=$?
tail -n 40 "$output"

fail() {
    echo "NOT CAUGHT: $1 (exit status $status)" >&2
    exit 1
}
if [ "$status" -eq 0 ]; then
    fail "$seeds seeds passed"
elif [ "$status" -ne 1 ]; then
    fail "the program did not end as it does when an invariant is broken"
elif ! grep -q '^INVARIANT VIOLATED' "$output"; then
    fail "it failed, but not on an invariant"
elif ! replay=$(grep -m 1 '^to replay it: ' "$output"); then
    fail "it does not say how to replay it"
fi
echo "caught: $(grep -m 1 '^INVARIANT VIOLATED' "$output")"

# The command is all that somebody has who was not there.
read -ra command <<<"${replay#to replay it: }"
again=$("${command[@]}") && fail "the replay passes"
[ "$(grep '^INVARIANT VIOLATED' <<<"$again")" = "$(grep '^INVARIANT VIOLATED' "$output")" ] ||
    fail "the replay ends otherwise"
