#!/usr/bin/env bash
# Runs every test; --long adds those that take minutes. What else is given goes
# on to cargo test: scripts/test.sh --long --test mnist
set -euo pipefail
cd "$(dirname "$0")/.."

ignored=()
if [ "${1:-}" = --long ]; then
    ignored=(--include-ignored)
    shift
fi

# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
# The software adapter takes every core by itself: more than two tests at once
# only wait for each other.
exec cargo test --release "$@" -- --test-threads=2 ${ignored[@]+"${ignored[@]}"}
