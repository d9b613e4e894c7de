#!/usr/bin/env bash
# Long runs of the tests of a failing disk (kills, power cuts, disk faults) and of a client that loses its network with the
# default timeouts.
#
#   scripts/soak.sh [NAME...]        default: all names below
#
# Environment: SAMBAD_TEST_KILLS (default 500), SAMBAD_TEST_STATES (6000) and SAMBAD_TEST_FAULTS (500) set the amount of work.
# SOAK_MINUTES (20) is the time limit of each test. SAMBAD_TEST_SEED repeats a run; each run prints its seed. The script prints
# the output of the tests, then one line per test, and exits with 1 if a test failed. No other script runs this one.
set -uo pipefail
cd "$(dirname "$0")/.."

export SAMBAD_TEST_KILLS=${SAMBAD_TEST_KILLS:-500}
export SAMBAD_TEST_STATES=${SAMBAD_TEST_STATES:-6000}
export SAMBAD_TEST_FAULTS=${SAMBAD_TEST_FAULTS:-500}
minutes=${SOAK_MINUTES:-20}

tests=(
    crash::nothing_is_lost_to_kills
    power_cut::nothing_is_lost_to_power_cuts
    power_cut::nothing_is_lost_to_fsyncs_that_fail
    power_cut::nothing_is_lost_to_write_backs_that_fail
    power_cut::a_disk_that_lies_is_found_out
    unsynced::a_retry_is_not_answered_from_what_is_not_on_disk
    faults::nothing_is_lost_to_a_disk_that_fails
    full::a_full_disk_refuses_writes_until_there_is_room
    slow::a_slow_disk_delays_writes_and_nothing_else
    lost_network::who_lost_the_network_is_gone
)
# Of the test binary `it`, which waits as long as a server with default settings.
export SAMBAD_TEST_LOST_NETWORK_AS_SHIPPED=1
[ $# -eq 0 ] || tests=("$@")

cargo test --package sambad-server --all-features --test disk --test it --no-run || exit 1
printf 'kills %s, states %s, faults %s, at most %s min per test\n' \
    "$SAMBAD_TEST_KILLS" "$SAMBAD_TEST_STATES" "$SAMBAD_TEST_FAULTS" "$minutes"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
summary=()
failed=0
for test in "${tests[@]}"; do
    printf '\n== %s\n' "$test"
    begun=$SECONDS
    case $test in lost_network::*) binary=it ;; *) binary=disk ;; esac
    timeout --foreground "$((minutes * 60))" \
        cargo test --quiet --package sambad-server --all-features --test "$binary" -- --exact "$test" --nocapture 2>&1 |
        tee "$log" | grep -v '^$'
    status=${PIPESTATUS[0]}
    if [ "$status" -eq 0 ] && ! grep -q '1 passed' "$log"; then
        verdict='FAIL  no such test:'
    elif [ "$status" -eq 0 ]; then
        verdict=ok
    elif [ "$status" -eq 124 ]; then
        verdict="FAIL  not finished within $minutes min:"
    else
        verdict=FAIL
    fi
    [ "$verdict" = ok ] || failed=1
    summary+=("$verdict    $test ($((SECONDS - begun)) s, $(grep -m 1 SAMBAD_TEST_SEED= "$log" || echo 'no seed'))")
done
printf '\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
