#!/usr/bin/env bash
# Checks that every commit must pass: format, lints, tests. `scripts/test.sh` also runs the other checks.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features -- -D warnings
if cargo nextest --version >/dev/null 2>&1; then
    scripts/with-services.sh cargo nextest run --workspace --all-features
else
    scripts/with-services.sh cargo test --workspace --all-features --lib --bins --tests
fi
