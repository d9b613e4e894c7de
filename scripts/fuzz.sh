#!/usr/bin/env bash
# Fuzzes the parsers of data from the network: scripts/fuzz.sh [TARGET...]. Default: every file in fuzz/fuzz_targets.
#
# SECONDS_EACH is the running time of each target (default 60). New inputs stay in fuzz/corpus, and the next run starts with
# them and with fuzz/seeds. Inputs that crash a target stay in fuzz/artifacts. Exits with 1 if there was a crash.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds_each=${SECONDS_EACH:-60}
# cargo-fuzz asks for flags of the nightly compiler; this lets the stable one take them.
export RUSTC_BOOTSTRAP=1

cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
sanitizer=none
if compgen -G "$(rustc --print sysroot)/lib/rustlib/$triple/lib/librustc*_rt.asan.a" >/dev/null; then
    sanitizer=address
fi

if [ $# -gt 0 ]; then
    targets=("$@")
else
    targets=()
    for file in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi
for target in "${targets[@]}"; do
    if [ ! -f "fuzz/fuzz_targets/$target.rs" ]; then
        printf 'no such target: %s\n' "$target" >&2
        exit 2
    fi
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# stat NAME: a number of libFuzzer's final statistics.
stat() {
    sed -n "s/^stat::$1: *//p" "$log" | tail -n 1
}

printf 'sanitizer: %s; %s s per target\n' "$sanitizer" "$seconds_each"
cargo fuzz build --sanitizer "$sanitizer"
failed=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    touch "$log.begun"
    status=0
    # The longest input is a little more than a WebSocket's longest frame.
    cargo fuzz run --sanitizer "$sanitizer" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds_each" -max_len=20000 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        >"$log" 2>&1 || status=$?
    mapfile -t crashes < <(find "fuzz/artifacts/$target" -type f -newer "$log.begun")
    rm -f "$log.begun"
    printf '%-13s %9s executions, %7s/s, %5s new units, %s crashes\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(stat new_units_added)" "${#crashes[@]}"
    if [ "$status" -ne 0 ]; then
        failed=1
        grep -A 3 -m 1 'panicked at\|ERROR:\|error:' "$log" >&2 || tail -n 20 "$log" >&2
        printf '  %s\n' "${crashes[@]}" >&2
    fi
done
exit "$failed"
