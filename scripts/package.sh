#!/usr/bin/env bash
# Builds the packages of all crates as `cargo publish` would upload them. cargo takes a package's dependencies on other crates of
# the workspace from packages of the same run, so nothing has to be published before.
# Usage: scripts/package.sh              compiles each package on its own as well; the working copy must be clean
#        scripts/package.sh --no-verify  builds the packages alone, in seconds, as scripts/test.sh does
set -euo pipefail
cd "$(dirname "$0")/.."

# Apart from the other builds: packages do not have the workspace's profiles, so no build product can be shared.
export CARGO_TARGET_DIR=$PWD/target/packages
options=(--workspace --locked)
[ "${1:-}" != --no-verify ] || options+=(--no-verify --allow-dirty)

# Packages hold no integration tests, as those need the workspace: cargo warns about each.
cargo package "${options[@]}" 2> >(grep -v '^warning: ignoring test' >&2)

# Links are packaged as the files that they lead to.
for crate in "$CARGO_TARGET_DIR"/package/*.crate; do
    name=$(basename "$crate" .crate)
    for file in README.md LICENSE-APACHE LICENSE-MIT; do
        size=$(tar --extract --gzip --to-stdout --file "$crate" "$name/$file" | wc -c)
        [ "$size" -gt 500 ] || { printf '%s lacks %s\n' "$name" "$file" >&2 && exit 1; }
    done
    printf 'ok    %s (%s KiB)\n' "$name" "$(($(stat --format %s "$crate") / 1024))"
done
