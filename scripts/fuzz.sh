#!/usr/bin/env bash
# Fuzzes what reads files and names: scripts/fuzz.sh SECONDS [TARGET…]
# SECONDS for each target, with a nightly toolchain and cargo-fuzz. New inputs go to
# fuzz/found; those of fuzz/corpus are the start. A finding ends it with an error, and
# lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(checkpoint idx tableau method)
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

for target in "${targets[@]}"; do
    mkdir -p "fuzz/found/$target"
    log="fuzz/found/$target.log"
    # What must be refused quickly, is: ten seconds are a hang. 1 GiB is more than any
    # input could ask for.
    cargo +nightly fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
        -dict="fuzz/$target.dict" -print_final_stats=1 >"$log" 2>&1 ||
        { tail -n 40 "$log" >&2; say "$target: a finding, see fuzz/artifacts/$target"; exit 1; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    printf '%s: %s runs in %s s, %s edges, no finding\n' "$target" "$runs" "$seconds" "$covered"
done
