#!/usr/bin/env bash
# Runs the same scenarios against the baseline (scripts/baseline) and against Sambad, in turn, and compares them.
#
#   scripts/bench.sh [FOLDER]        default sambad-bench/runs/DATE
#
# Environment: ROUNDS (default 5) and DURATION (default 10s). The servers run on core 0, the load generator on the other
# cores. The two servers are measured in turn, so that a slow phase of the machine affects both. FOLDER receives every
# report, the comparison by sambad-bench, and the commands.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-5}
duration=${DURATION:-10s}
out=${1:-sambad-bench/runs/$(date -u +%F)}
work=$(mktemp -d)
# The same one in every round, so that the reports are of one target.
port=
baseline=

finish() {
    [ -z "$baseline" ] || { kill "$baseline" && wait "$baseline"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Scenarios: name, then what is asked of both. Rates that the baseline can sustain: beyond them there is nothing to compare.
scenarios=(
    "default --dashboards 100 --rate 500"
    "fan-out --dashboards 1000 --rate 20"
    "writes --dashboards 10 --rate 1000"
)

cores=$(nproc)
[ "$cores" -ge 2 ] || { printf 'this script needs two cores: one for the server, one for the load generator\n' >&2 && exit 1; }

scripts/baseline/setup.sh
cargo build --release -p sambad-bench
target=$(cargo metadata --no-deps --format-version 1 | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
bench=$target/release/sambad-bench
mkdir -p "$out"

# Starts the baseline on a fresh database and waits for the line that says where it listens.
start_baseline() {
    rm -f "$work"/baseline.db*
    taskset -c 0 node scripts/baseline/server.js --port "${port:-0}" --db "$work/baseline.db" >"$work/stdout" 2>"$work/stderr" &
    baseline=$!
    for _ in $(seq 300); do
        url=$(grep -o 'http://[0-9.:]*' "$work/stdout" || true)
        [ -z "$url" ] || { port=${url##*:} && return 0; }
        kill -0 "$baseline" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/stderr" >&2
    return 1
}

stop_baseline() {
    kill "$baseline"
    wait "$baseline" || true
    baseline=
}

# measure FILE ARGS...: one run; a run that the generator spoiled is a warning, since the comparison names it as well.
measure() {
    local file=$1 status=0
    shift
    "$@" --duration "$duration" --json "$file" >"$work/table" || status=$?
    [ "$status" -eq 0 ] || { printf '%s: exit %d\n' "$file" "$status" && cat "$work/table"; } >&2
}

for scenario in "${scenarios[@]}"; do
    read -r name args <<<"$scenario"
    read -ra args <<<"$args"
    express=() sambad=()
    for round in $(seq "$rounds"); do
        printf '%s: round %d of %d\n' "$name" "$round" "$rounds" >&2
        start_baseline
        measure "$out/$name-express-$round.json" "$bench" run "${args[@]}" --server-cores 1 \
            --target "$url" --dialect broadcast --pid "$baseline"
        stop_baseline
        measure "$out/$name-sambad-$round.json" "$bench" run "${args[@]}" --server-cores 1
        express+=("$out/$name-express-$round.json")
        sambad+=("$out/$name-sambad-$round.json")
    done
    "$bench" compare --labels express,sambad --base "${express[@]}" --new "${sambad[@]}" | tee "$out/$name.txt"
done

printf '`ROUNDS=%s DURATION=%s scripts/bench.sh` on %s, %s; %s cores.\n' \
    "$rounds" "$duration" "$(uname -sr)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$cores" >"$out/README.md"
