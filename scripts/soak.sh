#!/usr/bin/env bash
# Random optimizers for so many minutes, and then so many seconds of kills:
# scripts/soak.sh 60 [SEED]. One minute in ten is spent on a training that is killed and
# restarted. Prints counts and the largest deviation from the oracle.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
minutes=${1:-60}
export KUTTA_SOAK_MINUTES=$((minutes - minutes / 10)) KUTTA_SOAK_SEED=${2:-$(date +%s)}
cargo test --release --test soak -- --ignored --nocapture endures
# Some eight kills fit into a minute of a software adapter.
KUTTA_KILLS=$((minutes / 10 * 8 + 1)) \
    cargo test --release --test kills -- --nocapture killed_at_random
