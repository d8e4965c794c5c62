#!/usr/bin/env bash
# Makes docs/results/roofline-NAME.{json,svg,png} again; NAME is llvmpipe unless given.
# On a quiet machine. What else is given goes on to the command:
#   scripts/roofline.sh h200 --against docs/results/rivals-h200.json
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-llvmpipe}
shift || true

# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
mkdir -p docs/results
kutta roofline \
    --json "docs/results/roofline-$name.json" --svg "docs/results/roofline-$name.svg" "$@"
