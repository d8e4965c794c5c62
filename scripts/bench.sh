#!/usr/bin/env bash
# Criterion's benches, against figures of before. On a quiet machine:
#   scripts/bench.sh save main       # keeps the figures under a name
#   scripts/bench.sh compare main    # takes new ones and says what changed
#   scripts/bench.sh                 # only takes them
# What else is given goes on to criterion: scripts/bench.sh compare main rk4
set -euo pipefail
cd "$(dirname "$0")/.."

option=()
case "${1:-}" in
save | compare)
    if [ -z "${2:-}" ]; then
        printf 'scripts/bench.sh %s NAME: a name is missing\n' "$1" >&2
        exit 2
    fi
    if [ "$1" = compare ]; then
        if [ -z "$(find target/criterion -type d -name "$2" -print -quit 2>/dev/null)" ]; then
            printf 'no figures are saved as `%s`; scripts/bench.sh save %s\n' "$2" "$2" >&2
            exit 2
        fi
        # What was saved before a bench was there is no reason to stop.
        option=(--baseline-lenient "$2")
    else
        option=(--save-baseline "$2")
    fi
    shift 2
    ;;
esac

# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust
need_adapter
cargo bench --bench recording --bench stages --bench gradient -- "${option[@]}" "$@"
