#!/usr/bin/env bash
# Tests a server with event stream clients of other projects: libraries from npm and PyPI, in the versions that
# sambad-server/web/tests/third-party lists. The script installs them in target/, once for each list.
# Usage: scripts/third-party.sh SERVER [OPTION...]   (SERVER: the server's binary; OPTION: for `node --test`)
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/.."

shift
lists=sambad-server/web/tests/third-party
installed=$PWD/target/third-party

# The environments are made anew when a list has changed.
for list in package.json package-lock.json requirements.txt; do
    cmp -s "$lists/$list" "$installed/$list" || rm -rf "$installed"
done
if [ ! -d "$installed" ]; then
    rm -rf "$installed.new"
    mkdir -p "$installed.new"
    cp "$lists"/package.json "$lists"/package-lock.json "$lists"/requirements.txt "$installed.new"
    npm ci --prefix "$installed.new" --ignore-scripts --no-audit --no-fund --loglevel=error
    mv -T "$installed.new" "$installed"
fi
if [ ! -e "$installed/python.txt" ]; then
    python3 -m venv "$installed/python"
    "$installed/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$lists/requirements.txt"
    touch "$installed/python.txt"
fi

SAMBAD_TEST_SERVER=$binary SAMBAD_TEST_LIBRARIES=$installed node --test --test-timeout=90000 "$@" "$lists/third-party.test.mjs"
