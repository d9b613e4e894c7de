#!/usr/bin/env bash
# Packs sambad.js and its declarations as the npm package `sambad`, in target/npm, and loads the package once.
# Usage: scripts/npm.sh
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/target/npm
rm -rf "$folder"
mkdir -p "$folder/package" "$folder/try"
cp sambad-server/web/sambad.js sambad-server/web/sambad.d.ts LICENSE-APACHE LICENSE-MIT "$folder/package"
# Links of the page lead to the repository.
repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
sed "s#](\(\.\./\)*\([a-z][^):]*\.\(md\|html\|js\)\)#]($repository/blob/main/docs/reference/\1\2#" docs/reference/sambad-js.md >"$folder/package/README.md"
cat >"$folder/package/package.json" <<JSON
{
  "name": "sambad",
  "version": "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)",
  "description": "Event stream of Sambad, a real-time sync backend, for web pages and Node.js",
  "license": "(MIT OR Apache-2.0)",
  "repository": { "type": "git", "url": "git+$repository.git", "directory": "sambad-server/web" },
  "type": "module",
  "exports": { ".": { "types": "./sambad.d.ts", "default": "./sambad.js" } },
  "types": "./sambad.d.ts",
  "files": ["sambad.js", "sambad.d.ts", "LICENSE-*"],
  "engines": { "node": ">=20" },
  "sideEffects": false
}
JSON
npm pack "$folder/package" --pack-destination "$folder" --loglevel=error
npm install --prefix "$folder/try" --ignore-scripts --no-audit --no-fund --loglevel=error "$folder"/sambad-*.tgz
(cd "$folder/try" && node --input-type=module --eval '
    const module = await import("sambad");
    if (Object.keys(module).length === 0) throw new Error("the package exports nothing");
    console.log("ok    exports", Object.keys(module).join(", "));
')
