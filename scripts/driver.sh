# shellcheck shell=bash
# Sourced by the other scripts and .ci/run: sees to it that kutta can be built
# and finds an adapter. On Linux without one it installs a software Vulkan
# driver, and says so first.

# Without it, libwayland fills the terminal with complaints while Vulkan's
# loader looks for displays.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}"

say() { printf '%s\n' "kutta: $*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root, and there is no sudo; run as root: $*"
        return 1
    fi
}

# install "for what" "apt packages" "dnf packages" "pacman packages"
install() {
    local manager packages
    if command -v apt-get >/dev/null; then
        manager=apt-get packages=$2
    elif command -v dnf >/dev/null; then
        manager=dnf packages=$3
    elif command -v pacman >/dev/null; then
        manager=pacman packages=$4
    else
        say "no $1, and no package manager known here (apt-get, dnf, pacman) to install it with"
        return 1
    fi
    say "no $1; installing with $manager: $packages"
    # Names of packages hold no spaces: the list is meant to be split.
    # shellcheck disable=SC2086
    case $manager in
    apt-get)
        as_root apt-get update -q &&
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends $packages
        ;;
    dnf) as_root dnf install -y $packages ;;
    pacman)
        # A new container has no package lists yet.
        as_root pacman -S --noconfirm --needed $packages ||
            as_root pacman -Sy --noconfirm --needed $packages
        ;;
    esac
}

need_rust() {
    # rustup's own place, where a shell that never logged in does not look.
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        say "no cargo: install Rust 1.88 or later (https://rustup.rs), then run this again"
        return 1
    fi
    if [ "$(uname -s)" = Linux ] && ! command -v cc >/dev/null; then
        install "linker (cc) for Rust" "gcc libc6-dev" "gcc glibc-devel" "gcc"
    fi
}

# Runs `kutta` with these options. Alone it needs few packages. Where KUTTA_EVERYTHING is
# set, as it is for the tests, all of the workspace is compiled for them anyway: by the same
# features, so that wgpu is not compiled twice.
kutta() {
    if [ -n "${KUTTA_EVERYTHING:-}" ]; then
        cargo build --release --workspace --bins --examples &&
            "${CARGO_TARGET_DIR:-target}/release/kutta" "$@"
    else
        cargo run --release -p kutta-cli -- "$@"
    fi
}

need_adapter() {
    local status=0
    say "compiling (minutes, the first time), then looking for a GPU adapter"
    # A failed build ends with 101.
    kutta adapters || status=$?
    # 2 means adapters are there but not the wanted one: a driver is no help.
    if [ "$status" -eq 1 ] && [ "$(uname -s)" = Linux ]; then
        install "adapter on this machine, so a software Vulkan driver is needed" \
            "mesa-vulkan-drivers libvulkan1" \
            "mesa-vulkan-drivers vulkan-loader" \
            "vulkan-swrast vulkan-icd-loader" || return
        status=0
        kutta adapters || status=$?
    fi
    return "$status"
}
