#!/usr/bin/env bash
# Reports known vulnerabilities and abandoned crates in the dependency tree. It is not part of scripts/test.sh, because it
# downloads the advisory database from GitHub. Run it once a day and before a release, on a machine with network access.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo deny --all-features check advisories
