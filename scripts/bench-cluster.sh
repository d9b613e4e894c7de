#!/usr/bin/env bash
# Measures the cost of several servers on one PostgreSQL. Prints tables for docs/explanation/performance.md and costs for
# sambad-bench simulate.
#
#   scripts/bench-cluster.sh [FOLDER]        default sambad-bench/runs/DATE-cluster
#
# Environment: ROUNDS (default 5) and DURATION (default 10s). The servers run on core 0, the load generator on core 1, the
# installed PostgreSQL and Redis on both. Each round runs all scenarios, so that a slow phase of the machine affects all;
# figures are medians of the rounds. FOLDER receives every report.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-5}
duration=${DURATION:-10s}
out=${1:-sambad-bench/runs/$(date -u +%F)-cluster}

[ "$(nproc)" -ge 2 ] || { printf 'this script needs two cores: one for the servers, one for the load generator\n' >&2 && exit 1; }
command -v jq >/dev/null || { printf 'jq is not installed: the script needs it to read the reports (Debian: apt install jq)\n' >&2 && exit 1; }

# What every run has.
common="--server-cores 1 --balancer none --warmup 2s"
# Writers that wait for their answers: as fast as it goes.
writes="--dashboards 0 --closed 512 --mix login=1"
# A write every 5 ms, so that each is alone in its batch.
alone="--dashboards 0 --rate 200 --mix login=1"
# Few dashboards, so that what they wait for is the way and not each other.
news="--dashboards 10 --rate 200"
# Everything at once.
load="--servers 3 --dashboards 30 --rate 500"
scenarios=(
    "writes-1 --servers 1 --redis none $writes"
    "writes-3 --servers 3 $writes"
    "alone-1 --servers 1 --redis none $alone"
    "same --servers 2 --dashboards-on same $news"
    "redis --servers 2 --dashboards-on other $news"
    "notify --servers 2 --dashboards-on other --redis none $news"
    "polling --servers 2 --dashboards-on other --redis none --server-arg=--broker=local $news"
    "broker-redis $load"
    "broker-notify --redis none $load"
    "broker-polling --redis none --server-arg=--broker=local $load"
)

if [ -z "${BENCH:-}" ]; then
    cargo build --release -p sambad-bench
    BENCH=$(cargo metadata --no-deps --format-version 1 | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)/release/sambad-bench
fi
mkdir -p "$out"

for round in $(seq "$rounds"); do
    for scenario in "${scenarios[@]}"; do
        read -r name args <<<"$scenario"
        read -ra args <<<"$args $common --duration $duration"
        printf 'round %d of %d: %s\n' "$round" "$rounds" "$name" >&2
        status=0
        "$BENCH" run "${args[@]}" --json "$out/$name-$round.json" >"$out/$name-$round.txt" || status=$?
        # A run that the generator spoiled is told and counts: figures that hang on it are for a person to judge.
        [ "$status" -eq 0 ] || { printf '%s-%d: exit %d\n' "$name" "$round" "$status" && cat "$out/$name-$round.txt"; } >&2
        rm -f "$out/$name-$round.txt"
        # Anything but a figure that is in doubt ends it.
        [ "$status" -eq 0 ] || [ "$status" -eq 4 ] || exit "$status"
    done
done

# figure NAME FILTER: the median over the rounds.
figure() {
    jq -s "[.[] | $2] | map(select(. != null)) | sort | if length == 0 then null else .[length / 2 | floor] end" "$out/$1"-*.json
}

# shown NUMBER DIGITS [UNIT]: a figure for a table; a dash where there is none.
shown() {
    [ "$1" = null ] && printf -- '–' || printf "%.$2f%s" "$1" "${3:-}"
}

p50='(.latencies[] | select(.kind == "commit_to_dashboard").summary.p50_us)'
p99='(.latencies[] | select(.kind == "commit_to_dashboard").summary.p99_us)'
answer50='(.latencies[] | select(.kind == "response").summary.p50_us)'
answer99='(.latencies[] | select(.kind == "response").summary.p99_us)'
per_s='(.counts.window_acknowledged * 1e6 / .counts.window_us)'
server='.server.cpu_us_per_write'
cpu_of() { printf '(.services // [] | map(select(.name == "%s"))[0].cpu_us_per_write)' "$1"; }
postgres=$(cpu_of PostgreSQL)
redis=$(cpu_of Redis)

command_of() {
    local scenario
    for scenario in "${scenarios[@]}"; do
        [ "${scenario%% *}" != "$1" ] || printf '`sambad-bench run %s %s --duration %s`' "${scenario#* }" "$common" "$duration"
    done
}

tables() {
    printf '`ROUNDS=%s DURATION=%s scripts/bench-cluster.sh`: medians of the rounds; %s, %s.\n' \
        "$rounds" "$duration" "$(uname -sr)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"

    printf '\n### Durable writes on PostgreSQL\n\n'
    printf '| servers | writes/s | response p50 | response p99 | CPU per write: servers | PostgreSQL | Redis | command |\n|---|---|---|---|---|---|---|---|\n'
    local name
    for name in writes-1 writes-3 alone-1; do
        printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "${name#*-}$([ "$name" = alone-1 ] && printf ', one write at a time' || true)" \
            "$(shown "$(figure $name "$per_s")" 0)" \
            "$(shown "$(figure $name "$answer50 / 1000")" 2 ' ms')" "$(shown "$(figure $name "$answer99 / 1000")" 2 ' ms')" \
            "$(shown "$(figure $name "$server")" 0 ' µs')" "$(shown "$(figure $name "$postgres")" 0 ' µs')" \
            "$(shown "$(figure $name "$redis")" 0 ' µs')" "$(command_of $name)"
    done

    printf '\n### Commit to a dashboard on another server\n\n'
    printf '| dashboards on | p50 | p99 | added p50 | added p99 | command |\n|---|---|---|---|---|---|\n'
    local base50 base99 value50 value99
    base50=$(figure same "$p50") base99=$(figure same "$p99")
    for name in same redis notify polling; do
        value50=$(figure $name "$p50") value99=$(figure $name "$p99")
        printf '| %s | %s | %s | %s | %s | %s |\n' \
            "$([ $name = same ] && printf 'the same server' || printf 'another, with %s' "$name")" \
            "$(shown "$value50" 0 ' µs')" "$(shown "$value99" 0 ' µs')" \
            "$((value50 - base50)) µs" "$((value99 - base99)) µs" "$(command_of $name)"
    done

    printf '\n### Cost of each broker\n\n'
    printf '| broker | CPU per write: servers | PostgreSQL | Redis | commit to dashboard p50 | p99 | command |\n|---|---|---|---|---|---|---|\n'
    for name in broker-redis broker-notify broker-polling; do
        printf '| %s | %s | %s | %s | %s | %s | %s |\n' "${name#broker-}" \
            "$(shown "$(figure $name "$server")" 0 ' µs')" "$(shown "$(figure $name "$postgres")" 0 ' µs')" \
            "$(shown "$(figure $name "$redis")" 0 ' µs')" \
            "$(shown "$(figure $name "$p50")" 0 ' µs')" "$(shown "$(figure $name "$p99")" 0 ' µs')" "$(command_of $name)"
    done

    printf '\n### Faults in these runs\n\n%s events lost, repeated, reordered or unexplained, of %s deliveries.\n' \
        "$(jq -s '[.[].audit | .lost + .duplicate + .reordered + .unexplained] | add' "$out"/*.json)" \
        "$(jq -s '[.[].audit.checked] | add' "$out"/*.json)"
    costs
}

# What the simulation takes for PostgreSQL and Redis, as far as these runs tell.
costs() {
    local many=400 http=9
    local server_alone server_many db_alone db_many
    server_alone=$(figure alone-1 "$server") server_many=$(figure writes-1 "$server")
    db_alone=$(figure alone-1 "$postgres") db_many=$(figure writes-1 "$postgres")
    printf '\n### For sambad-bench simulate\n\n'
    printf 'A write that is alone in its batch costs one batch and one write. A write in a batch of about %d (512 writers wait for their responses) costs one write and 1/%d of a batch.\n\n```\n' "$many" "$many"
    jq -rn --argjson alone "${server_alone:-null}" --argjson many_ "${server_many:-null}" --argjson dalone "${db_alone:-null}" \
        --argjson dmany "${db_many:-null}" --argjson n "$many" --argjson http "$http" '
        def solve(a; m): if a == null or m == null then null else ((a - m) / (1 - 1 / $n)) as $batch | {batch: $batch, write: (a - $batch)} end;
        solve($alone; $many_) as $s | solve($dalone; $dmany) as $d |
        (if $s == null then "server: unknown" else "--pg-batch-us \($s.batch | round) --pg-write-us \([$s.write - $http, 0] | max | round)" end),
        (if $d == null then "PostgreSQL: unknown" else "--db-batch-us \($d.batch | round) --db-write-us \($d.write | round)" end)'
    printf '%s\n```\n' "--hop-us: half of the time that Redis adds, minus the cost of a message; --broker-us and --broker-server-us: the CPU of Redis per write in broker-redis, where a batch has one write"
}

tables | tee "$out/README.md"
