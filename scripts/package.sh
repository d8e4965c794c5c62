#!/usr/bin/env bash
# Packs the crates that are to be published, and lints them out of their packages, by the
# features that they have alone, as whoever gets them from a registry compiles them.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh
need_rust

packed=target/package
# Compiled below, in the profile and with the dependencies of everything else: `cargo package`
# would compile them once more in another profile.
cargo package --quiet --no-verify --allow-dirty -p kutta -p kutta-cli
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
for crate in kutta kutta-cli; do
    version=$(cargo pkgid -p "$crate" | sed 's/.*[@#]//')
    du -h "$packed/$crate-$version.crate"
    tar -xzf "$packed/$crate-$version.crate" -C "$unpacked"
    mv "$unpacked/$crate-$version" "$unpacked/$crate"
done
# The library under the program is the packed one, too: no registry has it yet.
export CARGO_TARGET_DIR=$PWD/target
for crate in kutta kutta-cli; do
    cp Cargo.lock "$unpacked/$crate/"
    (cd "$unpacked/$crate" &&
        cargo clippy --quiet --release --config "patch.crates-io.kutta.path='$unpacked/kutta'" \
            -- -D warnings)
done
