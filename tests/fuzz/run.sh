#!/usr/bin/env bash
# Runs one fuzzer for a while, starting from a copy of its seeds.
#
#     run.sh PROGRAM SEEDS WORK SECONDS
#
# What it finds interesting and what crashes it is kept in WORK; the source tree stays as it is.
# MQD_FUZZ_SEED repeats a run; the seed is printed either way.
set -euo pipefail

program=$1 seeds=$2 work=$3 seconds=$4
seed=${MQD_FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}

mkdir -p "$work/corpus"
if [ -d "$seeds" ]; then
    cp -r "$seeds/." "$work/corpus/"
fi
echo "fuzz: ${program##*/} seed=$seed seconds=$seconds (MQD_FUZZ_SEED=$seed repeats it)"
exec "$program" -max_total_time="$seconds" -seed="$seed" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$work/" "$work/corpus"
