#!/usr/bin/env bash
# Checks links and quotes of every document, then plays README.md and most pages of docs/ (PLAYED in scripts/docs.py): runs their code
# blocks from top to bottom against the programs that cargo builds. scripts/docs.py says how a block is marked.
# Usage: scripts/docs.sh [PAGE...]      (without pages: all)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/need.sh

need curl curl && need node nodejs && need chromium chromium && need chromedriver chromium-driver
need python3 python3 && python3 -c 'import ensurepip, venv' || need_package python3-venv

venv=$PWD/target/docs
# The environment is made anew when the list has changed.
if ! cmp -s scripts/docs.txt "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement scripts/docs.txt
    cp scripts/docs.txt "$venv/installed.txt"
fi

# With all features and targets, as the tests are built: other features would compile everything again.
cargo build --workspace --all-features --bins --examples
target=$(cargo metadata --no-deps --format-version 1 | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)

scripts/docs.py check
scripts/docs.py play "$target/debug" "$@"
