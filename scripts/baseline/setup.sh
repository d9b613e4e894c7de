#!/usr/bin/env bash
# Installs what the baseline server needs into scripts/baseline/node_modules; does nothing when that is done already.
#
# better-sqlite3 is compiled here: its published binaries come from outside the npm registry, which not every machine
# may reach. No package runs a script of its own, so the registry is all the network this takes where Node's headers
# are installed; elsewhere node-gyp asks nodejs.org for them.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    printf 'baseline: %s\n' "$1" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || fail "$1 is missing: $2 and try again"
}

need node 'install Node.js 20 or newer'
need npm 'install npm'
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || fail "Node.js $(node -v) is too old: install 20 or newer and try again"

# The compiled part fits one version of Node, so that belongs to what is installed.
installed=node_modules/.installed
wanted="$(node -p 'process.version + " " + process.arch') $(cksum <package-lock.json)"
works() {
    node -e 'new (require("better-sqlite3"))(":memory:"); require("express"); require("ws")' 2>/dev/null
}
if [ "$(cat "$installed" 2>/dev/null)" = "$wanted" ] && works; then
    exit 0
fi

need python3 'install it (node-gyp runs on it)'
need make 'install it (Debian: build-essential)'
command -v "${CXX:-c++}" >/dev/null || fail 'a C++ compiler is missing: install one (Debian: build-essential) and try again'

npm ci --ignore-scripts --no-audit --no-fund || fail 'npm ci failed: is the npm registry reachable?'

# Headers beside the running node, if they are of its version.
prefix=$(node -p 'require("node:path").resolve(process.execPath, "../..")')
headers=()
if node -e '
    const text = require("node:fs").readFileSync(process.argv[1] + "/include/node/node_version.h", "utf8");
    const part = (name) => text.match(new RegExp(`define NODE_${name}_VERSION (\\d+)`))[1];
    process.exit(`${part("MAJOR")}.${part("MINOR")}.${part("PATCH")}` === process.versions.node ? 0 : 1);
' "$prefix" 2>/dev/null; then
    headers=(-- "--nodedir=$prefix")
fi
log=node_modules/.build.log
npm run build:sqlite "${headers[@]}" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    fail "better-sqlite3 could not be compiled (all of it in scripts/baseline/$log): it takes Node's headers (Debian: libnode-dev) or access to nodejs.org, python3, make and a C++ compiler"
}
works || fail 'better-sqlite3 was compiled but cannot be loaded'
printf '%s\n' "$wanted" >"$installed"
