#!/usr/bin/env bash
# Kills a training with checkpoints at random moments and restarts it, until there were
# so many kills: scripts/kills.sh 200. Each training must end with the bits of one that
# was left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
KUTTA_KILLS=${1:-200} cargo test --release --test kills -- --nocapture killed_at_random
