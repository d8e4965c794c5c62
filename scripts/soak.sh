#!/usr/bin/env bash
# Random optimizers for so many minutes: scripts/soak.sh 60 [SEED]. Six minutes in ten go to
# optimizers by themselves, three to compositions with models, wrappers and drives
# (tests/composed.rs), and one to a training that is killed and restarted. Prints counts and
# the largest deviation from the oracles; a composition that is wrong prints itself, to be run
# alone by KUTTA_COMPOSED.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
minutes=${1:-60}
export KUTTA_SOAK_SEED=${2:-$(date +%s)}
composed=$(((3 * minutes + 9) / 10))
KUTTA_SOAK_MINUTES=$((minutes - minutes / 10 - composed)) \
    cargo test --release --test soak -- --ignored --nocapture endures
KUTTA_SOAK_MINUTES=$composed \
    cargo test --release --test composed -- --ignored --nocapture compositions_drawn_for_ever
# Some eight kills fit into a minute of a software adapter.
KUTTA_KILLS=$((minutes / 10 * 8 + 1)) \
    cargo test --release --test kills -- --nocapture killed_at_random
