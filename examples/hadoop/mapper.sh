#!/bin/sh
# Mapper of a streaming job: a piece of a trace to its state, each line behind the piece's place.
# Hadoop tells the file and the first byte of the piece; sorted by both, pieces stand in order.
set -eu
place=$(printf '%s:%020d' "${mapreduce_map_input_file:-}" "${mapreduce_map_input_start:-0}")
state=$(mktemp)
trap 'rm -f "$state"' EXIT
trace-stats -q --partial > "$state"
awk -v place="$place" '{ printf "%s:%012d\t%s\n", place, NR, $0 }' "$state"
