#!/usr/bin/env bash
# Known vulnerabilities and abandoned crates in the dependency tree. Apart from scripts/test.sh, as it fetches the database of
# advisories from GitHub: for a machine with network, once a day and before a release.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo deny --all-features check advisories
