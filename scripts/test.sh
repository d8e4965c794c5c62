#!/usr/bin/env bash
# Runs every test; --long then adds those that time kernels, one at a time: they
# want a quiet machine. What else is given goes on to cargo test:
# scripts/test.sh --test mnist
set -euo pipefail
cd "$(dirname "$0")/.."

long=
if [ "${1:-}" = --long ]; then
    long=yes
    shift
fi

# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
export KUTTA_EVERYTHING=yes
# Builds programs and examples too, which tests run as their users do.
need_adapter
# llvmpipe wakes a thread a core for every dispatch, which takes longer than the tests' small
# ones do; with none of its own each test has one core.
export LP_NUM_THREADS="${LP_NUM_THREADS:-0}"
cargo test --release --workspace "$@" -- --test-threads=2
if [ -n "$long" ]; then
    cargo test --release --workspace "$@" -- --ignored --nocapture --test-threads=1
fi
