#!/usr/bin/env bash
# Whether systemd takes the units, and how exposed the service is by systemd's own measure, in
# tenths: at most 1.5, and 0.5 with the drop-in for a daemon without TCP that mqd.service shows.
#
#     systemd_test.sh MQD FOLDER        FOLDER: an empty one, to work in
#
# Ends with 77 when systemd-analyze is not there.
set -euo pipefail
program=$1
folder=$2
exposure_max=15
exposure_max_unix_only=5

exec 2>&1
if ! command -v systemd-analyze > /dev/null; then
    echo "systemd-analyze is not installed"
    exit 77
fi
built=$(dirname "$program")/../systemd/mqd.service
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/systemd

# The program need not be installed for the units to be looked at.
mkdir -p "$folder/units/unix-only"
sed "s|^\(Exec[A-Za-z]*=\)[^ ]*/mqd |\1$program |" "$built" > "$folder/units/mqd.service"
cp "$source/mqd.socket" "$folder/units/"
cd "$folder/units"

if ! said=$(systemd-analyze verify --man=no ./mqd.service ./mqd.socket 2>&1) ||
    grep -q "mqd\.\(service\|socket\):" <<< "$said"; then
    echo "systemd-analyze verify: $said"
    exit 1
fi

security() {
    if ! said=$(systemd-analyze security --offline=true --no-pager --threshold="$2" "$1" 2>&1); then
        grep -v '✓' <<< "$said" || true
        echo "$1: exposed more than $2 tenths"
        return 1
    fi
    tail -n 1 <<< "$said"
}
security ./mqd.service "$exposure_max"

# The drop-in, out of the comment that shows it.
sed -n '/^#     \[Service\]/,/^[^#]/s/^#     //p' mqd.service > unix-only/drop-in
if ! grep -q '^PrivateNetwork=yes' unix-only/drop-in; then
    echo "mqd.service shows no drop-in for a daemon without TCP"
    exit 1
fi
{ cat mqd.service; cat unix-only/drop-in; } > unix-only/mqd.service
security ./unix-only/mqd.service "$exposure_max_unix_only"
