#!/usr/bin/env bash
# Rewrites everything that is generated from the code: the --help snapshots, deploy/sambad.toml, docs/openapi.json, docs/asyncapi.json,
# the generated parts of docs/reference/settings.md and docs/reference/cli.md, the outputs in docs/explanation/scaling.md, and the copies
# inside crates. Read the difference before you commit it.
set -euo pipefail
cd "$(dirname "$0")/.."
SAMBAD_UPDATE_SNAPSHOTS=1 cargo nextest run --no-fail-fast --workspace --all-features --lib --test it --test tidy -E '
    test(=documents::openapi::tests::the_copy_is_the_document) + test(/^documents::/) + test(=binary::help_is_the_snapshot)
    + test(=config::the_example_is_every_setting) + test(/^reference::/) + test(=help::help_is_as_recorded)
    + test(=simulate::the_documentation_is_true) + test(=copies_in_crates_are_equal)'
git --no-pager diff --stat
