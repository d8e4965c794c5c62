#!/usr/bin/env bash
# Trains a network on MNIST with RK4, with a GPU or without one. Options go on
# to `kutta train`: scripts/demo.sh --compare euler,heun,rk4
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
say "starting \`kutta train\`, which compiles its shaders first"
kutta train "$@"
