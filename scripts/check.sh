#!/usr/bin/env bash
# What every commit passes: format, lints, tests. `scripts/test.sh` runs the rest as well.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features -- -D warnings
if cargo nextest --version >/dev/null 2>&1; then
    scripts/with-services.sh cargo nextest run --workspace --all-features
else
    scripts/with-services.sh cargo test --workspace --all-features --lib --bins --tests
fi
